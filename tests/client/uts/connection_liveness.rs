//! Pings and activity: `connection/connection_ping_test.md`, `connection/heartbeat_test.md`.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use core::time::Duration;
use presence_proto::OpId;
use presence_proto::client::{ClientOptions, ConnectionState, Input, Outcome};
use presence_proto::wire::{Action, ConnectionDetails, ErrorInfo, ProtocolMessage};

fn quick() -> ClientOptions {
    let mut options = options();
    options.realtime_request_timeout = Duration::from_secs(2);
    options
}

fn ping(host: &mut Host) -> OpId {
    host.op(Input::ping)
}

fn heartbeat(id: Option<&str>) -> ProtocolMessage {
    let mut frame = ProtocolMessage::new(Action::Heartbeat);
    frame.id = id.map(Into::into);
    frame
}

/// The id of the only HEARTBEAT sent.
fn sent_id(host: &mut Host) -> String {
    let frame = host.sent_one();
    assert_eq!(frame.action, Action::Heartbeat);
    frame.id.unwrap().to_string()
}

fn fatal() -> ProtocolMessage {
    ProtocolMessage::error(ErrorInfo::new(80000, 400, "fatal"))
}

// UTS: realtime/unit/RTN13a/ping-heartbeat-roundtrip-0
#[test]
fn rtn13a_a_ping_returns_the_round_trip_time() {
    let mut host = Host::unanswered(options());
    let op = ping(&mut host);
    let id = sent_id(&mut host);
    host.advance(123);
    host.recv(heartbeat(Some(&id)));
    assert_eq!(host.ok(op), Outcome::Pong(Duration::from_millis(123)));
}

// UTS: realtime/unit/RTN13e/heartbeat-random-id-0
// UTS: realtime/unit/RTN13e/no-id-heartbeat-ignored-1
#[test]
fn rtn13e_only_a_heartbeat_with_its_id_answers_a_ping() {
    let mut host = Host::unanswered(options());
    let op = ping(&mut host);
    let id = sent_id(&mut host);
    assert!(!id.is_empty());
    host.recv(heartbeat(Some("wrong-id")));
    host.recv(heartbeat(None));
    assert!(host.is_pending(op));
    host.recv(heartbeat(Some(&id)));
    host.ok(op);
}

// UTS: realtime/unit/RTN13e/concurrent-pings-unique-ids-2
#[test]
fn rtn13e_pings_are_answered_one_by_one() {
    let mut host = Host::unanswered(options());
    let first = ping(&mut host);
    let second = ping(&mut host);
    let ids: Vec<_> = host.sent().into_iter().filter_map(|frame| frame.id).collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
    host.recv(heartbeat(Some(&ids[1])));
    host.ok(second);
    assert!(host.is_pending(first));
    host.recv(heartbeat(Some(&ids[0])));
    host.ok(first);
}

// UTS: realtime/unit/RTN13c/ping-timeout-0
#[test]
fn rtn13c_a_ping_without_answer_fails() {
    let mut host = Host::unanswered(quick());
    let op = ping(&mut host);
    host.advance(1_999);
    assert!(host.is_pending(op));
    host.advance(1);
    assert_eq!(host.err(op).status_code, 408);
    assert_eq!(host.state(), ConnectionState::Connected);
}

// UTS: realtime/unit/RTN13b/ping-error-initialized-0
// UTS: realtime/unit/RTN13b/ping-error-suspended-1
// UTS: realtime/unit/RTN13b/ping-error-closed-2
// UTS: realtime/unit/RTN13b/ping-error-failed-3
#[test]
fn rtn13b_a_ping_fails_if_no_connection_will_come() {
    let initialized = Host::new(options());
    let mut suspended = Host::unanswered(options());
    suspended.suspend();
    let mut closing = Host::unanswered(options());
    closing.input(Input::Close);
    let mut closed = Host::answered(options());
    closed.input(Input::Close);
    let mut failed = Host::unanswered(options());
    failed.recv_last(fatal());
    let states = [
        ConnectionState::Initialized,
        ConnectionState::Suspended,
        ConnectionState::Closing,
        ConnectionState::Closed,
        ConnectionState::Failed,
    ];
    for (mut host, state) in
        [initialized, suspended, closing, closed, failed].into_iter().zip(states)
    {
        assert_eq!(host.state(), state);
        let op = ping(&mut host);
        host.err(op);
    }
}

// UTS: realtime/unit/RTN13d/ping-deferred-connecting-0
#[test]
fn rtn13d_a_ping_while_connecting_waits() {
    let mut host = Host::new(options());
    host.input(Input::Connect);
    let op = ping(&mut host);
    host.advance(200);
    assert_eq!(host.sent(), []);
    host.accept("conn-1", "key-1");
    let id = sent_id(&mut host);
    host.advance(30);
    host.recv(heartbeat(Some(&id)));
    assert_eq!(host.ok(op), Outcome::Pong(Duration::from_millis(30)));
}

// UTS: realtime/unit/RTN13d/ping-deferred-disconnected-1
#[test]
fn rtn13d_a_ping_while_disconnected_waits() {
    let mut host = Host::unanswered(options());
    host.lose();
    host.refuse();
    assert_eq!(host.state(), ConnectionState::Disconnected);
    let op = ping(&mut host);
    host.advance_until_opening();
    assert!(host.is_pending(op));
    host.accept("conn-2", "key-2");
    let id = sent_id(&mut host);
    host.recv(heartbeat(Some(&id)));
    host.ok(op);
}

