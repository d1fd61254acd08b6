//! The page at `/`: a client to try the server with.

use crate::{response::Accept, shared::Shared};
use axum::{
    Router,
    extract::State,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use std::sync::Arc;

const INDEX: &[u8] = include_bytes!("../../page/index.html");
const STYLE: &[u8] = include_bytes!("../../page/style.css");
const APP: &[u8] = include_bytes!("../../page/app.js");
const PRESENCE: &[u8] = include_bytes!("../../page/presence.js");
/// The client half, compiled from Rust by `scripts/wasm.sh`.
const CORE: &[u8] = include_bytes!("../../page/presence.wasm");

/// The page loads nothing from elsewhere, talks to nobody else, and is in no other page.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
                      style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files beside the page.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    let file = |content_type, content| get(move || async move { file(content_type, content) });
    Router::new()
        .route("/style.css", file("text/css; charset=utf-8", STYLE))
        .route("/app.js", file("text/javascript; charset=utf-8", APP))
        .route("/presence.js", file("text/javascript; charset=utf-8", PRESENCE))
        .route("/presence.wasm", file("application/wasm", CORE))
        .route("/page.json", get(settings))
}

/// The page itself, if the node serves one.
pub(crate) fn index(node: &Shared) -> Response {
    if node.options.page {
        file("text/html; charset=utf-8", INDEX).into_response()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

async fn settings(State(node): State<Arc<Shared>>) -> Response {
    Accept::JSON.body(&serde_json::json!({ "key": node.options.page_key }))
}

fn file(content_type: &'static str, content: &'static [u8]) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, content)
}
