//! Verification within a time limit.

use super::{Credentials, DynAuthenticate, Grant, TokenDetails, TokenRequest};
use crate::response::error;
use presence_proto::{
    UnixMillis,
    wire::{ErrorInfo, codes},
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// The node's [`Authenticate`](crate::Authenticate), with a time limit for each result.
#[derive(Clone)]
pub(crate) struct Verifier {
    authenticate: Arc<dyn DynAuthenticate>,
    limit: Duration,
}

impl Verifier {
    pub(crate) const fn new(authenticate: Arc<dyn DynAuthenticate>, limit: Duration) -> Self {
        Self { authenticate, limit }
    }

    /// What the credentials allow.
    ///
    /// # Errors
    ///
    /// Those of [`Authenticate::authenticate`](crate::Authenticate::authenticate), and 50003 after
    /// the time limit.
    pub(crate) async fn grant(
        &self,
        credentials: &Credentials,
        now: UnixMillis,
    ) -> Result<Grant, ErrorInfo> {
        self.in_time(self.authenticate.authenticate(credentials, now)).await
    }

    /// Issues a token.
    ///
    /// # Errors
    ///
    /// Those of [`Authenticate::issue_token`](crate::Authenticate::issue_token), and 50003 after the
    /// time limit.
    pub(crate) async fn token(
        &self,
        request: &TokenRequest,
        now: UnixMillis,
    ) -> Result<TokenDetails, ErrorInfo> {
        self.in_time(self.authenticate.issue_token(request, now)).await
    }

    async fn in_time<T>(
        &self,
        result: impl Future<Output = Result<T, ErrorInfo>>,
    ) -> Result<T, ErrorInfo> {
        timeout(self.limit, result).await.unwrap_or_else(|_elapsed| {
            Err(error(codes::TIMEOUT_ERROR, 503, "The credentials could not be verified in time"))
        })
    }
}
