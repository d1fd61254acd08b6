//! Presence in flight when the connection is lost, replaced or ended.

use crate::host::{Host, me};
use crate::json_frames::{connected, item};
use crate::lines::only;
use presence_proto::OpId;
use presence_proto::client::{Input, PresenceChange};
use presence_proto::wire::PresenceAction::{Enter, Leave, Update};
use presence_proto::wire::{Modes, PresenceAction};
use serde_json::{Value as Json, json};

fn change(op: u64, channel: &str, action: PresenceAction) -> Input {
    Input::presence(OpId(op), channel, PresenceChange::new(action, None))
}

fn change_of(op: u64, action: PresenceAction, client_id: &str) -> Input {
    Input::presence(OpId(op), "ch", PresenceChange::new(action, None).of_client(client_id))
}

fn attached(channel: &str) -> Json {
    json!({"action": 11, "channel": channel})
}

/// The client has entered these members, and has received their events.
fn entered(host: &mut Host, channel: &str, client_ids: &[&str]) {
    let items: Vec<Json> = client_ids.iter().map(|id| item(2, &format!("{id}@conn1:0"))).collect();
    host.recv(json!({"action": 14, "channel": channel, "presence": items}));
    assert_eq!(host.own(channel), client_ids);
}

/// A client that may act for any client id.
fn wildcard() -> Host {
    let mut options = me();
    options.client_id = None;
    let mut host = Host::new(options);
    host.input(Input::Connect);
    let mut frame = connected("conn1");
    frame["connectionDetails"]["clientId"] = "*".into();
    host.recv(frame);
    host.join("ch");
    host
}

/// The connection is lost and resumed or replaced, and the channel is attached again. Returns the
/// presence items that are sent then, as `action client`.
fn reconnect(host: &mut Host, id: &str, channel: &str) -> Vec<String> {
    host.lose();
    let mut frame = connected(id);
    if host.client.options().client_id.is_none() {
        frame["connectionDetails"]["clientId"] = "*".into();
    }
    let lines = host.recv(frame);
    assert_eq!(only(&lines, "send PRESENCE"), Vec::<String>::new(), "RTL3d2");
    sent(&host.recv(attached(channel)))
}

fn sent(lines: &[String]) -> Vec<String> {
    let mut sent = Vec::new();
    for line in only(lines, "send PRESENCE") {
        let frame: Json = serde_json::from_str(&line["send PRESENCE ".len()..]).expect("JSON");
        for item in frame["presence"].as_array().expect("items") {
            let action = match item["action"].as_u64() {
                Some(2) => "enter",
                Some(3) => "leave",
                Some(4) => "update",
                _ => "?",
            };
            sent.push(format!("{action} {}", item["clientId"].as_str().unwrap_or("itself")));
        }
    }
    sent
}

// ---- Leaves (RTP10, RTP17i)

/// Clauses: RTP17i, RTP10.
#[test]
fn rtp17i_a_member_whose_leave_is_in_flight_is_not_entered_again() {
    // Resumed: the ACK was lost, or the LEAVE.
    for id in ["conn1", "conn2"] {
        let mut host = Host::attached();
        entered(&mut host, "ch", &["me"]);
        host.input(change(1, "ch", Leave));
        assert_eq!(reconnect(&mut host, id, "ch"), ["leave itself"], "{id}");
        assert_eq!(host.recv(json!({"action": 1, "msgSerial": 0})), ["done 1 ok"]);
    }
}

/// Clauses: RTP17i.
#[test]
fn rtp17i_a_member_whose_leave_is_in_flight_is_not_entered_again_after_several_losses() {
    for ids in [["conn1", "conn2"], ["conn2", "conn2"], ["conn2", "conn3"], ["conn1", "conn1"]] {
        let mut host = Host::attached();
        entered(&mut host, "ch", &["me"]);
        host.input(change(1, "ch", Leave));
        host.lose();
        // Lost again before the channel is attached.
        host.recv(connected(ids[0]));
        assert_eq!(reconnect(&mut host, ids[1], "ch"), ["leave itself"], "{ids:?}");
        // And after.
        assert_eq!(reconnect(&mut host, ids[1], "ch"), ["leave itself"], "{ids:?}");
        assert_eq!(reconnect(&mut host, "conn4", "ch"), ["leave itself"], "{ids:?}");
    }
}

