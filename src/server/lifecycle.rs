//! Connections: connect, resume, authorize, close, drain.

use super::connections::{Connection, Terms};
use super::record::Record;
use super::state::ConnectionSlot;
use super::{
    Capability, ConnectRequest, Identity, LeaveCause, Misuse, Outbox, Output, Server, Token, keys,
};
use crate::slab::Key;
use crate::wire::{Action, ConnectionDetails, ErrorInfo, ProtocolMessage, codes};
use crate::{Instant, SmolStr, TransportId, UnixMillis};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

/// The progress of a drain.
#[derive(Clone, Debug)]
pub(super) struct Draining {
    start: Instant,
    duration: Duration,
    /// Transports at the start, and those disconnected so far.
    total: u64,
    disconnected: u64,
    /// The next slot to check; `None` when all are checked.
    cursor: Option<u32>,
}

impl Draining {
    /// The time of the next disconnection, evenly spread over the duration.
    pub(super) fn next(&self) -> Option<Instant> {
        self.cursor?;
        let share = self.duration.as_millis().saturating_mul(self.disconnected.into())
            / u128::from(self.total.max(1));
        Some(self.start + Duration::from_millis(u64::try_from(share).unwrap_or(u64::MAX)))
    }
}

impl Server {
    pub(super) fn open(
        &mut self,
        transport: TransportId,
        mut request: ConnectRequest,
        out: &mut Outbox,
    ) {
        if self.connections.by_transport(transport).is_some() {
            self.misuse(Misuse::TransportInUse(transport), out);
            return;
        }
        self.highest_transport = self.highest_transport.max(Some(transport.0));
        if self.draining.is_some() {
            let error = ErrorInfo::new(codes::TIMEOUT_ERROR, 503, "The server is about to stop");
            self.refuse(transport, error, out);
            return;
        }
        if !self.takes_clients() {
            let error = ErrorInfo::new(codes::TIMEOUT_ERROR, 503, "The server is not ready");
            self.refuse(transport, error, out);
            return;
        }
        request.identity = request.identity.normalized();
        let key = request.resume.take().or_else(|| request.recover.take());
        let terms = self.terms(&request);
        let found = key.as_deref().map(|key| self.find_resumable(key, &request.identity, out));
        match (found, key) {
            (Some(Ok(Resumable::Here(slot))), Some(key)) => {
                self.resume(slot, transport, request.identity, terms, key, out);
            }
            (Some(Ok(Resumable::Elsewhere(id))), Some(key)) => {
                self.request_adoption(&id, key, transport, request.identity, terms, out);
            }
            (found, _) => {
                let error = found.and_then(Result::err);
                self.start(transport, request.identity, terms, error, out);
            }
        }
    }

    fn terms(&self, request: &ConnectRequest) -> Terms {
        let config = &self.options;
        let grace_period = request
            .remain_present_for
            .unwrap_or(config.remain_present_for)
            .max(config.min_remain_present_for)
            .min(config.connection_state_ttl);
        let idle = request.heartbeat_interval.map_or(config.idle_interval, |idle| {
            idle.max(config.min_idle_interval).min(config.max_idle_interval)
        });
        let expires_at = request.token_expires.map(|time| self.deadline_of(time));
        Terms {
            capability: Arc::clone(&request.capability),
            echo: request.echo,
            heartbeats: request.heartbeats,
            grace_period,
            // An idle interval of zero would make a ping due in every call.
            idle: idle.max(Duration::from_millis(1)),
            expires_at,
            reauthorize_at: expires_at.map(|at| at - config.reauthorize_before),
        }
    }

    /// Finds the connection of a key. Errors: 80008 if the connection has expired, 80018 if the key
    /// or the identity does not match.
    fn find_resumable(
        &mut self,
        key: &str,
        identity: &Identity,
        out: &mut Outbox,
    ) -> Result<Resumable, ErrorInfo> {
        let (id, proof) = keys::parse(key).ok_or_else(invalid_key)?;
        if self.has_log() {
            return self.find_in_log(id, &proof, identity, out);
        }
        // Expires it first: its timer may be due but beyond the budget.
        let found = self.state.by_id(id).filter(|slot| !self.expire_now(*slot, out));
        if let Some(slot) = found {
            let connection = self.connections.get(slot);
            if keys::equal(connection.proof(), &proof) && connection.identity() == identity {
                return Ok(Resumable::Here(slot));
            }
            return Err(invalid_key());
        }
        if keys::equal(&self.keys.proof(id, identity), &proof) {
            return Err(expired());
        }
        Err(invalid_key())
    }

