//! The presence map and its sync: `presence/presence_map.md`, `presence/presence_sync.md`.

use crate::frames::{item, made_up, text};
use presence_proto::members::MemberSet;
use presence_proto::wire::PresenceAction::{self, Enter, Leave, Present, Update};
use presence_proto::wire::PresenceMessage;
use presence_proto::{SmolStr, UnixMillis};

const NOW: i64 = 5_000;

/// A set, with the operations of the cases.
struct Map(MemberSet);

impl Map {
    fn new() -> Self {
        Self(MemberSet::new(1))
    }

    fn of(ids: &[(&str, &str)]) -> Self {
        let mut map = Self::new();
        for (client_id, id) in ids {
            assert!(map.0.apply(&item(Enter, client_id, id, 100)));
        }
        map
    }

    fn apply(&mut self, action: PresenceAction, client_id: &str, id: &str, timestamp: i64) -> bool {
        self.0.apply(&item(action, client_id, id, timestamp))
    }

    fn apply_data(
        &mut self,
        action: PresenceAction,
        client_id: &str,
        id: &str,
        timestamp: i64,
        data: &str,
    ) -> bool {
        self.0.apply(&item(action, client_id, id, timestamp).with_data(data))
    }

    /// The stored member, ABSENT or PRESENT.
    fn stored(&self, client_id: &str, connection_id: &str) -> Option<PresenceMessage> {
        let member = self.0.get(self.0.find(client_id, connection_id)?)?;
        let action =
            if member.is_absent() { PresenceAction::Absent } else { PresenceAction::Present };
        Some(member.to_message(action))
    }

    fn data(&self, client_id: &str, connection_id: &str) -> Option<String> {
        text(&self.stored(client_id, connection_id)?).map(String::from)
    }

    /// The client ids of the present members.
    fn present(&self) -> Vec<SmolStr> {
        let mut names: Vec<_> =
            self.0.iter().filter(|m| !m.is_absent()).map(|m| m.client_id().clone()).collect();
        assert_eq!(names.len(), self.0.len());
        names.sort();
        names
    }

    /// Ends the sync and returns the LEAVEs.
    fn end_sync(&mut self) -> Vec<PresenceMessage> {
        let mut leaves = Vec::new();
        self.0.end_sync(UnixMillis::from_millis(NOW), |message| leaves.push(message));
        assert!(leaves.iter().all(|leave| leave.action == Leave));
        leaves
    }
}

// UTS: realtime/unit/RTP2/basic-put-and-get-0
#[test]
fn rtp2_a_member_is_found_by_its_key() {
    let mut map = Map::new();
    assert!(map.apply(Enter, "client-1", "conn-1:0:0", 1000));
    let stored = map.stored("client-1", "conn-1").unwrap();
    assert_eq!(stored.client_id.as_deref(), Some("client-1"));
    assert_eq!(stored.connection_id.as_deref(), Some("conn-1"));
    assert_eq!(stored.id.as_deref(), Some("conn-1:0:0"));
}

// UTS: realtime/unit/RTP2d2/enter-stored-as-present-0
#[test]
fn rtp2d2_enter_is_stored_as_present() {
    let mut map = Map::new();
    map.apply_data(Enter, "client-1", "conn-1:0:0", 1000, "entered");
    assert_eq!(map.stored("client-1", "conn-1").unwrap().action, Present);
    assert_eq!(map.data("client-1", "conn-1").as_deref(), Some("entered"));
}

// UTS: realtime/unit/RTP2d2/update-stored-as-present-1
#[test]
fn rtp2d2_update_is_stored_as_present() {
    let mut map = Map::new();
    map.apply_data(Enter, "client-1", "conn-1:0:0", 1000, "initial");
    map.apply_data(Update, "client-1", "conn-1:1:0", 2000, "updated");
    assert_eq!(map.stored("client-1", "conn-1").unwrap().action, Present);
    assert_eq!(map.data("client-1", "conn-1").as_deref(), Some("updated"));
}

