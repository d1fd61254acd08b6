//! The buffer that outputs come out of.

use alloc::vec::{self, Vec};

/// Capacity above which an emptied outbox gives its memory back.
const KEEP: usize = 1024;

/// Where a half puts its outputs: owned by the host, handed to every call of `handle`.
///
/// Outputs are in total order and each stands for itself. There is no duty to drain between
/// calls: several calls may share one outbox.
#[derive(Clone, Debug)]
pub struct Outbox<T> {
    items: Vec<T>,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Outbox<T> {
    /// An empty outbox. It allocates when the first output comes.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// Takes all outputs out, oldest first. The buffer keeps a moderate capacity, so that a
    /// steady state allocates nothing and a burst is not paid for for ever.
    pub fn drain(&mut self) -> Drain<'_, T> {
        if self.items.capacity() > KEEP && self.items.len() <= KEEP / 4 {
            self.items.shrink_to(KEEP);
        }
        Drain { inner: self.items.drain(..) }
    }

    /// How many outputs wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no output waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The outputs that wait, oldest first.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.items
    }

    pub(crate) fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// The same for what comes often: it is made where it stays, not made and then moved.
    pub(crate) fn push_with(&mut self, make: impl FnOnce() -> T) {
        self.items.extend(core::iter::once_with(make));
    }
}

impl<T> IntoIterator for Outbox<T> {
    type Item = T;
    type IntoIter = vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

/// The outputs of an [`Outbox`], oldest first. What is not taken is dropped with it.
#[derive(Debug)]
pub struct Drain<'a, T> {
    inner: vec::Drain<'a, T>,
}

impl<T> Iterator for Drain<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.inner.next()
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}

impl<T> ExactSizeIterator for Drain<'_, T> {}
