//! The state machine of a channel: attach, detach, and frames of the channel (RTL).

use super::cx::Cx;
use super::presence::Presence;
use super::retry;
use super::{
    ChannelEvent, ChannelOptions, ChannelState, ChannelStateChange, ConnectionState, GetParams,
    Output, errors,
};
use crate::wire::{Action, ErrorInfo, Flags, Modes, Params, ProtocolMessage};
use crate::{Instant, OpId, SmolStr};
use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

/// The cause of a state change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The application attaches, explicitly or implicitly (RTL4, RTL33b).
    Attach,
    /// The application detaches (RTL5).
    Detach,
    /// The application detaches without a connection (RTL5l), or from SUSPENDED (RTL5j).
    DetachImmediately,
    /// ATTACHED received.
    Attached,
    /// DETACHED received.
    Detached,
    /// ERROR received (RTL14).
    Failed,
    /// ATTACH or DETACH timed out (RTL4f, RTL5f).
    TimedOut,
    /// The retry delay has elapsed (RTL13b).
    Retry,
    /// The connection is CONNECTED again (RTL3d).
    Connected,
    /// The connection is SUSPENDED (RTL3c).
    ConnectionSuspended,
    /// The connection is CLOSED (RTL3b).
    ConnectionClosed,
    /// The connection is FAILED (RTL3a).
    ConnectionFailed,
    /// A new connection begins after CLOSED or FAILED (RTN11d).
    Reset,
}

use Cause as C;
use ChannelState as S;

/// The transition table. A pair of state and cause without an entry changes nothing. A detach that
/// times out returns to the previous state (RTL5f): ATTACHED, if the application requested it.
pub(super) const TRANSITIONS: &[(S, Cause, S)] = &[
    (S::Initialized, C::Attach, S::Attaching),
    (S::Detached, C::Attach, S::Attaching),
    (S::Suspended, C::Attach, S::Attaching),
    (S::Failed, C::Attach, S::Attaching),
    (S::Attached, C::Detach, S::Detaching),
    (S::Attached, C::DetachImmediately, S::Detached),
    (S::Attaching, C::DetachImmediately, S::Detached),
    (S::Suspended, C::DetachImmediately, S::Detached),
    (S::Attaching, C::Attached, S::Attached),
    // Only as a late answer to ATTACH.
    (S::Suspended, C::Attached, S::Attached),
    // RTL5k
    (S::Detached, C::Attached, S::Detaching),
    (S::Detaching, C::Detached, S::Detached),
    // RTL13a
    (S::Attached, C::Detached, S::Attaching),
    (S::Suspended, C::Detached, S::Attaching),
    // RTL13b
    (S::Attaching, C::Detached, S::Suspended),
    (S::Initialized, C::Failed, S::Failed),
    (S::Attaching, C::Failed, S::Failed),
    (S::Attached, C::Failed, S::Failed),
    (S::Detaching, C::Failed, S::Failed),
    (S::Detached, C::Failed, S::Failed),
    (S::Suspended, C::Failed, S::Failed),
    (S::Attaching, C::TimedOut, S::Suspended),
    (S::Detaching, C::TimedOut, S::Attached),
    (S::Suspended, C::Retry, S::Attaching),
    (S::Attached, C::Connected, S::Attaching),
    (S::Suspended, C::Connected, S::Attaching),
    (S::Attaching, C::ConnectionSuspended, S::Suspended),
    (S::Attached, C::ConnectionSuspended, S::Suspended),
    (S::Detaching, C::ConnectionSuspended, S::Detached),
    (S::Attaching, C::ConnectionClosed, S::Detached),
    (S::Attached, C::ConnectionClosed, S::Detached),
    (S::Detaching, C::ConnectionClosed, S::Detached),
    (S::Suspended, C::ConnectionClosed, S::Detached),
    (S::Attaching, C::ConnectionFailed, S::Failed),
    (S::Attached, C::ConnectionFailed, S::Failed),
    (S::Detaching, C::ConnectionFailed, S::Detached),
    (S::Suspended, C::ConnectionFailed, S::Failed),
    (S::Attaching, C::Reset, S::Initialized),
    (S::Attached, C::Reset, S::Initialized),
    (S::Detaching, C::Reset, S::Initialized),
    (S::Detached, C::Reset, S::Initialized),
    (S::Suspended, C::Reset, S::Initialized),
    (S::Failed, C::Reset, S::Initialized),
];

