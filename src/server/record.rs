//! Records: what happened, for every node alike. The fold of the log is made of nothing else.
//!
//! Records name connections and channels, because keys differ from node to node.

use super::LeaveCause;
use crate::wire::{Items, Message, PresenceMessage};
use crate::{SmolStr, UnixMillis};
use alloc::vec::Vec;

/// A record of an entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Record {
    /// The node stops in an orderly way: it takes no part in the duties of the nodes any more.
    Leaving,
    /// The connection is on this node from here on.
    Adopt(Adopt),
    /// A client's presence frame.
    Presence(PresenceRecord),
    /// The grace period of a lost connection is over: its members leave.
    GraceOver { connection: SmolStr },
    /// The connection is over: its members leave, and it cannot be resumed.
    End { connection: SmolStr, cause: LeaveCause },
    /// The members of a connection leave a channel.
    Dismiss { connection: SmolStr, channel: SmolStr, cause: LeaveCause },
    /// The host removes members of a channel.
    Kick(Kick),
    /// Another node is silent.
    Gone(Gone),
    /// A client's messages.
    Messages(MessagesRecord),
    /// The attachments of a channel on this node.
    Counts(Counts),
}

/// A connection starts to have records, or comes back on another node. The owner writes it before
/// any other record of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Adopt {
    pub(super) connection: SmolStr,
    /// The grace period of its members, in milliseconds.
    pub(super) grace: u32,
}

/// A checked PRESENCE frame: rights, identities and sizes are valid. Applying it sets the ids,
/// connection ids and timestamps of its items.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PresenceRecord {
    pub(super) connection_id: SmolStr,
    pub(super) channel: SmolStr,
    pub(super) msg_serial: i64,
    pub(super) items: Items<PresenceMessage>,
}

/// A checked MESSAGE frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MessagesRecord {
    pub(super) connection_id: SmolStr,
    pub(super) channel: SmolStr,
    pub(super) msg_serial: i64,
    pub(super) messages: Vec<Message>,
}

/// Members to remove: all of a channel, or those that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kick {
    pub(super) channel: SmolStr,
    pub(super) client_id: Option<SmolStr>,
    pub(super) connection_id: Option<SmolStr>,
}

/// A node was silent for so long that connections of it are over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    /// The incarnation of the silent node.
    pub(super) incarnation: u64,
    /// The sequence number that its next entry would have. The record is void if an entry came
    /// between.
    pub(super) next_seq: u64,
    /// Members leave whose grace period is at most this long, in milliseconds.
    pub(super) grace: u32,
    /// Whether its connections cannot be resumed any more.
    pub(super) ends: bool,
}

/// The attachments to a channel of the node that writes it: a whole row, not a difference. Zeros
/// remove the row. It goes with the run of its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) channel: SmolStr,
    pub(super) row: Row,
}

/// Attachments of a channel on one node, by mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) connections: u32,
    pub(super) publishers: u32,
    pub(super) subscribers: u32,
    pub(super) presence_connections: u32,
    pub(super) presence_subscribers: u32,
}

impl Row {
    /// Whether it says that there are no attachments.
    pub(super) fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// The first entry of a run of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Join {
    /// Distinguishes runs of one name.
    pub(super) nonce: u64,
    /// The last position that the node has applied. The entry is void if another run of the same
    /// name has joined after it: a late copy must not fence a newer run.
    pub(super) after: u64,
    /// How long ended connections are remembered, in milliseconds of log time: as long as a client
    /// may try to resume one.
    pub(super) ttl: u32,
}

/// The contents of an entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Join(Join),
    /// Without records it is a sign of life.
    Step {
        incarnation: u64,
        seq: u64,
        records: Vec<Record>,
    },
}

impl Record {
    /// The connection that must own it.
    pub(super) fn connection(&self) -> Option<&SmolStr> {
        match self {
            Self::Presence(record) => Some(&record.connection_id),
            Self::Messages(record) => Some(&record.connection_id),
            Self::Adopt(Adopt { connection, .. })
            | Self::GraceOver { connection }
            | Self::End { connection, .. }
            | Self::Dismiss { connection, .. } => Some(connection),
            Self::Leaving | Self::Kick(_) | Self::Gone(_) | Self::Counts(_) => None,
        }
    }

    /// Estimated bytes of the encoded record.
    pub(super) fn size(&self) -> usize {
        const OVERHEAD: usize = 24;
        let data = match self {
            Self::Leaving | Self::Gone(_) => 0,
            Self::Adopt(adopt) => adopt.connection.len(),
            Self::Presence(record) => record.items.iter().fold(
                record.connection_id.len() + record.channel.len(),
                |sum, item| {
                    let encoding = item.encoding.as_ref().map_or(0, |encoding| encoding.len());
                    sum.saturating_add(item.size()).saturating_add(encoding + OVERHEAD)
                },
            ),
            Self::GraceOver { connection } | Self::End { connection, .. } => connection.len(),
            Self::Dismiss { connection, channel, .. } => connection.len() + channel.len(),
            Self::Kick(kick) => {
                let text = |text: &Option<SmolStr>| text.as_ref().map_or(0, |text| text.len());
                kick.channel.len() + text(&kick.client_id) + text(&kick.connection_id)
            }
            Self::Messages(record) => record
                .messages
                .iter()
                .fold(record.connection_id.len() + record.channel.len(), |sum, message| {
                    sum.saturating_add(size_of(message) + OVERHEAD)
                }),
            Self::Counts(counts) => counts.channel.len(),
        };
        data.saturating_add(OVERHEAD)
    }
}

/// Where and when an entry is applied, and who wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) position: u64,
    pub(super) incarnation: u64,
    pub(super) stamp: UnixMillis,
}

/// The size of a message (TM6), plus its id, its encoding and fields outside the specification,
/// which are broadcast too.
pub(super) fn size_of(message: &Message) -> usize {
    let text = |text: &Option<SmolStr>| text.as_ref().map_or(0, |text| text.len());
    let other = message.other.iter().fold(0, |sum: usize, (name, value)| {
        sum.saturating_add(name.len()).saturating_add(value.json_len())
    });
    message
        .size()
        .saturating_add(text(&message.id))
        .saturating_add(text(&message.encoding))
        .saturating_add(other)
}
