//! Presence messages (TP).

use super::{Data, PresenceAction, Value, text};
use crate::{SmolStr, UnixMillis};
use alloc::boxed::Box;

/// A presence message: an event, or a member of a set (TP3).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PresenceMessage {
    /// The action (TP3b).
    pub action: PresenceAction,
    /// The unique id, usually `connectionId:msgSerial:index`. Inherited from the frame if absent
    /// (TP3a).
    pub id: Option<SmolStr>,
    /// The client id of the member (TP3c).
    pub client_id: Option<SmolStr>,
    /// The connection id of the member. Inherited from the frame if absent (TP3d).
    pub connection_id: Option<SmolStr>,
    /// The data of the member (TP3e).
    pub data: Option<Data>,
    /// The remaining encodings of `data`, the last one outermost (TP3f, RSL6). `None` if decoded.
    pub encoding: Option<SmolStr>,
    /// The timestamp. Inherited from the frame if absent (TP3g).
    pub timestamp: Option<UnixMillis>,
    /// Extras, an object (TP3i). Passed through.
    pub extras: Option<Box<Value>>,
}

impl PresenceMessage {
    /// A presence message with only an action.
    #[must_use]
    pub const fn new(action: PresenceAction) -> Self {
        Self {
            action,
            id: None,
            client_id: None,
            connection_id: None,
            data: None,
            encoding: None,
            timestamp: None,
            extras: None,
        }
    }

    /// Takes all fields except the action, which is copied.
    pub(crate) const fn take(&mut self) -> Self {
        Self {
            action: self.action,
            id: self.id.take(),
            client_id: self.client_id.take(),
            connection_id: self.connection_id.take(),
            data: self.data.take(),
            encoding: self.encoding.take(),
            timestamp: self.timestamp.take(),
            extras: self.extras.take(),
        }
    }

    /// Sets the client id.
    #[must_use]
    pub fn with_client_id(mut self, client_id: impl Into<SmolStr>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// Sets the data.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Data>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// The size in bytes, for the limit of the message size: client id, data and extras (TP5, TM6).
    #[must_use]
    pub fn size(&self) -> usize {
        let client_id = self.client_id.as_ref().map_or(0, |text| text.len());
        let data = self.data.as_ref().map_or(0, Data::size);
        let extras = self.extras.as_deref().map_or(0, text::len);
        client_id.saturating_add(data).saturating_add(extras)
    }
}
