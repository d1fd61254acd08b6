//! The connection's own members and their automatic re-entry: `presence/local_presence_map.md`,
//! `presence/realtime_presence_reentry.md`.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use presence_proto::client::ConnectionState;
use presence_proto::wire::PresenceAction::{self, Enter, Leave, Present, Update};
use presence_proto::wire::{Action, Flags, ProtocolMessage};

/// A host that is `conn-1`, may act for anyone, and is attached to the channel.
fn anyone() -> Host {
    let mut host = Host::new(options());
    host.answers.attach = Some(Flags::empty());
    host.answers.ack = true;
    host.answers.echo = true;
    host.answers.detach = true;
    host.input(presence_proto::client::Input::Connect);
    host.open();
    host.recv(connected_as_anyone("conn-1"));
    host.attach(CH);
    host.forget();
    host
}

fn recv(host: &mut Host, action: PresenceAction, client_id: &str, id: &str, data: &str) {
    host.recv(event(item(action, client_id, id, 1000).with_data(data)));
}

fn own_data(host: &Host, client_id: &str) -> Option<String> {
    text(&host.own_member(CH, client_id)?).map(String::from)
}

// The member of the new connection has a smaller message serial, as after a failed resume: they
// are not compared.
// UTS: realtime/unit/RTP17h/keyed-by-clientid-0
#[test]
fn rtp17h_own_members_are_keyed_by_client_id_alone() {
    let mut host = anyone();
    recv(&mut host, Enter, "user-1", "conn-1:0:0", "first");
    host.answers.ack = false;
    host.answers.echo = false;
    host.lose();
    host.open();
    host.recv(connected_as_anyone("conn-2"));
    recv(&mut host, Enter, "user-1", "conn-2:0:0", "second");
    assert_eq!(host.own_members(CH).len(), 1);
    let own = host.own_member(CH, "user-1").unwrap();
    assert_eq!((text(&own), own.connection_id.as_deref()), (Some("second"), Some("conn-2")));
}

// UTS: realtime/unit/RTP17b/enter-adds-to-map-0
#[test]
fn rtp17b_enter_adds() {
    let mut host = anyone();
    recv(&mut host, Enter, "client-1", "conn-1:0:0", "hello");
    assert_eq!(host.own_members(CH).len(), 1);
    let own = host.own_member(CH, "client-1").unwrap();
    assert_eq!((own.action, text(&own)), (Present, Some("hello")));
}

// UTS: realtime/unit/RTP17b/update-adds-to-map-1
#[test]
fn rtp17b_update_of_an_unknown_member_adds() {
    let mut host = anyone();
    recv(&mut host, Update, "client-1", "conn-1:0:0", "from-update");
    assert_eq!(host.own_members(CH).len(), 1);
    let own = host.own_member(CH, "client-1").unwrap();
    assert_eq!((own.action, text(&own)), (Present, Some("from-update")));
}

// UTS: realtime/unit/RTP17b/enter-overwrites-enter-2
#[test]
fn rtp17b_a_second_enter_overwrites() {
    let mut host = anyone();
    recv(&mut host, Enter, "client-1", "conn-1:0:0", "first");
    recv(&mut host, Enter, "client-1", "conn-1:1:0", "second");
    assert_eq!(host.own_members(CH).len(), 1);
    assert_eq!(own_data(&host, "client-1").as_deref(), Some("second"));
}

// UTS: realtime/unit/RTP17b/update-overwrites-enter-3
#[test]
fn rtp17b_update_overwrites() {
    let mut host = anyone();
    recv(&mut host, Enter, "client-1", "conn-1:0:0", "initial");
    recv(&mut host, Update, "client-1", "conn-1:1:0", "updated");
    assert_eq!(host.own_members(CH).len(), 1);
    let own = host.own_member(CH, "client-1").unwrap();
    assert_eq!((own.action, text(&own)), (Present, Some("updated")));
}

