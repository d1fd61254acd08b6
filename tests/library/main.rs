//! Tests of the sources, and properties of both halves and of member sets.

mod clauses;
mod contract;
mod corpus;
mod determinism;
mod exhaustive;
mod properties;
mod structure;
