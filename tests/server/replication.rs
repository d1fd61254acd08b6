//! The rules of the log: what counts, who owns, what is sent again, who is taken for gone.

use crate::cluster::{Appends, Cluster, FIRST, answers};
use crate::host::CHANNEL;
use core::time::Duration;
use presence_proto::server::{Input, LogOptions, ServerOptions, WithoutLog};
use presence_proto::wire::{Action, Flags};
use serde_json::json;

const ACK: Action = Action::Ack;
const NACK: Action = Action::Nack;
const NONE: [&str; 0] = [];

/// `alice` is present by node 0, and `bob` watches on node 1. Returns their transports.
fn room(cluster: &mut Cluster) -> (u64, u64) {
    let alice = cluster.join(0, "alice");
    let bob = cluster.join(1, "bob");
    cluster.presence(alice, 0, 2, "a");
    assert_eq!(cluster.members(1), ["alice=a"]);
    (alice, bob)
}

// Which entries count.

#[test]
fn entries_of_a_killed_process_change_nothing_once_it_is_taken_for_gone() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    cluster.set_appends(0, Appends::Held);
    cluster.presence(alice, 1, 4, "late");
    cluster.kill(0);
    cluster.advance_alive(8_000, &[bob]);
    let outputs = cluster.release(0);
    assert_eq!(outputs.events_of(bob), NONE);
    assert_eq!(cluster.members(1), ["alice=a"]);
}

#[test]
fn entries_of_a_killed_process_change_nothing_once_the_node_has_started_again() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    cluster.set_appends(0, Appends::Held);
    cluster.presence(alice, 1, 4, "late");
    cluster.kill(0);
    cluster.set_appends(0, Appends::Arrive);
    cluster.start(0);
    let outputs = cluster.release(0);
    assert_eq!(outputs.events_of(bob), NONE);
    assert_eq!(cluster.members(1), ["alice=a"]);
}

#[test]
fn an_entry_that_arrives_twice_counts_once() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    cluster.kick(0, "alice");
    let kick = cluster.log.last().cloned().expect("an entry");
    cluster.presence(alice, 1, 2, "again");
    let outputs = cluster.arrive(kick);
    assert_eq!(outputs.events_of(bob), NONE);
    assert_eq!(cluster.members(1), ["alice=again"]);
}

#[test]
fn an_entry_that_overtakes_another_waits_until_it_is_sent_again() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    cluster.set_appends(0, Appends::Lost);
    cluster.presence(alice, 1, 4, "b");
    cluster.set_appends(0, Appends::Arrive);
    let outputs = cluster.presence(alice, 2, 4, "c");
    assert_eq!(outputs.events_of(bob), NONE);
    let outputs = cluster.advance(200);
    assert_eq!(outputs.events_of(bob), ["update alice=b", "update alice=c"]);
    assert_eq!(answers(&outputs, alice), [(ACK, 1), (ACK, 2)]);
}

#[test]
fn an_entry_of_another_log_changes_nothing() {
    let mut other = Cluster::with(0, ServerOptions::default());
    other.start(1);
    let mallory = other.join(1, "mallory");
    other.presence(mallory, 0, 2, "");
    let foreign = other.log.last().cloned().expect("an entry");
    let mut cluster = Cluster::new(2);
    cluster.arrive(foreign);
    assert_eq!(cluster.members(0), NONE);
    room(&mut cluster);
}

#[test]
fn a_late_copy_of_a_join_does_not_fence_a_newer_process() {
    let mut cluster = Cluster::new(2);
    let join = cluster.log.first().cloned().expect("an entry");
    cluster.kill(0);
    cluster.start(0);
    let outputs = cluster.arrive(join);
    assert!(outputs.others.is_empty(), "{:?}", outputs.others);
    room(&mut cluster);
}

#[test]
fn an_entry_that_the_host_passes_in_twice_counts_once() {
    let mut cluster = Cluster::new(2);
    room(&mut cluster);
    cluster.kick(0, "alice");
    let (position, entry) = (cluster.log.len(), cluster.log.last().cloned().expect("an entry"));
    let position = presence_proto::server::LogPosition(position as u64);
    let outputs = cluster.input(1, Input::committed(position, entry));
    assert!(outputs.is_empty());
    assert_eq!(cluster.node(1).counters().void_entries, 0);
}

