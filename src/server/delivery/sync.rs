//! How far a sync is, and how much goes into a page.

use crate::members::Slot;

/// Bytes of a member in a page beside its data, roughly.
const OVERHEAD: usize = 120;

/// A sync that is under way.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Sync {
    pub(super) sequence: u64,
    pub(super) next: Cursor,
    /// Whether another has to follow: of what earlier pages told, something has changed unheard.
    pub(super) repeat: bool,
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

    pub(in crate::server) const fn must_repeat(self) -> bool {
        self.repeat
    }

    /// The page has been sent; this is where the next one starts.
    pub(in crate::server) const fn set_next(&mut self, next: Cursor) {
        self.next = next;
    }

    /// Members have changed, unheard by the client: another sync has to follow if this one has begun.
    pub(in crate::server) fn request_repeat(&mut self) {
        self.repeat |= self.next != Cursor::START;
    }

    /// A member has gone, which `next` followed among those of the same connection.
    pub(super) fn member_removed(&mut self, member: Slot, next: Option<Slot>) {
        if self.next == Cursor::Own(Some(member)) {
            self.next = Cursor::Own(next);
        }
    }
}

/// Says which members go into a page: so many at most and, once there is one, so many bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct PageBudget {
    members: usize,
    bytes: usize,
    members_taken: usize,
    size: usize,
}

impl PageBudget {
    /// PageBudget for so many members and so many bytes.
    pub(in crate::server) fn new(members: usize, bytes: usize) -> Self {
        Self { members: members.max(1), bytes, members_taken: 0, size: 0 }
    }

    /// Takes a member with so many bytes of data, if there is room for it.
    pub(in crate::server) const fn try_take(&mut self, bytes: usize) -> bool {
        let size = self.size.saturating_add(bytes + OVERHEAD);
        if self.members_taken >= self.members || (size > self.bytes && self.members_taken > 0) {
            return false;
        }
        self.size = size;
        self.members_taken += 1;
        true
    }

    /// The bytes of a frame with what was taken, roughly.
    pub(in crate::server) const fn size(&self) -> usize {
        self.size.saturating_add(OVERHEAD)
    }
}
