//! The life cycle of the connection: attempts, loss, suspension, close (RTN11–RTN16, RTN20).

use super::channel::{Cause as ChannelCause, Channel};
use super::connection::Cause;
use super::recovery::RecoveryKey;
use super::timers::Timer;
use super::{Client, ConnectionState, Outbox, Output, Warning, errors, retry};
use crate::TransportId;
use crate::wire::{Action, ErrorInfo, ProtocolMessage};
use alloc::boxed::Box;
use core::time::Duration;

impl Client {
    // ---- Operations

    /// Connects, unless already connecting or connected (RTN11).
    pub(super) fn connect(&mut self, out: &mut Outbox) {
        self.check_options(out);
        match self.connection.state {
            // RTN11e
            ConnectionState::Connecting | ConnectionState::Connected => return,
            // RTN11c
            ConnectionState::Initialized
            | ConnectionState::Disconnected
            | ConnectionState::Suspended => {}
            ConnectionState::Closing => {
                // RTN11b: abandons the old transport and connection.
                self.close_transport(out);
                let error = errors::not_connected(ConnectionState::Closed);
                self.end_channels(ChannelCause::ConnectionClosed, &error, out);
                self.reset_connection(out);
            }
            ConnectionState::Closed | ConnectionState::Failed => self.reset_connection(out),
        }
        self.attempt(Cause::Connect, out);
    }

    /// Closes the connection (RTN12).
    pub(super) fn close(&mut self, out: &mut Outbox) {
        // No transition: there is nothing to close.
        let Some(previous) = self.connection.try_transition(Cause::Close) else { return };
        self.timers.cancel(Timer::Retry);
        self.timers.cancel(Timer::StateTtl);
        self.timers.cancel(Timer::Idle);
        self.connection.clear_id();
        self.with_channels(out, |channel, _| channel.cancel_retry());
        self.emit_state_change(previous, None, None, out);
        self.fail_pings(&errors::not_connected(ConnectionState::Closing), out);
        match (previous, self.connection.transport) {
            (ConnectionState::Connected, Some(transport)) => self.send_close(transport, out),
            // RTN12f: waits for the result of the attempt.
            (ConnectionState::Connecting, Some(_)) => {
                self.timers.arm(Timer::Request, self.request_deadline());
            }
            // RTN12d
            _ => self.closed(None, out),
        }
    }

    /// Sends CLOSE (RTN12a), with a timeout for CLOSED (RTN12b).
    pub(super) fn send_close(&mut self, transport: TransportId, out: &mut Outbox) {
        self.connection.close_sent = true;
        let frame = Box::new(ProtocolMessage::new(Action::Close));
        out.push(Output::send(transport, frame));
        self.timers.arm(Timer::Request, self.request_deadline());
    }

    /// Clears the old connection and its channels (RTN11d).
    fn reset_connection(&mut self, out: &mut Outbox) {
        self.connection.reset(&self.options);
        self.connection.error_reason = None;
        self.with_channels(out, |channel, cx| channel.reset(cx));
    }

    /// Emits warnings about the options, once.
    fn check_options(&mut self, out: &mut Outbox) {
        if core::mem::replace(&mut self.options_warned, true) {
            return;
        }
        let key = self.options.recover.as_deref();
        if key.is_some_and(|key| RecoveryKey::parse(key).is_none()) {
            out.push(Output::Warning(Warning::RecoveryKeyMalformed));
        }
        // RSA4a1
        if self.options.token.is_some() && !self.options.token_renewable {
            out.push(Output::Warning(Warning::TokenNotRenewable));
        }
    }

    // ---- Attempts

    /// Enters CONNECTING and opens a transport.
    pub(super) fn attempt(&mut self, cause: Cause, out: &mut Outbox) {
        let previous = self.connection.transition(cause);
        self.timers.cancel(Timer::Retry);
        if !self.connection.ttl_expired && !self.timers.state_ttl_is_armed() {
            self.timers.arm(Timer::StateTtl, self.clock.mono + self.connection.state_ttl);
        }
        self.emit_state_change(previous, None, None, out);
        self.open_transport(out);
    }

    /// Opens a transport. If the last token was rejected, requests a new one first.
    pub(super) fn open_transport(&mut self, out: &mut Outbox) {
        self.timers.arm(Timer::Request, self.request_deadline());
        if self.connection.token_rejected {
            return self.request_token(super::connection::TokenPurpose::Connect, out);
        }
        let transport = self.connection.new_transport();
        let params = self.connection.params(&self.options);
        out.push(Output::open(transport, params));
    }

