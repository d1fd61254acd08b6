//! Security headers of every response that does not set its own.

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
};
use tower_http::set_header::SetResponseHeaderLayer;

/// Responses are not pages, and must not be shown in one.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Puts the headers on all responses of a router.
pub(crate) fn secured(router: Router) -> Router {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Members and tokens must not be cached.
        (header::CACHE_CONTROL, "no-store"),
    ]
    .into_iter()
    .fold(router, with)
}

fn with(router: Router, (name, value): (HeaderName, &'static str)) -> Router {
    let value = HeaderValue::from_static(value);
    router.layer(SetResponseHeaderLayer::if_not_present(name, value))
}
