//! The shared list of recipients of a channel's broadcasts.

use crate::TransportId;
use crate::server::connections::AttachmentSlot;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The subscribers to one kind of event.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Audience {
    transports: Arc<Vec<TransportId>>,
    attachments: Vec<AttachmentSlot>,
}

impl Audience {
    /// A snapshot of the list. A change copies the list only while a snapshot exists.
    pub(in crate::server) fn share(&self) -> Arc<Vec<TransportId>> {
        Arc::clone(&self.transports)
    }

    /// Adds an attachment and returns its place.
    pub(super) fn add(
        &mut self,
        transport: TransportId,
        attachment: AttachmentSlot,
    ) -> Option<u32> {
        let place = u32::try_from(self.attachments.len()).ok()?;
        self.attachments.push(attachment);
        Arc::make_mut(&mut self.transports).push(transport);
        Some(place)
    }

    /// Whether an attachment is at a place.
    pub(super) fn holds(&self, place: u32, attachment: AttachmentSlot) -> bool {
        self.attachments.get(place as usize) == Some(&attachment)
    }

    /// Removes the attachment at a place. The last attachment moves to that place and is returned.
    pub(super) fn remove(&mut self, place: u32) -> Option<AttachmentSlot> {
        let index = place as usize;
        if index >= self.attachments.len() {
            return None;
        }
        self.attachments.swap_remove(index);
        if self.attachments.is_empty() {
            self.attachments = Vec::new();
            self.transports = Arc::default();
        } else {
            Arc::make_mut(&mut self.transports).swap_remove(index);
        }
        self.attachments.get(index).copied()
    }
}
