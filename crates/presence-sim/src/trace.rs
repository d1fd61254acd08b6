//! The trace: a run as text, one line for each event.

use core::fmt::{self, Write};
use presence_proto::wire::{
    Action, Data, ErrorInfo, Flags, Modes, PresenceAction, PresenceMessage, ProtocolMessage, Value,
};

/// The timeline of a run as text: a line for each frame that arrives, each input and output of an
/// application, and each fault.
///
/// A line starts with the virtual time in milliseconds, and a sign shows its kind:
///
/// | line | meaning |
/// |---|---|
/// | `t=60 server > alice SYNC room 1: [bob]` | a frame arrives; with several nodes, with the name of the node |
/// | `t=61 log 17: node2 3 records` | an entry of a node is appended to the log, at this position |
/// | `t=20 alice < attach room (op 1)` | the application passes an input to its client |
/// | <code>t=80 alice \| room: enter bob</code> | the application receives an output of its client |
/// | `t=90 -- alice: the transport breaks` | a fault, or a [`note`](crate::World::note) |
///
/// In frames, `@` precedes a channel serial and `#` a message serial. Equal runs give equal traces.
/// The wording of lines may change between versions.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    lines: Vec<String>,
    disabled: bool,
}

impl Trace {
    /// The lines, oldest first.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// A trace that keeps no lines.
    pub(crate) const fn disabled() -> Self {
        Self { lines: Vec::new(), disabled: true }
    }

    /// Whether lines are kept.
    pub(crate) const fn is_enabled(&self) -> bool {
        !self.disabled
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, at: u64, what: fmt::Arguments<'_>) {
        if self.disabled {
            return;
        }
        let mut line = String::new();
        // Writing to a string cannot fail.
        let _ = write!(line, "t={at} {what}");
        self.lines.push(line);
    }

    /// Removes all lines.
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

/// A frame on one line.
pub(crate) struct Frame<'a>(pub(crate) &'a ProtocolMessage);

impl fmt::Display for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frame = self.0;
        f.write_str(action(frame.action))?;
        if let Action::Unknown(number) = frame.action {
            write!(f, "{number}")?;
        }
        if let Some(channel) = &frame.channel {
            write!(f, " {channel}")?;
        }
        let flags = frame.flags();
        for (flag, name) in FLAGS {
            if flags.contains(*flag) {
                write!(f, " {name}")?;
            }
        }
        modes(f, flags.modes())?;
        if let Some(serial) = &frame.channel_serial {
            match frame.action {
                Action::Sync => write!(f, " {}", cursor(serial))?,
                _ => write!(f, " @{serial}")?,
            }
        }
        if let Some(serial) = frame.msg_serial {
            write!(f, " #{serial}")?;
            if let Some(count) = frame.count.filter(|count| *count != 1) {
                write!(f, "+{count}")?;
            }
        }
        if frame.action == Action::Connected
            && let Some(id) = &frame.connection_id
        {
            write!(f, " {id}")?;
        }
        if !frame.presence.is_empty() || frame.action == Action::Sync {
            f.write_str(" [")?;
            for (index, item) in frame.presence.iter().enumerate() {
                if index > 0 {
                    f.write_str(", ")?;
                }
                Item(item).fmt(f)?;
            }
            f.write_str("]")?;
        }
        if !frame.messages.is_empty() {
            write!(f, " ({} messages)", frame.messages.len())?;
        }
        if let Some(error) = &frame.error {
            write!(f, " {}", Reason(error))?;
        }
        Ok(())
    }
}

/// A sync serial, its cursor cut short.
fn cursor(serial: &str) -> &str {
    match serial.split_once(':') {
        Some((sequence, rest)) if !rest.is_empty() => {
            serial.get(..sequence.len() + 1 + rest.len().min(12)).unwrap_or(serial)
        }
        _ => serial,
    }
}

const FLAGS: &[(Flags, &str)] = &[
    (Flags::HAS_PRESENCE, "has-presence"),
    (Flags::HAS_BACKLOG, "has-backlog"),
    (Flags::RESUMED, "resumed"),
];

/// The modes, unless all four default ones are set.
fn modes(f: &mut fmt::Formatter<'_>, modes: Modes) -> fmt::Result {
    let default = Modes::PRESENCE | Modes::PUBLISH | Modes::SUBSCRIBE | Modes::PRESENCE_SUBSCRIBE;
    if modes.is_empty() || modes.contains(default) {
        return Ok(());
    }
    f.write_str(" modes")?;
    for (mode, name) in [
        (Modes::PRESENCE, "presence"),
        (Modes::PUBLISH, "publish"),
        (Modes::SUBSCRIBE, "subscribe"),
        (Modes::PRESENCE_SUBSCRIBE, "presence-subscribe"),
    ] {
        if modes.contains(mode) {
            write!(f, "+{name}")?;
        }
    }
    Ok(())
}

/// A presence message on one line: action, client id and data.
pub(crate) struct Item<'a>(pub(crate) &'a PresenceMessage);

impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let item = self.0;
        match item.action {
            PresenceAction::Absent => f.write_str("absent ")?,
            PresenceAction::Present => {}
            PresenceAction::Enter => f.write_str("enter ")?,
            PresenceAction::Leave => f.write_str("leave ")?,
            PresenceAction::Update => f.write_str("update ")?,
            PresenceAction::Unknown(number) => write!(f, "action-{number} ")?,
            _ => f.write_str("another action ")?,
        }
        f.write_str(item.client_id.as_deref().unwrap_or("(self)"))?;
        match &item.data {
            None => Ok(()),
            Some(Data::String(text)) => write!(f, "={text}"),
            Some(Data::Binary(bytes)) => write!(f, "=({} bytes)", bytes.len()),
            Some(Data::Json(value)) => write!(f, "={}", Short(value)),
            Some(_) => f.write_str("=(other data)"),
        }
    }
}

/// A JSON value, at most 40 characters long.
struct Short<'a>(&'a Value);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let _ = write!(text, "{:?}", self.0);
        let end = text.char_indices().nth(40).map_or(text.len(), |(at, _)| at);
        f.write_str(text.get(..end).unwrap_or(&text))
    }
}

/// An error on one line: code and message.
pub(crate) struct Reason<'a>(pub(crate) &'a ErrorInfo);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}: {})", self.0.code, self.0.message)
    }
}

/// The protocol's name of an action.
fn action(action: Action) -> &'static str {
    match action {
        Action::Heartbeat => "HEARTBEAT",
        Action::Ack => "ACK",
        Action::Nack => "NACK",
        Action::Connect => "CONNECT",
        Action::Connected => "CONNECTED",
        Action::Disconnect => "DISCONNECT",
        Action::Disconnected => "DISCONNECTED",
        Action::Close => "CLOSE",
        Action::Closed => "CLOSED",
        Action::Error => "ERROR",
        Action::Attach => "ATTACH",
        Action::Attached => "ATTACHED",
        Action::Detach => "DETACH",
        Action::Detached => "DETACHED",
        Action::Presence => "PRESENCE",
        Action::Message => "MESSAGE",
        Action::Sync => "SYNC",
        Action::Auth => "AUTH",
        Action::Activate => "ACTIVATE",
        Action::Object => "OBJECT",
        Action::ObjectSync => "OBJECT_SYNC",
        Action::Annotation => "ANNOTATION",
        _ => "UNKNOWN",
    }
}
