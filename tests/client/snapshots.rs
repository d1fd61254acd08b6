//! Canonical conversations of a client as text, one line for each input (`<`) and output
//! (`>`). They double as documentation: see `tests/client/snapshots`.

use crate::host::{Host, me};
use crate::json_frames::{connected, presence, sync};
use crate::text::decode;
use presence_proto::OpId;
use presence_proto::client::{Input, PresenceChange};
use presence_proto::wire::PresenceAction;
use serde_json::json;

macro_rules! snapshot {
    ($host:expr) => {
        insta::assert_snapshot!($host.log)
    };
}

fn enter(op: u64, data: &str) -> Input {
    Input::enter(OpId(op), "ch", Some(data.into()))
}

#[test]
fn connect_enter_update_leave_close() {
    let mut host = Host::attached();
    host.time = 100;
    host.input(enter(1, "hello"));
    host.recv(json!({"action": 1, "msgSerial": 0, "count": 1}));
    host.recv(presence(14, 2, &["me@conn1:0"]));
    host.input(Input::update(OpId(2), "ch", Some("still here".into())));
    host.recv(json!({"action": 1, "msgSerial": 1, "count": 1}));
    host.recv(presence(14, 4, &["me@conn1:1"]));
    host.input(Input::leave(OpId(3), "ch", None));
    host.recv(json!({"action": 1, "msgSerial": 2, "count": 1}));
    host.recv(presence(14, 3, &["me@conn1:2"]));
    host.input(Input::detach(OpId(4), "ch"));
    host.recv(json!({"action": 13, "channel": "ch"}));
    host.input(Input::Close);
    host.recv(json!({"action": 8}));
    snapshot!(host);
}

#[test]
fn enter_before_there_is_a_connection() {
    let mut host = Host::new(me());
    host.input(enter(1, "early"));
    host.input(Input::Connect);
    host.advance(50);
    host.open();
    host.recv(connected("conn1"));
    host.recv(json!({"action": 11, "channel": "ch", "channelSerial": "s0"}));
    host.recv(json!({"action": 1, "msgSerial": 0, "count": 1}));
    snapshot!(host);
}

#[test]
fn a_sync_in_three_pages_and_a_get_that_waits_for_it() {
    let mut host = Host::connected("conn1");
    host.watch("ch");
    host.input(Input::attach(OpId(1), "ch"));
    host.recv(json!({"action": 11, "channel": "ch", "flags": 1}));
    host.input(Input::get(OpId(2), "ch"));
    host.recv(sync("q1:a", &["alice@c1:0", "bob@c2:0"]));
    host.recv(presence(14, 3, &["bob@c2:1"]));
    host.recv(sync("q1:b", &["carol@c3:0", "bob@c2:0"]));
    host.recv(sync("q1:", &["dave@c4:0"]));
    snapshot!(host);
}

#[test]
fn a_second_sync_removes_absent_members() {
    let mut host = Host::attached();
    host.recv(presence(14, 2, &["alice@c1:0", "bob@c2:0", "carol@c3:0"]));
    host.time = 1_000;
    host.recv(sync("q1:x", &["alice@c1:0"]));
    host.recv(sync("q2:x", &["bob@c2:1"]));
    host.recv(presence(14, 2, &["dave@c4:0"]));
    host.recv(sync("q2:", &[]));
    snapshot!(host);
}

#[test]
fn a_drop_and_a_resume_in_time() {
    let mut host = Host::attached();
    host.input(enter(1, "hello"));
    host.recv(json!({"action": 1, "msgSerial": 0}));
    host.recv(presence(14, 2, &["me@conn1:0"]));
    host.input(Input::update(OpId(2), "ch", Some("in flight".into())));
    host.advance(5_000);
    host.lose();
    host.input(Input::enter(OpId(3), "ch", Some("queued".into())));
    host.advance(100);
    host.open();
    host.recv(connected("conn1"));
    host.recv(json!({"action": 11, "channel": "ch", "flags": 5}));
    host.recv(sync("q1:", &["me@conn1:0"]));
    host.recv(json!({"action": 1, "msgSerial": 1, "count": 2}));
    snapshot!(host);
}

#[test]
fn a_drop_and_a_resume_that_fails() {
    let mut host = Host::attached();
    host.input(enter(1, "hello"));
    host.recv(json!({"action": 1, "msgSerial": 0}));
    host.recv(presence(14, 2, &["me@conn1:0"]));
    host.input(Input::update(OpId(2), "ch", Some("in flight".into())));
    host.lose();
    host.open();
    let mut frame = connected("conn2");
    frame["error"] = json!({"code": 80018, "statusCode": 400, "message": "unable to resume"});
    host.recv(frame);
    host.recv(json!({"action": 11, "channel": "ch", "flags": 1}));
    host.recv(sync("q1:", &["me@conn1:0"]));
    host.recv(json!({"action": 1, "msgSerial": 0, "count": 2}));
    host.recv(presence(14, 2, &["me@conn2:0"]));
    host.recv(presence(14, 4, &["me@conn2:1"]));
    snapshot!(host);
}

