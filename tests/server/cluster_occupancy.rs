//! The occupancy of a channel with attachments on several nodes.

use crate::cluster::Cluster;
use crate::host::CHANNEL;
use crate::occupancy::figures;
use crate::outputs::Outputs;
use presence_proto::TransportId;
use presence_proto::server::{
    Input, LogOptions, LogPosition, Occupancy, Outbox, Output, Server, ServerOptions, SnapshotPage,
    WithoutLog, output,
};
use serde_json::json;
use std::collections::BTreeMap;

/// The occupancy of the channel, as a node knows it.
fn occupancy(cluster: &Cluster, node: usize) -> Occupancy {
    cluster.nodes[node].as_ref().map(|server| server.occupancy(CHANNEL)).expect("a node that runs")
}

fn connections<const N: usize>(cluster: &Cluster, nodes: [usize; N]) -> [u32; N] {
    nodes.map(|node| occupancy(cluster, node).connections)
}

fn attached(cluster: &mut Cluster, node: usize, client_id: &str) -> u64 {
    let (transport, _) = cluster.open(node, client_id, None);
    cluster.attach(transport, None);
    transport
}

fn watcher(cluster: &mut Cluster, node: usize) -> u64 {
    let (transport, _) = cluster.open(node, "watcher", None);
    let params = json!({"occupancy": "metrics.connections"});
    cluster.recv(transport, json!({"action": 10, "channel": CHANNEL, "params": params}));
    transport
}

/// The numbers of connections that a watcher is told.
fn told(outputs: &Outputs, transport: u64) -> Vec<i64> {
    let figures = figures(outputs, transport).into_iter();
    figures.map(|figures| figures["connections"].as_i64().expect("a number")).collect()
}

/// The number of rows in the log.
fn rows(cluster: &Cluster) -> usize {
    cluster.log.iter().map(|entry| format!("{entry:?}").matches("Counts(").count()).sum()
}

fn channels(cluster: &Cluster) -> Vec<u64> {
    let channels = |server: &Server| server.counters().channels;
    cluster.nodes.iter().flatten().map(channels).collect()
}

/// All nodes have the same fold.
fn assert_equal(cluster: &Cluster) {
    let mut folds = cluster.nodes.iter().flatten().map(Server::fold);
    let first = folds.next().expect("a node");
    folds.for_each(|fold| assert_eq!(fold, first));
}

/// The pages of the snapshots that are complete, by position.
fn snapshots(outputs: Outputs) -> BTreeMap<u64, Vec<SnapshotPage>> {
    let mut snapshots = BTreeMap::<_, Vec<_>>::new();
    for output in outputs.others {
        if let Output::Snapshot(output::Snapshot { page, .. }) = output {
            snapshots.entry(page.position().0).or_default().push(page);
        }
    }
    snapshots.retain(|_, pages| pages.last().is_some_and(SnapshotPage::is_last));
    snapshots
}

/// The fold of a replica that has heard these inputs.
fn fold_of(cluster: &Cluster, inputs: impl Iterator<Item = Input>) -> String {
    let mut options = ServerOptions::default();
    options.log = Some(LogOptions::default());
    let mut replica = Server::new(options, [9; 32]);
    for input in inputs {
        replica.handle(cluster.now(0), input, &mut Outbox::new());
    }
    replica.fold()
}

#[test]
fn every_node_has_the_sum() {
    let mut cluster = Cluster::new(3);
    let alice = attached(&mut cluster, 0, "alice");
    cluster.presence(alice, 0, 2, "");
    let (bob, _) = cluster.open(1, "bob", None);
    // He publishes and enters only.
    cluster.recv(bob, json!({"action": 10, "channel": CHANNEL, "flags": 3 << 16}));
    cluster.advance_alive(5_000, &[alice, bob]);
    for node in 0..3 {
        let occupancy = occupancy(&cluster, node);
        assert_eq!((occupancy.connections, occupancy.publishers), (2, 2));
        assert_eq!((occupancy.subscribers, occupancy.presence_subscribers), (1, 1));
        assert_eq!((occupancy.presence_connections, occupancy.presence_members), (2, 1));
    }
    assert_equal(&cluster);
    // Other modes: subscribe to messages.
    cluster.recv(bob, json!({"action": 10, "channel": CHANNEL, "flags": 1 << 18}));
    let figures = occupancy(&cluster, 2);
    assert_eq!((figures.publishers, figures.subscribers, figures.connections), (1, 2, 2));
}

