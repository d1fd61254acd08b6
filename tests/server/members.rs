//! Members: who is told of what, by which frames.

use crate::rig::{CHANNEL, Came, Rig, may, request};
use core::time::Duration;
use presence_proto::TransportId;
use presence_proto::server::{
    CoalesceRule, Direction, HistoryQuery, Input, LeaveCause, Operations, ServerEvent,
    ServerOptions, output,
};
use presence_proto::wire::{Action, Flags, PresenceAction};
use proptest::prelude::*;
use serde_json::json;

const PRESENCE: u32 = 1 << 16;
const SUBSCRIBE: u32 = 1 << 18;
const PRESENCE_SUBSCRIBE: u32 = 1 << 19;

fn attach_with(rig: &mut Rig, transport: u64, flags: u32) -> Came {
    rig.recv(transport, json!({"action": 10, "channel": CHANNEL, "flags": flags}))
}

#[test]
fn a_life_of_a_member_as_others_are_told_of_it() {
    let mut rig = Rig::new();
    let bob = rig.join("bob");
    let alice = rig.join("alice");
    let mut told = Vec::new();
    let mut ids = Vec::new();
    for came in [
        rig.enter(alice, 0, "1"),
        rig.enter(alice, 1, "2"),
        rig.update(alice, 2, "3"),
        // RTP8e: without data of its own it carries the last.
        rig.leave(alice, 3),
        // RTP10d: who is not there can leave; nobody hears of it.
        rig.leave(alice, 4),
        rig.update(alice, 5, "6"),
    ] {
        assert_eq!(came.of(alice, Action::Ack).len(), 1);
        assert_eq!(came.told(alice), came.told(bob));
        told.extend(came.told(bob));
        ids.extend(came.items(bob).into_iter().filter_map(|item| item.id));
    }
    assert_eq!(
        told,
        ["enter alice=1", "enter alice=2", "update alice=3", "leave alice=3", "update alice=6"]
    );
    let connection = rig.id(alice);
    let expected = [0, 1, 2, 3, 5].map(|serial| format!("{connection}:{serial}:0"));
    assert_eq!(ids, expected);
    assert_eq!(rig.history(), told);
    rig.end();
}

#[test]
fn a_change_is_one_broadcast_with_the_members_own_connection_among_its_readers() {
    let mut rig = Rig::new();
    let transports: Vec<u64> = (0..20).map(|n| rig.join(&format!("c{n}"))).collect();
    let came = rig.enter(transports[0], 0, "");
    assert_eq!(came.frames, 2, "the event, and the acknowledgement");
    for transport in transports {
        assert_eq!(came.told(transport), ["enter c0="]);
    }
}

#[test]
fn items_of_one_frame_are_applied_together_and_get_ids_by_their_place() {
    let mut rig = Rig::new();
    let bob = rig.join("bob");
    let server = rig.join("*");
    let items: Vec<_> =
        ["x", "y", "x"].iter().map(|who| json!({"action": 2, "clientId": who})).collect();
    let came = rig
        .recv(server, json!({"action": 14, "channel": CHANNEL, "msgSerial": 4, "presence": items}));
    assert_eq!(came.told(bob), ["enter x", "enter y", "enter x"]);
    let ids: Vec<_> = came.items(bob).into_iter().filter_map(|item| item.id).collect();
    let connection = rig.id(server);
    assert_eq!(ids, [0, 1, 2].map(|index| format!("{connection}:4:{index}")));
    assert_eq!(rig.members(), ["x", "y"]);
    // One bad item, and nothing of the frame counts.
    let items = json!([{"action": 3, "clientId": "x"}, {"action": 1, "clientId": "y"}]);
    let came = rig
        .recv(server, json!({"action": 14, "channel": CHANNEL, "msgSerial": 5, "presence": items}));
    assert_eq!(came.codes(server), [40003]);
    assert_eq!(rig.members(), ["x", "y"]);
    rig.end();
}

