//! The presence history in memory.

use crate::host::{CHANNEL, Host, WALL};
use crate::outputs::event;
use core::time::Duration;
use presence_proto::server::{
    Direction, HistoryQuery, Input, PresenceQuery, Server, ServerEvent, ServerOptions, output,
};
use presence_proto::wire::{Action, PresenceMessage};
use presence_proto::{TransportId, UnixMillis};
use serde_json::json;

fn forwards() -> HistoryQuery {
    let mut query = HistoryQuery::default();
    query.direction = Direction::Forwards;
    query
}

/// All pages of a query, as `action client=data`.
fn pages(server: &Server, query: &HistoryQuery) -> Vec<String> {
    let mut query = query.clone();
    let mut found = Vec::new();
    loop {
        let page = server.history(CHANNEL, &query).expect("a page");
        assert!(page.items.len() <= query.limit);
        found.extend(page.items.iter().map(|(_, message)| event(message)));
        match page.next {
            Some(next) => {
                assert_eq!(page.items.last().map(|(position, _)| *position), Some(next));
                query.after = Some(next);
            }
            None => return found,
        }
    }
}

/// Ten updates of alice, a second apart from 0 s on: the first enters her.
fn ten(config: ServerOptions) -> (Host, u64) {
    let mut host = Host::with(config);
    let alice = host.join("alice");
    for serial in 0..10 {
        host.update(alice, serial, &serial.to_string());
        host.advance(1_000);
    }
    (host, alice)
}

fn updates(numbers: impl IntoIterator<Item = i64>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("update alice={number}")).collect()
}

#[test]
fn rsp4b_pages_go_both_ways_and_keep_the_bounds() {
    let (host, _) = ten(ServerOptions::default());
    for limit in [1, 2, 3, 9, 10, 11, 1_000] {
        let mut query = HistoryQuery::default();
        query.limit = limit;
        assert_eq!(pages(&host.server, &query), updates((0..10).rev()), "{limit}");
        query.direction = Direction::Forwards;
        assert_eq!(pages(&host.server, &query), updates(0..10), "{limit}");
        // Both bounds belong to it (RSP4b1).
        query.start = Some(UnixMillis::from_millis(WALL + 3_000));
        query.end = Some(UnixMillis::from_millis(WALL + 6_000));
        assert_eq!(pages(&host.server, &query), updates(3..=6), "{limit}");
        query.start = Some(UnixMillis::from_millis(WALL + 3_001));
        query.end = Some(UnixMillis::from_millis(WALL + 5_999));
        assert_eq!(pages(&host.server, &query), updates(4..=5), "{limit}");
        query.direction = Direction::Backwards;
        assert_eq!(pages(&host.server, &query), updates((4..=5).rev()), "{limit}");
        query.end = Some(UnixMillis::from_millis(WALL));
        assert_eq!(pages(&host.server, &query), updates([]), "{limit}");
    }
}

#[test]
fn the_default_is_a_hundred_events_newest_first() {
    let mut host = Host::new();
    let alice = host.join("alice");
    for serial in 0..150 {
        host.update(alice, serial, &serial.to_string());
    }
    let page = host.server.history(CHANNEL, &HistoryQuery::default()).unwrap();
    assert_eq!(page.items.len(), 100);
    assert_eq!(event(&page.items[0].1), "update alice=149");
    assert!(page.next.is_some());
}

#[test]
fn a_continuation_stays_valid_while_events_come_and_go() {
    let (mut host, alice) = ten(ServerOptions::default());
    let mut query = HistoryQuery::default();
    query.limit = 4;
    let first = host.server.history(CHANNEL, &query).unwrap();
    query.after = first.next;
    host.update(alice, 10, "10");
    let second = host.server.history(CHANNEL, &query).unwrap();
    let delivered: Vec<String> = second.items.iter().map(|(_, message)| event(message)).collect();
    assert_eq!(delivered, updates([5, 4, 3, 2]));
    // The positions that are left out may be gone themselves.
    query.after = second.next;
    host.advance_alive(114_500, &[alice]);
    assert_eq!(host.server.history(CHANNEL, &query).unwrap().items.len(), 0);
    let mut query = forwards();
    query.after = second.next;
    assert_eq!(pages(&host.server, &query), updates(5..=10));
}

