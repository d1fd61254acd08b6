//! The floor: what W1 to W4 cost at least. It is no library.
//!
//! It reads the frames of these workloads and no others, and believes every byte. It knows one
//! channel and no connection, no own members, no marks of members that left, no limits and no
//! errors, and hands out nothing but counts. What it does do: read frames, find each member by its
//! key, compare ids, keep data, notice who is missing after a sync.

use crate::FORMATS;
use crate::frames::{Counts, Expected, Frames, Input as Given, checksum};
use crate::measure::{Line, measure};
use core::hash::{BuildHasher, Hasher};
use core::hint::black_box;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use presence_proto::wire::{Format, PresenceAction};
use smallvec::SmallVec;

pub(crate) fn run(given: &Given, wants: &dyn Fn(&str) -> bool) {
    let workloads = [("W1", &given.w1, true), ("W2", &given.w2, false), ("W4", &given.w4, false)];
    for (workload, (frames, expected), fresh) in workloads {
        if !wants(workload) {
            continue;
        }
        let n = given.n;
        let (ops, events) = (expected.ops, expected.events.total());
        let start = || if fresh { Set::default() } else { Set::loaded(given) };
        for (format, which) in FORMATS {
            let frames = frames.get(which);
            let run = |set: &mut Set| frames.iter().for_each(|bytes| set.feed(which, bytes));
            let sample = measure(start, run, |set, ()| set.check(expected));
            Line { workload, format, n, ops, events, retains: fresh }.print_as("floor", &sample);
        }
        // The same with frames that were read before.
        let read = read_all(frames);
        let run = |set: &mut Set| read.iter().for_each(|(frame, items)| set.take_in(frame, items));
        let sample = measure(start, run, |set, ()| set.check(expected));
        Line { workload, format: "none", n, ops, events, retains: fresh }
            .print_as("floor", &sample);
    }
    lists(given, wants);
}

fn lists(given: &Given, wants: &dyn Fn(&str) -> bool) {
    let set = Set::loaded(given);
    let n = given.n;
    let line = |workload, ops: usize, sample| {
        let ops = ops as u64;
        Line { workload, format: "none", n, ops, events: ops, retains: false }
            .print_as("floor", &sample);
    };
    let all = |_: &mut (), count: &usize| assert_eq!(*count, n);
    if wants("W3") {
        let list = |_: &mut ()| black_box(set.members().collect::<Vec<_>>()).len();
        line("W3", n, measure(|| (), list, all));
    }
    if wants("W3own") {
        let copy = |m: &Member| (m.text.clone(), m.timestamp, m.version);
        let copies = |_: &mut ()| black_box(set.members().map(copy).collect::<Vec<_>>());
        line("W3own", n, measure(|| (), copies, |_, copies| assert_eq!(copies.len(), n)));
    }
    if wants("W3client") {
        let mut index = HashTable::new();
        let hash = |client_id: &[u8]| set.hasher.hash_one(client_id);
        for (at, member) in set.slots.iter().enumerate() {
            let rehash = |&at: &usize| hash(set.slots[at].client_id());
            index.insert_unique(hash(member.client_id()), at, rehash);
        }
        let find = |wanted: &String| {
            let found = index.iter_hash(hash(wanted.as_bytes()));
            found.filter(|&&at| set.slots[at].client_id() == wanted.as_bytes()).count()
        };
        let find_all = |_: &mut ()| black_box(given.lookups.iter().map(find).sum::<usize>());
        let calls = given.lookups.len();
        let found = |_: &mut (), count: &usize| assert_eq!(*count, calls);
        line("W3client", calls, measure(|| (), find_all, found));
    }
}

/// A frame or one of its items: the fields that the workloads have.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fields<'a> {
    action: i64,
    id: Option<&'a [u8]>,
    pub(crate) client_id: &'a [u8],
    connection_id: Option<&'a [u8]>,
    channel_serial: &'a [u8],
    pub(crate) data: &'a [u8],
    timestamp: Option<i64>,
}

pub(crate) type Items<'a> = SmallVec<[Fields<'a>; 1]>;

const ATTACHED: i64 = 11;
pub(crate) const PRESENCE: i64 = 14;
pub(crate) const SYNC: i64 = 16;

fn read_all(frames: &Frames) -> Vec<(Fields<'_>, Items<'_>)> {
    let mut all = Vec::new();
    for bytes in frames.get(Format::MessagePack) {
        let mut items = Items::new();
        let frame = read(&mut MessagePack { bytes }, &mut items);
        all.push((frame, items));
    }
    all
}

#[inline]
pub(crate) fn read_frame<'a>(format: Format, bytes: &'a [u8], items: &mut Items<'a>) -> Fields<'a> {
    match format {
        Format::Json => read(&mut Json { bytes }, items),
        _ => read(&mut MessagePack { bytes }, items),
    }
}

