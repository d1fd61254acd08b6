//! The client half: connection, channels and presence for an application.
//!
//! Only [`Client::handle`] changes state; all results are [`Output`]s. Between calls the state can be
//! read: [`Client::connection`], [`Client::channel`].
//!
//! ```
//! use presence_proto::client::{Client, ClientOptions, Input, Outbox, Output};
//! use presence_proto::{Now, OpId};
//!
//! let mut options = ClientOptions::default();
//! options.client_id = Some("alice".into());
//! let mut client = Client::new(options, 7);
//! let mut out = Outbox::new();
//!
//! // Operations are queued until the connection and the channel are ready.
//! let wake = client.handle(Now::from_millis(0), Input::enter(OpId(1), "room", None), &mut out);
//! assert_eq!(wake.at(), None);
//! let wake = client.handle(Now::from_millis(0), Input::Connect, &mut out);
//! // A connection attempt times out after ten seconds.
//! assert_eq!(wake.at().map(|at| at.as_millis()), Some(10_000));
//! assert!(out.drain().any(|output| matches!(output, Output::Open(_))));
//! ```
//!
//! # Results of operations
//!
//! Each operation ends with exactly one [`Output::Done`]. The error of a failed operation is the
//! server's, or one of these ([`codes`](crate::wire::codes) has their names).
//!
//! | code | cause |
//! |---|---|
//! | 40000 | one of the [`Limits`] is reached; an empty channel name; an action or a frame that an application cannot send |
//! | 40009 | the presence message is larger than the connection allows (TO3l8) |
//! | 40012 | the client cannot act for this client id, or has none (RTP8j, RTP15f) |
//! | 40013 | JSON data that is neither an object nor an array (RSL4a) |
//! | 50001 | the server skipped the message |
//! | 80000, 80002, 80003, 80017 | the connection is failed, suspended, disconnected or closed, and the operation is not queued (RTP16c, RTL4b); or the reason of the connection's state |
//! | 80014 | a ping had timed out (RTN13c) |
//! | 90000, 90001 | the channel failed, was detached, or its state does not allow the operation (RTP8g, RTL5b) |
//! | 90007 | ATTACH or DETACH had timed out (RTL4f, RTL5f) |
//! | 91005 | `get` with `wait_for_sync` on a suspended channel (RTP11d) |
//! | 91008 | `get` without the mode PRESENCE_SUBSCRIBE, in strict mode (RTP11f1) |
//!
//! ATTACH, DETACH and pings time out ten seconds after they were sent, even if the connection was
//! lost in between (RTL4f, RTL5f, RTN13c). Sending a request again does not extend its time; an
//! operation that joins a running request shares its time. The delay before a channel is attached
//! again ends with the connection (RTL13c). Other operations have no timeout: while the client may
//! still reconnect, a sent message waits for its acknowledgement, new credentials wait for the next
//! CONNECTED, and `get` waits for its sync.
//!
//! # Decisions
//!
//! The newest wording of the protocol's features document applies. Where it is silent or would harm
//! applications, this client does the following.
//!
//! - **A LEAVE during a sync is delivered once, at the end of the sync** (RTP2h2a, RTP2h2b). Taken
//!   literally, the clauses would never deliver it. Applying the events of a channel in order gives
//!   its members.
//! - **A LEAVE of an unknown member during a sync leaves a mark** until the sync ends (RTP2h), so
//!   that an older entry in a later page does not bring the member back.
//! - **Re-entries are sent before queued operations** (RTP17i, RTP5b), so that a queued update or
//!   leave is applied last. A re-entry includes the extras (RTP17g).
//! - **A member with a leave in flight is not re-entered** (RTP17i), also not on a new connection:
//!   other clients may have received the leave. A leave that is still queued, or that failed, does
//!   not count. Nor is a member re-entered while a message about it keeps its serial over a resume:
//!   that message is sent again. Acknowledged messages do not count: own members follow the events
//!   from the server (RTP17b).
//! - **A re-entry fails when it can no longer be acknowledged** (RTP17e): when the connection is
//!   suspended, closed or failed; when its channel does not attach on the next connection; without
//!   queueing, when the connection is lost; and when the limit of messages in flight is reached. A
//!   re-entry that is repeated has not failed.
//! - **Presence in flight keeps its message serial over a resume** (RTN19a2), and is sent again
//!   when its channel is attached again (RTL3d2). If the channel does not attach, it fails together
//!   with the operations queued there (RTL11).
//! - **Operations queued for an attach are sent in one message**, up to the maximum message size.
//!   Each has its own result.
//! - **A pending `get` always ends** (RTP11a): it fails when the channel becomes detached, failed
//!   or suspended, and completes when an ATTACHED without HAS_PRESENCE cancels the sync.
//! - **PRESENCE and SYNC are processed while a channel is attached, attaching or detaching.** An
//!   unsolicited ATTACHED is ignored on any other channel; a late answer to an ATTACH is accepted.
//! - **An ATTACHED with RESUMED on an attached channel does not affect presence** (RTL12, RTP17i).
//!   Any other ATTACHED without HAS_PRESENCE clears the member set, with LEAVE events (RTP19a).
//! - **A connection is resumed if its id is unchanged**, whatever else CONNECTED contains (RTN15c6,
//!   RTN15c7). Own members are not compared for newness across connections (RTP17h).
//! - **The recovery key is available while SUSPENDED** (RTN16g2): id and key survive that state
//!   (RTN8d, RTN9d), and resume attempts continue (RTN14h).
//! - **After a network loss the client waits before it retries** (RTN20a), unless the network is
//!   reported back (RTN20b).
//! - **A DETACHING channel becomes DETACHED when the connection ends** (RTL3), and the detach
//!   succeeds.
//! - **Every state change caused by an event has a reason**, if the server gives none: 90001 for an
//!   unsolicited DETACHED (RTL13), 90000 and 80000 for an ERROR, 80003 for a DISCONNECTED, 80017
//!   with a cause for a CLOSE without an answer (RTN12b, RTN12c).
//! - **A detach while DETACHING ends with the running detach** (RTL5i), whatever is queued after
//!   it.
//!
//! The host provides transports and their addresses (RTN17), tokens (RSA8), REST requests such as
//! presence history (RTP12), and ciphers (RSL5): encrypted data passes through unchanged.

