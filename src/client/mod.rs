//! The client half: connection, channels and presence as an application sees them.
//!
//! [`Client::handle`] is the only way in that changes state; [`Output`]s are the only way out.
//! Between calls a client can be read: [`Client::connection`], [`Client::channel`].
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
//! // Operations may come first: they wait for the connection, and for their channel.
//! let wake = client.handle(Now::from_millis(0), Input::enter(OpId(1), "room", None), &mut out);
//! assert_eq!(wake.at(), None);
//! let wake = client.handle(Now::from_millis(0), Input::Connect, &mut out);
//! // An attempt has ten seconds.
//! assert_eq!(wake.at().map(|at| at.as_millis()), Some(10_000));
//! assert!(out.drain().any(|output| matches!(output, Output::Open(_))));
//! ```
//!
//! # How operations end
//!
//! Each with exactly one [`Output::Done`]. The error of one that fails is what the server said, if it
//! said something, or else one of these ([`codes`](crate::wire::codes) has their names).
//!
//! | code | why |
//! |---|---|
//! | 40000 | beyond one of the [`Limits`]; a channel without a name; an action or a frame that is not the application's to send |
//! | 40009 | a presence message larger than the connection allows (TO3l8) |
//! | 40012 | a client id that the client cannot act for, or none of its own (RTP8j, RTP15f) |
//! | 40013 | data that is JSON, but neither an object nor an array (RSL4a) |
//! | 50001 | the server passed the message over |
//! | 80000, 80002, 80003, 80017 | the connection is failed, suspended, disconnected or closed, and the operation does not wait for another (RTP16c, RTL4b); or the connection's own reason |
//! | 80014 | no answer to a ping in time (RTN13c) |
//! | 90000, 90001 | the channel failed, was detached, or is in a state that does not allow it (RTP8g, RTL5b) |
//! | 90007 | no answer to ATTACH or DETACH in time (RTL4f, RTL5f) |
//! | 91005 | `get` that waits for a sync, on a suspended channel (RTP11d) |
//! | 91008 | `get` without the mode PRESENCE_SUBSCRIBE, in strict mode (RTP11f1) |
//!
//! An operation has no time limit of its own, apart from those: as long as the client may yet be
//! connected again, what was sent waits for its acknowledgement, new credentials for the next
//! CONNECTED, and `get` for its sync.
//!
//! A request that was sent has its time, whatever becomes of the connection (RTL4f, RTL5f, RTN13c):
//! ATTACH, DETACH, and pings end ten seconds after they were sent, though the connection was lost in
//! between. One that is sent again gets no more, and what joins a request under way shares its time.
//! What ends with the connection is the delay before a channel is attached again (RTL13c).
//!
//! # Where it goes its own way
//!
//! The features document of the protocol decides, the newest wording first. Where it is silent or
//! unkind to applications, this client does the following.
//!
//! - **A LEAVE during a sync is told once, when the sync ends** (RTP2h2a, RTP2h2b): word for word
//!   subscribers would never hear of it. Folding the events of a channel gives its members.
//! - **A LEAVE during a sync of a member that is not known leaves a mark** until the sync ends
//!   (RTP2h): an older entry in a later page does not bring the member back.
//! - **Own members are entered again before queued operations are sent** (RTP17i, RTP5b), so that
//!   a queued update or leave has the last word. Extras go along with the data (RTP17g).
//! - **A member whose leave is in flight is not entered again** (RTP17i), though the connection is
//!   lost and another takes its place: others may have seen it leave. A leave that was not sent yet,
//!   or that has failed, does not count. Nor is a member entered again that a message is about which
//!   keeps its serial over a resume: the message does so. What is acknowledged does not count: own
//!   members follow what the server tells of them (RTP17b).
//! - **A re-entry that cannot be answered any more has failed** (RTP17e): when the connection is
//!   suspended, closed or failed, when its channel is not attached again with the next one, without
//!   queueing when the connection is lost, and when there is no room for it in flight. One that is
//!   made anew has not.
//! - **Presence in flight keeps its message serial over a resume** (RTN19a2), and is sent again
//!   when its channel is attached again (RTL3d2). If the channel is not attached after all, it
//!   fails with what is queued there (RTL11).
//! - **Operations that wait for an attach go out in one message**, as far as the largest message
//!   allows; each has its own outcome.
//! - **A waiting `get` does not hang** (RTP11a): it fails when the channel becomes detached, failed
//!   or suspended, and ends when an ATTACHED without members does away with the sync.
//! - **PRESENCE and SYNC count while a channel is attached, attaching or detaching.** An ATTACHED
//!   that nobody asked for is ignored, but a late answer to an ATTACH is taken.
//! - **An ATTACHED with RESUMED on an attached channel changes nothing for presence** (RTL12,
//!   RTP17i); any other ATTACHED without HAS_PRESENCE empties the member set with LEAVEs (RTP19a).
//! - **A connection counts as resumed if its id is unchanged**, whatever else CONNECTED says
//!   (RTN15c6, RTN15c7). Own members are not compared for newness across connections (RTP17h).
//! - **A recovery key is there while SUSPENDED, too** (RTN16g2): id and key survive that state
//!   (RTN8d, RTN9d), and attempts to resume go on (RTN14h).
//! - **When the network is reported lost, the client waits before it tries again** (RTN20a), unless
//!   the network is reported back (RTN20b).
//! - **A DETACHING channel whose connection ends is DETACHED** (RTL3), and the detach has succeeded.
//! - **What happens has a reason, if the server gives none**: 90001 for a DETACHED that nobody asked
//!   for (RTL13), 90000 and 80000 for an ERROR, 80003 for a DISCONNECTED, 80017 with a cause for a
//!   CLOSE that has no answer (RTN12b, RTN12c).
//! - **Detach while DETACHING ends with the detach under way** (RTL5i), whatever waits behind it.
//!
//! Left to the host: transports and their addresses (RTN17), where tokens come from (RSA8), REST
//! requests such as the presence history (RTP12), and ciphers, which pass through (RSL5).

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
use channel::{Channel, Waiting};
use channels::{ChannelKey, Channels};
use connection::Connection;
use core::time::Duration;
use cx::Cx;
use operations::Operations;
use pings::Pings;
use recovery::RecoveryKey;
use retry::Rng;
use timers::{Timer, Timers};

