//! Objects from peers and operators, read field by field, with error messages of our own instead of a
//! parser's.

use serde::Deserialize as _;
use serde_json::{Map, Value};

/// How deep MessagePack may nest: deeper than all that is read here, and no more than what the stack
/// of a thread can take. The reader of JSON has a bound of its own.
const MAX_DEPTH: usize = 32;

/// The fields of an object. Null counts as absent.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

/// The value that a JSON text is.
///
/// # Errors
///
/// Where the text is not JSON.
pub(crate) fn json(text: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(text)
        .map_err(|error| format!("not JSON, at line {}, column {}", error.line(), error.column()))
}

/// The value that some MessagePack is.
///
/// # Errors
///
/// It is none that JSON has as well, or nests too deeply.
pub(crate) fn message_pack(bytes: &[u8]) -> Result<Value, String> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(MAX_DEPTH);
    Value::deserialize(&mut reader).map_err(|_| "no object in MessagePack".to_owned())
}

impl Fields {
    /// The fields of a value.
    ///
    /// # Errors
    ///
    /// It is no object.
    pub(super) fn of(value: Value) -> Result<Self, String> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err("not an object".to_owned()),
        }
    }

    /// Takes a field of any type.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a field out that is text.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{name} is not text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nests_without_end_is_refused_and_needs_no_stack() {
        for depth in [MAX_DEPTH, 1_000, 60_000] {
            assert!(message_pack(&vec![0x91; depth]).is_err());
            assert!(message_pack(&[&b"\x81\xa3ttl"[..], &vec![0x91; depth]].concat()).is_err());
            assert!(json("[".repeat(depth).as_bytes()).is_err());
            assert!(json(format!("{{\"ttl\":{}", "[".repeat(depth)).as_bytes()).is_err());
        }
        let nested = |depth| [vec![0x91; depth], vec![0xc0]].concat();
        assert!(message_pack(&nested(MAX_DEPTH / 2)).is_ok());
        assert!(message_pack(&nested(MAX_DEPTH * 2)).is_err());
    }
}
