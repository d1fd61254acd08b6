//! A client as its application uses it.

use crate::application::ask;
use crate::world::{Peer, World};
use presence_proto::client::{
    ChannelOptions, ChannelState, Client, ConnectionState, GetParams, Input, Outcome, Output,
    PresenceChange, output,
};
use presence_proto::wire::{Data, ErrorInfo, PresenceAction, PresenceMessage};
use presence_proto::{OpId, SmolStr, SubscriptionId};

impl World {
    /// A client, to use it as its application does.
    ///
    /// # Panics
    ///
    /// If there is no client of this number.
    pub fn client(&mut self, number: usize) -> ClientHandle<'_> {
        assert!(number < self.clients.len(), "there is no client {number}");
        ClientHandle { world: self, number }
    }

    /// The client half of a client.
    ///
    /// # Panics
    ///
    /// If there is no client of this number.
    #[must_use]
    pub fn client_core(&self, number: usize) -> &Client {
        &self.clients[number].core
    }
}

/// A client of a [`World`], to use it as its application does.
///
/// Each method hands one input to the client at the present virtual time. What the client then
/// sends arrives when the world moves on.
#[derive(Debug)]
pub struct ClientHandle<'a> {
    world: &'a mut World,
    number: usize,
}

impl ClientHandle<'_> {
    /// Connects.
    pub fn connect(&mut self) {
        self.input(Input::Connect);
    }

    /// Keeps no events and results from here on: for a checker that reads the calls instead.
    pub fn ignore_events(&mut self) {
        if let Some(peer) = self.world.clients.get_mut(self.number) {
            peer.application.ignore();
        }
    }

    /// Closes the connection.
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

    /// Releases a channel.
    pub fn release(&mut self, channel: &str) -> OpId {
        self.op(|op| Input::release(op, channel))
    }

    /// Sets the options of a channel.
    pub fn set_options(&mut self, channel: &str, options: ChannelOptions) -> OpId {
        self.op(|op| Input::set_options(op, channel, options))
    }

    /// Subscribes to all presence events of a channel, which attaches it.
    pub fn subscribe(&mut self, channel: &str) -> OpId {
        self.op(|op| Input::subscribe(op, channel, SubscriptionId(op.0)))
    }

    /// Enters the client's own member.
    pub fn enter(&mut self, channel: &str, data: &str) -> OpId {
        self.op(|op| Input::enter(op, channel, text(data)))
    }

    /// Updates the client's own member.
    pub fn update(&mut self, channel: &str, data: &str) -> OpId {
        self.op(|op| Input::update(op, channel, text(data)))
    }

    /// The client's own member leaves.
    pub fn leave(&mut self, channel: &str) -> OpId {
        self.op(|op| Input::leave(op, channel, None))
    }

    /// Any presence operation.
    pub fn presence(&mut self, channel: &str, change: PresenceChange) -> OpId {
        self.op(|op| Input::presence(op, channel, change))
    }

    /// Asks who is present, once in sync. The answer is the [`result`](Self::result) of the
    /// operation.
    pub fn get(&mut self, channel: &str) -> OpId {
        self.op(|op| Input::get(op, channel))
    }

    /// Asks who is present.
    pub fn get_with(&mut self, channel: &str, params: GetParams) -> OpId {
        self.op(|op| Input::get_with(op, channel, params))
    }

    /// Measures the round trip time.
    pub fn ping(&mut self) -> OpId {
        self.op(Input::ping)
    }

    /// Hands any input to the client. Operation numbers are the caller's business; the other
    /// methods count from 1.
    pub fn input(&mut self, input: Input) {
        if self.world.trace.is_on() {
            let at = self.world.now;
            ask(&mut self.world.trace, at, self.world.clients[self.number].name.as_str(), &input);
        }
        self.world.client_input(self.number, input);
    }

    /// How an operation ended, if it has.
    #[must_use]
    pub fn result(&self, op: OpId) -> Option<&Result<Outcome, ErrorInfo>> {
        self.peer().application.result(op)
    }

    /// Takes out what the application has heard since the last time: events of the connection, of
    /// channels and of presence, and outcomes.
    pub fn events(&mut self) -> Vec<Output> {
        self.world.clients[self.number].application.take_events()
    }

    /// Takes out the presence events among [`events`](Self::events) (the others are dropped): the
    /// action, the client id and the data if it is text.
    pub fn presence_events(&mut self) -> Vec<(PresenceAction, SmolStr, Option<SmolStr>)> {
        let events = self.events().into_iter();
        events
            .filter_map(|event| match event {
                Output::Presence(output::Presence { message, .. }) => Some(brief(&message)),
                _ => None,
            })
            .collect()
    }

    /// Who is present on a channel as far as this client knows, sorted by client id.
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

    /// The client ids among [`members`](Self::members).
    #[must_use]
    pub fn present(&self, channel: &str) -> Vec<SmolStr> {
        self.members(channel).into_iter().filter_map(|member| member.client_id).collect()
    }

    /// The state of the connection.
    #[must_use]
    pub fn connection_state(&self) -> ConnectionState {
        self.core().connection().state()
    }

    /// The state of a channel; INITIALIZED if the client does not know it.
    #[must_use]
    pub fn channel_state(&self, channel: &str) -> ChannelState {
        self.core().channel(channel).map(|view| view.state()).unwrap_or_default()
    }

    /// The client itself.
    #[must_use]
    pub fn core(&self) -> &Client {
        &self.peer().core
    }

    fn peer(&self) -> &Peer {
        &self.world.clients[self.number]
    }

    /// Any operation, under the next number.
    pub fn op(&mut self, input: impl FnOnce(OpId) -> Input) -> OpId {
        let op = self.world.clients[self.number].application.next_op();
        self.input(input(op));
        op
    }
}

fn text(data: &str) -> Option<Data> {
    (!data.is_empty()).then(|| Data::String(data.into()))
}

fn brief(message: &PresenceMessage) -> (PresenceAction, SmolStr, Option<SmolStr>) {
    let data = match &message.data {
        Some(Data::String(text)) => Some(text.clone()),
        _ => None,
    };
    (message.action, message.client_id.clone().unwrap_or_default(), data)
}
