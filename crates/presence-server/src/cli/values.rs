//! Parsers of options, whose errors say what is expected.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

/// A value of a type, described by `what` in the error.
pub(crate) fn of<T: FromStr>(what: &'static str) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| text.parse().map_err(|_| format!("it is not {what}"))
}

/// A whole number in a range.
pub(crate) fn whole<T: FromStr + PartialOrd + Display + Clone>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let (least, most) = (range.start(), range.end());
        number.ok_or_else(|| format!("it is not a whole number from {least} to {most}"))
    }
}
