//! WebSocket connections.

pub(crate) mod closing;
mod link;
pub(crate) mod socket;

pub(crate) use link::{Link, Pushed};
