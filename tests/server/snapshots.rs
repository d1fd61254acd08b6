//! Canonical conversations of a server as text, one line for each input (`<`) and output
//! (`>`), with the number of the transport. They double as documentation: see
//! `tests/snapshots`.

use crate::host::{CHANNEL, Host, capability};
use core::time::Duration;
use presence_proto::server::{CoalesceRule, Input, Operations, ServerOptions};
use presence_proto::{TransportId, UnixMillis};
use serde_json::json;

macro_rules! snapshot {
    ($host:expr) => {
        insta::assert_snapshot!($host.log.expect("a log").text)
    };
}

/// `bob` watches on transport 1, and `alice` is present by transport 2.
fn room() -> (Host, u64, u64) {
    let mut host = Host::logged(ServerOptions::default());
    let bob = host.join("bob");
    let alice = host.join("alice");
    host.enter(alice, 0, "here");
    (host, bob, alice)
}

/// `alice` loses her transport and resumes after this time as SDKs do: she attaches with her
/// channel serial, and enters again, with her previous id if the connection is the same.
fn back_after(millis: u64) -> Host {
    let (mut host, bob, alice) = room();
    let connection = host.id(alice).to_owned();
    host.lose(alice);
    host.advance_alive(millis, &[bob]);
    let (again, _) = host.resume("alice", alice);
    let serial = host.serial_of_first_presence();
    host.attach_again(again, CHANNEL, &serial);
    if host.id(again) == connection {
        let id = format!("{connection}:0:0");
        host.presence(again, 1, json!({"action": 2, "id": id, "data": "here"}));
    } else {
        host.enter(again, 0, "here");
    }
    host
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
    let (mut host, _, alice) = room();
    host.time = 100;
    host.update(alice, 1, "still here");
    host.leave(alice, 2);
    host.recv(alice, json!({"action": 12, "channel": CHANNEL}));
    host.recv(alice, json!({"action": 7}));
    snapshot!(host);
}

#[test]
fn a_silent_peer() {
    let (mut host, bob, _) = room();
    host.advance_alive(45_000, &[bob]);
    snapshot!(host);
}

#[test]
fn a_second_transport_takes_over() {
    let (mut host, _, alice) = room();
    let (again, _) = host.resume("alice", alice);
    host.leave(alice, 1);
    let serial = host.serial_of_first_presence();
    host.attach_again(again, CHANNEL, &serial);
    snapshot!(host);
}

#[test]
fn a_new_subscriber_is_synced_page_by_page() {
    let mut config = ServerOptions::default();
    config.sync_page_members = 2;
    let mut host = Host::logged(config);
    let server = host.join("*");
    for serial in 0..5 {
        let item = json!({"action": 2, "clientId": format!("m{serial}")});
        host.presence(server, serial, item);
    }
    let bob = host.open("bob");
    host.attach(bob, CHANNEL);
    snapshot!(host);
}

#[test]
fn a_slow_reader_is_synced_once_writable() {
    let (mut host, bob, alice) = room();
    host.congested(bob);
    host.update(alice, 1, "one");
    host.update(alice, 2, "two");
    host.recv(bob, json!({"action": 0, "id": "ping"}));
    host.writable(bob);
    snapshot!(host);
}

#[test]
fn the_right_to_presence_is_lost() {
    let (mut host, _, alice) = room();
    host.recv(alice, json!({"action": 17, "auth": {"accessToken": "less"}}));
    host.authorized(alice, capability(Operations::SUBSCRIBE));
    host.recv(alice, json!({"action": 17, "auth": {"accessToken": "nothing"}}));
    host.authorized(alice, capability(Operations::empty()));
    snapshot!(host);
}

#[test]
fn a_token_expires() {
    let mut host = Host::logged(ServerOptions::default());
    let mut request = crate::host::request("alice");
    request.token_expires = Some(UnixMillis::from_millis(host.wall() + 40_000));
    let (alice, _) = host.open_for(request);
    host.advance_alive(40_000, &[alice]);
    snapshot!(host);
}

#[test]
fn a_window_in_which_events_are_coalesced() {
    let mut config = ServerOptions::default();
    config.coalesce = vec![CoalesceRule::new(CHANNEL, Duration::from_millis(100))];
    let mut host = Host::logged(config);
    host.join("bob");
    let alice = host.join("alice");
    let carol = host.join("carol");
    host.enter(alice, 0, "1");
    host.update(alice, 1, "2");
    host.enter(carol, 0, "comes");
    host.leave(carol, 1);
    host.advance(100);
    snapshot!(host);
}

#[test]
fn a_server_that_drains() {
    let (mut host, _, _) = room();
    host.join("carol");
    host.input(Input::drain(Duration::from_secs(3)));
    host.advance(3_000);
    host.open("dave");
    host.advance(15_000);
    snapshot!(host);
}

#[test]
fn refused_requests() {
    let mut host = Host::logged(ServerOptions::default());
    let alice = host.open("alice");
    host.enter(alice, 0, "before the attach");
    host.attach(alice, "");
    host.attach(alice, ":bad");
    host.attach(alice, CHANNEL);
    host.presence(alice, 1, json!({"action": 2, "clientId": "bob"}));
    host.presence(alice, 2, json!({"action": 2, "connectionId": "another"}));
    host.recv(alice, json!({"action": 21, "channel": CHANNEL, "msgSerial": 3}));
    host.recv(alice, json!({"action": 99}));
    let error = presence_proto::wire::ErrorInfo::new(40000, 400, "Not a frame");
    host.input(Input::undecodable(TransportId(alice), error));
    snapshot!(host);
}
