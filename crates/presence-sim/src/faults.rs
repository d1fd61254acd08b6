//! Faults of transports, of the network, and of clients' clocks and processes.

use crate::hosts::ClientHost;
use crate::network::{BROKEN, End, Link, Packet};
use crate::record::Call;
use crate::seeds::client_seed;
use crate::world::World;
use presence_proto::client::{self, Client};
use presence_proto::server;
use presence_proto::wire::{ErrorInfo, codes};
use presence_proto::{SmolStr, TransportId};

/// Faults of transports.
impl World {
    /// Breaks the transport of a client. Both ends detect it at once; frames in flight are lost.
    /// The client reconnects by itself, and the connection resumes if the server still has it.
    pub fn cut(&mut self, client: usize) {
        self.log_fault(client, "cut");
        for number in self.links_of(client) {
            self.break_link(number, true, true);
        }
    }

    /// Breaks the transport of a client after `frames` more frames, counted over both directions.
    /// Later transports are not affected.
    pub fn cut_after(&mut self, client: usize, frames: u32) {
        self.log_fault(client, "will be cut");
        if let Some(link) = self.newest_link(client).and_then(|n| self.links.get_mut(&n)) {
            link.fuse = Some(frames);
        }
    }

    /// Cancels [`cut_after`](Self::cut_after).
    pub fn cancel_cut(&mut self, client: usize) {
        self.for_links(client, |link| link.fuse = None);
    }

    /// Breaks the transport of a client, detected by the client only. The server has a half-open
    /// transport until it detects the silence, or until the client resumes on a new transport.
    pub fn cut_unseen_by_server(&mut self, client: usize) {
        self.log_fault(client, "cut, unseen by the server");
        for number in self.links_of(client) {
            self.break_link(number, true, false);
        }
    }

    /// Breaks the transport of a client, detected by the server only. The client has a half-open
    /// transport until it detects the silence.
    pub fn cut_unseen_by_client(&mut self, client: usize) {
        self.log_fault(client, "cut, unseen by the client");
        for number in self.links_of(client) {
            self.break_link(number, false, true);
        }
    }

    /// Pulls the cable: frames on the transport of a client are lost in both directions, and
    /// neither end detects it until it notices the silence. New transports can be opened, unless
    /// the client is also [unreachable](Self::set_reachable).
    pub fn unplug(&mut self, client: usize) {
        self.log_fault(client, "unplugged");
        for number in self.links_of(client) {
            self.break_link(number, false, false);
        }
    }

    /// Breaks the transports of all clients, as the restart of a proxy does. Both ends detect it at
    /// once; the server keeps its state.
    pub fn cut_all(&mut self) {
        self.trace.line(self.now, format_args!("-- all transports are cut"));
        for number in self.links.keys().copied().collect::<Vec<_>>() {
            self.break_link(number, true, true);
        }
    }

    /// Breaks a link. Only the notified ends detect it.
    pub(crate) fn break_link(&mut self, number: u64, notify_client: bool, notify_server: bool) {
        let Some(link) = self.links.get_mut(&number) else { return };
        link.up.kill();
        link.down.kill();
        link.delayed_pages.clear();
        link.fuse = None;
        let (client, node, transport) = (link.client, link.node, link.transport);
        let client_end = link.client_end;
        let server_end = link.server_end;
        if notify_client {
            link.client_end = End::Closed;
        }
        if notify_server && server_end != End::Opening {
            link.server_end = End::Closed;
        }
        if notify_server && server_end == End::Open {
            self.server_input(node, server::Input::closed(TransportId(number)));
        }
        if notify_client {
            let error = Some(ErrorInfo::new(codes::CONNECTION_DISCONNECTED, 400, BROKEN));
            match client_end {
                End::Opening => {
                    self.client_input(client, client::Input::open_failed(transport, error));
                }
                End::Open => {
                    self.client_input(client, client::Input::closed(transport, error));
                }
                End::Closed => {}
            }
        }
        self.links.retain(|_, link| !link.is_over());
    }

    /// Counts a frame against the fuse of a link, and breaks the link after the last.
    pub(crate) fn burn_fuse(&mut self, number: u64) {
        let Some(link) = self.links.get_mut(&number) else { return };
        match link.fuse {
            Some(0 | 1) => self.break_link(number, true, true),
            Some(left) => link.fuse = Some(left - 1),
            None => {}
        }
    }
}

/// Faults of the network.
impl World {
    /// Stalls the transport of a client from the client to the server: packets are queued and
    /// arrive after [`unstall`](Self::unstall).
    pub fn stall_up(&mut self, client: usize) {
        self.log_fault(client, "writes are stalled");
        self.for_links(client, |link| link.up.stalled = true);
    }

    /// Stalls the transport of a client from the server to the client, as a client that does not
    /// read: packets are queued and arrive after [`unstall`](Self::unstall). When the queue reaches
    /// [its limit](Self::set_queue_limit), the server's host reports congestion.
    pub fn stall_down(&mut self, client: usize) {
        self.log_fault(client, "reads are stalled");
        self.for_links(client, |link| link.down.stalled = true);
    }

    /// Lets PRESENCE overtake the pages of syncs on the way to a client, until
    /// [`unstall`](Self::unstall). Other frames keep their order.
    ///
    /// A server never reorders frames. In other systems the page and the event may come from
    /// different nodes (RTP2h2).
    pub fn delay_sync_pages(&mut self, client: usize) {
        self.log_fault(client, "sync pages are delayed");
        if let Some(host) = self.clients.get_mut(client) {
            host.sync_pages_delayed = true;
        }
    }

