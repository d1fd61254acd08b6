//! The options of a client, and of its channels.

use crate::SmolStr;
use crate::wire::{Format, Modes, Params};
use core::time::Duration;

/// Options of a [`Client`](super::Client) (TO3). Start from [`Default`] and change single fields.
///
/// Durations are rounded up to whole milliseconds and have no upper bound. Zero expires at once.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientOptions {
    /// The client id (TO3a), unless it comes from the credentials. Never `*` (RSA7c): the server
    /// grants a wildcard identity in CONNECTED.
    pub client_id: Option<SmolStr>,
    /// Whether the connection receives its own messages (TO3h, RTC1a). It always receives its own
    /// presence events. Default: true.
    pub echo_messages: bool,
    /// Whether operations are queued without a connection (TO3g). Otherwise they fail at once.
    /// Default: true.
    pub queue_messages: bool,
    /// Whether `get` fails without the mode PRESENCE_SUBSCRIBE (91008; TO3r, RTP11f1). Otherwise it
    /// emits a warning. Default: false.
    pub strict_mode: bool,
    /// A recovery key of an earlier client, see `ConnectionView::recovery_key` (TO3i, RTN16).
    pub recover: Option<SmolStr>,
    /// Additional query parameters of each transport. They override the client's (TO3q, RTC1f1).
    pub transport_params: Params,
    /// Encoding of frames (TO3f, RTN2a). Default: MessagePack.
    pub format: Format,
    /// Whether the host sees the pings of its transports and passes in `Input::Activity` for each.
    /// Otherwise the client requests heartbeats from the server (RTN23b). Default: false.
    pub observes_pings: bool,
    /// The token to connect with, sent as the parameter `accessToken` (RSA3c). Without one the host
    /// adds its own credentials.
    pub token: Option<SmolStr>,
    /// Whether the host can answer `Output::TokenRequired` with a new token (RSA4a). Default:
    /// false.
    pub token_renewable: bool,
    /// Delay of the first retry of a lost connection; later ones back off (TO3l1, RTB1). Default:
    /// 15 s.
    pub disconnected_retry_timeout: Duration,
    /// Delay of each retry of a suspended connection (TO3l2, RTN14e). Default: 30 s.
    pub suspended_retry_timeout: Duration,
    /// Delay of the first retry of a suspended channel; later ones back off (TO3l7, RTL13b).
    /// Default: 15 s.
    pub channel_retry_timeout: Duration,
    /// Timeout of a connection attempt, an attach, a detach, a close and a ping (TO3l11). Default:
    /// 10 s.
    pub realtime_request_timeout: Duration,
    /// Time for resume attempts before the connection is suspended, unless the server sets another
    /// (DF1a). Default: 120 s.
    pub connection_state_ttl: Duration,
    /// Maximum size of a presence message in bytes, unless the server sets another (TO3l8).
    /// Default: 65,536.
    pub max_message_size: u64,
    /// Whether retry delays are randomized between 80 % and 100 % (RTB1b). Default: true.
    pub retry_jitter: bool,
    /// Maximum of timers that one call of `handle` fires, at least one. The rest is due at once.
    /// Default: 1,000.
    pub budget: usize,
    /// Limits.
    pub limits: Limits,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            client_id: None,
            echo_messages: true,
            queue_messages: true,
            strict_mode: false,
            recover: None,
            transport_params: Params::new(),
            format: Format::MessagePack,
            observes_pings: false,
            token: None,
            token_renewable: false,
            disconnected_retry_timeout: Duration::from_secs(15),
            suspended_retry_timeout: Duration::from_secs(30),
            channel_retry_timeout: Duration::from_secs(15),
            realtime_request_timeout: Duration::from_secs(10),
            connection_state_ttl: Duration::from_secs(120),
            max_message_size: 65_536,
            retry_jitter: true,
            budget: 1_000,
            limits: Limits::default(),
        }
    }
}

impl core::fmt::Debug for ClientOptions {
    /// Does not show the token or the recovery key: logs must not hold credentials.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ClientOptions")
            .field("client_id", &self.client_id)
            .field("echo_messages", &self.echo_messages)
            .field("queue_messages", &self.queue_messages)
            .field("strict_mode", &self.strict_mode)
            .field("recover", &self.recover.as_ref().map(|_| "…"))
            .field("format", &self.format)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("token_renewable", &self.token_renewable)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Limits of a client. An operation beyond a limit fails with code 40000 and changes nothing else.
/// A member beyond the limit is dropped, with a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Channels. Default: 10,000.
    pub channels: usize,
    /// Pending operations, of any kind. Default: 10,000.
    pub pending_operations: usize,
    /// Messages in flight: sent and not acknowledged. Re-entries beyond it fail. Default: 20,000.
    pub in_flight: usize,
    /// Pending `get` operations of one channel. Default: 1,000.
    pub waiting_gets: usize,
    /// Presence subscriptions of one channel. Default: 1,000.
    pub subscriptions: usize,
    /// Pending pings. Default: 100.
    pub pings: usize,
    /// Members of one channel. Default: 1,000,000.
    pub members: usize,
    /// Own members of one channel. Default: 10,000.
    pub own_members: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            channels: 10_000,
            pending_operations: 10_000,
            in_flight: 20_000,
            waiting_gets: 1_000,
            subscriptions: 1_000,
            pings: 100,
            members: 1_000_000,
            own_members: 10_000,
        }
    }
}

/// Options of a channel (TB2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelOptions {
    /// Channel parameters of ATTACH (TB2c, RTL4k).
    pub params: Params,
    /// Requested modes; `None` for the server's defaults (TB2d, RTL4l).
    pub modes: Option<Modes>,
    /// Whether a subscription to presence attaches the channel (TB4, RTP6d). Default: true.
    pub attach_on_subscribe: bool,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self { params: Params::new(), modes: None, attach_on_subscribe: true }
    }
}