#[test]
fn a_frame_holds_two_hundred_events_at_most() {
    let mut rig = Rig::new();
    let bob = rig.join("bob");
    let server = rig.join("*");
    let items: Vec<_> =
        (0..450).map(|n| json!({"action": 2, "clientId": format!("m{n}")})).collect();
    let came = rig
        .recv(server, json!({"action": 14, "channel": CHANNEL, "msgSerial": 0, "presence": items}));
    let sizes = |came: &Came| -> Vec<usize> {
        came.of(bob, Action::Presence).iter().map(|frame| frame.presence.len()).collect()
    };
    assert_eq!(sizes(&came), [200, 200, 50]);
    let ids: Vec<_> = came.items(bob).into_iter().filter_map(|item| item.id).collect();
    let connection = rig.id(server).to_owned();
    let expected: Vec<String> = (0..450).map(|n| format!("{connection}:0:{n}")).collect();
    assert_eq!(ids, expected);
    let came = rig.recv(server, json!({"action": 7}));
    assert_eq!(sizes(&came), [200, 200, 50]);
    assert!(came.told(bob).iter().all(|event| event.starts_with("leave")));
    rig.end();
}

#[test]
fn rtl5_a_detach_takes_the_connections_members_out_of_that_channel_at_once() {
    let mut rig = Rig::new();
    let bob = rig.join("bob");
    let alice = rig.join("alice");
    rig.attach(alice, "other");
    rig.enter(alice, 0, "here");
    rig.recv(
        alice,
        json!({"action": 14, "channel": "other", "msgSerial": 1,
        "presence": [{"action": 2}]}),
    );
    let came = rig.recv(alice, json!({"action": 12, "channel": CHANNEL}));
    assert_eq!(came.of(alice, Action::Detached).len(), 1);
    assert_eq!(came.told(bob), ["leave alice=here"]);
    assert_eq!(came.causes(), [LeaveCause::Detached]);
    assert_eq!(rig.members_of("other"), ["alice"]);
    rig.end();
}

#[test]
fn rtn12_a_close_takes_all_members_out_at_once() {
    let mut rig = Rig::new();
    let bob = rig.join("bob");
    let alice = rig.join("alice");
    rig.enter(alice, 0, "here");
    let came = rig.recv(alice, json!({"action": 7}));
    assert_eq!(came.of(alice, Action::Closed).len(), 1);
    assert_eq!(came.closed, [alice]);
    assert_eq!(came.told(bob), ["leave alice=here"]);
    assert_eq!(came.causes(), [LeaveCause::Closed]);
    // The connection is gone for good.
    let (again, came) = rig.resume("alice", alice);
    assert_eq!(came.codes(again), [80008]);
    rig.end();
}

#[test]
fn who_gives_up_presence_is_told_of_its_leave_once() {
    for stays_subscribed in [true, false] {
        let mut rig = Rig::new();
        let bob = rig.join("bob");
        let alice = rig.join("alice");
        rig.enter(alice, 0, "here");
        let flags = SUBSCRIBE | if stays_subscribed { PRESENCE_SUBSCRIBE } else { 0 };
        let came = attach_with(&mut rig, alice, flags);
        assert_eq!(came.told(alice), ["leave alice=here"], "{flags:#x}");
        assert_eq!(came.told(bob), ["leave alice=here"]);
        assert_eq!(came.causes(), [LeaveCause::RightLost]);
        rig.end();
    }
}

#[test]
fn rtp17a_who_does_not_subscribe_is_told_of_its_leave_when_it_gives_up_presence() {
    for congested in [false, true] {
        let mut rig = Rig::new();
        let alice = rig.open("alice");
        attach_with(&mut rig, alice, PRESENCE | SUBSCRIBE);
        rig.enter(alice, 0, "here");
        if congested {
            rig.congested(alice);
        }
        let mut came = attach_with(&mut rig, alice, SUBSCRIBE);
        came.sent.extend(rig.writable(alice).sent);
        assert_eq!(came.told(alice), ["leave alice=here"], "congested: {congested}");
    }
}

