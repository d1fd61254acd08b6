//! Rules that drop or replace single frames.

use presence_proto::wire::{Action, ProtocolMessage};

/// Drops or replaces the next frames of an action on their way from or to a client.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) client: usize,
    pub(crate) direction: Direction,
    pub(crate) action: Action,
    /// The number of frames that the rule still applies to.
    pub(crate) times: usize,
    /// The frame that arrives instead, if any.
    pub(crate) replacement: Option<Box<ProtocolMessage>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// The frame that arrives when `frame` is sent, if any.
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
            rule.replacement.as_deref().cloned()
        }
        None => Some(frame),
    }
}
