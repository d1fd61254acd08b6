//! Connections that move from node to node.

use super::connections::{Adopting, Connection, Terms};
use super::record::{Origin, Record};
use super::state::{self, ChannelSlot, ConnectionSlot};
use super::{Capability, Identity, LeaveCause, Outbox, Output, Server};
use crate::wire::{ErrorInfo, Modes, ProtocolMessage, codes};
use crate::{SmolStr, TransportId};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

impl Server {
    /// A client wants to resume a connection that is not on this node. It is answered when the log
    /// has made this node the owner: then everything that the client has ever heard is applied here,
    /// and it is known whether the connection has ended.
    pub(super) fn request_adoption(
        &mut self,
        id: &str,
        key: SmolStr,
        transport: TransportId,
        identity: Identity,
        terms: Terms,
        out: &mut Outbox,
    ) {
        let found = self.state.by_id(id);
        let is_full = self.connections.len() >= self.options.limits.connections;
        let Some(slot) =
            found.or_else(|| self.state.open_connection(id.into())).filter(|_| !is_full)
        else {
            self.counters.limited += u64::from(is_full);
            self.refuse(transport, super::lifecycle::no_room(), out);
            return;
        };
        let proof = self.keys.proof(id, &identity);
        self.connections.insert(slot, Connection::new(proof, identity, terms.clone()));
        self.connections.bind(slot, transport, self.now.mono);
        self.counters.opened += 1;
        let adopt = self.adoption(slot);
        self.propose_work(slot, Record::Adopt(adopt));
        self.work(slot).adopting = Some(Box::new(Adopting { key, terms }));
        self.arm(slot);
    }

    /// A client comes again while its connection is not adopted yet.
    pub(super) fn resume_adopting(
        &mut self,
        slot: ConnectionSlot,
        transport: TransportId,
        terms: Terms,
        key: SmolStr,
    ) {
        self.connections.get_mut(slot).set_terms(terms.clone());
        self.connections.bind(slot, transport, self.now.mono);
        self.work(slot).adopting = Some(Box::new(Adopting { key, terms }));
        self.arm(slot);
    }

    /// This node has become the owner of a connection.
    pub(super) fn adopted(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        if self.connections.try_get(slot).is_none() {
            // Another node was the owner for a moment, and has closed the transport. The client
            // comes back.
            return self.keep_for_client(slot);
        }
        if !self.is_adopting(slot) {
            let work = self.connections.get_mut(slot).work_mut().as_mut();
            if let Some(work) = work.filter(|work| work.catching_up) {
                (work.catching_up, work.caught_up) = (false, true);
                self.log_confirms(slot);
            }
            return self.report_lost_members(slot, out);
        }
        let Some(adopting) = self.work(slot).adopting.take() else { return };
        let connection = self.connections.get_mut(slot);
        connection.in_log().clear();
        connection.set_moved();
        self.restore_attachments(slot, out);
        let (now, has_members) = (self.now.mono, self.state.connection(slot).has_members());
        let connection = self.connections.get_mut(slot);
        if has_members {
            connection.start_grace(now);
        }
        if connection.transport().is_some() {
            self.counters.resumed += 1;
            self.send_connected(slot, Some(adopting.key), None, out);
        }
        self.log_confirms(slot);
        self.arm(slot);
    }

    /// Whether a connection waits to be adopted by this node.
    pub(super) fn is_adopting(&self, slot: ConnectionSlot) -> bool {
        let work = self.connections.try_get(slot).and_then(Connection::work);
        work.is_some_and(|work| work.adopting.is_some())
    }

    /// Whether an ATTACH has to wait until this node has applied what the client has heard on another
    /// one. It may even take itself for the owner, because it has not heard that it is not any more.
    pub(super) fn must_catch_up(&mut self, slot: ConnectionSlot, frame: &ProtocolMessage) -> bool {
        if !self.has_log() {
            return false;
        }
        let serial = frame.channel_serial.as_deref().and_then(state::parse_serial);
        let work = self.connections.get_mut(slot).work_mut().as_mut();
        let caught_up = work.is_some_and(|work| core::mem::take(&mut work.caught_up));
        if caught_up || serial.is_none_or(|serial| serial <= self.state.last_serial()) {
            return false;
        }
        let adopt = self.adoption(slot);
        self.propose_work(slot, Record::Adopt(adopt));
        self.work(slot).catching_up = true;
        true
    }

    /// A connection without a client on this node, until one comes or its time is over.
    fn keep_for_client(&mut self, slot: ConnectionSlot) {
        let grace = Duration::from_millis(self.state.connection(slot).grace().into());
        let terms = Terms {
            capability: Arc::new(Capability::none()),
            echo: true,
            heartbeats: false,
            grace_period: grace,
            idle: self.options.idle_interval,
            expires_at: None,
            reauthorize_at: None,
        };
        let identity = Identity::Anonymous;
        let proof = self.keys.proof(self.state.connection(slot).id(), &identity);
        let mut connection = Connection::new(proof, identity, terms);
        connection.set_last_heard(self.now.mono);
        connection.start_grace(self.now.mono);
        if let Some(own) =
            self.replication.as_ref().and_then(|replication| replication.incarnation())
        {
            connection.set_announced(own);
        }
        self.connections.insert(slot, connection);
        for channel in self.channels_with_members(slot) {
            self.restore_attachment(slot, channel);
        }
        self.arm(slot);
    }

