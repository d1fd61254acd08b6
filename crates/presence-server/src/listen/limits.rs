//! How long a peer may take, and how much it may use.

use crate::values;
use clap::Args;
use std::time::Duration;

/// How long a peer may take.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Times {
    /// How many seconds a client may take to send the head of a request, and then its body; and
    /// how long a connection may be idle between two requests. The answer of the server is made
    /// in as much.
    #[arg(long = "request-seconds", value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) request: Duration,

    /// For how many seconds a client may take nothing of what is sent to it, over HTTP or a
    /// WebSocket, before its connection is given up.
    #[arg(long = "write-seconds", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) write: Duration,

    /// For how many seconds a connection serves HTTP requests. Then it closes after the one that is
    /// under way, which may take --request-seconds and --write-seconds more. A WebSocket may stay.
    #[arg(long = "http-seconds", value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) http: Duration,
}

/// The time as given in whole seconds, an hour at most.
fn seconds(text: &str) -> Result<Duration, String> {
    values::whole(1..=3600)(text).map(Duration::from_secs)
}
