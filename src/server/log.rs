//! The node and its log: joining, sending, silence.

use super::record::{Adopt, Gone, Join, Record};
use super::replication::{Phase, Prepared, Replication, SendingAway, duty};
use super::state::ConnectionSlot;
use super::{Entry, EntryId, Halt, LogPosition, Outbox, Output, Server, WithoutLog};
use crate::Instant;
use crate::slab::Key;
use crate::time::sooner;
use crate::wire::{ErrorInfo, codes};
use alloc::vec::Vec;
use core::time::Duration;

impl Server {
    pub(super) fn committed(&mut self, position: LogPosition, entry: Entry) {
        if let Some(replication) = &mut self.replication
            && replication.phase != Phase::Halted
        {
            replication.committed.push_back((position.0, entry));
        }
    }

    pub(super) fn append_failed(&mut self, entry: EntryId, definite: bool) {
        let now = self.now.mono;
        if let Some(replication) = &mut self.replication {
            replication.proposals.failed(entry, definite, now);
        }
    }

    pub(super) fn log_available(&mut self) {
        let now = self.now.mono;
        if let Some(replication) = &mut self.replication
            && replication.set_available(true, now)
        {
            replication.proposals.resend_now(now);
            replication.peers.restart(now);
        }
    }

    pub(super) fn log_unavailable(&mut self) {
        let now = self.now.mono;
        if let Some(replication) = &mut self.replication {
            replication.set_available(false, now);
        }
    }

    /// The second half of each call, with a log: applies what is committed, and proposes.
    pub(super) fn replicate(&mut self, out: &mut Outbox) {
        // The timers may have used up the budget. Each call must make progress.
        self.budget = self.budget.max(1);
        self.apply_committed(out);
        let Some(replication) = &self.replication else { return };
        match replication.phase {
            Phase::Halted => {
                self.send_away(out);
                return;
            }
            Phase::Reading | Phase::Joining { .. } if replication.committed.is_empty() => {
                self.propose_to_join(out);
            }
            Phase::Joined { .. } => self.watch_log(),
            _ => {}
        }
        self.write_snapshot(out);
        self.watch_silence(out);
        self.refuse_late(out);
        self.propose_rows();
        self.append(out);
    }

    /// The deadline of the node.
    pub(super) fn replication_deadline(&self) -> Option<Instant> {
        let replication = self.replication.as_ref()?;
        if self.state.is_writing_snapshot()
            || (self.delivery.has_rows() && replication.may_append())
        {
            return Some(self.now.mono);
        }
        let own = replication.deadline(self.now.mono);
        sooner(own, self.duty(replication).map(|(at, _)| at))
    }

    /// The next silent node that this one has to report, and when.
    fn duty(&self, replication: &Replication) -> Option<(Instant, Gone)> {
        let own = replication.incarnation().filter(|_| replication.is_available())?;
        duty(
            &replication.peers,
            self.state.incarnations()?,
            own,
            &replication.options,
            self.options.connection_state_ttl,
            self.now.mono,
        )
    }

