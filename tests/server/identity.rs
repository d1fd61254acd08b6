//! No connection enters, changes or removes a member of another one, by any field of any frame.

use crate::host::{CHANNEL, Host, capability, request};
use presence_proto::SmolStr;
use presence_proto::server::{ConnectRequest, Identity, Operations};
use presence_proto::wire::{
    Action, Flags, Message, PresenceAction, PresenceMessage, ProtocolMessage, Value,
};
use serde_json::json;
use std::sync::Arc;

/// Victim and attacker. The victim, `alice`, is present; the attacker is another connection.
struct Attempt {
    host: Host,
    alice: u64,
    mallory: u64,
    /// Watches.
    bob: u64,
    alices_connection: SmolStr,
    alices_id: SmolStr,
}

/// The names of the attacker's identities.
const ATTACKERS: [&str; 4] = ["mallory", "", "*", "alice"];

impl Attempt {
    fn new(attacker: &str) -> Self {
        let mut host = Host::new();
        let bob = host.join("bob");
        let alice = host.join("alice");
        host.enter(alice, 0, "mine");
        let mallory = host.join(attacker);
        let alices_connection = SmolStr::from(host.id(alice));
        let alices_id = format!("{alices_connection}:0:0").into();
        Self { host, alice, mallory, bob, alices_connection, alices_id }
    }

    /// The victim's member is as it was, and was all the time.
    fn is_unharmed(&mut self, what: &str) {
        let members = self.host.members();
        let alices: Vec<&String> =
            members.iter().filter(|member| *member == "alice=mine").collect();
        assert_eq!(alices.len(), 1, "{what}: {members:?}");
        // No further event of her member. Her own operations still work.
        let mine = |event: &&String| event.contains("alice=mine") && !event.starts_with("enter");
        assert_eq!(self.host.history().iter().find(mine), None, "{what}");
        let outputs = self.host.update(self.alice, 1, "still");
        assert_eq!(outputs.events_of(self.bob), ["update alice=still"], "{what}");
    }
}

/// A presence message of each action that a client can send, or might try.
fn actions() -> Vec<PresenceAction> {
    vec![
        PresenceAction::Absent,
        PresenceAction::Present,
        PresenceAction::Enter,
        PresenceAction::Leave,
        PresenceAction::Update,
        PresenceAction::Unknown(5),
        PresenceAction::Unknown(u32::MAX),
    ]
}

/// An item that names the victim in some of the ways there are; `how` is a set of bits.
fn item(attempt: &Attempt, action: PresenceAction, how: u8) -> PresenceMessage {
    let mut item = PresenceMessage::new(action);
    if how & 1 != 0 {
        item.client_id = Some("alice".into());
    }
    if how & 2 != 0 {
        item.connection_id = Some(attempt.alices_connection.clone());
    }
    if how & 4 != 0 {
        item.id = Some(attempt.alices_id.clone());
    }
    item.data = Some("stolen".into());
    item
}

/// The fields of a frame that might speak for the items in it.
fn frame(attempt: &Attempt, action: Action, how: u8) -> ProtocolMessage {
    let mut frame = ProtocolMessage::on_channel(action, CHANNEL);
    frame.msg_serial = Some(0);
    if how & 1 != 0 {
        frame.connection_id = Some(attempt.alices_connection.clone());
    }
    if how & 2 != 0 {
        frame.id = Some(format!("{}:0", attempt.alices_connection).into());
    }
    if how & 4 != 0 {
        frame.channel_serial = Some("ffffffffffffffff".into());
        frame.flags = Some(Flags::all());
        frame.timestamp = Some(presence_proto::UnixMillis::from_millis(i64::MAX));
    }
    frame
}

