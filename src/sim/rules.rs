//! Which frames arrive otherwise than they were sent.

use crate::wire::{Action, ProtocolMessage};
use alloc::boxed::Box;

/// A fault of the next frames of one action between one client and the server.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) client: usize,
    pub(super) direction: Direction,
    pub(super) action: Action,
    /// The number of frames it still applies to.
    pub(super) times: usize,
    /// What arrives instead; nothing if `None`.
    pub(super) instead: Option<Box<ProtocolMessage>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// What arrives of a frame, if anything.
pub(super) fn arriving(
    rules: &mut [Rule],
    client: usize,
    direction: Direction,
    frame: ProtocolMessage,
) -> Option<ProtocolMessage> {
    let applies = |rule: &&mut Rule| {
        (rule.client, rule.direction, rule.action) == (client, direction, frame.action)
            && rule.times > 0
    };
    match rules.iter_mut().find(applies) {
        Some(rule) => {
            rule.times -= 1;
            rule.instead.as_deref().cloned()
        }
        None => Some(frame),
    }
}
