//! Replays a recording to new halves, unchanged or with a variation that must not change the
//! outputs.

use crate::run::Recording;
use presence_proto::client::{self, Client};
use presence_proto::server::{self, Server};
use presence_proto::{Instant, Now, UnixMillis};
use presence_sim::{Call, CallKind, client_seed, server_seed};
use std::collections::BTreeMap;

/// A variation of a replay. None may change the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Variation {
    /// Nothing.
    None,
    /// Additional ticks before each call: at the time of the previous call, of this call, and half
    /// way between them.
    ExtraTicks,
    /// The outbox is drained after this many calls.
    RareDrains(usize),
    /// The hash tables of the halves have another seed.
    HashSeed(u64),
    /// A tick after each call whose monotonic clock is this many milliseconds behind.
    BackwardTicks(u64),
}

/// The outputs of each half, in order and across restarts.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Replayed {
    /// The outputs of each node's server.
    pub nodes: BTreeMap<usize, Vec<server::Output>>,
    /// The outputs of each client.
    pub clients: BTreeMap<usize, Vec<client::Output>>,
}

impl Recording {
    /// The recorded outputs.
    #[must_use]
    pub fn outputs(&self) -> Replayed {
        let mut replayed = Replayed::default();
        for call in &self.calls {
            match &call.kind {
                CallKind::Server { node, outputs, .. } => {
                    replayed.nodes.entry(*node).or_default().extend(outputs.iter().cloned());
                }
                CallKind::Client { client, outputs, .. } => {
                    replayed.clients.entry(*client).or_default().extend(outputs.iter().cloned());
                }
                _ => {}
            }
        }
        replayed
    }

    /// Replays the calls to new halves and returns their outputs.
    #[must_use]
    pub fn replay(&self, variation: Variation) -> Replayed {
        let mut nodes: BTreeMap<usize, Player<Server, server::Output>> = BTreeMap::new();
        let mut clients: BTreeMap<usize, Player<Client, client::Output>> = BTreeMap::new();
        let (mut server_restarts, mut client_restarts) = (BTreeMap::new(), BTreeMap::new());
        for call in &self.calls {
            match &call.kind {
                CallKind::Server { node, input, .. } => {
                    let player = nodes.entry(*node).or_insert_with(|| {
                        Player::new(self.new_server(*node, 0, variation), variation)
                    });
                    player.call(call, input.clone(), server::Input::Tick, Server::handle);
                }
                CallKind::Client { client, input, .. } => {
                    let player = clients.entry(*client).or_insert_with(|| {
                        Player::new(self.new_client(*client, 0, None, variation), variation)
                    });
                    player.call(call, input.clone(), client::Input::Tick, Client::handle);
                }
                CallKind::ServerRestarted { node } => {
                    let restarts = server_restarts.entry(*node).or_insert(0);
                    *restarts += 1;
                    let core = self.new_server(*node, *restarts, variation);
                    replace(&mut nodes, *node, core, variation);
                }
                CallKind::ClientRestarted { client, recover } => {
                    let restarts = client_restarts.entry(*client).or_insert(0);
                    *restarts += 1;
                    let core = self.new_client(*client, *restarts, recover.clone(), variation);
                    replace(&mut clients, *client, core, variation);
                }
            }
        }
        Replayed { nodes: finish(nodes), clients: finish(clients) }
    }

    fn new_server(&self, node: usize, restarts: u64, variation: Variation) -> Server {
        let options = self.nodes.get(node).cloned().unwrap_or_default();
        let server = Server::new(options, server_seed(self.seed, node, restarts));
        match variation {
            Variation::HashSeed(seed) => server.with_hash_seed(seed),
            _ => server,
        }
    }

    fn new_client(
        &self,
        number: usize,
        restarts: u64,
        recover: Option<presence_proto::SmolStr>,
        variation: Variation,
    ) -> Client {
        let mut options = self.clients.get(number).cloned().unwrap_or_default();
        if restarts > 0 {
            options.recover = recover;
        }
        let client = Client::new(options, client_seed(self.seed, number, restarts));
        match variation {
            Variation::HashSeed(seed) => client.with_hash_seed(seed),
            _ => client,
        }
    }
}

/// Replaces a half that has restarted.
fn replace<C, O>(
    players: &mut BTreeMap<usize, Player<C, O>>,
    number: usize,
    core: C,
    variation: Variation,
) {
    match players.get_mut(&number) {
        Some(player) => {
            player.drain();
            player.core = core;
        }
        None => {
            players.insert(number, Player::new(core, variation));
        }
    }
}

/// The outputs of each half.
fn finish<C, O>(players: BTreeMap<usize, Player<C, O>>) -> BTreeMap<usize, Vec<O>> {
    players.into_iter().map(|(number, player)| (number, player.finish())).collect()
}

/// One half and its outbox.
struct Player<C, O> {
    core: C,
    out: presence_proto::Outbox<O>,
    outputs: Vec<O>,
    variation: Variation,
    calls: usize,
    last: Option<Now>,
}

impl<C, O> Player<C, O> {
    const fn new(core: C, variation: Variation) -> Self {
        Self {
            core,
            out: presence_proto::Outbox::new(),
            outputs: Vec::new(),
            variation,
            calls: 0,
            last: None,
        }
    }

    fn call<I: Clone>(
        &mut self,
        call: &Call,
        input: I,
        tick: I,
        handle: impl Fn(&mut C, Now, I, &mut presence_proto::Outbox<O>) -> presence_proto::Wake,
    ) {
        let now = call.now;
        if self.variation == Variation::ExtraTicks {
            // Work beyond the budget of the previous call is due at its time; nothing is due half
            // way.
            for at in self.last.map(|last| [last, half_way(last, now)]).into_iter().flatten() {
                handle(&mut self.core, at, tick.clone(), &mut self.out);
            }
            handle(&mut self.core, now, tick.clone(), &mut self.out);
        }
        handle(&mut self.core, now, input, &mut self.out);
        if let Variation::BackwardTicks(by) = self.variation {
            let mono = now.mono.as_millis().saturating_sub(by);
            let earlier = Now::new(Instant::from_millis(mono), now.wall);
            handle(&mut self.core, earlier, tick, &mut self.out);
        }
        self.last = Some(now);
        self.calls += 1;
        let every =
            if let Variation::RareDrains(every) = self.variation { every.max(1) } else { 1 };
        if self.calls.is_multiple_of(every) {
            self.drain();
        }
    }

    fn drain(&mut self) {
        self.outputs.extend(self.out.drain());
    }

    fn finish(mut self) -> Vec<O> {
        self.drain();
        self.outputs
    }
}

fn half_way(from: Now, to: Now) -> Now {
    let mono = u64::midpoint(from.mono.as_millis(), to.mono.as_millis());
    let passed = mono.saturating_sub(from.mono.as_millis());
    let wall = from.wall.as_millis().saturating_add_unsigned(passed);
    Now::new(Instant::from_millis(mono), UnixMillis::from_millis(wall))
}
