//! Each limit is reached: the error code is that of the protocol, and others are not affected.

use crate::host::{CHANNEL, Host, capability, request};
use crate::outputs::Outputs;
use presence_proto::server::{Input, Limits, Operations, Rate, ServerOptions};
use presence_proto::wire::Action;
use presence_proto::{SmolStr, TransportId};
use serde_json::json;

fn limited(set: impl FnOnce(&mut Limits)) -> Host {
    let mut config = ServerOptions::default();
    set(&mut config.limits);
    Host::with(config)
}

#[test]
fn connections() {
    let mut host = limited(|limits| limits.connections = 2);
    let alice = host.open("alice");
    host.open("bob");
    let (carol, outputs) = host.open_for(request("carol"));
    assert_eq!(outputs.frames_of(carol, Action::Disconnected).len(), 1);
    assert_eq!((outputs.error_codes(carol), outputs.closed), (vec![50003], vec![carol]));
    // One that can still be resumed counts, and can be resumed.
    host.lose(alice);
    let (carol, outputs) = host.open_for(request("carol"));
    assert_eq!(outputs.error_codes(carol), [50003]);
    let (again, outputs) = host.resume("alice", alice);
    assert_eq!(outputs.error_codes(again), [0; 0]);
    host.recv(again, json!({"action": 7}));
    let (carol, outputs) = host.open_for(request("carol"));
    assert_eq!(outputs.error_codes(carol), [0; 0]);
    assert_eq!(host.server.counters().limited, 2);
    host.end();
}

#[test]
fn channels_of_a_connection() {
    let mut host = limited(|limits| limits.channels_per_connection = 2);
    let alice = host.open("alice");
    for (channel, codes) in [("a", vec![]), ("b", vec![]), ("c", vec![90010]), ("a", vec![])] {
        assert_eq!(host.attach(alice, channel).error_codes(alice), codes, "{channel}");
    }
    host.recv(alice, json!({"action": 12, "channel": "a"}));
    assert_eq!(host.attach(alice, "c").error_codes(alice), [0; 0]);
    let bob = host.open("bob");
    assert_eq!(host.attach(bob, "a").error_codes(bob), [0; 0]);
    host.end();
}

#[test]
fn channels_of_the_server() {
    let mut host = limited(|limits| limits.channels = 2);
    let alice = host.open("alice");
    let bob = host.open("bob");
    host.attach(alice, "a");
    host.attach(alice, "b");
    assert_eq!(host.attach(bob, "c").error_codes(bob), [90010]);
    assert_eq!(host.attach(bob, "b").error_codes(bob), [0; 0]);
    host.end();
}

#[test]
fn length_of_a_channels_name() {
    let mut host = limited(|limits| limits.channel_name = 10);
    let alice = host.open("alice");
    assert_eq!(host.attach(alice, "0123456789").error_codes(alice), [0; 0]);
    assert_eq!(host.attach(alice, "0123456789a").error_codes(alice), [40010]);
    for name in ["", ":a", "a\u{7}", "[x", "[x]", ".", ".."] {
        assert_eq!(host.attach(alice, name).error_codes(alice), [40010], "{name:?}");
    }
    let frame = json!({"action": 14, "channel": "0123456789a", "presence": [{"action": 2}]});
    assert_eq!(host.recv(alice, frame).error_codes(alice), [40010]);
    let frame = json!({"action": 15, "channel": "0123456789a", "messages": [{}]});
    assert_eq!(host.recv(alice, frame).error_codes(alice), [40010]);
    host.end();
}

#[test]
fn length_of_a_client_id() {
    let mut host = limited(|limits| limits.client_id = 5);
    let server = host.join("*");
    let item = |id: &str| json!({"action": 2, "clientId": id});
    assert_eq!(host.presence(server, 0, item("12345")).error_codes(server), [0; 0]);
    assert_eq!(host.presence(server, 1, item("123456")).error_codes(server), [40012]);
}

