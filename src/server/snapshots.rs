//! Snapshots of what follows from the log: writing them, and starting from one.

use super::replication::{Phase, Replication};
use super::state::Incarnation;
use super::{Misuse, Outbox, Output, Server, SnapshotPage};
use crate::slab::Key;

impl Server {
    /// Writes the next page of a snapshot, or begins one if it is time and this node's duty.
    pub(super) fn write_snapshot(&mut self, out: &mut Outbox) {
        if !self.state.is_writing_snapshot() && !self.begin_snapshot() {
            return;
        }
        let Some(replication) = &self.replication else { return };
        let bytes = replication.options.snapshot_page_bytes;
        let page = self.state.write_snapshot(self.now.mono, bytes, self.options.budget.max(1));
        let Some(page) = page else { return };
        let (is_last, position) = (page.is_last(), page.position());
        out.push(Output::snapshot(page));
        if is_last
            && let Some(replication) = &mut self.replication
            && let Some(before) = replication.snapshots.written(position)
        {
            out.push(Output::trim(before));
        }
    }

    /// Begins a snapshot, if it is time and this node's duty. Returns whether it did.
    fn begin_snapshot(&mut self) -> bool {
        let Some(replication) = &self.replication else { return false };
        let is_due = replication.snapshots.is_due(&replication.options)
            && replication.applying.is_none()
            && self.is_first_node(replication);
        if !is_due || !self.state.begin_snapshot() {
            return false;
        }
        if let Some(replication) = &mut self.replication {
            replication.snapshots.begin();
        }
        true
    }

    /// Whether this node ranks first among those that take part.
    fn is_first_node(&self, replication: &Replication) -> bool {
        let Some(known) = self.state.incarnations() else { return false };
        let active = known.iter().filter(|(_, found)| found.is_active());
        let first = active.min_by_key(|(_, found)| Incarnation::node(found).clone());
        first.map(|(number, _)| number) == replication.incarnation()
    }

    /// Connections that were on this node when the log was reset, and are on others according to the
    /// snapshot.
    fn leave_to_others(&mut self, out: &mut Outbox) {
        let mut next = 0;
        while let Some((slot, _)) = self.connections.next_from(next) {
            next = slot.number().saturating_add(1);
            let owner = self.state.incarnation(self.state.owner(slot));
            let is_elsewhere = owner.is_some_and(|owner| *owner.node() != self.options.node);
            if is_elsewhere && !self.is_adopting(slot) {
                self.taken_over(slot, out);
            }
        }
    }

    /// A page of the snapshot that the node starts from.
    pub(super) fn restore(&mut self, page: SnapshotPage, out: &mut Outbox) {
        let Some(replication) = &mut self.replication else {
            return self.misuse(Misuse::NotRestoring, out);
        };
        if replication.phase != Phase::Reading
            || self.state.position() != 0
            || !replication.snapshots.takes(&page)
        {
            return self.misuse(Misuse::NotRestoring, out);
        }
        let (position, is_last) = (page.position(), page.is_last());
        let mut intact = true;
        for part in page.parts {
            let Self { state, delivery, keys, options, at, .. } = self;
            let restored = state.restore_part(*at, part, |state, name| match state.by_name(name) {
                None => super::attach::open_channel(state, delivery, keys, options, *at, name),
                found => found,
            });
            intact &= restored.is_ok();
        }
        if is_last {
            intact &= self.state.end_restore(position.0).is_ok();
            for channel in self.state.channel_slots() {
                if !self.close_channel_if_unused(channel) {
                    self.arm_channel(channel);
                }
            }
        }
        if !intact {
            self.misuse(Misuse::SnapshotDamaged, out);
        }
        if is_last && let Some(replication) = &mut self.replication {
            let now = self.now.mono;
            for (number, _) in self.state.incarnations().into_iter().flat_map(|known| known.iter())
            {
                replication.peers.heard(number, now);
            }
            replication.snapshots.restored(position);
            self.leave_to_others(out);
        }
    }
}
