//! What the server answers over HTTP.

use crate::{
    Service,
    apps::App,
    credentials::{Credentials, is_secret},
    fields, headers,
    host::Handle,
    keys, metrics,
    operator::{self, Readers},
    page,
    problem::{self, Problem, error},
    query::{Pairs, last, number},
    slots,
    socket::{self, Sizes},
    token_request::TokenRequest,
};
use axum::{
    Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Path, Query, Request, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use presence_proto::wire::codes;
use presence_proto::{
    SmolStr, UnixMillis,
    server::{ConnectRequest, Direction, HistoryQuery, Operations, PresenceQuery},
    wire::{ErrorInfo, Format, PresenceMessage},
};
use serde::Serialize;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tower_http::{
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
    timeout::TimeoutLayer,
};

/// Bytes of a request's body that are taken.
const MAX_BODY: usize = 64 << 10;

/// Bytes that a WebSocket reads at once.
const READ_BUFFER: usize = 4 << 10;
/// Bytes that a WebSocket gathers before it writes them, unless there are no more.
const WRITE_BUFFER: usize = 16 << 10;

/// All routes. `readers` may read the metrics.
pub(crate) fn router(service: &Arc<Service>, readers: Readers) -> Router {
    let routes = Router::new()
        .route("/", get(root))
        .route("/style.css", get(|| async { page::style() }))
        .route("/app.js", get(|| async { page::app() }))
        .route("/presence.js", get(|| async { page::presence() }))
        .route("/presence.wasm", get(|| async { page::core() }))
        .route("/page.json", get(page_settings))
        .route("/time", get(time))
        .route("/keys/{name}/requestToken", post(request_token))
        .route("/channels/{name}/presence", get(presence))
        .route("/channels/{name}/presence/history", get(history))
        .layer(from_fn(slots::admit))
        .with_state(Arc::clone(service));
    let routes = routes.merge(operator_routes(service, readers));
    headers::secured(in_time_and_form(routes, service.times.request).layer(cors(service)))
}

/// The routes of an address that is the operator's alone.
pub(crate) fn operator_router(service: &Arc<Service>, readers: Readers) -> Router {
    let routes = operator_routes(service, readers);
    headers::secured(in_time_and_form(routes, service.times.request))
}

/// What is answered even if there are too many connections.
fn operator_routes(service: &Arc<Service>, readers: Readers) -> Router {
    Router::new()
        .route("/metrics", get(metrics).layer(from_fn_with_state(readers, operator::admit)))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(Arc::clone(service))
}

/// Bounds the body of a request and the time that the whole takes. Whatever is refused is refused
/// in the protocol's form.
fn in_time_and_form(routes: Router, time: Duration) -> Router {
    routes
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, time))
        .layer(from_fn(problem::in_form))
}

/// How a client wants to be answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accept(Format);

impl Accept {
    /// By the parameter `format`, else by the header `Accept`.
    fn of(headers: &HeaderMap, params: &Pairs) -> Self {
        let by_header = || {
            headers
                .get(header::ACCEPT)
                .and_then(|accept| accept.to_str().ok())
                .filter(|accept| accept.contains("application/x-msgpack"))
                .map(|_| Format::MessagePack)
        };
        let by_parameter = last(params, "format").and_then(Format::from_name);
        Self(by_parameter.or_else(by_header).unwrap_or(Format::Json))
    }

    /// How a request wants to be answered, whatever becomes of it.
    pub(crate) fn asked_by(request: &Request) -> Self {
        let query = request.uri().query().unwrap_or_default();
        Self::of(request.headers(), &serde_urlencoded::from_str(query).unwrap_or_default())
    }

    const fn content_type(self) -> &'static str {
        match self.0 {
            Format::Json => "application/json",
            Format::MessagePack => "application/x-msgpack",
        }
    }

    /// A body in this form.
    pub(crate) fn body(self, value: &impl Serialize) -> Response {
        let bytes = match self.0 {
            Format::Json => serde_json::to_vec(value).ok(),
            Format::MessagePack => rmp_serde::to_vec_named(value).ok(),
        };
        self.bytes(bytes.unwrap_or_default())
    }

    fn bytes(self, bytes: Vec<u8>) -> Response {
        ([(header::CONTENT_TYPE, self.content_type())], bytes).into_response()
    }

    fn problem(self, error: ErrorInfo) -> Problem {
        Problem { error, accept: self }
    }
}

