//! The presence events that memory holds.

use crate::rig::{CHANNEL, Rig, WALL, event};
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
fn ten(config: ServerOptions) -> (Rig, u64) {
    let mut rig = Rig::with(config);
    let alice = rig.join("alice");
    for serial in 0..10 {
        rig.update(alice, serial, &serial.to_string());
        rig.pass(1_000);
    }
    (rig, alice)
}

fn updates(numbers: impl IntoIterator<Item = i64>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("update alice={number}")).collect()
}

#[test]
fn rsp4b_pages_go_both_ways_and_meet_the_bounds() {
    let (rig, _) = ten(ServerOptions::default());
    for limit in [1, 2, 3, 9, 10, 11, 1_000] {
        let mut query = HistoryQuery::default();
        query.limit = limit;
        assert_eq!(pages(&rig.server, &query), updates((0..10).rev()), "{limit}");
        query.direction = Direction::Forwards;
        assert_eq!(pages(&rig.server, &query), updates(0..10), "{limit}");
        // Both bounds belong to it (RSP4b1).
        query.start = Some(UnixMillis::from_millis(WALL + 3_000));
        query.end = Some(UnixMillis::from_millis(WALL + 6_000));
        assert_eq!(pages(&rig.server, &query), updates(3..=6), "{limit}");
        query.start = Some(UnixMillis::from_millis(WALL + 3_001));
        query.end = Some(UnixMillis::from_millis(WALL + 5_999));
        assert_eq!(pages(&rig.server, &query), updates(4..=5), "{limit}");
        query.direction = Direction::Backwards;
        assert_eq!(pages(&rig.server, &query), updates((4..=5).rev()), "{limit}");
        query.end = Some(UnixMillis::from_millis(WALL));
        assert_eq!(pages(&rig.server, &query), updates([]), "{limit}");
    }
}

#[test]
fn the_default_is_a_hundred_events_newest_first() {
    let mut rig = Rig::new();
    let alice = rig.join("alice");
    for serial in 0..150 {
        rig.update(alice, serial, &serial.to_string());
    }
    let page = rig.server.history(CHANNEL, &HistoryQuery::default()).unwrap();
    assert_eq!(page.items.len(), 100);
    assert_eq!(event(&page.items[0].1), "update alice=149");
    assert!(page.next.is_some());
}

#[test]
fn a_continuation_stays_good_while_events_come_and_go() {
    let (mut rig, alice) = ten(ServerOptions::default());
    let mut query = HistoryQuery::default();
    query.limit = 4;
    let first = rig.server.history(CHANNEL, &query).unwrap();
    query.after = first.next;
    rig.update(alice, 10, "10");
    let second = rig.server.history(CHANNEL, &query).unwrap();
    let told: Vec<String> = second.items.iter().map(|(_, message)| event(message)).collect();
    assert_eq!(told, updates([5, 4, 3, 2]));
    // The positions that are left out may be gone themselves.
    query.after = second.next;
    rig.pass_alive(114_500, &[alice]);
    assert_eq!(rig.server.history(CHANNEL, &query).unwrap().items.len(), 0);
    let mut query = forwards();
    query.after = second.next;
    assert_eq!(pages(&rig.server, &query), updates(5..=10));
}

#[test]
fn limits_of_a_page_are_refused_beyond_their_bounds() {
    let (rig, _) = ten(ServerOptions::default());
    for limit in [0, 1_001, usize::MAX] {
        let mut query = HistoryQuery::default();
        query.limit = limit;
        for channel in [CHANNEL, "unknown"] {
            let code = rig.server.history(channel, &query).map_err(|error| error.code);
            assert_eq!(code, Err(40003), "{limit} {channel}");
        }
        let mut query = PresenceQuery::default();
        query.limit = limit;
        let code = rig.server.presence(CHANNEL, &query).map_err(|error| error.code);
        assert_eq!(code, Err(40003), "{limit}");
    }
    assert_eq!(rig.server.history("unknown", &HistoryQuery::default()), Ok(Default::default()));
}

