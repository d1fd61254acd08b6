//! Who is told: audiences, syncs, events that are coalesced, occupancy.

mod audience;
mod coalesce;
mod feed;
mod occupancy;
mod subscriber;
mod sync;

pub(super) use coalesce::Coalesced;
pub(super) use feed::Feed;
pub(super) use occupancy::Metrics;
pub use occupancy::Occupancy;
pub(super) use subscriber::Subscriber;
pub(super) use sync::{Cursor, PageBudget, Sync};

use super::connections::AttachmentSlot;
use super::state::ChannelSlot;
use crate::TransportId;
use crate::slab::Arena;
use crate::wire::Modes;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

/// What is on its way to subscribers, and how far each of them is.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    feeds: Arena<ChannelSlot, Feed>,
    subscribers: Arena<AttachmentSlot, Subscriber>,
    /// Attachments whose sync is under way, in turn.
    syncs: VecDeque<AttachmentSlot>,
    syncs_running: usize,
    /// Channels with leaves that wait for the end of the step.
    batches: Vec<ChannelSlot>,
}

impl Delivery {
    pub(super) fn new() -> Self {
        Self {
            feeds: Arena::new(),
            subscribers: Arena::new(),
            syncs: VecDeque::new(),
            syncs_running: 0,
            batches: Vec::new(),
        }
    }

    /// How often a key dangled.
    pub(super) fn dangling(&self) -> usize {
        self.feeds.dangling() + self.subscribers.dangling()
    }

    /// How many syncs are not finished.
    pub(super) const fn syncs_running(&self) -> usize {
        self.syncs_running
    }

    #[inline]
    pub(super) fn feed(&self, channel: ChannelSlot) -> &Feed {
        &self.feeds[channel]
    }

    #[inline]
    pub(super) fn feed_mut(&mut self, channel: ChannelSlot) -> &mut Feed {
        &mut self.feeds[channel]
    }

    /// A channel has been made. Its events are coalesced within `window`, if there is one.
    pub(super) fn open(&mut self, channel: ChannelSlot, window: Option<Duration>) {
        self.feeds.insert_at(channel, Feed::new(window));
    }

    /// A channel is forgotten.
    pub(super) fn close(&mut self, channel: ChannelSlot) {
        self.feeds.remove(channel);
    }

    #[inline]
    pub(super) fn subscriber(&self, attachment: AttachmentSlot) -> &Subscriber {
        &self.subscribers[attachment]
    }

    #[inline]
    pub(super) fn subscriber_mut(&mut self, attachment: AttachmentSlot) -> &mut Subscriber {
        &mut self.subscribers[attachment]
    }

    /// A connection has been attached to a channel.
    pub(super) fn attach(&mut self, attachment: AttachmentSlot, channel: ChannelSlot) {
        self.subscribers.insert_at(attachment, Subscriber::new(channel));
        self.feeds[channel].attachments += 1;
    }

    /// An attachment, which is in no audience and has no sync, is forgotten.
    pub(super) fn detach(&mut self, attachment: AttachmentSlot) {
        self.set_metrics(attachment, Metrics::empty());
        let subscriber = self.subscribers.remove(attachment);
        debug_assert!(!subscriber.is_in_audience() && subscriber.sync.is_none());
        let attachments = &mut self.feeds[subscriber.channel].attachments;
        *attachments = attachments.saturating_sub(1);
    }

    /// Sets which figures of the occupancy an attachment wants.
    pub(super) fn set_metrics(&mut self, attachment: AttachmentSlot, metrics: Metrics) {
        let subscriber = &mut self.subscribers[attachment];
        let before = core::mem::replace(&mut subscriber.metrics, metrics);
        let watchers = &mut self.feeds[subscriber.channel].watchers;
        match (before.is_empty(), metrics.is_empty()) {
            (true, false) => watchers.push(attachment),
            (false, true) => watchers.retain(|watcher| *watcher != attachment),
            _ => {}
        }
    }

