//! A connection: its transport, rights, rates and deadlines.

use super::{AttachmentSlot, InLog, Work};
use crate::server::bucket::TokenBucket;
use crate::server::keys::Proof;
use crate::server::{Capability, Identity, Rate};
use crate::time::sooner;
use crate::{Instant, TransportId};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

/// A connection, from CONNECTED until it is closed or can no longer be resumed.
///
/// The fields are ordered by access: when thousands of connections are lost at once, or their grace
/// periods end, each costs as few cache lines as possible.
#[derive(Clone, Debug)]
#[repr(C)]
pub(in crate::server) struct Connection {
    transport: Option<TransportId>,
    /// End of the grace period of members whose attachments are inactive: the connection is lost,
    /// or has resumed and not attached them again.
    grace_at: Option<Instant>,
    /// When the peer was last heard. Without a transport, when that was lost.
    last_heard: Instant,
    /// Grace period and idle interval, in milliseconds.
    grace_period: u32,
    idle: u32,
    rare: Option<Box<Rare>>,
    attachments: AttachmentList,
    /// Recent frames beyond the inbound rate.
    refused: u32,
    congested: bool,
    echo: bool,
    heartbeats: bool,
    /// Deadline of the next ping.
    ping_at: Instant,
    inbound: TokenBucket,
    syncs: TokenBucket,
    proof: Proof,
    identity: Identity,
    capability: Arc<Capability>,
    /// The run of this node in which the log was told of it; 0 if it was not.
    announced: u64,
    /// Whether it has come from another node.
    moved: bool,
}

/// The list of a connection's attachments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AttachmentList {
    pub(super) first: Option<AttachmentSlot>,
    pub(super) count: u32,
}

/// State that few connections have, or only for a short time. Boxed to keep connections small.
#[derive(Clone, Debug, Default)]
struct Rare {
    /// When to request a new token, and when the current one expires.
    reauthorize_at: Option<Instant>,
    expires_at: Option<Instant>,
    /// Deferred acknowledgements of a congested connection: the first serial and their number.
    acks: Option<(i64, u32)>,
    /// Answers sent since the connection became congested.
    replies: u32,
    /// When to start deferred syncs.
    deferred_syncs_at: Option<Instant>,
    /// Unfinished work.
    work: Option<Box<Work>>,
    /// Its frames in the log: how many, and the answers that wait for them.
    in_log: InLog,
}

/// The parameters of a connection, set by each new transport.
#[derive(Clone, Debug)]
pub(in crate::server) struct Terms {
    pub(in crate::server) capability: Arc<Capability>,
    pub(in crate::server) echo: bool,
    pub(in crate::server) heartbeats: bool,
    pub(in crate::server) grace_period: Duration,
    pub(in crate::server) idle: Duration,
    pub(in crate::server) expires_at: Option<Instant>,
    pub(in crate::server) reauthorize_at: Option<Instant>,
}

/// A due deadline of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Due {
    /// The peer was silent for too long.
    Silent,
    /// The token has expired.
    Expired,
    /// The client must obtain a new token.
    Reauthorize,
}

impl Default for Connection {
    fn default() -> Self {
        let terms = Terms {
            capability: Arc::new(Capability::none()),
            echo: true,
            heartbeats: false,
            grace_period: Duration::ZERO,
            idle: Duration::ZERO,
            expires_at: None,
            reauthorize_at: None,
        };
        Self::new(Proof::default(), Identity::Anonymous, terms)
    }
}

impl Connection {
    pub(in crate::server) fn new(proof: Proof, identity: Identity, terms: Terms) -> Self {
        let mut connection = Self {
            proof,
            identity,
            capability: Arc::clone(&terms.capability),
            transport: None,
            attachments: AttachmentList::default(),
            inbound: TokenBucket::default(),
            syncs: TokenBucket::default(),
            refused: 0,
            echo: true,
            heartbeats: false,
            congested: false,
            grace_period: 0,
            idle: 0,
            last_heard: Instant::ZERO,
            ping_at: Instant::ZERO,
            grace_at: None,
            rare: None,
            announced: 0,
            moved: false,
        };
        connection.set_terms(terms);
        connection
    }

    /// Sets the parameters of a new transport.
    pub(in crate::server) fn set_terms(&mut self, terms: Terms) {
        self.capability = terms.capability;
        self.echo = terms.echo;
        self.heartbeats = terms.heartbeats;
        self.grace_period = whole_millis(terms.grace_period);
        self.idle = whole_millis(terms.idle);
        self.set_expiry(terms.expires_at, terms.reauthorize_at);
    }

    fn set_expiry(&mut self, expires: Option<Instant>, reauthorize: Option<Instant>) {
        if expires.is_some() || self.rare.is_some() {
            let rare = self.rare();
            rare.expires_at = expires;
            rare.reauthorize_at = reauthorize;
        }
    }