// What is sent again.

#[test]
fn an_append_with_an_unknown_outcome_is_made_again_soon() {
    let mut cluster = Cluster::new(2);
    let (alice, _) = room(&mut cluster);
    cluster.set_appends(0, Appends::Lost);
    let outputs = cluster.presence(alice, 1, 4, "b");
    assert_eq!(answers(&outputs, alice), []);
    cluster.set_appends(0, Appends::Arrive);
    let outputs = cluster.advance(200);
    assert_eq!(answers(&outputs, alice), [(ACK, 1)]);
}

#[test]
fn an_append_that_got_through_after_all_counts_once() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    cluster.set_appends(0, Appends::Doubted);
    let mut outputs = cluster.presence(alice, 1, 4, "b");
    outputs.extend(cluster.advance(1_000));
    assert_eq!(answers(&outputs, alice), [(ACK, 1)]);
    assert_eq!(outputs.events_of(bob), ["update alice=b"]);
}

#[test]
fn a_refused_append_is_answered_with_nack_and_leaves_no_gap() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    cluster.set_appends(0, Appends::Refused);
    cluster.presence(alice, 1, 4, "b");
    cluster.set_appends(0, Appends::Arrive);
    let outputs = cluster.advance(200);
    assert_eq!(answers(&outputs, alice), [(NACK, 1)]);
    assert_eq!(outputs.error_codes(alice), [50003]);
    let outputs = cluster.presence(alice, 2, 4, "c");
    assert_eq!(answers(&outputs, alice), [(ACK, 2)]);
    assert_eq!(outputs.events_of(bob), ["update alice=c"]);
}

#[test]
fn a_refused_append_whose_first_try_got_through_is_answered_with_ack() {
    let mut cluster = Cluster::new(2);
    let (alice, _) = room(&mut cluster);
    cluster.set_deaf(0, true);
    cluster.set_appends(0, Appends::Doubted);
    cluster.presence(alice, 1, 4, "b");
    cluster.set_appends(0, Appends::Refused);
    cluster.advance(200);
    cluster.set_appends(0, Appends::Arrive);
    let outputs = cluster.set_deaf(0, false);
    assert_eq!(answers(&outputs, alice), [(ACK, 1)]);
}

#[test]
fn a_kick_that_the_log_refuses_is_written_again() {
    let mut cluster = Cluster::new(2);
    let (_, bob) = room(&mut cluster);
    cluster.set_appends(0, Appends::Refused);
    cluster.kick(0, "alice");
    cluster.set_appends(0, Appends::Arrive);
    let outputs = cluster.advance(200);
    assert_eq!(outputs.events_of(bob), ["leave alice=a"]);
    assert!(cluster.members(0).is_empty() && cluster.members(1).is_empty());
}

#[test]
fn frames_behind_a_refused_first_one_are_answered_too() {
    let mut cluster = Cluster::new(2);
    let alice = cluster.join(0, "alice");
    cluster.set_appends(0, Appends::Refused);
    cluster.presence(alice, 0, 2, "a");
    cluster.set_appends(0, Appends::Arrive);
    cluster.presence(alice, 1, 4, "b");
    let mut outputs = cluster.advance(200);
    // The log has not learned of the connection by the first, so that the second is refused too.
    assert_eq!(answers(&outputs, alice), [(NACK, 0), (NACK, 1)]);
    outputs = cluster.presence(alice, 2, 4, "c");
    assert_eq!(answers(&outputs, alice), [(ACK, 2)]);
    assert_eq!(cluster.members(1), ["alice=c"]);
}

#[test]
fn what_a_fenced_node_could_not_append_is_appended_when_it_has_joined_anew() {
    let mut cluster = Cluster::holding(2);
    let (alice, bob) = room(&mut cluster);
    cluster.set_appends(0, Appends::Lost);
    cluster.presence(alice, 1, 4, "b");
    cluster.advance_alive(8_000, &[alice, bob]);
    cluster.set_appends(0, Appends::Arrive);
    let outputs = cluster.advance_alive(5_000, &[alice, bob]);
    assert_eq!(cluster.fenced(), 1);
    assert_eq!(answers(&outputs, alice), [(ACK, 1)]);
    assert_eq!(outputs.events_of(bob), ["update alice=b"]);
}

