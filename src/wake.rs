//! The next deadline.

use crate::{Instant, Now};
use core::time::Duration;

/// The next deadline of a half: it must be called by then, even without an input.
///
/// Call `handle` with `Input::Tick` at that time; without the tick, timeouts, retries and leaves at
/// the end of a grace period do not happen. Each call of `handle` returns the new deadline, which
/// replaces the one before; `next_wake` returns it at any other time. An early tick does nothing, a
/// late one does what was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake(Option<Instant>);

impl Wake {
    pub(crate) const fn at_opt(deadline: Option<Instant>) -> Self {
        Self(deadline)
    }

    /// The deadline on the monotonic clock; `None` if nothing is due before the next input.
    #[must_use]
    pub const fn at(self) -> Option<Instant> {
        self.0
    }

    /// Time from `now` until the deadline: zero if it has passed, `None` without a deadline.
    #[must_use]
    pub fn delay(self, now: Now) -> Option<Duration> {
        self.0.map(|at| at.saturating_since(now.mono))
    }
}
