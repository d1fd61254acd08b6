//! The server half: the presence authority.
//!
//! A [`Server`] holds the member sets of all channels, tells every subscriber of changes, syncs
//! newcomers, keeps members through short disconnections and removes them when their grace ends.
//! It knows nothing of sockets: the host gives it [`Input`]s and carries out its [`Output`]s.
//!
//! # What the host does
//!
//! - It authenticates peers and hands in verified facts with [`Input::Open`]: an identity and a
//!   capability. The server holds peers to them, whatever their frames say.
//! - It decodes frames, no larger than [`Limits::frame_size`], and hands in what cannot be decoded
//!   as [`Input::Undecodable`].
//! - It answers [`Output::Ping`] with a ping of the transport and tells every pong by
//!   [`Input::Activity`]; otherwise quiet peers are taken for lost.
//! - It tells when its send queue for a transport grows long ([`Input::Congested`]) and short again
//!   ([`Input::Writable`]). A congested transport costs the server nothing: it is left out of
//!   broadcasts, and afterwards told what it missed, by events if they are few, else by a sync. A
//!   sync that is under way waits, and goes on.
//! - It persists [`Output::Event`]s, if it wants to, before it carries out the outputs that follow:
//!   then no acknowledged event is ever lost.
//!
//! # What the server does when
//!
//! | what happens | what becomes of the connection's members |
//! |---|---|
//! | leave, DETACH, CLOSE, a lost right | they leave at once |
//! | the transport is lost, or its peer silent | they leave after `remainPresentFor`, unless the connection comes back |
//! | the connection comes back (resume) | they stay; channels that it does not attach again within `remainPresentFor` lose them |
//! | it comes back and attaches a channel anew, without a channel serial: it had detached meanwhile | they leave at once |
//! | another transport resumes the connection | they stay; the old transport is closed |
//! | `Input::Kick` | they leave at once, and may enter again |
//! | `Input::Drain` | as when the transport is lost |
//!
//! One call takes out no more members than [`ServerConfig::budget`] allows, for whatever reason. The
//! rest is due at once; what is answered when all have left (CLOSED, DETACHED, ACK) is answered then,
//! and later frames of the connection wait for it, in order.
//!
//! # Order and time
//!
//! Events of a channel are ordered by their positions, never by their stamps. A stamp is the wall clock
//! of the call, which may have been set back. Only a leave that the server makes up is stamped later
//! than the member that it removes, so that whoever compares them sees that it is newer (RTP2b1a).

mod access;
mod attach;
mod channel;
mod coalesce;
mod config;
mod congestion;
mod connection;
mod counters;
mod departures;
mod history;
mod input;
mod keys;
mod lifecycle;
mod limits;
mod occupancy;
mod output;
mod presence;
mod publish;
mod query;
mod recipients;
mod roster;
mod send;
mod stream;
mod sync;
mod tell;
mod unfinished;
mod wheel;

pub use access::{Capability, Identity, Operations};
pub use config::{CoalesceRule, HistoryConfig, KeySecret, Limits, Rate, ServerConfig};
pub use counters::Counters;
pub use input::{ConnectRequest, Input};
pub use occupancy::Occupancy;
pub use output::{LeaveCause, Misuse, Output, Position, ServerEvent, Token};
pub use query::{
    Direction, HistoryPage, HistoryQuery, MAX_PAGE, ParsePositionError, PresencePage, PresenceQuery,
};
pub use recipients::Recipients;

use crate::members::Slot;
use crate::wire::{Action, ErrorInfo, ProtocolMessage};
use crate::{Instant, Now, SmolStr, TransportId, Wake};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use channel::Channels;
use connection::Connections;
use departures::LeaveIds;
use keys::Keys;
use lifecycle::Draining;
use stream::Stream;
use unfinished::Unfinished;
use wheel::Wheel;

/// The outbox that a [`Server`] puts its outputs into.
pub type Outbox = crate::Outbox<Output>;

/// The presence authority for any number of channels. See the [module](self).
#[derive(Clone, Debug)]
pub struct Server {
    config: ServerConfig,
    /// The time of the call; the monotonic part never steps back.
    now: Now,
    counters: Counters,
    keys: Keys,
    stream: Stream,
    leave_ids: LeaveIds,
    connections: Connections,
    channels: Channels,
    /// One timer for each connection, and one for each channel.
    timers: Wheel,
    channel_timers: Wheel,
    /// Attachments whose sync is under way, in turn.
    syncs: VecDeque<Slot>,
    /// Channels with leaves that wait for the end of the step.
    gathered: Vec<Slot>,
    /// The largest number that a transport ever had.
    highest_transport: Option<u64>,
    /// Bytes of the histories of all channels.
    history_bytes: usize,
    draining: Option<Draining>,
    /// What is left of the budget of this call.
    budget: usize,
    /// What did not fit into the budget of the call that asked for it, in turn.
    unfinished: VecDeque<Unfinished>,
}

