//! What is known of a channel and of the attachments to it.

use super::coalesce::Pending;
use super::history::History;
use super::limits::Bucket;
use super::occupancy::{Metrics, Occupancy, Watch};
use super::roster::grown;
use super::sooner;
use super::sync::Sync;
use crate::members::{MemberSet, Slot};
use crate::slab::Slab;
use crate::wire::{Modes, Params, PresenceMessage};
use crate::{Instant, SmolStr, TransportId};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::time::Duration;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// A channel, for as long as it has attachments or a history.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) name: SmolStr,
    pub(super) members: MemberSet,
    /// Beside the members' slots: whose they are.
    pub(super) owners: Vec<Owner>,
    /// Bytes of the members' data.
    pub(super) member_bytes: usize,
    pub(super) attachments: u32,
    /// Kicks that are under way. Nobody enters or changes until they are over.
    pub(super) kicks: u32,
    /// Who is told of presence events, and of messages.
    pub(super) presence: Audience,
    pub(super) messages: Audience,
    /// Who is told of the occupancy.
    pub(super) watchers: Vec<Slot>,
    /// How many attachments use it, of each kind.
    pub(super) attached: Occupancy,
    pub(super) watch: Watch,
    /// The position of the last frame, and of the last of each kind.
    pub(super) last: u64,
    pub(super) last_presence: u64,
    pub(super) last_message: u64,
    pub(super) rate: Bucket,
    pub(super) history: History,
    /// Events that are gathered before they are told; `None` if they are told at once.
    pub(super) window: Option<Duration>,
    pub(super) pending: Option<Box<Pending>>,
    /// Leaves that wait for the end of the present step, to be told in one frame. Their ids follow
    /// from that of the frame, unless they are written out.
    pub(super) leaves: Vec<PresenceMessage>,
    /// The position and the id of that frame.
    pub(super) leaves_serial: u64,
    pub(super) leaves_id: SmolStr,
    /// What the channel's timer waits for.
    pub(super) history_at: Option<Instant>,
    pub(super) window_at: Option<Instant>,
    pub(super) occupancy_at: Option<Instant>,
}

impl Channel {
    pub(super) fn new(name: SmolStr, serial: u64, seed: u64, window: Option<Duration>) -> Self {
        Self {
            name,
            members: MemberSet::new(seed),
            owners: Vec::new(),
            member_bytes: 0,
            attachments: 0,
            kicks: 0,
            presence: Audience::default(),
            messages: Audience::default(),
            watchers: Vec::new(),
            attached: Occupancy::default(),
            watch: Watch::default(),
            last: serial,
            last_presence: serial,
            last_message: serial,
            rate: Bucket::default(),
            history: History::default(),
            window,
            pending: None,
            leaves: Vec::new(),
            leaves_serial: 0,
            leaves_id: SmolStr::default(),
            history_at: None,
            window_at: None,
            occupancy_at: None,
        }
    }

