//! What a host can set: times, bounds and limits.

use crate::SmolStr;
use alloc::vec::Vec;
use core::time::Duration;

/// Settings of a [`Server`](super::Server). Start from [`Default`] and change what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerOptions {
    /// The name of this node: CONNECTED tells it (CD2g), and the ids of leaves that the server
    /// makes up begin with it. At most 64 bytes are used.
    pub node: SmolStr,
    /// Where the server is (CD2j). Not told if `None`.
    pub site_code: Option<SmolStr>,
    /// The secret that connection keys are made with. Nodes that share it, and later runs of one
    /// node, can tell a key that has expired from one that was made up. `None` derives it from
    /// the seed.
    pub key_secret: Option<KeySecret>,
    /// The smallest position in the channels' streams that the server hands out. A host that
    /// stores history sets it above the largest that it has stored, so that a wall clock that was
    /// set back between two runs does not disturb the order. Zero: the wall clock alone decides.
    pub first_serial: u64,
    /// How long a lost connection can be resumed (CD2f). Default: 120 s.
    pub connection_state_ttl: Duration,
    /// How long the members of a lost connection stay, unless its parameter `remainPresentFor`
    /// says otherwise. Default: 15 s. Never above `connection_state_ttl`.
    pub remain_present_for: Duration,
    /// The least that `remainPresentFor` can be. Default: 1 s.
    pub min_remain_present_for: Duration,
    /// Longest silence of the server (CD2h), unless the connection's parameter
    /// `heartbeatInterval` says otherwise. A peer that is silent for twice as long is lost.
    /// Default: 15 s.
    pub idle_interval: Duration,
    /// The least that `heartbeatInterval` can be. Default: 5 s.
    pub min_idle_interval: Duration,
    /// The most that `heartbeatInterval` can be. Default: 30 min.
    pub max_idle_interval: Duration,
    /// How long before a token expires the client is asked for a new one (RTN22). Default: 30 s.
    pub reauthorize_before: Duration,
    /// Members in one SYNC page. Default: 100.
    pub sync_page_members: usize,
    /// Bytes of members in one SYNC page, estimated. A page holds one member at least. Default:
    /// 64 KiB.
    pub sync_page_bytes: usize,
    /// SYNC pages that one call of `handle` sends at most, to all recipients together; the rest is
    /// due at once. Between two calls the host can say that a transport is congested. Default: 16.
    pub sync_pages_per_call: usize,
    /// Channels whose presence events are gathered for a while before they are told.
    pub coalesce: Vec<CoalesceRule>,
    /// Presence items in one frame that the server sends. Default: 200.
    pub items_per_broadcast: usize,
    /// Least time between two occupancy events of a channel, except when a number goes to or from
    /// zero. Default: 5 s.
    pub occupancy_interval: Duration,
    /// What the server remembers of each channel.
    pub history: HistoryOptions,
    /// Most work that one call of `handle` does beyond what its input is about: timers, members that
    /// are taken out for whatever reason, connections that are drained. What is left is due at
    /// once. Default: 1,000.
    pub budget: usize,
    /// Whether [`Output::Event`](super::Output::Event) is put out. Default: true.
    pub events: bool,
    /// What peers may use.
    pub limits: Limits,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            node: SmolStr::new_static("server"),
            site_code: None,
            key_secret: None,
            first_serial: 0,
            connection_state_ttl: Duration::from_secs(120),
            remain_present_for: Duration::from_secs(15),
            min_remain_present_for: Duration::from_secs(1),
            idle_interval: Duration::from_secs(15),
            min_idle_interval: Duration::from_secs(5),
            max_idle_interval: Duration::from_secs(30 * 60),
            reauthorize_before: Duration::from_secs(30),
            sync_page_members: 100,
            sync_page_bytes: 64 * 1024,
            sync_pages_per_call: 16,
            coalesce: Vec::new(),
            items_per_broadcast: 200,
            occupancy_interval: Duration::from_secs(5),
            history: HistoryOptions::default(),
            budget: 1_000,
            events: true,
            limits: Limits::default(),
        }
    }
}

/// A secret of 32 bytes. Its `Debug` form does not show it.
#[derive(Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "bytes and nothing else")]
pub struct KeySecret(pub [u8; 32]);

impl core::fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KeySecret(…)")
    }
}

/// A channel, or a group of them, whose presence events are gathered. Of several rules for a channel
/// the first counts, as it was when the channel came to be.
///
/// Within the window the last update of a member wins, and an enter and a leave cancel each other.
/// Acknowledgements, history and events for the host are not delayed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CoalesceRule {
    /// Which channels: a name, or a pattern as in a [`Capability`](super::Capability).
    pub channels: SmolStr,
    /// For how long events are gathered. Zero: not at all.
    pub window: Duration,
}