/// The next state; `None` if the cause changes nothing.
pub(super) fn next_state(state: S, cause: Cause) -> Option<S> {
    TRANSITIONS.iter().find(|&&(from, by, _)| from == state && by == cause).map(|&(.., to)| to)
}

/// An operation that waits for the end of an attach or detach.
#[derive(Clone, Debug)]
pub(super) enum Waiter {
    /// An implicit attach. The operation that caused it is queued elsewhere.
    Implicit,
    /// An operation that ends with the attach or detach.
    Op(OpId),
    /// A `get`, which continues when the channel is attached (RTL33b).
    Get(OpId, GetParams),
    /// A release. The channel is removed when it is detached (RTS4).
    Release(OpId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Attach,
    Detach,
}

/// A channel.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) name: SmolStr,
    pub(super) state: ChannelState,
    /// The reason of the last state change with one (RTL24).
    pub(super) error_reason: Option<ErrorInfo>,
    pub(super) options: ChannelOptions,
    /// Granted modes (RTL4m).
    pub(super) modes: Option<Modes>,
    /// Accepted params (RTL4k1).
    pub(super) params: Params,
    /// The current position in the channel's stream (RTL15b).
    pub(super) channel_serial: Option<SmolStr>,
    /// The position in the channel's stream at the last attach (RTL15c).
    pub(super) attach_serial: Option<SmolStr>,
    /// Operations that end with the running attach or detach.
    waiters: Vec<Waiter>,
    /// Requests queued after it (RTL4h, RTL5i).
    queued_requests: VecDeque<(Request, Waiter)>,
    /// `SetOptions` operations that wait for ATTACHED (RTL16a).
    pending_set_options: Vec<OpId>,
    /// The channel was suspended because ATTACH timed out. A late ATTACHED is accepted.
    attach_timed_out: bool,
    /// The running detach began in DETACHED (RTL5k).
    detached_before: bool,
    /// Failed attempts since the last ATTACHED, for the back-off (RTB1).
    attempts: u32,
    /// When [`on_deadline`](Self::on_deadline) is due.
    pub(super) deadline: Option<Instant>,
    /// Released and detached: `Channels` removes it after this call.
    pub(super) released: bool,
    pub(super) presence: Presence,
}

impl Default for Channel {
    fn default() -> Self {
        Self::new(SmolStr::default(), 0)
    }
}

impl Channel {
    pub(super) fn new(name: SmolStr, hash_seed: u64) -> Self {
        Self {
            name,
            state: ChannelState::Initialized,
            error_reason: None,
            options: ChannelOptions::default(),
            modes: None,
            params: Params::new(),
            channel_serial: None,
            attach_serial: None,
            waiters: Vec::new(),
            queued_requests: VecDeque::new(),
            pending_set_options: Vec::new(),
            attach_timed_out: false,
            detached_before: false,
            attempts: 0,
            deadline: None,
            released: false,
            presence: Presence::new(hash_seed),
        }
    }

    // ---- Operations

    /// Attaches the channel, or queues the request (RTL4).
    pub(super) fn attach(&mut self, cx: &mut Cx<'_>, waiter: Waiter) {
        match self.state {
            S::Attached => return self.resolve(cx, waiter, Ok(())),
            // RTL4h
            S::Attaching if self.queued_requests.is_empty() => return self.waiters.push(waiter),
            S::Attaching | S::Detaching => {
                return self.queued_requests.push_back((Request::Attach, waiter));
            }
            S::Initialized | S::Detached | S::Suspended | S::Failed => {}
        }
        if let Some(error) = self.attach_error(cx) {
            return self.resolve(cx, waiter, Err(error));
        }
        self.waiters.push(waiter);
        // RTL4g
        self.error_reason = None;
        self.transition(cx, Cause::Attach, None);
        self.send_attach(cx);
    }

    /// The error of an attach that fails at once (RTL4b).
    pub(super) fn attach_error(&self, cx: &Cx<'_>) -> Option<ErrorInfo> {
        matches!(
            cx.connection.state,
            ConnectionState::Closing
                | ConnectionState::Closed
                | ConnectionState::Suspended
                | ConnectionState::Failed
        )
        .then(|| cx.connection_error())
    }

