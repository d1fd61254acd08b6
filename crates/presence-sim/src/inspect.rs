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

    /// The options of node 0.
    #[must_use]
    pub fn server_options(&self) -> &ServerOptions {
        self.node_options(0)
    }

    /// The options of a node.
    ///
    /// # Panics
    ///
    /// If there is no node with this number.
    #[must_use]
    pub fn node_options(&self, node: usize) -> &ServerOptions {
        &self.nodes[node].options
    }

    /// The next deadline of a client, on the virtual clock.
    #[must_use]
    pub fn client_deadline(&self, client: usize) -> Option<Instant> {
        self.clients.get(client).and_then(|host| host.wake.at())
    }

    /// The next deadline of node 0, on the virtual clock.
    #[must_use]
    pub fn server_deadline(&self) -> Option<Instant> {
        self.node_deadline(0)
    }

    /// The next deadline of a node's server, on the virtual clock. `None` if the node is down.
    #[must_use]
    pub fn node_deadline(&self, node: usize) -> Option<Instant> {
        self.nodes.get(node)?.deadline().map(Instant::from_millis)
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
