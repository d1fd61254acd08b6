//! Transports, connections and their rights, attachments.

mod attachment;
mod connection;
mod in_log;
mod work;

pub(super) use attachment::{Attachment, AttachmentSlot};
pub(super) use connection::{Connection, Due, Terms};
pub(super) use in_log::{Answer, InLog};
pub(super) use work::{Adopting, Work};

use super::state::{ChannelSlot, ConnectionSlot};
use crate::lookup::{Lookup, fold};
use crate::ring;
use crate::slab::Arena;
use crate::wire::{Modes, Params};
use crate::{Instant, TransportId};
use alloc::boxed::Box;
use core::hash::BuildHasher;
use foldhash::fast::FixedState;

/// All connections and their attachments.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    connections: Arena<ConnectionSlot, Connection>,
    transports: Lookup<ConnectionSlot>,
    attachments: Arena<AttachmentSlot, Attachment>,
    /// Attachments by connection and channel.
    pairs: Lookup<AttachmentSlot>,
    hasher: FixedState,
    congested: usize,
}

impl Connections {
    pub(super) fn new(hash_seed: u64) -> Self {
        Self {
            connections: Arena::new(),
            transports: Lookup::new(),
            attachments: Arena::new(),
            pairs: Lookup::new(),
            hasher: FixedState::with_seed(hash_seed),
            congested: 0,
        }
    }

    /// How often a dangling key was used.
    pub(super) fn dangling(&self) -> usize {
        self.connections.dangling() + self.attachments.dangling()
    }

    /// Number of connections.
    pub(super) const fn len(&self) -> usize {
        self.connections.len()
    }

    /// Number of open transports.
    pub(super) fn transports(&self) -> usize {
        self.transports.len()
    }

    /// Number of attachments.
    pub(super) const fn attachments(&self) -> usize {
        self.attachments.len()
    }

    /// Number of congested transports.
    pub(super) const fn congested(&self) -> usize {
        self.congested
    }

    #[inline]
    pub(super) fn get(&self, slot: ConnectionSlot) -> &Connection {
        &self.connections[slot]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: ConnectionSlot) -> &mut Connection {
        &mut self.connections[slot]
    }

    /// A connection, unless it has ended.
    pub(super) fn try_get(&self, slot: ConnectionSlot) -> Option<&Connection> {
        self.connections.get(slot)
    }

    /// The first connection at or after a slot number.
    pub(super) fn next_from(&self, number: u32) -> Option<(ConnectionSlot, &Connection)> {
        self.connections.next_from(number)
    }

    pub(super) fn insert(&mut self, slot: ConnectionSlot, connection: Connection) {
        self.connections.insert_at(slot, connection);
    }

    /// Removes a connection, which must have no transport and no attachments.
    pub(super) fn remove(&mut self, slot: ConnectionSlot) {
        let connection = self.connections.remove(slot);
        debug_assert!(connection.transport().is_none() && connection.first_attachment().is_none());
    }

    /// The connection of a transport.
    pub(super) fn by_transport(&self, transport: TransportId) -> Option<ConnectionSlot> {
        let hash = transport_hash(&self.hasher, transport);
        self.transports.find(hash, |slot| self.connections[slot].transport() == Some(transport))
    }

    pub(super) fn bind(&mut self, slot: ConnectionSlot, transport: TransportId, now: Instant) {
        self.connections[slot].bind(transport, now);
        self.transports.insert(transport_hash(&self.hasher, transport), slot);
    }

    /// Unbinds a transport from its connection, and forgets its state. `None` if the transport is
    /// not open.
    pub(super) fn unbind(
        &mut self,
        transport: TransportId,
        now: Instant,
    ) -> Option<ConnectionSlot> {
        let hash = transport_hash(&self.hasher, transport);
        let connections = &self.connections;
        let is = |slot| connections[slot].transport() == Some(transport);
        let slot = self.transports.take(hash, is)?;
        let connection = &mut self.connections[slot];
        if connection.set_congested(false) {
            self.congested -= 1;
        }
        connection.unbind(now);
        Some(slot)
    }

