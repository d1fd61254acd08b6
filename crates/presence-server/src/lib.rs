//! A presence server that a program embeds: the server half of [`presence_proto`] behind WebSockets and
//! HTTP, to which the Ably SDKs connect unchanged.
//!
//! - [`Node`] runs the cores and gives an [`axum::Router`] to mount.
//! - [`Authenticate`] decides who may connect; [`Keys`] is the implementation for API keys and tokens.
//! - [`EventStore`] keeps the presence history; [`Store`] is the implementation in an embedded database.
//!
//! The program `presence-server` of this package is this library behind a command line. Without its
//! dependencies: `default-features = false`.

#![allow(clippy::std_instead_of_core, reason = "a server on std says std")]

mod app;
mod auth;
mod connection;
mod driver;
mod history;
mod http;
mod listen;
mod node;
mod private;
mod response;
mod shared;

pub use app::App;
pub use auth::{Authenticate, Credentials, Grant, KeyError, Keys, TokenDetails, TokenRequest};
#[cfg(feature = "store")]
pub use history::{Database, Store};
pub use history::{EventStore, Start, StoreError, StoredEvent};
pub use http::MetricsAccess;
pub use listen::Times;
pub use node::{Node, NodeBuilder};
/// The library whose types this one's interface uses.
pub use presence_proto as proto;

/// Randomness of the operating system, for secrets and ids.
fn random() -> Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
