//! One that reads too slowly: what is kept from it, and how it is made good.

use super::coalesce::Pending;
use super::{Outbox, Server};
use crate::TransportId;
use crate::members::Slot;
use crate::wire::{ErrorInfo, Modes};

impl Server {
    /// The host's queue for a transport is long: broadcasts leave it out from now on, and syncs
    /// wait.
    pub(super) fn congested(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if core::mem::replace(&mut connection.congested, true) {
            return;
        }
        self.counters.congested += 1;
        self.counters.congestions += 1;
        let mut next = connection.first;
        while let Some(attachment) = next {
            self.channels.part(attachment);
            next = self.channels.attachment(attachment).and_then(|entry| entry.next);
        }
    }

    /// The host's queue is short again: syncs go on, and what was left out is made good. Presence
    /// events that were missed are told by a sync (RTP18), or one by one if those are fewer;
    /// messages that were missed by an ATTACHED that says so (RTL12).
    pub(super) fn writable(&mut self, slot: Slot, out: &mut Outbox) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if !core::mem::replace(&mut connection.congested, false) {
            return;
        }
        self.counters.congested = self.counters.congested.saturating_sub(1);
        if let Some(more) = &mut connection.more {
            more.replies = 0;
        }
        self.send_held_acks(slot, out);
        let Some(connection) = self.connections.get(slot) else { return };
        let Some(transport) = connection.transport else { return };
        // Of events no more than of a page, in all channels together: they are not told in turns.
        let mut room = self.config.sync_page_bytes;
        let mut next = connection.first;
        while let Some(attachment) = next {
            let Some(entry) = self.channels.attachment(attachment) else { break };
            next = entry.next;
            if entry.live {
                self.make_good(attachment, transport, &mut room, out);
            }
        }
    }

    /// Makes good what one attachment has missed, and puts it back into the audiences.
    fn make_good(
        &mut self,
        attachment: Slot,
        transport: TransportId,
        room: &mut usize,
        out: &mut Outbox,
    ) {
        let Some(entry) = self.channels.attachment(attachment) else { return };
        let channel = entry.channel;
        // What is gathered was not missed, but is told below or by a sync that follows.
        self.tell_pending(channel, out);
        let (Some(entry), Some(state)) =
            (self.channels.attachment(attachment), self.channels.get(channel))
        else {
            return;
        };
        let presence = entry.granted.contains(Modes::PRESENCE_SUBSCRIBE)
            && entry.presence_mark < state.last_presence;
        let messages =
            entry.granted.contains(Modes::SUBSCRIBE) && entry.message_mark < state.last_message;
        let watches = !entry.metrics.is_empty();
        self.channels.join(attachment, transport);
        if messages {
            let message = "Messages were missed because the connection was too slow";
            let error = ErrorInfo::new(90003, 400, message);
            self.send_attached(attachment, false, Some(error), out);
            self.begin_sync(attachment);
        } else if presence && !self.tell_missed(attachment, transport, room, out) {
            self.counters.resyncs += 1;
            self.sync_again(attachment);
        }
        self.go_on_with_sync(attachment);
        if watches {
            self.tell_occupancy(channel, Some(attachment), out);
        }
    }

    /// Tells the last event of each member whose events an attachment has missed, if that is less
    /// than a sync: of a set that is more than a page, events that are no more than `room`, bytes of
    /// a page. Tells whether it did.
    fn tell_missed(
        &mut self,
        attachment: Slot,
        transport: TransportId,
        room: &mut usize,
        out: &mut Outbox,
    ) -> bool {
        let Some(entry) = self.channels.attachment(attachment) else { return false };
        let (slot, mark) = (entry.channel, entry.presence_mark);
        let Some(channel) = self.channels.get(slot) else { return false };
        if channel.members.len() <= self.config.sync_page_members || mark == 0 {
            return false;
        }
        let Some(events) = channel.history.since(mark, room) else { return false };
        let mut missed = Pending::new(self.keys.random());
        for (message, known) in events {
            missed.add(message.clone(), known);
        }
        let serial = channel.last_presence;
        for frame in self.presence_frames(slot, Some(serial), missed.into_messages()) {
            self.send_to(transport, frame, out);
        }
        true
    }
}
