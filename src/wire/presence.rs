//! One presence event (TP).

use super::{Data, PresenceAction, Value, text};
use crate::{SmolStr, UnixMillis};
use alloc::boxed::Box;

/// One presence event, or one member of a set (TP3).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PresenceMessage {
    /// What happened (TP3b).
    pub action: PresenceAction,
    /// Unique id, as a rule `connectionId:msgSerial:index`. If absent it follows from the frame
    /// (TP3a).
    pub id: Option<SmolStr>,
    /// Who (TP3c).
    pub client_id: Option<SmolStr>,
    /// On which connection. If absent it follows from the frame (TP3d).
    pub connection_id: Option<SmolStr>,
    /// What the member says of itself (TP3e).
    pub data: Option<Data>,
    /// The encodings that `data` is still in, outermost last (TP3f, RSL6). `None` once decoded.
    pub encoding: Option<SmolStr>,
    /// When. If absent it follows from the frame (TP3g).
    pub timestamp: Option<UnixMillis>,
    /// An object that passes through as it is (TP3i).
    pub extras: Option<Box<Value>>,
}

impl PresenceMessage {
    /// A presence message with an action and nothing else.
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

    /// Takes all out, and leaves the action.
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

    /// The same message of this client id.
    #[must_use]
    pub fn with_client_id(mut self, client_id: impl Into<SmolStr>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// The same message with this data.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Data>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// The size that counts towards the largest message, in bytes: client id, data and extras
    /// (TP5, TM6).
    #[must_use]
    pub fn size(&self) -> usize {
        let client_id = self.client_id.as_ref().map_or(0, |text| text.len());
        let data = self.data.as_ref().map_or(0, Data::size);
        let extras = self.extras.as_deref().map_or(0, text::len);
        client_id.saturating_add(data).saturating_add(extras)
    }
}
