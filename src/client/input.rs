//! Everything that can happen to a client.

use super::ChannelOptions;
use crate::variants::variants;
use crate::wire::{Data, ErrorInfo, PresenceAction, ProtocolMessage, Value};
use crate::{OpId, SmolStr, SubscriptionId, TransportId};
use alloc::{boxed::Box, vec::Vec};

variants! {
    /// What happens to a client: the only thing that changes its state.
    ///
    /// Every variant is legal in every state. An operation (a variant with `op`) always ends in exactly
    /// one `Output::Done` with that number; the [module](super#how-operations-end) has the errors.
    #[allow(
        clippy::large_enum_variant,
        reason = "nearly all inputs are frames: no allocation for each"
    )]
    pub enum Input {
        /// Nothing but time.
        Tick,
        /// The application wants a connection (RTN11).
        Connect,
        /// The application is done with the connection (RTN12). Its members leave at once, or when their
        /// grace ends if the server cannot be told. It is closed when the server has said so, or after
        /// `realtime_request_timeout` at the latest.
        Close,
        /// The application wants to know the round trip time (RTN13). Ends in `Outcome::Pong`, or with
        /// code 80014 after `realtime_request_timeout`.
        Ping: ping {
            /// The operation.
            op: OpId,
        },
        /// The application has new credentials (RTC8). Ends when the server has answered.
        Authorize: authorize {
            /// The operation.
            op: OpId,
            /// The new token.
            token: SmolStr,
        },
        /// The answer to `Output::TokenRequired`: a token, or why there is none (RSA4c, RSA4d).
        Token = Result<SmolStr, ErrorInfo>,
        /// The transport that `Output::Open` asked for is open.
        Opened: opened {
            /// Which one.
            transport: TransportId,
        },
        /// The transport that `Output::Open` asked for could not be opened.
        OpenFailed: open_failed {
            /// Which one.
            transport: TransportId,
            /// Why, if known.
            error: Option<ErrorInfo>,
        },
        /// An open transport has closed, by whatever cause. Not needed after `Output::Close`.
        Closed: closed {
            /// Which one.
            transport: TransportId,
            /// Why, if known.
            error: Option<ErrorInfo>,
        },
        /// Sign of life on a transport that is not a frame: a WebSocket ping (RTN23b).
        Activity: activity {
            /// Which one.
            transport: TransportId,
        },
        /// A frame came in. Bytes that are none are a `TransportClosed`, with the error.
        Received: received {
            /// On which transport.
            transport: TransportId,
            /// The frame, decoded.
            frame: ProtocolMessage,
        },
        /// The operating system has lost its network (RTN20a): the client gives its transport up.
        NetworkLost,
        /// The operating system has a network again (RTN20b, RTN20c): the client tries at once.
        NetworkAvailable,
        /// The application wants to attach a channel (RTL4).
        Attach: attach {
            /// The operation.
            op: OpId,
            /// The channel's name.
            channel: SmolStr,
        },
        /// The application wants to detach a channel (RTL5).
        Detach: detach {
            /// The operation.
            op: OpId,
            /// The channel's name.
            channel: SmolStr,
        },
        /// The application sets the options of a channel, known or not (RTL16, RTS3b).
        SetOptions: set_options {
            /// The operation. It ends at once unless the channel must attach again (RTL16a).
            op: OpId,
            /// The channel's name.
            channel: SmolStr,
            /// The new options, all of them.
            options: ChannelOptions,
        },
        /// The application is done with a channel: it is detached and forgotten (RTS4).
        Release: release {
            /// The operation.
            op: OpId,
            /// The channel's name.
            channel: SmolStr,
        },
        /// The application enters, updates or leaves (RTP8, RTP9, RTP10, RTP14, RTP15).
        Presence: presence {
            /// The operation. It ends with the server's acknowledgement.
            op: OpId,
            /// The channel's name.
            channel: SmolStr,
            /// What changes.
            change: PresenceChange,
        },
        /// The application asks who is present (RTP11). Ends in `Outcome::Members`.
        Get: get_with {
            /// The operation.
            op: OpId,
            /// The channel's name.
            channel: SmolStr,
            /// Which members, and whether to wait for the sync.
            params: GetParams,
        },
        /// The application wants presence events of a channel (RTP6), and is told of the members
        /// already present. Attaches the channel unless its options say otherwise (RTP6d, RTP6e).
        Subscribe: subscribe_to {
            /// The operation. It ends with the implicit attach, or at once. Whatever its outcome, the
            /// subscription stands.
            op: OpId,
            /// The channel's name.
            channel: SmolStr,
            /// The number of the subscription; one in use is replaced.
            subscription: SubscriptionId,
            /// Which actions (RTP6b); empty for all of them (RTP6a).
            actions: Vec<PresenceAction>,
        },
        /// The application wants no more presence events for a subscription (RTP7).
        Unsubscribe: unsubscribe {
            /// The channel's name.
            channel: SmolStr,
            /// Which one; `None` for all of the channel (RTP7c).
            subscription: Option<SubscriptionId>,
        },
        /// The application sends a frame of its own (MESSAGE, ANNOTATION, OBJECT, …), which shares the
        /// message serials and acknowledgements (RTL6c, RTN7).
        Send: send {
            /// The operation. It ends with the server's acknowledgement.
            op: OpId,
            /// The frame; its message serial is set by the client.
            frame: Box<ProtocolMessage>,
        },
    }
}