#[test]
fn a_watcher_is_told_of_attachments_on_other_nodes() {
    let mut cluster = Cluster::new(2);
    let bob = watcher(&mut cluster, 1);
    let (alice, _) = cluster.open(0, "alice", None);
    assert_eq!(told(&cluster.attach(alice, None), bob), [2]);
    // From one to two is not to or from zero: its node tells the others after the interval.
    let (carol, _) = cluster.open(0, "carol", None);
    assert_eq!(told(&cluster.attach(carol, None), bob), [0; 0]);
    let everyone = [alice, bob, carol];
    assert_eq!(told(&cluster.advance_alive(4_999, &everyone), bob), [0; 0]);
    assert_eq!(connections(&cluster, [0, 1]), [3, 2]);
    assert_eq!(told(&cluster.advance_alive(1, &everyone), bob), [3]);
    assert_eq!(rows(&cluster), 3);
    // What comes and goes within the interval is not told.
    let dave = attached(&mut cluster, 0, "dave");
    cluster.input(0, Input::closed(TransportId(dave)));
    assert_eq!(told(&cluster.advance_alive(30_000, &everyone), bob), [0; 0]);
    assert_eq!(rows(&cluster), 3);
    // Every attachment of the node is gone, which is told at once.
    cluster.recv(carol, json!({"action": 12, "channel": CHANNEL}));
    let outputs = cluster.recv(alice, json!({"action": 12, "channel": CHANNEL}));
    assert_eq!(told(&outputs, bob), [0; 0], "two others are left: not at once");
    assert_eq!(connections(&cluster, [0, 1]), [1, 1]);
    assert_eq!(told(&cluster.advance_alive(5_000, &everyone), bob), [1]);
    assert_equal(&cluster);
}

#[test]
fn a_channel_is_open_on_every_node_while_one_has_attachments() {
    let mut cluster = Cluster::new(2);
    let alice = attached(&mut cluster, 0, "alice");
    assert_eq!(channels(&cluster), [1, 1]);
    assert_eq!(rows(&cluster), 1);
    cluster.recv(alice, json!({"action": 12, "channel": CHANNEL}));
    assert_eq!(rows(&cluster), 2);
    assert_eq!(channels(&cluster), [0, 0]);
    assert_eq!(connections(&cluster, [0, 1]), [0, 0]);
    assert_equal(&cluster);
    // Without attachments there is nothing to tell.
    let (alice, _) = cluster.open(0, "alice", Some(alice));
    cluster.advance_alive(30_000, &[alice]);
    assert_eq!(rows(&cluster), 2);
}

#[test]
fn the_attachments_of_a_killed_node_count_until_its_lease_is_over() {
    let mut cluster = Cluster::new(3);
    let alice = attached(&mut cluster, 0, "alice");
    let bob = watcher(&mut cluster, 1);
    cluster.advance_alive(10_000, &[alice, bob]);
    assert_eq!(connections(&cluster, [1, 2]), [2, 2]);
    cluster.kill(0);
    let outputs = cluster.advance_alive(3_900, &[bob]);
    assert_eq!((told(&outputs, bob), connections(&cluster, [1, 2])), (vec![], [2, 2]));
    let outputs = cluster.advance_alive(2_600, &[bob]);
    assert_eq!((told(&outputs, bob), connections(&cluster, [1, 2])), (vec![1], [1, 1]));
    assert_equal(&cluster);
    cluster.recv(bob, json!({"action": 12, "channel": CHANNEL}));
    assert_eq!(channels(&cluster), [0, 0]);
}

#[test]
fn the_attachments_of_a_node_that_starts_again_count_no_more() {
    let mut cluster = Cluster::new(2);
    attached(&mut cluster, 0, "alice");
    let bob = watcher(&mut cluster, 1);
    cluster.advance_alive(5_000, &[bob]);
    cluster.kill(0);
    cluster.start(0);
    assert_eq!(told(&cluster.take(), bob), [1]);
    assert_eq!(connections(&cluster, [0, 1]), [1, 1]);
    assert_equal(&cluster);
}

