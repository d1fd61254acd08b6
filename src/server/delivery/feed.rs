//! Delivery state of a channel.

use super::audience::Audience;
use super::row::Told;
use super::{Coalesced, Occupancy};
use crate::Instant;
use crate::server::Rate;
use crate::server::bucket::TokenBucket;
use crate::server::connections::AttachmentSlot;
use crate::server::record::Row;
use crate::time::sooner;
use crate::wire::{Modes, PresenceMessage};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// Delivery state of a channel: audiences, coalesced events, occupancy, rate.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Feed {
    pub(super) attachments: u32,
    /// Subscribers to presence events and to messages.
    pub(super) presence: Audience,
    pub(super) messages: Audience,
    /// Attachments that receive occupancy events.
    pub(super) watchers: Vec<AttachmentSlot>,
    /// The active attachments, by mode; without the members.
    counts: Occupancy,
    /// The last occupancy that was sent, and when.
    last_occupancy: Occupancy,
    last_occupancy_at: Option<Instant>,
    occupancy_at: Option<Instant>,
    /// What the log was told about the attachments; `None` if it never was.
    told: Option<Box<Told>>,
    rate: TokenBucket,
    /// The window of coalescing; `None` without.
    window: Option<Duration>,
    pub(super) pending: Option<Box<Coalesced>>,
    window_end: Option<Instant>,
}

impl Feed {
    pub(super) fn new(window: Option<Duration>) -> Self {
        Self { window, ..Self::default() }
    }

    pub(in crate::server) const fn presence(&self) -> &Audience {
        &self.presence
    }

    pub(in crate::server) const fn messages(&self) -> &Audience {
        &self.messages
    }

    /// Attachments that receive occupancy events.
    pub(in crate::server) fn watchers(&self) -> &[AttachmentSlot] {
        &self.watchers
    }

    /// Whether there is no attachment, no undelivered event, and nothing to tell the log.
    pub(in crate::server) fn is_unused(&self) -> bool {
        self.attachments == 0
            && self.pending.is_none()
            && self.told.as_ref().is_none_or(|told| !told.queued)
    }

    /// The earliest of the ends of the coalescing window and of the intervals for occupancy events
    /// and for rows.
    pub(in crate::server) fn deadline(&self) -> Option<Instant> {
        let row = self.told.as_ref().and_then(|told| told.due);
        sooner(sooner(self.window_end, self.occupancy_at), row)
    }

    /// Takes one token per event from the rate of the channel, or none if there are fewer.
    pub(in crate::server) fn take_tokens(
        &mut self,
        rate: Rate,
        now: Instant,
        events: usize,
    ) -> bool {
        self.rate.take(rate, now, u32::try_from(events).unwrap_or(u32::MAX))
    }

    /// Adds an attachment with these modes to the counts, or subtracts it when not `attached`.
    pub(in crate::server) fn count(&mut self, modes: Modes, attached: bool) {
        self.counts.count(modes, attached);
    }

    /// The current occupancy, given the number of members.
    pub(in crate::server) fn occupancy(&self, members: usize) -> Occupancy {
        let presence_members = u32::try_from(members).unwrap_or(u32::MAX);
        Occupancy { presence_members, ..self.counts }
    }

    /// Whether to send this occupancy now. If not, and it differs from the last one, it is due at
    /// the end of the interval.
    pub(in crate::server) fn occupancy_is_due(
        &mut self,
        occupancy: Occupancy,
        interval: Duration,
        now: Instant,
    ) -> bool {
        if occupancy == self.last_occupancy {
            return false;
        }
        let next = self.last_occupancy_at.map(|at| at + interval);
        if next.is_none_or(|next| next <= now) || occupancy.crossed_zero(&self.last_occupancy) {
            return true;
        }
        self.occupancy_at = self.occupancy_at.or(next);
        false
    }

    /// Whether an occupancy event was due at the end of the interval. It is due once.
    pub(in crate::server) fn take_occupancy_timer(&mut self, now: Instant) -> bool {
        self.occupancy_at.take_if(|at| *at <= now).is_some()
    }

    pub(in crate::server) const fn last_occupancy(&self) -> Occupancy {
        self.last_occupancy
    }

    /// Records that all watchers are sent this occupancy.
    pub(in crate::server) const fn set_last_occupancy(
        &mut self,
        occupancy: Occupancy,
        now: Instant,
    ) {
        self.last_occupancy = occupancy;
        self.last_occupancy_at = Some(now);
    }

    /// Whether to tell the log about the attachments now. If not, and the run `run` has told it
    /// something else, it is due at the end of the interval.
    pub(in crate::server) fn row_is_due(
        &mut self,
        run: u64,
        interval: Duration,
        now: Instant,
    ) -> bool {
        self.told.get_or_insert_default().is_due(run, &self.counts, interval, now)
    }

    /// Whether the end of the interval for rows has come. It comes once.
    pub(in crate::server) fn take_row_timer(&mut self, now: Instant) -> bool {
        let Some(told) = &mut self.told else { return false };
        told.due.take_if(|at| *at <= now).is_some()
    }

    /// Marks the channel as queued. Returns whether that is a change.
    pub(super) fn queue_row(&mut self) -> bool {
        !core::mem::replace(&mut self.told.get_or_insert_default().queued, true)
    }

    /// The row that the run `run` has to propose. `None` if the log has it already.
    pub(in crate::server) fn take_row(&mut self, run: u64, now: Instant) -> Option<Row> {
        self.told.as_mut()?.take(run, &self.counts, now)
    }

    /// The log has refused a row.
    pub(in crate::server) fn row_refused(&mut self) {
        self.told.get_or_insert_default().refused();
    }

    pub(in crate::server) const fn coalesces(&self) -> bool {
        self.window.is_some()
    }

    /// Coalesces an event. `was_present`: whether the member was present before it. `seed` is for a
    /// new hash table. Returns the number of events that are not delivered because of it.
    pub(in crate::server) fn coalesce(
        &mut self,
        message: PresenceMessage,
        was_present: bool,
        now: Instant,
        seed: impl FnOnce() -> u64,
    ) -> u64 {
        let pending = match &mut self.pending {
            Some(pending) => pending,
            None => {
                self.window_end = self.window.map(|window| now + window);
                self.pending.insert(Box::new(Coalesced::new(seed())))
            }
        };
        pending.add(message, was_present)
    }

    /// Whether the coalesced events fill a frame of `per_frame` items.
    pub(in crate::server) fn is_full(&self, per_frame: usize) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.is_full(per_frame))
    }

    pub(in crate::server) fn window_is_over(&self, now: Instant) -> bool {
        self.window_end.is_some_and(|at| at <= now)
    }

    /// Takes the coalesced events, if any.
    pub(in crate::server) fn take_coalesced(&mut self) -> Option<Vec<PresenceMessage>> {
        self.window_end = None;
        self.pending.take().map(|pending| pending.into_messages())
    }
}
