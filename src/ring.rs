//! Intrusive linked lists of values in a slab, linked by keys.
//!
//! The owner of a list stores the key of the first value. The `previous` link of the first value is
//! the last value, so that both ends are O(1). The `next` link of the last value is empty.

use crate::slab::{Arena, Cell, Key, Slab};
use core::marker::PhantomData;

/// The links of a value in its list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links<K> {
    next: Link<K>,
    previous: Link<K>,
}

/// An optional key in 32 bits: its number plus one, or zero.
#[derive(Clone, Copy, Debug)]
struct Link<K>(u32, PhantomData<K>);

impl<K> Default for Links<K> {
    fn default() -> Self {
        let none = || Link(0, PhantomData);
        Self { next: none(), previous: none() }
    }
}

impl<K: Key> Links<K> {
    fn new(next: Option<K>, previous: Option<K>) -> Self {
        Self { next: Link::to(next), previous: Link::to(previous) }
    }

    pub(crate) fn next(&self) -> Option<K> {
        self.next.get()
    }
}

impl<K: Key> Link<K> {
    fn to(key: Option<K>) -> Self {
        Self(key.map_or(0, |key| key.number().wrapping_add(1)), PhantomData)
    }

    fn get(self) -> Option<K> {
        self.0.checked_sub(1).map(K::from_number)
    }

    fn replace(&mut self, key: K) -> Option<K> {
        core::mem::replace(self, Self::to(Some(key))).get()
    }
}

/// A value with links.
pub(crate) trait Linked<K> {
    fn links(&mut self) -> &mut Links<K>;
}

/// The storage of linked values.
pub(crate) trait Nodes<K> {
    fn links(&mut self, key: K) -> Option<&mut Links<K>>;
}

impl<K: Key, C: Cell + Clone> Nodes<K> for Slab<K, C>
where
    C::Value: Linked<K>,
{
    fn links(&mut self, key: K) -> Option<&mut Links<K>> {
        self.get_mut(key).map(Linked::links)
    }
}

impl<K: Key, T: Linked<K> + Clone + Default> Nodes<K> for Arena<K, T> {
    fn links(&mut self, key: K) -> Option<&mut Links<K>> {
        Some(self[key].links())
    }
}

/// Inserts a value at the front. It must not be in a list.
pub(crate) fn push_front<K: Key>(nodes: &mut impl Nodes<K>, first: &mut Option<K>, key: K) {
    let next = first.replace(key);
    let last = match next.and_then(|next| nodes.links(next)) {
        Some(links) => links.previous.replace(key),
        None => Some(key),
    };
    if let Some(links) = nodes.links(key) {
        *links = Links::new(next, last);
    }
}

/// Inserts a value at the back. It must not be in a list.
pub(crate) fn push_back<K: Key>(nodes: &mut impl Nodes<K>, first: &mut Option<K>, key: K) {
    let Some(head) = *first else { return push_front(nodes, first, key) };
    let last = nodes.links(head).and_then(|links| links.previous.replace(key));
    if let Some(links) = last.and_then(|last| nodes.links(last)) {
        links.next = Link::to(Some(key));
    }
    if let Some(links) = nodes.links(key) {
        *links = Links::new(None, last);
    }
}

/// Removes a value from its list.
pub(crate) fn remove<K: Key>(nodes: &mut impl Nodes<K>, first: &mut Option<K>, key: K) {
    let Some(links) = nodes.links(key) else {
        debug_assert!(false, "{key:?} dangles");
        return;
    };
    let links = core::mem::take(links);
    let (next, previous) = (links.next.get(), links.previous.get());
    if *first == Some(key) {
        *first = next;
    } else if let Some(links) = previous.and_then(|previous| nodes.links(previous)) {
        links.next = Link::to(next);
    }
    // Without a next value the removed one was the last: then the first links to the new last.
    if let Some(links) = next.or(*first).and_then(|after| nodes.links(after)) {
        links.previous = Link::to(previous);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Slot;
    use alloc::collections::VecDeque;
    use alloc::vec::Vec;

    impl Linked<Slot> for Links<Slot> {
        fn links(&mut self) -> &mut Self {
            self
        }
    }

    proptest::proptest! {
        #[test]
        fn a_ring_behaves_like_a_deque(steps in proptest::collection::vec((0..4u8, 0..8usize), 1..100)) {
            let mut nodes = Slab::<Slot, Option<Links<Slot>>>::new();
            let (mut first, mut model) = (None, VecDeque::new());
            for (step, place) in steps {
                match step {
                    0 | 1 => {
                        let key = nodes.insert(Links::default()).unwrap();
                        if step == 0 {
                            push_front(&mut nodes, &mut first, key);
                            model.push_front(key);
                        } else {
                            push_back(&mut nodes, &mut first, key);
                            model.push_back(key);
                        }
                    }
                    _ => {
                        if let Some(key) = model.remove(place) {
                            remove(&mut nodes, &mut first, key);
                            nodes.remove(key);
                        }
                    }
                }
                let forwards = core::iter::successors(first, |key| nodes.get(*key)?.next());
                let forwards: Vec<_> = forwards.collect();
                proptest::prop_assert_eq!(&forwards, &model.iter().copied().collect::<Vec<_>>());
                let last = first.and_then(|first| nodes.get(first)).and_then(|links| links.previous.get());
                proptest::prop_assert_eq!(last, model.back().copied());
            }
        }
    }
}
