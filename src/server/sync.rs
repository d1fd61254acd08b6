//! Syncs: the members of a channel, page by page, as a recipient can take them (RTP18).

use super::roster::size_of;
use super::{Outbox, Server, stream};
use crate::members::Slot;
use crate::wire::{Action, Modes, PresenceAction, ProtocolMessage};
use alloc::vec::Vec;

/// Bytes of a member in a page beside its data, roughly.
const OVERHEAD: usize = 120;

impl Server {
    /// Starts a sync, in place of one that is under way (RTP18a). The pages come at the end of
    /// this step and of those that follow. Without members nothing needs to be said: ATTACHED has
    /// told so (RTP1).
    pub(super) fn begin_sync(&mut self, attachment: Slot) {
        self.start_sync(attachment, false);
    }

    /// The same, but an empty set is told too, by an empty page (RTP18b).
    pub(super) fn start_sync(&mut self, attachment: Slot, though_empty: bool) {
        let sequence = self.stream.next(self.now.wall);
        let Some((entry, channel)) = self.channels.both_mut(attachment) else { return };
        if !entry.granted.contains(Modes::PRESENCE_SUBSCRIBE) || !entry.live {
            return;
        }
        let running = entry.sync.is_some();
        if channel.members.is_empty() && !though_empty && !running {
            return;
        }
        entry.sync = Some((sequence, 0));
        self.counters.syncs += 1;
        self.counters.syncs_running += u64::from(!running);
        self.queue_sync(attachment);
    }

    /// Gives up a sync that is under way.
    pub(super) fn stop_sync(&mut self, attachment: Slot) {
        let Some(entry) = self.channels.attachment_mut(attachment) else { return };
        if entry.sync.take().is_some() {
            self.counters.syncs_running = self.counters.syncs_running.saturating_sub(1);
        }
    }

    fn queue_sync(&mut self, attachment: Slot) {
        if let Some(entry) = self.channels.attachment_mut(attachment)
            && !core::mem::replace(&mut entry.queued, true)
        {
            self.syncs.push_back(attachment);
        }
    }

    /// A client asks for the members (old clients go on with a broken sync that way): it gets all.
    pub(super) fn sync_requested(&mut self, slot: Slot, frame: &ProtocolMessage) {
        let name = frame.channel.as_deref().unwrap_or_default();
        let channel = self.channels.by_name(name);
        if let Some(attachment) = channel.and_then(|channel| self.channels.pair(slot, channel)) {
            self.start_sync(attachment, true);
        }
    }

    /// Sends pages of the syncs that are under way, one of each in turn, as far as the budget
    /// goes. What is left is due at once.
    pub(super) fn send_sync_pages(&mut self, out: &mut Outbox) {
        for _ in 0..self.config.sync_pages_per_call.max(1) {
            let Some(attachment) = self.syncs.pop_front() else { return };
            if let Some(entry) = self.channels.attachment_mut(attachment) {
                entry.queued = false;
                if self.send_page(attachment, out) {
                    self.queue_sync(attachment);
                }
            }
        }
    }

    /// Sends the next page of a sync. Tells whether more follow.
    fn send_page(&mut self, attachment: Slot, out: &mut Outbox) -> bool {
        let Some(entry) = self.channels.attachment(attachment) else { return false };
        let (Some((sequence, from)), slot) = (entry.sync, entry.channel) else { return false };
        let Some(connection) = self.connections.get(entry.connection) else { return false };
        let (Some(transport), false) = (connection.transport, connection.congested) else {
            // It starts again when the transport can take it.
            return false;
        };
        // What is gathered is older than the page: told later, it could take a member of the page
        // for one that subscribers do not know.
        self.tell_pending(slot, out);
        let (limit, bytes) = (self.config.sync_page_members.max(1), self.config.sync_page_bytes);
        let Some(channel) = self.channels.get(slot) else { return false };
        let mut presence = Vec::with_capacity(limit.min(channel.members.len()));
        let (mut cursor, mut size) = (from, 0usize);
        let next = loop {
            let Some((member, found)) = channel.members.next_from(cursor) else { break None };
            size = size.saturating_add(size_of(&found)).saturating_add(OVERHEAD);
            if presence.len() >= limit || (size > bytes && !presence.is_empty()) {
                break Some(member.number());
            }
            presence.push(found.to_message(PresenceAction::Present));
            match member.number().checked_add(1) {
                Some(number) => cursor = number,
                None => break None,
            }
        };
        let frame = ProtocolMessage {
            channel: Some(channel.name.clone()),
            channel_serial: Some(stream::sync_serial(sequence, next)),
            presence: presence.into(),
            ..ProtocolMessage::new(Action::Sync)
        };
        self.send_to(transport, frame, out);
        if let Some(entry) = self.channels.attachment_mut(attachment) {
            entry.sync = next.map(|next| (sequence, next));
        }
        if next.is_none() {
            self.counters.syncs_running = self.counters.syncs_running.saturating_sub(1);
        }
        next.is_some()
    }

    /// The host's queue for a transport is long: broadcasts leave it out from now on.
    pub(super) fn congested(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if core::mem::replace(&mut connection.congested, true) {
            return;
        }
        self.counters.congested += 1;
        self.counters.congestions += 1;
        let mut next = connection.first;
        while let Some(attachment) = next {
            self.channels.part(attachment);
            next = self.channels.attachment(attachment).and_then(|entry| entry.next);
        }
    }

    /// The host's queue is short again: what was left out is made good. Events that were missed by
    /// a sync (RTP18); messages that were missed by an ATTACHED that says so (RTL12).
    pub(super) fn writable(&mut self, slot: Slot, out: &mut Outbox) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if !core::mem::replace(&mut connection.congested, false) {
            return;
        }
        self.counters.congested = self.counters.congested.saturating_sub(1);
        if let Some(more) = &mut connection.more {
            more.replies = 0;
        }
        self.send_held_acks(slot, out);
        let Some(connection) = self.connections.get(slot) else { return };
        let Some(transport) = connection.transport else { return };
        let mut next = connection.first;
        while let Some(attachment) = next {
            let Some(entry) = self.channels.attachment(attachment) else { break };
            next = entry.next;
            if !entry.live {
                continue;
            }
            let channel = entry.channel;
            // What is gathered was not missed, but is told below or by a sync that follows.
            self.tell_pending(channel, out);
            let (Some(entry), Some(state)) =
                (self.channels.attachment(attachment), self.channels.get(channel))
            else {
                break;
            };
            let presence = entry.granted.contains(Modes::PRESENCE_SUBSCRIBE)
                && (entry.sync.is_some() || entry.presence_mark < state.last_presence);
            let messages =
                entry.granted.contains(Modes::SUBSCRIBE) && entry.message_mark < state.last_message;
            self.channels.join(attachment, transport);
            if messages {
                let message = "Messages were missed because the connection was too slow";
                let error = crate::wire::ErrorInfo::new(90003, 400, message);
                self.send_attached(attachment, false, Some(error), out);
                self.begin_sync(attachment);
            }
            if presence {
                self.counters.resyncs += 1;
                self.start_sync(attachment, true);
            }
        }
    }
}
