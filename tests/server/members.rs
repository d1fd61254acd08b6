//! Members: the recipients and the frames of each event.

use crate::host::{CHANNEL, Host, capability, request};
use crate::outputs::Outputs;
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

fn attach_with(host: &mut Host, transport: u64, flags: u32) -> Outputs {
    host.recv(transport, json!({"action": 10, "channel": CHANNEL, "flags": flags}))
}

#[test]
fn a_subscriber_receives_enter_update_and_leave() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let alice = host.join("alice");
    let mut delivered = Vec::new();
    let mut ids = Vec::new();
    for outputs in [
        host.enter(alice, 0, "1"),
        host.enter(alice, 1, "2"),
        host.update(alice, 2, "3"),
        // RTP8e: without data of its own it carries the last.
        host.leave(alice, 3),
        // RTP10d: a leave of an absent member succeeds without an event.
        host.leave(alice, 4),
        host.update(alice, 5, "6"),
    ] {
        assert_eq!(outputs.frames_of(alice, Action::Ack).len(), 1);
        assert_eq!(outputs.events_of(alice), outputs.events_of(bob));
        delivered.extend(outputs.events_of(bob));
        ids.extend(outputs.items(bob).into_iter().filter_map(|item| item.id));
    }
    assert_eq!(
        delivered,
        ["enter alice=1", "enter alice=2", "update alice=3", "leave alice=3", "update alice=6"]
    );
    let connection = host.id(alice);
    let expected = [0, 1, 2, 3, 5].map(|serial| format!("{connection}:{serial}:0"));
    assert_eq!(ids, expected);
    assert_eq!(host.history(), delivered);
    host.end();
}

#[test]
fn a_change_is_one_broadcast_that_includes_the_connection_of_the_member() {
    let mut host = Host::new();
    let transports: Vec<u64> = (0..20).map(|n| host.join(&format!("c{n}"))).collect();
    let outputs = host.enter(transports[0], 0, "");
    assert_eq!(outputs.frame_count, 2, "the event, and the acknowledgement");
    for transport in transports {
        assert_eq!(outputs.events_of(transport), ["enter c0="]);
    }
}

#[test]
fn items_of_one_frame_are_applied_together_and_get_ids_by_their_place() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let server = host.join("*");
    let items: Vec<_> =
        ["x", "y", "x"].iter().map(|who| json!({"action": 2, "clientId": who})).collect();
    let outputs = host
        .recv(server, json!({"action": 14, "channel": CHANNEL, "msgSerial": 4, "presence": items}));
    assert_eq!(outputs.events_of(bob), ["enter x", "enter y", "enter x"]);
    let ids: Vec<_> = outputs.items(bob).into_iter().filter_map(|item| item.id).collect();
    let connection = host.id(server);
    assert_eq!(ids, [0, 1, 2].map(|index| format!("{connection}:4:{index}")));
    assert_eq!(host.members(), ["x", "y"]);
    // One bad item, and nothing of the frame counts.
    let items = json!([{"action": 3, "clientId": "x"}, {"action": 1, "clientId": "y"}]);
    let outputs = host
        .recv(server, json!({"action": 14, "channel": CHANNEL, "msgSerial": 5, "presence": items}));
    assert_eq!(outputs.error_codes(server), [40003]);
    assert_eq!(host.members(), ["x", "y"]);
    host.end();
}

#[test]
fn a_frame_holds_two_hundred_events_at_most() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let server = host.join("*");
    let items: Vec<_> =
        (0..450).map(|n| json!({"action": 2, "clientId": format!("m{n}")})).collect();
    let outputs = host
        .recv(server, json!({"action": 14, "channel": CHANNEL, "msgSerial": 0, "presence": items}));
    let sizes = |outputs: &Outputs| -> Vec<usize> {
        outputs.frames_of(bob, Action::Presence).iter().map(|frame| frame.presence.len()).collect()
    };
    assert_eq!(sizes(&outputs), [200, 200, 50]);
    let ids: Vec<_> = outputs.items(bob).into_iter().filter_map(|item| item.id).collect();
    let connection = host.id(server).to_owned();
    let expected: Vec<String> = (0..450).map(|n| format!("{connection}:0:{n}")).collect();
    assert_eq!(ids, expected);
    let outputs = host.recv(server, json!({"action": 7}));
    assert_eq!(sizes(&outputs), [200, 200, 50]);
    assert!(outputs.events_of(bob).iter().all(|event| event.starts_with("leave")));
    host.end();
}

