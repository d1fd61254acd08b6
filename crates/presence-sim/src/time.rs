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
    /// The oldest packet from a client to the server, on the transport with this number.
    PacketUp(u64),
    /// The oldest packet from the server to a client, on the transport with this number.
    PacketDown(u64),
    /// The next deadline of the server.
    ServerDeadline,
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

    /// The packets that could arrive next if latencies were unknown: the oldest of each transport
    /// and direction. For exhaustive searches.
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
        let server = self.server.wake.at().map(|at| (at.as_millis(), Pending::ServerDeadline));
        clients.chain(server).min().map(|(at, deadline)| (at.max(self.now), deadline))
    }

    /// Delivers a packet, or calls a half for its deadline, at the current virtual time, even if
    /// that is early. Does nothing if there is no such packet.
    pub fn perform(&mut self, pending: Pending) {
        match pending {
            Pending::ServerDeadline => {
                if self.server.ticks.count(self.now) {
                    self.fail(format!("the server loops on its deadlines at t={}", self.now));
                }
                self.server_input(server::Input::Tick);
            }
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
        }
        self.links.retain(|_, link| !link.is_over());
    }

    fn next_pending(&self) -> Option<(u64, Pending)> {
        let all = self.packets().chain(self.next_deadline());
        all.min().map(|(at, pending)| (at.max(self.now), pending))
    }

    /// The oldest packet of each lane, and when it arrives.
    fn packets(&self) -> impl Iterator<Item = (u64, Pending)> {
        self.links.iter().flat_map(|(&number, link)| {
            let up = link.up.due().map(|at| (at, Pending::PacketUp(number)));
            let down = link.down.due().map(|at| (at, Pending::PacketDown(number)));
            [up, down].into_iter().flatten()
        })
    }
}