    /// Closes and abandons the transport, if any.
    pub(super) fn close_transport(&mut self, out: &mut Outbox) {
        self.timers.cancel(Timer::Idle);
        if let Some(transport) = self.connection.transport.take() {
            out.push(Output::close(transport));
        }
    }

    /// The transport was lost, not closed by the client.
    pub(super) fn transport_lost(&mut self, error: ErrorInfo, out: &mut Outbox) {
        self.timers.cancel(Timer::Idle);
        match self.connection.state {
            ConnectionState::Connecting => self.attempt_failed(error, out),
            ConnectionState::Connected => {
                self.disconnected(&error, None, out);
                // RTN15a, RTN15h3: an immediate attempt, which counts as the first retry.
                self.connection.attempts = 1;
                self.attempt(Cause::Retry, out);
            }
            // RTN12c, RTN12f
            ConnectionState::Closing => self.close_unanswered(error, out),
            _ => self.connection.internal_error(Cause::TransportLost),
        }
    }

    /// An attempt failed. Schedules the next (RTN14d, RTN14e).
    pub(super) fn attempt_failed(&mut self, error: ErrorInfo, out: &mut Outbox) {
        self.timers.cancel(Timer::Request);
        if self.connection.ttl_expired {
            self.suspended(Cause::AttemptFailedAfterTtl, error, out);
        } else {
            let delay = self.next_delay();
            self.disconnected_by(Cause::AttemptFailed, &error, Some(delay), out);
        }
    }

    /// CONNECTED to DISCONNECTED. Without a delay the caller retries at once.
    fn disconnected(&mut self, error: &ErrorInfo, delay: Option<Duration>, out: &mut Outbox) {
        self.disconnected_by(Cause::TransportLost, error, delay, out);
    }

    fn disconnected_by(
        &mut self,
        cause: Cause,
        error: &ErrorInfo,
        delay: Option<Duration>,
        out: &mut Outbox,
    ) {
        let previous = self.connection.transition(cause);
        self.connection.error_reason = Some(error.clone());
        if let Some(delay) = delay {
            self.timers.arm(Timer::Retry, self.clock.mono + delay);
        }
        self.with_channels(out, |channel, _| channel.cancel_retry());
        if !self.options.queue_messages {
            // RTN7d
            self.fail_in_flight(error, out);
            self.with_channels(out, |channel, cx| channel.presence.fail_queue(cx, error));
        }
        self.emit_state_change(previous, Some(error.clone()), delay, out);
        if !self.timers.state_ttl_is_armed() {
            self.timers.arm(Timer::StateTtl, self.clock.mono + self.connection.state_ttl);
        }
    }

    fn next_delay(&mut self) -> Duration {
        self.connection.attempts = self.connection.attempts.saturating_add(1);
        let jitter = self.options.retry_jitter.then_some(&mut self.rng);
        retry::delay(self.options.disconnected_retry_timeout, self.connection.attempts, jitter)
    }

    // ---- Suspension and end

    /// Enters SUSPENDED: longer retry delay; channels are suspended and operations fail (RTN14e).
    fn suspended(&mut self, cause: Cause, error: ErrorInfo, out: &mut Outbox) {
        let previous = self.connection.transition(cause);
        self.connection.ttl_expired = true;
        self.connection.error_reason = Some(error.clone());
        self.timers.cancel(Timer::StateTtl);
        self.timers.cancel(Timer::Request);
        let delay = self.options.suspended_retry_timeout;
        self.timers.arm(Timer::Retry, self.clock.mono + delay);
        self.end_channels(ChannelCause::ConnectionSuspended, &error, out);
        self.emit_state_change(previous, Some(error), Some(delay), out);
    }

    /// Enters FAILED (RTN14g, RTN15j).
    pub(super) fn fail(&mut self, error: ErrorInfo, out: &mut Outbox) {
        // The host's error (RSA4d) can arrive in any state. Without a transition it changes nothing.
        let Some(previous) = self.connection.try_transition(Cause::Fatal) else { return };
        self.close_transport(out);
        self.timers.cancel(Timer::StateTtl);
        self.timers.cancel(Timer::Request);
        self.connection.reset(&self.options);
        self.connection.error_reason = Some(error.clone());
        self.end_channels(ChannelCause::ConnectionFailed, &error, out);
        self.emit_state_change(previous, Some(error), None, out);
    }

