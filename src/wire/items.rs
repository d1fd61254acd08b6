//! A list with one inline item.

use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};
use smallvec::SmallVec;

/// A list that stores one item inline: most frames have one item and need no allocation.
///
/// Convert a vector with [`From`], or collect an iterator. It dereferences to a slice.
#[derive(Clone, PartialEq, Eq)]
pub struct Items<T>(SmallVec<[T; 1]>);

impl<T> Items<T> {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self(SmallVec::new_const())
    }

    /// A list of one item.
    #[must_use]
    #[inline]
    pub fn one(item: T) -> Self {
        Self(SmallVec::from_buf([item]))
    }

    /// Appends an item.
    #[inline]
    pub fn push(&mut self, item: T) {
        self.0.push(item);
    }

    /// Removes the last item and returns it.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Reserves capacity for at least `additional` more items.
    #[inline]
    pub fn reserve(&mut self, additional: usize) {
        self.0.reserve(additional);
    }

    /// Keeps the items for which `keep` returns `true`, in their order.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        self.0.retain(|item| keep(item));
    }

    /// Removes all items.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> Deref for Items<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Items<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T> From<Vec<T>> for Items<T> {
    fn from(items: Vec<T>) -> Self {
        Self(items.into())
    }
}

impl<T, const N: usize> From<[T; N]> for Items<T> {
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}

impl<T> FromIterator<T> for Items<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<T> Extend<T> for Items<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        self.0.extend(items);
    }
}

impl<T> IntoIterator for Items<T> {
    type Item = T;
    type IntoIter = ItemsIntoIter<T>;

    #[inline]
    fn into_iter(self) -> ItemsIntoIter<T> {
        ItemsIntoIter(self.0.into_iter())
    }
}

impl<'a, T> IntoIterator for &'a Items<T> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut Items<T> {
    type Item = &'a mut T;
    type IntoIter = core::slice::IterMut<'a, T>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

/// The items of an [`Items`], by value.
#[derive(Debug)]
pub struct ItemsIntoIter<T>(smallvec::IntoIter<[T; 1]>);

impl<T> Iterator for ItemsIntoIter<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.0.next()
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T> DoubleEndedIterator for ItemsIntoIter<T> {
    fn next_back(&mut self) -> Option<T> {
        self.0.next_back()
    }
}

impl<T> ExactSizeIterator for ItemsIntoIter<T> {}
