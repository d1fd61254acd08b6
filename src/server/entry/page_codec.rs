//! Encoding and decoding of pages.

use super::decode::ITEM_LEN;
use super::format::{ChannelFields, PAGE_VERSION, part};
use super::read::Reader;
use super::write::Writer;
use super::{
    ChannelPart, ConnectionPart, EntryError, EventPart, FoldPart, IncarnationPart, LogPosition,
    Part, SnapshotPage,
};
use crate::SmolStr;
use crate::server::Position;
use crate::wire::{PresenceAction, PresenceMessage};
use alloc::vec::Vec;

/// Bytes of short parts, and of short items of their lists. They bound the room that is made.
const PART_LEN: usize = 32;
const INCARNATION_LEN: usize = 8;
const ENDED_LEN: usize = 16;
const GAP_LEN: usize = 2;
const CHANNEL_LEN: usize = 8;
const ROW_LEN: usize = 6;

impl SnapshotPage {
    /// The page in its binary format.
    ///
    /// Values may be nested in values as deep as [`DecodeLimits`](crate::wire::DecodeLimits) allow
    /// at most, 100 levels: a page with a deeper one cannot be decoded.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        Writer(&mut out).page(self);
        out
    }

    /// Decodes one page. All bytes must belong to it.
    ///
    /// The result is equal to the page that was encoded. A length in the input is compared with the
    /// rest of the input before memory is allocated for it.
    ///
    /// # Errors
    ///
    /// [`NewerVersion`](EntryError::NewerVersion) and
    /// [`UnknownRecord`](EntryError::UnknownRecord): a newer version wrote it, and the node cannot
    /// start from this snapshot. Otherwise the page is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        Reader::new(bytes).page()
    }
}

impl Writer<'_> {
    fn page(&mut self, SnapshotPage { position, number, is_last, parts }: &SnapshotPage) {
        self.byte(PAGE_VERSION);
        self.uint(position.0);
        self.uint((*number).into());
        self.byte((*is_last).into());
        self.list(parts, Self::part);
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Fold(FoldPart { time, record, serial, incarnations }) => {
                self.byte(part::FOLD);
                self.int(time.as_millis());
                self.uint(*record);
                self.uint(*serial);
                self.list(incarnations, Self::incarnation);
            }
            Part::Ended(connections) => {
                self.byte(part::ENDED);
                self.list(connections, |out, (until, id)| {
                    out.int(until.as_millis());
                    out.text(id);
                });
            }
            Part::Connection(connection) => {
                self.byte(part::CONNECTION);
                self.connection(connection);
            }
            Part::Channel(channel) => {
                self.byte(part::CHANNEL);
                self.channel(channel);
            }
            Part::Members { channel, members } => {
                self.byte(part::MEMBERS);
                self.text(channel);
                self.members(members);
            }
            Part::Events { channel, events } => {
                self.byte(part::EVENTS);
                self.text(channel);
                self.list(events, Self::event);
            }
        }
    }

    fn incarnation(&mut self, incarnation: &IncarnationPart) {
        let IncarnationPart { number, node, next_seq, fenced, leaving, ttl } = incarnation;
        self.uint(*number);
        self.text(node);
        self.uint(*next_seq);
        self.byte((*fenced).into());
        self.byte((*leaving).into());
        self.uint((*ttl).into());
    }

    fn connection(&mut self, connection: &ConnectionPart) {
        let ConnectionPart {
            id,
            owner,
            grace,
            spent,
            adopted_by,
            last_leave_at,
            highest,
            gaps,
            members,
        } = connection;
        self.text(id);
        self.uint(*owner);
        self.uint((*grace).into());
        self.byte((*spent).into());
        self.uint(*adopted_by);
        self.int(last_leave_at.as_millis());
        self.int(*highest);
        self.list(gaps, |out, (first, last)| {
            out.int(*first);
            out.int(*last);
        });
        self.list(members, |out, (channel, slots)| {
            out.text(channel);
            out.list(slots, |out, slot| out.uint((*slot).into()));
        });
    }

    fn channel(&mut self, channel: &ChannelPart) {
        let ChannelPart { name, last, last_presence, last_message, message_at, last_dropped, rows } =
            channel;
        self.text(name);
        self.uint(*last);
        self.uint(*last_presence);
        self.uint(*last_message);
        let mut fields = ChannelFields::empty();
        fields.set(ChannelFields::MESSAGE_AT, message_at.is_some());
        fields.set(ChannelFields::LAST_DROPPED, last_dropped.is_some());
        fields.set(ChannelFields::ROWS, !rows.is_empty());
        self.uint(fields.bits().into());
        if let Some(at) = message_at {
            self.int(at.as_millis());
        }
        if let Some(position) = last_dropped {
            self.position(*position);
        }
        if !rows.is_empty() {
            self.list(rows, |out, (run, row)| {
                out.uint(*run);
                out.row(row);
            });
        }
    }

    /// A slot that does not ascend wraps around: then the page cannot be decoded.
    fn members(&mut self, members: &[(u32, PresenceMessage)]) {
        let mut next = 0;
        self.list(members, |out, (slot, member)| {
            out.uint(slot.wrapping_sub(next).into());
            next = slot.wrapping_add(1);
            out.presence(member);
        });
    }

    fn event(&mut self, EventPart { position, left, was_present, message }: &EventPart) {
        self.position(*position);
        self.uint(*left);
        self.byte((*was_present).into());
        self.presence(message);
    }

    fn position(&mut self, Position { serial, index }: Position) {
        self.uint(serial);
        self.uint(index.into());
    }
}

