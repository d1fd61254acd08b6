//! Records on their way to the log, and entries that are not confirmed.

use crate::server::record::{Adopt, Record};
use crate::server::{Entry, EntryId, LogOptions};
use crate::time::sooner;
use crate::{Instant, SmolStr, UnixMillis};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

/// Time after a failed append before the entries are sent again.
const RETRY: Duration = Duration::from_millis(100);
/// Time between two looks at requests that wait for too long, if there are others before them.
const CHECK: Duration = Duration::from_millis(100);

/// Records that wait for an entry, and entries that wait for the log.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Proposals {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    sent: VecDeque<Sent>,
    next_seq: u64,
    /// When the last entry was sent.
    sent_at: Instant,
    /// When to send all unconfirmed entries again.
    resend_at: Option<Instant>,
    /// When to look for requests that wait for too long; not before.
    refusal_at: Instant,
    /// When the proposal to join was sent.
    join_at: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Waiting {
    record: Record,
    bytes: usize,
    since: Instant,
}

#[derive(Clone, Debug)]
struct Sent {
    entry: Entry,
    /// Records that the log has refused, in place of which the entry is now empty.
    refused: Vec<Record>,
}

impl Proposals {
    /// Whether more requests may wait.
    pub(in crate::server) fn has_room(&self, options: &LogOptions) -> bool {
        self.waiting.len() < options.waiting_records && self.bytes < options.waiting_bytes
    }

    /// Whether one more entry may be on its way to the log.
    pub(in crate::server) fn may_send(&self, options: &LogOptions) -> bool {
        self.sent.len() < options.in_flight.max(1)
    }

    /// Number of records that wait for an entry.
    pub(in crate::server) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Number of entries that wait for the log.
    pub(in crate::server) fn unconfirmed(&self) -> usize {
        self.sent.len()
    }

    pub(in crate::server) fn push(&mut self, record: Record, now: Instant) {
        let bytes = record.size();
        self.bytes += bytes;
        self.waiting.push_back(Waiting { record, bytes, since: now });
    }

    /// The records of the next entry; `None` if none is due. `prepare` may put a record in front of
    /// each, or drop it.
    pub(in crate::server) fn next_records(
        &mut self,
        options: &LogOptions,
        mut prepare: impl FnMut(&Record) -> Prepared,
    ) -> Option<Vec<Record>> {
        if !self.may_send(options) || self.waiting.is_empty() {
            return None;
        }
        let (mut records, mut bytes) = (Vec::new(), 0usize);
        while let Some(next) = self.waiting.front() {
            if !records.is_empty() && bytes.saturating_add(next.bytes) > options.entry_bytes {
                break;
            }
            let Some(Waiting { record, bytes: size, .. }) = self.waiting.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(size);
            match prepare(&record) {
                Prepared::Drop => continue,
                Prepared::Adopt(adopt) => records.push(Record::Adopt(adopt)),
                Prepared::Keep => {}
            }
            bytes = bytes.saturating_add(size);
            records.push(record);
        }
        (!records.is_empty()).then_some(records)
    }

    /// Whether a sign of life is due.
    pub(in crate::server) fn is_quiet(&self, options: &LogOptions, now: Instant) -> bool {
        self.sent.is_empty() && self.sent_at + options.alive_interval <= now
    }

    /// Makes the next entry of a run.
    pub(in crate::server) fn send(
        &mut self,
        node: &SmolStr,
        incarnation: u64,
        stamp: UnixMillis,
        records: Vec<Record>,
        now: Instant,
    ) -> Entry {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.sent_at = now;
        let entry = Entry::step(node.clone(), stamp, (incarnation, seq), records);
        self.sent.push_back(Sent { entry: entry.clone(), refused: Vec::new() });
        entry
    }

    /// The proposal to join was sent.
    pub(in crate::server) fn set_joining(&mut self, now: Instant) {
        self.join_at = Some(now);
    }

    /// When to propose again to join.
    pub(in crate::server) fn next_join(&self) -> Option<Instant> {
        const PATIENCE: Duration = Duration::from_secs(2);
        self.join_at.map(|at| at + PATIENCE)
    }

