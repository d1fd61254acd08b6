//! Operations and outputs of a client, whatever is at the far end of its transport.

use presence_proto::client::{
    ChannelState, ChannelStateChange, Client, ConnectionState, ConnectionStateChange, GetParams,
    Input, Outcome, Output, PresenceChange, Warning, output,
};
use presence_proto::wire::{
    Action, Data, ErrorInfo, Modes, Params, PresenceAction, PresenceMessage, ProtocolMessage,
};
use presence_proto::{OpId, SmolStr, SubscriptionId};

/// The channel of most tests.
pub(crate) const CH: &str = "room";

/// The outputs of a client. An operation has to end exactly once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outputs {
    /// The parameters of every transport that was requested.
    pub(crate) transports: Vec<Params>,
    closed: usize,
    tokens_requested: usize,
    pub(crate) warnings: Vec<Warning>,
    /// The other outputs since they were last taken.
    recent: Vec<Output>,
    pending: Vec<OpId>,
    results: Vec<(OpId, Result<Outcome, ErrorInfo>)>,
    last_op: u64,
}

impl Outputs {
    /// An input that is about to be passed in.
    pub(crate) fn expect_result_of(&mut self, input: &Input) {
        self.pending.extend(input.op());
    }

    pub(crate) fn add(&mut self, output: Output) {
        match output {
            Output::Open(output::Open { params, .. }) => self.transports.push(params),
            Output::Close(_) => self.closed += 1,
            Output::TokenRequired => self.tokens_requested += 1,
            Output::Warning(warning) => self.warnings.push(warning),
            Output::Done(output::Done { op, result, .. }) => {
                let pending = self.pending.iter().position(|pending| *pending == op);
                self.pending.remove(pending.unwrap_or_else(|| panic!("{op:?} is not pending")));
                self.results.push((op, result));
            }
            other => self.recent.push(other),
        }
    }

    fn take<T>(&mut self, mut pick: impl FnMut(&Output) -> Option<T>) -> Vec<T> {
        let mut taken = Vec::new();
        self.recent.retain(|output| {
            let picked = pick(output);
            let keep = picked.is_none();
            taken.extend(picked);
            keep
        });
        taken
    }
}

/// A client that a test drives.
pub(crate) trait Driven {
    fn client(&self) -> &Client;

    fn outputs(&self) -> &Outputs;

    fn outputs_mut(&mut self) -> &mut Outputs;

    /// Passes in an input, and everything that follows at once.
    fn pass_in(&mut self, input: Input);

    // Operations.

    fn op(&mut self, input: impl FnOnce(OpId) -> Input) -> OpId {
        let outputs = self.outputs_mut();
        outputs.last_op += 1;
        let op = OpId(outputs.last_op);
        self.pass_in(input(op));
        op
    }

    fn attach(&mut self, channel: &str) -> OpId {
        self.op(|op| Input::attach(op, channel))
    }

    fn detach(&mut self, channel: &str) -> OpId {
        self.op(|op| Input::detach(op, channel))
    }

    fn enter(&mut self, data: &str) -> OpId {
        self.op(|op| Input::enter(op, CH, Some(data.into())))
    }

    fn change(
        &mut self,
        action: PresenceAction,
        client_id: Option<&str>,
        data: Option<&str>,
    ) -> OpId {
        let mut change = PresenceChange::new(action, data.map(Data::from));
        if let Some(client_id) = client_id {
            change = change.of_client(client_id);
        }
        self.op(|op| Input::presence(op, CH, change))
    }

    fn get(&mut self) -> OpId {
        self.op(|op| Input::get(op, CH))
    }

    /// The current members, in sync or not.
    fn members_now(&mut self) -> Vec<PresenceMessage> {
        let op = self.op(|op| get_now(op, CH));
        self.members(op)
    }

    fn subscribe(&mut self, number: u64, actions: &[PresenceAction]) -> OpId {
        self.op(|op| Input::subscribe_to(op, CH, SubscriptionId(number), actions.to_vec()))
    }

    // Outputs. Each of these methods removes the outputs that it returns.

    fn sent(&mut self) -> Vec<ProtocolMessage> {
        self.outputs_mut().take(|output| match output {
            Output::Send(output::Send { frame, .. }) => Some((**frame).clone()),
            _ => None,
        })
    }

    /// The sent frames of one action; the others are dropped.
    fn sent_of(&mut self, action: Action) -> Vec<ProtocolMessage> {
        self.sent().into_iter().filter(|frame| frame.action == action).collect()
    }

    #[track_caller]
    fn sent_one(&mut self) -> ProtocolMessage {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    /// The presence items that were sent; other frames are dropped.
    fn sent_items(&mut self) -> Vec<PresenceMessage> {
        self.sent_of(Action::Presence).into_iter().flat_map(|frame| frame.presence).collect()
    }

    fn connection_events(&mut self) -> Vec<ConnectionStateChange> {
        self.outputs_mut().take(|output| match output {
            Output::Connection(change) => Some(change.clone()),
            _ => None,
        })
    }

    /// The names of the connection events.
    fn connection_path(&mut self) -> Vec<&'static str> {
        self.connection_events().iter().map(|change| change.event.name()).collect()
    }

