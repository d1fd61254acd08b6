//! What the server answers over HTTP.

use crate::{
    App, headers,
    keys::{Grant, TokenRequest},
    metrics,
    operator::{self, Readers},
    page,
    problem::{self, Problem, error},
    slots,
    socket::{self, Sizes},
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
use base64::{Engine as _, engine::general_purpose::STANDARD};
use presence_proto::{
    SmolStr, UnixMillis,
    server::{ConnectRequest, Direction, HistoryQuery, Operations, PresenceQuery},
    wire::{ErrorInfo, Format, PresenceMessage},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{str::FromStr, sync::Arc, time::Duration};
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
pub(crate) fn router(app: &Arc<App>, readers: Readers) -> Router {
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
        .with_state(Arc::clone(app));
    let routes = routes.merge(operator_routes(app, readers));
    headers::secured(in_time_and_form(routes, app.times.request).layer(cors(app)))
}

/// The routes of an address that is the operator's alone.
pub(crate) fn operator_router(app: &Arc<App>, readers: Readers) -> Router {
    let routes = operator_routes(app, readers);
    headers::secured(in_time_and_form(routes, app.times.request))
}

/// What is answered even if there are too many connections.
fn operator_routes(app: &Arc<App>, readers: Readers) -> Router {
    Router::new()
        .route("/metrics", get(metrics).layer(from_fn_with_state(readers, operator::admit)))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(Arc::clone(app))
}

/// Bounds the body of a request and the time that the whole takes. Whatever is refused is refused
/// in the protocol's form.
fn in_time_and_form(routes: Router, time: Duration) -> Router {
    routes
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, time))
        .layer(from_fn(problem::in_form))
}

/// The parameters of the query string, in order.
type Pairs = Vec<(String, String)>;

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
    State(app): State<Arc<App>>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(_) if !headers.contains_key(header::UPGRADE) => return page::index().into_response(),
        Err(rejection) => {
            let error = error(40000, 400, format!("This opens no WebSocket: {rejection}"));
            let problem = Accept::of(&headers, &params).problem(error);
            let version = [(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))];
            return (version, problem).into_response();
        }
    };
    if let Some(origin) = headers.get(header::ORIGIN)
        && !app.allows_origin(origin.as_bytes())
    {
        let error = error(40300, 403, "This origin may not connect");
        return Accept::of(&headers, &params).problem(error).into_response();
    }
    let untold = app.draining.untold();
    let format = last(&params, "format").and_then(Format::from_name).unwrap_or(Format::Json);
    let request = connect_request(&app, &params);
    let frame_size = app.max_frame_size;
    // Whoever is somewhat above the limit is told so; what is far above it is not even read.
    let most = frame_size.saturating_mul(2);
    // Buffers are there for as long as the connection; most frames are far shorter than this. Of
    // what waits to be written the buffer holds as much as the send queue, at most.
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER.saturating_add(app.send_queue));
    upgrade.max_message_size(most).max_frame_size(most).on_upgrade(move |socket| async move {
        match request {
            Ok(request) => {
                let transport = app.next_transport();
                let sizes = Sizes { frame: frame_size, send_queue: app.send_queue };
                let core = app.core.clone();
                socket::serve(socket, transport, format, request, core, sizes, untold).await;
            }
            Err(error) => socket::refuse(socket, format, error, untold).await,
        }
    })
}

/// Who opens a WebSocket, and what it wants (RTN2).
fn connect_request(app: &App, params: &Pairs) -> Result<ConnectRequest, ErrorInfo> {
    let token = last(params, "accessToken").or_else(|| last(params, "access_token"));
    let grant = match (token, last(params, "key")) {
        (Some(token), _) => app.keys.token(token, app.clock.now().wall)?,
        (None, Some(key)) => app.keys.basic(key)?,
        (None, None) => return Err(error(40101, 401, "Neither a key nor a token was given")),
    };
    let pairs = params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut request = ConnectRequest::from_params(grant.identity, grant.capability, pairs)?;
    request.token_expires = grant.expires;
    Ok(request)
}

async fn page_settings(State(app): State<Arc<App>>) -> Response {
    Accept(Format::Json).body(&serde_json::json!({ "key": app.development_key }))
}

async fn time(
    State(app): State<Arc<App>>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
) -> Response {
    Accept::of(&headers, &params).body(&[app.clock.now().wall.as_millis()])
}

