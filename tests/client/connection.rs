//! The connection, clause by clause.

use crate::driven::Driven;
use crate::host::{Host, me};
use crate::json_frames::{connected, presence};
use crate::lines::only;
use crate::text::decode;
use core::time::Duration;
use presence_proto::client::{ClientOptions, ConnectionState, Input};
use presence_proto::wire::{ErrorInfo, Format, Params};
use presence_proto::{OpId, TransportId};
use serde_json::json;

fn fatal() -> serde_json::Value {
    json!({"action": 9, "error": {"code": 40400, "statusCode": 404, "message": "no such app"}})
}

fn token_error() -> serde_json::Value {
    json!({"code": 40142, "statusCode": 401, "message": "token expired"})
}

fn with_token() -> ClientOptions {
    let mut options = me();
    options.token = Some("old".into());
    options.token_renewable = true;
    options
}

/// The parameters of the first transport.
fn params(options: ClientOptions) -> Params {
    let mut host = Host::new(options);
    host.input(Input::Connect);
    host.outputs.transports.remove(0)
}

fn has(params: &Params, name: &str, value: &str) -> bool {
    params.iter().filter(|(n, _)| n == name).map(|(_, value)| value).eq([value])
}

/// Clauses: RTN2, RTN2a, RTN2b, RTN2d, RTN2e, RTN2f, CSV2, CSV2a, CSV2b, CSV2c, CSV2d, CSV2e, RSA3c,
/// RSA7e1, RTN23b, RTC1, RTC1a, TO3a, TO3f, TO3h.
#[test]
fn rtn2_the_parameters_of_a_transport() {
    let mut options = with_token();
    options.format = Format::Json;
    options.observes_pings = true;
    options.echo_messages = false;
    let given = params(options);
    for (name, value) in [
        ("v", "6"),
        ("format", "json"),
        ("echo", "false"),
        ("heartbeats", "false"),
        ("clientId", "me"),
        ("accessToken", "old"),
    ] {
        assert!(has(&given, name, value), "{name} in {given:?}");
    }
    let given = params(ClientOptions::default());
    for (name, value) in [("format", "msgpack"), ("echo", "true"), ("heartbeats", "true")] {
        assert!(has(&given, name, value), "{name} in {given:?}");
    }
    for absent in ["clientId", "accessToken", "resume", "recover"] {
        assert!(!given.iter().any(|(name, _)| name == absent), "{absent} in {given:?}");
    }
}

/// Clauses: RTC1f, RTC1f1, TO3q.
#[test]
fn rtc1f1_parameters_of_the_application_override_those_of_the_client() {
    let mut options = me();
    options.transport_params =
        vec![("v".into(), "7".into()), ("remainPresentFor".into(), "1000".into())];
    let given = params(options);
    assert!(has(&given, "v", "7"));
    assert!(has(&given, "remainPresentFor", "1000"));
}

/// Clauses: RTN27, RTN27a, RTN27b, RTN27c, RTN27d, RTN27e, RTN27f, RTN27g, RTN27h, RTN4, RTN4a, RTN4b,
/// RTN4c, RTN4d, RTN3, TO3e, TA1, TA2, TA5.
#[test]
fn rtn27_every_state_is_notified_when_it_is_entered() {
    let mut host = Host::new(me());
    // Nothing connects by itself.
    assert_eq!((host.state().name(), host.advance(1_000_000)), ("initialized", vec![]));
    let at = host.time;
    assert_eq!(host.input(Input::Connect), ["connection connecting", "open 1 clientId=me"]);
    host.open();
    assert_eq!(host.state().name(), "connecting");
    assert_eq!(host.recv(connected("conn1")), ["connection connected"]);
    host.lose();
    assert_eq!(host.refuse(), ["connection disconnected 80003 retry in 20000"]);
    assert_eq!(host.state().name(), "disconnected");
    let mut lines = Vec::new();
    while host.state().name() != "suspended" {
        lines = host.advance(1_000);
    }
    assert_eq!(host.time - at, 120_000);
    assert_eq!(only(&lines, "connection"), ["connection suspended 80002 retry in 30000"]);
    host.input(Input::Connect);
    host.open();
    host.recv(connected("conn1"));
    assert_eq!(host.input(Input::Close), ["connection closing", "send CLOSE"]);
    let lines = host.recv(json!({"action": 8}));
    assert_eq!(only(&lines, "connection"), ["connection closed"]);
    host.input(Input::Connect);
    let lines = host.recv(fatal());
    assert_eq!(only(&lines, "connection"), ["connection failed 40400"]);
    assert_eq!(host.advance(1_000_000), Vec::<String>::new());
    assert_eq!(ConnectionState::ALL.len(), 8);
}

