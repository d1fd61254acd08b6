//! The server half: the presence authority.
//!
//! A [`Server`] holds the member sets of all channels, notifies subscribers of changes, syncs new
//! subscribers, keeps members through short disconnections and removes them when their grace period
//! ends. It does no I/O: the host passes in [`Input`]s and carries out [`Output`]s.
//!
//! # Duties of the host
//!
//! - Authenticate each peer, then pass in [`Input::Opened`] with the verified identity and
//!   capability. The server enforces both, whatever the peer's frames contain.
//! - Decode frames, at most [`Limits::frame_size`] bytes long. Pass in anything else as
//!   [`Input::Undecodable`].
//! - Answer [`Output::Ping`] with a ping of the transport, and pass in [`Input::Activity`] for each
//!   pong. Otherwise an idle peer counts as lost.
//! - Apply backpressure: pass in [`Input::Congested`] when the send queue of a transport is long
//!   and [`Input::Writable`] when it is short again. Broadcasts skip a congested transport at no
//!   cost. Afterwards it receives the missed events if they are few, else a sync. A running sync
//!   pauses.
//! - Persist each [`Output::Event`], if at all, before carrying out the outputs that follow it.
//!   Then no acknowledged event is lost.
//!
//! # When members leave
//!
//! | event | members of the connection |
//! |---|---|
//! | LEAVE, DETACH, CLOSE, a revoked right | leave at once |
//! | transport lost, or peer silent | leave after `remainPresentFor`, unless the connection resumes |
//! | resume | stay; those on channels not attached again within `remainPresentFor` leave then |
//! | resume, then ATTACH without a channel serial (the client detached in between) | leave at once |
//! | resume by a second transport | stay; the first transport is closed |
//! | `Input::Kick` | leave at once, and may enter again |
//! | `Input::Drain` | as if the transport was lost |
//!
//! One call removes at most [`ServerOptions::budget`] members. The rest is due at once. A final
//! answer (CLOSED, DETACHED, ACK) is sent when all have left; later frames of the connection wait
//! for it, in order.
//!
//! # Several nodes
//!
//! With [`ServerOptions::log`] a server is a node: its changes go through a log that it shares with
//! other nodes, or with its own later runs. All nodes have the same members, and a client can come
//! back on any of them. `docs/cluster.md` says what is promised. Here a list is the log, and a node
//! is lost:
//!
//! ```
//! use presence_proto::server::{
//!     Capability, ConnectRequest, Identity, Input, KeySecret, LogOptions, LogPosition, Outbox,
//!     Output, PresenceQuery, Server, ServerEvent, ServerOptions, output,
//! };
//! use presence_proto::wire::{Action, PresenceAction, PresenceMessage, ProtocolMessage};
//! use presence_proto::{Now, TransportId};
//! use std::{collections::VecDeque, sync::Arc};
//!
//! /// Passes an input to a node, and each entry that it appends to all nodes.
//! fn pass(nodes: &mut [Server], log: &mut u64, node: usize, input: Input) -> Vec<Output> {
//!     let (mut inputs, mut outputs) = (VecDeque::from([(node, input)]), Vec::new());
//!     while let Some((node, input)) = inputs.pop_front() {
//!         let mut out = Outbox::new();
//!         nodes[node].handle(Now::from_millis(1_000), input, &mut out);
//!         for output in out {
//!             if let Output::Append(output::Append { entry, .. }) = output {
//!                 *log += 1;
//!                 let entry = Input::committed(LogPosition(*log), entry);
//!                 inputs.extend((0..nodes.len()).map(|node| (node, entry.clone())));
//!             } else {
//!                 outputs.push(output);
//!             }
//!         }
//!     }
//!     outputs
//! }
//!
//! let mut log = 0;
//! let mut nodes = ["a", "b"].map(|name| {
//!     let mut options = ServerOptions::default();
//!     (options.node, options.key_secret) = (name.into(), Some(KeySecret([7; 32])));
//!     options.log = Some(LogOptions::default());
//!     Server::new(options, [name.as_bytes()[0]; 32])
//! });
//! (0..2).for_each(|node| _ = pass(&mut nodes, &mut log, node, Input::LogAvailable));
//! let request = |name: &str| ConnectRequest::new(Identity::Client(name.into()), Arc::new(Capability::all()));
//! let mut frame = ProtocolMessage::new(Action::Attach);
//! frame.channel = Some("room".into());
//! // Alice is on node a, Bob on node b. She enters.
//! let opened = pass(&mut nodes, &mut log, 0, Input::opened(TransportId(1), request("alice")));
//! pass(&mut nodes, &mut log, 1, Input::opened(TransportId(2), request("bob")));
//! pass(&mut nodes, &mut log, 0, Input::received(TransportId(1), frame.clone()));
//! pass(&mut nodes, &mut log, 1, Input::received(TransportId(2), frame.clone()));
//! frame.action = Action::Presence;
//! frame.presence = [PresenceMessage::new(PresenceAction::Enter)].into_iter().collect();
//! pass(&mut nodes, &mut log, 0, Input::received(TransportId(1), frame));
//! // Node a is lost. She resumes on node b, and nobody is told of a leave.
//! let key = opened.iter().find_map(|output| match output {
//!     Output::Send(output::Send { frame, .. }) => frame.head().connection_details.clone()?.connection_key,
//!     _ => None,
//! });
//! let mut resume = request("alice");
//! resume.resume = key;
//! let outputs = pass(&mut nodes[1..], &mut log, 0, Input::opened(TransportId(3), resume));
//! assert!(!outputs.iter().any(|output| matches!(output, Output::Event(ServerEvent::MemberLeft(_)))));
//! assert_eq!(nodes[1].counters().resumed, 1);
//! assert_eq!(nodes[1].presence("room", &PresenceQuery::default())?.items.len(), 1);
//! # Ok::<(), presence_proto::wire::ErrorInfo>(())
//! ```
//!
//! # Order and time
//!
//! Positions order the events of a channel; timestamps do not. A timestamp is the wall clock of the
//! call, which may step back. Only a leave that the server synthesizes is stamped later than the
//! member it removes, so that a client that compares them takes the leave for newer (RTP2b1a).

