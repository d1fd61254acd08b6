//! The nodes' hosts: they pass inputs to the servers, carry out their outputs, authenticate
//! transports and report congestion.

use crate::network::{End, Packet};
use crate::node::Node;
use crate::record::{Call, CallKind};
use crate::rules::{Direction, arriving};
use crate::trace::Frame;
use crate::world::World;
use presence_proto::TransportId;
use presence_proto::server::{self, ConnectRequest};
use presence_proto::wire::{Action, ErrorInfo, Params, ProtocolMessage, codes};

impl World {
    /// Passes an input to a node's server, carries out the outputs, and passes in what follows from
    /// them. A paused process does so when it goes on; one that has ended never.
    pub(crate) fn server_input(&mut self, node: usize, input: server::Input) {
        let Some(host) = self.nodes.get_mut(node).filter(|host| host.is_up()) else { return };
        if host.is_paused {
            return host.follow_ups.push_back(input);
        }
        self.call_server(node, input);
        self.flush_follow_ups(node);
    }

    /// Passes in the follow-ups, except for transports that the server has closed meanwhile. Then
    /// the process ends if it has nothing left to do.
    pub(crate) fn flush_follow_ups(&mut self, node: usize) {
        let next =
            |host: &mut Node| if host.is_paused { None } else { host.follow_ups.pop_front() };
        while let Some(input) = self.nodes.get_mut(node).and_then(next) {
            let is_due = match &input {
                server::Input::Congested(server::input::Congested { transport, .. })
                | server::Input::Writable(server::input::Writable { transport, .. })
                | server::Input::Authorized(server::input::Authorized { transport, .. }) => {
                    let link = self.links.get(&transport.0);
                    link.is_some_and(|link| link.server_end == End::Open)
                }
                _ => true,
            };
            if is_due {
                self.call_server(node, input);
            }
        }
        self.end_if_done(node);
    }

    fn call_server(&mut self, node: usize, input: server::Input) {
        let now = self.node_now(node);
        let Some(host) = self.nodes.get_mut(node) else { return };
        let recorded = self.calls.is_some().then(|| input.clone());
        host.wake = host.core.handle(now, input, &mut host.out);
        let outputs: Vec<server::Output> = host.out.drain().collect();
        if let (Some(input), Some(calls)) = (recorded, &mut self.calls) {
            let kind = CallKind::Server { node, input, outputs: outputs.clone() };
            calls.push(Call { now, at: self.now, kind });
        }
        for output in outputs {
            self.server_output(node, output);
        }
    }

    fn server_output(&mut self, node: usize, output: server::Output) {
        match output {
            server::Output::Send(server::output::Send { to, mut frame, .. }) => {
                for transport in to.iter() {
                    self.send_down(node, transport, &mut frame);
                }
            }
            server::Output::Ping(server::output::Ping { transport, .. }) => {
                let now = self.now;
                if let Some(link) = self.links.get_mut(&transport.0)
                    && let Some(host) = self.clients.get(link.client)
                {
                    link.down.send(now + host.latency.down, Packet::Ping);
                }
            }
            server::Output::Close(server::output::Close { transport, .. }) => {
                self.close_by_server(node, transport)
            }
            server::Output::Authenticate(server::output::Authenticate { transport, .. }) => {
                self.authenticate(node, transport)
            }
            server::Output::Append(server::output::Append { entry, .. }) => {
                // As it would go through a real log.
                match server::Entry::decode(&entry.encode()) {
                    Ok(decoded) if decoded == entry => self.log.send(self.now, node, decoded),
                    other => self.fail(format!("an entry becomes {other:?}")),
                }
            }
            server::Output::Snapshot(server::output::Snapshot { page, .. }) => {
                match server::SnapshotPage::decode(&page.encode()) {
                    Ok(decoded) if decoded == page => {
                        let last = page.is_last().then(|| page.position());
                        self.log.write_page(node, decoded, page.number(), last);
                    }
                    other => self.fail(format!("a page becomes {other:?}")),
                }
            }
            server::Output::Trim(server::output::Trim { before, .. }) => self.log.trim(before),
            server::Output::Halted(reason) => self.halted(node, reason),
            server::Output::Misuse(misuse) => {
                let title = self.node_title(node);
                self.fail(format!("{title} reports a misuse: {misuse:?}"));
            }
            _ => {}
        }
    }

    fn send_down(&mut self, node: usize, transport: TransportId, frame: &mut server::Frame) {
        let now = self.now;
        let limit = self.queue_limit;
        let Some(link) = self.links.get_mut(&transport.0) else { return };
        if link.server_end != End::Open {
            return;
        }
        let link_client = link.client;
        let Some(host) = self.clients.get(link_client) else { return };
        let packet = match host.format {
            Some(format) => Packet::Bytes(format, frame.encode(format).into()),
            None => Packet::Frame(Box::new(frame.to_message())),
        };
        link.down.send(now + host.latency.down, packet);
        if link.down.stalled && !link.congested && link.down.len() >= limit {
            link.congested = true;
            let (name, to) = (self.node_name(node), self.client_name(link_client));
            self.trace.line(now, format_args!("{name} < queue to {to} is full"));
            self.follow_up(node, server::Input::congested(transport));
        }
    }

