//! The state of the simulated hosts: one for each client, one for the server.

use crate::application::Application;
use crate::network::Latency;
use crate::seeds::{client_seed, server_seed};
use presence_proto::client::{self, Client, ClientOptions};
use presence_proto::server::{self, Capability, Identity, Server, ServerOptions};
use presence_proto::wire::Format;
use presence_proto::{Instant, Now, SmolStr, UnixMillis, Wake};
use std::collections::VecDeque;
use std::sync::Arc;

/// Unix time of all wall clocks at virtual time 0, in milliseconds.
const EPOCH: i64 = 1_000_000_000;

/// Ticks per virtual second above which a half counts as stuck in a loop.
const MAX_TICKS: u32 = 20_000;

/// A client, its host and its application.
#[derive(Clone, Debug)]
pub(crate) struct ClientHost {
    pub(crate) name: SmolStr,
    pub(crate) identity: Identity,
    pub(crate) capability: Arc<Capability>,
    /// Expiry of the token of the next transport.
    pub(crate) token_expires: Option<UnixMillis>,
    /// `TokenRequired` is delivered to the application instead of being answered by the host.
    pub(crate) manual_tokens: bool,
    pub(crate) options: ClientOptions,
    pub(crate) core: Client,
    pub(crate) wake: Wake,
    pub(crate) out: client::Outbox,
    pub(crate) ticks: Ticks,
    pub(crate) wall_offset: i64,
    pub(crate) latency: Latency,
    pub(crate) format: Option<Format>,
    pub(crate) unreachable: bool,
    pub(crate) sync_pages_delayed: bool,
    pub(crate) restarts: u64,
    pub(crate) application: Application,
}

impl ClientHost {
    pub(crate) fn new(
        name: SmolStr,
        identity: Identity,
        options: ClientOptions,
        world_seed: u64,
        number: usize,
    ) -> Self {
        let core = Client::new(options.clone(), client_seed(world_seed, number, 0));
        Self {
            name,
            identity,
            capability: Arc::new(Capability::all()),
            token_expires: None,
            manual_tokens: false,
            options,
            wake: core.next_wake(),
            core,
            out: client::Outbox::new(),
            ticks: Ticks::default(),
            wall_offset: 0,
            latency: Latency::default(),
            format: None,
            unreachable: false,
            sync_pages_delayed: false,
            restarts: 0,
            application: Application::default(),
        }
    }
}

/// The server and its host.
#[derive(Clone, Debug)]
pub(crate) struct ServerHost {
    pub(crate) options: ServerOptions,
    pub(crate) core: Server,
    pub(crate) wake: Wake,
    pub(crate) out: server::Outbox,
    pub(crate) ticks: Ticks,
    pub(crate) wall_offset: i64,
    pub(crate) restarts: u64,
    /// Inputs caused by outputs: they are passed in when the running call has returned.
    pub(crate) follow_ups: VecDeque<server::Input>,
}

impl ServerHost {
    pub(crate) fn new(options: ServerOptions, world_seed: u64) -> Self {
        let core = Server::new(options.clone(), server_seed(world_seed, 0));
        Self {
            options,
            wake: core.next_wake(),
            core,
            out: server::Outbox::new(),
            ticks: Ticks::default(),
            wall_offset: 0,
            restarts: 0,
            follow_ups: VecDeque::new(),
        }
    }
}

/// Ticks of a half in the current virtual second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ticks {
    second: u64,
    count: u32,
}

impl Ticks {
    /// Counts a tick. True if there are too many.
    pub(crate) fn count(&mut self, now: u64) -> bool {
        let second = now / 1_000;
        if second != self.second {
            *self = Self { second, count: 0 };
        }
        self.count += 1;
        self.count > MAX_TICKS
    }
}

/// Both clocks of a host at the virtual time `now`.
pub(crate) fn clocks(now: u64, wall_offset: i64) -> Now {
    let wall = EPOCH.saturating_add_unsigned(now).saturating_add(wall_offset);
    Now::new(Instant::from_millis(now), UnixMillis::from_millis(wall))
}
