//! The connection: its states, and the details received from the server.

use super::recovery::RecoveryKey;
use super::{ClientOptions, ConnectionState};
use crate::wire::{ConnectionDetails, ErrorInfo, Params};
use crate::{OpId, SmolStr, TransportId};
use alloc::vec::Vec;
use core::fmt::Debug;
use core::time::Duration;

/// The cause of a state change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The application connects or authorizes, or the network is available (RTN11, RTC8c, RTN20b).
    Connect,
    /// The retry delay has elapsed (RTN14d, RTN14e), or the retry is immediate (RTN15a).
    Retry,
    /// CONNECTED received.
    Connected,
    /// The attempt failed within `connectionStateTtl` (RTN14d).
    AttemptFailed,
    /// The attempt failed after `connectionStateTtl` (RTN14e).
    AttemptFailedAfterTtl,
    /// The transport was lost (RTN15a), or the server sent DISCONNECTED (RTN15h).
    TransportLost,
    /// `connectionStateTtl` has expired (RTN14e).
    TtlExpired,
    /// An error that is not retried (RTN14g, RTN15j).
    Fatal,
    /// The application closes (RTN12).
    Close,
    /// The close is complete: CLOSED received, or not awaited (RTN12a–d).
    CloseCompleted,
}

use Cause as C;
use ConnectionState as S;

/// The transition table. A pair of state and cause without an entry changes nothing.
pub(super) const TRANSITIONS: &[(S, Cause, S)] = &[
    (S::Initialized, C::Connect, S::Connecting),
    (S::Connecting, C::Connected, S::Connected),
    (S::Connecting, C::AttemptFailed, S::Disconnected),
    (S::Connecting, C::AttemptFailedAfterTtl, S::Suspended),
    (S::Connecting, C::TtlExpired, S::Suspended),
    (S::Connecting, C::Fatal, S::Failed),
    (S::Connecting, C::Close, S::Closing),
    (S::Connected, C::TransportLost, S::Disconnected),
    (S::Connected, C::Fatal, S::Failed),
    (S::Connected, C::Close, S::Closing),
    (S::Disconnected, C::Retry, S::Connecting),
    (S::Disconnected, C::Connect, S::Connecting),
    (S::Disconnected, C::TtlExpired, S::Suspended),
    (S::Disconnected, C::Close, S::Closing),
    (S::Suspended, C::Retry, S::Connecting),
    (S::Suspended, C::Connect, S::Connecting),
    (S::Suspended, C::Close, S::Closing),
    (S::Closing, C::CloseCompleted, S::Closed),
    (S::Closing, C::Connect, S::Connecting),
    (S::Closed, C::Connect, S::Connecting),
    (S::Failed, C::Connect, S::Connecting),
];

/// The next state; `None` if the cause changes nothing.
pub(super) fn next_state(state: S, cause: Cause) -> Option<S> {
    TRANSITIONS.iter().find(|&&(from, by, _)| from == state && by == cause).map(|&(.., to)| to)
}

