//! Connections: keys, resume and recover, rights, drains, and that nothing is left of them.

use crate::host::{CHANNEL, Host, WALL, capability, request};
use crate::outputs::Outputs;
use core::time::Duration;
use presence_proto::server::{
    Capability, Identity, Input, KeySecret, LeaveCause, Misuse, Operations, Output, ServerOptions,
    Token,
};
use presence_proto::wire::{Action, ErrorInfo, Flags};
use presence_proto::{TransportId, UnixMillis};
use serde_json::json;
use std::sync::Arc;

/// A resume with a key: its error code, or 0, and whether the connection is the same.
fn try_key(host: &mut Host, client_id: &str, key: &str, old: u64) -> (u32, bool) {
    let mut request = request(client_id);
    request.resume = Some(key.into());
    let (transport, outputs) = host.open_for(request);
    assert_eq!(
        outputs.frames_of(transport, Action::Connected).len(),
        1,
        "it is let in all the same"
    );
    (
        outputs.error_codes(transport).first().copied().unwrap_or(0),
        host.id(transport) == host.id(old),
    )
}

fn secret(byte: u8) -> ServerOptions {
    let mut config = ServerOptions::default();
    config.key_secret = Some(KeySecret([byte; 32]));
    config
}

#[test]
fn connected_has_all_its_fields() {
    let mut config = ServerOptions::default();
    config.node = "node-7".into();
    config.site_code = Some("eu".into());
    let mut host = Host::with(config);
    let (alice, outputs) = host.open_for(request("alice"));
    let frame = outputs.frame_of(alice, Action::Connected);
    let details = frame.connection_details.as_deref().unwrap();
    assert_eq!(details.client_id.as_deref(), Some("alice"));
    assert_eq!(details.connection_key.as_deref(), Some(host.key(alice)));
    assert_eq!(details.max_message_size, Some(65_536));
    assert_eq!(details.max_frame_size, Some(524_288));
    assert_eq!(details.max_inbound_rate, Some(1_000));
    assert_eq!(details.connection_state_ttl, Some(120_000));
    assert_eq!(details.max_idle_interval, Some(15_000));
    assert_eq!(details.server_id.as_deref(), Some("node-7"));
    assert_eq!(details.site_code.as_deref(), Some("eu"));
}

#[test]
fn rtn15c6_a_valid_key_resumes_while_the_connection_is_kept() {
    let mut host = Host::new();
    let alice = host.join("alice");
    let key = host.key(alice).to_owned();
    host.lose(alice);
    host.advance(119_999);
    assert_eq!(try_key(&mut host, "alice", &key, alice), (0, true));
    assert_eq!(host.server.counters().resumed, 1);
}

#[test]
fn rtn15c7_an_expired_key_makes_a_new_connection() {
    let mut host = Host::new();
    let alice = host.join("alice");
    let key = host.key(alice).to_owned();
    host.lose(alice);
    host.advance(120_000);
    assert_eq!(try_key(&mut host, "alice", &key, alice), (80008, false));
    assert_eq!(host.server.counters().resume_failed, 1);
}

#[test]
fn keys_with_any_changed_bit_are_invalid() {
    let mut host = Host::new();
    let alice = host.join("alice");
    let key = host.key(alice).to_owned();
    let bytes = key.as_bytes();
    for at in 0..bytes.len() {
        for bit in 0..7 {
            let mut other = bytes.to_vec();
            other[at] ^= 1 << bit;
            let other = String::from_utf8(other).expect("still ASCII");
            assert_eq!(try_key(&mut host, "alice", &other, alice), (80018, false), "{other}");
        }
    }
    // Cut short, made longer, of another form.
    for end in 0..key.len() {
        assert!(!try_key(&mut host, "alice", &key[..end], alice).1);
    }
    for other in [
        format!("{key}A"),
        format!("{key}="),
        format!("{key}!"),
        format!("!{key}"),
        format!("{key}{key}"),
        "!".repeat(1_000),
        "\u{0}".into(),
        "é".into(),
    ] {
        assert_eq!(try_key(&mut host, "alice", &other, alice), (80018, false), "{other}");
    }
    assert_eq!(try_key(&mut host, "alice", &key, alice), (0, true), "the key itself is good");
}

