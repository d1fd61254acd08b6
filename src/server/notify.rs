//! Delivery of presence events to subscribers and the host: at once, at the end of a step, or
//! coalesced.

use super::connections::AttachmentSlot;
use super::state::{self, Change, ChannelSlot, ConnectionSlot, Kind};
use super::{Outbox, Output, Recipients, Server, ServerEvent, output};
use crate::wire::{Action, Modes, PresenceAction, PresenceMessage, ProtocolMessage, inherited_id};
use alloc::vec::Vec;

impl Server {
    /// Handles a change of a member set, apart from its delivery to subscribers: own-member syncs,
    /// the channel's timer, the host's event. `message` is the event; `None` for the last leave in
    /// the channel's batch.
    pub(super) fn handle_change(
        &mut self,
        channel: ChannelSlot,
        owner: ConnectionSlot,
        change: &Change,
        message: Option<&PresenceMessage>,
        out: &mut Outbox,
    ) {
        if let Kind::Left { member, next, .. } = change.kind
            && self.delivery.syncs_running() > 0
        {
            match self.connections.pair(owner, channel) {
                Some(attachment) => {
                    self.delivery.subscriber_mut(attachment).member_removed(member, next);
                }
                None => self.check_is_elsewhere(owner),
            }
        }
        if change.starts_history {
            self.arm_channel(channel);
        }
        if !self.options.events {
            return;
        }
        let state = self.state.channel(channel);
        let last = || state.batch().and_then(|batch| batch.leaves.last());
        let Some(message) = message.or_else(last) else {
            return self.broken("a removal has a leave");
        };
        let channel = state.name();
        let position = change.position;
        out.push_with(|| {
            Output::Event(match change.kind {
                Kind::Entered => {
                    ServerEvent::member_entered(channel.clone(), position, message.clone())
                }
                Kind::Updated => {
                    ServerEvent::member_updated(channel.clone(), position, message.clone())
                }
                Kind::Left { cause, .. } => ServerEvent::MemberLeft(output::MemberLeft {
                    cause,
                    position,
                    channel: channel.clone(),
                    message: message.clone(),
                }),
            })
        });
        if change.first_or_last {
            let channel = channel.clone();
            out.push(Output::Event(match change.kind {
                Kind::Left { .. } => ServerEvent::channel_vacant(channel),
                _ => ServerEvent::channel_occupied(channel),
            }));
        }
    }

    /// The owner of a member is attached, unless another node has it.
    pub(super) fn check_is_elsewhere(&mut self, owner: ConnectionSlot) {
        let is_here = self.connections.try_get(owner).is_some() && !self.is_adopting(owner);
        if !self.has_log() || is_here {
            self.broken("the owner of a member is attached");
        }
    }

    /// Delivers the leaves that were batched in this step.
    #[inline]
    pub(super) fn deliver_batches(&mut self, out: &mut Outbox) {
        if self.delivery.has_batches() {
            self.deliver_all_batches(out);
        }
    }

    #[inline(never)]
    fn deliver_all_batches(&mut self, out: &mut Outbox) {
        for channel in self.delivery.take_batches() {
            // A channel is listed twice if its leaves filled a frame.
            if self.state.try_channel(channel).is_some() {
                self.deliver_batch(channel, out);
                self.close_channel_if_unused(channel);
            }
        }
    }

    /// Delivers the batched leaves of a channel.
    pub(super) fn deliver_batch(&mut self, channel: ChannelSlot, out: &mut Outbox) {
        let Some(batch) = self.state.end_batch(channel) else { return };
        let feed = self.delivery.feed(channel);
        if feed.coalesces() {
            for (place, mut leave) in batch.leaves.into_iter().enumerate() {
                let place = batch.first as usize + place;
                leave.id = leave.id.or_else(|| Some(inherited_id(&batch.id, place)));
                self.coalesce(channel, leave, true, out);
            }
            return;
        }
        let mut leaves = batch.leaves;
        let to = Recipients::new(feed.presence().share(), None, None);
        self.counters.presence_events += leaves.len() as u64;
        let mut frame = self.new_presence_frame(channel, Some(batch.serial));
        // Items inherit fields of the frame (TP3a, TP3g); equal ones are not repeated.
        frame.timestamp = leaves.first().and_then(|leave| leave.timestamp);
        for (place, leave) in leaves.iter_mut().enumerate() {
            // An index that does not start from 0 is not inherited.
            leave.id =
                (batch.first > 0).then(|| inherited_id(&batch.id, batch.first as usize + place));
            leave.timestamp = leave.timestamp.filter(|_| leave.timestamp != frame.timestamp);
        }
        frame.id = Some(batch.id);
        frame.presence = leaves.into();
        self.broadcast(to, frame, out);
    }

