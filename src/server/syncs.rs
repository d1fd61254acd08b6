//! Syncs: the members of a channel, page by page, as a recipient can take them (RTP18).
//!
//! A connection that does not subscribe to presence has none, and takes ATTACHED for an empty set
//! (RTP19a). It is told of its own members (RTP17a), in pages too, by PRESENCE.

use super::connections::AttachmentSlot;
use super::delivery::{Cursor, PageBudget};
use super::state::{self, ChannelSlot, ConnectionSlot};
use super::{Frame, Outbox, Output, Recipients, Server};
use crate::members::Slot;
use crate::wire::{Action, Modes, PresenceAction, ProtocolMessage};

impl Server {
    /// Starts a sync, in place of one that is under way (RTP18a). The pages come at the end of this
    /// step and of those that follow. An empty set is told by an empty page (RTP18b), if
    /// `send_if_empty` says so; else ATTACHED has told so (RTP1).
    pub(super) fn start_sync(&mut self, attachment: AttachmentSlot, send_if_empty: bool) {
        let sequence = self.state.next_serial(self.now);
        let entry = self.connections.attachment(attachment);
        let running = self.delivery.subscriber(attachment).sync().is_some();
        let (from, empty) = if entry.granted().contains(Modes::PRESENCE_SUBSCRIBE) {
            let none = self.state.channel(entry.channel()).members().is_empty();
            (Cursor::START, none && !send_if_empty && !running)
        } else {
            let first = self.state.first_member(entry.connection(), entry.channel());
            (Cursor::Own(first), first.is_none())
        };
        if empty || !entry.is_active() {
            return;
        }
        self.counters.syncs += 1;
        self.delivery.start_sync(attachment, sequence, from);
    }

    /// Tells a client that the sync that is under way or owed is over, though it has not had all
    /// pages: it may not have the others, and would wait for them.
    pub(super) fn end_sync(&mut self, attachment: AttachmentSlot, out: &mut Outbox) {
        let subscriber = self.delivery.subscriber_mut(attachment);
        let (deferred, sync) = (subscriber.set_sync_deferred(false), subscriber.sync());
        let entry = self.connections.attachment(attachment);
        if !entry.is_active() || !entry.granted().contains(Modes::PRESENCE_SUBSCRIBE) {
            return;
        }
        let sequence = match sync {
            Some(sync) => sync.sequence(),
            None if deferred => self.state.next_serial(self.now),
            None => return,
        };
        let frame = ProtocolMessage {
            channel: Some(self.state.channel(entry.channel()).name().clone()),
            channel_serial: Some(state::sync_serial(sequence, None)),
            ..ProtocolMessage::new(Action::Sync)
        };
        self.reply(entry.connection(), frame, out);
    }

    /// Makes good by members, not by events, what a client has missed: by a sync, which follows the
    /// one that is under way if there is one. Every sync that begins comes to its end, however busy
    /// the channel is and however slowly the client reads.
    pub(super) fn resync(&mut self, attachment: AttachmentSlot) {
        match self.delivery.subscriber_mut(attachment).sync_mut() {
            Some(sync) => sync.request_repeat(),
            None => self.start_sync(attachment, true),
        }
    }

    /// A client asks for the members (old clients go on with a broken sync that way): it gets all.
    /// One that is being synced does already.
    pub(super) fn sync_requested(&mut self, slot: ConnectionSlot, frame: &ProtocolMessage) {
        let name = frame.channel.as_deref().unwrap_or_default();
        if let Some(attachment) = self.attachment(slot, name)
            && self.delivery.subscriber(attachment).sync().is_none()
        {
            self.sync_for_client(attachment, true);
        }
    }

    /// Starts a sync that a client asked for, unless it asks too often: then it is owed, once, and
    /// starts as soon as the rates allow it. The request is small, and what it asks for is not. An
    /// empty set is told then too: its client may wait for members that have left since.
    pub(super) fn sync_for_client(&mut self, attachment: AttachmentSlot, send_if_empty: bool) {
        let limits = self.options.limits;
        let now = self.now.mono;
        let slot = self.connections.attachment(attachment).connection();
        let subscriber = self.delivery.subscriber_mut(attachment);
        let connection = self.connections.get_mut(slot);
        let taken = subscriber
            .admit_sync(limits.syncs, now)
            .and_then(|()| connection.admit_sync(limits.syncs_per_connection, now));
        let Err(at) = taken else {
            let deferred = subscriber.set_sync_deferred(false);
            self.start_sync(attachment, deferred || send_if_empty);
            return;
        };
        if !subscriber.set_sync_deferred(true) {
            self.counters.limited += 1;
        }
        connection.defer_syncs_until(at);
        self.arm(slot);
    }