#[test]
fn members_of_a_channel() {
    let mut host = limited(|limits| limits.members_per_channel = 2);
    let server = host.join("*");
    let item = |action: u8, id: &str| json!({"action": action, "clientId": id, "data": "x"});
    assert_eq!(host.presence(server, 0, item(2, "a")).error_codes(server), [0; 0]);
    assert_eq!(host.presence(server, 1, item(2, "b")).error_codes(server), [0; 0]);
    let outputs = host.presence(server, 2, item(2, "c"));
    assert_eq!(outputs.error_codes(server), [91003]);
    let nack = outputs.frame_of(server, Action::Nack);
    assert!(nack.error.as_deref().unwrap().message.contains("maximum number of 2 members"));
    // Members that are there may change and leave.
    assert_eq!(host.presence(server, 3, item(4, "b")).error_codes(server), [0; 0]);
    assert_eq!(host.presence(server, 4, item(2, "a")).error_codes(server), [0; 0]);
    assert_eq!(host.presence(server, 5, item(3, "a")).error_codes(server), [0; 0]);
    assert_eq!(host.presence(server, 6, item(2, "c")).error_codes(server), [0; 0]);
    // A batch counts as a whole.
    host.presence(server, 7, item(3, "c"));
    let frame = json!({"action": 14, "channel": CHANNEL, "msgSerial": 8,
        "presence": [item(2, "d"), item(2, "e")]});
    assert_eq!(host.recv(server, frame).error_codes(server), [91003]);
    assert_eq!(host.members(), ["b=x"]);
    host.end();
}

#[test]
fn data_of_the_members_of_a_channel() {
    let mut host = limited(|limits| limits.member_bytes_per_channel = 100);
    let server = host.join("*");
    let item =
        |id: &str, bytes: usize| json!({"action": 2, "clientId": id, "data": "x".repeat(bytes)});
    assert_eq!(host.presence(server, 0, item("a", 49)).error_codes(server), [0; 0]);
    assert_eq!(host.presence(server, 1, item("b", 50)).error_codes(server), [91006]);
    assert_eq!(host.presence(server, 2, item("b", 49)).error_codes(server), [0; 0]);
    assert_eq!(host.server.counters().member_bytes, 100);
    // In another's place there is room; extras count as well.
    assert_eq!(host.presence(server, 3, item("a", 40)).error_codes(server), [0; 0]);
    let extras = json!({"action": 4, "clientId": "a", "extras": {"x": "y".repeat(60)}});
    assert_eq!(host.presence(server, 4, extras).error_codes(server), [91006]);
    assert_eq!(host.server.counters().member_bytes, 91);
    host.end();
}

#[test]
fn data_of_the_members_of_a_connection() {
    in_channels(limited(|limits| limits.member_bytes_per_connection = 100));
    // Others have room.
    let mut host = limited(|limits| limits.member_bytes_per_connection = 100);
    let (one, two) = (host.join("*"), host.join("*"));
    let item = json!({"action": 2, "clientId": "m", "data": "x".repeat(90)});
    assert_eq!(host.presence(one, 0, item.clone()).error_codes(one), [0; 0]);
    assert_eq!(host.presence(two, 0, item.clone()).error_codes(two), [0; 0]);
    // Every kind of leave frees room.
    host.recv(one, json!({"action": 12, "channel": CHANNEL}));
    host.attach(one, CHANNEL);
    assert_eq!(host.presence(one, 1, item).error_codes(one), [0; 0]);
    host.end();
}

#[test]
fn data_of_the_members_of_all_channels() {
    in_channels(limited(|limits| limits.member_bytes = 100));
}

