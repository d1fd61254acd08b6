//! An embeddable presence server: the server half of [`presence_proto`] behind WebSockets and HTTP.
//! Unmodified Ably SDKs connect to it.
//!
//! - [`Node`] runs one presence core for each app and provides an [`axum::Router`] to mount.
//! - [`Authenticate`] verifies credentials. [`Keys`] implements it for API keys and tokens.
//! - [`EventStore`] persists the presence history. `Store` implements it with an embedded database
//!   (feature `store`).
//!
//! The package's program, `presence-server`, is this library with a command line (feature `cli`, on by
//! default). To embed the library alone, set `default-features = false`.
//!
//! # Errors of requests
//!
//! A client receives an [`ErrorInfo`](proto::wire::ErrorInfo): in an ERROR frame over a WebSocket, in
//! the body and the headers of the response over HTTP. Its codes are those of the Ably protocol
//! ([`codes`](proto::wire::codes)).

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
/// The protocol library, re-exported because its types appear in this interface.
pub use presence_proto as proto;

/// Random bytes from the operating system, for secrets and ids.
fn random() -> Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
