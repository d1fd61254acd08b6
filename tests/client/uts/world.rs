//! Clients and a server on one clock, and a network between them that loses, replaces and makes up
//! frames when told to.
//!
//! Every frame is encoded and decoded on its way. The network takes no time.

use super::harness::{Host, Network, Traffic};
use core::time::Duration;
use presence_proto::client::{self, ClientOptions};
use presence_proto::server::{
    Capability, ConnectRequest, Identity, Input, Outbox, Output, Server, ServerOptions, output,
};
use presence_proto::wire::{Action, Format, ProtocolMessage};
use presence_proto::{Instant, Now, SmolStr, TransportId, UnixMillis};
use std::collections::VecDeque;
use std::sync::Arc;

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

/// What the network does to frames.
struct Rule {
    way: Way,
    action: Action,
    /// Frames that pass before the rule applies.
    spare: usize,
    /// Frames that it applies to.
    times: usize,
    /// What goes on in their place, if anything.
    instead: Option<ProtocolMessage>,
}

/// One transport, from both ends.
#[derive(Clone, Copy)]
struct Link {
    peer: usize,
    transport: TransportId,
    open: bool,
}

struct Peer {
    host: Host,
    identity: Identity,
    capability: Arc<Capability>,
    /// When the token of its next transport expires.
    expires: Option<UnixMillis>,
    /// How many of its next attempts cannot reach the server.
    refused: usize,
}

pub(crate) struct World {
    pub(crate) server: Server,
    /// Frames of each client's transports as they were sent, whatever became of them.
    pub(crate) log: Vec<(usize, Way, ProtocolMessage)>,
    format: Format,
    peers: Vec<Peer>,
    /// The server's number of a transport is its place here.
    links: Vec<Link>,
    rules: Vec<Rule>,
    out: Outbox,
    wake: Option<u64>,
    clock: u64,
}

impl World {
    pub(crate) fn new(format: Format) -> Self {
        Self::with(format, ServerOptions::default())
    }

    pub(crate) fn with(format: Format, config: ServerOptions) -> Self {
        Self {
            server: Server::new(config, [7; 32]),
            log: Vec::new(),
            format,
            peers: Vec::new(),
            links: Vec::new(),
            rules: Vec::new(),
            out: Outbox::new(),
            wake: None,
            clock: 0,
        }
    }

    /// A client that may do anything as this client id, or for anyone.
    pub(crate) fn add(&mut self, options: ClientOptions) -> usize {
        let identity = options.client_id.clone().map_or(Identity::Any, Identity::Client);
        self.add_with(options, identity, Capability::all())
    }

    pub(crate) fn add_with(
        &mut self,
        options: ClientOptions,
        identity: Identity,
        capability: Capability,
    ) -> usize {
        let mut host = Host::new(options);
        host.network = Network::Linked;
        host.set_clock(self.clock);
        self.peers.push(Peer {
            host,
            identity,
            capability: Arc::new(capability),
            expires: None,
            refused: 0,
        });
        self.peers.len() - 1
    }

    /// A connected client.
    pub(crate) fn connected(&mut self, options: ClientOptions) -> usize {
        let peer = self.add(options);
        self.input(peer, client::Input::Connect);
        assert_eq!(self.host(peer).state(), client::ConnectionState::Connected);
        peer
    }

    pub(crate) fn host(&mut self, peer: usize) -> &mut Host {
        &mut self.peers[peer].host
    }

    /// Something happens to a client, and all that follows at once.
    pub(crate) fn act<T>(&mut self, peer: usize, act: impl FnOnce(&mut Host) -> T) -> T {
        let result = act(self.host(peer));
        self.settle();
        result
    }

    pub(crate) fn input(&mut self, peer: usize, input: client::Input) {
        self.act(peer, |host| host.input(input));
    }

    /// A frame that the server never sent.
    pub(crate) fn make_up(&mut self, peer: usize, frame: ProtocolMessage) {
        self.act(peer, |host| host.recv(frame));
    }

