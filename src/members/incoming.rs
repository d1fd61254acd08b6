//! A presence message on its way into a set.

use super::newness::{self, Sequence};
use crate::wire::{Inherited, PresenceMessage, inherited_id};
use crate::{SmolStr, UnixMillis};

/// A presence message that names a member, with what it inherits from its frame. That is looked
/// up here and not written out: an id is stored as numbers, and most other things are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    pub(super) message: &'a PresenceMessage,
    pub(super) client_id: &'a SmolStr,
    pub(super) connection_id: &'a SmolStr,
    from: Inherited<'a>,
}

impl<'a> Incoming<'a> {
    /// `None` if the message names no member: without a client id or a connection id, of which
    /// empty ones are none.
    pub(crate) fn new(message: &'a PresenceMessage, from: Inherited<'a>) -> Option<Self> {
        let client_id = message.client_id.as_ref().filter(|id| !id.is_empty())?;
        let connection_id = message.connection_id.as_ref().or(from.connection_id);
        let connection_id = connection_id.filter(|id| !id.is_empty())?;
        Some(Self { message, client_id, connection_id, from })
    }

    /// The same of a message that is complete.
    pub(super) fn complete(message: &'a PresenceMessage) -> Option<Self> {
        Self::new(message, Inherited::default())
    }

    pub(crate) const fn client_id(&self) -> &'a SmolStr {
        self.client_id
    }

    pub(crate) const fn connection_id(&self) -> &'a SmolStr {
        self.connection_id
    }

    /// The message, completed.
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

    /// The numbers in its id, if that is of the usual form.
    #[inline(always)]
    pub(super) fn sequence(&self) -> Option<Sequence> {
        if let Some(id) = &self.message.id {
            newness::sequence(id, self.connection_id)
        } else {
            newness::sequence_in_frame(self.from.frame_id?, self.from.index, self.connection_id)
        }
    }
}