    /// Detaches the channel, or queues the request (RTL5).
    pub(super) fn detach(&mut self, cx: &mut Cx<'_>, waiter: Waiter) {
        let connected = cx.connection.is_connected();
        match self.state {
            S::Initialized | S::Detached => self.resolve(cx, waiter, Ok(())),
            S::Failed => {
                let error = errors::channel_state("the channel has failed");
                self.resolve(cx, waiter, Err(error));
            }
            // RTL5i
            S::Detaching => self.waiters.push(waiter),
            S::Attaching if connected => self.queued_requests.push_back((Request::Detach, waiter)),
            S::Attached if connected => {
                self.detached_before = false;
                self.waiters.push(waiter);
                self.transition(cx, Cause::Detach, None);
                self.send_detach(cx);
            }
            // RTL5j, RTL5l
            S::Attaching | S::Attached | S::Suspended => {
                let superseded = errors::channel_state("detached before it was attached");
                self.transition(cx, Cause::DetachImmediately, None);
                self.finish_request(cx, &Err(superseded));
                self.resolve(cx, waiter, Ok(()));
            }
        }
    }

    /// Detaches the channel and removes it (RTS4).
    pub(super) fn release(&mut self, cx: &mut Cx<'_>, op: OpId) {
        match self.state {
            S::Failed => self.resolve(cx, Waiter::Release(op), Ok(())),
            _ => self.detach(cx, Waiter::Release(op)),
        }
    }

    /// Sets the options. Sends ATTACH again if the server must apply them (RTL16).
    pub(super) fn set_options(&mut self, cx: &mut Cx<'_>, op: OpId, options: ChannelOptions) {
        let requests_any = !options.params.is_empty() || options.modes.is_some();
        let changed = options.params != self.options.params || options.modes != self.options.modes;
        self.options = options;
        let attached = matches!(self.state, S::Attached | S::Attaching);
        if !(attached && (requests_any || changed)) {
            return cx.done(op);
        }
        // RTL16a
        self.pending_set_options.push(op);
        self.send_attach(cx);
    }

    /// Attaches the channel if necessary, then continues with the `get` (RTL33).
    pub(super) fn get(&mut self, cx: &mut Cx<'_>, op: OpId, params: GetParams) {
        match self.state {
            S::Suspended if params.wait_for_sync => cx.fail(op, errors::out_of_sync()),
            S::Suspended => self.presence.complete_get(cx, op, &params),
            // RTL33c
            S::Failed => cx.fail(op, errors::channel_state("the channel has failed")),
            S::Attached => self.get_attached(cx, op, params),
            S::Initialized | S::Attaching | S::Detaching | S::Detached => {
                self.attach(cx, Waiter::Get(op, params));
            }
        }
    }

    fn get_attached(&mut self, cx: &mut Cx<'_>, op: OpId, params: GetParams) {
        // RTP11f
        if !self.modes.is_some_and(|modes| modes.contains(Modes::PRESENCE_SUBSCRIBE)) {
            if cx.options.strict_mode {
                return cx.fail(op, errors::presence_subscribe_missing());
            }
            if self.modes.is_some_and(|modes| !modes.is_empty()) {
                let channel = self.name.clone();
                cx.warn(super::Warning::PresenceSubscribeMissing { channel });
            }
        }
        self.presence.get(cx, op, params);
    }

    // ---- Frames

    /// Handles a frame of the channel other than ERROR.
    pub(super) fn received(&mut self, cx: &mut Cx<'_>, frame: &mut ProtocolMessage) {
        match frame.action {
            Action::Presence | Action::Sync => self.receive_presence(cx, frame),
            Action::Attached => self.attached(cx, frame),
            Action::Detached => self.detached(cx, frame.error.take().map(|error| *error)),
            // RTL17
            _ if self.state == S::Attached => {
                if matches!(frame.action, Action::Message | Action::Annotation | Action::Object) {
                    self.update_serial(&mut frame.channel_serial.clone());
                }
                let frame = core::mem::replace(frame, ProtocolMessage::new(frame.action));
                cx.out.push(Output::Frame(Box::new(frame)));
            }
            _ => {}
        }
    }

