//! Every limit, reached: with the protocol's code, and without harm to others.

use crate::rig::{CHANNEL, Came, Rig, may, request};
use presence_proto::server::{Input, Limits, Operations, Rate, ServerOptions};
use presence_proto::wire::Action;
use presence_proto::{SmolStr, TransportId};
use serde_json::json;

fn limited(set: impl FnOnce(&mut Limits)) -> Rig {
    let mut config = ServerOptions::default();
    set(&mut config.limits);
    Rig::with(config)
}

#[test]
fn connections() {
    let mut rig = limited(|limits| limits.connections = 2);
    let alice = rig.open("alice");
    rig.open("bob");
    let (carol, came) = rig.open_for(request("carol"));
    assert_eq!(came.of(carol, Action::Disconnected).len(), 1);
    assert_eq!((came.codes(carol), came.closed), (vec![50003], vec![carol]));
    // One that can still be resumed counts, and can be resumed.
    rig.lose(alice);
    let (carol, came) = rig.open_for(request("carol"));
    assert_eq!(came.codes(carol), [50003]);
    let (again, came) = rig.resume("alice", alice);
    assert_eq!(came.codes(again), [0; 0]);
    rig.recv(again, json!({"action": 7}));
    let (carol, came) = rig.open_for(request("carol"));
    assert_eq!(came.codes(carol), [0; 0]);
    assert_eq!(rig.server.counters().limited, 2);
    rig.end();
}

#[test]
fn channels_of_a_connection() {
    let mut rig = limited(|limits| limits.channels_per_connection = 2);
    let alice = rig.open("alice");
    for (channel, codes) in [("a", vec![]), ("b", vec![]), ("c", vec![90010]), ("a", vec![])] {
        assert_eq!(rig.attach(alice, channel).codes(alice), codes, "{channel}");
    }
    rig.recv(alice, json!({"action": 12, "channel": "a"}));
    assert_eq!(rig.attach(alice, "c").codes(alice), [0; 0]);
    let bob = rig.open("bob");
    assert_eq!(rig.attach(bob, "a").codes(bob), [0; 0]);
    rig.end();
}

#[test]
fn channels_of_the_server() {
    let mut rig = limited(|limits| limits.channels = 2);
    let alice = rig.open("alice");
    let bob = rig.open("bob");
    rig.attach(alice, "a");
    rig.attach(alice, "b");
    assert_eq!(rig.attach(bob, "c").codes(bob), [90010]);
    assert_eq!(rig.attach(bob, "b").codes(bob), [0; 0]);
    rig.end();
}

#[test]
fn length_of_a_channels_name() {
    let mut rig = limited(|limits| limits.channel_name = 10);
    let alice = rig.open("alice");
    assert_eq!(rig.attach(alice, "0123456789").codes(alice), [0; 0]);
    assert_eq!(rig.attach(alice, "0123456789a").codes(alice), [40010]);
    for name in ["", ":a", "a\u{7}", "[x", "[x]", ".", ".."] {
        assert_eq!(rig.attach(alice, name).codes(alice), [40010], "{name:?}");
    }
    let frame = json!({"action": 14, "channel": "0123456789a", "presence": [{"action": 2}]});
    assert_eq!(rig.recv(alice, frame).codes(alice), [40010]);
    let frame = json!({"action": 15, "channel": "0123456789a", "messages": [{}]});
    assert_eq!(rig.recv(alice, frame).codes(alice), [40010]);
    rig.end();
}

#[test]
fn length_of_a_client_id() {
    let mut rig = limited(|limits| limits.client_id = 5);
    let server = rig.join("*");
    let item = |id: &str| json!({"action": 2, "clientId": id});
    assert_eq!(rig.presence(server, 0, item("12345")).codes(server), [0; 0]);
    assert_eq!(rig.presence(server, 1, item("123456")).codes(server), [40012]);
}

