//! PRESENCE frames of clients: checked, applied to the member set, told.

use super::attach::check_name;
use super::roster::{Change, Record, grown};
use super::{Identity, LeaveCause, Outbox, Output, Position, Recipients, Server, ServerEvent};
use crate::members::{Slot, Version};
use crate::wire::{ErrorInfo, Items, Modes, PresenceAction, PresenceMessage, ProtocolMessage};
use crate::{SmolStr, UnixMillis};
use smol_str::SmolStrBuilder;

/// A frame under way.
struct Step {
    /// The connection, its id, the attachment, the channel.
    slot: Slot,
    connection_id: SmolStr,
    attachment: Slot,
    channel: Slot,
    msg_serial: i64,
    /// Whether a frame with this serial was accepted before (RTN19a).
    repeated: bool,
    stamp: UnixMillis,
    /// Who enters is not stamped earlier than this.
    left_at: UnixMillis,
    /// The frame's position, once something has changed.
    serial: Option<u64>,
    /// How many of its items were applied.
    applied: u32,
}

/// An item that was applied: as subscribers are told, and whether they knew the member.
struct Applied {
    message: PresenceMessage,
    known: bool,
    /// The item's place in the client's frame, if its id follows from that (TP3a).
    derived: Option<usize>,
}

impl Server {
    /// Applies a PRESENCE frame as a whole, or refuses it as a whole; then answers.
    ///
    /// Two mechanisms against repetition are apart from each other. A frame whose message serial
    /// was accepted before is acknowledged again; of its items only those still count that are
    /// newer than the member that is present. And a member that is present and enters with an id
    /// that it has had is acknowledged without a word to anyone (RTP17g). There is no memory of ids:
    /// once the member is gone, it enters anew, by a frame that was accepted before as well if it
    /// names what the member said last.
    pub(super) fn presence_frame(&mut self, slot: Slot, frame: ProtocolMessage, out: &mut Outbox) {
        if self.is_kicking(frame.channel.as_deref()) {
            self.put_off(slot, frame);
            return;
        }
        let msg_serial = frame.msg_serial.unwrap_or(0);
        let Some(connection) = self.connections.get(slot) else { return };
        let repeated = connection.serials.contains(msg_serial);
        match self.check_presence(slot, frame, repeated) {
            Ok((step, items)) => {
                self.change_members(step, items, out);
                self.accept(slot, msg_serial, repeated, None, out);
            }
            Err(_) if repeated => self.accept(slot, msg_serial, repeated, None, out),
            Err(error) => self.nack(slot, msg_serial, error, out),
        }
    }

