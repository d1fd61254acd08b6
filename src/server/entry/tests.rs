use super::format::{cause, cause_number, kind, tag};
use super::*;
use crate::server::LeaveCause;
use crate::server::record::{
    Adopt, Counts, Gone, Kick, MessagesRecord, PresenceRecord, Record, Row,
};
use crate::wire::{Data, Items, MAX_DEPTH, Map, Message, PresenceAction, PresenceMessage, Value};
use alloc::{boxed::Box, format, vec};
use std::string::String;

pub(super) const STAMP: UnixMillis = UnixMillis::from_millis(1_700_000_000_000);
/// The kind of the first record in the entry of [`step`].
const FIRST_RECORD: usize = 19;

fn step(records: Vec<Record>) -> Entry {
    Entry::step("node-1".into(), STAMP, (300, 7), records)
}

fn join() -> Entry {
    let join = Join { nonce: u64::MAX, after: 1 << 40, ttl: 120_000 };
    Entry::join("node-1".into(), UnixMillis::from_millis(-1), join)
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(Map::from_iter(entries))
}

/// A value of every type.
pub(super) fn value() -> Value {
    object([
        ("null", Value::Null),
        ("", Value::Bool(true)),
        ("false", Value::Bool(false)),
        ("least", Value::Int(i64::MIN)),
        ("small", Value::Int(-3)),
        // Not canonical, but a host can make it.
        ("uint", Value::UInt(5)),
        ("most", Value::UInt(u64::MAX)),
        ("float", Value::Float(0.1)),
        ("bytes", Value::Binary(vec![0, 255].into())),
        ("list", Value::Array(vec![Value::from("é"), object([]), Value::Array(vec![])])),
    ])
}

pub(super) fn items() -> Items<PresenceMessage> {
    let mut all = PresenceMessage::new(PresenceAction::Unknown(u32::MAX));
    all.id = Some("id:0:0".into());
    all.client_id = Some("a client id of more bytes than a short string has".into());
    all.connection_id = Some("connection".into());
    all.data = Some(value().into());
    all.encoding = Some("utf-8/cipher".into());
    all.timestamp = Some(UnixMillis::from_millis(i64::MIN));
    all.extras = Some(Box::new(value()));
    let mut empty = PresenceMessage::new(PresenceAction::Absent);
    empty.id = Some("".into());
    empty.client_id = Some("".into());
    empty.data = Some("".into());
    let bytes = PresenceMessage::new(PresenceAction::Update).with_data(vec![1, 2, 255]);
    [all, empty, bytes, PresenceMessage::new(PresenceAction::Leave)].into()
}

fn messages() -> Vec<Message> {
    let mut other = Map::new();
    other.push("serial".into(), "1:0".into());
    other.push("twice".into(), value());
    other.push("twice".into(), Value::Null);
    let all = Message {
        id: Some("id".into()),
        name: Some("name".into()),
        client_id: Some("client".into()),
        connection_id: Some("connection".into()),
        data: Some("text".into()),
        encoding: Some("json".into()),
        timestamp: Some(STAMP),
        extras: Some(Box::new(Value::Null)),
        other,
    };
    let bytes = Message { data: Some(Data::from(&[0][..])), ..Message::default() };
    let json = Message { data: Some(value().into()), ..Message::default() };
    vec![all, bytes, json, Message::default()]
}

/// A record of every kind.
fn records() -> Vec<Record> {
    let connection = SmolStr::from("connection-1");
    let channel = SmolStr::from("a room");
    vec![
        Record::Leaving,
        Record::Adopt(Adopt { connection: connection.clone(), grace: u32::MAX }),
        Record::Presence(PresenceRecord {
            connection_id: connection.clone(),
            channel: channel.clone(),
            msg_serial: -1,
            items: items(),
        }),
        Record::GraceOver { connection: connection.clone() },
        Record::End { connection: connection.clone(), cause: LeaveCause::Closed },
        Record::Dismiss {
            connection: connection.clone(),
            channel: channel.clone(),
            cause: LeaveCause::RightLost,
        },
        Record::Kick(Kick {
            channel: channel.clone(),
            client_id: Some("".into()),
            connection_id: None,
        }),
        Record::Kick(Kick {
            channel: channel.clone(),
            client_id: None,
            connection_id: Some("c".into()),
        }),
        Record::Gone(Gone { incarnation: u64::MAX, next_seq: 128, grace: 15_000, ends: true }),
        Record::Messages(MessagesRecord {
            connection_id: connection,
            channel: channel.clone(),
            msg_serial: i64::MAX,
            messages: messages(),
        }),
        Record::Counts(Counts {
            channel,
            row: Row {
                connections: 1,
                publishers: 2,
                subscribers: 300,
                presence_connections: 4,
                presence_subscribers: u32::MAX,
            },
        }),
    ]
}

