//! The timers of the connection. Those of the channels stand with the channels.

use crate::Instant;

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

/// One deadline for each timer that is armed.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    state_ttl: Option<Instant>,
    request: Option<Instant>,
    retry: Option<Instant>,
    idle: Option<Instant>,
    ping: Option<Instant>,
    /// The earliest of them, which is asked for far more often than it changes.
    next: Option<Instant>,
}

/// Of those due together, the first in this order fires first.
const ALL: [Timer; 5] = [Timer::StateTtl, Timer::Request, Timer::Retry, Timer::Idle, Timer::Ping];

impl Timers {
    pub(super) fn arm(&mut self, timer: Timer, at: Instant) {
        self.set(timer, Some(at));
    }

    pub(super) fn cancel(&mut self, timer: Timer) {
        self.set(timer, None);
    }

    const fn deadline(&mut self, timer: Timer) -> &mut Option<Instant> {
        match timer {
            Timer::StateTtl => &mut self.state_ttl,
            Timer::Request => &mut self.request,
            Timer::Retry => &mut self.retry,
            Timer::Idle => &mut self.idle,
            Timer::Ping => &mut self.ping,
        }
    }

    fn set(&mut self, timer: Timer, at: Option<Instant>) {
        *self.deadline(timer) = at;
        let all = [self.state_ttl, self.request, self.retry, self.idle, self.ping];
        self.next = all.into_iter().flatten().min();
    }

    pub(super) const fn state_ttl_is_armed(&self) -> bool {
        self.state_ttl.is_some()
    }

    /// The earliest deadline.
    pub(super) const fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Takes out the timer that is due first at or before `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let next = self.next.filter(|&at| at <= now)?;
        let timer = ALL.into_iter().find(|&timer| *self.deadline(timer) == Some(next))?;
        self.cancel(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_timer_fires_first_and_only_once() {
        let mut timers = Timers::default();
        let at = Instant::from_millis;
        timers.arm(Timer::Ping, at(10));
        timers.arm(Timer::Idle, at(30));
        timers.arm(Timer::Request, at(20));
        timers.arm(Timer::StateTtl, at(20));
        timers.arm(Timer::Idle, at(5));
        timers.cancel(Timer::Ping);
        assert_eq!(timers.next_deadline(), Some(at(5)));
        let fired: [_; 4] = core::array::from_fn(|_| timers.pop_due(at(20)));
        assert_eq!(fired, [Some(Timer::Idle), Some(Timer::StateTtl), Some(Timer::Request), None]);
        assert_eq!(timers.next_deadline(), None);
    }
}
