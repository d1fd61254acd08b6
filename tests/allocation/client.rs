//! The client: what it takes in, and what its application says.

use super::allocations;
use presence_proto::client::{Client, ClientOptions, Input, Outbox, Output, output};
use presence_proto::wire::{
    Action, ConnectionDetails, Data, Flags, Format, PresenceAction, PresenceMessage,
    ProtocolMessage,
};
use presence_proto::{Now, OpId, SmolStr, SubscriptionId, TransportId, UnixMillis};

const CHANNEL: &str = "room";
const MEMBERS: usize = 200;
const ROUNDS: usize = 50;

struct Host {
    client: Client,
    out: Outbox,
    transport: TransportId,
    now: u64,
    events: usize,
}

impl Host {
    /// Attached and subscribed, with members.
    fn new() -> Self {
        let mut options = ClientOptions::default();
        options.client_id = Some("me".into());
        let mut host = Self {
            client: Client::new(options, 1),
            out: Outbox::new(),
            transport: TransportId(0),
            now: 0,
            events: 0,
        };
        host.handle(Input::Connect);
        let opened = host.out.drain().find_map(|output| match output {
            Output::Open(output::Open { transport, .. }) => Some(transport),
            _ => None,
        });
        host.transport = opened.expect("a transport");
        let mut connected = ProtocolMessage::new(Action::Connected);
        connected.connection_id = Some("mine".into());
        let mut details = ConnectionDetails::default();
        details.connection_key = Some("mine!key".into());
        details.max_idle_interval = Some(15_000);
        connected.connection_details = Some(Box::new(details));
        host.receive(connected);
        host.handle(Input::subscribe(OpId(0), CHANNEL, SubscriptionId(1)));
        let mut attached = ProtocolMessage::on_channel(Action::Attached, CHANNEL);
        attached.flags = Some(Flags::HAS_PRESENCE);
        host.receive(attached);
        host.receive(page(0));
        host
    }

    fn handle(&mut self, input: Input) {
        self.now += 1;
        let wake = self.client.handle(Now::from_millis(self.now), input, &mut self.out);
        assert!(wake.at().is_some() || self.transport == TransportId(0));
        let is_event = |output: &Output| matches!(output, Output::Presence(_));
        self.events += self.out.as_slice().iter().filter(|output| is_event(output)).count();
        if self.transport != TransportId(0) {
            self.out.drain();
        }
    }

    fn received(&self, frame: ProtocolMessage) -> Input {
        Input::received(self.transport, frame)
    }

    fn receive(&mut self, frame: ProtocolMessage) {
        self.handle(self.received(frame));
    }

    /// Allocations while these inputs are taken in, after as many of the same kind went before.
    fn settled(&mut self, make: impl Fn(usize) -> ProtocolMessage) -> u64 {
        for n in 0..ROUNDS {
            self.receive(make(n));
        }
        let inputs: Vec<Input> = (ROUNDS..2 * ROUNDS).map(|n| self.received(make(n))).collect();
        allocations(|| inputs.into_iter().for_each(|input| self.handle(input)))
    }
}

fn connection_id(member: usize) -> SmolStr {
    format!("connection-{member}").into()
}

fn item(action: PresenceAction, member: usize) -> PresenceMessage {
    PresenceMessage::new(action)
        .with_client_id(format!("client-{member}"))
        .with_data(format!("data of {member}"))
}

/// A member says something, as a service passes it on.
fn event(action: PresenceAction, member: usize, serial: usize) -> ProtocolMessage {
    let mut frame = ProtocolMessage::presence(CHANNEL, vec![item(action, member)]);
    frame.id = Some(format!("{}:{serial}", connection_id(member)).into());
    frame.connection_id = Some(connection_id(member));
    frame.channel_serial = Some(format!("a channel serial that is not short: {serial}").into());
    frame.timestamp = Some(UnixMillis::from_millis(serial as i64));
    frame
}

