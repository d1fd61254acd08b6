//! What goes in: frames as a service sends them, read from a folder or made here.
//!
//! Members have a client id of 12 bytes, a connection id of 10 and data of 20, one member on each
//! connection. Items of a SYNC carry all their fields; a PRESENCE has one item, which inherits its
//! id, connection id and timestamp from the frame.

use presence_proto::wire::{
    Action, ConnectionDetails, Data, Flags, Format, PresenceAction, PresenceMessage,
    ProtocolMessage,
};
use presence_proto::{SmolStr, UnixMillis};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::Path;

pub(crate) const CHANNEL: &str = "room:bench";
const PAGE: usize = 100;
const T0: i64 = 1_700_000_000_000;

/// Frames of one kind in both formats.
#[derive(Default)]
pub(crate) struct Frames {
    json: Vec<Vec<u8>>,
    message_pack: Vec<Vec<u8>>,
}

impl Frames {
    pub(crate) fn get(&self, format: Format) -> &[Vec<u8>] {
        if format == Format::Json { &self.json } else { &self.message_pack }
    }

    pub(crate) fn decoded(&self) -> Vec<ProtocolMessage> {
        let decode = |bytes: &Vec<u8>| ProtocolMessage::decode(Format::Json, bytes);
        self.json.iter().map(|bytes| decode(bytes).expect("a frame")).collect()
    }

    /// How the client is greeted.
    pub(crate) fn connected() -> ProtocolMessage {
        let mut details = ConnectionDetails::default();
        details.connection_key = Some("observer00!key".into());
        let mut frame = ProtocolMessage::new(Action::Connected);
        frame.connection_id = Some("observer00".into());
        frame.connection_details = Some(Box::new(details));
        frame
    }

    fn push(&mut self, frame: &ProtocolMessage) {
        self.json.push(frame.encode(Format::Json));
        self.message_pack.push(frame.encode(Format::MessagePack));
    }

    /// The same frames, those of each format one behind the other in memory, as they come in.
    fn in_order(&self) -> Self {
        Self { json: self.json.clone(), message_pack: self.message_pack.clone() }
    }

    /// JSON in lines; MessagePack with four bytes of length before each frame.
    fn write(&self, folder: &Path, name: &str) {
        let mut packed = Vec::new();
        for frame in &self.message_pack {
            packed.extend((frame.len() as u32).to_be_bytes());
            packed.extend(frame);
        }
        let lines = [self.json.join(&b'\n'), b"\n".to_vec()].concat();
        std::fs::write(folder.join(format!("{name}.jsonl")), lines).expect(name);
        std::fs::write(folder.join(format!("{name}.mp")), packed).expect(name);
    }

    fn read(folder: &Path, name: &str) -> Self {
        let read = |extension: &str| {
            let path = folder.join(format!("{name}.{extension}"));
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let lines = read("jsonl");
        let json = lines.split(|&b| b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec);
        let mut message_pack = Vec::new();
        let packed = read("mp");
        let mut rest = packed.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (frame, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            message_pack.push(frame.to_vec());
            rest = after;
        }
        Self { json: json.collect(), message_pack }
    }
}

/// What must hold after a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) members: u64,
    /// Sum over the members of fnv1a32(`connectionId:clientId=data`), modulo 2^32.
    pub(crate) checksum: u32,
    pub(crate) events: Counts,
    pub(crate) ops: u64,
}

/// Presence events by action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) present: u64,
    pub(crate) enter: u64,
    pub(crate) update: u64,
    pub(crate) leave: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, action: PresenceAction) {
        match action {
            PresenceAction::Present => self.present += 1,
            PresenceAction::Enter => self.enter += 1,
            PresenceAction::Update => self.update += 1,
            PresenceAction::Leave => self.leave += 1,
            other => panic!("an event with the action {other:?}"),
        }
    }

    pub(crate) const fn total(&self) -> u64 {
        self.present + self.enter + self.update + self.leave
    }
}

/// One connection of the server's workloads, and what its client sends to enter.
pub(crate) struct Connection {
    pub(crate) client_id: SmolStr,
    pub(crate) data: SmolStr,
}

pub(crate) struct Input {
    pub(crate) n: usize,
    pub(crate) w1: (Frames, Expected),
    pub(crate) w2: (Frames, Expected),
    pub(crate) w4: (Frames, Expected),
    /// Client ids to look up; each has exactly one member.
    pub(crate) lookups: Vec<String>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) joins: Frames,
}