#[test]
fn page_limits_out_of_bounds_are_refused() {
    let (host, _) = ten(ServerOptions::default());
    for limit in [0, 1_001, usize::MAX] {
        let mut query = HistoryQuery::default();
        query.limit = limit;
        for channel in [CHANNEL, "unknown"] {
            let code = host.server.history(channel, &query).map_err(|error| error.code);
            assert_eq!(code, Err(40003), "{limit} {channel}");
        }
        let mut query = PresenceQuery::default();
        query.limit = limit;
        let code = host.server.presence(CHANNEL, &query).map_err(|error| error.code);
        assert_eq!(code, Err(40003), "{limit}");
    }
    assert_eq!(host.server.history("unknown", &HistoryQuery::default()), Ok(Default::default()));
}

#[test]
fn rtl10b_until_attach_ends_at_the_attach() {
    let mut host = Host::new();
    let alice = host.join("alice");
    host.update(alice, 0, "0");
    host.update(alice, 1, "1");
    let bob = host.open("bob");
    let attached = host.attach(bob, CHANNEL);
    let serial = attached.frame_of(bob, Action::Attached).channel_serial.clone().unwrap();
    host.update(alice, 2, "2");
    for direction in [Direction::Forwards, Direction::Backwards] {
        for limit in [1, 100] {
            let mut query = HistoryQuery::default();
            query.direction = direction;
            query.limit = limit;
            query.from_serial = Some(serial.clone());
            let mut delivered = pages(&host.server, &query);
            delivered.sort();
            assert_eq!(delivered, updates(0..=1));
        }
    }
    for bad in ["", "0", "xyz", "00000000000000000", "+000000000000001"] {
        let mut query = HistoryQuery::default();
        query.from_serial = Some(bad.into());
        let code = host.server.history(CHANNEL, &query).map_err(|error| error.code);
        assert_eq!(code, Err(40003), "{bad:?}");
    }
    host.end();
}

#[test]
fn rtl10b_events_before_an_attach_can_be_expired() {
    let mut config = ServerOptions::default();
    config.history.events = 3;
    let mut host = Host::with(config);
    let alice = host.join("alice");
    host.update(alice, 0, "0");
    let attached = host.attach(alice, CHANNEL);
    let serial = attached.frame_of(alice, Action::Attached).channel_serial.clone().unwrap();
    let mut query = HistoryQuery::default();
    query.from_serial = Some(serial);
    for number in 1..=3 {
        host.update(alice, number, "x");
        assert!(host.server.history(CHANNEL, &query).is_ok());
    }
    // The event of the attach is forgotten, not yet one that came after it.
    assert_eq!(host.server.history(CHANNEL, &query).unwrap().items.len(), 0);
    host.update(alice, 4, "x");
    let code = host.server.history(CHANNEL, &query).map_err(|error| error.code);
    assert_eq!(code, Err(90008));
    host.end();
}

#[test]
fn events_are_kept_for_two_minutes_to_the_millisecond() {
    let mut host = Host::new();
    let alice = host.join("alice");
    host.enter(alice, 0, "");
    host.advance_alive(119_999, &[alice]);
    assert_eq!(host.history(), ["enter alice="]);
    host.advance_alive(1, &[alice]);
    assert_eq!(host.history(), [""; 0]);
    assert_eq!(host.server.counters().history_bytes, 0);
    // The channel is kept for its history only, and then dropped.
    host.enter(alice, 1, "");
    host.recv(alice, json!({"action": 7}));
    assert_eq!(host.server.counters().channels, 1);
    assert_eq!(host.history(), ["enter alice=", "leave alice="]);
    host.advance(120_000);
    assert_eq!(host.server.counters().channels, 0);
    host.end();
}

