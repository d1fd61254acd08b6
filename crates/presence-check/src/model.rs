//! A naive model of a presence authority: what the member sets must be, said as plainly as can
//! be. It shares no code with the server; it is what the server is compared with.

use presence_proto::SmolStr;
use presence_proto::wire::{Data, PresenceAction, PresenceMessage};
use std::collections::{BTreeMap, BTreeSet};

/// Who a member is: its connection and its client id.
pub(crate) type Key = (SmolStr, SmolStr);

/// One member.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    /// The id of the event that it stems from.
    pub(crate) id: SmolStr,
    /// What it says of itself.
    pub(crate) data: Option<Data>,
}

/// One connection that the authority keeps.
#[derive(Clone, Debug)]
struct Connection {
    /// The client id that entries without one are for.
    client_id: Option<SmolStr>,
    /// How long its members outlive its transport, in milliseconds.
    grace: u64,
    /// The channels that its present transport, if it has one, has not attached again: when they
    /// were lost first, and when last.
    away: BTreeMap<SmolStr, (u64, u64)>,
    /// The channels that its present transport has attached, and since when it has that transport.
    attached: BTreeSet<SmolStr>,
    since: u64,
    /// The message serials that were acknowledged. A set: frames that wait for their channel after
    /// a resume keep their serial, and others overtake them.
    acknowledged: BTreeSet<i64>,
}

/// How long after the grace a member may still be there, in milliseconds: the granularity of the
/// server's timers.
pub(crate) type Slack = u64;

/// The member sets of all channels, and the connections that they hang on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    connections: BTreeMap<SmolStr, Connection>,
    channels: BTreeMap<SmolStr, BTreeMap<Key, Member>>,
    /// Members that the host takes out and that are not out yet, by channel: since when.
    kicked: BTreeMap<(SmolStr, Key), u64>,
}

