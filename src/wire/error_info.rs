//! An error as it travels, and as operations report it (TI1).

use super::codes;
use crate::SmolStr;
use alloc::{boxed::Box, vec::Vec};

/// An error of the protocol (TI1): on the wire in ERROR, NACK, DISCONNECTED, DETACHED and others,
/// and the `Err` of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorInfo {
    /// The code, from the protocol's catalogue (TI3): see [`codes`]. Zero if there was none.
    pub code: u32,
    /// The HTTP status code that belongs to it. Zero if there was none.
    pub status_code: u16,
    /// What happened, for people.
    pub message: SmolStr,
    /// A page that says more (TI4).
    pub href: Option<SmolStr>,
    /// What caused it.
    pub cause: Option<Box<Self>>,
    /// The request that failed, for support.
    pub request_id: Option<SmolStr>,
    /// More facts, by name (TI6).
    pub detail: Vec<(SmolStr, SmolStr)>,
}

impl ErrorInfo {
    /// An error with a code, a status code and a message.
    pub fn new(code: u32, status_code: u16, message: impl Into<SmolStr>) -> Self {
        Self { code, status_code, message: message.into(), ..Self::default() }
    }

    /// The same error, with its cause.
    #[must_use]
    pub fn with_cause(mut self, cause: Self) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    /// Whether this is a token error: status code 401 and a code from 40140 to 40149 (RTN14b,
    /// RTN15h).
    #[must_use]
    pub const fn is_token_error(&self) -> bool {
        self.status_code == 401 && self.code / 10 == codes::TOKEN_ERROR_UNSPECIFIED / 10
    }
}

impl core::fmt::Display for ErrorInfo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} (code {}, status {})", self.message, self.code, self.status_code)
    }
}

impl core::error::Error for ErrorInfo {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}
