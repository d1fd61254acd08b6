//! Channels, clause by clause.

use crate::driven::Driven;
use crate::host::{Host, me};
use crate::json_frames::{connected, presence, sync};
use crate::lines::only;
use crate::text::decode;
use presence_proto::client::{ChannelEvent, ChannelOptions, ChannelState, GetParams, Input};
use presence_proto::wire::{ErrorInfo, Modes};
use presence_proto::{OpId, SubscriptionId};
use serde_json::json;

fn detached(code: u32) -> serde_json::Value {
    json!({"action": 13, "channel": "ch", "error": {"code": code, "statusCode": 400}})
}

fn channel_error() -> serde_json::Value {
    json!({"action": 9, "channel": "ch", "error": {"code": 40160, "statusCode": 401}})
}

fn attach(op: u64) -> Input {
    Input::attach(OpId(op), "ch")
}

fn detach(op: u64) -> Input {
    Input::detach(OpId(op), "ch")
}

fn set_options(op: u64, options: &ChannelOptions) -> Input {
    Input::set_options(OpId(op), "ch", options.clone())
}

/// A client whose channel is in this state, with the connection CONNECTED.
fn in_state(state: ChannelState) -> Host {
    let mut host = Host::connected("conn1");
    host.watch("ch");
    match state {
        ChannelState::Initialized => {}
        ChannelState::Attaching => drop(host.input(attach(100))),
        ChannelState::Attached => host.join("ch"),
        ChannelState::Detaching => {
            host.join("ch");
            host.input(detach(100));
        }
        ChannelState::Detached => {
            host.join("ch");
            host.input(detach(100));
            host.recv(json!({"action": 13, "channel": "ch"}));
        }
        ChannelState::Suspended => {
            host.input(attach(100));
            host.recv(detached(50000));
        }
        ChannelState::Failed => drop(host.recv(channel_error())),
    }
    assert_eq!(host.channel_state("ch").name(), state.name());
    host
}

/// Clauses: RTL2, RTL2a, RTL2b, RTL2d, RTL2f, RTL2g, RTL2i, TH1, TH2, TH3, TH4, TH5, TH6, RTL23.
#[test]
fn rtl2_the_fields_of_a_channel_event() {
    let mut host = Host::connected("conn1");
    host.input(attach(1));
    host.forget();
    host.recv(json!({
        "action": 11, "channel": "ch", "flags": 6,
        "error": {"code": 91000, "statusCode": 400, "message": "careful"},
    }));
    let changes = host.channel_events("ch");
    let [change] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(change.previous, ChannelState::Attaching);
    assert_eq!(change.current, ChannelState::Attached);
    assert_eq!(change.event, ChannelEvent::State(ChannelState::Attached));
    assert_eq!(change.reason, Some(ErrorInfo::new(91000, 400, "careful")));
    assert!(change.resumed && change.has_backlog);
    let view = host.client.channel("ch").expect("a channel");
    assert_eq!((view.name().as_str(), view.state()), ("ch", ChannelState::Attached));
    assert_eq!(view.error_reason(), change.reason.as_ref());
}

/// Clauses: RTS1, RTS2, RTS3, RTS3a, RTS3b.
#[test]
fn rts3_a_channel_is_created_once_with_its_options() {
    let mut host = Host::connected("conn1");
    assert!(host.client.channel("ch").is_none());
    let mut options = ChannelOptions::default();
    options.modes = Some(Modes::PRESENCE);
    assert_eq!(host.input(set_options(1, &options)), ["done 1 ok"]);
    host.input(attach(2));
    assert_eq!(host.client.channel_count(), 1);
    assert_eq!(host.client.channel("ch").expect("a channel").options(), &options);
    assert_eq!(host.client.channels().count(), 1);
}

/// Clauses: RTS4, RTS4a.
#[test]
fn rts4_a_released_channel_is_detached_and_forgotten() {
    let release = |op| Input::release(OpId(op), "ch");
    let mut host = in_state(ChannelState::Attached);
    assert_eq!(
        host.input(release(1)),
        ["channel ch detaching", "send DETACH {\"channel\":\"ch\"}"]
    );
    assert!(host.client.channel("ch").is_some());
    let lines = host.recv(json!({"action": 13, "channel": "ch"}));
    assert_eq!(lines, ["channel ch detached", "done 1 ok"]);
    assert!(host.client.channel("ch").is_none());
    assert_eq!(host.input(release(2)), ["done 2 ok"]);
    assert_eq!(host.next_deadline(), None, "no timer is left");

    for state in [ChannelState::Initialized, ChannelState::Suspended, ChannelState::Failed] {
        let mut host = in_state(state);
        assert_eq!(only(&host.input(release(3)), "done"), ["done 3 ok"]);
        assert!(host.client.channel("ch").is_none(), "{state}");
    }
}

