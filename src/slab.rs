//! Slabs: storage with stable, reusable keys, and copy-on-write snapshots.
//!
//! A new value takes the lowest free key, so that the key depends only on the keys in use, not on how
//! they came into use. Servers that apply the same records hold their members in the same slots, also
//! one that was restored from a snapshot. So pages, cursors and removals have the same order on each.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Cells per chunk. Chunks are not reallocated when the slab grows; only the last one has unused
/// capacity.
const CHUNK: usize = u64::BITS as usize;

/// Chunks that [`Slab::insert`] fills. The last keys are not used, so that the number after a key
/// exists.
const MAX_CHUNKS: usize = u32::MAX as usize / CHUNK;

/// The key of a slab. Each kind of value has its own key type.
pub(crate) trait Key: Copy + Eq + core::fmt::Debug {
    fn from_number(number: u32) -> Self;
    /// Dense, from 0, usable as an array index.
    fn number(self) -> u32;
}

/// Defines key types.
macro_rules! keys {
    ($($(#[$doc:meta])* $visibility:vis struct $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility struct $name(u32);

        impl $crate::slab::Key for $name {
            fn from_number(number: u32) -> Self {
                Self(number)
            }
            fn number(self) -> u32 {
                self.0
            }
        }
    )*};
}
pub(crate) use keys;

fn place(key: impl Key) -> (usize, usize) {
    place_of(key.number())
}

const fn place_of(number: u32) -> (usize, usize) {
    (number as usize / CHUNK, number as usize % CHUNK)
}

/// Storage for one value. The slab itself records whether a cell is occupied, so that it can
/// iterate without reading empty cells.
pub(crate) trait Cell {
    type Value;

    fn new(value: Self::Value) -> Self;
    fn empty() -> Self;
    /// The value, if any. `occupied` comes from the slab, for cells that cannot tell.
    fn get(&self, occupied: bool) -> Option<&Self::Value>;
    fn get_mut(&mut self, occupied: bool) -> Option<&mut Self::Value>;
    /// Takes the value, and leaves a cell without heap memory.
    fn take(&mut self) -> Option<Self::Value>;
}

impl<T> Cell for Option<T> {
    type Value = T;

    fn new(value: T) -> Self {
        Some(value)
    }
    fn empty() -> Self {
        None
    }
    fn get(&self, _occupied: bool) -> Option<&T> {
        self.as_ref()
    }
    fn get_mut(&mut self, _occupied: bool) -> Option<&mut T> {
        self.as_mut()
    }
    fn take(&mut self) -> Self {
        Self::take(self)
    }
}

#[derive(Clone, Debug)]
struct Chunk<C> {
    /// The cells; empty while they are shared.
    cells: Vec<C>,
    /// The cells, after a snapshot has shared them. The next change copies them, or moves them back
    /// if no snapshot is left.
    shared: Option<Arc<Vec<C>>>,
    /// A bit for each cell.
    occupied: u64,
}

impl<C: Clone> Chunk<C> {
    const fn new() -> Self {
        Self { cells: Vec::new(), shared: None, occupied: 0 }
    }

    fn cells(&self) -> &[C] {
        self.shared.as_ref().map_or(&self.cells, |shared| shared)
    }

    #[inline]
    fn cell(&self, cell: usize) -> Option<&C> {
        match self.cells.get(cell) {
            None => self.shared_cell(cell),
            found => found,
        }
    }

    fn shared_cell(&self, cell: usize) -> Option<&C> {
        self.shared.as_ref()?.get(cell)
    }

    /// The cells for a change of cell number `cell`, not shared.
    #[inline]
    fn cells_mut(&mut self, cell: usize) -> &mut Vec<C> {
        if cell >= self.cells.len() {
            self.unshare();
        }
        &mut self.cells
    }

    #[inline(never)]
    fn unshare(&mut self) {
        if let Some(shared) = self.shared.take() {
            self.cells = Arc::try_unwrap(shared).unwrap_or_else(|shared| {
                let mut cells = Vec::with_capacity(shared.capacity());
                cells.extend_from_slice(&shared);
                cells
            });
        }
    }

    fn share(&mut self) -> Arc<Vec<C>> {
        let cells = &mut self.cells;
        Arc::clone(self.shared.get_or_insert_with(|| Arc::new(core::mem::take(cells))))
    }
}

impl<C> Chunk<C> {
    const fn is_occupied(&self, cell: usize) -> bool {
        self.occupied & 1 << cell != 0
    }

    const fn is_full(&self) -> bool {
        self.occupied == u64::MAX
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Slab<K, C> {
    chunks: Vec<Chunk<C>>,
    /// A bit for each full chunk. Missing words are zero, so that a small slab needs none.
    full: Vec<u64>,
    /// The first chunk that is not full. It may be the one after the last.
    first_free: u32,
    len: u32,
    keys: PhantomData<K>,
}

impl<K: Key, C: Cell + Clone> Slab<K, C> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), full: Vec::new(), first_free: 0, len: 0, keys: PhantomData }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn get(&self, key: K) -> Option<&C::Value> {
        let (at, cell) = place(key);
        let chunk = self.chunks.get(at)?;
        chunk.cell(cell)?.get(chunk.is_occupied(cell))
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut C::Value> {
        let (at, cell) = place(key);
        let chunk = self.chunks.get_mut(at)?;
        let occupied = chunk.is_occupied(cell);
        chunk.cells_mut(cell).get_mut(cell)?.get_mut(occupied)
    }

    /// Inserts a value with the lowest free key. `None` if all keys are taken (four thousand million).
    pub(crate) fn insert(&mut self, value: C::Value) -> Option<K> {
        let at = self.first_free as usize;
        if at >= MAX_CHUNKS {
            return None;
        }
        let cell = self.chunks.get(at).map_or(0, |chunk| chunk.occupied.trailing_ones());
        let key = K::from_number(self.first_free * CHUNK as u32 + cell);
        self.insert_at(key, value);
        Some(key)
    }

    /// Inserts a value with a given key, such as that of another slab. The key must be free here.
    /// Allocates chunks for all lower keys: the caller limits keys from outside.
    #[inline]
    pub(crate) fn insert_at(&mut self, key: K, value: C::Value) {
        let (at, cell) = place(key);
        if self.chunks.len() <= at {
            self.chunks.resize_with(at + 1, Chunk::new);
        }
        let Some(chunk) = self.chunks.get_mut(at) else {
            debug_assert!(false, "the chunk of {key:?} exists");
            return;
        };
        debug_assert!(!chunk.is_occupied(cell), "{key:?} is free");
        if chunk.shared.is_some() {
            chunk.unshare();
        }
        match chunk.cells.get_mut(cell) {
            Some(free) => *free = C::new(value),
            None => {
                if chunk.cells.len() < cell || chunk.cells.len() == chunk.cells.capacity() {
                    grow(&mut chunk.cells, cell, at > 0);
                }
                chunk.cells.push(C::new(value));
            }
        }
        chunk.occupied |= 1 << cell;
        self.len += 1;
        if chunk.is_full() {
            self.set_full(at);
        }
    }

    #[inline(never)]
    fn set_full(&mut self, at: usize) {
        let (word, bit) = (at / 64, at % 64);
        if self.full.len() <= word {
            self.full.resize(word + 1, 0);
        }
        if let Some(full) = self.full.get_mut(word) {
            *full |= 1 << bit;
        }
        if at == self.first_free as usize {
            let words = self.full.iter().enumerate().skip(word);
            let free =
                words.map(|(word, full)| (word, full.trailing_ones())).find(|(_, n)| *n < 64);
            let (word, bit) = free.unwrap_or((self.full.len(), 0));
            self.first_free = word as u32 * 64 + bit;
        }
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<C::Value> {
        let (at, cell) = place(key);
        let chunk = self.chunks.get_mut(at).filter(|chunk| chunk.is_occupied(cell))?;
        let value = chunk.cells_mut(cell).get_mut(cell)?.take()?;
        if chunk.is_full()
            && let Some(full) = self.full.get_mut(at / 64)
        {
            *full &= !(1 << (at % 64));
        }
        chunk.occupied &= !(1 << cell);
        self.len -= 1;
        self.first_free = self.first_free.min(at as u32);
        // Frees empty chunks at the end, except one, so that alternating insert and remove at the
        // edge of a chunk does not allocate.
        while matches!(self.chunks.as_slice(), [.., a, b] if a.occupied == 0 && b.occupied == 0) {
            self.chunks.pop();
        }
        if self.len == 0 {
            *self = Self::new();
        }
        Some(value)
    }

    /// The first value at or after the number `from`, with its key.
    pub(crate) fn next_from(&self, from: u32) -> Option<(K, &C::Value)> {
        self.iter_from(from).next()
    }

    /// The values from number `from` on, with their keys.
    pub(crate) fn iter_from(&self, from: u32) -> Iter<'_, K, C> {
        let (at, skip) = place_of(from);
        let chunks = self.chunks.get(at..).unwrap_or_default();
        let (cells, occupied) = match chunks.first() {
            Some(chunk) => (chunk.cells(), chunk.occupied >> skip << skip),
            None => (Default::default(), 0),
        };
        let start = from - skip as u32;
        Iter { chunks: chunks.iter(), cells, occupied, start, keys: PhantomData }
    }

    pub(crate) fn iter(&self) -> Iter<'_, K, C> {
        self.iter_from(0)
    }

    /// A copy of the slab that shares all values with it, for reading.
    pub(crate) fn share(&mut self) -> Shared<K, C> {
        let chunks = self.chunks.iter_mut().map(|chunk| (chunk.share(), chunk.occupied));
        Shared { chunks: chunks.collect(), keys: PhantomData }
    }

    /// A snapshot of the values from number `from` on, in the order of keys, while `accept` returns
    /// `true`; and the key of the first value not accepted. The values are shared, not copied.
    pub(crate) fn snapshot(
        &mut self,
        from: u32,
        mut accept: impl FnMut(K, &C::Value) -> bool,
    ) -> (Snapshot<C>, Option<K>) {
        let mut snapshot = Snapshot { chunks: Vec::new(), len: 0 };
        let (at, mut skip) = place_of(from);
        for (number, chunk) in self.chunks.iter_mut().enumerate().skip(at) {
            let mut remaining = chunk.occupied >> skip << skip;
            skip = 0;
            let (mut taken, mut stopped) = (0u64, None);
            while remaining != 0 {
                let cell = remaining.trailing_zeros();
                remaining &= remaining - 1;
                let key = K::from_number((number * CHUNK) as u32 + cell);
                let value = chunk.cell(cell as usize).and_then(|value| value.get(true));
                match value.map(|value| accept(key, value)) {
                    Some(true) => taken |= 1 << cell,
                    Some(false) => {
                        stopped = Some(key);
                        break;
                    }
                    None => {}
                }
            }
            if taken != 0 {
                snapshot.len += taken.count_ones() as usize;
                snapshot.chunks.push((chunk.share(), taken));
            }
            if stopped.is_some() {
                return (snapshot, stopped);
            }
        }
        (snapshot, None)
    }
}

