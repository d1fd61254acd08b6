//! The parts of the program that are not the library's.

pub(crate) mod descriptors;
pub(crate) mod options;
pub(crate) mod stop;
mod values;
