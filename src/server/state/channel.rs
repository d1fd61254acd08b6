//! The state of a channel: its members and their owners, its positions and its history.

use super::history::History;
use super::rows::Rows;
use super::{ConnectionSlot, Kind, adjusted};
use crate::members::{MemberPage, MemberSet, Place, SharedMembers, Slot};
use crate::ring::{self, Links, Nodes};
use crate::server::{HistoryOptions, Position};
use crate::wire::{PresenceMessage, inherited_id};
use crate::{Instant, SmolStr, UnixMillis};
use alloc::vec::Vec;

/// A channel.
#[derive(Clone, Debug)]
pub(in crate::server) struct Channel {
    name: SmolStr,
    members: MemberSet,
    owners: Owners,
    /// Bytes of the members.
    bytes: usize,
    /// Serials of the last frame, presence event and message.
    last: u64,
    last_presence: u64,
    last_message: u64,
    history: History,
    /// The frame of the leaves synthesized in this step.
    batch: Option<Batch>,
    /// The record that last removed members, and their number: its leaves share a serial, however
    /// many calls and frames they take.
    record: u64,
    made: u32,
    /// The log time of the last message, and whether the channel is kept for it.
    pub(super) message_at: UnixMillis,
    pub(super) is_recent: bool,
    /// The last snapshot that has it, or need not.
    pub(super) snapshot: u32,
    /// The attachments that nodes have to it.
    pub(super) rows: Rows,
    /// Unfinished removals by the host. Members cannot enter or update meanwhile.
    pub(super) kicks: u32,
}

/// A frame of synthesized leaves. The leaves without an id inherit theirs from the frame.
#[derive(Clone, Debug)]
pub(in crate::server) struct Batch {
    pub(in crate::server) serial: u64,
    pub(in crate::server) id: SmolStr,
    /// The index of the first leave. Not 0 if other frames with leaves of the same serial have been
    /// sent.
    pub(in crate::server) first: u32,
    pub(in crate::server) leaves: Vec<PresenceMessage>,
}

impl Batch {
    /// The id of the leave at an index.
    pub(in crate::server) fn id_of(&self, place: usize) -> SmolStr {
        inherited_id(&self.id, self.first as usize + place)
    }

    /// The last leave, with its id.
    pub(in crate::server) fn last(&self) -> Option<PresenceMessage> {
        let mut leave = self.leaves.last()?.clone();
        leave.id = leave.id.or_else(|| Some(self.id_of(self.leaves.len() - 1)));
        Some(leave)
    }
}

impl Default for Channel {
    fn default() -> Self {
        Self::new(SmolStr::default(), 0, 0, 0)
    }
}

impl Channel {
    pub(super) fn new(name: SmolStr, serial: u64, last_message: u64, seed: u64) -> Self {
        Self {
            name,
            members: MemberSet::new(seed),
            owners: Owners::default(),
            bytes: 0,
            last: serial,
            last_presence: serial,
            last_message,
            history: History::default(),
            batch: None,
            record: 0,
            made: 0,
            message_at: UnixMillis::default(),
            is_recent: false,
            snapshot: 0,
            rows: Rows::default(),
            kicks: 0,
        }
    }

    pub(in crate::server) const fn name(&self) -> &SmolStr {
        &self.name
    }

    pub(in crate::server) const fn members(&self) -> &MemberSet {
        &self.members
    }