mod access;
mod adoption;
mod attach;
mod bucket;
mod commit;
mod congestion;
mod connections;
mod counters;
mod deadlines;
mod delivery;
mod departures;
mod entry;
mod frame;
pub mod input;
mod keys;
mod lifecycle;
mod log;
mod notify;
mod occupancy;
mod options;
pub mod output;
mod presence;
mod proposals;
mod publish;
mod query;
mod recipients;
mod record;
mod replication;
mod reset;
mod send;
mod snapshots;
mod state;
mod status;
mod syncs;
mod timers;
mod unfinished;
mod wheel;

pub use access::{Capability, Identity, Operations};
pub use counters::Counters;
pub use delivery::Occupancy;
pub use entry::{Entry, EntryError, EntryId, LogPosition, SnapshotPage};
pub use frame::Frame;
pub use input::{ConnectRequest, Input};
pub use options::{
    CoalesceRule, HistoryOptions, KeySecret, Limits, LogOptions, Rate, ServerOptions, WithoutLog,
};
pub use output::{Halt, LeaveCause, Misuse, Output, Position, ServerEvent, Token};
pub use query::{
    Direction, HistoryPage, HistoryQuery, MAX_PAGE, ParsePositionError, PresencePage, PresenceQuery,
};
pub use recipients::Recipients;
pub use status::{LogStatus, NodeStatus};

use crate::time::sooner;
use crate::wire::{Action, ErrorInfo, ProtocolMessage, codes};
use crate::{Instant, Now, SmolStr, TransportId, Wake};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use connections::Connections;
use delivery::Delivery;
use keys::Keys;
use lifecycle::Draining;
use replication::Replication;
use state::{ChannelSlot, ConnectionSlot, State};
use timers::Timers;
use unfinished::Unfinished;

/// The outbox that a [`Server`] puts its outputs into.
pub type Outbox = crate::Outbox<Output>;

