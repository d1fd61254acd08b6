//! What the server sends, for the connection or on to a channel.

use super::connection::Cause;
use super::operations::{InFlight, Origin};
use super::timers::Timer;
use super::{
    ChannelState, Client, ConnectionEvent, ConnectionState, ConnectionStateChange, Outbox, Outcome,
    Output, errors,
};
use crate::wire::{Action, ErrorInfo, ProtocolMessage, one};
use alloc::boxed::Box;

impl Client {
    /// Takes in a frame of the present transport, and takes out of it what it needs.
    pub(super) fn received(&mut self, frame: &mut ProtocolMessage, out: &mut Outbox) {
        self.active();
        let established =
            matches!(self.connection.state, ConnectionState::Connected | ConnectionState::Closing);
        match frame.action {
            Action::Connected => self.connected(frame, out),
            Action::Disconnected => {
                let error = frame.error.take().map_or_else(errors::disconnected, |error| *error);
                self.let_go(error, out);
            }
            Action::Closed => {
                self.close_transport(out);
                let error = frame.error.take().map(|error| *error);
                if self.connection.state == ConnectionState::Closing {
                    self.closed(error, out);
                } else {
                    self.transport_lost(error.unwrap_or_else(errors::disconnected), out);
                }
            }
            Action::Error if named_channel(frame).is_some() => {
                let error = frame.error.take().map(|error| *error);
                if let Some(slot) = named_channel(frame).and_then(|name| self.channels.slot(name)) {
                    self.with_channel(slot, out, |channel, cx| channel.failed(cx, error));
                }
            }
            Action::Error => {
                let unsaid = || errors::not_connected(ConnectionState::Failed);
                let error = frame.error.take().map_or_else(unsaid, |error| *error);
                self.refused(error, out);
            }
            Action::Heartbeat => self.heartbeat(frame.id.as_ref(), out),
            Action::Auth => self.auth_asked(out),
            _ if !established => {}
            Action::Ack => self.settle(frame, None, out),
            Action::Nack => {
                let error = frame.error.as_deref().cloned().unwrap_or_else(errors::message_lost);
                self.settle(frame, Some(&error), out);
            }
            _ => self.channel_frame(frame, out),
        }
    }

    /// Any sign of life puts the idle timeout off (RTN23a).
    pub(super) fn active(&mut self) {
        if let Some(idle) = self.connection.max_idle
            && self.connection.is_connected()
        {
            let limit = idle.saturating_add(self.options.realtime_request_timeout);
            self.timers.arm(Timer::Idle, self.clock.mono + limit);
        }
    }

    // ---- The connection

    fn connected(&mut self, frame: &mut ProtocolMessage, out: &mut Outbox) {
        let details = frame.connection_details.as_deref();
        let told = details.and_then(|details| details.client_id.as_deref());
        // RSA15
        if let (Some(own), Some(told)) = (self.options.client_id.as_deref(), told)
            && told != "*"
            && told != own
        {
            self.fail(errors::incompatible_client_id(), out);
            return;
        }
        match self.connection.state {
            // RTN12f
            ConnectionState::Closing if !self.connection.close_sent => self.send_close(out),
            ConnectionState::Connecting => self.established(frame, out),
            ConnectionState::Connected => self.told_again(frame, out),
            _ => {}
        }
    }

    /// An attempt has succeeded (RTN15c6, RTN15c7, RTN16).
    fn established(&mut self, frame: &mut ProtocolMessage, out: &mut Outbox) {
        let Some(previous) = self.step(Cause::Connected) else { return };
        let reason = frame.error.take().map(|error| *error);
        self.timers.cancel(Timer::Request);
        self.timers.cancel(Timer::StateTtl);
        let recovered = self.connection.recover.take().is_some() && reason.is_none();
        let resumed = frame.connection_id.is_some()
            && (self.connection.id == frame.connection_id || recovered);
        self.connection.id = frame.connection_id.take();
        self.connection.max_idle = None;
        self.connection.adopt(frame.connection_details.as_deref());
        self.connection.attempts = 0;
        self.connection.late = false;
        self.connection.token_renewed = false;
        self.connection.error_reason.clone_from(&reason);
        self.active();
        self.go_on(resumed, out);
        self.announce(previous, reason, None, out);
        self.authorized(out);
    }

    /// CONNECTED on a connection that is (RTN24, RTC8a1).
    fn told_again(&mut self, frame: &mut ProtocolMessage, out: &mut Outbox) {
        let reason = frame.error.take().map(|error| *error);
        let same = frame.connection_id.is_none() || self.connection.id == frame.connection_id;
        self.connection.adopt(frame.connection_details.as_deref());
        self.connection.error_reason.clone_from(&reason);
        self.timers.cancel(Timer::Idle);
        self.active();
        if !same {
            // No server should do that; what a new connection means holds all the same.
            self.connection.id = frame.connection_id.take();
            self.go_on(false, out);
        }
        out.push(Output::Connection(ConnectionStateChange {
            previous: ConnectionState::Connected,
            current: ConnectionState::Connected,
            event: ConnectionEvent::Update,
            reason,
            retry_in: None,
        }));
        self.authorized(out);
    }

