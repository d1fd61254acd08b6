//! Requests that take out more members than one call may: what is left of them is due at once.
//!
//! A client sees no difference but the time: the answer goes out when the last member has left, and
//! the frames that follow wait for it, in order.

use super::{LeaveCause, Outbox, Server};
use crate::SmolStr;
use crate::members::Slot;
use crate::wire::{Action, ErrorInfo, ProtocolMessage};
use alloc::collections::VecDeque;

/// What is unfinished.
#[derive(Clone, Debug)]
pub(super) enum Unfinished {
    /// The work of a connection.
    Connection(Slot),
    /// The host takes members out.
    Kick(Kick),
}

/// What a connection has to finish, in this order.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    /// The attachment whose members are on their way out, and why. They go on leaving though the
    /// transport is lost.
    leaving: Option<(Slot, LeaveCause)>,
    /// The connection came back after its grace: members leave that the transport did not attach.
    expired: bool,
    /// The connection has ended, but for its members.
    ending: Option<LeaveCause>,
    /// Its rights have changed.
    regrant: bool,
    /// Frames that wait. The first may have been begun; it is carried out again.
    frames: VecDeque<ProtocolMessage>,
    /// Whether the first frame still cannot be finished.
    stalled: bool,
}

impl Work {
    pub(super) const fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// The frames that wait are lost with their transport: the client has no answer, and sends again
    /// what it still wants (RTN19). It may have closed the connection and gone, though.
    pub(super) fn transport_lost(&mut self) {
        let closes = self.frames.drain(..).any(|frame| frame.action == Action::Close);
        if closes {
            self.ending.get_or_insert(LeaveCause::Closed);
        }
    }

    /// An attachment is no more.
    pub(super) fn forget(&mut self, attachment: Slot) {
        self.leaving.take_if(|(leaving, _)| *leaving == attachment);
    }
}

/// Members that the host takes out.
#[derive(Clone, Debug)]
pub(super) struct Kick {
    channel: Slot,
    client_id: Option<SmolStr>,
    connection_id: Option<SmolStr>,
    /// The slot to go on from.
    from: u32,
}

impl Server {
    /// Whether frames of a connection have to wait.
    pub(super) fn is_busy(&self, slot: Slot) -> bool {
        let more = self.connections.get(slot).and_then(|connection| connection.more.as_ref());
        more.is_some_and(|more| more.work.is_some())
    }

    /// Lets a frame wait behind what is unfinished.
    pub(super) fn hold(&mut self, slot: Slot, frame: ProtocolMessage, out: &mut Outbox) {
        let limit = self.config.limits.waiting_frames;
        let Some(work) = self.work(slot) else { return };
        if work.is_ending() {
            return;
        }
        if work.frames.len() < limit {
            work.frames.push_back(frame);
            return;
        }
        self.counters.limited += 1;
        let message = "Too many frames while an earlier one is not finished";
        self.disconnect(slot, ErrorInfo::new(42920, 429, message), out);
    }

    /// A frame cannot be finished in this call. It is carried out again.
    pub(super) fn put_off(&mut self, slot: Slot, frame: ProtocolMessage) {
        if let Some(work) = self.work(slot) {
            work.frames.push_front(frame);
            work.stalled = true;
        }
    }

    /// The rest of a connection that has ended follows.
    pub(super) fn end_later(&mut self, slot: Slot, cause: LeaveCause) {
        if let Some(work) = self.work(slot) {
            work.ending = Some(cause);
        }
    }

    /// The members of a connection whose grace is over leave before anything else happens to it.
    pub(super) fn expire_later(&mut self, slot: Slot) {
        if let Some(work) = self.work(slot) {
            work.expired = true;
        }
    }

    /// Applies new rights of a connection to its channels.
    pub(super) fn rights_changed(&mut self, slot: Slot, out: &mut Outbox) {
        if (self.is_busy(slot) || !self.regrant(slot, out))
            && let Some(work) = self.work(slot)
        {
            work.regrant = true;
        }
    }

    /// Takes the members of an attachment out. Tells whether all have left; if not, the rest
    /// follows.
    pub(super) fn dismiss_all(
        &mut self,
        attachment: Slot,
        cause: LeaveCause,
        out: &mut Outbox,
    ) -> bool {
        let done = self.leave_all(attachment, cause, out);
        if !done
            && let Some(slot) = self.channels.attachment(attachment).map(|entry| entry.connection)
            && let Some(work) = self.work(slot)
        {
            work.leaving = Some((attachment, cause));
        }
        done
    }

    /// The work of a connection. One that had none gets its turn.
    fn work(&mut self, slot: Slot) -> Option<&mut Work> {
        let connection = self.connections.get_mut(slot)?;
        let work = &mut connection.more.get_or_insert_default().work;
        if work.is_none() {
            self.unfinished.push_back(Unfinished::Connection(slot));
        }
        Some(work.get_or_insert_default())
    }