    /// Finds the connection of a key on this node or another: they share the secret of the keys.
    fn find_in_log(
        &mut self,
        id: &str,
        proof: &keys::Proof,
        identity: &Identity,
        out: &mut Outbox,
    ) -> Result<Resumable, ErrorInfo> {
        if !keys::equal(&self.keys.proof(id, identity), proof) {
            return Err(invalid_key());
        }
        let found = self.state.by_id(id);
        let here = found.filter(|slot| self.connections.try_get(*slot).is_some());
        match here {
            Some(slot) if self.expire_now(slot, out) => Err(expired()),
            Some(slot) => Ok(Resumable::Here(slot)),
            None if self.state.has_ended(id) => Err(expired()),
            None => Ok(Resumable::Elsewhere(id.into())),
        }
    }

    fn resume(
        &mut self,
        slot: ConnectionSlot,
        transport: TransportId,
        identity: Identity,
        terms: Terms,
        key: SmolStr,
        out: &mut Outbox,
    ) {
        self.counters.opened += 1;
        // The new transport replaces an open one. The old peer receives no frame, and the members
        // stay.
        if let Some(old) = self.connections.get(slot).transport() {
            out.push(Output::close(old));
            self.lose_transport(old, out);
        }
        if self.is_adopting(slot) {
            return self.resume_adopting(slot, transport, terms, key);
        }
        self.counters.resumed += 1;
        let now = self.now.mono;
        let connection = self.connections.get_mut(slot);
        connection.set_identity(identity);
        let changed = *connection.capability() != terms.capability;
        connection.set_terms(terms);
        if connection.first_attachment().is_some() {
            // Members leave if their channels are not attached again within the grace period.
            connection.start_grace(now);
        } else {
            connection.end_grace();
        }
        self.connections.bind(slot, transport, now);
        if changed {
            self.capability_changed(slot, out);
        }
        self.send_connected(slot, Some(key), None, out);
        self.arm(slot);
    }

    pub(super) fn start(
        &mut self,
        transport: TransportId,
        identity: Identity,
        terms: Terms,
        error: Option<ErrorInfo>,
        out: &mut Outbox,
    ) {
        if self.connections.len() >= self.options.limits.connections {
            self.counters.limited += 1;
            self.refuse(transport, no_room(), out);
            return;
        }
        let mut id = self.keys.connection_id();
        while self.state.by_id(&id).is_some() || self.state.is_reserved(&id) {
            id = self.keys.connection_id();
        }
        let proof = self.keys.proof(&id, &identity);
        let Some(slot) = self.state.open_connection(id) else {
            self.refuse(transport, no_room(), out);
            return;
        };
        self.connections.insert(slot, Connection::new(proof, identity, terms));
        self.connections.bind(slot, transport, self.now.mono);
        self.counters.opened += 1;
        self.counters.resume_failed += u64::from(error.is_some());
        self.send_connected(slot, None, error, out);
        self.arm(slot);
    }

    pub(super) fn refuse(&mut self, transport: TransportId, error: ErrorInfo, out: &mut Outbox) {
        self.counters.refused += 1;
        let frame = ProtocolMessage {
            error: Some(Box::new(error)),
            ..ProtocolMessage::new(Action::Disconnected)
        };
        self.send_to(transport, frame, out);
        out.push(Output::close(transport));
    }

