//! A slow reader during a sync gets every member once, and ends with the members of the server,
//! whatever changes meanwhile.

use crate::host::{CHANNEL, Host};
use crate::outputs::Outputs;
use crate::text::decode;
use core::time::Duration;
use presence_proto::client::{self, Client, ClientOptions};
use presence_proto::server::{CoalesceRule, Input, ServerOptions};
use presence_proto::wire::{Action, Data, ProtocolMessage};
use presence_proto::{OpId, TransportId};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

const MEMBERS: usize = 100;

/// Settings with pages of ten, one in a call.
fn pages_of_ten() -> ServerOptions {
    let mut config = ServerOptions::default();
    config.sync_page_members = 10;
    config.sync_pages_per_call = 1;
    config
}

/// A server with members of one connection that does not subscribe, and a client that has just sent
/// ATTACH.
struct Scenario {
    server: Host,
    publisher: u64,
    serial: i64,
    reader: u64,
    client: Client,
    /// The outputs for the client.
    outputs: Outputs,
    /// Whether the server has more to do at once.
    busy: bool,
}

impl Scenario {
    fn new(config: ServerOptions) -> Self {
        let mut server = Host::with(config);
        let publisher = server.open("*");
        // The mode PRESENCE alone.
        server.recv(publisher, json!({"action": 10, "channel": CHANNEL, "flags": 1 << 16}));
        let reader = server.open("reader");
        let client = Client::new(ClientOptions::default(), 1);
        let outputs = Outputs::default();
        let mut scenario =
            Self { server, publisher, serial: 0, reader, client, outputs, busy: false };
        scenario.client_input(client::Input::Connect);
        scenario.client_input(client::Input::opened(TransportId(1)));
        let connected = json!({
            "action": 4, "connectionId": "reader", "connectionDetails": {"connectionKey": "key"},
        });
        scenario.client_input(client::Input::received(TransportId(1), decode(&connected)));
        scenario.client_input(client::Input::attach(OpId(1), CHANNEL));
        let items: Vec<Json> = (0..MEMBERS).map(|n| item(2, &format!("m{n}"), "first")).collect();
        scenario.publish(&items);
        let frame = ProtocolMessage::on_channel(Action::Attach, CHANNEL);
        scenario.call(Input::received(TransportId(reader), frame));
        scenario
    }

    /// One call of the server. The client receives its frames.
    fn call(&mut self, input: Input) {
        let outputs = self.server.call(input);
        self.busy = self.server.next_deadline().is_some_and(|at| at <= self.server.time);
        for frame in outputs.frames(self.reader) {
            self.client_input(client::Input::received(TransportId(1), frame.clone()));
        }
        self.outputs.extend(outputs);
    }

    fn client_input(&mut self, input: client::Input) {
        self.client.handle(self.server.now(), input, &mut client::Outbox::new());
    }

    /// The connection of the members sends PRESENCE. No page is sent in that call.
    fn publish(&mut self, items: &[Json]) {
        let frame = json!({
            "action": 14, "channel": CHANNEL, "msgSerial": self.serial, "presence": items,
        });
        self.serial += 1;
        let frame = decode(&frame);
        self.call(Input::received(TransportId(self.publisher), frame));
    }

    fn congested(&mut self) {
        self.call(Input::congested(TransportId(self.reader)));
    }

    fn writable(&mut self) {
        self.call(Input::writable(TransportId(self.reader)));
    }

    fn complete(&self) -> bool {
        self.client.channel(CHANNEL).is_some_and(|channel| channel.sync_complete())
    }

    /// Ticks until nothing is due.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.busy {
                return;
            }
            self.call(Input::Tick);
        }
        panic!("the server does not come to rest");
    }

    /// The client has the members of the server.
    fn assert_same_members(&self) {
        let known: BTreeSet<String> = self
            .client
            .channel(CHANNEL)
            .expect("a channel")
            .members()
            .map(|m| {
                format!("{}={}", m.client_id(), m.data().and_then(Data::as_str).unwrap_or("-"))
            })
            .collect();
        assert_eq!(known, self.server.members().into_iter().collect());
        assert!(self.complete());
        assert_eq!(self.server.server.counters().syncs_running, 0);
    }

    /// The sequences of the received SYNC frames.
    fn sequences(&self) -> BTreeSet<String> {
        let serial = |frame: &&ProtocolMessage| {
            let serial = frame.channel_serial.as_deref().unwrap_or_default();
            serial.split(':').next().unwrap_or_default().to_owned()
        };
        self.outputs.frames_of(self.reader, Action::Sync).iter().map(serial).collect()
    }
}

fn item(action: u8, who: &str, data: &str) -> Json {
    json!({"action": action, "clientId": who, "data": data})
}

#[test]
fn rtp18_a_sync_continues_after_backpressure() {
    let mut scenario = Scenario::new(pages_of_ten());
    for _ in 0..50 {
        scenario.congested();
        scenario.call(Input::Tick);
        scenario.writable();
    }
    scenario.settle();
    assert_eq!(scenario.sequences().len(), 1);
    assert_eq!(scenario.outputs.synced(scenario.reader).len(), MEMBERS);
    assert_eq!(scenario.server.server.counters().resyncs, 0);
    scenario.assert_same_members();
}

