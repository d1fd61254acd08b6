//! Storage with stable keys: what is put in keeps its key until it is taken out.

use crate::ring::{Linked, Links, Nodes};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Entries per chunk. Chunks do not move when the slab grows, and none has slack but the last.
const CHUNK: usize = u64::BITS as usize;

/// What the values of a slab are found by: each kind of value has a key type of its own.
pub(crate) trait Key: Copy + Eq + core::fmt::Debug {
    fn from_number(number: u32) -> Self;
    /// Dense, from 0, so that an array beside the slab can be indexed by it.
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

/// A place for one value. Whether one is in it the slab knows by itself, so that it can list its
/// values without reading them.
pub(crate) trait Cell {
    type Value;

    fn of(value: Self::Value) -> Self;
    fn empty() -> Self;
    /// What is in it. The slab tells whether something is; a cell that knows by itself need not ask.
    fn get(&self, occupied: bool) -> Option<&Self::Value>;
    fn get_mut(&mut self, occupied: bool) -> Option<&mut Self::Value>;
    /// Takes the value out, and leaves what owns no memory.
    fn take(&mut self) -> Option<Self::Value>;
}

impl<T> Cell for Option<T> {
    type Value = T;

    fn of(value: T) -> Self {
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
    /// The cells; none while they are shared.
    cells: Vec<C>,
    /// The cells while snapshots share them, or have shared them. They are copied, or taken back, when
    /// one changes.
    shared: Option<Arc<Vec<C>>>,
    /// A bit for each cell.
    occupied: u64,
    /// Whether the slab's list of chunks with room names this one.
    listed: bool,
}

impl<C: Clone> Chunk<C> {
    const fn new(cells: Vec<C>, listed: bool) -> Self {
        Self { cells, shared: None, occupied: 0, listed }
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

    /// The cells, to change the one with this number.
    #[inline]
    fn cells_mut(&mut self, cell: usize) -> &mut Vec<C> {
        if cell >= self.cells.len() {
            self.take_back();
        }
        &mut self.cells
    }

    #[inline(never)]
    fn take_back(&mut self) {
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

    /// The first cell that is not occupied.
    fn room(&self) -> Option<usize> {
        let cell = self.occupied.trailing_ones() as usize;
        (cell < CHUNK).then_some(cell)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Slab<K, C> {
    chunks: Vec<Chunk<C>>,
    /// Chunks that may have room. A hint: entries are checked when they are used.
    open: Vec<u32>,
    len: usize,
    keys: PhantomData<K>,
}

impl<K: Key, C: Cell + Clone> Slab<K, C> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), open: Vec::new(), len: 0, keys: PhantomData }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
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

    /// `None` if all keys are taken (four thousand million).
    pub(crate) fn insert(&mut self, value: C::Value) -> Option<K> {
        let at = self.chunk_with_room()?;
        let chunk = self.chunks.get_mut(at)?;
        let cell = chunk.room()?;
        let key = u32::try_from(at * CHUNK + cell).ok().map(K::from_number)?;
        if chunk.shared.is_some() {
            chunk.take_back();
        }
        match chunk.cells.get_mut(cell) {
            Some(free) => *free = C::of(value),
            None => chunk.cells.push(C::of(value)),
        }
        chunk.occupied |= 1 << cell;
        self.len += 1;
        Some(key)
    }

    /// Puts a value in under a key that another slab gave out, and that is free here.
    fn insert_at(&mut self, key: K, value: C::Value) {
        let (at, cell) = place(key);
        while self.chunks.len() <= at {
            self.chunks.push(Chunk::new(Vec::new(), true));
        }
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        let cells = chunk.cells_mut(cell);
        if cells.len() <= cell {
            // A small set stays small; a large one takes whole chunks.
            if at > 0 {
                cells.reserve_exact(CHUNK - cells.len());
            }
            cells.resize_with(cell + 1, C::empty);
        }
        if let Some(free) = cells.get_mut(cell) {
            *free = C::of(value);
            chunk.occupied |= 1 << cell;
            self.len += 1;
        }
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<C::Value> {
        let (at, cell) = place(key);
        let chunk = self.chunks.get_mut(at).filter(|chunk| chunk.is_occupied(cell))?;
        let value = chunk.cells_mut(cell).get_mut(cell)?.take()?;
        chunk.occupied &= !(1 << cell);
        self.len -= 1;
        if !chunk.listed {
            chunk.listed = true;
            self.open.push(key.number() / CHUNK as u32);
        }
        // Memory of a burst is given back from the end, all but one empty chunk, so that coming
        // and going at the edge of a chunk does not allocate.
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

    /// The values at and after the number `from`, with their keys.
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

    /// A snapshot of the values at and after the number `from`, in the order of keys, as far as `takes`
    /// says; and where it stopped, if it did before the end. They are shared, not copied.
    pub(crate) fn snapshot(
        &mut self,
        from: u32,
        mut takes: impl FnMut(K, &C::Value) -> bool,
    ) -> (Snapshot<C>, Option<K>) {
        let mut snapshot = Snapshot { chunks: Vec::new(), len: 0 };
        let (at, mut skip) = place_of(from);
        for (number, chunk) in self.chunks.iter_mut().enumerate().skip(at) {
            let mut left = chunk.occupied >> skip << skip;
            skip = 0;
            let (mut taken, mut stop) = (0u64, None);
            while left != 0 {
                let cell = left.trailing_zeros();
                left &= left - 1;
                let key = K::from_number((number * CHUNK) as u32 + cell);
                let value = chunk.cell(cell as usize).and_then(|value| value.get(true));
                match value.map(|value| takes(key, value)) {
                    Some(true) => taken |= 1 << cell,
                    Some(false) => {
                        stop = Some(key);
                        break;
                    }
                    None => {}
                }
            }
            if taken != 0 {
                snapshot.len += taken.count_ones() as usize;
                snapshot.chunks.push((chunk.share(), taken));
            }
            if stop.is_some() {
                return (snapshot, stop);
            }
        }
        (snapshot, None)
    }

    fn chunk_with_room(&mut self) -> Option<usize> {
        while let Some(&at) = self.open.last() {
            match self.chunks.get_mut(at as usize) {
                Some(chunk) if chunk.room().is_some() => return Some(at as usize),
                Some(chunk) => chunk.listed = false,
                None => {}
            }
            self.open.pop();
        }
        if self.chunks.last().is_none_or(|chunk| chunk.room().is_none()) {
            if self.chunks.len() * CHUNK > (u32::MAX as usize) - CHUNK {
                return None;
            }
            // A small set stays small; a large one takes whole chunks.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Chunk::new(Vec::with_capacity(capacity), false));
        }
        Some(self.chunks.len() - 1)
    }
}

/// A slab whose keys are its owner's own: one that dangles is a bug, not a case. It fails an
/// assertion in tests; in production it is counted, and an empty value stands in.
#[derive(Debug)]
pub(crate) struct Arena<K, T> {
    slab: Slab<K, Option<T>>,
    /// What stands in for a value that is not there.
    stray: Box<T>,
    dangling: AtomicUsize,
}

impl<K: Key, T: Clone + Default> Arena<K, T> {
    pub(crate) fn new() -> Self {
        Self { slab: Slab::new(), stray: Box::default(), dangling: AtomicUsize::new(0) }
    }

    pub(crate) const fn len(&self) -> usize {
        self.slab.len()
    }

    /// How often a key dangled.
    pub(crate) fn dangling(&self) -> usize {
        self.dangling.load(Ordering::Relaxed)
    }

    /// A value that may be gone.
    pub(crate) fn get(&self, key: K) -> Option<&T> {
        self.slab.get(key)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.slab.get_mut(key)
    }

    /// `None` if all keys are taken (four thousand million).
    pub(crate) fn insert(&mut self, value: T) -> Option<K> {
        self.slab.insert(value)
    }

    /// Puts a value in under a key that another arena gave out: the two have the same keys.
    pub(crate) fn insert_at(&mut self, key: K, value: T) {
        self.slab.insert_at(key, value);
    }

    /// The value, which is there.
    pub(crate) fn remove(&mut self, key: K) -> T {
        self.slab.remove(key).unwrap_or_else(|| {
            missing(&self.dangling, key);
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
fn missing(dangling: &AtomicUsize, key: impl Key) {
    debug_assert!(false, "{key:?} dangles");
    dangling.store(dangling.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// What one dangling key put into the stray value must not show under another.
#[cold]
#[inline(never)]
fn afresh<T: Default>(stray: &mut T) -> &mut T {
    *stray = T::default();
    stray
}

impl<K: Key, T: Linked<K> + Clone + Default> Nodes<K> for Arena<K, T> {
    fn links(&mut self, key: K) -> Option<&mut Links<K>> {
        Some(self[key].links())
    }
}

impl<K: Key, T: Clone> Clone for Arena<K, T> {
    fn clone(&self) -> Self {
        let dangling = AtomicUsize::new(self.dangling.load(Ordering::Relaxed));
        Self { slab: self.slab.clone(), stray: self.stray.clone(), dangling }
    }
}

impl<K: Key, T: Clone + Default> Index<K> for Arena<K, T> {
    type Output = T;

    #[inline]
    fn index(&self, key: K) -> &T {
        if let Some(value) = self.slab.get(key) {
            return value;
        }
        missing(&self.dangling, key);
        &self.stray
    }
}

impl<K: Key, T: Clone + Default> IndexMut<K> for Arena<K, T> {
    #[inline]
    fn index_mut(&mut self, key: K) -> &mut T {
        if let Some(value) = self.slab.get_mut(key) {
            return value;
        }
        missing(&self.dangling, key);
        afresh(&mut self.stray)
    }
}

/// Some values of a slab as they were.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot<C> {
    /// The cells of chunks, and which of them.
    chunks: Vec<(Arc<Vec<C>>, u64)>,
    len: usize,
}

impl<C: Cell> Snapshot<C> {
    pub(crate) fn iter(&self) -> SnapshotIter<'_, C> {
        SnapshotIter { chunks: self.chunks.iter(), cells: &[], taken: 0, left: self.len }
    }
}

/// The values of a [`Snapshot`], in the order of keys.
#[derive(Debug)]
pub(crate) struct SnapshotIter<'a, C> {
    chunks: core::slice::Iter<'a, (Arc<Vec<C>>, u64)>,
    cells: &'a [C],
    taken: u64,
    left: usize,
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
        self.left -= 1;
        self.cells.get(cell as usize)?.get(true)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<C: Cell> ExactSizeIterator for SnapshotIter<'_, C> {}

/// What is in a slab, in the order of keys.
#[derive(Debug)]
pub(crate) struct Iter<'a, K, C> {
    /// The chunk that is being listed, and those behind it.
    chunks: core::slice::Iter<'a, Chunk<C>>,
    cells: &'a [C],
    /// What is left of its cells.
    occupied: u64,
    /// The number of its first cell.
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

    #[test]
    fn slots_are_stable_and_used_again() {
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
    fn iteration_goes_on_from_any_slot() {
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
    fn a_snapshot_stays_as_it_was_and_is_copied_only_where_it_changes() {
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
        // The chunk that did not change is shared still; the others are not.
        let shared: Vec<usize> =
            snapshot.chunks.iter().map(|(c, _)| Arc::strong_count(c)).collect();
        assert_eq!(shared, [1, 1, 1, 2]);
        assert_eq!(slab.get(slots[61]), Some(&1_061));
        drop(snapshot);
        let (all, stopped) = slab.snapshot(0, |_, _| true);
        assert_eq!((all.iter().count(), stopped), (slab.len(), None));
    }

    #[test]
    fn memory_of_a_burst_is_given_back() {
        let mut slab = Slab::<Slot, Option<u32>>::new();
        let slots: Vec<Slot> = (0..10_000).filter_map(|n| slab.insert(n)).collect();
        for slot in slots.iter().skip(1) {
            slab.remove(*slot);
        }
        assert_eq!(slab.chunks.len(), 2);
        // Freed chunks are named by stale hints: those must do no harm.
        let again: Vec<Slot> = (0..10_000).filter_map(|n| slab.insert(n)).collect();
        assert_eq!(again.len(), 10_000);
        assert_eq!(slab.len(), 10_001);
        assert!(slab.open.len() <= slab.chunks.len());
        for slot in again.iter().chain(&slots[..1]) {
            assert!(slab.remove(*slot).is_some());
        }
        assert_eq!((slab.len(), slab.chunks.len(), slab.open.len()), (0, 0, 0));
    }
}