// UTS: realtime/unit/RTP17b/present-adds-to-map-4
#[test]
fn rtp17b_present_adds() {
    let mut host = anyone();
    recv(&mut host, Present, "client-1", "conn-1:0:0", "present");
    assert_eq!(own_data(&host, "client-1").as_deref(), Some("present"));
}

// UTS: realtime/unit/RTP17b/non-synthesized-leave-removes-5
#[test]
fn rtp17b_a_leave_of_the_member_itself_removes() {
    let mut host = anyone();
    recv(&mut host, Enter, "client-1", "conn-1:0:0", "here");
    assert_eq!(host.own_members(CH).len(), 1);
    recv(&mut host, Leave, "client-1", "conn-1:1:0", "gone");
    assert_eq!(host.own_members(CH), []);
}

// UTS: realtime/unit/RTP17b/synthesized-leave-ignored-6
#[test]
fn rtp17b_a_synthesized_leave_is_ignored() {
    let mut host = anyone();
    recv(&mut host, Enter, "client-1", "conn-1:0:0", "entered");
    host.recv(event(made_up(Leave, "client-1", "conn-1", "made-up", 2000)));
    assert_eq!(own_data(&host, "client-1").as_deref(), Some("entered"));
    assert_eq!(host.members_now(), [], "the public set takes it in");
}

// UTS: realtime/unit/RTP17/multiple-clientids-coexist-0
#[test]
fn rtp17_one_connection_may_have_many_members() {
    let mut host = anyone();
    for (index, name) in ["alice", "bob", "carol"].into_iter().enumerate() {
        recv(&mut host, Enter, name, &format!("conn-1:0:{index}"), name);
    }
    assert_eq!(names(&host.own_members(CH)), ["alice", "bob", "carol"]);
    for name in ["alice", "bob", "carol"] {
        assert_eq!(own_data(&host, name).as_deref(), Some(name));
    }
}

// UTS: realtime/unit/RTP17/remove-one-of-multiple-1
#[test]
fn rtp17_one_of_many_members_may_leave() {
    let mut host = anyone();
    recv(&mut host, Enter, "alice", "conn-1:0:0", "a");
    recv(&mut host, Enter, "bob", "conn-1:0:1", "b");
    recv(&mut host, Leave, "alice", "conn-1:1:0", "a");
    assert_eq!(names(&host.own_members(CH)), ["bob"]);
}

// UTS: realtime/unit/RTP17/clear-resets-state-2
#[test]
fn rtp5a_own_members_are_forgotten_when_the_channel_is_detached() {
    let mut host = anyone();
    recv(&mut host, Enter, "alice", "conn-1:0:0", "a");
    recv(&mut host, Enter, "bob", "conn-1:0:1", "b");
    assert_eq!(host.own_members(CH).len(), 2);
    let op = host.detach(CH);
    host.ok(op);
    assert_eq!(host.own_members(CH), []);
    host.forget();
    host.attach(CH);
    assert_eq!(host.sent_items(), [], "no re-entry");
}

// UTS: realtime/unit/RTP17/get-null-unknown-clientid-3
#[test]
fn rtp17_members_of_other_connections_are_not_own_members() {
    let mut host = anyone();
    assert_eq!(host.own_member(CH, "nobody"), None);
    recv(&mut host, Enter, "nobody", "conn-9:0:0", "of another connection");
    assert_eq!(host.own_member(CH, "nobody"), None);
}

// UTS: realtime/unit/RTP17/remove-unknown-noop-4
#[test]
fn rtp17_a_leave_of_another_member_changes_nothing() {
    let mut host = anyone();
    recv(&mut host, Enter, "alice", "conn-1:0:0", "a");
    recv(&mut host, Leave, "nobody", "conn-1:1:0", "n");
    assert_eq!(names(&host.own_members(CH)), ["alice"]);
}