// UTS: realtime/unit/RTN13b/deferred-ping-error-failed-4
#[test]
fn rtn13b_a_waiting_ping_fails_with_the_connection() {
    let mut host = Host::new(options());
    host.input(Input::Connect);
    let op = ping(&mut host);
    host.open();
    host.recv_last(fatal());
    assert_eq!(host.state(), ConnectionState::Failed);
    host.err(op);
}

// UTS: realtime/unit/RTN13b/deferred-ping-error-suspended-5
#[test]
fn rtn13b_a_waiting_ping_fails_when_the_connection_is_suspended() {
    let mut host = Host::new(options());
    host.input(Input::Connect);
    host.refuse();
    assert_eq!(host.state(), ConnectionState::Disconnected);
    let op = ping(&mut host);
    host.suspend();
    host.err(op);
}

// UTS: realtime/unit/RTN13c/deferred-ping-timeout-1
#[test]
fn rtn13c_the_time_of_a_waiting_ping_starts_when_it_is_sent() {
    let mut options = options();
    options.realtime_request_timeout = Duration::from_secs(2);
    let mut host = Host::new(options);
    host.input(Input::Connect);
    let op = ping(&mut host);
    host.advance(1_500);
    host.accept("conn-1", "key-1");
    host.advance(1_999);
    assert!(host.is_pending(op));
    host.advance(1);
    host.err(op);
}

/// A connected host with a `maxIdleInterval` of two seconds and a request timeout of one.
fn promised(observes_pings: bool) -> Host {
    let mut options = options();
    options.observes_pings = observes_pings;
    options.realtime_request_timeout = Duration::from_secs(1);
    let mut host = Host::new(options);
    host.input(Input::Connect);
    accept(&mut host, "conn-1", "key-1");
    host
}

fn accept(host: &mut Host, id: &str, key: &str) {
    host.open();
    let mut details = ConnectionDetails::default();
    details.connection_key = Some(key.into());
    details.max_idle_interval = Some(2_000);
    host.recv(connected_with(id, details));
}

/// Nothing arrives for three seconds: the client abandons the transport and resumes.
fn falls_silent(host: &mut Host) {
    host.forget();
    let (attempts, closed) = (host.transports(), host.closed());
    host.advance(2_999);
    assert_eq!((host.state(), host.closed()), (ConnectionState::Connected, closed));
    host.advance(1);
    assert_eq!((host.transports(), host.closed()), (attempts + 1, closed + 1));
    accept(host, "conn-2", "key-2");
    assert_eq!(host.connection_path(), ["disconnected", "connecting", "connected"]);
    assert_eq!(host.connection_id().as_deref(), Some("conn-2"));
}

// UTS: realtime/unit/RTN23a/heartbeats-true-query-param-0
#[test]
fn rtn23b_a_host_that_observes_no_pings_requests_heartbeats() {
    assert_eq!(promised(false).param("heartbeats"), Some("true"));
}

// UTS: realtime/unit/RTN23b/heartbeats-false-query-param-0
#[test]
fn rtn23b_a_host_that_observes_pings_requests_no_heartbeats() {
    assert_eq!(promised(true).param("heartbeats"), Some("false"));
}

// UTS: realtime/unit/RTN23a/idle-timeout-reconnect-1
// UTS: realtime/unit/RTN23a/timeout-triggers-reconnect-4
// UTS: realtime/unit/RTN23b/idle-timeout-reconnect-1
// UTS: realtime/unit/RTN23b/timeout-triggers-reconnect-4
#[test]
fn rtn23a_the_client_abandons_a_silent_server_and_connects_again() {
    for observes_pings in [false, true] {
        falls_silent(&mut promised(observes_pings));
    }
}

// UTS: realtime/unit/RTN23a/reconnect-uses-resume-5
// UTS: realtime/unit/RTN23b/reconnect-uses-resume-5
#[test]
fn rtn23a_a_client_resumes_after_a_silent_server() {
    for observes_pings in [false, true] {
        let mut host = promised(observes_pings);
        assert_eq!(host.param("resume"), None);
        falls_silent(&mut host);
        assert_eq!(host.param("resume"), Some("key-1"));
    }
}

// UTS: realtime/unit/RTN23a/heartbeat-resets-timer-2
#[test]
fn rtn23a_a_heartbeat_counts_as_activity() {
    let mut host = promised(false);
    host.advance(2_500);
    host.recv(heartbeat(None));
    falls_silent(&mut host);
}

// UTS: realtime/unit/RTN23a/any-message-resets-timer-3
// UTS: realtime/unit/RTN23b/any-message-resets-timer-3
#[test]
fn rtn23a_any_frame_counts_as_activity() {
    for observes_pings in [false, true] {
        let mut host = promised(observes_pings);
        let frames = [
            ProtocolMessage::ack(0, 1),
            ProtocolMessage::on_channel(Action::Message, "unknown"),
            ProtocolMessage::new(Action::Unknown(99)),
        ];
        for frame in frames {
            host.advance(2_500);
            host.recv(frame);
        }
        falls_silent(&mut host);
    }
}

// UTS: realtime/unit/RTN23b/ping-frame-resets-timer-2
// UTS: realtime/unit/RTN23b/multiple-pings-keep-alive-6
#[test]
fn rtn23b_a_ping_of_the_transport_counts_as_activity() {
    let mut host = promised(true);
    for _ in 0..7 {
        host.advance(2_500);
        host.input(Input::activity(host.transport()));
        assert_eq!(host.state(), ConnectionState::Connected);
    }
    falls_silent(&mut host);
}
