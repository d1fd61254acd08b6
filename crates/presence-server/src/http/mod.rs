//! The HTTP interface.

mod headers;
mod metrics;
mod operator;
mod page;
mod rest;
mod upgrade;

pub use operator::MetricsAccess;

use crate::{listen, response, shared::Shared};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, Method, StatusCode, header},
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};
use std::{sync::Arc, time::Duration};
use tower_http::{
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
    timeout::TimeoutLayer,
};

/// Bytes of a request's body.
const MAX_BODY: usize = 64 << 10;

/// The routes of clients, and those of the operator with this access.
pub(crate) fn router(node: &Arc<Shared>, access: MetricsAccess) -> Router {
    let routes = Router::new()
        .route("/", get(upgrade::root))
        .route("/time", get(rest::time))
        .route("/keys/{name}/requestToken", post(rest::request_token))
        .route("/channels/{name}/presence", get(rest::presence))
        .route("/channels/{name}/presence/history", get(rest::history));
    let routes = if node.options.page { routes.merge(page::routes()) } else { routes };
    let routes = routes.layer(from_fn(listen::admit)).with_state(Arc::clone(node));
    let routes = routes.merge(operator_routes(node, access));
    headers::secured(limited(routes, node.options.times.request).layer(cors(node)))
}

/// The routes of an address for the operator alone.
pub(crate) fn operator_router(node: &Arc<Shared>, access: MetricsAccess) -> Router {
    let routes = operator_routes(node, access);
    headers::secured(limited(routes, node.options.times.request))
}

/// The routes that are served even if there are too many connections.
fn operator_routes(node: &Arc<Shared>, access: MetricsAccess) -> Router {
    Router::new()
        .route("/metrics", get(rest::metrics).layer(from_fn_with_state(access, operator::admit)))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(Arc::clone(node))
}

/// Limits the body and the time of a request. Errors get the protocol's form.
fn limited(routes: Router, time: Duration) -> Router {
    routes
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, time))
        .layer(from_fn(response::in_form))
}

/// Pages of the allowed origins may send requests, and read the headers that SDKs use.
fn cors(node: &Shared) -> CorsLayer {
    let origins = match &node.options.origins[..] {
        [] => AllowOrigin::any(),
        origins => AllowOrigin::list(origins.iter().filter_map(|origin| origin.parse().ok())),
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            header::LINK,
            HeaderName::from_static("x-ably-errorcode"),
            HeaderName::from_static("x-ably-errormessage"),
        ])
}