/// Clauses: RTN4e, RTN4f, RTN25, TA3.
#[test]
fn rtn4f_the_reason_of_a_change_is_the_error_of_its_frame() {
    let mut host = Host::connected("conn1");
    let error = json!({"code": 80003, "statusCode": 400, "message": "going down"});
    host.forget();
    host.recv(json!({"action": 6, "error": error}));
    let change = host.connection_events().remove(0);
    let error = ErrorInfo::new(80003, 400, "going down");
    let states = (ConnectionState::Connected, ConnectionState::Disconnected);
    assert_eq!((change.previous, change.current), states);
    assert_eq!(change.reason.as_ref(), Some(&error));
    assert_eq!(host.client.connection().error_reason(), Some(&error));
}

/// Clauses: RTN8, RTN8a, RTN8b, RTN8d, RTN9, RTN9a, RTN9b, RTN9d, RTN15e.
#[test]
fn rtn8d_rtn9d_id_and_key_are_kept_while_the_connection_can_be_resumed() {
    let ids = |host: &Host| {
        let connection = host.client.connection();
        let text = |part: Option<&presence_proto::SmolStr>| part.map(|part| part.to_string());
        (text(connection.id()), text(connection.key()))
    };
    let some = |id: &str, key: &str| (Some(id.to_owned()), Some(key.to_owned()));
    let mut host = Host::new(me());
    assert_eq!(ids(&host), (None, None));
    host.connect("conn1");
    assert_eq!(ids(&host), some("conn1", "conn1-key"));
    host.lose();
    host.advance(200_000);
    assert_eq!((host.state().name(), ids(&host)), ("suspended", some("conn1", "conn1-key")));
    host.input(Input::Connect);
    let mut again = connected("conn1");
    again["connectionDetails"]["connectionKey"] = "another".into();
    host.recv(again);
    assert_eq!(ids(&host), some("conn1", "another"));
    host.input(Input::Close);
    assert_eq!((host.state().name(), ids(&host)), ("closing", (None, None)));
    host.recv(json!({"action": 8}));
    assert_eq!((host.state().name(), ids(&host)), ("closed", (None, None)));
    host.connect("conn3");
    host.recv(fatal());
    assert_eq!((host.state().name(), ids(&host)), ("failed", (None, None)));
}

#[test]
fn rtn11b_connect_while_closing_abandons_the_old_transport() {
    let mut host = Host::attached();
    host.input(Input::Close);
    let old = host.transport();
    assert_eq!(
        host.input(Input::Connect),
        [
            "close 1",
            "channel ch detached 80017",
            "channel ch initialized",
            "connection connecting",
            "open 2 clientId=me"
        ]
    );
    let frame = decode(&json!({"action": 8}));
    assert_eq!(host.input(Input::received(old, frame)), Vec::<String>::new());
    host.open();
    assert_eq!(host.recv(connected("conn2")), ["connection connected"]);
}

#[test]
fn rtn11d_connect_after_closed_or_failed_resets_everything() {
    for end in [fatal(), json!({"action": 8})] {
        let mut host = Host::attached();
        host.recv(presence(14, 2, &["me@conn1:0"]));
        host.input(Input::enter(OpId(1), "ch", None));
        if end["action"] == 8 {
            host.input(Input::Close);
        }
        host.recv(end);
        let lines = host.input(Input::Connect);
        assert_eq!(
            lines,
            ["channel ch initialized", "connection connecting", "open 2 clientId=me"]
        );
        assert_eq!(host.client.connection().error_reason(), None);
        let channel = host.client.channel("ch").expect("a channel");
        assert_eq!((channel.error_reason(), channel.channel_serial()), (None, None));
        assert_eq!((host.present("ch").len(), host.own("ch").len()), (0, 0));
        host.recv(connected("conn2"));
        host.join("ch");
        let lines = host.input(Input::enter(OpId(2), "ch", None));
        assert!(lines[0].contains("\"msgSerial\":0"), "{lines:?}");
    }
}

