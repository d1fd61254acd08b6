//! Plays a scenario and checks it: first what goes wrong, then the mending, and at last
//! everybody leaves.

use crate::check::{Checker, Found};
use crate::scenario::{ClientSetup, Scenario, Setup, Step};
use core::fmt;
use core::time::Duration;
use presence_proto::SmolStr;
use presence_proto::client::{
    ChannelOptions, ChannelState, ClientOptions, ConnectionState, GetParams, Input, PresenceChange,
};
use presence_proto::server::{Identity, KeySecret, Rate, ServerOptions};
use presence_proto::wire::{Data, Format, Modes, PresenceAction};
use presence_sim::Call;
use presence_sim::Latency;
use presence_sim::SimClient;
use presence_sim::Trace;
use presence_sim::World;

/// How long the mended world has to settle, in milliseconds of virtual time: half-open transports
/// have to be noticed, suspended connections and channels wait for their retry.
const SETTLE: u64 = 150_000;

/// How long it takes until nothing is left of clients that have gone, in milliseconds: the
/// longest silence, the time to live of a connection, and that of the history.
const FORGET: u64 = 600_000;

/// What a run was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Calls of `handle`, of all halves.
    pub calls: u64,
    /// Faults, of all kinds.
    pub faults: u64,
    /// Virtual time, in milliseconds.
    pub virtual_millis: u64,
    /// Connections that were resumed.
    pub resumed: u64,
    /// Own members entered again that the server had kept.
    pub reentries: u64,
    /// Frames that came twice and were acknowledged twice.
    pub duplicates: u64,
    /// Members that left because their grace ended.
    pub grace_leaves: u64,
    /// Syncs.
    pub syncs: u64,
}

impl core::ops::AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.faults += other.faults;
        self.virtual_millis += other.virtual_millis;
        self.resumed += other.resumed;
        self.reentries += other.reentries;
        self.duplicates += other.duplicates;
        self.grace_leaves += other.grace_leaves;
        self.syncs += other.syncs;
    }
}

/// What a run found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the scenario.
    pub seed: u64,
    /// When, in milliseconds of virtual time.
    pub at: u64,
    /// What does not hold.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, t={}: {}", self.seed, self.at, self.what)
    }
}

impl core::error::Error for Failure {}

impl Scenario {
    /// Plays the scenario: its steps, then everything is mended and must converge, then everybody
    /// goes and nothing must be left.
    ///
    /// # Errors
    ///
    /// The first thing that does not hold.
    pub fn run(&self) -> Result<Report, Failure> {
        let mut runner = Runner::new(self);
        runner.world.disable_trace();
        runner.play(self)
    }

    /// The same, with the text trace of the run.
    pub fn run_traced(&self) -> (Result<Report, Failure>, Trace) {
        let mut runner = Runner::new(self);
        let result = runner.play(self);
        (result, runner.world.into_trace())
    }

    /// The same, with every call of every half.
    pub fn run_recorded(&self) -> (Result<Report, Failure>, Recording) {
        let mut runner = Runner::new(self);
        runner.kept = Some(Vec::new());
        let result = runner.play(self);
        let recording = Recording {
            seed: self.seed,
            config: runner.world.server_options().clone(),
            clients: (0..runner.world.client_count())
                .filter_map(|client| runner.world.client_options(client).cloned())
                .collect(),
            calls: runner.kept.take().unwrap_or_default(),
        };
        (result, recording)
    }

    /// A scenario that fails as this one does, with as few steps as leaving steps out can reach.
    #[must_use]
    pub fn shrunk(&self) -> Self {
        let mut best = self.clone();
        let mut chunk = best.steps.len().div_ceil(2).max(1);
        loop {
            let mut from = 0;
            let mut shrunk = false;
            while from < best.steps.len() {
                let mut shorter = best.clone();
                let to = (from + chunk).min(shorter.steps.len());
                shorter.steps.drain(from..to);
                if shorter.run().is_err() {
                    best = shorter;
                    shrunk = true;
                } else {
                    from += chunk;
                }
            }
            if chunk == 1 && !shrunk {
                return best;
            }
            chunk = chunk.div_ceil(2);
        }
    }
}

/// Everything that went into the halves in one run, and what came out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recording {
    /// The seed of the world.
    pub seed: u64,
    /// How the server was configured.
    pub config: ServerOptions,
    /// The clients' options.
    pub clients: Vec<ClientOptions>,
    /// The calls, in order.
    pub calls: Vec<Call>,
}