    /// Starts the syncs of a connection that were asked for too early, if it is time.
    pub(super) fn start_deferred_syncs(&mut self, slot: ConnectionSlot) {
        let connection = self.connections.get_mut(slot);
        if !connection.take_deferred_syncs_timer(self.now.mono) {
            return;
        }
        let mut next = connection.first_attachment();
        while let Some(attachment) = next {
            next = self.connections.attachment(attachment).next();
            if self.delivery.subscriber(attachment).is_sync_deferred() {
                self.sync_for_client(attachment, true);
            }
        }
    }

    /// Sends pages of the syncs that are under way, one of each in turn, as far as the budget
    /// goes. What is left is due at once.
    pub(super) fn send_sync_pages(&mut self, out: &mut Outbox) {
        for _ in 0..self.options.sync_pages_per_call.max(1) {
            if !self.delivery.is_syncing() {
                return;
            }
            if let Some(attachment) = self.delivery.next_sync()
                && self.send_page(attachment, out)
            {
                self.delivery.queue_sync(attachment);
            }
        }
    }

    /// Sends the next page of a sync. Tells whether more follow.
    fn send_page(&mut self, attachment: AttachmentSlot, out: &mut Outbox) -> bool {
        let Some(sync) = self.delivery.subscriber(attachment).sync() else { return false };
        let entry = self.connections.attachment(attachment);
        let (slot, connection) = (entry.channel(), self.connections.get(entry.connection()));
        let (Some(transport), false) = (connection.transport(), connection.is_congested()) else {
            // It goes on when the transport can take it.
            return false;
        };
        // What is coalesced is older than the page: told later, it could take a member of the page
        // for one that subscribers do not know.
        self.deliver_coalesced(slot, out);
        let budget = PageBudget::new(self.options.sync_page_members, self.options.sync_page_bytes);
        let (frame, next) = match sync.next() {
            Cursor::All(from) => self.sync_page(slot, from, sync.sequence(), budget),
            Cursor::Own(first) => {
                let (frame, next) = self.own_page(slot, first, budget);
                if frame.head().presence.is_empty() {
                    // Those that were left to tell have gone.
                    self.delivery.stop_sync(attachment);
                    return false;
                }
                (frame, next)
            }
        };
        out.push(Output::send(Recipients::one(transport), frame));
        self.count_frame(1);
        if let Some(next) = next {
            if let Some(sync) = self.delivery.subscriber_mut(attachment).sync_mut() {
                sync.set_next(next);
            }
            return true;
        }
        self.delivery.stop_sync(attachment);
        if sync.must_repeat() {
            self.start_sync(attachment, true);
        }
        false
    }

    /// A page of a sync, and where the next one starts.
    fn sync_page(
        &mut self,
        channel: ChannelSlot,
        from: u32,
        sequence: u64,
        mut budget: PageBudget,
    ) -> (Frame, Option<Cursor>) {
        let (page, next) = self.state.page(channel, from, |bytes| budget.try_take(bytes));
        let next = next.map(|slot| slot.number());
        let head = ProtocolMessage {
            channel: Some(self.state.channel(channel).name().clone()),
            channel_serial: Some(state::sync_serial(sequence, next)),
            ..ProtocolMessage::new(Action::Sync)
        };
        (Frame::with_members(head, page, budget.size()), next.map(Cursor::All))
    }

    /// A page of a connection's own members, and where the next one starts.
    fn own_page(
        &self,
        channel: ChannelSlot,
        first: Option<Slot>,
        mut budget: PageBudget,
    ) -> (Frame, Option<Cursor>) {
        let mut frame = self.new_presence_frame(channel, None);
        let channel = self.state.channel(channel);
        for slot in channel.owned_from(first) {
            if !budget.try_take(channel.bytes_of(slot)) {
                return (frame.into(), Some(Cursor::Own(Some(slot))));
            }
            let member = channel.members().get(slot);
            let member = member.map(|member| member.to_message(PresenceAction::Present));
            frame.presence.extend(member);
        }
        (frame.into(), None)
    }
}
