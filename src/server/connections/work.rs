//! Unfinished work of a connection.

use super::{AttachmentSlot, Terms};
use crate::SmolStr;
use crate::server::LeaveCause;
use crate::wire::{Action, ProtocolMessage};
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// Unfinished work of a connection, in the order of its steps.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Work {
    /// The attachment whose members are being removed, and the cause. Continues after a loss of the
    /// transport.
    pub(in crate::server) removing: Option<(AttachmentSlot, LeaveCause)>,
    /// The grace period has ended: remove the members of inactive attachments. The attachments too if
    /// `Some(true)`.
    pub(in crate::server) grace_ended: Option<bool>,
    /// The connection has ended, but still has members.
    pub(in crate::server) ending: Option<LeaveCause>,
    /// It comes from another node, and is not adopted yet.
    pub(in crate::server) adopting: Option<Box<Adopting>>,
    /// The log has to make this node the owner, so that it has applied what the client has heard on
    /// others.
    pub(in crate::server) catching_up: bool,
    /// It has, so that the first frame can be processed.
    pub(in crate::server) caught_up: bool,
    /// Number of records that the log has to confirm before the work goes on.
    pub(in crate::server) awaited: u32,
    /// The capability has changed.
    pub(in crate::server) reapply_capability: bool,
    /// Waiting frames. The first may be processed in part; it is processed again.
    pub(in crate::server) frames: VecDeque<ProtocolMessage>,
    /// Whether the first frame exceeded the budget again.
    pub(in crate::server) stalled: bool,
}

/// A connection that comes from another node.
#[derive(Clone, Debug)]
pub(in crate::server) struct Adopting {
    /// The key with which it is resumed.
    pub(in crate::server) key: SmolStr,
    pub(in crate::server) terms: Terms,
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
