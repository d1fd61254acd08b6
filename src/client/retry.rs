//! Retry delays (RTB1), and their random number generator.

use core::time::Duration;

/// SplitMix64, for jitter and ping ids. Not for secrets.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The delay before retry number `attempt`, which counts from 1: the initial delay, times
/// min((n + 2) / 3, 2) (RTB1a), times a coefficient between 0.8 and 1 (RTB1b).
pub(super) fn delay(initial: Duration, attempt: u32, jitter: Option<&mut Rng>) -> Duration {
    let thirds = u128::from(attempt.saturating_add(2).clamp(3, 6));
    let scattered = jitter.map_or(1000, |rng| 800 + u128::from(rng.next() % 201));
    let millis = initial.as_millis().saturating_mul(thirds).saturating_mul(scattered) / 3000;
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtb1a_delays_grow_to_twice_the_first() {
        let delays: [u64; 6] = core::array::from_fn(|n| {
            let attempt = u32::try_from(n).unwrap_or_default() + 1;
            u64::try_from(delay(Duration::from_secs(15), attempt, None).as_millis())
                .unwrap_or_default()
        });
        assert_eq!(delays, [15_000, 20_000, 25_000, 30_000, 30_000, 30_000]);
        assert_eq!(delay(Duration::from_secs(15), u32::MAX, None), Duration::from_secs(30));
        assert_eq!(delay(Duration::MAX, 9, None), Duration::from_millis(u64::MAX));
    }

    #[test]
    fn rtb1b_delays_are_scattered_between_80_and_100_percent() {
        let mut rng = Rng::new(7);
        let delays: [u128; 500] =
            core::array::from_fn(|_| delay(Duration::from_secs(10), 1, Some(&mut rng)).as_millis());
        assert!(delays.iter().all(|d| (8_000..=10_000).contains(d)));
        assert!(delays.iter().any(|&d| d < 8_200) && delays.iter().any(|&d| d > 9_800));
    }
}
