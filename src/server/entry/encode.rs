//! Encoding of entries and records.

use super::Entry;
use super::format::{Fields, VERSION, cause_number, kind};
use super::write::Writer;
use crate::server::record::{
    Adopt, Body, Counts, Gone, Join, Kick, MessagesRecord, PresenceRecord, Record, Row,
};
use crate::wire::{Data, Message, PresenceMessage, Value};
use crate::{SmolStr, UnixMillis};

impl Writer<'_> {
    pub(super) fn entry(&mut self, Entry { node, stamp, body }: &Entry) {
        self.byte(VERSION);
        self.byte(match body {
            Body::Join(_) => kind::JOIN,
            Body::Step { .. } => kind::STEP,
        });
        self.text(node);
        self.int(stamp.as_millis());
        match body {
            Body::Join(Join { nonce, after, ttl }) => {
                self.uint(*nonce);
                self.uint(*after);
                self.uint((*ttl).into());
            }
            Body::Step { incarnation, seq, records } => {
                self.uint(*incarnation);
                self.uint(*seq);
                self.list(records, Self::record);
            }
        }
    }

    fn record(&mut self, record: &Record) {
        match record {
            Record::Leaving => self.byte(kind::LEAVING),
            Record::Adopt(Adopt { connection, grace }) => {
                self.byte(kind::ADOPT);
                self.text(connection);
                self.uint((*grace).into());
            }
            Record::Presence(PresenceRecord { connection_id, channel, msg_serial, items }) => {
                self.byte(kind::PRESENCE);
                self.text(connection_id);
                self.text(channel);
                self.int(*msg_serial);
                self.count(items.len());
                items.iter().for_each(|item| self.presence(item));
            }
            Record::GraceOver { connection } => {
                self.byte(kind::GRACE_OVER);
                self.text(connection);
            }
            Record::End { connection, cause } => {
                self.byte(kind::END);
                self.text(connection);
                self.byte(cause_number(*cause));
            }
            Record::Dismiss { connection, channel, cause } => {
                self.byte(kind::DISMISS);
                self.text(connection);
                self.text(channel);
                self.byte(cause_number(*cause));
            }
            Record::Kick(Kick { channel, client_id, connection_id }) => {
                self.byte(kind::KICK);
                self.text(channel);
                let fields =
                    has(client_id, Fields::CLIENT_ID) | has(connection_id, Fields::CONNECTION_ID);
                self.fields(fields);
                self.optional(client_id);
                self.optional(connection_id);
            }
            Record::Gone(Gone { incarnation, next_seq, grace, ends }) => {
                self.byte(kind::GONE);
                self.uint(*incarnation);
                self.uint(*next_seq);
                self.uint((*grace).into());
                self.byte((*ends).into());
            }
            Record::Messages(record) => {
                let MessagesRecord { connection_id, channel, msg_serial, messages } = record;
                self.byte(kind::MESSAGES);
                self.text(connection_id);
                self.text(channel);
                self.int(*msg_serial);
                self.list(messages, Self::message);
            }
            Record::Counts(Counts { channel, row }) => {
                self.byte(kind::COUNTS);
                self.text(channel);
                self.row(row);
            }
        }
    }

    pub(super) fn row(&mut self, row: &Row) {
        let Row {
            connections,
            publishers,
            subscribers,
            presence_connections,
            presence_subscribers,
        } = *row;
        for count in
            [connections, publishers, subscribers, presence_connections, presence_subscribers]
        {
            self.uint(count.into());
        }
    }

    #[inline]
    pub(super) fn presence(&mut self, item: &PresenceMessage) {
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
        let common = Common {
            id,
            client_id,
            connection_id,
            data: data.as_ref(),
            encoding,
            timestamp: *timestamp,
            extras: extras.as_deref(),
        };
        self.fields(common.fields());
        self.uint(action.number().into());
        self.common(common);
    }

    fn message(&mut self, message: &Message) {
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
        } = message;
        let common = Common {
            id,
            client_id,
            connection_id,
            data: data.as_ref(),
            encoding,
            timestamp: *timestamp,
            extras: extras.as_deref(),
        };
        let mut fields = common.fields() | has(name, Fields::NAME);
        fields.set(Fields::OTHER, !other.is_empty());
        self.fields(fields);
        self.common(common);
        self.optional(name);
        if !other.is_empty() {
            self.map(other);
        }
    }

    #[inline]
    fn common(&mut self, common: Common<'_>) {
        self.optional(common.client_id);
        match common.data {
            None => {}
            Some(Data::String(text)) => self.text(text),
            Some(Data::Binary(bytes)) => self.bytes(bytes),
            Some(Data::Json(value)) => self.value(value),
        }
        self.optional(common.encoding);
        self.optional(common.id);
        self.optional(common.connection_id);
        if let Some(timestamp) = common.timestamp {
            self.int(timestamp.as_millis());
        }
        if let Some(extras) = common.extras {
            self.value(extras);
        }
    }

    #[inline]
    fn fields(&mut self, fields: Fields) {
        self.uint(fields.bits().into());
    }

    #[inline]
    fn optional(&mut self, text: &Option<SmolStr>) {
        if let Some(text) = text {
            self.text(text);
        }
    }
}

/// The fields that presence messages and messages share.
struct Common<'a> {
    id: &'a Option<SmolStr>,
    client_id: &'a Option<SmolStr>,
    connection_id: &'a Option<SmolStr>,
    data: Option<&'a Data>,
    encoding: &'a Option<SmolStr>,
    timestamp: Option<UnixMillis>,
    extras: Option<&'a Value>,
}

impl Common<'_> {
    #[inline]
    fn fields(&self) -> Fields {
        let data = match self.data {
            None => Fields::empty(),
            Some(Data::String(_)) => Fields::STRING,
            Some(Data::Binary(_)) => Fields::BINARY,
            Some(Data::Json(_)) => Fields::JSON,
        };
        let mut fields = data
            | has(self.id, Fields::ID)
            | has(self.client_id, Fields::CLIENT_ID)
            | has(self.connection_id, Fields::CONNECTION_ID)
            | has(self.encoding, Fields::ENCODING);
        fields.set(Fields::TIMESTAMP, self.timestamp.is_some());
        fields.set(Fields::EXTRAS, self.extras.is_some());
        fields
    }
}

#[inline]
const fn has(text: &Option<SmolStr>, field: Fields) -> Fields {
    if text.is_some() { field } else { Fields::empty() }
}
