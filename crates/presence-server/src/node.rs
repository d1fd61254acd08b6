//! A presence server in a program.

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

/// A presence server: a core for each app, and the HTTP interface in front of them.
///
/// It is a handle; clones refer to the same node. The cores run until the last handle, router and
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
/// // The SDKs connect to the paths of the node's router, beside those of the program.
/// let router = Router::new().route("/hello", get(|| async { "hello" })).merge(node.router());
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let serving = tokio::spawn(async move { axum::serve(listener, router).await });
///
/// let app = node.app("app").expect("it was added above");
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
    /// A node that is to be configured. Add at least one app.
    pub fn builder(authenticate: impl Authenticate) -> NodeBuilder {
        NodeBuilder {
            authenticate: Arc::new(authenticate),
            apps: BTreeMap::new(),
            on_event: None,
            options: Options::default(),
        }
    }

    /// An app, by its name.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<&App> {
        self.0.app(name)
    }

    /// The paths that clients use: `/` for WebSockets and the page, `/time`, `/keys/…`,
    /// `/channels/…`; and `/healthz` and `/metrics`, for nobody unless
    /// [`router_with_metrics`](Self::router_with_metrics) says otherwise.
    ///
    /// Mount it at the root of a listener; SDKs cannot be given a path. With
    /// [`serve`](Self::serve) it also gets limits on connections and slow peers.
    pub fn router(&self) -> Router {
        self.router_with_metrics(MetricsAccess::closed())
    }

    /// The same as [`router`](Self::router), with access to the metrics.
    pub fn router_with_metrics(&self, access: MetricsAccess) -> Router {
        http::router(&self.0, access)
    }

    /// `/healthz` and `/metrics` alone, for an address of the operator.
    pub fn operator_router(&self, access: MetricsAccess) -> Router {
        http::operator_router(&self.0, access)
    }

    /// Serves a router, forever: at most `connections` at a time, within the node's [`Times`]. Beyond
    /// them 32 more are accepted for one request each, so that health checks are answered. In a
    /// drain ([`drain`](Self::drain)) HTTP connections end after their request in progress.
    pub async fn serve(&self, listener: TcpListener, router: Router, connections: usize) {
        let draining = self.0.draining.clone();
        let slots = Slots::new(connections, SPARE);
        listen::serve(listener, router, slots, self.0.options.times, draining).await;
    }

    /// Serves the operator's router, forever: at most `connections` at a time, also during a drain.
    pub async fn serve_operator(&self, listener: TcpListener, router: Router, connections: usize) {
        let slots = Slots::new(connections, 0);
        let times = self.0.options.times;
        listen::serve(listener, router, slots, times, Draining::default()).await;
    }

    /// Disconnects all clients, evenly over this time, so that they reconnect elsewhere; members stay
    /// for their grace period. Returns when all are informed and their sockets are closed, at most ten
    /// seconds after `over`, plus five for sockets that do not close. Cannot be undone.
    pub async fn drain(&self, over: Duration) {
        self.0.apps().for_each(|app| app.drain(over));
        self.0.draining.finish(over).await;
    }

    /// The number of WebSockets that do not know yet that they end. Meaningful during and after a
    /// drain.
    #[must_use]
    pub fn uninformed(&self) -> usize {
        self.0.draining.left()
    }

    /// Waits until a core has ended, which happens only if its store fails or it panics. The program
    /// should stop then.
    pub async fn failed(&self) {
        self.0.failed().await;
    }
}

/// Configures a [`Node`].
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
    /// Adds an app, or replaces one of the same name. Its history is in memory.
    #[must_use]
    pub fn app(mut self, name: &str, options: ServerOptions) -> Self {
        self.apps.insert(name.to_owned(), (options, None));
        self
    }

    /// The same as [`app`](Self::app), with a durable history.
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

    /// Limits browsers to pages of these origins, such as `https://example.com`. Default: every
    /// origin.
    #[must_use]
    pub fn origins(mut self, origins: Vec<String>) -> Self {
        self.options.origins = origins;
        self
    }

    /// Time limits of peers.
    #[must_use]
    pub const fn times(mut self, times: Times) -> Self {
        self.options.times = times;
        self
    }

    /// Maximum of bytes that wait to be sent to one connection. From half of it on broadcasts skip the
    /// connection; above it the connection is dropped. Default: 4 MiB.
    #[must_use]
    pub const fn max_send_queue(mut self, bytes: usize) -> Self {
        self.options.max_send_queue = bytes;
        self
    }

    /// Serves a page at `/` that is a client, to try the server. It connects with `key`, which is
    /// public then, or asks the user for one.
    #[must_use]
    pub fn page(mut self, key: Option<&str>) -> Self {
        self.options.page = true;
        self.options.page_key = key.map(str::to_owned);
        self
    }

    /// Calls a function with each event of each app, and the app's name: for webhooks, bridges and
    /// logs. It runs on the app's core thread, after the event is durable. It must not block.
    #[must_use]
    pub fn on_event(mut self, call: impl Fn(&str, &ServerEvent) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(call));
        self
    }

    /// Starts the cores, each on a thread of its own. Call it within a tokio runtime.
    ///
    /// # Errors
    ///
    /// A store cannot be used, the system has no randomness, or a thread cannot be started.
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

/// Gives a core a thread of its own, where it may wait for its store. `ended` is cancelled when it
/// ends, however it does.
fn spawn(app: &str, driver: Driver, ended: CancellationToken) -> std::io::Result<()> {
    let ended = ended.drop_guard();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name(format!("core {app}")).spawn(move || {
        let _ended = ended;
        runtime.block_on(driver.run());
    })?;
    Ok(())
}