#[test]
fn a_key_is_valid_only_for_its_identity() {
    for owner in ["alice", "*", ""] {
        for other in ["alice", "bob", "alic", "alice2", "*", ""] {
            if owner == other {
                continue;
            }
            let mut host = Host::new();
            let theirs = host.join(owner);
            let key = host.key(theirs).to_owned();
            let found = try_key(&mut host, other, &key, theirs);
            assert_eq!(found, (80018, false), "{owner:?} {other:?}");
            // Nor does it say that the connection has been there.
            host.lose(theirs);
            host.advance(200_000);
            let found = try_key(&mut host, other, &key, theirs);
            assert_eq!(found, (80018, false), "{owner:?} {other:?}");
        }
    }
}

#[test]
fn a_key_with_the_proof_of_another_connection_is_invalid() {
    let mut host = Host::new();
    let (alice, mallory) = (host.join("alice"), host.join("alice"));
    let (id, _) = host.key(alice).split_once('!').expect("id!proof");
    let (_, proof) = host.key(mallory).split_once('!').expect("id!proof");
    let forged = format!("{id}!{proof}");
    assert_eq!(try_key(&mut host, "alice", &forged, alice), (80018, false));
}

#[test]
fn only_servers_with_the_same_secret_recognize_a_key_of_an_earlier_run() {
    for (before, after, code) in [(1, 1, 80008), (1, 2, 80018)] {
        let mut first = Host::seeded(secret(before), 1);
        let alice = first.join("alice");
        let mut second = Host::seeded(secret(after), 2);
        let other = second.open("alice");
        let key = first.key(alice).to_owned();
        assert_eq!(try_key(&mut second, "alice", &key, other), (code, false));
    }
    // Without a secret it comes from the seed.
    let mut first = Host::seeded(ServerOptions::default(), 1);
    let alice = first.join("alice");
    let mut second = Host::seeded(ServerOptions::default(), 2);
    let other = second.open("alice");
    let key = first.key(alice).to_owned();
    assert_eq!(try_key(&mut second, "alice", &key, other), (80018, false));
}

#[test]
fn ids_and_keys_do_not_repeat_or_reveal_the_seed() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut host = Host::seeded(ServerOptions::default(), seed);
        for _ in 0..50 {
            let transport = host.open("a");
            assert!(seen.insert(host.id(transport).to_owned()));
            assert!(seen.insert(host.key(transport).to_owned()));
        }
    }
}

#[test]
fn rtn16_recover_takes_over_the_connection_like_resume() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let alice = host.join("alice");
    host.enter(alice, 0, "here");
    host.lose(alice);
    let mut request = request("alice");
    request.recover = Some(host.key(alice).into());
    let (again, outputs) = host.open_for(request);
    assert_eq!((outputs.error_codes(again).len(), host.id(again)), (0, host.id(alice)));
    // A recovered client has the serial, and does not enter again (RTN16k, RTP17).
    host.attach_again(again, CHANNEL, "0000000000000000");
    let outputs = host.advance_alive(60_000, &[again, bob]);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    assert_eq!(host.members(), ["alice=here"]);
    host.end();
}

#[test]
fn keys_and_tokens_do_not_appear_in_debug_output() {
    let mut host = Host::new();
    let alice = host.open("alice");
    let key = host.key(alice).to_owned();
    let mut request = request("alice");
    request.resume = Some(key.as_str().into());
    request.recover = Some(key.as_str().into());
    let said = format!("{request:?}");
    let (_, outputs) = host.open_for(request);
    let (_, proof) = key.split_once('!').expect("id!proof");
    for said in [said, format!("{outputs:?}")] {
        assert!(!said.contains(proof), "{said}");
    }
    // Nor do the bytes of the proof in the state of the server.
    assert!(format!("{:?}", host.server).contains("Proof(…)"));
}

