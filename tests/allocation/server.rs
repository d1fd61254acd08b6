//! What the server asks of the allocator: nothing in the steady state, little for each connection
//! and member, and in the end it gives everything back.

use super::allocations;
use allocation_counter::measure;
use presence_proto::server::{
    Capability, ConnectRequest, Identity, Input, Outbox, Output, Rate, Server, ServerOptions,
    output,
};
use presence_proto::wire::{Action, Flags, PresenceAction, PresenceMessage, ProtocolMessage};
use presence_proto::{Now, TransportId};
use std::sync::Arc;

const CHANNEL: &str = "room";

/// A server with its host, which keeps nothing of what comes out.
struct Host {
    server: Server,
    out: Outbox,
    capability: Arc<Capability>,
    now: u64,
    /// Frames that came out, and deliveries.
    frames: usize,
    deliveries: usize,
    due: Option<u64>,
}

impl Host {
    fn new(events: bool, history: bool) -> Self {
        let mut config = ServerOptions::default();
        config.limits.inbound = Rate::UNLIMITED;
        config.limits.channel = Rate::UNLIMITED;
        config.events = events;
        if !history {
            config.history.events = 0;
        }
        Self {
            server: Server::new(config, [7; 32]),
            out: Outbox::new(),
            capability: Arc::new(Capability::all()),
            now: 1_700_000_000_000,
            frames: 0,
            deliveries: 0,
            due: None,
        }
    }

    fn handle(&mut self, input: Input) {
        let wake = self.server.handle(Now::from_millis(self.now), input, &mut self.out);
        self.due = wake.at().map(|at| at.as_millis());
        for output in self.out.drain() {
            if let Output::Send(output::Send { to, frame, .. }) = output {
                self.frames += 1;
                if frame.head().action == Action::Presence {
                    self.deliveries += to.len();
                }
            }
        }
    }

    /// Everything that is due now.
    fn settle(&mut self) {
        while self.due.is_some_and(|due| due <= self.now) {
            self.handle(Input::Tick);
        }
    }

    /// Time goes on to the last deadline there is.
    fn run_out(&mut self) {
        while let Some(due) = self.due {
            self.now = self.now.max(due);
            self.handle(Input::Tick);
        }
    }

    fn open(&mut self, number: u64) {
        let identity = Identity::Client(format!("client-{number:05}").into());
        let request = ConnectRequest::new(identity, Arc::clone(&self.capability));
        self.handle(Input::opened(TransportId(number), request));
    }

    fn attach(&mut self, number: u64, flags: Option<Flags>) {
        let mut frame = ProtocolMessage::on_channel(Action::Attach, CHANNEL);
        frame.flags = flags;
        self.handle(Input::received(TransportId(number), frame));
        self.settle();
    }

    fn says(&mut self, number: u64, frame: ProtocolMessage) {
        self.handle(Input::received(TransportId(number), frame));
    }
}

fn change(action: PresenceAction, serial: i64) -> ProtocolMessage {
    let item = PresenceMessage::new(action).with_data("data of twenty bytes");
    let mut frame = ProtocolMessage::presence(CHANNEL, [item]);
    frame.msg_serial = Some(serial);
    frame
}

/// A channel with a hundred subscribers, all of them members, after some updates.
fn calm(events: bool, history: bool) -> Host {
    let mut host = Host::new(events, history);
    for number in 0..100 {
        host.open(number);
        host.attach(number, None);
        host.says(number, change(PresenceAction::Enter, 0));
    }
    for serial in 1..=200 {
        for number in 0..100 {
            host.says(number, change(PresenceAction::Update, serial));
        }
    }
    host
}

/// How often the allocator is asked for each of a thousand.
fn each(mut run: impl FnMut(usize)) -> f64 {
    allocations(|| (0..1_000).for_each(&mut run)) as f64 / 1_000.0
}

