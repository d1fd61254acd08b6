//! Clients, a server and a network between them, under one virtual clock.

use crate::application::{Application, tell};
use crate::network::{End, Lane, Latency, Link, Packet};
use crate::record::{Call, Half};
use crate::rules::{Direction, Rule, arriving};
use crate::trace::{Frame, Trace};
use core::fmt;
use core::time::Duration;
use presence_proto::client::{self, Client, ClientOptions};
use presence_proto::server::{self, Capability, ConnectRequest, Identity, Server, ServerOptions};
use presence_proto::wire::{Action, ErrorInfo, Format, ProtocolMessage, codes};
use presence_proto::{Instant, Now, SmolStr, TransportId, UnixMillis, Wake};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What the wall clocks read when the virtual time is zero.
const EPOCH: i64 = 1_000_000_000;

/// Calls that one half may ask for by its deadlines, with nothing coming in, in one virtual
/// second. A half that asks for more is looping.
const MAX_TICKS: u32 = 20_000;

/// N clients and a server, real ones, over a simulated network and under a virtual clock.
///
/// Nothing happens by itself: [`step`](Self::step) and [`run_for`](Self::run_for) move the time
/// on to the next thing that is due. The same calls with the same seed give the same run, to the
/// byte. See the [module](super) for an example.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) now: u64,
    pub(crate) seed: u64,
    pub(crate) clients: Vec<Peer>,
    pub(crate) server: Authority,
    pub(crate) links: BTreeMap<u64, Link>,
    next_link: u64,
    pub(crate) trace: Trace,
    pub(crate) calls: Option<Vec<Call>>,
    pub(crate) wrong: Option<String>,
    pub(crate) queue_limit: usize,
    pub(crate) rules: Vec<Rule>,
}

/// A client, its host and its application.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: SmolStr,
    pub(crate) identity: Identity,
    pub(crate) capability: Arc<Capability>,
    /// When the token of its next transport expires.
    token_expires: Option<UnixMillis>,
    /// Whether its host leaves `TokenRequired` to the application.
    asks_for_tokens: bool,
    pub(crate) options: ClientOptions,
    pub(crate) core: Client,
    pub(crate) wake: Wake,
    out: client::Outbox,
    ticks: Ticks,
    pub(crate) wall_offset: i64,
    pub(crate) latency: Latency,
    pub(crate) format: Option<Format>,
    pub(crate) unreachable: bool,
    pub(crate) late_pages: bool,
    pub(crate) restarts: u64,
    pub(crate) application: Application,
}

/// The server and its host.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    pub(crate) config: ServerOptions,
    pub(crate) core: Server,
    pub(crate) wake: Wake,
    out: server::Outbox,
    ticks: Ticks,
    pub(crate) wall_offset: i64,
    pub(crate) restarts: u64,
    /// What the host has to tell the core after the call that made it so.
    news: VecDeque<server::Input>,
}

/// How often a half was called for its deadlines alone, in the present virtual second.
#[derive(Clone, Copy, Debug, Default)]
struct Ticks {
    second: u64,
    count: u32,
}

impl Ticks {
    fn one_more(&mut self, now: u64) -> bool {
        let second = now / 1_000;
        if second != self.second {
            *self = Self { second, count: 0 };
        }
        self.count += 1;
        self.count > MAX_TICKS
    }
}

/// A thing that can happen next in a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Due {
    /// A packet arrives at the server.
    Up(u64),
    /// A packet arrives at a client.
    Down(u64),
    /// A deadline of the server.
    Server,
    /// A deadline of a client.
    Client(usize),
}

impl World {
    /// A world with a server and no clients yet. `seed` is where all that is random in it comes
    /// from: connection ids and keys, and the jitter of retries.
    #[must_use]
    pub fn new(seed: u64, config: ServerOptions) -> Self {
        let core = Server::new(config.clone(), server_seed(seed, 0));
        Self {
            now: 0,
            seed,
            clients: Vec::new(),
            server: Authority {
                config,
                wake: core.next_wake(),
                core,
                out: server::Outbox::new(),
                ticks: Ticks::default(),
                wall_offset: 0,
                restarts: 0,
                news: VecDeque::new(),
            },
            links: BTreeMap::new(),
            next_link: 1,
            trace: Trace::default(),
            calls: None,
            wrong: None,
            queue_limit: 16,
            rules: Vec::new(),
        }
    }