#[test]
fn rtl10b_until_attach_ends_where_the_attach_was() {
    let mut rig = Rig::new();
    let alice = rig.join("alice");
    rig.update(alice, 0, "0");
    rig.update(alice, 1, "1");
    let bob = rig.open("bob");
    let attached = rig.attach(bob, CHANNEL);
    let serial = attached.one(bob, Action::Attached).channel_serial.clone().unwrap();
    rig.update(alice, 2, "2");
    for direction in [Direction::Forwards, Direction::Backwards] {
        for limit in [1, 100] {
            let mut query = HistoryQuery::default();
            query.direction = direction;
            query.limit = limit;
            query.from_serial = Some(serial.clone());
            let mut told = pages(&rig.server, &query);
            told.sort();
            assert_eq!(told, updates(0..=1));
        }
    }
    for bad in ["", "0", "xyz", "00000000000000000", "+000000000000001"] {
        let mut query = HistoryQuery::default();
        query.from_serial = Some(bad.into());
        let code = rig.server.history(CHANNEL, &query).map_err(|error| error.code);
        assert_eq!(code, Err(40003), "{bad:?}");
    }
    rig.end();
}

#[test]
fn rtl10b_what_happened_until_an_attach_may_be_forgotten() {
    let mut config = ServerOptions::default();
    config.history.events = 3;
    let mut rig = Rig::with(config);
    let alice = rig.join("alice");
    rig.update(alice, 0, "0");
    let attached = rig.attach(alice, CHANNEL);
    let serial = attached.one(alice, Action::Attached).channel_serial.clone().unwrap();
    let mut query = HistoryQuery::default();
    query.from_serial = Some(serial);
    for number in 1..=3 {
        rig.update(alice, number, "x");
        assert!(rig.server.history(CHANNEL, &query).is_ok());
    }
    // The event of the attach is forgotten, not yet one that came after it.
    assert_eq!(rig.server.history(CHANNEL, &query).unwrap().items.len(), 0);
    rig.update(alice, 4, "x");
    let code = rig.server.history(CHANNEL, &query).map_err(|error| error.code);
    assert_eq!(code, Err(90008));
    rig.end();
}

#[test]
fn events_are_remembered_for_two_minutes_to_the_millisecond() {
    let mut rig = Rig::new();
    let alice = rig.join("alice");
    rig.enter(alice, 0, "");
    rig.pass_alive(119_999, &[alice]);
    assert_eq!(rig.history(), ["enter alice="]);
    rig.pass_alive(1, &[alice]);
    assert_eq!(rig.history(), [""; 0]);
    assert_eq!(rig.server.counters().history_bytes, 0);
    // Nobody else uses the channel; it is kept for its history alone, and then not at all.
    rig.enter(alice, 1, "");
    rig.recv(alice, json!({"action": 7}));
    assert_eq!(rig.server.counters().channels, 1);
    assert_eq!(rig.history(), ["enter alice=", "leave alice="]);
    rig.pass(120_000);
    assert_eq!(rig.server.counters().channels, 0);
    rig.end();
}

#[test]
fn one_call_forgets_no_more_than_its_budget() {
    let mut config = ServerOptions::default();
    config.budget = 10;
    let mut rig = Rig::with(config);
    let alice = rig.open("alice");
    for number in 0..20 {
        let channel = format!("c{number}");
        rig.attach(alice, &channel);
        for serial in 0..10 {
            rig.recv(
                alice,
                json!({"action": 14, "channel": channel,
                "msgSerial": 10 * number + serial, "presence": [{"action": 4, "data": "x"}]}),
            );
        }
    }
    let all = rig.server.counters().history_bytes;
    rig.time += 120_000;
    let mut left = all;
    let mut calls = 0;
    while left > 0 {
        rig.call(Input::activity(TransportId(alice)));
        let now = rig.server.counters().history_bytes;
        assert!(left - now <= all * 10 / 200, "{left} {now}");
        assert!(now < left || now == 0, "it gets on");
        assert!(now == 0 || rig.next().is_some_and(|at| at <= rig.time), "the rest is due");
        left = now;
        calls += 1;
    }
    assert!((20..=40).contains(&calls), "{calls}");
}

