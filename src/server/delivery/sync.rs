//! The progress of a sync, and the size of its pages.

use crate::members::Slot;

/// Estimated bytes of a member in a page, apart from its data.
const OVERHEAD: usize = 120;

/// A running sync.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Sync {
    pub(super) sequence: u64,
    pub(super) next: Cursor,
    /// Whether to start over at the end: the client missed changes of members in earlier pages.
    pub(super) repeat: bool,
}

/// The start of the next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Cursor {
    /// A slot of the channel's members.
    All(u32),
    /// One of the connection's own members, in the order of their list. Members that enter meanwhile
    /// come first in the list; the connection is notified of each separately.
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

    pub(in crate::server) const fn set_next(&mut self, next: Cursor) {
        self.next = next;
    }

    /// Requires another sync after this one, because the client missed changes. Not if no page is
    /// sent yet.
    pub(in crate::server) fn request_repeat(&mut self) {
        self.repeat |= self.next != Cursor::START;
    }

    /// A member was removed. `next` is the next one in the list of the same connection.
    pub(super) fn member_removed(&mut self, member: Slot, next: Option<Slot>) {
        if self.next == Cursor::Own(Some(member)) {
            self.next = Cursor::Own(next);
        }
    }
}

/// The members and bytes of a page. The first member always fits.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct PageBudget {
    members: usize,
    bytes: usize,
    members_taken: usize,
    size: usize,
}

impl PageBudget {
    /// Creates a budget.
    pub(in crate::server) fn new(members: usize, bytes: usize) -> Self {
        Self { members: members.max(1), bytes, members_taken: 0, size: 0 }
    }

    /// Takes a member with these bytes of data, if it fits.
    pub(in crate::server) const fn try_take(&mut self, bytes: usize) -> bool {
        let size = self.size.saturating_add(bytes + OVERHEAD);
        if self.members_taken >= self.members || (size > self.bytes && self.members_taken > 0) {
            return false;
        }
        self.size = size;
        self.members_taken += 1;
        true
    }

    /// Estimated bytes of the frame.
    pub(in crate::server) const fn size(&self) -> usize {
        self.size.saturating_add(OVERHEAD)
    }
}
