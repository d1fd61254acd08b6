//! When members of a lost connection leave, and when they do not.

use crate::host::{CHANNEL, Host, request, request_with_grace};
use crate::outputs::Outputs;
use core::time::Duration;
use presence_proto::server::{Input, LeaveCause, ServerOptions};
use presence_proto::wire::{Action, Flags};
use presence_proto::{TransportId, UnixMillis};
use serde_json::json;

/// `bob` watches, `alice` is present on transport 2.
fn room(config: ServerOptions, remain: Option<u64>) -> (Host, u64, u64) {
    let mut host = Host::with(config);
    let bob = host.join("bob");
    let request =
        remain.map_or_else(|| request("alice"), |millis| request_with_grace("alice", millis));
    let (alice, _) = host.open_for(request);
    host.attach(alice, CHANNEL);
    host.enter(alice, 0, "here");
    (host, bob, alice)
}

/// Waits until `alice`, lost now, has left. Returns the time it took.
fn time_until_leave(host: &mut Host, bob: u64) -> u64 {
    let lost = host.time;
    loop {
        let step = host.next_deadline().expect("a deadline").max(host.time);
        let mut outputs = host.advance_to(step);
        outputs.sent.extend(host.input(Input::activity(TransportId(bob))).sent);
        if outputs.events_of(bob).iter().any(|event| event == "leave alice=here") {
            return host.time - lost;
        }
        assert!(host.time - lost < 200_000, "alice never leaves");
    }
}

#[test]
fn no_member_leaves_a_millisecond_before_the_grace_period_ends() {
    let (mut host, bob, alice) = room(ServerOptions::default(), None);
    host.advance_alive(1_234, &[alice, bob]);
    let lost = host.time;
    assert_eq!(host.lose(alice).events_of(bob), [""; 0]);
    assert_eq!(host.advance_to(lost + 14_999).events_of(bob), [""; 0]);
    assert_eq!(host.members(), ["alice=here"]);
    let outputs = host.advance_to(lost + 15_000);
    assert_eq!(outputs.events_of(bob), ["leave alice=here"]);
    assert_eq!(outputs.leave_causes(), [LeaveCause::GraceEnded]);
    assert_eq!(host.members(), [""; 0]);
    host.end();
}

#[test]
fn the_deadline_of_the_server_is_the_end_of_the_grace_period() {
    let (mut host, bob, alice) = room(ServerOptions::default(), None);
    host.lose(alice);
    host.input(Input::closed(TransportId(bob)));
    assert_eq!(host.next_deadline(), Some(15_000));
}

#[test]
fn remain_present_for_is_exact_to_the_millisecond_and_clamped() {
    for (asked, kept) in [
        (0, 1_000),
        (999, 1_000),
        (1_000, 1_000),
        (1_001, 1_001),
        (2_500, 2_500),
        (15_000, 15_000),
        (119_999, 119_999),
        (120_000, 120_000),
        (120_001, 120_000),
        (u64::MAX, 120_000),
    ] {
        let (mut host, bob, alice) = room(ServerOptions::default(), Some(asked));
        host.lose(alice);
        assert_eq!(time_until_leave(&mut host, bob), kept, "remainPresentFor={asked}");
    }
}

#[test]
fn the_bounds_of_the_grace_period_are_configurable() {
    let mut config = ServerOptions::default();
    config.min_remain_present_for = Duration::from_millis(5);
    config.connection_state_ttl = Duration::from_secs(60);
    config.remain_present_for = Duration::from_secs(7);
    for (asked, kept) in [(Some(1), 5), (Some(5), 5), (Some(70_000), 60_000), (None, 7_000)] {
        let (mut host, bob, alice) = room(config.clone(), asked);
        host.lose(alice);
        assert_eq!(time_until_leave(&mut host, bob), kept, "remainPresentFor={asked:?}");
    }
}