    /// Adds a client and returns its number. `name` is what the trace calls it; `identity` is
    /// what the server's host finds when it authenticates the client's transports.
    pub fn add_client(
        &mut self,
        name: impl Into<SmolStr>,
        identity: Identity,
        options: ClientOptions,
    ) -> usize {
        let number = self.clients.len();
        let core = Client::new(options.clone(), client_seed(self.seed, number, 0));
        self.clients.push(Peer {
            name: name.into(),
            identity,
            capability: Arc::new(Capability::all()),
            token_expires: None,
            asks_for_tokens: false,
            options,
            wake: core.next_wake(),
            core,
            out: client::Outbox::new(),
            ticks: Ticks::default(),
            wall_offset: 0,
            latency: Latency::default(),
            format: None,
            unreachable: false,
            late_pages: false,
            restarts: 0,
            application: Application::default(),
        });
        number
    }

    /// What the server's host allows a client, from its next transport or token on. Initially
    /// everything.
    pub fn set_capability(&mut self, client: usize, capability: Capability) {
        if let Some(peer) = self.clients.get_mut(client) {
            peer.capability = Arc::new(capability);
        }
    }

    /// The token of a client's next transport expires in `time`. Others do not expire.
    pub fn set_token_expiry(&mut self, client: usize, time: Duration) {
        let wall = self.server_now().wall.as_millis();
        let expires = wall.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        if let Some(peer) = self.clients.get_mut(client) {
            peer.token_expires = Some(UnixMillis::from_millis(expires));
        }
    }

    /// Leaves the tokens of a client to the caller: `TokenRequired` is among its
    /// [`events`](super::ClientHandle::events). Otherwise its host answers at once.
    pub fn ask_for_tokens(&mut self, client: usize) {
        if let Some(peer) = self.clients.get_mut(client) {
            peer.asks_for_tokens = true;
        }
    }

    /// Keeps every call from here on, for [`take_calls`](Self::take_calls).
    pub fn record_calls(&mut self) {
        self.calls.get_or_insert_default();
    }

    /// Takes out the calls since the last time: the inputs of each half, and its outputs.
    pub fn take_calls(&mut self) -> Vec<Call> {
        self.calls.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// How many clients there are.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// The server.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server.core
    }

    /// The virtual time, in milliseconds.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// What happened so far.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Forgets what happened so far; the run goes on.
    pub fn clear_trace(&mut self) {
        self.trace.clear();
    }

    /// Keeps no trace from here on: for many long runs.
    pub fn without_trace(&mut self) {
        self.trace = Trace::off();
    }