    /// A run has begun: its entries count from 0. What the run before could not confirm waits again,
    /// in order. Returns the records that are certainly not in the log.
    pub(in crate::server) fn restart(&mut self, now: Instant) -> Vec<Record> {
        let mut refused = Vec::new();
        self.waiting.retain(|waiting| !matches!(waiting.record, Record::Counts(_)));
        self.bytes = self.waiting.iter().map(|waiting| waiting.bytes).sum();
        for sent in core::mem::take(&mut self.sent).into_iter().rev() {
            refused.extend(sent.refused);
            for record in sent.entry.into_records().into_iter().rev() {
                // They are written anew, as far as they still matter.
                if matches!(record, Record::Adopt(_) | Record::Gone(_) | Record::Counts(_)) {
                    continue;
                }
                let bytes = record.size();
                self.bytes += bytes;
                self.waiting.push_front(Waiting { record, bytes, since: now });
            }
        }
        (self.next_seq, self.resend_at, self.join_at) = (0, None, None);
        self.sent_at = now;
        refused
    }

    /// An entry of this run has come back, with this number of records. Returns the records that are
    /// certainly not in the log.
    pub(in crate::server) fn confirm(&mut self, seq: u64, records: usize) -> Vec<Record> {
        if self.sent.front().is_none_or(|sent| sent.entry.id().seq != seq) {
            return Vec::new();
        }
        let refused = self.sent.pop_front().map(|sent| sent.refused).unwrap_or_default();
        // The refused records are in the log after all if an earlier try had got through.
        if records == 0 { refused } else { Vec::new() }
    }

    /// An append has failed.
    pub(in crate::server) fn failed(&mut self, id: EntryId, definite: bool, now: Instant) {
        let Some(sent) = self.sent.iter_mut().find(|sent| sent.entry.id() == id) else { return };
        if definite {
            // Its sequence number must not be missing.
            sent.refused.extend(sent.entry.take_records());
        }
        self.resend_at = sooner(self.resend_at, Some(now + RETRY));
    }

    /// The log can be reached again.
    pub(in crate::server) fn resend_now(&mut self, now: Instant) {
        self.resend_at = (!self.sent.is_empty()).then_some(now);
        self.join_at = None;
    }

    /// The unconfirmed entries, if they have to be sent again.
    pub(in crate::server) fn take_resend(
        &mut self,
        options: &LogOptions,
        now: Instant,
    ) -> impl Iterator<Item = Entry> {
        let lost = !self.sent.is_empty() && self.sent_at + options.lease <= now;
        let due = lost || self.resend_at.is_some_and(|at| at <= now);
        if due {
            self.resend_at = None;
            self.sent_at = now;
        }
        let count = if due { self.sent.len() } else { 0 };
        self.sent.iter().take(count).map(|sent| sent.entry.clone())
    }

    /// When to send something, apart from what waits.
    pub(in crate::server) fn next_append(&self, options: &LogOptions) -> Option<Instant> {
        let idle = if self.sent.is_empty() { options.alive_interval } else { options.lease };
        sooner(self.resend_at, Some(self.sent_at + idle))
    }

    /// When the next request has waited for too long.
    pub(in crate::server) fn next_refusal(&self, wait: Duration) -> Option<Instant> {
        let first = self.waiting.front()?;
        Some((first.since + wait).max(self.refusal_at))
    }

    /// Takes the requests that have waited for too long. They are certainly not in the log.
    pub(in crate::server) fn take_late(&mut self, wait: Duration, now: Instant) -> Vec<Record> {
        let mut late = Vec::new();
        if self.next_refusal(wait).is_none_or(|at| at > now) {
            return late;
        }
        self.refusal_at = now + CHECK;
        let mut kept = VecDeque::with_capacity(self.waiting.len());
        for waiting in self.waiting.drain(..) {
            let is_request = matches!(
                waiting.record,
                Record::Presence(_) | Record::Messages(_) | Record::Adopt(_)
            );
            if is_request && waiting.since + wait <= now {
                self.bytes = self.bytes.saturating_sub(waiting.bytes);
                late.push(waiting.record);
            } else {
                kept.push_back(waiting);
            }
        }
        self.waiting = kept;
        late
    }
}

/// What to do with a record that goes into an entry.
#[derive(Clone, Debug)]
pub(in crate::server) enum Prepared {
    Keep,
    /// The log has to learn of its connection first.
    Adopt(Adopt),
    /// Its connection is not on this node any more.
    Drop,
}
