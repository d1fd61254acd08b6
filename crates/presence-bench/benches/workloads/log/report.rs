//! Calls of `handle`, and the line that comes out for work of several calls.

use core::time::Duration;
use serde_json::{Value, json};

/// The durations of calls of `handle`.
#[derive(Clone, Copy, Default)]
pub(super) struct Calls {
    pub(super) count: u64,
    pub(super) total: Duration,
    pub(super) longest: Duration,
}

impl Calls {
    pub(super) fn add(&mut self, time: Duration) {
        self.count += 1;
        self.total += time;
        self.longest = self.longest.max(time);
    }
}

/// Prints a line for several rounds of the same work, with other figures. Of the longest calls of
/// the rounds it has the shortest: the others were interrupted.
pub(super) fn print(workload: &str, n: usize, rounds: &[Calls], figures: Value) {
    let mut totals: Vec<f64> = rounds.iter().map(|calls| calls.total.as_nanos() as f64).collect();
    totals.sort_by(f64::total_cmp);
    let round = |x: f64| (x * 1000.0).round() / 1000.0;
    let longest = rounds.iter().map(|calls| calls.longest).min().unwrap_or_default();
    let mut line = json!({
        "peer": "ours",
        "workload": workload,
        "format": "none",
        "n": n,
        "ns_per_op": round(totals[totals.len() / 2] / n as f64),
        "min_ns_per_op": round(totals[0] / n as f64),
        "total_ms": round(totals[0] / 1e6),
        "calls": rounds[0].count,
        "longest_call_us": longest.as_micros() as u64,
    });
    if let (Some(line), Value::Object(figures)) = (line.as_object_mut(), figures) {
        line.extend(figures);
    }
    println!("{line}");
}
