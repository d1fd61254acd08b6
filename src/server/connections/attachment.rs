//! The attachment of a connection to a channel.

use crate::ring::{Linked, Links};
use crate::server::state::{ChannelSlot, ConnectionSlot};
use crate::slab::Key;
use crate::wire::{Modes, Params};
use alloc::boxed::Box;

crate::slab::keys! {
    /// An attachment. The other parts keep what they know of it under the same key.
    pub(in crate::server) struct AttachmentSlot;
}

/// The attachment of a connection to a channel.
#[derive(Clone, Debug)]
pub(in crate::server) struct Attachment {
    connection: ConnectionSlot,
    channel: ChannelSlot,
    /// Neighbours among the attachments of the connection.
    links: Links<AttachmentSlot>,
    /// What the client asked for, and what it was granted.
    pub(super) requested: Modes,
    pub(super) granted: Modes,
    pub(super) params: Option<Box<Params>>,
    /// Whether the present transport attached it. If not, it waits for the connection to come back,
    /// or to attach it again.
    pub(super) active: bool,
}

impl Default for Attachment {
    fn default() -> Self {
        Self::new(ConnectionSlot::from_number(u32::MAX), ChannelSlot::from_number(u32::MAX))
    }
}

impl Linked<AttachmentSlot> for Attachment {
    fn links(&mut self) -> &mut Links<AttachmentSlot> {
        &mut self.links
    }
}

impl Attachment {
    pub(super) fn new(connection: ConnectionSlot, channel: ChannelSlot) -> Self {
        Self {
            connection,
            channel,
            links: Links::default(),
            requested: Modes::empty(),
            granted: Modes::empty(),
            params: None,
            active: false,
        }
    }

    pub(in crate::server) const fn connection(&self) -> ConnectionSlot {
        self.connection
    }

    pub(in crate::server) const fn channel(&self) -> ChannelSlot {
        self.channel
    }

    /// The next attachment of the same connection.
    pub(in crate::server) fn next(&self) -> Option<AttachmentSlot> {
        self.links.next()
    }

    /// The modes that the client asked for.
    pub(in crate::server) const fn requested(&self) -> Modes {
        self.requested
    }

    /// The modes that it was granted.
    pub(in crate::server) const fn granted(&self) -> Modes {
        self.granted
    }

    /// The parameters that it asked for and that the server knows (RTL4k1).
    pub(in crate::server) fn params(&self) -> Params {
        self.params.as_deref().cloned().unwrap_or_default()
    }

    /// Whether the present transport attached it.
    pub(in crate::server) const fn is_active(&self) -> bool {
        self.active
    }
}
