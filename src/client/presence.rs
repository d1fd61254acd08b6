//! Presence of a channel: members, syncs, `get` and subscriptions (RTP2, RTP11, RTP18, RTP19).

use super::cx::Cx;
use super::own_members::OwnMembers;
use super::subscriptions::{Actions, Subscribers, Subscriptions};
use super::{GetParams, Outcome, Output, Warning, errors, output};
use crate::members::{Incoming, MemberSet};
use crate::wire::{
    Action, ErrorInfo, Inherited, Items, PresenceAction, PresenceMessage, ProtocolMessage,
};
use crate::{OpId, SmolStr, SubscriptionId};
use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

/// A presence operation queued until its channel is attached (RTP16b).
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) op: OpId,
    pub(super) message: PresenceMessage,
    /// It was in flight on a lost connection: the server may have received and broadcast it.
    pub(super) was_in_flight: bool,
}

/// A presence message of the application that was in flight when the transport was lost, on a
/// resumed connection. It keeps its serial and waits for its channel to be attached (RTN19a2,
/// RTL3d2).
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) serial: i64,
    /// One for each presence message in the frame.
    pub(super) ops: Items<OpId>,
    pub(super) frame: Box<ProtocolMessage>,
}

/// Presence of a channel.
#[derive(Clone, Debug)]
pub(super) struct Presence {
    pub(super) members: MemberSet,
    pub(super) own: OwnMembers,
    /// The sequence id of the running sync; `None` before its first SYNC (RTP18a).
    sync_id: Option<SmolStr>,
    /// Whether the sync after the last attach is complete (RTP13).
    pub(super) sync_complete: bool,
    /// `get` operations that wait for the sync.
    pending_gets: Vec<(OpId, GetParams)>,
    subscriptions: Subscriptions,
    /// Operations to be sent when the channel is attached, oldest first.
    pub(super) queue: VecDeque<Queued>,
    /// Messages to be sent, with their serials, when the channel is attached; oldest first.
    pub(super) held: VecDeque<Held>,
    /// Operations of messages that lost their serial, about to be moved to the front of `queue`.
    pub(super) restored: VecDeque<Queued>,
}

impl Presence {
    pub(super) fn new(hash_seed: u64) -> Self {
        Self {
            members: MemberSet::new(hash_seed),
            own: OwnMembers::default(),
            sync_id: None,
            sync_complete: false,
            pending_gets: Vec::new(),
            subscriptions: Subscriptions::default(),
            queue: VecDeque::new(),
            held: VecDeque::new(),
            restored: VecDeque::new(),
        }
    }

    // ---- Frames

    /// Applies a PRESENCE or SYNC.
    // Not inlined: the loop is hot and needs the registers.
    #[inline(never)]
    pub(super) fn receive(&mut self, cx: &mut Cx<'_>, name: &SmolStr, frame: &mut ProtocolMessage) {
        let last_page = frame.action == Action::Sync
            && self.begin_page(frame.channel_serial.as_deref().unwrap_or_default());
        let ProtocolMessage { id, connection_id, timestamp, presence, .. } = frame;
        let mut inherited = Inherited {
            frame_id: id.as_ref(),
            index: 0,
            connection_id: connection_id.as_ref(),
            timestamp: timestamp.or(Some(cx.now.wall)),
        };
        for (index, message) in presence.iter_mut().enumerate() {
            inherited.index = index;
            if self.apply(cx, name, message, inherited)
                && let Some(subscriptions) = self.subscriptions.matching(message.action)
            {
                inherited.complete(message);
                let (channel, subscriptions) = (name.clone(), subscriptions.clone());
                cx.out.push_with(|| {
                    let message = message.take();
                    Output::Presence(output::Presence { channel, message, subscriptions })
                });
            }
        }
        if last_page {
            self.sync_id = None;
            self.sync_complete = true;
            let Self { members, subscriptions, .. } = self;
            members.end_sync(cx.now.wall, |leave| deliver(cx, name, subscriptions, leave));
            self.complete_gets(cx);
        }
    }

    /// Begins a page of a sync, and a new sync if necessary (RTP18). `true` for the last page.
    fn begin_page(&mut self, serial: &str) -> bool {
        // Without a serial the page is the whole sync (RTP18c).
        let (id, cursor) = serial.split_once(':').unwrap_or_default();
        let continues = self.members.is_syncing()
            && self.sync_id.as_deref().is_none_or(|current| current == id && !id.is_empty());
        if !continues {
            self.members.start_sync();
        }
        if self.sync_id.as_deref() != Some(id) {
            self.sync_id = Some(id.into());
        }
        cursor.is_empty()
    }

