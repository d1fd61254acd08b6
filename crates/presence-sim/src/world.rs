//! The world: clients, nodes, and the network between them.

use crate::clocks::clocks;
use crate::hosts::ClientHost;
use crate::log::SimLog;
use crate::network::{End, Latency, Link};
use crate::node::Node;
use crate::record::Call;
use crate::rules::Rule;
use crate::trace::Trace;
use core::fmt;
use core::time::Duration;
use presence_proto::client::{Client, ClientOptions};
use presence_proto::server::{Capability, Entry, Identity, ServerOptions, SnapshotPage};
use presence_proto::wire::Format;
use presence_proto::{Now, SmolStr, UnixMillis};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Packets that a node's host queues for a client before it reports congestion.
const QUEUE_LIMIT: usize = 16;

/// Real clients and real servers of `presence_proto`, connected by a simulated network and driven
/// by a virtual clock.
///
/// [`new`](Self::new) creates a world with one server, [`cluster`](Self::cluster) one with several
/// that share a log. A server and the process that hosts it are a node.
///
/// Nothing happens between calls. [`run_for`](Self::run_for) advances the clock and delivers
/// packets and deadlines as they fall due; [`step`](Self::step) performs the next one only. The
/// virtual time starts at 0 and is measured in milliseconds.
///
/// A run is deterministic: the same calls on a world with the same seed give the same outputs and
/// the same [`Trace`], byte for byte. A clone continues independently of its original.
///
/// Clients are addressed by the number that [`add_client`](Self::add_client) returns, nodes by
/// theirs, counted from 0. Unless a method says otherwise, it does nothing if there is no client or
/// node with this number. The [crate documentation](crate) shows a first test.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) now: u64,
    pub(crate) seed: u64,
    pub(crate) clients: Vec<ClientHost>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) log: SimLog<Entry, SnapshotPage>,
    /// How often the log has lost entries.
    pub(crate) log_resets: u64,
    pub(crate) links: BTreeMap<u64, Link>,
    pub(crate) next_link: u64,
    pub(crate) trace: Trace,
    pub(crate) calls: Option<Vec<Call>>,
    pub(crate) failure: Option<String>,
    pub(crate) queue_limit: usize,
    pub(crate) rules: Vec<Rule>,
}

impl World {
    /// Creates a world with one node and no clients. All randomness derives from `seed`: connection
    /// ids, connection keys and the jitter of retries.
    #[must_use]
    pub fn new(seed: u64, options: ServerOptions) -> Self {
        let mut world = Self {
            now: 0,
            seed,
            clients: Vec::new(),
            nodes: Vec::new(),
            log: SimLog::new(),
            log_resets: 0,
            links: BTreeMap::new(),
            next_link: 1,
            trace: Trace::default(),
            calls: None,
            failure: None,
            queue_limit: QUEUE_LIMIT,
            rules: Vec::new(),
        };
        world.add_node(options);
        world
    }

    /// Adds a client and returns its number; numbers count from 0. The client is not connected.
    ///
    /// `name` denotes the client in the trace. `identity` is the identity that the nodes' hosts
    /// verify when they authenticate the client's transports. Its capability is
    /// [`Capability::all`], its latency 20 ms in each direction.
    pub fn add_client(
        &mut self,
        name: impl Into<SmolStr>,
        identity: Identity,
        options: ClientOptions,
    ) -> usize {
        let number = self.clients.len();
        self.clients.push(ClientHost::new(name.into(), identity, options, self.seed, number));
        number
    }

    /// Sets the capability of a client. It applies to the next transport or token; open transports
    /// keep theirs.
    pub fn set_capability(&mut self, client: usize, capability: Capability) {
        if let Some(host) = self.clients.get_mut(client) {
            host.capability = Arc::new(capability);
        }
    }

    /// Lets the token of a client's next transport expire after `lifetime`, counted from now.
    /// Tokens of other transports do not expire.
    pub fn set_token_expiry(&mut self, client: usize, lifetime: Duration) {
        let wall = self.node_now(self.client_node(client)).wall.as_millis();
        let lifetime = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        if let Some(host) = self.clients.get_mut(client) {
            host.token_expires = Some(UnixMillis::from_millis(wall.saturating_add(lifetime)));
        }
    }

