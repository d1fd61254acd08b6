//! What happens because time passes: pings, silent peers, expired tokens, grace periods; and how
//! members are taken out.

use super::roster::{Change, Record};
use super::{LeaveCause, Outbox, Output, Server, ServerEvent};
use crate::members::Slot;
use crate::wire::{Action, ErrorInfo, PresenceMessage, ProtocolMessage, inherited_id};
use crate::{SmolStr, UnixMillis};
use smol_str::SmolStrBuilder;

/// Leaves in one frame from which on room is made for as many as there can be.
const BURST: usize = 4;
/// Moves between the levels of a wheel that cost as much as one expiry.
const MOVES: usize = 8;

impl Server {
    /// Fires what is due and goes on with what is unfinished, as far as the budget goes.
    pub(super) fn fire_timers(&mut self, out: &mut Outbox) {
        let now = self.now.mono;
        let mut moves = self.budget.saturating_mul(MOVES);
        while self.budget > 0
            && let Some(number) = self.timers.pop(now, &mut moves)
        {
            self.budget -= 1;
            self.connection_due(Slot::from_number(number), out);
        }
        while self.budget > 0
            && let Some(number) = self.channel_timers.pop(now, &mut moves)
        {
            self.budget -= 1;
            self.channel_due(Slot::from_number(number), out);
        }
        if self.draining.is_some() {
            self.drain_due(out);
        }
        if !self.unfinished.is_empty() {
            self.go_on(out);
        }
        self.tell_gathered(out);
    }

    /// Works off the deadlines of a lost connection that have passed. Tells whether it has ended;
    /// if not, it can be resumed, and members whose grace is over leave before anything that comes
    /// on the new transport is looked at.
    pub(super) fn expire_now(&mut self, slot: Slot, out: &mut Outbox) -> bool {
        let Some(connection) = self.connections.get(slot) else { return true };
        if connection.is_ending() {
            return true;
        }
        if connection.transport.is_some() {
            return false;
        }
        let now = self.now.mono;
        if connection.since + self.config.connection_state_ttl <= now {
            self.end(slot, LeaveCause::GraceEnded, out);
            return true;
        }
        if connection.grace_at.is_some_and(|at| at <= now) && !self.end_grace(slot, out) {
            self.expire_later(slot);
        }
        false
    }

    fn connection_due(&mut self, slot: Slot, out: &mut Outbox) {
        let now = self.now.mono;
        let Some(connection) = self.connections.get(slot) else { return };
        if connection.is_ending() {
            return;
        }
        if connection.grace_at.is_some_and(|at| at <= now) && !self.end_grace(slot, out) {
            // The budget is used up; what is left is due at once.
            self.arm(slot);
            return;
        }
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let Some(transport) = connection.transport else {
            if connection.since + self.config.connection_state_ttl <= now {
                self.end(slot, LeaveCause::GraceEnded, out);
            } else {
                self.arm(slot);
            }
            return;
        };
        if connection.silent_at() <= now {
            self.counters.silent += 1;
            out.push(Output::Close { transport });
            self.lose(transport, out);
            return;
        }
        if let Some(more) = &mut connection.more {
            if more.expires_at.is_some_and(|at| at <= now) {
                self.disconnect(slot, ErrorInfo::new(40142, 401, "The token has expired"), out);
                return;
            }
            if more.reauthorize_at.is_some_and(|at| at <= now) {
                // RTN22: the client gets a new token and sends AUTH.
                more.reauthorize_at = None;
                self.send_to(transport, ProtocolMessage::new(Action::Auth), out);
            }
        }
        self.sync_owed(slot);
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if connection.ping_at <= now {
            connection.ping_at = now.after(connection.idle());
            let heartbeats = connection.heartbeats;
            out.push(Output::Ping { transport });
            if heartbeats {
                // RTN23b: the client cannot see pings.
                self.send_to(transport, ProtocolMessage::new(Action::Heartbeat), out);
            }
        }
        self.arm(slot);
    }

