//! Tests of the client half.

#[path = "../shared/text.rs"]
mod text;

mod afresh;
mod anything;
mod channel;
mod connection;
mod deadlines;
mod in_flight;
mod presence;
mod reasons;
mod rig;
mod snapshots;
mod types;
mod uts;
