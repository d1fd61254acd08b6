//! Tables that find keys of a slab by hashes.

use crate::slab::Key;
use hashbrown::HashTable;

/// Keys by half a hash each, which stands beside the key, so that a growing table reads nothing
/// else. They are searched, never iterated: results do not depend on hashes.
#[derive(Clone, Debug)]
pub(crate) struct Lookup<K> {
    table: HashTable<Entry<K>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry<K> {
    key: K,
    hash: u32,
}

/// Half of a hash.
pub(crate) const fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

/// Both ends of a table's hash are used: the low bits for the place, the high ones for the tag.
const fn widen(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

fn full_hash<K>(entry: &Entry<K>) -> u64 {
    widen(entry.hash)
}

impl<K: Key> Lookup<K> {
    pub(crate) const fn new() -> Self {
        Self { table: HashTable::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The key of this hash that is the one.
    #[inline]
    pub(crate) fn find(&self, hash: u32, is: impl Fn(K) -> bool) -> Option<K> {
        let found = self.table.find(widen(hash), |entry| entry.hash == hash && is(entry.key));
        found.map(|entry| entry.key)
    }

    /// Adds a key that is not there.
    pub(crate) fn insert(&mut self, hash: u32, key: K) {
        self.table.insert_unique(widen(hash), Entry { key, hash }, full_hash);
    }

    /// Puts another key in the place of one. Tells whether that was there.
    pub(crate) fn replace(&mut self, hash: u32, key: K, by: K) -> bool {
        let entry = self.table.find_mut(widen(hash), |entry| entry.key == key);
        entry.map(|entry| entry.key = by).is_some()
    }

    /// Takes a key out. Tells whether it was there.
    pub(crate) fn remove(&mut self, hash: u32, key: K) -> bool {
        self.take(hash, |found| found == key).is_some()
    }

    /// Takes the key of this hash out that is the one. Gives the memory of a burst back once most of
    /// it is free; amortised O(1).
    #[inline]
    pub(crate) fn take(&mut self, hash: u32, is: impl Fn(K) -> bool) -> Option<K> {
        let found = self.table.find_entry(widen(hash), |entry| entry.hash == hash && is(entry.key));
        let (Entry { key, .. }, _) = found.ok()?.remove();
        self.shrink();
        Some(key)
    }

    fn shrink(&mut self) {
        let (len, capacity) = (self.table.len(), self.table.capacity());
        if len == 0 {
            self.table = HashTable::new();
        } else if capacity > 64 && len < capacity / 8 {
            self.table.shrink_to(len * 2, full_hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Slot;

    #[test]
    fn what_was_put_in_is_found_and_what_was_taken_out_is_not() {
        let mut lookup = Lookup::new();
        let key = Slot::from_number;
        // Few hashes, so that many keys share one.
        let hash = |number: u32| number % 7;
        (0..1_000).for_each(|number| lookup.insert(hash(number), key(number)));
        (0..1_000).step_by(2).for_each(|number| assert!(lookup.remove(hash(number), key(number))));
        assert!(!lookup.remove(hash(2), key(2)));
        for number in 0..1_000 {
            let found = lookup.find(hash(number), |found| found == key(number));
            assert_eq!(found, (number % 2 == 1).then(|| key(number)));
        }
        assert!(lookup.replace(hash(7), key(7), key(14)));
        assert!(!lookup.replace(hash(7), key(7), key(14)));
        assert_eq!(lookup.len(), 500);
    }
}
