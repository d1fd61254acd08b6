//! Enter, update and leave, and the automatic re-entry of own members (RTP8–RTP10, RTP14–RTP17).

use super::channel::{Channel, Waiter};
use super::cx::Cx;
use super::operations::{InFlight, Origin};
use super::presence::{Held, Presence, Queued};
use super::{
    ChannelEvent, ChannelState, ChannelStateChange, Output, PresenceChange, Warning, errors,
};
use crate::wire::{Action, ErrorInfo, Items, PresenceAction, PresenceMessage, ProtocolMessage};
use crate::{OpId, SmolStr};
use alloc::{boxed::Box, collections::BTreeSet, vec::Vec};

impl Channel {
    /// Sends, queues or fails an enter, update or leave.
    pub(super) fn change_presence(&mut self, cx: &mut Cx<'_>, op: OpId, change: PresenceChange) {
        let message = match build_message(cx, change) {
            Ok(message) => message,
            Err(error) => return cx.fail(op, error),
        };
        // RTP16c, RTL4b
        if let Some(error) = self.attach_error(cx) {
            return cx.fail(op, error);
        }
        let queues = cx.options.queue_messages;
        match (self.state, cx.connection.connected_transport()) {
            // RTP16a
            (ChannelState::Attached, Some(transport)) => {
                let frame = presence_frame(&self.name, Items::one(message));
                cx.transmit(transport, frame, Origin::App(Items::one(op)));
            }
            // RTP16a, RTP16b
            (ChannelState::Attached | ChannelState::Attaching, _) if queues => {
                self.presence.queue.push_back(Queued { op, message, was_in_flight: false });
            }
            (ChannelState::Initialized, _) if queues => {
                // RTP8d. If the attach fails, the queue fails too (RTL11).
                self.presence.queue.push_back(Queued { op, message, was_in_flight: false });
                self.attach(cx, Waiter::Implicit);
            }
            // RTP16c
            (ChannelState::Attached, None) => cx.fail(op, cx.connection_error()),
            (ChannelState::Attaching | ChannelState::Initialized, _) => {
                let message = "not attached, and operations are not queued";
                cx.fail(op, errors::channel_state(message));
                // RTP8d
                if self.state == ChannelState::Initialized {
                    self.attach(cx, Waiter::Implicit);
                }
            }
            // RTP8g
            (
                ChannelState::Detaching
                | ChannelState::Detached
                | ChannelState::Suspended
                | ChannelState::Failed,
                _,
            ) => {
                let message = "presence needs a channel that is attached or can be";
                let mut error = errors::channel_state(message);
                error.cause = self.error_reason.clone().map(Box::new);
                cx.fail(op, error);
            }
        }
    }

    /// Reports a failed re-entry (RTP17e).
    pub(super) fn reentry_failed(
        &mut self,
        cx: &mut Cx<'_>,
        client_id: &SmolStr,
        error: ErrorInfo,
    ) {
        let channel = self.name.clone();
        let client_id = client_id.clone();
        let reason = errors::reentry_failed(&client_id).with_cause(error.clone());
        cx.out.push(Output::channel(
            channel.clone(),
            ChannelStateChange {
                previous: self.state,
                current: self.state,
                event: ChannelEvent::Update,
                reason: Some(reason),
                resumed: true,
                has_backlog: false,
            },
        ));
        cx.warn(Warning::ReentryFailed { channel, client_id, error });
    }
}

impl Channel {
    /// Sends queued presence after an attach, and reports re-entries beyond the limit of messages
    /// in flight (RTP5b, RTP17e).
    pub(super) fn flush(&mut self, cx: &mut Cx<'_>) {
        let failed = self.presence.flush(cx, &self.name);
        if !failed.is_empty() {
            let channel = self.name.clone();
            cx.warn(Warning::LimitReached { channel, limit: "in_flight" });
        }
        for client_id in failed {
            let error = errors::bad_request("too many messages have no acknowledgement yet");
            self.reentry_failed(cx, &client_id, error);
        }
    }
}

impl Presence {
    /// Sends queued presence after an attach (RTP5b). Returns the client ids of the re-entries
    /// beyond the limit of messages in flight.
    ///
    /// The order: held messages with their serials, re-entries of own members (RTP17i), queued
    /// operations. So the application's latest operation is applied last. A member with a held
    /// message is not re-entered, because the message sets its state. Nor is a member with a leave
    /// in flight.
    fn flush(&mut self, cx: &mut Cx<'_>, name: &SmolStr) -> Vec<SmolStr> {
        let mut failed = Vec::new();
        // ATTACHED may arrive while the connection is CLOSING.
        let Some(transport) = cx.connection.connected_transport() else { return failed };
        let mut excluded = self.leaves_in_flight(cx, name);
        for Held { serial, ops, frame } in self.held.drain(..) {
            for item in &frame.presence {
                excluded.extend(target_client_id(cx, item).cloned());
            }
            let message = InFlight { serial, origin: Origin::App(ops), frame };
            cx.operations.retransmit(transport, message, cx.out);
        }
        for (client_id, member) in self.own.iter() {
            if excluded.contains(client_id) {
                continue;
            }
            if cx.operations.in_flight.len() >= cx.options.limits.in_flight {
                failed.push(client_id.clone());
                continue;
            }
            let item = reentry(cx, member);
            let origin = Origin::Reentry(client_id.clone());
            cx.transmit(transport, presence_frame(name, Items::one(item)), origin);
        }
        let mut size = 0;
        let (mut items, mut ops) = (Items::new(), Items::new());
        while let Some(Queued { op, message, .. }) = self.queue.pop_front() {
            let added = size_of(&message);
            if !items.is_empty() && size + added > cx.connection.max_message_size {
                let frame = presence_frame(name, core::mem::take(&mut items));
                cx.transmit(transport, frame, Origin::App(core::mem::take(&mut ops)));
                size = 0;
            }
            size = size.saturating_add(added);
            items.push(message);
            ops.push(op);
        }
        if !items.is_empty() {
            cx.transmit(transport, presence_frame(name, items), Origin::App(ops));
        }
        failed
    }