    /// Acknowledges a frame and remembers its serial.
    pub(super) fn accept(
        &mut self,
        slot: Slot,
        msg_serial: i64,
        repeated: bool,
        res: Option<alloc::boxed::Box<crate::wire::Value>>,
        out: &mut Outbox,
    ) {
        self.counters.duplicates += u64::from(repeated);
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.serials.insert(msg_serial);
        }
        self.ack(slot, msg_serial, res, out);
    }

    /// The checks, in the order in which a client is told of their failure. What passes has a
    /// client id that the connection may speak for.
    fn check_presence(
        &mut self,
        slot: Slot,
        mut frame: ProtocolMessage,
        repeated: bool,
    ) -> Result<(Step, Items<PresenceMessage>), ErrorInfo> {
        let limits = self.config.limits;
        let name = frame.channel.take().unwrap_or_default();
        check_name(&name, limits.channel_name)?;
        let msg_serial = check_serial(&frame)?;
        let found = self.channels.by_name(&name).and_then(|channel| {
            self.channels.pair(slot, channel).map(|attachment| (channel, attachment))
        });
        let (channel, attachment) = found.ok_or_else(|| {
            ErrorInfo::new(91001, 400, "The channel is not attached: presence is not possible")
        })?;
        let no_connection = || ErrorInfo::new(50000, 500, "The connection is gone");
        let connection = self.connections.get(slot).ok_or_else(no_connection)?;
        let entry = self.channels.attachment(attachment).ok_or_else(no_connection)?;
        if !entry.granted.contains(Modes::PRESENCE) {
            let allowed = connection.capability.on(&name).modes().contains(Modes::PRESENCE);
            return Err(no_mode(allowed, "presence"));
        }
        check_connection_id(frame.connection_id.as_ref(), &connection.id)?;
        if frame.presence.len() > limits.items_per_frame {
            self.counters.limited += 1;
            return Err(ErrorInfo::new(40009, 400, "Too many presence messages in one frame"));
        }
        for item in &mut frame.presence {
            if !matches!(
                item.action,
                PresenceAction::Enter | PresenceAction::Update | PresenceAction::Leave
            ) {
                return Err(ErrorInfo::new(40003, 400, "Not an action that a client can send"));
            }
            check_connection_id(item.connection_id.as_ref(), &connection.id)?;
            let client_id = item.client_id.take();
            item.client_id = Some(member_id(&connection.identity, client_id, limits.client_id)?);
            // What says how to read the data goes to everybody too.
            let encoding = item.encoding.as_ref().map_or(0, |encoding| encoding.len());
            if item.size().saturating_add(encoding) > limits.message_size {
                self.counters.limited += 1;
                return Err(ErrorInfo::new(40009, 400, "The presence message is too large"));
            }
        }
        let connection_id = connection.id.clone();
        let (member_bytes, left_at) = (connection.member_bytes, connection.left_at);
        self.check_room(channel, &connection_id, member_bytes, &frame.presence)?;
        let step = Step {
            slot,
            connection_id,
            attachment,
            channel,
            msg_serial,
            repeated,
            stamp: self.now.wall,
            left_at,
            serial: None,
            applied: 0,
        };
        Ok((step, frame.presence))
    }

    /// Whether there is room for what enters, and whether the channel takes so many events. `own` is
    /// how many bytes the connection's members have already.
    fn check_room(
        &mut self,
        channel: Slot,
        connection_id: &str,
        own: usize,
        items: &[PresenceMessage],
    ) -> Result<(), ErrorInfo> {
        let limits = self.config.limits;
        let now = self.now.mono;
        let all = self.channels.member_bytes;
        let Some(entry) = self.channels.get_mut(channel) else { return Ok(()) };
        let (mut members, mut bytes) = (entry.members.len(), entry.member_bytes);
        let mut comes = false;
        for item in items {
            if item.action == PresenceAction::Leave {
                continue;
            }
            comes = true;
            let client_id = item.client_id.as_deref().unwrap_or_default();
            let found = entry.members.find(client_id, connection_id);
            match found {
                Some(member) => bytes = bytes.saturating_sub(entry.bytes_of(member)),
                None => members = members.saturating_add(1),
            }
            bytes = bytes.saturating_add(item.size());
        }
        let here = entry.member_bytes;
        let refused = if comes && members > limits.members_per_channel.max(entry.members.len()) {
            let message = alloc::format!(
                "The maximum number of {} members is exceeded",
                limits.members_per_channel
            );
            Some(ErrorInfo::new(91003, 400, message))
        } else if comes && bytes > limits.member_bytes_per_channel.max(here) {
            Some(ErrorInfo::new(91006, 400, "The members of the channel have too much data"))
        } else if comes && grown(own, here, bytes) > limits.member_bytes_per_connection.max(own) {
            Some(ErrorInfo::new(91006, 400, "The members of the connection have too much data"))
        } else if comes && grown(all, here, bytes) > limits.member_bytes.max(all) {
            Some(ErrorInfo::new(91006, 400, "The members of all channels have too much data"))
        } else if !entry.rate.take(
            limits.channel,
            now,
            u32::try_from(items.len()).unwrap_or(u32::MAX),
        ) {
            Some(ErrorInfo::new(42913, 429, "Too many events on this channel"))
        } else {
            None
        };
        match refused {
            Some(error) => {
                self.counters.limited += 1;
                Err(error)
            }
            None => Ok(()),
        }
    }

    fn change_members(&mut self, mut step: Step, items: Items<PresenceMessage>, out: &mut Outbox) {
        let mut applied = Items::new();
        for (index, item) in items.into_iter().enumerate() {
            applied.extend(self.change_member(&mut step, index, item, out));
        }
        let Some(serial) = step.serial else { return };
        let coalesces = self.channels.get(step.channel).is_some_and(|c| c.window.is_some());
        if coalesces {
            // Events are counted when they are told.
            self.tell_and_gather(&step, serial, applied, out);
        } else {
            self.counters.presence_events += applied.len() as u64;
            self.tell_at_once(&step, serial, applied, out);
        }
        self.occupancy_changed(step.channel, out);
    }

    /// Applies one item. `None` if there is nothing to tell.
    fn change_member(
        &mut self,
        step: &mut Step,
        index: usize,
        item: PresenceMessage,
        out: &mut Outbox,
    ) -> Option<Applied> {
        let client_id = item.client_id.clone()?;
        let place = i64::try_from(index).unwrap_or(i64::MAX);
        let own = (step.msg_serial, place);
        // A re-entry names the message that it repeats (RTP17g). An id that is not of an earlier
        // frame of this connection is passed over.
        let named = item.id.as_deref().and_then(|id| {
            let version = Version::new(Some(id), &step.connection_id, step.stamp);
            version.sequence.filter(|(serial, _)| *serial < step.msg_serial)
        });
        let incoming = Version { sequence: named.or(Some(own)), timestamp: step.stamp };
        let entry = self.channels.get(step.channel)?;
        let found = entry.members.find(&client_id, &step.connection_id);
        let stored = found
            .and_then(|member| entry.members.get(member).map(|found| (member, found.version())));
        if let Some((_, version)) = &stored
            && !incoming.is_newer_than(version)
        {
            self.counters.reentries += u64::from(!step.repeated);
            return None;
        }
        // A forgotten serial is that of the last that was told of a member which was taken out: a
        // re-entry that names it keeps the id. One that names an older message is told under an id
        // of its own: its client never heard of the last, and who did, and missed the leave, would
        // never believe what bears an older id (RTP2b2).
        let connections = &mut self.connections;
        let last = named.filter(|(serial, _)| {
            connections.get(step.slot).is_some_and(|entry| !entry.serials.contains(*serial))
        });
        if stored.is_none()
            && (item.action == PresenceAction::Leave || (step.repeated && last.is_none()))
        {
            // RTP10d: leaving while not present is no error. And what was applied before and is
            // gone since must not come back.
            return None;
        }
        let kept = if stored.is_some() { named } else { last };
        if let Some((serial, _)) = kept
            && let Some(connection) = connections.get_mut(step.slot)
        {
            // It holds again.
            connection.serials.insert(serial);
        }
        let sequence = kept.unwrap_or(own);
        let enters = stored.is_none();
        let timestamp = if enters { step.stamp.max(step.left_at) } else { step.stamp };
        let mut message = PresenceMessage {
            id: Some(member_message_id(&step.connection_id, sequence)),
            connection_id: Some(step.connection_id.clone()),
            timestamp: Some(timestamp),
            ..item
        };
        let change = match (message.action, &stored) {
            (PresenceAction::Leave, Some((member, version))) => {
                Record::Remove { member: *member, version: *version }
            }
            _ => Record::Put { attachment: step.attachment, message: &message },
        };
        let change = self.apply_record(Some(step.slot), step.channel, change);
        if let Change::Left(last) = &change {
            // RTP8e: a leave without data carries the last data.
            if message.data.is_none() {
                message.data.clone_from(&last.data);
                message.encoding.clone_from(&last.encoding);
            }
            if message.extras.is_none() {
                message.extras.clone_from(&last.extras);
            }
        }
        let position = self.next_position(step);
        self.member_changed(step, position, &message, &change, out)?;
        let derived = (sequence == own).then_some(index);
        Some(Applied { message, known: stored.is_some(), derived })
    }

    /// The position of the next item of a frame; the frame gets its own with the first.
    fn next_position(&mut self, step: &mut Step) -> Position {
        let serial = match step.serial {
            Some(serial) => serial,
            None => {
                let serial = self.stream.next(self.now.wall);
                if let Some(entry) = self.channels.get_mut(step.channel) {
                    entry.last = serial;
                    entry.last_presence = serial;
                }
                step.serial = Some(serial);
                serial
            }
        };
        let position = Position { serial, index: step.applied };
        step.applied = step.applied.saturating_add(1);
        position
    }

    /// What follows from a change beside telling subscribers. `None` if there was no change.
    fn member_changed(
        &mut self,
        step: &Step,
        position: Position,
        message: &PresenceMessage,
        change: &Change,
        out: &mut Outbox,
    ) -> Option<()> {
        let entered = match change {
            Change::Nothing => return None,
            Change::Left(_) => {
                self.member_left(step.channel, position, message, LeaveCause::Left, None, out);
                return Some(());
            }
            Change::Entered => true,
            Change::Updated => false,
        };
        self.counters.members += u64::from(entered);
        self.remember(step.channel, position, message, !entered);
        if self.config.events {
            let entry = self.channels.get(step.channel)?;
            let (channel, message) = (entry.name.clone(), message.clone());
            let first = entry.members.len() == 1;
            let event = if entered {
                ServerEvent::MemberEntered { channel: channel.clone(), position, message }
            } else {
                ServerEvent::MemberUpdated { channel: channel.clone(), position, message }
            };
            out.push(Output::Event(event));
            if entered && first {
                out.push(Output::Event(ServerEvent::ChannelOccupied { channel }));
            }
        }
        Some(())
    }

    /// Tells subscribers, and the member's own connection whatever its modes (RTP17a). What the
    /// items have in common stands in the frame alone.
    fn tell_at_once(
        &mut self,
        step: &Step,
        serial: u64,
        applied: Items<Applied>,
        out: &mut Outbox,
    ) {
        let per_frame = self.config.items_per_broadcast.max(1);
        let own = self.connections.get(step.slot).and_then(|connection| {
            let entry = self.channels.attachment(step.attachment)?;
            let apart = entry.presence_place.is_none();
            connection.transport.filter(|_| apart && !connection.congested)
        });
        if own.is_none() {
            self.tell_own_of(step, serial, &applied, out);
        }
        let Some(entry) = self.channels.get(step.channel) else { return };
        let to = Recipients::new(entry.presence.share(), own, None);
        let Some(mut head) = self.presence_frame_out(step.channel, Some(serial)) else { return };
        head.connection_id = Some(step.connection_id.clone());
        head.timestamp = Some(step.stamp);
        head.id = Some(frame_id(&step.connection_id, step.msg_serial));
        if applied.len() <= per_frame {
            let items = applied.into_iter().enumerate();
            head.presence = items.map(|item| shorten(item, step.stamp)).collect();
            self.broadcast(to, head, out);
            return;
        }
        let mut applied = applied.into_iter().peekable();
        while applied.peek().is_some() {
            let mut frame = head.clone();
            let items = applied.by_ref().take(per_frame).enumerate();
            frame.presence = items.map(|item| shorten(item, step.stamp)).collect();
            self.broadcast(to.clone(), frame, out);
        }
    }

    /// Gathers events for subscribers, and tells the member's own connection at once if it is not
    /// one of them.
    fn tell_and_gather(
        &mut self,
        step: &Step,
        serial: u64,
        applied: Items<Applied>,
        out: &mut Outbox,
    ) {
        self.tell_own_of(step, serial, &applied, out);
        for applied in applied {
            self.gather(step.channel, applied.message, applied.known, out);
        }
    }

    /// Tells the member's own connection alone, if no broadcast reaches it.
    fn tell_own_of(&mut self, step: &Step, serial: u64, applied: &[Applied], out: &mut Outbox) {
        let messages = applied.iter().map(|applied| &applied.message);
        let messages = messages
            .filter(|message| self.hears_apart(step.slot, step.attachment, message.action))
            .cloned()
            .collect();
        self.tell_own(step.slot, step.channel, serial, messages, out);
    }
}

