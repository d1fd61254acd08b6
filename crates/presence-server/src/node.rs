//! The node: builds an embedded server and controls it.

use crate::{
    App, Authenticate, EventStore, MetricsAccess, StoreError, Times,
    auth::{DynAuthenticate, Renewals, Verifier},
    driver::{Driver, Environment, OnEvent},
    http,
    listen::{self, Draining, SPARE, Slots},
    shared::{Options, Shared},
};
use axum::Router;
use presence_proto::{
    Clock,
    server::{Server, ServerEvent, ServerOptions},
};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A presence server: one presence core for each app, and the HTTP and WebSocket interface to them.
///
/// This is a handle. Clones refer to the same node. The cores run until the last handle, router and
/// connection is dropped.
///
/// ```
/// use presence_server::{Keys, Node, proto::server::ServerOptions};
/// use axum::{Router, routing::get};
///
/// # let runtime = tokio::runtime::Runtime::new()?;
/// # runtime.block_on(async {
/// let mut keys = Keys::new();
/// keys.add("app.key:secret")?;
/// let node = Node::builder(keys).app("app", ServerOptions::default()).start()?;
///
/// // The program's own routes and those of the node share a router.
/// let router = Router::new().route("/hello", get(|| async { "hello" })).merge(node.router());
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let serving = tokio::spawn(async move { axum::serve(listener, router).await });
///
/// let app = node.app("app").expect("added above");
/// let members = app.read(|server| server.occupancy("lobby").presence_members).await?;
/// assert_eq!(members, 0);
/// # serving.abort();
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
#[derive(Clone)]
pub struct Node(Arc<Shared>);

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").finish_non_exhaustive()
    }
}

impl Node {
    /// Connections that [`serve`](Self::serve) accepts above its limit, for one request each.
    pub const SPARE_CONNECTIONS: usize = SPARE;

    /// Starts the configuration of a node. A node needs at least one app to accept a connection.
    pub fn builder(authenticate: impl Authenticate) -> NodeBuilder {
        NodeBuilder {
            authenticate: Arc::new(authenticate),
            apps: BTreeMap::new(),
            on_event: None,
            options: Options::default(),
        }
    }

    /// Returns the app with this name.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<&App> {
        self.0.app(name)
    }

    /// Returns the routes of the node: `/` (WebSockets, and the page if enabled), `/time`,
    /// `/keys/{name}/requestToken`, `/channels/{name}/presence`, `/channels/{name}/presence/history`,
    /// `/healthz` and `/metrics`. Access to `/metrics` is denied (40300); to allow it, use
    /// [`router_with_metrics`](Self::router_with_metrics).
    ///
    /// Mount the router at the root of a listener, because SDKs cannot be configured with a path.
    /// Serve it with [`serve`](Self::serve) for limits on connections and slow peers; with
    /// `axum::serve` those are up to the program.
    pub fn router(&self) -> Router {
        self.router_with_metrics(MetricsAccess::closed())
    }

    /// Returns the same routes as [`router`](Self::router), with this access to `/metrics`.
    pub fn router_with_metrics(&self, access: MetricsAccess) -> Router {
        http::router(&self.0, access)
    }

    /// Returns only `/healthz` and `/metrics`, for a separate address of the operator. See
    /// [`serve_operator`](Self::serve_operator).
    pub fn operator_router(&self, access: MetricsAccess) -> Router {
        http::operator_router(&self.0, access)
    }

    /// Serves a router with at most `connections` concurrent connections and the node's [`Times`].
    /// Never returns.
    ///
    /// When the limit is reached, [`SPARE_CONNECTIONS`](Self::SPARE_CONNECTIONS) more are accepted for one request each, so
    /// that health checks get an answer; any other request on them fails with 50003. Once
    /// [`drain`](Self::drain) is called, each HTTP connection closes after its request in progress.
    pub async fn serve(&self, listener: TcpListener, router: Router, connections: usize) {
        let draining = self.0.draining.clone();
        let slots = Slots::new(connections, SPARE);
        listen::serve(listener, router, slots, self.0.options.times, draining).await;
    }

    /// Serves the operator's router ([`operator_router`](Self::operator_router)) with at most
    /// `connections` concurrent connections and the node's [`Times`], also during a drain. Never
    /// returns.
    pub async fn serve_operator(&self, listener: TcpListener, router: Router, connections: usize) {
        let slots = Slots::new(connections, 0);
        let times = self.0.options.times;
        listen::serve(listener, router, slots, times, Draining::default()).await;
    }

    /// Disconnects all clients, spread evenly over `over`, so that they reconnect elsewhere. Their
    /// members stay for the grace period. Cannot be undone.
    ///
    /// Returns when every WebSocket has been notified and every socket is closed; after `over` plus
    /// 10 s if some WebSockets cannot be notified, or up to 5 s after the last notification if some
    /// sockets do not close.
    pub async fn drain(&self, over: Duration) {
        self.0.apps().for_each(|app| app.drain(over));
        self.0.draining.finish(over).await;
    }

    /// Returns the number of WebSockets to which the server still has to write, which includes the
    /// notification that they end. Meaningful during and after a [`drain`](Self::drain): 0 means that
    /// every client was notified.
    #[must_use]
    pub fn uninformed(&self) -> usize {
        self.0.draining.left()
    }

    /// Waits until a core has stopped while the node is in use: its store failed, or it panicked. The
    /// app cannot be restarted, so the program should exit.
    pub async fn failed(&self) {
        self.0.failed().await;
    }
}

