//! Channels whose events are gathered for a while, and occupancy.

use crate::rig::{CHANNEL, Came, Rig};
use core::time::Duration;
use presence_proto::server::{CoalesceRule, Input, ServerOptions};
use presence_proto::wire::Action;
use serde_json::json;

/// A window of 100 ms on the usual channel; `bob` watches.
fn gathering() -> (Rig, u64) {
    let mut config = ServerOptions::default();
    config.coalesce = vec![CoalesceRule::new(CHANNEL, Duration::from_millis(100))];
    let mut rig = Rig::with(config);
    let bob = rig.join("bob");
    (rig, bob)
}

fn item(action: u8, who: &str, data: &str) -> serde_json::Value {
    json!({"action": action, "clientId": who, "data": data})
}

#[test]
fn events_wait_for_the_end_of_the_window_and_not_longer() {
    let (mut rig, bob) = gathering();
    let alice = rig.join("alice");
    let came = rig.enter(alice, 0, "1");
    // What is for the member and for the host is not delayed.
    assert_eq!(came.of(alice, Action::Ack).len(), 1);
    assert_eq!(came.events.len(), 2);
    assert_eq!(rig.members(), ["alice=1"]);
    assert_eq!(rig.history(), ["enter alice=1"]);
    assert_eq!(came.told(bob), [""; 0]);
    assert_eq!(rig.next(), Some(100));
    assert_eq!(rig.pass(99).told(bob), [""; 0]);
    assert_eq!(rig.pass(1).told(bob), ["enter alice=1"]);
    // Another event, another window.
    rig.pass(1_000);
    rig.update(alice, 1, "2");
    assert_eq!(rig.pass(99).told(bob), [""; 0]);
    assert_eq!(rig.pass(1).told(bob), ["update alice=2"]);
    rig.end();
}

#[test]
fn of_each_member_the_last_is_told_and_those_that_came_and_went_are_not() {
    let (mut rig, bob) = gathering();
    let server = rig.join("*");
    rig.presence(server, 0, item(2, "there", "0"));
    rig.pass(100);
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
        assert_eq!(rig.presence(server, serial as i64 + 1, item).told(bob), [""; 0]);
    }
    let came = rig.pass(100);
    assert_eq!(came.told(bob), ["update there=3", "enter comes=2", "enter comes back=2"]);
    assert_eq!(came.of(bob, Action::Presence).len(), 1, "in one frame");
    assert_eq!(rig.server.counters().coalesced, 2 + 1 + 2 + 2);
    // Their ids are those of the last, so that nothing older is taken for newer.
    let ids: Vec<_> = came.items(bob).into_iter().filter_map(|item| item.id).collect();
    let connection = rig.id(server);
    assert_eq!(ids, [7, 5, 10].map(|serial| format!("{connection}:{serial}:0")));
    rig.presence(server, 20, item(3, "there", ""));
    rig.presence(server, 21, item(2, "there", "again"));
    rig.presence(server, 22, item(3, "comes", ""));
    assert_eq!(rig.pass(100).told(bob), ["enter there=again", "leave comes="]);
    rig.end();
}

#[test]
fn two_hundred_events_are_told_before_the_window_ends() {
    let (mut rig, bob) = gathering();
    let server = rig.join("*");
    let mut came = Came::default();
    for serial in 0..450 {
        let next = rig.presence(server, serial, item(2, &format!("m{serial}"), ""));
        came.sent.extend(next.sent);
    }
    let sizes = |came: &Came| -> Vec<usize> {
        came.of(bob, Action::Presence).iter().map(|frame| frame.presence.len()).collect()
    };
    assert_eq!(sizes(&came), [200, 200]);
    assert_eq!(sizes(&rig.pass(100)), [50]);
    rig.end();
}

#[test]
fn members_that_come_and_go_take_no_room_for_ever() {
    let (mut rig, bob) = gathering();
    let server = rig.join("*");
    let mut told = 0;
    for serial in 0..2_000 {
        let who = format!("m{serial}");
        told += rig.presence(server, 2 * serial, item(2, &who, "")).told(bob).len();
        told += rig.presence(server, 2 * serial + 1, item(3, &who, "")).told(bob).len();
    }
    // The window was closed early now and then, when only the last one was there.
    assert!(told <= 2_000 / 800 + 1, "{told}");
    rig.end();
}

