//! Long simulation runs, and single seeds with their traces.
//!
//! ```text
//! simulate run FROM TO      plays seeds, reports figures, shows the first that fails, shortened
//! simulate seed N           plays one seed and prints its trace
//! simulate short N          the same, with as few steps as still fail
//! simulate bytes WHAT FROM TO
//!                           random bytes through the body of a fuzz target: client, server,
//!                           world or trace
//! ```

use core::sync::atomic::{AtomicU64, Ordering};
use presence_proto::sim::{Report, Scenario, fuzz};
use std::thread;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().expect("a number");
    match args.as_slice() {
        ["run", from, to] => run(number(from), number(to)),
        ["seed", seed] => show(&Scenario::from_seed(number(seed))),
        ["short", seed] => show(&Scenario::from_seed(number(seed)).minimised()),
        ["bytes", what, from, to] => bytes(what, number(from), number(to)),
        _ => {
            eprintln!("simulate run FROM TO | seed N | bytes client|server|world|trace FROM TO");
            std::process::exit(2);
        }
    }
}

/// Plays the seeds on as many threads as there are cores, and stops at the first that fails.
fn run(from: u64, to: u64) {
    let next = AtomicU64::new(from);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        let mut total = Report::default();
        let mut failed = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= to {
                return (total, failed);
            }
            match Scenario::from_seed(seed).run() {
                Ok(report) => total += report,
                Err(failure) => {
                    println!("{failure}");
                    failed.push(seed);
                    if failed.len() >= 10 {
                        next.store(to, Ordering::Relaxed);
                    }
                }
            }
        }
    };
    let mut total = Report::default();
    let mut failed = Vec::new();
    thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        for handle in handles {
            let (some, bad) = handle.join().expect("no panic");
            total += some;
            failed.extend(bad);
        }
    });
    println!(
        "{} seeds, {} virtual hours, {} failed\n{total:#?}",
        to - from,
        total.virtual_millis / 3_600_000,
        failed.len()
    );
    if let Some(seed) = failed.iter().min() {
        show(&Scenario::from_seed(*seed).minimised());
        std::process::exit(1);
    }
}

fn show(scenario: &Scenario) {
    let (result, trace) = scenario.run_traced();
    println!("{scenario:#?}\n{trace}");
    match result {
        Ok(report) => println!("{report:#?}"),
        Err(failure) => println!("{failure}"),
    }
}

/// Puts random bytes through the body of a fuzz target. It panics if it finds something; the
/// number that is printed last is the one that does it.
fn bytes(what: &str, from: u64, to: u64) {
    let body: fn(&[u8]) = match what {
        "client" => fuzz::client_inputs,
        "server" => fuzz::server_inputs,
        "world" => fuzz::world,
        "trace" => fuzz::trace_replay,
        other => panic!("there is no fuzz target {other}"),
    };
    for seed in from..to {
        let bytes = fuzz::random_bytes(seed, 1_500);
        if std::panic::catch_unwind(|| body(&bytes)).is_err() {
            println!("{what}: seed {seed} fails");
            std::process::exit(1);
        }
    }
    println!("{what}: {} inputs, nothing found", to - from);
}
