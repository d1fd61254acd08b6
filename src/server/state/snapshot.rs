//! Writing a snapshot while the server works.
//!
//! A snapshot shows the state at one position. What changes before it was written is written first:
//! each channel and connection has the number of the last snapshot that has it.

use super::parts::to_part;
use super::{ChannelSlot, ConnectionSlot, State};
use crate::Instant;
use crate::SmolStr;
use crate::members::SharedMembers;
use crate::server::entry::{ChannelPart, EventPart, LogPosition, Part, SnapshotPage};
use crate::server::output::Position;
use crate::slab::Key;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Members or events in one part.
const PART: usize = 256;
/// Estimated bytes of a connection, a member, a row or an event, apart from their data.
const OVERHEAD: usize = 48;

/// The snapshot that is being written.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    /// Its number among those of this node.
    number: u32,
    position: u64,
    /// The last channel serial at its position.
    serial: u64,
    stage: Stage,
    pages: u32,
    /// The page that is being written, and its estimated bytes.
    parts: Vec<Part>,
    bytes: usize,
    /// Members of channels that have changed since.
    changed: VecDeque<Changed>,
}

/// What is written next.
#[derive(Clone, Debug)]
enum Stage {
    /// Connections from a slot number on.
    Connections(u32),
    /// Channels from a slot number on.
    Channels(u32),
    /// Members of a channel from a slot number on.
    Members(ChannelSlot, u32),
    /// Events of channels from a slot number and a position on.
    Events(u32, Position),
    Done,
}

/// Members of a channel at the position of the snapshot.
#[derive(Clone, Debug)]
struct Changed {
    channel: SmolStr,
    members: SharedMembers,
    from: u32,
}

impl State {
    /// Begins a snapshot, unless one is being written. Returns whether it did.
    pub(in crate::server) fn begin_snapshot(&mut self) -> bool {
        let (Some(fold_part), Some(fold)) = (self.fold_part(), &mut self.fold) else {
            return false;
        };
        if fold.cut.is_some() {
            return false;
        }
        fold.cuts = fold.cuts.wrapping_add(1).max(1);
        let ended = fold.ended.iter().cloned().collect();
        fold.cut = Some(Cut {
            number: fold.cuts,
            position: fold.position,
            serial: fold_part.serial,
            stage: Stage::Connections(0),
            pages: 0,
            bytes: OVERHEAD,
            parts: alloc::vec![Part::Fold(fold_part), Part::Ended(ended)],
            changed: VecDeque::new(),
        });
        true
    }

    /// Whether a snapshot is being written.
    pub(in crate::server) fn is_writing_snapshot(&self) -> bool {
        self.fold.as_ref().is_some_and(|fold| fold.cut.is_some())
    }

    /// Writes the next page of a snapshot: until it has `bytes`, or `budget` members, connections
    /// and channels. `None` if the page is not full yet.
    pub(in crate::server) fn write_snapshot(
        &mut self,
        now: Instant,
        bytes: usize,
        budget: usize,
    ) -> Option<SnapshotPage> {
        let mut budget = budget;
        while budget > 0 {
            let cut = self.fold.as_mut()?.cut.as_mut()?;
            if cut.bytes >= bytes || (matches!(cut.stage, Stage::Done) && cut.changed.is_empty()) {
                break;
            }
            if let Some(changed) = cut.changed.pop_front() {
                self.write_changed(changed, &mut budget);
            } else {
                self.write_stage(now, &mut budget);
            }
        }
        let fold = self.fold.as_mut()?;
        let cut = fold.cut.as_mut()?;
        let is_last = matches!(cut.stage, Stage::Done) && cut.changed.is_empty();
        if cut.bytes < bytes && !is_last {
            return None;
        }
        let page = SnapshotPage {
            position: LogPosition(cut.position),
            number: cut.pages,
            is_last,
            parts: core::mem::take(&mut cut.parts),
        };
        (cut.pages, cut.bytes) = (cut.pages + 1, 0);
        if is_last {
            fold.cut = None;
        }
        Some(page)
    }

    fn write_stage(&mut self, now: Instant, budget: &mut usize) {
        let Some(cut) = self.cut() else { return };
        let (stage, number, serial) = (cut.stage.clone(), cut.number, cut.serial);
        *budget = budget.saturating_sub(1);
        let next = match stage {
            Stage::Connections(from) => match self.connections.next_from(from) {
                Some((slot, _)) => {
                    self.before_connection(slot);
                    Stage::Connections(slot.number().saturating_add(1))
                }
                None => Stage::Channels(0),
            },
            Stage::Channels(from) => match self.channels.next_from(from) {
                Some((slot, channel)) if channel.snapshot != number && channel.is_shared() => {
                    let part = channel.part();
                    self.channels[slot].snapshot = number;
                    self.add_channel(part);
                    Stage::Members(slot, 0)
                }
                Some((slot, _)) => Stage::Channels(slot.number().saturating_add(1)),
                None => Stage::Events(0, Position::default()),
            },
            Stage::Members(slot, from) => {
                let channel = &self.channels[slot];
                let members: Vec<_> =
                    channel.members().iter_from(from).take(PART).map(to_part).collect();
                let next = members.last().map(|(slot, _)| slot + 1);
                let name = channel.name().clone();
                self.add_members(name, members, budget);
                match next {
                    Some(next) => Stage::Members(slot, next),
                    None => Stage::Channels(slot.number().saturating_add(1)),
                }
            }
            Stage::Events(from, position) => match self.channels.next_from(from) {
                Some((slot, channel)) => {
                    let events = channel.history().parts(now, position, serial);
                    let events: Vec<_> = events.take(PART).collect();
                    let last = events.last().filter(|_| events.len() == PART);
                    let next = match last.map(|event| event.position) {
                        Some(Position { serial, index }) => {
                            let index = index.saturating_add(1);
                            Stage::Events(slot.number(), Position { serial, index })
                        }
                        None => Stage::Events(slot.number().saturating_add(1), Position::default()),
                    };
                    self.add_events(slot, number, events, budget);
                    next
                }
                None => Stage::Done,
            },
            Stage::Done => Stage::Done,
        };
        if let Some(cut) = self.cut() {
            cut.stage = next;
        }
    }

