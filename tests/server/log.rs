//! The inputs and outputs of a server as text. Random ids and serials get short names.

use crate::text::{frame_line, presence_line};
use core::fmt::Write as _;
use presence_proto::server::{Input, Output, ServerEvent, input, output};

/// One line for each input and output.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) text: String,
    /// In the order in which they were seen.
    connection_ids: Vec<String>,
    serials: Vec<String>,
}

impl Log {
    pub(crate) fn input(&mut self, time: u64, input: &Input) {
        self.line(time, input_line(input));
    }

    pub(crate) fn output(&mut self, time: u64, output: &Output) {
        if let Output::Send(output::Send { frame, .. }) = output
            && let frame = frame.head()
            && frame.connection_details.is_some()
            && let Some(id) = frame.connection_id.as_ref().map(ToString::to_string)
            && !self.connection_ids.contains(&id)
        {
            self.connection_ids.push(id);
        }
        self.line(time, output_line(output));
    }

    fn line(&mut self, time: u64, mut line: String) {
        if line.is_empty() {
            return;
        }
        let mut rest = 0;
        while let Some((at, serial)) = serial_in(&line, rest) {
            let known = self.serials.iter().position(|known| *known == serial);
            let number = known.unwrap_or_else(|| {
                self.serials.push(serial);
                self.serials.len() - 1
            });
            let name = format!("s{}", number + 1);
            line.replace_range(at..at + 16, &name);
            rest = at + name.len();
        }
        for (number, id) in self.connection_ids.iter().enumerate() {
            let name = format!("conn{}", number + 1);
            while let Some(at) = line.find(&format!("{id}!")) {
                let end = line[at..].find('"').map_or(line.len(), |end| at + end);
                line.replace_range(at..end, &format!("{name}-key"));
            }
            line = line.replace(id.as_str(), &name);
        }
        if let Some(at) = line.find("\"id\":\"server:").or_else(|| line.find(" server:"))
            && let Some(run) = line[at..].find("server:").map(|start| at + start + 7)
        {
            // The random id of the server's run.
            line.replace_range(run..run + 8, "run");
        }
        let _ = writeln!(self.text, "t={time} {line}");
    }
}

fn input_line(input: &Input) -> String {
    match input {
        Input::Received(input::Received { transport, frame, .. }) => {
            format!("{} < {}", transport.0, frame_line(frame))
        }
        Input::Opened(input::Opened { transport, request, .. }) => {
            let mut line = format!("{} < open", transport.0);
            if let Some(client_id) = request.identity.client_id() {
                let _ = write!(line, " {client_id}");
            }
            if let Some(key) = &request.resume {
                let _ = write!(line, " resume=\"{key}\"");
            }
            line
        }
        Input::Closed(input::Closed { transport, .. }) => format!("{} < closed", transport.0),
        Input::Congested(input::Congested { transport, .. }) => {
            format!("{} < congested", transport.0)
        }
        Input::Writable(input::Writable { transport, .. }) => {
            format!("{} < writable", transport.0)
        }
        Input::Tick | Input::Activity(_) => String::new(),
        other => format!("< {other:?}"),
    }
}

fn output_line(output: &Output) -> String {
    match output {
        Output::Send(output::Send { to, frame, .. }) => {
            let to: Vec<String> = to.iter().map(|id| id.0.to_string()).collect();
            format!("{} > {}", to.join(" "), frame_line(&frame.to_message()))
        }
        Output::Ping(_) => String::new(),
        Output::Close(output::Close { transport, .. }) => format!("{} > close", transport.0),
        Output::Event(event) => match event {
            ServerEvent::MemberEntered(output::MemberEntered { message, .. }) => {
                format!("event entered {}", presence_line(message))
            }
            ServerEvent::MemberUpdated(output::MemberUpdated { message, .. }) => {
                format!("event updated {}", presence_line(message))
            }
            ServerEvent::MemberLeft(output::MemberLeft { message, cause, .. }) => {
                format!("event left, {cause:?}: {}", presence_line(message))
            }
            ServerEvent::ChannelOccupied(output::ChannelOccupied { channel, .. }) => {
                format!("event occupied {channel}")
            }
            ServerEvent::ChannelVacant(output::ChannelVacant { channel, .. }) => {
                format!("event vacant {channel}")
            }
            other => format!("event {other:?}"),
        },
        other => format!("{other:?}"),
    }
}

/// The first serial of 16 hexadecimal digits in a line, from a place on.
fn serial_in(line: &str, from: usize) -> Option<(usize, String)> {
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let bytes = line.as_bytes();
    (from..bytes.len().saturating_sub(15)).find_map(|at| {
        let run = &bytes[at..at + 16];
        let alone = (at == 0 || !bytes[at - 1].is_ascii_alphanumeric())
            && bytes.get(at + 16).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        (alone && run.iter().all(is_hex)).then(|| (at, line[at..at + 16].to_owned()))
    })
}
