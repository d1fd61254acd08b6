//! Time limits of peers.

use std::time::Duration;

/// Time limits of peers.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Times {
    /// For the head of a request, for its body, for the response, for the verification of credentials,
    /// and for an idle HTTP connection: each. Default: 10 s.
    pub request: Duration,
    /// For a peer that does not read, before its connection is dropped. Default: 30 s.
    pub write: Duration,
    /// For an HTTP connection in total. The request in progress may take `request` and `write` longer.
    /// WebSockets are not limited. Default: 60 s.
    pub http: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let [request, write, http] = [10, 30, 60].map(Duration::from_secs);
        Self { request, write, http }
    }
}
