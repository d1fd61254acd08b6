//! A received presence message, before it is applied to a set.

use super::newness::{self, Sequence};
use crate::wire::{Inherited, PresenceMessage, inherited_id};
use crate::{SmolStr, UnixMillis};

/// A presence message with a member key, and the fields inherited from its frame. Inherited fields
/// are resolved on access, not written into the message: ids are stored as numbers, so the id
/// string is seldom needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    pub(super) message: &'a PresenceMessage,
    pub(super) client_id: &'a SmolStr,
    pub(super) connection_id: &'a SmolStr,
    from: Inherited<'a>,
}

impl<'a> Incoming<'a> {
    /// `None` if the client id or the connection id is absent or empty.
    pub(crate) fn new(message: &'a PresenceMessage, from: Inherited<'a>) -> Option<Self> {
        let client_id = message.client_id.as_ref().filter(|id| !id.is_empty())?;
        let connection_id = message.connection_id.as_ref().or(from.connection_id);
        let connection_id = connection_id.filter(|id| !id.is_empty())?;
        Some(Self { message, client_id, connection_id, from })
    }

    /// Like [`new`](Self::new), for a message that inherits nothing.
    pub(super) fn complete(message: &'a PresenceMessage) -> Option<Self> {
        Self::new(message, Inherited::default())
    }

    pub(crate) const fn client_id(&self) -> &'a SmolStr {
        self.client_id
    }

    pub(crate) const fn connection_id(&self) -> &'a SmolStr {
        self.connection_id
    }

    /// A copy of the message with the inherited fields.
    pub(crate) fn to_message(self) -> PresenceMessage {
        let mut message = self.message.clone();
        self.from.complete(&mut message);
        message
    }

    pub(super) fn id(&self) -> Option<SmolStr> {
        let own = self.message.id.clone();
        own.or_else(|| Some(inherited_id(self.from.frame_id?, self.from.index)))
    }

    pub(super) fn timestamp(&self) -> UnixMillis {
        self.message.timestamp.or(self.from.timestamp).unwrap_or_default()
    }

    /// The numbers in its id, if the id has the form `connectionId:msgSerial:index`.
    #[inline(always)]
    pub(super) fn sequence(&self) -> Option<Sequence> {
        if let Some(id) = &self.message.id {
            newness::sequence(id, self.connection_id)
        } else {
            newness::sequence_in_frame(self.from.frame_id?, self.from.index, self.connection_id)
        }
    }
}
