//! The shared state of decoding one input: limits, and the path of an error.

use crate::SmolStr;
use crate::wire::{DecodeError, DecodeErrorKind, DecodeLimits, MAX_DEPTH};
use alloc::{
    string::{String, ToString as _},
    vec::Vec,
};
use core::cell::{Cell, RefCell};
use serde::de::Error;

/// The state of decoding one input.
pub(in crate::wire) struct Context {
    /// Items that may still be decoded.
    items: Cell<u32>,
    /// Values that may still be decoded.
    values: Cell<u32>,
    max_depth: u32,
    /// An estimate of the number of items in a list, from the length of the input.
    pub(super) capacity_hint: usize,
    too_large: Cell<bool>,
    /// The path of the error, innermost first. Filled while the error propagates.
    path: RefCell<Vec<Segment>>,
}

pub(super) enum Segment {
    Field(&'static str),
    Name(SmolStr),
    Index(usize),
}

impl Context {
    pub(in crate::wire) fn new(len: usize, limits: &DecodeLimits) -> Self {
        Self {
            items: Cell::new(limits.max_items),
            values: Cell::new(limits.max_values),
            max_depth: limits.max_depth.min(MAX_DEPTH),
            // An item with all fields has at least 120 bytes. Bounded, because a long input may have
            // a few large items.
            capacity_hint: (len / 128 + 1).min(128),
            too_large: Cell::new(false),
            path: RefCell::new(Vec::new()),
        }
    }

    /// Creates the error, with kind and path. Quoted input is truncated.
    pub(in crate::wire) fn error(&self, offset: usize, mut reason: String) -> DecodeError {
        let mut path = String::new();
        for segment in self.path.borrow().iter().rev() {
            let name = match segment {
                Segment::Index(index) => {
                    path.push('[');
                    path.push_str(&index.to_string());
                    path.push(']');
                    continue;
                }
                Segment::Field(name) => name,
                Segment::Name(name) => name.as_str(),
            };
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
        }
        let kind = if self.too_large.get() {
            DecodeErrorKind::TooLarge
        } else {
            DecodeErrorKind::Malformed
        };
        truncate(&mut path);
        truncate(&mut reason);
        DecodeError { kind, path, offset, reason }
    }

    /// Adds the enclosing field to the path of the error.
    #[cold]
    pub(super) fn push_path(&self, segment: Segment) {
        self.path.borrow_mut().push(segment);
    }

    #[cold]
    fn too_large<E: Error>(&self, what: &'static str) -> E {
        self.too_large.set(true);
        E::custom(what)
    }

    pub(super) fn count_item<E: Error>(&self) -> Result<(), E> {
        self.spend(&self.items, "too many items in one frame")
    }

    pub(super) fn count_value<E: Error>(&self) -> Result<(), E> {
        self.spend(&self.values, "too many values in one frame")
    }

    fn spend<E: Error>(&self, budget: &Cell<u32>, what: &'static str) -> Result<(), E> {
        match budget.get().checked_sub(1) {
            Some(left) => {
                budget.set(left);
                Ok(())
            }
            None => Err(self.too_large(what)),
        }
    }
}

/// Truncates text of a peer, for logs.
fn truncate(text: &mut String) {
    const MAX_LEN: usize = 240;
    if text.len() > MAX_LEN {
        let end = (0..=MAX_LEN).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
}

/// The context and the nesting depth of a value.
#[derive(Clone, Copy)]
pub(super) struct Cx<'c> {
    pub(super) context: &'c Context,
    /// Number of enclosing values or causes.
    pub(super) depth: u32,
}

impl Cx<'_> {
    pub(super) fn deeper<E: Error>(mut self) -> Result<Self, E> {
        if self.depth >= self.context.max_depth {
            return Err(self.context.too_large("nested too deeply"));
        }
        self.depth += 1;
        Ok(self)
    }
}
