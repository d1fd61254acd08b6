//! Channels are attached, detached, and lose or gain modes.

use super::access::{DEFAULT_MODES, matches};
use super::connections::AttachmentSlot;
use super::delivery::Metrics;
use super::state::{self, ConnectionSlot};
use super::{LeaveCause, Outbox, Server};
use crate::SmolStr;
use crate::wire::{Action, ErrorInfo, Flags, Modes, Params, ProtocolMessage, codes};
use alloc::boxed::Box;
use alloc::sync::Arc;

impl Server {
    pub(super) fn attach(
        &mut self,
        slot: ConnectionSlot,
        frame: ProtocolMessage,
        out: &mut Outbox,
    ) {
        let name = frame.channel.clone().unwrap_or_default();
        let before = self.attachment(slot, &name);
        let stale = before.is_some_and(|attachment| self.may_hold_stale_members(attachment));
        match self.try_attach(slot, &name, &frame, out) {
            Ok(None) => self.postpone(slot, frame),
            Ok(Some(attachment)) => {
                self.sync_for_client(attachment, stale);
                // Who asks for the occupancy is told at once, even if nothing changes.
                if !self.delivery.subscriber(attachment).metrics().is_empty() {
                    let channel = self.connections.attachment(attachment).channel();
                    self.deliver_occupancy(channel, &[attachment], out);
                }
            }
            Err(error) => {
                // What was attached before no longer is.
                if let Some(attachment) = self.attachment(slot, &name)
                    && !self.end_attachment(attachment, LeaveCause::RightLost, out)
                {
                    self.postpone(slot, frame);
                    return;
                }
                self.channel_error(slot, name, error, out);
            }
        }
    }

    /// The attachment of a connection to the channel with this name.
    pub(super) fn attachment(&self, slot: ConnectionSlot, name: &str) -> Option<AttachmentSlot> {
        self.connections.pair(slot, self.state.by_name(name)?)
    }

    /// Whether the client of an attachment may hold members that have left: it is attached and did
    /// not hear of presence, or is in a sync that will not go on. An empty set is told to it too,
    /// for it takes an ATTACHED with RESUMED to change nothing.
    fn may_hold_stale_members(&self, attachment: AttachmentSlot) -> bool {
        let entry = self.connections.attachment(attachment);
        let subscribes = entry.granted().contains(Modes::PRESENCE_SUBSCRIBE);
        let awaits_sync = self.delivery.subscriber(attachment).is_awaiting_sync();
        entry.is_active() && (!subscribes || awaits_sync)
    }

    /// Attaches, and answers. `None` if members have to leave first for whom this call's budget was
    /// not enough.
    fn try_attach(
        &mut self,
        slot: ConnectionSlot,
        name: &SmolStr,
        frame: &ProtocolMessage,
        out: &mut Outbox,
    ) -> Result<Option<AttachmentSlot>, ErrorInfo> {
        let limits = self.options.limits;
        check_name(name, limits.channel_name)?;
        let serial = frame.channel_serial.as_deref().and_then(state::parse_serial);
        let request = AttachRequest::read(frame, limits.params)?;
        let granted = request.modes & self.connections.get(slot).capability().on(name).modes();
        if granted.is_empty() {
            let message = "The capability does not allow any of the modes that were asked for";
            return Err(ErrorInfo::new(codes::CAPABILITY_DENIED, 401, message));
        }
        let attachment = self.attachment_for(slot, name)?;
        let resumed =
            self.is_continuous(attachment, granted, serial, frame.channel_serial.is_some());
        // A client that was attached sends a serial (RTL4c1), or the older flag; without either it
        // detached while it was away (RTL5l) and knows nothing of its members any more (RTP5a).
        let fresh = frame.channel_serial.is_none() && !frame.flags().contains(Flags::ATTACH_RESUME);
        if !self.remove_ineligible(attachment, granted, fresh, out) {
            return Ok(None);
        }
        self.set_modes(attachment, request.modes, granted, out);
        self.connections.set_params(attachment, request.params);
        let error = (!resumed && frame.channel_serial.is_some()).then(|| {
            ErrorInfo::new(
                codes::CHANNEL_CONTINUITY_NOT_GUARANTEED,
                400,
                "Messages may have been missed since the channel was attached",
            )
        });
        self.activate(attachment, out);
        self.send_attached(attachment, resumed, error, out);
        self.delivery.set_metrics(attachment, request.metrics);
        Ok(Some(attachment))
    }