impl Reader<'_> {
    fn page(mut self) -> Result<SnapshotPage, EntryError> {
        self.version(PAGE_VERSION)?;
        let position = LogPosition(self.uint()?);
        let (number, is_last) = (self.u32()?, self.bool()?);
        let parts = self.list(PART_LEN, Self::part)?;
        self.end()?;
        Ok(SnapshotPage { position, number, is_last, parts })
    }

    fn part(&mut self) -> Result<Part, EntryError> {
        self.kind = self.byte()?;
        Ok(match self.kind {
            part::FOLD => Part::Fold(FoldPart {
                time: self.timestamp()?,
                record: self.uint()?,
                serial: self.uint()?,
                incarnations: self.list(INCARNATION_LEN, Self::incarnation)?,
            }),
            part::ENDED => {
                Part::Ended(self.list(ENDED_LEN, |read| Ok((read.timestamp()?, read.text()?)))?)
            }
            part::CONNECTION => Part::Connection(self.connection()?),
            part::CHANNEL => Part::Channel(self.channel()?),
            part::MEMBERS => Part::Members { channel: self.text()?, members: self.members()? },
            part::EVENTS => {
                Part::Events { channel: self.text()?, events: self.list(ITEM_LEN, Self::event)? }
            }
            _ => return Err(self.unknown()),
        })
    }

    fn incarnation(&mut self) -> Result<IncarnationPart, EntryError> {
        Ok(IncarnationPart {
            number: self.uint()?,
            node: self.text()?,
            next_seq: self.uint()?,
            fenced: self.bool()?,
            leaving: self.bool()?,
            ttl: self.u32()?,
        })
    }

    fn connection(&mut self) -> Result<ConnectionPart, EntryError> {
        Ok(ConnectionPart {
            id: self.text()?,
            owner: self.uint()?,
            grace: self.u32()?,
            spent: self.bool()?,
            adopted_by: self.uint()?,
            last_leave_at: self.timestamp()?,
            highest: self.int()?,
            gaps: self.list(GAP_LEN, |read| Ok((read.int()?, read.int()?)))?,
            members: self.list(CHANNEL_LEN, Self::slots)?,
        })
    }

    /// The slots of a connection's members in a channel.
    fn slots(&mut self) -> Result<(SmolStr, Vec<u32>), EntryError> {
        Ok((self.text()?, self.list(1, |read| read.slot(0))?))
    }

    fn channel(&mut self) -> Result<ChannelPart, EntryError> {
        let mut channel = ChannelPart {
            name: self.text()?,
            last: self.uint()?,
            last_presence: self.uint()?,
            last_message: self.uint()?,
            message_at: None,
            last_dropped: None,
            rows: Vec::new(),
        };
        let fields = u8::try_from(self.uint()?).ok().and_then(ChannelFields::from_bits);
        let Some(fields) = fields else { return Err(self.unknown()) };
        if fields.contains(ChannelFields::MESSAGE_AT) {
            channel.message_at = Some(self.timestamp()?);
        }
        if fields.contains(ChannelFields::LAST_DROPPED) {
            channel.last_dropped = Some(self.position()?);
        }
        if fields.contains(ChannelFields::ROWS) {
            channel.rows = self.list(ROW_LEN, |read| Ok((read.uint()?, read.row()?)))?;
        }
        Ok(channel)
    }

    fn members(&mut self) -> Result<Vec<(u32, PresenceMessage)>, EntryError> {
        let mut next = 0;
        self.list(ITEM_LEN, |read| {
            let slot = read.slot(next)?;
            next = slot + 1;
            Ok((slot, read.item()?))
        })
    }

    /// Reads how many slots after `first` a slot is. The last number that a `u32` has is none: the
    /// number of slots is a `u32`.
    fn slot(&mut self, first: u32) -> Result<u32, EntryError> {
        let slot = first.checked_add(self.u32()?).filter(|slot| *slot < u32::MAX);
        slot.ok_or_else(|| self.malformed())
    }

    fn event(&mut self) -> Result<EventPart, EntryError> {
        Ok(EventPart {
            position: self.position()?,
            left: self.uint()?,
            was_present: self.bool()?,
            message: self.item()?,
        })
    }

    fn position(&mut self) -> Result<Position, EntryError> {
        Ok(Position { serial: self.uint()?, index: self.u32()? })
    }

    fn item(&mut self) -> Result<PresenceMessage, EntryError> {
        let mut item = PresenceMessage::new(PresenceAction::Absent);
        self.presence(&mut item)?;
        Ok(item)
    }
}
