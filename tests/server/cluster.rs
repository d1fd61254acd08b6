//! Several nodes over one log in memory, and what users see of them.

use crate::host::{CHANNEL, WALL, request};
use crate::outputs::{Outputs, short};
use crate::text::decode;
use core::time::Duration;
use presence_proto::server::{
    Direction, Entry, Halt, HistoryQuery, Input, KeySecret, LogOptions, LogPosition, Outbox,
    Output, PresenceQuery, Server, ServerOptions, SnapshotPage, WithoutLog, output,
};
use presence_proto::wire::{Action, ProtocolMessage};
use presence_proto::{Instant, Now, TransportId, UnixMillis};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// Nodes with a log in memory, on fake clocks. The test is the far end of their transports.
///
/// Whenever all is quiet, nodes at the same position must hold the same.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Option<Server>>,
    links: Vec<Link>,
    options: ServerOptions,
    pub(crate) log: Vec<Entry>,
    time: u64,
    starts: u8,
    last_transport: u64,
    node_of: BTreeMap<u64, usize>,
    keys: BTreeMap<u64, String>,
    outputs: Outputs,
}

/// The way between a node and the log.
#[derive(Clone, Debug, Default)]
struct Link {
    appends: Appends,
    /// Entries under way.
    held: Vec<Entry>,
    /// The number of entries that the node has heard.
    heard: usize,
    is_deaf: bool,
    /// How far its wall clock is off, in milliseconds.
    clock: i64,
}

/// What becomes of the entries that a node appends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Appends {
    #[default]
    Arrive,
    /// They are under way until [`Cluster::release`].
    Held,
    /// They are lost, and the node is told that the outcome is not known.
    Lost,
    /// They arrive, and the node is told that the outcome is not known.
    Doubted,
    /// The log refuses them, for certain.
    Refused,
}

impl Cluster {
    pub(crate) fn new(nodes: usize) -> Self {
        Self::with(nodes, ServerOptions::default())
    }

    /// Nodes that keep their clients while the log is out of reach.
    pub(crate) fn holding(nodes: usize) -> Self {
        let mut log = LogOptions::default();
        log.without_log = WithoutLog::Hold;
        Self::with_log(nodes, log)
    }

    pub(crate) fn with_log(nodes: usize, log: LogOptions) -> Self {
        let mut options = ServerOptions::default();
        options.log = Some(log);
        Self::with(nodes, options)
    }

    pub(crate) fn with(nodes: usize, mut options: ServerOptions) -> Self {
        options.key_secret = Some(KeySecret([1; 32]));
        options.log.get_or_insert_with(LogOptions::default);
        let mut cluster = Self {
            nodes: Vec::new(),
            links: Vec::new(),
            options,
            log: Vec::new(),
            time: 0,
            starts: 0,
            last_transport: 0,
            node_of: BTreeMap::new(),
            keys: BTreeMap::new(),
            outputs: Outputs::default(),
        };
        for node in 0..nodes {
            cluster.start(node);
        }
        cluster
    }

    /// Starts a process of a node: a further one, or again.
    pub(crate) fn start(&mut self, node: usize) {
        self.start_from(node, Vec::new());
    }

    /// Starts a process of a node from the pages of a snapshot, if there are any, and the log after
    /// it.
    pub(crate) fn start_from(&mut self, node: usize, pages: Vec<SnapshotPage>) {
        let server = self.process(node);
        while self.nodes.len() <= node {
            self.nodes.push(None);
            self.links.push(Link::default());
        }
        (self.nodes[node], self.links[node].heard) = (Some(server), 0);
        for page in pages {
            self.links[node].heard = usize::try_from(page.position().0).expect("a short log");
            self.call(node, Input::restore(page));
        }
        self.settle();
        self.call(node, Input::LogAvailable);
        self.settle();
    }

    fn process(&mut self, node: usize) -> Server {
        let mut options = self.options.clone();
        options.node = format!("node{node}").into();
        self.starts += 1;
        Server::new(options, [self.starts; 32])
    }

    /// Adds a second process with the name of a node. Returns its number.
    fn start_double(&mut self, node: usize) -> usize {
        let server = self.process(node);
        self.nodes.push(Some(server));
        self.links.push(Link::default());
        let double = self.nodes.len() - 1;
        self.settle();
        self.call(double, Input::LogAvailable);
        self.settle();
        double
    }

    /// The budget of the processes that are started from now on.
    pub(crate) fn set_budget(&mut self, budget: usize) {
        self.options.budget = budget;
    }

    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    pub(crate) fn node(&self, node: usize) -> &Server {
        self.nodes[node].as_ref().expect("a node that runs")
    }

