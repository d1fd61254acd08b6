//! Counters of a server.

/// Gauges and counters of a server. Reading them is cheap.
///
/// The first group are gauges: current values. The second group only increases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections, including lost ones that can still be resumed.
    pub connections: u64,
    /// Open transports.
    pub transports: u64,
    /// Channels with attachments, members or history. With a log this and the members are those that
    /// this node knows, of all nodes: they do not add up over nodes.
    pub channels: u64,
    /// Attachments of connections to channels.
    pub attachments: u64,
    /// Members of all channels, with a log of all nodes.
    pub members: u64,
    /// Bytes of the client ids, data and extras of these members.
    pub member_bytes: u64,
    /// Estimated bytes of the histories of all channels.
    pub history_bytes: u64,
    /// Unfinished syncs.
    pub syncs_running: u64,
    /// Congested transports.
    pub congested: u64,

    /// Transports accepted.
    pub opened: u64,
    /// Transports refused.
    pub refused: u64,
    /// Connections resumed or recovered.
    pub resumed: u64,
    /// Failed attempts to resume or recover; each gave a new connection.
    pub resume_failed: u64,
    /// Frames received.
    pub frames_in: u64,
    /// Frames sent. A broadcast counts once.
    pub frames_out: u64,
    /// Frames sent. A broadcast counts once per recipient.
    pub deliveries: u64,
    /// Presence events delivered to subscribers. An event counts once, whatever its recipients.
    pub presence_events: u64,
    /// Messages delivered to subscribers. A message counts once, whatever its recipients.
    pub messages: u64,
    /// Frames acknowledged (ACK).
    pub acks: u64,
    /// Frames refused (NACK).
    pub nacks: u64,
    /// Repeated frames, acknowledged again without effect (RTN19a).
    pub duplicates: u64,
    /// Members that entered again with an unchanged id, without an event (RTP17g).
    pub reentries: u64,
    /// Members removed at the end of a grace period.
    pub grace_leaves: u64,
    /// Transports closed because the peer was silent (RTN23).
    pub silent: u64,
    /// Times that a transport became congested.
    pub congestions: u64,
    /// Syncs started because a congested transport missed events.
    pub resyncs: u64,
    /// Syncs started, for any reason.
    pub syncs: u64,
    /// Presence events not delivered because coalescing cancelled or replaced them.
    pub coalesced: u64,
    /// Connections that another node has taken over, because their client came back there.
    pub moved: u64,
    /// Times that this node was taken for gone by others, and joined anew.
    pub fenced: u64,
    /// Entries of the log that did not count: appended twice, out of sequence, or of a run that was
    /// fenced.
    pub void_entries: u64,
    /// Requests refused or delayed by a limit.
    pub limited: u64,
    /// Undecodable frames and violations of the protocol.
    pub protocol_errors: u64,
    /// Errors of the host ([`Output::Misuse`](super::Output::Misuse)).
    pub misuse: u64,
    /// Broken invariants of the server: bugs to report. Each was handled without a change of
    /// rights.
    pub internal_errors: u64,
}
