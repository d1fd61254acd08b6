//! Connection details (CD) and authentication details (AD).

use crate::SmolStr;

/// Connection details in CONNECTED (CD2). They override the client's defaults (RTN21).
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionDetails {
    /// The client id: `None` is anonymous, `*` may act for any client id (CD2a).
    pub client_id: Option<SmolStr>,
    /// The connection key, for resume and recovery (CD2b). A secret.
    pub connection_key: Option<SmolStr>,
    /// Maximum size of a message or presence message, in bytes (CD2c, TO3l8).
    pub max_message_size: Option<u64>,
    /// Maximum size of a frame, in bytes (CD2d).
    pub max_frame_size: Option<u64>,
    /// Maximum rate of messages from this connection, per second (CD2e).
    pub max_inbound_rate: Option<u64>,
    /// Time that the server keeps the state of a lost connection, in milliseconds (CD2f).
    pub connection_state_ttl: Option<u64>,
    /// Maximum interval without activity of the server, in milliseconds; zero for no limit (CD2h).
    pub max_idle_interval: Option<u64>,
    /// Identifies the server, for support (CD2g).
    pub server_id: Option<SmolStr>,
    /// Identifies the site of the server, for support (CD2j).
    pub site_code: Option<SmolStr>,
    /// Grace period for the garbage collection of shared objects, in milliseconds (CD2i). Passed
    /// through.
    pub objects_gc_grace_period: Option<u64>,
}

impl core::fmt::Debug for ConnectionDetails {
    /// Does not show the key: logs must not hold credentials.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ConnectionDetails")
            .field("client_id", &self.client_id)
            .field("connection_key", &self.connection_key.as_ref().map(|_| "…"))
            .field("max_message_size", &self.max_message_size)
            .field("max_frame_size", &self.max_frame_size)
            .field("max_inbound_rate", &self.max_inbound_rate)
            .field("connection_state_ttl", &self.connection_state_ttl)
            .field("max_idle_interval", &self.max_idle_interval)
            .field("server_id", &self.server_id)
            .field("site_code", &self.site_code)
            .field("objects_gc_grace_period", &self.objects_gc_grace_period)
            .finish()
    }
}

/// Credentials in an AUTH message (AD2).
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthDetails {
    /// The new token.
    pub access_token: Option<SmolStr>,
}

impl core::fmt::Debug for AuthDetails {
    /// Does not show the token: logs must not hold credentials.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AuthDetails")
            .field("access_token", &self.access_token.as_ref().map(|_| "…"))
            .finish()
    }
}
