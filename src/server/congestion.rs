//! Congested transports: events withheld from them, and how they catch up.

use super::connections::AttachmentSlot;
use super::delivery::Coalesced;
use super::state::ConnectionSlot;
use super::{Outbox, Server};
use crate::TransportId;
use crate::wire::{ErrorInfo, Modes, codes};

impl Server {
    /// The host's send queue is long: removes the connection from the audiences, and pauses its
    /// syncs.
    pub(super) fn congested(&mut self, slot: ConnectionSlot) {
        if !self.connections.set_congested(slot, true) {
            return;
        }
        self.counters.congestions += 1;
        let mut next = self.connections.get(slot).first_attachment();
        while let Some(attachment) = next {
            self.leave_audiences(attachment);
            next = self.connections.attachment(attachment).next();
        }
    }

    /// The host's send queue is short again: resumes syncs, and makes up for missed events.
    /// Presence events are replaced by a sync (RTP18), or delivered one by one if they are smaller.
    /// Missed messages are reported by an ATTACHED without RESUMED (RTL12).
    pub(super) fn writable(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        if !self.connections.set_congested(slot, false) {
            return;
        }
        self.send_deferred_acks(slot, out);
        let Some(transport) = self.connections.get(slot).transport() else { return };
        // At most one page of missed events, for all channels together: unlike syncs, they are sent
        // at once.
        let mut budget = self.options.sync_page_bytes;
        let mut next = self.connections.get(slot).first_attachment();
        while let Some(attachment) = next {
            let entry = self.connections.attachment(attachment);
            next = entry.next();
            if entry.is_active() {
                self.catch_up(attachment, transport, &mut budget, out);
            }
        }
    }

    /// Makes up for the events that an attachment has missed, and adds it to the audiences again.
    fn catch_up(
        &mut self,
        attachment: AttachmentSlot,
        transport: TransportId,
        budget: &mut usize,
        out: &mut Outbox,
    ) {
        let entry = self.connections.attachment(attachment);
        let (channel, granted) = (entry.channel(), entry.granted());
        // Coalesced events were not missed; they are in what follows.
        self.deliver_coalesced(channel, out);
        let state = self.state.channel(channel);
        let subscriber = self.delivery.subscriber(attachment);
        let presence = granted.contains(Modes::PRESENCE_SUBSCRIBE)
            && subscriber.presence_seen() < state.last_presence();
        let messages =
            granted.contains(Modes::SUBSCRIBE) && subscriber.messages_seen() < state.last_message();
        let is_watcher = !subscriber.metrics().is_empty();
        self.delivery.join_audiences(attachment, granted, transport);
        if messages {
            let message = "Messages were missed because the connection was too slow";
            let error = ErrorInfo::new(codes::CHANNEL_CONTINUITY_NOT_GUARANTEED, 400, message);
            self.send_attached(attachment, false, Some(error), out);
            self.start_sync(attachment, false);
        } else if presence && !self.deliver_missed(attachment, transport, budget, out) {
            self.counters.resyncs += 1;
            self.resync(attachment);
        }
        self.delivery.queue_sync(attachment);
        if is_watcher {
            self.deliver_occupancy(channel, &[attachment], out);
        }
    }

    /// Delivers the last missed event of each member, if the set is larger than one sync page and
    /// the missed events are in the history and within `budget`, in bytes. Returns whether it did.
    fn deliver_missed(
        &mut self,
        attachment: AttachmentSlot,
        transport: TransportId,
        budget: &mut usize,
        out: &mut Outbox,
    ) -> bool {
        let slot = self.connections.attachment(attachment).channel();
        let mark = self.delivery.subscriber(attachment).presence_seen();
        let channel = self.state.channel(slot);
        if channel.members().len() <= self.options.sync_page_members || mark == 0 {
            return false;
        }
        let Some(events) = channel.history().events_after(mark, budget) else { return false };
        let mut missed = Coalesced::new(self.keys.random());
        for (message, was_present) in events {
            missed.add(message.clone(), was_present);
        }
        let serial =
            if self.has_log() { self.state.serial_of(slot) } else { channel.last_presence() };
        for frame in self.presence_frames(slot, Some(serial), missed.into_messages()) {
            self.send_to(transport, frame, out);
        }
        true
    }
}