    /// The grace of a connection is over: members leave the channels that its present transport,
    /// if it has one, has not attached. Tells whether all of them have left.
    fn end_grace(&mut self, slot: Slot, out: &mut Outbox) -> bool {
        // The timer itself may have used the budget up; the call still has to get on.
        self.budget = self.budget.max(1);
        let present = self.connections.get(slot).is_some_and(|c| c.transport.is_some());
        if !self.leave_unattached(slot, present, out) {
            return false;
        }
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.grace_at = None;
        }
        true
    }

    /// Members leave the channels that the present transport has not attached; those are
    /// forgotten if `forget` says so. Tells whether all of them have left.
    pub(super) fn leave_unattached(&mut self, slot: Slot, forget: bool, out: &mut Outbox) -> bool {
        let mut next = self.connections.get(slot).and_then(|connection| connection.first);
        while let Some(attachment) = next {
            let Some(entry) = self.channels.attachment(attachment) else { break };
            next = entry.next;
            if entry.live {
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

    fn channel_due(&mut self, slot: Slot, out: &mut Outbox) {
        let now = self.now.mono;
        let Some(channel) = self.channels.get_mut(slot) else { return };
        if channel.history_at.is_some_and(|at| at <= now) {
            let others = self.history_bytes.saturating_sub(channel.history.bytes());
            channel.history_at = channel.history.expire(now, &mut self.budget);
            self.history_bytes = others.saturating_add(channel.history.bytes());
        }
        let window = channel.window_at.is_some_and(|at| at <= now);
        let occupancy = channel.occupancy_at.take_if(|at| *at <= now).is_some();
        if window {
            self.tell_pending(slot, out);
        }
        if occupancy {
            self.occupancy_due(slot, out);
        }
        if !self.drop_channel_if_unused(slot) {
            self.arm_channel(slot);
        }
    }

    /// Takes the members of an attachment out, as far as the budget goes. Tells whether all are
    /// out.
    pub(super) fn leave_all(
        &mut self,
        attachment: Slot,
        cause: LeaveCause,
        out: &mut Outbox,
    ) -> bool {
        loop {
            let Some(entry) = self.channels.attachment(attachment) else { return true };
            let (channel, owner) = (entry.channel, entry.connection);
            let Some(member) = entry.first_member else { return true };
            if self.budget == 0 {
                return false;
            }
            self.budget -= 1;
            if !self.remove_member(Some(owner), channel, member, cause, out) {
                return true;
            }
        }
    }

    /// Takes one member, of this connection, out on its behalf, and gathers the leave to be told.
    pub(super) fn remove_member(
        &mut self,
        owner: Option<Slot>,
        channel: Slot,
        member: Slot,
        cause: LeaveCause,
        out: &mut Outbox,
    ) -> bool {
        let Some(version) = self
            .channels
            .get(channel)
            .and_then(|entry| entry.members.get(member))
            .map(|member| member.version())
        else {
            return false;
        };
        let Change::Left(mut message) =
            self.apply_record(owner, channel, Record::Remove { member, version })
        else {
            return false;
        };
        self.counters.grace_leaves += u64::from(cause == LeaveCause::GraceEnded);
        if matches!(cause, LeaveCause::GraceEnded | LeaveCause::Kicked) {
            // The client may never have had the answer to the frame that set the member (RTN19a).
            // When it retries it, it must not be told that all is well while the member is gone.
            if let Some((serial, _)) = version.sequence
                && let Some(connection) = owner.and_then(|owner| self.connections.get_mut(owner))
            {
                connection.serials.forget(serial);
            }
        }
        let per_frame = self.config.items_per_broadcast.max(1);
        let wall = self.now.wall;
        // Later than what it ends, though the wall clock stand still or have been set back: at a tie
        // the incoming message wins (RTP2b1a), so that a page of a sync which is late would bring
        // the member back.
        let later = UnixMillis::from_millis(version.timestamp.as_millis().saturating_add(1));
        let timestamp = wall.max(later);
        message.timestamp = Some(timestamp);
        if let Some(connection) = owner.and_then(|owner| self.connections.get_mut(owner)) {
            connection.left_at = connection.left_at.max(timestamp);
        }
        let Some(entry) = self.channels.get_mut(channel) else { return false };
        if entry.leaves.is_empty() {
            entry.leaves_id = self.leave_ids.next();
            entry.leaves_serial = self.stream.next(wall);
            entry.last = entry.leaves_serial;
            entry.last_presence = entry.last;
            self.gathered.push(channel);
        }
        let position = super::Position {
            serial: entry.leaves_serial,
            index: u32::try_from(entry.leaves.len()).unwrap_or(u32::MAX),
        };
        // Most leaves go out in their frame and nowhere else, and their ids follow from its own.
        let stands_alone = self.config.events
            || self.config.history.keeps()
            || entry.window.is_some()
            || told_apart(cause);
        message.id = stands_alone.then(|| inherited_id(&entry.leaves_id, position.index as usize));
        self.member_left(channel, position, &message, cause, owner, out);
        let Some(entry) = self.channels.get_mut(channel) else { return false };
        if entry.leaves.len() == BURST {
            entry.leaves.reserve(per_frame.min(entry.members.len() + 1).saturating_sub(BURST));
        }
        entry.leaves.push(message);
        if entry.leaves.len() >= per_frame {
            self.tell_leaves(channel, out);
        }
        true
    }

    /// What follows from a leave beside telling subscribers.
    pub(super) fn member_left(
        &mut self,
        channel: Slot,
        position: super::Position,
        message: &PresenceMessage,
        cause: LeaveCause,
        owner: Option<Slot>,
        out: &mut Outbox,
    ) {
        self.counters.members = self.counters.members.saturating_sub(1);
        self.remember(channel, position, message, true);
        if let (Some(owner), true) = (owner, told_apart(cause))
            && let Some(attachment) = self.channels.pair(owner, channel)
            && self.channels.attachment(attachment).is_some_and(|entry| entry.live)
            && self.hears_apart(owner, attachment, message.action)
        {
            // RTP17a: a connection hears of its own members though it has no mode for it.
            let leave = alloc::vec![message.clone()];
            self.tell_own(owner, channel, position.serial, leave, out);
        }
        if self.config.events
            && let Some(entry) = self.channels.get(channel)
        {
            let (name, vacant) = (entry.name.clone(), entry.members.is_empty());
            let message = message.clone();
            let event = ServerEvent::MemberLeft { channel: name.clone(), position, message, cause };
            out.push(Output::Event(event));
            if vacant {
                out.push(Output::Event(ServerEvent::ChannelVacant { channel: name }));
            }
        }
        self.occupancy_changed(channel, out);
    }
}

/// Whether a connection that has just lost a member for this cause may still be there to hear of it.
const fn told_apart(cause: LeaveCause) -> bool {
    matches!(cause, LeaveCause::Kicked | LeaveCause::RightLost)
}

/// The ids of frames with leaves that the server makes up: unique among all nodes and runs, and
/// never of the form that begins with a connection id (RTP2b1).
#[derive(Clone, Debug)]
pub(super) struct LeaveIds {
    prefix: SmolStr,
    made: u64,
}

impl LeaveIds {
    pub(super) fn new(node: &str, epoch: u64) -> Self {
        Self { prefix: alloc::format!("{node}:{epoch:08x}").into(), made: 0 }
    }

    fn next(&mut self) -> SmolStr {
        self.made += 1;
        let mut id = SmolStrBuilder::new();
        id.push_str(&self.prefix);
        id.push(':');
        id.push_str(itoa::Buffer::new().format(self.made));
        id.finish()
    }

    /// Whether the ids begin with this text.
    pub(super) fn begin_with(&self, text: &str) -> bool {
        self.prefix.starts_with(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp2b1_what_the_ids_of_leaves_begin_with_is_known() {
        let mut ids = LeaveIds::new("node", 7);
        let id = ids.next();
        assert!(["n", "node", "node:0000"].iter().all(|text| id.starts_with(text)));
        assert!(["n", "node", "node:0000"].iter().all(|text| ids.begin_with(text)));
        assert!(!ids.begin_with("ode") && !ids.begin_with(&id));
    }
}
