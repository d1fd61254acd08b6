//! A client on a fake clock. The test is the far end of its transport.
//!
//! Every call is checked: frames go to the open transport, there is one transport at a time, an
//! operation ends once, and the host makes no mistake.

use crate::driven::{Driven, Outputs};
use crate::frames::{Frame, attached, connected};
use crate::json_frames;
use crate::lines::{input_line, output_line};
use core::fmt::Write as _;
use presence_proto::client::{Client, ClientOptions, ConnectionState, Input, Outbox, Output};
use presence_proto::client::{input, output};
use presence_proto::wire::{Action, Flags, ProtocolMessage};
use presence_proto::{Instant, Now, OpId, SmolStr, SubscriptionId, TransportId, UnixMillis};
use std::collections::VecDeque;

/// The wall clock when the monotonic clock reads zero.
pub(crate) const EPOCH: i64 = 1_000_000;

/// Automatic answers of the far end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// ATTACHED with these flags to ATTACH.
    pub(crate) attach: Option<Flags>,
    /// DETACHED to DETACH.
    pub(crate) detach: bool,
    /// CLOSED to CLOSE.
    pub(crate) close: bool,
    /// ACK to every frame with a message serial.
    pub(crate) ack: bool,
    /// The events of PRESENCE.
    pub(crate) echo: bool,
}

/// The transport that the client requested last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Opening,
    Open,
    Closed,
}

#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) client: Client,
    pub(crate) outputs: Outputs,
    /// The monotonic clock in milliseconds.
    pub(crate) time: u64,
    pub(crate) answers: Answers,
    /// No transport can be opened.
    pub(crate) unreachable: bool,
    /// The test makes mistakes of a host.
    pub(crate) misuses: bool,
    /// A line for every input and output, for snapshots.
    pub(crate) log: String,
    wake: Option<Instant>,
    transport: TransportId,
    link: Link,
    connection_id: SmolStr,
}

impl Driven for Host {
    fn client(&self) -> &Client {
        &self.client
    }

    fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    fn outputs_mut(&mut self) -> &mut Outputs {
        &mut self.outputs
    }

    fn pass_in(&mut self, input: Input) {
        self.input(input);
    }
}

impl Host {
    pub(crate) fn new(options: ClientOptions) -> Self {
        Self {
            client: Client::new(options, 1),
            outputs: Outputs::default(),
            time: 0,
            answers: Answers::default(),
            unreachable: false,
            misuses: false,
            log: String::new(),
            wake: None,
            transport: TransportId(0),
            link: Link::Closed,
            connection_id: SmolStr::default(),
        }
    }

    /// A client of client id `me` that is connected under this id, with the key `<id>-key`.
    pub(crate) fn connected(id: &str) -> Self {
        let mut host = Self::new(me());
        host.connect(id);
        host
    }

    /// The same as `conn1`, attached to `ch` and subscribed to its presence.
    pub(crate) fn attached() -> Self {
        let mut host = Self::connected("conn1");
        host.watch("ch");
        host.join("ch");
        host
    }

    /// A client that is connected as `conn-1` with the key `key-1`. The far end answers nothing.
    pub(crate) fn unanswered(options: ClientOptions) -> Self {
        let mut host = Self::new(options);
        host.input(Input::Connect);
        host.accept("conn-1", "key-1");
        host.forget();
        host
    }

    /// The same, but the far end answers everything, and no channel has members.
    pub(crate) fn answered(options: ClientOptions) -> Self {
        let mut host = Self::unanswered(options);
        let attach = Some(Flags::empty());
        host.answers = Answers { attach, detach: true, close: true, ack: true, echo: false };
        host
    }

    // Inputs. Each of these methods returns the lines of the outputs.