    /// Writes members of a channel that has changed since.
    fn write_changed(&mut self, mut changed: Changed, budget: &mut usize) {
        let members: Vec<_> =
            changed.members.iter_from(changed.from).take(PART).map(to_part).collect();
        let next = members.last().map(|(slot, _)| slot + 1);
        self.add_members(changed.channel.clone(), members, budget);
        if let (Some(next), Some(cut)) = (next, self.cut()) {
            changed.from = next;
            cut.changed.push_front(changed);
        }
    }

    fn add_members(
        &mut self,
        channel: SmolStr,
        members: Vec<(u32, crate::wire::PresenceMessage)>,
        budget: &mut usize,
    ) {
        if members.is_empty() {
            return;
        }
        *budget = budget.saturating_sub(members.len());
        let bytes = members.iter().map(|(_, message)| message.size() + OVERHEAD).sum();
        self.add_part(Part::Members { channel, members }, bytes);
    }

    fn add_events(
        &mut self,
        slot: ChannelSlot,
        number: u32,
        events: Vec<EventPart>,
        budget: &mut usize,
    ) {
        if events.is_empty() {
            return;
        }
        let entry = &mut self.channels[slot];
        let channel = entry.name().clone();
        if core::mem::replace(&mut entry.snapshot, number) != number {
            // It has no members, no rows and no message.
            let part = entry.part();
            self.add_channel(part);
        }
        *budget = budget.saturating_sub(events.len());
        let bytes = events.iter().map(|event| event.message.size() + 2 * OVERHEAD).sum();
        self.add_part(Part::Events { channel, events }, bytes);
    }

    fn add_channel(&mut self, part: ChannelPart) {
        let bytes = OVERHEAD * (1 + part.rows.len());
        self.add_part(Part::Channel(part), bytes);
    }

    fn add_part(&mut self, part: Part, bytes: usize) {
        if let Some(cut) = self.cut() {
            cut.parts.push(part);
            cut.bytes = cut.bytes.saturating_add(bytes);
        }
    }

    fn cut(&mut self) -> Option<&mut Cut> {
        self.fold.as_mut()?.cut.as_mut()
    }

    /// A connection is about to change: writes it to the snapshot, if that does not have it.
    pub(super) fn before_connection(&mut self, slot: ConnectionSlot) {
        let Some(number) = self.cut().map(|cut| cut.number) else { return };
        let connection = &mut self.connections[slot];
        if core::mem::replace(&mut connection.snapshot, number) == number || connection.owner == 0 {
            return;
        }
        let part = self.connection_part(slot);
        let slots: usize = part.members.iter().map(|(name, slots)| name.len() + slots.len()).sum();
        self.add_part(Part::Connection(part), OVERHEAD + 4 * slots);
    }

    /// A channel is about to change: writes it to the snapshot, if that does not have it. Its members
    /// are written later, from a copy.
    pub(super) fn before_channel(&mut self, slot: ChannelSlot) {
        let Some(cut) = self.cut() else { return };
        let number = cut.number;
        let rest = match &cut.stage {
            Stage::Members(current, from) if *current == slot => Some(*from),
            _ => None,
        };
        let entry = &mut self.channels[slot];
        let is_new = core::mem::replace(&mut entry.snapshot, number) != number;
        // Its events follow, even if it has no members.
        let has_part = entry.is_shared() || !entry.history().is_empty();
        if !(rest.is_some() || (is_new && has_part)) {
            return;
        }
        let changed = Changed {
            channel: entry.name().clone(),
            members: entry.share_members(),
            from: rest.unwrap_or(0),
        };
        let part = is_new.then(|| entry.part());
        if let Some(part) = part {
            self.add_channel(part);
        }
        if let Some(cut) = self.cut() {
            cut.changed.push_back(changed);
            if rest.is_some() {
                cut.stage = Stage::Channels(slot.number().saturating_add(1));
            }
        }
    }

    /// A new channel or connection is not in the snapshot.
    pub(super) fn new_in_snapshot(&self) -> u32 {
        self.fold.as_ref().and_then(|fold| fold.cut.as_ref()).map_or(0, |cut| cut.number)
    }
}