/// Clauses: RTN4h, RTN24.
#[test]
fn rtn4h_a_further_connected_is_an_update() {
    let mut host = Host::attached();
    let mut frame = connected("conn1");
    frame["connectionDetails"]["connectionKey"] = "another".into();
    assert_eq!(host.recv(frame), ["connection connected update"]);
    assert_eq!(host.client.connection().key().map(|key| key.as_str()), Some("another"));
    assert_eq!(host.channel_state("ch").name(), "attached");
}

/// Clauses: RTN11, RTN11e, RTN11f.
#[test]
fn rtn11e_connect_does_nothing_while_connecting_or_connected() {
    let mut host = Host::new(me());
    host.input(Input::Connect);
    assert_eq!(host.input(Input::Connect), Vec::<String>::new());
    host.recv(connected("conn1"));
    assert_eq!(host.input(Input::Connect), Vec::<String>::new());
}

/// Clauses: RTN12, RTN12f.
#[test]
fn rtn12f_close_while_connecting_waits_for_the_attempt() {
    let mut host = Host::new(me());
    host.input(Input::Connect);
    assert_eq!(host.input(Input::Close), ["connection closing"]);
    host.open();
    assert_eq!(host.recv(connected("conn1")), ["send CLOSE"]);
    // A further CONNECTED is not answered with a further CLOSE.
    assert_eq!(host.recv(connected("conn1")), Vec::<String>::new());
    assert_eq!(host.recv(json!({"action": 8})), ["close 1", "connection closed"]);

    host.input(Input::Connect);
    host.input(Input::Close);
    assert_eq!(host.refuse(), ["connection closed"]);

    host.input(Input::Connect);
    host.input(Input::Close);
    assert_eq!(host.advance(9_999), Vec::<String>::new());
    assert_eq!(host.advance(1), ["close 3", "connection closed"]);
}

#[test]
fn rtn12b_close_without_an_answer_ends_after_ten_seconds() {
    let mut host = Host::connected("conn1");
    host.input(Input::Close);
    assert_eq!(host.advance(9_999), Vec::<String>::new());
    assert_eq!(host.advance(1), ["close 1", "connection closed 80017 by 80014"]);
}

#[test]
fn rtn12c_close_ends_when_the_transport_is_lost() {
    let mut host = Host::connected("conn1");
    host.input(Input::Close);
    assert_eq!(host.lose(), ["connection closed 80017 by 80003"]);
}

/// Clauses: RTN13, RTN13b, RTN13d.
#[test]
fn rtn13_a_ping_waits_for_a_connection_or_fails_if_none_will_come() {
    let mut host = Host::new(me());
    assert_eq!(host.input(Input::ping(OpId(1))), ["done 1 error 80003"]);
    host.input(Input::Connect);
    assert_eq!(host.input(Input::ping(OpId(2))), Vec::<String>::new());
    host.advance(5_000);
    let lines = host.recv(connected("conn1"));
    assert_eq!(only(&lines, "send HEARTBEAT").len(), 1);
    // The time for the answer runs from the sending.
    assert_eq!(host.advance(9_999), Vec::<String>::new());
    assert_eq!(host.advance(1), ["done 2 error 80014"]);
    host.input(Input::ping(OpId(3)));
    let lines = host.input(Input::Close);
    assert_eq!(only(&lines, "done"), ["done 3 error 80017"]);
    assert_eq!(host.input(Input::ping(OpId(4))), ["done 4 error 80017"]);
}

