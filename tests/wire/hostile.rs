//! Input that no peer should send: an error that says what and where, and bounded memory.

use presence_proto::wire::{
    Data, DecodeError, DecodeErrorKind, DecodeLimits, ErrorInfo, Format, ProtocolMessage, Value,
};

fn json(text: &str) -> Result<ProtocolMessage, DecodeError> {
    ProtocolMessage::decode(Format::Json, text.as_bytes())
}

fn pack(bytes: &[u8]) -> Result<ProtocolMessage, DecodeError> {
    ProtocolMessage::decode(Format::MessagePack, bytes)
}

/// `{"action": 14, <name>: ` in MessagePack, for a value to be appended.
fn with_field(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x82\xa6action\x0e".to_vec();
    bytes.push(0xa0 | name.len() as u8);
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(value);
    bytes
}

#[test]
fn message_pack_errors_say_what_and_where() {
    for (bytes, expected) in [
        (vec![], "unexpected end of input, at byte 0"),
        (vec![0xc0], "not a frame, at byte 1"),
        (vec![0x90], "not a frame, at byte 1"),
        (vec![0xc1], "the tag 0xc1 is not used, at byte 1"),
        (vec![0x81, 0x01, 0x01], "a name that is not text, at byte 2"),
        (
            with_field("presence", &[0x91, 0x81, 0xa4]),
            "presence[0]: unexpected end of input, at byte 20",
        ),
        (with_field("id", &[0xa2, 0xc3, 0x28]), "id: invalid UTF-8, at byte 15"),
        (with_field("id", &[0xd9, 200, b'x']), "id: unexpected end of input, at byte 14"),
        (
            with_field("count", &[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]),
            "count: NaN is not a whole number, at byte 24",
        ),
        (
            with_field("count", &[0xca, 0x7f, 0x80, 0, 0]),
            "count: inf is not a whole number, at byte 20",
        ),
        (
            with_field("msgSerial", &[0xcf, 255, 255, 255, 255, 255, 255, 255, 255]),
            "msgSerial: 18446744073709551615 is out of range, at byte 28",
        ),
        (with_field("extras", &[0x01, 0x02]), "trailing bytes, at byte 17"),
        (
            with_field("state", &[0xd5, 1, 2, 3]),
            "state: extension types have no meaning here, at byte 16",
        ),
    ] {
        assert_eq!(pack(&bytes).unwrap_err().to_string(), expected);
    }
}

#[test]
fn absurd_lengths_are_not_believed() {
    // Four thousand million items, bytes, entries; and nothing behind them.
    for value in [
        [0xdd, 255, 255, 255, 255],
        [0xc6, 255, 255, 255, 255],
        [0xdb, 255, 255, 255, 255],
        [0xdf, 255, 255, 255, 255],
        [0xc9, 255, 255, 255, 255],
    ] {
        for name in ["presence", "messages", "data", "state", "unknown", "params", "id"] {
            assert!(pack(&with_field(name, &value)).is_err(), "{name}");
        }
    }
}

