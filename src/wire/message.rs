//! Frames (TR) and messages (TM).

use super::{
    Action, AuthDetails, ConnectionDetails, Data, ErrorInfo, Flags, Items, Map, PresenceMessage,
    Value, text,
};
use crate::{SmolStr, UnixMillis};
use alloc::{boxed::Box, vec::Vec};
use smol_str::SmolStrBuilder;

/// Channel or connection parameters (TB2c, RTL4k, RTN2): names and values, in order.
pub type Params = Vec<(SmolStr, SmolStr)>;

/// A frame, in either direction (TR4). Fields that do not belong to its action are ignored.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProtocolMessage {
    /// The action (TR4a).
    pub action: Action,
    /// The id of the frame. Items inherit `<id>:<index>` (TR4n). In HEARTBEAT, the id of a ping and
    /// its answer (RTN13e).
    pub id: Option<SmolStr>,
    /// Credentials (TR4p).
    pub auth: Option<Box<AuthDetails>>,
    /// The channel; `None` (also for an empty name) for frames of the connection (TR4b).
    pub channel: Option<SmolStr>,
    /// The position in the channel's stream (TR4c), or `sequence:cursor` of a sync page (RTP18).
    pub channel_serial: Option<SmolStr>,
    /// The connection id: of the connection itself, or of the publisher of the items (TR4d).
    pub connection_id: Option<SmolStr>,
    /// Details of the connection (TR4o).
    pub connection_details: Option<Box<ConnectionDetails>>,
    /// The number of message serials covered by an ACK or NACK; 1 if absent (TR4g).
    pub count: Option<u32>,
    /// The error (TR4h).
    pub error: Option<Box<ErrorInfo>>,
    /// The flags (TR4i).
    pub flags: Option<Flags>,
    /// The serial of a message that requires an acknowledgement, or the first serial covered by an
    /// ACK or NACK (TR4j).
    pub msg_serial: Option<i64>,
    /// Presence events or members (TR4l). `None` and empty mean the same.
    pub presence: Items<PresenceMessage>,
    /// Messages (TR4k). `None` and empty mean the same.
    pub messages: Vec<Message>,
    /// Annotations. Passed through.
    pub annotations: Option<Box<Value>>,
    /// Shared objects (TR4r). Passed through.
    pub state: Option<Box<Value>>,
    /// The timestamp, inherited by items without one (TR4m).
    pub timestamp: Option<UnixMillis>,
    /// Channel parameters (TR4q).
    pub params: Option<Params>,
    /// The results of published messages, in ACK (TR4s). Passed through.
    pub res: Option<Box<Value>>,
}

impl ProtocolMessage {
    /// A frame with only an action.
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

    /// A frame with only an action and a channel.
    #[must_use]
    pub fn on_channel(action: Action, channel: impl Into<SmolStr>) -> Self {
        Self { channel: Some(channel.into()), ..Self::new(action) }
    }

    /// An ACK of `count` message serials from `msg_serial` on (RTN7a).
    #[must_use]
    pub const fn ack(msg_serial: i64, count: u32) -> Self {
        let mut frame = Self::new(Action::Ack);
        frame.msg_serial = Some(msg_serial);
        frame.count = Some(count);
        frame
    }

    /// A NACK of `count` message serials from `msg_serial` on (RTN7a).
    #[must_use]
    pub fn nack(msg_serial: i64, count: u32, error: ErrorInfo) -> Self {
        Self {
            msg_serial: Some(msg_serial),
            count: Some(count),
            error: Some(Box::new(error)),
            ..Self::new(Action::Nack)
        }
    }

    /// An ERROR of the connection (RTN15j). Set `channel` for an ERROR of a channel (RTL14).
    #[must_use]
    pub fn error(error: ErrorInfo) -> Self {
        Self { error: Some(Box::new(error)), ..Self::new(Action::Error) }
    }

    /// A PRESENCE with these items (TR4l).
    #[must_use]
    pub fn presence(channel: impl Into<SmolStr>, items: impl Into<Items<PresenceMessage>>) -> Self {
        Self { presence: items.into(), ..Self::on_channel(Action::Presence, channel) }
    }

    /// Sets the error.
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

    /// Sets absent fields of presence messages and messages from the frame: the id
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

/// The id of an item inherited from its frame: `<frame id>:<index>` (TP3a, TM2a).
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

/// The fields that an item inherits from its frame (TP3a, TP3d, TP3g, TM2a, TM2c, TM2f).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inherited<'a> {
    pub(crate) frame_id: Option<&'a SmolStr>,
    /// The index of the item in the frame.
    pub(crate) index: usize,
    pub(crate) connection_id: Option<&'a SmolStr>,
    pub(crate) timestamp: Option<UnixMillis>,
}

impl Inherited<'_> {
    /// Sets the absent fields of a presence message.
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

/// A message (TM). Fields that a presence server does not use are in `other` and pass through.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// The unique id (TM2a).
    pub id: Option<SmolStr>,
    /// The event name (TM2g).
    pub name: Option<SmolStr>,
    /// The client id of the publisher (TM2b).
    pub client_id: Option<SmolStr>,
    /// The connection id of the publisher (TM2c).
    pub connection_id: Option<SmolStr>,
    /// The payload (TM2d).
    pub data: Option<Data>,
    /// The encodings of `data`, the last one outermost (TM2e).
    pub encoding: Option<SmolStr>,
    /// The timestamp (TM2f).
    pub timestamp: Option<UnixMillis>,
    /// Extras, an object (TM2i). Passed through.
    pub extras: Option<Box<Value>>,
    /// All other fields. Passed through.
    pub other: Map,
}

impl Message {
    /// The size in bytes, for the limit of the message size: name, client id, data and extras (TM6).
    #[must_use]
    pub fn size(&self) -> usize {
        let name = self.name.as_ref().map_or(0, |text| text.len());
        let client_id = self.client_id.as_ref().map_or(0, |text| text.len());
        let data = self.data.as_ref().map_or(0, Data::size);
        let extras = self.extras.as_deref().map_or(0, text::len);
        name.saturating_add(client_id).saturating_add(data).saturating_add(extras)
    }
}
