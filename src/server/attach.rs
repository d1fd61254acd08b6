//! Channels are attached, detached, and lose or gain modes.

use super::access::{DEFAULT_MODES, matches};
use super::channel::{Attachment, Channel};
use super::occupancy::Metrics;
use super::{LeaveCause, Outbox, Server, stream};
use crate::SmolStr;
use crate::members::Slot;
use crate::wire::{Action, ErrorInfo, Flags, Modes, Params, ProtocolMessage};
use alloc::boxed::Box;

impl Server {
    pub(super) fn attach(&mut self, slot: Slot, frame: ProtocolMessage, out: &mut Outbox) {
        let name = frame.channel.clone().unwrap_or_default();
        let attached = self
            .channels
            .by_name(&name)
            .and_then(|channel| self.channels.pair(slot, channel))
            .is_some_and(|attachment| self.believes(attachment));
        match self.try_attach(slot, &name, &frame, out) {
            Ok(None) => self.put_off(slot, frame),
            Ok(Some(attachment)) => {
                self.sync_for_client(attachment, attached);
                // Who asks for the occupancy is told at once, even if nothing changes.
                let watched = self.channels.attachment(attachment);
                if let Some((channel, false)) =
                    watched.map(|entry| (entry.channel, entry.metrics.is_empty()))
                {
                    self.tell_occupancy(channel, Some(attachment), out);
                }
            }
            Err(error) => {
                // What was attached before no longer is.
                let channel = self.channels.by_name(&name);
                if let Some(attachment) = channel.and_then(|c| self.channels.pair(slot, c))
                    && !self.end_attachment(attachment, LeaveCause::RightLost, out)
                {
                    self.put_off(slot, frame);
                    return;
                }
                self.channel_error(slot, name, error, out);
            }
        }
    }

    /// Whether the client of an attachment may believe in members that left: it is attached and did
    /// not hear of presence, or is in a sync that will not go on. An empty set is told to it too,
    /// for it takes an ATTACHED with RESUMED to change nothing.
    fn believes(&self, attachment: Slot) -> bool {
        self.channels.attachment(attachment).is_some_and(|entry| {
            let subscribes = entry.granted.contains(Modes::PRESENCE_SUBSCRIBE);
            entry.live && (!subscribes || entry.sync.is_some() || entry.owed)
        })
    }

    /// Attaches, and answers. `None` if members have to leave first for whom this call's budget was
    /// not enough.
    fn try_attach(
        &mut self,
        slot: Slot,
        name: &SmolStr,
        frame: &ProtocolMessage,
        out: &mut Outbox,
    ) -> Result<Option<Slot>, ErrorInfo> {
        let limits = self.config.limits;
        check_name(name, limits.channel_name)?;
        let serial = frame.channel_serial.as_deref().and_then(stream::parse);
        let wanted = Wanted::read(frame, limits.params)?;
        let connection = self.connections.get(slot).ok_or_else(ErrorInfo::default)?;
        let granted = wanted.modes & connection.capability.on(name).modes();
        if granted.is_empty() {
            let message = "The capability does not allow any of the modes that were asked for";
            return Err(ErrorInfo::new(40160, 401, message));
        }
        let attachment = self.attachment_for(slot, name)?;
        let resumed = self.continues(attachment, granted, serial, frame.channel_serial.is_some());
        // A client that was attached sends a serial (RTL4c1), or the older flag; without either it
        // detached while it was away (RTL5l) and knows nothing of its members any more (RTP5a).
        let anew = frame.channel_serial.is_none() && !frame.flags().contains(Flags::ATTACH_RESUME);
        if !self.dismiss(attachment, granted, anew, out) {
            return Ok(None);
        }
        self.set_modes(attachment, wanted.modes, granted, out);
        if let Some(entry) = self.channels.attachment_mut(attachment) {
            entry.params = (!wanted.params.is_empty()).then(|| Box::new(wanted.params));
        }
        let error = (!resumed && frame.channel_serial.is_some()).then(|| {
            ErrorInfo::new(
                90003,
                400,
                "Messages may have been missed since the channel was attached",
            )
        });
        self.wake_up(attachment, out);
        self.send_attached(attachment, resumed, error, out);
        self.set_metrics(attachment, wanted.metrics);
        Ok(Some(attachment))
    }