/// Clauses: RTN13d, RTN13e.
#[test]
fn rtn13e_a_heartbeat_does_not_answer_a_ping_that_was_not_sent() {
    // Two clients of one seed give their pings the same ids.
    let mut host = Host::connected("conn1");
    let lines = host.input(Input::ping(OpId(1)));
    let id = lines[0].split('"').nth(3).expect("an id").to_owned();
    let mut host = Host::new(me());
    host.input(Input::Connect);
    host.input(Input::ping(OpId(1)));
    assert_eq!(host.recv(json!({"action": 0, "id": id})), Vec::<String>::new());
    let lines = host.recv(connected("conn1"));
    assert!(only(&lines, "send HEARTBEAT")[0].contains(&id), "{lines:?}");
    assert_eq!(host.recv(json!({"action": 0, "id": id})), ["done 1 pong 0"]);
}

/// Clauses: RTN14, RTN14c, TO3l11, RTC7.
#[test]
fn rtn14c_an_attempt_has_ten_seconds_until_connected() {
    let mut host = Host::new(me());
    host.input(Input::Connect);
    host.advance(9_000);
    host.open();
    assert_eq!(host.advance(999), Vec::<String>::new());
    assert_eq!(host.advance(1), ["close 1", "connection disconnected 80014 retry in 15000"]);
}

/// Clauses: DF1, DF1a, TO3l1, TO3l2, TO3l7, TO3l8, TO3g, TO3i, TO3r, CD2f.
#[test]
fn df1_the_defaults() {
    let options = ClientOptions::default();
    let seconds = Duration::from_secs;
    assert_eq!(options.disconnected_retry_timeout, seconds(15));
    assert_eq!(options.suspended_retry_timeout, seconds(30));
    assert_eq!(options.channel_retry_timeout, seconds(15));
    assert_eq!(options.realtime_request_timeout, seconds(10));
    assert_eq!(options.connection_state_ttl, seconds(120));
    assert_eq!(options.max_message_size, 65_536);
    assert!(options.echo_messages && options.queue_messages && options.retry_jitter);
    assert!(!options.strict_mode && options.recover.is_none());
}

#[test]
fn cd2f_the_server_can_shorten_the_connection_state_ttl() {
    let mut host = Host::new(me());
    host.input(Input::Connect);
    let mut frame = connected("conn1");
    frame["connectionDetails"]["connectionStateTtl"] = 7_000.into();
    host.recv(frame);
    host.lose();
    host.advance(6_999);
    assert_eq!(host.state().name(), "connecting");
    let lines = host.advance(1);
    assert_eq!(lines, ["close 2", "connection suspended 80002 retry in 30000"]);
}

/// Clauses: RTN15, RTN15a, RTN15b, RTN15b1, RTN15h, RTN15h3, RTN15h2i.
#[test]
fn rtn15h_a_client_resumes_at_once_after_disconnected() {
    let mut host = Host::connected("conn1");
    let lines = host.recv(json!({"action": 6, "error": {"code": 80003, "statusCode": 400}}));
    assert_eq!(
        lines,
        [
            "close 1",
            "connection disconnected 80003",
            "connection connecting",
            "open 2 clientId=me resume=conn1-key"
        ]
    );
    // The server closes the old transport later.
    let transport = TransportId(1);
    assert_eq!(host.input(Input::closed(transport, None)), Vec::<String>::new());
}

/// Clauses: RTN15c, RTN15c6, RTN15c7, RTN19, RTN19a, RTN19a1, RTN19a2, RTN7, RTN7a, RTN7b.
#[test]
fn rtn15c_frames_in_flight_are_sent_again_with_the_right_serial() {
    let message = json!({"action": 15, "channel": "other", "messages": [{"data": "x"}]});
    let send = |op| Input::send(OpId(op), Box::new(decode(&message)));
    let mut host = Host::connected("conn1");
    host.input(send(1));
    host.recv(json!({"action": 1, "msgSerial": 0}));
    let first = host.input(send(2));
    assert!(first[0].contains("\"msgSerial\":1"), "{first:?}");
    host.lose();
    // RTN15c6: the connection is the same, and so is the serial.
    let lines = host.recv(connected("conn1"));
    assert_eq!(lines, [first[0].clone(), "connection connected".into()]);
    host.lose();
    // RTN15c7: another connection, and serials start from 0.
    let lines = host.recv(connected("conn2"));
    assert!(lines[0].contains("\"msgSerial\":0"), "{lines:?}");
    assert_eq!(host.recv(json!({"action": 1, "msgSerial": 0})), ["done 2 ok"]);
}

