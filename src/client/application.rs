//! What the application asks for: operations, each of which has one outcome.

use super::channel::{Channel, Waiting};
use super::cx::Cx;
use super::operations::Origin;
use super::timers::Timer;
use super::{
    ChannelState, Client, ConnectionState, Input, Misuse, Outbox, Outcome, Output, Ping, errors,
};
use crate::wire::{Action, ErrorInfo, ProtocolMessage, one};
use crate::{OpId, SmolStr, SubscriptionId};
use alloc::boxed::Box;

impl Client {
    pub(super) fn operate(&mut self, input: Input, out: &mut Outbox) {
        if let Some(op) = input.op()
            && !self.admit(op, out)
        {
            return;
        }
        match input {
            Input::Unsubscribe { channel, subscription } => {
                self.unsubscribe(channel, subscription, out);
            }
            Input::Ping { op } => self.ping(op, out),
            Input::Authorize { op, token } => self.authorize(op, token, out),
            Input::Send { op, frame } => self.send_for_application(op, frame, out),
            Input::Attach { op, channel } => {
                self.on_channel(op, &channel, out, |channel, cx| {
                    channel.attach(cx, Waiting::Op(op));
                });
            }
            Input::SetOptions { op, channel, options } => {
                self.on_channel(op, &channel, out, |channel, cx| {
                    channel.set_options(cx, op, options);
                });
            }
            Input::Presence { op, channel, change } => {
                self.on_channel(op, &channel, out, |channel, cx| {
                    channel.change_presence(cx, op, change);
                });
            }
            Input::Get { op, channel, params } => {
                self.on_channel(op, &channel, out, |channel, cx| channel.get(cx, op, params));
            }
            Input::Subscribe { op, channel, subscription, actions } => {
                self.on_channel(op, &channel, out, |channel, cx| {
                    channel.subscribe(cx, op, subscription, &actions);
                });
            }
            Input::Detach { op, channel } => {
                self.off_channel(op, &channel, out, |channel, cx| {
                    channel.detach(cx, Waiting::Op(op));
                });
            }
            Input::Release { op, channel } => {
                self.off_channel(op, &channel, out, |channel, cx| channel.release(cx, op));
            }
            // All others have been dealt with.
            _ => {}
        }
    }

    /// Takes an operation on, unless too many have no outcome yet.
    fn admit(&mut self, op: OpId, out: &mut Outbox) -> bool {
        self.operations.open = self.operations.open.saturating_add(1);
        let room = self.operations.open <= self.options.limits.pending_operations;
        if !room {
            let error = errors::bad_request("too many operations have no outcome yet");
            self.operations.finish(op, Err(error), out);
        }
        room
    }

