//! When other nodes were heard, and what this one has to do about silent ones.

use crate::Instant;
use crate::server::LogOptions;
use crate::server::record::Gone;
use crate::server::state::{Incarnation, Incarnations};
use alloc::collections::BTreeMap;
use core::time::Duration;

/// When each run of a node was heard last, by the clock of this node.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Peers(BTreeMap<u64, Peer>);

#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    heard: Instant,
    /// When this node proposed that the other is gone. It waits for a lease before it does so again.
    proposed: Option<Instant>,
}

impl Peers {
    /// An entry of a run was heard.
    pub(in crate::server) fn heard(&mut self, incarnation: u64, now: Instant) {
        self.0.insert(incarnation, Peer { heard: now, proposed: None });
    }

    /// The clocks of all leases start anew: nothing could be heard.
    pub(in crate::server) fn restart(&mut self, now: Instant) {
        for peer in self.0.values_mut() {
            *peer = Peer { heard: now, proposed: None };
        }
    }

    /// This node has proposed that a run is gone.
    pub(in crate::server) fn proposed(&mut self, incarnation: u64, now: Instant) {
        if let Some(peer) = self.0.get_mut(&incarnation) {
            peer.proposed = Some(now);
        }
    }

    /// A proposal that a run is gone was applied.
    pub(in crate::server) fn settled(&mut self, incarnation: u64) {
        if let Some(peer) = self.0.get_mut(&incarnation) {
            peer.proposed = None;
        }
    }

    pub(in crate::server) fn forget(&mut self, known: &Incarnations) {
        self.0.retain(|number, _| known.get(*number).is_some());
    }

    fn get(&self, incarnation: u64) -> Peer {
        self.0.get(&incarnation).copied().unwrap_or_default()
    }
}

/// The next run of which this node has to say that it is gone: when, and the record to propose then.
/// `own` is this node's run, `ttl` how long a lost connection can be resumed.
///
/// Every node may say so, in turn by rank, so that usually one does; a second record is void.
pub(in crate::server) fn duty(
    peers: &Peers,
    known: &Incarnations,
    own: u64,
    options: &LogOptions,
    ttl: Duration,
    now: Instant,
) -> Option<(Instant, Gone)> {
    let silent = known.iter().filter(|(number, _)| *number != own);
    let duties = silent.filter_map(|(number, incarnation)| {
        let peer = peers.get(number);
        let silence = next_silence(incarnation, options.lease, ttl)?;
        let turn = options.stagger.saturating_mul(rank(known, own, number));
        let mut at = peer.heard + silence + turn;
        if let Some(proposed) = peer.proposed {
            at = at.max(proposed + options.lease);
        }
        let elapsed = now.saturating_since(peer.heard);
        let gone = Gone {
            incarnation: number,
            next_seq: incarnation.next_seq(),
            grace: u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX),
            ends: elapsed >= ttl,
        };
        Some((at, gone))
    });
    duties.min_by_key(|(at, gone)| (*at, gone.incarnation))
}

/// The silence of a run after which the next of its connections are over.
fn next_silence(incarnation: &Incarnation, lease: Duration, ttl: Duration) -> Option<Duration> {
    if !incarnation.is_fenced() {
        return Some(lease);
    }
    let grace = incarnation.shortest_grace().map(|grace| Duration::from_millis(grace.into()));
    match grace {
        Some(grace) => Some(grace.max(lease).min(ttl.max(lease))),
        None => incarnation.has_connections().then_some(ttl.max(lease)),
    }
}

/// The number of active nodes before this one, by name, apart from the silent one.
fn rank(known: &Incarnations, own: u64, silent: u64) -> u32 {
    let Some(name) = known.get(own).map(Incarnation::node) else { return 0 };
    let before = known
        .iter()
        .filter(|(number, other)| *number != silent && other.is_active() && other.node() < name);
    u32::try_from(before.count()).unwrap_or(u32::MAX)
}