    /// The attachment of a connection to a channel; made, with the channel, if there is none.
    fn attachment_for(
        &mut self,
        slot: ConnectionSlot,
        name: &SmolStr,
    ) -> Result<AttachmentSlot, ErrorInfo> {
        let limits = self.options.limits;
        let found = self.state.by_name(name);
        if let Some(attachment) = found.and_then(|channel| self.connections.pair(slot, channel)) {
            return Ok(attachment);
        }
        let full = self.connections.get(slot).attachments() >= limits.channels_per_connection
            || (found.is_none() && self.state.channels() >= limits.channels);
        if full {
            self.counters.limited += 1;
            let message = "The maximum number of channels is attached already";
            return Err(ErrorInfo::new(codes::TOO_MANY_CHANNELS, 400, message));
        }
        let no_room = || {
            ErrorInfo::new(codes::TIMEOUT_ERROR, 503, "The server has no room for more channels")
        };
        let channel = match found {
            Some(channel) => channel,
            None => {
                let seed = self.keys.random();
                let channel = self.state.open_channel(self.now, name, seed).ok_or_else(no_room)?;
                let rules = &self.options.coalesce;
                let rule = rules.iter().find(|rule| matches(&rule.channels, name));
                let window = rule.map(|rule| rule.window).filter(|window| !window.is_zero());
                self.delivery.open(channel, window);
                channel
            }
        };
        let attachment = self.connections.attach(slot, channel).ok_or_else(no_room)?;
        self.delivery.attach(attachment, channel);
        Ok(attachment)
    }

    /// Whether the client has missed no message of the channel (RTL2f): those it was not told of
    /// while it was away, and those that were lost on the way, as the serial shows that it has.
    fn is_continuous(
        &self,
        attachment: AttachmentSlot,
        granted: Modes,
        serial: Option<u64>,
        has_serial: bool,
    ) -> bool {
        let entry = self.connections.attachment(attachment);
        let subscriber = self.delivery.subscriber(attachment);
        let last_message = self.state.channel(entry.channel()).last_message();
        let has_all = subscriber.messages_seen() >= last_message;
        if entry.is_active() {
            // What is sent on this transport arrives, unless it was held back.
            return subscriber.receives_messages()
                || !entry.granted().contains(Modes::SUBSCRIBE)
                || has_all;
        }
        let was_here = !entry.granted().is_empty();
        if !was_here {
            return serial.is_some_and(|serial| serial >= last_message);
        }
        if !granted.contains(Modes::SUBSCRIBE) {
            return true;
        }
        // All messages were sent to it, and it has those that were sent. Its serial alone does not
        // tell: presence and answers move it on, past messages that were held back.
        has_all && serial.map_or(!has_serial, |serial| serial >= last_message)
    }

    /// Removes an attachment's members that cannot stay under what it is granted from now on, or
    /// whose client attaches anew and does not know them. Who hears of them now is told. Tells
    /// whether all of them have left.
    fn remove_ineligible(
        &mut self,
        attachment: AttachmentSlot,
        granted: Modes,
        fresh: bool,
        out: &mut Outbox,
    ) -> bool {
        let entry = self.connections.attachment(attachment);
        let cause = if !granted.contains(Modes::PRESENCE) {
            LeaveCause::RightLost
        } else if fresh && !entry.is_active() {
            LeaveCause::Detached
        } else {
            return true;
        };
        let channel = entry.channel();
        let done = self.remove_or_postpone(attachment, cause, out);
        self.deliver_batch(channel, out);
        done
    }

    /// Sets what an attachment may do, and takes it out of the audiences until it is activated.
    fn set_modes(
        &mut self,
        attachment: AttachmentSlot,
        requested: Modes,
        granted: Modes,
        out: &mut Outbox,
    ) {
        let entry = self.connections.attachment(attachment);
        let (channel, active, before) = (entry.channel(), entry.is_active(), entry.granted());
        if active {
            // It would not be told any more of what is coalesced.
            self.deliver_coalesced(channel, out);
        }
        self.leave_audiences(attachment);
        if !granted.contains(Modes::PRESENCE_SUBSCRIBE) {
            self.end_sync(attachment, out);
        }
        self.delivery.stop_sync(attachment);
        if active {
            let feed = self.delivery.feed_mut(channel);
            feed.count(before, false);
            feed.count(granted, true);
        }
        self.connections.set_modes(attachment, requested, granted);
    }

