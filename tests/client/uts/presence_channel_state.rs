//! The effect of channel states on presence: `presence/realtime_presence_channel_state.md`.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use presence_proto::client::{ChannelState, Input};
use presence_proto::wire::PresenceAction::{Enter, Leave};
use presence_proto::wire::{Action, Flags, ProtocolMessage};

/// An attached host whose channel has alice and bob.
fn two_members() -> Host {
    let mut host = Host::answered(options_of("my-client"));
    host.answers.attach = Some(Flags::HAS_PRESENCE);
    host.attach(CH);
    host.recv(sync("seq1:", vec![present("alice", "c1:0:0"), present("bob", "c2:0:0")]));
    assert_eq!(names(&host.members_now()), ["alice", "bob"]);
    host.subscribe(1, &[Leave]);
    host.forget();
    host
}

/// A host whose channel is attaching, with a queued enter and update.
fn waiting() -> (Host, [presence_proto::OpId; 2]) {
    let mut host = Host::unanswered(options_of("my-client"));
    host.attach(CH);
    assert_eq!(host.channel_state(CH), ChannelState::Attaching);
    let enter = host.enter("queued");
    let update = host.op(|op| Input::update(op, CH, Some("queued-update".into())));
    assert_eq!(host.sent_items(), []);
    (host, [enter, update])
}

// UTS: realtime/unit/RTP1/has-presence-triggers-sync-0
#[test]
fn rtp1_has_presence_announces_a_sync() {
    let mut host = Host::answered(options());
    host.answers.attach = Some(Flags::HAS_PRESENCE);
    host.attach(CH);
    let op = host.get();
    assert!(host.is_pending(op));
    host.recv(sync("seq1:", vec![present("alice", "c1:0:0")]));
    assert_eq!(names(&host.members(op)), ["alice"]);
    assert!(host.is_sync_complete(CH));
}

// UTS: realtime/unit/RTP1/no-has-presence-empty-1
#[test]
fn rtp1_without_has_presence_the_set_is_in_sync_and_empty() {
    let mut host = Host::answered(options());
    host.attach(CH);
    let op = host.get();
    assert_eq!(host.members(op), []);
    assert!(host.is_sync_complete(CH));
}

// UTS: realtime/unit/RTP1/no-has-presence-clears-existing-2
#[test]
fn rtp19a_without_has_presence_all_members_leave() {
    let mut host = two_members();
    host.answers.attach = Some(Flags::empty());
    host.reconnect("conn-2", "key-2");
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    let op = host.get();
    assert_eq!(host.members(op), []);
    let leaves = host.presence_events();
    assert_eq!((names(&leaves), actions(&leaves)), (vec!["alice", "bob"], vec![Leave, Leave]));
    assert!(leaves.iter().all(|leave| leave.id.is_none()));
}

// UTS: realtime/unit/RTP5a/detached-clears-presence-maps-0
#[test]
fn rtp5a_members_are_forgotten_on_detached_without_leaves() {
    let mut host = two_members();
    let op = host.detach(CH);
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
    assert_eq!(host.presence_events(), []);
    assert_eq!(host.client.channel(CH).unwrap().members().count(), 0);
}

// UTS: realtime/unit/RTP5a/failed-clears-presence-maps-1
#[test]
fn rtp5a_members_are_forgotten_on_failed_without_leaves() {
    let mut host = two_members();
    host.recv(channel_error(CH, refused()));
    assert_eq!(host.channel_state(CH), ChannelState::Failed);
    assert_eq!(host.presence_events(), []);
    assert_eq!(host.client.channel(CH).unwrap().members().count(), 0);
}

// UTS: realtime/unit/RTP5b/attached-sends-queued-presence-0
#[test]
fn rtp5b_queued_presence_is_sent_on_attached() {
    let (mut host, [enter, update]) = waiting();
    host.answers.ack = true;
    host.recv(attached(CH, Flags::empty()));
    host.ok(enter);
    host.ok(update);
    let items = host.sent_items();
    assert_eq!(items[0].action, Enter);
    assert_eq!((text(&items[0]), text(&items[1])), (Some("queued"), Some("queued-update")));
}

// UTS: realtime/unit/RTP5f/suspended-maintains-presence-map-0
#[test]
fn rtp5f_members_stay_known_while_suspended() {
    let mut host = two_members();
    host.suspend();
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
    assert_eq!(names(&host.members_now()), ["alice", "bob"]);
    assert_eq!(host.presence_events(), []);
}

// UTS: realtime/unit/RTP13/sync-complete-attribute-0
#[test]
fn rtp13_sync_complete_is_set_after_the_first_sync() {
    let mut host = Host::answered(options());
    host.answers.attach = Some(Flags::HAS_PRESENCE);
    host.attach(CH);
    assert!(!host.is_sync_complete(CH));
    host.recv(sync("seq1:cursor1", vec![present("alice", "c1:0:0")]));
    assert!(!host.is_sync_complete(CH));
    host.recv(sync("seq1:", vec![present("bob", "c2:0:0")]));
    assert!(host.is_sync_complete(CH));
}

// UTS: realtime/unit/RTL11/queued-presence-fail-detached-0
#[test]
fn rtl11_presence_fails_when_the_channel_becomes_detached() {
    let (mut host, waiting) = waiting();
    host.answers.detach = true;
    host.lose();
    assert!(waiting.iter().all(|op| host.is_pending(*op)));
    let op = host.detach(CH);
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
    for op in waiting {
        host.err(op);
    }
    let op = host.enter("late");
    host.err(op);
    assert_eq!(host.sent_items(), []);
}

// UTS: realtime/unit/RTL11/queued-presence-fail-suspended-1
#[test]
fn rtl11_presence_fails_when_the_channel_becomes_suspended() {
    let (mut host, waiting) = waiting();
    host.suspend();
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
    for op in waiting {
        host.err(op);
    }
    assert_eq!(host.sent_items(), []);
}

// UTS: realtime/unit/RTL11/queued-presence-fail-failed-2
#[test]
fn rtl11_presence_fails_when_the_channel_becomes_failed() {
    let (mut host, waiting) = waiting();
    host.recv(channel_error(CH, refused()));
    assert_eq!(host.channel_state(CH), ChannelState::Failed);
    for op in waiting {
        host.err(op);
    }
    assert_eq!(host.sent_items(), []);
}

// UTS: realtime/unit/RTL11a/ack-nack-unaffected-by-state-0
#[test]
fn rtl11a_an_acknowledgement_counts_whatever_the_channel_state() {
    let mut host = Host::answered(options_of("my-client"));
    host.answers.ack = false;
    host.attach(CH);
    host.forget();
    let acked = host.enter("awaiting-ack");
    let nacked = host.op(|op| Input::update(op, CH, None));
    let serials: Vec<_> =
        host.sent_of(Action::Presence).iter().map(|frame| frame.msg_serial.unwrap()).collect();
    host.detach(CH);
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
    assert!(host.is_pending(acked) && host.is_pending(nacked));
    host.recv(ProtocolMessage::ack(serials[0], 1));
    host.ok(acked);
    host.recv(ProtocolMessage::nack(serials[1], 1, refused()));
    assert_eq!(host.err(nacked).code, 40160);
}
