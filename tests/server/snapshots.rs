//! Canonical conversations of a server as text, one line for each thing that goes in (`<`) or
//! comes out (`>`), with the number of the transport. They double as documentation: see
//! `tests/snapshots`.

use crate::rig::{CHANNEL, Rig, may};
use core::time::Duration;
use presence_proto::server::{CoalesceRule, Input, Operations, ServerOptions};
use presence_proto::{TransportId, UnixMillis};
use serde_json::json;

macro_rules! snapshot {
    ($rig:expr) => {
        insta::assert_snapshot!($rig.log.as_deref().unwrap_or_default())
    };
}

/// `bob` watches on transport 1, and `alice` is present by transport 2.
fn room() -> (Rig, u64, u64) {
    let mut rig = Rig::logging(ServerOptions::default());
    let bob = rig.join("bob");
    let alice = rig.join("alice");
    rig.enter(alice, 0, "here");
    (rig, bob, alice)
}

/// `alice` loses her transport, and resumes after so many milliseconds as SDKs do: she attaches
/// with the serial that she knows, and enters again with the id that she had, if her connection is
/// still the same.
fn back_after(millis: u64) -> Rig {
    let (mut rig, bob, alice) = room();
    let connection = rig.id(alice).to_owned();
    rig.lose(alice);
    rig.pass_alive(millis, &[bob]);
    let (again, _) = rig.resume("alice", alice);
    let serial = rig.serial_of_first_presence();
    rig.attach_again(again, CHANNEL, &serial);
    if rig.id(again) == connection {
        let id = format!("{connection}:0:0");
        rig.presence(again, 1, json!({"action": 2, "id": id, "data": "here"}));
    } else {
        rig.enter(again, 0, "here");
    }
    rig
}

#[test]
fn a_resume_after_14_900_ms() {
    snapshot!(back_after(14_900));
}

#[test]
fn a_resume_after_15_100_ms() {
    snapshot!(back_after(15_100));
}

#[test]
fn a_resume_after_60_s() {
    snapshot!(back_after(60_000));
}

#[test]
fn a_resume_after_119_s() {
    snapshot!(back_after(119_000));
}

#[test]
fn a_resume_after_121_s() {
    snapshot!(back_after(121_000));
}

#[test]
fn enter_update_leave_detach_close() {
    let (mut rig, _, alice) = room();
    rig.time = 100;
    rig.update(alice, 1, "still here");
    rig.leave(alice, 2);
    rig.recv(alice, json!({"action": 12, "channel": CHANNEL}));
    rig.recv(alice, json!({"action": 7}));
    snapshot!(rig);
}

#[test]
fn a_silent_peer() {
    let (mut rig, bob, _) = room();
    rig.pass_alive(45_000, &[bob]);
    snapshot!(rig);
}

#[test]
fn a_second_transport_takes_over() {
    let (mut rig, _, alice) = room();
    let (again, _) = rig.resume("alice", alice);
    rig.leave(alice, 1);
    let serial = rig.serial_of_first_presence();
    rig.attach_again(again, CHANNEL, &serial);
    snapshot!(rig);
}

#[test]
fn a_newcomer_is_synced_page_by_page() {
    let mut config = ServerOptions::default();
    config.sync_page_members = 2;
    let mut rig = Rig::logging(config);
    let server = rig.join("*");
    for serial in 0..5 {
        let item = json!({"action": 2, "clientId": format!("m{serial}")});
        rig.presence(server, serial, item);
    }
    let bob = rig.open("bob");
    rig.attach(bob, CHANNEL);
    snapshot!(rig);
}

#[test]
fn a_slow_reader_is_synced_when_it_can_take_it() {
    let (mut rig, bob, alice) = room();
    rig.congested(bob);
    rig.update(alice, 1, "one");
    rig.update(alice, 2, "two");
    rig.recv(bob, json!({"action": 0, "id": "ping"}));
    rig.writable(bob);
    snapshot!(rig);
}

#[test]
fn the_right_to_be_present_is_lost() {
    let (mut rig, _, alice) = room();
    rig.recv(alice, json!({"action": 17, "auth": {"accessToken": "less"}}));
    rig.authorized(alice, may(Operations::SUBSCRIBE));
    rig.recv(alice, json!({"action": 17, "auth": {"accessToken": "nothing"}}));
    rig.authorized(alice, may(Operations::empty()));
    snapshot!(rig);
}

#[test]
fn a_token_expires() {
    let mut rig = Rig::logging(ServerOptions::default());
    let mut request = crate::rig::request("alice");
    request.token_expires = Some(UnixMillis::from_millis(rig.wall() + 40_000));
    let (alice, _) = rig.open_for(request);
    rig.pass_alive(40_000, &[alice]);
    snapshot!(rig);
}

#[test]
fn a_window_in_which_events_are_gathered() {
    let mut config = ServerOptions::default();
    config.coalesce = vec![CoalesceRule::new(CHANNEL, Duration::from_millis(100))];
    let mut rig = Rig::logging(config);
    rig.join("bob");
    let alice = rig.join("alice");
    let carol = rig.join("carol");
    rig.enter(alice, 0, "1");
    rig.update(alice, 1, "2");
    rig.enter(carol, 0, "comes");
    rig.leave(carol, 1);
    rig.pass(100);
    snapshot!(rig);
}

#[test]
fn a_server_that_is_to_stop() {
    let (mut rig, _, _) = room();
    rig.join("carol");
    rig.input(Input::drain(Duration::from_secs(3)));
    rig.pass(3_000);
    rig.open("dave");
    rig.pass(15_000);
    snapshot!(rig);
}

#[test]
fn what_is_refused() {
    let mut rig = Rig::logging(ServerOptions::default());
    let alice = rig.open("alice");
    rig.enter(alice, 0, "before the attach");
    rig.attach(alice, "");
    rig.attach(alice, ":bad");
    rig.attach(alice, CHANNEL);
    rig.presence(alice, 1, json!({"action": 2, "clientId": "bob"}));
    rig.presence(alice, 2, json!({"action": 2, "connectionId": "another"}));
    rig.recv(alice, json!({"action": 21, "channel": CHANNEL, "msgSerial": 3}));
    rig.recv(alice, json!({"action": 99}));
    let error = presence_proto::wire::ErrorInfo::new(40000, 400, "Not a frame");
    rig.input(Input::undecodable(TransportId(alice), error));
    snapshot!(rig);
}