#[test]
fn rtl5_detach_removes_the_members_of_the_connection_from_that_channel_at_once() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let alice = host.join("alice");
    host.attach(alice, "other");
    host.enter(alice, 0, "here");
    host.recv(
        alice,
        json!({"action": 14, "channel": "other", "msgSerial": 1,
        "presence": [{"action": 2}]}),
    );
    let outputs = host.recv(alice, json!({"action": 12, "channel": CHANNEL}));
    assert_eq!(outputs.frames_of(alice, Action::Detached).len(), 1);
    assert_eq!(outputs.events_of(bob), ["leave alice=here"]);
    assert_eq!(outputs.leave_causes(), [LeaveCause::Detached]);
    assert_eq!(host.members_of("other"), ["alice"]);
    host.end();
}

#[test]
fn rtn12_close_removes_all_members_at_once() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let alice = host.join("alice");
    host.enter(alice, 0, "here");
    let outputs = host.recv(alice, json!({"action": 7}));
    assert_eq!(outputs.frames_of(alice, Action::Closed).len(), 1);
    assert_eq!(outputs.closed, [alice]);
    assert_eq!(outputs.events_of(bob), ["leave alice=here"]);
    assert_eq!(outputs.leave_causes(), [LeaveCause::Closed]);
    // The connection is gone for good.
    let (again, outputs) = host.resume("alice", alice);
    assert_eq!(outputs.error_codes(again), [80008]);
    host.end();
}

#[test]
fn giving_up_the_mode_presence_sends_one_leave() {
    for stays_subscribed in [true, false] {
        let mut host = Host::new();
        let bob = host.join("bob");
        let alice = host.join("alice");
        host.enter(alice, 0, "here");
        let flags = SUBSCRIBE | if stays_subscribed { PRESENCE_SUBSCRIBE } else { 0 };
        let outputs = attach_with(&mut host, alice, flags);
        assert_eq!(outputs.events_of(alice), ["leave alice=here"], "{flags:#x}");
        assert_eq!(outputs.events_of(bob), ["leave alice=here"]);
        assert_eq!(outputs.leave_causes(), [LeaveCause::RightLost]);
        host.end();
    }
}

#[test]
fn rtp17a_giving_up_the_mode_presence_sends_the_leave_without_a_subscription() {
    for congested in [false, true] {
        let mut host = Host::new();
        let alice = host.open("alice");
        attach_with(&mut host, alice, PRESENCE | SUBSCRIBE);
        host.enter(alice, 0, "here");
        if congested {
            host.congested(alice);
        }
        let mut outputs = attach_with(&mut host, alice, SUBSCRIBE);
        outputs.sent.extend(host.writable(alice).sent);
        assert_eq!(outputs.events_of(alice), ["leave alice=here"], "congested: {congested}");
    }
}

#[test]
fn rtp17a_a_connection_receives_its_own_members_without_the_mode_and_without_echo() {
    let mut host = Host::new();
    let mut request = request("alice");
    request.echo = false;
    let (alice, _) = host.open_for(request);
    attach_with(&mut host, alice, PRESENCE);
    let bob = host.join("bob");
    let mut outputs = host.enter(alice, 0, "1");
    for next in [host.update(alice, 1, "2"), host.leave(alice, 2)] {
        outputs.sent.extend(next.sent);
    }
    assert_eq!(outputs.events_of(alice), ["enter alice=1", "update alice=2", "leave alice=2"]);
    assert_eq!(outputs.events_of(bob), outputs.events_of(alice));
    assert_eq!(host.enter(bob, 0, "").events_of(alice), [""; 0]);
    host.end();
}

#[test]
fn rtl2f_the_serial_of_an_own_member_does_not_cover_coalesced_events() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let alice = host.open("alice");
    attach_with(&mut host, alice, PRESENCE | SUBSCRIBE);
    host.congested(alice);
    let message = json!({"action": 15, "channel": CHANNEL, "msgSerial": 0,
        "messages": [{"name": "n", "data": "missed"}]});
    assert_eq!(host.recv(bob, message).frames_of(alice, Action::Message).len(), 0);
    let outputs = host.enter(alice, 0, "here");
    assert_eq!(outputs.events_of(alice), ["enter alice=here"]);
    assert_eq!(outputs.frame_of(alice, Action::Presence).channel_serial, None);
    // Whatever serial it comes back with: the message was never sent.
    host.lose(alice);
    let (again, _) = host.resume("alice", alice);
    let outputs = host.attach_again(again, CHANNEL, "ffffffffffffffff");
    let attached = outputs.frame_of(again, Action::Attached);
    assert!(!attached.flags().contains(Flags::RESUMED));
    assert_eq!(outputs.error_codes(again), [90003]);
    host.end();
}

