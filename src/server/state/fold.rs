//! The fold of a log: what every node knows alike, besides members and messages.

use super::ended::Ended;
use super::incarnations::{Incarnation, Incarnations};
use super::snapshot::Cut;
use super::stream::{self, Stream};
use super::{ChannelSlot, ConnectionSlot, State};
use crate::server::Entry;
use crate::server::record::{Adopt, Body, Gone, Origin};
use crate::{SmolStr, UnixMillis};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// What a log has told.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    pub(super) position: u64,
    /// Log time: the latest stamp of an entry.
    pub(super) time: UnixMillis,
    pub(super) incarnations: Incarnations,
    pub(super) ended: Ended,
    /// Number of the record being applied.
    pub(super) record: u64,
    /// Serials of frames that do not advance a channel. They are this node's own.
    pub(super) local: Stream,
    /// How long a channel is kept after its last message, in milliseconds of log time.
    ttl: i64,
    /// The channels with a message within that time, with the log time of a message.
    pub(super) recent: VecDeque<(UnixMillis, ChannelSlot)>,
    /// The lists of members of restored connections, until all members are restored.
    pub(super) lists: Vec<Lists>,
    /// The snapshot that is being written.
    pub(super) cut: Option<Cut>,
    /// Number of snapshots that were begun.
    pub(super) cuts: u32,
}

/// The slots of a restored connection's members, by channel.
pub(super) type Lists = (ConnectionSlot, Vec<(SmolStr, Vec<u32>)>);

/// Whether an entry counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Admission {
    /// The entry was applied before.
    Repeated,
    /// It is not the next entry of its run, or its run is fenced.
    Void,
    /// A run of a node has begun.
    Joined(Origin),
    /// Its records count.
    Step(Origin),
}

/// Why a connection is not adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct HasEnded;

impl Fold {
    pub(super) fn new(ttl: i64) -> Self {
        Self {
            position: 0,
            time: UnixMillis::default(),
            incarnations: Incarnations::default(),
            ended: Ended::default(),
            record: 0,
            local: Stream::new(0),
            ttl,
            recent: VecDeque::new(),
            lists: Vec::new(),
            cut: None,
            cuts: 0,
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        let local = self.local.clone();
        *self = Self { local, cuts: self.cuts, ..Self::new(self.ttl) };
    }

    /// The smallest serial of a message that a client may have missed and still ask about.
    pub(super) fn oldest_message(&self) -> u64 {
        stream::first_of(self.time.minus(self.ttl))
    }
}

impl State {
    /// The position of the last entry. 0 without a log.
    pub(in crate::server) fn position(&self) -> u64 {
        self.fold.as_ref().map_or(0, |fold| fold.position)
    }

    /// The runs of the nodes; `None` without a log.
    pub(in crate::server) fn incarnations(&self) -> Option<&Incarnations> {
        self.fold.as_ref().map(|fold| &fold.incarnations)
    }

    /// A run of a node.
    pub(in crate::server) fn incarnation(&self, number: u64) -> Option<&Incarnation> {
        self.incarnations()?.get(number)
    }

    /// Takes note of the next entry, and says whether it counts.
    pub(in crate::server) fn admit(&mut self, position: u64, entry: &Entry) -> Admission {
        let Some(fold) = &mut self.fold else { return Admission::Void };
        if position <= fold.position {
            return Admission::Repeated;
        }
        fold.position = position;
        fold.time = fold.time.max(entry.stamp);
        fold.ended.forget(fold.time);
        match &entry.body {
            Body::Join(join) => {
                let origin = Origin { position, incarnation: position, stamp: entry.stamp };
                if fold.incarnations.join(position, &entry.node, join.after, join.ttl) {
                    Admission::Joined(origin)
                } else {
                    Admission::Void
                }
            }
            Body::Step { incarnation, seq, .. } => {
                let origin = Origin { position, incarnation: *incarnation, stamp: entry.stamp };
                if fold.incarnations.advance(*incarnation, &entry.node, *seq) {
                    Admission::Step(origin)
                } else {
                    Admission::Void
                }
            }
        }
    }

    /// The next record of the entry begins.
    pub(in crate::server) fn next_record(&mut self) {
        if let Some(fold) = &mut self.fold {
            fold.record += 1;
        }
    }

    pub(in crate::server) fn leaving(&mut self, incarnation: u64) {
        if let Some(found) = self.incarnation_mut(incarnation) {
            found.set_leaving();
        }
    }

    /// Whether a connection has ended so recently that a client may still want to resume it.
    pub(in crate::server) fn has_ended(&self, connection: &str) -> bool {
        self.fold.as_ref().is_some_and(|fold| fold.ended.contains(connection))
    }

    /// Makes a run the owner of a connection, which is created if necessary. `None` if there is no
    /// room.
    pub(in crate::server) fn adopt(
        &mut self,
        origin: Origin,
        adopt: &Adopt,
    ) -> Result<Option<ConnectionSlot>, HasEnded> {
        if self.has_ended(&adopt.connection) {
            return Err(HasEnded);
        }
        let found = self.by_id(&adopt.connection);
        let Some(slot) = found.or_else(|| self.open_connection(adopt.connection.clone())) else {
            return Ok(None);
        };
        self.before_connection(slot);
        self.unlink(slot);
        let record = self.fold.as_ref().map_or(0, |fold| fold.record);
        let connection = &mut self.connections[slot];
        (connection.owner, connection.grace) = (origin.incarnation, adopt.grace);
        (connection.adopted_by, connection.spent) = (record, false);
        self.link(slot);
        self.forget_unused_incarnations();
        Ok(Some(slot))
    }