/// Adds empty cells before number `cell`, and makes room for it. A small set stays small; a large one takes whole chunks.
#[cold]
#[inline(never)]
fn grow<C: Cell>(cells: &mut Vec<C>, cell: usize, large: bool) {
    let capacity = if large { CHUNK } else { (cell + 1).next_power_of_two().max(4) };
    cells.reserve_exact(capacity - cells.len());
    cells.resize_with(cell, C::empty);
}

/// A slab in which a dangling key is a bug of the owner. It panics with debug assertions. In
/// production it is counted, and a default value is used instead.
#[derive(Debug)]
pub(crate) struct Arena<K, T> {
    slab: Slab<K, Option<T>>,
    /// The value for dangling keys.
    placeholder: Box<T>,
    dangling: AtomicUsize,
}

impl<K: Key, T: Clone + Default> Arena<K, T> {
    pub(crate) fn new() -> Self {
        Self { slab: Slab::new(), placeholder: Box::default(), dangling: AtomicUsize::new(0) }
    }

    pub(crate) const fn len(&self) -> usize {
        self.slab.len()
    }

    /// Number of accesses with a dangling key.
    pub(crate) fn dangling(&self) -> usize {
        self.dangling.load(Ordering::Relaxed)
    }

    /// The value, if it exists.
    pub(crate) fn get(&self, key: K) -> Option<&T> {
        self.slab.get(key)
    }

