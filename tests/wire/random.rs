//! Both codecs on random frames and random bytes.

use presence_check::codec::{decode_json, decode_msgpack};
use presence_proto::wire::{
    Action, AuthDetails, ConnectionDetails, Data, ErrorInfo, Flags, Format, Map, Message,
    PresenceAction, PresenceMessage, ProtocolMessage, Value,
};
use presence_proto::{SmolStr, UnixMillis};
use proptest::{collection::vec, option, prelude::*};

const FORMATS: [Format; 2] = [Format::Json, Format::MessagePack];

/// Not empty: empty text is absent.
fn text() -> impl Strategy<Value = SmolStr> {
    prop_oneof![
        4 => "[a-zA-Z0-9:_-]{1,40}",
        1 => vec(any::<char>(), 1..40).prop_map(String::from_iter),
        1 => Just("\"\\\u{7}\u{2028}😀".to_owned()),
    ]
    .prop_map(SmolStr::from)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

/// Values that both formats can say: no bytes, no infinity.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no such number", |x| x.is_finite())
            .prop_map(Value::from),
        ".{0,30}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 20, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Value::from),
            vec((".{0,12}", inner), 0..20).prop_map(|entries| Map::from_iter(entries).into()),
        ]
    })
}

fn passed_through() -> impl Strategy<Value = Option<Box<Value>>> {
    option::weighted(0.2, value().prop_filter("null is absent", |value| !value.is_null()))
        .prop_map(|value| value.map(Box::new))
}

/// Data and encoding in their one form: what is text is not base64 of something.
fn payload() -> impl Strategy<Value = (Option<Data>, Option<SmolStr>)> {
    prop_oneof![
        Just((None, None)),
        (option::weighted(0.9, ".{0,60}"), option::of(Just("json".into())))
            .prop_map(|(text, encoding)| (text.map(Data::from), encoding)),
        (bytes(), option::of(Just("json/cipher+aes-256-cbc".into())))
            .prop_map(|(bytes, encoding)| (Some(Data::from(bytes)), encoding)),
        Just((Some(Data::from("a?")), Some("x/base64".into()))),
    ]
}

prop_compose! {
    fn presence()(
        action in 0..6_u32,
        id in option::of(text()),
        client_id in option::of(text()),
        connection_id in option::of(text()),
        (data, encoding) in payload(),
        timestamp in option::of(any::<i64>()),
        extras in passed_through(),
    ) -> PresenceMessage {
        let mut item = PresenceMessage::new(PresenceAction::from_number(action));
        item.id = id;
        item.client_id = client_id;
        item.connection_id = connection_id;
        item.data = data;
        item.encoding = encoding;
        item.timestamp = timestamp.map(UnixMillis::from_millis);
        item.extras = extras;
        item
    }
}

prop_compose! {
    fn message()(
        id in option::of(text()),
        name in option::of(text()),
        (data, encoding) in payload(),
        timestamp in option::of(any::<i64>()),
        extras in passed_through(),
        other in vec(("[a-z]{1,3}[0-9]", value()), 0..12),
    ) -> Message {
        let mut item = Message::default();
        item.id = id;
        item.name = name;
        item.data = data;
        item.encoding = encoding;
        item.timestamp = timestamp.map(UnixMillis::from_millis);
        item.extras = extras;
        item.other = Map::from_iter(other);
        item
    }
}

fn error() -> impl Strategy<Value = ErrorInfo> {
    let leaf =
        (any::<u32>(), any::<u16>(), ".{0,20}", option::of(text()), vec((text(), text()), 0..3))
            .prop_map(|(code, status, message, href, detail)| {
                let mut error = ErrorInfo::new(code, status, message);
                error.href = href.clone();
                error.request_id = href;
                error.detail = detail;
                error
            });
    leaf.prop_recursive(3, 4, 1, |inner| {
        (inner.clone(), inner).prop_map(|(error, cause)| error.with_cause(cause))
    })
}

