//! Rows: how many attachments each node has to a channel, as the log tells.
//!
//! A row belongs to a run of a node and goes with it: the run has the channels on which it has rows.

use super::{Channel, ChannelSlot, State};
use crate::server::record::Row;
use alloc::vec::Vec;

/// The rows of a channel by the number of the run, ascending. None is zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows(Vec<(u64, Row)>);

impl Rows {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_slice(&self) -> &[(u64, Row)] {
        &self.0
    }

    /// Sets the row of a run; zeros remove it.
    fn set(&mut self, run: u64, row: Row) {
        let place = self.0.binary_search_by_key(&run, |(run, _)| *run);
        match place {
            Ok(place) if row.is_zero() => drop(self.0.remove(place)),
            Ok(place) => {
                if let Some(stored) = self.0.get_mut(place) {
                    stored.1 = row;
                }
            }
            Err(_) if row.is_zero() => {}
            Err(place) => self.0.insert(place, (run, row)),
        }
    }
}

impl State {
    /// The rows of a channel, apart from those of the run `own` and of fenced runs.
    pub(in crate::server) fn rows_of_others(
        &self,
        channel: ChannelSlot,
        own: Option<u64>,
    ) -> impl Iterator<Item = &Row> {
        let rows = self.channels[channel].rows.as_slice().iter();
        let others = rows.filter(move |(run, _)| {
            Some(*run) != own && self.incarnation(*run).is_some_and(|found| !found.is_fenced())
        });
        others.map(|(_, row)| row)
    }

    /// Sets the row of a run, unless it is fenced or unknown; zeros remove it.
    pub(in crate::server) fn set_row(&mut self, channel: ChannelSlot, run: u64, row: Row) {
        if self.incarnation(run).is_some_and(|found| !found.is_fenced()) {
            self.before_channel(channel);
            self.put_row(channel, run, row);
        }
    }

    /// A channel on which a fenced run has a row, and that run.
    pub(in crate::server) fn next_fenced_row(&self) -> Option<(ChannelSlot, u64)> {
        let mut fenced = self.incarnations()?.iter().filter(|(_, found)| found.is_fenced());
        fenced.find_map(|(run, found)| Some((found.first_row()?, run)))
    }

    /// Removes the row of a run.
    pub(in crate::server) fn remove_row(&mut self, channel: ChannelSlot, run: u64) {
        self.before_channel(channel);
        self.put_row(channel, run, Row::default());
    }

    /// Adds the row of a snapshot. `false` if it does not fit.
    pub(super) fn restore_row(&mut self, channel: ChannelSlot, run: u64, row: Row) -> bool {
        let fits = self.incarnation(run).is_some_and(|found| !found.is_fenced());
        if fits {
            self.put_row(channel, run, row);
        }
        fits && !row.is_zero()
    }

    fn put_row(&mut self, channel: ChannelSlot, run: u64, row: Row) {
        let Some(found) = self.fold.as_mut().and_then(|fold| fold.incarnations.get_mut(run)) else {
            return;
        };
        found.set_has_row(channel, !row.is_zero());
        self.channels[channel].rows.set(run, row);
    }
}

impl Channel {
    /// Whether nodes have attachments to it, as far as the log tells.
    pub(super) fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }
}
