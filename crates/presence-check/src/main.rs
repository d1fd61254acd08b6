//! Runs the checks for longer than the tests do. `--help` lists the commands.

use clap::{Parser, Subcommand, ValueEnum};
use core::sync::atomic::{AtomicU64, Ordering};
use presence_check::{Report, Scenario, Space, fuzz};
use std::process::ExitCode;
use std::thread;

/// The number of failed seeds after which a run stops.
const MAX_FAILURES: usize = 10;
/// The size of a fuzz input, in bytes.
const INPUT_SIZE: usize = 1_500;

/// Checks presence-proto: simulation, single seeds with their traces, and random bytes.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays seeds on all cores. Shrinks and prints the first that fails.
    Simulate {
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        first_seed: u64,
        /// The number of seeds.
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
    },
    /// Plays seeds of several nodes that share a log, on all cores. Shrinks and prints the first that
    /// fails.
    Cluster {
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        first_seed: u64,
        /// The number of seeds.
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
    },
    /// Searches every interleaving of a small world.
    Explore {
        /// The world.
        world: Small,
        /// The maximum number of faults.
        #[arg(long, default_value_t = 2)]
        faults: usize,
        /// The number of states after which the search stops.
        #[arg(long, default_value_t = 300_000)]
        states: u64,
    },
    /// Plays one seed and prints its trace.
    Seed {
        /// The seed.
        seed: u64,
        /// Removes steps that are not needed for the failure.
        #[arg(long)]
        shrink: bool,
        /// A seed of `cluster`.
        #[arg(long)]
        cluster: bool,
    },
    /// Runs the body of a fuzz target on random bytes.
    Bytes {
        /// The fuzz target.
        target: Target,
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        first_seed: u64,
        /// The number of inputs.
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
    },
}

/// A small world.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Small {
    /// Two nodes, two clients, one channel.
    Cluster,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    Client,
    Server,
    World,
    Trace,
}

fn main() -> ExitCode {
    let passed = match Args::parse().command {
        Command::Simulate { first_seed, seeds } => {
            play("simulate", Scenario::from_seed, first_seed, seeds)
        }
        Command::Cluster { first_seed, seeds } => {
            play("cluster", Scenario::cluster_from_seed, first_seed, seeds)
        }
        Command::Explore { world: Small::Cluster, faults, states } => {
            explore(&Space::cluster(faults), states)
        }
        Command::Seed { seed, shrink, cluster } => {
            let of_seed = if cluster { Scenario::cluster_from_seed } else { Scenario::from_seed };
            let scenario = of_seed(seed);
            show(&if shrink { scenario.shrunk() } else { scenario })
        }
        Command::Bytes { target, first_seed, seeds } => bytes(target, first_seed, seeds),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays seeds, with a thread per core.
fn play(name: &str, of_seed: fn(u64) -> Scenario, first: u64, seeds: u64) -> bool {
    let next = AtomicU64::new(first);
    let end = first.saturating_add(seeds);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        let mut total = Report::default();
        let mut failed = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return (total, failed);
            }
            match of_seed(seed).run() {
                Ok(report) => total += report,
                Err(failure) => {
                    println!("{failure}");
                    failed.push(seed);
                    if failed.len() >= MAX_FAILURES {
                        next.store(end, Ordering::Relaxed);
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
            let (report, failures) = handle.join().expect("a check does not panic");
            total += report;
            failed.extend(failures);
        }
    });
    println!("{total:#?}\n{} virtual hours", total.virtual_millis / 3_600_000);
    if let Some(seed) = failed.iter().min() {
        show(&of_seed(*seed).shrunk());
    }
    println!("{name}: {seeds} seeds, {} failed", failed.len());
    failed.is_empty()
}

/// Searches a space. The last line says how many states it has.
fn explore(space: &Space, states: u64) -> bool {
    match space.explore(states) {
        Ok(found) => {
            let more = if found.cut_short { ", and there are more" } else { "" };
            println!(
                "explore: {} states, {} moves, depth {}, {} ends{more}",
                found.states, found.moves, found.depth, found.ends
            );
            true
        }
        Err((failure, trace)) => {
            println!("{trace}\n{failure}");
            false
        }
    }
}

fn show(scenario: &Scenario) -> bool {
    let (result, trace) = scenario.run_traced();
    println!("{scenario:#?}\n{trace}");
    match &result {
        Ok(report) => println!("{report:#?}"),
        Err(failure) => println!("{failure}"),
    }
    result.is_ok()
}

/// Runs the body of a fuzz target, which panics on a violated property.
fn bytes(target: Target, first: u64, seeds: u64) -> bool {
    let body: fn(&[u8]) = match target {
        Target::Client => fuzz::client_inputs,
        Target::Server => fuzz::server_inputs,
        Target::World => fuzz::world,
        Target::Trace => fuzz::trace_replay,
    };
    for seed in first..first.saturating_add(seeds) {
        let bytes = fuzz::random_bytes(seed, INPUT_SIZE);
        if std::panic::catch_unwind(|| body(&bytes)).is_err() {
            println!("{target:?}: seed {seed} fails");
            return false;
        }
    }
    println!("{target:?}: {seeds} inputs, 0 failed");
    true
}
