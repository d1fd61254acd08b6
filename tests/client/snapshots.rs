//! Canonical conversations of a client as text, one line for each thing that goes in (`<`) or
//! comes out (`>`). They double as documentation: see `tests/snapshots`.

use crate::rig::{Rig, connected, options, presence, sync};
use presence_proto::OpId;
use presence_proto::client::{Input, PresenceChange};
use presence_proto::wire::PresenceAction;
use serde_json::json;

macro_rules! snapshot {
    ($rig:expr) => {
        insta::assert_snapshot!($rig.log)
    };
}

fn enter(op: u64, data: &str) -> Input {
    Input::enter(OpId(op), "ch", Some(data.into()))
}

#[test]
fn connect_enter_update_leave_close() {
    let mut rig = Rig::attached();
    rig.time = 100;
    rig.input(enter(1, "hello"));
    rig.recv(json!({"action": 1, "msgSerial": 0, "count": 1}));
    rig.recv(presence(14, 2, &["me@conn1:0"]));
    rig.input(Input::update(OpId(2), "ch", Some("still here".into())));
    rig.recv(json!({"action": 1, "msgSerial": 1, "count": 1}));
    rig.recv(presence(14, 4, &["me@conn1:1"]));
    rig.input(Input::leave(OpId(3), "ch", None));
    rig.recv(json!({"action": 1, "msgSerial": 2, "count": 1}));
    rig.recv(presence(14, 3, &["me@conn1:2"]));
    rig.input(Input::detach(OpId(4), "ch"));
    rig.recv(json!({"action": 13, "channel": "ch"}));
    rig.input(Input::Close);
    rig.recv(json!({"action": 8}));
    snapshot!(rig);
}

#[test]
fn enter_before_there_is_a_connection() {
    let mut rig = Rig::new();
    rig.input(enter(1, "early"));
    rig.input(Input::Connect);
    rig.pass(50);
    rig.open();
    rig.recv(connected("conn1"));
    rig.recv(json!({"action": 11, "channel": "ch", "channelSerial": "s0"}));
    rig.recv(json!({"action": 1, "msgSerial": 0, "count": 1}));
    snapshot!(rig);
}

#[test]
fn a_sync_in_three_pages_and_a_get_that_waits_for_it() {
    let mut rig = Rig::connected("conn1");
    rig.subscribe("ch");
    rig.input(Input::attach(OpId(1), "ch"));
    rig.recv(json!({"action": 11, "channel": "ch", "flags": 1}));
    rig.input(Input::get(OpId(2), "ch"));
    rig.recv(sync("q1:a", &["alice@c1:0", "bob@c2:0"]));
    rig.recv(presence(14, 3, &["bob@c2:1"]));
    rig.recv(sync("q1:b", &["carol@c3:0", "bob@c2:0"]));
    rig.recv(sync("q1:", &["dave@c4:0"]));
    snapshot!(rig);
}

#[test]
fn a_second_sync_removes_who_is_not_in_it() {
    let mut rig = Rig::attached();
    rig.recv(presence(14, 2, &["alice@c1:0", "bob@c2:0", "carol@c3:0"]));
    rig.time = 1_000;
    rig.recv(sync("q1:x", &["alice@c1:0"]));
    rig.recv(sync("q2:x", &["bob@c2:1"]));
    rig.recv(presence(14, 2, &["dave@c4:0"]));
    rig.recv(sync("q2:", &[]));
    snapshot!(rig);
}

#[test]
fn a_drop_and_a_resume_in_time() {
    let mut rig = Rig::attached();
    rig.input(enter(1, "hello"));
    rig.recv(json!({"action": 1, "msgSerial": 0}));
    rig.recv(presence(14, 2, &["me@conn1:0"]));
    rig.input(Input::update(OpId(2), "ch", Some("in flight".into())));
    rig.pass(5_000);
    rig.drop_transport();
    rig.input(Input::enter(OpId(3), "ch", Some("queued".into())));
    rig.pass(100);
    rig.open();
    rig.recv(connected("conn1"));
    rig.recv(json!({"action": 11, "channel": "ch", "flags": 5}));
    rig.recv(sync("q1:", &["me@conn1:0"]));
    rig.recv(json!({"action": 1, "msgSerial": 1, "count": 2}));
    snapshot!(rig);
}

#[test]
fn a_drop_and_a_resume_that_fails() {
    let mut rig = Rig::attached();
    rig.input(enter(1, "hello"));
    rig.recv(json!({"action": 1, "msgSerial": 0}));
    rig.recv(presence(14, 2, &["me@conn1:0"]));
    rig.input(Input::update(OpId(2), "ch", Some("in flight".into())));
    rig.drop_transport();
    rig.open();
    let mut frame = connected("conn2");
    frame["error"] = json!({"code": 80018, "statusCode": 400, "message": "unable to resume"});
    rig.recv(frame);
    rig.recv(json!({"action": 11, "channel": "ch", "flags": 1}));
    rig.recv(sync("q1:", &["me@conn1:0"]));
    rig.recv(json!({"action": 1, "msgSerial": 0, "count": 2}));
    rig.recv(presence(14, 2, &["me@conn2:0"]));
    rig.recv(presence(14, 4, &["me@conn2:1"]));
    snapshot!(rig);
}

