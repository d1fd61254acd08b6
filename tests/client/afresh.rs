//! A new connection, attempt or request does not inherit state of the previous one.

use crate::driven::Driven;
use crate::host::{Host, me};
use crate::json_frames::connected;
use crate::lines::only;
use presence_proto::OpId;
use presence_proto::client::Input;
use serde_json::{Value as Json, json};

const NONE: Vec<String> = Vec::new();

/// CONNECTED with one more detail.
fn with(id: &str, name: &str, value: u64) -> Json {
    let mut frame = connected(id);
    frame["connectionDetails"][name] = value.into();
    frame
}

fn close(host: &mut Host) {
    host.input(Input::Close);
    host.recv(json!({"action": 8}));
    assert_eq!((host.state().name(), host.next_deadline()), ("closed", None));
}

/// When the connection becomes SUSPENDED, if no attempt succeeds.
fn suspended_after(host: &mut Host) -> u64 {
    let begin = host.time;
    while host.state().name() != "suspended" {
        host.advance(100);
        if host.state().name() == "connecting" {
            host.refuse();
        }
    }
    host.time - begin
}

fn token_error() -> Json {
    json!({"action": 9, "error": {"code": 40142, "statusCode": 401}})
}

fn with_token() -> Host {
    let mut options = me();
    options.token = Some("old".into());
    options.token_renewable = true;
    Host::new(options)
}

/// Clauses: RTN11d, CD2f, CD2c.
#[test]
fn rtn11d_connection_details_do_not_outlive_a_closed_connection() {
    let mut host = Host::new(me());
    host.input(Input::Connect);
    let mut frame = with("conn1", "connectionStateTtl", 5_000);
    frame["connectionDetails"]["maxMessageSize"] = 100.into();
    host.recv(frame);
    assert_eq!(host.client.connection().max_message_size(), 100);
    close(&mut host);
    assert_eq!(host.client.connection().max_message_size(), 65_536);
    host.input(Input::Connect);
    assert_eq!(suspended_after(&mut host), 120_000);
}

/// Clauses: RTN11d, RTN14e.
#[test]
fn rtn11d_a_new_connect_has_the_full_time_until_suspended() {
    let mut host = Host::new(me());
    host.input(Input::Connect);
    host.input(Input::Close);
    assert_eq!(host.refuse(), ["connection closed"]);
    assert_eq!(host.next_deadline(), None);
    host.advance(100_000);
    host.input(Input::Connect);
    assert_eq!(suspended_after(&mut host), 120_000);
}

/// Clauses: RTN12d.
#[test]
fn rtn12d_close_without_a_connection_clears_every_deadline() {
    let mut host = Host::connected("conn1");
    host.lose();
    host.refuse();
    assert_eq!(host.input(Input::Close), ["connection closing", "connection closed"]);
    assert_eq!(host.next_deadline(), None);
}

/// Clauses: RTN12b, RTN23a.
#[test]
fn rtn12b_close_has_its_full_timeout_when_the_server_is_silent() {
    let mut host = Host::new(me());
    host.input(Input::Connect);
    host.recv(with("conn1", "maxIdleInterval", 1_000));
    host.advance(5_000);
    host.input(Input::Close);
    assert_eq!(host.advance(9_999), NONE);
    assert_eq!(host.advance(1), ["close 1", "connection closed 80017 by 80014"]);
}

/// Clauses: RTN23a, CD2h.
#[test]
fn rtn23a_the_idle_interval_is_that_of_the_latest_connected() {
    // Of another connection, which promises nothing.
    let mut host = Host::new(me());
    host.input(Input::Connect);
    host.recv(with("conn1", "maxIdleInterval", 1_000));
    host.lose();
    host.recv(connected("conn1"));
    assert_eq!(host.advance(1_000_000), NONE);
    // Of the same, which takes its promise back.
    let mut host = Host::new(me());
    host.input(Input::Connect);
    host.recv(with("conn1", "maxIdleInterval", 1_000));
    host.recv(with("conn1", "maxIdleInterval", 0));
    assert_eq!(host.advance(1_000_000), NONE);
    // A shorter one counts at once.
    host.recv(with("conn1", "maxIdleInterval", 1_000));
    assert_eq!(host.advance(10_999), NONE);
    assert_eq!(only(&host.advance(1), "connection disconnected").len(), 1);
}

/// Clauses: RTN14c, RTN14e, RTN14f.
#[test]
fn rtn14f_an_attempt_while_suspended_has_its_full_timeout() {
    let mut host = Host::new(me());
    host.input(Input::Connect);
    host.recv(with("conn1", "connectionStateTtl", 5_000));
    host.lose();
    assert_eq!(
        only(&host.advance(5_000), "connection"),
        ["connection suspended 80002 retry in 30000"]
    );
    // The attempt that was cut off leaves no deadline behind.
    assert_eq!(host.next_deadline(), Some(35_000));
    assert_eq!(only(&host.advance(30_000), "connection"), ["connection connecting"]);
    assert_eq!(host.advance(9_999), NONE);
    assert_eq!(only(&host.advance(1), "connection"), ["connection suspended 80014 retry in 30000"]);
}

/// Clauses: RTN14b, RTN15c5, RSA4b.
#[test]
fn rsa4b_a_token_is_renewed_once_between_two_connected() {
    let renewed = |host: &mut Host| {
        let lines = host.recv(token_error());
        assert_eq!(only(&lines, "token"), ["token required"]);
        host.input(Input::Token(Ok("new".into())));
    };
    // After CONNECTED.
    let mut host = with_token();
    host.input(Input::Connect);
    renewed(&mut host);
    host.recv(connected("conn1"));
    host.lose();
    renewed(&mut host);
    assert_eq!(only(&host.recv(token_error()), "connection disconnected").len(), 1);
    // After CLOSED.
    let mut host = with_token();
    host.input(Input::Connect);
    renewed(&mut host);
    host.input(Input::Close);
    host.refuse();
    assert_eq!(host.state().name(), "closed");
    host.input(Input::Connect);
    renewed(&mut host);
}

/// Clauses: RTL5k, RTL5f.
#[test]
fn rtl5f_a_failed_detach_returns_to_the_state_in_which_it_began() {
    let detach = |op| Input::detach(OpId(op), "ch");
    let detached = json!({"action": 13, "channel": "ch"});
    let mut host = Host::attached();
    host.input(detach(1));
    host.recv(detached.clone());
    // One that began in DETACHED.
    host.recv(json!({"action": 11, "channel": "ch"}));
    host.recv(detached);
    assert_eq!(host.channel_state("ch").name(), "detached");
    host.join("ch");
    host.input(detach(2));
    assert_eq!(host.advance(10_000), ["channel ch attached 90007", "done 2 error 90007"]);
}