    /// Entries that a node appends from now on.
    pub(crate) fn set_appends(&mut self, node: usize, appends: Appends) {
        self.links[node].appends = appends;
    }

    /// The entries under way arrive, and later ones do so at once.
    pub(crate) fn release(&mut self, node: usize) -> Outputs {
        self.links[node].appends = Appends::Arrive;
        let held = core::mem::take(&mut self.links[node].held);
        self.log.extend(held);
        self.settle();
        self.take()
    }

    /// An entry arrives, whoever sent it.
    pub(crate) fn arrive(&mut self, entry: Entry) -> Outputs {
        self.log.push(entry);
        self.settle();
        self.take()
    }

    /// Whether a node hears no entries. It is not told.
    pub(crate) fn set_deaf(&mut self, node: usize, is_deaf: bool) -> Outputs {
        self.links[node].is_deaf = is_deaf;
        self.settle();
        self.take()
    }

    /// The host of a node cannot reach the log.
    pub(crate) fn log_away(&mut self, node: usize) {
        self.links[node].is_deaf = true;
        self.call(node, Input::LogUnavailable);
    }

    /// The host of a node has read everything in the log again.
    pub(crate) fn log_back(&mut self, node: usize) -> Outputs {
        self.links[node].is_deaf = false;
        self.catch_up(node);
        self.input(node, Input::LogAvailable)
    }

    /// Steps the wall clock of a node.
    pub(crate) fn step_clock(&mut self, node: usize, millis: i64) {
        self.links[node].clock += millis;
    }

    pub(crate) fn now(&self, node: usize) -> Now {
        let time = i64::try_from(self.time).expect("a short test");
        let wall = UnixMillis::from_millis(WALL + time + self.links[node].clock);
        Now::new(Instant::from_millis(self.time), wall)
    }

    pub(crate) fn call(&mut self, node: usize, input: Input) {
        let now = self.now(node);
        let mut out = Outbox::new();
        let Some(server) = &mut self.nodes[node] else { return };
        server.handle(now, input, &mut out);
        let mut failed = Vec::new();
        for output in out {
            match output {
                Output::Append(append) => {
                    let (link, entry) = (&mut self.links[node], append.entry);
                    match link.appends {
                        Appends::Held => link.held.push(entry),
                        Appends::Arrive => self.log.push(entry),
                        Appends::Lost => failed.push((entry.id(), false)),
                        Appends::Refused => failed.push((entry.id(), true)),
                        Appends::Doubted => {
                            failed.push((entry.id(), false));
                            self.log.push(entry);
                        }
                    }
                }
                Output::Send(output::Send { ref to, ref frame, .. }) => {
                    if let (Some(transport), Some(details)) =
                        (to.iter().next(), &frame.head().connection_details)
                    {
                        let key = details.connection_key.clone().unwrap_or_default();
                        self.keys.insert(transport.0, key.to_string());
                    }
                    self.outputs.add(output);
                }
                other => self.outputs.add(other),
            }
        }
        assert_eq!(self.node(node).counters().internal_errors, 0);
        for (entry, definite) in failed {
            self.call(node, Input::append_failed(entry, definite));
        }
    }

    /// The next entry that a node has not heard, if it can.
    fn next_entry(&self, node: usize) -> Option<Entry> {
        let link = &self.links[node];
        let hears = self.nodes[node].is_some() && !link.is_deaf;
        self.log.get(link.heard).filter(|_| hears).cloned()
    }

    fn catch_up(&mut self, node: usize) {
        while let Some(entry) = self.next_entry(node) {
            self.links[node].heard += 1;
            let position = LogPosition(self.links[node].heard as u64);
            self.call(node, Input::committed(position, entry));
        }
    }

    pub(crate) fn settle(&mut self) {
        loop {
            assert!(self.log.len() < REST, "the nodes do not come to rest");
            for node in 0..self.nodes.len() {
                self.catch_up(node);
                self.tick(node);
            }
            if (0..self.nodes.len()).all(|node| self.next_entry(node).is_none()) {
                break;
            }
        }
        let mut folds = BTreeMap::new();
        for server in self.nodes.iter().flatten() {
            let fold = folds.entry(server.position()).or_insert_with(|| server.fold());
            assert_eq!(*fold, server.fold(), "nodes differ at {:?}", server.position());
        }
    }

    fn tick(&mut self, node: usize) {
        for _ in 0..REST {
            let due = self.nodes[node].as_ref().and_then(|server| server.next_wake().at());
            if due.is_none_or(|at| at.as_millis() > self.time) {
                return;
            }
            self.call(node, Input::Tick);
        }
        panic!("node {node} does not come to rest");
    }