/// An attach during the release creates the channel again, without state of the first one.
///
/// Clauses: RTS4, RTS3.
#[test]
fn rts4_a_channel_attached_during_its_release_starts_from_scratch() {
    let mut host = in_state(ChannelState::Initialized);
    let mut options = ChannelOptions::default();
    options.modes = Some(Modes::PRESENCE);
    options.params = vec![("rewind".into(), "1".into())];
    options.attach_on_subscribe = false;
    host.input(set_options(1, &options));
    host.input(attach(2));
    host.recv(json!({
        "action": 11, "channel": "ch", "channelSerial": "s1", "flags": 65536,
        "params": {"rewind": "1"},
    }));
    host.recv(presence(14, 2, &["alice@c1:0", "me@conn1:0"]));
    host.input(Input::release(OpId(3), "ch"));
    host.input(attach(4));
    let lines = host.recv(json!({"action": 13, "channel": "ch"}));
    assert_eq!(
        lines,
        [
            "channel ch detached",
            "done 3 ok",
            "channel ch attaching",
            // Neither modes nor params nor a serial.
            "send ATTACH {\"channel\":\"ch\"}",
        ]
    );
    let view = host.client.channel("ch").expect("a channel");
    assert_eq!(view.options(), &ChannelOptions::default());
    assert_eq!((view.modes(), view.params()), (None, &[][..]));
    assert_eq!((view.channel_serial(), view.attach_serial()), (None, None));
    assert_eq!((view.error_reason(), view.sync_complete()), (None, false));
    assert_eq!((view.member_count(), view.own_member_count()), (0, 0));
    let lines = host.recv(json!({"action": 11, "channel": "ch"}));
    assert_eq!(lines, ["channel ch attached", "done 4 ok"], "no re-entry");
    // There are no subscriptions any more.
    assert_eq!(host.recv(presence(14, 2, &["bob@c1:1"])), Vec::<String>::new());
    let unsubscribe = |subscription| Input::unsubscribe("ch", Some(SubscriptionId(subscription)));
    host.misuses = true;
    assert_eq!(host.input(unsubscribe(0)), ["misuse there is no subscription 0 on channel ch"]);
}

/// A failed release does not change the channel.
///
/// Clauses: RTS4, RTL5f.
#[test]
fn rts4_a_release_without_an_answer_fails_and_keeps_the_channel() {
    let mut host = in_state(ChannelState::Attached);
    host.input(Input::release(OpId(1), "ch"));
    host.input(attach(2));
    assert_eq!(
        host.advance(10_000),
        ["channel ch attached 90007", "done 1 error 90007", "done 2 ok"]
    );
    assert_eq!(host.recv(presence(14, 2, &["bob@c1:1"])).len(), 1, "still subscribed");
}

/// Clauses: RTL3, RTL3a, RTL3b, RTL3c, RTL3e.
#[test]
fn rtl3_a_channel_follows_the_state_of_its_connection() {
    use ChannelState as S;
    let after = |state: S, end: &str| {
        let mut host = in_state(state);
        match end {
            "failed" => {
                host.recv(json!({"action": 9, "error": {"code": 40400, "statusCode": 404}}));
            }
            "closed" => {
                host.input(Input::Close);
                host.recv(json!({"action": 8}));
            }
            "suspended" => {
                // Before the time of a request is over.
                let mut details = connected("conn1");
                details["connectionDetails"]["connectionStateTtl"] = 5_000.into();
                host.recv(details);
                host.lose();
                assert_eq!(host.channel_state("ch").name(), state.name(), "RTL3e");
                host.advance(5_000);
            }
            other => panic!("{other}"),
        }
        assert_eq!(host.client.pending_operations(), 0, "{state} {end}");
        assert_eq!(
            host.next_deadline().is_some(),
            end == "suspended",
            "timers after {state} {end}"
        );
        host.channel_state("ch").name()
    };
    for state in [S::Attaching, S::Attached] {
        assert_eq!(after(state, "failed"), "failed");
        assert_eq!(after(state, "closed"), "detached");
        assert_eq!(after(state, "suspended"), "suspended");
    }
    for state in [S::Initialized, S::Detached, S::Failed] {
        for end in ["failed", "closed", "suspended"] {
            assert_eq!(after(state, end), state.name());
        }
    }
    for end in ["failed", "closed", "suspended"] {
        assert_eq!(after(S::Detaching, end), "detached", "{end}");
    }
}