/// Clauses: RTN16, RTN16d, RTN16f, RTN16g, RTN16g1, RTN16i, RTN16j, RTN16k, RTN16l.
#[test]
fn rtn16_a_connection_can_be_recovered_by_another_process() {
    let mut host = Host::connected("conn1");
    let name = "ch ü \"{}\" 漢";
    host.join(name);
    host.input(Input::enter(OpId(1), name, None));
    let key = host.client.connection().recovery_key().expect("a key");

    let mut options = me();
    options.recover = Some(key);
    let mut fresh = Host::new(options.clone());
    assert_eq!(
        fresh.input(Input::Connect),
        ["connection connecting", "open 1 clientId=me recover=conn1-key"]
    );
    let mut frame = connected("conn1");
    frame["connectionDetails"]["connectionKey"] = "new".into();
    fresh.recv(frame);
    assert_eq!(fresh.client.connection().id().map(|id| id.as_str()), Some("conn1"));
    assert_eq!(fresh.client.connection().key().map(|key| key.as_str()), Some("new"));
    // RTN16i: the channels exist, and the application attaches them.
    assert_eq!(fresh.channel_state(name).name(), "initialized");
    let lines = fresh.input(Input::attach(OpId(1), name));
    assert!(lines[1].contains("\"channelSerial\":\"s0\""), "{lines:?}");
    fresh.recv(json!({"action": 11, "channel": name, "flags": 4}));
    let lines = fresh.input(Input::enter(OpId(2), name, None));
    assert!(lines[0].contains("\"msgSerial\":1"), "{lines:?}");
    // RTN16k: only once.
    assert_eq!(fresh.lose()[2], "open 2 clientId=me resume=new");

    // RTN16l
    let mut refused = Host::new(options);
    refused.input(Input::Connect);
    let mut frame = connected("conn9");
    frame["error"] = json!({"code": 80018, "statusCode": 400, "message": "no"});
    assert_eq!(refused.recv(frame), ["connection connected 80018"]);
    refused.join(name);
    let lines = refused.input(Input::enter(OpId(2), name, None));
    assert!(lines[0].contains("\"msgSerial\":0"), "{lines:?}");
}

/// Clauses: RTN11d, RTN16k.
#[test]
fn rtn16k_a_recovery_closed_before_it_succeeds_is_abandoned() {
    let mut host = Host::connected("conn1");
    host.join("ch");
    host.input(Input::enter(OpId(1), "ch", None));
    let mut options = me();
    options.recover = host.client.connection().recovery_key();
    let mut fresh = Host::new(options);
    assert!(fresh.input(Input::Connect)[1].contains("recover=conn1-key"));
    fresh.input(Input::Close);
    // Message serials start from 0, which a server ignores on the old connection.
    let lines = fresh.input(Input::Connect);
    assert!(lines.iter().any(|line| line == "open 2 clientId=me"), "{lines:?}");
}

/// Clauses: RTN20, RTN20a, RTN20b, RTN20c.
#[test]
fn rtn20_the_network_is_lost_and_available_again() {
    let mut host = Host::connected("conn1");
    assert_eq!(
        host.input(Input::NetworkLost),
        ["close 1", "connection disconnected 80003 retry in 15000"]
    );
    assert_eq!(
        host.input(Input::NetworkAvailable),
        ["connection connecting", "open 2 clientId=me resume=conn1-key"]
    );
    assert_eq!(
        host.input(Input::NetworkAvailable),
        ["close 2", "open 3 clientId=me resume=conn1-key"]
    );
    assert_eq!(
        host.input(Input::NetworkLost),
        ["close 3", "connection disconnected 80003 retry in 20000"]
    );
    assert_eq!(host.input(Input::NetworkLost), Vec::<String>::new());
}