    pub(crate) fn advance(&mut self, millis: u64) -> Outputs {
        let end = self.time + millis;
        loop {
            self.settle();
            let next = self.nodes.iter().flatten().filter_map(|server| server.next_wake().at());
            match next.map(|at| at.as_millis()).min().filter(|at| *at <= end) {
                Some(at) => self.time = self.time.max(at),
                None => break,
            }
        }
        self.time = end;
        self.take()
    }

    /// Time passes while these peers answer pings.
    pub(crate) fn advance_alive(&mut self, millis: u64, transports: &[u64]) -> Outputs {
        let end = self.time + millis;
        let mut outputs = Outputs::default();
        while self.time < end {
            outputs.extend(self.advance((end - self.time).min(5_000)));
            for &transport in transports {
                self.call(self.node_of[&transport], Input::activity(TransportId(transport)));
            }
        }
        outputs
    }

    pub(crate) fn take(&mut self) -> Outputs {
        core::mem::take(&mut self.outputs)
    }

    pub(crate) fn input(&mut self, node: usize, input: Input) -> Outputs {
        self.call(node, input);
        self.settle();
        self.take()
    }

    pub(crate) fn open(
        &mut self,
        node: usize,
        client_id: &str,
        resume: Option<u64>,
    ) -> (u64, Outputs) {
        self.open_with_grace(node, client_id, resume, None)
    }

    fn open_with_grace(
        &mut self,
        node: usize,
        client_id: &str,
        resume: Option<u64>,
        grace: Option<Duration>,
    ) -> (u64, Outputs) {
        self.last_transport += 1;
        let transport = self.last_transport;
        let mut request = request(client_id);
        request.resume = resume.map(|old| self.keys[&old].clone().into());
        request.remain_present_for = grace;
        self.node_of.insert(transport, node);
        let outputs = self.input(node, Input::opened(TransportId(transport), request));
        (transport, outputs)
    }

    /// A client connects to a node and attaches. Returns its transport.
    pub(crate) fn join(&mut self, node: usize, client_id: &str) -> u64 {
        let (transport, _) = self.open(node, client_id, None);
        self.attach(transport, None);
        transport
    }

    /// The same for a client whose members outlive it by this time.
    pub(crate) fn join_with_grace(&mut self, node: usize, client_id: &str, grace: Duration) -> u64 {
        let (transport, _) = self.open_with_grace(node, client_id, None, Some(grace));
        self.attach(transport, None);
        transport
    }

    /// A client connects and attaches again. Returns its transport.
    pub(crate) fn resume(&mut self, node: usize, client_id: &str, old: u64) -> u64 {
        let (transport, outputs) = self.open(node, client_id, Some(old));
        assert_eq!(outputs.error_codes(transport), [0; 0]);
        self.attach(transport, Some(FIRST));
        transport
    }

    pub(crate) fn lose(&mut self, transport: u64) -> Outputs {
        self.input(self.node_of[&transport], Input::closed(TransportId(transport)))
    }

    pub(crate) fn recv(&mut self, transport: u64, frame: Json) -> Outputs {
        let frame: ProtocolMessage = decode(&frame);
        self.input(self.node_of[&transport], Input::received(TransportId(transport), frame))
    }

    pub(crate) fn attach(&mut self, transport: u64, serial: Option<&str>) -> Outputs {
        self.recv(transport, json!({"action": 10, "channel": CHANNEL, "channelSerial": serial}))
    }

    /// PRESENCE with one item: 2 enters, 3 leaves, 4 updates.
    pub(crate) fn presence(
        &mut self,
        transport: u64,
        serial: i64,
        action: u8,
        data: &str,
    ) -> Outputs {
        self.recv(
            transport,
            json!({"action": 14, "channel": CHANNEL, "msgSerial": serial, "presence": [{"action": action, "data": data}]}),
        )
    }

    pub(crate) fn publish(&mut self, transport: u64, serial: i64, data: &str) -> Outputs {
        self.recv(
            transport,
            json!({"action": 15, "channel": CHANNEL, "msgSerial": serial, "messages": [{"data": data}]}),
        )
    }

    pub(crate) fn close(&mut self, transport: u64) -> Outputs {
        self.recv(transport, json!({"action": 7}))
    }

    pub(crate) fn kick(&mut self, node: usize, client_id: &str) -> Outputs {
        self.input(node, Input::kick(CHANNEL, Some(client_id.into()), None))
    }