    /// Handles ATTACHED (RTL4c, RTL12, RTL5k).
    fn attached(&mut self, cx: &mut Cx<'_>, frame: &mut ProtocolMessage) {
        let was_attached = self.state == S::Attached;
        match next_state(self.state, Cause::Attached) {
            _ if was_attached || self.state == S::Attaching => {}
            // RTL5k
            _ if self.state == S::Detaching => {
                self.update_serial(&mut frame.channel_serial);
                return self.send_detach(cx);
            }
            Some(S::Detaching) => {
                self.detached_before = true;
                // RTL2d
                self.transition(cx, Cause::Attached, frame.error.take().map(|error| *error));
                return self.send_detach(cx);
            }
            // The late answer to an ATTACH.
            Some(S::Attached) if self.attach_timed_out => {}
            // Unsolicited.
            _ => return,
        }
        let flags = frame.flags();
        let resumed = flags.contains(Flags::RESUMED);
        if let Some(serial) = frame.channel_serial.take().filter(|serial| !serial.is_empty()) {
            if !resumed {
                self.attach_serial = Some(serial.clone());
            }
            self.channel_serial = Some(serial);
        } else if !resumed {
            self.attach_serial = None;
        }
        self.modes = Some(flags.modes());
        self.params = frame.params.take().unwrap_or_default();
        let reason = frame.error.take().map(|error| *error);
        self.deadline = None;
        self.attempts = 0;
        self.error_reason.clone_from(&reason);
        let previous = self.state;
        self.state = S::Attached;
        if !was_attached || !resumed {
            // RTL2g, RTL12
            let event =
                if was_attached { ChannelEvent::Update } else { ChannelEvent::State(S::Attached) };
            let channel = self.name.clone();
            cx.out.push(Output::channel(
                channel,
                ChannelStateChange {
                    previous,
                    current: S::Attached,
                    event,
                    reason,
                    resumed,
                    has_backlog: flags.contains(Flags::HAS_BACKLOG),
                },
            ));
        }
        for op in core::mem::take(&mut self.pending_set_options) {
            cx.done(op);
        }
        // An ATTACHED with RESUMED on an attached channel does not affect presence: continuity was
        // kept, and no re-entry is required (RTP17i).
        if !(was_attached && resumed) {
            self.presence.attached(cx, &self.name, flags.contains(Flags::HAS_PRESENCE));
            self.flush(cx);
        }
        if !was_attached {
            self.finish_request(cx, &Ok(()));
        }
    }

    /// Handles DETACHED (RTL5d, RTL13).
    fn detached(&mut self, cx: &mut Cx<'_>, error: Option<ErrorInfo>) {
        match self.state {
            S::Detaching => {
                self.transition(cx, Cause::Detached, error);
                self.finish_request(cx, &Ok(()));
            }
            S::Attaching => {
                // RTL13b
                let error = error.unwrap_or_else(errors::detached_by_server);
                self.suspend(cx, Cause::Detached, error);
            }
            S::Attached | S::Suspended => {
                // RTL13a
                let error = error.unwrap_or_else(errors::detached_by_server);
                self.transition(cx, Cause::Detached, Some(error));
                self.send_attach(cx);
            }
            S::Initialized | S::Detached | S::Failed => {}
        }
    }

    /// Handles an ERROR of the channel (RTL14).
    pub(super) fn failed(&mut self, cx: &mut Cx<'_>, error: Option<ErrorInfo>) {
        let error = error.unwrap_or_else(errors::channel_failed);
        self.transition(cx, Cause::Failed, Some(error.clone()));
        self.finish_request(cx, &Err(error));
    }

    /// Handles PRESENCE and SYNC. Ignored unless the channel is attached, attaching or detaching.
    fn receive_presence(&mut self, cx: &mut Cx<'_>, frame: &mut ProtocolMessage) {
        if !matches!(self.state, S::Attached | S::Attaching | S::Detaching) {
            return;
        }
        if frame.action == Action::Presence {
            self.update_serial(&mut frame.channel_serial);
        }
        self.presence.receive(cx, &self.name, frame);
    }