#[test]
fn a_wall_clock_that_is_set_back_or_forth_forgets_nothing_and_keeps_the_order() {
    for step in [3_600_000, -3_600_000] {
        let mut rig = Rig::new();
        let alice = rig.join("alice");
        rig.update(alice, 0, "0");
        rig.wall_step = step;
        rig.update(alice, 1, "1");
        rig.wall_step = 0;
        rig.update(alice, 2, "2");
        rig.pass_alive(119_999, &[alice]);
        assert_eq!(rig.history(), updates(0..=2));
        let page = rig.server.history(CHANNEL, &forwards()).unwrap();
        // The order is that of positions. Timestamps say what the wall clock said.
        let time = |message: &PresenceMessage| message.timestamp.expect("a time").as_millis();
        let times: Vec<i64> = page.items.iter().map(|(_, message)| time(message)).collect();
        assert_eq!(times, [WALL, WALL + step, WALL]);
        rig.pass_alive(1, &[alice]);
        assert_eq!(rig.history(), [""; 0]);
        rig.end();
    }
}

#[test]
fn what_is_remembered_of_a_channel_is_bounded_by_count_and_bytes() {
    let mut config = ServerOptions::default();
    config.history.events = 4;
    let (rig, _) = ten(config.clone());
    assert_eq!(pages(&rig.server, &forwards()), updates(6..10));
    config.history.events = 5_000;
    config.history.bytes = 10_000;
    let mut rig = Rig::with(config.clone());
    let alice = rig.join("alice");
    for serial in 0..20 {
        rig.update(alice, serial, &"x".repeat(3_000));
        assert!(rig.server.counters().history_bytes <= 10_000);
    }
    assert_eq!(rig.history().len(), 3);
    // One that is too large alone is not remembered at all.
    rig.update(alice, 20, &"x".repeat(20_000));
    assert_eq!(rig.history().len(), 0);
    rig.end();
    config.history.retention = Duration::ZERO;
    let (rig, _) = ten(config);
    assert_eq!(pages(&rig.server, &forwards()), updates([]));
    rig.end();
}

#[test]
fn what_is_remembered_of_all_channels_is_bounded() {
    let mut config = ServerOptions::default();
    config.history.total_bytes = 20_000;
    let mut rig = Rig::with(config);
    let alice = rig.join("alice");
    rig.update(alice, 0, "honest");
    // Somebody makes one channel after the other, each with something to remember.
    let mallory = rig.open("mallory");
    for number in 0..100 {
        let channel = format!("c{number}");
        rig.attach(mallory, &channel);
        rig.recv(
            mallory,
            json!({"action": 14, "channel": channel, "msgSerial": number,
            "presence": [{"action": 2, "data": "x".repeat(1_000)}]}),
        );
        rig.recv(mallory, json!({"action": 12, "channel": channel}));
        assert!(rig.server.counters().history_bytes <= 20_000);
    }
    // What others hold, stays, and they can go on.
    assert_eq!(rig.history(), ["update alice=honest"]);
    rig.update(alice, 1, "again");
    assert_eq!(rig.history().last().map(String::as_str), Some("update alice=again"));
    rig.end();
}

