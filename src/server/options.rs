//! The options of a server: durations, sizes and limits.

use crate::SmolStr;
use alloc::vec::Vec;
use core::time::Duration;

/// Options of a [`Server`](super::Server). Start from [`Default`] and change single fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Name of this node, sent in CONNECTED (CD2g) and the prefix of the ids of synthesized leaves.
    /// Only the first 64 characters count.
    pub node: SmolStr,
    /// Site of the server, sent in CONNECTED (CD2j).
    pub site_code: Option<SmolStr>,
    /// Secret of the connection keys. Nodes that share it, and later runs of one node, recognize an
    /// expired key as genuine. `None`: derived from the seed.
    pub key_secret: Option<KeySecret>,
    /// The smallest serial of a [`Position`](super::Position). A host that stores history sets it
    /// above the largest stored serial, so that the order survives a wall clock that stepped back
    /// between two runs. Zero: serials start from the wall clock.
    pub first_serial: u64,
    /// Time within which a lost connection can be resumed (CD2f). Default: 120 s.
    pub connection_state_ttl: Duration,
    /// Grace period of the members of a lost connection, unless its parameter `remainPresentFor`
    /// sets another. At most `connection_state_ttl`. Default: 15 s.
    pub remain_present_for: Duration,
    /// Minimum of `remainPresentFor`. Default: 1 s.
    pub min_remain_present_for: Duration,
    /// Longest silence of the server (CD2h), unless the connection's parameter `heartbeatInterval`
    /// sets another. A peer that is silent for twice as long counts as lost. Default: 15 s.
    pub idle_interval: Duration,
    /// Minimum of `heartbeatInterval`. Default: 5 s.
    pub min_idle_interval: Duration,
    /// Maximum of `heartbeatInterval`. Default: 30 min.
    pub max_idle_interval: Duration,
    /// Time before the expiry of a token at which the server requests a new one (RTN22). Default:
    /// 30 s.
    pub reauthorize_before: Duration,
    /// Members in one SYNC page. Default: 100.
    pub sync_page_members: usize,
    /// Estimated bytes of members in one SYNC page. A page has at least one member. Default: 64
    /// KiB.
    pub sync_page_bytes: usize,
    /// Maximum of SYNC pages, to all recipients together, in one call of `handle`. The rest is due
    /// at once; between two calls the host can apply backpressure. Default: 16.
    pub sync_pages_per_call: usize,
    /// Channels whose presence events are coalesced.
    pub coalesce: Vec<CoalesceRule>,
    /// Maximum of presence items in a frame that the server sends. Default: 200.
    pub items_per_broadcast: usize,
    /// Minimum time between two occupancy events of a channel, except when a number changes to or
    /// from zero. The same holds for what a node tells the others by the log about its attachments.
    /// Default: 5 s.
    pub occupancy_interval: Duration,
    /// History of the channels.
    pub history: HistoryOptions,
    /// Maximum of work in one call of `handle`: fired timers, removed members, drained connections.
    /// The rest is due at once. Default: 1,000.
    pub budget: usize,
    /// Whether the server emits [`Output::Event`](super::Output::Event). Default: true.
    pub events: bool,
    /// Limits for peers.
    pub limits: Limits,
    /// The log that this server shares with others, or with its later runs. `None`: it is alone, and
    /// its state ends with it.
    pub log: Option<LogOptions>,
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
            log: None,
        }
    }
}

/// Options of a node: a server whose changes go through a log.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LogOptions {
    /// Time of silence after which a node counts as gone: others remove its members then, as their
    /// grace periods end, and the node itself takes no new clients. Longer than `alive_interval`, by
    /// more than an entry may be late. Default: 6 s.
    pub lease: Duration,
    /// Longest silence of a node that has nothing to say. Above zero. Default: 2 s.
    pub alive_interval: Duration,
    /// Time between the nodes, by rank, before one does what another should have done. Default:
    /// 250 ms.
    pub stagger: Duration,
    /// Maximum of entries that are appended but not confirmed. What is proposed meanwhile goes into
    /// the next entry. 0 counts as 1. Default: 8.
    pub in_flight: usize,
    /// Maximum of estimated bytes of an entry, unless a single record is larger. Default: 256 KiB.
    pub entry_bytes: usize,
    /// Maximum of records that wait for the log. Beyond it requests are refused (50003). Default:
    /// 100,000.
    pub waiting_records: usize,
    /// Maximum of estimated bytes of the records that wait for the log. Default: 64 MiB.
    pub waiting_bytes: usize,
    /// How long a request waits to be appended before it is refused (50003). Default: 10 s.
    pub wait: Duration,
    /// What a node without its log does with its clients. Default: [`WithoutLog::Leave`].
    pub without_log: WithoutLog,
    /// Entries after which the first node writes a snapshot. Default: 100,000.
    pub snapshot_entries: u64,
    /// Estimated bytes of entries after which the first node writes a snapshot. Default: 64 MiB.
    pub snapshot_bytes: u64,
    /// Estimated bytes of a page of a snapshot. Default: 256 KiB.
    pub snapshot_page_bytes: usize,
}

