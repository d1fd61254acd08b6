//! What is on its way to those who are attached to a channel.

use super::audience::Audience;
use super::{Coalesced, Occupancy};
use crate::Instant;
use crate::server::Rate;
use crate::server::bucket::TokenBucket;
use crate::server::connections::AttachmentSlot;
use crate::time::sooner;
use crate::wire::{Modes, PresenceMessage};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// What is on its way to those who are attached to a channel.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Feed {
    pub(super) attachments: u32,
    /// Who is told of presence events, and of messages.
    pub(super) presence: Audience,
    pub(super) messages: Audience,
    /// Who is told of the occupancy.
    pub(super) watchers: Vec<AttachmentSlot>,
    /// How many attachments use the channel, of each kind.
    counts: Occupancy,
    /// The occupancy that was last told, and when.
    last_occupancy: Occupancy,
    last_occupancy_at: Option<Instant>,
    occupancy_at: Option<Instant>,
    rate: TokenBucket,
    /// For how long events are coalesced; `None` if they are told at once.
    window: Option<Duration>,
    pub(super) pending: Option<Box<Coalesced>>,
    window_end: Option<Instant>,
}

impl Feed {
    pub(super) fn new(window: Option<Duration>) -> Self {
        Self { window, ..Self::default() }
    }

    /// Who is told of presence events.
    pub(in crate::server) const fn presence(&self) -> &Audience {
        &self.presence
    }

    /// Who is told of messages.
    pub(in crate::server) const fn messages(&self) -> &Audience {
        &self.messages
    }

    /// Who is told of the occupancy.
    pub(in crate::server) fn watchers(&self) -> &[AttachmentSlot] {
        &self.watchers
    }

    /// Whether nobody is attached and nothing is on its way.
    pub(in crate::server) fn is_unused(&self) -> bool {
        self.attachments == 0 && self.pending.is_none()
    }

    /// When its timer must fire next.
    pub(in crate::server) fn deadline(&self) -> Option<Instant> {
        sooner(self.window_end, self.occupancy_at)
    }

    /// Takes so many events within the rate, or none.
    pub(in crate::server) fn take_tokens(
        &mut self,
        rate: Rate,
        now: Instant,
        events: usize,
    ) -> bool {
        self.rate.take(rate, now, u32::try_from(events).unwrap_or(u32::MAX))
    }

    /// Counts an attachment with these modes in or out.
    pub(in crate::server) fn count(&mut self, modes: Modes, attached: bool) {
        self.counts.count(modes, attached);
    }

    /// How many use the channel, which has so many members.
    pub(in crate::server) fn occupancy(&self, members: usize) -> Occupancy {
        let presence_members = u32::try_from(members).unwrap_or(u32::MAX);
        Occupancy { presence_members, ..self.counts }
    }

    /// Whether this occupancy is to be told now. If it is to be told later, it is due then.
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

    /// Whether the time between two occupancy events is over.
    pub(in crate::server) fn take_occupancy_timer(&mut self, now: Instant) -> bool {
        self.occupancy_at.take_if(|at| *at <= now).is_some()
    }

    /// The occupancy that was last told.
    pub(in crate::server) const fn last_occupancy(&self) -> Occupancy {
        self.last_occupancy
    }

    /// All watchers are told of this occupancy.
    pub(in crate::server) const fn set_last_occupancy(
        &mut self,
        occupancy: Occupancy,
        now: Instant,
    ) {
        self.last_occupancy = occupancy;
        self.last_occupancy_at = Some(now);
    }

    /// Whether events are coalesced.
    pub(in crate::server) const fn coalesces(&self) -> bool {
        self.window.is_some()
    }

    /// Adds an event to those that are coalesced. `known` is whether the member was present before
    /// it; `seed` is for a hash table. Tells how many events will never be told because of it.
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

    /// Whether as many events are coalesced as go into a frame.
    pub(in crate::server) fn is_full(&self, per_frame: usize) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.is_full(per_frame))
    }

    /// Whether the window is over.
    pub(in crate::server) fn window_is_over(&self, now: Instant) -> bool {
        self.window_end.is_some_and(|at| at <= now)
    }

    /// The events that are coalesced, if there are any.
    pub(in crate::server) fn take_coalesced(&mut self) -> Option<Vec<PresenceMessage>> {
        self.window_end = None;
        self.pending.take().map(|pending| pending.into_messages())
    }
}
