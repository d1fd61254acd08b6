//! Presence, clause by clause.

use crate::driven::Driven;
use crate::host::{Host, me};
use crate::json_frames::{connected, item, presence, sync};
use crate::lines::only;
use presence_proto::client::{GetParams, Input, PresenceChange};
use presence_proto::wire::{Data, PresenceAction, Value};
use presence_proto::{OpId, SubscriptionId};
use serde_json::json;

const ACTIONS: [(PresenceAction, u8); 3] =
    [(PresenceAction::Enter, 2), (PresenceAction::Update, 4), (PresenceAction::Leave, 3)];

fn change(op: u64, action: PresenceAction, data: Option<Data>) -> Input {
    Input::presence(OpId(op), "ch", PresenceChange::new(action, data))
}

fn change_of(op: u64, action: PresenceAction, client_id: &str) -> Input {
    Input::presence(OpId(op), "ch", PresenceChange::new(action, None).of_client(client_id))
}

fn get(op: u64) -> Input {
    Input::get(OpId(op), "ch")
}

/// A client that may act for any client id, attached to `ch`.
fn wildcard() -> Host {
    let mut options = me();
    options.client_id = None;
    let mut host = Host::new(options);
    host.input(Input::Connect);
    let mut frame = connected("conn1");
    frame["connectionDetails"]["clientId"] = "*".into();
    host.recv(frame);
    host.watch("ch");
    host.join("ch");
    host
}

/// Clauses: RTP8, RTP8a, RTP8b, RTP8c, RTP9, RTP9a, RTP9b, RTP9c, RTP9d, RTP9e, RTP10, RTP10a, RTP10b,
/// RTP10c, RTP10d, RTP10e, RTP16a.
#[test]
fn rtp8_rtp9_rtp10_own_operations_send_one_item_without_a_client_id() {
    for (action, number) in ACTIONS {
        let mut host = Host::attached();
        let lines = host.input(change(1, action, Some("d".into())));
        let sent = format!(
            "send PRESENCE {{\"channel\":\"ch\",\"msgSerial\":0,\"presence\":[{{\"action\":{number},\"data\":\"d\"}}]}}"
        );
        assert_eq!(lines, [sent]);
        assert_eq!(host.recv(json!({"action": 1, "msgSerial": 0})), ["done 1 ok"]);
        // Without data there is no field for it.
        let lines = host.input(change(2, action, None));
        assert!(lines[0].ends_with(&format!("\"presence\":[{{\"action\":{number}}}]}}")));
        let refused =
            json!({"action": 2, "msgSerial": 1, "error": {"code": 40160, "statusCode": 401}});
        assert_eq!(host.recv(refused), ["done 2 error 40160"], "RTP8h");
    }
}

/// Clauses: RTP8d, RTP8g, RTP15e, RTP16, RTP16b, RTP16c.
#[test]
fn rtp16_an_operation_is_sent_queued_or_fails_by_channel_state() {
    for (action, _) in ACTIONS {
        let mut host = Host::connected("conn1");
        assert_eq!(host.input(change(1, action, None))[0], "channel ch attaching");
        assert_eq!(host.input(change(2, action, None)), Vec::<String>::new());
        let lines = host.recv(json!({"action": 11, "channel": "ch"}));
        assert_eq!(only(&lines, "send PRESENCE").len(), 1);
        host.input(Input::detach(OpId(3), "ch"));
        assert_eq!(host.input(change(4, action, None)), ["done 4 error 90001"], "DETACHING");
        host.recv(json!({"action": 13, "channel": "ch"}));
        assert_eq!(host.input(change(5, action, None)), ["done 5 error 90001"], "DETACHED");
        host.recv(json!({"action": 9, "channel": "ch", "error": {"code": 40160}}));
        assert_eq!(host.input(change(6, action, None)), ["done 6 error 90001"], "FAILED");
        host.input(Input::attach(OpId(7), "ch"));
        host.recv(json!({"action": 13, "channel": "ch"}));
        assert_eq!(host.input(change(8, action, None)), ["done 8 error 90001"], "SUSPENDED");
        host.input(Input::Close);
        assert_eq!(host.input(change(9, action, None)), ["done 9 error 80017"], "CLOSING");
    }
}

