//! Numbers by which the host and a half of the protocol name things to each other.

/// One transport (a WebSocket, say) for as long as it is open.
///
/// On a client the core chooses it and the host quotes it; on a server the host chooses it. A
/// number may be used again once its transport is closed, but a host does well not to: frames of
/// an old transport are then told apart from those of the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a number and nothing else")]
pub struct TransportId(pub u64);

/// One operation of the application, numbered by the host. Its outcome comes out under the same
/// number. The core does not compare numbers: who wants to tell two operations apart gives each its
/// own, who does not may use one for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a number and nothing else")]
pub struct OpId(pub u64);

/// One subscription to the presence events of a channel, numbered by the host (RTP6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a number and nothing else")]
pub struct SubscriptionId(pub u64);