#[test]
fn members_of_a_channel() {
    let mut rig = limited(|limits| limits.members_per_channel = 2);
    let server = rig.join("*");
    let item = |action: u8, id: &str| json!({"action": action, "clientId": id, "data": "x"});
    assert_eq!(rig.presence(server, 0, item(2, "a")).codes(server), [0; 0]);
    assert_eq!(rig.presence(server, 1, item(2, "b")).codes(server), [0; 0]);
    let came = rig.presence(server, 2, item(2, "c"));
    assert_eq!(came.codes(server), [91003]);
    let nack = came.one(server, Action::Nack);
    assert!(nack.error.as_deref().unwrap().message.contains("maximum number of 2 members"));
    // Members that are there may change and leave.
    assert_eq!(rig.presence(server, 3, item(4, "b")).codes(server), [0; 0]);
    assert_eq!(rig.presence(server, 4, item(2, "a")).codes(server), [0; 0]);
    assert_eq!(rig.presence(server, 5, item(3, "a")).codes(server), [0; 0]);
    assert_eq!(rig.presence(server, 6, item(2, "c")).codes(server), [0; 0]);
    // A batch counts as a whole.
    rig.presence(server, 7, item(3, "c"));
    let frame = json!({"action": 14, "channel": CHANNEL, "msgSerial": 8,
        "presence": [item(2, "d"), item(2, "e")]});
    assert_eq!(rig.recv(server, frame).codes(server), [91003]);
    assert_eq!(rig.members(), ["b=x"]);
    rig.end();
}

#[test]
fn data_of_the_members_of_a_channel() {
    let mut rig = limited(|limits| limits.member_bytes_per_channel = 100);
    let server = rig.join("*");
    let item =
        |id: &str, bytes: usize| json!({"action": 2, "clientId": id, "data": "x".repeat(bytes)});
    assert_eq!(rig.presence(server, 0, item("a", 49)).codes(server), [0; 0]);
    assert_eq!(rig.presence(server, 1, item("b", 50)).codes(server), [91006]);
    assert_eq!(rig.presence(server, 2, item("b", 49)).codes(server), [0; 0]);
    assert_eq!(rig.server.counters().member_bytes, 100);
    // In another's place there is room; extras count as well.
    assert_eq!(rig.presence(server, 3, item("a", 40)).codes(server), [0; 0]);
    let extras = json!({"action": 4, "clientId": "a", "extras": {"x": "y".repeat(60)}});
    assert_eq!(rig.presence(server, 4, extras).codes(server), [91006]);
    assert_eq!(rig.server.counters().member_bytes, 91);
    rig.end();
}

#[test]
fn data_of_the_members_of_a_connection() {
    in_channels(limited(|limits| limits.member_bytes_per_connection = 100));
    // Others have room.
    let mut rig = limited(|limits| limits.member_bytes_per_connection = 100);
    let (one, two) = (rig.join("*"), rig.join("*"));
    let item = json!({"action": 2, "clientId": "m", "data": "x".repeat(90)});
    assert_eq!(rig.presence(one, 0, item.clone()).codes(one), [0; 0]);
    assert_eq!(rig.presence(two, 0, item.clone()).codes(two), [0; 0]);
    // What left, however it left, makes room.
    rig.recv(one, json!({"action": 12, "channel": CHANNEL}));
    rig.attach(one, CHANNEL);
    assert_eq!(rig.presence(one, 1, item).codes(one), [0; 0]);
    rig.end();
}

#[test]
fn data_of_the_members_of_all_channels() {
    in_channels(limited(|limits| limits.member_bytes = 100));
}

/// One connection has members in several channels, with 100 bytes at most.
fn in_channels(mut rig: Rig) {
    let server = rig.open("*");
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
        rig.attach(server, channel);
        let came = rig.recv(server, enter(channel, serial as i64, bytes));
        assert_eq!(came.codes(server), codes, "{serial}");
    }
    assert_eq!(rig.server.counters().member_bytes, 100);
    rig.end();
}

#[test]
fn a_frame_that_is_sent_again_with_more_data_gets_no_more_room() {
    let mut rig = limited(|limits| limits.member_bytes_per_channel = 100);
    let server = rig.join("*");
    for serial in 1..5 {
        rig.presence(server, serial, json!({"action": 2, "clientId": "m"}));
    }
    // An older frame that was overtaken, and a frame between the two again, with something in it.
    rig.presence(server, 5, json!({"action": 3, "clientId": "m"}));
    rig.presence(server, 0, json!({"action": 2, "clientId": "m"}));
    let item = json!({"action": 4, "clientId": "m", "data": "x".repeat(1_000)});
    let came = rig.presence(server, 3, item);
    assert_eq!(came.of(server, Action::Ack).len(), 1);
    assert_eq!(rig.server.counters().member_bytes, 1);
    rig.end();
}