    /// Sends CONNECTED with complete details (CD2): first on a transport, and again after a change
    /// of rights (RTN24).
    pub(super) fn send_connected(
        &mut self,
        slot: ConnectionSlot,
        key: Option<SmolStr>,
        error: Option<ErrorInfo>,
        out: &mut Outbox,
    ) {
        let config = &self.options;
        let connection = self.connections.get(slot);
        let Some(transport) = connection.transport() else {
            return self.broken("CONNECTED goes to a transport");
        };
        let id = self.state.connection(slot).id();
        let limits = &config.limits;
        let details = ConnectionDetails {
            client_id: connection.identity().client_id().map(SmolStr::from),
            connection_key: Some(key.unwrap_or_else(|| keys::key(id, connection.proof()))),
            max_message_size: Some(limits.message_size as u64),
            max_frame_size: Some(limits.frame_size as u64),
            max_inbound_rate: (limits.inbound.per_second > 0)
                .then(|| limits.inbound.per_second.into()),
            connection_state_ttl: Some(millis(config.connection_state_ttl)),
            max_idle_interval: Some(connection.idle()),
            server_id: Some(config.node.clone()),
            site_code: config.site_code.clone(),
            ..ConnectionDetails::default()
        };
        let frame = ProtocolMessage {
            connection_id: Some(id.clone()),
            connection_details: Some(Box::new(details)),
            error: error.map(Box::new),
            ..ProtocolMessage::new(Action::Connected)
        };
        self.send_to(transport, frame, out);
    }

    /// Unbinds a transport: the connection can be resumed, and the grace period of its members
    /// starts. Returns whether the transport was open.
    pub(super) fn transport_lost(&mut self, transport: TransportId, out: &mut Outbox) -> bool {
        let now = self.now.mono;
        let Some(slot) = self.connections.unbind(transport, now) else { return false };
        let connection = self.connections.get_mut(slot);
        if self.state.connection(slot).has_members() || connection.frames_in_log() > 0 {
            connection.start_grace(now);
        }
        self.deactivate_all(slot, out);
        self.arm(slot);
        true
    }

    /// Unbinds the transport of a connection.
    pub(super) fn lose_transport(&mut self, transport: TransportId, out: &mut Outbox) {
        if !self.transport_lost(transport, out) {
            self.broken("the transport of a connection is open");
        }
    }

    /// CLOSE from the client (RTN12a): members leave at once; then CLOSED is sent.
    pub(super) fn close(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        self.deactivate_all(slot, out);
        self.end(slot, LeaveCause::Closed, out);
    }

    /// Ends a connection: removes its members within the budget (the rest is due at once), then the
    /// connection, and sends CLOSED if a transport is left. Returns whether it is complete.
    pub(super) fn end(
        &mut self,
        slot: ConnectionSlot,
        cause: LeaveCause,
        out: &mut Outbox,
    ) -> bool {
        if self.has_log() && self.request_end(slot, cause) {
            return false;
        }
        while let Some(attachment) = self.connections.get(slot).first_attachment() {
            if !self.remove_all(attachment, cause, out) {
                self.postpone_end(slot, cause);
                return false;
            }
            self.remove_attachment(attachment, out);
        }
        self.end_here(slot, out);
        true
    }

    /// Ends a connection without members on this node.
    pub(super) fn end_here(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        while let Some(attachment) = self.connections.get(slot).first_attachment() {
            self.remove_attachment(attachment, out);
        }
        // Others have ended it if this node did not want to.
        let is_own = !self.has_log() || self.connections.get(slot).is_ending();
        let transport = self.connections.get(slot).transport();
        if let Some(transport) = transport {
            self.lose_transport(transport, out);
        }
        self.timers.cancel_connection(slot);
        self.connections.remove(slot);
        if self.state.owner(slot) == 0 {
            self.state.close_connection(slot);
        }
        if let Some(transport) = transport {
            let action = if is_own { Action::Closed } else { Action::Disconnected };
            self.send_to(transport, ProtocolMessage::new(action), out);
            out.push(Output::close(transport));
        }
    }