    /// The attachment of a connection to a channel; made, with the channel, if there is none.
    fn attachment_for(&mut self, slot: Slot, name: &SmolStr) -> Result<Slot, ErrorInfo> {
        let limits = self.config.limits;
        let found = self.channels.by_name(name);
        if let Some(attachment) = found.and_then(|channel| self.channels.pair(slot, channel)) {
            return Ok(attachment);
        }
        let count = self.connections.get(slot).map_or(0, |c| c.attachments as usize);
        let full = count >= limits.channels_per_connection
            || (found.is_none() && self.channels.len() >= limits.channels);
        if full {
            self.counters.limited += 1;
            let message = "The maximum number of channels is attached already";
            return Err(ErrorInfo::new(90010, 400, message));
        }
        let no_room = || ErrorInfo::new(50003, 503, "The server has no room for more channels");
        let channel = match found {
            Some(channel) => channel,
            None => {
                let serial = self.stream.next(self.now.wall);
                let rules = &self.config.coalesce;
                let rule = rules.iter().find(|rule| matches(&rule.channels, name));
                let window = rule.map(|rule| rule.window).filter(|window| !window.is_zero());
                let seed = self.keys.random();
                self.channels
                    .insert(Channel::new(name.clone(), serial, seed, window))
                    .ok_or_else(no_room)?
            }
        };
        let attachment =
            self.channels.attach(Attachment::new(slot, channel)).ok_or_else(no_room)?;
        let first = self.connections.get_mut(slot).and_then(|connection| {
            connection.attachments = connection.attachments.saturating_add(1);
            connection.first.replace(attachment)
        });
        if let Some(first) = first.and_then(|first| self.channels.attachment_mut(first)) {
            first.previous = Some(attachment);
        }
        if let Some(entry) = self.channels.attachment_mut(attachment) {
            entry.next = first;
        }
        Ok(attachment)
    }

    /// Whether the client has missed no message of the channel (RTL2f): those it was not told of
    /// while it was away, and those that were lost on the way, as the serial shows that it has.
    fn continues(
        &self,
        attachment: Slot,
        granted: Modes,
        serial: Option<u64>,
        has_serial: bool,
    ) -> bool {
        let Some(entry) = self.channels.attachment(attachment) else { return false };
        let Some(channel) = self.channels.get(entry.channel) else { return false };
        if entry.live {
            // What is sent on this transport arrives, unless it was held back.
            return entry.message_place.is_some()
                || !entry.granted.contains(Modes::SUBSCRIBE)
                || entry.message_mark >= channel.last_message;
        }
        let was_here = !entry.granted.is_empty();
        if !was_here {
            return serial.is_some_and(|serial| serial >= channel.last_message);
        }
        if !granted.contains(Modes::SUBSCRIBE) {
            return true;
        }
        // All messages were sent to it, and it has those that were sent. Its serial alone does not
        // tell: presence and answers move it on, past messages that were held back.
        entry.message_mark >= channel.last_message
            && serial.map_or(!has_serial, |serial| serial >= channel.last_message)
    }

    /// Takes an attachment's members out that cannot stay under what it is granted from now on, or
    /// whose client attaches anew and does not know them. Who hears of them now is told. Tells
    /// whether all of them have left.
    fn dismiss(&mut self, attachment: Slot, granted: Modes, anew: bool, out: &mut Outbox) -> bool {
        let Some(entry) = self.channels.attachment(attachment) else { return true };
        let cause = if !granted.contains(Modes::PRESENCE) {
            LeaveCause::RightLost
        } else if anew && !entry.live {
            LeaveCause::Detached
        } else {
            return true;
        };
        let channel = entry.channel;
        let done = self.dismiss_all(attachment, cause, out);
        self.tell_leaves(channel, out);
        done
    }

    /// Sets what an attachment may do, and takes it out of the audiences until it is woken up.
    fn set_modes(&mut self, attachment: Slot, requested: Modes, granted: Modes, out: &mut Outbox) {
        if let Some(entry) = self.channels.attachment(attachment).filter(|entry| entry.live) {
            // It would not be told any more of what is gathered.
            self.tell_pending(entry.channel, out);
        }
        self.channels.part(attachment);
        if !granted.contains(Modes::PRESENCE_SUBSCRIBE) {
            self.end_sync(attachment, out);
        }
        self.stop_sync(attachment);
        let Some((entry, channel)) = self.channels.both_mut(attachment) else { return };
        if entry.live {
            channel.attached.count(entry.granted, false);
            channel.attached.count(granted, true);
        }
        entry.requested = requested;
        entry.granted = granted;
    }

    fn set_metrics(&mut self, attachment: Slot, metrics: Metrics) {
        let Some((entry, channel)) = self.channels.both_mut(attachment) else { return };
        let before = core::mem::replace(&mut entry.metrics, metrics);
        match (before.is_empty(), metrics.is_empty()) {
            (true, false) => channel.watchers.push(attachment),
            (false, true) => channel.watchers.retain(|watcher| *watcher != attachment),
            _ => {}
        }
    }

