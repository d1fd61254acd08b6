//! Instruction counts of key paths, compared with those in `figures.txt`.
//!
//! `cargo run --release` runs each path under callgrind and fails if one of them takes more or
//! fewer instructions than it did, by more than [`TOLERANCE`]. Both need a look: what has become
//! cheaper should stay so. `cargo run --release -- write` renews the figures.
//!
//! Counts do not depend on how busy the machine is. They do depend on the compiler, and a little on
//! the C library, whose copying follows the processor's features: hence the tolerance, and hence
//! the figures of another compiler are not compared at all.

mod client;
#[path = "../../benches/workloads/driver.rs"]
mod driver;
#[path = "../../benches/workloads/frames.rs"]
#[allow(dead_code, reason = "shared with the workloads, which use all of it")]
mod frames;
mod server;

use std::process::{Command, ExitCode};

/// By how much a count may differ, in per cent.
const TOLERANCE: f64 = 5.0;
const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/figures.txt");

/// A path: prepares its input, and returns what is to be counted.
type Path = fn() -> Box<dyn FnOnce()>;

/// Names, operations, and the paths.
fn paths() -> impl Iterator<Item = &'static (&'static str, u64, Path)> {
    client::PATHS.iter().chain(server::PATHS)
}

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    match argument.as_deref() {
        None => compare(),
        Some("write") => write(),
        Some(name) => {
            let (.., path) = paths().find(|(n, ..)| *n == name).expect("a path of this name");
            let run = path();
            counted(run);
            ExitCode::SUCCESS
        }
    }
}

/// What callgrind looks at: it starts here and stops here.
#[inline(never)]
fn counted(run: Box<dyn FnOnce()>) {
    run();
}

/// Instructions of one path for one operation.
fn count(name: &str, ops: u64) -> u64 {
    let program = std::env::current_exe().expect("a path to this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted*"])
        .arg(program)
        .arg(name)
        .output()
        .expect("valgrind, as in Debian's package of this name");
    let report = String::from_utf8_lossy(&output.stderr);
    let collected = report.lines().find_map(|line| line.split("Collected :").nth(1));
    let collected: u64 = collected
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or_else(|| panic!("callgrind counted nothing:\n{report}"));
    collected / ops
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output().expect("rustc");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn write() -> ExitCode {
    let mut text = format!("# {}: instructions for one operation\n", compiler());
    for &(name, ops, _) in paths() {
        text.push_str(&format!("{name} {}\n", count(name, ops)));
    }
    print!("{text}");
    std::fs::write(FIGURES, text).expect("figures");
    ExitCode::SUCCESS
}

fn compare() -> ExitCode {
    let text = std::fs::read_to_string(FIGURES).expect("figures");
    if !text.starts_with(&format!("# {}:", compiler())) {
        println!("not compared: the figures are of another compiler than {}", compiler());
        return ExitCode::SUCCESS;
    }
    let mut failed = false;
    for &(name, ops, _) in paths() {
        let figure = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let Some(figure) = figure.and_then(|figure| figure.parse::<u64>().ok()) else {
            println!("{name}: no figure");
            failed = true;
            continue;
        };
        let counted = count(name, ops);
        let change = (counted as f64 / figure as f64 - 1.0) * 100.0;
        let verdict = if change.abs() > TOLERANCE { "FAILED" } else { "ok" };
        failed |= change.abs() > TOLERANCE;
        println!("{name:24} {counted:8} instead of {figure:8}  {change:+6.2} %  {verdict}");
    }
    if failed {
        println!("If it is meant to be so: cargo run --release -- write, and say why.");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
