//! PRESENCE frames of clients: check, apply to the member set, deliver, acknowledge.

use super::attach::check_name;
use super::connections::AttachmentSlot;
use super::record::{PresenceRecord, Record};
use super::state::{Applied, ChannelSlot, ConnectionSlot, adjusted};
use super::{Identity, Outbox, Recipients, Server};
use crate::SmolStr;
use crate::wire::{
    ErrorInfo, Modes, PresenceAction, PresenceMessage, ProtocolMessage, Value, codes,
};
use alloc::boxed::Box;
use smol_str::SmolStrBuilder;

impl Server {
    /// Applies or refuses a PRESENCE frame as a whole, and answers ACK or NACK.
    pub(super) fn presence_frame(
        &mut self,
        slot: ConnectionSlot,
        frame: ProtocolMessage,
        out: &mut Outbox,
    ) {
        if !self.has_log() && self.is_kicking(frame.channel.as_deref()) {
            self.postpone(slot, frame);
            return;
        }
        let msg_serial = frame.msg_serial.unwrap_or(0);
        let repeated = self.state.connection(slot).accepted(msg_serial);
        match self.check_presence(slot, frame) {
            Ok((_, record)) if self.has_log() => {
                return self.propose_frame(slot, msg_serial, Record::Presence(record), out);
            }
            Ok((attachment, mut record)) => {
                let channel = self.connections.attachment(attachment).channel();
                let applied = self.state.apply(self.at, channel, slot, &mut record);
                self.frame_applied(Some(attachment), &applied, record, out);
            }
            Err(_) if repeated => {}
            Err(error) => {
                self.nack(slot, msg_serial, error, out);
                return;
            }
        }
        self.accept(slot, msg_serial, repeated, None, out);
    }

    pub(super) fn accept(
        &mut self,
        slot: ConnectionSlot,
        msg_serial: i64,
        repeated: bool,
        res: Option<Box<Value>>,
        out: &mut Outbox,
    ) {
        self.counters.duplicates += u64::from(repeated);
        self.ack(slot, msg_serial, res, out);
    }

    /// Checks the frame; the first failure is the error of the NACK. Each item of the record has a
    /// client id that the connection may use.
    fn check_presence(
        &mut self,
        slot: ConnectionSlot,
        mut frame: ProtocolMessage,
    ) -> Result<(AttachmentSlot, PresenceRecord), ErrorInfo> {
        let limits = self.options.limits;
        let name = frame.channel.take().unwrap_or_default();
        check_name(&name, limits.channel_name)?;
        let msg_serial = check_serial(&frame)?;
        let attachment = self.attachment(slot, &name).ok_or_else(|| {
            ErrorInfo::new(
                codes::PRESENCE_IN_INVALID_CHANNEL_STATE,
                400,
                "The channel is not attached",
            )
        })?;
        let connection = self.connections.get(slot);
        let entry = self.connections.attachment(attachment);
        if !entry.granted().contains(Modes::PRESENCE) {
            let allowed = connection.capability().on(&name).modes().contains(Modes::PRESENCE);
            return Err(missing_mode(allowed, "presence"));
        }
        let connection_id = self.state.connection(slot).id();
        check_connection_id(frame.connection_id.as_ref(), connection_id)?;
        if frame.presence.len() > limits.items_per_frame {
            self.counters.limited += 1;
            return Err(ErrorInfo::new(
                codes::MAX_MESSAGE_SIZE_EXCEEDED,
                400,
                "Too many presence messages in one frame",
            ));
        }
        for item in &mut frame.presence {
            if !matches!(
                item.action,
                PresenceAction::Enter | PresenceAction::Update | PresenceAction::Leave
            ) {
                return Err(ErrorInfo::new(
                    codes::INVALID_PARAMETER_VALUE,
                    400,
                    "Clients cannot send this action",
                ));
            }
            check_connection_id(item.connection_id.as_ref(), connection_id)?;
            let client_id = item.client_id.take();
            item.client_id = Some(member_id(connection.identity(), client_id, limits.client_id)?);
            // The encoding is broadcast with the data, so it counts.
            let encoding = item.encoding.as_ref().map_or(0, |encoding| encoding.len());
            if item.size().saturating_add(encoding) > limits.message_size {
                self.counters.limited += 1;
                return Err(ErrorInfo::new(
                    codes::MAX_MESSAGE_SIZE_EXCEEDED,
                    400,
                    "The presence message is too large",
                ));
            }
        }
        let (channel, connection_id) = (entry.channel(), connection_id.clone());
        self.check_capacity(slot, channel, &connection_id, &frame.presence)?;
        let items = frame.presence;
        Ok((attachment, PresenceRecord { connection_id, channel: name, msg_serial, items }))
    }

