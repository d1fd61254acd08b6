//! The core's counters in the text format of Prometheus.

use presence_proto::server::Counters;
use std::fmt::Write as _;

/// The page that a Prometheus server reads.
pub(crate) fn text(c: &Counters) -> String {
    let gauges = [
        ("connections", "Connections, those included that can still be resumed", c.connections),
        ("transports", "Open transports", c.transports),
        ("channels", "Channels that anything is known of", c.channels),
        ("attachments", "Attachments of connections to channels", c.attachments),
        ("members", "Members of all channels", c.members),
        ("syncs_running", "Syncs that are not finished", c.syncs_running),
        ("congested", "Transports that are congested", c.congested),
    ];
    let totals = [
        ("opened", "Transports that were accepted", c.opened),
        ("refused", "Transports that were refused", c.refused),
        ("resumed", "Connections that were resumed or recovered", c.resumed),
        ("resume_failed", "Attempts to resume that made a new connection", c.resume_failed),
        ("frames_in", "Frames that came in", c.frames_in),
        ("frames_out", "Frames put out, a broadcast counted once", c.frames_out),
        ("deliveries", "Frames put out, a broadcast counted per recipient", c.deliveries),
        ("presence_events", "Presence events told to subscribers", c.presence_events),
        ("messages", "Messages told to subscribers", c.messages),
        ("acks", "Frames that were acknowledged", c.acks),
        ("nacks", "Frames that were refused", c.nacks),
        ("duplicates", "Retried frames that were acknowledged again", c.duplicates),
        ("reentries", "Members that entered again unchanged", c.reentries),
        ("grace_leaves", "Members that left when their grace ended", c.grace_leaves),
        ("silent", "Transports given up because their peer was silent", c.silent),
        ("congestions", "Times that a transport was congested", c.congestions),
        ("resyncs", "Syncs that made good what a congested transport missed", c.resyncs),
        ("syncs", "Syncs that were started", c.syncs),
        ("coalesced", "Presence events that cancelled or replaced each other", c.coalesced),
        ("limited", "Times that a limit refused something", c.limited),
        ("protocol_errors", "Inputs that ended their transport", c.protocol_errors),
        ("misuse", "Mistakes of this host", c.misuse),
    ];
    let mut text = String::new();
    for (name, help, value) in gauges {
        let _ = writeln!(
            text,
            "# HELP presence_{name} {help}.\n# TYPE presence_{name} gauge\npresence_{name} {value}"
        );
    }
    for (name, help, value) in totals {
        let _ = writeln!(
            text,
            "# HELP presence_{name}_total {help}.\n# TYPE presence_{name}_total counter\n\
             presence_{name}_total {value}"
        );
    }
    text
}
