//! Message serials, messages in flight, and queued frames (RTN7, RTN19a).

use super::{Outbox, Outcome, Output};
use crate::wire::{Action, ErrorInfo, Items, ProtocolMessage};
use crate::{OpId, SmolStr, TransportId};
use alloc::{boxed::Box, collections::VecDeque};

/// The originator of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The application: one operation for each presence message in the frame, or one for a frame
    /// of another kind.
    App(Items<OpId>),
    /// The client: the re-entry of the own member with this client id (RTP17i).
    Reentry(SmolStr),
}

/// A message without an acknowledgement yet.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) serial: i64,
    pub(super) origin: Origin,
    pub(super) frame: Box<ProtocolMessage>,
}

impl InFlight {
    pub(super) fn is_presence(&self) -> bool {
        self.frame.action == Action::Presence
    }

    /// Whether it is a re-entry.
    pub(super) const fn is_reentry(&self) -> bool {
        matches!(self.origin, Origin::Reentry(_))
    }
}

/// The operations of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Operations {
    /// The serial of the next message (RTN7b).
    pub(super) next_serial: i64,
    /// Messages in flight, sent on this transport or the last one, in the order of sending.
    pub(super) in_flight: VecDeque<InFlight>,
    /// Frames of the application that wait for a connection (RTL6c2).
    pub(super) queue: VecDeque<(OpId, Box<ProtocolMessage>)>,
    /// Number of operations without an outcome yet.
    pub(super) pending: usize,
    /// Outcomes without a pending operation: bugs of this crate.
    pub(super) unmatched: usize,
}

impl Operations {
    /// Ends an operation with its outcome.
    pub(super) fn finish(
        &mut self,
        op: OpId,
        result: Result<Outcome, ErrorInfo>,
        out: &mut Outbox,
    ) {
        match self.pending.checked_sub(1) {
            Some(pending) => self.pending = pending,
            None => {
                debug_assert!(false, "{op:?} ends, and none was open");
                self.unmatched = self.unmatched.saturating_add(1);
            }
        }
        out.push(Output::done(op, result));
    }

    /// Sends a message with the next serial, and keeps it until it is acknowledged.
    pub(super) fn transmit(
        &mut self,
        transport: TransportId,
        frame: Box<ProtocolMessage>,
        origin: Origin,
        out: &mut Outbox,
    ) {
        let serial = self.next_serial;
        self.next_serial = self.next_serial.saturating_add(1);
        self.retransmit(transport, InFlight { serial, origin, frame }, out);
    }

    /// Sends a message with the serial it already has (RTN19a2).
    pub(super) fn retransmit(
        &mut self,
        transport: TransportId,
        mut message: InFlight,
        out: &mut Outbox,
    ) {
        message.frame.msg_serial = Some(message.serial);
        out.push(Output::send(transport, message.frame.clone()));
        self.in_flight.push_back(message);
    }

    /// Removes the messages covered by an ACK or NACK of `count` serials from `first` on, and all
    /// sent before them. The flag marks the latter as skipped: the server answers in order, so a
    /// message without an answer before an answered one is lost.
    pub(super) fn take_acknowledged(&mut self, first: i64, count: u32) -> Items<(InFlight, bool)> {
        let end = first.saturating_add(i64::from(count));
        let covers = |message: &InFlight| (first..end).contains(&message.serial);
        let Some(last) = self.in_flight.iter().rposition(covers) else { return Items::new() };
        self.in_flight
            .drain(..=last)
            .map(|message| {
                let skipped = !covers(&message);
                (message, skipped)
            })
            .collect()
    }
}