    /// Sets whether the transport of a connection is congested. Returns whether that is a change.
    pub(super) fn set_congested(&mut self, slot: ConnectionSlot, congested: bool) -> bool {
        let changed = self.connections[slot].set_congested(congested);
        if changed {
            self.congested = if congested { self.congested + 1 } else { self.congested - 1 };
        }
        changed
    }

    #[inline]
    pub(super) fn attachment(&self, slot: AttachmentSlot) -> &Attachment {
        &self.attachments[slot]
    }

    /// The attachment of a connection to a channel.
    pub(super) fn pair(
        &self,
        connection: ConnectionSlot,
        channel: ChannelSlot,
    ) -> Option<AttachmentSlot> {
        self.pairs.find(self.pair_hash(connection, channel), |slot| {
            let attachment = &self.attachments[slot];
            attachment.connection() == connection && attachment.channel() == channel
        })
    }

    /// Adds an attachment, inactive and without modes. `None` if there are no free slots.
    pub(super) fn attach(
        &mut self,
        connection: ConnectionSlot,
        channel: ChannelSlot,
    ) -> Option<AttachmentSlot> {
        let slot = self.attachments.insert(Attachment::new(connection, channel))?;
        self.pairs.insert(self.pair_hash(connection, channel), slot);
        let list = self.connections[connection].attachments_mut();
        list.count = list.count.saturating_add(1);
        ring::push_front(&mut self.attachments, &mut list.first, slot);
        Some(slot)
    }

    /// Removes an attachment.
    pub(super) fn detach(&mut self, slot: AttachmentSlot) {
        let attachment = &self.attachments[slot];
        let (connection, channel) = (attachment.connection(), attachment.channel());
        let list = self.connections[connection].attachments_mut();
        list.count = list.count.saturating_sub(1);
        ring::remove(&mut self.attachments, &mut list.first, slot);
        self.attachments.remove(slot);
        self.pairs.remove(self.pair_hash(connection, channel), slot);
    }

    /// Sets the requested and the granted modes.
    pub(super) fn set_modes(&mut self, slot: AttachmentSlot, requested: Modes, granted: Modes) {
        let attachment = &mut self.attachments[slot];
        attachment.requested = requested;
        attachment.granted = granted;
    }

    pub(super) fn set_params(&mut self, slot: AttachmentSlot, params: Params) {
        self.attachments[slot].params = (!params.is_empty()).then(|| Box::new(params));
    }

    /// Marks an attachment as attached by the current transport. Returns whether that is a change.
    pub(super) fn activate(&mut self, slot: AttachmentSlot) -> bool {
        !core::mem::replace(&mut self.attachments[slot].active, true)
    }

    /// Marks an attachment as inactive. If it was active, returns its channel and its granted
    /// modes.
    pub(super) fn deactivate(&mut self, slot: AttachmentSlot) -> Option<(ChannelSlot, Modes)> {
        let attachment = &mut self.attachments[slot];
        let was_active = core::mem::replace(&mut attachment.active, false);
        was_active.then_some((attachment.channel(), attachment.granted))
    }

    pub(super) fn set_members_lost(&mut self, slot: AttachmentSlot) {
        self.attachments[slot].members_lost = true;
    }

    /// Whether members have left because others have taken this node for gone. It is told once.
    pub(super) fn take_members_lost(&mut self, slot: AttachmentSlot) -> bool {
        core::mem::take(&mut self.attachments[slot].members_lost)
    }

    fn pair_hash(&self, connection: ConnectionSlot, channel: ChannelSlot) -> u32 {
        fold(self.hasher.hash_one((connection, channel)))
    }
}

/// Hash of a transport. Consecutive numbers have adjacent places in the table, because hosts number
/// their transports in order: when many are lost at once, their entries share cache lines.
fn transport_hash(hasher: &FixedState, TransportId(number): TransportId) -> u32 {
    const RUN: u32 = 6;
    let run = fold(hasher.hash_one(number >> RUN)) << RUN;
    let place = (number & ((1 << RUN) - 1)) as u32;
    // The table distinguishes entries of a group by the highest bits.
    (run | place) ^ place << (u32::BITS - RUN)
}
