//! The server half: the presence authority.
//!
//! A [`Server`] holds the member sets of all channels, tells every subscriber of changes, syncs
//! newcomers, keeps members through short disconnections and removes them when their grace ends.
//! It knows nothing of sockets: the host gives it [`Input`]s and carries out its [`Output`]s.

mod access;
mod config;
mod counters;
mod input;
mod occupancy;
mod output;
mod query;
mod recipients;

pub use access::{Capability, Identity, Operations};
pub use config::{CoalesceRule, HistoryConfig, KeySecret, Limits, Rate, ServerConfig};
pub use counters::Counters;
pub use input::{ConnectRequest, Input};
pub use occupancy::Occupancy;
pub use output::{LeaveCause, Misuse, Output, Position, ServerEvent, Token};
pub use query::{
    Direction, HistoryPage, HistoryQuery, MAX_PAGE, ParsePositionError, PresencePage, PresenceQuery,
};
pub use recipients::Recipients;

use crate::wire::ErrorInfo;
use crate::{Now, SmolStr, TransportId, Wake};

/// The outbox that a [`Server`] puts its outputs into.
pub type Outbox = crate::Outbox<Output>;

/// The presence authority for any number of channels. See the [module](self).
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    now: Now,
    counters: Counters,
}

impl Server {
    /// A server. The seed, which must be unpredictable and never used twice, is where connection
    /// ids and, if the configuration has no secret, connection keys come from.
    #[must_use]
    pub fn new(config: ServerConfig, seed: [u8; 32]) -> Self {
        let _ = seed;
        Self { config, now: Now::default(), counters: Counters::default() }
    }

    /// Fires what is due, applies the input, and tells when to call again.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Outbox) -> Wake {
        self.now = now;
        let _ = (input, out);
        Wake::at_opt(None)
    }

    /// The settings in force.
    #[must_use]
    pub const fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// What the server counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Some of the members of a channel (RSP3); none of a channel that nobody knows.
    ///
    /// # Errors
    ///
    /// 40003 if the limit is zero or above [`MAX_PAGE`].
    pub fn presence(
        &self,
        channel: &str,
        query: &PresenceQuery,
    ) -> Result<PresencePage, ErrorInfo> {
        let _ = (channel, query);
        Ok(PresencePage::default())
    }

    /// Some of the presence events of a channel that memory holds (RSP4); none of a channel that
    /// nobody knows.
    ///
    /// # Errors
    ///
    /// 40003 if the limit is zero or above [`MAX_PAGE`], or a serial is malformed; 90008 if the
    /// events until that attach are no longer in memory.
    pub fn history(&self, channel: &str, query: &HistoryQuery) -> Result<HistoryPage, ErrorInfo> {
        let _ = (channel, query);
        Ok(HistoryPage::default())
    }

    /// How many of each kind use a channel now; zeros for a channel that nobody knows.
    #[must_use]
    pub fn occupancy(&self, channel: &str) -> Occupancy {
        let _ = channel;
        Occupancy::default()
    }

    /// The id of the connection that a transport serves.
    #[must_use]
    pub fn connection_id(&self, transport: TransportId) -> Option<&SmolStr> {
        let _ = transport;
        None
    }
}
