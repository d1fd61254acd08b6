//! The invariants: those of every call, those of a converged world, and those of its end.

use crate::laws::Laws;
use crate::model::{Key, Member, Model, sequence};
use presence_proto::client::{self, ChannelEvent, ChannelState, Client, ConnectionState};
use presence_proto::server::{self, LeaveCause, PresenceQuery, ServerEvent, output};
use presence_proto::wire::{
    Action, Data, Flags, Modes, PresenceAction, PresenceMessage, ProtocolMessage,
};
use presence_proto::{OpId, SmolStr, TransportId};
use presence_sim::{Call, CallKind, World};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How long after the end of its grace period a member may leave, in milliseconds: the tolerance of
/// the server's timers.
const SLACK: u64 = 1_000;

/// The result of a check: the error describes a violated invariant.
pub(crate) type CheckResult = Result<(), String>;

/// Checks the calls of a world against the model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checker {
    model: Model,
    /// The connection id of each open transport, from CONNECTED on.
    transports: BTreeMap<TransportId, SmolStr>,
    /// The connect request of each transport.
    requests: BTreeMap<TransportId, server::ConnectRequest>,
    /// PRESENCE frames without an ACK or NACK by connection, in the order of arrival.
    unanswered: BTreeMap<SmolStr, VecDeque<Unanswered>>,
    /// The connections that have sent CLOSE, and those that have sent ATTACH or DETACH for a
    /// channel: the server may remove their members.
    ending: BTreeSet<SmolStr>,
    leaving: BTreeSet<(SmolStr, SmolStr)>,
    /// Unanswered ATTACH frames by transport and channel: whether each lacked a channel serial.
    attaching: BTreeMap<(TransportId, SmolStr), VecDeque<bool>>,
    /// The member sets according to the server's events.
    from_events: BTreeMap<SmolStr, BTreeMap<Key, Member>>,
    apps: BTreeMap<usize, App>,
    /// What must hold of several nodes, instead of the model of a single server.
    laws: Option<Laws>,
}

/// A PRESENCE frame without an ACK or NACK.
#[derive(Clone, Debug)]
struct Unanswered {
    frame: ProtocolMessage,
    /// It arrived in an earlier call. Changes would have caused events in that call, so that the
    /// ACK does not imply any.
    is_processed: bool,
}

/// An application: its operations and the members it derives from events.
#[derive(Clone, Debug, Default)]
struct App {
    /// The members of each channel, from events only.
    derived: BTreeMap<SmolStr, DerivedMembers>,
    /// Running operations.
    running: BTreeMap<OpId, Option<Change>>,
    /// The expected state of its own members by channel and client id, according to the results of
    /// operations, and the latest such operation.
    expected: BTreeMap<(SmolStr, SmolStr), (OpId, Expected)>,
}

/// The member that a presence operation changes, and its state if it succeeds.
#[derive(Clone, Debug)]
struct Change {
    channel: SmolStr,
    client_id: Option<SmolStr>,
    then: Expected,
}

/// The expected state of an own member.
#[derive(Clone, Debug, PartialEq)]
enum Expected {
    Present(Option<Data>),
    Absent,
    /// An operation failed; the server may have applied it.
    Unknown,
}

impl Checker {
    /// Checks several nodes that share a log. `gentle`: see [`Setup`](crate::Setup).
    pub(crate) fn of_nodes(gentle: bool) -> Self {
        Self { laws: Some(Laws::new(gentle)), ..Self::default() }
    }