mod application;
mod channel;
mod channels;
mod connection;
mod cx;
#[cfg(test)]
mod diagram;
mod errors;
mod frames;
pub mod input;
mod lifecycle;
mod operations;
mod options;
pub mod output;
mod own_members;
mod pings;
mod presence;
mod presence_ops;
mod recovery;
mod retry;
mod state;
mod subscriptions;
mod timers;
mod tokens;
mod view;

pub use input::{GetParams, Input, PresenceChange};
pub use options::{ChannelOptions, ClientOptions, Limits};
pub use output::{ChannelStateChange, ConnectionStateChange, Misuse, Outcome, Output, Warning};
pub use state::{ChannelEvent, ChannelState, ConnectionEvent, ConnectionState};
pub use subscriptions::Subscribers;
pub use view::{ChannelView, ConnectionView};

use crate::wire::ErrorInfo;
use crate::{Instant, Now, TransportId, Wake};
use channel::{Channel, Waiter};
use channels::{ChannelKey, Channels};
use connection::Connection;
use core::time::Duration;
use cx::Cx;
use operations::Operations;
use pings::Pings;
use recovery::RecoveryKey;
use retry::Rng;
use timers::{Timer, Timers};

/// The outputs of a client.
pub type Outbox = crate::Outbox<Output>;

/// A presence client: a connection and its channels.
#[derive(Clone, Debug)]
pub struct Client {
    options: ClientOptions,
    connection: Connection,
    channels: Channels,
    operations: Operations,
    pings: Pings,
    timers: Timers,
    rng: Rng,
    hash_seed: u64,
    clock: Now,
    /// Warnings about the options have been emitted.
    options_warned: bool,
}