impl CoalesceRule {
    /// A rule.
    pub fn new(channels: impl Into<SmolStr>, window: Duration) -> Self {
        Self { channels: channels.into(), window }
    }
}

/// What the server remembers of the presence events of each channel (RTP12).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HistoryOptions {
    /// For how long. Default: 2 min. Zero: nothing is remembered, and whoever reads too slowly is
    /// told what it missed by whole syncs.
    pub retention: Duration,
    /// How many events of one channel. Default: 5,000.
    pub events: usize,
    /// How many bytes of one channel, estimated. Default: 1 MiB.
    pub bytes: usize,
    /// How many bytes of all channels together, estimated. Once they are used up, a channel that
    /// has something new to remember forgets its own oldest; what others hold, stays. Default:
    /// 256 MiB.
    pub total_bytes: usize,
}

impl HistoryOptions {
    /// Whether anything is remembered at all.
    pub(super) const fn keeps(&self) -> bool {
        !self.retention.is_zero() && self.events > 0
    }
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(120),
            events: 5_000,
            bytes: 1 << 20,
            total_bytes: 256 << 20,
        }
    }
}

/// A token bucket: so many events a second, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a rate and a burst, no more")]
pub struct Rate {
    /// Events per second in the long run. Zero: no limit at all.
    pub per_second: u32,
    /// Events at once.
    pub burst: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self { per_second: 0, burst: 0 };
}

/// What peers may use, and the code that they get when they want more.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections, those included that can still be resumed. More are refused with DISCONNECTED
    /// (50003). Default: 1,000,000.
    pub connections: usize,
    /// Channels that one connection attaches (90010). Default: 200.
    pub channels_per_connection: usize,
    /// Channels of the whole server (90010). Default: 1,000,000.
    pub channels: usize,
    /// Length of a channel name in bytes (40010). Default: 2,048.
    pub channel_name: usize,
    /// Length of a client id in bytes (40012). Default: 1,024.
    pub client_id: usize,
    /// Members of one channel (91003). Default: 20,000.
    pub members_per_channel: usize,
    /// Bytes of client ids, data and extras of the members of one channel (91006). Default:
    /// 64 MiB.
    pub member_bytes_per_channel: usize,
    /// The same of the members of one connection in all channels (91006). Default: 64 MiB.
    pub member_bytes_per_connection: usize,
    /// The same of all channels together (91006). Default: 1 GiB.
    pub member_bytes: usize,
    /// Bytes of one presence message or message (TP5, TM6; 40009). Default: 65,536.
    pub message_size: usize,
    /// Bytes of one frame, told to clients (CD2d). The host holds it: it sees the bytes. Default:
    /// 524,288.
    pub frame_size: usize,
    /// Presence messages or messages in one frame (40009). Default: 1,000.
    pub items_per_frame: usize,
    /// Bytes of the names and values of one channel's parameters (40003). Default: 4,096.
    pub params: usize,
    /// Frames that one connection sends (42911 for those that want an acknowledgement; others
    /// are dropped). Default: 1,000 a second, 2,000 at once.
    pub inbound: Rate,
    /// Frames above the inbound rate that are refused, before the transport is closed (42920).
    /// Default: 10,000.
    pub refused_frames: u32,
    /// Presence events and messages of one channel (42913). Default: 10,000 a second, 20,000 at
    /// once.
    pub channel: Rate,
    /// Frames that answer a congested connection's own frames, before its transport is closed.
    /// Default: 1,000.
    pub replies_while_congested: u32,
    /// Frames of one connection that wait while an earlier one, which takes out more members than
    /// [`ServerOptions::budget`] allows in one call, is unfinished. More of them close the transport
    /// (42920). Default: 100.
    pub waiting_frames: usize,
    /// Syncs that one attachment asks for, by SYNC or by attaching again. More of them are one, which
    /// comes as soon as the rate allows it. Default: 1 a second, 3 at once.
    pub syncs: Rate,
    /// The same of all attachments of a connection together, those included that it makes anew.
    /// Default: 20 a second, 400 at once.
    pub syncs_per_connection: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_000_000,
            channels_per_connection: 200,
            channels: 1_000_000,
            channel_name: 2_048,
            client_id: 1_024,
            members_per_channel: 20_000,
            member_bytes_per_channel: 64 << 20,
            member_bytes_per_connection: 64 << 20,
            member_bytes: 1 << 30,
            message_size: 65_536,
            frame_size: 524_288,
            items_per_frame: 1_000,
            params: 4_096,
            inbound: Rate { per_second: 1_000, burst: 2_000 },
            refused_frames: 10_000,
            channel: Rate { per_second: 10_000, burst: 20_000 },
            replies_while_congested: 1_000,
            waiting_frames: 100,
            syncs: Rate { per_second: 1, burst: 3 },
            syncs_per_connection: Rate { per_second: 20, burst: 400 },
        }
    }
}
