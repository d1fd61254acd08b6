//! The log that the nodes share: one order of all entries, and the ways between it and each node.

use crate::network::{Lane, Latency};
use core::ops::Range;
use presence_proto::server::LogPosition;
use std::collections::VecDeque;

/// The latency between a node and the log unless another is set.
const LATENCY: Latency = Latency { up: 1, down: 1 };

/// An ordered log of entries, and a port of it for each node.
#[derive(Clone, Debug)]
pub(crate) struct SimLog<E, P> {
    entries: Vec<(LogPosition, E)>,
    /// The newest complete snapshot, and the number of entries that it has.
    snapshot: Option<(usize, Vec<P>)>,
    /// The number of entries at the beginning that cannot be read any more.
    trimmed: usize,
    /// The last position that was given out.
    last: u64,
    ports: Vec<Port<E, P>>,
    is_down: bool,
}

/// The way between a node and the log. Both directions keep their order.
#[derive(Clone, Debug)]
struct Port<E, P> {
    to_log: Lane<Append<E>>,
    from_log: Lane<Heard<E, P>>,
    /// The pages of the snapshot that the node is writing.
    pages: Vec<P>,
    /// The process of the node has heard entries that the log has lost.
    is_stale: bool,
    latency: Latency,
    /// Nothing arrives before this virtual time, in either direction.
    held_until: u64,
    is_cut: bool,
    is_connected: bool,
    /// Counts the connections: an append that failed is answered on its own connection only.
    session: u64,
    /// The number of entries that the process of the node has heard.
    heard: usize,
    /// What happens to the next appends of the node.
    fates: VecDeque<Fate>,
}

/// An entry on its way to the log.
#[derive(Clone, Debug)]
struct Append<E> {
    entry: E,
    session: u64,
    fate: Option<Fate>,
}

/// What happens to an append instead of the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is not appended, and the node does not know.
    Lost,
    /// It is appended, and the node does not know.
    AnswerLost,
    /// It is appended twice.
    Twice,
    /// It is not appended, and the node knows.
    Refused,
}

/// A packet from the log to a node.
#[derive(Clone, Debug)]
enum Heard<E, P> {
    /// What the node has heard is of no use any more.
    Reset,
    /// A page of a snapshot, and with the last one the number of entries that the snapshot has.
    Page(P, Option<usize>),
    /// The entry with this index.
    Entry(usize),
    Failed {
        entry: E,
        definite: bool,
    },
    CaughtUp,
}

/// What a node hears of the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum News<E, P> {
    /// What the node has heard is of no use any more.
    Reset,
    /// The next page of a snapshot.
    Page(P),
    /// The next entry.
    Entry(LogPosition, E),
    /// An append has failed for good, or with an unknown outcome.
    Failed { entry: E, definite: bool },
    /// All entries have been heard that were in the log when it was reached.
    CaughtUp,
}

impl<E, P> Port<E, P> {
    fn new() -> Self {
        Self {
            to_log: Lane::default(),
            from_log: Lane::default(),
            pages: Vec::new(),
            is_stale: false,
            latency: LATENCY,
            held_until: 0,
            is_cut: false,
            is_connected: false,
            session: 0,
            heard: 0,
            fates: VecDeque::new(),
        }
    }
}

