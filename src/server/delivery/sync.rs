//! How far a sync is, and its pages.

use crate::SmolStr;
use crate::members::{Member, Slot};
use crate::server::state::{Channel, sync_serial};
use crate::wire::{Format, Items, PresenceAction, PresenceMessage, ProtocolMessage};
use alloc::vec::Vec;

/// Bytes of a member in a page beside its data, roughly.
const OVERHEAD: usize = 120;

/// A sync that is under way.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Sync {
    pub(super) sequence: u64,
    pub(super) next: Cursor,
    /// Whether another has to follow: of what earlier pages told, something has changed unheard.
    pub(super) again: bool,
}

/// Where the next page starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Cursor {
    /// At a slot of the channel's members.
    All(u32),
    /// At one of the connection's own members, in the order in which they are linked. Those that
    /// enter meanwhile stand before all others, and are told apart.
    Own(Option<Slot>),
}

impl Cursor {
    pub(in crate::server) const START: Self = Self::All(0);
}

impl Sync {
    pub(in crate::server) const fn next(self) -> Cursor {
        self.next
    }

    pub(in crate::server) const fn sequence(self) -> u64 {
        self.sequence
    }

    pub(in crate::server) const fn is_followed_by_another(self) -> bool {
        self.again
    }

    /// The page has been sent; this is where the next one starts.
    pub(in crate::server) const fn go_on(&mut self, next: Cursor) {
        self.next = next;
    }

    /// Members have changed, unheard by the client: another sync has to follow if this one has begun.
    pub(in crate::server) fn members_changed(&mut self) {
        self.again |= self.next != Cursor::START;
    }

    /// A member has gone, which `next` followed among those of the same connection.
    pub(super) fn passes_over(&mut self, member: Slot, next: Option<Slot>) {
        if self.next == Cursor::Own(Some(member)) {
            self.next = Cursor::Own(next);
        }
    }
}

/// A page of a sync: members, where they are kept.
pub(in crate::server) struct Page<'a> {
    /// The most members and, once there is one, the most bytes.
    limit: usize,
    bytes: usize,
    size: usize,
    members: Vec<Member<'a>>,
    next: Option<Cursor>,
}

impl<'a> Page<'a> {
    /// The members of a channel from a cursor on, as far as a page goes.
    pub(in crate::server) fn new(
        channel: &'a Channel,
        from: Cursor,
        limit: usize,
        bytes: usize,
    ) -> Self {
        let limit = limit.max(1);
        let mut page = Self { limit, bytes, size: 0, members: Vec::new(), next: None };
        page.next = match from {
            Cursor::All(from) => page.fill_from(channel, from).map(Cursor::All),
            Cursor::Own(first) => {
                page.fill_with_own(channel, first).map(|next| Cursor::Own(Some(next)))
            }
        };
        page
    }

    /// Where the next page starts; `None` if this is the last.
    pub(in crate::server) const fn next(&self) -> Option<Cursor> {
        self.next
    }

    pub(in crate::server) const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Its serial in a sync of this sequence (RTP18b); none of a page of own members.
    pub(in crate::server) fn serial(&self, from: Cursor, sequence: u64) -> Option<SmolStr> {
        match (from, self.next) {
            (Cursor::All(_), Some(Cursor::All(next))) => Some(sync_serial(sequence, Some(next))),
            (Cursor::All(_), _) => Some(sync_serial(sequence, None)),
            (Cursor::Own(_), _) => None,
        }
    }

    /// Adds a member of so many bytes if there is room for it.
    fn takes(&mut self, member: Member<'a>, bytes: usize) -> bool {
        let size = self.size.saturating_add(bytes + OVERHEAD);
        let is_empty = self.members.is_empty();
        if self.members.len() >= self.limit || (size > self.bytes && !is_empty) {
            return false;
        }
        self.size = size;
        self.members.push(member);
        true
    }

    /// Takes the members of a channel from a slot on, and tells where the next page starts.
    fn fill_from(&mut self, channel: &'a Channel, from: u32) -> Option<u32> {
        self.members.reserve(self.limit.min(channel.members().len()));
        let mut rest = channel.members().iter_from(from);
        let rest = rest.find(|(slot, member)| !self.takes(*member, channel.bytes_of(*slot)));
        rest.map(|(slot, _)| slot.number())
    }

    /// The same with those of one connection.
    fn fill_with_own(&mut self, channel: &'a Channel, first: Option<Slot>) -> Option<Slot> {
        channel.own_from(first).find(|slot| {
            let member = channel.members().get(*slot);
            member.is_some_and(|member| !self.takes(member, channel.bytes_of(*slot)))
        })
    }

    pub(in crate::server) fn messages(&self) -> Items<PresenceMessage> {
        self.members.iter().map(|member| member.to_message(PresenceAction::Present)).collect()
    }

    /// The bytes of a frame with these members.
    pub(in crate::server) fn encode(&self, head: &ProtocolMessage, format: Format) -> Vec<u8> {
        // The size is that of JSON, nearly.
        let mut bytes = Vec::with_capacity(self.size.saturating_add(OVERHEAD));
        head.encode_with(format, self.members.iter(), &mut bytes);
        bytes
    }
}
