//! Entries of the log and pages of snapshots, and their binary formats.
//!
//! The first byte of either is its version, 1. Any other part of the formats is in these tables, and
//! none of their numbers is used for anything else later.
//!
//! | kind | | contents, in this order |
//! |---|---|---|
//! | 1 | join | node, stamp, nonce, after, ttl |
//! | 2 | step | node, stamp, incarnation, seq, number of records, records |
//! | 3 | leaving | |
//! | 4 | adopt | connection id, grace |
//! | 5 | presence | connection id, channel, message serial, number of items, items |
//! | 6 | grace over | connection id |
//! | 7 | end | connection id, cause |
//! | 8 | dismiss | connection id, channel, cause |
//! | 9 | kick | channel, fields, the fields |
//! | 10 | gone | incarnation, next seq, grace, ends |
//! | 11 | messages | connection id, channel, message serial, number of messages, messages |
//! | 12 | counts | channel, row |
//!
//! An entry is of kind 1 or 2, a record of any other. Both begin with the kind.
//!
//! A page: position, number, last, number of parts, parts. A part begins with its kind:
//!
//! | kind | | contents, in this order |
//! |---|---|---|
//! | 1 | fold | time, record, serial, number of incarnations; for each: number, node, next seq, fenced, leaving, ttl |
//! | 2 | ended | number of connections; for each: time, connection id |
//! | 3 | connection | connection id, owner, grace, spent, adopted by, last leave at, highest, number of gaps, gaps (the two serials), number of channels; for each: channel, number of slots, slots |
//! | 4 | channel | channel, last, last presence, last message, fields, the fields: 1 message at, 2 last dropped (serial, index), 4 rows (number of rows; for each: incarnation, row) |
//! | 5 | members | channel, number of members; for each: the number of slots skipped before it, item |
//! | 6 | events | channel, number of events; for each: serial, index, left, was present, item |
//!
//! | part | format |
//! |---|---|
//! | kind, cause, truth | one byte. Truths: fenced, leaving, spent, last, was present, ends. Causes: 0 left, 1 detached, 2 closed, 3 grace ended, 4 right lost, 5 kicked |
//! | number | LEB128: seven bits a byte, the low ones first. Those that may be negative (stamp, timestamp and any other time, message serial, highest and gaps, an integer value) in zigzag |
//! | text, bytes | the length, then the bytes; text is UTF-8 |
//! | item | fields, action, the fields |
//! | message | fields, the fields |
//! | fields | a number with a bit for each field that exists: 1 client id, 2 string data, 4 binary data, 8 JSON data, 16 encoding, 32 id, 64 connection id, 128 timestamp, 256 extras, 512 name, 1024 other. The fields follow in this order |
//! | row | connections, publishers, subscribers, presence connections, presence subscribers |
//! | value | a byte for the type, then the contents: 0 null, 1 false, 2 true, 3 integer, 4 unsigned integer, 5 float (8 bytes, big-endian), 6 text, 7 bytes, 8 array (count, values), 9 object |
//! | object, other | the count, then names and values |
//!
//! To extend them, add a kind, a field, a cause or a type: a node that does not know it stops with
//! [`EntryError::UnknownRecord`]. Anything else needs a new version. Either way the newer nodes must
//! not write it before every node can read it.

mod decode;
mod encode;
mod format;
mod page;
mod page_codec;
mod read;
mod write;

use super::record::{Body, Join, Record};
use crate::{SmolStr, UnixMillis};
use alloc::vec::Vec;
pub use page::SnapshotPage;
pub(super) use page::{ChannelPart, ConnectionPart, EventPart, FoldPart, IncarnationPart, Part};
use read::Reader;
use write::Writer;

/// The place of an entry in the log. Positions increase; they need not be consecutive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a number and nothing else")]
pub struct LogPosition(pub u64);

/// An entry of the log: what one node proposes in one step.
///
/// It is opaque to the host, which appends it to the log ([`Output::Append`](super::Output::Append))
/// and passes in the entries of the log in order
/// ([`Input::Committed`](super::Input::Committed)). Clones are cheap enough to keep one until the
/// log has answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub(super) node: SmolStr,
    /// The wall clock of the node that wrote it.
    pub(super) stamp: UnixMillis,
    pub(super) body: Body,
}

