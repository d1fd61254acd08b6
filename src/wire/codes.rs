//! The error codes of the protocol that either half uses, or that its host needs
//! ([`ErrorInfo::code`](super::ErrorInfo::code), TI1).
//!
//! A code says what went wrong; the first three digits of many are those of the HTTP status. The
//! protocol has more codes, and a peer may send any of them.
//!
//! ```
//! use presence_proto::wire::{ErrorInfo, codes};
//!
//! let refused = ErrorInfo::new(codes::CAPABILITY_DENIED, 401, "Presence is not allowed here");
//! assert_eq!(refused.code, 40160);
//! ```

// ---- The request

/// The request is wrong, and no other code says how. Also the client's own code for an operation
/// beyond one of its limits.
pub const BAD_REQUEST: u32 = 40000;
/// The body of a request is malformed.
pub const INVALID_REQUEST_BODY: u32 = 40001;
/// A parameter has a value that it cannot have.
pub const INVALID_PARAMETER_VALUE: u32 = 40003;
/// A message names a connection id that is not that of its connection.
pub const INVALID_CONNECTION_ID: u32 = 40006;
/// A message, or a frame, is larger than the connection allows (TO3l8, CD2c).
pub const MAX_MESSAGE_SIZE_EXCEEDED: u32 = 40009;
/// The channel cannot have this name.
pub const INVALID_CHANNEL_NAME: u32 = 40010;
/// The client id is none, or the credentials do not allow it (RTP8j, RTP15f).
pub const INVALID_CLIENT_ID: u32 = 40012;
/// The data is of a type that cannot travel, or its encoding cannot be applied (RSL4a).
pub const INVALID_DATA_OR_ENCODING: u32 = 40013;
/// The peer speaks a version of the protocol that is not supported.
pub const UNSUPPORTED_PROTOCOL_VERSION: u32 = 40017;

// ---- Credentials

/// The key or the token is not accepted, or there is none.
pub const INVALID_CREDENTIALS: u32 = 40101;
/// The credentials are for another client id than the connection's or than that asked for (RSA15c).
pub const INCOMPATIBLE_CREDENTIALS: u32 = 40102;
/// The timestamp of a token request is too far from the server's clock.
pub const TOKEN_REQUEST_TIMESTAMP_OUTSIDE_PERMITTED_WINDOW: u32 = 40104;
/// The nonce of a token request was used before.
pub const NONCE_VALUE_REPLAYED: u32 = 40105;
/// The token is not accepted. The first of ten codes that make a client renew its token, see
/// [`ErrorInfo::is_token_error`](super::ErrorInfo::is_token_error).
pub const TOKEN_ERROR_UNSPECIFIED: u32 = 40140;
/// The token has expired.
pub const TOKEN_EXPIRED: u32 = 40142;
/// The token is no JWT that can be read.
pub const INVALID_JWT: u32 = 40144;
/// The capability of the credentials does not include the operation.
pub const CAPABILITY_DENIED: u32 = 40160;
/// The channel was attached without the mode that the operation needs, which the capability would
/// have allowed.
pub const CHANNEL_MODE_NOT_REQUESTED: u32 = 40165;
/// The token has to be renewed and the client has no way to do so (RSA4a2).
pub const TOKEN_RENEWAL_NOT_CONFIGURED: u32 = 40171;

// ---- HTTP requests, which a host answers

/// The operation is not allowed to anybody.
pub const FORBIDDEN: u32 = 40300;
/// There is no such resource.
pub const NOT_FOUND: u32 = 40400;
/// The resource does not have this HTTP method.
pub const METHOD_NOT_ALLOWED: u32 = 40500;

// ---- Rates

/// A connection sends more than it may in a second. The operation is refused, the connection stays.
pub const RATE_LIMIT_EXCEEDED_PER_CONNECTION: u32 = 42911;
/// More happens on a channel than may in a second. The operation is refused, the connection stays.
pub const RATE_LIMIT_EXCEEDED_PER_CHANNEL: u32 = 42913;
/// A connection has passed a rate by so much that its transport is closed.
pub const RATE_LIMIT_EXCEEDED_CONNECTION_FATAL: u32 = 42920;

// ---- The server

/// The server failed, for a reason of its own.
pub const INTERNAL_ERROR: u32 = 50000;
/// An operation on a channel failed for a reason of the server's. Also the client's own code for a
/// message that the server passed over.
pub const INTERNAL_CHANNEL_ERROR: u32 = 50001;
/// The server does not answer in time, or has no room for more: it may help to try again elsewhere.
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
/// The connection is closed, as was asked for.
pub const CONNECTION_CLOSED: u32 = 80017;
/// The connection key, by which to resume or recover, is not good (RTN15c7).
pub const INVALID_CONNECTION_KEY: u32 = 80018;
/// The client could not obtain a token (RSA4c, RSA4d).
pub const TOKEN_REQUEST_FAILED: u32 = 80019;

// ---- Channels

/// The operation on the channel failed, and no other code says how.
pub const CHANNEL_OPERATION_FAILED: u32 = 90000;
/// The state of the channel does not allow the operation (RTL5b, RTL33c).
pub const INVALID_CHANNEL_STATE: u32 = 90001;
/// The channel is attached again, and something may have been missed in between (RTL12).
pub const CHANNEL_CONTINUITY_NOT_GUARANTEED: u32 = 90003;
/// ATTACH or DETACH had no answer in time (RTL4f, RTL5f).
pub const CHANNEL_OPERATION_TIMED_OUT: u32 = 90007;
/// History until the attach was asked for, and does not go back so far (RTL10b).
pub const ATTACH_POINT_NOT_FOUND: u32 = 90008;
/// The connection, or the server, has attached as many channels as it may.
pub const TOO_MANY_CHANNELS: u32 = 90010;

// ---- Presence

/// A member has to have a client id, and neither the message nor the connection has one.
pub const PRESENCE_WITHOUT_CLIENT_ID: u32 = 91000;
/// The state of the channel does not allow to enter, update or leave.
pub const PRESENCE_IN_INVALID_CHANNEL_STATE: u32 = 91001;
/// The channel has as many members as it may.
pub const TOO_MANY_PRESENCE_MEMBERS: u32 = 91003;
/// The client could not enter a member again (RTP17e).
pub const PRESENCE_REENTRY_FAILED: u32 = 91004;
/// The members that the client knows may not be those of the server (RTP11d).
pub const PRESENCE_OUT_OF_SYNC: u32 = 91005;
/// The members have as much data as they may.
pub const PRESENCE_SET_TOO_LARGE: u32 = 91006;
/// The server has lost a member whose connection is there: the client has to enter it again.
pub const PRESENCE_MEMBERSHIP_LOST: u32 = 91007;
/// The members were asked for on a channel without the mode PRESENCE_SUBSCRIBE (RTP11f1).
pub const PRESENCE_SUBSCRIBE_NOT_ENABLED: u32 = 91008;