/// The purpose of a requested token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenPurpose {
    /// A connection attempt (RTN14b, RTN15h2).
    Connect,
    /// An AUTH on the established connection (RTN22).
    Auth,
}

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) state: ConnectionState,
    /// The connection id (RTN8).
    pub(super) id: Option<SmolStr>,
    /// The connection key (RTN9).
    pub(super) key: Option<SmolStr>,
    /// The client id granted by the server (RSA12).
    pub(super) client_id: Option<SmolStr>,
    /// The reason of the last state change with one (RTN25).
    pub(super) error_reason: Option<ErrorInfo>,
    /// The current transport, requested or open.
    pub(super) transport: Option<TransportId>,
    last_transport: u64,
    /// `connectionStateTtl` of CONNECTED (CD2f), or of the options.
    pub(super) state_ttl: Duration,
    /// `maxIdleInterval` of CONNECTED (CD2h); `None` without an idle timeout.
    pub(super) max_idle: Option<Duration>,
    /// `maxMessageSize` of CONNECTED (CD2c), or of the options. In bytes.
    pub(super) max_message_size: u64,
    /// Failed attempts since the last CONNECTED, for the back-off (RTB1).
    pub(super) attempts: u32,
    /// `connectionStateTtl` has expired without a connection: a failed attempt returns to SUSPENDED
    /// (RTN14f).
    pub(super) ttl_expired: bool,
    /// CLOSE was sent on the current transport (RTN12a).
    pub(super) close_sent: bool,
    /// The recovery key, until the first CONNECTED (RTN16k).
    pub(super) recover: Option<RecoveryKey>,
    pub(super) token: Option<SmolStr>,
    /// The server rejected the token: the next attempt requires a new one.
    pub(super) token_rejected: bool,
    /// A token was requested for an attempt since the last CONNECTED (RTN14b).
    pub(super) token_renewed: bool,
    /// A token was requested from the host, which has not answered yet.
    pub(super) token_request: Option<TokenPurpose>,
    /// `Authorize` operations that wait for the server's answer (RTC8a3).
    pub(super) pending_authorize: Vec<OpId>,
    /// Events in a state in which they cannot occur: bugs of this crate.
    pub(super) internal_errors: usize,
}

impl Connection {
    pub(super) fn new(options: &ClientOptions) -> Self {
        Self {
            state: ConnectionState::Initialized,
            id: None,
            key: None,
            client_id: None,
            error_reason: None,
            transport: None,
            last_transport: 0,
            state_ttl: options.connection_state_ttl,
            max_idle: None,
            max_message_size: options.max_message_size,
            attempts: 0,
            ttl_expired: false,
            close_sent: false,
            recover: None,
            token: options.token.clone(),
            token_rejected: false,
            token_renewed: false,
            token_request: None,
            pending_authorize: Vec::new(),
            internal_errors: 0,
        }
    }

    /// Applies the transition table and returns the previous state; `None` if the cause changes
    /// nothing. The caller updates the channels before it emits the change (RTL3d1).
    pub(super) fn try_transition(&mut self, cause: Cause) -> Option<ConnectionState> {
        let next = next_state(self.state, cause)?;
        Some(core::mem::replace(&mut self.state, next))
    }

    /// Like [`try_transition`](Self::try_transition), for a cause that must have a transition.
    pub(super) fn transition(&mut self, cause: Cause) -> ConnectionState {
        self.try_transition(cause).unwrap_or_else(|| {
            self.internal_error(cause);
            self.state
        })
    }

    /// Counts an event that cannot occur in this state.
    #[cold]
    pub(super) fn internal_error(&mut self, what: impl Debug) {
        debug_assert!(false, "{what:?} in {}", self.state);
        self.internal_errors = self.internal_errors.saturating_add(1);
    }

    pub(super) const fn is_connected(&self) -> bool {
        matches!(self.state, ConnectionState::Connected)
    }

    /// The transport, if the connection is CONNECTED.
    pub(super) fn connected_transport(&self) -> Option<TransportId> {
        self.transport.filter(|_| self.is_connected())
    }

    /// Allocates the number of a new current transport.
    pub(super) fn new_transport(&mut self) -> TransportId {
        self.last_transport = self.last_transport.saturating_add(1);
        let id = TransportId(self.last_transport);
        self.transport = Some(id);
        self.close_sent = false;
        id
    }

    /// Whether the client ever requested this transport.
    pub(super) const fn has_requested(&self, transport: TransportId) -> bool {
        transport.0 != 0 && transport.0 <= self.last_transport
    }

    /// The client id of the connection, if known: the one granted by the server. Before CONNECTED,
    /// and with a wildcard grant, the one in the options; otherwise the wildcard.
    pub(super) fn identity<'a>(&'a self, options: &'a ClientOptions) -> Option<&'a SmolStr> {
        let granted = self.client_id.as_ref();
        granted.filter(|granted| *granted != "*").or(options.client_id.as_ref()).or(granted)
    }