/// The presence authority of any number of channels. See the [module](self).
#[derive(Clone, Debug)]
pub struct Server {
    options: ServerOptions,
    /// The time of the call; the monotonic part never steps back.
    now: Now,
    /// The time of what is being applied: that of the call, or of an entry of the log.
    at: Now,
    counters: Counters,
    keys: Keys,
    // The four parts: ARCHITECTURE.md says what each owns.
    state: State,
    connections: Connections,
    delivery: Delivery,
    timers: Timers,
    /// The node's part in the log; `None` without one.
    replication: Option<Box<Replication>>,
    /// The largest transport number so far.
    highest_transport: Option<u64>,
    draining: Option<Draining>,
    /// The rest of this call's budget.
    budget: usize,
    /// Work beyond the budget of the call that started it, oldest first.
    unfinished: VecDeque<Unfinished>,
}

impl Server {
    /// Creates a server. Connection ids, and connection keys unless the options have a secret,
    /// derive from the seed: it must be unpredictable and never used twice.
    #[must_use]
    pub fn new(options: ServerOptions, seed: [u8; 32]) -> Self {
        let mut keys = Keys::new(seed, options.key_secret);
        let node: alloc::string::String = options.node.chars().take(64).collect();
        let epoch = keys.random() >> 32;
        let connections = Connections::new(keys.random());
        let seed = keys.random();
        let mut state =
            State::new(options.history, options.events, &node, epoch, options.first_serial, seed);
        let replication = options.log.map(|log| {
            let ttl = options.connection_state_ttl.as_millis();
            state.follow_log(i64::try_from(ttl).unwrap_or(i64::MAX));
            Box::new(Replication::new(log))
        });
        Self {
            now: Now::default(),
            at: Now::default(),
            counters: Counters::default(),
            state,
            connections,
            delivery: Delivery::new(),
            timers: Timers::new(),
            replication,
            highest_transport: None,
            draining: None,
            budget: 0,
            unfinished: VecDeque::new(),
            keys,
            options,
        }
    }

    /// The same server with other seeds for its hash tables, which must make no difference. For
    /// tests, before the first input.
    #[doc(hidden)]
    #[must_use]
    pub fn with_hash_seed(mut self, seed: u64) -> Self {
        self.connections = Connections::new(seed);
        self.state.set_hash_seed(seed.rotate_left(17));
        self
    }

