//! Queries, and the form of responses and errors.

mod accept;
mod problem;
mod query;

pub(crate) use accept::Accept;
pub(crate) use problem::{Problem, error, in_form};
pub(crate) use query::{Pairs, last, number};
