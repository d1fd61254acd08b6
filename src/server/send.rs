//! Outgoing frames: to one transport, to many, acknowledgements and errors.

use super::connections::Answer;
use super::state::ConnectionSlot;
use super::{Outbox, Output, Recipients, Server};
use crate::wire::{Action, ErrorInfo, ProtocolMessage, Value, codes};
use crate::{SmolStr, TransportId};
use alloc::boxed::Box;

impl Server {
    pub(super) const fn count_frame(&mut self, recipients: usize) {
        self.counters.frames_out += 1;
        self.counters.deliveries += recipients as u64;
    }

    #[inline]
    pub(super) fn send_to(
        &mut self,
        transport: TransportId,
        frame: ProtocolMessage,
        out: &mut Outbox,
    ) {
        self.count_frame(1);
        out.push(Output::send(Recipients::one(transport), frame));
    }

    /// Sends one frame to all recipients; nothing if there are none.
    pub(super) fn broadcast(&mut self, to: Recipients, frame: ProtocolMessage, out: &mut Outbox) {
        if !to.is_empty() {
            self.count_frame(to.len());
            out.push(Output::send(to, frame));
        }
    }

    /// Sends the answer to a frame of the connection. A congested connection receives at most
    /// `replies_while_congested` answers; then it is disconnected (42920).
    pub(super) fn reply(&mut self, slot: ConnectionSlot, frame: ProtocolMessage, out: &mut Outbox) {
        let connection = self.connections.get_mut(slot);
        let Some(transport) = connection.transport() else { return };
        if connection.count_reply() > self.options.limits.replies_while_congested {
            self.counters.limited += 1;
            let message = "Too many requests while not reading the answers";
            self.disconnect(
                slot,
                ErrorInfo::new(codes::RATE_LIMIT_EXCEEDED_CONNECTION_FATAL, 429, message),
                out,
            );
            return;
        }
        self.send_to(transport, frame, out);
    }

    /// Acknowledges a frame (RTN7a). While the connection is congested, consecutive
    /// acknowledgements are merged.
    pub(super) fn ack(
        &mut self,
        slot: ConnectionSlot,
        serial: i64,
        res: Option<Box<Value>>,
        out: &mut Outbox,
    ) {
        if !self.hold_answer(slot, Answer::Ack(serial), out) {
            self.send_ack(slot, serial, res, out);
        }
    }

    pub(super) fn send_ack(
        &mut self,
        slot: ConnectionSlot,
        serial: i64,
        res: Option<Box<Value>>,
        out: &mut Outbox,
    ) {
        self.counters.acks += 1;
        let connection = self.connections.get_mut(slot);
        if connection.is_congested() && res.is_none() {
            if let Some((first, count)) = connection.defer_ack(serial) {
                self.reply(slot, ack_frame(first, count, None), out);
            }
            return;
        }
        // An ACK implicitly ends all earlier serials at the client.
        self.send_deferred_acks(slot, out);
        self.reply(slot, ack_frame(serial, 1, res), out);
    }

    pub(super) fn send_deferred_acks(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        if let Some((first, count)) = self.connections.get_mut(slot).take_deferred_acks() {
            self.reply(slot, ack_frame(first, count, None), out);
        }
    }

    /// Sends NACK (RTN7a). The frame may be sent again: only accepted serials are recorded.
    pub(super) fn nack(
        &mut self,
        slot: ConnectionSlot,
        serial: i64,
        error: ErrorInfo,
        out: &mut Outbox,
    ) {
        if self.has_log() {
            let answer = Answer::Nack(serial, Box::new(error.clone()));
            if self.hold_answer(slot, answer, out) {
                return;
            }
        }
        self.send_nack(slot, serial, error, out);
    }

    pub(super) fn send_nack(
        &mut self,
        slot: ConnectionSlot,
        serial: i64,
        error: ErrorInfo,
        out: &mut Outbox,
    ) {
        self.counters.nacks += 1;
        self.send_deferred_acks(slot, out);
        let frame = ProtocolMessage {
            msg_serial: Some(serial),
            count: Some(1),
            error: Some(Box::new(error)),
            ..ProtocolMessage::new(Action::Nack)
        };
        self.reply(slot, frame, out);
    }

    /// Sends ERROR for a channel (RTL14): the channel fails at the client.
    pub(super) fn channel_error(
        &mut self,
        slot: ConnectionSlot,
        channel: SmolStr,
        error: ErrorInfo,
        out: &mut Outbox,
    ) {
        let frame = ProtocolMessage {
            channel: Some(channel),
            error: Some(Box::new(error)),
            ..ProtocolMessage::new(Action::Error)
        };
        self.reply(slot, frame, out);
    }

    /// Sends ERROR for the connection (RTN15j) and closes the transport. The members stay for their
    /// grace period.
    pub(super) fn fail(&mut self, slot: ConnectionSlot, error: ErrorInfo, out: &mut Outbox) {
        self.close_with(slot, Action::Error, error, out);
    }

    /// Sends DISCONNECTED (RTN15h) and closes the transport. The client reconnects; the members
    /// stay for their grace period.
    pub(super) fn disconnect(&mut self, slot: ConnectionSlot, error: ErrorInfo, out: &mut Outbox) {
        self.close_with(slot, Action::Disconnected, error, out);
    }

    fn close_with(
        &mut self,
        slot: ConnectionSlot,
        action: Action,
        error: ErrorInfo,
        out: &mut Outbox,
    ) {
        let Some(transport) = self.connections.get(slot).transport() else { return };
        let frame =
            ProtocolMessage { error: Some(Box::new(error)), ..ProtocolMessage::new(action) };
        self.send_to(transport, frame, out);
        out.push(Output::close(transport));
        self.lose_transport(transport, out);
    }
}

fn ack_frame(serial: i64, count: u32, res: Option<Box<Value>>) -> ProtocolMessage {
    ProtocolMessage {
        msg_serial: Some(serial),
        count: Some(count),
        res,
        ..ProtocolMessage::new(Action::Ack)
    }
}
