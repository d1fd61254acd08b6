//! The server's host: it passes inputs to the server, carries out its outputs, authenticates
//! transports and reports congestion.

use crate::network::{End, Packet};
use crate::record::{Call, CallKind};
use crate::rules::{Direction, arriving};
use crate::trace::Frame;
use crate::world::World;
use presence_proto::TransportId;
use presence_proto::server::{self, ConnectRequest};
use presence_proto::wire::{Action, ErrorInfo, Params, ProtocolMessage, codes};

impl World {
    /// Passes an input to the server, carries out the outputs, and passes in what follows from
    /// them.
    pub(crate) fn server_input(&mut self, input: server::Input) {
        self.call_server(input);
        self.flush_follow_ups();
    }

    /// Passes in the follow-ups, except for transports that the server has closed meanwhile.
    pub(crate) fn flush_follow_ups(&mut self) {
        while let Some(input) = self.server.follow_ups.pop_front() {
            let transport = match &input {
                server::Input::Congested(server::input::Congested { transport, .. })
                | server::Input::Writable(server::input::Writable { transport, .. })
                | server::Input::Authorized(server::input::Authorized { transport, .. }) => {
                    *transport
                }
                _ => continue,
            };
            if self.links.get(&transport.0).is_some_and(|link| link.server_end == End::Open) {
                self.call_server(input);
            }
        }
    }

    fn call_server(&mut self, input: server::Input) {
        let now = self.server_now();
        let recorded = self.calls.is_some().then(|| input.clone());
        let mut out = core::mem::take(&mut self.server.out);
        self.server.wake = self.server.core.handle(now, input, &mut out);
        let outputs: Vec<server::Output> = out.drain().collect();
        self.server.out = out;
        if let (Some(input), Some(calls)) = (recorded, &mut self.calls) {
            let kind = CallKind::Server { input, outputs: outputs.clone() };
            calls.push(Call { now, at: self.now, kind });
        }
        for output in outputs {
            self.server_output(output);
        }
    }

    fn server_output(&mut self, output: server::Output) {
        match output {
            server::Output::Send(server::output::Send { to, mut frame, .. }) => {
                for transport in to.iter() {
                    self.send_down(transport, &mut frame);
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
                self.close_by_server(transport)
            }
            server::Output::Authenticate(server::output::Authenticate { transport, .. }) => {
                self.authenticate(transport)
            }
            server::Output::Misuse(misuse) => {
                self.fail(format!("the server reports a misuse: {misuse:?}"));
            }
            _ => {}
        }
    }

    fn send_down(&mut self, transport: TransportId, frame: &mut server::Frame) {
        let now = self.now;
        let limit = self.queue_limit;
        let Some(link) = self.links.get_mut(&transport.0) else { return };
        if link.server_end != End::Open {
            return;
        }
        let Some(host) = self.clients.get(link.client) else { return };
        let packet = match host.format {
            Some(format) => Packet::Bytes(format, frame.encode(format).into()),
            None => Packet::Frame(Box::new(frame.to_message())),
        };
        link.down.send(now + host.latency.down, packet);
        if link.down.stalled && !link.congested && link.down.len() >= limit {
            link.congested = true;
            self.trace.line(now, format_args!("server < queue to {} is full", host.name));
            self.server.follow_ups.push_back(server::Input::congested(transport));
        }
    }

    fn close_by_server(&mut self, transport: TransportId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&transport.0) else { return };
        if link.server_end == End::Closed {
            return;
        }
        let Some(host) = self.clients.get(link.client) else { return };
        let packet = if link.server_end == End::Open { Packet::Close } else { Packet::Refuse };
        link.down.send(now + host.latency.down, packet);
        link.server_end = End::Closed;
        self.trace.line(now, format_args!("server closes the transport of {}", host.name));
    }

    /// Accepts any token: the identity and the capability are those of the client's host.
    fn authenticate(&mut self, transport: TransportId) {
        let Some(link) = self.links.get(&transport.0) else { return };
        let Some(host) = self.clients.get(link.client) else { return };
        self.server.follow_ups.push_back(server::Input::authorized(
            transport,
            host.identity.clone(),
            host.capability.clone(),
            None,
        ));
    }

    /// The oldest packet of a link arrives at the server.
    pub(crate) fn packet_up(&mut self, number: u64) {
        let transport = TransportId(number);
        let Some(link) = self.links.get_mut(&number) else { return };
        let Some(packet) = link.up.take() else { return };
        let client = link.client;
        if client >= self.clients.len() || link.server_end == End::Closed {
            return;
        }
        match packet {
            Packet::Open(params) => self.accept(number, &params),
            Packet::Frame(frame) => {
                self.frame_up(number, *frame);
                self.burn_fuse(number);
            }
            Packet::Bytes(format, bytes) => {
                match ProtocolMessage::decode(format, &bytes) {
                    Ok(frame) => self.frame_up(number, frame),
                    Err(error) => {
                        self.fail(format!(
                            "the server cannot decode a frame of client {client}: {error}"
                        ));
                    }
                }
                self.burn_fuse(number);
            }
            Packet::Garbage => {
                let name = self.client_name(client);
                self.trace.line(self.now, format_args!("{name} > server garbage"));
                let error = ErrorInfo::new(codes::BAD_REQUEST, 400, "not a frame");
                self.server_input(server::Input::undecodable(transport, error));
            }
            Packet::Close => {
                let was_open = link.server_end == End::Open;
                link.server_end = End::Closed;
                if was_open {
                    let name = self.client_name(client);
                    self.trace.line(self.now, format_args!("{name} > server close"));
                    self.server_input(server::Input::closed(transport));
                }
            }
            Packet::Ping => self.server_input(server::Input::activity(transport)),
            Packet::Accept | Packet::Refuse => {}
        }
    }

    /// Accepts a transport; closes it again with an ERROR if its parameters are invalid.
    fn accept(&mut self, number: u64, params: &Params) {
        let Some(link) = self.links.get_mut(&number) else { return };
        let Some(host) = self.clients.get_mut(link.client) else { return };
        let arrival = self.now + host.latency.down;
        link.down.send(arrival, Packet::Accept);
        self.trace.line(self.now, format_args!("{} > server open", host.name));
        let params = params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let (identity, capability) = (host.identity.clone(), host.capability.clone());
        let expires = host.token_expires.take();
        match ConnectRequest::from_params(identity, capability, params) {
            Ok(mut request) => {
                request.token_expires = expires;
                link.server_end = End::Open;
                self.server_input(server::Input::opened(TransportId(number), request));
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
        let Some(client) = self.links.get(&number).map(|link| link.client) else { return };
        let Some(frame) = arriving(&mut self.rules, client, Direction::Up, frame) else { return };
        let name = self.client_name(client);
        self.trace.line(self.now, format_args!("{name} > server {}", Frame(&frame)));
        self.server_input(server::Input::received(TransportId(number), frame));
    }
}
