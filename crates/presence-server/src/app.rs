//! An app of a node.

use crate::{EventStore, driver::Handle, response::error};
use presence_proto::{
    SmolStr,
    server::{Counters, HistoryPage, HistoryQuery, Input, Server},
    wire::{ErrorInfo, codes},
};
use std::{fmt, sync::Arc, time::Duration};
use tracing::error;

/// An app of a [`Node`](crate::Node): an isolated set of channels, members, histories and
/// connections, with limits of its own.
///
/// This is a handle. Clones refer to the same app.
#[derive(Clone)]
pub struct App {
    pub(crate) core: Handle,
    pub(crate) store: Option<Arc<dyn EventStore>>,
    /// Maximum size of a received frame, in bytes.
    pub(crate) frame_size: usize,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("stored", &self.store.is_some()).finish_non_exhaustive()
    }
}

impl App {
    /// Queries the app's core, for example [`Server::presence`] or [`Server::occupancy`].
    ///
    /// The closure runs on the core's thread, in order with the inputs. It must not block. The result
    /// is up to date: it includes every event that a client has received so far.
    ///
    /// # Errors
    ///
    /// 50003 if the core has stopped.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Server) -> T + Send + 'static,
    ) -> Result<T, ErrorInfo> {
        let stopped = || error(codes::TIMEOUT_ERROR, 503, "The server is stopping");
        self.core.read(query).await.ok_or_else(stopped)
    }

    /// Returns a page of a channel's presence history: from the app's store if it has one, else from
    /// memory.
    ///
    /// # Errors
    ///
    /// With a store: the errors of [`EventStore::history`], and 50000 if it panics. Without a store:
    /// the errors of [`Server::history`], and 50003 if the core has stopped.
    pub async fn history(
        &self,
        channel: String,
        query: HistoryQuery,
    ) -> Result<HistoryPage, ErrorInfo> {
        let Some(store) = self.store.clone() else {
            return self.read(move |server| server.history(&channel, &query)).await?;
        };
        tokio::task::spawn_blocking(move || store.history(&channel, &query)).await.map_err(
            |failure| {
                error!("cannot read the history: {failure}");
                error(codes::INTERNAL_ERROR, 500, "Cannot read the history")
            },
        )?
    }

    /// Removes the members of a channel that match a client id and a connection id; `None` matches
    /// any. Their clients stay connected and may enter again.
    ///
    /// Returns before the members are removed. A later [`read`](Self::read) observes the removal of up to
    /// [`ServerOptions::budget`](presence_proto::server::ServerOptions::budget) members; the rest are
    /// removed at once after that.
    pub fn kick(
        &self,
        channel: impl Into<SmolStr>,
        client_id: Option<SmolStr>,
        connection_id: Option<SmolStr>,
    ) {
        self.core.input(Input::kick(channel, client_id, connection_id));
    }

    /// Returns the counters of the app's core.
    ///
    /// # Errors
    ///
    /// 50003 if the core has stopped.
    pub async fn counters(&self) -> Result<Counters, ErrorInfo> {
        self.read(Server::counters).await
    }

    /// Disconnects all connections, spread evenly over `over`, so that they reconnect elsewhere.
    pub(crate) fn drain(&self, over: Duration) {
        self.core.input(Input::drain(over));
    }
}
