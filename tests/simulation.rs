//! Thousands of generated histories with real clients, a real server and faults, checked after
//! every call (see `presence_check`), and single scenarios of clients and a server under faults.

use core::time::Duration;
use presence_check::{Report, Scenario};
use presence_proto::client::{ChannelOptions, ClientOptions, ConnectionState, PresenceChange};
use presence_proto::server::{Identity, ServerOptions};
use presence_proto::wire::{Modes, PresenceAction, PresenceMessage};
use presence_sim::{Latency, World};
use proptest::prelude::*;
use std::thread;

/// The seeds of this run. The environment variable `SIM_SEEDS=from..to` sets others.
fn seeds() -> core::ops::Range<u64> {
    let range = std::env::var("SIM_SEEDS").ok();
    let range = range.as_deref().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    range.unwrap_or(0..2_500)
}

/// Shrinks a failed scenario and returns its failure and the end of its trace.
fn explain(scenario: &Scenario) -> String {
    let shrunk = scenario.shrunk();
    let (result, trace) = shrunk.run_traced();
    let lines = trace.lines();
    let from = lines.len().saturating_sub(120);
    format!("{}\n{shrunk:#?}\n{}", result.err().map(|f| f.to_string()).unwrap_or_default(), {
        lines[from..].join("\n")
    })
}

#[test]
fn all_seeds_keep_the_invariants_and_converge() {
    let seeds = seeds();
    let workers = 2;
    let handles: Vec<_> = (0..workers)
        .map(|worker| {
            let seeds = seeds.clone().skip(worker).step_by(workers);
            thread::spawn(move || {
                let mut total = Report::default();
                for seed in seeds {
                    let scenario = Scenario::from_seed(seed);
                    match scenario.run() {
                        Ok(report) => total += report,
                        Err(failure) => panic!("{failure}\n{}", explain(&scenario)),
                    }
                }
                total
            })
        })
        .collect();
    let mut total = Report::default();
    for handle in handles {
        total += handle.join().expect("a seed failed, see above");
    }
    println!("{} seeds, {} virtual hours: {total:?}", seeds.end - seeds.start, {
        total.virtual_millis / 3_600_000
    });
    // The seeds must cover the behaviour that the invariants are about.
    assert!(total.faults > 0 && total.resumed > 0 && total.reentries > 0);
    assert!(total.duplicates > 0 && total.grace_leaves > 0 && total.syncs > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_generated_scenario_keeps_the_invariants(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let scenario = Scenario::from_bytes(&bytes);
        if let Err(failure) = scenario.run() {
            prop_assert!(false, "{}\n{}", failure, explain(&scenario));
        }
    }
}

/// Failures that longer runs have found.
/// Several nodes that share a log, with the faults of nodes and of the log.
#[test]
fn clusters_keep_the_laws_and_converge() {
    let failed_earlier = [653, 840, 975, 1009, 1694, 1931, 2032, 2763];
    for seed in (0..100).chain(failed_earlier) {
        let scenario = Scenario::cluster_from_seed(seed);
        if let Err(failure) = scenario.run() {
            panic!("{failure}\n{}", explain(&scenario));
        }
    }
}

#[test]
fn seeds_that_failed_earlier_pass() {
    for seed in [96_809, 127_730, 267_630, 670_640, 688_176, 764_047] {
        let scenario = Scenario::from_seed(seed);
        if let Err(failure) = scenario.run() {
            panic!("{failure}\n{}", explain(&scenario));
        }
    }
}

/// Two clients attached to a channel, on which alice is present.
fn alice_and_bob() -> (World, usize, usize) {
    let mut world = World::new(1, ServerOptions::default());
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let mut options = ClientOptions::default();
        options.retry_jitter = false;
        let client = world.add_client(name, Identity::Client(name.into()), options);
        world.client(client).connect();
        world.client(client).subscribe("room");
        world.run_for(Duration::from_millis(500));
        client
    });
    world.client(alice).enter("room", "hello");
    world.run_for(Duration::from_millis(500));
    world.client(bob).events();
    assert_eq!(world.client(bob).present("room"), ["alice"]);
    (world, alice, bob)
}

#[test]
fn rtp17g_a_resume_within_the_grace_period_causes_no_events() {
    let (mut world, alice, bob) = alice_and_bob();
    world.cut(alice);
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.client(alice).connection_state(), ConnectionState::Connected);
    assert_eq!(world.client(bob).presence_events(), []);
    assert_eq!(world.client(bob).present("room"), ["alice"]);
    assert_eq!(world.server().counters().reentries, 1);
    assert_eq!(world.failure(), None);
}

