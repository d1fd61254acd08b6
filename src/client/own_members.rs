//! The members that this connection has entered itself (RTP17).

use crate::SmolStr;
use crate::members::Version;
use crate::wire::{PresenceAction, PresenceMessage};
use alloc::{collections::BTreeMap, vec::Vec};

/// The own members of a channel, by client id alone (RTP17h).
#[derive(Clone, Debug, Default)]
pub(super) struct OwnMembers {
    members: BTreeMap<SmolStr, OwnMember>,
    next_order: u64,
}

#[derive(Clone, Debug)]
struct OwnMember {
    /// Members are ordered by it.
    order: u64,
    /// With all that it inherited from its frame.
    message: PresenceMessage,
}

impl OwnMembers {
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The members with their client ids, in the order in which they were first seen: they are
    /// entered again in that order (RTP17i).
    pub(super) fn iter(&self) -> impl Iterator<Item = (&SmolStr, &PresenceMessage)> + use<'_> {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_unstable_by_key(|(_, member)| member.order);
        members.into_iter().map(|(client_id, member)| (client_id, &member.message))
    }

    pub(super) fn clear(&mut self) {
        self.members.clear();
    }

    /// Takes in what the server said of a member of the present connection (RTP17b). `false` if
    /// there is no room for it.
    pub(super) fn apply(
        &mut self,
        client_id: &SmolStr,
        mut message: PresenceMessage,
        limit: usize,
    ) -> bool {
        let stored = self.members.get_mut(client_id);
        // Serials of different connections cannot be compared: the present one's word counts.
        if let Some(OwnMember { message: stored, .. }) = &stored
            && stored.connection_id == message.connection_id
            && !version(&message).is_newer_than(&version(stored))
        {
            return true;
        }
        match message.action {
            PresenceAction::Leave => {
                if !is_synthesized(&message) {
                    self.members.remove(client_id);
                }
            }
            PresenceAction::Enter | PresenceAction::Update | PresenceAction::Present => {
                message.action = PresenceAction::Present;
                if let Some(stored) = stored {
                    stored.message = message;
                } else if self.members.len() < limit {
                    let order = self.next_order;
                    self.next_order = order.wrapping_add(1);
                    self.members.insert(client_id.clone(), OwnMember { order, message });
                } else {
                    return false;
                }
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
fn is_synthesized(message: &PresenceMessage) -> bool {
    let connection_id = message.connection_id.as_deref().unwrap_or_default();
    message
        .id
        .as_deref()
        .and_then(|id| id.strip_prefix(connection_id))
        .is_none_or(|rest| !rest.starts_with(':'))
}
