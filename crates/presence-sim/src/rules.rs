//! Which frames arrive otherwise than they were sent.

use presence_proto::wire::{Action, ProtocolMessage};

/// A fault of the next frames of one action between one client and the server.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) client: usize,
    pub(crate) direction: Direction,
    pub(crate) action: Action,
    /// The number of frames it still applies to.
    pub(crate) times: usize,
    /// What arrives instead; nothing if `None`.
    pub(crate) instead: Option<Box<ProtocolMessage>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// What arrives of a frame, if anything.
pub(crate) fn arriving(
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
