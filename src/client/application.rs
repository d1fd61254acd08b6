//! Operations of the application. Each has exactly one outcome.

use super::channel::{Channel, Waiter};
use super::cx::Cx;
use super::operations::Origin;
use super::{ChannelState, Client, ConnectionState, Misuse, Outbox, Outcome, Output, errors};
use crate::wire::{Action, ErrorInfo, Items, ProtocolMessage};
use crate::{OpId, SmolStr, SubscriptionId};
use alloc::boxed::Box;

impl Client {
    /// Counts an operation as pending. Fails it and returns `false` beyond the limit.
    pub(super) fn admit(&mut self, op: OpId, out: &mut Outbox) -> bool {
        self.operations.pending = self.operations.pending.saturating_add(1);
        let admitted = self.operations.pending <= self.options.limits.pending_operations;
        if !admitted {
            let error = errors::bad_request("too many operations have no outcome yet");
            self.operations.finish(op, Err(error), out);
        }
        admitted
    }

    /// Calls `f` with a channel. Creates the channel if it does not exist (RTS3a).
    pub(super) fn on_channel(
        &mut self,
        op: OpId,
        name: &SmolStr,
        out: &mut Outbox,
        f: impl FnOnce(&mut Channel, &mut Cx<'_>),
    ) {
        let (limit, seed) = (self.options.limits.channels, self.hash_seed);
        let opened = if name.is_empty() {
            Err("a channel needs a name")
        } else {
            let make = || Channel::new(name.clone(), seed);
            self.channels.get_or_insert(name, limit, make).ok_or("too many channels")
        };
        match opened {
            Ok(key) => self.with_channel(key, out, f),
            Err(error) => self.operations.finish(op, Err(errors::bad_request(error)), out),
        }
    }

    /// Calls `f` with an existing channel. Otherwise the operation succeeds: there is nothing to
    /// detach or release (RTL5a).
    pub(super) fn off_channel(
        &mut self,
        op: OpId,
        name: &SmolStr,
        out: &mut Outbox,
        f: impl FnOnce(&mut Channel, &mut Cx<'_>),
    ) {
        match self.channels.key(name) {
            Some(key) => self.with_channel(key, out, f),
            None => self.operations.finish(op, Ok(Outcome::Done), out),
        }
    }

    pub(super) fn unsubscribe(
        &mut self,
        channel: SmolStr,
        subscription: Option<SubscriptionId>,
        out: &mut Outbox,
    ) {
        let mut found = subscription.is_none();
        if let Some(key) = self.channels.key(&channel) {
            self.with_channel(key, out, |channel, _| {
                found = channel.presence.unsubscribe(subscription);
            });
        }
        if let (false, Some(subscription)) = (found, subscription) {
            out.push(Output::Misuse(Misuse::UnknownSubscription { channel, subscription }));
        }
    }

    /// Sends or queues a frame of the application (RTL6c).
    pub(super) fn send_for_application(
        &mut self,
        op: OpId,
        mut frame: Box<ProtocolMessage>,
        out: &mut Outbox,
    ) {
        frame.msg_serial = None;
        if let Some(error) = self.send_error(&frame) {
            return self.operations.finish(op, Err(error), out);
        }
        match self.connection.connected_transport() {
            Some(transport) => {
                self.operations.transmit(transport, frame, Origin::App(Items::one(op)), out);
            }
            None => self.operations.queue.push_back((op, frame)),
        }
    }

    /// The error for a frame that cannot be sent or queued (RTL6c).
    fn send_error(&self, frame: &ProtocolMessage) -> Option<ErrorInfo> {
        if !matches!(
            frame.action,
            Action::Message | Action::Object | Action::Annotation | Action::Unknown(_)
        ) {
            // The client itself sends all other actions.
            return Some(errors::bad_request("the application cannot send such a frame"));
        }
        let channel = frame.channel.as_deref().and_then(|name| self.channels.find(name));
        if let Some(channel) = channel
            && matches!(channel.state, ChannelState::Suspended | ChannelState::Failed)
        {
            // RTL6c4
            let error = || errors::channel_state("the channel is suspended or has failed");
            return Some(channel.error_reason.clone().unwrap_or_else(error));
        }
        let can_send = match self.connection.state {
            ConnectionState::Connected => true,
            // RTL6c2
            ConnectionState::Initialized
            | ConnectionState::Connecting
            | ConnectionState::Disconnected => self.options.queue_messages,
            _ => false,
        };
        (!can_send).then(|| {
            let error = || errors::not_connected(self.connection.state);
            self.connection.error_reason.clone().unwrap_or_else(error)
        })
    }
}

impl Channel {
    /// Adds a subscription (RTP6). Attaches the channel unless its options forbid it (RTP6d,
    /// RTP6e).
    pub(super) fn subscribe(
        &mut self,
        cx: &mut Cx<'_>,
        op: OpId,
        subscription: SubscriptionId,
        actions: &[crate::wire::PresenceAction],
    ) {
        if !self.presence.subscribe(cx, &self.name, subscription, actions) {
            return cx.fail(op, errors::bad_request("too many subscriptions"));
        }
        match self.state {
            ChannelState::Initialized
            | ChannelState::Attaching
            | ChannelState::Detaching
            | ChannelState::Detached
                if self.options.attach_on_subscribe =>
            {
                self.attach(cx, Waiter::Op(op));
            }
            _ => cx.done(op),
        }
    }
}
