//! What is written, to the byte.

use presence_proto::UnixMillis;
use presence_proto::wire::{
    Action, AuthDetails, ConnectionDetails, Data, ErrorInfo, Flags, Format, Map, Message,
    PresenceAction, PresenceMessage, ProtocolMessage, Value,
};

fn json(frame: &ProtocolMessage) -> String {
    let text = String::from_utf8(frame.encode(Format::Json)).unwrap();
    for format in [Format::Json, Format::MessagePack] {
        let again = ProtocolMessage::decode(format, &frame.encode(format)).unwrap();
        assert_eq!(&again, frame);
    }
    text
}

#[test]
fn rtl6i3_absent_fields_are_left_out() {
    assert_eq!(json(&ProtocolMessage::new(Action::Close)), r#"{"action":7}"#);
    assert_eq!(
        ProtocolMessage::new(Action::Close).encode(Format::MessagePack),
        b"\x81\xa6action\x07"
    );
    let mut frame = ProtocolMessage::on_channel(Action::Presence, "room");
    frame.presence = vec![PresenceMessage::new(PresenceAction::Leave)].into();
    assert_eq!(json(&frame), r#"{"action":14,"channel":"room","presence":[{"action":3}]}"#);
}

#[test]
fn rtl6i3_what_is_empty_is_left_out() {
    let mut frame = ProtocolMessage::on_channel(Action::Presence, "");
    let mut item = PresenceMessage::new(PresenceAction::Present).with_client_id("").with_data("");
    item.encoding = Some("".into());
    item.extras = Some(Box::new(Value::Null));
    frame.presence.push(item);
    frame.state = Some(Box::new(Value::Null));
    for format in [Format::Json, Format::MessagePack] {
        let again = ProtocolMessage::decode(format, &frame.encode(format)).unwrap();
        assert_eq!(again.encode(format), frame.encode(format));
    }
    let text = String::from_utf8(frame.encode(Format::Json)).unwrap();
    assert_eq!(text, r#"{"action":14,"presence":[{"action":1,"data":""}]}"#);
}

/// The JavaScript client does not end a sync on a page that has no list of members.
#[test]
fn rtp18_a_page_without_members_has_an_empty_list() {
    for action in [Action::Sync, Action::Presence] {
        let text = json(&ProtocolMessage::on_channel(action, "room"));
        assert!(text.ends_with(r#""presence":[]}"#), "{text}");
    }
    assert!(
        json(&ProtocolMessage::on_channel(Action::Message, "room")).ends_with(r#""messages":[]}"#)
    );
    assert_eq!(
        json(&ProtocolMessage::on_channel(Action::Attach, "room")),
        r#"{"action":10,"channel":"room"}"#
    );
}

#[test]
fn tr4_every_field_is_written() {
    let mut frame = ProtocolMessage::on_channel(Action::Unknown(40), "room");
    frame.id = Some("c:1".into());
    frame.flags = Some(Flags::HAS_PRESENCE | Flags::PRESENCE);
    frame.channel_serial = Some("serial".into());
    frame.connection_id = Some("c".into());
    frame.msg_serial = Some(-1);
    frame.count = Some(2);
    frame.timestamp = Some(UnixMillis::from_millis(1_700_000_000_000));
    frame.params = Some(vec![("rewind".into(), "1".into())]);
    frame.annotations = Some(Box::new(Value::from(vec![])));
    frame.state = Some(Box::new(Value::from(vec![Value::Null])));
    frame.res = Some(Box::new(Value::from(true)));
    let mut auth = AuthDetails::default();
    auth.access_token = Some("token".into());
    frame.auth = Some(Box::new(auth));
    let mut details = ConnectionDetails::default();
    details.client_id = Some("me".into());
    details.connection_key = Some("key".into());
    details.max_message_size = Some(1);
    details.max_frame_size = Some(2);
    details.max_inbound_rate = Some(3);
    details.connection_state_ttl = Some(4);
    details.max_idle_interval = Some(0);
    details.server_id = Some("s".into());
    details.site_code = Some("site".into());
    details.objects_gc_grace_period = Some(5);
    frame.connection_details = Some(Box::new(details));
    let mut error = ErrorInfo::new(1, 2, "why").with_cause(ErrorInfo::default());
    error.href = Some("h".into());
    error.request_id = Some("r".into());
    error.detail = vec![("k".into(), "v".into())];
    frame.error = Some(Box::new(error));
    assert_eq!(
        json(&frame),
        concat!(
            r#"{"action":40,"flags":65537,"id":"c:1","channel":"room","channelSerial":"serial","#,
            r#""connectionId":"c","connectionDetails":{"clientId":"me","connectionKey":"key","#,
            r#""maxMessageSize":1,"maxFrameSize":2,"maxInboundRate":3,"connectionStateTtl":4,"#,
            r#""maxIdleInterval":0,"serverId":"s","siteCode":"site","objectsGCGracePeriod":5},"#,
            r#""msgSerial":-1,"count":2,"timestamp":1700000000000,"error":{"message":"why","code":1,"#,
            r#""statusCode":2,"href":"h","cause":{"message":"","code":0,"statusCode":0},"requestId":"r","#,
            r#""detail":{"k":"v"}},"auth":{"accessToken":"token"},"params":{"rewind":"1"},"#,
            r#""annotations":[],"state":[null],"res":true}"#
        )
    );
    assert!(!format!("{frame:?}").contains("\"token\""), "tokens are not to be logged");
}

#[test]
fn tm2_messages_pass_through() {
    let text = r#"{"action":15,"channel":"room","messages":[{"id":"i","name":"n","clientId":"c","connectionId":"k","timestamp":1,"data":"d","encoding":"e","extras":{"x":1},"serial":"s","version":{"a":[1]},"action":0}]}"#;
    let frame = ProtocolMessage::decode(Format::Json, text.as_bytes()).unwrap();
    assert_eq!(json(&frame), text);
    assert_eq!(frame.messages[0].other.len(), 3);
}

#[test]
fn text_is_escaped_as_json_stringify_does_it() {
    let all: String = (0_u8..0x80).map(char::from).chain("é\u{2028}😀".chars()).collect();
    let written = Value::from(all.as_str()).to_json();
    assert_eq!(written, serde_json::to_string(&all).unwrap());
    assert!(written.contains(r#"\u0000\u0001"#) && written.contains(r#"\b\t\n\u000b\f\r"#));
    // Every place in texts of every length, whatever they are looked at in.
    for len in 0..70 {
        for at in 0..=len {
            for special in ["\"", "\\", "\0", "\u{1f}", "\u{7f}", "\u{80}", " ", "!", "#", "[", "]"]
            {
                let text = format!("{}{special}{}", "x".repeat(at), "y".repeat(len - at));
                let written = Value::from(text.as_str()).to_json();
                assert_eq!(written, serde_json::to_string(&text).unwrap());
            }
        }
    }
}

#[test]
fn numbers_are_written_as_they_were() {
    for (value, text) in [
        (Value::from(0_i64), "0"),
        (Value::from(i64::MIN), "-9223372036854775808"),
        (Value::from(u64::MAX), "18446744073709551615"),
        (Value::from(1.0), "1.0"),
        (Value::from(0.1), "0.1"),
        (Value::from(-1e-7), "-1e-7"),
        (Value::from(1e300), "1e300"),
        (Value::from(f64::NAN), "null"),
        (Value::from(f64::NEG_INFINITY), "null"),
    ] {
        assert_eq!(value.to_json(), text);
        if text != "null" {
            assert_eq!(Value::parse_json(text).unwrap(), value);
        }
    }
}

#[test]
fn message_pack_takes_the_least_bytes() {
    for (number, bytes) in [
        (0_i64, &[0x00][..]),
        (127, &[0x7f]),
        (128, &[0xcc, 128]),
        (255, &[0xcc, 255]),
        (256, &[0xcd, 1, 0]),
        (65535, &[0xcd, 255, 255]),
        (65536, &[0xce, 0, 1, 0, 0]),
        (1 << 32, &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]),
        (-1, &[0xff]),
        (-32, &[0xe0]),
        (-33, &[0xd0, 0xdf]),
        (-128, &[0xd0, 0x80]),
        (-129, &[0xd1, 0xff, 0x7f]),
        (-32769, &[0xd2, 0xff, 0xff, 0x7f, 0xff]),
        (-2_147_483_649, &[0xd3, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]),
    ] {
        let mut frame = ProtocolMessage::new(Action::Ack);
        frame.msg_serial = Some(number);
        let written = frame.encode(Format::MessagePack);
        assert_eq!(written, [&b"\x82\xa6action\x01\xa9msgSerial"[..], bytes].concat());
    }
    for (len, header) in [
        (31, &[0xbf][..]),
        (32, &[0xd9, 32]),
        (255, &[0xd9, 255]),
        (256, &[0xda, 1, 0]),
        (65535, &[0xda, 255, 255]),
        (65536, &[0xdb, 0, 1, 0, 0]),
    ] {
        let text = "x".repeat(len);
        let frame = ProtocolMessage::on_channel(Action::Attach, text.as_str());
        let expected = [&b"\x82\xa6action\x0a\xa7channel"[..], header, text.as_bytes()].concat();
        assert_eq!(frame.encode(Format::MessagePack), expected);
    }
    for (len, header) in [
        (0, &[0xc4, 0][..]),
        (255, &[0xc4, 255]),
        (256, &[0xc5, 1, 0]),
        (65536, &[0xc6, 0, 1, 0, 0]),
    ] {
        let bytes = vec![7; len];
        let item = PresenceMessage::new(PresenceAction::Enter).with_data(bytes.clone());
        let frame = ProtocolMessage::presence("r", vec![item]);
        let start = b"\x83\xa6action\x0e\xa7channel\xa1r\xa8presence\x91\x82\xa6action\x02\xa4data";
        assert_eq!(frame.encode(Format::MessagePack), [&start[..], header, &bytes].concat());
    }
}

#[test]
fn containers_of_every_size_are_written() {
    for len in [0, 1, 15, 16, 17, 255, 256, 65535, 65536] {
        let list = Value::from(vec![Value::from(true); len]);
        let map: Map = (0..len).map(|at| (format!("{at}"), Value::Null)).take(300).collect();
        let mut frame = ProtocolMessage::new(Action::Object);
        frame.state = Some(Box::new(list));
        frame.res = Some(Box::new(map.into()));
        json(&frame);
        let again: Shape = rmp_serde::from_slice(&frame.encode(Format::MessagePack)).unwrap();
        assert_eq!(again.state.len(), len);
        assert_eq!(again.res.len(), len.min(300));
    }
}

#[derive(serde::Deserialize)]
struct Shape {
    state: Vec<bool>,
    res: std::collections::BTreeMap<String, ()>,
}

#[test]
fn bytes_are_appended() {
    let mut out = b"before".to_vec();
    ProtocolMessage::ack(3, 1).encode_into(Format::Json, &mut out);
    assert_eq!(out, br#"before{"action":1,"msgSerial":3,"count":1}"#);
}

#[test]
fn base64_of_every_length_is_that_of_others() {
    for len in (0..100).chain([767, 768, 769, 1535, 1536, 1537, 5000]) {
        let bytes: Vec<u8> = (0..len).map(|at: usize| at.wrapping_mul(37) as u8).collect();
        let item = PresenceMessage::new(PresenceAction::Enter).with_data(bytes);
        json(&ProtocolMessage::presence("room", vec![item]));
    }
}

#[test]
fn constructors_make_what_they_say() {
    assert_eq!(json(&ProtocolMessage::ack(3, 2)), r#"{"action":1,"msgSerial":3,"count":2}"#);
    assert_eq!(
        json(&ProtocolMessage::nack(3, 1, ErrorInfo::new(40012, 400, "no"))),
        r#"{"action":2,"msgSerial":3,"count":1,"error":{"message":"no","code":40012,"statusCode":400}}"#
    );
    let error = ErrorInfo::new(80000, 400, "x");
    assert_eq!(ProtocolMessage::error(error.clone()).error.as_deref(), Some(&error));
    assert_eq!(
        ProtocolMessage::new(Action::Error).with_error(error.clone()),
        ProtocolMessage::error(error)
    );
    let mut message = Message::default();
    message.data = Some(Data::from("x"));
    assert_eq!(message.size(), 1);
}