#[test]
fn the_grace_period_ends_15_seconds_after_a_loss() {
    let (mut world, alice, bob) = alice_and_bob();
    world.set_reachable(alice, false);
    world.cut(alice);
    world.run_for(Duration::from_millis(14_900));
    assert_eq!(world.client(bob).present("room"), ["alice"]);
    world.run_for(Duration::from_millis(1_200));
    assert_eq!(world.client(bob).present("room"), [""; 0]);
}

#[test]
fn rtp17g_a_resume_after_the_grace_period_re_enters_with_the_old_id() {
    let (mut world, alice, bob) = alice_and_bob();
    let before = world.client(bob).members("room")[0].id.clone();
    world.set_reachable(alice, false);
    world.cut(alice);
    world.run_for(Duration::from_secs(40));
    assert_eq!(world.client(bob).present("room"), [""; 0]);
    world.set_reachable(alice, true);
    world.run_for(Duration::from_secs(40));
    assert_eq!(world.client(bob).present("room"), ["alice"]);
    assert_eq!(world.client(bob).members("room")[0].id, before);
}

#[test]
fn rtp2b2_a_reentry_with_data_before_the_last_update_is_applied() {
    let (mut world, alice, bob) = alice_and_bob();
    // The update arrives; its acknowledgement and echo do not, and the update fails (RTN7e).
    world.stall_down(alice);
    let op = world.client(alice).update("room", "new");
    world.run_for(Duration::from_millis(100));
    let data = |members: Vec<PresenceMessage>| members[0].data.clone();
    assert_eq!(data(world.client(bob).members("room")), Some("new".into()));
    // Bob misses her leave.
    for client in [alice, bob] {
        world.set_reachable(client, false);
        world.cut_unseen_by_server(client);
    }
    world.run_for(Duration::from_secs(125));
    assert!(matches!(world.client(alice).result(op), Some(Err(_))));
    assert_eq!(world.server().counters().grace_leaves, 1);
    let connection = world.client(alice).core().connection().id().cloned();
    for client in [alice, bob] {
        world.set_reachable(client, true);
        world.client(client).connect();
        world.run_for(Duration::from_secs(5));
    }
    assert_eq!(world.client(alice).core().connection().id().cloned(), connection);
    for client in [alice, bob] {
        assert_eq!(data(world.client(client).members("room")), Some("hello".into()));
    }
}

#[test]
fn rtp17g1_an_expired_connection_is_replaced_and_the_member_has_a_new_id() {
    let (mut world, alice, bob) = alice_and_bob();
    let before = world.client(bob).members("room")[0].clone();
    world.set_reachable(alice, false);
    world.cut(alice);
    world.run_for(Duration::from_secs(180));
    world.set_reachable(alice, true);
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.client(bob).present("room"), ["alice"]);
    let after = world.client(bob).members("room")[0].clone();
    assert_ne!(after.connection_id, before.connection_id);
    assert_ne!(after.id, before.id);
}

#[test]
fn a_silent_peer_leaves_within_45_seconds() {
    let (mut world, alice, bob) = alice_and_bob();
    world.set_reachable(alice, false);
    world.unplug(alice);
    world.run_for(Duration::from_millis(45_500));
    assert_eq!(world.client(bob).present("room"), [""; 0]);
}

#[test]
fn rtp2b1_a_member_leaves_although_the_servers_wall_clock_steps_back() {
    let (mut world, alice, bob) = alice_and_bob();
    world.step_server_clock(-86_400_000);
    world.set_reachable(alice, false);
    world.cut(alice);
    world.run_for(Duration::from_secs(20));
    assert_eq!(world.client(bob).present("room"), [""; 0]);
}

#[test]
fn a_wall_clock_that_steps_forward_expires_nothing() {
    let (mut world, alice, bob) = alice_and_bob();
    world.cut(alice);
    world.step_server_clock(86_400_000);
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.client(bob).presence_events(), []);
    assert_eq!(world.client(alice).connection_state(), ConnectionState::Connected);
}

#[test]
fn a_stalled_reader_receives_a_sync_instead_of_events() {
    let (mut world, alice, bob) = alice_and_bob();
    world.stall_down(bob);
    for round in 0..200 {
        world.client(alice).update("room", &format!("{round}"));
        world.run_for(Duration::from_millis(50));
    }
    assert_eq!(world.server().counters().congested, 1);
    world.client(alice).leave("room");
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.client(bob).present("room"), ["alice"]);
    world.unstall(bob);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.client(bob).present("room"), [""; 0]);
    assert!(world.client(bob).presence_events().len() < 60);
}

#[test]
fn a_resume_replaces_the_half_open_transport() {
    let (mut world, alice, bob) = alice_and_bob();
    world.cut_unseen_by_server(alice);
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.client(bob).presence_events(), []);
    assert_eq!(world.server().counters().transports, 2);
    assert_eq!(world.server().counters().connections, 2);
}

