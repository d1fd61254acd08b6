//! The application of a client: what passes between the two.

use crate::trace::{Item, Reason, Trace};
use presence_proto::OpId;
use presence_proto::client::{Input, Outcome, Output, input, output};
use presence_proto::wire::{ErrorInfo, PresenceAction, PresenceMessage};
use std::collections::BTreeMap;

/// What an application has heard of its client, and how it numbers its operations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Application {
    events: Vec<Output>,
    results: BTreeMap<OpId, Result<Outcome, ErrorInfo>>,
    /// Events are kept only for an application that asks for them.
    deaf: bool,
    ops: u64,
}

impl Application {
    pub(crate) fn take_in(&mut self, output: Output) {
        if self.deaf {
            return;
        }
        if let Output::Done(output::Done { op, result, .. }) = &output {
            self.results.insert(*op, result.clone());
        }
        self.events.push(output);
    }

    /// Keeps nothing of what comes from here on.
    pub(crate) fn ignore(&mut self) {
        *self = Self { deaf: true, ops: self.ops, ..Self::default() };
    }

    pub(crate) fn take_events(&mut self) -> Vec<Output> {
        core::mem::take(&mut self.events)
    }

    pub(crate) fn result(&self, op: OpId) -> Option<&Result<Outcome, ErrorInfo>> {
        self.results.get(&op)
    }

    /// The number of the next operation, from 1.
    pub(crate) const fn next_op(&mut self) -> OpId {
        self.ops += 1;
        OpId(self.ops)
    }
}

/// A line for what an application asks of its client.
pub(crate) fn ask(trace: &mut Trace, at: u64, name: &str, input: &Input) {
    let mut say = |what: core::fmt::Arguments<'_>| trace.line(at, format_args!("{name} < {what}"));
    match input {
        Input::Presence(input::Presence { op, channel, change, .. }) => {
            let mut item = PresenceMessage::new(change.action);
            item.client_id.clone_from(&change.client_id);
            item.data.clone_from(&change.data);
            say(format_args!("{} {channel} (op {})", Item(&item), op.0));
        }
        Input::Attach(input::Attach { op, channel, .. }) => {
            say(format_args!("attach {channel} (op {})", op.0))
        }
        Input::Detach(input::Detach { op, channel, .. }) => {
            say(format_args!("detach {channel} (op {})", op.0))
        }
        Input::Release(input::Release { op, channel, .. }) => {
            say(format_args!("release {channel} (op {})", op.0))
        }
        Input::Get(input::Get { op, channel, .. }) => {
            say(format_args!("get {channel} (op {})", op.0))
        }
        Input::Subscribe(input::Subscribe { op, channel, .. }) => {
            say(format_args!("subscribe {channel} (op {})", op.0));
        }
        Input::SetOptions(input::SetOptions { op, channel, .. }) => {
            say(format_args!("set options {channel} (op {})", op.0));
        }
        Input::Ping(input::Ping { op, .. }) => say(format_args!("ping (op {})", op.0)),
        Input::Connect => say(format_args!("connect")),
        Input::Close => say(format_args!("close")),
        Input::NetworkLost => say(format_args!("network lost")),
        Input::NetworkAvailable => say(format_args!("network available")),
        Input::Authorize(input::Authorize { op, .. }) => {
            say(format_args!("authorize (op {})", op.0))
        }
        other => say(format_args!("{other:?}")),
    }
}

/// A line for what a client tells its application.
pub(crate) fn tell(trace: &mut Trace, at: u64, name: &str, output: &Output) {
    let mut say = |what: core::fmt::Arguments<'_>| trace.line(at, format_args!("{name} | {what}"));
    match output {
        Output::Connection(change) => match &change.reason {
            Some(reason) => {
                say(format_args!("connection {} {}", change.event.name(), Reason(reason)));
            }
            None => say(format_args!("connection {}", change.event.name())),
        },
        Output::Channel(output::Channel { channel, change, .. }) => {
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
        Output::Presence(output::Presence { channel, message, .. }) => {
            let present = if message.action == PresenceAction::Present { "present " } else { "" };
            say(format_args!("{channel}: {present}{}", Item(message)));
        }
        Output::Done(output::Done { op, result: Ok(Outcome::Members(members)), .. }) => {
            say(format_args!("op {}: {} members", op.0, members.len()));
        }
        Output::Done(output::Done { op, result: Ok(_), .. }) => {
            say(format_args!("op {}: done", op.0))
        }
        Output::Done(output::Done { op, result: Err(error), .. }) => {
            say(format_args!("op {}: failed {}", op.0, Reason(error)));
        }
        Output::Warning(warning) => say(format_args!("warning: {warning:?}")),
        other => say(format_args!("{other:?}")),
    }
}