fn read<'a>(reader: &mut impl Read<'a>, items: &mut Items<'a>) -> Fields<'a> {
    let mut fields = Fields::default();
    let mut left = reader.open_map();
    while let Some(name) = reader.name(&mut left) {
        match name {
            b"action" => fields.action = reader.number(),
            b"id" => fields.id = Some(reader.text()),
            b"clientId" => fields.client_id = reader.text(),
            b"connectionId" => fields.connection_id = Some(reader.text()),
            b"channelSerial" => fields.channel_serial = reader.text(),
            b"data" => fields.data = reader.text(),
            b"timestamp" => fields.timestamp = Some(reader.number()),
            b"channel" => drop(reader.text()),
            b"flags" | b"msgSerial" => drop(reader.number()),
            b"presence" => {
                let mut left = reader.open_list();
                while reader.another(&mut left) {
                    let item = read(reader, &mut Items::new());
                    items.push(item);
                }
            }
            other => panic!("the field {other:?}"),
        }
    }
    fields
}

/// `left` counts entries down where the format says how many there are.
trait Read<'a> {
    fn open_map(&mut self) -> u32;
    fn name(&mut self, left: &mut u32) -> Option<&'a [u8]>;
    fn open_list(&mut self) -> u32;
    fn another(&mut self, left: &mut u32) -> bool;
    fn text(&mut self) -> &'a [u8];
    fn number(&mut self) -> i64;
}

struct Json<'a> {
    bytes: &'a [u8],
}

impl Json<'_> {
    fn next(&self) -> u8 {
        self.bytes[0]
    }

    fn pass(&mut self, len: usize) {
        self.bytes = &self.bytes[len..];
    }
}

impl<'a> Read<'a> for Json<'a> {
    fn open_map(&mut self) -> u32 {
        self.pass(1);
        0
    }

    #[inline]
    fn name(&mut self, _: &mut u32) -> Option<&'a [u8]> {
        if self.next() == b'}' {
            self.pass(1);
            return None;
        }
        if self.next() == b',' {
            self.pass(1);
        }
        let name = self.text();
        self.pass(1);
        Some(name)
    }

    fn open_list(&mut self) -> u32 {
        self.pass(1);
        0
    }

    fn another(&mut self, _: &mut u32) -> bool {
        let next = self.next();
        if next != b'{' {
            self.pass(1);
        }
        next != b']'
    }

    #[inline]
    fn text(&mut self) -> &'a [u8] {
        self.pass(1);
        let end = self.bytes.iter().position(|&b| b == b'"').expect("a quote");
        let text = &self.bytes[..end];
        self.pass(end + 1);
        text
    }

    #[inline]
    fn number(&mut self) -> i64 {
        let mut number = 0;
        let mut len = 0;
        for digit in self.bytes.iter().take_while(|byte| byte.is_ascii_digit()) {
            number = number * 10 + i64::from(digit - b'0');
            len += 1;
        }
        self.pass(len);
        number
    }
}

struct MessagePack<'a> {
    bytes: &'a [u8],
}

impl<'a> MessagePack<'a> {
    #[inline]
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        taken
    }

    #[inline]
    fn be(&mut self, len: usize) -> u64 {
        self.take(len).iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }
}

impl<'a> Read<'a> for MessagePack<'a> {
    fn open_map(&mut self) -> u32 {
        u32::from(self.take(1)[0] & 0x0f)
    }

    #[inline]
    fn name(&mut self, left: &mut u32) -> Option<&'a [u8]> {
        *left = left.checked_sub(1)?;
        Some(self.text())
    }

    fn open_list(&mut self) -> u32 {
        match self.take(1)[0] {
            0xdc => self.be(2) as u32,
            tag => u32::from(tag & 0x0f),
        }
    }

    fn another(&mut self, left: &mut u32) -> bool {
        let more = *left > 0;
        *left = left.saturating_sub(1);
        more
    }

    #[inline]
    fn text(&mut self) -> &'a [u8] {
        let len = match self.take(1)[0] {
            0xd9 => self.be(1) as usize,
            tag => usize::from(tag & 0x1f),
        };
        self.take(len)
    }

    #[inline]
    fn number(&mut self) -> i64 {
        match self.take(1)[0] {
            tag @ 0..0x80 => i64::from(tag),
            tag => self.be(1 << (tag & 3)).cast_signed(),
        }
    }
}

/// Client id, connection id and data in one block.
struct Member {
    text: Box<[u8]>,
    ends: [u8; 2],
    seen: u32,
    timestamp: i64,
    version: (u64, u64),
}

impl Member {
    fn new(item: &Fields<'_>, connection_id: &[u8], version: (u64, u64), seen: u32) -> Self {
        let client = item.client_id.len();
        let key = client + connection_id.len();
        let mut text = Vec::with_capacity(key + item.data.len());
        for part in [item.client_id, connection_id, item.data] {
            text.extend_from_slice(part);
        }
        Self {
            text: text.into(),
            ends: [client as u8, key as u8],
            seen,
            timestamp: item.timestamp.unwrap_or_default(),
            version,
        }
    }

    fn client_id(&self) -> &[u8] {
        &self.text[..self.ends[0].into()]
    }

    fn connection_id(&self) -> &[u8] {
        &self.text[self.ends[0].into()..self.ends[1].into()]
    }

