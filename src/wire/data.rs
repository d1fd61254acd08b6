//! The payload of a presence message, and the chain of encodings that it travels in (RSL4, RSL6).

use super::Value;
use crate::SmolStr;
use alloc::sync::Arc;

/// What a member says of itself (TP3e). Cloning never copies more than a few words.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Data {
    /// Text.
    String(SmolStr),
    /// Bytes.
    Binary(Arc<[u8]>),
    /// A JSON object or array. On the wire it is text with the encoding `json`; a peer that sends
    /// it bare is understood.
    Json(Arc<Value>),
}