    /// Puts an attachment into the audiences that its modes give it.
    pub(super) fn join_audiences(
        &mut self,
        attachment: AttachmentSlot,
        granted: Modes,
        transport: TransportId,
    ) {
        let subscriber = &mut self.subscribers[attachment];
        let feed = &mut self.feeds[subscriber.channel];
        if granted.contains(Modes::PRESENCE_SUBSCRIBE) && subscriber.presence_place.is_none() {
            subscriber.presence_place = feed.presence.add(transport, attachment);
        }
        if granted.contains(Modes::SUBSCRIBE) && subscriber.message_place.is_none() {
            subscriber.message_place = feed.messages.add(transport, attachment);
        }
    }

    /// Takes an attachment out of the audiences and marks where the channel stands: the positions of
    /// its last presence event and of its last message.
    pub(super) fn leave_audiences(
        &mut self,
        attachment: AttachmentSlot,
        presence: u64,
        messages: u64,
    ) {
        let subscriber = &mut self.subscribers[attachment];
        let feed = &mut self.feeds[subscriber.channel];
        let moved = subscriber.leave_audiences(feed, presence, messages);
        self.set_places(moved);
    }

    /// The same of one that is no longer active: it is not counted, and its sync is given up.
    pub(super) fn deactivate(
        &mut self,
        attachment: AttachmentSlot,
        granted: Modes,
        presence: u64,
        messages: u64,
    ) {
        let subscriber = &mut self.subscribers[attachment];
        let feed = &mut self.feeds[subscriber.channel];
        feed.count(granted, false);
        subscriber.deferred = false;
        if subscriber.sync.take().is_some() {
            self.syncs_running -= 1;
        }
        let moved = subscriber.leave_audiences(feed, presence, messages);
        self.set_places(moved);
    }

    /// Attachments have moved within their audiences.
    fn set_places(&mut self, [presence, messages]: [Option<(AttachmentSlot, u32)>; 2]) {
        if let Some((moved, place)) = presence {
            self.subscribers[moved].presence_place = Some(place);
        }
        if let Some((moved, place)) = messages {
            self.subscribers[moved].message_place = Some(place);
        }
    }

    /// Starts a sync, in place of one that is under way (RTP18a). `sequence` is its position.
    pub(super) fn start_sync(&mut self, attachment: AttachmentSlot, sequence: u64, from: Cursor) {
        let sync = Sync { sequence, next: from, repeat: false };
        let running = self.subscribers[attachment].sync.replace(sync).is_some();
        self.syncs_running += usize::from(!running);
        self.queue_sync(attachment);
    }

    /// Gives up a sync that is under way.
    pub(super) fn stop_sync(&mut self, attachment: AttachmentSlot) {
        if self.subscribers[attachment].sync.take().is_some() {
            self.syncs_running -= 1;
        }
    }

    /// The sync of an attachment, if it has one, gets its turn.
    pub(super) fn queue_sync(&mut self, attachment: AttachmentSlot) {
        let subscriber = &mut self.subscribers[attachment];
        if subscriber.sync.is_some() && !core::mem::replace(&mut subscriber.queued, true) {
            self.syncs.push_back(attachment);
        }
    }

    /// The attachment whose sync has its turn.
    pub(super) fn next_sync(&mut self) -> Option<AttachmentSlot> {
        let attachment = self.syncs.pop_front()?;
        // It may have been detached meanwhile, and its slot be another's.
        self.subscribers.get_mut(attachment)?.queued = false;
        Some(attachment)
    }

    /// Whether syncs have to go on at once.
    pub(super) fn is_syncing(&self) -> bool {
        !self.syncs.is_empty()
    }

    /// A channel has leaves that wait for the end of the step.
    pub(super) fn add_batch(&mut self, channel: ChannelSlot) {
        self.batches.push(channel);
    }

    /// The channels with leaves that waited for the end of the step.
    pub(super) fn take_batches(&mut self) -> Vec<ChannelSlot> {
        core::mem::take(&mut self.batches)
    }

    /// Whether leaves wait for the end of the step.
    pub(super) const fn has_batches(&self) -> bool {
        !self.batches.is_empty()
    }
}