    /// What is wrong with a half itself, if anything was found: a loop of deadlines that never
    /// lets the time go on, or a misuse that a correct host cannot have made.
    #[must_use]
    pub fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// Lets `time` pass, with everything that is due in it.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        while self.wrong.is_none() && self.step_before(until) {}
        self.now = self.now.max(until);
    }

    /// Moves the time on to the next thing that is due and lets it happen. False if nothing ever
    /// will without a new input.
    pub fn step(&mut self) -> bool {
        self.step_before(u64::MAX)
    }

    /// The same, if it is due at or before `until`, in milliseconds of virtual time. Otherwise nothing
    /// happens, and the time stays.
    pub fn step_before(&mut self, until: u64) -> bool {
        match self.next_due() {
            Some((at, due)) if at <= until => {
                self.now = self.now.max(at);
                self.perform(due);
                true
            }
            _ => false,
        }
    }

    /// When the next thing is due, in milliseconds of virtual time.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        self.next_due().map(|(at, _)| at)
    }

    /// The next thing due. Packets come before deadlines of the same instant.
    fn next_due(&self) -> Option<(u64, Due)> {
        let lanes = self.links.iter().flat_map(|(&number, link)| {
            let up = link.up.due().map(|at| (at, Due::Up(number)));
            let down = link.down.due().map(|at| (at, Due::Down(number)));
            [up, down].into_iter().flatten()
        });
        let deadline = self.due_deadline();
        lanes.chain(deadline).min().map(|(at, due)| (at.max(self.now), due))
    }

    /// Every packet that could arrive next if latencies were unknown: for an exhaustive search.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Due> {
        let lanes = self.links.iter().flat_map(|(&number, link)| {
            let up = link.up.due().map(|_| Due::Up(number));
            let down = link.down.due().map(|_| Due::Down(number));
            [up, down].into_iter().flatten()
        });
        lanes.collect()
    }

    /// The next deadline of a half: its virtual time in milliseconds, and whose it is.
    #[must_use]
    pub fn due_deadline(&self) -> Option<(u64, Due)> {
        let clients = self.clients.iter().enumerate().filter_map(|(number, peer)| {
            peer.wake.at().map(|at| (at.as_millis(), Due::Client(number)))
        });
        let server = self.server.wake.at().map(|at| (at.as_millis(), Due::Server));
        clients.chain(server).min().map(|(at, due)| (at.max(self.now), due))
    }

    /// Moves the time on to the next deadline and lets it happen, though packets be under way.
    pub fn pass_to_deadline(&mut self) {
        if let Some((at, due)) = self.due_deadline() {
            self.now = at;
            self.perform(due);
        }
    }

    /// Writes everything that the future of the world depends on: equal text means equal worlds.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn write_state(&self, to: &mut impl fmt::Write) -> fmt::Result {
        write!(to, "{} {:?}", self.now, self.server.core)?;
        for peer in &self.clients {
            write!(to, "{:?}", peer.core)?;
        }
        write!(to, "{:?}", self.links)
    }

    /// Lets one thing happen now, whenever it is due.
    pub fn perform(&mut self, due: Due) {
        match due {
            Due::Server => {
                if self.server.ticks.one_more(self.now) {
                    self.fail(format!("the server asks for calls without end at t={}", self.now));
                }
                self.server_input(server::Input::Tick);
            }
            Due::Client(number) => {
                let now = self.now;
                if let Some(peer) = self.clients.get_mut(number)
                    && peer.ticks.one_more(now)
                {
                    self.fail(format!("client {number} asks for calls without end at t={now}"));
                }
                self.client_input(number, client::Input::Tick);
            }
            Due::Up(link) => self.arrive_up(link),
            Due::Down(link) => self.arrive_down(link),
        }
        self.links.retain(|_, link| !link.is_over());
    }

    pub(crate) fn fail(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    /// The time as the server's host reads it.
    pub(crate) fn server_now(&self) -> Now {
        clock(self.now, self.server.wall_offset)
    }

    /// The time as a client's host reads it.
    pub(crate) fn client_now(&self, number: usize) -> Now {
        clock(self.now, self.clients.get(number).map_or(0, |peer| peer.wall_offset))
    }

    /// Whether the server's host has a transport that neither side has closed.
    #[must_use]
    pub fn has_open_transports(&self) -> bool {
        self.links.values().any(|link| link.server_end == End::Open)
    }

    // The server and its host.

    /// Hands an input to the server and does what it says, and what its host then has to report.
    pub(crate) fn server_input(&mut self, input: server::Input) {
        self.call_server(input);
        self.tell_news();
    }

    /// Tells the server what its host found out meanwhile, but nothing of transports that the
    /// server has closed since.
    fn tell_news(&mut self) {
        while let Some(news) = self.server.news.pop_front() {
            let transport = match &news {
                server::Input::Congested(server::input::Congested { transport, .. })
                | server::Input::Writable(server::input::Writable { transport, .. })
                | server::Input::Authorized(server::input::Authorized { transport, .. }) => {
                    *transport
                }
                _ => continue,
            };
            if self.links.get(&transport.0).is_some_and(|link| link.server_end == End::Open) {
                self.call_server(news);
            }
        }
    }

    fn call_server(&mut self, input: server::Input) {
        let now = self.server_now();
        let kept = self.calls.is_some().then(|| input.clone());
        let mut out = core::mem::take(&mut self.server.out);
        self.server.wake = self.server.core.handle(now, input, &mut out);
        let outputs: Vec<server::Output> = out.drain().collect();
        self.server.out = out;
        if let (Some(input), Some(calls)) = (kept, &mut self.calls) {
            let half = Half::Server { input, outputs: outputs.clone() };
            calls.push(Call { now, at: self.now, half });
        }
        for output in outputs {
            self.server_output(output);
        }
    }

    fn server_output(&mut self, output: server::Output) {
        match output {
            server::Output::Send(server::output::Send { to, mut frame, .. }) => {
                for transport in to.iter() {
                    self.send_down(transport, &mut frame);
                }
            }
            server::Output::Ping(server::output::Ping { transport, .. }) => {
                let now = self.now;
                if let Some(link) = self.links.get_mut(&transport.0)
                    && let Some(peer) = self.clients.get(link.client)
                {
                    link.down.send(now + peer.latency.down, Packet::Ping);
                }
            }
            server::Output::Close(server::output::Close { transport, .. }) => {
                self.server_closes(transport)
            }
            server::Output::Authenticate(server::output::Authenticate { transport, .. }) => {
                self.authenticate(transport)
            }
            server::Output::Misuse(misuse) => {
                self.fail(format!("the server's host was told off: {misuse:?}"));
            }
            _ => {}
        }
    }

    fn send_down(&mut self, transport: TransportId, frame: &mut server::Frame) {
        let now = self.now;
        let limit = self.queue_limit;
        let Some(link) = self.links.get_mut(&transport.0) else { return };
        if link.server_end != End::Open {
            return;
        }
        let Some(peer) = self.clients.get(link.client) else { return };
        let packet = match peer.format {
            Some(format) => Packet::Bytes(format, frame.encode(format).into()),
            None => Packet::Frame(Box::new(frame.to_message())),
        };
        link.down.send(now + peer.latency.down, packet);
        if link.down.stalled && !link.congested && link.down.len() >= limit {
            link.congested = true;
            self.trace.line(now, format_args!("server < queue to {} is full", peer.name));
            self.server.news.push_back(server::Input::congested(transport));
        }
    }

    fn server_closes(&mut self, transport: TransportId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&transport.0) else { return };
        if link.server_end == End::Closed {
            return;
        }
        let Some(peer) = self.clients.get(link.client) else { return };
        let packet = if link.server_end == End::Open { Packet::Close } else { Packet::Refuse };
        link.down.send(now + peer.latency.down, packet);
        link.server_end = End::Closed;
        self.trace.line(now, format_args!("server closes the transport of {}", peer.name));
    }

    /// Any token will do, and it says what the client's host is known for.
    fn authenticate(&mut self, transport: TransportId) {
        let Some(link) = self.links.get(&transport.0) else { return };
        let Some(peer) = self.clients.get(link.client) else { return };
        self.server.news.push_back(server::Input::authorized(
            transport,
            peer.identity.clone(),
            peer.capability.clone(),
            None,
        ));
    }

    fn arrive_up(&mut self, number: u64) {
        let transport = TransportId(number);
        let Some(link) = self.links.get_mut(&number) else { return };
        let Some(packet) = link.up.take() else { return };
        let Some(peer) = self.clients.get_mut(link.client) else { return };
        let (client, name) = (link.client, peer.name.clone());
        if link.server_end == End::Closed {
            return;
        }
        match packet {
            Packet::Open(params) => {
                let arrival = self.now + peer.latency.down;
                link.down.send(arrival, Packet::Accept);
                self.trace.line(self.now, format_args!("{name} > server open"));
                let params = params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                let (identity, capability) = (peer.identity.clone(), peer.capability.clone());
                let expires = peer.token_expires.take();
                match ConnectRequest::from_params(identity, capability, params) {
                    Ok(mut request) => {
                        request.token_expires = expires;
                        link.server_end = End::Open;
                        self.server_input(server::Input::opened(transport, request));
                    }
                    Err(error) => {
                        let mut frame = ProtocolMessage::new(Action::Error);
                        frame.error = Some(Box::new(error));
                        link.down.send(arrival, Packet::frame(frame, peer.format));
                        link.down.send(arrival, Packet::Close);
                        link.server_end = End::Closed;
                    }
                }
            }
            Packet::Frame(frame) => {
                self.receive_up(number, *frame);
                self.burn(number);
            }
            Packet::Bytes(format, bytes) => {
                match ProtocolMessage::decode(format, &bytes) {
                    Ok(frame) => self.receive_up(number, frame),
                    Err(error) => {
                        self.fail(format!("the server cannot read what {client} wrote: {error}"));
                    }
                }
                self.burn(number);
            }
            Packet::Garbage => {
                self.trace.line(self.now, format_args!("{name} > server garbage"));
                let error = ErrorInfo::new(codes::BAD_REQUEST, 400, "not a frame");
                self.server_input(server::Input::undecodable(transport, error));
            }
            Packet::Close => {
                let was_open = link.server_end == End::Open;
                link.server_end = End::Closed;
                if was_open {
                    self.trace.line(self.now, format_args!("{name} > server close"));
                    self.server_input(server::Input::closed(transport));
                }
            }
            Packet::Ping => self.server_input(server::Input::activity(transport)),
            Packet::Accept | Packet::Refuse => {}
        }
    }

    /// A frame is there for the server.
    fn receive_up(&mut self, number: u64, frame: ProtocolMessage) {
        let Some(client) = self.links.get(&number).map(|link| link.client) else { return };
        let Some(frame) = arriving(&mut self.rules, client, Direction::Up, frame) else { return };
        let name = self.clients.get(client).map(|peer| peer.name.clone()).unwrap_or_default();
        self.trace.line(self.now, format_args!("{name} > server {}", Frame(&frame)));
        self.server_input(server::Input::received(TransportId(number), frame));
    }

    // The clients and their hosts.

    /// Hands an input to a client and does what it says.
    pub(crate) fn client_input(&mut self, number: usize, input: client::Input) {
        let now = self.client_now(number);
        let keep = self.calls.is_some();
        let Some(peer) = self.clients.get_mut(number) else { return };
        let kept = keep.then(|| input.clone());
        peer.wake = peer.core.handle(now, input, &mut peer.out);
        let outputs: Vec<client::Output> = peer.out.drain().collect();
        if let (Some(input), Some(calls)) = (kept, &mut self.calls) {
            let half = Half::Client { client: number, input, outputs: outputs.clone() };
            calls.push(Call { now, at: self.now, half });
        }
        for output in outputs {
            self.client_output(number, output);
        }
    }

    fn client_output(&mut self, number: usize, output: client::Output) {
        let now = self.now;
        match output {
            client::Output::Open(client::output::Open { transport, params, .. }) => {
                self.open_link(number, transport, params);
            }
            client::Output::Send(client::output::Send { transport, frame, .. }) => {
                let Some(peer) = self.clients.get(number) else { return };
                let (latency, format) = (peer.latency.up, peer.format);
                if let Some(link) = self.link_of(number, transport)
                    && link.client_end == End::Open
                {
                    link.up.send(now + latency, Packet::frame(*frame, format));
                }
            }
            client::Output::Close(client::output::Close { transport, .. }) => {
                let latency = self.clients.get(number).map_or(0, |peer| peer.latency.up);
                if let Some(link) = self.link_of(number, transport) {
                    link.client_end = End::Closed;
                    link.up.send(now + latency, Packet::Close);
                    link.down = Lane::default();
                }
            }
            client::Output::TokenRequired if !self.asks_for_tokens(number) => {
                let token = SmolStr::new_static("token");
                self.client_input(number, client::Input::Token(Ok(token)));
            }
            client::Output::Misuse(misuse) => {
                self.fail(format!("the host of client {number} was told off: {misuse:?}"));
            }
            output => {
                let Some(peer) = self.clients.get_mut(number) else { return };
                if self.trace.is_on() {
                    tell(&mut self.trace, now, &peer.name, &output);
                }
                peer.application.take_in(output);
            }
        }
    }

    fn asks_for_tokens(&self, number: usize) -> bool {
        self.clients.get(number).is_some_and(|peer| peer.asks_for_tokens)
    }

    fn open_link(
        &mut self,
        number: usize,
        transport: TransportId,
        params: Vec<(SmolStr, SmolStr)>,
    ) {
        let Some(peer) = self.clients.get(number) else { return };
        let mut link = Link::new(number, transport);
        if peer.unreachable {
            link.down.send(self.now + peer.latency.up + peer.latency.down, Packet::Refuse);
        } else {
            link.up.send(self.now + peer.latency.up, Packet::Open(params));
        }
        self.links.insert(self.next_link, link);
        self.next_link += 1;
    }

    /// The link that a client calls by this transport id.
    fn link_of(&mut self, number: usize, transport: TransportId) -> Option<&mut Link> {
        let ours = |link: &&mut Link| link.client == number && link.transport == transport;
        self.links.values_mut().rev().find(ours)
    }

    fn arrive_down(&mut self, number: u64) {
        let transport = TransportId(number);
        let Some(link) = self.links.get_mut(&number) else { return };
        let Some(packet) = link.down.take() else { return };
        let (client, theirs) = (link.client, link.transport);
        if link.congested && link.down.len() <= self.queue_limit / 2 {
            link.congested = false;
            if link.server_end == End::Open {
                self.server.news.push_back(server::Input::writable(transport));
            }
        }
        if link.client_end != End::Closed {
            self.deliver_down(number, client, theirs, packet);
        }
        self.tell_news();
    }

    fn deliver_down(&mut self, number: u64, client: usize, theirs: TransportId, packet: Packet) {
        let now = self.now;
        let name = self.clients.get(client).map(|peer| peer.name.clone()).unwrap_or_default();
        let Some(link) = self.links.get_mut(&number) else { return };
        match packet {
            Packet::Accept => {
                link.client_end = End::Open;
                self.client_input(client, client::Input::opened(theirs));
            }
            Packet::Refuse => {
                link.client_end = End::Closed;
                self.trace.line(now, format_args!("{name} cannot reach the server"));
                let input = client::Input::open_failed(theirs, None);
                self.client_input(client, input);
            }
            Packet::Frame(frame) => {
                self.receive_down(number, *frame);
                self.burn(number);
            }
            Packet::Bytes(format, bytes) => {
                match ProtocolMessage::decode(format, &bytes) {
                    Ok(frame) => self.receive_down(number, frame),
                    Err(error) => {
                        self.fail(format!("{name} cannot read what the server wrote: {error}"));
                    }
                }
                self.burn(number);
            }
            Packet::Close => {
                self.receive_late(number);
                if let Some(link) = self.links.get_mut(&number) {
                    link.client_end = End::Closed;
                }
                self.trace.line(now, format_args!("server > {name} close"));
                let input = client::Input::closed(theirs, None);
                self.client_input(client, input);
            }
            Packet::Ping => {
                let Some(peer) = self.clients.get(client) else { return };
                link.up.send(now + peer.latency.up, Packet::Ping);
                if peer.options.observes_pings {
                    self.client_input(client, client::Input::activity(theirs));
                }
            }
            Packet::Open(_) | Packet::Garbage => {}
        }
    }

    /// A frame is there for a client. If pages of syncs are late, one waits until something else
    /// than PRESENCE comes, provided that the client knows of the sync: it could not tell a page of
    /// a sync that it does not expect from what is newer.
    fn receive_down(&mut self, number: u64, frame: ProtocolMessage) {
        let Some(client) = self.links.get(&number).map(|link| link.client) else { return };
        let Some(frame) = arriving(&mut self.rules, client, Direction::Down, frame) else { return };
        let Some(link) = self.links.get_mut(&number) else { return };
        let Some(peer) = self.clients.get(link.client) else { return };
        let syncing =
            |name: &SmolStr| peer.core.channel(name).is_some_and(|view| view.is_syncing());
        match frame.action {
            Action::Sync if peer.late_pages && frame.channel.as_ref().is_some_and(syncing) => {
                return link.late.push(frame);
            }
            Action::Presence => {}
            _ => self.receive_late(number),
        }
        self.receive(number, frame);
    }

    /// The pages that are late are there.
    pub(crate) fn receive_late(&mut self, number: u64) {
        let Some(link) = self.links.get_mut(&number) else { return };
        for frame in core::mem::take(&mut link.late) {
            self.receive(number, frame);
        }
    }

    fn receive(&mut self, number: u64, frame: ProtocolMessage) {
        let Some(link) = self.links.get(&number) else { return };
        let (client, transport) = (link.client, link.transport);
        let name = self.clients.get(client).map(|peer| peer.name.clone()).unwrap_or_default();
        self.trace.line(self.now, format_args!("server > {name} {}", Frame(&frame)));
        if link.client_end != End::Closed {
            self.client_input(client, client::Input::received(transport, frame));
        }
    }

    /// One frame less until the link breaks.
    fn burn(&mut self, number: u64) {
        let Some(link) = self.links.get_mut(&number) else { return };
        match link.fuse {
            Some(0 | 1) => self.break_link(number, true, true),
            Some(left) => link.fuse = Some(left - 1),
            None => {}
        }
    }
}

fn clock(now: u64, wall_offset: i64) -> Now {
    let wall = EPOCH.saturating_add_unsigned(now).saturating_add(wall_offset);
    Now::new(Instant::from_millis(now), UnixMillis::from_millis(wall))
}

/// The seed of the server after so many restarts, in a world of this seed: for a replay.
#[must_use]
pub fn server_seed(seed: u64, generation: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, part) in bytes.chunks_exact_mut(8).zip([seed, generation, !seed, 0x5eed]) {
        chunk.copy_from_slice(&part.to_le_bytes());
    }
    bytes
}

/// The seed of a client after so many restarts, in a world of this seed: for a replay.
#[must_use]
pub fn client_seed(seed: u64, number: usize, generation: u64) -> u64 {
    let number = u64::try_from(number).unwrap_or(u64::MAX);
    seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ generation.rotate_left(32)
}
