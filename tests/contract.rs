//! The rules of the contract, one by one, as the crate's documentation prints them.

use core::time::Duration;
use presence_proto::client::{self, Client, ClientOptions};
use presence_proto::server::{
    self, Capability, ConnectRequest, Identity, Output, Server, ServerConfig,
};
use presence_proto::wire::{
    Action, ErrorInfo, Flags, Format, PresenceAction, PresenceMessage, ProtocolMessage,
};
use presence_proto::{Now, OpId, SubscriptionId, TransportId, Wake};
use proptest::prelude::*;
use std::sync::Arc;

/// A server with one channel, `room`, on which all clients are attached.
struct Room {
    server: Server,
    out: server::Outbox,
    wake: Option<Wake>,
}

impl Room {
    fn new(config: ServerConfig, clients: u64) -> Self {
        let server = Server::new(config, [7; 32]);
        let mut room = Self { server, out: server::Outbox::new(), wake: None };
        for number in 0..clients {
            let transport = TransportId(number);
            let identity = Identity::Client(format!("client{number}").into());
            let request = ConnectRequest::new(identity, Arc::new(Capability::all()));
            room.call(0, server::Input::Open { transport, request });
            room.receive(0, number, Action::Attach, |_| {});
        }
        room.settle(0);
        room
    }

    fn call(&mut self, millis: u64, input: server::Input) -> Vec<Output> {
        self.wake = Some(self.server.handle(Now::from_millis(millis), input, &mut self.out));
        self.out.drain().collect()
    }

    fn receive(
        &mut self,
        millis: u64,
        client: u64,
        action: Action,
        fill: impl FnOnce(&mut ProtocolMessage),
    ) -> Vec<Output> {
        let mut frame = ProtocolMessage::new(action);
        frame.channel = Some("room".into());
        fill(&mut frame);
        self.call(millis, server::Input::Received { transport: TransportId(client), frame })
    }

    fn enter(&mut self, millis: u64, client: u64) -> Vec<Output> {
        self.receive(millis, client, Action::Presence, |frame| {
            frame.msg_serial = Some(0);
            frame.presence.push(PresenceMessage::new(PresenceAction::Enter));
        })
    }

    fn lose(&mut self, millis: u64, client: u64) {
        self.call(millis, server::Input::Closed { transport: TransportId(client) });
    }

    /// Calls as long as something is due by `millis`.
    fn settle(&mut self, millis: u64) {
        while self.due().is_some_and(|at| at <= millis) {
            self.call(millis, server::Input::Tick);
        }
    }

    fn due(&self) -> Option<u64> {
        self.wake.and_then(Wake::at).map(|at| at.as_millis())
    }
}

/// How many members leave in these outputs.
fn leaves(outputs: &[Output]) -> usize {
    let frames = outputs.iter().filter_map(|output| match output {
        Output::Send { frame, .. } | Output::Broadcast { frame, .. } => Some(frame),
        _ => None,
    });
    let items = frames.flat_map(|frame| &frame.presence);
    items.filter(|item| item.action == PresenceAction::Leave).count()
}

/// One input out of four numbers: something plausible, or a mistake of host or peer.
fn server_input([kind, transport, what, channel]: [u8; 4]) -> server::Input {
    let transport = TransportId(u64::from(transport % 4));
    let channel: presence_proto::SmolStr = ["a", "b", ""][usize::from(channel % 3)].into();
    let identity = match what % 3 {
        0 => Identity::Anonymous,
        1 => Identity::Client("ann".into()),
        _ => Identity::Any,
    };
    match kind % 12 {
        0 | 1 => {
            let request = ConnectRequest::new(identity, Arc::new(Capability::all()));
            server::Input::Open { transport, request }
        }
        2 => server::Input::Closed { transport },
        3 => server::Input::Tick,
        4 => server::Input::Congested { transport },
        5 => server::Input::Writable { transport },
        6 => server::Input::Kick { channel, client_id: None, connection_id: None },
        7 if what == 0 => server::Input::Drain { over: Duration::from_secs(1) },
        7 => server::Input::Undecodable { transport, error: ErrorInfo::new(40000, 400, "bytes") },
        _ => {
            let mut frame = ProtocolMessage::new(frame_action(what));
            frame.channel = Some(channel);
            frame.msg_serial = Some(i64::from(what / 32));
            let mut item = PresenceMessage::new(presence_action(kind));
            item.client_id = (what % 2 == 0).then(|| "ann".into());
            frame.presence.push(item);
            server::Input::Received { transport, frame }
        }
    }
}

