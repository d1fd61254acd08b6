//! Pings (RTN13).

use super::timers::Timer;
use super::{Client, ConnectionState, Outbox, Outcome, Output, errors};
use crate::wire::{Action, ErrorInfo, ProtocolMessage};
use crate::{Instant, OpId, SmolStr};
use alloc::{boxed::Box, collections::VecDeque};

/// The pending pings.
#[derive(Clone, Debug, Default)]
pub(super) struct Pings {
    /// Sent pings with the time of sending, oldest first. The first one times out first.
    sent: VecDeque<(Instant, Ping)>,
    /// Pings queued without a connection (RTN13d). All are newer than the sent ones.
    unsent: VecDeque<Ping>,
}

#[derive(Clone, Debug)]
struct Ping {
    op: OpId,
    /// Random id of the HEARTBEAT (RTN13e).
    id: SmolStr,
}

impl Client {
    pub(super) fn ping(&mut self, op: OpId, out: &mut Outbox) {
        match self.connection.state {
            ConnectionState::Connected
            | ConnectionState::Connecting
            | ConnectionState::Disconnected => {}
            // RTN13b
            state => {
                let error = || errors::not_connected(state);
                let error = self.connection.error_reason.clone().unwrap_or_else(error);
                return self.operations.finish(op, Err(error), out);
            }
        }
        if self.pings.sent.len() + self.pings.unsent.len() >= self.options.limits.pings {
            let error = errors::bad_request("too many pings have no answer yet");
            return self.operations.finish(op, Err(error), out);
        }
        let id = smol_str::format_smolstr!("{:016x}", self.rng.next());
        self.pings.unsent.push_back(Ping { op, id });
        self.send_pings(out);
    }

    /// Sends the queued pings if the connection is CONNECTED (RTN13d).
    pub(super) fn send_pings(&mut self, out: &mut Outbox) {
        let Some(transport) = self.connection.connected_transport() else { return };
        for ping in self.pings.unsent.drain(..) {
            let mut frame = ProtocolMessage::new(Action::Heartbeat);
            frame.id = Some(ping.id.clone());
            out.push(Output::send(transport, Box::new(frame)));
            self.pings.sent.push_back((self.clock.mono, ping));
        }
        self.arm_ping_timer();
    }

    /// Handles HEARTBEAT: the answer to the ping with its id, if any (RTN13e).
    pub(super) fn heartbeat(&mut self, id: Option<&SmolStr>, out: &mut Outbox) {
        let sent = &mut self.pings.sent;
        let answered = sent.iter().position(|(_, ping)| Some(&ping.id) == id);
        if let Some((sent, ping)) = answered.and_then(|position| sent.remove(position)) {
            let time = self.clock.mono.saturating_since(sent);
            self.operations.finish(ping.op, Ok(Outcome::Pong(time)), out);
            self.arm_ping_timer();
        }
    }

    /// Fails all pings that have timed out (RTN13c).
    pub(super) fn ping_timed_out(&mut self, out: &mut Outbox) {
        let timeout = self.options.realtime_request_timeout;
        let due = |&(sent, _): &(Instant, Ping)| sent + timeout <= self.clock.mono;
        let count = self.pings.sent.iter().take_while(|ping| due(ping)).count();
        for (_, ping) in self.pings.sent.drain(..count) {
            self.operations.finish(ping.op, Err(errors::timed_out()), out);
        }
        self.arm_ping_timer();
    }

    pub(super) fn fail_pings(&mut self, error: &ErrorInfo, out: &mut Outbox) {
        let Pings { sent, unsent } = core::mem::take(&mut self.pings);
        for ping in sent.into_iter().map(|(_, ping)| ping).chain(unsent) {
            self.operations.finish(ping.op, Err(error.clone()), out);
        }
        self.arm_ping_timer();
    }

    /// Arms the timer for the oldest sent ping.
    fn arm_ping_timer(&mut self) {
        match self.pings.sent.front() {
            Some((sent, _)) => {
                let deadline = *sent + self.options.realtime_request_timeout;
                self.timers.arm(Timer::Ping, deadline);
            }
            None => self.timers.cancel(Timer::Ping),
        }
    }
}
