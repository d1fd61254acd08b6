//! The state that all requests share.

use crate::{
    App, Grant, Times,
    auth::{Credentials, Verifier},
    listen::Draining,
    response::error,
};
use presence_proto::{
    Clock, TransportId,
    server::Counters,
    wire::{ErrorInfo, codes},
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use tokio_util::sync::CancellationToken;

/// Options of the HTTP interface.
pub(crate) struct Options {
    pub(crate) origins: Vec<String>,
    pub(crate) times: Times,
    pub(crate) max_send_queue: usize,
    pub(crate) page: bool,
    pub(crate) page_key: Option<String>,
    /// Maximum size of a received frame, in bytes: the largest limit of all apps.
    pub(crate) frame_size: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            times: Times::default(),
            max_send_queue: 4 << 20,
            page: false,
            page_key: None,
            frame_size: 0,
        }
    }
}

/// The state that all requests share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) verifier: Verifier,
    pub(crate) options: Options,
    pub(crate) draining: Draining,
    apps: BTreeMap<String, App>,
    transports: AtomicU64,
    failed: CancellationToken,
}

impl Shared {
    pub(crate) fn new(
        clock: Clock,
        apps: BTreeMap<String, App>,
        verifier: Verifier,
        options: Options,
        failed: CancellationToken,
    ) -> Self {
        let (transports, draining) = (AtomicU64::new(0), Draining::default());
        Self { clock, verifier, options, draining, apps, transports, failed }
    }

    pub(crate) fn app(&self, name: &str) -> Option<&App> {
        self.apps.get(name)
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = &App> {
        self.apps.values()
    }

    /// Waits until a core has stopped.
    pub(crate) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    pub(crate) fn next_transport(&self) -> TransportId {
        TransportId(self.transports.fetch_add(1, Relaxed))
    }

    pub(crate) fn allows_origin(&self, origin: &[u8]) -> bool {
        let allowed = &self.options.origins;
        allowed.is_empty() || allowed.iter().any(|allowed| allowed.as_bytes() == origin)
    }

    /// Verifies credentials. Returns their app and grant.
    ///
    /// # Errors
    ///
    /// The errors of [`Verifier::grant`]; 40101 if the node has no such app.
    pub(crate) async fn admit(
        &self,
        credentials: &Credentials,
    ) -> Result<(&App, Grant), ErrorInfo> {
        let grant = self.verifier.grant(credentials, self.clock.now().wall).await?;
        let app = self.apps.get(&grant.app).ok_or_else(|| {
            tracing::error!(
                app = grant.app,
                "the authenticator granted access to an app that the node does not have"
            );
            error(codes::INVALID_CREDENTIALS, 401, "No such app")
        })?;
        Ok((app, grant))
    }

    /// Returns the counters of each app.
    ///
    /// # Errors
    ///
    /// 50003 if a core has stopped.
    pub(crate) async fn counters(&self) -> Result<Vec<(&str, Counters)>, ErrorInfo> {
        let mut counters = Vec::with_capacity(self.apps.len());
        for (name, app) in &self.apps {
            counters.push((name.as_str(), app.counters().await?));
        }
        Ok(counters)
    }
}
