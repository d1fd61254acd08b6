//! What a member takes on a server without a log, on the node that has its connection, and on one
//! that follows.

use super::node::{Node, Shape, written};
use serde_json::json;

pub(super) fn run(members: usize) {
    let connections = (members / 1_000).max(1);
    for (name, shape) in [
        ("single", Shape::single(members, 1)),
        ("thousand", Shape { members, channels: 1, connections }),
    ] {
        let alone = live(|| {
            let mut node = Node::alone();
            node.fill(shape, |_| ());
            node
        });
        let writer = live(|| {
            let mut node = Node::joined("node-b", |_| ());
            node.fill(shape, |_| ());
            node
        });
        let (log, node) = written("node-b", shape);
        drop(node);
        let follower = live(|| Node::joined_after("node-a", &log, |_| ()));
        for (peer, bytes) in [("alone", alone), ("writer", writer), ("follower", follower)] {
            let each = (bytes as f64 / members as f64 * 10.0).round() / 10.0;
            let ratio = (bytes as f64 / alone as f64 * 1000.0).round() / 1000.0;
            let workload = format!("log-memory-{name}");
            println!(
                "{}",
                json!({"peer": peer, "workload": workload, "n": members, "bytes_per_member": each, "of_alone": ratio})
            );
        }
    }
}

/// Bytes that were asked of the allocator and not given back.
fn live(make: impl FnOnce() -> Node) -> i64 {
    let mut node = None;
    let counted = allocation_counter::measure(|| node = Some(make()));
    drop(node);
    counted.bytes_current
}
