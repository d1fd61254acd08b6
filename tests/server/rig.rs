//! A server on a fake clock: frames go in as JSON, what comes out can be asked for and is a line
//! of text.
//!
//! After every call a copy of the member sets that is kept from events alone is compared with the
//! server's own sets.

use crate::text::{decode, frame_line, presence_line};
use core::fmt::Write as _;
use core::time::Duration;
use presence_proto::server::{
    Capability, ConnectRequest, Frame, HistoryPage, HistoryQuery, Identity, Input, LeaveCause,
    Operations, Outbox, Output, Position, PresenceQuery, Server, ServerEvent, ServerOptions, input,
    output,
};
use presence_proto::wire::{Action, ErrorInfo, PresenceAction, PresenceMessage, ProtocolMessage};
use presence_proto::{Instant, Now, TransportId, UnixMillis, Wake};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The wall clock at the start.
pub(crate) const WALL: i64 = 1_700_000_000_000;

/// The channel of most tests.
pub(crate) const CHANNEL: &str = "ch";

type Sets = BTreeMap<String, BTreeMap<(String, String), PresenceMessage>>;

/// A server, the time, and what its host knows.
#[derive(Clone, Debug)]
pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) time: u64,
    /// How far the wall clock was set forth, or back, since the start.
    pub(crate) wall_step: i64,
    /// Every line since the beginning, with what went in, for snapshots.
    pub(crate) log: Option<String>,
    wake: Option<Wake>,
    opened: u64,
    /// By transport: connection id and key, as CONNECTED told them.
    connections: BTreeMap<u64, (String, String)>,
    copy: Sets,
    /// Whether there are events to keep it from.
    events: bool,
    /// The last position in each channel.
    positions: BTreeMap<String, Position>,
    first_presence: Option<String>,
    /// The connection ids and the serials that were seen, in order: they get short names in lines.
    ids: Vec<String>,
    serials: Vec<String>,
}