#[test]
fn one_call_expires_no_more_events_than_its_budget() {
    let mut config = ServerOptions::default();
    config.budget = 10;
    let mut host = Host::with(config);
    let alice = host.open("alice");
    for number in 0..20 {
        let channel = format!("c{number}");
        host.attach(alice, &channel);
        for serial in 0..10 {
            host.recv(
                alice,
                json!({"action": 14, "channel": channel,
                "msgSerial": 10 * number + serial, "presence": [{"action": 4, "data": "x"}]}),
            );
        }
    }
    let all = host.server.counters().history_bytes;
    host.time += 120_000;
    let mut left = all;
    let mut calls = 0;
    while left > 0 {
        host.call(Input::activity(TransportId(alice)));
        let now = host.server.counters().history_bytes;
        assert!(left - now <= all * 10 / 200, "{left} {now}");
        assert!(now < left || now == 0, "it gets on");
        assert!(
            now == 0 || host.next_deadline().is_some_and(|at| at <= host.time),
            "the rest is due"
        );
        left = now;
        calls += 1;
    }
    assert!((20..=40).contains(&calls), "{calls}");
}

#[test]
fn a_wall_clock_step_drops_no_events_and_keeps_their_order() {
    for step in [3_600_000, -3_600_000] {
        let mut host = Host::new();
        let alice = host.join("alice");
        host.update(alice, 0, "0");
        host.wall_step = step;
        host.update(alice, 1, "1");
        host.wall_step = 0;
        host.update(alice, 2, "2");
        host.advance_alive(119_999, &[alice]);
        assert_eq!(host.history(), updates(0..=2));
        let page = host.server.history(CHANNEL, &forwards()).unwrap();
        // The order is that of positions. Timestamps are those of the wall clock.
        let time = |message: &PresenceMessage| message.timestamp.expect("a time").as_millis();
        let times: Vec<i64> = page.items.iter().map(|(_, message)| time(message)).collect();
        assert_eq!(times, [WALL, WALL + step, WALL]);
        host.advance_alive(1, &[alice]);
        assert_eq!(host.history(), [""; 0]);
        host.end();
    }
}

#[test]
fn the_history_of_a_channel_is_bounded_by_count_and_bytes() {
    let mut config = ServerOptions::default();
    config.history.events = 4;
    let (host, _) = ten(config.clone());
    assert_eq!(pages(&host.server, &forwards()), updates(6..10));
    config.history.events = 5_000;
    config.history.bytes = 10_000;
    let mut host = Host::with(config.clone());
    let alice = host.join("alice");
    for serial in 0..20 {
        host.update(alice, serial, &"x".repeat(3_000));
        assert!(host.server.counters().history_bytes <= 10_000);
    }
    assert_eq!(host.history().len(), 3);
    // One that is too large alone is not remembered at all.
    host.update(alice, 20, &"x".repeat(20_000));
    assert_eq!(host.history().len(), 0);
    host.end();
    config.history.retention = Duration::ZERO;
    let (host, _) = ten(config);
    assert_eq!(pages(&host.server, &forwards()), updates([]));
    host.end();
}

#[test]
fn the_history_of_all_channels_is_bounded() {
    let mut config = ServerOptions::default();
    config.history.total_bytes = 20_000;
    let mut host = Host::with(config);
    let alice = host.join("alice");
    host.update(alice, 0, "honest");
    // One client creates many channels, each with a history.
    let mallory = host.open("mallory");
    for number in 0..100 {
        let channel = format!("c{number}");
        host.attach(mallory, &channel);
        host.recv(
            mallory,
            json!({"action": 14, "channel": channel, "msgSerial": number,
            "presence": [{"action": 2, "data": "x".repeat(1_000)}]}),
        );
        host.recv(mallory, json!({"action": 12, "channel": channel}));
        assert!(host.server.counters().history_bytes <= 20_000);
    }
    // The history of others stays, and they can continue.
    assert_eq!(host.history(), ["update alice=honest"]);
    host.update(alice, 1, "again");
    assert_eq!(host.history().last().map(String::as_str), Some("update alice=again"));
    host.end();
}

