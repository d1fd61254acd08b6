//! A hierarchical timing wheel, with one timer for each number.
//!
//! Arming, re-arming, cancelling and the next deadline are O(1), without allocation for numbers
//! already used. Before it expires, a timer is moved at most once per level.

use crate::Instant;
use alloc::vec::Vec;

/// The neighbour of an unarmed timer.
const NONE: u32 = u32::MAX;
/// Buckets per level.
const BUCKETS: usize = 64;
/// Bits of a deadline per level.
const BITS: u32 = 6;
/// Levels. They cover 2^42 ms (139 years). Later deadlines are kept in the last bucket and placed
/// again when it begins.
const LEVELS: usize = 7;
/// Nodes of buckets, before the nodes of timers.
const BUCKET_NODES: usize = LEVELS * BUCKETS;

/// Timers by number. Numbers are dense.
#[derive(Clone, Debug)]
pub(super) struct Wheel {
    /// All buckets, level by level, then all timers by number. A bucket is a circular list: its own
    /// node comes before its first timer and after its last.
    nodes: Vec<Node>,
    /// Non-empty buckets of each level, as bits.
    occupied: [u64; LEVELS],
    /// Time up to which timers have been processed.
    elapsed: u64,
    /// The bucket whose timers are being moved to lower levels (cascaded).
    cascading: Option<u32>,
    /// No timer is due, and none cascades, before this time. Lets most calls return at once.
    quiet_until: u64,
    /// Whether `elapsed` may advance up to `quiet_until`: no bucket begins before.
    between_buckets: bool,
    armed: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// For a bucket: a lower bound of its deadlines. Too early after a timer was cancelled.
    deadline: u64,
    next: u32,
    previous: u32,
}

const UNARMED: Node = Node { deadline: 0, next: NONE, previous: NONE };

impl Node {
    const fn empty(bucket: u32) -> Self {
        Self { deadline: u64::MAX, next: bucket, previous: bucket }
    }
}