#[test]
fn rsp4_a_history_has_enters_updates_and_leaves_as_they_were_told() {
    let mut rig = Rig::new();
    let bob = rig.join("bob");
    let server = rig.join("*");
    let mut told = Vec::new();
    let mut positions = Vec::new();
    let item = |action: u8, who: &str| json!({"action": action, "clientId": who, "data": "d"});
    for (serial, items) in
        [json!([item(2, "a"), item(2, "b")]), json!([item(4, "a"), item(3, "b"), item(3, "c")])]
            .into_iter()
            .enumerate()
    {
        let came = rig.recv(
            server,
            json!({"action": 14, "channel": CHANNEL,
            "msgSerial": serial, "presence": items}),
        );
        told.extend(came.items(bob));
        positions.extend(came.events.iter().filter_map(|event| match event {
            ServerEvent::MemberEntered(output::MemberEntered { position, .. })
            | ServerEvent::MemberUpdated(output::MemberUpdated { position, .. })
            | ServerEvent::MemberLeft(output::MemberLeft { position, .. }) => Some(*position),
            _ => None,
        }));
    }
    rig.lose(server);
    let came = rig.pass_alive(15_000, &[bob]);
    told.extend(came.items(bob));
    let page = rig.server.history(CHANNEL, &forwards()).unwrap();
    let remembered: Vec<_> = page.items.iter().map(|(_, message)| message.clone()).collect();
    // PRESENT and what changed nothing is not in it.
    assert_eq!(remembered, told);
    assert_eq!(remembered.len(), 5);
    let found: Vec<_> = page.items.iter().map(|(position, _)| *position).collect();
    assert_eq!(found[..4], positions);
    assert_eq!(page.oldest, Some(positions[0]));
    // A position reads back from what it is written as.
    assert!(found.iter().all(|position| position.to_string().parse() == Ok(*position)));
    rig.end();
}

#[test]
fn rsp3_members_are_listed_in_pages_and_by_client_and_connection() {
    let mut rig = Rig::new();
    let (one, two) = (rig.join("*"), rig.join("*"));
    for serial in 0..25 {
        let item = json!({"action": 2, "clientId": format!("m{}", serial % 20)});
        let (transport, serial) = if serial < 20 { (one, serial) } else { (two, serial - 20) };
        rig.presence(transport, serial, item);
    }
    let list = |rig: &Rig, query: &PresenceQuery| {
        let mut query = query.clone();
        let mut pages = Vec::new();
        loop {
            let page = rig.server.presence(CHANNEL, &query).unwrap();
            pages.push(page.items.len());
            query.after = page.next;
            if query.after.is_none() {
                return pages;
            }
        }
    };
    let mut query = PresenceQuery::default();
    assert_eq!(list(&rig, &query), [25]);
    query.limit = 10;
    assert_eq!(list(&rig, &query), [10, 10, 5]);
    query.connection_id = Some(rig.id(two).into());
    assert_eq!(list(&rig, &query), [5]);
    query.limit = 2;
    assert_eq!(list(&rig, &query), [2, 2, 1]);
    query.client_id = Some("m3".into());
    assert_eq!(list(&rig, &query), [1]);
    query.connection_id = None;
    query.limit = 1;
    assert_eq!(list(&rig, &query), [1, 1]);
    query.client_id = Some("nobody".into());
    assert_eq!(list(&rig, &query), [0]);
    rig.end();
}

#[test]
fn rsp4b1_what_happens_after_the_wall_clock_was_set_ahead_and_back_is_found_by_its_time() {
    const HOUR: i64 = 3_600_000;
    let mut rig = Rig::new();
    let alice = rig.join("alice");
    rig.update(alice, 0, "0");
    rig.wall_step = HOUR;
    rig.update(alice, 1, "ahead");
    rig.wall_step = 0;
    rig.pass_alive(1_000, &[alice]);
    rig.update(alice, 2, "back");
    let mut query = forwards();
    query.end = Some(UnixMillis::from_millis(rig.wall()));
    for limit in [1, 100] {
        query.limit = limit;
        assert_eq!(pages(&rig.server, &query), ["update alice=0", "update alice=back"]);
    }
    query.start = Some(UnixMillis::from_millis(WALL + HOUR));
    query.end = None;
    assert_eq!(pages(&rig.server, &query), ["update alice=ahead"]);
}
