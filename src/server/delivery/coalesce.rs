//! Coalesced presence events.

use crate::SmolStr;
use crate::wire::{PresenceAction, PresenceMessage};
use alloc::vec::Vec;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// The coalesced events of one channel within a window: at most one per member.
#[derive(Clone, Debug)]
pub(in crate::server) struct Coalesced {
    items: Vec<Option<Item>>,
    /// The place of each member's event. Searched, never iterated.
    places: HashMap<(SmolStr, SmolStr), usize, FixedState>,
    live: usize,
}

#[derive(Clone, Debug)]
struct Item {
    message: PresenceMessage,
    /// Whether the member was present at the start of the window.
    was_present: bool,
}

impl Coalesced {
    pub(in crate::server) fn new(seed: u64) -> Self {
        Self {
            items: Vec::new(),
            places: HashMap::with_hasher(FixedState::with_seed(seed)),
            live: 0,
        }
    }

    /// Whether to deliver before the end of the window: the events fill a frame of `frame` items,
    /// or cancelled events take too much memory.
    pub(in crate::server) fn is_full(&self, frame: usize) -> bool {
        self.live >= frame || self.items.len() >= frame.saturating_mul(4)
    }

    /// Adds an event. `was_present`: whether the member was present before it. Returns the number
    /// of events that are not delivered because of it.
    ///
    /// The last event of a member wins. An enter and a leave cancel each other; an enter and an
    /// update become an enter.
    pub(in crate::server) fn add(&mut self, message: PresenceMessage, was_present: bool) -> u64 {
        let key = (
            message.client_id.clone().unwrap_or_default(),
            message.connection_id.clone().unwrap_or_default(),
        );
        let place = self.places.get(&key).copied();
        let Some(slot) = place.and_then(|place| self.items.get_mut(place)) else {
            self.places.insert(key, self.items.len());
            self.items.push(Some(Item { message, was_present }));
            self.live += 1;
            return 0;
        };
        let Some(item) = slot else {
            // It entered and left within the window, and enters again.
            *slot = Some(Item { message, was_present: false });
            self.live += 1;
            return 0;
        };
        if item.was_present {
            item.message = message;
            1
        } else if message.action == PresenceAction::Leave {
            *slot = None;
            self.live -= 1;
            2
        } else {
            let action = item.message.action;
            item.message = PresenceMessage { action, ..message };
            1
        }
    }

    /// The events, ordered by the first event of each member.
    pub(in crate::server) fn into_messages(self) -> Vec<PresenceMessage> {
        self.items.into_iter().flatten().map(|item| item.message).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PresenceAction::{Enter, Leave, Update};
    use alloc::vec;

    /// Coalesces the events of one member.
    fn fold(
        was_present: bool,
        actions: &[PresenceAction],
    ) -> Vec<(PresenceAction, Option<SmolStr>)> {
        let mut pending = Coalesced::new(0);
        let mut present = was_present;
        for (number, action) in actions.iter().enumerate() {
            let mut message = PresenceMessage::new(*action);
            message.client_id = Some("a".into());
            message.connection_id = Some("c".into());
            message.id = Some(alloc::format!("c:{number}:0").into());
            pending.add(message, present);
            present = *action != Leave;
        }
        pending.into_messages().into_iter().map(|message| (message.action, message.id)).collect()
    }

    #[test]
    fn the_last_update_wins() {
        let last = Some("c:2:0".into());
        assert_eq!(fold(true, &[Update, Update, Update]), vec![(Update, last.clone())]);
        assert_eq!(fold(false, &[Enter, Update, Update]), vec![(Enter, last)]);
    }

    #[test]
    fn an_enter_and_a_leave_cancel() {
        assert_eq!(fold(false, &[Enter, Leave]), vec![]);
        assert_eq!(fold(false, &[Enter, Update, Leave]), vec![]);
        assert_eq!(fold(false, &[Enter, Leave, Enter]), vec![(Enter, Some("c:2:0".into()))]);
    }

    #[test]
    fn a_leave_of_a_present_member_is_delivered() {
        assert_eq!(fold(true, &[Update, Leave]), vec![(Leave, Some("c:1:0".into()))]);
        assert_eq!(fold(true, &[Leave, Enter]), vec![(Enter, Some("c:1:0".into()))]);
        assert_eq!(fold(true, &[Leave, Enter, Leave]), vec![(Leave, Some("c:2:0".into()))]);
    }
}
