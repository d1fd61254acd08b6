//! Properties and events of a connection: `connection/auto_connect_test.md`,
//! `connection/connection_id_key_test.md`, `connection/error_reason_test.md`,
//! `connection/forwards_compatibility_test.md`, `connection/network_change_test.md`,
//! `connection/update_events_test.md`, `client/realtime_client.md`, `client/realtime_timeouts.md`.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use core::time::Duration;
use presence_proto::client::{
    ChannelState, ClientOptions, ConnectionEvent, ConnectionState, Input,
};
use presence_proto::wire::{Action, ConnectionDetails, ErrorInfo, Flags, Format, ProtocolMessage};

fn fatal(code: u32) -> ErrorInfo {
    ErrorInfo::new(code, 400, "it will not do")
}

/// A host whose first attempt ends in FAILED.
fn failed(code: u32) -> Host {
    let mut host = Host::new(options());
    host.input(Input::Connect);
    host.open();
    host.recv_last(ProtocolMessage::error(fatal(code)));
    assert_eq!(host.state(), ConnectionState::Failed);
    host
}

fn closed() -> Host {
    let mut host = Host::answered(options());
    host.input(Input::Close);
    assert_eq!(host.state(), ConnectionState::Closed);
    host
}

// To connect automatically is the host's task: it passes in `Input::Connect`.
// UTS: realtime/unit/RTN3/auto-connect-true-0
// UTS: realtime/unit/RTN3/explicit-connect-after-false-2
// UTS: realtime/unit/RTC1b/auto-connect-option-0
// UTS: realtime/unit/RTC15/connect-method-0
#[test]
fn rtn11_the_client_connects_on_connect() {
    let mut host = Host::new(options());
    assert_eq!((host.state(), host.transports()), (ConnectionState::Initialized, 0));
    host.input(Input::Connect);
    assert_eq!((host.state(), host.transports()), (ConnectionState::Connecting, 1));
    host.accept("conn-1", "key-1");
    assert_eq!(host.state(), ConnectionState::Connected);
    assert_eq!(host.connection_id().as_deref(), Some("conn-1"));
    assert_eq!(host.connection_path(), ["connecting", "connected"]);
}

// UTS: realtime/unit/RTN3/auto-connect-false-1
#[test]
fn rtn3_the_client_does_nothing_before_connect() {
    let mut host = Host::new(options());
    host.advance(600_000);
    assert_eq!((host.state(), host.transports()), (ConnectionState::Initialized, 0));
}

// UTS: realtime/unit/RTC16/close-method-0
#[test]
fn rtn12a_close_is_sent_and_confirmed() {
    let mut host = Host::unanswered(options());
    host.input(Input::Close);
    assert_eq!(host.state(), ConnectionState::Closing);
    assert_eq!(host.sent_one().action, Action::Close);
    host.recv(ProtocolMessage::new(Action::Closed));
    assert_eq!(host.state(), ConnectionState::Closed);
    assert!(!host.is_open());
    assert_eq!(host.connection_path(), ["closing", "closed"]);
}

// UTS: realtime/unit/RTN8a/id-unset-until-connected-0
// UTS: realtime/unit/RTN9a/key-unset-until-connected-0
#[test]
fn rtn8a_id_and_key_are_those_of_connected() {
    let mut host = Host::new(options());
    host.input(Input::Connect);
    host.open();
    assert_eq!((host.connection_id(), host.connection_key()), (None, None));
    host.recv(connected("unique-id", "unique-key"));
    assert_eq!(host.connection_id().as_deref(), Some("unique-id"));
    assert_eq!(host.connection_key().as_deref(), Some("unique-key"));
}

// UTS: realtime/unit/RTN8b/id-unique-per-connection-0
// UTS: realtime/unit/RTN9b/key-unique-per-connection-0
#[test]
fn rtn8b_each_client_has_its_own_id_and_key() {
    let mut hosts = [Host::new(options()), Host::new(options())];
    for (n, host) in hosts.iter_mut().enumerate() {
        host.input(Input::Connect);
        host.accept(&format!("id-{n}"), &format!("key-{n}"));
    }
    for (n, host) in hosts.iter().enumerate() {
        assert_eq!(host.connection_id(), Some(format!("id-{n}").into()));
        assert_eq!(host.connection_key(), Some(format!("key-{n}").into()));
    }
}