// Answers.

#[test]
fn a_frame_is_answered_when_it_is_applied() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    cluster.set_appends(0, Appends::Held);
    let outputs = cluster.presence(alice, 1, 4, "b");
    assert!(outputs.frames(alice).is_empty() && outputs.frames(bob).is_empty());
    let outputs = cluster.release(0);
    assert_eq!(answers(&outputs, alice), [(ACK, 1)]);
}

#[test]
fn answers_go_out_in_the_order_of_the_frames() {
    let mut cluster = Cluster::new(2);
    let (alice, _) = room(&mut cluster);
    cluster.set_appends(0, Appends::Held);
    cluster.presence(alice, 1, 4, "b");
    // 9 is no action of a client.
    let outputs = cluster.presence(alice, 2, 9, "");
    assert_eq!(answers(&outputs, alice), []);
    let outputs = cluster.release(0);
    assert_eq!(answers(&outputs, alice), [(ACK, 1), (NACK, 2)]);
}

#[test]
fn rtn19a_a_message_that_is_sent_again_while_it_is_in_the_log_is_delivered_once() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    cluster.set_appends(0, Appends::Held);
    cluster.publish(alice, 1, "m");
    let again = cluster.resume(0, "alice", alice);
    cluster.publish(again, 1, "m");
    let outputs = cluster.release(0);
    assert_eq!(outputs.frames_of(bob, Action::Message).len(), 1);
    assert!(answers(&outputs, again).contains(&(ACK, 1)));
}

// Members do not outlive what their clients ask for, in whatever order it gets through.

#[test]
fn a_channel_is_detached_when_the_frames_before_are_applied() {
    let mut cluster = Cluster::new(2);
    let alice = cluster.join(0, "alice");
    cluster.set_appends(0, Appends::Held);
    cluster.presence(alice, 0, 2, "a");
    let outputs = cluster.recv(alice, json!({"action": 12, "channel": CHANNEL}));
    assert!(outputs.frames(alice).is_empty());
    let outputs = cluster.release(0);
    outputs.frame_of(alice, Action::Detached);
    assert_eq!(cluster.members(1), NONE);
}

#[test]
fn a_member_that_enters_after_its_transport_is_lost_leaves_after_its_grace_period() {
    for held in [500, 2_000] {
        let mut cluster = Cluster::new(2);
        let alice = cluster.join_with_grace(0, "alice", Duration::from_secs(1));
        cluster.set_appends(0, Appends::Held);
        cluster.presence(alice, 0, 2, "a");
        cluster.lose(alice);
        cluster.advance(held);
        cluster.release(0);
        cluster.advance(3_000 - held);
        assert_eq!(cluster.members(1), NONE, "{held} ms");
    }
}

#[test]
fn a_message_before_a_close_is_delivered_although_the_log_was_away() {
    let mut cluster = Cluster::new(2);
    let bob = cluster.join(1, "bob");
    let (alice, _) = cluster.open(0, "alice", None);
    cluster.log_away(0);
    cluster.publish(alice, 0, "m");
    let outputs = cluster.close(alice);
    assert!(outputs.frames(alice).is_empty());
    let outputs = cluster.log_back(0);
    assert_eq!(answers(&outputs, alice), [(ACK, 0)]);
    outputs.frame_of(alice, Action::Closed);
    outputs.frame_of(bob, Action::Message);
}

#[test]
fn leaves_of_a_record_are_delivered_before_the_records_behind_it() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    cluster.log_away(0);
    cluster.kick(0, "alice");
    cluster.presence(alice, 1, 2, "b");
    let outputs = cluster.log_back(0);
    assert_eq!(outputs.events_of(bob), ["leave alice=a", "enter alice=b"]);
}

