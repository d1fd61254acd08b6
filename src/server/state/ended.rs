//! Ids of ended connections, for a time.

use crate::{SmolStr, UnixMillis};
use alloc::collections::{BTreeSet, VecDeque};

/// Ids of connections that have ended, so that they cannot be resumed on another node. They are
/// remembered for a span of log time, which is the same on every node.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    ids: BTreeSet<SmolStr>,
    /// The ids, with the log time until which they are remembered, oldest first.
    order: VecDeque<(UnixMillis, SmolStr)>,
}

impl Ended {
    pub(super) fn iter(&self) -> impl Iterator<Item = &(UnixMillis, SmolStr)> {
        self.order.iter()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    pub(super) fn insert(&mut self, id: SmolStr, until: UnixMillis) {
        if self.ids.insert(id.clone()) {
            self.order.push_back((until, id));
        }
    }

    /// Forgets the ids that are due, oldest first. An id behind one that is remembered for longer
    /// stays until that one is due.
    pub(super) fn forget(&mut self, time: UnixMillis) {
        while self.order.front().is_some_and(|(until, _)| *until < time) {
            if let Some((_, id)) = self.order.pop_front() {
                self.ids.remove(&id);
            }
        }
    }
}
