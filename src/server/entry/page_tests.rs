use super::format::part;
use super::tests::{STAMP, from_hex, hex, items, value};
use super::*;
use crate::server::Position;
use crate::server::record::Row;
use crate::wire::{MAX_DEPTH, PresenceAction, PresenceMessage, Value};
use alloc::vec;

/// The number of parts in the page of [`page`]. The kind of the first one follows.
const PARTS: usize = 6;
const FIRST_PART: usize = PARTS + 1;
/// A slot is below this.
const SLOT_LIMIT: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x0f];
/// A number beyond a `u32`.
const TOO_LARGE: [u8; 5] = [0x80, 0x80, 0x80, 0x80, 0x10];

fn page(parts: Vec<Part>) -> SnapshotPage {
    SnapshotPage { position: LogPosition(1 << 14), number: 3, is_last: true, parts }
}

fn members(slots: &[u32]) -> Part {
    let member = PresenceMessage::new(PresenceAction::Present);
    let members = slots.iter().map(|slot| (*slot, member.clone())).collect();
    Part::Members { channel: "a room".into(), members }
}

fn incarnation(number: u64) -> IncarnationPart {
    IncarnationPart {
        number,
        node: "node-1".into(),
        next_seq: 7,
        fenced: number == 1,
        leaving: number == 2,
        ttl: 120_000,
    }
}

/// A part of every kind, with and without what it need not have.
fn parts() -> Vec<Part> {
    let fold = |incarnations| FoldPart { time: STAMP, record: u64::MAX, serial: 5, incarnations };
    let connection = |gaps, members| ConnectionPart {
        id: "connection-1".into(),
        owner: 300,
        grace: u32::MAX,
        spent: true,
        adopted_by: u64::MAX,
        last_leave_at: UnixMillis::from_millis(-2),
        highest: i64::MAX,
        gaps,
        members,
    };
    let rooms = vec![("a room".into(), vec![7, 0, u32::MAX - 1]), ("".into(), vec![])];
    let channel = |message_at, last_dropped| ChannelPart {
        name: "a room".into(),
        last: 1,
        last_presence: 2,
        last_message: u64::MAX,
        message_at,
        last_dropped,
        rows: vec![],
    };
    let dropped = Position { serial: u64::MAX, index: u32::MAX };
    let row = Row { connections: 1, subscribers: u32::MAX, ..Row::default() };
    let with_rows = |rows| ChannelPart { rows, ..channel(Some(STAMP), Some(dropped)) };
    let slots = [0, 1, 5, 300, u32::MAX - 1];
    let events = items().into_iter().enumerate().map(|(at, message)| EventPart {
        position: Position { serial: 1 << 40, index: 3 + at as u32 },
        left: 120_000,
        was_present: at == 0,
        message,
    });
    vec![
        Part::Fold(fold(vec![incarnation(1), incarnation(2), incarnation(300)])),
        Part::Fold(fold(vec![])),
        Part::Ended(vec![(STAMP, "connection-2".into()), (UnixMillis::from_millis(0), "".into())]),
        Part::Connection(connection(vec![(i64::MIN, -1), (3, 300)], rooms)),
        Part::Connection(ConnectionPart { spent: false, ..connection(vec![], vec![]) }),
        Part::Channel(channel(Some(STAMP), Some(dropped))),
        Part::Channel(channel(Some(UnixMillis::from_millis(-1)), None)),
        Part::Channel(channel(None, Some(Position { serial: 0, index: 1 }))),
        Part::Channel(channel(None, None)),
        Part::Channel(with_rows(vec![(7, row), (u64::MAX, Row::default())])),
        Part::Channel(ChannelPart { rows: vec![(300, row)], ..channel(None, None) }),
        Part::Members {
            channel: "a room".into(),
            members: slots.into_iter().zip(items()).collect(),
        },
        members(&slots),
        members(&[]),
        Part::Events { channel: "a room".into(), events: events.collect() },
        Part::Events { channel: "".into(), events: vec![] },
    ]
}

