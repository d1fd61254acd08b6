//! Everything that can go wrong between a client and a server, and to either.

use crate::network::{BROKEN, End, Latency, Packet};
use crate::world::{World, client_seed, server_seed};
use presence_proto::client::{self, Client};
use presence_proto::server::{self, Server};
use presence_proto::wire::{ErrorInfo, Format, codes};
use presence_proto::{SmolStr, TransportId};

/// Faults. Those that name a client number there is no client of do nothing.
impl World {
    /// The transport of a client breaks: both ends learn of it at once, and frames under way are
    /// lost. The client reconnects by itself; whether it can resume is up to the server.
    pub fn cut(&mut self, client: usize) {
        self.say(client, "the transport breaks");
        for number in self.links_of(client) {
            self.break_link(number, true, true);
        }
    }

    /// The transport of a client breaks after `frames` more frames, counted in both directions.
    pub fn cut_after(&mut self, client: usize, frames: u32) {
        self.say(client, "the transport has a fuse");
        if let Some(link) = self.newest_link(client).and_then(|n| self.links.get_mut(&n)) {
            link.fuse = Some(frames);
        }
    }

    /// The transport of a client will not break by itself after all.
    pub fn defuse(&mut self, client: usize) {
        for number in self.links_of(client) {
            if let Some(link) = self.links.get_mut(&number) {
                link.fuse = None;
            }
        }
    }

    /// The transport of a client breaks, and only the client learns of it: the server keeps a
    /// half-open transport until it notices the silence, or is told of a newer one.
    pub fn cut_unseen_by_server(&mut self, client: usize) {
        self.say(client, "the transport breaks, unseen by the server");
        for number in self.links_of(client) {
            self.break_link(number, true, false);
        }
    }

    /// The transport of a client breaks, and only the server learns of it: the client keeps a
    /// half-open transport until it notices the silence.
    pub fn cut_unseen_by_client(&mut self, client: usize) {
        self.say(client, "the transport breaks, unseen by the client");
        for number in self.links_of(client) {
            self.break_link(number, false, true);
        }
    }

    /// The cable is pulled: nothing arrives any more on the transport of a client, and nobody is
    /// told.
    pub fn unplug(&mut self, client: usize) {
        self.say(client, "the cable is pulled");
        for number in self.links_of(client) {
            self.break_link(number, false, false);
        }
    }

    /// What a client sends waits and does not arrive, until [`flow`](Self::flow).
    pub fn stall_up(&mut self, client: usize) {
        self.say(client, "what it sends is stuck");
        for number in self.links_of(client) {
            if let Some(link) = self.links.get_mut(&number) {
                link.up.stalled = true;
            }
        }
    }

    /// A client does not read: what the server sends waits, and when too much waits, the server
    /// is told (`Congested`), until [`flow`](Self::flow).
    pub fn stall_down(&mut self, client: usize) {
        self.say(client, "it does not read");
        for number in self.links_of(client) {
            if let Some(link) = self.links.get_mut(&number) {
                link.down.stalled = true;
            }
        }
    }

    /// Pages of syncs come to a client later than the server sends them: PRESENCE overtakes them,
    /// until [`flow`](Self::flow). Nothing else does. A server alone never does so; in a cluster,
    /// where a page may have been made by another node than the one that tells events, it is
    /// everyday (RTP2h2).
    pub fn delay_pages(&mut self, client: usize) {
        self.say(client, "pages of syncs are late");
        if let Some(peer) = self.clients.get_mut(client) {
            peer.late_pages = true;
        }
    }

    /// What was stalled in either direction, or late, arrives.
    pub fn flow(&mut self, client: usize) {
        self.say(client, "traffic flows again");
        if let Some(peer) = self.clients.get_mut(client) {
            peer.late_pages = false;
        }
        for number in self.links_of(client) {
            if let Some(link) = self.links.get_mut(&number) {
                link.up.stalled = false;
                link.down.stalled = false;
            }
            self.receive_late(number);
        }
    }

    /// The server's host says that its queue for a client is long, and in the same breath that it
    /// is short again. Nothing is lost: a host delivers what it was given before it said so.
    pub fn hiccup(&mut self, client: usize) {
        self.say(client, "the queue for it is long for a moment");
        for number in self.links_of(client) {
            let open = |world: &Self| {
                world.links.get(&number).is_some_and(|link| link.server_end == End::Open)
            };
            let transport = TransportId(number);
            let congested = self.links.get(&number).is_some_and(|link| link.congested);
            if congested || !open(self) {
                continue;
            }
            self.server_input(server::Input::congested(transport));
            // The server may have given the transport up.
            if open(self) {
                self.server_input(server::Input::writable(transport));
            }
        }
    }

    /// Whether a client's new transports can be opened. Those that are open stay open.
    pub fn set_reachable(&mut self, client: usize, reachable: bool) {
        let what =
            if reachable { "the server can be reached" } else { "the server is out of reach" };
        self.say(client, what);
        if let Some(peer) = self.clients.get_mut(client) {
            peer.unreachable = !reachable;
        }
    }

    /// How long packets from and to a client take, from now on.
    pub fn set_latency(&mut self, client: usize, latency: Latency) {
        if let Some(peer) = self.clients.get_mut(client) {
            peer.latency = latency;
        }
    }