    /// When its timer must fire next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        sooner(sooner(self.history_at, self.window_at), self.occupancy_at)
    }

    /// How many use it.
    pub(super) fn occupancy(&self) -> Occupancy {
        let presence_members = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        Occupancy { presence_members, ..self.attached }
    }

    /// Whether nothing is known of the channel any more.
    pub(super) fn is_unused(&self) -> bool {
        self.attachments == 0
            && self.kicks == 0
            && self.members.is_empty()
            && self.history.is_empty()
            && self.leaves.is_empty()
            && self.pending.is_none()
    }

    pub(super) fn owner(&self, member: Slot) -> Option<&Owner> {
        self.owners.get(member.number() as usize)
    }

    /// The members of an attachment, the newest first, from one of them on.
    pub(super) fn own_from(&self, first: Option<Slot>) -> impl Iterator<Item = Slot> {
        core::iter::successors(first, |member| self.owner(*member)?.next)
    }

    /// Links a new member to its attachment.
    pub(super) fn link(&mut self, member: Slot, attachment: Slot, entry: &mut Attachment) {
        let index = member.number() as usize;
        if index >= self.owners.len() {
            let owner = Owner { attachment, bytes: 0, next: None, previous: None };
            self.owners.resize(index + 1, owner);
        }
        let next = entry.first_member.replace(member);
        if let Some(next) = next.and_then(|next| self.owners.get_mut(next.number() as usize)) {
            next.previous = Some(member);
        }
        if let Some(owner) = self.owners.get_mut(index) {
            *owner = Owner { attachment, bytes: 0, next, previous: None };
        }
    }

    /// The bytes that a member counts for.
    pub(super) fn bytes_of(&self, member: Slot) -> usize {
        self.owner(member).map_or(0, |owner| owner.bytes as usize)
    }

    /// Sets what a member counts for.
    pub(super) fn set_bytes_of(&mut self, member: Slot, bytes: u32) {
        let before = self.bytes_of(member);
        if let Some(owner) = self.owners.get_mut(member.number() as usize) {
            owner.bytes = bytes;
            self.member_bytes = grown(self.member_bytes, before, bytes as usize);
        }
    }

    /// Unlinks a member that is gone from its attachment. It counts for nothing any more.
    pub(super) fn unlink(&mut self, member: Slot, entry: &mut Attachment) {
        self.set_bytes_of(member, 0);
        let Some(&owner) = self.owner(member) else { return };
        match owner.previous.and_then(|slot| self.owners.get_mut(slot.number() as usize)) {
            Some(previous) => previous.next = owner.next,
            None => entry.first_member = owner.next,
        }
        if let Some(next) = owner.next.and_then(|slot| self.owners.get_mut(slot.number() as usize))
        {
            next.previous = owner.previous;
        }
        if let Some(sync) = &mut entry.sync {
            sync.passes_over(member, owner.next);
        }
        if self.members.is_empty() {
            self.owners = Vec::new();
        }
    }
}

/// Whose a member is, what it counts for, and its neighbours among the members of the same
/// attachment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) attachment: Slot,
    /// The bytes that the member counts for.
    bytes: u32,
    next: Option<Slot>,
    previous: Option<Slot>,
}

/// Who is told of one kind of event: a list that broadcasts share.
#[derive(Clone, Debug, Default)]
pub(super) struct Audience {
    to: Arc<Vec<TransportId>>,
    who: Vec<Slot>,
}

impl Audience {
    /// The list as it is now. It is copied only if it changes while someone holds it.
    pub(super) fn share(&self) -> Arc<Vec<TransportId>> {
        Arc::clone(&self.to)
    }

    /// Adds an attachment and tells its place.
    fn add(&mut self, transport: TransportId, attachment: Slot) -> Option<u32> {
        let place = u32::try_from(self.who.len()).ok()?;
        self.who.push(attachment);
        Arc::make_mut(&mut self.to).push(transport);
        Some(place)
    }

    /// Takes out what is at a place. What was last moves there and is told.
    fn remove(&mut self, place: u32) -> Option<Slot> {
        let index = place as usize;
        if index >= self.who.len() {
            return None;
        }
        self.who.swap_remove(index);
        if self.who.is_empty() {
            self.who = Vec::new();
            self.to = Arc::default();
        } else {
            Arc::make_mut(&mut self.to).swap_remove(index);
        }
        self.who.get(index).copied()
    }
}