#[test]
fn nesting_is_limited_in_both_formats() {
    let (deep, flat) = (100_000, 60);
    for (levels, fits) in [(deep, false), (flat, true)] {
        let text =
            format!(r#"{{"action":14,"state":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        let mut value = vec![0x91; levels - 1];
        value.push(0x90);
        for result in [json(&text), pack(&with_field("state", &value))] {
            match result {
                Ok(_) => assert!(fits),
                Err(error) => {
                    assert!(!fits);
                    assert_eq!(error.kind, DecodeErrorKind::TooLarge);
                    assert!(error.reason.contains("nested too deeply"), "{error}");
                }
            }
        }
    }
    let causes = r#"{"cause":"#.repeat(5000) + "null" + &"}".repeat(5000);
    let error = json(&format!(r#"{{"action":9,"error":{causes}}}"#)).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::TooLarge);
    assert_eq!(ErrorInfo::from(&error).code, 40009);
}

#[test]
fn rsf1_what_is_ignored_may_be_as_deep_as_it_likes() {
    let levels = 100_000;
    let text = format!(r#"{{"x":{}{},"action":14}}"#, "[".repeat(levels), "]".repeat(levels));
    json(&text).unwrap();
    let mut value = vec![0x91; levels];
    value.push(0xd4);
    value.extend([1, 1]);
    pack(&with_field("x", &value)).unwrap();
}

#[test]
fn limits_are_those_of_the_caller() {
    let mut limits = DecodeLimits::default();
    limits.max_len = 20;
    limits.max_items = 2;
    limits.max_values = 3;
    limits.max_depth = 1;
    for (text, expected) in [
        (r#"{"action":1234567890}"#, ": a frame of 21 bytes, 20 are allowed, at byte 0"),
        (
            r#"{"presence":[{},{}],"messages":[{}]}"#,
            "messages[0]: too many items in one frame, at byte 32",
        ),
        (r#"{"messages":[{},{},{}]}"#, "messages[2]: too many items in one frame, at byte 19"),
        (r#"{"state":[0,0,0]}"#, "state[2]: too many values in one frame, at byte 14"),
        (r#"{"state":[[]]}"#, "state[0]: nested too deeply, at byte 12"),
    ] {
        limits.max_len = if text.contains("1234") { 20 } else { 100 };
        let error =
            ProtocolMessage::decode_with(Format::Json, text.as_bytes(), &limits).unwrap_err();
        assert_eq!(error.to_string(), expected.trim_start_matches(": "), "{text}");
    }
}

#[test]
fn json_is_json() {
    for text in [
        "",
        "{",
        "nul",
        r#"{"action":}"#,
        r#"{"action":01}"#,
        r#"{"action":1,}"#,
        r#"{'action':1}"#,
        r#"{"action":1}{"action":1}"#,
        r#"{"action":1e400}"#,
        r#"{"action":14,"id":"a
b"}"#,
        r#"{"action":14,"id":"\x"}"#,
        r#"{"action":14,"id":"\u12"}"#,
        r#"{"action":1,"x":tru}"#,
        r#"{"action":"14"}"#,
        r#"{"action":true}"#,
        r#"{"action":4294967296}"#,
    ] {
        assert!(json(text).is_err(), "{text}");
    }
    assert_eq!(
        ProtocolMessage::decode(Format::Json, b"{\"action\":1,\"id\":\"\xff\"}")
            .unwrap_err()
            .to_string(),
        "invalid UTF-8, at byte 18"
    );
}

#[test]
fn errors_do_not_quote_without_end() {
    let long = "é".repeat(100_000);
    for text in [
        format!(r#"{{"action":14,"count":"{long}"}}"#),
        format!(r#"{{"action":14,"state":{{"{long}":tru}}}}"#),
    ] {
        let error = json(&text).unwrap_err();
        assert!(error.to_string().len() < 600, "{error}");
    }
}

/// JavaScript cuts characters in two; its MessagePack then carries U+FFFD.
#[test]
fn a_lone_surrogate_is_a_replacement_character() {
    for (escaped, text) in [
        (r"\ud83d\ude00", "😀"),
        (r"x\ud83d", "x\u{fffd}"),
        (r"\ude00\ud83dy", "\u{fffd}\u{fffd}y"),
        (r"\uD83D\ud83d\uDE00", "\u{fffd}😀"),
        (r"\ud83d\\ud83d \ud800", "\u{fffd}\\ud83d \u{fffd}"),
        (r"\\\ud83dé", "\\\u{fffd}é"),
    ] {
        let frame =
            json(&format!(r#"{{"action":14,"presence":[{{"action":2,"data":"{escaped}"}}]}}"#));
        assert_eq!(frame.unwrap().presence[0].data, Some(Data::from(text)), "{escaped}");
        assert_eq!(Value::parse_json(&format!("\"{escaped}\"")).unwrap(), Value::from(text));
    }
    let error = json(r#"{"action":14,"id":"\ud800","presence":5}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "presence: not a list of which each is a presence message, at byte 39"
    );
}

/// How the JavaScript client's MessagePack writes `undefined`.
#[test]
fn undefined_is_absent() {
    let frame = pack(&with_field("id", &[0xd4, 0, 0])).unwrap();
    assert_eq!(frame.id, None);
    let frame = pack(&with_field("state", &[0x91, 0xd4, 0, 0])).unwrap();
    assert_eq!(frame.state.as_deref(), Some(&Value::from(vec![Value::Null])));
}

#[test]
fn numbers_of_every_width_are_read() {
    let widths: [(&[u8], i64); 13] = [
        (&[0x07], 7),
        (&[0xcc, 0x80], 128),
        (&[0xcd, 1, 0], 256),
        (&[0xce, 0, 1, 0, 0], 65536),
        (&[0xcf, 0, 0, 1, 0, 0, 0, 0, 0], 1 << 40),
        (&[0xff], -1),
        (&[0xd0, 0x80], -128),
        (&[0xd0, 7], 7),
        (&[0xd1, 0xff, 0], -256),
        (&[0xd2, 0xff, 0, 0, 0], -(1 << 24)),
        (&[0xd3, 0xff, 0, 0, 0, 0, 0, 0, 0], -(1 << 56)),
        (&[0xca, 0x40, 0xe0, 0, 0], 7),
        (&[0xcb, 0xc0, 0x1c, 0, 0, 0, 0, 0, 0], -7),
    ];
    for (bytes, number) in widths {
        assert_eq!(pack(&with_field("msgSerial", bytes)).unwrap().msg_serial, Some(number));
    }
}

#[test]
fn params_and_details_may_hold_numbers() {
    let frame = json(r#"{"action":10,"params":{"rewind":1,"x":true,"n":null,"s":"t"}}"#).unwrap();
    let params: Vec<_> =
        frame.params.iter().flatten().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(params, [("rewind", "1"), ("x", "true"), ("s", "t")]);
}

/// Whatever is wrong is said in the words of the protocol, the same in both formats, and not in those
/// of a parser, which tell what this is made of and nothing that helps.
#[test]
fn errors_are_in_our_words() {
    const FIELDS: [&str; 16] = [
        "action",
        "flags",
        "id",
        "channel",
        "channelSerial",
        "connectionId",
        "msgSerial",
        "count",
        "timestamp",
        "error",
        "auth",
        "params",
        "connectionDetails",
        "presence",
        "messages",
        "res",
    ];
    let values = [
        Value::from(true),
        Value::from(-1),
        Value::from(1.5),
        Value::from(u64::MAX),
        Value::from("text, expected a frame"),
        Value::parse_json("[]").unwrap(),
        Value::parse_json("[[1]]").unwrap(),
        Value::parse_json("[{}]").unwrap(),
        Value::parse_json(r#"[{"action":"x"}]"#).unwrap(),
        Value::parse_json(r#"[{"action":1,"timestamp":[]}]"#).unwrap(),
        Value::parse_json("{}").unwrap(),
        Value::parse_json(r#"{"code":"x"}"#).unwrap(),
        Value::parse_json(r#"{"accessToken":{}}"#).unwrap(),
    ];
    let mut told = std::collections::BTreeSet::new();
    for field in FIELDS {
        for value in &values {
            let text = format!(r#"{{"{field}":{}}}"#, value.to_json());
            let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
            let packed = rmp_serde::to_vec(&parsed).unwrap();
            let [one, other] =
                [json(&text), pack(&packed)].map(|read| read.err().map(|e| (e.path, e.reason)));
            assert_eq!(one, other, "{text}");
            told.extend(one.map(|(_, reason)| reason));
        }
    }
    for text in [
        "",
        "{",
        "{]",
        "nul",
        "[1,]",
        "{}x",
        "\"\u{1}\"",
        "{\"id\":\"\\q\"}",
        "{1:2}",
        "1",
        "01",
        "\u{7f}",
    ] {
        told.insert(json(text).unwrap_err().reason);
    }
    assert!(told.len() > 10, "{told:?}");
    for reason in told {
        for inner in [
            ", expected",
            "invalid type",
            "sequence",
            "map",
            "unit",
            "`",
            "\"",
            "EOF",
            "line",
            "column",
            "variant",
        ] {
            assert!(!reason.contains(inner), "{reason}");
        }
    }
}
