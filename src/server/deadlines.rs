//! Deadlines: pings, silent peers, expired tokens, grace periods.

use super::connections::Due;
use super::state::{ChannelSlot, ConnectionSlot};
use super::timers::{Fired, Timers};
use super::{LeaveCause, Outbox, Output, Server};
use crate::wire::{Action, ErrorInfo, ProtocolMessage, codes};

impl Server {
    /// Fires due timers and continues unfinished work, within the budget.
    pub(super) fn fire_timers(&mut self, out: &mut Outbox) {
        let now = self.now.mono;
        let mut moves = Timers::moves(self.budget);
        while self.budget > 0
            && let Some(fired) = self.timers.pop(now, &mut moves)
        {
            self.budget -= 1;
            match fired {
                Fired::Connection(slot) => self.connection_due(slot, out),
                Fired::Channel(slot) => self.channel_due(slot, out),
            }
        }
        if self.draining.is_some() {
            self.drain_due(out);
        }
        if !self.unfinished.is_empty() && !self.is_starting_over() {
            self.run_unfinished(out);
        }
        self.deliver_batches(out);
    }

    /// Applies the passed deadlines of a lost connection before a resume. Returns whether it has
    /// ended. If not, members whose grace period is over leave before frames of the new transport
    /// are processed.
    pub(super) fn expire_now(&mut self, slot: ConnectionSlot, out: &mut Outbox) -> bool {
        let connection = self.connections.get(slot);
        if connection.is_ending() {
            return true;
        }
        if connection.transport().is_some() {
            return false;
        }
        let now = self.now.mono;
        if connection.is_expired(self.options.connection_state_ttl, now) {
            self.end(slot, LeaveCause::GraceEnded, out);
            return true;
        }
        if connection.grace_is_over(now) && self.grace_ends(slot) && !self.end_grace(slot, out) {
            self.postpone_expiry(slot, false);
        }
        false
    }

    /// Whether a grace period that is over ends now. With a log it may last longer than it was meant
    /// to.
    #[inline]
    fn grace_ends(&mut self, slot: ConnectionSlot) -> bool {
        if !self.has_log() {
            return true;
        }
        let now = self.now.mono;
        match self.grace_end(slot) {
            Some(end) if end > now => {
                self.connections.get_mut(slot).extend_grace(end, self.options.connection_state_ttl);
                false
            }
            _ => true,
        }
    }

    fn connection_due(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        let now = self.now.mono;
        let connection = self.connections.get(slot);
        if connection.is_ending() {
            return;
        }
        if connection.grace_is_over(now) && self.grace_ends(slot) && !self.end_grace(slot, out) {
            // Beyond the budget: the rest is due at once.
            self.arm(slot);
            return;
        }
        let ttl = self.options.connection_state_ttl;
        let connection = self.connections.get_mut(slot);
        let Some(transport) = connection.transport() else {
            if connection.is_expired(ttl, now) {
                self.end(slot, LeaveCause::GraceEnded, out);
            } else {
                self.arm(slot);
            }
            return;
        };
        match connection.due(now) {
            Some(Due::Silent) => {
                self.counters.silent += 1;
                out.push(Output::close(transport));
                self.lose_transport(transport, out);
                return;
            }
            Some(Due::Expired) => {
                self.disconnect(
                    slot,
                    ErrorInfo::new(codes::TOKEN_EXPIRED, 401, "The token has expired"),
                    out,
                );
                return;
            }
            // RTN22: the client obtains a new token and sends AUTH.
            Some(Due::Reauthorize) => {
                self.send_to(transport, ProtocolMessage::new(Action::Auth), out);
            }
            None => {}
        }
        self.start_deferred_syncs(slot);
        let connection = self.connections.get_mut(slot);
        if connection.ping_is_due(now) {
            let heartbeats = connection.heartbeats();
            out.push(Output::ping(transport));
            if heartbeats {
                // RTN23b: the client cannot see pings.
                self.send_to(transport, ProtocolMessage::new(Action::Heartbeat), out);
            }
        }
        self.arm(slot);
    }

    fn channel_due(&mut self, slot: ChannelSlot, out: &mut Outbox) {
        let now = self.now.mono;
        if self.state.channel(slot).history().deadline().is_some_and(|at| at <= now) {
            self.state.expire_history(slot, now, &mut self.budget);
        }
        let feed = self.delivery.feed_mut(slot);
        let window = feed.window_is_over(now);
        let occupancy = feed.take_occupancy_timer(now);
        let row = feed.take_row_timer(now);
        if window {
            self.deliver_coalesced(slot, out);
        }
        if occupancy {
            self.occupancy_due(slot, out);
        }
        if row {
            self.delivery.queue_row(slot);
        }
        if !self.close_channel_if_unused(slot) {
            self.arm_channel(slot);
        }
    }
}
