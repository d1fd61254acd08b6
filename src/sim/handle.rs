//! A client as its application uses it.

use super::trace::{Item, Reason, Trace};
use super::world::World;
use crate::client::{
    ChannelOptions, ChannelState, Client, ConnectionState, GetParams, Input, Outcome, Output,
    PresenceChange,
};
use crate::wire::{Data, ErrorInfo, PresenceAction, PresenceMessage};
use crate::{OpId, SmolStr, SubscriptionId};
use alloc::{collections::BTreeMap, vec::Vec};

/// What an application has heard of its client.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    events: Vec<Output>,
    results: BTreeMap<OpId, Result<Outcome, ErrorInfo>>,
    /// Events are kept for the application only if it asks for them.
    deaf: bool,
}

impl Heard {
    pub(super) fn take_in(&mut self, output: Output) {
        if self.deaf {
            return;
        }
        if let Output::Done { op, result } = &output {
            self.results.insert(*op, result.clone());
        }
        self.events.push(output);
    }

    pub(super) fn stop(&mut self) {
        *self = Self { deaf: true, ..Self::default() };
    }
}

/// A client of a [`World`], to use it as its application does.
///
/// Each method hands one input to the client at the present virtual time. What the client then
/// sends arrives when the world moves on.
#[derive(Debug)]
pub struct ClientHandle<'a> {
    pub(super) world: &'a mut World,
    pub(super) number: usize,
}

impl ClientHandle<'_> {
    /// Connects.
    pub fn connect(&mut self) {
        self.input(Input::Connect);
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
        self.op(|op| Input::Release { op, channel: channel.into() })
    }

    /// Sets the options of a channel.
    pub fn set_options(&mut self, channel: &str, options: ChannelOptions) -> OpId {
        self.op(|op| Input::SetOptions { op, channel: channel.into(), options })
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
        self.op(|op| Input::Get { op, channel: channel.into(), params })
    }

    /// Measures the round trip time.
    pub fn ping(&mut self) -> OpId {
        self.op(|op| Input::Ping { op })
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
        self.peer().heard.results.get(&op)
    }

    /// Takes out what the application has heard since the last time: events of the connection, of
    /// channels and of presence, and outcomes.
    pub fn events(&mut self) -> Vec<Output> {
        core::mem::take(&mut self.world.clients[self.number].heard.events)
    }

    /// Takes out the presence events among [`events`](Self::events) (the others are dropped): the
    /// action, the client id and the data if it is text.
    pub fn presence_events(&mut self) -> Vec<(PresenceAction, SmolStr, Option<SmolStr>)> {
        let events = self.events().into_iter();
        events
            .filter_map(|event| match event {
                Output::Presence { message, .. } => Some(brief(&message)),
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

    fn peer(&self) -> &super::world::Peer {
        &self.world.clients[self.number]
    }

    fn op(&mut self, input: impl FnOnce(OpId) -> Input) -> OpId {
        let peer = &mut self.world.clients[self.number];
        let op = OpId(peer.next_op);
        peer.next_op += 1;
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

/// A line for what an application asks of its client.
fn ask(trace: &mut Trace, at: u64, name: &str, input: &Input) {
    let mut say = |what: core::fmt::Arguments<'_>| trace.line(at, format_args!("{name} < {what}"));
    match input {
        Input::Presence { op, channel, change } => {
            let mut item = PresenceMessage::new(change.action);
            item.client_id.clone_from(&change.client_id);
            item.data.clone_from(&change.data);
            say(format_args!("{} {channel} (op {})", Item(&item), op.0));
        }
        Input::Attach { op, channel } => say(format_args!("attach {channel} (op {})", op.0)),
        Input::Detach { op, channel } => say(format_args!("detach {channel} (op {})", op.0)),
        Input::Release { op, channel } => say(format_args!("release {channel} (op {})", op.0)),
        Input::Get { op, channel, .. } => say(format_args!("get {channel} (op {})", op.0)),
        Input::Subscribe { op, channel, .. } => {
            say(format_args!("subscribe {channel} (op {})", op.0));
        }
        Input::SetOptions { op, channel, .. } => {
            say(format_args!("set options {channel} (op {})", op.0));
        }
        Input::Ping { op } => say(format_args!("ping (op {})", op.0)),
        Input::Connect => say(format_args!("connect")),
        Input::Close => say(format_args!("close")),
        Input::NetworkLost => say(format_args!("network lost")),
        Input::NetworkAvailable => say(format_args!("network available")),
        Input::Authorize { op, .. } => say(format_args!("authorize (op {})", op.0)),
        other => say(format_args!("{other:?}")),
    }
}

/// A line for what a client tells its application.
pub(super) fn tell(trace: &mut Trace, at: u64, name: &str, output: &Output) {
    let mut say = |what: core::fmt::Arguments<'_>| trace.line(at, format_args!("{name} | {what}"));
    match output {
        Output::Connection(change) => match &change.reason {
            Some(reason) => {
                say(format_args!("connection {} {}", change.event.name(), Reason(reason)));
            }
            None => say(format_args!("connection {}", change.event.name())),
        },
        Output::Channel { channel, change } => {
            let resumed = if change.resumed { " resumed" } else { "" };
            match &change.reason {
                Some(reason) => say(format_args!(
                    "channel {channel} {}{resumed} {}",
                    change.event.name(),
                    Reason(reason)
                )),
                None => say(format_args!("channel {channel} {}{resumed}", change.event.name())),
            }
        }
        Output::Presence { channel, message } | Output::PresenceFor { channel, message, .. } => {
            let present = if message.action == PresenceAction::Present { "present " } else { "" };
            say(format_args!("{channel}: {present}{}", Item(message)));
        }
        Output::Done { op, result: Ok(Outcome::Members(members)) } => {
            say(format_args!("op {}: {} members", op.0, members.len()));
        }
        Output::Done { op, result: Ok(_) } => say(format_args!("op {}: done", op.0)),
        Output::Done { op, result: Err(error) } => {
            say(format_args!("op {}: failed {}", op.0, Reason(error)));
        }
        Output::Warning(warning) => say(format_args!("warning: {warning:?}")),
        other => say(format_args!("{other:?}")),
    }
}
