//! Applying presence messages and syncs on a client (RTP2, RTP18, RTP19).

use super::Slot;
use super::incoming::Incoming;
use super::member::Record;
use super::newness::{Sequence, Version};
use super::set::{MemberSet, Place};
use crate::UnixMillis;
use crate::slab::Slab;
use crate::wire::{PresenceAction, PresenceMessage};

impl MemberSet {
    /// Whether a sync is running.
    #[must_use]
    pub const fn is_syncing(&self) -> bool {
        self.syncing
    }

    /// Starts a sync. A running one is superseded (RTP18a). Messages from now on confirm their
    /// members; members not confirmed are removed at the end (RTP19).
    pub fn start_sync(&mut self) {
        self.sync = self.sync.wrapping_add(1);
        self.syncing = true;
    }

    /// Applies a message of a PRESENCE or SYNC (RTP2c). `true` if it must be delivered to
    /// subscribers, unchanged (RTP2d1).
    ///
    /// The message must include the fields inherited from its frame. Without a client id or a
    /// connection id, or with the action ABSENT or an unknown one, it changes nothing.
    pub fn apply(&mut self, message: &PresenceMessage) -> bool {
        Incoming::complete(message).is_some_and(|incoming| self.apply_incoming(&incoming))
    }

    /// Like [`apply`](Self::apply), with fields inherited from the frame.
    #[inline(always)]
    pub(crate) fn apply_incoming(&mut self, incoming: &Incoming<'_>) -> bool {
        let leaves = match incoming.message.action {
            PresenceAction::Enter | PresenceAction::Present | PresenceAction::Update => false,
            PresenceAction::Leave => true,
            PresenceAction::Absent | PresenceAction::Unknown(_) => return false,
        };
        match self.locate(incoming.client_id, incoming.connection_id) {
            Ok(slot) if leaves => self.leave(slot, incoming),
            Ok(slot) => self.update(slot, incoming),
            Err(place) if leaves => self.leave_unknown(place, incoming),
            Err(place) => self.insert(place, Record::new(incoming, self.sync)).is_some(),
        }
    }

    /// Ends the running sync. `on_leave` receives a LEAVE for each member that the sync did not
    /// confirm, with its last data, no id and the timestamp `now` (RTP19), and the deferred LEAVE
    /// of each member that left during the sync (RTP2h2). Marks are removed. Without a running sync
    /// nothing changes.
    pub fn end_sync(&mut self, now: UnixMillis, mut on_leave: impl FnMut(PresenceMessage)) {
        if !core::mem::replace(&mut self.syncing, false) {
            return;
        }
        let sync = self.sync;
        self.sweep(
            |record| {
                if record.absent {
                    return Fate::Leaves(None);
                }
                if record.last_sync == sync { Fate::Stays } else { Fate::Leaves(Some(now)) }
            },
            &mut on_leave,
        );
    }

    /// Removes all members, and ends a running sync. `on_leave` receives a LEAVE for each, with its
    /// last data, no id and the timestamp `now` (RTP19a), or the deferred LEAVE of a member that
    /// left during the sync.
    pub fn leave_all(&mut self, now: UnixMillis, mut on_leave: impl FnMut(PresenceMessage)) {
        self.syncing = false;
        self.sweep(|record| Fate::Leaves((!record.absent).then_some(now)), &mut on_leave);
    }

    #[inline(always)]
    fn update(&mut self, slot: Slot, incoming: &Incoming<'_>) -> bool {
        let Some((record, sequence)) = newer(&mut self.records, self.sync, slot, incoming) else {
            return false;
        };
        record.replace(incoming, sequence);
        if core::mem::replace(&mut record.absent, false) {
            self.absent -= 1;
        }
        true
    }

