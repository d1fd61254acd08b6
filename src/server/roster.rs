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
    let before = channel.members.len();
    let old = match (&message.client_id, &message.connection_id) {
        (Some(client_id), Some(connection_id)) => channel
            .members
            .find(client_id, connection_id)
            .and_then(|slot| channel.members.get(slot))
            .map_or(0, |member| size_of(&member)),
        _ => 0,
    };
    let Some(slot) = channel.members.put(message) else { return Change::Nothing };
    let new = channel.members.get(slot).map_or(0, |member| size_of(&member));
    channel.member_bytes = channel.member_bytes.saturating_sub(old).saturating_add(new);
    let entered = channel.members.len() > before;
    if entered {
        channel.link(slot, attachment, entry);
    }
    channels.member_bytes = channels.member_bytes.saturating_sub(old).saturating_add(new);
    if entered { Change::Entered } else { Change::Updated }
}

fn remove(channels: &mut Channels, channel: Slot, member: Slot, version: Version) -> Change {
    let Some(entry) = channels.get_mut(channel) else { return Change::Nothing };
    let Some(found) = entry.members.get(member).filter(|found| found.version() == version) else {
        return Change::Nothing;
    };
    let bytes = size_of(&found);
    let Some(message) = entry.members.take_out(member) else { return Change::Nothing };
    debug_assert_eq!(message.action, PresenceAction::Leave);
    entry.member_bytes = entry.member_bytes.saturating_sub(bytes);
    let owner = entry.owner(member).map(|owner| owner.attachment);
    channels.member_bytes = channels.member_bytes.saturating_sub(bytes);
    if let Some(attachment) = owner
        && let Some((attachment, channel)) = channels.both_mut(attachment)
    {
        channel.unlink(member, attachment);
    }
    Change::Left(message)
}

/// The bytes that a member counts for (TP5): its client id, its data and its extras.
#[inline]
pub(super) fn size_of(member: &crate::members::Member<'_>) -> usize {
    let data = member.data().map_or(0, crate::wire::Data::size);
    let extras = member.extras().map_or(0, crate::wire::Value::json_len);
    member.client_id().len().saturating_add(data).saturating_add(extras)
}
