//! Entering, updating, leaving: `presence/realtime_presence_enter.md`.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use presence_proto::client::{ChannelState, ConnectionState, Input};
use presence_proto::wire::PresenceAction::{Enter, Leave, Present, Update};
use presence_proto::wire::{Action, Flags, ProtocolMessage};

/// A host that is `my-client` and attached.
fn attached_host() -> Host {
    let mut host = Host::answered(options_of("my-client"));
    host.attach(CH);
    host.forget();
    host
}

/// A host that may act for anyone, whose far end answers everything. Not attached.
fn anyone() -> Host {
    let mut host = Host::new(options());
    host.answers.attach = Some(Flags::empty());
    host.answers.ack = true;
    host.input(Input::Connect);
    host.open();
    host.recv(connected_as_anyone("conn-1"));
    host.forget();
    host
}

// UTS: realtime/unit/RTP8a/enter-sends-presence-enter-0
#[test]
fn rtp8a_enter_sends_one_item_without_a_client_id() {
    let mut host = attached_host();
    let op = host.op(|op| Input::enter(op, CH, None));
    host.ok(op);
    let frame = host.sent_one();
    assert_eq!((frame.action, frame.channel.as_deref()), (Action::Presence, Some(CH)));
    assert_eq!(frame.presence.len(), 1);
    assert_eq!((frame.presence[0].action, &frame.presence[0].client_id), (Enter, &None));
    assert_eq!(frame.presence[0].data, None);
}

// UTS: realtime/unit/RTP8e/enter-with-data-0
#[test]
fn rtp8e_enter_carries_data() {
    let mut host = attached_host();
    let op = host.enter("hello world");
    host.ok(op);
    let items = host.sent_items();
    assert_eq!(actions(&items), [Enter]);
    assert_eq!(text(&items[0]), Some("hello world"));
}

// UTS: realtime/unit/RTP8d/enter-implicitly-attaches-0
#[test]
fn rtp8d_enter_attaches_an_initialized_channel() {
    let mut host = Host::answered(options_of("my-client"));
    assert_eq!(host.channel_state(CH), ChannelState::Initialized);
    let op = host.enter("hello");
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(actions_of(&host.sent()), [Action::Attach, Action::Presence]);
}

// UTS: realtime/unit/RTP8g/enter-detached-failed-errors-0
#[test]
fn rtp8g_enter_on_a_detached_or_failed_channel_fails_at_once() {
    let mut host = attached_host();
    host.detach(CH);
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
    host.forget();
    let op = host.enter("hello");
    host.err(op);
    assert_eq!(host.sent(), []);

    let mut host = Host::unanswered(options_of("my-client"));
    let attach = host.attach(CH);
    host.recv(channel_error(CH, refused()));
    host.err(attach);
    assert_eq!(host.channel_state(CH), ChannelState::Failed);
    host.forget();
    let op = host.enter("hello");
    host.err(op);
    assert_eq!(host.sent(), []);
}

// UTS: realtime/unit/RTP8j/enter-null-clientid-errors-0
#[test]
fn rtp8j_enter_without_a_client_id_fails() {
    let mut host = Host::answered(options());
    host.attach(CH);
    host.forget();
    let op = host.enter("hello");
    assert_eq!(host.err(op).code, 40012);
    assert_eq!(host.sent(), []);
}

// A client learns that it is a wildcard from CONNECTED: RSA7c forbids it in the options.
// UTS: realtime/unit/RTP8j/enter-wildcard-clientid-errors-1
#[test]
fn rtp8j_enter_of_a_wildcard_client_without_a_client_id_fails() {
    let mut host = anyone();
    host.attach(CH);
    host.forget();
    let op = host.enter("hello");
    host.err(op);
    assert_eq!(host.sent(), []);
}

// UTS: realtime/unit/RTP8h/nack-presence-permission-denied-0
#[test]
fn rtp8h_a_nack_fails_the_operation() {
    let mut host = attached_host();
    host.answers.ack = false;
    let op = host.enter("hello");
    assert!(host.is_pending(op));
    let serial = host.sent_one().msg_serial.unwrap();
    host.recv(ProtocolMessage::nack(serial, 1, refused()));
    assert_eq!(host.err(op).code, 40160);
}

