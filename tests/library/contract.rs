//! The rules of the contract in the crate's documentation, with a test for each.

use presence_check::{Scenario, Variation, fuzz};
use presence_proto::client::{self, Client, ClientOptions};
use presence_proto::server::{
    self, Capability, ConnectRequest, Identity, Output, Server, ServerOptions, output,
};
use presence_proto::wire::{Action, Format, PresenceAction, PresenceMessage, ProtocolMessage};
use presence_proto::{Now, OpId, TransportId, Wake};
use proptest::prelude::*;
use std::sync::Arc;

/// A server with the channel `room`, to which all clients are attached.
struct Room {
    server: Server,
    out: server::Outbox,
    wake: Option<Wake>,
}

impl Room {
    fn new(config: ServerOptions, clients: u64) -> Self {
        let server = Server::new(config, [7; 32]);
        let mut room = Self { server, out: server::Outbox::new(), wake: None };
        for number in 0..clients {
            let transport = TransportId(number);
            let identity = Identity::Client(format!("client{number}").into());
            let request = ConnectRequest::new(identity, Arc::new(Capability::all()));
            room.call(0, server::Input::opened(transport, request));
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
        self.call(millis, server::Input::received(TransportId(client), frame))
    }

    fn enter(&mut self, millis: u64, client: u64) -> Vec<Output> {
        self.receive(millis, client, Action::Presence, |frame| {
            frame.msg_serial = Some(0);
            frame.presence.push(PresenceMessage::new(PresenceAction::Enter));
        })
    }

    fn lose(&mut self, millis: u64, client: u64) {
        self.call(millis, server::Input::closed(TransportId(client)));
    }

    /// Ticks at `millis` until nothing is due.
    fn settle(&mut self, millis: u64) {
        while self.due().is_some_and(|at| at <= millis) {
            self.call(millis, server::Input::Tick);
        }
    }

    fn due(&self) -> Option<u64> {
        self.wake.and_then(Wake::at).map(|at| at.as_millis())
    }
}

/// The number of LEAVEs in outputs.
fn leaves(outputs: &[Output]) -> usize {
    let frames = outputs.iter().filter_map(|output| match output {
        Output::Send(output::Send { frame, .. }) => Some(frame.head()),
        _ => None,
    });
    let items = frames.flat_map(|frame| &frame.presence);
    items.filter(|item| item.action == PresenceAction::Leave).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    // Rule 1.
    #[test]
    fn any_sequence_of_inputs_is_legal(bytes in prop::collection::vec(any::<u8>(), 0..1_500)) {
        fuzz::client_inputs(&bytes);
        fuzz::server_inputs(&bytes);
    }
}

// Rule 2.
#[test]
fn a_recording_replays_to_the_same_outputs() {
    for seed in 1_000..1_050 {
        let (result, recording) = Scenario::from_seed(seed).run_recorded();
        assert!(result.is_ok(), "{result:?}");
        let (recorded, replayed) = (recording.outputs(), recording.replay(Variation::None));
        assert_eq!(format!("{recorded:?}"), format!("{replayed:?}"), "seed {seed}");
    }
}

// Rule 3.
#[test]
fn due_deadlines_fire_before_the_input() {
    let mut room = Room::new(ServerOptions::default(), 2);
    room.enter(0, 0);
    room.lose(1_000, 0);
    // No tick: the next input is a heartbeat, long after the end of the grace period.
    let outputs = room.receive(17_000, 1, Action::Heartbeat, |frame| {
        frame.channel = None;
        frame.id = Some("ping".into());
    });
    let is_leave = |output: &Output| leaves(core::slice::from_ref(output)) == 1;
    let is_pong = |output: &Output| {
        matches!(output, Output::Send(output::Send { frame, .. }) if frame.head().action == Action::Heartbeat
            && frame.head().id.as_deref() == Some("ping"))
    };
    let leave = outputs.iter().position(is_leave).expect("a leave");
    let pong = outputs.iter().position(is_pong).expect("an answer to the ping");
    assert!(leave < pong, "{outputs:?}");
}

// Rule 4.
#[test]
fn outputs_do_not_depend_on_when_they_are_drained() {
    for seed in 1_000..1_030 {
        let (_, recording) = Scenario::from_seed(seed).run_recorded();
        let often = recording.replay(Variation::None);
        for every in [2, 7, usize::MAX] {
            let rarely = recording.replay(Variation::RareDrains(every));
            assert_eq!(format!("{often:?}"), format!("{rarely:?}"), "seed {seed}, {every}");
        }
    }
}

// Rule 5.
#[test]
fn one_call_fires_no_more_than_its_budget() {
    let mut config = ServerOptions::default();
    config.budget = 3;
    let mut room = Room::new(config, 11);
    for client in 0..10 {
        room.enter(0, client);
        room.settle(0);
    }
    for client in 0..10 {
        room.lose(1_000, client);
    }
    // All ten grace periods end before the next call.
    let mut left = 0;
    let mut calls = 0;
    while left < 10 {
        let some = leaves(&room.call(20_000, server::Input::Tick));
        assert!(some <= 3, "{some} in one call");
        left += some;
        calls += 1;
        assert!(calls <= 50, "{left} have left after {calls} calls");
        if left < 10 {
            assert!(room.due().is_some_and(|at| at <= 20_000), "the rest is due at once");
        }
    }
}

// Rule 6.
#[test]
fn hasher_seeds_do_not_reach_outputs() {
    for seed in 1_000..1_050 {
        let (_, recording) = Scenario::from_seed(seed).run_recorded();
        let one = recording.replay(Variation::HashSeed(1));
        let two = recording.replay(Variation::HashSeed(u64::MAX));
        assert_eq!(format!("{one:?}"), format!("{two:?}"), "seed {seed}");
        assert_eq!(format!("{one:?}"), format!("{:?}", recording.outputs()), "seed {seed}");
    }
}

// Rule 7.
#[test]
fn the_next_deadline_is_exact() {
    // With a call at each deadline only, the grace period of each lost connection ends on time, and
    // there are few calls besides.
    let mut room = Room::new(ServerOptions::default(), 201);
    for client in 0..200 {
        room.enter(0, client);
    }
    for client in 0..200 {
        room.lose(1_000 + 10 * client, client);
    }
    // Client 200 receives the events.
    let mut left = 0;
    let mut calls = 0;
    while let Some(at) = room.due().filter(|at| *at <= 19_000) {
        left += leaves(&room.call(at, server::Input::Tick));
        calls += 1;
        let ended = |by: u64| (0..200).filter(|client| 16_000 + 10 * client <= by).count();
        assert!(left <= ended(at), "{left} have left at {at}, too early for one of them");
        assert!(left >= ended(at.saturating_sub(1_000)), "{left} at {at}, too late for one");
    }
    assert_eq!(left, 200);
    assert_eq!(room.server.counters().members, 0);
    assert!(calls <= 1_000, "{calls} calls for 200 deadlines");
    // The client's deadline: a connection attempt times out after 10 s.
    let mut client = Client::new(ClientOptions::default(), 1);
    let mut out = client::Outbox::new();
    let wake = client.handle(Now::from_millis(0), client::Input::Connect, &mut out);
    let at = wake.at().expect("an attempt takes at most 10 s").as_millis();
    assert_eq!(at, 10_000);
    out.drain();
    let wake = client.handle(Now::from_millis(9_999), client::Input::Tick, &mut out);
    assert!(out.is_empty(), "{:?}", out.as_slice());
    assert_eq!(wake.at().map(|at| at.as_millis()), Some(10_000));
    client.handle(Now::from_millis(10_000), client::Input::Tick, &mut out);
    assert!(!out.is_empty());
}

// Rule 8.
#[test]
fn a_broadcast_is_one_output_encoded_once() {
    let mut room = Room::new(ServerOptions::default(), 50);
    let outputs = room.enter(0, 0);
    let broadcasts: Vec<_> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Send(output::Send { to, frame, .. })
                if frame.head().action == Action::Presence =>
            {
                Some((to, frame))
            }
            _ => None,
        })
        .collect();
    let [(to, frame)] = broadcasts.as_slice() else { panic!("{outputs:?}") };
    assert_eq!((to.len(), to.iter().count()), (50, 50));
    assert_eq!(frame.head().presence.len(), 1);
    // One frame for all recipients, in each format.
    for format in [Format::Json, Format::MessagePack] {
        let mut frame = (*frame).clone();
        let bytes = frame.encode(format);
        assert_eq!(ProtocolMessage::decode(format, &bytes).as_ref(), Ok(frame.head()));
        // Encoded once: a second call shares the bytes.
        assert_eq!(frame.encode(format).as_ptr(), bytes.as_ptr());
    }
    // The member's own connection receives the same frame (RTP17a).
    assert!(to.iter().any(|transport| transport == TransportId(0)));
}

