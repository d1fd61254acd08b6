//! Every order in which small worlds can unfold, through the real code.
//!
//! `EXHAUSTIVE=full cargo test --release --test library exhaustive -- --nocapture` searches larger ones, for
//! a minute or two; every run prints how many different worlds it saw, and how deep it went.

use presence_check::{Explored, Setup, Space, Step};

/// Two clients on one channel, at rest, with no latency.
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

fn explore(name: &str, space: &Space, most: u64) -> Explored {
    match space.explore(most) {
        Ok(explored) => {
            println!("{name}: {explored:?}");
            explored
        }
        Err((failure, trace)) => panic!("{name}: {failure}\n{trace}"),
    }
}

/// Both act while nothing goes wrong.
fn calm() -> Space {
    let mut space = two_clients();
    space.scripts = vec![
        vec![Step::Enter(0, 0, 0, 2), Step::Update(0, 0, 0, 3), Step::Leave(0, 0, 0)],
        vec![Step::Enter(1, 0, 0, 4)],
    ];
    space
}

/// One acts, and its transport breaks.
fn cut() -> Space {
    let mut space = two_clients();
    space.scripts = vec![vec![Step::Enter(0, 0, 0, 2), Step::Leave(0, 0, 0)], vec![]];
    space.faults = vec![Step::Cut(0)];
    space.max_faults = 1;
    space
}

/// A newcomer attaches, a page at a time, while others come and go.
fn sync() -> Space {
    let mut space = two_clients();
    space.setup.page_members = 1;
    space.before =
        vec![Step::Connect(0), Step::Enter(0, 0, 0, 2), Step::Connect(1), Step::Run(100)];
    space.scripts =
        vec![vec![Step::Leave(0, 0, 0)], vec![Step::Attach(1, 0), Step::Enter(1, 0, 0, 3)]];
    space
}

/// So many members enter while the transports of both break.
fn two_faults(enters: usize) -> Space {
    let mut space = two_clients();
    let all = [Step::Enter(0, 0, 0, 2), Step::Enter(1, 0, 0, 3)];
    space.scripts = all.into_iter().take(enters).map(|enter| vec![enter]).collect();
    space.faults = vec![Step::Cut(0), Step::Cut(1)];
    space.max_faults = 2;
    space
}

/// Whether there is time for the larger searches.
fn full() -> bool {
    std::env::var("EXHAUSTIVE").is_ok_and(|wanted| wanted == "full")
}

#[test]
fn every_order_of_enters_updates_and_leaves_holds() {
    assert!(!explore("calm", &calm(), 200_000).cut_short);
}

#[test]
fn every_moment_of_a_cut_holds() {
    assert!(!explore("cut", &cut(), 200_000).cut_short);
}

#[test]
fn every_order_of_a_sync_and_changes_holds() {
    assert!(!explore("sync", &sync(), 200_000).cut_short);
}

#[test]
fn every_moment_of_two_faults_holds() {
    let space = two_faults(if full() { 2 } else { 1 });
    assert!(!explore("two faults", &space, 5_000_000).cut_short);
}
