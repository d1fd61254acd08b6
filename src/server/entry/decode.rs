//! Decoding of entries and records.

use super::format::{Fields, VERSION, cause, kind};
use super::read::Reader;
use super::{Entry, EntryError};
use crate::server::LeaveCause;
use crate::server::record::{
    Adopt, Body, Counts, Gone, Join, Kick, MessagesRecord, PresenceRecord, Record, Row,
};
use crate::wire::{Data, Items, Message, PresenceAction, PresenceMessage, Value};
use crate::{SmolStr, UnixMillis};
use alloc::{boxed::Box, sync::Arc};

/// Bytes of short records, presence messages and messages. They bound the room that is made.
const RECORD_LEN: usize = 32;
pub(super) const ITEM_LEN: usize = 16;

impl Reader<'_> {
    pub(super) fn entry(mut self) -> Result<Entry, EntryError> {
        self.version(VERSION)?;
        self.kind = self.byte()?;
        if !matches!(self.kind, kind::JOIN | kind::STEP) {
            return Err(self.unknown());
        }
        let is_join = self.kind == kind::JOIN;
        let node = self.text()?;
        let stamp = self.timestamp()?;
        let body = if is_join {
            Body::Join(Join { nonce: self.uint()?, after: self.uint()?, ttl: self.u32()? })
        } else {
            let (incarnation, seq) = (self.uint()?, self.uint()?);
            let records = self.list(RECORD_LEN, Self::record)?;
            Body::Step { incarnation, seq, records }
        };
        self.end()?;
        Ok(Entry { node, stamp, body })
    }

    #[inline]
    fn record(&mut self) -> Result<Record, EntryError> {
        self.kind = self.byte()?;
        Ok(match self.kind {
            kind::LEAVING => Record::Leaving,
            kind::ADOPT => Record::Adopt(Adopt { connection: self.text()?, grace: self.u32()? }),
            kind::PRESENCE => {
                let (connection_id, channel) = (self.text()?, self.text()?);
                let msg_serial = self.int()?;
                let (count, room) = self.count(ITEM_LEN)?;
                let mut items = Items::new();
                items.reserve(room);
                for _ in 0..count {
                    let mut item = PresenceMessage::new(PresenceAction::Absent);
                    self.presence(&mut item)?;
                    items.push(item);
                }
                Record::Presence(PresenceRecord { connection_id, channel, msg_serial, items })
            }
            kind::GRACE_OVER => Record::GraceOver { connection: self.text()? },
            kind::END => Record::End { connection: self.text()?, cause: self.cause()? },
            kind::DISMISS => Record::Dismiss {
                connection: self.text()?,
                channel: self.text()?,
                cause: self.cause()?,
            },
            kind::KICK => {
                let mut kick = Kick { channel: self.text()?, client_id: None, connection_id: None };
                let fields = self.fields(Fields::KICK)?;
                self.optional(fields, Fields::CLIENT_ID, &mut kick.client_id)?;
                self.optional(fields, Fields::CONNECTION_ID, &mut kick.connection_id)?;
                Record::Kick(kick)
            }
            kind::GONE => Record::Gone(Gone {
                incarnation: self.uint()?,
                next_seq: self.uint()?,
                grace: self.u32()?,
                ends: self.bool()?,
            }),
            kind::MESSAGES => {
                let (connection_id, channel) = (self.text()?, self.text()?);
                let msg_serial = self.int()?;
                let messages = self.list(ITEM_LEN, Self::message)?;
                let record = MessagesRecord { connection_id, channel, msg_serial, messages };
                Record::Messages(record)
            }
            kind::COUNTS => Record::Counts(Counts { channel: self.text()?, row: self.row()? }),
            // Of entries, not of records.
            kind::JOIN | kind::STEP => return Err(self.malformed()),
            _ => return Err(self.unknown()),
        })
    }

    pub(super) fn row(&mut self) -> Result<Row, EntryError> {
        Ok(Row {
            connections: self.u32()?,
            publishers: self.u32()?,
            subscribers: self.u32()?,
            presence_connections: self.u32()?,
            presence_subscribers: self.u32()?,
        })
    }

    #[inline]
    pub(super) fn presence(&mut self, item: &mut PresenceMessage) -> Result<(), EntryError> {
        let fields = self.fields(Fields::PRESENCE)?;
        let PresenceMessage {
            action,
            id,
            client_id,
            connection_id,
            data,
            encoding,
            timestamp,
            extras,
        } = item;
        *action = PresenceAction::from_number(self.u32()?);
        let common = Common { id, client_id, connection_id, data, encoding, timestamp, extras };
        self.common(fields, common)
    }

    fn message(&mut self) -> Result<Message, EntryError> {
        let fields = self.fields(Fields::MESSAGE)?;
        let mut message = Message::default();
        let Message {
            id,
            name,
            client_id,
            connection_id,
            data,
            encoding,
            timestamp,
            extras,
            other,
        } = &mut message;
        let common = Common { id, client_id, connection_id, data, encoding, timestamp, extras };
        self.common(fields, common)?;
        self.optional(fields, Fields::NAME, name)?;
        if fields.contains(Fields::OTHER) {
            *other = self.map(0)?;
        }
        Ok(message)
    }

    #[inline]
    fn common(&mut self, fields: Fields, into: Common<'_>) -> Result<(), EntryError> {
        self.optional(fields, Fields::CLIENT_ID, into.client_id)?;
        match fields & (Fields::STRING | Fields::BINARY | Fields::JSON) {
            Fields::STRING => self.text_to(|text| *into.data = Some(Data::String(text)))?,
            Fields::BINARY => *into.data = Some(Data::Binary(self.bytes()?.into())),
            Fields::JSON => *into.data = Some(Data::Json(Arc::new(self.value(0)?))),
            none if none.is_empty() => {}
            _ => return Err(self.malformed()),
        }
        self.optional(fields, Fields::ENCODING, into.encoding)?;
        self.optional(fields, Fields::ID, into.id)?;
        self.optional(fields, Fields::CONNECTION_ID, into.connection_id)?;
        if fields.contains(Fields::TIMESTAMP) {
            *into.timestamp = Some(self.timestamp()?);
        }
        if fields.contains(Fields::EXTRAS) {
            *into.extras = Some(Box::new(self.value(0)?));
        }
        Ok(())
    }

    #[inline]
    fn fields(&mut self, allowed: Fields) -> Result<Fields, EntryError> {
        let bits = u16::try_from(self.uint()?).map_err(|_| self.unknown())?;
        let fields = Fields::from_bits_retain(bits);
        if allowed.contains(fields) { Ok(fields) } else { Err(self.unknown()) }
    }

    #[inline]
    fn optional(
        &mut self,
        fields: Fields,
        field: Fields,
        into: &mut Option<SmolStr>,
    ) -> Result<(), EntryError> {
        if fields.contains(field) { self.text_to(|text| *into = Some(text)) } else { Ok(()) }
    }

    #[inline]
    pub(super) fn timestamp(&mut self) -> Result<UnixMillis, EntryError> {
        self.int().map(UnixMillis::from_millis)
    }

    fn cause(&mut self) -> Result<LeaveCause, EntryError> {
        cause(self.byte()?).ok_or_else(|| self.unknown())
    }
}

/// The fields that presence messages and messages share.
struct Common<'a> {
    id: &'a mut Option<SmolStr>,
    client_id: &'a mut Option<SmolStr>,
    connection_id: &'a mut Option<SmolStr>,
    data: &'a mut Option<Data>,
    encoding: &'a mut Option<SmolStr>,
    timestamp: &'a mut Option<UnixMillis>,
    extras: &'a mut Option<Box<Value>>,
}
