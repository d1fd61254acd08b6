//! Removal of members by the server: at the end of a grace period or a connection, on a lost right,
//! or by the host.

use super::connections::AttachmentSlot;
use super::record::Record;
use super::state::{Batch, ChannelSlot, ConnectionSlot, Removal, Removed};
use super::{LeaveCause, Outbox, Server};
use crate::wire::PresenceAction;

impl Server {
    /// Ends the grace period of a connection: removes the members on channels that its current
    /// transport, if any, has not attached. Returns whether it is complete.
    pub(super) fn end_grace(&mut self, slot: ConnectionSlot, out: &mut Outbox) -> bool {
        // The timer may have used up the budget. Each call must make progress.
        self.budget = self.budget.max(1);
        let present = self.connections.get(slot).transport().is_some();
        if !self.remove_inactive(slot, present, out) {
            if !self.has_log() {
                return false;
            }
            // The log decides when they leave.
            self.postpone_expiry(slot, present);
        }
        self.connections.get_mut(slot).end_grace();
        true
    }

    /// Removes the members of inactive attachments, and with `forget` the attachments too. Returns
    /// whether it is complete.
    pub(super) fn remove_inactive(
        &mut self,
        slot: ConnectionSlot,
        forget: bool,
        out: &mut Outbox,
    ) -> bool {
        if self.has_log() && self.connections.get(slot).transport().is_none() {
            return self.request_grace_over(slot);
        }
        let mut done = true;
        let mut next = self.connections.get(slot).first_attachment();
        while let Some(attachment) = next {
            let entry = self.connections.attachment(attachment);
            next = entry.next();
            if entry.is_active() {
                continue;
            }
            if !self.remove_all(attachment, LeaveCause::GraceEnded, out) {
                if !self.has_log() {
                    return false;
                }
                done = false;
                continue;
            }
            if forget {
                self.remove_attachment(attachment, out);
            }
        }
        done
    }

    /// Removes the members of an attachment within the budget, or proposes it. Returns whether it is
    /// complete.
    pub(super) fn remove_all(
        &mut self,
        attachment: AttachmentSlot,
        cause: LeaveCause,
        out: &mut Outbox,
    ) -> bool {
        if self.has_log() {
            return self.request_dismissal(attachment, cause);
        }
        let entry = self.connections.attachment(attachment);
        let mut removal = Removal::of_connection(entry.connection(), entry.channel(), cause);
        self.remove_members(&mut removal, out)
    }

    /// Proposes that the members of an attachment leave. Returns whether there are none, and will be
    /// none.
    fn request_dismissal(&mut self, attachment: AttachmentSlot, cause: LeaveCause) -> bool {
        let entry = self.connections.attachment(attachment);
        let (slot, channel) = (entry.connection(), entry.channel());
        let none = self.state.first_member(slot, channel).is_none();
        if none && self.connections.get(slot).frames_in_log() == 0 {
            return true;
        }
        let connection = self.state.connection(slot).id().clone();
        let channel = self.state.channel(channel).name().clone();
        self.propose_work(slot, Record::Dismiss { connection, channel, cause });
        false
    }

    /// Proposes that all members of a lost connection leave. Returns whether there are none, and will
    /// be none.
    fn request_grace_over(&mut self, slot: ConnectionSlot) -> bool {
        let state = self.state.connection(slot);
        if !state.has_members() && self.connections.get(slot).frames_in_log() == 0 {
            return true;
        }
        let connection = state.id().clone();
        self.propose_work(slot, Record::GraceOver { connection });
        false
    }

    /// Removes members within the budget. Their leaves are delivered at the end of the step.
    /// Returns whether it is complete.
    pub(super) fn remove_members(&mut self, removal: &mut Removal, out: &mut Outbox) -> bool {
        let channel = removal.channel();
        let notify_owners = owner_may_be_attached(removal.cause());
        let per_frame = self.options.items_per_broadcast.max(1);
        let mut removed = 0;
        let done = loop {
            if self.budget == 0 {
                break self.state.is_done(removal);
            }
            let Some(Removed { change, owner, waiting, may_have_more }) =
                self.state.remove_next(self.at, removal)
            else {
                if !self.state.is_done(removal) {
                    self.broken("a member has an owner");
                }
                break true;
            };
            self.budget -= 1;
            removed += 1;
            if notify_owners {
                self.notify_owner(owner, channel, change.position.serial, out);
            }
            self.handle_change(channel, owner, &change, None, out);
            if waiting == 1 {
                self.delivery.add_batch(channel);
            }
            if waiting >= per_frame {
                self.deliver_batch(channel, out);
            }
            if !may_have_more {
                break true;
            }
        };
        if removed > 0 {
            let by_grace = removal.cause() == LeaveCause::GraceEnded;
            self.counters.grace_leaves += if by_grace { removed } else { 0 };
            self.occupancy_changed(channel, out);
        }
        done
    }

    /// Sends the last batched leave of a channel to the connection of the member, whatever its
    /// modes (RTP17a).
    fn notify_owner(
        &mut self,
        owner: ConnectionSlot,
        channel: ChannelSlot,
        serial: u64,
        out: &mut Outbox,
    ) {
        let Some(attachment) = self.connections.pair(owner, channel) else {
            return self.check_is_elsewhere(owner);
        };
        if self.connections.attachment(attachment).is_active()
            && self.is_notified_directly(attachment, PresenceAction::Leave)
        {
            match self.state.channel(channel).batch().and_then(Batch::last) {
                Some(leave) => {
                    self.notify_directly(owner, channel, serial, alloc::vec![leave], out);
                }
                None => self.broken("a removal has a leave"),
            }
        }
    }
}

/// Whether a connection can still be attached after a removal for this cause.
const fn owner_may_be_attached(cause: LeaveCause) -> bool {
    matches!(cause, LeaveCause::Kicked | LeaveCause::RightLost)
}
