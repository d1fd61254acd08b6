//! The channels of a client, by name and by slot (RTS).

use super::channel::Channel;
use crate::SmolStr;
use alloc::{collections::BTreeMap, vec::Vec};

/// The number of a channel inside of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(u32);

/// The channels that a client knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Channels {
    slots: Vec<Option<Channel>>,
    free: Vec<Slot>,
    names: BTreeMap<SmolStr, Slot>,
}

impl Channels {
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn slot(&self, name: &str) -> Option<Slot> {
        self.names.get(name).copied()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Channel> {
        self.get(*self.names.get(name)?)
    }

    pub(super) fn find_mut(&mut self, name: &str) -> Option<&mut Channel> {
        let slot = *self.names.get(name)?;
        self.get_mut(slot)
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Channel> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Channel> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    /// The channel of this name, made by `make` if it is not known yet; `None` if there would be
    /// more than `limit`.
    pub(super) fn get_or_insert(
        &mut self,
        name: &SmolStr,
        limit: usize,
        make: impl FnOnce(Slot) -> Channel,
    ) -> Option<&mut Channel> {
        if let Some(&slot) = self.names.get(name) {
            return self.get_mut(slot);
        }
        if self.names.len() >= limit {
            return None;
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = Slot(u32::try_from(self.slots.len()).ok()?);
                self.slots.push(None);
                slot
            }
        };
        self.names.insert(name.clone(), slot);
        let place = self.slots.get_mut(slot.0 as usize)?;
        Some(place.insert(make(slot)))
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Channel> {
        let channel = self.slots.get_mut(slot.0 as usize)?.take()?;
        self.names.remove(&channel.name);
        self.free.push(slot);
        Some(channel)
    }

    /// All channels, in slot order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.slots.iter().flatten()
    }

    /// All channels, in slot order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Channel> {
        self.slots.iter_mut().flatten()
    }
}