#[test]
fn bytes_of_a_message_by_every_field_that_goes_to_others() {
    const MOST: usize = 1_000;
    let mut rig = limited(|limits| limits.message_size = MOST);
    let bob = rig.join("bob");
    let server = rig.join("*");
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
        let came = rig.presence(server, serial, item.clone());
        assert_eq!(came.codes(server), [40009], "{item}");
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
        assert_eq!(rig.recv(server, frame.clone()).codes(server), [40009], "{frame}");
        serial += 1;
    }
    // What stands beside the messages goes no further.
    let frame = json!({"action": 15, "channel": CHANNEL, "msgSerial": serial,
        "messages": [{"data": "x"}], "params": {"a": long}, "id": long, "error": {"message": long}});
    let came = rig.recv(server, frame);
    let frame = came.one(bob, Action::Message);
    assert!(frame.encode(presence_proto::wire::Format::Json).len() < 500);
    // Just as much as is allowed. The client id counts.
    let item = json!({"action": 2, "clientId": "m", "data": "x".repeat(MOST - 1)});
    assert_eq!(rig.presence(server, serial + 1, item).codes(server), [0; 0]);
    rig.end();
}

#[test]
fn items_of_a_frame() {
    let mut rig = limited(|limits| limits.items_per_frame = 3);
    let server = rig.join("*");
    let items = |count: usize| vec![json!({"action": 2, "clientId": "m"}); count];
    let frame = |serial: i64, count| json!({"action": 14, "channel": CHANNEL, "msgSerial": serial, "presence": items(count)});
    assert_eq!(rig.recv(server, frame(0, 3)).codes(server), [0; 0]);
    assert_eq!(rig.recv(server, frame(1, 4)).codes(server), [40009]);
    let messages = |serial: i64, count| json!({"action": 15, "channel": CHANNEL, "msgSerial": serial, "messages": vec![json!({}); count]});
    assert_eq!(rig.recv(server, messages(2, 3)).codes(server), [0; 0]);
    assert_eq!(rig.recv(server, messages(3, 4)).codes(server), [40009]);
    rig.end();
}

#[test]
fn bytes_of_a_channels_parameters() {
    let mut rig = limited(|limits| limits.params = 20);
    let alice = rig.open("alice");
    let attach =
        |value: &str| json!({"action": 10, "channel": CHANNEL, "params": {"delta": value}});
    assert_eq!(rig.recv(alice, attach(&"x".repeat(15))).codes(alice), [0; 0]);
    assert_eq!(rig.recv(alice, attach(&"x".repeat(16))).codes(alice), [40003]);
    rig.end();
}

#[test]
fn frames_of_a_connection() {
    let mut rig = limited(|limits| {
        limits.inbound = Rate { per_second: 10, burst: 20 };
        limits.refused_frames = 5;
    });
    let bob = rig.join("bob");
    let alice = rig.join("alice");
    // The attach was one of them.
    for serial in 0..19 {
        assert_eq!(rig.update(alice, serial, "x").codes(alice), [0; 0], "{serial}");
    }
    let came = rig.update(alice, 19, "y");
    assert_eq!(came.codes(alice), [42911]);
    assert_eq!(came.told(bob), [""; 0]);
    // What wants no answer is passed over.
    assert_eq!(rig.recv(alice, json!({"action": 0})).to(alice).len(), 0);
    // Others are not concerned.
    assert_eq!(rig.enter(bob, 0, "fine").codes(bob), [0; 0]);
    // It may go on at its rate; a refused frame may come again.
    rig.pass(100);
    assert_eq!(rig.update(alice, 19, "y").told(bob), ["update alice=y"]);
    // Who does not stop is cut off, and may come back.
    let mut came = rig.update(alice, 20, "z");
    for serial in 21..30 {
        if !came.closed.is_empty() {
            break;
        }
        came = rig.update(alice, serial, "z");
    }
    assert_eq!(came.codes(alice), [42920]);
    assert_eq!(came.of(alice, Action::Disconnected).len(), 1);
    let (again, came) = rig.resume("alice", alice);
    assert_eq!(came.codes(again), [0; 0]);
    rig.end();
}