impl Input {
    /// Reads a folder in the form of the harness that runs the peers.
    pub(crate) fn read(folder: &Path) -> Self {
        let parse = |name: &str| -> Value {
            let bytes = std::fs::read(folder.join(name)).expect(name);
            serde_json::from_slice(&bytes).expect(name)
        };
        let meta = parse("meta.json");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let connections = parse("s-conns.json");
        let connections = connections
            .as_array()
            .expect("a list")
            .iter()
            .map(|c| Connection { client_id: text(&c[1]).into(), data: text(&c[2]).into() });
        Self {
            n: meta["n"].as_u64().expect("n") as usize,
            w1: (Frames::read(folder, "w1"), expected(&meta["w1"])),
            w2: (Frames::read(folder, "w2"), expected(&meta["w2"])),
            w4: (Frames::read(folder, "w4"), expected(&meta["w4"])),
            lookups: meta["lookups"].as_array().expect("lookups").iter().map(text).collect(),
            connections: connections.collect(),
            joins: Frames::read(folder, "s-join"),
        }
    }

    /// Writes what the client's workloads need, as `read` reads it.
    pub(crate) fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("a folder");
        let mut connected = Frames::default();
        connected.push(&Frames::connected());
        connected.write(folder, "connected");
        let mut meta = json!({ "n": self.n, "lookups": self.lookups });
        for (name, (frames, expected)) in [("w1", &self.w1), ("w2", &self.w2), ("w4", &self.w4)] {
            frames.write(folder, name);
            let Expected { members, checksum, events, ops } = expected;
            let Counts { present, enter, update, leave } = events;
            let events = json!({
                "present": present, "enter": enter, "update": update, "leave": leave,
            });
            meta[name] = json!({
                "members": members, "checksum": checksum, "events": events, "ops": ops,
            });
        }
        std::fs::write(folder.join("meta.json"), meta.to_string()).expect("meta.json");
    }

    /// Makes frames for `n` members.
    pub(crate) fn make(n: usize) -> Self {
        let mut random = Random(1);
        let mut made = 0;
        let mut fresh = |random: &mut Random| {
            made += 1;
            Member::new(random, made - 1)
        };
        let base: Vec<Member> = (0..n).map(|_| fresh(&mut random)).collect();
        let n64 = n as u64;

        let mut w1 = Frames::default();
        w1.push(&attached(0));
        sync(&mut w1, "seqA", &base);
        let present = Counts { present: n64, ..Counts::default() };
        let w1 = (w1.in_order(), expect(&base, present, n64));

        let total: usize = if n <= 10_000 { 20_000 } else { 100_000 };
        let w2 = steady(&mut random, &base, total, &mut fresh);

        let change = (n / 100).max(1);
        let mut second = base.clone();
        random.shuffle(&mut second);
        second.truncate(n - change);
        second.extend((0..change).map(|_| fresh(&mut random)));
        random.shuffle(&mut second);
        let mut w4 = Frames::default();
        w4.push(&attached(1));
        sync(&mut w4, "seqB", &second);
        let changed = change as u64;
        let events = Counts { present: changed, leave: changed, ..Counts::default() };
        let w4 = (w4.in_order(), expect(&second, events, n64));

        let mut joins = Frames::default();
        for member in &base {
            let mut item = PresenceMessage::new(PresenceAction::Enter);
            item.client_id = Some(member.client_id.clone());
            item.data = Some(Data::String(member.data.clone()));
            let mut frame = ProtocolMessage::presence(CHANNEL, vec![item]);
            frame.msg_serial = Some(0);
            joins.push(&frame);
        }
        let lookups = (0..16).map(|_| base[random.below(n)].client_id.to_string()).collect();
        let connections = base
            .into_iter()
            .map(|member| Connection { client_id: member.client_id, data: member.data })
            .collect();
        Self { n, w1, w2, w4, lookups, connections, joins }
    }
}

/// The checksum of members given as connection id, client id and data.
pub(crate) fn checksum<'a>(
    members: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
) -> (u64, u32) {
    let hash = |start: u32, text: &str| {
        text.bytes().fold(start, |h, b| (h ^ u32::from(b)).wrapping_mul(16_777_619))
    };
    members.fold((0, 0), |(n, sum): (u64, u32), (connection, client, data)| {
        let parts = [connection, ":", client, "=", data];
        (n + 1, sum.wrapping_add(parts.into_iter().fold(2_166_136_261, hash)))
    })
}

fn expected(meta: &Value) -> Expected {
    let number = |value: &Value| value.as_u64().expect("a number");
    let events = &meta["events"];
    Expected {
        members: number(&meta["members"]),
        checksum: number(&meta["checksum"]) as u32,
        events: Counts {
            present: number(&events["present"]),
            enter: number(&events["enter"]),
            update: number(&events["update"]),
            leave: number(&events["leave"]),
        },
        ops: number(&meta["ops"]),
    }
}

fn expect(members: &[Member], events: Counts, ops: u64) -> Expected {
    let (members, checksum) =
        checksum(members.iter().map(|m| (&*m.connection_id, &*m.client_id, &*m.data)));
    Expected { members, checksum, events, ops }
}

#[derive(Clone)]
struct Member {
    connection_id: SmolStr,
    client_id: SmolStr,
    data: SmolStr,
    serial: u64,
    timestamp: i64,
}

