//! What is left of a connection, an attempt or a request when the next one begins: nothing that
//! was about the one before.

use crate::rig::{Rig, connected, only, options};
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

fn close(rig: &mut Rig) {
    rig.input(Input::Close);
    rig.recv(json!({"action": 8}));
    assert_eq!((rig.state(), rig.next()), ("closed", None));
}

/// When the connection becomes SUSPENDED, if no attempt succeeds.
fn suspended_after(rig: &mut Rig) -> u64 {
    let begin = rig.time;
    while rig.state() != "suspended" {
        rig.pass(100);
        if rig.state() == "connecting" {
            rig.refuse();
        }
    }
    rig.time - begin
}

fn token_error() -> Json {
    json!({"action": 9, "error": {"code": 40142, "statusCode": 401}})
}

fn with_token() -> Rig {
    let mut options = options();
    options.token = Some("old".into());
    options.token_renewable = true;
    Rig::with(options)
}

/// Clauses: RTN11d, CD2f, CD2c.
#[test]
fn rtn11d_what_the_last_server_told_does_not_hold_for_the_next() {
    let mut rig = Rig::new();
    rig.input(Input::Connect);
    let mut frame = with("conn1", "connectionStateTtl", 5_000);
    frame["connectionDetails"]["maxMessageSize"] = 100.into();
    rig.recv(frame);
    assert_eq!(rig.client.connection().max_message_size(), 100);
    close(&mut rig);
    assert_eq!(rig.client.connection().max_message_size(), 65_536);
    rig.input(Input::Connect);
    assert_eq!(suspended_after(&mut rig), 120_000);
}

/// Clauses: RTN11d, RTN14e.
#[test]
fn rtn11d_the_time_to_connect_begins_anew() {
    let mut rig = Rig::new();
    rig.input(Input::Connect);
    rig.input(Input::Close);
    assert_eq!(rig.refuse(), ["connection closed"]);
    assert_eq!(rig.next(), None);
    rig.pass(100_000);
    rig.input(Input::Connect);
    assert_eq!(suspended_after(&mut rig), 120_000);
}

/// Clauses: RTN12d.
#[test]
fn rtn12d_a_close_without_a_connection_ends_every_wait() {
    let mut rig = Rig::connected("conn1");
    rig.drop_transport();
    rig.refuse();
    assert_eq!(rig.input(Input::Close), ["connection closing", "connection closed"]);
    assert_eq!(rig.next(), None);
}

/// Clauses: RTN12b, RTN23a.
#[test]
fn rtn12b_a_close_has_its_time_though_the_server_is_silent() {
    let mut rig = Rig::new();
    rig.input(Input::Connect);
    rig.recv(with("conn1", "maxIdleInterval", 1_000));
    rig.pass(5_000);
    rig.input(Input::Close);
    assert_eq!(rig.pass(9_999), NONE);
    assert_eq!(rig.pass(1), ["close 1", "connection closed 80017 by 80014"]);
}

/// Clauses: RTN23a, CD2h.
#[test]
fn rtn23a_an_idle_interval_is_that_of_the_last_connected() {
    // Of another connection, which promises nothing.
    let mut rig = Rig::new();
    rig.input(Input::Connect);
    rig.recv(with("conn1", "maxIdleInterval", 1_000));
    rig.drop_transport();
    rig.recv(connected("conn1"));
    assert_eq!(rig.pass(1_000_000), NONE);
    // Of the same, which takes its promise back.
    let mut rig = Rig::new();
    rig.input(Input::Connect);
    rig.recv(with("conn1", "maxIdleInterval", 1_000));
    rig.recv(with("conn1", "maxIdleInterval", 0));
    assert_eq!(rig.pass(1_000_000), NONE);
    // A shorter one counts at once.
    rig.recv(with("conn1", "maxIdleInterval", 1_000));
    assert_eq!(rig.pass(10_999), NONE);
    assert_eq!(only(&rig.pass(1), "connection disconnected").len(), 1);
}

/// Clauses: RTN14c, RTN14e, RTN14f.
#[test]
fn rtn14f_an_attempt_of_a_suspended_connection_has_its_full_time() {
    let mut rig = Rig::new();
    rig.input(Input::Connect);
    rig.recv(with("conn1", "connectionStateTtl", 5_000));
    rig.drop_transport();
    assert_eq!(only(&rig.pass(5_000), "connection"), ["connection suspended 80002 retry in 30000"]);
    // The attempt that was cut off leaves no deadline behind.
    assert_eq!(rig.next(), Some(35_000));
    assert_eq!(only(&rig.pass(30_000), "connection"), ["connection connecting"]);
    assert_eq!(rig.pass(9_999), NONE);
    assert_eq!(only(&rig.pass(1), "connection"), ["connection suspended 80014 retry in 30000"]);
}

/// Clauses: RTN14b, RTN15c5, RSA4b.
#[test]
fn rsa4b_a_token_is_renewed_once_between_one_connected_and_the_next() {
    let renewed = |rig: &mut Rig| {
        let lines = rig.recv(token_error());
        assert_eq!(only(&lines, "token"), ["token required"]);
        rig.input(Input::Token(Ok("new".into())));
    };
    // After CONNECTED.
    let mut rig = with_token();
    rig.input(Input::Connect);
    renewed(&mut rig);
    rig.recv(connected("conn1"));
    rig.drop_transport();
    renewed(&mut rig);
    assert_eq!(only(&rig.recv(token_error()), "connection disconnected").len(), 1);
    // After CLOSED.
    let mut rig = with_token();
    rig.input(Input::Connect);
    renewed(&mut rig);
    rig.input(Input::Close);
    rig.refuse();
    assert_eq!(rig.state(), "closed");
    rig.input(Input::Connect);
    renewed(&mut rig);
}

/// Clauses: RTL5k, RTL5f.
#[test]
fn rtl5f_a_detach_returns_to_where_it_began_itself() {
    let detach = |op| Input::detach(OpId(op), "ch");
    let detached = json!({"action": 13, "channel": "ch"});
    let mut rig = Rig::attached();
    rig.input(detach(1));
    rig.recv(detached.clone());
    // One that began in DETACHED.
    rig.recv(json!({"action": 11, "channel": "ch"}));
    rig.recv(detached);
    assert_eq!(rig.channel_state("ch"), "detached");
    rig.attach("ch");
    rig.input(detach(2));
    assert_eq!(rig.pass(10_000), ["channel ch attached 90007", "done 2 error 90007"]);
}
