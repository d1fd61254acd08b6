//! Self-describing values: what is passed through without being looked at, and JSON data.

use crate::SmolStr;
use alloc::{sync::Arc, vec::Vec};

/// A value of no fixed shape, in the union of what JSON and MessagePack can say: `extras`, JSON
/// data, and fields of other features that pass through.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number that fits `i64`.
    Int(i64),
    /// A whole number above `i64::MAX`.
    UInt(u64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(SmolStr),
    /// Bytes; base64 text in JSON.
    Binary(Arc<[u8]>),
    /// A list.
    Array(Vec<Self>),
    /// Named values.
    Object(Map),
}

/// Named values in the order in which they came. If a name came twice, the last one counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    pub(crate) entries: Vec<(SmolStr, Value)>,
}
