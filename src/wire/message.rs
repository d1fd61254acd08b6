//! The frame that everything travels in (TR), and the messages that pass through.

use super::{
    Action, AuthDetails, ConnectionDetails, Data, ErrorInfo, Flags, Items, Map, PresenceMessage,
    Value, text,
};
use crate::{SmolStr, UnixMillis};
use alloc::{boxed::Box, vec::Vec};
use smol_str::SmolStrBuilder;

/// Channel parameters (TB2c, RTL4k): names and values, in the order in which they came.
pub type Params = Vec<(SmolStr, SmolStr)>;

/// One frame in either direction (TR4). Fields that do not belong to its action are ignored.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProtocolMessage {
    /// What the frame is about (TR4a).
    pub action: Action,
    /// Id of the frame, from which those of its items follow (TR4n); of a HEARTBEAT, what ties an
    /// answer to its ping (RTN13e).
    pub id: Option<SmolStr>,
    /// Credentials (TR4p).
    pub auth: Option<Box<AuthDetails>>,
    /// The channel concerned; `None` (also for an empty name) is the connection (TR4b).
    pub channel: Option<SmolStr>,
    /// Position in the channel's stream (TR4c), or `sequence:cursor` of a sync page (RTP18).
    pub channel_serial: Option<SmolStr>,
    /// The connection that this is about or comes from (TR4d).
    pub connection_id: Option<SmolStr>,
    /// Details of the connection (TR4o).
    pub connection_details: Option<Box<ConnectionDetails>>,
    /// How many message serials an ACK or NACK covers; 1 if absent (TR4g).
    pub count: Option<u32>,
    /// What went wrong (TR4h).
    pub error: Option<Box<ErrorInfo>>,
    /// Flags (TR4i).
    pub flags: Option<Flags>,
    /// Serial of a message that wants an acknowledgement, or the first that is acknowledged (TR4j).
    pub msg_serial: Option<i64>,
    /// Presence events or members (TR4l). `None` and empty mean the same.
    pub presence: Items<PresenceMessage>,
    /// Messages (TR4k). `None` and empty mean the same.
    pub messages: Vec<Message>,
    /// Annotations: passed through.
    pub annotations: Option<Box<Value>>,
    /// Shared objects: passed through (TR4r).
    pub state: Option<Box<Value>>,
    /// When; stands in for a timestamp that an item lacks (TR4m).
    pub timestamp: Option<UnixMillis>,
    /// Channel parameters (TR4q).
    pub params: Option<Params>,
    /// Results of published messages, in ACK: passed through (TR4s).
    pub res: Option<Box<Value>>,
}

impl ProtocolMessage {
    /// A frame with an action and nothing else.
    #[must_use]
    pub const fn new(action: Action) -> Self {
        Self {
            action,
            id: None,
            auth: None,
            channel: None,
            channel_serial: None,
            connection_id: None,
            connection_details: None,
            count: None,
            error: None,
            flags: None,
            msg_serial: None,
            presence: Items::new(),
            messages: Vec::new(),
            annotations: None,
            state: None,
            timestamp: None,
            params: None,
            res: None,
        }
    }

    /// A frame about a channel, with nothing else.
    #[must_use]
    pub fn on_channel(action: Action, channel: impl Into<SmolStr>) -> Self {
        Self { channel: Some(channel.into()), ..Self::new(action) }
    }

    /// ACK of `count` message serials from `msg_serial` on (RTN7a).
    #[must_use]
    pub const fn ack(msg_serial: i64, count: u32) -> Self {
        let mut frame = Self::new(Action::Ack);
        frame.msg_serial = Some(msg_serial);
        frame.count = Some(count);
        frame
    }

    /// NACK of `count` message serials from `msg_serial` on, with the reason (RTN7a).
    #[must_use]
    pub fn nack(msg_serial: i64, count: u32, error: ErrorInfo) -> Self {
        Self {
            msg_serial: Some(msg_serial),
            count: Some(count),
            error: Some(Box::new(error)),
            ..Self::new(Action::Nack)
        }
    }

    /// ERROR of the connection (RTN15j). That of a channel is this with a channel (RTL14).
    #[must_use]
    pub fn error(error: ErrorInfo) -> Self {
        Self { error: Some(Box::new(error)), ..Self::new(Action::Error) }
    }

