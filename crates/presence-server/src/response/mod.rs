//! Queries, and the form of responses and errors.

mod accept;
mod error;
mod problem;
mod query;

pub(crate) use accept::Accept;
pub(crate) use error::error;
pub(crate) use problem::{Problem, in_form};
pub(crate) use query::{Pairs, last, number};
