//! Delivery state of an attachment.

use super::{Feed, Metrics, Sync};
use crate::Instant;
use crate::members::Slot;
use crate::server::Rate;
use crate::server::bucket::TokenBucket;
use crate::server::connections::AttachmentSlot;
use crate::server::state::ChannelSlot;
use crate::slab::Key;

/// Delivery state of an attachment: its places in the audiences, what it has missed, its sync.
#[derive(Clone, Debug)]
pub(in crate::server) struct Subscriber {
    pub(super) channel: ChannelSlot,
    /// The requested figures of occupancy events.
    pub(super) metrics: Metrics,
    /// Its places in the two audiences.
    pub(super) presence_place: Option<u32>,
    pub(super) message_place: Option<u32>,
    /// The channel's last presence event and last message when the attachment left the audiences.
    /// Of presence, 0 if undelivered events were coalesced then.
    pub(super) presence_seen: u64,
    pub(super) messages_seen: u64,
    /// The running sync.
    pub(super) sync: Option<Sync>,
    /// Whether it is in the queue of syncs.
    pub(super) queued: bool,
    /// Whether a requested sync is deferred by the rates.
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

    /// Whether it is in the audience of presence events.
    pub(in crate::server) const fn receives_presence(&self) -> bool {
        self.presence_place.is_some()
    }

    /// Whether it is in the audience of messages.
    pub(in crate::server) const fn receives_messages(&self) -> bool {
        self.message_place.is_some()
    }

    pub(in crate::server) const fn is_in_audience(&self) -> bool {
        self.receives_presence() || self.receives_messages()
    }

    /// Whether the audiences of its feed have the attachment at its places.
    pub(super) fn is_placed(&self, feed: &Feed, attachment: AttachmentSlot) -> bool {
        self.presence_place.is_none_or(|place| feed.presence.holds(place, attachment))
            && self.message_place.is_none_or(|place| feed.messages.holds(place, attachment))
    }

    /// Removes the attachment from the audiences of its feed and records the channel's last
    /// positions. Returns, for each audience, the attachment that moved and its new place.
    pub(super) fn leave_audiences(
        &mut self,
        feed: &mut Feed,
        presence: u64,
        messages: u64,
    ) -> [Option<(AttachmentSlot, u32)>; 2] {
        let places = [self.presence_place.take(), self.message_place.take()];
        let [in_presence, in_messages] = places;
        if in_presence.is_some() {
            // It will miss the coalesced events.
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

    /// Serial of the last presence event before the attachment left the audience. 0 if undelivered
    /// events were coalesced then.
    pub(in crate::server) const fn presence_seen(&self) -> u64 {
        self.presence_seen
    }

    /// Serial of the last message before the attachment left the audience.
    pub(in crate::server) const fn messages_seen(&self) -> u64 {
        self.messages_seen
    }

    /// Sets the serials up to which nothing is missed.
    pub(in crate::server) const fn set_seen(&mut self, presence: u64, messages: u64) {
        self.presence_seen = presence;
        self.messages_seen = messages;
    }

    /// The running sync.
    pub(in crate::server) const fn sync(&self) -> Option<Sync> {
        self.sync
    }

    pub(in crate::server) const fn sync_mut(&mut self) -> Option<&mut Sync> {
        self.sync.as_mut()
    }

    /// Whether a sync is running or deferred.
    pub(in crate::server) const fn is_awaiting_sync(&self) -> bool {
        self.sync.is_some() || self.deferred
    }

    pub(in crate::server) const fn is_sync_deferred(&self) -> bool {
        self.deferred
    }

    /// Sets whether a sync is deferred, and returns the previous value.
    pub(in crate::server) const fn set_sync_deferred(&mut self, deferred: bool) -> bool {
        core::mem::replace(&mut self.deferred, deferred)
    }

    /// Takes a token for a requested sync, or returns the time of the next one.
    pub(in crate::server) fn admit_sync(
        &mut self,
        rate: Rate,
        now: Instant,
    ) -> Result<(), Instant> {
        if self.syncs.take(rate, now, 1) { Ok(()) } else { Err(self.syncs.next_token(rate)) }
    }

    /// An own member was removed. `next` is the member after it.
    pub(in crate::server) fn member_removed(&mut self, member: Slot, next: Option<Slot>) {
        if let Some(sync) = &mut self.sync {
            sync.member_removed(member, next);
        }
    }
}