/// The item at a place of a frame, without what follows from the frame.
fn shorten((place, applied): (usize, Applied), stamp: UnixMillis) -> PresenceMessage {
    let id = if applied.derived == Some(place) { None } else { applied.message.id };
    let timestamp = applied.message.timestamp.filter(|timestamp| *timestamp != stamp);
    PresenceMessage { id, connection_id: None, timestamp, ..applied.message }
}

fn frame_id(connection_id: &str, msg_serial: i64) -> SmolStr {
    let mut id = SmolStrBuilder::new();
    id.push_str(connection_id);
    id.push(':');
    id.push_str(itoa::Buffer::new().format(msg_serial));
    id.finish()
}

fn member_message_id(connection_id: &str, (msg_serial, index): (i64, i64)) -> SmolStr {
    let mut id = SmolStrBuilder::new();
    id.push_str(connection_id);
    id.push(':');
    id.push_str(itoa::Buffer::new().format(msg_serial));
    id.push(':');
    id.push_str(itoa::Buffer::new().format(index));
    id.finish()
}

/// A frame's message serial (RTN7b). Zero may be left out.
pub(super) fn check_serial(frame: &ProtocolMessage) -> Result<i64, ErrorInfo> {
    match frame.msg_serial.unwrap_or(0) {
        serial @ 0.. => Ok(serial),
        _ => Err(ErrorInfo::new(40000, 400, "The message serial is negative")),
    }
}