    fn authorized(&mut self, out: &mut Outbox) {
        for op in core::mem::take(&mut self.connection.authorizing) {
            self.operations.finish(op, Ok(Outcome::Done), out);
        }
    }

    /// There is a connection: channels attach again, and what waited is sent (RTL3d, RTN19).
    fn go_on(&mut self, resumed: bool, out: &mut Outbox) {
        if !resumed {
            // RTN15c7. A first connection has sent nothing yet.
            self.operations.next_serial = 0;
        }
        self.with_channels(out, |channel, cx| channel.connected(cx));
        let Some(transport) = self.connection.established() else {
            debug_assert!(false, "CONNECTED without a transport");
            return;
        };
        let in_flight = core::mem::take(&mut self.operations.in_flight);
        for message in in_flight {
            // RTL3d2: presence waits until its channel is attached again.
            if message.is_presence()
                && let Some(name) = &message.frame.channel
                && let Some(channel) = self.channels.find_mut(name)
                && channel.state == ChannelState::Attaching
            {
                channel.presence.hold(message, resumed);
            } else if message.is_reentry() {
                // Nor is it made anew: the channel is on its way out, or is gone.
                self.message_ended(message, Some(&errors::disconnected()), out);
            } else if resumed {
                // RTN19a2
                self.operations.transmit_again(transport, message, out);
            } else {
                self.operations.transmit(transport, message.frame, message.origins, out);
            }
        }
        if !resumed {
            for channel in self.channels.iter_mut() {
                channel.presence.lose_serials();
            }
        }
        while let Some((op, frame)) = self.operations.queue.pop_front() {
            self.operations.transmit(transport, frame, one(Origin::App(op)), out);
        }
        self.send_pings(out);
    }

    /// DISCONNECTED: the server is about to close the transport (RTN15h).
    fn let_go(&mut self, error: ErrorInfo, out: &mut Outbox) {
        match self.connection.state {
            ConnectionState::Connected if error.is_token_error() => {
                self.token_refused_connected(error, out);
            }
            ConnectionState::Connecting if error.is_token_error() => {
                self.token_refused_connecting(error, out);
            }
            ConnectionState::Closing => self.closed(Some(error), out),
            _ => {
                self.close_transport(out);
                self.transport_lost(error, out);
            }
        }
    }

    /// ERROR for the connection (RTN14b, RTN14g, RTN15c4, RTN15c5, RTN15j).
    fn refused(&mut self, error: ErrorInfo, out: &mut Outbox) {
        match self.connection.state {
            ConnectionState::Connecting if error.is_token_error() => {
                self.token_refused_connecting(error, out);
            }
            ConnectionState::Closing => self.closed(Some(error), out),
            _ => self.fail(error, out),
        }
    }

    // ---- Acknowledgements

    /// ACK or NACK (RTN7a, RTN7b).
    fn settle(&mut self, frame: &ProtocolMessage, error: Option<&ErrorInfo>, out: &mut Outbox) {
        let Some(first) = frame.msg_serial else { return };
        let count = frame.count.unwrap_or(1);
        for (message, skipped) in self.operations.settle(first, count) {
            if skipped {
                self.message_ended(message, Some(&errors::message_lost()), out);
            } else {
                self.message_ended(message, error, out);
            }
        }
    }

    /// A message was acknowledged, or was refused or lost: those whose it is are told.
    pub(super) fn message_ended(
        &mut self,
        message: InFlight,
        error: Option<&ErrorInfo>,
        out: &mut Outbox,
    ) {
        for origin in message.origins {
            match (origin, error) {
                (Origin::App(op), None) => self.operations.finish(op, Ok(Outcome::Done), out),
                (Origin::App(op), Some(error)) => {
                    self.operations.finish(op, Err(error.clone()), out);
                }
                (Origin::Reentry(_), None) => {}
                (Origin::Reentry(client_id), Some(error)) => {
                    let name = message.frame.channel.as_deref().unwrap_or_default();
                    self.with_named(name, out, |channel, cx| {
                        channel.reentry_failed(cx, &client_id, error.clone());
                    });
                }
            }
        }
    }

    // ---- Channels

    fn channel_frame(&mut self, frame: &mut ProtocolMessage, out: &mut Outbox) {
        let Some(slot) = named_channel(frame).and_then(|name| self.channels.slot(name)) else {
            return;
        };
        self.with_channel(slot, out, |channel, cx| match frame.action {
            Action::Presence | Action::Sync => channel.receive_presence(cx, frame),
            Action::Attached => channel.attached(cx, frame),
            Action::Detached => channel.detached(cx, frame.error.take().map(|error| *error)),
            // RTL17
            _ if channel.state == ChannelState::Attached => {
                if matches!(frame.action, Action::Message | Action::Annotation | Action::Object) {
                    channel.advance(&mut frame.channel_serial.clone());
                }
                let frame = core::mem::replace(frame, ProtocolMessage::new(frame.action));
                cx.out.push(Output::Frame(Box::new(frame)));
            }
            _ => {}
        });
    }
}

/// The channel that a frame is about; an empty name is none.
fn named_channel(frame: &ProtocolMessage) -> Option<&str> {
    frame.channel.as_deref().filter(|name| !name.is_empty())
}
