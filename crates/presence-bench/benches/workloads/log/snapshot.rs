//! Snapshots: written while nothing else happens and while members change, and restored.

use super::node::{Node, RECORDS, Shape, written};
use super::report::{Calls, print};
use presence_proto::server::{Entry, Input, SnapshotPage};
use serde_json::json;
use std::time::Instant;

const ROUNDS: usize = 3;
/// The members that change while snapshots are written.
const CHANGES: usize = 100_000;
/// Entries that come while one is written, and calls from one to the next.
const ENTRIES: usize = 300;
const CALLS: u64 = 7;

pub(super) fn run(members: usize) {
    one("rooms", Shape::single(members, (members / 1_000).max(1)));
    one("room", Shape::single(members, 1));
    one("connection", Shape { members, channels: 1, connections: 1 });
}

fn one(name: &str, shape: Shape) {
    let (log, mut writer) = written("node-b", shape);
    let mut changes = Vec::new();
    if shape.connections == shape.members {
        writer.say(shape.updates().take(CHANGES), |entry| changes.push(entry.clone()));
    }
    drop(writer);
    let mut node = Node::reading("node-a");
    node.follow(&log);
    drop(log);
    // The first snapshot is not measured.
    node.join(&mut |_| ());
    let (rounds, mut written): (Vec<Calls>, Vec<_>) =
        (0..ROUNDS).map(|_| write(&mut node, &mut core::iter::empty())).unzip();
    let pages = written.pop().expect("a snapshot");
    let bytes: usize = pages.iter().map(Vec::len).sum();
    let figures = json!({"pages": pages.len(), "bytes": bytes});
    print(&format!("log-snapshot-{name}"), shape.members, &rounds, figures);
    if !changes.is_empty() {
        let mut changes = changes.into_iter();
        let take = |_| write(&mut node, &mut changes.by_ref().take(ENTRIES));
        let (rounds, written): (Vec<Calls>, Vec<_>) = (0..ROUNDS).map(take).unzip();
        let applied = CHANGES.min(shape.members) / RECORDS - changes.len();
        let figures = json!({"pages": written[0].len(), "entries": applied / ROUNDS});
        print(&format!("log-snapshot-{name}-busy"), shape.members, &rounds, figures);
    }
    drop((node, written));
    let rounds: Vec<Calls> = (0..ROUNDS).map(|_| restore(&pages, shape.members)).collect();
    print(&format!("log-restore-{name}"), shape.members, &rounds, json!({"bytes": bytes}));
}

/// The next sign of life of the node.
fn own_entry(node: &mut Node) -> Input {
    let later = node.now.mono.as_millis() + 2_000;
    node.now = presence_proto::Now::from_millis(later);
    node.handle(Input::Tick);
    let entry = node.appended.pop_front().expect("a sign of life");
    node.committed(entry)
}

/// Writes a snapshot, and applies an entry now and then as long as there are any. Each page is
/// encoded when it comes, as a host does it; that is not timed.
fn write(node: &mut Node, changes: &mut impl Iterator<Item = Entry>) -> (Calls, Vec<Vec<u8>>) {
    node.pages.clear();
    let (mut calls, mut pages, mut input) = (Calls::default(), Vec::new(), own_entry(node));
    loop {
        node.timed(input, &mut calls);
        for page in node.pages.drain(..) {
            pages.push(page.encode());
            if page.is_last() {
                return (calls, pages);
            }
        }
        let change = (calls.count % CALLS == 0).then(|| changes.next()).flatten();
        input = change.map_or(Input::Tick, |entry| node.committed(entry));
    }
}

/// A node starts from the pages: the calls are those of `handle`, the total is all.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn restore(pages: &[Vec<u8>], members: usize) -> Calls {
    let mut node = Node::reading("node-c");
    let mut calls = Calls::default();
    let start = Instant::now();
    for page in pages {
        let page = SnapshotPage::decode(page).expect("a page");
        node.timed(Input::restore(page), &mut calls);
    }
    calls.total = start.elapsed();
    assert_eq!(node.server.counters().members as usize, members);
    calls
}
