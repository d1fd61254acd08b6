//! W5 and W6: a server takes in what clients send, and tells everybody.

use crate::FORMATS;
use crate::frames::{CHANNEL, Input as Given, checksum};
use crate::measure::{Line, measure};
use bytes::Bytes;
use core::cell::RefCell;
use core::hint::black_box;
use presence_proto::server::{
    Capability, ConnectRequest, Identity, Input, Outbox, Output, Rate, Server, ServerOptions,
    output,
};
use presence_proto::wire::{
    Action, Data, Flags, Format, PresenceAction, PresenceMessage, ProtocolMessage,
};
use presence_proto::{Now, SmolStr, TransportId};
use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) const GRACE_MS: u64 = 15_000;
const IDLE_MS: u64 = 15_000;
pub(crate) const OBSERVERS: usize = 10;

pub(crate) fn run(given: &Given, wants: &dyn Fn(&str) -> bool) {
    for (name, format) in FORMATS {
        for (workload, before) in fan_outs(given, wants) {
            fan_out(workload, given, (name, format), before);
        }
        if wants("W5sync") {
            newcomer(given, (name, format));
        }
        if wants("timers") && format == Format::Json {
            idle(given);
        }
        if wants("W6") {
            mass_drop(given, (name, format));
        }
        if wants("W6") || wants("W6resume") {
            mass_resume(given, (name, format));
        }
    }
}

/// The workloads that fan out, and how many have entered before.
pub(crate) fn fan_outs(
    given: &Given,
    wants: &dyn Fn(&str) -> bool,
) -> impl Iterator<Item = (&'static str, usize)> {
    // About a million deliveries: the last `k` enter a channel of all others.
    let k = (1_000_000 / given.n).clamp(1, (given.n / 10).max(1));
    let mass = wants("W5mass") && given.n == 1000;
    let workloads = [("W5", wants("W5"), given.n - k), ("W5mass", mass, 0)];
    workloads.into_iter().filter(|w| w.1).map(|(workload, _, before)| (workload, before))
}

/// All are attached and `before` have entered; then the others enter, one by one.
fn fan_out(workload: &str, given: &Given, (name, format): (&str, Format), before: usize) {
    let n = given.n;
    let joins = given.joins.get(format);
    let ops = (n * (n - before)) as u64;
    let set_up = || {
        let mut host = Host::new(given, n);
        for join in &joins[..before] {
            host.receive(host.entered, format, join);
            host.out.drain();
        }
        host.sink.clear();
        host
    };
    let check = |host: &mut Host, (): &()| {
        assert_eq!(host.sink.sent, ops);
        assert_eq!(host.server.counters().members as usize, n);
        let told = &host.sink.bytes[..n];
        assert!(told.iter().all(|&b| b == told[0] && b > 0));
    };
    let line = |peer_workload: &str, sample| {
        let line =
            Line { workload: peer_workload, format: name, n, ops, events: ops, retains: false };
        line.print(&sample);
    };
    // Each payload is lent to the one who sends it.
    let lend = |host: &mut Host| {
        for join in &joins[before..] {
            host.receive(host.entered, format, join);
            host.deliver(format);
        }
    };
    line(workload, measure(set_up, lend, check));
    // Each payload is owned by a queue until it is sent.
    let own = |host: &mut Host| {
        let mut queue = VecDeque::new();
        for join in &joins[before..] {
            host.receive(host.entered, format, join);
            host.enqueue(format, &mut queue);
            while let Some((transport, payload)) = queue.pop_front() {
                host.sink.send(transport, &payload);
            }
        }
    };
    line(&format!("{workload}-owned"), measure(set_up, own, check));
}

/// One more attaches, and receives all members in pages.
fn newcomer(given: &Given, (name, format): (&str, Format)) {
    let n = given.n;
    let mut host = Host::new(given, n);
    for join in given.joins.get(format) {
        host.receive(host.entered, format, join);
        host.out.drain();
    }
    let host = RefCell::new(host);
    let newcomer = TransportId(n as u64);
    let sample = measure(
        || {
            let host = &mut *host.borrow_mut();
            // The one before has gone.
            host.handle(host.now, Input::closed(newcomer));
            let request = host.request(n, None);
            host.handle(host.now, Input::opened(newcomer, request));
            host.out.drain();
        },
        |()| host.borrow_mut().pages_for(newcomer, format),
        |_, pages| check_pages(given, format, pages),
    );
    let ops = n as u64;
    let events = n.div_ceil(100) as u64;
    Line { workload: "W5sync", format: name, n, ops, events, retains: false }.print(&sample);
}

