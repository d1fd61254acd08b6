//! What is known of a connection, and where connections are found.

use super::keys::Proof;
use super::limits::{Bucket, Serials};
use super::unfinished::Work;
use super::{Capability, Identity, sooner};
use crate::members::Slot;
use crate::slab::Slab;
use crate::wire::Format;
use crate::{Instant, SmolStr, TransportId, UnixMillis};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::hash::BuildHasher;
use core::time::Duration;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// A connection, from CONNECTED until it is closed or can no longer be resumed.
///
/// In this order: when thousands are lost at once, and when their grace ends, it counts how many
/// lines of memory each needs. What is looked at then comes first.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Connection {
    pub(super) transport: Option<TransportId>,
    /// When members leave whose channels are not attached: because the connection is lost, or
    /// because it came back and did not attach them again.
    pub(super) grace_at: Option<Instant>,
    /// While there is a transport: when something was last heard; then: when it was lost.
    pub(super) since: Instant,
    /// How long members stay after a loss, and the idle interval, in milliseconds.
    remain: u32,
    idle: u32,
    /// What few connections have.
    pub(super) more: Option<Box<More>>,
    /// The first of its attachments, and how many there are.
    pub(super) first: Option<Slot>,
    pub(super) attachments: u32,
    /// Frames above the inbound rate.
    pub(super) refused: u32,
    pub(super) congested: bool,
    pub(super) echo: bool,
    pub(super) heartbeats: bool,
    /// The format in which pages are written, if the host takes bytes.
    pub(super) format: Option<Format>,
    /// When the next ping is due.
    pub(super) ping_at: Instant,
    /// Bytes of its members in all channels.
    pub(super) member_bytes: usize,
    pub(super) serials: Serials,
    pub(super) inbound: Bucket,
    pub(super) syncs: Bucket,
    /// The latest timestamp of a leave that the server made up for one of its members. One that
    /// enters again is not stamped earlier, though the wall clock be set back: clients compare the
    /// two by time (RTP2b1).
    pub(super) left_at: UnixMillis,
    pub(super) id: SmolStr,
    pub(super) proof: Proof,
    pub(super) identity: Identity,
    pub(super) capability: Arc<Capability>,
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
    /// When syncs are due that were asked for too early.
    pub(super) syncs_at: Option<Instant>,
    /// What did not fit into the budget of a call.
    pub(super) work: Option<Box<Work>>,
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
            syncs: Bucket::default(),
            left_at: UnixMillis::from_millis(i64::MIN),
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

    /// Whether it has ended but for members that still have to be taken out.
    pub(super) fn is_ending(&self) -> bool {
        self.more.as_ref().and_then(|more| more.work.as_ref()).is_some_and(|work| work.is_ending())
    }

    /// Forgets what the transport that is lost had. Members that are on their way out go on
    /// leaving.
    pub(super) fn forget_transport(&mut self) {
        self.more = self.more.take().and_then(|more| more.work).map(|mut work| {
            work.transport_lost();
            Box::new(More { work: Some(work), ..More::default() })
        });
    }

    /// When members leave that have nobody to care for them from now on.
    pub(super) fn grace_from(&self, now: Instant) -> Instant {
        now.after(self.remain.into())
    }

    /// The idle interval, in milliseconds.
    pub(super) fn idle(&self) -> u64 {
        self.idle.into()
    }

    /// When a silent peer is given up (RTN23): after two idle intervals.
    pub(super) fn silent_at(&self) -> Instant {
        self.since.after(2 * self.idle())
    }

    /// When its timer must fire next. `ttl` is how long a lost connection can be resumed.
    pub(super) fn deadline(&self, ttl: Duration) -> Instant {
        let deadline = match self.transport {
            Some(_) => self.ping_at.min(self.silent_at()),
            None => self.since + ttl,
        };
        let mut earlier = self.grace_at;
        if let (Some(more), Some(_)) = (&self.more, self.transport) {
            earlier = sooner(earlier, sooner(more.expires_at, more.reauthorize_at));
            earlier = sooner(earlier, more.syncs_at);
        }
        earlier.map_or(deadline, |earlier| deadline.min(earlier))
    }
}

fn whole_millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// All connections, by slot, by id and by transport.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    slab: Slab<Slot, Option<Connection>>,
    ids: HashTable<Slot>,
    transports: HashTable<Slot>,
    hasher: FixedState,
}

impl Connections {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            slab: Slab::new(),
            ids: HashTable::new(),
            transports: HashTable::new(),
            hasher: FixedState::with_seed(seed),
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
        let hash = transport_hash(&self.hasher, transport);
        self.transports.find(hash, |slot| serves(&self.slab, *slot, transport)).copied()
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
            let (slab, hasher) = (&self.slab, &self.hasher);
            self.transports.insert_unique(transport_hash(hasher, transport), slot, |slot| {
                hash_in_slot(slab, hasher, *slot)
            });
        }
    }

    /// Takes a transport from its connection, and tells which one that is.
    pub(super) fn unbind(&mut self, transport: TransportId) -> Option<Slot> {
        let hash = transport_hash(&self.hasher, transport);
        let entry = self.transports.find_entry(hash, |slot| serves(&self.slab, *slot, transport));
        let (slot, _) = entry.ok()?.remove();
        if let Some(connection) = self.slab.get_mut(slot) {
            connection.transport = None;
        }
        let (len, capacity) = (self.transports.len(), self.transports.capacity());
        if len == 0 {
            self.transports = HashTable::new();
        } else if capacity > 64 && len < capacity / 8 {
            let (slab, hasher) = (&self.slab, &self.hasher);
            self.transports.shrink_to(len * 2, |slot| hash_in_slot(slab, hasher, *slot));
        }
        Some(slot)
    }
}

/// Transports that follow each other have neighbouring places, for hosts count them: when many are
/// lost at once, as they are when a network is, each finds its place in the cache.
fn transport_hash(hasher: &FixedState, TransportId(number): TransportId) -> u64 {
    const RUN: u32 = 6;
    let run = hasher.hash_one(number >> RUN) << RUN | number & ((1 << RUN) - 1);
    // The table tells neighbours apart by the highest bits.
    run ^ number << 57
}

fn hash_in_slot(slab: &Slab<Slot, Option<Connection>>, hasher: &FixedState, slot: Slot) -> u64 {
    let transport = slab.get(slot).and_then(|connection| connection.transport);
    transport.map_or(0, |transport| transport_hash(hasher, transport))
}

fn serves(slab: &Slab<Slot, Option<Connection>>, slot: Slot, transport: TransportId) -> bool {
    slab.get(slot).is_some_and(|connection| connection.transport == Some(transport))
}
