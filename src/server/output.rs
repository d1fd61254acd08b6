//! Everything that a server wants done.

use super::{Frame, Recipients};
use crate::variants::variants;
use crate::wire::PresenceMessage;
use crate::{SmolStr, TransportId};

variants! {
    /// What a server wants its host to do, or to know. In total order; each stands for itself.
    #[allow(
        clippy::large_enum_variant,
        reason = "most are frames, and a box would be an allocation for each"
    )]
    pub enum Output {
        /// Send a frame, to one transport or to many. It is encoded at most once per format.
        Send: send {
            /// On which transports. A snapshot: later changes do not reach it.
            to: Recipients,
            /// The frame.
            frame: Frame,
        },
        /// Send a ping of the transport itself (of the WebSocket), and tell the pong by
        /// `Input::Activity`.
        Ping: ping {
            /// On which transport.
            transport: TransportId,
        },
        /// Close a transport once all that went before is sent. The server has forgotten it.
        Close: close {
            /// Which one.
            transport: TransportId,
        },
        /// Verify a token and answer with `Input::Authorized` or `Input::AuthorizationFailed`. Each
        /// question wants an answer, in the order of the questions: the last one stands.
        Authenticate: authenticate {
            /// Whose token it is.
            transport: TransportId,
            /// The token.
            token: Token,
        },
        /// Something that an outside copy of the member sets, or a durable history, needs to know.
        Event = ServerEvent,
        /// The host made a mistake; nothing changed.
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
    /// A change of a member set. Applied in order, all of them make an exact copy of the sets.
    ///
    /// `position` is the event's place in the streams of all channels: unique, growing from event to
    /// event of a channel, and from run to run. One frame's items share its serial and are told apart
    /// by `index`; events of another channel may come between them.
    pub enum ServerEvent {
        /// A member that was not there.
        MemberEntered: member_entered {
            /// The channel.
            channel: SmolStr,
            /// Where in the stream.
            position: Position,
            /// Id, client id, connection id, data, time; action ENTER or UPDATE, as it was told.
            message: PresenceMessage,
        },
        /// A member that was there and says something else of itself.
        MemberUpdated: member_updated {
            /// The channel.
            channel: SmolStr,
            /// Where in the stream.
            position: Position,
            /// What it says now; action ENTER or UPDATE, as it was told.
            message: PresenceMessage,
        },
        /// A member that is gone.
        MemberLeft: member_left {
            /// The channel.
            channel: SmolStr,
            /// Where in the stream.
            position: Position,
            /// The leave, with the member's last data.
            message: PresenceMessage,
            /// Why.
            cause: LeaveCause,
        },
        /// The first member came.
        ChannelOccupied: channel_occupied {
            /// The channel.
            channel: SmolStr,
        },
        /// The last member went.
        ChannelVacant: channel_vacant {
            /// The channel.
            channel: SmolStr,
        },
    }
}

/// A place in the streams of all channels of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "two numbers, no more")]
pub struct Position {
    /// Grows with every frame that the server makes. As text, 16 hexadecimal digits, it is the
    /// `channelSerial` of that frame.
    pub serial: u64,
    /// The item in its frame.
    pub index: u32,
}

/// Why a member is gone. Grace is `remain_present_for`, of the connection or of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeaveCause {
    /// It left (RTP10).
    Left,
    /// Its connection detached the channel (RTL5).
    Detached,
    /// Its connection was closed (RTN12).
    Closed,
    /// Its connection was lost and did not come back in time.
    GraceEnded,
    /// Its connection lost the right to be present.
    RightLost,
    /// The host took it out.
    Kicked,
}

/// A mistake of the host. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// An input named a transport that was never opened.
    #[error("transport {0:?} is not open")]
    UnknownTransport(TransportId),
    /// A transport was opened twice.
    #[error("transport {0:?} is open already")]
    TransportInUse(TransportId),
}
