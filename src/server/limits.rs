//! Rates and repeated frames: what is counted per connection and per channel.

use super::Rate;
use crate::Instant;

/// A token bucket in one number: the time, in microseconds, at which it is full again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    full_at: u64,
}

impl Bucket {
    /// Takes `count` tokens if there are as many; otherwise none.
    pub(super) fn take(&mut self, rate: Rate, now: Instant, count: u32) -> bool {
        if rate.per_second == 0 {
            return true;
        }
        let now = now.as_millis().saturating_mul(1_000);
        let cost = |tokens: u32| u64::from(tokens) * 1_000_000 / u64::from(rate.per_second);
        let full_at = self.full_at.max(now).saturating_add(cost(count));
        if full_at - now > cost(rate.burst) {
            return false;
        }
        self.full_at = full_at;
        true
    }
}

/// Which message serials of a connection have been accepted (RTN19a): the highest and, as clients
/// may send a few out of order when they retry, the 63 before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Serials {
    highest: i64,
    /// Bit n: `highest` - n was accepted. Zero before the first.
    accepted: u64,
}

impl Serials {
    /// Whether a frame with this serial was accepted before. What is too old to be remembered
    /// counts as accepted.
    pub(super) const fn contains(&self, serial: i64) -> bool {
        if self.accepted == 0 || serial > self.highest {
            return false;
        }
        let back = self.highest.abs_diff(serial);
        back >= 64 || self.accepted >> back & 1 == 1
    }

    /// A frame with this serial, if it comes again, is to be carried out again.
    pub(super) const fn forget(&mut self, serial: i64) {
        let back = self.highest.abs_diff(serial);
        if serial <= self.highest && back < 64 {
            self.accepted &= !(1 << back);
        }
    }

    pub(super) const fn insert(&mut self, serial: i64) {
        if self.accepted == 0 || serial > self.highest {
            let forward = self.highest.abs_diff(serial);
            self.accepted = if forward >= 64 { 0 } else { self.accepted << forward };
            self.accepted |= 1;
            self.highest = serial;
        } else {
            let back = self.highest.abs_diff(serial);
            if back < 64 {
                self.accepted |= 1 << back;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate { per_second: 10, burst: 3 };
        let mut bucket = Bucket::default();
        let at = Instant::from_millis;
        for _ in 0..3 {
            assert!(bucket.take(rate, at(5), 1));
        }
        assert!(!bucket.take(rate, at(5), 1));
        assert!(!bucket.take(rate, at(104), 1));
        assert!(bucket.take(rate, at(105), 1));
        assert!(!bucket.take(rate, at(105), 1));
        assert!(bucket.take(rate, at(10_000), 3));
        assert!(!bucket.take(rate, at(10_000), 1));
        assert!(!bucket.take(rate, at(60_000), 4));
        assert!(Bucket::default().take(Rate::UNLIMITED, at(0), u32::MAX));
    }

    #[test]
    fn rtn19a_accepted_serials_are_known_again_in_any_order() {
        let mut serials = Serials::default();
        assert!(!serials.contains(0));
        serials.insert(0);
        assert!(serials.contains(0) && !serials.contains(1));
        serials.insert(6);
        assert!(!serials.contains(5));
        serials.insert(5);
        assert!(serials.contains(5) && serials.contains(6) && !serials.contains(4));
        serials.insert(1_000);
        assert!(serials.contains(6) && serials.contains(4));
        assert!(!serials.contains(999) && !serials.contains(1_001));
        serials.insert(i64::MAX);
        assert!(serials.contains(0) && serials.contains(i64::MAX));
    }

    #[test]
    fn the_first_serial_may_be_any() {
        let mut serials = Serials::default();
        serials.insert(500);
        assert!(serials.contains(500) && !serials.contains(499) && !serials.contains(501));
    }
}