/// All members, in one page.
fn page(serial: usize) -> ProtocolMessage {
    let mut frame = ProtocolMessage::on_channel(Action::Sync, CHANNEL);
    let items = (0..MEMBERS).map(|member| {
        let mut item = item(PresenceAction::Present, member);
        item.id = Some(format!("{}:{serial}:0", connection_id(member)).into());
        item.connection_id = Some(connection_id(member));
        item.timestamp = Some(UnixMillis::from_millis(serial as i64));
        item
    });
    frame.presence = items.collect();
    frame.channel_serial = Some("sync:".into());
    frame
}

#[test]
fn updates_allocate_nothing() {
    let mut host = Host::new();
    let before = host.events;
    let made = host.settled(|n| event(PresenceAction::Update, n % MEMBERS, n + 1));
    assert_eq!((made, host.events - before), (0, 2 * ROUNDS));
}

#[test]
fn members_that_come_and_go_allocate_nothing() {
    let mut host = Host::new();
    let before = host.events;
    let made = host.settled(|n| {
        let action = if n % 2 == 0 { PresenceAction::Enter } else { PresenceAction::Leave };
        event(action, MEMBERS, n)
    });
    assert_eq!((made, host.events - before), (0, 2 * ROUNDS));
}

#[test]
fn a_sync_that_changes_nothing_allocates_nothing() {
    let mut host = Host::new();
    let before = host.events;
    assert_eq!(host.settled(|_| page(0)), 0);
    assert_eq!(host.events, before);
}

#[test]
fn heartbeats_and_ticks_allocate_nothing() {
    let mut host = Host::new();
    assert_eq!(host.settled(|_| ProtocolMessage::new(Action::Heartbeat)), 0);
    assert_eq!(allocations(|| (0..ROUNDS).for_each(|_| host.handle(Input::Tick))), 0);
}

/// The frame that is sent, and the same that is kept until it is acknowledged.
#[test]
fn an_update_of_ones_own_allocates_two_frames_and_its_acknowledgement_nothing() {
    let mut host = Host::new();
    let own = |n: usize| Input::update(OpId(n as u64 + 1), CHANNEL, Some(Data::from("short")));
    for n in 0..ROUNDS {
        host.handle(own(n));
    }
    host.receive(ProtocolMessage::ack(0, ROUNDS as u32));
    let inputs: Vec<Input> = (0..ROUNDS).map(own).collect();
    let made = allocations(|| inputs.into_iter().for_each(|input| host.handle(input)));
    assert_eq!(made, 2 * ROUNDS as u64);
    let acks: Vec<Input> = (ROUNDS..2 * ROUNDS)
        .map(|serial| host.received(ProtocolMessage::ack(serial as i64, 1)))
        .collect();
    assert_eq!(allocations(|| acks.into_iter().for_each(|input| host.handle(input))), 0);
    assert_eq!(host.client.pending_operations(), 0);
}

/// A string allocates if it is longer than 23 bytes, and a list if it has more than one item:
/// in this frame, the channel serial does.
#[test]
fn decoding_allocates_for_what_is_long() {
    for format in [Format::Json, Format::MessagePack] {
        let mut frame = event(PresenceAction::Update, 1, 1);
        let read = |bytes: &[u8]| ProtocolMessage::decode(format, bytes).expect("a frame");
        let bytes = frame.encode(format);
        assert_eq!(allocations(|| read(&bytes)), 1, "{format:?}");
        frame.channel_serial = Some("short".into());
        let bytes = frame.encode(format);
        assert_eq!(allocations(|| read(&bytes)), 0, "{format:?}");
    }
}

#[test]
fn encoding_into_a_buffer_allocates_nothing() {
    for format in [Format::Json, Format::MessagePack] {
        let frame = event(PresenceAction::Update, 1, 1);
        let mut buffer = Vec::with_capacity(1024);
        assert_eq!(allocations(|| frame.encode_into(format, &mut buffer)), 0, "{format:?}");
    }
}

#[test]
fn snapshots_of_members_allocate_their_list_and_no_more() {
    let host = Host::new();
    let channel = host.client.channel(CHANNEL).expect("the channel");
    let list = || channel.members().map(|member| member.snapshot()).collect::<Vec<_>>();
    assert_eq!(list().len(), MEMBERS);
    assert_eq!(allocations(list), 1);
    assert_eq!(allocations(|| channel.members().count()), 0);
    assert_eq!(allocations(|| channel.members_of("client-7").count()), 0);
}