    /// Enters CLOSED (RTN12).
    pub(super) fn closed(&mut self, reason: Option<ErrorInfo>, out: &mut Outbox) {
        let previous = self.connection.transition(Cause::CloseCompleted);
        self.close_transport(out);
        self.timers.cancel(Timer::Request);
        self.connection.reset(&self.options);
        self.connection.error_reason.clone_from(&reason);
        let error = errors::not_connected(ConnectionState::Closed);
        self.end_channels(ChannelCause::ConnectionClosed, &error, out);
        self.emit_state_change(previous, reason, None, out);
    }

    /// Enters CLOSED without the server's CLOSED. If CLOSE was sent, it may not have arrived.
    fn close_unanswered(&mut self, cause: ErrorInfo, out: &mut Outbox) {
        let reason = self.connection.close_sent.then(|| errors::not_closed(cause));
        self.closed(reason, out);
    }

    /// Ends channels and fails operations together with the connection (RTL3a–c, RTN7e).
    fn end_channels(&mut self, cause: ChannelCause, error: &ErrorInfo, out: &mut Outbox) {
        self.with_channels(out, |channel, cx| channel.connection_ended(cx, cause, error));
        self.fail_in_flight(error, out);
        while let Some((op, _)) = self.operations.queue.pop_front() {
            self.operations.finish(op, Err(error.clone()), out);
        }
        self.fail_pings(error, out);
        // RTC8b1
        for op in core::mem::take(&mut self.connection.pending_authorize) {
            self.operations.finish(op, Err(error.clone()), out);
        }
    }

    fn fail_in_flight(&mut self, error: &ErrorInfo, out: &mut Outbox) {
        while let Some(message) = self.operations.in_flight.pop_front() {
            self.finish_message(message, Some(error), out);
        }
    }

    // ---- Timers and the network

    pub(super) fn ttl_expired(&mut self, out: &mut Outbox) {
        self.close_transport(out);
        let error = errors::not_connected(ConnectionState::Suspended);
        self.suspended(Cause::TtlExpired, error, out);
    }

    pub(super) fn retry(&mut self, out: &mut Outbox) {
        self.attempt(Cause::Retry, out);
    }

    pub(super) fn request_timed_out(&mut self, out: &mut Outbox) {
        self.close_transport(out);
        match self.connection.state {
            ConnectionState::Connecting => {
                let error = if self.connection.token_request.is_some() {
                    errors::token_request_failed(errors::timed_out())
                } else {
                    errors::timed_out()
                };
                self.attempt_failed(error, out);
            }
            // RTN12b
            ConnectionState::Closing => self.close_unanswered(errors::timed_out(), out),
            _ => self.connection.internal_error(Timer::Request),
        }
    }

    /// Abandons the transport, and waits before the next attempt (RTN20a).
    pub(super) fn network_lost(&mut self, out: &mut Outbox) {
        let mut error = errors::disconnected();
        error.message = "the network is gone".into();
        match self.connection.state {
            ConnectionState::Connected => {
                self.close_transport(out);
                let delay = self.next_delay();
                self.disconnected(&error, Some(delay), out);
            }
            ConnectionState::Connecting => {
                self.close_transport(out);
                self.attempt_failed(error, out);
            }
            // No transport to lose, or closing anyway.
            _ => {}
        }
    }

    /// Starts an attempt at once, or starts the running one again (RTN20b, RTN20c).
    pub(super) fn network_available(&mut self, out: &mut Outbox) {
        match self.connection.state {
            ConnectionState::Disconnected | ConnectionState::Suspended => {
                self.attempt(Cause::Connect, out);
            }
            ConnectionState::Connecting => {
                self.close_transport(out);
                self.open_transport(out);
            }
            // Already connected, or not supposed to connect.
            _ => {}
        }
    }

    /// Restores message serial and channel serials from a recovery key (RTN16f, RTN16j).
    pub(super) fn recover(&mut self, key: RecoveryKey) {
        self.operations.next_serial = key.msg_serial;
        let (limit, hash_seed) = (self.options.limits.channels, self.hash_seed);
        for (name, serial) in &key.channel_serials {
            let make = || Channel::new(name.clone(), hash_seed);
            // The key may contain more channels than the limit. The rest is dropped.
            if let Some(key) = self.channels.get_or_insert(name, limit, make) {
                let serial = Some(serial.clone());
                self.channels.update(key, |channel| channel.channel_serial = serial);
            }
        }
        self.connection.recover = Some(key);
    }
}
