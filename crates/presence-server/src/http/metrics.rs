//! The cores' counters in the text format of Prometheus, by app.

use presence_proto::server::Counters;
use std::fmt::Write as _;

/// A metric: its name, its help text, and how it is read.
type Metric = (&'static str, &'static str, fn(&Counters) -> u64);

/// Current values.
const GAUGES: &[Metric] = &[
    ("connections", "Connections, including those that can still be resumed", |c| c.connections),
    ("transports", "Open transports", |c| c.transports),
    ("channels", "Channels in use", |c| c.channels),
    ("attachments", "Attachments of connections to channels", |c| c.attachments),
    ("members", "Members of all channels", |c| c.members),
    ("member_bytes", "Bytes of the members of all channels", |c| c.member_bytes),
    ("history_bytes", "Bytes of the histories in memory", |c| c.history_bytes),
    ("syncs_running", "Syncs that are not finished", |c| c.syncs_running),
    ("congested", "Transports that are congested", |c| c.congested),
];

/// Totals since the start.
const TOTALS: &[Metric] = &[
    ("opened", "Transports that were accepted", |c| c.opened),
    ("refused", "Transports that were refused", |c| c.refused),
    ("resumed", "Connections that were resumed or recovered", |c| c.resumed),
    ("resume_failed", "Attempts to resume that made a new connection", |c| c.resume_failed),
    ("frames_in", "Received frames", |c| c.frames_in),
    ("frames_out", "Sent frames, a broadcast counted once", |c| c.frames_out),
    ("deliveries", "Sent frames, a broadcast counted per recipient", |c| c.deliveries),
    ("presence_events", "Presence events delivered to subscribers", |c| c.presence_events),
    ("messages", "Messages delivered to subscribers", |c| c.messages),
    ("acks", "Frames that were acknowledged", |c| c.acks),
    ("nacks", "Frames that were refused", |c| c.nacks),
    ("duplicates", "Retried frames that were acknowledged again", |c| c.duplicates),
    ("reentries", "Members that entered again unchanged", |c| c.reentries),
    ("grace_leaves", "Members that left when their grace ended", |c| c.grace_leaves),
    ("silent", "Transports closed because their peer was silent", |c| c.silent),
    ("congestions", "Times that a transport was congested", |c| c.congestions),
    ("resyncs", "Syncs after backpressure", |c| c.resyncs),
    ("syncs", "Syncs that were started", |c| c.syncs),
    ("coalesced", "Presence events that cancelled or replaced each other", |c| c.coalesced),
    ("moved", "Connections that another node has taken over", |c| c.moved),
    ("fenced", "Times that others have taken this node for gone", |c| c.fenced),
    ("void_entries", "Entries of the log that did not count", |c| c.void_entries),
    ("limited", "Refusals by a limit", |c| c.limited),
    ("protocol_errors", "Inputs that ended their transport", |c| c.protocol_errors),
    ("misuse", "Mistakes of the program that drives the core", |c| c.misuse),
    ("internal_errors", "Broken invariants of the core, each a bug", |c| c.internal_errors),
];

/// The page that a Prometheus server reads: for each metric a line for each app.
pub(crate) fn text(apps: &[(&str, Counters)]) -> String {
    let mut text = String::new();
    for (metrics, kind, ending) in [(GAUGES, "gauge", ""), (TOTALS, "counter", "_total")] {
        for (name, help, value) in metrics {
            let _ = writeln!(
                text,
                "# HELP presence_{name}{ending} {help}.\n# TYPE presence_{name}{ending} {kind}"
            );
            for (app, counters) in apps {
                let (app, value) = (label(app), value(counters));
                let _ = writeln!(text, "presence_{name}{ending}{{app=\"{app}\"}} {value}");
            }
        }
    }
    text
}

/// The value of a label, escaped.
fn label(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_a_metric() {
        let text = text(&[("app", Counters::default())]);
        // The form of `Debug` names the fields.
        let debug = format!("{:?}", Counters::default());
        let fields = debug.split([' ', '{', ',']).filter_map(|word| word.strip_suffix(':'));
        let mut count = 0;
        for field in fields {
            count += 1;
            let sample = |ending: &str| text.contains(&format!("\npresence_{field}{ending}{{"));
            assert!(sample("") || sample("_total"), "{field}");
        }
        assert_eq!(count, GAUGES.len() + TOTALS.len());
    }

    #[test]
    fn names_of_apps_are_escaped() {
        let text = text(&[("a\"b\\c\nd", Counters::default())]);
        assert!(text.contains(r#"{app="a\"b\\c\nd"} 0"#), "{text}");
    }
}
