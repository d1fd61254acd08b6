//! The bodies of the fuzz targets. They accept any bytes and panic if a property is violated. On
//! stable Rust, tests run them on the corpus.

use crate::check::DerivedMembers;
use crate::scenario::Scenario;
use arbitrary::{Result, Unstructured};
use core::time::Duration;
use presence_proto::client::{
    self, ChannelOptions, Client, ClientOptions, GetParams, Output, PresenceChange, output,
};
use presence_proto::server::{
    self, Capability, ConnectRequest, Identity, Operations, Server, ServerEvent, ServerOptions,
};
use presence_proto::wire::{
    Action, ConnectionDetails, Data, ErrorInfo, Flags, Format, Modes, PresenceAction,
    PresenceMessage, ProtocolMessage, codes,
};
use presence_proto::{Instant, Now, OpId, SmolStr, SubscriptionId, TransportId, UnixMillis, Wake};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use crate::scenario::random_bytes;

/// The maximum number of ticks at one time.
const MAX_TICKS: usize = 5_000;

/// All checks of [`Scenario::run`] hold for any scenario.
///
/// # Panics
///
/// If a property is violated.
pub fn world(bytes: &[u8]) {
    if let Err(failure) = Scenario::from_bytes(bytes).run() {
        panic!("{failure}");
    }
}

/// For any inputs, a client does not panic, ends each operation at most once, emits events that
/// give the members that it lists, and does not loop on its deadlines.
///
/// # Panics
///
/// If a property is violated.
pub fn client_inputs(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    // An error means that the bytes are used up.
    let _ = drive_client(&mut u);
}

/// For any inputs, a server does not panic, sends only to open transports, emits events that give
/// its members, and has no state when all transports have closed and all deadlines have passed.
///
/// # Panics
///
/// If a property is violated.
pub fn server_inputs(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    let _ = drive_server(&mut u);
}

/// For any frames, a client does not panic and emits events that give the members that it lists.
/// Each line is a frame as JSON, or a number of milliseconds by which the clock advances.
///
/// # Panics
///
/// If a property is violated.
pub fn trace_replay(bytes: &[u8]) {
    let mut options = ClientOptions::default();
    options.client_id = Some("me".into());
    let mut driver = ClientDriver::new(options);
    driver.call(client::Input::Connect);
    driver.subscribe_all();
    driver.open_transport();
    for line in bytes.split(|&byte| byte == b'\n').take(1_000) {
        let number = core::str::from_utf8(line).ok().and_then(|text| text.trim().parse().ok());
        if let Some(millis) = number {
            driver.advance(u32::min(millis, 1_000_000).into());
            driver.open_transport();
        } else if let Ok(frame) = ProtocolMessage::decode(Format::Json, line) {
            let transport = driver.transport();
            driver.call(client::Input::received(transport, frame));
            driver.open_transport();
        }
    }
}

struct ClientDriver {
    core: Client,
    out: client::Outbox,
    now: u64,
    wake: Wake,
    transports: Vec<TransportId>,
    next_op: u64,
    running: BTreeSet<OpId>,
    derived: BTreeMap<SmolStr, DerivedMembers>,
    wall: i64,
}

const CHANNELS: &[&str] = &["ch", "room1", "room2"];
const CLIENTS: &[&str] = &["me", "alice", "bob", ""];
const CONNECTIONS: &[&str] = &["conn-1", "conn-2", "conn"];

impl ClientDriver {
    fn new(options: ClientOptions) -> Self {
        let core = Client::new(options, 1);
        Self {
            wake: core.next_wake(),
            core,
            out: client::Outbox::new(),
            now: 0,
            transports: Vec::new(),
            next_op: 1,
            running: BTreeSet::new(),
            derived: BTreeMap::new(),
            wall: 1_000_000,
        }
    }

    fn op(&mut self) -> OpId {
        let op = OpId(self.next_op);
        self.next_op += 1;
        self.running.insert(op);
        op
    }