// RTN8d and RTN9d in newer versions.
// UTS: realtime/unit/RTN8c/id-null-after-closed-0
// UTS: realtime/unit/RTN9c/key-null-after-closed-0
// UTS: realtime/unit/RTN8c/id-key-null-after-failed-1
#[test]
fn rtn8d_id_and_key_are_gone_once_closed_or_failed() {
    let mut failed_later = Host::unanswered(options());
    failed_later.recv_last(ProtocolMessage::error(fatal(80000)));
    for host in [closed(), failed(80000), failed_later] {
        assert_eq!((host.connection_id(), host.connection_key()), (None, None));
    }
}

// RTN8d and RTN9d keep them, where the older clauses cleared them.
// UTS: realtime/unit/RTN8c/id-key-null-after-suspended-2
#[test]
fn rtn8d_id_and_key_are_kept_while_suspended() {
    let mut host = Host::unanswered(options());
    host.suspend();
    assert_eq!(host.connection_id().as_deref(), Some("conn-1"));
    assert_eq!(host.connection_key().as_deref(), Some("key-1"));
}

// UTS: realtime/unit/RTN25/error-reason-on-failed-0
// UTS: realtime/unit/RTN25/error-reason-protocol-error-5
// UTS: realtime/unit/RTN25/error-reason-in-state-change-6
#[test]
fn rtn25_the_error_reason_is_that_of_the_failure() {
    let fresh = Host::new(options());
    assert_eq!(fresh.error_reason(), None);
    let mut host = failed(40005);
    assert_eq!(host.error_reason(), Some(fatal(40005)));
    let last = host.connection_events().pop().unwrap();
    assert_eq!((last.current, last.reason), (ConnectionState::Failed, Some(fatal(40005))));
}

// UTS: realtime/unit/RTN25/error-reason-disconnected-1
// UTS: realtime/unit/RTN25/error-reason-cleared-on-connect-4
#[test]
fn rtn25_the_error_reason_is_cleared_by_the_next_connection() {
    let mut host = Host::new(options());
    host.input(Input::Connect);
    host.refuse();
    assert_eq!(host.state(), ConnectionState::Disconnected);
    assert!(host.error_reason().is_some());
    host.advance(15_000);
    host.accept("conn-1", "key-1");
    assert_eq!(host.state(), ConnectionState::Connected);
    assert_eq!(host.error_reason(), None);
}

// UTS: realtime/unit/RTN25/error-reason-suspended-2
#[test]
fn rtn25_a_suspended_connection_has_an_error_reason() {
    let mut host = Host::new(options());
    host.input(Input::Connect);
    host.suspend();
    assert!(host.error_reason().is_some());
    assert!(host.connection_events().pop().unwrap().reason.is_some());
}

// UTS: realtime/unit/RTF1/unrecognised-attributes-ignored-0
// UTS: realtime/unit/RSF1/message-unrecognised-attrs-0
#[test]
fn rsf1_unknown_fields_are_ignored() {
    let mut host = Host::answered(options());
    host.attach(CH);
    let text = r#"{"action": 15, "channel": "room", "unknownField1": "some", "unknownField2": 42,
        "unknownNested": {"key": "value"}, "unknownArray": [1, 2, 3],
        "messages": [{"name": "one", "data": "hello", "futureField": {"nested": true}},
                     {"name": "two", "data": "world", "futureArray": [1]}]}"#;
    host.recv(ProtocolMessage::decode(Format::Json, text.as_bytes()).unwrap());
    let frame = host.frames().pop().unwrap();
    let messages: Vec<_> = frame
        .messages
        .iter()
        .map(|m| (m.name.as_deref().unwrap(), m.data.as_ref().and_then(|d| d.as_str()).unwrap()))
        .collect();
    assert_eq!(messages, [("one", "hello"), ("two", "world")]);
    assert_eq!(host.state(), ConnectionState::Connected);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
}

// UTS: realtime/unit/RTF1/unknown-action-handled-1
#[test]
fn rtf1_unknown_actions_are_ignored() {
    let mut host = Host::answered(options());
    let text = br#"{"action": 254, "channel": "room", "unknownPayload": "data"}"#;
    host.recv(ProtocolMessage::decode(Format::Json, text).unwrap());
    host.recv(ProtocolMessage::new(Action::Heartbeat));
    assert_eq!(host.state(), ConnectionState::Connected);
    assert_eq!(host.connection_path(), [""; 0]);
    host.attach(CH);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
}

