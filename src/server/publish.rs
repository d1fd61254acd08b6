//! MESSAGE frames, and the rate of all inbound frames.

use super::attach::check_name;
use super::presence::{check_connection_id, check_serial, missing_mode};
use super::record::{self, MessagesRecord, Record};
use super::state::{self, ChannelSlot, ConnectionSlot};
use super::{Identity, Outbox, Recipients, Server};
use crate::SmolStr;
use crate::wire::{Action, ErrorInfo, Map, Message, Modes, ProtocolMessage, Value, codes};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::Write as _;
use smol_str::SmolStrBuilder;

impl Server {
    /// Checks the inbound rate of a connection. Beyond it, a frame that requires an acknowledgement
    /// receives NACK (42911), any other is dropped. Too many of them close the transport (42920).
    pub(super) fn check_rate(
        &mut self,
        slot: ConnectionSlot,
        frame: &ProtocolMessage,
        out: &mut Outbox,
    ) -> bool {
        let limits = self.options.limits;
        let Err(refused) =
            self.connections.get_mut(slot).admit_frame(limits.inbound, self.now.mono)
        else {
            return true;
        };
        self.counters.limited += 1;
        if refused > limits.refused_frames {
            let message = "Far too many frames on this connection";
            self.disconnect(
                slot,
                ErrorInfo::new(codes::RATE_LIMIT_EXCEEDED_CONNECTION_FATAL, 429, message),
                out,
            );
        } else if matches!(
            frame.action,
            Action::Presence | Action::Message | Action::Annotation | Action::Object
        ) {
            let error = ErrorInfo::new(
                codes::RATE_LIMIT_EXCEEDED_PER_CONNECTION,
                429,
                "Too many frames on this connection",
            );
            self.nack(slot, frame.msg_serial.unwrap_or(0), error, out);
        }
        false
    }

    pub(super) fn message_frame(
        &mut self,
        slot: ConnectionSlot,
        frame: ProtocolMessage,
        out: &mut Outbox,
    ) {
        let msg_serial = frame.msg_serial.unwrap_or(0);
        if self.state.connection(slot).accepted(msg_serial) {
            self.accept(slot, msg_serial, true, None, out);
            return;
        }
        match self.check_messages(slot, frame) {
            Ok(record) if self.has_log() => {
                self.propose_frame(slot, msg_serial, Record::Messages(record), out);
            }
            Ok(record) => {
                let channel = self.state.by_name(&record.channel);
                let res = self.deliver_messages(slot, channel, record, out);
                self.accept(slot, msg_serial, false, Some(Box::new(res)), out);
            }
            Err(error) => self.nack(slot, msg_serial, error, out),
        }
    }

    /// Checks a MESSAGE frame. The publisher need not be attached (RTL6c).
    fn check_messages(
        &mut self,
        slot: ConnectionSlot,
        mut frame: ProtocolMessage,
    ) -> Result<MessagesRecord, ErrorInfo> {
        let limits = self.options.limits;
        let name = frame.channel.clone().unwrap_or_default();
        check_name(&name, limits.channel_name)?;
        let msg_serial = check_serial(&frame)?;
        let channel = self.state.by_name(&name);
        let attachment = channel.and_then(|channel| self.connections.pair(slot, channel));
        let connection = self.connections.get(slot);
        let allowed = connection.capability().on(&name).modes().contains(Modes::PUBLISH);
        let granted =
            attachment.map(|attachment| self.connections.attachment(attachment).granted());
        if !granted.map_or(allowed, |granted| granted.contains(Modes::PUBLISH)) {
            return Err(missing_mode(allowed, "publish"));
        }
        let connection_id = self.state.connection(slot).id().clone();
        check_connection_id(frame.connection_id.as_ref(), &connection_id)?;
        if frame.messages.len() > limits.items_per_frame {
            self.counters.limited += 1;
            return Err(ErrorInfo::new(
                codes::MAX_MESSAGE_SIZE_EXCEEDED,
                400,
                "Too many messages in one frame",
            ));
        }
        let mut bytes = 0usize;
        for message in &mut frame.messages {
            check_connection_id(message.connection_id.as_ref(), &connection_id)?;
            message.client_id = publisher(connection.identity(), message.client_id.take())?;
            bytes = bytes.saturating_add(record::size_of(message));
        }
        if bytes > limits.message_size {
            self.counters.limited += 1;
            return Err(ErrorInfo::new(
                codes::MAX_MESSAGE_SIZE_EXCEEDED,
                400,
                "The messages are too large",
            ));
        }
        if let Some(channel) = channel
            && !self.delivery.feed_mut(channel).take_tokens(
                limits.channel,
                self.now.mono,
                frame.messages.len(),
            )
        {
            self.counters.limited += 1;
            return Err(ErrorInfo::new(
                codes::RATE_LIMIT_EXCEEDED_PER_CHANNEL,
                429,
                "Too many messages on this channel",
            ));
        }
        if self.has_log() && channel.is_none() && self.state.channels() >= limits.channels {
            // Every node has a channel with messages, for a while.
            self.counters.limited += 1;
            let message = "The server has reached its limit of channels";
            return Err(ErrorInfo::new(codes::TOO_MANY_CHANNELS, 400, message));
        }
        let messages = frame.messages;
        Ok(MessagesRecord { connection_id, channel: name, msg_serial, messages })
    }