    fn subscribe_all(&mut self) {
        for channel in CHANNELS {
            let op = self.op();
            let mut options = ChannelOptions::default();
            options.attach_on_subscribe = false;
            self.call(client::Input::set_options(op, *channel, options));
            let op = self.op();
            self.call(client::Input::subscribe(op, *channel, SubscriptionId(op.0)));
            let op = self.op();
            self.call(client::Input::attach(op, *channel));
        }
    }

    fn transport(&self) -> TransportId {
        self.transports.last().copied().unwrap_or(TransportId(0))
    }

    /// The newest transport opens.
    fn open_transport(&mut self) {
        let transport = self.transport();
        self.call(client::Input::opened(transport));
    }

    fn now(&self) -> Now {
        let wall = self.wall.saturating_add_unsigned(self.now);
        Now::new(Instant::from_millis(self.now), UnixMillis::from_millis(wall))
    }

    /// Advances the clock, with a tick for each deadline.
    fn advance(&mut self, millis: u64) {
        let until = self.now.saturating_add(millis);
        let mut calls = 0;
        while let Some(at) = self.wake.at().map(|at| at.as_millis()).filter(|at| *at <= until) {
            if at > self.now {
                self.now = at;
                calls = 0;
            }
            calls += 1;
            assert!(calls < MAX_TICKS, "the client loops on its deadlines");
            self.call(client::Input::Tick);
        }
        self.now = until;
    }

    fn call(&mut self, input: client::Input) {
        self.wake = self.core.handle(self.now(), input, &mut self.out);
        assert_eq!(self.core.internal_errors(), 0);
        for output in self.out.drain() {
            match output {
                Output::Open(output::Open { transport, .. }) => self.transports.push(transport),
                Output::Send(output::Send { transport, .. }) => {
                    assert!(
                        self.transports.contains(&transport),
                        "it sends on an unknown transport"
                    );
                }
                Output::Done(output::Done { op, .. }) => {
                    assert!(self.running.remove(&op), "{op:?} ends twice or was not started");
                }
                Output::Presence(output::Presence { channel, message, .. }) => {
                    if let Err(reason) = self.derived.entry(channel).or_default().apply(&message) {
                        panic!("{reason}");
                    }
                }
                Output::Channel(output::Channel { channel, change, .. }) => {
                    self.derived.entry(channel).or_default().apply_channel(change.event);
                }
                _ => {}
            }
        }
        for (channel, members) in &self.derived {
            if let Err(reason) = members.compare(&self.core, channel) {
                panic!("{channel}: {reason}");
            }
        }
    }
}

fn drive_client(u: &mut Unstructured<'_>) -> Result<()> {
    let mut options = ClientOptions::default();
    options.client_id = if u.arbitrary()? { Some("me".into()) } else { None };
    options.queue_messages = u.ratio(3, 4)?;
    options.strict_mode = u.arbitrary()?;
    options.token_renewable = u.arbitrary()?;
    options.limits.pending_operations = *u.choose(&[1_000, 3])?;
    options.budget = *u.choose(&[1_000, 1])?;
    let mut driver = ClientDriver::new(options);
    driver.subscribe_all();
    for _ in 0..400 {
        if u.is_empty() {
            break;
        }
        match u.int_in_range(0..=31)? {
            0..=3 => driver.advance(millis(u)?),
            4 => driver.wall = driver.wall.saturating_add(i64::from(u.arbitrary::<i32>()?)),
            5..=7 => driver.open_transport(),
            8..=18 => {
                let transport = transport(u, &driver.transports)?;
                let frame = frame_to_client(u)?;
                driver.call(client::Input::received(transport, frame));
            }
            _ => {
                let input = client_input(u, &mut driver)?;
                driver.call(input);
            }
        }
    }
    driver.advance(10_000);
    Ok(())
}

