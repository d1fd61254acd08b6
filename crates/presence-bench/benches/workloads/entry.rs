//! Entries of the log: what a node encodes for each step, and every node decodes. Pages of
//! snapshots: what a node encodes now and then, and another decodes when it starts.

use crate::measure::{Line, measure};
use core::fmt::Debug;
use core::hint::black_box;
use presence_proto::server::{Entry, EntryError, SnapshotPage};

const RECORDS: usize = 100;
const MEMBERS: usize = 1_000;
/// The fields of presence messages.
const CLIENT_ID_AND_STRING: u8 = 1 | 2;

pub(crate) fn run(wants: &dyn Fn(&str) -> bool) {
    if !wants("entry") {
        return;
    }
    let (entry, page) = (entry(), page());
    assert_eq!(Entry::decode(&entry).map(|entry| entry.records()), Ok(RECORDS));
    time(["encode", "decode"], RECORDS, &entry, Entry::encode, Entry::decode);
    let formats = ["page-encode", "page-decode"];
    time(formats, MEMBERS, &page, SnapshotPage::encode, SnapshotPage::decode);
}

fn time<T: Debug + PartialEq>(
    [encodes, decodes]: [&str; 2],
    n: usize,
    bytes: &[u8],
    encode: fn(&T) -> Vec<u8>,
    decode: fn(&[u8]) -> Result<T, EntryError>,
) {
    let decoded = decode(bytes).expect("its own format");
    let line =
        |format| Line { workload: "entry", format, n, ops: n as u64, events: 0, retains: false };
    let encode = |_: &mut ()| encode(black_box(&decoded));
    line(encodes).print(&measure(|| (), encode, |_, encoded| assert_eq!(*encoded, bytes)));
    let decode = |_: &mut ()| decode(black_box(bytes));
    line(decodes).print(&measure(
        || (),
        decode,
        |_, again| assert_eq!(again.as_ref(), Ok(&decoded)),
    ));
}

/// A step of presence records of one update each, as members of other workloads send it.
fn entry() -> Vec<u8> {
    const STEP: u8 = 2;
    const PRESENCE: u8 = 5;
    const UPDATE: u8 = 4;
    let mut bytes = vec![1, STEP];
    text(&mut bytes, "node-1");
    // The stamp, the incarnation, the sequence number, the number of records.
    bytes.extend([0x80, 0xa0, 0xab, 0xfe, 0xf9, 0x62, 0x90, 0x4e, 7, RECORDS as u8]);
    for index in 0..RECORDS {
        bytes.push(PRESENCE);
        text(&mut bytes, &format!("connect{index:05}"));
        text(&mut bytes, "room:bench");
        // The message serial, the number of items.
        bytes.extend([24, 1, CLIENT_ID_AND_STRING, UPDATE]);
        text(&mut bytes, &format!("client-{index:05}"));
        text(&mut bytes, &format!("status: away {index:07}"));
    }
    bytes
}

/// A page with members of one channel, which have all that a server sets.
fn page() -> Vec<u8> {
    const MEMBERS_PART: u8 = 5;
    const ID: u8 = 32;
    const CONNECTION_ID: u8 = 64;
    const PRESENT: u8 = 1;
    // The position, the number, the last page, the number of parts.
    let mut bytes = vec![1, 7, 0, 1, 1, MEMBERS_PART];
    text(&mut bytes, "room:bench");
    bytes.extend([MEMBERS as u8 | 0x80, (MEMBERS >> 7) as u8]);
    for index in 0..MEMBERS {
        // The next slot. The fields are above 128 with the timestamp.
        bytes.extend([0, CLIENT_ID_AND_STRING | ID | CONNECTION_ID | 0x80, 1, PRESENT]);
        text(&mut bytes, &format!("client-{index:05}"));
        text(&mut bytes, &format!("status: away {index:07}"));
        text(&mut bytes, &format!("connect{index:05}:12:0"));
        text(&mut bytes, &format!("connect{index:05}"));
        bytes.extend([0x80, 0xa0, 0xab, 0xfe, 0xf9, 0x62]);
    }
    bytes
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(text.len() as u8);
    bytes.extend_from_slice(text.as_bytes());
}