// UTS: realtime/unit/RTP2d2/present-stored-as-present-2
#[test]
fn rtp2d2_present_is_stored_as_present() {
    let mut map = Map::new();
    map.apply(Present, "client-1", "conn-1:0:0", 1000);
    assert_eq!(map.stored("client-1", "conn-1").unwrap().action, Present);
}

// The map borrows the message and returns whether it is an event, so it cannot change its action;
// that subscribers see the original ENTER and UPDATE is `rtp6a_a_subscriber_gets_every_event`.
// UTS: realtime/unit/RTP2d1/put-returns-original-action-0
#[test]
fn rtp2d1_each_newer_message_is_an_event() {
    let mut map = Map::new();
    assert!(map.apply(Enter, "client-1", "conn-1:0:0", 1000));
    assert!(map.apply_data(Update, "client-1", "conn-1:1:0", 2000, "updated"));
}

// UTS: realtime/unit/RTP2h1/leave-outside-sync-removes-0
#[test]
fn rtp2h1_leave_outside_a_sync_removes_and_is_an_event() {
    let mut map = Map::of(&[("client-1", "conn-1:0:0")]);
    assert!(map.apply(Leave, "client-1", "conn-1:1:0", 2000));
    assert_eq!(map.stored("client-1", "conn-1"), None);
    assert!(map.0.is_empty());
}

// UTS: realtime/unit/RTP2h1/leave-nonexistent-returns-null-1
#[test]
fn rtp2h1_leave_of_an_unknown_member_is_no_event() {
    let mut map = Map::new();
    assert!(!map.apply(Leave, "unknown", "conn-x:0:0", 1000));
    assert_eq!(map.stored("unknown", "conn-x"), None);
}

// UTS: realtime/unit/RTP2h2a/leave-during-sync-stores-absent-0
#[test]
fn rtp2h2a_leave_during_a_sync_is_stored_as_absent() {
    let mut map = Map::of(&[("client-1", "conn-1:0:0")]);
    map.0.start_sync();
    assert!(!map.apply(Leave, "client-1", "conn-1:1:0", 2000));
    assert_eq!(map.stored("client-1", "conn-1").unwrap().action, PresenceAction::Absent);
}

// Ruling: subscribers receive that LEAVE once, when the sync ends.
// UTS: realtime/unit/RTP2h2b/absent-deleted-on-endsync-0
#[test]
fn rtp2h2b_absent_members_are_removed_when_the_sync_ends() {
    let mut map = Map::of(&[("alice", "c1:0:0"), ("bob", "c2:0:0")]);
    map.0.start_sync();
    map.apply(Present, "alice", "c1:1:0", 200);
    map.apply(Leave, "bob", "c2:1:0", 200);
    let leaves = map.end_sync();
    assert_eq!(leaves, [item(Leave, "bob", "c2:1:0", 200)]);
    assert_eq!(map.stored("bob", "c2"), None);
    assert_eq!(map.stored("alice", "c1").unwrap().action, Present);
    assert_eq!(map.present(), ["alice"]);
}

// UTS: realtime/unit/RTP2b2/newness-by-msgserial-index-0
#[test]
fn rtp2b2_the_larger_message_serial_is_newer_whatever_the_time() {
    let mut map = Map::new();
    map.apply_data(Enter, "client-1", "conn-1:5:0", 1000, "first");
    assert!(!map.apply_data(Update, "client-1", "conn-1:3:0", 2000, "stale"));
    assert_eq!(map.data("client-1", "conn-1").as_deref(), Some("first"));
    assert!(map.apply_data(Update, "client-1", "conn-1:7:0", 500, "newer"));
    assert_eq!(map.data("client-1", "conn-1").as_deref(), Some("newer"));
}

// UTS: realtime/unit/RTP2b2/newness-by-index-same-serial-1
#[test]
fn rtp2b2_of_one_message_serial_the_larger_index_is_newer() {
    let mut map = Map::new();
    map.apply_data(Enter, "client-1", "conn-1:5:2", 1000, "index-2");
    assert!(!map.apply_data(Update, "client-1", "conn-1:5:1", 2000, "index-1"));
    assert_eq!(map.data("client-1", "conn-1").as_deref(), Some("index-2"));
    assert!(map.apply_data(Update, "client-1", "conn-1:5:5", 500, "index-5"));
    assert_eq!(map.data("client-1", "conn-1").as_deref(), Some("index-5"));
}

