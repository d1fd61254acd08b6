//! A presence server: the server half of `presence_proto` behind WebSockets and HTTP.
//!
//! `cargo run --example server` starts it; `--help` lists the options.

#![allow(clippy::std_instead_of_core, reason = "a program on std says std")]

#[path = "../common/clock.rs"]
mod clock;
mod closing;
mod descriptors;
mod draining;
mod headers;
mod host;
mod jwt;
mod keys;
mod limits;
mod link;
mod listen;
mod metrics;
mod operator;
mod options;
mod page;
mod problem;
mod rest;
mod slots;
mod socket;
mod stop;
mod store;
mod stream;

use crate::{
    clock::Clock,
    draining::Draining,
    host::Core,
    keys::Keys,
    limits::Times,
    operator::Readers,
    options::Options,
    problem::error,
    slots::{SPARE, Slots},
    stop::StopSignals,
    store::Store,
};
use clap::Parser;
use presence_proto::{
    TransportId, UnixMillis,
    server::{HistoryPage, HistoryQuery, Input, Server, ServerConfig},
    wire::ErrorInfo,
};
use std::{
    error::Error,
    fmt::Display,
    io::IsTerminal,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

/// The key of a server that was given none.
const DEVELOPMENT_KEY: &str = "dev.key:development-only";
/// Threads that read the durable history, and clean it up. More work waits for one.
const STORE_THREADS: usize = 16;
/// How often old events are taken out of the durable history.
const PURGE_INTERVAL: Duration = Duration::from_secs(60);

/// What every request needs.
pub(crate) struct App {
    clock: Clock,
    keys: Arc<Keys>,
    core: host::Handle,
    store: Option<Arc<Store>>,
    development_key: Option<&'static str>,
    origins: Vec<String>,
    max_frame_size: usize,
    send_queue: usize,
    transports: AtomicU64,
    times: Times,
    draining: Draining,
}

impl App {
    fn next_transport(&self) -> TransportId {
        TransportId(self.transports.fetch_add(1, Relaxed))
    }

    fn allows_origin(&self, origin: &[u8]) -> bool {
        self.origins.is_empty() || self.origins.iter().any(|allowed| allowed.as_bytes() == origin)
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Server) -> T + Send + 'static,
    ) -> Result<T, ErrorInfo> {
        let stopped = || error(50003, 503, "The server is stopping");
        self.core.ask(question).await.ok_or_else(stopped)
    }

    /// A page of a channel's history: from the store if there is one, else from memory.
    async fn history(
        &self,
        channel: String,
        query: HistoryQuery,
    ) -> Result<HistoryPage, ErrorInfo> {
        let Some(store) = self.store.clone() else {
            return self.ask(move |server| server.history(&channel, &query)).await?;
        };
        tokio::task::spawn_blocking(move || store.history(&channel, &query))
            .await
            .map_err(|failure| error(50000, 500, failure.to_string()))?
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_max_level(options.log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(STORE_THREADS)
        .build();
    match runtime.map(|runtime| runtime.block_on(run(&options))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => fail(&*failure),
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &dyn Error) -> ExitCode {
    error!("{failure}");
    ExitCode::FAILURE
}

/// Says what an error is about.
fn about<E: Error>(what: impl Display) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

/// Starts the server, and serves until it is told to stop.
async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    jwt::install();
    let development = options.keys.is_empty() && options.keys_file.is_none();
    let development_key = development.then_some(DEVELOPMENT_KEY);
    let mut given = options.keys.clone();
    given.extend(development_key.map(str::to_owned));
    let keys = Arc::new(Keys::new(&given, options.keys_file.as_deref())?);

    let store = match &options.persist {
        Some(path) => {
            let store = Store::open(path, options.store_cache());
            Some(Arc::new(store.map_err(about(path.display()))?))
        }
        None => None,
    };
    let config = config(options, store.as_deref())?;
    let max_frame_size = config.limits.frame_size;
    let clock = Clock::start();
    let server = Server::new(config, random()?);
    let (core, handle) = Core::new(server, clock, Arc::clone(&keys), store.clone());
    let core_ended = spawn_core(core)?;
    if let Some(store) = store.clone() {
        tokio::spawn(purge(store, options.retention()));
    }

    let address = SocketAddr::new(options.listen, options.port);
    let listener = listen::at(address).map_err(about(address))?;
    let connections = descriptors::connections(options.max_connections)?;
    let app = Arc::new(App {
        clock,
        keys,
        core: handle.clone(),
        store,
        development_key,
        origins: options.origins.clone(),
        max_frame_size,
        send_queue: options.max_send_queue,
        transports: AtomicU64::new(0),
        times: options.times,
        draining: Draining::default(),
    });
    let draining = app.draining.clone();
    let mut signals = StopSignals::new()?;
    if let Some(address) = options.metrics_listen {
        operator::serve(address, &app, options.metrics_token.as_deref())?;
    }
    announce(listener.local_addr()?, development_key);
    let readers = Readers::among_clients(options.metrics_token.as_deref(), development);
    let router = rest::router(&app, readers);
    let slots = Slots::new(connections, SPARE);
    tokio::select! {
        () = listen::serve(listener, router, slots, options.times, draining.clone()) => {}
        _ = core_ended => {
            draining.finish(Duration::ZERO).await;
            return Err("the core has ended".into());
        }
        signal = signals.next() => info!(signal, "draining; once more stops at once"),
    }
    handle.input(Input::Drain { over: options.drain() });
    tokio::select! {
        () = draining.finish(options.drain()) => {}
        signal = signals.next() => warn!(signal, "stopping at once"),
    }
    match draining.left() {
        0 => info!("drained"),
        left => warn!(left, "stopped, and some connections were not told"),
    }
    Ok(())
}

/// The core's settings, as the options and what the store remembers want them; the store is made
/// ready for a new run.
fn config(options: &Options, store: Option<&Store>) -> Result<ServerConfig, Box<dyn Error>> {
    let mut config = ServerConfig::default();
    config.limits.members_per_channel = options.max_members;
    if let Some(store) = store {
        let left = store.end_last_run(clock::wall())?;
        if left > 0 {
            info!(left, "the history has the leaves of those who were present in the last run");
        }
        config.first_serial = store.last_serial()?.saturating_add(1);
        config.key_secret = Some(store.key_secret(random()?)?);
    }
    Ok(config)
}

/// Gives the core a thread of its own, where it may wait for the disk.
fn spawn_core(core: Core) -> Result<oneshot::Receiver<()>, std::io::Error> {
    let (ended, core_ended) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name("core".to_owned()).spawn(move || {
        runtime.block_on(core.run());
        // Nobody listens any more if the process is ending.
        let _ = ended.send(());
    })?;
    Ok(core_ended)
}

/// Takes events out of the durable history that are older than `retention`, for ever.
async fn purge(store: Arc<Store>, retention: Duration) {
    let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    let mut interval = tokio::time::interval(PURGE_INTERVAL);
    loop {
        interval.tick().await;
        let before = UnixMillis::from_millis(clock::wall().as_millis().saturating_sub(retention));
        loop {
            let store = Arc::clone(&store);
            match tokio::task::spawn_blocking(move || store.purge(before)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => break,
                Ok(Err(failure)) => {
                    error!("old events cannot be removed: {failure}");
                    break;
                }
                Err(_stopping) => return,
            }
        }
    }
}

fn random() -> Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Says where the server is and how to reach it.
fn announce(address: SocketAddr, development_key: Option<&str>) {
    println!("Presence server on http://{address}/ (open it in two tabs)");
    let Some(key) = development_key else { return };
    let (host, port) = (address.ip(), address.port());
    println!("Development key: {key}");
    println!(
        "  ably-js: new Ably.Realtime({{ key: '{key}', endpoint: '{host}', port: {port}, \
         tls: false, clientId: 'me' }})"
    );
    println!(
        "  Rust:    cargo run --example client -- --url ws://{address} --key {key} --client-id me"
    );
    println!("  curl:    curl -u {key} http://{address}/channels/lobby/presence");
}