    /// Like [`get`](Self::get), mutable.
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.slab.get_mut(key)
    }

    /// Inserts a value with the lowest free key. `None` if all keys are taken (four thousand million).
    pub(crate) fn insert(&mut self, value: T) -> Option<K> {
        self.slab.insert(value)
    }

    /// Inserts a value with a key of another arena. The key must be free here.
    pub(crate) fn insert_at(&mut self, key: K, value: T) {
        self.slab.insert_at(key, value);
    }

    /// Removes and returns the value, which must exist.
    pub(crate) fn remove(&mut self, key: K) -> T {
        self.slab.remove(key).unwrap_or_else(|| {
            report_dangling(&self.dangling, key);
            T::default()
        })
    }

    /// The first value at or after the number `from`, with its key.
    pub(crate) fn next_from(&self, from: u32) -> Option<(K, &T)> {
        self.slab.next_from(from)
    }

    pub(crate) fn iter(&self) -> Iter<'_, K, Option<T>> {
        self.slab.iter()
    }
}

#[cold]
#[inline(never)]
fn report_dangling(dangling: &AtomicUsize, key: impl Key) {
    debug_assert!(false, "{key:?} dangles");
    dangling.store(dangling.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Resets the placeholder, so that changes through one dangling key are not visible through another.
#[cold]
#[inline(never)]
fn reset_placeholder<T: Default>(placeholder: &mut T) -> &mut T {
    *placeholder = T::default();
    placeholder
}

impl<K: Key, T: Clone> Clone for Arena<K, T> {
    fn clone(&self) -> Self {
        let dangling = AtomicUsize::new(self.dangling.load(Ordering::Relaxed));
        Self { slab: self.slab.clone(), placeholder: self.placeholder.clone(), dangling }
    }
}

impl<K: Key, T: Clone + Default> Index<K> for Arena<K, T> {
    type Output = T;

    #[inline]
    fn index(&self, key: K) -> &T {
        if let Some(value) = self.slab.get(key) {
            return value;
        }
        report_dangling(&self.dangling, key);
        &self.placeholder
    }
}

impl<K: Key, T: Clone + Default> IndexMut<K> for Arena<K, T> {
    #[inline]
    fn index_mut(&mut self, key: K) -> &mut T {
        if let Some(value) = self.slab.get_mut(key) {
            return value;
        }
        report_dangling(&self.dangling, key);
        reset_placeholder(&mut self.placeholder)
    }
}

/// A snapshot of some values of a slab.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot<C> {
    /// Shared cells, and a bit for each cell in the snapshot.
    chunks: Vec<(Arc<Vec<C>>, u64)>,
    len: usize,
}

impl<C: Cell> Snapshot<C> {
    pub(crate) fn iter(&self) -> SnapshotIter<'_, C> {
        SnapshotIter { chunks: self.chunks.iter(), cells: &[], taken: 0, remaining: self.len }
    }
}