#[test]
fn leaves_of_one_record_have_one_serial_whatever_the_budgets_of_the_nodes() {
    let mut cluster = Cluster::new(1);
    cluster.set_budget(2);
    cluster.start(1);
    let (bob, carol) = (cluster.join(0, "bob"), cluster.join(1, "carol"));
    let (many, _) = cluster.open(0, "*", None);
    cluster.attach(many, None);
    for serial in 0..5 {
        let item = json!({"action": 2, "clientId": format!("m{serial}")});
        cluster.recv(
            many,
            json!({"action": 14, "channel": CHANNEL, "msgSerial": serial, "presence": [item]}),
        );
    }
    let outputs = cluster.close(many);
    let heard = |transport| {
        let frames = outputs.frames_of(transport, Action::Presence).into_iter();
        let ids = outputs.items(transport).into_iter().map(|item| item.id);
        let mut serials: Vec<_> = frames.map(|frame| frame.channel_serial.clone()).collect();
        serials.dedup();
        (serials, ids.collect::<Vec<_>>())
    };
    assert_eq!(heard(bob).0.len(), 1);
    assert_eq!(heard(bob).1.len(), 5);
    assert_eq!(heard(bob), heard(carol));
}

// Connections that move.

#[test]
fn a_resume_on_another_node_is_answered_when_it_is_applied() {
    let mut cluster = Cluster::new(2);
    let (alice, _) = room(&mut cluster);
    cluster.set_appends(1, Appends::Held);
    let (again, outputs) = cluster.open(1, "alice", Some(alice));
    assert!(outputs.frames(again).is_empty());
    let outputs = cluster.release(1);
    assert_eq!(outputs.frame_of(again, Action::Connected).error, None);
}

#[test]
fn the_node_that_a_connection_has_left_closes_its_transport_and_forgets_it() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    let (_, outputs) = cluster.open(1, "alice", Some(alice));
    assert_eq!(outputs.closed, [alice]);
    assert_eq!(outputs.events_of(bob), NONE);
    assert_eq!(cluster.node(0).counters().connections, 0);
}

#[test]
fn a_node_that_a_connection_has_left_changes_nothing_of_it() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    cluster.set_appends(0, Appends::Held);
    cluster.presence(alice, 1, 4, "late");
    let again = cluster.resume(1, "alice", alice);
    let outputs = cluster.release(0);
    assert_eq!(outputs.events_of(bob), NONE);
    assert_eq!(cluster.members(0), ["alice=a"]);
    let outputs = cluster.presence(again, 1, 4, "b");
    assert_eq!(outputs.events_of(bob), ["update alice=b"]);
}

#[test]
fn a_closed_connection_cannot_be_resumed_at_a_node_that_has_not_heard_of_its_end() {
    let mut cluster = Cluster::new(2);
    let (alice, _) = room(&mut cluster);
    cluster.set_deaf(1, true);
    cluster.close(alice);
    let (again, _) = cluster.open(1, "alice", Some(alice));
    let outputs = cluster.set_deaf(1, false);
    outputs.frame_of(again, Action::Disconnected);
    let (again, outputs) = cluster.open(1, "alice", Some(alice));
    assert_eq!(outputs.error_codes(again), [80008]);
}

#[test]
fn a_closed_connection_without_members_cannot_be_resumed_elsewhere() {
    let mut cluster = Cluster::new(2);
    let alice = cluster.join(0, "alice");
    let outputs = cluster.close(alice);
    outputs.frame_of(alice, Action::Closed);
    let (again, outputs) = cluster.open(1, "alice", Some(alice));
    assert_eq!(outputs.error_codes(again), [80008]);
}

#[test]
fn ended_connections_are_remembered_although_a_clock_is_behind() {
    let mut cluster = Cluster::new(2);
    cluster.step_clock(0, -3_600_000);
    let (alice, bob) = room(&mut cluster);
    cluster.advance_alive(3_000, &[alice, bob]);
    cluster.close(alice);
    cluster.advance_alive(3_000, &[bob]);
    let (again, outputs) = cluster.open(1, "alice", Some(alice));
    assert_eq!(outputs.error_codes(again), [80008]);
}

#[test]
fn members_leave_if_their_client_is_nowhere_after_a_race_of_two_nodes() {
    let mut cluster = Cluster::new(3);
    let (alice, bob) = room(&mut cluster);
    cluster.set_appends(0, Appends::Arrive);
    cluster.set_appends(2, Appends::Held);
    cluster.open(2, "alice", Some(alice));
    let again = cluster.resume(1, "alice", alice);
    let outputs = cluster.release(2);
    assert_eq!(outputs.closed, [again]);
    let outputs = cluster.advance_alive(14_000, &[bob]);
    assert_eq!(outputs.events_of(bob), NONE);
    let outputs = cluster.advance_alive(2_000, &[bob]);
    assert_eq!(outputs.events_of(bob), ["leave alice=a"]);
}

