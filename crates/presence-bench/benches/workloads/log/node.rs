//! A node with its host, and the members that it has. Nothing is encoded for subscribers.

use super::report::Calls;
use crate::server::START;
use core::hint::black_box;
use presence_proto::server::{
    Capability, ConnectRequest, Entry, Identity, Input, KeySecret, LogOptions, LogPosition, Outbox,
    Output, Rate, Server, ServerOptions, SnapshotPage, output,
};
use presence_proto::wire::{Action, Flags, PresenceAction, PresenceMessage, ProtocolMessage};
use presence_proto::{Now, TransportId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Records of one entry.
pub(super) const RECORDS: usize = 100;
const ITEMS: usize = 1_000;

/// Who is present: as many members on each connection, each connection on one channel.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) members: usize,
    pub(super) channels: usize,
    pub(super) connections: usize,
}

impl Shape {
    /// A member on each connection.
    pub(super) fn single(members: usize, channels: usize) -> Self {
        Self { members, channels, connections: members }
    }

    pub(super) fn channel(&self, connection: usize) -> String {
        format!("room:{:04}", connection % self.channels)
    }

    fn members_of(&self, connection: usize) -> core::ops::Range<usize> {
        let each = self.members / self.connections;
        connection * each..(connection + 1) * each
    }

    /// Frames of a connection with its members.
    fn frames(
        &self,
        connection: usize,
        action: PresenceAction,
        serial: i64,
    ) -> impl Iterator<Item = Input> + use<> {
        let (channel, members) = (self.channel(connection), self.members_of(connection));
        let transport = TransportId(connection as u64);
        members.clone().step_by(ITEMS).enumerate().map(move |(index, first)| {
            let items = (first..members.end.min(first + ITEMS)).map(|member| {
                let mut item = PresenceMessage::new(action);
                item.client_id = Some(client(member));
                item.with_data(format!("status: away {:07}", member + serial as usize))
            });
            let mut frame = ProtocolMessage::presence(channel.as_str(), items.collect::<Vec<_>>());
            frame.msg_serial = Some(serial + index as i64);
            Input::received(transport, frame)
        })
    }

    pub(super) fn enters(&self) -> impl Iterator<Item = Input> + use<> {
        let shape = *self;
        (0..shape.connections).flat_map(move |c| shape.frames(c, PresenceAction::Enter, 0))
    }

    /// An update of each member, in another order than that in which they have entered. For shapes
    /// with a member on each connection.
    pub(super) fn updates(&self) -> impl Iterator<Item = Input> + use<> {
        const STEP: usize = 7_919;
        let shape = *self;
        let order = (0..shape.connections).map(move |index| index * STEP % shape.connections);
        order.flat_map(move |connection| shape.frames(connection, PresenceAction::Update, 1))
    }
}

fn client(member: usize) -> presence_proto::SmolStr {
    format!("client-{member:07}").into()
}

pub(super) struct Node {
    pub(super) server: Server,
    out: Outbox,
    pub(super) now: Now,
    capability: Arc<Capability>,
    position: u64,
    /// What the node has proposed and the log not confirmed.
    pub(super) appended: VecDeque<Entry>,
    pub(super) pages: Vec<SnapshotPage>,
    pub(super) deliveries: u64,
    pub(super) presence_frames: u64,
    /// When it wants to be called next, in milliseconds.
    pub(super) due: Option<u64>,
}

impl Node {
    /// A server without a log.
    pub(super) fn alone() -> Self {
        Self::with(ServerOptions::default())
    }

    /// A node that has read nothing. It writes a snapshot after any entry, once it takes part.
    pub(super) fn reading(name: &str) -> Self {
        let mut log = LogOptions::default();
        log.in_flight = 1;
        log.snapshot_entries = 1;
        Self::in_log(name, log)
    }

    /// A node that takes part in a new log, and never writes a snapshot.
    pub(super) fn joined(name: &str, heard: impl FnMut(&Entry)) -> Self {
        Self::joined_after(name, &[], heard)
    }

    /// A node that takes part after it has read this log, and never writes a snapshot.
    pub(super) fn joined_after(name: &str, log: &[Vec<u8>], mut heard: impl FnMut(&Entry)) -> Self {
        let mut options = LogOptions::default();
        // Records are collected while an entry is on its way.
        options.in_flight = 1;
        (options.snapshot_entries, options.snapshot_bytes) = (u64::MAX, u64::MAX);
        let mut node = Self::in_log(name, options);
        node.follow(log);
        node.join(&mut heard);
        node
    }

    fn in_log(name: &str, log: LogOptions) -> Self {
        let mut options = ServerOptions::default();
        options.node = name.into();
        options.key_secret = Some(KeySecret([1; 32]));
        options.log = Some(log);
        Self::with(options)
    }