    /// A frame that the server never sent, and the end of the transport.
    pub(crate) fn make_up_last(&mut self, peer: usize, frame: ProtocolMessage) {
        let transport = self.host(peer).transport();
        self.act(peer, |host| host.recv_last(frame));
        self.server_loses(peer, transport);
    }

    /// A client's transport is lost, and both ends see it.
    pub(crate) fn cut(&mut self, peer: usize) {
        let transport = self.host(peer).transport();
        // The server is the first to know, so that nothing of what follows meets the old transport.
        self.server_loses(peer, transport);
        self.act(peer, Host::lose);
    }

    /// The next attempts of a client do not reach the server.
    pub(crate) fn refuse(&mut self, peer: usize, times: usize) {
        self.peers[peer].refused = times;
    }

    /// The token of a client's next transport expires after this time.
    pub(crate) fn set_expiry(&mut self, peer: usize, after: Duration) {
        let Peer { host, expires, .. } = &mut self.peers[peer];
        let after = i64::try_from(after.as_millis()).unwrap();
        *expires = Some(UnixMillis::from_millis(host.wall().as_millis() + after));
    }

    /// The network loses frames of this kind.
    pub(crate) fn lose(&mut self, way: Way, action: Action, times: usize) {
        self.rules.push(Rule { way, action, spare: 0, times, instead: None });
    }

    /// The network replaces one frame of this kind, after some that pass.
    pub(crate) fn replace(&mut self, action: Action, spare: usize, instead: ProtocolMessage) {
        let instead = Some(instead);
        self.rules.push(Rule { way: Way::ToClient, action, spare, times: 1, instead });
    }

    /// The network does nothing to frames from here on.
    pub(crate) fn pass_all(&mut self) {
        self.rules.clear();
    }

    /// Frames of one kind that a client sent.
    pub(crate) fn sent(&self, peer: usize, action: Action) -> Vec<&ProtocolMessage> {
        self.log
            .iter()
            .filter(|(by, way, frame)| (*by, *way, frame.action) == (peer, Way::ToServer, action))
            .map(|(_, _, frame)| frame)
            .collect()
    }

