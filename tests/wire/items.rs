//! What items have from their frame, what counts as their size, and values.

use presence_proto::UnixMillis;
use presence_proto::wire::{
    Action, Data, ErrorInfo, Format, Map, Message, PresenceAction, PresenceMessage,
    ProtocolMessage, Value,
};

// UTS: rest/unit/TP3d/connectionid-from-protocol-message-0
// UTS: rest/unit/TP3a/id-from-protocol-message-1
// UTS: rest/unit/TP3g/timestamp-from-protocol-message-0
#[test]
fn tp3a_tp3d_tp3g_items_inherit_what_they_lack() {
    let mut frame = ProtocolMessage::presence(
        "room",
        vec![
            PresenceMessage::new(PresenceAction::Enter),
            PresenceMessage::new(PresenceAction::Leave),
        ],
    );
    frame.id = Some("c:5".into());
    frame.connection_id = Some("c".into());
    frame.timestamp = Some(UnixMillis::from_millis(9));
    frame.presence[0].id = Some("own".into());
    frame.presence[0].connection_id = Some("d".into());
    frame.presence[0].timestamp = Some(UnixMillis::from_millis(1));
    frame.messages = vec![Message::default()];
    frame.inherit();
    let [own, inherits] = &frame.presence[..] else { panic!() };
    assert_eq!(
        (own.id.as_deref(), own.connection_id.as_deref(), own.timestamp),
        (Some("own"), Some("d"), Some(UnixMillis::from_millis(1)))
    );
    assert_eq!(
        (inherits.id.as_deref(), inherits.connection_id.as_deref(), inherits.timestamp),
        (Some("c:5:1"), Some("c"), Some(UnixMillis::from_millis(9)))
    );
    assert_eq!(frame.messages[0].id.as_deref(), Some("c:5:0"));
    assert_eq!(frame.messages[0].connection_id.as_deref(), Some("c"));
}

#[test]
fn tp3a_without_a_frame_id_there_is_no_item_id() {
    let mut frame =
        ProtocolMessage::presence("room", vec![PresenceMessage::new(PresenceAction::Enter)]);
    frame.inherit();
    assert_eq!(frame.presence[0], PresenceMessage::new(PresenceAction::Enter));
}

