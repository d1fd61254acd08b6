//! The nodes' hosts and the log: they append entries, read the log and tell the servers.

use crate::log::News;
use crate::world::World;
use presence_proto::server::Input;

impl World {
    /// Connects a node with the log, or disconnects it, according to what is up.
    ///
    /// A node reads the log from the entry after the last that its process has heard.
    pub(crate) fn update_log(&mut self, node: usize) {
        let Some(host) = self.nodes.get(node) else { return };
        let is_up = host.is_up();
        let wants = is_up && host.options.log.is_some();
        let wanted = wants && !self.log.is_down() && !self.log.is_cut(node);
        if wanted == self.log.is_connected(node) {
            return;
        }
        if wanted {
            return self.log.connect(self.now, node);
        }
        self.log.disconnect(node);
        if is_up {
            self.server_input(node, Input::LogUnavailable);
        }
    }

    /// The oldest append of a node arrives at the log.
    pub(crate) fn packet_to_log(&mut self, node: usize) {
        for index in self.log.take_append(self.now, node) {
            if let Some((position, entry)) = self.log.entries().get(index) {
                let (name, records) = (entry.node(), entry.records());
                let what = format_args!("log {}: {name} {records} records {entry:?}", position.0);
                self.trace.line(self.now, what);
            }
        }
    }

    /// The oldest news of the log arrives at a node.
    pub(crate) fn packet_from_log(&mut self, node: usize) {
        let Some(news) = self.log.take_news(node) else { return };
        let input = match news {
            News::Entry(position, entry) => Input::committed(position, entry),
            News::Page(page) => Input::restore(page),
            News::Reset => {
                let name = self.node_name(node);
                self.trace.line(self.now, format_args!("{name} < log reset"));
                Input::LogReset
            }
            News::Failed { entry, definite } => {
                let doubt = if definite { "for good" } else { "perhaps" };
                let name = self.node_name(node);
                self.trace.line(self.now, format_args!("{name} < append failed {doubt}"));
                Input::append_failed(entry.id(), definite)
            }
            News::CaughtUp => {
                let name = self.node_name(node);
                self.trace.line(self.now, format_args!("{name} < log available"));
                Input::LogAvailable
            }
        };
        self.server_input(node, input);
    }
}
