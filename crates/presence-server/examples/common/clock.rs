//! The two clocks that a core is told. It has none of its own: each call brings what they show.

#![allow(clippy::disallowed_methods, reason = "a driver is where clocks are read")]

use presence_proto::{Instant, Now, UnixMillis};
use std::time;

/// Reads both clocks; the monotonic one counts from when this was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: time::Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        let mono = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now::new(Instant::from_millis(mono), wall())
    }
}

/// The wall clock.
pub(crate) fn wall() -> UnixMillis {
    let since_epoch = time::UNIX_EPOCH.elapsed().unwrap_or_default();
    UnixMillis::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