#[test]
fn rtp17a_a_connection_hears_of_its_own_members_without_a_mode_for_it_and_without_echo() {
    let mut rig = Rig::new();
    let mut request = request("alice");
    request.echo = false;
    let (alice, _) = rig.open_for(request);
    attach_with(&mut rig, alice, PRESENCE);
    let bob = rig.join("bob");
    let mut came = rig.enter(alice, 0, "1");
    for next in [rig.update(alice, 1, "2"), rig.leave(alice, 2)] {
        came.sent.extend(next.sent);
    }
    assert_eq!(came.told(alice), ["enter alice=1", "update alice=2", "leave alice=2"]);
    assert_eq!(came.told(bob), came.told(alice));
    assert_eq!(rig.enter(bob, 0, "").told(alice), [""; 0]);
    rig.end();
}

#[test]
fn rtl2f_what_was_held_back_is_not_covered_by_the_serial_of_an_own_member() {
    let mut rig = Rig::new();
    let bob = rig.join("bob");
    let alice = rig.open("alice");
    attach_with(&mut rig, alice, PRESENCE | SUBSCRIBE);
    rig.congested(alice);
    let message = json!({"action": 15, "channel": CHANNEL, "msgSerial": 0,
        "messages": [{"name": "n", "data": "missed"}]});
    assert_eq!(rig.recv(bob, message).of(alice, Action::Message).len(), 0);
    let came = rig.enter(alice, 0, "here");
    assert_eq!(came.told(alice), ["enter alice=here"]);
    assert_eq!(came.one(alice, Action::Presence).channel_serial, None);
    // Whatever serial it comes back with: the message was never sent.
    rig.lose(alice);
    let (again, _) = rig.resume("alice", alice);
    let came = rig.attach_again(again, CHANNEL, "ffffffffffffffff");
    let attached = came.one(again, Action::Attached);
    assert!(!attached.flags().contains(Flags::RESUMED));
    assert_eq!(came.codes(again), [90003]);
    rig.end();
}

#[test]
fn rtl2f_who_missed_nothing_is_resumed() {
    let mut rig = Rig::new();
    let bob = rig.join("bob");
    let alice = rig.join("alice");
    let message = json!({"action": 15, "channel": CHANNEL, "msgSerial": 0,
        "messages": [{"data": "1"}]});
    let came = rig.recv(bob, message);
    let serial = came.one(alice, Action::Message).channel_serial.clone().unwrap();
    rig.lose(alice);
    let (again, _) = rig.resume("alice", alice);
    let came = rig.attach_again(again, CHANNEL, &serial);
    assert!(came.one(again, Action::Attached).flags().contains(Flags::RESUMED));
    // One that was lost on the way shows by the serial; one that came meanwhile by the server.
    rig.lose(again);
    let (again, _) = rig.resume("alice", again);
    let came = rig.attach_again(again, CHANNEL, "0000000000000001");
    assert!(!came.one(again, Action::Attached).flags().contains(Flags::RESUMED));
    rig.end();
}

#[test]
fn rtn7a_acknowledgements_that_were_put_together_go_before_a_later_one() {
    let mut rig = Rig::new();
    let alice = rig.join("alice");
    rig.congested(alice);
    rig.enter(alice, 0, "1");
    rig.update(alice, 1, "2");
    let message = json!({"action": 15, "channel": CHANNEL, "msgSerial": 2,
        "messages": [{"data": "1"}]});
    let came = rig.recv(alice, message);
    let acks: Vec<_> = came
        .of(alice, Action::Ack)
        .iter()
        .map(|ack| (ack.msg_serial.unwrap_or(0), ack.count.unwrap_or(1)))
        .collect();
    // A client takes what an acknowledgement passes over for lost.
    assert_eq!(acks, [(0, 2), (2, 1)]);
}

