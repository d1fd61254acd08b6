//! Timers: one for each connection and each channel.

use super::state::{ChannelSlot, ConnectionSlot};
use super::wheel::Wheel;
use crate::Instant;
use crate::slab::Key;
use crate::time::sooner;

/// Cascades of the wheel that cost as much as one expiry.
const MOVES: usize = 8;

/// The deadlines of connections and channels.
#[derive(Clone, Debug)]
pub(super) struct Timers {
    connections: Wheel,
    channels: Wheel,
}

/// A timer that has fired.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fired {
    Connection(ConnectionSlot),
    Channel(ChannelSlot),
}

impl Timers {
    pub(super) fn new() -> Self {
        Self { connections: Wheel::new(), channels: Wheel::new() }
    }

    /// Number of armed timers.
    pub(super) const fn armed(&self) -> usize {
        self.connections.armed() + self.channels.armed()
    }

    /// The next deadline: not later than the first timer.
    #[inline]
    pub(super) fn next(&self) -> Option<Instant> {
        sooner(self.connections.next(), self.channels.next())
    }

    pub(super) fn arm_connection(&mut self, slot: ConnectionSlot, deadline: Instant) {
        self.connections.arm(slot.number(), deadline);
    }

    pub(super) fn cancel_connection(&mut self, slot: ConnectionSlot) {
        self.connections.cancel(slot.number());
    }

    /// Arms the timer of a channel; `None` cancels it.
    pub(super) fn set_channel(&mut self, slot: ChannelSlot, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => self.channels.arm(slot.number(), deadline),
            None => self.channels.cancel(slot.number()),
        }
    }

    /// Maximum of cascades for a budget of timers.
    pub(super) const fn moves(budget: usize) -> usize {
        budget.saturating_mul(MOVES)
    }

    /// Takes the next due timer, connections first. `moves` bounds the cascades.
    pub(super) fn pop(&mut self, now: Instant, moves: &mut usize) -> Option<Fired> {
        if let Some(number) = self.connections.pop(now, moves) {
            return Some(Fired::Connection(ConnectionSlot::from_number(number)));
        }
        let number = self.channels.pop(now, moves)?;
        Some(Fired::Channel(ChannelSlot::from_number(number)))
    }
}
