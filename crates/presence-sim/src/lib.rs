//! Tests a program against real presence clients, a real presence server and a network that breaks, in
//! one process and under a virtual clock.
//!
//! A [`World`] holds real clients and a real server. Time is virtual and jumps to the next thing
//! that is due, so that two minutes of silence cost nothing. The network is ordered and reliable,
//! as a WebSocket is, and fails as one does: it can be cut at any frame, go half-open, stall in
//! one direction, or be out of reach; clocks step, processes start anew. All of it comes from a
//! seed: the same calls give the same run.
//!
//! ```
//! use core::time::Duration;
//! use presence_proto::client::ClientOptions;
//! use presence_proto::server::{Identity, ServerOptions};
//! use presence_sim::World;
//!
//! let mut world = World::new(1, ServerOptions::default());
//! let alice = world.add_client("alice", Identity::Client("alice".into()), ClientOptions::default());
//! let bob = world.add_client("bob", Identity::Client("bob".into()), ClientOptions::default());
//!
//! world.client(alice).connect();
//! world.client(alice).enter("room", "hello");
//! world.client(bob).connect();
//! world.client(bob).subscribe("room");
//! world.run_for(Duration::from_secs(1));
//! assert_eq!(world.client(bob).present("room"), ["alice"]);
//!
//! // Alice's cable is pulled, and she is gone for good. Nobody hears of it for a while …
//! world.unplug(alice);
//! world.set_reachable(alice, false);
//! world.run_for(Duration::from_secs(10));
//! assert_eq!(world.client(bob).present("room"), ["alice"]);
//!
//! // … until the server has noticed her silence, and her grace is over.
//! world.run_for(Duration::from_secs(40));
//! assert_eq!(world.client(bob).present("room").len(), 0);
//! println!("{}", world.trace());
//! ```
//!
//! Where the server's host sees at once that the transport broke, it is the grace to the millisecond,
//! and the 20 ms that the news is under way:
//!
//! ```
//! # use core::time::Duration;
//! # use presence_proto::client::ClientOptions;
//! # use presence_proto::server::{Identity, ServerOptions};
//! # use presence_sim::World;
//! # let mut world = World::new(1, ServerOptions::default());
//! # let alice = world.add_client("alice", Identity::Client("alice".into()), ClientOptions::default());
//! # let bob = world.add_client("bob", Identity::Client("bob".into()), ClientOptions::default());
//! # world.client(alice).connect();
//! # world.client(alice).enter("room", "hello");
//! # world.client(bob).connect();
//! # world.client(bob).subscribe("room");
//! # world.run_for(Duration::from_secs(1));
//! world.set_reachable(alice, false);
//! world.cut(alice);
//! world.run_for(Duration::from_millis(14_999));
//! assert_eq!(world.client(bob).present("room"), ["alice"]);
//! assert_eq!(world.server().occupancy("room").presence_members, 1);
//! world.run_for(Duration::from_millis(1));
//! assert_eq!(world.server().occupancy("room").presence_members, 0);
//! world.run_for(Duration::from_millis(20));
//! assert_eq!(world.client(bob).present("room").len(), 0);
//! ```
//!
//! A fuzz target of a program is such a test, with moves out of bytes:
//!
//! ```
//! # use core::time::Duration;
//! # use presence_proto::client::ClientOptions;
//! # use presence_proto::server::{Identity, ServerOptions};
//! # use presence_sim::World;
//! /// For cargo-fuzz: `libfuzzer_sys::fuzz_target!(|bytes: &[u8]| room(bytes));`
//! fn room(bytes: &[u8]) {
//!     let mut world = World::new(1, ServerOptions::default());
//!     let [alice, bob] = ["alice", "bob"].map(|name| {
//!         world.add_client(name, Identity::Client(name.into()), ClientOptions::default())
//!     });
//!     world.client(alice).connect();
//!     world.client(bob).connect();
//!     world.client(bob).subscribe("room");
//!     for step in bytes.chunks_exact(2) {
//!         match step[0] % 5 {
//!             0 => _ = world.client(alice).enter("room", "hello"),
//!             1 => _ = world.client(alice).leave("room"),
//!             2 => world.cut(alice),
//!             3 => world.unplug(bob),
//!             _ => world.run_for(Duration::from_millis(u64::from(step[1]) * 100)),
//!         }
//!         for (action, client_id, data) in world.client(bob).presence_events() {
//!             // What the program makes of it, and what must hold then.
//!         }
//!     }
//! }
//! # room(&[0, 0, 4, 10, 2, 0, 4, 200, 1, 0, 4, 255]);
//! ```
//!
//! A [`Search`] plays random histories, made of faults and of acts of the program, and shrinks the first
//! that breaks the program. `examples/roster.rs` finds a bug that many presence applications have.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a tool for tests on std says std"
)]

mod application;
mod faults;
mod frames;
mod handle;
mod inspect;
mod network;
mod record;
mod rules;
mod script;
mod trace;
mod world;

pub use handle::ClientHandle;
pub use network::Latency;
pub use record::{Call, Half};
pub use script::{Counterexample, Event, Search};
pub use trace::Trace;
pub use world::{Due, World, client_seed, server_seed};
