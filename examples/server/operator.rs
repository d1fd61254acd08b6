//! Who may read the metrics. They tell how many use the server and what it refuses, which is the
//! operator's business.

use crate::{
    problem::{Problem, error},
    rest::Accept,
};
use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

/// Who may read the metrics at one address.
#[derive(Clone)]
pub(crate) enum Readers {
    /// Whoever reaches the address.
    All,
    /// Whoever has this token.
    Token(Token),
    /// They are not served here.
    Nobody,
}

/// The digest of a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token([u8; 32]);

impl Token {
    pub(crate) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

/// Lets those in who may read the metrics.
pub(crate) async fn admit(
    State(readers): State<Readers>,
    request: Request,
    next: Next,
) -> Response {
    let refused = match &readers {
        Readers::All => None,
        // Digests are compared, so that the time taken tells nothing of the token.
        Readers::Token(token) if bearer(&request).map(Token::of) == Some(*token) => None,
        Readers::Token(_) => Some(error(40101, 401, "The metrics need their token")),
        Readers::Nobody => Some(error(40300, 403, "The metrics are not served here")),
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