    /// Applies a message. `true` if it must be delivered to subscribers.
    fn apply(
        &mut self,
        cx: &mut Cx<'_>,
        name: &SmolStr,
        message: &mut PresenceMessage,
        inherited: Inherited<'_>,
    ) -> bool {
        // RSL6b: delivered with the remaining encodings.
        let undecoded = message.encoding.is_some() && message.decode_data().is_err();
        let known = !matches!(message.action, PresenceAction::Absent | PresenceAction::Unknown(_));
        let Some(incoming) = Incoming::new(message, inherited).filter(|_| known) else {
            cx.warn(Warning::PresenceIgnored { channel: name.clone() });
            return false;
        };
        if undecoded {
            let encoding = message.encoding.clone().unwrap_or_default();
            cx.warn(Warning::DataNotDecoded { channel: name.clone(), encoding });
        }
        // RTP17b
        if cx.connection.id.as_ref() == Some(incoming.connection_id())
            && !self.own.apply(
                incoming.client_id(),
                incoming.to_message(),
                cx.options.limits.own_members,
            )
        {
            let channel = name.clone();
            cx.warn(Warning::LimitReached { channel, limit: "own_members" });
        }
        if self.members.stored() >= cx.options.limits.members && !self.members.contains(&incoming) {
            let channel = name.clone();
            cx.warn(Warning::LimitReached { channel, limit: "members" });
            return false;
        }
        self.members.apply_incoming(&incoming)
    }

    // ---- Channel states

    /// ATTACHED: a sync follows, or without HAS_PRESENCE all members leave (RTP1, RTP19a).
    pub(super) fn attached(&mut self, cx: &mut Cx<'_>, name: &SmolStr, has_presence: bool) {
        self.sync_id = None;
        self.sync_complete = !has_presence;
        if has_presence {
            self.members.start_sync();
        } else {
            let Self { members, subscriptions, .. } = self;
            members.leave_all(cx.now.wall, |leave| deliver(cx, name, subscriptions, leave));
            self.complete_gets(cx);
        }
    }

    /// The channel is DETACHED or FAILED: clears the members without LEAVE events (RTP5a).
    pub(super) fn reset(&mut self, cx: &mut Cx<'_>, error: &ErrorInfo) {
        self.members.clear();
        self.own.clear();
        self.sync_complete = false;
        self.fail_queue(cx, error);
        for (op, _) in core::mem::take(&mut self.pending_gets) {
            cx.fail(op, error.clone());
        }
    }

    /// The channel is SUSPENDED: keeps the members, so that the sync after the next attach delivers
    /// only the differences (RTP5f). That sync supersedes a running one.
    pub(super) fn suspended(&mut self, cx: &mut Cx<'_>, error: &ErrorInfo) {
        self.sync_complete = false;
        self.fail_queue(cx, error);
        for (op, _) in core::mem::take(&mut self.pending_gets) {
            cx.fail(op, errors::out_of_sync().with_cause(error.clone()));
        }
    }

    // ---- Operations

    /// `get` on an attached channel (RTP11).
    pub(super) fn get(&mut self, cx: &mut Cx<'_>, op: OpId, params: GetParams) {
        if !params.wait_for_sync || !self.members.is_syncing() {
            self.complete_get(cx, op, &params);
        } else if self.pending_gets.len() >= cx.options.limits.waiting_gets {
            cx.fail(op, errors::bad_request("too many calls of get wait for the sync"));
        } else {
            self.pending_gets.push((op, params));
        }
    }

    /// Ends a `get` with the members known now (RTP11c).
    pub(super) fn complete_get(&self, cx: &mut Cx<'_>, op: OpId, params: &GetParams) {
        let mut members = Vec::new();
        let on_connection = |connection_id: &SmolStr| {
            params.connection_id.as_ref().is_none_or(|wanted| wanted == connection_id)
        };
        if let Some(client_id) = &params.client_id {
            for member in self.members.of_client(client_id) {
                if on_connection(member.connection_id()) {
                    members.push(member.to_message(PresenceAction::Present));
                }
            }
        } else {
            for member in self.members.iter() {
                if on_connection(member.connection_id()) {
                    members.push(member.to_message(PresenceAction::Present));
                }
            }
        }
        cx.finish(op, Ok(Outcome::Members(members)));
    }

    fn complete_gets(&mut self, cx: &mut Cx<'_>) {
        for (op, params) in core::mem::take(&mut self.pending_gets) {
            self.complete_get(cx, op, &params);
        }
    }

    /// Adds a subscription (RTP6). If it includes PRESENT, it receives the present members first.
    /// `false` beyond the limit.
    pub(super) fn subscribe(
        &mut self,
        cx: &mut Cx<'_>,
        name: &SmolStr,
        subscription: SubscriptionId,
        actions: &[PresenceAction],
    ) -> bool {
        if self.subscriptions.len() >= cx.options.limits.subscriptions
            && !self.subscriptions.contains(subscription)
        {
            return false;
        }
        let actions = Actions::new(actions);
        self.subscriptions.insert(subscription, actions);
        if actions.contains(PresenceAction::Present) {
            let subscriber = Subscribers::one(subscription);
            for member in self.members.iter() {
                let message = member.to_message(PresenceAction::Present);
                cx.out.push(Output::presence(name.clone(), message, subscriber.clone()));
            }
        }
        true
    }

    /// Removes a subscription, or all (RTP7). `false` if there is no such subscription.
    pub(super) fn unsubscribe(&mut self, subscription: Option<SubscriptionId>) -> bool {
        self.subscriptions.remove(subscription)
    }
}

/// Delivers an event to the subscriptions that include its action (RTP6).
fn deliver(
    cx: &mut Cx<'_>,
    name: &SmolStr,
    subscriptions: &Subscriptions,
    message: PresenceMessage,
) {
    if let Some(subscriptions) = subscriptions.matching(message.action) {
        cx.out.push(Output::presence(name.clone(), message, subscriptions.clone()));
    }
}
