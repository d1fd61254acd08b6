//! New credentials: `connection/server_initiated_reauth_test.md`, `auth/realtime_authorize.md`,
//! `auth/connection_auth_test.md`, `auth/auth_callback_errors_test.md`.
//!
//! Getting a token is the host's task: what the published cases do with a callback is here
//! `Output::TokenRequired`, answered by `Input::Token`. The first token is given with the options,
//! so a token is first requested when the server has refused that one.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use presence_proto::OpId;
use presence_proto::client::{
    ChannelState, ClientOptions, ConnectionEvent, ConnectionState, Input, Warning,
};
use presence_proto::wire::{Action, ErrorInfo, ProtocolMessage};

fn renewable() -> ClientOptions {
    let mut options = options();
    options.token = Some("token-1".into());
    options.token_renewable = true;
    options
}

fn authorize(host: &mut Host) -> OpId {
    host.op(|op| Input::authorize(op, "token-2"))
}

/// The token of the only AUTH sent.
fn sent_token(host: &mut Host) -> String {
    let frame = host.sent_one();
    assert_eq!(frame.action, Action::Auth);
    frame.auth.unwrap().access_token.unwrap().to_string()
}

/// A host that needs a new token to connect, because the server has refused the first one.
fn wants_token() -> Host {
    let mut host = Host::new(renewable());
    host.input(Input::Connect);
    host.open();
    host.recv_last(ProtocolMessage::error(token_error()));
    assert_eq!((host.state(), host.tokens_requested()), (ConnectionState::Connecting, 1));
    host.forget();
    host
}

/// A connected host whose server has sent AUTH.
fn asked_by_the_server() -> Host {
    let mut host = Host::unanswered(renewable());
    host.recv(ProtocolMessage::new(Action::Auth));
    assert_eq!(host.tokens_requested(), 1);
    host
}

fn unavailable() -> ErrorInfo {
    ErrorInfo::new(50000, 500, "token server unavailable")
}

fn forbidden() -> ErrorInfo {
    ErrorInfo::new(40300, 403, "account disabled")
}

// UTS: realtime/unit/RTN22/server-auth-triggers-reauth-0
// UTS: realtime/unit/RTN22/stays-connected-during-reauth-1
#[test]
fn rtn22_auth_is_answered_with_a_new_token() {
    let mut host = asked_by_the_server();
    assert_eq!(host.sent(), []);
    host.input(Input::Token(Ok("token-2".into())));
    assert_eq!(sent_token(&mut host), "token-2");
    host.recv(connected("conn-1", "key-2"));
    let events = host.connection_events();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].event, events[0].previous, events[0].current),
        (ConnectionEvent::Update, ConnectionState::Connected, ConnectionState::Connected)
    );
    assert_eq!(host.connection_key().as_deref(), Some("key-2"));
}

// UTS: realtime/unit/RTN22a/forced-disconnect-reauth-failure-0
#[test]
fn rtn22a_a_client_disconnected_for_its_token_renews_it() {
    let mut host = asked_by_the_server();
    host.recv_last(disconnected(token_error()));
    let change = host.connection_events().remove(0);
    assert_eq!(change.current, ConnectionState::Disconnected);
    assert_eq!(change.reason, Some(token_error()));
    host.input(Input::Token(Ok("token-2".into())));
    assert_eq!(host.param("accessToken"), Some("token-2"));
    host.accept("conn-1", "key-2");
    assert_eq!(host.state(), ConnectionState::Connected);
}

// UTS: realtime/unit/RTC8a/authorize-connected-sends-auth-0
// UTS: realtime/unit/RTC8a3/authorize-completes-after-response-0
#[test]
fn rtc8a_authorize_sends_auth_and_waits_for_the_answer() {
    let mut host = Host::unanswered(renewable());
    let op = authorize(&mut host);
    assert_eq!(sent_token(&mut host), "token-2");
    host.advance(5_000);
    assert!(host.is_pending(op));
    host.recv(connected("conn-1", "key-2"));
    host.ok(op);
    assert_eq!(host.connection_path(), ["update"]);
}