/// One connection has members in several channels, with 100 bytes at most.
fn in_channels(mut host: Host) {
    let server = host.open("*");
    let enter = |channel: &str, serial: i64, bytes: usize| {
        json!({"action": 14, "channel": channel, "msgSerial": serial,
            "presence": [{"action": 2, "clientId": "m", "data": "x".repeat(bytes)}]})
    };
    for (serial, (channel, bytes, codes)) in [
        ("a", 49, vec![]),
        ("b", 49, vec![]),
        ("c", 0, vec![91006]),
        ("a", 39, vec![]),
        ("c", 9, vec![]),
        ("c", 10, vec![91006]),
    ]
    .into_iter()
    .enumerate()
    {
        host.attach(server, channel);
        let outputs = host.recv(server, enter(channel, serial as i64, bytes));
        assert_eq!(outputs.error_codes(server), codes, "{serial}");
    }
    assert_eq!(host.server.counters().member_bytes, 100);
    host.end();
}

#[test]
fn a_retried_frame_with_more_data_does_not_exceed_the_limit() {
    let mut host = limited(|limits| limits.member_bytes_per_channel = 100);
    let server = host.join("*");
    for serial in 1..5 {
        host.presence(server, serial, json!({"action": 2, "clientId": "m"}));
    }
    // An older frame that was overtaken, and a frame between the two again, with something in it.
    host.presence(server, 5, json!({"action": 3, "clientId": "m"}));
    host.presence(server, 0, json!({"action": 2, "clientId": "m"}));
    let item = json!({"action": 4, "clientId": "m", "data": "x".repeat(1_000)});
    let outputs = host.presence(server, 3, item);
    assert_eq!(outputs.frames_of(server, Action::Ack).len(), 1);
    assert_eq!(host.server.counters().member_bytes, 1);
    host.end();
}

#[test]
fn bytes_of_a_message_count_every_forwarded_field() {
    const MOST: usize = 1_000;
    let mut host = limited(|limits| limits.message_size = MOST);
    let bob = host.join("bob");
    let server = host.join("*");
    let long = "x".repeat(MOST + 1);
    let mut serial = 0;
    for item in [
        json!({"data": long}),
        json!({"encoding": long}),
        json!({"extras": {"a": long}}),
        json!({"extras": {long.clone(): 1}}),
    ] {
        let mut item = item;
        item["action"] = 2.into();
        item["clientId"] = "m".into();
        let outputs = host.presence(server, serial, item.clone());
        assert_eq!(outputs.error_codes(server), [40009], "{item}");
        serial += 1;
    }
    for message in [
        json!({"data": long}),
        json!({"name": long}),
        json!({"id": long}),
        json!({"encoding": long}),
        json!({"clientId": long}),
        json!({"extras": {"a": long}}),
        json!({"whatever": long}),
        json!({long.clone(): 1}),
    ] {
        let frame = json!({"action": 15, "channel": CHANNEL, "msgSerial": serial,
            "messages": [message]});
        assert_eq!(host.recv(server, frame.clone()).error_codes(server), [40009], "{frame}");
        serial += 1;
    }
    // Fields beside the messages are not forwarded.
    let frame = json!({"action": 15, "channel": CHANNEL, "msgSerial": serial,
        "messages": [{"data": "x"}], "params": {"a": long}, "id": long, "error": {"message": long}});
    let outputs = host.recv(server, frame);
    let frame = outputs.frame_of(bob, Action::Message);
    assert!(frame.encode(presence_proto::wire::Format::Json).len() < 500);
    // Just as much as is allowed. The client id counts.
    let item = json!({"action": 2, "clientId": "m", "data": "x".repeat(MOST - 1)});
    assert_eq!(host.presence(server, serial + 1, item).error_codes(server), [0; 0]);
    let frame = json!({"action": 15, "channel": CHANNEL, "msgSerial": serial + 2,
        "messages": [{"data": "x".repeat(MOST)}]});
    assert_eq!(host.recv(server, frame).error_codes(server), [0; 0]);
    host.end();
}

