//! Frames from the server: dispatch, CONNECTED, acknowledgements.

use super::channels::ChannelKey;
use super::connection::Cause;
use super::operations::{InFlight, Origin};
use super::presence::Held;
use super::timers::Timer;
use super::{
    ChannelState, Client, ConnectionEvent, ConnectionState, ConnectionStateChange, Outbox, Outcome,
    Output, errors,
};
use crate::TransportId;
use crate::wire::{Action, ErrorInfo, Items, ProtocolMessage};

impl Client {
    /// Handles a frame of the current transport. Fields are moved out of it.
    pub(super) fn received(
        &mut self,
        transport: TransportId,
        frame: &mut ProtocolMessage,
        out: &mut Outbox,
    ) {
        self.restart_idle_timer();
        match frame.action {
            Action::Connected => self.connected(transport, frame, out),
            Action::Disconnected => {
                let error = frame.error.take().map_or_else(errors::disconnected, |error| *error);
                self.disconnected_by_server(error, out);
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
            Action::Error if channel_name(frame).is_some() => {
                let error = frame.error.take().map(|error| *error);
                if let Some(key) = channel_name(frame).and_then(|name| self.channels.key(name)) {
                    self.with_channel(key, out, |channel, cx| channel.failed(cx, error));
                }
            }
            Action::Error => {
                let default = || errors::not_connected(ConnectionState::Failed);
                let error = frame.error.take().map_or_else(default, |error| *error);
                self.connection_error(error, out);
            }
            Action::Heartbeat => self.heartbeat(frame.id.as_ref(), out),
            Action::Auth => self.auth_requested(out),
            _ if !matches!(
                self.connection.state,
                ConnectionState::Connected | ConnectionState::Closing
            ) => {}
            Action::Ack => self.acknowledged(frame, None, out),
            Action::Nack => {
                let error = frame.error.as_deref().cloned().unwrap_or_else(errors::message_lost);
                self.acknowledged(frame, Some(&error), out);
            }
            _ => self.channel_frame(frame, out),
        }
    }

    /// Restarts the idle timeout after any activity (RTN23a).
    pub(super) fn restart_idle_timer(&mut self) {
        if let Some(idle) = self.connection.max_idle
            && self.connection.is_connected()
        {
            let limit = idle.saturating_add(self.options.realtime_request_timeout);
            self.timers.arm(Timer::Idle, self.clock.mono + limit);
        }
    }

    // ---- The connection

    fn connected(&mut self, transport: TransportId, frame: &mut ProtocolMessage, out: &mut Outbox) {
        let details = frame.connection_details.as_deref();
        let granted = details.and_then(|details| details.client_id.as_deref());
        // RSA15
        if let (Some(own), Some(granted)) = (self.options.client_id.as_deref(), granted)
            && granted != "*"
            && granted != own
        {
            self.fail(errors::incompatible_client_id(), out);
            return;
        }
        match self.connection.state {
            // RTN12f
            ConnectionState::Closing if !self.connection.close_sent => {
                self.send_close(transport, out);
            }
            // CONNECTED and CLOSE crossed.
            ConnectionState::Closing => {}
            ConnectionState::Connecting => self.connection_established(transport, frame, out),
            ConnectionState::Connected => self.connection_updated(transport, frame, out),
            _ => self.connection.internal_error(Cause::Connected),
        }
    }

    /// CONNECTED for a connection attempt (RTN15c6, RTN15c7, RTN16).
    fn connection_established(
        &mut self,
        transport: TransportId,
        frame: &mut ProtocolMessage,
        out: &mut Outbox,
    ) {
        let previous = self.connection.transition(Cause::Connected);
        let reason = frame.error.take().map(|error| *error);
        self.timers.cancel(Timer::Request);
        self.timers.cancel(Timer::StateTtl);
        let recovered = self.connection.recover.take().is_some() && reason.is_none();
        let resumed = frame.connection_id.is_some()
            && (self.connection.id == frame.connection_id || recovered);
        self.connection.id = frame.connection_id.take();
        self.connection.max_idle = None;
        self.connection.apply_details(frame.connection_details.as_deref());
        self.connection.attempts = 0;
        self.connection.ttl_expired = false;
        self.connection.token_renewed = false;
        self.connection.error_reason.clone_from(&reason);
        self.restart_idle_timer();
        self.reattach_and_resend(transport, resumed, out);
        self.emit_state_change(previous, reason, None, out);
        self.authorized(out);
    }

    /// CONNECTED on an established connection: an update (RTN24, RTC8a1).
    fn connection_updated(
        &mut self,
        transport: TransportId,
        frame: &mut ProtocolMessage,
        out: &mut Outbox,
    ) {
        let reason = frame.error.take().map(|error| *error);
        let same = frame.connection_id.is_none() || self.connection.id == frame.connection_id;
        self.connection.apply_details(frame.connection_details.as_deref());
        self.connection.error_reason.clone_from(&reason);
        self.timers.cancel(Timer::Idle);
        self.restart_idle_timer();
        if !same {
            // Not expected from a server. Handled as a new connection.
            self.connection.id = frame.connection_id.take();
            self.reattach_and_resend(transport, false, out);
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
        for op in core::mem::take(&mut self.connection.pending_authorize) {
            self.operations.finish(op, Ok(Outcome::Done), out);
        }
    }

    /// Attaches channels again, and sends pending messages, frames and pings (RTL3d, RTN19).
    fn reattach_and_resend(&mut self, transport: TransportId, resumed: bool, out: &mut Outbox) {
        if !resumed {
            // RTN15c7
            self.operations.next_serial = 0;
        }
        self.with_channels(out, |channel, cx| channel.connected(cx));
        let in_flight = core::mem::take(&mut self.operations.in_flight);
        for message in in_flight {
            match (self.attaching_channel(&message), message) {
                // The re-entry is created again when the channel is attached.
                (Some(_), InFlight { origin: Origin::Reentry(_), .. }) => {}
                (Some(key), InFlight { serial, origin: Origin::App(ops), frame }) => {
                    // RTL3d2: held until the channel is attached again.
                    let message = Held { serial, ops, frame };
                    self.with_channel(key, out, |channel, _| {
                        channel.presence.hold(message, resumed);
                    });
                }
                (None, message @ InFlight { origin: Origin::Reentry(_), .. }) => {
                    // The channel is detaching or gone: there will be no re-entry.
                    self.finish_message(message, Some(&errors::disconnected()), out);
                }
                // RTN19a2
                (None, message) if resumed => {
                    self.operations.retransmit(transport, message, out);
                }
                (None, InFlight { origin, frame, .. }) => {
                    self.operations.transmit(transport, frame, origin, out);
                }
            }
        }
        if !resumed {
            self.with_channels(out, |channel, _| channel.presence.requeue_held());
        }
        while let Some((op, frame)) = self.operations.queue.pop_front() {
            self.operations.transmit(transport, frame, Origin::App(Items::one(op)), out);
        }
        self.send_pings(out);
    }

    /// The channel of a presence message, if it is ATTACHING.
    fn attaching_channel(&self, message: &InFlight) -> Option<ChannelKey> {
        let name = message.frame.channel.as_deref().filter(|_| message.is_presence())?;
        let attaching = |key: &ChannelKey| self.channels.get(*key).state == ChannelState::Attaching;
        self.channels.key(name).filter(attaching)
    }

    /// Handles DISCONNECTED: the server is about to close the transport (RTN15h).
    fn disconnected_by_server(&mut self, error: ErrorInfo, out: &mut Outbox) {
        match self.connection.state {
            ConnectionState::Connected if error.is_token_error() => {
                self.token_rejected_connected(error, out);
            }
            ConnectionState::Connecting if error.is_token_error() => {
                self.token_rejected_connecting(error, out);
            }
            ConnectionState::Closing => self.closed(Some(error), out),
            _ => {
                self.close_transport(out);
                self.transport_lost(error, out);
            }
        }
    }

    /// Handles an ERROR of the connection (RTN14b, RTN14g, RTN15c4, RTN15c5, RTN15j).
    fn connection_error(&mut self, error: ErrorInfo, out: &mut Outbox) {
        match self.connection.state {
            ConnectionState::Connecting if error.is_token_error() => {
                self.token_rejected_connecting(error, out);
            }
            ConnectionState::Closing => self.closed(Some(error), out),
            _ => self.fail(error, out),
        }
    }

    // ---- Acknowledgements

    /// Handles ACK (without `error`) and NACK (RTN7a, RTN7b).
    fn acknowledged(
        &mut self,
        frame: &ProtocolMessage,
        error: Option<&ErrorInfo>,
        out: &mut Outbox,
    ) {
        let Some(first) = frame.msg_serial else { return };
        let count = frame.count.unwrap_or(1);
        for (message, skipped) in self.operations.take_acknowledged(first, count) {
            if skipped {
                self.finish_message(message, Some(&errors::message_lost()), out);
            } else {
                self.finish_message(message, error, out);
            }
        }
    }

    /// Ends the operations of a message, or reports a failed re-entry. `error` if the message was
    /// rejected or lost.
    pub(super) fn finish_message(
        &mut self,
        message: InFlight,
        error: Option<&ErrorInfo>,
        out: &mut Outbox,
    ) {
        match message.origin {
            Origin::App(ops) => {
                for op in ops {
                    let result = error.map_or(Ok(Outcome::Done), |error| Err(error.clone()));
                    self.operations.finish(op, result, out);
                }
            }
            Origin::Reentry(client_id) => {
                // The channel may have been released in the meantime.
                let name = message.frame.channel.as_deref().unwrap_or_default();
                if let (Some(error), Some(key)) = (error, self.channels.key(name)) {
                    self.with_channel(key, out, |channel, cx| {
                        channel.reentry_failed(cx, &client_id, error.clone());
                    });
                }
            }
        }
    }

    // ---- Channels

    fn channel_frame(&mut self, frame: &mut ProtocolMessage, out: &mut Outbox) {
        // The channel may have been released.
        let Some(key) = channel_name(frame).and_then(|name| self.channels.key(name)) else {
            return;
        };
        self.with_channel(key, out, |channel, cx| channel.received(cx, frame));
    }
}

/// The channel of a frame; `None` for an empty name.
fn channel_name(frame: &ProtocolMessage) -> Option<&str> {
    frame.channel.as_deref().filter(|name| !name.is_empty())
}