// UTS: realtime/unit/RTP9a/update-sends-presence-update-0
#[test]
fn rtp9a_update_sends_one_item_without_a_client_id() {
    let mut host = attached_host();
    let op = host.op(|op| Input::update(op, CH, Some("new-status".into())));
    host.ok(op);
    let items = host.sent_items();
    assert_eq!(actions(&items), [Update]);
    assert_eq!((text(&items[0]), &items[0].client_id), (Some("new-status"), &None));
}

// UTS: realtime/unit/RTP10a/leave-sends-presence-leave-0
#[test]
fn rtp10a_leave_sends_one_item_without_a_client_id() {
    let mut host = attached_host();
    let op = host.op(|op| Input::leave(op, CH, None));
    host.ok(op);
    let items = host.sent_items();
    assert_eq!(actions(&items), [Leave]);
    assert_eq!((&items[0].data, &items[0].client_id), (&None, &None));
}

// UTS: realtime/unit/RTP10a/leave-with-data-1
#[test]
fn rtp10a_leave_carries_data() {
    let mut host = attached_host();
    let op = host.op(|op| Input::leave(op, CH, Some("goodbye".into())));
    host.ok(op);
    let items = host.sent_items();
    assert_eq!(actions(&items), [Leave]);
    assert_eq!(text(&items[0]), Some("goodbye"));
}

// UTS: realtime/unit/RTP14a/enterclient-on-behalf-0
#[test]
fn rtp14a_a_wildcard_client_enters_others() {
    let mut host = anyone();
    host.attach(CH);
    host.forget();
    for (name, data) in [("user-alice", "alice-data"), ("user-bob", "bob-data")] {
        let op = host.change(Enter, Some(name), Some(data));
        host.ok(op);
        let frame = host.sent_one();
        assert_eq!(actions(&frame.presence), [Enter]);
        assert_eq!(names(&frame.presence), [name]);
        assert_eq!(text(&frame.presence[0]), Some(data));
    }
}

// UTS: realtime/unit/RTP15a/updateclient-leaveclient-0
#[test]
fn rtp15a_a_wildcard_client_updates_and_leaves_others() {
    let mut host = anyone();
    host.attach(CH);
    for (action, data) in [(Enter, "entered"), (Update, "updated"), (Leave, "leaving")] {
        host.forget();
        let op = host.change(action, Some("user-1"), Some(data));
        host.ok(op);
        let items = host.sent_items();
        assert_eq!(actions(&items), [action]);
        assert_eq!((names(&items), text(&items[0])), (vec!["user-1"], Some(data)));
    }
}

// UTS: realtime/unit/RTP15e/enterclient-implicitly-attaches-0
#[test]
fn rtp15e_entering_another_attaches_an_initialized_channel() {
    let mut host = anyone();
    assert_eq!(host.channel_state(CH), ChannelState::Initialized);
    let op = host.change(Enter, Some("user-1"), None);
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
}

// UTS: realtime/unit/RTP15f/enterclient-mismatched-clientid-0
#[test]
fn rtp15f_an_identified_client_cannot_enter_another() {
    let mut host = attached_host();
    let op = host.change(Enter, Some("other-client"), None);
    assert_eq!(host.err(op).code, 40012);
    assert_eq!(host.sent(), []);
    assert_eq!(host.state(), ConnectionState::Connected);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
}

// UTS: realtime/unit/RTP16a/presence-sent-when-attached-0
#[test]
fn rtp16a_presence_of_an_attached_channel_is_sent_at_once() {
    let mut host = attached_host();
    host.answers.ack = false;
    host.enter("hello");
    assert_eq!(host.sent_items().len(), 1);
}

// UTS: realtime/unit/RTP16b/presence-queued-when-attaching-0
#[test]
fn rtp16b_presence_of_an_attaching_channel_is_queued() {
    let mut host = Host::unanswered(options_of("my-client"));
    host.answers.ack = true;
    host.attach(CH);
    let op = host.enter("hello");
    assert_eq!(host.sent_items(), []);
    host.recv(attached(CH, Flags::empty()));
    host.ok(op);
    assert_eq!(actions(&host.sent_items()), [Enter]);
}