impl Member {
    fn new(random: &mut Random, number: usize) -> Self {
        let tail = tail(number);
        Self {
            connection_id: (random.text(6) + &tail).into(),
            client_id: (random.text(8) + &tail).into(),
            data: random.text(20).into(),
            serial: 0,
            timestamp: T0 + number as i64,
        }
    }
}

fn attached(serial: usize) -> ProtocolMessage {
    let mut frame = ProtocolMessage::on_channel(Action::Attached, CHANNEL);
    frame.flags = Some(
        Flags::HAS_PRESENCE
            | Flags::PRESENCE
            | Flags::PUBLISH
            | Flags::SUBSCRIBE
            | Flags::PRESENCE_SUBSCRIBE,
    );
    frame.channel_serial = Some(channel_serial(serial));
    frame
}

fn channel_serial(n: usize) -> SmolStr {
    format!("e02sBnYhQBDdZ2@{}-{n}", T0 + n as i64).into()
}

fn sync(frames: &mut Frames, sequence: &str, members: &[Member]) {
    let pages = members.len().div_ceil(PAGE);
    for (i, page) in members.chunks(PAGE).enumerate() {
        let last = i + 1 == pages;
        let cursor = if last { String::new() } else { format!("{:08}", (i + 1) * PAGE) };
        let mut frame = ProtocolMessage::on_channel(Action::Sync, CHANNEL);
        frame.channel_serial = Some(format!("{sequence}:{cursor}").into());
        frame.timestamp = Some(UnixMillis::from_millis(T0 + 10_000_000));
        frame.presence = page
            .iter()
            .map(|m| {
                let mut item = PresenceMessage::new(PresenceAction::Present);
                item.id = Some(format!("{}:{}:0", m.connection_id, m.serial).into());
                item.client_id = Some(m.client_id.clone());
                item.connection_id = Some(m.connection_id.clone());
                item.timestamp = Some(UnixMillis::from_millis(m.timestamp));
                item.data = Some(Data::String(m.data.clone()));
                item
            })
            .collect();
        frames.push(&frame);
    }
}

fn presence(member: &Member, action: PresenceAction, n: usize) -> ProtocolMessage {
    let mut item = PresenceMessage::new(action);
    item.client_id = Some(member.client_id.clone());
    item.data = Some(Data::String(member.data.clone()));
    let mut frame = ProtocolMessage::presence(CHANNEL, vec![item]);
    frame.id = Some(format!("{}:{}", member.connection_id, member.serial).into());
    frame.channel_serial = Some(channel_serial(n));
    frame.connection_id = Some(member.connection_id.clone());
    frame.timestamp = Some(UnixMillis::from_millis(member.timestamp));
    frame
}

/// 80 % updates of any member; guests enter sixteen at a time, then those sixteen leave.
fn steady(
    random: &mut Random,
    base: &[Member],
    total: usize,
    fresh: &mut impl FnMut(&mut Random) -> Member,
) -> (Frames, Expected) {
    let pairs = total / 10;
    let mut plan = vec![true; total - 2 * pairs];
    plan.resize(total, false);
    random.shuffle(&mut plan);
    let mut frames = Frames::default();
    let mut now = base.to_vec();
    let mut guests: VecDeque<Member> = VecDeque::new();
    let mut visit = 0;
    for (i, &updates) in plan.iter().enumerate() {
        let timestamp = T0 + 20_000_000 + i as i64;
        if updates {
            let member = &mut now[random.below(base.len())];
            member.serial += 1;
            member.timestamp = timestamp;
            member.data = random.text(20).into();
            frames.push(&presence(member, PresenceAction::Update, i));
            continue;
        }
        if visit % 32 < 16 {
            let mut guest = fresh(random);
            guest.timestamp = timestamp;
            frames.push(&presence(&guest, PresenceAction::Enter, i));
            guests.push_back(guest);
        } else {
            let mut guest = guests.pop_front().expect("a guest");
            guest.serial += 1;
            guest.timestamp = timestamp;
            frames.push(&presence(&guest, PresenceAction::Leave, i));
        }
        visit += 1;
    }
    let pairs = (pairs - guests.len()) as u64;
    let stayed = guests.len() as u64;
    now.extend(guests);
    let update = total as u64 - 2 * (total / 10) as u64;
    let events = Counts { present: 0, enter: pairs + stayed, update, leave: pairs };
    let expected = expect(&now, events, total as u64);
    (frames.in_order(), expected)
}

/// Four letters that are different for each number below 62^4.
fn tail(mut number: usize) -> String {
    let mut text = String::new();
    for _ in 0..4 {
        text.push(char::from(LETTERS[number % LETTERS.len()]));
        number /= LETTERS.len();
    }
    text
}

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// SplitMix64: the frames are the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    fn text(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(LETTERS[self.below(LETTERS.len())])).collect()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}