#[test]
fn all_members_re_enter_after_a_restart_of_the_server() {
    let (mut world, alice, bob) = alice_and_bob();
    world.restart_server();
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.client(bob).present("room"), ["alice"]);
    assert_eq!(world.client(alice).present("room"), ["alice"]);
    assert_eq!(world.failure(), None);
}

#[test]
fn rtn19a_a_repeated_enter_re_enters_a_member_whose_grace_period_ended() {
    let (mut world, alice, bob) = alice_and_bob();
    // The enter arrives; its acknowledgement and echo do not.
    world.stall_down(bob);
    let op = world.client(bob).enter("room", "hi");
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.client(alice).present("room"), ["alice", "bob"]);
    world.set_reachable(bob, false);
    world.cut(bob);
    world.run_for(Duration::from_secs(20));
    assert_eq!(world.client(alice).present("room"), ["alice"]);
    world.set_reachable(bob, true);
    world.run_for(Duration::from_secs(40));
    assert!(matches!(world.client(bob).result(op), Some(Ok(_))));
    assert_eq!(world.client(alice).present("room"), ["alice", "bob"]);
}

#[test]
fn rtn19a_a_repeated_update_re_enters_a_kicked_member() {
    let (mut world, alice, bob) = alice_and_bob();
    // The update arrives; its acknowledgement and echo do not.
    world.stall_down(alice);
    world.client(alice).update("room", "new");
    world.run_for(Duration::from_millis(100));
    world.cut(bob);
    world.kick("room", Some("alice"));
    world.cut(alice);
    world.run_for(Duration::from_secs(30));
    // Bob has received the update and not the leave: he would ignore a re-entry with the message
    // before the update as older (RTP2b2).
    let data = |members: Vec<PresenceMessage>| members[0].data.clone();
    for client in [alice, bob] {
        assert_eq!(data(world.client(client).members("room")), Some("new".into()));
    }
}

#[test]
fn rtn19a_a_repeated_enter_does_not_restore_a_member_that_has_left() {
    let (mut world, alice, bob) = alice_and_bob();
    world.stall_down(bob);
    world.client(bob).enter("room", "hi");
    world.client(bob).leave("room");
    world.run_for(Duration::from_millis(100));
    world.client(alice).events();
    world.cut(bob);
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.server().counters().duplicates, 2);
    assert_eq!(world.client(alice).presence_events(), []);
    assert_eq!(world.client(alice).present("room"), ["alice"]);
}

#[test]
fn a_budget_of_one_makes_progress() {
    let mut config = ServerOptions::default();
    config.budget = 1;
    let mut world = World::new(1, config);
    let alice =
        world.add_client("alice", Identity::Client("alice".into()), ClientOptions::default());
    world.client(alice).connect();
    world.client(alice).enter("room", "hello");
    world.run_for(Duration::from_secs(1));
    world.set_reachable(alice, false);
    world.cut(alice);
    world.run_for(Duration::from_secs(20));
    assert_eq!(world.server().counters().members, 0);
    assert_eq!(world.failure(), None);
}

#[test]
fn rtp17a_a_congested_owner_without_the_mode_presence_receives_its_leave_later() {
    let (mut world, alice, _) = alice_and_bob();
    world.stall_down(alice);
    for round in 0..20 {
        world.client(alice).update("room", &format!("{round}"));
        world.run_for(Duration::from_millis(50));
    }
    assert_eq!(world.server().counters().congested, 1);
    let mut options = ChannelOptions::default();
    options.modes = Some(Modes::SUBSCRIBE | Modes::PRESENCE_SUBSCRIBE);
    world.client(alice).set_options("room", options);
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.server().counters().members, 0);
    world.unstall(alice);
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.client(alice).present("room"), [""; 0]);
}

#[test]
fn rtp17a_a_congested_owner_without_presence_subscribe_receives_its_leave() {
    let (mut world, alice, bob) = alice_and_bob();
    world.stall_down(alice);
    for round in 0..20 {
        world.client(bob).enter("room", &format!("{round}"));
        world.run_for(Duration::from_millis(50));
    }
    assert_eq!(world.server().counters().congested, 1);
    world.client(alice).leave("room");
    let mut options = ChannelOptions::default();
    options.modes = Some(Modes::SUBSCRIBE | Modes::PRESENCE);
    world.client(alice).set_options("room", options);
    world.run_for(Duration::from_millis(100));
    world.unstall(alice);
    world.run_for(Duration::from_secs(5));
    assert!(!world.client(alice).present("room").contains(&"alice".into()));
    // Nor does she re-enter when she attaches again.
    world.cut(alice);
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.client(bob).present("room"), ["bob"]);
}

