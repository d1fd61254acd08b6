//! What others wrote in JSON, or in its like, read field by field, so that what is wrong is said in
//! words of ours and not in those of a parser.

use serde_json::{Map, Value};

/// The fields of an object. What is null is the same as absent.
#[derive(Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

/// The value that a JSON text is.
///
/// # Errors
///
/// Where the text is not JSON.
pub(crate) fn json(text: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(text)
        .map_err(|error| format!("not JSON, at line {}, column {}", error.line(), error.column()))
}

impl Fields {
    /// The fields of a value.
    ///
    /// # Errors
    ///
    /// It is no object.
    pub(crate) fn of(value: Value) -> Result<Self, String> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err("not an object".to_owned()),
        }
    }

    /// Takes a field out, whatever it is.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a field out that is text.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{name} is not text")),
        }
    }
}
