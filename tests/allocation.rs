//! What a steady state allocates: nothing, or exactly what is said here.
//!
//! Frames and inputs are made before anything is counted: what a host allocates to make them is
//! its own affair. Decoding is counted by itself.
#![cfg(all(feature = "json", feature = "msgpack"))]

#[path = "allocation/client.rs"]
mod client;
#[path = "allocation/server.rs"]
mod server;

/// Allocations of what is done here.
fn allocations<T>(act: impl FnOnce() -> T) -> u64 {
    let mut result = None;
    let counted = allocation_counter::measure(|| result = Some(act()));
    drop(result);
    counted.count_total
}
