//! How many use a channel, and telling those who ask for it.

use super::{Outbox, Recipients, Server};
use crate::members::Slot;
use crate::wire::{Action, Data, Map, Message, Modes, ProtocolMessage, Value};
use crate::{Instant, SmolStr, TransportId};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How many of each kind use a channel (CHM2). Attachments count while their connection has a
/// transport.
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
    /// Which figures someone asked for.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Metrics: u8 {
        const CONNECTIONS = 1;
        const PUBLISHERS = 1 << 1;
        const SUBSCRIBERS = 1 << 2;
        const PRESENCE_CONNECTIONS = 1 << 3;
        const PRESENCE_SUBSCRIBERS = 1 << 4;
        const PRESENCE_MEMBERS = 1 << 5;
    }
}

impl Metrics {
    /// What the value of the channel parameter `occupancy` asks for: `metrics`, or `metrics.` and
    /// the name of one figure; several with commas between them.
    pub(super) fn from_param(value: &str) -> Self {
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

/// What was last told of a channel's occupancy, and when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    told: Occupancy,
    at: Option<Instant>,
}

impl Occupancy {
    /// Counts an attachment with these modes in or out.
    pub(super) fn count(&mut self, modes: Modes, comes: bool) {
        let change = |number: &mut u32| {
            *number = if comes { number.saturating_add(1) } else { number.saturating_sub(1) };
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

    /// Whether a figure went to or from zero.
    fn turned(&self, other: &Self) -> bool {
        self.figures().iter().zip(other.figures()).any(|(a, b)| (a.2 == 0) != (b.2 == 0))
    }

    /// The figures as the data of an occupancy event.
    fn to_value(self, metrics: Metrics) -> Value {
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

impl Server {
    /// Tells watchers of a channel's occupancy, if there are any and it is time to, or arms the
    /// channel's timer.
    #[inline]
    pub(super) fn occupancy_changed(&mut self, channel: Slot, out: &mut Outbox) {
        if self.channels.get(channel).is_some_and(|entry| !entry.watchers.is_empty()) {
            self.watched_changed(channel, out);
        }
    }

    fn watched_changed(&mut self, channel: Slot, out: &mut Outbox) {
        let now = self.now.mono;
        let interval = self.config.occupancy_interval;
        let Some(entry) = self.channels.get_mut(channel) else { return };
        let occupancy = entry.occupancy();
        if occupancy == entry.watch.told {
            return;
        }
        let due = entry.watch.at.is_none_or(|at| at + interval <= now);
        if due || occupancy.turned(&entry.watch.told) {
            self.tell_occupancy(channel, None, out);
        } else if entry.occupancy_at.is_none() {
            entry.occupancy_at = entry.watch.at.map(|at| at + interval);
            self.arm_channel(channel);
        }
    }

    /// The time between two occupancy events is over: watchers are told of what has changed.
    pub(super) fn occupancy_due(&mut self, channel: Slot, out: &mut Outbox) {
        let Some(entry) = self.channels.get(channel) else { return };
        if entry.occupancy() != entry.watch.told {
            self.tell_occupancy(channel, None, out);
        }
    }

    /// Tells watchers, or only one of them, of a channel's occupancy. They must be allowed to
    /// receive messages. One that is congested is told once it is not.
    pub(super) fn tell_occupancy(&mut self, channel: Slot, only: Option<Slot>, out: &mut Outbox) {
        let wall = self.now.wall;
        let Some(entry) = self.channels.get_mut(channel) else { return };
        let (name, occupancy) = (entry.name.clone(), entry.occupancy());
        if only.is_none() {
            entry.watch = Watch { told: occupancy, at: Some(self.now.mono) };
        }
        let mut groups: Vec<(Metrics, Vec<TransportId>)> = Vec::new();
        let Some(entry) = self.channels.get(channel) else { return };
        for &watcher in only.as_ref().map_or(entry.watchers.as_slice(), core::slice::from_ref) {
            let Some(attachment) = self.channels.attachment(watcher) else { continue };
            let Some(connection) = self.connections.get(attachment.connection) else { continue };
            let hears = attachment.live && attachment.granted.contains(Modes::SUBSCRIBE);
            let (Some(transport), false, true) =
                (connection.transport, connection.congested, hears)
            else {
                continue;
            };
            match groups.iter_mut().find(|(metrics, _)| *metrics == attachment.metrics) {
                Some((_, transports)) => transports.push(transport),
                None => groups.push((attachment.metrics, alloc::vec![transport])),
            }
        }
        for (metrics, transports) in groups {
            let message = Message {
                name: Some(SmolStr::new_static("[meta]occupancy")),
                data: Some(Data::String(occupancy.to_value(metrics).to_json().into())),
                encoding: Some(SmolStr::new_static("json")),
                timestamp: Some(wall),
                ..Message::default()
            };
            let frame = ProtocolMessage {
                channel: Some(name.clone()),
                timestamp: Some(wall),
                messages: alloc::vec![message],
                ..ProtocolMessage::new(Action::Message)
            };
            let to = Recipients::new(Arc::new(transports), None, None);
            self.broadcast(to, frame, out);
        }
    }
}