    /// Broadcasts messages to the channel's current subscribers, if the channel exists. Returns the
    /// serials for the ACK.
    pub(super) fn deliver_messages(
        &mut self,
        slot: ConnectionSlot,
        channel: Option<ChannelSlot>,
        record: MessagesRecord,
        out: &mut Outbox,
    ) -> Value {
        let MessagesRecord { connection_id, channel: name, msg_serial, mut messages } = record;
        self.state.accept(slot, msg_serial);
        let serial = self.state.next_message(self.at, channel);
        let mut serials = Vec::with_capacity(messages.len());
        for (index, message) in messages.iter_mut().enumerate() {
            serials.push(Value::String(stamp(message, serial, index)));
        }
        if let Some(channel) = channel {
            // RTN2b: no echo. A transport outside the audience must not be excluded from it.
            let attachment = self.connections.pair(slot, channel);
            let except = attachment.and_then(|attachment| {
                let in_audience = self.delivery.subscriber(attachment).receives_messages();
                let connection = self.connections.get(slot);
                connection.transport().filter(|_| in_audience && !connection.echo())
            });
            let to = Recipients::new(self.delivery.feed(channel).messages().share(), None, except);
            self.counters.messages += messages.len() as u64;
            let frame = ProtocolMessage {
                id: Some(alloc::format!("{connection_id}:{msg_serial}").into()),
                channel: Some(name),
                channel_serial: Some(state::format_serial(serial)),
                connection_id: Some(connection_id),
                timestamp: Some(self.at.wall),
                messages,
                ..ProtocolMessage::new(Action::Message)
            };
            self.broadcast(to, frame, out);
        }
        let mut result = Map::new();
        result.insert("serials", Value::Array(serials));
        Value::Array(alloc::vec![Value::Object(result)])
    }
}

/// Removes fields that the frame carries, and sets the message's serial (TM2r). Returns the serial.
fn stamp(message: &mut Message, serial: u64, index: usize) -> SmolStr {
    message.connection_id = None;
    message.timestamp = None;
    let mut text = SmolStrBuilder::new();
    let _ = write!(text, "{}:{index}", state::format_serial(serial));
    let text = text.finish();
    message.other.insert("serial", Value::String(text.clone()));
    text
}

/// The client id of a message: the one in the message if the identity allows it, else that of the
/// identity.
fn publisher(identity: &Identity, named: Option<SmolStr>) -> Result<Option<SmolStr>, ErrorInfo> {
    match (identity, named.filter(|name| !name.is_empty())) {
        (Identity::Client(own), None) => Ok(Some(own.clone())),
        (_, None) => Ok(None),
        (Identity::Client(own), Some(name)) if *own == name => Ok(Some(name)),
        (Identity::Any, Some(name)) if name != "*" => Ok(Some(name)),
        _ => Err(ErrorInfo::new(
            codes::INVALID_CLIENT_ID,
            400,
            "This connection cannot publish as another client id",
        )),
    }
}
