//! A list of recipients that broadcasts share.

use crate::TransportId;
use crate::server::connections::AttachmentSlot;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Who is told of one kind of event.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Audience {
    to: Arc<Vec<TransportId>>,
    who: Vec<AttachmentSlot>,
}

impl Audience {
    /// The list as it is now. It is copied only if it changes while someone holds it.
    pub(in crate::server) fn share(&self) -> Arc<Vec<TransportId>> {
        Arc::clone(&self.to)
    }

    /// Adds an attachment and tells its place.
    pub(super) fn add(
        &mut self,
        transport: TransportId,
        attachment: AttachmentSlot,
    ) -> Option<u32> {
        let place = u32::try_from(self.who.len()).ok()?;
        self.who.push(attachment);
        Arc::make_mut(&mut self.to).push(transport);
        Some(place)
    }

    /// Takes out what is at a place. What was last moves there and is told.
    pub(super) fn remove(&mut self, place: u32) -> Option<AttachmentSlot> {
        let index = place as usize;
        if index >= self.who.len() {
            return None;
        }
        self.who.swap_remove(index);
        if self.who.is_empty() {
            self.who = Vec::new();
            self.to = Arc::default();
        } else {
            Arc::make_mut(&mut self.to).swap_remove(index);
        }
        self.who.get(index).copied()
    }
}