/// Clauses: RTP8j, RTP8i, RTP14, RTP14a, RTP14b, RTP15, RTP15a, RTP15b, RTP15d, RTP15f.
#[test]
fn rtp14_rtp15_operations_on_behalf_of_other_client_ids() {
    let mut host = wildcard();
    for (serial, (action, number)) in (0..).zip(ACTIONS) {
        let lines = host.input(change_of(serial, action, "alice"));
        assert!(
            lines[0].ends_with(&format!("[{{\"action\":{number},\"clientId\":\"alice\"}}]}}")),
            "{lines:?}"
        );
        let acknowledged = host.recv(json!({"action": 1, "msgSerial": serial}));
        assert_eq!(acknowledged, [format!("done {serial} ok")]);
    }
    assert_eq!(host.input(change(9, PresenceAction::Enter, None)), ["done 9 error 40012"], "RTP8j");
    for nobody in ["", "*"] {
        let lines = host.input(change_of(9, PresenceAction::Enter, nobody));
        assert_eq!(lines, ["done 9 error 40012"]);
    }
    // RTP15f: an identified client cannot act for others; the connection and the channel stay.
    let mut host = Host::attached();
    assert_eq!(host.input(change_of(1, PresenceAction::Enter, "alice")), ["done 1 error 40012"]);
    assert_eq!(host.input(change_of(2, PresenceAction::Enter, "me")).len(), 1);
    assert_eq!((host.state().name(), host.channel_state("ch").name()), ("connected", "attached"));
}

