//! Channel presence without I/O.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod ids;
mod outbox;
mod time;
mod wake;

pub mod client;
pub mod members;
pub mod server;
#[cfg(feature = "sim")]
pub mod sim;
pub mod wire;

pub use ids::{OpId, SubscriptionId, TransportId};
pub use outbox::{Drain, Outbox};
pub use smol_str::SmolStr;
pub use time::{Instant, Now, UnixMillis};
pub use wake::Wake;