#[test]
fn items_of_a_frame() {
    let mut host = limited(|limits| limits.items_per_frame = 3);
    let server = host.join("*");
    let items = |count: usize| vec![json!({"action": 2, "clientId": "m"}); count];
    let frame = |serial: i64, count| json!({"action": 14, "channel": CHANNEL, "msgSerial": serial, "presence": items(count)});
    assert_eq!(host.recv(server, frame(0, 3)).error_codes(server), [0; 0]);
    assert_eq!(host.recv(server, frame(1, 4)).error_codes(server), [40009]);
    let messages = |serial: i64, count| json!({"action": 15, "channel": CHANNEL, "msgSerial": serial, "messages": vec![json!({}); count]});
    assert_eq!(host.recv(server, messages(2, 3)).error_codes(server), [0; 0]);
    assert_eq!(host.recv(server, messages(3, 4)).error_codes(server), [40009]);
    host.end();
}

#[test]
fn bytes_of_a_channels_parameters() {
    let mut host = limited(|limits| limits.params = 20);
    let alice = host.open("alice");
    let attach =
        |value: &str| json!({"action": 10, "channel": CHANNEL, "params": {"delta": value}});
    assert_eq!(host.recv(alice, attach(&"x".repeat(15))).error_codes(alice), [0; 0]);
    assert_eq!(host.recv(alice, attach(&"x".repeat(16))).error_codes(alice), [40003]);
    host.end();
}

#[test]
fn frames_of_a_connection() {
    let mut host = limited(|limits| {
        limits.inbound = Rate { per_second: 10, burst: 20 };
        limits.refused_frames = 5;
    });
    let bob = host.join("bob");
    let alice = host.join("alice");
    // The attach was one of them.
    for serial in 0..19 {
        assert_eq!(host.update(alice, serial, "x").error_codes(alice), [0; 0], "{serial}");
    }
    let outputs = host.update(alice, 19, "y");
    assert_eq!(outputs.error_codes(alice), [42911]);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    // Frames without a reply are ignored.
    assert_eq!(host.recv(alice, json!({"action": 0})).frames(alice).len(), 0);
    // Others are not concerned.
    assert_eq!(host.enter(bob, 0, "fine").error_codes(bob), [0; 0]);
    // It may go on at its rate; a refused frame may come again.
    host.advance(100);
    assert_eq!(host.update(alice, 19, "y").events_of(bob), ["update alice=y"]);
    // Two were refused and one was admitted: the sixth is one too many. The client may reconnect.
    for serial in 20..24 {
        assert_eq!(host.update(alice, serial, "z").error_codes(alice), [42911], "{serial}");
    }
    let outputs = host.update(alice, 24, "z");
    assert_eq!(outputs.error_codes(alice), [42920]);
    assert_eq!(
        (outputs.frames_of(alice, Action::Disconnected).len(), outputs.closed),
        (1, vec![alice])
    );
    let (again, outputs) = host.resume("alice", alice);
    assert_eq!(outputs.error_codes(again), [0; 0]);
    host.end();
}

#[test]
fn events_and_messages_of_a_channel() {
    let mut host = limited(|limits| limits.channel = Rate { per_second: 10, burst: 5 });
    let alice = host.join("alice");
    let bob = host.join("bob");
    for serial in 0..5 {
        assert_eq!(host.update(alice, serial, "x").error_codes(alice), [0; 0]);
    }
    assert_eq!(host.update(alice, 5, "x").error_codes(alice), [42913]);
    let message = json!({"action": 15, "channel": CHANNEL, "msgSerial": 0, "messages": [{}]});
    assert_eq!(host.recv(bob, message).error_codes(bob), [42913]);
    // Another channel has room, and this one will have.
    host.attach(bob, "other");
    let frame = json!({"action": 14, "channel": "other", "msgSerial": 1,
        "presence": [{"action": 2}]});
    assert_eq!(host.recv(bob, frame).error_codes(bob), [0; 0]);
    host.advance(100);
    assert_eq!(host.update(alice, 5, "x").error_codes(alice), [0; 0]);
    host.end();
}

