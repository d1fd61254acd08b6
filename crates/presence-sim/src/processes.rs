//! How the processes of nodes start and end, and what becomes of their transports.

use crate::network::End;
use crate::record::Call;
use crate::world::World;
use presence_proto::server::Halt;

impl World {
    /// Starts a process with a new server, which reads the log from the beginning.
    pub(crate) fn start_process(&mut self, node: usize) {
        let seed = self.seed;
        if let Some(host) = self.nodes.get_mut(node) {
            host.start(seed, node);
        }
        if let Some(calls) = &mut self.calls {
            calls.push(Call::server_restarted(self.now, node));
        }
        self.log.rewind(node);
        self.update_log(node);
    }

    /// Ends the process of a node. What it has sent to the log arrives.
    pub(crate) fn end_process(&mut self, node: usize) {
        if let Some(host) = self.nodes.get_mut(node) {
            host.end();
        }
        self.update_log(node);
    }

    /// The server of a node has stopped taking part.
    pub(crate) fn halted(&mut self, node: usize, reason: Halt) {
        self.log_node(node, format_args!("stops taking part: {reason}"));
        if let Some(host) = self.nodes.get_mut(node) {
            host.halted = Some(reason);
        }
    }

    /// Ends the process of a node that has halted, or that is stopping and has no transports.
    pub(crate) fn end_if_done(&mut self, node: usize) {
        let Some(host) = self.nodes.get(node).filter(|host| host.is_running()) else { return };
        let has_transports =
            || self.links.values().any(|link| link.node == node && link.server_end == End::Open);
        if host.halted.is_some() || (host.ends_at().is_some() && !has_transports()) {
            self.end_node(node);
        }
    }

    /// The time that a node has to stop is over.
    pub(crate) fn end_if_stopping(&mut self, node: usize) {
        if self.nodes.get(node).is_some_and(|host| host.ends_at().is_some()) {
            self.end_node(node);
        }
    }

    /// Ends the process of a node in an orderly way: what it has sent arrives.
    fn end_node(&mut self, node: usize) {
        self.log_node(node, format_args!("ends"));
        self.end_process(node);
        let is_open = |number: &u64| {
            self.links.get(number).is_some_and(|link| link.server_end != End::Closed)
        };
        let open = self.links_of_node(node).into_iter().filter(is_open);
        for number in open.collect::<Vec<_>>() {
            self.lose_node(number, true);
        }
    }

    pub(crate) fn break_links_of_node(&mut self, node: usize, notify_clients: bool) {
        for number in self.links_of_node(node) {
            self.lose_node(number, notify_clients);
        }
    }

    fn links_of_node(&self, node: usize) -> Vec<u64> {
        let links = self.links.iter().filter(|(_, link)| link.node == node);
        links.map(|(&number, _)| number).collect()
    }

    /// The node of a link has ended. A link that has not arrived there goes on to the next node, if
    /// there is one.
    fn lose_node(&mut self, number: u64, notify_client: bool) {
        let Some(link) = self.links.get(&number) else { return };
        if link.server_end == End::Opening && self.node_after(link.node).is_some() {
            return;
        }
        if let Some(link) = self.links.get_mut(&number)
            && link.server_end == End::Open
        {
            link.server_end = End::Closed;
        }
        self.break_link(number, notify_client, false);
    }
}