    /// Fires due timers, applies the input, emits outputs, and returns the next deadline.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Outbox) -> Wake {
        self.now = Now::new(now.mono.max(self.now.mono), now.wall);
        self.at = self.now;
        self.budget = self.options.budget.max(1);
        self.fire_timers(out);
        self.apply(input, out);
        if self.replication.is_some() {
            self.replicate(out);
        }
        self.deliver_batches(out);
        self.send_sync_pages(out);
        self.next_wake()
    }

    /// The options in force.
    #[must_use]
    pub const fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// Gauges and counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let dangling =
            self.state.dangling() + self.connections.dangling() + self.delivery.dangling();
        Counters {
            connections: self.connections.len() as u64,
            transports: self.connections.transports() as u64,
            channels: self.state.channels() as u64,
            attachments: self.connections.attachments() as u64,
            members: self.state.members() as u64,
            member_bytes: self.state.member_bytes() as u64,
            history_bytes: self.state.history_bytes() as u64,
            syncs_running: self.delivery.syncs_running() as u64,
            congested: self.connections.congested() as u64,
            internal_errors: self.counters.internal_errors + dangling as u64,
            ..self.counters
        }
    }

    /// Number of armed timers: at most one per connection and one per channel.
    #[must_use]
    pub const fn timers(&self) -> usize {
        self.timers.armed()
    }

    /// A page of a channel's members (RSP3); an unknown channel has none.
    ///
    /// # Errors
    ///
    /// 40003 if the limit is zero or above [`MAX_PAGE`].
    pub fn presence(
        &self,
        channel: &str,
        query: &PresenceQuery,
    ) -> Result<PresencePage, ErrorInfo> {
        let limit = state::check_limit(query.limit)?;
        let Some(channel) = self.state.by_name(channel) else {
            return Ok(PresencePage::default());
        };
        Ok(PresencePage::of(self.state.channel(channel).members(), query, limit))
    }

    /// A page of a channel's presence events in memory (RSP4); an unknown channel has none.
    ///
    /// # Errors
    ///
    /// 40003 if the limit is zero or above [`MAX_PAGE`], or a serial is malformed; 90008 if the
    /// events until that attach are no longer in memory.
    pub fn history(&self, channel: &str, query: &HistoryQuery) -> Result<HistoryPage, ErrorInfo> {
        match self.state.by_name(channel) {
            Some(channel) => self.state.channel(channel).history().page(self.now.mono, query),
            None => state::History::default().page(self.now.mono, query),
        }
    }

    /// Everything that follows from the log, as text: equal on all replicas that have applied the same
    /// entries. Without histories. For tests; O(n).
    #[doc(hidden)]
    #[must_use]
    pub fn fold(&self) -> alloc::string::String {
        use core::fmt::Write as _;
        self.state.canonical_parts().iter().fold(alloc::string::String::new(), |mut text, part| {
            let _ = writeln!(text, "{part:?}");
            text
        })
    }

    /// The position of the last entry that is applied in full; `None` without a log, or while an
    /// entry is being applied.
    #[must_use]
    pub fn position(&self) -> Option<LogPosition> {
        let replication = self.replication.as_ref()?;
        replication.applying.is_none().then(|| LogPosition(self.state.position()))
    }

    /// The current occupancy of a channel; zeros for an unknown channel. With a log it is the sum over
    /// all nodes, of which others may be [`occupancy_interval`](ServerOptions::occupancy_interval)
    /// behind.
    #[must_use]
    pub fn occupancy(&self, channel: &str) -> Occupancy {
        let channel = self.state.by_name(channel);
        channel.map(|channel| self.occupancy_of(channel)).unwrap_or_default()
    }

    /// The id of the connection of a transport.
    #[must_use]
    pub fn connection_id(&self, transport: TransportId) -> Option<&SmolStr> {
        let slot = self.connections.by_transport(transport)?;
        Some(self.state.connection(slot).id())
    }

    fn apply(&mut self, input: Input, out: &mut Outbox) {
        match input {
            Input::Tick => {}
            Input::Opened(input::Opened { transport, request }) => {
                self.open(transport, request, out)
            }
            Input::Received(input::Received { transport, frame }) => {
                if let Some(slot) = self.active_connection(transport, out) {
                    self.received(slot, frame, out);
                }
            }
            Input::Undecodable(input::Undecodable { transport, error }) => {
                if let Some(slot) = self.active_connection(transport, out) {
                    self.counters.protocol_errors += 1;
                    self.fail(slot, error, out);
                }
            }
            Input::Activity(input::Activity { transport }) => {
                self.active_connection(transport, out);
            }
            Input::Closed(input::Closed { transport }) => {
                if !self.transport_lost(transport, out) {
                    self.unknown_transport(transport, out);
                }
            }
            Input::Congested(input::Congested { transport }) => {
                if let Some(slot) = self.connection_of(transport, out) {
                    self.congested(slot);
                }
            }
            Input::Writable(input::Writable { transport }) => {
                if let Some(slot) = self.connection_of(transport, out) {
                    self.writable(slot, out);
                }
            }
            Input::Authorized(input::Authorized {
                transport,
                identity,
                capability,
                expires,
                ..
            }) => {
                if let Some(slot) = self.connection_of(transport, out) {
                    self.authorized(slot, identity, capability, expires, out);
                }
            }
            Input::AuthorizationFailed(input::AuthorizationFailed { transport, error }) => {
                if let Some(slot) = self.connection_of(transport, out) {
                    self.fail(slot, error, out);
                }
            }
            Input::Disconnect(input::Disconnect { transport, error }) => {
                if let Some(slot) = self.connection_of(transport, out) {
                    self.disconnect(slot, error, out);
                }
            }
            Input::Kick(input::Kick { channel, client_id, connection_id }) => {
                self.kick(&channel, client_id, connection_id, out);
            }
            Input::Drain(input::Drain { over }) => self.drain(over, out),
            Input::Committed(input::Committed { position, entry }) => {
                self.committed(position, entry);
            }
            Input::Restore(input::Restore { page }) => self.restore(page, out),
            Input::AppendFailed(input::AppendFailed { entry, definite }) => {
                self.append_failed(entry, definite);
            }
            Input::LogReset => self.log_reset(out),
            Input::LogAvailable => self.log_available(),
            Input::LogUnavailable => self.log_unavailable(),
        }
    }

    /// The connection of a transport. Without one it reports a misuse, unless the transport was
    /// open before: then the input was in flight when it closed.
    fn connection_of(
        &mut self,
        transport: TransportId,
        out: &mut Outbox,
    ) -> Option<ConnectionSlot> {
        let slot = self.connections.by_transport(transport);
        if slot.is_none() {
            self.unknown_transport(transport, out);
        }
        slot
    }

    #[cold]
    fn unknown_transport(&mut self, transport: TransportId, out: &mut Outbox) {
        if self.highest_transport.is_none_or(|highest| transport.0 > highest) {
            self.misuse(Misuse::UnknownTransport(transport), out);
        }
    }

    /// The connection of a transport whose peer has just shown that it is alive.
    fn active_connection(
        &mut self,
        transport: TransportId,
        out: &mut Outbox,
    ) -> Option<ConnectionSlot> {
        let slot = self.connection_of(transport, out)?;
        self.connections.get_mut(slot).set_last_heard(self.now.mono);
        Some(slot)
    }

    fn misuse(&mut self, misuse: Misuse, out: &mut Outbox) {
        self.counters.misuse += 1;
        out.push(Output::Misuse(misuse));
    }

    fn received(&mut self, slot: ConnectionSlot, frame: ProtocolMessage, out: &mut Outbox) {
        self.counters.frames_in += 1;
        if !self.check_rate(slot, &frame, out) {
            return;
        }
        if self.is_busy(slot) || self.is_starting_over() {
            self.enqueue(slot, frame, out);
        } else {
            self.process(slot, frame, out);
        }
    }

    /// Processes a frame.
    fn process(&mut self, slot: ConnectionSlot, frame: ProtocolMessage, out: &mut Outbox) {
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
                let error = ErrorInfo::new(
                    codes::BAD_REQUEST,
                    400,
                    "This server does not support this action",
                );
                self.nack(slot, frame.msg_serial.unwrap_or(0), error, out);
            }
            // The client is about to close the transport (DISCONNECT), a frame that only a server
            // sends, or an unknown action (RSF1): all are ignored.
            _ => {}
        }
    }

    fn heartbeat(&mut self, slot: ConnectionSlot, frame: ProtocolMessage, out: &mut Outbox) {
        let answer = ProtocolMessage { id: frame.id, ..ProtocolMessage::new(Action::Heartbeat) };
        self.reply(slot, answer, out);
    }

    /// The next deadline, as the last [`handle`](Self::handle) returned it.
    #[inline]
    pub fn next_wake(&self) -> Wake {
        let unfinished = !self.unfinished.is_empty() && !self.is_starting_over();
        if self.delivery.is_syncing() || unfinished {
            return Wake::at_opt(Some(self.now.mono));
        }
        let draining = self.draining.as_ref().and_then(Draining::next);
        let node = sooner(draining, self.replication_deadline());
        Wake::at_opt(sooner(self.timers.next(), node))
    }

    /// Reports a broken invariant: an assertion in tests, a counter in production.
    #[cold]
    fn broken(&mut self, invariant: &str) {
        debug_assert!(false, "{invariant}");
        self.counters.internal_errors += 1;
    }

    fn arm(&mut self, slot: ConnectionSlot) {
        let deadline = self.connections.get(slot).deadline(self.options.connection_state_ttl);
        self.timers.arm_connection(slot, deadline);
    }

    /// Arms or cancels the timer of a channel.
    fn arm_channel(&mut self, slot: ChannelSlot) {
        let history = self.state.channel(slot).history().deadline();
        self.timers.set_channel(slot, sooner(history, self.delivery.feed(slot).deadline()));
    }

    /// Removes a channel without attachments, members and history. Returns whether it did.
    fn close_channel_if_unused(&mut self, slot: ChannelSlot) -> bool {
        if !self.state.channel(slot).is_unused() || !self.delivery.feed(slot).is_unused() {
            return false;
        }
        self.timers.set_channel(slot, None);
        self.delivery.close(slot);
        self.state.close_channel(slot);
        true
    }

    /// The monotonic time of a wall-clock time.
    fn deadline_of(&self, time: crate::UnixMillis) -> Instant {
        let left = time.as_millis().saturating_sub(self.now.wall.as_millis());
        self.now.mono + core::time::Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }
}
