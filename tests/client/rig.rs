//! A client on a fake clock: what goes in is written by hand, what comes out is a line of text.

use crate::text::{action, decode, frame_line, member, presence_line};
use core::fmt::Write as _;
use presence_proto::client::{
    Client, ClientOptions, ConnectionEvent, Input, Outbox, Outcome, Output, input, output,
};
use presence_proto::wire::Format;
use presence_proto::{Now, OpId, SubscriptionId, TransportId};
use serde_json::{Value as Json, json};

/// A client and the time.
#[derive(Clone, Debug)]
pub(crate) struct Rig {
    pub(crate) client: Client,
    pub(crate) time: u64,
    /// The transport that was asked for last.
    pub(crate) transport: TransportId,
    /// Every line since the beginning, with what went in, for snapshots.
    pub(crate) log: String,
}

/// The options of most tests: client id `me`, no jitter, JSON, pings seen.
pub(crate) fn options() -> ClientOptions {
    let mut options = ClientOptions::default();
    options.client_id = Some("me".into());
    options.format = Format::Json;
    options.retry_jitter = false;
    options.observes_pings = true;
    options
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(options())
    }

    pub(crate) fn with(options: ClientOptions) -> Self {
        Self {
            client: Client::new(options, 1),
            time: 0,
            transport: TransportId(0),
            log: String::new(),
        }
    }

    /// A client whose connection is established under this id.
    pub(crate) fn connected(id: &str) -> Self {
        let mut rig = Self::new();
        rig.connect_as(id);
        rig
    }

    /// A client that is connected as `conn1` and attached to `ch`, subscribed to its presence.
    pub(crate) fn attached() -> Self {
        let mut rig = Self::connected("conn1");
        rig.subscribe("ch");
        rig.attach("ch");
        rig
    }

    pub(crate) fn connect_as(&mut self, id: &str) {
        self.input(Input::Connect);
        self.open();
        self.recv(connected(id));
    }

    /// Subscribes to all presence events of a channel without attaching it.
    pub(crate) fn subscribe(&mut self, channel: &str) {
        let mut options = self
            .client
            .channel(channel)
            .map(|channel| channel.options().clone())
            .unwrap_or_default();
        options.attach_on_subscribe = false;
        let op = OpId(9_000);
        self.input(Input::set_options(op, channel, options));
        self.input(Input::subscribe(OpId(9_001), channel, SubscriptionId(0)));
    }

    /// Attaches a channel under op 9002.
    pub(crate) fn attach(&mut self, channel: &str) {
        self.input(Input::attach(OpId(9_002), channel));
        self.recv(json!({"action": 11, "channel": channel, "channelSerial": "s0"}));
    }

    /// The transport that was asked for last is open.
    pub(crate) fn open(&mut self) -> Vec<String> {
        self.input(Input::opened(self.transport))
    }

    /// The transport has closed, abruptly.
    pub(crate) fn drop_transport(&mut self) -> Vec<String> {
        self.input(Input::closed(self.transport, None))
    }

    /// The transport could not be opened.
    pub(crate) fn refuse(&mut self) -> Vec<String> {
        self.input(Input::open_failed(self.transport, None))
    }

    /// A frame comes in.
    pub(crate) fn recv(&mut self, frame: Json) -> Vec<String> {
        let frame = decode(&frame);
        self.input(Input::received(self.transport, frame))
    }

    /// Something happens now.
    pub(crate) fn input(&mut self, input: Input) -> Vec<String> {
        let _ = writeln!(self.log, "t={} < {}", self.time, input_line(&input));
        self.handle(input)
    }

    /// Time goes on; every timer fires at its own time.
    pub(crate) fn pass(&mut self, millis: u64) -> Vec<String> {
        let end = self.time + millis;
        let mut lines = Vec::new();
        while let Some(at) = self.next().filter(|&at| at <= end) {
            self.time = at;
            lines.extend(self.handle(Input::Tick));
        }
        self.time = end;
        lines
    }

    /// When the client wants to be called next.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let mut copy = self.client.clone();
        let mut out = Outbox::new();
        // Before its time, a tick does nothing.
        let wake = copy.handle(Now::from_millis(0), Input::Tick, &mut out);
        assert!(out.is_empty(), "{:?}", out.as_slice());
        wake.at().map(|at| at.as_millis())
    }

    fn handle(&mut self, input: Input) -> Vec<String> {
        let mut out = Outbox::new();
        self.client.handle(Now::from_millis(self.time), input, &mut out);
        let mut lines = Vec::new();
        for output in out {
            if let Output::Open(output::Open { transport, .. }) = &output {
                self.transport = *transport;
            }
            let line = line(&output);
            let _ = writeln!(self.log, "t={} > {line}", self.time);
            lines.push(line);
        }
        lines
    }

    /// The present members of a channel, as `client@connection`, sorted.
    pub(crate) fn members(&self, channel: &str) -> Vec<String> {
        let view = self.client.channel(channel).expect("a channel");
        let mut members: Vec<String> = view
            .members()
            .map(|member| format!("{}@{}", member.client_id(), member.connection_id()))
            .collect();
        members.sort();
        members
    }

    /// The client ids of the own members of a channel, in their order.
    pub(crate) fn own(&self, channel: &str) -> Vec<String> {
        let view = self.client.channel(channel).expect("a channel");
        view.own_members().map(|m| m.client_id.clone().unwrap_or_default().to_string()).collect()
    }

    /// The name of the connection's state.
    pub(crate) fn state(&self) -> &'static str {
        self.client.connection().state().name()
    }

    /// The name of a channel's state.
    pub(crate) fn channel_state(&self, channel: &str) -> &'static str {
        self.client.channel(channel).map_or("unknown", |channel| channel.state().name())
    }
}

/// CONNECTED, with the key `<id>-key`.
pub(crate) fn connected(id: &str) -> Json {
    json!({
        "action": 4, "connectionId": id,
        "connectionDetails": {"connectionKey": format!("{id}-key"), "connectionStateTtl": 120_000},
    })
}

/// PRESENCE or SYNC with one item for each `client@connection:serial`, all with one action.
pub(crate) fn presence(frame: u8, action: u8, members: &[&str]) -> Json {
    let items: Vec<Json> = members.iter().map(|member| item(action, member)).collect();
    json!({"action": frame, "channel": "ch", "presence": items})
}

/// One presence message of `client@connection:serial`, with the serial as its time.
pub(crate) fn item(action: u8, member: &str) -> Json {
    let (client_id, rest) = member.split_once('@').expect("client@connection:serial");
    let (connection_id, serial) = rest.split_once(':').expect("client@connection:serial");
    json!({
        "action": action, "clientId": client_id, "connectionId": connection_id,
        "id": format!("{connection_id}:{serial}:0"),
        "timestamp": serial.parse::<i64>().expect("a number"),
    })
}

/// A page of a sync.
pub(crate) fn sync(serial: &str, members: &[&str]) -> Json {
    let mut frame = presence(16, 1, members);
    frame["channelSerial"] = serial.into();
    frame
}

/// Only the lines that begin so.
pub(crate) fn only(lines: &[String], start: &str) -> Vec<String> {
    lines.iter().filter(|line| line.starts_with(start)).cloned().collect()
}

fn input_line(input: &Input) -> String {
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
pub(crate) fn line(output: &Output) -> String {
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