    fn data(&self) -> &[u8] {
        &self.text[self.ends[1].into()..]
    }

    fn is_present(&self) -> bool {
        !self.text.is_empty()
    }
}

/// A slot, and half of the hash, so that a growing table need not look at members.
type Entry = (u32, u32);

struct Set {
    table: HashTable<Entry>,
    slots: Vec<Member>,
    free: Vec<u32>,
    hasher: FixedState,
    sync: u32,
    events: Counts,
}

impl Default for Set {
    fn default() -> Self {
        Self {
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            hasher: FixedState::with_seed(1),
            sync: 0,
            events: Counts::default(),
        }
    }
}

impl Set {
    fn loaded(given: &Given) -> Self {
        let mut set = Self::default();
        let frames = given.w1.0.get(Format::MessagePack);
        frames.iter().for_each(|bytes| set.feed(Format::MessagePack, bytes));
        set.check(&given.w1.1);
        set.events = Counts::default();
        set
    }

    fn feed(&mut self, format: Format, bytes: &[u8]) {
        // Most frames have one item.
        let mut items = Items::new();
        let frame = read_frame(format, bytes, &mut items);
        self.take_in(&frame, &items);
    }

    fn take_in(&mut self, frame: &Fields<'_>, items: &[Fields<'_>]) {
        if frame.action == ATTACHED {
            self.sync += 1;
        }
        for (index, item) in items.iter().enumerate() {
            let connection_id = item.connection_id.or(frame.connection_id).expect("a connection");
            let (id, index) = match item.id {
                Some(id) => (id, None),
                None => (frame.id.expect("an id"), Some(index as u64)),
            };
            let numbers = id.iter().skip(connection_id.len() + 1);
            let (mut serial, mut last) = (0, 0);
            for &byte in numbers {
                if byte == b':' {
                    (serial, last) = (last, 0);
                } else {
                    last = last * 10 + u64::from(byte - b'0');
                }
            }
            let version = index.map_or((serial, last), |index| (last, index));
            self.apply(item, connection_id, item.timestamp.or(frame.timestamp), version);
        }
        if frame.action == SYNC && frame.channel_serial.ends_with(b":") {
            for slot in 0..self.slots.len() as u32 {
                let member = &self.slots[slot as usize];
                if member.is_present() && member.seen != self.sync {
                    let hash = self.hash(member.client_id(), member.connection_id());
                    self.remove(slot, hash);
                }
            }
        }
    }

    fn apply(
        &mut self,
        item: &Fields<'_>,
        connection_id: &[u8],
        timestamp: Option<i64>,
        version: (u64, u64),
    ) {
        let hash = self.hash(item.client_id, connection_id);
        let slots = &self.slots;
        let same = |&(slot, half): &Entry| {
            let member = &slots[slot as usize];
            half == hash
                && member.client_id() == item.client_id
                && member.connection_id() == connection_id
        };
        let action = PresenceAction::from_number(item.action as u32);
        let Some(&(slot, _)) = self.table.find(wide(hash), same) else {
            let member = Member::new(item, connection_id, version, self.sync);
            return self.insert(member, hash, action);
        };
        let member = &mut self.slots[slot as usize];
        member.seen = self.sync;
        if version <= member.version {
            return;
        }
        if action == PresenceAction::Leave {
            return self.remove(slot, hash);
        }
        member.version = version;
        member.timestamp = timestamp.unwrap_or_default();
        let key = usize::from(member.ends[1]);
        if member.text.len() == key + item.data.len() {
            member.text[key..].copy_from_slice(item.data);
        } else {
            *member = Member::new(item, connection_id, version, self.sync);
        }
        self.events.add(black_box(action));
    }

    fn insert(&mut self, member: Member, hash: u32, action: PresenceAction) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = member;
                slot
            }
            None => {
                self.slots.push(member);
                self.slots.len() as u32 - 1
            }
        };
        self.table.insert_unique(wide(hash), (slot, hash), |&(_, hash)| wide(hash));
        self.events.add(black_box(action));
    }

    fn remove(&mut self, slot: u32, hash: u32) {
        if let Ok(entry) = self.table.find_entry(wide(hash), |entry| entry.0 == slot) {
            entry.remove();
        }
        self.slots[slot as usize].text = Box::default();
        self.slots[slot as usize].ends = [0; 2];
        self.free.push(slot);
        self.events.add(black_box(PresenceAction::Leave));
    }

    fn hash(&self, client_id: &[u8], connection_id: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(client_id);
        hasher.write(connection_id);
        let hash = hasher.finish();
        (hash ^ (hash >> 32)) as u32
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.slots.iter().filter(|member| member.is_present())
    }

    fn check(&self, expected: &Expected) {
        let text = |bytes| core::str::from_utf8(bytes).expect("text");
        let members =
            self.members().map(|m| (text(m.connection_id()), text(m.client_id()), text(m.data())));
        assert_eq!(checksum(members), (expected.members, expected.checksum));
        assert_eq!(self.events, expected.events);
    }
}

const fn wide(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}
