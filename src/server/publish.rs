//! MESSAGE frames: checked, stamped and passed on; and what every frame must pass first.

use super::attach::check_name;
use super::presence::{check_connection_id, check_serial, no_mode};
use super::{Identity, Outbox, Recipients, Server, stream};
use crate::members::Slot;
use crate::wire::{Action, ErrorInfo, Map, Message, Modes, ProtocolMessage, Value};
use crate::{SmolStr, TransportId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::Write as _;
use smol_str::SmolStrBuilder;

impl Server {
    /// Whether a frame is within the connection's rate. One that is not is refused, or passed over
    /// if it wants no acknowledgement; too many of them end the transport (42920).
    pub(super) fn admit(&mut self, slot: Slot, frame: &ProtocolMessage, out: &mut Outbox) -> bool {
        let limits = self.config.limits;
        let now = self.now.mono;
        let Some(connection) = self.connections.get_mut(slot) else { return false };
        if connection.inbound.take(limits.inbound, now, 1) {
            connection.refused = connection.refused.saturating_sub(1);
            return true;
        }
        self.counters.limited += 1;
        connection.refused = connection.refused.saturating_add(1);
        if connection.refused > limits.refused_frames {
            let message = "Far too many frames on this connection";
            self.disconnect(slot, ErrorInfo::new(42920, 429, message), out);
        } else if matches!(
            frame.action,
            Action::Presence | Action::Message | Action::Annotation | Action::Object
        ) {
            let error = ErrorInfo::new(42911, 429, "Too many frames on this connection");
            self.nack(slot, frame.msg_serial.unwrap_or(0), error, out);
        }
        false
    }

    pub(super) fn message_frame(&mut self, slot: Slot, frame: ProtocolMessage, out: &mut Outbox) {
        let msg_serial = frame.msg_serial.unwrap_or(0);
        let Some(connection) = self.connections.get(slot) else { return };
        if connection.serials.contains(msg_serial) {
            self.accept(slot, msg_serial, true, None, out);
            return;
        }
        match self.publish(slot, frame, out) {
            Ok(res) => self.accept(slot, msg_serial, false, Some(Box::new(res)), out),
            Err(error) => self.nack(slot, msg_serial, error, out),
        }
    }

    /// Passes messages on to those who are attached now. The channel need not be attached by the
    /// publisher (RTL6c). Tells the messages' serials.
    fn publish(
        &mut self,
        slot: Slot,
        mut frame: ProtocolMessage,
        out: &mut Outbox,
    ) -> Result<Value, ErrorInfo> {
        let limits = self.config.limits;
        let name = frame.channel.clone().unwrap_or_default();
        check_name(&name, limits.channel_name)?;
        let msg_serial = check_serial(&frame)?;
        let channel = self.channels.by_name(&name);
        let attachment = channel
            .and_then(|channel| self.channels.pair(slot, channel))
            .and_then(|attachment| self.channels.attachment(attachment));
        let Some(connection) = self.connections.get(slot) else {
            return Err(ErrorInfo::new(50000, 500, "The connection is gone"));
        };
        let allowed = connection.capability.on(&name).modes().contains(Modes::PUBLISH);
        if !attachment.map_or(allowed, |entry| entry.granted.contains(Modes::PUBLISH)) {
            return Err(no_mode(allowed, "publish"));
        }
        check_connection_id(frame.connection_id.as_ref(), &connection.id)?;
        if frame.messages.len() > limits.items_per_frame {
            self.counters.limited += 1;
            return Err(ErrorInfo::new(40009, 400, "Too many messages in one frame"));
        }
        let mut bytes = 0usize;
        for message in &mut frame.messages {
            check_connection_id(message.connection_id.as_ref(), &connection.id)?;
            message.client_id = publisher(&connection.identity, message.client_id.take())?;
            bytes = bytes.saturating_add(size_of(message));
        }
        if bytes > limits.message_size {
            self.counters.limited += 1;
            return Err(ErrorInfo::new(40009, 400, "The messages are too large"));
        }
        let connection_id = connection.id.clone();
        // RTN2b: no echo, if the publisher's own transport is in the audience at all.
        let hears = attachment.is_some_and(|entry| entry.message_place.is_some());
        let except = connection.transport.filter(|_| hears && !connection.echo);
        let now = self.now;
        let count = u32::try_from(frame.messages.len()).unwrap_or(u32::MAX);
        if let Some(entry) = channel.and_then(|channel| self.channels.get_mut(channel))
            && !entry.rate.take(limits.channel, now.mono, count)
        {
            self.counters.limited += 1;
            return Err(ErrorInfo::new(42913, 429, "Too many messages on this channel"));
        }
        let serial = self.stream.next(now.wall);
        let mut serials = Vec::with_capacity(frame.messages.len());
        for (index, message) in frame.messages.iter_mut().enumerate() {
            serials.push(Value::String(stamp(message, serial, index)));
        }
        if let Some(channel) = channel {
            self.tell_messages(channel, serial, except, msg_serial, connection_id, frame, out);
        }
        let mut result = Map::new();
        result.insert("serials", Value::Array(serials));
        Ok(Value::Array(alloc::vec![Value::Object(result)]))
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one frame")]
    fn tell_messages(
        &mut self,
        channel: Slot,
        serial: u64,
        except: Option<TransportId>,
        msg_serial: i64,
        connection_id: SmolStr,
        frame: ProtocolMessage,
        out: &mut Outbox,
    ) {
        let wall = self.now.wall;
        let Some(entry) = self.channels.get_mut(channel) else { return };
        entry.last = serial;
        entry.last_message = serial;
        let to = Recipients::new(entry.messages.share(), None, except);
        self.counters.messages += frame.messages.len() as u64;
        let frame = ProtocolMessage {
            id: Some(alloc::format!("{connection_id}:{msg_serial}").into()),
            channel: Some(entry.name.clone()),
            channel_serial: Some(stream::text(serial)),
            connection_id: Some(connection_id),
            timestamp: Some(wall),
            messages: frame.messages,
            ..ProtocolMessage::new(Action::Message)
        };
        self.broadcast(to, frame, out);
    }
}

/// The bytes that a message counts for: TM6, and all else that goes to everybody.
fn size_of(message: &Message) -> usize {
    let text = |text: &Option<SmolStr>| text.as_ref().map_or(0, |text| text.len());
    let other = message.other.iter().fold(0, |sum: usize, (name, value)| {
        sum.saturating_add(name.len()).saturating_add(value.json_len())
    });
    message
        .size()
        .saturating_add(text(&message.id))
        .saturating_add(text(&message.encoding))
        .saturating_add(other)
}

/// Takes out what follows from the frame and gives the message its serial (TM2r), which is told.
fn stamp(message: &mut Message, serial: u64, index: usize) -> SmolStr {
    message.connection_id = None;
    message.timestamp = None;
    let mut text = SmolStrBuilder::new();
    // Writing to a buffer in memory does not fail.
    let _ = write!(text, "{}:{index}", stream::text(serial));
    let text = text.finish();
    message.other.insert("serial", Value::String(text.clone()));
    text
}

/// The client id that a message is published under.
fn publisher(identity: &Identity, named: Option<SmolStr>) -> Result<Option<SmolStr>, ErrorInfo> {
    match (identity, named.filter(|name| !name.is_empty())) {
        (Identity::Client(own), None) => Ok(Some(own.clone())),
        (_, None) => Ok(None),
        (Identity::Client(own), Some(name)) if *own == name => Ok(Some(name)),
        (Identity::Any, Some(name)) if name != "*" => Ok(Some(name)),
        _ => Err(ErrorInfo::new(40012, 400, "This connection cannot publish as another client id")),
    }
}
