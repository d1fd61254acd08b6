//! Every event that the application did not ask for says why, even if the server did not (RTL2d,
//! RTN4f, TA3, TH3).

use crate::rig::{Rig, connected};
use presence_proto::Now;
use presence_proto::OpId;
use presence_proto::client::{ChannelState, ConnectionState, Input, Outbox, Output, output};
use presence_proto::wire::ErrorInfo;
use serde_json::{Value as Json, json};

/// Something that happens to a client whose channel is in some state. Frames have no error.
type Happening = (&'static str, fn(&mut Rig) -> Vec<Input>);

const HAPPENINGS: &[Happening] = &[
    ("ATTACHED", |rig| frame(rig, json!({"action": 11, "channel": "ch"}))),
    ("DETACHED", |rig| frame(rig, json!({"action": 13, "channel": "ch"}))),
    ("ERROR for the channel", |rig| frame(rig, json!({"action": 9, "channel": "ch"}))),
    ("ERROR", |rig| frame(rig, json!({"action": 9}))),
    ("DISCONNECTED", |rig| frame(rig, json!({"action": 6}))),
    ("CLOSED", |rig| frame(rig, json!({"action": 8}))),
    ("CONNECTED again", |rig| frame(rig, connected("conn1"))),
    ("CONNECTED as another", |rig| frame(rig, connected("conn2"))),
    ("the transport is lost", |rig| vec![Input::closed(rig.transport, None)]),
    ("the transport fails", |rig| vec![Input::open_failed(rig.transport, None)]),
    ("the network is lost", |_| vec![Input::NetworkLost]),
    ("the network is back", |_| vec![Input::NetworkAvailable]),
    ("the application attaches", |_| vec![Input::attach(OpId(1), "ch")]),
    ("the application detaches", |_| vec![Input::detach(OpId(1), "ch")]),
    ("the application closes", |_| vec![Input::Close]),
    ("the application connects", |_| vec![Input::Connect]),
    ("time passes", |_| vec![Input::Tick]),
];

/// Where there is nothing to explain: what the application asked for, and what is as it should be.
/// `*` is anything that happens.
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
            // RTL5k: the client mends what it did not ask for.
            "channel detaching",
        ],
    ),
    ("DETACHED", &["channel detached after detaching"]),
    ("CLOSED", &["connection closed", "connection closed after an attempt"]),
    ("the application attaches", &["channel attaching"]),
    ("the application detaches", &["channel detached"]),
    ("the application closes", &["connection closing", "connection closed"]),
    // RTN11d: a new beginning.
    ("the application connects", &["channel initialized"]),
    // RTL3d: there is a connection again, which has said why there was none.
    ("CONNECTED again", &["channel attaching"]),
    ("CONNECTED as another", &["channel attaching"]),
    // RTN12f: an attempt that was to be closed anyway.
    ("the transport is lost", &["connection closed after an attempt"]),
    ("the transport fails", &["connection closed after an attempt"]),
    // RTL13b: the event before has said why.
    ("time passes", &["channel attaching", "connection closed after an attempt"]),
];

fn frame(rig: &Rig, frame: Json) -> Vec<Input> {
    vec![Input::received(rig.transport, crate::text::decode(&frame))]
}

fn channel_in(state: ChannelState) -> Rig {
    let mut rig = Rig::connected("conn1");
    let attach = || Input::attach(OpId(100), "ch");
    let detached = json!({"action": 13, "channel": "ch"});
    match state {
        ChannelState::Initialized => rig.subscribe("ch"),
        ChannelState::Attaching => drop(rig.input(attach())),
        ChannelState::Attached => rig.attach("ch"),
        ChannelState::Detaching => {
            rig.attach("ch");
            rig.input(Input::detach(OpId(100), "ch"));
        }
        ChannelState::Detached => {
            rig.attach("ch");
            rig.input(Input::detach(OpId(100), "ch"));
            rig.recv(detached);
        }
        ChannelState::Suspended => {
            rig.input(attach());
            rig.recv(detached);
        }
        ChannelState::Failed => {
            rig.input(attach());
            rig.recv(json!({"action": 9, "channel": "ch"}));
        }
    }
    assert_eq!(rig.channel_state("ch"), state.name());
    rig
}

fn connection_in(state: ConnectionState, mut rig: Rig) -> Rig {
    match state {
        ConnectionState::Initialized => rig = Rig::new(),
        ConnectionState::Connecting => drop(rig.drop_transport()),
        ConnectionState::Connected => {}
        ConnectionState::Disconnected => {
            rig.drop_transport();
            rig.refuse();
        }
        ConnectionState::Suspended => {
            rig.drop_transport();
            rig.refuse();
            while rig.state() != "suspended" {
                rig.pass(1_000);
            }
        }
        ConnectionState::Closing => drop(rig.input(Input::Close)),
        ConnectionState::Closed => {
            rig.input(Input::Close);
            rig.recv(json!({"action": 8}));
        }
        ConnectionState::Failed => drop(rig.recv(json!({"action": 9}))),
    }
    assert_eq!(rig.state(), state.name());
    rig
}

