//! The reference model: a naive presence authority that the server is compared with. It shares no
//! code with the server.

use presence_proto::SmolStr;
use presence_proto::wire::{Data, PresenceAction, PresenceMessage};
use std::collections::{BTreeMap, BTreeSet};

/// The key of a member: connection id and client id.
pub(crate) type Key = (SmolStr, SmolStr);

/// One member.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    /// The id of the message that set it.
    pub(crate) id: SmolStr,
    /// Its data.
    pub(crate) data: Option<Data>,
}

/// A connection.
#[derive(Clone, Debug)]
struct Connection {
    /// The client id of messages without one.
    client_id: Option<SmolStr>,
    /// The grace period of its members, in milliseconds.
    grace: u64,
    /// The channels that are not attached since the loss of a transport: the times of the first and
    /// of the last loss.
    away: BTreeMap<SmolStr, (u64, u64)>,
    /// The channels that the current transport has attached, and the time when it connected.
    attached: BTreeSet<SmolStr>,
    since: u64,
    /// The acknowledged message serials. They may have gaps: after a resume, frames that wait for
    /// their channel keep their serial, and later frames overtake them.
    acknowledged: BTreeSet<i64>,
}

/// The connections and the member sets of all channels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    connections: BTreeMap<SmolStr, Connection>,
    channels: BTreeMap<SmolStr, BTreeMap<Key, Member>>,
    /// Members that the host has kicked and that have not left yet, and the time of the kick.
    kicked: BTreeMap<(SmolStr, Key), u64>,
}

impl Model {
    /// A transport connected: a new connection, or a resumed one.
    pub(crate) fn connected(
        &mut self,
        id: &SmolStr,
        client_id: Option<SmolStr>,
        grace: u64,
        now: u64,
    ) {
        let connection = self.connections.entry(id.clone()).or_insert(Connection {
            client_id: None,
            grace,
            away: BTreeMap::new(),
            attached: BTreeSet::new(),
            since: now,
            acknowledged: BTreeSet::new(),
        });
        connection.client_id = client_id;
        connection.grace = grace;
        connection.since = now;
        // A new grace period begins, in which the channels must be attached.
        for (_, last) in connection.away.values_mut() {
            *last = now;
        }
    }

