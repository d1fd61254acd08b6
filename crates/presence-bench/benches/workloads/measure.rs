//! Timing, counting of allocations, and the line that comes out.

use allocation_counter::AllocationInfo;
use serde_json::json;
use std::time::Instant;

/// A number from the environment.
pub(crate) fn setting(name: &str, default: f64) -> f64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// What was measured, in nanoseconds for one whole run.
pub(crate) struct Sample {
    median: f64,
    best: f64,
    iterations: usize,
    memory: AllocationInfo,
}

/// Runs `run` on a fresh `setup()` until `BENCH_MS` milliseconds of timed work are done (at least
/// three times, at most for `BENCH_CAP_S` seconds in all). Set-up, checks and the freeing of the
/// state are not timed. The first run warms up, and counts allocations instead of time.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn measure<S, O>(
    mut setup: impl FnMut() -> S,
    mut run: impl FnMut(&mut S) -> O,
    mut check: impl FnMut(&mut S, &O),
) -> Sample {
    let budget = setting("BENCH_MS", 400.0) * 1e6;
    let cap = setting("BENCH_CAP_S", 20.0);
    let began = Instant::now();
    let mut state = setup();
    let mut output = None;
    let memory = allocation_counter::measure(|| output = Some(run(&mut state)));
    check(&mut state, &output.take().expect("measured"));
    drop(state);
    let (mut times, mut total) = (Vec::new(), 0.0);
    loop {
        let mut state = setup();
        let start = Instant::now();
        let output = run(&mut state);
        let time = start.elapsed().as_nanos() as f64;
        check(&mut state, &output);
        times.push(time);
        total += time;
        let all = began.elapsed();
        let enough = times.len() >= 3 && total >= budget
            || times.len() >= 9 && all.as_nanos() as f64 >= 4.0 * budget;
        if enough || all.as_secs_f64() > cap || times.len() >= 20_000 {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    Sample { median: times[times.len() / 2], best: times[0], iterations: times.len(), memory }
}

/// What a line says beside the figures.
pub(crate) struct Line<'a> {
    pub(crate) workload: &'a str,
    pub(crate) format: &'a str,
    pub(crate) n: usize,
    /// Operations that the time is divided by.
    pub(crate) ops: u64,
    pub(crate) events: u64,
    /// Whether the run builds a member set, whose size then is of interest.
    pub(crate) retains: bool,
}

impl Line<'_> {
    /// `bytes_per_member` is what was asked of the allocator and not given back.
    pub(crate) fn print(&self, sample: &Sample) {
        self.print_as("ours", sample);
    }

    /// The same of something else that does the workload.
    pub(crate) fn print_as(&self, peer: &str, sample: &Sample) {
        let round = |x: f64| (x * 1000.0).round() / 1000.0;
        let per_op = |x: f64| round(x / self.ops as f64);
        let per_member = |x: f64| self.retains.then(|| round(x / self.n as f64));
        let line = json!({
            "peer": peer,
            "workload": self.workload,
            "format": self.format,
            "n": self.n,
            "ns_per_op": per_op(sample.median),
            "min_ns_per_op": per_op(sample.best),
            "events": self.events,
            "bytes_per_member": per_member(sample.memory.bytes_current as f64),
            "peak_bytes_per_member": per_member(sample.memory.bytes_max as f64),
            "alloc_bytes_per_op": per_op(sample.memory.bytes_total as f64),
            "allocs_per_op": per_op(sample.memory.count_total as f64),
            "iters": sample.iterations,
        });
        println!("{line}");
    }
}