/// The attachment of a connection to a channel.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    pub(super) connection: Slot,
    pub(super) channel: Slot,
    /// Neighbours among the attachments of the connection.
    pub(super) next: Option<Slot>,
    pub(super) previous: Option<Slot>,
    /// What it asked for, and what it got.
    pub(super) requested: Modes,
    pub(super) granted: Modes,
    pub(super) params: Option<Box<Params>>,
    pub(super) metrics: Metrics,
    /// Whether the present transport attached it. If not, it waits for the connection to come
    /// back, or to attach it again.
    pub(super) live: bool,
    /// Its places in the two audiences.
    pub(super) presence_place: Option<u32>,
    pub(super) message_place: Option<u32>,
    /// Where the channel stood when it was taken out of the audiences; of presence 0 if something
    /// was gathered then, which nobody had been told.
    pub(super) presence_mark: u64,
    pub(super) message_mark: u64,
    /// The first of its members.
    pub(super) first_member: Option<Slot>,
    /// The sync that is under way.
    pub(super) sync: Option<Sync>,
    /// Whether it stands in the queue of syncs.
    pub(super) queued: bool,
    /// Whether a sync is owed, which the client asked for too early.
    pub(super) owed: bool,
    pub(super) syncs: Bucket,
}

impl Attachment {
    pub(super) fn new(connection: Slot, channel: Slot) -> Self {
        Self {
            connection,
            channel,
            next: None,
            previous: None,
            requested: Modes::empty(),
            granted: Modes::empty(),
            params: None,
            metrics: Metrics::empty(),
            live: false,
            presence_place: None,
            message_place: None,
            presence_mark: 0,
            message_mark: 0,
            first_member: None,
            sync: None,
            queued: false,
            owed: false,
            syncs: Bucket::default(),
        }
    }

    /// Whether it is in an audience.
    pub(super) const fn hears(&self) -> bool {
        self.presence_place.is_some() || self.message_place.is_some()
    }
}

/// All channels and attachments.
#[derive(Clone, Debug)]
pub(super) struct Channels {
    slab: Slab<Slot, Option<Channel>>,
    names: HashTable<Slot>,
    attachments: Slab<Slot, Option<Attachment>>,
    /// Attachments by connection and channel.
    pairs: HashTable<Slot>,
    /// Bytes of the members of all channels.
    pub(super) member_bytes: usize,
    hasher: FixedState,
}