#[test]
fn a_newcomer_is_told_by_its_sync_and_not_twice() {
    let (mut rig, bob) = gathering();
    let alice = rig.join("alice");
    rig.enter(alice, 0, "1");
    let carol = rig.open("carol");
    let came = rig.attach(carol, CHANNEL);
    // Those who were there hear of what was gathered, before the newcomer's view begins.
    assert_eq!(came.told(bob), ["enter alice=1"]);
    assert_eq!(came.told(carol), [""; 0]);
    assert_eq!(came.synced(carol), ["alice=1"]);
    let came = rig.pass(100);
    assert_eq!((came.to(bob).len(), came.to(carol).len()), (0, 0));
    rig.leave(alice, 1);
    let came = rig.pass(100);
    assert_eq!(came.told(carol), ["leave alice=1"]);
    assert_eq!(came.told(bob), ["leave alice=1"]);
    rig.end();
}

#[test]
fn leaves_by_the_grace_are_gathered_and_cancel_what_nobody_has_heard() {
    let mut config = ServerOptions::default();
    config.coalesce = vec![CoalesceRule::new("*", Duration::from_secs(30))];
    let mut rig = Rig::with(config);
    let bob = rig.join("bob");
    let alice = rig.join("alice");
    rig.enter(alice, 0, "1");
    rig.lose(alice);
    let came = rig.pass_alive(60_000, &[bob]);
    assert_eq!(came.told(bob), [""; 0]);
    assert_eq!(rig.history(), ["enter alice=1", "leave alice=1"]);
    rig.end();
}

#[test]
fn a_member_whose_connection_does_not_subscribe_hears_of_itself_at_once() {
    let (mut rig, bob) = gathering();
    let alice = rig.open("alice");
    rig.recv(alice, json!({"action": 10, "channel": CHANNEL, "flags": 1 << 16}));
    let came = rig.enter(alice, 0, "1");
    assert_eq!(came.told(alice), ["enter alice=1"]);
    assert_eq!(came.told(bob), [""; 0]);
    assert_eq!(rig.pass(100).told(bob), ["enter alice=1"]);
    rig.end();
}

#[test]
fn who_was_congested_within_a_window_is_synced() {
    let (mut rig, bob) = gathering();
    let alice = rig.join("alice");
    rig.enter(alice, 0, "1");
    rig.congested(bob);
    assert_eq!(rig.pass(100).told(bob), [""; 0]);
    assert_eq!(rig.writable(bob).synced(bob), ["alice=1"]);
    // Also if the window is still open when it can be written to again.
    rig.congested(bob);
    rig.leave(alice, 1);
    let mut came = rig.writable(bob);
    came.sent.extend(rig.pass(100).sent);
    assert_eq!(came.of(bob, Action::Sync).len(), 1);
    assert_eq!(came.synced(bob), [""; 0]);
    assert_eq!(came.told(bob), [""; 0]);
    rig.end();
}

#[test]
fn only_the_channels_of_the_rule_gather() {
    let mut config = ServerOptions::default();
    config.coalesce = vec![
        CoalesceRule::new("slow:*", Duration::from_secs(1)),
        CoalesceRule::new("slow:not", Duration::ZERO),
        CoalesceRule::new("off", Duration::ZERO),
    ];
    let mut rig = Rig::with(config);
    let alice = rig.open("alice");
    for (serial, (channel, gathers)) in
        [("slow:a", true), ("slow:not", true), ("off", false), ("fast", false)]
            .into_iter()
            .enumerate()
    {
        rig.attach(alice, channel);
        let came = rig.recv(
            alice,
            json!({"action": 14, "channel": channel,
            "msgSerial": serial, "presence": [{"action": 2}]}),
        );
        assert_eq!(came.told(alice).is_empty(), gathers, "{channel}");
    }
}

#[test]
fn windows_that_end_together_are_told_within_the_budget() {
    let mut config = ServerOptions::default();
    config.budget = 3;
    config.coalesce = vec![CoalesceRule::new("*", Duration::from_millis(100))];
    let mut rig = Rig::with(config);
    let (bob, alice) = (rig.open("bob"), rig.open("alice"));
    for number in 0..10 {
        let channel = format!("c{number}");
        rig.attach(bob, &channel);
        rig.attach(alice, &channel);
        let frame = json!({"action": 14, "channel": channel, "msgSerial": number,
            "presence": [{"action": 2}]});
        rig.recv(alice, frame);
    }
    rig.time = 100;
    let mut told = 0;
    for _ in 0..20 {
        let now = rig.call(Input::Tick).told(bob).len();
        assert!(now <= 3, "{now} windows in one call");
        told += now;
        assert!(told == 10 || rig.next().is_some_and(|at| at <= 100), "the rest is due at once");
    }
    assert_eq!(told, 10);
}