    /// Proposes the end of a connection that the log knows. Returns whether it does.
    fn request_end(&mut self, slot: ConnectionSlot, cause: LeaveCause) -> bool {
        let connection = self.connections.get(slot);
        let is_known =
            connection.announced() != 0 || connection.frames_in_log() > 0 || self.is_adopting(slot);
        self.postpone_end(slot, cause);
        if is_known {
            if self.work(slot).awaited == 0 {
                let connection = self.state.connection(slot).id().clone();
                self.propose_work(slot, Record::End { connection, cause });
            }
        } else {
            let connection = self.state.connection(slot).id().clone();
            self.propose(Record::End { connection, cause });
        }
        is_known
    }

    /// AUTH from the client (RTC8a): asks the host to verify the token.
    pub(super) fn auth_frame(
        &mut self,
        slot: ConnectionSlot,
        frame: ProtocolMessage,
        out: &mut Outbox,
    ) {
        let Some(transport) = self.connections.get(slot).transport() else {
            return self.broken("AUTH comes from a transport");
        };
        match frame.auth.and_then(|auth| auth.access_token).filter(|token| !token.is_empty()) {
            Some(token) => {
                out.push(Output::authenticate(transport, Token(token)));
            }
            None => {
                self.counters.protocol_errors += 1;
                self.fail(
                    slot,
                    ErrorInfo::new(codes::INVALID_CREDENTIALS, 401, "AUTH without a token"),
                    out,
                );
            }
        }
    }

    /// Applies new rights (RTC8a1): sends CONNECTED, then updates every attachment.
    pub(super) fn authorized(
        &mut self,
        slot: ConnectionSlot,
        identity: Identity,
        capability: Arc<Capability>,
        expires: Option<UnixMillis>,
        out: &mut Outbox,
    ) {
        let expires_at = expires.map(|time| self.deadline_of(time));
        let reauthorize_at = expires_at.map(|at| at - self.options.reauthorize_before);
        let connection = self.connections.get_mut(slot);
        let identity = identity.normalized();
        if identity != *connection.identity() && identity != Identity::Any {
            let message = "The new credentials are of another client id";
            self.fail(slot, ErrorInfo::new(codes::INCOMPATIBLE_CREDENTIALS, 401, message), out);
            return;
        }
        connection.authorize(capability, expires_at, reauthorize_at);
        self.send_connected(slot, None, None, out);
        self.capability_changed(slot, out);
        self.arm(slot);
    }

    pub(super) fn drain(&mut self, duration: Duration, out: &mut Outbox) {
        if self.draining.is_some() {
            return;
        }
        self.propose(Record::Leaving);
        self.draining = Some(Draining {
            start: self.now.mono,
            duration,
            total: self.connections.transports() as u64,
            disconnected: 0,
            cursor: Some(0),
        });
        self.drain_due(out);
    }

    /// Disconnects the transports that are due in a drain.
    pub(super) fn drain_due(&mut self, out: &mut Outbox) {
        while self.budget > 0 {
            let Some(draining) = &mut self.draining else { return };
            if draining.next().is_none_or(|next| next > self.now.mono) {
                return;
            }
            self.budget -= 1;
            let Some((slot, connection)) =
                draining.cursor.and_then(|cursor| self.connections.next_from(cursor))
            else {
                draining.cursor = None;
                return;
            };
            draining.cursor = slot.number().checked_add(1);
            if connection.transport().is_some() {
                draining.disconnected += 1;
                let error =
                    ErrorInfo::new(codes::TIMEOUT_ERROR, 503, "The server is about to stop");
                self.disconnect(slot, error, out);
            }
        }
    }
}

/// A connection that can be resumed.
enum Resumable {
    Here(ConnectionSlot),
    /// By its id: it is on another node, or was.
    Elsewhere(SmolStr),
}

pub(super) fn no_room() -> ErrorInfo {
    let message = "The server has reached its limit of connections";
    ErrorInfo::new(codes::TIMEOUT_ERROR, 503, message)
}

fn invalid_key() -> ErrorInfo {
    let message = "Unable to resume the connection: the key is not valid";
    ErrorInfo::new(codes::INVALID_CONNECTION_KEY, 400, message)
}

pub(super) fn expired() -> ErrorInfo {
    let message = "Unable to resume the connection: it has expired";
    ErrorInfo::new(codes::CONNECTION_RECOVERY_FAILED, 400, message)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
