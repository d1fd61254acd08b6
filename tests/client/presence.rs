//! Presence, clause by clause.

use crate::rig::{Rig, connected, item, only, options, presence, sync};
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

/// A client that may speak for anyone, attached to `ch`.
fn wildcard() -> Rig {
    let mut options = options();
    options.client_id = None;
    let mut rig = Rig::with(options);
    rig.input(Input::Connect);
    let mut frame = connected("conn1");
    frame["connectionDetails"]["clientId"] = "*".into();
    rig.recv(frame);
    rig.subscribe("ch");
    rig.attach("ch");
    rig
}

/// Clauses: RTP8, RTP8a, RTP8b, RTP8c, RTP9, RTP9a, RTP9b, RTP9c, RTP9d, RTP9e, RTP10, RTP10a, RTP10b,
/// RTP10c, RTP10d, RTP10e, RTP16a.
#[test]
fn rtp8_rtp9_rtp10_one_message_without_a_client_id() {
    for (action, number) in ACTIONS {
        let mut rig = Rig::attached();
        let lines = rig.input(change(1, action, Some("d".into())));
        let sent = format!(
            "send PRESENCE {{\"channel\":\"ch\",\"msgSerial\":0,\"presence\":[{{\"action\":{number},\"data\":\"d\"}}]}}"
        );
        assert_eq!(lines, [sent]);
        assert_eq!(rig.recv(json!({"action": 1, "msgSerial": 0})), ["done 1 ok"]);
        // Without data there is no field for it.
        let lines = rig.input(change(2, action, None));
        assert!(lines[0].ends_with(&format!("\"presence\":[{{\"action\":{number}}}]}}")));
        let refused =
            json!({"action": 2, "msgSerial": 1, "error": {"code": 40160, "statusCode": 401}});
        assert_eq!(rig.recv(refused), ["done 2 error 40160"], "RTP8h");
    }
}

/// Clauses: RTP8d, RTP8g, RTP15e, RTP16, RTP16b, RTP16c.
#[test]
fn rtp16_an_operation_is_sent_or_queued_or_fails() {
    for (action, _) in ACTIONS {
        let mut rig = Rig::connected("conn1");
        assert_eq!(rig.input(change(1, action, None))[0], "channel ch attaching");
        assert_eq!(rig.input(change(2, action, None)), Vec::<String>::new());
        let lines = rig.recv(json!({"action": 11, "channel": "ch"}));
        assert_eq!(only(&lines, "send PRESENCE").len(), 1);
        rig.input(Input::detach(OpId(3), "ch"));
        assert_eq!(rig.input(change(4, action, None)), ["done 4 error 90001"], "DETACHING");
        rig.recv(json!({"action": 13, "channel": "ch"}));
        assert_eq!(rig.input(change(5, action, None)), ["done 5 error 90001"], "DETACHED");
        rig.recv(json!({"action": 9, "channel": "ch", "error": {"code": 40160}}));
        assert_eq!(rig.input(change(6, action, None)), ["done 6 error 90001"], "FAILED");
        rig.input(Input::attach(OpId(7), "ch"));
        rig.recv(json!({"action": 13, "channel": "ch"}));
        assert_eq!(rig.input(change(8, action, None)), ["done 8 error 90001"], "SUSPENDED");
        rig.input(Input::Close);
        assert_eq!(rig.input(change(9, action, None)), ["done 9 error 80017"], "CLOSING");
    }
}

/// Clauses: RTP8j, RTP8i, RTP14, RTP14a, RTP14b, RTP15, RTP15a, RTP15b, RTP15d, RTP15f.
#[test]
fn rtp14_rtp15_on_behalf_of_others() {
    let mut rig = wildcard();
    for (serial, (action, number)) in (0..).zip(ACTIONS) {
        let lines = rig.input(change_of(serial, action, "alice"));
        assert!(
            lines[0].ends_with(&format!("[{{\"action\":{number},\"clientId\":\"alice\"}}]}}")),
            "{lines:?}"
        );
        let acknowledged = rig.recv(json!({"action": 1, "msgSerial": serial}));
        assert_eq!(acknowledged, [format!("done {serial} ok")]);
    }
    assert_eq!(rig.input(change(9, PresenceAction::Enter, None)), ["done 9 error 40012"], "RTP8j");
    for nobody in ["", "*"] {
        let lines = rig.input(change_of(9, PresenceAction::Enter, nobody));
        assert_eq!(lines, ["done 9 error 40012"]);
    }
    // RTP15f: who is somebody can be nobody else; all else goes on.
    let mut rig = Rig::attached();
    assert_eq!(rig.input(change_of(1, PresenceAction::Enter, "alice")), ["done 1 error 40012"]);
    assert_eq!(rig.input(change_of(2, PresenceAction::Enter, "me")).len(), 1);
    assert_eq!((rig.state(), rig.channel_state("ch")), ("connected", "attached"));
}