    /// Checks calls, and the state of the world after them.
    pub(crate) fn observe(&mut self, world: &World, calls: Vec<Call>) -> CheckResult {
        if let Some(failure) = world.failure() {
            return Err(failure.into());
        }
        if let Some(laws) = &mut self.laws
            && laws.observe(world, &calls)?
        {
            // The log has lost changes that it had confirmed.
            self.apps.values_mut().for_each(App::forget_all_expected);
        }
        let mut clients = BTreeSet::new();
        let mut server = false;
        for call in calls {
            let at = call.at;
            match call.kind {
                CallKind::Server { input, outputs, .. } if self.laws.is_some() => {
                    self.requested_leaves(&input, &outputs);
                }
                CallKind::Server { input, outputs, .. } => {
                    server = true;
                    self.server_call(world, at, &input, &outputs)?;
                }
                CallKind::Client { client, input, outputs } => {
                    clients.insert(client);
                    self.client_call(world, client, &input, &outputs)?;
                }
                CallKind::ServerRestarted { .. } => {
                    self.model = Model::default();
                    self.transports.clear();
                    self.requests.clear();
                    self.unanswered.clear();
                    self.ending.clear();
                    self.leaving.clear();
                    self.attaching.clear();
                    self.from_events.clear();
                }
                CallKind::ClientRestarted { client, .. } => {
                    let app = self.apps.entry(client).or_default();
                    *app = App::default();
                }
            }
        }
        if server {
            self.compare_server(world)?;
        }
        for client in clients {
            self.compare_client(world, client)?;
        }
        Ok(())
    }

    /// Leaves that the applications did not ask for: what they expect is not certain any more.
    fn requested_leaves(&mut self, input: &server::Input, outputs: &[server::Output]) {
        if let server::Input::Kick(server::input::Kick { channel, .. }) = input {
            for app in self.apps.values_mut() {
                app.forget_expected(channel, None);
            }
        }
        for output in outputs {
            if let server::Output::Event(ServerEvent::MemberLeft(left)) = output
                && !matches!(left.cause, LeaveCause::Left | LeaveCause::GraceEnded)
            {
                for app in self.apps.values_mut() {
                    app.forget_expected(&left.channel, left.message.client_id.as_ref());
                }
            }
        }
    }

    // The server.