/// Entries of every kind, with no record, one of every kind, and two.
fn entries() -> Vec<Entry> {
    let mut entries = vec![join(), step(vec![]), step(vec![Record::Leaving; 2])];
    entries.extend(records().into_iter().map(|record| step(vec![record])));
    entries
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| core::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

#[test]
fn every_record_survives() {
    for entry in entries() {
        let bytes = entry.encode();
        assert_eq!(Entry::decode(&bytes).as_ref(), Ok(&entry));
        let mut appended = vec![9];
        entry.encode_into(&mut appended);
        assert_eq!(appended, [&[9][..], &bytes].concat());
    }
}

/// What version 1 has written must be read for ever. Never change these bytes.
#[test]
fn version_1_is_read_for_ever() {
    let golden = from_hex(include_str!("version_1.txt"));
    assert_eq!(Entry::decode(&golden), Ok(step(records())));
    assert_eq!(hex(&step(records()).encode()), hex(&golden));
    let golden = from_hex("0101 066e6f64652d31 01 ffffffffffffffffff01 808080808020 c0a907");
    assert_eq!(Entry::decode(&golden), Ok(join()));
    assert_eq!(hex(&join().encode()), hex(&golden));
}

#[test]
fn causes_have_fixed_numbers() {
    let numbers = [
        (LeaveCause::Left, 0),
        (LeaveCause::Detached, 1),
        (LeaveCause::Closed, 2),
        (LeaveCause::GraceEnded, 3),
        (LeaveCause::RightLost, 4),
        (LeaveCause::Kicked, 5),
    ];
    for (of, number) in numbers {
        assert_eq!((cause_number(of), cause(number)), (number, Some(of)));
    }
    assert_eq!(cause(6), None);
}

#[test]
fn every_truncation_is_an_error_at_the_end() {
    for bytes in entries().iter().map(Entry::encode) {
        for len in 0..bytes.len() {
            let error = Entry::decode(&bytes[..len]).unwrap_err();
            let EntryError::Malformed { at } = error else { panic!("{len}: {error}") };
            assert!(at <= len);
        }
    }
}

#[test]
fn trailing_bytes_are_an_error() {
    for mut bytes in entries().iter().map(Entry::encode) {
        let at = bytes.len();
        bytes.push(0);
        assert_eq!(Entry::decode(&bytes), Err(EntryError::Malformed { at }));
    }
}

/// It may still be an entry, then one that survives.
#[test]
fn any_change_of_a_byte_is_read_or_refused() {
    for bytes in entries().iter().map(Entry::encode) {
        let (mut read, mut refused) = (0, 0);
        for at in 0..bytes.len() {
            for byte in 0..=u8::MAX {
                let mut bytes = bytes.clone();
                bytes[at] = byte;
                match Entry::decode(&bytes) {
                    Ok(entry) => {
                        read += 1;
                        // Bytes, not entries: NaN is not equal to itself.
                        let encoded = entry.encode();
                        let again = Entry::decode(&encoded).map(|entry| entry.encode());
                        assert_eq!(again, Ok(encoded));
                    }
                    Err(EntryError::Malformed { at }) => {
                        refused += 1;
                        assert!(at <= bytes.len());
                    }
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(read > bytes.len() && refused > bytes.len());
    }
}

#[test]
fn a_newer_version_stops_the_node() {
    let mut bytes = join().encode();
    for version in 2..=u8::MAX {
        bytes[0] = version;
        assert_eq!(Entry::decode(&bytes), Err(EntryError::NewerVersion(version)));
        // The rest is in a format that is not known.
        assert_eq!(Entry::decode(&[version]), Err(EntryError::NewerVersion(version)));
    }
    bytes[0] = 0;
    assert_eq!(Entry::decode(&bytes), Err(EntryError::Malformed { at: 0 }));
}

#[test]
fn an_unknown_kind_stops_the_node() {
    let mut bytes = step(vec![Record::Leaving]).encode();
    assert_eq!(bytes[FIRST_RECORD..], [kind::LEAVING]);
    for unknown in [0].into_iter().chain(kind::COUNTS + 1..=u8::MAX) {
        bytes[FIRST_RECORD] = unknown;
        assert_eq!(Entry::decode(&bytes), Err(EntryError::UnknownRecord(unknown)));
        let mut bytes = join().encode();
        bytes[1] = unknown;
        assert_eq!(Entry::decode(&bytes), Err(EntryError::UnknownRecord(unknown)));
    }
    // Kinds of entries are no records.
    for known in [kind::JOIN, kind::STEP] {
        bytes[FIRST_RECORD] = known;
        let at = FIRST_RECORD + 1;
        assert_eq!(Entry::decode(&bytes), Err(EntryError::Malformed { at }));
    }
}

/// The entry of one record, which is these bytes.
fn with_record(record: &[u8]) -> Vec<u8> {
    let mut bytes = step(vec![Record::Leaving]).encode();
    bytes.truncate(FIRST_RECORD);
    bytes.extend_from_slice(record);
    bytes
}

#[test]
fn an_unknown_part_of_a_record_stops_the_node() {
    let unknown: [(u8, &[u8]); 7] = [
        (kind::END, &[1, b'c', 6]),
        (kind::DISMISS, &[1, b'c', 1, b'r', 6]),
        // A field that presence messages have.
        (kind::KICK, &[1, b'r', 16]),
        (kind::GONE, &[1, 1, 1, 2]),
        (kind::PRESENCE, &[1, b'c', 1, b'r', 0, 1, 0x80, 0x10, 2]),
        (kind::PRESENCE, &[1, b'c', 1, b'r', 0, 1, 8, 2, tag::OBJECT + 1]),
        (kind::MESSAGES, &[1, b'c', 1, b'r', 0, 1, 0x80, 0x10]),
    ];
    for (kind, contents) in unknown {
        let bytes = with_record(&[&[kind], contents].concat());
        assert_eq!(Entry::decode(&bytes), Err(EntryError::UnknownRecord(kind)), "{contents:?}");
    }
}

#[test]
fn a_number_beyond_its_type_is_an_error() {
    let numbers: [&[u8]; 4] = [
        // 2^32, 2^64, a number that does not end, and one in two forms.
        &[0x80, 0x80, 0x80, 0x80, 0x10],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02],
        &[0xff; 20],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
    ];
    for number in numbers {
        let bytes = with_record(&[&[kind::ADOPT, 1, b'c'], number].concat());
        assert!(matches!(Entry::decode(&bytes), Err(EntryError::Malformed { .. })), "{number:?}");
    }
}

#[test]
fn data_of_two_types_is_an_error() {
    let item = [kind::PRESENCE, 1, b'c', 1, b'r', 0, 1, 2 | 4, 2];
    // With neither, one or both.
    for data in [&[][..], &[0], &[0, 0]] {
        let decoded = Entry::decode(&with_record(&[&item, data].concat()));
        assert!(matches!(decoded, Err(EntryError::Malformed { .. })), "{decoded:?}");
    }
}

#[test]
fn text_that_is_not_utf8_is_an_error() {
    let decoded = Entry::decode(&with_record(&[kind::GRACE_OVER, 1, 0xff]));
    assert!(matches!(decoded, Err(EntryError::Malformed { .. })), "{decoded:?}");
}

#[test]
fn no_memory_is_taken_for_a_length_beyond_the_input() {
    const LEN: [u8; 9] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let presence = [kind::PRESENCE, 1, b'c', 1, b'r', 0];
    let messages = [kind::MESSAGES, 1, b'c', 1, b'r', 0];
    let item = |fields| [&presence[..], &[1, fields, 2]].concat();
    let starts = [
        vec![kind::GRACE_OVER],
        presence.to_vec(),
        messages.to_vec(),
        // Text, bytes, an array, an object.
        item(2),
        item(4),
        [&item(8)[..], &[tag::ARRAY]].concat(),
        [&item(8)[..], &[tag::OBJECT]].concat(),
    ];
    let mut inputs: Vec<Vec<u8>> =
        starts.iter().map(|start| with_record(&[&start[..], &LEN].concat())).collect();
    // The number of records, and the length of the node's name.
    let entry = step(vec![]).encode();
    inputs.push([&entry[..FIRST_RECORD - 1], &LEN].concat());
    inputs.push([&entry[..2], &LEN].concat());
    // Arrays in arrays, each with a length beyond the input.
    let nested = [&[tag::ARRAY][..], &LEN].concat().repeat(MAX_DEPTH as usize);
    inputs.push(with_record(&[&item(8)[..], &nested].concat()));
    for bytes in inputs {
        let mut decoded = None;
        let memory = allocation_counter::measure(|| decoded = Some(Entry::decode(&bytes)));
        assert!(matches!(decoded, Some(Err(EntryError::Malformed { .. }))), "{decoded:?}");
        // Lists have room for one item more than fits.
        let most = 20 * bytes.len() as u64 + 1_000;
        assert!(memory.bytes_total <= most, "{} > {most}: {bytes:?}", memory.bytes_total);
    }
}

#[test]
fn values_are_as_deep_as_a_frame_allows() {
    let nested = |levels: u32, inner: fn(Value) -> Value| {
        let value = (0..levels).fold(Value::Null, |value, _| inner(value));
        let item = PresenceMessage::new(PresenceAction::Enter).with_data(value);
        step(vec![Record::Presence(PresenceRecord {
            connection_id: "c".into(),
            channel: "r".into(),
            msg_serial: 0,
            items: Items::one(item),
        })])
    };
    for inner in [|value| Value::Array(vec![value]), |value| object([("a", value)])] {
        let entry = nested(MAX_DEPTH, inner);
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        let decoded = Entry::decode(&nested(MAX_DEPTH + 1, inner).encode());
        assert!(matches!(decoded, Err(EntryError::TooDeep { .. })), "{decoded:?}");
    }
}
