//! Identifiers shared by the host and a half of the protocol.

/// A transport: one WebSocket connection, for example.
///
/// Allocated by the client, or by the host of a server. A server accepts the number of a closed
/// transport again. A host should not reuse numbers: late frames of the closed transport would be
/// attributed to the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a number and nothing else")]
pub struct TransportId(pub u64);

/// An operation of the application, numbered by the host. Its outcome has the same number. Numbers
/// need not be unique: the crate does not compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a number and nothing else")]
pub struct OpId(pub u64);

/// A subscription to the presence events of a channel, numbered by the host (RTP6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a number and nothing else")]
pub struct SubscriptionId(pub u64);