#[test]
fn rtl2f_an_attach_that_missed_nothing_is_resumed() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let alice = host.join("alice");
    let message = json!({"action": 15, "channel": CHANNEL, "msgSerial": 0,
        "messages": [{"data": "1"}]});
    let outputs = host.recv(bob, message);
    let serial = outputs.frame_of(alice, Action::Message).channel_serial.clone().unwrap();
    host.lose(alice);
    let (again, _) = host.resume("alice", alice);
    let outputs = host.attach_again(again, CHANNEL, &serial);
    assert!(outputs.frame_of(again, Action::Attached).flags().contains(Flags::RESUMED));
    // The serial shows a frame lost in flight, and the server one sent meanwhile.
    host.lose(again);
    let (again, _) = host.resume("alice", again);
    let outputs = host.attach_again(again, CHANNEL, "0000000000000001");
    assert!(!outputs.frame_of(again, Action::Attached).flags().contains(Flags::RESUMED));
    host.end();
}

#[test]
fn rtn7a_combined_acknowledgements_are_sent_before_later_ones() {
    let mut host = Host::new();
    let alice = host.join("alice");
    host.congested(alice);
    host.enter(alice, 0, "1");
    host.update(alice, 1, "2");
    let message = json!({"action": 15, "channel": CHANNEL, "msgSerial": 2,
        "messages": [{"data": "1"}]});
    let outputs = host.recv(alice, message);
    let acks: Vec<_> = outputs
        .frames_of(alice, Action::Ack)
        .iter()
        .map(|ack| (ack.msg_serial.unwrap_or(0), ack.count.unwrap_or(1)))
        .collect();
    // For a client, a message that an acknowledgement skips is lost.
    assert_eq!(acks, [(0, 2), (2, 1)]);
}

#[test]
fn rtp18_a_congested_subscriber_gets_a_sync_in_place_of_events() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let alice = host.join("alice");
    let carol = host.join("carol");
    host.enter(carol, 0, "stays");
    host.congested(bob);
    let mut outputs = Outputs::default();
    for serial in 0..100 {
        outputs.sent.extend(host.update(alice, serial, &serial.to_string()).sent);
    }
    outputs.sent.extend(host.leave(carol, 1).sent);
    assert_eq!(outputs.frames(bob).len(), 0);
    let outputs = host.writable(bob);
    assert_eq!(outputs.synced(bob), ["alice=99"]);
    assert_eq!(host.server.counters().resyncs, 1);
    // An empty set is synced too, or the client would keep members that have left.
    host.congested(bob);
    host.leave(alice, 100);
    let outputs = host.writable(bob);
    assert_eq!(outputs.frames_of(bob, Action::Sync).len(), 1);
    assert_eq!(outputs.synced(bob), [""; 0]);
    // A client that missed nothing is not synced.
    host.congested(bob);
    assert_eq!(host.writable(bob).frames(bob).len(), 0);
    host.end();
}

/// A set of one page costs no more than the events that were missed.
#[test]
fn rtp18_missed_events_are_sent_one_by_one_if_the_set_is_larger_than_a_page() {
    for (members, syncs, events) in [(3, 1, 0), (4, 0, 1)] {
        let mut options = ServerOptions::default();
        options.sync_page_members = 3;
        let mut host = Host::with(options);
        let bob = host.join("bob");
        let many = host.join("*");
        let member =
            |n: i64, data: &str| json!({"action": 2, "clientId": format!("c{n}"), "data": data});
        for n in 0..members {
            host.presence(many, n, member(n, "before"));
        }
        host.congested(bob);
        host.presence(many, members, member(0, "after"));
        let outputs = host.writable(bob);
        let of = |action| outputs.frames_of(bob, action).len();
        assert_eq!((of(Action::Sync), of(Action::Presence)), (syncs, events), "{members} members");
        host.end();
    }
}

