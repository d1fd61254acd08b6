//! Sans-IO channel presence: who is on a channel, and the data that each member attached.
//!
//! This crate implements both halves of the presence protocol that the Ably realtime SDKs use
//! (protocol version 2 and later):
//!
//! * [`client`]: connection, channels and presence for an application. It runs wherever a program
//!   can move frames: on tokio, in threads, in a game loop, in a browser, in a test.
//! * [`server`]: the presence authority. It holds the member sets, notifies subscribers of changes,
//!   syncs new subscribers, keeps members through short disconnections and removes them when
//!   their grace period ends. The existing SDKs can connect to a program that embeds it.
//!
//! The crate has no sockets, threads, async, clock, `unsafe` or `std`. The host passes in frames
//! and the time, and gets back frames and events.
//!
//! # What presence guarantees
//!
//! A **member** is a client id on a connection. It *enters* a **channel** with some data, *updates*
//! the data, and *leaves*. Every subscriber of the channel
//!
//! * receives each member once, and each change of it, in order;
//! * has the same member set as the server once its **sync** is complete;
//! * does not see short disconnections: a member stays for a **grace period** (15 s by default),
//!   and a client that reconnects in time resumes;
//! * receives a leave when the member leaves, detaches or closes its connection, or when its grace
//!   period ends. There are no ghosts: a silent peer is detected within twice the idle interval.
//!
//! Presence does *not* guarantee that a listed member is reachable at this moment. From the loss of
//! its connection to the end of the grace period it is still listed.
//!
//! # A first program
//!
//! Both halves in one process, with a fake clock. Applications are tested the same way: no sockets,
//! no waiting.
//!
//! ```
//! use presence_proto::client::{self, Client, ClientOptions};
//! use presence_proto::server::{self, Capability, ConnectRequest, Identity, Server, ServerOptions};
//! use presence_proto::wire::PresenceAction;
//! use presence_proto::{Now, OpId, SubscriptionId};
//! use std::{mem::take, sync::Arc};
//!
//! /// Moves frames between the two halves until both are idle. Returns the presence events that
//! /// the application receives.
//! fn settle(
//!     now: Now,
//!     (client, from_client): (&mut Client, &mut client::Outbox),
//!     (server, from_server): (&mut Server, &mut server::Outbox),
//! ) -> Vec<PresenceAction> {
//!     let mut events = Vec::new();
//!     while !(from_client.is_empty() && from_server.is_empty()) {
//!         for output in take(from_client) {
//!             let input = match output {
//!                 client::Output::Open(client::output::Open { transport, params, .. }) => {
//!                     // A real host verifies a key or a token here.
//!                     let params = params.iter().map(|(name, value)| (&**name, &**value));
//!                     let all = Arc::new(Capability::all());
//!                     let request = ConnectRequest::from_params(Identity::Any, all, params);
//!                     client.handle(now, client::Input::opened(transport), from_client);
//!                     server::Input::opened(transport, request.expect("valid parameters"))
//!                 }
//!                 client::Output::Send(client::output::Send { transport, frame, .. }) => {
//!                     server::Input::received(transport, *frame)
//!                 }
//!                 client::Output::Presence(client::output::Presence { message, .. }) => {
//!                     events.push(message.action);
//!                     continue;
//!                 }
//!                 _ => continue,
//!             };
//!             server.handle(now, input, from_server);
//!         }
//!         for output in take(from_server) {
//!             let server::Output::Send(server::output::Send { to, frame, .. }) = output else { continue };
//!             for transport in to.iter() {
//!                 let input = client::Input::received(transport, frame.to_message());
//!                 client.handle(now, input, from_client);
//!             }
//!         }
//!     }
//!     events
//! }
//!
//! let mut options = ClientOptions::default();
//! options.client_id = Some("ann".into());
//! let (mut ann, mut from_ann) = (Client::new(options, 42), client::Outbox::new());
//! let mut server = Server::new(ServerOptions::default(), [7; 32]); // a real seed is random
//! let mut from_server = server::Outbox::new();
//!
//! // Operations need not wait for the connection.
//! let now = Now::from_millis(1_000);
//! for input in [
//!     client::Input::Connect,
//!     client::Input::subscribe(OpId(1), "lobby", SubscriptionId(1)),
//!     client::Input::enter(OpId(2), "lobby", None),
//! ] {
//!     ann.handle(now, input, &mut from_ann);
//! }
//! let events = settle(now, (&mut ann, &mut from_ann), (&mut server, &mut from_server));
//! assert_eq!(events, [PresenceAction::Enter]);
//! assert_eq!(ann.channel("lobby").map(|lobby| lobby.members().count()), Some(1));
//! assert_eq!(server.occupancy("lobby").presence_members, 1);
//!
//! // The transport is lost and the client does not return: the member leaves after 15 s, which is
//! // the server's next deadline.
//! let transport = presence_proto::TransportId(1);
//! let wake = server.handle(now, server::Input::closed(transport), &mut from_server);
//! assert_eq!(wake.delay(now), Some(std::time::Duration::from_secs(15)));
//! let later = Now::from_millis(16_000);
//! server.handle(later, server::Input::Tick, &mut from_server);
//! assert_eq!(server.occupancy("lobby").presence_members, 0);
//! ```
//!
//! # The contract
//!
//! Each half has one method for all inputs, one buffer for outputs and one deadline:
//!
//! ```text
//! let wake: Wake = core.handle(now, input, &mut out);
//! for output in out.drain() { /* send, close, notify the application */ }
//! // call again on the next input, or with Input::Tick after wake.delay(now)
//! ```
//!
//! The name after each rule is its test, in `tests/library/contract.rs`.
//!
//! 1. **Total.** Every sequence of inputs is legal. `handle` returns no `Result` and never panics.
//!    An error of the peer becomes a protocol answer. An error of the host becomes
//!    `Output::Misuse` and changes nothing. (`any_sequence_of_inputs_is_legal`)
//! 2. **Every change of state is an `Input` value**: frames, ticks, operations of the application,
//!    changes of transports. So every run can be recorded and replayed. The host chooses the
//!    [`OpId`] of an operation; its result is `Output::Done`.
//!    (`a_recording_replays_to_the_same_outputs`)
//! 3. **Timers first.** Timers due at `now` fire before the input is applied. Early, late and
//!    redundant ticks are harmless. A clock that steps back counts as stopped until it has caught
//!    up. (`due_deadlines_fire_before_the_input`)
//! 4. **The outbox may be drained at any time.** Outputs are in total order and self-contained.
//!    Several calls may share an outbox. (`outputs_do_not_depend_on_when_they_are_drained`)
//! 5. **Bounded work.** Beyond its input, one call does at most `budget` units of work: timers,
//!    sync pages, removed members. The rest is due at once, as the returned [`Wake`] shows.
//!    (`one_call_fires_no_more_than_its_budget`)
//! 6. **Deterministic.** Equal options, seed and inputs give equal outputs, byte for byte. The
//!    iteration order of a hash table never reaches an output.
//!    (`hasher_seeds_do_not_reach_outputs`)
//! 7. **The next deadline is known in constant time**, whatever the number of connections. `handle`
//!    returns it, `next_wake` returns it again. (`the_next_deadline_is_exact`)
//! 8. **A broadcast is one output.** It has one frame and one shared list of recipients, and is
//!    encoded at most once per format. (`a_broadcast_is_one_output_encoded_once`)
//!
//! # Writing a driver
//!
//! A driver is the loop around a half. `examples/client.rs` (tokio), `examples/threads.rs`
//! (blocking sockets) and `examples/game_loop.rs` (polling) are complete drivers of the client; the
//! server program is one of the server.
//!
//! 1. **Read both clocks** into a [`Now`] before each call, see [Time](#time).
//! 2. **Make one [`Input`](client::Input) of each event**: a frame
//!    ([`ProtocolMessage::decode`](wire::ProtocolMessage::decode)), an opened or closed transport,
//!    an operation of the application, or `Tick` for the time alone.
//! 3. **Call `handle`**, then carry out the outputs in order: `Open` (open a WebSocket with these
//!    query parameters and your credentials), `Send` (encode and send), `Close`, and the events
//!    for the application.
//! 4. **Wait** for the next event, at most until the latest [`Wake`].
//! 5. **Bound the send queues.** A server's driver passes in `Congested` when a transport's queue
//!    is long and `Writable` when it is short again. In between the server skips the transport;
//!    later it sends the missed events or a sync.
//!
//! A server's driver also accepts peers. For each transport
//!
//! 1. it verifies the peer's key or token, and makes a [`ConnectRequest`](server::ConnectRequest)
//!    of the verified identity and the decoded query string. It answers an invalid request with
//!    the error in an ERROR frame ([`ProtocolMessage::error`](wire::ProtocolMessage::error)), and
//!    closes the transport;
//! 2. it reads the parameter `format`, which selects the encoding of both directions
//!    ([`Format::from_name`](wire::Format::from_name); JSON if absent);
//! 3. it numbers the transport, passes in `Opened`, then every frame as `Received`;
//! 4. it sends each frame to all of its recipients, encoded once per format
//!    ([`server::Frame::encode`]), sends a ping for each `Ping`, and passes in `Activity` for
//!    each pong;
//! 5. it verifies the token of each `Authenticate` and answers.
//!
//! # Time
//!
//! [`Now`] holds two clocks. Deadlines use the monotonic clock ([`Instant`]), so that a step of the
//! wall clock ends no grace period early. Timestamps on the wire use the wall clock
//! ([`UnixMillis`]). Both count milliseconds. The monotonic clock may start anywhere;
//! [`Now::from_millis`] sets both for tests. The crate reads no clock; with `std`, a driver does it
//! like this:
//!
//! ```
//! use presence_proto::{Instant, Now, UnixMillis};
//! use std::time;
//!
//! /// Both clocks; the monotonic clock counts from `start`.
//! fn now(start: time::Instant) -> Now {
//!     let mono = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
//!     let wall = time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
//!     let wall = i64::try_from(wall).unwrap_or(i64::MAX);
//!     Now::new(Instant::from_millis(mono), UnixMillis::from_millis(wall))
//! }
//! ```
//!
//! # Errors
//!
//! * **Errors of the host** are outputs ([`client::Misuse`], [`server::Misuse`]), for example an
//!   unknown transport. Nothing has changed. They are bugs: log them.
//! * **Errors of the peer** become outputs: an ERROR or NACK frame, a closed transport. The host
//!   has nothing to decide.
//! * **Failed operations** end with an [`ErrorInfo`](wire::ErrorInfo): code ([`wire::codes`]),
//!   status code, message, cause.
//! * **Bugs of this crate**: an invariant that does not hold is a panic with debug assertions, and
//!   a count without ([`Client::internal_errors`](client::Client::internal_errors),
//!   [`server::Counters`]).
//!
//! Bytes that are not a frame give a [`DecodeError`](wire::DecodeError). Pass it in as `Closed`
//! (client) or `Undecodable` (server).
//!
//! # Testing an application
//!
//! The crate `presence-sim` has a simulated world: real clients, a real server, a network with faults
//! and a fake clock. "Subscribers see her leave 15 s after the connection broke" is a test of a few
//! lines that runs in a millisecond. The body of a fuzz target is such a test with moves decoded
//! from bytes. Its documentation has an example of both.
//!
//! # Limits
//!
//! Every queue, set, size and rate has a bound: [`client::Limits`] and [`server::Limits`] list the
//! numbers and the error codes. Memory is bounded per channel, per connection and in total.
//! The host bounds the size of a WebSocket message before it decodes it
//! ([`server::Limits::frame_size`]).
//!
//! # Security
//!
//! A connection acts only for itself: the host verified its client id, the server chose its
//! connection id. Connection keys carry an HMAC and cannot be guessed or forged. The `Debug` output
//! of frames and of the server half does not show keys and tokens. Seed [`server::Server::new`]
//! with 32 unpredictable bytes from the operating system (crate `getrandom`), and each
//! [`client::Client`] with a seed of its own. `SECURITY.md` has the threat model.
//!
//! # Features
//!
//! | feature | default | contents |
//! |---|---|---|
//! | `client` | yes | the client half |
//! | `server` | yes | the server half, with the cryptography of its connection keys |
//! | `json` | yes | the JSON codec |
//! | `msgpack` | yes | the MessagePack codec |
//! | `std` | no | `Clock`, which reads the clocks of the system for a host |
//!
//! A program with one half enables only that half and the codec it needs. A browser client has
//! `default-features = false, features = ["client", "json"]` and compiles no cryptography.
//!
//! Without default features the crate has [`wire`] and [`members`] and needs only `alloc`; frames
//! can be encoded but not decoded. There is no feature `std`: it would change nothing.
//!
//! # What the host provides
//!
//! Sockets, TLS and HTTP; hosts and fallback hosts (RTN17, REC); issuing and verifying keys and
//! tokens (RSA8); REST endpoints, whose results [`server::Server::presence`] and
//! [`server::Server::history`] compute; durable history, from [`server::Output::Event`]. Encrypted
//! payloads (RSL5), messages, annotations and shared objects pass through unchanged.
//!
//! # Departures from the specification
//!
//! The newest wording of the specification applies. Where it is ambiguous or harmful, this crate
//! decides. [`client`] lists the decisions of the client. Those of the server:
//!
//! * **A repeated message serial is acknowledged again** and applied once (RTN19a).
//! * **A re-entry of a removed member is a new entry**, under the id in the frame (RTP17g), so that
//!   a client that returns after its grace period is seen again. If that id is not the last that
//!   subscribers received of the member (the client lost the acknowledgement of its last update),
//!   the entry gets the id of its own frame: a subscriber that received the update but not the
//!   leave would discard an older id (RTP2b2). While the member exists, the re-entry is
//!   acknowledged and subscribers receive nothing.
//! * **A synthesized leave** has an id that does not begin with the connection id, and is never
//!   stamped earlier than the member, so that no client keeps a ghost (RTP2b1).
//! * **HAS_PRESENCE announces a SYNC**, with or without RESUMED, even an empty one (RTP1).
//! * **A connection that does not subscribe to presence receives its own members after ATTACHED**,
//!   as PRESENCE: the ATTACHED without HAS_PRESENCE cleared its set (RTP17a, RTP19a).
//! * **An ATTACH without a channel serial**, and without the ATTACH_RESUME flag of older clients,
//!   on a resumed connection means that the client detached in between: its members leave (RTL5l).
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(feature = "client", feature = "server")),
    allow(
        dead_code,
        unused_imports,
        rustdoc::broken_intra_doc_links,
        reason = "the shared modules have what either half needs, and the documentation is of both"
    )
)]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(feature = "std")]
mod clock;
mod ids;
mod lookup;
mod outbox;
mod ring;
mod slab;
mod time;
#[cfg(any(feature = "client", feature = "server"))]
mod variants;
mod wake;

#[cfg(feature = "client")]
pub mod client;
pub mod members;
#[cfg(feature = "server")]
pub mod server;
pub mod wire;

#[cfg(feature = "std")]
pub use clock::Clock;
pub use ids::{OpId, SubscriptionId, TransportId};
pub use outbox::{Drain, Outbox};
pub use smol_str::SmolStr;
pub use time::{Instant, Now, UnixMillis};
pub use wake::Wake;

/// Runs the program in the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