    /// Acts on a channel, which is made if it is not known yet (RTS3a).
    fn on_channel(
        &mut self,
        op: OpId,
        name: &SmolStr,
        out: &mut Outbox,
        act: impl FnOnce(&mut Channel, &mut Cx<'_>),
    ) {
        if self.channels.find(name).is_none() {
            let error = if name.is_empty() {
                Some(errors::bad_request("a channel needs a name"))
            } else {
                let (limit, seed) = (self.options.limits.channels, self.hash_seed);
                self.channels
                    .get_or_insert(name, limit, |slot| Channel::new(slot, name.clone(), seed))
                    .is_none()
                    .then(|| errors::bad_request("too many channels"))
            };
            if let Some(error) = error {
                return self.operations.finish(op, Err(error), out);
            }
        }
        self.with_named(name, out, act);
    }

    /// Acts on a channel that is known. One that is not is neither attached nor to be forgotten
    /// (RTL5a).
    fn off_channel(
        &mut self,
        op: OpId,
        name: &SmolStr,
        out: &mut Outbox,
        act: impl FnOnce(&mut Channel, &mut Cx<'_>),
    ) {
        if !self.with_named(name, out, act) {
            self.operations.finish(op, Ok(Outcome::Done), out);
        }
    }

    fn unsubscribe(
        &mut self,
        channel: SmolStr,
        subscription: Option<SubscriptionId>,
        out: &mut Outbox,
    ) {
        let mut found = subscription.is_none();
        self.with_named(&channel, out, |channel, _| {
            found = channel.presence.unsubscribe(subscription);
        });
        if let (false, Some(subscription)) = (found, subscription) {
            out.push(Output::Misuse(Misuse::UnknownSubscription { channel, subscription }));
        }
    }

    /// RTL6c.
    fn send_for_application(
        &mut self,
        op: OpId,
        mut frame: Box<ProtocolMessage>,
        out: &mut Outbox,
    ) {
        frame.msg_serial = None;
        if let Some(error) = self.cannot_send(&frame) {
            return self.operations.finish(op, Err(error), out);
        }
        match self.connection.established() {
            Some(transport) => {
                self.operations.transmit(transport, frame, one(Origin::App(op)), out);
            }
            None => self.operations.queue.push_back((op, frame)),
        }
    }

    fn cannot_send(&self, frame: &ProtocolMessage) -> Option<ErrorInfo> {
        if !matches!(
            frame.action,
            Action::Message | Action::Object | Action::Annotation | Action::Unknown(_)
        ) {
            // The others are the client's own business.
            return Some(errors::bad_request("the application cannot send such a frame"));
        }
        let channel = frame.channel.as_deref().and_then(|name| self.channels.find(name));
        if let Some(channel) = channel
            && matches!(channel.state, ChannelState::Suspended | ChannelState::Failed)
        {
            // RTL6c4
            let error = || errors::channel_state("the channel is suspended or has failed");
            return Some(channel.error_reason.clone().unwrap_or_else(error));
        }
        let may = match self.connection.state {
            ConnectionState::Connected => true,
            // RTL6c2
            ConnectionState::Initialized
            | ConnectionState::Connecting
            | ConnectionState::Disconnected => self.options.queue_messages,
            _ => false,
        };
        (!may).then(|| {
            let error = || errors::not_connected(self.connection.state);
            self.connection.error_reason.clone().unwrap_or_else(error)
        })
    }

    // ---- Pings (RTN13)

    fn ping(&mut self, op: OpId, out: &mut Outbox) {
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
        if self.pings.len() >= self.options.limits.pings {
            let error = errors::bad_request("too many pings have no answer yet");
            return self.operations.finish(op, Err(error), out);
        }
        // RTN13e
        let id = smol_str::format_smolstr!("{:016x}", self.rng.next());
        self.pings.push_back(Ping { op, id, sent: None });
        self.send_pings(out);
    }

    /// Sends the pings that have waited for a connection (RTN13d).
    pub(super) fn send_pings(&mut self, out: &mut Outbox) {
        let Some(transport) = self.connection.established() else { return };
        for ping in self.pings.iter_mut().filter(|ping| ping.sent.is_none()) {
            ping.sent = Some(self.clock.mono);
            let mut frame = ProtocolMessage::new(Action::Heartbeat);
            frame.id = Some(ping.id.clone());
            out.push(Output::Send { transport, frame: Box::new(frame) });
        }
        self.await_ping();
    }

    /// HEARTBEAT has come: the answer to a ping, if it has the id of one (RTN13e).
    pub(super) fn heartbeat(&mut self, id: Option<&SmolStr>, out: &mut Outbox) {
        let answered = |ping: &Ping| Some(&ping.id) == id && ping.sent.is_some();
        if let Some(ping) =
            self.pings.iter().position(answered).and_then(|place| self.pings.remove(place))
        {
            let sent = ping.sent.unwrap_or(self.clock.mono);
            let time = self.clock.mono.saturating_since(sent);
            self.operations.finish(ping.op, Ok(Outcome::Pong(time)), out);
            self.await_ping();
        }
    }

    /// RTN13c.
    pub(super) fn ping_timed_out(&mut self, out: &mut Outbox) {
        let timeout = self.options.realtime_request_timeout;
        while let Some(ping) = self
            .pings
            .pop_front_if(|ping| ping.sent.is_some_and(|sent| sent + timeout <= self.clock.mono))
        {
            self.operations.finish(ping.op, Err(errors::timed_out()), out);
        }
        self.await_ping();
    }

    pub(super) fn fail_pings(&mut self, error: &ErrorInfo, out: &mut Outbox) {
        while let Some(ping) = self.pings.pop_front() {
            self.operations.finish(ping.op, Err(error.clone()), out);
        }
        self.await_ping();
    }

    /// Pings stand in the order in which they were sent, so the first is due first.
    fn await_ping(&mut self) {
        match self.pings.front().and_then(|ping| ping.sent) {
            Some(sent) => {
                self.timers.arm(Timer::Ping, sent + self.options.realtime_request_timeout);
            }
            None => self.timers.cancel(Timer::Ping),
        }
    }
}

impl Channel {
    /// RTP6. Attaches the channel, if it is to (RTP6d, RTP6e).
    fn subscribe(
        &mut self,
        cx: &mut Cx<'_>,
        op: OpId,
        subscription: SubscriptionId,
        actions: &[crate::wire::PresenceAction],
    ) {
        if !self.presence.subscribe(cx, &self.name, subscription, actions) {
            return cx.fail(op, errors::bad_request("too many subscriptions"));
        }
        match self.state {
            ChannelState::Initialized
            | ChannelState::Attaching
            | ChannelState::Detaching
            | ChannelState::Detached
                if self.options.attach_on_subscribe =>
            {
                self.attach(cx, Waiting::Op(op));
            }
            _ => cx.done(op),
        }
    }
}