    /// Takes an attachment out of the audiences.
    pub(super) fn leave_audiences(&mut self, attachment: AttachmentSlot) {
        let channel = self.state.channel(self.connections.attachment(attachment).channel());
        self.delivery.leave_audiences(attachment, channel.last_presence(), channel.last_message());
    }

    /// The present transport attaches: the attachment counts, and hears what its modes allow.
    fn activate(&mut self, attachment: AttachmentSlot, out: &mut Outbox) {
        let entry = self.connections.attachment(attachment);
        let (slot, granted) = (entry.channel(), entry.granted());
        let connection = self.connections.get(entry.connection());
        let Some(transport) = connection.transport() else {
            return self.broken("an attachment is activated by a transport");
        };
        let congested = connection.is_congested();
        let is_new = self.connections.activate(attachment);
        if is_new {
            self.delivery.feed_mut(slot).count(granted, true);
        }
        if congested {
            // What one that was attached already has missed by now, it still has to be told.
            if is_new {
                let channel = self.state.channel(slot);
                let (presence, messages) = (channel.last_presence(), channel.last_message());
                self.delivery.subscriber_mut(attachment).set_seen(presence, messages);
            }
        } else {
            // What is coalesced is older than this subscriber.
            self.deliver_coalesced(slot, out);
            self.delivery.join_audiences(attachment, granted, transport);
        }
        self.occupancy_changed(slot, out);
    }

    /// The transport that attached is gone, or detaches.
    pub(super) fn deactivate(&mut self, attachment: AttachmentSlot, out: &mut Outbox) {
        let Some((slot, granted)) = self.connections.deactivate(attachment) else { return };
        let channel = self.state.channel(slot);
        let (presence, messages) = (channel.last_presence(), channel.last_message());
        self.delivery.deactivate(attachment, granted, presence, messages);
        self.occupancy_changed(slot, out);
    }

    /// Deactivates all attachments of a connection.
    pub(super) fn deactivate_all(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        let mut next = self.connections.get(slot).first_attachment();
        while let Some(attachment) = next {
            next = self.connections.attachment(attachment).next();
            self.deactivate(attachment, out);
        }
    }

    /// ATTACHED: what was granted, whether members follow (RTP1), and whether nothing was missed.
    pub(super) fn send_attached(
        &mut self,
        attachment: AttachmentSlot,
        resumed: bool,
        error: Option<ErrorInfo>,
        out: &mut Outbox,
    ) {
        let entry = self.connections.attachment(attachment);
        let channel = self.state.channel(entry.channel());
        let mut flags = Flags::from(entry.granted());
        flags.set(Flags::RESUMED, resumed);
        let syncs = entry.granted().contains(Modes::PRESENCE_SUBSCRIBE);
        flags.set(Flags::HAS_PRESENCE, syncs && !channel.members().is_empty());
        let frame = ProtocolMessage {
            channel: Some(channel.name().clone()),
            channel_serial: Some(state::format_serial(channel.last())),
            flags: Some(flags),
            params: Some(entry.params()),
            error: error.map(Box::new),
            ..ProtocolMessage::new(Action::Attached)
        };
        self.reply(entry.connection(), frame, out);
    }

    pub(super) fn detach(
        &mut self,
        slot: ConnectionSlot,
        frame: ProtocolMessage,
        out: &mut Outbox,
    ) {
        let name = frame.channel.clone().unwrap_or_default();
        if name.is_empty() {
            self.counters.protocol_errors += 1;
            return;
        }
        if let Some(attachment) = self.attachment(slot, &name)
            && !self.end_attachment(attachment, LeaveCause::Detached, out)
        {
            self.postpone(slot, frame);
            return;
        }
        let frame =
            ProtocolMessage { channel: Some(name), ..ProtocolMessage::new(Action::Detached) };
        self.reply(slot, frame, out);
    }