// UTS: realtime/unit/RTC8a1/successful-reauth-update-event-0
#[test]
fn rtc8a1_an_accepted_token_is_an_update() {
    let mut host = Host::unanswered(renewable());
    let op = authorize(&mut host);
    host.recv(connected("conn-2", "key-2"));
    host.ok(op);
    assert_eq!(host.connection_path(), ["update"]);
    assert_eq!(host.connection_id().as_deref(), Some("conn-2"));
    assert_eq!(host.connection_key().as_deref(), Some("key-2"));
}

// UTS: realtime/unit/RTC8a1/capability-downgrade-channel-failed-1
#[test]
fn rtc8a1_a_channel_that_is_no_longer_allowed_fails() {
    let mut host = Host::answered(renewable());
    host.attach(CH);
    host.forget();
    let op = authorize(&mut host);
    host.recv(connected("conn-1", "key-2"));
    host.recv(channel_error(CH, refused()));
    host.ok(op);
    let events = host.channel_events(CH);
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].current, &events[0].reason), (ChannelState::Failed, &Some(refused())));
    assert_eq!(host.state(), ConnectionState::Connected);
}

// UTS: realtime/unit/RTC8a2/failed-reauth-connection-failed-0
#[test]
fn rtc8a2_a_refused_token_fails_the_connection() {
    let mut host = Host::unanswered(renewable());
    let op = authorize(&mut host);
    host.recv_last(ProtocolMessage::error(ErrorInfo::new(40012, 400, "incompatible client id")));
    assert_eq!(host.err(op).code, 40012);
    assert_eq!(host.state(), ConnectionState::Failed);
    assert_eq!(host.error_reason().unwrap().code, 40012);
    assert_eq!(host.connection_path(), ["failed"]);
}

/// A host whose attempt to connect was interrupted by `authorize`, with its operation.
fn authorized_while_connecting() -> (Host, OpId) {
    let mut host = Host::new(renewable());
    host.input(Input::Connect);
    host.open();
    let op = authorize(&mut host);
    assert_eq!((host.closed(), host.transports()), (1, 2));
    assert_eq!(host.param("accessToken"), Some("token-2"));
    (host, op)
}

// UTS: realtime/unit/RTC8b/authorize-connecting-halts-attempt-0
#[test]
fn rtc8b_authorize_while_connecting_starts_another_attempt() {
    let (mut host, op) = authorized_while_connecting();
    assert!(host.is_pending(op));
    host.accept("conn-1", "key-1");
    host.ok(op);
    assert_eq!(host.state(), ConnectionState::Connected);
}

// UTS: realtime/unit/RTC8b1/authorize-connecting-fails-on-failed-0
#[test]
fn rtc8b1_authorize_fails_with_the_connection() {
    let (mut host, op) = authorized_while_connecting();
    host.open();
    host.recv_last(ProtocolMessage::error(ErrorInfo::new(40101, 401, "invalid credentials")));
    assert_eq!(host.err(op).code, 40101);
    assert_eq!(host.state(), ConnectionState::Failed);
}

// UTS: realtime/unit/RTC8c/authorize-disconnected-initiates-connection-0
// UTS: realtime/unit/RTC8c/authorize-failed-initiates-connection-1
// UTS: realtime/unit/RTC8c/authorize-closed-initiates-connection-2
#[test]
fn rtc8c_authorize_without_a_connection_connects() {
    let initialized = Host::new(renewable());
    let mut disconnected = Host::unanswered(renewable());
    disconnected.lose();
    disconnected.refuse();
    let mut suspended = Host::unanswered(renewable());
    suspended.suspend();
    let mut failed = Host::unanswered(renewable());
    failed.recv_last(ProtocolMessage::error(ErrorInfo::new(40101, 401, "invalid credentials")));
    let mut closed = Host::answered(renewable());
    closed.input(Input::Close);
    let states = [
        ConnectionState::Initialized,
        ConnectionState::Disconnected,
        ConnectionState::Suspended,
        ConnectionState::Failed,
        ConnectionState::Closed,
    ];
    let hosts = [initialized, disconnected, suspended, failed, closed];
    for (mut host, state) in hosts.into_iter().zip(states) {
        assert_eq!(host.state(), state);
        host.forget();
        let op = authorize(&mut host);
        assert_eq!(host.param("accessToken"), Some("token-2"));
        host.accept("conn-9", "key-9");
        host.ok(op);
        assert_eq!(host.connection_path(), ["connecting", "connected"]);
    }
}

