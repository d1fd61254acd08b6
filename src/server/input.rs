//! The inputs of a server.

use super::{Capability, Entry, EntryId, Identity, LogPosition, SnapshotPage};
use crate::variants::variants;
use crate::wire::{ErrorInfo, ProtocolMessage, codes};
use crate::{SmolStr, TransportId, UnixMillis};
use alloc::sync::Arc;
use core::time::Duration;

variants! {
    /// An event. Nothing else changes the state of a server.
    ///
    /// Every input is legal in every state. For a transport that was never opened it gives
    /// `Output::Misuse` and changes nothing. For a closed one it is ignored: it may have been in
    /// flight at the time of [`Output::Close`](super::Output::Close).
    #[allow(
        clippy::large_enum_variant,
        reason = "nearly every input is a frame: a box would cost it an allocation"
    )]
    pub enum Input {
        /// Time has passed.
        Tick,
        /// A transport has opened and its peer is authenticated. The server answers with CONNECTED,
        /// or with ERROR or DISCONNECTED and `Output::Close`.
        Opened: opened {
            /// The number of the transport, chosen by the host; not that of an open one.
            transport: TransportId,
            /// The verified identity and the parameters of the request.
            request: ConnectRequest,
        },
        /// A frame has arrived.
        Received: received {
            /// The transport.
            transport: TransportId,
            /// The decoded frame.
            frame: ProtocolMessage,
        },
        /// A frame has arrived that cannot be decoded or is too large. The server sends ERROR and
        /// closes the transport; the members stay for their grace period.
        Undecodable: undecodable {
            /// The transport.
            transport: TransportId,
            /// The error for the peer, with the protocol's code (40009 too large, 40000 malformed).
            error: ErrorInfo,
        },
        /// The peer is alive: a WebSocket pong or ping has arrived.
        Activity: activity {
            /// The transport.
            transport: TransportId,
        },
        /// A transport has closed, for whatever reason. Not required after `Output::Close`.
        Closed: closed {
            /// The transport.
            transport: TransportId,
        },
        /// The host's send queue for this transport is long. Broadcasts skip it until `Writable`;
        /// then it receives the missed events or a sync.
        Congested: congested {
            /// The transport.
            transport: TransportId,
        },
        /// The host's send queue for this transport is short again.
        Writable: writable {
            /// The transport.
            transport: TransportId,
        },
        /// The answer to [`Output::Authenticate`](super::Output::Authenticate): the token is valid
        /// (RTC8a1). Without a request, a change of rights by the host.
        Authorized: authorized {
            /// The transport.
            transport: TransportId,
            /// The identity in the token. A different client id ends the connection (40102).
            identity: Identity,
            /// The new capability.
            capability: Arc<Capability>,
            /// Expiry of the token by the wall clock; `None` for never.
            expires: Option<UnixMillis>,
        },
        /// The answer to `Output::Authenticate`: the token is invalid (RTC8a2). The server sends
        /// ERROR and closes the transport.
        AuthorizationFailed: authorization_failed {
            /// The transport.
            transport: TransportId,
            /// The error for the peer.
            error: ErrorInfo,
        },
        /// Sends DISCONNECTED and closes the transport, for example when a token was revoked
        /// (RTN15h). The members stay for their grace period.
        Disconnect: disconnect {
            /// The transport.
            transport: TransportId,
            /// The error for the peer.
            error: ErrorInfo,
        },
        /// Removes members of a channel: all of them, or those that match. Their clients stay
        /// connected and may enter again. On an unknown channel it has no effect.
        Kick: kick {
            /// The channel.
            channel: SmolStr,
            /// Only members of this client id.
            client_id: Option<SmolStr>,
            /// Only members of this connection.
            connection_id: Option<SmolStr>,
        },
        /// The server is about to stop. It disconnects its connections evenly over this time, so
        /// that they reconnect elsewhere, and refuses new ones. Members stay for their grace
        /// period. Cannot be undone. With a log others do its duties from then on.
        Drain: drain {
            /// The duration. Zero: at once, within the budget of each call.
            over: Duration,
        },
        /// The next entry of the log, whichever node wrote it. Every node passes in the entries from
        /// the position of its snapshot on, or from the first, in order and without a gap. One that
        /// comes again is ignored.
        Committed: committed {
            /// Its position.
            position: LogPosition,
            /// The entry, from [`Entry::decode`](super::Entry::decode).
            entry: Entry,
        },
        /// A page of a snapshot, before the first entry. The host passes in all pages of the newest
        /// complete snapshot, in order, and then the entries after its position.
        Restore: restore {
            /// The page, from [`SnapshotPage::decode`](super::SnapshotPage::decode).
            page: SnapshotPage,
        },
        /// The answer to [`Output::Append`](super::Output::Append) when the entry could not be
        /// appended, or when it is not known whether it was. A success needs no answer: the entry
        /// comes back as `Input::Committed`.
        AppendFailed: append_failed {
            /// The entry.
            entry: EntryId,
            /// The log has refused it for good, for example because it is too large. It is certainly
            /// not in the log. The requests in it are refused (50003).
            definite: bool,
        },
        /// The log does not go on from what this node has applied: it has lost its end or all of it,
        /// or the node lags behind its beginning. The host passes in the newest snapshot and the
        /// entries after it next, and then `LogAvailable`. The node keeps its transports. It forgets
        /// what it has applied at once, in this call; a copy of the members outside
        /// ([`Output::Event`](super::Output::Event)) must be made anew.
        LogReset,
        /// The log can be reached, and every entry that was in it when it was reached has been
        /// passed in. At the start the node joins then; later it sends again what is not confirmed.
        LogAvailable,
        /// The log cannot be reached. Reads, attaches and syncs go on; changes wait, and are refused
        /// (50003) after [`LogOptions::wait`](super::LogOptions::wait); nobody's grace period ends.
        /// After the lease [`WithoutLog`](super::WithoutLog) says what becomes of the clients.
        LogUnavailable,
    }
}

