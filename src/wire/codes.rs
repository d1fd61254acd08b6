//! Error codes of the protocol ([`ErrorInfo::code`](super::ErrorInfo::code), TI1), as used by the
//! halves and their hosts.
//!
//! The first three digits are often an HTTP status code. The protocol has more codes, and a peer may
//! send any of them.
//!
//! ```
//! use presence_proto::wire::{ErrorInfo, codes};
//!
//! let refused = ErrorInfo::new(codes::CAPABILITY_DENIED, 401, "Presence is not allowed here");
//! assert_eq!(refused.code, 40160);
//! ```

// ---- The request

/// An invalid request without a more specific code. Also the client's code for an operation beyond
/// one of its limits.
pub const BAD_REQUEST: u32 = 40000;
/// The body of a request is malformed.
pub const INVALID_REQUEST_BODY: u32 = 40001;
/// A parameter has an invalid value.
pub const INVALID_PARAMETER_VALUE: u32 = 40003;
/// A message has the connection id of another connection.
pub const INVALID_CONNECTION_ID: u32 = 40006;
/// A message, or a frame, is larger than the connection allows (TO3l8, CD2c).
pub const MAX_MESSAGE_SIZE_EXCEEDED: u32 = 40009;
/// The channel name is invalid.
pub const INVALID_CHANNEL_NAME: u32 = 40010;
/// The client id is invalid, or the credentials do not allow it (RTP8j, RTP15f).
pub const INVALID_CLIENT_ID: u32 = 40012;
/// The data has an unsupported type, or its encoding failed (RSL4a).
pub const INVALID_DATA_OR_ENCODING: u32 = 40013;
/// The protocol version of the peer is not supported.
pub const UNSUPPORTED_PROTOCOL_VERSION: u32 = 40017;

// ---- Credentials

/// The key or token is invalid or missing.
pub const INVALID_CREDENTIALS: u32 = 40101;
/// The credentials have another client id than the connection or the request (RSA15c).
pub const INCOMPATIBLE_CREDENTIALS: u32 = 40102;
/// The timestamp of a token request is too far from the server's clock.
pub const TOKEN_REQUEST_TIMESTAMP_OUTSIDE_PERMITTED_WINDOW: u32 = 40104;
/// The nonce of a token request was already used.
pub const NONCE_VALUE_REPLAYED: u32 = 40105;
/// The token is invalid. The first of the ten codes for which a client renews its token, see
/// [`ErrorInfo::is_token_error`](super::ErrorInfo::is_token_error).
pub const TOKEN_ERROR_UNSPECIFIED: u32 = 40140;
/// The token has expired.
pub const TOKEN_EXPIRED: u32 = 40142;
/// The token is a malformed JWT.
pub const INVALID_JWT: u32 = 40144;
/// The capability of the credentials does not include the operation.
pub const CAPABILITY_DENIED: u32 = 40160;
/// The channel was attached without the mode that the operation requires, although the capability
/// allows it.
pub const CHANNEL_MODE_NOT_REQUESTED: u32 = 40165;
/// The token must be renewed, but the client cannot renew it (RSA4a2).
pub const TOKEN_RENEWAL_NOT_CONFIGURED: u32 = 40171;

// ---- HTTP requests to the host

/// The operation is forbidden.
pub const FORBIDDEN: u32 = 40300;
/// The resource does not exist.
pub const NOT_FOUND: u32 = 40400;
/// The resource does not support this HTTP method.
pub const METHOD_NOT_ALLOWED: u32 = 40500;

// ---- Rates

/// The rate limit of a connection is exceeded. The operation is rejected, the connection stays open.
pub const RATE_LIMIT_EXCEEDED_PER_CONNECTION: u32 = 42911;
/// The rate limit of a channel is exceeded. The operation is rejected, the connection stays open.
pub const RATE_LIMIT_EXCEEDED_PER_CHANNEL: u32 = 42913;
/// A rate limit is exceeded by so much that the transport is closed.
pub const RATE_LIMIT_EXCEEDED_CONNECTION_FATAL: u32 = 42920;

// ---- The server

/// An internal error of the server.
pub const INTERNAL_ERROR: u32 = 50000;
/// An internal error of the server on a channel. Also the client's code for a message that the
/// server skipped.
pub const INTERNAL_CHANNEL_ERROR: u32 = 50001;
/// The server timed out or is at capacity. The client may retry with another server.
pub const TIMEOUT_ERROR: u32 = 50003;

// ---- Connections

/// The connection is FAILED.
pub const CONNECTION_FAILED: u32 = 80000;
/// The connection is SUSPENDED.
pub const CONNECTION_SUSPENDED: u32 = 80002;
/// The connection is DISCONNECTED.
pub const CONNECTION_DISCONNECTED: u32 = 80003;
/// The connection cannot be resumed or recovered: it has expired (RTN15c7, RTN16).
pub const CONNECTION_RECOVERY_FAILED: u32 = 80008;
/// The peer did not answer in time (RTN13c, RTN14c).
pub const CONNECTION_TIMED_OUT: u32 = 80014;
/// The connection was closed on request.
pub const CONNECTION_CLOSED: u32 = 80017;
/// The connection key of a resume or recovery is invalid (RTN15c7).
pub const INVALID_CONNECTION_KEY: u32 = 80018;
/// The client could not obtain a token (RSA4c, RSA4d).
pub const TOKEN_REQUEST_FAILED: u32 = 80019;

// ---- Channels

/// An operation on the channel failed, without a more specific code.
pub const CHANNEL_OPERATION_FAILED: u32 = 90000;
/// The state of the channel does not allow the operation (RTL5b, RTL33c).
pub const INVALID_CHANNEL_STATE: u32 = 90001;
/// The channel was attached again, possibly with a gap in its events (RTL12).
pub const CHANNEL_CONTINUITY_NOT_GUARANTEED: u32 = 90003;
/// ATTACH or DETACH had timed out (RTL4f, RTL5f).
pub const CHANNEL_OPERATION_TIMED_OUT: u32 = 90007;
/// The history until the attach was requested, but the attach is older than the history (RTL10b).
pub const ATTACH_POINT_NOT_FOUND: u32 = 90008;
/// The limit of channels of the connection or the server is reached.
pub const TOO_MANY_CHANNELS: u32 = 90010;

// ---- Presence

/// Neither the presence message nor the connection has a client id.
pub const PRESENCE_WITHOUT_CLIENT_ID: u32 = 91000;
/// The state of the channel does not allow enter, update and leave.
pub const PRESENCE_IN_INVALID_CHANNEL_STATE: u32 = 91001;
/// The limit of members of the channel is reached.
pub const TOO_MANY_PRESENCE_MEMBERS: u32 = 91003;
/// A re-entry failed (RTP17e).
pub const PRESENCE_REENTRY_FAILED: u32 = 91004;
/// The client's members may differ from those of the server (RTP11d).
pub const PRESENCE_OUT_OF_SYNC: u32 = 91005;
/// The limit for the total size of the members' data is reached.
pub const PRESENCE_SET_TOO_LARGE: u32 = 91006;
/// The server lost a member of a live connection. The client must enter it again.
pub const PRESENCE_MEMBERSHIP_LOST: u32 = 91007;
/// `get` on a channel without the mode PRESENCE_SUBSCRIBE (RTP11f1).
pub const PRESENCE_SUBSCRIBE_NOT_ENABLED: u32 = 91008;
