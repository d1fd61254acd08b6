//! Message serials, queueing and resending: `channels/channel_publish.md`,
//! `channels/message_field_population.md`.
//!
//! Where the published cases publish, the application sends a frame of its own.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use presence_proto::OpId;
use presence_proto::client::{ChannelState, ClientOptions, ConnectionState, Input};
use presence_proto::wire::PresenceAction::Enter;
use presence_proto::wire::{
    Action, Data, ErrorInfo, Flags, Format, Message, PresenceMessage, ProtocolMessage, Value,
};

fn publish(host: &mut Host, name: &str) -> OpId {
    let mut message = Message::default();
    message.name = Some(name.into());
    message.data = Some(Data::from("data"));
    let mut frame = ProtocolMessage::on_channel(Action::Message, CH);
    frame.messages = vec![message];
    host.op(|op| Input::send(op, Box::new(frame)))
}

/// Names and serials of the messages sent since the last call.
fn published(host: &mut Host) -> Vec<(String, i64)> {
    host.sent_of(Action::Message)
        .iter()
        .map(|frame| {
            (frame.messages[0].name.as_ref().unwrap().to_string(), frame.msg_serial.unwrap())
        })
        .collect()
}

fn names_and(serials: &[(&str, i64)]) -> Vec<(String, i64)> {
    serials.iter().map(|(name, serial)| ((*name).into(), *serial)).collect()
}

/// An attached host whose far end acknowledges nothing.
fn attached_host(options: ClientOptions) -> Host {
    let mut host = Host::answered(options);
    host.answers.ack = false;
    host.attach(CH);
    host.forget();
    host
}