/// The pages decode to all members.
pub(crate) fn check_pages(given: &Given, format: Format, pages: &[Vec<u8>]) {
    assert_eq!(pages.len(), given.n.div_ceil(100));
    let decode = |page: &Vec<u8>| ProtocolMessage::decode(format, page).expect("a page");
    let items: Vec<PresenceMessage> = pages.iter().flat_map(|page| decode(page).presence).collect();
    // Connection ids are the server's own.
    let got = checksum(items.iter().map(|item| {
        let client_id = item.client_id.as_deref().expect("a client id");
        ("", client_id, item.data.as_ref().and_then(Data::as_str).expect("data"))
    }));
    let wanted = given.connections.iter().map(|c| ("", c.client_id.as_str(), &*c.data));
    assert_eq!(got, checksum(wanted));
}

/// Nobody says anything for an idle interval: each connection's timer fires, a ping goes out, the
/// timer is armed again. And what an idle connection takes.
fn idle(given: &Given) {
    let n = given.n;
    let sample = measure(
        || Host::bare(given),
        |host| host.open_all(n),
        |host, ()| assert_eq!(host.server.timers(), n),
    );
    let line = |workload, retains, events, sample| {
        let (format, ops) = ("none", n as u64);
        Line { workload, format, n, ops, events, retains }.print(&sample);
    };
    line("open", true, 0, sample);
    let sample = measure(
        || {
            let mut host = Host::bare(given);
            host.open_all(n);
            host
        },
        |host| {
            let until = START + IDLE_MS + n as u64 / 1000;
            while let Some(due) = host.due.filter(|due| *due <= until) {
                host.handle(Now::from_millis(due), Input::Tick);
                let pings = host.out.drain().filter(|out| matches!(out, Output::Ping(_)));
                host.resumed += pings.count();
            }
        },
        |host, ()| {
            assert_eq!(host.resumed, n);
            assert_eq!(host.server.timers(), n);
        },
    );
    line("timers", false, n as u64, sample);
}

/// Everybody drops; nothing goes out before the grace ends; then all leave, each told to ten. Once
/// with nothing remembered, as peers do it, and once with the history that is the default.
fn mass_drop(given: &Given, (name, format): (&str, Format)) {
    let n = given.n;
    let deliveries = (n * OBSERVERS) as u64;
    for (workload, history) in [("W6", false), ("W6-history", true)] {
        let sample = measure(
            || Host::observed(given, format, history),
            |host| {
                host.drop_all(n);
                host.leave_all(n, format);
            },
            |host, ()| {
                assert_eq!(host.sink.items, deliveries);
                assert_eq!(host.server.counters().members, 0);
            },
        );
        let ops = n as u64;
        Line { workload, format: name, n, ops, events: deliveries, retains: false }.print(&sample);
    }
}

/// Everybody drops, and everybody resumes within the grace; then attaches again, as every client
/// does.
fn mass_resume(given: &Given, (name, format): (&str, Format)) {
    let n = given.n;
    for (workload, attaches) in [("W6resume", false), ("W6resume-attach", true)] {
        let sample = measure(
            || {
                let host = Host::observed(given, format, false);
                let requests: Vec<ConnectRequest> =
                    (0..n).map(|i| host.request(i, Some(host.keys[i].clone()))).collect();
                (host, requests)
            },
            |(host, requests)| {
                host.drop_all(n);
                host.resume_all(requests, attaches);
                // Who has attached again stays; the others have as long for it.
                let more = if attaches { n as u64 / 1000 } else { 0 };
                host.pass(START + GRACE_MS - 1 + more, format);
            },
            |(host, _), ()| {
                assert_eq!(host.resumed, n);
                assert_eq!(host.sink.items, 0);
                assert_eq!(host.server.counters().members as usize, n);
            },
        );
        Line { workload, format: name, n, ops: n as u64, events: 0, retains: false }.print(&sample);
    }
}

pub(crate) const START: u64 = 1_700_000_000_000;

/// A server with its host: transports `0..` and where their bytes go.
struct Host {
    server: Server,
    out: Outbox,
    capability: Arc<Capability>,
    clients: Vec<SmolStr>,
    keys: Vec<SmolStr>,
    /// Where the channel stood when the last one attached.
    serial: Option<SmolStr>,
    sink: Sink,
    now: Now,
    /// How many connections have entered; the next one to enter has this number.
    entered: usize,
    resumed: usize,
    /// When the server wants to be called next.
    due: Option<u64>,
}