/// The page, or the WebSocket that SDKs open at the same path.
async fn root(
    State(service): State<Arc<Service>>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(_) if !headers.contains_key(header::UPGRADE) => return page::index().into_response(),
        Err(rejection) => {
            let error = error(codes::BAD_REQUEST, 400, no_upgrade(&rejection));
            let problem = Accept::of(&headers, &params).problem(error);
            let version = [(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))];
            return (version, problem).into_response();
        }
    };
    if let Some(origin) = headers.get(header::ORIGIN)
        && !service.allows_origin(origin.as_bytes())
    {
        let error = error(codes::FORBIDDEN, 403, "This origin may not connect");
        return Accept::of(&headers, &params).problem(error).into_response();
    }
    let untold = service.draining.untold();
    let format = last(&params, "format").and_then(Format::from_name).unwrap_or(Format::Json);
    let request = connect_request(&service, &params);
    let frame_size = service.max_frame_size;
    // Whoever is somewhat above the limit is told so; what is far above it is not even read.
    let most = frame_size.saturating_mul(2);
    // Buffers are there for as long as the connection; most frames are far shorter than this. Of
    // what waits to be written the buffer holds as much as the send queue, at most.
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER.saturating_add(service.send_queue));
    upgrade.max_message_size(most).max_frame_size(most).on_upgrade(move |socket| async move {
        match request {
            Ok((core, request)) => {
                let transport = service.next_transport();
                let sizes = Sizes { frame: frame_size, send_queue: service.send_queue };
                socket::serve(socket, transport, format, request, core, sizes, untold).await;
            }
            Err(error) => socket::refuse(socket, format, error, untold).await,
        }
    })
}

/// What is missing in a request that is to open a WebSocket.
fn no_upgrade(rejection: &WebSocketUpgradeRejection) -> String {
    use WebSocketUpgradeRejection as Rejection;
    let missing = match rejection {
        Rejection::MethodNotGet(_) => "the method GET",
        Rejection::InvalidConnectionHeader(_) => "the header Connection: upgrade",
        Rejection::InvalidUpgradeHeader(_) => "the header Upgrade: websocket",
        Rejection::InvalidWebSocketVersionHeader(_) => "the header Sec-WebSocket-Version: 13",
        Rejection::WebSocketKeyHeaderMissing(_) => "the header Sec-WebSocket-Key",
        _ => "a connection that can be upgraded",
    };
    format!("This opens no WebSocket: {missing} is missing")
}

/// Who opens a WebSocket, of which app, and what it wants (RTN2).
fn connect_request(
    service: &Service,
    params: &Pairs,
) -> Result<(Handle, ConnectRequest), ErrorInfo> {
    let credentials = Credentials::of_params(params).ok_or_else(keys::no_credentials)?;
    let (app, grant) = service.apps.admit(&credentials, service.clock.now().wall)?;
    let pairs = params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut request = ConnectRequest::from_params(grant.identity, grant.capability, pairs)?;
    request.token_expires = grant.expires;
    Ok((app.core.clone(), request))
}

async fn page_settings(State(service): State<Arc<Service>>) -> Response {
    Accept(Format::Json).body(&serde_json::json!({ "key": service.development_key }))
}

async fn time(
    State(service): State<Arc<Service>>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
) -> Response {
    Accept::of(&headers, &params).body(&[service.clock.now().wall.as_millis()])
}

async fn request_token(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let accept = Accept::of(&headers, &params);
    let issue = || {
        let request = TokenRequest::of(decode_body(&headers, &body)?)?;
        let basic = Credentials::of(&headers, &params).and_then(|credentials| match credentials {
            Credentials::Key(key) => Some(key),
            Credentials::Token(_) => None,
        });
        let app = service.apps.of_key(&name).ok_or_else(keys::no_such_key)?;
        app.keys.issue(&name, &request, basic.as_deref(), service.clock.now().wall)
    };
    let details = issue().map_err(|error| accept.problem(error))?;
    Ok((StatusCode::CREATED, accept.body(&details)).into_response())
}