    /// One input, and the answers of the far end.
    pub(crate) fn input(&mut self, input: Input) -> Vec<String> {
        let mut lines = Vec::new();
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            if !matches!(input, Input::Tick) {
                let _ = writeln!(self.log, "t={} < {}", self.time, input_line(&input));
            }
            self.follow(&input);
            self.outputs.expect_result_of(&input);
            let mut out = Outbox::new();
            self.wake = self.client.handle(self.now(), input, &mut out).at();
            for output in out {
                let line = output_line(&output);
                let _ = writeln!(self.log, "t={} > {line}", self.time);
                lines.push(line);
                self.check(&output);
                inputs.extend(self.answer(&output));
                self.outputs.add(output);
            }
        }
        lines
    }

    /// Time passes; every timer fires at its own time.
    pub(crate) fn advance(&mut self, millis: u64) -> Vec<String> {
        let end = self.time + millis;
        let (mut lines, mut ticks) = (Vec::new(), 0);
        while let Some(at) = self.next_deadline().filter(|&at| at <= end) {
            self.time = self.time.max(at);
            lines.extend(self.input(Input::Tick));
            ticks += 1;
            assert!(ticks < 10_000, "the client has a deadline that never ends");
        }
        self.time = end;
        lines
    }

    /// Time passes until the client requests a transport.
    pub(crate) fn advance_until_opening(&mut self) {
        while !self.is_opening() {
            let at = self.next_deadline().expect("the client has given up");
            self.advance(at.saturating_sub(self.time));
        }
    }

    /// Connects under this id, with the key `<id>-key`.
    pub(crate) fn connect(&mut self, id: &str) {
        self.input(Input::Connect);
        self.open();
        self.recv(json_frames::connected(id));
    }

    /// Subscribes to all presence events of a channel without attaching it.
    pub(crate) fn watch(&mut self, channel: &str) {
        let view = self.client.channel(channel);
        let mut options = view.map(|view| view.options().clone()).unwrap_or_default();
        options.attach_on_subscribe = false;
        self.input(Input::set_options(OpId(9_000), channel, options));
        self.input(Input::subscribe(OpId(9_001), channel, SubscriptionId(0)));
    }

    /// Attaches a channel, with the serial `s0`.
    pub(crate) fn join(&mut self, channel: &str) {
        self.input(Input::attach(OpId(9_002), channel));
        let mut frame = ProtocolMessage::on_channel(Action::Attached, channel);
        frame.channel_serial = Some("s0".into());
        self.recv(frame);
    }

    /// The requested transport is open.
    pub(crate) fn open(&mut self) -> Vec<String> {
        assert_eq!(self.link, Link::Opening);
        self.input(Input::opened(self.transport))
    }

    /// The requested transport is open, and CONNECTED arrives.
    pub(crate) fn accept(&mut self, id: &str, key: &str) {
        self.open();
        self.recv(connected(id, key));
    }

    /// The requested transport could not be opened.
    pub(crate) fn refuse(&mut self) -> Vec<String> {
        assert_eq!(self.link, Link::Opening);
        self.input(Input::open_failed(self.transport, None))
    }

    /// The transport is lost.
    pub(crate) fn lose(&mut self) -> Vec<String> {
        assert_ne!(self.link, Link::Closed);
        self.input(Input::closed(self.transport, None))
    }

    /// The transport is lost, and the client connects again with this result.
    pub(crate) fn reconnect(&mut self, id: &str, key: &str) {
        self.lose();
        assert_eq!(self.state(), ConnectionState::Connecting);
        self.accept(id, key);
        assert_eq!(self.state(), ConnectionState::Connected);
    }

    /// The connection becomes SUSPENDED: no transport can be opened for two minutes.
    pub(crate) fn suspend(&mut self) {
        self.unreachable = true;
        match self.link {
            Link::Open => drop(self.lose()),
            Link::Opening => drop(self.refuse()),
            Link::Closed => {}
        }
        for _ in 0..200 {
            if self.state() == ConnectionState::Suspended {
                break;
            }
            self.advance(1_000);
        }
        assert_eq!(self.state(), ConnectionState::Suspended);
        self.unreachable = false;
    }

    /// A frame arrives.
    pub(crate) fn recv(&mut self, frame: impl Frame) -> Vec<String> {
        assert_ne!(self.link, Link::Closed, "there is no transport");
        self.input(Input::received(self.transport, frame.frame()))
    }

    /// A frame arrives, and then the transport closes.
    pub(crate) fn recv_last(&mut self, frame: impl Frame) {
        let transport = self.transport;
        self.recv(frame);
        if self.transport == transport && self.link == Link::Open {
            self.lose();
        }
    }

    // The state of the host.

    pub(crate) const fn now(&self) -> Now {
        let wall = UnixMillis::from_millis(EPOCH + self.time.cast_signed());
        Now::new(Instant::from_millis(self.time), wall)
    }

    /// The next deadline of the client, in milliseconds.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.wake.map(Instant::as_millis)
    }

    pub(crate) const fn transport(&self) -> TransportId {
        self.transport
    }

    pub(crate) fn is_opening(&self) -> bool {
        self.link == Link::Opening
    }

    pub(crate) fn is_open(&self) -> bool {
        self.link == Link::Open
    }

    /// The present members of a channel as `client@connection`, sorted.
    pub(crate) fn present(&self, channel: &str) -> Vec<String> {
        let view = self.client.channel(channel).expect("a channel");
        let mut members: Vec<String> = view
            .members()
            .map(|member| format!("{}@{}", member.client_id(), member.connection_id()))
            .collect();
        members.sort();
        members
    }

    /// The client ids of the own members of a channel.
    pub(crate) fn own(&self, channel: &str) -> Vec<String> {
        let ids = self.own_members(channel).into_iter();
        ids.map(|member| member.client_id.unwrap_or_default().to_string()).collect()
    }

    // Checks and answers.

    /// The effect of an input on the transport.
    fn follow(&mut self, input: &Input) {
        match input {
            Input::Opened(input::Opened { transport, .. }) if *transport == self.transport => {
                self.link = Link::Open;
            }
            Input::Closed(input::Closed { transport, .. })
            | Input::OpenFailed(input::OpenFailed { transport, .. })
                if *transport == self.transport =>
            {
                self.link = Link::Closed;
            }
            Input::Received(input::Received { transport, frame, .. })
                if *transport == self.transport =>
            {
                if self.link == Link::Opening {
                    self.link = Link::Open;
                }
                if frame.action == Action::Connected {
                    self.connection_id = frame.connection_id.clone().unwrap_or_default();
                }
            }
            _ => {}
        }
    }

    fn check(&mut self, output: &Output) {
        match output {
            Output::Open(output::Open { transport, .. }) => {
                assert_eq!(self.link, Link::Closed, "one transport at a time");
                (self.transport, self.link) = (*transport, Link::Opening);
            }
            Output::Close(output::Close { transport, .. }) => {
                assert_eq!(*transport, self.transport);
                assert_ne!(self.link, Link::Closed, "{transport:?} is closed already");
                self.link = Link::Closed;
            }
            Output::Send(output::Send { transport, .. }) => {
                assert_eq!((*transport, self.link), (self.transport, Link::Open));
            }
            Output::Misuse(misuse) => assert!(self.misuses, "{misuse}"),
            _ => {}
        }
    }

    fn answer(&self, output: &Output) -> Vec<Input> {
        match output {
            Output::Open(output::Open { transport, .. }) if self.unreachable => {
                vec![Input::open_failed(*transport, None)]
            }
            Output::Send(output::Send { transport, frame, .. }) => {
                let replies = self.replies(frame).into_iter();
                replies.map(|frame| Input::received(*transport, frame)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn replies(&self, frame: &ProtocolMessage) -> Vec<ProtocolMessage> {
        let channel = frame.channel.as_deref().unwrap_or_default();
        let mut replies = Vec::new();
        match frame.action {
            Action::Attach => {
                replies.extend(self.answers.attach.map(|flags| attached(channel, flags)));
            }
            Action::Detach if self.answers.detach => {
                replies.push(ProtocolMessage::on_channel(Action::Detached, channel));
            }
            Action::Close if self.answers.close => {
                replies.push(ProtocolMessage::new(Action::Closed));
            }
            _ => {}
        }
        if let (true, Some(serial)) = (self.answers.ack, frame.msg_serial) {
            replies.push(ProtocolMessage::ack(serial, 1));
        }
        if self.answers.echo && frame.action == Action::Presence {
            replies.push(self.echo(frame));
        }
        replies
    }

    /// A PRESENCE frame as a server broadcasts it.
    fn echo(&self, frame: &ProtocolMessage) -> ProtocolMessage {
        let mut echo = frame.clone();
        let serial = echo.msg_serial.take().unwrap_or_default();
        echo.connection_id = Some(self.connection_id.clone());
        echo.id = Some(format!("{}:{serial}", self.connection_id).into());
        echo.timestamp = Some(self.now().wall);
        for item in &mut echo.presence {
            item.id = None;
            let own = &self.client.options().client_id;
            item.client_id = item.client_id.take().or_else(|| own.clone());
        }
        echo
    }
}

/// Options without jitter.
pub(crate) fn options() -> ClientOptions {
    let mut options = ClientOptions::default();
    options.retry_jitter = false;
    options
}

/// The same with a client id.
pub(crate) fn options_of(client_id: &str) -> ClientOptions {
    let mut options = options();
    options.client_id = Some(client_id.into());
    options
}

/// The same with the client id `me`.
pub(crate) fn me() -> ClientOptions {
    options_of("me")
}
