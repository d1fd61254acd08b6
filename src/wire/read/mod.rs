//! Decoding of frames: one description of each type on serde's data model, for both formats.
//!
//! The visitors are written by hand. Unlike derived ones they decode in place, compare names as
//! bytes, and do not build temporary values.

mod context;
mod field;
mod object;

use super::Value;
use context::Cx;
use serde::de::{DeserializeSeed, Deserializer};

pub(super) use context::Context;
pub(super) use object::frame;

/// The error of a truncated input.
pub(super) const TRUNCATED: &str = "unexpected end of input";

/// Reads a value.
pub(super) fn value<'de, D: Deserializer<'de>>(
    deserializer: D,
    cx: &Context,
) -> Result<Value, D::Error> {
    let mut value = Value::Null;
    value.read(deserializer, Cx { context: cx, depth: 0 })?;
    Ok(value)
}

/// A type of a field, decoded in place: returning short strings through nested results costs more
/// than decoding them.
trait ReadInPlace: Sized {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, cx: Cx<'_>) -> Result<(), D::Error>;
}

/// Decodes a field in place.
struct Seed<'a, T> {
    into: &'a mut T,
    cx: Cx<'a>,
}

impl<'de, T: ReadInPlace> DeserializeSeed<'de> for Seed<'_, T> {
    type Value = ();
    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        self.into.read(input, self.cx)
    }
}
