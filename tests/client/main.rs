//! Tests of the client half.

#[path = "../shared/text.rs"]
mod text;

mod afresh;
mod anything;
mod channel;
mod connection;
mod deadlines;
mod driven;
mod frames;
mod host;
mod in_flight;
mod json_frames;
mod lines;
mod linked;
mod presence;
mod reasons;
mod snapshots;
mod types;
mod uts;
