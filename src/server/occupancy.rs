//! Occupancy events of a channel.

use super::connections::AttachmentSlot;
use super::state::ChannelSlot;
use super::{Occupancy, Outbox, Recipients, Server};
use crate::wire::{Action, Data, Message, Modes, ProtocolMessage};
use crate::{SmolStr, TransportId};
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Server {
    pub(super) fn occupancy_of(&self, channel: ChannelSlot) -> Occupancy {
        let members = self.state.channel(channel).members().len();
        self.delivery.feed(channel).occupancy(members)
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
