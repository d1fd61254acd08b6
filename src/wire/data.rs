//! The payload of messages and presence messages (TP3e).

use super::{Value, text};
use crate::SmolStr;
use alloc::{string::String, sync::Arc, vec::Vec};

/// The payload of a message, or the data of a member (TP3e). Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Data {
    /// Text.
    String(SmolStr),
    /// Bytes.
    Binary(Arc<[u8]>),
    /// JSON, for the application: an object or an array. On the wire and in decoded frames it is text
    /// with the encoding `json`.
    Json(Arc<Value>),
}

impl Data {
    /// The text of [`Data::String`].
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The bytes of [`Data::Binary`].
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Binary(bytes) = self { Some(bytes) } else { None }
    }

    /// The value of [`Data::Json`].
    #[must_use]
    pub fn as_json(&self) -> Option<&Value> {
        if let Self::Json(value) = self { Some(value) } else { None }
    }

    /// The size in bytes, for the limit of the message size: the length of the UTF-8 text, of the
    /// bytes, or of the JSON text (TM6, TP5).
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::String(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Json(value) => text::len(value),
        }
    }
}

impl From<&str> for Data {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Data {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<SmolStr> for Data {
    fn from(text: SmolStr) -> Self {
        Self::String(text)
    }
}

impl From<&[u8]> for Data {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<Arc<[u8]>> for Data {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Value> for Data {
    fn from(value: Value) -> Self {
        Self::Json(Arc::new(value))
    }
}
