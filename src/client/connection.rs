//! The connection: its states, and what the server has granted of it.

use super::recovery::RecoveryKey;
use super::{ClientOptions, ConnectionState};
use crate::wire::{ConnectionDetails, ErrorInfo, Params};
use crate::{OpId, SmolStr, TransportId};
use alloc::vec::Vec;
use core::fmt::Debug;
use core::time::Duration;

/// What makes a connection change its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The application connects or authorizes, or the network is back (RTN11, RTC8c, RTN20b).
    Connect,
    /// The delay before the next attempt is over (RTN14d, RTN14e), or there is none (RTN15a).
    Retry,
    /// CONNECTED has come.
    Connected,
    /// The attempt has failed, within `connectionStateTtl` (RTN14d).
    AttemptFailed,
    /// The attempt has failed, after `connectionStateTtl` (RTN14e).
    AttemptFailedLate,
    /// The transport is lost (RTN15a), or the server lets go of it (RTN15h).
    Lost,
    /// `connectionStateTtl` is over (RTN14e).
    TtlOver,
    /// An error that trying again does not mend (RTN14g, RTN15j).
    Fatal,
    /// The application closes (RTN12).
    Close,
    /// CLOSED has come, or it need not be waited for (RTN12a–d).
    Ended,
}

use Cause as C;
use ConnectionState as S;

/// What follows a state, by cause. What is not here changes nothing.
pub(super) const TRANSITIONS: &[(S, Cause, S)] = &[
    (S::Initialized, C::Connect, S::Connecting),
    (S::Connecting, C::Connected, S::Connected),
    (S::Connecting, C::AttemptFailed, S::Disconnected),
    (S::Connecting, C::AttemptFailedLate, S::Suspended),
    (S::Connecting, C::TtlOver, S::Suspended),
    (S::Connecting, C::Fatal, S::Failed),
    (S::Connecting, C::Close, S::Closing),
    (S::Connected, C::Lost, S::Disconnected),
    (S::Connected, C::Fatal, S::Failed),
    (S::Connected, C::Close, S::Closing),
    (S::Disconnected, C::Retry, S::Connecting),
    (S::Disconnected, C::Connect, S::Connecting),
    (S::Disconnected, C::TtlOver, S::Suspended),
    (S::Disconnected, C::Close, S::Closing),
    (S::Suspended, C::Retry, S::Connecting),
    (S::Suspended, C::Connect, S::Connecting),
    (S::Suspended, C::Close, S::Closing),
    (S::Closing, C::Ended, S::Closed),
    (S::Closing, C::Connect, S::Connecting),
    (S::Closed, C::Connect, S::Connecting),
    (S::Failed, C::Connect, S::Connecting),
];

/// The state that follows, if the cause changes anything.
pub(super) fn next_state(state: S, cause: Cause) -> Option<S> {
    TRANSITIONS.iter().find(|&&(from, by, _)| from == state && by == cause).map(|&(.., to)| to)
}