    /// Applies the details in CONNECTED (RTN15e, RTN21, RTN24). Absent fields change nothing.
    pub(super) fn apply_details(&mut self, details: Option<&ConnectionDetails>) {
        let Some(details) = details else { return };
        if details.client_id.is_some() {
            self.client_id.clone_from(&details.client_id);
        }
        if details.connection_key.is_some() {
            self.key.clone_from(&details.connection_key);
        }
        if let Some(size) = details.max_message_size {
            self.max_message_size = size;
        }
        if let Some(ttl) = details.connection_state_ttl {
            self.state_ttl = Duration::from_millis(ttl);
        }
        if let Some(interval) = details.max_idle_interval {
            self.max_idle = (interval > 0).then_some(Duration::from_millis(interval));
        }
    }

    /// Clears id and key, for CLOSING, CLOSED and FAILED (RTN8d, RTN9d).
    pub(super) fn clear_id(&mut self) {
        self.id = None;
        self.key = None;
    }

    /// Clears everything that belongs to the ended connection.
    pub(super) fn reset(&mut self, options: &ClientOptions) {
        self.clear_id();
        self.client_id = None;
        self.state_ttl = options.connection_state_ttl;
        self.max_message_size = options.max_message_size;
        self.attempts = 0;
        self.ttl_expired = false;
        self.recover = None;
        self.token_renewed = false;
        self.token_request = None;
    }

    /// The query parameters of the next transport (RTN2).
    pub(super) fn params(&self, options: &ClientOptions) -> Params {
        let flag = |on: bool| SmolStr::new_static(if on { "true" } else { "false" });
        let mut params = Params::new();
        let mut push = |name: &'static str, value: SmolStr| {
            params.push((SmolStr::new_static(name), value));
        };
        push("v", SmolStr::new_static("6"));
        push("format", SmolStr::new_static(options.format.name()));
        push("heartbeats", flag(!options.observes_pings));
        push("echo", flag(options.echo_messages));
        if let Some(client_id) = &options.client_id {
            push("clientId", client_id.clone());
        }
        if let Some(key) = &self.key {
            // RTN15b1. Also after SUSPENDED (RTN14h).
            push("resume", key.clone());
        } else if let Some(recover) = &self.recover {
            push("recover", recover.connection_key.clone());
        }
        if let Some(token) = &self.token {
            push("accessToken", token.clone());
        }
        for (name, value) in &options.transport_params {
            // RTC1f1
            match params.iter_mut().find(|(existing, _)| existing == name) {
                Some(param) => param.1 = value.clone(),
                None => params.push((name.clone(), value.clone())),
            }
        }
        params
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transitions_are_unambiguous() {
        for (n, &(from, by, to)) in TRANSITIONS.iter().enumerate() {
            assert_ne!(from, to, "{from} {by:?}");
            let same = |&&(other, cause, _): &&(S, Cause, S)| (other, cause) == (from, by);
            assert_eq!(TRANSITIONS.iter().filter(same).count(), 1, "entry {n}: {from} {by:?}");
        }
    }

    #[test]
    fn every_state_is_reachable_and_not_final() {
        for &state in S::ALL {
            let begins = state == S::Initialized;
            assert!(begins || TRANSITIONS.iter().any(|&(.., to)| to == state), "{state}");
            assert!(TRANSITIONS.iter().any(|&(from, ..)| from == state), "{state}");
        }
    }

    /// A cause without a transition panics with debug assertions. In production it is counted and
    /// changes nothing.
    #[test]
    fn an_impossible_cause_is_counted() {
        let mut connection = Connection::new(&ClientOptions::default());
        let lost = core::panic::AssertUnwindSafe(|| connection.transition(Cause::TransportLost));
        let failed = std::panic::catch_unwind(lost).is_err();
        assert_eq!(failed, cfg!(debug_assertions));
        assert_eq!(connection.internal_errors, usize::from(!failed));
        assert_eq!(connection.state, S::Initialized);
    }
}
