//! Changes of a member set by a client's frame.

use super::channel::Channel;
use super::connection::Connection;
use super::stream::Stream;
use super::{ChannelSlot, ConnectionSlot, State, adjusted};
use crate::members::{Slot, Version};
use crate::server::record::PresenceRecord;
use crate::server::{HistoryOptions, LeaveCause, Position};
use crate::wire::{PresenceAction, PresenceMessage};
use crate::{Now, SmolStr};
use smallvec::SmallVec;
use smol_str::SmolStrBuilder;

/// A change of a member set. Its message is kept separately.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Change {
    pub(in crate::server) kind: Kind,
    pub(in crate::server) position: Position,
    /// Whether the channel became occupied or vacant.
    pub(in crate::server) first_or_last: bool,
    /// Whether it is now the only event in the channel's history.
    pub(in crate::server) starts_history: bool,
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Kind {
    /// A new member.
    Entered,
    /// New data of a member.
    Updated,
    /// A removed member.
    Left {
        /// The cause.
        cause: LeaveCause,
        /// Its slot, and the next member in the list of its connection.
        member: Slot,
        next: Option<Slot>,
    },
}

impl Kind {
    pub(in crate::server) const fn was_present(self) -> bool {
        !matches!(self, Self::Entered)
    }
}

/// The result of applying a frame.
#[derive(Clone, Debug)]
pub(in crate::server) struct Applied {
    pub(in crate::server) channel: ChannelSlot,
    pub(in crate::server) connection: ConnectionSlot,
    /// The serial of the changes; `None` if there are none.
    pub(in crate::server) serial: Option<u64>,
    /// The changes. Each with the index of its item in the client's frame, if the item's id derives
    /// from it (TP3a).
    pub(in crate::server) changes: SmallVec<[(Change, Option<usize>); 1]>,
    /// Items that entered a present member with an unchanged id (RTP17g).
    pub(in crate::server) reentries: u64,
    /// A broken invariant. Its item was dropped.
    pub(in crate::server) broken: Option<&'static str>,
}

impl State {
    /// Applies a client's frame. Completes the items that change the set, and drops the others.
    ///
    /// Two rules make repetition harmless. In a frame with an accepted message serial, an item
    /// applies only if it is newer than the present member. And an enter of a present member with
    /// an id that it had before changes nothing (RTP17g). Ids are not recorded: a removed member
    /// can enter again even by an accepted frame, if the item names the member's last message.
    pub(in crate::server) fn apply(
        &mut self,
        at: Now,
        channel: ChannelSlot,
        slot: ConnectionSlot,
        record: &mut PresenceRecord,
    ) -> Applied {
        if self.fold.is_some() {
            self.before_channel(channel);
            self.before_connection(slot);
        }
        let entry = &mut self.channels[channel];
        let connection = &mut self.connections[slot];
        let (members, bytes) = (entry.members().len(), entry.bytes());
        let history_bytes = entry.history().bytes();
        let first = connection.first_member(channel);
        let mut step = Step {
            at,
            slot,
            msg_serial: record.msg_serial,
            repeated: connection.accepted(record.msg_serial),
            index: 0,
            first,
            stream: &mut self.stream,
            history: &self.history,
            others: self.history_bytes.saturating_sub(history_bytes),
            applied: Applied {
                channel,
                connection: slot,
                serial: None,
                changes: SmallVec::new(),
                reentries: 0,
                broken: None,
            },
        };
        record.items.retain(|item| step.item(entry, connection, item).is_some());
        let (new_first, applied) = (step.first, step.applied);
        if new_first != first {
            connection.set_first_member(channel, new_first);
        }
        connection.serials.insert(record.msg_serial);
        connection.bytes = adjusted(connection.bytes, bytes, entry.bytes());
        self.members = adjusted(self.members, members, entry.members().len());
        self.member_bytes = adjusted(self.member_bytes, bytes, entry.bytes());
        self.history_bytes = adjusted(self.history_bytes, history_bytes, entry.history().bytes());
        applied
    }
}

/// The state while a frame is applied.
struct Step<'a> {
    at: Now,
    slot: ConnectionSlot,
    msg_serial: i64,
    /// Whether the message serial was accepted before (RTN19a).
    repeated: bool,
    /// Index of the next item in the client's frame.
    index: usize,
    /// The first of the connection's members on the channel.
    first: Option<Slot>,
    stream: &'a mut Stream,
    history: &'a HistoryOptions,
    /// Bytes of the histories of other channels.
    others: usize,
    applied: Applied,
}