#[test]
fn a_node_that_was_taken_for_gone_tells_its_attachments_again() {
    let mut options = LogOptions::default();
    options.without_log = WithoutLog::Hold;
    let mut cluster = Cluster::with_log(2, options);
    let alice = attached(&mut cluster, 0, "alice");
    let bob = watcher(&mut cluster, 1);
    cluster.advance_alive(5_000, &[alice, bob]);
    assert_eq!(connections(&cluster, [0, 1]), [2, 2]);
    let paused = cluster.nodes[0].take();
    let outputs = cluster.advance_alive(7_000, &[bob]);
    assert_eq!((told(&outputs, bob), connections(&cluster, [1])), (vec![1], [1]));
    cluster.nodes[0] = paused;
    let carol = attached(&mut cluster, 0, "carol");
    assert_eq!(connections(&cluster, [0, 1]), [3, 2]);
    let outputs = cluster.advance_alive(10_000, &[alice, bob, carol]);
    assert_eq!(connections(&cluster, [0, 1]), [3, 3]);
    assert_eq!(told(&outputs, bob), [2, 3]);
    assert_equal(&cluster);
}

#[test]
fn a_row_that_the_log_refuses_is_told_again() {
    let mut cluster = Cluster::new(2);
    let (alice, _) = cluster.open(0, "alice", None);
    let frame = json!({"action": 10, "channel": CHANNEL});
    let refuse = |cluster: &mut Cluster, frame| {
        let frame = crate::text::decode(&frame);
        cluster.call(0, Input::received(TransportId(alice), frame));
        let entry = cluster.log.pop().expect("a row");
        assert!(format!("{entry:?}").contains("Counts("));
        cluster.call(0, Input::append_failed(entry.id(), true));
        cluster.advance_alive(1_000, &[alice]);
    };
    refuse(&mut cluster, frame);
    assert_eq!(connections(&cluster, [0, 1]), [1, 1]);
    refuse(&mut cluster, json!({"action": 12, "channel": CHANNEL}));
    assert_eq!(connections(&cluster, [0, 1]), [0, 0]);
    assert_eq!(channels(&cluster), [0, 0]);
    assert_equal(&cluster);
}

#[test]
fn rows_wait_for_the_log_once_for_each_channel() {
    let mut cluster = Cluster::new(2);
    let (alice, _) = cluster.open(0, "alice", None);
    cluster.call(0, Input::LogUnavailable);
    for _ in 0..10 {
        cluster.attach(alice, None);
        cluster.recv(alice, json!({"action": 12, "channel": CHANNEL}));
    }
    cluster.attach(alice, None);
    assert_eq!((rows(&cluster), connections(&cluster, [0, 1])), (0, [1, 0]));
    cluster.input(0, Input::LogAvailable);
    assert_eq!((rows(&cluster), connections(&cluster, [0, 1])), (1, [1, 1]));
}

#[test]
fn a_node_that_starts_from_a_snapshot_has_the_rows() {
    let mut options = LogOptions::default();
    options.snapshot_entries = 12;
    let mut cluster = Cluster::with_log(2, options);
    let alice = attached(&mut cluster, 0, "alice");
    let bob = attached(&mut cluster, 1, "bob");
    let outputs = cluster.advance_alive(20_000, &[alice, bob]);
    let pages = snapshots(outputs).into_values().next().expect("a snapshot");
    let before = rows(&cluster);
    cluster.start_from(2, pages);
    assert_eq!((rows(&cluster), connections(&cluster, [0, 1, 2])), (before, [2, 2, 2]));
    assert_equal(&cluster);
    cluster.recv(alice, json!({"action": 12, "channel": CHANNEL}));
    cluster.recv(bob, json!({"action": 12, "channel": CHANNEL}));
    assert_eq!(channels(&cluster), [0, 0, 0]);
}

#[test]
fn a_snapshot_has_the_rows_at_its_position_while_they_change() {
    let mut options = LogOptions::default();
    (options.snapshot_entries, options.snapshot_page_bytes) = (1, 1);
    let mut cluster = Cluster::with_log(2, options);
    let (alice, _) = cluster.open(1, "alice", None);
    let frame = |action, number| {
        let frame = json!({"action": action, "channel": format!("room {number}")});
        Input::received(TransportId(alice), crate::text::decode(&frame))
    };
    for number in 0..8 {
        cluster.input(1, frame(10, number));
    }
    // The other node hears all of this while it writes, a page in each call.
    for number in (0..8).rev() {
        cluster.call(1, frame(12, number));
    }
    cluster.settle();
    let snapshots = snapshots(cluster.take());
    assert!(snapshots.values().any(|pages| pages.len() > 8));
    for (position, pages) in snapshots {
        let entries = cluster
            .log
            .iter()
            .zip(1..=position)
            .map(|(entry, position)| Input::committed(LogPosition(position), entry.clone()));
        let expected = fold_of(&cluster, entries);
        assert_eq!(fold_of(&cluster, pages.into_iter().map(Input::restore)), expected);
    }
}