/// A world that is watched.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    pub(crate) world: World,
    pub(crate) checker: Checker,
    pub(crate) channels: Vec<SmolStr>,
    setups: Vec<ClientSetup>,
    kept: Option<Vec<Call>>,
    report: Report,
    refusals: bool,
}

impl Runner {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let setup = &scenario.setup;
        let mut world = World::new(scenario.seed, config(setup));
        world.set_queue_limit(setup.queue.into());
        world.record_calls();
        let mut runner = Self {
            world,
            checker: Checker::default(),
            channels: (1..=setup.channels.max(1)).map(|n| format!("room{n}").into()).collect(),
            setups: setup.clients.clone(),
            kept: None,
            report: Report::default(),
            refusals: setup.tiny_limits,
        };
        for (number, client) in setup.clients.iter().enumerate() {
            runner.add(number, client);
        }
        runner
    }

    fn add(&mut self, number: usize, setup: &ClientSetup) {
        let name = NAMES.get(number % NAMES.len()).copied().unwrap_or("client");
        let mut options = ClientOptions::default();
        let identity = if setup.wildcard {
            Identity::Any
        } else {
            options.client_id = Some(name.into());
            Identity::Client(name.into())
        };
        options.queue_messages = setup.queues;
        options.echo_messages = setup.echo;
        options.observes_pings = setup.pings;
        options.retry_jitter = setup.jitter;
        options.token_renewable = true;
        for (param, value) in
            [("remainPresentFor", setup.grace), ("heartbeatInterval", setup.heartbeat)]
        {
            if let Some(value) = value {
                options.transport_params.push((param.into(), value.to_string().into()));
            }
        }
        let client = self.world.add_client(name, identity, options);
        let latency = Latency { up: setup.up.into(), down: setup.down.into() };
        self.world.set_latency(client, latency);
        self.world.set_format(client, format_of(setup.format));
        // The checker reads the calls.
        self.world.client(client).discard_events();
        self.listen(client);
    }

    /// The application subscribes to all channels, without attaching them.
    fn listen(&mut self, client: usize) {
        let modes = self.setups.get(client).and_then(|setup| modes(setup.modes));
        for channel in self.channels.clone() {
            let mut options = ChannelOptions::default();
            options.modes = modes;
            options.attach_on_subscribe = false;
            let mut handle = self.world.client(client);
            handle.set_options(&channel, options);
            handle.subscribe(&channel);
        }
    }

    pub(crate) fn play(&mut self, scenario: &Scenario) -> Result<Report, Failure> {
        let result = self.phases(scenario);
        let counters = self.world.server().counters();
        self.report.virtual_millis = self.world.now();
        self.report.resumed = counters.resumed;
        self.report.reentries = counters.reentries;
        self.report.duplicates = counters.duplicates;
        self.report.grace_leaves = counters.grace_leaves;
        self.report.syncs = counters.syncs;
        let failure = |what| Failure { seed: scenario.seed, at: self.world.now(), what };
        result.map_err(failure).map(|()| self.report)
    }

    fn phases(&mut self, scenario: &Scenario) -> Found {
        self.watch()?;
        for step in &scenario.steps {
            self.step(*step)?;
        }
        self.heal_and_check()?;
        self.leave()
    }

    /// Mends what is broken, and demands that everybody sees the same then.
    pub(crate) fn heal_and_check(&mut self) -> Found {
        self.heal()?;
        self.checker.at_rest(&self.world, &self.channels, self.refusals)
    }

    /// Everything that is broken is mended; who is not there comes back.
    fn heal(&mut self) -> Found {
        self.world.note(format_args!("-- everything is mended"));
        for client in 0..self.world.client_count() {
            self.world.set_reachable(client, true);
            self.world.unstall(client);
            self.world.cancel_cut(client);
            self.watch()?;
        }
        for _ in 0..3 {
            self.come_back()?;
            self.run_for(SETTLE)?;
        }
        Ok(())
    }

    fn come_back(&mut self) -> Found {
        for client in 0..self.world.client_count() {
            let mut handle = self.world.client(client);
            if matches!(
                handle.connection_state(),
                ConnectionState::Initialized
                    | ConnectionState::Closing
                    | ConnectionState::Closed
                    | ConnectionState::Failed
            ) {
                handle.connect();
                self.watch()?;
            }
            for channel in self.channels.clone() {
                let mut handle = self.world.client(client);
                if !matches!(
                    handle.channel_state(&channel),
                    ChannelState::Attached | ChannelState::Attaching
                ) {
                    handle.attach(&channel);
                    self.watch()?;
                }
            }
        }
        Ok(())
    }

    /// CallKind of the clients close, the others die. Nothing must be left of any of them.
    fn leave(&mut self) -> Found {
        for client in 0..self.world.client_count() {
            if client % 2 == 0 {
                self.world.client(client).close();
            } else {
                self.world.unplug(client);
                self.world.restart_client(client, false);
            }
            self.watch()?;
        }
        self.run_for(FORGET)?;
        self.checker.at_end()?;
        let counters = self.world.server().counters();
        for (what, left) in [
            ("connections", counters.connections),
            ("transports", counters.transports),
            ("channels", counters.channels),
            ("attachments", counters.attachments),
            ("members", counters.members),
            ("bytes of members", counters.member_bytes),
            ("bytes of histories", counters.history_bytes),
            ("syncs", counters.syncs_running),
            ("congested transports", counters.congested),
            ("misuses", counters.misuse),
        ] {
            if left != 0 {
                return Err(format!("everybody has gone, and {left} {what} are left"));
            }
        }
        if self.world.has_open_transports() {
            return Err("everybody has gone, and the server has never closed a transport".into());
        }
        if let Some(at) = self.world.server_deadline() {
            return Err(format!("everybody has gone, and the server waits for {at:?}"));
        }
        for number in 0..self.world.client_count() {
            if let Some(at) = self.world.client_deadline(number) {
                return Err(format!("client {number} has gone, and waits for {at:?}"));
            }
        }
        Ok(())
    }

    /// Lets time pass and looks after every call.
    pub(crate) fn run_for(&mut self, millis: u64) -> Found {
        let until = self.world.now().saturating_add(millis);
        while self.world.step_until(until) {
            self.watch()?;
        }
        self.world.advance_to(until);
        Ok(())
    }

    /// Checks what has just happened.
    pub(crate) fn watch(&mut self) -> Found {
        let calls = self.world.take_calls();
        self.report.calls += calls.len() as u64;
        if let Some(kept) = &mut self.kept {
            kept.extend(calls.iter().cloned());
        }
        self.checker.observe(&self.world, calls)
    }

    /// Carries a step out.
    pub(crate) fn step(&mut self, step: Step) -> Found {
        if let Step::Run(millis) = step {
            return self.run_for(millis.into());
        }
        if !self.ask(step) {
            self.report.faults += 1;
            self.fault(step);
        }
        self.watch()
    }

    fn number(&self, client: u8) -> usize {
        usize::from(client) % self.world.client_count().max(1)
    }

    fn channel(&self, channel: u8) -> SmolStr {
        let index = usize::from(channel) % self.channels.len().max(1);
        self.channels.get(index).cloned().unwrap_or_default()
    }

    fn handle(&mut self, client: u8) -> SimClient<'_> {
        let number = self.number(client);
        self.world.client(number)
    }

    /// What an application does. False if the step is a fault.
    fn ask(&mut self, step: Step) -> bool {
        match step {
            Step::Connect(c) => self.handle(c).connect(),
            Step::Close(c) => self.handle(c).close(),
            Step::Attach(c, channel) => {
                let channel = self.channel(channel);
                self.handle(c).attach(&channel);
            }
            Step::Detach(c, channel) => {
                let channel = self.channel(channel);
                self.handle(c).detach(&channel);
            }
            Step::Enter(c, channel, who, data) => {
                self.presence(PresenceAction::Enter, c, channel, who, data);
            }
            Step::Update(c, channel, who, data) => {
                self.presence(PresenceAction::Update, c, channel, who, data);
            }
            Step::Leave(c, channel, who) => {
                self.presence(PresenceAction::Leave, c, channel, who, 0);
            }
            Step::Get(c, channel, wait_for_sync) => {
                let channel = self.channel(channel);
                let mut params = GetParams::default();
                params.wait_for_sync = wait_for_sync;
                self.handle(c).get_with(&channel, params);
            }
            Step::Ping(c) => {
                self.handle(c).ping();
            }
            Step::SetModes(c, channel, number) => {
                let channel = self.channel(channel);
                let mut options = ChannelOptions::default();
                options.modes = modes(number);
                options.attach_on_subscribe = false;
                self.handle(c).set_options(&channel, options);
            }
            Step::NetworkLost(c) => self.handle(c).input(Input::NetworkLost),
            Step::NetworkAvailable(c) => self.handle(c).input(Input::NetworkAvailable),
            _ => return false,
        }
        true
    }

    fn presence(&mut self, action: PresenceAction, c: u8, channel: u8, who: u8, data: u8) {
        let channel = self.channel(channel);
        let mut change = PresenceChange::new(action, data_of(data));
        if who > 0 {
            let who = OTHERS.get(usize::from(who) % OTHERS.len()).copied().unwrap_or("x");
            change = change.of_client(who);
        }
        self.handle(c).presence(&channel, change);
    }

    fn fault(&mut self, step: Step) {
        let number = |c| self.number(c);
        match step {
            Step::Cut(c) => self.world.cut(number(c)),
            Step::CutAfter(c, frames) => self.world.cut_after(number(c), frames.into()),
            Step::CutUnseenByServer(c) => self.world.cut_unseen_by_server(number(c)),
            Step::CutUnseenByClient(c) => self.world.cut_unseen_by_client(number(c)),
            Step::Unplug(c) => self.world.unplug(number(c)),
            Step::StallUp(c) => self.world.stall_up(number(c)),
            Step::StallDown(c) => self.world.stall_down(number(c)),
            Step::DelaySyncPages(c) => self.world.delay_sync_pages(number(c)),
            Step::Unstall(c) => self.world.unstall(number(c)),
            Step::CongestBriefly(c) => self.world.congest_briefly(number(c)),
            Step::Unreachable(c) => self.world.set_reachable(number(c), false),
            Step::Reachable(c) => self.world.set_reachable(number(c), true),
            Step::SlowDown(c, up, down) => {
                let latency = Latency { up: up.into(), down: down.into() };
                self.world.set_latency(number(c), latency);
            }
            Step::ServerClock(by) => self.world.step_server_clock(by.into()),
            Step::ClientClock(c, by) => self.world.step_client_clock(number(c), by.into()),
            Step::CutAll => self.world.cut_all(),
            Step::RestartServer => self.world.restart_server(),
            Step::RestartClient(c, recover) => {
                let number = number(c);
                self.world.restart_client(number, recover);
                self.listen(number);
            }
            Step::Kick(channel, who) => {
                let channel = self.channel(channel);
                let client_id = (who > 0).then(|| {
                    let number = usize::from(who) - 1;
                    NAMES.get(number % NAMES.len()).copied().unwrap_or("x")
                });
                self.world.kick(&channel, client_id);
            }
            Step::Garbage(c) => self.world.send_garbage(number(c)),
            _ => {}
        }
    }
}