prop_compose! {
    fn frame()(
        action in 0..30_u32,
        [id, channel, channel_serial, connection_id, token] in proptest::array::uniform5(option::of(text())),
        [msg_serial, timestamp] in proptest::array::uniform2(option::of(any::<i64>())),
        count in option::of(any::<u32>()),
        flags in option::of(any::<u64>()),
        error in option::weighted(0.2, error()),
        params in option::of(vec((text(), text()), 0..4)),
        presence in vec(presence(), 0..20),
        messages in vec(message(), 0..4),
        [annotations, state, res] in proptest::array::uniform3(passed_through()),
        numbers in option::weighted(0.2, any::<[Option<u64>; 5]>()),
    ) -> ProtocolMessage {
        let mut frame = ProtocolMessage::new(Action::from_number(action));
        frame.auth = token.clone().map(|token| {
            let mut auth = AuthDetails::default();
            auth.access_token = Some(token);
            Box::new(auth)
        });
        frame.connection_details = numbers.map(|numbers| {
            let mut details = ConnectionDetails::default();
            details.connection_key = token;
            [
                details.max_message_size,
                details.max_frame_size,
                details.max_inbound_rate,
                details.connection_state_ttl,
                details.max_idle_interval,
            ] = numbers;
            Box::new(details)
        });
        frame.id = id;
        frame.channel = channel;
        frame.channel_serial = channel_serial;
        frame.connection_id = connection_id;
        frame.msg_serial = msg_serial;
        frame.timestamp = timestamp.map(UnixMillis::from_millis);
        frame.count = count;
        frame.flags = flags.map(Flags::from_bits_retain);
        frame.error = error.map(Box::new);
        frame.params = params;
        frame.presence = presence.into();
        frame.messages = messages;
        frame.annotations = annotations;
        frame.state = state;
        frame.res = res;
        frame
    }
}

/// What the fuzzers found worth keeping.
#[test]
fn the_corpus_holds_the_invariants() {
    let mut inputs = 0;
    for line in include_str!("fixtures/corpus.txt").lines() {
        let (format, hex) = line.split_once(' ').unwrap();
        let bytes = crate::from_hex(hex);
        match Format::from_name(format).unwrap() {
            Format::Json => decode_json(&bytes),
            Format::MessagePack => decode_msgpack(&bytes),
        }
        inputs += 1;
    }
    assert_eq!(inputs, 600);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What is written is read again, the same in both formats.
    #[test]
    fn frames_survive_both_formats(frame in frame()) {
        for format in FORMATS {
            let bytes = frame.encode(format);
            let again = ProtocolMessage::decode(format, &bytes);
            prop_assert_eq!(again.as_ref(), Ok(&frame), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    /// Others can read it.
    #[test]
    fn json_is_what_another_reader_takes(frame in frame()) {
        let value: serde_json::Value = serde_json::from_slice(&frame.encode(Format::Json)).unwrap();
        prop_assert_eq!(value["action"].as_u64(), Some(frame.action.number().into()));
        let again = ProtocolMessage::decode(Format::Json, value.to_string().as_bytes()).unwrap();
        // Its objects have an order of their own.
        prop_assert_eq!(again.presence.len(), frame.presence.len());
        let again: serde_json::Value = serde_json::from_slice(&again.encode(Format::Json)).unwrap();
        prop_assert_eq!(again, value);
    }

    /// No part of a frame is a frame.
    #[test]
    fn truncated_frames_are_errors(frame in frame()) {
        for format in FORMATS {
            let bytes = frame.encode(format);
            let step = bytes.len() / 200 + 1;
            for len in (0..bytes.len()).step_by(step).chain(bytes.len().checked_sub(1)) {
                prop_assert!(ProtocolMessage::decode(format, &bytes[..len]).is_err(), "{}", len);
            }
        }
    }

    /// What holds for any bytes is said in `presence_check::codec`.
    #[test]
    fn damaged_frames_hold_the_invariants(
        frame in frame(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        for format in FORMATS {
            let mut bytes = frame.encode(format);
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            match format {
                Format::Json => decode_json(&bytes),
                Format::MessagePack => decode_msgpack(&bytes),
            }
        }
    }

    #[test]
    fn random_bytes_hold_the_invariants(bytes in vec(any::<u8>(), 0..200)) {
        decode_msgpack(&bytes);
        decode_json(&bytes);
    }
}
