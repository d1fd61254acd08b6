//! The member set of a channel, shared by both halves.
//!
//! [`MemberSet`] stores members compactly and finds them by member key (client id and connection
//! id, TP3h) or by client id. [`Version`] compares the newness of messages (RTP2b).
//!
//! A client applies presence messages and syncs with [`MemberSet::apply`],
//! [`start_sync`](MemberSet::start_sync) and [`end_sync`](MemberSet::end_sync) (RTP2, RTP18,
//! RTP19). A server is the authority: it uses [`put`](MemberSet::put) and
//! [`remove`](MemberSet::remove), without comparing newness.

mod incoming;
mod member;
mod newness;
mod set;
mod sync;

pub(crate) use incoming::Incoming;
pub use member::{Member, MemberSnapshot};
pub use newness::Version;
pub(crate) use set::{MemberPage, Place, SharedMembers};
pub use set::{MemberSet, Members, MembersOfClient};

crate::slab::keys! {
    /// The number of a member in its set. Stable while the member is stored, then reused.
    pub struct Slot;
}

impl Slot {
    /// The slot with this number. It may be empty.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The number: dense, from 0, usable as an array index.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}
