//! Self-describing values: what is passed through without being looked at, and JSON data.

use super::text;
use crate::SmolStr;
use alloc::{string::String, sync::Arc, vec, vec::Vec};
use core::fmt;
use serde::ser::{Serialize, Serializer};

/// A value of no fixed shape, in the union of what JSON and MessagePack can say: `extras`, JSON
/// data, and fields of other features that pass through.
///
/// `Display` prints it as JSON text. With serde it becomes, or comes from, whatever has its shape:
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
    /// A whole number that fits `i64`.
    Int(i64),
    /// A whole number above `i64::MAX`.
    UInt(u64),
    /// Any other number. JSON cannot say infinity and NaN; there they become null.
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
    /// How many bytes its JSON text has.
    pub(crate) fn json_len(&self) -> usize {
        text::len(self)
    }

    /// Whether this is [`Value::Null`].
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The truth value, if it is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = *self { Some(value) } else { None }
    }

    /// The whole number, if it is one and fits.
    #[must_use]
    pub const fn as_i64(&self) -> Option<i64> {
        if let Self::Int(value) = *self { Some(value) } else { None }
    }

    /// The whole number, if it is one and not negative.
    #[must_use]
    pub const fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::Int(value) if value >= 0 => Some(value.cast_unsigned()),
            Self::UInt(value) => Some(value),
            _ => None,
        }
    }

    /// The number, if it is one; a large whole number is rounded.
    #[must_use]
    pub const fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Int(value) => Some(value as f64),
            Self::UInt(value) => Some(value as f64),
            Self::Float(value) => Some(value),
            _ => None,
        }
    }

    /// The text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(value) = self { Some(value) } else { None }
    }

    /// The bytes, if it is bytes.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Binary(value) = self { Some(value) } else { None }
    }

    /// The items, if it is a list.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The named values, if it has some.
    #[must_use]
    pub const fn as_object(&self) -> Option<&Map> {
        if let Self::Object(map) = self { Some(map) } else { None }
    }

    /// The value of this name, if it is an object that has it.
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

/// Named values in the order in which they came. If a name came twice, the last one counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    entries: Vec<(SmolStr, Value)>,
}

impl Map {
    /// A map without entries. It allocates when the first one comes.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// The value of this name. A scan: these maps are small.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The value of this name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.entries.iter_mut().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether there is a value of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets the value of a name, and returns the one it had. The place of a known name stays; a
    /// new one comes last.
    pub fn insert(&mut self, name: impl Into<SmolStr>, value: impl Into<Value>) -> Option<Value> {
        let (name, value) = (name.into(), value.into());
        if let Some(old) = self.get_mut(&name) {
            return Some(core::mem::replace(old, value));
        }
        self.entries.push((name, value));
        None
    }

    /// Takes a name out, however often it came, and returns its value.
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

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Appends an entry without looking for its name.
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
    /// Within the default [`DecodeLimits`](super::DecodeLimits).
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let cx = super::read::Context::new(0, &super::DecodeLimits::default());
        super::read::value(deserializer, &cx)
    }
}
