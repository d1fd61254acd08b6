//! The clocks of the system, for hosts with `std`.

#![allow(clippy::disallowed_methods, reason = "clocks are read here, for hosts that ask for it")]

use crate::{Instant, Now, UnixMillis};
use std::time;

/// Reads the two clocks that a host passes in. Nothing else in this crate reads a clock.
///
/// The monotonic clock counts from [`start`](Self::start). All calls of one state machine must use the
/// same `Clock`, or clones of it.
///
/// ```
/// use presence_proto::Clock;
///
/// let clock = Clock::start();
/// let earlier = clock.now();
/// assert!(clock.now().mono >= earlier.mono);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: time::Instant,
}

impl Clock {
    /// A clock whose monotonic time is zero now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: time::Instant::now() }
    }

    /// The time of both clocks, in milliseconds.
    #[must_use]
    pub fn now(&self) -> Now {
        let mono = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now::new(Instant::from_millis(mono), Self::wall())
    }

    /// The time of the wall clock. Before 1970 it is zero.
    #[must_use]
    pub fn wall() -> UnixMillis {
        let since_epoch = time::UNIX_EPOCH.elapsed().unwrap_or_default();
        UnixMillis::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}
