//! Token buckets.

use super::Rate;
use crate::Instant;

/// A token bucket, stored as one number: the time in microseconds at which it is full again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TokenBucket {
    full_at: u64,
}

impl TokenBucket {
    /// Takes `count` tokens, or none if there are fewer.
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

    /// The earliest time at which a token is available.
    pub(super) fn next_token(&self, rate: Rate) -> Instant {
        let cost = |tokens: u32| u64::from(tokens) * 1_000_000 / u64::from(rate.per_second.max(1));
        let at = self.full_at.saturating_add(cost(1)).saturating_sub(cost(rate.burst.max(1)));
        Instant::from_millis(at.div_ceil(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_allows_its_burst_and_then_its_rate() {
        let rate = Rate { per_second: 10, burst: 3 };
        let mut bucket = TokenBucket::default();
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
        assert!(TokenBucket::default().take(Rate::UNLIMITED, at(0), u32::MAX));
    }

    #[test]
    fn the_next_token_is_available_exactly_when_announced() {
        for (per_second, burst) in [(1, 3), (10, 1), (7, 5), (1_000, 1)] {
            let rate = Rate { per_second, burst };
            let mut bucket = TokenBucket::default();
            while bucket.take(rate, Instant::from_millis(5_000), 1) {}
            let next = bucket.next_token(rate);
            let before = Instant::from_millis(next.as_millis() - 1);
            assert!(!bucket.clone().take(rate, before, 1), "{rate:?}");
            assert!(bucket.take(rate, next, 1), "{rate:?}");
        }
    }
}