/// Configures and starts a [`Node`].
pub struct NodeBuilder {
    authenticate: Arc<dyn DynAuthenticate>,
    apps: BTreeMap<String, (ServerOptions, Option<Arc<dyn EventStore>>)>,
    on_event: Option<OnEvent>,
    options: Options,
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apps: Vec<&String> = self.apps.keys().collect();
        f.debug_struct("NodeBuilder").field("apps", &apps).finish_non_exhaustive()
    }
}

impl NodeBuilder {
    /// Adds an app, or replaces the app with the same name. Its history is kept in memory, within
    /// [`ServerOptions::history`].
    #[must_use]
    pub fn app(mut self, name: &str, options: ServerOptions) -> Self {
        self.apps.insert(name.to_owned(), (options, None));
        self
    }

    /// Adds an app as [`app`](Self::app) does, with a durable history. The store sets
    /// [`ServerOptions::first_serial`] and [`ServerOptions::key_secret`].
    #[must_use]
    pub fn app_with_store(
        mut self,
        name: &str,
        options: ServerOptions,
        store: impl EventStore,
    ) -> Self {
        self.apps.insert(name.to_owned(), (options, Some(Arc::new(store))));
        self
    }

    /// Sets the allowed origins of browser requests, such as `https://example.com`: for WebSockets
    /// and for CORS. Default: empty, which allows every origin.
    #[must_use]
    pub fn origins(mut self, origins: Vec<String>) -> Self {
        self.options.origins = origins;
        self
    }

    /// Sets the time limits for peers. Default: [`Times::default`].
    #[must_use]
    pub const fn times(mut self, times: Times) -> Self {
        self.options.times = times;
        self
    }

    /// Sets the maximum size of the send queue of a WebSocket, in bytes. Default: 4 MiB.
    ///
    /// Above half of it the connection is congested: broadcasts skip it until its queue is down to an
    /// eighth. Above all of it the connection is dropped.
    #[must_use]
    pub const fn max_send_queue(mut self, bytes: usize) -> Self {
        self.options.max_send_queue = bytes;
        self
    }

    /// Serves a demo page at `/`, which is a client of the node. Without a `key` the page asks its
    /// user for one.
    ///
    /// `key` is public: the page contains it. Use a development key only.
    #[must_use]
    pub fn page(mut self, key: Option<&str>) -> Self {
        self.options.page = true;
        self.options.page_key = key.map(str::to_owned);
        self
    }

    /// Sets a callback for the events of all apps, for example for webhooks and logs. It receives the
    /// name of the app and the event.
    ///
    /// It runs on the app's core thread, after the event is stored. It must not block.
    #[must_use]
    pub fn on_event(mut self, call: impl Fn(&str, &ServerEvent) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(call));
        self
    }

    /// Starts one core for each app, each on a thread of its own.
    ///
    /// # Errors
    ///
    /// [`EventStore::start`] fails, the operating system provides no random bytes, or a thread cannot
    /// be spawned.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(self) -> Result<Node, StoreError> {
        let Self { authenticate, apps: configured, on_event, mut options } = self;
        let clock = Clock::start();
        let verifier = Verifier::new(authenticate, options.times.request);
        let failed = CancellationToken::new();
        let mut apps = BTreeMap::new();
        for (name, (mut server, store)) in configured {
            if let Some(store) = &store {
                let start = store.start(clock.now().wall)?;
                server.first_serial = start.first_serial;
                server.key_secret = start.key_secret;
            }
            let frame_size = server.limits.frame_size;
            options.frame_size = options.frame_size.max(frame_size);
            let environment = Environment {
                app: name.clone(),
                clock,
                renewals: Renewals::new(verifier.clone(), name.clone()),
                store: store.clone(),
                on_event: on_event.clone(),
            };
            let (driver, core) = Driver::new(Server::new(server, crate::random()?), environment);
            spawn(&name, driver, failed.clone())?;
            apps.insert(name, App { core, store, frame_size });
        }
        Ok(Node(Arc::new(Shared::new(clock, apps, verifier, options, failed))))
    }
}

/// Runs a core on a thread of its own, where it may block on its store. Cancels `stopped` when the
/// core stops, also if it panics.
fn spawn(app: &str, driver: Driver, stopped: CancellationToken) -> std::io::Result<()> {
    let stopped = stopped.drop_guard();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name(format!("core {app}")).spawn(move || {
        let _stopped = stopped;
        runtime.block_on(driver.run());
    })?;
    Ok(())
}