    fn leave(&mut self, slot: Slot, incoming: &Incoming<'_>) -> bool {
        let Some((record, sequence)) = newer(&mut self.records, self.sync, slot, incoming) else {
            return false;
        };
        if !self.syncing {
            // RTP2h1
            return self.take(slot).is_some();
        }
        // RTP2h2a. The LEAVE is delivered at the end of the sync, if subscribers received the member.
        record.replace(incoming, sequence);
        if !core::mem::replace(&mut record.absent, true) {
            record.leave_pending = true;
            self.absent += 1;
        }
        false
    }

    /// A LEAVE of an unknown member is not delivered (RTP2h). During a sync it leaves a mark with
    /// its version, so that an older entry in a later page does not bring the member back.
    fn leave_unknown(&mut self, place: Place, incoming: &Incoming<'_>) -> bool {
        if self.syncing {
            let mut record = Record::new(incoming, self.sync);
            record.absent = true;
            self.insert(place, record);
        }
        false
    }

    /// Removes the members with `Fate::Leaves`.
    fn sweep(
        &mut self,
        fate: impl Fn(&Record) -> Fate,
        on_leave: &mut impl FnMut(PresenceMessage),
    ) {
        let mut from = 0;
        let leaves = |(_, record): &(Slot, &Record)| matches!(fate(record), Fate::Leaves(_));
        while let Some((slot, record)) = self.records.iter_from(from).find(leaves) {
            if let Fate::Leaves(synthesized_at) = fate(record) {
                self.sweep_out(slot, synthesized_at, on_leave);
            }
            let Some(next) = slot.number().checked_add(1) else { break };
            from = next;
        }
    }

    fn sweep_out(
        &mut self,
        slot: Slot,
        synthesized_at: Option<UnixMillis>,
        on_leave: &mut impl FnMut(PresenceMessage),
    ) {
        let Some(record) = self.take(slot) else {
            debug_assert!(false, "{slot:?} dangles");
            return;
        };
        if record.absent && !record.leave_pending {
            return;
        }
        let mut message = record.to_message(PresenceAction::Leave);
        if let Some(now) = synthesized_at {
            message.id = None;
            message.timestamp = Some(now);
        }
        on_leave(message);
    }
}

/// The stored member and the sequence of the message, if the message is newer (RTP2a). In any case
/// the member is confirmed: an outdated message also shows that it is present (RTP19).
#[inline(always)]
fn newer<'a>(
    records: &'a mut Slab<Slot, Record>,
    sync: u32,
    slot: Slot,
    incoming: &Incoming<'_>,
) -> Option<(&'a mut Record, Option<Sequence>)> {
    let record = records.get_mut(slot)?;
    record.last_sync = sync;
    let sequence = incoming.sequence();
    let version = Version {
        sequence: sequence.map(|s| (s.serial, s.index)),
        timestamp: incoming.timestamp(),
    };
    version.is_newer_than(&record.version()).then_some((record, sequence))
}

/// The fate of a member in a sweep.
enum Fate {
    Stays,
    /// Leaves, with a LEAVE synthesized at this time, or its own LEAVE.
    Leaves(Option<UnixMillis>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::String, vec::Vec};

    const NOW: UnixMillis = UnixMillis::from_millis(99);

    fn message(action: PresenceAction, who: &str, serial: i64) -> PresenceMessage {
        PresenceMessage {
            id: Some(format!("c-{who}:{serial}:0").into()),
            client_id: Some(who.into()),
            connection_id: Some(format!("c-{who}").into()),
            timestamp: Some(UnixMillis::from_millis(serial)),
            ..PresenceMessage::new(action)
        }
    }

    fn set(members: &[&str]) -> MemberSet {
        let mut set = MemberSet::new(1);
        for who in members {
            assert!(set.apply(&message(PresenceAction::Enter, who, 1)));
        }
        set
    }

    fn names(set: &MemberSet) -> Vec<String> {
        set.iter().map(|m| String::from(m.client_id().as_str())).collect()
    }

