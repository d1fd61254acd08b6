//! Reading frames: one description of each type on serde's data model, for both formats.
//!
//! Visitors are written by hand. They fill in place, look at names as bytes and build no value
//! that is not kept; a derived reader does none of the three.

mod context;
mod field;
mod object;

use super::Value;
use context::Cx;
use serde::de::{DeserializeSeed, Deserializer};

pub(super) use context::Context;
pub(super) use object::frame;

/// What is wrong with an input that ends too early.
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

/// What can be read wherever it stands.
///
/// It is read into its place: to hand short strings up, result in result, costs more than to read
/// them.
trait ReadInPlace: Sized {
    fn read<'de, D: Deserializer<'de>>(&mut self, input: D, cx: Cx<'_>) -> Result<(), D::Error>;
}

/// Reads a field into its place.
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