#[test]
fn events_and_messages_of_a_channel() {
    let mut rig = limited(|limits| limits.channel = Rate { per_second: 10, burst: 5 });
    let alice = rig.join("alice");
    let bob = rig.join("bob");
    for serial in 0..5 {
        assert_eq!(rig.update(alice, serial, "x").codes(alice), [0; 0]);
    }
    assert_eq!(rig.update(alice, 5, "x").codes(alice), [42913]);
    let message = json!({"action": 15, "channel": CHANNEL, "msgSerial": 0, "messages": [{}]});
    assert_eq!(rig.recv(bob, message).codes(bob), [42913]);
    // Another channel has room, and this one will have.
    rig.attach(bob, "other");
    let frame = json!({"action": 14, "channel": "other", "msgSerial": 1,
        "presence": [{"action": 2}]});
    assert_eq!(rig.recv(bob, frame).codes(bob), [0; 0]);
    rig.pass(100);
    assert_eq!(rig.update(alice, 5, "x").codes(alice), [0; 0]);
    rig.end();
}

#[test]
fn answers_that_a_congested_connection_asks_for() {
    let mut rig = limited(|limits| limits.replies_while_congested = 5);
    let alice = rig.join("alice");
    rig.congested(alice);
    let ping = json!({"action": 0, "id": "p"});
    for _ in 0..5 {
        assert_eq!(rig.recv(alice, ping.clone()).of(alice, Action::Heartbeat).len(), 1);
    }
    let came = rig.recv(alice, ping.clone());
    assert_eq!((came.codes(alice), came.closed), (vec![42920], vec![alice]));
    // Once it is not congested it begins anew.
    let (again, _) = rig.resume("alice", alice);
    for _ in 0..3 {
        rig.congested(again);
        for _ in 0..5 {
            assert_eq!(rig.recv(again, ping.clone()).codes(again), [0; 0]);
        }
        rig.writable(again);
    }
    rig.end();
}

#[test]
fn what_a_congested_connection_costs_does_not_grow() {
    let mut rig = Rig::new();
    let alice = rig.join("alice");
    let slow = rig.join("slow");
    rig.congested(slow);
    let mut sent = 0;
    for serial in 0..2_000 {
        sent += rig.update(alice, serial, "x").to(slow).len();
        // Its own updates are acknowledged together, later.
        sent += rig.update(slow, serial, "y").to(slow).len();
        rig.time += 1;
    }
    assert_eq!(sent, 0);
    let came = rig.writable(slow);
    assert_eq!(came.one(slow, Action::Ack).count, Some(2_000));
    assert_eq!(came.synced(slow), ["alice=x", "slow=y"]);
    rig.end();
}

#[test]
fn the_largest_serials_and_counts_do_no_harm() {
    let mut rig = Rig::new();
    let bob = rig.join("bob");
    let alice = rig.join("alice");
    for serial in [i64::MAX, i64::MAX - 1, 0, i64::MAX] {
        let came = rig.update(alice, serial, "x");
        assert_eq!(came.of(alice, Action::Ack).len(), 1, "{serial}");
    }
    for serial in [-1, i64::MIN] {
        assert_eq!(rig.update(alice, serial, "x").codes(alice), [40000], "{serial}");
        let message = json!({"action": 15, "channel": CHANNEL, "msgSerial": serial,
            "messages": [{}]});
        assert_eq!(rig.recv(alice, message).codes(alice), [40000], "{serial}");
    }
    let transport = TransportId(u64::MAX);
    let came = rig.input(Input::opened(transport, request("carol")));
    assert_eq!(came.others.len(), 0);
    assert_eq!(rig.enter(bob, 0, "").codes(bob), [0; 0]);
}

/// Three hundred members, one of whose watchers asks for them.
fn to_sync() -> (Rig, u64) {
    let mut rig = Rig::new();
    let many = rig.join("*");
    let items: Vec<_> =
        (0..300).map(|n| json!({"action": 2, "clientId": format!("c{n}")})).collect();
    rig.recv(many, json!({"action": 14, "channel": CHANNEL, "msgSerial": 0, "presence": items}));
    let asks = rig.open("asks");
    (rig, asks)
}

/// Syncs that a transport was told from beginning to end.
fn syncs(came: &Came, transport: u64) -> usize {
    let ends = |serial: &SmolStr| serial.ends_with(':');
    let pages = came.of(transport, Action::Sync);
    pages.iter().filter(|page| page.channel_serial.as_ref().is_some_and(ends)).count()
}

