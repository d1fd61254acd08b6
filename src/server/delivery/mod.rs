//! Delivery to subscribers: audiences, syncs, coalesced events, occupancy.

mod audience;
mod coalesce;
mod feed;
mod occupancy;
mod row;
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

/// Delivery state of all channels and attachments.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    feeds: Arena<ChannelSlot, Feed>,
    subscribers: Arena<AttachmentSlot, Subscriber>,
    /// Attachments with a running sync, in turn.
    syncs: VecDeque<AttachmentSlot>,
    syncs_running: usize,
    /// Channels with leaves to deliver at the end of the step.
    batches: Vec<ChannelSlot>,
    /// Channels about whose attachments the log has to be told, in turn.
    rows: VecDeque<ChannelSlot>,
}

impl Delivery {
    pub(super) fn new() -> Self {
        Self {
            feeds: Arena::new(),
            subscribers: Arena::new(),
            syncs: VecDeque::new(),
            syncs_running: 0,
            batches: Vec::new(),
            rows: VecDeque::new(),
        }
    }

    /// How often a dangling key was used.
    pub(super) fn dangling(&self) -> usize {
        self.feeds.dangling() + self.subscribers.dangling()
    }

    /// Number of unfinished syncs.
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

    /// Adds a channel. `window`: its window of coalescing.
    pub(super) fn open(&mut self, channel: ChannelSlot, window: Option<Duration>) {
        self.feeds.insert_at(channel, Feed::new(window));
    }

    /// Removes a channel.
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

    /// Adds an attachment.
    pub(super) fn attach(&mut self, attachment: AttachmentSlot, channel: ChannelSlot) {
        self.subscribers.insert_at(attachment, Subscriber::new(channel));
        self.feeds[channel].attachments += 1;
    }

    /// Removes an attachment, which must be in no audience and have no sync.
    pub(super) fn detach(&mut self, attachment: AttachmentSlot) {
        self.set_metrics(attachment, Metrics::empty());
        let subscriber = self.subscribers.remove(attachment);
        debug_assert!(!subscriber.is_in_audience() && subscriber.sync.is_none());
        let attachments = &mut self.feeds[subscriber.channel].attachments;
        *attachments = attachments.saturating_sub(1);
    }

    /// Sets the requested figures of occupancy events.
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

    /// Adds an attachment to the audiences of its modes.
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

    /// Removes an attachment from the audiences, and records the positions of the channel's last
    /// presence event and message. Returns whether it was at its places.
    #[must_use]
    pub(super) fn leave_audiences(
        &mut self,
        attachment: AttachmentSlot,
        presence: u64,
        messages: u64,
    ) -> bool {
        let subscriber = &mut self.subscribers[attachment];
        let feed = &mut self.feeds[subscriber.channel];
        let placed = subscriber.is_placed(feed, attachment);
        let moved = subscriber.leave_audiences(feed, presence, messages);
        self.set_places(moved);
        placed
    }

    /// Deactivates an attachment: removes it from the occupancy and the audiences, and cancels its
    /// sync. Returns whether it was at its places in the audiences.
    #[must_use]
    pub(super) fn deactivate(
        &mut self,
        attachment: AttachmentSlot,
        granted: Modes,
        presence: u64,
        messages: u64,
    ) -> bool {
        let subscriber = &mut self.subscribers[attachment];
        self.feeds[subscriber.channel].count(granted, false);
        subscriber.deferred = false;
        if subscriber.sync.take().is_some() {
            self.syncs_running -= 1;
        }
        self.leave_audiences(attachment, presence, messages)
    }

    /// Sets the new places of attachments that moved within their audiences.
    fn set_places(&mut self, [presence, messages]: [Option<(AttachmentSlot, u32)>; 2]) {
        if let Some((moved, place)) = presence {
            self.subscribers[moved].presence_place = Some(place);
        }
        if let Some((moved, place)) = messages {
            self.subscribers[moved].message_place = Some(place);
        }
    }

    /// Starts a sync, and replaces a running one (RTP18a). `sequence` is its serial.
    pub(super) fn start_sync(&mut self, attachment: AttachmentSlot, sequence: u64, from: Cursor) {
        let sync = Sync { sequence, next: from, repeat: false };
        let running = self.subscribers[attachment].sync.replace(sync).is_some();
        self.syncs_running += usize::from(!running);
        self.queue_sync(attachment);
    }

    /// Cancels a running sync.
    pub(super) fn stop_sync(&mut self, attachment: AttachmentSlot) {
        if self.subscribers[attachment].sync.take().is_some() {
            self.syncs_running -= 1;
        }
    }

    /// Queues an attachment, if it has a sync.
    pub(super) fn queue_sync(&mut self, attachment: AttachmentSlot) {
        let subscriber = &mut self.subscribers[attachment];
        if subscriber.sync.is_some() && !core::mem::replace(&mut subscriber.queued, true) {
            self.syncs.push_back(attachment);
        }
    }

    /// Takes the next attachment from the queue of syncs. `None` if it was removed meanwhile, or if
    /// the queue is empty.
    pub(super) fn next_sync(&mut self) -> Option<AttachmentSlot> {
        let attachment = self.syncs.pop_front()?;
        // Its slot may even belong to another attachment now, which then takes the turn.
        self.subscribers.get_mut(attachment)?.queued = false;
        Some(attachment)
    }

    /// Whether sync pages are due now.
    pub(super) fn is_syncing(&self) -> bool {
        !self.syncs.is_empty()
    }

    /// Adds a channel with leaves to deliver at the end of the step.
    pub(super) fn add_batch(&mut self, channel: ChannelSlot) {
        self.batches.push(channel);
    }

    /// Takes the channels with leaves to deliver.
    pub(super) fn take_batches(&mut self) -> Vec<ChannelSlot> {
        core::mem::take(&mut self.batches)
    }

    pub(super) const fn has_batches(&self) -> bool {
        !self.batches.is_empty()
    }

    /// Queues a channel, so that the log is told about its attachments. It is kept until then.
    pub(super) fn queue_row(&mut self, channel: ChannelSlot) {
        if self.feeds[channel].queue_row() {
            self.rows.push_back(channel);
        }
    }

    /// Takes the next channel about whose attachments the log has to be told.
    pub(super) fn next_row(&mut self) -> Option<ChannelSlot> {
        self.rows.pop_front()
    }

    /// Whether the log has to be told about attachments.
    pub(super) fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }
}
