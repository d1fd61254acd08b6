//! W5 and W6: a server takes in what clients send, and tells everybody.

use crate::FORMATS;
use crate::frames::{CHANNEL, Input as Given};
use crate::measure::{Line, measure};
use core::hint::black_box;
use presence_proto::server::{
    Capability, ConnectRequest, Identity, Input, Outbox, Output, Rate, Server, ServerConfig,
};
use presence_proto::wire::{
    Action, Data, Flags, Format, PresenceAction, PresenceMessage, ProtocolMessage,
};
use presence_proto::{Now, SmolStr, TransportId};
use std::collections::VecDeque;
use std::sync::Arc;

const GRACE_MS: u64 = 15_000;
const OBSERVERS: usize = 10;

pub(crate) fn run(given: &Given, wants: &dyn Fn(&str) -> bool) {
    for (name, format) in FORMATS {
        if wants("W5") {
            // About a million deliveries: the last `k` enter a channel of all others.
            let k = (1_000_000 / given.n).clamp(1, (given.n / 10).max(1));
            fan_out("W5", given, (name, format), given.n - k);
        }
        if wants("W5mass") && given.n == 1000 {
            fan_out("W5mass", given, (name, format), 0);
        }
        if wants("W5sync") {
            newcomer(given, (name, format));
        }
        if wants("W6") {
            mass_drop(given, (name, format));
        }
        if wants("W6") || wants("W6resume") {
            mass_resume(given, (name, format));
        }
    }
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
        }
        host.out.drain();
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
    let newcomer = TransportId(n as u64);
    let sample = measure(
        || {
            let mut host = Host::new(given, n);
            for join in given.joins.get(format) {
                host.receive(host.entered, format, join);
            }
            host.out.drain();
            host.open(newcomer, None);
            host.out.drain();
            host
        },
        |host| {
            let mut pages = Vec::with_capacity(n.div_ceil(100));
            let mut due = host.attach(newcomer);
            loop {
                for output in host.out.drain() {
                    if let Output::Send { frame, .. } = output
                        && frame.action == Action::Sync
                    {
                        pages.push(frame.encode(format));
                    }
                }
                if !due {
                    return pages;
                }
                due = host.handle(host.now, Input::Tick);
            }
        },
        |_, pages| {
            assert_eq!(pages.len(), n.div_ceil(100));
            let decode = |page: &Vec<u8>| ProtocolMessage::decode(format, page).expect("a page");
            let items: Vec<PresenceMessage> =
                pages.iter().flat_map(|page| decode(page).presence).collect();
            let members = |item: &PresenceMessage| {
                let client_id = item.client_id.clone().expect("a client id");
                let data = item.data.as_ref().and_then(Data::as_str).expect("data").to_owned();
                (client_id, data)
            };
            let mut got: Vec<(SmolStr, String)> = items.iter().map(members).collect();
            got.sort();
            let mut wanted: Vec<(SmolStr, String)> = given
                .connections
                .iter()
                .map(|c| (c.client_id.clone(), c.data.to_string()))
                .collect();
            wanted.sort();
            assert_eq!(got, wanted);
        },
    );
    let ops = n as u64;
    let events = n.div_ceil(100) as u64;
    Line { workload: "W5sync", format: name, n, ops, events, retains: false }.print(&sample);
}

/// Everybody drops; nothing goes out before the grace ends; then all leave, each told to ten.
fn mass_drop(given: &Given, (name, format): (&str, Format)) {
    let n = given.n;
    let deliveries = (n * OBSERVERS) as u64;
    let sample = measure(
        || Host::observed(given, format),
        |host| {
            for i in 0..n as u64 {
                let now = Now::from_millis(START + i / 1000);
                host.handle(now, Input::Closed { transport: TransportId(i) });
            }
            host.pass(START + GRACE_MS - 1, format);
            assert_eq!(host.sink.items, 0);
            host.pass(START + GRACE_MS + n as u64 / 1000, format);
        },
        |host, ()| {
            assert_eq!(host.sink.items, deliveries);
            let counters = host.server.counters();
            assert_eq!(counters.members, 0);
        },
    );
    let ops = n as u64;
    Line { workload: "W6", format: name, n, ops, events: deliveries, retains: false }
        .print(&sample);
}

/// Everybody drops, and everybody resumes within the grace.
fn mass_resume(given: &Given, (name, format): (&str, Format)) {
    let n = given.n;
    let sample = measure(
        || {
            let host = Host::observed(given, format);
            let requests: Vec<ConnectRequest> =
                (0..n).map(|i| host.request(i, Some(host.keys[i].clone()))).collect();
            (host, requests)
        },
        |(host, requests)| {
            for i in 0..n as u64 {
                let now = Now::from_millis(START + i / 1000);
                host.handle(now, Input::Closed { transport: TransportId(i) });
            }
            let first = (n + OBSERVERS) as u64;
            while let Some(request) = requests.pop() {
                let transport = TransportId(first + requests.len() as u64);
                host.handle(host.now, Input::Open { transport, request });
                // As every client does after it has resumed.
                host.attach_with(transport, Some(Flags::PRESENCE));
                host.count_resumed();
            }
            host.pass(START + GRACE_MS + n as u64 / 1000, format);
        },
        |(host, _), ()| {
            assert_eq!(host.resumed, n);
            assert_eq!(host.sink.items, 0);
            assert_eq!(host.server.counters().members as usize, n);
        },
    );
    Line { workload: "W6resume", format: name, n, ops: n as u64, events: 0, retains: false }
        .print(&sample);
}

