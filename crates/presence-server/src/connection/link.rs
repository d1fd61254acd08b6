//! A connection's send queue: bounded in bytes, with backpressure.

use super::closing;
use axum::extract::ws::{CloseFrame, Message};
use presence_proto::wire::Format;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};
use tokio::sync::mpsc;

/// Overhead of a message in bytes: its place in the queue, and the frame's header.
const OVERHEAD: usize = 64;

/// The end of the queue that the core holds.
pub(crate) struct Link {
    format: Format,
    sender: mpsc::UnboundedSender<Message>,
    load: Arc<Load>,
    /// The close frame, once a frame that ends the connection was sent.
    end: Option<CloseFrame>,
}

/// The end that the connection's writer holds.
pub(crate) struct Waiting {
    receiver: mpsc::UnboundedReceiver<Message>,
    load: Arc<Load>,
}

struct Load {
    bytes: AtomicUsize,
    congested: AtomicBool,
    most: usize,
}

/// The result of a push.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The message is queued.
    Fine,
    /// The message is queued, and the queue has become long.
    Congested,
    /// The queue is full. The message is lost, so the connection must end.
    Overflow,
}

/// A queue of at most `most` bytes. Above half of that it is long, until it falls to an eighth.
pub(crate) fn queue(format: Format, most: usize) -> (Link, Waiting) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let load =
        Arc::new(Load { bytes: AtomicUsize::new(0), congested: AtomicBool::new(false), most });
    let link = Link { format, sender, load: Arc::clone(&load), end: None };
    (link, Waiting { receiver, load })
}

impl Link {
    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// The frame that is pushed next ends the connection, with this close frame.
    pub(crate) fn will_end(&mut self, end: CloseFrame) {
        self.end = Some(end);
    }

    /// Closes the connection once all that waits is sent, for the reason that the last frame gave.
    pub(crate) fn close(mut self) {
        let end = self.end.take().unwrap_or_else(closing::normal);
        self.close_with(end);
    }

    /// Closes the connection once all that waits is sent.
    pub(crate) fn close_with(self, end: CloseFrame) {
        // However full the queue is: this is the last.
        let _ = self.sender.send(Message::Close(Some(end)));
    }

    pub(crate) fn push(&self, message: Message) -> Pushed {
        let cost = cost(&message);
        let bytes = self.load.bytes.fetch_add(cost, Relaxed) + cost;
        if bytes > self.load.most {
            return Pushed::Overflow;
        }
        // An error means that the connection is ending; its own task reports that.
        let _ = self.sender.send(message);
        if bytes > self.load.most / 2 && !self.load.congested.swap(true, Relaxed) {
            return Pushed::Congested;
        }
        Pushed::Fine
    }
}

impl Waiting {
    /// Moves up to `limit` messages to `batch`; 0 once the link is dropped and all are taken.
    pub(crate) async fn take(&mut self, batch: &mut Vec<Message>, limit: usize) -> usize {
        self.receiver.recv_many(batch, limit).await
    }

    /// Counts a message as sent. True if the queue was long and is short again with this.
    pub(crate) fn sent(&self, cost: usize) -> bool {
        let bytes = self.load.bytes.fetch_sub(cost, Relaxed) - cost;
        bytes <= self.load.most / 8 && self.load.congested.swap(false, Relaxed)
    }
}

/// The cost of a message in the queue, in bytes.
pub(crate) fn cost(message: &Message) -> usize {
    OVERHEAD
        + match message {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
            Message::Close(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use presence_proto::wire::ErrorInfo;

    fn message(bytes: usize) -> Message {
        Message::Binary(vec![0; bytes - OVERHEAD].into())
    }

    #[tokio::test]
    async fn long_once_and_short_once() {
        let (link, mut waiting) = queue(Format::MessagePack, 1600);
        assert_eq!(link.push(message(400)), Pushed::Fine);
        assert_eq!(link.push(message(400)), Pushed::Fine);
        assert_eq!(link.push(message(400)), Pushed::Congested);
        assert_eq!(link.push(message(400)), Pushed::Fine);
        assert_eq!(link.push(message(400)), Pushed::Overflow);
        drop(link);
        let mut batch = Vec::new();
        assert_eq!(waiting.take(&mut batch, 10).await, 4);
        assert_eq!(waiting.take(&mut batch, 10).await, 0);
    }

    #[tokio::test]
    async fn the_end_is_told_however_full_the_queue_is() {
        let (mut link, mut waiting) = queue(Format::MessagePack, 400);
        link.will_end(closing::because(&ErrorInfo::new(50003, 503, "The server stops")));
        link.push(message(400));
        assert_eq!(link.push(message(100)), Pushed::Overflow);
        link.close();
        let mut batch = Vec::new();
        assert_eq!(waiting.take(&mut batch, 10).await, 2);
        let Message::Close(Some(end)) = &batch[1] else { panic!("{batch:?}") };
        assert_eq!((end.code, &*end.reason), (1001, "The server stops"));
    }

    #[test]
    fn short_again_at_an_eighth() {
        let (link, waiting) = queue(Format::MessagePack, 1600);
        for _ in 0..3 {
            link.push(message(400));
        }
        assert!(!waiting.sent(400));
        assert!(!waiting.sent(400));
        assert!(waiting.sent(400));
        link.push(message(400));
        assert!(!waiting.sent(400));
    }
}
