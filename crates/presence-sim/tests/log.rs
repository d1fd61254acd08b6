//! What the hosts of nodes tell their servers about the log.

use core::time::Duration;
use presence_proto::server::{Input, ServerOptions};
use presence_sim::{CallKind, Latency, Pending, World};

/// A world with three nodes that have just reached the log.
fn cluster() -> World {
    let mut world = World::cluster(1, ServerOptions::default(), 3);
    world.record_calls();
    world.run_for(Duration::from_millis(2));
    assert_eq!(heard(&mut world), [(0, "available"), (1, "available"), (2, "available")]);
    world
}

/// Which node has heard what about the log since the last time.
fn heard(world: &mut World) -> Vec<(usize, &'static str)> {
    assert_eq!(world.failure(), None);
    let calls = world.take_calls().into_iter();
    let heard = calls.filter_map(|call| match call.kind {
        CallKind::Server { node, input: Input::LogAvailable, .. } => Some((node, "available")),
        CallKind::Server { node, input: Input::LogUnavailable, .. } => Some((node, "unavailable")),
        CallKind::ServerRestarted { node } => Some((node, "started")),
        _ => None,
    });
    heard.collect()
}

fn run(world: &mut World, millis: u64) -> Vec<(usize, &'static str)> {
    world.run_for(Duration::from_millis(millis));
    heard(world)
}

#[test]
fn the_nodes_of_a_cluster_have_names_a_log_and_one_secret() {
    let world = World::cluster(7, ServerOptions::default(), 3);
    assert_eq!(world.node_count(), 3);
    let options = [0, 1, 2].map(|node| world.node_options(node));
    assert_eq!(options.map(|options| options.node.as_str()), ["node1", "node2", "node3"]);
    assert!(options.iter().all(|options| options.log.is_some()));
    let secrets = options.map(|options| options.key_secret.expect("a secret").0);
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    let other = World::cluster(8, ServerOptions::default(), 1);
    assert_ne!(other.node_options(0).key_secret.expect("a secret").0, secrets[0]);
    assert_eq!(World::cluster(7, ServerOptions::default(), 0).node_count(), 1);
}

#[test]
fn a_server_on_its_own_hears_nothing_of_the_log() {
    let mut world = World::new(1, ServerOptions::default());
    world.record_calls();
    world.cut_log(0);
    world.heal_log(0);
    world.log_down();
    world.log_up();
    assert_eq!(run(&mut world, 1_000), []);
}

#[test]
fn a_node_that_is_cut_off_hears_so_at_once_and_of_the_end_after_it_has_read_the_log() {
    let mut world = cluster();
    world.set_log_latency(1, Latency { up: 30, down: 20 });
    world.cut_log(1);
    assert_eq!(heard(&mut world), [(1, "unavailable")]);
    world.cut_log_after_appends(1);
    assert_eq!(run(&mut world, 1_000), [], "it is cut off already");
    world.heal_log(1);
    assert_eq!(run(&mut world, 49), []);
    assert_eq!(run(&mut world, 1), [(1, "available")]);
}

#[test]
fn all_nodes_hear_that_the_log_is_down_and_those_that_can_reach_it_that_it_is_up() {
    let mut world = cluster();
    world.cut_log(0);
    world.log_down();
    assert_eq!(heard(&mut world), [(0, "unavailable"), (1, "unavailable"), (2, "unavailable")]);
    world.heal_log(0);
    world.cut_log(1);
    assert_eq!(run(&mut world, 1_000), []);
    world.log_up();
    assert_eq!(run(&mut world, 2), [(0, "available"), (2, "available")]);
}

#[test]
fn a_way_that_is_delayed_delays_everything() {
    let mut world = cluster();
    world.cut_log(2);
    world.heal_log(2);
    world.delay_log(2, 500);
    heard(&mut world);
    assert_eq!(run(&mut world, 499), []);
    assert_eq!(run(&mut world, 1), [(2, "available")]);
}

#[test]
fn a_paused_node_hears_of_the_log_in_order_when_it_goes_on() {
    let mut world = cluster();
    world.pause_node(0);
    world.cut_log(0);
    world.heal_log(0);
    assert_eq!(run(&mut world, 1_000), []);
    world.perform(Pending::PacketFromLog(0));
    // What is on its way is lost again.
    world.cut_log(0);
    world.heal_log(0);
    assert_eq!(run(&mut world, 1_000), []);
    world.resume_node(0);
    let expected = [(0, "unavailable"), (0, "unavailable"), (0, "available")];
    assert_eq!(run(&mut world, 0), expected);
}

#[test]
fn a_node_that_starts_reads_the_log_again() {
    let mut world = cluster();
    world.kill_node(1);
    world.log_down();
    world.log_up();
    assert_eq!(run(&mut world, 10).iter().filter(|(node, _)| *node == 1).count(), 0);
    world.start_node(1);
    assert_eq!(run(&mut world, 2), [(1, "started"), (1, "available")]);
    world.restart_server();
    assert_eq!(run(&mut world, 2), [(0, "started"), (0, "available")]);
}

#[test]
fn heal_ends_the_faults_of_the_log() {
    let mut world = cluster();
    world.cut_log(0);
    world.log_down();
    heard(&mut world);
    world.heal();
    assert_eq!(heard(&mut world), [(0, "available"), (1, "available"), (2, "available")]);
}

#[test]
fn packets_of_the_log_precede_deadlines_and_are_ordered_by_node() {
    let world = World::cluster(1, ServerOptions::default(), 2);
    assert_eq!(world.pending_packets(), [Pending::PacketFromLog(0), Pending::PacketFromLog(1)]);
    let order = [
        Pending::PacketDown(9),
        Pending::PacketToLog(0),
        Pending::PacketToLog(1),
        Pending::PacketFromLog(0),
        Pending::NodeDeadline(0),
        Pending::NodeEnd(0),
        Pending::ClientDeadline(0),
    ];
    assert!(order.is_sorted());
}