/// A host's answer to the question about a token.
fn authorize(host: &mut Host, transport: u64, client_id: &str, allowed: Operations) -> Outputs {
    host.input(Input::authorized(
        TransportId(transport),
        Identity::from_client_id(Some(client_id)),
        Arc::new(capability(allowed)),
        None,
    ))
}

#[test]
fn rtc8_the_host_verifies_tokens() {
    let mut host = Host::new();
    let alice = host.join("alice");
    let outputs = host.recv(alice, json!({"action": 17, "auth": {"accessToken": "the token"}}));
    assert_eq!(
        outputs.others,
        [Output::authenticate(TransportId(alice), Token("the token".into()))]
    );
    assert!(!format!("{:?}", outputs.others).contains("the token"), "tokens do not show in logs");
    let outputs = authorize(&mut host, alice, "alice", Operations::all());
    assert_eq!(
        outputs.frame_of(alice, Action::Connected).connection_id.as_deref(),
        Some(host.id(alice))
    );
    assert_eq!(outputs.frames_of(alice, Action::Attached).len(), 0, "nothing has changed");
    let error = ErrorInfo::new(40140, 401, "no good");
    let outputs = host.input(Input::authorization_failed(TransportId(alice), error));
    assert_eq!((outputs.error_codes(alice), outputs.closed), (vec![40140], vec![alice]));
}

#[test]
fn rtc8a1_losing_a_capability_takes_effect_at_once() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let alice = host.join("alice");
    host.attach(alice, "other");
    host.enter(alice, 0, "here");
    // Fewer rights: the member leaves, and ATTACHED has the remaining modes.
    let outputs = authorize(&mut host, alice, "alice", Operations::SUBSCRIBE);
    assert_eq!(outputs.events_of(bob), ["leave alice=here"]);
    assert_eq!(outputs.events_of(alice), ["leave alice=here"], "once");
    assert_eq!(outputs.leave_causes(), [LeaveCause::RightLost]);
    for attached in outputs.frames_of(alice, Action::Attached) {
        let flags = attached.flags();
        assert!(!flags.contains(Flags::PRESENCE) && flags.contains(Flags::SUBSCRIBE));
        assert!(flags.contains(Flags::PRESENCE_SUBSCRIBE));
    }
    assert_eq!(outputs.frames_of(alice, Action::Attached).len(), 2);
    assert_eq!(host.enter(alice, 1, "").error_codes(alice), [40160]);
    // More rights again: the modes first requested.
    let outputs = authorize(&mut host, alice, "alice", Operations::all());
    assert!(outputs.frames_of(alice, Action::Attached)[0].flags().contains(Flags::PRESENCE));
    assert_eq!(host.enter(alice, 2, "back").events_of(bob), ["enter alice=back"]);
    // Nothing: the channels fail (RTL14).
    let outputs = authorize(&mut host, alice, "alice", Operations::HISTORY);
    assert_eq!(outputs.events_of(bob), ["leave alice=back"]);
    assert_eq!(outputs.error_codes(alice), [40160, 40160]);
    assert_eq!(host.server.counters().attachments, 1);
    host.end();
}

#[test]
fn rights_lost_while_disconnected_apply_after_a_resume() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let alice = host.join("alice");
    host.enter(alice, 0, "here");
    host.lose(alice);
    let mut less = request("alice");
    less.resume = Some(host.key(alice).into());
    less.capability = Arc::new(capability(Operations::SUBSCRIBE));
    let (again, outputs) = host.open_for(less);
    assert_eq!(outputs.events_of(bob), ["leave alice=here"]);
    assert_eq!(host.id(again), host.id(alice));
    host.end();
}

#[test]
fn rsa15_credentials_of_another_client_id_end_the_connection() {
    for (client_id, fits) in [("alice", true), ("*", true), ("bob", false), ("", false)] {
        let mut host = Host::new();
        let alice = host.join("alice");
        let outputs = authorize(&mut host, alice, client_id, Operations::all());
        if fits {
            assert_eq!(outputs.error_codes(alice), [0; 0], "{client_id:?}");
            // A wildcard token does not make one client id into all.
            let outputs = host.presence(alice, 0, json!({"action": 2, "clientId": "bob"}));
            assert_eq!(outputs.error_codes(alice), [40012]);
        } else {
            assert_eq!(outputs.error_codes(alice), [40102], "{client_id:?}");
            assert_eq!(outputs.closed, [alice]);
        }
    }
}

