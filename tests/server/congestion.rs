//! Whoever reads more slowly than a sync is sent: it gets every member once, and knows in the end
//! who is there, whatever happens meanwhile.

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

/// A server with members that do not listen, all of one connection, and a client that has just
/// sent ATTACH.
struct Story {
    server: Host,
    crowd: u64,
    serial: i64,
    reader: u64,
    client: Client,
    /// What the client was sent.
    outputs: Outputs,
    /// Whether the server has more to do at once.
    busy: bool,
}

impl Story {
    fn new(config: ServerOptions) -> Self {
        let mut server = Host::with(config);
        let crowd = server.open("*");
        // The mode PRESENCE alone.
        server.recv(crowd, json!({"action": 10, "channel": CHANNEL, "flags": 1 << 16}));
        let reader = server.open("reader");
        let client = Client::new(ClientOptions::default(), 1);
        let outputs = Outputs::default();
        let mut story = Self { server, crowd, serial: 0, reader, client, outputs, busy: false };
        story.client_input(client::Input::Connect);
        story.client_input(client::Input::opened(TransportId(1)));
        let connected = json!({
            "action": 4, "connectionId": "reader", "connectionDetails": {"connectionKey": "key"},
        });
        story.client_input(client::Input::received(TransportId(1), decode(&connected)));
        story.client_input(client::Input::attach(OpId(1), CHANNEL));
        let items: Vec<Json> = (0..MEMBERS).map(|n| item(2, &format!("m{n}"), "first")).collect();
        story.says(&items);
        let frame = ProtocolMessage::on_channel(Action::Attach, CHANNEL);
        story.call(Input::received(TransportId(reader), frame));
        story
    }

    /// One call of the server, of which the client hears.
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

    /// The members' connection sends a PRESENCE frame. It is not a page's turn meanwhile.
    fn says(&mut self, items: &[Json]) {
        let frame = json!({
            "action": 14, "channel": CHANNEL, "msgSerial": self.serial, "presence": items,
        });
        self.serial += 1;
        let frame = decode(&frame);
        self.call(Input::received(TransportId(self.crowd), frame));
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

    /// The server does what is left, as long as it has something to do.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.busy {
                return;
            }
            self.call(Input::Tick);
        }
        panic!("the server does not come to rest");
    }

    /// The client knows what the server knows.
    fn same(&self) {
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

    /// The sequences of the SYNC frames that came.
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
    let mut story = Story::new(pages_of_ten());
    for _ in 0..50 {
        story.congested();
        story.call(Input::Tick);
        story.writable();
    }
    story.settle();
    assert_eq!(story.sequences().len(), 1);
    assert_eq!(story.outputs.synced(story.reader).len(), MEMBERS);
    assert_eq!(story.server.server.counters().resyncs, 0);
    story.same();
}

#[test]
fn rtp18_events_missed_during_a_sync_are_sent_and_the_sync_continues() {
    let mut story = Story::new(pages_of_ten());
    let mut round = 0;
    while !story.complete() {
        story.congested();
        // Members of pages that were sent and of pages that were not; some come, some go, one comes
        // and goes.
        let (early, late) = (format!("m{}", round % 10), format!("m{}", 90 + round % 10));
        story.says(&[
            item(4, &early, "second"),
            item(4, &early, "third"),
            item(4, &late, "second"),
        ]);
        story.says(&[
            item(3, &format!("m{}", 20 + round), "bye"),
            item(2, &format!("n{round}"), "new"),
        ]);
        story.says(&[item(2, "short", "in"), item(3, "short", "out")]);
        story.writable();
        round += 1;
        assert!(round < 50, "the sync does not end");
    }
    story.settle();
    assert_eq!(story.sequences().len(), 1);
    assert_eq!(story.server.server.counters().resyncs, 0);
    let told = story.outputs.events_of(story.reader);
    assert_eq!(told.iter().filter(|told| told.contains("short")).count(), 0, "{told:?}");
    // Of each member the last word of a round.
    assert_eq!(told.iter().filter(|told| told.contains("m1=second")).count(), 0, "{told:?}");
    assert_eq!(told.iter().filter(|told| told.contains("m1=third")).count(), 1, "{told:?}");
    story.same();
}

#[test]
fn rtp18_a_few_missed_events_do_not_start_a_sync() {
    let mut story = Story::new(pages_of_ten());
    story.settle();
    let before = story.outputs.synced(story.reader).len();
    story.congested();
    story.says(&[item(4, "m1", "second"), item(3, "m2", "bye")]);
    story.writable();
    story.settle();
    assert_eq!(story.outputs.synced(story.reader).len(), before);
    assert_eq!(story.outputs.events_of(story.reader), ["update m1=second", "leave m2=bye"]);
    story.same();
    // More than a page's bytes: a sync is less.
    story.congested();
    let long = "x".repeat(10_000);
    for n in 10..17 {
        story.says(&[item(4, &format!("m{n}"), &long)]);
    }
    story.writable();
    story.settle();
    assert_eq!(story.outputs.synced(story.reader).len(), before + MEMBERS - 1);
    assert_eq!(story.server.server.counters().resyncs, 1);
    story.same();
}

#[test]
fn rtp18_every_sync_ends_without_a_history() {
    let mut config = pages_of_ten();
    config.history.events = 0;
    let mut story = Story::new(config);
    let mut round = 0;
    while !story.complete() {
        story.congested();
        story.says(&[item(3, &format!("m{round}"), "bye"), item(4, "m99", &round.to_string())]);
        story.writable();
        round += 1;
        assert!(round < 50, "the sync does not end");
    }
    // Another has followed at once, which tells what the first could not.
    story.settle();
    assert_eq!(story.sequences().len(), 2);
    story.same();
}

/// What happens between two calls.
#[derive(Clone, Debug)]
enum Step {
    Congested,
    Writable,
    Page,
    Says(Vec<(u8, u8)>),
    Time(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let item = (2..=4u8, 0..120u8);
    prop_oneof![
        2 => Just(Step::Congested),
        2 => Just(Step::Writable),
        2 => Just(Step::Page),
        4 => prop::collection::vec(item, 1..4).prop_map(Step::Says),
        1 => (1..300u64).prop_map(Step::Time),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens, in whatever order: once the client reads again, it knows who is there.
    #[test]
    fn rtp18_a_slow_reader_ends_with_the_members_of_the_server(
        page in 1..40usize,
        bytes in prop_oneof![Just(300usize), Just(64 * 1024)],
        events in prop_oneof![Just(0usize), Just(3), Just(5_000)],
        gathers: bool,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut config = pages_of_ten();
        config.sync_page_members = page;
        config.sync_page_bytes = bytes;
        config.history.events = events;
        if gathers {
            config.coalesce = vec![CoalesceRule::new(CHANNEL, Duration::from_millis(100))];
        }
        let mut story = Story::new(config);
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Congested => story.congested(),
                Step::Writable => story.writable(),
                Step::Page => story.call(Input::Tick),
                Step::Says(items) => {
                    let item = |(action, who): &(u8, u8)| {
                        item(*action, &format!("m{who}"), &format!("at {number}"))
                    };
                    story.says(&items.iter().map(item).collect::<Vec<_>>());
                }
                Step::Time(millis) => {
                    story.server.time += millis;
                    story.call(Input::Tick);
                }
            }
        }
        story.writable();
        story.server.time += 1_000;
        story.call(Input::Tick);
        story.settle();
        story.same();
    }
}