    /// The members on a node, as `client=data`.
    pub(crate) fn members(&self, node: usize) -> Vec<String> {
        let page = self.node(node).presence(CHANNEL, &PresenceQuery::default()).expect("a page");
        page.items.iter().map(short).collect()
    }

    /// How often nodes were taken for gone.
    pub(crate) fn fenced(&self) -> u64 {
        self.nodes.iter().flatten().map(|server| server.counters().fenced).sum()
    }
}

/// More calls at one time, or entries of a test, than there are if the nodes come to rest.
const REST: usize = 2_000;

/// A channel serial of the past.
pub(crate) const FIRST: &str = "0000000000000000";

/// The message serials of the ACKs and NACKs to a transport, in order.
pub(crate) fn answers(outputs: &Outputs, transport: u64) -> Vec<(Action, i64)> {
    let frames = outputs.frames(transport).into_iter();
    frames
        .filter(|frame| matches!(frame.action, Action::Ack | Action::Nack))
        .map(|frame| (frame.action, frame.msg_serial.unwrap_or(-1)))
        .collect()
}

#[test]
fn members_are_seen_on_every_node_and_survive_the_move_of_their_client() {
    let mut cluster = Cluster::new(2);
    let (alice, _) = cluster.open(0, "alice", None);
    cluster.attach(alice, None);
    let (bob, _) = cluster.open(1, "bob", None);
    cluster.attach(bob, None);
    let outputs = cluster.presence(alice, 0, 2, "hi");
    assert_eq!(outputs.frame_of(alice, Action::Ack).msg_serial, Some(0));
    assert_eq!(outputs.events_of(bob), ["enter alice=hi"]);
    assert_eq!(outputs.events_of(alice), ["enter alice=hi"]);
    assert_eq!([cluster.members(0), cluster.members(1)], [["alice=hi"], ["alice=hi"]]);
    cluster.kill(0);
    let outputs = cluster.advance_alive(5_000, &[bob]);
    assert!(outputs.events_of(bob).is_empty());
    let (again, outputs) = cluster.open(1, "alice", Some(alice));
    assert_eq!(outputs.error_codes(again), [0; 0]);
    cluster.attach(again, Some(FIRST));
    let outputs = cluster.advance_alive(200_000, &[bob, again]);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    assert_eq!(cluster.members(1), ["alice=hi"]);
    cluster.start(0);
    assert_eq!(cluster.members(0), ["alice=hi"]);
}

#[test]
fn members_of_a_killed_node_leave_after_their_grace_period() {
    let mut cluster = Cluster::new(3);
    let (alice, _) = cluster.open(0, "alice", None);
    cluster.attach(alice, None);
    let (bob, _) = cluster.open(1, "bob", None);
    cluster.attach(bob, None);
    cluster.presence(alice, 0, 2, "hi");
    cluster.kill(0);
    let outputs = cluster.advance_alive(14_900, &[bob]);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    let outputs = cluster.advance_alive(600, &[bob]);
    assert_eq!(outputs.events_of(bob), ["leave alice=hi"]);
    let (again, outputs) = cluster.open(1, "alice", Some(alice));
    assert_eq!(outputs.error_codes(again), [0; 0]);
    cluster.call(1, Input::closed(TransportId(again)));
    let outputs = cluster.advance_alive(150_000, &[bob]);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    let (again, outputs) = cluster.open(2, "alice", Some(alice));
    assert_eq!(outputs.error_codes(again), [80008]);
}

/// The data and serials of the messages to a transport.
fn messages(outputs: &Outputs, transport: u64) -> Vec<(Option<String>, String)> {
    let frames = outputs.frames_of(transport, Action::Message).into_iter();
    let messages = frames.flat_map(|frame| {
        let serial = frame.channel_serial.as_ref().map(ToString::to_string);
        let data = |message: &presence_proto::wire::Message| {
            message.data.as_ref().and_then(|data| data.as_str()).unwrap_or_default().to_owned()
        };
        frame.messages.iter().map(move |message| (serial.clone(), data(message)))
    });
    messages.collect()
}

#[test]
fn messages_are_received_on_all_nodes_in_one_order_with_the_same_serials() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = (cluster.join(0, "alice"), cluster.join(1, "bob"));
    let mut outputs = cluster.publish(alice, 0, "1");
    outputs.extend(cluster.publish(bob, 0, "2"));
    cluster.log_away(0);
    cluster.publish(alice, 1, "4");
    outputs.extend(cluster.publish(bob, 1, "3"));
    outputs.extend(cluster.log_back(0));
    let heard = messages(&outputs, bob);
    let data: Vec<_> = heard.iter().map(|(_, data)| data.as_str()).collect();
    assert_eq!(data, ["1", "2", "3", "4"]);
    assert!(heard.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(messages(&outputs, alice), heard);
}

