//! The attachment of a connection to a channel.

use crate::ring::{Linked, Links};
use crate::server::state::{ChannelSlot, ConnectionSlot};
use crate::slab::Key;
use crate::wire::{Modes, Params};
use alloc::boxed::Box;

crate::slab::keys! {
    /// Key of an attachment, in every part of the server.
    pub(in crate::server) struct AttachmentSlot;
}

/// The attachment of a connection to a channel.
#[derive(Clone, Debug)]
pub(in crate::server) struct Attachment {
    connection: ConnectionSlot,
    channel: ChannelSlot,
    /// Links of the list of the connection's attachments.
    links: Links<AttachmentSlot>,
    /// Requested and granted modes.
    pub(super) requested: Modes,
    pub(super) granted: Modes,
    pub(super) params: Option<Box<Params>>,
    /// Whether the current transport attached it. If not, it waits for a resume or an ATTACH.
    pub(super) active: bool,
    /// Whether members have left without a frame of the client, because others have taken this node
    /// for gone.
    pub(super) members_lost: bool,
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
            members_lost: false,
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

    pub(in crate::server) const fn requested(&self) -> Modes {
        self.requested
    }

    pub(in crate::server) const fn granted(&self) -> Modes {
        self.granted
    }

    /// The requested channel parameters that the server supports (RTL4k1).
    pub(in crate::server) fn params(&self) -> Params {
        self.params.as_deref().cloned().unwrap_or_default()
    }

    /// Whether the current transport attached it.
    pub(in crate::server) const fn is_active(&self) -> bool {
        self.active
    }
}
