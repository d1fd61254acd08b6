//! What must always hold, and what must hold once everything has come to rest.

use crate::model::{Key, Member, Model, own_place};
use presence_proto::client::{self, ChannelEvent, ChannelState, Client, ConnectionState};
use presence_proto::server::{self, LeaveCause, PresenceQuery, ServerEvent, output};
use presence_proto::wire::{
    Action, Data, Flags, Modes, PresenceAction, PresenceMessage, ProtocolMessage,
};
use presence_proto::{OpId, SmolStr, TransportId};
use presence_sim::World;
use presence_sim::{Call, CallKind};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How much later than the end of its grace a member may leave, in milliseconds: what the timers
/// of the server may be late by.
const SLACK: u64 = 1_000;

/// What is wrong, in words.
pub(crate) type Found = Result<(), String>;

/// Watches a world call by call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checker {
    model: Model,
    /// The connection of each open transport, once CONNECTED was sent.
    transports: BTreeMap<TransportId, SmolStr>,
    /// What each transport asked for.
    requests: BTreeMap<TransportId, server::ConnectRequest>,
    /// Presence frames that have no answer yet, in the order in which they arrived.
    unanswered: BTreeMap<SmolStr, VecDeque<Waiting>>,
    /// What each connection asked for that takes its members out: the end of all, or of a channel.
    ending: BTreeSet<SmolStr>,
    leaving: BTreeSet<(SmolStr, SmolStr)>,
    /// ATTACH frames of each transport and channel that have no answer yet: whether the client
    /// attaches anew.
    attaching: BTreeMap<(TransportId, SmolStr), VecDeque<bool>>,
    /// The member sets as told by the server's events.
    told: BTreeMap<SmolStr, BTreeMap<Key, Member>>,
    apps: BTreeMap<usize, App>,
}

/// A presence frame that has no answer yet.
#[derive(Clone, Debug)]
struct Waiting {
    frame: ProtocolMessage,
    /// Whether it came in an earlier call: it changed nothing then, or that would have been told, and
    /// a late answer is no news.
    worked_off: bool,
}

/// What an application knows, did and was told.
#[derive(Clone, Debug, Default)]
struct App {
    /// Members by channel, from events alone.
    folds: BTreeMap<SmolStr, Fold>,
    /// Operations without an outcome.
    open: BTreeMap<OpId, Option<Wish>>,
    /// How it wants its members to be, as far as outcomes tell.
    /// The number of the operation says which of two came last.
    wishes: BTreeMap<(SmolStr, SmolStr), (OpId, Wished)>,
}

/// What a presence operation is about.
#[derive(Clone, Debug)]
struct Wish {
    channel: SmolStr,
    client_id: Option<SmolStr>,
    then: Wished,
}

/// Whether a member is to be present.
#[derive(Clone, Debug, PartialEq)]
enum Wished {
    Present(Option<Data>),
    Gone,
    /// An operation failed, and what the server made of it is not known.
    Unknown,
}

