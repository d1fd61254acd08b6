//! The simulated transports: ordered and reliable like a WebSocket until they break.

use presence_proto::wire::{Format, Params, ProtocolMessage};
use presence_proto::{SmolStr, TransportId};
use std::collections::VecDeque;

/// A packet of a transport.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    /// The client opens the transport with these query parameters.
    Open(Params),
    /// The server's host accepted the transport.
    Accept,
    /// The transport could not be opened.
    Refuse,
    /// A frame as a value.
    Frame(Box<ProtocolMessage>),
    /// An encoded frame.
    Bytes(Format, Vec<u8>),
    /// Bytes that do not decode.
    Garbage,
    /// A ping or pong of the transport.
    Ping,
    /// The sender closed the transport.
    Close,
}

impl Packet {
    /// A frame, encoded if the client has a format.
    pub(crate) fn frame(frame: ProtocolMessage, format: Option<Format>) -> Self {
        match format {
            Some(format) => Self::Bytes(format, frame.encode(format)),
            None => Self::Frame(Box::new(frame)),
        }
    }
}

/// One direction of a link: a queue, as a WebSocket neither loses nor reorders frames.
#[derive(Clone, Debug)]
pub(crate) struct Lane<P = Packet> {
    packets: VecDeque<(u64, P)>,
    /// Packets are queued but not delivered.
    pub(crate) stalled: bool,
    /// Packets are lost.
    pub(crate) dead: bool,
}

impl<P> Default for Lane<P> {
    fn default() -> Self {
        Self { packets: VecDeque::new(), stalled: false, dead: false }
    }
}

impl<P> Lane<P> {
    /// Sends a packet that arrives at `due`, or later if an earlier packet does.
    pub(crate) fn send(&mut self, due: u64, packet: P) {
        if self.dead {
            return;
        }
        let due = self.packets.back().map_or(due, |(last, _)| due.max(*last));
        self.packets.push_back((due, packet));
    }

    /// The arrival time of the next packet.
    pub(crate) fn due(&self) -> Option<u64> {
        if self.stalled || self.dead {
            return None;
        }
        self.packets.front().map(|(due, _)| *due)
    }

    /// Removes and returns the next packet.
    pub(crate) fn take(&mut self) -> Option<P> {
        self.packets.pop_front().map(|(_, packet)| packet)
    }

    /// The number of packets in flight.
    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Loses all packets in flight and all later ones.
    pub(crate) fn kill(&mut self) {
        self.packets.clear();
        self.dead = true;
    }
}

/// The state of one end of a link, as its host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Not open yet.
    Opening,
    /// Open.
    Open,
    /// Closed by the host, or reported closed to its half.
    Closed,
}

/// A transport between a client and a node.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The number of the client.
    pub(crate) client: usize,
    /// The number of the node.
    pub(crate) node: usize,
    /// The client's id of the transport. The server's id of it is the number of the link.
    pub(crate) transport: TransportId,
    /// From the client to the server.
    pub(crate) up: Lane,
    /// From the server to the client.
    pub(crate) down: Lane,
    /// The client's end.
    pub(crate) client_end: End,
    /// The server's end.
    pub(crate) server_end: End,
    /// The server's host has reported congestion.
    pub(crate) congested: bool,
    /// The number of frames until the link breaks.
    pub(crate) fuse: Option<u32>,
    /// Pages of syncs that are held back from the client.
    pub(crate) delayed_pages: Vec<ProtocolMessage>,
}

impl Link {
    /// A link that the client is opening.
    pub(crate) fn new(client: usize, node: usize, transport: TransportId) -> Self {
        Self {
            client,
            node,
            transport,
            up: Lane::default(),
            down: Lane::default(),
            client_end: End::Opening,
            server_end: End::Opening,
            congested: false,
            fuse: None,
            delayed_pages: Vec::new(),
        }
    }

    /// Whether both ends are done with the link.
    pub(crate) fn is_over(&self) -> bool {
        self.client_end == End::Closed
            && (self.server_end == End::Closed
                || (self.server_end == End::Opening && self.up.len() == 0))
    }
}

/// The latency between a client and its node, or between a node and the log, in milliseconds of
/// virtual time per direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a link has two directions")]
pub struct Latency {
    /// From the client to the node, or from the node to the log.
    pub up: u64,
    /// From the node to the client, or from the log to the node.
    pub down: u64,
}

impl Default for Latency {
    /// 20 ms each way.
    fn default() -> Self {
        Self { up: 20, down: 20 }
    }
}

/// The message of the error that reports a broken transport.
pub(crate) const BROKEN: SmolStr = SmolStr::new_static("the simulated network broke the transport");
