//! Reading JSON.

use super::{DecodeError, DecodeLimits, ProtocolMessage, Value, read};
use alloc::string::{String, ToString as _};
use serde_json::Deserializer;

/// Reads one frame into its place.
pub(super) fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    into: &mut ProtocolMessage,
) -> Result<(), DecodeError> {
    let cx = read::Context::new(bytes.len(), limits);
    // Once for all, so that no string is looked at again.
    let text = core::str::from_utf8(bytes)
        .map_err(|error| cx.error(error.valid_up_to(), String::from("invalid UTF-8")))?;
    let mut reader = Deserializer::from_str(text);
    read::frame(&mut reader, &cx, into)
        .and_then(|()| reader.end())
        .map_err(|error| describe(&error, text, &cx))
}

/// Reads one value.
pub(super) fn parse(text: &str, limits: &DecodeLimits) -> Result<Value, DecodeError> {
    let cx = read::Context::new(text.len(), limits);
    let mut reader = Deserializer::from_str(text);
    read::value(&mut reader, &cx)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| describe(&error, text, &cx))
}

fn describe(error: &serde_json::Error, text: &str, cx: &read::Context) -> DecodeError {
    // Lines and columns count from one, columns in bytes.
    let line: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let offset = line.saturating_add(error.column()).min(text.len());
    let mut reason = error.to_string();
    if let Some(end) = reason.rfind(" at line ") {
        reason.truncate(end);
    }
    cx.error(offset, reason)
}
