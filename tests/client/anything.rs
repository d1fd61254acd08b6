//! Arbitrary inputs in arbitrary order: the client does not panic, and its outputs are consistent.

use core::time::Duration;
use presence_proto::client::{
    ChannelEvent, ChannelOptions, ChannelState, Client, ClientOptions, ConnectionEvent,
    ConnectionState, GetParams, Input, Outbox, Output, PresenceChange, input, output,
};
use presence_proto::wire::{
    Action, AuthDetails, ConnectionDetails, Data, ErrorInfo, Flags, Message, Modes, PresenceAction,
    PresenceMessage, ProtocolMessage, Value,
};
use presence_proto::{Instant, Now, OpId, SmolStr, SubscriptionId, TransportId, UnixMillis};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const CHANNELS: [&str; 3] = ["a", "b", ""];

/// One event. A transport is named by the number of transports requested since.
#[derive(Clone, Debug)]
enum Step {
    Input(Box<Input>),
    Transport(u8, u64),
    Received(Box<ProtocolMessage>, u64),
    /// Time goes on by so much, in one go, or with a tick whenever the client wants one.
    Pass(u64, bool),
    /// The clocks step back.
    Back(u64),
}

fn text(of: &'static [&'static str]) -> impl Strategy<Value = SmolStr> {
    proptest::sample::select(of).prop_map(SmolStr::from)
}

fn maybe(of: &'static [&'static str]) -> impl Strategy<Value = Option<SmolStr>> {
    proptest::option::of(text(of))
}

fn channel() -> impl Strategy<Value = SmolStr> {
    prop_oneof![6 => Just("a"), 3 => Just("b"), 1 => Just("")].prop_map(SmolStr::from)
}

fn data() -> impl Strategy<Value = Option<Data>> {
    prop_oneof![
        Just(None),
        Just(Some(Data::from("x"))),
        Just(Some(Data::from("{\"n\":1}"))),
        Just(Some(Data::from("not json {"))),
        Just(Some(Data::from(vec![0u8, 255]))),
        Just(Some(Data::from(Value::parse_json("{\"a\":[1]}").expect("JSON")))),
        Just(Some(Data::from(Value::Int(1)))),
        Just(Some(Data::from("y".repeat(200)))),
    ]
}

fn error() -> impl Strategy<Value = Option<Box<ErrorInfo>>> {
    proptest::option::of(
        proptest::sample::select(
            &[(40142, 401), (40160, 401), (50000, 500), (80018, 400), (0, 0)][..],
        )
        .prop_map(|(code, status)| Box::new(ErrorInfo::new(code, status, "made up"))),
    )
}

fn presence_action() -> impl Strategy<Value = PresenceAction> {
    (0..6u32).prop_map(PresenceAction::from_number)
}

fn item() -> impl Strategy<Value = PresenceMessage> {
    (
        presence_action(),
        maybe(&[
            "conn1:0:0",
            "conn1:1:0",
            "conn1:2:0",
            "conn2:0:0",
            "c1:0:0",
            "c1:1:0",
            "c1:1:1",
            "server:9",
            "c1:x:0",
            "c1:9223372036854775808:0",
        ]),
        maybe(&["me", "alice", "bob", "carol", ""]),
        maybe(&["conn1", "conn2", "c1", ""]),
        data(),
        maybe(&["json", "utf-8", "json/utf-8", "base64", "foo", "foo/json", "/", ""]),
        proptest::option::of(prop_oneof![0..9i64, Just(i64::MAX), Just(i64::MIN)]),
    )
        .prop_map(|(action, id, client_id, connection_id, data, encoding, timestamp)| {
            let mut message = PresenceMessage::new(action);
            message.id = id;
            message.client_id = client_id;
            message.connection_id = connection_id;
            message.data = data;
            message.encoding = encoding;
            message.timestamp = timestamp.map(UnixMillis::from_millis);
            message
        })
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(5_000), Just(15_000), Just(120_000), Just(u64::MAX)]
}

fn details() -> impl Strategy<Value = Option<Box<ConnectionDetails>>> {
    proptest::option::weighted(
        0.8,
        (
            maybe(&["me", "*", "other"]),
            maybe(&["key1", "key2"]),
            proptest::option::of(number()),
            proptest::option::of(number()),
            proptest::option::of(number()),
        )
            .prop_map(|(client_id, key, size, ttl, idle)| {
                let mut details = ConnectionDetails::default();
                details.client_id = client_id;
                details.connection_key = key;
                details.max_message_size = size;
                details.connection_state_ttl = ttl;
                details.max_idle_interval = idle;
                Box::new(details)
            }),
    )
}

