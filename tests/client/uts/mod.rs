//! The language-neutral test specifications of the protocol, ported to the client.
//!
//! Each test names the case that it ports in a comment `UTS:` above it; see `README.md` for those
//! that are not ported.

mod authentication;
mod channel_attach;
mod channel_collection;
mod channel_connection_state;
mod channel_detach;
mod channel_faults;
mod channel_properties;
mod connection_failures;
mod connection_life;
mod connection_liveness;
mod connection_recovery;
mod coverage;
mod integration;
mod integration_traffic;
mod messages;
mod own_members;
mod presence_channel_state;
mod presence_map;
mod presence_members;
mod presence_operations;