    /// Updates the channel serial (RTL15b). Swapped, not copied: the old one is dropped with the
    /// frame.
    fn update_serial(&mut self, serial: &mut Option<SmolStr>) {
        if serial.as_ref().is_some_and(|serial| !serial.is_empty()) {
            core::mem::swap(&mut self.channel_serial, serial);
        }
    }

    // ---- The connection

    /// The connection is CONNECTED: sends a pending ATTACH or DETACH, and attaches again (RTL3d,
    /// RTN19b).
    pub(super) fn connected(&mut self, cx: &mut Cx<'_>) {
        match self.state {
            S::Attaching => self.send_attach(cx),
            S::Attached | S::Suspended => {
                self.transition(cx, Cause::Connected, None);
                self.send_attach(cx);
            }
            S::Detaching => self.send_detach(cx),
            S::Initialized | S::Detached | S::Failed => {}
        }
    }

    /// The connection has left CONNECTED: cancels the retry of a suspended channel (RTL13c). The
    /// next CONNECTED attaches it (RTL3d). The timeout of a sent request keeps running (RTL3e,
    /// RTL4f, RTL5f); the request is sent again on the next transport (RTN19b).
    pub(super) fn cancel_retry(&mut self) {
        if self.state == S::Suspended {
            self.deadline = None;
        }
    }

    /// The connection is SUSPENDED, CLOSED or FAILED (RTL3a–c).
    pub(super) fn connection_ended(&mut self, cx: &mut Cx<'_>, cause: Cause, error: &ErrorInfo) {
        self.deadline = None;
        let was_detaching = self.state == S::Detaching;
        if next_state(self.state, cause).is_none() {
            return;
        }
        self.transition(cx, cause, Some(error.clone()));
        let result = if was_detaching { Ok(()) } else { Err(error.clone()) };
        self.finish_request(cx, &result);
    }

    /// A new connection begins after CLOSED or FAILED (RTN11d).
    pub(super) fn reset(&mut self, cx: &mut Cx<'_>) {
        self.transition(cx, Cause::Reset, None);
        self.clear_server_state();
    }

    /// The deadline has passed: a timeout, or a retry.
    pub(super) fn on_deadline(&mut self, cx: &mut Cx<'_>) {
        self.deadline = None;
        match self.state {
            S::Attaching => {
                let error = errors::channel_timed_out("no answer to ATTACH in time");
                self.suspend(cx, Cause::TimedOut, error);
            }
            S::Detaching => {
                // RTL5f: back to the previous state. A `SetOptions` from before the detach has no
                // answer either.
                let error = errors::channel_timed_out("no answer to DETACH in time");
                self.fail_set_options(cx, &error);
                if self.detached_before {
                    self.transition(cx, Cause::Detached, Some(error.clone()));
                } else {
                    self.transition(cx, Cause::TimedOut, Some(error.clone()));
                }
                self.finish_request(cx, &Err(error));
            }
            S::Suspended => {
                self.transition(cx, Cause::Retry, None);
                self.send_attach(cx);
            }
            S::Attached => {
                let error = errors::channel_timed_out("no answer to ATTACH in time");
                self.fail_set_options(cx, &error);
            }
            S::Initialized | S::Detached | S::Failed => {}
        }
    }

    // ---- Helpers

    /// Applies the transition table, emits the state change, and clears or suspends presence.
    fn transition(&mut self, cx: &mut Cx<'_>, cause: Cause, reason: Option<ErrorInfo>) {
        // For example an ERROR for a FAILED channel.
        let Some(next) = next_state(self.state, cause) else { return };
        let previous = core::mem::replace(&mut self.state, next);
        if reason.is_some() {
            self.error_reason.clone_from(&reason);
        }
        self.deadline = None;
        cx.out.push(Output::channel(
            self.name.clone(),
            ChannelStateChange {
                previous,
                current: next,
                event: ChannelEvent::State(next),
                reason: reason.clone(),
                resumed: false,
                has_backlog: false,
            },
        ));
        match next {
            S::Detached | S::Failed => {
                // RTL15b2
                self.channel_serial = None;
                let error = reason.unwrap_or_else(|| errors::channel_state("channel detached"));
                self.fail_set_options(cx, &error);
                // RTP5a
                self.presence.reset(cx, &error);
            }
            S::Suspended => {
                let error = reason.unwrap_or_else(errors::detached_by_server);
                self.fail_set_options(cx, &error);
                // RTP5f
                self.presence.suspended(cx, &error);
            }
            S::Initialized | S::Attaching | S::Attached | S::Detaching => {}
        }
    }