impl Model {
    /// A connection has a transport: a new one, or one that was kept.
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
        // It has the time of another grace to attach its channels again.
        for (_, last) in connection.away.values_mut() {
            *last = now;
        }
    }

    /// A connection lost its transport and did not say goodbye: from now on its members are on
    /// their grace, until another transport attaches their channel.
    pub(crate) fn lost(&mut self, id: &SmolStr, now: u64) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.attached.clear();
        for channel in self.channels.keys() {
            connection.away.entry(channel.clone()).or_insert((now, now)).1 = now;
        }
    }

    /// A transport attached a channel: members there are in no danger any more.
    pub(crate) fn attached(&mut self, id: &SmolStr, channel: &SmolStr) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.away.remove(channel);
            connection.attached.insert(channel.clone());
        }
    }

    /// A client attaches and does not say what it had heard: it knows nothing of members that
    /// wait there for it.
    pub(crate) fn attached_anew(&mut self, id: &SmolStr, channel: &SmolStr) {
        let away = |connection: &Connection| connection.away.contains_key(channel);
        if self.connections.get(id).is_some_and(away) {
            self.detached(id, channel);
        }
    }

    /// The authority accepted a presence frame. One that it had accepted before (RTN19a2: a frame
    /// in flight comes again after a resume) brings nobody in, unless it names the last word of a
    /// member that was taken out; but of a member that is present, and has been put back by a
    /// re-entry or by an older frame that was refused at first, its word still counts.
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
            // The place of the event among those of its member: that of the message that a
            // re-entry names (RTP17g), if this connection has sent it before, else its own. Of a
            // member that was taken out it is kept only if it was the last.
            let place = (serial, i64::try_from(index).unwrap_or(i64::MAX));
            let named = item.id.as_deref().and_then(|item_id| own_place(item_id, id));
            let named = named.filter(|(named, _)| *named < serial);
            // What is not newer than the member that is present says nothing (RTP2b2): it is its
            // own re-entry, or was overtaken by another frame.
            let stored = members.get(&key).and_then(|member| own_place(&member.id, id));
            if stored.is_some_and(|stored| named.unwrap_or(place) <= stored) {
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
                    let (serial, index) = kept.unwrap_or(place);
                    let id = SmolStr::from(format!("{id}:{serial}:{index}"));
                    members.insert(key, Member { id, data: item.data.clone() });
                    if !connection.attached.contains(channel) {
                        // A frame that is sent again, before its channel is attached again.
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

    /// A connection detached a channel: its members there are gone at once.
    pub(crate) fn detached(&mut self, id: &SmolStr, channel: &SmolStr) {
        if let Some(members) = self.channels.get_mut(channel) {
            members.retain(|(connection, _), _| connection != id);
        }
    }

    /// The host takes members out of a channel: those that are there now.
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

    /// A member was taken out by the host. It may enter again, by a retry as well. Says what is wrong
    /// if it was not named, or came later.
    pub(crate) fn kicked_out(&mut self, channel: &SmolStr, key: &Key) -> Result<(), String> {
        if !self.kicked.contains_key(&(channel.clone(), key.clone())) {
            return Err(format!("{channel}: {key:?} is taken out, and nobody asked for it"));
        }
        self.taken_out(channel, key);
        Ok(())
    }

    /// A member left because its connection closed, or gave up the channel or the right to be there.
    pub(crate) fn departed(&mut self, channel: &SmolStr, key: &Key) {
        if let Some(members) = self.channels.get_mut(channel) {
            members.remove(key);
        }
    }

    /// A member left because its grace was over. Says what is wrong if it was not.
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
                return Err(format!("{channel}: {key:?} is gone {early} ms before its grace is"));
            }
            None => return Err(format!("{channel}: {key:?} is gone and must not be")),
        }
        self.taken_out(channel, key);
        Ok(())
    }

    /// A member is gone without a word of its own. A retry of the frame that set it sets it again.
    fn taken_out(&mut self, channel: &SmolStr, key: &Key) {
        let member = self.channels.get_mut(channel).and_then(|members| members.remove(key));
        let place = member.and_then(|member| own_place(&member.id, &key.0));
        if let (Some((serial, _)), Some(connection)) = (place, self.connections.get_mut(&key.0)) {
            connection.acknowledged.remove(&serial);
        }
    }

    /// A connection closed: its members are gone at once, everywhere.
    pub(crate) fn closed(&mut self, id: &SmolStr) {
        self.connections.remove(id);
        for members in self.channels.values_mut() {
            members.retain(|(connection, _), _| connection != id);
        }
    }

    /// A member is no more, or is another one from now on: nobody who was taken out is meant.
    pub(crate) fn left(&mut self, channel: &SmolStr, key: &Key) {
        self.kicked.remove(&(channel.clone(), key.clone()));
    }

    /// Compares the authority's set of one channel with the model's. Says what is wrong, if
    /// anything is: also if somebody is there whose grace, and the slack, are over.
    pub(crate) fn compare(
        &self,
        channel: &SmolStr,
        found: &BTreeMap<Key, Member>,
        now: u64,
        slack: Slack,
    ) -> Result<(), String> {
        let none = BTreeMap::new();
        let expected = self.channels.get(channel).unwrap_or(&none);
        for (key, member) in found {
            match expected.get(key) {
                None => return Err(format!("{channel}: {key:?} is there and must not be")),
                Some(wanted) if wanted != member => {
                    return Err(format!("{channel}: {key:?} is {member:?}, must be {wanted:?}"));
                }
                Some(_) => {}
            }
            if let Some(since) = self.kicked.get(&(channel.clone(), key.clone()))
                && now > since + slack
            {
                return Err(format!("{channel}: {key:?} is there though it was taken out"));
            }
            if let Some(connection) = self.connections.get(&key.0)
                && let Some((_, last)) = connection.away.get(channel)
                && now > last + connection.grace + slack
            {
                let late = now - last - connection.grace;
                return Err(format!("{channel}: {key:?} is there {late} ms after its grace"));
            }
        }
        match expected.keys().find(|key| !found.contains_key(*key)) {
            Some(key) => Err(format!("{channel}: {key:?} is gone and must not be")),
            None => Ok(()),
        }
    }

    /// The channels that have had members.
    pub(crate) fn channels(&self) -> Vec<SmolStr> {
        self.channels.keys().cloned().collect()
    }
}

/// The message serial and the index in an id that was made from a frame of this connection.
pub(crate) fn own_place(id: &str, connection: &str) -> Option<(i64, i64)> {
    let (serial, index) = id.strip_prefix(connection)?.strip_prefix(':')?.split_once(':')?;
    Some((serial.parse().ok()?, index.parse().ok()?))
}
