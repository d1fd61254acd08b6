//! Channels whose events are coalesced.

use crate::host::{CHANNEL, Host};
use crate::outputs::Outputs;
use core::time::Duration;
use presence_proto::server::{CoalesceRule, Input, ServerOptions};
use presence_proto::wire::Action;
use serde_json::json;

/// A window of 100 ms on the usual channel; `bob` watches.
fn gathering() -> (Host, u64) {
    let mut config = ServerOptions::default();
    config.coalesce = vec![CoalesceRule::new(CHANNEL, Duration::from_millis(100))];
    let mut host = Host::with(config);
    let bob = host.join("bob");
    (host, bob)
}

fn item(action: u8, who: &str, data: &str) -> serde_json::Value {
    json!({"action": action, "clientId": who, "data": data})
}

#[test]
fn events_are_sent_at_the_end_of_the_window() {
    let (mut host, bob) = gathering();
    let alice = host.join("alice");
    let outputs = host.enter(alice, 0, "1");
    // Events for the member's own connection and for the host are not delayed.
    assert_eq!(outputs.frames_of(alice, Action::Ack).len(), 1);
    assert_eq!(outputs.events.len(), 2);
    assert_eq!(host.members(), ["alice=1"]);
    assert_eq!(host.history(), ["enter alice=1"]);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    assert_eq!(host.next_deadline(), Some(100));
    assert_eq!(host.advance(99).events_of(bob), [""; 0]);
    assert_eq!(host.advance(1).events_of(bob), ["enter alice=1"]);
    // Another event, another window.
    host.advance(1_000);
    host.update(alice, 1, "2");
    assert_eq!(host.advance(99).events_of(bob), [""; 0]);
    assert_eq!(host.advance(1).events_of(bob), ["update alice=2"]);
    host.end();
}