    /// The client ids with a LEAVE in flight, or in flight on a lost connection. Other clients may
    /// have received it, so these members are not re-entered.
    fn leaves_in_flight(&self, cx: &Cx<'_>, name: &SmolStr) -> BTreeSet<SmolStr> {
        if self.own.len() == 0 {
            return BTreeSet::new();
        }
        let of_this_channel = |message: &&InFlight| {
            !message.is_reentry()
                && message.is_presence()
                && message.frame.channel.as_ref() == Some(name)
        };
        let in_flight = cx.operations.in_flight.iter().filter(of_this_channel);
        let previously_in_flight = self.queue.iter().filter(|queued| queued.was_in_flight);
        in_flight
            .flat_map(|message| &message.frame.presence)
            .chain(previously_in_flight.map(|queued| &queued.message))
            .filter(|item| item.action == PresenceAction::Leave)
            .filter_map(|item| target_client_id(cx, item).cloned())
            .collect()
    }

    /// Holds a message that was in flight on the last transport until the channel is attached. It
    /// keeps its serial if the connection was `resumed` (RTN19a2).
    pub(super) fn hold(&mut self, message: Held, resumed: bool) {
        if resumed {
            self.held.push_back(message);
        } else {
            self.restore(message);
        }
    }

    fn restore(&mut self, Held { ops, frame, .. }: Held) {
        let queued = ops.into_iter().zip(frame.presence);
        self.restored.extend(queued.map(|(op, message)| Queued {
            op,
            message,
            was_in_flight: true,
        }));
    }

    /// After a failed resume serials are void: moves messages from before to the front of the
    /// queue.
    pub(super) fn requeue_held(&mut self) {
        for message in core::mem::take(&mut self.held) {
            self.restore(message);
        }
        let mut queue = core::mem::take(&mut self.restored);
        queue.append(&mut self.queue);
        self.queue = queue;
    }

    /// Fails held messages and queued operations (RTL11).
    pub(super) fn fail_queue(&mut self, cx: &mut Cx<'_>, error: &ErrorInfo) {
        for op in core::mem::take(&mut self.held).into_iter().flat_map(|held| held.ops) {
            cx.fail(op, error.clone());
        }
        for Queued { op, .. } in core::mem::take(&mut self.queue) {
            cx.fail(op, error.clone());
        }
    }
}

/// The client id of a presence message: explicit, or that of the connection.
fn target_client_id<'a>(cx: &'a Cx<'_>, item: &'a PresenceMessage) -> Option<&'a SmolStr> {
    item.client_id.as_ref().or_else(|| cx.connection.identity(cx.options))
}

/// Validates a presence operation and builds its message.
fn build_message(cx: &Cx<'_>, change: PresenceChange) -> Result<PresenceMessage, ErrorInfo> {
    let PresenceChange { action, client_id, data, extras } = change;
    if !matches!(action, PresenceAction::Enter | PresenceAction::Update | PresenceAction::Leave) {
        return Err(errors::bad_request("a presence operation is an enter, an update or a leave"));
    }
    let identity = cx.connection.identity(cx.options).map(SmolStr::as_str);
    match client_id.as_deref() {
        Some("" | "*") => return Err(errors::invalid_client_id("no member can have this id")),
        Some(requested) => {
            // RTP15f
            if identity.is_some_and(|own| own != "*" && own != requested) {
                return Err(errors::invalid_client_id("the client has another client id"));
            }
        }
        None => {
            // RTP8j
            if cx.connection.is_connected() && matches!(identity, None | Some("*")) {
                return Err(errors::invalid_client_id("the client has no client id of its own"));
            }
        }
    }
    let mut message = PresenceMessage { client_id, data, extras, ..PresenceMessage::new(action) };
    message.encode_data().map_err(|error| ErrorInfo::from(&error))?;
    // TO3l8
    if size_of(&message) > cx.connection.max_message_size {
        return Err(errors::too_large());
    }
    Ok(message)
}

/// The size of a message in bytes (TP5).
fn size_of(message: &PresenceMessage) -> u64 {
    u64::try_from(message.size()).unwrap_or(u64::MAX)
}

fn presence_frame(name: &SmolStr, items: Items<PresenceMessage>) -> Box<ProtocolMessage> {
    let mut frame = ProtocolMessage::new(Action::Presence);
    frame.channel = Some(name.clone());
    frame.presence = items;
    Box::new(frame)
}

/// The re-entry of a member (RTP17g, RTP17g1). Its data is encoded again, starting from the
/// encodings that could not be decoded.
fn reentry(cx: &Cx<'_>, member: &PresenceMessage) -> PresenceMessage {
    let same_connection = member.connection_id == cx.connection.id;
    let mut item = PresenceMessage {
        id: member.id.clone().filter(|_| same_connection),
        client_id: member.client_id.clone(),
        data: member.data.clone(),
        encoding: member.encoding.clone(),
        extras: member.extras.clone(),
        ..PresenceMessage::new(PresenceAction::Enter)
    };
    // Received data can always be encoded.
    let _ = item.encode_data();
    item
}