/// Clauses: RTP14d, RTP15c, RTP4.
#[test]
fn rtp4_two_hundred_and_fifty_members_of_one_connection() {
    let mut host = wildcard();
    let names: Vec<String> = (0..250).map(|n| format!("client{n}@conn1:{n}")).collect();
    for n in 0..250 {
        host.input(change_of(n, PresenceAction::Enter, &format!("client{n}")));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let events = host.recv(presence(14, 2, &names));
    assert_eq!(only(&events, "presence ch for 0 enter").len(), 250);
    assert_eq!(host.present("ch").len(), 250);
    assert_eq!(host.own("ch").len(), 250);
    host.recv(json!({"action": 1, "msgSerial": 0, "count": 250}));
    assert_eq!(host.client.pending_operations(), 0);
}

/// Clauses: RTP8e, RTP14c, RSL4, RSL4a, RSL4c, RSL4c1, RSL4c2, RSL4c3, RSL4d, RSL4d1, RSL4d2, RSL4d3.
#[test]
fn rtp8e_data_is_encoded_as_in_messages() {
    let sent = |data: Data| {
        let mut host = Host::attached();
        let lines = host.input(change(1, PresenceAction::Enter, Some(data)));
        lines[0]
            .split("\"presence\":")
            .nth(1)
            .map(str::to_owned)
            .unwrap_or_else(|| lines[0].clone())
    };
    let object = Value::parse_json("{\"b\":1,\"a\":[null]}").expect("JSON");
    assert_eq!(sent("text".into()), "[{\"action\":2,\"data\":\"text\"}]}");
    assert_eq!(
        sent(object.into()),
        "[{\"action\":2,\"data\":\"{\\\"b\\\":1,\\\"a\\\":[null]}\",\"encoding\":\"json\"}]}"
    );
    assert_eq!(
        sent(vec![0u8, 1, 2].into()),
        "[{\"action\":2,\"data\":\"AAEC\",\"encoding\":\"base64\"}]}"
    );
    assert_eq!(sent(Value::Int(7).into()), "done 1 error 40013");
}

/// Clauses: RSL6, RSL6a, RSL6a1, RSL6a2, RSL6a3, RSL6b, RSP5, RSL5, RSL5a, RSL5b, RSL5c, TP3e, TP3f.
#[test]
fn rsl6_data_is_decoded_as_far_as_possible() {
    let received = |data: &str, encoding: &str| {
        let mut host = Host::attached();
        let mut entry = item(2, "alice@c1:0");
        entry["data"] = data.into();
        entry["encoding"] = encoding.into();
        let lines = host.recv(json!({"action": 14, "channel": "ch", "presence": [entry]}));
        let view = host.client.channel("ch").expect("a channel");
        let member = view.member("alice", "c1").expect("the member");
        assert_eq!(only(&lines, "presence ch for 0 enter").len(), 1, "RSL6b: never dropped");
        let warned = only(&lines, "warning DataNotDecoded").len() == 1;
        (member.data().cloned(), member.encoding().map(|rest| rest.to_string()), warned)
    };
    let json = Value::parse_json("{\"a\":1}").expect("JSON");
    assert_eq!(received("{\"a\":1}", "json"), (Some(json.clone().into()), None, false));
    assert_eq!(received("eyJhIjoxfQ==", "json/utf-8/base64"), (Some(json.into()), None, false));
    assert_eq!(received("AAEC", "base64"), (Some(vec![0u8, 1, 2].into()), None, false));
    // Encrypted data is passed on unchanged.
    assert_eq!(
        received("AAEC", "utf-8/cipher+aes-128-cbc/base64"),
        (Some(vec![0u8, 1, 2].into()), Some("utf-8/cipher+aes-128-cbc".into()), true)
    );
    assert_eq!(received("{", "json"), (Some("{".into()), Some("json".into()), true));
}

#[test]
fn rtp17g_a_reentry_repeats_undecodable_data_unchanged() {
    let mut host = Host::attached();
    let mut entry = item(2, "me@conn1:0");
    entry["data"] = "AAEC".into();
    entry["encoding"] = "cipher+x/base64".into();
    entry["extras"] = json!({"headers": {"k": "v"}});
    host.recv(json!({"action": 14, "channel": "ch", "presence": [entry]}));
    let lines = host.recv(json!({"action": 11, "channel": "ch"}));
    let lines = only(&lines, "send PRESENCE");
    assert!(lines[0].contains("\"data\":\"AAEC\",\"encoding\":\"cipher+x/base64\""), "{lines:?}");
    assert!(lines[0].contains("\"extras\":{\"headers\":{\"k\":\"v\"}}"), "{lines:?}");
    assert!(lines[0].contains("\"id\":\"conn1:0:0\""), "{lines:?}");
}

/// Clauses: TO3l8, TO3l8f, TP5, TM6, TM6a, TM6b, TM6c, TM6d, TM6e, TM6f, CD2c, RTN21, CD1.
#[test]
fn tp5_a_message_above_the_maximum_size_is_not_sent() {
    let mut host = Host::attached();
    let large = |size: usize| Some(Data::from("x".repeat(size)));
    assert_eq!(host.input(change(1, PresenceAction::Enter, large(65_536))).len(), 1);
    assert_eq!(host.input(change(2, PresenceAction::Enter, large(65_537))), ["done 2 error 40009"]);
    let mut frame = connected("conn1");
    frame["connectionDetails"]["maxMessageSize"] = 10.into();
    host.recv(frame);
    assert_eq!(host.client.connection().max_message_size(), 10);
    let fits = |data: Data, client_id: &str, extras: Option<&str>| {
        let mut host = host.clone();
        let mut change = PresenceChange::new(PresenceAction::Enter, Some(data));
        change.client_id = (!client_id.is_empty()).then(|| client_id.into());
        if let Some(extras) = extras {
            change = change.with_extras(Value::parse_json(extras).expect("JSON"));
        }
        host.input(Input::presence(OpId(3), "ch", change)) != ["done 3 error 40009"]
    };
    assert!(fits("0123456789".into(), "", None));
    assert!(!fits("01234567890".into(), "", None));
    assert!(fits("01234567".into(), "me", None));
    assert!(!fits("012345678".into(), "me", None));
    assert!(fits(vec![0u8; 10].into(), "", None), "bytes count as such, not as base64");
    assert!(!fits(vec![0u8; 11].into(), "", None));
    let array = |text: &str| Data::from(Value::parse_json(text).expect("JSON"));
    assert!(fits(array("[1,2,3,44]"), "", None));
    assert!(!fits(array("[1,2,3,444]"), "", None));
    assert!(fits("012".into(), "", Some("{\"a\":1}")));
    assert!(!fits("0123".into(), "", Some("{\"a\":1}")));
}

/// Clauses: RTP11, RTP11a, RTP11c, RTP11c1, RTP11c2, RTP11c3, RTP13.
#[test]
fn rtp11_get_filters_and_waits_for_the_sync() {
    let mut host = Host::connected("conn1");
    host.input(Input::attach(OpId(1), "ch"));
    host.recv(json!({"action": 11, "channel": "ch", "flags": 1}));
    host.recv(sync("q1:x", &["alice@c1:0", "bob@c2:0"]));
    let with = |op, wait, client_id: Option<&str>, connection_id: Option<&str>| {
        let mut params = GetParams::default();
        params.wait_for_sync = wait;
        params.client_id = client_id.map(Into::into);
        params.connection_id = connection_id.map(Into::into);
        Input::get_with(OpId(op), "ch", params)
    };
    assert_eq!(host.input(with(2, false, None, None)), ["done 2 [alice@c1, bob@c2]"]);
    assert_eq!(host.input(with(3, true, None, None)), Vec::<String>::new());
    assert_eq!(host.input(with(4, true, Some("alice"), None)), Vec::<String>::new());
    assert!(!host.client.channel("ch").expect("a channel").sync_complete());
    let lines = host.recv(sync("q1:", &["alice@c3:0"]));
    assert_eq!(lines, ["done 3 [alice@c1, alice@c3, bob@c2]", "done 4 [alice@c1, alice@c3]"]);
    assert!(host.client.channel("ch").expect("a channel").sync_complete());
    assert_eq!(host.input(with(5, true, Some("alice"), Some("c3"))), ["done 5 [alice@c3]"]);
    assert_eq!(host.input(with(6, true, None, Some("c2"))), ["done 6 [bob@c2]"]);
    assert_eq!(host.input(with(7, true, Some("nobody"), None)), ["done 7 []"]);
}

/// Clauses: RTP11f, RTP11f1, RTP11f2, TO3r, TO3r1, TO3r2.
#[test]
fn rtp11f_without_presence_subscribe_get_fails_or_warns() {
    let attached = json!({"action": 11, "channel": "ch", "flags": 65_536});
    let with_mode = json!({"action": 11, "channel": "ch", "flags": 65_536 + 524_288});
    for strict in [true, false] {
        let mut options = me();
        options.strict_mode = strict;
        let mut host = Host::new(options);
        host.connect("conn1");
        host.input(Input::attach(OpId(1), "ch"));
        host.recv(attached.clone());
        let lines = host.input(get(2));
        if strict {
            assert_eq!(lines, ["done 2 error 91008"]);
        } else {
            assert_eq!(only(&lines, "warning PresenceSubscribeMissing").len(), 1);
            assert_eq!(only(&lines, "done"), ["done 2 []"]);
        }
        host.recv(with_mode.clone());
        assert_eq!(host.input(get(3)), ["done 3 []"]);
    }
}

#[test]
fn rtp11d_a_waiting_get_ends_with_the_channel() {
    let waiting = || {
        let mut host = Host::connected("conn1");
        host.input(Input::attach(OpId(1), "ch"));
        host.recv(json!({"action": 11, "channel": "ch", "flags": 1}));
        host.recv(sync("q1:x", &["alice@c1:0"]));
        assert_eq!(host.input(get(2)), Vec::<String>::new());
        host
    };
    let mut host = waiting();
    let lines = host.recv(json!({"action": 11, "channel": "ch"}));
    assert_eq!(only(&lines, "done"), ["done 2 []"]);
    let mut host = waiting();
    let lines = host.recv(json!({"action": 9, "channel": "ch", "error": {"code": 40160}}));
    assert_eq!(only(&lines, "done"), ["done 2 error 40160"]);
    let mut host = waiting();
    host.lose();
    let lines = host.advance(120_000);
    assert_eq!(only(&lines, "done"), ["done 2 error 91005"]);
    let mut host = waiting();
    host.input(Input::detach(OpId(3), "ch"));
    let lines = host.recv(json!({"action": 13, "channel": "ch"}));
    assert_eq!(only(&lines, "done 2"), ["done 2 error 90001"]);
}

/// Clauses: RTP5, RTP5a, RTP5b, RTP5f.
#[test]
fn rtp5_members_are_dropped_when_failed_and_kept_while_suspended() {
    let there = || {
        let mut host = Host::attached();
        host.recv(presence(14, 2, &["alice@c1:0", "bob@c2:0", "me@conn1:0"]));
        host
    };
    let mut host = there();
    let lines = host.recv(json!({"action": 9, "channel": "ch", "error": {"code": 40160}}));
    assert_eq!(only(&lines, "presence"), Vec::<String>::new());
    assert_eq!((host.present("ch").len(), host.own("ch").len()), (0, 0));
    // SUSPENDED: kept, and the next sync emits the differences.
    let mut host = there();
    let refused = json!({"action": 13, "channel": "ch", "error": {"code": 50000}});
    host.recv(refused.clone());
    host.recv(refused);
    assert_eq!((host.channel_state("ch").name(), host.present("ch").len()), ("suspended", 3));
    host.advance(15_000);
    host.recv(json!({"action": 11, "channel": "ch", "flags": 1}));
    let lines = host.recv(sync("q1:", &["alice@c1:0", "me@conn1:0", "carol@c3:0"]));
    assert_eq!(
        lines,
        ["presence ch for 0 present carol@c3 c3:0:0", "presence ch for 0 leave bob@c2"]
    );
}

/// Clauses: RTP6, RTP6a, RTP6b, RTP6d, RTP6e, RTP7, RTP7a, RTP7b, RTP7c.
#[test]
fn rtp6_rtp7_subscriptions_filter_by_action_and_end() {
    let subscribe = |op, number, actions: &[PresenceAction]| {
        Input::subscribe_to(OpId(op), "ch", SubscriptionId(number), actions.to_vec())
    };
    let unsubscribe = |number: Option<u64>| Input::unsubscribe("ch", number.map(SubscriptionId));
    let mut host = Host::connected("conn1");
    assert_eq!(host.input(subscribe(1, 1, &[PresenceAction::Leave]))[0], "channel ch attaching");
    assert_eq!(
        host.recv(json!({"action": 11, "channel": "ch"})),
        ["channel ch attached", "done 1 ok"]
    );
    assert_eq!(host.recv(presence(14, 2, &["alice@c1:0"])), Vec::<String>::new());
    // A late subscriber receives the present members; other subscribers do not.
    assert_eq!(
        host.input(subscribe(2, 2, &[])),
        ["presence ch for 2 present alice@c1 c1:0:0", "done 2 ok"]
    );
    let entered = host.recv(presence(14, 2, &["bob@c2:0"]));
    assert_eq!(entered, ["presence ch for 2 enter bob@c2 c2:0:0"]);
    host.input(unsubscribe(Some(2)));
    assert_eq!(host.recv(presence(14, 2, &["carol@c3:0"])), Vec::<String>::new());
    assert_eq!(host.recv(presence(14, 3, &["carol@c3:1"])).len(), 1);
    host.input(unsubscribe(None));
    assert_eq!(host.recv(presence(14, 3, &["bob@c2:1"])), Vec::<String>::new());
    host.misuses = true;
    assert_eq!(
        host.input(unsubscribe(Some(2))),
        ["misuse there is no subscription 2 on channel ch"]
    );
    // RTP6e: not every subscription attaches; and it stands though the attach fails.
    let mut host = Host::connected("conn1");
    host.watch("ch");
    assert_eq!(host.channel_state("ch").name(), "initialized");
    let mut host = Host::connected("conn1");
    host.input(subscribe(1, 1, &[]));
    let lines = host.recv(json!({"action": 9, "channel": "ch", "error": {"code": 40160}}));
    assert_eq!(only(&lines, "done"), ["done 1 error 40160"]);
    host.join("ch");
    assert_eq!(host.recv(presence(14, 2, &["alice@c1:0"])).len(), 1);
}

/// Clauses: RTP17, RTP17a, RTP17b, RTP17h.
#[test]
fn rtp17_own_members_are_those_of_the_connection() {
    let mut host = wildcard();
    host.recv(presence(14, 2, &["alice@conn1:0", "bob@c2:0", "carol@conn1:1"]));
    assert_eq!(host.own("ch"), ["alice", "carol"]);
    assert_eq!(host.present("ch").len(), 3);
    // A leave that the server synthesized does not remove an own member.
    let mut leave = item(3, "alice@conn1:0");
    leave["id"] = "server:1".into();
    leave["timestamp"] = 99.into();
    host.recv(json!({"action": 14, "channel": "ch", "presence": [leave]}));
    assert_eq!((host.own("ch").len(), host.present("ch").len()), (2, 2));
    // Nor does one of a connection whose id has the own id as its prefix.
    let mut leave = item(3, "carol@conn1:0");
    leave["id"] = "conn10:9:0".into();
    leave["timestamp"] = 99.into();
    host.recv(json!({"action": 14, "channel": "ch", "presence": [leave]}));
    assert_eq!((host.own("ch").len(), host.present("ch").len()), (2, 1));
    let count = |host: &Host| host.client.channel("ch").map(|ch| ch.own_member_count());
    assert_eq!(count(&host), Some(2));
    host.recv(presence(14, 3, &["carol@conn1:2"]));
    assert_eq!((host.own("ch"), count(&host)), (vec!["alice".into()], Some(1)));
}

/// Clauses: RTP17b, RTP17h.
#[test]
fn rtp17h_newness_of_own_members_is_compared_within_one_connection() {
    let mut host = wildcard();
    host.recv(presence(14, 2, &["alice@conn1:5"]));
    host.recv(presence(14, 4, &["alice@conn1:3"]));
    let id = |host: &Host| {
        let channel = host.client.channel("ch").expect("a channel");
        channel.own_members().next().and_then(|member| member.id.clone())
    };
    assert_eq!(id(&host).as_deref(), Some("conn1:5:0"), "an older one changes nothing");
    host.lose();
    host.recv(connected("conn2"));
    host.recv(json!({"action": 11, "channel": "ch", "flags": 1}));
    host.recv(presence(14, 2, &["alice@conn2:0"]));
    assert_eq!(id(&host).as_deref(), Some("conn2:0:0"), "the present connection's word counts");
}

#[test]
fn rtp17i_rtp17g1_own_members_are_entered_again_in_order() {
    let mut host = wildcard();
    host.recv(presence(14, 2, &["zoe@conn1:0", "alice@conn1:1"]));
    host.recv(presence(14, 4, &["zoe@conn1:2"]));
    let ids = |lines: Vec<String>| -> Vec<String> {
        only(&lines, "send PRESENCE")
            .iter()
            .filter_map(|line| line.split("\"presence\":").nth(1).map(str::to_owned))
            .collect()
    };
    host.lose();
    host.recv(connected("conn1"));
    let lines = host.recv(json!({"action": 11, "channel": "ch", "flags": 5}));
    assert_eq!(
        ids(lines),
        [
            "[{\"action\":2,\"clientId\":\"zoe\",\"id\":\"conn1:2:0\"}]}",
            "[{\"action\":2,\"clientId\":\"alice\",\"id\":\"conn1:1:0\"}]}"
        ]
    );
    host.lose();
    host.recv(connected("conn2"));
    let lines = host.recv(json!({"action": 11, "channel": "ch", "flags": 1}));
    assert_eq!(
        ids(lines),
        ["[{\"action\":2,\"clientId\":\"zoe\"}]}", "[{\"action\":2,\"clientId\":\"alice\"}]}"]
    );
}

#[test]
fn rtp17i_a_leave_in_flight_is_not_undone_by_a_reentry() {
    let mut host = Host::attached();
    host.recv(presence(14, 2, &["me@conn1:0"]));
    host.input(change(1, PresenceAction::Leave, None));
    host.lose();
    host.recv(connected("conn1"));
    let lines = host.recv(json!({"action": 11, "channel": "ch", "flags": 4}));
    let sent = only(&lines, "send PRESENCE");
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].contains("\"msgSerial\":0,\"presence\":[{\"action\":3}]"), "{sent:?}");
}