#[test]
fn rtp18_presence_subscribe_requested_again_syncs_an_empty_set() {
    let (mut world, alice, bob) = alice_and_bob();
    for modes in [Modes::SUBSCRIBE, Modes::SUBSCRIBE | Modes::PRESENCE_SUBSCRIBE] {
        let mut options = ChannelOptions::default();
        options.modes = Some(modes);
        world.client(bob).set_options("room", options);
        world.run_for(Duration::from_secs(1));
        world.client(alice).leave("room");
        world.run_for(Duration::from_secs(1));
    }
    assert_eq!(world.client(bob).present("room"), [""; 0]);
}

/// A sync page with alice is in flight to bob when she leaves, and arrives after the leave.
fn a_late_page_contains_a_member_that_has_left(leave: impl FnOnce(&mut World, usize)) {
    let (mut world, alice, bob) = alice_and_bob();
    world.step_server_clock(-86_400_000);
    world.client(alice).update("room", "again");
    world.run_for(Duration::from_millis(100));
    world.client(bob).detach("room");
    world.run_for(Duration::from_millis(100));
    world.delay_sync_pages(bob);
    world.client(bob).events();
    world.client(bob).attach("room");
    world.run_for(Duration::from_millis(100));
    leave(&mut world, alice);
    world.run_for(Duration::from_millis(100));
    world.unstall(bob);
    assert_eq!(world.client(bob).presence_events(), []);
    assert_eq!(world.client(bob).present("room"), [""; 0]);
    assert_eq!(world.failure(), None);
}

#[test]
fn rtp2h2a_a_late_page_does_not_restore_a_member_that_has_left() {
    a_late_page_contains_a_member_that_has_left(|world, alice| {
        world.client(alice).leave("room");
    });
}

#[test]
fn rtp2b1a_a_late_page_does_not_restore_a_member_that_the_server_removed() {
    a_late_page_contains_a_member_that_has_left(|world, alice| {
        world.client(alice).detach("room");
    });
}

/// A channel with three members and bob, who lists them. A sync page holds one member; there is no
/// latency.
fn three_members_and_bob() -> (World, usize, usize) {
    let mut config = ServerOptions::default();
    config.sync_page_members = 1;
    config.sync_pages_per_call = 1;
    let mut world = World::new(1, config);
    let [alice, bob] = [("alice", Identity::Any), ("bob", Identity::Client("bob".into()))].map(
        |(name, identity)| {
            let client = world.add_client(name, identity, ClientOptions::default());
            world.set_latency(client, Latency { up: 0, down: 0 });
            world.client(client).connect();
            world.client(client).subscribe("room");
            client
        },
    );
    for who in ["x", "y", "z"] {
        let change = PresenceChange::new(PresenceAction::Enter, None).of_client(who);
        world.client(alice).presence("room", change);
    }
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.client(bob).present("room"), ["x", "y", "z"]);
    (world, alice, bob)
}

fn with_modes(modes: Modes) -> ChannelOptions {
    let mut options = ChannelOptions::default();
    options.modes = Some(modes);
    options
}

fn is_syncing(world: &mut World, client: usize) -> bool {
    world.client(client).core().channel("room").is_some_and(|channel| channel.is_syncing())
}

#[test]
fn rtp18_a_sync_ends_when_its_mode_is_dropped() {
    let (mut world, _, bob) = three_members_and_bob();
    let all = Modes::PRESENCE | Modes::SUBSCRIBE | Modes::PRESENCE_SUBSCRIBE;
    world.client(bob).set_options("room", with_modes(all));
    world.client(bob).set_options("room", with_modes(Modes::SUBSCRIBE));
    world.run_for(Duration::from_secs(1));
    assert!(world.server().counters().syncs >= 2);
    assert!(!is_syncing(&mut world, bob));
}

#[test]
fn rtp18_an_interrupted_sync_ends_with_an_empty_set() {
    let (mut world, alice, bob) = three_members_and_bob();
    let carol = world.add_client("carol", Identity::Any, ClientOptions::default());
    world.set_latency(carol, Latency { up: 0, down: 0 });
    world.client(carol).connect();
    world.client(carol).subscribe("room");
    world.run_for(Duration::from_secs(1));
    let all = Modes::PRESENCE | Modes::SUBSCRIBE | Modes::PRESENCE_SUBSCRIBE;
    // Each call of the server sends one page: two to bob, then one to carol while all members
    // leave. Bob's sync is incomplete when he attaches again.
    for client in [bob, carol] {
        world.client(client).set_options("room", with_modes(all));
        world.step();
    }
    world.client(alice).detach("room");
    world.step();
    world.client(bob).set_options("room", with_modes(all | Modes::PUBLISH));
    world.run_for(Duration::from_secs(1));
    assert!(!is_syncing(&mut world, bob));
    assert_eq!(world.client(bob).present("room"), [""; 0]);
}
