//! Timers: one for each connection, and one for each channel.

use super::state::{ChannelSlot, ConnectionSlot};
use super::wheel::Wheel;
use crate::Instant;
use crate::slab::Key;
use crate::time::sooner;

/// Moves between the levels of a wheel that cost as much as one expiry.
const MOVES: usize = 8;

/// When connections and channels have to be looked at again.
#[derive(Clone, Debug)]
pub(super) struct Timers {
    connections: Wheel,
    channels: Wheel,
}

/// Whose timer has fired.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fired {
    Connection(ConnectionSlot),
    Channel(ChannelSlot),
}

impl Timers {
    pub(super) fn new() -> Self {
        Self { connections: Wheel::new(), channels: Wheel::new() }
    }

    /// How many timers are armed.
    pub(super) const fn armed(&self) -> usize {
        self.connections.armed() + self.channels.armed()
    }

    /// When the next timer fires at the earliest.
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

    /// Arms the timer of a channel, or disarms it if there is no deadline.
    pub(super) fn set_channel(&mut self, slot: ChannelSlot, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => self.channels.arm(slot.number(), deadline),
            None => self.channels.cancel(slot.number()),
        }
    }

    /// How many moves between levels go with so many timers.
    pub(super) const fn moves(budget: usize) -> usize {
        budget.saturating_mul(MOVES)
    }

    /// Takes the next timer that is due, connections first. `moves` bounds what it takes to find it.
    pub(super) fn pop(&mut self, now: Instant, moves: &mut usize) -> Option<Fired> {
        if let Some(number) = self.connections.pop(now, moves) {
            return Some(Fired::Connection(ConnectionSlot::from_number(number)));
        }
        let number = self.channels.pop(now, moves)?;
        Some(Fired::Channel(ChannelSlot::from_number(number)))
    }
}