/// All values of a slab at one time. Later changes of the slab do not affect them.
#[derive(Clone, Debug)]
pub(crate) struct Shared<K, C> {
    /// Each with a bit for each occupied cell.
    chunks: Vec<(Arc<Vec<C>>, u64)>,
    keys: PhantomData<K>,
}

impl<K: Key, C: Cell> Shared<K, C> {
    /// The values from number `from` on, with their keys.
    pub(crate) fn iter_from(&self, from: u32) -> impl Iterator<Item = (K, &C::Value)> {
        let (at, skip) = place_of(from);
        let chunks = self.chunks.iter().enumerate().skip(at);
        chunks.flat_map(move |(number, &(ref cells, occupied))| {
            let first = if number == at { skip } else { 0 };
            (first..CHUNK).filter(move |cell| occupied & 1 << cell != 0).filter_map(move |cell| {
                let key = K::from_number((number * CHUNK + cell) as u32);
                Some((key, cells.get(cell)?.get(true)?))
            })
        })
    }
}

/// The values of a [`Snapshot`], in the order of keys.
#[derive(Debug)]
pub(crate) struct SnapshotIter<'a, C> {
    chunks: core::slice::Iter<'a, (Arc<Vec<C>>, u64)>,
    cells: &'a [C],
    taken: u64,
    remaining: usize,
}

impl<'a, C: Cell> Iterator for SnapshotIter<'a, C> {
    type Item = &'a C::Value;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.taken == 0 {
            let (cells, taken) = self.chunks.next()?;
            (self.cells, self.taken) = (cells, *taken);
        }
        let cell = self.taken.trailing_zeros();
        self.taken &= self.taken - 1;
        self.remaining -= 1;
        self.cells.get(cell as usize)?.get(true)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl<C: Cell> ExactSizeIterator for SnapshotIter<'_, C> {}

/// The values of a slab, in the order of keys.
#[derive(Debug)]
pub(crate) struct Iter<'a, K, C> {
    /// The current chunk, and the ones after it.
    chunks: core::slice::Iter<'a, Chunk<C>>,
    cells: &'a [C],
    /// The remaining cells of the current chunk, as bits.
    occupied: u64,
    /// The number of the first cell of the current chunk.
    start: u32,
    keys: PhantomData<K>,
}