#[test]
fn rtn22_a_token_about_to_expire_is_requested_again() {
    for step in [0, 3_600_000, -3_600_000] {
        let mut host = Host::new();
        let mut request = request("alice");
        request.token_expires = Some(UnixMillis::from_millis(WALL + 100_000));
        let (alice, _) = host.open_for(request);
        // Set forth or back: tokens are counted down by the other clock.
        host.wall_step = step;
        let outputs = host.advance_alive(69_999, &[alice]);
        assert_eq!(outputs.frames_of(alice, Action::Auth).len(), 0);
        assert_eq!(host.advance_alive(1, &[alice]).frames_of(alice, Action::Auth).len(), 1);
        assert_eq!(host.advance_alive(29_999, &[alice]).frames(alice).len(), 0);
        let outputs = host.advance_alive(1, &[alice]);
        assert_eq!(outputs.error_codes(alice), [40142]);
        assert_eq!(outputs.frames_of(alice, Action::Disconnected).len(), 1);
    }
}

#[test]
fn a_drain_disconnects_connections_one_by_one_and_keeps_members_for_their_grace_period() {
    let mut host = Host::new();
    let transports: Vec<u64> = (0..10).map(|n| host.join(&format!("c{n}"))).collect();
    for &transport in &transports {
        host.enter(transport, 0, "");
    }
    let mut closed = host.input(Input::drain(Duration::from_secs(10))).closed;
    assert_eq!(closed.len(), 1);
    for second in 1..10 {
        assert_eq!(host.advance(999).closed, [0; 0], "{second}");
        let outputs = host.advance(1);
        closed.extend(&outputs.closed);
        let last = *closed.last().unwrap();
        assert_eq!(outputs.frames_of(last, Action::Disconnected).len(), 1);
        assert_eq!(outputs.error_codes(last), [50003]);
    }
    assert_eq!(closed, transports);
    assert_eq!(host.members().len(), 10);
    // New ones, and such as want to come back, are sent elsewhere.
    let (new, outputs) = host.open_for(request("new"));
    assert_eq!((outputs.error_codes(new), outputs.closed), (vec![50003], vec![new]));
    let (back, outputs) = {
        let mut request = request("c0");
        request.resume = Some(host.key(transports[0]).into());
        host.open_for(request)
    };
    assert_eq!((outputs.error_codes(back), outputs.closed), (vec![50003], vec![back]));
    host.advance(5_999);
    assert_eq!(host.members().len(), 10);
    host.advance(1);
    assert_eq!(host.members().len(), 9);
    host.end();
}

#[test]
fn a_drain_without_time_disconnects_all_at_once_within_the_budget() {
    let mut config = ServerOptions::default();
    config.budget = 3;
    let mut host = Host::with(config);
    let transports: Vec<u64> = (0..10).map(|n| host.join(&format!("c{n}"))).collect();
    let over = Duration::ZERO;
    let first = host.call(Input::drain(over));
    assert_eq!(first.closed.len(), 3);
    let rest = host.input(Input::drain(Duration::from_secs(1)));
    assert_eq!(first.closed.len() + rest.closed.len(), transports.len());
    host.end();
}

#[test]
fn disconnecting_a_transport_keeps_its_members_for_their_grace_period() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let alice = host.join("alice");
    host.enter(alice, 0, "here");
    let error = ErrorInfo::new(40142, 401, "revoked");
    let outputs = host.input(Input::disconnect(TransportId(alice), error));
    assert_eq!(outputs.frames_of(alice, Action::Disconnected).len(), 1);
    assert_eq!((outputs.error_codes(alice), outputs.closed), (vec![40142], vec![alice]));
    assert_eq!(host.advance_alive(14_999, &[bob]).events_of(bob), [""; 0]);
    assert_eq!(host.advance_alive(1, &[bob]).events_of(bob), ["leave alice=here"]);
    host.end();
}