/// Clauses: RTN23, RTN23a, CD2h.
#[test]
fn rtn23_received_frames_count_as_activity_and_sent_ones_do_not() {
    let mut host = Host::new(me());
    host.input(Input::Connect);
    let mut frame = connected("conn1");
    frame["connectionDetails"]["maxIdleInterval"] = 5_000.into();
    host.recv(frame.clone());
    host.advance(14_000);
    host.input(Input::activity(host.transport()));
    host.advance(14_000);
    host.recv(json!({"action": 99}));
    host.advance(14_000);
    host.input(Input::attach(OpId(1), "ch"));
    assert_eq!(host.advance(999), Vec::<String>::new());
    assert_eq!(host.advance(1)[0], "close 1");

    frame["connectionDetails"]["maxIdleInterval"] = 0.into();
    host.recv(frame);
    host.advance(1_000_000);
    assert_eq!(host.state().name(), "connected");
}

/// Clauses: RSA4a, RSA4a1, RSA4a2, RTN15h1.
#[test]
fn rsa4a1_a_token_that_cannot_be_renewed_gives_a_warning() {
    let mut options = with_token();
    options.token_renewable = false;
    let mut host = Host::new(options);
    let lines = host.input(Input::Connect);
    assert_eq!(lines[0], "warning TokenNotRenewable");
    host.recv(connected("conn1"));
    let lines = host.recv(json!({"action": 6, "error": token_error()}));
    assert_eq!(lines, ["close 1", "connection failed 40171 by 40142"]);
}

/// Clauses: RSA4b, RTN14b, RTN15c5, RTN15h2.
#[test]
fn rsa4b_a_refused_token_is_renewed_once() {
    let mut host = Host::new(with_token());
    host.input(Input::Connect);
    let refusal = json!({"action": 9, "error": token_error()});
    assert_eq!(host.recv(refusal.clone()), ["close 1", "token required"]);
    assert_eq!(host.input(Input::Token(Ok("new".into()))), ["open 2 clientId=me accessToken=new"]);
    assert_eq!(host.recv(refusal), ["close 2", "connection disconnected 40142 retry in 15000"]);
}

/// Clauses: RSA4c, RSA4c1, RSA4c2, RSA4c3, RSA4d, RSA4d1.
#[test]
fn rsa4c_the_host_cannot_provide_a_token() {
    let cause = |status| ErrorInfo::new(12345, status, "no token today");
    let reason = |host: &Host| {
        let error = host.client.connection().error_reason().expect("a reason");
        (error.code, error.status_code, error.cause.as_ref().map(|cause| cause.code))
    };
    // While connecting, the attempt has failed.
    let mut host = Host::new(with_token());
    host.input(Input::Connect);
    host.recv(json!({"action": 9, "error": token_error()}));
    let lines = host.input(Input::Token(Err(cause(500))));
    assert_eq!(lines, ["connection disconnected 80019 by 12345 retry in 15000"]);
    assert_eq!(reason(&host), (80019, 401, Some(12345)));
    // It takes too long.
    assert_eq!(host.advance(15_000), ["connection connecting", "token required"]);
    assert_eq!(host.advance(10_000), ["connection disconnected 80019 by 80014 retry in 20000"]);
    // While connected, the connection stays.
    let mut host = Host::new(with_token());
    host.connect("conn1");
    assert_eq!(host.recv(json!({"action": 17})), ["token required"]);
    let lines = host.input(Input::Token(Err(cause(500))));
    assert_eq!(only(&lines, "warning TokenNotRenewed").len(), 1);
    assert_eq!(host.state().name(), "connected");
    // A refusal for good ends it.
    host.recv(json!({"action": 17}));
    assert_eq!(
        host.input(Input::Token(Err(cause(403)))),
        ["close 1", "connection failed 80019 by 12345"]
    );
    assert_eq!(reason(&host), (80019, 403, Some(12345)));
}

#[test]
fn rsa4d_an_unrequested_token_is_a_misuse() {
    let mut host = Host::connected("conn1");
    host.misuses = true;
    assert_eq!(host.input(Input::Token(Ok("t".into()))), ["misuse no token was requested"]);
}