    /// Checks the limits of members, bytes and events. A leave is always allowed.
    fn check_capacity(
        &mut self,
        slot: ConnectionSlot,
        channel: ChannelSlot,
        connection_id: &SmolStr,
        items: &[PresenceMessage],
    ) -> Result<(), ErrorInfo> {
        let limits = self.options.limits;
        let total_bytes = self.state.member_bytes();
        let own_bytes = self.state.connection(slot).bytes();
        let entry = self.state.channel(channel);
        let channel_bytes = entry.bytes();
        let (mut members, mut bytes) = (entry.members().len(), channel_bytes);
        let (mut adds, mut unowned) = (false, false);
        for item in items {
            if item.action == PresenceAction::Leave {
                continue;
            }
            adds = true;
            let found = item.client_id.as_ref().map(|id| entry.locate(id, connection_id));
            match found {
                Some(Ok(member)) => {
                    let before = entry.bytes_of(member);
                    unowned |= before.is_none();
                    bytes = bytes.saturating_sub(before.unwrap_or(0));
                }
                _ => members = members.saturating_add(1),
            }
            bytes = bytes.saturating_add(item.size());
        }
        if unowned {
            self.broken("a member has an owner");
        }
        let refused = if adds && members > limits.members_per_channel {
            let message = alloc::format!(
                "The maximum number of {} members is exceeded",
                limits.members_per_channel
            );
            ErrorInfo::new(codes::TOO_MANY_PRESENCE_MEMBERS, 400, message)
        } else if adds && bytes > limits.member_bytes_per_channel {
            ErrorInfo::new(
                codes::PRESENCE_SET_TOO_LARGE,
                400,
                "The data of the channel's members exceeds the limit",
            )
        } else if adds
            && adjusted(own_bytes, channel_bytes, bytes) > limits.member_bytes_per_connection
        {
            ErrorInfo::new(
                codes::PRESENCE_SET_TOO_LARGE,
                400,
                "The data of the connection's members exceeds the limit",
            )
        } else if adds && adjusted(total_bytes, channel_bytes, bytes) > limits.member_bytes {
            ErrorInfo::new(
                codes::PRESENCE_SET_TOO_LARGE,
                400,
                "The data of all members exceeds the limit",
            )
        } else if !self.delivery.feed_mut(channel).take_tokens(
            limits.channel,
            self.now.mono,
            items.len(),
        ) {
            ErrorInfo::new(
                codes::RATE_LIMIT_EXCEEDED_PER_CHANNEL,
                429,
                "Too many events on this channel",
            )
        } else {
            return Ok(());
        };
        self.counters.limited += 1;
        Err(refused)
    }

    /// Emits the events of an applied frame, and delivers its changes. `attachment`: that of the
    /// member's connection, if it is on this node.
    pub(super) fn frame_applied(
        &mut self,
        attachment: Option<AttachmentSlot>,
        applied: &Applied,
        record: PresenceRecord,
        out: &mut Outbox,
    ) {
        self.counters.reentries += applied.reentries;
        if let Some(invariant) = applied.broken {
            self.broken(invariant);
        }
        let Some(serial) = applied.serial else { return };
        let (channel, owner) = (applied.channel, applied.connection);
        for ((change, _), message) in applied.changes.iter().zip(&record.items) {
            self.handle_change(channel, owner, change, Some(message), out);
        }
        if self.delivery.feed(channel).coalesces() {
            // `presence_events` counts coalesced events when they are delivered.
            if let Some(attachment) = attachment {
                self.deliver_to_owner(attachment, applied, &record, serial, out);
            }
            for ((change, _), message) in applied.changes.iter().zip(record.items) {
                self.coalesce(channel, message, change.kind.was_present(), out);
            }
        } else {
            self.counters.presence_events += applied.changes.len() as u64;
            self.deliver_now(attachment, applied, record, serial, out);
        }
        self.occupancy_changed(channel, out);
    }