    /// Enters SUSPENDED and schedules a retry (RTL13b).
    fn suspend(&mut self, cx: &mut Cx<'_>, cause: Cause, error: ErrorInfo) {
        self.transition(cx, cause, Some(error.clone()));
        self.attach_timed_out = cause == Cause::TimedOut;
        if cx.connection.is_connected() {
            self.attempts = self.attempts.saturating_add(1);
            let jitter = cx.options.retry_jitter.then_some(&mut *cx.rng);
            let delay = retry::delay(cx.options.channel_retry_timeout, self.attempts, jitter);
            self.deadline = Some(cx.now.mono + delay);
        }
        self.finish_request(cx, &Err(error));
    }

    /// Ends the running attach or detach: resolves its waiters, then starts the next queued request
    /// (RTL4h, RTL5i).
    fn finish_request(&mut self, cx: &mut Cx<'_>, result: &Result<(), ErrorInfo>) {
        for waiter in core::mem::take(&mut self.waiters) {
            self.resolve(cx, waiter, result.clone());
        }
        while !matches!(self.state, S::Attaching | S::Detaching) {
            match self.queued_requests.pop_front() {
                Some((Request::Attach, waiter)) => self.attach(cx, waiter),
                Some((Request::Detach, waiter)) => self.detach(cx, waiter),
                None => break,
            }
        }
    }

    fn resolve(&mut self, cx: &mut Cx<'_>, waiter: Waiter, result: Result<(), ErrorInfo>) {
        match (waiter, result) {
            (Waiter::Implicit, _) => {}
            (Waiter::Op(op), Ok(())) => cx.done(op),
            (Waiter::Get(op, params), Ok(())) => self.get_attached(cx, op, params),
            (Waiter::Release(op), Ok(())) => {
                self.released = self.queued_requests.is_empty();
                if !self.released {
                    self.reinitialize();
                }
                cx.done(op);
            }
            (Waiter::Op(op) | Waiter::Get(op, _) | Waiter::Release(op), Err(error)) => {
                cx.fail(op, error);
            }
        }
    }

    /// A released channel with queued requests starts again as a new channel (RTS4).
    fn reinitialize(&mut self) {
        self.clear_server_state();
        self.options = ChannelOptions::default();
        self.presence.unsubscribe(None);
    }

    /// Clears the state received from the server. Presence is already clear (RTP5a).
    fn clear_server_state(&mut self) {
        self.error_reason = None;
        self.modes = None;
        self.params = Params::new();
        self.channel_serial = None;
        self.attach_serial = None;
        self.attempts = 0;
    }

    fn fail_set_options(&mut self, cx: &mut Cx<'_>, error: &ErrorInfo) {
        for op in core::mem::take(&mut self.pending_set_options) {
            cx.fail(op, error.clone());
        }
    }

    /// Sends ATTACH (RTL4c). Without a connection it is sent on CONNECTED (RTL4i). Sending it again
    /// does not extend the timeout.
    fn send_attach(&mut self, cx: &mut Cx<'_>) {
        let mut frame = ProtocolMessage::new(Action::Attach);
        frame.channel = Some(self.name.clone());
        frame.channel_serial.clone_from(&self.channel_serial);
        if !self.options.params.is_empty() {
            frame.params = Some(self.options.params.clone());
        }
        frame.flags = self.options.modes.map(Flags::from);
        if cx.send(frame) {
            self.arm_request_timeout(cx);
        }
    }

    /// Sends DETACH (RTL5d). Sending it again does not extend the timeout.
    fn send_detach(&mut self, cx: &mut Cx<'_>) {
        let mut frame = ProtocolMessage::new(Action::Detach);
        frame.channel = Some(self.name.clone());
        if cx.send(frame) {
            self.arm_request_timeout(cx);
        }
    }

    /// Arms the timeout of a request, unless it is running (RTL4f, RTL5f).
    fn arm_request_timeout(&mut self, cx: &mut Cx<'_>) {
        if self.deadline.is_none() {
            self.deadline = Some(cx.now.mono + cx.options.realtime_request_timeout);
        }
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
}
