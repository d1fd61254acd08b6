//! The attachments to a channel that this node has told the others.

use super::Occupancy;
use crate::Instant;
use crate::server::record::Row;
use core::time::Duration;

/// What this node has last proposed to the log about its attachments to a channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// The run that has proposed it. A new run has proposed nothing.
    run: u64,
    /// `None` if the log has not taken it.
    counts: Option<Occupancy>,
    at: Instant,
    /// The end of the interval, if there is something to propose then.
    pub(super) due: Option<Instant>,
    /// Whether the channel is queued.
    pub(super) queued: bool,
}

impl Told {
    /// Whether to propose these counts now. If not, and they are new, they are due at the end of the
    /// interval.
    pub(super) fn is_due(
        &mut self,
        run: u64,
        counts: &Occupancy,
        interval: Duration,
        now: Instant,
    ) -> bool {
        let Some(before) = self.before(run) else { return true };
        if before == *counts {
            return false;
        }
        let next = self.at + interval;
        if next <= now || before.crossed_zero(counts) {
            return true;
        }
        self.due = self.due.or(Some(next));
        false
    }

    /// The row to propose now. `None` if the log has it already.
    pub(super) fn take(&mut self, run: u64, counts: &Occupancy, now: Instant) -> Option<Row> {
        (self.queued, self.due) = (false, None);
        if self.before(run) == Some(*counts) {
            return None;
        }
        (self.run, self.counts, self.at) = (run, Some(*counts), now);
        Some(counts.to_row())
    }

    /// The log has refused what this node has proposed.
    pub(super) const fn refused(&mut self) {
        self.counts = None;
    }

    /// What the log has of a run, or will have. `None` if that is not known.
    fn before(&self, run: u64) -> Option<Occupancy> {
        if self.run == run { self.counts } else { Some(Occupancy::default()) }
    }
}
