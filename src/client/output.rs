//! Everything that a client asks of its host and tells its application.

use super::{ChannelEvent, ChannelState, ConnectionEvent, ConnectionState, Subscribers};
use crate::variants::variants;
use crate::wire::{ErrorInfo, Params, PresenceMessage, ProtocolMessage};
use crate::{OpId, SmolStr, SubscriptionId, TransportId};
use alloc::{boxed::Box, vec::Vec};
use core::{fmt, time::Duration};

variants! {
    /// What a client wants done or known. Outputs are in total order and each stands for itself.
    pub enum Output {
        /// Open a transport, and answer with `Input::Opened` or `Input::OpenFailed`.
        /// There is never more than one: one that was asked for before has been given up. The client
        /// gives this one up, by `CloseTransport`, if it takes longer than `realtime_request_timeout`.
        Open: open {
            /// The number of the transport, new each time.
            transport: TransportId,
            /// Its query parameters, yet to be percent-encoded, without credentials of the host's own
            /// (RTN2).
            params: Params,
        },
        /// Close a transport once all that went before is sent, or give up opening it. Frames that still
        /// come from it are ignored.
        Close: close {
            /// Which one.
            transport: TransportId,
        },
        /// Send a frame, encoded in the format of the options.
        Send: send {
            /// On which transport.
            transport: TransportId,
            /// The frame.
            frame: Box<ProtocolMessage>,
        },
        /// The connection has changed its state, or its condition (RTN4).
        Connection = ConnectionStateChange,
        /// A channel has changed its state, or its condition (RTL2).
        Channel: channel {
            /// The channel's name.
            channel: SmolStr,
            /// What changed.
            change: ChannelStateChange,
        },
        /// A presence event of a channel (RTP6): a change, or a member that is already present, for a
        /// new subscription. Comes only if a subscription wants its action.
        Presence: presence {
            /// The channel's name.
            channel: SmolStr,
            /// The event. That of a member already present has the action PRESENT.
            message: PresenceMessage,
            /// The subscriptions that want it.
            subscriptions: Subscribers,
        },
        /// A frame that is not about presence, as it came (RTL1, RTL17).
        Frame = Box<ProtocolMessage>,
        /// An operation has ended.
        Done: done {
            /// Which one.
            op: OpId,
            /// How.
            result: Result<Outcome, ErrorInfo>,
        },
        /// A new token is wanted: answer with `Input::Token` (RSA4b, RTN14b, RTN15h2, RTN22). It is not
        /// asked for again before that. An attempt that waits for it ends after
        /// `realtime_request_timeout`.
        TokenRequired,
        /// Something that is worth a line in a log.
        Warning = Warning,
        /// The host has made a mistake. Nothing has changed.
        Misuse = Misuse,
    }
}

/// What a successful operation brought.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is done.
    Done,
    /// The members, in no particular order (RTP11). Their action is PRESENT.
    Members(Vec<PresenceMessage>),
    /// The answer to a ping came after this time (RTN13).
    Pong(Duration),
}

/// A change of the connection's state, or of its condition (TA).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStateChange {
    /// The state before (TA2).
    pub previous: ConnectionState,
    /// The state now (TA2).
    pub current: ConnectionState,
    /// What this is: the new state, or an update (TA5, RTN4h).
    pub event: ConnectionEvent,
    /// Why, if there is a reason (TA3).
    pub reason: Option<ErrorInfo>,
    /// After how long the client tries again by itself, if it waits for that (TA2). Zero: at once.
    pub retry_in: Option<Duration>,
}

/// A change of a channel's state, or of its condition (TH).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStateChange {
    /// The state before (TH2).
    pub previous: ChannelState,
    /// The state now (TH2).
    pub current: ChannelState,
    /// What this is: the new state, or an update (TH5, RTL2g).
    pub event: ChannelEvent,
    /// Why, if there is a reason (TH3).
    pub reason: Option<ErrorInfo>,
    /// Whether continuity was kept (TH4, RTL2f).
    pub resumed: bool,
    /// Whether messages from before the attach follow (TH6, RTL2i).
    pub has_backlog: bool,
}

/// Something that is worth a line in a log, which its `Display` form is; the client goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The recovery key in the options could not be read; the client connects afresh (RTN16f1).
    RecoveryKeyMalformed,
    /// The options have a token and no way to renew it: when the server refuses it, the
    /// connection will fail with code 40171 (RSA4a1).
    TokenNotRenewable,
    /// The data of a presence message could not be decoded. It is passed on with the encodings
    /// that are left (RSL6b).
    #[non_exhaustive]
    DataNotDecoded {
        /// The channel's name.
        channel: SmolStr,
        /// The encodings that are left.
        encoding: SmolStr,
    },
    /// A presence message came without a client id, without a connection id or with an unknown
    /// action, and was passed over (RSF1).
    #[non_exhaustive]
    PresenceIgnored {
        /// The channel's name.
        channel: SmolStr,
    },
    /// An own member could not be entered again (RTP17e).
    #[non_exhaustive]
    ReentryFailed {
        /// The channel's name.
        channel: SmolStr,
        /// The member.
        client_id: SmolStr,
        /// Why.
        error: ErrorInfo,
    },
    /// `get` was answered without the mode PRESENCE_SUBSCRIBE: nobody may seem to be present who
    /// is (RTP11f2).
    #[non_exhaustive]
    PresenceSubscribeMissing {
        /// The channel's name.
        channel: SmolStr,
    },
    /// No new token was to be had; the connection goes on with the old one (RSA4c3).
    TokenNotRenewed(ErrorInfo),
    /// A limit of the client's options was reached, and something was left out.
    #[non_exhaustive]
    LimitReached {
        /// The channel's name.
        channel: SmolStr,
        /// Which limit: the name of its field in `Limits`.
        limit: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RecoveryKeyMalformed => f.write_str("the recovery key cannot be read"),
            Self::TokenNotRenewable => f.write_str("the token cannot be renewed when it expires"),
            Self::DataNotDecoded { channel, encoding } => {
                write!(f, "{channel}: a member's data cannot be decoded: {encoding}")
            }
            Self::PresenceIgnored { channel } => {
                write!(f, "{channel}: a malformed presence message was passed over")
            }
            Self::ReentryFailed { channel, client_id, error } => {
                write!(f, "{channel}: {client_id} could not enter again: {error}")
            }
            Self::PresenceSubscribeMissing { channel } => {
                write!(f, "{channel}: attached without PRESENCE_SUBSCRIBE, members are not known")
            }
            Self::TokenNotRenewed(error) => write!(f, "no new token was to be had: {error}"),
            Self::LimitReached { channel, limit } => {
                write!(f, "{channel}: the limit `{limit}` was reached")
            }
        }
    }
}

/// A mistake of the host. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The client never asked for this transport.
    #[error("transport {} was never asked for", .0.0)]
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
    /// A token came that nobody had asked for.
    #[error("no token was asked for")]
    UnexpectedToken,
}
