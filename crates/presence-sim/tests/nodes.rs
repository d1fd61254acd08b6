//! Several nodes: which of them a client is connected to, and faults of their processes and clocks.
//!
//! The nodes have no log here: each is a server on its own.

use core::time::Duration;
use presence_proto::client::{ClientOptions, ConnectionState};
use presence_proto::server::{Identity, Input, ServerOptions, input};
use presence_proto::wire::{Action, ProtocolMessage};
use presence_sim::{CallKind, Latency, Pending, World, server_seed};
use std::collections::BTreeSet;

/// A world with servers on their own, and clients with these names that have entered a room.
fn world<const N: usize>(nodes: usize, names: [&'static str; N]) -> World {
    let mut world = World::new(1, named(1));
    for number in 2..=nodes {
        world.add_node(named(number));
    }
    for name in names {
        let client =
            world.add_client(name, Identity::Client(name.into()), ClientOptions::default());
        world.client(client).connect();
        world.client(client).enter("room", "");
    }
    world.run_for(Duration::from_secs(1));
    world
}

fn named(number: usize) -> ServerOptions {
    let mut options = ServerOptions::default();
    options.node = format!("node{number}").into();
    options
}

fn run(world: &mut World, millis: u64) {
    world.run_for(Duration::from_millis(millis));
    assert_eq!(world.failure(), None);
}

/// The number of members of the room on each node.
fn members(world: &World) -> Vec<usize> {
    let nodes = 0..world.node_count();
    nodes.map(|node| world.node(node).occupancy("room").presence_members as usize).collect()
}

fn has_line(world: &World, text: &str) -> bool {
    world.trace().lines().iter().any(|line| line.ends_with(text))
}

#[test]
fn clients_are_spread_over_the_nodes() {
    let mut world = world(2, ["ann", "bob", "cid"]);
    assert_eq!(members(&world), [2, 1]);
    assert_eq!(world.client(0).present("room"), ["ann", "cid"]);
    assert_eq!(world.client(1).present("room"), ["bob"]);
    assert!(has_line(&world, "ann > node1 open") && has_line(&world, "bob > node2 open"));
}

#[test]
fn the_trace_of_a_single_node_calls_it_the_server() {
    let mut world = world(1, ["ann"]);
    world.step_server_clock(1);
    assert!(has_line(&world, "ann > server open"));
    assert!(has_line(&world, "-- the server's wall clock steps by 1 ms"));
}

#[test]
fn no_two_transports_of_a_world_have_the_same_id() {
    let mut world = World::new(1, named(1));
    world.add_node(named(2));
    world.record_calls();
    for name in ["ann", "bob", "cid"] {
        let client =
            world.add_client(name, Identity::Client(name.into()), ClientOptions::default());
        world.client(client).connect();
    }
    run(&mut world, 1_000);
    world.cut_all();
    run(&mut world, 1_000);
    let opened: Vec<_> = world
        .take_calls()
        .into_iter()
        .filter_map(|call| match call.kind {
            CallKind::Server {
                node,
                input: Input::Opened(input::Opened { transport, .. }),
                ..
            } => Some((node, transport)),
            _ => None,
        })
        .collect();
    let ids: BTreeSet<_> = opened.iter().map(|(_, transport)| *transport).collect();
    assert_eq!((opened.len(), ids.len()), (6, 6));
    assert_eq!(opened.iter().filter(|(node, _)| *node == 1).count(), 2);
}

#[test]
fn a_client_moves_to_the_node_that_was_chosen_for_it() {
    let mut world = world(2, ["ann"]);
    world.set_node(0, 1);
    run(&mut world, 1_000);
    assert_eq!(members(&world), [1, 0], "its transport stays where it is");
    world.cut(0);
    run(&mut world, 1_000);
    assert_eq!((members(&world), world.client_node(0)), (vec![1, 1], 1));
    world.set_node(0, 7);
    assert_eq!(world.client_node(0), 1, "there is no node 7");
}

#[test]
fn a_client_moves_to_the_next_node_that_is_up_when_its_node_is_killed() {
    let mut world = world(3, ["ann", "bob"]);
    world.kill_node(1);
    world.kill_node(0);
    assert!(!world.is_node_up(0) && world.is_node_up(2));
    // Refused, then opened, then CONNECTED, ATTACHED and the members: five round trips.
    run(&mut world, 200);
    assert_eq!(world.node(2).occupancy("room").presence_members, 2);
    assert!(has_line(&world, "ann cannot reach node1 and tries node3"));
    assert_eq!((world.client_node(0), world.client_node(1)), (2, 2));
}

#[test]
fn an_attempt_under_way_goes_on_when_its_node_is_killed() {
    let mut world = world(2, []);
    let ann = world.add_client("ann", Identity::Any, ClientOptions::default());
    world.client(ann).connect();
    run(&mut world, 10);
    world.kill_node(0);
    run(&mut world, 200);
    assert_eq!(world.client(ann).connection_state(), ConnectionState::Connected);
    assert_eq!(world.node(1).counters().transports, 1);
}

#[test]
fn without_another_node_attempts_are_refused() {
    let mut world = world(2, ["ann"]);
    world.kill_node(1);
    world.kill_node(0);
    run(&mut world, 100);
    assert_eq!(world.client(0).connection_state(), ConnectionState::Disconnected);
    world.start_node(1);
    run(&mut world, 30_000);
    assert_eq!(members(&world)[1], 1);
}

#[test]
fn a_kill_that_the_clients_do_not_see_leaves_them_half_open() {
    let mut world = world(2, ["ann"]);
    world.kill_node_unseen(0);
    run(&mut world, 10_000);
    assert_eq!(world.client(0).connection_state(), ConnectionState::Connected);
    assert_eq!(members(&world)[1], 0);
    run(&mut world, 20_000);
    assert_eq!(members(&world)[1], 1);
}

#[test]
fn a_node_that_starts_again_has_a_new_server_with_another_seed() {
    let mut world = world(2, ["ann"]);
    world.record_calls();
    let connection = |world: &mut World| world.client(0).core().connection().id().cloned();
    let before = connection(&mut world);
    world.set_node(0, 0);
    world.kill_node(0);
    world.start_node(0);
    world.start_node(0);
    run(&mut world, 1_000);
    assert_eq!(members(&world), [1, 0]);
    assert_ne!(connection(&mut world), before);
    let calls = world.take_calls();
    let restarts =
        calls.iter().filter(|call| matches!(call.kind, CallKind::ServerRestarted { node: 0 }));
    assert_eq!(restarts.count(), 1, "a node that is up does not start");
}

#[test]
fn a_restart_of_the_first_node_leaves_the_transports_of_the_others() {
    let mut world = world(2, ["ann", "bob"]);
    world.client(1).events();
    world.restart_server();
    run(&mut world, 1_000);
    assert_eq!(members(&world), [1, 1]);
    assert!(world.client(1).events().is_empty());
}

#[test]
fn a_paused_node_handles_nothing_until_it_goes_on() {
    let mut world = world(2, ["ann"]);
    world.pause_node(0);
    world.client(0).leave("room");
    run(&mut world, 1_000);
    assert_eq!(members(&world)[0], 1, "the frame waits");
    world.kick("room", None);
    assert_eq!(members(&world)[0], 1, "so does what its host wants");
    world.resume_node(0);
    assert_eq!(members(&world)[0], 0);
    world.resume_node(0);
    assert_eq!(world.trace().lines().iter().filter(|line| line.ends_with("goes on")).count(), 1);
}

#[test]
fn deadlines_of_a_paused_node_fire_when_it_goes_on() {
    let mut world = world(2, ["ann"]);
    world.set_reachable(0, false);
    world.pause_node(0);
    world.cut(0);
    run(&mut world, 60_000);
    assert!(world.next_deadline().is_none_or(|(_, next)| next != Pending::NodeDeadline(0)));
    assert_eq!(members(&world)[0], 1);
    // It hears of the lost transport only now: the grace period begins.
    world.resume_node(0);
    run(&mut world, 14_999);
    assert_eq!(members(&world)[0], 1);
    world.pause_node(0);
    run(&mut world, 10_000);
    assert_eq!(members(&world)[0], 1);
    world.resume_node(0);
    run(&mut world, 0);
    assert_eq!(members(&world)[0], 0);
}

#[test]
fn a_client_gives_up_a_paused_node_and_goes_on_to_the_next() {
    let mut world = world(2, ["ann"]);
    world.pause_node(0);
    world.cut(0);
    run(&mut world, 9_000);
    assert_eq!(world.client_node(0), 0);
    run(&mut world, 30_000);
    assert_eq!(members(&world)[1], 1);
}

#[test]
fn a_killed_node_forgets_what_it_was_to_handle() {
    let mut world = world(2, ["ann"]);
    world.pause_node(0);
    world.kick("room", None);
    world.kill_node(0);
    world.start_node(0);
    world.record_calls();
    run(&mut world, 1_000);
    assert_eq!(members(&world), [1, 0]);
    let calls = world.take_calls();
    let mut kicks = calls
        .iter()
        .filter(|call| matches!(&call.kind, CallKind::Server { input: Input::Kick(_), .. }));
    assert!(kicks.next().is_none());
}

#[test]
fn a_stopping_node_sends_its_clients_away_evenly_and_ends() {
    let mut world = world(2, ["ann", "bob", "cid"]);
    world.stop_node(0, Duration::from_secs(10));
    run(&mut world, 1_000);
    assert!(world.is_node_up(0));
    assert_eq!(members(&world)[1], 2, "ann has moved");
    run(&mut world, 9_100);
    assert!(!world.is_node_up(0));
    assert_eq!(members(&world)[1], 3);
    for client in [0, 2] {
        let events = world.client(client).events();
        let text = format!("{events:?}");
        assert!(!text.contains("Suspended") && !text.contains("Failed"), "{text}");
    }
    assert!(has_line(&world, "-- node1 ends"));
}

#[test]
fn a_stopping_node_refuses_new_transports() {
    let mut world = world(2, ["ann", "bob", "cid"]);
    world.stop_node(0, Duration::from_secs(10));
    world.set_node(1, 0);
    world.cut(1);
    run(&mut world, 1_000);
    assert!(world.is_node_up(0));
    assert!(has_line(&world, "bob cannot reach node1 and tries node2"));
    assert_eq!(world.client(1).connection_state(), ConnectionState::Connected);
}

#[test]
fn a_client_that_is_disconnected_goes_on_to_the_next_node() {
    let mut world = world(2, ["ann"]);
    world.inject_and_close(0, ProtocolMessage::new(Action::Disconnected));
    run(&mut world, 1_000);
    assert_eq!((members(&world)[1], world.client_node(0)), (1, 1));
}

#[test]
fn servers_have_different_seeds() {
    let seeds = [(0, 0), (0, 1), (1, 0), (1, 1)];
    let seeds: BTreeSet<_> = seeds.map(|(node, restarts)| server_seed(1, node, restarts)).into();
    assert_eq!(seeds.len(), 4);
}

#[test]
fn a_stopping_node_without_transports_ends_at_once() {
    let mut world = world(2, []);
    world.stop_node(1, Duration::from_secs(10));
    assert!(!world.is_node_up(1));
}

#[test]
fn a_node_that_went_on_too_late_to_stop_in_time_ends_then() {
    let mut world = world(2, ["ann"]);
    world.pause_node(0);
    world.stop_node(0, Duration::from_secs(10));
    run(&mut world, 20_000);
    assert!(world.is_node_up(0), "it is paused");
    world.resume_node(0);
    run(&mut world, 0);
    assert!(!world.is_node_up(0));
}

#[test]
fn deadlines_follow_the_monotonic_clock_of_the_node() {
    for (per_mille, grace) in [(500, 30_000), (1_000, 15_000), (2_000, 7_500)] {
        let mut world = world(2, ["ann"]);
        world.slow_node_clock(0, per_mille);
        world.set_reachable(0, false);
        world.cut(0);
        run(&mut world, grace - 1);
        assert_eq!(members(&world)[0], 1, "{per_mille}");
        run(&mut world, 1);
        assert_eq!(members(&world)[0], 0, "{per_mille}");
    }
}

#[test]
fn each_node_has_its_own_wall_clock() {
    let mut world = world(2, []);
    world.step_node_clock(1, 60_000);
    for name in ["ann", "bob"] {
        let client =
            world.add_client(name, Identity::Client(name.into()), ClientOptions::default());
        world.client(client).connect();
        world.client(client).enter("room", "");
    }
    run(&mut world, 1_000);
    let entered = |world: &mut World, client| world.client(client).members("room")[0].timestamp;
    let [ann, bob] = [0, 1].map(|client| entered(&mut world, client).expect("a timestamp"));
    assert_eq!(bob.as_millis() - ann.as_millis(), 60_000);
}

#[test]
fn equal_runs_give_equal_traces() {
    let play = || {
        let mut world = world(3, ["ann", "bob", "cid", "dan"]);
        world.set_latency(2, Latency { up: 3, down: 90 });
        world.kill_node(0);
        run(&mut world, 300);
        world.pause_node(1);
        run(&mut world, 30_000);
        world.start_node(0);
        world.stop_node(2, Duration::from_secs(5));
        world.heal();
        world.into_trace().to_string()
    };
    assert_eq!(play(), play());
}

#[test]
fn heal_brings_all_nodes_back() {
    let mut world = world(3, ["ann", "bob", "cid"]);
    world.kill_node(0);
    world.pause_node(1);
    world.heal();
    assert_eq!(members(&world).iter().sum::<usize>(), 3);
    assert!((0..3).all(|node| world.is_node_up(node)));
    assert!(has_line(&world, "-- node2 goes on") && has_line(&world, "-- node1 starts"));
}