impl Host {
    /// Nobody is there, and nothing is remembered, as peers do not either.
    fn bare(given: &Given) -> Self {
        Self::with(given, false)
    }

    fn with(given: &Given, history: bool) -> Self {
        let mut config = ServerOptions::default();
        config.limits.members_per_channel = usize::MAX;
        config.limits.member_bytes_per_channel = usize::MAX;
        config.limits.connections = usize::MAX;
        config.limits.inbound = Rate::UNLIMITED;
        config.limits.channel = Rate::UNLIMITED;
        config.limits.member_bytes = usize::MAX;
        if !history {
            config.history.events = 0;
        }
        config.events = false;
        Self {
            server: Server::new(config, [7; 32]),
            out: Outbox::new(),
            capability: Arc::new(Capability::all()),
            clients: given.connections.iter().map(|c| c.client_id.clone()).collect(),
            keys: Vec::new(),
            serial: None,
            sink: Sink::new(given.n + OBSERVERS),
            now: Now::from_millis(START),
            entered: 0,
            resumed: 0,
            due: None,
        }
    }

    /// The first `attached` connections are open and attached.
    fn new(given: &Given, attached: usize) -> Self {
        let mut host = Self::bare(given);
        for i in 0..attached {
            let transport = TransportId(i as u64);
            host.open(transport, None);
            host.attach(transport);
            host.take_keys();
        }
        host
    }

    /// `n` have entered but do not listen; ten others listen.
    fn observed(given: &Given, format: Format, history: bool) -> Self {
        let mut host = Self::with(given, history);
        for i in 0..given.n + OBSERVERS {
            let transport = TransportId(i as u64);
            host.open(transport, None);
            host.take_keys();
            let modes = if i < given.n { Flags::PRESENCE } else { Flags::PRESENCE_SUBSCRIBE };
            host.attach_with(transport, Some(modes), None);
            if i < given.n {
                host.receive(i, format, &given.joins.get(format)[i]);
            }
            for output in host.out.drain() {
                if let Output::Send(output::Send { frame, .. }) = output
                    && frame.head().action == Action::Attached
                {
                    host.serial.clone_from(&frame.head().channel_serial);
                }
            }
        }
        // What the ten are synced with is not a part of what is measured.
        while host.handle(host.now, Input::Tick) {
            host.out.drain();
        }
        host.out.drain();
        host
    }

    fn request(&self, i: usize, resume: Option<SmolStr>) -> ConnectRequest {
        let identity = match self.clients.get(i) {
            Some(client_id) => Identity::Client(client_id.clone()),
            None => Identity::Anonymous,
        };
        let mut request = ConnectRequest::new(identity, self.capability.clone());
        request.resume = resume;
        request
    }

    /// The first `n` connections open, a thousand in a millisecond.
    fn open_all(&mut self, n: usize) {
        for i in 0..n {
            let request = self.request(i, None);
            let now = Now::from_millis(START + i as u64 / 1000);
            self.handle(now, Input::opened(TransportId(i as u64), request));
            self.out.drain();
        }
    }

    fn open(&mut self, transport: TransportId, resume: Option<SmolStr>) {
        let request = self.request(transport.0 as usize, resume);
        self.handle(self.now, Input::opened(transport, request));
    }

    fn attach(&mut self, transport: TransportId) -> bool {
        self.attach_with(transport, None, None)
    }

    fn attach_with(
        &mut self,
        transport: TransportId,
        flags: Option<Flags>,
        serial: Option<SmolStr>,
    ) -> bool {
        let mut frame = ProtocolMessage::on_channel(Action::Attach, CHANNEL);
        frame.flags = flags;
        frame.channel_serial = serial;
        self.handle(self.now, Input::received(transport, frame))
    }

    fn receive(&mut self, i: usize, format: Format, bytes: &[u8]) {
        let frame = ProtocolMessage::decode(format, bytes).expect("a frame");
        self.handle(self.now, Input::received(TransportId(i as u64), frame));
        self.entered = i + 1;
    }

    /// Whether there is more to do at once.
    fn handle(&mut self, now: Now, input: Input) -> bool {
        self.now = now;
        let wake = self.server.handle(now, input, &mut self.out);
        let at = black_box(wake).at();
        self.due = at.map(|at| at.as_millis());
        at.is_some_and(|at| at <= now.mono)
    }

