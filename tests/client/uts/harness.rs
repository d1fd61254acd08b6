//! A host for one client, without I/O: a transport whose other end is the test, and a clock that
//! only the test moves.
//!
//! It keeps every output and checks what must hold in any conversation: frames go to the transport
//! that is open, a transport is closed only while it is there, an operation ends once, and nothing
//! counts as a mistake of the host.

use presence_proto::client::{
    ChannelState, ChannelStateChange, Client, ClientOptions, ConnectionState,
    ConnectionStateChange, Input, Outbox, Outcome, Output, PresenceChange, Warning, output,
};
use presence_proto::wire::{
    Action, ConnectionDetails, Data, ErrorInfo, Flags, Modes, Params, PresenceAction,
    PresenceMessage, ProtocolMessage,
};
use presence_proto::{Instant, Now, OpId, SmolStr, SubscriptionId, TransportId, UnixMillis};
use std::collections::VecDeque;

/// The channel of most tests.
pub(crate) const CH: &str = "room";
/// The wall clock when the monotonic clock reads zero.
pub(crate) const EPOCH: i64 = 1_000_000;

/// What the far end does with the frames that come, by itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// ATTACH is answered by ATTACHED with these flags.
    pub(crate) attach: Option<Flags>,
    /// DETACH is answered by DETACHED.
    pub(crate) detach: bool,
    /// CLOSE is answered by CLOSED.
    pub(crate) close: bool,
    /// Whatever has a message serial is answered by ACK.
    pub(crate) ack: bool,
    /// PRESENCE comes back as an event of this connection.
    pub(crate) echo: bool,
}

/// What becomes of a transport that the client asks for, by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Network {
    /// Nothing: the test opens it.
    #[default]
    Waits,
    /// It cannot be opened.
    Refuses,
    /// A world looks after it, see [`Traffic`].
    Linked,
}

/// What a client wants done on its network.
#[derive(Clone, Debug)]
pub(crate) enum Traffic {
    Open(TransportId, Params),
    Close(TransportId),
    Frame(TransportId, Box<ProtocolMessage>),
}

/// The host.
pub(crate) struct Host {
    pub(crate) client: Client,
    pub(crate) answers: Answers,
    pub(crate) network: Network,
    /// Every parameter list with which a transport was asked for.
    pub(crate) transports: Vec<Params>,
    /// How many transports the client has closed or given up.
    pub(crate) closed: usize,
    /// How often a token was asked for.
    pub(crate) tokens_wanted: usize,
    pub(crate) warnings: Vec<Warning>,
    /// Of a linked host: what its network has not done yet.
    pub(crate) traffic: VecDeque<Traffic>,
    out: Outbox,
    clock: u64,
    wake: Option<Instant>,
    asked: Option<TransportId>,
    open: Option<TransportId>,
    connection_id: SmolStr,
    sent: Vec<ProtocolMessage>,
    connection: Vec<ConnectionStateChange>,
    channels: Vec<(SmolStr, ChannelStateChange)>,
    presence: Vec<output::Presence>,
    frames: Vec<ProtocolMessage>,
    results: Vec<(OpId, Result<Outcome, ErrorInfo>)>,
    last_op: u64,
}

impl Host {
    /// A host whose far end says nothing by itself.
    pub(crate) fn new(options: ClientOptions) -> Self {
        Self {
            client: Client::new(options, 7),
            answers: Answers::default(),
            network: Network::default(),
            transports: Vec::new(),
            closed: 0,
            tokens_wanted: 0,
            warnings: Vec::new(),
            traffic: VecDeque::new(),
            out: Outbox::new(),
            clock: 0,
            wake: None,
            asked: None,
            open: None,
            connection_id: SmolStr::default(),
            sent: Vec::new(),
            connection: Vec::new(),
            channels: Vec::new(),
            presence: Vec::new(),
            frames: Vec::new(),
            results: Vec::new(),
            last_op: 0,
        }
    }