/// The events, each with its reason.
fn events(rig: &mut Rig, what: &str, inputs: Vec<Input>) -> Vec<(String, Option<ErrorInfo>)> {
    let mut out = Outbox::new();
    if what == "time passes" {
        // Until the next deadline.
        rig.time = rig.next().unwrap_or(rig.time);
    }
    for input in inputs {
        rig.client.handle(Now::from_millis(rig.time), input, &mut out);
    }
    let mut events = Vec::new();
    for output in out.drain() {
        let line = crate::rig::line(&output);
        match output {
            Output::Connection(change) => {
                let update = if line.contains("update") { " update" } else { "" };
                let name = format!("connection {}{update}", change.current.name());
                events.push((name, change.reason));
            }
            Output::Channel(output::Channel { change, .. }) => {
                let update = if line.contains("update") { " update" } else { "" };
                let mut name = format!("channel {}{update}", change.current.name());
                if change.current == ChannelState::Detached
                    && change.previous == ChannelState::Detaching
                {
                    name.push_str(" after detaching");
                }
                events.push((name, change.reason));
            }
            _ => {}
        }
    }
    events
}

fn check(rig: &Rig, situation: &str) -> usize {
    let mut seen = 0;
    for &(what, happens) in HAPPENINGS {
        let mut rig = rig.clone();
        let attempt = what != "the application closes" && situation.ends_with("an attempt");
        let inputs = happens(&mut rig);
        for (mut event, reason) in events(&mut rig, what, inputs) {
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
fn rtl2d_every_event_that_nobody_asked_for_has_a_reason() {
    let mut seen = 0;
    for &channel in ChannelState::ALL {
        for &connection in ConnectionState::ALL {
            let rig = connection_in(connection, channel_in(channel));
            seen += check(&rig, &format!("{channel} and {connection}"));
        }
    }
    assert!(seen > 300, "{seen}");
    // Closed before the attempt has succeeded.
    let mut rig = Rig::new();
    rig.input(Input::Connect);
    rig.input(Input::Close);
    assert!(check(&rig, "closing an attempt") > 0);
}

/// Clauses: RTL13a, RTL13b, RTL14, RTN15j.
#[test]
fn rtl13a_the_reasons_that_the_client_finds_itself() {
    let detached = json!({"action": 13, "channel": "ch"});
    let mut rig = channel_in(ChannelState::Attached);
    assert_eq!(rig.recv(detached.clone())[0], "channel ch attaching 90001");
    let view = rig.client.channel("ch").expect("a channel");
    assert_eq!(view.error_reason().map(|error| error.code), Some(90001));
    // The attach clears it.
    rig.recv(json!({"action": 11, "channel": "ch"}));
    assert_eq!(rig.client.channel("ch").expect("a channel").error_reason(), None);
    let mut rig = channel_in(ChannelState::Suspended);
    assert_eq!(rig.recv(detached.clone())[0], "channel ch attaching 90001");
    let mut rig = channel_in(ChannelState::Attaching);
    assert_eq!(rig.recv(detached)[0], "channel ch suspended 90001");
    let mut rig = channel_in(ChannelState::Attached);
    let lines = rig.recv(json!({"action": 9}));
    assert_eq!(lines, ["close 1", "channel ch failed 80000", "connection failed 80000"]);
}

/// Clauses: RTL2d, RTL5k, RTN4f.
#[test]
fn rtl2d_the_error_of_a_frame_is_the_reason_of_what_it_brings_about() {
    let error = json!({"code": 12345, "statusCode": 400, "message": "because"});
    let with_error = |action: u8, channel: bool| {
        let mut frame = json!({"action": action, "error": error});
        if channel {
            frame["channel"] = "ch".into();
        }
        frame
    };
    // RTL5k
    let mut rig = channel_in(ChannelState::Detached);
    assert_eq!(rig.recv(with_error(11, true))[0], "channel ch detaching 12345");
    // RTN12: CLOSED, DISCONNECTED or ERROR as the answer to CLOSE.
    for action in [6, 8, 9] {
        let mut rig = connection_in(ConnectionState::Closing, Rig::connected("conn1"));
        let lines = rig.recv(with_error(action, false));
        assert_eq!(lines.last().map(String::as_str), Some("connection closed 12345"), "{action}");
    }
}
