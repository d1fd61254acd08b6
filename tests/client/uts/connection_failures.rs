//! Attempts that fail and connections that are lost: `connection/backoff_jitter_test.md`,
//! `connection/connection_failures_test.md`, `connection/connection_open_failures_test.md`,
//! `connection/fallback_hosts_test.md`.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use core::time::Duration;
use presence_proto::client::{ChannelState, Client, ClientOptions, ConnectionState, Input};
use presence_proto::wire::{ConnectionDetails, ErrorInfo, Flags, ProtocolMessage};

fn renewable() -> ClientOptions {
    let mut options = options();
    options.token = Some("token-1".into());
    options.token_renewable = true;
    options
}

fn not_renewable() -> ClientOptions {
    let mut options = options();
    options.token = Some("token-1".into());
    options
}

fn internal_error() -> ErrorInfo {
    ErrorInfo::new(50000, 500, "internal error")
}

fn renew(host: &mut Host, token: &str) {
    host.input(Input::Token(Ok(token.into())));
}

/// The delays before the first retries of a client that cannot connect.
fn retry_delays(options: ClientOptions, count: usize) -> Vec<u64> {
    let mut host = Host::new(options);
    host.unreachable = true;
    host.input(Input::Connect);
    for _ in 0..200 {
        host.advance(500);
    }
    host.connection_events()
        .iter()
        .filter(|change| change.current == ConnectionState::Disconnected)
        .map(|change| u64::try_from(change.retry_in.unwrap().as_millis()).unwrap())
        .take(count)
        .collect()
}

// UTS: realtime/unit/RTB1a/backoff-coefficient-sequence-0
#[test]
fn rtb1a_the_delay_grows_to_twice_the_first() {
    let mut options = options();
    options.disconnected_retry_timeout = Duration::from_secs(3);
    assert_eq!(retry_delays(options, 7), [3000, 4000, 5000, 6000, 6000, 6000, 6000]);
}

// UTS: realtime/unit/RTB1b/jitter-coefficient-range-0
#[test]
fn rtb1b_delays_are_scattered_between_80_and_100_percent() {
    const SAMPLES: u64 = 1000;
    let delays: Vec<u64> = (0..SAMPLES)
        .map(|seed| {
            let mut host = Host::new(ClientOptions::default());
            host.client = Client::new(ClientOptions::default(), seed);
            host.input(Input::Connect);
            host.refuse();
            let delay = host.connection_events().pop().and_then(|change| change.retry_in).unwrap();
            u64::try_from(delay.as_millis()).unwrap()
        })
        .collect();
    assert!(delays.iter().all(|delay| (12_000..=15_000).contains(delay)));
    let mean = delays.iter().sum::<u64>() / SAMPLES;
    assert!((13_200..=13_800).contains(&mean), "{mean}");
    let spread = delays.iter().max().unwrap() - delays.iter().min().unwrap();
    assert!(spread > 2_500, "{spread}");
}

// UTS: realtime/unit/RTB1/disconnected-retry-delay-0
#[test]
fn rtb1_retry_delays_of_a_connection() {
    let mut options = ClientOptions::default();
    options.disconnected_retry_timeout = Duration::from_secs(2);
    let delays = retry_delays(options, 5);
    for (delay, most) in delays.iter().zip([2000, 2667, 3334, 4000, 4000]) {
        assert!((most * 8 / 10 - 1..=most).contains(delay), "{delay} of {most}");
    }
    assert_eq!(delays.len(), 5);
}

// A channel event does not have the delay, so the times of the ATTACHs show it.
// UTS: realtime/unit/RTB1/suspended-channel-retry-delay-1
#[test]
fn rtb1_retry_delays_of_a_channel() {
    let mut options = ClientOptions::default();
    options.channel_retry_timeout = Duration::from_secs(3);
    let mut host = Host::unanswered(options);
    host.attach(CH);
    host.recv(attached(CH, Flags::empty()));
    host.recv(detached(CH, Some(internal_error())));
    for most in [3000, 4000, 5000, 6000, 6000] {
        assert_eq!(host.channel_state(CH), ChannelState::Attaching);
        host.recv(detached(CH, Some(internal_error())));
        assert_eq!(host.channel_state(CH), ChannelState::Suspended);
        host.advance(most * 8 / 10 - 1);
        assert_eq!(host.channel_state(CH), ChannelState::Suspended);
        host.advance(most * 2 / 10 + 1);
    }
    assert_eq!(host.channel_state(CH), ChannelState::Attaching);
}