    fn channel_events(&mut self, name: &str) -> Vec<ChannelStateChange> {
        self.outputs_mut().take(|output| match output {
            Output::Channel(output::Channel { channel, change, .. }) if channel == name => {
                Some(change.clone())
            }
            _ => None,
        })
    }

    /// The names of the events of one channel.
    fn channel_path(&mut self, name: &str) -> Vec<&'static str> {
        self.channel_events(name).iter().map(|change| change.event.name()).collect()
    }

    fn presence_events(&mut self) -> Vec<PresenceMessage> {
        self.outputs_mut().take(|output| match output {
            Output::Presence(event) => Some(event.message.clone()),
            _ => None,
        })
    }

    /// The presence events of one subscription.
    fn presence_events_for(&mut self, subscription: u64) -> Vec<PresenceMessage> {
        let subscription = SubscriptionId(subscription);
        self.outputs_mut().take(|output| match output {
            Output::Presence(event) if event.subscriptions.contains(subscription) => {
                Some(event.message.clone())
            }
            _ => None,
        })
    }

    /// Frames for the application.
    fn frames(&mut self) -> Vec<ProtocolMessage> {
        self.outputs_mut().take(|output| match output {
            Output::Frame(frame) => Some((**frame).clone()),
            _ => None,
        })
    }

    /// Drops all of these outputs.
    fn forget(&mut self) {
        self.outputs_mut().recent.clear();
    }

    // Results and totals.

    fn result(&self, op: OpId) -> Option<&Result<Outcome, ErrorInfo>> {
        let mut results = self.outputs().results.iter().rev();
        results.find(|(number, _)| *number == op).map(|(_, result)| result)
    }

    fn is_pending(&self, op: OpId) -> bool {
        self.outputs().pending.contains(&op)
    }

    #[track_caller]
    fn ok(&self, op: OpId) -> Outcome {
        match self.result(op) {
            Some(Ok(outcome)) => outcome.clone(),
            other => panic!("{op:?} should have succeeded: {other:?}"),
        }
    }

    #[track_caller]
    fn err(&self, op: OpId) -> ErrorInfo {
        match self.result(op) {
            Some(Err(error)) => error.clone(),
            other => panic!("{op:?} should have failed: {other:?}"),
        }
    }

    /// The result of a `get`, sorted by client id and connection id.
    #[track_caller]
    fn members(&self, op: OpId) -> Vec<PresenceMessage> {
        match self.ok(op) {
            Outcome::Members(mut members) => {
                members.sort_by(|a, b| {
                    (&a.client_id, &a.connection_id).cmp(&(&b.client_id, &b.connection_id))
                });
                members
            }
            other => panic!("{other:?} is not a list of members"),
        }
    }

    /// The number of transports that were requested.
    fn transports(&self) -> usize {
        self.outputs().transports.len()
    }

    /// The number of transports that the client closed.
    fn closed(&self) -> usize {
        self.outputs().closed
    }

    fn tokens_requested(&self) -> usize {
        self.outputs().tokens_requested
    }

    /// A parameter of the transport that was requested last.
    fn param(&self, name: &str) -> Option<&str> {
        param(self.outputs().transports.last()?, name)
    }

    // The state of the client.

    fn state(&self) -> ConnectionState {
        self.client().connection().state()
    }

    fn connection_id(&self) -> Option<SmolStr> {
        self.client().connection().id().cloned()
    }

    fn connection_key(&self) -> Option<SmolStr> {
        self.client().connection().key().cloned()
    }

    fn error_reason(&self) -> Option<ErrorInfo> {
        self.client().connection().error_reason().cloned()
    }

    fn recovery_key(&self) -> Option<SmolStr> {
        self.client().connection().recovery_key()
    }

    /// The state of a channel; INITIALIZED if it does not exist.
    fn channel_state(&self, channel: &str) -> ChannelState {
        self.client().channel(channel).map(|view| view.state()).unwrap_or_default()
    }

    fn channel_error(&self, channel: &str) -> Option<ErrorInfo> {
        self.client().channel(channel)?.error_reason().cloned()
    }

    fn channel_serial(&self, channel: &str) -> Option<SmolStr> {
        self.client().channel(channel)?.channel_serial().cloned()
    }

    fn attach_serial(&self, channel: &str) -> Option<SmolStr> {
        self.client().channel(channel)?.attach_serial().cloned()
    }

    fn modes(&self, channel: &str) -> Option<Modes> {
        self.client().channel(channel)?.modes()
    }

    fn is_sync_complete(&self, channel: &str) -> bool {
        self.client().channel(channel).is_some_and(|view| view.sync_complete())
    }

    /// The connection's own members of a channel (RTP17), as they would be entered again.
    fn own_members(&self, channel: &str) -> Vec<PresenceMessage> {
        let view = self.client().channel(channel);
        view.map(|view| view.own_members().cloned().collect()).unwrap_or_default()
    }

    fn own_member(&self, channel: &str, client_id: &str) -> Option<PresenceMessage> {
        self.own_members(channel).into_iter().find(|m| m.client_id.as_deref() == Some(client_id))
    }
}

/// A `get` that does not wait.
pub(crate) fn get_now(op: OpId, channel: &str) -> Input {
    let mut params = GetParams::default();
    params.wait_for_sync = false;
    Input::get_with(op, channel, params)
}

pub(crate) fn param<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
