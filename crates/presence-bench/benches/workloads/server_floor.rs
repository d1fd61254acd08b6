//! The floor of the server: what W5, W5mass, W5sync and W6 cost at least. It is no library.
//!
//! It knows one channel, and members that hang off their connections: a connection is a number, and
//! nothing is looked up by anything else. It believes every byte, checks no right and escapes
//! nothing; ids and times are constant. What it does do: read what a client sends, keep it, write
//! each answer once by hand, hand it to each receiver, and wait for the grace to end.

use crate::FORMATS;
use crate::floor::{Items, PRESENCE, SYNC, read_frame};
use crate::frames::{CHANNEL, Input as Given};
use crate::measure::{Line, measure};
use crate::server::{GRACE_MS, OBSERVERS, START, Sink, check_pages, fan_outs};
use core::str::from_utf8;
use presence_proto::wire::{Format, PresenceAction, ProtocolMessage};
use presence_proto::{SmolStr, TransportId};
use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) fn run(given: &Given, wants: &dyn Fn(&str) -> bool) {
    for (name, format) in FORMATS {
        for (workload, before) in fan_outs(given, wants) {
            fan_out(workload, given, (name, format), before);
        }
        if wants("W5sync") {
            newcomer(given, (name, format));
        }
        if wants("W6") {
            mass_drop(given, (name, format));
        }
    }
}

/// `before` are members; then the others enter, one by one.
fn fan_out(workload: &str, given: &Given, (name, format): (&str, Format), before: usize) {
    let n = given.n;
    let joins = &given.joins.get(format)[before..];
    let ops = (n * (n - before)) as u64;
    let set_up = || Floor::new(given, before, n);
    let check = |floor: &mut Floor, (): &()| {
        assert_eq!(floor.sink.sent, ops);
        assert_eq!(floor.members.len(), n);
        let told = &floor.sink.bytes[..n];
        assert!(told.iter().all(|&b| b == told[0] && b > 0));
        floor.check_answer(format, 1);
    };
    let line = |workload: &str, sample| {
        Line { workload, format: name, n, ops, events: ops, retains: false }
            .print_as("floor", &sample);
    };
    let lend = |floor: &mut Floor| {
        for join in joins {
            floor.enter(format, join);
            floor.deliver();
        }
    };
    line(workload, measure(set_up, lend, check));
    let own = |floor: &mut Floor| {
        let mut queue = VecDeque::new();
        for join in joins {
            floor.enter(format, join);
            let payload: Arc<[u8]> = floor.buffer.as_slice().into();
            queue.extend(floor.receivers.iter().map(|&to| (to, payload.clone())));
            while let Some((to, payload)) = queue.pop_front() {
                floor.sink.send(to, &payload);
            }
        }
    };
    line(&format!("{workload}-owned"), measure(set_up, own, check));
}

/// All members in pages, as bytes.
fn newcomer(given: &Given, (name, format): (&str, Format)) {
    let n = given.n;
    let floor = Floor::new(given, n, 0);
    let check = |(): &mut (), pages: &Vec<Vec<u8>>| check_pages(given, format, pages);
    let sample = measure(|| (), |()| floor.pages(format), check);
    let (ops, events) = (n as u64, n.div_ceil(PAGE) as u64);
    Line { workload: "W5sync", format: name, n, ops, events, retains: false }
        .print_as("floor", &sample);
}

/// Everybody drops; nothing goes out before the grace ends; then all leave, each told to ten.
fn mass_drop(given: &Given, (name, format): (&str, Format)) {
    let n = given.n;
    let deliveries = (n * OBSERVERS) as u64;
    let sample = measure(
        || Floor::new(given, n, OBSERVERS),
        |floor| {
            for connection in 0..n {
                floor.lost.push_back((START + connection as u64 / 1000 + GRACE_MS, connection));
            }
            floor.pass(START + GRACE_MS - 1, format);
            assert_eq!(floor.sink.items, 0);
            floor.pass(START + GRACE_MS + n as u64 / 1000, format);
        },
        |floor, ()| {
            assert_eq!(floor.sink.items, deliveries);
            assert!(floor.members.iter().all(Option::is_none));
            floor.check_answer(format, (n - 1) % PAGE + 1);
        },
    );
    let ops = n as u64;
    Line { workload: "W6", format: name, n, ops, events: deliveries, retains: false }
        .print_as("floor", &sample);
}

/// Members in a frame at most.
const PAGE: usize = 100;

struct Member {
    client_id: SmolStr,
    connection_id: SmolStr,
    data: SmolStr,
}

impl Member {
    fn new(connection: usize, client_id: &str, data: &str) -> Self {
        let connection_id = format!("{connection:010}").into();
        Self { client_id: client_id.into(), connection_id, data: data.into() }
    }
}

struct Floor {
    /// By the number of their connection.
    members: Vec<Option<Member>>,
    receivers: Vec<TransportId>,
    /// Connections that were lost, and when their grace ends: in this order.
    lost: VecDeque<(u64, usize)>,
    /// The last answer.
    buffer: Vec<u8>,
    sink: Sink,
}