// The case expects the code of the server, its integration case that of RSA4a2: the reason is the
// latter, and its cause the former.
// UTS: realtime/unit/RTN15h1/token-error-no-renew-0
#[test]
fn rtn15h1_a_token_error_without_renewal_fails_the_connection() {
    let mut host = Host::unanswered(not_renewable());
    host.recv_last(disconnected(token_error()));
    assert_eq!(host.state(), ConnectionState::Failed);
    let reason = host.error_reason().unwrap();
    assert_eq!((reason.code, reason.status_code), (40171, 401));
    assert_eq!(reason.cause.as_deref(), Some(&token_error()));
    host.advance(600_000);
    assert_eq!(host.transports(), 1);
}

// UTS: realtime/unit/RTN15h2/token-error-renew-success-0
#[test]
fn rtn15h2_a_token_error_leads_to_a_new_token() {
    let mut host = Host::unanswered(renewable());
    assert_eq!(host.param("accessToken"), Some("token-1"));
    host.recv_last(disconnected(token_error()));
    assert_eq!(host.state(), ConnectionState::Connecting);
    assert_eq!((host.tokens_requested(), host.transports()), (1, 1));
    renew(&mut host, "token-2");
    assert_eq!((host.param("accessToken"), host.param("resume")), (Some("token-2"), Some("key-1")));
    host.accept("conn-1", "key-2");
    assert_eq!(host.state(), ConnectionState::Connected);
    assert_eq!(host.connection_id().as_deref(), Some("conn-1"));
    assert_eq!(host.connection_key().as_deref(), Some("key-2"));
}

// UTS: realtime/unit/RTN15h2/token-error-renew-fails-1
#[test]
fn rtn15h2_without_a_new_token_the_client_is_disconnected() {
    let mut host = Host::unanswered(renewable());
    host.recv_last(disconnected(token_error()));
    host.forget();
    host.input(Input::Token(Err(ErrorInfo::new(40101, 401, "invalid credentials"))));
    assert_eq!(host.state(), ConnectionState::Disconnected);
    assert!(host.error_reason().is_some());
    assert_eq!(host.transports(), 1);
}

// UTS: realtime/unit/RTN15h3/non-token-error-resume-0
#[test]
fn rtn15h3_disconnected_for_another_reason_leads_to_a_resume() {
    let mut host = Host::unanswered(options());
    host.recv_last(disconnected(ErrorInfo::new(80003, 503, "unavailable")));
    assert_eq!(host.state(), ConnectionState::Connecting);
    assert_eq!((host.transports(), host.param("resume")), (2, Some("key-1")));
    host.accept("conn-1", "key-1");
    assert_eq!(host.state(), ConnectionState::Connected);
    assert_eq!(host.connection_id().as_deref(), Some("conn-1"));
}

// UTS: realtime/unit/RTN15j/error-empty-channel-failed-0
#[test]
fn rtn15j_an_error_of_the_connection_fails_it() {
    for channel in [None, Some("".into())] {
        let mut host = Host::unanswered(options());
        let mut frame = ProtocolMessage::error(internal_error());
        frame.channel = channel;
        host.recv_last(frame);
        assert_eq!(host.state(), ConnectionState::Failed);
        assert_eq!(host.error_reason(), Some(internal_error()));
    }
}

// UTS: realtime/unit/RTN15a/unexpected-transport-disconnect-0
#[test]
fn rtn15a_a_lost_transport_is_replaced_at_once() {
    let mut host = Host::unanswered(options());
    host.lose();
    host.accept("conn-1", "key-1");
    assert_eq!(host.connection_path(), ["disconnected", "connecting", "connected"]);
    assert_eq!(host.connection_id().as_deref(), Some("conn-1"));
    assert_eq!((host.transports(), host.time), (2, 0));
}

// UTS: realtime/unit/RTN15b/successful-resume-0
// UTS: realtime/unit/RTN15e/connection-key-updated-0
#[test]
fn rtn15c6_a_resume_keeps_the_id_and_updates_the_key() {
    let mut host = Host::unanswered(options());
    host.lose();
    assert_eq!(host.param("resume"), Some("key-1"));
    host.accept("conn-1", "key-2");
    assert_eq!(host.connection_id().as_deref(), Some("conn-1"));
    assert_eq!(host.connection_key().as_deref(), Some("key-2"));
    host.lose();
    assert_eq!(host.param("resume"), Some("key-2"));
}