/// Pages with no part, one of every kind, and two.
fn pages() -> Vec<SnapshotPage> {
    let first = SnapshotPage { position: LogPosition(0), number: 0, is_last: false, parts: vec![] };
    let most = SnapshotPage {
        position: LogPosition(u64::MAX),
        number: u32::MAX,
        is_last: false,
        parts: vec![members(&[1]), members(&[])],
    };
    let mut pages = vec![first, page(vec![]), most];
    pages.extend(parts().into_iter().map(|part| page(vec![part])));
    pages
}

/// The page of one part, which is these bytes.
fn with_part(part: &[u8]) -> Vec<u8> {
    let mut bytes = page(vec![]).encode();
    assert_eq!(bytes.pop(), Some(0));
    assert_eq!(bytes.len(), PARTS);
    bytes.push(1);
    bytes.extend_from_slice(part);
    bytes
}

fn is_malformed(decoded: &Result<SnapshotPage, EntryError>) -> bool {
    matches!(decoded, Err(EntryError::Malformed { .. }))
}

#[test]
fn every_part_survives() {
    for page in pages() {
        assert_eq!(SnapshotPage::decode(&page.encode()), Ok(page));
    }
}

/// What version 1 has written must be read for ever. Never change these bytes.
#[test]
fn version_1_is_read_for_ever() {
    let golden = from_hex(include_str!("page_version_1.txt"));
    assert_eq!(SnapshotPage::decode(&golden), Ok(page(parts())));
    assert_eq!(hex(&page(parts()).encode()), hex(&golden));
}

#[test]
fn every_truncation_is_an_error_at_the_end() {
    for bytes in pages().iter().map(SnapshotPage::encode) {
        for len in 0..bytes.len() {
            let error = SnapshotPage::decode(&bytes[..len]).unwrap_err();
            let EntryError::Malformed { at } = error else { panic!("{len}: {error}") };
            assert!(at <= len);
        }
    }
}

#[test]
fn trailing_bytes_are_an_error() {
    for mut bytes in pages().iter().map(SnapshotPage::encode) {
        let at = bytes.len();
        bytes.push(0);
        assert_eq!(SnapshotPage::decode(&bytes), Err(EntryError::Malformed { at }));
    }
}