    /// Leaves token requests of a client to the caller: `TokenRequired` appears among its
    /// [`events`](crate::SimClient::events), and the caller answers with
    /// [`Input::Token`](presence_proto::client::Input::Token). By default the client's host
    /// answers at once with a valid token.
    pub fn set_manual_tokens(&mut self, client: usize) {
        if let Some(host) = self.clients.get_mut(client) {
            host.manual_tokens = true;
        }
    }

    /// Sets the latency between a client and its nodes, for packets that are sent from now on.
    /// Packets never overtake each other. Default: 20 ms in each direction.
    pub fn set_latency(&mut self, client: usize, latency: Latency) {
        if let Some(host) = self.clients.get_mut(client) {
            host.latency = latency;
        }
    }

    /// Encodes the frames of a client in this format, in both directions, and decodes them on
    /// arrival. By default (`None`) frames are passed on as values, which is faster.
    pub fn set_format(&mut self, client: usize, format: Option<Format>) {
        if let Some(host) = self.clients.get_mut(client) {
            host.format = format;
        }
    }

    /// Sets the number of packets that a node's host queues for a stalled client before it
    /// reports congestion ([`stall_down`](Self::stall_down)). Default: 16.
    pub const fn set_queue_limit(&mut self, packets: usize) {
        self.queue_limit = packets;
    }

    /// Records every call of a half from now on, for [`take_calls`](Self::take_calls).
    pub fn record_calls(&mut self) {
        self.calls.get_or_insert_default();
    }

    /// Removes and returns the calls recorded since the last time, oldest first. Empty unless
    /// [`record_calls`](Self::record_calls) was called.
    pub fn take_calls(&mut self) -> Vec<Call> {
        self.calls.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// The number of clients.
    #[must_use]
    pub const fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// The client half of a client.
    ///
    /// # Panics
    ///
    /// If there is no client with this number.
    #[must_use]
    pub fn client_core(&self, client: usize) -> &Client {
        &self.clients[client].core
    }

    /// The virtual time, in milliseconds since the creation of the world.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// The trace so far.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Removes all lines of the trace; later ones are kept.
    pub fn clear_trace(&mut self) {
        self.trace.clear();
    }

    /// Discards the trace and keeps none from now on. Long searches run faster without.
    pub fn disable_trace(&mut self) {
        self.trace = Trace::disabled();
    }

    /// The first failure of a half itself, if any: an endless loop of deadlines, a frame that its
    /// peer cannot decode, or a misuse report although the simulated hosts comply with the
    /// contract. Once set, it stays, and [`run_for`](Self::run_for) delivers nothing more.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Whether a node has a transport that neither side has closed.
    #[must_use]
    pub fn has_open_transports(&self) -> bool {
        self.links.values().any(|link| link.server_end == End::Open)
    }

    /// Writes the state of all halves and of the network, for a search that skips known states. If
    /// two worlds have the same settings, clock steps and rules for single frames, and write the same
    /// text, they have the same future.
    ///
    /// # Errors
    ///
    /// Errors of `to`.
    pub fn write_state(&self, to: &mut impl fmt::Write) -> fmt::Result {
        write!(to, "{}", self.now)?;
        for host in &self.nodes {
            write!(to, "{:?}{:?}{}", host.core, host.process, host.is_paused)?;
        }
        for host in &self.clients {
            write!(to, "{:?}{:?}", host.core, host.node)?;
        }
        write!(to, "{:?}{:?}", self.links, self.log)
    }

    pub(crate) fn fail(&mut self, what: String) {
        self.failure.get_or_insert(what);
    }

    /// The clocks of a node's host.
    pub(crate) fn node_now(&self, node: usize) -> Now {
        self.nodes.get(node).map_or_else(Now::default, |host| host.clocks.read(self.now))
    }

    /// The clocks of a client's host.
    pub(crate) fn client_now(&self, client: usize) -> Now {
        clocks(self.now, self.clients.get(client).map_or(0, |host| host.wall_offset))
    }

    pub(crate) fn client_name(&self, client: usize) -> SmolStr {
        self.clients.get(client).map(|host| host.name.clone()).unwrap_or_default()
    }
}
