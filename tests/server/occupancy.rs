//! How many use a channel, told to those who ask for it.

use crate::rig::{CHANNEL, Came, Rig, may, request};
use presence_proto::server::{Operations, ServerOptions};
use presence_proto::wire::Action;
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// A connection that watches these figures.
fn watch(rig: &mut Rig, client_id: &str, occupancy: &str) -> (u64, Came) {
    let transport = rig.open(client_id);
    let came = watch_with(rig, transport, occupancy);
    (transport, came)
}

fn watch_with(rig: &mut Rig, transport: u64, occupancy: &str) -> Came {
    let params = json!({"occupancy": occupancy});
    rig.recv(transport, json!({"action": 10, "channel": CHANNEL, "params": params}))
}

/// The occupancy events that a transport was told.
fn figures(came: &Came, transport: u64) -> Vec<Json> {
    let mut events = Vec::new();
    for frame in came.of(transport, Action::Message) {
        for message in &frame.messages {
            assert_eq!(message.name.as_deref(), Some("[meta]occupancy"));
            assert_eq!(message.encoding.as_deref(), Some("json"));
            let data = message.data.as_ref().and_then(|data| data.as_str()).unwrap();
            let data: Json = serde_json::from_str(data).unwrap();
            events.push(data["metrics"].clone());
        }
    }
    events
}

fn members(came: &Came, transport: u64) -> Vec<i64> {
    let members = |metrics: &Json| metrics["presenceMembers"].as_i64().unwrap();
    figures(came, transport).iter().map(members).collect()
}

#[test]
fn who_asks_is_told_at_once_and_of_what_it_asked_for() {
    let mut rig = Rig::new();
    let alice = rig.join("alice");
    rig.enter(alice, 0, "");
    let (_, came) = watch(&mut rig, "bob", "metrics");
    assert_eq!(
        figures(&came, 2),
        [json!({"connections": 2, "publishers": 2, "subscribers": 2, "presenceConnections": 2,
            "presenceSubscribers": 2, "presenceMembers": 1})]
    );
    let attached = came.one(2, Action::Attached);
    assert_eq!(attached.params.as_deref(), Some(&[("occupancy".into(), "metrics".into())][..]));
    let (carol, came) = watch(&mut rig, "carol", "metrics.presenceMembers");
    assert_eq!(figures(&came, carol), [json!({"presenceMembers": 1})]);
    let two = "metrics.publishers,metrics.subscribers";
    let (dave, came) = watch(&mut rig, "dave", two);
    assert_eq!(figures(&came, dave), [json!({"publishers": 4, "subscribers": 4})]);
    let (erin, came) = watch(&mut rig, "erin", "nonsense");
    assert_eq!(figures(&came, erin), [json!(null); 0]);
    rig.end();
}

#[test]
fn modes_say_who_counts_as_what() {
    let mut rig = Rig::new();
    for (flags, who) in [(1 << 16, "a"), (1 << 17, "b"), (1 << 18, "c"), (1 << 19, "d")] {
        let transport = rig.open(who);
        rig.recv(transport, json!({"action": 10, "channel": CHANNEL, "flags": flags}));
    }
    let occupancy = rig.server.occupancy(CHANNEL);
    assert_eq!(occupancy.connections, 4);
    assert_eq!((occupancy.publishers, occupancy.subscribers), (1, 1));
    assert_eq!((occupancy.presence_connections, occupancy.presence_subscribers), (1, 1));
    assert_eq!(rig.server.occupancy("unknown").connections, 0);
    // Other modes count from then on.
    rig.recv(1, json!({"action": 10, "channel": CHANNEL, "flags": 1 << 17}));
    let occupancy = rig.server.occupancy(CHANNEL);
    assert_eq!((occupancy.publishers, occupancy.presence_connections), (2, 0));
    // Who is lost does not count, though it may come back.
    rig.lose(2);
    assert_eq!(rig.server.occupancy(CHANNEL).connections, 3);
    rig.end();
}

