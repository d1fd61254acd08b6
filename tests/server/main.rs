//! Tests of the server half.

#[path = "../shared/text.rs"]
mod text;

mod budget;
mod cluster;
mod cluster_occupancy;
mod coalescing;
mod congestion;
mod connections;
mod grace;
mod history;
mod host;
mod identity;
mod limits;
mod log;
mod members;
mod mirror;
mod occupancy;
mod outputs;
mod pages;
mod paging;
mod replication;
mod snapshots;
mod storm;
