//! Properties of member sets and of newness, tested on random inputs.

use presence_proto::members::{MemberSet, Version};
use presence_proto::wire::{Data, PresenceAction, PresenceMessage};
use presence_proto::{SmolStr, UnixMillis};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

// Newness (RTP2b).

fn sequenced() -> impl Strategy<Value = Version> {
    (0..5i64, 0..5i64, 0..5i64).prop_map(|(serial, index, time)| {
        let id = format!("c:{serial}:{index}");
        Version::new(Some(&id), "c", UnixMillis::from_millis(time))
    })
}

fn synthesized() -> impl Strategy<Value = Version> {
    (0..5i64).prop_map(|time| Version::new(Some("server:1"), "c", UnixMillis::from_millis(time)))
}

fn any_version() -> impl Strategy<Value = Version> {
    prop_oneof![sequenced(), synthesized()]
}

proptest! {
    #[test]
    fn rtp2b2_newness_of_sequenced_messages_is_a_strict_order(
        a in sequenced(), b in sequenced(), c in sequenced()
    ) {
        prop_assert!(!a.is_newer_than(&a));
        prop_assert!(!(a.is_newer_than(&b) && b.is_newer_than(&a)));
        prop_assert!(a.is_newer_than(&b) || b.is_newer_than(&a) || a.sequence == b.sequence);
        if a.is_newer_than(&b) && b.is_newer_than(&c) {
            prop_assert!(a.is_newer_than(&c));
        }
    }

    #[test]
    fn rtp2b1a_newness_of_synthesized_messages_is_total_and_ties_go_to_the_incoming(
        a in synthesized(), b in synthesized(), c in synthesized()
    ) {
        prop_assert!(a.is_newer_than(&a));
        prop_assert!(a.is_newer_than(&b) || b.is_newer_than(&a));
        if a.is_newer_than(&b) && b.is_newer_than(&c) {
            prop_assert!(a.is_newer_than(&c));
        }
    }

    #[test]
    fn rtp2b_of_two_different_messages_one_is_always_newer(a in any_version(), b in any_version()) {
        let same = a.sequence.is_some() && a.sequence == b.sequence;
        prop_assert!(same || a.is_newer_than(&b) || b.is_newer_than(&a));
    }

    #[test]
    fn rtp2b2_timestamps_do_not_matter_between_sequenced_messages(
        a in sequenced(), b in sequenced(), time in 0..5i64
    ) {
        let mut moved = a;
        moved.timestamp = UnixMillis::from_millis(time);
        prop_assert_eq!(a.is_newer_than(&b), moved.is_newer_than(&b));
        prop_assert_eq!(b.is_newer_than(&a), b.is_newer_than(&moved));
    }
}

// The member set compared with a naive one (RTP2, RTP18, RTP19).

/// An input of a member set.
#[derive(Clone, Debug)]
enum Event {
    Message { action: PresenceAction, who: u8, connection: u8, id: Id, time: i64 },
    StartSync,
    EndSync,
    LeaveAll,
    Clear,
}

#[derive(Clone, Debug)]
enum Id {
    Sequenced(i64, i64),
    Synthesized,
    None,
}

fn event() -> impl Strategy<Value = Event> {
    let action = prop_oneof![
        2 => Just(PresenceAction::Enter),
        2 => Just(PresenceAction::Present),
        2 => Just(PresenceAction::Update),
        3 => Just(PresenceAction::Leave),
        1 => Just(PresenceAction::Absent),
        1 => Just(PresenceAction::Unknown(9)),
    ];
    let id = prop_oneof![
        6 => (0..4i64, 0..2i64).prop_map(|(serial, index)| Id::Sequenced(serial, index)),
        1 => Just(Id::Synthesized),
        1 => Just(Id::None),
    ];
    let message =
        (action, 0..3u8, 0..3u8, id, 0..4i64).prop_map(|(action, who, connection, id, time)| {
            Event::Message { action, who, connection, id, time }
        });
    prop_oneof![
        30 => message,
        3 => Just(Event::StartSync),
        3 => Just(Event::EndSync),
        1 => Just(Event::LeaveAll),
        1 => Just(Event::Clear),
    ]
}

fn message(event: &Event) -> Option<PresenceMessage> {
    let Event::Message { action, who, connection, id, time } = event else { return None };
    let connection = format!("c{connection}");
    let mut message = PresenceMessage::new(*action);
    message.id = match id {
        Id::Sequenced(serial, index) => Some(format!("{connection}:{serial}:{index}").into()),
        Id::Synthesized => Some("server:1".into()),
        Id::None => None,
    };
    message.client_id = Some(format!("m{who}").into());
    message.connection_id = Some(connection.into());
    message.timestamp = Some(UnixMillis::from_millis(*time));
    message.data = Some(Data::String(format!("{time} {id:?}").into()));
    Some(message)
}

type Key = (SmolStr, SmolStr);

fn key(message: &PresenceMessage) -> Key {
    (message.client_id.clone().unwrap(), message.connection_id.clone().unwrap())
}

/// A naive member set.
#[derive(Default)]
struct Naive {
    present: BTreeMap<Key, PresenceMessage>,
    absent: BTreeMap<Key, PresenceMessage>,
    /// Absent members whose LEAVE is not delivered yet.
    owed: BTreeSet<Key>,
    /// Present members without a message since the start of the sync.
    residual: BTreeSet<Key>,
    syncing: bool,
}