/// Clauses: RTL3d, RTL3d1, RTN19b.
#[test]
fn rtl3d1_channels_attach_again_before_the_connected_event() {
    for (state, first) in [
        (ChannelState::Attaching, "send ATTACH"),
        (ChannelState::Attached, "channel ch attaching"),
        (ChannelState::Suspended, "channel ch attaching"),
        (ChannelState::Detaching, "send DETACH"),
    ] {
        let mut host = in_state(state);
        host.lose();
        let lines = host.recv(connected("conn1"));
        assert!(lines[0].starts_with(first), "{lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("connection connected"));
    }
    for state in [ChannelState::Initialized, ChannelState::Detached, ChannelState::Failed] {
        let mut host = in_state(state);
        host.lose();
        assert_eq!(host.recv(connected("conn1")), ["connection connected"], "{state}");
    }
}

/// Clauses: RTL4, RTL4a, RTL4b, RTL4c, RTL4g, RTL4i, RTL4d, RTL4d1.
#[test]
fn rtl4_attach_in_every_state() {
    let sent = ["channel ch attaching", "send ATTACH {\"channel\":\"ch\"}"];
    for state in [ChannelState::Initialized, ChannelState::Detached, ChannelState::Failed] {
        let mut host = in_state(state);
        assert_eq!(host.input(attach(1)), sent, "{state}");
        assert_eq!(host.client.channel("ch").expect("a channel").error_reason(), None);
        let lines = host.recv(json!({"action": 11, "channel": "ch"}));
        assert_eq!(lines, ["channel ch attached", "done 1 ok"]);
        assert_eq!(host.input(attach(2)), ["done 2 ok"]);
    }
    // The retry that a suspended channel waits for is not due any more.
    let mut host = in_state(ChannelState::Suspended);
    assert_eq!(host.input(attach(1)), sent);
    host.recv(json!({"action": 11, "channel": "ch"}));
    assert_eq!(host.advance(1_000_000), Vec::<String>::new());
    // The outcome is that of the attach.
    for (frame, code) in [(detached(50000), 50000), (channel_error(), 40160)] {
        let mut host = in_state(ChannelState::Initialized);
        host.input(attach(1));
        assert_eq!(only(&host.recv(frame), "done"), [format!("done 1 error {code}")]);
    }
    // RTL4i, RTL4b
    let mut host = Host::new(me());
    assert_eq!(host.input(attach(1)), ["channel ch attaching"]);
    let mut host = Host::connected("conn1");
    host.input(Input::Close);
    assert_eq!(host.input(attach(1)), ["done 1 error 80017"]);
}

/// Clauses: RTL4h, RTL5i.
#[test]
fn rtl4h_rtl5i_a_request_waits_for_the_previous_one() {
    let mut host = in_state(ChannelState::Initialized);
    host.input(attach(1));
    assert_eq!(host.input(attach(2)), Vec::<String>::new());
    assert_eq!(host.input(detach(3)), Vec::<String>::new());
    let lines = host.recv(json!({"action": 11, "channel": "ch"}));
    assert_eq!(
        lines,
        [
            "channel ch attached",
            "done 1 ok",
            "done 2 ok",
            "channel ch detaching",
            "send DETACH {\"channel\":\"ch\"}"
        ]
    );
    assert_eq!(host.input(attach(4)), Vec::<String>::new());
    let lines = host.recv(json!({"action": 13, "channel": "ch"}));
    assert_eq!(only(&lines, "done"), ["done 3 ok"]);
    assert_eq!(host.channel_state("ch").name(), "attaching");
}

/// Clauses: RTL4k, RTL4k1, RTL4l, RTL4m, TB2c, TB2d, RTL4c1, CP1, CP2, CP2a, CP2b, RTL15, RTL15b, RTL15c.
#[test]
fn rtl4k1_requested_and_granted_modes_params_and_serials() {
    let mut host = Host::connected("conn1");
    let mut options = ChannelOptions::default();
    options.params = vec![("rewind".into(), "1".into()), ("x".into(), "y".into())];
    options.modes = Some(Modes::PRESENCE | Modes::PRESENCE_SUBSCRIBE);
    host.input(set_options(1, &options));
    let lines = host.input(attach(2));
    assert_eq!(
        lines[1],
        "send ATTACH {\"channel\":\"ch\",\"flags\":589824,\"params\":{\"rewind\":\"1\",\"x\":\"y\"}}"
    );
    host.recv(json!({
        "action": 11, "channel": "ch", "flags": 65536 + 7, "params": {"rewind": "1"},
        "channelSerial": "s1",
    }));
    let view = host.client.channel("ch").expect("a channel");
    assert_eq!(view.modes(), Some(Modes::PRESENCE));
    assert_eq!(view.params(), [("rewind".into(), "1".into())]);
    assert_eq!(view.channel_serial().map(|s| s.as_str()), Some("s1"));
    assert_eq!(view.attach_serial(), None, "RESUMED was set");
    host.recv(json!({"action": 11, "channel": "ch", "channelSerial": "s2"}));
    let view = host.client.channel("ch").expect("a channel");
    assert_eq!((view.modes(), view.params()), (Some(Modes::empty()), &[][..]));
    assert_eq!(view.attach_serial().map(|s| s.as_str()), Some("s2"));
    // RTL15b: PRESENCE moves the serial on, SYNC does not.
    let mut frame = presence(14, 2, &["a@c1:0"]);
    frame["channelSerial"] = "s3".into();
    host.recv(frame);
    host.recv(sync("q1:", &[]));
    let view = host.client.channel("ch").expect("a channel");
    assert_eq!(view.channel_serial().map(|s| s.as_str()), Some("s3"));
    assert_eq!(view.attach_serial().map(|s| s.as_str()), Some("s2"));
}

#[test]
fn rtl4f_an_attach_times_out_and_a_late_attached_still_counts() {
    let mut host = in_state(ChannelState::Initialized);
    host.input(attach(1));
    assert_eq!(host.advance(9_999), Vec::<String>::new());
    assert_eq!(host.advance(1), ["channel ch suspended 90007", "done 1 error 90007"]);
    assert_eq!(host.recv(json!({"action": 11, "channel": "ch"})), ["channel ch attached"]);
    assert_eq!(host.advance(100_000), Vec::<String>::new());
}

#[test]
fn an_unrequested_attached_is_ignored() {
    for state in [ChannelState::Initialized, ChannelState::Suspended, ChannelState::Failed] {
        let mut host = in_state(state);
        let lines = host.recv(json!({"action": 11, "channel": "ch", "channelSerial": "x"}));
        assert_eq!((lines, host.channel_state("ch").name()), (vec![], state.name()));
    }
}

/// Clauses: RTL5, RTL5a, RTL5b, RTL5d, RTL5e, RTL5j, RTL5l.
#[test]
fn rtl5_detach_in_every_state() {
    for state in [ChannelState::Initialized, ChannelState::Detached] {
        assert_eq!(in_state(state).input(detach(1)), ["done 1 ok"]);
    }
    assert_eq!(in_state(ChannelState::Failed).input(detach(1)), ["done 1 error 90001"]);
    assert_eq!(
        in_state(ChannelState::Suspended).input(detach(1)),
        ["channel ch detached", "done 1 ok"]
    );
    for state in [ChannelState::Attaching, ChannelState::Attached] {
        let mut host = in_state(state);
        host.lose();
        let lines = host.input(detach(1));
        assert_eq!(lines[0], "channel ch detached");
        assert!(lines.contains(&"done 1 ok".to_owned()), "{lines:?}");
    }
}

#[test]
fn rtl5f_a_detach_that_times_out_keeps_the_members() {
    let mut host = in_state(ChannelState::Attached);
    host.recv(presence(14, 2, &["alice@c1:0", "me@conn1:0"]));
    host.input(detach(1));
    assert_eq!(host.advance(10_000), ["channel ch attached 90007", "done 1 error 90007"]);
    assert_eq!(host.present("ch"), ["alice@c1", "me@conn1"]);
    assert_eq!(host.own("ch"), ["me"]);
}

#[test]
fn rtl5k_attached_while_detaching_or_detached_sends_detach() {
    let attached = json!({"action": 11, "channel": "ch"});
    let mut host = in_state(ChannelState::Detaching);
    assert_eq!(host.recv(attached.clone()), ["send DETACH {\"channel\":\"ch\"}"]);
    let mut host = in_state(ChannelState::Detached);
    assert_eq!(host.recv(attached), ["channel ch detaching", "send DETACH {\"channel\":\"ch\"}"]);
    // Where it began, it ends if no answer comes.
    assert_eq!(host.advance(10_000), ["channel ch detached 90007"]);
}

/// Clauses: RTL6c, RTL6c1, RTL6c2, RTL6c4, RTL6i3.
#[test]
fn rtl6c_frames_of_the_application_are_sent_queued_or_refused() {
    let message = json!({"action": 15, "channel": "ch", "messages": [{"data": "x"}]});
    let send = |op| Input::send(OpId(op), Box::new(decode(&message)));
    for state in [ChannelState::Initialized, ChannelState::Attaching, ChannelState::Detached] {
        let lines = in_state(state).input(send(1));
        assert!(lines[0].starts_with("send MESSAGE"), "{state}");
    }
    assert_eq!(in_state(ChannelState::Suspended).input(send(1)), ["done 1 error 50000"]);
    assert_eq!(in_state(ChannelState::Failed).input(send(1)), ["done 1 error 40160"]);
    let mut host = Host::new(me());
    assert_eq!(host.input(send(1)), Vec::<String>::new());
    host.input(Input::Connect);
    let lines = host.recv(connected("conn1"));
    assert_eq!(only(&lines, "send MESSAGE").len(), 1);
    let mut unqueued = me();
    unqueued.queue_messages = false;
    assert_eq!(Host::new(unqueued).input(send(1)), ["done 1 error 80003"]);
    // The application cannot send frames of the connection protocol.
    let frame = Box::new(decode(&json!({"action": 7})));
    assert_eq!(host.input(Input::send(OpId(2), frame)), ["done 2 error 40000"]);
}

/// Clauses: RTL1, RTL17.
#[test]
fn rtl17_other_frames_reach_the_application_only_while_attached() {
    let message = json!({"action": 15, "channel": "ch", "messages": [{"data": "x"}]});
    for state in ChannelState::ALL {
        let lines = in_state(*state).recv(message.clone());
        assert_eq!(lines.len(), usize::from(*state == ChannelState::Attached), "{state}");
    }
    for action in [15, 19, 20, 21, 77] {
        let mut host = in_state(ChannelState::Attached);
        let lines = host.recv(json!({"action": action, "channel": "ch"}));
        assert_eq!(lines.len(), 1, "{action}: {lines:?}");
    }
}

/// Clauses: RTN11d, RTL15, RTL15c, RTL24.
#[test]
fn rtn11d_a_new_connection_resets_channels_but_keeps_their_options() {
    let mut host = in_state(ChannelState::Initialized);
    let mut options = ChannelOptions::default();
    options.modes = Some(Modes::PRESENCE);
    host.input(set_options(1, &options));
    host.input(attach(2));
    host.recv(json!({
        "action": 11, "channel": "ch", "channelSerial": "s1", "flags": 65536,
        "params": {"rewind": "1"},
    }));
    // Some attempts fail, so that the next delays are longer.
    for _ in 0..3 {
        host.recv(detached(50000));
        host.recv(detached(50000));
        host.advance(30_000);
    }
    host.input(Input::Close);
    host.recv(json!({"action": 8}));
    host.connect("conn2");
    let view = host.client.channel("ch").expect("a channel");
    assert_eq!((view.state(), view.error_reason()), (ChannelState::Initialized, None));
    assert_eq!((view.modes(), view.params()), (None, &[][..]));
    assert_eq!((view.channel_serial(), view.attach_serial()), (None, None));
    assert_eq!(view.options(), &options, "what the application has set stays");
    host.input(attach(3));
    host.recv(detached(50000));
    assert_eq!(host.advance(14_999), Vec::<String>::new());
    assert_eq!(host.advance(1)[0], "channel ch attaching", "the first delay");
    host.recv(json!({"action": 11, "channel": "ch"}));
    assert_eq!(host.recv(presence(14, 2, &["bob@c1:1"])).len(), 1, "subscribed as before");
}

/// Clauses: RTL16, RTL16a, TB4.
#[test]
fn rtl16a_new_options_send_attach_and_end_with_the_answer() {
    let mut options = ChannelOptions::default();
    options.modes = Some(Modes::PRESENCE_SUBSCRIBE);
    let mut host = in_state(ChannelState::Attached);
    let lines = host.input(set_options(1, &options));
    assert_eq!(
        lines,
        ["send ATTACH {\"channel\":\"ch\",\"channelSerial\":\"s0\",\"flags\":524288}"]
    );
    let lines = host.recv(json!({"action": 11, "channel": "ch", "flags": 524_288 + 4}));
    assert_eq!(lines, ["done 1 ok"]);
    host.input(set_options(2, &options));
    assert_eq!(only(&host.recv(channel_error()), "done"), ["done 2 error 40160"]);
    assert_eq!(host.input(set_options(3, &options)), ["done 3 ok"]);
    // No answer: the options are refused, the channel is as it was.
    let mut host = in_state(ChannelState::Attached);
    host.input(set_options(4, &options));
    assert_eq!(host.advance(10_000), ["done 4 error 90007"]);
    assert_eq!(host.channel_state("ch").name(), "attached");
}

/// Clauses: RTL33, RTL33a, RTL33b, RTL33b1, RTL33c, RTP11e.
#[test]
fn rtl33_get_ensures_that_the_channel_is_active() {
    let get = |op, wait| {
        let mut params = GetParams::default();
        params.wait_for_sync = wait;
        Input::get_with(OpId(op), "ch", params)
    };
    assert_eq!(in_state(ChannelState::Attached).input(get(1, true)), ["done 1 []"]);
    assert_eq!(in_state(ChannelState::Suspended).input(get(1, false)), ["done 1 []"]);
    assert_eq!(in_state(ChannelState::Suspended).input(get(1, true)), ["done 1 error 91005"]);
    assert_eq!(in_state(ChannelState::Failed).input(get(1, true)), ["done 1 error 90001"]);
    for state in [ChannelState::Initialized, ChannelState::Detached, ChannelState::Attaching] {
        let mut host = in_state(state);
        host.input(get(1, true));
        assert_eq!(host.channel_state("ch").name(), "attaching");
        let lines = host.recv(json!({"action": 11, "channel": "ch"}));
        assert!(lines.contains(&"done 1 []".to_owned()), "{state}: {lines:?}");
        let mut host = in_state(state);
        host.input(get(1, false));
        let lines = host.recv(channel_error());
        assert!(lines.contains(&"done 1 error 40160".to_owned()), "{state}: {lines:?}");
    }
    let mut host = in_state(ChannelState::Detaching);
    host.input(get(1, true));
    host.recv(json!({"action": 13, "channel": "ch"}));
    let lines = host.recv(json!({"action": 11, "channel": "ch"}));
    assert!(lines.contains(&"done 1 []".to_owned()), "{lines:?}");
}

/// Clauses: RTL11, RTL11a.
#[test]
fn rtl11_operations_that_wait_for_an_attach_fail_with_it() {
    let enter = |op| Input::enter(OpId(op), "ch", None);
    for (frame, code) in [(detached(50000), 50000), (channel_error(), 40160)] {
        let mut host = in_state(ChannelState::Initialized);
        host.input(enter(1));
        assert_eq!(only(&host.recv(frame), "done"), [format!("done 1 error {code}")]);
    }
    // A sent operation waits for its acknowledgement in every state of the channel.
    let mut host = in_state(ChannelState::Attached);
    host.input(enter(2));
    assert_eq!(only(&host.recv(channel_error()), "done"), Vec::<String>::new());
    assert_eq!(host.recv(json!({"action": 1, "msgSerial": 0})), ["done 2 ok"]);
}

#[test]
fn rtl12_a_further_attached_is_an_update_unless_resumed() {
    let mut host = in_state(ChannelState::Attached);
    host.recv(presence(14, 2, &["alice@c1:0"]));
    assert_eq!(host.recv(json!({"action": 11, "channel": "ch", "flags": 4})), Vec::<String>::new());
    assert_eq!(host.present("ch"), ["alice@c1"]);
    assert_eq!(
        host.recv(json!({"action": 11, "channel": "ch"})),
        ["channel ch update", "presence ch for 0 leave alice@c1"]
    );
}

#[test]
fn channels_and_subscriptions_are_bounded() {
    let mut few = me();
    few.limits.channels = 1;
    few.limits.subscriptions = 1;
    few.limits.pending_operations = 2;
    let mut host = Host::new(few);
    host.connect("conn1");
    host.watch("ch");
    assert_eq!(host.input(Input::attach(OpId(1), "another")), ["done 1 error 40000"]);
    assert_eq!(
        host.input(Input::subscribe(OpId(2), "ch", SubscriptionId(2))),
        ["done 2 error 40000"]
    );
    host.input(attach(3));
    host.input(attach(4));
    assert_eq!(host.input(attach(5)), ["done 5 error 40000"]);
    assert_eq!(host.client.pending_operations(), 2);
    assert_eq!(host.input(Input::attach(OpId(6), "")), ["done 6 error 40000"]);
}
