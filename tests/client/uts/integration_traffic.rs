//! Messages and credentials between clients and the server half: `integration/auth*`,
//! `integration/channels/channel_publish_test.md`, `integration/channels/channel_subscribe_test.md`.
//!
//! Messages pass through, frame by frame.

use crate::driven::*;
use crate::host::*;
use crate::linked::Linked;
use core::time::Duration;
use presence_proto::client::{ClientOptions, ConnectionState, Input};
use presence_proto::server::{Identity, ServerOptions};
use presence_proto::wire::{Action, Data, Format, Map, Message, ProtocolMessage, Value};

const SECOND: Duration = Duration::from_secs(1);

fn worlds() -> [Linked; 2] {
    [Format::Json, Format::MessagePack].map(|format| Linked::new(format, ServerOptions::default()))
}

fn renewable() -> ClientOptions {
    let mut options = options();
    options.token = Some("token-1".into());
    options.token_renewable = true;
    options
}

fn named(name: &str, data: impl Into<Data>) -> Message {
    let mut message = Message::default();
    message.name = Some(name.into());
    message.data = Some(data.into());
    message
}

/// Two clients that are attached.
fn two(world: &mut Linked) -> [usize; 2] {
    ["client-a", "client-b"].map(|name| {
        let peer = world.connected(options_of(name));
        let op = world.peer(peer).attach(CH);
        world.peer(peer).ok(op);
        peer
    })
}

fn publish(world: &mut Linked, peer: usize, message: Message) {
    let mut frame = ProtocolMessage::on_channel(Action::Message, CH);
    frame.messages = vec![message];
    let op = world.peer(peer).op(|op| Input::send(op, Box::new(frame)));
    world.peer(peer).ok(op);
}

/// The messages received since the last call, with the fields that they inherit from their frames.
fn received(world: &mut Linked, peer: usize) -> Vec<Message> {
    let frames = world.peer(peer).frames();
    frames
        .into_iter()
        .flat_map(|mut frame| {
            frame.inherit();
            frame.messages
        })
        .collect()
}

