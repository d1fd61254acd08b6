//! The chain of encodings that data travels in (RSL4, RSL6, RSP5), at the edge to the application.
//!
//! `encoding` names the steps in the order in which they were applied, with slashes between, so
//! that they are undone from the right. `base64` at the end is a matter of the format and of the
//! codec; what remains is undone here.

use super::{Data, ErrorInfo, Message, PresenceMessage, Value, codes, text};
use crate::SmolStr;
use alloc::{string::String, vec::Vec};
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// A step of the encoding chain that could not be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("encoding step {step:?}: {reason}")]
#[non_exhaustive]
pub struct EncodingError {
    /// The step, as in `json`, `utf-8`, `base64` or `cipher+aes-256-cbc`.
    pub step: SmolStr,
    /// Why, for people.
    pub reason: String,
}

impl EncodingError {
    fn new(step: &str, reason: impl Into<String>) -> Self {
        Self { step: step.into(), reason: reason.into() }
    }
}

impl From<&EncodingError> for ErrorInfo {
    fn from(error: &EncodingError) -> Self {
        Self::new(codes::INVALID_DATA_OR_ENCODING, 400, smol_str::format_smolstr!("{error}"))
    }
}

macro_rules! data_methods {
    ($type:ty) => {
        impl $type {
            /// Makes what an application says ready to travel: JSON becomes text, and `json` is
            /// appended to the encoding (RSL4c3, RSL4d3). Text and bytes stay as they are.
            ///
            /// # Errors
            ///
            /// If the data is JSON that is neither an object nor an array (RSL4a): error 40013.
            /// Then nothing has changed.
            pub fn encode_data(&mut self) -> Result<(), EncodingError> {
                encode(&mut self.data, &mut self.encoding)
            }

            /// Makes what has travelled ready for an application: undoes the steps of the
            /// encoding from the right (RSL6a).
            ///
            /// # Errors
            ///
            /// If a step is unknown or fails. Then data is what the steps before it made of it,
            /// and the encoding is what is left of it, that step included (RSL6b): the message is
            /// good in all else, and to be delivered.
            pub fn decode_data(&mut self) -> Result<(), EncodingError> {
                decode(&mut self.data, &mut self.encoding)
            }
        }
    };
}

data_methods!(PresenceMessage);
data_methods!(Message);

#[cfg(feature = "json")]
impl Value {
    /// Reads JSON text, within the default [`DecodeLimits`](super::DecodeLimits).
    ///
    /// # Errors
    ///
    /// If the text is not exactly one JSON value, or one beyond the limits.
    pub fn parse_json(text: &str) -> Result<Self, super::DecodeError> {
        super::json::parse(text, &super::DecodeLimits::default())
    }
}

fn encode(data: &mut Option<Data>, encoding: &mut Option<SmolStr>) -> Result<(), EncodingError> {
    let Some(Data::Json(value)) = data else { return Ok(()) };
    if !matches!(**value, Value::Array(_) | Value::Object(_)) {
        return Err(EncodingError::new("json", "only objects and arrays can be sent"));
    }
    json_to_text(data, encoding);
    Ok(())
}

/// JSON of any kind to text, with the step `json`.
pub(super) fn json_to_text(data: &mut Option<Data>, encoding: &mut Option<SmolStr>) {
    let Some(Data::Json(value)) = data else { return };
    *data = Some(Data::String(text::to_string(value).into()));
    *encoding = Some(match encoding {
        Some(steps) => smol_str::format_smolstr!("{steps}/json"),
        None => SmolStr::new_static("json"),
    });
}

fn decode(data: &mut Option<Data>, encoding: &mut Option<SmolStr>) -> Result<(), EncodingError> {
    let Some(steps) = encoding.take() else { return Ok(()) };
    let Some(mut current) = data.take() else { return Ok(()) };
    let mut remaining = Some(steps.as_str());
    let mut result = Ok(());
    while let Some(chain) = remaining {
        let (inner, step) = match chain.rsplit_once('/') {
            Some((inner, step)) => (Some(inner), step),
            None => (None, chain),
        };
        match decode_step(step, &current) {
            Ok(decoded) => current = decoded,
            Err(error) => {
                result = Err(error);
                break;
            }
        }
        remaining = inner;
    }
    *data = Some(current);
    *encoding = remaining.map(SmolStr::new);
    result
}

/// Undoes one step.
fn decode_step(step: &str, data: &Data) -> Result<Data, EncodingError> {
    match (step, data) {
        #[cfg(feature = "json")]
        ("json", Data::String(text)) => from_json(text),
        // The step before may have made bytes of it (RSL6a).
        #[cfg(feature = "json")]
        ("json", Data::Binary(bytes)) => match core::str::from_utf8(bytes) {
            Ok(text) => from_json(text),
            Err(_) => Err(EncodingError::new(step, "invalid UTF-8")),
        },
        ("utf-8", Data::Binary(bytes)) => match core::str::from_utf8(bytes) {
            Ok(text) => Ok(Data::from(text)),
            Err(_) => Err(EncodingError::new(step, "invalid UTF-8")),
        },
        // It came as text already.
        ("utf-8", Data::String(_)) => Ok(data.clone()),
        ("base64", Data::String(text)) => from_base64(text.as_bytes()),
        ("base64", Data::Binary(bytes)) => from_base64(bytes),
        ("json" | "utf-8" | "base64", _) => {
            Err(EncodingError::new(step, "cannot be undone on data of this type"))
        }
        _ => Err(EncodingError::new(step, "unknown")),
    }
}

#[cfg(feature = "json")]
fn from_json(text: &str) -> Result<Data, EncodingError> {
    match Value::parse_json(text) {
        Ok(value) => Ok(Data::from(value)),
        Err(error) => Err(EncodingError::new("json", alloc::format!("{error}"))),
    }
}

/// Reads base64 as others write it: with line feeds, without padding, in the alphabet of URLs.
fn from_base64(text: &[u8]) -> Result<Data, EncodingError> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let plain: Vec<u8> = text
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    match LENIENT.decode(plain) {
        Ok(bytes) => Ok(Data::from(bytes)),
        Err(_) => Err(EncodingError::new("base64", "not base64")),
    }
}