#[test]
fn syncs_that_an_attachment_asks_for() {
    let requests = [
        json!({"action": 16, "channel": CHANNEL}),
        // Attaching again asks for the members too (RTP1).
        json!({"action": 10, "channel": CHANNEL}),
        json!({"action": 10, "channel": CHANNEL, "flags": 1 << 19}),
    ];
    for request in requests {
        let (mut rig, asks) = to_sync();
        let came = rig.attach(asks, CHANNEL);
        assert_eq!(syncs(&came, asks), 1);
        let mut told = 0;
        for _ in 0..500 {
            told += syncs(&rig.recv(asks, request.clone()), asks);
        }
        assert_eq!(told, 2, "three at once, the first of which came with the attach: {request}");
        // All others are one, which needs no further request.
        let came = rig.pass_alive(999, &[asks]);
        assert_eq!(syncs(&came, asks), 0, "{request}");
        let came = rig.pass_alive(1, &[asks]);
        assert_eq!((syncs(&came, asks), came.synced(asks).len()), (1, 300), "{request}");
        let came = rig.pass_alive(10_000, &[asks]);
        assert_eq!(syncs(&came, asks), 0, "{request}");
        // And after a while it may ask as before.
        let came = rig.recv(asks, request.clone());
        assert_eq!(syncs(&came, asks), 1, "{request}");
        rig.end();
    }
}

#[test]
fn syncs_that_a_connection_asks_for_by_attaching_anew() {
    let rate = Rate { per_second: 2, burst: 5 };
    let mut rig = limited(|limits| limits.syncs_per_connection = rate);
    let alice = rig.join("alice");
    rig.enter(alice, 0, "here");
    let asks = rig.open("asks");
    let mut told = 0;
    for _ in 0..100 {
        told += syncs(&rig.attach(asks, CHANNEL), asks);
        rig.recv(asks, json!({"action": 12, "channel": CHANNEL}));
    }
    assert_eq!(told, 5);
    // The last attach is synced, though later.
    let came = rig.attach(asks, CHANNEL);
    assert_eq!(syncs(&came, asks), 0);
    let came = rig.pass_alive(500, &[asks, alice]);
    assert_eq!(came.synced(asks), ["alice=here"]);
    rig.end();
}

/// ATTACHED said that members follow (RTP1), and the client waits for them.
#[test]
fn a_sync_that_is_owed_is_told_though_all_have_left() {
    let mut rig = Rig::new();
    let alice = rig.join("alice");
    rig.enter(alice, 0, "here");
    let asks = rig.open("asks");
    let told: usize = (0..4).map(|_| syncs(&rig.attach(asks, CHANNEL), asks)).sum();
    assert_eq!(told, 3, "the fourth is owed");
    rig.recv(alice, json!({"action": 7}));
    let came = rig.pass_alive(1_000, &[asks]);
    assert_eq!((syncs(&came, asks), came.synced(asks).len()), (1, 0));
    rig.end();
}

/// A client that may not hear of presence any more need not wait for the end of a sync.
#[test]
fn a_sync_that_is_owed_ends_with_the_right_to_it() {
    let (mut rig, asks) = to_sync();
    let told: usize = (0..4).map(|_| syncs(&rig.attach(asks, CHANNEL), asks)).sum();
    assert_eq!(told, 3, "the fourth is owed");
    let came = rig.authorized(asks, may(Operations::PUBLISH));
    assert_eq!((syncs(&came, asks), came.synced(asks).len()), (1, 0));
    rig.end();
}

#[test]
fn a_sync_that_is_owed_is_forgotten_with_its_attachment() {
    for last in [json!({"action": 12, "channel": CHANNEL}), json!({"action": 7})] {
        let (mut rig, asks) = to_sync();
        rig.attach(asks, CHANNEL);
        for _ in 0..5 {
            rig.recv(asks, json!({"action": 16, "channel": CHANNEL}));
        }
        rig.recv(asks, last);
        let came = rig.pass(5_000);
        assert_eq!(came.of(asks, Action::Sync).len(), 0);
        rig.end();
    }
}

#[test]
fn rights_that_change_again_and_again_do_not_sync_each_time() {
    let (mut rig, asks) = to_sync();
    rig.attach(asks, CHANNEL);
    let mut told = 0;
    for n in 0..100 {
        let operations = if n % 2 == 0 { Operations::SUBSCRIBE } else { Operations::all() };
        told += syncs(&rig.authorized(asks, may(operations)), asks);
    }
    assert_eq!(told, 2);
    rig.end();
}
