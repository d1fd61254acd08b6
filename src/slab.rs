//! Storage with stable keys: what is put in keeps its key until it is taken out.

use alloc::boxed::Box;
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

/// Defines key types. The number is stored plus one, so that an absent key takes no more room.
macro_rules! keys {
    ($($(#[$doc:meta])* $visibility:vis struct $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility struct $name(core::num::NonZeroU32);

        impl $name {
            /// The key with this number; whether anything is stored under it is for the owner to
            /// say.
            #[must_use]
            $visibility const fn from_number(number: u32) -> Self {
                match core::num::NonZeroU32::new(number.wrapping_add(1)) {
                    Some(number) => Self(number),
                    // Nothing is ever stored under so large a number.
                    None => Self(core::num::NonZeroU32::MAX),
                }
            }

            /// The number: dense, from 0, so that an array beside the owner can be indexed by it.
            #[must_use]
            $visibility const fn number(self) -> u32 {
                self.0.get() - 1
            }
        }

        impl $crate::slab::Key for $name {
            fn from_number(number: u32) -> Self {
                Self::from_number(number)
            }
            fn number(self) -> u32 {
                self.number()
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
    cells: Vec<C>,
    /// A bit for each cell.
    occupied: u64,
    /// Whether the slab's list of chunks with room names this one.
    listed: bool,
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

impl<K: Key, C: Cell> Slab<K, C> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), open: Vec::new(), len: 0, keys: PhantomData }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, key: K) -> Option<&C::Value> {
        let (at, cell) = place(key);
        let chunk = self.chunks.get(at)?;
        chunk.cells.get(cell)?.get(chunk.is_occupied(cell))
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut C::Value> {
        let (at, cell) = place(key);
        let chunk = self.chunks.get_mut(at)?;
        let occupied = chunk.is_occupied(cell);
        chunk.cells.get_mut(cell)?.get_mut(occupied)
    }

    /// `None` if all keys are taken (four thousand million).
    pub(crate) fn insert(&mut self, value: C::Value) -> Option<K> {
        let at = self.chunk_with_room()?;
        let chunk = self.chunks.get_mut(at)?;
        let cell = chunk.room()?;
        let key = u32::try_from(at * CHUNK + cell).ok().map(K::from_number)?;
        match chunk.cells.get_mut(cell) {
            Some(free) => *free = C::of(value),
            None => chunk.cells.push(C::of(value)),
        }
        chunk.occupied |= 1 << cell;
        self.len += 1;
        Some(key)
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<C::Value> {
        let (at, cell) = place(key);
        let chunk = self.chunks.get_mut(at).filter(|chunk| chunk.is_occupied(cell))?;
        let value = chunk.cells.get_mut(cell)?.take()?;
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
            Some(chunk) => (chunk.cells.as_slice(), chunk.occupied >> skip << skip),
            None => (Default::default(), 0),
        };
        let start = from - skip as u32;
        Iter { chunks: chunks.iter(), cells, occupied, start, keys: PhantomData }
    }

    pub(crate) fn iter(&self) -> Iter<'_, K, C> {
        self.iter_from(0)
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
            let cells = Vec::with_capacity(capacity);
            self.chunks.push(Chunk { cells, occupied: 0, listed: false });
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

impl<K: Key, T: Default> Arena<K, T> {
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
    #[allow(dead_code, reason = "the server's")]
    pub(crate) fn get(&self, key: K) -> Option<&T> {
        self.slab.get(key)
    }

    /// The same, to be changed.
    #[allow(dead_code, reason = "the server's")]
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.slab.get_mut(key)
    }

    /// `None` if all keys are taken (four thousand million).
    pub(crate) fn insert(&mut self, value: T) -> Option<K> {
        self.slab.insert(value)
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        self.slab.remove(key)
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
fn missing(dangling: &AtomicUsize, key: impl Key) {
    debug_assert!(false, "{key:?} dangles");
    dangling.store(dangling.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

impl<K: Key, T: Clone> Clone for Arena<K, T> {
    fn clone(&self) -> Self {
        let dangling = AtomicUsize::new(self.dangling.load(Ordering::Relaxed));
        Self { slab: self.slab.clone(), stray: self.stray.clone(), dangling }
    }
}

impl<K: Key, T: Default> Index<K> for Arena<K, T> {
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

impl<K: Key, T: Default> IndexMut<K> for Arena<K, T> {
    #[inline]
    fn index_mut(&mut self, key: K) -> &mut T {
        if let Some(value) = self.slab.get_mut(key) {
            return value;
        }
        missing(&self.dangling, key);
        *self.stray = T::default();
        &mut self.stray
    }
}

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

impl<'a, K: Key, C: Cell> Iterator for Iter<'a, K, C> {
    type Item = (K, &'a C::Value);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.occupied == 0 {
            self.chunks.next()?;
            let chunk = self.chunks.as_slice().first()?;
            (self.cells, self.occupied) = (&chunk.cells, chunk.occupied);
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
