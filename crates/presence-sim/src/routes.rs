//! Which node the transports of a client lead to.

use crate::network::{End, Packet};
use crate::world::World;
use presence_proto::wire::Params;

/// The way from clients to nodes.
impl World {
    /// Lets the next transports of a client lead to a node. Open transports stay where they are, see
    /// [`cut`](Self::cut).
    ///
    /// By default clients are spread over the nodes: client `n` starts at node `n % node_count`. A
    /// client goes on to the next node that is up and not stopping if its node refuses a transport
    /// because it is down or stopping, does not answer until the client gives up, or sends
    /// DISCONNECTED. A refused attempt goes on at once, as with fallback hosts, after one more round
    /// trip.
    pub fn set_node(&mut self, client: usize, node: usize) {
        if node < self.nodes.len()
            && let Some(host) = self.clients.get_mut(client)
        {
            host.node = Some(node);
        }
    }

    /// The node that the next transport of a client leads to.
    #[must_use]
    pub fn client_node(&self, client: usize) -> usize {
        let chosen = self.clients.get(client).and_then(|host| host.node);
        chosen.unwrap_or(client % self.nodes.len())
    }

    /// A client has found out that a node does not serve it: its next transport leads to the next
    /// node, unless the client has chosen another meanwhile.
    pub(crate) fn leave_node(&mut self, client: usize, node: usize) {
        if self.client_node(client) == node
            && let Some(next) = self.node_after(node)
        {
            self.set_node(client, next);
        }
    }

    /// The next node that takes new transports.
    pub(crate) fn node_after(&self, node: usize) -> Option<usize> {
        let count = self.nodes.len();
        (1..count).map(|step| (node + step) % count).find(|next| self.accepts(*next))
    }

    /// A node refuses a transport: the attempt goes on to the next node, if there is one.
    pub(crate) fn send_elsewhere(&mut self, number: u64, params: Params) {
        let Some(link) = self.links.get(&number) else { return };
        let (client, node) = (link.client, link.node);
        let next = self.node_after(node);
        self.leave_node(client, node);
        let names = (self.client_name(client), self.node_name(node));
        let next_name = next.map(|next| self.node_name(next));
        let Some(host) = self.clients.get(client) else { return };
        let latency = host.latency;
        let Some(link) = self.links.get_mut(&number) else { return };
        match (next, next_name) {
            (Some(next), Some(next_name)) if link.client_end == End::Opening => {
                let (name, refusing) = names;
                let what = format_args!("{name} cannot reach {refusing} and tries {next_name}");
                self.trace.line(self.now, what);
                link.node = next;
                link.up.send(self.now + latency.down + latency.up, Packet::Open(params));
            }
            _ => {
                link.server_end = End::Closed;
                link.down.send(self.now + latency.down, Packet::Refuse);
            }
        }
    }
}