#[test]
fn rtp5_members_leave_if_the_client_comes_back_elsewhere_and_does_not_attach() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    let (again, _) = cluster.open(1, "alice", Some(alice));
    let outputs = cluster.advance_alive(14_000, &[bob, again]);
    assert_eq!(outputs.events_of(bob), NONE);
    let outputs = cluster.advance_alive(2_000, &[bob, again]);
    assert_eq!(outputs.events_of(bob), ["leave alice=a"]);
}

#[test]
fn rtl15b_an_attach_is_answered_when_the_node_knows_what_the_client_has_heard() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    cluster.lose(bob);
    cluster.set_deaf(1, true);
    let outputs = cluster.presence(alice, 1, 4, "b");
    let heard = outputs.frame_of(alice, Action::Presence).channel_serial.clone();
    let (carol, _) = cluster.open(1, "carol", None);
    let outputs = cluster.attach(carol, heard.as_deref());
    assert!(outputs.frames(carol).is_empty());
    let outputs = cluster.set_deaf(1, false);
    assert!(outputs.frame_of(carol, Action::Attached).channel_serial >= heard);
}

#[test]
fn rtl15b_a_client_that_moves_hears_no_older_serial() {
    let mut cluster = Cluster::new(2);
    let bob = cluster.join(0, "bob");
    cluster.recv(bob, json!({"action": 10, "channel": "other"}));
    cluster.recv(
        bob,
        json!({"action": 14, "channel": "other", "msgSerial": 0, "presence": [{"action": 2}]}),
    );
    let (carol, _) = cluster.open(1, "carol", None);
    let outputs = cluster.attach(carol, None);
    let heard = outputs.frame_of(carol, Action::Attached).channel_serial.clone();
    let (again, _) = cluster.open(0, "carol", Some(carol));
    let outputs = cluster.attach(again, heard.as_deref());
    assert!(outputs.frame_of(again, Action::Attached).channel_serial >= heard);
}

// Silence.

#[test]
fn nodes_with_nothing_to_say_are_not_taken_for_gone() {
    let mut cluster = Cluster::new(3);
    let (alice, bob) = room(&mut cluster);
    let outputs = cluster.advance_alive(60_000, &[alice, bob]);
    assert_eq!(outputs.events_of(bob), NONE);
    assert_eq!(cluster.fenced(), 0);
}

#[test]
fn grace_periods_count_from_the_last_sign_of_life_of_a_killed_node() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    cluster.advance_alive(60_000, &[alice, bob]);
    cluster.kill(0);
    let outputs = cluster.advance_alive(12_000, &[bob]);
    assert_eq!(outputs.events_of(bob), NONE);
    let outputs = cluster.advance_alive(4_000, &[bob]);
    assert_eq!(outputs.events_of(bob), ["leave alice=a"]);
}

#[test]
fn a_node_that_lags_takes_no_other_for_gone() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    cluster.set_deaf(1, true);
    cluster.advance_alive(8_000, &[alice]);
    let outputs = cluster.set_deaf(1, false);
    assert_eq!(outputs.events_of(bob), NONE);
    assert_eq!(cluster.node(0).counters().fenced, 0);
}

#[test]
fn nodes_that_were_all_without_the_log_do_not_take_each_other_for_gone() {
    let mut cluster = Cluster::holding(2);
    let (alice, bob) = room(&mut cluster);
    cluster.log_away(0);
    cluster.log_away(1);
    cluster.advance_alive(20_000, &[alice, bob]);
    cluster.log_back(1);
    cluster.log_back(0);
    cluster.advance_alive(5_000, &[alice, bob]);
    assert_eq!(cluster.fenced(), 0);
    assert_eq!(cluster.members(1), ["alice=a"]);
}

