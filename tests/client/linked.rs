//! Clients and a server in a simulated world whose network takes no time.

use crate::driven::{Driven, Outputs};
use core::time::Duration;
use presence_proto::client::{
    Client, ClientOptions, ConnectionState, Input, Output, input, output,
};
use presence_proto::server::{Identity, ServerOptions};
use presence_proto::wire::{Action, Format, ProtocolMessage};
use presence_sim::{CallKind, Latency, World};

pub(crate) struct Linked {
    pub(crate) world: World,
    /// The frames that each client has sent and received so far.
    sent: Vec<(usize, ProtocolMessage)>,
    received: Vec<(usize, ProtocolMessage)>,
    format: Format,
    outputs: Vec<Outputs>,
}

impl Linked {
    pub(crate) fn new(format: Format, options: ServerOptions) -> Self {
        let mut world = World::new(7, options);
        world.record_calls();
        Self { world, sent: Vec::new(), received: Vec::new(), format, outputs: Vec::new() }
    }

    /// A client that is allowed everything, as its client id or as anyone.
    pub(crate) fn add(&mut self, options: ClientOptions) -> usize {
        let identity = options.client_id.clone().map_or(Identity::Any, Identity::Client);
        self.add_as(identity, options)
    }

    pub(crate) fn add_as(&mut self, identity: Identity, options: ClientOptions) -> usize {
        let client = self.world.add_client("client", identity, options);
        self.world.set_latency(client, Latency { up: 0, down: 0 });
        self.world.set_format(client, Some(self.format));
        self.world.set_manual_tokens(client);
        self.outputs.push(Outputs::default());
        client
    }

    pub(crate) fn connected(&mut self, options: ClientOptions) -> usize {
        let client = self.add(options);
        self.peer(client).pass_in(Input::Connect);
        assert_eq!(self.peer(client).state(), ConnectionState::Connected);
        client
    }

    pub(crate) fn peer(&mut self, client: usize) -> Peer<'_> {
        Peer { linked: self, client }
    }

    /// A fault, and everything that follows at once.
    pub(crate) fn fault(&mut self, fault: impl FnOnce(&mut World)) {
        fault(&mut self.world);
        self.advance(Duration::ZERO);
    }

    /// Time passes.
    pub(crate) fn advance(&mut self, time: Duration) {
        self.world.run_for(time);
        assert_eq!(self.world.failure(), None);
        for call in self.world.take_calls() {
            let CallKind::Client { client, input, outputs } = call.kind else { continue };
            self.outputs[client].expect_result_of(&input);
            if let Input::Received(input::Received { frame, .. }) = input {
                self.received.push((client, frame));
            }
            for output in outputs {
                if let Output::Send(output::Send { frame, .. }) = &output {
                    self.sent.push((client, (**frame).clone()));
                }
                self.outputs[client].add(output);
            }
        }
    }

    /// The frames of an action that a client has sent so far.
    pub(crate) fn sent(&self, client: usize, action: Action) -> Vec<&ProtocolMessage> {
        frames_of(&self.sent, client, action)
    }

    /// The frames of an action that a client has received so far.
    pub(crate) fn received(&self, client: usize, action: Action) -> Vec<&ProtocolMessage> {
        frames_of(&self.received, client, action)
    }
}

fn frames_of(
    frames: &[(usize, ProtocolMessage)],
    client: usize,
    action: Action,
) -> Vec<&ProtocolMessage> {
    let of = frames.iter().filter(|(by, frame)| (*by, frame.action) == (client, action));
    of.map(|(_, frame)| frame).collect()
}

/// A client of the world.
pub(crate) struct Peer<'a> {
    linked: &'a mut Linked,
    client: usize,
}

impl Driven for Peer<'_> {
    fn client(&self) -> &Client {
        self.linked.world.client_core(self.client)
    }

    fn outputs(&self) -> &Outputs {
        &self.linked.outputs[self.client]
    }

    fn outputs_mut(&mut self) -> &mut Outputs {
        &mut self.linked.outputs[self.client]
    }

    fn pass_in(&mut self, input: Input) {
        let client = self.client;
        self.linked.fault(|world| world.client(client).input(input));
    }
}