    /// Takes an attachment away, once its members have left. Tells whether they have.
    fn end_attachment(
        &mut self,
        attachment: AttachmentSlot,
        cause: LeaveCause,
        out: &mut Outbox,
    ) -> bool {
        self.deactivate(attachment, out);
        let done = self.remove_or_postpone(attachment, cause, out);
        if done {
            self.remove_attachment(attachment, out);
        }
        done
    }

    /// Forgets an attachment that has no members.
    pub(super) fn remove_attachment(&mut self, attachment: AttachmentSlot, out: &mut Outbox) {
        self.deactivate(attachment, out);
        let entry = self.connections.attachment(attachment);
        let (connection, channel) = (entry.connection(), entry.channel());
        self.cancel_work_of(connection, attachment);
        self.delivery.detach(attachment);
        self.connections.detach(attachment);
        self.close_channel_if_unused(channel);
    }

    /// A connection's capability has changed: each of its channels gets what it asked for as far as
    /// that is allowed now. A channel without any right left fails (RTL14); members whose right is
    /// lost leave. Tells whether all channels are done; if not, it goes on when it is called again.
    pub(super) fn reapply_capability(&mut self, slot: ConnectionSlot, out: &mut Outbox) -> bool {
        let connection = self.connections.get(slot);
        let capability = Arc::clone(connection.capability());
        let mut next = connection.first_attachment();
        while let Some(attachment) = next {
            let entry = self.connections.attachment(attachment);
            next = entry.next();
            let (requested, before, active) =
                (entry.requested(), entry.granted(), entry.is_active());
            let name = self.state.channel(entry.channel()).name().clone();
            let granted = requested & capability.on(&name).modes();
            if granted == before {
                continue;
            }
            if !self.remove_ineligible(attachment, granted, false, out) {
                return false;
            }
            if granted.is_empty() {
                self.remove_attachment(attachment, out);
                if active {
                    let message = "The capability no longer allows this channel";
                    self.channel_error(
                        slot,
                        name,
                        ErrorInfo::new(codes::CAPABILITY_DENIED, 401, message),
                        out,
                    );
                }
                continue;
            }
            let is_continuous = self.is_continuous(attachment, granted, None, false);
            let stale = self.may_hold_stale_members(attachment);
            self.set_modes(attachment, requested, granted, out);
            if active {
                // Told by an ATTACHED that nobody asked for (RTL12).
                self.activate(attachment, out);
                self.send_attached(attachment, is_continuous, None, out);
                self.sync_for_client(attachment, stale);
            }
        }
        true
    }
}

/// What an ATTACH asks for.
struct AttachRequest {
    modes: Modes,
    /// The parameters that the server knows; only those are told back (RTL4k1).
    params: Params,
    metrics: Metrics,
}

impl AttachRequest {
    fn read(frame: &ProtocolMessage, limit: usize) -> Result<Self, ErrorInfo> {
        let mut request =
            Self { modes: frame.flags().modes(), params: Params::new(), metrics: Metrics::empty() };
        let params = frame.params.as_deref().unwrap_or_default();
        let bytes = params.iter().fold(0usize, |sum, (name, value)| {
            sum.saturating_add(name.len()).saturating_add(value.len())
        });
        if bytes > limit {
            return Err(ErrorInfo::new(
                codes::INVALID_PARAMETER_VALUE,
                400,
                "The channel parameters are too large",
            ));
        }
        for (name, value) in params {
            match name.as_str() {
                "modes" => {
                    let modes = parse_modes(value);
                    if !modes.is_empty() {
                        request.modes = modes;
                    }
                }
                "occupancy" => request.metrics = Metrics::from_param(value),
                // Allowed: a server need not make use of it.
                "delta" => {}
                _ => continue,
            }
            request.params.push((name.clone(), value.clone()));
        }
        if request.modes.is_empty() {
            request.modes = DEFAULT_MODES;
        }
        Ok(request)
    }
}

/// The modes that the parameter `modes` names, with commas between them.
fn parse_modes(value: &str) -> Modes {
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
    if bad {
        Err(ErrorInfo::new(codes::INVALID_CHANNEL_NAME, 400, "Invalid channel name"))
    } else {
        Ok(())
    }
}

/// Whether a name begins with something in brackets and goes on.
fn has_qualifier(name: &str) -> bool {
    name.split_once(']').is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with(':'))
}