fn client_input(u: &mut Unstructured<'_>, driver: &mut ClientDriver) -> Result<client::Input> {
    use client::Input;
    let channel: SmolStr = (*u.choose(CHANNELS)?).into();
    Ok(match u.int_in_range(0..=21)? {
        0..=1 => Input::Connect,
        2 => Input::Close,
        3 => Input::ping(driver.op()),
        4 => Input::authorize(driver.op(), "token"),
        5 => Input::Token(if u.arbitrary()? { Ok("token".into()) } else { Err(error(u)?) }),
        6 => Input::open_failed(transport(u, &driver.transports)?, None),
        7..=8 => Input::closed(transport(u, &driver.transports)?, Some(error(u)?)),
        9 => Input::activity(transport(u, &driver.transports)?),
        10 => Input::NetworkLost,
        11 => Input::NetworkAvailable,
        12 => Input::attach(driver.op(), channel),
        13 => Input::detach(driver.op(), channel),
        14 => {
            let mut options = ChannelOptions::default();
            options.modes = Some(Modes::from_bits_truncate(u.arbitrary::<u32>()?.into()));
            options.attach_on_subscribe = false;
            Input::set_options(driver.op(), channel, options)
        }
        15..=18 => {
            let action = presence_action(u)?;
            let mut change = PresenceChange::new(action, data(u)?);
            if u.arbitrary()? {
                change = change.of_client(*u.choose(CLIENTS)?);
            }
            Input::presence(driver.op(), channel, change)
        }
        19 => {
            let mut params = GetParams::default();
            params.wait_for_sync = u.arbitrary()?;
            Input::get_with(driver.op(), channel, params)
        }
        20 => Input::send(driver.op(), Box::new(frame_to_server(u)?)),
        _ => Input::Tick,
    })
}

fn drive_server(u: &mut Unstructured<'_>) -> Result<()> {
    let mut config = ServerOptions::default();
    config.sync_page_members = *u.choose(&[1, 2, 100])?;
    config.budget = *u.choose(&[1, 1_000])?;
    config.limits.channels = *u.choose(&[2, 1_000])?;
    config.limits.members_per_channel = *u.choose(&[2, 1_000])?;
    config.limits.connections = *u.choose(&[2, 1_000])?;
    config.limits.replies_while_congested = *u.choose(&[2, 1_000])?;
    config.limits.refused_frames = *u.choose(&[2, 1_000])?;
    let core = Server::new(config, [3; 32]);
    let mut driver = ServerDriver {
        wake: core.next_wake(),
        core,
        out: server::Outbox::new(),
        now: 0,
        wall: 1_000_000,
        open: BTreeSet::new(),
        keys: Vec::new(),
        from_events: BTreeMap::new(),
    };
    for _ in 0..400 {
        if u.is_empty() {
            break;
        }
        match u.int_in_range(0..=23)? {
            0..=3 => driver.advance(millis(u)?),
            4 => driver.wall = driver.wall.saturating_add(i64::from(u.arbitrary::<i32>()?)),
            _ => {
                let input = server_input(u, &driver)?;
                driver.call(input);
            }
        }
    }
    driver.close_all();
    Ok(())
}

struct ServerDriver {
    core: Server,
    out: server::Outbox,
    now: u64,
    wall: i64,
    wake: Wake,
    open: BTreeSet<TransportId>,
    keys: Vec<SmolStr>,
    from_events: BTreeMap<SmolStr, BTreeMap<(SmolStr, SmolStr), SmolStr>>,
}

impl ServerDriver {
    fn advance(&mut self, millis: u64) {
        let until = self.now.saturating_add(millis);
        let mut calls = 0;
        while let Some(at) = self.wake.at().map(|at| at.as_millis()).filter(|at| *at <= until) {
            if at > self.now {
                self.now = at;
                calls = 0;
            }
            calls += 1;
            assert!(calls < MAX_TICKS, "the server loops on its deadlines");
            self.call(server::Input::Tick);
        }
        self.now = until;
    }

