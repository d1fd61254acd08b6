//! The members that this connection has entered itself (RTP17).

use crate::SmolStr;
use crate::members::Version;
use crate::wire::{PresenceAction, PresenceMessage};
use alloc::collections::BTreeMap;

/// The own members of a channel, by client id alone (RTP17h), in the order in which they were
/// first seen: they are entered again in that order (RTP17i).
#[derive(Clone, Debug, Default)]
pub(super) struct OwnMembers {
    members: BTreeMap<u64, PresenceMessage>,
    places: BTreeMap<SmolStr, u64>,
    next_place: u64,
}

impl OwnMembers {
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PresenceMessage> {
        self.members.values()
    }

    pub(super) fn clear(&mut self) {
        self.members.clear();
        self.places.clear();
    }

    /// Takes in what the server said of a member of the present connection (RTP17b). `false` if
    /// there is no room for it.
    pub(super) fn apply(&mut self, mut message: PresenceMessage, limit: usize) -> bool {
        let Some(client_id) = &message.client_id else { return true };
        let place = self.places.get(client_id).copied();
        let stored = place.and_then(|place| self.members.get(&place));
        // Serials of different connections cannot be compared: the present one's word counts.
        if let Some(stored) = stored
            && stored.connection_id == message.connection_id
            && !version(&message).is_newer_than(&version(stored))
        {
            return true;
        }
        match message.action {
            PresenceAction::Leave => {
                if is_own_word(&message) {
                    self.places.remove(client_id);
                    place.and_then(|place| self.members.remove(&place));
                }
            }
            PresenceAction::Enter | PresenceAction::Update | PresenceAction::Present => {
                let place = match place {
                    Some(place) => place,
                    None if self.members.len() >= limit => return false,
                    None => {
                        let place = self.next_place;
                        self.next_place = place.wrapping_add(1);
                        self.places.insert(client_id.clone(), place);
                        place
                    }
                };
                message.action = PresenceAction::Present;
                self.members.insert(place, message);
            }
            PresenceAction::Absent | PresenceAction::Unknown(_) => {}
        }
        true
    }
}

fn version(message: &PresenceMessage) -> Version {
    Version::new(
        message.id.as_deref(),
        message.connection_id.as_deref().unwrap_or_default(),
        message.timestamp.unwrap_or_default(),
    )
}

/// Whether the connection said so itself; a LEAVE that the server made up on its behalf, when it
/// had lost touch, does not end the wish to be present (RTP17b).
fn is_own_word(message: &PresenceMessage) -> bool {
    let connection_id = message.connection_id.as_deref().unwrap_or_default();
    message
        .id
        .as_deref()
        .and_then(|id| id.strip_prefix(connection_id))
        .is_some_and(|rest| rest.starts_with(':'))
}
