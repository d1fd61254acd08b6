//! A server on a fake clock. The test is the far end of its transports.
//!
//! After every call the member sets that follow from the events alone are compared with the sets of
//! the server.

use crate::log::Log;
use crate::mirror::{Mirror, members_of};
use crate::outputs::{Outputs, event, short};
use crate::text::decode;
use core::time::Duration;
use presence_proto::server::{
    Capability, ConnectRequest, Direction, HistoryQuery, Identity, Input, Operations, Outbox,
    Output, Server, ServerOptions, output,
};
use presence_proto::wire::{Action, ProtocolMessage};
use presence_proto::{Instant, Now, TransportId, UnixMillis, Wake};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The wall clock at the start.
pub(crate) const WALL: i64 = 1_700_000_000_000;

/// The channel of most tests.
pub(crate) const CHANNEL: &str = "ch";

#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) server: Server,
    /// The monotonic clock in milliseconds.
    pub(crate) time: u64,
    /// How far the wall clock was stepped forward (or back) since the start.
    pub(crate) wall_step: i64,
    /// For snapshots.
    pub(crate) log: Option<Log>,
    wake: Option<Wake>,
    /// The number of the last transport.
    last_transport: u64,
    /// The connection id and key of each transport, from CONNECTED.
    connections: BTreeMap<u64, (String, String)>,
    /// `None` if the server emits no events.
    mirror: Option<Mirror>,
    first_presence: Option<String>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(ServerOptions::default())
    }

    pub(crate) fn with(options: ServerOptions) -> Self {
        Self::seeded(options, 7)
    }

    pub(crate) fn seeded(options: ServerOptions, seed: u8) -> Self {
        let mirror = options.events.then(Mirror::default);
        Self {
            server: Server::new(options, [seed; 32]),
            time: 0,
            wall_step: 0,
            log: None,
            wake: None,
            last_transport: 0,
            connections: BTreeMap::new(),
            mirror,
            first_presence: None,
        }
    }

    pub(crate) fn logged(options: ServerOptions) -> Self {
        Self { log: Some(Log::default()), ..Self::with(options) }
    }

    // Inputs. Each of these methods returns the outputs.

    /// A transport opens for a client id (`*`: any, empty: none) that is allowed everything.
    /// Returns its number.
    pub(crate) fn open(&mut self, client_id: &str) -> u64 {
        self.open_for(request(client_id)).0
    }

    /// The same with any request. Returns the outputs too.
    pub(crate) fn open_for(&mut self, request: ConnectRequest) -> (u64, Outputs) {
        self.last_transport += 1;
        let transport = TransportId(self.last_transport);
        let outputs = self.input(Input::opened(transport, request));
        (self.last_transport, outputs)
    }

    /// A transport opens and resumes the connection of the transport `old`.
    pub(crate) fn resume(&mut self, client_id: &str, old: u64) -> (u64, Outputs) {
        let mut request = request(client_id);
        request.resume = Some(self.key(old).into());
        self.open_for(request)
    }

    /// A transport closes.
    pub(crate) fn lose(&mut self, transport: u64) -> Outputs {
        self.input(Input::closed(TransportId(transport)))
    }

    /// A frame arrives.
    pub(crate) fn recv(&mut self, transport: u64, frame: Json) -> Outputs {
        self.recv_frame(transport, decode(&frame))
    }

    pub(crate) fn recv_frame(&mut self, transport: u64, frame: ProtocolMessage) -> Outputs {
        self.input(Input::received(TransportId(transport), frame))
    }

    pub(crate) fn attach(&mut self, transport: u64, channel: &str) -> Outputs {
        self.recv(transport, json!({"action": 10, "channel": channel}))
    }

    /// ATTACH with a channel serial.
    pub(crate) fn attach_again(&mut self, transport: u64, channel: &str, serial: &str) -> Outputs {
        self.recv(transport, json!({"action": 10, "channel": channel, "channelSerial": serial}))
    }

    /// A transport opens and attaches the usual channel. Returns its number.
    pub(crate) fn join(&mut self, client_id: &str) -> u64 {
        let transport = self.open(client_id);
        let outputs = self.attach(transport, CHANNEL);
        assert_eq!(outputs.error_codes(transport), [0; 0], "the attach of {client_id} is refused");
        transport
    }

    /// PRESENCE with one item, on the usual channel.
    pub(crate) fn presence(&mut self, transport: u64, serial: i64, item: Json) -> Outputs {
        self.recv(
            transport,
            json!({"action": 14, "channel": CHANNEL, "msgSerial": serial, "presence": [item]}),
        )
    }

    pub(crate) fn enter(&mut self, transport: u64, serial: i64, data: &str) -> Outputs {
        self.presence(transport, serial, json!({"action": 2, "data": data}))
    }

    pub(crate) fn update(&mut self, transport: u64, serial: i64, data: &str) -> Outputs {
        self.presence(transport, serial, json!({"action": 4, "data": data}))
    }

    pub(crate) fn leave(&mut self, transport: u64, serial: i64) -> Outputs {
        self.presence(transport, serial, json!({"action": 3}))
    }

    pub(crate) fn congested(&mut self, transport: u64) -> Outputs {
        self.input(Input::congested(TransportId(transport)))
    }

    pub(crate) fn writable(&mut self, transport: u64) -> Outputs {
        self.input(Input::writable(TransportId(transport)))
    }

    pub(crate) fn authorized(&mut self, transport: u64, capability: Capability) -> Outputs {
        let identity = Identity::Any;
        self.input(Input::authorized(TransportId(transport), identity, Arc::new(capability), None))
    }

    /// One input, and ticks until nothing is due.
    pub(crate) fn input(&mut self, input: Input) -> Outputs {
        if let Some(log) = &mut self.log {
            log.input(self.time, &input);
        }
        let mut outputs = self.call(input);
        outputs.extend(self.advance(0));
        outputs
    }

    /// Time passes; every timer fires at its own time.
    pub(crate) fn advance(&mut self, millis: u64) -> Outputs {
        let end = self.time + millis;
        let (mut outputs, mut ticks) = (Outputs::default(), 0);
        while let Some(at) = self.next_deadline().filter(|&at| at <= end) {
            self.time = self.time.max(at);
            outputs.extend(self.call(Input::Tick));
            ticks += 1;
            assert!(ticks < 10_000, "the server has a deadline that never ends");
        }
        self.time = end;
        outputs
    }

    pub(crate) fn advance_to(&mut self, time: u64) -> Outputs {
        self.advance(time.saturating_sub(self.time))
    }

    /// Time passes while these peers answer pings.
    pub(crate) fn advance_alive(&mut self, millis: u64, transports: &[u64]) -> Outputs {
        let end = self.time + millis;
        let mut outputs = Outputs::default();
        while self.time < end {
            outputs.extend(self.advance((end - self.time).min(5_000)));
            for &transport in transports {
                outputs.extend(self.call(Input::activity(TransportId(transport))));
            }
        }
        outputs
    }

    /// One call of the server.
    pub(crate) fn call(&mut self, input: Input) -> Outputs {
        let mut out = Outbox::new();
        self.wake = Some(self.server.handle(self.now(), input, &mut out));
        let mut outputs = Outputs::default();
        for output in out {
            self.follow(&output);
            if let Some(log) = &mut self.log {
                log.output(self.time, &output);
            }
            outputs.add(output);
        }
        if let Some(mirror) = &self.mirror {
            mirror.compare(&self.server);
        }
        outputs
    }

    /// Every transport closes. When every grace period has ended, nothing may be left.
    pub(crate) fn end(mut self) {
        for transport in 0..=self.last_transport {
            if self.server.connection_id(TransportId(transport)).is_some() {
                self.lose(transport);
            }
        }
        self.advance(60 * 60 * 1_000);
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
        assert_eq!(self.next_deadline(), None);
        assert!(self.mirror.is_none_or(|mirror| mirror.is_empty()));
    }

    // The state of the host and of the server.

    pub(crate) fn now(&self) -> Now {
        Now::new(Instant::from_millis(self.time), UnixMillis::from_millis(self.wall()))
    }

    pub(crate) fn wall(&self) -> i64 {
        WALL + self.wall_step + i64::try_from(self.time).expect("a short test")
    }

    /// The next deadline of the server, in milliseconds.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.wake.and_then(Wake::at).map(|at| at.as_millis())
    }

    /// The connection id of a transport, also of one that has closed.
    pub(crate) fn id(&self, transport: u64) -> &str {
        &self.connections[&transport].0
    }

    /// The connection key of a transport, also of one that has closed.
    pub(crate) fn key(&self, transport: u64) -> &str {
        &self.connections[&transport].1
    }

    /// The channel serial of the first PRESENCE that was sent.
    pub(crate) fn serial_of_first_presence(&self) -> String {
        self.first_presence.clone().expect("a PRESENCE frame")
    }

    /// The members of the usual channel as `client=data`, sorted.
    pub(crate) fn members(&self) -> Vec<String> {
        self.members_of(CHANNEL)
    }

    pub(crate) fn members_of(&self, channel: &str) -> Vec<String> {
        let mut members: Vec<String> =
            members_of(&self.server, channel).values().map(short).collect();
        members.sort();
        members
    }

    /// The history of the usual channel as `action client=data`, oldest first.
    pub(crate) fn history(&self) -> Vec<String> {
        let mut query = HistoryQuery::default();
        query.direction = Direction::Forwards;
        query.limit = 1_000;
        let page = self.server.history(CHANNEL, &query).expect("a page");
        page.items.iter().map(|(_, message)| event(message)).collect()
    }

    fn follow(&mut self, output: &Output) {
        match output {
            Output::Send(output::Send { to, frame, .. }) => {
                let frame = frame.head();
                if let Some(transport) = to.iter().next()
                    && let (Some(id), Some(details)) =
                        (&frame.connection_id, &frame.connection_details)
                {
                    let key = details.connection_key.clone().unwrap_or_default();
                    self.connections.insert(transport.0, (id.to_string(), key.to_string()));
                }
                if frame.action == Action::Presence && self.first_presence.is_none() {
                    self.first_presence = frame.channel_serial.as_ref().map(ToString::to_string);
                }
            }
            Output::Event(event) => {
                if let Some(mirror) = &mut self.mirror {
                    mirror.apply(event);
                }
            }
            _ => {}
        }
    }
}

/// A request of a client id that is allowed everything.
pub(crate) fn request(client_id: &str) -> ConnectRequest {
    let identity = Identity::from_client_id(Some(client_id));
    ConnectRequest::new(identity, Arc::new(Capability::all()))
}

/// The same with a grace period.
pub(crate) fn request_with_grace(client_id: &str, millis: u64) -> ConnectRequest {
    let mut request = request(client_id);
    request.remain_present_for = Some(Duration::from_millis(millis));
    request
}

/// A capability for all channels.
pub(crate) fn capability(operations: Operations) -> Capability {
    Capability::none().allow("*", operations)
}