#[test]
fn a_node_that_was_fenced_for_a_moment_keeps_the_members_of_its_clients() {
    let mut cluster = Cluster::holding(2);
    let (alice, bob) = room(&mut cluster);
    cluster.log_away(0);
    cluster.advance_alive(8_000, &[alice, bob]);
    cluster.log_back(0);
    let outputs = cluster.advance_alive(60_000, &[alice, bob]);
    assert_eq!(cluster.fenced(), 1);
    assert_eq!(outputs.events_of(bob), NONE);
    let outputs = cluster.presence(alice, 1, 4, "b");
    assert_eq!(answers(&outputs, alice), [(ACK, 1)]);
}

#[test]
fn rtl12_a_client_learns_that_its_members_have_left_while_its_node_was_fenced() {
    let mut cluster = Cluster::holding(2);
    let (alice, bob) = room(&mut cluster);
    cluster.log_away(0);
    let outputs = cluster.advance_alive(20_000, &[alice, bob]);
    assert_eq!(outputs.events_of(bob), ["leave alice=a"]);
    let mut outputs = cluster.log_back(0);
    outputs.extend(cluster.advance_alive(1_000, &[alice, bob]));
    let attached = outputs.frame_of(alice, Action::Attached);
    assert!(!attached.flags().contains(Flags::RESUMED));
    let outputs = cluster.presence(alice, 1, 2, "a");
    assert_eq!(outputs.events_of(bob), ["enter alice=a"]);
}

#[test]
fn a_node_without_its_log_sends_its_clients_away() {
    let mut cluster = Cluster::new(2);
    let (alice, bob) = room(&mut cluster);
    cluster.log_away(0);
    let outputs = cluster.advance_alive(5_900, &[alice, bob]);
    assert_eq!(outputs.closed, [0; 0]);
    let outputs = cluster.advance_alive(200, &[bob]);
    outputs.frame_of(alice, Action::Disconnected);
    let again = cluster.resume(1, "alice", alice);
    let outputs = cluster.advance_alive(60_000, &[again, bob]);
    assert_eq!(outputs.events_of(bob), NONE);
}

#[test]
fn nobody_leaves_while_the_log_is_away_if_the_client_comes_back() {
    let mut cluster = Cluster::holding(1);
    let (alice, bob) = (cluster.join(0, "alice"), cluster.join(0, "bob"));
    cluster.presence(alice, 0, 2, "a");
    cluster.log_away(0);
    cluster.lose(alice);
    let mut outputs = cluster.advance_alive(60_000, &[bob]);
    let again = cluster.resume(0, "alice", alice);
    outputs.extend(cluster.log_back(0));
    outputs.extend(cluster.advance_alive(20_000, &[again, bob]));
    assert_eq!(outputs.events_of(bob), NONE);
}

#[test]
fn a_grace_period_that_would_end_while_the_log_is_away_lasts_anew() {
    let mut cluster = Cluster::holding(1);
    let (alice, bob) = (cluster.join(0, "alice"), cluster.join(0, "bob"));
    cluster.presence(alice, 0, 2, "a");
    cluster.lose(alice);
    cluster.advance_alive(5_000, &[bob]);
    cluster.log_away(0);
    cluster.advance_alive(30_000, &[bob]);
    cluster.log_back(0);
    let outputs = cluster.advance_alive(9_900, &[bob]);
    assert_eq!(outputs.events_of(bob), NONE);
    let outputs = cluster.advance_alive(7_000, &[bob]);
    assert_eq!(outputs.events_of(bob), ["leave alice=a"]);
}

#[test]
fn requests_are_refused_when_the_log_is_away_for_longer_than_they_wait() {
    let mut log = LogOptions::default();
    (log.without_log, log.wait) = (WithoutLog::Hold, Duration::from_secs(3));
    let mut options = ServerOptions::default();
    options.log = Some(log);
    let mut cluster = Cluster::with(2, options);
    let (alice, bob) = room(&mut cluster);
    cluster.log_away(0);
    cluster.presence(alice, 1, 4, "b");
    let outputs = cluster.advance_alive(2_900, &[alice, bob]);
    assert_eq!(answers(&outputs, alice), []);
    let outputs = cluster.advance_alive(200, &[alice, bob]);
    assert_eq!(answers(&outputs, alice), [(NACK, 1)]);
    assert_eq!(outputs.error_codes(alice), [50003]);
    cluster.attach(alice, Some(FIRST));
    cluster.log_back(0);
    assert_eq!(cluster.members(1), ["alice=a"]);
}