// DETACHED while attaching leads to SUSPENDED (RTL13b); DETACHED is reached by `detach`.
// UTS: realtime/unit/RTP16c/presence-errors-other-states-0
#[test]
fn rtp16c_presence_of_a_channel_in_another_state_fails() {
    for action in [Enter, Update, Leave] {
        let mut host = Host::answered(options_of("my-client"));
        host.attach(CH);
        host.detach(CH);
        let op = host.change(action, None, None);
        host.err(op);

        let mut host = Host::unanswered(options_of("my-client"));
        host.attach(CH);
        host.recv(detached(CH, Some(refused())));
        assert_eq!(host.channel_state(CH), ChannelState::Suspended);
        let op = host.change(action, None, None);
        host.err(op);
    }
}

// The published case has a wildcard client enter itself, which RTP8j forbids: here it enters `main`
// by name, and operations for `other` leave that member unchanged.
// UTS: realtime/unit/RTP15c/enterclient-no-side-effects-0
#[test]
fn rtp15c_an_operation_for_one_client_id_does_not_affect_others() {
    let mut host = anyone();
    host.answers.echo = true;
    host.attach(CH);
    host.change(Enter, Some("main"), Some("main-client"));
    host.change(Enter, Some("other"), Some("other-data"));
    host.change(Leave, Some("other"), None);
    let items = host.sent_items();
    assert_eq!(actions(&items), [Enter, Enter, Leave]);
    assert_eq!(names(&items), ["main", "other", "other"]);
    assert_eq!(names(&host.own_members(CH)), ["main"]);
    let members = host.members_now();
    assert_eq!((names(&members), text(&members[0])), (vec!["main"], Some("main-client")));
}

const MANY: i64 = 250;

// UTS: realtime/unit/RTP4/bulk-enterclient-same-connection-0
#[test]
fn rtp4_many_members_of_one_connection() {
    let mut host = anyone();
    host.answers.attach = Some(Flags::HAS_PRESENCE);
    host.answers.echo = true;
    host.attach(CH);
    host.subscribe(1, &[Enter]);
    let mut members = Vec::new();
    for n in 0..MANY {
        let (name, data) = (format!("user-{n}"), format!("data-{n}"));
        let op = host.change(Enter, Some(&name), Some(&data));
        host.ok(op);
        members.push(present(&name, &format!("conn-1:{n}:0")).with_data(data));
    }
    assert_eq!(host.sent_items().len(), members.len());
    assert_eq!(host.presence_events().len(), members.len());
    let op = host.get();
    assert!(host.is_pending(op));
    host.recv(sync("seq1:", members.clone()));
    let found = host.members(op);
    assert_eq!(found.len(), members.len());
    for member in found {
        assert!(members.iter().any(|m| m.client_id == member.client_id && m.data == member.data));
    }
}

// UTS: realtime/unit/RTP4/bulk-enterclient-diff-connections-1
#[test]
fn rtp4_another_connection_receives_many_members() {
    let mut host = anyone();
    host.attach(CH);
    for n in 0..MANY {
        let op = host.change(Enter, Some(&format!("user-{n}")), Some(&format!("data-{n}")));
        host.ok(op);
    }
    let items = host.sent_items();
    assert_eq!(items.len(), MANY as usize);

    let mut observer = Host::answered(options());
    observer.answers.attach = Some(Flags::HAS_PRESENCE);
    observer.attach(CH);
    observer.subscribe(1, &[Enter]);
    let delivered = |n: usize, action| {
        let mut item = items[n].clone();
        item.action = action;
        item.connection_id = Some("conn-A".into());
        item.id = Some(format!("conn-A:{n}:0").into());
        item.timestamp = Some(observer_time());
        item
    };
    for n in 0..items.len() {
        observer.recv(event(delivered(n, Enter)));
    }
    assert_eq!(observer.presence_events().len(), items.len());
    observer.recv(sync("seq1:", (0..items.len()).map(|n| delivered(n, Present)).collect()));
    let op = observer.get();
    let found = observer.members(op);
    assert_eq!(found.len(), items.len());
    for member in found {
        assert_eq!(member.connection_id.as_deref(), Some("conn-A"));
        assert!(items.iter().any(|m| m.client_id == member.client_id && m.data == member.data));
    }
    assert_eq!(observer.presence_events(), [], "the sync brought nothing new");
}

const fn observer_time() -> presence_proto::UnixMillis {
    presence_proto::UnixMillis::from_millis(EPOCH)
}
