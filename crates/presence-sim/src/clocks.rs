//! The clocks of the hosts, and the count of their ticks.

use presence_proto::{Instant, Now, UnixMillis};

/// Unix time of all wall clocks at virtual time 0, in milliseconds.
const EPOCH: i64 = 1_000_000_000;

/// Ticks per virtual second above which a half counts as stuck in a loop.
const MAX_TICKS: u32 = 20_000;

/// The rate of a clock that is right.
const PER_MILLE: u64 = 1_000;

/// Both clocks of a host at the virtual time `now`, if its monotonic clock is right.
pub(crate) fn clocks(now: u64, wall_offset: i64) -> Now {
    Now::new(Instant::from_millis(now), wall(now, wall_offset))
}

fn wall(now: u64, offset: i64) -> UnixMillis {
    UnixMillis::from_millis(EPOCH.saturating_add_unsigned(now).saturating_add(offset))
}

/// The clocks of a node's host. They need not be right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// How far the wall clock is ahead, in milliseconds.
    pub(crate) wall_offset: i64,
    /// Milliseconds of the monotonic clock in a second of virtual time.
    per_mille: u64,
    /// The virtual time at which the rate was set, and the monotonic clock at that time.
    since: u64,
    mono: u64,
}

impl Clocks {
    pub(crate) const fn new() -> Self {
        Self { wall_offset: 0, per_mille: PER_MILLE, since: 0, mono: 0 }
    }

    /// The clocks at the virtual time `now`.
    pub(crate) fn read(&self, now: u64) -> Now {
        Now::new(Instant::from_millis(self.mono_at(now)), wall(now, self.wall_offset))
    }

    /// The virtual time at which the monotonic clock reaches `at`.
    pub(crate) const fn virtual_time(&self, at: Instant) -> u64 {
        let left = at.as_millis().saturating_sub(self.mono);
        if self.per_mille == PER_MILLE {
            return self.since.saturating_add(left);
        }
        self.since.saturating_add(left.saturating_mul(PER_MILLE).div_ceil(self.per_mille))
    }

    /// Sets the rate of the monotonic clock, at least 1.
    pub(crate) fn set_rate(&mut self, now: u64, per_mille: u32) {
        self.mono = self.mono_at(now);
        self.since = now;
        self.per_mille = u64::from(per_mille.max(1));
    }

    const fn mono_at(&self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.since);
        self.mono + passed.saturating_mul(self.per_mille) / PER_MILLE
    }
}

/// Ticks of a half in the current virtual second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ticks {
    second: u64,
    count: u32,
}

impl Ticks {
    /// Counts a tick. True if there are too many.
    pub(crate) fn count(&mut self, now: u64) -> bool {
        let second = now / 1_000;
        if second != self.second {
            *self = Self { second, count: 0 };
        }
        self.count += 1;
        self.count > MAX_TICKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_due_at_the_first_millisecond_in_which_its_clock_has_reached_it() {
        for per_mille in [1, 333, 999, 1_000, 1_001, 3_000] {
            let mut clocks = Clocks::new();
            clocks.set_rate(100, per_mille);
            for deadline in (100..300).map(Instant::from_millis) {
                let due = clocks.virtual_time(deadline);
                assert!(clocks.read(due).mono >= deadline, "{per_mille} {deadline:?}");
                assert!(due == 100 || clocks.read(due - 1).mono < deadline, "{per_mille}");
            }
        }
    }

    #[test]
    fn a_change_of_the_rate_does_not_step_the_clock() {
        let mut clocks = Clocks::new();
        clocks.set_rate(1_000, 500);
        assert_eq!(clocks.read(1_000).mono.as_millis(), 1_000);
        clocks.set_rate(2_000, 2_000);
        assert_eq!(clocks.read(2_000).mono.as_millis(), 1_500);
        assert_eq!(clocks.read(2_100).mono.as_millis(), 1_700);
    }
}