/// Clauses: RTP17i.
#[test]
fn rtp17i_only_members_without_a_leave_in_flight_are_entered_again() {
    for id in ["conn1", "conn2"] {
        let mut host = wildcard();
        entered(&mut host, "ch", &["alice", "bob", "carol"]);
        host.input(change_of(1, Leave, "bob"));
        let mut sent = reconnect(&mut host, id, "ch");
        sent.sort();
        assert_eq!(sent, ["enter alice", "enter carol", "leave bob"], "{id}");
    }
}

/// Clauses: RTP17i.
#[test]
fn rtp17i_a_leave_in_flight_concerns_only_its_channel() {
    for id in ["conn1", "conn2"] {
        let mut host = Host::connected("conn1");
        for channel in ["a", "b", "c"] {
            host.join(channel);
            entered(&mut host, channel, &["me"]);
        }
        host.input(change(1, "a", Leave));
        host.input(change(2, "b", Leave));
        host.lose();
        host.recv(connected(id));
        assert_eq!(sent(&host.recv(attached("c"))), ["enter me"], "{id}");
        assert_eq!(sent(&host.recv(attached("b"))), ["leave itself"], "{id}");
        assert_eq!(sent(&host.recv(attached("a"))), ["leave itself"], "{id}");
    }
}

/// The same messages in the same order; nothing before them.
///
/// Clauses: RTN19a, RTN19a2, RTP17i.
#[test]
fn rtn19a_frames_in_flight_are_sent_again_in_order() {
    for id in ["conn1", "conn2"] {
        let mut host = Host::attached();
        entered(&mut host, "ch", &["me"]);
        host.input(change(1, "ch", Enter));
        host.input(change(2, "ch", Leave));
        assert_eq!(reconnect(&mut host, id, "ch"), ["enter itself", "leave itself"], "{id}");
        let mut host = Host::attached();
        entered(&mut host, "ch", &["me"]);
        host.input(change(1, "ch", Leave));
        host.input(change(2, "ch", Enter));
        assert_eq!(reconnect(&mut host, id, "ch"), ["leave itself", "enter itself"], "{id}");
    }
}

/// On the same connection the message enters the member itself. On another the member is entered
/// first, and is there even if the message is refused.
///
/// Clauses: RTP17i, RTP9.
#[test]
fn rtp17i_an_update_in_flight_is_sent_after_the_reentry() {
    for action in [Enter, Update] {
        let name = if action == Enter { "enter itself" } else { "update itself" };
        let mut host = Host::attached();
        entered(&mut host, "ch", &["me"]);
        host.input(change(1, "ch", action));
        let mut other = host.clone();
        assert_eq!(reconnect(&mut host, "conn1", "ch"), [name]);
        assert_eq!(reconnect(&mut other, "conn2", "ch"), ["enter me", name]);
    }
}

/// Operations that were not sent yet follow the re-entry.
///
/// Clauses: RTP17i, RTP5b.
#[test]
fn rtp5b_a_queued_leave_is_sent_after_the_reentry() {
    for id in ["conn1", "conn2"] {
        let mut host = Host::attached();
        entered(&mut host, "ch", &["me"]);
        host.lose();
        host.input(change(1, "ch", Leave));
        host.recv(connected(id));
        assert_eq!(sent(&host.recv(attached("ch"))), ["enter me", "leave itself"], "{id}");
    }
}

