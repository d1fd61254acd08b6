//! The inputs of a client.

use super::ChannelOptions;
use crate::variants::variants;
use crate::wire::{Data, ErrorInfo, PresenceAction, ProtocolMessage, Value};
use crate::{OpId, SmolStr, SubscriptionId, TransportId};
use alloc::{boxed::Box, vec::Vec};

variants! {
    /// An event. Nothing else changes the state of a client.
    ///
    /// Every input is legal in every state. An operation (an input with `op`) ends with exactly one
    /// `Output::Done` of that number; the [module](super#results-of-operations) lists the errors.
    #[allow(
        clippy::large_enum_variant,
        reason = "nearly all inputs are frames: no allocation for each"
    )]
    pub enum Input {
        /// Time has passed.
        Tick,
        /// Connect (RTN11).
        Connect,
        /// Close the connection (RTN12). Its members leave at once, or at the end of their grace
        /// period if CLOSE does not reach the server. The state becomes CLOSED with the server's
        /// answer, or after `realtime_request_timeout`.
        Close,
        /// Measure the round-trip time (RTN13). Results in `Outcome::Pong`, or in 80014 after
        /// `realtime_request_timeout`.
        Ping: ping {
            /// The operation.
            op: OpId,
        },
        /// Authorize with a new token (RTC8). Ends with the answer of the server.
        Authorize: authorize {
            /// The operation.
            op: OpId,
            /// The token.
            token: SmolStr,
        },
        /// The answer to `Output::TokenRequired`: a token, or an error (RSA4c, RSA4d).
        Token = Result<SmolStr, ErrorInfo>,
        /// The transport of `Output::Open` is open.
        Opened: opened {
            /// The transport.
            transport: TransportId,
        },
        /// The transport of `Output::Open` could not be opened.
        OpenFailed: open_failed {
            /// The transport.
            transport: TransportId,
            /// The cause, if known.
            error: Option<ErrorInfo>,
        },
        /// An open transport has closed, for whatever reason. Not required after `Output::Close`.
        Closed: closed {
            /// The transport.
            transport: TransportId,
            /// The cause, if known.
            error: Option<ErrorInfo>,
        },
        /// The server is alive: a WebSocket ping has arrived (RTN23b).
        Activity: activity {
            /// The transport.
            transport: TransportId,
        },
        /// A frame has arrived. For bytes that are not a frame, close the transport and pass in
        /// `Closed` with the error.
        Received: received {
            /// The transport.
            transport: TransportId,
            /// The decoded frame.
            frame: ProtocolMessage,
        },
        /// The operating system lost its network (RTN20a). The client abandons its transport.
        NetworkLost,
        /// The operating system has a network again (RTN20b, RTN20c). The client connects at once.
        NetworkAvailable,
        /// Attach a channel (RTL4).
        Attach: attach {
            /// The operation.
            op: OpId,
            /// The channel's name.
            channel: SmolStr,
        },
        /// Detach a channel (RTL5).
        Detach: detach {
            /// The operation.
            op: OpId,
            /// The channel's name.
            channel: SmolStr,
        },
        /// Set the options of a channel; it need not exist yet (RTL16, RTS3b).
        SetOptions: set_options {
            /// The operation. It ends at once unless the channel must attach again (RTL16a).
            op: OpId,
            /// The channel's name.
            channel: SmolStr,
            /// The new options, all of them.
            options: ChannelOptions,
        },
        /// Detach a channel and forget it (RTS4).
        Release: release {
            /// The operation.
            op: OpId,
            /// The channel's name.
            channel: SmolStr,
        },
        /// Enter, update or leave (RTP8, RTP9, RTP10, RTP14, RTP15).
        Presence: presence {
            /// The operation. It ends with the server's acknowledgement.
            op: OpId,
            /// The channel's name.
            channel: SmolStr,
            /// The change.
            change: PresenceChange,
        },
        /// Get the members (RTP11). Results in `Outcome::Members`.
        Get: get_with {
            /// The operation.
            op: OpId,
            /// The channel's name.
            channel: SmolStr,
            /// The filter, and whether to wait for the sync.
            params: GetParams,
        },
        /// Subscribe to presence events of a channel (RTP6). The subscription first receives the
        /// members already present. Attaches the channel unless its options forbid it (RTP6d,
        /// RTP6e).
        Subscribe: subscribe_to {
            /// The operation. It ends with the implicit attach, or at once. The subscription exists
            /// whatever the result.
            op: OpId,
            /// The channel's name.
            channel: SmolStr,
            /// The number of the subscription. One with the same number is replaced.
            subscription: SubscriptionId,
            /// The actions (RTP6b); empty for all (RTP6a).
            actions: Vec<PresenceAction>,
        },
        /// End a subscription (RTP7).
        Unsubscribe: unsubscribe {
            /// The channel's name.
            channel: SmolStr,
            /// The subscription; `None` for all of the channel (RTP7c).
            subscription: Option<SubscriptionId>,
        },
        /// Send a frame of another kind (MESSAGE, ANNOTATION, OBJECT, …). It shares message serials
        /// and acknowledgements with presence (RTL6c, RTN7).
        Send: send {
            /// The operation. It ends with the server's acknowledgement.
            op: OpId,
            /// The frame. The client sets its message serial.
            frame: Box<ProtocolMessage>,
        },
    }
}

impl Input {
    /// The number of the operation, if the input is one.
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

    /// Updates the data of the client's own member, or enters it (RTP9). Without data the member's
    /// data is cleared.
    pub fn update(op: OpId, channel: impl Into<SmolStr>, data: Option<Data>) -> Self {
        Self::presence(op, channel, PresenceChange::new(PresenceAction::Update, data))
    }

    /// The client's own member leaves (RTP10). Without data, subscribers receive its last data.
    pub fn leave(op: OpId, channel: impl Into<SmolStr>, data: Option<Data>) -> Self {
        Self::presence(op, channel, PresenceChange::new(PresenceAction::Leave, data))
    }

    /// Gets all members, after the sync (RTP11a).
    pub fn get(op: OpId, channel: impl Into<SmolStr>) -> Self {
        Self::get_with(op, channel, GetParams::default())
    }

    /// Subscribes to all presence events of a channel (RTP6a).
    pub fn subscribe(op: OpId, channel: impl Into<SmolStr>, subscription: SubscriptionId) -> Self {
        Self::subscribe_to(op, channel, subscription, Vec::new())
    }
}

/// A change of a member of this connection.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PresenceChange {
    /// ENTER, UPDATE or LEAVE. Anything else fails with code 40000.
    pub action: PresenceAction,
    /// The client id (RTP14, RTP15); `None` for the client's own.
    pub client_id: Option<SmolStr>,
    /// The data of the member (RTP8e).
    pub data: Option<Data>,
    /// Extras, passed through unchanged (TP3i).
    pub extras: Option<Box<Value>>,
}

impl PresenceChange {
    /// A change of the client's own member.
    #[must_use]
    pub const fn new(action: PresenceAction, data: Option<Data>) -> Self {
        Self { action, client_id: None, data, extras: None }
    }

    /// The same change for another client id: `enterClient` and the like (RTP14, RTP15).
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

/// Parameters of `get` (RTP11c).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetParams {
    /// Whether to wait for the end of a sync (RTP11c1). Default: true.
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