/// Where a client puts its outputs.
pub type Outbox = crate::Outbox<Output>;

/// One presence client: a connection and its channels.
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
    /// What is wrong with the options has been said.
    options_warned: bool,
}

impl Client {
    /// A client that does nothing until it is told to connect. The seed scatters its retry delays
    /// and makes the ids of its pings; give each client another one.
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

    /// The same client with another seed for its hash tables, which must make no difference.
    /// For tests, before the first input.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_hash_seed(mut self, seed: u64) -> Self {
        self.hash_seed = seed;
        self
    }

    /// The options that the client was made with.
    #[must_use]
    pub const fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Takes in what happened at `now`, puts what follows into `out`, and tells when to call
    /// again.
    ///
    /// Timers that are due at or before `now` fire first. Time that steps back counts as time
    /// that stands still.
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
        // A frame is large, and most inputs are frames: it is lent, not moved.
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

    /// When to call again: what the last [`handle`](Self::handle) returned.
    pub fn next_wake(&self) -> Wake {
        Wake::at_opt(self.next_deadline())
    }

    /// Applies an input that is no frame.
    fn apply(&mut self, input: Input, out: &mut Outbox) {
        if let Some(op) = input.op()
            && !self.admit(op, out)
        {
            return;
        }
        match input {
            Input::Received(_) => self.connection.misstep("a frame that was not lent"),
            Input::Activity(input::Activity { transport }) => {
                if self.is_current(transport, out) {
                    self.active();
                }
            }
            Input::Tick => {}
            Input::Connect => self.connect(out),
            Input::Close => self.close(out),
            Input::Opened(input::Opened { transport }) => {
                // What counts is CONNECTED (RTN6); the attempt has its time until then.
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
            Input::Token(result) => self.token(result, out),
            Input::Unsubscribe(input::Unsubscribe { channel, subscription }) => {
                self.unsubscribe(channel, subscription, out);
            }
            Input::Ping(input::Ping { op }) => self.ping(op, out),
            Input::Authorize(input::Authorize { op, token }) => self.authorize(op, token, out),
            Input::Send(input::Send { op, frame }) => self.send_for_application(op, frame, out),
            Input::Attach(input::Attach { op, channel }) => {
                self.on_channel(op, &channel, out, |channel, cx| {
                    channel.attach(cx, Waiting::Op(op));
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
                    channel.detach(cx, Waiting::Op(op));
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

    /// Fires what is due at the earliest deadline, `at`. Of what is due together, the connection's
    /// timers come first.
    fn fire_due(&mut self, at: Instant, out: &mut Outbox) {
        if let Some(timer) = self.timers.pop_due(at) {
            self.fire(timer, out);
        } else if let Some(key) = self.channels.pop_due(at) {
            self.with_channel(key, out, Channel::timer);
        } else {
            self.connection.misstep("a deadline that is nobody's");
        }
    }

    /// Whether a transport is the one in use. Others have been given up; what they still bring
    /// is dropped.
    fn is_current(&self, transport: TransportId, out: &mut Outbox) -> bool {
        if self.connection.transport == Some(transport) {
            return true;
        }
        if !self.connection.was_asked_for(transport) {
            out.push(Output::Misuse(Misuse::UnknownTransport(transport)));
        }
        false
    }

    fn fire(&mut self, timer: Timer, out: &mut Outbox) {
        match timer {
            Timer::StateTtl => self.ttl_over(out),
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

    // ---- The channels, with the rest of the client beside them

    fn with_channel(
        &mut self,
        key: ChannelKey,
        out: &mut Outbox,
        act: impl FnOnce(&mut Channel, &mut Cx<'_>),
    ) {
        let (channels, mut cx) = self.split(out);
        channels.act(key, |channel| act(channel, &mut cx));
    }

    /// Acts on every channel, in the order of keys.
    fn with_channels(&mut self, out: &mut Outbox, mut act: impl FnMut(&mut Channel, &mut Cx<'_>)) {
        let (channels, mut cx) = self.split(out);
        channels.act_on_all(|channel| act(channel, &mut cx));
    }

    fn split<'a>(&'a mut self, out: &'a mut Outbox) -> (&'a mut Channels, Cx<'a>) {
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

    // ---- Connection events

    fn announce(
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
