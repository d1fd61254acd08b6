//! The bodies of the fuzz targets of the two codecs, and what each of them demands. They take any
//! bytes, return nothing and panic if something does not hold.

use presence_proto::wire::{DecodeError, Format, ProtocolMessage};
use serde::Deserialize as _;

/// A frame that is read from JSON is the same frame when it has been written in either format and
/// read again.
///
/// # Panics
///
/// If that does not hold.
pub fn decode_json(bytes: &[u8]) {
    let Some(frame) = read(Format::Json, bytes) else { return };
    for format in [Format::Json, Format::MessagePack] {
        let again = ProtocolMessage::decode(format, &frame.encode(format));
        assert_eq!(again.as_ref(), Ok(&frame), "written as {format:?}");
    }
}

/// A frame that is read from MessagePack is the one that another reader of MessagePack finds, and
/// when it has been written and read again, it is written as the same bytes.
///
/// # Panics
///
/// If that does not hold.
pub fn decode_msgpack(bytes: &[u8]) {
    let frame = read(Format::MessagePack, bytes);
    // Bytes stand in for frames: NaN is not equal to itself.
    let written = frame.as_ref().map(|frame| frame.encode(Format::MessagePack));
    match (&written, decode_by_rmp(bytes)) {
        (Some(written), Ok(other)) => assert_eq!(*written, other.encode(Format::MessagePack)),
        // Ours reads on where the other knows no `undefined`, or nothing so deep.
        (Some(_), Err(_)) => assert!(has_extension(bytes) || bytes.len() > 1000),
        // Ours is stricter: text is UTF-8, and nesting has limits.
        (None, _) => {}
    }
    for format in [Format::MessagePack, Format::Json] {
        let Some(frame) = &frame else { return };
        let written = frame.encode(format);
        let again = ProtocolMessage::decode(format, &written);
        let again = again.unwrap_or_else(|error| panic!("written as {format:?}: {error}"));
        let last = again.encode(format);
        if format == Format::MessagePack {
            assert_eq!(written, last);
        } else {
            // What JSON cannot say (NaN, bytes in extras) it says in its own way from then on.
            let once_more = ProtocolMessage::decode(format, &last);
            assert_eq!(once_more.map(|frame| frame.encode(format)), Ok(last));
        }
    }
}

/// Reads a frame with the reader of the crate `rmp-serde`.
fn decode_by_rmp(bytes: &[u8]) -> Result<ProtocolMessage, String> {
    let mut reader = rmp_serde::Deserializer::new(bytes);
    let frame = ProtocolMessage::deserialize(&mut reader).map_err(|error| error.to_string())?;
    if reader.get_ref().is_empty() { Ok(frame) } else { Err("trailing bytes".to_owned()) }
}

/// Reads a frame. An error must point into the input.
fn read(format: Format, bytes: &[u8]) -> Option<ProtocolMessage> {
    match ProtocolMessage::decode(format, bytes) {
        Ok(frame) => Some(frame),
        Err(DecodeError { offset, reason, .. }) => {
            assert!(offset <= bytes.len() && !reason.is_empty(), "{offset}: {reason}");
            None
        }
    }
}

/// Whether there may be an extension, which the other reader does not take for `undefined`.
fn has_extension(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| matches!(byte, 0xc7..=0xc9 | 0xd4..=0xd8))
}