#[test]
fn the_history_is_the_same_on_all_nodes_also_until_an_attach() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = (cluster.join(0, "alice"), cluster.join(1, "bob"));
    cluster.presence(alice, 0, 2, "1");
    cluster.presence(bob, 0, 2, "2");
    let (carol, _) = cluster.open(1, "carol", None);
    let outputs = cluster.attach(carol, None);
    let attached = outputs.frame_of(carol, Action::Attached).channel_serial.clone();
    cluster.presence(alice, 1, 4, "3");
    cluster.close(bob);
    let mut query = HistoryQuery::default();
    query.direction = Direction::Forwards;
    for (until, events) in [(None, 4), (attached, 2)] {
        query.from_serial = until;
        let page = cluster.node(0).history(CHANNEL, &query).expect("a page");
        assert_eq!(page.items.len(), events);
        assert_eq!(cluster.node(1).history(CHANNEL, &query), Ok(page));
    }
}

#[test]
fn a_member_that_is_kicked_on_one_node_leaves_on_all() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = (cluster.join(0, "alice"), cluster.join(1, "bob"));
    cluster.presence(alice, 0, 2, "hi");
    let outputs = cluster.kick(1, "alice");
    assert_eq!(outputs.events_of(alice), ["leave alice=hi"]);
    assert_eq!(outputs.events_of(bob), ["leave alice=hi"]);
    let outputs = cluster.presence(alice, 1, 2, "again");
    assert_eq!(outputs.events_of(bob), ["enter alice=again"]);
}

#[test]
fn nobody_leaves_when_a_node_is_stopped_in_an_orderly_way() {
    let mut cluster = Cluster::new(2);
    let alice = cluster.join(0, "alice");
    let bob = cluster.join(1, "bob");
    cluster.presence(alice, 0, 2, "hi");
    let outputs = cluster.input(0, Input::drain(Duration::ZERO));
    outputs.frame_of(alice, Action::Disconnected);
    let status = cluster.node(1).log_status().expect("a log");
    assert_eq!(status.nodes.iter().map(|node| node.is_active).collect::<Vec<_>>(), [false, true]);
    let again = cluster.resume(1, "alice", alice);
    cluster.kill(0);
    let outputs = cluster.advance_alive(200_000, &[again, bob]);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    assert_eq!(cluster.members(1), ["alice=hi"]);
}

#[test]
fn the_older_process_halts_when_its_name_is_taken() {
    let mut cluster = Cluster::new(2);
    let alice = cluster.join(0, "alice");
    let double = cluster.start_double(0);
    let outputs = cluster.take();
    assert_eq!(outputs.others, [Output::Halted(Halt::NameTaken)]);
    outputs.frame_of(alice, Action::Disconnected);
    let (again, outputs) = cluster.open(0, "alice", None);
    assert_eq!(outputs.frames(again)[0].action, Action::Disconnected);
    let bob = cluster.join(double, "bob");
    cluster.presence(bob, 0, 2, "hi");
    assert_eq!(cluster.members(1), ["bob=hi"]);
}

#[test]
fn a_node_that_is_restarted_over_the_same_log_keeps_its_members() {
    let mut cluster = Cluster::new(1);
    let (alice, bob) = (cluster.join(0, "alice"), cluster.join(0, "bob"));
    cluster.presence(alice, 0, 2, "hi");
    cluster.kill(0);
    cluster.advance(3_000);
    cluster.start(0);
    assert_eq!(cluster.members(0), ["alice=hi"]);
    let (bob, outputs) = cluster.open(0, "bob", Some(bob));
    assert_eq!(outputs.error_codes(bob), [0; 0]);
    let outputs = cluster.attach(bob, Some(FIRST));
    assert_eq!(outputs.synced(bob), ["alice=hi"]);
    let again = cluster.resume(0, "alice", alice);
    let outputs = cluster.advance_alive(200_000, &[again, bob]);
    assert_eq!(outputs.events_of(bob), [""; 0]);
}

#[test]
fn members_of_a_restarted_node_leave_if_their_clients_do_not_come_back() {
    let mut cluster = Cluster::new(1);
    let alice = cluster.join(0, "alice");
    cluster.presence(alice, 0, 2, "hi");
    cluster.kill(0);
    cluster.advance(3_000);
    cluster.start(0);
    cluster.advance(14_000);
    assert_eq!(cluster.members(0), ["alice=hi"]);
    cluster.advance(2_000);
    assert_eq!(cluster.members(0), [""; 0]);
}