impl Channels {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            slab: Slab::new(),
            names: HashTable::new(),
            attachments: Slab::new(),
            pairs: HashTable::new(),
            member_bytes: 0,
            hasher: FixedState::with_seed(seed),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) const fn attachments(&self) -> usize {
        self.attachments.len()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Channel> {
        self.slab.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Channel> {
        self.slab.get_mut(slot)
    }

    pub(super) fn by_name(&self, name: &str) -> Option<Slot> {
        let same = |slot: &Slot| self.slab.get(*slot).is_some_and(|c| c.name == name);
        self.names.find(self.hasher.hash_one(name), same).copied()
    }

    pub(super) fn insert(&mut self, channel: Channel) -> Option<Slot> {
        let hash = self.hasher.hash_one(channel.name.as_str());
        let slot = self.slab.insert(channel)?;
        let (slab, hasher) = (&self.slab, &self.hasher);
        self.names.insert_unique(hash, slot, |slot| {
            slab.get(*slot).map_or(0, |c| hasher.hash_one(c.name.as_str()))
        });
        Some(slot)
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        let Some(channel) = self.slab.remove(slot) else { return };
        let hash = self.hasher.hash_one(channel.name.as_str());
        if let Ok(entry) = self.names.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
        if self.slab.len() == 0 {
            self.names = HashTable::new();
        } else if self.names.capacity() > 64 && self.names.len() < self.names.capacity() / 8 {
            let (slab, hasher) = (&self.slab, &self.hasher);
            self.names.shrink_to(self.names.len() * 2, |slot| {
                slab.get(*slot).map_or(0, |c| hasher.hash_one(c.name.as_str()))
            });
        }
    }

    pub(super) fn attachment(&self, slot: Slot) -> Option<&Attachment> {
        self.attachments.get(slot)
    }

    pub(super) fn attachment_mut(&mut self, slot: Slot) -> Option<&mut Attachment> {
        self.attachments.get_mut(slot)
    }

    /// An attachment and its channel.
    pub(super) fn both_mut(&mut self, slot: Slot) -> Option<(&mut Attachment, &mut Channel)> {
        let attachment = self.attachments.get_mut(slot)?;
        let channel = self.slab.get_mut(attachment.channel)?;
        Some((attachment, channel))
    }

    /// The attachment of a connection to a channel.
    pub(super) fn pair(&self, connection: Slot, channel: Slot) -> Option<Slot> {
        let same = |slot: &Slot| {
            self.attachments
                .get(*slot)
                .is_some_and(|a| a.connection == connection && a.channel == channel)
        };
        self.pairs.find(self.hasher.hash_one((connection, channel)), same).copied()
    }

    pub(super) fn attach(&mut self, attachment: Attachment) -> Option<Slot> {
        let hash = self.hasher.hash_one((attachment.connection, attachment.channel));
        let channel = attachment.channel;
        let slot = self.attachments.insert(attachment)?;
        if let Some(channel) = self.slab.get_mut(channel) {
            channel.attachments += 1;
        }
        let (attachments, hasher) = (&self.attachments, &self.hasher);
        self.pairs.insert_unique(hash, slot, |slot| pair_hash(attachments, hasher, *slot));
        Some(slot)
    }

    pub(super) fn detach(&mut self, slot: Slot) -> Option<Attachment> {
        let attachment = self.attachments.remove(slot)?;
        let hash = self.hasher.hash_one((attachment.connection, attachment.channel));
        if let Ok(entry) = self.pairs.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
        if let Some(channel) = self.slab.get_mut(attachment.channel) {
            channel.attachments = channel.attachments.saturating_sub(1);
        }
        if self.attachments.len() == 0 {
            self.pairs = HashTable::new();
        } else if self.pairs.capacity() > 64 && self.pairs.len() < self.pairs.capacity() / 8 {
            let (attachments, hasher) = (&self.attachments, &self.hasher);
            self.pairs
                .shrink_to(self.pairs.len() * 2, |slot| pair_hash(attachments, hasher, *slot));
        }
        Some(attachment)
    }

    /// Puts an attachment into the audiences that its modes give it.
    pub(super) fn join(&mut self, slot: Slot, transport: TransportId) {
        let Some((attachment, channel)) = self.both_mut(slot) else { return };
        if attachment.granted.contains(Modes::PRESENCE_SUBSCRIBE)
            && attachment.presence_place.is_none()
        {
            attachment.presence_place = channel.presence.add(transport, slot);
        }
        if attachment.granted.contains(Modes::SUBSCRIBE) && attachment.message_place.is_none() {
            attachment.message_place = channel.messages.add(transport, slot);
        }
    }

    /// Takes an attachment out of the audiences and marks where the channel stood.
    pub(super) fn part(&mut self, slot: Slot) {
        let Some((attachment, channel)) = self.both_mut(slot) else { return };
        let places = (attachment.presence_place.take(), attachment.message_place.take());
        if places == (None, None) {
            return;
        }
        if places.0.is_some() {
            // What is gathered is not told to it any more, so it has missed that.
            let gathered = channel.pending.is_some();
            attachment.presence_mark = if gathered { 0 } else { channel.last_presence };
        }
        if places.1.is_some() {
            attachment.message_mark = channel.last_message;
        }
        let moved = places.0.and_then(|place| channel.presence.remove(place));
        let moved_too = places.1.and_then(|place| channel.messages.remove(place));
        if let Some(moved) = moved.and_then(|moved| self.attachments.get_mut(moved)) {
            moved.presence_place = places.0;
        }
        if let Some(moved) = moved_too.and_then(|moved| self.attachments.get_mut(moved)) {
            moved.message_place = places.1;
        }
    }
}

fn pair_hash(attachments: &Slab<Slot, Option<Attachment>>, hasher: &FixedState, slot: Slot) -> u64 {
    attachments.get(slot).map_or(0, |a| hasher.hash_one((a.connection, a.channel)))
}