// UTS: realtime/unit/RTP2b1/newness-by-timestamp-0
#[test]
fn rtp2b1_a_synthesized_leave_is_compared_by_time() {
    let mut map = Map::new();
    map.apply(Enter, "client-1", "conn-1:0:0", 1000);
    assert!(map.0.apply(&made_up(Leave, "client-1", "conn-1", "made-up", 2000)));
    assert_eq!(map.stored("client-1", "conn-1"), None);
}

// UTS: realtime/unit/RTP2b1/older-synth-leave-rejected-1
#[test]
fn rtp2b1_an_older_synthesized_leave_is_stale() {
    let mut map = Map::new();
    map.apply_data(Enter, "client-1", "conn-1:0:0", 5000, "entered");
    assert!(!map.0.apply(&made_up(Leave, "client-1", "conn-1", "made-up", 3000)));
    assert_eq!(map.data("client-1", "conn-1").as_deref(), Some("entered"));
}

// UTS: realtime/unit/RTP2b1a/equal-timestamps-incoming-wins-0
#[test]
fn rtp2b1a_equal_timestamps_incoming_wins() {
    let mut map = Map::new();
    map.0.apply(&made_up(Enter, "client-1", "conn-1", "made-up-1", 1000).with_data("first"));
    let second = made_up(Update, "client-1", "conn-1", "made-up-2", 1000).with_data("second");
    assert!(map.0.apply(&second));
    assert_eq!(map.data("client-1", "conn-1").as_deref(), Some("second"));
}

// UTS: realtime/unit/RTP2c/sync-uses-same-newness-0
#[test]
fn rtp2c_pages_of_a_sync_are_compared_like_events() {
    let mut map = Map::new();
    map.0.start_sync();
    map.apply_data(Present, "client-1", "conn-1:5:0", 1000, "first");
    assert!(!map.apply_data(Present, "client-1", "conn-1:3:0", 2000, "stale"));
    assert!(map.apply_data(Present, "client-1", "conn-1:8:0", 500, "newer"));
    assert_eq!(map.data("client-1", "conn-1").as_deref(), Some("newer"));
}

// UTS: realtime/unit/RTP2/multiple-members-coexist-1
#[test]
fn rtp2_one_client_id_may_be_present_on_two_connections() {
    let map = Map::of(&[("alice", "c1:0:0"), ("bob", "c2:0:0"), ("alice", "c3:0:0")]);
    assert_eq!(map.present(), ["alice", "alice", "bob"]);
    for (client_id, connection_id) in [("alice", "c1"), ("bob", "c2"), ("alice", "c3")] {
        assert!(map.stored(client_id, connection_id).is_some());
    }
    assert_eq!(map.0.of_client("alice").count(), 2);
}

// UTS: realtime/unit/RTP2/values-excludes-absent-2
#[test]
fn rtp2h2a_absent_members_do_not_count_as_present() {
    let mut map = Map::of(&[("alice", "c1:0:0"), ("bob", "c2:0:0")]);
    map.0.start_sync();
    map.apply(Leave, "bob", "c2:1:0", 200);
    assert_eq!(map.stored("bob", "c2").unwrap().action, PresenceAction::Absent);
    assert_eq!(map.present(), ["alice"]);
}

// UTS: realtime/unit/RTP2/clear-resets-state-3
#[test]
fn rtp5a_clearing_forgets_members_and_sync() {
    let mut map = Map::of(&[("alice", "c1:0:0")]);
    map.0.start_sync();
    map.0.clear();
    assert!(map.0.is_empty());
    assert_eq!(map.stored("alice", "c1"), None);
    assert!(!map.0.is_syncing());
}

// UTS: realtime/unit/RTP18a/startsync-sets-flag-0
#[test]
fn rtp18a_a_sync_is_in_progress_once_started() {
    let mut map = Map::new();
    assert!(!map.0.is_syncing());
    map.0.start_sync();
    assert!(map.0.is_syncing());
}