    /// Sets a new capability and its expiry.
    pub(in crate::server) fn authorize(
        &mut self,
        capability: Arc<Capability>,
        expires: Option<Instant>,
        reauthorize: Option<Instant>,
    ) {
        self.capability = capability;
        self.set_expiry(expires, reauthorize);
    }

    pub(in crate::server) const fn transport(&self) -> Option<TransportId> {
        self.transport
    }

    pub(in crate::server) const fn is_congested(&self) -> bool {
        self.congested
    }

    /// Whether the publisher receives its own messages (RTN2b).
    pub(in crate::server) const fn echo(&self) -> bool {
        self.echo
    }

    /// Whether the client needs HEARTBEAT frames, because it cannot see pings (RTN23b).
    pub(in crate::server) const fn heartbeats(&self) -> bool {
        self.heartbeats
    }

    pub(in crate::server) const fn proof(&self) -> &Proof {
        &self.proof
    }

    pub(in crate::server) const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(in crate::server) const fn capability(&self) -> &Arc<Capability> {
        &self.capability
    }

    pub(in crate::server) const fn first_attachment(&self) -> Option<AttachmentSlot> {
        self.attachments.first
    }

    /// Number of attachments.
    pub(in crate::server) const fn attachments(&self) -> usize {
        self.attachments.count as usize
    }

    pub(super) const fn attachments_mut(&mut self) -> &mut AttachmentList {
        &mut self.attachments
    }

    pub(super) fn bind(&mut self, transport: TransportId, now: Instant) {
        self.transport = Some(transport);
        self.last_heard = now;
        self.ping_at = now.after(self.idle());
    }

    /// Forgets the state of the transport. Unfinished removals continue.
    pub(super) fn unbind(&mut self, now: Instant) {
        if let Some(rare) = self.rare.take() {
            let Rare { mut work, in_log, .. } = *rare;
            if let Some(work) = &mut work {
                work.transport_lost();
            }
            let in_log = in_log.without_answers();
            if work.is_some() || in_log.frames() > 0 {
                self.rare = Some(Box::new(Rare { work, in_log, ..Rare::default() }));
            }
        }
        self.refused = 0;
        self.last_heard = now;
        self.transport = None;
        self.grace_at = None;
    }

    pub(super) fn set_congested(&mut self, congested: bool) -> bool {
        if !congested && let Some(rare) = &mut self.rare {
            rare.replies = 0;
        }
        core::mem::replace(&mut self.congested, congested) != congested
    }