    /// Time passes; whatever is due happens on its way.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.clock + u64::try_from(time.as_millis()).unwrap();
        for _ in 0..100_000 {
            let due = self.peers.iter().filter_map(|peer| peer.host.due()).chain(self.wake).min();
            let Some(at) = due.filter(|&at| at <= end) else {
                self.set_clock(end);
                return;
            };
            self.set_clock(at);
            if self.wake.is_some_and(|wake| wake <= at) {
                self.serve(Input::Tick);
            }
            for peer in 0..self.peers.len() {
                if self.host(peer).due().is_some_and(|due| due <= at) {
                    self.input(peer, client::Input::Tick);
                }
            }
            self.settle();
        }
        panic!("somebody always wants to be called at once");
    }

    fn set_clock(&mut self, millis: u64) {
        self.clock = self.clock.max(millis);
        for peer in &mut self.peers {
            peer.host.set_clock(self.clock);
        }
    }

    fn server_loses(&mut self, peer: usize, transport: Option<TransportId>) {
        let ends =
            |link: &Link| link.open && link.peer == peer && Some(link.transport) == transport;
        if let Some(number) = self.links.iter().position(ends) {
            self.links[number].open = false;
            self.serve(Input::closed(TransportId(number as u64)));
            self.settle();
        }
    }

    /// Until the network has nothing to do.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            let next = (0..self.peers.len())
                .find_map(|peer| Some((peer, self.host(peer).traffic.pop_front()?)));
            let Some((peer, traffic)) = next else { return };
            match traffic {
                Traffic::Open(transport, params) => self.open(peer, transport, &params),
                Traffic::Close(transport) => self.server_loses(peer, Some(transport)),
                Traffic::Frame(transport, frame) => self.up(peer, transport, *frame),
            }
        }
        panic!("the clients and the server never come to rest");
    }

    fn open(&mut self, peer: usize, transport: TransportId, params: &[(SmolStr, SmolStr)]) {
        let Peer { host, identity, capability, expires, refused } = &mut self.peers[peer];
        if host.transport() != Some(transport) {
            // The client has given it up already.
            return;
        }
        if *refused > 0 {
            *refused -= 1;
            host.refuse();
            return;
        }
        let params = params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let request = ConnectRequest::from_params(identity.clone(), capability.clone(), params);
        host.open();
        let mut request = match request {
            Ok(request) => request,
            // What a host does with a peer that it lets in no further.
            Err(error) => return host.recv_last(ProtocolMessage::error(error)),
        };
        request.token_expires = expires.take();
        let number = TransportId(self.links.len() as u64);
        self.links.push(Link { peer, transport, open: true });
        self.serve(Input::opened(number, request));
    }

    fn up(&mut self, peer: usize, transport: TransportId, frame: ProtocolMessage) {
        self.log.push((peer, Way::ToServer, frame.clone()));
        let ends = |link: &Link| link.open && link.peer == peer && link.transport == transport;
        let Some(number) = self.links.iter().position(ends) else { return };
        if let Some(frame) = self.meddle(Way::ToServer, frame) {
            let frame = self.travel(&frame);
            self.serve(Input::received(TransportId(number as u64), frame));
        }
    }

    fn serve(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mono = Instant::from_millis(self.clock);
            let now =
                Now::new(mono, self.peers.first().map_or_else(Default::default, |p| p.host.wall()));
            self.wake = self.server.handle(now, input, &mut self.out).at().map(Instant::as_millis);
            let outputs: Vec<_> = self.out.drain().collect();
            for output in outputs {
                match output {
                    Output::Send(output::Send { to, frame, .. }) => {
                        let frame = frame.into_message();
                        for transport in to.iter() {
                            self.down(transport, frame.clone());
                        }
                    }
                    Output::Ping(output::Ping { transport, .. }) => {
                        let host = self.at(transport);
                        if let Some(host) = host.filter(|host| host.observes_pings()) {
                            host.ping_frame();
                        }
                        inputs.push_back(Input::activity(transport));
                    }
                    Output::Close(output::Close { transport, .. }) => self.close(transport),
                    Output::Authenticate(output::Authenticate { transport, .. }) => {
                        let peer = &self.peers[self.links[transport.0 as usize].peer];
                        inputs.push_back(Input::authorized(
                            transport,
                            peer.identity.clone(),
                            peer.capability.clone(),
                            None,
                        ));
                    }
                    Output::Event(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// The client at the other end of one of the server's transports, if it is still there.
    fn at(&mut self, number: TransportId) -> Option<&mut Host> {
        let link = self.links[number.0 as usize];
        let host = &mut self.peers[link.peer].host;
        (link.open && host.is_open() && host.transport() == Some(link.transport)).then_some(host)
    }

    fn down(&mut self, number: TransportId, frame: ProtocolMessage) {
        let peer = self.links[number.0 as usize].peer;
        self.log.push((peer, Way::ToClient, frame.clone()));
        if let Some(frame) = self.meddle(Way::ToClient, frame) {
            let frame = self.travel(&frame);
            if let Some(host) = self.at(number) {
                host.recv(frame);
            }
        }
    }

    fn close(&mut self, number: TransportId) {
        if let Some(host) = self.at(number) {
            host.lose();
        }
        self.links[number.0 as usize].open = false;
    }

    fn meddle(&mut self, way: Way, frame: ProtocolMessage) -> Option<ProtocolMessage> {
        for rule in &mut self.rules {
            if (rule.way, rule.action) == (way, frame.action) && rule.times > 0 {
                if rule.spare > 0 {
                    rule.spare -= 1;
                } else {
                    rule.times -= 1;
                    return rule.instead.clone();
                }
            }
        }
        Some(frame)
    }

    fn travel(&self, frame: &ProtocolMessage) -> ProtocolMessage {
        ProtocolMessage::decode(self.format, &frame.encode(self.format)).unwrap()
    }
}
