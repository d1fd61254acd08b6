//! Access to the metrics. They reveal how many clients use the server and what it refuses.

use crate::response::{Accept, Problem, error};
use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use presence_proto::wire::codes;
use sha2::{Digest as _, Sha256};

/// Access to `/metrics`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetricsAccess(Access);

#[derive(Clone, Copy, Debug, Default)]
enum Access {
    All,
    Token(Digest),
    #[default]
    Nobody,
}

/// The digest of a token. It is not secret: the token is not guessable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digest([u8; 32]);

impl Digest {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl MetricsAccess {
    /// For everybody who reaches the address.
    #[must_use]
    pub const fn open() -> Self {
        Self(Access::All)
    }

    /// For everybody who has the token, as HTTP Bearer.
    #[must_use]
    pub fn with_token(token: &str) -> Self {
        Self(Access::Token(Digest::of(token)))
    }

    /// For nobody. This is the default.
    #[must_use]
    pub const fn closed() -> Self {
        Self(Access::Nobody)
    }
}

/// Checks the access to the metrics.
pub(crate) async fn admit(
    State(MetricsAccess(access)): State<MetricsAccess>,
    request: Request,
    next: Next,
) -> Response {
    let refused = match access {
        Access::All => None,
        // Digests are compared, so that the time taken reveals nothing of the token.
        Access::Token(digest) if bearer(&request).map(Digest::of) == Some(digest) => None,
        Access::Token(_) => {
            Some(error(codes::INVALID_CREDENTIALS, 401, "The metrics need their token"))
        }
        Access::Nobody => Some(error(codes::FORBIDDEN, 403, "The metrics are not served here")),
    };
    match refused {
        None => next.run(request).await,
        Some(error) => Problem { error, accept: Accept::asked_by(&request) }.into_response(),
    }
}

fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
