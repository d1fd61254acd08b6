//! What is known of a connection, and where connections are found.

use super::keys::Proof;
use super::limits::{Bucket, Serials};
use super::{Capability, Identity};
use crate::members::{Slab, Slot};
use crate::wire::Format;
use crate::{Instant, SmolStr, TransportId};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::hash::BuildHasher;
use core::time::Duration;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

/// A connection, from CONNECTED until it is closed or can no longer be resumed.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) id: SmolStr,
    pub(super) proof: Proof,
    pub(super) identity: Identity,
    pub(super) capability: Arc<Capability>,
    pub(super) transport: Option<TransportId>,
    /// The first of its attachments, and how many there are.
    pub(super) first: Option<Slot>,
    pub(super) attachments: u32,
    /// Bytes of its members in all channels.
    pub(super) member_bytes: usize,
    pub(super) serials: Serials,
    pub(super) inbound: Bucket,
    /// Frames above the inbound rate.
    pub(super) refused: u32,
    pub(super) echo: bool,
    pub(super) heartbeats: bool,
    /// The format in which pages are written, if the host takes bytes.
    pub(super) format: Option<Format>,
    pub(super) congested: bool,
    /// How long members stay after a loss, and the idle interval, in milliseconds.
    remain: u32,
    idle: u32,
    /// While there is a transport: when something was last heard; then: when it was lost.
    pub(super) since: Instant,
    /// When the next ping is due.
    pub(super) ping_at: Instant,
    /// When members leave whose channels are not attached: because the connection is lost, or
    /// because it came back and did not attach them again.
    pub(super) grace_at: Option<Instant>,
    /// What few connections have.
    pub(super) more: Option<Box<More>>,
}

/// What few connections have, or have for a short time.
#[derive(Clone, Debug, Default)]
pub(super) struct More {
    /// When the client is asked for a new token, and when the old one expires.
    pub(super) reauthorize_at: Option<Instant>,
    pub(super) expires_at: Option<Instant>,
    /// Acknowledgements that a congested transport is owed: the first serial and how many.
    pub(super) acks: Option<(i64, u32)>,
    /// Frames sent in answer to its own while it is congested.
    pub(super) replies: u32,
}

/// What a new transport brings along.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) capability: Arc<Capability>,
    pub(super) echo: bool,
    pub(super) heartbeats: bool,
    pub(super) format: Option<Format>,
    pub(super) remain: Duration,
    pub(super) idle: Duration,
    pub(super) expires_at: Option<Instant>,
    pub(super) reauthorize_at: Option<Instant>,
}

impl Connection {
    pub(super) fn new(id: SmolStr, proof: Proof, identity: Identity, terms: Terms) -> Self {
        let mut connection = Self {
            id,
            proof,
            identity,
            capability: Arc::clone(&terms.capability),
            transport: None,
            first: None,
            attachments: 0,
            member_bytes: 0,
            serials: Serials::default(),
            inbound: Bucket::default(),
            refused: 0,
            echo: true,
            heartbeats: false,
            format: None,
            congested: false,
            remain: 0,
            idle: 0,
            since: Instant::ZERO,
            ping_at: Instant::ZERO,
            grace_at: None,
            more: None,
        };
        connection.set_terms(terms);
        connection
    }

    pub(super) fn set_terms(&mut self, terms: Terms) {
        self.capability = terms.capability;
        self.echo = terms.echo;
        self.heartbeats = terms.heartbeats;
        self.format = terms.format;
        self.remain = whole_millis(terms.remain);
        self.idle = whole_millis(terms.idle);
        self.set_expiry(terms.expires_at, terms.reauthorize_at);
    }

    pub(super) fn set_expiry(&mut self, expires: Option<Instant>, reauthorize: Option<Instant>) {
        if expires.is_some() || self.more.is_some() {
            let more = self.more.get_or_insert_default();
            more.expires_at = expires;
            more.reauthorize_at = reauthorize;
        }
    }

    pub(super) const fn remain(&self) -> Duration {
        Duration::from_millis(self.remain as u64)
    }

