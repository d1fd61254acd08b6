//! Slabs: storage with stable, reusable keys, and copy-on-write snapshots.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Cells per chunk. Chunks are not reallocated when the slab grows; only the last one has unused
/// capacity.
const CHUNK: usize = u64::BITS as usize;

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
    /// Whether the chunk is in `Slab::free_chunks`.
    in_free_list: bool,
}

impl<C: Clone> Chunk<C> {
    const fn new(cells: Vec<C>, in_free_list: bool) -> Self {
        Self { cells, shared: None, occupied: 0, in_free_list }
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

    /// The first free cell.
    fn first_free(&self) -> Option<usize> {
        let cell = self.occupied.trailing_ones() as usize;
        (cell < CHUNK).then_some(cell)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Slab<K, C> {
    chunks: Vec<Chunk<C>>,
    /// Chunks that may have free cells. A hint: entries are checked on use.
    free_chunks: Vec<u32>,
    len: usize,
    keys: PhantomData<K>,
}

impl<K: Key, C: Cell + Clone> Slab<K, C> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), free_chunks: Vec::new(), len: 0, keys: PhantomData }
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
        let at = self.chunk_with_free_cell()?;
        let chunk = self.chunks.get_mut(at)?;
        let cell = chunk.first_free()?;
        let key = u32::try_from(at * CHUNK + cell).ok().map(K::from_number)?;
        if chunk.shared.is_some() {
            chunk.unshare();
        }
        match chunk.cells.get_mut(cell) {
            Some(free) => *free = C::new(value),
            None => chunk.cells.push(C::new(value)),
        }
        chunk.occupied |= 1 << cell;
        self.len += 1;
        Some(key)
    }

    /// Inserts a value with a key of another slab. The key must be free here.
    fn insert_at(&mut self, key: K, value: C::Value) {
        let (at, cell) = place(key);
        while self.chunks.len() <= at {
            self.chunks.push(Chunk::new(Vec::new(), true));
        }
        let Some(chunk) = self.chunks.get_mut(at) else {
            debug_assert!(false, "the chunk of {key:?} exists");
            return;
        };
        let cells = chunk.cells_mut(cell);
        if cells.len() <= cell {
            // A small set stays small; a large one takes whole chunks.
            if at > 0 {
                cells.reserve_exact(CHUNK - cells.len());
            }
            cells.resize_with(cell + 1, C::empty);
        }
        if let Some(free) = cells.get_mut(cell) {
            *free = C::new(value);
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
        if !chunk.in_free_list {
            chunk.in_free_list = true;
            self.free_chunks.push(key.number() / CHUNK as u32);
        }
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

    fn chunk_with_free_cell(&mut self) -> Option<usize> {
        while let Some(&at) = self.free_chunks.last() {
            match self.chunks.get_mut(at as usize) {
                Some(chunk) if chunk.first_free().is_some() => return Some(at as usize),
                Some(chunk) => chunk.in_free_list = false,
                None => {}
            }
            self.free_chunks.pop();
        }
        if self.chunks.last().is_none_or(|chunk| chunk.first_free().is_none()) {
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

    /// `None` if all keys are taken (four thousand million).
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
        // Stale hints point to freed chunks: they must be harmless.
        let again: Vec<Slot> = (0..10_000).filter_map(|n| slab.insert(n)).collect();
        assert_eq!(again.len(), 10_000);
        assert_eq!(slab.len(), 10_001);
        assert!(slab.free_chunks.len() <= slab.chunks.len());
        for slot in again.iter().chain(&slots[..1]) {
            assert!(slab.remove(*slot).is_some());
        }
        assert_eq!((slab.len(), slab.chunks.len(), slab.free_chunks.len()), (0, 0, 0));
    }
}
