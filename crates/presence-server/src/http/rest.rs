//! The REST endpoints.

use super::metrics;
use crate::{
    App,
    auth::{self, Credentials, TokenRequest, is_secret, no_credentials},
    response::{Accept, Pairs, Problem, error, last, number},
    shared::Shared,
};
use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use presence_proto::{
    SmolStr, UnixMillis,
    server::{Direction, HistoryQuery, Operations, PresenceQuery},
    wire::{ErrorInfo, PresenceMessage, codes},
};
use serde_json::Value;
use std::sync::Arc;

pub(crate) async fn time(
    State(node): State<Arc<Shared>>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
) -> Response {
    Accept::of(&headers, &params).body(&[node.clock.now().wall.as_millis()])
}

pub(crate) async fn request_token(
    State(node): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let accept = Accept::of(&headers, &params);
    let issue = async {
        let key = Credentials::of(&headers, &params).and_then(|credentials| match credentials {
            Credentials::Key(key) => Some(key),
            Credentials::Token(_) => None,
        });
        let request = TokenRequest::new(name, key, decode_body(&headers, &body)?)?;
        node.verifier.token(&request, node.clock.now().wall).await
    };
    let details = issue.await.map_err(|error| accept.problem(error))?;
    Ok((StatusCode::CREATED, accept.body(&details)).into_response())
}

pub(crate) async fn presence(
    State(node): State<Arc<Shared>>,
    Path(channel): Path<String>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accept = Accept::of(&headers, &params);
    let answer = async {
        let app = permit(&node, &headers, &params, &channel, Operations::SUBSCRIBE).await?;
        let mut query = PresenceQuery::default();
        query.client_id = last(&params, "clientId").map(SmolStr::from);
        query.connection_id = last(&params, "connectionId").map(SmolStr::from);
        query.after = number(&params, "after")?;
        query.limit = number(&params, "limit")?.unwrap_or(query.limit);
        app.read(move |server| server.presence(&channel, &query)).await?
    };
    let page = answer.await.map_err(|error| accept.problem(error))?;
    let links = links("presence", &params, page.next.map(|next| next.to_string()));
    Ok((links, accept.list(&page.items)).into_response())
}

pub(crate) async fn history(
    State(node): State<Arc<Shared>>,
    Path(channel): Path<String>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accept = Accept::of(&headers, &params);
    let answer = async {
        let app = permit(&node, &headers, &params, &channel, Operations::HISTORY).await?;
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
    Ok((links, accept.list(&items)).into_response())
}

pub(crate) async fn metrics(State(node): State<Arc<Shared>>) -> Result<Response, Problem> {
    let counters = node.counters().await;
    let counters = counters.map_err(|error| Accept::JSON.problem(error))?;
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((content_type, metrics::text(&counters)).into_response())
}

/// The app of the credentials, if they allow the operation on the channel.
async fn permit<'a>(
    node: &'a Shared,
    headers: &HeaderMap,
    params: &Pairs,
    channel: &str,
    operation: Operations,
) -> Result<&'a App, ErrorInfo> {
    let credentials = Credentials::of(headers, params).ok_or_else(no_credentials)?;
    let (app, grant) = node.admit(&credentials).await?;
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

/// The body of a request.
fn decode_body(headers: &HeaderMap, body: &[u8]) -> Result<Value, ErrorInfo> {
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    let decoded = if content_type == Some(b"application/x-msgpack") {
        auth::message_pack(body)
    } else {
        auth::json(body)
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
