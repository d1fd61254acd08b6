//! Tests of the server half.

#[path = "../shared/text.rs"]
mod text;

mod budget;
mod coalescing;
mod congestion;
mod connections;
mod grace;
mod history;
mod identity;
mod limits;
mod members;
mod occupancy;
mod pages;
mod paging;
mod rig;
mod snapshots;
mod storm;