#[test]
fn rtp18_a_client_that_requests_a_sync_gets_one() {
    let mut host = Host::new();
    let alice = host.join("alice");
    host.enter(alice, 0, "here");
    let bob = host.join("bob");
    let outputs = host.recv(bob, json!({"action": 16, "channel": CHANNEL, "channelSerial": "x:y"}));
    assert_eq!(outputs.synced(bob), ["alice=here"]);
    let outputs = host.recv(bob, json!({"action": 16, "channel": "unknown"}));
    assert_eq!(outputs.frames(bob).len(), 0);
}

#[test]
fn repeated_sync_requests_run_one_at_a_time() {
    let mut config = ServerOptions::default();
    config.sync_page_members = 1;
    config.sync_pages_per_call = 1;
    let mut host = Host::with(config);
    let server = host.join("*");
    for serial in 0..10 {
        host.presence(server, serial, json!({"action": 2, "clientId": format!("m{serial}")}));
    }
    let bob = host.join("bob");
    let ask = crate::text::decode(&json!({"action": 16, "channel": CHANNEL}));
    let mut outputs = Outputs::default();
    for _ in 0..10 {
        let frame = ask.clone();
        outputs.sent.extend(host.call(Input::received(TransportId(bob), frame)).sent);
    }
    let pages = outputs.frames_of(bob, Action::Sync);
    let (_, last) = pages[9].channel_serial.as_deref().unwrap().split_once(':').unwrap();
    assert_eq!((pages.len(), last), (10, ""));
}

#[test]
fn rtp18_a_sync_comes_in_pages_by_members_and_bytes() {
    let mut config = ServerOptions::default();
    config.sync_page_members = 10;
    config.sync_page_bytes = 2_000;
    let mut host = Host::with(config);
    let server = host.join("*");
    for serial in 0..25 {
        let data = if serial < 5 { "x".repeat(1_000) } else { String::new() };
        let item = json!({"action": 2, "clientId": format!("m{serial:02}"), "data": data});
        host.presence(server, serial, item);
    }
    let bob = host.open("bob");
    let outputs = host.attach(bob, CHANNEL);
    let pages = outputs.frames_of(bob, Action::Sync);
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
    host.end();
}

#[test]
fn a_kick_removes_the_named_members_and_they_may_enter_again() {
    let mut host = Host::new();
    let alice = host.join("alice");
    let bob = host.join("bob");
    host.enter(alice, 0, "1");
    host.enter(bob, 0, "1");
    let kick = |client: Option<&str>, connection: Option<&str>| {
        Input::kick(CHANNEL, client.map(Into::into), connection.map(Into::into))
    };
    let other = host.id(bob).to_owned();
    assert_eq!(host.input(kick(Some("alice"), Some(&other))).leave_causes(), []);
    let outputs = host.input(kick(Some("alice"), None));
    assert_eq!(outputs.leave_causes(), [LeaveCause::Kicked]);
    assert_eq!(outputs.events_of(alice), ["leave alice=1"]);
    assert_eq!(host.members(), ["bob=1"]);
    assert_eq!(host.enter(alice, 1, "2").events_of(bob), ["enter alice=2"]);
    assert_eq!(host.input(kick(None, None)).leave_causes().len(), 2);
    assert_eq!(host.input(kick(None, None)).leave_causes().len(), 0);
    host.end();
}

#[test]
fn rtp2b1_a_synthesized_leave_has_the_same_id_everywhere() {
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
        let mut host = Host::with(config);
        let bob = host.join("bob");
        // Without the mode it receives its own members only (RTP17a).
        let alice = host.open("alice");
        attach_with(&mut host, alice, PRESENCE);
        host.enter(alice, 0, "x");
        let carol = host.join("carol");
        host.enter(carol, 0, "x");
        host.advance_alive(1_000, &[bob, alice]);
        host.lose(carol);
        let mut outputs = host.advance_alive(16_000, &[bob, alice]);
        assert_eq!(host.server.counters().grace_leaves, 1);
        outputs.extend(host.input(Input::kick(CHANNEL, Some("alice".into()), None)));
        outputs.extend(host.advance_alive(1_000, &[bob, alice]));
        assert_eq!(outputs.events_of(bob), ["leave carol=x", "leave alice=x"], "{number}");
        assert_eq!(outputs.events_of(alice), ["leave alice=x"], "{number}");

        let delivered = outputs.items(bob);
        let own = outputs.items(alice);
        let events = outputs.events.iter().filter_map(|event| match event {
            ServerEvent::MemberLeft(output::MemberLeft { message, .. }) => Some(message.clone()),
            _ => None,
        });
        let mut query = HistoryQuery::default();
        query.direction = Direction::Forwards;
        let history = host.server.history(CHANNEL, &query).expect("a page").items;
        let history = history.into_iter().map(|(_, message)| message);
        let copies: Vec<_> = events
            .chain(history)
            .chain(own)
            .filter(|message| message.action == PresenceAction::Leave)
            .collect();
        assert_eq!(copies.len(), 1 + 2 * usize::from(on(1)) + 2 * usize::from(on(2)));
        for leave in &delivered {
            let id = leave.id.as_deref().expect("an id");
            let connection_id = leave.connection_id.as_deref().expect("a connection id");
            assert!(!id.starts_with(connection_id), "{id}");
            for copy in copies.iter().filter(|copy| copy.client_id == leave.client_id) {
                assert_eq!(copy.id.as_deref(), Some(id), "{number}");
            }
        }
        assert_ne!(delivered[0].id, delivered[1].id);
    }
}

