//! Storage, lookup and iteration of members.

use super::Slot;
use super::incoming::Incoming;
use super::member::{Member, Record};
use crate::SmolStr;
use crate::lookup::{Lookup, fold};
use crate::ring;
use crate::slab::{self, Slab, Snapshot};
use crate::wire::{PresenceAction, PresenceMessage};
use alloc::vec::Vec;
use core::hash::BuildHasher;
use foldhash::fast::FixedState;

/// The members of one channel.
///
/// Lookups by member key and by client id are O(1), also for a client id with many connections.
/// Iteration is in slot order, independent of hashes.
#[derive(Clone, Debug)]
pub struct MemberSet {
    pub(super) records: Slab<Slot, Record>,
    /// The first member of each client id, by client id.
    firsts: Lookup<Slot>,
    /// All other members, by member key.
    others: Lookup<Slot>,
    hasher: FixedState,
    /// Number of members marked absent.
    pub(super) absent: usize,
    /// The number of the last sync.
    pub(super) sync: u32,
    pub(super) syncing: bool,
}

/// Where to insert a new member.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// As the first member of its client id.
    First { client_hash: u32 },
    /// After the other members of its client id, the first of which is `first`.
    Other { first: Slot, key_hash: u32 },
}

impl MemberSet {
    /// An empty set. The seed of the hash tables makes collisions unpredictable for peers. It does
    /// not affect any result.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            records: Slab::new(),
            firsts: Lookup::new(),
            others: Lookup::new(),
            hasher: FixedState::with_seed(seed),
            absent: 0,
            sync: 0,
            syncing: false,
        }
    }

    /// Number of present members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len() - self.absent
    }

    /// Number of stored members: present ones, and those marked absent during a sync.
    #[must_use]
    pub fn stored(&self) -> usize {
        self.records.len()
    }

    /// Whether no member is present.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slot of a member, present or marked absent.
    #[must_use]
    pub fn find(&self, client_id: &str, connection_id: &str) -> Option<Slot> {
        self.locate(client_id, connection_id).ok()
    }

    pub(crate) fn contains(&self, incoming: &Incoming<'_>) -> bool {
        self.locate(incoming.client_id, incoming.connection_id).is_ok()
    }

    /// The member in a slot, present or marked absent.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<Member<'_>> {
        self.records.get(slot).map(|record| Member { record })
    }

    /// The first present member at or after a slot number. Members keep their slots, so a slot
    /// number is a stable cursor while other members enter and leave.
    #[must_use]
    pub fn next_from(&self, number: u32) -> Option<(Slot, Member<'_>)> {
        self.iter_from(number).next()
    }

    /// The present members from a slot number on, with their slots.
    pub(crate) fn iter_from(&self, number: u32) -> impl Iterator<Item = (Slot, Member<'_>)> {
        let records = self.records.iter_from(number).filter(|(_, record)| !record.absent);
        records.map(|(slot, record)| (slot, Member { record }))
    }

    /// All present members, in slot order.
    #[must_use]
    pub fn iter(&self) -> Members<'_> {
        Members { records: self.records.iter(), marks: self.absent > 0, left: self.len() }
    }

    /// All stored members, in slot order: present ones, and those marked absent during a sync.
    pub fn iter_stored(&self) -> impl Iterator<Item = Member<'_>> {
        self.records.iter().map(|(_, record)| Member { record })
    }

    /// The present members of one client id, in the order of insertion (RTP11c2). O(n) in the
    /// number of these members only.
    #[must_use]
    pub fn of_client(&self, client_id: &str) -> MembersOfClient<'_> {
        MembersOfClient { set: self, next: self.first_of(client_id) }
    }

    /// The slots of the present members of one client id, from a slot number on, in slot order. A
    /// slot is a stable cursor while members enter and leave; a position in the order of insertion
    /// is not.
    pub(crate) fn slots_of_client(&self, client_id: &str, from: u32) -> Vec<Slot> {
        let links = core::iter::successors(self.first_of(client_id), |slot| {
            self.records.get(*slot)?.links.next()
        });
        let mut slots: Vec<Slot> = links.filter(|slot| slot.number() >= from).collect();
        slots.retain(|slot| self.records.get(*slot).is_some_and(|record| !record.absent));
        slots.sort_unstable();
        slots
    }

    /// A snapshot of the members from a slot number on, in slot order, while `accept` returns `true`;
    /// and the slot of the first member not taken. The members are shared with the set, not copied.
    pub(crate) fn snapshot(
        &mut self,
        from: u32,
        mut accept: impl FnMut(Slot, Member<'_>) -> bool,
    ) -> (MemberPage, Option<Slot>) {
        debug_assert_eq!(self.absent, 0, "an authority marks nobody absent");
        let accept = |slot, record: &Record| accept(slot, Member { record });
        let (records, stopped) = self.records.snapshot(from, accept);
        (MemberPage { records }, stopped)
    }

    /// A copy of the set that shares all members with it, for reading.
    pub(crate) fn share(&mut self) -> SharedMembers {
        debug_assert_eq!(self.absent, 0, "an authority marks nobody absent");
        SharedMembers { records: self.records.share() }
    }

    /// Inserts a new member at a free slot. For an authority. `false` without a change if it has no
    /// client id or connection id, if it is present, or if the slot is not free.
    pub(crate) fn restore(&mut self, slot: Slot, message: &PresenceMessage) -> bool {
        let Some(incoming) = Incoming::complete(message) else { return false };
        let Err(place) = self.locate(incoming.client_id, incoming.connection_id) else {
            return false;
        };
        if self.records.get(slot).is_some() {
            return false;
        }
        self.records.insert_at(slot, Record::new(&incoming, self.sync));
        self.link(place, slot);
        true
    }

    /// Inserts or replaces a member, and returns its slot. For an authority: newness is not
    /// compared. `None` without a change if the client id or the connection id is absent or empty.
    pub fn put(&mut self, message: &PresenceMessage) -> Option<Slot> {
        let incoming = Incoming::complete(message)?;
        self.put_incoming(self.locate(incoming.client_id, incoming.connection_id), &incoming)
    }

    /// Like [`put`](Self::put), with the result of [`locate`](Self::locate).
    pub(crate) fn put_at(
        &mut self,
        place: Result<Slot, Place>,
        message: &PresenceMessage,
    ) -> Option<Slot> {
        self.put_incoming(place, &Incoming::complete(message)?)
    }

    fn put_incoming(
        &mut self,
        place: Result<Slot, Place>,
        incoming: &Incoming<'_>,
    ) -> Option<Slot> {
        match place {
            Ok(slot) => {
                let record = self.records.get_mut(slot)?;
                record.replace(incoming, incoming.sequence());
                if core::mem::replace(&mut record.absent, false) {
                    self.absent -= 1;
                }
                Some(slot)
            }
            Err(place) => self.insert(place, Record::new(incoming, self.sync)),
        }
    }

    /// Removes a member, and returns it as a LEAVE with its last data.
    pub fn remove(&mut self, slot: Slot) -> Option<PresenceMessage> {
        self.take(slot).map(|record| record.to_message(PresenceAction::Leave))
    }

    /// Like [`remove`](Self::remove), without an id: the caller sets a new one.
    #[inline]
    pub(crate) fn take_out(&mut self, slot: Slot) -> Option<PresenceMessage> {
        self.take(slot).map(Record::into_leave)
    }

    /// Removes all members without leaves, and ends a running sync.
    pub fn clear(&mut self) {
        self.records = Slab::new();
        self.firsts = Lookup::new();
        self.others = Lookup::new();
        self.absent = 0;
        self.syncing = false;
    }

    /// The slot of a member, or where to insert it.
    ///
    /// Generic, because comparing a `SmolStr` with a `SmolStr` is faster than with a `str`.
    pub(crate) fn locate<T>(&self, client_id: &T, connection_id: &T) -> Result<Slot, Place>
    where
        T: AsRef<str> + ?Sized,
        SmolStr: PartialEq<T>,
    {
        let client_hash = self.client_hash(client_id.as_ref());
        let Some(first) = self.first_entry(client_hash, client_id) else {
            return Err(Place::First { client_hash });
        };
        let Some(record) = self.records.get(first) else {
            return Err(Place::First { client_hash });
        };
        if record.connection_id == *connection_id {
            return Ok(first);
        }
        let key_hash = self.key_hash(client_id.as_ref(), connection_id.as_ref());
        let place = Place::Other { first, key_hash };
        if record.links.next().is_none() {
            return Err(place);
        }
        let found = self.others.find(key_hash, |slot| {
            self.records.get(slot).is_some_and(|record| {
                record.connection_id == *connection_id && record.client_id == *client_id
            })
        });
        found.ok_or(place)
    }

    /// Inserts a new member at the place returned by `locate`.
    pub(super) fn insert(&mut self, place: Place, record: Record) -> Option<Slot> {
        let absent = record.absent;
        let slot = self.records.insert(record)?;
        self.link(place, slot);
        self.absent += usize::from(absent);
        Some(slot)
    }

    /// Adds a stored record to the tables.
    fn link(&mut self, place: Place, slot: Slot) {
        let mut first = None;
        match place {
            Place::First { client_hash: hash } => {
                self.firsts.insert(hash, slot);
            }
            Place::Other { first: head, key_hash: hash } => {
                self.others.insert(hash, slot);
                first = Some(head);
            }
        }
        ring::push_back(&mut self.records, &mut first, slot);
    }

    /// Removes a record from the storage and from both tables.
    pub(super) fn take(&mut self, slot: Slot) -> Option<Record> {
        let record = self.records.get(slot)?;
        let client_hash = self.client_hash(&record.client_id);
        let next = record.links.next();
        let was_first = match next {
            Some(next) => self.firsts.replace(client_hash, slot, next),
            None => self.firsts.remove(client_hash, slot),
        };
        if was_first {
            if let Some(next) = next {
                ring::remove(&mut self.records, &mut Some(slot), slot);
                self.promote(next);
            }
        } else {
            let key_hash = self.key_hash(&record.client_id, &record.connection_id);
            let mut first = self.first_entry(client_hash, &record.client_id);
            ring::remove(&mut self.records, &mut first, slot);
            self.others.remove(key_hash, slot);
        }
        let record = self.records.remove(slot)?;
        self.absent -= usize::from(record.absent);
        Some(record)
    }

    /// Removes the new first member of a client id from the table of the others.
    fn promote(&mut self, slot: Slot) {
        let Some(record) = self.records.get(slot) else {
            debug_assert!(false, "{slot:?} dangles");
            return;
        };
        let hash = hash_key(&self.hasher, &record.client_id, &record.connection_id);
        self.others.remove(hash, slot);
    }

    pub(crate) fn first_of(&self, client_id: &str) -> Option<Slot> {
        self.first_entry(self.client_hash(client_id), client_id)
    }

    fn first_entry<T>(&self, hash: u32, client_id: &T) -> Option<Slot>
    where
        T: ?Sized,
        SmolStr: PartialEq<T>,
    {
        self.firsts
            .find(hash, |slot| self.records.get(slot).is_some_and(|r| r.client_id == *client_id))
    }

    fn client_hash(&self, client_id: &str) -> u32 {
        fold(self.hasher.hash_one(client_id))
    }

    fn key_hash(&self, client_id: &str, connection_id: &str) -> u32 {
        hash_key(&self.hasher, client_id, connection_id)
    }
}