/// A host that is `my-client`, attached and entered with `hello`.
fn entered() -> Host {
    let mut host = Host::answered(options_of("my-client"));
    host.answers.echo = true;
    host.attach(CH);
    let op = host.enter("hello");
    host.ok(op);
    assert_eq!(host.sent_items().len(), 1);
    host.forget();
    host
}

// UTS: realtime/unit/RTP17i/auto-reentry-on-attached-0
#[test]
fn rtp17i_own_members_are_entered_again_on_attached() {
    let mut host = entered();
    host.reconnect("conn-2", "key-2");
    let items = host.sent_items();
    assert_eq!(actions(&items), [Enter]);
    assert_eq!(text(&items[0]), Some("hello"));
}

// The published case enters others as an identified client, which RTP15f forbids: here the client
// may act for anyone.
// UTS: realtime/unit/RTP17g/reentry-publishes-enter-with-data-0
#[test]
fn rtp17g_a_reentry_carries_client_id_and_data() {
    let mut host = anyone();
    host.change(Enter, Some("alice"), Some("alice-data"));
    host.change(Enter, Some("bob"), Some("bob-data"));
    assert_eq!(host.sent_items().len(), 2);
    host.lose();
    host.open();
    host.recv(connected_as_anyone("conn-2"));
    let items = host.sent_items();
    assert_eq!(actions(&items), [Enter, Enter]);
    assert_eq!(names(&items), ["alice", "bob"]);
    assert_eq!((text(&items[0]), text(&items[1])), (Some("alice-data"), Some("bob-data")));
}

// UTS: realtime/unit/RTP17g1/reentry-omits-id-new-connid-0
#[test]
fn rtp17g1_a_reentry_keeps_the_id_only_while_the_connection_is_the_same() {
    let mut host = entered();
    host.reconnect("conn-1", "key-2");
    let items = host.sent_items();
    assert_eq!(actions(&items), [Enter]);
    assert_eq!(items[0].id.as_deref(), Some("conn-1:0:0"));
    host.reconnect("conn-2", "key-3");
    let items = host.sent_items();
    assert_eq!(actions(&items), [Enter]);
    assert_eq!((items[0].id.as_deref(), text(&items[0])), (None, Some("hello")));
}

// UTS: realtime/unit/RTP17i/no-reentry-with-resumed-flag-1
#[test]
fn rtp17i_no_reentry_on_a_further_attached_that_is_resumed() {
    let mut host = entered();
    host.recv(attached(CH, Flags::RESUMED));
    assert_eq!(host.sent(), []);
    host.recv(attached(CH, Flags::empty()));
    assert_eq!(actions(&host.sent_items()), [Enter], "not resumed");
}

// UTS: realtime/unit/RTP17e/failed-reentry-emits-update-error-0
#[test]
fn rtp17e_a_failed_reentry_is_an_update_with_91004() {
    let mut host = entered();
    host.answers.ack = false;
    host.answers.echo = false;
    host.reconnect("conn-2", "key-2");
    let frame = host.sent_of(Action::Presence).pop().unwrap();
    host.forget();
    host.recv(ProtocolMessage::nack(frame.msg_serial.unwrap(), 1, refused()));
    let events = host.channel_events(CH);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event.name(), "update");
    assert!(events[0].resumed);
    let reason = events[0].reason.clone().unwrap();
    assert_eq!(reason.code, 91004);
    assert!(reason.message.contains("my-client"));
    assert_eq!(reason.cause.unwrap().code, 40160);
    assert_eq!(host.state(), ConnectionState::Connected);
}

// UTS: realtime/unit/RTP17a/server-publishes-without-subscribe-0
#[test]
fn rtp17a_own_members_are_received_without_presence_subscribe() {
    let mut host = Host::answered(options_of("my-client"));
    host.answers.attach = Some(Flags::PRESENCE);
    host.answers.echo = true;
    host.attach(CH);
    let op = host.enter("hello");
    host.ok(op);
    assert_eq!(names(&host.members_now()), ["my-client"]);
    assert_eq!(names(&host.own_members(CH)), ["my-client"]);
}