impl Server {
    /// A server. The seed, which must be unpredictable and never used twice, is where connection
    /// ids and, if the configuration has no secret, connection keys come from.
    #[must_use]
    pub fn new(config: ServerConfig, seed: [u8; 32]) -> Self {
        let mut keys = Keys::new(seed, config.key_secret);
        let node: alloc::string::String = config.node.chars().take(64).collect();
        let epoch = keys.random() >> 32;
        Self {
            now: Now::default(),
            counters: Counters::default(),
            stream: Stream::new(config.first_serial),
            leave_ids: LeaveIds::new(&node, epoch),
            connections: Connections::new(keys.random()),
            channels: Channels::new(keys.random()),
            timers: Wheel::new(),
            channel_timers: Wheel::new(),
            syncs: VecDeque::new(),
            gathered: Vec::new(),
            highest_transport: None,
            history_bytes: 0,
            draining: None,
            budget: 0,
            unfinished: VecDeque::new(),
            keys,
            config,
        }
    }

    /// The same server with other seeds for its hash tables, which must make no difference. For
    /// tests, before the first input.
    #[doc(hidden)]
    #[must_use]
    pub fn with_hash_seed(mut self, seed: u64) -> Self {
        self.connections = Connections::new(seed);
        self.channels = Channels::new(seed.rotate_left(17));
        self
    }

