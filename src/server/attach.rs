//! ATTACH and DETACH, and changes of the granted modes.

use super::access::{DEFAULT_MODES, matches};
use super::connections::AttachmentSlot;
use super::delivery::{Delivery, Metrics};
use super::keys::Keys;
use super::state::{self, ChannelSlot, ConnectionSlot, State};
use super::{LeaveCause, Outbox, Server, ServerOptions};
use crate::wire::{Action, ErrorInfo, Flags, Modes, Params, ProtocolMessage, codes};
use crate::{Now, SmolStr};
use alloc::boxed::Box;
use alloc::sync::Arc;

impl Server {
    pub(super) fn attach(
        &mut self,
        slot: ConnectionSlot,
        frame: ProtocolMessage,
        out: &mut Outbox,
    ) {
        if self.must_catch_up(slot, &frame) {
            return self.postpone(slot, frame);
        }
        let name = frame.channel.clone().unwrap_or_default();
        let before = self.attachment(slot, &name);
        let stale = before.is_some_and(|attachment| self.may_hold_stale_members(attachment));
        match self.try_attach(slot, &name, &frame, out) {
            Ok(None) => self.postpone(slot, frame),
            Ok(Some(attachment)) => {
                self.sync_for_client(attachment, stale);
                // The current occupancy is the first event for a new watcher.
                if !self.delivery.subscriber(attachment).metrics().is_empty() {
                    let channel = self.connections.attachment(attachment).channel();
                    self.deliver_occupancy(channel, &[attachment], out);
                }
            }
            Err(error) => {
                // A refused ATTACH ends an existing attachment (RTL14).
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

    pub(super) fn attachment(&self, slot: ConnectionSlot, name: &str) -> Option<AttachmentSlot> {
        self.connections.pair(slot, self.state.by_name(name)?)
    }

    /// Whether the client may hold members that have left: it is attached, and either had no right
    /// to presence events or is in an unfinished sync. Such a client needs a sync even of an empty
    /// set, because ATTACHED with RESUMED leaves its members unchanged.
    fn may_hold_stale_members(&self, attachment: AttachmentSlot) -> bool {
        let entry = self.connections.attachment(attachment);
        let subscribes = entry.granted().contains(Modes::PRESENCE_SUBSCRIBE);
        let awaits_sync = self.delivery.subscriber(attachment).is_awaiting_sync();
        entry.is_active() && (!subscribes || awaits_sync)
    }

    /// Attaches and answers ATTACHED. `None` if members must be removed first, beyond the budget of
    /// this call.
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
        // A re-attaching client sends a channel serial (RTL4c1) or the older flag. Without either
        // it detached while it was disconnected (RTL5l), and has dropped its own members (RTP5a).
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

    /// Finds or creates the attachment, and the channel if necessary.
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
            ErrorInfo::new(
                codes::TIMEOUT_ERROR,
                503,
                "The server has reached its limit of channels",
            )
        };
        let channel = match found {
            Some(channel) => channel,
            None => self.open_channel(name).ok_or_else(no_room)?,
        };
        let attachment = self.connections.attach(slot, channel).ok_or_else(no_room)?;
        self.delivery.attach(attachment, channel);
        Ok(attachment)
    }

    /// Creates a channel. `None` if there are no free slots.
    pub(super) fn open_channel(&mut self, name: &SmolStr) -> Option<ChannelSlot> {
        let Self { state, delivery, keys, options, at, .. } = self;
        open_channel(state, delivery, keys, options, *at, name)
    }

    /// Whether the client has every message of the channel (RTL2f): none was sent while it was not
    /// in the audience, and its serial shows that none was lost in transit.
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
            // Frames sent on this transport arrive; only congestion withholds them.
            return subscriber.receives_messages()
                || !entry.granted().contains(Modes::SUBSCRIBE)
                || has_all;
        }
        let was_here = !entry.granted().is_empty();
        if !was_here {
            // It heard everything on another node until it lost the transport, and the channel has
            // had no message since.
            let moved = self.connections.get(entry.connection()).has_moved()
                && !self.state.channel(entry.channel()).has_recent_message();
            return serial.is_some_and(|serial| moved || serial >= last_message);
        }
        if !granted.contains(Modes::SUBSCRIBE) {
            return true;
        }
        // The serial alone proves nothing: presence and replies advance it past withheld messages.
        has_all && serial.map_or(!has_serial, |serial| serial >= last_message)
    }

    /// Removes the members of an attachment if the granted modes no longer allow them, or if the
    /// client attaches fresh (RTP5a). Delivers the leaves. Returns whether all members are removed.
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

    /// Sets the modes. The attachment is in no audience until it is activated.
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
            // It would miss the coalesced events.
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

    pub(super) fn leave_audiences(&mut self, attachment: AttachmentSlot) {
        let channel = self.state.channel(self.connections.attachment(attachment).channel());
        let (presence, messages) = (channel.last_presence(), channel.last_message());
        if !self.delivery.leave_audiences(attachment, presence, messages) {
            self.broken("an attachment is at its places in the audiences");
        }
    }

    /// The current transport attaches: counts the attachment and adds it to the audiences.
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
            // A new attachment has missed nothing. An older one keeps its marks, and catches up
            // when the transport is writable again.
            if is_new {
                let channel = self.state.channel(slot);
                let (presence, messages) = (channel.last_presence(), channel.last_message());
                self.delivery.subscriber_mut(attachment).set_seen(presence, messages);
            }
        } else {
            // Coalesced events are older than this attachment.
            self.deliver_coalesced(slot, out);
            self.delivery.join_audiences(attachment, granted, transport);
        }
        self.attachments_changed(slot, out);
    }

    /// The transport is lost, or detaches the channel.
    pub(super) fn deactivate(&mut self, attachment: AttachmentSlot, out: &mut Outbox) {
        let Some((slot, granted)) = self.connections.deactivate(attachment) else { return };
        let channel = self.state.channel(slot);
        let (presence, messages) = (channel.last_presence(), channel.last_message());
        if !self.delivery.deactivate(attachment, granted, presence, messages) {
            self.broken("an attachment is at its places in the audiences");
        }
        self.attachments_changed(slot, out);
    }

    pub(super) fn deactivate_all(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        let mut next = self.connections.get(slot).first_attachment();
        while let Some(attachment) = next {
            next = self.connections.attachment(attachment).next();
            self.deactivate(attachment, out);
        }
    }

    /// Sends ATTACHED: the granted modes, HAS_PRESENCE if a sync follows (RTP1), RESUMED if no
    /// message was missed (RTL2f).
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
            channel_serial: Some(state::format_serial(self.state.serial_of(entry.channel()))),
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

    /// Deactivates an attachment, removes its members and then the attachment. Returns whether it
    /// is complete.
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

    /// Removes an attachment without members, and the channel if it is unused.
    pub(super) fn remove_attachment(&mut self, attachment: AttachmentSlot, out: &mut Outbox) {
        self.deactivate(attachment, out);
        let entry = self.connections.attachment(attachment);
        let (connection, channel) = (entry.connection(), entry.channel());
        self.cancel_work_of(connection, attachment);
        self.delivery.detach(attachment);
        self.connections.detach(attachment);
        self.close_channel_if_unused(channel);
    }

    /// Applies a changed capability to every attachment: intersects the requested modes with it. A
    /// channel without any mode left fails (RTL14). Members leave if their right is lost. Returns
    /// whether it is complete; if not, call it again.
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
                // An unsolicited ATTACHED announces the new modes (RTL12).
                self.activate(attachment, out);
                self.send_attached(attachment, is_continuous, None, out);
                self.sync_for_client(attachment, stale);
            }
        }
        true
    }
}

/// Creates a channel. `None` if there are no free slots.
pub(super) fn open_channel(
    state: &mut State,
    delivery: &mut Delivery,
    keys: &mut Keys,
    options: &ServerOptions,
    at: Now,
    name: &SmolStr,
) -> Option<ChannelSlot> {
    let channel = state.open_channel(at, name, keys.random())?;
    let rule = options.coalesce.iter().find(|rule| matches(&rule.channels, name));
    let window = rule.map(|rule| rule.window).filter(|window| !window.is_zero());
    delivery.open(channel, window);
    Some(channel)
}

/// The parameters of an ATTACH.
struct AttachRequest {
    modes: Modes,
    /// The supported channel parameters, returned in ATTACHED (RTL4k1).
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
                // Accepted without effect: a server need not send deltas.
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

/// Parses the channel parameter `modes`: names separated by commas. Unknown names are ignored.
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

/// Checks a channel name: 40010 if it is invalid. `.` and `..` cannot be path segments of a URL,
/// even escaped, so that REST could not address such a channel.
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

/// Whether a bracketed qualifier, such as `[meta]`, is followed by a name.
fn has_qualifier(name: &str) -> bool {
    name.split_once(']').is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with(':'))
}
