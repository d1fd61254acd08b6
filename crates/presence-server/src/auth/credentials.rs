//! The credentials of a request.

use crate::response::{Pairs, last};
use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::fmt;

/// The credentials of a connection or a request. They are not verified.
#[derive(Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// A whole key, `name:secret`: the parameter `key`, or HTTP Basic.
    Key(String),
    /// A token: the parameter `accessToken`, HTTP Bearer, or that of an AUTH frame.
    Token(String),
}

/// Without the secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key(..)",
            Self::Token(_) => "Token(..)",
        })
    }
}

impl Credentials {
    /// Those of the header `Authorization`, else those of the parameters.
    pub(crate) fn of(headers: &HeaderMap, params: &Pairs) -> Option<Self> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Self::of_params(params);
        };
        let (scheme, value) = value.to_str().ok()?.split_once(' ')?;
        let decoded = || String::from_utf8(STANDARD.decode(value).ok()?).ok();
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => decoded().map(Self::Key),
            // SDKs send tokens in base64; others send them as they are, with dots in them.
            "bearer" if value.contains('.') => Some(Self::Token(value.to_owned())),
            "bearer" => decoded().map(Self::Token),
            _ => None,
        }
    }

    /// Those of the parameters: a token, else a key.
    pub(crate) fn of_params(params: &Pairs) -> Option<Self> {
        let token = last(params, "accessToken").or_else(|| last(params, "access_token"));
        let token = token.map(|token| Self::Token(token.to_owned()));
        token.or_else(|| last(params, "key").map(|key| Self::Key(key.to_owned())))
    }
}

/// Whether a parameter holds a secret.
pub(crate) fn is_secret(parameter: &str) -> bool {
    matches!(parameter, "key" | "accessToken" | "access_token")
}
