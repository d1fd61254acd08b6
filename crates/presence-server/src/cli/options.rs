//! Command-line options.

use super::values;
use clap::{Args, Parser};
use presence_server::Times;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tracing::level_filters::LevelFilter;

/// A presence server for the Ably realtime SDKs, with a demo page at /.
///
/// Without options it listens on the loopback interface, keeps all data in memory, and prints a
/// development key.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Address to listen on; 0.0.0.0 or :: for all interfaces.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = values::of::<IpAddr>("an IP address"))]
    pub(crate) listen: IpAddr,

    /// Port to listen on; 0 for any free port.
    #[arg(long, default_value_t = 8080, value_parser = values::whole(0..=u16::MAX))]
    pub(crate) port: u16,

    /// API key with full access; repeatable. Keys of the same app share its channels; different apps
    /// share nothing. Replaces the development key. Other users of this machine can see the command
    /// line; use --keys to keep the secret private.
    #[arg(long = "key", value_name = "APP.KEY:SECRET")]
    pub(crate) keys: Vec<String>,

    /// JSON file with API keys: [{"name": "app.key", "secret": "…", "capability": {"room:*":
    /// ["presence", "subscribe"]}}, …]. Replaces the development key.
    #[arg(long = "keys", value_name = "FILE")]
    pub(crate) keys_file: Option<PathBuf>,

    /// Origin whose web pages may connect, such as https://example.com; repeatable. Default: all
    /// origins.
    #[arg(long = "origin", value_name = "ORIGIN")]
    pub(crate) origins: Vec<String>,

    /// Persist the presence history in this file, so that it survives restarts and crashes.
    #[arg(long, value_name = "FILE")]
    pub(crate) persist: Option<PathBuf>,

    /// Cache size of --persist, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = values::whole(1..=u16::MAX))]
    pub(crate) store_cache: u16,

    /// Retention of events with --persist, in hours.
    #[arg(long, value_name = "HOURS", default_value_t = 72, value_parser = values::whole(1..=8760_u32))]
    pub(crate) retention_hours: u32,

    /// Maximum number of open connections, both WebSocket and HTTP. A few more are accepted for
    /// health checks and metrics.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = values::whole(1..=usize::MAX))]
    pub(crate) max_connections: usize,

    /// Maximum number of connections per app, including lost connections that can still be resumed.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = values::whole(1..=usize::MAX))]
    pub(crate) max_app_connections: usize,

    /// Maximum number of members per channel.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = values::whole(0..=usize::MAX))]
    pub(crate) max_members: usize,

    /// Maximum size of the send queue of a connection, in bytes. Broadcasts skip a connection whose
    /// queue is more than half full; a connection whose queue overflows is dropped.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20, value_parser = values::whole(0..=usize::MAX))]
    pub(crate) max_send_queue: usize,

    #[command(flatten)]
    times: TimeOptions,

    /// Separate address for /metrics and /healthz, such as 10.0.0.1:9090. Access needs no
    /// credentials unless --metrics-token is set.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = values::of::<SocketAddr>("an IP address and a port"))]
    pub(crate) metrics_listen: Option<SocketAddr>,

    /// Bearer token required for /metrics. With API keys and without a token, the metrics are
    /// available at --metrics-listen only.
    #[arg(long, value_name = "TOKEN", env = "METRICS_TOKEN", hide_env_values = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) metrics_token: Option<String>,

    /// Duration of the drain on SIGTERM or Ctrl-C, in seconds: clients are disconnected evenly over
    /// this time, so that they reconnect elsewhere. 0 disconnects all at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = values::whole(0..=u64::MAX))]
    pub(crate) drain_seconds: u64,

    /// Log level: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = values::of::<LevelFilter>("off, error, warn, info, debug or trace"))]
    pub(crate) log: LevelFilter,
}

/// Time limits for peers, in seconds.
#[derive(Clone, Copy, Debug, Args)]
struct TimeOptions {
    /// Time limit in seconds for each of these: receiving the head of a request, receiving the body
    /// and responding, verifying credentials, and idling between two HTTP requests.
    #[arg(long = "request-seconds", value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    request: Duration,

    /// Write timeout in seconds: a connection is dropped if its client reads nothing for this long,
    /// over HTTP or a WebSocket.
    #[arg(long = "write-seconds", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    write: Duration,

    /// Lifetime of an HTTP connection, in seconds. Then it closes after the request in progress, which
    /// may take --request-seconds plus --write-seconds longer. Does not apply to WebSockets.
    #[arg(long = "http-seconds", value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    http: Duration,
}

/// Parses a duration of 1 s to 1 h.
fn seconds(text: &str) -> Result<Duration, String> {
    values::whole(1..=3600)(text).map(Duration::from_secs)
}

impl Options {
    pub(crate) fn times(&self) -> Times {
        let mut times = Times::default();
        times.request = self.times.request;
        times.write = self.times.write;
        times.http = self.times.http;
        times
    }

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    /// In bytes.
    pub(crate) fn store_cache(&self) -> usize {
        usize::from(self.store_cache) << 20
    }

    pub(crate) fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_hours) * 3600)
    }
}