/// The request of a peer on a new transport, with what the host verified.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct ConnectRequest {
    /// The verified identity.
    pub identity: Identity,
    /// The verified capability.
    pub capability: Arc<Capability>,
    /// Expiry of the token by the wall clock; `None` for never. The server requests a new one
    /// [`reauthorize_before`](super::ServerOptions::reauthorize_before) the expiry (RTN22). At the
    /// expiry it closes the transport (40142); the members stay for their grace period.
    pub token_expires: Option<UnixMillis>,
    /// Key of the connection to resume (RTN15b1).
    pub resume: Option<SmolStr>,
    /// Key of the connection to recover (RTN16k). `resume` takes precedence.
    pub recover: Option<SmolStr>,
    /// Whether the connection receives its own messages (RTN2b). It always receives its own
    /// presence events (RTP17a).
    pub echo: bool,
    /// Whether the peer needs HEARTBEAT frames because it cannot see pings (RTN23b).
    pub heartbeats: bool,
    /// Grace period of its members, at least
    /// [`min_remain_present_for`](super::ServerOptions::min_remain_present_for) and at most
    /// [`connection_state_ttl`](super::ServerOptions::connection_state_ttl); `None` for
    /// [`remain_present_for`](super::ServerOptions::remain_present_for).
    pub remain_present_for: Option<Duration>,
    /// Longest silence of the server, at least
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
    /// ignored; the last of two equal names applies.
    ///
    /// `clientId` narrows [`Identity::Any`] to that client. The host itself reads `format` and the
    /// credentials.
    ///
    /// # Errors
    ///
    /// The error for the peer, to be sent as an ERROR frame
    /// ([`ProtocolMessage::error`](crate::wire::ProtocolMessage::error)): 40003 for an invalid
    /// number, 40017 for a protocol version before 2, 40012 or 40102 for a client id that the
    /// identity does not allow.
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