/// Newness as in the specification, on strings.
fn newer(incoming: &PresenceMessage, stored: &PresenceMessage) -> bool {
    let numbers = |m: &PresenceMessage| {
        let rest = m.id.as_deref()?.strip_prefix(m.connection_id.as_deref()?)?;
        let numbers: Result<Vec<i64>, _> = rest.split(':').skip(1).map(str::parse).collect();
        numbers.ok()
    };
    match (numbers(incoming), numbers(stored)) {
        (Some(a), Some(b)) => a > b,
        _ => incoming.timestamp >= stored.timestamp,
    }
}

const NOW: UnixMillis = UnixMillis::from_millis(77);

impl Naive {
    /// Applies an event and returns the events for subscribers.
    fn apply(&mut self, event: &Event) -> Vec<PresenceMessage> {
        match event {
            Event::Message { .. } => self.message(message(event).unwrap()),
            Event::StartSync => {
                self.syncing = true;
                self.residual = self.present.keys().cloned().collect();
                vec![]
            }
            Event::EndSync if !self.syncing => vec![],
            Event::EndSync => {
                let stale = core::mem::take(&mut self.residual);
                let mut events: Vec<_> =
                    stale.iter().filter_map(|k| self.synthesized_leave(k)).collect();
                events.extend(self.owed_leaves());
                events
            }
            Event::LeaveAll => {
                let all: Vec<Key> = self.present.keys().cloned().collect();
                let mut events: Vec<_> =
                    all.iter().filter_map(|k| self.synthesized_leave(k)).collect();
                events.extend(self.owed_leaves());
                events
            }
            Event::Clear => {
                *self = Self::default();
                vec![]
            }
        }
    }

    fn message(&mut self, message: PresenceMessage) -> Vec<PresenceMessage> {
        let key = key(&message);
        let leaves = match message.action {
            PresenceAction::Leave => true,
            PresenceAction::Enter | PresenceAction::Present | PresenceAction::Update => false,
            _ => return vec![],
        };
        self.residual.remove(&key);
        let stored = self.present.get(&key).or_else(|| self.absent.get(&key));
        if stored.is_some_and(|stored| !newer(&message, stored)) {
            return vec![];
        }
        if !leaves {
            self.absent.remove(&key);
            self.owed.remove(&key);
            self.present.insert(key, message.clone());
            return vec![message];
        }
        let known = self.present.remove(&key).is_some();
        if self.syncing {
            if known {
                self.owed.insert(key.clone());
            }
            self.absent.insert(key, message);
            return vec![];
        }
        if known { vec![message] } else { vec![] }
    }

    fn synthesized_leave(&mut self, key: &Key) -> Option<PresenceMessage> {
        let mut leave = self.present.remove(key)?;
        leave.action = PresenceAction::Leave;
        leave.id = None;
        leave.timestamp = Some(NOW);
        Some(leave)
    }

    fn owed_leaves(&mut self) -> Vec<PresenceMessage> {
        self.syncing = false;
        self.residual.clear();
        let owed = core::mem::take(&mut self.owed);
        let absent = core::mem::take(&mut self.absent);
        absent.into_iter().filter(|(key, _)| owed.contains(key)).map(|(_, leave)| leave).collect()
    }
}

fn by_key(mut messages: Vec<PresenceMessage>) -> Vec<PresenceMessage> {
    messages.sort_by_key(key);
    messages
}

fn apply(set: &mut MemberSet, event: &Event) -> Vec<PresenceMessage> {
    let mut events = Vec::new();
    match event {
        Event::Message { .. } => {
            let message = message(event).unwrap();
            if set.apply(&message) {
                events.push(message);
            }
        }
        Event::StartSync => set.start_sync(),
        Event::EndSync => set.end_sync(NOW, |leave| events.push(leave)),
        Event::LeaveAll => set.leave_all(NOW, |leave| events.push(leave)),
        Event::Clear => set.clear(),
    }
    events
}

fn listed(set: &MemberSet) -> Vec<PresenceMessage> {
    set.iter().map(|member| member.to_message(PresenceAction::Present)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn rtp2_the_member_set_equals_a_naive_one(
        events in prop::collection::vec(event(), 0..60)
    ) {
        let mut set = MemberSet::new(7);
        let mut naive = Naive::default();
        let mut delivered = BTreeSet::new();
        for event in &events {
            let emitted = apply(&mut set, event);
            if matches!(event, Event::Clear) {
                delivered.clear();
            }
            for message in &emitted {
                if message.action == PresenceAction::Leave {
                    prop_assert!(delivered.remove(&key(message)), "leave without enter");
                } else {
                    delivered.insert(key(message));
                }
            }
            prop_assert_eq!(by_key(emitted), by_key(naive.apply(event)), "{:?}", event);
            let mut expected: Vec<_> = naive.present.values().cloned().collect();
            for message in &mut expected {
                message.action = PresenceAction::Present;
            }
            prop_assert_eq!(by_key(listed(&set)), by_key(expected));
            prop_assert_eq!(set.len(), naive.present.len());
            // The delivered events give the set, and members whose LEAVE follows at the end of the
            // sync.
            let mut all: BTreeSet<Key> = naive.present.keys().cloned().collect();
            all.extend(naive.owed.iter().cloned());
            prop_assert_eq!(&delivered, &all);
        }
    }

    #[test]
    fn member_sets_do_not_depend_on_the_hasher_seed(
        events in prop::collection::vec(event(), 0..60), a in any::<u64>(), b in any::<u64>()
    ) {
        let (mut one, mut two) = (MemberSet::new(a), MemberSet::new(b));
        for event in &events {
            prop_assert_eq!(apply(&mut one, event), apply(&mut two, event));
            prop_assert_eq!(listed(&one), listed(&two));
        }
    }
}
