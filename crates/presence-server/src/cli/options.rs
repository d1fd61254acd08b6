//! The options of the command line.

use super::values;
use clap::{Args, Parser};
use presence_server::Times;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tracing::level_filters::LevelFilter;

/// A presence server for the Ably realtime SDKs, with a page at / to try it.
///
/// Started without options it listens on this machine only, keeps everything in memory, and
/// prints a development key.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// The address to listen on; 0.0.0.0 or :: for every interface.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = values::of::<IpAddr>("an IP address"))]
    pub(crate) listen: IpAddr,

    /// The port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 8080, value_parser = values::whole(0..=u16::MAX))]
    pub(crate) port: u16,

    /// An API key that may do everything; may be given several times. Keys of the same app share
    /// its channels; those of different apps share nothing. With a key of your own there is no
    /// development key. Other users of this machine can see it: a file of --keys need not be theirs
    /// to read.
    #[arg(long = "key", value_name = "APP.KEY:SECRET")]
    pub(crate) keys: Vec<String>,

    /// A JSON file of API keys: [{"name": "app.key", "secret": "…", "capability": {"room:*":
    /// ["presence", "subscribe"]}}, …].
    #[arg(long = "keys", value_name = "FILE")]
    pub(crate) keys_file: Option<PathBuf>,

    /// An origin whose pages may connect, such as https://example.com; may be given several
    /// times. Without it every origin may.
    #[arg(long = "origin", value_name = "ORIGIN")]
    pub(crate) origins: Vec<String>,

    /// Keep the presence history in this file: it survives a restart and a crash.
    #[arg(long, value_name = "FILE")]
    pub(crate) persist: Option<PathBuf>,

    /// How many MiB of memory --persist uses as a cache.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = values::whole(1..=u16::MAX))]
    pub(crate) store_cache: u16,

    /// For how many hours --persist keeps an event.
    #[arg(long, value_name = "HOURS", default_value_t = 72, value_parser = values::whole(1..=8760_u32))]
    pub(crate) retention_hours: u32,

    /// The most connections at a time, WebSockets and others. A few more are let in for health
    /// checks and metrics.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = values::whole(1..=usize::MAX))]
    pub(crate) max_connections: usize,

    /// The most connections of one app, those included that can still be resumed.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = values::whole(1..=usize::MAX))]
    pub(crate) max_app_connections: usize,

    /// The most members of a channel.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = values::whole(0..=usize::MAX))]
    pub(crate) max_members: usize,

    /// The most bytes that wait to be sent to one connection. A slow reader first skips events and
    /// is synced later, then is disconnected.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20, value_parser = values::whole(0..=usize::MAX))]
    pub(crate) max_send_queue: usize,

    #[command(flatten)]
    times: TimeOptions,

    /// A separate address for /metrics and /healthz, such as 10.0.0.1:9090. Everybody who can
    /// reach it may read them.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = values::of::<SocketAddr>("an IP address and a port"))]
    pub(crate) metrics_listen: Option<SocketAddr>,

    /// A token that /metrics asks for, as HTTP Bearer. With API keys and without a token, metrics
    /// are served at --metrics-listen only.
    #[arg(long, value_name = "TOKEN", env = "METRICS_TOKEN", hide_env_values = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) metrics_token: Option<String>,

    /// On SIGTERM, over how many seconds the connections are disconnected, so that they reconnect
    /// elsewhere. With 0 all are disconnected at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = values::whole(0..=u64::MAX))]
    pub(crate) drain_seconds: u64,

    /// What to log: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = values::of::<LevelFilter>("off, error, warn, info, debug or trace"))]
    pub(crate) log: LevelFilter,
}

/// Time limits of peers, in seconds.
#[derive(Clone, Copy, Debug, Args)]
struct TimeOptions {
    /// How many seconds a client may take to send the head of a request, and then its body; and
    /// how long a connection may be idle between two requests. The server also responds within
    /// this time.
    #[arg(long = "request-seconds", value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    request: Duration,

    /// For how many seconds a client may read nothing, over HTTP or a WebSocket, before its
    /// connection is dropped.
    #[arg(long = "write-seconds", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    write: Duration,

    /// For how many seconds a connection serves HTTP requests. Then it closes after the one in
    /// progress, which may take --request-seconds and --write-seconds more. A WebSocket may stay.
    #[arg(long = "http-seconds", value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    http: Duration,
}

/// Whole seconds, at most an hour.
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