// UTS: realtime/unit/RTL6i3/null-fields-json-0
// UTS: realtime/unit/RTL6i3/null-fields-msgpack-1
#[test]
fn rtl6i3_absent_fields_are_not_sent() {
    let mut host = attached_host(options_of("me"));
    host.op(|op| Input::enter(op, CH, None));
    let frame = host.sent_one();
    let text = String::from_utf8(frame.encode(Format::Json)).unwrap();
    let value = Value::parse_json(&text).unwrap();
    let fields: Vec<_> = value.as_object().unwrap().iter().map(|(name, _)| name).collect();
    assert_eq!(fields.len(), 4, "{fields:?}");
    assert!(["action", "channel", "msgSerial", "presence"].iter().all(|f| fields.contains(f)));
    let items = value.get("presence").and_then(Value::as_array).unwrap();
    assert_eq!(items[0].to_json(), r#"{"action":2}"#);
    let bytes = frame.encode(Format::MessagePack);
    assert!(!bytes.contains(&0xc0), "nil");
    assert_eq!(ProtocolMessage::decode(Format::MessagePack, &bytes).unwrap(), frame);
}

// UTS: realtime/unit/RTL6c1/publish-when-attached-0
// UTS: realtime/unit/RTL6c1/publish-when-attaching-1
// UTS: realtime/unit/RTL6c1/publish-when-initialized-2
// UTS: realtime/unit/RTL6c5/no-implicit-attach-0
#[test]
fn rtl6c1_a_connected_client_sends_at_once_and_does_not_attach() {
    let mut host = Host::unanswered(options());
    publish(&mut host, "initialized");
    assert_eq!(host.channel_state(CH), ChannelState::Initialized);
    assert_eq!(host.sent_one().action, Action::Message);
    host.attach(CH);
    publish(&mut host, "attaching");
    host.recv(attached(CH, Flags::empty()));
    publish(&mut host, "attached");
    assert_eq!(published(&mut host), names_and(&[("attaching", 1), ("attached", 2)]));
}

// UTS: realtime/unit/RTL6c2/queued-when-connecting-0
// UTS: realtime/unit/RTL6c2/queued-when-initialized-2
// UTS: realtime/unit/RTL6c2/queued-messages-order-4
#[test]
fn rtl6c2_messages_wait_for_a_connection_in_order() {
    let mut host = Host::new(options());
    host.answers.ack = true;
    let first = publish(&mut host, "one");
    host.input(Input::Connect);
    let second = publish(&mut host, "two");
    host.open();
    let third = publish(&mut host, "three");
    assert_eq!(host.sent(), []);
    host.recv(connected("conn-1", "key-1"));
    assert_eq!(published(&mut host), names_and(&[("one", 0), ("two", 1), ("three", 2)]));
    for op in [first, second, third] {
        host.ok(op);
    }
}

// UTS: realtime/unit/RTL6c2/queued-when-disconnected-1
#[test]
fn rtl6c2_messages_wait_while_disconnected() {
    let mut host = attached_host(options());
    host.lose();
    host.refuse();
    assert_eq!(host.state(), ConnectionState::Disconnected);
    let op = publish(&mut host, "later");
    assert_eq!(host.sent(), []);
    host.answers.ack = true;
    host.advance_until_opening();
    host.accept("conn-1", "key-2");
    assert_eq!(published(&mut host), names_and(&[("later", 0)]));
    host.ok(op);
}

// UTS: realtime/unit/RTL6c4/fails-conn-suspended-0
// UTS: realtime/unit/RTL6c4/fails-conn-closed-1
// UTS: realtime/unit/RTL6c4/fails-conn-failed-2
#[test]
fn rtl6c4_messages_fail_if_no_connection_will_come() {
    let mut suspended = Host::unanswered(options());
    suspended.suspend();
    let mut closed = Host::answered(options());
    closed.input(Input::Close);
    let mut failed = Host::unanswered(options());
    failed.recv_last(ProtocolMessage::error(ErrorInfo::new(80000, 400, "fatal")));
    let states = [ConnectionState::Suspended, ConnectionState::Closed, ConnectionState::Failed];
    for (mut host, state) in [suspended, closed, failed].into_iter().zip(states) {
        assert_eq!(host.state(), state);
        let op = publish(&mut host, "never");
        host.err(op);
    }
}

// UTS: realtime/unit/RTL6c4/fails-channel-suspended-3
// UTS: realtime/unit/RTL6c4/fails-channel-failed-4
#[test]
fn rtl6c4_messages_of_a_suspended_or_failed_channel_fail() {
    for (frame, state) in [
        (detached(CH, Some(refused())), ChannelState::Suspended),
        (channel_error(CH, refused()), ChannelState::Failed),
    ] {
        let mut host = Host::unanswered(options());
        host.attach(CH);
        host.recv(frame);
        assert_eq!(host.channel_state(CH), state);
        host.forget();
        let op = publish(&mut host, "never");
        host.err(op);
        assert_eq!(host.sent(), []);
    }
}

// UTS: realtime/unit/RTL6c2/fails-no-queue-messages-3
#[test]
fn rtl6c2_messages_are_not_queued_if_the_options_forbid_it() {
    let mut options = options();
    options.queue_messages = false;
    let mut host = Host::new(options);
    host.input(Input::Connect);
    let op = publish(&mut host, "never");
    host.err(op);
    host.accept("conn-1", "key-1");
    assert_eq!(host.sent(), []);
}

// UTS: realtime/unit/RTL6j/incrementing-msg-serial-2
#[test]
fn rtn7b_messages_and_presence_share_the_serials() {
    let mut host = attached_host(options_of("me"));
    publish(&mut host, "one");
    host.enter("hello");
    publish(&mut host, "two");
    let serials: Vec<_> = host.sent().iter().map(|frame| frame.msg_serial).collect();
    assert_eq!(serials, [Some(0), Some(1), Some(2)]);
}

// UTS: realtime/unit/RTL6j/nack-results-error-3
#[test]
fn rtn7a_a_nack_fails_a_message() {
    let mut host = attached_host(options());
    let op = publish(&mut host, "one");
    host.recv(ProtocolMessage::nack(0, 1, refused()));
    assert_eq!(host.err(op), refused());
}

/// A host with two messages and an enter that were sent and not acknowledged.
fn pending(options: ClientOptions) -> (Host, [OpId; 3]) {
    let mut host = attached_host(options);
    let ops = [publish(&mut host, "one"), publish(&mut host, "two"), host.enter("hello")];
    host.forget();
    (host, ops)
}

// UTS: realtime/unit/RTN7e/pending-fail-suspended-0
// UTS: realtime/unit/RTN7e/pending-fail-closed-1
// UTS: realtime/unit/RTN7e/pending-fail-failed-2
// UTS: realtime/unit/RTN7e/multiple-pending-fail-3
// UTS: realtime/unit/RTN7e/error-represents-reason-4
#[test]
fn rtn7e_unacknowledged_operations_fail_with_the_connection() {
    let (mut host, ops) = pending(options_of("me"));
    host.suspend();
    for op in ops {
        host.err(op);
    }

    let (mut host, ops) = pending(options_of("me"));
    host.input(Input::Close);
    assert_eq!(host.state(), ConnectionState::Closed);
    for op in ops {
        host.err(op);
    }

    let (mut host, ops) = pending(options_of("me"));
    let reason = ErrorInfo::new(80019, 400, "closed by an administrator");
    host.recv_last(ProtocolMessage::error(reason.clone()));
    assert_eq!(host.state(), ConnectionState::Failed);
    for op in ops {
        assert_eq!(host.err(op), reason);
    }
}

// UTS: realtime/unit/RTN7d/fail-disconnected-no-queue-0
#[test]
fn rtn7d_without_queueing_unacknowledged_operations_fail_at_once() {
    let mut options = options_of("me");
    options.queue_messages = false;
    let (mut host, ops) = pending(options);
    host.lose();
    for op in ops {
        host.err(op);
    }
}

// UTS: realtime/unit/RTN7d/survive-disconnected-queue-1
// UTS: realtime/unit/RTN19a/resent-on-new-transport-0
// UTS: realtime/unit/RTN19a2/same-serial-on-resume-0
#[test]
fn rtn19a2_after_a_resume_messages_are_sent_again_with_their_serials() {
    let (mut host, ops) = pending(options_of("me"));
    host.answers.attach = None;
    host.lose();
    assert!(ops.iter().all(|op| host.is_pending(*op)));
    host.accept("conn-1", "key-2");
    assert_eq!(published(&mut host), names_and(&[("one", 0), ("two", 1)]));
    host.recv(attached(CH, Flags::empty()));
    let frame = host.sent_one();
    assert_eq!((frame.action, frame.msg_serial), (Action::Presence, Some(2)));
    host.recv(ProtocolMessage::ack(0, 3));
    for op in ops {
        host.ok(op);
    }
}

// UTS: realtime/unit/RTN19a2/new-serial-failed-resume-1
#[test]
fn rtn19a2_after_a_failed_resume_messages_are_sent_again_with_new_serials() {
    let mut host = attached_host(options());
    let first = publish(&mut host, "acknowledged");
    host.recv(ProtocolMessage::ack(0, 1));
    host.ok(first);
    let ops = [publish(&mut host, "one"), publish(&mut host, "two")];
    assert_eq!(published(&mut host), names_and(&[("acknowledged", 0), ("one", 1), ("two", 2)]));
    host.lose();
    host.open();
    let error = ErrorInfo::new(80018, 400, "not resumable");
    host.recv(connected("conn-2", "key-2").with_error(error));
    assert_eq!(published(&mut host), names_and(&[("one", 0), ("two", 1)]));
    host.recv(ProtocolMessage::ack(0, 2));
    for op in ops {
        host.ok(op);
    }
}

// UTS: realtime/unit/RTN19b/attach-resent-on-reconnect-0
#[test]
fn rtn19b_attach_is_sent_again_on_a_new_transport() {
    let mut host = Host::unanswered(options());
    let op = host.attach(CH);
    assert_eq!(host.sent_one().action, Action::Attach);
    host.reconnect("conn-1", "key-2");
    assert_eq!(host.sent_one().action, Action::Attach);
    host.recv(attached(CH, Flags::empty()));
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
}

// UTS: realtime/unit/RTN19b/detach-resent-on-reconnect-1
#[test]
fn rtn19b_detach_is_sent_again_on_a_new_transport() {
    let mut host = attached_host(options());
    host.answers.detach = false;
    let op = host.detach(CH);
    assert_eq!(host.sent_one().action, Action::Detach);
    host.reconnect("conn-1", "key-2");
    assert_eq!(host.sent_one().action, Action::Detach);
    host.recv(detached(CH, None));
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
}

// UTS: realtime/unit/RTL17/no-delivery-when-not-attached-0
#[test]
fn rtl17_messages_reach_the_application_only_while_attached() {
    let mut host = Host::unanswered(options());
    let message = || ProtocolMessage::on_channel(Action::Message, CH);
    host.recv(message());
    host.attach(CH);
    host.recv(message());
    assert_eq!(host.frames(), []);
    host.recv(attached(CH, Flags::empty()));
    host.recv(message());
    assert_eq!(host.frames(), [message()]);
    host.detach(CH);
    host.recv(message());
    host.recv(detached(CH, None));
    host.recv(message());
    assert_eq!(host.frames(), []);
}

/// The events of a PRESENCE frame with these fields and items.
fn events(
    id: Option<&str>,
    connection_id: Option<&str>,
    timestamp: Option<i64>,
    items: Vec<PresenceMessage>,
) -> Vec<PresenceMessage> {
    let mut host = attached_host(options());
    host.subscribe(1, &[]);
    let mut frame = ProtocolMessage::presence(CH, items);
    frame.id = id.map(Into::into);
    frame.connection_id = connection_id.map(Into::into);
    frame.timestamp = timestamp.map(presence_proto::UnixMillis::from_millis);
    host.recv(frame);
    host.presence_events()
}

fn bare(name: &str) -> PresenceMessage {
    PresenceMessage::new(Enter).with_client_id(name)
}

// The rules for messages are those for presence messages (TP3a, TP3d, TP3g); messages pass through
// unchanged.
// UTS: realtime/unit/TM2a/id-from-protocol-message-0
// UTS: realtime/unit/TM2c/connectionid-from-protocol-0
// UTS: realtime/unit/TM2f/timestamp-from-protocol-0
// UTS: realtime/unit/TM2a/all-fields-populated-together-3
#[test]
fn tp3_missing_fields_of_an_item_come_from_the_frame() {
    let items = vec![bare("a"), bare("b"), bare("c")];
    let events = events(Some("abc:5"), Some("abc"), Some(1_700), items);
    assert_eq!(events.len(), 3);
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event.id, Some(format!("abc:5:{n}").into()));
        assert_eq!(event.connection_id.as_deref(), Some("abc"));
        assert_eq!(event.timestamp.unwrap().as_millis(), 1_700);
    }
}

// UTS: realtime/unit/TM2a/existing-id-not-overwritten-1
// UTS: realtime/unit/TM2c/existing-connectionid-kept-1
// UTS: realtime/unit/TM2f/existing-timestamp-kept-1
#[test]
fn tp3_fields_of_an_item_are_kept() {
    let item = item(Enter, "a", "own:1:0", 1_600);
    let events = events(Some("abc:5"), Some("abc"), Some(1_700), vec![item.clone()]);
    assert_eq!(events, [item]);
}

// UTS: realtime/unit/TM2a/no-id-without-protocol-id-2
#[test]
fn tp3a_without_an_id_of_the_frame_an_item_has_none() {
    let events = events(None, Some("abc"), Some(1_700), vec![bare("a")]);
    assert_eq!((events.len(), &events[0].id), (1, &None));
}