    fn call(&mut self, input: server::Input) {
        let closes = match &input {
            server::Input::Opened(server::input::Opened { transport, .. }) => {
                self.open.insert(*transport);
                None
            }
            // Due outputs precede the input.
            server::Input::Closed(server::input::Closed { transport, .. }) => Some(*transport),
            _ => None,
        };
        let wall = self.wall.saturating_add_unsigned(self.now);
        let now = Now::new(Instant::from_millis(self.now), UnixMillis::from_millis(wall));
        self.wake = self.core.handle(now, input, &mut self.out);
        let outputs: Vec<server::Output> = self.out.drain().collect();
        for output in outputs {
            self.output(output);
        }
        if let Some(transport) = closes {
            self.open.remove(&transport);
        }
        for (channel, expected) in &self.from_events {
            let mut query = server::PresenceQuery::default();
            query.limit = server::MAX_PAGE;
            let page = self.core.presence(channel, &query).unwrap_or_default();
            let set: BTreeMap<_, _> = page.items.iter().map(event_parts).collect();
            assert_eq!(&set, expected, "the server's events do not give its members of {channel}");
        }
    }

    fn output(&mut self, output: server::Output) {
        match output {
            server::Output::Send(server::output::Send { to, frame, .. }) => {
                for transport in to.iter() {
                    let open = self.open.contains(&transport);
                    assert!(open, "a frame for a closed transport {transport:?}: {frame:?}");
                }
                let details = frame.into_message().connection_details;
                self.keys.extend(details.and_then(|details| details.connection_key));
            }
            server::Output::Close(server::output::Close { transport, .. }) => {
                assert!(self.open.remove(&transport), "it closes a transport that is not open");
            }
            server::Output::Event(ServerEvent::MemberEntered(server::output::MemberEntered {
                channel,
                message,
                ..
            })) => {
                let (key, id) = event_parts(&message);
                let before = self.from_events.entry(channel).or_default().insert(key, id);
                assert!(before.is_none(), "enters twice: {message:?}");
            }
            server::Output::Event(ServerEvent::MemberUpdated(server::output::MemberUpdated {
                channel,
                message,
                ..
            })) => {
                let (key, id) = event_parts(&message);
                let before = self.from_events.entry(channel).or_default().insert(key, id);
                assert!(before.is_some(), "updates, but is not present: {message:?}");
            }
            server::Output::Event(ServerEvent::MemberLeft(server::output::MemberLeft {
                channel,
                message,
                ..
            })) => {
                let (key, _) = event_parts(&message);
                let before = self.from_events.entry(channel).or_default().remove(&key);
                assert!(before.is_some(), "leaves, but is not present: {message:?}");
            }
            _ => {}
        }
    }

    fn close_all(&mut self) {
        for transport in self.open.clone() {
            if self.open.contains(&transport) {
                self.call(server::Input::closed(transport));
            }
        }
        self.advance(2_000_000);
        let counters = self.core.counters();
        let left = [
            counters.connections,
            counters.transports,
            counters.channels,
            counters.attachments,
            counters.members,
            counters.member_bytes,
            counters.history_bytes,
            counters.syncs_running,
            counters.congested,
        ];
        assert_eq!(left, [0; 9], "state remains after all have closed: {counters:?}");
        assert_eq!(self.wake.at(), None, "a deadline remains after all have closed");
    }
}

fn event_parts(message: &PresenceMessage) -> ((SmolStr, SmolStr), SmolStr) {
    let key = (
        message.connection_id.clone().unwrap_or_default(),
        message.client_id.clone().unwrap_or_default(),
    );
    (key, message.id.clone().unwrap_or_default())
}

