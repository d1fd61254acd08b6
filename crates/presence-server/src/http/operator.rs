//! What is the operator's business: metrics tell how many use the server, and what it refuses. They
//! have their token or their address, or both.

use crate::{
    Service, descriptors,
    draining::Draining,
    listen,
    problem::{Problem, error},
    rest::{self, Accept},
    slots::Slots,
};
use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use presence_proto::wire::codes;
use sha2::{Digest, Sha256};
use std::{io, net::SocketAddr, sync::Arc};

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
    fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

impl Readers {
    /// Where clients connect: who has the token. With the development key everybody may do
    /// everything, and read this too.
    pub(crate) fn among_clients(token: Option<&str>, development: bool) -> Self {
        match token {
            Some(token) => Self::Token(Token::of(token)),
            None if development => Self::All,
            None => Self::Nobody,
        }
    }
}

/// Serves metrics and health checks at an address of their own, also while the server drains.
///
/// # Errors
///
/// There is no listening at the address.
pub(crate) fn serve(
    address: SocketAddr,
    service: &Arc<Service>,
    token: Option<&str>,
) -> io::Result<()> {
    let listener = listen::at(address)
        .map_err(|failure| io::Error::new(failure.kind(), format!("{address}: {failure}")))?;
    println!("Metrics on http://{}/metrics", listener.local_addr()?);
    let readers = token.map_or(Readers::All, |token| Readers::Token(Token::of(token)));
    let router = rest::operator_router(service, readers);
    let slots = Slots::new(descriptors::OPERATORS, 0);
    tokio::spawn(listen::serve(listener, router, slots, service.times, Draining::default()));
    Ok(())
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
        Readers::Token(_) => {
            Some(error(codes::INVALID_CREDENTIALS, 401, "The metrics need their token"))
        }
        Readers::Nobody => Some(error(codes::FORBIDDEN, 403, "The metrics are not served here")),
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
