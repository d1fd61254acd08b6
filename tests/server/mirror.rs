//! The member sets as they follow from the events of a server alone.

use presence_proto::server::{Position, PresenceQuery, Server, ServerEvent, output};
use presence_proto::wire::{PresenceAction, PresenceMessage};
use std::collections::BTreeMap;

/// By client id and connection id.
type Set = BTreeMap<(String, String), PresenceMessage>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Mirror {
    sets: BTreeMap<String, Set>,
    /// The last position in each channel.
    positions: BTreeMap<String, Position>,
}

impl Mirror {
    pub(crate) fn apply(&mut self, event: &ServerEvent) {
        match event {
            ServerEvent::MemberEntered(output::MemberEntered {
                channel,
                position,
                message,
                ..
            }) => {
                let before = self.set(channel, *position).insert(key(message), message.clone());
                assert_eq!(before, None, "it was there already");
            }
            ServerEvent::MemberUpdated(output::MemberUpdated {
                channel,
                position,
                message,
                ..
            }) => {
                let before = self.set(channel, *position).insert(key(message), message.clone());
                assert!(before.is_some(), "it was not there: {message:?}");
            }
            ServerEvent::MemberLeft(output::MemberLeft { channel, position, message, .. }) => {
                let before = self.set(channel, *position).remove(&key(message));
                assert!(before.is_some(), "it was not there: {message:?}");
            }
            ServerEvent::ChannelOccupied(output::ChannelOccupied { channel, .. }) => {
                assert_eq!(self.sets[channel.as_str()].len(), 1);
            }
            ServerEvent::ChannelVacant(output::ChannelVacant { channel, .. }) => {
                assert_eq!(self.sets[channel.as_str()].len(), 0);
            }
            _ => {}
        }
    }

    /// The set that an event changes. Positions grow from event to event.
    fn set(&mut self, channel: &str, position: Position) -> &mut Set {
        let last = self.positions.insert(channel.to_owned(), position);
        assert!(last.is_none_or(|last| last < position), "{last:?} {position:?}");
        self.sets.entry(channel.to_owned()).or_default()
    }

    /// The server's own sets are the same.
    pub(crate) fn compare(&self, server: &Server) {
        for (channel, members) in &self.sets {
            let set: Set =
                members.iter().map(|(key, message)| (key.clone(), present(message))).collect();
            assert_eq!(set, members_of(server, channel), "the members of {channel} differ");
        }
        let members: usize = self.sets.values().map(BTreeMap::len).sum();
        assert_eq!(members as u64, server.counters().members);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sets.values().all(BTreeMap::is_empty)
    }
}

/// The members of a channel, page by page.
pub(crate) fn members_of(server: &Server, channel: &str) -> Set {
    let mut query = PresenceQuery::default();
    let mut set = Set::new();
    loop {
        let page = server.presence(channel, &query).expect("a page");
        for item in page.items {
            let other = set.insert(key(&item), item);
            assert!(other.is_none(), "a member is on two pages: {other:?}");
        }
        query.after = page.next;
        if query.after.is_none() {
            return set;
        }
    }
}

fn key(message: &PresenceMessage) -> (String, String) {
    let text = |text: &Option<presence_proto::SmolStr>| text.clone().expect("a key").to_string();
    (text(&message.client_id), text(&message.connection_id))
}

/// The member after an event.
fn present(message: &PresenceMessage) -> PresenceMessage {
    let mut message = message.clone();
    message.action = PresenceAction::Present;
    message
}
