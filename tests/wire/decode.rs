use presence_proto::UnixMillis;
use presence_proto::wire::{
    Action, Data, DecodeErrorKind, DecodeLimits, Format, PresenceAction, PresenceMessage,
    ProtocolMessage, Value,
};

fn json(text: &str) -> ProtocolMessage {
    ProtocolMessage::decode(Format::Json, text.as_bytes()).expect(text)
}

fn error(text: &str) -> String {
    ProtocolMessage::decode(Format::Json, text.as_bytes()).expect_err(text).to_string()
}

/// The same value in MessagePack, written by another encoder.
fn pack(text: &str) -> Vec<u8> {
    let value: serde_json::Value = serde_json::from_str(text).expect(text);
    rmp_serde::to_vec_named(&value).unwrap()
}

fn both(text: &str) -> ProtocolMessage {
    let from_json = json(text);
    let from_pack = ProtocolMessage::decode(Format::MessagePack, &pack(text)).expect(text);
    assert_eq!(from_json, from_pack, "{text}");
    from_json
}

#[test]
fn tr4_a_page_of_members_reads_the_same_in_both_formats() {
    let frame = both(
        r#"{"action":16,"channel":"room","channelSerial":"seq:cursor","id":"f","timestamp":5,
            "presence":[{"action":1,"id":"c:0:0","clientId":"bob","connectionId":"c",
            "timestamp":1700000000000,"data":"hi","extras":{"headers":{"a":[1,-2,2.5,null,true]}}}]}"#,
    );
    assert_eq!(frame.action, Action::Sync);
    assert_eq!(frame.channel.as_deref(), Some("room"));
    let [member] = &frame.presence[..] else { panic!() };
    assert_eq!(member.action, PresenceAction::Present);
    assert_eq!(member.data, Some(Data::from("hi")));
    assert_eq!(member.timestamp, Some(UnixMillis::from_millis(1_700_000_000_000)));
    let headers = member.extras.as_ref().unwrap().get("headers").unwrap();
    assert_eq!(headers.get("a").unwrap().as_array().unwrap()[1], Value::Int(-2));
    for format in [Format::Json, Format::MessagePack] {
        assert_eq!(ProtocolMessage::decode(format, &frame.encode(format)).unwrap(), frame);
    }
}

#[test]
fn rsf1_unknown_attributes_actions_and_flags_are_no_error() {
    let frame = both(r#"{"what":{"deep":[{}]},"action":99,"flags":1099511627776,"x":null}"#);
    assert_eq!(frame.action, Action::Unknown(99));
    assert_eq!(frame.flags.unwrap().bits(), 1 << 40);
    assert_eq!(both(&String::from_utf8(frame.encode(Format::Json)).unwrap()), frame);
}

#[test]
fn null_and_empty_are_absent() {
    let frame = both(
        r#"{"action":9,"channel":"","id":null,"error":null,"presence":null,"messages":null,
            "flags":null,"msgSerial":null,"params":null,"auth":null,"connectionDetails":null}"#,
    );
    assert_eq!(frame, ProtocolMessage::new(Action::Error));
}

/// As the Go SDK writes: a HEARTBEAT has no action.
#[test]
fn an_action_that_is_left_out_is_zero() {
    assert_eq!(both("{}"), ProtocolMessage::new(Action::Heartbeat));
    let frame = both(r#"{"action":16,"presence":[{},{"action":null}],"count":0}"#);
    assert_eq!(frame.presence[..], vec![PresenceMessage::new(PresenceAction::Absent); 2]);
}

#[test]
fn integral_floats_are_whole_numbers() {
    let frame = both(r#"{"action":14.0,"msgSerial":3e2,"timestamp":1.5e12,"count":1.0}"#);
    assert_eq!(frame.action, Action::Presence);
    assert_eq!(frame.msg_serial, Some(300));
    assert_eq!(frame.count, Some(1));
}

#[test]
fn errors_say_what_and_where() {
    for (text, expected) in [
        (
            r#"{"action":14,"presence":[{"action":1},{"action":1,"timestamp":"x"}]}"#,
            "presence[1].timestamp: not a whole number, at byte 65",
        ),
        (r#"{"action":1,"action":1}"#, "action: came twice, at byte 20"),
        (r#"{"action":1"#, "unexpected end of input, at byte 11"),
        (r#"{"action":1} x"#, "not JSON, at byte 14"),
        (r#"[]"#, "not a frame, at byte 0"),
        (r#"{"action":1.5}"#, "action: 1.5 is not a whole number, at byte 13"),
        (r#"{"action":-1}"#, "action: -1 is out of range, at byte 13"),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn limits_hold() {
    let mut limits = DecodeLimits::default();
    limits.max_items = 2;
    let text = r#"{"action":14,"presence":[{"action":1},{"action":1},{"action":1}]}"#;
    for (format, bytes) in
        [(Format::Json, text.as_bytes().to_vec()), (Format::MessagePack, pack(text))]
    {
        let error = ProtocolMessage::decode_with(format, &bytes, &limits).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::TooLarge);
    }
}
