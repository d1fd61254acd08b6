//! How many use a channel.

/// How many of each kind use a channel (CHM2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Occupancy {
    /// Attachments.
    pub connections: u32,
    /// Attachments that may publish.
    pub publishers: u32,
    /// Attachments that receive messages.
    pub subscribers: u32,
    /// Attachments that may enter.
    pub presence_connections: u32,
    /// Attachments that receive presence events.
    pub presence_subscribers: u32,
    /// Members.
    pub presence_members: u32,
}
