//! Occupancy of a channel: its events, and what the nodes tell each other.
//!
//! Each node counts its own attachments, and proposes them to the log as a row.

use super::connections::AttachmentSlot;
use super::record::{Counts, Origin, Record};
use super::state::{ChannelSlot, ConnectionSlot};
use super::{Occupancy, Outbox, Recipients, Server};
use crate::wire::{Action, Data, Message, Modes, ProtocolMessage};
use crate::{SmolStr, TransportId};
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Server {
    pub(super) fn occupancy_of(&self, channel: ChannelSlot) -> Occupancy {
        let members = self.state.channel(channel).members().len();
        let mut occupancy = self.delivery.feed(channel).occupancy(members);
        if let Some(replication) = &self.replication {
            let others = self.state.rows_of_others(channel, replication.incarnation());
            others.for_each(|row| occupancy.add(row));
        }
        occupancy
    }

    /// The active attachments of a channel on this node, or their modes, have changed.
    pub(super) fn attachments_changed(&mut self, channel: ChannelSlot, out: &mut Outbox) {
        if self.has_log() {
            self.row_changed(channel);
        }
        self.occupancy_changed(channel, out);
    }

    /// Queues the row of a channel if the others have to be told, or arms the channel's timer if
    /// they were told too recently. A node that has not joined tells all its rows when it has.
    fn row_changed(&mut self, channel: ChannelSlot) {
        let interval = self.options.occupancy_interval;
        let run = self.replication.as_ref().and_then(|replication| replication.incarnation());
        let Some(run) = run else { return };
        if self.delivery.feed_mut(channel).row_is_due(run, interval, self.now.mono) {
            self.delivery.queue_row(channel);
        } else {
            self.arm_channel(channel);
        }
    }

    /// The node has joined anew: tells the others about the attachments of a connection.
    pub(super) fn rows_changed(&mut self, connection: ConnectionSlot) {
        let mut next = self.connections.get(connection).first_attachment();
        while let Some(attachment) = next {
            let entry = self.connections.attachment(attachment);
            next = entry.next();
            self.budget = self.budget.saturating_sub(1);
            self.row_changed(entry.channel());
        }
    }

    /// Proposes the rows that are queued, within the budget.
    pub(super) fn propose_rows(&mut self) {
        while self.budget > 0
            && let Some(replication) = self.replication.as_ref().filter(|r| r.may_append())
            && let Some(run) = replication.incarnation()
            && let Some(channel) = self.delivery.next_row()
        {
            self.budget -= 1;
            if let Some(row) = self.delivery.feed_mut(channel).take_row(run, self.now.mono) {
                let channel = self.state.channel(channel).name().clone();
                self.propose(Record::Counts(Counts { channel, row }));
            }
            self.close_channel_if_unused(channel);
        }
    }

    /// A row of this node is certainly not in the log. Without the channel the others have none.
    pub(super) fn row_refused(&mut self, channel: &str) {
        if let Some(channel) = self.state.by_name(channel) {
            self.delivery.feed_mut(channel).row_refused();
            self.delivery.queue_row(channel);
        }
    }

    /// Applies the row of a node. Its own attachments a node counts itself.
    pub(super) fn apply_counts(&mut self, counts: &Counts, origin: Origin, out: &mut Outbox) {
        let Counts { channel, row } = counts;
        if row.is_zero() && self.state.by_name(channel).is_none() {
            return;
        }
        let Some(channel) = self.channel_for(channel) else { return };
        self.state.set_row(channel, origin.incarnation, *row);
        if !self.is_own(origin) {
            self.occupancy_changed(channel, out);
        }
        self.close_channel_if_unused(channel);
    }

    /// Removes the rows of fenced runs, within the budget. Returns whether it is complete.
    pub(super) fn remove_fenced_rows(&mut self, out: &mut Outbox) -> bool {
        while let Some((channel, run)) = self.state.next_fenced_row() {
            if self.budget == 0 {
                return false;
            }
            self.budget -= 1;
            self.state.remove_row(channel, run);
            self.occupancy_changed(channel, out);
            self.close_channel_if_unused(channel);
        }
        self.state.forget_unused_incarnations();
        true
    }

    /// Sends an occupancy event to the watchers of a channel, or arms the channel's timer if the
    /// last one was too recent.
    #[inline]
    pub(super) fn occupancy_changed(&mut self, channel: ChannelSlot, out: &mut Outbox) {
        if !self.delivery.feed(channel).watchers().is_empty() {
            self.watched_occupancy_changed(channel, out);
        }
    }

    #[inline(never)]
    fn watched_occupancy_changed(&mut self, channel: ChannelSlot, out: &mut Outbox) {
        let occupancy = self.occupancy_of(channel);
        let interval = self.options.occupancy_interval;
        let feed = self.delivery.feed_mut(channel);
        if feed.occupancy_is_due(occupancy, interval, self.now.mono) {
            self.deliver_occupancy_to_all(channel, out);
        } else {
            self.arm_channel(channel);
        }
    }

    /// The interval is over: sends the current occupancy, if it has changed.
    pub(super) fn occupancy_due(&mut self, channel: ChannelSlot, out: &mut Outbox) {
        if self.occupancy_of(channel) != self.delivery.feed(channel).last_occupancy() {
            self.deliver_occupancy_to_all(channel, out);
        }
    }

    fn deliver_occupancy_to_all(&mut self, channel: ChannelSlot, out: &mut Outbox) {
        let occupancy = self.occupancy_of(channel);
        let feed = self.delivery.feed_mut(channel);
        feed.set_last_occupancy(occupancy, self.now.mono);
        let watchers = feed.watchers().to_vec();
        self.deliver_occupancy(channel, &watchers, out);
    }

    /// Sends an occupancy event. Watchers need the mode SUBSCRIBE. A congested watcher is skipped;
    /// it receives the event when it is writable again.
    pub(super) fn deliver_occupancy(
        &mut self,
        channel: ChannelSlot,
        watchers: &[AttachmentSlot],
        out: &mut Outbox,
    ) {
        let wall = self.now.wall;
        let occupancy = self.occupancy_of(channel);
        let mut groups: Vec<(_, Vec<TransportId>)> = Vec::new();
        for &watcher in watchers {
            let attachment = self.connections.attachment(watcher);
            let connection = self.connections.get(attachment.connection());
            let receives =
                attachment.is_active() && attachment.granted().contains(Modes::SUBSCRIBE);
            let (Some(transport), false, true) =
                (connection.transport(), connection.is_congested(), receives)
            else {
                continue;
            };
            let requested = self.delivery.subscriber(watcher).metrics();
            match groups.iter_mut().find(|(metrics, _)| *metrics == requested) {
                Some((_, transports)) => transports.push(transport),
                None => groups.push((requested, alloc::vec![transport])),
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
                channel: Some(self.state.channel(channel).name().clone()),
                timestamp: Some(wall),
                messages: alloc::vec![message],
                ..ProtocolMessage::new(Action::Message)
            };
            let to = Recipients::new(Arc::new(transports), None, None);
            self.broadcast(to, frame, out);
        }
    }
}
