//! Pings and their answers (RTN13).

use super::timers::Timer;
use super::{Client, ConnectionState, Outbox, Outcome, Output, errors};
use crate::wire::{Action, ErrorInfo, ProtocolMessage};
use crate::{Instant, OpId, SmolStr};
use alloc::{boxed::Box, collections::VecDeque};

/// The pings that have no answer yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Pings {
    /// With the time at which each was sent, oldest first: the first is due first.
    sent: VecDeque<(Instant, Ping)>,
    /// There was no connection to send them on (RTN13d). They are younger than those sent.
    unsent: VecDeque<Ping>,
}

#[derive(Clone, Debug)]
struct Ping {
    op: OpId,
    /// RTN13e.
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

    /// Sends the pings that are not sent yet, once there is a connection (RTN13d).
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

    /// HEARTBEAT has come: the answer to a ping, if it has the id of one (RTN13e).
    pub(super) fn heartbeat(&mut self, id: Option<&SmolStr>, out: &mut Outbox) {
        let sent = &mut self.pings.sent;
        let answered = sent.iter().position(|(_, ping)| Some(&ping.id) == id);
        if let Some((sent, ping)) = answered.and_then(|position| sent.remove(position)) {
            let time = self.clock.mono.saturating_since(sent);
            self.operations.finish(ping.op, Ok(Outcome::Pong(time)), out);
            self.arm_ping_timer();
        }
    }

    /// RTN13c.
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
