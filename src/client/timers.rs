//! The timers of a client: a fixed table for the connection, one timer for each channel.

use super::channels::Slot;
use crate::Instant;
use alloc::collections::BTreeSet;

/// What the connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The end of `connectionStateTtl` (RTN14e).
    StateTtl,
    /// A connection attempt or a close takes too long (RTN14c, RTN12b).
    Request,
    /// The next attempt is due (RTN14d, RTN14e).
    Retry,
    /// The server has been silent for too long (RTN23a).
    Idle,
    /// The oldest ping that waits for its answer takes too long (RTN13c).
    Ping,
}

const COUNT: usize = Timer::Ping as usize + 1;
const ALL: [Timer; COUNT] =
    [Timer::StateTtl, Timer::Request, Timer::Retry, Timer::Idle, Timer::Ping];

/// A timer that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Connection(Timer),
    Channel(Slot),
}

/// All timers of a client. The earliest is known without a search through the channels.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    connection: [Option<Instant>; COUNT],
    channels: BTreeSet<(Instant, Slot)>,
    /// The earliest of them all, which is asked for far more often than it changes.
    next: Option<Instant>,
}

impl Timers {
    pub(super) fn arm(&mut self, timer: Timer, at: Instant) {
        self.set(timer, Some(at));
    }

    pub(super) fn cancel(&mut self, timer: Timer) {
        self.set(timer, None);
    }

    fn set(&mut self, timer: Timer, at: Option<Instant>) {
        if let Some(place) = self.connection.get_mut(timer as usize) {
            *place = at;
            self.find_next();
        }
    }

    pub(super) fn is_armed(&self, timer: Timer) -> bool {
        self.connection.get(timer as usize).is_some_and(Option::is_some)
    }

    /// Arms or cancels the timer of a channel, which remembers its own deadline.
    pub(super) fn set_channel(
        &mut self,
        slot: Slot,
        deadline: &mut Option<Instant>,
        at: Option<Instant>,
    ) {
        if *deadline == at {
            return;
        }
        if let Some(old) = deadline.take() {
            self.channels.remove(&(old, slot));
        }
        if let Some(at) = at {
            self.channels.insert((at, slot));
            *deadline = Some(at);
        }
        self.find_next();
    }

    /// The earliest deadline of all.
    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }

    fn find_next(&mut self) {
        let channel = self.channels.first().map(|&(at, _)| at);
        self.next = self.connection.iter().flatten().copied().chain(channel).min();
    }

    /// Takes out the timer that is due first at or before `now`; of those due together, the
    /// connection's come first.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Due> {
        let earliest = self.next.filter(|&at| at <= now)?;
        for timer in ALL {
            if self.connection.get(timer as usize) == Some(&Some(earliest)) {
                self.cancel(timer);
                return Some(Due::Connection(timer));
            }
        }
        let (_, slot) = self.channels.pop_first()?;
        self.find_next();
        Some(Due::Channel(slot))
    }
}
