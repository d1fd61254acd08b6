//! How far an attachment is with what it is told.

use super::{Feed, Metrics, Sync};
use crate::Instant;
use crate::members::Slot;
use crate::server::Rate;
use crate::server::bucket::TokenBucket;
use crate::server::connections::AttachmentSlot;
use crate::server::state::ChannelSlot;
use crate::slab::Key;

/// What an attachment is told, and how far it is.
#[derive(Clone, Debug)]
pub(in crate::server) struct Subscriber {
    pub(super) channel: ChannelSlot,
    /// Which figures of the occupancy it wants.
    pub(super) metrics: Metrics,
    /// Its places in the two audiences.
    pub(super) presence_place: Option<u32>,
    pub(super) message_place: Option<u32>,
    /// Where the channel stood when it was taken out of the audiences; of presence 0 if something
    /// was coalesced then, which nobody had been told.
    pub(super) presence_seen: u64,
    pub(super) messages_seen: u64,
    /// The sync that is under way.
    pub(super) sync: Option<Sync>,
    /// Whether it stands in the queue of syncs.
    pub(super) queued: bool,
    /// Whether a sync is owed, which the client asked for too early.
    pub(super) deferred: bool,
    syncs: TokenBucket,
}

impl Default for Subscriber {
    fn default() -> Self {
        Self::new(ChannelSlot::from_number(u32::MAX))
    }
}

impl Subscriber {
    pub(super) fn new(channel: ChannelSlot) -> Self {
        Self {
            channel,
            metrics: Metrics::empty(),
            presence_place: None,
            message_place: None,
            presence_seen: 0,
            messages_seen: 0,
            sync: None,
            queued: false,
            deferred: false,
            syncs: TokenBucket::default(),
        }
    }

    pub(in crate::server) const fn metrics(&self) -> Metrics {
        self.metrics
    }

    /// Whether presence events, as they are broadcast, go to it.
    pub(in crate::server) const fn receives_presence(&self) -> bool {
        self.presence_place.is_some()
    }

    /// Whether messages go to it.
    pub(in crate::server) const fn receives_messages(&self) -> bool {
        self.message_place.is_some()
    }

    pub(in crate::server) const fn is_in_audience(&self) -> bool {
        self.receives_presence() || self.receives_messages()
    }

    /// Takes it out of the audiences of its feed, and marks where the channel stands. Tells who has
    /// moved to which place of each.
    pub(super) fn leave_audiences(
        &mut self,
        feed: &mut Feed,
        presence: u64,
        messages: u64,
    ) -> [Option<(AttachmentSlot, u32)>; 2] {
        let places = [self.presence_place.take(), self.message_place.take()];
        let [in_presence, in_messages] = places;
        if in_presence.is_some() {
            // What is coalesced is not told to it any more, so it has missed that.
            self.presence_seen = if feed.pending.is_some() { 0 } else { presence };
        }
        if in_messages.is_some() {
            self.messages_seen = messages;
        }
        [
            in_presence.and_then(|place| Some((feed.presence.remove(place)?, place))),
            in_messages.and_then(|place| Some((feed.messages.remove(place)?, place))),
        ]
    }

    /// Up to where it knows the presence events of the channel: those that were told before it was
    /// taken out of the audience. 0 if some of them were coalesced then.
    pub(in crate::server) const fn presence_seen(&self) -> u64 {
        self.presence_seen
    }

    /// The same of messages.
    pub(in crate::server) const fn messages_seen(&self) -> u64 {
        self.messages_seen
    }

    /// What was told so far it need not be told.
    pub(in crate::server) const fn set_seen(&mut self, presence: u64, messages: u64) {
        self.presence_seen = presence;
        self.messages_seen = messages;
    }

    /// The sync that is under way.
    pub(in crate::server) const fn sync(&self) -> Option<Sync> {
        self.sync
    }

    /// The sync that is under way, to go on with it.
    pub(in crate::server) const fn sync_mut(&mut self) -> Option<&mut Sync> {
        self.sync.as_mut()
    }

    /// Whether it waits for members: a sync is under way or owed.
    pub(in crate::server) const fn is_awaiting_sync(&self) -> bool {
        self.sync.is_some() || self.deferred
    }

    /// Whether a sync is owed.
    pub(in crate::server) const fn is_sync_deferred(&self) -> bool {
        self.deferred
    }

    /// Sets whether a sync is owed, and tells whether one was.
    pub(in crate::server) const fn set_sync_deferred(&mut self, deferred: bool) -> bool {
        core::mem::replace(&mut self.deferred, deferred)
    }

    /// Takes a sync within the rate; if it is above, tells when one is allowed again.
    pub(in crate::server) fn admit_sync(
        &mut self,
        rate: Rate,
        now: Instant,
    ) -> Result<(), Instant> {
        if self.syncs.take(rate, now, 1) { Ok(()) } else { Err(self.syncs.next_token(rate)) }
    }

    /// A member of its own has gone, which `next` followed.
    pub(in crate::server) fn member_removed(&mut self, member: Slot, next: Option<Slot>) {
        if let Some(sync) = &mut self.sync {
            sync.member_removed(member, next);
        }
    }
}
