//! Faults of the log, and of the ways to it.

use crate::log::Fate;
use crate::network::Latency;
use crate::world::World;
use presence_proto::server::Input;

/// Faults of the log.
///
/// They have no effect on nodes without a log ([`ServerOptions::log`]).
///
/// [`ServerOptions::log`]: presence_proto::server::ServerOptions::log
impl World {
    /// Sets the latency between a node and the log, for packets that are sent from now on. Packets
    /// never overtake each other. Default: 1 ms in each direction.
    pub fn set_log_latency(&mut self, node: usize, latency: Latency) {
        self.log.set_latency(node, latency);
    }

    /// Holds up what is under way between a node and the log, or is sent meanwhile, for `millis`
    /// milliseconds, in both directions. Nothing is lost.
    pub fn delay_log(&mut self, node: usize, millis: u64) {
        self.log_node(node, format_args!("and the log are {millis} ms apart for once"));
        self.log.hold(node, self.now.saturating_add(millis));
    }

    /// Cuts a node off from the log. The appends under way are lost, and the entries that it has not
    /// heard do not arrive until [`heal_log`](Self::heal_log). The host notices at once and passes
    /// in `LogUnavailable`.
    pub fn cut_log(&mut self, node: usize) {
        self.log_node(node, format_args!("is cut off from the log"));
        self.log.lose_appends(node);
        self.log.set_cut(node, true);
        self.update_log(node);
    }

    /// Like [`cut_log`](Self::cut_log), but the appends under way still arrive at the log. The node
    /// cannot tell the difference.
    pub fn cut_log_after_appends(&mut self, node: usize) {
        self.log_node(node, format_args!("is cut off from the log after its appends"));
        self.log.set_cut(node, true);
        self.update_log(node);
    }

    /// Ends [`cut_log`](Self::cut_log). The host reads the entries that the node has not heard, and
    /// then passes in `LogAvailable`.
    pub fn heal_log(&mut self, node: usize) {
        self.log_node(node, format_args!("can reach the log"));
        self.log.set_cut(node, false);
        self.update_log(node);
    }

    /// Takes the log away from all nodes. It keeps its entries; the appends under way are lost. The
    /// hosts notice at once and pass in `LogUnavailable`.
    pub fn log_down(&mut self) {
        self.trace.line(self.now, format_args!("-- the log is down"));
        self.log.set_down(true);
        self.update_all_logs();
    }

    /// Ends [`log_down`](Self::log_down), except for nodes that are cut off.
    pub fn log_up(&mut self) {
        self.trace.line(self.now, format_args!("-- the log is up"));
        self.log.set_down(false);
        self.update_all_logs();
    }

    /// Lets the log lose its last entries, as a failover to a replica that lags. Nodes that have
    /// heard them start over from what is left; all connect again.
    pub fn lose_log_end(&mut self, entries: usize) {
        self.trace.line(self.now, format_args!("-- the log loses {entries} entries"));
        if self.log.lose_end(entries) {
            self.log_resets += 1;
            for node in 0..self.nodes.len() {
                if self.is_node_up(node) {
                    self.server_input(node, Input::LogUnavailable);
                }
            }
            self.update_all_logs();
        }
    }

    fn update_all_logs(&mut self) {
        for node in 0..self.nodes.len() {
            self.update_log(node);
        }
    }

    /// Lets the next append of a node get lost. The host passes in `AppendFailed`, not definite.
    ///
    /// This method and the next three may be called several times: each applies to one append, in
    /// the order of the calls.
    pub fn lose_append(&mut self, node: usize) {
        self.next_append(node, Fate::Lost, "will be lost");
    }

    /// Lets the next append of a node succeed, although the host passes in `AppendFailed`, not
    /// definite. It does so before the entry comes back.
    pub fn lose_answer(&mut self, node: usize) {
        self.next_append(node, Fate::AnswerLost, "will succeed without an answer");
    }

    /// Lets the next append of a node be appended twice.
    pub fn duplicate_append(&mut self, node: usize) {
        self.next_append(node, Fate::Twice, "will be appended twice");
    }

    /// Lets the log refuse the next append of a node. The host passes in `AppendFailed`, definite.
    pub fn refuse_append(&mut self, node: usize) {
        self.next_append(node, Fate::Refused, "will be refused");
    }

    fn next_append(&mut self, node: usize, fate: Fate, what: &str) {
        self.log_node(node, format_args!("makes an append that {what}"));
        self.log.add_fate(node, fate);
    }
}