/// Clauses: RTN19a2, RTL3d2.
#[test]
fn rtl3d2_presence_waits_for_its_channel_and_keeps_its_serial() {
    let mut host = Host::attached();
    host.input(change(1, PresenceAction::Enter, None));
    host.lose();
    let lines = host.recv(connected("conn1"));
    assert_eq!(only(&lines, "send PRESENCE"), Vec::<String>::new());
    // Lost again before the channel is attached.
    host.lose();
    host.recv(connected("conn1"));
    let lines = host.recv(json!({"action": 11, "channel": "ch", "flags": 4}));
    assert_eq!(only(&lines, "send PRESENCE").len(), 1);
    assert!(lines[1].contains("\"msgSerial\":0"), "{lines:?}");
    assert_eq!(host.recv(json!({"action": 1, "msgSerial": 0})), ["done 1 ok"]);
}

#[test]
fn rtn7d_without_queueing_operations_in_flight_fail_with_the_transport() {
    let mut options = me();
    options.queue_messages = false;
    let mut host = Host::new(options);
    host.connect("conn1");
    host.join("ch");
    host.input(change(1, PresenceAction::Enter, None));
    assert_eq!(only(&host.lose(), "done"), ["done 1 error 80003"]);
    assert_eq!(host.input(change(2, PresenceAction::Enter, None)), ["done 2 error 80003"]);
}