impl Floor {
    fn new(given: &Given, members: usize, receivers: usize) -> Self {
        let connections = given.connections[..members].iter().enumerate();
        Self {
            members: connections
                .map(|(i, c)| Some(Member::new(i, &c.client_id, &c.data)))
                .collect(),
            receivers: (0..receivers as u64).map(TransportId).collect(),
            lost: VecDeque::new(),
            buffer: Vec::new(),
            sink: Sink::new(receivers),
        }
    }

    /// The next connection becomes a member; the answer is in the buffer.
    fn enter(&mut self, format: Format, bytes: &[u8]) {
        let mut items = Items::new();
        read_frame(format, bytes, &mut items);
        let text = |bytes| from_utf8(bytes).expect("text");
        let (client_id, data) = (text(items[0].client_id), text(items[0].data));
        let member = Member::new(self.members.len(), client_id, data);
        self.buffer.clear();
        write(&mut self.buffer, format, PRESENCE, PresenceAction::Enter, [&member].into_iter());
        self.members.push(Some(member));
    }

    /// The last answer is a frame with so many items.
    fn check_answer(&self, format: Format, items: usize) {
        let frame = ProtocolMessage::decode(format, &self.buffer).expect("a frame");
        assert_eq!(frame.presence.len(), items);
    }

    fn deliver(&mut self) {
        for &to in &self.receivers {
            self.sink.send(to, &self.buffer);
        }
    }

    /// Whose grace has ended leaves, a hundred in a frame.
    fn pass(&mut self, now: u64, format: Format) {
        loop {
            let leaving = self.lost.iter().take(PAGE).take_while(|(due, _)| *due <= now).count();
            if leaving == 0 {
                return;
            }
            let members = self.lost.range(..leaving);
            let members = members.filter_map(|&(_, connection)| self.members[connection].as_ref());
            self.buffer.clear();
            write(&mut self.buffer, format, PRESENCE, PresenceAction::Leave, members);
            self.deliver();
            self.sink.items += (leaving * self.receivers.len()) as u64;
            for (_, connection) in self.lost.drain(..leaving) {
                self.members[connection] = None;
            }
        }
    }

    #[inline(never)]
    fn pages(&self, format: Format) -> Vec<Vec<u8>> {
        let mut pages: Vec<Vec<u8>> = Vec::new();
        for members in self.members.chunks(PAGE) {
            // A page is as long as the one before.
            let mut out = Vec::with_capacity(pages.last().map_or(0, Vec::len));
            write(&mut out, format, SYNC, PresenceAction::Present, members.iter().flatten());
            pages.push(out);
        }
        pages
    }
}

/// A frame with at most a hundred items.
#[inline]
fn write<'a>(
    out: &mut Vec<u8>,
    format: Format,
    frame: i64,
    action: PresenceAction,
    members: impl Iterator<Item = &'a Member> + Clone,
) {
    let frame = frame as u8;
    if format == Format::Json {
        out.extend_from_slice(b"{\"action\":1");
        out.push(b'0' + frame % 10);
        out.extend_from_slice(b",\"channel\":\"");
        out.extend_from_slice(CHANNEL.as_bytes());
        out.extend_from_slice(b"\",\"channelSerial\":\"18bcfe5680000001:100\",\"presence\":");
        let mut before = b'[';
        for member in members {
            out.push(before);
            json_item(out, action, member);
            before = b',';
        }
        out.extend_from_slice(b"]}");
    } else {
        out.extend_from_slice(b"\x84\xa6action");
        out.push(frame);
        out.extend_from_slice(b"\xa7channel");
        pack(out, CHANNEL);
        out.extend_from_slice(b"\xadchannelSerial\xb418bcfe5680000001:100\xa8presence\xdc\x00");
        out.push(members.clone().count() as u8);
        for member in members {
            pack_item(out, action, member);
        }
    }
}

#[inline]
fn json_item(out: &mut Vec<u8>, action: PresenceAction, member: &Member) {
    out.extend_from_slice(b"{\"action\":");
    out.push(b'0' + action.number() as u8);
    out.extend_from_slice(b",\"id\":\"");
    out.extend_from_slice(member.connection_id.as_bytes());
    out.extend_from_slice(b":0:0\",\"clientId\":\"");
    out.extend_from_slice(member.client_id.as_bytes());
    out.extend_from_slice(b"\",\"connectionId\":\"");
    out.extend_from_slice(member.connection_id.as_bytes());
    out.extend_from_slice(b"\",\"data\":\"");
    out.extend_from_slice(member.data.as_bytes());
    out.extend_from_slice(b"\",\"timestamp\":1700000000000}");
}

#[inline]
fn pack_item(out: &mut Vec<u8>, action: PresenceAction, member: &Member) {
    out.extend_from_slice(b"\x86\xa6action");
    out.push(action.number() as u8);
    out.extend_from_slice(b"\xa2id");
    out.push(0xa0 | (member.connection_id.len() + 4) as u8);
    out.extend_from_slice(member.connection_id.as_bytes());
    out.extend_from_slice(b":0:0\xa8clientId");
    pack(out, &member.client_id);
    out.extend_from_slice(b"\xacconnectionId");
    pack(out, &member.connection_id);
    out.extend_from_slice(b"\xa4data");
    pack(out, &member.data);
    out.extend_from_slice(b"\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5\x68\x00");
}

/// A string of less than 32 bytes.
#[inline]
fn pack(out: &mut Vec<u8>, text: &str) {
    out.push(0xa0 | text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}
