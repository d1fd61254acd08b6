//! The application of a client, and the trace lines of what it passes in and receives.

use crate::trace::{Item, Reason, Trace};
use presence_proto::OpId;
use presence_proto::client::{Input, Outcome, Output, input, output};
use presence_proto::wire::{ErrorInfo, PresenceAction, PresenceMessage};
use std::collections::BTreeMap;

/// The outputs that an application has received, and the counter of its operations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Application {
    events: Vec<Output>,
    results: BTreeMap<OpId, Result<Outcome, ErrorInfo>>,
    /// Outputs are not stored.
    discarding: bool,
    ops: u64,
}

impl Application {
    pub(crate) fn receive(&mut self, output: Output) {
        if self.discarding {
            return;
        }
        if let Output::Done(output::Done { op, result, .. }) = &output {
            self.results.insert(*op, result.clone());
        }
        self.events.push(output);
    }

    /// Discards stored and future outputs.
    pub(crate) fn discard(&mut self) {
        *self = Self { discarding: true, ops: self.ops, ..Self::default() };
    }

    pub(crate) fn take_events(&mut self) -> Vec<Output> {
        core::mem::take(&mut self.events)
    }

    pub(crate) fn result(&self, op: OpId) -> Option<&Result<Outcome, ErrorInfo>> {
        self.results.get(&op)
    }

    /// The number of the next operation, counted from 1.
    pub(crate) const fn next_op(&mut self) -> OpId {
        self.ops += 1;
        OpId(self.ops)
    }
}

/// Traces an input that an application passes in.
pub(crate) fn log_input(trace: &mut Trace, at: u64, name: &str, input: &Input) {
    let mut log = |what: core::fmt::Arguments<'_>| trace.line(at, format_args!("{name} < {what}"));
    match input {
        Input::Presence(input::Presence { op, channel, change, .. }) => {
            let mut item = PresenceMessage::new(change.action);
            item.client_id.clone_from(&change.client_id);
            item.data.clone_from(&change.data);
            log(format_args!("{} {channel} (op {})", Item(&item), op.0));
        }
        Input::Attach(input::Attach { op, channel, .. }) => {
            log(format_args!("attach {channel} (op {})", op.0))
        }
        Input::Detach(input::Detach { op, channel, .. }) => {
            log(format_args!("detach {channel} (op {})", op.0))
        }
        Input::Release(input::Release { op, channel, .. }) => {
            log(format_args!("release {channel} (op {})", op.0))
        }
        Input::Get(input::Get { op, channel, .. }) => {
            log(format_args!("get {channel} (op {})", op.0))
        }
        Input::Subscribe(input::Subscribe { op, channel, .. }) => {
            log(format_args!("subscribe {channel} (op {})", op.0));
        }
        Input::SetOptions(input::SetOptions { op, channel, .. }) => {
            log(format_args!("set options {channel} (op {})", op.0));
        }
        Input::Ping(input::Ping { op, .. }) => log(format_args!("ping (op {})", op.0)),
        Input::Connect => log(format_args!("connect")),
        Input::Close => log(format_args!("close")),
        Input::NetworkLost => log(format_args!("network lost")),
        Input::NetworkAvailable => log(format_args!("network available")),
        Input::Authorize(input::Authorize { op, .. }) => {
            log(format_args!("authorize (op {})", op.0))
        }
        other => log(format_args!("{other:?}")),
    }
}

/// Traces an output that an application receives.
pub(crate) fn log_output(trace: &mut Trace, at: u64, name: &str, output: &Output) {
    let mut log = |what: core::fmt::Arguments<'_>| trace.line(at, format_args!("{name} | {what}"));
    match output {
        Output::Connection(change) => match &change.reason {
            Some(reason) => {
                log(format_args!("connection {} {}", change.event.name(), Reason(reason)));
            }
            None => log(format_args!("connection {}", change.event.name())),
        },
        Output::Channel(output::Channel { channel, change, .. }) => {
            let resumed = if change.resumed { " resumed" } else { "" };
            match &change.reason {
                Some(reason) => log(format_args!(
                    "channel {channel} {}{resumed} {}",
                    change.event.name(),
                    Reason(reason)
                )),
                None => log(format_args!("channel {channel} {}{resumed}", change.event.name())),
            }
        }
        Output::Presence(output::Presence { channel, message, .. }) => {
            let present = if message.action == PresenceAction::Present { "present " } else { "" };
            log(format_args!("{channel}: {present}{}", Item(message)));
        }
        Output::Done(output::Done { op, result: Ok(Outcome::Members(members)), .. }) => {
            log(format_args!("op {}: {} members", op.0, members.len()));
        }
        Output::Done(output::Done { op, result: Ok(_), .. }) => {
            log(format_args!("op {}: done", op.0))
        }
        Output::Done(output::Done { op, result: Err(error), .. }) => {
            log(format_args!("op {}: failed {}", op.0, Reason(error)));
        }
        Output::Warning(warning) => log(format_args!("warning: {warning:?}")),
        other => log(format_args!("{other:?}")),
    }
}
