//! Hash tables of slab keys.

use crate::slab::Key;
use hashbrown::HashTable;

/// A hash table of slab keys. A 32-bit hash is stored with each key, so that growing the table does
/// not read the slab. Searched, never iterated: results do not depend on hashes.
#[derive(Clone, Debug)]
pub(crate) struct Lookup<K> {
    table: HashTable<Entry<K>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry<K> {
    key: K,
    hash: u32,
}

/// Folds a hash to 32 bits.
pub(crate) const fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

/// The hash for hashbrown, which uses the low bits for the bucket and the high bits for the tag.
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

    /// The key with this hash for which `matches` returns `true`.
    #[inline]
    pub(crate) fn find(&self, hash: u32, matches: impl Fn(K) -> bool) -> Option<K> {
        let found = self.table.find(widen(hash), |entry| entry.hash == hash && matches(entry.key));
        found.map(|entry| entry.key)
    }

    /// Inserts a key, which must not be in the table.
    pub(crate) fn insert(&mut self, hash: u32, key: K) {
        self.table.insert_unique(widen(hash), Entry { key, hash }, full_hash);
    }

    /// Replaces `key` with `by`. `false` if `key` is not in the table.
    pub(crate) fn replace(&mut self, hash: u32, key: K, by: K) -> bool {
        let entry = self.table.find_mut(widen(hash), |entry| entry.key == key);
        entry.map(|entry| entry.key = by).is_some()
    }

    /// Removes a key. `false` if it is not in the table.
    pub(crate) fn remove(&mut self, hash: u32, key: K) -> bool {
        self.take(hash, |found| found == key).is_some()
    }

    /// Removes and returns the key with this hash for which `matches` returns `true`. Shrinks a
    /// mostly empty table; amortized O(1).
    #[inline]
    pub(crate) fn take(&mut self, hash: u32, matches: impl Fn(K) -> bool) -> Option<K> {
        let found =
            self.table.find_entry(widen(hash), |entry| entry.hash == hash && matches(entry.key));
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
    fn inserted_keys_are_found_and_removed_keys_are_not() {
        let mut lookup = Lookup::new();
        let key = Slot::from_number;
        // Few hashes, to force collisions.
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