#[test]
fn rtp18_a_congested_subscriber_is_synced_and_not_told_one_by_one() {
    let mut rig = Rig::new();
    let bob = rig.join("bob");
    let alice = rig.join("alice");
    let carol = rig.join("carol");
    rig.enter(carol, 0, "stays");
    rig.congested(bob);
    let mut came = Came::default();
    for serial in 0..100 {
        came.sent.extend(rig.update(alice, serial, &serial.to_string()).sent);
    }
    came.sent.extend(rig.leave(carol, 1).sent);
    assert_eq!(came.to(bob).len(), 0);
    let came = rig.writable(bob);
    assert_eq!(came.synced(bob), ["alice=99"]);
    assert_eq!(rig.server.counters().resyncs, 1);
    // An empty set is told too, or the client would keep who has left.
    rig.congested(bob);
    rig.leave(alice, 100);
    let came = rig.writable(bob);
    assert_eq!(came.of(bob, Action::Sync).len(), 1);
    assert_eq!(came.synced(bob), [""; 0]);
    // Who missed nothing is not synced.
    rig.congested(bob);
    assert_eq!(rig.writable(bob).to(bob).len(), 0);
    rig.end();
}

#[test]
fn rtp18_a_client_that_asks_for_a_sync_gets_one() {
    let mut rig = Rig::new();
    let alice = rig.join("alice");
    rig.enter(alice, 0, "here");
    let bob = rig.join("bob");
    let came = rig.recv(bob, json!({"action": 16, "channel": CHANNEL, "channelSerial": "x:y"}));
    assert_eq!(came.synced(bob), ["alice=here"]);
    let came = rig.recv(bob, json!({"action": 16, "channel": "unknown"}));
    assert_eq!(came.to(bob).len(), 0);
}

#[test]
fn who_asks_for_a_sync_again_and_again_gets_one_at_a_time() {
    let mut config = ServerOptions::default();
    config.sync_page_members = 1;
    config.sync_pages_per_call = 1;
    let mut rig = Rig::with(config);
    let server = rig.join("*");
    for serial in 0..10 {
        rig.presence(server, serial, json!({"action": 2, "clientId": format!("m{serial}")}));
    }
    let bob = rig.join("bob");
    let ask = crate::text::decode(&json!({"action": 16, "channel": CHANNEL}));
    let mut came = Came::default();
    for _ in 0..10 {
        let frame = ask.clone();
        came.sent.extend(rig.call(Input::received(TransportId(bob), frame)).sent);
    }
    let pages = came.of(bob, Action::Sync);
    let (_, last) = pages[9].channel_serial.as_deref().unwrap().split_once(':').unwrap();
    assert_eq!((pages.len(), last), (10, ""));
}

#[test]
fn rtp18_a_sync_comes_in_pages_by_members_and_bytes() {
    let mut config = ServerOptions::default();
    config.sync_page_members = 10;
    config.sync_page_bytes = 2_000;
    let mut rig = Rig::with(config);
    let server = rig.join("*");
    for serial in 0..25 {
        let data = if serial < 5 { "x".repeat(1_000) } else { String::new() };
        let item = json!({"action": 2, "clientId": format!("m{serial:02}"), "data": data});
        rig.presence(server, serial, item);
    }
    let bob = rig.open("bob");
    let came = rig.attach(bob, CHANNEL);
    let pages = came.of(bob, Action::Sync);
    let sizes: Vec<usize> = pages.iter().map(|frame| frame.presence.len()).collect();
    assert_eq!(sizes, [1, 1, 1, 1, 8, 10, 3]);
    let cursors: Vec<(String, bool)> = pages
        .iter()
        .map(|frame| {
            let serial = frame.channel_serial.as_deref().unwrap();
            let (sequence, cursor) = serial.split_once(':').unwrap();
            (sequence.to_owned(), cursor.is_empty())
        })
        .collect();
    assert!(cursors.iter().all(|(sequence, _)| *sequence == cursors[0].0));
    let last: Vec<bool> = cursors.iter().map(|(_, last)| *last).collect();
    assert_eq!(last, [false, false, false, false, false, false, true]);
    assert!(pages.iter().flat_map(|frame| &frame.presence).all(|item| {
        item.action == PresenceAction::Present && item.id.is_some() && item.timestamp.is_some()
    }));
    rig.end();
}

