//! Work beyond the budget of a call: removals of more members than one call may remove.
//!
//! The rest is due at once. The answer is sent when the last member has left. Until then, later
//! frames of the connection wait in order.

use super::connections::{AttachmentSlot, Work};
use super::record::{Kick, Record};
use super::state::{ConnectionSlot, Removal};
use super::{LeaveCause, Outbox, Server};
use crate::SmolStr;
use crate::wire::{ErrorInfo, ProtocolMessage, codes};

/// Work that is continued in the next call.
#[derive(Clone, Debug)]
pub(super) enum Unfinished {
    /// The [`Work`] of a connection.
    Connection(ConnectionSlot),
    /// A removal by the host.
    Kick(Removal),
}

impl Server {
    /// Whether frames of the connection must wait.
    pub(super) fn is_busy(&self, slot: ConnectionSlot) -> bool {
        self.connections.get(slot).work().is_some()
    }

    /// Queues a frame behind unfinished work. At the limit of `waiting_frames` the connection is
    /// disconnected (42920).
    pub(super) fn enqueue(
        &mut self,
        slot: ConnectionSlot,
        frame: ProtocolMessage,
        out: &mut Outbox,
    ) {
        let limit = self.options.limits.waiting_frames;
        let work = self.work(slot);
        if work.is_ending() {
            return;
        }
        if work.frames.len() < limit {
            work.frames.push_back(frame);
            return;
        }
        self.counters.limited += 1;
        let message = "Too many frames while an earlier one is not finished";
        self.disconnect(
            slot,
            ErrorInfo::new(codes::RATE_LIMIT_EXCEEDED_CONNECTION_FATAL, 429, message),
            out,
        );
    }

    /// Queues a frame that exceeded the budget, to be processed again before all others.
    /// Without a transport it is dropped: what the frame caused has closed the transport, the client
    /// never sees an answer, and sends it again.
    pub(super) fn postpone(&mut self, slot: ConnectionSlot, frame: ProtocolMessage) {
        if self.connections.try_get(slot).is_none_or(|connection| connection.transport().is_none())
        {
            return;
        }
        let work = self.work(slot);
        work.frames.push_front(frame);
        work.stalled = true;
    }

    /// Ends the connection later, once its members are removed.
    pub(super) fn postpone_end(&mut self, slot: ConnectionSlot, cause: LeaveCause) {
        self.work(slot).ending = Some(cause);
    }

    /// Removes the members of inactive attachments later, before any frame is processed; with
    /// `forget` the attachments too.
    pub(super) fn postpone_expiry(&mut self, slot: ConnectionSlot, forget: bool) {
        self.work(slot).grace_ended = Some(forget);
    }

    /// Applies a changed capability to the attachments of a connection, now or later.
    pub(super) fn capability_changed(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        if self.is_busy(slot) || !self.reapply_capability(slot, out) {
            self.work(slot).reapply_capability = true;
        }
    }

    /// Removes the members of an attachment. Returns whether it is complete; if not, the rest is
    /// removed later.
    pub(super) fn remove_or_postpone(
        &mut self,
        attachment: AttachmentSlot,
        cause: LeaveCause,
        out: &mut Outbox,
    ) -> bool {
        let done = self.remove_all(attachment, cause, out);
        if !done {
            let slot = self.connections.attachment(attachment).connection();
            self.work(slot).removing = Some((attachment, cause));
        }
        done
    }

    pub(super) fn cancel_work_of(&mut self, slot: ConnectionSlot, attachment: AttachmentSlot) {
        if self.is_busy(slot) {
            self.work(slot).removing.take_if(|(removing, _)| *removing == attachment);
        }
    }

    /// The unfinished work of a connection. New work is queued.
    pub(super) fn work(&mut self, slot: ConnectionSlot) -> &mut Work {
        let work = self.connections.get_mut(slot).work_mut();
        if work.is_none() {
            self.unfinished.push_back(Unfinished::Connection(slot));
        }
        work.get_or_insert_default()
    }