    /// Proposes to join, when everything in the log is applied.
    fn propose_to_join(&mut self, out: &mut Outbox) {
        let (now, position) = (self.now, self.state.position());
        // A client tries to resume for so long after it has heard the last (RTN15g).
        let ttl = self.options.connection_state_ttl.saturating_add(self.options.max_idle_interval);
        let ttl = u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX);
        let Some(replication) = &mut self.replication else { return };
        if !replication.is_available()
            || replication.applying.is_some()
            || replication.proposals.next_join().is_some_and(|at| at > now.mono)
        {
            return;
        }
        let nonce = match replication.phase {
            Phase::Joining { nonce } => nonce,
            _ => self.keys.random(),
        };
        replication.phase = Phase::Joining { nonce };
        replication.proposals.set_joining(now.mono);
        let join = Join { nonce, after: position, ttl };
        out.push(Output::append(Entry::join(self.options.node.clone(), now.wall, join)));
    }

    /// A run of a node has begun.
    pub(super) fn joined(&mut self, incarnation: u64, node: &str, nonce: u64, out: &mut Outbox) {
        let now = self.now.mono;
        let Some(replication) = &mut self.replication else { return };
        replication.peers.heard(incarnation, now);
        if self.options.node != node {
            return;
        }
        match replication.phase {
            Phase::Joining { nonce: own } if own == nonce => {
                replication.phase = Phase::Joined { incarnation };
                replication.is_starting_over = false;
                replication.adopting_from = Some(0);
                replication.set_heard(now);
                let refused = replication.proposals.restart(now);
                self.refuse_all(refused, out);
            }
            // An earlier run of this node.
            Phase::Reading => {}
            _ => self.halt(Halt::NameTaken, out),
        }
    }

    fn halt(&mut self, reason: Halt, out: &mut Outbox) {
        let Some(replication) = &mut self.replication else { return };
        replication.phase = Phase::Halted;
        replication.committed.clear();
        replication.applying = None;
        replication.sending_away = SendingAway::From(0);
        out.push(Output::Halted(reason));
    }

    /// Whether others have fenced this node. If so it joins anew.
    pub(super) fn check_fence(&mut self) {
        let Some(replication) = &mut self.replication else { return };
        let Some(own) = replication.incarnation() else { return };
        if self.state.incarnation(own).is_none_or(|found| found.is_fenced()) {
            replication.phase = Phase::Reading;
            replication.adopting_from = None;
            replication.proposals.resend_now(self.now.mono);
            self.counters.fenced += 1;
        }
    }

    /// Reports silent nodes, and adopts connections again after the node has joined anew.
    fn watch_log(&mut self) {
        let now = self.now.mono;
        if let Some(replication) = &self.replication
            && let Some((at, gone)) = self.duty(replication)
            && at <= now
            && let Some(replication) = &mut self.replication
        {
            replication.peers.proposed(gone.incarnation, now);
            replication.proposals.push(Record::Gone(gone), now);
        }
        if self.replication.as_ref().is_some_and(|replication| !replication.is_cut_off(now)) {
            self.adopt_again();
        }
    }

    /// Sends clients away if this node is silent itself.
    fn watch_silence(&mut self, out: &mut Outbox) {
        let now = self.now.mono;
        let Some(replication) = &mut self.replication else { return };
        if !replication.is_cut_off(now) {
            replication.sending_away = SendingAway::No;
        } else if replication.options.without_log == WithoutLog::Leave {
            if replication.sending_away == SendingAway::No {
                replication.sending_away = SendingAway::From(0);
            }
            self.send_away(out);
        }
    }

    /// Whether this node takes clients now.
    pub(super) fn takes_clients(&self) -> bool {
        let Some(replication) = &self.replication else { return true };
        let leaves = replication.options.without_log == WithoutLog::Leave;
        replication.incarnation().is_some() && !(leaves && replication.is_cut_off(self.now.mono))
    }

    /// Sends clients away, within the budget.
    fn send_away(&mut self, out: &mut Outbox) {
        while self.budget > 0 {
            let Some(replication) = &mut self.replication else { return };
            let SendingAway::From(from) = replication.sending_away else { return };
            let Some((slot, connection)) = self.connections.next_from(from) else {
                replication.sending_away = SendingAway::Done;
                return;
            };
            replication.sending_away = SendingAway::From(slot.number().saturating_add(1));
            self.budget -= 1;
            if connection.transport().is_some() {
                let message = "This node cannot reach the others";
                self.disconnect(slot, ErrorInfo::new(codes::TIMEOUT_ERROR, 503, message), out);
            }
        }
    }

    /// Adopts the connections again that an earlier run of this node had, and tells the others about
    /// their attachments, within the budget.
    fn adopt_again(&mut self) {
        while self.budget > 0 {
            let Some(replication) = &mut self.replication else { return };
            let (Some(from), Some(own)) = (replication.adopting_from, replication.incarnation())
            else {
                return;
            };
            let Some((slot, connection)) = self.connections.next_from(from) else {
                replication.adopting_from = None;
                return;
            };
            replication.adopting_from = Some(slot.number().saturating_add(1));
            self.budget -= 1;
            let announced = connection.announced();
            if announced != 0 && announced != own {
                let adopt = self.adoption(slot);
                self.propose(Record::Adopt(adopt));
            }
            self.rows_changed(slot);
        }
    }

    pub(super) fn adoption(&self, slot: ConnectionSlot) -> Adopt {
        let connection = self.state.connection(slot).id().clone();
        Adopt { connection, grace: self.connections.get(slot).grace_period() }
    }

    /// Appends what waits, and a sign of life if there is nothing.
    fn append(&mut self, out: &mut Outbox) {
        let now = self.now;
        let Some(replication) = &mut self.replication else { return };
        let Some(own) = replication.incarnation().filter(|_| replication.is_available()) else {
            return;
        };
        let options = replication.options;
        for entry in replication.proposals.take_resend(&options, now.mono) {
            out.push(Output::append(entry));
        }
        let (state, connections) = (&self.state, &mut self.connections);
        let mut prepare = |record: &Record| {
            let Some(id) = record.connection() else { return Prepared::Keep };
            let found = state.by_id(id);
            let Some(slot) = found.filter(|slot| connections.try_get(*slot).is_some()) else {
                // The end of a connection that had no records.
                let ends = matches!(record, Record::End { .. }) && found.is_none();
                return if ends { Prepared::Keep } else { Prepared::Drop };
            };
            let connection = connections.get_mut(slot);
            let is_known = connection.announced() == own;
            connection.set_announced(own);
            if is_known || matches!(record, Record::Adopt(_)) {
                return Prepared::Keep;
            }
            Prepared::Adopt(Adopt { connection: id.clone(), grace: connection.grace_period() })
        };
        let (proposals, node) = (&mut replication.proposals, &self.options.node);
        while let Some(records) = proposals.next_records(&options, &mut prepare) {
            out.push(Output::append(proposals.send(node, own, now.wall, records, now.mono)));
        }
        if proposals.is_quiet(&options, now.mono) {
            out.push(Output::append(proposals.send(node, own, now.wall, Vec::new(), now.mono)));
        }
    }

    /// Refuses requests that have waited for too long.
    fn refuse_late(&mut self, out: &mut Outbox) {
        let now = self.now.mono;
        let Some(replication) = &mut self.replication else { return };
        let wait = replication.options.wait;
        let late = replication.proposals.take_late(wait, now);
        self.refuse_all(late, out);
    }

    /// The end of a connection's grace period, with regard to the log.
    pub(super) fn grace_end(&self, slot: ConnectionSlot) -> Option<Instant> {
        let connection = self.connections.get(slot);
        let end = connection.grace_at()?;
        let Some(replication) = &self.replication else { return Some(end) };
        let period = Duration::from_millis(connection.grace_period().into());
        Some(replication.grace_end(end, period, self.now.mono))
    }
}
