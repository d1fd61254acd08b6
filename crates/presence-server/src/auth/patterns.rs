//! A capability as it is written: patterns of channel names, each with the operations it allows.

use super::fields;
use crate::response::error;
use presence_proto::wire::codes;
use presence_proto::{
    server::{Capability, Operations},
    wire::ErrorInfo,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// The capability of a key that has no other, as JSON text.
pub(super) const EVERYTHING: &str = r#"{"[*]*":["*"]}"#;

/// Patterns of channel names, each with the operations that it allows.
pub(super) type Patterns = BTreeMap<String, Vec<String>>;

/// The patterns that a value is.
///
/// # Errors
///
/// It has another form.
pub(super) fn of(value: Value) -> Result<Patterns, String> {
    let malformed = || r#"The capability is not of the form {"CHANNEL": ["OPERATION"]}"#.to_owned();
    serde_json::from_value(value).map_err(|_| malformed())
}

/// The patterns that a JSON text is.
///
/// # Errors
///
/// 40000 if it has another form.
pub(super) fn parse(text: &str) -> Result<Patterns, ErrorInfo> {
    fields::json(text.as_bytes())
        .map_err(|what| format!("The capability is {what}"))
        .and_then(of)
        .map_err(|what| error(codes::BAD_REQUEST, 400, what))
}

/// The JSON text of patterns.
pub(super) fn text(patterns: &Patterns) -> String {
    serde_json::json!(patterns).to_string()
}

/// What patterns allow.
pub(super) fn capability(patterns: &Patterns) -> Capability {
    patterns.iter().fold(Capability::none(), |capability, (pattern, names)| {
        capability.allow(pattern.as_str(), operations(names))
    })
}

/// Operations by their names.
pub(super) fn operations(names: &[String]) -> Operations {
    names.iter().map(|name| Operations::named(name)).collect()
}