// UTS: realtime/unit/RTN20a/network-loss-connected-disconnects-0
#[test]
fn rtn20a_a_connected_client_is_disconnected_when_the_network_is_lost() {
    let mut host = Host::unanswered(options());
    host.input(Input::NetworkLost);
    let change = host.connection_events().remove(0);
    assert_eq!(change.current, ConnectionState::Disconnected);
    assert!(change.reason.is_some());
    assert!(!host.is_open());
    host.advance_until_opening();
    host.accept("conn-1", "key-2");
    assert_eq!(host.connection_path(), ["connecting", "connected"]);
    assert_eq!(host.transports(), 2);
}

// UTS: realtime/unit/RTN20a/network-loss-connecting-disconnects-1
#[test]
fn rtn20a_a_connecting_client_is_disconnected_when_the_network_is_lost() {
    let mut host = Host::new(options());
    host.input(Input::Connect);
    host.input(Input::NetworkLost);
    assert_eq!(host.state(), ConnectionState::Disconnected);
    assert!(!host.is_opening());
    host.advance_until_opening();
    host.accept("conn-1", "key-1");
    assert_eq!(host.connection_path(), ["connecting", "disconnected", "connecting", "connected"]);
}

// UTS: realtime/unit/RTN20b/network-available-disconnected-connects-0
#[test]
fn rtn20b_a_disconnected_or_suspended_client_connects_when_the_network_is_back() {
    let mut disconnected = Host::unanswered(options());
    disconnected.lose();
    disconnected.refuse();
    assert_eq!(disconnected.state(), ConnectionState::Disconnected);
    let mut suspended = Host::unanswered(options());
    suspended.suspend();
    for mut host in [disconnected, suspended] {
        host.input(Input::NetworkAvailable);
        assert_eq!(host.state(), ConnectionState::Connecting);
        host.accept("conn-2", "key-2");
        assert_eq!(host.state(), ConnectionState::Connected);
    }
}

// UTS: realtime/unit/RTN20c/network-available-connecting-restarts-0
#[test]
fn rtn20c_a_connecting_client_starts_again_when_the_network_is_back() {
    let mut host = Host::new(options());
    host.input(Input::Connect);
    host.input(Input::NetworkAvailable);
    assert_eq!((host.closed(), host.transports()), (1, 2));
    host.accept("conn-1", "key-1");
    assert_eq!(host.state(), ConnectionState::Connected);
}

// UTS: realtime/unit/RTN24/connected-emits-update-0
#[test]
fn rtn24_connected_while_connected_is_an_update() {
    let mut host = Host::unanswered(options());
    host.recv(connected("conn-1", "key-1"));
    let events = host.connection_events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event, ConnectionEvent::Update);
    assert_eq!(
        (events[0].previous, events[0].current, &events[0].reason),
        (ConnectionState::Connected, ConnectionState::Connected, &None)
    );
    assert_eq!(host.connection_id().as_deref(), Some("conn-1"));
    assert_eq!(host.connection_key().as_deref(), Some("key-1"));
}

// UTS: realtime/unit/RTN24/update-event-with-error-1
#[test]
fn rtn24_an_update_names_its_reason() {
    let mut host = Host::unanswered(options());
    host.recv(connected("conn-1", "key-1").with_error(token_error()));
    let events = host.connection_events();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].event, &events[0].reason),
        (ConnectionEvent::Update, &Some(token_error()))
    );
}

// UTS: realtime/unit/RTN24/connection-details-override-2
#[test]
fn rtn24_an_update_overrides_the_details() {
    let mut host = Host::new(options());
    host.input(Input::Connect);
    host.open();
    let mut details = ConnectionDetails::default();
    details.connection_key = Some("key-1".into());
    details.max_idle_interval = Some(10_000);
    details.max_message_size = Some(16_384);
    details.client_id = Some("client-original".into());
    host.recv(connected_with("conn-1", details.clone()));
    assert_eq!(host.client.connection().max_message_size(), 16_384);
    details.connection_key = Some("key-2".into());
    details.max_idle_interval = Some(40_000);
    details.max_message_size = Some(32_768);
    details.client_id = Some("client-updated".into());
    host.recv(connected_with("conn-1", details));
    assert_eq!(host.connection_id().as_deref(), Some("conn-1"));
    assert_eq!(host.connection_key().as_deref(), Some("key-2"));
    assert_eq!(host.client.connection().max_message_size(), 32_768);
    assert_eq!(host.client.connection().client_id().map(|id| id.as_str()), Some("client-updated"));
    host.advance(49_999);
    assert_eq!(host.state(), ConnectionState::Connected, "the new idle interval holds");
    host.advance(1);
    assert_eq!(host.state(), ConnectionState::Connecting);
}

