//! Storage with stable numbers: what is put in keeps its slot until it is taken out.

use alloc::vec::Vec;

/// Entries per chunk. Chunks do not move when the slab grows, and none has slack but the last.
const CHUNK: usize = u64::BITS as usize;

/// The number of a member in its set: stable while the member is present, then used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub(crate) u32);

impl Slot {
    /// The slot of this number; whether anything is in it is for the set to say.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The number: dense, from 0, so that an array beside the set can be indexed by it.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    const fn place(self) -> (usize, usize) {
        (self.0 as usize / CHUNK, self.0 as usize % CHUNK)
    }
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
pub(crate) struct Slab<C> {
    chunks: Vec<Chunk<C>>,
    /// Chunks that may have room. A hint: entries are checked when they are used.
    open: Vec<u32>,
    len: usize,
}

impl<C: Cell> Slab<C> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), open: Vec::new(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&C::Value> {
        let (at, cell) = slot.place();
        let chunk = self.chunks.get(at)?;
        chunk.cells.get(cell)?.get(chunk.is_occupied(cell))
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut C::Value> {
        let (at, cell) = slot.place();
        let chunk = self.chunks.get_mut(at)?;
        let occupied = chunk.is_occupied(cell);
        chunk.cells.get_mut(cell)?.get_mut(occupied)
    }

    /// `None` if all slot numbers are taken (four thousand million).
    pub(crate) fn insert(&mut self, value: C::Value) -> Option<Slot> {
        let at = self.chunk_with_room()?;
        let chunk = self.chunks.get_mut(at)?;
        let cell = chunk.room()?;
        let slot = u32::try_from(at * CHUNK + cell).ok().map(Slot)?;
        match chunk.cells.get_mut(cell) {
            Some(free) => *free = C::of(value),
            None => chunk.cells.push(C::of(value)),
        }
        chunk.occupied |= 1 << cell;
        self.len += 1;
        Some(slot)
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<C::Value> {
        let (at, cell) = slot.place();
        let chunk = self.chunks.get_mut(at).filter(|chunk| chunk.is_occupied(cell))?;
        let value = chunk.cells.get_mut(cell)?.take()?;
        chunk.occupied &= !(1 << cell);
        self.len -= 1;
        if !chunk.listed {
            chunk.listed = true;
            self.open.push(slot.0 / CHUNK as u32);
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

    /// The first occupied slot at or after `from`.
    pub(crate) fn next_from(&self, from: u32) -> Option<(Slot, &C::Value)> {
        self.iter_from(from).next()
    }

    /// What is in the slots at and after `from`, with the slots.
    pub(crate) fn iter_from(&self, from: u32) -> Iter<'_, C> {
        let (at, skip) = Slot(from).place();
        let chunks = self.chunks.get(at..).unwrap_or_default();
        let (cells, occupied) = match chunks.first() {
            Some(chunk) => (chunk.cells.as_slice(), chunk.occupied >> skip << skip),
            None => (Default::default(), 0),
        };
        Iter { chunks: chunks.iter(), cells, occupied, start: from - skip as u32 }
    }

    pub(crate) fn iter(&self) -> Iter<'_, C> {
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

/// What is in a slab, in slot order.
#[derive(Debug)]
pub(crate) struct Iter<'a, C> {
    /// The chunk that is being listed, and those behind it.
    chunks: core::slice::Iter<'a, Chunk<C>>,
    cells: &'a [C],
    /// What is left of its cells.
    occupied: u64,
    /// The slot of its first cell.
    start: u32,
}

impl<'a, C: Cell> Iterator for Iter<'a, C> {
    type Item = (Slot, &'a C::Value);

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
        Some((Slot(self.start.wrapping_add(cell)), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_stable_and_used_again() {
        let mut slab = Slab::<Option<u32>>::new();
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
        let mut slab = Slab::<Option<u32>>::new();
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
        let mut slab = Slab::<Option<u32>>::new();
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
