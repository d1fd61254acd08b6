//! Entries of the log: each record is applied here, on every node alike.

use super::record::{Adopt, Body, Gone, Kick, MessagesRecord, Origin, PresenceRecord, Record};
use super::replication::{Applying, Phase, Task};
use super::state::{Admission, ChannelSlot, ConnectionSlot, Removal};
use super::{Entry, LeaveCause, Outbox, Server};
use crate::{Now, SmolStr};
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Server {
    /// Applies entries within the budget. What was committed behind an unfinished record waits.
    pub(super) fn apply_committed(&mut self, out: &mut Outbox) {
        while self.budget > 0 {
            let Some(replication) = &mut self.replication else { return };
            if let Some(mut applying) = replication.applying.take() {
                self.at = Now::new(self.now.mono, applying.origin.stamp);
                let done = self.apply_records(&mut applying, out);
                self.at = self.now;
                match &mut self.replication {
                    Some(replication) if !done => replication.applying = Some(applying),
                    _ => self.entry_applied(),
                }
                continue;
            }
            let Some((position, entry)) = replication.committed.pop_front() else { return };
            self.budget -= 1;
            self.admit(position, entry, out);
        }
    }

    fn admit(&mut self, position: u64, entry: Entry, out: &mut Outbox) {
        match (self.state.admit(position, &entry), entry.body) {
            (Admission::Joined(origin), Body::Join(join)) => {
                self.joined(origin.incarnation, &entry.node, join.nonce, out);
                let records = Vec::new().into_iter();
                if let Some(replication) = &mut self.replication {
                    let task = Some(Task::Join);
                    replication.applying = Some(Applying { origin, records, task });
                }
            }
            (Admission::Step(origin), Body::Step { seq, records, .. }) => {
                let now = self.now.mono;
                let Some(replication) = &mut self.replication else { return };
                let bytes =
                    records.iter().fold(0, |sum: usize, record| sum.saturating_add(record.size()));
                replication.snapshots.count(bytes);
                replication.peers.heard(origin.incarnation, now);
                if replication.incarnation() == Some(origin.incarnation) {
                    replication.set_heard(now);
                    let refused = replication.proposals.confirm(seq, records.len());
                    self.refuse_all(refused, out);
                }
                let applying = Applying { origin, records: records.into_iter(), task: None };
                if let Some(replication) = &mut self.replication {
                    replication.applying = Some(applying);
                }
            }
            (Admission::Void, _) => self.counters.void_entries += 1,
            _ => {}
        }
    }

    /// What follows from the new log time and the new state of the nodes.
    fn entry_applied(&mut self) {
        while let Some(channel) = self.state.next_outdated() {
            self.close_channel_if_unused(channel);
        }
        self.check_fence();
        if let (Some(replication), Some(known)) = (&mut self.replication, self.state.incarnations())
        {
            replication.peers.forget(known);
        }
    }

    /// Applies records within the budget. Returns whether all are applied.
    fn apply_records(&mut self, applying: &mut Applying, out: &mut Outbox) -> bool {
        let origin = applying.origin;
        loop {
            if let Some(task) = &mut applying.task {
                if !self.continue_task(task, origin, out) {
                    return false;
                }
                applying.task = None;
                // Later records must find the leaves delivered.
                self.deliver_batches(out);
            }
            if self.is_halted() {
                return true;
            }
            if self.budget == 0 {
                return applying.records.as_slice().is_empty();
            }
            let Some(record) = applying.records.next() else { return true };
            self.budget -= 1;
            self.state.next_record();
            applying.task = self.apply_record(record, origin, out);
        }
    }

    fn is_halted(&self) -> bool {
        self.replication.as_ref().is_some_and(|replication| replication.phase == Phase::Halted)
    }

    /// Applies a record. One that removes members gives a task.
    fn apply_record(&mut self, record: Record, origin: Origin, out: &mut Outbox) -> Option<Task> {
        let connection = record.connection().filter(|_| !matches!(record, Record::Adopt(_)));
        let owned = connection.map(|id| self.state.owned(id, origin.incarnation));
        if owned == Some(None) {
            self.pass_over(record, origin, out);
            return None;
        }
        let owned = owned.flatten();
        match record {
            Record::Leaving => self.state.leaving(origin.incarnation),
            Record::Adopt(adopt) => self.apply_adopt(&adopt, origin, out),
            Record::Presence(record) => self.apply_presence(owned?, record, origin, out),
            Record::Messages(record) => self.apply_messages(owned?, record, origin, out),
            Record::Dismiss { channel, cause, .. } => {
                let slot = owned?;
                let channel = self.state.by_name(&channel);
                let Some(channel) = channel else {
                    self.record_done(slot, origin);
                    return None;
                };
                return Some(Task::Dismiss(Removal::of_connection(slot, channel, cause)));
            }
            Record::GraceOver { .. } => return owned.map(Task::GraceOver),
            Record::End { cause, .. } => return Some(Task::End(owned?, cause)),
            Record::Kick(Kick { channel, client_id, connection_id }) => {
                return self.state.begin_kick(&channel, client_id, connection_id).map(Task::Kick);
            }
            Record::Gone(gone) => {
                if let Some(replication) = &mut self.replication {
                    replication.peers.settled(gone.incarnation);
                }
                return self.state.gone(&gone).then_some(Task::Gone(gone));
            }
            Record::Counts(counts) => self.apply_counts(&counts, origin, out),
        }
        None
    }

    /// A record of a connection that its node does not own.
    fn pass_over(&mut self, record: Record, origin: Origin, out: &mut Outbox) {
        let found = record.connection().and_then(|id| self.state.by_id(id));
        let here = found.filter(|slot| {
            self.is_own(origin)
                && self.connections.try_get(*slot).is_some()
                && !self.is_adopting(*slot)
        });
        match record {
            // The log knows nothing of it. It must not be resumed elsewhere all the same.
            Record::End { connection, .. }
                if found.is_none_or(|slot| self.state.owner(slot) == 0) =>
            {
                self.state.remember_ended(origin, connection);
                if let Some(slot) = here {
                    self.end_here(slot, out);
                }
            }
            // The log has refused the record that would have made this node the owner. That one is
            // proposed again.
            record if here.is_some() => self.refuse_all(alloc::vec![record], out),
            _ => {}
        }
    }

    /// Continues a record that removes members or rows. Returns whether it is complete.
    fn continue_task(&mut self, task: &mut Task, origin: Origin, out: &mut Outbox) -> bool {
        match task {
            Task::Dismiss(removal) => {
                if !self.remove_members(removal, out) {
                    return false;
                }
                if let Some(slot) = removal.connection() {
                    self.record_done(slot, origin);
                }
                true
            }
            Task::GraceOver(slot) => {
                let done = self.remove_all_members(*slot, LeaveCause::GraceEnded, out);
                if done {
                    self.record_done(*slot, origin);
                }
                done
            }
            Task::End(slot, cause) => {
                let done = self.remove_all_members(*slot, *cause, out);
                if done {
                    self.connection_ended(*slot, out);
                }
                done
            }
            Task::Kick(removal) => {
                if !self.remove_members(removal, out) {
                    return false;
                }
                self.state.end_kick(removal);
                self.close_channel_if_unused(removal.channel());
                true
            }
            Task::Gone(gone) => self.continue_gone(gone, out),
            Task::Join => self.remove_fenced_rows(out),
        }
    }

    /// Removes the rows of a silent node, and its connections as far as their time is over.
    fn continue_gone(&mut self, gone: &Gone, out: &mut Outbox) -> bool {
        if !self.remove_fenced_rows(out) {
            return false;
        }
        while let Some(slot) = self.state.next_gone(gone) {
            if self.budget == 0 {
                return false;
            }
            self.mark_lost_members(slot);
            if !self.remove_all_members(slot, LeaveCause::GraceEnded, out) {
                return false;
            }
            self.budget = self.budget.saturating_sub(1);
            self.state.set_spent(slot);
        }
        while let Some(slot) = self.state.next_to_end(gone) {
            if self.budget == 0 {
                return false;
            }
            self.budget -= 1;
            self.connection_ended(slot, out);
        }
        self.state.forget_unused_incarnations();
        true
    }

    /// Removes all members of a connection within the budget. Returns whether it is complete.
    fn remove_all_members(
        &mut self,
        slot: ConnectionSlot,
        cause: LeaveCause,
        out: &mut Outbox,
    ) -> bool {
        loop {
            let Some(channel) = self.state.connection(slot).channels().next() else { return true };
            if !self.remove_members(&mut Removal::of_connection(slot, channel, cause), out) {
                return false;
            }
        }
    }

    /// A connection without members has ended, whichever node had it.
    fn connection_ended(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        self.state.end_connection(slot);
        if self.connections.try_get(slot).is_some() {
            self.end_here(slot, out);
        } else {
            self.state.close_connection(slot);
        }
    }

    fn apply_adopt(&mut self, adopt: &Adopt, origin: Origin, out: &mut Outbox) {
        let is_own = self.is_own(origin);
        match self.state.adopt(origin, adopt) {
            Ok(Some(slot)) if is_own => self.adopted(slot, out),
            Ok(Some(slot)) => self.taken_over(slot, out),
            Ok(None) => self.broken("there are free slots"),
            Err(_) if is_own => {
                if let Some(slot) = self.state.by_id(&adopt.connection) {
                    self.adoption_failed(slot, out);
                }
            }
            Err(_) => {}
        }
    }

    fn apply_presence(
        &mut self,
        slot: ConnectionSlot,
        mut record: PresenceRecord,
        origin: Origin,
        out: &mut Outbox,
    ) {
        let Some(channel) = self.channel_for(&record.channel) else { return };
        let msg_serial = record.msg_serial;
        let repeated = self.state.connection(slot).accepted(msg_serial);
        let applied = self.state.apply(self.at, channel, slot, &mut record);
        let attachment = self.connections.pair(slot, channel);
        self.frame_applied(attachment, &applied, record, out);
        if self.is_own(origin) {
            self.confirm(slot, msg_serial, repeated, None, out);
        }
        self.close_channel_if_unused(channel);
    }

    fn apply_messages(
        &mut self,
        slot: ConnectionSlot,
        record: MessagesRecord,
        origin: Origin,
        out: &mut Outbox,
    ) {
        let msg_serial = record.msg_serial;
        let repeated = self.state.connection(slot).accepted(msg_serial);
        let res = if repeated {
            None
        } else {
            let Some(channel) = self.channel_for(&record.channel) else { return };
            Some(Box::new(self.deliver_messages(slot, Some(channel), record, out)))
        };
        if self.is_own(origin) {
            self.confirm(slot, msg_serial, repeated, res, out);
        }
    }

    /// The log has confirmed a record of this node that the connection's work waits for.
    fn record_done(&mut self, slot: ConnectionSlot, origin: Origin) {
        if self.is_own(origin) && self.connections.try_get(slot).is_some() {
            self.log_confirms(slot);
        }
    }

    /// The channel of a record, created if necessary.
    pub(super) fn channel_for(&mut self, name: &SmolStr) -> Option<ChannelSlot> {
        let channel = self.state.by_name(name).or_else(|| self.open_channel(name));
        if channel.is_none() {
            self.broken("there are free slots");
        }
        channel
    }
}
