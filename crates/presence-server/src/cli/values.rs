//! Parsers for option values. Their errors state the accepted values.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

/// Parses with [`FromStr`]. `what` describes a valid value.
pub(crate) fn of<T: FromStr>(what: &'static str) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| text.parse().map_err(|_| format!("not {what}"))
}

/// Parses an integer in a range.
pub(crate) fn whole<T: FromStr + PartialOrd + Display + Clone>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let (least, most) = (range.start(), range.end());
        number.ok_or_else(|| format!("not a whole number from {least} to {most}"))
    }
}
