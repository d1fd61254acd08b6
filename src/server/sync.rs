//! Syncs: the members of a channel, page by page, as a recipient can take them (RTP18).
//!
//! A connection that does not subscribe to presence has none, and takes ATTACHED for an empty set
//! (RTP19a). It is told of its own members (RTP17a), in pages too, by PRESENCE.

use super::channel::Channel;
use super::{Outbox, Output, Server, stream};
use crate::members::{Member, Slot};
use crate::wire::{Action, Format, Items, Modes, PresenceAction, PresenceMessage, ProtocolMessage};
use alloc::vec::Vec;

/// Bytes of a member in a page beside its data, roughly.
const OVERHEAD: usize = 120;

/// A sync that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sync {
    sequence: u64,
    next: Cursor,
    /// Whether another has to follow: of what earlier pages told, something has changed unheard.
    again: bool,
}

/// Where the next page starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cursor {
    /// At a slot of the channel's members.
    All(u32),
    /// At one of the connection's own members, in the order in which they are linked. Those that
    /// enter meanwhile stand before all others, and are told apart.
    Own(Option<Slot>),
}

impl Cursor {
    const START: Self = Self::All(0);
}

impl Sync {
    /// A member is gone, which stood before `next` among those of the same attachment.
    pub(super) fn passes_over(&mut self, member: Slot, next: Option<Slot>) {
        if self.next == Cursor::Own(Some(member)) {
            self.next = Cursor::Own(next);
        }
    }
}

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
        let running = entry.sync.is_some();
        let (next, empty) = if entry.granted.contains(Modes::PRESENCE_SUBSCRIBE) {
            (Cursor::START, channel.members.is_empty() && !though_empty && !running)
        } else {
            (Cursor::Own(entry.first_member), entry.first_member.is_none())
        };
        if empty || !entry.live {
            return;
        }
        entry.sync = Some(Sync { sequence, next, again: false });
        self.counters.syncs += 1;
        self.counters.syncs_running += u64::from(!running);
        self.queue_sync(attachment);
    }

    /// Tells a client that the sync that is under way or owed is over, though it has not had all
    /// pages: it may not have the others, and would wait for them.
    pub(super) fn end_sync(&mut self, attachment: Slot, out: &mut Outbox) {
        let Some(entry) = self.channels.attachment_mut(attachment) else { return };
        let owed = core::mem::take(&mut entry.owed);
        let (sync, slot, channel) = (entry.sync, entry.connection, entry.channel);
        if !entry.live || !entry.granted.contains(Modes::PRESENCE_SUBSCRIBE) {
            return;
        }
        let sequence = match sync {
            Some(sync) => sync.sequence,
            None if owed => self.stream.next(self.now.wall),
            None => return,
        };
        let Some(channel) = self.channels.get(channel) else { return };
        let frame = ProtocolMessage {
            channel: Some(channel.name.clone()),
            channel_serial: Some(stream::sync_serial(sequence, None)),
            ..ProtocolMessage::new(Action::Sync)
        };
        self.reply(slot, frame, out);
    }

    /// Gives up a sync that is under way.
    pub(super) fn stop_sync(&mut self, attachment: Slot) {
        let Some(entry) = self.channels.attachment_mut(attachment) else { return };
        if entry.sync.take().is_some() {
            self.counters.syncs_running = self.counters.syncs_running.saturating_sub(1);
        }
    }

    /// Makes good by members, not by events, what a client has missed: by a sync, which follows the
    /// one that is under way if there is one. Every sync that begins comes to its end, however busy
    /// the channel is and however slowly the client reads.
    pub(super) fn sync_again(&mut self, attachment: Slot) {
        match self.channels.attachment_mut(attachment).and_then(|entry| entry.sync.as_mut()) {
            Some(sync) => sync.again |= sync.next != Cursor::START,
            None => self.start_sync(attachment, true),
        }
    }

    /// Goes on with a sync that had to wait.
    pub(super) fn go_on_with_sync(&mut self, attachment: Slot) {
        if self.channels.attachment(attachment).is_some_and(|entry| entry.sync.is_some()) {
            self.queue_sync(attachment);
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
    /// One that is being synced does already.
    pub(super) fn sync_requested(&mut self, slot: Slot, frame: &ProtocolMessage) {
        let name = frame.channel.as_deref().unwrap_or_default();
        let channel = self.channels.by_name(name);
        if let Some(attachment) = channel.and_then(|channel| self.channels.pair(slot, channel))
            && self.channels.attachment(attachment).is_some_and(|entry| entry.sync.is_none())
        {
            self.sync_for_client(attachment, true);
        }
    }

    /// Starts a sync that a client asked for, unless it asks too often: then it is owed, once, and
    /// starts as soon as the rates allow it. The request is small, and what it asks for is not. An
    /// empty set is told then too: its client may wait for members that have left since.
    pub(super) fn sync_for_client(&mut self, attachment: Slot, though_empty: bool) {
        let limits = self.config.limits;
        let now = self.now.mono;
        let Some(entry) = self.channels.attachment_mut(attachment) else { return };
        let slot = entry.connection;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let at = if !entry.syncs.take(limits.syncs, now, 1) {
            entry.syncs.next(limits.syncs)
        } else if !connection.syncs.take(limits.syncs_per_connection, now, 1) {
            connection.syncs.next(limits.syncs_per_connection)
        } else {
            let owed = core::mem::take(&mut entry.owed);
            self.start_sync(attachment, owed || though_empty);
            return;
        };
        if !core::mem::replace(&mut entry.owed, true) {
            self.counters.limited += 1;
        }
        let more = connection.more.get_or_insert_default();
        more.syncs_at = super::sooner(more.syncs_at, Some(at));
        self.arm(slot);
    }

    /// Starts the syncs of a connection that were asked for too early, if it is time.
    pub(super) fn sync_owed(&mut self, slot: Slot) {
        let now = self.now.mono;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let mut next = connection.first;
        let Some(more) = &mut connection.more else { return };
        if more.syncs_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        while let Some(attachment) = next {
            let Some(entry) = self.channels.attachment(attachment) else { break };
            next = entry.next;
            if entry.owed {
                self.sync_for_client(attachment, true);
            }
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
        let (Some(sync), slot) = (entry.sync, entry.channel) else { return false };
        let Some(connection) = self.connections.get(entry.connection) else { return false };
        let (Some(transport), false) = (connection.transport, connection.congested) else {
            // It goes on when the transport can take it.
            return false;
        };
        let format = connection.format;
        // What is gathered is older than the page: told later, it could take a member of the page
        // for one that subscribers do not know.
        self.tell_pending(slot, out);
        let Some(channel) = self.channels.get(slot) else { return false };
        let mut page = Page {
            limit: self.config.sync_page_members.max(1),
            bytes: self.config.sync_page_bytes,
            size: 0,
            members: Vec::new(),
        };
        let (action, serial, next) = match sync.next {
            Cursor::All(from) => {
                let next = page.fill_from(channel, from);
                let serial = stream::sync_serial(sync.sequence, next);
                (Action::Sync, Some(serial), next.map(Cursor::All))
            }
            Cursor::Own(first) => {
                let next = page.fill_with_own(channel, first);
                (Action::Presence, None, next.map(|next| Cursor::Own(Some(next))))
            }
        };
        if page.members.is_empty() && action == Action::Presence {
            // Those that were left to tell have gone.
            self.stop_sync(attachment);
            return false;
        }
        let mut frame = ProtocolMessage {
            channel: Some(channel.name.clone()),
            channel_serial: serial,
            ..ProtocolMessage::new(action)
        };
        let output = match format {
            Some(format) => Output::SendEncoded { transport, bytes: page.encode(&frame, format) },
            None => {
                frame.presence = page.messages();
                Output::Send { transport, frame }
            }
        };
        out.push(output);
        self.count_frame(1);
        let Some(next) = next else {
            self.stop_sync(attachment);
            if sync.again {
                self.start_sync(attachment, true);
            }
            return false;
        };
        if let Some(entry) = self.channels.attachment_mut(attachment) {
            entry.sync = Some(Sync { next, ..sync });
        }
        true
    }
}

/// A page of a sync: members, where they are kept.
struct Page<'a> {
    /// The most members and, once there is one, the most bytes.
    limit: usize,
    bytes: usize,
    size: usize,
    members: Vec<Member<'a>>,
}

impl<'a> Page<'a> {
    /// Adds a member of so many bytes if there is room for it.
    fn takes(&mut self, member: Member<'a>, bytes: usize) -> bool {
        let size = self.size.saturating_add(bytes + OVERHEAD);
        let is_empty = self.members.is_empty();
        if self.members.len() >= self.limit || (size > self.bytes && !is_empty) {
            return false;
        }
        self.size = size;
        self.members.push(member);
        true
    }

    /// Takes the members of a channel from a slot on, and tells where the next page starts.
    fn fill_from(&mut self, channel: &'a Channel, from: u32) -> Option<u32> {
        self.members.reserve(self.limit.min(channel.members.len()));
        let mut rest = channel.members.iter_from(from);
        let rest = rest.find(|(slot, member)| !self.takes(*member, channel.bytes_of(*slot)));
        rest.map(|(slot, _)| slot.number())
    }

    /// The same with those of one attachment.
    fn fill_with_own(&mut self, channel: &'a Channel, first: Option<Slot>) -> Option<Slot> {
        channel.own_from(first).find(|slot| {
            let member = channel.members.get(*slot);
            member.is_some_and(|member| !self.takes(member, channel.bytes_of(*slot)))
        })
    }

    fn messages(&self) -> Items<PresenceMessage> {
        self.members.iter().map(|member| member.to_message(PresenceAction::Present)).collect()
    }

    /// The bytes of a frame with these members.
    fn encode(&self, head: &ProtocolMessage, format: Format) -> Vec<u8> {
        // The size is that of JSON, nearly.
        let mut bytes = Vec::with_capacity(self.size.saturating_add(OVERHEAD));
        head.encode_with(format, self.members.iter(), &mut bytes);
        bytes
    }
}