#[test]
fn rtn23_a_silent_peer_is_lost_after_two_idle_intervals_and_leaves_after_its_grace_period() {
    let (mut host, bob, alice) = room(ServerOptions::default(), None);
    let heard = host.time;
    let mut outputs = Outputs::default();
    while outputs.closed.is_empty() {
        outputs = host.advance_alive(100, &[bob]);
    }
    assert_eq!((outputs.closed, host.time - heard), (vec![alice], 30_000));
    assert_eq!(host.server.counters().silent, 1);
    assert_eq!(host.members(), ["alice=here"]);
    let outputs = host.advance_alive(14_999, &[bob]);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    assert_eq!(host.advance_alive(1, &[bob]).events_of(bob), ["leave alice=here"]);
    host.end();
}

#[test]
fn rtn23_silence_is_measured_from_the_last_activity() {
    let (mut host, bob, alice) = room(ServerOptions::default(), None);
    host.advance_alive(100_000, &[bob, alice]);
    assert_eq!(host.advance_alive(29_999, &[bob]).closed, [0; 0]);
    assert_eq!(host.advance_alive(1, &[bob]).closed, [alice]);
}

#[test]
fn heartbeat_interval_shortens_the_silence_that_loses_a_peer() {
    for (asked, idle) in [(1, 5_000), (5_000, 5_000), (8_000, 8_000), (u64::MAX, 1_800_000)] {
        let mut host = Host::new();
        let mut request = request("alice");
        request.heartbeat_interval = Some(Duration::from_millis(asked));
        let (alice, outputs) = host.open_for(request);
        let details =
            outputs.frame_of(alice, Action::Connected).connection_details.clone().unwrap();
        assert_eq!(details.max_idle_interval, Some(idle));
        assert_eq!(host.advance(2 * idle - 1).closed, [0; 0]);
        assert_eq!(host.advance(1).closed, [alice]);
    }
}

#[test]
fn rtn23b_a_peer_gets_pings_or_heartbeats_within_the_idle_interval() {
    for heartbeats in [false, true] {
        let mut host = Host::new();
        let mut request = request("alice");
        request.heartbeats = heartbeats;
        let (alice, _) = host.open_for(request);
        assert_eq!(host.advance(14_999).pings, [0; 0]);
        let outputs = host.advance(1);
        assert_eq!(outputs.pings, [alice]);
        let sent = outputs.frames_of(alice, Action::Heartbeat).len();
        assert_eq!(sent, usize::from(heartbeats));
    }
}

#[test]
fn rtp17g_a_resume_within_the_grace_period_emits_no_events() {
    let (mut host, bob, alice) = room(ServerOptions::default(), None);
    host.lose(alice);
    host.advance_alive(14_999, &[bob]);
    let mut outputs = Outputs::default();
    let (again, opened) = host.resume("alice", alice);
    assert_eq!(opened.error_codes(again), [0; 0]);
    assert_eq!(host.id(again), host.id(alice));
    let id = format!("{}:0:0", host.id(alice));
    let attached = host.attach_again(again, CHANNEL, "0000000000000000");
    assert!(attached.frame_of(again, Action::Attached).flags().contains(Flags::HAS_PRESENCE));
    assert_eq!(attached.synced(again), ["alice=here"]);
    let entered = host.presence(again, 1, json!({"action": 2, "id": id, "data": "here"}));
    assert_eq!(entered.frames_of(again, Action::Ack).len(), 1);
    outputs.sent.extend(attached.sent);
    outputs.sent.extend(entered.sent);
    outputs.sent.extend(host.advance_alive(60_000, &[again, bob]).sent);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    assert_eq!(host.server.counters().reentries, 1);
    assert_eq!(host.members(), ["alice=here"]);
    host.end();
}

