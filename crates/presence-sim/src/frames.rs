//! Faults of single frames, which no WebSocket makes, but a server or a proxy may.

use crate::network::{End, Packet};
use crate::rules::{Direction, Rule};
use crate::world::World;
use presence_proto::wire::{Action, ProtocolMessage};
use presence_proto::{TransportId, server};

/// Faults of single frames.
impl World {
    /// The next frames of an action that a client sends do not arrive.
    pub fn lose_sent(&mut self, client: usize, action: Action, times: usize) {
        let direction = Direction::Up;
        self.rules.push(Rule { client, direction, action, times, instead: None });
    }

    /// The next frames of an action that the server sends to a client do not arrive.
    pub fn lose_received(&mut self, client: usize, action: Action, times: usize) {
        let direction = Direction::Down;
        self.rules.push(Rule { client, direction, action, times, instead: None });
    }

    /// In place of the next frame of an action that the server sends to a client, another arrives.
    pub fn replace_received(&mut self, client: usize, action: Action, instead: ProtocolMessage) {
        let (direction, instead) = (Direction::Down, Some(Box::new(instead)));
        self.rules.push(Rule { client, direction, action, times: 1, instead });
    }

    /// From now on all frames of a client arrive as they were sent.
    pub fn pass_frames(&mut self, client: usize) {
        self.rules.retain(|rule| rule.client != client);
    }

    /// A client receives a frame that the server has not sent.
    pub fn inject(&mut self, client: usize, frame: ProtocolMessage) {
        let now = self.now;
        let Some(peer) = self.clients.get(client) else { return };
        let (due, format) = (now + peer.latency.down, peer.format);
        if let Some(link) = self.newest_link(client).and_then(|n| self.links.get_mut(&n)) {
            link.down.send(due, Packet::frame(frame, format));
        }
    }

    /// A client receives a frame that the server has not sent, and then its transport closes.
    pub fn inject_last(&mut self, client: usize, frame: ProtocolMessage) {
        self.inject(client, frame);
        let (now, number) = (self.now, self.newest_link(client));
        let due = now + self.clients.get(client).map_or(0, |peer| peer.latency.down);
        let Some(number) = number else { return };
        let Some(link) = self.links.get_mut(&number) else { return };
        link.down.send(due, Packet::Close);
        if core::mem::replace(&mut link.server_end, End::Closed) == End::Open {
            self.server_input(server::Input::closed(TransportId(number)));
        }
    }
}
