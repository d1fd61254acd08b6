//! Storage with stable numbers: what is put in keeps its slot until it is taken out.

use alloc::vec::Vec;

/// Entries per chunk. Chunks do not move when the slab grows, and none has slack but the last.
const CHUNK: usize = 128;

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

#[derive(Clone, Debug)]
enum Cell<T> {
    Full(T),
    /// The next free cell of the chunk.
    Free(Option<u8>),
}

#[derive(Clone, Debug)]
struct Chunk<T> {
    cells: Vec<Cell<T>>,
    live: usize,
    free: Option<u8>,
    /// Whether the slab's list of chunks with room names this one.
    listed: bool,
}

impl<T> Chunk<T> {
    fn has_room(&self) -> bool {
        self.free.is_some() || self.cells.len() < CHUNK
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks that may have room. A hint: entries are checked when they are used.
    open: Vec<u32>,
    len: usize,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), open: Vec::new(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&T> {
        let (chunk, cell) = slot.place();
        match self.chunks.get(chunk)?.cells.get(cell)? {
            Cell::Full(value) => Some(value),
            Cell::Free(_) => None,
        }
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        let (chunk, cell) = slot.place();
        match self.chunks.get_mut(chunk)?.cells.get_mut(cell)? {
            Cell::Full(value) => Some(value),
            Cell::Free(_) => None,
        }
    }

    /// `None` if all slot numbers are taken (four thousand million).
    pub(crate) fn insert(&mut self, value: T) -> Option<Slot> {
        let at = self.chunk_with_room()?;
        let chunk = self.chunks.get_mut(at)?;
        let cell = match chunk.free {
            Some(cell) => {
                let target = chunk.cells.get_mut(usize::from(cell))?;
                let Cell::Free(next) = *target else { return None };
                chunk.free = next;
                *target = Cell::Full(value);
                usize::from(cell)
            }
            None => {
                chunk.cells.push(Cell::Full(value));
                chunk.cells.len() - 1
            }
        };
        chunk.live += 1;
        self.len += 1;
        u32::try_from(at * CHUNK + cell).ok().map(Slot)
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<T> {
        let (at, cell) = slot.place();
        let chunk = self.chunks.get_mut(at)?;
        let target = chunk.cells.get_mut(cell)?;
        if matches!(target, Cell::Free(_)) {
            return None;
        }
        let Cell::Full(value) = core::mem::replace(target, Cell::Free(chunk.free)) else {
            return None;
        };
        chunk.free = u8::try_from(cell).ok();
        chunk.live -= 1;
        self.len -= 1;
        if !chunk.listed {
            chunk.listed = true;
            self.open.push(slot.0 / CHUNK as u32);
        }
        // Memory of a burst is given back from the end, all but one empty chunk, so that coming
        // and going at the edge of a chunk does not allocate.
        while matches!(self.chunks.as_slice(), [.., a, b] if a.live == 0 && b.live == 0) {
            self.chunks.pop();
        }
        if self.len == 0 {
            *self = Self::new();
        }
        Some(value)
    }

    /// The first occupied slot at or after `from`.
    pub(crate) fn next_from(&self, from: u32) -> Option<(Slot, &T)> {
        self.iter_from(from).next()
    }

    /// What is in the slots at and after `from`, with the slots.
    pub(crate) fn iter_from(&self, from: u32) -> Iter<'_, T> {
        let (at, skip) = Slot(from).place();
        let mut chunks = self.chunks.get(at..).unwrap_or_default().iter();
        let cells = chunks.next().and_then(|chunk| chunk.cells.get(skip..)).unwrap_or_default();
        Iter { chunks, cells: cells.iter(), end: from.wrapping_add(cells.len() as u32) }
    }

    pub(crate) fn iter(&self) -> Iter<'_, T> {
        self.iter_from(0)
    }

    fn chunk_with_room(&mut self) -> Option<usize> {
        while let Some(&at) = self.open.last() {
            match self.chunks.get_mut(at as usize) {
                Some(chunk) if chunk.has_room() => return Some(at as usize),
                Some(chunk) => chunk.listed = false,
                None => {}
            }
            self.open.pop();
        }
        if !self.chunks.last().is_some_and(Chunk::has_room) {
            if self.chunks.len() * CHUNK > (u32::MAX as usize) - CHUNK {
                return None;
            }
            // A small set stays small; a large one takes whole chunks.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Chunk {
                cells: Vec::with_capacity(capacity),
                live: 0,
                free: None,
                listed: false,
            });
        }
        Some(self.chunks.len() - 1)
    }
}

/// What is in a slab, in slot order.
#[derive(Debug)]
pub(crate) struct Iter<'a, T> {
    chunks: core::slice::Iter<'a, Chunk<T>>,
    cells: core::slice::Iter<'a, Cell<T>>,
    /// The slot behind the last of the cells: what is left of them tells the slot of the next.
    end: u32,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = (Slot, &'a T);

    #[inline]
    fn next(&mut self) -> Option<(Slot, &'a T)> {
        loop {
            let left = self.cells.len() as u32;
            match self.cells.next() {
                Some(Cell::Full(value)) => return Some((Slot(self.end.wrapping_sub(left)), value)),
                Some(Cell::Free(_)) => {}
                None => {
                    let cells = &self.chunks.next()?.cells;
                    let start = self.end.next_multiple_of(CHUNK as u32);
                    self.end = start.wrapping_add(cells.len() as u32);
                    self.cells = cells.iter();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_stable_and_used_again() {
        let mut slab = Slab::new();
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
        let mut slab = Slab::new();
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
        let mut slab = Slab::new();
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