impl Input {
    /// The number of the operation, if the input is one. It will have exactly one outcome.
    #[must_use]
    pub const fn op(&self) -> Option<OpId> {
        match self {
            Self::Ping(Ping { op })
            | Self::Authorize(Authorize { op, .. })
            | Self::Attach(Attach { op, .. })
            | Self::Detach(Detach { op, .. })
            | Self::SetOptions(SetOptions { op, .. })
            | Self::Release(Release { op, .. })
            | Self::Presence(Presence { op, .. })
            | Self::Get(Get { op, .. })
            | Self::Subscribe(Subscribe { op, .. })
            | Self::Send(Send { op, .. }) => Some(*op),
            Self::Tick
            | Self::Connect
            | Self::Close
            | Self::Token(_)
            | Self::Opened(_)
            | Self::OpenFailed(_)
            | Self::Closed(_)
            | Self::Activity(_)
            | Self::Received(_)
            | Self::NetworkLost
            | Self::NetworkAvailable
            | Self::Unsubscribe(_) => None,
        }
    }

    /// Enters the client's own member, with data or without (RTP8).
    pub fn enter(op: OpId, channel: impl Into<SmolStr>, data: Option<Data>) -> Self {
        Self::presence(op, channel, PresenceChange::new(PresenceAction::Enter, data))
    }

    /// Updates the data of the client's own member, or enters it (RTP9). Without data the member
    /// has none from then on.
    pub fn update(op: OpId, channel: impl Into<SmolStr>, data: Option<Data>) -> Self {
        Self::presence(op, channel, PresenceChange::new(PresenceAction::Update, data))
    }

    /// The client's own member leaves (RTP10). Without data the others are told its last.
    pub fn leave(op: OpId, channel: impl Into<SmolStr>, data: Option<Data>) -> Self {
        Self::presence(op, channel, PresenceChange::new(PresenceAction::Leave, data))
    }

    /// Asks for all members, once in sync (RTP11a).
    pub fn get(op: OpId, channel: impl Into<SmolStr>) -> Self {
        Self::get_with(op, channel, GetParams::default())
    }

    /// Subscribes to all presence events of a channel (RTP6a).
    pub fn subscribe(op: OpId, channel: impl Into<SmolStr>, subscription: SubscriptionId) -> Self {
        Self::subscribe_to(op, channel, subscription, Vec::new())
    }
}

/// What an application says of a member: one of its own connection.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PresenceChange {
    /// ENTER, UPDATE or LEAVE. Anything else fails with code 40000.
    pub action: PresenceAction,
    /// On behalf of which client id (RTP14, RTP15); `None` for the client's own.
    pub client_id: Option<SmolStr>,
    /// What the member says of itself (RTP8e).
    pub data: Option<Data>,
    /// An object that passes through (TP3i).
    pub extras: Option<Box<Value>>,
}

impl PresenceChange {
    /// A change of the client's own member.
    #[must_use]
    pub const fn new(action: PresenceAction, data: Option<Data>) -> Self {
        Self { action, client_id: None, data, extras: None }
    }

    /// The same change on behalf of a client id: enterClient and its like (RTP14, RTP15).
    #[must_use]
    pub fn of_client(mut self, client_id: impl Into<SmolStr>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// The same change with extras (TP3i).
    #[must_use]
    pub fn with_extras(mut self, extras: Value) -> Self {
        self.extras = Some(Box::new(extras));
        self
    }
}

/// Which members `get` lists (RTP11c).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetParams {
    /// Whether to wait for the end of a sync; true by default (RTP11c1).
    pub wait_for_sync: bool,
    /// Only members of this client id (RTP11c2).
    pub client_id: Option<SmolStr>,
    /// Only members of this connection (RTP11c3).
    pub connection_id: Option<SmolStr>,
}

impl Default for GetParams {
    fn default() -> Self {
        Self { wait_for_sync: true, client_id: None, connection_id: None }
    }
}