impl Step<'_> {
    /// Applies one item, and completes it. `None` if it changes nothing.
    fn item(
        &mut self,
        channel: &mut Channel,
        connection: &mut Connection,
        item: &mut PresenceMessage,
    ) -> Option<()> {
        let index = self.index;
        self.index += 1;
        let Some(client_id) = &item.client_id else {
            return self.broken("a checked item has a client id");
        };
        let stamp = self.at.wall;
        let own = (self.msg_serial, i64::try_from(index).unwrap_or(i64::MAX));
        // A re-entry names the message that it repeats (RTP17g). Ignore an id of another
        // connection, or one not of an earlier frame.
        let named = item.id.as_deref().and_then(|id| {
            let version = Version::new(Some(id), connection.id(), stamp);
            version.sequence.filter(|(serial, _)| *serial < self.msg_serial)
        });
        let incoming = Version { sequence: named.or(Some(own)), timestamp: stamp };
        let place = channel.locate(client_id, connection.id());
        let stored = place.ok().and_then(|slot| channel.members().get(slot));
        if let Some(stored) = stored
            && !incoming.is_newer_than(&stored.version())
        {
            self.applied.reentries += u64::from(!self.repeated);
            return None;
        }
        // Only the serial of a removed member's last event is forgotten. A re-entry with that id
        // keeps it. A re-entry with an older id gets a new one: a subscriber that missed the leave
        // would take the older id for outdated (RTP2b2).
        let forgotten = named.filter(|(serial, _)| !connection.accepted(*serial));
        let enters = stored.is_none();
        if enters
            && (item.action == PresenceAction::Leave || (self.repeated && forgotten.is_none()))
        {
            // RTP10d: a leave without a member is no error. A repeated frame must not restore a
            // removed member.
            return None;
        }
        let kept = if enters { forgotten } else { named };
        if let Some((serial, _)) = kept {
            // It is accepted again.
            connection.serials.insert(serial);
        }
        let sequence = kept.unwrap_or(own);
        item.id = Some(message_id(connection.id(), sequence));
        item.connection_id = Some(connection.id().clone());
        item.timestamp = Some(if enters { stamp.max(connection.last_leave_at) } else { stamp });
        let kind = match place {
            Ok(member) if item.action == PresenceAction::Leave => {
                let next = channel.next_owned(member);
                let Some(last) = channel.remove(member, &mut self.first) else {
                    return self.broken("a located member is present and has an owner");
                };
                carry_over(item, last);
                Kind::Left { cause: LeaveCause::Left, member, next }
            }
            place => {
                if channel.upsert(place, self.slot, &mut self.first, item).is_none() {
                    return self.broken("a located member is present, a new one has room");
                }
                if enters { Kind::Entered } else { Kind::Updated }
            }
        };
        let members = channel.members().len();
        let first_or_last = match kind {
            Kind::Entered => members == 1,
            Kind::Updated => false,
            Kind::Left { .. } => members == 0,
        };
        let position = self.next_position(channel);
        let (history, now) = (self.history, self.at.mono);
        let starts_history = channel.record(history, self.others, now, position, item, kind);
        let change = Change { kind, position, first_or_last, starts_history };
        self.applied.changes.push((change, (sequence == own).then_some(index)));
        Some(())
    }

    #[cold]
    fn broken(&mut self, invariant: &'static str) -> Option<()> {
        self.applied.broken = Some(invariant);
        None
    }

    /// The position of the next change. The first change creates the serial.
    fn next_position(&mut self, channel: &mut Channel) -> Position {
        let serial = match self.applied.serial {
            Some(serial) => serial,
            None => {
                let serial = self.stream.next(self.at.wall);
                channel.set_last_presence(serial);
                *self.applied.serial.insert(serial)
            }
        };
        Position { serial, index: u32::try_from(self.applied.changes.len()).unwrap_or(u32::MAX) }
    }
}

/// RTP8e: a leave without data carries the last data.
fn carry_over(leave: &mut PresenceMessage, last: PresenceMessage) {
    if leave.data.is_none() {
        leave.data = last.data;
        leave.encoding = last.encoding;
    }
    if leave.extras.is_none() {
        leave.extras = last.extras;
    }
}

fn message_id(connection_id: &str, (msg_serial, index): (i64, i64)) -> SmolStr {
    let mut id = SmolStrBuilder::new();
    id.push_str(connection_id);
    id.push(':');
    id.push_str(itoa::Buffer::new().format(msg_serial));
    id.push(':');
    id.push_str(itoa::Buffer::new().format(index));
    id.finish()
}
