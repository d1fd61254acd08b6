//! The client half: connection, channels and presence as an application sees them.
//!
//! [`Client::handle`] is the only way in that changes state; [`Output`]s are the only way out.

mod input;
mod options;
mod output;
mod state;

pub use input::{GetParams, Input, PresenceChange};
pub use options::{ChannelOptions, ClientOptions, Limits};
pub use output::{ChannelStateChange, ConnectionStateChange, Misuse, Outcome, Output, Warning};
pub use state::{ChannelEvent, ChannelState, ConnectionEvent, ConnectionState};

use crate::{Now, Wake};

/// Where a client puts its outputs.
pub type Outbox = crate::Outbox<Output>;

/// One presence client: a connection and its channels.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    seed: u64,
}

impl Client {
    /// A client that does nothing until it is told to connect. The seed scatters its retry delays
    /// and makes the ids of its pings; give each client another one.
    #[must_use]
    pub const fn new(options: ClientOptions, seed: u64) -> Self {
        Self { options, seed }
    }

    /// The options that the client was made with.
    #[must_use]
    pub const fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Takes in what happened at `now`, puts what follows into `out`, and tells when to call
    /// again.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Outbox) -> Wake {
        let _ = (now, input, out, self.seed);
        Wake::at_opt(None)
    }
}
