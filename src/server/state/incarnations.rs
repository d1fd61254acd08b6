//! The runs of the nodes, as the log tells them.

use super::{ChannelSlot, Connection, ConnectionSlot};
use crate::SmolStr;
use crate::server::entry::IncarnationPart;
use alloc::collections::{BTreeMap, BTreeSet};

/// A run of a node. Its number is the position of the `Join` with which it began, so that no two
/// runs are taken for one.
#[derive(Clone, Debug)]
pub(in crate::server) struct Incarnation {
    node: SmolStr,
    /// Sequence number of its next entry.
    next_seq: u64,
    /// Whether its entries do not count any more.
    fenced: bool,
    /// Whether it has announced its end.
    leaving: bool,
    /// How long ended connections are remembered, in milliseconds of log time.
    ttl: u32,
    /// Its connections by grace period, in milliseconds, and the record that adopted them.
    by_grace: BTreeMap<(u32, u64), ConnectionSlot>,
    /// Those whose grace period was over while it was silent, by the record that adopted them.
    spent: BTreeMap<u64, ConnectionSlot>,
    /// The channels on which it has rows.
    rows: BTreeSet<ChannelSlot>,
}

impl Incarnation {
    pub(in crate::server) const fn node(&self) -> &SmolStr {
        &self.node
    }

    /// A run without connections and rows.
    pub(super) fn from_part(part: &IncarnationPart) -> Self {
        Self {
            node: part.node.clone(),
            next_seq: part.next_seq,
            fenced: part.fenced,
            leaving: part.leaving,
            ttl: part.ttl,
            by_grace: BTreeMap::new(),
            spent: BTreeMap::new(),
            rows: BTreeSet::new(),
        }
    }

    /// For a snapshot. `number`: its own.
    pub(super) fn part(&self, number: u64) -> IncarnationPart {
        IncarnationPart {
            number,
            node: self.node.clone(),
            next_seq: self.next_seq,
            fenced: self.fenced,
            leaving: self.leaving,
            ttl: self.ttl,
        }
    }

    /// Sequence number of its next entry.
    pub(in crate::server) const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    pub(in crate::server) const fn is_fenced(&self) -> bool {
        self.fenced
    }

    /// Whether it takes part in the duties of the nodes.
    pub(in crate::server) const fn is_active(&self) -> bool {
        !self.fenced && !self.leaving
    }

    pub(super) const fn ttl(&self) -> u32 {
        self.ttl
    }

    pub(super) const fn set_leaving(&mut self) {
        self.leaving = true;
    }

    pub(super) const fn fence(&mut self) {
        self.fenced = true;
    }

    /// The shortest grace period of its connections that still have theirs.
    pub(in crate::server) fn shortest_grace(&self) -> Option<u32> {
        self.by_grace.keys().next().map(|(grace, _)| *grace)
    }

    /// Whether it has connections, with or without members.
    pub(in crate::server) fn has_connections(&self) -> bool {
        !self.spent.is_empty() || !self.by_grace.is_empty()
    }

    /// The first of its connections with a grace period of at most `grace`.
    pub(super) fn first_within(&self, grace: u32) -> Option<ConnectionSlot> {
        self.by_grace.range(..=(grace, u64::MAX)).next().map(|(_, first)| *first)
    }

    /// The first of its connections whose grace period was over while it was silent.
    pub(super) fn first_spent(&self) -> Option<ConnectionSlot> {
        self.spent.values().next().copied()
    }

    /// The first of the channels on which it has rows.
    pub(super) fn first_row(&self) -> Option<ChannelSlot> {
        self.rows.first().copied()
    }

    /// Sets whether it has a row on a channel.
    pub(super) fn set_has_row(&mut self, channel: ChannelSlot, has_row: bool) {
        if has_row {
            self.rows.insert(channel);
        } else {
            self.rows.remove(&channel);
        }
    }

    /// Adds a connection, which must not be there.
    pub(super) fn add(&mut self, connection: &Connection, slot: ConnectionSlot) {
        let by = connection.adopted_by;
        let before = if connection.spent {
            self.spent.insert(by, slot)
        } else {
            self.by_grace.insert((connection.grace, by), slot)
        };
        debug_assert_eq!(before, None, "a record adopts one connection");
    }

    /// Removes a connection.
    pub(super) fn remove(&mut self, connection: &Connection) {
        let by = connection.adopted_by;
        if connection.spent {
            self.spent.remove(&by);
        } else {
            self.by_grace.remove(&(connection.grace, by));
        }
    }
}

/// The runs of all nodes that matter: that are not fenced, or have connections or rows left.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Incarnations(BTreeMap<u64, Incarnation>);

impl Incarnations {
    pub(in crate::server) fn get(&self, number: u64) -> Option<&Incarnation> {
        self.0.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Incarnation> {
        self.0.get_mut(&number)
    }

    /// All of them, oldest first.
    pub(in crate::server) fn iter(&self) -> impl Iterator<Item = (u64, &Incarnation)> {
        self.0.iter().map(|(number, incarnation)| (*number, incarnation))
    }

    pub(super) fn insert(&mut self, number: u64, incarnation: Incarnation) {
        self.0.insert(number, incarnation);
    }

    /// Starts a run, which fences earlier ones of the same name. `false` if a run of that name has
    /// begun after the position `after`.
    pub(super) fn join(&mut self, number: u64, node: &SmolStr, after: u64, ttl: u32) -> bool {
        let same_name = |(_, incarnation): &(_, &mut Incarnation)| incarnation.node == *node;
        if self.iter().any(|(number, found)| found.node == *node && number > after) {
            return false;
        }
        self.0.iter_mut().filter(same_name).for_each(|(_, found)| found.fence());
        let (node, next_seq, fenced, leaving) = (node.clone(), 0, false, false);
        let part = IncarnationPart { number, node, next_seq, fenced, leaving, ttl };
        self.insert(number, Incarnation::from_part(&part));
        self.forget_unused();
        true
    }

    /// Whether an entry is the next one of its run, and counts it.
    pub(super) fn advance(&mut self, number: u64, node: &SmolStr, seq: u64) -> bool {
        let found = self.0.get_mut(&number);
        let Some(incarnation) =
            found.filter(|found| found.node == *node && !found.fenced && found.next_seq == seq)
        else {
            return false;
        };
        incarnation.next_seq = incarnation.next_seq.saturating_add(1);
        true
    }

    /// Forgets runs that do not matter any more.
    pub(super) fn forget_unused(&mut self) {
        self.0
            .retain(|_, found| !found.fenced || found.has_connections() || !found.rows.is_empty());
    }
}