/// As [`server_input`], for a client.
fn client_input([kind, transport, what, channel]: [u8; 4]) -> client::Input {
    let op = OpId(u64::from(what));
    let transport = TransportId(u64::from(transport % 4));
    let channel: presence_proto::SmolStr = ["a", "b", ""][usize::from(channel % 3)].into();
    match kind % 16 {
        0 | 1 => client::Input::Connect,
        2 | 3 => client::Input::TransportOpened { transport },
        4 => client::Input::TransportClosed { transport, error: None },
        5 => client::Input::Tick,
        6 => client::Input::attach(op, channel),
        7 => client::Input::detach(op, channel),
        8 => client::Input::enter(op, channel, None),
        9 => client::Input::leave(op, channel, None),
        10 => client::Input::get(op, channel),
        11 => client::Input::subscribe(op, channel, SubscriptionId(1)),
        12 if what == 0 => client::Input::Close,
        _ => {
            let mut frame = ProtocolMessage::new(frame_action(what));
            frame.channel = (what % 4 != 0).then_some(channel);
            frame.connection_id = Some(["c1", "c2"][usize::from(kind % 2)].into());
            frame.msg_serial = Some(i64::from(what / 32));
            frame.flags = Some(Flags::from_bits_retain(u64::from(what % 8)));
            let mut item = PresenceMessage::new(presence_action(kind));
            item.client_id = Some(["ann", "bob"][usize::from(what % 2)].into());
            item.timestamp = Some(presence_proto::UnixMillis::from_millis(i64::from(what)));
            frame.presence.push(item);
            client::Input::Received { transport, frame }
        }
    }
}

fn frame_action(what: u8) -> Action {
    [
        Action::Heartbeat,
        Action::Ack,
        Action::Nack,
        Action::Connected,
        Action::Disconnected,
        Action::Close,
        Action::Error,
        Action::Attach,
        Action::Attached,
        Action::Detach,
        Action::Detached,
        Action::Presence,
        Action::Presence,
        Action::Sync,
        Action::Message,
        Action::Auth,
    ][usize::from(what % 16)]
}

fn presence_action(kind: u8) -> PresenceAction {
    [PresenceAction::Enter, PresenceAction::Update, PresenceAction::Leave, PresenceAction::Present]
        [usize::from(kind / 16 % 4)]
}

/// Steps of time and inputs.
fn recording() -> impl Strategy<Value = Vec<(u16, [u8; 4])>> {
    prop::collection::vec((0..8_000_u16, any::<[u8; 4]>()), 0..200)
}

/// All outputs of a server, drained after every so many calls.
fn play_server(recording: &[(u16, [u8; 4])], drain_every: usize) -> Vec<Output> {
    let mut config = ServerConfig::default();
    config.limits.channels_per_connection = 1;
    let mut server = Server::new(config, [9; 32]);
    let (mut out, mut outputs, mut at) = (server::Outbox::new(), Vec::new(), 0_u64);
    for (number, &(pause, input)) in recording.iter().enumerate() {
        at += u64::from(pause);
        let _wake = server.handle(Now::from_millis(at), server_input(input), &mut out);
        if number % drain_every == 0 {
            outputs.extend(out.drain());
        }
    }
    outputs.extend(out.drain());
    outputs
}

/// All outputs of a client, drained after every so many calls.
fn play_client(recording: &[(u16, [u8; 4])], drain_every: usize, seed: u64) -> Vec<client::Output> {
    let mut options = ClientOptions::default();
    options.client_id = Some("ann".into());
    options.retry_jitter = false;
    let mut client = Client::new(options, seed);
    let (mut out, mut outputs, mut at) = (client::Outbox::new(), Vec::new(), 0_u64);
    for (number, &(pause, input)) in recording.iter().enumerate() {
        at += u64::from(pause);
        let _wake = client.handle(Now::from_millis(at), client_input(input), &mut out);
        if number % drain_every == 0 {
            outputs.extend(out.drain());
        }
    }
    outputs.extend(out.drain());
    outputs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    // Rule 1. A panic fails the test; a mistake of the host is told, and changes nothing.
    #[test]
    fn any_sequence_of_inputs_is_legal(recording in recording()) {
        play_server(&recording, 1);
        play_client(&recording, 1, 1);
        let mut server = Server::new(ServerConfig::default(), [9; 32]);
        let mut out = server::Outbox::new();
        let unknown = server::Input::Closed { transport: TransportId(1) };
        let _wake = server.handle(Now::from_millis(0), unknown, &mut out);
        prop_assert!(matches!(out.as_slice(), [Output::Misuse(_)]));
    }

    // Rule 2.
    #[test]
    fn a_recording_replays_to_the_same_outputs(recording in recording()) {
        prop_assert_eq!(play_server(&recording, 1), play_server(&recording, 1));
        prop_assert_eq!(play_client(&recording, 1, 1), play_client(&recording, 1, 1));
    }

    // Rule 4.
    #[test]
    fn outputs_do_not_depend_on_when_they_are_drained(recording in recording(), every in 2_usize..50) {
        prop_assert_eq!(play_server(&recording, 1), play_server(&recording, every));
        prop_assert_eq!(play_client(&recording, 1, 1), play_client(&recording, every, 1));
    }

    // Rule 6. Without jitter and pings, nothing but the hashers depends on the seed.
    #[test]
    fn hasher_seeds_do_not_reach_outputs(recording in recording(), seed in any::<u64>()) {
        prop_assert_eq!(play_client(&recording, 1, 1), play_client(&recording, 1, seed));
    }
}

