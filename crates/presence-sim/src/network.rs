//! The simulated transports: ordered and reliable while they live, and breakable in every way in
//! which a WebSocket breaks.

use presence_proto::wire::{Format, Params, ProtocolMessage};
use presence_proto::{SmolStr, TransportId};
use std::collections::VecDeque;

/// What travels in a lane.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    /// The client asks for a transport, with these query parameters.
    Open(Params),
    /// The server's host took it.
    Accept,
    /// The server's host, or the network before it, would not.
    Refuse,
    /// A frame as it is.
    Frame(Box<ProtocolMessage>),
    /// A frame in bytes.
    Bytes(Format, Vec<u8>),
    /// Bytes that are no frame.
    Garbage,
    /// A ping of the transport itself, or the answer to it.
    Ping,
    /// The sender closed the transport after everything before it.
    Close,
}

impl Packet {
    /// A frame, encoded if the client speaks bytes.
    pub(crate) fn frame(frame: ProtocolMessage, format: Option<Format>) -> Self {
        match format {
            Some(format) => Self::Bytes(format, frame.encode(format)),
            None => Self::Frame(Box::new(frame)),
        }
    }
}

/// One direction of a link: a queue, since a WebSocket neither loses nor reorders.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane {
    packets: VecDeque<(u64, Packet)>,
    /// Nothing is delivered: what is sent waits.
    pub(crate) stalled: bool,
    /// What is sent is never delivered (a cable that was pulled).
    pub(crate) dead: bool,
}

impl Lane {
    /// Sends `packet`, to arrive at `due` but not before what was sent earlier.
    pub(crate) fn send(&mut self, due: u64, packet: Packet) {
        if self.dead {
            return;
        }
        let due = self.packets.back().map_or(due, |(last, _)| due.max(*last));
        self.packets.push_back((due, packet));
    }

    /// When the next packet arrives, if one does.
    pub(crate) fn due(&self) -> Option<u64> {
        if self.stalled || self.dead {
            return None;
        }
        self.packets.front().map(|(due, _)| *due)
    }

    /// The next packet, out of the lane.
    pub(crate) fn take(&mut self) -> Option<Packet> {
        self.packets.pop_front().map(|(_, packet)| packet)
    }

    /// How many packets are under way.
    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Loses everything under way, and everything that is sent later.
    pub(crate) fn kill(&mut self) {
        self.packets.clear();
        self.dead = true;
    }
}

/// One end of a link, as its host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Not there yet.
    Opening,
    /// Usable.
    Open,
    /// The host has told its core that it is closed, or was told to close it.
    Closed,
}

/// A transport between one client and the server.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Which client.
    pub(crate) client: usize,
    /// How the client calls the transport. The server's host calls it by the link's number.
    pub(crate) transport: TransportId,
    /// From the client to the server.
    pub(crate) up: Lane,
    /// From the server to the client.
    pub(crate) down: Lane,
    /// The client's end.
    pub(crate) client_end: End,
    /// The server's end.
    pub(crate) server_end: End,
    /// The server's host has said that its queue is full.
    pub(crate) congested: bool,
    /// Frames until it breaks by itself.
    pub(crate) fuse: Option<u32>,
    /// Pages of syncs that are late: the client has them still to come.
    pub(crate) late: Vec<ProtocolMessage>,
}

impl Link {
    /// A link that the client has just asked for.
    pub(crate) fn new(client: usize, transport: TransportId) -> Self {
        Self {
            client,
            transport,
            up: Lane::default(),
            down: Lane::default(),
            client_end: End::Opening,
            server_end: End::Opening,
            congested: false,
            fuse: None,
            late: Vec::new(),
        }
    }

    /// Whether nothing can come of it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.client_end == End::Closed
            && (self.server_end == End::Closed
                || (self.server_end == End::Opening && self.up.len() == 0))
    }
}

/// How long packets take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "two directions, no more")]
pub struct Latency {
    /// From the client to the server.
    pub up: u64,
    /// From the server to the client.
    pub down: u64,
}

impl Default for Latency {
    /// 20 ms each way.
    fn default() -> Self {
        Self { up: 20, down: 20 }
    }
}

/// The name of the error that a broken transport is reported with.
pub(crate) const BROKEN: SmolStr = SmolStr::new_static("the simulated network broke the transport");