#[test]
fn rtp2b2_a_reentry_after_the_grace_period_is_newer_than_every_event_of_its_member() {
    let (mut host, bob, alice) = room(ServerOptions::default(), None);
    // Alice does not receive the ACK of her update, and enters again as before.
    host.update(alice, 1, "there");
    host.lose(alice);
    assert_eq!(host.advance_alive(15_000, &[bob]).events_of(bob), ["leave alice=there"]);
    let (again, _) = host.resume("alice", alice);
    host.attach_again(again, CHANNEL, "0000000000000000");
    let connection = host.id(alice).to_owned();
    let old = json!({"action": 2, "id": format!("{connection}:0:0"), "data": "here"});
    let outputs = host.presence(again, 2, old.clone());
    assert_eq!(outputs.events_of(bob), ["enter alice=here"]);
    let id = outputs.items(bob)[0].id.clone();
    assert_eq!(id.as_deref(), Some(&*format!("{connection}:2:0")));
    // She may have missed that event too: the old id is still no change.
    let outputs = host.presence(again, 3, old);
    assert_eq!((outputs.events_of(bob).len(), outputs.frames_of(again, Action::Ack).len()), (0, 1));
    assert_eq!(host.members(), ["alice=here"]);
    host.end();
}

#[test]
fn rtp17g_a_reentry_keeps_its_id_if_that_was_the_last_one_sent() {
    let (mut host, bob, mut alice) = room(ServerOptions::default(), None);
    let connection = host.id(alice).to_owned();
    let mut serial = 0;
    for updates in [false, false, true, false] {
        if updates {
            // She does not receive it.
            serial += 1;
            host.update(alice, serial, "there");
        }
        host.lose(alice);
        assert_eq!(host.advance_alive(15_000, &[bob]).events_of(bob).len(), 1);
        (alice, _) = host.resume("alice", alice);
        host.attach_again(alice, CHANNEL, "0000000000000000");
        serial += 1;
        let old = format!("{connection}:0:0");
        let outputs = host.presence(alice, serial, json!({"action": 2, "id": old, "data": "here"}));
        assert_eq!(outputs.events_of(bob), ["enter alice=here"]);
        let expected = if serial > 3 { format!("{connection}:{serial}:0") } else { old };
        assert_eq!(outputs.items(bob)[0].id.as_deref(), Some(&*expected));
    }
    host.end();
}

#[test]
fn rtn19a_a_retried_reentry_enters_a_member_that_left_by_the_grace_period() {
    let (mut host, bob, mut alice) = room(ServerOptions::default(), None);
    let reentry = json!({"action": 2, "id": format!("{}:0:0", host.id(alice)), "data": "here"});
    // The answer to the first never arrives.
    for _ in 0..2 {
        host.lose(alice);
        assert_eq!(host.advance_alive(15_000, &[bob]).events_of(bob), ["leave alice=here"]);
        let (again, _) = host.resume("alice", alice);
        host.attach_again(again, CHANNEL, "0000000000000000");
        let outputs = host.presence(again, 1, reentry.clone());
        assert_eq!(outputs.events_of(bob), ["enter alice=here"]);
        assert_eq!(outputs.frames_of(again, Action::Ack).len(), 1);
        alice = again;
    }
    host.end();
}

/// Without it, a client that resumes again and again would fill up its attachments.
#[test]
fn an_attachment_that_is_not_activated_again_is_removed_with_its_members() {
    let (mut host, bob, alice) = room(ServerOptions::default(), None);
    host.attach(alice, "other");
    assert_eq!(host.server.counters().attachments, 3);
    host.lose(alice);
    let (again, _) = host.resume("alice", alice);
    host.attach(again, "other");
    host.advance_alive(15_000, &[bob, again]);
    assert_eq!((host.members(), host.server.counters().attachments), (vec![], 2));
    host.end();
}

#[test]
fn a_resumed_connection_that_does_not_attach_leaves_after_another_grace_period() {
    let (mut host, bob, alice) = room(ServerOptions::default(), None);
    host.lose(alice);
    host.advance_alive(10_000, &[bob]);
    let (again, _) = host.resume("alice", alice);
    let outputs = host.advance_alive(14_999, &[bob, again]);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    let outputs = host.advance_alive(1, &[bob, again]);
    assert_eq!(outputs.events_of(bob), ["leave alice=here"]);
    host.end();
}

