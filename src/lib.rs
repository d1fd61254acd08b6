//! Channel presence without I/O: who is here, and what they say of themselves.
//!
//! This crate speaks the presence protocol of the Ably realtime SDKs (protocol version 2 and up),
//! both halves of it:
//!
//! * [`client`]: connection, channels and presence as an application sees them. Any program that
//!   can move frames gets a presence client: tokio, threads, a game loop, a browser, a test.
//! * [`server`]: the presence authority. It holds the member sets, tells every subscriber of
//!   changes, syncs newcomers, keeps members through short disconnections and removes them when
//!   their grace ends. The existing SDKs can connect to a program that embeds it.
//!
//! There are no sockets in it, no threads, no async, no clock, no `unsafe` and no `std`. Time and
//! frames go in; frames and events come out.
//!
//! # What presence promises
//!
//! A **member** is a client id on a connection. It *enters* a **channel** with some data, may
//! *update* the data, and *leaves*. Everybody who is attached to the channel and may subscribe
//!
//! * is told of each member once, and of each change of it, in order;
//! * has the same set of members as the server, as soon as its **sync** is complete;
//! * does not hear of short disconnections: a member stays for its **grace** (15 s unless the
//!   connection asked otherwise), and a client that comes back in time goes on where it was;
//! * is told that a member left when it said so, when it closed or detached, or when its grace
//!   ended. No ghosts stay: a peer that falls silent is noticed within twice the idle interval.
//!
//! What presence does *not* promise: that a member who is shown is there this very moment. Between
//! a loss and the end of the grace it is shown, that is what the grace is for.
//!
//! # A first program
//!
//! Both halves in one process, with a clock that is moved by hand. This is also how you test an
//! application: no sockets, no waiting.
//!
//! ```
//! use presence_proto::client::{self, Client, ClientOptions};
//! use presence_proto::server::{self, Capability, ConnectRequest, Identity, Server, ServerOptions};
//! use presence_proto::wire::PresenceAction;
//! use presence_proto::{Now, OpId, SubscriptionId};
//! use std::{mem::take, sync::Arc};
//!
//! /// Carries everything from one half to the other until both are quiet, and returns
//! /// what the client's application hears of presence.
//! fn settle(
//!     now: Now,
//!     (client, from_client): (&mut Client, &mut client::Outbox),
//!     (server, from_server): (&mut Server, &mut server::Outbox),
//! ) -> Vec<PresenceAction> {
//!     let mut heard = Vec::new();
//!     while !(from_client.is_empty() && from_server.is_empty()) {
//!         for output in take(from_client) {
//!             let input = match output {
//!                 client::Output::Open(client::output::Open { transport, params, .. }) => {
//!                     // A real host verifies a key or a token here. This one believes anybody.
//!                     let params = params.iter().map(|(name, value)| (&**name, &**value));
//!                     let all = Arc::new(Capability::all());
//!                     let request = ConnectRequest::from_params(Identity::Any, all, params);
//!                     let opened = client::Input::opened(transport);
//!                     let _wake = client.handle(now, opened, from_client);
//!                     server::Input::opened(transport, request.expect("good parameters"))
//!                 }
//!                 client::Output::Send(client::output::Send { transport, frame, .. }) => {
//!                     server::Input::received(transport, *frame)
//!                 }
//!                 client::Output::Presence(client::output::Presence { message, .. }) => {
//!                     heard.push(message.action);
//!                     continue;
//!                 }
//!                 _ => continue,
//!             };
//!             let _wake = server.handle(now, input, from_server);
//!         }
//!         for output in take(from_server) {
//!             let server::Output::Send(server::output::Send { to, frame, .. }) = output else { continue };
//!             for transport in to.iter() {
//!                 let frame = frame.to_message();
//!                 let input = client::Input::received(transport, frame);
//!                 let _wake = client.handle(now, input, from_client);
//!             }
//!         }
//!     }
//!     heard
//! }
//!
//! let mut options = ClientOptions::default();
//! options.client_id = Some("ann".into());
//! let (mut ann, mut from_ann) = (Client::new(options, 42), client::Outbox::new());
//! let mut server = Server::new(ServerOptions::default(), [7; 32]); // a real seed is random
//! let mut from_server = server::Outbox::new();
//!
//! // What the application wants. It need not wait for the connection.
//! let now = Now::from_millis(1_000);
//! for input in [
//!     client::Input::Connect,
//!     client::Input::subscribe(OpId(1), "lobby", SubscriptionId(1)),
//!     client::Input::enter(OpId(2), "lobby", None),
//! ] {
//!     let _wake = ann.handle(now, input, &mut from_ann);
//! }
//! let heard = settle(now, (&mut ann, &mut from_ann), (&mut server, &mut from_server));
//! assert_eq!(heard, [PresenceAction::Enter]);
//! assert_eq!(ann.channel("lobby").map(|lobby| lobby.members().count()), Some(1));
//! assert_eq!(server.occupancy("lobby").presence_members, 1);
//!
//! // The network breaks, and nobody comes back: fifteen seconds later she has left.
//! let transport = presence_proto::TransportId(1);
//! let wake = server.handle(now, server::Input::closed(transport), &mut from_server);
//! assert_eq!(wake.delay(now), Some(std::time::Duration::from_secs(15)));
//! let later = Now::from_millis(16_000);
//! let _wake = server.handle(later, server::Input::Tick, &mut from_server);
//! assert_eq!(server.occupancy("lobby").presence_members, 0);
//! ```
//!
//! # The contract
//!
//! Both halves have one door in, one buffer out and one deadline:
//!
//! ```text
//! let wake: Wake = core.handle(now, input, &mut out);
//! for output in out.drain() { /* send, close, tell the application */ }
//! // again when there is a next input, or with Input::Tick when wake.delay(now) has passed
//! ```
//!
//! Each rule is held by the test that stands beside it, in `tests/contract.rs`.
//!
//! 1. **Total.** Any sequence of inputs is legal. `handle` returns no `Result` and never panics.
//!    What a peer did wrong becomes a protocol answer. What the host did wrong becomes
//!    `Output::Misuse`, and nothing changes. (`any_sequence_of_inputs_is_legal`)
//! 2. **Everything that changes state is an `Input` value**: frames, ticks, wishes of the
//!    application, changes of transports. So whatever happened can be recorded and replayed.
//!    Operations carry an [`OpId`] that the host chose; their outcome comes out as
//!    `Output::Done`. (`a_recording_replays_to_the_same_outputs`)
//! 3. **Timers first.** What is due at or before `now` fires before the input is applied. Early,
//!    late and needless ticks are harmless. A clock that steps back stands still until it has
//!    caught up. (`what_is_due_fires_before_the_input`)
//! 4. **No drain rule.** Outputs are in total order and each stands for itself. Several calls may
//!    share one outbox. (`outputs_do_not_depend_on_when_they_are_drained`)
//! 5. **Bounded work.** One call fires at most `budget` timers or sync pages of its own accord.
//!    What is left shows as a wake-up that is due now.
//!    (`one_call_fires_no_more_than_its_budget`)
//! 6. **Deterministic.** Same configuration, same seed, same inputs: same outputs, to the byte.
//!    The order of a hash table never reaches an output. (`hasher_seeds_do_not_reach_outputs`)
//! 7. **The next deadline is known at once.** [`Wake`] costs no search, however many connections
//!    there are. (`the_next_deadline_is_never_missed_nor_searched`)
//! 8. **Telling a thousand costs one operation.** A broadcast is one frame and one shared list of
//!    recipients, and is encoded once for each format. (`a_broadcast_is_one_output_encoded_once`)
//!
//! # A driver, step by step
//!
//! A driver is the loop around a half. These are its duties; `examples/client.rs` (tokio),
//! `examples/threads.rs` (blocking sockets) and `examples/game_loop.rs` (polling) are complete
//! ones for the client, `examples/server` for the server.
//!
//! 1. **Read both clocks** into a [`Now`] before each call, see [Time](#time).
//! 2. **Turn whatever happened into one input**: a frame that came (decode it with
//!    [`ProtocolMessage::decode`](wire::ProtocolMessage::decode)), a transport that opened or
//!    closed, a wish of the application, or nothing but time (`Tick`).
//! 3. **Call `handle`**, then do all that stands in the outbox, in order:
//!    `OpenTransport` (open a WebSocket with these query parameters and your credentials),
//!    `Send` (encode and send), `CloseTransport`, and the events that your application wants.
//! 4. **Wait** for the next thing to happen, but no longer than [`Wake::delay`] says. Only what the
//!    last call returned counts.
//! 5. **Bound your send queues.** On a server, say `Congested` when a transport's queue is long
//!    and `Writable` when it is short again: the server then leaves it out and syncs it later.
//!
//! On a server the host also lets peers in, transport by transport:
//!
//! 1. It verifies the key or the token that a peer brings, and makes a
//!    [`ConnectRequest`](server::ConnectRequest) of what it found out and of the decoded query
//!    string. One that cannot be taken is answered with the error, as the frame
//!    [`ProtocolMessage::error`](wire::ProtocolMessage::error), and closed.
//! 2. It reads the parameter `format`, which says how both sides write frames:
//!    [`Format::from_name`](wire::Format::from_name), JSON if it is absent.
//! 3. It gives the transport a number, says `Open`, and from then on hands in what comes.
//! 4. It sends a frame to all of its recipients, encoded once for each format
//!    ([`server::Frame::encode`]), and `Ping`s; each pong is an `Activity`.
//! 5. It answers `Authenticate` when a client brings a new token.
//!
//! # Time
//!
//! [`Now`] holds two clocks. Deadlines are computed on the monotonic one ([`Instant`]), so that a
//! wall clock that is set forward does not end every grace at once. Stamps on the wire are of the
//! wall clock ([`UnixMillis`]). Both are plain milliseconds. Where the monotonic one begins is your
//! choice; [`Now::from_millis`] sets both for tests. There is no `now()` in this crate; a driver on
//! `std` has one:
//!
//! ```
//! use presence_proto::{Instant, Now, UnixMillis};
//! use std::time;
//!
//! /// Both clocks; the monotonic one counts from `start`.
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
//! Three families that never mix:
//!
//! * **The host's mistakes** ([`client::Misuse`], [`server::Misuse`]): a transport that nobody
//!   opened, say. Nothing has changed. Log them: they are bugs.
//! * **The peer's mistakes** become outputs: an ERROR or NACK frame, a closed transport. The host
//!   has nothing to decide.
//! * **Operations that fail** end with an [`ErrorInfo`](wire::ErrorInfo): the protocol's own code,
//!   a status code, a message, a cause.
//!
//! Bytes that are no frame give a [`DecodeError`](wire::DecodeError); tell the half by
//! `TransportClosed` (client) or `Undecodable` (server).
//!
//! # Tests of an application
//!
//! With the feature `sim`, a `sim::World` has real clients, a real server, a network that can be
//! made to fail and a clock that jumps: "she is seen to leave 15 s after her connection broke" is
//! a test of some lines that runs in a millisecond, and the body of a fuzz target is such a test with
//! moves out of bytes. Its documentation has both.
//!
//! # Limits
//!
//! Every queue, set, size and rate is bounded: see [`client::Limits`] and [`server::Limits`] for
//! the numbers, and for the codes that peers get. Bounds of memory are per channel, per connection
//! and in total. The host bounds the size of a WebSocket message before it decodes it
//! ([`server::Limits::frame_size`]).
//!
//! # Security
//!
//! A connection can speak for nobody but itself: its client id is what the host verified, its
//! connection id is the server's. Connection keys carry an HMAC and cannot be guessed or forged.
//! Keys and tokens do not show in the `Debug` output of frames and of the server half. Give
//! [`server::Server::new`] 32 unpredictable bytes of the operating system (crate `getrandom`), and
//! each [`client::Client`] a seed of its own. `SECURITY.md` has the threat model.
//!
//! # Features
//!
//! | feature | default | what |
//! |---|---|---|
//! | `client` | yes | the client half |
//! | `server` | yes | the server half, with the cryptography of its connection keys |
//! | `json` | yes | the JSON codec |
//! | `msgpack` | yes | the MessagePack codec |
//! | `sim` | no | `sim`: a fake clock, a simulated network, a reference model, trace replay; needs both halves and both codecs |
//!
//! A program that is one half takes that half alone and the codec that it uses: a client in a
//! browser has `default-features = false, features = ["client", "json"]`, and compiles no
//! cryptography.
//!
//! Without default features the crate has [`wire`] and [`members`], needs `alloc` and nothing else,
//! and frames can be written but not read. There is no feature `std`: with it nothing would be
//! different.
//!
//! # What is left to the host
//!
//! Sockets, TLS and HTTP; hosts and fallback hosts (RTN17, REC); verifying keys and tokens, and
//! issuing them (RSA8); the REST endpoints, whose answers [`server::Server::presence`] and
//! [`server::Server::history`] compute; encryption of payloads (RSL5), which pass through as they
//! are; messages, annotations and shared objects, which pass through too; storing history for
//! longer than memory should, out of [`server::Output::Event`].
//!
//! # Where it departs from the specification, and where it rules
//!
//! The specification's newest wording counts. Where it is open, or would hurt, there is a ruling:
//! the client's are in [`client`], those of the server are
//!
//! * **A repeated message serial is acknowledged again** and applied once (RTN19a).
//! * **A re-entry is a new entry once the member is gone**, under the id that it brings along (RTP17g),
//!   so that a client that comes back after its grace is seen again. If that was not the last that was
//!   told of the member (the client never heard of its last update, and enters as it was before), it is
//!   told under the id of its own frame: whoever saw the update and missed the leave would never
//!   believe an older id (RTP2b2). While the member is there, the id decides: it is acknowledged and
//!   nobody hears of it.
//! * **A leave that the server makes up** has an id that does not begin with the connection id, and
//!   is never stamped earlier than the member, so that no client keeps a ghost (RTP2b1).
//! * **HAS_PRESENCE means that a SYNC follows**, RESUMED or not, even if it is empty (RTP1).
//! * **A connection that does not subscribe to presence is told of its own members after ATTACHED**,
//!   by PRESENCE: it has just taken ATTACHED for an empty set (RTP17a, RTP19a).
//! * **An ATTACH without a channel serial**, and without the flag ATTACH_RESUME of older clients, by
//!   a connection that came back, is of a client that detached meanwhile: its members leave (RTL5l).
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
#[cfg(test)]
extern crate std;

mod ids;
mod lookup;
mod outbox;
mod ring;
mod slab;
mod time;
mod variants;
mod wake;

#[cfg(feature = "client")]
pub mod client;
pub mod members;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "sim")]
pub mod sim;
pub mod wire;

pub use ids::{OpId, SubscriptionId, TransportId};
pub use outbox::{Drain, Outbox};
pub use smol_str::SmolStr;
pub use time::{Instant, Now, UnixMillis};
pub use wake::Wake;

/// Runs the program in the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
