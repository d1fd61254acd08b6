//! Rates and repeated frames: what is counted per connection and per channel.

use super::Rate;
use crate::Instant;
use smallvec::SmallVec;

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

    /// When it has a token again.
    pub(super) fn next(&self, rate: Rate) -> Instant {
        let cost = |tokens: u32| u64::from(tokens) * 1_000_000 / u64::from(rate.per_second.max(1));
        let at = self.full_at.saturating_add(cost(1)).saturating_sub(cost(rate.burst.max(1)));
        Instant::from_millis(at.div_ceil(1_000))
    }
}

/// Gaps among the accepted serials that are remembered.
const GAPS: usize = 64;

/// Which message serials of a connection have been accepted (RTN19a): all up to the highest, but
/// for some gaps. Gaps come from refused frames, and from clients that retry in another order:
/// what waits for its channel after a resume is overtaken by everything else.
#[derive(Clone, Debug)]
pub(super) struct Serials {
    highest: i64,
    /// The first and the last of each gap, in order. Of too many the oldest is forgotten: its
    /// serials count as accepted.
    gaps: SmallVec<[(i64, i64); 1]>,
}

impl Default for Serials {
    fn default() -> Self {
        Self { highest: -1, gaps: SmallVec::new() }
    }
}

impl Serials {
    /// Whether a frame with this serial was accepted before.
    pub(super) fn contains(&self, serial: i64) -> bool {
        (0..=self.highest).contains(&serial) && self.gap_of(serial).is_none()
    }

    /// A frame with this serial, if it comes again, is to be carried out again.
    pub(super) fn forget(&mut self, serial: i64) {
        if !self.contains(serial) {
            return;
        }
        if serial == self.highest {
            // All above the highest are new; a gap that it closed is above it now.
            let before = serial - 1;
            self.highest = before;
            if let Some(&(first, last)) = self.gaps.last()
                && last == before
            {
                self.gaps.pop();
                self.highest = first - 1;
            }
            return;
        }
        let place = self.gaps.partition_point(|(first, _)| *first < serial);
        let (mut gap, mut from, mut to) = ((serial, serial), place, place);
        if let Some(before) = place.checked_sub(1).and_then(|at| self.gaps.get(at))
            && before.1 == serial - 1
        {
            (gap.0, from) = (before.0, place - 1);
        }
        if let Some(after) = self.gaps.get(place).filter(|after| after.0 - 1 == serial) {
            (gap.1, to) = (after.1, place + 1);
        }
        self.gaps.drain(from..to);
        self.add_gap(from, gap);
    }

    pub(super) fn insert(&mut self, serial: i64) {
        if serial > self.highest {
            let next = self.highest.saturating_add(1);
            self.highest = serial;
            if serial > next {
                self.add_gap(self.gaps.len(), (next, serial - 1));
            }
            return;
        }
        let Some(place) = self.gap_of(serial) else { return };
        let (first, last) = self.gaps.remove(place);
        if serial < last {
            self.add_gap(place, (serial + 1, last));
        }
        if first < serial {
            self.add_gap(place, (first, serial - 1));
        }
    }

    fn gap_of(&self, serial: i64) -> Option<usize> {
        let place = self.gaps.partition_point(|(_, last)| *last < serial);
        self.gaps.get(place).filter(|(first, _)| *first <= serial).map(|_| place)
    }

    fn add_gap(&mut self, place: usize, gap: (i64, i64)) {
        self.gaps.insert(place, gap);
        if self.gaps.len() > GAPS {
            self.gaps.remove(0);
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
    fn a_bucket_knows_when_it_has_a_token_again() {
        for (per_second, burst) in [(1, 3), (10, 1), (7, 5), (1_000, 1)] {
            let rate = Rate { per_second, burst };
            let mut bucket = Bucket::default();
            while bucket.take(rate, Instant::from_millis(5_000), 1) {}
            let next = bucket.next(rate);
            let before = Instant::from_millis(next.as_millis() - 1);
            assert!(!bucket.clone().take(rate, before, 1), "{rate:?}");
            assert!(bucket.take(rate, next, 1), "{rate:?}");
        }
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
        serials.insert(3);
        assert!(serials.contains(3) && !serials.contains(2) && !serials.contains(4));
        serials.insert(i64::MAX);
        assert!(serials.contains(6) && serials.contains(i64::MAX) && !serials.contains(7));
    }

    #[test]
    fn rtn19a_what_was_overtaken_by_any_number_of_frames_is_still_new() {
        let mut serials = Serials::default();
        for serial in (0..10).chain(20..10_000) {
            serials.insert(serial);
        }
        for serial in 10..20 {
            assert!(!serials.contains(serial), "{serial}");
            serials.insert(serial);
            assert!(serials.contains(serial), "{serial}");
        }
        assert_eq!(serials.gaps.as_slice(), []);
    }

    #[test]
    fn a_forgotten_serial_is_new_again() {
        let mut serials = Serials::default();
        (0..10).for_each(|serial| serials.insert(serial));
        for serial in [4, 5, 9, 10, -1] {
            serials.forget(serial);
            assert!(!serials.contains(serial));
        }
        assert!(serials.contains(3) && serials.contains(6) && serials.contains(8));
        serials.insert(4);
        assert!(serials.contains(4) && !serials.contains(5));
    }

    #[test]
    fn forgotten_serials_that_follow_each_other_are_one_gap() {
        let mut serials = Serials::default();
        (0..1_000).for_each(|serial| serials.insert(serial));
        (700..800).for_each(|serial| serials.forget(serial));
        (100..600).rev().for_each(|serial| serials.forget(serial));
        assert_eq!(serials.gaps.as_slice(), [(100, 599), (700, 799)]);
        (600..700).for_each(|serial| serials.forget(serial));
        assert_eq!(serials.gaps.as_slice(), [(100, 799)]);
        (100..800).for_each(|serial| serials.insert(serial));
        assert_eq!(serials.gaps.as_slice(), []);
    }

    #[test]
    fn gaps_are_bounded_and_the_oldest_is_forgotten() {
        let mut serials = Serials::default();
        (0..1_000).for_each(|serial| serials.insert(2 * serial + 1));
        assert_eq!(serials.gaps.len(), GAPS);
        assert!(serials.contains(0) && !serials.contains(1_998));
    }

    #[test]
    fn the_first_serial_may_be_any() {
        let mut serials = Serials::default();
        serials.insert(500);
        assert!(serials.contains(500) && !serials.contains(499) && !serials.contains(501));
    }
}
