//! Syncs: the members of a channel in pages, as fast as each recipient reads (RTP18).
//!
//! An attachment that does not subscribe to presence has no sync: it treats ATTACHED as an empty
//! set (RTP19a). It receives its own members in pages of PRESENCE instead (RTP17a).

use super::connections::AttachmentSlot;
use super::delivery::{Cursor, PageBudget};
use super::state::{self, ChannelSlot, ConnectionSlot};
use super::{Frame, Outbox, Output, Recipients, Server};
use crate::members::Slot;
use crate::wire::{Action, Modes, PresenceAction, ProtocolMessage};

impl Server {
    /// Starts a sync, and replaces a running one (RTP18a). Its pages are sent at the end of this
    /// call and of later ones. An empty set gives an empty page (RTP18b) only with `send_if_empty`;
    /// otherwise ATTACHED without HAS_PRESENCE suffices (RTP1).
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

    /// Ends a running or deferred sync of a client that loses the right to presence events: an
    /// empty last page, because the client would wait for the remaining ones.
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

    /// Sends all members again because events were missed. A running sync is completed first and
    /// then repeated, so that every sync ends, however busy the channel and however slow the
    /// client.
    pub(super) fn resync(&mut self, attachment: AttachmentSlot) {
        match self.delivery.subscriber_mut(attachment).sync_mut() {
            Some(sync) => sync.request_repeat(),
            None => self.start_sync(attachment, true),
        }
    }

    /// SYNC from a client (older clients continue a broken sync this way): starts a sync, unless
    /// one is running.
    pub(super) fn sync_requested(&mut self, slot: ConnectionSlot, frame: &ProtocolMessage) {
        let name = frame.channel.as_deref().unwrap_or_default();
        if let Some(attachment) = self.attachment(slot, name)
            && self.delivery.subscriber(attachment).sync().is_none()
        {
            self.sync_for_client(attachment, true);
        }
    }

    /// Starts a sync on request of a client, within the rates. Beyond them one sync is deferred
    /// until the rates allow it, because a small request has a large answer. A deferred sync is
    /// sent even if the set is empty: the client may hold members that have left since.
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

    /// Starts the deferred syncs of a connection, if they are due.
    pub(super) fn start_deferred_syncs(&mut self, slot: ConnectionSlot) {
        let starting_over = self.is_starting_over();
        let now = self.now.mono;
        let connection = self.connections.get_mut(slot);
        if !connection.take_deferred_syncs_timer(now) {
            return;
        }
        if starting_over {
            // There are no members to send yet.
            connection.defer_syncs_until(now.after(1_000));
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

    /// Sends pages of the running syncs, round-robin, at most
    /// [`sync_pages_per_call`](super::ServerOptions::sync_pages_per_call). The rest is due at once.
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

    /// Sends the next page of a sync. Returns whether more follow.
    fn send_page(&mut self, attachment: AttachmentSlot, out: &mut Outbox) -> bool {
        let Some(sync) = self.delivery.subscriber(attachment).sync() else { return false };
        let entry = self.connections.attachment(attachment);
        let (slot, connection) = (entry.channel(), self.connections.get(entry.connection()));
        let (Some(transport), false) = (connection.transport(), connection.is_congested()) else {
            // The sync continues when the transport is writable.
            return false;
        };
        // Coalesced events are older than the page. A leave after the page must not cancel a
        // coalesced enter of a member that the page shows.
        self.deliver_coalesced(slot, out);
        let budget = PageBudget::new(self.options.sync_page_members, self.options.sync_page_bytes);
        let (frame, next) = match sync.next() {
            Cursor::All(from) => self.sync_page(slot, from, sync.sequence(), budget),
            Cursor::Own(first) => {
                let (frame, next) = self.own_page(slot, first, budget);
                if frame.head().presence.is_empty() {
                    // The remaining own members have left.
                    self.delivery.stop_sync(attachment);
                    return false;
                }
                (frame, next)
            }
        };
        out.push(Output::send(Recipients::one(transport), frame));
        self.count_frame(1);
        if let Some(next) = next {
            let Some(sync) = self.delivery.subscriber_mut(attachment).sync_mut() else {
                self.broken("a sync is running between two of its pages");
                return false;
            };
            sync.set_next(next);
            return true;
        }
        self.delivery.stop_sync(attachment);
        if sync.must_repeat() {
            self.start_sync(attachment, true);
        }
        false
    }

    /// A page of a sync, and the start of the next one.
    fn sync_page(
        &mut self,
        channel: ChannelSlot,
        from: u32,
        sequence: u64,
        mut budget: PageBudget,
    ) -> (Frame, Option<Cursor>) {
        let mut unowned = false;
        let (page, next) = self.state.page(channel, from, |bytes| {
            unowned |= bytes.is_none();
            budget.try_take(bytes.unwrap_or(0))
        });
        if unowned {
            self.broken("a member has an owner");
        }
        let next = next.map(|slot| slot.number());
        let head = ProtocolMessage {
            channel: Some(self.state.channel(channel).name().clone()),
            channel_serial: Some(state::sync_serial(sequence, next)),
            ..ProtocolMessage::new(Action::Sync)
        };
        (Frame::with_members(head, page, budget.size()), next.map(Cursor::All))
    }

    /// A page of the connection's own members, and the start of the next one.
    fn own_page(
        &mut self,
        channel: ChannelSlot,
        first: Option<Slot>,
        mut budget: PageBudget,
    ) -> (Frame, Option<Cursor>) {
        let mut frame = self.new_presence_frame(channel, None);
        let channel = self.state.channel(channel);
        let (mut next, mut dangling) = (None, false);
        for slot in channel.owned_from(first) {
            let (Some(bytes), Some(member)) = (channel.bytes_of(slot), channel.members().get(slot))
            else {
                dangling = true;
                break;
            };
            if !budget.try_take(bytes) {
                next = Some(Cursor::Own(Some(slot)));
                break;
            }
            frame.presence.push(member.to_message(PresenceAction::Present));
        }
        if dangling {
            self.broken("a connection's list of members has members");
        }
        (frame.into(), next)
    }
}