#[test]
fn rtn7_a_message_that_an_acknowledgement_skips_has_failed() {
    let mut host = Host::attached();
    for op in 1..=4 {
        host.input(change(op, PresenceAction::Update, None));
    }
    assert_eq!(
        host.recv(json!({"action": 1, "msgSerial": 1, "count": 2})),
        ["done 1 error 50001", "done 2 ok", "done 3 ok"]
    );
    // A later NACK does not change the results.
    assert_eq!(host.recv(json!({"action": 2, "msgSerial": 0, "count": 3})), Vec::<String>::new());
    assert_eq!(host.recv(json!({"action": 2, "msgSerial": 3})), ["done 4 error 50001"]);
}

/// Clauses: RTP18, RTP18a, RTP18b, RTP18c, RTP19.
#[test]
fn rtp18_a_sync_begins_and_ends_by_its_serials() {
    let there = || {
        let mut host = Host::attached();
        host.recv(presence(14, 2, &["alice@c1:0", "bob@c2:0"]));
        host
    };
    // A frame without a serial is a whole sync.
    let mut host = there();
    assert_eq!(host.recv(presence(16, 1, &["bob@c2:0"])), ["presence ch for 0 leave alice@c1"]);
    // The first colon separates id and cursor; both may have any other characters.
    let mut host = there();
    assert_eq!(host.recv(sync("q-1/é:c:u:r", &["bob@c2:0"])), Vec::<String>::new());
    assert_eq!(host.recv(sync("q-1/é:", &[])), ["presence ch for 0 leave alice@c1"]);
    // The same id after its end is another sync.
    assert_eq!(host.recv(sync("q-1/é:", &[])), ["presence ch for 0 leave bob@c2"]);
    // A superseded sync confirms no members.
    let mut host = there();
    host.recv(sync("q1:x", &["alice@c1:0"]));
    assert_eq!(host.recv(sync("q2:", &["bob@c2:0"])), ["presence ch for 0 leave alice@c1"]);
    // An empty id names no sync: the next page begins another.
    let mut host = there();
    host.recv(sync(":x", &["alice@c1:0"]));
    assert_eq!(host.recv(presence(16, 1, &["bob@c2:0"])), ["presence ch for 0 leave alice@c1"]);
}