    /// A connection lost its transport without CLOSE: the grace period of its members begins, and
    /// ends when another transport attaches their channel.
    pub(crate) fn lost(&mut self, id: &SmolStr, now: u64) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.attached.clear();
        for channel in self.channels.keys() {
            connection.away.entry(channel.clone()).or_insert((now, now)).1 = now;
        }
    }

    /// A transport attached a channel: the grace period of its members there ends.
    pub(crate) fn attached(&mut self, id: &SmolStr, channel: &SmolStr) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.away.remove(channel);
            connection.attached.insert(channel.clone());
        }
    }

    /// A client attached without a channel serial: its members from before the loss leave.
    pub(crate) fn attached_without_serial(&mut self, id: &SmolStr, channel: &SmolStr) {
        let away = |connection: &Connection| connection.away.contains_key(channel);
        if self.connections.get(id).is_some_and(away) {
            self.detached(id, channel);
        }
    }

    /// The server accepted a PRESENCE frame. A frame that was accepted before (a frame in flight is
    /// sent again after a resume, RTN19a2) enters no member, unless it has the id of the last
    /// message of a removed member. It still updates a present member whose message is older: the
    /// result of a re-entry, or of an earlier frame that was refused at first.
    pub(crate) fn accepted(
        &mut self,
        id: &SmolStr,
        channel: &SmolStr,
        serial: i64,
        items: &[PresenceMessage],
    ) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let repeated = !connection.acknowledged.insert(serial);
        for (index, item) in items.iter().enumerate() {
            let client_id = item.client_id.clone().or_else(|| connection.client_id.clone());
            let Some(client_id) = client_id else { continue };
            let members = self.channels.entry(channel.clone()).or_default();
            let key = (id.clone(), client_id);
            // The sequence of the message: that of the id in a re-entry (RTP17g), if this
            // connection sent it earlier, else its own. For a removed member, the id must be of its
            // last message.
            let own_sequence = (serial, i64::try_from(index).unwrap_or(i64::MAX));
            let named = item.id.as_deref().and_then(|item_id| sequence(item_id, id));
            let named = named.filter(|(named, _)| *named < serial);
            // A message that is not newer than the present member has no effect (RTP2b2): it is a
            // re-entry of the same message, or was overtaken.
            let stored = members.get(&key).and_then(|member| sequence(&member.id, id));
            if stored.is_some_and(|stored| named.unwrap_or(own_sequence) <= stored) {
                continue;
            }
            let last = named.filter(|(serial, _)| !connection.acknowledged.contains(serial));
            if stored.is_none() && repeated && last.is_none() {
                continue;
            }
            let kept = if stored.is_some() { named } else { last };
            connection.acknowledged.extend(kept.map(|(serial, _)| serial));
            match item.action {
                PresenceAction::Enter | PresenceAction::Update | PresenceAction::Present => {
                    let (serial, index) = kept.unwrap_or(own_sequence);
                    let id = SmolStr::from(format!("{id}:{serial}:{index}"));
                    members.insert(key, Member { id, data: item.data.clone() });
                    if !connection.attached.contains(channel) {
                        // Sent again before its channel was attached again.
                        let since = connection.since;
                        connection.away.entry(channel.clone()).or_insert((since, since));
                    }
                }
                PresenceAction::Leave => {
                    members.remove(&key);
                }
                _ => {}
            }
        }
    }

    /// A connection detached a channel: its members there leave at once.
    pub(crate) fn detached(&mut self, id: &SmolStr, channel: &SmolStr) {
        if let Some(members) = self.channels.get_mut(channel) {
            members.retain(|(connection, _), _| connection != id);
        }
    }

    /// The host kicked members of a channel.
    pub(crate) fn kicked(
        &mut self,
        channel: &SmolStr,
        client_id: Option<&SmolStr>,
        connection: Option<&SmolStr>,
        now: u64,
    ) {
        let Some(members) = self.channels.get(channel) else { return };
        let named = |(owner, who): &&Key| {
            client_id.is_none_or(|wanted| wanted == who)
                && connection.is_none_or(|wanted| wanted == owner)
        };
        for key in members.keys().filter(named) {
            self.kicked.insert((channel.clone(), key.clone()), now);
        }
    }

    /// A member left because of a kick. It may enter again, also by a repeated frame. An error if
    /// it was not kicked, or entered after the kick.
    pub(crate) fn left_by_kick(&mut self, channel: &SmolStr, key: &Key) -> Result<(), String> {
        if !self.kicked.contains_key(&(channel.clone(), key.clone())) {
            return Err(format!("{channel}: {key:?} leaves as kicked, but was not kicked"));
        }
        self.remove(channel, key);
        Ok(())
    }

    /// A member left because its connection closed, or detached the channel, or lost the right.
    pub(crate) fn departed(&mut self, channel: &SmolStr, key: &Key) {
        if let Some(members) = self.channels.get_mut(channel) {
            members.remove(key);
        }
    }

    /// A member left because its grace period ended. An error if it has not ended.
    pub(crate) fn expired(&mut self, channel: &SmolStr, key: &Key, now: u64) -> Result<(), String> {
        let connection = self.connections.get(&key.0);
        let due = connection.and_then(|connection| {
            let (first, _) = connection.away.get(channel)?;
            Some(first + connection.grace)
        });
        match due {
            Some(due) if now >= due => {}
            Some(due) => {
                let early = due - now;
                return Err(format!(
                    "{channel}: {key:?} leaves {early} ms before the end of its grace period"
                ));
            }
            None => return Err(format!("{channel}: {key:?} leaves without a grace period")),
        }
        self.remove(channel, key);
        Ok(())
    }

    /// The server removed a member. If the frame that set it is repeated, it sets the member again.
    fn remove(&mut self, channel: &SmolStr, key: &Key) {
        let member = self.channels.get_mut(channel).and_then(|members| members.remove(key));
        let own_sequence = member.and_then(|member| sequence(&member.id, &key.0));
        if let (Some((serial, _)), Some(connection)) =
            (own_sequence, self.connections.get_mut(&key.0))
        {
            connection.acknowledged.remove(&serial);
        }
    }

    /// A connection closed: all its members leave at once.
    pub(crate) fn closed(&mut self, id: &SmolStr) {
        self.connections.remove(id);
        for members in self.channels.values_mut() {
            members.retain(|(connection, _), _| connection != id);
        }
    }

    /// A member left: a pending kick no longer concerns it.
    pub(crate) fn left(&mut self, channel: &SmolStr, key: &Key) {
        self.kicked.remove(&(channel.clone(), key.clone()));
    }

    /// Compares the server's members of a channel with the model's. A member must leave at most
    /// `slack` milliseconds after the end of its grace period or a kick.
    pub(crate) fn compare(
        &self,
        channel: &SmolStr,
        found: &BTreeMap<Key, Member>,
        now: u64,
        slack: u64,
    ) -> Result<(), String> {
        let none = BTreeMap::new();
        let expected = self.channels.get(channel).unwrap_or(&none);
        for (key, member) in found {
            match expected.get(key) {
                None => return Err(format!("{channel}: {key:?} is present and must not be")),
                Some(expected) if expected != member => {
                    return Err(format!("{channel}: {key:?} is {member:?}, must be {expected:?}"));
                }
                Some(_) => {}
            }
            if let Some(since) = self.kicked.get(&(channel.clone(), key.clone()))
                && now > since + slack
            {
                return Err(format!("{channel}: {key:?} is still present after a kick"));
            }
            if let Some(connection) = self.connections.get(&key.0)
                && let Some((_, last)) = connection.away.get(channel)
                && now > last + connection.grace + slack
            {
                let late = now - last - connection.grace;
                return Err(format!(
                    "{channel}: {key:?} is present {late} ms after the end of its grace period"
                ));
            }
        }
        match expected.keys().find(|key| !found.contains_key(*key)) {
            Some(key) => Err(format!("{channel}: {key:?} is absent and must be present")),
            None => Ok(()),
        }
    }

    /// The channels that have or had members.
    pub(crate) fn channels(&self) -> Vec<SmolStr> {
        self.channels.keys().cloned().collect()
    }
}

/// The sequence of a message id, message serial and index, if the connection created it.
pub(crate) fn sequence(id: &str, connection: &str) -> Option<(i64, i64)> {
    let (serial, index) = id.strip_prefix(connection)?.strip_prefix(':')?.split_once(':')?;
    Some((serial.parse().ok()?, index.parse().ok()?))
}