fn frame() -> impl Strategy<Value = Box<ProtocolMessage>> {
    let action = prop_oneof![
        3 => Just(4u32), // CONNECTED
        3 => Just(11),   // ATTACHED
        3 => Just(14),   // PRESENCE
        3 => Just(16),   // SYNC
        1 => Just(13),   // DETACHED
        1 => Just(1),    // ACK
        1 => Just(2),    // NACK
        2 => 0..25u32,
        1 => Just(u32::MAX),
    ];
    let serials = &["s1", "s2", "q1:x", "q1:", "q2:x", "q2:", ":", "::", "", "no-colon"][..];
    (
        (action, maybe(&["conn1:1", "c1:1", ""]), channel(), maybe(serials)),
        (maybe(&["conn1", "conn2", "c1"]), details(), error()),
        (proptest::option::of(any::<u32>()), proptest::option::of(0..8u64)),
        (
            proptest::option::of(prop_oneof![0..6i64, Just(-1), Just(i64::MAX), Just(i64::MIN)]),
            proptest::option::of(prop_oneof![0..4u32, Just(u32::MAX)]),
        ),
        proptest::collection::vec(item(), 0..4),
        proptest::option::of(any::<i64>()),
    )
        .prop_map(
            |(
                (action, id, channel, serial),
                (connection_id, details, error),
                (wild, flags),
                acks,
                items,
                time,
            )| {
                let mut frame = ProtocolMessage::new(Action::from_number(action));
                frame.id = id;
                frame.channel = Some(channel);
                frame.channel_serial = serial;
                frame.connection_id = connection_id;
                frame.connection_details = details;
                frame.error = error;
                frame.flags = flags.or(wild.map(u64::from)).map(Flags::from_bits_retain);
                frame.msg_serial = acks.0;
                frame.count = acks.1;
                frame.presence = items.into();
                frame.messages = vec![Message::default()];
                frame.timestamp = time.map(UnixMillis::from_millis);
                frame.auth = Some(Box::new(AuthDetails::default()));
                Box::new(frame)
            },
        )
}

fn change() -> impl Strategy<Value = PresenceChange> {
    (presence_action(), maybe(&["me", "alice", "bob", "*", ""]), data()).prop_map(
        |(action, client_id, data)| {
            let mut change = PresenceChange::new(action, data);
            change.client_id = client_id;
            change
        },
    )
}

