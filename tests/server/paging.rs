//! Pages read while members enter and leave (RSP3, RSP4): a member that stays is on exactly one.

use crate::host::{CHANNEL, Host};
use crate::outputs::event;
use core::time::Duration;
use presence_proto::server::{
    Direction, HistoryOptions, HistoryQuery, PresenceQuery, ServerOptions,
};
use presence_proto::{SmolStr, TransportId};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;

/// An event between two pages.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Nothing,
    /// Another connection of the client id enters.
    Comes,
    /// One of those present leaves: which one, counted from the oldest.
    Leaves(usize),
    /// A member of the page that was just read leaves.
    LeavesBehind(usize),
    /// So many milliseconds pass.
    Passes(u64),
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    prop_oneof![
        Just(Meanwhile::Nothing),
        Just(Meanwhile::Comes),
        (0..20usize).prop_map(Meanwhile::Leaves),
        (0..5usize).prop_map(Meanwhile::LeavesBehind),
        (0..3_000u64).prop_map(Meanwhile::Passes),
    ]
}

/// A channel with members of one client id, each on a connection of its own.
struct Room {
    host: Host,
    present: Vec<u64>,
}

impl Room {
    fn with(members: usize, config: ServerOptions) -> Self {
        let mut room = Self { host: Host::with(config), present: Vec::new() };
        (0..members).for_each(|_| room.comes());
        room
    }

    fn comes(&mut self) {
        let transport = self.host.join("same");
        self.host.enter(transport, 0, "");
        self.present.push(transport);
    }

    fn leaves(&mut self, transport: u64) {
        self.host.leave(transport, 1);
        self.present.retain(|other| *other != transport);
    }

    fn ids(&self) -> BTreeSet<SmolStr> {
        let ids = self.present.iter().map(|transport| self.host.id(*transport).into());
        ids.collect()
    }

    fn happens(&mut self, what: Meanwhile, page: &[SmolStr]) {
        match what {
            Meanwhile::Nothing => {}
            Meanwhile::Comes => self.comes(),
            Meanwhile::Leaves(which) => {
                if let Some(&transport) = self.present.get(which % self.present.len().max(1)) {
                    self.leaves(transport);
                }
            }
            Meanwhile::LeavesBehind(which) => {
                let on_page = |transport: &&u64| {
                    page.get(which % page.len().max(1))
                        .is_some_and(|id| id == self.host.id(**transport))
                };
                if let Some(&transport) = self.present.iter().find(on_page) {
                    self.leaves(transport);
                }
            }
            Meanwhile::Passes(millis) => {
                let all = self.present.clone();
                self.host.advance_alive(millis, &all);
            }
        }
    }
}

#[test]
fn rsp3a2_members_that_stay_are_on_one_page_when_the_previous_one_leaves() {
    let mut room = Room::with(3, ServerOptions::default());
    let mut query = PresenceQuery::default();
    query.client_id = Some("same".into());
    query.limit = 1;
    let first = room.host.server.presence(CHANNEL, &query).expect("a page");
    room.leaves(1);
    let mut rest = BTreeSet::new();
    query.after = first.next;
    while query.after.is_some() {
        let page = room.host.server.presence(CHANNEL, &query).expect("a page");
        rest.extend(page.items.into_iter().filter_map(|member| member.connection_id));
        query.after = page.next;
    }
    assert_eq!(rest, room.ids());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rsp3_members_that_stay_are_on_exactly_one_page(
        members in 0..12usize,
        limit in 1..4usize,
        by_client_id: bool,
        between in proptest::collection::vec(meanwhile(), 0..16),
    ) {
        let mut room = Room::with(members, ServerOptions::default());
        let mut query = PresenceQuery::default();
        query.client_id = by_client_id.then(|| "same".into());
        query.limit = limit;
        let mut stayed = room.ids();
        let mut delivered = Vec::new();
        let mut between = between.into_iter();
        loop {
            let page = room.host.server.presence(CHANNEL, &query).expect("a page");
            prop_assert!(page.items.len() <= limit);
            let ids: Vec<SmolStr> =
                page.items.into_iter().filter_map(|member| member.connection_id).collect();
            delivered.extend(ids.iter().cloned());
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
            room.happens(between.next().unwrap_or(Meanwhile::Nothing), &ids);
            let present = room.ids();
            stayed.retain(|id| present.contains(id));
        }
        for id in &stayed {
            prop_assert_eq!(delivered.iter().filter(|delivered| *delivered == id).count(), 1, "{}", id);
        }
    }

    #[test]
    fn rsp4_events_that_stay_are_on_exactly_one_page(
        members in 0..12usize,
        limit in 1..4usize,
        forwards: bool,
        between in proptest::collection::vec(meanwhile(), 0..16),
    ) {
        let mut config = ServerOptions::default();
        let mut history = HistoryOptions::default();
        history.retention = Duration::from_secs(10);
        history.events = 20;
        config.history = history;
        let mut room = Room::with(0, config);
        for _ in 0..members {
            room.comes();
            room.happens(Meanwhile::Passes(700), &[]);
        }
        let mut query = HistoryQuery::default();
        query.direction = if forwards { Direction::Forwards } else { Direction::Backwards };
        query.limit = limit;
        let all = |host: &Host| {
            let mut query = HistoryQuery::default();
            query.limit = 1_000;
            let page = host.server.history(CHANNEL, &query).expect("a page");
            page.items.into_iter().map(|(position, _)| position).collect::<BTreeSet<_>>()
        };
        let mut stayed = all(&room.host);
        let mut delivered = Vec::new();
        let mut between = between.into_iter();
        loop {
            let page = room.host.server.history(CHANNEL, &query).expect("a page");
            prop_assert!(page.items.len() <= limit);
            delivered.extend(page.items.iter().map(|(position, _)| *position));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
            room.happens(between.next().unwrap_or(Meanwhile::Nothing), &[]);
            let kept = all(&room.host);
            stayed.retain(|position| kept.contains(position));
        }
        let in_order = |pair: &[_]| if forwards { pair[0] < pair[1] } else { pair[0] > pair[1] };
        prop_assert!(delivered.windows(2).all(in_order), "{:?}", delivered);
        for position in &stayed {
            prop_assert!(delivered.contains(position), "{}", position);
        }
    }
}

/// The items of one frame stand at one serial; a page may end between them.
#[test]
fn rsp4_a_page_ends_between_the_items_of_a_frame() {
    let mut host = Host::new();
    let many = host.join("*");
    let items: Vec<_> = (0..5).map(|n| json!({"action": 2, "clientId": format!("c{n}")})).collect();
    host.recv(many, json!({"action": 14, "channel": CHANNEL, "msgSerial": 0, "presence": items}));
    assert!(host.server.connection_id(TransportId(many)).is_some());
    let mut query = HistoryQuery::default();
    query.limit = 2;
    let mut delivered = Vec::new();
    loop {
        let page = host.server.history(CHANNEL, &query).expect("a page");
        delivered.extend(page.items.iter().map(|(_, message)| event(message)));
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(delivered, (0..5).rev().map(|n| format!("enter c{n}")).collect::<Vec<_>>());
}