async fn presence(
    State(service): State<Arc<Service>>,
    Path(channel): Path<String>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accept = Accept::of(&headers, &params);
    let answer = async {
        let app = permit(&service, &headers, &params, &channel, Operations::SUBSCRIBE)?;
        let mut query = PresenceQuery::default();
        query.client_id = last(&params, "clientId").map(SmolStr::from);
        query.connection_id = last(&params, "connectionId").map(SmolStr::from);
        query.after = number(&params, "after")?;
        query.limit = number(&params, "limit")?.unwrap_or(query.limit);
        app.ask(move |server| server.presence(&channel, &query)).await?
    };
    let page = answer.await.map_err(|error| accept.problem(error))?;
    let links = links("presence", &params, page.next.map(|next| next.to_string()));
    Ok((links, accept.bytes(PresenceMessage::encode_list(&page.items, accept.0))).into_response())
}

async fn history(
    State(service): State<Arc<Service>>,
    Path(channel): Path<String>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accept = Accept::of(&headers, &params);
    let answer = async {
        let app = permit(&service, &headers, &params, &channel, Operations::HISTORY)?;
        let mut query = HistoryQuery::default();
        query.start = number(&params, "start")?.map(UnixMillis::from_millis);
        query.end = number(&params, "end")?.map(UnixMillis::from_millis);
        query.direction = match last(&params, "direction") {
            None | Some("" | "backwards") => Direction::Backwards,
            Some("forwards") => Direction::Forwards,
            Some(_) => {
                return Err(error(
                    codes::INVALID_PARAMETER_VALUE,
                    400,
                    "direction is forwards or backwards",
                ));
            }
        };
        query.limit = number(&params, "limit")?.unwrap_or(query.limit);
        query.after = number(&params, "after")?;
        query.from_serial =
            last(&params, "fromSerial").or_else(|| last(&params, "from_serial")).map(SmolStr::from);
        app.history(channel, query).await
    };
    let page = answer.await.map_err(|error| accept.problem(error))?;
    let links = links("history", &params, page.next.map(|next| next.to_string()));
    let items: Vec<PresenceMessage> = page.items.into_iter().map(|(_, message)| message).collect();
    Ok((links, accept.bytes(PresenceMessage::encode_list(&items, accept.0))).into_response())
}

async fn metrics(State(service): State<Arc<Service>>) -> Result<Response, Problem> {
    let counters = service.apps.counters().await;
    let counters = counters.map_err(|error| Accept(Format::Json).problem(error))?;
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((content_type, metrics::text(&counters)).into_response())
}

/// Pages of the allowed origins may ask, and read the headers that SDKs look at.
fn cors(service: &Service) -> CorsLayer {
    let origins = match &service.origins[..] {
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

/// The app of the request's credentials, which allow the operation on the channel there.
fn permit<'a>(
    service: &'a Service,
    headers: &HeaderMap,
    params: &Pairs,
    channel: &str,
    operation: Operations,
) -> Result<&'a App, ErrorInfo> {
    let credentials = Credentials::of(headers, params).ok_or_else(keys::no_credentials)?;
    let (app, grant) = service.apps.admit(&credentials, service.clock.now().wall)?;
    if grant.capability.on(channel).contains(operation) {
        Ok(app)
    } else {
        Err(error(
            codes::CAPABILITY_DENIED,
            401,
            "The credentials do not allow this on this channel",
        ))
    }
}

/// The value that a request's body is.
fn decode_body(headers: &HeaderMap, body: &[u8]) -> Result<Value, ErrorInfo> {
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    let decoded = if content_type == Some(b"application/x-msgpack") {
        fields::message_pack(body)
    } else {
        fields::json(body)
    };
    decoded.map_err(|what| error(codes::INVALID_REQUEST_BODY, 400, format!("The body is {what}")))
}

/// Links to the first page, this one and the next, relative to the request's own path.
fn links(path: &str, params: &Pairs, next: Option<String>) -> [(HeaderName, String); 1] {
    let link = |relation: &str, after: Option<&str>| {
        let kept = params.iter().filter(|(name, _)| name != "after" && !is_secret(name));
        let mut pairs: Vec<(&str, &str)> = kept.map(|(n, v)| (n.as_str(), v.as_str())).collect();
        pairs.extend(after.map(|after| ("after", after)));
        let query = serde_urlencoded::to_string(pairs).unwrap_or_default();
        format!("<./{path}?{query}>; rel=\"{relation}\"")
    };
    let mut links = vec![link("first", None), link("current", last(params, "after"))];
    links.extend(next.map(|next| link("next", Some(&next))));
    [(header::LINK, links.join(", "))]
}
