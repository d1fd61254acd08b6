//! The encoding chain of data (RSL4, RSL6, RSP5), on the side of the application.
//!
//! `encoding` lists the steps in the order of encoding, separated by slashes. Decoding starts at the
//! right. A trailing `base64` is handled by the codec, the other steps here.

use super::{Data, ErrorInfo, Message, PresenceMessage, Value, codes, text};
use crate::SmolStr;
use alloc::{string::String, vec::Vec};
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// A step of the encoding chain failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("encoding step {step:?}: {reason}")]
#[non_exhaustive]
pub struct EncodingError {
    /// The step, such as `json`, `utf-8`, `base64` or `cipher+aes-256-cbc`.
    pub step: SmolStr,
    /// The reason, human-readable.
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
            /// Encodes the data of an application: JSON becomes text, with `json` appended to the
            /// encoding (RSL4c3, RSL4d3). Text and bytes do not change.
            ///
            /// # Errors
            ///
            /// Code 40013, without a change, if the data is JSON that is neither an object nor an
            /// array (RSL4a).
            pub fn encode_data(&mut self) -> Result<(), EncodingError> {
                encode(&mut self.data, &mut self.encoding)
            }

            /// Decodes the data for an application, from the last step of the encoding to the first
            /// (RSL6a).
            ///
            /// # Errors
            ///
            /// If a step is unknown or fails. The data stays partially decoded, and the encoding
            /// keeps the remaining steps including the failed one. The message should be delivered
            /// like this (RSL6b).
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
    /// Parses JSON text, with the default [`DecodeLimits`](super::DecodeLimits).
    ///
    /// # Errors
    ///
    /// If the text is not exactly one JSON value, or exceeds the limits.
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

/// Converts JSON to text, and appends the step `json`.
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

/// Decodes one step.
fn decode_step(step: &str, data: &Data) -> Result<Data, EncodingError> {
    match (step, data) {
        #[cfg(feature = "json")]
        ("json", Data::String(text)) => from_json(text),
        // The previous step may have decoded to bytes (RSL6a).
        #[cfg(feature = "json")]
        ("json", Data::Binary(bytes)) => match core::str::from_utf8(bytes) {
            Ok(text) => from_json(text),
            Err(_) => Err(EncodingError::new(step, "invalid UTF-8")),
        },
        ("utf-8", Data::Binary(bytes)) => match core::str::from_utf8(bytes) {
            Ok(text) => Ok(Data::from(text)),
            Err(_) => Err(EncodingError::new(step, "invalid UTF-8")),
        },
        // Already text.
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

/// Decodes base64 leniently: also with line feeds, without padding, or with the URL alphabet.
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
