//! The one place where member sets change.

use super::Server;
use super::channel::Channels;
use crate::members::{Slot, Version};
use crate::wire::{PresenceAction, PresenceMessage};

/// A change of a channel's member set. One node applies its own records at once; the same records,
/// from a log that nodes share, would make the same sets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Record<'a> {
    /// A member enters, or says something else of itself. The message is complete: client id,
    /// connection id, id, timestamp.
    Put { attachment: Slot, message: &'a PresenceMessage },
    /// A member is taken out, if it still is of the version that the removal was decided on: a
    /// late removal must not undo a fresh enter.
    Remove { member: Slot, version: Version },
}

/// What a record did.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Nothing: the member is gone, or is of another version.
    Nothing,
    /// A member came.
    Entered,
    /// A member changed.
    Updated,
    /// A member went: what it said of itself, as a LEAVE that has no id yet.
    Left(PresenceMessage),
}

impl Server {
    /// Applies a record to a channel, and counts the bytes of what it changes for the connection
    /// whose member it is.
    pub(super) fn apply_record(
        &mut self,
        owner: Option<Slot>,
        channel: Slot,
        record: Record<'_>,
    ) -> Change {
        let before = self.channels.member_bytes;
        let change = apply(&mut self.channels, channel, record);
        let after = self.channels.member_bytes;
        if let Some(connection) = owner.and_then(|owner| self.connections.get_mut(owner)) {
            connection.member_bytes = grown(connection.member_bytes, before, after);
        }
        change
    }
}

/// A sum when one part of it has changed.
pub(super) const fn grown(sum: usize, before: usize, after: usize) -> usize {
    sum.saturating_add(after).saturating_sub(before)
}

/// Applies a record to a channel.
fn apply(channels: &mut Channels, channel: Slot, record: Record<'_>) -> Change {
    match record {
        Record::Put { attachment, message } => put(channels, attachment, message),
        Record::Remove { member, version } => remove(channels, channel, member, version),
    }
}

fn put(channels: &mut Channels, attachment: Slot, message: &PresenceMessage) -> Change {
    let Some((entry, channel)) = channels.both_mut(attachment) else { return Change::Nothing };
    let (members, bytes) = (channel.members.len(), channel.member_bytes);
    let Some(slot) = channel.members.put(message) else { return Change::Nothing };
    let entered = channel.members.len() > members;
    if entered {
        channel.link(slot, attachment, entry);
    }
    channel.set_bytes_of(slot, u32::try_from(message.size()).unwrap_or(u32::MAX));
    let after = channel.member_bytes;
    channels.member_bytes = grown(channels.member_bytes, bytes, after);
    if entered { Change::Entered } else { Change::Updated }
}

fn remove(channels: &mut Channels, channel: Slot, member: Slot, version: Version) -> Change {
    let Some(entry) = channels.get_mut(channel) else { return Change::Nothing };
    if entry.members.get(member).is_none_or(|found| found.version() != version) {
        return Change::Nothing;
    }
    let bytes = entry.member_bytes;
    let owner = entry.owner(member).map(|owner| owner.attachment);
    let Some(message) = entry.members.take_out(member) else { return Change::Nothing };
    debug_assert_eq!(message.action, PresenceAction::Leave);
    if let Some(attachment) = owner
        && let Some((attachment, channel)) = channels.both_mut(attachment)
    {
        channel.unlink(member, attachment);
        let after = channel.member_bytes;
        channels.member_bytes = grown(channels.member_bytes, bytes, after);
    }
    Change::Left(message)
}
