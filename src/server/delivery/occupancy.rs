//! Occupancy of a channel.

use crate::server::record::Row;
use crate::wire::{Map, Modes, Value};

/// The occupancy of a channel (CHM2). An attachment counts while its connection has a transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Occupancy {
    /// Attachments.
    pub connections: u32,
    /// Attachments that may publish.
    pub publishers: u32,
    /// Attachments that receive messages.
    pub subscribers: u32,
    /// Attachments that may enter.
    pub presence_connections: u32,
    /// Attachments that receive presence events.
    pub presence_subscribers: u32,
    /// Members.
    pub presence_members: u32,
}

bitflags::bitflags! {
    /// Figures of an occupancy.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(in crate::server) struct Metrics: u8 {
        const CONNECTIONS = 1;
        const PUBLISHERS = 1 << 1;
        const SUBSCRIBERS = 1 << 2;
        const PRESENCE_CONNECTIONS = 1 << 3;
        const PRESENCE_SUBSCRIBERS = 1 << 4;
        const PRESENCE_MEMBERS = 1 << 5;
    }
}

impl Metrics {
    /// Parses the channel parameter `occupancy`: `metrics` for all figures, or `metrics.` and a
    /// figure's name; several are separated by commas.
    pub(in crate::server) fn from_param(value: &str) -> Self {
        let mut metrics = Self::empty();
        for part in value.split(',') {
            metrics |= match part.trim() {
                "metrics" | "metrics.all" => Self::all(),
                "metrics.connections" => Self::CONNECTIONS,
                "metrics.publishers" => Self::PUBLISHERS,
                "metrics.subscribers" => Self::SUBSCRIBERS,
                "metrics.presenceConnections" => Self::PRESENCE_CONNECTIONS,
                "metrics.presenceSubscribers" => Self::PRESENCE_SUBSCRIBERS,
                "metrics.presenceMembers" => Self::PRESENCE_MEMBERS,
                _ => Self::empty(),
            };
        }
        metrics
    }
}

impl Occupancy {
    /// Adds an attachment with these modes, or subtracts it when not `attached`.
    pub(super) fn count(&mut self, modes: Modes, attached: bool) {
        let change = |number: &mut u32| {
            *number = if attached { number.saturating_add(1) } else { number.saturating_sub(1) };
        };
        change(&mut self.connections);
        for (mode, number) in [
            (Modes::PUBLISH, &mut self.publishers),
            (Modes::SUBSCRIBE, &mut self.subscribers),
            (Modes::PRESENCE, &mut self.presence_connections),
            (Modes::PRESENCE_SUBSCRIBE, &mut self.presence_subscribers),
        ] {
            if modes.contains(mode) {
                change(number);
            }
        }
    }

    /// Adds the attachments of another node.
    pub(in crate::server) const fn add(&mut self, row: &Row) {
        self.connections = self.connections.saturating_add(row.connections);
        self.publishers = self.publishers.saturating_add(row.publishers);
        self.subscribers = self.subscribers.saturating_add(row.subscribers);
        self.presence_connections =
            self.presence_connections.saturating_add(row.presence_connections);
        self.presence_subscribers =
            self.presence_subscribers.saturating_add(row.presence_subscribers);
    }

    /// The attachments, without the members.
    pub(super) const fn to_row(self) -> Row {
        Row {
            connections: self.connections,
            publishers: self.publishers,
            subscribers: self.subscribers,
            presence_connections: self.presence_connections,
            presence_subscribers: self.presence_subscribers,
        }
    }

    const fn figures(&self) -> [(Metrics, &'static str, u32); 6] {
        [
            (Metrics::CONNECTIONS, "connections", self.connections),
            (Metrics::PUBLISHERS, "publishers", self.publishers),
            (Metrics::SUBSCRIBERS, "subscribers", self.subscribers),
            (Metrics::PRESENCE_CONNECTIONS, "presenceConnections", self.presence_connections),
            (Metrics::PRESENCE_MEMBERS, "presenceMembers", self.presence_members),
            (Metrics::PRESENCE_SUBSCRIBERS, "presenceSubscribers", self.presence_subscribers),
        ]
    }

    /// Whether a figure changed to or from zero.
    pub(super) fn crossed_zero(&self, other: &Self) -> bool {
        self.figures().iter().zip(other.figures()).any(|(a, b)| (a.2 == 0) != (b.2 == 0))
    }

    /// The data of an occupancy event.
    pub(in crate::server) fn to_value(self, metrics: Metrics) -> Value {
        let mut figures = Map::new();
        for (metric, name, number) in self.figures() {
            if metrics.contains(metric) {
                figures.insert(name, Value::Int(number.into()));
            }
        }
        let mut map = Map::new();
        map.insert("metrics", Value::Object(figures));
        Value::Object(map)
    }
}
