//! The checks of `presence-proto`: scenarios, a reference model, invariants, exhaustive search,
//! replay and the bodies of the fuzz targets.
//!
//! A [`Scenario`] is a generated history of application actions and faults. [`Scenario::run`] plays
//! it and checks after every call:
//!
//! - the server's members equal those of a naive model that shares no code with the server, and the
//!   server's events, applied in order, give the same members;
//! - no member leaves before its grace period ends, or much later, and none because of a resume;
//! - the presence events of a client, applied in order, give the members that it lists, and no member
//!   leaves that is not present;
//! - each operation ends exactly once;
//! - no half loops on its deadlines, and none reports a misuse.
//!
//! Then all faults end. Within a bounded time all clients must be connected and attached and list
//! the server's members, and own members must be in the state that the results of operations imply.
//! At last all clients end, after which the server must have no connection, member or timer.
//!
//! [`Space::explore`] searches all states of a small world. [`Recording::replay`] repeats a run
//! with variations that must not change the outputs. [`fuzz`] and [`codec`] contain the bodies of
//! the fuzz targets.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::field_reassign_with_default,
    reason = "the crate requires std, and creates options as users of the library do"
)]

mod check;
mod cluster;
pub mod codec;
mod explore;
pub mod fuzz;
mod laws;
mod model;
mod replay;
mod run;
mod scenario;

pub use explore::{Explored, Space};
pub use replay::{Replayed, Variation};
pub use run::{Failure, Recording, Report};
pub use scenario::{ClientSetup, Scenario, Setup, Step};
