//! The virtual clock, and the order in which packets and deadlines fall due.

use crate::world::World;
use core::time::Duration;
use presence_proto::client;
use presence_proto::server;

/// A pending packet or deadline of a [`World`].
///
/// At the same virtual time, packets precede deadlines; the derived order settles the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Pending {
    /// The oldest packet from a client to its node, on the transport with this number.
    PacketUp(u64),
    /// The oldest packet from a node to a client, on the transport with this number.
    PacketDown(u64),
    /// The oldest packet from the node with this number to the log.
    PacketToLog(usize),
    /// The oldest packet from the log to the node with this number.
    PacketFromLog(usize),
    /// The next deadline of the server of the node with this number.
    NodeDeadline(usize),
    /// The end of the time that the node with this number has to stop.
    NodeEnd(usize),
    /// The next deadline of the client with this number.
    ClientDeadline(usize),
}

/// The virtual clock.
impl World {
    /// Advances the clock by `time`, at a resolution of 1 ms, and performs everything that falls
    /// due on the way. After a [`failure`](Self::failure) only the clock advances.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        while self.failure.is_none() && self.step_until(until) {}
        self.now = self.now.max(until);
    }

    /// Advances the clock to the next packet or deadline and performs it. Returns false if there is
    /// none, so that nothing happens without further input.
    pub fn step(&mut self) -> bool {
        self.step_until(u64::MAX)
    }

    /// Like [`step`](Self::step), if the next packet or deadline is due at or before the virtual
    /// time `until`, in milliseconds. Otherwise returns false and leaves the clock as it is.
    pub fn step_until(&mut self, until: u64) -> bool {
        match self.next_pending() {
            Some((at, pending)) if at <= until => {
                self.now = self.now.max(at);
                self.perform(pending);
                true
            }
            _ => false,
        }
    }

    /// The virtual time of the next packet or deadline, in milliseconds.
    #[must_use]
    pub fn next_pending_time(&self) -> Option<u64> {
        self.next_pending().map(|(at, _)| at)
    }

    /// Advances the clock to `at`, in milliseconds of virtual time, if nothing is due before.
    /// Otherwise does nothing.
    pub fn advance_to(&mut self, at: u64) {
        if self.next_pending_time().is_none_or(|due| due >= at) {
            self.now = self.now.max(at);
        }
    }

    /// Advances the clock to the next deadline and performs it, although earlier packets may still
    /// be in flight. For searches that treat latencies as unknown.
    pub fn advance_to_deadline(&mut self) {
        if let Some((at, deadline)) = self.next_deadline() {
            self.now = at;
            self.perform(deadline);
        }
    }

    /// The packets that could arrive next if latencies were unknown: the oldest of each direction
    /// of each transport, and of each way to and from the log. For exhaustive searches.
    #[must_use]
    pub fn pending_packets(&self) -> Vec<Pending> {
        self.packets().map(|(_, packet)| packet).collect()
    }

    /// The next deadline of any half, and its virtual time in milliseconds.
    #[must_use]
    pub fn next_deadline(&self) -> Option<(u64, Pending)> {
        let clients = self.clients.iter().enumerate().filter_map(|(number, host)| {
            host.wake.at().map(|at| (at.as_millis(), Pending::ClientDeadline(number)))
        });
        let running = self.nodes.iter().enumerate().filter(|(_, host)| host.is_running());
        let nodes = running.flat_map(|(node, host)| {
            let deadline = host.deadline().map(|at| (at, Pending::NodeDeadline(node)));
            let end = host.ends_at().map(|at| (at, Pending::NodeEnd(node)));
            [deadline, end].into_iter().flatten()
        });
        clients.chain(nodes).min().map(|(at, deadline)| (at.max(self.now), deadline))
    }

    /// Delivers a packet, or calls a half for its deadline, at the current virtual time, even if
    /// that is early. Does nothing if there is no such packet, or if the node is paused or down.
    pub fn perform(&mut self, pending: Pending) {
        match pending {
            Pending::PacketFromLog(node) | Pending::NodeDeadline(node) | Pending::NodeEnd(node)
                if !self.is_running(node) => {}
            Pending::NodeDeadline(node) => {
                let now = self.now;
                if let Some(host) = self.nodes.get_mut(node)
                    && host.ticks.count(now)
                {
                    let title = self.node_title(node);
                    self.fail(format!("{title} loops on its deadlines at t={now}"));
                }
                self.server_input(node, server::Input::Tick);
            }
            Pending::NodeEnd(node) => self.end_if_stopping(node),
            Pending::ClientDeadline(number) => {
                let now = self.now;
                if let Some(host) = self.clients.get_mut(number)
                    && host.ticks.count(now)
                {
                    self.fail(format!("client {number} loops on its deadlines at t={now}"));
                }
                self.client_input(number, client::Input::Tick);
            }
            Pending::PacketUp(link) => self.packet_up(link),
            Pending::PacketDown(link) => self.packet_down(link),
            Pending::PacketToLog(node) => self.packet_to_log(node),
            Pending::PacketFromLog(node) => self.packet_from_log(node),
        }
        self.links.retain(|_, link| !link.is_over());
    }

    fn next_pending(&self) -> Option<(u64, Pending)> {
        let all = self.packets().chain(self.next_deadline());
        all.min().map(|(at, pending)| (at.max(self.now), pending))
    }

    /// The oldest packet of each lane, and when it arrives. What is for a paused node waits.
    fn packets(&self) -> impl Iterator<Item = (u64, Pending)> {
        let links = self.links.iter().flat_map(|(&number, link)| {
            let up = link.up.due().filter(|_| !self.is_paused(link.node));
            let down = link.down.due().map(|at| (at, Pending::PacketDown(number)));
            [up.map(|at| (at, Pending::PacketUp(number))), down].into_iter().flatten()
        });
        let log = (0..self.nodes.len()).flat_map(|node| {
            let append = self.log.append_due(node).map(|at| (at, Pending::PacketToLog(node)));
            let news = self.log.news_due(node).filter(|_| !self.is_paused(node));
            [append, news.map(|at| (at, Pending::PacketFromLog(node)))].into_iter().flatten()
        });
        links.chain(log)
    }
}