fn server_input(u: &mut Unstructured<'_>, driver: &ServerDriver) -> Result<server::Input> {
    use server::Input;
    let transport = TransportId(u.int_in_range(0..=5)?);
    Ok(match u.int_in_range(0..=31)? {
        0..=6 => {
            let identity = identity(u)?;
            let capability = Arc::new(capability(u)?);
            let mut request = ConnectRequest::new(identity, capability);
            if u.arbitrary()? && !driver.keys.is_empty() {
                request.resume = Some(u.choose(&driver.keys)?.clone());
            }
            request.remain_present_for =
                *u.choose(&[None, Some(Duration::ZERO), Some(Duration::from_secs(60))])?;
            request.echo = u.arbitrary()?;
            request.heartbeats = u.arbitrary()?;
            // A deadline in the same call may free a number in use. Then outputs would be
            // ambiguous.
            if driver.open.contains(&transport) {
                Input::Tick
            } else {
                Input::opened(transport, request)
            }
        }
        7..=22 => Input::received(transport, frame_to_server(u)?),
        23 => Input::undecodable(transport, error(u)?),
        24 => Input::activity(transport),
        25 => Input::closed(transport),
        26 => Input::congested(transport),
        27 => Input::writable(transport),
        28 => Input::authorized(
            transport,
            identity(u)?,
            Arc::new(capability(u)?),
            if u.arbitrary()? {
                Some(UnixMillis::from_millis(1_000_000 + i64::from(u.arbitrary::<i32>()?)))
            } else {
                None
            },
        ),
        29 => Input::authorization_failed(transport, error(u)?),
        30 => Input::kick(*u.choose(CHANNELS)?, None, None),
        _ if u.ratio(1, 20)? => Input::drain(Duration::from_millis(millis(u)?)),
        _ => Input::disconnect(transport, error(u)?),
    })
}

fn identity(u: &mut Unstructured<'_>) -> Result<Identity> {
    Ok(match u.int_in_range(0..=3)? {
        0 => Identity::Anonymous,
        1 => Identity::Any,
        _ => Identity::Client((*u.choose(CLIENTS)?).into()),
    })
}

fn capability(u: &mut Unstructured<'_>) -> Result<Capability> {
    if u.ratio(3, 4)? {
        return Ok(Capability::all());
    }
    let operations = Operations::from_bits_truncate(u.arbitrary()?);
    Ok(Capability::none().allow(*u.choose(CHANNELS)?, operations))
}

fn millis(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(*u.choose(&[0, 1, 100, 1_000, 5_000, 10_000, 15_000, 25_000, 30_000, 60_000, 121_000])?)
}

fn transport(u: &mut Unstructured<'_>, known: &[TransportId]) -> Result<TransportId> {
    match known.last() {
        Some(last) if u.ratio(7, 8)? => Ok(*last),
        Some(_) => Ok(*u.choose(known)?),
        None => Ok(TransportId(u.arbitrary()?)),
    }
}

fn presence_action(u: &mut Unstructured<'_>) -> Result<PresenceAction> {
    Ok(PresenceAction::from_number(u.int_in_range(0..=5)?))
}

fn error(u: &mut Unstructured<'_>) -> Result<ErrorInfo> {
    let code = *u.choose(&[
        0,
        codes::BAD_REQUEST,
        codes::INVALID_CLIENT_ID,
        codes::TOKEN_EXPIRED,
        codes::CAPABILITY_DENIED,
        codes::INTERNAL_ERROR,
        codes::CONNECTION_DISCONNECTED,
        codes::CONNECTION_RECOVERY_FAILED,
        codes::INVALID_CONNECTION_KEY,
        codes::PRESENCE_WITHOUT_CLIENT_ID,
    ])?;
    let status = *u.choose(&[0, 400, 401, 403, 500])?;
    Ok(ErrorInfo::new(code, status, "generated"))
}

fn data(u: &mut Unstructured<'_>) -> Result<Option<Data>> {
    Ok(match u.int_in_range(0..=4)? {
        0 => None,
        1 => Some(Data::Binary(u.bytes(2)?.into())),
        n => Some(Data::String(format!("{n}").into())),
    })
}

