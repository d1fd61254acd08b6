//! A log that does not go on from what was applied: the node starts over, and keeps its transports.
//!
//! Clients are not told of members that are gone from the log until their clients have had time to
//! enter again: then they are synced.

use super::connections::AttachmentSlot;
use super::state::ConnectionSlot;
use super::{Outbox, Server};
use crate::slab::Key;
use crate::wire::Modes;

impl Server {
    pub(super) fn log_reset(&mut self, out: &mut Outbox) {
        let now = self.now.mono;
        let Some(replication) = &mut self.replication else { return };
        replication.set_available(false, now);
        replication.start_over();
        let mut next = 0;
        while let Some((slot, _)) = self.connections.next_from(next) {
            next = slot.number().saturating_add(1);
            self.prepare_reset(slot, out);
        }
        for channel in self.state.reset(|slot| self.connections.try_get(slot).is_some()) {
            self.close_channel_if_unused(channel);
        }
    }

    /// Whether what follows from the log is not known: the log was reset, and the node has not joined
    /// again. Frames of clients wait.
    #[inline]
    pub(super) fn is_starting_over(&self) -> bool {
        self.replication.as_ref().is_some_and(|replication| replication.is_starting_over)
    }

    /// Marks where the members of a connection may be lost, and lets its attachments be synced when
    /// there was time to enter again.
    fn prepare_reset(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        self.mark_lost_members(slot);
        let sync_at = self.now.mono + self.options.remain_present_for;
        let connection = self.connections.get_mut(slot);
        if connection.announced() != 0 {
            connection.set_announced(u64::MAX);
        }
        let mut next = self.connections.get(slot).first_attachment();
        while let Some(attachment) = next {
            let entry = self.connections.attachment(attachment);
            next = entry.next();
            let channel = entry.channel();
            self.deliver_coalesced(channel, out);
            self.delivery.stop_sync(attachment);
            if self.receives_syncs(attachment) {
                self.delivery.subscriber_mut(attachment).set_sync_deferred(true);
                self.connections.get_mut(slot).defer_syncs_until(sync_at);
            }
        }
        self.arm(slot);
    }

    fn receives_syncs(&self, attachment: AttachmentSlot) -> bool {
        let entry = self.connections.attachment(attachment);
        entry.is_active() && entry.granted().contains(Modes::PRESENCE_SUBSCRIBE)
    }
}
