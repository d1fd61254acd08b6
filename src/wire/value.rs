//! Self-describing values: JSON data, and fields that are passed through.

use super::text;
use crate::SmolStr;
use alloc::{string::String, sync::Arc, vec, vec::Vec};
use core::fmt;
use serde::ser::{Serialize, Serializer};

/// A dynamic value of JSON or MessagePack: JSON data, `extras`, and fields of other features that are
/// passed through.
///
/// `Display` prints JSON text. It implements serde's `Serialize` and `Deserialize`:
///
/// ```
/// # #[cfg(feature = "json")] {
/// use presence_proto::wire::{Data, Value};
///
/// let status: Value = serde_json::from_str(r#"{"status":"away","since":17}"#)?;
/// let data = Data::from(status);
/// assert_eq!(data.as_json().unwrap().get("since"), Some(&Value::Int(17)));
/// assert_eq!(serde_json::to_string(data.as_json().unwrap())?, r#"{"status":"away","since":17}"#);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// An integer in the range of `i64`.
    Int(i64),
    /// An integer above `i64::MAX`.
    UInt(u64),
    /// Any other number. In JSON, infinity and NaN become null.
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

impl Value {
    /// The length of the JSON text, in bytes.
    pub(crate) fn json_len(&self) -> usize {
        text::len(self)
    }

    /// Whether this is [`Value::Null`].
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value of [`Value::Bool`].
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = *self { Some(value) } else { None }
    }

    /// The integer, if it is one in the range of `i64`.
    #[must_use]
    pub const fn as_i64(&self) -> Option<i64> {
        if let Self::Int(value) = *self { Some(value) } else { None }
    }

    /// The integer, if it is one and not negative.
    #[must_use]
    pub const fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::Int(value) if value >= 0 => Some(value.cast_unsigned()),
            Self::UInt(value) => Some(value),
            _ => None,
        }
    }

    /// The number, if it is one. Large integers are rounded.
    #[must_use]
    pub const fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Int(value) => Some(value as f64),
            Self::UInt(value) => Some(value as f64),
            Self::Float(value) => Some(value),
            _ => None,
        }
    }

    /// The text of [`Value::String`].
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(value) = self { Some(value) } else { None }
    }

    /// The bytes of [`Value::Binary`].
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Binary(value) = self { Some(value) } else { None }
    }

    /// The items of [`Value::Array`].
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The map of [`Value::Object`].
    #[must_use]
    pub const fn as_object(&self) -> Option<&Map> {
        if let Self::Object(map) = self { Some(map) } else { None }
    }

    /// The value of a name, if this is an object with that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_object()?.get(name)
    }

    /// JSON text. Bytes become base64 text; infinity and NaN become null.
    #[must_use]
    pub fn to_json(&self) -> String {
        text::to_string(self)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

macro_rules! value_from {
    ($($from:ty: $value:ident => $into:expr,)*) => {
        $(impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $into
            }
        })*
    };
}

value_from! {
    bool: value => Self::Bool(value),
    i32: value => Self::Int(value.into()),
    u32: value => Self::Int(value.into()),
    i64: value => Self::Int(value),
    u64: value => i64::try_from(value).map_or(Self::UInt(value), Self::Int),
    f64: value => Self::Float(value),
    &str: value => Self::String(value.into()),
    String: value => Self::String(value.into()),
    SmolStr: value => Self::String(value),
    Arc<[u8]>: value => Self::Binary(value),
    Vec<Self>: value => Self::Array(value),
    Map: value => Self::Object(value),
}

/// Names and values, in order. Decoded maps may contain a name twice: then the last one counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    entries: Vec<(SmolStr, Value)>,
}

impl Map {
    /// An empty map. Allocates with the first entry.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// The value of a name. O(n): these maps are small.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The value of a name, mutable.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.entries.iter_mut().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether the map contains a name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets the value of a name, and returns the previous value. A new name is appended; an existing
    /// one keeps its position.
    pub fn insert(&mut self, name: impl Into<SmolStr>, value: impl Into<Value>) -> Option<Value> {
        let (name, value) = (name.into(), value.into());
        if let Some(old) = self.get_mut(&name) {
            return Some(core::mem::replace(old, value));
        }
        self.entries.push((name, value));
        None
    }

    /// Removes all entries of a name, and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let mut removed = None;
        self.entries.retain_mut(|(key, value)| {
            let keep = key != name;
            if !keep {
                removed = Some(core::mem::take(value));
            }
            keep
        });
        removed
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the map is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Appends an entry without a check for duplicates.
    pub(crate) fn push(&mut self, name: SmolStr, value: Value) {
        self.entries.push((name, value));
    }
}

impl IntoIterator for Map {
    type Item = (SmolStr, Value);
    type IntoIter = vec::IntoIter<Self::Item>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<K: Into<SmolStr>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<K: Into<SmolStr>, V: Into<Value>> Extend<(K, V)> for Map {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (name, value) in entries {
            self.insert(name, value);
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::UInt(number) => serializer.serialize_u64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::String(text) => serializer.serialize_str(text),
            Self::Binary(bytes) => serializer.serialize_bytes(bytes),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(map) => map.serialize(serializer),
        }
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(any(feature = "json", feature = "msgpack"))]
impl<'de> serde::Deserialize<'de> for Value {
    /// With the default [`DecodeLimits`](super::DecodeLimits).
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let cx = super::read::Context::new(0, &super::DecodeLimits::default());
        super::read::value(deserializer, &cx)
    }
}
