//! Authentication and authorization.

mod app_keys;
mod credentials;
mod fields;
mod jwt;
mod keys;
mod patterns;
mod renewals;
mod token_request;
mod verifier;

pub use credentials::Credentials;
pub use keys::{KeyError, Keys};
pub use token_request::{TokenDetails, TokenRequest};

pub(crate) use app_keys::no_credentials;
pub(crate) use credentials::is_secret;
pub(crate) use fields::{json, message_pack};
pub(crate) use renewals::{Renewal, Renewals};
pub(crate) use verifier::Verifier;

use crate::response::error;
use presence_proto::{
    UnixMillis,
    server::{Capability, Identity},
    wire::{ErrorInfo, codes},
};
use std::{pin::Pin, sync::Arc};

/// Verifies the credentials of connections and requests.
///
/// [`Keys`] is the implementation for API keys and the tokens made with them. A program with accounts
/// of its own implements the trait itself:
///
/// ```
/// use presence_server::{
///     Authenticate, Credentials, Grant,
///     proto::{UnixMillis, server::{Capability, Identity}, wire::{ErrorInfo, codes}},
/// };
///
/// struct Sessions(/* a database */);
///
/// impl Authenticate for Sessions {
///     async fn authenticate(&self, given: &Credentials, _: UnixMillis) -> Result<Grant, ErrorInfo> {
///         match given {
///             Credentials::Token(session) if session == "ann.1" => {
///                 Ok(Grant::new("app", Identity::Client("ann".into()), Capability::all()))
///             }
///             _ => Err(ErrorInfo::new(codes::INVALID_CREDENTIALS, 401, "No such session")),
///         }
///     }
/// }
/// ```
pub trait Authenticate: Send + Sync + 'static {
    /// Verifies credentials at a time of the wall clock: those of a WebSocket, of an HTTP request, or
    /// of an AUTH frame with which a client renews its token (RTC8).
    ///
    /// A result that takes longer than [`Times::request`](crate::Times::request) counts as 50003.
    ///
    /// # Errors
    ///
    /// The client receives the error. 40140 to 40149 make an SDK obtain a new token; other errors with
    /// status 401 or 403 make its connection FAILED.
    fn authenticate(
        &self,
        credentials: &Credentials,
        now: UnixMillis,
    ) -> impl Future<Output = Result<Grant, ErrorInfo>> + Send;

    /// Issues a token: `POST /keys/{name}/requestToken` (RSA8e).
    ///
    /// # Errors
    ///
    /// The client receives the error. The provided implementation issues no tokens (40400).
    fn issue_token(
        &self,
        request: &TokenRequest,
        now: UnixMillis,
    ) -> impl Future<Output = Result<TokenDetails, ErrorInfo>> + Send {
        let _ = (request, now);
        async { Err(error(codes::NOT_FOUND, 404, "This server issues no tokens")) }
    }
}

/// What credentials allow.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Grant {
    /// The app. Its channels, members and connections are separate from those of other apps.
    pub app: String,
    /// The client ids that the connection may use.
    pub identity: Identity,
    /// The operations that it may do, by channel.
    pub capability: Arc<Capability>,
    /// The time at which the grant ends. `None`: it does not end.
    pub expires: Option<UnixMillis>,
}

impl Grant {
    /// A grant that does not end.
    #[must_use]
    pub fn new(
        app: impl Into<String>,
        identity: Identity,
        capability: impl Into<Arc<Capability>>,
    ) -> Self {
        Self { app: app.into(), identity, capability: capability.into(), expires: None }
    }

    /// The same grant, with an end.
    #[must_use]
    pub const fn until(mut self, expires: UnixMillis) -> Self {
        self.expires = Some(expires);
        self
    }
}

type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, ErrorInfo>> + Send + 'a>>;

/// [`Authenticate`] behind a pointer.
pub(crate) trait DynAuthenticate: Send + Sync {
    fn authenticate<'a>(&'a self, given: &'a Credentials, now: UnixMillis) -> Pending<'a, Grant>;
    fn issue_token<'a>(
        &'a self,
        request: &'a TokenRequest,
        now: UnixMillis,
    ) -> Pending<'a, TokenDetails>;
}

impl<A: Authenticate> DynAuthenticate for A {
    fn authenticate<'a>(&'a self, given: &'a Credentials, now: UnixMillis) -> Pending<'a, Grant> {
        Box::pin(Authenticate::authenticate(self, given, now))
    }

    fn issue_token<'a>(
        &'a self,
        request: &'a TokenRequest,
        now: UnixMillis,
    ) -> Pending<'a, TokenDetails> {
        Box::pin(Authenticate::issue_token(self, request, now))
    }
}