    fn server_call(
        &mut self,
        world: &World,
        at: u64,
        input: &server::Input,
        outputs: &[server::Output],
    ) -> CheckResult {
        let mut replaced = BTreeSet::new();
        self.unanswered.values_mut().flatten().for_each(|waiting| waiting.is_processed = true);
        if let server::Input::Opened(server::input::Opened { transport, request, .. }) = input {
            self.requests.insert(*transport, request.clone());
        }
        if let server::Input::Closed(server::input::Closed { transport, .. }) = input
            && let Some(id) = self.transports.remove(transport)
        {
            self.model.lost(&id, at);
        }
        if let server::Input::Received(server::input::Received { transport, frame, .. }) = input
            && let Some(id) = self.transports.get(transport).cloned()
        {
            self.received(*transport, id, frame);
        }
        if let server::Input::Kick(server::input::Kick {
            channel, client_id, connection_id, ..
        }) = input
        {
            self.model.kicked(channel, client_id.as_ref(), connection_id.as_ref(), at);
        }
        // A transport that resumes a connection replaces the previous transport; that is not a
        // loss.
        for output in outputs {
            if let server::Output::Send(server::output::Send { to, frame, .. }) = output
                && let head = frame.head()
                && head.action == Action::Connected
                && let (Some(transport), Some(id)) = (to.iter().next(), &head.connection_id)
            {
                self.connected(world, transport, id, &mut replaced);
            }
        }
        for output in outputs {
            match output {
                server::Output::Send(server::output::Send { to, frame, .. }) => {
                    for transport in to.iter() {
                        self.answer(transport, frame.head())?;
                    }
                }
                server::Output::Close(server::output::Close { transport, .. }) => {
                    if let Some(id) = self.transports.remove(transport)
                        && !replaced.contains(transport)
                    {
                        self.model.lost(&id, at);
                    }
                }
                server::Output::Event(event) => self.event(event, at)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes a frame of a client that the server has to answer.
    fn received(&mut self, transport: TransportId, id: SmolStr, frame: &ProtocolMessage) {
        let channel = frame.channel.clone().unwrap_or_default();
        match frame.action {
            Action::Presence => {
                let waiting = Unanswered { frame: frame.clone(), is_processed: false };
                self.unanswered.entry(id).or_default().push_back(waiting);
            }
            Action::Close => {
                self.ending.insert(id);
            }
            Action::Detach => {
                self.leaving.insert((id, channel));
            }
            Action::Attach => {
                let without_serial = frame.channel_serial.is_none();
                self.attaching
                    .entry((transport, channel.clone()))
                    .or_default()
                    .push_back(without_serial);
                self.leaving.insert((id, channel));
            }
            _ => {}
        }
    }

    /// The server emitted an event with a message of a member: it has accepted the first unanswered
    /// frame with that message. A congested connection receives the ACK late or never.
    fn accepted(&mut self, channel: &SmolStr, message: &PresenceMessage) {
        let Some(id) = &message.connection_id else { return };
        let matches = |waiting: &Unanswered| {
            let frame = &waiting.frame;
            let serial = sequence(message.id.as_deref().unwrap_or_default(), id).map(|(at, _)| at);
            frame.channel.as_ref() == Some(channel)
                && (frame.msg_serial == serial
                    || frame.presence.iter().any(|item| item.id == message.id))
        };
        let Some(waiting) = self.unanswered.get_mut(id) else { return };
        let place = waiting.iter().position(matches);
        let accepted = place.and_then(|place| waiting.remove(place));
        if let Some(Unanswered { frame, .. }) = accepted
            && let Some(serial) = frame.msg_serial
        {
            self.model.accepted(id, channel, serial, &frame.presence);
        }
    }

    /// The server removed a member. An error if there was no cause.
    fn removed(&mut self, channel: &SmolStr, key: &Key, cause: LeaveCause, at: u64) -> CheckResult {
        match cause {
            LeaveCause::GraceEnded => return self.model.expired(channel, key, at),
            LeaveCause::Kicked => return self.model.left_by_kick(channel, key),
            LeaveCause::Closed if !self.ending.contains(&key.0) => {
                return Err(format!(
                    "{channel}: {key:?} leaves, but its connection has not sent CLOSE"
                ));
            }
            LeaveCause::Detached if !self.leaving.contains(&(key.0.clone(), channel.clone())) => {
                return Err(format!(
                    "{channel}: {key:?} leaves, but its connection has not detached the channel"
                ));
            }
            _ => {}
        }
        self.model.departed(channel, key);
        Ok(())
    }

    fn connected(
        &mut self,
        world: &World,
        transport: TransportId,
        id: &SmolStr,
        replaced: &mut BTreeSet<TransportId>,
    ) {
        let Some(request) = self.requests.get(&transport) else { return };
        let config = world.server_options();
        let grace = request
            .remain_present_for
            .unwrap_or(config.remain_present_for)
            .max(config.min_remain_present_for)
            .min(config.connection_state_ttl);
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let client_id = match &request.identity {
            server::Identity::Client(client_id) => Some(client_id.clone()),
            _ => None,
        };
        for (old, _) in self.transports.iter().filter(|(old, c)| *c == id && **old != transport) {
            replaced.insert(*old);
            // The grace period applies to each channel until the new transport attaches it.
            self.model.lost(id, world.now());
        }
        if self.transports.insert(transport, id.clone()).as_ref() != Some(id) {
            // The client sends unanswered frames again, if at all.
            self.unanswered.remove(id);
        }
        self.model.connected(id, client_id, grace, world.now());
    }

    /// Applies an answer of the server to the model.
    fn answer(&mut self, transport: TransportId, frame: &ProtocolMessage) -> CheckResult {
        let Some(id) = self.transports.get(&transport).cloned() else { return Ok(()) };
        match frame.action {
            Action::Ack | Action::Nack => {
                let first = frame.msg_serial.unwrap_or(-1);
                let last = first + i64::from(frame.count.unwrap_or(1)) - 1;
                let waiting = self.unanswered.entry(id.clone()).or_default();
                for serial in first..=last {
                    let has_serial = |other: &Unanswered| other.frame.msg_serial == Some(serial);
                    let place = waiting.iter().position(has_serial);
                    let Some(answered) = place.and_then(|place| waiting.remove(place)) else {
                        continue;
                    };
                    if frame.action == Action::Ack
                        && let Some(channel) = &answered.frame.channel
                    {
                        let items =
                            if answered.is_processed { &[][..] } else { &answered.frame.presence };
                        self.model.accepted(&id, channel, serial, items);
                    }
                }
            }
            Action::Detached => {
                if let Some(channel) = &frame.channel {
                    self.model.detached(&id, channel);
                }
            }
            Action::Attached => {
                if let Some(channel) = &frame.channel {
                    let attaching = self.attaching.get_mut(&(transport, channel.clone()));
                    if attaching.and_then(VecDeque::pop_front) == Some(true) {
                        self.model.attached_without_serial(&id, channel);
                    }
                    self.model.attached(&id, channel);
                    if !frame.flags().contains(Flags::PRESENCE) {
                        self.model.detached(&id, channel);
                    }
                }
            }
            Action::Closed => {
                self.model.closed(&id);
                self.transports.remove(&transport);
            }
            Action::Sync if frame.channel_serial.is_none() => {
                return Err(format!("a sync page without a serial: {frame:?}"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Applies an event of the server to `from_events`.
    fn event(&mut self, event: &ServerEvent, at: u64) -> CheckResult {
        match event {
            ServerEvent::MemberEntered(output::MemberEntered { channel, message, .. }) => {
                self.accepted(channel, message);
                let members = self.from_events.entry(channel.clone()).or_default();
                let (key, member) = parts(message);
                if members.insert(key.clone(), member).is_some() {
                    return Err(format!("{channel}: {key:?} enters twice"));
                }
            }
            ServerEvent::MemberUpdated(output::MemberUpdated { channel, message, .. }) => {
                self.accepted(channel, message);
                let members = self.from_events.entry(channel.clone()).or_default();
                let (key, member) = parts(message);
                if members.insert(key.clone(), member).is_none() {
                    return Err(format!("{channel}: {key:?} updates and is not present"));
                }
            }
            ServerEvent::MemberLeft(output::MemberLeft { channel, message, cause, .. }) => {
                let (key, member) = parts(message);
                if *cause == LeaveCause::Left {
                    self.accepted(channel, message);
                } else {
                    self.removed(channel, &key, *cause, at)?;
                }
                self.model.left(channel, &key);
                if !matches!(cause, LeaveCause::Left | LeaveCause::GraceEnded) {
                    // Not requested by the application, which may enter the member again.
                    for app in self.apps.values_mut() {
                        app.forget_expected(channel, Some(&key.1));
                    }
                }
                let members = self.from_events.entry(channel.clone()).or_default();
                let Some(before) = members.remove(&key) else {
                    return Err(format!("{channel}: {key:?} leaves and is not present"));
                };
                if *cause != LeaveCause::Left && before.data != member.data {
                    return Err(format!("{channel}: {key:?} leaves without its last data"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn compare_server(&mut self, world: &World) -> CheckResult {
        let mut channels: BTreeSet<SmolStr> = self.model.channels().into_iter().collect();
        channels.extend(self.from_events.keys().cloned());
        for channel in channels {
            let found = server_set(world, &channel);
            self.model.compare(&channel, &found, world.now(), SLACK)?;
            if *self.from_events.entry(channel.clone()).or_default() != found {
                return Err(format!("{channel}: the server's events do not give its set"));
            }
        }
        Ok(())
    }

    // The clients.

    fn client_call(
        &mut self,
        world: &World,
        number: usize,
        input: &client::Input,
        outputs: &[client::Output],
    ) -> CheckResult {
        let own = world.client_identity(number).and_then(|identity| match identity {
            server::Identity::Client(client_id) => Some(client_id.clone()),
            _ => None,
        });
        let app = self.apps.entry(number).or_default();
        if let Some((op, change)) = operation(input, own)
            && app.running.insert(op, change).is_some()
        {
            return Err(format!("operation {op:?} is used twice"));
        }
        for output in outputs {
            match output {
                client::Output::Send(client::output::Send { frame, .. }) => {
                    let id = world.client_core(number).connection().id();
                    check_sent(frame, id).map_err(|what| format!("client {number}: {what}"))?;
                }
                client::Output::Presence(client::output::Presence { channel, message, .. }) => {
                    let members = app.derived.entry(channel.clone()).or_default();
                    members
                        .apply(message)
                        .map_err(|what| format!("client {number}, {channel}: {what}"))?;
                }
                client::Output::Connection(change)
                    if change.previous == ConnectionState::Connected =>
                {
                    app.forget_not_echoed(world.client_core(number));
                }
                client::Output::Channel(client::output::Channel { channel, change, .. }) => {
                    app.channel(channel, change.event)
                }
                client::Output::Warning(client::Warning::ReentryFailed {
                    channel,
                    client_id,
                    ..
                }) => app.forget_expected(channel, Some(client_id)),
                client::Output::Done(client::output::Done { op, result, .. }) => {
                    let Some(change) = app.running.remove(op) else {
                        return Err(format!("client {number}: {op:?} ends twice"));
                    };
                    if let Some(Change { channel, client_id: Some(client_id), then }) = change {
                        let then = if result.is_ok() { then } else { Expected::Unknown };
                        let expected = app
                            .expected
                            .entry((channel, client_id))
                            .or_insert((*op, Expected::Unknown));
                        if *op >= expected.0 {
                            *expected = (*op, then);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn compare_client(&self, world: &World, number: usize) -> CheckResult {
        let Some(app) = self.apps.get(&number) else { return Ok(()) };
        let core = world.client_core(number);
        let errors = core.internal_errors();
        if errors > 0 {
            return Err(format!("client {number} has {errors} internal errors"));
        }
        for (channel, members) in &app.derived {
            members
                .compare(core, channel)
                .map_err(|what| format!("client {number}, {channel}: {what}"))?;
        }
        Ok(())
    }

    // The converged world.

    /// Checks a world that had time to converge: all clients are connected and attached, list the
    /// server's members, and their own members are in the expected state. With `refusals` the
    /// server may have refused members.
    pub(crate) fn converged(
        &self,
        world: &World,
        channels: &[SmolStr],
        refusals: bool,
    ) -> CheckResult {
        for number in 0..world.client_count() {
            let core = world.client_core(number);
            if core.connection().state() != ConnectionState::Connected {
                let state = core.connection().state();
                return Err(format!("client {number} is {state} and must be connected"));
            }
            let connection = core.connection().id().cloned().unwrap_or_default();
            for channel in channels {
                self.channel_converged(world, number, &connection, channel, refusals)?;
            }
            if let Some(app) = self.apps.get(&number)
                && let Some(op) = app.running.keys().next()
            {
                return Err(format!("client {number}: {op:?} does not end"));
            }
        }
        Ok(())
    }

    fn channel_converged(
        &self,
        world: &World,
        number: usize,
        connection: &SmolStr,
        channel: &SmolStr,
        refusals: bool,
    ) -> CheckResult {
        let core = world.client_core(number);
        let Some(view) = core.channel(channel) else {
            return Err(format!("client {number} has no channel {channel}"));
        };
        if view.state() != ChannelState::Attached {
            let state = view.state();
            return Err(format!("client {number}: {channel} is {state} and must be attached"));
        }
        if view.is_syncing() {
            return Err(format!("client {number}: the sync of {channel} does not end"));
        }
        let stored = server_set(world, channel);
        let members: BTreeMap<Key, Option<Data>> =
            stored.iter().map(|(key, member)| (key.clone(), member.data.clone())).collect();
        let app = self.apps.get(&number);
        for ((_, client_id), (_, expected)) in
            app.iter().flat_map(|app| &app.expected).filter(|((c, _), _)| c == channel)
        {
            let found = members.get(&(connection.clone(), client_id.clone()));
            let holds = match expected {
                Expected::Present(data) => refusals || found == Some(data),
                Expected::Absent => found.is_none(),
                Expected::Unknown => true,
            };
            if !holds {
                return Err(format!(
                    "client {number}, {channel}: {client_id} must be {expected:?}, is {found:?}"
                ));
            }
        }
        let listed = client_set(core, channel);
        // Without the mode PRESENCE_SUBSCRIBE a client receives events of its own members only
        // (RTP17a), and no syncs.
        let subscribes =
            view.modes().is_some_and(|modes| modes.contains(Modes::PRESENCE_SUBSCRIBE));
        let is_visible = |(key, _): &(&Key, _)| subscribes || key.0 == *connection;
        if !listed.iter().filter(is_visible).eq(members.iter().filter(is_visible)) {
            return Err(format!(
                "client {number}, {channel}: lists {listed:?}, the server {members:?}"
            ));
        }
        Ok(())
    }

    /// Checks that no operation is running after all clients have closed.
    pub(crate) fn all_ended(&self) -> CheckResult {
        for (number, app) in &self.apps {
            if let Some(op) = app.running.keys().next() {
                return Err(format!("client {number}: {op:?} does not end on close"));
            }
        }
        Ok(())
    }
}

impl App {
    fn channel(&mut self, channel: &SmolStr, event: ChannelEvent) {
        if self.derived.entry(channel.clone()).or_default().apply_channel(event) {
            self.forget_expected(channel, None);
        }
    }

    /// The transport is lost. The client re-enters its own members, which follow the echoes only
    /// (RTP17b): changes that were acknowledged but not echoed are lost.
    fn forget_not_echoed(&mut self, core: &Client) {
        for ((channel, client_id), (_, expected)) in &mut self.expected {
            let own = core.channel(channel).and_then(|view| {
                let mut own = view.own_members();
                own.find(|member| member.client_id.as_ref() == Some(client_id))
                    .map(|member| member.data.clone())
            });
            let is_echoed = match expected {
                Expected::Present(data) => own.as_ref() == Some(data),
                Expected::Absent => own.is_none(),
                Expected::Unknown => true,
            };
            if !is_echoed {
                *expected = Expected::Unknown;
            }
        }
    }

    /// The state of all own members is unknown from now on.
    fn forget_all_expected(&mut self) {
        self.expected.values_mut().for_each(|(_, expected)| *expected = Expected::Unknown);
        self.running.values_mut().flatten().for_each(|change| change.then = Expected::Unknown);
    }

    /// The state of a member, or of all own members on a channel, is unknown from now on.
    fn forget_expected(&mut self, channel: &SmolStr, client_id: Option<&SmolStr>) {
        for ((name, who), (_, expected)) in &mut self.expected {
            if name == channel && client_id.is_none_or(|client_id| client_id == who) {
                *expected = Expected::Unknown;
            }
        }
        // The server may have applied running operations before or after.
        for change in self.running.values_mut().flatten() {
            if change.channel == *channel
                && client_id.is_none_or(|client_id| change.client_id.as_ref() == Some(client_id))
            {
                change.then = Expected::Unknown;
            }
        }
    }
}

/// The members of a channel according to the events that an application received.
#[derive(Clone, Debug, Default)]
pub(crate) struct DerivedMembers {
    members: BTreeMap<Key, Option<Data>>,
}

impl DerivedMembers {
    /// Applies a presence event. An error if a member leaves that is not present.
    pub(crate) fn apply(&mut self, message: &PresenceMessage) -> CheckResult {
        let (key, member) = parts(message);
        if message.action == PresenceAction::Leave {
            if self.members.remove(&key).is_none() {
                return Err(format!("{key:?} leaves and is not present"));
            }
        } else {
            self.members.insert(key, member.data);
        }
        Ok(())
    }

    /// Applies a channel event. Returns true if it clears the set, for which there are no presence
    /// events (RTP5a).
    pub(crate) fn apply_channel(&mut self, event: ChannelEvent) -> bool {
        let clears = matches!(
            event,
            ChannelEvent::State(
                ChannelState::Detached | ChannelState::Failed | ChannelState::Initialized
            )
        );
        if clears {
            self.members.clear();
        }
        clears
    }

    /// Compares the members with those that the client lists. During a sync there may be more:
    /// members that left during the sync leave at its end.
    pub(crate) fn compare(&self, core: &Client, channel: &str) -> CheckResult {
        let syncing = core.channel(channel).is_some_and(|view| view.is_syncing());
        let listed = client_set(core, channel);
        for (key, data) in &listed {
            if self.members.get(key) != Some(data) {
                return Err(format!("{key:?} is listed without an event"));
            }
        }
        let extra = self.members.keys().find(|key| !listed.contains_key(*key));
        match extra {
            Some(key) if !syncing => {
                Err(format!("{key:?} is present by its events and not listed"))
            }
            _ => Ok(()),
        }
    }
}

/// A re-entry contains the id of the member only on the connection that created it (RTP17g1).
fn check_sent(frame: &ProtocolMessage, connection: Option<&SmolStr>) -> CheckResult {
    let connection = connection.map_or("", SmolStr::as_str);
    let foreign = |id: &SmolStr| sequence(id, connection).is_none();
    match frame.presence.iter().filter_map(|item| item.id.as_ref()).find(|id| foreign(id)) {
        Some(id) => Err(format!("it sends an id of another connection than {connection}: {id}")),
        None => Ok(()),
    }
}

/// The operation that an input starts, and the change of a member, if any.
fn operation(input: &client::Input, own: Option<SmolStr>) -> Option<(OpId, Option<Change>)> {
    match input {
        client::Input::Presence(client::input::Presence { op, channel, change, .. }) => {
            let client_id = change.client_id.clone().or(own);
            let then = match change.action {
                PresenceAction::Leave => Expected::Absent,
                _ => Expected::Present(change.data.clone()),
            };
            Some((*op, Some(Change { channel: channel.clone(), client_id, then })))
        }
        client::Input::Ping(client::input::Ping { op, .. })
        | client::Input::Authorize(client::input::Authorize { op, .. })
        | client::Input::Attach(client::input::Attach { op, .. })
        | client::Input::Detach(client::input::Detach { op, .. })
        | client::Input::SetOptions(client::input::SetOptions { op, .. })
        | client::Input::Release(client::input::Release { op, .. })
        | client::Input::Get(client::input::Get { op, .. })
        | client::Input::Subscribe(client::input::Subscribe { op, .. })
        | client::Input::Send(client::input::Send { op, .. }) => Some((*op, None)),
        _ => None,
    }
}

fn parts(message: &PresenceMessage) -> (Key, Member) {
    let key = (
        message.connection_id.clone().unwrap_or_default(),
        message.client_id.clone().unwrap_or_default(),
    );
    (key, Member { id: message.id.clone().unwrap_or_default(), data: message.data.clone() })
}

/// The members of a channel on the server.
fn server_set(world: &World, channel: &str) -> BTreeMap<Key, Member> {
    let mut query = PresenceQuery::default();
    let mut members = BTreeMap::new();
    let node = (0..world.node_count()).find(|node| world.is_node_up(*node)).unwrap_or(0);
    while let Ok(page) = world.node(node).presence(channel, &query) {
        members.extend(page.items.iter().map(parts));
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    members
}

/// The members of a channel that a client lists.
fn client_set(core: &Client, channel: &str) -> BTreeMap<Key, Option<Data>> {
    let mut set = BTreeMap::new();
    if let Some(view) = core.channel(channel) {
        for member in view.members() {
            let (key, member) = parts(&member.to_message(PresenceAction::Present));
            set.insert(key, member.data);
        }
    }
    set
}
