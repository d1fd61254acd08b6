//! Errors of the protocol (TI1).

use super::codes;
use crate::SmolStr;
use alloc::{boxed::Box, vec::Vec};

/// An error of the protocol (TI1): in ERROR, NACK, DISCONNECTED, DETACHED and other frames, and as
/// the result of a failed operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorInfo {
    /// The error code (TI3), see [`codes`]. Zero if absent.
    pub code: u32,
    /// The HTTP status code. Zero if absent.
    pub status_code: u16,
    /// The message, human-readable.
    pub message: SmolStr,
    /// The URL of a page about the error (TI4).
    pub href: Option<SmolStr>,
    /// The cause.
    pub cause: Option<Box<Self>>,
    /// The id of the failed request, for support.
    pub request_id: Option<SmolStr>,
    /// Additional information: names and values (TI6).
    pub detail: Vec<(SmolStr, SmolStr)>,
}

impl ErrorInfo {
    /// An error with a code, a status code and a message.
    pub fn new(code: u32, status_code: u16, message: impl Into<SmolStr>) -> Self {
        Self { code, status_code, message: message.into(), ..Self::default() }
    }

    /// Sets the cause.
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
