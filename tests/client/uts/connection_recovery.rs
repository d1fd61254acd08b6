//! Recovery in another process: `connection/connection_recovery_test.md`.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use presence_proto::client::{ChannelState, ClientOptions, ConnectionState, Input, Warning};
use presence_proto::wire::{Action, ErrorInfo, Flags, ProtocolMessage, Value};

const ODD_NAME: &str = "channel-éàü-世界";

fn recovering(key: &str) -> ClientOptions {
    let mut options = options_of("me");
    options.recover = Some(key.into());
    options
}

fn attach_with_serial(host: &mut Host, channel: &str, serial: &str) {
    host.attach(channel);
    let mut frame = attached(channel, Flags::empty());
    frame.channel_serial = Some(serial.into());
    host.recv(frame);
}

// UTS: realtime/unit/RTN16g/recovery-key-structure-0
#[test]
fn rtn16g_a_recovery_key_has_key_serial_and_channels() {
    let mut host = Host::unanswered(options());
    attach_with_serial(&mut host, "channel-alpha", "serial-a");
    attach_with_serial(&mut host, ODD_NAME, "serial-b");
    let key = Value::parse_json(&host.recovery_key().unwrap()).unwrap();
    assert_eq!(key.get("connectionKey").and_then(Value::as_str), Some("key-1"));
    assert_eq!(key.get("msgSerial").and_then(Value::as_i64), Some(0));
    let serials = key.get("channelSerials").unwrap();
    assert_eq!(serials.get("channel-alpha").and_then(Value::as_str), Some("serial-a"));
    assert_eq!(serials.get(ODD_NAME).and_then(Value::as_str), Some("serial-b"));
}

// RTN16g3 in newer versions: a suspended client can be recovered, as it can resume.
// UTS: realtime/unit/RTN16g2/recovery-key-null-inactive-0
#[test]
fn rtn16g2_there_is_no_recovery_key_without_a_connection() {
    let mut host = Host::new(options());
    assert_eq!(host.recovery_key(), None);
    host.connect("conn-1");
    assert!(host.recovery_key().is_some());
    host.input(Input::Close);
    assert_eq!((host.state(), host.recovery_key()), (ConnectionState::Closing, None));
    host.recv(ProtocolMessage::new(Action::Closed));
    assert_eq!((host.state(), host.recovery_key()), (ConnectionState::Closed, None));

    let mut host = Host::unanswered(options());
    host.recv_last(ProtocolMessage::error(ErrorInfo::new(50000, 500, "fatal")));
    assert_eq!((host.state(), host.recovery_key()), (ConnectionState::Failed, None));

    let mut host = Host::unanswered(options());
    host.suspend();
    assert!(host.recovery_key().is_some());
}

// UTS: realtime/unit/RTN16k/recover-query-param-0
#[test]
fn rtn16k_recover_is_sent_until_the_first_connection() {
    let key = r#"{"connectionKey":"old-key","msgSerial":5,"channelSerials":{}}"#;
    let mut host = Host::new(recovering(key));
    host.input(Input::Connect);
    assert_eq!((host.param("recover"), host.param("resume")), (Some("old-key"), None));
    host.refuse();
    host.advance(15_000);
    assert_eq!(host.param("recover"), Some("old-key"));
    host.accept("recovered", "new-key");
    host.lose();
    assert_eq!((host.param("recover"), host.param("resume")), (None, Some("new-key")));
}

// UTS: realtime/unit/RTN16f/recover-initializes-msgserial-0
#[test]
fn rtn16f_message_serials_continue_after_a_recovery() {
    let key = r#"{"connectionKey":"old-key","msgSerial":42,"channelSerials":{"room":"serial-1"}}"#;
    for (error, serial) in [(None, 42), (Some(ErrorInfo::new(80008, 400, "too late")), 0)] {
        let mut host = Host::new(recovering(key));
        host.answers.attach = Some(Flags::empty());
        host.input(Input::Connect);
        host.open();
        let mut frame = connected("recovered", "new-key");
        frame.error = error.map(Box::new);
        host.recv(frame);
        host.attach(CH);
        host.forget();
        let op = host.enter("hello");
        assert_eq!(host.sent_one().msg_serial, Some(serial));
        host.recv(ProtocolMessage::ack(serial, 1));
        host.ok(op);
    }
}

// UTS: realtime/unit/RTN16f1/malformed-recovery-key-0
#[test]
fn rtn16f1_a_malformed_recovery_key_gives_a_warning_and_is_ignored() {
    let mut host = Host::new(recovering("this-is-not-valid-json!!!"));
    host.input(Input::Connect);
    assert_eq!((host.param("recover"), host.param("resume")), (None, None));
    host.accept("fresh", "fresh-key");
    assert_eq!(host.state(), ConnectionState::Connected);
    assert_eq!(host.connection_id().as_deref(), Some("fresh"));
    assert_eq!(host.connection_key().as_deref(), Some("fresh-key"));
    assert_eq!(
        (host.transports(), host.outputs.warnings),
        (1, vec![Warning::RecoveryKeyMalformed])
    );
}

// UTS: realtime/unit/RTN16j/recover-channel-serials-0
#[test]
fn rtn16j_channels_of_a_recovery_key_have_their_serials() {
    let key = format!(
        r#"{{"connectionKey":"old-key","msgSerial":10,
            "channelSerials":{{"one":"serial-1","{ODD_NAME}":"serial-2"}}}}"#
    );
    let mut host = Host::new(recovering(&key));
    host.input(Input::Connect);
    host.accept("recovered", "new-key");
    assert_eq!(host.sent(), [], "the application attaches them, not the client");
    for (channel, serial) in [("one", "serial-1"), (ODD_NAME, "serial-2")] {
        assert_eq!(host.client.channel(channel).unwrap().state(), ChannelState::Initialized);
        assert_eq!(host.channel_serial(channel).as_deref(), Some(serial));
        host.attach(channel);
        let frame = host.sent_one();
        assert_eq!(frame.action, Action::Attach);
        assert_eq!(frame.channel_serial.as_deref(), Some(serial));
        host.recv(attached(channel, Flags::empty()));
        assert_eq!(host.channel_state(channel), ChannelState::Attached);
    }
}