// Rule 3.
#[test]
fn what_is_due_fires_before_the_input() {
    let mut room = Room::new(ServerConfig::default(), 2);
    room.enter(0, 0);
    room.lose(1_000, 0);
    // Nobody ticks. The next that comes is a heartbeat, long after the end of the grace.
    let outputs = room.receive(17_000, 1, Action::Heartbeat, |frame| {
        frame.channel = None;
        frame.id = Some("ping".into());
    });
    let is_leave = |output: &Output| leaves(core::slice::from_ref(output)) == 1;
    let is_pong = |output: &Output| {
        matches!(output, Output::Send { frame, .. } if frame.action == Action::Heartbeat
            && frame.id.as_deref() == Some("ping"))
    };
    let leave = outputs.iter().position(is_leave).expect("a leave");
    let pong = outputs.iter().position(is_pong).expect("an answer to the ping");
    assert!(leave < pong, "{outputs:?}");
}

// Rule 5.
#[test]
fn one_call_fires_no_more_than_its_budget() {
    let mut config = ServerConfig::default();
    config.budget = 3;
    let mut room = Room::new(config, 11);
    for client in 0..10 {
        room.enter(0, client);
        room.settle(0);
    }
    for client in 0..10 {
        room.lose(1_000, client);
    }
    // All ten graces have ended long ago when the next call comes.
    let mut gone = 0;
    let mut calls = 0;
    while gone < 10 {
        let some = leaves(&room.call(20_000, server::Input::Tick));
        assert!(some <= 3, "{some} in one call");
        gone += some;
        calls += 1;
        assert!(calls <= 50, "{gone} have left after {calls} calls");
        if gone < 10 {
            assert!(room.due().is_some_and(|at| at <= 20_000), "what is left is due at once");
        }
    }
}

// Rule 7.
#[test]
fn the_next_deadline_is_never_missed_nor_searched() {
    // Whoever calls only when told to misses nothing: the grace of each of many lost connections
    // ends on time, one by one, and there is not a call too many before the first of them.
    let mut room = Room::new(ServerConfig::default(), 200);
    for client in 0..200 {
        room.enter(0, client);
    }
    for client in 0..200 {
        room.lose(1_000 + 10 * client, client);
    }
    let mut calls = 0;
    while let Some(at) = room.due().filter(|at| *at <= 20_000) {
        room.call(at, server::Input::Tick);
        calls += 1;
        let lost = (0..200).filter(|client| 1_000 + 10 * client + 15_000 <= at).count();
        assert_eq!(room.server.counters().members, 200 - lost as u64, "at {at}");
    }
    assert_eq!(room.server.counters().members, 0);
    assert!(calls <= 1_000, "{calls} calls for 200 deadlines");
    // A client names its deadline too: its connection attempt has 10 s.
    let mut client = Client::new(ClientOptions::default(), 1);
    let mut out = client::Outbox::new();
    let wake = client.handle(Now::from_millis(0), client::Input::Connect, &mut out);
    let at = wake.at().expect("an attempt takes at most 10 s").as_millis();
    assert_eq!(at, 10_000);
    out.drain();
    let wake = client.handle(Now::from_millis(9_999), client::Input::Tick, &mut out);
    assert!(out.is_empty(), "{:?}", out.as_slice());
    assert_eq!(wake.at().map(|at| at.as_millis()), Some(10_000));
    let _ = client.handle(Now::from_millis(10_000), client::Input::Tick, &mut out);
    assert!(!out.is_empty());
}

// Rule 8.
#[test]
fn a_broadcast_is_one_output_encoded_once() {
    let mut room = Room::new(ServerConfig::default(), 50);
    let outputs = room.enter(0, 0);
    let broadcasts: Vec<_> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Broadcast { to, frame } => Some((to, frame)),
            _ => None,
        })
        .collect();
    let [(to, frame)] = broadcasts.as_slice() else { panic!("{outputs:?}") };
    assert_eq!((to.len(), to.iter().count()), (50, 50));
    assert_eq!(frame.presence.len(), 1);
    let sends = outputs.iter().filter(
        |output| matches!(output, Output::Send { frame, .. } if frame.action == Action::Presence),
    );
    assert_eq!(sends.count(), 0);
    // One frame for all: it is what every recipient decodes, whatever its format.
    for format in [Format::Json, Format::MessagePack] {
        let decoded = ProtocolMessage::decode(format, &frame.encode(format)).unwrap();
        assert_eq!(&decoded, *frame);
    }
    // The frame is the member's own, too: there is no second one for its connection (RTP17a).
    assert!(to.iter().any(|transport| transport == TransportId(0)));
}
