//! Two clients and a server in one process, with a fake clock: no network, no waiting.
//! `cargo run --example quickstart` prints the events that the applications receive.
//!
//! It shows the whole contract in one file. Each half takes its inputs through `handle(now, input,
//! &mut out)`, puts its outputs into `out`, and has a deadline, `next_wake`. A host moves frames
//! between the two and keeps the time; this one does it with a queue and a number.

use presence_proto::client::{self, Client, ClientOptions, Outcome};
use presence_proto::server::{self, Capability, ConnectRequest, Identity, Server, ServerOptions};
use presence_proto::wire::{Data, PresenceAction, ProtocolMessage};
use presence_proto::{Now, OpId, SubscriptionId, TransportId, Wake};
use std::collections::VecDeque;
use std::sync::Arc;

/// An input on its way. The queue keeps frames in order, as a WebSocket does.
enum Mail {
    ToServer(server::Input),
    ToClient(usize, client::Input),
}

struct Party {
    name: &'static str,
    core: Client,
    /// Whether it can reach the server.
    online: bool,
    /// The transport that is open, as the client calls it and as the server calls it.
    transport: Option<(TransportId, TransportId)>,
}

struct Host {
    millis: u64,
    server: Server,
    parties: Vec<Party>,
    transports: u64,
    mail: VecDeque<Mail>,
}

fn main() {
    let mut host = Host {
        millis: 0,
        server: Server::new(ServerOptions::default(), [7; 32]),
        parties: ["alice", "bob"].map(Party::new).into(),
        transports: 0,
        mail: VecDeque::new(),
    };
    let (alice, bob) = (0, 1);
    let text = |text: &str| Some(Data::String(text.into()));

    println!("-- alice enters the room; bob joins later and syncs");
    host.input(alice, client::Input::Connect);
    host.input(alice, client::Input::enter(OpId(1), "room", text("hello")));
    host.pass(1_000);
    host.input(bob, client::Input::Connect);
    host.input(bob, client::Input::subscribe(OpId(1), "room", SubscriptionId(1)));
    host.pass(1_000);
    host.input(alice, client::Input::update(OpId(2), "room", text("busy")));
    host.pass(1_000);

    println!("-- alice's network fails for 5 s: she resumes in time, and bob sees nothing of it");
    host.cut(alice);
    host.pass(5_000);
    host.mend(alice);
    host.pass(1_000);
    host.input(bob, client::Input::get(OpId(2), "room"));

    println!("-- her network fails for good: 15 s later she leaves");
    host.cut(alice);
    host.pass(20_000);
}

impl Party {
    fn new(name: &'static str) -> Self {
        let mut options = ClientOptions::default();
        options.client_id = Some(name.into());
        Self { name, core: Client::new(options, 1), online: true, transport: None }
    }
}

impl Host {
    /// Passes an input of the application, or of the network, to a client.
    fn input(&mut self, client: usize, input: client::Input) {
        self.mail.push_back(Mail::ToClient(client, input));
        self.deliver();
    }

    /// Moves the clock forward, and ticks each half at its deadlines.
    fn pass(&mut self, millis: u64) {
        let until = self.millis + millis;
        let due = |wake: Wake| wake.at().map(|at| at.as_millis());
        loop {
            let clients = self.parties.iter().enumerate();
            let clients =
                clients.filter_map(|(number, p)| Some((due(p.core.next_wake())?, Some(number))));
            let server = due(self.server.next_wake()).map(|at| (at, None));
            match clients.chain(server).min() {
                Some((at, who)) if at <= until => {
                    self.millis = self.millis.max(at);
                    self.mail.push_back(match who {
                        Some(client) => Mail::ToClient(client, client::Input::Tick),
                        None => Mail::ToServer(server::Input::Tick),
                    });
                    self.deliver();
                }
                _ => break,
            }
        }
        self.millis = until;
    }