    /// Goes on with what is unfinished, each in turn, as far as the budget goes.
    pub(super) fn go_on(&mut self, out: &mut Outbox) {
        // Timers may have used the budget up; this has to get on all the same.
        self.budget = self.budget.max(1);
        for _ in 0..self.unfinished.len() {
            if self.budget == 0 {
                return;
            }
            let Some(mut unfinished) = self.unfinished.pop_front() else { return };
            let done = match &mut unfinished {
                Unfinished::Connection(slot) => self.work_off(*slot, out),
                Unfinished::Kick(kick) => self.kick_some(kick, out),
            };
            if !done {
                self.unfinished.push_back(unfinished);
            }
        }
    }

    /// Goes on with the work of a connection. Tells whether nothing is left.
    fn work_off(&mut self, slot: Slot, out: &mut Outbox) -> bool {
        loop {
            let Some(connection) = self.connections.get_mut(slot) else { return true };
            let Some(more) = &mut connection.more else { return true };
            let Some(work) = &mut more.work else { return true };
            if let Some((attachment, cause)) = work.leaving {
                if !self.leave_all(attachment, cause, out) {
                    return false;
                }
                if let Some(work) = self.work(slot) {
                    work.leaving = None;
                }
            } else if work.expired {
                if !self.leave_unattached(slot, false, out) {
                    return false;
                }
                if let Some(work) = self.work(slot) {
                    work.expired = false;
                }
            } else if let Some(cause) = work.ending {
                return self.end(slot, cause, out);
            } else if core::mem::take(&mut work.regrant) {
                if !self.regrant(slot, out) {
                    if let Some(work) = self.work(slot) {
                        work.regrant = true;
                    }
                    return false;
                }
            } else if work.frames.is_empty() {
                more.work = None;
                return true;
            } else if self.budget == 0 {
                return false;
            } else if let Some(frame) = work.frames.pop_front() {
                work.stalled = false;
                self.budget -= 1;
                self.carry_out(slot, frame, out);
                if self.work(slot).is_some_and(|work| work.stalled) {
                    return false;
                }
            }
        }
    }

    /// Takes out the members that the host named. They may enter again.
    pub(super) fn kick(
        &mut self,
        channel: &str,
        client_id: Option<SmolStr>,
        connection_id: Option<SmolStr>,
        out: &mut Outbox,
    ) {
        let Some(channel) = self.channels.by_name(channel) else { return };
        let mut kick = Kick { channel, client_id, connection_id, from: 0 };
        if let Some(entry) = self.channels.get_mut(channel) {
            entry.kicks += 1;
        }
        if !self.kick_some(&mut kick, out) {
            self.unfinished.push_back(Unfinished::Kick(kick));
        }
    }

    /// Whether members of a channel are being taken out, so that whoever wants to enter has to wait:
    /// nobody who comes after the host has spoken is taken out.
    pub(super) fn is_kicking(&self, channel: Option<&str>) -> bool {
        !self.unfinished.is_empty()
            && channel
                .and_then(|name| self.channels.by_name(name))
                .and_then(|slot| self.channels.get(slot))
                .is_some_and(|channel| channel.kicks > 0)
    }

    /// Goes on with a kick. Tells whether all have left.
    fn kick_some(&mut self, kick: &mut Kick, out: &mut Outbox) -> bool {
        while let Some((member, owner)) = self.next_to_kick(kick) {
            if self.budget == 0 {
                return false;
            }
            self.budget -= 1;
            self.remove_member(owner, kick.channel, member, LeaveCause::Kicked, out);
        }
        if let Some(entry) = self.channels.get_mut(kick.channel) {
            entry.kicks = entry.kicks.saturating_sub(1);
        }
        self.drop_channel_if_unused(kick.channel);
        true
    }

    /// The next member of a kick, and the connection that it belongs to.
    fn next_to_kick(&self, kick: &mut Kick) -> Option<(Slot, Option<Slot>)> {
        let entry = self.channels.get(kick.channel)?;
        let member = match (&kick.client_id, &kick.connection_id) {
            (Some(client_id), Some(connection_id)) => {
                entry.members.find(client_id, connection_id)?
            }
            (Some(client_id), None) => entry.members.first_of(client_id)?,
            (None, Some(connection_id)) => {
                let connection = self.connections.by_id(connection_id)?;
                let attachment = self.channels.pair(connection, kick.channel)?;
                self.channels.attachment(attachment)?.first_member?
            }
            (None, None) => entry.members.next_from(kick.from)?.0,
        };
        kick.from = member.number();
        let owner = entry.owner(member).map(|owner| owner.attachment);
        let owner = owner.and_then(|attachment| self.channels.attachment(attachment));
        Some((member, owner.map(|attachment| attachment.connection)))
    }
}
