//! Faults of single frames: a WebSocket does not cause them, but a server or a proxy may.

use crate::network::{End, Packet};
use crate::rules::{Direction, Rule};
use crate::world::World;
use presence_proto::wire::{Action, ProtocolMessage};
use presence_proto::{TransportId, server};

/// Faults of single frames.
///
/// A WebSocket does not cause them, but a faulty server or proxy may. If several rules match a
/// frame, the oldest that is not used up applies.
impl World {
    /// Drops the next `times` frames with this action that a client sends; `usize::MAX` drops all.
    pub fn drop_sent(&mut self, client: usize, action: Action, times: usize) {
        let direction = Direction::Up;
        self.rules.push(Rule { client, direction, action, times, replacement: None });
    }

    /// Drops the next `times` frames with this action that the server sends to a client;
    /// `usize::MAX` drops all.
    pub fn drop_received(&mut self, client: usize, action: Action, times: usize) {
        let direction = Direction::Down;
        self.rules.push(Rule { client, direction, action, times, replacement: None });
    }

    /// Replaces the next frame with this action that the server sends to a client.
    pub fn replace_received(
        &mut self,
        client: usize,
        action: Action,
        replacement: ProtocolMessage,
    ) {
        let (direction, replacement) = (Direction::Down, Some(Box::new(replacement)));
        self.rules.push(Rule { client, direction, action, times: 1, replacement });
    }

    /// Removes the rules for frames from and to a client.
    pub fn clear_frame_faults(&mut self, client: usize) {
        self.rules.retain(|rule| rule.client != client);
    }

    /// Sends a client a frame on its transport as if the server had sent it.
    pub fn inject(&mut self, client: usize, frame: ProtocolMessage) {
        let now = self.now;
        let Some(host) = self.clients.get(client) else { return };
        let (due, format) = (now + host.latency.down, host.format);
        if let Some(link) = self.newest_link(client).and_then(|n| self.links.get_mut(&n)) {
            link.down.send(due, Packet::frame(frame, format));
        }
    }

    /// Like [`inject`](Self::inject), and then closes the transport.
    pub fn inject_and_close(&mut self, client: usize, frame: ProtocolMessage) {
        self.inject(client, frame);
        let (now, number) = (self.now, self.newest_link(client));
        let due = now + self.clients.get(client).map_or(0, |host| host.latency.down);
        let Some(number) = number else { return };
        let Some(link) = self.links.get_mut(&number) else { return };
        link.down.send(due, Packet::Close);
        let node = link.node;
        if core::mem::replace(&mut link.server_end, End::Closed) == End::Open {
            self.server_input(node, server::Input::closed(TransportId(number)));
        }
    }
}