// UTS: realtime/unit/RTP18b/endsync-clears-flag-0
#[test]
fn rtp18b_a_sync_is_complete_once_ended() {
    let mut map = Map::new();
    map.0.start_sync();
    assert!(map.0.is_syncing());
    map.end_sync();
    assert!(!map.0.is_syncing());
}

// UTS: realtime/unit/RTP19/stale-members-leave-after-sync-0
#[test]
fn rtp19_members_not_in_the_sync_leave() {
    let mut map = Map::of(&[("alice", "c1:0:0"), ("bob", "c2:0:0")]);
    map.0.start_sync();
    map.apply(Present, "alice", "c1:1:0", 200);
    let leaves = map.end_sync();
    assert_eq!(crate::frames::names(&leaves), ["bob"]);
    assert_eq!(map.present(), ["alice"]);
    assert_eq!(map.stored("bob", "c2"), None);
}

// UTS: realtime/unit/RTP19/synth-leave-null-id-timestamp-1
#[test]
fn rtp19_a_synthesized_leave_has_the_last_data_no_id_and_the_time_of_the_end() {
    let mut map = Map::new();
    map.apply_data(Enter, "bob", "c2:0:0", 100, "bob-data");
    map.0.start_sync();
    let leaves = map.end_sync();
    let mut expected = item(Leave, "bob", "c2:0:0", NOW).with_data("bob-data");
    expected.id = None;
    assert_eq!(leaves, [expected]);
}

// UTS: realtime/unit/RTP19/updated-members-survive-sync-2
#[test]
fn rtp19_members_in_pages_or_events_stay() {
    let mut map = Map::of(&[("alice", "c1:0:0"), ("bob", "c2:0:0"), ("carol", "c3:0:0")]);
    map.0.start_sync();
    map.apply(Present, "alice", "c1:1:0", 200);
    map.apply_data(Update, "bob", "c2:1:0", 200, "new-data");
    assert_eq!(crate::frames::names(&map.end_sync()), ["carol"]);
    assert_eq!(map.present(), ["alice", "bob"]);
    assert_eq!(map.data("bob", "c2").as_deref(), Some("new-data"));
}

// UTS: realtime/unit/RTP18a/new-sync-discards-previous-1
#[test]
fn rtp18a_a_new_sync_discards_the_current_one() {
    let mut map = Map::of(&[("alice", "c1:0:0"), ("bob", "c2:0:0")]);
    map.0.start_sync();
    map.apply(Present, "alice", "c1:1:0", 200);
    map.0.start_sync();
    map.apply(Present, "alice", "c1:2:0", 300);
    map.apply(Present, "bob", "c2:1:0", 300);
    assert_eq!(map.end_sync(), []);
    assert_eq!(map.present(), ["alice", "bob"]);
}

// The frame without a serial is in `rtp18_a_sync_begins_and_ends_by_its_serials`.
// UTS: realtime/unit/RTP18c/single-message-sync-0
#[test]
fn rtp18c_a_sync_may_be_one_message() {
    let mut map = Map::of(&[("alice", "c1:0:0"), ("bob", "c2:0:0")]);
    map.0.start_sync();
    map.apply(Present, "alice", "c1:1:0", 200);
    assert_eq!(crate::frames::names(&map.end_sync()), ["bob"]);
    assert_eq!(map.present(), ["alice"]);
    assert!(!map.0.is_syncing());
}

// UTS: realtime/unit/RTP19a/no-has-presence-clears-members-0
#[test]
fn rtp19a_without_presence_all_members_leave_with_their_last_data() {
    let people = [("alice", "c1:0:0", "a"), ("bob", "c2:0:0", "b"), ("carol", "c3:0:0", "c")];
    let filled = || {
        let mut map = Map::new();
        for (client_id, id, data) in people {
            map.apply_data(Enter, client_id, id, 100, data);
        }
        map
    };
    let expected = people.map(|(client_id, id, data)| {
        let mut leave = item(Leave, client_id, id, NOW).with_data(data);
        leave.id = None;
        leave
    });
    // An empty sync has the same result.
    let mut map = filled();
    map.0.start_sync();
    assert_eq!(map.end_sync(), expected);
    assert!(map.0.is_empty());
    let mut map = filled();
    let mut leaves = Vec::new();
    map.0.leave_all(UnixMillis::from_millis(NOW), |message| leaves.push(message));
    assert_eq!(leaves, expected);
    assert!(map.0.is_empty());
}

