//! The parts of a snapshot, from the state and back.

use super::channel::Channel;
use super::incarnations::Incarnation;
use super::serials::AcceptedSerials;
use super::{ChannelSlot, ConnectionSlot, State, adjusted};
use crate::members::{Member, Slot};
use crate::server::entry::{ChannelPart, ConnectionPart, EventPart, FoldPart, Part};
use crate::slab::Key;
use crate::wire::{PresenceAction, PresenceMessage};
use crate::{Now, SmolStr};
use alloc::vec::Vec;

/// The largest slot number of a member in a snapshot. It bounds the memory that a damaged snapshot
/// takes.
const MAX_SLOT: u32 = 1 << 28;

/// A part of a snapshot does not fit those before it: the snapshot is damaged or not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Damaged;

impl State {
    pub(super) fn fold_part(&self) -> Option<FoldPart> {
        let fold = self.fold.as_ref()?;
        let runs = fold.incarnations.iter().map(|(number, found)| found.part(number));
        Some(FoldPart {
            time: fold.time,
            record: fold.record,
            serial: self.stream.last(),
            incarnations: runs.collect(),
        })
    }

    pub(super) fn connection_part(&self, slot: ConnectionSlot) -> ConnectionPart {
        let connection = &self.connections[slot];
        let (highest, gaps) = connection.serials.parts();
        let members = connection.firsts().iter().map(|(channel, first)| {
            let channel = &self.channels[*channel];
            let slots = channel.owned_from(Some(*first)).map(Key::number).collect();
            (channel.name().clone(), slots)
        });
        ConnectionPart {
            id: connection.id().clone(),
            owner: connection.owner,
            grace: connection.grace,
            spent: connection.spent,
            adopted_by: connection.adopted_by,
            last_leave_at: connection.last_leave_at,
            highest,
            gaps: gaps.to_vec(),
            members: members.collect(),
        }
    }