    /// The work of a connection waits for a record.
    pub(super) fn await_log(&mut self, slot: ConnectionSlot) {
        let work = self.connections.get_mut(slot).work_mut().get_or_insert_default();
        work.awaited = work.awaited.saturating_add(1);
    }

    /// The log has confirmed a record that the work of a connection waits for.
    pub(super) fn log_confirms(&mut self, slot: ConnectionSlot) {
        if let Some(work) = self.connections.get_mut(slot).work_mut()
            && work.awaited > 0
        {
            work.awaited -= 1;
            if work.awaited == 0 {
                self.unfinished.push_back(Unfinished::Connection(slot));
            }
        }
    }

    /// Continues unfinished work within the budget, round-robin.
    pub(super) fn run_unfinished(&mut self, out: &mut Outbox) {
        // The timers may have used up the budget. Each call must make progress.
        self.budget = self.budget.max(1);
        for _ in 0..self.unfinished.len() {
            if self.budget == 0 {
                return;
            }
            let Some(mut unfinished) = self.unfinished.pop_front() else { return };
            let done = match &mut unfinished {
                Unfinished::Connection(slot) => self.run_work(*slot, out),
                Unfinished::Kick(kick) => self.continue_kick(kick, out),
            };
            if !done {
                self.unfinished.push_back(unfinished);
            }
        }
    }

    /// Continues the work of a connection. Returns whether it is complete.
    fn run_work(&mut self, slot: ConnectionSlot, out: &mut Outbox) -> bool {
        loop {
            // A step may have ended the connection.
            if self.connections.try_get(slot).is_none_or(|connection| connection.work().is_none()) {
                return true;
            }
            let is_over = self.budget == 0;
            let work = self.work(slot);
            if work.awaited > 0 {
                // The log brings it back.
                return true;
            }
            if let Some((attachment, cause)) = work.removing {
                if !self.remove_all(attachment, cause, out) {
                    return false;
                }
                self.work(slot).removing = None;
            } else if let Some(forget) = work.grace_ended {
                if !self.remove_inactive(slot, forget, out) {
                    return false;
                }
                self.work(slot).grace_ended = None;
            } else if let Some(cause) = work.ending {
                return self.end(slot, cause, out);
            } else if core::mem::take(&mut work.reapply_capability) {
                if !self.reapply_capability(slot, out) {
                    self.work(slot).reapply_capability = true;
                    return false;
                }
            } else if work.frames.is_empty() {
                *self.connections.get_mut(slot).work_mut() = None;
                return true;
            } else if is_over {
                return false;
            } else if let Some(frame) = work.frames.pop_front() {
                work.stalled = false;
                self.budget -= 1;
                self.process(slot, frame, out);
                let connection = self.connections.try_get(slot);
                if connection.and_then(|c| c.work()).is_some_and(|work| work.stalled) {
                    return false;
                }
            }
        }
    }

    /// Removes matching members of a channel. They may enter again.
    pub(super) fn kick(
        &mut self,
        channel: &str,
        client_id: Option<SmolStr>,
        connection_id: Option<SmolStr>,
        out: &mut Outbox,
    ) {
        if self.has_log() {
            let kick = Kick { channel: channel.into(), client_id, connection_id };
            return self.propose(Record::Kick(kick));
        }
        let kick = self.state.begin_kick(channel, client_id, connection_id);
        if let Some(mut kick) = kick
            && !self.continue_kick(&mut kick, out)
        {
            self.unfinished.push_back(Unfinished::Kick(kick));
        }
    }

    /// Whether members of a channel are being removed by the host. New members must wait, so that
    /// only those present at the time of the input are removed.
    pub(super) fn is_kicking(&self, channel: Option<&str>) -> bool {
        !self.unfinished.is_empty()
            && channel
                .and_then(|name| self.state.by_name(name))
                .is_some_and(|slot| self.state.channel(slot).is_kicking())
    }

    /// Continues a removal by the host. Returns whether it is complete.
    fn continue_kick(&mut self, kick: &mut Removal, out: &mut Outbox) -> bool {
        if !self.remove_members(kick, out) {
            return false;
        }
        self.state.end_kick(kick);
        self.close_channel_if_unused(kick.channel());
        true
    }
}