/// Clauses: RTP13, RTP5f.
#[test]
fn rtp13_sync_complete_holds_until_the_channel_leaves_attached() {
    let complete = |host: &Host| host.client.channel("ch").is_some_and(|ch| ch.sync_complete());
    let mut host = Host::attached();
    assert!(complete(&host));
    host.lose();
    assert!(complete(&host), "RTL3e");
    host.advance(120_000);
    assert_eq!((host.channel_state("ch").name(), complete(&host)), ("suspended", false));
    let mut host = Host::attached();
    host.input(Input::detach(OpId(1), "ch"));
    host.recv(json!({"action": 13, "channel": "ch"}));
    assert!(!complete(&host));
}

/// Clauses: TP1, TP2, TP3, TP3a, TP3b, TP3c, TP3d, TP3g, TP3h, TP3i, TM2a, TM2c, TM2f.
#[test]
fn tp3_an_item_inherits_missing_fields_from_its_frame() {
    let mut host = Host::attached();
    let lines = host.recv(json!({
        "action": 14, "channel": "ch", "id": "c1:7", "connectionId": "c1", "timestamp": 1234,
        "presence": [
            {"action": 2, "clientId": "alice"},
            {"action": 2, "clientId": "bob", "id": "c2:0:0", "connectionId": "c2", "timestamp": 5,
             "extras": {"k": [1]}},
            {"action": 2},
            {"action": 0, "clientId": "ghost"},
        ],
    }));
    assert_eq!(
        only(&lines, "presence"),
        ["presence ch for 0 enter alice@c1 c1:7:0", "presence ch for 0 enter bob@c2 c2:0:0"]
    );
    assert_eq!(only(&lines, "warning PresenceIgnored").len(), 2);
    let view = host.client.channel("ch").expect("a channel");
    let member =
        |client_id, connection_id| view.member(client_id, connection_id).expect("a member");
    assert_eq!(member("alice", "c1").timestamp().as_millis(), 1234);
    assert_eq!(member("bob", "c2").timestamp().as_millis(), 5);
    let extras = member("bob", "c2").extras().map(Value::to_json);
    assert_eq!(extras.as_deref(), Some("{\"k\":[1]}"));
    assert!(view.member("alice", "c2").is_none());
}