#[test]
fn an_ended_grace_period_counts_without_a_tick() {
    let (mut host, bob, alice) = room(ServerOptions::default(), None);
    host.lose(alice);
    host.time += 15_000;
    let (again, _) = host.resume("alice", alice);
    assert_eq!(host.members(), [""; 0]);
    let outputs = host.attach_again(again, CHANNEL, "0000000000000000");
    assert!(!outputs.frame_of(again, Action::Attached).flags().contains(Flags::HAS_PRESENCE));
    assert_eq!(
        outputs.events_of(bob),
        [""; 0],
        "bob receives the leave when the grace period ends"
    );
}

#[test]
fn an_ended_grace_period_counts_when_the_budget_is_used_up() {
    let mut config = ServerOptions::default();
    config.budget = 1;
    let mut host = Host::with(config);
    let lost: Vec<u64> = ["a", "b", "c"].map(|who| host.join(who)).to_vec();
    for &transport in &lost {
        host.enter(transport, 0, "here");
        host.lose(transport);
    }
    host.time += 15_000;
    // All three in the first call that could end one grace.
    for (transport, who) in lost.into_iter().zip(["a", "b", "c"]) {
        let mut server = host.clone();
        let mut request = request(who);
        request.resume = Some(server.key(transport).into());
        let outputs = server.call(Input::opened(TransportId(9), request));
        assert!(outputs.leave_causes().contains(&LeaveCause::GraceEnded), "{who}");
        assert!(!server.members().contains(&format!("{who}=here")));
    }
}

#[test]
fn rtn15c7_an_expired_connection_is_not_resumed_when_the_budget_is_used_up() {
    let mut config = ServerOptions::default();
    config.budget = 1;
    let mut host = Host::with(config);
    let lost: Vec<u64> = ["a", "b", "c"].map(|who| host.open(who)).to_vec();
    for &transport in &lost {
        host.lose(transport);
    }
    host.time += 120_000;
    for (transport, who) in lost.into_iter().zip(["a", "b", "c"]) {
        let mut server = host.clone();
        let mut request = request(who);
        request.resume = Some(server.key(transport).into());
        let outputs = server.call(Input::opened(TransportId(9), request));
        assert_eq!(outputs.error_codes(9), [80008], "{who}");
    }
}

#[test]
fn taking_over_a_live_connection_stays_within_the_budget() {
    let mut config = ServerOptions::default();
    config.budget = 1;
    let mut host = Host::with(config);
    let live: Vec<u64> = ["a", "b", "c"].map(|who| host.open(who)).to_vec();
    // All three are to be pinged now; the one that is displaced need not be.
    host.time += 15_000;
    for (transport, who) in live.into_iter().zip(["a", "b", "c"]) {
        let mut server = host.clone();
        let mut request = request(who);
        request.resume = Some(server.key(transport).into());
        let outputs = server.call(Input::opened(TransportId(9), request));
        assert_eq!((outputs.pings.len(), outputs.closed), (1, vec![transport]), "{who}");
    }
}

#[test]
fn a_wall_clock_step_causes_no_leave() {
    const HOUR: i64 = 3_600_000;
    for step in [HOUR, -HOUR] {
        let (mut host, bob, alice) = room(ServerOptions::default(), None);
        host.lose(alice);
        host.advance_alive(5_000, &[bob]);
        host.wall_step = step;
        let outputs = host.advance_alive(9_999, &[bob]);
        assert_eq!(outputs.events_of(bob), [""; 0]);
        assert_eq!(host.advance_alive(1, &[bob]).events_of(bob), ["leave alice=here"]);
        host.end();
    }
}