/// What came of one call, or of several.
#[derive(Clone, Debug, Default)]
pub(crate) struct Came {
    /// Pages of syncs, as they came.
    pub(crate) pages: Vec<Frame>,
    /// Frames, with the transport that each went to.
    pub(crate) sent: Vec<(u64, ProtocolMessage)>,
    pub(crate) events: Vec<ServerEvent>,
    pub(crate) pings: Vec<u64>,
    pub(crate) closed: Vec<u64>,
    /// The other outputs.
    pub(crate) others: Vec<Output>,
    /// Frames that went out, a broadcast counted once.
    pub(crate) frames: usize,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(ServerOptions::default())
    }

    pub(crate) fn with(config: ServerOptions) -> Self {
        Self::seeded(config, 7)
    }

    pub(crate) fn seeded(config: ServerOptions, seed: u8) -> Self {
        let events = config.events;
        Self {
            server: Server::new(config, [seed; 32]),
            time: 0,
            wall_step: 0,
            log: None,
            wake: None,
            opened: 0,
            connections: BTreeMap::new(),
            copy: Sets::new(),
            events,
            positions: BTreeMap::new(),
            first_presence: None,
            ids: Vec::new(),
            serials: Vec::new(),
        }
    }

    /// A server whose story is written down.
    pub(crate) fn logging(config: ServerOptions) -> Self {
        Self { log: Some(String::new()), ..Self::with(config) }
    }

    // ---- What goes in

    /// A transport opens for a client id (`*`: any, empty: none) that may do everything. Tells the
    /// transport's number.
    pub(crate) fn open(&mut self, client_id: &str) -> u64 {
        self.open_for(request(client_id)).0
    }

    /// The same with a request of the test's own. Tells what came of it, too.
    pub(crate) fn open_for(&mut self, request: ConnectRequest) -> (u64, Came) {
        self.opened += 1;
        let transport = TransportId(self.opened);
        let came = self.input(Input::opened(transport, request));
        (self.opened, came)
    }

    /// A transport opens and resumes the connection that `old` serves or served.
    pub(crate) fn resume(&mut self, client_id: &str, old: u64) -> (u64, Came) {
        let mut request = request(client_id);
        request.resume = Some(self.key(old).into());
        self.open_for(request)
    }

    /// A transport breaks.
    pub(crate) fn lose(&mut self, transport: u64) -> Came {
        self.input(Input::closed(TransportId(transport)))
    }

    /// A frame comes in.
    pub(crate) fn recv(&mut self, transport: u64, frame: Json) -> Came {
        self.frame(transport, decode(&frame))
    }

    pub(crate) fn frame(&mut self, transport: u64, frame: ProtocolMessage) -> Came {
        self.input(Input::received(TransportId(transport), frame))
    }

    pub(crate) fn attach(&mut self, transport: u64, channel: &str) -> Came {
        self.recv(transport, json!({"action": 10, "channel": channel}))
    }

    /// The same by a client that knows a serial.
    pub(crate) fn attach_again(&mut self, transport: u64, channel: &str, serial: &str) -> Came {
        self.recv(transport, json!({"action": 10, "channel": channel, "channelSerial": serial}))
    }

    /// A transport that is connected and attached to the usual channel.
    pub(crate) fn join(&mut self, client_id: &str) -> u64 {
        let transport = self.open(client_id);
        let came = self.attach(transport, CHANNEL);
        assert_eq!(came.codes(transport), [0; 0], "the attach of {client_id} is refused");
        transport
    }

    /// A PRESENCE frame with one item, on the usual channel.
    pub(crate) fn presence(&mut self, transport: u64, serial: i64, item: Json) -> Came {
        self.recv(
            transport,
            json!({"action": 14, "channel": CHANNEL, "msgSerial": serial, "presence": [item]}),
        )
    }

    pub(crate) fn enter(&mut self, transport: u64, serial: i64, data: &str) -> Came {
        self.presence(transport, serial, json!({"action": 2, "data": data}))
    }

    pub(crate) fn update(&mut self, transport: u64, serial: i64, data: &str) -> Came {
        self.presence(transport, serial, json!({"action": 4, "data": data}))
    }

    pub(crate) fn leave(&mut self, transport: u64, serial: i64) -> Came {
        self.presence(transport, serial, json!({"action": 3}))
    }

    pub(crate) fn congested(&mut self, transport: u64) -> Came {
        self.input(Input::congested(TransportId(transport)))
    }

    pub(crate) fn writable(&mut self, transport: u64) -> Came {
        self.input(Input::writable(TransportId(transport)))
    }

    pub(crate) fn authorized(&mut self, transport: u64, capability: Capability) -> Came {
        let identity = Identity::Any;
        self.input(Input::authorized(TransportId(transport), identity, Arc::new(capability), None))
    }

    /// Something happens now. What is due at once is worked off.
    pub(crate) fn input(&mut self, input: Input) -> Came {
        if self.log.is_some() {
            let line = self.input_line(&input);
            self.say(&line);
        }
        let mut came = self.call(input);
        while self.next().is_some_and(|at| at <= self.time) {
            came.add(self.call(Input::Tick));
        }
        came
    }

    /// Time goes on; every timer fires at its own time.
    pub(crate) fn pass(&mut self, millis: u64) -> Came {
        let end = self.time + millis;
        let mut came = Came::default();
        while let Some(at) = self.next().filter(|&at| at <= end) {
            self.time = self.time.max(at);
            came.add(self.call(Input::Tick));
        }
        self.time = end;
        came
    }

    /// The same to a moment.
    pub(crate) fn pass_to(&mut self, time: u64) -> Came {
        self.pass(time.saturating_sub(self.time))
    }

    /// Time goes on while these peers answer every ping.
    pub(crate) fn pass_alive(&mut self, millis: u64, transports: &[u64]) -> Came {
        let end = self.time + millis;
        let mut came = Came::default();
        while self.time < end {
            came.add(self.pass((end - self.time).min(5_000)));
            for &transport in transports {
                came.add(self.call(Input::activity(TransportId(transport))));
            }
        }
        came
    }

    /// When the server wants to be called next.
    pub(crate) fn next(&self) -> Option<u64> {
        self.wake.and_then(Wake::at).map(|at| at.as_millis())
    }

    pub(crate) fn now(&self) -> Now {
        Now::new(Instant::from_millis(self.time), UnixMillis::from_millis(self.wall()))
    }

    pub(crate) fn wall(&self) -> i64 {
        WALL + self.wall_step + i64::try_from(self.time).expect("a short test")
    }

    /// One call of the server, and nothing else.
    pub(crate) fn call(&mut self, input: Input) -> Came {
        let mut out = Outbox::new();
        self.wake = Some(self.server.handle(self.now(), input, &mut out));
        let mut came = Came::default();
        for output in out {
            self.learn(&output);
            if self.log.is_some() {
                let line = self.output_line(&output);
                self.say(&line);
            }
            came.take(output);
        }
        self.compare();
        came
    }

    // ---- What is known

    /// The id of the connection that a transport serves or served.
    pub(crate) fn id(&self, transport: u64) -> &str {
        &self.connections[&transport].0
    }

    /// The key of that connection.
    pub(crate) fn key(&self, transport: u64) -> &str {
        &self.connections[&transport].1
    }

    /// The channel serial of the first PRESENCE that anybody was sent.
    pub(crate) fn serial_of_first_presence(&self) -> String {
        self.first_presence.clone().expect("nobody was told of anything")
    }

    /// The members of the usual channel, as `client=data`, sorted.
    pub(crate) fn members(&self) -> Vec<String> {
        self.members_of(CHANNEL)
    }

    pub(crate) fn members_of(&self, channel: &str) -> Vec<String> {
        let mut members: Vec<String> = self.set(channel).values().map(short).collect();
        members.sort();
        members
    }

    /// A channel's history, oldest first, as `action client`.
    pub(crate) fn history(&self) -> Vec<String> {
        let mut query = HistoryQuery::default();
        query.direction = presence_proto::server::Direction::Forwards;
        query.limit = 1_000;
        let page: HistoryPage = self.server.history(CHANNEL, &query).expect("a page");
        page.items.iter().map(|(_, message)| event(message)).collect()
    }

    fn set(&self, channel: &str) -> BTreeMap<(String, String), PresenceMessage> {
        let mut query = PresenceQuery::default();
        let mut set = BTreeMap::new();
        loop {
            let page = self.server.presence(channel, &query).expect("a page");
            for item in page.items {
                let wrong = set.insert(key(&item), item);
                assert!(wrong.is_none(), "a member is on two pages: {wrong:?}");
            }
            query.after = page.next;
            if query.after.is_none() {
                return set;
            }
        }
    }

    /// Everybody goes for good; then nothing may be left, not even a timer.
    pub(crate) fn end(mut self) {
        for transport in 0..=self.opened {
            if self.server.connection_id(TransportId(transport)).is_some() {
                self.lose(transport);
            }
        }
        self.pass(60 * 60 * 1_000);
        let counters = self.server.counters();
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
        assert_eq!(left, [0; 9], "{counters:?}");
        assert_eq!(self.server.timers(), 0);
        assert_eq!(self.next(), None);
        assert!(self.copy.values().all(BTreeMap::is_empty), "{:?}", self.copy);
    }

    // ---- The copy

    fn learn(&mut self, output: &Output) {
        if let Output::Send(output::Send { to, frame, .. }) = output
            && let frame = frame.head()
            && let Some(transport) = to.iter().next()
            && let (Some(id), Some(details)) = (&frame.connection_id, &frame.connection_details)
        {
            let key = details.connection_key.clone().unwrap_or_default();
            self.connections.insert(transport.0, (id.to_string(), key.to_string()));
            if !self.ids.contains(&id.to_string()) {
                self.ids.push(id.to_string());
            }
        }
        if let Output::Send(output::Send { frame, .. }) = output
            && let frame = frame.head()
            && frame.action == Action::Presence
            && self.first_presence.is_none()
        {
            self.first_presence = frame.channel_serial.as_ref().map(ToString::to_string);
        }
        let Output::Event(event) = output else { return };
        match event {
            ServerEvent::MemberEntered(output::MemberEntered {
                channel,
                position,
                message,
                ..
            }) => {
                self.position(channel, *position);
                let members = self.copy.entry(channel.to_string()).or_default();
                let before = members.insert(key(message), message.clone());
                assert_eq!(before, None, "it was there already");
            }
            ServerEvent::MemberUpdated(output::MemberUpdated {
                channel,
                position,
                message,
                ..
            }) => {
                self.position(channel, *position);
                let members = self.copy.entry(channel.to_string()).or_default();
                let before = members.insert(key(message), message.clone());
                assert!(before.is_some(), "it was not there: {message:?}");
            }
            ServerEvent::MemberLeft(output::MemberLeft { channel, position, message, .. }) => {
                self.position(channel, *position);
                let members = self.copy.entry(channel.to_string()).or_default();
                let before = members.remove(&key(message));
                assert!(before.is_some(), "it was not there: {message:?}");
            }
            ServerEvent::ChannelOccupied(output::ChannelOccupied { channel, .. }) => {
                assert_eq!(self.copy[channel.as_str()].len(), 1);
            }
            ServerEvent::ChannelVacant(output::ChannelVacant { channel, .. }) => {
                assert_eq!(self.copy[channel.as_str()].len(), 0);
            }
            _ => {}
        }
    }

    /// Positions grow from event to event.
    fn position(&mut self, channel: &str, position: Position) {
        let last = self.positions.insert(channel.to_owned(), position);
        assert!(last.is_none_or(|last| last < position), "{last:?} {position:?}");
    }

    /// The copy is what the server has.
    fn compare(&self) {
        if !self.events {
            return;
        }
        for (channel, members) in &self.copy {
            let set: BTreeMap<_, _> =
                members.iter().map(|(key, message)| (key.clone(), present(message))).collect();
            assert_eq!(set, self.set(channel), "the copy of {channel} is another");
        }
        let members: usize = self.copy.values().map(BTreeMap::len).sum();
        assert_eq!(members as u64, self.server.counters().members);
    }

    // ---- Lines

    fn say(&mut self, line: &str) {
        if self.log.is_none() || line.is_empty() {
            return;
        }
        let mut line = line.to_owned();
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
        for (number, id) in self.ids.iter().enumerate() {
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
            // The run of the server, which is random.
            line.replace_range(run..run + 8, "run");
        }
        if let Some(log) = &mut self.log {
            let _ = writeln!(log, "t={} {line}", self.time);
        }
    }

    fn input_line(&self, input: &Input) -> String {
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

    fn output_line(&self, output: &Output) -> String {
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
}

impl Came {
    fn take(&mut self, output: Output) {
        match output {
            Output::Send(output::Send { to, frame, .. }) => {
                self.frames += 1;
                assert_eq!(to.len(), to.iter().count());
                if frame.head().action == Action::Sync {
                    self.pages.push(frame.clone());
                }
                let frame = frame.into_message();
                self.sent.extend(to.iter().map(|to| (to.0, frame.clone())));
            }
            Output::Ping(output::Ping { transport, .. }) => self.pings.push(transport.0),
            Output::Close(output::Close { transport, .. }) => self.closed.push(transport.0),
            Output::Event(event) => self.events.push(event),
            other => self.others.push(other),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.pages.extend(other.pages);
        self.sent.extend(other.sent);
        self.events.extend(other.events);
        self.pings.extend(other.pings);
        self.closed.extend(other.closed);
        self.others.extend(other.others);
        self.frames += other.frames;
    }

    /// The frames that a transport was sent.
    pub(crate) fn to(&self, transport: u64) -> Vec<&ProtocolMessage> {
        self.sent.iter().filter(|(to, _)| *to == transport).map(|(_, frame)| frame).collect()
    }

    /// Those of one action.
    pub(crate) fn of(&self, transport: u64, action: Action) -> Vec<&ProtocolMessage> {
        self.to(transport).into_iter().filter(|frame| frame.action == action).collect()
    }

    /// The only frame of an action.
    pub(crate) fn one(&self, transport: u64, action: Action) -> &ProtocolMessage {
        let frames = self.of(transport, action);
        assert_eq!(frames.len(), 1, "{action:?}: {:?}", self.to(transport));
        frames[0]
    }

    /// The presence events that a transport was told, complete as a client makes them, in
    /// PRESENCE frames.
    pub(crate) fn items(&self, transport: u64) -> Vec<PresenceMessage> {
        items(self.of(transport, Action::Presence))
    }

    /// The same as `action client`.
    pub(crate) fn told(&self, transport: u64) -> Vec<String> {
        self.items(transport).iter().map(event).collect()
    }

    /// The members that a transport was told in SYNC frames, as `client=data`.
    pub(crate) fn synced(&self, transport: u64) -> Vec<String> {
        items(self.of(transport, Action::Sync)).iter().map(short).collect()
    }

    /// The codes of the errors that a transport was told.
    pub(crate) fn codes(&self, transport: u64) -> Vec<u32> {
        self.to(transport)
            .into_iter()
            .filter_map(|frame| frame.error.as_deref().map(|error: &ErrorInfo| error.code))
            .collect()
    }

    /// Why members left.
    pub(crate) fn causes(&self) -> Vec<LeaveCause> {
        let cause = |event: &ServerEvent| match event {
            ServerEvent::MemberLeft(output::MemberLeft { cause, .. }) => Some(*cause),
            _ => None,
        };
        self.events.iter().filter_map(cause).collect()
    }
}

/// A request of a client id that may do everything.
pub(crate) fn request(client_id: &str) -> ConnectRequest {
    let identity = Identity::from_client_id(Some(client_id));
    ConnectRequest::new(identity, Arc::new(Capability::all()))
}

/// A request with a grace of its own.
pub(crate) fn remaining(client_id: &str, millis: u64) -> ConnectRequest {
    let mut request = request(client_id);
    request.remain_present_for = Some(Duration::from_millis(millis));
    request
}

/// A capability for all channels.
pub(crate) fn may(operations: Operations) -> Capability {
    Capability::none().allow("*", operations)
}

fn items(frames: Vec<&ProtocolMessage>) -> Vec<PresenceMessage> {
    let mut items = Vec::new();
    for frame in frames {
        let mut frame = frame.clone();
        frame.inherit();
        items.extend(frame.presence);
    }
    items
}

fn key(message: &PresenceMessage) -> (String, String) {
    let text = |text: &Option<presence_proto::SmolStr>| text.clone().expect("a key").to_string();
    (text(&message.client_id), text(&message.connection_id))
}

/// The member that an event makes.
fn present(message: &PresenceMessage) -> PresenceMessage {
    let mut message = message.clone();
    message.action = PresenceAction::Present;
    message
}

/// `client=data`
pub(crate) fn short(message: &PresenceMessage) -> String {
    let client_id = message.client_id.as_deref().unwrap_or("?");
    match message.data.as_ref().and_then(|data| data.as_str()) {
        Some(data) => format!("{client_id}={data}"),
        None => client_id.to_owned(),
    }
}

/// `action client=data`
pub(crate) fn event(message: &PresenceMessage) -> String {
    format!("{} {}", format!("{:?}", message.action).to_lowercase(), short(message))
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
