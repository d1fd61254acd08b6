//! The nodes of a world.

use crate::node::Node;
use crate::seeds::key_secret;
use crate::world::World;
use presence_proto::SmolStr;
use presence_proto::server::{Entry, Halt, LogOptions, LogPosition, Server, ServerOptions};

/// Nodes and their log.
impl World {
    /// Creates a world with several nodes that share a log, at least one. They are named `node1`,
    /// `node2`, …; otherwise all have these options, with [`LogOptions::default`] if they have no
    /// log, and with a [`key_secret`](ServerOptions::key_secret) derived from `seed` if they have
    /// none.
    ///
    /// The world has one log. A node reads it from its beginning when it starts, and then each entry
    /// as it is appended.
    #[must_use]
    pub fn cluster(seed: u64, mut options: ServerOptions, nodes: usize) -> Self {
        options.log.get_or_insert_with(LogOptions::default);
        options.key_secret.get_or_insert_with(|| key_secret(seed));
        let named = |number: usize| {
            let mut options = options.clone();
            options.node = format!("node{number}").into();
            options
        };
        let mut world = Self::new(seed, named(1));
        for number in 2..=nodes {
            world.add_node(named(number));
        }
        world
    }

    /// Adds a node and returns its number. It is up.
    ///
    /// Nodes that share the log ([`ServerOptions::log`]) need different names
    /// ([`ServerOptions::node`]) and one [`ServerOptions::key_secret`]. A node without the log is a
    /// server on its own.
    pub fn add_node(&mut self, options: ServerOptions) -> usize {
        let number = self.nodes.len();
        self.nodes.push(Node::new(options, self.seed, number));
        self.log.add_port();
        self.update_log(number);
        number
    }

    /// The number of nodes.
    #[must_use]
    pub const fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The server of node 0, see [`node`](Self::node).
    #[must_use]
    pub fn server(&self) -> &Server {
        self.node(0)
    }

    /// The server of a node; of a node that is down, as it was at the end. Its state can be queried
    /// between calls, for example [`Server::counters`] and [`Server::occupancy`].
    ///
    /// # Panics
    ///
    /// If there is no node with this number.
    #[must_use]
    pub fn node(&self, node: usize) -> &Server {
        &self.nodes[node].core
    }

    /// Whether a node has a process, paused or not.
    #[must_use]
    pub fn is_node_up(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(Node::is_up)
    }

    /// Why the server of a node stopped taking part, if it did since the node started. The process
    /// has ended then.
    #[must_use]
    pub fn node_halt(&self, node: usize) -> Option<Halt> {
        self.nodes.get(node).and_then(|host| host.halted)
    }

    /// The entries of the log, in order.
    #[must_use]
    pub fn log(&self) -> &[(LogPosition, Entry)] {
        self.log.entries()
    }

    /// How often the log has lost entries ([`lose_log_end`](Self::lose_log_end)).
    #[must_use]
    pub const fn log_resets(&self) -> u64 {
        self.log_resets
    }

    /// Whether a node's process exists and is suspended.
    pub(crate) fn is_paused(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|host| host.is_paused)
    }

    /// Whether a node handles what arrives.
    pub(crate) fn is_running(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(Node::is_running)
    }

    /// Whether a node takes new transports.
    pub(crate) fn accepts(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(Node::accepts)
    }

    /// The name of a node in the trace.
    pub(crate) fn node_name(&self, node: usize) -> SmolStr {
        match &*self.nodes {
            [_] => SmolStr::new_static("server"),
            nodes => nodes.get(node).map(|host| host.options.node.clone()).unwrap_or_default(),
        }
    }

    /// The name of a node in a sentence.
    pub(crate) fn node_title(&self, node: usize) -> SmolStr {
        match &*self.nodes {
            [_] => SmolStr::new_static("the server"),
            _ => self.node_name(node),
        }
    }

    /// Adds a line about a node to the trace.
    pub(crate) fn log_node(&mut self, node: usize, what: core::fmt::Arguments<'_>) {
        let title = self.node_title(node);
        self.trace.line(self.now, format_args!("-- {title} {what}"));
    }
}
