//! Replays recorded conversations to the client and compares what it does with what the recorded
//! client did, as `tests/traces/README.md` defines.
//!
//! `cargo test --test traces` replays the folder `tests/traces`, and the folder named in the
//! environment variable `PRESENCE_TRACES`, if it is set.

#[path = "traces/compare.rs"]
mod compare;
#[path = "traces/replay.rs"]
mod replay;

use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Departures of the recorded client that this client does not share although the specification
/// leaves the matter open or says otherwise: traces in which they make a difference are skipped.
const DIFFERS: &[(&str, &str)] = &[
    (
        "leave-in-sync",
        "told once, with its own data, when the sync ends: folding the events must give the set",
    ),
    ("resend-serial", "in-flight presence keeps its message serial over a resume (RTN19a2)"),
    (
        "queue-before-reentry",
        "re-entries go out first, so that queued operations have the last word",
    ),
    ("get-cut-by-detach", "a waiting get fails when the channel is detached, failed or suspended"),
    ("close-while-connecting", "CLOSING until the attempt has succeeded or failed (RTN12f)"),
    ("presence-not-attached", "presence counts only while attached, attaching or detaching"),
    ("attached-unasked", "an ATTACHED that nobody asked for is ignored"),
];

/// Departures that this client shares on purpose: compared with what was recorded.
const SHARED: &[(&str, &str)] = &[(
    "unknown-leave-in-sync",
    "a mark keeps an older entry in a later page from bringing the member back",
)];

enum Verdict {
    Passed,
    Failed(String),
    Skipped,
}

fn main() -> ExitCode {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces")];
    folders.extend(std::env::var_os("PRESENCE_TRACES").map(PathBuf::from));
    let mut files = Vec::new();
    for folder in &folders {
        collect(folder, &mut files);
    }
    files.sort();
    if std::env::args().any(|argument| argument == "--list") {
        for file in &files {
            println!("{}: test", file.display());
        }
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", files.len());
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for file in &files {
        match run(file) {
            Verdict::Passed => passed += 1,
            Verdict::Skipped => skipped += 1,
            Verdict::Failed(difference) => {
                failed += 1;
                println!("{}: {difference}", file.display());
            }
        }
    }
    // Without traces nothing has been tested.
    let ok = failed == 0 && passed > 0;
    println!(
        "\ntest result: {}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; \
         0 filtered out",
        if ok { "ok" } else { "FAILED" }
    );
    println!("traces: {passed} passed, {failed} failed, {skipped} skipped");
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return println!("{}: cannot be read", folder.display());
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
}

fn run(file: &Path) -> Verdict {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return Verdict::Failed(error.to_string()),
    };
    let trace: Json = match serde_json::from_str(&text) {
        Ok(trace) => trace,
        Err(error) => return Verdict::Failed(error.to_string()),
    };
    let departures: Vec<&str> = match &trace["deviation"] {
        Json::Array(names) => names.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    let listed = |table: &[(&str, &str)], name: &str| table.iter().any(|(known, _)| *known == name);
    if departures.iter().any(|name| listed(DIFFERS, name)) {
        return Verdict::Skipped;
    }
    let shared = departures.iter().filter(|name| listed(SHARED, name)).count();
    let expected = if shared == 0 {
        trace.get("spec_expect").unwrap_or(&trace["expect"])
    } else if shared == departures.len() {
        &trace["expect"]
    } else {
        // What was recorded departs in other ways too, and what was corrected in this one.
        return Verdict::Skipped;
    };
    let Ok(observed) = std::panic::catch_unwind(|| replay::replay(&trace, &text)) else {
        return Verdict::Failed("the replay panicked".into());
    };
    let Some(difference) = compare::first_difference(&trace, expected, &observed) else {
        return Verdict::Passed;
    };
    // What the recorded client does to a waiting get on DETACHED and FAILED, it does on SUSPENDED
    // too, where no trace says so.
    let cut = compare::gets_cut_by_suspension(&trace, &observed);
    let rest: Vec<_> =
        observed.into_iter().filter(|o| !cut.contains(&o.what["done"]["op"].as_u64())).collect();
    if !cut.is_empty() && compare::first_difference(&trace, expected, &rest).is_none() {
        return Verdict::Skipped;
    }
    Verdict::Failed(difference)
}