/// It may still be a page, then one that survives.
#[test]
fn any_change_of_a_byte_is_read_or_refused() {
    for bytes in pages().iter().map(SnapshotPage::encode) {
        let (mut read, mut refused) = (0, 0);
        for at in 0..bytes.len() {
            for byte in 0..=u8::MAX {
                let mut bytes = bytes.clone();
                bytes[at] = byte;
                match SnapshotPage::decode(&bytes) {
                    Ok(page) => {
                        read += 1;
                        // Bytes, not pages: NaN is not equal to itself.
                        let encoded = page.encode();
                        let again = SnapshotPage::decode(&encoded).map(|page| page.encode());
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
fn a_newer_version_is_refused() {
    let mut bytes = page(vec![]).encode();
    for version in 2..=u8::MAX {
        bytes[0] = version;
        assert_eq!(SnapshotPage::decode(&bytes), Err(EntryError::NewerVersion(version)));
        // The rest is in a format that is not known.
        assert_eq!(SnapshotPage::decode(&[version]), Err(EntryError::NewerVersion(version)));
    }
    bytes[0] = 0;
    assert_eq!(SnapshotPage::decode(&bytes), Err(EntryError::Malformed { at: 0 }));
}

#[test]
fn an_unknown_kind_is_refused() {
    let mut bytes = page(vec![members(&[])]).encode();
    assert_eq!(bytes[FIRST_PART], part::MEMBERS);
    for unknown in [0].into_iter().chain(part::EVENTS + 1..=u8::MAX) {
        bytes[FIRST_PART] = unknown;
        assert_eq!(SnapshotPage::decode(&bytes), Err(EntryError::UnknownRecord(unknown)));
    }
}

#[test]
fn an_unknown_part_of_a_part_is_refused() {
    let unknown: [(u8, &[u8]); 8] = [
        // Fenced, leaving, spent, was present.
        (part::FOLD, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0]),
        (part::FOLD, &[0, 0, 0, 1, 0, 0, 0, 0, 2, 0]),
        (part::CONNECTION, &[0, 0, 0, 2, 0, 0, 0, 0, 0]),
        (part::EVENTS, &[0, 1, 0, 0, 0, 2, 0, 2]),
        // Fields of a channel, the second one beyond a byte.
        (part::CHANNEL, &[0, 0, 0, 0, 8]),
        (part::CHANNEL, &[0, 0, 0, 0, 0x80, 0x02]),
        // A field of a member, and one of an event, which only messages have.
        (part::MEMBERS, &[0, 1, 0, 0x80, 0x04, 2]),
        (part::EVENTS, &[0, 1, 0, 0, 0, 0, 0x80, 0x04, 2]),
    ];
    for (kind, contents) in unknown {
        let decoded = SnapshotPage::decode(&with_part(&[&[kind], contents].concat()));
        assert_eq!(decoded, Err(EntryError::UnknownRecord(kind)), "{contents:?}");
    }
    // Whether it is the last page. No part was read yet.
    let mut bytes = page(vec![]).encode();
    bytes[PARTS - 1] = 2;
    assert_eq!(SnapshotPage::decode(&bytes), Err(EntryError::UnknownRecord(0)));
}

#[test]
fn a_number_beyond_its_type_is_an_error() {
    let starts: [&[u8]; 5] = [
        // The ttl of an incarnation, a grace, a slot, the index of an event. More follows each, so
        // that it is not the end of the part that is wrong.
        &[part::FOLD, 0, 0, 0, 2, 0, 0, 0, 0, 0],
        &[part::CONNECTION, 0, 0],
        &[part::CONNECTION, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2],
        &[part::EVENTS, 0, 1, 0],
        // A number of a row.
        &[part::CHANNEL, 0, 0, 0, 0, 4, 1, 7],
    ];
    for start in starts {
        let bytes = with_part(&[start, &TOO_LARGE, &[0; 20]].concat());
        let at = FIRST_PART + start.len() + TOO_LARGE.len();
        assert_eq!(SnapshotPage::decode(&bytes), Err(EntryError::Malformed { at }), "{start:?}");
    }
    // The number of the page.
    let bytes = [&[1, 0][..], &TOO_LARGE, &[0, 0]].concat();
    assert_eq!(SnapshotPage::decode(&bytes), Err(EntryError::Malformed { at: 7 }));
}

/// Each member has the number of slots between it and the one before it.
#[test]
fn members_are_written_by_the_distance_of_their_slots() {
    let item = [0, PresenceAction::Present.number() as u8];
    let with_distances = |distances: &[&[u8]]| {
        let mut bytes = vec![part::MEMBERS, 6];
        bytes.extend_from_slice(b"a room");
        bytes.push(distances.len() as u8);
        for distance in distances {
            bytes.extend_from_slice(distance);
            bytes.extend_from_slice(&item);
        }
        with_part(&bytes)
    };
    let last = &[0xfe, 0xff, 0xff, 0xff, 0x0f];
    for (slots, distances) in [
        (&[0, 1, 5, 200][..], &[&[0][..], &[0], &[3], &[0xc2, 0x01]][..]),
        (&[7], &[&[7]]),
        (&[u32::MAX - 1], &[last]),
    ] {
        let bytes = with_distances(distances);
        assert_eq!(page(vec![members(slots)]).encode(), bytes);
        assert_eq!(SnapshotPage::decode(&bytes), Ok(page(vec![members(slots)])));
    }
    // The slot that no member has; slots that wrap around.
    for distances in [
        &[&SLOT_LIMIT[..]][..],
        &[&TOO_LARGE],
        &[&[0], last],
        &[&[1], &SLOT_LIMIT],
        &[last, &[0]],
        &[last, &[1]],
        &[last, last],
    ] {
        let decoded = SnapshotPage::decode(&with_distances(distances));
        assert!(is_malformed(&decoded), "{distances:?}: {decoded:?}");
    }
}

#[test]
fn slots_that_do_not_ascend_cannot_be_decoded() {
    for slots in [&[5, 5][..], &[5, 4], &[5, 0], &[0, 0], &[u32::MAX], &[u32::MAX, 0], &[1, 2, 1]] {
        let decoded = SnapshotPage::decode(&page(vec![members(slots)]).encode());
        assert!(is_malformed(&decoded), "{slots:?}: {decoded:?}");
    }
}

#[test]
fn a_connection_has_no_slot_at_the_limit() {
    let start = [part::CONNECTION, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0];
    let decoded = SnapshotPage::decode(&with_part(&[&start[..], &SLOT_LIMIT].concat()));
    let at = FIRST_PART + start.len() + SLOT_LIMIT.len();
    assert_eq!(decoded, Err(EntryError::Malformed { at }));
}

#[test]
fn no_memory_is_taken_for_a_length_beyond_the_input() {
    const LEN: [u8; 9] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let starts: [&[u8]; 11] = [
        // Incarnations, the name of the node, ended connections.
        &[part::FOLD, 0, 0, 0],
        &[part::FOLD, 0, 0, 0, 1, 0],
        &[part::ENDED],
        // Gaps, channels, slots.
        &[part::CONNECTION, 0, 0, 0, 0, 0, 0, 0],
        &[part::CONNECTION, 0, 0, 0, 0, 0, 0, 0, 0],
        &[part::CONNECTION, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        &[part::CHANNEL],
        // Rows.
        &[part::CHANNEL, 0, 0, 0, 0, 4],
        &[part::MEMBERS, 0],
        &[part::EVENTS, 0],
        // Data of a member.
        &[part::MEMBERS, 0, 1, 0, 2, 2],
    ];
    let mut inputs: Vec<Vec<u8>> =
        starts.iter().map(|start| with_part(&[start, &LEN[..]].concat())).collect();
    // The number of parts.
    inputs.push([&page(vec![]).encode()[..PARTS], &LEN].concat());
    // Room for many, of which the first one is none.
    inputs.extend(inputs.clone().into_iter().map(|input| [input, vec![0xff; 10_000]].concat()));
    for bytes in inputs {
        let mut decoded = None;
        let memory = allocation_counter::measure(|| decoded = Some(SnapshotPage::decode(&bytes)));
        assert!(matches!(decoded, Some(Err(_))), "{decoded:?}");
        // Lists have room for one item more than fits.
        let most = 20 * bytes.len() as u64 + 1_000;
        assert!(memory.bytes_total <= most, "{} > {most}: {decoded:?}", memory.bytes_total);
    }
}

#[test]
fn values_are_as_deep_as_a_frame_allows() {
    let nested = |levels: u32| {
        let deep = (0..levels).fold(value(), |value, _| Value::Array(vec![value]));
        let member = PresenceMessage::new(PresenceAction::Present).with_data(deep);
        page(vec![Part::Members { channel: "a room".into(), members: vec![(0, member)] }])
    };
    // The value of every type has three levels.
    let page = nested(MAX_DEPTH - 3);
    assert_eq!(SnapshotPage::decode(&page.encode()), Ok(page));
    let decoded = SnapshotPage::decode(&nested(MAX_DEPTH - 2).encode());
    assert!(matches!(decoded, Err(EntryError::TooDeep { .. })), "{decoded:?}");
}
