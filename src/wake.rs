//! When to call again.

use crate::{Instant, Now};
use core::time::Duration;

/// When a half wants to be called again though nothing came in: what `handle` returns.
///
/// Call `handle` with `Input::Tick` when [`delay`](Self::delay) has passed and nothing else came in.
/// Each call returns all there is to wait for, so that only the newest one counts. Calling earlier,
/// later or more often is harmless: an early tick does nothing, a late one does what was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "without a tick at this time, timeouts, retries and leaves after the grace do not happen"]
pub struct Wake(Option<Instant>);

impl Wake {
    pub(crate) const fn at_opt(deadline: Option<Instant>) -> Self {
        Self(deadline)
    }

    /// The deadline, or `None` if nothing is due before the next input.
    #[must_use]
    pub const fn at(self) -> Option<Instant> {
        self.0
    }

    /// How long to wait from `now` on: zero if it is due already, `None` if there is nothing to
    /// wait for.
    #[must_use]
    pub fn delay(self, now: Now) -> Option<Duration> {
        self.0.map(|at| at.saturating_since(now.mono))
    }
}