#[test]
fn rtp2b1_a_wall_clock_step_back_leaves_no_ghost_member() {
    const HOUR: i64 = 3_600_000;
    for step in [HOUR, -HOUR] {
        let (mut host, bob, alice) = room(ServerOptions::default(), None);
        let entered = host.update(alice, 1, "here").items(bob)[0].timestamp;
        host.wall_step = step;
        host.lose(alice);
        let left = host.advance_alive(15_000, &[bob]).items(bob);
        let [leave] = left.as_slice() else { panic!("{left:?}") };
        // A synthesized leave is compared by time at the client, so it may not be earlier.
        let connection = host.id(alice).to_owned();
        assert!(!leave.id.as_deref().unwrap().starts_with(&connection));
        assert!(leave.timestamp >= entered, "{leave:?}");
        // A new enter is newer than the leave.
        let (again, _) = host.resume("alice", alice);
        host.attach_again(again, CHANNEL, "0000000000000000");
        let id = format!("{connection}:1:0");
        let outputs = host.presence(again, 2, json!({"action": 2, "id": id}));
        assert_eq!(outputs.events_of(bob), ["enter alice"]);
        assert!(outputs.items(bob)[0].timestamp >= leave.timestamp);
        // Later events have the time of the wall clock.
        let now = Some(UnixMillis::from_millis(host.wall()));
        assert_eq!(host.update(again, 3, "").items(bob)[0].timestamp, now);
        let carol = host.join("carol");
        assert_eq!(host.enter(carol, 0, "").items(bob)[0].timestamp, now);
        host.end();
    }
}

#[test]
fn rtl5l_a_member_detached_while_disconnected_leaves_on_a_new_attach() {
    let (mut host, bob, alice) = room(ServerOptions::default(), None);
    host.lose(alice);
    host.advance_alive(1_000, &[bob]);
    let (again, _) = host.resume("alice", alice);
    // Without a channel serial: the client was detached meanwhile, and does not enter again.
    let outputs = host.attach(again, CHANNEL);
    assert_eq!(outputs.events_of(bob), ["leave alice=here"]);
    assert_eq!(outputs.leave_causes(), [LeaveCause::Detached]);
    // It gets an empty sync, and no leave of a member that it has never received.
    assert_eq!(outputs.events_of(again), [""; 0]);
    assert!(!outputs.frame_of(again, Action::Attached).flags().contains(Flags::HAS_PRESENCE));
    assert_eq!(host.members(), [""; 0]);
    host.end();
}

#[test]
fn rtl4c1_a_member_stays_on_an_attach_with_a_serial_or_the_resume_flag() {
    let older_flag = 1 << 5;
    for frame in [
        json!({"action": 10, "channel": CHANNEL, "channelSerial": "0000000000000000"}),
        json!({"action": 10, "channel": CHANNEL, "channelSerial": "of another server"}),
        json!({"action": 10, "channel": CHANNEL, "flags": older_flag}),
    ] {
        let (mut host, bob, alice) = room(ServerOptions::default(), None);
        host.lose(alice);
        let (again, _) = host.resume("alice", alice);
        let outputs = host.recv(again, frame);
        assert_eq!(outputs.events_of(bob), [""; 0]);
        assert_eq!(host.members(), ["alice=here"]);
    }
}

#[test]
fn a_new_attach_on_an_attached_transport_removes_no_member() {
    let (mut host, bob, alice) = room(ServerOptions::default(), None);
    assert_eq!(host.attach(alice, CHANNEL).events_of(bob), [""; 0]);
    assert_eq!(host.members(), ["alice=here"]);
}

#[test]
fn rtn19a_a_frame_sent_again_before_its_attach_is_applied_once() {
    let (mut host, bob, alice) = room(ServerOptions::default(), None);
    host.lose(alice);
    let (again, _) = host.resume("alice", alice);
    // The client does not know that this one was accepted and the next one was not.
    let outputs = host.enter(again, 0, "here");
    assert_eq!((outputs.events_of(bob).len(), outputs.frames_of(again, Action::Ack).len()), (0, 1));
    let outputs = host.update(again, 1, "there");
    assert_eq!(outputs.events_of(bob), ["update alice=there"]);
    host.attach_again(again, CHANNEL, "0000000000000000");
    assert_eq!(host.members(), ["alice=there"]);
    assert_eq!(host.server.counters().duplicates, 1);
    host.end();
}

