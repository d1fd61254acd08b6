//! The member set that both halves share: who is present on a channel.
//!
//! [`MemberSet`] stores members compactly and finds them by member key (client id + connection
//! id, TP3h) or by client id alone. [`Version`] is the order of newness (RTP2b). On top of them
//! `MemberSet::apply` and its siblings are what a client does with presence messages and syncs
//! (RTP2, RTP18, RTP19); a server, which is the authority, puts and removes.

mod incoming;
mod member;
mod newness;
mod set;
mod sync;

pub(crate) use incoming::Incoming;
pub use member::{Member, MemberSnapshot};
pub use newness::Version;
pub(crate) use set::{MemberPage, Place};
pub use set::{MemberSet, Members, MembersOfClient};

crate::slab::keys! {
    /// The number of a member in its set: stable while the member is present, then used again.
    pub struct Slot;
}

impl Slot {
    /// The slot with this number; whether a member is in it is for the set to say.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The number: dense, from 0, so that an array beside the set can be indexed by it.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}
