//! The state of a connection that does not depend on a transport: accepted message serials and
//! members.

use super::ChannelSlot;
use super::serials::AcceptedSerials;
use crate::members::Slot;
use crate::{SmolStr, UnixMillis};
use smallvec::SmallVec;

/// A connection.
#[derive(Clone, Debug)]
pub(in crate::server) struct Connection {
    id: SmolStr,
    /// Bytes of its members on all channels.
    pub(super) bytes: usize,
    /// Latest timestamp of a leave synthesized for one of its members. A later enter is not stamped
    /// earlier, even if the wall clock steps back: clients compare the two by time (RTP2b1).
    pub(super) last_leave_at: UnixMillis,
    pub(super) serials: AcceptedSerials,
    /// The channels on which it has members, and the first member on each.
    members: SmallVec<[(ChannelSlot, Slot); 1]>,
    /// The run of a node that owns it; 0 without a log, or if the log does not know it.
    pub(super) owner: u64,
    /// The grace period of its members, in milliseconds, as the log knows it.
    pub(super) grace: u32,
    /// Whether its grace period was over while its node was silent.
    pub(super) spent: bool,
    /// The record with which its owner adopted it. It orders the connections of an owner.
    pub(super) adopted_by: u64,
    /// The last snapshot that has it, or need not.
    pub(super) snapshot: u32,
}

impl Default for Connection {
    fn default() -> Self {
        Self::new(SmolStr::default())
    }
}

impl Connection {
    pub(super) fn new(id: SmolStr) -> Self {
        Self {
            id,
            bytes: 0,
            last_leave_at: UnixMillis::from_millis(i64::MIN),
            serials: AcceptedSerials::default(),
            members: SmallVec::new(),
            owner: 0,
            grace: 0,
            spent: false,
            adopted_by: 0,
            snapshot: 0,
        }
    }

    pub(in crate::server) const fn id(&self) -> &SmolStr {
        &self.id
    }

    /// Bytes of its members on all channels.
    pub(in crate::server) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The grace period of its members, in milliseconds, as the log knows it.
    pub(in crate::server) const fn grace(&self) -> u32 {
        self.grace
    }

    /// Whether a frame with this message serial was accepted (RTN19a).
    pub(in crate::server) fn accepted(&self, msg_serial: i64) -> bool {
        self.serials.contains(msg_serial)
    }

    pub(in crate::server) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// The channels on which it has members, and the first member on each.
    pub(super) fn firsts(&self) -> &[(ChannelSlot, Slot)] {
        &self.members
    }

    /// The channels on which it has members.
    pub(in crate::server) fn channels(&self) -> impl Iterator<Item = ChannelSlot> {
        self.members.iter().map(|(channel, _)| *channel)
    }

    /// The first of its members on a channel.
    pub(super) fn first_member(&self, channel: ChannelSlot) -> Option<Slot> {
        let found = self.members.iter().find(|(key, _)| *key == channel);
        found.map(|(_, first)| *first)
    }

    /// Sets the first of its members on a channel; `None` if there are none.
    pub(super) fn set_first_member(&mut self, channel: ChannelSlot, first: Option<Slot>) {
        let place = self.members.iter().position(|(key, _)| *key == channel);
        match (place, first) {
            (Some(place), Some(first)) => {
                if let Some(entry) = self.members.get_mut(place) {
                    entry.1 = first;
                }
            }
            (Some(place), None) => {
                self.members.swap_remove(place);
                if self.members.is_empty() && self.members.spilled() {
                    self.members = SmallVec::new();
                }
            }
            (None, Some(first)) => self.members.push((channel, first)),
            (None, None) => {}
        }
    }
}
