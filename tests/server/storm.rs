//! All transports are lost at once: the work is spread over calls, and others are served meanwhile.

use presence_proto::server::{
    Capability, ConnectRequest, Identity, Input, Outbox, Output, Rate, Server, ServerOptions,
    output,
};
use presence_proto::wire::{Action, Flags, PresenceAction, PresenceMessage, ProtocolMessage};
use presence_proto::{Now, TransportId};
use std::sync::Arc;

const COUNT: u64 = 3_000;
const BUDGET: usize = 50;
const START: u64 = 1_700_000_000_000;
/// The transport of the subscriber that stays.
const WATCHER: u64 = COUNT;

struct Host {
    server: Server,
    capability: Arc<Capability>,
    due: Option<u64>,
}

impl Host {
    /// `COUNT` members and a subscriber.
    fn crowded() -> Self {
        let mut config = ServerOptions::default();
        config.budget = BUDGET;
        config.limits.inbound = Rate::UNLIMITED;
        config.limits.channel = Rate::UNLIMITED;
        config.events = false;
        let server = Server::new(config, [7; 32]);
        let mut host = Self { server, capability: Arc::new(Capability::all()), due: None };
        for number in 0..=COUNT {
            let identity = Identity::Client(format!("client-{number}").into());
            let request = ConnectRequest::new(identity, Arc::clone(&host.capability));
            host.call(START, Input::opened(TransportId(number), request));
            let mut attach = ProtocolMessage::on_channel(Action::Attach, "room");
            let mode = if number == WATCHER { Flags::PRESENCE_SUBSCRIBE } else { Flags::empty() };
            attach.flags = Some(Flags::PRESENCE | mode);
            host.receive(START, number, attach);
            host.receive(START, number, change(PresenceAction::Enter, 0));
        }
        while host.due.is_some_and(|due| due <= START) {
            host.call(START, Input::Tick);
        }
        host
    }

    fn call(&mut self, now: u64, input: Input) -> Vec<Output> {
        let mut out = Outbox::new();
        let wake = self.server.handle(Now::from_millis(now), input, &mut out);
        self.due = wake.at().map(|at| at.as_millis());
        out.into_iter().collect()
    }

    fn receive(&mut self, now: u64, number: u64, frame: ProtocolMessage) -> Vec<Output> {
        self.call(now, Input::received(TransportId(number), frame))
    }
}

fn change(action: PresenceAction, serial: i64) -> ProtocolMessage {
    let mut frame = ProtocolMessage::presence("room", [PresenceMessage::new(action)]);
    frame.msg_serial = Some(serial);
    frame
}

fn leaves(outputs: &[Output]) -> usize {
    let items = outputs.iter().filter_map(|output| match output {
        Output::Send(output::Send { frame, .. }) => Some(&frame.head().presence),
        _ => None,
    });
    items.flatten().filter(|item| item.action == PresenceAction::Leave).count()
}

fn is_acknowledged(outputs: &[Output]) -> bool {
    outputs.iter().any(
        |output| matches!(output, Output::Send(output::Send { frame, .. }) if frame.head().action == Action::Ack),
    )
}

#[test]
fn a_storm_is_spread_over_calls_by_the_budget() {
    let mut host = Host::crowded();
    for number in 0..COUNT {
        let outputs = host.call(START, Input::closed(TransportId(number)));
        assert_eq!(outputs, [], "no event of a loss before the grace period ends");
    }
    // One timer for each connection, and one for the history of the channel.
    assert_eq!(host.server.timers() as u64, COUNT + 2);
    let end = START + 15_000;
    assert_eq!(host.due, Some(end));
    host.call(end - 1, Input::activity(TransportId(WATCHER)));

    let (mut delivered, mut calls, mut serial) = (0, 0, 1);
    while host.server.counters().members > 1 {
        assert!(host.due.is_some_and(|due| due <= end), "what is left is due at once");
        let outputs = if calls % 7 == 3 {
            // The remaining connection is served in turn.
            serial += 1;
            let outputs = host.receive(end, WATCHER, change(PresenceAction::Update, serial));
            assert!(is_acknowledged(&outputs));
            outputs
        } else {
            host.call(end, Input::Tick)
        };
        let now = leaves(&outputs);
        assert!(now <= BUDGET, "{now} leaves in one call");
        delivered += now;
        calls += 1;
    }
    assert_eq!(delivered as u64, COUNT);
    // A timer and a leave for each connection, and the timers that had to move.
    let least = COUNT as usize / BUDGET;
    assert!((least..=3 * least).contains(&calls), "{calls} calls");
}

#[test]
fn pings_are_spread_over_calls_by_the_budget() {
    let mut host = Host::crowded();
    let end = START + 15_000;
    let (mut pings, mut calls) = (0, 0);
    while pings < COUNT as usize {
        assert!(host.due.is_some_and(|due| due <= end), "what is left is due at once");
        let outputs = host.call(end, Input::Tick);
        let now = outputs.iter().filter(|output| matches!(output, Output::Ping(_))).count();
        assert!(now <= BUDGET, "{now} pings in one call");
        pings += now;
        calls += 1;
    }
    assert!(calls <= 3 * (COUNT as usize / BUDGET), "{calls} calls");
}

#[test]
fn a_storm_that_reconnects_in_time_emits_no_events() {
    let mut host = Host::crowded();
    for number in 0..COUNT {
        host.call(START, Input::closed(TransportId(number)));
    }
    let timers = host.server.timers();
    let mut out = Outbox::new();
    host.server.handle(Now::from_millis(START + 14_999), Input::Tick, &mut out);
    assert_eq!(leaves(out.as_slice()), 0);
    assert_eq!(host.server.timers(), timers);
    assert_eq!(host.server.counters().members, COUNT + 1);
}

/// The end of the grace and that of the connection may fall together: the members leave within the
/// budget all the same.
#[test]
fn a_connection_that_ends_with_its_grace_period_stays_within_the_budget() {
    let mut config = ServerOptions::default();
    config.budget = 2;
    let remain = config.connection_state_ttl;
    let server = Server::new(config, [7; 32]);
    let mut host = Host { server, capability: Arc::new(Capability::all()), due: None };
    let mut request = ConnectRequest::new(Identity::Any, Arc::clone(&host.capability));
    request.remain_present_for = Some(remain);
    let transport = TransportId(1);
    host.call(START, Input::opened(transport, request));
    host.receive(START, 1, ProtocolMessage::on_channel(Action::Attach, "room"));
    for serial in 0..10 {
        let item = PresenceMessage::new(PresenceAction::Enter).with_client_id(format!("m{serial}"));
        let mut enter = ProtocolMessage::presence("room", vec![item]);
        enter.msg_serial = Some(serial);
        host.receive(START, 1, enter);
    }
    host.call(START, Input::closed(transport));
    let end = START + remain.as_millis() as u64;
    for calls in 1.. {
        let before = host.server.occupancy("room").presence_members;
        host.call(end, Input::Tick);
        let after = host.server.occupancy("room").presence_members;
        assert!(before - after <= 2, "{} left in one call", before - after);
        if after == 0 {
            assert!(calls >= 5, "{calls} calls");
            break;
        }
        assert_eq!(host.due, Some(end), "the rest is due at once");
    }
}
