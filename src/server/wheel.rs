//! Timers: one for each number, in a hierarchical timing wheel.
//!
//! Arming, re-arming and cancelling are O(1) and do not allocate once the numbers have been seen;
//! so is the next deadline. Expiry costs at most one move per level for each timer.

use crate::Instant;
use alloc::vec::Vec;

/// The neighbour of a timer that is not armed.
const NONE: u32 = u32::MAX;
/// Buckets per level.
const BUCKETS: usize = 64;
/// Bits of a deadline that one level covers.
const BITS: u32 = 6;
/// Levels; together they cover 2^42 ms, which is 139 years. Later deadlines wait in the last bucket
/// and are looked at again then.
const LEVELS: usize = 7;
/// The buckets of all levels: as many nodes come before those of the timers.
const BUCKET_NODES: usize = LEVELS * BUCKETS;

/// Timers by number. Numbers are dense; each has one timer, armed or not.
#[derive(Clone, Debug)]
pub(super) struct Wheel {
    /// The buckets, level by level, then the timers by number. Each bucket is a ring: its own node
    /// is the neighbour of its first timer and of its last.
    nodes: Vec<Node>,
    /// Of each level, which buckets hold timers.
    occupied: [u64; LEVELS],
    /// Up to where time has been worked off.
    elapsed: u64,
    /// A bucket that has come up and whose timers move down.
    cascading: Option<u32>,
    /// No timer is due before, and none has to move: most calls need to know no more than that.
    quiet_until: u64,
    /// Whether time until then can be worked off at once: no bucket has begun.
    between_buckets: bool,
    armed: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// Of a bucket: none of its timers is due before. It may be too early once timers were taken
    /// out.
    deadline: u64,
    next: u32,
    previous: u32,
}

const UNARMED: Node = Node { deadline: 0, next: NONE, previous: NONE };

impl Node {
    /// A bucket without timers.
    const fn empty(bucket: u32) -> Self {
        Self { deadline: u64::MAX, next: bucket, previous: bucket }
    }
}

/// The node of the timer of a number.
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

    /// How many timers are armed.
    pub(super) const fn armed(&self) -> usize {
        self.armed
    }

    /// Arms the timer of this number, instead of what it was armed for. A deadline that has passed
    /// is due at once.
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

    /// Disarms the timer of this number, if it is armed.
    pub(super) fn cancel(&mut self, number: u32) {
        let Some(node) = self.nodes.get_mut(index(number)) else { return };
        let node = core::mem::replace(node, UNARMED);
        if node.next != NONE {
            self.unlink(node);
            self.armed -= 1;
        }
    }

    /// When the next timer is due at the earliest. Exact, unless timers were taken out.
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

    /// Takes the next timer that is due at or before `now`, in order of deadlines and, among equal
    /// ones, of arming. `moves` bounds the timers that are moved from level to level to find it;
    /// once it is used up nothing is found, and [`next`](Self::next) is due.
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
            // A bucket of a higher level has come up: its timers move down. It gets no new ones
            // meanwhile, as whatever falls into it belongs further down from now on.
            self.elapsed = self.elapsed.max(start);
            self.cascading = Some(end as u32);
        }
    }

    /// The node of the first timer of a bucket.
    fn first_of(&self, end: usize) -> Option<usize> {
        let first = self.nodes.get(end)?.next as usize;
        (first >= BUCKET_NODES).then_some(first)
    }

    /// The first bucket in time that holds timers. Timers of a level are due before those of the
    /// next one.
    #[inline]
    fn first_bucket(&self) -> Option<(usize, usize)> {
        let (level, occupied) = self.occupied.iter().enumerate().find(|(_, bits)| **bits != 0)?;
        let at = self.position(level);
        let ahead = occupied.rotate_right(at).trailing_zeros();
        Some((level, ((at + ahead) % BUCKETS as u32) as usize))
    }

    /// The bucket of a level that the present time falls into.
    const fn position(&self, level: usize) -> u32 {
        ((self.elapsed >> (BITS * level as u32)) % BUCKETS as u64) as u32
    }

    /// The time at which a bucket begins.
    const fn start_of(&self, level: usize, bucket: usize) -> u64 {
        let shift = BITS * level as u32;
        let round = (self.elapsed >> (shift + BITS)) << (shift + BITS);
        let start = round.saturating_add((bucket as u64) << shift);
        let position = self.position(level) as usize;
        // A bucket behind the present one belongs to the next round: the last level only.
        if bucket < position { start.saturating_add(1 << (shift + BITS)) } else { start }
    }

    /// The level and the bucket for a deadline, and when the bucket begins.
    const fn bucket_for(&self, at: u64) -> (usize, usize, u64) {
        let differing = 63 - (self.elapsed ^ at | (BUCKETS as u64 - 1)).leading_zeros();
        let level = (differing / BITS) as usize;
        if level < LEVELS {
            let shift = BITS * level as u32;
            let number = at >> shift;
            return (level, (number % BUCKETS as u64) as usize, number << shift);
        }
        // In a later round of the last level: its own bucket if that comes up before the present
        // one does again, else the one that comes up last.
        let level = LEVELS - 1;
        let shift = BITS * level as u32;
        let ahead = (at >> shift) - (self.elapsed >> shift);
        let ahead = if ahead < BUCKETS as u64 { ahead as usize } else { BUCKETS - 1 };
        let bucket = (self.position(level) as usize + ahead) % BUCKETS;
        (level, bucket, self.start_of(level, bucket))
    }

    /// Puts a timer last into the bucket of its deadline.
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

    /// Closes the ring of a bucket behind a timer, whose node this was.
    fn unlink(&mut self, node: Node) {
        if let Some(previous) = self.nodes.get_mut(node.previous as usize) {
            previous.next = node.next;
        }
        if let Some(next) = self.nodes.get_mut(node.next as usize) {
            next.previous = node.previous;
        }
        if node.next == node.previous {
            // Nothing is left but the bucket.
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
    fn moves_between_levels_are_bounded_and_go_on_later() {
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

    /// What arming and cancelling cost does not depend on how many timers there are: neither has
    /// a loop. Firing has one, which is counted here.
    #[test]
    fn a_million_timers_fire_in_order_and_each_moves_twice_at_most() {
        const COUNT: u32 = 1_000_000;
        // Whatever a server waits for: up to two minutes, which is the third level.
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
        fn the_wheel_does_what_a_sorted_map_does(
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
