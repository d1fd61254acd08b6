//! The node's part in the log: what it proposes, what it has heard, what it is about to apply.

mod peers;
mod proposals;
mod snapshots;

pub(super) use peers::{Peers, duty};
pub(super) use proposals::{Prepared, Proposals};
pub(super) use snapshots::Snapshots;

use super::record::{Gone, Record};
use super::state::{ConnectionSlot, Removal};
use super::{Entry, LogOptions};
use crate::Instant;
use crate::time::sooner;
use alloc::collections::VecDeque;
use alloc::vec;
use core::time::Duration;

/// A node's state of replication.
#[derive(Clone, Debug)]
pub(super) struct Replication {
    pub(super) options: LogOptions,
    pub(super) phase: Phase,
    pub(super) proposals: Proposals,
    pub(super) peers: Peers,
    /// Entries that are not applied yet, with their positions.
    pub(super) committed: VecDeque<(u64, Entry)>,
    /// The entry that is being applied.
    pub(super) applying: Option<Applying>,
    /// The slot number from which on connections have to be adopted again, after the node has joined
    /// anew.
    pub(super) adopting_from: Option<u32>,
    /// Which clients are still to be sent away, if the log is out of reach.
    pub(super) sending_away: SendingAway,
    pub(super) snapshots: Snapshots,
    /// The log was reset, and the node has not joined again.
    pub(super) is_starting_over: bool,
    access: Access,
}

/// The node's place among the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It reads the log.
    Reading,
    /// It has proposed to join.
    Joining { nonce: u64 },
    /// It takes part.
    Joined { incarnation: u64 },
    /// It has stopped.
    Halted,
}

/// Whether clients are sent away, because the log is out of reach or the node has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendingAway {
    No,
    /// Those from a slot number on are still to be told.
    From(u32),
    Done,
}

/// Whether the log can be reached.
#[derive(Clone, Copy, Debug)]
struct Access {
    available: bool,
    /// Since when it is available or not.
    since: Instant,
    /// How long it was away the last time.
    outage: Duration,
    /// When the node last heard an entry of its own.
    heard: Instant,
}

/// An entry that is being applied.
#[derive(Clone, Debug)]
pub(super) struct Applying {
    pub(super) origin: super::record::Origin,
    pub(super) records: vec::IntoIter<Record>,
    /// The unfinished record.
    pub(super) task: Option<Task>,
}

/// A record or an entry that removes members or rows, within the budgets of several calls.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Members of a connection on one channel.
    Dismiss(Removal),
    /// All members of a connection.
    GraceOver(ConnectionSlot),
    /// All members of a connection, and the connection.
    End(ConnectionSlot, super::LeaveCause),
    /// Members that the host removes.
    Kick(Removal),
    /// Those of a silent node.
    Gone(Gone),
    /// None, but the rows of runs that are fenced: a new run of a node has begun.
    Join,
}

impl Replication {
    pub(super) fn new(options: LogOptions) -> Self {
        Self {
            options,
            phase: Phase::Reading,
            proposals: Proposals::default(),
            peers: Peers::default(),
            committed: VecDeque::new(),
            applying: None,
            adopting_from: None,
            sending_away: SendingAway::No,
            snapshots: Snapshots::default(),
            is_starting_over: false,
            access: Access {
                available: false,
                since: Instant::ZERO,
                outage: Duration::ZERO,
                heard: Instant::ZERO,
            },
        }
    }

    /// The number of this run, if it takes part.
    pub(super) const fn incarnation(&self) -> Option<u64> {
        match self.phase {
            Phase::Joined { incarnation } => Some(incarnation),
            _ => None,
        }
    }

    pub(super) const fn is_available(&self) -> bool {
        self.access.available
    }

    /// Whether it takes part and may send an entry to the log now.
    pub(super) fn may_append(&self) -> bool {
        self.access.available
            && self.incarnation().is_some()
            && self.proposals.may_send(&self.options)
    }

    /// Sets whether the log can be reached. Returns whether that is a change.
    pub(super) fn set_available(&mut self, available: bool, now: Instant) -> bool {
        if self.access.available == available {
            return false;
        }
        if available {
            self.access.outage = now.saturating_since(self.access.since);
        }
        (self.access.available, self.access.since) = (available, now);
        true
    }

    /// An entry of this node was confirmed, or it could not have been.
    pub(super) const fn set_heard(&mut self, now: Instant) {
        self.access.heard = now;
    }

    /// The log is read from a snapshot or from the beginning again.
    pub(super) fn start_over(&mut self) {
        if self.phase == Phase::Halted {
            return;
        }
        self.phase = Phase::Reading;
        self.is_starting_over = true;
        self.committed.clear();
        self.applying = None;
        self.adopting_from = None;
        self.peers = Peers::default();
        self.snapshots = Snapshots::default();
    }

    /// Whether the node has heard nothing of its own for so long that others may have fenced it.
    pub(super) fn is_cut_off(&self, now: Instant) -> bool {
        self.access.heard + self.options.lease <= now
    }

    /// Until when a grace period that ends at `end` has to last: nobody's ends while the log is
    /// away, and clients that could not come back elsewhere meanwhile have the same time anew.
    pub(super) fn grace_end(&self, end: Instant, period: Duration, now: Instant) -> Instant {
        const CHECK: Duration = Duration::from_secs(1);
        if !self.access.available || self.incarnation().is_none() {
            return now + CHECK;
        }
        let started = end - period;
        if started >= self.access.since {
            return end;
        }
        end.max((end + self.access.outage).min(self.access.since + period))
    }

    /// The next deadline of the node as such, apart from its peers.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.phase == Phase::Halted {
            return None;
        }
        let applies = !self.committed.is_empty() || self.applying.is_some();
        if applies || matches!(self.sending_away, SendingAway::From(_)) {
            return Some(now);
        }
        let wait = self.proposals.next_refusal(self.options.wait);
        let is_cut_off = self.is_cut_off(now);
        let cut_off = (!is_cut_off).then(|| self.access.heard + self.options.lease);
        let wait = sooner(wait, cut_off);
        if self.incarnation().is_none() {
            let join = self.proposals.next_join().filter(|_| self.access.available);
            return sooner(wait, join);
        }
        if self.adopting_from.is_some() && !is_cut_off {
            return Some(now);
        }
        let append = self.proposals.next_append(&self.options).filter(|_| self.access.available);
        sooner(wait, append)
    }
}