const NAMES: &[&str] = &["alice", "bob", "carol", "dave"];

/// Client ids that wildcard clients act for.
const OTHERS: &[&str] = &["x", "y", "alice", "z"];

fn modes(number: u8) -> Option<Modes> {
    let all = Modes::PRESENCE | Modes::PUBLISH | Modes::SUBSCRIBE | Modes::PRESENCE_SUBSCRIBE;
    match number {
        1 => Some(all - Modes::PRESENCE_SUBSCRIBE),
        2 => Some(all - Modes::PRESENCE),
        _ => None,
    }
}

fn format_of(number: u8) -> Option<Format> {
    match number {
        1 => Some(Format::Json),
        2 => Some(Format::MessagePack),
        _ => None,
    }
}

/// Data of several kinds, a few of each.
fn data_of(number: u8) -> Option<Data> {
    match number % 8 {
        0 => None,
        1 => Some(Data::Binary([number, 0, 255].as_slice().into())),
        n => Some(Data::String(format!("{n}").into())),
    }
}

fn config(setup: &Setup) -> ServerOptions {
    let mut config = ServerOptions::default();
    config.key_secret = Some(KeySecret([7; 32]));
    config.sync_page_members = setup.page_members.into();
    config.sync_page_bytes = usize::try_from(setup.page_bytes).unwrap_or(usize::MAX);
    config.budget = setup.budget.into();
    config.sync_pages_per_call = setup.budget.into();
    config.connection_state_ttl = Duration::from_millis(setup.state_ttl.into());
    if setup.tiny_limits {
        config.limits.members_per_channel = 3;
        config.limits.message_size = 64;
        config.limits.items_per_frame = 2;
        config.limits.inbound = Rate { per_second: 20, burst: 20 };
        config.limits.channel = Rate { per_second: 20, burst: 20 };
        config.limits.replies_while_congested = 5;
        config.history.events = 2;
    }
    config
}