// Ruling: one LEAVE at the end, with the contents of the received leave.
// UTS: realtime/unit/RTP2h2a/leave-during-sync-absent-cleanup-0
#[test]
fn rtp2h2_a_leave_during_a_sync_is_one_event_at_its_end() {
    let mut map = Map::of(&[("alice", "c1:0:0"), ("bob", "c2:0:0")]);
    map.0.start_sync();
    map.apply(Present, "alice", "c1:1:0", 200);
    assert!(!map.apply_data(Leave, "bob", "c2:1:0", 200, "bye"));
    assert_eq!(map.stored("bob", "c2").unwrap().action, PresenceAction::Absent);
    assert_eq!(map.end_sync(), [item(Leave, "bob", "c2:1:0", 200).with_data("bye")]);
    assert_eq!(map.stored("bob", "c2"), None);
    assert_eq!(map.present(), ["alice"]);
    map.0.start_sync();
    map.apply(Present, "alice", "c1:1:0", 200);
    assert_eq!(map.end_sync(), []);
}

// UTS: realtime/unit/RTP19/empty-map-sync-no-leaves-3
#[test]
fn rtp19_a_first_sync_causes_no_leave() {
    let mut map = Map::new();
    map.0.start_sync();
    map.apply(Present, "alice", "c1:0:0", 100);
    assert_eq!(map.end_sync(), []);
    assert_eq!(map.present(), ["alice"]);
}

// UTS: realtime/unit/RTP18/endsync-without-startsync-noop-0
#[test]
fn rtp18b_ending_no_sync_does_nothing() {
    let mut map = Map::of(&[("alice", "c1:0:0")]);
    assert_eq!(map.end_sync(), []);
    assert_eq!(map.present(), ["alice"]);
    assert!(!map.0.is_syncing());
}

// UTS: realtime/unit/RTP19/stale-sync-removes-from-residuals-4
#[test]
fn rtp19_a_stale_page_still_proves_presence() {
    let mut map = Map::new();
    map.apply_data(Enter, "alice", "c1:5:0", 500, "original");
    map.0.start_sync();
    assert!(!map.apply_data(Present, "alice", "c1:3:0", 300, "stale"));
    assert_eq!(map.end_sync(), []);
    assert_eq!(map.data("alice", "c1").as_deref(), Some("original"));
}

// UTS: realtime/unit/RTP19/presence-echoes-then-sync-preserves-5
#[test]
fn rtp19_a_sync_of_members_already_known_changes_nothing() {
    let ids = [("user-0", "c1:0:0"), ("user-1", "c1:1:0"), ("user-2", "c1:2:0")];
    let mut map = Map::new();
    for (client_id, id) in ids {
        map.apply_data(Enter, client_id, id, 100, client_id);
    }
    map.0.start_sync();
    for (client_id, id) in ids {
        assert!(!map.apply_data(Present, client_id, id, 100, client_id), "equal is not newer");
    }
    assert_eq!(map.end_sync(), []);
    for (client_id, _) in ids {
        assert_eq!(map.data(client_id, "c1").as_deref(), Some(client_id));
    }
}

// UTS: realtime/unit/RTP19/new-member-during-sync-survives-6
#[test]
fn rtp19_a_member_that_enters_during_a_sync_stays() {
    let mut map = Map::of(&[("alice", "c1:0:0")]);
    map.0.start_sync();
    map.apply(Present, "alice", "c1:1:0", 200);
    map.apply(Enter, "bob", "c2:0:0", 200);
    assert_eq!(map.end_sync(), []);
    assert_eq!(map.present(), ["alice", "bob"]);
}
