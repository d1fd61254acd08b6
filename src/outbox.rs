//! The output buffer.

use alloc::vec::{self, Vec};

/// Maximum capacity kept after a burst, in outputs.
const KEEP: usize = 1024;

/// A buffer of outputs, owned by the host and passed to each call of `handle`.
///
/// Outputs are in total order and self-contained. The host may call `handle` several times before
/// it drains the outbox.
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
    /// An empty outbox. Allocates with the first output.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// Removes all outputs, oldest first. The buffer keeps its capacity, so that a steady state does
    /// not allocate. After a burst it shrinks to a capacity of 1,024 outputs.
    pub fn drain(&mut self) -> Drain<'_, T> {
        if self.items.capacity() > KEEP && self.items.len() <= KEEP / 4 {
            self.items.shrink_to(KEEP);
        }
        Drain { inner: self.items.drain(..) }
    }

    /// Number of outputs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the outbox is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The outputs, oldest first.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.items
    }

    pub(crate) fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// Like [`push`](Self::push), for hot paths: constructs the output in place.
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

/// The outputs of an [`Outbox`], oldest first. Dropping it drops the rest.
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
