//! Presence events that are coalesced before they are told.

use crate::SmolStr;
use crate::wire::{PresenceAction, PresenceMessage};
use alloc::vec::Vec;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// The events of one channel within a window: at most one for each member.
#[derive(Clone, Debug)]
pub(in crate::server) struct Coalesced {
    items: Vec<Option<Item>>,
    /// Where each member's event stands. Looked up, never iterated.
    places: HashMap<(SmolStr, SmolStr), usize, FixedState>,
    live: usize,
}

#[derive(Clone, Debug)]
struct Item {
    message: PresenceMessage,
    /// Whether subscribers know the member from before the window.
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

    /// Whether it is time to tell them, at so many events in a frame. Members that came and went
    /// take room too.
    pub(in crate::server) fn is_full(&self, frame: usize) -> bool {
        self.live >= frame || self.items.len() >= frame.saturating_mul(4)
    }

    /// Adds an event. `known` is whether the member was present before it. Tells how many events
    /// will never be told because of it.
    ///
    /// The last event of a member wins. A member that subscribers did not know and that is gone
    /// again is not told at all; one that they did not know and that changes still enters.
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
            // It came and went within the window, and comes again.
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

    /// The events, in the order in which their members first appeared.
    pub(in crate::server) fn into_messages(self) -> Vec<PresenceMessage> {
        self.items.into_iter().flatten().map(|item| item.message).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PresenceAction::{Enter, Leave, Update};
    use alloc::vec;

    /// The events of one member within a window, and what is told of them.
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
    fn a_leave_of_a_known_member_is_told() {
        assert_eq!(fold(true, &[Update, Leave]), vec![(Leave, Some("c:1:0".into()))]);
        assert_eq!(fold(true, &[Leave, Enter]), vec![(Enter, Some("c:1:0".into()))]);
        assert_eq!(fold(true, &[Leave, Enter, Leave]), vec![(Leave, Some("c:2:0".into()))]);
    }
}
