//! Queries for checkers.

use crate::trace::Trace;
use crate::world::World;
use core::fmt;
use presence_proto::Instant;
use presence_proto::client::ClientOptions;
use presence_proto::server::{Identity, ServerOptions};

/// Queries for checkers, beyond what an application sees.
impl World {
    /// The identity that the server's host verifies for a client.
    #[must_use]
    pub fn client_identity(&self, client: usize) -> Option<&Identity> {
        self.clients.get(client).map(|host| &host.identity)
    }

    /// The options of a client.
    #[must_use]
    pub fn client_options(&self, client: usize) -> Option<&ClientOptions> {
        self.clients.get(client).map(|host| &host.options)
    }

    /// The options of the server.
    #[must_use]
    pub const fn server_options(&self) -> &ServerOptions {
        &self.server.options
    }

    /// The next deadline of a client, on the virtual clock.
    #[must_use]
    pub fn client_deadline(&self, client: usize) -> Option<Instant> {
        self.clients.get(client).and_then(|host| host.wake.at())
    }

    /// The next deadline of the server, on the virtual clock.
    #[must_use]
    pub fn server_deadline(&self) -> Option<Instant> {
        self.server.wake.at()
    }

    /// Adds a line to the trace, at the current virtual time.
    pub fn note(&mut self, what: fmt::Arguments<'_>) {
        self.trace.line(self.now, what);
    }

    /// Converts the world into its trace.
    #[must_use]
    pub fn into_trace(self) -> Trace {
        self.trace
    }
}
