//! Every unrequested event has a reason, even if the server gave none (RTL2d, RTN4f, TA3, TH3).

use crate::driven::Driven;
use crate::host::{Host, me};
use crate::json_frames::connected;
use crate::text::decode;
use presence_proto::OpId;
use presence_proto::client::{ChannelEvent, ChannelState, ConnectionEvent, ConnectionState, Input};
use presence_proto::wire::ErrorInfo;
use serde_json::{Value as Json, json};

/// Inputs for a client whose channel is in some state. Frames have no error.
type Happening = (&'static str, fn(&mut Host) -> Vec<Input>);

const HAPPENINGS: &[Happening] = &[
    ("ATTACHED", |host| frame(host, json!({"action": 11, "channel": "ch"}))),
    ("DETACHED", |host| frame(host, json!({"action": 13, "channel": "ch"}))),
    ("ERROR for the channel", |host| frame(host, json!({"action": 9, "channel": "ch"}))),
    ("ERROR", |host| frame(host, json!({"action": 9}))),
    ("DISCONNECTED", |host| frame(host, json!({"action": 6}))),
    ("CLOSED", |host| frame(host, json!({"action": 8}))),
    ("CONNECTED again", |host| frame(host, connected("conn1"))),
    ("CONNECTED as another", |host| frame(host, connected("conn2"))),
    ("the transport is lost", |host| vec![Input::closed(host.transport(), None)]),
    ("the transport fails", |host| vec![Input::open_failed(host.transport(), None)]),
    ("the network is lost", |_| vec![Input::NetworkLost]),
    ("the network is back", |_| vec![Input::NetworkAvailable]),
    ("the application attaches", |_| vec![Input::attach(OpId(1), "ch")]),
    ("the application detaches", |_| vec![Input::detach(OpId(1), "ch")]),
    ("the application closes", |_| vec![Input::Close]),
    ("the application connects", |_| vec![Input::Connect]),
    ("time passes", |_| vec![Input::Tick]),
];

/// The events without a reason: requested ones, and the regular course. `*` is every happening.
const PLAIN: &[(&str, &[&str])] = &[
    (
        "*",
        &[
            "connection connecting",
            "connection connected",
            "connection connected update",
            "channel attached",
            // RTL12: the reason is that of the frame.
            "channel attached update",
            // RTL5k: the client detaches a channel that it did not attach.
            "channel detaching",
        ],
    ),
    ("DETACHED", &["channel detached after detaching"]),
    ("CLOSED", &["connection closed", "connection closed after an attempt"]),
    ("the application attaches", &["channel attaching"]),
    ("the application detaches", &["channel detached"]),
    ("the application closes", &["connection closing", "connection closed"]),
    // RTN11d
    ("the application connects", &["channel initialized"]),
    // RTL3d: the earlier event of the connection had the reason.
    ("CONNECTED again", &["channel attaching"]),
    ("CONNECTED as another", &["channel attaching"]),
    // RTN12f: an attempt that was to be closed anyway.
    ("the transport is lost", &["connection closed after an attempt"]),
    ("the transport fails", &["connection closed after an attempt"]),
    // RTL13b: the previous event had the reason.
    ("time passes", &["channel attaching", "connection closed after an attempt"]),
];

fn frame(host: &Host, frame: Json) -> Vec<Input> {
    vec![Input::received(host.transport(), decode(&frame))]
}

fn channel_in(state: ChannelState) -> Host {
    let mut host = Host::connected("conn1");
    let attach = || Input::attach(OpId(100), "ch");
    let detached = json!({"action": 13, "channel": "ch"});
    match state {
        ChannelState::Initialized => host.watch("ch"),
        ChannelState::Attaching => drop(host.input(attach())),
        ChannelState::Attached => host.join("ch"),
        ChannelState::Detaching => {
            host.join("ch");
            host.input(Input::detach(OpId(100), "ch"));
        }
        ChannelState::Detached => {
            host.join("ch");
            host.input(Input::detach(OpId(100), "ch"));
            host.recv(detached);
        }
        ChannelState::Suspended => {
            host.input(attach());
            host.recv(detached);
        }
        ChannelState::Failed => {
            host.input(attach());
            host.recv(json!({"action": 9, "channel": "ch"}));
        }
    }
    assert_eq!(host.channel_state("ch").name(), state.name());
    host
}

fn connection_in(state: ConnectionState, mut host: Host) -> Host {
    match state {
        ConnectionState::Initialized => host = Host::new(me()),
        ConnectionState::Connecting => drop(host.lose()),
        ConnectionState::Connected => {}
        ConnectionState::Disconnected => {
            host.lose();
            host.refuse();
        }
        ConnectionState::Suspended => {
            host.lose();
            host.refuse();
            while host.state().name() != "suspended" {
                host.advance(1_000);
            }
        }
        ConnectionState::Closing => drop(host.input(Input::Close)),
        ConnectionState::Closed => {
            host.input(Input::Close);
            host.recv(json!({"action": 8}));
        }
        ConnectionState::Failed => drop(host.recv(json!({"action": 9}))),
    }
    assert_eq!(host.state().name(), state.name());
    host
}

/// The events, each with its reason.
fn events(host: &mut Host, what: &str, inputs: Vec<Input>) -> Vec<(String, Option<ErrorInfo>)> {
    host.forget();
    host.misuses = true;
    if what == "time passes" {
        host.time = host.next_deadline().unwrap_or(host.time);
    }
    inputs.into_iter().for_each(|input| drop(host.input(input)));
    let connection = host.connection_events().into_iter().map(|change| {
        let update = if change.event == ConnectionEvent::Update { " update" } else { "" };
        (format!("connection {}{update}", change.current.name()), change.reason)
    });
    let channel = host.channel_events("ch").into_iter().map(|change| {
        let states = (change.previous, change.current);
        let more = match change.event {
            ChannelEvent::Update => " update",
            _ if states == (ChannelState::Detaching, ChannelState::Detached) => " after detaching",
            _ => "",
        };
        (format!("channel {}{more}", change.current.name()), change.reason)
    });
    connection.chain(channel).collect()
}

fn check(host: &Host, situation: &str) -> usize {
    let mut seen = 0;
    for &(what, happens) in HAPPENINGS {
        let mut host = host.clone();
        let attempt = what != "the application closes" && situation.ends_with("an attempt");
        let inputs = happens(&mut host);
        for (mut event, reason) in events(&mut host, what, inputs) {
            seen += 1;
            if attempt && event == "connection closed" {
                event.push_str(" after an attempt");
            }
            let plain = PLAIN
                .iter()
                .filter(|(known, _)| *known == "*" || *known == what)
                .any(|(_, events)| events.contains(&event.as_str()));
            assert!(reason.is_some() || plain, "{situation}, {what}: {event} has no reason");
            assert!(
                reason.as_ref().is_none_or(|reason| reason.code != 0 && !reason.message.is_empty()),
                "{situation}, {what}: {event} because of {reason:?}"
            );
        }
    }
    seen
}

/// Clauses: RTL2d, RTN4f, TA3, TH3.
#[test]
fn rtl2d_every_unrequested_event_has_a_reason() {
    let mut seen = 0;
    for &channel in ChannelState::ALL {
        for &connection in ConnectionState::ALL {
            let host = connection_in(connection, channel_in(channel));
            seen += check(&host, &format!("{channel} and {connection}"));
        }
    }
    assert!(seen > 300, "{seen}");
    // Closed before the attempt has succeeded.
    let mut host = Host::new(me());
    host.input(Input::Connect);
    host.input(Input::Close);
    assert!(check(&host, "closing an attempt") > 0);
}

/// Clauses: RTL13a, RTL13b, RTL14, RTN15j.
#[test]
fn rtl13a_the_reasons_that_the_client_supplies() {
    let detached = json!({"action": 13, "channel": "ch"});
    let mut host = channel_in(ChannelState::Attached);
    assert_eq!(host.recv(detached.clone())[0], "channel ch attaching 90001");
    let view = host.client.channel("ch").expect("a channel");
    assert_eq!(view.error_reason().map(|error| error.code), Some(90001));
    // The attach clears it.
    host.recv(json!({"action": 11, "channel": "ch"}));
    assert_eq!(host.client.channel("ch").expect("a channel").error_reason(), None);
    let mut host = channel_in(ChannelState::Suspended);
    assert_eq!(host.recv(detached.clone())[0], "channel ch attaching 90001");
    let mut host = channel_in(ChannelState::Attaching);
    assert_eq!(host.recv(detached)[0], "channel ch suspended 90001");
    let mut host = channel_in(ChannelState::Attached);
    let lines = host.recv(json!({"action": 9}));
    assert_eq!(lines, ["close 1", "channel ch failed 80000", "connection failed 80000"]);
}

/// Clauses: RTL2d, RTL5k, RTN4f.
#[test]
fn rtl2d_the_error_of_a_frame_is_the_reason_of_its_events() {
    let error = json!({"code": 12345, "statusCode": 400, "message": "because"});
    let with_error = |action: u8, channel: bool| {
        let mut frame = json!({"action": action, "error": error});
        if channel {
            frame["channel"] = "ch".into();
        }
        frame
    };
    // RTL5k
    let mut host = channel_in(ChannelState::Detached);
    assert_eq!(host.recv(with_error(11, true))[0], "channel ch detaching 12345");
    // RTN12: CLOSED, DISCONNECTED or ERROR as the answer to CLOSE.
    for action in [6, 8, 9] {
        let mut host = connection_in(ConnectionState::Closing, Host::connected("conn1"));
        let lines = host.recv(with_error(action, false));
        assert_eq!(lines.last().map(String::as_str), Some("connection closed 12345"), "{action}");
    }
}
