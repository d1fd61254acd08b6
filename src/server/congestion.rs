//! One that reads too slowly: what is kept from it, and how it is made good.

use super::connections::AttachmentSlot;
use super::delivery::Coalesced;
use super::state::ConnectionSlot;
use super::{Outbox, Server};
use crate::TransportId;
use crate::wire::{ErrorInfo, Modes, codes};

impl Server {
    /// The host's queue for a transport is long: broadcasts leave it out from now on, and syncs
    /// wait.
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

    /// The host's queue is short again: syncs go on, and what was left out is made good. Presence
    /// events that were missed are told by a sync (RTP18), or one by one if those are fewer;
    /// messages that were missed by an ATTACHED that says so (RTL12).
    pub(super) fn writable(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        if !self.connections.set_congested(slot, false) {
            return;
        }
        self.send_deferred_acks(slot, out);
        let Some(transport) = self.connections.get(slot).transport() else { return };
        // Of events no more than of a page, in all channels together: they are not told in turns.
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

    /// Makes good what one attachment has missed, and puts it back into the audiences.
    fn catch_up(
        &mut self,
        attachment: AttachmentSlot,
        transport: TransportId,
        budget: &mut usize,
        out: &mut Outbox,
    ) {
        let entry = self.connections.attachment(attachment);
        let (channel, granted) = (entry.channel(), entry.granted());
        // What is coalesced was not missed, but is told below or by a sync that follows.
        self.deliver_coalesced(channel, out);
        let state = self.state.channel(channel);
        let subscriber = self.delivery.subscriber(attachment);
        let presence = granted.contains(Modes::PRESENCE_SUBSCRIBE)
            && subscriber.presence_seen() < state.last_presence();
        let messages =
            granted.contains(Modes::SUBSCRIBE) && subscriber.messages_seen() < state.last_message();
        let watches = !subscriber.metrics().is_empty();
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
        if watches {
            self.deliver_occupancy(channel, &[attachment], out);
        }
    }

    /// Tells the last event of each member whose events an attachment has missed, if that is less
    /// than a sync: of a set that is more than a page, events that are no more than `room`, bytes of
    /// a page. Tells whether it did.
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
        let serial = channel.last_presence();
        for frame in self.presence_frames(slot, Some(serial), missed.into_messages()) {
            self.send_to(transport, frame, out);
        }
        true
    }
}
