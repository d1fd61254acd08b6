//! Members are removed: by the authority, not by a frame of their client.

use super::{Change, ChannelSlot, ConnectionSlot, Kind, State, adjusted};
use crate::members::Slot;
use crate::server::{LeaveCause, Position};
use crate::{Now, SmolStr, UnixMillis};

/// Members of a channel that have to leave. They can be more than one call may remove, so they are
/// removed one by one.
#[derive(Clone, Debug)]
pub(in crate::server) struct Removal {
    channel: ChannelSlot,
    selection: Selection,
    cause: LeaveCause,
    /// The slot to go on from.
    from: u32,
}

/// Which members.
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
    /// None: the connection is not known.
    Nothing,
}

impl Removal {
    /// The members of a connection leave.
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

    pub(in crate::server) const fn cause(&self) -> LeaveCause {
        self.cause
    }
}

impl State {
    /// The host removes members of a channel: of a client id, of a connection id, of both, or all.
    /// Until [`end_kick`](Self::end_kick) nobody enters. `None` if the channel is not known.
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

    /// All members that the host named have left.
    pub(in crate::server) fn end_kick(&mut self, removal: &Removal) {
        let kicks = &mut self.channels[removal.channel].kicks;
        *kicks = kicks.saturating_sub(1);
    }

    /// Whether nobody is left to be removed.
    pub(in crate::server) fn is_done(&self, removal: &Removal) -> bool {
        self.next_to_remove(removal).is_none()
    }

    fn next_to_remove(&self, removal: &Removal) -> Option<Slot> {
        let members = self.channels[removal.channel].members();
        match &removal.selection {
            // It may have ended since.
            Selection::Connection(connection) => {
                self.connections.get(*connection)?.first_member(removal.channel)
            }
            Selection::Client(client_id) => members.first_of(client_id),
            Selection::Member(client_id, connection_id) => members.find(client_id, connection_id),
            Selection::All => members.next_from(removal.from).map(|(member, _)| member),
            Selection::Nothing => None,
        }
    }

    /// Removes the next member, and makes up its leave. Until [`end_batch`](Self::end_batch) it is the
    /// last of [`Channel::batch`](super::Channel::batch), with an id if anybody keeps it.
    /// Tells the connection too, and whether others may follow. `None` if nobody is left.
    pub(in crate::server) fn remove_next(
        &mut self,
        at: Now,
        removal: &mut Removal,
    ) -> Option<(Change, ConnectionSlot, bool)> {
        let member = self.next_to_remove(removal)?;
        removal.from = member.number();
        let cause = removal.cause;
        let entry = &mut self.channels[removal.channel];
        let connection = entry.owner(member)?;
        let owner = &mut self.connections[connection];
        let version = entry.members().get(member)?.version();
        let (bytes, history_bytes) = (entry.bytes(), entry.history().bytes());
        let first = owner.first_member(removal.channel);
        let mut now_first = first;
        let next = entry.next_owned(member);
        let mut message = entry.remove(member, &mut now_first)?;
        if now_first != first {
            owner.set_first_member(removal.channel, now_first);
        }
        if matches!(cause, LeaveCause::GraceEnded | LeaveCause::Kicked)
            && let Some((serial, _)) = version.sequence
        {
            // The client may never have had the answer to the frame that set the member (RTN19a).
            // When it retries it, it must not be told that all is well while the member is gone.
            owner.serials.forget(serial);
        }
        // Later than what it ends, though the wall clock stand still or have been set back: at a tie
        // the incoming message wins (RTP2b1a), so that a page of a sync which is late would bring
        // the member back.
        let later = UnixMillis::from_millis(version.timestamp.as_millis().saturating_add(1));
        let timestamp = at.wall.max(later);
        message.timestamp = Some(timestamp);
        owner.last_leave_at = owner.last_leave_at.max(timestamp);
        owner.bytes = adjusted(owner.bytes, bytes, entry.bytes());
        let first_or_last = entry.members().is_empty();
        let rest = entry.members().len();
        let (stream, ids) = (&mut self.stream, &mut self.leave_ids);
        let batch = entry.start_batch(|| (stream.next(at.wall), ids.next()));
        let place = batch.leaves.len();
        if place == BURST {
            batch.leaves.reserve(rest.min(ROOM));
        }
        if self.leaves_need_ids {
            message.id = Some(batch.id_of(place));
        }
        let position =
            Position { serial: batch.serial, index: u32::try_from(place).unwrap_or(u32::MAX) };
        let kind = Kind::Left { cause, member, next };
        let others = self.history_bytes.saturating_sub(history_bytes);
        let starts_history = entry.record(&self.history, others, at.mono, position, &message, kind);
        entry.add_leave(message);
        self.members = self.members.saturating_sub(1);
        self.member_bytes = adjusted(self.member_bytes, bytes, entry.bytes());
        self.history_bytes = adjusted(self.history_bytes, history_bytes, entry.history().bytes());
        let may_have_more =
            now_first.is_some() || !matches!(removal.selection, Selection::Connection(_));
        Some((Change { kind, position, first_or_last, starts_history }, connection, may_have_more))
    }
}

/// Leaves in one frame from which on room is made for those that may follow, and for how many.
const BURST: usize = 4;
const ROOM: usize = 200;
