//! Everything that can happen to a server.

use super::{Capability, Identity};
use crate::variants::variants;
use crate::wire::{ErrorInfo, ProtocolMessage, codes};
use crate::{SmolStr, TransportId, UnixMillis};
use alloc::sync::Arc;
use core::time::Duration;

variants! {
    /// What happens to a server: the only thing that changes its state.
    ///
    /// Every variant is legal in every state. A transport that the server does not know (never opened,
    /// or closed already) is the host's mistake: `Output::Misuse`, and nothing changes. Frames that
    /// were under way when [`Output::Close`](super::Output::Close) came out are passed over silently.
    #[allow(
        clippy::large_enum_variant,
        reason = "nearly every input is a frame: a box would cost it an allocation"
    )]
    pub enum Input {
        /// Nothing but time.
        Tick,
        /// A transport has opened, and its peer is authenticated. The answer is CONNECTED, or ERROR or
        /// DISCONNECTED and `Output::Close`.
        Opened: opened {
            /// The transport's number, chosen by the host; not one that is open.
            transport: TransportId,
            /// Who it is and what it wants.
            request: ConnectRequest,
        },
        /// A frame came in.
        Received: received {
            /// On which transport.
            transport: TransportId,
            /// The frame, decoded.
            frame: ProtocolMessage,
        },
        /// Something came in that could not be decoded or was too large. The peer is told by ERROR and
        /// the transport is closed; its members stay for their grace.
        Undecodable: undecodable {
            /// On which transport.
            transport: TransportId,
            /// What to tell the peer, with the protocol's code (40009 too large, 40000 malformed).
            error: ErrorInfo,
        },
        /// Sign of life that is not a frame: a WebSocket pong or ping.
        Activity: activity {
            /// On which transport.
            transport: TransportId,
        },
        /// A transport has closed, by whatever cause. Not needed after `Output::Close`.
        Closed: closed {
            /// Which one.
            transport: TransportId,
        },
        /// The host's send queue for this transport is long: broadcasts leave it out until `Writable`,
        /// and what it missed is made good by a sync then.
        Congested: congested {
            /// Which one.
            transport: TransportId,
        },
        /// The host's send queue for this transport is short again.
        Writable: writable {
            /// Which one.
            transport: TransportId,
        },
        /// The answer to [`Output::Authenticate`](super::Output::Authenticate): the token is good
        /// (RTC8a1). Without a question, a change of rights that the host decided on.
        Authorized: authorized {
            /// Which transport.
            transport: TransportId,
            /// Whose token it is. Another client id than before ends the connection (40102).
            identity: Identity,
            /// What it may do from now on.
            capability: Arc<Capability>,
            /// When it expires, by the wall clock; `None` for never.
            expires: Option<UnixMillis>,
        },
        /// The answer to `Output::Authenticate`: the token is no good (RTC8a2). The peer is told by
        /// ERROR and the transport is closed.
        AuthorizationFailed: authorization_failed {
            /// Which transport.
            transport: TransportId,
            /// Why.
            error: ErrorInfo,
        },
        /// Closes one transport after telling its peer why, by DISCONNECTED: for a token that was
        /// revoked, say (RTN15h). The members stay for their grace.
        Disconnect: disconnect {
            /// Which one.
            transport: TransportId,
            /// What to tell the peer.
            error: ErrorInfo,
        },
        /// Takes members out of a channel: everybody, or those that fit what is given. Their clients are
        /// not cut off and may enter again. Of a channel that nobody knows, there is nobody to take out.
        Kick: kick {
            /// Which channel.
            channel: SmolStr,
            /// Only members of this client id.
            client_id: Option<SmolStr>,
            /// Only members of this connection.
            connection_id: Option<SmolStr>,
        },
        /// The server is to stop: connections are told to reconnect, evenly over this time, and new
        /// ones are refused. Members stay until their grace ends. Cannot be undone.
        Drain: drain {
            /// Over how long. Zero: all at once, within the budget of each call.
            over: Duration,
        },
    }
}