#[test]
fn an_update_and_its_fan_out_and_its_acknowledgement_allocate_nothing() {
    for (events, history) in [(false, false), (false, true), (true, true)] {
        let mut host = calm(events, history);
        let (frames, deliveries) = (host.frames, host.deliveries);
        let mut updates: Vec<ProtocolMessage> =
            (201..1_201).rev().map(|serial| change(PresenceAction::Update, serial)).collect();
        let allocations = each(|_| {
            let update = updates.pop().expect("one more");
            host.says(7, update);
        });
        assert_eq!(host.frames - frames, 2 * 1_000, "a broadcast and an ACK for each");
        assert_eq!(host.deliveries - deliveries, 100 * 1_000);
        assert_eq!(allocations, 0.0, "events {events}, history {history}");
    }
}

#[test]
fn pings_pongs_heartbeats_and_ticks_allocate_nothing() {
    let mut host = calm(true, true);
    // The history forgets what it has, and the timers have found their places.
    for _ in 0..20 {
        host.now = host.due.expect("a ping is due");
        host.handle(Input::Tick);
        (0..100).for_each(|number| host.handle(Input::activity(TransportId(number))));
    }
    let allocations = each(|_| {
        host.now = host.due.expect("a ping is due");
        host.handle(Input::Tick);
        host.handle(Input::activity(TransportId(3)));
        host.says(3, ProtocolMessage::new(Action::Heartbeat));
        for number in 0..100 {
            host.handle(Input::activity(TransportId(number)));
        }
    });
    assert_eq!(allocations, 0.0);
    assert_eq!(host.server.counters().transports, 100);
}

#[test]
fn a_connection_and_a_member_take_little() {
    const COUNT: u64 = 10_000;
    let mut host = Host::new(false, false);
    let opened = measure(|| (0..COUNT).for_each(|number| host.open(number)));
    let per_connection = opened.bytes_current as f64 / COUNT as f64;
    assert!(per_connection <= 450.0, "{per_connection} bytes for each idle connection");

    let presence_only = Some(Flags::PRESENCE);
    let attached = measure(|| (0..COUNT).for_each(|number| host.attach(number, presence_only)));
    let per_attachment = attached.bytes_current as f64 / COUNT as f64;
    assert!(per_attachment <= 180.0, "{per_attachment} bytes for each attachment");

    let entered = measure(|| {
        for number in 0..COUNT {
            host.says(number, change(PresenceAction::Enter, 0));
        }
    });
    let per_member = entered.bytes_current as f64 / COUNT as f64;
    assert!(per_member <= 190.0, "{per_member} bytes for each member");
    println!(
        "a connection {per_connection}, an attachment {per_attachment}, a member {per_member}"
    );
}

#[test]
fn nothing_is_left_behind_by_those_that_come_and_go() {
    let mut host = Host::new(true, true);
    let mut next = 0;
    let mut visit = |host: &mut Host| {
        let transports = next..next + 500;
        next += 500;
        for number in transports.clone() {
            host.open(number);
            host.attach(number, None);
            host.says(number, change(PresenceAction::Enter, 0));
        }
        for number in transports {
            match number % 4 {
                0 => host.says(number, ProtocolMessage::new(Action::Close)),
                1 => host.handle(Input::congested(TransportId(number))),
                2 => host.handle(Input::closed(TransportId(number))),
                _ => host.says(number, change(PresenceAction::Leave, 1)),
            }
        }
        // Who is left falls silent; connections and the history are forgotten.
        host.run_out();
        assert_eq!(host.server.timers(), 0);
        let counters = host.server.counters();
        assert_eq!((counters.connections, counters.channels, counters.members), (0, 0, 0));
    };
    // The first visit leaves what a server keeps for the next ones: timers by number, the outbox.
    let first = measure(|| visit(&mut host));
    assert!(first.bytes_current <= 1 << 20, "{} bytes", first.bytes_current);
    for _ in 0..5 {
        let more = measure(|| visit(&mut host));
        assert_eq!(more.bytes_current, 0);
    }
}