    /// Whether a change of a connection's own member needs a frame of its own (RTP17a), because the
    /// connection is not in the audience. A congested subscriber is left out of the audience too,
    /// but the sync that follows shows the member. Not so a leave: the client might give up the
    /// mode for syncs before it reads again.
    pub(super) fn is_notified_directly(
        &self,
        attachment: AttachmentSlot,
        action: PresenceAction,
    ) -> bool {
        let entry = self.connections.attachment(attachment);
        let subscribes = entry.granted().contains(Modes::PRESENCE_SUBSCRIBE);
        let congested = self.connections.get(entry.connection()).is_congested();
        let by_sync = congested && subscribes && action != PresenceAction::Leave;
        !self.delivery.subscriber(attachment).receives_presence() && !by_sync
    }

    /// Sends a connection its own members. The frames advance the channel serial, unless the
    /// connection is congested and other events were withheld.
    pub(super) fn notify_directly(
        &mut self,
        slot: ConnectionSlot,
        channel: ChannelSlot,
        serial: u64,
        messages: Vec<PresenceMessage>,
        out: &mut Outbox,
    ) {
        let serial = (!self.connections.get(slot).is_congested()).then_some(serial);
        for frame in self.presence_frames(channel, serial, messages) {
            self.reply(slot, frame, out);
        }
    }

    /// Splits messages into PRESENCE frames of at most
    /// [`items_per_broadcast`](super::ServerOptions::items_per_broadcast) items.
    pub(super) fn presence_frames(
        &self,
        channel: ChannelSlot,
        serial: Option<u64>,
        messages: Vec<PresenceMessage>,
    ) -> Vec<ProtocolMessage> {
        let per_frame = self.options.items_per_broadcast.max(1);
        let mut messages = messages.into_iter().peekable();
        let mut frames = Vec::new();
        while let Some(first) = messages.peek() {
            let mut frame = self.new_presence_frame(channel, serial);
            frame.timestamp = first.timestamp;
            frame.presence = messages.by_ref().take(per_frame).collect();
            frames.push(frame);
        }
        frames
    }

    /// A PRESENCE frame without items. With a serial it advances the client's channel serial
    /// (RTL15b).
    pub(super) fn new_presence_frame(
        &self,
        channel: ChannelSlot,
        serial: Option<u64>,
    ) -> ProtocolMessage {
        ProtocolMessage {
            channel: Some(self.state.channel(channel).name().clone()),
            channel_serial: serial.map(state::format_serial),
            ..ProtocolMessage::new(Action::Presence)
        }
    }

    /// Adds an event to the coalesced ones of a channel, and delivers them if they fill a frame.
    /// `was_present`: whether the member was present before the event.
    pub(super) fn coalesce(
        &mut self,
        channel: ChannelSlot,
        message: PresenceMessage,
        was_present: bool,
        out: &mut Outbox,
    ) {
        let keys = &mut self.keys;
        let feed = self.delivery.feed_mut(channel);
        let replaced = feed.coalesce(message, was_present, self.now.mono, || keys.random());
        self.counters.coalesced += replaced;
        if feed.is_full(self.options.items_per_broadcast.max(1)) {
            self.deliver_coalesced(channel, out);
        } else {
            self.arm_channel(channel);
        }
    }

    /// Delivers the coalesced events of a channel.
    pub(super) fn deliver_coalesced(&mut self, channel: ChannelSlot, out: &mut Outbox) {
        let Some(messages) = self.delivery.feed_mut(channel).take_coalesced() else { return };
        let serial = self.state.serial_of(channel);
        let to = self.delivery.feed(channel).presence().share();
        self.arm_channel(channel);
        self.counters.presence_events += messages.len() as u64;
        for frame in self.presence_frames(channel, Some(serial), messages) {
            self.broadcast(Recipients::new(to.clone(), None, None), frame, out);
        }
    }
}