    /// Delivers all mail: the loop that every host has in some form.
    fn deliver(&mut self) {
        while let Some(mail) = self.mail.pop_front() {
            let now = Now::from_millis(self.millis);
            match mail {
                Mail::ToClient(number, input) => {
                    let mut out = client::Outbox::new();
                    let party = &mut self.parties[number];
                    party.core.handle(now, input, &mut out);
                    out.drain().for_each(|output| self.client_output(number, output));
                }
                Mail::ToServer(input) => {
                    let mut out = server::Outbox::new();
                    self.server.handle(now, input, &mut out);
                    out.drain().for_each(|output| self.server_output(output));
                }
            }
        }
    }

    fn client_output(&mut self, number: usize, output: client::Output) {
        let party = &mut self.parties[number];
        match output {
            client::Output::Open(client::output::Open { transport, params, .. }) => {
                if !party.online {
                    let failed = client::Input::open_failed(transport, None);
                    return self.mail.push_back(Mail::ToClient(number, failed));
                }
                // A real host has authenticated the peer by now.
                let identity = Identity::Client(party.name.into());
                let params = params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                let request =
                    ConnectRequest::from_params(identity, Arc::new(Capability::all()), params)
                        .expect("our own client sends good parameters");
                self.transports += 1;
                let theirs = TransportId(self.transports);
                party.transport = Some((transport, theirs));
                let opened = client::Input::opened(transport);
                self.mail.push_back(Mail::ToClient(number, opened));
                let open = server::Input::opened(theirs, request);
                self.mail.push_back(Mail::ToServer(open));
            }
            client::Output::Send(client::output::Send { frame, .. }) => {
                if let Some((_, transport)) = party.transport {
                    let received = server::Input::received(transport, *frame);
                    self.mail.push_back(Mail::ToServer(received));
                }
            }
            client::Output::Close(_) => {
                if let Some((_, transport)) = party.transport.take() {
                    self.mail.push_back(Mail::ToServer(server::Input::closed(transport)));
                }
            }
            client::Output::Connection(change) => {
                self.print(number, &format!("connection {}", change.current));
            }
            client::Output::Presence(client::output::Presence { message, .. }) => {
                let what = match message.action {
                    PresenceAction::Present => "is present",
                    PresenceAction::Enter => "enters",
                    PresenceAction::Update => "updates",
                    _ => "leaves",
                };
                let who = message.client_id.unwrap_or_default();
                match message.data {
                    Some(Data::String(text)) => {
                        self.print(number, &format!("{who} {what}: {text}"))
                    }
                    _ => self.print(number, &format!("{who} {what}")),
                }
            }
            client::Output::Done(client::output::Done {
                result: Ok(Outcome::Members(members)),
                ..
            }) => {
                let names: Vec<_> = members.into_iter().filter_map(|m| m.client_id).collect();
                self.print(number, &format!("members: {}", names.join(", ")));
            }
            _ => {}
        }
    }

    fn server_output(&mut self, output: server::Output) {
        // The others are pings, closed transports and events for the host.
        if let server::Output::Send(server::output::Send { to, frame, .. }) = output {
            to.iter().for_each(|transport| self.send(transport, frame.to_message()));
        }
    }

    fn send(&mut self, theirs: TransportId, frame: ProtocolMessage) {
        for (number, party) in self.parties.iter().enumerate() {
            if let Some((transport, open)) = party.transport
                && open == theirs
            {
                let received = client::Input::received(transport, frame);
                return self.mail.push_back(Mail::ToClient(number, received));
            }
        }
    }

    /// The network of a client fails: both ends lose the transport.
    fn cut(&mut self, client: usize) {
        let party = &mut self.parties[client];
        party.online = false;
        if let Some((transport, theirs)) = party.transport.take() {
            self.mail.push_back(Mail::ToServer(server::Input::closed(theirs)));
            self.input(client, client::Input::closed(transport, None));
        }
    }

    /// The network is back, and the operating system says so.
    fn mend(&mut self, client: usize) {
        self.parties[client].online = true;
        self.input(client, client::Input::NetworkAvailable);
    }

    fn print(&self, client: usize, what: &str) {
        println!("{:>6} ms  {:<5}  {what}", self.millis, self.parties[client].name);
    }
}