    /// Whether the frames of a client travel as bytes of a format, from now on; by default they
    /// are handed over as they are.
    pub fn set_format(&mut self, client: usize, format: Option<Format>) {
        if let Some(peer) = self.clients.get_mut(client) {
            peer.format = format;
        }
    }

    /// A client sends something that is no frame.
    pub fn send_garbage(&mut self, client: usize) {
        let now = self.now;
        let latency = self.clients.get(client).map_or(0, |peer| peer.latency.up);
        if let Some(link) = self.newest_link(client).and_then(|n| self.links.get_mut(&n))
            && link.client_end == End::Open
        {
            link.up.send(now + latency, Packet::Garbage);
        }
    }

    /// The wall clock of the server's host steps by so many milliseconds. Its monotonic clock
    /// does not.
    pub fn step_server_clock(&mut self, by: i64) {
        self.trace.line(self.now, format_args!("-- the server's wall clock steps by {by} ms"));
        self.server.wall_offset = self.server.wall_offset.saturating_add(by);
    }

    /// The wall clock of a client's host steps by so many milliseconds.
    pub fn step_client_clock(&mut self, client: usize, by: i64) {
        self.say(client, "its wall clock steps");
        if let Some(peer) = self.clients.get_mut(client) {
            peer.wall_offset = peer.wall_offset.saturating_add(by);
        }
    }

    /// The server's host takes members out of a channel: those of one client id, or all.
    pub fn kick(&mut self, channel: &str, client_id: Option<&str>) {
        self.trace.line(self.now, format_args!("-- members of {channel} are taken out"));
        self.server_input(server::Input::kick(channel, client_id.map(SmolStr::from), None));
    }

    /// The server's host loses every transport, but the server itself lives on (a proxy before it
    /// was restarted).
    pub fn drop_all_transports(&mut self) {
        self.trace.line(self.now, format_args!("-- every transport breaks"));
        for number in self.links.keys().copied().collect::<Vec<_>>() {
            self.break_link(number, true, true);
        }
    }

    /// The server's process dies and a new one takes its place, which knows nothing of
    /// connections, members and history.
    pub fn restart_server(&mut self) {
        self.trace.line(self.now, format_args!("-- the server starts anew, without its state"));
        self.server.restarts += 1;
        let seed = server_seed(self.seed, self.server.restarts);
        self.server.core = Server::new(self.server.config.clone(), seed);
        self.server.wake = self.server.core.next_wake();
        for number in self.links.keys().copied().collect::<Vec<_>>() {
            if let Some(link) = self.links.get_mut(&number)
                && link.server_end == End::Open
            {
                link.server_end = End::Closed;
            }
            self.break_link(number, true, false);
        }
        if let Some(calls) = &mut self.calls {
            calls.push(crate::Call::server_restarted(self.now));
        }
    }

    /// A client's process dies and a new one takes its place, with the recovery key of the old
    /// one if `recover`. The new one has to connect, attach and enter by itself.
    pub fn restart_client(&mut self, client: usize, recover: bool) {
        self.say(client, "its process starts anew");
        for number in self.links_of(client) {
            if let Some(link) = self.links.get_mut(&number) {
                link.client_end = End::Closed;
            }
            self.break_link(number, false, true);
        }
        let seed = self.seed;
        let now = self.now;
        let Some(peer) = self.clients.get_mut(client) else { return };
        let key = if recover { peer.core.connection().recovery_key() } else { None };
        peer.restarts += 1;
        let mut options = peer.options.clone();
        options.recover.clone_from(&key);
        peer.core = Client::new(options, client_seed(seed, client, peer.restarts));
        peer.wake = peer.core.next_wake();
        if let Some(calls) = &mut self.calls {
            calls.push(crate::Call::client_restarted(now, client, key));
        }
    }

    /// Breaks a link, and tells whom it may concern.
    pub(crate) fn break_link(&mut self, number: u64, tell_client: bool, tell_server: bool) {
        let Some(link) = self.links.get_mut(&number) else { return };
        link.up.kill();
        link.down.kill();
        link.late.clear();
        link.fuse = None;
        let (client, transport) = (link.client, link.transport);
        let client_end = link.client_end;
        let server_end = link.server_end;
        if tell_client {
            link.client_end = End::Closed;
        }
        if tell_server && server_end != End::Opening {
            link.server_end = End::Closed;
        }
        if tell_server && server_end == End::Open {
            self.server_input(server::Input::closed(TransportId(number)));
        }
        if tell_client {
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

    /// The links of a client, oldest first.
    fn links_of(&self, client: usize) -> Vec<u64> {
        let ours = self.links.iter().filter(|(_, link)| link.client == client);
        ours.map(|(&number, _)| number).collect()
    }

    /// The link that a client uses, or is opening.
    pub(crate) fn newest_link(&self, client: usize) -> Option<u64> {
        let mut links = self.links.iter().rev();
        links
            .find(|(_, link)| link.client == client && link.client_end != End::Closed)
            .map(|(&number, _)| number)
    }

    fn say(&mut self, client: usize, what: &str) {
        let name = self.clients.get(client).map_or(SmolStr::default(), |peer| peer.name.clone());
        self.trace.line(self.now, format_args!("-- {name}: {what}"));
    }
}
