//! The timers of the connection. Channels have their own deadlines.

use crate::Instant;

/// A timer of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// `connectionStateTtl` expires (RTN14e).
    StateTtl,
    /// A connection attempt or a close times out (RTN14c, RTN12b).
    Request,
    /// The next attempt is due (RTN14d, RTN14e).
    Retry,
    /// The idle timeout: nothing received from the server (RTN23a).
    Idle,
    /// The oldest sent ping times out (RTN13c).
    Ping,
}

/// The deadlines of the armed timers.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    state_ttl: Option<Instant>,
    request: Option<Instant>,
    retry: Option<Instant>,
    idle: Option<Instant>,
    ping: Option<Instant>,
    /// The earliest deadline, cached: read on every call, seldom changed.
    next: Option<Instant>,
}

/// Timers due at the same time fire in this order.
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

    /// Disarms and returns the earliest timer due at `now`.
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
    fn timers_fire_once_and_in_order() {
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
