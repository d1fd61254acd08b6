//! Occupancy events for the clients that request them.

use crate::host::{CHANNEL, Host, capability, request};
use crate::outputs::Outputs;
use presence_proto::server::{Operations, ServerOptions};
use presence_proto::wire::Action;
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// A connection that watches these figures.
fn watch(host: &mut Host, client_id: &str, occupancy: &str) -> (u64, Outputs) {
    let transport = host.open(client_id);
    let outputs = watch_with(host, transport, occupancy);
    (transport, outputs)
}

fn watch_with(host: &mut Host, transport: u64, occupancy: &str) -> Outputs {
    let params = json!({"occupancy": occupancy});
    host.recv(transport, json!({"action": 10, "channel": CHANNEL, "params": params}))
}

/// The occupancy events to a transport.
pub(crate) fn figures(outputs: &Outputs, transport: u64) -> Vec<Json> {
    let mut events = Vec::new();
    for frame in outputs.frames_of(transport, Action::Message) {
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

fn members(outputs: &Outputs, transport: u64) -> Vec<i64> {
    let members = |metrics: &Json| metrics["presenceMembers"].as_i64().unwrap();
    figures(outputs, transport).iter().map(members).collect()
}

#[test]
fn a_new_watcher_gets_the_requested_figures_at_once() {
    let mut host = Host::new();
    let alice = host.join("alice");
    host.enter(alice, 0, "");
    let (_, outputs) = watch(&mut host, "bob", "metrics");
    assert_eq!(
        figures(&outputs, 2),
        [json!({"connections": 2, "publishers": 2, "subscribers": 2, "presenceConnections": 2,
            "presenceSubscribers": 2, "presenceMembers": 1})]
    );
    let attached = outputs.frame_of(2, Action::Attached);
    assert_eq!(attached.params.as_deref(), Some(&[("occupancy".into(), "metrics".into())][..]));
    let (carol, outputs) = watch(&mut host, "carol", "metrics.presenceMembers");
    assert_eq!(figures(&outputs, carol), [json!({"presenceMembers": 1})]);
    let two = "metrics.publishers,metrics.subscribers";
    let (dave, outputs) = watch(&mut host, "dave", two);
    assert_eq!(figures(&outputs, dave), [json!({"publishers": 4, "subscribers": 4})]);
    let (erin, outputs) = watch(&mut host, "erin", "nonsense");
    assert_eq!(figures(&outputs, erin), [json!(null); 0]);
    host.end();
}

#[test]
fn connections_are_counted_by_their_modes() {
    let mut host = Host::new();
    for (flags, who) in [(1 << 16, "a"), (1 << 17, "b"), (1 << 18, "c"), (1 << 19, "d")] {
        let transport = host.open(who);
        host.recv(transport, json!({"action": 10, "channel": CHANNEL, "flags": flags}));
    }
    let occupancy = host.server.occupancy(CHANNEL);
    assert_eq!(occupancy.connections, 4);
    assert_eq!((occupancy.publishers, occupancy.subscribers), (1, 1));
    assert_eq!((occupancy.presence_connections, occupancy.presence_subscribers), (1, 1));
    assert_eq!(host.server.occupancy("unknown").connections, 0);
    // Other modes count from then on.
    host.recv(1, json!({"action": 10, "channel": CHANNEL, "flags": 1 << 17}));
    let occupancy = host.server.occupancy(CHANNEL);
    assert_eq!((occupancy.publishers, occupancy.presence_connections), (2, 0));
    // A lost connection does not count, although it can be resumed.
    host.lose(2);
    assert_eq!(host.server.occupancy(CHANNEL).connections, 3);
    host.end();
}

#[test]
fn changes_to_and_from_zero_are_sent_at_once_and_others_every_five_seconds() {
    let mut host = Host::new();
    let (bob, _) = watch(&mut host, "bob", "metrics.presenceMembers");
    let server = host.join("*");
    host.advance_alive(10_000, &[bob, server]);
    let item = |action: u8, who: &str| json!({"action": action, "clientId": who});
    let outputs = host.presence(server, 0, item(2, "a"));
    assert_eq!(members(&outputs, bob), [1]);
    let mut outputs = host.presence(server, 1, item(2, "b"));
    outputs.sent.extend(host.presence(server, 2, item(2, "c")).sent);
    outputs.sent.extend(host.advance_alive(4_999, &[bob, server]).sent);
    assert_eq!(members(&outputs, bob), [0; 0]);
    assert_eq!(members(&host.advance_alive(1, &[bob, server]), bob), [3]);
    // Unchanged figures are not sent again.
    host.presence(server, 3, item(2, "d"));
    host.presence(server, 4, item(3, "d"));
    assert_eq!(members(&host.advance_alive(60_000, &[bob, server]), bob), [0; 0]);
    for (serial, who) in (5..).zip(["a", "b"]) {
        host.presence(server, serial, item(3, who));
    }
    let outputs = host.presence(server, 7, item(3, "c"));
    assert_eq!(members(&outputs, bob), [0]);
    // The event for zero had all changes.
    assert_eq!(members(&host.advance_alive(60_000, &[bob, server]), bob), [0; 0]);
    host.end();
}

#[test]
fn watchers_of_the_same_figures_share_a_frame() {
    let mut host = Host::new();
    let watchers: Vec<u64> =
        (0..10).map(|n| watch(&mut host, &format!("c{n}"), "metrics.presenceMembers").0).collect();
    let (other, _) = watch(&mut host, "other", "metrics.connections");
    let alice = host.join("alice");
    host.advance_alive(10_000, &[alice]);
    let outputs = host.enter(alice, 0, "");
    for &watcher in &watchers {
        assert_eq!(members(&outputs, watcher), [1]);
    }
    assert_eq!(figures(&outputs, other).len(), 1);
    // The event, the acknowledgement, and one frame for each question.
    assert_eq!(outputs.frame_count, 4);
    host.end();
}

#[test]
fn watchers_without_the_parameter_or_the_right_get_nothing() {
    let mut host = Host::new();
    let (bob, _) = watch(&mut host, "bob", "metrics");
    let mut only_publishes = request("carol");
    only_publishes.capability = Arc::new(capability(Operations::PUBLISH | Operations::PRESENCE));
    let (carol, _) = host.open_for(only_publishes);
    let outputs = watch_with(&mut host, carol, "metrics");
    assert_eq!(figures(&outputs, carol).len(), 0);
    assert_eq!(figures(&host.attach(bob, CHANNEL), bob).len(), 0);
    let alice = host.join("alice");
    let outputs = host.enter(alice, 0, "");
    assert_eq!((figures(&outputs, bob).len(), figures(&outputs, carol).len()), (0, 0));
    host.end();
}

#[test]
fn a_congested_watcher_gets_the_figures_once_writable() {
    let mut host = Host::new();
    let (bob, _) = watch(&mut host, "bob", "metrics.presenceMembers");
    let alice = host.join("alice");
    host.congested(bob);
    assert_eq!(members(&host.enter(alice, 0, ""), bob), [0; 0]);
    let outputs = host.writable(bob);
    assert_eq!(members(&outputs, bob), [1]);
    host.end();
}

#[test]
fn the_interval_is_configurable() {
    let mut config = ServerOptions::default();
    config.occupancy_interval = core::time::Duration::from_millis(50);
    let mut host = Host::with(config);
    let (bob, _) = watch(&mut host, "bob", "metrics.connections");
    host.join("alice");
    let carol = host.join("carol");
    assert_eq!(figures(&host.advance(49), bob).len(), 0);
    assert_eq!(figures(&host.advance(1), bob), [json!({"connections": 3})]);
    host.lose(carol);
    assert_eq!(figures(&host.advance(50), bob), [json!({"connections": 2})]);
    host.end();
}
