//! Errors created by the client, with the protocol's codes.

use super::ConnectionState;
use crate::wire::{ErrorInfo, codes};

pub(super) fn bad_request(message: &str) -> ErrorInfo {
    ErrorInfo::new(codes::BAD_REQUEST, 400, message)
}

pub(super) fn too_large() -> ErrorInfo {
    ErrorInfo::new(
        codes::MAX_MESSAGE_SIZE_EXCEEDED,
        400,
        "presence message larger than the connection allows",
    )
}

/// RTP8j, RTP15f.
pub(super) fn invalid_client_id(message: &str) -> ErrorInfo {
    ErrorInfo::new(codes::INVALID_CLIENT_ID, 400, message)
}

/// RSA15c.
pub(super) fn incompatible_client_id() -> ErrorInfo {
    ErrorInfo::new(
        codes::INCOMPATIBLE_CREDENTIALS,
        401,
        "the client id of the server differs from the one in the options",
    )
}

/// RSA4a2.
pub(super) fn token_not_renewable() -> ErrorInfo {
    ErrorInfo::new(
        codes::TOKEN_RENEWAL_NOT_CONFIGURED,
        401,
        "the token has expired and cannot be renewed",
    )
}

/// RSA4c, RSA4d.
pub(super) fn token_request_failed(cause: ErrorInfo) -> ErrorInfo {
    let status = if cause.status_code == 403 { 403 } else { 401 };
    ErrorInfo::new(codes::TOKEN_REQUEST_FAILED, status, "no token was provided").with_cause(cause)
}

pub(super) fn message_lost() -> ErrorInfo {
    ErrorInfo::new(codes::INTERNAL_CHANNEL_ERROR, 500, "the server skipped the message")
}

pub(super) fn disconnected() -> ErrorInfo {
    ErrorInfo::new(codes::CONNECTION_DISCONNECTED, 400, "connection lost")
}

pub(super) fn timed_out() -> ErrorInfo {
    ErrorInfo::new(codes::CONNECTION_TIMED_OUT, 408, "timed out")
}

/// The error for a connection state without a reason of its own.
pub(super) fn not_connected(state: ConnectionState) -> ErrorInfo {
    match state {
        ConnectionState::Suspended => {
            ErrorInfo::new(codes::CONNECTION_SUSPENDED, 400, "connection suspended")
        }
        ConnectionState::Failed => {
            ErrorInfo::new(codes::CONNECTION_FAILED, 400, "connection failed")
        }
        ConnectionState::Closing | ConnectionState::Closed => {
            ErrorInfo::new(codes::CONNECTION_CLOSED, 400, "connection closed")
        }
        _ => disconnected(),
    }
}

/// CLOSE had no answer (RTN12b, RTN12c).
pub(super) fn not_closed(cause: ErrorInfo) -> ErrorInfo {
    ErrorInfo::new(codes::CONNECTION_CLOSED, 400, "closed without an answer from the server")
        .with_cause(cause)
}

/// RTL33c, RTP8g, RTL5b.
pub(super) fn channel_state(message: &str) -> ErrorInfo {
    ErrorInfo::new(codes::INVALID_CHANNEL_STATE, 400, message)
}

pub(super) fn detached_by_server() -> ErrorInfo {
    ErrorInfo::new(codes::INVALID_CHANNEL_STATE, 404, "channel detached by the server")
}

/// RTL4f, RTL5f.
pub(super) fn channel_timed_out(message: &str) -> ErrorInfo {
    ErrorInfo::new(codes::CHANNEL_OPERATION_TIMED_OUT, 408, message)
}

/// RTP17e.
pub(super) fn reentry_failed(client_id: &str) -> ErrorInfo {
    let message = smol_str::format_smolstr!("member {client_id} could not be entered again");
    ErrorInfo::new(codes::PRESENCE_REENTRY_FAILED, 400, message)
}

/// RTP11d.
pub(super) fn out_of_sync() -> ErrorInfo {
    ErrorInfo::new(
        codes::PRESENCE_OUT_OF_SYNC,
        400,
        "presence is out of sync while the channel is suspended",
    )
}

/// RTP11f1.
pub(super) fn presence_subscribe_missing() -> ErrorInfo {
    ErrorInfo::new(
        codes::PRESENCE_SUBSCRIBE_NOT_ENABLED,
        400,
        "the channel is attached without the mode PRESENCE_SUBSCRIBE",
    )
}

pub(super) fn channel_failed() -> ErrorInfo {
    ErrorInfo::new(codes::CHANNEL_OPERATION_FAILED, 500, "channel failed")
}