const START: u64 = 1_700_000_000_000;

/// A server with its host: transports `0..` and where their bytes go.
struct Host {
    server: Server,
    out: Outbox,
    capability: Arc<Capability>,
    clients: Vec<SmolStr>,
    keys: Vec<SmolStr>,
    sink: Sink,
    now: Now,
    /// How many connections have entered; the next one to enter has this number.
    entered: usize,
    resumed: usize,
}

impl Host {
    /// The first `attached` connections are open and attached.
    fn new(given: &Given, attached: usize) -> Self {
        let mut config = ServerConfig::default();
        config.limits.members_per_channel = usize::MAX;
        config.limits.member_bytes_per_channel = usize::MAX;
        config.limits.connections = usize::MAX;
        config.limits.inbound = Rate::UNLIMITED;
        config.limits.channel = Rate::UNLIMITED;
        config.events = false;
        let mut host = Self {
            server: Server::new(config, [7; 32]),
            out: Outbox::new(),
            capability: Arc::new(Capability::all()),
            clients: given.connections.iter().map(|c| c.client_id.clone()).collect(),
            keys: Vec::new(),
            sink: Sink::new(given.n + OBSERVERS),
            now: Now::from_millis(START),
            entered: 0,
            resumed: 0,
        };
        for i in 0..attached {
            let transport = TransportId(i as u64);
            host.open(transport, None);
            host.attach(transport);
            host.take_keys();
        }
        host
    }

    /// `n` have entered but do not listen; ten others listen.
    fn observed(given: &Given, format: Format) -> Self {
        let mut host = Self::new(given, 0);
        for i in 0..given.n + OBSERVERS {
            let transport = TransportId(i as u64);
            host.open(transport, None);
            host.take_keys();
            let modes = if i < given.n { Flags::PRESENCE } else { Flags::PRESENCE_SUBSCRIBE };
            host.attach_with(transport, Some(modes));
            if i < given.n {
                host.receive(i, format, &given.joins.get(format)[i]);
            }
            host.out.drain();
        }
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

    fn open(&mut self, transport: TransportId, resume: Option<SmolStr>) {
        let request = self.request(transport.0 as usize, resume);
        self.handle(self.now, Input::Open { transport, request });
    }

    fn attach(&mut self, transport: TransportId) -> bool {
        self.attach_with(transport, None)
    }

    fn attach_with(&mut self, transport: TransportId, flags: Option<Flags>) -> bool {
        let mut frame = ProtocolMessage::on_channel(Action::Attach, CHANNEL);
        frame.flags = flags;
        self.handle(self.now, Input::Received { transport, frame })
    }

    fn receive(&mut self, i: usize, format: Format, bytes: &[u8]) {
        let frame = ProtocolMessage::decode(format, bytes).expect("a frame");
        self.handle(self.now, Input::Received { transport: TransportId(i as u64), frame });
        self.entered = i + 1;
    }

    /// Whether there is more to do at once.
    fn handle(&mut self, now: Now, input: Input) -> bool {
        self.now = now;
        let wake = self.server.handle(now, input, &mut self.out);
        black_box(wake).at().is_some_and(|at| at <= now.mono)
    }

    /// Ticks until nothing more is due at this time, and delivers.
    fn pass(&mut self, millis: u64, format: Format) {
        let now = Now::from_millis(millis);
        while self.handle(now, Input::Tick) {
            self.deliver(format);
        }
        self.deliver(format);
    }

    fn take_keys(&mut self) {
        for output in self.out.drain() {
            if let Output::Send { frame, .. } = output
                && let Some(details) = frame.connection_details
            {
                self.keys.push(details.connection_key.expect("a key"));
            }
        }
    }

    fn count_resumed(&mut self) {
        for output in self.out.drain() {
            if let Output::Send { frame, .. } = output
                && frame.action == Action::Connected
            {
                assert!(frame.error.is_none());
                self.resumed += 1;
            }
        }
    }

    /// Sends what waits; each payload is lent to the one who sends it.
    fn deliver(&mut self, format: Format) {
        for output in self.out.drain() {
            if let Output::Broadcast { to, frame } = output {
                self.sink.count_leaves(&frame, to.len());
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

    fn enqueue(&mut self, format: Format, queue: &mut VecDeque<(TransportId, Arc<[u8]>)>) {
        for output in self.out.drain() {
            if let Output::Broadcast { to, frame } = output {
                let payload: Arc<[u8]> = frame.encode(format).into();
                queue.extend(to.iter().map(|transport| (transport, payload.clone())));
            }
        }
    }
}

/// Where bytes go: one counter for each connection, as a socket's buffer would be.
struct Sink {
    bytes: Vec<u64>,
    sent: u64,
    /// Leaves, each counted once for everybody who is told.
    items: u64,
    buffer: Vec<u8>,
}

impl Sink {
    fn new(connections: usize) -> Self {
        Self { bytes: vec![0; connections], sent: 0, items: 0, buffer: Vec::new() }
    }

    fn clear(&mut self) {
        *self = Self::new(self.bytes.len());
    }

    fn send(&mut self, transport: TransportId, payload: &[u8]) {
        self.bytes[transport.0 as usize] += black_box(payload).len() as u64;
        self.sent += 1;
    }

    fn count_leaves(&mut self, frame: &ProtocolMessage, recipients: usize) {
        let leaves = frame.presence.iter().filter(|item| item.action == PresenceAction::Leave);
        self.items += (leaves.count() * recipients) as u64;
    }
}
