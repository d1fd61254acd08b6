//! Telling subscribers of presence events: at once, at the end of a step, or after a window.

use super::coalesce::Pending;
use super::{Outbox, Position, Recipients, Server, stream};
use crate::members::Slot;
use crate::wire::{Action, Modes, PresenceAction, PresenceMessage, ProtocolMessage};
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Server {
    /// Tells the leaves that were gathered in this step.
    #[inline]
    pub(super) fn tell_gathered(&mut self, out: &mut Outbox) {
        if !self.gathered.is_empty() {
            self.tell_all_gathered(out);
        }
    }

    #[inline(never)]
    fn tell_all_gathered(&mut self, out: &mut Outbox) {
        for channel in core::mem::take(&mut self.gathered) {
            self.tell_leaves(channel, out);
            self.drop_channel_if_unused(channel);
        }
    }

    /// Tells the leaves of one channel that were gathered.
    pub(super) fn tell_leaves(&mut self, channel: Slot, out: &mut Outbox) {
        let Some(entry) = self.channels.get_mut(channel) else { return };
        let mut leaves = core::mem::take(&mut entry.leaves);
        if leaves.is_empty() {
            return;
        }
        if entry.window.is_some() {
            for leave in leaves {
                self.gather(channel, leave, true, out);
            }
            return;
        }
        let (serial, id) = (entry.leaves_serial, core::mem::take(&mut entry.leaves_id));
        let to = Recipients::new(entry.presence.share(), None, None);
        self.counters.presence_events += leaves.len() as u64;
        if let Some(mut frame) = self.presence_frame_out(channel, Some(serial)) {
            // What follows from the frame stands there alone (TP3a, TP3g).
            frame.timestamp = leaves.first().and_then(|leave| leave.timestamp);
            for leave in &mut leaves {
                leave.id = None;
                leave.timestamp = leave.timestamp.filter(|_| leave.timestamp != frame.timestamp);
            }
            frame.id = Some(id);
            frame.presence = leaves.into();
            self.broadcast(to, frame, out);
        }
    }

    /// Whether a connection hears of its own member in a frame of its own (RTP17a): it is not in the
    /// audience. A subscriber that was taken out of it for a while, because it is congested, hears by
    /// the sync that follows; but of a leave no sync would tell it, if it gives the mode for syncs
    /// up before it reads again.
    pub(super) fn hears_apart(&self, slot: Slot, attachment: Slot, action: PresenceAction) -> bool {
        let Some(entry) = self.channels.attachment(attachment) else { return false };
        let subscribes = entry.granted.contains(Modes::PRESENCE_SUBSCRIBE);
        let congested = self.connections.get(slot).is_some_and(|c| c.congested);
        let by_sync = congested && subscribes && action != PresenceAction::Leave;
        entry.presence_place.is_none() && !by_sync
    }

    /// Tells a connection of its own members. The frames move the channel's serial on if nothing of
    /// the channel was held back.
    pub(super) fn tell_own(
        &mut self,
        slot: Slot,
        channel: Slot,
        serial: u64,
        messages: Vec<PresenceMessage>,
        out: &mut Outbox,
    ) {
        let congested = self.connections.get(slot).is_none_or(|c| c.congested);
        let serial = (!congested).then_some(serial);
        for frame in self.presence_frames(channel, serial, messages) {
            self.reply(slot, frame, out);
        }
    }

    /// PRESENCE frames of a channel with these items, so many in each as one may have.
    pub(super) fn presence_frames(
        &self,
        channel: Slot,
        serial: Option<u64>,
        messages: Vec<PresenceMessage>,
    ) -> Vec<ProtocolMessage> {
        let per_frame = self.config.items_per_broadcast.max(1);
        let mut messages = messages.into_iter().peekable();
        let mut frames = Vec::new();
        while messages.peek().is_some() {
            let Some(mut frame) = self.presence_frame_out(channel, serial) else { break };
            frame.timestamp = messages.peek().and_then(|message| message.timestamp);
            frame.presence = messages.by_ref().take(per_frame).collect();
            frames.push(frame);
        }
        frames
    }

    /// A PRESENCE frame of a channel, without items; with a position it moves the channel's serial
    /// on (RTL15b).
    pub(super) fn presence_frame_out(
        &self,
        channel: Slot,
        serial: Option<u64>,
    ) -> Option<ProtocolMessage> {
        let entry = self.channels.get(channel)?;
        Some(ProtocolMessage {
            channel: Some(entry.name.clone()),
            channel_serial: serial.map(stream::text),
            ..ProtocolMessage::new(Action::Presence)
        })
    }

    /// Adds an event to those that a channel gathers. `known` is whether the member was present
    /// before it.
    pub(super) fn gather(
        &mut self,
        channel: Slot,
        message: PresenceMessage,
        known: bool,
        out: &mut Outbox,
    ) {
        let per_frame = self.config.items_per_broadcast.max(1);
        let now = self.now.mono;
        let Some(entry) = self.channels.get_mut(channel) else { return };
        let Some(window) = entry.window else { return };
        if entry.pending.is_none() {
            let seed = self.keys.random();
            entry.pending = Some(Box::new(Pending::new(seed)));
            entry.window_at = Some(now + window);
        }
        let Some(pending) = &mut entry.pending else { return };
        self.counters.coalesced += pending.add(message, known);
        if pending.is_full(per_frame) {
            self.tell_pending(channel, out);
        } else {
            self.arm_channel(channel);
        }
    }

    /// Tells what a channel has gathered.
    pub(super) fn tell_pending(&mut self, channel: Slot, out: &mut Outbox) {
        let Some(entry) = self.channels.get_mut(channel) else { return };
        entry.window_at = None;
        let Some(pending) = entry.pending.take() else { return };
        let (serial, to) = (entry.last, entry.presence.share());
        self.arm_channel(channel);
        let messages = pending.into_messages();
        self.counters.presence_events += messages.len() as u64;
        for frame in self.presence_frames(channel, Some(serial), messages) {
            self.broadcast(Recipients::new(to.clone(), None, None), frame, out);
        }
    }

    /// Remembers an event in the channel's history. `known` is whether the member was present
    /// before it.
    pub(super) fn remember(
        &mut self,
        channel: Slot,
        position: Position,
        message: &PresenceMessage,
        known: bool,
    ) {
        let now = self.now.mono;
        let all = self.history_bytes;
        let Some(entry) = self.channels.get_mut(channel) else { return };
        if !self.config.history.keeps() {
            entry.history.pass_over(position);
            return;
        }
        let others = all.saturating_sub(entry.history.bytes());
        entry.history.push(&self.config.history, others, now, position, message, known);
        self.history_bytes = others.saturating_add(entry.history.bytes());
        if entry.history_at.is_none() && !entry.history.is_empty() {
            entry.history_at = Some(now + self.config.history.retention);
            self.arm_channel(channel);
        }
    }
}