/// Clauses: RTC8, RTC8a, RTC8a1, RTC8a2, RTC8a3, RTC8b, RTC8b1, RTC8c, AD1, AD2.
#[test]
fn rtc8_new_credentials_in_every_state() {
    let authorize = |op| Input::authorize(OpId(op), "new");
    let mut host = Host::new(me());
    assert_eq!(
        host.input(authorize(1)),
        ["connection connecting", "open 1 clientId=me accessToken=new"]
    );
    assert_eq!(host.input(authorize(2)), ["close 1", "open 2 clientId=me accessToken=new"]);
    assert_eq!(host.recv(connected("conn1")), ["connection connected", "done 1 ok", "done 2 ok"]);
    assert_eq!(host.input(authorize(3)), ["send AUTH {\"auth\":{\"accessToken\":\"new\"}}"]);
    assert_eq!(host.recv(connected("conn1")), ["connection connected update", "done 3 ok"]);
    host.input(authorize(4));
    assert_eq!(
        host.recv(json!({"action": 9, "error": {"code": 40102, "statusCode": 401}})),
        ["close 2", "done 4 error 40102", "connection failed 40102"]
    );
    host.input(authorize(5));
    assert_eq!(host.state().name(), "connecting");
    host.recv(connected("conn2"));
    host.input(Input::Close);
    let lines = host.input(authorize(6));
    assert_eq!(lines, ["close 3", "connection connecting", "open 4 clientId=me accessToken=new"]);
    assert_eq!(host.recv(connected("conn3")), ["connection connected", "done 6 ok"]);
}

/// Clauses: RSA7a, RSA7b3, RSA7b4, RSA12, RSA12a, RSA12b, RSA15a, RSA15b, RSA15c, RTC4a, CD2a.
#[test]
fn rsa12_the_client_id_of_the_connection() {
    let identity = |options: ClientOptions, delivered: serde_json::Value| {
        let mut host = Host::new(options);
        host.input(Input::Connect);
        let mut frame = connected("conn1");
        frame["connectionDetails"]["clientId"] = delivered;
        host.recv(frame);
        (host.state().name(), host.client.connection().client_id().map(|id| id.to_string()))
    };
    let mut unnamed = me();
    unnamed.client_id = None;
    let some = |id: &str| Some(id.to_owned());
    assert_eq!(identity(unnamed.clone(), json!(null)), ("connected", None));
    assert_eq!(identity(unnamed.clone(), json!("*")), ("connected", some("*")));
    assert_eq!(identity(unnamed, json!("delivered")), ("connected", some("delivered")));
    assert_eq!(identity(me(), json!("me")), ("connected", some("me")));
    // RSA15b: a wildcard allows any client id, the one of the options too.
    assert_eq!(identity(me(), json!("*")), ("connected", some("me")));
    assert_eq!(identity(me(), json!("other")).0, "failed");
}

#[test]
fn rtn7e_pending_operations_end_with_the_connection() {
    for end in [json!({"action": 9, "error": {"code": 40400, "statusCode": 404}}), json!(null)] {
        let mut host = Host::attached();
        host.input(Input::enter(OpId(1), "ch", None));
        if end.is_null() {
            host.lose();
            host.advance(120_000);
            assert_eq!(host.state().name(), "suspended");
        } else {
            host.recv(end);
        }
        assert_eq!(host.client.pending_operations(), 0);
    }
}

#[test]
fn rsf1_unknown_actions_and_fields_are_ignored() {
    let mut host = Host::attached();
    for action in [3, 5, 18, 22, 4_000_000_000u32] {
        assert_eq!(
            only(&host.recv(json!({"action": action, "futureField": {"a": 1}})), ""),
            Vec::<String>::new(),
        );
    }
    host.recv(presence(14, 2, &["alice@c1:0"]));
    host.recv(presence(14, 9, &["alice@c1:1"]));
    assert_eq!(host.present("ch"), ["alice@c1"]);
    assert_eq!((host.state().name(), host.channel_state("ch").name()), ("connected", "attached"));
}

#[test]
fn frames_of_an_unrequested_transport_are_a_misuse() {
    let mut host = Host::connected("conn1");
    let frame = decode(&json!({"action": 8}));
    host.misuses = true;
    let lines = host.input(Input::received(TransportId(99), frame));
    assert_eq!(lines, ["misuse transport 99 was never requested"]);
    assert_eq!(host.state().name(), "connected");
}
