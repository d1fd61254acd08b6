//! The presence server as a program. `--help` lists the options.

#![allow(clippy::std_instead_of_core, reason = "a program on std says std")]

mod cli;

use clap::Parser;
use cli::{descriptors, options::Options, stop::StopSignals};
use presence_server::{
    Database, Keys, MetricsAccess, Node, NodeBuilder, proto::server::ServerOptions,
};
use std::{
    error::Error,
    fmt::Display,
    io::{self, IsTerminal},
    net::SocketAddr,
    process::ExitCode,
};
use tokio::net::{TcpListener, TcpSocket};
use tracing::{error, info, warn};

/// The key of a server without configured keys.
const DEVELOPMENT_KEY: &str = "dev.key:development-only";
/// Threads for blocking reads and purges of the durable history.
const STORE_THREADS: usize = 16;
/// Length of the listen queue of the operating system.
const BACKLOG: u32 = 1024;

fn main() -> ExitCode {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_max_level(options.log)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
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

/// Prefixes an error message with its subject.
fn about<E: Display>(subject: impl Display) -> impl FnOnce(E) -> String {
    move |error| format!("{subject}: {error}")
}

/// Serves until a stop signal or a failure, then drains.
async fn run(options: &Options) -> Result<(), Box<dyn Error + Send + Sync>> {
    let development = options.keys.is_empty() && options.keys_file.is_none();
    let development_key = development.then_some(DEVELOPMENT_KEY);
    let node = start(keys(options, development_key)?, options, development_key)?;

    let address = SocketAddr::new(options.listen, options.port);
    let listener = listen(address).map_err(about(address))?;
    let connections = descriptors::connections(options.max_connections)?;
    let mut signals = StopSignals::new()?;
    if let Some(address) = options.metrics_listen {
        serve_operator(&node, address, options.metrics_token.as_deref())?;
    }
    announce(listener.local_addr()?, development_key);
    let router = node.router_with_metrics(match &options.metrics_token {
        Some(token) => MetricsAccess::with_token(token),
        // The development key is public, so the metrics are too.
        None if development => MetricsAccess::open(),
        None => MetricsAccess::closed(),
    });
    tokio::select! {
        () = node.serve(listener, router, connections) => {}
        () = node.failed() => {
            // The failed app has closed its connections. This closes those of the other apps.
            node.drain(std::time::Duration::ZERO).await;
            return Err("a presence core has stopped".into());
        }
        signal = signals.next() => info!(signal, "draining; a second signal stops immediately"),
    }
    tokio::select! {
        () = node.drain(options.drain()) => {}
        signal = signals.next() => warn!(signal, "stopping immediately"),
    }
    match node.uninformed() {
        0 => info!("drained"),
        left => warn!(left, "stopped before all connections were notified"),
    }
    Ok(())
}

/// The keys of the command line and the key file, and the development key if any.
fn keys(options: &Options, development_key: Option<&str>) -> Result<Keys, String> {
    let mut keys = Keys::new();
    for (number, key) in (1..).zip(&options.keys) {
        keys.add(key).map_err(about(format!("--key number {number}")))?;
    }
    if let Some(file) = &options.keys_file {
        keys.add_file(file).map_err(|error| error.to_string())?;
    }
    if let Some(key) = development_key {
        keys.add(key).map_err(|error| error.to_string())?;
    }
    if keys.apps().next().is_none() {
        return Err("no API key is configured, so no client could connect".to_owned());
    }
    Ok(keys)
}

/// Starts a node with the apps of the keys.
fn start(
    keys: Keys,
    options: &Options,
    development_key: Option<&str>,
) -> Result<Node, Box<dyn Error + Send + Sync>> {
    let apps: Vec<String> = keys.apps().map(str::to_owned).collect();
    let builder = Node::builder(keys)
        .origins(options.origins.clone())
        .times(options.times())
        .max_send_queue(options.max_send_queue)
        .page(development_key);
    let mut server = ServerOptions::default();
    server.limits.connections = options.max_app_connections;
    server.limits.members_per_channel = options.max_members;
    let app = |builder: NodeBuilder, app: &String| builder.app(app, server.clone());
    let Some(path) = &options.persist else {
        return apps.iter().fold(builder, app).start();
    };
    let names: Vec<&str> = apps.iter().map(String::as_str).collect();
    let database = Database::open(path, options.store_cache(), &names);
    let database = database.map_err(about(path.display()))?;
    let builder = apps.iter().try_fold(builder, |builder, app| {
        Ok::<_, Box<dyn Error + Send + Sync>>(builder.app_with_store(
            app,
            server.clone(),
            database.store(app)?,
        ))
    })?;
    let node = builder.start()?;
    tokio::spawn(database.expire(options.retention()));
    Ok(node)
}

/// Serves metrics and health checks at a separate address.
fn serve_operator(node: &Node, address: SocketAddr, token: Option<&str>) -> Result<(), String> {
    let listener = listen(address).map_err(about(address))?;
    let bound = listener.local_addr().map_err(about(address))?;
    println!("Metrics on http://{bound}/metrics");
    let access = token.map_or(MetricsAccess::open(), MetricsAccess::with_token);
    let (node, router) = (node.clone(), node.operator_router(access));
    tokio::spawn(async move {
        node.serve_operator(listener, router, descriptors::OPERATORS).await;
    });
    Ok(())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Allows a restart while old connections are in TIME_WAIT. On Windows the option would let
    // another program take over the port.
    if cfg!(unix) {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Prints the address and how to connect.
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
        "  Rust:    cargo run -p presence-server --example client -- --url ws://{address} --key {key} --client-id me"
    );
    println!("  curl:    curl -u {key} http://{address}/channels/lobby/presence");
}
