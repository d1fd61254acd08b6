//! A server over a log: what the log adds to a change, snapshots, the end of a node, memory.
//!
//! `PRESENCE_LOG_N` members, 100,000 if not set; a tenth of them in `log-gone`.

mod apply;
mod gone;
mod memory;
mod node;
mod report;
mod snapshot;

pub(crate) fn run(wants: &dyn Fn(&str) -> bool) {
    if !wants("log") {
        return;
    }
    let members = crate::measure::setting("PRESENCE_LOG_N", 100_000.0) as usize;
    apply::run();
    snapshot::run(members);
    gone::run((members / 10).max(1));
    memory::run(members);
}
