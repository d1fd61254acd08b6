//! W1 to W4: a client takes in what a server sends.

use crate::FORMATS;
use crate::frames::{CHANNEL, Counts, Expected, Frames, Input as Given, checksum};
use crate::measure::{Line, Sample, measure};
use core::hint::black_box;
use presence_proto::client::{Client, ClientOptions, Input, Outbox, Output};
use presence_proto::wire::{
    Action, ConnectionDetails, Data, Format, PresenceAction, ProtocolMessage,
};
use presence_proto::{Now, OpId, SubscriptionId, TransportId};

pub(crate) fn run(given: &Given, wants: &dyn Fn(&str) -> bool) {
    let workloads = [("W1", &given.w1, true), ("W2", &given.w2, false), ("W4", &given.w4, false)];
    for (workload, (frames, expected), fresh) in workloads {
        if !wants(workload) {
            continue;
        }
        let line = |format, sample: &Sample| {
            let events = expected.events.total();
            Line { workload, format, n: given.n, ops: expected.ops, events, retains: fresh }
                .print(sample);
        };
        for (name, format) in FORMATS {
            line(name, &bytes(given, frames, expected, fresh, format));
        }
        line("none", &decoded(given, frames, expected, fresh));
    }
    lists(given, wants);
}

/// From bytes: decoding and the state machine.
fn bytes(
    given: &Given,
    frames: &Frames,
    expected: &Expected,
    fresh: bool,
    format: Format,
) -> Sample {
    let frames = frames.get(format);
    measure(
        || if fresh { Driver::new() } else { Driver::loaded(given) },
        |driver| {
            for frame in frames {
                driver.feed(ProtocolMessage::decode(format, frame).expect("a frame"));
            }
        },
        |driver, ()| driver.check(expected),
    )
}

/// The state machine alone, on frames that were decoded before.
fn decoded(given: &Given, frames: &Frames, expected: &Expected, fresh: bool) -> Sample {
    let frames = frames.decoded();
    measure(
        || (if fresh { Driver::new() } else { Driver::loaded(given) }, frames.clone()),
        |(driver, frames)| {
            for frame in frames.drain(..) {
                driver.feed(frame);
            }
        },
        |(driver, _), ()| driver.check(expected),
    )
}

fn lists(given: &Given, wants: &dyn Fn(&str) -> bool) {
    if !["W3", "W3own", "W3client"].iter().any(|name| wants(name)) {
        return;
    }
    let driver = Driver::loaded(given);
    let channel = driver.client.channel(CHANNEL).expect("the channel");
    let n = given.n;
    let all_listed = |_: &mut (), count: &usize| assert_eq!(*count, n);
    // The line is the same for both formats: nothing travels.
    let line = |workload, ops: usize, sample: &Sample| {
        for (format, _) in FORMATS {
            let ops = ops as u64;
            Line { workload, format, n, ops, events: ops, retains: false }.print(sample);
        }
    };
    if wants("W3") {
        let list = |_: &mut ()| black_box(channel.members().collect::<Vec<_>>()).len();
        line("W3", n, &measure(|| (), list, all_listed));
    }
    if wants("W3own") {
        let copies = |_: &mut ()| {
            let copies = channel.members().map(|m| m.to_message(PresenceAction::Present));
            black_box(copies.collect::<Vec<_>>())
        };
        line("W3own", n, &measure(|| (), copies, |_, copies| assert_eq!(copies.len(), n)));
    }
    if wants("W3client") {
        let find = |client_id: &String| black_box(channel.members_of(client_id)).count();
        let find_all = |_: &mut ()| given.lookups.iter().map(find).sum::<usize>();
        let calls = given.lookups.len();
        let found = |_: &mut (), count: &usize| assert_eq!(*count, calls);
        line("W3client", calls, &measure(|| (), find_all, found));
    }
}

/// A client, its outbox and what its application saw.
struct Driver {
    client: Client,
    out: Outbox,
    transport: TransportId,
    events: Counts,
}

impl Driver {
    /// Connected, subscribed and attaching.
    fn new() -> Self {
        let mut options = ClientOptions::default();
        options.limits.members = usize::MAX;
        let mut driver = Self {
            client: Client::new(options, 1),
            out: Outbox::new(),
            transport: TransportId(0),
            events: Counts::default(),
        };
        driver.handle(Input::Connect);
        let transport = driver.out.drain().find_map(|output| match output {
            Output::OpenTransport { transport, .. } => Some(transport),
            _ => None,
        });
        driver.transport = transport.expect("a transport");
        driver.handle(Input::TransportOpened { transport: driver.transport });
        let mut connected = ProtocolMessage::new(Action::Connected);
        connected.connection_id = Some("observer00".into());
        let mut details = ConnectionDetails::default();
        details.connection_key = Some("observer00!key".into());
        connected.connection_details = Some(Box::new(details));
        driver.feed(connected);
        driver.handle(Input::subscribe(OpId(1), CHANNEL, SubscriptionId(1)));
        driver.drain();
        driver
    }

    /// The same, after the first sync.
    fn loaded(given: &Given) -> Self {
        let mut driver = Self::new();
        for frame in given.w1.0.get(Format::MessagePack) {
            driver.feed(ProtocolMessage::decode(Format::MessagePack, frame).expect("a frame"));
        }
        driver.check(&given.w1.1);
        driver.events = Counts::default();
        driver
    }

    #[inline(never)]
    fn feed(&mut self, frame: ProtocolMessage) {
        self.handle(Input::Received { transport: self.transport, frame });
        self.drain();
    }

    fn handle(&mut self, input: Input) {
        let wake = self.client.handle(Now::from_millis(1_700_000_000_000), input, &mut self.out);
        black_box(wake.at());
    }

    fn drain(&mut self) {
        for output in self.out.drain() {
            if let Output::Presence { message, .. } = &output {
                self.events.add(black_box(message).action);
            }
        }
    }

    fn check(&self, expected: &Expected) {
        let channel = self.client.channel(CHANNEL).expect("the channel");
        assert!(channel.sync_complete());
        let members = channel.members().map(|m| {
            let data = m.data().and_then(Data::as_str).expect("data");
            (m.connection_id().as_str(), m.client_id().as_str(), data)
        });
        assert_eq!(checksum(members), (expected.members, expected.checksum));
        assert_eq!(self.events, expected.events);
    }
}
