//! The outputs of a client.

use super::{ChannelEvent, ChannelState, ConnectionEvent, ConnectionState, Subscribers};
use crate::variants::variants;
use crate::wire::{ErrorInfo, Params, PresenceMessage, ProtocolMessage};
use crate::{OpId, SmolStr, SubscriptionId, TransportId};
use alloc::{boxed::Box, vec::Vec};
use core::{fmt, time::Duration};

variants! {
    /// An action for the host, or an event. Outputs are in total order and self-contained.
    pub enum Output {
        /// Open a transport, and answer with `Input::Opened` or `Input::OpenFailed`. There is at
        /// most one transport: any earlier one has been abandoned. The client emits `Close` if
        /// opening takes longer than `realtime_request_timeout`.
        Open: open {
            /// The number of the transport, new for each.
            transport: TransportId,
            /// The query parameters (RTN2), not percent-encoded. The host adds its own credentials.
            params: Params,
        },
        /// Close a transport after sending everything queued for it, or stop opening it. Later
        /// frames from it are ignored.
        Close: close {
            /// The transport.
            transport: TransportId,
        },
        /// Send a frame, encoded as [`ClientOptions::format`](super::ClientOptions::format).
        Send: send {
            /// The transport.
            transport: TransportId,
            /// The frame.
            frame: Box<ProtocolMessage>,
        },
        /// The connection has a new state, or an update (RTN4).
        Connection = ConnectionStateChange,
        /// A channel has a new state, or an update (RTL2).
        Channel: channel {
            /// The channel's name.
            channel: SmolStr,
            /// The change.
            change: ChannelStateChange,
        },
        /// A presence event of a channel (RTP6): a change, or, for a new subscription, a member
        /// that is already present. Emitted only if a subscription includes its action.
        Presence: presence {
            /// The channel's name.
            channel: SmolStr,
            /// The event. That of a member already present has the action PRESENT.
            message: PresenceMessage,
            /// The subscriptions that receive it.
            subscriptions: Subscribers,
        },
        /// A frame that is not about presence, unchanged (RTL1, RTL17).
        Frame = Box<ProtocolMessage>,
        /// An operation has ended.
        Done: done {
            /// The operation.
            op: OpId,
            /// The result.
            result: Result<Outcome, ErrorInfo>,
        },
        /// The client requires a new token: answer with `Input::Token` (RSA4b, RTN14b, RTN15h2,
        /// RTN22). It is not emitted again before the answer. A connection attempt that waits for
        /// the token ends after `realtime_request_timeout`.
        TokenRequired,
        /// A warning, for a log.
        Warning = Warning,
        /// An error of the host. Nothing has changed.
        Misuse = Misuse,
    }
}

/// The result of a successful operation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// No further result.
    Done,
    /// The members, in no particular order (RTP11). Their action is PRESENT.
    Members(Vec<PresenceMessage>),
    /// The round-trip time (RTN13).
    Pong(Duration),
}

/// A state change of the connection, or an update (TA).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStateChange {
    /// The previous state (TA2).
    pub previous: ConnectionState,
    /// The current state (TA2).
    pub current: ConnectionState,
    /// The event: the new state, or an update (TA5, RTN4h).
    pub event: ConnectionEvent,
    /// The reason, if any (TA3).
    pub reason: Option<ErrorInfo>,
    /// Time until the next automatic attempt, if one is scheduled (TA2). Zero: at once.
    pub retry_in: Option<Duration>,
}

/// A state change of a channel, or an update (TH).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStateChange {
    /// The previous state (TH2).
    pub previous: ChannelState,
    /// The current state (TH2).
    pub current: ChannelState,
    /// The event: the new state, or an update (TH5, RTL2g).
    pub event: ChannelEvent,
    /// The reason, if any (TH3).
    pub reason: Option<ErrorInfo>,
    /// Whether continuity was kept (TH4, RTL2f).
    pub resumed: bool,
    /// Whether messages from before the attach follow (TH6, RTL2i).
    pub has_backlog: bool,
}

/// A warning. Its `Display` form is a line for a log. The client continues.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The recovery key in the options is malformed. The client makes a new connection (RTN16f1).
    RecoveryKeyMalformed,
    /// The options have a token that cannot be renewed. When the server rejects it, the connection
    /// fails with code 40171 (RSA4a1).
    TokenNotRenewable,
    /// The data of a presence message could not be decoded. It is delivered with the remaining
    /// encodings (RSL6b).
    #[non_exhaustive]
    DataNotDecoded {
        /// The channel's name.
        channel: SmolStr,
        /// The remaining encodings.
        encoding: SmolStr,
    },
    /// A presence message without a client id, without a connection id or with an unknown action
    /// was ignored (RSF1).
    #[non_exhaustive]
    PresenceIgnored {
        /// The channel's name.
        channel: SmolStr,
    },
    /// A re-entry failed (RTP17e).
    #[non_exhaustive]
    ReentryFailed {
        /// The channel's name.
        channel: SmolStr,
        /// The client id of the member.
        client_id: SmolStr,
        /// The error.
        error: ErrorInfo,
    },
    /// `get` without the mode PRESENCE_SUBSCRIBE: the result may lack members (RTP11f2).
    #[non_exhaustive]
    PresenceSubscribeMissing {
        /// The channel's name.
        channel: SmolStr,
    },
    /// There was no new token. The connection continues with the old one (RSA4c3).
    TokenNotRenewed(ErrorInfo),
    /// A limit of the client's options was reached, and a member was dropped.
    #[non_exhaustive]
    LimitReached {
        /// The channel's name.
        channel: SmolStr,
        /// The name of the field in [`Limits`](super::Limits).
        limit: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RecoveryKeyMalformed => f.write_str("the recovery key is malformed"),
            Self::TokenNotRenewable => f.write_str("the token cannot be renewed when it expires"),
            Self::DataNotDecoded { channel, encoding } => {
                write!(f, "{channel}: a member's data cannot be decoded: {encoding}")
            }
            Self::PresenceIgnored { channel } => {
                write!(f, "{channel}: a malformed presence message was ignored")
            }
            Self::ReentryFailed { channel, client_id, error } => {
                write!(f, "{channel}: re-entry of {client_id} failed: {error}")
            }
            Self::PresenceSubscribeMissing { channel } => {
                write!(f, "{channel}: attached without PRESENCE_SUBSCRIBE, members are unknown")
            }
            Self::TokenNotRenewed(error) => write!(f, "there was no new token: {error}"),
            Self::LimitReached { channel, limit } => {
                write!(f, "{channel}: the limit `{limit}` was reached")
            }
        }
    }
}

/// An error of the host. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The client did not request this transport.
    #[error("transport {} was never requested", .0.0)]
    UnknownTransport(TransportId),
    /// There is no such subscription.
    #[error("there is no subscription {} on channel {channel}", .subscription.0)]
    #[non_exhaustive]
    UnknownSubscription {
        /// The channel's name.
        channel: SmolStr,
        /// The subscription.
        subscription: SubscriptionId,
    },
    /// The client did not request a token.
    #[error("no token was requested")]
    UnexpectedToken,
}