/// What a peer wants of a new transport, and what the host found out about it.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct ConnectRequest {
    /// Who it is, as the host verified it.
    pub identity: Identity,
    /// What it may do, as the host verified it.
    pub capability: Arc<Capability>,
    /// When its token expires, by the wall clock; `None` for never. A new one is asked for
    /// [`reauthorize_before`](super::ServerOptions::reauthorize_before) that (RTN22); then the
    /// transport is closed (40142), and the members stay for their grace.
    pub token_expires: Option<UnixMillis>,
    /// The key of a connection to resume (RTN15b1).
    pub resume: Option<SmolStr>,
    /// The key of a connection to recover (RTN16k). `resume` goes first.
    pub recover: Option<SmolStr>,
    /// Whether messages come back to the connection that published them (RTN2b). Presence events
    /// always do (RTP17a).
    pub echo: bool,
    /// Whether the peer needs HEARTBEAT frames because it cannot see pings (RTN23b).
    pub heartbeats: bool,
    /// How long its members stay after an abrupt loss, at least
    /// [`min_remain_present_for`](super::ServerOptions::min_remain_present_for) and at most
    /// [`connection_state_ttl`](super::ServerOptions::connection_state_ttl); `None` for
    /// [`remain_present_for`](super::ServerOptions::remain_present_for).
    pub remain_present_for: Option<Duration>,
    /// Longest silence of the server that it wants, at least
    /// [`min_idle_interval`](super::ServerOptions::min_idle_interval) and at most
    /// [`max_idle_interval`](super::ServerOptions::max_idle_interval); `None` for
    /// [`idle_interval`](super::ServerOptions::idle_interval).
    pub heartbeat_interval: Option<Duration>,
}

impl core::fmt::Debug for ConnectRequest {
    /// Does not show keys: logs must not hold credentials.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ConnectRequest")
            .field("identity", &self.identity)
            .field("capability", &self.capability)
            .field("token_expires", &self.token_expires)
            .field("resume", &self.resume.as_ref().map(|_| "…"))
            .field("recover", &self.recover.as_ref().map(|_| "…"))
            .field("echo", &self.echo)
            .field("heartbeats", &self.heartbeats)
            .field("remain_present_for", &self.remain_present_for)
            .field("heartbeat_interval", &self.heartbeat_interval)
            .finish()
    }
}

impl ConnectRequest {
    /// A request for a new connection, with the protocol's defaults.
    #[must_use]
    pub fn new(identity: Identity, capability: Arc<Capability>) -> Self {
        Self {
            identity,
            capability,
            token_expires: None,
            resume: None,
            recover: None,
            echo: true,
            heartbeats: false,
            remain_present_for: None,
            heartbeat_interval: None,
        }
    }

    /// A request from the parameters of a query string (RTN2), decoded: `resume`, `recover`,
    /// `echo`, `heartbeats`, `remainPresentFor`, `heartbeatInterval`, `clientId`, `v`. Others are
    /// passed over; of a parameter that comes twice the last one counts.
    ///
    /// `clientId` narrows [`Identity::Any`] to that client. What the host itself must look at is
    /// `format`, and the credentials.
    ///
    /// # Errors
    ///
    /// What to tell the peer, as an ERROR
    /// ([`ProtocolMessage::error`](crate::wire::ProtocolMessage::error)): 40003 for a number that is
    /// none, 40017 for a protocol version before 2, 40012 or 40102 for a client id that the identity does not allow.
    pub fn from_params<'a>(
        identity: Identity,
        capability: Arc<Capability>,
        params: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ErrorInfo> {
        let mut request = Self::new(identity, capability);
        let mut client_id = None;
        for (name, value) in params {
            match name {
                "resume" => request.resume = non_empty(value),
                "recover" => request.recover = non_empty(value),
                "echo" => request.echo = value != "false",
                "heartbeats" => request.heartbeats = value == "true",
                "remainPresentFor" => request.remain_present_for = Some(millis(name, value)?),
                "heartbeatInterval" => request.heartbeat_interval = Some(millis(name, value)?),
                "clientId" => client_id = non_empty(value),
                "v" => check_version(value)?,
                _ => {}
            }
        }
        if let Some(client_id) = client_id {
            request.identity = request.identity.narrowed(client_id)?;
        }
        Ok(request)
    }
}

fn non_empty(value: &str) -> Option<SmolStr> {
    (!value.is_empty()).then(|| value.into())
}

fn millis(name: &str, value: &str) -> Result<Duration, ErrorInfo> {
    value.parse().map(Duration::from_millis).map_err(|_| {
        let message = alloc::format!("{name} is not a whole number of milliseconds");
        ErrorInfo::new(codes::INVALID_PARAMETER_VALUE, 400, message)
    })
}

fn check_version(value: &str) -> Result<(), ErrorInfo> {
    let major = value.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(2..) => Ok(()),
        _ => Err(ErrorInfo::new(
            codes::UNSUPPORTED_PROTOCOL_VERSION,
            400,
            "This version of the protocol is not supported",
        )),
    }
}