    fn end(set: &mut MemberSet) -> Vec<(String, Option<SmolStr>, i64)> {
        let mut left = Vec::new();
        set.end_sync(NOW, |m| {
            let who = m.client_id.unwrap_or_default();
            left.push((who.as_str().into(), m.id, m.timestamp.unwrap_or_default().as_millis()));
        });
        left
    }

    use crate::SmolStr;

    #[test]
    fn rtp2d_events_keep_their_action_and_members_are_stored() {
        let mut set = set(&["a"]);
        assert!(set.apply(&message(PresenceAction::Update, "a", 2)));
        let stored = set.find("a", "c-a").and_then(|slot| set.get(slot));
        assert_eq!(stored.and_then(|m| m.id()).as_deref(), Some("c-a:2:0"));
        assert!(stored.is_some_and(|m| m.has_id("c-a:2:0") && !m.has_id("c-a:02:0")));
    }

    #[test]
    fn rtp2h1_a_leave_without_a_sync_removes_the_member() {
        let mut set = set(&["a", "b"]);
        assert!(!set.apply(&message(PresenceAction::Leave, "a", 0)), "older");
        assert!(set.apply(&message(PresenceAction::Leave, "a", 2)));
        assert!(!set.apply(&message(PresenceAction::Leave, "a", 3)), "not in the set");
        assert_eq!(names(&set), ["b"]);
    }

    #[test]
    fn rtp2h2_a_leave_during_a_sync_is_delivered_once_at_its_end() {
        let mut set = set(&["a", "b"]);
        set.start_sync();
        assert!(!set.apply(&message(PresenceAction::Present, "b", 1)));
        assert!(!set.apply(&message(PresenceAction::Leave, "a", 2)));
        assert_eq!(names(&set), ["b"]);
        assert!(!set.apply(&message(PresenceAction::Present, "a", 1)), "older page");
        assert_eq!(end(&mut set), [("a".into(), Some("c-a:2:0".into()), 2)]);
        assert_eq!(set.find("a", "c-a"), None);
    }

    #[test]
    fn a_leave_of_an_unknown_member_during_a_sync_keeps_ghosts_out() {
        let mut set = set(&[]);
        set.start_sync();
        assert!(!set.apply(&message(PresenceAction::Leave, "a", 2)));
        assert!(!set.apply(&message(PresenceAction::Present, "a", 1)));
        assert_eq!((set.len(), set.is_empty()), (0, true));
        assert_eq!(end(&mut set), []);
        assert_eq!(set.find("a", "c-a"), None);
    }

    #[test]
    fn rtp19_unconfirmed_members_leave_without_an_id() {
        let mut set = set(&["a", "b", "c", "d"]);
        set.start_sync();
        set.apply(&message(PresenceAction::Present, "b", 1));
        set.apply(&message(PresenceAction::Update, "c", 2));
        set.apply(&message(PresenceAction::Present, "d", 0));
        assert_eq!(end(&mut set), [("a".into(), None, 99)]);
        assert_eq!(names(&set), ["b", "c", "d"]);
    }

    #[test]
    fn rtp18a_a_new_sync_supersedes_the_running_one() {
        let mut set = set(&["a", "b"]);
        set.start_sync();
        set.apply(&message(PresenceAction::Present, "a", 1));
        set.start_sync();
        set.apply(&message(PresenceAction::Present, "b", 1));
        assert_eq!(end(&mut set), [("a".into(), None, 99)]);
    }

    #[test]
    fn rtp19a_leave_all_removes_every_member() {
        let mut set = set(&["a", "b"]);
        let mut left = Vec::new();
        set.leave_all(NOW, |m| left.push((m.client_id, m.id, m.timestamp)));
        let gone = |who: &str| (Some(SmolStr::from(who)), None, Some(NOW));
        assert_eq!(left, [gone("a"), gone("b")]);
        assert!(set.is_empty());
    }