    /// A connected host whose far end answers everything, and says of each channel that nobody is
    /// present.
    pub(crate) fn connected(options: ClientOptions) -> Self {
        let mut host = Self::silent(options);
        host.answers = Answers {
            attach: Some(Flags::empty()),
            detach: true,
            close: true,
            ack: true,
            echo: false,
        };
        host
    }

    /// A connected host whose far end says nothing more by itself.
    pub(crate) fn silent(options: ClientOptions) -> Self {
        let mut host = Self::new(options);
        host.connect();
        host.forget();
        host
    }

    // What happens to the client.

    /// One call.
    pub(crate) fn input(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = Now::new(Instant::from_millis(self.clock), self.wall());
            self.wake = self.client.handle(now, input, &mut self.out).at();
            let outputs: Vec<_> = self.out.drain().collect();
            for output in outputs {
                self.keep(output, &mut inputs);
            }
        }
    }

    /// Time passes; whatever is due happens on its way.
    pub(crate) fn advance(&mut self, millis: u64) {
        let end = self.clock + millis;
        let mut ticks = 0;
        while let Some(at) = self.wake.map(Instant::as_millis).filter(|&at| at <= end) {
            self.clock = self.clock.max(at);
            self.input(Input::Tick);
            ticks += 1;
            assert!(ticks < 10_000, "the client always wants to be called at once");
        }
        self.clock = end;
        self.input(Input::Tick);
    }

    /// Time passes until the client asks for a transport again.
    pub(crate) fn advance_until_asked(&mut self) {
        while !self.is_asked() {
            let at = self.wake.expect("the client has given up");
            self.advance(at.as_millis().saturating_sub(self.clock));
        }
    }

    /// An operation of the application.
    pub(crate) fn op(&mut self, input: impl FnOnce(OpId) -> Input) -> OpId {
        self.last_op += 1;
        let op = OpId(self.last_op);
        self.input(input(op));
        op
    }

    pub(crate) fn attach(&mut self, channel: &str) -> OpId {
        self.op(|op| Input::attach(op, channel))
    }

    pub(crate) fn detach(&mut self, channel: &str) -> OpId {
        self.op(|op| Input::detach(op, channel))
    }

    pub(crate) fn enter(&mut self, data: &str) -> OpId {
        self.op(|op| Input::enter(op, CH, Some(data.into())))
    }

    pub(crate) fn change(
        &mut self,
        action: PresenceAction,
        client_id: Option<&str>,
        data: Option<&str>,
    ) -> OpId {
        let mut change = PresenceChange::new(action, data.map(Data::from));
        if let Some(client_id) = client_id {
            change = change.of_client(client_id);
        }
        self.op(|op| Input::presence(op, CH, change))
    }

    pub(crate) fn get(&mut self) -> OpId {
        self.op(|op| Input::get(op, CH))
    }

    /// The members known now, whether in sync or not.
    pub(crate) fn members_now(&mut self) -> Vec<PresenceMessage> {
        let op = self.op(|op| get_now(op, CH));
        self.members(op)
    }

    pub(crate) fn subscribe(&mut self, number: u64, actions: &[PresenceAction]) -> OpId {
        self.op(|op| Input::subscribe_to(op, CH, SubscriptionId(number), actions.to_vec()))
    }

    // The network and the far end.

    /// Connects as `conn-1` with the key `key-1`.
    pub(crate) fn connect(&mut self) {
        self.input(Input::Connect);
        self.accept("conn-1", "key-1");
    }

    /// The transport that was asked for opens.
    pub(crate) fn open(&mut self) {
        let transport = self.asked.take().expect("no transport is asked for");
        self.open = Some(transport);
        self.input(Input::opened(transport));
    }

    /// The transport that was asked for opens, and CONNECTED comes.
    pub(crate) fn accept(&mut self, id: &str, key: &str) {
        self.open();
        self.recv(connected(id, key));
    }

    /// The transport that was asked for cannot be opened.
    pub(crate) fn refuse(&mut self) {
        let transport = self.asked.take().expect("no transport is asked for");
        self.input(Input::open_failed(transport, None));
    }

    /// The open transport is lost.
    pub(crate) fn lose(&mut self) {
        let transport = self.open.take().expect("no transport is open");
        self.input(Input::closed(transport, None));
    }

    /// The transport is lost, and the client connects again with this outcome.
    pub(crate) fn reconnect(&mut self, id: &str, key: &str) {
        self.lose();
        assert_eq!(self.state(), ConnectionState::Connecting);
        self.accept(id, key);
        assert_eq!(self.state(), ConnectionState::Connected);
    }

    /// The connection becomes suspended: no transport can be opened for two minutes.
    pub(crate) fn suspend(&mut self) {
        self.network = Network::Refuses;
        if self.open.is_some() {
            self.lose();
        } else if self.asked.is_some() {
            self.refuse();
        }
        for _ in 0..200 {
            if self.state() == ConnectionState::Suspended {
                break;
            }
            self.advance(1_000);
        }
        assert_eq!(self.state(), ConnectionState::Suspended);
        self.network = Network::Waits;
    }

    /// A frame comes in.
    pub(crate) fn recv(&mut self, frame: ProtocolMessage) {
        let transport = self.open.expect("no transport is open");
        if frame.action == Action::Connected {
            self.connection_id = frame.connection_id.clone().unwrap_or_default();
        }
        self.input(Input::received(transport, frame));
    }

    /// A frame comes in, and the transport closes.
    pub(crate) fn recv_last(&mut self, frame: ProtocolMessage) {
        let transport = self.open.expect("no transport is open");
        self.input(Input::received(transport, frame));
        if self.open == Some(transport) {
            self.open = None;
            self.input(Input::closed(transport, None));
        }
    }

    /// A ping of the transport itself comes in.
    pub(crate) fn ping_frame(&mut self) {
        let transport = self.open.expect("no transport is open");
        self.input(Input::activity(transport));
    }

    // What the client did.

    /// Frames sent since the last time, without those that the host answers by itself for others.
    pub(crate) fn sent(&mut self) -> Vec<ProtocolMessage> {
        core::mem::take(&mut self.sent)
    }

    /// Frames of one action sent since the last time; all others are dropped.
    pub(crate) fn sent_of(&mut self, action: Action) -> Vec<ProtocolMessage> {
        self.sent().into_iter().filter(|frame| frame.action == action).collect()
    }

    /// The only frame sent since the last time.
    pub(crate) fn sent_one(&mut self) -> ProtocolMessage {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    /// Every presence item sent since the last time.
    pub(crate) fn sent_items(&mut self) -> Vec<PresenceMessage> {
        self.sent_of(Action::Presence).into_iter().flat_map(|frame| frame.presence).collect()
    }

    pub(crate) fn connection_events(&mut self) -> Vec<ConnectionStateChange> {
        core::mem::take(&mut self.connection)
    }

    /// The names of the connection events since the last time.
    pub(crate) fn connection_path(&mut self) -> Vec<&'static str> {
        self.connection_events().iter().map(|change| change.event.name()).collect()
    }

    /// Events of one channel since the last time; those of others are kept.
    pub(crate) fn channel_events(&mut self, channel: &str) -> Vec<ChannelStateChange> {
        let (taken, kept) =
            core::mem::take(&mut self.channels).into_iter().partition(|(name, _)| name == channel);
        self.channels = kept;
        let taken: Vec<(SmolStr, ChannelStateChange)> = taken;
        taken.into_iter().map(|(_, change)| change).collect()
    }

    /// The names of the events of one channel since the last time.
    pub(crate) fn channel_path(&mut self, channel: &str) -> Vec<&'static str> {
        self.channel_events(channel).iter().map(|change| change.event.name()).collect()
    }

    pub(crate) fn presence_events(&mut self) -> Vec<PresenceMessage> {
        core::mem::take(&mut self.presence).into_iter().map(|event| event.message).collect()
    }

    /// The events since the last time that a subscription wants.
    pub(crate) fn presence_events_for(&mut self, subscription: u64) -> Vec<PresenceMessage> {
        let subscription = SubscriptionId(subscription);
        let wanted =
            self.presence.extract_if(.., |event| event.subscriptions.contains(subscription));
        wanted.map(|event| event.message).collect()
    }

    pub(crate) fn frames(&mut self) -> Vec<ProtocolMessage> {
        core::mem::take(&mut self.frames)
    }

    /// Drops what was sent and told so far.
    pub(crate) fn forget(&mut self) {
        self.sent.clear();
        self.connection.clear();
        self.channels.clear();
        self.presence.clear();
        self.frames.clear();
    }

    pub(crate) fn result(&self, op: OpId) -> Option<&Result<Outcome, ErrorInfo>> {
        self.results.iter().find(|(number, _)| *number == op).map(|(_, result)| result)
    }

    pub(crate) fn is_pending(&self, op: OpId) -> bool {
        self.result(op).is_none()
    }

    /// The operation has succeeded.
    #[track_caller]
    pub(crate) fn ok(&self, op: OpId) -> Outcome {
        match self.result(op) {
            Some(Ok(outcome)) => outcome.clone(),
            other => panic!("{op:?} should have succeeded: {other:?}"),
        }
    }

    /// The operation has failed.
    #[track_caller]
    pub(crate) fn err(&self, op: OpId) -> ErrorInfo {
        match self.result(op) {
            Some(Err(error)) => error.clone(),
            other => panic!("{op:?} should have failed: {other:?}"),
        }
    }

    /// The members that a `get` found, by client id and connection id.
    #[track_caller]
    pub(crate) fn members(&self, op: OpId) -> Vec<PresenceMessage> {
        match self.ok(op) {
            Outcome::Members(mut members) => {
                members.sort_by(|a, b| {
                    (&a.client_id, &a.connection_id).cmp(&(&b.client_id, &b.connection_id))
                });
                members
            }
            other => panic!("{other:?} is not a list of members"),
        }
    }

    pub(crate) fn wall(&self) -> UnixMillis {
        UnixMillis::from_millis(EPOCH + self.clock.cast_signed())
    }

    /// Milliseconds since the start.
    pub(crate) const fn clock(&self) -> u64 {
        self.clock
    }

    /// Whether a transport is asked for and not open yet.
    pub(crate) const fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether it would tell the client of pings of the transport.
    pub(crate) const fn observes_pings(&self) -> bool {
        self.client.options().observes_pings
    }

    /// The transport that is asked for or open.
    pub(crate) fn transport(&self) -> Option<TransportId> {
        self.open.or(self.asked)
    }

    /// When the client wants to be called, in milliseconds since the start.
    pub(crate) fn due(&self) -> Option<u64> {
        self.wake.map(Instant::as_millis)
    }

    /// It is this late now, not later than the client wants to be called.
    pub(crate) fn set_clock(&mut self, millis: u64) {
        self.clock = self.clock.max(millis);
    }

    /// A parameter of the transport asked for last.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        param(self.transports.last()?, name)
    }

    fn keep(&mut self, output: Output, inputs: &mut VecDeque<Input>) {
        match output {
            Output::Open(output::Open { transport, params, .. }) => {
                assert_eq!((self.asked, self.open), (None, None), "one transport at a time");
                self.transports.push(params.clone());
                match self.network {
                    Network::Linked => {
                        self.asked = Some(transport);
                        self.traffic.push_back(Traffic::Open(transport, params));
                    }
                    Network::Waits => self.asked = Some(transport),
                    Network::Refuses => {
                        inputs.push_back(Input::open_failed(transport, None));
                    }
                }
            }
            Output::Close(output::Close { transport, .. }) => {
                assert!(
                    [self.asked, self.open].contains(&Some(transport)),
                    "{transport:?} is not there"
                );
                (self.asked, self.open) = (None, None);
                self.closed += 1;
                if self.network == Network::Linked {
                    self.traffic.push_back(Traffic::Close(transport));
                }
            }
            Output::Send(output::Send { transport, frame, .. }) => {
                assert_eq!(self.open, Some(transport), "sent to a transport that is not open");
                if self.network == Network::Linked {
                    self.traffic.push_back(Traffic::Frame(transport, frame.clone()));
                }
                let replies = self.replies(&frame);
                inputs.extend(replies.into_iter().map(|frame| Input::received(transport, frame)));
                self.sent.push(*frame);
            }
            Output::Connection(change) => self.connection.push(change),
            Output::Channel(output::Channel { channel, change, .. }) => {
                self.channels.push((channel, change))
            }
            Output::Presence(event) => self.presence.push(event),
            Output::Frame(frame) => self.frames.push(*frame),
            Output::Done(output::Done { op, result, .. }) => {
                assert!((1..=self.last_op).contains(&op.0), "{op:?} was never asked for");
                assert!(self.is_pending(op), "{op:?} ended twice");
                self.results.push((op, result));
            }
            Output::TokenRequired => self.tokens_wanted += 1,
            Output::Warning(warning) => self.warnings.push(warning),
            Output::Misuse(misuse) => panic!("{misuse}"),
            other => panic!("{other:?} is not expected"),
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

    /// A PRESENCE frame as the far end broadcasts it.
    fn echo(&self, frame: &ProtocolMessage) -> ProtocolMessage {
        let mut echo = frame.clone();
        let serial = echo.msg_serial.take().unwrap_or_default();
        echo.connection_id = Some(self.connection_id.clone());
        echo.id = Some(format!("{}:{serial}", self.connection_id).into());
        echo.timestamp = Some(self.wall());
        for item in &mut echo.presence {
            item.id = None;
            let own = &self.client.options().client_id;
            item.client_id = item.client_id.take().or_else(|| own.clone());
        }
        echo
    }
}

/// The client's views.
impl Host {
    pub(crate) fn state(&self) -> ConnectionState {
        self.client.connection().state()
    }

    pub(crate) fn connection_id(&self) -> Option<SmolStr> {
        self.client.connection().id().cloned()
    }

    pub(crate) fn connection_key(&self) -> Option<SmolStr> {
        self.client.connection().key().cloned()
    }

    pub(crate) fn error_reason(&self) -> Option<ErrorInfo> {
        self.client.connection().error_reason().cloned()
    }

    pub(crate) fn recovery_key(&self) -> Option<SmolStr> {
        self.client.connection().recovery_key()
    }

    /// The state of a channel; INITIALIZED if the client does not know it.
    pub(crate) fn channel_state(&self, channel: &str) -> ChannelState {
        self.client.channel(channel).map(|view| view.state()).unwrap_or_default()
    }

    pub(crate) fn channel_error(&self, channel: &str) -> Option<ErrorInfo> {
        self.client.channel(channel)?.error_reason().cloned()
    }

    pub(crate) fn channel_serial(&self, channel: &str) -> Option<SmolStr> {
        self.client.channel(channel)?.channel_serial().cloned()
    }

    pub(crate) fn attach_serial(&self, channel: &str) -> Option<SmolStr> {
        self.client.channel(channel)?.attach_serial().cloned()
    }

    pub(crate) fn modes(&self, channel: &str) -> Option<Modes> {
        self.client.channel(channel)?.modes()
    }

    pub(crate) fn is_sync_complete(&self, channel: &str) -> bool {
        self.client.channel(channel).is_some_and(|view| view.sync_complete())
    }

    /// The connection's own members of a channel (RTP17), as they would be entered again.
    pub(crate) fn own_members(&self, channel: &str) -> Vec<PresenceMessage> {
        self.client
            .channel(channel)
            .map(|view| view.own_members().cloned().collect())
            .unwrap_or_default()
    }

    pub(crate) fn own_member(&self, channel: &str, client_id: &str) -> Option<PresenceMessage> {
        self.own_members(channel).into_iter().find(|m| m.client_id.as_deref() == Some(client_id))
    }
}

// Options and frames.

/// Options without jitter.
pub(crate) fn options() -> ClientOptions {
    let mut options = ClientOptions::default();
    options.retry_jitter = false;
    options
}

/// The same, of a client that says who it is.
pub(crate) fn options_of(client_id: &str) -> ClientOptions {
    let mut options = options();
    options.client_id = Some(client_id.into());
    options
}

pub(crate) fn param<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// CONNECTED, without a limit of idleness.
pub(crate) fn connected(id: &str, key: &str) -> ProtocolMessage {
    let mut details = ConnectionDetails::default();
    details.connection_key = Some(key.into());
    connected_with(id, details)
}

pub(crate) fn connected_with(id: &str, details: ConnectionDetails) -> ProtocolMessage {
    let mut frame = ProtocolMessage::new(Action::Connected);
    frame.connection_id = Some(id.into());
    frame.connection_details = Some(Box::new(details));
    frame
}

/// CONNECTED of a client that may act for any client id.
pub(crate) fn connected_as_anyone(id: &str) -> ProtocolMessage {
    let mut details = ConnectionDetails::default();
    details.connection_key = Some("key-1".into());
    details.client_id = Some("*".into());
    connected_with(id, details)
}

pub(crate) fn attached(channel: &str, flags: Flags) -> ProtocolMessage {
    let mut frame = ProtocolMessage::on_channel(Action::Attached, channel);
    frame.flags = Some(flags);
    frame
}

pub(crate) fn detached(channel: &str, error: Option<ErrorInfo>) -> ProtocolMessage {
    let mut frame = ProtocolMessage::on_channel(Action::Detached, channel);
    frame.error = error.map(Box::new);
    frame
}

/// ERROR of a channel.
pub(crate) fn channel_error(channel: &str, error: ErrorInfo) -> ProtocolMessage {
    ProtocolMessage::on_channel(Action::Error, channel).with_error(error)
}

pub(crate) fn disconnected(error: ErrorInfo) -> ProtocolMessage {
    ProtocolMessage::new(Action::Disconnected).with_error(error)
}

/// A page of a sync.
pub(crate) fn sync(serial: &str, items: Vec<PresenceMessage>) -> ProtocolMessage {
    let mut frame = ProtocolMessage::on_channel(Action::Sync, CH);
    frame.channel_serial = Some(serial.into());
    frame.presence = items.into();
    frame
}

/// PRESENCE with one item.
pub(crate) fn event(item: PresenceMessage) -> ProtocolMessage {
    ProtocolMessage::presence(CH, vec![item])
}

/// An item with an id of the usual form, from which its connection id follows.
pub(crate) fn item(
    action: PresenceAction,
    client_id: &str,
    id: &str,
    timestamp: i64,
) -> PresenceMessage {
    let connection = id.rsplitn(3, ':').nth(2).expect("connection:serial:index");
    made_up(action, client_id, connection, id, timestamp)
}

/// An item with an id of any form.
pub(crate) fn made_up(
    action: PresenceAction,
    client_id: &str,
    connection_id: &str,
    id: &str,
    timestamp: i64,
) -> PresenceMessage {
    let mut item = PresenceMessage::new(action).with_client_id(client_id);
    item.connection_id = Some(connection_id.into());
    item.id = Some(id.into());
    item.timestamp = Some(UnixMillis::from_millis(timestamp));
    item
}

pub(crate) fn present(client_id: &str, id: &str) -> PresenceMessage {
    item(PresenceAction::Present, client_id, id, 100)
}

/// A `get` that does not wait.
pub(crate) fn get_now(op: OpId, channel: &str) -> Input {
    let mut params = presence_proto::client::GetParams::default();
    params.wait_for_sync = false;
    Input::get_with(op, channel, params)
}

pub(crate) fn text(item: &PresenceMessage) -> Option<&str> {
    item.data.as_ref()?.as_str()
}

pub(crate) fn names(items: &[PresenceMessage]) -> Vec<&str> {
    items.iter().filter_map(|item| item.client_id.as_deref()).collect()
}

pub(crate) fn actions(items: &[PresenceMessage]) -> Vec<PresenceAction> {
    items.iter().map(|item| item.action).collect()
}

pub(crate) fn actions_of(frames: &[ProtocolMessage]) -> Vec<Action> {
    frames.iter().map(|frame| frame.action).collect()
}

pub(crate) fn refused() -> ErrorInfo {
    ErrorInfo::new(40160, 401, "not permitted")
}

pub(crate) fn token_error() -> ErrorInfo {
    ErrorInfo::new(40142, 401, "token expired")
}
