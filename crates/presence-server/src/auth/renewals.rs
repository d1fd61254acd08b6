//! Tokens that connections send in AUTH frames.

use super::{Credentials, Grant, Verifier};
use crate::response::error;
use presence_proto::{
    TransportId, UnixMillis,
    wire::{ErrorInfo, codes},
};
use std::collections::{HashMap, VecDeque, hash_map::Entry};

/// Maximum of tokens of one connection that wait while another one is verified.
const MAX_WAITING: usize = 8;

/// Verifies the tokens of AUTH frames: one at a time for each connection, in the order of the frames.
pub(crate) struct Renewals {
    verifier: Verifier,
    app: String,
    /// Connections with a token that is being verified, and the tokens that wait.
    waiting: HashMap<TransportId, VecDeque<String>>,
}

/// A token to verify.
pub(crate) struct Renewal {
    pub(crate) transport: TransportId,
    token: String,
    app: String,
    verifier: Verifier,
}

impl Renewals {
    pub(crate) fn new(verifier: Verifier, app: String) -> Self {
        Self { verifier, app, waiting: HashMap::new() }
    }

    /// Adds a token. Returns it if it is to be verified now; `None` if it waits.
    ///
    /// # Errors
    ///
    /// 42920 if too many tokens of the connection wait.
    pub(crate) fn add(
        &mut self,
        transport: TransportId,
        token: String,
    ) -> Result<Option<Renewal>, ErrorInfo> {
        match self.waiting.entry(transport) {
            Entry::Vacant(entry) => {
                entry.insert(VecDeque::new());
                Ok(Some(self.renewal(transport, token)))
            }
            Entry::Occupied(mut entry) if entry.get().len() < MAX_WAITING => {
                entry.get_mut().push_back(token);
                Ok(None)
            }
            Entry::Occupied(_) => Err(error(
                codes::RATE_LIMIT_EXCEEDED_CONNECTION_FATAL,
                429,
                "Too many tokens while another one is verified",
            )),
        }
    }

    /// The next token of a connection, after one is verified.
    pub(crate) fn next(&mut self, transport: TransportId) -> Option<Renewal> {
        let token = self.waiting.get_mut(&transport)?.pop_front();
        match token {
            Some(token) => Some(self.renewal(transport, token)),
            None => {
                self.waiting.remove(&transport);
                None
            }
        }
    }

    /// Forgets the tokens of a closed connection.
    pub(crate) fn remove(&mut self, transport: TransportId) {
        self.waiting.remove(&transport);
    }

    fn renewal(&self, transport: TransportId, token: String) -> Renewal {
        Renewal { transport, token, app: self.app.clone(), verifier: self.verifier.clone() }
    }
}

impl Renewal {
    /// What the token allows.
    ///
    /// # Errors
    ///
    /// Those of [`Authenticate::authenticate`](crate::Authenticate::authenticate); 40102 for a token of
    /// another app; 50003 after the time limit.
    pub(crate) async fn verify(self, now: UnixMillis) -> Result<Grant, ErrorInfo> {
        let grant = self.verifier.grant(&Credentials::Token(self.token), now).await?;
        if grant.app == self.app {
            Ok(grant)
        } else {
            Err(error(codes::INCOMPATIBLE_CREDENTIALS, 401, "The token is of another app"))
        }
    }
}