    /// A connection, if this run owns it.
    pub(in crate::server) fn owned(
        &self,
        connection: &str,
        incarnation: u64,
    ) -> Option<ConnectionSlot> {
        let slot = self.by_id(connection)?;
        (self.connections[slot].owner == incarnation).then_some(slot)
    }

    /// A node was silent: fences it. Returns whether the record counts: not if the node was heard
    /// since it was written.
    pub(in crate::server) fn gone(&mut self, gone: &Gone) -> bool {
        match self.incarnation_mut(gone.incarnation) {
            Some(found) if found.next_seq() == gone.next_seq => {
                found.fence();
                true
            }
            _ => false,
        }
    }

    /// The next connection of a run that was silent whose members have to leave.
    pub(in crate::server) fn next_gone(&self, gone: &Gone) -> Option<ConnectionSlot> {
        self.incarnation(gone.incarnation)?.first_within(gone.grace)
    }

    /// The next connection to end of a run that was silent for too long.
    pub(in crate::server) fn next_to_end(&self, gone: &Gone) -> Option<ConnectionSlot> {
        self.incarnation(gone.incarnation).filter(|_| gone.ends)?.first_spent()
    }

    /// Marks a connection as one whose grace period was over while its node was silent.
    pub(in crate::server) fn set_spent(&mut self, slot: ConnectionSlot) {
        self.before_connection(slot);
        self.unlink(slot);
        self.connections[slot].spent = true;
        self.link(slot);
    }

    /// Ends a connection without members: it can no longer be adopted. The key stays valid until
    /// [`close_connection`](Self::close_connection).
    pub(in crate::server) fn end_connection(&mut self, slot: ConnectionSlot) {
        self.before_connection(slot);
        let owner = self.connections[slot].owner;
        self.unlink(slot);
        let connection = &mut self.connections[slot];
        connection.owner = 0;
        let id = connection.id().clone();
        self.insert_ended(owner, id);
        self.forget_unused_incarnations();
    }

    /// Takes note of the end of a connection of which there is no other record.
    pub(in crate::server) fn remember_ended(&mut self, origin: Origin, connection: SmolStr) {
        self.insert_ended(origin.incarnation, connection);
    }

    fn insert_ended(&mut self, owner: u64, id: SmolStr) {
        let Some(fold) = &mut self.fold else { return };
        if let Some(ttl) = fold.incarnations.get(owner).map(Incarnation::ttl) {
            fold.ended.insert(id, fold.time.minus(-i64::from(ttl)));
        }
    }

    /// Forgets runs that are fenced and have no connections and no rows.
    pub(in crate::server) fn forget_unused_incarnations(&mut self) {
        if let Some(fold) = &mut self.fold {
            fold.incarnations.forget_unused();
        }
    }

    fn incarnation_mut(&mut self, number: u64) -> Option<&mut Incarnation> {
        self.fold.as_mut()?.incarnations.get_mut(number)
    }

    /// Removes a connection from the list of its owner.
    fn unlink(&mut self, slot: ConnectionSlot) {
        let connection = &self.connections[slot];
        let Some(fold) = &mut self.fold else { return };
        if let Some(found) = fold.incarnations.get_mut(connection.owner) {
            found.remove(connection);
        }
    }

    /// Adds a connection to the list of its owner.
    pub(super) fn link(&mut self, slot: ConnectionSlot) {
        let connection = &self.connections[slot];
        let Some(fold) = &mut self.fold else { return };
        if let Some(found) = fold.incarnations.get_mut(connection.owner) {
            found.add(connection, slot);
        }
    }

    /// Takes note that a channel has a message, for which it is kept.
    pub(super) fn keep_for_message(&mut self, channel: ChannelSlot) {
        let Some(fold) = &mut self.fold else { return };
        let entry = &mut self.channels[channel];
        entry.message_at = fold.time;
        if !core::mem::replace(&mut entry.is_recent, true) {
            fold.recent.push_back((fold.time, channel));
        }
    }

    /// A channel of a snapshot had a message at this log time.
    pub(super) fn restore_message_time(&mut self, channel: ChannelSlot, time: UnixMillis) {
        let entry = &mut self.channels[channel];
        (entry.message_at, entry.is_recent) = (time, true);
        if let Some(fold) = &mut self.fold {
            fold.recent.push_back((time, channel));
        }
    }

    /// The next channel whose last message is so old that it need not be kept for it.
    pub(in crate::server) fn next_outdated(&mut self) -> Option<ChannelSlot> {
        let fold = self.fold.as_mut()?;
        let due = fold.time.minus(fold.ttl);
        while fold.recent.front().is_some_and(|(at, _)| *at < due) {
            let (_, channel) = fold.recent.pop_front()?;
            let at = self.channels[channel].message_at;
            if at < due {
                self.before_channel(channel);
                self.channels[channel].is_recent = false;
                return Some(channel);
            }
            fold.recent.push_back((at, channel));
        }
        None
    }
}

impl State {
    /// The run of a node that owns a connection; 0 if none does.
    pub(in crate::server) fn owner(&self, connection: ConnectionSlot) -> u64 {
        self.connections[connection].owner
    }
}
