//! Own members: those entered by this connection (RTP17).

use crate::SmolStr;
use crate::members::Version;
use crate::wire::{PresenceAction, PresenceMessage};
use alloc::{collections::BTreeMap, vec::Vec};

/// The own members of a channel, by client id (RTP17h).
#[derive(Clone, Debug, Default)]
pub(super) struct OwnMembers {
    members: BTreeMap<SmolStr, OwnMember>,
    next_order: u64,
}

#[derive(Clone, Debug)]
struct OwnMember {
    /// Sort key: the order of insertion.
    order: u64,
    /// Complete: with the fields inherited from its frame.
    message: PresenceMessage,
}

impl OwnMembers {
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The members with their client ids, in the order of insertion, which is also the order of
    /// re-entry (RTP17i).
    pub(super) fn iter(&self) -> impl Iterator<Item = (&SmolStr, &PresenceMessage)> + use<'_> {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_unstable_by_key(|(_, member)| member.order);
        members.into_iter().map(|(client_id, member)| (client_id, &member.message))
    }

    pub(super) fn clear(&mut self) {
        self.members.clear();
    }

    /// Applies a message about a member of the current connection (RTP17b). `false` if a new member
    /// exceeds `limit`.
    pub(super) fn apply(
        &mut self,
        client_id: &SmolStr,
        mut message: PresenceMessage,
        limit: usize,
    ) -> bool {
        let stored = self.members.get_mut(client_id);
        // Serials of different connections are not comparable: the current connection wins.
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

/// Whether the server synthesized the message, because it lost the connection. A synthesized LEAVE
/// does not remove an own member (RTP17b).
fn is_synthesized(message: &PresenceMessage) -> bool {
    let connection_id = message.connection_id.as_deref().unwrap_or_default();
    message
        .id
        .as_deref()
        .and_then(|id| id.strip_prefix(connection_id))
        .is_none_or(|rest| !rest.starts_with(':'))
}
