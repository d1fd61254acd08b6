//! A client from its application's point of view.

use crate::application::log_input;
use crate::hosts::ClientHost;
use crate::world::World;
use presence_proto::client::{
    ChannelOptions, ChannelState, Client, ConnectionState, GetParams, Input, Outcome, Output,
    PresenceChange, output,
};
use presence_proto::wire::{Data, ErrorInfo, PresenceAction, PresenceMessage};
use presence_proto::{OpId, SmolStr, SubscriptionId};

impl World {
    /// Gives access to a client in the role of its application.
    ///
    /// # Panics
    ///
    /// If there is no client with this number.
    pub fn client(&mut self, number: usize) -> SimClient<'_> {
        assert!(number < self.clients.len(), "no client has the number {number}");
        SimClient { world: self, number }
    }
}

/// A client of a [`World`], from the point of view of its application:
/// [`World::client`] returns it.
///
/// Methods that change something pass one input to the client at the current virtual time. The
/// frames that the client sends arrive when the clock of the world advances. Methods that return an
/// [`OpId`] start an operation; its [`result`](Self::result) is available when the operation has
/// ended.
#[derive(Debug)]
pub struct SimClient<'a> {
    world: &'a mut World,
    number: usize,
}

impl SimClient<'_> {
    /// Opens the connection.
    pub fn connect(&mut self) {
        self.input(Input::Connect);
    }

    /// Closes the connection; its members leave at once.
    pub fn close(&mut self) {
        self.input(Input::Close);
    }

    /// Attaches a channel.
    pub fn attach(&mut self, channel: &str) -> OpId {
        self.op(|op| Input::attach(op, channel))
    }

    /// Detaches a channel.
    pub fn detach(&mut self, channel: &str) -> OpId {
        self.op(|op| Input::detach(op, channel))
    }

    /// Detaches a channel if necessary, and removes it from the client (RTS4).
    pub fn release(&mut self, channel: &str) -> OpId {
        self.op(|op| Input::release(op, channel))
    }

    /// Sets the options of a channel (RTL16).
    pub fn set_options(&mut self, channel: &str, options: ChannelOptions) -> OpId {
        self.op(|op| Input::set_options(op, channel, options))
    }

    /// Subscribes to all presence events of a channel. Attaches the channel, unless its options
    /// prevent that (RTP6d).
    pub fn subscribe(&mut self, channel: &str) -> OpId {
        self.op(|op| Input::subscribe(op, channel, SubscriptionId(op.0)))
    }

    /// Enters the client's own member, with text as its data or, if `data` is empty, without data
    /// (RTP8). Attaches the channel if necessary.
    pub fn enter(&mut self, channel: &str, data: &str) -> OpId {
        self.op(|op| Input::enter(op, channel, text(data)))
    }

    /// Updates the data of the client's own member (RTP9). Enters it if it is not present.
    pub fn update(&mut self, channel: &str, data: &str) -> OpId {
        self.op(|op| Input::update(op, channel, text(data)))
    }

    /// Lets the client's own member leave (RTP10).
    pub fn leave(&mut self, channel: &str) -> OpId {
        self.op(|op| Input::leave(op, channel, None))
    }

    /// Starts any presence operation, for example for another client id or with binary data.
    pub fn presence(&mut self, channel: &str, change: PresenceChange) -> OpId {
        self.op(|op| Input::presence(op, channel, change))
    }

    /// Gets the members of a channel when its sync is complete (RTP11). They are the
    /// [`result`](Self::result) of the operation.
    pub fn get(&mut self, channel: &str) -> OpId {
        self.op(|op| Input::get(op, channel))
    }

    /// Gets the members of a channel that match the parameters (RTP11c).
    pub fn get_with(&mut self, channel: &str, params: GetParams) -> OpId {
        self.op(|op| Input::get_with(op, channel, params))
    }

    /// Measures the round trip time (RTN13).
    pub fn ping(&mut self) -> OpId {
        self.op(Input::ping)
    }

    /// Passes any input to the client. The caller chooses the operation id, if there is one; the
    /// other methods count ids from 1. See [`op`](Self::op).
    pub fn input(&mut self, input: Input) {
        if self.world.trace.is_enabled() {
            let at = self.world.now;
            log_input(
                &mut self.world.trace,
                at,
                self.world.clients[self.number].name.as_str(),
                &input,
            );
        }
        self.world.client_input(self.number, input);
    }

    /// Starts an operation: calls `input` with the next operation id, passes in the result, and
    /// returns the id.
    pub fn op(&mut self, input: impl FnOnce(OpId) -> Input) -> OpId {
        let op = self.world.clients[self.number].application.next_op();
        self.input(input(op));
        op
    }

    /// The result of an operation, or `None` while it is running.
    #[must_use]
    pub fn result(&self, op: OpId) -> Option<&Result<Outcome, ErrorInfo>> {
        self.host().application.result(op)
    }

    /// Discards results and events from now on. For checkers that read
    /// [the calls](World::take_calls) instead.
    pub fn discard_events(&mut self) {
        self.world.clients[self.number].application.discard();
    }

    /// Removes and returns the outputs for the application since the last time, oldest first:
    /// connection, channel and presence events, and results.
    pub fn events(&mut self) -> Vec<Output> {
        self.world.clients[self.number].application.take_events()
    }

    /// Removes and returns the presence events among [`events`](Self::events), as the action, the
    /// client id, and the data if it is text. Discards all other outputs.
    pub fn presence_events(&mut self) -> Vec<(PresenceAction, SmolStr, Option<SmolStr>)> {
        let events = self.events().into_iter();
        events
            .filter_map(|event| match event {
                Output::Presence(output::Presence { message, .. }) => Some(summary(&message)),
                _ => None,
            })
            .collect()
    }

    /// The members of a channel that this client knows, sorted by client id and connection id.
    /// During a sync they may be incomplete.
    #[must_use]
    pub fn members(&self, channel: &str) -> Vec<PresenceMessage> {
        let mut members: Vec<PresenceMessage> = match self.core().channel(channel) {
            Some(view) => {
                view.members().map(|member| member.to_message(PresenceAction::Present)).collect()
            }
            None => Vec::new(),
        };
        members.sort_by(|a, b| {
            (&a.client_id, &a.connection_id).cmp(&(&b.client_id, &b.connection_id))
        });
        members
    }

    /// The client ids of [`members`](Self::members), sorted. A client id that is present on several
    /// connections occurs several times.
    #[must_use]
    pub fn present(&self, channel: &str) -> Vec<SmolStr> {
        self.members(channel).into_iter().filter_map(|member| member.client_id).collect()
    }

    /// The state of the connection.
    #[must_use]
    pub fn connection_state(&self) -> ConnectionState {
        self.core().connection().state()
    }

    /// The state of a channel; INITIALIZED if the client has no such channel.
    #[must_use]
    pub fn channel_state(&self, channel: &str) -> ChannelState {
        self.core().channel(channel).map(|view| view.state()).unwrap_or_default()
    }

    /// The client half.
    #[must_use]
    pub fn core(&self) -> &Client {
        &self.host().core
    }

    fn host(&self) -> &ClientHost {
        &self.world.clients[self.number]
    }
}

fn text(data: &str) -> Option<Data> {
    (!data.is_empty()).then(|| Data::String(data.into()))
}

fn summary(message: &PresenceMessage) -> (PresenceAction, SmolStr, Option<SmolStr>) {
    let data = match &message.data {
        Some(Data::String(text)) => Some(text.clone()),
        _ => None,
    };
    (message.action, message.client_id.clone().unwrap_or_default(), data)
}