    /// The present transport attaches: the attachment counts, and hears what its modes allow.
    fn wake_up(&mut self, attachment: Slot, out: &mut Outbox) {
        let Some((entry, channel)) = self.channels.both_mut(attachment) else { return };
        let Some(connection) = self.connections.get(entry.connection) else { return };
        let Some(transport) = connection.transport else { return };
        let was_live = core::mem::replace(&mut entry.live, true);
        if !was_live {
            channel.attached.count(entry.granted, true);
        }
        let slot = entry.channel;
        if connection.congested {
            // What one that was attached already has missed by now, it still has to be told.
            if !was_live {
                entry.presence_mark = channel.last_presence;
                entry.message_mark = channel.last_message;
            }
        } else {
            // What is gathered is older than this listener.
            self.tell_pending(slot, out);
            self.channels.join(attachment, transport);
        }
        self.occupancy_changed(slot, out);
    }

    /// The transport that attached is gone.
    pub(super) fn set_asleep(&mut self, attachment: Slot, out: &mut Outbox) {
        let Some((entry, channel)) = self.channels.both_mut(attachment) else { return };
        let was_live = core::mem::replace(&mut entry.live, false);
        if was_live {
            channel.attached.count(entry.granted, false);
        }
        entry.owed = false;
        let (slot, hears, syncs) = (entry.channel, entry.hears(), entry.sync.is_some());
        if hears {
            self.channels.part(attachment);
        }
        if syncs {
            self.stop_sync(attachment);
        }
        if was_live {
            self.occupancy_changed(slot, out);
        }
    }

    /// ATTACHED: what was granted, whether members follow (RTP1), and whether nothing was missed.
    pub(super) fn send_attached(
        &mut self,
        attachment: Slot,
        resumed: bool,
        error: Option<ErrorInfo>,
        out: &mut Outbox,
    ) {
        let Some(entry) = self.channels.attachment(attachment) else { return };
        let Some(channel) = self.channels.get(entry.channel) else { return };
        let mut flags = Flags::from(entry.granted);
        flags.set(Flags::RESUMED, resumed);
        let syncs = entry.granted.contains(Modes::PRESENCE_SUBSCRIBE);
        flags.set(Flags::HAS_PRESENCE, syncs && !channel.members.is_empty());
        let frame = ProtocolMessage {
            channel: Some(channel.name.clone()),
            channel_serial: Some(stream::text(channel.last)),
            flags: Some(flags),
            params: Some(entry.params.as_deref().cloned().unwrap_or_default()),
            error: error.map(Box::new),
            ..ProtocolMessage::new(Action::Attached)
        };
        let slot = entry.connection;
        self.reply(slot, frame, out);
    }

    pub(super) fn detach(&mut self, slot: Slot, frame: ProtocolMessage, out: &mut Outbox) {
        let name = frame.channel.clone().unwrap_or_default();
        if name.is_empty() {
            self.counters.protocol_errors += 1;
            return;
        }
        let channel = self.channels.by_name(&name);
        if let Some(attachment) = channel.and_then(|channel| self.channels.pair(slot, channel))
            && !self.end_attachment(attachment, LeaveCause::Detached, out)
        {
            self.put_off(slot, frame);
            return;
        }
        let frame =
            ProtocolMessage { channel: Some(name), ..ProtocolMessage::new(Action::Detached) };
        self.reply(slot, frame, out);
    }

    /// Takes an attachment away, once its members have left. Tells whether they have.
    fn end_attachment(&mut self, attachment: Slot, cause: LeaveCause, out: &mut Outbox) -> bool {
        self.set_asleep(attachment, out);
        let done = self.dismiss_all(attachment, cause, out);
        if done {
            self.drop_attachment(attachment, out);
        }
        done
    }

    /// Forgets an attachment that has no members.
    pub(super) fn drop_attachment(&mut self, attachment: Slot, out: &mut Outbox) {
        self.set_asleep(attachment, out);
        self.set_metrics(attachment, Metrics::empty());
        let Some(entry) = self.channels.detach(attachment) else { return };
        match entry.previous.and_then(|slot| self.channels.attachment_mut(slot)) {
            Some(previous) => previous.next = entry.next,
            None => {
                if let Some(connection) = self.connections.get_mut(entry.connection) {
                    connection.first = entry.next;
                }
            }
        }
        if let Some(next) = entry.next.and_then(|slot| self.channels.attachment_mut(slot)) {
            next.previous = entry.previous;
        }
        if let Some(connection) = self.connections.get_mut(entry.connection) {
            connection.attachments = connection.attachments.saturating_sub(1);
            if let Some(work) = connection.more.as_mut().and_then(|more| more.work.as_mut()) {
                work.forget(attachment);
            }
        }
        self.drop_channel_if_unused(entry.channel);
    }