impl Client {
    /// Creates a client. It is idle until [`Input::Connect`].
    ///
    /// The seed determines the jitter of retry delays, the ids of pings and the hash tables. Use a
    /// different one for each client.
    #[must_use]
    pub fn new(options: ClientOptions, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let recover = options.recover.as_deref().and_then(RecoveryKey::parse);
        let mut client = Self {
            connection: Connection::new(&options),
            channels: Channels::new(),
            operations: Operations::default(),
            pings: Pings::default(),
            timers: Timers::default(),
            hash_seed: rng.next(),
            rng,
            clock: Now::default(),
            options_warned: false,
            options,
        };
        if let Some(key) = recover {
            client.recover(key);
        }
        client
    }

    /// Sets another seed for the hash tables, which must not affect any output. For tests, before
    /// the first input.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_hash_seed(mut self, seed: u64) -> Self {
        self.hash_seed = seed;
        self
    }

    /// The options of the client.
    #[must_use]
    pub const fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Handles an input at time `now`, appends the outputs to `out`, and returns the next deadline.
    ///
    /// Timers due at `now` fire first, at most [`ClientOptions::budget`] of them. If the monotonic
    /// clock steps back, the latest earlier time is used.
    pub fn handle(&mut self, now: Now, mut input: Input, out: &mut Outbox) -> Wake {
        if now.mono >= self.clock.mono {
            self.clock.mono = now.mono;
        }
        self.clock.wall = now.wall;
        let mut fired = 0;
        while let Some(at) = self.next_deadline()
            && at <= self.clock.mono
        {
            self.fire_due(at, out);
            fired += 1;
            if fired >= self.options.budget.max(1) {
                break;
            }
        }
        // Frames are large and the most frequent inputs: borrowed, not moved.
        match &mut input {
            Input::Received(input::Received { transport, frame }) => {
                if self.is_current(*transport, out) {
                    self.received(*transport, frame, out);
                }
            }
            _ => self.apply(input, out),
        }
        self.next_wake()
    }

    /// The next deadline, as returned by the last [`handle`](Self::handle).
    pub fn next_wake(&self) -> Wake {
        Wake::at_opt(self.next_deadline())
    }

    /// Handles an input other than a frame.
    fn apply(&mut self, input: Input, out: &mut Outbox) {
        if let Some(op) = input.op()
            && !self.admit(op, out)
        {
            return;
        }
        match input {
            Input::Received(_) => self.connection.internal_error("a frame"),
            Input::Activity(input::Activity { transport }) => {
                if self.is_current(transport, out) {
                    self.restart_idle_timer();
                }
            }
            Input::Tick => {}
            Input::Connect => self.connect(out),
            Input::Close => self.close(out),
            Input::Opened(input::Opened { transport }) => {
                // The attempt continues, with its timeout, until CONNECTED (RTN6).
                let _ = self.is_current(transport, out);
            }
            Input::OpenFailed(input::OpenFailed { transport, error })
            | Input::Closed(input::Closed { transport, error }) => {
                if self.is_current(transport, out) {
                    self.connection.transport = None;
                    self.transport_lost(error.unwrap_or_else(errors::disconnected), out);
                }
            }
            Input::NetworkLost => self.network_lost(out),
            Input::NetworkAvailable => self.network_available(out),
            Input::Token(result) => self.token_received(result, out),
            Input::Unsubscribe(input::Unsubscribe { channel, subscription }) => {
                self.unsubscribe(channel, subscription, out);
            }
            Input::Ping(input::Ping { op }) => self.ping(op, out),
            Input::Authorize(input::Authorize { op, token }) => self.authorize(op, token, out),
            Input::Send(input::Send { op, frame }) => self.send_for_application(op, frame, out),
            Input::Attach(input::Attach { op, channel }) => {
                self.on_channel(op, &channel, out, |channel, cx| {
                    channel.attach(cx, Waiter::Op(op));
                });
            }
            Input::SetOptions(input::SetOptions { op, channel, options }) => {
                self.on_channel(op, &channel, out, |channel, cx| {
                    channel.set_options(cx, op, options);
                });
            }
            Input::Presence(input::Presence { op, channel, change }) => {
                self.on_channel(op, &channel, out, |channel, cx| {
                    channel.change_presence(cx, op, change);
                });
            }
            Input::Get(input::Get { op, channel, params }) => {
                self.on_channel(op, &channel, out, |channel, cx| channel.get(cx, op, params));
            }
            Input::Subscribe(input::Subscribe { op, channel, subscription, actions }) => {
                self.on_channel(op, &channel, out, |channel, cx| {
                    channel.subscribe(cx, op, subscription, &actions);
                });
            }
            Input::Detach(input::Detach { op, channel }) => {
                self.off_channel(op, &channel, out, |channel, cx| {
                    channel.detach(cx, Waiter::Op(op));
                });
            }
            Input::Release(input::Release { op, channel }) => {
                self.off_channel(op, &channel, out, |channel, cx| channel.release(cx, op));
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        match (self.timers.next_deadline(), self.channels.next_deadline()) {
            (Some(timer), Some(channel)) => Some(timer.min(channel)),
            (timer, channel) => timer.or(channel),
        }
    }

    /// Fires one timer due at the earliest deadline, `at`. The connection's timers come first.
    fn fire_due(&mut self, at: Instant, out: &mut Outbox) {
        if let Some(timer) = self.timers.pop_due(at) {
            self.fire(timer, out);
        } else if let Some(key) = self.channels.pop_due(at) {
            self.with_channel(key, out, Channel::on_deadline);
        } else {
            self.connection.internal_error("a deadline without a timer");
        }
    }

    /// Whether a transport is the current one. Inputs of abandoned transports are ignored.
    fn is_current(&self, transport: TransportId, out: &mut Outbox) -> bool {
        if self.connection.transport == Some(transport) {
            return true;
        }
        if !self.connection.has_requested(transport) {
            out.push(Output::Misuse(Misuse::UnknownTransport(transport)));
        }
        false
    }

    fn fire(&mut self, timer: Timer, out: &mut Outbox) {
        match timer {
            Timer::StateTtl => self.ttl_expired(out),
            Timer::Request => self.request_timed_out(out),
            Timer::Retry => self.retry(out),
            Timer::Idle => {
                // RTN23a
                self.close_transport(out);
                let mut error = errors::disconnected();
                error.message = "nothing heard from the server for too long".into();
                self.transport_lost(error, out);
            }
            Timer::Ping => self.ping_timed_out(out),
        }
    }

    fn request_deadline(&self) -> Instant {
        self.clock.mono + self.options.realtime_request_timeout
    }

    // ---- Access to channels

    fn with_channel(
        &mut self,
        key: ChannelKey,
        out: &mut Outbox,
        f: impl FnOnce(&mut Channel, &mut Cx<'_>),
    ) {
        let (channels, mut cx) = self.split_borrow(out);
        channels.update(key, |channel| f(channel, &mut cx));
    }

    /// Calls `f` with every channel, in the order of keys.
    fn with_channels(&mut self, out: &mut Outbox, mut f: impl FnMut(&mut Channel, &mut Cx<'_>)) {
        let (channels, mut cx) = self.split_borrow(out);
        channels.update_all(|channel| f(channel, &mut cx));
    }

    fn split_borrow<'a>(&'a mut self, out: &'a mut Outbox) -> (&'a mut Channels, Cx<'a>) {
        let cx = Cx {
            now: self.clock,
            options: &self.options,
            connection: &self.connection,
            operations: &mut self.operations,
            rng: &mut self.rng,
            out,
        };
        (&mut self.channels, cx)
    }

    /// Emits a state change of the connection.
    fn emit_state_change(
        &self,
        previous: ConnectionState,
        reason: Option<ErrorInfo>,
        retry_in: Option<Duration>,
        out: &mut Outbox,
    ) {
        let current = self.connection.state;
        let event = ConnectionEvent::State(current);
        let change = ConnectionStateChange { previous, current, event, reason, retry_in };
        out.push(Output::Connection(change));
    }
}