#[test]
fn rtn19a_a_frame_overtaken_by_many_others_is_still_applied() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let alice = host.join("alice");
    // Serial 0 waits for its channel after a resume; all else goes ahead.
    for serial in 1..=200 {
        host.update(alice, serial, "x");
    }
    host.leave(alice, 201);
    let outputs = host.presence(alice, 0, json!({"action": 2, "data": "late"}));
    assert_eq!(outputs.events_of(bob), ["enter alice=late"]);
    assert_eq!(host.server.counters().duplicates, 0);
}

#[test]
fn a_displaced_transport_is_closed_and_no_member_leaves() {
    let (mut host, bob, alice) = room(ServerOptions::default(), None);
    let (again, outputs) = host.resume("alice", alice);
    assert_eq!(outputs.closed, [alice]);
    assert_eq!(outputs.frames(alice).len(), 0, "its peer receives nothing");
    assert_eq!(outputs.events_of(bob), [""; 0]);
    assert_eq!(host.id(again), host.id(alice));
    // Frames in flight on it, and its end, are ignored.
    let mut late = host.leave(alice, 1);
    late.sent.extend(host.lose(alice).sent);
    assert_eq!((late.sent.len(), late.others.len()), (0, 0));
    host.attach_again(again, CHANNEL, "0000000000000000");
    let outputs = host.advance_alive(60_000, &[again, bob]);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    assert_eq!(host.members(), ["alice=here"]);
    host.end();
}

#[test]
fn rtp17a_a_resumed_connection_that_does_not_subscribe_receives_its_own_members() {
    let mut host = Host::new();
    host.join("bob");
    let publish = 1 << 16;
    let attach = |serial: Option<&str>| {
        let mut frame = json!({"action": 10, "channel": CHANNEL, "flags": publish});
        if let Some(serial) = serial {
            frame["channelSerial"] = serial.into();
        }
        frame
    };
    let server = host.open("*");
    host.recv(server, attach(None));
    for (serial, who) in ["x", "y", "z"].iter().enumerate() {
        let item = json!({"action": 2, "clientId": who});
        let outputs = host.presence(server, serial as i64, item);
        assert_eq!(outputs.events_of(server), [format!("enter {who}")]);
    }
    host.lose(server);
    let (again, _) = host.resume("*", server);
    // Such a client takes ATTACHED for an empty set (RTP19a).
    let outputs = host.recv(again, attach(Some("0000000000000000")));
    assert!(!outputs.frame_of(again, Action::Attached).flags().contains(Flags::HAS_PRESENCE));
    assert_eq!(outputs.events_of(again), ["present z", "present y", "present x"]);
    assert_eq!(outputs.frames_of(again, Action::Sync).len(), 0);
    // It receives nothing of others.
    let carol = host.join("carol");
    assert_eq!(host.enter(carol, 0, "").events_of(again), [""; 0]);
    host.end();
}

#[test]
fn rtp17a_many_own_members_are_sent_in_pages_under_backpressure() {
    let mut config = ServerOptions::default();
    config.sync_page_members = 10;
    config.sync_pages_per_call = 1;
    let mut host = Host::with(config);
    let flags = 1 << 16;
    let server = host.open("*");
    host.recv(server, json!({"action": 10, "channel": CHANNEL, "flags": flags}));
    for serial in 0..35 {
        host.presence(server, serial, json!({"action": 2, "clientId": format!("m{serial:02}")}));
    }
    host.lose(server);
    let (again, _) = host.resume("*", server);
    host.congested(again);
    let attach = json!({"action": 10, "channel": CHANNEL, "flags": flags,
        "channelSerial": "0000000000000000"});
    assert_eq!(host.recv(again, attach).events_of(again), [""; 0]);
    let outputs = host.writable(again);
    let pages: Vec<usize> = outputs
        .frames_of(again, Action::Presence)
        .iter()
        .map(|frame| frame.presence.len())
        .collect();
    assert_eq!(pages, [10, 10, 10, 5]);
    let mut delivered = outputs.events_of(again);
    delivered.sort();
    delivered.dedup();
    assert_eq!(delivered.len(), 35);
}