impl<E: Clone, P: Clone> SimLog<E, P> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            snapshot: None,
            trimmed: 0,
            last: 0,
            ports: Vec::new(),
            is_down: false,
        }
    }

    /// Adds a port. Ports have the numbers of their nodes.
    pub(crate) fn add_port(&mut self) {
        self.ports.push(Port::new());
    }

    /// The entries, in order.
    pub(crate) fn entries(&self) -> &[(LogPosition, E)] {
        &self.entries
    }

    pub(crate) const fn is_down(&self) -> bool {
        self.is_down
    }

    pub(crate) fn is_cut(&self, node: usize) -> bool {
        self.ports.get(node).is_some_and(|port| port.is_cut)
    }

    pub(crate) fn is_connected(&self, node: usize) -> bool {
        self.ports.get(node).is_some_and(|port| port.is_connected)
    }

    /// Sets whether there is no log. Appends that are under way to it are lost.
    pub(crate) fn set_down(&mut self, is_down: bool) {
        self.is_down = is_down;
        if is_down {
            self.ports.iter_mut().for_each(|port| port.to_log = Lane::default());
        }
    }

    pub(crate) fn set_cut(&mut self, node: usize, is_cut: bool) {
        if let Some(port) = self.ports.get_mut(node) {
            port.is_cut = is_cut;
        }
    }

    pub(crate) fn set_latency(&mut self, node: usize, latency: Latency) {
        if let Some(port) = self.ports.get_mut(node) {
            port.latency = latency;
        }
    }

    /// Nothing arrives before the virtual time `until`, in either direction.
    pub(crate) fn hold(&mut self, node: usize, until: u64) {
        if let Some(port) = self.ports.get_mut(node) {
            port.held_until = port.held_until.max(until);
        }
    }

    /// Sets what happens to the next append of a node that has no fate yet.
    pub(crate) fn add_fate(&mut self, node: usize, fate: Fate) {
        if let Some(port) = self.ports.get_mut(node) {
            port.fates.push_back(fate);
        }
    }

    /// A new process of a node has heard nothing.
    pub(crate) fn rewind(&mut self, node: usize) {
        if let Some(port) = self.ports.get_mut(node) {
            (port.heard, port.is_stale) = (0, false);
        }
    }

    /// A node reads what it has not heard, and then the entries as they are appended.
    pub(crate) fn connect(&mut self, now: u64, node: usize) {
        let end = self.entries.len();
        let Some(port) = self.ports.get_mut(node) else { return };
        port.is_connected = true;
        port.session += 1;
        let arrival = now + port.latency.up + port.latency.down;
        let is_reset = port.is_stale || (port.heard > 0 && port.heard < self.trimmed);
        let heard = if is_reset { 0 } else { port.heard };
        if is_reset {
            port.from_log.send(arrival, Heard::Reset);
        }
        // A new process may also read everything, if everything is there.
        let reads_all = self.trimmed == 0 && port.session.is_multiple_of(3);
        let mut first = heard;
        if let (0, false, Some((entries, pages))) = (heard, reads_all, &self.snapshot) {
            first = *entries;
            for (number, page) in pages.iter().enumerate() {
                let entries = (number + 1 == pages.len()).then_some(first);
                port.from_log.send(arrival, Heard::Page(page.clone(), entries));
            }
        }
        for index in first..end {
            port.from_log.send(arrival, Heard::Entry(index));
        }
        port.from_log.send(arrival, Heard::CaughtUp);
    }

    /// A node writes a page of a snapshot, the first with number 0. With the last one the snapshot
    /// is complete; it has the entries up to `position`.
    pub(crate) fn write_page(
        &mut self,
        node: usize,
        page: P,
        number: u32,
        last: Option<LogPosition>,
    ) {
        let Some(port) = self.ports.get_mut(node) else { return };
        if number == 0 {
            port.pages.clear();
        }
        port.pages.push(page);
        if let Some(position) = last {
            let pages = core::mem::take(&mut port.pages);
            let entries = self.entries.partition_point(|(at, _)| *at <= position);
            if self.snapshot.as_ref().is_none_or(|(before, _)| *before < entries) {
                self.snapshot = Some((entries, pages));
            }
        }
    }

    /// The entries before a position are not needed any more.
    pub(crate) fn trim(&mut self, before: LogPosition) {
        let needed = self.snapshot.as_ref().map_or(0, |(entries, _)| *entries);
        let trimmed = self.entries.partition_point(|(at, _)| *at < before).min(needed);
        self.trimmed = self.trimmed.max(trimmed);
    }

    /// The log loses its last entries. Returns whether it did: not those before its snapshot, if it
    /// cannot be read from the beginning.
    pub(crate) fn lose_end(&mut self, count: usize) -> bool {
        let left = self.entries.len().saturating_sub(count);
        if left == self.entries.len() || left < self.trimmed {
            return false;
        }
        self.entries.truncate(left);
        if self.snapshot.as_ref().is_some_and(|(entries, _)| *entries > left) {
            if self.trimmed > 0 {
                self.entries.clear();
                self.trimmed = 0;
            }
            self.snapshot = None;
        }
        let left = self.entries.len();
        for port in &mut self.ports {
            port.is_stale |= port.heard > left;
            port.to_log = Lane::default();
            port.from_log = Lane::default();
            port.pages.clear();
            port.is_connected = false;
        }
        true
    }

    /// A node loses the log: what is under way to the node is lost. Its appends still arrive.
    pub(crate) fn disconnect(&mut self, node: usize) {
        if let Some(port) = self.ports.get_mut(node) {
            port.is_connected = false;
            port.from_log = Lane::default();
        }
    }

    /// The appends of a node that are under way are lost.
    pub(crate) fn lose_appends(&mut self, node: usize) {
        if let Some(port) = self.ports.get_mut(node) {
            port.to_log = Lane::default();
        }
    }

    /// A node sends an entry to the log. Without a connection it is lost.
    pub(crate) fn send(&mut self, now: u64, node: usize, entry: E) {
        let Some(port) = self.ports.get_mut(node).filter(|port| port.is_connected) else { return };
        let (session, fate) = (port.session, port.fates.pop_front());
        port.to_log.send(now + port.latency.up, Append { entry, session, fate });
    }

    /// The arrival time of the oldest append of a node.
    pub(crate) fn append_due(&self, node: usize) -> Option<u64> {
        let port = self.ports.get(node)?;
        port.to_log.due().map(|due| due.max(port.held_until))
    }

    /// The arrival time of the oldest news for a node.
    pub(crate) fn news_due(&self, node: usize) -> Option<u64> {
        let port = self.ports.get(node)?;
        port.from_log.due().map(|due| due.max(port.held_until))
    }

    /// The oldest append of a node arrives at the log. Returns the indexes of the new entries.
    ///
    /// An append that is refused uses up a position, as in a database with a sequence.
    pub(crate) fn take_append(&mut self, now: u64, node: usize) -> Range<usize> {
        let start = self.entries.len();
        let append = self.ports.get_mut(node).and_then(|port| port.to_log.take());
        let Some(Append { entry, session, fate }) = append else { return start..start };
        let (copies, failure) = match fate {
            None => (1, None),
            Some(Fate::Lost) => (0, Some(false)),
            Some(Fate::AnswerLost) => (1, Some(false)),
            Some(Fate::Twice) => (2, None),
            Some(Fate::Refused) => {
                self.last += 1;
                (0, Some(true))
            }
        };
        // Before the entry itself: the node has to cope with the doubt.
        if let Some(definite) = failure
            && let Some(port) = self.ports.get_mut(node)
            && port.is_connected
            && port.session == session
        {
            let failed = Heard::Failed { entry: entry.clone(), definite };
            port.from_log.send(now + port.latency.down, failed);
        }
        for _ in 0..copies {
            let index = self.entries.len();
            self.last += 1;
            self.entries.push((LogPosition(self.last), entry.clone()));
            for port in self.ports.iter_mut().filter(|port| port.is_connected) {
                port.from_log.send(now + port.latency.down, Heard::Entry(index));
            }
        }
        start..self.entries.len()
    }

    /// The oldest news arrives at a node.
    pub(crate) fn take_news(&mut self, node: usize) -> Option<News<E, P>> {
        let port = self.ports.get_mut(node)?;
        Some(match port.from_log.take()? {
            Heard::Entry(index) => {
                let (position, entry) = self.entries.get(index)?.clone();
                port.heard = index + 1;
                News::Entry(position, entry)
            }
            Heard::Reset => {
                (port.heard, port.is_stale) = (0, false);
                News::Reset
            }
            Heard::Page(page, entries) => {
                // Without its last page a snapshot is of no use.
                port.is_stale = entries.is_none();
                port.heard = entries.unwrap_or(0);
                News::Page(page)
            }
            Heard::Failed { entry, definite } => News::Failed { entry, definite },
            Heard::CaughtUp => News::CaughtUp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(nodes: usize) -> SimLog<u32, char> {
        let mut log = SimLog::new();
        for node in 0..nodes {
            log.add_port();
            log.connect(0, node);
            assert_eq!(log.news_due(node), Some(2), "there and back");
            assert_eq!(log.take_news(node), Some(News::CaughtUp));
        }
        log
    }

    fn append(log: &mut SimLog<u32, char>, node: usize, entry: u32) {
        log.send(10, node, entry);
        log.take_append(11, node);
    }

    fn heard(log: &mut SimLog<u32, char>, node: usize) -> Vec<News<u32, char>> {
        core::iter::from_fn(|| log.take_news(node)).collect()
    }

    fn entries(log: &SimLog<u32, char>) -> Vec<(u64, u32)> {
        log.entries().iter().map(|(position, entry)| (position.0, *entry)).collect()
    }

    const fn entry(position: u64, entry: u32) -> News<u32, char> {
        News::Entry(LogPosition(position), entry)
    }

    #[test]
    fn all_nodes_hear_all_entries_in_the_order_of_arrival() {
        let mut log = log(2);
        log.send(10, 0, 7);
        log.send(10, 1, 8);
        assert_eq!((log.append_due(0), log.append_due(1)), (Some(11), Some(11)));
        log.take_append(11, 1);
        log.take_append(11, 0);
        assert_eq!(entries(&log), [(1, 8), (2, 7)]);
        for node in 0..2 {
            assert_eq!(log.news_due(node), Some(12));
            assert_eq!(heard(&mut log, node), [entry(1, 8), entry(2, 7)]);
        }
    }

    #[test]
    fn each_node_has_its_own_latency() {
        let mut log = log(2);
        log.set_latency(1, Latency { up: 5, down: 300 });
        log.send(10, 1, 7);
        assert_eq!(log.append_due(1), Some(15));
        log.take_append(15, 1);
        assert_eq!((log.news_due(0), log.news_due(1)), (Some(16), Some(315)));
    }

    #[test]
    fn a_way_that_is_held_delivers_later_and_loses_nothing() {
        let mut log = log(1);
        append(&mut log, 0, 7);
        log.hold(0, 500);
        log.send(20, 0, 8);
        assert_eq!((log.append_due(0), log.news_due(0)), (Some(500), Some(500)));
        log.take_append(500, 0);
        assert_eq!(heard(&mut log, 0), [entry(1, 7), entry(2, 8)]);
    }

    #[test]
    fn an_append_may_fail_with_an_unknown_outcome_or_for_good() {
        let mut log = log(1);
        for fate in [Fate::Lost, Fate::AnswerLost, Fate::Refused, Fate::Twice] {
            log.add_fate(0, fate);
        }
        for entry in 1..=5 {
            append(&mut log, 0, entry);
        }
        // The refused one has used up a position.
        assert_eq!(entries(&log), [(1, 2), (3, 4), (4, 4), (5, 5)]);
        assert_eq!(
            heard(&mut log, 0),
            [
                News::Failed { entry: 1, definite: false },
                News::Failed { entry: 2, definite: false },
                entry(1, 2),
                News::Failed { entry: 3, definite: true },
                entry(3, 4),
                entry(4, 4),
                entry(5, 5),
            ]
        );
    }

    #[test]
    fn a_node_that_comes_back_hears_what_it_missed_and_then_that_it_has_caught_up() {
        let mut log = log(2);
        append(&mut log, 0, 1);
        append(&mut log, 0, 2);
        assert_eq!(log.take_news(1), Some(entry(1, 1)));
        // Entry 2 is on its way.
        log.disconnect(1);
        append(&mut log, 0, 3);
        assert_eq!(log.take_news(1), None);
        log.connect(50, 1);
        append(&mut log, 0, 4);
        assert_eq!(log.news_due(1), Some(52));
        assert_eq!(heard(&mut log, 1), [entry(2, 2), entry(3, 3), News::CaughtUp, entry(4, 4)]);
        log.disconnect(1);
        log.rewind(1);
        log.connect(60, 1);
        assert_eq!(heard(&mut log, 1).len(), 5, "a new process hears everything");
    }

    #[test]
    fn a_new_process_and_one_that_lags_behind_the_beginning_start_from_the_snapshot() {
        let mut log = log(2);
        (1..=3).for_each(|number| append(&mut log, 0, number));
        assert_eq!(log.take_news(1), Some(entry(1, 1)));
        log.disconnect(1);
        log.write_page(0, 'a', 0, None);
        log.write_page(0, 'b', 1, Some(LogPosition(2)));
        log.trim(LogPosition(3));
        log.connect(50, 1);
        let pages = [News::Page('a'), News::Page('b')];
        let from_snapshot = [&pages[..], &[entry(3, 3), News::CaughtUp]].concat();
        assert_eq!(heard(&mut log, 1), [&[News::Reset], &from_snapshot[..]].concat());
        log.disconnect(1);
        log.rewind(1);
        log.connect(60, 1);
        assert_eq!(heard(&mut log, 1), from_snapshot);
    }

    #[test]
    fn a_log_that_loses_its_end_resets_those_who_heard_it() {
        let mut log = log(2);
        (1..=3).for_each(|number| append(&mut log, 0, number));
        assert_eq!(log.take_news(1), Some(entry(1, 1)));
        assert_eq!(heard(&mut log, 0).len(), 3);
        assert!(log.lose_end(2));
        log.connect(50, 0);
        log.connect(50, 1);
        append(&mut log, 0, 4);
        assert_eq!(heard(&mut log, 0), [News::Reset, entry(1, 1), News::CaughtUp, entry(4, 4)]);
        assert_eq!(heard(&mut log, 1), [News::CaughtUp, entry(4, 4)]);
    }

    #[test]
    fn appends_under_way_are_lost_with_the_connection_or_arrive() {
        let mut log = log(1);
        log.send(10, 0, 1);
        log.disconnect(0);
        log.lose_appends(0);
        assert_eq!(log.append_due(0), None);
        log.connect(20, 0);
        log.add_fate(0, Fate::AnswerLost);
        log.send(20, 0, 2);
        log.disconnect(0);
        log.send(20, 0, 3);
        log.connect(20, 0);
        log.take_append(21, 0);
        assert_eq!(entries(&log), [(1, 2)]);
        // The answer of the old connection is not given on the new one.
        assert_eq!(heard(&mut log, 0), [News::CaughtUp, entry(1, 2)]);
    }
}