/// Clauses: RTP17i.
#[test]
fn rtp17i_a_leaving_member_is_not_entered_again_with_its_channel() {
    let mut host = Host::attached();
    entered(&mut host, "ch", &["me"]);
    host.input(change(1, "ch", Leave));
    assert_eq!(sent(&host.recv(attached("ch"))), Vec::<String>::new(), "RTL12");
    host.recv(json!({"action": 13, "channel": "ch"}));
    assert_eq!(sent(&host.recv(attached("ch"))), Vec::<String>::new(), "RTL13a");
    // The leave is refused: the member stays, and is entered again from then on.
    host.recv(json!({"action": 2, "msgSerial": 0}));
    assert_eq!(sent(&host.recv(attached("ch"))), ["enter me"]);
}

/// A leave that has failed is no leave.
///
/// Clauses: RTP17i, RTN7e, RTL11.
#[test]
fn rtp17i_after_a_failed_leave_the_member_is_entered_again() {
    let mut host = Host::attached();
    entered(&mut host, "ch", &["me"]);
    host.input(change(1, "ch", Leave));
    host.lose();
    assert_eq!(only(&host.advance(120_000), "done"), ["done 1 error 80002"]);
    host.input(Input::Connect);
    host.recv(connected("conn2"));
    assert_eq!(sent(&host.recv(attached("ch"))), ["enter me"]);

    let mut host = Host::attached();
    entered(&mut host, "ch", &["me"]);
    host.input(change(1, "ch", Leave));
    host.lose();
    host.recv(connected("conn2"));
    let lines = host.recv(json!({"action": 13, "channel": "ch"}));
    assert_eq!(lines, ["channel ch suspended 90001", "done 1 error 90001"]);
    host.input(Input::attach(OpId(2), "ch"));
    assert_eq!(sent(&host.recv(attached("ch"))), ["enter me"]);
}

// ---- Re-entries (RTP17e)

/// Re-entries of `me` are in flight on two channels.
fn reentering(host: &mut Host) {
    for channel in ["a", "b"] {
        host.watch(channel);
        host.join(channel);
        entered(host, channel, &["me"]);
    }
    host.lose();
    host.recv(connected("conn1"));
    for channel in ["a", "b"] {
        assert_eq!(sent(&host.recv(attached(channel))), ["enter me"]);
    }
}

fn delivered(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .filter(|line| line.starts_with("channel") || line.contains("ReentryFailed"))
        .map(|line| line.split(" { channel").next().unwrap_or_default().to_owned())
        .collect()
}

/// Clauses: RTP17e, RTN7e.
#[test]
fn rtp17e_a_reentry_without_an_answer_is_reported_when_the_connection_ends() {
    let ended = |end: fn(&mut Host) -> Vec<String>| {
        let mut host = Host::connected("conn1");
        reentering(&mut host);
        let lines = delivered(&end(&mut host));
        // Once.
        assert_eq!(only(&host.advance(1_000_000), "channel a update"), Vec::<String>::new());
        lines
    };
    let expected = |state: &str, code: u32| {
        let mut lines: Vec<String> =
            ["a", "b"].iter().map(|name| format!("channel {name} {state} {code}")).collect();
        for name in ["a", "b"] {
            lines.push(format!("channel {name} update resumed 91004 by {code}"));
            lines.push("warning ReentryFailed".into());
        }
        lines
    };
    let suspended = ended(|host| {
        host.lose();
        host.advance(120_000)
    });
    assert_eq!(suspended, expected("suspended", 80002));
    let failed =
        ended(|host| host.recv(json!({"action": 9, "error": {"code": 40400, "statusCode": 404}})));
    assert_eq!(failed, expected("failed", 40400));
    let closed = ended(|host| {
        host.input(Input::Close);
        host.recv(json!({"action": 8}))
    });
    assert_eq!(closed, expected("detached", 80017));
    let left_behind = ended(|host| {
        host.input(Input::Close);
        host.input(Input::Connect)
    });
    assert_eq!(left_behind[..6], expected("detached", 80017));
}

