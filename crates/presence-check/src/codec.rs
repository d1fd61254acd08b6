//! The bodies of the fuzz targets of the codecs. They accept any bytes and panic if a property is
//! violated.

use presence_proto::server::{Entry, EntryError, SnapshotPage};
use presence_proto::wire::{DecodeError, Format, ProtocolMessage};
use serde::Deserialize as _;

/// A frame decoded from JSON is unchanged by encoding and decoding in either format.
///
/// # Panics
///
/// If the property is violated.
pub fn decode_json(bytes: &[u8]) {
    let Some(frame) = decode(Format::Json, bytes) else { return };
    for format in [Format::Json, Format::MessagePack] {
        let again = ProtocolMessage::decode(format, &frame.encode(format));
        assert_eq!(again.as_ref(), Ok(&frame), "encoded as {format:?}");
    }
}

/// A frame decoded from MessagePack equals the one that `rmp-serde` decodes. After encoding and
/// decoding it, its encoding is the same bytes.
///
/// # Panics
///
/// If the property is violated.
pub fn decode_msgpack(bytes: &[u8]) {
    let frame = decode(Format::MessagePack, bytes);
    // Compare bytes, not frames: NaN is not equal to itself.
    let encoded = frame.as_ref().map(|frame| frame.encode(Format::MessagePack));
    match (&encoded, decode_by_rmp(bytes)) {
        (Some(encoded), Ok(other)) => assert_eq!(*encoded, other.encode(Format::MessagePack)),
        // The library accepts `undefined` and deeper nesting.
        (Some(_), Err(_)) => assert!(has_extension(bytes) || bytes.len() > 1000),
        // The library is stricter: text must be UTF-8, and nesting is limited.
        (None, _) => {}
    }
    for format in [Format::MessagePack, Format::Json] {
        let Some(frame) = &frame else { return };
        let encoded = frame.encode(format);
        let again = ProtocolMessage::decode(format, &encoded);
        let again = again.unwrap_or_else(|error| panic!("encoded as {format:?}: {error}"));
        let last = again.encode(format);
        if format == Format::MessagePack {
            assert_eq!(encoded, last);
        } else {
            // JSON has no NaN and no bytes in extras; their replacements are stable.
            let once_more = ProtocolMessage::decode(format, &last);
            assert_eq!(once_more.map(|frame| frame.encode(format)), Ok(last));
        }
    }
}

/// An entry of the log is unchanged by encoding and decoding it.
///
/// # Panics
///
/// If the property is violated.
pub fn decode_entry(bytes: &[u8]) {
    is_unchanged(bytes, |bytes| Entry::decode(bytes).map(|entry| entry.encode()));
}

/// A page of a snapshot is unchanged by encoding and decoding it.
///
/// # Panics
///
/// If the property is violated.
pub fn decode_page(bytes: &[u8]) {
    is_unchanged(bytes, |bytes| SnapshotPage::decode(bytes).map(|page| page.encode()));
}

/// Checks a function that decodes, and encodes again.
fn is_unchanged(bytes: &[u8], encode_again: fn(&[u8]) -> Result<Vec<u8>, EntryError>) {
    match encode_again(bytes) {
        Ok(encoded) => {
            assert!(encoded.len() <= bytes.len(), "numbers are written in their shortest form");
            // Compare bytes, not what they mean: NaN is not equal to itself.
            assert_eq!(encode_again(&encoded), Ok(encoded));
        }
        Err(EntryError::Malformed { at } | EntryError::TooDeep { at }) => {
            assert!(at <= bytes.len(), "an error at byte {at}");
        }
        Err(_) => assert!(!bytes.is_empty()),
    }
}

/// Decodes a frame with `rmp-serde`.
fn decode_by_rmp(bytes: &[u8]) -> Result<ProtocolMessage, String> {
    let mut reader = rmp_serde::Deserializer::new(bytes);
    let frame = ProtocolMessage::deserialize(&mut reader).map_err(|error| error.to_string())?;
    if reader.get_ref().is_empty() { Ok(frame) } else { Err("trailing bytes".to_owned()) }
}

/// Decodes a frame. The offset of an error must be within the input.
fn decode(format: Format, bytes: &[u8]) -> Option<ProtocolMessage> {
    match ProtocolMessage::decode(format, bytes) {
        Ok(frame) => Some(frame),
        Err(DecodeError { offset, reason, .. }) => {
            assert!(offset <= bytes.len() && !reason.is_empty(), "{offset}: {reason}");
            None
        }
    }
}

/// Whether there may be an extension; `rmp-serde` does not accept those as `undefined`.
fn has_extension(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| matches!(byte, 0xc7..=0xc9 | 0xd4..=0xd8))
}
