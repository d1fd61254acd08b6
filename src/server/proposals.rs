//! Requests on their way through the log, and their answers.

use super::connections::Answer;
use super::record::Record;
use super::state::ConnectionSlot;
use super::{Outbox, Server};
use crate::wire::{ErrorInfo, Value, codes};
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Server {
    /// Whether changes go through a log.
    #[inline]
    pub(super) const fn has_log(&self) -> bool {
        self.replication.is_some()
    }

    /// Proposes a record that is never refused.
    pub(super) fn propose(&mut self, record: Record) {
        let now = self.now.mono;
        if let Some(replication) = &mut self.replication {
            replication.proposals.push(record, now);
        }
    }

    /// Proposes a client's frame. It is answered when it is applied.
    pub(super) fn propose_frame(
        &mut self,
        slot: ConnectionSlot,
        msg_serial: i64,
        record: Record,
        out: &mut Outbox,
    ) {
        let Some(replication) = &self.replication else { return };
        if !replication.proposals.has_room(&replication.options) {
            self.counters.limited += 1;
            self.nack(slot, msg_serial, log_away(), out);
            return;
        }
        self.connections.get_mut(slot).in_log().enter(msg_serial);
        self.propose(record);
    }

    /// Proposes a record that later frames of the connection wait for.
    pub(super) fn propose_work(&mut self, slot: ConnectionSlot, record: Record) {
        self.await_log(slot);
        self.propose(record);
    }

    /// Answers a frame of this node that was applied: with ACK, and then with those behind it.
    pub(super) fn confirm(
        &mut self,
        slot: ConnectionSlot,
        msg_serial: i64,
        repeated: bool,
        res: Option<Box<Value>>,
        out: &mut Outbox,
    ) {
        let Some(connection) = self.connections.try_get(slot) else { return };
        if connection.frames_in_log() == 0 {
            return;
        }
        let is_next = self.connections.get_mut(slot).in_log().leave(msg_serial);
        self.counters.duplicates += u64::from(repeated);
        if is_next {
            self.send_ack(slot, msg_serial, res, out);
            self.send_waiting_answers(slot, out);
        }
    }

    /// Holds an answer back if earlier frames have none yet. Returns whether it does.
    pub(super) fn hold_answer(
        &mut self,
        slot: ConnectionSlot,
        answer: Answer,
        out: &mut Outbox,
    ) -> bool {
        if !self.has_log() || !self.connections.get(slot).has_waiting_answers() {
            return false;
        }
        let in_log = self.connections.get_mut(slot).in_log();
        in_log.push(answer);
        // Every frame in the log has its place too.
        let limit = (in_log.frames() as usize).saturating_add(self.options.limits.waiting_frames);
        if in_log.answers() > limit {
            self.counters.limited += 1;
            let message = "Too many refused frames while an earlier one is not finished";
            let code = codes::RATE_LIMIT_EXCEEDED_CONNECTION_FATAL;
            self.disconnect(slot, ErrorInfo::new(code, 429, message), out);
        }
        true
    }

    fn send_waiting_answers(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        // An answer may end the transport of a client that does not read.
        while let Some(connection) = self.connections.try_get(slot)
            && connection.has_waiting_answers()
            && let Some(answer) = self.connections.get_mut(slot).in_log().next()
        {
            match answer {
                Answer::Ack(serial) => self.send_ack(slot, serial, None, out),
                Answer::Nack(serial, error) => self.send_nack(slot, serial, *error, out),
                Answer::Pending(_) => {}
            }
        }
    }

    /// Refuses requests that are certainly not in the log.
    pub(super) fn refuse_all(&mut self, records: Vec<Record>, out: &mut Outbox) {
        for record in records {
            if let Record::Counts(counts) = &record {
                self.row_refused(&counts.channel);
            }
            let Some(id) = record.connection() else {
                // What the host wants has to get through. A silent node is reported anew.
                if matches!(record, Record::Kick(_) | Record::Leaving) {
                    self.propose(record);
                }
                continue;
            };
            let found = self.state.by_id(id);
            let Some(slot) = found.filter(|slot| self.connections.try_get(*slot).is_some()) else {
                continue;
            };
            match record {
                Record::Presence(super::record::PresenceRecord { msg_serial, .. })
                | Record::Messages(super::record::MessagesRecord { msg_serial, .. }) => {
                    self.connections.get_mut(slot).in_log().refuse(msg_serial, log_away());
                    self.counters.limited += 1;
                    self.send_waiting_answers(slot, out);
                }
                Record::Adopt(_) if self.is_adopting(slot) => self.refuse_adoption(slot, out),
                // What the server itself proposes has to get through.
                other => self.propose(other),
            }
        }
    }
}

/// The error for requests that the log has not taken in time.
pub(super) fn log_away() -> ErrorInfo {
    ErrorInfo::new(codes::TIMEOUT_ERROR, 503, "The change could not be written to the log")
}
