//! The query string of a request.

use super::error::error;
use presence_proto::wire::{ErrorInfo, codes};
use std::str::FromStr;

/// The parameters, in order.
pub(crate) type Pairs = Vec<(String, String)>;

/// The value of a parameter; of one that came twice, the last.
pub(crate) fn last<'a>(params: &'a Pairs, name: &str) -> Option<&'a str> {
    params.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// A parameter that is a number, or has the form of one.
///
/// # Errors
///
/// 40003 if it has another.
pub(crate) fn number<T: FromStr>(params: &Pairs, name: &str) -> Result<Option<T>, ErrorInfo> {
    let Some(value) = last(params, name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let malformed =
        || error(codes::INVALID_PARAMETER_VALUE, 400, format!("The parameter {name} is malformed"));
    value.parse().map(Some).map_err(|_| malformed())
}