#[test]
fn replies_to_a_congested_connection() {
    let mut host = limited(|limits| limits.replies_while_congested = 5);
    let alice = host.join("alice");
    host.congested(alice);
    let ping = json!({"action": 0, "id": "p"});
    for _ in 0..5 {
        assert_eq!(host.recv(alice, ping.clone()).frames_of(alice, Action::Heartbeat).len(), 1);
    }
    let outputs = host.recv(alice, ping.clone());
    assert_eq!((outputs.error_codes(alice), outputs.closed), (vec![42920], vec![alice]));
    // The count starts again once it is writable.
    let (again, _) = host.resume("alice", alice);
    for _ in 0..3 {
        host.congested(again);
        for _ in 0..5 {
            assert_eq!(host.recv(again, ping.clone()).error_codes(again), [0; 0]);
        }
        host.writable(again);
    }
    host.end();
}

#[test]
fn the_cost_of_a_congested_connection_does_not_grow() {
    let mut host = Host::new();
    let alice = host.join("alice");
    let slow = host.join("slow");
    host.congested(slow);
    let mut sent = 0;
    for serial in 0..2_000 {
        sent += host.update(alice, serial, "x").frames(slow).len();
        // Its own updates are acknowledged together, later.
        sent += host.update(slow, serial, "y").frames(slow).len();
        host.time += 1;
    }
    assert_eq!(sent, 0);
    let outputs = host.writable(slow);
    assert_eq!(outputs.frame_of(slow, Action::Ack).count, Some(2_000));
    assert_eq!(outputs.synced(slow), ["alice=x", "slow=y"]);
    host.end();
}

#[test]
fn the_largest_serials_and_counts_do_no_harm() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let alice = host.join("alice");
    for serial in [i64::MAX, i64::MAX - 1, 0, i64::MAX] {
        let outputs = host.update(alice, serial, "x");
        assert_eq!(outputs.frames_of(alice, Action::Ack).len(), 1, "{serial}");
    }
    for serial in [-1, i64::MIN] {
        assert_eq!(host.update(alice, serial, "x").error_codes(alice), [40000], "{serial}");
        let message = json!({"action": 15, "channel": CHANNEL, "msgSerial": serial,
            "messages": [{}]});
        assert_eq!(host.recv(alice, message).error_codes(alice), [40000], "{serial}");
    }
    let transport = TransportId(u64::MAX);
    let outputs = host.input(Input::opened(transport, request("carol")));
    assert_eq!(outputs.others.len(), 0);
    assert_eq!(host.enter(bob, 0, "").error_codes(bob), [0; 0]);
}

/// Three hundred members, and a watcher that requests a sync.
fn to_sync() -> (Host, u64) {
    let mut host = Host::new();
    let many = host.join("*");
    let items: Vec<_> =
        (0..300).map(|n| json!({"action": 2, "clientId": format!("c{n}")})).collect();
    host.recv(many, json!({"action": 14, "channel": CHANNEL, "msgSerial": 0, "presence": items}));
    let asks = host.open("asks");
    (host, asks)
}

/// The number of complete syncs to a transport.
fn syncs(outputs: &Outputs, transport: u64) -> usize {
    let ends = |serial: &SmolStr| serial.ends_with(':');
    let pages = outputs.frames_of(transport, Action::Sync);
    pages.iter().filter(|page| page.channel_serial.as_ref().is_some_and(ends)).count()
}

