//! Errors of the protocol.

use presence_proto::wire::ErrorInfo;

/// An error with its codes.
pub(crate) fn error(code: u32, status: u16, message: impl AsRef<str>) -> ErrorInfo {
    ErrorInfo::new(code, status, message.as_ref())
}