    #[test]
    fn rtp19a_a_leave_deferred_by_a_cancelled_sync_keeps_its_id() {
        let mut set = set(&["a", "b"]);
        set.start_sync();
        set.apply(&message(PresenceAction::Leave, "a", 2));
        set.apply(&message(PresenceAction::Leave, "x", 2));
        let mut left = Vec::new();
        set.leave_all(NOW, |m| left.push((m.client_id, m.id, m.timestamp)));
        let own = (Some("a".into()), Some("c-a:2:0".into()), Some(UnixMillis::from_millis(2)));
        assert_eq!(left, [own, (Some("b".into()), None, Some(NOW))]);
    }

    #[test]
    fn rtp2h2_a_leave_after_a_return_during_a_sync_is_delivered_once() {
        let mut set = set(&["a"]);
        set.start_sync();
        assert!(!set.apply(&message(PresenceAction::Leave, "a", 2)));
        assert!(set.apply(&message(PresenceAction::Enter, "a", 3)));
        assert_eq!(names(&set), ["a"]);
        assert!(!set.apply(&message(PresenceAction::Leave, "a", 4)));
        // The same for a member that was unknown before the sync.
        assert!(!set.apply(&message(PresenceAction::Leave, "b", 2)));
        assert!(set.apply(&message(PresenceAction::Enter, "b", 3)));
        assert!(!set.apply(&message(PresenceAction::Leave, "b", 4)));
        let gone = |who: &str| (String::from(who), Some(format!("c-{who}:4:0").into()), 4);
        assert_eq!(end(&mut set), [gone("a"), gone("b")]);
    }

    #[test]
    fn a_mark_is_counted_until_put_or_clear() {
        let marked = || {
            let mut set = set(&["a"]);
            set.start_sync();
            set.apply(&message(PresenceAction::Leave, "x", 2));
            assert_eq!((set.len(), set.stored()), (1, 2));
            set
        };
        let mut set = marked();
        assert!(set.put(&message(PresenceAction::Enter, "x", 3)).is_some());
        assert_eq!((set.len(), names(&set).len()), (2, 2));
        let mut set = marked();
        set.clear();
        assert_eq!((set.len(), set.stored()), (0, 0));
        set.apply(&message(PresenceAction::Enter, "b", 1));
        assert_eq!(names(&set), ["b"]);
    }

    #[test]
    fn rtp2_messages_without_a_member_or_action_change_nothing() {
        let mut set = set(&["a"]);
        for action in [PresenceAction::Absent, PresenceAction::Unknown(9)] {
            assert!(!set.apply(&message(action, "a", 5)));
        }
        let mut nobody = message(PresenceAction::Enter, "b", 1);
        nobody.client_id = None;
        assert!(!set.apply(&nobody));
        assert_eq!(set.put(&nobody), None);
        assert_eq!(names(&set), ["a"]);
    }

    #[test]
    fn members_of_a_client_are_found_after_removals_in_any_order() {
        for gone in 0..4 {
            let mut set = set(&["z"]);
            let on = |n: usize| {
                let mut m = message(PresenceAction::Enter, "a", 1);
                m.connection_id = Some(format!("c{n}").into());
                m
            };
            for n in 0..4 {
                set.apply(&on(n));
            }
            let slot = set.find("a", &format!("c{gone}"));
            assert!(slot.and_then(|slot| set.remove(slot)).is_some());
            set.put(&on(7));
            let connections: Vec<_> =
                set.of_client("a").map(|m| m.connection_id().clone()).collect();
            let expected: Vec<SmolStr> =
                (0..4).chain([7]).filter(|n| *n != gone).map(|n| format!("c{n}").into()).collect();
            assert_eq!(connections, expected);
            for connection in &expected {
                let slot = set.find("a", connection);
                assert!(slot.and_then(|slot| set.remove(slot)).is_some(), "{connection}");
            }
            assert_eq!(set.of_client("a").count(), 0);
            assert_eq!(names(&set), ["z"]);
        }
    }
}