#[test]
fn a_kick_takes_out_whom_the_host_names_and_they_may_enter_again() {
    let mut rig = Rig::new();
    let alice = rig.join("alice");
    let bob = rig.join("bob");
    rig.enter(alice, 0, "1");
    rig.enter(bob, 0, "1");
    let kick = |client: Option<&str>, connection: Option<&str>| {
        Input::kick(CHANNEL, client.map(Into::into), connection.map(Into::into))
    };
    let other = rig.id(bob).to_owned();
    assert_eq!(rig.input(kick(Some("alice"), Some(&other))).causes(), []);
    let came = rig.input(kick(Some("alice"), None));
    assert_eq!(came.causes(), [LeaveCause::Kicked]);
    assert_eq!(came.told(alice), ["leave alice=1"]);
    assert_eq!(rig.members(), ["bob=1"]);
    assert_eq!(rig.enter(alice, 1, "2").told(bob), ["enter alice=2"]);
    assert_eq!(rig.input(kick(None, None)).causes().len(), 2);
    assert_eq!(rig.input(kick(None, None)).causes().len(), 0);
    rig.end();
}

#[test]
fn rtp2b1_a_leave_that_the_server_makes_up_has_one_id_wherever_it_is_told() {
    for number in 0..8 {
        let on = |bit: u32| number & bit != 0;
        let mut config = ServerOptions::default();
        config.events = on(1);
        if !on(2) {
            config.history.retention = Duration::ZERO;
        }
        if on(4) {
            config.coalesce = vec![CoalesceRule::new(CHANNEL, Duration::from_millis(100))];
        }
        let mut rig = Rig::with(config);
        let bob = rig.join("bob");
        // Who has no mode for it hears of its own members alone (RTP17a).
        let alice = rig.open("alice");
        attach_with(&mut rig, alice, PRESENCE);
        rig.enter(alice, 0, "x");
        let carol = rig.join("carol");
        rig.enter(carol, 0, "x");
        rig.pass_alive(1_000, &[bob, alice]);
        rig.lose(carol);
        let mut came = rig.pass_alive(16_000, &[bob, alice]);
        assert_eq!(rig.server.counters().grace_leaves, 1);
        came.add(rig.input(Input::kick(CHANNEL, Some("alice".into()), None)));
        came.add(rig.pass_alive(1_000, &[bob, alice]));
        assert_eq!(came.told(bob), ["leave carol=x", "leave alice=x"], "{number}");
        assert_eq!(came.told(alice), ["leave alice=x"], "{number}");

        let told = came.items(bob);
        let own = came.items(alice);
        let events = came.events.iter().filter_map(|event| match event {
            ServerEvent::MemberLeft(output::MemberLeft { message, .. }) => Some(message.clone()),
            _ => None,
        });
        let mut query = HistoryQuery::default();
        query.direction = Direction::Forwards;
        let history = rig.server.history(CHANNEL, &query).expect("a page").items;
        let history = history.into_iter().map(|(_, message)| message);
        let copies: Vec<_> = events
            .chain(history)
            .chain(own)
            .filter(|message| message.action == PresenceAction::Leave)
            .collect();
        assert_eq!(copies.len(), 1 + 2 * usize::from(on(1)) + 2 * usize::from(on(2)));
        for leave in &told {
            let id = leave.id.as_deref().expect("an id");
            let connection_id = leave.connection_id.as_deref().expect("a connection id");
            assert!(!id.starts_with(connection_id), "{id}");
            for copy in copies.iter().filter(|copy| copy.client_id == leave.client_id) {
                assert_eq!(copy.id.as_deref(), Some(id), "{number}");
            }
        }
        assert_ne!(told[0].id, told[1].id);
    }
}

#[test]
fn a_channel_is_told_to_be_occupied_and_vacant() {
    let mut rig = Rig::new();
    let alice = rig.join("alice");
    let bob = rig.join("bob");
    let mut turns = Vec::new();
    for came in [
        rig.enter(alice, 0, ""),
        rig.enter(bob, 0, ""),
        rig.leave(alice, 1),
        rig.leave(bob, 1),
        rig.enter(bob, 2, ""),
        rig.recv(bob, json!({"action": 7})),
    ] {
        turns.extend(came.events.iter().filter_map(|event| match event {
            ServerEvent::ChannelOccupied(_) => Some("occupied"),
            ServerEvent::ChannelVacant(_) => Some("vacant"),
            _ => None,
        }));
    }
    assert_eq!(turns, ["occupied", "vacant", "occupied", "vacant"]);
    rig.end();
}