// UTS: realtime/unit/RTN2e/token-before-websocket-0
#[test]
fn rtn2e_a_token_is_requested_before_the_transport() {
    let mut host = wants_token();
    assert_eq!((host.state(), host.transports()), (ConnectionState::Connecting, 1));
    host.input(Input::Token(Ok("token-2".into())));
    assert_eq!((host.transports(), host.param("accessToken")), (2, Some("token-2")));
    assert_eq!(host.param("key"), None);
    host.accept("conn-1", "key-1");
    assert_eq!(host.state(), ConnectionState::Connected);
}

// UTS: realtime/unit/RTN2e/reuse-valid-token-3
#[test]
fn rtn2e_a_valid_token_is_reused() {
    let mut host = Host::answered(renewable());
    host.input(Input::Close);
    assert_eq!(host.state(), ConnectionState::Closed);
    host.input(Input::Connect);
    assert_eq!((host.tokens_requested(), host.param("accessToken")), (0, Some("token-1")));
    host.accept("conn-2", "key-2");
    assert_eq!(host.state(), ConnectionState::Connected);
}

// UTS: realtime/unit/RTN2e/callback-error-prevents-connect-1
// UTS: realtime/unit/RSA4c2/callback-error-causes-disconnected-0
// UTS: realtime/unit/RSA4c2/callback-error-connecting-disconnected-0
#[test]
fn rsa4c2_without_a_token_the_attempt_fails() {
    let mut host = wants_token();
    host.input(Input::Token(Err(unavailable())));
    assert_eq!((host.state(), host.transports()), (ConnectionState::Disconnected, 1));
    let reason = host.error_reason().unwrap();
    assert_eq!((reason.code, reason.status_code), (80019, 401));
    assert_eq!(reason.cause.as_deref(), Some(&unavailable()));
    let events = host.connection_events();
    assert_eq!((events.len(), &events[0].reason), (1, &Some(reason)));
}

// UTS: realtime/unit/RSA4c2/callback-timeout-connecting-disconnected-1
#[test]
fn rsa4c2_a_token_that_does_not_arrive_in_time_fails_the_attempt() {
    let mut host = wants_token();
    host.advance(10_000);
    assert_eq!((host.state(), host.transports()), (ConnectionState::Disconnected, 1));
    let reason = host.error_reason().unwrap();
    assert_eq!((reason.code, reason.status_code), (80019, 401));
}

// One case expects the error reason to be set and the newer one does not. The connection is intact,
// so it is a warning.
// UTS: realtime/unit/RSA4c3/callback-error-connected-stays-0
// UTS: realtime/unit/RSA4c3/callback-error-stays-connected-0
#[test]
fn rsa4c3_without_a_new_token_the_connection_stays() {
    let mut host = asked_by_the_server();
    host.input(Input::Token(Err(unavailable())));
    assert_eq!(host.state(), ConnectionState::Connected);
    assert_eq!((host.connection_path(), host.error_reason()), (vec![], None));
    match host.outputs.warnings.as_slice() {
        [Warning::TokenNotRenewed(error)] => {
            assert_eq!((error.code, error.status_code), (80019, 401));
            assert_eq!(error.cause.as_deref(), Some(&unavailable()));
        }
        other => panic!("{other:?}"),
    }
}

// UTS: realtime/unit/RSA4d/callback-403-causes-failed-0
// UTS: realtime/unit/RSA4d/callback-403-connecting-failed-0
// UTS: realtime/unit/RSA4d/callback-403-reauth-causes-failed-1
// UTS: realtime/unit/RSA4d/callback-403-reauth-failed-1
#[test]
fn rsa4d_a_forbidden_token_fails_the_connection() {
    for mut host in [wants_token(), asked_by_the_server()] {
        let transports = host.transports();
        host.input(Input::Token(Err(forbidden())));
        assert_eq!((host.state(), host.transports()), (ConnectionState::Failed, transports));
        let reason = host.error_reason().unwrap();
        assert_eq!((reason.code, reason.status_code), (80019, 403));
        assert_eq!(reason.cause.as_deref(), Some(&forbidden()));
        let events = host.connection_events();
        assert_eq!(events.len(), 1);
        assert_eq!(
            (events[0].current, &events[0].reason),
            (ConnectionState::Failed, &Some(reason))
        );
    }
}
