//! Presence events that outlive the process.

#[cfg(feature = "store")]
mod database;
#[cfg(feature = "store")]
mod store;

#[cfg(feature = "store")]
pub use database::Database;
#[cfg(feature = "store")]
pub use store::Store;

use presence_proto::{
    SmolStr, UnixMillis,
    server::{HistoryPage, HistoryQuery, KeySecret, Output, Position, ServerEvent, output},
    wire::{ErrorInfo, PresenceMessage},
};
use std::error::Error;

/// The error of an [`EventStore`].
pub type StoreError = Box<dyn Error + Send + Sync>;

/// Keeps the presence events of an app. [`Store`] is the implementation in an embedded database.
pub trait EventStore: Send + Sync + 'static {
    /// Prepares the store for a run that begins at `now`, and returns what the core continues with.
    ///
    /// Connections do not survive a restart. So the members that the store believes present must leave
    /// here, with an event each.
    ///
    /// # Errors
    ///
    /// The store cannot be used; the node does not start.
    fn start(&self, now: UnixMillis) -> Result<Start, StoreError>;

    /// Appends events, in order. They must be durable when this returns: clients receive their
    /// acknowledgements afterwards.
    ///
    /// Called on the thread of the app's core, with the events of up to 1,024 inputs. While it runs the
    /// app does nothing else, and the next batch collects.
    ///
    /// # Errors
    ///
    /// The events are not stored. The node stops, since it could acknowledge nothing more.
    fn append(&self, events: &[StoredEvent<'_>], now: UnixMillis) -> Result<(), StoreError>;

    /// A page of a channel's history. Called on a thread that may block.
    ///
    /// # Errors
    ///
    /// 40003 for a limit of 0 or above [`MAX_PAGE`](presence_proto::server::MAX_PAGE), or a malformed
    /// serial; 50000 if the store cannot be read.
    fn history(&self, channel: &str, query: &HistoryQuery) -> Result<HistoryPage, ErrorInfo>;
}

/// What a core continues with after a restart.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Start {
    /// The serial of the first event, above all that are stored
    /// ([`ServerOptions::first_serial`](presence_proto::server::ServerOptions::first_serial)).
    pub first_serial: u64,
    /// The secret of the connection keys, so that the keys of the run before are recognized.
    pub key_secret: Option<KeySecret>,
}

/// An event to store.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StoredEvent<'a> {
    /// The channel.
    pub channel: &'a SmolStr,
    /// The position in the channel's history.
    pub position: Position,
    /// The event: an ENTER, UPDATE or LEAVE with its id and timestamp.
    pub message: &'a PresenceMessage,
}

impl<'a> StoredEvent<'a> {
    pub(crate) const fn new(
        channel: &'a SmolStr,
        position: Position,
        message: &'a PresenceMessage,
    ) -> Self {
        Self { channel, position, message }
    }

    /// The event of an output, if it belongs into the history.
    pub(crate) fn of(output: &'a Output) -> Option<Self> {
        let Output::Event(
            ServerEvent::MemberEntered(output::MemberEntered {
                channel, position, message, ..
            })
            | ServerEvent::MemberUpdated(output::MemberUpdated {
                channel, position, message, ..
            })
            | ServerEvent::MemberLeft(output::MemberLeft { channel, position, message, .. }),
        ) = output
        else {
            return None;
        };
        Some(Self::new(channel, *position, message))
    }
}
