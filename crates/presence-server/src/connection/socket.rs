//! One WebSocket connection: reads frames for the core, writes its send queue.

use super::{
    closing,
    link::{self, Waiting},
};
use crate::driver::{Handle, encode};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use presence_proto::{
    TransportId,
    server::{ConnectRequest, Input},
    wire::{DecodeLimits, ErrorInfo, Format, ProtocolMessage},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::debug;

/// Frames of one connection that may wait for the core, as long as they have no more bytes than one
/// of the largest. More of them wait in the peer's socket.
const IN_FLIGHT: usize = 32;
/// Messages that are written before the socket is flushed.
const WRITE_BATCH: usize = 64;
/// How long a peer may take to answer our closing.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Limits of a connection, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// One inbound frame.
    pub(crate) frame: usize,
    /// The send queue.
    pub(crate) send_queue: usize,
}

/// How a connection ends.
enum End {
    /// The core has closed it, and all has been written.
    Told,
    /// The peer has closed it, and waits for the answer.
    Closed,
    /// The peer has violated the WebSocket protocol.
    Violated(CloseFrame),
    /// The peer is gone.
    Lost,
}

/// Serves a connection until it ends. `uninformed` is dropped when all that the core had for it is
/// written, its end included.
pub(crate) async fn serve(
    socket: WebSocket,
    transport: TransportId,
    format: Format,
    request: ConnectRequest,
    core: Handle,
    sizes: Sizes,
    uninformed: TaskTrackerToken,
) {
    let (mut sink, mut stream) = socket.split();
    let (link, waiting) = link::queue(format, sizes.send_queue);
    core.open(transport, link, request);
    let end = tokio::select! {
        end = read(&mut stream, transport, format, sizes.frame, &core) => end,
        written = write(&mut sink, waiting, transport, &core) => match written {
            Ok(()) => End::Told,
            Err(error) => {
                debug!(transport = transport.0, "cannot be written to: {error}");
                End::Lost
            }
        }
    };
    if !matches!(end, End::Told) {
        core.from(transport, Input::closed(transport), None);
    }
    // If these fail, the peer is gone.
    match end {
        End::Told => {
            drop(uninformed);
            let _ = timeout(CLOSE_TIMEOUT, drain(&mut stream)).await;
        }
        // The answer has been made when the peer's frame was read.
        End::Closed => {
            let _ = sink.flush().await;
        }
        End::Violated(frame) => {
            let _ = sink.send(Message::Close(Some(frame))).await;
        }
        End::Lost => {}
    }
}

/// Refuses a connection: sends the error, and closes.
pub(crate) async fn refuse(
    mut socket: WebSocket,
    format: Format,
    error: ErrorInfo,
    uninformed: TaskTrackerToken,
) {
    debug!("refused: {error}");
    let end = closing::because(&error);
    if let Some(message) = encode(&ProtocolMessage::error(error), format) {
        let farewell = async {
            let _ = socket.send(message).await;
            let _ = socket.send(Message::Close(Some(end))).await;
            drop(uninformed);
            while let Some(Ok(_)) = socket.recv().await {}
        };
        let _ = timeout(CLOSE_TIMEOUT, farewell).await;
    }
}

async fn read(
    stream: &mut SplitStream<WebSocket>,
    transport: TransportId,
    format: Format,
    frame_size: usize,
    core: &Handle,
) -> End {
    let mut limits = DecodeLimits::default();
    limits.max_len = frame_size;
    let received = |bytes: &[u8]| match ProtocolMessage::decode_with(format, bytes, &limits) {
        Ok(frame) => Input::received(transport, frame),
        Err(error) => Input::undecodable(transport, ErrorInfo::from(&error)),
    };
    let room = frame_size.clamp(IN_FLIGHT, Semaphore::MAX_PERMITS);
    let in_flight = Arc::new(Semaphore::new(room));
    while let Some(message) = stream.next().await {
        let bytes = message.as_ref().map_or(0, link::cost).clamp(room / IN_FLIGHT, room);
        let share = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&in_flight).acquire_many_owned(share).await else {
            return End::Lost;
        };
        let input = match message {
            Ok(Message::Text(text)) => received(text.as_bytes()),
            Ok(Message::Binary(bytes)) => received(&bytes),
            Ok(Message::Ping(_) | Message::Pong(_)) => Input::activity(transport),
            Ok(Message::Close(_)) => return End::Closed,
            Err(error) => {
                debug!(transport = transport.0, "cannot be read from: {error}");
                return closing::violation(&error).map_or(End::Lost, End::Violated);
            }
        };
        core.from(transport, input, Some(permit));
    }
    End::Lost
}

/// Writes what waits until the core has closed its end. The stream has a time limit for each write.
async fn write(
    sink: &mut SplitSink<WebSocket, Message>,
    mut waiting: Waiting,
    transport: TransportId,
    core: &Handle,
) -> Result<(), axum::Error> {
    let mut batch = Vec::with_capacity(WRITE_BATCH);
    while waiting.take(&mut batch, WRITE_BATCH).await > 0 {
        let mut short = false;
        for message in batch.drain(..) {
            if let Message::Close(_) = message {
                return sink.send(message).await;
            }
            let cost = link::cost(&message);
            sink.feed(message).await?;
            short |= waiting.sent(cost);
        }
        sink.flush().await?;
        if short {
            core.from(transport, Input::writable(transport), None);
        }
    }
    // The core has ended without a word.
    sink.send(Message::Close(Some(closing::core_ended()))).await
}

async fn drain(stream: &mut SplitStream<WebSocket>) {
    while let Some(Ok(_)) = stream.next().await {}
}
