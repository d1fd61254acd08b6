//! The floor: what W1 to W4 cost at least. It is no library.
//!
//! It reads the frames of these workloads and no others, believes every byte but for UTF-8, knows
//! one channel, has no connection, no own members, no marks of members that left, no limits and no
//! errors, and hands out references. What it does do: decode, find each member by its key, compare
//! ids, replace data, count events, notice who is missing after a sync.

use crate::FORMATS;
use crate::frames::{Counts, Expected, Frames, Input as Given, checksum};
use crate::measure::{Line, measure};
use core::hash::BuildHasher;
use core::hint::black_box;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use presence_proto::wire::{Format, PresenceAction};

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
        let hash = |client_id: &str| set.hasher.hash_one(client_id);
        for (at, member) in set.slots.iter().enumerate() {
            let rehash = |&at: &usize| hash(set.slots[at].client_id());
            index.insert_unique(hash(member.client_id()), at, rehash);
        }
        let find = |wanted: &String| {
            let found = index.iter_hash(hash(wanted));
            found.filter(|&&at| set.slots[at].client_id() == wanted).count()
        };
        let find_all = |_: &mut ()| black_box(given.lookups.iter().map(find).sum::<usize>());
        let calls = given.lookups.len();
        let found = |_: &mut (), count: &usize| assert_eq!(*count, calls);
        line("W3client", calls, measure(|| (), find_all, found));
    }
}

/// A frame or one of its items: the fields that the workloads have.
#[derive(Clone, Copy, Default)]
struct Fields<'a> {
    action: i64,
    id: Option<&'a str>,
    client_id: &'a str,
    connection_id: Option<&'a str>,
    channel_serial: &'a str,
    data: &'a str,
    timestamp: Option<i64>,
}

const ATTACHED: i64 = 11;
const SYNC: i64 = 16;

fn read_all(frames: &Frames) -> Vec<(Fields<'_>, Vec<Fields<'_>>)> {
    let mut all = Vec::new();
    for bytes in frames.get(Format::MessagePack) {
        let mut items = Vec::new();
        let frame = read(&mut MessagePack { bytes }, &mut items);
        all.push((frame, items));
    }
    all
}

fn read<'a>(reader: &mut impl Read<'a>, items: &mut Vec<Fields<'a>>) -> Fields<'a> {
    let mut fields = Fields::default();
    let mut left = reader.open_map();
    while let Some(name) = reader.name(&mut left) {
        match name {
            "action" => fields.action = reader.number(),
            "id" => fields.id = Some(reader.text()),
            "clientId" => fields.client_id = reader.text(),
            "connectionId" => fields.connection_id = Some(reader.text()),
            "channelSerial" => fields.channel_serial = reader.text(),
            "data" => fields.data = reader.text(),
            "timestamp" => fields.timestamp = Some(reader.number()),
            "channel" => drop(reader.text()),
            "flags" => drop(reader.number()),
            "presence" => {
                let mut left = reader.open_list();
                while reader.another(&mut left) {
                    let item = read(reader, &mut Vec::new());
                    items.push(item);
                }
            }
            other => panic!("the field {other}"),
        }
    }
    fields
}

/// `left` counts entries down where the format says how many there are.
trait Read<'a> {
    fn open_map(&mut self) -> u32;
    fn name(&mut self, left: &mut u32) -> Option<&'a str>;
    fn open_list(&mut self) -> u32;
    fn another(&mut self, left: &mut u32) -> bool;
    fn text(&mut self) -> &'a str;
    fn number(&mut self) -> i64;
}

struct Json<'a> {
    text: &'a str,
}

impl Json<'_> {
    fn next(&self) -> u8 {
        self.text.as_bytes()[0]
    }

    fn pass(&mut self, len: usize) {
        self.text = &self.text[len..];
    }
}

impl<'a> Read<'a> for Json<'a> {
    fn open_map(&mut self) -> u32 {
        self.pass(1);
        0
    }

    #[inline]
    fn name(&mut self, _: &mut u32) -> Option<&'a str> {
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
    fn text(&mut self) -> &'a str {
        let end = self.text.bytes().skip(1).position(|b| b == b'"').expect("a quote") + 1;
        let text = &self.text[1..end];
        self.pass(end + 1);
        text
    }

    #[inline]
    fn number(&mut self) -> i64 {
        let mut number = 0;
        let mut len = 0;
        for digit in self.text.bytes().take_while(u8::is_ascii_digit) {
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
    fn name(&mut self, left: &mut u32) -> Option<&'a str> {
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
    fn text(&mut self) -> &'a str {
        let len = match self.take(1)[0] {
            0xd9 => self.be(1) as usize,
            tag => usize::from(tag & 0x1f),
        };
        core::str::from_utf8(self.take(len)).expect("text")
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
    text: Box<str>,
    ends: [u8; 2],
    seen: u32,
    timestamp: i64,
    version: (u64, u32),
}

impl Member {
    fn new(item: &Fields<'_>, connection_id: &str, version: (u64, u32), seen: u32) -> Self {
        let client = item.client_id.len();
        let key = client + connection_id.len();
        let mut text = String::with_capacity(key + item.data.len());
        text.extend([item.client_id, connection_id, item.data]);
        Self {
            text: text.into(),
            ends: [client as u8, key as u8],
            seen,
            timestamp: item.timestamp.unwrap_or_default(),
            version,
        }
    }

    fn client_id(&self) -> &str {
        &self.text[..self.ends[0].into()]
    }

    fn connection_id(&self) -> &str {
        &self.text[self.ends[0].into()..self.ends[1].into()]
    }

    fn data(&self) -> &str {
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
        let mut items = Vec::new();
        let frame = match format {
            Format::Json => {
                let text = core::str::from_utf8(bytes).expect("text");
                read(&mut Json { text }, &mut items)
            }
            _ => read(&mut MessagePack { bytes }, &mut items),
        };
        self.take_in(&frame, &items);
    }

    fn take_in(&mut self, frame: &Fields<'_>, items: &[Fields<'_>]) {
        if frame.action == ATTACHED {
            self.sync += 1;
        }
        let serial = |text: &str| text.rsplit(':').next().and_then(|s| s.parse().ok());
        for (index, item) in items.iter().enumerate() {
            let connection_id = item.connection_id.or(frame.connection_id).expect("a connection");
            let version = match item.id {
                Some(id) => {
                    let (rest, index) = id.rsplit_once(':').expect("an id");
                    (serial(rest).expect("a serial"), index.parse().expect("an index"))
                }
                None => (frame.id.and_then(serial).expect("a serial"), index as u32),
            };
            self.apply(item, connection_id, item.timestamp.or(frame.timestamp), version);
        }
        if frame.action == SYNC && frame.channel_serial.ends_with(':') {
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
        connection_id: &str,
        timestamp: Option<i64>,
        version: (u64, u32),
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
        if member.data() != item.data {
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

    fn hash(&self, client_id: &str, connection_id: &str) -> u32 {
        let hash = self.hasher.hash_one((client_id, connection_id));
        (hash ^ (hash >> 32)) as u32
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.slots.iter().filter(|member| member.is_present())
    }

    fn check(&self, expected: &Expected) {
        let members = self.members().map(|m| (m.connection_id(), m.client_id(), m.data()));
        assert_eq!(checksum(members), (expected.members, expected.checksum));
        assert_eq!(self.events, expected.events);
    }
}

const fn wide(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}
