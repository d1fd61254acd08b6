//! What the two halves were given and what they answered, call by call: a recording to check, to
//! compare and to replay.

use presence_proto::{Now, SmolStr, client, server};

/// One call of a half's `handle`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// The time that it was called with.
    pub now: Now,
    /// The virtual time, in milliseconds.
    pub at: u64,
    /// Which half, and what went in and came out.
    pub half: Half,
}

/// Whose call it was, its input and its outputs.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a replay has to do all that there is")]
pub enum Half {
    /// A client's.
    Client {
        /// Which client.
        client: usize,
        /// What went in.
        input: client::Input,
        /// What came out.
        outputs: Vec<client::Output>,
    },
    /// The server's.
    Server {
        /// What went in.
        input: server::Input,
        /// What came out.
        outputs: Vec<server::Output>,
    },
    /// No call: a new server has taken the place of the old one.
    ServerRestarted,
    /// No call: a new client has taken the place of an old one.
    ClientRestarted {
        /// Which client.
        client: usize,
        /// The recovery key that the new one was given.
        recover: Option<SmolStr>,
    },
}

impl Call {
    pub(crate) fn server_restarted(at: u64) -> Self {
        Self { now: Now::default(), at, half: Half::ServerRestarted }
    }

    pub(crate) fn client_restarted(at: u64, client: usize, recover: Option<SmolStr>) -> Self {
        Self { now: Now::default(), at, half: Half::ClientRestarted { client, recover } }
    }
}
