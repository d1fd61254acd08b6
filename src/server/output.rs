//! The outputs of a server.

use super::{Entry, Frame, LogPosition, Recipients, SnapshotPage};
use crate::variants::variants;
use crate::wire::PresenceMessage;
use crate::{SmolStr, TransportId};

variants! {
    /// An action for the host, or an event. Outputs are in total order and self-contained.
    #[allow(
        clippy::large_enum_variant,
        reason = "most are frames, and a box would be an allocation for each"
    )]
    pub enum Output {
        /// Send a frame to one or more transports. It is encoded at most once per format.
        Send: send {
            /// The transports. The list is a snapshot: later changes do not affect it.
            to: Recipients,
            /// The frame.
            frame: Frame,
        },
        /// Send a ping of the transport itself (a WebSocket ping). Pass in `Input::Activity` for
        /// the pong.
        Ping: ping {
            /// The transport.
            transport: TransportId,
        },
        /// Close a transport after sending everything queued for it. The server has already
        /// forgotten it.
        Close: close {
            /// The transport.
            transport: TransportId,
        },
        /// Verify a token, and answer with `Input::Authorized` or `Input::AuthorizationFailed`.
        /// Each request requires an answer, in the order of the requests; the last answer applies.
        Authenticate: authenticate {
            /// The transport of the peer that sent the token.
            transport: TransportId,
            /// The token.
            token: Token,
        },
        /// Append an entry to the log, after those before it. The host may have several appends
        /// under way if the log keeps their order. If the append fails, or if its outcome is not
        /// known, pass in `Input::AppendFailed`.
        Append: append {
            /// The entry.
            entry: Entry,
        },
        /// Store a page of a snapshot. A snapshot is complete with its last page; before that the one
        /// before is still needed.
        Snapshot: snapshot {
            /// The page.
            page: SnapshotPage,
        },
        /// Entries before this position are not needed any more: the snapshots after it, once they are
        /// stored, have all that follows from them. The host may remove them.
        Trim: trim {
            /// The first position to keep.
            before: LogPosition,
        },
        /// The node has stopped taking part: its transports are closed, new ones are refused. The
        /// host should end the process.
        Halted = Halt,
        /// A change of a member set, for a copy outside the server or a durable history.
        Event = ServerEvent,
        /// An error of the host. Nothing has changed.
        Misuse = Misuse,
    }
}

/// Credentials. Its `Debug` form does not show them.
#[derive(Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "text and nothing else")]
pub struct Token(pub SmolStr);

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Token(…)")
    }
}

variants! {
    /// A change of a member set. All events, applied in order, give an exact copy of the sets.
    ///
    /// Positions are unique, and increase from event to event of a channel and from run to run. The
    /// items of one frame share its `serial` and differ in `index`; events of other channels may
    /// come between them.
    pub enum ServerEvent {
        /// A new member.
        MemberEntered: member_entered {
            /// The channel.
            channel: SmolStr,
            /// The position.
            position: Position,
            /// The event as delivered to subscribers: action ENTER or UPDATE.
            message: PresenceMessage,
        },
        /// New data of a member.
        MemberUpdated: member_updated {
            /// The channel.
            channel: SmolStr,
            /// The position.
            position: Position,
            /// The event as delivered to subscribers: action ENTER or UPDATE.
            message: PresenceMessage,
        },
        /// A removed member.
        MemberLeft: member_left {
            /// The channel.
            channel: SmolStr,
            /// The position.
            position: Position,
            /// The leave, with the member's last data.
            message: PresenceMessage,
            /// The cause.
            cause: LeaveCause,
        },
        /// The channel has its first member.
        ChannelOccupied: channel_occupied {
            /// The channel.
            channel: SmolStr,
        },
        /// The channel's last member has left.
        ChannelVacant: channel_vacant {
            /// The channel.
            channel: SmolStr,
        },
    }
}

/// The position of an event in the event streams of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "two numbers, no more")]
pub struct Position {
    /// Increases with every frame that the server creates. Its text, 16 hexadecimal digits, is
    /// the `channelSerial` of that frame.
    pub serial: u64,
    /// The index of the item in its frame.
    pub index: u32,
}

/// Why a member left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeaveCause {
    /// The client left (RTP10).
    Left,
    /// The connection detached the channel (RTL5).
    Detached,
    /// The connection was closed (RTN12).
    Closed,
    /// The connection was lost and did not resume within `remainPresentFor`.
    GraceEnded,
    /// The connection lost the right to be present.
    RightLost,
    /// The host removed the member ([`Input::Kick`](super::Input::Kick)).
    Kicked,
}

/// Why a node has stopped taking part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Halt {
    /// Another process has joined with the name of this node.
    #[error("another node has joined with the name of this one")]
    NameTaken,
}

/// An error of the host. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The input named a transport that was never opened.
    #[error("transport {0:?} is not open")]
    UnknownTransport(TransportId),
    /// A page of a snapshot that does not follow those before it, or comes after an entry.
    #[error("the page of a snapshot does not follow those before it")]
    NotRestoring,
    /// The pages of a snapshot contradict each other. Unlike with other errors a part of it is in the
    /// state: the server must be created anew, from another snapshot.
    #[error("the snapshot is damaged")]
    SnapshotDamaged,
    /// The transport is already open.
    #[error("transport {0:?} is already open")]
    TransportInUse(TransportId),
}
