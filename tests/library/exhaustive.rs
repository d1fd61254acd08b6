//! Exhaustive searches of small worlds.
//!
//! `EXHAUSTIVE=full cargo test --release --test library exhaustive -- --nocapture` searches larger
//! worlds, for a minute or two, and prints the number of states and the depth.

use presence_check::{Explored, Setup, Space, Step};

/// Two clients attached to a channel, without latency.
fn two_clients() -> Space {
    let mut setup = Setup::plain(2);
    for client in &mut setup.clients {
        client.up = 0;
        client.down = 0;
    }
    let mut space = Space::new(setup);
    space.before = vec![
        Step::Connect(0),
        Step::Attach(0, 0),
        Step::Connect(1),
        Step::Attach(1, 0),
        Step::Run(100),
    ];
    space
}

fn explore(name: &str, space: &Space, max_states: u64) -> Explored {
    match space.explore(max_states) {
        Ok(explored) => {
            println!("{name}: {explored:?}");
            explored
        }
        Err((failure, trace)) => panic!("{name}: {failure}\n{trace}"),
    }
}

/// Both act, without faults.
fn calm() -> Space {
    let mut space = two_clients();
    space.scripts = vec![
        vec![Step::Enter(0, 0, 0, 2), Step::Update(0, 0, 0, 3), Step::Leave(0, 0, 0)],
        vec![Step::Enter(1, 0, 0, 4)],
    ];
    space
}

/// A client acts, and its transport breaks.
fn cut() -> Space {
    let mut space = two_clients();
    space.scripts = vec![vec![Step::Enter(0, 0, 0, 2), Step::Leave(0, 0, 0)], vec![]];
    space.faults = vec![Step::Cut(0)];
    space.max_faults = 1;
    space
}

/// A client attaches with a sync of one member per page while members enter and leave.
fn sync() -> Space {
    let mut space = two_clients();
    space.setup.page_members = 1;
    space.before =
        vec![Step::Connect(0), Step::Enter(0, 0, 0, 2), Step::Connect(1), Step::Run(100)];
    space.scripts =
        vec![vec![Step::Leave(0, 0, 0)], vec![Step::Attach(1, 0), Step::Enter(1, 0, 0, 3)]];
    space
}

/// Members enter while the transports of both clients break.
fn two_faults(enters: usize) -> Space {
    let mut space = two_clients();
    let all = [Step::Enter(0, 0, 0, 2), Step::Enter(1, 0, 0, 3)];
    space.scripts = all.into_iter().take(enters).map(|enter| vec![enter]).collect();
    space.faults = vec![Step::Cut(0), Step::Cut(1)];
    space.max_faults = 2;
    space
}

/// Whether to search the larger worlds.
fn full() -> bool {
    std::env::var("EXHAUSTIVE").is_ok_and(|wanted| wanted == "full")
}

#[test]
fn enters_updates_and_leaves_in_every_order() {
    assert!(!explore("calm", &calm(), 200_000).cut_short);
}

#[test]
fn a_cut_at_every_point() {
    assert!(!explore("cut", &cut(), 200_000).cut_short);
}

#[test]
fn a_sync_and_changes_in_every_order() {
    assert!(!explore("sync", &sync(), 200_000).cut_short);
}

#[test]
fn two_nodes_and_a_fault_in_thousands_of_orders() {
    // All of them take minutes: `presence-check explore cluster`.
    let space = Space::cluster(1);
    let states = if full() { 5_000_000 } else { 3_000 };
    explore("cluster", &space, states);
}

#[test]
fn two_faults_at_every_point() {
    let space = two_faults(if full() { 2 } else { 1 });
    assert!(!explore("two faults", &space, 5_000_000).cut_short);
}