#[test]
fn members_and_own_members_are_bounded() {
    let mut few = me();
    few.limits.members = 2;
    few.limits.own_members = 1;
    let mut host = Host::new(few);
    host.connect("conn1");
    host.watch("ch");
    host.join("ch");
    let lines = host.recv(presence(14, 2, &["a@c1:0", "b@conn1:1", "c@conn1:2", "a@c1:3"]));
    assert_eq!(only(&lines, "warning LimitReached").len(), 2);
    assert_eq!(host.present("ch"), ["a@c1", "b@conn1"]);
    assert_eq!(host.own("ch"), ["b"]);
    // Marks of members that left during a sync count as well.
    host.recv(sync("q1:x", &["a@c1:3"]));
    for n in 0..5 {
        host.recv(presence(14, 3, &[&format!("unknown{n}@c9:1")]));
    }
    assert_eq!(host.client.channel("ch").expect("a channel").member_set().stored(), 2);
}

#[test]
fn queued_operations_share_frames_up_to_the_maximum_size() {
    let mut host = Host::connected("conn1");
    for op in 0..3 {
        let data = Data::from("x".repeat(30_000));
        host.input(change(op, PresenceAction::Update, Some(data)));
    }
    let lines = host.recv(json!({"action": 11, "channel": "ch"}));
    let sent = only(&lines, "send PRESENCE");
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].matches("\"action\":4").count(), 2);
    assert_eq!(
        host.recv(json!({"action": 1, "msgSerial": 0, "count": 2})),
        ["done 0 ok", "done 1 ok", "done 2 ok"]
    );
    // Exactly the maximum size, and one byte more.
    for (size, messages) in [(32_768, 1), (32_769, 2)] {
        let mut host = Host::connected("conn1");
        for (op, size) in [(1, 32_768), (2, size)] {
            let data = Data::from("x".repeat(size));
            host.input(change(op, PresenceAction::Update, Some(data)));
        }
        let lines = host.recv(json!({"action": 11, "channel": "ch"}));
        assert_eq!(only(&lines, "send PRESENCE").len(), messages, "{size}");
    }
}
