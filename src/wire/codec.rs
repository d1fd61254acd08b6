//! Frames to bytes and back: the two formats, the limits of decoding, and its errors.

use super::{Action, ErrorInfo, Format, PresenceMessage, ProtocolMessage, codes, write};
use alloc::{string::String, vec::Vec};

/// How much one frame may make the decoder allocate.
///
/// What is allocated is bounded by the length of the input in any case, by a factor of about
/// thirty; these bound it further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// Longest frame, in bytes.
    pub max_len: usize,
    /// Most presence messages and messages, together.
    pub max_items: u32,
    /// Most values in what passes through unseen (extras and the like), together.
    pub max_values: u32,
    /// How deep values may nest in values, and causes in errors. At most 100 counts: the stack
    /// is bounded too.
    pub max_depth: u32,
}

impl Default for DecodeLimits {
    /// 4 MiB, 65,536 items, 262,144 values, 64 levels.
    fn default() -> Self {
        Self { max_len: 4 << 20, max_items: 1 << 16, max_values: 1 << 18, max_depth: 64 }
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{reason}, at byte {offset}", path, if path.is_empty() { "" } else { ": " })]
#[non_exhaustive]
pub struct DecodeError {
    /// What kind of error it is.
    pub kind: DecodeErrorKind,
    /// The field, as in `presence[3].timestamp`; empty if it is the frame.
    pub path: String,
    /// Up to which byte the input was read.
    pub offset: usize,
    /// What is wrong, for people.
    pub reason: String,
}

/// What kind of decoding error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// Not JSON or MessagePack, or not of the shape of a frame.
    Malformed,
    /// Beyond one of the [`DecodeLimits`].
    TooLarge,
    /// The feature of this format is off.
    Unsupported,
}

impl From<&DecodeError> for ErrorInfo {
    /// 40009 for a frame beyond the limits, else 40000.
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
    /// Reads one frame, with the default [`DecodeLimits`].
    ///
    /// Unknown attributes are ignored (RSF1), null is the same as absent, and so is zero where an
    /// action is expected; whole numbers come in any width. Data comes in one form, whichever format
    /// it travelled in: bytes are [`Data::Binary`](super::Data::Binary), without the step `base64`
    /// that they have in JSON.
    /// Items keep the fields that they have; see [`inherit`](Self::inherit).
    ///
    /// # Errors
    ///
    /// If the bytes are not exactly one frame, or one beyond the limits. As an
    /// [`ErrorInfo`](super::ErrorInfo) it has the protocol's code.
    pub fn decode(format: Format, bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_with(format, bytes, &DecodeLimits::default())
    }

    /// Reads one frame, within limits.
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
        // Nothing is zero, and there are encoders that leave out a zero.
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

    /// The bytes of this frame: for a text frame if the format is JSON, which is UTF-8, else for a
    /// binary one. Absent fields and empty lists are left out, except the list that the action is
    /// about.
    #[must_use]
    pub fn encode(&self, format: Format) -> Vec<u8> {
        let mut out = Vec::with_capacity(write::estimate_len(self));
        self.encode_into(format, &mut out);
        out
    }

    /// Appends the bytes of this frame to a buffer.
    pub fn encode_into(&self, format: Format, out: &mut Vec<u8>) {
        self.encode_with(format, self.presence.iter(), out);
    }

    /// The same, with other presence messages than the frame's: members, from where they are kept.
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
    /// The bytes of a list of presence messages, as HTTP answers carry it (RSP3, RSP4).
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