#[test]
fn a_channel_becomes_occupied_and_vacant() {
    let mut host = Host::new();
    let alice = host.join("alice");
    let bob = host.join("bob");
    let mut turns = Vec::new();
    for outputs in [
        host.enter(alice, 0, ""),
        host.enter(bob, 0, ""),
        host.leave(alice, 1),
        host.leave(bob, 1),
        host.enter(bob, 2, ""),
        host.recv(bob, json!({"action": 7})),
    ] {
        turns.extend(outputs.events.iter().filter_map(|event| match event {
            ServerEvent::ChannelOccupied(_) => Some("occupied"),
            ServerEvent::ChannelVacant(_) => Some("vacant"),
            _ => None,
        }));
    }
    assert_eq!(turns, ["occupied", "vacant", "occupied", "vacant"]);
    host.end();
}

#[test]
fn events_can_be_switched_off() {
    let mut config = ServerOptions::default();
    config.events = false;
    let mut host = Host::with(config);
    let (transport, mut outputs) = host.open_for(request("a"));
    for frame in [
        json!({"action": 10, "channel": CHANNEL}),
        json!({"action": 14, "channel": CHANNEL, "msgSerial": 0, "presence": [{"action": 2}]}),
        json!({"action": 7}),
    ] {
        outputs.extend(host.recv(transport, frame));
    }
    assert!(outputs.frame_count > 0 && outputs.events.is_empty());
}

#[test]
fn attaching_again_delivers_coalesced_events() {
    let mut config = ServerOptions::default();
    config.coalesce = vec![CoalesceRule::new("*", Duration::from_secs(1))];
    // Attached again by the client, or given other modes by the host.
    for by_host in [false, true] {
        let mut host = Host::with(config.clone());
        let bob = host.join("bob");
        let alice = host.join("alice");
        host.enter(alice, 0, "here");
        host.advance(1_000);
        host.leave(alice, 1);
        let outputs = if by_host {
            let allowed = Operations::SUBSCRIBE | Operations::PUBLISH;
            host.input(Input::authorized(
                TransportId(bob),
                presence_proto::server::Identity::Client("bob".into()),
                std::sync::Arc::new(capability(allowed)),
                None,
            ))
        } else {
            host.attach(bob, CHANNEL)
        };
        // The set is empty now: neither flag nor sync would ever say so.
        assert!(outputs.frames_of(bob, Action::Sync).is_empty());
        assert_eq!(outputs.events_of(bob), ["leave alice=here"]);
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
        let mut host = Host::with(config);
        let mut open: Vec<u64> = (0..6).map(|_| host.join("*")).collect();
        for (serial, (what, who, member)) in (0..).zip(steps) {
            let transport = open[who];
            let item = |action: u8| json!({"action": action, "clientId": format!("m{member}"),
                "data": serial.to_string()});
            match what {
                0..=2 => drop(host.presence(transport, serial, item(2))),
                3 => drop(host.presence(transport, serial, item(4))),
                4 => drop(host.presence(transport, serial, item(3))),
                5 => drop(host.recv(transport, json!({"action": 12, "channel": CHANNEL}))),
                6 => drop(host.attach(transport, CHANNEL)),
                7 => {
                    host.lose(transport);
                    let (again, _) = host.resume("*", transport);
                    open[who] = again;
                    if member > 0 {
                        host.attach_again(again, CHANNEL, "0000000000000000");
                    }
                }
                8 => drop(host.advance_alive(10_000, &open)),
                _ => drop(host.input(Input::kick(CHANNEL, Some(format!("m{member}").into()), None))),
            }
        }
        host.end();
    }
}
