//! The apps that the server serves. Each has keys and a core of its own, and with it channels,
//! members, histories, connections and limits: nothing of one can be reached from another.

use crate::{
    credentials::Credentials,
    host::Handle,
    jwt,
    keys::{self, Grant, Keys},
    problem::error,
    store::Store,
};
use presence_proto::wire::codes;
use presence_proto::{
    UnixMillis,
    server::{Counters, HistoryPage, HistoryQuery, Input, Server},
    wire::ErrorInfo,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tracing::error;

/// An app.
pub(crate) struct App {
    pub(crate) keys: Arc<Keys>,
    pub(crate) core: Handle,
    pub(crate) store: Option<Arc<Store>>,
}

impl App {
    /// What the core answers.
    ///
    /// # Errors
    ///
    /// 50003 if it has stopped.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Server) -> T + Send + 'static,
    ) -> Result<T, ErrorInfo> {
        let stopped = || error(codes::TIMEOUT_ERROR, 503, "The server is stopping");
        self.core.ask(question).await.ok_or_else(stopped)
    }

    /// A page of a channel's history: from the store if there is one, else from memory.
    ///
    /// # Errors
    ///
    /// As the core, or the store, has them.
    pub(crate) async fn history(
        &self,
        channel: String,
        query: HistoryQuery,
    ) -> Result<HistoryPage, ErrorInfo> {
        let Some(store) = self.store.clone() else {
            return self.ask(move |server| server.history(&channel, &query)).await?;
        };
        tokio::task::spawn_blocking(move || store.history(&channel, &query)).await.map_err(
            |failure| {
                error!("the history cannot be read: {failure}");
                error(codes::INTERNAL_ERROR, 500, "The history cannot be read")
            },
        )?
    }
}

/// All apps, by their names. There is one for each that the operator gave a key of.
pub(crate) struct Apps(BTreeMap<String, App>);

impl Apps {
    pub(crate) fn new(apps: BTreeMap<String, App>) -> Self {
        Self(apps)
    }

    /// The app of a key, whether there is such a key or not.
    pub(crate) fn of_key(&self, name: &str) -> Option<&App> {
        self.0.get(keys::app_of(name)?)
    }

    /// Whose credentials these are, and what they allow now.
    ///
    /// # Errors
    ///
    /// Those of [`Keys::basic`] and [`Keys::token`], as if all apps were one.
    pub(crate) fn admit(
        &self,
        credentials: &Credentials,
        now: UnixMillis,
    ) -> Result<(&App, Grant), ErrorInfo> {
        match credentials {
            Credentials::Key(key) => {
                let app = key.split_once(':').and_then(|(name, _)| self.of_key(name));
                let app = app.ok_or_else(keys::no_such_key)?;
                Ok((app, app.keys.basic(key)?))
            }
            Credentials::Token(token) => {
                let app = self.of_key(&jwt::key_name(token).map_err(|e| keys::no_token(&e))?);
                let app = app.ok_or_else(|| keys::no_token(&"no such key"))?;
                Ok((app, app.keys.token(token, now)?))
            }
        }
    }

    /// Tells the connections of all apps to go elsewhere, over a while.
    pub(crate) fn drain(&self, over: Duration) {
        for app in self.0.values() {
            app.core.input(Input::drain(over));
        }
    }

    /// What each app counts.
    ///
    /// # Errors
    ///
    /// As [`App::ask`].
    pub(crate) async fn counters(&self) -> Result<Vec<(&str, Counters)>, ErrorInfo> {
        let mut counters = Vec::with_capacity(self.0.len());
        for (name, app) in &self.0 {
            counters.push((name.as_str(), app.ask(|server| server.counters()).await?));
        }
        Ok(counters)
    }
}
