//! What of a connection did not fit into the budget of a call.

use super::AttachmentSlot;
use crate::server::LeaveCause;
use crate::wire::{Action, ProtocolMessage};
use alloc::collections::VecDeque;

/// What a connection has to finish, in this order.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Work {
    /// The attachment whose members are on their way out, and why. They go on leaving though the
    /// transport is lost.
    pub(in crate::server) removing: Option<(AttachmentSlot, LeaveCause)>,
    /// The connection came back after its grace: members leave that the transport did not attach.
    pub(in crate::server) grace_ended: bool,
    /// The connection has ended, but for its members.
    pub(in crate::server) ending: Option<LeaveCause>,
    /// Its rights have changed.
    pub(in crate::server) reapply_capability: bool,
    /// Frames that wait. The first may have been begun; it is carried out again.
    pub(in crate::server) frames: VecDeque<ProtocolMessage>,
    /// Whether the first frame still cannot be finished.
    pub(in crate::server) stalled: bool,
}

impl Work {
    pub(in crate::server) const fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// The frames that wait are lost with their transport: the client has no answer, and sends again
    /// what it still wants (RTN19). It may have closed the connection and gone, though.
    pub(super) fn transport_lost(&mut self) {
        let closes = self.frames.drain(..).any(|frame| frame.action == Action::Close);
        if closes {
            self.ending.get_or_insert(LeaveCause::Closed);
        }
    }
}