#[test]
fn rtp18_events_missed_during_a_sync_are_sent_and_the_sync_continues() {
    let mut scenario = Scenario::new(pages_of_ten());
    let mut round = 0;
    while !scenario.complete() {
        scenario.congested();
        // Members of sent and of unsent pages; some enter, some leave, one does both.
        let (early, late) = (format!("m{}", round % 10), format!("m{}", 90 + round % 10));
        scenario.publish(&[
            item(4, &early, "second"),
            item(4, &early, "third"),
            item(4, &late, "second"),
        ]);
        scenario.publish(&[
            item(3, &format!("m{}", 20 + round), "bye"),
            item(2, &format!("n{round}"), "new"),
        ]);
        scenario.publish(&[item(2, "short", "in"), item(3, "short", "out")]);
        scenario.writable();
        round += 1;
        assert!(round < 50, "the sync does not end");
    }
    scenario.settle();
    assert_eq!(scenario.sequences().len(), 1);
    assert_eq!(scenario.server.server.counters().resyncs, 0);
    let told = scenario.outputs.events_of(scenario.reader);
    assert_eq!(told.iter().filter(|told| told.contains("short")).count(), 0, "{told:?}");
    // The last event of each member in a round.
    assert_eq!(told.iter().filter(|told| told.contains("m1=second")).count(), 0, "{told:?}");
    assert_eq!(told.iter().filter(|told| told.contains("m1=third")).count(), 1, "{told:?}");
    scenario.assert_same_members();
}

#[test]
fn rtp18_a_few_missed_events_do_not_start_a_sync() {
    let mut scenario = Scenario::new(pages_of_ten());
    scenario.settle();
    let before = scenario.outputs.synced(scenario.reader).len();
    scenario.congested();
    scenario.publish(&[item(4, "m1", "second"), item(3, "m2", "bye")]);
    scenario.writable();
    scenario.settle();
    assert_eq!(scenario.outputs.synced(scenario.reader).len(), before);
    assert_eq!(scenario.outputs.events_of(scenario.reader), ["update m1=second", "leave m2=bye"]);
    scenario.assert_same_members();
    // More than the bytes of a page: a sync is smaller.
    scenario.congested();
    let long = "x".repeat(10_000);
    for n in 10..17 {
        scenario.publish(&[item(4, &format!("m{n}"), &long)]);
    }
    scenario.writable();
    scenario.settle();
    assert_eq!(scenario.outputs.synced(scenario.reader).len(), before + MEMBERS - 1);
    assert_eq!(scenario.server.server.counters().resyncs, 1);
    scenario.assert_same_members();
}

#[test]
fn rtp18_every_sync_ends_without_a_history() {
    let mut config = pages_of_ten();
    config.history.events = 0;
    let mut scenario = Scenario::new(config);
    let mut round = 0;
    while !scenario.complete() {
        scenario.congested();
        scenario
            .publish(&[item(3, &format!("m{round}"), "bye"), item(4, "m99", &round.to_string())]);
        scenario.writable();
        round += 1;
        assert!(round < 50, "the sync does not end");
    }
    // A second sync has followed at once, with the changes that the first missed.
    scenario.settle();
    assert_eq!(scenario.sequences().len(), 2);
    scenario.assert_same_members();
}

/// An event between two calls.
#[derive(Clone, Debug)]
enum Step {
    Congested,
    Writable,
    Page,
    Publish(Vec<(u8, u8)>),
    Time(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let item = (2..=4u8, 0..120u8);
    prop_oneof![
        2 => Just(Step::Congested),
        2 => Just(Step::Writable),
        2 => Just(Step::Page),
        4 => prop::collection::vec(item, 1..4).prop_map(Step::Publish),
        1 => (1..300u64).prop_map(Step::Time),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any events in any order: once the client reads again, it has the members of the server.
    #[test]
    fn rtp18_a_slow_reader_ends_with_the_members_of_the_server(
        page in 1..40usize,
        bytes in prop_oneof![Just(300usize), Just(64 * 1024)],
        events in prop_oneof![Just(0usize), Just(3), Just(5_000)],
        coalesces: bool,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut config = pages_of_ten();
        config.sync_page_members = page;
        config.sync_page_bytes = bytes;
        config.history.events = events;
        if coalesces {
            config.coalesce = vec![CoalesceRule::new(CHANNEL, Duration::from_millis(100))];
        }
        let mut scenario = Scenario::new(config);
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Congested => scenario.congested(),
                Step::Writable => scenario.writable(),
                Step::Page => scenario.call(Input::Tick),
                Step::Publish(items) => {
                    let item = |(action, who): &(u8, u8)| {
                        item(*action, &format!("m{who}"), &format!("at {number}"))
                    };
                    scenario.publish(&items.iter().map(item).collect::<Vec<_>>());
                }
                Step::Time(millis) => {
                    scenario.server.time += millis;
                    scenario.call(Input::Tick);
                }
            }
        }
        scenario.writable();
        scenario.server.time += 1_000;
        scenario.call(Input::Tick);
        scenario.settle();
        scenario.assert_same_members();
    }
}
