//! Faults of nodes: of their processes and of their clocks.

use crate::node::Process;
use crate::world::World;
use core::time::Duration;
use presence_proto::server::Input;

/// Faults of nodes.
impl World {
    /// Suspends the process of a node, as SIGSTOP does: it handles nothing, and its deadlines do not
    /// fire. Packets for it are queued. Its clocks go on. Its transports stay open, and new ones are
    /// not answered.
    pub fn pause_node(&mut self, node: usize) {
        if let Some(host) = self.nodes.get_mut(node).filter(|host| host.is_running()) {
            host.is_paused = true;
            self.log_node(node, format_args!("is paused"));
        }
    }

    /// Ends [`pause_node`](Self::pause_node). What was queued is handled at once, except that
    /// packets keep their latency.
    pub fn resume_node(&mut self, node: usize) {
        if let Some(host) = self.nodes.get_mut(node).filter(|host| host.is_paused) {
            host.is_paused = false;
            self.log_node(node, format_args!("goes on"));
            self.flush_follow_ups(node);
        }
    }

    /// Kills the process of a node. Its state is lost and its transports break; the clients detect
    /// it at once. Appends that it has sent still arrive at the log.
    pub fn kill_node(&mut self, node: usize) {
        if self.is_node_up(node) {
            self.log_node(node, format_args!("is killed"));
            self.end_process(node);
            self.break_links_of_node(node, true);
        }
    }

    /// Kills the process of a node. Unlike [`kill_node`](Self::kill_node), the clients have half-open
    /// transports until they detect the silence.
    pub fn kill_node_unseen(&mut self, node: usize) {
        if self.is_node_up(node) {
            self.log_node(node, format_args!("is killed, unseen by the clients"));
            self.end_process(node);
            self.break_links_of_node(node, false);
        }
    }

    /// Starts the process of a node that is down, with a new server with the same options. Its host
    /// reads the log from the beginning, and then passes in `LogAvailable`.
    pub fn start_node(&mut self, node: usize) {
        if node < self.nodes.len() && !self.is_node_up(node) {
            self.log_node(node, format_args!("starts"));
            self.start_process(node);
        }
    }

    /// Stops a node in an orderly way: its host passes in `Drain` with the duration `over` and
    /// refuses new transports. The process ends when all its transports are closed, or after `over`.
    pub fn stop_node(&mut self, node: usize, over: Duration) {
        let end = self.now.saturating_add(u64::try_from(over.as_millis()).unwrap_or(u64::MAX));
        if let Some(host) = self.nodes.get_mut(node).filter(|host| host.accepts()) {
            host.process = Process::Stopping(end);
            self.log_node(node, format_args!("is stopping"));
            self.server_input(node, Input::drain(over));
        }
    }

    /// Restarts node 0 at once. The new server has no connections, members or history, except what
    /// it reads from the log; all transports of the node break, and the clients detect it at once.
    pub fn restart_server(&mut self) {
        self.log_node(0, format_args!("restarts without its state"));
        self.end_process(0);
        self.break_links_of_node(0, true);
        self.start_process(0);
    }

    /// Steps the wall clock of node 0 by `millis` milliseconds, see
    /// [`step_node_clock`](Self::step_node_clock).
    pub fn step_server_clock(&mut self, millis: i64) {
        self.step_node_clock(0, millis);
    }

    /// Steps the wall clock of a node's host by `millis` milliseconds, forwards or backwards. The
    /// monotonic clock does not step.
    pub fn step_node_clock(&mut self, node: usize, millis: i64) {
        let title = self.node_title(node);
        let what = format_args!("-- {title}'s wall clock steps by {millis} ms");
        self.trace.line(self.now, what);
        if let Some(host) = self.nodes.get_mut(node) {
            host.clocks.wall_offset = host.clocks.wall_offset.saturating_add(millis);
        }
    }

    /// Lets the monotonic clock of a node's host advance by `per_mille` milliseconds, at least 1, in
    /// a second of virtual time, from now on. Its wall clock stays right. Default: 1,000.
    pub fn slow_node_clock(&mut self, node: usize, per_mille: u32) {
        self.log_node(node, format_args!("has a monotonic clock at {per_mille} ‰"));
        if let Some(host) = self.nodes.get_mut(node) {
            host.clocks.set_rate(self.now, per_mille);
        }
    }
}
