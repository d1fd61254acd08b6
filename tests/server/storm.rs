//! All transports are lost at once: the work is spread over calls, and others are served meanwhile.

use crate::host::{CHANNEL, Host, request_with_grace};
use crate::outputs::Outputs;
use crate::text::decode;
use presence_proto::TransportId;
use presence_proto::server::{Input, Rate, ServerOptions};
use presence_proto::wire::{Action, PresenceAction};
use serde_json::json;

const COUNT: u64 = 3_000;
const BUDGET: usize = 50;
/// The transport of the subscriber that stays. Those of the members are below.
const WATCHER: u64 = COUNT + 1;
/// The grace period.
const GRACE: u64 = 15_000;

/// `COUNT` members that do not subscribe, and a subscriber, which is a member too.
fn crowded() -> Host {
    let mut options = ServerOptions::default();
    options.budget = BUDGET;
    options.limits.inbound = Rate::UNLIMITED;
    options.limits.channel = Rate::UNLIMITED;
    options.events = false;
    let mut host = Host::with(options);
    for number in 1..=WATCHER {
        let transport = host.open(&format!("client-{number}"));
        let subscribe = if transport == WATCHER { 1 << 19 } else { 0 };
        let flags = (1 << 16) + subscribe;
        host.recv(transport, json!({"action": 10, "channel": CHANNEL, "flags": flags}));
        host.enter(transport, 0, "");
    }
    host
}

/// The leaves that the subscriber receives.
fn leaves(outputs: &Outputs) -> usize {
    let items = outputs.items(WATCHER).into_iter();
    items.filter(|item| item.action == PresenceAction::Leave).count()
}

#[test]
fn a_storm_is_spread_over_calls_by_the_budget() {
    let mut host = crowded();
    for number in 1..=COUNT {
        let outputs = host.call(Input::closed(TransportId(number)));
        assert!(outputs.is_empty(), "no event of a loss before the grace period ends");
    }
    // One timer for each connection, and one for the history of the channel.
    assert_eq!(host.server.timers() as u64, COUNT + 2);
    assert_eq!(host.next_deadline(), Some(GRACE));
    host.time = GRACE - 1;
    host.call(Input::activity(TransportId(WATCHER)));

    host.time = GRACE;
    let (mut delivered, mut calls, mut serial) = (0, 0, 0);
    while host.server.counters().members > 1 {
        assert!(host.next_deadline().is_some_and(|at| at <= GRACE), "what is left is due at once");
        let outputs = if calls % 7 == 3 {
            // The remaining connection is served in turn.
            serial += 1;
            let frame = json!({
                "action": 14, "channel": CHANNEL, "msgSerial": serial, "presence": [{"action": 4}],
            });
            let outputs = host.call(Input::received(TransportId(WATCHER), decode(&frame)));
            assert_eq!(outputs.frames_of(WATCHER, Action::Ack).len(), 1);
            outputs
        } else {
            host.call(Input::Tick)
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
    let mut host = crowded();
    host.time = 15_000;
    let (mut pings, mut calls) = (0, 0);
    while pings < COUNT as usize {
        assert!(host.next_deadline().is_some_and(|at| at <= host.time), "the rest is due at once");
        let now = host.call(Input::Tick).pings.len();
        assert!(now <= BUDGET, "{now} pings in one call");
        pings += now;
        calls += 1;
    }
    assert!(calls <= 3 * (COUNT as usize / BUDGET), "{calls} calls");
}

#[test]
fn a_storm_that_reconnects_in_time_emits_no_events() {
    let mut host = crowded();
    for number in 1..=COUNT {
        host.call(Input::closed(TransportId(number)));
    }
    let timers = host.server.timers();
    host.time = GRACE - 1;
    assert_eq!(leaves(&host.call(Input::Tick)), 0);
    assert_eq!(host.server.timers(), timers);
    assert_eq!(host.server.counters().members, COUNT + 1);
}

/// The ends of the grace period and of the connection may coincide: the members leave within the
/// budget.
#[test]
fn a_connection_that_ends_with_its_grace_period_stays_within_the_budget() {
    let mut options = ServerOptions::default();
    options.budget = 2;
    let end = options.connection_state_ttl.as_millis() as u64;
    let mut host = Host::with(options);
    let (transport, _) = host.open_for(request_with_grace("*", end));
    host.attach(transport, CHANNEL);
    for serial in 0..10 {
        host.presence(transport, serial, json!({"action": 2, "clientId": format!("m{serial}")}));
    }
    host.lose(transport);
    host.time = end;
    for calls in 1.. {
        let before = host.server.occupancy(CHANNEL).presence_members;
        host.call(Input::Tick);
        let after = host.server.occupancy(CHANNEL).presence_members;
        assert!(before - after <= 2, "{} left in one call", before - after);
        if after == 0 {
            assert!(calls >= 5, "{calls} calls");
            break;
        }
        assert_eq!(host.next_deadline(), Some(end), "the rest is due at once");
    }
}