    /// PRESENCE with these items (TR4l).
    #[must_use]
    pub fn presence(channel: impl Into<SmolStr>, items: impl Into<Items<PresenceMessage>>) -> Self {
        Self { presence: items.into(), ..Self::on_channel(Action::Presence, channel) }
    }

    /// The same frame with an error.
    #[must_use]
    pub fn with_error(mut self, error: ErrorInfo) -> Self {
        self.error = Some(Box::new(error));
        self
    }

    /// The flags; none if the field is absent.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.flags.unwrap_or_default()
    }

    /// Gives each presence message and each message what it lacks and the frame has: the id
    /// `<frame id>:<index>`, the connection id and the timestamp (TP3a, TP3d, TP3g, TM2a, TM2c,
    /// TM2f).
    pub fn inherit(&mut self) {
        let Self { id, connection_id, timestamp, presence, messages, .. } = self;
        let mut from = Inherited {
            frame_id: id.as_ref(),
            index: 0,
            connection_id: connection_id.as_ref(),
            timestamp: *timestamp,
        };
        for (index, item) in presence.iter_mut().enumerate() {
            from.index = index;
            from.complete(item);
        }
        for (index, item) in messages.iter_mut().enumerate() {
            from.index = index;
            from.fill(&mut item.id, &mut item.connection_id, &mut item.timestamp);
        }
    }
}

/// The id of an item that has none, from that of its frame (TP3a, TM2a).
#[inline]
pub(crate) fn inherited_id(frame: &str, index: usize) -> SmolStr {
    let mut text = SmolStrBuilder::new();
    text.push_str(frame);
    // Most frames have one item.
    if index == 0 {
        text.push_str(":0");
    } else {
        text.push(':');
        text.push_str(itoa::Buffer::new().format(index));
    }
    text.finish()
}

/// What an item has from its frame, where it lacks it (TP3a, TP3d, TP3g, TM2a, TM2c, TM2f).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inherited<'a> {
    pub(crate) frame_id: Option<&'a SmolStr>,
    /// The place of the item in the frame.
    pub(crate) index: usize,
    pub(crate) connection_id: Option<&'a SmolStr>,
    pub(crate) timestamp: Option<UnixMillis>,
}

impl Inherited<'_> {
    /// Writes it into a presence message.
    pub(crate) fn complete(&self, item: &mut PresenceMessage) {
        self.fill(&mut item.id, &mut item.connection_id, &mut item.timestamp);
    }

    fn fill(
        &self,
        id: &mut Option<SmolStr>,
        connection_id: &mut Option<SmolStr>,
        timestamp: &mut Option<UnixMillis>,
    ) {
        if let (None, Some(frame_id)) = (&id, self.frame_id) {
            *id = Some(inherited_id(frame_id, self.index));
        }
        if let (None, Some(own)) = (&connection_id, self.connection_id) {
            *connection_id = Some(own.clone());
        }
        if timestamp.is_none() {
            *timestamp = self.timestamp;
        }
    }
}

/// One message (TM), as far as a presence server must look at it; everything else passes through.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// Unique id (TM2a).
    pub id: Option<SmolStr>,
    /// Event name (TM2g).
    pub name: Option<SmolStr>,
    /// Who published it (TM2b).
    pub client_id: Option<SmolStr>,
    /// On which connection (TM2c).
    pub connection_id: Option<SmolStr>,
    /// The payload (TM2d).
    pub data: Option<Data>,
    /// The encodings that `data` is in (TM2e).
    pub encoding: Option<SmolStr>,
    /// When (TM2f).
    pub timestamp: Option<UnixMillis>,
    /// An object that passes through (TM2i).
    pub extras: Option<Box<Value>>,
    /// Every other field, as it came.
    pub other: Map,
}

impl Message {
    /// The size that counts towards the largest message, in bytes: name, client id, data and
    /// extras (TM6).
    #[must_use]
    pub fn size(&self) -> usize {
        let name = self.name.as_ref().map_or(0, |text| text.len());
        let client_id = self.client_id.as_ref().map_or(0, |text| text.len());
        let data = self.data.as_ref().map_or(0, Data::size);
        let extras = self.extras.as_deref().map_or(0, text::len);
        name.saturating_add(client_id).saturating_add(data).saturating_add(extras)
    }
}
