//! A presence server: the server half of `presence_proto` behind WebSockets and HTTP.
//!
//! `cargo run --example server` starts it; `--help` lists the options.

#![allow(clippy::std_instead_of_core, reason = "a program on std says std")]

mod apps;
#[path = "../common/clock.rs"]
mod clock;
mod closing;
mod credentials;
mod database;
mod descriptors;
mod draining;
mod fields;
mod given;
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
mod patterns;
mod private;
mod problem;
mod query;
mod rest;
mod slots;
mod socket;
mod stop;
mod store;
mod stream;
mod token_request;
mod values;

use crate::{
    apps::{App, Apps},
    clock::Clock,
    database::Database,
    draining::Draining,
    host::Core,
    keys::Keys,
    limits::Times,
    operator::Readers,
    options::Options,
    slots::{SPARE, Slots},
    stop::StopSignals,
    store::Store,
};
use clap::Parser;
use presence_proto::{
    TransportId, UnixMillis,
    server::{Server, ServerOptions},
};
use std::{
    collections::BTreeMap,
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
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The key of a server that was given none.
const DEVELOPMENT_KEY: &str = "dev.key:development-only";
/// Threads that read the durable history, and clean it up. More work waits for one.
const STORE_THREADS: usize = 16;
/// How often old events are taken out of the durable history.
const PURGE_INTERVAL: Duration = Duration::from_secs(60);

/// What every request needs.
pub(crate) struct Service {
    clock: Clock,
    apps: Apps,
    development_key: Option<&'static str>,
    origins: Vec<String>,
    max_frame_size: usize,
    send_queue: usize,
    transports: AtomicU64,
    times: Times,
    draining: Draining,
}

impl Service {
    fn next_transport(&self) -> TransportId {
        TransportId(self.transports.fetch_add(1, Relaxed))
    }

    fn allows_origin(&self, origin: &[u8]) -> bool {
        self.origins.is_empty() || self.origins.iter().any(|allowed| allowed.as_bytes() == origin)
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
    let keys = given::read(&given, options.keys_file.as_deref())?;

    let clock = Clock::start();
    let core_ended = CancellationToken::new();
    let apps = start(keys, options, clock, &core_ended)?;

    let address = SocketAddr::new(options.listen, options.port);
    let listener = listen::at(address).map_err(about(address))?;
    let connections = descriptors::connections(options.max_connections)?;
    let service = Arc::new(Service {
        clock,
        apps,
        development_key,
        origins: options.origins.clone(),
        max_frame_size: config(options).limits.frame_size,
        send_queue: options.max_send_queue,
        transports: AtomicU64::new(0),
        times: options.times,
        draining: Draining::default(),
    });
    let draining = service.draining.clone();
    let mut signals = StopSignals::new()?;
    if let Some(address) = options.metrics_listen {
        operator::serve(address, &service, options.metrics_token.as_deref())?;
    }
    announce(listener.local_addr()?, development_key);
    let readers = Readers::among_clients(options.metrics_token.as_deref(), development);
    let router = rest::router(&service, readers);
    let slots = Slots::new(connections, SPARE);
    tokio::select! {
        () = listen::serve(listener, router, slots, options.times, draining.clone()) => {}
        () = core_ended.cancelled() => {
            // The connections of its app are told by that; so are those of the others now.
            service.apps.drain(Duration::ZERO);
            draining.finish(Duration::ZERO).await;
            return Err("a core has ended".into());
        }
        signal = signals.next() => info!(signal, "draining; once more stops at once"),
    }
    service.apps.drain(options.drain());
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

/// Starts a core for each app, with its part of the store.
fn start(
    keys: BTreeMap<String, Keys>,
    options: &Options,
    clock: Clock,
    core_ended: &CancellationToken,
) -> Result<Apps, Box<dyn Error>> {
    let database = match &options.persist {
        Some(path) => {
            let apps: Vec<&str> = keys.keys().map(String::as_str).collect();
            let database = Database::open(path, options.store_cache(), &apps);
            Some(database.map_err(|failure| format!("{}: {failure}", path.display()))?)
        }
        None => None,
    };
    let mut apps = BTreeMap::new();
    for (name, keys) in keys {
        let mut config = config(options);
        let store = match &database {
            Some(database) => {
                let store = database.store(&name)?;
                resume(&mut config, &store, &name)?;
                Some(Arc::new(store))
            }
            None => None,
        };
        let server = Server::new(config, random()?);
        let keys = Arc::new(keys);
        let (core, handle) = Core::new(server, clock, Arc::clone(&keys), store.clone());
        spawn_core(&name, core, core_ended.clone())?;
        apps.insert(name, App { keys, core: handle, store });
    }
    if let Some(database) = database {
        tokio::spawn(purge(database.stores()?, options.retention()));
    }
    Ok(Apps::new(apps))
}

/// The settings of a core, as the options want them.
fn config(options: &Options) -> ServerOptions {
    let mut config = ServerOptions::default();
    config.limits.connections = options.max_app_connections;
    config.limits.members_per_channel = options.max_members;
    config
}

/// Makes the store of an app ready for a new run, and gives the core what that remembers.
fn resume(config: &mut ServerOptions, store: &Store, app: &str) -> Result<(), Box<dyn Error>> {
    let left = store.end_last_run(clock::wall())?;
    if left > 0 {
        info!(app, left, "the history has the leaves of those who were present in the last run");
    }
    config.first_serial = store.last_serial()?.saturating_add(1);
    config.key_secret = Some(store.key_secret(random()?)?);
    Ok(())
}

/// Gives a core a thread of its own, where it may wait for the disk. `ended` is cancelled when it
/// ends, however it does.
fn spawn_core(app: &str, core: Core, ended: CancellationToken) -> Result<(), std::io::Error> {
    let ended = ended.drop_guard();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name(format!("core {app}")).spawn(move || {
        let _ended = ended;
        runtime.block_on(core.run());
    })?;
    Ok(())
}

/// Takes events out of the durable histories that are older than `retention`, for ever.
async fn purge(stores: Vec<Store>, retention: Duration) {
    let stores: Vec<Arc<Store>> = stores.into_iter().map(Arc::new).collect();
    let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    let mut interval = tokio::time::interval(PURGE_INTERVAL);
    loop {
        interval.tick().await;
        let before = UnixMillis::from_millis(clock::wall().as_millis().saturating_sub(retention));
        for store in &stores {
            loop {
                let store = Arc::clone(store);
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
