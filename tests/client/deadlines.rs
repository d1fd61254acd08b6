//! Deadlines of operations: which run on when the connection is lost, and which end with it.

use crate::driven::Driven;
use crate::host::{Host, me};
use crate::json_frames::connected;
use crate::lines::only;
use presence_proto::OpId;
use presence_proto::client::{ChannelOptions, GetParams, Input};
use presence_proto::wire::Modes;
use serde_json::json;

const NONE: Vec<String> = Vec::new();

fn attach(op: u64) -> Input {
    Input::attach(OpId(op), "ch")
}

fn detach(op: u64) -> Input {
    Input::detach(OpId(op), "ch")
}

fn with_modes(op: u64) -> Input {
    let mut options = ChannelOptions::default();
    options.modes = Some(Modes::PRESENCE);
    Input::set_options(OpId(op), "ch", options)
}

/// The connection is lost, and the attempt to resume it fails.
fn lose(host: &mut Host) {
    host.lose();
    host.refuse();
    assert_eq!(host.state().name(), "disconnected");
}

/// The channel events and results while there is no connection. All attempts fail.
fn pass_without_connection(host: &mut Host, millis: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..millis {
        lines.extend(host.advance(1));
        if host.state().name() == "connecting" {
            host.refuse();
        }
    }
    lines.retain(|line| ["channel", "done"].iter().any(|start| line.starts_with(start)));
    lines
}

/// Clauses: RTL4f, RTL3e, RTL3d.
#[test]
fn rtl4f_the_timeout_of_an_attach_runs_on_without_a_connection() {
    let mut host = Host::connected("conn1");
    host.input(attach(1));
    host.advance(3_000);
    lose(&mut host);
    assert_eq!(host.channel_state("ch").name(), "attaching", "RTL3e");
    assert_eq!(pass_without_connection(&mut host, 6_999), NONE);
    assert_eq!(
        pass_without_connection(&mut host, 1),
        ["channel ch suspended 90007", "done 1 error 90007"]
    );
    // RTL13c: nothing is tried without a connection. RTL3d: with it, all is.
    assert_eq!(pass_without_connection(&mut host, 50_000), NONE);
    assert_eq!(host.channel_state("ch").name(), "suspended");
    host.input(Input::Connect);
    let lines = host.recv(connected("conn1"));
    assert_eq!(lines[..2], ["channel ch attaching", "send ATTACH {\"channel\":\"ch\"}"]);
}

/// Clauses: RTL4f, RTN19b.
#[test]
fn rtl4f_sending_attach_again_does_not_extend_its_timeout() {
    let mut host = Host::connected("conn1");
    host.input(attach(1));
    host.advance(9_000);
    host.lose();
    host.advance(500);
    assert_eq!(only(&host.recv(connected("conn1")), "send ATTACH").len(), 1);
    assert_eq!(host.advance(499), NONE);
    assert_eq!(host.advance(1), ["channel ch suspended 90007", "done 1 error 90007"]);
    // The answer is taken though it is late.
    assert_eq!(host.recv(json!({"action": 11, "channel": "ch"})), ["channel ch attached"]);
}

/// Clauses: RTL4f.
#[test]
fn rtl4f_new_options_do_not_extend_the_timeout_of_an_attach() {
    let mut host = Host::connected("conn1");
    host.input(attach(1));
    host.advance(9_999);
    host.input(with_modes(2));
    let lines = host.advance(1);
    assert_eq!(lines, ["channel ch suspended 90007", "done 2 error 90007", "done 1 error 90007"]);
}

/// Clauses: RTL4f, RTL11, RTL33b1.
#[test]
fn rtl11_operations_that_wait_for_an_attach_fail_when_it_times_out() {
    let mut host = Host::connected("conn1");
    host.input(Input::enter(OpId(1), "ch", None));
    host.input(Input::leave(OpId(2), "ch", None));
    let params = GetParams::default();
    host.input(Input::get_with(OpId(3), "ch", params));
    host.input(Input::subscribe(OpId(4), "ch", presence_proto::SubscriptionId(1)));
    host.input(detach(5));
    lose(&mut host);
    assert_eq!(
        pass_without_connection(&mut host, 10_000),
        [
            "channel ch suspended 90007",
            "done 1 error 90007",
            "done 2 error 90007",
            "done 3 error 90007",
            "done 4 error 90007",
            // The detach after the attach continues (RTL5i, RTL5j).
            "channel ch detached",
            "done 5 ok",
        ]
    );
    assert_eq!(host.client.pending_operations(), 0);
}

/// Clauses: RTL5f, RTL3e, RTL3d.
#[test]
fn rtl5f_the_timeout_of_a_detach_runs_on_without_a_connection() {
    let mut host = Host::attached();
    host.input(detach(1));
    host.advance(3_000);
    lose(&mut host);
    assert_eq!(pass_without_connection(&mut host, 6_999), NONE);
    assert_eq!(
        pass_without_connection(&mut host, 1),
        ["channel ch attached 90007", "done 1 error 90007"]
    );
    host.input(Input::Connect);
    let lines = host.recv(connected("conn1"));
    assert_eq!(lines[0], "channel ch attaching", "RTL3d");
}

/// Clauses: RTL5f, RTN19b.
#[test]
fn rtl5f_sending_detach_again_does_not_extend_its_timeout() {
    let mut host = Host::attached();
    host.input(detach(1));
    host.advance(9_000);
    host.lose();
    assert_eq!(only(&host.recv(connected("conn1")), "send DETACH").len(), 1);
    assert_eq!(host.advance(999), NONE);
    assert_eq!(host.advance(1), ["channel ch attached 90007", "done 1 error 90007"]);
}

