//! A node is gone, with a connection and a member of each client: another says so, in one record.

use super::node::{Node, Shape, written};
use super::report::{Calls, print};
use presence_proto::Now;
use presence_proto::TransportId;
use presence_proto::server::Input;
use serde_json::json;

const ROUNDS: usize = 3;

pub(super) fn run(members: usize) {
    let shape = Shape::single(members, 1);
    let (log, writer) = written("node-b", shape);
    drop(writer);
    let mut frames = 0;
    let rounds: Vec<Calls> = (0..ROUNDS).map(|_| one(&log, shape, &mut frames)).collect();
    print("log-gone", members, &rounds, json!({"frames": frames}));
}

fn one(log: &[Vec<u8>], shape: Shape, frames: &mut u64) -> Calls {
    let mut node = Node::joined_after("node-a", log, |_| ());
    node.observe(shape, 1);
    let before = node.server.counters().members;
    // The other is silent until its members' grace is over. Up to then, nobody leaves.
    let mut calls = Calls::default();
    while node.server.counters().members == before {
        let due = node.due.expect("a deadline");
        node.now = Now::from_millis(due);
        node.handle(Input::activity(TransportId(shape.connections as u64)));
        calls = Calls::default();
        if let Some(entry) = node.appended.pop_front() {
            let input = node.committed(entry);
            node.timed(input, &mut calls);
        }
    }
    while node.is_due() {
        node.timed(Input::Tick, &mut calls);
    }
    assert_eq!(node.server.counters().members, 0);
    *frames = node.presence_frames;
    calls
}
