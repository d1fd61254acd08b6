//! Encoding and decoding of frames, with limits and errors.

use super::{Action, ErrorInfo, Format, PresenceMessage, ProtocolMessage, codes, write};
use alloc::{string::String, vec::Vec};

/// Maximum nesting of values, whatever the limits, because of the stack.
pub(crate) const MAX_DEPTH: u32 = 100;

/// Limits of decoding one frame.
///
/// Without them, the decoder allocates at most about thirty times the length of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// Maximum length of a frame, in bytes.
    pub max_len: usize,
    /// Maximum number of presence messages and messages, together.
    pub max_items: u32,
    /// Maximum number of [`Value`](super::Value)s (extras, annotations and the like), together.
    pub max_values: u32,
    /// Maximum nesting of values in values and of causes in errors. Clamped to 100, because of the
    /// stack.
    pub max_depth: u32,
}

impl Default for DecodeLimits {
    /// 4 MiB, 65,536 items, 262,144 values, 64 levels.
    fn default() -> Self {
        Self { max_len: 4 << 20, max_items: 1 << 16, max_values: 1 << 18, max_depth: 64 }
    }
}

/// A decoding error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{reason}, at byte {offset}", path, if path.is_empty() { "" } else { ": " })]
#[non_exhaustive]
pub struct DecodeError {
    /// The kind of error.
    pub kind: DecodeErrorKind,
    /// The path of the field, such as `presence[3].timestamp`; empty for the whole frame.
    pub path: String,
    /// The position in the input, in bytes.
    pub offset: usize,
    /// The reason, human-readable.
    pub reason: String,
}

/// The kind of a decoding error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// Not JSON or MessagePack, or not a frame.
    Malformed,
    /// One of the [`DecodeLimits`] is exceeded.
    TooLarge,
    /// The feature for this format is disabled.
    Unsupported,
}

impl From<&DecodeError> for ErrorInfo {
    /// Code 40009 for a frame beyond the limits, otherwise 40000.
    fn from(error: &DecodeError) -> Self {
        let code = if error.kind == DecodeErrorKind::TooLarge {
            codes::MAX_MESSAGE_SIZE_EXCEEDED
        } else {
            codes::BAD_REQUEST
        };
        Self::new(code, 400, alloc::format!("cannot decode frame: {error}"))
    }
}

impl ProtocolMessage {
    /// Decodes one frame, with the default [`DecodeLimits`].
    ///
    /// Unknown fields are ignored (RSF1). Null is the same as absent. An absent action is 0. Integers
    /// may have any width. Data does not depend on the format: bytes are
    /// [`Data::Binary`](super::Data::Binary), without the encoding `base64` that they have in JSON.
    /// Items do not get the fields of the frame, see [`inherit`](Self::inherit).
    ///
    /// # Errors
    ///
    /// If the bytes are not exactly one frame, or exceed the limits. Convert the error to an
    /// [`ErrorInfo`](super::ErrorInfo) for the protocol's code.
    pub fn decode(format: Format, bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_with(format, bytes, &DecodeLimits::default())
    }

    /// Decodes one frame, with these limits.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn decode_with(
        format: Format,
        bytes: &[u8],
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        if bytes.len() > limits.max_len {
            return Err(DecodeError {
                kind: DecodeErrorKind::TooLarge,
                path: String::new(),
                offset: 0,
                reason: alloc::format!(
                    "a frame of {} bytes, {} are allowed",
                    bytes.len(),
                    limits.max_len
                ),
            });
        }
        // Some encoders omit zeros: without an action the frame is a HEARTBEAT.
        let mut frame = Self::new(Action::Heartbeat);
        frame.read(format, bytes, limits)?;
        Ok(frame)
    }

    #[cfg_attr(
        not(any(feature = "json", feature = "msgpack")),
        expect(unused_variables, clippy::unused_self, reason = "no format can be read")
    )]
    fn read(
        &mut self,
        format: Format,
        bytes: &[u8],
        limits: &DecodeLimits,
    ) -> Result<(), DecodeError> {
        match format {
            #[cfg(feature = "json")]
            Format::Json => super::json::decode(bytes, limits, self),
            #[cfg(feature = "msgpack")]
            Format::MessagePack => super::msgpack::decode(bytes, limits, self),
            #[cfg(not(all(feature = "json", feature = "msgpack")))]
            _ => Err(DecodeError {
                kind: DecodeErrorKind::Unsupported,
                path: String::new(),
                offset: 0,
                reason: alloc::format!("the feature {} is off", format.name()),
            }),
        }
    }

    /// Encodes the frame: UTF-8 for a WebSocket text message (JSON), or a binary one (MessagePack).
    /// Absent fields and empty lists are omitted, except the list that belongs to the action.
    #[must_use]
    pub fn encode(&self, format: Format) -> Vec<u8> {
        let mut out = Vec::with_capacity(write::estimate_len(self));
        self.encode_into(format, &mut out);
        out
    }

    /// Encodes the frame and appends the bytes to a buffer.
    pub fn encode_into(&self, format: Format, out: &mut Vec<u8>) {
        self.encode_with(format, self.presence.iter(), out);
    }

    /// Encodes the frame with these presence items instead of its own, so that members are encoded
    /// without a copy.
    pub(crate) fn encode_with<I: write::Item>(
        &self,
        format: Format,
        presence: impl ExactSizeIterator<Item = I>,
        out: &mut Vec<u8>,
    ) {
        match format {
            Format::Json => write::frame(&mut write::Json(out), self, presence),
            Format::MessagePack => write::frame(&mut write::MessagePack(out), self, presence),
        }
    }
}

impl PresenceMessage {
    /// Encodes a list of presence messages, for an HTTP response (RSP3, RSP4).
    #[must_use]
    pub fn encode_list(items: &[Self], format: Format) -> Vec<u8> {
        let mut out = Vec::new();
        match format {
            Format::Json => write::presence_list(&mut write::Json(&mut out), items),
            Format::MessagePack => write::presence_list(&mut write::MessagePack(&mut out), items),
        }
        out
    }
}
