//! The proof of `presence-proto`: scenarios, a reference model, checkers, exhaustive search, replay and
//! the bodies of the fuzz targets.
//!
//! A [`Scenario`] is a generated history: what applications do, and faults. [`Scenario::run`] plays it
//! and checks, after every call:
//!
//! - the server's member sets are those of a naive model that shares no code with the server; its
//!   events, folded, give exact copies of them;
//! - no member leaves before its grace period is over, or much later; none leaves on a resume;
//! - the events that a client gives its application, folded, are what it lists; no member leaves that
//!   had not entered;
//! - each operation ends exactly once;
//! - no half asks for calls without end, and no half reports a misuse.
//!
//! Then every fault is mended. Within a bounded time all clients must be connected and attached and see
//! what the server sees, and the sets must be what the applications were told they are. At last all
//! clients go, and nothing may be left: no connection, no member, no timer.
//!
//! [`Space::explore`] follows every order in which a small world can unfold. [`Recording::replay`] plays
//! a run again in ways that must not show. [`fuzz`] and [`codec`] have the bodies of the fuzz targets.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::field_reassign_with_default,
    reason = "a tool for tests on std says std; options are made as users of the crate make them"
)]

mod check;
pub mod codec;
mod explore;
pub mod fuzz;
mod model;
mod replay;
mod run;
mod scenario;

pub use explore::{Explored, Space};
pub use replay::{Replayed, Variation};
pub use run::{Failure, Recording, Report};
pub use scenario::{ClientSetup, Scenario, Setup, Step};