#[test]
fn rsp4_a_history_has_enters_updates_and_leaves_as_sent() {
    let mut host = Host::new();
    let bob = host.join("bob");
    let server = host.join("*");
    let mut delivered = Vec::new();
    let mut positions = Vec::new();
    let item = |action: u8, who: &str| json!({"action": action, "clientId": who, "data": "d"});
    for (serial, items) in
        [json!([item(2, "a"), item(2, "b")]), json!([item(4, "a"), item(3, "b"), item(3, "c")])]
            .into_iter()
            .enumerate()
    {
        let outputs = host.recv(
            server,
            json!({"action": 14, "channel": CHANNEL,
            "msgSerial": serial, "presence": items}),
        );
        delivered.extend(outputs.items(bob));
        positions.extend(outputs.events.iter().filter_map(|event| match event {
            ServerEvent::MemberEntered(output::MemberEntered { position, .. })
            | ServerEvent::MemberUpdated(output::MemberUpdated { position, .. })
            | ServerEvent::MemberLeft(output::MemberLeft { position, .. }) => Some(*position),
            _ => None,
        }));
    }
    host.lose(server);
    let outputs = host.advance_alive(15_000, &[bob]);
    delivered.extend(outputs.items(bob));
    let page = host.server.history(CHANNEL, &forwards()).unwrap();
    let remembered: Vec<_> = page.items.iter().map(|(_, message)| message.clone()).collect();
    // PRESENT and requests without effect are not in it.
    assert_eq!(remembered, delivered);
    assert_eq!(remembered.len(), 5);
    let found: Vec<_> = page.items.iter().map(|(position, _)| *position).collect();
    assert_eq!(found[..4], positions);
    assert_eq!(page.oldest, Some(positions[0]));
    // The text of a position parses to the same position.
    assert!(found.iter().all(|position| position.to_string().parse() == Ok(*position)));
    host.end();
}

#[test]
fn rsp3_members_are_listed_in_pages_and_by_client_and_connection() {
    let mut host = Host::new();
    let (one, two) = (host.join("*"), host.join("*"));
    for serial in 0..25 {
        let item = json!({"action": 2, "clientId": format!("m{}", serial % 20)});
        let (transport, serial) = if serial < 20 { (one, serial) } else { (two, serial - 20) };
        host.presence(transport, serial, item);
    }
    let list = |host: &Host, query: &PresenceQuery| {
        let mut query = query.clone();
        let mut pages = Vec::new();
        loop {
            let page = host.server.presence(CHANNEL, &query).unwrap();
            pages.push(page.items.len());
            query.after = page.next;
            if query.after.is_none() {
                return pages;
            }
        }
    };
    let mut query = PresenceQuery::default();
    assert_eq!(list(&host, &query), [25]);
    query.limit = 10;
    assert_eq!(list(&host, &query), [10, 10, 5]);
    query.connection_id = Some(host.id(two).into());
    assert_eq!(list(&host, &query), [5]);
    query.limit = 2;
    assert_eq!(list(&host, &query), [2, 2, 1]);
    query.client_id = Some("m3".into());
    assert_eq!(list(&host, &query), [1]);
    query.connection_id = None;
    query.limit = 1;
    assert_eq!(list(&host, &query), [1, 1]);
    query.client_id = Some("nobody".into());
    assert_eq!(list(&host, &query), [0]);
    host.end();
}

#[test]
fn rsp4b1_events_after_wall_clock_steps_are_found_by_time() {
    const HOUR: i64 = 3_600_000;
    let mut host = Host::new();
    let alice = host.join("alice");
    host.update(alice, 0, "0");
    host.wall_step = HOUR;
    host.update(alice, 1, "ahead");
    host.wall_step = 0;
    host.advance_alive(1_000, &[alice]);
    host.update(alice, 2, "back");
    let mut query = forwards();
    query.end = Some(UnixMillis::from_millis(host.wall()));
    for limit in [1, 100] {
        query.limit = limit;
        assert_eq!(pages(&host.server, &query), ["update alice=0", "update alice=back"]);
    }
    query.start = Some(UnixMillis::from_millis(WALL + HOUR));
    query.end = None;
    assert_eq!(pages(&host.server, &query), ["update alice=ahead"]);
}