impl<'a> IntoIterator for &'a MemberSet {
    type Item = Member<'a>;
    type IntoIter = Members<'a>;
    fn into_iter(self) -> Members<'a> {
        self.iter()
    }
}

fn hash_key(hasher: &FixedState, client_id: &str, connection_id: &str) -> u32 {
    fold(hasher.hash_one((client_id, connection_id)))
}

/// All members of a set at one time. Later changes of the set do not affect them.
#[derive(Clone, Debug)]
pub(crate) struct SharedMembers {
    records: slab::Shared<Slot, Record>,
}

impl SharedMembers {
    /// The members from a slot number on, with their slots.
    pub(crate) fn iter_from(&self, number: u32) -> impl Iterator<Item = (Slot, Member<'_>)> {
        self.records.iter_from(number).map(|(slot, record)| (slot, Member { record }))
    }
}

/// A snapshot of some members.
#[derive(Clone, Debug)]
pub(crate) struct MemberPage {
    records: Snapshot<Record>,
}

impl MemberPage {
    /// The members, in slot order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Member<'_>> {
        self.records.iter().map(|record| Member { record })
    }
}

/// The present members of a [`MemberSet`], in slot order.
#[derive(Debug)]
pub struct Members<'a> {
    records: slab::Iter<'a, Slot, Record>,
    /// Whether there are marks to skip. If not, `absent` is not read.
    marks: bool,
    left: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    #[inline]
    fn next(&mut self) -> Option<Member<'a>> {
        let marks = self.marks;
        let (_, record) = self.records.find(|(_, record)| !(marks && record.absent))?;
        self.left -= 1;
        Some(Member { record })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Members<'_> {}

/// The present members of one client id.
#[derive(Debug)]
pub struct MembersOfClient<'a> {
    set: &'a MemberSet,
    next: Option<Slot>,
}

impl<'a> Iterator for MembersOfClient<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        loop {
            let member = self.set.get(self.next?)?;
            self.next = member.record.links.next();
            if !member.record.absent {
                return Some(member);
            }
        }
    }
}
