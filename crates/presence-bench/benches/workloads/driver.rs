//! A client, driven as a host drives it.

use crate::frames::{CHANNEL, Counts, Expected, Frames, Input as Given, checksum};
use core::hint::black_box;
use presence_proto::client::{Client, ClientOptions, Input, Outbox, Output, output};
use presence_proto::wire::{Data, Format, ProtocolMessage};
use presence_proto::{Now, OpId, SubscriptionId, TransportId};

/// A client, its outbox and what its application saw.
pub(crate) struct Driver {
    pub(crate) client: Client,
    out: Outbox,
    transport: TransportId,
    events: Counts,
}

impl Driver {
    /// Connected, subscribed and attaching.
    pub(crate) fn new() -> Self {
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
            Output::Open(output::Open { transport, .. }) => Some(transport),
            _ => None,
        });
        driver.transport = transport.expect("a transport");
        driver.handle(Input::opened(driver.transport));
        driver.feed(Frames::connected());
        driver.handle(Input::subscribe(OpId(1), CHANNEL, SubscriptionId(1)));
        driver.drain();
        driver
    }

    /// The same, after the first sync.
    pub(crate) fn loaded(given: &Given) -> Self {
        let mut driver = Self::new();
        for frame in given.w1.0.get(Format::MessagePack) {
            driver.feed(ProtocolMessage::decode(Format::MessagePack, frame).expect("a frame"));
        }
        driver.check(&given.w1.1);
        driver.events = Counts::default();
        driver
    }

    #[inline(never)]
    pub(crate) fn feed(&mut self, frame: ProtocolMessage) {
        self.handle(self.received(frame));
        self.drain();
    }

    pub(crate) fn received(&self, frame: ProtocolMessage) -> Input {
        Input::received(self.transport, frame)
    }

    pub(crate) fn handle(&mut self, input: Input) {
        let wake = self.client.handle(Now::from_millis(1_700_000_000_000), input, &mut self.out);
        black_box(wake.at());
    }

    pub(crate) fn drain(&mut self) {
        for output in self.out.drain() {
            if let Output::Presence(output::Presence { message, .. }) = &output {
                self.events.add(black_box(message).action);
            }
        }
    }

    pub(crate) fn check(&self, expected: &Expected) {
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
