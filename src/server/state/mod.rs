//! The replicable state: member sets, histories, and the accepted message serials of each
//! connection.
//!
//! A member set changes in two ways only: by [`State::apply`] for a client's frame, and by
//! [`State::remove_next`] for a removal. Both read no clock, options or transport:
//! the same records in the same order give the same sets.

mod apply;
mod channel;
mod connection;
mod ended;
mod fold;
mod history;
mod incarnations;
mod leave_ids;
mod parts;
mod removal;
mod rows;
mod serials;
mod snapshot;
mod stream;

pub(super) use apply::{Applied, Change, Kind};
pub(super) use channel::{Batch, Channel};
pub(super) use connection::Connection;
pub(super) use fold::Admission;
pub(super) use history::{History, check_limit};
pub(super) use incarnations::{Incarnation, Incarnations};
pub(super) use removal::{Removal, Removed};
pub(super) use stream::{format_serial, parse_serial, sync_serial};

use super::HistoryOptions;
use crate::lookup::{Lookup, fold};
use crate::members::{MemberPage, Slot};
use crate::slab::Arena;
use crate::{Instant, Now, SmolStr};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use fold::Fold;
use foldhash::fast::FixedState;
use leave_ids::LeaveIds;
use stream::Stream;

crate::slab::keys! {
    /// Key of a channel, in every part of the server.
    pub(super) struct ChannelSlot;
    /// Key of a connection, in every part of the server.
    pub(super) struct ConnectionSlot;
}

/// Member sets, histories and positions of all channels.
#[derive(Clone, Debug)]
pub(super) struct State {
    channels: Arena<ChannelSlot, Channel>,
    names: Lookup<ChannelSlot>,
    connections: Arena<ConnectionSlot, Connection>,
    ids: Lookup<ConnectionSlot>,
    hasher: FixedState,
    stream: Stream,
    leave_ids: LeaveIds,
    /// What the log has told; `None` without a log.
    fold: Option<Box<Fold>>,
    history: HistoryOptions,
    /// Whether synthesized leaves are kept by the history or the host. If not, they need no ids.
    leaves_need_ids: bool,
    /// Sums over all channels.
    members: usize,
    member_bytes: usize,
    history_bytes: usize,
}

impl State {
    /// `node` and `epoch` are the prefix of the ids of synthesized leaves. Serials are greater than
    /// `first`. `events`: whether the host receives events.
    pub(super) fn new(
        history: HistoryOptions,
        events: bool,
        node: &str,
        epoch: u64,
        first: u64,
        hash_seed: u64,
    ) -> Self {
        Self {
            channels: Arena::new(),
            names: Lookup::new(),
            connections: Arena::new(),
            ids: Lookup::new(),
            hasher: FixedState::with_seed(hash_seed),
            stream: Stream::new(first),
            leave_ids: LeaveIds::new(node, epoch),
            fold: None,
            leaves_need_ids: events || history.is_enabled(),
            history,
            members: 0,
            member_bytes: 0,
            history_bytes: 0,
        }
    }

    /// Follows a log from its beginning on. `ttl`: how long a channel is kept after its last message,
    /// in milliseconds.
    pub(super) fn follow_log(&mut self, ttl: i64) {
        self.fold = Some(Box::new(Fold::new(ttl)));
        self.leave_ids = LeaveIds::of_log();
    }

    /// Forgets everything that follows from the log. Connections that `keep` accepts stay, without
    /// members. Returns the channels, which are empty.
    pub(super) fn reset(&mut self, keep: impl Fn(ConnectionSlot) -> bool) -> Vec<ChannelSlot> {
        let connections: Vec<_> = self.connections.iter().map(|(slot, _)| slot).collect();
        for slot in connections {
            let connection = &mut self.connections[slot];
            let id = connection.id().clone();
            *connection = Connection::new(id);
            if !keep(slot) {
                self.close_connection(slot);
            }
        }
        let channels = self.channel_slots();
        for slot in &channels {
            self.channels[*slot].clear();
        }
        (self.members, self.member_bytes, self.history_bytes) = (0, 0, 0);
        self.stream = Stream::new(0);
        if let Some(fold) = &mut self.fold {
            fold.clear();
        }
        channels
    }

    /// Replaces the seed of the hash tables, which must be empty.
    pub(super) fn set_hash_seed(&mut self, seed: u64) {
        self.hasher = FixedState::with_seed(seed);
    }

    /// How often a dangling key was used.
    pub(super) fn dangling(&self) -> usize {
        self.channels.dangling() + self.connections.dangling()
    }

    pub(super) const fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Members of all channels.
    pub(super) const fn members(&self) -> usize {
        self.members
    }

    /// Bytes of the members of all channels.
    pub(super) const fn member_bytes(&self) -> usize {
        self.member_bytes
    }

    /// Estimated bytes of the histories of all channels.
    pub(super) const fn history_bytes(&self) -> usize {
        self.history_bytes
    }

    /// The keys of all channels.
    pub(super) fn channel_slots(&self) -> Vec<ChannelSlot> {
        self.channels.iter().map(|(slot, _)| slot).collect()
    }

    pub(super) fn by_name(&self, name: &str) -> Option<ChannelSlot> {
        let hash = fold(self.hasher.hash_one(name));
        self.names.find(hash, |slot| self.channels[slot].name() == name)
    }

    #[inline]
    pub(super) fn channel(&self, slot: ChannelSlot) -> &Channel {
        &self.channels[slot]
    }

