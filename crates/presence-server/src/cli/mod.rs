//! The command line of the program.

pub(crate) mod descriptors;
pub(crate) mod options;
pub(crate) mod stop;
mod values;
