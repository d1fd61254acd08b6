//! The page at `/`, part of the program.

use axum::{
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    response::IntoResponse,
};

/// The page loads nothing from elsewhere, talks to nobody else, and is in no other page.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
                      style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn index() -> impl IntoResponse {
    file("text/html; charset=utf-8", include_str!("page/index.html"))
}

pub(crate) fn style() -> impl IntoResponse {
    file("text/css; charset=utf-8", include_str!("page/style.css"))
}

pub(crate) fn app() -> impl IntoResponse {
    file("text/javascript; charset=utf-8", include_str!("page/app.js"))
}

pub(crate) fn presence() -> impl IntoResponse {
    file("text/javascript; charset=utf-8", include_str!("page/presence.js"))
}

/// The client half, compiled from Rust by `scripts/wasm.sh`.
pub(crate) fn core() -> impl IntoResponse {
    file("application/wasm", include_bytes!("page/presence.wasm").as_slice())
}

fn file<T: IntoResponse>(content_type: &'static str, content: T) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, content)
}
