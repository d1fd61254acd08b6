//! Accepted message serials, to recognize repeated frames.

use smallvec::SmallVec;

/// Maximum of gaps.
const MAX_GAPS: usize = 64;

/// The accepted message serials of a connection (RTN19a): all up to the highest, except for gaps. A
/// gap is left by a refused frame, or by a client that resends in another order: after a resume,
/// frames of channels that are not attached yet are sent last.
#[derive(Clone, Debug)]
pub(in crate::server) struct AcceptedSerials {
    highest: i64,
    /// The first and last serial of each gap, ascending. Beyond the maximum the oldest gap is
    /// dropped, and its serials count as accepted.
    gaps: SmallVec<[(i64, i64); 1]>,
}

impl Default for AcceptedSerials {
    fn default() -> Self {
        Self { highest: -1, gaps: SmallVec::new() }
    }
}

impl AcceptedSerials {
    /// The highest serial (-1 if there is none), and the gaps.
    pub(in crate::server) fn parts(&self) -> (i64, &[(i64, i64)]) {
        (self.highest, &self.gaps)
    }

    /// The serials of these parts. `None` if the gaps are not ascending below the highest, or too
    /// many.
    pub(in crate::server) fn from_parts(highest: i64, gaps: &[(i64, i64)]) -> Option<Self> {
        let ordered = gaps.iter().all(|(first, last)| 0 <= *first && first <= last);
        let ascending = gaps.windows(2).all(|pair| matches!(pair, [a, b] if a.1 < b.0));
        let below = gaps.last().is_none_or(|(_, last)| *last < highest);
        let fits = highest >= -1 && gaps.len() <= MAX_GAPS;
        (ordered && ascending && below && fits)
            .then(|| Self { highest, gaps: SmallVec::from_slice(gaps) })
    }

    /// Whether the serial is accepted.
    pub(in crate::server) fn contains(&self, serial: i64) -> bool {
        (0..=self.highest).contains(&serial) && self.gap_of(serial).is_none()
    }

    /// Makes a serial new again, so that a repeated frame is applied again.
    pub(in crate::server) fn forget(&mut self, serial: i64) {
        if !self.contains(serial) {
            return;
        }
        if serial == self.highest {
            // Serials above the highest are new, so a gap that ends just below is dropped.
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

    pub(in crate::server) fn insert(&mut self, serial: i64) {
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
        if self.gaps.len() > MAX_GAPS {
            self.gaps.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtn19a_accepted_serials_are_recognized_in_any_order() {
        let mut serials = AcceptedSerials::default();
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
    fn rtn19a_a_serial_overtaken_by_many_others_is_still_new() {
        let mut serials = AcceptedSerials::default();
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
        let mut serials = AcceptedSerials::default();
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
    fn consecutive_forgotten_serials_are_one_gap() {
        let mut serials = AcceptedSerials::default();
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
    fn gaps_are_bounded_and_the_oldest_is_dropped() {
        let mut serials = AcceptedSerials::default();
        (0..1_000).for_each(|serial| serials.insert(2 * serial + 1));
        assert_eq!(serials.gaps.len(), MAX_GAPS);
        assert!(serials.contains(0) && !serials.contains(1_998));
    }

    #[test]
    fn the_first_serial_is_arbitrary() {
        let mut serials = AcceptedSerials::default();
        serials.insert(500);
        assert!(serials.contains(500) && !serials.contains(499) && !serials.contains(501));
    }
}
