//! Removal of members by the server.

use super::{Change, ChannelSlot, ConnectionSlot, Kind, State, adjusted};
use crate::members::Slot;
use crate::server::{LeaveCause, Position};
use crate::{Now, SmolStr, UnixMillis};

/// A removal of members of one channel. They are removed one by one, within the budgets of several
/// calls if necessary.
#[derive(Clone, Debug)]
pub(in crate::server) struct Removal {
    channel: ChannelSlot,
    selection: Selection,
    cause: LeaveCause,
    /// The slot to continue from.
    from: u32,
}

/// A member that was removed.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Removed {
    pub(in crate::server) change: Change,
    /// The member's connection.
    pub(in crate::server) owner: ConnectionSlot,
    /// Number of leaves in the channel's batch.
    pub(in crate::server) waiting: usize,
    /// Whether more members may follow.
    pub(in crate::server) may_have_more: bool,
}

/// The members to remove.
#[derive(Clone, Debug)]
pub(in crate::server) enum Selection {
    /// Those of a connection.
    Connection(ConnectionSlot),
    /// Those of a client id.
    Client(SmolStr),
    /// The one of a client id and a connection id.
    Member(SmolStr, SmolStr),
    /// All.
    All,
    /// None: the host named an unknown connection.
    Nothing,
}

impl Removal {
    /// The members of a connection.
    pub(in crate::server) const fn of_connection(
        connection: ConnectionSlot,
        channel: ChannelSlot,
        cause: LeaveCause,
    ) -> Self {
        Self { channel, selection: Selection::Connection(connection), cause, from: 0 }
    }

    pub(in crate::server) const fn channel(&self) -> ChannelSlot {
        self.channel
    }

    /// The connection whose members are removed, if it is one.
    pub(in crate::server) const fn connection(&self) -> Option<ConnectionSlot> {
        match self.selection {
            Selection::Connection(connection) => Some(connection),
            _ => None,
        }
    }

    pub(in crate::server) const fn cause(&self) -> LeaveCause {
        self.cause
    }
}

impl State {
    /// Starts a removal by the host: of a client id, of a connection id, of both, or of all. Until
    /// [`end_kick`](Self::end_kick) no member enters. `None` if the channel does not exist.
    pub(in crate::server) fn begin_kick(
        &mut self,
        channel: &str,
        client_id: Option<SmolStr>,
        connection_id: Option<SmolStr>,
    ) -> Option<Removal> {
        let channel = self.by_name(channel)?;
        let selection = match (client_id, connection_id) {
            (Some(client_id), Some(connection_id)) => Selection::Member(client_id, connection_id),
            (Some(client_id), None) => Selection::Client(client_id),
            (None, Some(id)) => self.by_id(&id).map_or(Selection::Nothing, Selection::Connection),
            (None, None) => Selection::All,
        };
        self.channels[channel].kicks += 1;
        Some(Removal { channel, selection, cause: LeaveCause::Kicked, from: 0 })
    }

    /// Ends a removal by the host.
    pub(in crate::server) fn end_kick(&mut self, removal: &Removal) {
        let kicks = &mut self.channels[removal.channel].kicks;
        *kicks = kicks.saturating_sub(1);
    }

    /// Whether no member is left to remove.
    pub(in crate::server) fn is_done(&self, removal: &Removal) -> bool {
        self.next_to_remove(removal).is_none()
    }

    fn next_to_remove(&self, removal: &Removal) -> Option<Slot> {
        let members = self.channels[removal.channel].members();
        match &removal.selection {
            // The connection may have ended since.
            Selection::Connection(connection) => {
                self.connections.get(*connection)?.first_member(removal.channel)
            }
            Selection::Client(client_id) => members.first_of(client_id),
            Selection::Member(client_id, connection_id) => members.find(client_id, connection_id),
            Selection::All => members.next_from(removal.from).map(|(member, _)| member),
            Selection::Nothing => None,
        }
    }

    /// Removes the next member and synthesizes its leave: the last one in
    /// [`Channel::batch`](super::Channel::batch) until [`end_batch`](Self::end_batch). `None` if no
    /// member is left.
    pub(in crate::server) fn remove_next(
        &mut self,
        at: Now,
        removal: &mut Removal,
    ) -> Option<Removed> {
        let member = self.next_to_remove(removal)?;
        removal.from = member.number();
        let cause = removal.cause;
        let entry = &self.channels[removal.channel];
        let connection = entry.owner(member)?;
        if self.fold.is_some() {
            self.before_channel(removal.channel);
            self.before_connection(connection);
        }
        let entry = &mut self.channels[removal.channel];
        let owner = &mut self.connections[connection];
        let version = entry.members().get(member)?.version();
        let (bytes, history_bytes) = (entry.bytes(), entry.history().bytes());
        let first = owner.first_member(removal.channel);
        let mut new_first = first;
        let next = entry.next_owned(member);
        let mut message = entry.remove(member, &mut new_first)?;
        if new_first != first {
            owner.set_first_member(removal.channel, new_first);
        }
        if matches!(cause, LeaveCause::GraceEnded | LeaveCause::Kicked)
            && let Some((serial, _)) = version.sequence
        {
            // The client may not have the answer to the frame that set the member (RTN19a). If it
            // sends the frame again, the frame must not be acknowledged without effect.
            owner.serials.forget(serial);
        }
        // Later than the member, even if the wall clock stands still or steps back: at equal times
        // the incoming message wins (RTP2b1a), so that a late sync page would restore the member.
        let later = UnixMillis::from_millis(version.timestamp.as_millis().saturating_add(1));
        let timestamp = at.wall.max(later);
        message.timestamp = Some(timestamp);
        owner.last_leave_at = owner.last_leave_at.max(timestamp);
        owner.bytes = adjusted(owner.bytes, bytes, entry.bytes());
        let first_or_last = entry.members().is_empty();
        let rest = entry.members().len();
        let (stream, ids) = (&mut self.stream, &mut self.leave_ids);
        let record = self.fold.as_ref().map_or(0, |fold| fold.record);
        let batch = entry.start_batch(record, || stream.next(at.wall), |serial| ids.next(serial));
        let place = batch.leaves.len();
        if place == BURST {
            batch.leaves.reserve(rest.min(ROOM));
        }
        if self.leaves_need_ids {
            message.id = Some(batch.id_of(place));
        }
        let position = Position {
            serial: batch.serial,
            index: batch.first.saturating_add(u32::try_from(place).unwrap_or(u32::MAX)),
        };
        let kind = Kind::Left { cause, member, next };
        let others = self.history_bytes.saturating_sub(history_bytes);
        let starts_history = entry.record(&self.history, others, at.mono, position, &message, kind);
        entry.add_leave(message)?;
        self.members = self.members.saturating_sub(1);
        self.member_bytes = adjusted(self.member_bytes, bytes, entry.bytes());
        self.history_bytes = adjusted(self.history_bytes, history_bytes, entry.history().bytes());
        let may_have_more =
            new_first.is_some() || !matches!(removal.selection, Selection::Connection(_));
        let change = Change { kind, position, first_or_last, starts_history };
        Some(Removed { change, owner: connection, waiting: place + 1, may_have_more })
    }
}

/// From this number of leaves in a frame on, reserve room for the rest, up to a maximum.
const BURST: usize = 4;
const ROOM: usize = 200;