async fn request_token(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let accept = Accept::of(&headers, &params);
    let issue = || {
        let request: TokenRequest = decode_body(&headers, &body)?;
        let basic = credentials(&headers, &params).and_then(|credentials| match credentials {
            Credentials::Key(key) => Some(key),
            Credentials::Token(_) => None,
        });
        app.keys.issue(&name, &request, basic.as_deref(), app.clock.now().wall)
    };
    let details = issue().map_err(|error| accept.problem(error))?;
    Ok((StatusCode::CREATED, accept.body(&details)).into_response())
}

async fn presence(
    State(app): State<Arc<App>>,
    Path(channel): Path<String>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accept = Accept::of(&headers, &params);
    let answer = async {
        permit(&app, &headers, &params, &channel, Operations::SUBSCRIBE)?;
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
    State(app): State<Arc<App>>,
    Path(channel): Path<String>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accept = Accept::of(&headers, &params);
    let answer = async {
        permit(&app, &headers, &params, &channel, Operations::HISTORY)?;
        let mut query = HistoryQuery::default();
        query.start = number(&params, "start")?.map(UnixMillis::from_millis);
        query.end = number(&params, "end")?.map(UnixMillis::from_millis);
        query.direction = match last(&params, "direction") {
            None | Some("" | "backwards") => Direction::Backwards,
            Some("forwards") => Direction::Forwards,
            Some(_) => return Err(error(40003, 400, "direction is forwards or backwards")),
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

async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let counters = app.ask(|server| server.counters()).await;
    let counters = counters.map_err(|error| Accept(Format::Json).problem(error))?;
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((content_type, metrics::text(&counters)).into_response())
}

/// Pages of the allowed origins may ask, and read the headers that SDKs look at.
fn cors(app: &App) -> CorsLayer {
    let origins = match &app.origins[..] {
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

/// Fails unless the request's credentials allow the operation on the channel.
fn permit(
    app: &App,
    headers: &HeaderMap,
    params: &Pairs,
    channel: &str,
    operation: Operations,
) -> Result<(), ErrorInfo> {
    let grant: Grant = match credentials(headers, params) {
        Some(Credentials::Key(key)) => app.keys.basic(&key)?,
        Some(Credentials::Token(token)) => app.keys.token(&token, app.clock.now().wall)?,
        None => return Err(error(40101, 401, "Neither a key nor a token was given")),
    };
    if grant.capability.on(channel).contains(operation) {
        Ok(())
    } else {
        Err(error(40160, 401, "The credentials do not allow this on this channel"))
    }
}

enum Credentials {
    Key(String),
    Token(String),
}

/// What a request identifies itself with: the header `Authorization`, else a parameter.
fn credentials(headers: &HeaderMap, params: &Pairs) -> Option<Credentials> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, value) = value.to_str().ok()?.split_once(' ')?;
        let decoded = || String::from_utf8(STANDARD.decode(value).ok()?).ok();
        return match scheme.to_ascii_lowercase().as_str() {
            "basic" => decoded().map(Credentials::Key),
            // SDKs send tokens in base64; others send them as they are, with dots in them.
            "bearer" if value.contains('.') => Some(Credentials::Token(value.to_owned())),
            "bearer" => decoded().map(Credentials::Token),
            _ => None,
        };
    }
    let token = last(params, "accessToken").or_else(|| last(params, "access_token"));
    match token {
        Some(token) => Some(Credentials::Token(token.to_owned())),
        None => last(params, "key").map(|key| Credentials::Key(key.to_owned())),
    }
}

fn decode_body<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, ErrorInfo> {
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    let decoded = if content_type == Some(b"application/x-msgpack") {
        rmp_serde::from_slice(body).map_err(|e| e.to_string())
    } else {
        serde_json::from_slice(body).map_err(|e| e.to_string())
    };
    decoded.map_err(|why| error(40001, 400, format!("The body cannot be understood: {why}")))
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

fn is_secret(parameter: &str) -> bool {
    matches!(parameter, "key" | "accessToken" | "access_token")
}

/// The value of a parameter; of one that came twice, the last.
fn last<'a>(params: &'a Pairs, name: &str) -> Option<&'a str> {
    params.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn number<T: FromStr>(params: &Pairs, name: &str) -> Result<Option<T>, ErrorInfo> {
    let Some(value) = last(params, name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let malformed = || error(40003, 400, format!("The parameter {name} is malformed"));
    value.parse().map(Some).map_err(|_| malformed())
}
