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
        }
    }

    pub(in crate::server) const fn id(&self) -> &SmolStr {
        &self.id
    }

    /// Bytes of its members on all channels.
    pub(in crate::server) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a frame with this message serial was accepted (RTN19a).
    pub(in crate::server) fn accepted(&self, msg_serial: i64) -> bool {
        self.serials.contains(msg_serial)
    }

    pub(in crate::server) fn has_members(&self) -> bool {
        !self.members.is_empty()
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