/// Clauses: RTP14d, RTP15c, RTP4.
#[test]
fn rtp4_two_hundred_and_fifty_members_of_one_connection() {
    let mut rig = wildcard();
    let names: Vec<String> = (0..250).map(|n| format!("client{n}@conn1:{n}")).collect();
    for n in 0..250 {
        rig.input(change_of(n, PresenceAction::Enter, &format!("client{n}")));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let events = rig.recv(presence(14, 2, &names));
    assert_eq!(only(&events, "presence ch for 0 enter").len(), 250);
    assert_eq!(rig.members("ch").len(), 250);
    assert_eq!(rig.own("ch").len(), 250);
    rig.recv(json!({"action": 1, "msgSerial": 0, "count": 250}));
    assert_eq!(rig.client.pending_operations(), 0);
}

/// Clauses: RTP8e, RTP14c, RSL4, RSL4a, RSL4c, RSL4c1, RSL4c2, RSL4c3, RSL4d, RSL4d1, RSL4d2, RSL4d3.
#[test]
fn rtp8e_data_is_encoded_as_it_is_with_messages() {
    let sent = |data: Data| {
        let mut rig = Rig::attached();
        let lines = rig.input(change(1, PresenceAction::Enter, Some(data)));
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
fn rsl6_data_is_decoded_as_far_as_it_can_be() {
    let received = |data: &str, encoding: &str| {
        let mut rig = Rig::attached();
        let mut entry = item(2, "alice@c1:0");
        entry["data"] = data.into();
        entry["encoding"] = encoding.into();
        let lines = rig.recv(json!({"action": 14, "channel": "ch", "presence": [entry]}));
        let view = rig.client.channel("ch").expect("a channel");
        let member = view.member("alice", "c1").expect("the member");
        assert_eq!(only(&lines, "presence ch for 0 enter").len(), 1, "RSL6b: never dropped");
        let warned = only(&lines, "warning DataNotDecoded").len() == 1;
        (member.data().cloned(), member.encoding().map(|rest| rest.to_string()), warned)
    };
    let json = Value::parse_json("{\"a\":1}").expect("JSON");
    assert_eq!(received("{\"a\":1}", "json"), (Some(json.clone().into()), None, false));
    assert_eq!(received("eyJhIjoxfQ==", "json/utf-8/base64"), (Some(json.into()), None, false));
    assert_eq!(received("AAEC", "base64"), (Some(vec![0u8, 1, 2].into()), None, false));
    // A cipher is opaque: what is under it goes on to the application as it is.
    assert_eq!(
        received("AAEC", "utf-8/cipher+aes-128-cbc/base64"),
        (Some(vec![0u8, 1, 2].into()), Some("utf-8/cipher+aes-128-cbc".into()), true)
    );
    assert_eq!(received("{", "json"), (Some("{".into()), Some("json".into()), true));
}

#[test]
fn rtp17g_what_could_not_be_decoded_goes_back_as_it_came() {
    let mut rig = Rig::attached();
    let mut entry = item(2, "me@conn1:0");
    entry["data"] = "AAEC".into();
    entry["encoding"] = "cipher+x/base64".into();
    entry["extras"] = json!({"headers": {"k": "v"}});
    rig.recv(json!({"action": 14, "channel": "ch", "presence": [entry]}));
    let lines = rig.recv(json!({"action": 11, "channel": "ch"}));
    let lines = only(&lines, "send PRESENCE");
    assert!(lines[0].contains("\"data\":\"AAEC\",\"encoding\":\"cipher+x/base64\""), "{lines:?}");
    assert!(lines[0].contains("\"extras\":{\"headers\":{\"k\":\"v\"}}"), "{lines:?}");
    assert!(lines[0].contains("\"id\":\"conn1:0:0\""), "{lines:?}");
}

/// Clauses: TO3l8, TO3l8f, TP5, TM6, TM6a, TM6b, TM6c, TM6d, TM6e, TM6f, CD2c, RTN21, CD1.
#[test]
fn tp5_what_is_too_large_is_not_sent() {
    let mut rig = Rig::attached();
    let large = |size: usize| Some(Data::from("x".repeat(size)));
    assert_eq!(rig.input(change(1, PresenceAction::Enter, large(65_536))).len(), 1);
    assert_eq!(rig.input(change(2, PresenceAction::Enter, large(65_537))), ["done 2 error 40009"]);
    let mut frame = connected("conn1");
    frame["connectionDetails"]["maxMessageSize"] = 10.into();
    rig.recv(frame);
    assert_eq!(rig.client.connection().max_message_size(), 10);
    let fits = |data: Data, client_id: &str, extras: Option<&str>| {
        let mut rig = rig.clone();
        let mut change = PresenceChange::new(PresenceAction::Enter, Some(data));
        change.client_id = (!client_id.is_empty()).then(|| client_id.into());
        if let Some(extras) = extras {
            change = change.with_extras(Value::parse_json(extras).expect("JSON"));
        }
        rig.input(Input::presence(OpId(3), "ch", change)) != ["done 3 error 40009"]
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
fn rtp11_who_is_there() {
    let mut rig = Rig::connected("conn1");
    rig.input(Input::attach(OpId(1), "ch"));
    rig.recv(json!({"action": 11, "channel": "ch", "flags": 1}));
    rig.recv(sync("q1:x", &["alice@c1:0", "bob@c2:0"]));
    let with = |op, wait, client_id: Option<&str>, connection_id: Option<&str>| {
        let mut params = GetParams::default();
        params.wait_for_sync = wait;
        params.client_id = client_id.map(Into::into);
        params.connection_id = connection_id.map(Into::into);
        Input::get_with(OpId(op), "ch", params)
    };
    assert_eq!(rig.input(with(2, false, None, None)), ["done 2 [alice@c1, bob@c2]"]);
    assert_eq!(rig.input(with(3, true, None, None)), Vec::<String>::new());
    assert_eq!(rig.input(with(4, true, Some("alice"), None)), Vec::<String>::new());
    assert!(!rig.client.channel("ch").expect("a channel").sync_complete());
    let lines = rig.recv(sync("q1:", &["alice@c3:0"]));
    assert_eq!(lines, ["done 3 [alice@c1, alice@c3, bob@c2]", "done 4 [alice@c1, alice@c3]"]);
    assert!(rig.client.channel("ch").expect("a channel").sync_complete());
    assert_eq!(rig.input(with(5, true, Some("alice"), Some("c3"))), ["done 5 [alice@c3]"]);
    assert_eq!(rig.input(with(6, true, None, Some("c2"))), ["done 6 [bob@c2]"]);
    assert_eq!(rig.input(with(7, true, Some("nobody"), None)), ["done 7 []"]);
}

/// Clauses: RTP11f, RTP11f1, RTP11f2, TO3r, TO3r1, TO3r2.
#[test]
fn rtp11f_without_the_mode_the_members_are_not_known() {
    let attached = json!({"action": 11, "channel": "ch", "flags": 65_536});
    let with_mode = json!({"action": 11, "channel": "ch", "flags": 65_536 + 524_288});
    for strict in [true, false] {
        let mut options = options();
        options.strict_mode = strict;
        let mut rig = Rig::with(options);
        rig.connect_as("conn1");
        rig.input(Input::attach(OpId(1), "ch"));
        rig.recv(attached.clone());
        let lines = rig.input(get(2));
        if strict {
            assert_eq!(lines, ["done 2 error 91008"]);
        } else {
            assert_eq!(only(&lines, "warning PresenceSubscribeMissing").len(), 1);
            assert_eq!(only(&lines, "done"), ["done 2 []"]);
        }
        rig.recv(with_mode.clone());
        assert_eq!(rig.input(get(3)), ["done 3 []"]);
    }
}

#[test]
fn rtp11d_a_waiting_get_does_not_hang() {
    let waiting = || {
        let mut rig = Rig::connected("conn1");
        rig.input(Input::attach(OpId(1), "ch"));
        rig.recv(json!({"action": 11, "channel": "ch", "flags": 1}));
        rig.recv(sync("q1:x", &["alice@c1:0"]));
        assert_eq!(rig.input(get(2)), Vec::<String>::new());
        rig
    };
    let mut rig = waiting();
    let lines = rig.recv(json!({"action": 11, "channel": "ch"}));
    assert_eq!(only(&lines, "done"), ["done 2 []"]);
    let mut rig = waiting();
    let lines = rig.recv(json!({"action": 9, "channel": "ch", "error": {"code": 40160}}));
    assert_eq!(only(&lines, "done"), ["done 2 error 40160"]);
    let mut rig = waiting();
    rig.drop_transport();
    let lines = rig.pass(120_000);
    assert_eq!(only(&lines, "done"), ["done 2 error 91005"]);
    let mut rig = waiting();
    rig.input(Input::detach(OpId(3), "ch"));
    let lines = rig.recv(json!({"action": 13, "channel": "ch"}));
    assert_eq!(only(&lines, "done 2"), ["done 2 error 90001"]);
}

/// Clauses: RTP5, RTP5a, RTP5b, RTP5f.
#[test]
fn rtp5_the_members_of_a_channel_that_is_not_attached() {
    let there = || {
        let mut rig = Rig::attached();
        rig.recv(presence(14, 2, &["alice@c1:0", "bob@c2:0", "me@conn1:0"]));
        rig
    };
    let mut rig = there();
    let lines = rig.recv(json!({"action": 9, "channel": "ch", "error": {"code": 40160}}));
    assert_eq!(only(&lines, "presence"), Vec::<String>::new());
    assert_eq!((rig.members("ch").len(), rig.own("ch").len()), (0, 0));
    // SUSPENDED: kept, and the next sync tells the differences.
    let mut rig = there();
    let refused = json!({"action": 13, "channel": "ch", "error": {"code": 50000}});
    rig.recv(refused.clone());
    rig.recv(refused);
    assert_eq!((rig.channel_state("ch"), rig.members("ch").len()), ("suspended", 3));
    rig.pass(15_000);
    rig.recv(json!({"action": 11, "channel": "ch", "flags": 1}));
    let lines = rig.recv(sync("q1:", &["alice@c1:0", "me@conn1:0", "carol@c3:0"]));
    assert_eq!(
        lines,
        ["presence ch for 0 present carol@c3 c3:0:0", "presence ch for 0 leave bob@c2"]
    );
}

/// Clauses: RTP6, RTP6a, RTP6b, RTP6d, RTP6e, RTP7, RTP7a, RTP7b, RTP7c.
#[test]
fn rtp6_rtp7_subscriptions() {
    let subscribe = |op, number, actions: &[PresenceAction]| {
        Input::subscribe_to(OpId(op), "ch", SubscriptionId(number), actions.to_vec())
    };
    let unsubscribe = |number: Option<u64>| Input::unsubscribe("ch", number.map(SubscriptionId));
    let mut rig = Rig::connected("conn1");
    assert_eq!(rig.input(subscribe(1, 1, &[PresenceAction::Leave]))[0], "channel ch attaching");
    assert_eq!(
        rig.recv(json!({"action": 11, "channel": "ch"})),
        ["channel ch attached", "done 1 ok"]
    );
    assert_eq!(rig.recv(presence(14, 2, &["alice@c1:0"])), Vec::<String>::new());
    // A late subscriber is told who is there, and nobody else is.
    assert_eq!(
        rig.input(subscribe(2, 2, &[])),
        ["presence ch for 2 present alice@c1 c1:0:0", "done 2 ok"]
    );
    let entered = rig.recv(presence(14, 2, &["bob@c2:0"]));
    assert_eq!(entered, ["presence ch for 2 enter bob@c2 c2:0:0"]);
    rig.input(unsubscribe(Some(2)));
    assert_eq!(rig.recv(presence(14, 2, &["carol@c3:0"])), Vec::<String>::new());
    assert_eq!(rig.recv(presence(14, 3, &["carol@c3:1"])).len(), 1);
    rig.input(unsubscribe(None));
    assert_eq!(rig.recv(presence(14, 3, &["bob@c2:1"])), Vec::<String>::new());
    assert_eq!(
        rig.input(unsubscribe(Some(2))),
        ["misuse there is no subscription 2 on channel ch"]
    );
    // RTP6e: not every subscription attaches; and it stands though the attach fails.
    let mut rig = Rig::connected("conn1");
    rig.subscribe("ch");
    assert_eq!(rig.channel_state("ch"), "initialized");
    let mut rig = Rig::connected("conn1");
    rig.input(subscribe(1, 1, &[]));
    let lines = rig.recv(json!({"action": 9, "channel": "ch", "error": {"code": 40160}}));
    assert_eq!(only(&lines, "done"), ["done 1 error 40160"]);
    rig.attach("ch");
    assert_eq!(rig.recv(presence(14, 2, &["alice@c1:0"])).len(), 1);
}

/// Clauses: RTP17, RTP17a, RTP17b, RTP17h.
#[test]
fn rtp17_own_members_are_those_of_the_connection() {
    let mut rig = wildcard();
    rig.recv(presence(14, 2, &["alice@conn1:0", "bob@c2:0", "carol@conn1:1"]));
    assert_eq!(rig.own("ch"), ["alice", "carol"]);
    assert_eq!(rig.members("ch").len(), 3);
    // A leave that the server made up is not the connection's word.
    let mut leave = item(3, "alice@conn1:0");
    leave["id"] = "server:1".into();
    leave["timestamp"] = 99.into();
    rig.recv(json!({"action": 14, "channel": "ch", "presence": [leave]}));
    assert_eq!((rig.own("ch").len(), rig.members("ch").len()), (2, 2));
    // Nor is one that only begins as the connection's id does.
    let mut leave = item(3, "carol@conn1:0");
    leave["id"] = "conn10:9:0".into();
    leave["timestamp"] = 99.into();
    rig.recv(json!({"action": 14, "channel": "ch", "presence": [leave]}));
    assert_eq!((rig.own("ch").len(), rig.members("ch").len()), (2, 1));
    let count = |rig: &Rig| rig.client.channel("ch").map(|ch| ch.own_member_count());
    assert_eq!(count(&rig), Some(2));
    rig.recv(presence(14, 3, &["carol@conn1:2"]));
    assert_eq!((rig.own("ch"), count(&rig)), (vec!["alice".into()], Some(1)));
}

/// Clauses: RTP17b, RTP17h.
#[test]
fn rtp17h_own_members_are_compared_for_newness_on_one_connection_only() {
    let mut rig = wildcard();
    rig.recv(presence(14, 2, &["alice@conn1:5"]));
    rig.recv(presence(14, 4, &["alice@conn1:3"]));
    let id = |rig: &Rig| {
        let channel = rig.client.channel("ch").expect("a channel");
        channel.own_members().next().and_then(|member| member.id.clone())
    };
    assert_eq!(id(&rig).as_deref(), Some("conn1:5:0"), "an older one changes nothing");
    rig.drop_transport();
    rig.recv(connected("conn2"));
    rig.recv(json!({"action": 11, "channel": "ch", "flags": 1}));
    rig.recv(presence(14, 2, &["alice@conn2:0"]));
    assert_eq!(id(&rig).as_deref(), Some("conn2:0:0"), "the present connection's word counts");
}

#[test]
fn rtp17i_rtp17g1_own_members_are_entered_again_in_their_order() {
    let mut rig = wildcard();
    rig.recv(presence(14, 2, &["zoe@conn1:0", "alice@conn1:1"]));
    rig.recv(presence(14, 4, &["zoe@conn1:2"]));
    let ids = |lines: Vec<String>| -> Vec<String> {
        only(&lines, "send PRESENCE")
            .iter()
            .filter_map(|line| line.split("\"presence\":").nth(1).map(str::to_owned))
            .collect()
    };
    rig.drop_transport();
    rig.recv(connected("conn1"));
    let lines = rig.recv(json!({"action": 11, "channel": "ch", "flags": 5}));
    assert_eq!(
        ids(lines),
        [
            "[{\"action\":2,\"clientId\":\"zoe\",\"id\":\"conn1:2:0\"}]}",
            "[{\"action\":2,\"clientId\":\"alice\",\"id\":\"conn1:1:0\"}]}"
        ]
    );
    rig.drop_transport();
    rig.recv(connected("conn2"));
    let lines = rig.recv(json!({"action": 11, "channel": "ch", "flags": 1}));
    assert_eq!(
        ids(lines),
        ["[{\"action\":2,\"clientId\":\"zoe\"}]}", "[{\"action\":2,\"clientId\":\"alice\"}]}"]
    );
}

#[test]
fn rtp17i_a_leave_in_flight_is_not_undone_by_a_reentry() {
    let mut rig = Rig::attached();
    rig.recv(presence(14, 2, &["me@conn1:0"]));
    rig.input(change(1, PresenceAction::Leave, None));
    rig.drop_transport();
    rig.recv(connected("conn1"));
    let lines = rig.recv(json!({"action": 11, "channel": "ch", "flags": 4}));
    let sent = only(&lines, "send PRESENCE");
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].contains("\"msgSerial\":0,\"presence\":[{\"action\":3}]"), "{sent:?}");
}

/// Clauses: RTN19a2, RTL3d2.
#[test]
fn rtl3d2_presence_waits_for_its_channel_and_keeps_its_serial() {
    let mut rig = Rig::attached();
    rig.input(change(1, PresenceAction::Enter, None));
    rig.drop_transport();
    let lines = rig.recv(connected("conn1"));
    assert_eq!(only(&lines, "send PRESENCE"), Vec::<String>::new());
    // Lost again before the channel is attached.
    rig.drop_transport();
    rig.recv(connected("conn1"));
    let lines = rig.recv(json!({"action": 11, "channel": "ch", "flags": 4}));
    assert_eq!(only(&lines, "send PRESENCE").len(), 1);
    assert!(lines[1].contains("\"msgSerial\":0"), "{lines:?}");
    assert_eq!(rig.recv(json!({"action": 1, "msgSerial": 0})), ["done 1 ok"]);
}

#[test]
fn rtn7d_without_queueing_what_is_in_flight_fails_with_the_connection() {
    let mut options = options();
    options.queue_messages = false;
    let mut rig = Rig::with(options);
    rig.connect_as("conn1");
    rig.attach("ch");
    rig.input(change(1, PresenceAction::Enter, None));
    assert_eq!(only(&rig.drop_transport(), "done"), ["done 1 error 80003"]);
    assert_eq!(rig.input(change(2, PresenceAction::Enter, None)), ["done 2 error 80003"]);
}

#[test]
fn rtn7_an_acknowledgement_that_skips_a_message_says_that_it_was_lost() {
    let mut rig = Rig::attached();
    for op in 1..=4 {
        rig.input(change(op, PresenceAction::Update, None));
    }
    assert_eq!(
        rig.recv(json!({"action": 1, "msgSerial": 1, "count": 2})),
        ["done 1 error 50001", "done 2 ok", "done 3 ok"]
    );
    // What is settled is settled.
    assert_eq!(rig.recv(json!({"action": 2, "msgSerial": 0, "count": 3})), Vec::<String>::new());
    assert_eq!(rig.recv(json!({"action": 2, "msgSerial": 3})), ["done 4 error 50001"]);
}

/// Clauses: RTP18, RTP18a, RTP18b, RTP18c, RTP19.
#[test]
fn rtp18_the_ways_in_which_a_sync_begins_and_ends() {
    let there = || {
        let mut rig = Rig::attached();
        rig.recv(presence(14, 2, &["alice@c1:0", "bob@c2:0"]));
        rig
    };
    // Without a serial the frame is the whole.
    let mut rig = there();
    assert_eq!(rig.recv(presence(16, 1, &["bob@c2:0"])), ["presence ch for 0 leave alice@c1"]);
    // An id may contain what it likes, and so may a cursor, but for the first colon.
    let mut rig = there();
    assert_eq!(rig.recv(sync("q-1/é:c:u:r", &["bob@c2:0"])), Vec::<String>::new());
    assert_eq!(rig.recv(sync("q-1/é:", &[])), ["presence ch for 0 leave alice@c1"]);
    // The same id after its end is another sync.
    assert_eq!(rig.recv(sync("q-1/é:", &[])), ["presence ch for 0 leave bob@c2"]);
    // A sync that is superseded confirms nobody.
    let mut rig = there();
    rig.recv(sync("q1:x", &["alice@c1:0"]));
    assert_eq!(rig.recv(sync("q2:", &["bob@c2:0"])), ["presence ch for 0 leave alice@c1"]);
    // An empty id names no sync: the next page begins another.
    let mut rig = there();
    rig.recv(sync(":x", &["alice@c1:0"]));
    assert_eq!(rig.recv(presence(16, 1, &["bob@c2:0"])), ["presence ch for 0 leave alice@c1"]);
}

/// Clauses: RTP13, RTP5f.
#[test]
fn rtp13_the_members_are_known_until_the_channel_is_not_attached_any_more() {
    let complete = |rig: &Rig| rig.client.channel("ch").is_some_and(|ch| ch.sync_complete());
    let mut rig = Rig::attached();
    assert!(complete(&rig));
    rig.drop_transport();
    assert!(complete(&rig), "RTL3e");
    rig.pass(120_000);
    assert_eq!((rig.channel_state("ch"), complete(&rig)), ("suspended", false));
    let mut rig = Rig::attached();
    rig.input(Input::detach(OpId(1), "ch"));
    rig.recv(json!({"action": 13, "channel": "ch"}));
    assert!(!complete(&rig));
}

/// Clauses: TP1, TP2, TP3, TP3a, TP3b, TP3c, TP3d, TP3g, TP3h, TP3i, TM2a, TM2c, TM2f.
#[test]
fn tp3_what_an_item_lacks_follows_from_its_frame() {
    let mut rig = Rig::attached();
    let lines = rig.recv(json!({
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
    let view = rig.client.channel("ch").expect("a channel");
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
    let mut few = options();
    few.limits.members = 2;
    few.limits.own_members = 1;
    let mut rig = Rig::with(few);
    rig.connect_as("conn1");
    rig.subscribe("ch");
    rig.attach("ch");
    let lines = rig.recv(presence(14, 2, &["a@c1:0", "b@conn1:1", "c@conn1:2", "a@c1:3"]));
    assert_eq!(only(&lines, "warning LimitReached").len(), 2);
    assert_eq!(rig.members("ch"), ["a@c1", "b@conn1"]);
    assert_eq!(rig.own("ch"), ["b"]);
    // Marks of members that left during a sync count as well.
    rig.recv(sync("q1:x", &["a@c1:3"]));
    for n in 0..5 {
        rig.recv(presence(14, 3, &[&format!("unknown{n}@c9:1")]));
    }
    assert_eq!(rig.client.channel("ch").expect("a channel").member_set().stored(), 2);
}

#[test]
fn waiting_operations_go_out_together_as_far_as_a_message_may_be_large() {
    let mut rig = Rig::connected("conn1");
    for op in 0..3 {
        let data = Data::from("x".repeat(30_000));
        rig.input(change(op, PresenceAction::Update, Some(data)));
    }
    let lines = rig.recv(json!({"action": 11, "channel": "ch"}));
    let sent = only(&lines, "send PRESENCE");
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].matches("\"action\":4").count(), 2);
    assert_eq!(
        rig.recv(json!({"action": 1, "msgSerial": 0, "count": 2})),
        ["done 0 ok", "done 1 ok", "done 2 ok"]
    );
    // Exactly as large as it may be, and by one byte too large.
    for (size, messages) in [(32_768, 1), (32_769, 2)] {
        let mut rig = Rig::connected("conn1");
        for (op, size) in [(1, 32_768), (2, size)] {
            let data = Data::from("x".repeat(size));
            rig.input(change(op, PresenceAction::Update, Some(data)));
        }
        let lines = rig.recv(json!({"action": 11, "channel": "ch"}));
        assert_eq!(only(&lines, "send PRESENCE").len(), messages, "{size}");
    }
}
