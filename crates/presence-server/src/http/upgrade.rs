//! The path `/`: the WebSocket of the SDKs, or the page.

use super::page;
use crate::{
    App,
    auth::{Credentials, no_credentials},
    connection::socket::{self, Sizes},
    response::{Accept, Pairs, error, last},
    shared::Shared,
};
use axum::{
    extract::{
        Query, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use presence_proto::{
    server::ConnectRequest,
    wire::{ErrorInfo, Format, codes},
};
use std::sync::Arc;

/// Bytes that a WebSocket reads at once.
const READ_BUFFER: usize = 4 << 10;
/// Bytes that a WebSocket collects before it writes them, if more are waiting.
const WRITE_BUFFER: usize = 16 << 10;

/// The page, or the WebSocket that SDKs open at the same path.
pub(crate) async fn root(
    State(node): State<Arc<Shared>>,
    Query(params): Query<Pairs>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(_) if !headers.contains_key(header::UPGRADE) => return page::index(&node),
        Err(rejection) => {
            let error = error(codes::BAD_REQUEST, 400, no_upgrade(&rejection));
            let problem = Accept::of(&headers, &params).problem(error);
            let version = [(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))];
            return (version, problem).into_response();
        }
    };
    if let Some(origin) = headers.get(header::ORIGIN)
        && !node.allows_origin(origin.as_bytes())
    {
        let error = error(codes::FORBIDDEN, 403, "This origin may not connect");
        return Accept::of(&headers, &params).problem(error).into_response();
    }
    let uninformed = node.draining.uninformed();
    let format = last(&params, "format").and_then(Format::from_name).unwrap_or(Format::Json);
    let request = connect_request(&node, &params).await;
    let send_queue = node.options.max_send_queue;
    // A frame somewhat above the limit gets an error; one far above it is not even read.
    let most = node.options.frame_size.saturating_mul(2);
    // Buffers last as long as the connection, and most frames are far shorter than these. Of what
    // waits to be written the buffer holds at most as much as the send queue.
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER.saturating_add(send_queue));
    upgrade.max_message_size(most).max_frame_size(most).on_upgrade(move |socket| async move {
        match request {
            Ok((app, request)) => {
                let transport = node.next_transport();
                let sizes = Sizes { frame: app.frame_size, send_queue };
                let core = app.core.clone();
                socket::serve(socket, transport, format, request, core, sizes, uninformed).await;
            }
            Err(error) => socket::refuse(socket, format, error, uninformed).await,
        }
    })
}

/// The error of a request that opens no WebSocket.
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

/// The app and the request of a new connection (RTN2).
async fn connect_request(
    node: &Shared,
    params: &Pairs,
) -> Result<(App, ConnectRequest), ErrorInfo> {
    let credentials = Credentials::of_params(params).ok_or_else(no_credentials)?;
    let (app, grant) = node.admit(&credentials).await?;
    let pairs = params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut request = ConnectRequest::from_params(grant.identity, grant.capability, pairs)?;
    request.token_expires = grant.expires;
    Ok((app.clone(), request))
}