/// The whole table for PRESENCE: each attacker, action, way to name the victim in the item, way to
/// name her in the frame, and place in a batch.
#[test]
fn no_field_of_presence_changes_a_member_of_another_connection() {
    let mut tried = 0;
    for attacker in ATTACKERS {
        for action in actions() {
            for in_item in 0..8 {
                for in_frame in 0..8 {
                    for batched in [false, true] {
                        let mut attempt = Attempt::new(attacker);
                        let mut frame = frame(&attempt, Action::Presence, in_frame);
                        if batched {
                            let mut own = PresenceMessage::new(PresenceAction::Enter);
                            own.client_id = Some("mallory".into());
                            frame.presence.push(own);
                        }
                        frame.presence.push(item(&attempt, action, in_item));
                        let what = format!(
                            "{attacker:?} {action:?} item {in_item} frame {in_frame} {batched}"
                        );
                        let outputs = attempt.host.recv_frame(attempt.mallory, frame);
                        let answers = outputs.frames_of(attempt.mallory, Action::Ack).len()
                            + outputs.frames_of(attempt.mallory, Action::Nack).len();
                        assert_eq!(answers, 1, "{what}");
                        let named = in_item & 2 != 0 || in_frame & 1 != 0;
                        if named {
                            assert_eq!(outputs.error_codes(attempt.mallory).len(), 1, "{what}");
                        }
                        // Every event is of the attacker's own connection.
                        let own = SmolStr::from(attempt.host.id(attempt.mallory));
                        for item in outputs.items(attempt.bob) {
                            assert_eq!(item.connection_id.as_ref(), Some(&own), "{what}");
                            assert!(item.id.unwrap().starts_with(own.as_str()), "{what}");
                            let may_be = match attacker {
                                "*" => true,
                                other => item.client_id.as_deref() == Some(other),
                            };
                            assert!(may_be, "{what}: {:?}", item.client_id);
                        }
                        attempt.is_unharmed(&what);
                        tried += 1;
                    }
                }
            }
        }
    }
    assert_eq!(tried, 4 * 7 * 8 * 8 * 2);
}

#[test]
fn the_error_codes_of_operations_for_other_client_ids() {
    let other = |host: &Host, alice| host.id(alice).to_owned();
    for (attacker, item, code) in [
        ("mallory", json!({"action": 2, "clientId": "alice"}), 40012),
        ("mallory", json!({"action": 3, "clientId": "alice"}), 40012),
        ("mallory", json!({"action": 4, "clientId": "alice"}), 40012),
        ("mallory", json!({"action": 2, "clientId": "*"}), 40012),
        ("mallory", json!({"action": 2, "clientId": "Mallory"}), 40012),
        ("mallory", json!({"action": 2, "clientId": "mallory "}), 40012),
        ("mallory", json!({"action": 2, "connectionId": "ALICES"}), 40006),
        ("mallory", json!({"action": 1}), 40003),
        ("", json!({"action": 2}), 91000),
        ("", json!({"action": 2, "clientId": ""}), 91000),
        ("", json!({"action": 2, "clientId": "alice"}), 40012),
        ("*", json!({"action": 2}), 91000),
        ("*", json!({"action": 2, "clientId": "*"}), 40012),
        ("*", json!({"action": 3, "clientId": "alice", "connectionId": "ALICES"}), 40006),
    ] {
        let mut attempt = Attempt::new(attacker);
        let mut item = item.clone();
        if item["connectionId"] == "ALICES" {
            item["connectionId"] = other(&attempt.host, attempt.alice).into();
        }
        let outputs = attempt.host.presence(attempt.mallory, 0, item.clone());
        assert_eq!(outputs.error_codes(attempt.mallory), [code], "{attacker:?} {item}");
        assert_eq!(outputs.events_of(attempt.bob), [""; 0], "{attacker:?} {item}");
        attempt.is_unharmed(&item.to_string());
    }
}