impl<'a, K: Key, C: Cell + Clone> Iterator for Iter<'a, K, C> {
    type Item = (K, &'a C::Value);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.occupied == 0 {
            self.chunks.next()?;
            let chunk = self.chunks.as_slice().first()?;
            (self.cells, self.occupied) = (chunk.cells(), chunk.occupied);
            self.start = self.start.wrapping_add(CHUNK as u32);
        }
        let cell = self.occupied.trailing_zeros();
        self.occupied &= self.occupied - 1;
        let value = self.cells.get(cell as usize)?.get(true)?;
        Some((K::from_number(self.start.wrapping_add(cell)), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Slot;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    #[test]
    fn keys_are_stable_and_reused() {
        let mut slab = Slab::<Slot, Option<u32>>::new();
        let slots: Vec<Slot> = (0..300).filter_map(|n| slab.insert(n)).collect();
        assert_eq!(
            slots.iter().map(|s| s.number()).collect::<Vec<_>>(),
            (0..300).collect::<Vec<_>>()
        );
        assert_eq!(slab.remove(slots[5]), Some(5));
        assert_eq!(slab.remove(slots[5]), None);
        assert_eq!(slab.get(slots[5]), None);
        assert_eq!(slab.get(slots[6]), Some(&6));
        assert_eq!(slab.insert(1000), Some(slots[5]));
        assert_eq!(slab.len(), 300);
        assert_eq!(slab.iter().count(), 300);
    }

    #[test]
    fn iteration_starts_at_any_number() {
        let mut slab = Slab::<Slot, Option<u32>>::new();
        let slots: Vec<Slot> = (0..300).filter_map(|n| slab.insert(n)).collect();
        for slot in &slots[10..290] {
            slab.remove(*slot);
        }
        let mut seen = Vec::new();
        let mut from = 0;
        while let Some((slot, &value)) = slab.next_from(from) {
            seen.push(value);
            from = slot.number() + 1;
        }
        assert_eq!(seen, (0..10).chain(290..300).collect::<Vec<_>>());
        assert_eq!(slab.iter().map(|(_, &value)| value).collect::<Vec<_>>(), seen);
    }

    #[test]
    fn a_snapshot_is_immutable_and_only_changed_chunks_are_copied() {
        let mut slab = Slab::<Slot, Option<u32>>::new();
        let slots: Vec<Slot> = (0..300).filter_map(|n| slab.insert(n)).collect();
        slab.remove(slots[70]);
        let (snapshot, stopped) = slab.snapshot(60, |_, value| *value < 200);
        assert_eq!(stopped, Some(slots[200]));
        for slot in &slots[60..130] {
            if let Some(value) = slab.get_mut(*slot) {
                *value += 1_000;
            }
        }
        slab.remove(slots[60]);
        slab.insert(5);
        let expected: Vec<u32> = (60..200).filter(|n| *n != 70).collect();
        assert_eq!(snapshot.iter().copied().collect::<Vec<_>>(), expected);
        assert_eq!(snapshot.iter().len(), 139);
        // Only the unchanged chunk is still shared.
        let shared: Vec<usize> =
            snapshot.chunks.iter().map(|(c, _)| Arc::strong_count(c)).collect();
        assert_eq!(shared, [1, 1, 1, 2]);
        assert_eq!(slab.get(slots[61]), Some(&1_061));
        drop(snapshot);
        let (all, stopped) = slab.snapshot(0, |_, _| true);
        assert_eq!((all.iter().count(), stopped), (slab.len(), None));
    }

    #[test]
    fn memory_is_freed_after_a_burst() {
        let mut slab = Slab::<Slot, Option<u32>>::new();
        let slots: Vec<Slot> = (0..10_000).filter_map(|n| slab.insert(n)).collect();
        for slot in slots.iter().skip(1) {
            slab.remove(*slot);
        }
        assert_eq!(slab.chunks.len(), 2);
        let again: Vec<Slot> = (0..10_000).filter_map(|n| slab.insert(n)).collect();
        assert_eq!(again.len(), 10_000);
        assert_eq!(slab.len(), 10_001);
        for slot in again.iter().chain(&slots[..1]) {
            assert!(slab.remove(*slot).is_some());
        }
        assert_eq!((slab.len(), slab.chunks.capacity(), slab.full.capacity()), (0, 0, 0));
    }

    #[test]
    fn a_small_slab_needs_little_memory() {
        assert_eq!(size_of::<Slab<Slot, Option<u32>>>(), 7 * size_of::<usize>());
        assert_eq!(size_of::<Chunk<Option<u32>>>(), 5 * size_of::<usize>());
        let mut slab = Slab::<Slot, Option<u32>>::new();
        let slots: Vec<Slot> = (0..63).filter_map(|n| slab.insert(n)).collect();
        slab.remove(slots[5]);
        assert_eq!(slab.full.capacity(), 0);
        // Cells are never more than a chunk, also with gaps.
        let mut slab = Slab::<Slot, Option<u32>>::new();
        for (number, capacity) in [(2, 4), (4, 8), (40, 64), (50, 64), (70, 64)] {
            slab.insert_at(Slot::from_number(number), number);
            assert_eq!(slab.chunks.last().map(|chunk| chunk.cells.capacity()), Some(capacity));
        }
    }

    /// The lowest number not in the set.
    fn lowest_free(model: &BTreeSet<u32>) -> u32 {
        let gap = model.iter().zip(0..).find(|(number, index)| **number != *index);
        gap.map_or(model.len() as u32, |(_, index)| index)
    }

    /// A slab with the same numbers, inserted in ascending or descending order.
    fn restored(model: &BTreeSet<u32>, descending: bool) -> Slab<Slot, Option<u32>> {
        let mut slab = Slab::new();
        let mut numbers: Vec<u32> = model.iter().copied().collect();
        if descending {
            numbers.reverse();
        }
        for number in numbers {
            slab.insert_at(Slot::from_number(number), number);
        }
        slab
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Insert this many values.
        Insert(u32),
        /// Remove the values with these numbers.
        Remove(core::ops::Range<u32>),
        /// Insert a value at this number, if it is free.
        InsertAt(u32),
        /// Share the cells.
        Snapshot,
    }

    /// Numbers in more than one word of full chunks.
    const NUMBERS: u32 = (CHUNK * CHUNK * 2 + CHUNK) as u32;

    fn steps() -> impl Strategy<Value = Step> {
        let number = || prop_oneof![0..300u32, 0..NUMBERS];
        prop_oneof![
            prop_oneof![0..200u32, 0..NUMBERS].prop_map(Step::Insert),
            (number(), prop_oneof![0..3u32, 0..200u32, 0..NUMBERS])
                .prop_map(|(from, count)| Step::Remove(from..from + count)),
            number().prop_map(Step::InsertAt),
            Just(Step::Snapshot),
        ]
    }

    proptest::proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_value_takes_the_lowest_free_number(steps in proptest::collection::vec(steps(), 1..30)) {
            let (mut slab, mut model) = (Slab::<Slot, Option<u32>>::new(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Insert(count) => {
                        let mut free = 0..;
                        for _ in 0..count {
                            // Numbers before the last one found are taken.
                            let lowest = free.find(|number| !model.contains(number)).unwrap();
                            prop_assert_eq!(slab.insert(lowest), Some(Slot::from_number(lowest)));
                            model.insert(lowest);
                        }
                    }
                    Step::Remove(numbers) => {
                        for number in numbers {
                            let removed = slab.remove(Slot::from_number(number));
                            prop_assert_eq!(removed, model.take(&number));
                        }
                    }
                    Step::InsertAt(number) => {
                        if model.insert(number) {
                            slab.insert_at(Slot::from_number(number), number);
                        }
                    }
                    Step::Snapshot => {
                        let (snapshot, _) = slab.snapshot(0, |_, _| true);
                        prop_assert_eq!(snapshot.iter().len(), model.len());
                    }
                }
                prop_assert_eq!(slab.len(), model.len());
                prop_assert!(slab.iter().map(|(_, number)| number).eq(&model));
                prop_assert!(slab.iter().all(|(slot, number)| slot.number() == *number));
            }
            // The next keys do not depend on the history.
            let mut ascending = restored(&model, false);
            let mut descending = restored(&model, true);
            for _ in 0..300 {
                let lowest = Some(Slot::from_number(lowest_free(&model)));
                let key = slab.insert(0);
                prop_assert_eq!(key, lowest);
                prop_assert_eq!((ascending.insert(0), descending.insert(0)), (key, key));
                model.extend(key.map(Key::number));
            }
        }
    }
}