/// Which entry of a node an answer of the log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId {
    /// The incarnation of the node; 0 for the entry with which it joins.
    pub(super) incarnation: u64,
    pub(super) seq: u64,
}

impl Entry {
    pub(super) const fn join(node: SmolStr, stamp: UnixMillis, join: Join) -> Self {
        Self { node, stamp, body: Body::Join(join) }
    }

    pub(super) const fn step(
        node: SmolStr,
        stamp: UnixMillis,
        (incarnation, seq): (u64, u64),
        records: Vec<Record>,
    ) -> Self {
        Self { node, stamp, body: Body::Step { incarnation, seq, records } }
    }

    /// The name of the node that wrote it ([`ServerOptions::node`](super::ServerOptions::node)).
    #[must_use]
    pub const fn node(&self) -> &SmolStr {
        &self.node
    }

    /// Identifies it in [`Input::AppendFailed`](super::Input::AppendFailed).
    #[must_use]
    pub const fn id(&self) -> EntryId {
        match &self.body {
            Body::Join(join) => EntryId { incarnation: 0, seq: join.nonce },
            Body::Step { incarnation, seq, .. } => EntryId { incarnation: *incarnation, seq: *seq },
        }
    }

    /// The entry in the binary format of the log.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let records = match &self.body {
            Body::Join(_) => &[][..],
            Body::Step { records, .. } => records,
        };
        // The rest of the entry is below 64 bytes, but for the name.
        let rest = self.node.len().saturating_add(64);
        let len = records.iter().fold(rest, |sum, record| sum.saturating_add(record.size()));
        let mut out = Vec::with_capacity(len);
        self.encode_into(&mut out);
        out
    }

    /// Encodes the entry, and appends the bytes to a buffer.
    ///
    /// Values may be nested in values as deep as [`DecodeLimits`](crate::wire::DecodeLimits) allow
    /// at most, 100 levels: an entry with a deeper one cannot be decoded.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        Writer(out).entry(self);
    }

    /// Decodes one entry. All bytes must belong to it.
    ///
    /// The result is equal to the entry that was encoded. A length in the input is compared with
    /// the rest of the input before memory is allocated for it.
    ///
    /// # Errors
    ///
    /// [`NewerVersion`](EntryError::NewerVersion) and
    /// [`UnknownRecord`](EntryError::UnknownRecord): a newer version wrote it. The node must stop:
    /// it cannot apply the entry, and without it not the entries that follow. Otherwise the entry
    /// is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        Reader::new(bytes).entry()
    }

    pub(super) fn into_records(self) -> Vec<Record> {
        match self.body {
            Body::Join(_) => Vec::new(),
            Body::Step { records, .. } => records,
        }
    }

    /// Takes the records. The entry keeps its place in the sequence.
    pub(super) fn take_records(&mut self) -> Vec<Record> {
        match &mut self.body {
            Body::Join(_) => Vec::new(),
            Body::Step { records, .. } => core::mem::take(records),
        }
    }

    /// Number of records. 0: the node joins, or shows that it is alive.
    #[must_use]
    pub fn records(&self) -> usize {
        match &self.body {
            Body::Join(_) => 0,
            Body::Step { records, .. } => records.len(),
        }
    }
}

/// Why an entry of the log or a page of a snapshot cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// It has this version, which is newer than what this build reads.
    #[error("version {0} of the format is newer than this program")]
    NewerVersion(u8),
    /// It is of this kind, or has a record of it (a part, if it is a page), and this build does not
    /// know the kind or something in the record: a newer version wrote it. 0: this build does not
    /// know something at the start of the page.
    #[error("a record of kind {0} that this program does not know")]
    UnknownRecord(u8),
    /// It is no entry, or no page. It may be truncated.
    #[error("damaged or truncated: wrong at byte {at}")]
    Malformed {
        /// The position in the input, in bytes; its length if it is truncated.
        at: usize,
    },
    /// Values are nested more than 100 levels deep.
    #[error("values are nested too deeply at byte {at}")]
    TooDeep {
        /// The position in the input, in bytes.
        at: usize,
    },
}

#[cfg(test)]
mod page_tests;
#[cfg(test)]
mod tests;