/// The index of a timer's node.
const fn index(number: u32) -> usize {
    number as usize + BUCKET_NODES
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            nodes: (0..BUCKET_NODES as u32).map(Node::empty).collect(),
            occupied: [0; LEVELS],
            elapsed: 0,
            cascading: None,
            quiet_until: u64::MAX,
            between_buckets: true,
            armed: 0,
        }
    }

    /// Number of armed timers.
    pub(super) const fn armed(&self) -> usize {
        self.armed
    }

    /// Arms a timer, and replaces its previous deadline. A past deadline is due at once.
    pub(super) fn arm(&mut self, number: u32, deadline: Instant) {
        let index = index(number);
        match self.nodes.get(index) {
            Some(node) if node.next != NONE => self.unlink(*node),
            Some(_) => self.armed += 1,
            None => {
                self.nodes.resize(index + 1, UNARMED);
                self.armed += 1;
            }
        }
        self.link(index, deadline.as_millis());
    }

    /// Cancels a timer, if it is armed.
    pub(super) fn cancel(&mut self, number: u32) {
        let Some(node) = self.nodes.get_mut(index(number)) else { return };
        let node = core::mem::replace(node, UNARMED);
        if node.next != NONE {
            self.unlink(node);
            self.armed -= 1;
        }
    }

    /// The next deadline. May be too early after a timer was cancelled.
    #[inline]
    pub(super) fn next(&self) -> Option<Instant> {
        if self.armed == 0 {
            return None;
        }
        if self.cascading.is_some() {
            return Some(Instant::from_millis(self.elapsed));
        }
        let (level, bucket) = self.first_bucket()?;
        Some(Instant::from_millis(self.nodes.get(level * BUCKETS + bucket)?.deadline))
    }

    /// Takes the next timer that is due at `now`, in order of deadlines, then of arming. `moves`
    /// bounds the cascaded timers. When it is used up, the result is `None` and
    /// [`next`](Self::next) is due.
    #[inline]
    pub(super) fn pop(&mut self, now: Instant, moves: &mut usize) -> Option<u32> {
        let now = now.as_millis();
        if now < self.quiet_until {
            if self.between_buckets {
                self.elapsed = self.elapsed.max(now);
            }
            return None;
        }
        self.pop_due(now, moves)
    }

    #[inline(never)]
    fn pop_due(&mut self, now: u64, moves: &mut usize) -> Option<u32> {
        loop {
            if let Some(bucket) = self.cascading {
                while let Some(first) = self.first_of(bucket as usize) {
                    *moves = moves.checked_sub(1)?;
                    let node = *self.nodes.get(first)?;
                    self.unlink(node);
                    self.link(first, node.deadline);
                }
                self.cascading = None;
            }
            let place = self.first_bucket();
            let start = place.map_or(u64::MAX, |(level, bucket)| self.start_of(level, bucket));
            let (Some((level, bucket)), true) = (place, start <= now) else {
                self.elapsed = self.elapsed.max(now);
                (self.quiet_until, self.between_buckets) = (start, true);
                return None;
            };
            let end = level * BUCKETS + bucket;
            if level == 0 {
                self.elapsed = self.elapsed.max(start);
                let first = self.first_of(end)?;
                let node = core::mem::replace(self.nodes.get_mut(first)?, UNARMED);
                self.unlink(node);
                self.armed -= 1;
                return u32::try_from(first - BUCKET_NODES).ok();
            }
            let earliest = self.nodes.get(end)?.deadline;
            if earliest > now {
                (self.quiet_until, self.between_buckets) = (earliest, false);
                return None;
            }
            // A bucket of a higher level begins: cascade it. It receives no new timers meanwhile,
            // because deadlines within it now belong to lower levels.
            self.elapsed = self.elapsed.max(start);
            self.cascading = Some(end as u32);
        }
    }

    /// The node of a bucket's first timer.
    fn first_of(&self, end: usize) -> Option<usize> {
        let first = self.nodes.get(end)?.next as usize;
        (first >= BUCKET_NODES).then_some(first)
    }

    /// The earliest non-empty bucket. All timers of a level are due before those of higher levels.
    #[inline]
    fn first_bucket(&self) -> Option<(usize, usize)> {
        let (level, occupied) = self.occupied.iter().enumerate().find(|(_, bits)| **bits != 0)?;
        let at = self.position(level);
        let ahead = occupied.rotate_right(at).trailing_zeros();
        Some((level, ((at + ahead) % BUCKETS as u32) as usize))
    }

    /// The current bucket of a level.
    const fn position(&self, level: usize) -> u32 {
        ((self.elapsed >> (BITS * level as u32)) % BUCKETS as u64) as u32
    }

    /// The time at which a bucket begins.
    const fn start_of(&self, level: usize, bucket: usize) -> u64 {
        let shift = BITS * level as u32;
        let round = (self.elapsed >> (shift + BITS)) << (shift + BITS);
        let start = round.saturating_add((bucket as u64) << shift);
        let position = self.position(level) as usize;
        // Only on the last level: a bucket before the current one belongs to the next round.
        if bucket < position { start.saturating_add(1 << (shift + BITS)) } else { start }
    }

    /// The level and the bucket of a deadline, and the time at which the bucket begins.
    const fn bucket_for(&self, at: u64) -> (usize, usize, u64) {
        let differing = 63 - (self.elapsed ^ at | (BUCKETS as u64 - 1)).leading_zeros();
        let level = (differing / BITS) as usize;
        if level < LEVELS {
            let shift = BITS * level as u32;
            let number = at >> shift;
            return (level, (number % BUCKETS as u64) as usize, number << shift);
        }
        // Beyond the last level's current round: the deadline's own bucket if it comes before the
        // current one recurs, else the latest bucket.
        let level = LEVELS - 1;
        let shift = BITS * level as u32;
        let ahead = (at >> shift) - (self.elapsed >> shift);
        let ahead = if ahead < BUCKETS as u64 { ahead as usize } else { BUCKETS - 1 };
        let bucket = (self.position(level) as usize + ahead) % BUCKETS;
        (level, bucket, self.start_of(level, bucket))
    }

    /// Appends a timer to the bucket of its deadline.
    fn link(&mut self, index: usize, deadline: u64) {
        let (level, bucket, start) = self.bucket_for(deadline.max(self.elapsed));
        self.quiet_until = self.quiet_until.min(start);
        if let Some(occupied) = self.occupied.get_mut(level) {
            *occupied |= 1 << bucket;
        }
        let end = level * BUCKETS + bucket;
        let Some(entry) = self.nodes.get_mut(end) else { return };
        entry.deadline = entry.deadline.min(deadline);
        let previous = core::mem::replace(&mut entry.previous, index as u32);
        if let Some(last) = self.nodes.get_mut(previous as usize) {
            last.next = index as u32;
        }
        if let Some(node) = self.nodes.get_mut(index) {
            *node = Node { deadline, next: end as u32, previous };
        }
    }

    /// Unlinks a timer from its bucket. `node`: its node before.
    fn unlink(&mut self, node: Node) {
        if let Some(previous) = self.nodes.get_mut(node.previous as usize) {
            previous.next = node.next;
        }
        if let Some(next) = self.nodes.get_mut(node.next as usize) {
            next.previous = node.previous;
        }
        if node.next == node.previous {
            // The bucket is empty.
            let bucket = node.next as usize;
            if let Some(end) = self.nodes.get_mut(bucket) {
                end.deadline = u64::MAX;
            }
            if let Some(occupied) = self.occupied.get_mut(bucket / BUCKETS) {
                *occupied &= !(1 << (bucket % BUCKETS));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec;

    fn pop(wheel: &mut Wheel, millis: u64) -> Option<u32> {
        wheel.pop(at(millis), &mut usize::MAX.clone())
    }

    const fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn timers_fire_at_their_millisecond_and_in_order() {
        let mut wheel = Wheel::new();
        wheel.arm(0, at(15_000));
        wheel.arm(1, at(14_999));
        wheel.arm(2, at(15_000));
        assert_eq!(wheel.next(), Some(at(14_999)));
        assert_eq!(pop(&mut wheel, 14_998), None);
        assert_eq!(pop(&mut wheel, 14_999), Some(1));
        assert_eq!(pop(&mut wheel, 14_999), None);
        assert_eq!(wheel.next(), Some(at(15_000)));
        assert_eq!(pop(&mut wheel, 20_000), Some(0));
        assert_eq!(pop(&mut wheel, 20_000), Some(2));
        assert_eq!((pop(&mut wheel, 20_000), wheel.armed()), (None, 0));
    }

    #[test]
    fn a_cancelled_timer_does_not_fire_and_a_rearmed_one_fires_once() {
        let mut wheel = Wheel::new();
        wheel.arm(0, at(10));
        wheel.arm(1, at(10));
        wheel.cancel(0);
        wheel.arm(1, at(5_000));
        assert_eq!(pop(&mut wheel, 4_999), None);
        assert_eq!(pop(&mut wheel, 5_000), Some(1));
        assert_eq!((pop(&mut wheel, u64::MAX), wheel.next()), (None, None));
    }

    #[test]
    fn a_deadline_in_the_past_is_due_at_once() {
        let mut wheel = Wheel::new();
        assert_eq!(pop(&mut wheel, 1_000_000), None);
        wheel.arm(3, at(5));
        assert!(wheel.next().is_some_and(|next| next <= at(1_000_000)));
        assert_eq!(pop(&mut wheel, 1_000_000), Some(3));
    }

    #[test]
    fn deadlines_beyond_the_last_level_are_kept() {
        let mut wheel = Wheel::new();
        wheel.arm(0, at(u64::MAX));
        wheel.arm(1, at(1 << 43));
        assert_eq!(pop(&mut wheel, (1 << 43) - 1), None);
        assert_eq!(pop(&mut wheel, 1 << 43), Some(1));
        assert_eq!(pop(&mut wheel, u64::MAX - 1), None);
        assert_eq!(pop(&mut wheel, u64::MAX), Some(0));
    }

    #[test]
    fn cascades_are_bounded_and_continue_later() {
        let mut wheel = Wheel::new();
        for number in 0..100 {
            wheel.arm(number, at(5_000));
        }
        let (mut fired, mut calls) = (0, 0);
        while wheel.armed() > 0 {
            calls += 1;
            let mut moves = 10;
            assert!(wheel.next().is_some_and(|next| next <= at(5_000)));
            while wheel.pop(at(5_000), &mut moves).is_some() {
                fired += 1;
            }
        }
        assert_eq!(fired, 100);
        assert!(calls >= 20);
    }

    /// Arming and cancelling have no loop, so that their cost does not depend on the number of
    /// timers. The cascades of expiry are counted here.
    #[test]
    fn a_million_timers_fire_in_order_with_two_cascades_each_at_most() {
        const COUNT: u32 = 1_000_000;
        // Deadlines of a server: up to two minutes, on the third level.
        let deadline = |number: u32, round: u32| {
            u64::from(number.wrapping_mul(2_654_435_761).wrapping_add(round) % 120_000)
        };
        let mut wheel = Wheel::new();
        (0..COUNT).for_each(|number| wheel.arm(number, at(deadline(number, 0))));
        (0..COUNT).step_by(2).for_each(|number| wheel.arm(number, at(deadline(number, 9))));
        (0..COUNT).step_by(3).for_each(|number| wheel.cancel(number));
        let armed = wheel.armed();
        assert_eq!(armed as u32, COUNT - COUNT.div_ceil(3));
        let (mut moves, mut fired, mut last) = (usize::MAX, 0, 0);
        while let Some(number) = wheel.pop(at(120_000), &mut moves) {
            let round = if number.is_multiple_of(2) { 9 } else { 0 };
            assert!(!number.is_multiple_of(3) && deadline(number, round) >= last);
            last = deadline(number, round);
            fired += 1;
        }
        assert_eq!((fired, wheel.armed(), wheel.next()), (armed, 0, None));
        assert!(usize::MAX - moves <= 2 * armed, "{} moves", usize::MAX - moves);
    }

    proptest::proptest! {
        #[test]
        fn the_wheel_agrees_with_a_sorted_map(
            steps in proptest::collection::vec((0u32..12, 0u64..300_000, 0u64..70_000), 1..200),
        ) {
            let mut wheel = Wheel::new();
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = 0;
            for (number, delay, advance) in steps {
                if delay % 5 == 0 {
                    wheel.cancel(number);
                    model.remove(&number);
                } else {
                    wheel.arm(number, at(now + delay));
                    model.insert(number, now + delay);
                }
                if let (Some(next), Some(first)) = (wheel.next(), model.values().min()) {
                    proptest::prop_assert!(next.as_millis() <= *first);
                }
                now += advance / 3;
                let mut fired = vec![];
                let mut last = 0;
                while let Some(number) = pop(&mut wheel, now) {
                    let deadline = model.remove(&number);
                    proptest::prop_assert!(deadline.is_some_and(|d| d <= now && d >= last));
                    last = deadline.unwrap_or_default();
                    fired.push(number);
                }
                proptest::prop_assert!(model.values().all(|&deadline| deadline > now));
                proptest::prop_assert_eq!(wheel.armed(), model.len());
            }
        }
    }
}
