//! Unfinished work of a connection.

use super::AttachmentSlot;
use crate::server::LeaveCause;
use crate::wire::{Action, ProtocolMessage};
use alloc::collections::VecDeque;

/// Unfinished work of a connection, in the order of its steps.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Work {
    /// The attachment whose members are being removed, and the cause. Continues after a loss of the
    /// transport.
    pub(in crate::server) removing: Option<(AttachmentSlot, LeaveCause)>,
    /// The connection resumed after its grace period had ended: remove the members of inactive
    /// attachments.
    pub(in crate::server) grace_ended: bool,
    /// The connection has ended, but still has members.
    pub(in crate::server) ending: Option<LeaveCause>,
    /// The capability has changed.
    pub(in crate::server) reapply_capability: bool,
    /// Waiting frames. The first may be processed in part; it is processed again.
    pub(in crate::server) frames: VecDeque<ProtocolMessage>,
    /// Whether the first frame exceeded the budget again.
    pub(in crate::server) stalled: bool,
}

impl Work {
    pub(in crate::server) const fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Drops the waiting frames: they have no answer, so the client sends them again if necessary
    /// (RTN19). A waiting CLOSE still applies, because the client may never come back.
    pub(super) fn transport_lost(&mut self) {
        let closes = self.frames.drain(..).any(|frame| frame.action == Action::Close);
        if closes {
            self.ending.get_or_insert(LeaveCause::Closed);
        }
    }
}