    pub(super) const fn idle(&self) -> Duration {
        Duration::from_millis(self.idle as u64)
    }

    /// When a silent peer is given up (RTN23): after two idle intervals.
    pub(super) fn silent_at(&self) -> Instant {
        self.since + self.idle() * 2
    }

    /// When its timer must fire next. `ttl` is how long a lost connection can be resumed.
    pub(super) fn deadline(&self, ttl: Duration) -> Instant {
        let mut deadline = match self.transport {
            Some(_) => self.ping_at.min(self.silent_at()),
            None => self.since + ttl,
        };
        if let (Some(more), Some(_)) = (&self.more, self.transport) {
            for at in [more.expires_at, more.reauthorize_at].into_iter().flatten() {
                deadline = deadline.min(at);
            }
        }
        self.grace_at.map_or(deadline, |grace| deadline.min(grace))
    }
}

fn whole_millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// All connections, by slot, by id and by transport.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    slab: Slab<Connection>,
    ids: HashTable<Slot>,
    transports: HashMap<TransportId, Slot, FixedState>,
    hasher: FixedState,
}

impl Connections {
    pub(super) fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            slab: Slab::new(),
            ids: HashTable::new(),
            transports: HashMap::with_hasher(hasher.clone()),
            hasher,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn transports(&self) -> usize {
        self.transports.len()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Connection> {
        self.slab.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Connection> {
        self.slab.get_mut(slot)
    }

    /// The first connection at or after a slot.
    pub(super) fn next_from(&self, slot: u32) -> Option<(Slot, &Connection)> {
        self.slab.next_from(slot)
    }

    pub(super) fn by_id(&self, id: &str) -> Option<Slot> {
        let same = |slot: &Slot| self.slab.get(*slot).is_some_and(|c| c.id == id);
        self.ids.find(self.hasher.hash_one(id), same).copied()
    }

    pub(super) fn by_transport(&self, transport: TransportId) -> Option<Slot> {
        self.transports.get(&transport).copied()
    }

    pub(super) fn insert(&mut self, connection: Connection) -> Option<Slot> {
        let hash = self.hasher.hash_one(connection.id.as_str());
        let slot = self.slab.insert(connection)?;
        let (slab, hasher) = (&self.slab, &self.hasher);
        self.ids.insert_unique(hash, slot, |slot| {
            slab.get(*slot).map_or(0, |c| hasher.hash_one(c.id.as_str()))
        });
        Some(slot)
    }

    /// Forgets a connection that has no transport.
    pub(super) fn remove(&mut self, slot: Slot) {
        let Some(connection) = self.slab.remove(slot) else { return };
        let hash = self.hasher.hash_one(connection.id.as_str());
        if let Ok(entry) = self.ids.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
        if self.slab.len() == 0 {
            self.ids = HashTable::new();
        } else if self.ids.capacity() > 64 && self.ids.len() < self.ids.capacity() / 8 {
            let (slab, hasher) = (&self.slab, &self.hasher);
            self.ids.shrink_to(self.ids.len() * 2, |slot| {
                slab.get(*slot).map_or(0, |c| hasher.hash_one(c.id.as_str()))
            });
        }
    }

    /// Gives a connection a transport.
    pub(super) fn bind(&mut self, slot: Slot, transport: TransportId) {
        if let Some(connection) = self.slab.get_mut(slot) {
            connection.transport = Some(transport);
            self.transports.insert(transport, slot);
        }
    }

    /// Takes a transport from its connection, and tells which one that is.
    pub(super) fn unbind(&mut self, transport: TransportId) -> Option<Slot> {
        let slot = self.transports.remove(&transport)?;
        if let Some(connection) = self.slab.get_mut(slot) {
            connection.transport = None;
        }
        if self.transports.is_empty() {
            self.transports = HashMap::with_hasher(self.hasher.clone());
        } else if self.transports.capacity() > 64
            && self.transports.len() < self.transports.capacity() / 8
        {
            self.transports.shrink_to(self.transports.len() * 2);
        }
        Some(slot)
    }
}
