//! The clients' hosts: they pass inputs to the clients, carry out their outputs, open transports
//! and answer token requests.

use crate::application::log_output;
use crate::network::{End, Lane, Link, Packet};
use crate::record::{Call, CallKind};
use crate::rules::{Direction, arriving};
use crate::trace::Frame;
use crate::world::World;
use presence_proto::client;
use presence_proto::server;
use presence_proto::wire::{Action, Params, ProtocolMessage};
use presence_proto::{SmolStr, TransportId};

impl World {
    /// Passes an input to a client and carries out the outputs.
    pub(crate) fn client_input(&mut self, number: usize, input: client::Input) {
        let now = self.client_now(number);
        let recording = self.calls.is_some();
        let Some(host) = self.clients.get_mut(number) else { return };
        let recorded = recording.then(|| input.clone());
        host.wake = host.core.handle(now, input, &mut host.out);
        let outputs: Vec<client::Output> = host.out.drain().collect();
        if let (Some(input), Some(calls)) = (recorded, &mut self.calls) {
            let kind = CallKind::Client { client: number, input, outputs: outputs.clone() };
            calls.push(Call { now, at: self.now, kind });
        }
        for output in outputs {
            self.client_output(number, output);
        }
    }

    fn client_output(&mut self, number: usize, output: client::Output) {
        let now = self.now;
        match output {
            client::Output::Open(client::output::Open { transport, params, .. }) => {
                self.open_link(number, transport, params);
            }
            client::Output::Send(client::output::Send { transport, frame, .. }) => {
                let Some(host) = self.clients.get(number) else { return };
                let (latency, format) = (host.latency.up, host.format);
                if let Some(link) = self.link_of(number, transport)
                    && link.client_end == End::Open
                {
                    link.up.send(now + latency, Packet::frame(*frame, format));
                }
            }
            client::Output::Close(client::output::Close { transport, .. }) => {
                let latency = self.clients.get(number).map_or(0, |host| host.latency.up);
                if let Some(link) = self.link_of(number, transport) {
                    let (node, gives_up) = (link.node, link.client_end == End::Opening);
                    link.client_end = End::Closed;
                    link.up.send(now + latency, Packet::Close);
                    link.down = Lane::default();
                    if gives_up {
                        self.leave_node(number, node);
                    }
                }
            }
            client::Output::TokenRequired if !self.has_manual_tokens(number) => {
                let token = SmolStr::new_static("token");
                self.client_input(number, client::Input::Token(Ok(token)));
            }
            client::Output::Misuse(misuse) => {
                self.fail(format!("client {number} reports a misuse: {misuse:?}"));
            }
            output => {
                let Some(host) = self.clients.get_mut(number) else { return };
                if self.trace.is_enabled() {
                    log_output(&mut self.trace, now, &host.name, &output);
                }
                host.application.receive(output);
            }
        }
    }

    fn has_manual_tokens(&self, number: usize) -> bool {
        self.clients.get(number).is_some_and(|host| host.manual_tokens)
    }

    fn open_link(&mut self, number: usize, transport: TransportId, params: Params) {
        let Some(host) = self.clients.get(number) else { return };
        let mut link = Link::new(number, self.client_node(number), transport);
        if host.unreachable {
            link.down.send(self.now + host.latency.up + host.latency.down, Packet::Refuse);
        } else {
            link.up.send(self.now + host.latency.up, Packet::Open(params));
        }
        self.links.insert(self.next_link, link);
        self.next_link += 1;
    }

    /// The link that a client knows by this transport id.
    fn link_of(&mut self, number: usize, transport: TransportId) -> Option<&mut Link> {
        let matches = |link: &&mut Link| link.client == number && link.transport == transport;
        self.links.values_mut().rev().find(matches)
    }