    /// All parts in an order that does not depend on slots, without histories: equal on replicas of
    /// one log at one position. For tests.
    pub(in crate::server) fn canonical_parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        parts.extend(self.fold_part().map(Part::Fold));
        if let Some(fold) = &self.fold {
            parts.push(Part::Ended(fold.ended.iter().cloned().collect()));
        }
        let shared = self.connections.iter().filter(|(_, found)| found.owner != 0);
        let mut connections: Vec<_> = shared.map(|(slot, _)| self.connection_part(slot)).collect();
        connections.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        for connection in &mut connections {
            connection.members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        }
        parts.extend(connections.into_iter().map(Part::Connection));
        let shared = self.channels.iter().filter(|(_, channel)| channel.is_shared());
        let mut channels: Vec<&Channel> = shared.map(|(_, channel)| channel).collect();
        channels.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        for channel in channels {
            parts.push(Part::Channel(channel.canonical_part()));
            let members = channel.members().iter_from(0).map(to_part).collect();
            parts.push(Part::Members { channel: channel.name().clone(), members });
        }
        parts
    }

    /// Adds a part of a snapshot to the state, which must follow a log and have applied nothing.
    pub(in crate::server) fn restore_part(
        &mut self,
        at: Now,
        part: Part,
        channel_for: impl FnOnce(&mut Self, &SmolStr) -> Option<ChannelSlot>,
    ) -> Result<(), Damaged> {
        match part {
            Part::Fold(part) => self.restore_fold(&part),
            Part::Ended(ended) => {
                let fold = self.fold.as_mut().ok_or(Damaged)?;
                ended.into_iter().for_each(|(until, id)| fold.ended.insert(id, until));
                Ok(())
            }
            Part::Connection(part) => self.restore_connection(part),
            Part::Channel(part) => {
                let channel = channel_for(self, &part.name).ok_or(Damaged)?;
                self.restore_channel(channel, &part)
            }
            Part::Members { channel, members } => {
                let channel = self.by_name(&channel).ok_or(Damaged)?;
                members.iter().try_for_each(|(slot, message)| {
                    self.restore_member(channel, *slot, message).ok_or(Damaged)
                })
            }
            Part::Events { channel, events } => {
                let channel = self.by_name(&channel).ok_or(Damaged)?;
                for event in events {
                    self.restore_event(channel, at, event);
                }
                Ok(())
            }
        }
    }

    fn restore_fold(&mut self, part: &FoldPart) -> Result<(), Damaged> {
        self.stream.resume(part.serial);
        let fold = self.fold.as_mut().ok_or(Damaged)?;
        (fold.time, fold.record) = (part.time, part.record);
        for run in &part.incarnations {
            fold.incarnations.insert(run.number, Incarnation::from_part(run));
        }
        Ok(())
    }

    /// The lists of members follow at the end, when all members are there.
    fn restore_connection(&mut self, part: ConnectionPart) -> Result<(), Damaged> {
        let slot = self.connection_for(&part.id).ok_or(Damaged)?;
        let serials = AcceptedSerials::from_parts(part.highest, &part.gaps).ok_or(Damaged)?;
        let connection = &mut self.connections[slot];
        if connection.owner != 0 || part.owner == 0 {
            return Err(Damaged);
        }
        (connection.owner, connection.grace) = (part.owner, part.grace);
        (connection.spent, connection.adopted_by) = (part.spent, part.adopted_by);
        (connection.last_leave_at, connection.serials) = (part.last_leave_at, serials);
        self.link(slot);
        let fold = self.fold.as_mut().ok_or(Damaged)?;
        fold.lists.push((slot, part.members));
        Ok(())
    }

    fn restore_channel(&mut self, slot: ChannelSlot, part: &ChannelPart) -> Result<(), Damaged> {
        let channel = &mut self.channels[slot];
        channel.set_serials(part.last, part.last_presence, part.last_message);
        if let Some(dropped) = part.last_dropped {
            channel.history_mut().skip(dropped);
        }
        if let Some(time) = part.message_at {
            self.restore_message_time(slot, time);
        }
        let fit = part.rows.iter().all(|(run, row)| self.restore_row(slot, *run, *row));
        fit.then_some(()).ok_or(Damaged)
    }

    fn restore_member(
        &mut self,
        channel: ChannelSlot,
        slot: u32,
        message: &PresenceMessage,
    ) -> Option<()> {
        let connection = self.connection_for(message.connection_id.as_ref()?)?;
        let entry = &mut self.channels[channel];
        let before = entry.bytes();
        let slot = (slot < MAX_SLOT).then(|| Slot::from_number(slot))?;
        if !entry.restore_member(slot, connection, message) {
            return None;
        }
        let bytes = entry.bytes().saturating_sub(before);
        self.connections[connection].bytes += bytes;
        self.member_bytes += bytes;
        self.members += 1;
        Some(())
    }

    fn restore_event(&mut self, channel: ChannelSlot, at: Now, event: EventPart) {
        let entry = &mut self.channels[channel];
        let before = entry.history().bytes();
        let others = self.history_bytes.saturating_sub(before);
        entry.history_mut().restore(&self.history, others, at.mono, event);
        self.history_bytes = adjusted(self.history_bytes, before, entry.history().bytes());
    }

    /// Ends a restore: links the lists of members.
    pub(in crate::server) fn end_restore(&mut self, position: u64) -> Result<(), Damaged> {
        let fold = self.fold.as_mut().ok_or(Damaged)?;
        fold.position = position;
        fold.recent.make_contiguous().sort_unstable_by_key(|(time, _)| *time);
        for (slot, lists) in core::mem::take(&mut fold.lists) {
            // The order of the channels counts.
            for (name, members) in lists {
                let channel = self.by_name(&name).ok_or(Damaged)?;
                let mut first = None;
                for member in members.into_iter().rev() {
                    let entry = &mut self.channels[channel];
                    if !entry.restore_list(Slot::from_number(member), slot, &mut first) {
                        return Err(Damaged);
                    }
                }
                self.connections[slot].set_first_member(channel, first);
            }
        }
        Ok(())
    }

    fn connection_for(&mut self, id: &SmolStr) -> Option<ConnectionSlot> {
        self.by_id(id).or_else(|| self.open_connection(id.clone()))
    }
}

impl Channel {
    /// Without what each node knows for itself: what was before the channel came into being there.
    fn canonical_part(&self) -> ChannelPart {
        let mut part = ChannelPart { last_dropped: None, ..self.part() };
        if self.members().is_empty() {
            part.last_presence = 0;
        }
        if !self.is_recent {
            part.last_message = 0;
        }
        if self.members().is_empty() && !self.is_recent {
            part.last = 0;
        }
        part
    }

    pub(super) fn part(&self) -> ChannelPart {
        ChannelPart {
            name: self.name().clone(),
            last: self.last(),
            last_presence: self.last_presence(),
            last_message: self.last_message(),
            message_at: self.is_recent.then_some(self.message_at),
            last_dropped: self.history().last_dropped(),
            rows: self.rows.as_slice().to_vec(),
        }
    }
}

/// A member as it is in a snapshot.
pub(super) fn to_part((slot, member): (Slot, Member<'_>)) -> (u32, PresenceMessage) {
    (slot.number(), member.to_message(PresenceAction::Present))
}
