//! Updates of 10,000 members of one channel: on a server without a log, on the node that writes
//! them, and on one that follows.

use super::node::{Node, RECORDS, Shape, written};
use crate::measure::{Line, measure};
use presence_proto::server::{Entry, Input};
use serde_json::json;

const MEMBERS: usize = 10_000;
const OBSERVERS: usize = 3;

pub(super) fn run() {
    let shape = Shape::single(MEMBERS, 1);
    let line = |workload, events| Line {
        workload,
        format: "none",
        n: MEMBERS,
        ops: MEMBERS as u64,
        events,
        retains: false,
    };
    // The members' own connections are told too.
    let own = (MEMBERS * (2 + OBSERVERS)) as u64;
    let say = |(node, updates): &mut (Node, Vec<Input>)| node.say(updates.drain(..), |_| ());
    let check = |(node, _): &mut (Node, Vec<Input>), (): &()| {
        assert_eq!(node.deliveries, own);
        assert_eq!(node.server.counters().internal_errors, 0);
    };
    let prepare = |mut node: Node| {
        node.fill(shape, |_| ());
        node.observe(shape, OBSERVERS);
        (node, shape.updates().collect::<Vec<_>>())
    };
    let alone = measure(|| prepare(Node::alone()), say, check);
    line("log-alone", own).print(&alone);
    let writer = measure(|| prepare(Node::joined("node-b", |_| ())), say, check);
    line("log-writer", own).print(&writer);

    let (log, mut node) = written("node-b", shape);
    let mut changes: Vec<Entry> = Vec::new();
    node.say(shape.updates(), |entry| changes.push(entry.clone()));
    let others = (MEMBERS * OBSERVERS) as u64;
    let follower = measure(
        || {
            let mut node = Node::joined_after("node-c", &log, |_| ());
            node.observe(shape, OBSERVERS);
            (node, changes.clone())
        },
        |(node, changes)| changes.drain(..).for_each(|entry| node.commit(entry)),
        |(node, _), ()| {
            assert_eq!(node.deliveries, others);
            assert_eq!(node.server.counters().internal_errors, 0);
        },
    );
    line("log-follower", others).print(&follower);
    let full = changes.iter().find(|entry| entry.records() == RECORDS).expect("a full entry");
    let bytes = full.encode().len() as f64 / RECORDS as f64;
    println!("{}", json!({"workload": "log-entry", "records": RECORDS, "bytes_per_record": bytes}));
}