#[test]
fn no_connection_for_two_minutes() {
    let mut host = Host::attached();
    host.input(enter(1, "hello"));
    host.lose();
    for _ in 0..6 {
        // Some of these reports are late: the client has given the transport up.
        host.input(Input::open_failed(host.transport(), None));
        host.advance(30_000);
    }
    host.input(enter(2, "too late"));
    snapshot!(host);
}

#[test]
fn the_server_falls_silent() {
    let mut host = Host::new(me());
    host.input(Input::Connect);
    host.open();
    let mut frame = connected("conn1");
    frame["connectionDetails"]["maxIdleInterval"] = 15_000.into();
    host.recv(frame);
    host.advance(20_000);
    host.recv(json!({"action": 0}));
    host.advance(30_000);
    snapshot!(host);
}

#[test]
fn a_channel_that_the_server_detaches_again_and_again() {
    let mut host = Host::attached();
    let detached =
        json!({"action": 13, "channel": "ch", "error": {"code": 50000, "statusCode": 500}});
    for _ in 0..3 {
        host.recv(detached.clone());
        host.recv(detached.clone());
        host.advance(30_000);
    }
    host.recv(json!({"action": 11, "channel": "ch"}));
    snapshot!(host);
}

#[test]
fn a_reentry_that_the_server_refuses() {
    let mut host = Host::attached();
    host.input(enter(1, "hello"));
    host.recv(json!({"action": 1, "msgSerial": 0}));
    host.recv(presence(14, 2, &["me@conn1:0"]));
    host.recv(json!({"action": 11, "channel": "ch"}));
    host.recv(json!({
        "action": 2, "msgSerial": 1, "count": 1,
        "error": {"code": 40160, "statusCode": 401, "message": "denied"},
    }));
    snapshot!(host);
}

#[test]
fn one_connection_acts_for_many_client_ids() {
    let mut options = me();
    options.client_id = None;
    let mut host = Host::new(options);
    host.input(Input::Connect);
    host.open();
    let mut frame = connected("conn1");
    frame["connectionDetails"]["clientId"] = "*".into();
    host.recv(frame);
    host.watch("ch");
    host.join("ch");
    for (op, who) in [(1, "alice"), (2, "bob")] {
        let change = PresenceChange::new(PresenceAction::Enter, None).of_client(who);
        host.input(Input::presence(OpId(op), "ch", change));
    }
    host.input(enter(3, "who am I"));
    host.recv(json!({"action": 1, "msgSerial": 0, "count": 2}));
    host.recv(presence(14, 2, &["alice@conn1:0", "bob@conn1:1"]));
    host.lose();
    host.open();
    host.recv(connected("conn1"));
    host.recv(json!({"action": 11, "channel": "ch", "flags": 5}));
    snapshot!(host);
}

#[test]
fn a_token_expires_and_is_renewed() {
    let mut options = me();
    options.token = Some("old".into());
    options.token_renewable = true;
    let mut host = Host::new(options);
    host.connect("conn1");
    host.recv(json!({"action": 17}));
    host.input(Input::Token(Ok("new".into())));
    host.recv(connected("conn1"));
    host.recv(json!({"action": 6, "error": {"code": 40142, "statusCode": 401}}));
    host.input(Input::Token(Ok("newer".into())));
    host.open();
    host.recv(json!({"action": 9, "error": {"code": 40142, "statusCode": 401}}));
    host.advance(20_000);
    snapshot!(host);
}

#[test]
fn a_late_subscriber() {
    let mut host = Host::attached();
    host.recv(presence(14, 2, &["alice@c1:0", "bob@c2:0"]));
    host.input(Input::subscribe(OpId(1), "ch", presence_proto::SubscriptionId(7)));
    snapshot!(host);
}

#[test]
fn a_ping_with_an_answer_and_one_without() {
    let mut host = Host::connected("conn1");
    let lines = host.input(Input::ping(OpId(1)));
    let id = lines[0].split('"').nth(3).expect("an id").to_owned();
    host.time += 30;
    host.recv(json!({"action": 0, "id": id}));
    host.input(Input::ping(OpId(2)));
    host.recv(json!({"action": 0}));
    host.advance(10_000);
    snapshot!(host);
}

#[test]
fn messages_pass_through() {
    let mut host = Host::attached();
    let message = json!({
        "action": 15, "channel": "ch", "messages": [{"name": "greeting", "data": "hi"}],
    });
    host.input(Input::send(OpId(1), Box::new(decode(&message))));
    host.input(enter(2, "here"));
    host.recv(json!({"action": 1, "msgSerial": 0, "count": 2}));
    host.recv(json!({
        "action": 15, "channel": "ch", "channelSerial": "s5", "id": "conn1:0",
        "messages": [{"name": "greeting", "data": "hi"}],
    }));
    snapshot!(host);
}