/// What a node does with its clients while it cannot reach the log for longer than the lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WithoutLog {
    /// It sends them away, so that they resume on a node that can. For several nodes.
    #[default]
    Leave,
    /// It keeps them: they see the members and wait for their changes. For a single node.
    Hold,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(6),
            alive_interval: Duration::from_secs(2),
            stagger: Duration::from_millis(250),
            in_flight: 8,
            entry_bytes: 256 << 10,
            waiting_records: 100_000,
            waiting_bytes: 64 << 20,
            wait: Duration::from_secs(10),
            without_log: WithoutLog::Leave,
            snapshot_entries: 100_000,
            snapshot_bytes: 64 << 20,
            snapshot_page_bytes: 256 << 10,
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

/// Coalesces the presence events of a channel, or of a group of channels. The first rule that
/// matches a new channel applies.
///
/// Within the window the last update of a member wins, and an enter and a leave cancel each other.
/// Acknowledgements, history and events for the host are not delayed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CoalesceRule {
    /// A channel name, or a pattern as in a [`Capability`](super::Capability).
    pub channels: SmolStr,
    /// The window. Zero: no coalescing.
    pub window: Duration,
}

impl CoalesceRule {
    /// Creates a rule.
    pub fn new(channels: impl Into<SmolStr>, window: Duration) -> Self {
        Self { channels: channels.into(), window }
    }
}

/// History of the presence events of each channel (RTP12).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HistoryOptions {
    /// Age at which an event is dropped. Zero: no history, and a connection that was congested
    /// always receives a sync. Default: 2 min.
    pub retention: Duration,
    /// Maximum of events of one channel. Default: 5,000.
    pub events: usize,
    /// Maximum of estimated bytes of one channel. Default: 1 MiB.
    pub bytes: usize,
    /// Maximum of estimated bytes of all channels together. At the maximum, a channel that adds an
    /// event drops its own oldest; other channels keep theirs. Default: 256 MiB.
    pub total_bytes: usize,
}

impl HistoryOptions {
    /// Whether there is any history.
    pub(super) const fn is_enabled(&self) -> bool {
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

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a rate and a burst, no more")]
pub struct Rate {
    /// Sustained events per second. Zero: no limit.
    pub per_second: u32,
    /// Size of the bucket, in events.
    pub burst: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self { per_second: 0, burst: 0 };
}

/// Limits for peers, each with the error code beyond it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections, including lost ones that can still be resumed. Beyond it a new one receives
    /// DISCONNECTED (50003). Default: 1,000,000.
    pub connections: usize,
    /// Attached channels of one connection (90010). Default: 200.
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
    /// The same for the members of one connection on all channels (91006). Default: 64 MiB.
    pub member_bytes_per_connection: usize,
    /// The same for all channels together (91006). Default: 1 GiB.
    pub member_bytes: usize,
    /// Bytes of one presence message or message (TP5, TM6; 40009). Default: 65,536.
    pub message_size: usize,
    /// Bytes of one frame, sent in CONNECTED (CD2d). The host enforces it before it decodes.
    /// Default: 524,288.
    pub frame_size: usize,
    /// Presence messages or messages in one frame (40009). Default: 1,000.
    pub items_per_frame: usize,
    /// Bytes of the names and values of one channel's parameters (40003). Default: 4,096.
    pub params: usize,
    /// Rate of frames from one connection. Beyond it a frame that requires an acknowledgement is
    /// refused (42911), any other is dropped. Default: 1,000 a second, 2,000 at once.
    pub inbound: Rate,
    /// Maximum of frames refused above the inbound rate, less those admitted later. Beyond it the
    /// transport is closed (42920). Default: 10,000.
    pub refused_frames: u32,
    /// Rate of presence events and messages on one channel (42913). Default: 10,000 a second,
    /// 20,000 at once.
    pub channel: Rate,
    /// Answers to the frames of a congested connection after which its transport is closed (42920).
    /// Default: 1,000.
    pub replies_while_congested: u32,
    /// Queued frames of one connection while an earlier frame, which removes more members than
    /// [`ServerOptions::budget`], is unfinished. Beyond it the transport is closed (42920).
    /// Default: 100.
    pub waiting_frames: usize,
    /// Rate of syncs that one attachment requests, by SYNC or by attaching again. Requests beyond
    /// it are merged into one, which is sent as soon as the rate allows. Default: 1 a second, 3 at
    /// once.
    pub syncs: Rate,
    /// The same for all attachments of a connection together, including new ones. Default: 20 a
    /// second, 400 at once.
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
