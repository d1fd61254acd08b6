//! An app of a node.

use crate::{EventStore, driver::Handle, response::error};
use presence_proto::{
    SmolStr,
    server::{Counters, HistoryPage, HistoryQuery, Input, Server},
    wire::{ErrorInfo, codes},
};
use std::{fmt, sync::Arc, time::Duration};
use tracing::error;

/// An app of a [`Node`](crate::Node): channels, members, histories, connections and limits of its own.
///
/// It is a handle; clones refer to the same app.
#[derive(Clone)]
pub struct App {
    pub(crate) core: Handle,
    pub(crate) store: Option<Arc<dyn EventStore>>,
    /// The limit of an inbound frame, in bytes.
    pub(crate) frame_size: usize,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("stored", &self.store.is_some()).finish_non_exhaustive()
    }
}

impl App {
    /// Reads from the app's core, for example [`Server::presence`] or [`Server::occupancy`].
    ///
    /// The closure runs on the core's thread, between two batches of inputs. It must not block.
    ///
    /// # Errors
    ///
    /// 50003 if the core has ended.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Server) -> T + Send + 'static,
    ) -> Result<T, ErrorInfo> {
        let ended = || error(codes::TIMEOUT_ERROR, 503, "The server is stopping");
        self.core.read(query).await.ok_or_else(ended)
    }

    /// A page of a channel's history: from the store if there is one, else from memory.
    ///
    /// # Errors
    ///
    /// Those of [`EventStore::history`] or [`Server::history`]; 50003 if the core has ended.
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
                error!("the history cannot be read: {failure}");
                error(codes::INTERNAL_ERROR, 500, "The history cannot be read")
            },
        )?
    }

    /// Removes members of a channel: those of this client id and this connection, `None` for any.
    /// Their clients stay connected and may enter again.
    pub fn kick(
        &self,
        channel: impl Into<SmolStr>,
        client_id: Option<SmolStr>,
        connection_id: Option<SmolStr>,
    ) {
        self.core.input(Input::kick(channel, client_id, connection_id));
    }

    /// The counters of the app's core.
    ///
    /// # Errors
    ///
    /// 50003 if the core has ended.
    pub async fn counters(&self) -> Result<Counters, ErrorInfo> {
        self.read(Server::counters).await
    }

    /// Disconnects the connections, evenly over this time, so that they reconnect elsewhere.
    pub(crate) fn drain(&self, over: Duration) {
        self.core.input(Input::drain(over));
    }
}