#[test]
fn events_can_be_switched_off() {
    let mut config = ServerOptions::default();
    config.events = false;
    let mut server = presence_proto::server::Server::new(config, [1; 32]);
    let mut out = presence_proto::server::Outbox::new();
    let transport = TransportId(1);
    let now = presence_proto::Now::from_millis(0);
    server.handle(now, Input::opened(transport, request("a")), &mut out);
    for frame in [
        json!({"action": 10, "channel": CHANNEL}),
        json!({"action": 14, "channel": CHANNEL, "msgSerial": 0, "presence": [{"action": 2}]}),
        json!({"action": 7}),
    ] {
        let frame = crate::text::decode(&frame);
        server.handle(now, Input::received(transport, frame), &mut out);
    }
    let is_event = |output: &_| matches!(output, presence_proto::server::Output::Event(_));
    assert!(!out.as_slice().iter().any(is_event));
}

#[test]
fn who_attaches_again_hears_what_the_channel_had_gathered() {
    let mut config = ServerOptions::default();
    config.coalesce = vec![CoalesceRule::new("*", Duration::from_secs(1))];
    // Attached again by the client, or given other modes by the host.
    for by_host in [false, true] {
        let mut rig = Rig::with(config.clone());
        let bob = rig.join("bob");
        let alice = rig.join("alice");
        rig.enter(alice, 0, "here");
        rig.pass(1_000);
        rig.leave(alice, 1);
        let came = if by_host {
            let allowed = Operations::SUBSCRIBE | Operations::PUBLISH;
            rig.input(Input::authorized(
                TransportId(bob),
                presence_proto::server::Identity::Client("bob".into()),
                std::sync::Arc::new(may(allowed)),
                None,
            ))
        } else {
            rig.attach(bob, CHANNEL)
        };
        // The set is empty now: neither flag nor sync would ever say so.
        assert!(came.of(bob, Action::Sync).is_empty());
        assert_eq!(came.told(bob), ["leave alice=here"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// The rig keeps a copy of the sets from events alone, and compares it after every call.
    #[test]
    fn a_copy_that_is_kept_from_events_is_what_the_server_has(
        steps in prop::collection::vec((0u8..10, 0usize..6, 0u8..4), 1..150),
        window in prop::option::of(1u64..2_000),
    ) {
        let mut config = ServerOptions::default();
        if let Some(window) = window {
            config.coalesce = vec![CoalesceRule::new("*", Duration::from_millis(window))];
        }
        let mut rig = Rig::with(config);
        let mut open: Vec<u64> = (0..6).map(|_| rig.join("*")).collect();
        for (serial, (what, who, member)) in (0..).zip(steps) {
            let transport = open[who];
            let item = |action: u8| json!({"action": action, "clientId": format!("m{member}"),
                "data": serial.to_string()});
            match what {
                0..=2 => drop(rig.presence(transport, serial, item(2))),
                3 => drop(rig.presence(transport, serial, item(4))),
                4 => drop(rig.presence(transport, serial, item(3))),
                5 => drop(rig.recv(transport, json!({"action": 12, "channel": CHANNEL}))),
                6 => drop(rig.attach(transport, CHANNEL)),
                7 => {
                    rig.lose(transport);
                    let (again, _) = rig.resume("*", transport);
                    open[who] = again;
                    if member > 0 {
                        rig.attach_again(again, CHANNEL, "0000000000000000");
                    }
                }
                8 => drop(rig.pass_alive(10_000, &open)),
                _ => drop(rig.input(Input::kick(CHANNEL, Some(format!("m{member}").into()), None))),
            }
        }
        rig.end();
    }
}