impl Checker {
    /// Takes in calls and compares the world as it is after them with what it must be.
    pub(crate) fn observe(&mut self, world: &World, calls: Vec<Call>) -> Found {
        if let Some(wrong) = world.failure() {
            return Err(wrong.into());
        }
        let mut clients = BTreeSet::new();
        let mut server = false;
        for call in calls {
            let at = call.at;
            match call.kind {
                CallKind::Server { input, outputs } => {
                    server = true;
                    self.server_call(world, at, &input, &outputs)?;
                }
                CallKind::Client { client, input, outputs } => {
                    clients.insert(client);
                    self.client_call(world, client, &input, &outputs)?;
                }
                CallKind::ServerRestarted => {
                    self.model = Model::default();
                    self.transports.clear();
                    self.requests.clear();
                    self.unanswered.clear();
                    self.ending.clear();
                    self.leaving.clear();
                    self.attaching.clear();
                    self.told.clear();
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

    // The server's side.

    fn server_call(
        &mut self,
        world: &World,
        at: u64,
        input: &server::Input,
        outputs: &[server::Output],
    ) -> Found {
        let mut displaced = BTreeSet::new();
        self.unanswered.values_mut().flatten().for_each(|waiting| waiting.worked_off = true);
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
        // A transport that takes a connection over from another one displaces it without a loss.
        for output in outputs {
            if let server::Output::Send(server::output::Send { to, frame, .. }) = output
                && let head = frame.head()
                && head.action == Action::Connected
                && let (Some(transport), Some(id)) = (to.iter().next(), &head.connection_id)
            {
                self.connected(world, transport, id, &mut displaced);
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
                        && !displaced.contains(transport)
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

    /// What a frame of a client may lead to, now or later.
    fn received(&mut self, transport: TransportId, id: SmolStr, frame: &ProtocolMessage) {
        let channel = frame.channel.clone().unwrap_or_default();
        match frame.action {
            Action::Presence => {
                let waiting = Waiting { frame: frame.clone(), worked_off: false };
                self.unanswered.entry(id).or_default().push_back(waiting);
            }
            Action::Close => {
                self.ending.insert(id);
            }
            Action::Detach => {
                self.leaving.insert((id, channel));
            }
            Action::Attach => {
                let anew = frame.channel_serial.is_none();
                self.attaching.entry((transport, channel.clone())).or_default().push_back(anew);
                self.leaving.insert((id, channel));
            }
            _ => {}
        }
    }

    /// A member said something of itself: the first frame without an answer that says so has been
    /// accepted. Its answer may come later, or never, to a connection that is congested.
    fn said(&mut self, channel: &SmolStr, message: &PresenceMessage) {
        let Some(id) = &message.connection_id else { return };
        let says = |waiting: &Waiting| {
            let frame = &waiting.frame;
            let serial = own_place(message.id.as_deref().unwrap_or_default(), id).map(|(at, _)| at);
            frame.channel.as_ref() == Some(channel)
                && (frame.msg_serial == serial
                    || frame.presence.iter().any(|item| item.id == message.id))
        };
        let Some(waiting) = self.unanswered.get_mut(id) else { return };
        let place = waiting.iter().position(says);
        let said = place.and_then(|place| waiting.remove(place));
        if let Some(Waiting { frame, .. }) = said
            && let Some(serial) = frame.msg_serial
        {
            self.model.accepted(id, channel, serial, &frame.presence);
        }
    }

    /// A member was taken out by the server. Says what is wrong if nobody asked for it.
    fn taken_out(&mut self, channel: &SmolStr, key: &Key, cause: LeaveCause, at: u64) -> Found {
        match cause {
            LeaveCause::GraceEnded => return self.model.expired(channel, key, at),
            LeaveCause::Kicked => return self.model.kicked_out(channel, key),
            LeaveCause::Closed if !self.ending.contains(&key.0) => {
                return Err(format!("{channel}: {key:?} leaves, and nobody closed its connection"));
            }
            LeaveCause::Detached if !self.leaving.contains(&(key.0.clone(), channel.clone())) => {
                return Err(format!("{channel}: {key:?} leaves, and nobody detached the channel"));
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
        displaced: &mut BTreeSet<TransportId>,
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
            displaced.insert(*old);
            // Until the new transport has attached them, the channels are as good as lost.
            self.model.lost(id, world.now());
        }
        if self.transports.insert(transport, id.clone()).as_ref() != Some(id) {
            // Frames that had no answer when the transport broke come again, or never do.
            self.unanswered.remove(id);
        }
        self.model.connected(id, client_id, grace, world.now());
    }

    /// What a frame of the server means for the model.
    fn answer(&mut self, transport: TransportId, frame: &ProtocolMessage) -> Found {
        let Some(id) = self.transports.get(&transport).cloned() else { return Ok(()) };
        match frame.action {
            Action::Ack | Action::Nack => {
                let first = frame.msg_serial.unwrap_or(-1);
                let last = first + i64::from(frame.count.unwrap_or(1)) - 1;
                let waiting = self.unanswered.entry(id.clone()).or_default();
                for serial in first..=last {
                    let same = |other: &Waiting| other.frame.msg_serial == Some(serial);
                    let place = waiting.iter().position(same);
                    let Some(came) = place.and_then(|place| waiting.remove(place)) else {
                        continue;
                    };
                    if frame.action == Action::Ack
                        && let Some(channel) = &came.frame.channel
                    {
                        let news = if came.worked_off { &[][..] } else { &came.frame.presence };
                        self.model.accepted(&id, channel, serial, news);
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
                        self.model.attached_anew(&id, channel);
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
                return Err(format!("a page of a sync without a serial: {frame:?}"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Folds the server's events: they are to be an exact copy of its sets.
    fn event(&mut self, event: &ServerEvent, at: u64) -> Found {
        match event {
            ServerEvent::MemberEntered(output::MemberEntered { channel, message, .. }) => {
                self.said(channel, message);
                let members = self.told.entry(channel.clone()).or_default();
                let (key, member) = parts(message);
                if members.insert(key.clone(), member).is_some() {
                    return Err(format!("{channel}: {key:?} is told to enter a second time"));
                }
            }
            ServerEvent::MemberUpdated(output::MemberUpdated { channel, message, .. }) => {
                self.said(channel, message);
                let members = self.told.entry(channel.clone()).or_default();
                let (key, member) = parts(message);
                if members.insert(key.clone(), member).is_none() {
                    return Err(format!("{channel}: {key:?} is told to update and was not there"));
                }
            }
            ServerEvent::MemberLeft(output::MemberLeft { channel, message, cause, .. }) => {
                let (key, member) = parts(message);
                if *cause == LeaveCause::Left {
                    self.said(channel, message);
                } else {
                    self.taken_out(channel, &key, *cause, at)?;
                }
                self.model.left(channel, &key);
                if !matches!(cause, LeaveCause::Left | LeaveCause::GraceEnded) {
                    // The member is gone by no wish of its application, which may enter it again.
                    for app in self.apps.values_mut() {
                        app.doubt(channel, Some(&key.1));
                    }
                }
                let members = self.told.entry(channel.clone()).or_default();
                let Some(before) = members.remove(&key) else {
                    return Err(format!("{channel}: {key:?} is told to leave and was not there"));
                };
                if *cause != LeaveCause::Left && before.data != member.data {
                    return Err(format!("{channel}: {key:?} leaves without its last data"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn compare_server(&mut self, world: &World) -> Found {
        let mut channels: BTreeSet<SmolStr> = self.model.channels().into_iter().collect();
        channels.extend(self.told.keys().cloned());
        for channel in channels {
            let found = server_set(world, &channel);
            self.model.compare(&channel, &found, world.now(), SLACK)?;
            if *self.told.entry(channel.clone()).or_default() != found {
                return Err(format!("{channel}: the server's events do not make its set"));
            }
        }
        Ok(())
    }

    // The clients' side.

    fn client_call(
        &mut self,
        world: &World,
        number: usize,
        input: &client::Input,
        outputs: &[client::Output],
    ) -> Found {
        let own = world.client_identity(number).and_then(|identity| match identity {
            server::Identity::Client(client_id) => Some(client_id.clone()),
            _ => None,
        });
        let app = self.apps.entry(number).or_default();
        if let Some((op, wish)) = operation(input, own)
            && app.open.insert(op, wish).is_some()
        {
            return Err(format!("operation {op:?} is used twice"));
        }
        for output in outputs {
            match output {
                client::Output::Send(client::output::Send { frame, .. }) => {
                    let id = world.client_core(number).connection().id();
                    sent(frame, id).map_err(|what| format!("client {number}: {what}"))?;
                }
                client::Output::Presence(client::output::Presence { channel, message, .. }) => {
                    let fold = app.folds.entry(channel.clone()).or_default();
                    fold.hear(message)
                        .map_err(|what| format!("client {number}, {channel}: {what}"))?;
                }
                client::Output::Connection(change) => {
                    if change.previous == ConnectionState::Connected {
                        app.doubt_unheard(world.client_core(number));
                    }
                }
                client::Output::Channel(client::output::Channel { channel, change, .. }) => {
                    app.channel(channel, change.event)
                }
                client::Output::Warning(client::Warning::ReentryFailed {
                    channel,
                    client_id,
                    ..
                }) => app.doubt(channel, Some(client_id)),
                client::Output::Done(client::output::Done { op, result, .. }) => {
                    let Some(wish) = app.open.remove(op) else {
                        return Err(format!("client {number}: {op:?} ends a second time"));
                    };
                    if let Some(Wish { channel, client_id: Some(client_id), then }) = wish {
                        let then = if result.is_ok() { then } else { Wished::Unknown };
                        let wished = app
                            .wishes
                            .entry((channel, client_id))
                            .or_insert((*op, Wished::Unknown));
                        if *op >= wished.0 {
                            *wished = (*op, then);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn compare_client(&self, world: &World, number: usize) -> Found {
        let Some(app) = self.apps.get(&number) else { return Ok(()) };
        let core = world.client_core(number);
        let errors = core.internal_errors();
        if errors > 0 {
            return Err(format!("client {number} counts {errors} internal errors"));
        }
        for (channel, fold) in &app.folds {
            fold.compare(core, channel)
                .map_err(|what| format!("client {number}, {channel}: {what}"))?;
        }
        Ok(())
    }

    // At rest.

    /// Everything is mended and has had time to settle: everybody who wants to is connected and
    /// attached, and sees what the server sees, which is what the applications wanted.
    pub(crate) fn at_rest(&self, world: &World, channels: &[SmolStr], refusals: bool) -> Found {
        for number in 0..world.client_count() {
            let core = world.client_core(number);
            if core.connection().state() != ConnectionState::Connected {
                let state = core.connection().state();
                return Err(format!("client {number} is {state} and must be connected"));
            }
            let connection = core.connection().id().cloned().unwrap_or_default();
            for channel in channels {
                self.channel_at_rest(world, number, &connection, channel, refusals)?;
            }
            if let Some(app) = self.apps.get(&number)
                && let Some(op) = app.open.keys().next()
            {
                return Err(format!("client {number}: {op:?} never ends"));
            }
        }
        Ok(())
    }

    fn channel_at_rest(
        &self,
        world: &World,
        number: usize,
        connection: &SmolStr,
        channel: &SmolStr,
        refusals: bool,
    ) -> Found {
        let core = world.client_core(number);
        let Some(view) = core.channel(channel) else {
            return Err(format!("client {number} does not know {channel}"));
        };
        if view.state() != ChannelState::Attached {
            let state = view.state();
            return Err(format!("client {number}: {channel} is {state} and must be attached"));
        }
        if view.is_syncing() {
            return Err(format!("client {number}: the sync of {channel} never ends"));
        }
        let members = server_set(world, channel);
        let wanted: BTreeMap<Key, Option<Data>> =
            members.iter().map(|(key, member)| (key.clone(), member.data.clone())).collect();
        let app = self.apps.get(&number);
        for ((_, client_id), (_, wished)) in
            app.iter().flat_map(|app| &app.wishes).filter(|((c, _), _)| c == channel)
        {
            let found = wanted.get(&(connection.clone(), client_id.clone()));
            let right = match wished {
                Wished::Present(data) => refusals || found == Some(data),
                Wished::Gone => found.is_none(),
                Wished::Unknown => true,
            };
            if !right {
                return Err(format!(
                    "client {number}, {channel}: {client_id} is to be {wished:?}, is {found:?}"
                ));
            }
        }
        let listed = client_set(core, channel);
        // Who has no mode PRESENCE_SUBSCRIBE is told of its own members and of nobody else
        // (RTP17a): no sync ever says who is there.
        let hears = view.modes().is_some_and(|modes| modes.contains(Modes::PRESENCE_SUBSCRIBE));
        let counts = |(key, _): &(&Key, _)| hears || key.0 == *connection;
        if !listed.iter().filter(counts).eq(wanted.iter().filter(counts)) {
            return Err(format!(
                "client {number}, {channel}: sees {listed:?}, and the server {wanted:?}"
            ));
        }
        Ok(())
    }

    /// Everybody has gone for good: no operation is left without an outcome.
    pub(crate) fn at_end(&self) -> Found {
        for (number, app) in &self.apps {
            if let Some(op) = app.open.keys().next() {
                return Err(format!("client {number}: {op:?} never ends, though it has closed"));
            }
        }
        Ok(())
    }
}

impl App {
    fn channel(&mut self, channel: &SmolStr, event: ChannelEvent) {
        if self.folds.entry(channel.clone()).or_default().channel(event) {
            self.doubt(channel, None);
        }
    }

    /// The transport is gone. What was acknowledged on it but not echoed is not what the client
    /// would enter again: own members follow the echoes alone (RTP17b).
    fn doubt_unheard(&mut self, core: &Client) {
        for ((channel, client_id), (_, wished)) in &mut self.wishes {
            let own = core.channel(channel).and_then(|view| {
                let mut own = view.own_members();
                own.find(|member| member.client_id.as_ref() == Some(client_id))
                    .map(|member| member.data.clone())
            });
            let heard = match wished {
                Wished::Present(data) => own.as_ref() == Some(data),
                Wished::Gone => own.is_none(),
                Wished::Unknown => true,
            };
            if !heard {
                *wished = Wished::Unknown;
            }
        }
    }

    /// What was wished for a member, or for all of a channel, need no longer hold.
    fn doubt(&mut self, channel: &SmolStr, client_id: Option<&SmolStr>) {
        for ((name, who), (_, wished)) in &mut self.wishes {
            if name == channel && client_id.is_none_or(|client_id| client_id == who) {
                *wished = Wished::Unknown;
            }
        }
        // Operations under way may have been carried out before or after.
        for wish in self.open.values_mut().flatten() {
            if wish.channel == *channel
                && client_id.is_none_or(|client_id| wish.client_id.as_ref() == Some(client_id))
            {
                wish.then = Wished::Unknown;
            }
        }
    }
}

/// Who is present on a channel as far as its events tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fold {
    believed: BTreeMap<Key, Option<Data>>,
}

impl Fold {
    /// Takes in an event. Nobody leaves who had not come.
    pub(crate) fn hear(&mut self, message: &PresenceMessage) -> Found {
        let (key, member) = parts(message);
        if message.action == PresenceAction::Leave {
            if self.believed.remove(&key).is_none() {
                return Err(format!("{key:?} leaves and had not entered"));
            }
        } else {
            self.believed.insert(key, member.data);
        }
        Ok(())
    }

    /// Takes in an event of the channel itself. True if the set is emptied by it (RTP5a), of
    /// which nobody is told.
    pub(crate) fn channel(&mut self, event: ChannelEvent) -> bool {
        let empties = matches!(
            event,
            ChannelEvent::State(
                ChannelState::Detached | ChannelState::Failed | ChannelState::Initialized
            )
        );
        if empties {
            self.believed.clear();
        }
        empties
    }

    /// What an application believes from events is what its client lists; in a sync it may
    /// believe more, for those who left during it leave at its end.
    pub(crate) fn compare(&self, core: &Client, channel: &str) -> Found {
        let syncing = core.channel(channel).is_some_and(|view| view.is_syncing());
        let listed = client_set(core, channel);
        for (key, data) in &listed {
            if self.believed.get(key) != Some(data) {
                return Err(format!("{key:?} is listed and was not told"));
            }
        }
        let extra = self.believed.keys().find(|key| !listed.contains_key(*key));
        match extra {
            Some(key) if !syncing => Err(format!("{key:?} was told and is not listed")),
            _ => Ok(()),
        }
    }
}

/// A member that enters again brings its id along only on the connection that it was made on
/// (RTP17g1).
fn sent(frame: &ProtocolMessage, connection: Option<&SmolStr>) -> Found {
    let connection = connection.map_or("", SmolStr::as_str);
    let foreign = |id: &SmolStr| own_place(id, connection).is_none();
    match frame.presence.iter().filter_map(|item| item.id.as_ref()).find(|id| foreign(id)) {
        Some(id) => Err(format!("it sends an id that connection {connection} did not make: {id}")),
        None => Ok(()),
    }
}

/// The operation that an input starts, and what it means for a member.
fn operation(input: &client::Input, own: Option<SmolStr>) -> Option<(OpId, Option<Wish>)> {
    match input {
        client::Input::Presence(client::input::Presence { op, channel, change, .. }) => {
            let client_id = change.client_id.clone().or(own);
            let then = match change.action {
                PresenceAction::Leave => Wished::Gone,
                _ => Wished::Present(change.data.clone()),
            };
            Some((*op, Some(Wish { channel: channel.clone(), client_id, then })))
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

/// The members of a channel as the server has them.
fn server_set(world: &World, channel: &str) -> BTreeMap<Key, Member> {
    let mut query = PresenceQuery::default();
    let mut members = BTreeMap::new();
    while let Ok(page) = world.server().presence(channel, &query) {
        members.extend(page.items.iter().map(parts));
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    members
}

/// The members of a channel as a client lists them.
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
