//! W6 by hand: what one writes in an afternoon, with `HashMap`, a binary heap, and this crate's
//! frames. A timer is not taken out when its connection resumes, but ignored when it fires; and who
//! resumes is not answered. Each leave is a frame of its own.

use crate::FORMATS;
use crate::frames::{CHANNEL, Connection, Input as Given};
use crate::measure::{Line, measure};
use crate::server::{GRACE_MS, OBSERVERS, START, Sink};
use core::cmp::Reverse;
use presence_proto::TransportId;
use presence_proto::wire::{Data, Format, PresenceAction, PresenceMessage, ProtocolMessage};
use std::collections::{BinaryHeap, HashMap};

pub(crate) fn run(given: &Given, wants: &dyn Fn(&str) -> bool) {
    for (name, format) in FORMATS {
        if wants("W6") {
            mass_drop(given, (name, format));
        }
        if wants("W6") || wants("W6resume") {
            mass_resume(given, (name, format));
        }
    }
}

fn mass_drop(given: &Given, (name, format): (&str, Format)) {
    let n = given.n;
    let deliveries = (n * OBSERVERS) as u64;
    let sample = measure(
        || ByHand::new(given),
        |server| {
            server.drop_all(n);
            server.pass(START + GRACE_MS - 1, format);
            assert_eq!(server.sink.sent, 0);
            server.pass(START + GRACE_MS + n as u64 / 1000, format);
        },
        |server, ()| {
            assert_eq!(server.sink.sent, deliveries);
            assert!(server.members.is_empty());
            assert!(server.lost.is_empty());
        },
    );
    let ops = n as u64;
    Line { workload: "W6", format: name, n, ops, events: deliveries, retains: false }
        .print_as("by hand", &sample);
}

fn mass_resume(given: &Given, (name, format): (&str, Format)) {
    let n = given.n;
    let sample = measure(
        || {
            let server = ByHand::new(given);
            let keys: Vec<String> = (0..n).map(key).collect();
            (server, keys)
        },
        |(server, keys)| {
            server.drop_all(n);
            while let Some(key) = keys.pop() {
                server.resume(&key);
            }
            server.pass(START + GRACE_MS - 1, format);
        },
        |(server, _), ()| {
            assert!(server.lost.is_empty());
            // Nor does anybody leave later.
            server.pass(START + GRACE_MS + n as u64 / 1000, format);
            assert_eq!(server.sink.sent, 0);
            assert_eq!(server.members.len(), n);
        },
    );
    Line { workload: "W6resume", format: name, n, ops: n as u64, events: 0, retains: false }
        .print_as("by hand", &sample);
}

/// Of the length that keys have.
fn key(connection: usize) -> String {
    format!("{connection:010}!{:032}", connection * 7)
}

struct Member {
    connection_id: String,
    client_id: String,
    data: String,
}

struct ByHand {
    /// By connection.
    members: HashMap<u64, Member>,
    connections: HashMap<String, u64>,
    /// Connections that were lost, and when their grace ends.
    lost: HashMap<u64, u64>,
    timers: BinaryHeap<Reverse<(u64, u64)>>,
    receivers: Vec<TransportId>,
    sink: Sink,
}

impl ByHand {
    fn new(given: &Given) -> Self {
        let numbered = || (0u64..).zip(&given.connections);
        let member = |(number, connection): (u64, &Connection)| {
            let client_id = connection.client_id.to_string();
            let data = connection.data.to_string();
            (number, Member { connection_id: format!("{number:010}"), client_id, data })
        };
        Self {
            members: numbered().map(member).collect(),
            connections: (0..given.n).map(|number| (key(number), number as u64)).collect(),
            lost: HashMap::new(),
            timers: BinaryHeap::new(),
            receivers: (0..OBSERVERS as u64).map(TransportId).collect(),
            sink: Sink::new(OBSERVERS),
        }
    }

    fn drop_all(&mut self, n: usize) {
        for connection in 0..n as u64 {
            let due = START + connection / 1000 + GRACE_MS;
            self.lost.insert(connection, due);
            self.timers.push(Reverse((due, connection)));
        }
    }

    fn resume(&mut self, key: &str) {
        let connection = self.connections.get(key).expect("a connection");
        self.lost.remove(connection).expect("lost");
    }

    fn pass(&mut self, now: u64, format: Format) {
        while let Some(&Reverse((due, connection))) = self.timers.peek()
            && due <= now
        {
            self.timers.pop();
            if self.lost.get(&connection) == Some(&due) {
                self.lost.remove(&connection);
                self.leave(connection, format);
            }
        }
    }

    fn leave(&mut self, connection: u64, format: Format) {
        let Some(member) = self.members.remove(&connection) else { return };
        let mut item = PresenceMessage::new(PresenceAction::Leave);
        item.id = Some(format!("{}:0:0", member.connection_id).into());
        item.client_id = Some(member.client_id.into());
        item.connection_id = Some(member.connection_id.into());
        item.data = Some(Data::String(member.data.into()));
        let payload = ProtocolMessage::presence(CHANNEL, vec![item]).encode(format);
        for &to in &self.receivers {
            self.sink.send(to, &payload);
        }
    }
}
