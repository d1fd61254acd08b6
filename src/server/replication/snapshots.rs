//! When to write snapshots, and which there are.

use crate::server::{LogOptions, LogPosition, SnapshotPage};

/// When to write snapshots, and which there are.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Snapshots {
    /// Entries and estimated bytes since the last one.
    entries: u64,
    bytes: u64,
    /// The last two that were written.
    last: LogPosition,
    before: LogPosition,
    /// The next page of a restore, and the position of the snapshot.
    next: Option<(u32, LogPosition)>,
}

impl Snapshots {
    /// An entry was applied.
    pub(in crate::server) const fn count(&mut self, bytes: usize) {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    pub(in crate::server) fn is_due(&self, options: &LogOptions) -> bool {
        self.entries >= options.snapshot_entries || self.bytes >= options.snapshot_bytes
    }

    pub(in crate::server) const fn begin(&mut self) {
        (self.entries, self.bytes) = (0, 0);
    }

    /// A snapshot is complete. Returns up to which position the log is not needed: a node that lags
    /// may still read on from the snapshot before.
    pub(in crate::server) fn written(&mut self, position: LogPosition) -> Option<LogPosition> {
        (self.before, self.last) = (self.last, position);
        (self.before.0 > 0).then_some(LogPosition(self.before.0 + 1))
    }

    /// Whether a page is the next one.
    pub(in crate::server) fn takes(&mut self, page: &SnapshotPage) -> bool {
        let expected = self.next.unwrap_or((0, page.position()));
        let fits = expected == (page.number(), page.position());
        if fits {
            self.next = Some((expected.0 + 1, expected.1));
        }
        fits
    }

    pub(in crate::server) fn restored(&mut self, position: LogPosition) {
        *self = Self { last: position, ..Self::default() };
    }
}