    /// Forgets a channel that nothing is known of. Tells whether it did.
    pub(super) fn drop_channel_if_unused(&mut self, channel: Slot) -> bool {
        if self.channels.get(channel).is_none_or(|entry| !entry.is_unused()) {
            return false;
        }
        self.channel_timers.cancel(channel.number());
        self.channels.remove(channel);
        true
    }

    /// A connection's capability has changed: each of its channels gets what it asked for as far as
    /// that is allowed now. A channel without any right left fails (RTL14); members whose right is
    /// lost leave. Tells whether all channels are done; if not, it goes on when it is called again.
    pub(super) fn regrant(&mut self, slot: Slot, out: &mut Outbox) -> bool {
        let Some(connection) = self.connections.get(slot) else { return true };
        let capability = alloc::sync::Arc::clone(&connection.capability);
        let mut next = connection.first;
        while let Some(attachment) = next {
            let Some(entry) = self.channels.attachment(attachment) else { break };
            next = entry.next;
            let Some(channel) = self.channels.get(entry.channel) else { break };
            let (requested, before, live) = (entry.requested, entry.granted, entry.live);
            let name = channel.name.clone();
            let granted = requested & capability.on(&name).modes();
            if granted == before {
                continue;
            }
            if !self.dismiss(attachment, granted, false, out) {
                return false;
            }
            if granted.is_empty() {
                self.drop_attachment(attachment, out);
                if live {
                    let message = "The capability no longer allows this channel";
                    self.channel_error(slot, name, ErrorInfo::new(40160, 401, message), out);
                }
                continue;
            }
            let continues = self.continues(attachment, granted, None, false);
            let believes = self.believes(attachment);
            self.set_modes(attachment, requested, granted, out);
            if live {
                // Told by an ATTACHED that nobody asked for (RTL12).
                self.wake_up(attachment, out);
                self.send_attached(attachment, continues, None, out);
                self.sync_for_client(attachment, believes);
            }
        }
        true
    }
}

/// What an ATTACH asks for.
struct Wanted {
    modes: Modes,
    /// The parameters that the server knows; only those are told back (RTL4k1).
    params: Params,
    metrics: Metrics,
}

impl Wanted {
    fn read(frame: &ProtocolMessage, limit: usize) -> Result<Self, ErrorInfo> {
        let mut wanted =
            Self { modes: frame.flags().modes(), params: Params::new(), metrics: Metrics::empty() };
        let params = frame.params.as_deref().unwrap_or_default();
        let bytes = params.iter().fold(0usize, |sum, (name, value)| {
            sum.saturating_add(name.len()).saturating_add(value.len())
        });
        if bytes > limit {
            return Err(ErrorInfo::new(40003, 400, "The channel parameters are too large"));
        }
        for (name, value) in params {
            match name.as_str() {
                "modes" => {
                    let modes = modes_of(value);
                    if !modes.is_empty() {
                        wanted.modes = modes;
                    }
                }
                "occupancy" => wanted.metrics = Metrics::from_param(value),
                // Allowed: a server need not make use of it.
                "delta" => {}
                _ => continue,
            }
            wanted.params.push((name.clone(), value.clone()));
        }
        if wanted.modes.is_empty() {
            wanted.modes = DEFAULT_MODES;
        }
        Ok(wanted)
    }
}

/// The modes that the parameter `modes` names, with commas between them.
fn modes_of(value: &str) -> Modes {
    let mut modes = Modes::empty();
    for name in value.split(',') {
        let name = name.trim();
        modes |= [
            ("presence", Modes::PRESENCE),
            ("publish", Modes::PUBLISH),
            ("subscribe", Modes::SUBSCRIBE),
            ("presence_subscribe", Modes::PRESENCE_SUBSCRIBE),
            ("annotation_publish", Modes::ANNOTATION_PUBLISH),
            ("annotation_subscribe", Modes::ANNOTATION_SUBSCRIBE),
            ("object_publish", Modes::OBJECT_PUBLISH),
            ("object_subscribe", Modes::OBJECT_SUBSCRIBE),
        ]
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map_or_else(Modes::empty, |(_, mode)| *mode);
    }
    modes
}

/// Whether a channel can have this name. `.` and `..` cannot stand in the path of a URL, not even
/// escaped: over REST nobody could ask for them.
pub(super) fn check_name(name: &str, limit: usize) -> Result<(), ErrorInfo> {
    let bad = name.is_empty()
        || name.len() > limit
        || matches!(name, "." | "..")
        || name.starts_with(':')
        || name.chars().any(char::is_control)
        || (name.starts_with('[') && !has_qualifier(name));
    if bad { Err(ErrorInfo::new(40010, 400, "Invalid channel name")) } else { Ok(()) }
}

/// Whether a name begins with something in brackets and goes on.
fn has_qualifier(name: &str) -> bool {
    name.split_once(']').is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with(':'))
}
