//! The channels of a client, by name and by key, with their deadlines (RTS).

use super::channel::Channel;
use crate::slab::{Arena, Key, keys};
use crate::{Instant, SmolStr};
use alloc::collections::{BTreeMap, BTreeSet};

keys! {
    /// The key of a channel in its client.
    pub(super) struct ChannelKey;
}

#[derive(Clone, Debug, Default)]
struct Entry {
    channel: Channel,
    /// The deadline in the index.
    indexed: Option<Instant>,
}

/// The channels of a client.
#[derive(Clone, Debug)]
pub(super) struct Channels {
    entries: Arena<ChannelKey, Entry>,
    names: BTreeMap<SmolStr, ChannelKey>,
    /// The deadlines of all channels, earliest first.
    deadlines: BTreeSet<(Instant, ChannelKey)>,
    /// The earliest deadline, cached: read on every call, seldom changed.
    next: Option<Instant>,
}

impl Channels {
    pub(super) fn new() -> Self {
        Self {
            entries: Arena::new(),
            names: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            next: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Uses of a key without a channel: bugs of this crate.
    pub(super) fn dangling(&self) -> usize {
        self.entries.dangling()
    }

    pub(super) fn key(&self, name: &str) -> Option<ChannelKey> {
        self.names.get(name).copied()
    }

    pub(super) fn get(&self, key: ChannelKey) -> &Channel {
        &self.entries[key].channel
    }

    pub(super) fn find(&self, name: &str) -> Option<&Channel> {
        self.key(name).map(|key| self.get(key))
    }

    /// The channel of this name, made by `make` if it does not exist; `None` beyond `limit`.
    pub(super) fn get_or_insert(
        &mut self,
        name: &SmolStr,
        limit: usize,
        make: impl FnOnce() -> Channel,
    ) -> Option<ChannelKey> {
        if let Some(key) = self.key(name) {
            return Some(key);
        }
        if self.len() >= limit {
            return None;
        }
        let key = self.entries.insert(Entry { channel: make(), indexed: None })?;
        self.names.insert(name.clone(), key);
        Some(key)
    }

    /// Changes a channel: the only mutable access. Afterwards indexes its deadline, and removes a
    /// released channel.
    pub(super) fn update(&mut self, key: ChannelKey, update: impl FnOnce(&mut Channel)) {
        let Entry { channel, indexed } = &mut self.entries[key];
        update(channel);
        if channel.released || channel.deadline != *indexed {
            self.reindex(key);
        }
    }

    #[cold]
    fn reindex(&mut self, key: ChannelKey) {
        let Entry { channel, indexed } = &mut self.entries[key];
        let deadline = channel.deadline.filter(|_| !channel.released);
        if let Some(old) = *indexed {
            self.deadlines.remove(&(old, key));
        }
        if let Some(new) = deadline {
            self.deadlines.insert((new, key));
        }
        *indexed = deadline;
        self.next = earliest(&self.deadlines);
        if channel.released {
            self.names.remove(&channel.name);
            self.entries.remove(key);
        }
    }

    /// Changes every channel, in the order of keys.
    pub(super) fn update_all(&mut self, mut update: impl FnMut(&mut Channel)) {
        let mut from = 0;
        while let Some((key, _)) = self.entries.next_from(from) {
            from = key.number() + 1;
            self.update(key, &mut update);
        }
    }

    /// The earliest deadline.
    pub(super) const fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Takes the channel with the earliest deadline out of the index, if it is due at `now`. The
    /// caller calls `Channel::on_deadline`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<ChannelKey> {
        self.next.filter(|&at| at <= now)?;
        let (_, key) = self.deadlines.pop_first()?;
        self.next = earliest(&self.deadlines);
        self.entries[key].indexed = None;
        Some(key)
    }

    /// All channels, in the order of keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.entries.iter().map(|(_, entry)| &entry.channel)
    }
}

fn earliest(deadlines: &BTreeSet<(Instant, ChannelKey)>) -> Option<Instant> {
    deadlines.first().map(|&(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn channels(names: &[&str]) -> (Channels, Vec<ChannelKey>) {
        let mut channels = Channels::new();
        let keys = names.iter().map(|name| {
            let name = SmolStr::from(*name);
            channels.get_or_insert(&name, names.len(), || Channel::new(name.clone(), 0))
        });
        let keys = keys.collect::<Option<_>>().expect("there is room");
        (channels, keys)
    }

    #[test]
    fn due_deadlines_are_popped_once_and_in_order() {
        let (mut channels, keys) = channels(&["a", "b", "c"]);
        for (&key, millis) in keys.iter().zip([30, 10, 20]) {
            channels.update(key, |channel| channel.deadline = Some(Instant::from_millis(millis)));
        }
        channels.update(keys[2], |channel| channel.deadline = None);
        assert_eq!(channels.next_deadline(), Some(Instant::from_millis(10)));
        assert_eq!(channels.pop_due(Instant::from_millis(9)), None);
        for key in [keys[1], keys[0]] {
            assert_eq!(channels.pop_due(Instant::from_millis(99)), Some(key));
            channels.update(key, |channel| channel.deadline = None);
        }
        assert_eq!(channels.pop_due(Instant::from_millis(99)), None);
    }

    #[test]
    fn rts4_a_released_channel_leaves_no_name_and_no_deadline() {
        let (mut channels, keys) = channels(&["a", "b"]);
        channels.update(keys[0], |channel| {
            channel.deadline = Some(Instant::from_millis(10));
        });
        channels.update(keys[0], |channel| channel.released = true);
        assert_eq!((channels.len(), channels.key("a")), (1, None));
        assert_eq!(channels.next_deadline(), None);
        assert_eq!(channels.iter().map(|channel| channel.name.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(channels.dangling(), 0);
    }

    /// A dangling key panics with debug assertions. In production it is counted, and no other
    /// channel changes.
    #[test]
    fn a_dangling_key_is_counted() {
        let (mut channels, keys) = channels(&["a", "b"]);
        channels.update(keys[0], |channel| channel.released = true);
        let dangles = core::panic::AssertUnwindSafe(|| {
            channels.update(keys[0], |channel| channel.deadline = Some(Instant::from_millis(1)));
        });
        let failed = std::panic::catch_unwind(dangles).is_err();
        assert_eq!(failed, cfg!(debug_assertions));
        assert_eq!(channels.dangling(), usize::from(!failed));
        assert_eq!(channels.find("b").map(|channel| channel.deadline), Some(None));
    }
}