fn optional<T>(
    u: &mut Unstructured<'_>,
    make: impl FnOnce(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Option<T>> {
    if u.ratio(2, 3)? { make(u).map(Some) } else { Ok(None) }
}

fn item(u: &mut Unstructured<'_>) -> Result<PresenceMessage> {
    let mut item = PresenceMessage::new(presence_action(u)?);
    item.client_id = optional(u, |u| Ok((*u.choose(CLIENTS)?).into()))?;
    item.connection_id = optional(u, |u| Ok((*u.choose(CONNECTIONS)?).into()))?;
    item.id = optional(u, |u| {
        let connection = *u.choose(CONNECTIONS)?;
        let (serial, index) = (u.int_in_range(0..=3)?, u.int_in_range(0..=1)?);
        Ok(if u.ratio(1, 6)? {
            SmolStr::from("server:1")
        } else {
            format!("{connection}:{serial}:{index}").into()
        })
    })?;
    item.timestamp = optional(u, |u| Ok(UnixMillis::from_millis(u.int_in_range(0..=5)?)))?;
    item.data = data(u)?;
    item.encoding = optional(u, |u| {
        Ok((*u.choose(&["", "json", "utf-8", "json/utf-8/base64", "cipher+aes-128-cbc"])?).into())
    })?;
    Ok(item)
}

fn frame(u: &mut Unstructured<'_>, action: Action) -> Result<ProtocolMessage> {
    let mut frame = ProtocolMessage::new(action);
    if u.ratio(7, 8)? {
        frame.channel = Some((*u.choose(CHANNELS)?).into());
    }
    frame.msg_serial =
        optional(u, |u| Ok(if u.ratio(1, 30)? { u.arbitrary()? } else { u.int_in_range(0..=6)? }))?;
    if u.ratio(1, 3)? {
        frame.count = Some(if u.ratio(1, 30)? { u.arbitrary()? } else { u.int_in_range(0..=3)? });
    }
    if u.ratio(1, 4)? {
        frame.error = Some(Box::new(error(u)?));
    }
    frame.connection_id = optional(u, |u| Ok((*u.choose(CONNECTIONS)?).into()))?;
    frame.id = optional(u, |u| Ok((*u.choose(&["conn-1:0", "conn-2:3", "x"])?).into()))?;
    if u.arbitrary()? {
        frame.timestamp = Some(UnixMillis::from_millis(u.int_in_range(0..=5)?));
    }
    if matches!(action, Action::Presence | Action::Sync) {
        for _ in 0..u.int_in_range(0..=3)? {
            frame.presence.push(item(u)?);
        }
        frame.channel_serial =
            optional(u, |u| Ok((*u.choose(&["a:", "a:1", "b:", "b:2", "", ":", "a"])?).into()))?;
    } else if u.arbitrary()? {
        let flags = u.arbitrary::<u32>()?;
        frame.flags = Some(Flags::from_bits_retain(flags.into()));
    }
    Ok(frame)
}

fn frame_to_client(u: &mut Unstructured<'_>) -> Result<ProtocolMessage> {
    let action = match u.int_in_range(0..=23)? {
        0..=4 => Action::Connected,
        5..=8 => Action::Attached,
        9..=12 => Action::Presence,
        13..=15 => Action::Sync,
        16 => Action::Ack,
        17 => Action::Nack,
        18 => Action::Detached,
        19 => Action::Error,
        20 => Action::Disconnected,
        _ => Action::from_number(u.int_in_range(0..=23)?),
    };
    let mut frame = frame(u, action)?;
    if action == Action::Connected {
        let mut details = ConnectionDetails::default();
        details.client_id = optional(u, |u| Ok((*u.choose(&["me", "*", "alice"])?).into()))?;
        details.connection_key = optional(u, |u| Ok((*u.choose(&["key-1", "key-2"])?).into()))?;
        details.max_idle_interval = optional(u, |u| Ok(*u.choose(&[0, 1, 15_000, u64::MAX])?))?;
        details.connection_state_ttl = optional(u, |u| Ok(*u.choose(&[0, 120_000, u64::MAX])?))?;
        details.max_message_size = optional(u, |u| Ok(*u.choose(&[0, 65_536])?))?;
        frame.connection_details = Some(Box::new(details));
        frame.channel = None;
    }
    if action == Action::Ack {
        frame.channel = None;
    }
    Ok(frame)
}

fn frame_to_server(u: &mut Unstructured<'_>) -> Result<ProtocolMessage> {
    let action = match u.int_in_range(0..=15)? {
        0..=3 => Action::Attach,
        4..=9 => Action::Presence,
        10 => Action::Detach,
        11 => Action::Message,
        12 => Action::Sync,
        13 => Action::Heartbeat,
        14 if u.ratio(1, 4)? => Action::Close,
        _ => Action::from_number(u.int_in_range(0..=23)?),
    };
    frame(u, action)
}
