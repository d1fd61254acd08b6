//! A node: a server and the process that hosts it.

use crate::clocks::{Clocks, Ticks};
use crate::seeds::server_seed;
use presence_proto::Wake;
use presence_proto::server::{Halt, Input, Outbox, Server, ServerOptions};
use std::collections::VecDeque;

/// A server and its host.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) options: ServerOptions,
    pub(crate) core: Server,
    pub(crate) wake: Wake,
    pub(crate) out: Outbox,
    pub(crate) ticks: Ticks,
    pub(crate) clocks: Clocks,
    pub(crate) restarts: u64,
    pub(crate) process: Process,
    /// The process is suspended: it handles nothing.
    pub(crate) is_paused: bool,
    /// The reason of the server's latest run to stop taking part.
    pub(crate) halted: Option<Halt>,
    /// Inputs that are passed in when the running call has returned and the process is not paused.
    pub(crate) follow_ups: VecDeque<Input>,
}

/// The process of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    Running,
    /// It ends when its transports are closed, or at this virtual time.
    Stopping(u64),
    Ended,
}

impl Node {
    pub(crate) fn new(options: ServerOptions, world_seed: u64, number: usize) -> Self {
        let core = Server::new(options.clone(), server_seed(world_seed, number, 0));
        Self {
            options,
            wake: core.next_wake(),
            core,
            out: Outbox::new(),
            ticks: Ticks::default(),
            clocks: Clocks::new(),
            restarts: 0,
            process: Process::Running,
            is_paused: false,
            halted: None,
            follow_ups: VecDeque::new(),
        }
    }

    /// Starts a process with a new server.
    pub(crate) fn start(&mut self, world_seed: u64, number: usize) {
        self.restarts += 1;
        let seed = server_seed(world_seed, number, self.restarts);
        self.core = Server::new(self.options.clone(), seed);
        self.wake = self.core.next_wake();
        self.process = Process::Running;
        self.halted = None;
    }

    /// Ends the process. Its server remains as it was, for queries.
    pub(crate) fn end(&mut self) {
        self.process = Process::Ended;
        self.is_paused = false;
        self.follow_ups.clear();
    }

    /// Whether there is a process.
    pub(crate) fn is_up(&self) -> bool {
        self.process != Process::Ended
    }

    /// Whether the process takes new transports.
    pub(crate) fn accepts(&self) -> bool {
        self.process == Process::Running
    }

    /// Whether the process handles what arrives.
    pub(crate) fn is_running(&self) -> bool {
        self.is_up() && !self.is_paused
    }

    /// The virtual time of the server's next deadline.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.wake.at().filter(|_| self.is_up()).map(|at| self.clocks.virtual_time(at))
    }

    /// The virtual time at which the process ends even if it has transports.
    pub(crate) const fn ends_at(&self) -> Option<u64> {
        match self.process {
            Process::Stopping(at) => Some(at),
            _ => None,
        }
    }
}