/// Clauses: RTP17e, RTN7d.
#[test]
fn rtp17e_without_queueing_a_reentry_in_flight_fails_with_the_connection() {
    let mut options = me();
    options.queue_messages = false;
    let mut host = Host::new(options);
    host.connect("conn1");
    reentering(&mut host);
    let lines = host.lose();
    assert_eq!(
        only(&lines, "channel"),
        ["channel a update resumed 91004 by 80003", "channel b update resumed 91004 by 80003"]
    );
}

/// Clauses: RTP17e, RTN19a.
#[test]
fn rtp17e_a_reentry_in_flight_is_repeated_or_reported_as_failed() {
    for id in ["conn1", "conn2"] {
        let mut host = Host::connected("conn1");
        reentering(&mut host);
        // That of `a` is repeated, without an event. That of `b` is not, since `b` is detaching.
        host.input(Input::detach(OpId(1), "b"));
        host.lose();
        let lines = host.recv(connected(id));
        assert_eq!(only(&lines, "channel b"), ["channel b update resumed 91004 by 80003"], "{id}");
        assert_eq!(only(&lines, "channel a"), ["channel a attaching"], "{id}");
        assert_eq!(sent(&host.recv(attached("a"))), ["enter me"], "{id}");
        assert_eq!(only(&host.recv(attached("b")), "send PRESENCE"), Vec::<String>::new(), "{id}");
    }
}

/// Clauses: RTP17e, RTL11a.
#[test]
fn rtl11a_a_reentry_is_acknowledged_after_its_channel_was_detached() {
    let mut host = Host::connected("conn1");
    reentering(&mut host);
    host.input(Input::detach(OpId(1), "b"));
    let lines = host.recv(json!({"action": 13, "channel": "b"}));
    assert_eq!(lines, ["channel b detached", "done 1 ok"]);
    let error = json!({"code": 40160, "statusCode": 401});
    let lines = host.recv(json!({"action": 2, "msgSerial": 0, "count": 2, "error": error}));
    assert_eq!(
        only(&lines, "channel"),
        ["channel a update resumed 91004 by 40160", "channel b update resumed 91004 by 40160"]
    );
}

/// Clauses: RTP17e.
#[test]
fn rtp17e_a_reentry_above_the_limit_is_reported() {
    let mut limited = me();
    limited.limits.in_flight = 2;
    limited.client_id = None;
    let mut host = Host::new(limited);
    host.input(Input::Connect);
    let mut frame = connected("conn1");
    frame["connectionDetails"]["clientId"] = "*".into();
    host.recv(frame);
    host.join("ch");
    entered(&mut host, "ch", &["alice", "bob", "carol", "dave"]);
    let lines = host.recv(attached("ch"));
    assert_eq!(sent(&lines), ["enter alice", "enter bob"]);
    assert_eq!(
        only(&lines, "channel ch update"),
        [
            "channel ch update",
            "channel ch update resumed 91004 by 40000",
            "channel ch update resumed 91004 by 40000"
        ]
    );
    assert_eq!(lines.iter().filter(|line| line.contains("LimitReached")).count(), 1);
    // A member with an operation in flight needs no re-entry, and is not reported.
    host.recv(json!({"action": 1, "msgSerial": 0, "count": 2}));
    host.input(change_of(1, Leave, "carol"));
    host.input(change_of(2, Leave, "dave"));
    let lines = host.recv(attached("ch"));
    assert_eq!(only(&lines, "channel ch update resumed").len(), 2, "alice and bob: {lines:?}");
}

/// Clauses: RTL16a, RTN19b.
#[test]
fn rtl16a_options_in_flight_end_with_the_attach_of_the_next_connection() {
    for id in ["conn1", "conn2"] {
        let mut host = Host::attached();
        let mut options = presence_proto::client::ChannelOptions::default();
        options.modes = Some(Modes::PRESENCE);
        host.input(Input::set_options(OpId(1), "ch", options));
        host.lose();
        host.recv(connected(id));
        assert_eq!(only(&host.recv(attached("ch")), "done"), ["done 1 ok"], "{id}");
    }
}
