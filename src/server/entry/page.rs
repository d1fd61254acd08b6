//! Pages of snapshots.

use super::LogPosition;
use crate::server::Position;
use crate::server::record::Row;
use crate::wire::PresenceMessage;
use crate::{SmolStr, UnixMillis};
use alloc::vec::Vec;

/// A page of a snapshot: a part of everything that follows from the log up to a position.
///
/// It is opaque to the host, which stores the pages of a snapshot together
/// ([`Output::Snapshot`](crate::server::Output::Snapshot)) and passes them in, in order, before the
/// entries after that position ([`Input::Restore`](crate::server::Input::Restore)).
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotPage {
    pub(in crate::server) position: LogPosition,
    pub(in crate::server) number: u32,
    pub(in crate::server) is_last: bool,
    pub(in crate::server) parts: Vec<Part>,
}

impl SnapshotPage {
    /// The position of the snapshot: the last entry that is in it.
    #[must_use]
    pub const fn position(&self) -> LogPosition {
        self.position
    }

    /// The number of the page, from 0.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Whether it is the last page.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.is_last
    }
}

/// A part of a page.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) enum Part {
    Fold(FoldPart),
    /// Ended connections, with the log time until which they are remembered.
    Ended(Vec<(UnixMillis, SmolStr)>),
    Connection(ConnectionPart),
    Channel(ChannelPart),
    /// Members of a channel by slot, ascending over all parts of the channel.
    Members {
        channel: SmolStr,
        members: Vec<(u32, PresenceMessage)>,
    },
    /// Events of the history of a channel, oldest first over all parts of the channel.
    Events {
        channel: SmolStr,
        events: Vec<EventPart>,
    },
}

/// What is known apart from channels and connections. The first part of the first page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct FoldPart {
    /// Log time.
    pub(in crate::server) time: UnixMillis,
    /// Number of records applied.
    pub(in crate::server) record: u64,
    /// The last channel serial.
    pub(in crate::server) serial: u64,
    pub(in crate::server) incarnations: Vec<IncarnationPart>,
}

/// A run of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct IncarnationPart {
    pub(in crate::server) number: u64,
    pub(in crate::server) node: SmolStr,
    pub(in crate::server) next_seq: u64,
    pub(in crate::server) fenced: bool,
    pub(in crate::server) leaving: bool,
    pub(in crate::server) ttl: u32,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct ConnectionPart {
    pub(in crate::server) id: SmolStr,
    pub(in crate::server) owner: u64,
    pub(in crate::server) grace: u32,
    pub(in crate::server) spent: bool,
    pub(in crate::server) adopted_by: u64,
    pub(in crate::server) last_leave_at: UnixMillis,
    /// The accepted message serials: the highest (-1 if none), and the gaps.
    pub(in crate::server) highest: i64,
    pub(in crate::server) gaps: Vec<(i64, i64)>,
    /// Its members by channel: their slots, newest first.
    pub(in crate::server) members: Vec<(SmolStr, Vec<u32>)>,
}

/// A channel, without members and events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct ChannelPart {
    pub(in crate::server) name: SmolStr,
    pub(in crate::server) last: u64,
    pub(in crate::server) last_presence: u64,
    pub(in crate::server) last_message: u64,
    /// The log time of the last message, if the channel is kept for it.
    pub(in crate::server) message_at: Option<UnixMillis>,
    /// The newest event that is not in the history any more.
    pub(in crate::server) last_dropped: Option<Position>,
    /// The attachments that nodes have to it: the runs, ascending, and their rows.
    pub(in crate::server) rows: Vec<(u64, Row)>,
}

/// An event of a history.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) struct EventPart {
    pub(in crate::server) position: Position,
    /// How long it is kept, in milliseconds.
    pub(in crate::server) left: u64,
    pub(in crate::server) was_present: bool,
    pub(in crate::server) message: PresenceMessage,
}