#[test]
fn only_the_last_event_of_each_member_is_sent() {
    let (mut host, bob) = gathering();
    let server = host.join("*");
    host.presence(server, 0, item(2, "there", "0"));
    host.advance(100);
    for (serial, item) in [
        item(4, "there", "1"),
        item(2, "comes", "1"),
        item(2, "comes and goes", "1"),
        item(4, "there", "2"),
        item(4, "comes", "2"),
        item(3, "comes and goes", ""),
        item(4, "there", "3"),
        item(2, "comes back", "1"),
        item(3, "comes back", ""),
        item(2, "comes back", "2"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(host.presence(server, serial as i64 + 1, item).events_of(bob), [""; 0]);
    }
    let outputs = host.advance(100);
    assert_eq!(outputs.events_of(bob), ["update there=3", "enter comes=2", "enter comes back=2"]);
    assert_eq!(outputs.frames_of(bob, Action::Presence).len(), 1, "in one frame");
    assert_eq!(host.server.counters().coalesced, 2 + 1 + 2 + 2);
    // Their ids are those of the last, so that nothing older is taken for newer.
    let ids: Vec<_> = outputs.items(bob).into_iter().filter_map(|item| item.id).collect();
    let connection = host.id(server);
    assert_eq!(ids, [7, 5, 10].map(|serial| format!("{connection}:{serial}:0")));
    host.presence(server, 20, item(3, "there", ""));
    host.presence(server, 21, item(2, "there", "again"));
    host.presence(server, 22, item(3, "comes", ""));
    assert_eq!(host.advance(100).events_of(bob), ["enter there=again", "leave comes="]);
    host.end();
}

#[test]
fn two_hundred_events_are_sent_before_the_window_ends() {
    let (mut host, bob) = gathering();
    let server = host.join("*");
    let mut outputs = Outputs::default();
    for serial in 0..450 {
        let next = host.presence(server, serial, item(2, &format!("m{serial}"), ""));
        outputs.sent.extend(next.sent);
    }
    let sizes = |outputs: &Outputs| -> Vec<usize> {
        outputs.frames_of(bob, Action::Presence).iter().map(|frame| frame.presence.len()).collect()
    };
    assert_eq!(sizes(&outputs), [200, 200]);
    assert_eq!(sizes(&host.advance(100)), [50]);
    host.end();
}

#[test]
fn members_that_enter_and_leave_do_not_accumulate() {
    let (mut host, bob) = gathering();
    let server = host.join("*");
    let mut delivered = 0;
    for serial in 0..2_000 {
        let who = format!("m{serial}");
        delivered += host.presence(server, 2 * serial, item(2, &who, "")).events_of(bob).len();
        delivered += host.presence(server, 2 * serial + 1, item(3, &who, "")).events_of(bob).len();
    }
    // The window was closed early now and then, when only the last one was there.
    assert!(delivered <= 2_000 / 800 + 1, "{delivered}");
    host.end();
}

#[test]
fn a_new_subscriber_gets_coalesced_members_by_its_sync_only() {
    let (mut host, bob) = gathering();
    let alice = host.join("alice");
    host.enter(alice, 0, "1");
    let carol = host.open("carol");
    let outputs = host.attach(carol, CHANNEL);
    // Earlier subscribers receive the coalesced events before the sync of the new one.
    assert_eq!(outputs.events_of(bob), ["enter alice=1"]);
    assert_eq!(outputs.events_of(carol), [""; 0]);
    assert_eq!(outputs.synced(carol), ["alice=1"]);
    let outputs = host.advance(100);
    assert_eq!((outputs.frames(bob).len(), outputs.frames(carol).len()), (0, 0));
    host.leave(alice, 1);
    let outputs = host.advance(100);
    assert_eq!(outputs.events_of(carol), ["leave alice=1"]);
    assert_eq!(outputs.events_of(bob), ["leave alice=1"]);
    host.end();
}

#[test]
fn leaves_at_the_end_of_a_grace_period_cancel_unsent_enters() {
    let mut config = ServerOptions::default();
    config.coalesce = vec![CoalesceRule::new("*", Duration::from_secs(30))];
    let mut host = Host::with(config);
    let bob = host.join("bob");
    let alice = host.join("alice");
    host.enter(alice, 0, "1");
    host.lose(alice);
    let outputs = host.advance_alive(60_000, &[bob]);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    assert_eq!(host.history(), ["enter alice=1", "leave alice=1"]);
    host.end();
}

#[test]
fn a_connection_that_does_not_subscribe_receives_its_own_events_at_once() {
    let (mut host, bob) = gathering();
    let alice = host.open("alice");
    host.recv(alice, json!({"action": 10, "channel": CHANNEL, "flags": 1 << 16}));
    let outputs = host.enter(alice, 0, "1");
    assert_eq!(outputs.events_of(alice), ["enter alice=1"]);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    assert_eq!(host.advance(100).events_of(bob), ["enter alice=1"]);
    host.end();
}

#[test]
fn a_subscriber_congested_within_a_window_is_synced() {
    let (mut host, bob) = gathering();
    let alice = host.join("alice");
    host.enter(alice, 0, "1");
    host.congested(bob);
    assert_eq!(host.advance(100).events_of(bob), [""; 0]);
    assert_eq!(host.writable(bob).synced(bob), ["alice=1"]);
    // Also if the window is still open when it can be written to again.
    host.congested(bob);
    host.leave(alice, 1);
    let mut outputs = host.writable(bob);
    outputs.sent.extend(host.advance(100).sent);
    assert_eq!(outputs.frames_of(bob, Action::Sync).len(), 1);
    assert_eq!(outputs.synced(bob), [""; 0]);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    host.end();
}

#[test]
fn only_channels_of_the_rule_coalesce() {
    let mut config = ServerOptions::default();
    config.coalesce = vec![
        CoalesceRule::new("slow:*", Duration::from_secs(1)),
        CoalesceRule::new("slow:not", Duration::ZERO),
        CoalesceRule::new("off", Duration::ZERO),
    ];
    let mut host = Host::with(config);
    let alice = host.open("alice");
    for (serial, (channel, coalesces)) in
        [("slow:a", true), ("slow:not", true), ("off", false), ("fast", false)]
            .into_iter()
            .enumerate()
    {
        host.attach(alice, channel);
        let outputs = host.recv(
            alice,
            json!({"action": 14, "channel": channel,
            "msgSerial": serial, "presence": [{"action": 2}]}),
        );
        assert_eq!(outputs.events_of(alice).is_empty(), coalesces, "{channel}");
    }
}

#[test]
fn windows_that_end_together_are_sent_within_the_budget() {
    let mut config = ServerOptions::default();
    config.budget = 3;
    config.coalesce = vec![CoalesceRule::new("*", Duration::from_millis(100))];
    let mut host = Host::with(config);
    let (bob, alice) = (host.open("bob"), host.open("alice"));
    for number in 0..10 {
        let channel = format!("c{number}");
        host.attach(bob, &channel);
        host.attach(alice, &channel);
        let frame = json!({"action": 14, "channel": channel, "msgSerial": number,
            "presence": [{"action": 2}]});
        host.recv(alice, frame);
    }
    host.time = 100;
    let mut delivered = 0;
    for _ in 0..20 {
        let now = host.call(Input::Tick).events_of(bob).len();
        assert!(now <= 3, "{now} windows in one call");
        delivered += now;
        assert!(
            delivered == 10 || host.next_deadline().is_some_and(|at| at <= 100),
            "the rest is due at once"
        );
    }
    assert_eq!(delivered, 10);
}