// Operations: each has exactly one result.
#[test]
fn an_operation_ends_exactly_once() {
    let mut client = Client::new(ClientOptions::default(), 1);
    let mut out = client::Outbox::new();
    for op in 1..=20 {
        client.handle(
            Now::from_millis(op),
            client::Input::enter(OpId(op), format!("room{op}"), None),
            &mut out,
        );
    }
    client.handle(Now::from_millis(30), client::Input::Connect, &mut out);
    client.handle(Now::from_millis(40), client::Input::Close, &mut out);
    for at in [50_000, 100_000, 200_000, 400_000] {
        client.handle(Now::from_millis(at), client::Input::Tick, &mut out);
    }
    let mut ended: Vec<u64> = out
        .drain()
        .filter_map(|output| match output {
            client::Output::Done(client::output::Done { op, .. }) => Some(op.0),
            _ => None,
        })
        .collect();
    ended.sort_unstable();
    assert_eq!(ended, (1..=20).collect::<Vec<_>>());
}

/// The documentation names a test for each rule.
#[test]
fn each_rule_of_the_documentation_names_a_test_of_this_file() {
    let (_, rules) = include_str!("../../src/lib.rs").split_once("# The contract").unwrap();
    let (rules, _) = rules.split_once("# Writing a driver").unwrap();
    let named = rules.split("(`").skip(1).filter_map(|rest| rest.split_once("`)"));
    let named: Vec<&str> = named.map(|(name, _)| name).collect();
    assert_eq!(named.len(), 8, "{named:?}");
    for name in named {
        assert!(include_str!("contract.rs").contains(&format!("fn {name}(")), "{name}");
    }
}