    /// A channel, unless it was closed.
    pub(super) fn try_channel(&self, slot: ChannelSlot) -> Option<&Channel> {
        self.channels.get(slot)
    }

    /// Adds a channel. `seed` is for the hash tables of its members. `None` if there are no free
    /// slots.
    pub(super) fn open_channel(
        &mut self,
        at: Now,
        name: &SmolStr,
        seed: u64,
    ) -> Option<ChannelSlot> {
        let (serial, last_message) = match &self.fold {
            None => {
                let serial = self.stream.next(at.wall);
                (serial, serial)
            }
            // Other nodes may have the channel already. Its serials must not fall behind theirs, and
            // opening it is no event.
            Some(fold) => (self.stream.last(), fold.oldest_message()),
        };
        let mut channel = Channel::new(name.clone(), serial, last_message, seed);
        channel.snapshot = self.new_in_snapshot();
        let slot = self.channels.insert(channel)?;
        self.names.insert(fold(self.hasher.hash_one(name.as_str())), slot);
        Some(slot)
    }

    /// Removes an unused channel.
    pub(super) fn close_channel(&mut self, slot: ChannelSlot) {
        let channel = self.channels.remove(slot);
        self.names.remove(fold(self.hasher.hash_one(channel.name().as_str())), slot);
    }

    pub(super) fn by_id(&self, id: &str) -> Option<ConnectionSlot> {
        let hash = fold(self.hasher.hash_one(id));
        self.ids.find(hash, |slot| self.connections[slot].id() == id)
    }

    #[inline]
    pub(super) fn connection(&self, slot: ConnectionSlot) -> &Connection {
        &self.connections[slot]
    }

    /// Adds a connection; its id must be new. `None` if there are no free slots.
    pub(super) fn open_connection(&mut self, id: SmolStr) -> Option<ConnectionSlot> {
        let hash = fold(self.hasher.hash_one(id.as_str()));
        let mut connection = Connection::new(id);
        connection.snapshot = self.new_in_snapshot();
        let slot = self.connections.insert(connection)?;
        self.ids.insert(hash, slot);
        Some(slot)
    }

    /// Removes a connection, which must have no members.
    pub(super) fn close_connection(&mut self, slot: ConnectionSlot) {
        let connection = self.connections.remove(slot);
        debug_assert!(!connection.has_members(), "{} has members", connection.id());
        self.ids.remove(fold(self.hasher.hash_one(connection.id().as_str())), slot);
    }

    /// Records the message serial of an accepted frame that changes no member set.
    pub(super) fn accept(&mut self, connection: ConnectionSlot, msg_serial: i64) {
        self.before_connection(connection);
        self.connections[connection].serials.insert(msg_serial);
    }

    /// Whether a connection must not have this id, because ids of synthesized leaves begin with it
    /// (RTP2b1).
    pub(super) fn is_reserved(&self, id: &str) -> bool {
        self.leave_ids.have_prefix(id)
    }

    /// A serial for a frame that does not advance a channel, such as a sync.
    pub(super) fn next_serial(&mut self, at: Now) -> u64 {
        match &mut self.fold {
            None => self.stream.next(at.wall),
            Some(fold) => fold.local.next(at.wall),
        }
    }

    /// The last channel serial.
    pub(super) const fn last_serial(&self) -> u64 {
        self.stream.last()
    }

    /// The `channelSerial` of a client that has everything of a channel until now. With a log it is
    /// that of the last change of any channel: a node that does not have the channel yet starts from
    /// there, and no client may see its serial go back.
    pub(super) fn serial_of(&self, channel: ChannelSlot) -> u64 {
        match &self.fold {
            None => self.channels[channel].last(),
            Some(_) => self.stream.last(),
        }
    }

    /// A serial for messages. It advances their channel, if that exists.
    pub(super) fn next_message(&mut self, at: Now, channel: Option<ChannelSlot>) -> u64 {
        let serial = self.stream.next(at.wall);
        if let Some(channel) = channel {
            self.before_channel(channel);
            self.channels[channel].set_last_message(serial);
            self.keep_for_message(channel);
        }
        serial
    }

    /// Drops expired events from a history, within the budget.
    pub(super) fn expire_history(
        &mut self,
        channel: ChannelSlot,
        now: Instant,
        budget: &mut usize,
    ) {
        let history = self.channels[channel].history_mut();
        let before = history.bytes();
        history.expire(now, budget);
        let after = history.bytes();
        self.history_bytes = adjusted(self.history_bytes, before, after);
    }

    /// A page of members from a slot on, while `fits` accepts the bytes of each; and the start of
    /// the next page. The members are shared, not copied.
    pub(super) fn page(
        &mut self,
        channel: ChannelSlot,
        from: u32,
        fits: impl FnMut(Option<usize>) -> bool,
    ) -> (MemberPage, Option<Slot>) {
        self.channels[channel].page(from, fits)
    }

    /// The first of a connection's members on a channel. [`Channel::owned_from`] continues the
    /// list.
    pub(super) fn first_member(
        &self,
        connection: ConnectionSlot,
        channel: ChannelSlot,
    ) -> Option<Slot> {
        self.connections[connection].first_member(channel)
    }

    /// Takes the synthesized leaves of a channel, if any.
    pub(super) fn end_batch(&mut self, channel: ChannelSlot) -> Option<Batch> {
        self.channels[channel].end_batch()
    }
}

/// A sum after one of its parts has changed.
pub(super) const fn adjusted(sum: usize, before: usize, after: usize) -> usize {
    sum.saturating_add(after).saturating_sub(before)
}