/// A frame of any action, with all there is in it: presence, messages, credentials, details.
#[test]
fn no_other_frame_changes_a_member_of_another_connection() {
    let actions = (0..=40).map(|number| crate::text::decode(&json!({"action": number})).action);
    for action in actions.filter(|action| *action != Action::Presence) {
        for attacker in ATTACKERS {
            for in_frame in 0..8 {
                let mut attempt = Attempt::new(attacker);
                let mut frame = frame(&attempt, action, in_frame);
                for action in [
                    PresenceAction::Enter,
                    PresenceAction::Leave,
                    PresenceAction::Update,
                    PresenceAction::Present,
                    PresenceAction::Absent,
                ] {
                    frame.presence.push(item(&attempt, action, 7));
                    frame.presence.push(item(&attempt, action, 5));
                    frame.presence.push(item(&attempt, action, 1));
                }
                let mut message = Message::default();
                message.client_id = Some("alice".into());
                message.connection_id = Some(attempt.alices_connection.clone());
                message.id = Some(attempt.alices_id.clone());
                message.other.insert("action", Value::Int(3));
                message.other.insert("presence", Value::Array(Vec::new()));
                frame.messages.push(message);
                let params = ["clientId", "connectionId", "connectionKey", "resume", "presence"];
                frame.params = Some(
                    params.map(|name| (name.into(), attempt.alices_connection.clone())).into(),
                );
                let what = format!("{attacker:?} {action:?} {in_frame}");
                let outputs = attempt.host.recv_frame(attempt.mallory, frame);
                assert_eq!(outputs.events_of(attempt.bob), [""; 0], "{what}");
                assert_eq!(outputs.frames(attempt.alice).len(), 0, "{what}");
                attempt.is_unharmed(&what);
            }
        }
    }
}

#[test]
fn no_frame_detaches_or_closes_another_connection() {
    for action in [Action::Detach, Action::Close, Action::Disconnect, Action::Auth] {
        let mut attempt = Attempt::new("mallory");
        let mut frame = frame(&attempt, action, 7);
        frame.connection_id = Some(attempt.alices_connection.clone());
        let outputs = attempt.host.recv_frame(attempt.mallory, frame);
        assert!(!outputs.closed.contains(&attempt.alice), "{action:?}");
        attempt.is_unharmed(&format!("{action:?}"));
    }
}

#[test]
fn a_message_is_published_under_no_other_name_or_connection() {
    for (attacker, message, code) in [
        ("mallory", json!({"clientId": "alice"}), 40012),
        ("mallory", json!({"clientId": "*"}), 40012),
        ("", json!({"clientId": "alice"}), 40012),
        ("*", json!({"clientId": "*"}), 40012),
        ("mallory", json!({"connectionId": "ALICES"}), 40006),
        ("*", json!({"connectionId": "ALICES"}), 40006),
    ] {
        let mut attempt = Attempt::new(attacker);
        let mut message = message.clone();
        if message["connectionId"] == "ALICES" {
            message["connectionId"] = attempt.alices_connection.as_str().into();
        }
        let frame = json!({"action": 15, "channel": CHANNEL, "msgSerial": 0,
            "messages": [{"data": "fine"}, message]});
        let outputs = attempt.host.recv(attempt.mallory, frame);
        assert_eq!(outputs.error_codes(attempt.mallory), [code], "{attacker:?} {message}");
        assert_eq!(outputs.frames_of(attempt.bob, Action::Message).len(), 0);
    }
    // A message has the client id and the connection id of its publisher.
    let mut attempt = Attempt::new("mallory");
    let outputs = attempt.host.recv(
        attempt.mallory,
        json!({"action": 15, "channel": CHANNEL, "msgSerial": 0, "id": "alice:0",
            "messages": [{"data": "fine"}]}),
    );
    let frame = outputs.frame_of(attempt.bob, Action::Message);
    let own = attempt.host.id(attempt.mallory);
    assert_eq!(frame.connection_id.as_deref(), Some(own));
    assert_eq!(frame.id.as_deref(), Some(format!("{own}:0").as_str()));
    assert_eq!(frame.messages[0].client_id.as_deref(), Some("mallory"));
    assert_eq!(frame.timestamp.map(|time| time.as_millis()), Some(attempt.host.wall()));
}

#[test]
fn rtp15c_two_connections_of_one_client_id_are_two_members() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let (one, two) = (host.join("alice"), host.join("alice"));
    host.enter(one, 0, "1");
    host.enter(two, 0, "2");
    assert_eq!(host.members(), ["alice=1", "alice=2"]);
    let outputs = host.leave(two, 1);
    assert_eq!(outputs.events_of(bob), ["leave alice=2"]);
    assert_eq!(host.members(), ["alice=1"]);
    host.end();
}

