//! Members are removed without a frame of their client: when their grace ends, when their connection
//! ends or loses a right, when the host says so.

use super::connections::AttachmentSlot;
use super::state::{Change, ChannelSlot, ConnectionSlot, Removal};
use super::{LeaveCause, Outbox, Server};
use crate::wire::{PresenceAction, inherited_id};

impl Server {
    /// The grace of a connection is over: members leave the channels that its present transport,
    /// if it has one, has not attached. Tells whether all of them have left.
    pub(super) fn end_grace(&mut self, slot: ConnectionSlot, out: &mut Outbox) -> bool {
        // The timer itself may have used the budget up; the call still has to get on.
        self.budget = self.budget.max(1);
        let present = self.connections.get(slot).transport().is_some();
        if !self.leave_unattached(slot, present, out) {
            return false;
        }
        self.connections.get_mut(slot).end_grace();
        true
    }

    /// Members leave the channels that the present transport has not attached; those are
    /// forgotten if `forget` says so. Tells whether all of them have left.
    pub(super) fn leave_unattached(
        &mut self,
        slot: ConnectionSlot,
        forget: bool,
        out: &mut Outbox,
    ) -> bool {
        let mut next = self.connections.get(slot).first_attachment();
        while let Some(attachment) = next {
            let entry = self.connections.attachment(attachment);
            next = entry.next();
            if entry.is_active() {
                continue;
            }
            if !self.leave_all(attachment, LeaveCause::GraceEnded, out) {
                return false;
            }
            if forget {
                self.drop_attachment(attachment, out);
            }
        }
        true
    }

    /// Removes the members of an attachment, as far as the budget goes. Tells whether all are gone.
    pub(super) fn leave_all(
        &mut self,
        attachment: AttachmentSlot,
        cause: LeaveCause,
        out: &mut Outbox,
    ) -> bool {
        let entry = self.connections.attachment(attachment);
        let mut removal = Removal::of(entry.connection(), entry.channel(), cause);
        self.remove_members(&mut removal, out)
    }

    /// Removes members as far as the budget goes. Tells whether all are gone.
    pub(super) fn remove_members(&mut self, removal: &mut Removal, out: &mut Outbox) -> bool {
        let channel = removal.channel();
        let mut changed = false;
        let done = loop {
            if self.budget == 0 {
                break self.state.is_done(removal);
            }
            let Some(change) = self.state.remove_next(self.now, removal) else { break true };
            self.budget -= 1;
            changed = true;
            self.member_removed(channel, change, removal.cause(), out);
        };
        if changed {
            self.occupancy_changed(channel, out);
        }
        done
    }

    /// What follows when a member has been removed. Its leave waits for the end of the step.
    fn member_removed(
        &mut self,
        channel: ChannelSlot,
        mut change: Change,
        cause: LeaveCause,
        out: &mut Outbox,
    ) {
        self.counters.grace_leaves += u64::from(cause == LeaveCause::GraceEnded);
        // Most leaves go out in their frame and nowhere else, and their ids follow from its own.
        let listens = owner_may_listen(cause);
        if change.message.id.is_none()
            && (self.config.events || listens || self.delivery.feed(channel).coalesces())
        {
            let frame = self.state.channel(channel).batch_id();
            change.message.id = Some(inherited_id(frame, change.position.index as usize));
        }
        let connection = change.connection;
        if listens
            && let Some(attachment) = self.connections.pair(connection, channel)
            && self.connections.attachment(attachment).is_active()
            && self.is_notified_directly(attachment, PresenceAction::Leave)
        {
            // RTP17a: a connection hears of its own members though it has no mode for it.
            let leave = alloc::vec![change.message.clone()];
            self.notify_directly(connection, channel, change.position.serial, leave, out);
        }
        self.follow(channel, &change, out);
        let per_frame = self.config.items_per_broadcast.max(1);
        let room = per_frame.min(self.state.channel(channel).members().len() + 1);
        if self.delivery.add_leave(channel, change.message, room) >= per_frame {
            self.deliver_batch(channel, out);
        }
    }
}

/// Whether a connection that has just lost a member for this cause may still be there to hear of it.
const fn owner_may_listen(cause: LeaveCause) -> bool {
    matches!(cause, LeaveCause::Kicked | LeaveCause::RightLost)
}