    /// Ends [`stall_up`](Self::stall_up), [`stall_down`](Self::stall_down) and
    /// [`delay_sync_pages`](Self::delay_sync_pages) of a client.
    pub fn unstall(&mut self, client: usize) {
        self.log_fault(client, "unstalled");
        if let Some(host) = self.clients.get_mut(client) {
            host.sync_pages_delayed = false;
        }
        for number in self.links_of(client) {
            if let Some(link) = self.links.get_mut(&number) {
                link.up.stalled = false;
                link.down.stalled = false;
            }
            self.deliver_delayed_pages(number);
        }
    }

    /// Lets the server's host report congestion of a client's transport, and then that it is
    /// writable again, at the same virtual time. No frame is lost.
    pub fn congest_briefly(&mut self, client: usize) {
        self.log_fault(client, "congested briefly");
        for number in self.links_of(client) {
            let is_open = |world: &Self| {
                world.links.get(&number).is_some_and(|link| link.server_end == End::Open)
            };
            let transport = TransportId(number);
            let Some(link) = self.links.get(&number) else { continue };
            let node = link.node;
            if link.congested || !is_open(self) {
                continue;
            }
            self.server_input(node, server::Input::congested(transport));
            // The server may have closed the transport.
            if is_open(self) {
                self.server_input(node, server::Input::writable(transport));
            }
        }
    }

    /// Sets whether new transports of a client can be opened. Open transports stay open. Default:
    /// true.
    pub fn set_reachable(&mut self, client: usize, reachable: bool) {
        let what = if reachable { "reachable" } else { "unreachable" };
        self.log_fault(client, what);
        if let Some(host) = self.clients.get_mut(client) {
            host.unreachable = !reachable;
        }
    }

    /// Sends bytes that do not decode, from a client to the server.
    pub fn send_garbage(&mut self, client: usize) {
        let now = self.now;
        let latency = self.clients.get(client).map_or(0, |host| host.latency.up);
        if let Some(link) = self.newest_link(client).and_then(|n| self.links.get_mut(&n))
            && link.client_end == End::Open
        {
            link.up.send(now + latency, Packet::Garbage);
        }
    }
}

/// Faults of clients' clocks and processes, and removal of members.
impl World {
    /// Steps the wall clock of a client's host by `millis` milliseconds, forwards or backwards. The
    /// monotonic clock does not step.
    pub fn step_client_clock(&mut self, client: usize, millis: i64) {
        self.log_fault(client, "the wall clock steps");
        if let Some(host) = self.clients.get_mut(client) {
            host.wall_offset = host.wall_offset.saturating_add(millis);
        }
    }

    /// Lets the host of the first node that is up remove the members with a client id from a
    /// channel, or all members if `client_id` is `None`. They may enter again.
    pub fn kick(&mut self, channel: &str, client_id: Option<&str>) {
        self.trace.line(self.now, format_args!("-- members of {channel} are kicked"));
        let Some(node) = (0..self.nodes.len()).find(|node| self.is_node_up(*node)) else { return };
        self.server_input(node, server::Input::kick(channel, client_id.map(SmolStr::from), None));
    }

    /// Restarts a client's process. The new client has the same options and, if `recover`, the
    /// recovery key of the old one (RTN16). It is not connected; the caller connects it, attaches
    /// channels and enters members. The server detects the loss of the transport at once.
    pub fn restart_client(&mut self, client: usize, recover: bool) {
        self.log_fault(client, "restart");
        for number in self.links_of(client) {
            if let Some(link) = self.links.get_mut(&number) {
                link.client_end = End::Closed;
            }
            self.break_link(number, false, true);
        }
        let seed = self.seed;
        let now = self.now;
        let Some(host) = self.clients.get_mut(client) else { return };
        let key = if recover { host.core.connection().recovery_key() } else { None };
        host.restart(seed, client, key.clone());
        if let Some(calls) = &mut self.calls {
            calls.push(Call::client_restarted(now, client, key));
        }
    }
}

impl World {
    /// The links of a client, oldest first.
    fn links_of(&self, client: usize) -> Vec<u64> {
        let links = self.links.iter().filter(|(_, link)| link.client == client);
        links.map(|(&number, _)| number).collect()
    }

    fn for_links(&mut self, client: usize, change: impl FnMut(&mut Link)) {
        self.links.values_mut().filter(|link| link.client == client).for_each(change);
    }

    /// The link that a client uses or opens.
    pub(crate) fn newest_link(&self, client: usize) -> Option<u64> {
        let mut links = self.links.iter().rev();
        links
            .find(|(_, link)| link.client == client && link.client_end != End::Closed)
            .map(|(&number, _)| number)
    }

    fn log_fault(&mut self, client: usize, what: &str) {
        let name = self.client_name(client);
        self.trace.line(self.now, format_args!("-- {name}: {what}"));
    }
}

impl ClientHost {
    fn restart(&mut self, world_seed: u64, number: usize, recovery_key: Option<SmolStr>) {
        self.restarts += 1;
        let mut options = self.options.clone();
        options.recover = recovery_key;
        self.core = Client::new(options, client_seed(world_seed, number, self.restarts));
        self.wake = self.core.next_wake();
    }
}
