//! What is shared while one input is read: what may still be allocated, and where an error is.

use crate::SmolStr;
use crate::wire::{DecodeError, DecodeErrorKind, DecodeLimits};
use alloc::{
    string::{String, ToString as _},
    vec::Vec,
};
use core::cell::{Cell, RefCell};
use serde::de::Error;

/// Values in values go no deeper than this, whatever the limits say: the stack is finite.
const MAX_DEPTH: u32 = 100;

/// The state of reading one input.
pub(in crate::wire) struct Context {
    items: Cell<u32>,
    values: Cell<u32>,
    max_depth: u32,
    /// About how many items a list will have, from the length of the input.
    pub(super) capacity_hint: usize,
    too_large: Cell<bool>,
    /// Innermost first; filled on the way out of an error.
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
            // An item with all its fields has 120 bytes and more. Few items of many bytes are
            // not to take memory for many, hence the bound.
            capacity_hint: (len / 128 + 1).min(128),
            too_large: Cell::new(false),
            path: RefCell::new(Vec::new()),
        }
    }

    /// The error, with all that is known of it. What it quotes of the input is cut short.
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

/// Cuts text of a peer to what a log can take.
fn truncate(text: &mut String) {
    const MAX_LEN: usize = 240;
    if text.len() > MAX_LEN {
        let end = (0..=MAX_LEN).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
}

/// Where in an input a reader is.
#[derive(Clone, Copy)]
pub(super) struct Cx<'c> {
    pub(super) context: &'c Context,
    /// How many values or causes it is inside of.
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