/// Clauses: RTL5f, RTL5k.
#[test]
fn rtl5k_the_timeout_of_a_detach_after_attached_runs_on_without_a_connection() {
    let mut host = Host::attached();
    host.input(detach(1));
    host.recv(json!({"action": 13, "channel": "ch"}));
    host.recv(json!({"action": 11, "channel": "ch"}));
    assert_eq!(host.channel_state("ch").name(), "detaching");
    lose(&mut host);
    assert_eq!(pass_without_connection(&mut host, 10_000), ["channel ch detached 90007"]);
}

/// Clauses: RTL16a.
#[test]
fn rtl16a_the_timeout_of_new_options_runs_on_without_a_connection() {
    let mut host = Host::attached();
    host.input(with_modes(1));
    host.advance(3_000);
    // A second request joins the first, which keeps its timeout.
    host.input(with_modes(2));
    lose(&mut host);
    assert_eq!(pass_without_connection(&mut host, 6_999), NONE);
    assert_eq!(pass_without_connection(&mut host, 1), ["done 1 error 90007", "done 2 error 90007"]);
    assert_eq!(host.channel_state("ch").name(), "attached");
}

/// Clauses: RTL16a, RTL5f.
#[test]
fn rtl16a_new_options_fail_with_a_detach_that_times_out() {
    let mut host = Host::attached();
    host.input(with_modes(1));
    host.input(detach(2));
    let lines = host.advance(10_000);
    assert_eq!(only(&lines, "done"), ["done 1 error 90007", "done 2 error 90007"]);
    assert_eq!(host.channel_state("ch").name(), "attached");
}

/// Clauses: RTN13c.
#[test]
fn rtn13c_the_timeout_of_a_ping_runs_on_without_a_connection() {
    let mut host = Host::connected("conn1");
    host.input(Input::ping(OpId(1)));
    host.advance(3_000);
    lose(&mut host);
    // The timeout of an unsent ping starts when it is sent (RTN13d).
    host.input(Input::ping(OpId(2)));
    assert_eq!(pass_without_connection(&mut host, 6_999), NONE);
    assert_eq!(pass_without_connection(&mut host, 1), ["done 1 error 80014"]);
    assert_eq!(pass_without_connection(&mut host, 20_000), NONE);
    host.input(Input::Connect);
    host.recv(connected("conn1"));
    assert_eq!(host.advance(9_999), NONE);
    assert_eq!(host.advance(1), ["done 2 error 80014"]);
}

/// Clauses: RTN14c, RTN14e, RTC8b1.
#[test]
fn rtc8b1_authorize_fails_when_the_connection_becomes_suspended() {
    let mut host = Host::connected("conn1");
    host.input(Input::authorize(OpId(1), "t"));
    lose(&mut host);
    // The only timeout is that of the connection: the next CONNECTED completes it.
    assert_eq!(pass_without_connection(&mut host, 119_999), NONE);
    assert_eq!(pass_without_connection(&mut host, 1), ["done 1 error 80002"]);
}

/// Clauses: RTL13c.
#[test]
fn rtl13c_channels_do_not_retry_while_not_connected() {
    let suspended = || {
        let mut host = Host::connected("conn1");
        host.input(attach(1));
        let error = json!({"code": 50000, "statusCode": 500});
        host.recv(json!({"action": 13, "channel": "ch", "error": error}));
        host.advance(14_000);
        assert_eq!(host.channel_state("ch").name(), "suspended");
        host
    };
    let mut host = suspended();
    lose(&mut host);
    assert_eq!(pass_without_connection(&mut host, 30_000), NONE);
    let mut host = suspended();
    host.input(Input::Close);
    assert_eq!(host.advance(5_000), NONE, "while CLOSING");
    assert_eq!(host.state().name(), "closing");
    // In comparison: with a connection it retries.
    let mut host = suspended();
    assert_eq!(host.advance(1_000)[0], "channel ch attaching");
}

/// Clauses: RTL13b, RTL13c, RTB1.
#[test]
fn rtl13b_only_attempts_while_connected_count_for_the_retry_delay() {
    let mut host = Host::connected("conn1");
    host.input(attach(1));
    lose(&mut host);
    pass_without_connection(&mut host, 10_000);
    assert_eq!(host.channel_state("ch").name(), "suspended");
    host.input(Input::Connect);
    host.recv(connected("conn1"));
    host.advance(10_000);
    assert_eq!(host.channel_state("ch").name(), "suspended");
    // The first delay, not the second.
    assert_eq!(host.advance(14_999), NONE);
    assert_eq!(host.advance(1)[0], "channel ch attaching");
}

/// Clauses: RTN23a, RTN14d.
#[test]
fn rtn23a_the_deadlines_of_a_transport_end_with_it() {
    let mut host = Host::new(me());
    host.input(Input::Connect);
    let mut frame = connected("conn1");
    frame["connectionDetails"]["maxIdleInterval"] = 5_000.into();
    host.recv(frame);
    lose(&mut host);
    // Neither the idle interval nor the time of the attempt: the next is the retry.
    assert_eq!(host.next_deadline(), Some(20_000));
    host.input(Input::Connect);
    assert_eq!(host.next_deadline(), Some(10_000), "a new attempt has its own time");
}