// UTS: rest/unit/TP5/presence-message-size-0
#[test]
fn tp5_tm6_sizes_count_client_id_data_extras_and_name() {
    let object: Value = Map::from_iter([("a", Value::from("é"))]).into();
    for (data, size) in [
        (Data::from("é"), 2),
        (Data::from(&[1_u8, 2, 3][..]), 3),
        (Data::from(object.clone()), r#"{"a":"é"}"#.len()),
    ] {
        let mut item = PresenceMessage::new(PresenceAction::Enter)
            .with_client_id("me")
            .with_data(data.clone());
        assert_eq!(item.size(), 2 + size);
        item.extras = Some(Box::new(object.clone()));
        assert_eq!(item.size(), 2 + size + 10);
        let mut message = Message::default();
        message.name = Some("name".into());
        message.data = Some(data);
        message.extras = item.extras.clone();
        assert_eq!(message.size(), 4 + size + 10);
    }
    // The same before and after the encoding.
    let mut item = PresenceMessage::new(PresenceAction::Enter).with_data(object);
    let before = item.size();
    item.encode_data().unwrap();
    assert_eq!(item.size(), before);
}

#[test]
fn maps_keep_their_order_and_the_last_of_a_name_counts() {
    let mut map = Map::from_iter([("a", 1_i64), ("b", 2), ("a", 3)]);
    assert_eq!(map.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(map.get("a"), Some(&Value::Int(3)));
    assert_eq!(map.insert("c", "x"), None);
    assert_eq!(map.insert("b", true), Some(Value::Int(2)));
    assert_eq!(map.remove("a"), Some(Value::Int(3)));
    assert_eq!(map.remove("a"), None);
    assert!(!map.contains("a") && map.len() == 2 && !map.is_empty());
    assert_eq!(Value::from(map).to_string(), r#"{"b":true,"c":"x"}"#);
    let twice = ProtocolMessage::decode(Format::Json, br#"{"action":19,"state":{"a":1,"a":2}}"#);
    assert_eq!(twice.unwrap().state.unwrap().get("a"), Some(&Value::Int(2)));
}

#[test]
fn values_are_what_they_are() {
    let value = Value::from(u64::MAX);
    assert_eq!((value.as_i64(), value.as_u64(), value.as_str()), (None, Some(u64::MAX), None));
    assert_eq!(Value::from(5_u64), Value::Int(5));
    assert_eq!(Value::from(-5_i32).as_u64(), None);
    assert_eq!(Value::from(2.5).as_f64(), Some(2.5));
    assert_eq!(Value::from(2_u32).as_f64(), Some(2.0));
    assert_eq!(Value::from("x").as_str(), Some("x"));
    assert_eq!(Value::from(vec![Value::Null]).as_array().unwrap(), [Value::Null]);
    assert!(Value::Null.is_null() && Value::from(true).as_bool().unwrap());
    assert_eq!(Value::Null.get("x"), None);
    let bytes: std::sync::Arc<[u8]> = [1, 2].into();
    assert_eq!(Value::from(bytes.clone()).as_bytes(), Some(&bytes[..]));
    assert_eq!(Value::from(bytes).to_json(), "\"AQI=\"");
}

// UTS: rest/unit/TP2/presence-action-enum-values-0
#[test]
fn tr2_tp2_numbers_and_actions_are_one_to_one() {
    for number in 0..64 {
        assert_eq!(Action::from_number(number).number(), number);
        assert_eq!(PresenceAction::from_number(number).number(), number);
    }
    assert_eq!(Action::from_number(16), Action::Sync);
    assert_eq!(Action::from_number(22), Action::Unknown(22));
    assert_eq!(PresenceAction::from_number(4), PresenceAction::Update);
}

#[test]
fn rtn2a_formats_have_names() {
    for format in [Format::Json, Format::MessagePack] {
        assert_eq!(Format::from_name(format.name()), Some(format));
    }
    assert_eq!(Format::from_name("xml"), None);
}

// UTS: rest/unit/TP3/presence-from-json-0
// UTS: rest/unit/TP3/presence-encoded-data-from-json-1
// UTS: rest/unit/TP3/null-attributes-omitted-3
// UTS: rest/unit/TP4/from-encoded-presence-0
#[test]
fn tp3_tp4_presence_messages_are_read_with_all_their_fields() {
    let text = concat!(
        r#"{"action":14,"presence":[{"id":"pm","action":2,"clientId":"user","connectionId":"conn","#,
        r#""data":"{\"status\":\"online\"}","encoding":"json","timestamp":1234567890000,"#,
        r#""extras":{"headers":{"x-key":"x-value"}}},{"action":2,"clientId":"bob","encoding":null}]}"#
    );
    let mut frame = ProtocolMessage::decode(Format::Json, text.as_bytes()).unwrap();
    frame.presence[0].decode_data().unwrap();
    let [full, bare] = &frame.presence[..] else { panic!() };
    assert_eq!(full.action, PresenceAction::Enter);
    assert_eq!(full.id.as_deref(), Some("pm"));
    assert_eq!(full.client_id.as_deref(), Some("user"));
    assert_eq!(full.connection_id.as_deref(), Some("conn"));
    assert_eq!(full.timestamp, Some(UnixMillis::from_millis(1_234_567_890_000)));
    assert_eq!(full.encoding, None);
    let status = full.data.as_ref().unwrap().as_json().unwrap().get("status").unwrap();
    assert_eq!(status.as_str(), Some("online"));
    let headers = full.extras.as_ref().unwrap().get("headers").unwrap();
    assert_eq!(headers.get("x-key").unwrap().as_str(), Some("x-value"));
    assert_eq!(*bare, PresenceMessage::new(PresenceAction::Enter).with_client_id("bob"));
    let written = ProtocolMessage::presence("room", vec![bare.clone()]).encode(Format::Json);
    assert!(String::from_utf8(written).unwrap().ends_with(r#"[{"action":2,"clientId":"bob"}]}"#));
}

// UTS: rest/unit/TI1/errorinfo-attributes-0
// UTS: rest/unit/TI/errorinfo-from-json-0
// UTS: rest/unit/TI/errorinfo-nested-cause-1
// UTS: rest/unit/TI/error-string-representation-4
// UTS: rest/unit/TI/error-equality-5
#[test]
fn ti1_errors_are_read_with_their_causes() {
    let text = concat!(
        r#"{"action":9,"error":{"code":40142,"statusCode":401,"message":"Token expired","#,
        r#""href":"https://help.example/40142","requestId":"r","remediation":"renew","detail":null,"#,
        r#""cause":{"code":50001,"statusCode":500,"message":"deeper"}}}"#
    );
    let frame = ProtocolMessage::decode(Format::Json, text.as_bytes()).unwrap();
    let error = frame.error.unwrap();
    assert_eq!(
        (error.code, error.status_code, error.message.as_str()),
        (40142, 401, "Token expired")
    );
    assert_eq!(error.href.as_deref(), Some("https://help.example/40142"));
    assert_eq!(error.cause.as_deref(), Some(&ErrorInfo::new(50001, 500, "deeper")));
    assert!(error.is_token_error() && !error.cause.as_ref().unwrap().is_token_error());
    let shown = error.to_string();
    assert!(shown.contains("40142") && shown.contains("401") && shown.contains("Token expired"));
    assert_ne!(*error, ErrorInfo::new(40142, 401, "Token expired"));
    let source = core::error::Error::source(&*error).unwrap();
    assert_eq!(source.to_string(), error.cause.as_ref().unwrap().to_string());
}

#[test]
fn values_are_other_types_by_serde() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Status {
        text: String,
        since: u64,
        spot: Option<(f64, i8)>,
    }
    let status = Status { text: "away".into(), since: u64::MAX, spot: Some((0.5, -3)) };
    let text = serde_json::to_string(&status).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&value).unwrap(), text);
    assert_eq!(value.to_json(), text);
    let bytes = rmp_serde::to_vec_named(&value).unwrap();
    assert_eq!(rmp_serde::from_slice::<Status>(&bytes).unwrap(), status);
    assert_eq!(rmp_serde::from_slice::<Value>(&bytes).unwrap(), value);
    let bytes = Value::from(std::sync::Arc::<[u8]>::from([1, 2]));
    let packed = rmp_serde::to_vec(&bytes).unwrap();
    assert_eq!(rmp_serde::from_slice::<Value>(&packed).unwrap(), bytes);
    let deep = "[".repeat(100) + &"]".repeat(100);
    assert!(serde_json::from_str::<Value>(&deep).is_err());
}