    /// Fires what is due, applies the input, and tells when to call again.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Outbox) -> Wake {
        self.now = Now::new(now.mono.max(self.now.mono), now.wall);
        self.budget = self.config.budget.max(1);
        self.fire_timers(out);
        self.apply(input, out);
        self.tell_gathered(out);
        self.send_sync_pages(out);
        self.count_what_is_there();
        self.wake()
    }

    /// The settings in force.
    #[must_use]
    pub const fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// What the server counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many timers run: at most one for each connection and one for each channel.
    #[must_use]
    pub const fn timers(&self) -> usize {
        self.timers.armed() + self.channel_timers.armed()
    }

    /// Some of the members of a channel (RSP3); none of a channel that nobody knows.
    ///
    /// # Errors
    ///
    /// 40003 if the limit is zero or above [`MAX_PAGE`].
    pub fn presence(
        &self,
        channel: &str,
        query: &PresenceQuery,
    ) -> Result<PresencePage, ErrorInfo> {
        let limit = history::check_limit(query.limit)?;
        let slot = self.channels.by_name(channel);
        let Some(entry) = slot.and_then(|slot| self.channels.get(slot)) else {
            return Ok(PresencePage::default());
        };
        let from = query.after.unwrap_or(0);
        Ok(match &query.client_id {
            Some(client_id) => {
                let slots = entry.members.slots_of_client(client_id, from).into_iter();
                let members = slots.filter_map(|slot| Some((slot, entry.members.get(slot)?)));
                PresencePage::collect(members, query, limit)
            }
            None => PresencePage::collect(entry.members.iter_from(from), query, limit),
        })
    }

    /// Some of the presence events of a channel that memory holds (RSP4); none of a channel that
    /// nobody knows.
    ///
    /// # Errors
    ///
    /// 40003 if the limit is zero or above [`MAX_PAGE`], or a serial is malformed; 90008 if the
    /// events until that attach are no longer in memory.
    pub fn history(&self, channel: &str, query: &HistoryQuery) -> Result<HistoryPage, ErrorInfo> {
        match self.channels.by_name(channel).and_then(|slot| self.channels.get(slot)) {
            Some(entry) => entry.history.page(self.now.mono, query),
            None => history::History::default().page(self.now.mono, query),
        }
    }

    /// How many of each kind use a channel now; zeros for a channel that nobody knows.
    #[must_use]
    pub fn occupancy(&self, channel: &str) -> Occupancy {
        let slot = self.channels.by_name(channel);
        slot.and_then(|slot| self.channels.get(slot))
            .map(channel::Channel::occupancy)
            .unwrap_or_default()
    }

    /// The id of the connection that a transport serves.
    #[must_use]
    pub fn connection_id(&self, transport: TransportId) -> Option<&SmolStr> {
        let slot = self.connections.by_transport(transport)?;
        self.connections.get(slot).map(|connection| &connection.id)
    }

    fn apply(&mut self, input: Input, out: &mut Outbox) {
        match input {
            Input::Tick => {}
            Input::Open { transport, request } => self.open(transport, request, out),
            Input::Received { transport, frame } => {
                if let Some(slot) = self.heard(transport, out) {
                    self.received(slot, frame, out);
                }
            }
            Input::Undecodable { transport, error } => {
                if let Some(slot) = self.heard(transport, out) {
                    self.counters.protocol_errors += 1;
                    self.fail(slot, error, out);
                }
            }
            Input::Activity { transport } => {
                self.heard(transport, out);
            }
            Input::Closed { transport } => {
                if !self.lose(transport, out) {
                    self.unknown(transport, out);
                }
            }
            Input::Congested { transport } => {
                if let Some(slot) = self.known(transport, out) {
                    self.congested(slot);
                }
            }
            Input::Writable { transport } => {
                if let Some(slot) = self.known(transport, out) {
                    self.writable(slot, out);
                }
            }
            Input::Authorized { transport, identity, capability, expires } => {
                if let Some(slot) = self.known(transport, out) {
                    self.authorized(slot, identity, capability, expires, out);
                }
            }
            Input::AuthorizationFailed { transport, error } => {
                if let Some(slot) = self.known(transport, out) {
                    self.fail(slot, error, out);
                }
            }
            Input::Disconnect { transport, error } => {
                if let Some(slot) = self.known(transport, out) {
                    self.disconnect(slot, error, out);
                }
            }
            Input::Kick { channel, client_id, connection_id } => {
                self.kick(&channel, client_id, connection_id, out);
            }
            Input::Drain { over } => self.drain(over, out),
        }
    }

    /// The connection of a transport. If there is none the host is told, unless the transport was
    /// closed a moment ago and what came from it was under way.
    fn known(&mut self, transport: TransportId, out: &mut Outbox) -> Option<Slot> {
        let slot = self.connections.by_transport(transport);
        if slot.is_none() {
            self.unknown(transport, out);
        }
        slot
    }

    #[cold]
    fn unknown(&mut self, transport: TransportId, out: &mut Outbox) {
        if self.highest_transport.is_none_or(|highest| transport.0 > highest) {
            self.misuse(Misuse::UnknownTransport(transport), out);
        }
    }

    /// The same, and notes that its peer is alive.
    fn heard(&mut self, transport: TransportId, out: &mut Outbox) -> Option<Slot> {
        let slot = self.known(transport, out)?;
        self.connections.get_mut(slot)?.since = self.now.mono;
        Some(slot)
    }

    fn misuse(&mut self, misuse: Misuse, out: &mut Outbox) {
        self.counters.misuse += 1;
        out.push(Output::Misuse(misuse));
    }

    fn received(&mut self, slot: Slot, frame: ProtocolMessage, out: &mut Outbox) {
        self.counters.frames_in += 1;
        if !self.admit(slot, &frame, out) {
            return;
        }
        if self.is_busy(slot) {
            self.hold(slot, frame, out);
        } else {
            self.carry_out(slot, frame, out);
        }
    }

    /// Does what a frame asks for.
    fn carry_out(&mut self, slot: Slot, frame: ProtocolMessage, out: &mut Outbox) {
        match frame.action {
            Action::Heartbeat => self.heartbeat(slot, frame, out),
            Action::Attach => self.attach(slot, frame, out),
            Action::Detach => self.detach(slot, frame, out),
            Action::Presence => self.presence_frame(slot, frame, out),
            Action::Message => self.message_frame(slot, frame, out),
            Action::Sync => self.sync_requested(slot, &frame),
            Action::Auth => self.auth_frame(slot, frame, out),
            Action::Close => self.close(slot, out),
            Action::Annotation | Action::Object => {
                let error = ErrorInfo::new(40000, 400, "This server does not handle such frames");
                self.nack(slot, frame.msg_serial.unwrap_or(0), error, out);
            }
            // The transport is about to close, or a frame that only a server sends, or one that
            // nobody knows (RSF1).
            _ => {}
        }
    }

    fn heartbeat(&mut self, slot: Slot, frame: ProtocolMessage, out: &mut Outbox) {
        let answer = ProtocolMessage { id: frame.id, ..ProtocolMessage::new(Action::Heartbeat) };
        self.reply(slot, answer, out);
    }

    fn count_what_is_there(&mut self) {
        self.counters.connections = self.connections.len() as u64;
        self.counters.transports = self.connections.transports() as u64;
        self.counters.channels = self.channels.len() as u64;
        self.counters.attachments = self.channels.attachments() as u64;
        self.counters.member_bytes = self.channels.member_bytes as u64;
        self.counters.history_bytes = self.history_bytes as u64;
    }

    fn wake(&self) -> Wake {
        if !self.syncs.is_empty() || !self.unfinished.is_empty() {
            return Wake::at_opt(Some(self.now.mono));
        }
        let draining = self.draining.as_ref().and_then(Draining::next);
        let timer = sooner(self.timers.next(), self.channel_timers.next());
        Wake::at_opt(sooner(timer, draining))
    }

    fn arm(&mut self, slot: Slot) {
        let ttl = self.config.connection_state_ttl;
        if let Some(connection) = self.connections.get(slot) {
            self.timers.arm(slot.number(), connection.deadline(ttl));
        }
    }

    fn arm_channel(&mut self, slot: Slot) {
        match self.channels.get(slot).and_then(channel::Channel::deadline) {
            Some(deadline) => self.channel_timers.arm(slot.number(), deadline),
            None => self.channel_timers.cancel(slot.number()),
        }
    }

    /// A deadline on the monotonic clock for a time on the wall clock.
    fn deadline_of(&self, time: crate::UnixMillis) -> Instant {
        let left = time.as_millis().saturating_sub(self.now.wall.as_millis());
        self.now.mono + core::time::Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }
}

/// The earlier of two deadlines.
fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