#[test]
fn no_connection_for_two_minutes() {
    let mut rig = Rig::attached();
    rig.input(enter(1, "hello"));
    rig.drop_transport();
    for _ in 0..6 {
        rig.refuse();
        rig.pass(30_000);
    }
    rig.input(enter(2, "too late"));
    snapshot!(rig);
}

#[test]
fn the_server_falls_silent() {
    let mut rig = Rig::new();
    rig.input(Input::Connect);
    rig.open();
    let mut frame = connected("conn1");
    frame["connectionDetails"]["maxIdleInterval"] = 15_000.into();
    rig.recv(frame);
    rig.pass(20_000);
    rig.recv(json!({"action": 0}));
    rig.pass(30_000);
    snapshot!(rig);
}

#[test]
fn a_channel_that_the_server_detaches_again_and_again() {
    let mut rig = Rig::attached();
    let detached =
        json!({"action": 13, "channel": "ch", "error": {"code": 50000, "statusCode": 500}});
    for _ in 0..3 {
        rig.recv(detached.clone());
        rig.recv(detached.clone());
        rig.pass(30_000);
    }
    rig.recv(json!({"action": 11, "channel": "ch"}));
    snapshot!(rig);
}

#[test]
fn a_reentry_that_the_server_refuses() {
    let mut rig = Rig::attached();
    rig.input(enter(1, "hello"));
    rig.recv(json!({"action": 1, "msgSerial": 0}));
    rig.recv(presence(14, 2, &["me@conn1:0"]));
    rig.recv(json!({"action": 11, "channel": "ch"}));
    rig.recv(json!({
        "action": 2, "msgSerial": 1, "count": 1,
        "error": {"code": 40160, "statusCode": 401, "message": "denied"},
    }));
    snapshot!(rig);
}

#[test]
fn one_connection_speaks_for_many() {
    let mut options = options();
    options.client_id = None;
    let mut rig = Rig::with(options);
    rig.input(Input::Connect);
    rig.open();
    let mut frame = connected("conn1");
    frame["connectionDetails"]["clientId"] = "*".into();
    rig.recv(frame);
    rig.subscribe("ch");
    rig.attach("ch");
    for (op, who) in [(1, "alice"), (2, "bob")] {
        let change = PresenceChange::new(PresenceAction::Enter, None).of_client(who);
        rig.input(Input::presence(OpId(op), "ch", change));
    }
    rig.input(enter(3, "who am I"));
    rig.recv(json!({"action": 1, "msgSerial": 0, "count": 2}));
    rig.recv(presence(14, 2, &["alice@conn1:0", "bob@conn1:1"]));
    rig.drop_transport();
    rig.open();
    rig.recv(connected("conn1"));
    rig.recv(json!({"action": 11, "channel": "ch", "flags": 5}));
    snapshot!(rig);
}

#[test]
fn a_token_that_ends() {
    let mut options = options();
    options.token = Some("old".into());
    options.token_renewable = true;
    let mut rig = Rig::with(options);
    rig.connect_as("conn1");
    rig.recv(json!({"action": 17}));
    rig.input(Input::Token(Ok("new".into())));
    rig.recv(connected("conn1"));
    rig.recv(json!({"action": 6, "error": {"code": 40142, "statusCode": 401}}));
    rig.input(Input::Token(Ok("newer".into())));
    rig.open();
    rig.recv(json!({"action": 9, "error": {"code": 40142, "statusCode": 401}}));
    rig.pass(20_000);
    snapshot!(rig);
}

#[test]
fn a_subscriber_that_comes_late() {
    let mut rig = Rig::attached();
    rig.recv(presence(14, 2, &["alice@c1:0", "bob@c2:0"]));
    rig.input(Input::subscribe(OpId(1), "ch", presence_proto::SubscriptionId(7)));
    snapshot!(rig);
}

#[test]
fn a_ping_and_one_without_an_answer() {
    let mut rig = Rig::connected("conn1");
    let lines = rig.input(Input::ping(OpId(1)));
    let id = lines[0].split('"').nth(3).expect("an id").to_owned();
    rig.time += 30;
    rig.recv(json!({"action": 0, "id": id}));
    rig.input(Input::ping(OpId(2)));
    rig.recv(json!({"action": 0}));
    rig.pass(10_000);
    snapshot!(rig);
}

#[test]
fn messages_pass_through() {
    let mut rig = Rig::attached();
    let message = json!({
        "action": 15, "channel": "ch", "messages": [{"name": "greeting", "data": "hi"}],
    });
    rig.input(Input::send(OpId(1), Box::new(crate::text::decode(&message))));
    rig.input(enter(2, "here"));
    rig.recv(json!({"action": 1, "msgSerial": 0, "count": 2}));
    rig.recv(json!({
        "action": 15, "channel": "ch", "channelSerial": "s5", "id": "conn1:0",
        "messages": [{"name": "greeting", "data": "hi"}],
    }));
    snapshot!(rig);
}