    fn channels_with_members(&self, slot: ConnectionSlot) -> Vec<ChannelSlot> {
        self.state.connection(slot).channels().collect()
    }

    /// Creates the attachments on which the connection has members. Members leave if the client
    /// does not attach them again within the grace period, or if it has lost the right.
    fn restore_attachments(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        for channel in self.channels_with_members(slot) {
            let Some(attachment) = self.restore_attachment(slot, channel) else { continue };
            let name = self.state.channel(channel).name();
            let modes = self.connections.get(slot).capability().on(name).modes();
            if self.connections.get(slot).transport().is_some() && !modes.contains(Modes::PRESENCE)
            {
                self.remove_all(attachment, LeaveCause::RightLost, out);
            }
        }
    }

    fn restore_attachment(
        &mut self,
        slot: ConnectionSlot,
        channel: ChannelSlot,
    ) -> Option<super::connections::AttachmentSlot> {
        let attachment = self.connections.attach(slot, channel)?;
        self.delivery.attach(attachment, channel);
        Some(attachment)
    }

    /// The node was fenced for a while and has adopted the connection again. Where members have left
    /// meanwhile, an ATTACHED without RESUMED lets the client enter again (RTL12, RTP17i).
    fn report_lost_members(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        let mut next = self.connections.get(slot).first_attachment();
        while let Some(attachment) = next {
            let entry = self.connections.attachment(attachment);
            next = entry.next();
            let is_active = entry.is_active();
            if self.connections.take_members_lost(attachment) && is_active {
                let message = "Members have left while this node could not be reached";
                let code = codes::CHANNEL_CONTINUITY_NOT_GUARANTEED;
                let error = ErrorInfo::new(code, 400, message);
                self.send_attached(attachment, false, Some(error), out);
                self.sync_for_client(attachment, true);
            }
        }
    }

    /// The connection of a resume has ended: the client gets a new one.
    pub(super) fn adoption_failed(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        if !self.is_adopting(slot) {
            return self.lose_connection(slot, out);
        }
        let Some(adopting) = self.work(slot).adopting.take() else { return };
        let connection = self.connections.get_mut(slot);
        let identity = connection.set_identity(Identity::Anonymous);
        let transport = connection.transport();
        if let Some(transport) = transport {
            self.lose_transport(transport, out);
        }
        self.forget(slot, out);
        if let Some(transport) = transport {
            let error = super::lifecycle::expired();
            self.start(transport, identity, adopting.terms, Some(error), out);
        }
    }

    /// A connection has ended elsewhere, and its client is still here: it gets a new one.
    fn lose_connection(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        if self.connections.try_get(slot).is_some() {
            self.disconnect(slot, super::lifecycle::expired(), out);
            self.forget(slot, out);
        }
    }

    /// The log did not take the adoption in time: the client tries another node.
    pub(super) fn refuse_adoption(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        self.counters.limited += 1;
        self.disconnect(slot, super::proposals::log_away(), out);
        self.forget(slot, out);
    }

    /// Another node has become the owner of a connection of this one.
    pub(super) fn taken_over(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        let Some(connection) = self.connections.try_get(slot) else { return };
        if let Some(transport) = connection.transport() {
            out.push(Output::close(transport));
            self.lose_transport(transport, out);
        }
        self.counters.moved += 1;
        self.forget(slot, out);
    }

    /// Forgets a connection without a transport. Its members stay.
    pub(super) fn forget(&mut self, slot: ConnectionSlot, out: &mut Outbox) {
        while let Some(attachment) = self.connections.get(slot).first_attachment() {
            self.remove_attachment(attachment, out);
        }
        self.timers.cancel_connection(slot);
        self.connections.remove(slot);
        if self.state.owner(slot) == 0 {
            self.state.close_connection(slot);
        }
    }

    /// Members of a connection of this node are about to leave, because others have taken the node
    /// for gone.
    pub(super) fn mark_lost_members(&mut self, slot: ConnectionSlot) {
        if self.connections.try_get(slot).is_none() {
            return;
        }
        for channel in self.channels_with_members(slot) {
            if let Some(attachment) = self.connections.pair(slot, channel) {
                self.connections.set_members_lost(attachment);
            }
        }
    }

    /// Whether an entry comes from this run of this node.
    pub(super) fn is_own(&self, origin: Origin) -> bool {
        self.replication.as_ref().is_some_and(|r| r.incarnation() == Some(origin.incarnation))
    }
}