// UTS: realtime/unit/RTN15c7/failed-resume-new-id-0
#[test]
fn rtn15c7_a_failed_resume_is_a_new_connection_with_a_reason() {
    let mut host = Host::unanswered(options());
    host.lose();
    host.open();
    let error = ErrorInfo::new(80008, 400, "unable to recover connection");
    host.recv(connected("conn-2", "key-2").with_error(error.clone()));
    assert_eq!(host.state(), ConnectionState::Connected);
    assert_eq!(host.connection_id().as_deref(), Some("conn-2"));
    assert_eq!(host.connection_key().as_deref(), Some("key-2"));
    assert_eq!(host.error_reason(), Some(error));
}

// RTN14h: the key is sent after any time, where the older RTN15g dropped it.
// UTS: realtime/unit/RTN15g/state-cleared-after-ttl-0
#[test]
fn rtn14h_a_suspended_client_still_tries_to_resume() {
    let mut options = options();
    options.disconnected_retry_timeout = Duration::from_secs(1);
    options.suspended_retry_timeout = Duration::from_secs(2);
    let mut host = Host::new(options);
    host.input(Input::Connect);
    host.open();
    let mut details = ConnectionDetails::default();
    details.connection_key = Some("key-1".into());
    details.connection_state_ttl = Some(5_000);
    host.recv(connected_with("conn-1", details));
    host.forget();
    host.suspend();
    assert_eq!(host.time, 5_000, "the ttl of the server");
    host.advance(2_000);
    assert_eq!(host.param("resume"), Some("key-1"));
    host.accept("conn-2", "key-2");
    assert_eq!(host.connection_id().as_deref(), Some("conn-2"));
    assert_eq!(host.connection_key().as_deref(), Some("key-2"));
    let path = host.connection_path();
    assert_eq!(path[path.len() - 3..], ["suspended", "connecting", "connected"]);
}

// UTS: realtime/unit/RTN15c5/token-error-during-resume-0
#[test]
fn rtn15c5_a_token_error_of_a_resume_leads_to_a_new_token() {
    let mut host = Host::unanswered(renewable());
    host.lose();
    host.open();
    host.recv_last(ProtocolMessage::error(token_error()));
    assert_eq!(host.tokens_requested(), 1);
    renew(&mut host, "token-2");
    host.accept("conn-2", "key-2");
    assert_eq!(host.state(), ConnectionState::Connected);
    assert_eq!(host.transports(), 3);
}

// UTS: realtime/unit/RTN15c4/fatal-error-during-resume-0
#[test]
fn rtn15c4_another_error_of_a_resume_fails_the_connection() {
    let mut host = Host::unanswered(options());
    host.lose();
    host.open();
    host.recv_last(ProtocolMessage::error(internal_error()));
    assert_eq!(host.state(), ConnectionState::Failed);
    assert_eq!(host.error_reason(), Some(internal_error()));
    host.advance(600_000);
    assert_eq!(host.transports(), 2);
}

// UTS: realtime/unit/RTN14a/invalid-key-failed-0
// UTS: realtime/unit/RTN14g/error-empty-channel-failed-0
#[test]
fn rtn14g_an_error_of_an_attempt_fails_the_connection() {
    for error in [ErrorInfo::new(40005, 400, "invalid key"), internal_error()] {
        let mut host = Host::new(options());
        host.input(Input::Connect);
        assert_eq!(host.state(), ConnectionState::Connecting);
        host.open();
        host.recv_last(ProtocolMessage::error(error.clone()));
        assert_eq!(host.state(), ConnectionState::Failed);
        assert_eq!(host.error_reason(), Some(error));
        assert_eq!((host.connection_id(), host.connection_key()), (None, None));
    }
}

// UTS: realtime/unit/RTN14b/token-error-with-renewal-0
#[test]
fn rtn14b_a_token_error_of_an_attempt_leads_to_a_new_token() {
    let mut host = Host::new(renewable());
    host.input(Input::Connect);
    host.open();
    host.recv_last(ProtocolMessage::error(token_error()));
    assert_eq!((host.tokens_requested(), host.state()), (1, ConnectionState::Connecting));
    renew(&mut host, "token-2");
    assert_eq!(host.param("accessToken"), Some("token-2"));
    host.accept("conn-1", "key-1");
    assert_eq!(host.state(), ConnectionState::Connected);
    assert_eq!(host.transports(), 2);
}