/// Nobody but the connection itself can be named.
pub(super) fn check_connection_id(named: Option<&SmolStr>, own: &SmolStr) -> Result<(), ErrorInfo> {
    match named {
        Some(id) if id != own => {
            Err(ErrorInfo::new(40006, 400, "The connection id is not that of this connection"))
        }
        _ => Ok(()),
    }
}

/// What a client is told that lacks a mode: it may not have it, or did not ask for it.
pub(super) fn no_mode(allowed: bool, mode: &str) -> ErrorInfo {
    if allowed {
        let message = alloc::format!("The channel was attached without the mode {mode}");
        ErrorInfo::new(40165, 400, message)
    } else {
        let message = alloc::format!("The capability does not allow {mode} on this channel");
        ErrorInfo::new(40160, 401, message)
    }
}

/// The client id of a member: the one that the message names, if the connection may speak for it,
/// or the connection's own.
fn member_id(
    identity: &Identity,
    named: Option<SmolStr>,
    limit: usize,
) -> Result<SmolStr, ErrorInfo> {
    let invalid = |message: &'static str| Err(ErrorInfo::new(40012, 400, message));
    match (identity, named.filter(|name| !name.is_empty())) {
        (Identity::Client(own), None) => Ok(own.clone()),
        (Identity::Anonymous | Identity::Any, None) => {
            Err(ErrorInfo::new(91000, 400, "Presence needs a client id"))
        }
        (_, Some(name)) if name == "*" => invalid("The wildcard cannot be a member"),
        (_, Some(name)) if name.len() > limit => invalid("The client id is too long"),
        (Identity::Client(own), Some(name)) if *own == name => Ok(name),
        (Identity::Any, Some(name)) => Ok(name),
        _ => invalid("This connection cannot be present as another client id"),
    }
}
