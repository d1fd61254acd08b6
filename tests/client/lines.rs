//! Inputs and outputs of a client as lines of text.

use crate::text::{action, frame_line, member, presence_line};
use core::fmt::Write as _;
use presence_proto::client::{ConnectionEvent, Input, Outcome, Output, input, output};

/// The lines with this prefix.
pub(crate) fn only(lines: &[String], prefix: &str) -> Vec<String> {
    lines.iter().filter(|line| line.starts_with(prefix)).cloned().collect()
}

pub(crate) fn input_line(input: &Input) -> String {
    match input {
        Input::Received(input::Received { frame, .. }) => frame_line(frame),
        Input::Opened(input::Opened { transport, .. }) => format!("transport {} open", transport.0),
        Input::OpenFailed(input::OpenFailed { transport, .. }) => {
            format!("transport {} failed", transport.0)
        }
        Input::Closed(input::Closed { transport, .. }) => {
            format!("transport {} closed", transport.0)
        }
        Input::Activity(input::Activity { transport, .. }) => {
            format!("transport {} ping", transport.0)
        }
        Input::Presence(input::Presence { op, channel, change, .. }) => {
            let mut line = format!("{} op {} {channel}", action(change.action), op.0);
            if let Some(client_id) = &change.client_id {
                let _ = write!(line, " of {client_id}");
            }
            if let Some(data) = &change.data {
                let _ = write!(line, " {data:?}");
            }
            line
        }
        Input::Attach(input::Attach { op, channel, .. }) => format!("attach op {} {channel}", op.0),
        Input::Detach(input::Detach { op, channel, .. }) => format!("detach op {} {channel}", op.0),
        Input::Release(input::Release { op, channel, .. }) => {
            format!("release op {} {channel}", op.0)
        }
        Input::Get(input::Get { op, channel, .. }) => format!("get op {} {channel}", op.0),
        Input::Subscribe(input::Subscribe { op, channel, .. }) => {
            format!("subscribe op {} {channel}", op.0)
        }
        Input::SetOptions(input::SetOptions { op, channel, .. }) => {
            format!("options op {} {channel}", op.0)
        }
        Input::Authorize(input::Authorize { op, .. }) => format!("authorize op {}", op.0),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// One output in one line.
pub(crate) fn output_line(output: &Output) -> String {
    match output {
        Output::Open(output::Open { transport, params, .. }) => {
            let mut line = format!("open {}", transport.0);
            for (name, value) in params {
                if !matches!(name.as_str(), "v" | "format" | "heartbeats" | "echo") {
                    let _ = write!(line, " {name}={value}");
                }
            }
            line
        }
        Output::Close(output::Close { transport, .. }) => format!("close {}", transport.0),
        Output::Send(output::Send { frame, .. }) => format!("send {}", frame_line(frame)),
        Output::Connection(change) => {
            let mut line = format!("connection {}", change.current.name());
            if change.event == ConnectionEvent::Update {
                line.push_str(" update");
            }
            if let Some(reason) = &change.reason {
                let _ = write!(line, " {}", reason.code);
                if let Some(cause) = &reason.cause {
                    let _ = write!(line, " by {}", cause.code);
                }
            }
            if let Some(delay) = change.retry_in {
                let _ = write!(line, " retry in {}", delay.as_millis());
            }
            line
        }
        Output::Channel(output::Channel { channel, change, .. }) => {
            let mut line = format!("channel {channel} {}", change.event.name());
            if change.resumed {
                line.push_str(" resumed");
            }
            if change.has_backlog {
                line.push_str(" backlog");
            }
            if let Some(reason) = &change.reason {
                let _ = write!(line, " {}", reason.code);
                if let Some(cause) = &reason.cause {
                    let _ = write!(line, " by {}", cause.code);
                }
            }
            line
        }
        Output::Presence(output::Presence { channel, message, subscriptions, .. }) => {
            let ids: Vec<String> = subscriptions.iter().map(|id| id.0.to_string()).collect();
            format!("presence {channel} for {} {}", ids.join(","), presence_line(message))
        }
        Output::Frame(frame) => format!("frame {}", frame_line(frame)),
        Output::Done(output::Done { op, result, .. }) => match result {
            Ok(Outcome::Members(members)) => {
                let mut members: Vec<String> = members.iter().map(member).collect();
                members.sort();
                format!("done {} [{}]", op.0, members.join(", "))
            }
            Ok(Outcome::Pong(time)) => format!("done {} pong {}", op.0, time.as_millis()),
            Ok(_) => format!("done {} ok", op.0),
            Err(error) => format!("done {} error {}", op.0, error.code),
        },
        Output::TokenRequired => "token required".into(),
        Output::Warning(warning) => format!("warning {warning:?}"),
        Output::Misuse(misuse) => format!("misuse {misuse}"),
        other => format!("{other:?}"),
    }
}
