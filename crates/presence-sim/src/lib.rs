//! Tests programs against real presence clients, a real presence server and a faulty network, in
//! one process and under a virtual clock.
//!
//! A [`World`] contains clients and a server of [`presence_proto`] and the network between them.
//! Its clock jumps to the next packet or deadline, so that minutes of silence take no real time.
//! The network delivers frames in order, as a WebSocket does, and fails like one: transports break,
//! stay half-open or stall, the server becomes unreachable. Wall clocks step; processes restart.
//! [`World::cluster`] has several servers that share a log, and faults of both. Runs are
//! deterministic: the same calls with the same seed give the same run, byte for byte.
//!
//! # A first test
//!
//! A test adds clients, acts for their applications through [`World::client`], advances the clock
//! and checks the results:
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
//! // The trace shows each frame, event and operation, with the virtual time in milliseconds.
//! println!("{}", world.trace());
//! assert_eq!(world.failure(), None);
//! ```
//!
//! # Faults
//!
//! Alice's cable is pulled, and she cannot reconnect. The server detects her silence only after a
//! while, and then waits for the end of her grace period:
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
//! world.unplug(alice);
//! world.set_reachable(alice, false);
//! world.run_for(Duration::from_secs(10));
//! assert_eq!(world.client(bob).present("room"), ["alice"]);
//! world.run_for(Duration::from_secs(40));
//! assert_eq!(world.client(bob).present("room").len(), 0);
//! ```
//!
//! If the server's host detects the broken transport at once, Alice leaves after exactly the grace
//! period, and Bob receives the event after the latency of 20 ms:
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
//! # Fuzz targets
//!
//! The body of a fuzz target is a test whose actions derive from bytes:
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
//!             // Update the program under test, and check its invariants.
//!         }
//!     }
//! }
//! # room(&[0, 0, 4, 10, 2, 0, 4, 200, 1, 0, 4, 255]);
//! ```
//!
//! # Random histories
//!
//! A [`Search`] generates histories of faults, pauses and actions of the program, plays each in a
//! new world, and shrinks the first in which the program fails. Here the program assumes that its
//! connection never breaks:
//!
//! ```
//! use presence_proto::client::ClientOptions;
//! use presence_proto::server::Identity;
//! use presence_sim::{Event, Search, World};
//!
//! fn program(world: &mut World, events: &[Event]) -> Result<(), String> {
//!     let ann = world.add_client("ann", Identity::Client("ann".into()), ClientOptions::default());
//!     world.client(ann).connect();
//!     for event in events {
//!         match *event {
//!             // The program decides what it does. Here: it enters or leaves.
//!             Event::Act(client, choice) if choice % 2 == 0 => _ = world.client(client).enter("room", ""),
//!             Event::Act(client, _) => _ = world.client(client).leave("room"),
//!             fault_or_pause => fault_or_pause.apply(world),
//!         }
//!     }
//!     if world.trace().to_string().contains("connection disconnected") {
//!         return Err("ann is disconnected".into());
//!     }
//!     Ok(())
//! }
//!
//! let found = Search::new(1).run(0..100, program).unwrap_err();
//! assert_eq!(found.reason, "ann is disconnected");
//! assert!(found.events.len() <= 3);
//! // The reason, the events and the end of the trace.
//! println!("{found}");
//! ```
//!
//! [`World::heal`] ends all faults at the end of a history, to check that the program converges.
//! `examples/roster.rs` finds a common bug of presence applications that way.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "the crate requires std"
)]

mod application;
mod client;
mod client_host;
mod clocks;
mod faults;
mod frames;
mod hosts;
mod inspect;
mod log;
mod log_faults;
mod log_host;
mod network;
mod node;
mod node_faults;
mod nodes;
mod processes;
mod record;
mod routes;
mod rules;
mod search;
mod seeds;
mod server_host;
mod shrink;
mod time;
mod trace;
mod world;

pub use client::SimClient;
pub use network::Latency;
pub use record::{Call, CallKind};
pub use search::{Counterexample, Event, Search};
pub use seeds::{client_seed, server_seed};
pub use shrink::shrink;
pub use time::Pending;
pub use trace::Trace;
pub use world::World;
