//! What a server counts.

/// Figures of a server; reading them costs next to nothing.
///
/// The first group says what is there now; the second only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections, those included that have no transport and can still be resumed.
    pub connections: u64,
    /// Transports that are open.
    pub transports: u64,
    /// Channels that anything is known of.
    pub channels: u64,
    /// Attachments of connections to channels.
    pub attachments: u64,
    /// Members of all channels.
    pub members: u64,
    /// Bytes of their client ids, data and extras.
    pub member_bytes: u64,
    /// Bytes of the histories of all channels, estimated.
    pub history_bytes: u64,
    /// Syncs that are not finished.
    pub syncs_running: u64,
    /// Transports that are congested.
    pub congested: u64,

    /// Transports that were opened and accepted.
    pub opened: u64,
    /// Transports that were opened and refused.
    pub refused: u64,
    /// Connections that were resumed or recovered.
    pub resumed: u64,
    /// Attempts to resume or recover that made a new connection.
    pub resume_failed: u64,
    /// Frames that came in.
    pub frames_in: u64,
    /// Frames put out, a broadcast counted once.
    pub frames_out: u64,
    /// Frames put out, a broadcast counted once per recipient.
    pub deliveries: u64,
    /// Presence events told to subscribers.
    pub presence_events: u64,
    /// Messages told to subscribers.
    pub messages: u64,
    /// Frames that were acknowledged.
    pub acks: u64,
    /// Frames that were refused.
    pub nacks: u64,
    /// Frames that were retried and acknowledged again (RTN19a).
    pub duplicates: u64,
    /// Members that entered again with the id that they had: nothing was told (RTP17g).
    pub reentries: u64,
    /// Members that left because their connection was lost and did not come back.
    pub grace_leaves: u64,
    /// Transports given up because their peer was silent (RTN23).
    pub silent: u64,
    /// Times that a transport was congested.
    pub congestions: u64,
    /// Syncs that made good what a congested transport missed.
    pub resyncs: u64,
    /// Syncs that were started, for whatever reason.
    pub syncs: u64,
    /// Presence events that were never told because they cancelled or replaced each other.
    pub coalesced: u64,
    /// Times that a limit refused something.
    pub limited: u64,
    /// Inputs that could not be decoded or broke the protocol, and ended their transport.
    pub protocol_errors: u64,
    /// Mistakes of the host.
    pub misuse: u64,
    /// Mistakes of the server itself: it came upon something that cannot be. Nobody was let in or
    /// out by it, but it wants to be reported.
    pub internal_errors: u64,
}