#[test]
fn to_and_from_zero_is_told_at_once_and_all_else_every_five_seconds() {
    let mut rig = Rig::new();
    let (bob, _) = watch(&mut rig, "bob", "metrics.presenceMembers");
    let server = rig.join("*");
    rig.pass_alive(10_000, &[bob, server]);
    let item = |action: u8, who: &str| json!({"action": action, "clientId": who});
    let came = rig.presence(server, 0, item(2, "a"));
    assert_eq!(members(&came, bob), [1]);
    let mut came = rig.presence(server, 1, item(2, "b"));
    came.sent.extend(rig.presence(server, 2, item(2, "c")).sent);
    came.sent.extend(rig.pass_alive(4_999, &[bob, server]).sent);
    assert_eq!(members(&came, bob), [0; 0]);
    assert_eq!(members(&rig.pass_alive(1, &[bob, server]), bob), [3]);
    // What is as it was is not told again.
    rig.presence(server, 3, item(2, "d"));
    rig.presence(server, 4, item(3, "d"));
    assert_eq!(members(&rig.pass_alive(60_000, &[bob, server]), bob), [0; 0]);
    for (serial, who) in (5..).zip(["a", "b"]) {
        rig.presence(server, serial, item(3, who));
    }
    let came = rig.presence(server, 7, item(3, "c"));
    assert_eq!(members(&came, bob), [0]);
    // The turn to zero has told all there was to tell.
    assert_eq!(members(&rig.pass_alive(60_000, &[bob, server]), bob), [0; 0]);
    rig.end();
}

#[test]
fn those_with_the_same_question_share_a_frame() {
    let mut rig = Rig::new();
    let watchers: Vec<u64> =
        (0..10).map(|n| watch(&mut rig, &format!("c{n}"), "metrics.presenceMembers").0).collect();
    let (other, _) = watch(&mut rig, "other", "metrics.connections");
    let alice = rig.join("alice");
    rig.pass_alive(10_000, &[alice]);
    let came = rig.enter(alice, 0, "");
    for &watcher in &watchers {
        assert_eq!(members(&came, watcher), [1]);
    }
    assert_eq!(figures(&came, other).len(), 1);
    // The event, the acknowledgement, and one frame for each question.
    assert_eq!(came.frames, 4);
    rig.end();
}

#[test]
fn who_no_longer_asks_or_may_not_receive_messages_is_not_told() {
    let mut rig = Rig::new();
    let (bob, _) = watch(&mut rig, "bob", "metrics");
    let mut only_publishes = request("carol");
    only_publishes.capability = Arc::new(may(Operations::PUBLISH | Operations::PRESENCE));
    let (carol, _) = rig.open_for(only_publishes);
    let came = watch_with(&mut rig, carol, "metrics");
    assert_eq!(figures(&came, carol).len(), 0);
    assert_eq!(figures(&rig.attach(bob, CHANNEL), bob).len(), 0);
    let alice = rig.join("alice");
    let came = rig.enter(alice, 0, "");
    assert_eq!((figures(&came, bob).len(), figures(&came, carol).len()), (0, 0));
    rig.end();
}

#[test]
fn a_congested_watcher_is_told_once_it_can_take_it() {
    let mut rig = Rig::new();
    let (bob, _) = watch(&mut rig, "bob", "metrics.presenceMembers");
    let alice = rig.join("alice");
    rig.congested(bob);
    assert_eq!(members(&rig.enter(alice, 0, ""), bob), [0; 0]);
    let came = rig.writable(bob);
    assert_eq!(members(&came, bob), [1]);
    rig.end();
}

#[test]
fn the_interval_is_the_configurations() {
    let mut config = ServerOptions::default();
    config.occupancy_interval = core::time::Duration::from_millis(50);
    let mut rig = Rig::with(config);
    let (bob, _) = watch(&mut rig, "bob", "metrics.connections");
    rig.join("alice");
    let carol = rig.join("carol");
    assert_eq!(figures(&rig.pass(49), bob).len(), 0);
    assert_eq!(figures(&rig.pass(1), bob), [json!({"connections": 3})]);
    rig.lose(carol);
    assert_eq!(figures(&rig.pass(50), bob), [json!({"connections": 2})]);
    rig.end();
}