#[test]
fn a_wildcard_enters_for_many_and_each_is_its_own_connections() {
    let mut host = Host::new();
    let (one, two) = (host.join("*"), host.join("*"));
    for (transport, serial) in [(one, 0), (two, 0)] {
        host.presence(transport, serial, json!({"action": 2, "clientId": "x"}));
        host.presence(transport, serial + 1, json!({"action": 2, "clientId": "y"}));
    }
    assert_eq!(host.members().len(), 4);
    let outputs = host.presence(one, 2, json!({"action": 3, "clientId": "x"}));
    assert_eq!(outputs.events_of(two), ["leave x"]);
    assert_eq!(outputs.items(two)[0].connection_id.as_deref(), Some(host.id(one)));
    assert_eq!(host.members(), ["x", "y", "y"]);
    host.end();
}

#[test]
fn reserved_client_ids_mean_none_and_any() {
    for (name, identity) in [("", Identity::Client("".into())), ("*", Identity::Client("*".into()))]
    {
        let mut host = Host::new();
        let request = ConnectRequest::new(identity, request(name).capability);
        let (transport, outputs) = host.open_for(request);
        let connected = outputs.frame_of(transport, Action::Connected);
        let details = connected.connection_details.as_deref().unwrap();
        assert_eq!(details.client_id.as_deref().unwrap_or(""), name);
        host.attach(transport, CHANNEL);
        let outputs = host.enter(transport, 0, "");
        assert_eq!(outputs.error_codes(transport), [91000]);
    }
}

#[test]
fn an_id_that_is_not_of_the_connection_is_replaced() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let alice = host.join("alice");
    host.enter(bob, 0, "");
    let (own, other) = (host.id(alice).to_owned(), host.id(bob).to_owned());
    let long = format!("{own}:{}1:0", "0".repeat(100_000));
    for (serial, (id, kept)) in [
        (format!("{other}:0:0"), None),
        ("server:1:1".to_owned(), None),
        (format!("{own}:9999:0"), None),
        (format!("{own}:-1:0"), None),
        (format!("{own}:1"), None),
        (format!("{own}:1:0:0"), None),
        (own.clone(), None),
        (String::new(), None),
        (format!("{own}:0:7"), Some(format!("{own}:0:7"))),
        // The same number, which is all that is kept of it.
        (long, Some(format!("{own}:1:0"))),
    ]
    .into_iter()
    .enumerate()
    {
        let serial = 2 * serial as i64 + 10;
        let outputs = host.presence(alice, serial, json!({"action": 2, "id": id}));
        let expected = kept.unwrap_or_else(|| format!("{own}:{serial}:0"));
        let told: Vec<_> = outputs.items(bob).into_iter().filter_map(|item| item.id).collect();
        assert_eq!(told, [expected], "{}", &id[..id.len().min(40)]);
        host.leave(alice, serial + 1);
    }
}

#[test]
fn granted_modes_never_exceed_the_capability() {
    let none = Operations::empty();
    for (allowed, enters, hears) in [
        (Operations::PRESENCE, true, false),
        (Operations::SUBSCRIBE, false, true),
        (Operations::PRESENCE | Operations::SUBSCRIBE, true, true),
        (Operations::PUBLISH, false, false),
        (none, false, false),
    ] {
        for flags in [0u64, u64::from(u32::MAX), 15 << 16] {
            let mut host = Host::new();
            let alice = host.join("alice");
            let mut request = request("mallory");
            request.capability = Arc::new(capability(allowed));
            let (mallory, _) = host.open_for(request);
            let attach = json!({"action": 10, "channel": CHANNEL, "flags": flags,
                "params": {"modes": "presence,publish,subscribe,presence_subscribe"}});
            let outputs = host.recv(mallory, attach);
            if allowed == none {
                assert_eq!(outputs.error_codes(mallory), [40160]);
            }
            let outputs = host.enter(mallory, 0, "");
            assert_eq!(outputs.frames_of(mallory, Action::Ack).len() == 1, enters, "{allowed:?}");
            let outputs = host.enter(alice, 0, "here");
            assert_eq!(!outputs.events_of(mallory).is_empty(), hears, "{allowed:?}");
            let sync = host.recv(mallory, json!({"action": 16, "channel": CHANNEL}));
            assert_eq!(sync.frames_of(mallory, Action::Sync).is_empty(), !hears, "{allowed:?}");
        }
    }
}
