//! The context of a channel while an input is handled.

use super::connection::Connection;
use super::operations::{Operations, Origin};
use super::retry::Rng;
use super::{ClientOptions, Outbox, Outcome, Output, Warning, errors};
use crate::wire::{ErrorInfo, ProtocolMessage};
use crate::{Now, OpId, TransportId};
use alloc::boxed::Box;

/// The parts of the client that a channel uses.
pub(super) struct Cx<'a> {
    pub(super) now: Now,
    pub(super) options: &'a ClientOptions,
    pub(super) connection: &'a Connection,
    pub(super) operations: &'a mut Operations,
    pub(super) rng: &'a mut Rng,
    pub(super) out: &'a mut Outbox,
}

impl Cx<'_> {
    pub(super) fn done(&mut self, op: OpId) {
        self.finish(op, Ok(Outcome::Done));
    }

    pub(super) fn fail(&mut self, op: OpId, error: ErrorInfo) {
        self.finish(op, Err(error));
    }

    pub(super) fn finish(&mut self, op: OpId, result: Result<Outcome, ErrorInfo>) {
        self.operations.finish(op, result, self.out);
    }

    pub(super) fn warn(&mut self, warning: Warning) {
        self.out.push(Output::Warning(warning));
    }

    /// Sends a frame without a message serial. `false` without a connection.
    pub(super) fn send(&mut self, frame: ProtocolMessage) -> bool {
        let Some(transport) = self.connection.connected_transport() else { return false };
        self.out.push(Output::send(transport, Box::new(frame)));
        true
    }

    /// Sends a frame with the next message serial.
    pub(super) fn transmit(
        &mut self,
        transport: TransportId,
        frame: Box<ProtocolMessage>,
        origin: Origin,
    ) {
        self.operations.transmit(transport, frame, origin, self.out);
    }

    /// The error of a missing connection: its reason, or an error for its state (RTL4b, RTN7e).
    pub(super) fn connection_error(&self) -> ErrorInfo {
        self.connection
            .error_reason
            .clone()
            .unwrap_or_else(|| errors::not_connected(self.connection.state))
    }
}