// UTS: realtime/unit/RTN14b/token-renewal-fails-1
#[test]
fn rtn14b_without_a_new_token_the_client_is_disconnected() {
    let mut host = Host::new(renewable());
    host.input(Input::Connect);
    host.open();
    host.recv_last(ProtocolMessage::error(token_error()));
    host.input(Input::Token(Err(ErrorInfo::new(40171, 401, "unable to renew"))));
    assert_eq!(host.state(), ConnectionState::Disconnected);
    assert_eq!(host.tokens_requested(), 1);
    assert!(host.error_reason().is_some());
}

// UTS: realtime/unit/RSA4a/token-error-no-renewal-0
// UTS: realtime/unit/RSA4a2/token-error-non-renewable-failed-0
// UTS: realtime/unit/RSA4a2/token-error-non-renewable-no-retry-1
// UTS: realtime/unit/RTN25/error-reason-token-error-3
#[test]
fn rsa4a2_a_token_error_of_an_attempt_without_renewal_fails_the_connection() {
    for code in [40140, 40142] {
        let mut host = Host::new(not_renewable());
        host.input(Input::Connect);
        host.open();
        host.recv_last(ProtocolMessage::error(ErrorInfo::new(code, 401, "token error")));
        assert_eq!(host.state(), ConnectionState::Failed);
        assert_eq!(host.error_reason().unwrap().code, 40171);
        let last = host.connection_events().pop().unwrap();
        assert_eq!(last.reason.unwrap().code, 40171);
        host.advance(600_000);
        assert_eq!(host.transports(), 1);
    }
}

// UTS: realtime/unit/RTN14c/connection-timeout-0
#[test]
fn rtn14c_an_attempt_without_connected_fails() {
    let mut options = options();
    options.realtime_request_timeout = Duration::from_secs(1);
    let mut host = Host::new(options);
    host.input(Input::Connect);
    host.advance(400);
    host.open();
    host.advance(599);
    assert_eq!(host.state(), ConnectionState::Connecting);
    host.advance(1);
    assert_eq!(host.state(), ConnectionState::Disconnected);
    assert!(host.error_reason().is_some());
    assert!(!host.is_open());
}

// UTS: realtime/unit/RTN14d/retry-recoverable-failure-0
#[test]
fn rtn14d_a_failed_attempt_is_retried() {
    let mut options = options();
    options.disconnected_retry_timeout = Duration::from_secs(1);
    let mut host = Host::new(options);
    host.input(Input::Connect);
    host.refuse();
    assert_eq!(host.state(), ConnectionState::Disconnected);
    host.advance(1_000);
    host.accept("conn-1", "key-1");
    assert_eq!(host.state(), ConnectionState::Connected);
    assert_eq!(host.transports(), 2);
}

// UTS: realtime/unit/RTN14e/disconnected-to-suspended-0
#[test]
fn rtn14e_a_client_that_cannot_connect_is_suspended() {
    let mut options = options();
    options.disconnected_retry_timeout = Duration::from_secs(1);
    options.connection_state_ttl = Duration::from_secs(5);
    let mut host = Host::new(options);
    host.unreachable = true;
    host.input(Input::Connect);
    host.advance(4_999);
    assert_eq!(host.state(), ConnectionState::Disconnected);
    host.advance(1);
    assert_eq!(host.state(), ConnectionState::Suspended);
    assert!(host.error_reason().is_some());
}

// UTS: realtime/unit/RTN14f/suspended-retries-indefinitely-0
#[test]
fn rtn14f_a_suspended_client_retries_forever() {
    let mut options = options();
    options.suspended_retry_timeout = Duration::from_secs(1);
    let mut host = Host::new(options);
    host.input(Input::Connect);
    host.suspend();
    host.unreachable = true;
    host.forget();
    let attempts = host.transports();
    host.advance(100_000);
    assert_eq!(host.transports(), attempts + 100);
    assert_eq!(host.connection_path(), ["connecting", "suspended"].repeat(100));
    host.unreachable = false;
    host.advance(1_000);
    host.accept("conn-1", "key-1");
    assert_eq!(host.state(), ConnectionState::Connected);
}

// The host chooses other hosts, and needs the status code for it.
// UTS: realtime/unit/RTN17f1/disconnected-5xx-fallback-0
#[test]
fn rtn17f1_the_status_code_of_disconnected_is_reported() {
    let mut host = Host::unanswered(options());
    host.recv_last(disconnected(ErrorInfo::new(50003, 503, "unavailable")));
    let change = host.connection_events().remove(0);
    assert_eq!(change.current, ConnectionState::Disconnected);
    assert_eq!(change.reason.unwrap().status_code, 503);
}
