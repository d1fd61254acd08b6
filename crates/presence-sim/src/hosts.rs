//! The state of the clients' simulated hosts.

use crate::application::Application;
use crate::clocks::Ticks;
use crate::network::Latency;
use crate::seeds::client_seed;
use presence_proto::client::{self, Client, ClientOptions};
use presence_proto::server::{Capability, Identity};
use presence_proto::wire::Format;
use presence_proto::{SmolStr, UnixMillis, Wake};
use std::sync::Arc;

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
    /// The node of the next transport, if one was chosen.
    pub(crate) node: Option<usize>,
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
            node: None,
            sync_pages_delayed: false,
            restarts: 0,
            application: Application::default(),
        }
    }
}