// UTS: realtime/unit/RTN24/no-duplicate-connected-event-3
#[test]
fn rtn24_each_further_connected_is_one_update() {
    let mut host = Host::unanswered(options());
    for _ in 0..3 {
        host.recv(connected("conn-1", "key-1"));
    }
    assert_eq!(host.connection_path(), ["update"; 3]);
}

/// A client that is connecting.
fn asking(options: ClientOptions) -> Host {
    let mut host = Host::new(options);
    host.input(Input::Connect);
    host
}

// UTS: realtime/unit/RTC17/client-id-attribute-0
#[test]
fn rtc17_the_client_id_is_that_of_the_options() {
    let host = asking(options_of("explicit-client-id"));
    let client_id = host.client.connection().client_id().cloned();
    assert_eq!(client_id.as_deref(), Some("explicit-client-id"));
    assert_eq!(host.param("clientId"), Some("explicit-client-id"));
}

// UTS: realtime/unit/RTC1a/echo-messages-option-0
#[test]
fn rtc1a_the_parameter_echo_follows_the_option() {
    assert_eq!(asking(options()).param("echo"), Some("true"));
    let mut options = options();
    options.echo_messages = false;
    assert_eq!(asking(options).param("echo"), Some("false"));
}

// UTS: realtime/unit/RTC1c/recover-option-0
#[test]
fn rtc1c_a_recovery_key_is_used_for_the_first_connection_only() {
    let mut options = options();
    let key = r#"{"connectionKey":"old-key","msgSerial":5,"channelSerials":{"one":"serial-1"}}"#;
    options.recover = Some(key.into());
    let mut host = asking(options.clone());
    assert_eq!(host.param("recover"), Some("old-key"));
    host.accept("conn-1", "key-1");
    host.lose();
    assert_eq!((host.transports(), host.param("recover")), (2, None));
    options.recover = Some("not a recovery key".into());
    assert_eq!(asking(options).param("recover"), None);
}

// Parameters are text: the host formats numbers and booleans.
// UTS: realtime/unit/RTC1f/transport-params-option-0
#[test]
fn rtc1f_transport_params_are_added_and_override() {
    let mut options = options();
    options.transport_params =
        [("custom", "value"), ("number", "123"), ("v", "3"), ("heartbeats", "no")]
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec();
    let host = asking(options);
    for (name, value) in [("custom", "value"), ("number", "123"), ("v", "3"), ("heartbeats", "no")]
    {
        assert_eq!(host.param(name), Some(value));
        assert_eq!(host.outputs.transports[0].iter().filter(|(key, _)| key == name).count(), 1);
    }
}

fn quick() -> ClientOptions {
    let mut options = options();
    options.realtime_request_timeout = Duration::from_millis(500);
    options.disconnected_retry_timeout = Duration::from_secs(2);
    options
}

// UTS: realtime/unit/RTC7/attach-request-timeout-0
#[test]
fn rtc7_the_request_timeout_applies_to_attach() {
    let mut host = Host::unanswered(quick());
    let op = host.attach(CH);
    host.advance(500);
    host.err(op);
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
}

// UTS: realtime/unit/RTC7/detach-request-timeout-1
#[test]
fn rtc7_the_request_timeout_applies_to_detach() {
    let mut host = Host::unanswered(quick());
    host.attach(CH);
    host.recv(attached(CH, Flags::empty()));
    let op = host.detach(CH);
    host.advance(500);
    host.err(op);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
}

// The immediate attempt counts as the first retry, so the delay after it is that of the second.
// UTS: realtime/unit/RTC7/disconnected-retry-timeout-2
#[test]
fn rtc7_the_retry_timeout_applies_to_a_lost_connection() {
    let mut host = Host::unanswered(quick());
    host.lose();
    host.refuse();
    assert_eq!((host.state(), host.transports()), (ConnectionState::Disconnected, 2));
    // RTB1a: 2 s × 4/3.
    host.advance(2_665);
    assert_eq!(host.transports(), 2);
    host.advance(2);
    assert_eq!(host.transports(), 3);
}

// The timeouts of HTTP are the host's.
// UTS: realtime/unit/RTC7/default-timeouts-applied-3
#[test]
fn rtc7_the_default_timeouts() {
    let options = ClientOptions::default();
    assert_eq!(options.realtime_request_timeout, Duration::from_secs(10));
    assert_eq!(options.disconnected_retry_timeout, Duration::from_secs(15));
    assert_eq!(options.suspended_retry_timeout, Duration::from_secs(30));
    assert_eq!(options.channel_retry_timeout, Duration::from_secs(15));
    assert_eq!(options.connection_state_ttl, Duration::from_secs(120));
}