    fn close_by_server(&mut self, node: usize, transport: TransportId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&transport.0) else { return };
        if link.server_end == End::Closed {
            return;
        }
        let Some(host) = self.clients.get(link.client) else { return };
        let packet = if link.server_end == End::Open { Packet::Close } else { Packet::Refuse };
        link.down.send(now + host.latency.down, packet);
        link.server_end = End::Closed;
        let (name, of) = (self.node_name(node), host.name.clone());
        self.trace.line(now, format_args!("{name} closes the transport of {of}"));
    }

    /// Accepts any token: the identity and the capability are those of the client's host.
    fn authenticate(&mut self, node: usize, transport: TransportId) {
        let Some(link) = self.links.get(&transport.0) else { return };
        let Some(host) = self.clients.get(link.client) else { return };
        let (identity, capability) = (host.identity.clone(), host.capability.clone());
        self.follow_up(node, server::Input::authorized(transport, identity, capability, None));
    }

    fn follow_up(&mut self, node: usize, input: server::Input) {
        if let Some(host) = self.nodes.get_mut(node) {
            host.follow_ups.push_back(input);
        }
    }

    /// The oldest packet of a link arrives at its node.
    pub(crate) fn packet_up(&mut self, number: u64) {
        let transport = TransportId(number);
        let Some(node) = self.links.get(&number).map(|link| link.node) else { return };
        if self.is_paused(node) {
            return;
        }
        let accepts = self.accepts(node);
        let Some(link) = self.links.get_mut(&number) else { return };
        let Some(packet) = link.up.take() else { return };
        let client = link.client;
        if client >= self.clients.len() || link.server_end == End::Closed {
            return;
        }
        match packet {
            Packet::Open(params) if accepts => self.accept(number, &params),
            Packet::Open(params) => self.send_elsewhere(number, params),
            Packet::Frame(frame) => {
                self.frame_up(number, *frame);
                self.burn_fuse(number);
            }
            Packet::Bytes(format, bytes) => {
                match ProtocolMessage::decode(format, &bytes) {
                    Ok(frame) => self.frame_up(number, frame),
                    Err(error) => {
                        let title = self.node_title(node);
                        self.fail(format!(
                            "{title} cannot decode a frame of client {client}: {error}"
                        ));
                    }
                }
                self.burn_fuse(number);
            }
            Packet::Garbage => {
                let (name, to) = (self.client_name(client), self.node_name(node));
                self.trace.line(self.now, format_args!("{name} > {to} garbage"));
                let error = ErrorInfo::new(codes::BAD_REQUEST, 400, "not a frame");
                self.server_input(node, server::Input::undecodable(transport, error));
            }
            Packet::Close => {
                let was_open = link.server_end == End::Open;
                link.server_end = End::Closed;
                if was_open {
                    let (name, to) = (self.client_name(client), self.node_name(node));
                    self.trace.line(self.now, format_args!("{name} > {to} close"));
                    self.server_input(node, server::Input::closed(transport));
                }
            }
            Packet::Ping => self.server_input(node, server::Input::activity(transport)),
            Packet::Accept | Packet::Refuse => {}
        }
    }

    /// Accepts a transport; closes it again with an ERROR if its parameters are invalid.
    fn accept(&mut self, number: u64, params: &Params) {
        let Some(node) = self.links.get(&number).map(|link| link.node) else { return };
        let to = self.node_name(node);
        let Some(link) = self.links.get_mut(&number) else { return };
        let Some(host) = self.clients.get_mut(link.client) else { return };
        let arrival = self.now + host.latency.down;
        link.down.send(arrival, Packet::Accept);
        self.trace.line(self.now, format_args!("{} > {to} open", host.name));
        let params = params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let (identity, capability) = (host.identity.clone(), host.capability.clone());
        let expires = host.token_expires.take();
        match ConnectRequest::from_params(identity, capability, params) {
            Ok(mut request) => {
                request.token_expires = expires;
                link.server_end = End::Open;
                self.server_input(node, server::Input::opened(TransportId(number), request));
            }
            Err(error) => {
                let mut frame = ProtocolMessage::new(Action::Error);
                frame.error = Some(Box::new(error));
                link.down.send(arrival, Packet::frame(frame, host.format));
                link.down.send(arrival, Packet::Close);
                link.server_end = End::Closed;
            }
        }
    }

    fn frame_up(&mut self, number: u64, frame: ProtocolMessage) {
        let Some(link) = self.links.get(&number) else { return };
        let (client, node) = (link.client, link.node);
        let Some(frame) = arriving(&mut self.rules, client, Direction::Up, frame) else { return };
        let (name, to) = (self.client_name(client), self.node_name(node));
        self.trace.line(self.now, format_args!("{name} > {to} {}", Frame(&frame)));
        self.server_input(node, server::Input::received(TransportId(number), frame));
    }
}