/// A message as another client receives it.
fn passed_on(world: &mut Linked, message: Message) -> Message {
    let [publisher, subscriber] = two(world);
    publish(world, publisher, message);
    let mut messages = received(world, subscriber);
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

// UTS: realtime/integration/RTL6/string-data-roundtrip-0
#[test]
fn rtl6_text_arrives_unchanged() {
    for mut world in worlds() {
        let message = passed_on(&mut world, named("string-event", "hello world"));
        assert_eq!(message.name.as_deref(), Some("string-event"));
        assert_eq!((message.data, message.encoding), (Some("hello world".into()), None));
    }
}

// The application encodes the data of its messages.
// UTS: realtime/integration/RTL6/json-data-roundtrip-1
#[test]
fn rtl6_json_arrives_unchanged() {
    for mut world in worlds() {
        let text = r#"{"key":"value","nested":{"count":42},"list":[1,2,3]}"#;
        let value = Value::parse_json(text).unwrap();
        let mut message = named("json-event", value.clone());
        message.encode_data().unwrap();
        let mut message = passed_on(&mut world, message);
        assert_eq!(message.encoding.as_deref(), Some("json"));
        message.decode_data().unwrap();
        assert_eq!((message.data, message.encoding), (Some(value.into()), None));
    }
}

// UTS: realtime/integration/RTL6/binary-data-roundtrip-2
#[test]
fn rtl6_bytes_arrive_unchanged() {
    for mut world in worlds() {
        let bytes: &[u8] = &[0, 1, 2, 255, 128, 64];
        let message = passed_on(&mut world, named("binary-event", bytes));
        assert_eq!((message.data, message.encoding), (Some(bytes.into()), None));
    }
}

// UTS: realtime/integration/RTL6f/connectionid-matches-publisher-0
#[test]
fn rtl6f_a_message_has_the_connection_id_of_its_publisher() {
    for mut world in worlds() {
        let [publisher, subscriber] = two(&mut world);
        publish(&mut world, publisher, named("event", "data"));
        let message = received(&mut world, subscriber).remove(0);
        assert_eq!(message.connection_id, world.peer(publisher).connection_id());
        assert_ne!(message.connection_id, world.peer(subscriber).connection_id());
    }
}

// UTS: realtime/integration/RSL6a2/message-extras-roundtrip-0
#[test]
fn rsl6a2_extras_arrive_unchanged() {
    for mut world in worlds() {
        let title = Map::from_iter([("title", "Testing")]);
        let push = Map::from_iter([("notification", title)]);
        let extras = Value::from(Map::from_iter([("headers", push)]));
        let mut message = named("extras-test", "payload");
        message.extras = Some(Box::new(extras.clone()));
        let message = passed_on(&mut world, message);
        assert_eq!(message.extras.as_deref(), Some(&extras));
    }
}

// UTS: realtime/integration/RTL7a/subscribe-all-messages-0
#[test]
fn rtl7a_all_messages_arrive_in_order() {
    for mut world in worlds() {
        let [publisher, subscriber] = two(&mut world);
        for name in ["event-a", "event-b", "event-c"] {
            publish(&mut world, publisher, named(name, "data"));
        }
        let messages = received(&mut world, subscriber);
        let names: Vec<_> = messages.iter().filter_map(|m| m.name.as_deref()).collect();
        assert_eq!(names, ["event-a", "event-b", "event-c"]);
    }
}

// UTS: realtime/integration/RTL7/bidirectional-message-flow-0
#[test]
fn rtl7_messages_go_both_ways() {
    for mut world in worlds() {
        let peers = two(&mut world);
        publish(&mut world, peers[0], named("from-a", "one"));
        publish(&mut world, peers[1], named("from-b", "two"));
        for peer in peers {
            let messages = received(&mut world, peer);
            let facts: Vec<_> = messages
                .iter()
                .map(|m| (m.name.as_deref().unwrap(), m.client_id.as_deref().unwrap()))
                .collect();
            assert_eq!(facts, [("from-a", "client-a"), ("from-b", "client-b")], "with its own");
        }
    }
}

// UTS: realtime/integration/RTC8a/in-band-reauth-connected-0
#[test]
fn rtc8a_authorize_keeps_the_connection() {
    for mut world in worlds() {
        let peer = world.connected(renewable());
        let id = world.peer(peer).connection_id();
        world.peer(peer).forget();
        let authorize = |op| Input::authorize(op, "token-2");
        let op = world.peer(peer).op(authorize);
        let mut host = world.peer(peer);
        host.ok(op);
        assert_eq!((host.connection_path(), host.connection_id()), (vec!["update"], id));
    }
}

// UTS: realtime/integration/RTC8c/authorize-initiates-connection-0
// UTS: realtime/integration/RSA8/token-auth-connect-0
#[test]
fn rtc8c_authorize_connects_an_initialized_client() {
    for mut world in worlds() {
        let peer = world.add(options());
        assert_eq!(world.peer(peer).state(), ConnectionState::Initialized);
        let authorize = |op| Input::authorize(op, "token-1");
        let op = world.peer(peer).op(authorize);
        let host = world.peer(peer);
        host.ok(op);
        assert_eq!(host.state(), ConnectionState::Connected);
        assert_eq!((host.param("accessToken"), host.error_reason()), (Some("token-1"), None));
        assert!(host.connection_id().is_some());
    }
}

// UTS: realtime/integration/RSA7/matching-clientid-succeeds-0
#[test]
fn rsa7_a_client_id_of_the_token_is_accepted() {
    for mut world in worlds() {
        for identity in [Identity::Client("me".into()), Identity::Any] {
            let peer = world.add_as(identity, options_of("me"));
            world.peer(peer).pass_in(Input::Connect);
            assert_eq!(world.peer(peer).state(), ConnectionState::Connected);
            let client_id = world.peer(peer).client().connection().client_id().cloned();
            assert_eq!(client_id.as_deref(), Some("me"));
        }
    }
}

// Only the server knows the client id of the token, so the server refuses.
// UTS: realtime/integration/RSA7/mismatched-clientid-fails-1
#[test]
fn rsa7_a_client_id_other_than_that_of_the_token_is_refused() {
    for mut world in worlds() {
        let identity = Identity::Client("somebody else".into());
        let peer = world.add_as(identity, options_of("me"));
        world.peer(peer).pass_in(Input::Connect);
        assert_eq!(world.peer(peer).state(), ConnectionState::Failed);
        assert!(matches!(world.peer(peer).error_reason().unwrap().code, 40012 | 40101 | 40102));
    }
}

// A client that renews in time stays connected; otherwise it is disconnected and connects again.
// UTS: realtime/integration/RSA4b/token-renewal-on-expiry-0
#[test]
fn rsa4b_an_expiring_token_is_renewed() {
    for (mut world, in_time) in worlds().into_iter().chain(worlds()).zip([true, true, false, false])
    {
        let peer = world.add(renewable());
        world.world.set_token_expiry(peer, 60 * SECOND);
        world.peer(peer).pass_in(Input::Connect);
        let id = world.peer(peer).connection_id();
        world.peer(peer).forget();
        if in_time {
            world.advance(59 * SECOND);
        } else {
            world.advance(61 * SECOND);
        }
        assert!(world.peer(peer).tokens_requested() >= 1);
        world.peer(peer).pass_in(Input::Token(Ok("token-2".into())));
        let mut host = world.peer(peer);
        let path: &[_] =
            if in_time { &["update"] } else { &["disconnected", "connecting", "connected"] };
        assert_eq!((host.connection_path(), host.connection_id()), (path.to_vec(), id));
        world.advance(600 * SECOND);
        assert_eq!(world.peer(peer).state(), ConnectionState::Connected);
    }
}