    /// The oldest packet of a link arrives at its client.
    pub(crate) fn packet_down(&mut self, number: u64) {
        let Some(link) = self.links.get_mut(&number) else { return };
        let Some(packet) = link.down.take() else { return };
        let node = link.node;
        if link.congested && link.down.len() <= self.queue_limit / 2 {
            link.congested = false;
            if link.server_end == End::Open
                && let Some(host) = self.nodes.get_mut(node)
            {
                host.follow_ups.push_back(server::Input::writable(TransportId(number)));
            }
        }
        if link.client_end != End::Closed {
            self.deliver_down(number, packet);
        }
        self.flush_follow_ups(node);
    }

    fn deliver_down(&mut self, number: u64, packet: Packet) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&number) else { return };
        let (client, node, transport) = (link.client, link.node, link.transport);
        match packet {
            Packet::Accept => {
                link.client_end = End::Open;
                self.client_input(client, client::Input::opened(transport));
            }
            Packet::Refuse => {
                link.client_end = End::Closed;
                let name = self.client_name(client);
                let title = self.node_title(node);
                self.trace.line(now, format_args!("{name} cannot reach {title}"));
                self.client_input(client, client::Input::open_failed(transport, None));
            }
            Packet::Frame(frame) => {
                self.frame_down(number, *frame);
                self.burn_fuse(number);
            }
            Packet::Bytes(format, bytes) => {
                match ProtocolMessage::decode(format, &bytes) {
                    Ok(frame) => self.frame_down(number, frame),
                    Err(error) => {
                        let title = self.node_title(node);
                        self.fail(format!(
                            "client {client} cannot decode a frame of {title}: {error}"
                        ));
                    }
                }
                self.burn_fuse(number);
            }
            Packet::Close => {
                self.deliver_delayed_pages(number);
                if let Some(link) = self.links.get_mut(&number) {
                    link.client_end = End::Closed;
                }
                let (from, name) = (self.node_name(node), self.client_name(client));
                self.trace.line(now, format_args!("{from} > {name} close"));
                self.client_input(client, client::Input::closed(transport, None));
            }
            Packet::Ping => {
                let Some(host) = self.clients.get(client) else { return };
                link.up.send(now + host.latency.up, Packet::Ping);
                if host.options.observes_pings {
                    self.client_input(client, client::Input::activity(transport));
                }
            }
            Packet::Open(_) | Packet::Garbage => {}
        }
    }

    /// A frame arrives at a client. A delayed page of a sync is held back until a frame other than
    /// PRESENCE arrives. This requires that the client has started the sync: it could not
    /// distinguish a page of an unexpected sync from newer entries.
    fn frame_down(&mut self, number: u64, frame: ProtocolMessage) {
        let Some(client) = self.links.get(&number).map(|link| link.client) else { return };
        let Some(frame) = arriving(&mut self.rules, client, Direction::Down, frame) else { return };
        let Some(link) = self.links.get_mut(&number) else { return };
        let Some(host) = self.clients.get(link.client) else { return };
        let is_syncing =
            |name: &SmolStr| host.core.channel(name).is_some_and(|view| view.is_syncing());
        match frame.action {
            Action::Sync
                if host.sync_pages_delayed && frame.channel.as_ref().is_some_and(is_syncing) =>
            {
                return link.delayed_pages.push(frame);
            }
            Action::Presence => {}
            _ => self.deliver_delayed_pages(number),
        }
        self.receive(number, frame);
    }

    pub(crate) fn deliver_delayed_pages(&mut self, number: u64) {
        let Some(link) = self.links.get_mut(&number) else { return };
        for frame in core::mem::take(&mut link.delayed_pages) {
            self.receive(number, frame);
        }
    }

    fn receive(&mut self, number: u64, frame: ProtocolMessage) {
        let Some(link) = self.links.get(&number) else { return };
        let (client, node, transport) = (link.client, link.node, link.transport);
        let is_closed = link.client_end == End::Closed;
        let (from, name) = (self.node_name(node), self.client_name(client));
        self.trace.line(self.now, format_args!("{from} > {name} {}", Frame(&frame)));
        if !is_closed {
            if frame.action == Action::Disconnected {
                self.leave_node(client, node);
            }
            self.client_input(client, client::Input::received(transport, frame));
        }
    }
}