    /// Ticks until nothing more is due at this time, and delivers.
    fn pass(&mut self, millis: u64, format: Format) {
        let now = Now::from_millis(millis);
        while self.handle(now, Input::Tick) {
            self.deliver(format);
        }
        self.deliver(format);
    }

    /// Attaches and takes the pages, as bytes.
    #[inline(never)]
    fn pages_for(&mut self, newcomer: TransportId, format: Format) -> Vec<Vec<u8>> {
        let mut pages = Vec::new();
        let mut due = self.attach(newcomer);
        loop {
            for output in self.out.drain() {
                if let Output::Send(output::Send { frame, .. }) = output
                    && frame.head().action == Action::Sync
                {
                    let mut page = Vec::new();
                    frame.encode_into(format, &mut page);
                    pages.push(page);
                }
            }
            if !due {
                return pages;
            }
            due = self.handle(self.now, Input::Tick);
        }
    }

    /// The first `n` transports are lost.
    #[inline(never)]
    fn drop_all(&mut self, n: usize) {
        for i in 0..n as u64 {
            let now = Now::from_millis(START + i / 1000);
            self.handle(now, Input::closed(TransportId(i)));
        }
    }

    /// Their grace passes: nothing goes out before it ends.
    #[inline(never)]
    fn leave_all(&mut self, n: usize, format: Format) {
        self.pass(START + GRACE_MS - 1, format);
        assert_eq!(self.sink.items, 0);
        self.pass(START + GRACE_MS + n as u64 / 1000, format);
    }

    #[inline(never)]
    fn resume_all(&mut self, requests: &mut Vec<ConnectRequest>, attaches: bool) {
        let first = self.keys.len() as u64;
        while let Some(request) = requests.pop() {
            let transport = TransportId(first + requests.len() as u64);
            self.handle(self.now, Input::opened(transport, request));
            if attaches {
                // With the serial that it has (RTL4c1).
                let serial = self.serial.clone();
                self.attach_with(transport, Some(Flags::PRESENCE), serial);
            }
            self.count_resumed();
        }
    }

    fn take_keys(&mut self) {
        for output in self.out.drain() {
            if let Output::Send(output::Send { frame, .. }) = output
                && let Some(details) = &frame.head().connection_details
            {
                self.keys.push(details.connection_key.clone().expect("a key"));
            }
        }
    }

    fn count_resumed(&mut self) {
        for output in self.out.drain() {
            if let Output::Send(output::Send { frame, .. }) = output
                && frame.head().action == Action::Connected
            {
                assert!(frame.head().error.is_none());
                self.resumed += 1;
            }
        }
    }

    /// Sends what waits; each payload is lent to the one who sends it.
    fn deliver(&mut self, format: Format) {
        for output in self.out.drain() {
            if let Output::Send(output::Send { to, frame, .. }) = output {
                self.sink.count_leaves(frame.head(), to.len());
                self.sink.buffer.clear();
                frame.encode_into(format, &mut self.sink.buffer);
                let buffer = core::mem::take(&mut self.sink.buffer);
                for transport in to.iter() {
                    self.sink.send(transport, &buffer);
                }
                self.sink.buffer = buffer;
            }
        }
    }

    fn enqueue(&mut self, format: Format, queue: &mut VecDeque<(TransportId, Bytes)>) {
        for output in self.out.drain() {
            if let Output::Send(output::Send { to, mut frame, .. }) = output {
                let payload = frame.encode(format);
                queue.extend(to.iter().map(|transport| (transport, payload.clone())));
            }
        }
    }
}

/// Where bytes go: one counter for each connection, as a socket's buffer would be.
pub(crate) struct Sink {
    pub(crate) bytes: Vec<u64>,
    pub(crate) sent: u64,
    /// Leaves, each counted once for each recipient.
    pub(crate) items: u64,
    buffer: Vec<u8>,
}

impl Sink {
    pub(crate) fn new(connections: usize) -> Self {
        Self { bytes: vec![0; connections], sent: 0, items: 0, buffer: Vec::new() }
    }

    fn clear(&mut self) {
        *self = Self::new(self.bytes.len());
    }

    pub(crate) fn send(&mut self, transport: TransportId, payload: &[u8]) {
        self.bytes[transport.0 as usize] += black_box(payload).len() as u64;
        self.sent += 1;
    }

    fn count_leaves(&mut self, frame: &ProtocolMessage, recipients: usize) {
        let leaves = frame.presence.iter().filter(|item| item.action == PresenceAction::Leave);
        self.items += (leaves.count() * recipients) as u64;
    }
}