#[test]
fn an_undecodable_frame_ends_the_transport_and_not_the_connection() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let alice = host.join("alice");
    host.enter(alice, 0, "here");
    let error = ErrorInfo::new(40009, 400, "too large");
    let outputs = host.input(Input::undecodable(TransportId(alice), error));
    assert_eq!(outputs.frame_of(alice, Action::Error).channel, None);
    assert_eq!(outputs.events_of(bob), [""; 0]);
    assert_eq!((outputs.error_codes(alice), outputs.closed), (vec![40009], vec![alice]));
    let (again, outputs) = host.resume("alice", alice);
    assert_eq!(outputs.error_codes(again), [0; 0]);
    host.end();
}

#[test]
fn mistakes_of_the_host_are_reported_and_change_nothing() {
    let mut host = Host::new();
    let alice = host.join("alice");
    host.enter(alice, 0, "here");
    let unknown = TransportId(99);
    let outputs = host.input(Input::closed(unknown));
    assert_eq!(outputs.others, [Output::Misuse(Misuse::UnknownTransport(unknown))]);
    let transport = TransportId(alice);
    let outputs = host.input(Input::opened(transport, request("bob")));
    assert_eq!(outputs.others, [Output::Misuse(Misuse::TransportInUse(transport))]);
    assert_eq!(host.server.counters().misuse, 2);
    assert_eq!(host.members(), ["alice=here"]);
    // Input in flight when a transport was closed is no mistake.
    host.lose(alice);
    assert_eq!(host.lose(alice).others, []);
}

#[test]
fn nothing_is_left_of_hundreds_of_connections_that_ended_in_every_way() {
    let mut host = Host::new();
    let mut open = Vec::new();
    for round in 0u64..300 {
        let client = format!("c{}", round % 7);
        let transport = host.open(&client);
        let channel = format!("room{}", round % 13);
        host.attach(transport, &channel);
        host.attach(transport, CHANNEL);
        host.recv(
            transport,
            json!({"action": 14, "channel": channel, "msgSerial": 0,
            "presence": [{"action": 2}]}),
        );
        match round % 6 {
            0 => drop(host.recv(transport, json!({"action": 7}))),
            1 => drop(host.recv(transport, json!({"action": 12, "channel": channel}))),
            2 => drop(host.lose(transport)),
            3 => {
                host.congested(transport);
                host.lose(transport);
            }
            4 => {
                let (again, _) = host.resume(&client, transport);
                open.push(again);
            }
            _ => open.push(transport),
        }
        if round % 50 == 0 {
            host.advance_alive(3_000, &open);
        }
    }
    assert!(host.server.counters().connections > 50);
    host.end();
}

#[test]
fn a_capability_for_a_pattern_applies_to_matching_channels() {
    let mut host = Host::new();
    let mut request = request("alice");
    let capability = Capability::none()
        .allow("room:*", Operations::PRESENCE | Operations::SUBSCRIBE)
        .allow("news", Operations::SUBSCRIBE);
    request.capability = Arc::new(capability);
    let (alice, _) = host.open_for(request);
    let granted = Flags::PRESENCE | Flags::SUBSCRIBE | Flags::PRESENCE_SUBSCRIBE;
    for (channel, flags) in [
        ("room:1", Some(granted)),
        ("room:1:2", Some(granted)),
        ("news", Some(Flags::SUBSCRIBE | Flags::PRESENCE_SUBSCRIBE)),
        ("room", None),
        ("rooms:1", None),
        ("[meta]room:1", None),
        ("newsroom:1", None),
    ] {
        let outputs = host.attach(alice, channel);
        match flags {
            Some(flags) => {
                let modes = outputs.frame_of(alice, Action::Attached).flags();
                assert_eq!(modes.modes(), flags.modes(), "{channel}");
            }
            None => assert_eq!(outputs.error_codes(alice), [40160], "{channel}"),
        }
    }
}