    /// The peer is alive.
    pub(in crate::server) const fn set_last_heard(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// Starts the grace period of members whose attachments are inactive.
    pub(in crate::server) fn start_grace(&mut self, now: Instant) {
        self.grace_at = Some(now.after(self.grace_period.into()));
    }

    pub(in crate::server) const fn end_grace(&mut self) {
        self.grace_at = None;
    }

    pub(in crate::server) fn grace_is_over(&self, now: Instant) -> bool {
        self.grace_at.is_some_and(|at| at <= now)
    }

    /// Whether a lost connection can no longer be resumed. `ttl`: how long it can.
    pub(in crate::server) fn is_expired(&self, ttl: Duration, now: Instant) -> bool {
        self.transport.is_none() && self.last_heard + ttl <= now
    }

    /// The idle interval, in milliseconds.
    pub(in crate::server) fn idle(&self) -> u64 {
        self.idle.into()
    }

    /// When a silent peer counts as lost (RTN23): after two idle intervals.
    fn silent_at(&self) -> Instant {
        self.last_heard.after(2 * self.idle())
    }

    /// The due deadline of the transport, apart from pings. A request for a new token is due once.
    pub(in crate::server) fn due(&mut self, now: Instant) -> Option<Due> {
        if self.silent_at() <= now {
            return Some(Due::Silent);
        }
        let rare = self.rare.as_mut()?;
        if rare.expires_at.is_some_and(|at| at <= now) {
            return Some(Due::Expired);
        }
        rare.reauthorize_at.take_if(|at| *at <= now).map(|_| Due::Reauthorize)
    }

    /// Whether a ping is due. Sets the deadline of the next one.
    pub(in crate::server) fn ping_is_due(&mut self, now: Instant) -> bool {
        let due = self.ping_at <= now;
        if due {
            self.ping_at = now.after(self.idle());
        }
        due
    }

    /// The next deadline. `ttl`: how long a lost connection can be resumed.
    pub(in crate::server) fn deadline(&self, ttl: Duration) -> Instant {
        let deadline = match self.transport {
            Some(_) => self.ping_at.min(self.silent_at()),
            None => self.last_heard + ttl,
        };
        let mut earlier = self.grace_at;
        if let (Some(rare), Some(_)) = (&self.rare, self.transport) {
            earlier = sooner(earlier, sooner(rare.expires_at, rare.reauthorize_at));
            earlier = sooner(earlier, rare.deferred_syncs_at);
        }
        earlier.map_or(deadline, |earlier| deadline.min(earlier))
    }

    /// Takes a token for an inbound frame. `Err` with the number of recent frames beyond the rate.
    pub(in crate::server) fn admit_frame(&mut self, rate: Rate, now: Instant) -> Result<(), u32> {
        if self.inbound.take(rate, now, 1) {
            self.refused = self.refused.saturating_sub(1);
            return Ok(());
        }
        self.refused = self.refused.saturating_add(1);
        Err(self.refused)
    }

    /// Takes a token for a requested sync, or returns the time of the next one.
    pub(in crate::server) fn admit_sync(
        &mut self,
        rate: Rate,
        now: Instant,
    ) -> Result<(), Instant> {
        if self.syncs.take(rate, now, 1) { Ok(()) } else { Err(self.syncs.next_token(rate)) }
    }

    /// Sets when to start deferred syncs; the earliest time counts.
    pub(in crate::server) fn defer_syncs_until(&mut self, at: Instant) {
        let rare = self.rare();
        rare.deferred_syncs_at = sooner(rare.deferred_syncs_at, Some(at));
    }

    /// Whether deferred syncs are due. They are due once.
    pub(in crate::server) fn take_deferred_syncs_timer(&mut self, now: Instant) -> bool {
        let rare = self.rare.as_mut();
        rare.and_then(|rare| rare.deferred_syncs_at.take_if(|at| *at <= now)).is_some()
    }

    /// Counts an answer to a congested connection, and returns their number. 0 if it is not
    /// congested.
    pub(in crate::server) fn count_reply(&mut self) -> u32 {
        if !self.congested {
            return 0;
        }
        let rare = self.rare();
        rare.replies = rare.replies.saturating_add(1);
        rare.replies
    }

    /// Defers an acknowledgement, merged with those before it if they are consecutive. Otherwise
    /// returns those, to be sent first: the first serial and their number.
    pub(in crate::server) fn defer_ack(&mut self, serial: i64) -> Option<(i64, u32)> {
        match &mut self.rare().acks {
            Some((first, count))
                if first.checked_add(i64::from(*count)) == Some(serial) && *count < u32::MAX =>
            {
                *count += 1;
                None
            }
            acks => acks.replace((serial, 1)),
        }
    }

    /// Takes the deferred acknowledgements: the first serial and their number.
    pub(in crate::server) fn take_deferred_acks(&mut self) -> Option<(i64, u32)> {
        self.rare.as_mut()?.acks.take()
    }

    /// The run of this node in which the log was told of it; 0 if it was not.
    pub(in crate::server) const fn announced(&self) -> u64 {
        self.announced
    }

    pub(in crate::server) const fn set_announced(&mut self, incarnation: u64) {
        self.announced = incarnation;
    }

    /// Whether it has come from another node.
    pub(in crate::server) const fn has_moved(&self) -> bool {
        self.moved
    }

    pub(in crate::server) const fn set_moved(&mut self) {
        self.moved = true;
    }

    pub(in crate::server) const fn set_identity(&mut self, identity: Identity) -> Identity {
        core::mem::replace(&mut self.identity, identity)
    }

    /// Grace period of its members, in milliseconds.
    pub(in crate::server) const fn grace_period(&self) -> u32 {
        self.grace_period
    }

    /// The end of the grace period.
    pub(in crate::server) const fn grace_at(&self) -> Option<Instant> {
        self.grace_at
    }

    /// Lets the grace period end later. The connection can be resumed until then. `ttl`: how long a
    /// lost connection can be resumed.
    pub(in crate::server) fn extend_grace(&mut self, until: Instant, ttl: Duration) {
        self.grace_at = Some(until);
        self.last_heard = self.last_heard.max(until - ttl);
    }

    /// Number of its frames that are on their way through the log.
    pub(in crate::server) fn frames_in_log(&self) -> u32 {
        self.rare.as_ref().map_or(0, |rare| rare.in_log.frames())
    }

    /// Whether answers wait for earlier frames.
    pub(in crate::server) fn has_waiting_answers(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.in_log.has_answers())
    }

    pub(in crate::server) fn in_log(&mut self) -> &mut InLog {
        &mut self.rare().in_log
    }

    /// Unfinished work.
    pub(in crate::server) fn work(&self) -> Option<&Work> {
        self.rare.as_ref()?.work.as_deref()
    }

    pub(in crate::server) fn work_mut(&mut self) -> &mut Option<Box<Work>> {
        &mut self.rare().work
    }

    /// Whether the connection has ended, but still has members.
    pub(in crate::server) fn is_ending(&self) -> bool {
        self.work().is_some_and(Work::is_ending)
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

fn whole_millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
