//! Recorded calls of the halves, for checkers and replays.

use presence_proto::{Now, SmolStr, client, server};

/// A recorded call of [`Client::handle`](client::Client::handle) or
/// [`Server::handle`](server::Server::handle), or the restart of a half.
///
/// [`World::record_calls`](crate::World::record_calls) starts the recording.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// The clocks of the host, as passed in; [`Now::default`] for a restart.
    pub now: Now,
    /// The virtual time, in milliseconds.
    pub at: u64,
    /// The half, its input and its outputs.
    pub kind: CallKind,
}

/// The half that was called, its input and its outputs.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a replay must handle every kind")]
pub enum CallKind {
    /// A call of a client.
    Client {
        /// The number of the client.
        client: usize,
        /// The input.
        input: client::Input,
        /// The outputs, in order.
        outputs: Vec<client::Output>,
    },
    /// A call of a node's server.
    Server {
        /// The number of the node.
        node: usize,
        /// The input.
        input: server::Input,
        /// The outputs, in order.
        outputs: Vec<server::Output>,
    },
    /// A node has started again, with a new server
    /// ([`World::restart_server`](crate::World::restart_server),
    /// [`World::start_node`](crate::World::start_node)).
    ServerRestarted {
        /// The number of the node.
        node: usize,
    },
    /// A restart of a client ([`World::restart_client`](crate::World::restart_client)).
    ClientRestarted {
        /// The number of the client.
        client: usize,
        /// The recovery key of the new client.
        recover: Option<SmolStr>,
    },
}

impl Call {
    pub(crate) fn server_restarted(at: u64, node: usize) -> Self {
        Self { now: Now::default(), at, kind: CallKind::ServerRestarted { node } }
    }

    pub(crate) fn client_restarted(at: u64, client: usize, recover: Option<SmolStr>) -> Self {
        Self { now: Now::default(), at, kind: CallKind::ClientRestarted { client, recover } }
    }
}
