//! The encoding chain at the edge to the application (RSL4, RSL6).

use presence_proto::SmolStr;
use presence_proto::wire::{
    Data, ErrorInfo, Format, Map, PresenceAction, PresenceMessage, ProtocolMessage, Value,
};

fn item(data: impl Into<Data>, encoding: &str) -> PresenceMessage {
    let mut item = PresenceMessage::new(PresenceAction::Enter).with_data(data);
    item.encoding = (!encoding.is_empty()).then(|| SmolStr::new(encoding));
    item
}

fn object() -> Value {
    Map::from_iter([("a", Value::from(1_i64)), ("b", Value::from(vec![Value::from("é\n")]))]).into()
}

// UTS: rest/unit/RSL4b/json-object-encoding-0
// UTS: rest/unit/RSL4d/array-json-encoding-0
#[test]
fn rsl4c3_rsl4d3_json_is_sent_as_text() {
    let mut sent = item(object(), "");
    sent.encode_data().unwrap();
    assert_eq!(sent, item(r#"{"a":1,"b":["é\n"]}"#, "json"));
    sent.decode_data().unwrap();
    assert_eq!(sent, item(object(), ""));
}

// UTS: rest/unit/RSL4a/number-type-rejected-1
// UTS: rest/unit/RSL4a/boolean-type-rejected-2
#[test]
fn rsl4a_scalars_are_refused_and_left_alone() {
    let mut sent = item(Value::from(5_i64), "");
    let error = sent.encode_data().unwrap_err();
    assert_eq!(ErrorInfo::from(&error).code, 40013);
    assert_eq!(sent, item(Value::from(5_i64), ""));
}

// UTS: rest/unit/RSL4a/string-data-no-encoding-0
#[test]
fn rsl4b_text_and_bytes_stay_as_they_are() {
    for data in [Data::from("plain"), Data::from(&[0_u8, 255][..])] {
        let mut sent = item(data.clone(), "");
        sent.encode_data().unwrap();
        assert_eq!(sent, item(data, ""));
    }
}

#[test]
fn rtp17g_a_residue_is_sent_unchanged() {
    let mut sent = item(&[1_u8, 2][..], "json/cipher+aes-256-cbc");
    sent.encode_data().unwrap();
    assert_eq!(sent, item(&[1_u8, 2][..], "json/cipher+aes-256-cbc"));
}

// UTS: rest/unit/RSL6a/decode-base64-to-binary-0
// UTS: rest/unit/RSL6a/decode-json-to-object-1
// UTS: rest/unit/RSL6a/decode-chained-encodings-2
// UTS: rest/unit/RSL6/decode-utf8-base64-data-2
// UTS: rest/unit/RSL6/complex-chained-encoding-3
#[test]
fn rsl6a_steps_are_undone_from_the_right() {
    let table: [(Data, &str, Data); 11] = [
        ("e30=".into(), "json/base64", Value::from(Map::new()).into()),
        (Data::from(&b"[]"[..]), "json", Value::from(vec![]).into()),
        ("x".into(), "", "x".into()),
        (r#"{"a":1,"b":["é\n"]}"#.into(), "json", object().into()),
        ("aGk=".into(), "base64", Data::from(&b"hi"[..])),
        ("aGk=".into(), "utf-8/base64", "hi".into()),
        ("e30=".into(), "json/utf-8/base64", Value::from(Map::new()).into()),
        // Line feeds, no padding, the alphabet of URLs.
        ("_-\r\n8".into(), "base64", Data::from(&[0xff_u8, 0xef][..])),
        (Data::from(&b"aGk="[..]), "base64", Data::from(&b"hi"[..])),
        ("text already".into(), "utf-8", "text already".into()),
        (Data::from(&b"[]"[..]), "json/utf-8", Value::from(vec![]).into()),
    ];
    for (data, encoding, expected) in table {
        let mut received = item(data, encoding);
        received.decode_data().unwrap_or_else(|error| panic!("{encoding}: {error}"));
        assert_eq!(received, item(expected, ""), "{encoding}");
    }
}

// UTS: rest/unit/RSL6b/unrecognized-encoding-preserved-0
#[test]
fn rsl6b_a_step_that_is_unknown_or_fails_leaves_the_rest() {
    let table: [(Data, &str, Data, &str, &str); 9] = [
        (
            "aGk=".into(),
            "json/cipher+aes-128-cbc/base64",
            Data::from(&b"hi"[..]),
            "json/cipher+aes-128-cbc",
            "cipher+aes-128-cbc",
        ),
        ("x".into(), "foo", "x".into(), "foo", "foo"),
        ("aGk=".into(), "foo/utf-8/base64", "hi".into(), "foo", "foo"),
        ("{".into(), "json", "{".into(), "json", "json"),
        ("!".into(), "utf-8/base64", "!".into(), "utf-8/base64", "base64"),
        (
            Data::from(&[0xff_u8][..]),
            "json/utf-8",
            Data::from(&[0xff_u8][..]),
            "json/utf-8",
            "utf-8",
        ),
        (Data::from(&[b'[', 0xff][..]), "json", Data::from(&[b'[', 0xff][..]), "json", "json"),
        (Data::from(object()), "json", Data::from(object()), "json", "json"),
        ("x".into(), "json/", "x".into(), "json/", ""),
    ];
    for (data, encoding, expected, left, step) in table {
        let mut received = item(data, encoding);
        let error = received.decode_data().unwrap_err();
        assert_eq!(error.step, step, "{encoding}");
        assert_eq!(received, item(expected, left), "{encoding}");
    }
}

#[test]
fn rsl6a2_json_nests_only_so_deep() {
    let deep = "[".repeat(500) + &"]".repeat(500);
    let mut received = item(deep.as_str(), "json");
    assert!(received.decode_data().unwrap_err().to_string().contains("nested too deeply"));
    assert_eq!(received, item(deep.as_str(), "json"));
}

#[test]
fn no_data_has_no_encoding() {
    let mut received = PresenceMessage::new(PresenceAction::Leave);
    received.encoding = Some("json".into());
    received.decode_data().unwrap();
    assert_eq!(received, PresenceMessage::new(PresenceAction::Leave));
}

/// What is in memory is the same, whichever way it came.
// UTS: rest/unit/RSL4c/binary-base64-json-protocol-0
// UTS: rest/unit/RSL4c/binary-direct-msgpack-protocol-1
#[test]
fn rsl4c1_rsl4d1_bytes_travel_natively_or_as_base64() {
    for (member, json) in [
        (item(&[1_u8, 2, 3][..], ""), r#""data":"AQID","encoding":"base64""#),
        (
            item(&[1_u8][..], "cipher+aes-256-cbc"),
            r#""data":"AQ==","encoding":"cipher+aes-256-cbc/base64""#,
        ),
        (item(&[][..] as &[u8], ""), r#""data":"","encoding":"base64""#),
        (item("text", ""), r#""data":"text""#),
        (item("{}", "json"), r#""data":"{}","encoding":"json""#),
        // Not what an encoder writes, so not what may be put in its place.
        (item("AQ", "base64"), r#""data":"AQ","encoding":"base64""#),
        (item("AR==", "base64"), r#""data":"AR==","encoding":"base64""#),
        (item("AQ==", "rebase64"), r#""data":"AQ==","encoding":"rebase64""#),
    ] {
        let frame = ProtocolMessage::presence("room", vec![member]);
        let text = String::from_utf8(frame.encode(Format::Json)).unwrap();
        assert!(text.contains(json), "{text}");
        for format in [Format::Json, Format::MessagePack] {
            assert_eq!(ProtocolMessage::decode(format, &frame.encode(format)).unwrap(), frame);
        }
    }
}

#[test]
fn json_that_comes_bare_is_text_with_its_step() {
    for (bare, text) in
        [("{\"a\":[1]}", "{\"a\":[1]}"), ("5", "5"), ("true", "true"), ("1.5", "1.5")]
    {
        let frame = format!(r#"{{"action":14,"presence":[{{"action":2,"data":{bare}}}]}}"#);
        let frame = ProtocolMessage::decode(Format::Json, frame.as_bytes()).unwrap();
        assert_eq!(frame.presence[0], item(text, "json"));
    }
}

#[test]
fn json_data_in_a_frame_is_written_as_text() {
    let frame = ProtocolMessage::presence("room", vec![item(object(), "x")]);
    let expected =
        ProtocolMessage::presence("room", vec![item(r#"{"a":1,"b":["é\n"]}"#, "x/json")]);
    for format in [Format::Json, Format::MessagePack] {
        assert_eq!(ProtocolMessage::decode(format, &frame.encode(format)).unwrap(), expected);
    }
}

// UTS: rest/unit/RSL4/empty-string-no-encoding-4
// UTS: rest/unit/RSL4/empty-array-json-encoding-5
// UTS: rest/unit/RSL4/null-data-no-encoding-1
#[test]
fn rsl4_what_is_empty_is_sent_as_it_is() {
    for (data, json) in [
        (Some(Data::from("")), r#"{"action":2,"data":""}"#),
        (Some(Value::from(vec![]).into()), r#"{"action":2,"data":"[]","encoding":"json"}"#),
        (Some(Value::from(Map::new()).into()), r#"{"action":2,"data":"{}","encoding":"json"}"#),
        (None, r#"{"action":2}"#),
    ] {
        let mut sent = PresenceMessage::new(PresenceAction::Enter);
        sent.data = data;
        sent.encode_data().unwrap();
        let text = ProtocolMessage::presence("room", vec![sent]).encode(Format::Json);
        assert!(String::from_utf8(text).unwrap().contains(json), "{json}");
    }
}

// UTS: rest/unit/RSL6/msgpack-binary-stays-binary-0
// UTS: rest/unit/RSL6/msgpack-string-stays-string-1
#[test]
fn rsl6_bytes_that_could_be_text_stay_bytes() {
    for data in [Data::from(&b"Hello"[..]), Data::from("Hello")] {
        let frame = ProtocolMessage::presence("room", vec![item(data.clone(), "")]);
        let bytes = frame.encode(Format::MessagePack);
        let mut frame = ProtocolMessage::decode(Format::MessagePack, &bytes).unwrap();
        frame.presence[0].decode_data().unwrap();
        assert_eq!(frame.presence[0], item(data, ""));
    }
}

/// Messages as the Go SDK writes them: without an action, and with bytes as base64 text even in
/// MessagePack.
#[test]
fn rsl6a3_message_pack_of_others_is_read() {
    let array = Value::from(vec![Value::from("a"), "b".into(), "c".into()]);
    let table: [(&[u8], Data); 3] = [
        (b"\x82\xa4data\xad[\"a\",\"b\",\"c\"]\xa8encoding\xa4json", array.into()),
        (b"\x81\xa4data\xa1a", "a".into()),
        (b"\x82\xa4data\xa4YQ==\xa8encoding\xa6base64", Data::from(&b"a"[..])),
    ];
    for (message, expected) in table {
        let bytes = [b"\x82\xa8messages\x91", message, b"\xa9msgSerial\x00"].concat();
        let mut frame = ProtocolMessage::decode(Format::MessagePack, &bytes).unwrap();
        assert_eq!(frame.msg_serial, Some(0));
        let again = frame.encode(Format::MessagePack);
        assert_eq!(ProtocolMessage::decode(Format::MessagePack, &again).as_ref(), Ok(&frame));
        let message = &mut frame.messages[0];
        message.decode_data().unwrap();
        assert_eq!((message.data.as_ref(), &message.encoding), (Some(&expected), &None));
    }
}