    fn with(mut options: ServerOptions) -> Self {
        options.limits.members_per_channel = usize::MAX;
        options.limits.member_bytes_per_channel = usize::MAX;
        options.limits.member_bytes_per_connection = usize::MAX;
        options.limits.member_bytes = usize::MAX;
        options.limits.connections = usize::MAX;
        options.limits.inbound = Rate::UNLIMITED;
        options.limits.channel = Rate::UNLIMITED;
        options.history.events = 0;
        options.events = false;
        let seed = [options.node.as_bytes().last().copied().unwrap_or_default(); 32];
        Self {
            server: Server::new(options, seed),
            out: Outbox::new(),
            now: Now::from_millis(START),
            capability: Arc::new(Capability::all()),
            position: 0,
            appended: VecDeque::new(),
            pages: Vec::new(),
            deliveries: 0,
            presence_frames: 0,
            due: None,
        }
    }

    pub(super) fn join(&mut self, heard: &mut impl FnMut(&Entry)) {
        self.handle(Input::LogAvailable);
        while self.confirm(heard) {}
    }

    #[inline]
    pub(super) fn handle(&mut self, input: Input) {
        self.call(input);
        self.take();
    }

    /// The same, with the time that the server takes.
    #[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    pub(super) fn timed(&mut self, input: Input, calls: &mut Calls) {
        let start = Instant::now();
        self.call(input);
        calls.add(start.elapsed());
        self.take();
    }

    #[inline]
    fn call(&mut self, input: Input) {
        let wake = self.server.handle(self.now, input, &mut self.out);
        self.due = black_box(wake).at().map(|at| at.as_millis());
    }

    #[inline]
    fn take(&mut self) {
        for output in self.out.drain() {
            match output {
                Output::Send(output::Send { to, frame, .. }) => {
                    self.deliveries += to.len() as u64;
                    let is_presence = frame.head().action == Action::Presence;
                    self.presence_frames += u64::from(is_presence);
                }
                Output::Append(output::Append { entry, .. }) => self.appended.push_back(entry),
                Output::Snapshot(output::Snapshot { page, .. }) => self.pages.push(page),
                other => assert!(!matches!(other, Output::Misuse(_) | Output::Halted(_))),
            }
        }
    }

    pub(super) fn committed(&mut self, entry: Entry) -> Input {
        self.position += 1;
        Input::committed(LogPosition(self.position), entry)
    }

    #[inline]
    pub(super) fn commit(&mut self, entry: Entry) {
        let input = self.committed(entry);
        self.handle(input);
        self.settle();
    }

    /// The log confirms the next of the node's own entries. Returns whether there is one.
    pub(super) fn confirm(&mut self, heard: &mut impl FnMut(&Entry)) -> bool {
        let Some(entry) = self.appended.pop_front() else { return false };
        heard(&entry);
        self.commit(entry);
        true
    }

    /// Whether there is more to do at once.
    pub(super) fn is_due(&self) -> bool {
        self.due.is_some_and(|at| at <= self.now.mono.as_millis())
    }

    pub(super) fn settle(&mut self) {
        while self.is_due() {
            self.handle(Input::Tick);
        }
    }

    /// Passes inputs in. With a log, that confirms an entry whenever another is full.
    #[inline(never)]
    pub(super) fn say(
        &mut self,
        inputs: impl IntoIterator<Item = Input>,
        mut heard: impl FnMut(&Entry),
    ) {
        for (index, input) in inputs.into_iter().enumerate() {
            self.handle(input);
            if index % RECORDS == RECORDS - 1 {
                self.confirm(&mut heard);
            }
        }
        while self.confirm(&mut heard) {}
    }

    /// The connections open, attach, and their members enter.
    pub(super) fn fill(&mut self, shape: Shape, heard: impl FnMut(&Entry)) {
        for connection in 0..shape.connections {
            let members = shape.members_of(connection);
            let identity = match members.len() {
                1 => Identity::Client(client(members.start)),
                _ => Identity::Any,
            };
            self.open(connection, identity, &shape.channel(connection), Flags::PRESENCE);
        }
        self.say(shape.enters(), heard);
        assert_eq!(self.server.counters().members as usize, shape.members);
    }

    /// Connections behind those of the members, which subscribe.
    pub(super) fn observe(&mut self, shape: Shape, observers: usize) {
        for observer in 0..observers {
            let connection = shape.connections + observer;
            self.open(
                connection,
                Identity::Anonymous,
                &shape.channel(0),
                Flags::PRESENCE_SUBSCRIBE,
            );
        }
        self.settle();
        self.deliveries = 0;
        self.presence_frames = 0;
    }

    fn open(&mut self, connection: usize, identity: Identity, channel: &str, modes: Flags) {
        let transport = TransportId(connection as u64);
        let request = ConnectRequest::new(identity, self.capability.clone());
        self.handle(Input::opened(transport, request));
        let mut attach = ProtocolMessage::on_channel(Action::Attach, channel);
        attach.flags = Some(modes);
        self.handle(Input::received(transport, attach));
    }

    /// All that is in the log, encoded.
    pub(super) fn follow(&mut self, log: &[Vec<u8>]) {
        for entry in log {
            self.commit(Entry::decode(entry).expect("an entry"));
        }
    }
}

/// The log of a node that has these members, encoded, and the node.
pub(super) fn written(name: &str, shape: Shape) -> (Vec<Vec<u8>>, Node) {
    let mut log = Vec::new();
    let mut node = Node::joined(name, |entry| log.push(entry.encode()));
    node.fill(shape, |entry| log.push(entry.encode()));
    (log, node)
}