#[test]
fn syncs_requested_by_an_attachment() {
    let requests = [
        json!({"action": 16, "channel": CHANNEL}),
        // Attaching again requests the members too (RTP1).
        json!({"action": 10, "channel": CHANNEL}),
        json!({"action": 10, "channel": CHANNEL, "flags": 1 << 19}),
    ];
    for request in requests {
        let (mut host, asks) = to_sync();
        let outputs = host.attach(asks, CHANNEL);
        assert_eq!(syncs(&outputs, asks), 1);
        let mut delivered = 0;
        for _ in 0..500 {
            delivered += syncs(&host.recv(asks, request.clone()), asks);
        }
        assert_eq!(
            delivered, 2,
            "three at once, the first of which came with the attach: {request}"
        );
        // All others are one, which needs no further request.
        let outputs = host.advance_alive(999, &[asks]);
        assert_eq!(syncs(&outputs, asks), 0, "{request}");
        let outputs = host.advance_alive(1, &[asks]);
        assert_eq!((syncs(&outputs, asks), outputs.synced(asks).len()), (1, 300), "{request}");
        let outputs = host.advance_alive(10_000, &[asks]);
        assert_eq!(syncs(&outputs, asks), 0, "{request}");
        // After a while it may request syncs again.
        let outputs = host.recv(asks, request.clone());
        assert_eq!(syncs(&outputs, asks), 1, "{request}");
        host.end();
    }
}

#[test]
fn syncs_requested_by_attaching_again() {
    let rate = Rate { per_second: 2, burst: 5 };
    let mut host = limited(|limits| limits.syncs_per_connection = rate);
    let alice = host.join("alice");
    host.enter(alice, 0, "here");
    let asks = host.open("asks");
    let mut delivered = 0;
    for _ in 0..100 {
        delivered += syncs(&host.attach(asks, CHANNEL), asks);
        host.recv(asks, json!({"action": 12, "channel": CHANNEL}));
    }
    assert_eq!(delivered, 5);
    // The last attach is synced, though later.
    let outputs = host.attach(asks, CHANNEL);
    assert_eq!(syncs(&outputs, asks), 0);
    let outputs = host.advance_alive(500, &[asks, alice]);
    assert_eq!(outputs.synced(asks), ["alice=here"]);
    host.end();
}

/// ATTACHED announced a sync (RTP1), and the client waits for it.
#[test]
fn a_pending_sync_is_sent_when_all_members_have_left() {
    let mut host = Host::new();
    let alice = host.join("alice");
    host.enter(alice, 0, "here");
    let asks = host.open("asks");
    let delivered: usize = (0..4).map(|_| syncs(&host.attach(asks, CHANNEL), asks)).sum();
    assert_eq!(delivered, 3, "the fourth is pending");
    host.recv(alice, json!({"action": 7}));
    let outputs = host.advance_alive(1_000, &[asks]);
    assert_eq!((syncs(&outputs, asks), outputs.synced(asks).len()), (1, 0));
    host.end();
}

/// A client without the right to presence does not wait for the end of a sync.
#[test]
fn a_pending_sync_ends_with_the_right_to_it() {
    let (mut host, asks) = to_sync();
    let delivered: usize = (0..4).map(|_| syncs(&host.attach(asks, CHANNEL), asks)).sum();
    assert_eq!(delivered, 3, "the fourth is pending");
    let outputs = host.authorized(asks, capability(Operations::PUBLISH));
    assert_eq!((syncs(&outputs, asks), outputs.synced(asks).len()), (1, 0));
    host.end();
}

#[test]
fn a_pending_sync_ends_with_its_attachment() {
    for last in [json!({"action": 12, "channel": CHANNEL}), json!({"action": 7})] {
        let (mut host, asks) = to_sync();
        host.attach(asks, CHANNEL);
        for _ in 0..5 {
            host.recv(asks, json!({"action": 16, "channel": CHANNEL}));
        }
        host.recv(asks, last);
        let outputs = host.advance(5_000);
        assert_eq!(outputs.frames_of(asks, Action::Sync).len(), 0);
        host.end();
    }
}

#[test]
fn repeated_changes_of_rights_do_not_sync_each_time() {
    let (mut host, asks) = to_sync();
    host.attach(asks, CHANNEL);
    let mut delivered = 0;
    for n in 0..100 {
        let operations = if n % 2 == 0 { Operations::SUBSCRIBE } else { Operations::all() };
        delivered += syncs(&host.authorized(asks, capability(operations)), asks);
    }
    assert_eq!(delivered, 2);
    host.end();
}