/// What a new token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenPurpose {
    /// To connect with (RTN14b, RTN15h2).
    Connect,
    /// For an AUTH on the connection as it is (RTN22).
    Auth,
}

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) state: ConnectionState,
    /// RTN8.
    pub(super) id: Option<SmolStr>,
    /// RTN9.
    pub(super) key: Option<SmolStr>,
    /// The identity that the server has granted (RSA12).
    pub(super) client_id: Option<SmolStr>,
    /// RTN25.
    pub(super) error_reason: Option<ErrorInfo>,
    /// The transport that was asked for last, until it is given up or lost.
    pub(super) transport: Option<TransportId>,
    last_transport: u64,
    /// CD2f, or the default.
    pub(super) state_ttl: Duration,
    /// CD2h; `None` if the server promises nothing.
    pub(super) max_idle: Option<Duration>,
    /// CD2c, or the default.
    pub(super) max_message_size: u64,
    /// Attempts since the last CONNECTED, for the back-off (RTB1).
    pub(super) attempts: u32,
    /// `connectionStateTtl` has passed without a connection: attempts that fail lead back to
    /// SUSPENDED (RTN14f).
    pub(super) ttl_expired: bool,
    /// CLOSE was sent on the present transport (RTN12a).
    pub(super) close_sent: bool,
    /// To recover with, until the first CONNECTED (RTN16k).
    pub(super) recover: Option<RecoveryKey>,
    pub(super) token: Option<SmolStr>,
    /// The server has refused the token: the next attempt needs another one.
    pub(super) token_rejected: bool,
    /// A token was renewed in this episode, which ends with CONNECTED (RTN14b).
    pub(super) token_renewed: bool,
    /// The host was asked for a token and has not answered.
    pub(super) token_request: Option<TokenPurpose>,
    /// Operations that wait for the server to accept new credentials (RTC8a3).
    pub(super) pending_authorize: Vec<OpId>,
    /// How often something came in a state that it cannot come in: a bug of this crate.
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

    /// Changes the state as the table says, and returns the previous one; `None` if the cause
    /// changes nothing. The channels follow before anybody is granted (RTL3d1).
    pub(super) fn try_transition(&mut self, cause: Cause) -> Option<ConnectionState> {
        let next = next_state(self.state, cause)?;
        Some(core::mem::replace(&mut self.state, next))
    }

    /// The same of a cause that comes only in states that it changes.
    pub(super) fn transition(&mut self, cause: Cause) -> ConnectionState {
        self.try_transition(cause).unwrap_or_else(|| {
            self.internal_error(cause);
            self.state
        })
    }

    /// Something has come in a state that it cannot come in.
    #[cold]
    pub(super) fn internal_error(&mut self, what: impl Debug) {
        debug_assert!(false, "{what:?} in {}", self.state);
        self.internal_errors = self.internal_errors.saturating_add(1);
    }

    pub(super) const fn is_connected(&self) -> bool {
        matches!(self.state, ConnectionState::Connected)
    }

    /// The transport to send on, if the connection is established.
    pub(super) fn connected_transport(&self) -> Option<TransportId> {
        self.transport.filter(|_| self.is_connected())
    }

    /// A new transport takes the place of the present one.
    pub(super) fn new_transport(&mut self) -> TransportId {
        self.last_transport = self.last_transport.saturating_add(1);
        let id = TransportId(self.last_transport);
        self.transport = Some(id);
        self.close_sent = false;
        id
    }

    /// Whether the client ever asked for this transport.
    pub(super) const fn has_requested(&self, transport: TransportId) -> bool {
        transport.0 != 0 && transport.0 <= self.last_transport
    }

    /// The identity under which the client acts, as far as it is known: that which the server has
    /// granted. Before it has, and if it leaves the choice to the client, that of the options.
    pub(super) fn identity<'a>(&'a self, options: &'a ClientOptions) -> Option<&'a SmolStr> {
        let granted = self.client_id.as_ref();
        granted.filter(|granted| *granted != "*").or(options.client_id.as_ref()).or(granted)
    }

    /// Takes over what CONNECTED tells (RTN15e, RTN21, RTN24).
    pub(super) fn apply_details(&mut self, details: Option<&ConnectionDetails>) {
        // A server need not say anything new.
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

    /// CLOSING, CLOSED and FAILED have neither id nor key (RTN8d, RTN9d).
    pub(super) fn clear_id(&mut self) {
        self.id = None;
        self.key = None;
    }

    /// Forgets the connection.
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
            // RTN15b1, and RTN14h: however long ago.
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
    fn a_cause_leads_from_a_state_to_one_other() {
        for (n, &(from, by, to)) in TRANSITIONS.iter().enumerate() {
            assert_ne!(from, to, "{from} {by:?}");
            let same = |&&(other, cause, _): &&(S, Cause, S)| (other, cause) == (from, by);
            assert_eq!(TRANSITIONS.iter().filter(same).count(), 1, "entry {n}: {from} {by:?}");
        }
    }

    #[test]
    fn every_state_can_be_reached_and_left() {
        for &state in S::ALL {
            let begins = state == S::Initialized;
            assert!(begins || TRANSITIONS.iter().any(|&(.., to)| to == state), "{state}");
            assert!(TRANSITIONS.iter().any(|&(from, ..)| from == state), "{state}");
        }
    }

    /// The rest of the client relies on where a cause can come. If it is wrong, tests fail; in
    /// production it is counted and changes nothing.
    #[test]
    fn a_cause_in_a_state_that_it_cannot_come_in_is_a_bug_and_is_counted() {
        let mut connection = Connection::new(&ClientOptions::default());
        let lost = core::panic::AssertUnwindSafe(|| connection.transition(Cause::Lost));
        let failed = std::panic::catch_unwind(lost).is_err();
        assert_eq!(failed, cfg!(debug_assertions));
        assert_eq!(connection.internal_errors, usize::from(!failed));
        assert_eq!(connection.state, S::Initialized);
    }
}
