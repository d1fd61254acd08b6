//! What a client is told when it is made, and its channels when they are attached.

use crate::SmolStr;
use crate::wire::{Format, Modes, Params};
use core::time::Duration;

/// Options of a [`Client`](super::Client) (TO3). Make them with `default` and set what differs.
///
/// Times count in whole milliseconds, rounded up. None has an upper bound; one of zero is over at
/// once.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientOptions {
    /// The identity of this client, if it says so itself (TO3a). Never `*` (RSA7c): a wildcard
    /// identity is granted by the server and learnt from CONNECTED.
    pub client_id: Option<SmolStr>,
    /// Whether messages of this connection come back to it (TO3h, RTC1a). Presence always does.
    /// Default: true.
    pub echo_messages: bool,
    /// Whether operations wait while there is no connection (TO3g). If not, they fail at once.
    /// Default: true.
    pub queue_messages: bool,
    /// Whether `get` fails without the mode PRESENCE_SUBSCRIBE (91008; TO3r, RTP11f1). If not, it
    /// gives a warning. Default: false.
    pub strict_mode: bool,
    /// A recovery key of an earlier client, see `ConnectionView::recovery_key` (TO3i, RTN16).
    pub recover: Option<SmolStr>,
    /// Further parameters of each transport. They override those of the client (TO3q, RTC1f1).
    pub transport_params: Params,
    /// How frames are encoded (TO3f, RTN2a). Default: MessagePack.
    pub format: Format,
    /// Whether the host sees the pings of its transports and reports them as
    /// `Input::Activity`. If not, the server is asked for heartbeats (RTN23b). Default:
    /// false.
    pub observes_pings: bool,
    /// A token to connect with, put into the parameter `accessToken` (RSA3c). Without one the
    /// host adds credentials of its own.
    pub token: Option<SmolStr>,
    /// Whether the host can answer `Output::TokenRequired` with a new token (RSA4a). Default: false.
    pub token_renewable: bool,
    /// Delay of the first retry of a lost connection; later ones back off (TO3l1, RTB1). 15 s.
    pub disconnected_retry_timeout: Duration,
    /// Delay of each retry of a suspended connection (TO3l2, RTN14e). 30 s.
    pub suspended_retry_timeout: Duration,
    /// Delay of the first retry of a suspended channel; later ones back off (TO3l7, RTL13b). 15 s.
    pub channel_retry_timeout: Duration,
    /// How long a connection attempt, an attach, a detach, a close or a ping may take (TO3l11).
    /// 10 s.
    pub realtime_request_timeout: Duration,
    /// How long the client tries to resume before it is suspended, unless the server says
    /// otherwise (DF1a). 120 s.
    pub connection_state_ttl: Duration,
    /// Largest presence message, in bytes, unless the server says otherwise (TO3l8). 65,536.
    pub max_message_size: u64,
    /// Whether retry delays are scattered between 80 % and 100 % (RTB1b). Tests switch it off.
    /// Default: true.
    pub retry_jitter: bool,
    /// How many timers one call of `handle` fires at most, and at least one. What is left is due at
    /// once. Default: 1,000.
    pub budget: usize,
    /// Bounds of what the client keeps.
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

/// Bounds of what a client keeps. An operation beyond one of them fails with code 40000 and
/// changes nothing else; a member beyond the last one is left out, with a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Channels that the client knows. 10,000.
    pub channels: usize,
    /// Operations of the application that have no outcome yet, of any kind. 10,000.
    pub pending_operations: usize,
    /// Messages that were sent and not acknowledged. Own members are not entered again beyond it.
    /// 20,000.
    pub in_flight: usize,
    /// Calls of `get` that wait, for each channel. 1,000.
    pub waiting_gets: usize,
    /// Subscriptions to the presence of one channel. 1,000.
    pub subscriptions: usize,
    /// Pings that wait for an answer or for a connection. 100.
    pub pings: usize,
    /// Members of one channel. 1,000,000.
    pub members: usize,
    /// Own members of one channel. 10,000.
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
    /// Parameters asked for with ATTACH (TB2c, RTL4k).
    pub params: Params,
    /// Modes asked for with ATTACH; the server's defaults if none (TB2d, RTL4l).
    pub modes: Option<Modes>,
    /// Whether a subscription to presence attaches the channel (TB4, RTP6d). Default: true.
    pub attach_on_subscribe: bool,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self { params: Params::new(), modes: None, attach_on_subscribe: true }
    }
}
