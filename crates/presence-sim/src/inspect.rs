//! What a checker needs to know of a [`World`] beyond what an application sees.

use crate::World;
use crate::trace::Trace;
use core::fmt;
use presence_proto::client::{Client, ClientOptions};
use presence_proto::server::{Identity, ServerOptions};
use presence_proto::{Instant, SmolStr};

impl World {
    /// The core of a client.
    #[must_use]
    pub fn core(&self, client: usize) -> Option<&Client> {
        self.clients.get(client).map(|peer| &peer.core)
    }

    /// The identity that the server's host gives the transports of a client.
    #[must_use]
    pub fn identity(&self, client: usize) -> Option<&Identity> {
        self.clients.get(client).map(|peer| &peer.identity)
    }

    /// The name of a client in the trace.
    #[must_use]
    pub fn name(&self, client: usize) -> Option<&SmolStr> {
        self.clients.get(client).map(|peer| &peer.name)
    }

    /// The options of a client.
    #[must_use]
    pub fn client_options(&self, client: usize) -> Option<&ClientOptions> {
        self.clients.get(client).map(|peer| &peer.options)
    }

    /// The options of the server.
    #[must_use]
    pub const fn server_options(&self) -> &ServerOptions {
        &self.server.config
    }

    /// The next deadline of a client.
    #[must_use]
    pub fn client_deadline(&self, client: usize) -> Option<Instant> {
        self.clients.get(client).and_then(|peer| peer.wake.at())
    }

    /// The next deadline of the server.
    #[must_use]
    pub fn server_deadline(&self) -> Option<Instant> {
        self.server.wake.at()
    }

    /// Sets the number of packets that the server's host queues for a client that does not read before
    /// it reports congestion. Default: 16.
    pub const fn set_queue_limit(&mut self, packets: usize) {
        self.queue_limit = packets;
    }

    /// Moves the time on, if nothing is due before `at`, in milliseconds of virtual time.
    pub fn wait_until(&mut self, at: u64) {
        if self.due().is_none_or(|due| due >= at) {
            self.now = self.now.max(at);
        }
    }

    /// Adds a line to the trace.
    pub fn note(&mut self, what: fmt::Arguments<'_>) {
        self.trace.line(self.now, what);
    }

    /// Takes the trace out of the world.
    #[must_use]
    pub fn into_trace(self) -> Trace {
        self.trace
    }
}