/// An input of the application or the network. The number of an operation is set on the call.
fn input() -> impl Strategy<Value = Input> {
    let op = OpId(0);
    prop_oneof![
        2 => Just(Input::Connect),
        1 => Just(Input::Close),
        1 => Just(Input::ping(op)),
        1 => Just(Input::authorize(op, "t")),
        1 => Just(Input::Token(Ok("t".into()))),
        1 => error().prop_map(|error| Input::Token(Err(error.map_or_else(
            || ErrorInfo::new(40300, 403, "forbidden"), |error| *error)))),
        1 => Just(Input::NetworkLost),
        1 => Just(Input::NetworkAvailable),
        4 => channel().prop_map(move |channel| Input::attach(op, channel)),
        2 => channel().prop_map(move |channel| Input::detach(op, channel)),
        1 => channel().prop_map(move |channel| Input::release(op, channel)),
        6 => (channel(), change())
            .prop_map(move |(channel, change)| Input::presence(op, channel, change)),
        2 => (channel(), any::<bool>(), maybe(&["me", "alice"]), maybe(&["c1"])).prop_map(
            move |(channel, wait, client_id, connection_id)| {
                let mut params = GetParams::default();
                params.wait_for_sync = wait;
                params.client_id = client_id;
                params.connection_id = connection_id;
                Input::get_with(op, channel, params)
            }
        ),
        1 => (channel(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            move |(channel, attach_on_subscribe, params, modes)| {
                let mut options = ChannelOptions::default();
                options.attach_on_subscribe = attach_on_subscribe;
                if params {
                    options.params = vec![("rewind".into(), "1".into())];
                }
                options.modes = modes.then(Modes::all);
                Input::set_options(op, channel, options)
            }
        ),
        1 => (channel(), proptest::collection::vec(presence_action(), 0..3)).prop_map(
            move |(channel, actions)| {
                let subscription = SubscriptionId(1);
                Input::subscribe_to(op, channel, subscription, actions)
            }
        ),
        1 => (channel(), 1..3u64).prop_map(|(channel, number)| {
            Input::unsubscribe(channel, Some(SubscriptionId(number)))
        }),
        2 => frame().prop_map(move |frame| Input::send(op, frame)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let back = prop_oneof![9 => Just(0u64), 1 => 1..4u64];
    prop_oneof![
        6 => input().prop_map(|input| Step::Input(Box::new(input))),
        3 => (prop_oneof![4 => Just(0u8), 1 => 1..4u8], back.clone())
            .prop_map(|(event, back)| Step::Transport(event, back)),
        8 => (frame(), back).prop_map(|(frame, back)| Step::Received(frame, back)),
        3 => (prop_oneof![0..2_000u64, Just(10_000), Just(30_000), Just(200_000)], any::<bool>())
            .prop_map(|(time, ticks)| Step::Pass(time, ticks)),
        1 => (0..100_000u64).prop_map(Step::Back),
    ]
}

/// A beginning that most conversations share, so that many of them get somewhere.
fn beginning() -> Vec<Step> {
    let mut connected = ProtocolMessage::new(Action::Connected);
    connected.connection_id = Some("conn1".into());
    let mut details = ConnectionDetails::default();
    details.connection_key = Some("key1".into());
    connected.connection_details = Some(Box::new(details));
    let mut attached = ProtocolMessage::new(Action::Attached);
    attached.channel = Some("a".into());
    attached.flags = Some(Flags::HAS_PRESENCE);
    vec![
        Step::Input(Box::new(Input::Connect)),
        Step::Transport(0, 0),
        Step::Received(Box::new(connected), 0),
        Step::Input(Box::new(Input::attach(OpId(0), "a"))),
        Step::Received(Box::new(attached), 0),
    ]
}

fn options() -> impl Strategy<Value = ClientOptions> {
    (
        maybe(&["me"]),
        any::<[bool; 6]>(),
        prop_oneof![Just(None), Just(Some("junk")), Just(Some(
            "{\"connectionKey\":\"k\",\"msgSerial\":9223372036854775807,\"channelSerials\":{\"a\":\"s\"}}"
        ))],
        1..4usize,
    )
        .prop_map(|(client_id, [queue, strict, renewable, token, jitter, tiny], recover, limit)| {
            let mut options = ClientOptions::default();
            options.client_id = client_id;
            options.queue_messages = queue;
            options.strict_mode = strict;
            options.token_renewable = renewable;
            options.token = token.then(|| "t".into());
            options.retry_jitter = jitter;
            options.recover = recover.map(SmolStr::from);
            if tiny {
                options.max_message_size = 100;
                options.limits.channels = limit;
                options.limits.pending_operations = limit + 2;
                options.limits.in_flight = limit;
                options.limits.waiting_gets = limit;
                options.limits.subscriptions = limit;
                options.limits.pings = limit;
                options.limits.members = limit;
                options.limits.own_members = limit;
                options.budget = limit;
            }
            options
        })
}

/// A client, and the state that follows from its outputs.
struct Checked {
    client: Client,
    out: Outbox,
    now: Now,
    transport: Option<TransportId>,
    last_transport: u64,
    next_op: u64,
    open_ops: BTreeSet<u64>,
    connection: ConnectionState,
    channels: BTreeMap<SmolStr, ChannelState>,
    /// Of each channel that subscription 0 has seen from its beginning, the members by its events.
    folded: BTreeMap<SmolStr, BTreeMap<(SmolStr, SmolStr), PresenceMessage>>,
    subscribing: BTreeMap<u64, SmolStr>,
    /// Releases under way. One that ends well may leave no trace of its channel, which may be there
    /// again, as a new one, in the same call.
    releasing: BTreeMap<u64, SmolStr>,
    released: BTreeSet<SmolStr>,
}

impl Checked {
    fn new(options: ClientOptions) -> Self {
        Self {
            client: Client::new(options, 7),
            out: Outbox::new(),
            now: Now::from_millis(1_000_000),
            transport: None,
            last_transport: 0,
            next_op: 0,
            open_ops: BTreeSet::new(),
            connection: ConnectionState::Initialized,
            channels: BTreeMap::new(),
            folded: BTreeMap::new(),
            subscribing: BTreeMap::new(),
            releasing: BTreeMap::new(),
            released: BTreeSet::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Input(input) => {
                let op = OpId(self.next_op);
                self.next_op += 1;
                let input = with_op(*input, op);
                self.handle(input);
            }
            Step::Transport(event, back) => {
                let transport = TransportId((self.last_transport + 1).saturating_sub(back));
                let transport =
                    if back == 0 { TransportId(self.last_transport) } else { transport };
                self.handle(match event {
                    0 => Input::opened(transport),
                    1 => Input::open_failed(transport, None),
                    2 => Input::closed(transport, None),
                    _ => Input::activity(transport),
                });
            }
            Step::Received(frame, back) => {
                let transport = TransportId(self.last_transport.saturating_sub(back));
                self.handle(Input::received(transport, *frame));
            }
            Step::Pass(time, ticks) => self.pass(time, ticks),
            Step::Back(time) => {
                let back = |now: u64| now.saturating_sub(time);
                let wall = self.now.wall.as_millis().saturating_sub_unsigned(time);
                let earlier = Now::new(
                    Instant::from_millis(back(self.now.mono.as_millis())),
                    UnixMillis::from_millis(wall),
                );
                self.client.handle(earlier, Input::Tick, &mut self.out);
                self.look();
            }
        }
        self.subscribe();
        self.check_members();
    }

    fn pass(&mut self, time: u64, ticks: bool) {
        let end = self.now.mono.as_millis() + time;
        // Some timeouts may be zero: the number of ticks is bounded, not their distance.
        for _ in 0..if ticks { 50 } else { 0 } {
            let wake = self.client.handle(self.now, Input::Tick, &mut self.out);
            self.look();
            match wake.at().map(Instant::as_millis).filter(|&at| at <= end) {
                Some(at) => self.set_time(at.max(self.now.mono.as_millis())),
                None => break,
            }
        }
        self.set_time(end);
        self.handle(Input::Tick);
    }

    fn set_time(&mut self, mono: u64) {
        self.now = Now::from_millis(mono);
    }

    fn handle(&mut self, input: Input) {
        if let Some(op) = input.op() {
            assert!(self.open_ops.insert(op.0));
        }
        if let Input::Release(input::Release { op, channel, .. }) = &input {
            self.releasing.insert(op.0, channel.clone());
        }
        if let Input::OpenFailed(input::OpenFailed { transport, .. })
        | Input::Closed(input::Closed { transport, .. }) = &input
            && self.transport == Some(*transport)
        {
            // Unless a timer comes first and gives it up: of those that are due, one call fires as many
            // as its budget allows.
            while self.client.next_wake().delay(self.now) == Some(Duration::ZERO) {
                self.client.handle(self.now, Input::Tick, &mut self.out);
                self.look();
            }
            if self.transport == Some(*transport) {
                self.transport = None;
            }
        }
        self.client.handle(self.now, input, &mut self.out);
        self.look();
    }

    /// Subscription 0 watches every channel.
    fn subscribe(&mut self) {
        for name in CHANNELS {
            let waits = self.subscribing.values().any(|channel| channel == name);
            if self.client.channel(name).is_none() {
                self.folded.remove(name);
                self.channels.remove(name);
            } else if !self.folded.contains_key(name) && !waits {
                let op = self.next_op;
                self.next_op += 1;
                self.subscribing.insert(op, name.into());
                // If it is refused for want of room, this goes again.
                self.folded.insert(name.into(), BTreeMap::new());
                self.handle(Input::subscribe(OpId(op), name, SubscriptionId(0)));
            }
        }
    }

    /// Checks the outputs.
    fn look(&mut self) {
        let outputs: Vec<Output> = self.out.drain().collect();
        for output in outputs {
            match output {
                Output::Open(output::Open { transport, .. }) => {
                    assert!(self.transport.is_none(), "a second transport");
                    assert!(transport.0 > self.last_transport, "a number used again");
                    self.last_transport = transport.0;
                    self.transport = Some(transport);
                }
                Output::Close(output::Close { transport, .. }) => {
                    assert_eq!(self.transport.take(), Some(transport));
                }
                Output::Send(output::Send { transport, .. }) => {
                    assert_eq!(self.transport, Some(transport));
                }
                Output::Connection(change) => {
                    assert_eq!(change.previous, self.connection);
                    match change.event {
                        // RTN4h
                        ConnectionEvent::State(state) => {
                            assert_eq!(state, change.current);
                            assert_ne!(state, self.connection);
                        }
                        ConnectionEvent::Update => assert_eq!(change.current, self.connection),
                    }
                    // TA3: these are unrequested.
                    assert!(
                        change.reason.is_some()
                            || !matches!(
                                change.current,
                                ConnectionState::Disconnected
                                    | ConnectionState::Suspended
                                    | ConnectionState::Failed
                            ),
                        "{change:?}"
                    );
                    self.connection = change.current;
                }
                Output::Channel(output::Channel { channel, change, .. }) => {
                    if self.released.remove(&channel)
                        && change.previous == ChannelState::Initialized
                    {
                        self.channels.remove(&channel);
                        self.folded.remove(&channel);
                    }
                    let state = self.channels.entry(channel.clone()).or_default();
                    assert_eq!(change.previous, *state, "{channel}");
                    match change.event {
                        // RTL2g
                        ChannelEvent::State(next) => {
                            assert_eq!(next, change.current);
                            assert_ne!(next, *state);
                        }
                        ChannelEvent::Update => assert_eq!(change.current, *state),
                    }
                    // TH3: nor for these.
                    assert!(
                        change.reason.is_some()
                            || !matches!(
                                change.current,
                                ChannelState::Suspended | ChannelState::Failed
                            ),
                        "{change:?}"
                    );
                    *state = change.current;
                    if matches!(change.current, ChannelState::Detached | ChannelState::Failed)
                        && let Some(folded) = self.folded.get_mut(&channel)
                    {
                        // RTP5a
                        folded.clear();
                    }
                }
                Output::Presence(output::Presence { channel, message, subscriptions, .. }) => {
                    assert!(subscriptions.iter().len() > 0);
                    if subscriptions.contains(SubscriptionId(0)) {
                        self.fold(&channel, message);
                    }
                }
                Output::Done(output::Done { op, result, .. }) => {
                    assert!(self.open_ops.remove(&op.0), "operation {} ended twice", op.0);
                    if let Some(channel) = self.releasing.remove(&op.0)
                        && result.is_ok()
                    {
                        self.folded.remove(&channel);
                        self.released.insert(channel);
                    }
                    if let Some(channel) = self.subscribing.remove(&op.0)
                        && result.is_err_and(|error| error.code == 40000)
                    {
                        self.folded.remove(&channel);
                    }
                }
                _ => {}
            }
        }
        for channel in core::mem::take(&mut self.released) {
            let view = self.client.channel(&channel);
            if view.is_none_or(|view| view.state() == ChannelState::Initialized) {
                self.channels.remove(&channel);
                self.folded.remove(&channel);
            }
        }
        assert_eq!(self.open_ops.len(), self.client.pending_operations());
        assert_eq!(self.client.connection().state(), self.connection);
    }

    fn fold(&mut self, channel: &SmolStr, message: PresenceMessage) {
        let Some(folded) = self.folded.get_mut(channel) else { return };
        let key = (message.client_id.clone().unwrap(), message.connection_id.clone().unwrap());
        if message.action == PresenceAction::Leave {
            assert!(folded.remove(&key).is_some(), "a leave of {key:?}, who was not there");
        } else {
            folded.insert(key, message);
        }
    }

    /// The events of a channel add up to its members, except those whose leave is emitted at the
    /// end of the sync.
    fn check_members(&self) {
        for (name, folded) in &self.folded {
            let Some(channel) = self.client.channel(name) else { continue };
            let state = self.channels.get(name).copied().unwrap_or_default();
            assert_eq!(channel.state(), state);
            let mut delivered = folded.clone();
            for member in channel.members() {
                let key = (member.client_id().clone(), member.connection_id().clone());
                let mut event = delivered.remove(&key).expect("subscribers know of every member");
                event.action = PresenceAction::Present;
                assert_eq!(event, member.to_message(PresenceAction::Present));
            }
            for (client_id, connection_id) in delivered.keys() {
                assert!(channel.is_syncing(), "no leave of {client_id}");
                assert!(channel.member(client_id, connection_id).is_none());
                assert!(channel.member_set().find(client_id, connection_id).is_some());
            }
            let limits = self.client.options().limits;
            assert!(channel.member_set().stored() <= limits.members);
            assert!(channel.own_member_count() <= limits.own_members);
            assert!(self.client.channel_count() <= limits.channels);
            assert!(self.client.pending_operations() <= limits.pending_operations);
        }
    }
}

/// The same input as the operation of this number.
fn with_op(mut input: Input, number: OpId) -> Input {
    match &mut input {
        Input::Ping(input::Ping { op, .. })
        | Input::Authorize(input::Authorize { op, .. })
        | Input::Attach(input::Attach { op, .. })
        | Input::Detach(input::Detach { op, .. })
        | Input::SetOptions(input::SetOptions { op, .. })
        | Input::Release(input::Release { op, .. })
        | Input::Presence(input::Presence { op, .. })
        | Input::Get(input::Get { op, .. })
        | Input::Subscribe(input::Subscribe { op, .. })
        | Input::Send(input::Send { op, .. }) => *op = number,
        _ => {}
    }
    input
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    /// RTC11, RSF1: no input leaves the client in pieces.
    #[test]
    fn rtc11_any_sequence_of_inputs_keeps_the_client_whole(
        options in options(),
        begun in proptest::bool::weighted(0.7),
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut checked = Checked::new(options);
        for step in begun.then(beginning).into_iter().flatten().chain(steps) {
            checked.step(step);
        }
    }
}