    /// Broadcasts the changes, to the member's own connection too, whatever its modes (RTP17a).
    /// Fields that all items share are set on the frame only.
    fn deliver_now(
        &mut self,
        attachment: Option<AttachmentSlot>,
        applied: &Applied,
        mut record: PresenceRecord,
        serial: u64,
        out: &mut Outbox,
    ) {
        let per_frame = self.options.items_per_broadcast.max(1);
        let stamp = self.at.wall;
        let outside = attachment
            .filter(|attachment| !self.delivery.subscriber(*attachment).receives_presence());
        let own = outside.and_then(|_| {
            let connection = self.connections.get(applied.connection);
            connection.transport().filter(|_| !connection.is_congested())
        });
        if let (None, Some(attachment)) = (own, outside) {
            self.deliver_to_owner(attachment, applied, &record, serial, out);
        }
        let audience = self.delivery.feed(applied.channel).presence().share();
        let to = Recipients::new(audience, own, None);
        let mut head = self.new_presence_frame(applied.channel, Some(serial));
        head.timestamp = Some(stamp);
        head.id = Some(frame_id(&record.connection_id, record.msg_serial));
        head.connection_id = Some(record.connection_id);
        for (place, ((_, derived), item)) in
            applied.changes.iter().zip(&mut record.items).enumerate()
        {
            item.connection_id = None;
            item.timestamp = item.timestamp.filter(|timestamp| *timestamp != stamp);
            if *derived == Some(place % per_frame) {
                item.id = None;
            }
        }
        if record.items.len() <= per_frame {
            head.presence = record.items;
            self.broadcast(to, head, out);
            return;
        }
        let mut items = record.items.into_iter().peekable();
        while items.peek().is_some() {
            let mut frame = head.clone();
            frame.presence = items.by_ref().take(per_frame).collect();
            self.broadcast(to.clone(), frame, out);
        }
    }

    /// Sends to the member's own connection alone those changes that no broadcast delivers to it.
    fn deliver_to_owner(
        &mut self,
        attachment: AttachmentSlot,
        applied: &Applied,
        record: &PresenceRecord,
        serial: u64,
        out: &mut Outbox,
    ) {
        let messages = record.items.iter();
        let messages = messages
            .filter(|message| self.is_notified_directly(attachment, message.action))
            .cloned()
            .collect();
        self.notify_directly(applied.connection, applied.channel, serial, messages, out);
    }
}

fn frame_id(connection_id: &str, msg_serial: i64) -> SmolStr {
    let mut id = SmolStrBuilder::new();
    id.push_str(connection_id);
    id.push(':');
    id.push_str(itoa::Buffer::new().format(msg_serial));
    id.finish()
}

/// Checks `msgSerial` (RTN7b): not negative. Absent means 0.
pub(super) fn check_serial(frame: &ProtocolMessage) -> Result<i64, ErrorInfo> {
    match frame.msg_serial.unwrap_or(0) {
        serial @ 0.. => Ok(serial),
        _ => Err(ErrorInfo::new(codes::BAD_REQUEST, 400, "The message serial is negative")),
    }
}

/// Checks a connection id in a frame: absent, or the connection's own.
pub(super) fn check_connection_id(named: Option<&SmolStr>, own: &SmolStr) -> Result<(), ErrorInfo> {
    match named {
        Some(id) if id != own => Err(ErrorInfo::new(
            codes::INVALID_CONNECTION_ID,
            400,
            "The connection id belongs to another connection",
        )),
        _ => Ok(()),
    }
}

/// The error for a mode that is not granted: the capability denies it, or the client did not
/// request it.
pub(super) fn missing_mode(allowed: bool, mode: &str) -> ErrorInfo {
    if allowed {
        let message = alloc::format!("The channel was attached without the mode {mode}");
        ErrorInfo::new(codes::CHANNEL_MODE_NOT_REQUESTED, 400, message)
    } else {
        let message = alloc::format!("The capability does not allow {mode} on this channel");
        ErrorInfo::new(codes::CAPABILITY_DENIED, 401, message)
    }
}

/// The client id of a member: the one in the message if the identity allows it, else that of the
/// identity.
fn member_id(
    identity: &Identity,
    named: Option<SmolStr>,
    limit: usize,
) -> Result<SmolStr, ErrorInfo> {
    let invalid =
        |message: &'static str| Err(ErrorInfo::new(codes::INVALID_CLIENT_ID, 400, message));
    match (identity, named.filter(|name| !name.is_empty())) {
        (Identity::Client(own), None) => Ok(own.clone()),
        (Identity::Anonymous | Identity::Any, None) => Err(ErrorInfo::new(
            codes::PRESENCE_WITHOUT_CLIENT_ID,
            400,
            "A presence message requires a client id",
        )),
        (_, Some(name)) if name == "*" => invalid("The wildcard cannot be a member"),
        (_, Some(name)) if name.len() > limit => invalid("The client id is too long"),
        (Identity::Client(own), Some(name)) if *own == name => Ok(name),
        (Identity::Any, Some(name)) => Ok(name),
        _ => invalid("This connection cannot be present as another client id"),
    }
}
