//! What goes out: frames to one, frames to many, acknowledgements and errors.

use super::{Outbox, Output, Recipients, Server};
use crate::members::Slot;
use crate::wire::{Action, ErrorInfo, ProtocolMessage, Value};
use crate::{SmolStr, TransportId};
use alloc::boxed::Box;

impl Server {
    /// Counts a frame that goes to so many.
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
        out.push(Output::Send { transport, frame });
    }

    /// Sends a frame to many, if there is anybody.
    pub(super) fn broadcast(&mut self, to: Recipients, frame: ProtocolMessage, out: &mut Outbox) {
        if !to.is_empty() {
            self.count_frame(to.len());
            out.push(Output::Broadcast { to, frame });
        }
    }

    /// Sends a frame that answers one of the connection's own. While it is congested, only so many
    /// are sent; then the transport is given up.
    pub(super) fn reply(&mut self, slot: Slot, frame: ProtocolMessage, out: &mut Outbox) {
        let limit = self.config.limits.replies_while_congested;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let Some(transport) = connection.transport else { return };
        if connection.congested {
            let more = connection.more.get_or_insert_default();
            more.replies = more.replies.saturating_add(1);
            if more.replies > limit {
                self.counters.limited += 1;
                let message = "Too many requests while not reading the answers";
                self.disconnect(slot, ErrorInfo::new(42920, 429, message), out);
                return;
            }
        }
        self.send_to(transport, frame, out);
    }

    /// Acknowledges a frame (RTN7a). While the transport is congested, acknowledgements that
    /// follow each other are put together.
    pub(super) fn ack(
        &mut self,
        slot: Slot,
        serial: i64,
        res: Option<Box<Value>>,
        out: &mut Outbox,
    ) {
        self.counters.acks += 1;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if connection.congested && res.is_none() {
            let more = connection.more.get_or_insert_default();
            match &mut more.acks {
                Some((first, count))
                    if first.checked_add(i64::from(*count)) == Some(serial)
                        && *count < u32::MAX =>
                {
                    *count += 1;
                }
                acks => {
                    if let Some((first, count)) = acks.replace((serial, 1)) {
                        self.reply(slot, ack_frame(first, count, None), out);
                    }
                }
            }
            return;
        }
        // A client takes an acknowledgement for a later serial as the end of all before it.
        self.send_held_acks(slot, out);
        self.reply(slot, ack_frame(serial, 1, res), out);
    }

    /// Sends the acknowledgements that were put together.
    pub(super) fn send_held_acks(&mut self, slot: Slot, out: &mut Outbox) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if let Some((first, count)) = connection.more.as_mut().and_then(|more| more.acks.take()) {
            self.reply(slot, ack_frame(first, count, None), out);
        }
    }

    /// Refuses a frame (RTN7a). It may be sent again: only accepted frames are remembered.
    pub(super) fn nack(&mut self, slot: Slot, serial: i64, error: ErrorInfo, out: &mut Outbox) {
        self.counters.nacks += 1;
        self.send_held_acks(slot, out);
        let frame = ProtocolMessage {
            msg_serial: Some(serial),
            count: Some(1),
            error: Some(Box::new(error)),
            ..ProtocolMessage::new(Action::Nack)
        };
        self.reply(slot, frame, out);
    }

    /// Tells of an error of a channel (RTL14): the client takes it for failed.
    pub(super) fn channel_error(
        &mut self,
        slot: Slot,
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

    /// Tells of an error that ends the connection as the client sees it (RTN15j), and closes the
    /// transport. Members stay for their grace.
    pub(super) fn fail(&mut self, slot: Slot, error: ErrorInfo, out: &mut Outbox) {
        self.part_with(slot, Action::Error, error, out);
    }

    /// Asks the client to reconnect (RTN15h), and closes the transport. Members stay for their
    /// grace.
    pub(super) fn disconnect(&mut self, slot: Slot, error: ErrorInfo, out: &mut Outbox) {
        self.part_with(slot, Action::Disconnected, error, out);
    }

    fn part_with(&mut self, slot: Slot, action: Action, error: ErrorInfo, out: &mut Outbox) {
        let Some(transport) = self.connections.get(slot).and_then(|c| c.transport) else { return };
        let frame =
            ProtocolMessage { error: Some(Box::new(error)), ..ProtocolMessage::new(action) };
        self.send_to(transport, frame, out);
        out.push(Output::Close { transport });
        self.lose(transport, out);
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