    /// Bytes of the members.
    pub(in crate::server) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::server) const fn history(&self) -> &History {
        &self.history
    }

    pub(super) const fn history_mut(&mut self) -> &mut History {
        &mut self.history
    }

    /// Serial of the last frame.
    pub(in crate::server) const fn last(&self) -> u64 {
        self.last
    }

    /// Serial of the last presence event.
    pub(in crate::server) const fn last_presence(&self) -> u64 {
        self.last_presence
    }

    /// Serial of the last message.
    pub(in crate::server) const fn last_message(&self) -> u64 {
        self.last_message
    }

    pub(super) const fn set_last_presence(&mut self, serial: u64) {
        self.last = serial;
        self.last_presence = serial;
    }

    pub(super) const fn set_last_message(&mut self, serial: u64) {
        self.last = serial;
        self.last_message = serial;
    }

    /// Whether a removal by the host is unfinished.
    pub(in crate::server) const fn is_kicking(&self) -> bool {
        self.kicks > 0
    }

    /// Whether it has no members, no attachments on any node that the log tells of, no history and
    /// no unfinished work.
    pub(in crate::server) fn is_unused(&self) -> bool {
        self.kicks == 0
            && !self.is_recent
            && self.batch.is_none()
            && self.members.is_empty()
            && !self.has_rows()
            && self.history.is_empty()
    }

    /// The connection of a member.
    pub(in crate::server) fn owner(&self, member: Slot) -> Option<ConnectionSlot> {
        self.owners.get(member).map(|owner| owner.connection)
    }

    /// The bytes of a member that count for the limits.
    pub(in crate::server) fn bytes_of(&self, member: Slot) -> Option<usize> {
        self.owners.get(member).map(|owner| owner.bytes as usize)
    }

    /// Forgets the members, the history and the serials.
    pub(super) fn clear(&mut self) {
        self.members.clear();
        let name = core::mem::take(&mut self.name);
        let members = core::mem::replace(&mut self.members, MemberSet::new(0));
        *self = Self { members, ..Self::new(name, 0, 0, 0) };
    }

    /// Whether it is kept for a message.
    pub(in crate::server) const fn has_recent_message(&self) -> bool {
        self.is_recent
    }

    /// Whether it is on all nodes: it has members or attachments, or had a message lately.
    pub(super) fn is_shared(&self) -> bool {
        self.is_recent || !self.members.is_empty() || self.has_rows()
    }

    /// A copy of the members, for reading.
    pub(super) fn share_members(&mut self) -> SharedMembers {
        self.members.share()
    }

    /// Sets the serials of the last frame, presence event and message.
    pub(super) const fn set_serials(&mut self, last: u64, presence: u64, message: u64) {
        (self.last, self.last_presence, self.last_message) = (last, presence, message);
    }

    /// Inserts a member of a snapshot. It is not in the list of its connection yet. `false` if it
    /// does not fit.
    pub(super) fn restore_member(
        &mut self,
        slot: Slot,
        connection: ConnectionSlot,
        message: &PresenceMessage,
    ) -> bool {
        let restored = self.members.restore(slot, message);
        if restored {
            self.owners.add(slot, connection);
            let bytes = u32::try_from(message.size()).unwrap_or(u32::MAX);
            self.count_bytes(slot, bytes);
        }
        restored
    }

    /// Puts a member of a snapshot in front of the list of its connection. `false` if it is not one
    /// of its members.
    pub(super) fn restore_list(
        &mut self,
        slot: Slot,
        connection: ConnectionSlot,
        first: &mut Option<Slot>,
    ) -> bool {
        let owned = self.members.get(slot).is_some() && self.owner(slot) == Some(connection);
        if owned {
            ring::push_front(&mut self.owners, first, slot);
        }
        owned
    }

    /// A page of members from a slot on, while `fits` accepts the bytes of each; and the start of
    /// the next page.
    pub(super) fn page(
        &mut self,
        from: u32,
        mut fits: impl FnMut(Option<usize>) -> bool,
    ) -> (MemberPage, Option<Slot>) {
        let owners = &self.owners;
        let bytes = |slot| owners.get(slot).map(|owner| owner.bytes as usize);
        self.members.snapshot(from, |slot, _| fits(bytes(slot)))
    }

    /// The members in the list of a connection, newest first, from `first` on.
    pub(in crate::server) fn owned_from(&self, first: Option<Slot>) -> impl Iterator<Item = Slot> {
        core::iter::successors(first, |member| self.owners.get(*member)?.links.next())
    }

    /// The slot of a member, or the place to insert it.
    pub(in crate::server) fn locate(
        &self,
        client_id: &SmolStr,
        connection_id: &SmolStr,
    ) -> Result<Slot, Place> {
        self.members.locate(client_id, connection_id)
    }

    /// Inserts or updates a member at the place from [`locate`](Self::locate). `first` is the head
    /// of the connection's list of members, updated if necessary.
    pub(super) fn upsert(
        &mut self,
        place: Result<Slot, Place>,
        connection: ConnectionSlot,
        first: &mut Option<Slot>,
        message: &PresenceMessage,
    ) -> Option<Slot> {
        let is_new = place.is_err();
        let slot = self.members.put_at(place, message)?;
        if is_new {
            self.owners.add(slot, connection);
            ring::push_front(&mut self.owners, first, slot);
        }
        self.count_bytes(slot, u32::try_from(message.size()).unwrap_or(u32::MAX))?;
        Some(slot)
    }

    /// The next member in the list of the same connection.
    #[inline]
    pub(super) fn next_owned(&self, member: Slot) -> Option<Slot> {
        self.owners.get(member)?.links.next()
    }

    /// Removes a member and returns its data as a LEAVE. `first` is the head of the connection's
    /// list of members, updated if necessary.
    #[inline]
    pub(super) fn remove(
        &mut self,
        member: Slot,
        first: &mut Option<Slot>,
    ) -> Option<PresenceMessage> {
        self.count_bytes(member, 0)?;
        let message = self.members.take_out(member)?;
        ring::remove(&mut self.owners, first, member);
        if self.members.is_empty() {
            self.owners = Owners::default();
        }
        Some(message)
    }

    /// Sets the bytes of a member that count for the limits.
    fn count_bytes(&mut self, member: Slot, bytes: u32) -> Option<()> {
        let owner = self.owners.get_mut(member)?;
        let before = core::mem::replace(&mut owner.bytes, bytes);
        self.bytes = adjusted(self.bytes, before as usize, bytes as usize);
        Some(())
    }

    /// Records an event in the history, if that is enabled. `others`: bytes of other channels'
    /// histories. Returns whether it is the only event.
    pub(super) fn record(
        &mut self,
        config: &HistoryOptions,
        others: usize,
        now: Instant,
        position: Position,
        message: &PresenceMessage,
        kind: Kind,
    ) -> bool {
        if !config.is_enabled() {
            self.history.skip(position);
            return false;
        }
        let was_empty = self.history.is_empty();
        self.history.push(config, others, now, position, message, kind.was_present());
        was_empty && !self.history.is_empty()
    }

    /// The frame of the leaves synthesized in this step. `start` returns the serial of a new frame,
    /// `id` its id. Frames with leaves of one record, if it has a number, share the serial.
    pub(super) fn start_batch(
        &mut self,
        record: u64,
        start: impl FnOnce() -> u64,
        id: impl FnOnce(u64) -> SmolStr,
    ) -> &mut Batch {
        self.batch.get_or_insert_with(|| {
            if record == 0 || self.record != record {
                let serial = start();
                (self.last, self.last_presence) = (serial, serial);
                (self.record, self.made) = (record, 0);
            }
            let serial = self.last_presence;
            Batch { serial, id: id(serial), first: self.made, leaves: Vec::new() }
        })
    }

    pub(super) fn add_leave(&mut self, leave: PresenceMessage) -> Option<()> {
        self.made = self.made.saturating_add(1);
        self.batch.as_mut()?.leaves.push(leave);
        Some(())
    }

    /// The frame of the leaves synthesized in this step.
    pub(in crate::server) const fn batch(&self) -> Option<&Batch> {
        self.batch.as_ref()
    }

    pub(super) const fn end_batch(&mut self) -> Option<Batch> {
        self.batch.take()
    }
}

/// Owners by the slots of members.
#[derive(Clone, Debug, Default)]
struct Owners(Vec<Owner>);

/// The owner of a member, the bytes that the member counts for, and its links in the list of the
/// connection's members.
#[derive(Clone, Copy, Debug)]
struct Owner {
    connection: ConnectionSlot,
    bytes: u32,
    links: Links<Slot>,
}

impl Owners {
    fn get(&self, member: Slot) -> Option<&Owner> {
        self.0.get(member.number() as usize)
    }

    fn get_mut(&mut self, member: Slot) -> Option<&mut Owner> {
        self.0.get_mut(member.number() as usize)
    }

    /// Adds the owner of a new member.
    fn add(&mut self, member: Slot, connection: ConnectionSlot) {
        let index = member.number() as usize;
        let owner = Owner { connection, bytes: 0, links: Links::default() };
        if index >= self.0.len() {
            self.0.resize(index + 1, owner);
        } else if let Some(place) = self.0.get_mut(index) {
            *place = owner;
        }
    }
}

impl Nodes<Slot> for Owners {
    fn links(&mut self, member: Slot) -> Option<&mut Links<Slot>> {
        self.get_mut(member).map(|owner| &mut owner.links)
    }
}
