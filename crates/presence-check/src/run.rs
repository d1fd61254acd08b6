//! Plays a scenario and checks it: the steps, the convergence after all faults have ended, and the
//! end of all clients.

use crate::check::{CheckResult, Checker};
use crate::scenario::{ClientSetup, Scenario, Setup, Step};
use core::fmt;
use core::time::Duration;
use presence_proto::SmolStr;
use presence_proto::client::{
    ChannelOptions, ChannelState, ClientOptions, ConnectionState, GetParams, Input, PresenceChange,
};
use presence_proto::server::{Identity, KeySecret, LogOptions, Rate, ServerOptions};
use presence_proto::wire::{Data, Format, Modes, PresenceAction};
use presence_sim::{Call, Latency, SimClient, Trace, World};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The time to converge after a round of reconnects, in milliseconds of virtual time: long enough
/// to detect half-open transports and to retry suspended connections and channels.
const SETTLE: u64 = 150_000;

/// The time after which the server has no state of ended clients, in milliseconds of virtual time:
/// the idle timeout, the time to live of connection state, and that of the history.
const FORGET: u64 = 600_000;

/// Figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Calls of all halves.
    pub calls: u64,
    /// Faults, of all kinds.
    pub faults: u64,
    /// Virtual time, in milliseconds.
    pub virtual_millis: u64,
    /// Connections that were resumed.
    pub resumed: u64,
    /// Re-entries of members that the server still had.
    pub reentries: u64,
    /// Frames that were received and acknowledged twice.
    pub duplicates: u64,
    /// Members that left at the end of their grace period.
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

/// A violated invariant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the scenario.
    pub seed: u64,
    /// The virtual time, in milliseconds.
    pub at: u64,
    /// The invariant and how it is violated.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, t={}: {}", self.seed, self.at, self.reason)
    }
}

impl core::error::Error for Failure {}

fn message_of(panic: &dyn core::any::Any) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("without a message"))
}

impl Scenario {
    /// Plays the scenario: its steps, convergence after all faults have ended, and the end of all
    /// clients, after which the server must have no state.
    ///
    /// # Errors
    ///
    /// The first violated invariant.
    pub fn run(&self) -> Result<Report, Failure> {
        let mut runner = Runner::new(self);
        runner.world.disable_trace();
        runner.play(self)
    }

    /// Like [`run`](Self::run), and returns the trace.
    pub fn run_traced(&self) -> (Result<Report, Failure>, Trace) {
        let mut runner = Runner::new(self);
        let result = runner.play(self);
        (result, runner.world.into_trace())
    }

    /// Like [`run`](Self::run), and returns all calls of the halves.
    pub fn run_recorded(&self) -> (Result<Report, Failure>, Recording) {
        let mut runner = Runner::new(self);
        runner.recorded = Some(Vec::new());
        let result = runner.play(self);
        let recording = Recording {
            seed: self.seed,
            nodes: (0..runner.world.node_count())
                .map(|node| runner.world.node_options(node).clone())
                .collect(),
            clients: (0..runner.world.client_count())
                .filter_map(|client| runner.world.client_options(client).cloned())
                .collect(),
            calls: runner.recorded.take().unwrap_or_default(),
        };
        (result, recording)
    }

    /// The scenario with as few steps as still fail.
    #[must_use]
    pub fn shrunk(&self) -> Self {
        let with = |steps: &[Step]| Self { steps: steps.to_vec(), ..self.clone() };
        with(&presence_sim::shrink(self.steps.clone(), |steps| with(steps).run().is_err()))
    }
}

/// The calls of all halves in a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recording {
    /// The seed of the world.
    pub seed: u64,
    /// The options of the nodes.
    pub nodes: Vec<ServerOptions>,
    /// The options of the clients.
    pub clients: Vec<ClientOptions>,
    /// The calls, in order.
    pub calls: Vec<Call>,
}

/// A world whose calls are checked.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    pub(crate) world: World,
    pub(crate) checker: Checker,
    pub(crate) channels: Vec<SmolStr>,
    setups: Vec<ClientSetup>,
    recorded: Option<Vec<Call>>,
    report: Report,
    refusals: bool,
    /// The number of nodes that share a log; 0 without a log.
    nodes: usize,
}

impl Runner {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let setup = &scenario.setup;
        let mut world = if setup.nodes == 0 {
            World::new(scenario.seed, server_options(setup))
        } else {
            cluster(scenario.seed, setup)
        };
        world.set_queue_limit(setup.queue.into());
        world.record_calls();
        let mut runner = Self {
            world,
            checker: if setup.nodes == 0 {
                Checker::default()
            } else {
                Checker::of_nodes(setup.gentle)
            },
            channels: (1..=setup.channels.max(1)).map(|n| format!("room{n}").into()).collect(),
            setups: setup.clients.clone(),
            recorded: None,
            report: Report::default(),
            refusals: setup.tiny_limits,
            nodes: setup.nodes.into(),
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
        // The checker uses the recorded calls.
        self.world.client(client).discard_events();
        self.subscribe(client);
    }

    /// Subscribes a client to all channels without attaching them.
    fn subscribe(&mut self, client: usize) {
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
        // A panic is a failure like others, to be shrunk and shown.
        let result = catch_unwind(AssertUnwindSafe(|| self.phases(scenario)))
            .unwrap_or_else(|panic| Err(message_of(panic.as_ref())));
        let counters = self.world.server().counters();
        self.report.virtual_millis = self.world.now();
        self.report.resumed = counters.resumed;
        self.report.reentries = counters.reentries;
        self.report.duplicates = counters.duplicates;
        self.report.grace_leaves = counters.grace_leaves;
        self.report.syncs = counters.syncs;
        let failure = |reason| Failure { seed: scenario.seed, at: self.world.now(), reason };
        result.map_err(failure).map(|()| self.report)
    }

    fn phases(&mut self, scenario: &Scenario) -> CheckResult {
        self.check()?;
        for step in &scenario.steps {
            self.step(*step)?;
        }
        self.heal_and_check()?;
        self.end_clients()
    }

    /// Ends all faults and checks that the world converges.
    pub(crate) fn heal_and_check(&mut self) -> CheckResult {
        self.heal()?;
        self.checker.converged(&self.world, &self.channels, self.refusals)
    }

    /// Ends all faults, reconnects all clients and gives them time to converge.
    fn heal(&mut self) -> CheckResult {
        self.world.note(format_args!("-- all faults are healed"));
        if self.nodes > 0 {
            self.world.log_up();
            for node in 0..self.world.node_count() {
                self.world.resume_node(node);
                self.world.heal_log(node);
                self.world.start_node(node);
                self.world.slow_node_clock(node, 1_000);
                self.check()?;
            }
        }
        for client in 0..self.world.client_count() {
            self.world.set_reachable(client, true);
            self.world.unstall(client);
            self.world.cancel_cut(client);
            self.check()?;
        }
        for _ in 0..3 {
            for node in 0..self.nodes {
                // It may have been stopping.
                self.world.start_node(node);
            }
            self.reconnect()?;
            self.run_for(SETTLE)?;
        }
        Ok(())
    }

    /// Connects and attaches clients that do not do so by themselves.
    fn reconnect(&mut self) -> CheckResult {
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
                self.check()?;
            }
            for channel in self.channels.clone() {
                let mut handle = self.world.client(client);
                if !matches!(
                    handle.channel_state(&channel),
                    ChannelState::Attached | ChannelState::Attaching
                ) {
                    handle.attach(&channel);
                    self.check()?;
                }
            }
        }
        Ok(())
    }

    /// Closes half of the clients and kills the others. The server must have no state of them.
    fn end_clients(&mut self) -> CheckResult {
        for client in 0..self.world.client_count() {
            if client % 2 == 0 {
                self.world.client(client).close();
            } else {
                self.world.unplug(client);
                self.world.restart_client(client, false);
            }
            self.check()?;
        }
        self.run_for(FORGET)?;
        self.checker.all_ended()?;
        for node in (0..self.world.node_count()).filter(|node| self.world.is_node_up(*node)) {
            self.nothing_left(node)?;
        }
        if self.world.has_open_transports() {
            return Err("a transport remains open after all clients have ended".into());
        }
        if let (0, Some(at)) = (self.nodes, self.world.server_deadline()) {
            return Err(format!(
                "the server has a deadline at {at:?} after all clients have ended"
            ));
        }
        for number in 0..self.world.client_count() {
            if let Some(at) = self.world.client_deadline(number) {
                return Err(format!("client {number} has ended, and has a deadline at {at:?}"));
            }
        }
        Ok(())
    }

    /// A node has no state of ended clients.
    fn nothing_left(&self, node: usize) -> CheckResult {
        let counters = self.world.node(node).counters();
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
                return Err(format!(
                    "node {node}: {left} {what} remain after all clients have ended"
                ));
            }
        }
        Ok(())
    }

    /// Advances the clock, and checks after every packet and deadline.
    pub(crate) fn run_for(&mut self, millis: u64) -> CheckResult {
        let until = self.world.now().saturating_add(millis);
        while self.world.step_until(until) {
            self.check()?;
        }
        self.world.advance_to(until);
        Ok(())
    }

    /// Checks the calls since the last time.
    pub(crate) fn check(&mut self) -> CheckResult {
        let calls = self.world.take_calls();
        self.report.calls += calls.len() as u64;
        if let Some(recorded) = &mut self.recorded {
            recorded.extend(calls.iter().cloned());
        }
        self.checker.observe(&self.world, calls)
    }

    /// Performs a step.
    pub(crate) fn step(&mut self, step: Step) -> CheckResult {
        if let Step::Run(millis) = step {
            return self.run_for(millis.into());
        }
        if !self.act(step) {
            self.report.faults += 1;
            self.fault(step);
        }
        self.check()
    }

    fn client_number(&self, client: u8) -> usize {
        usize::from(client) % self.world.client_count().max(1)
    }

    fn channel(&self, channel: u8) -> SmolStr {
        let index = usize::from(channel) % self.channels.len().max(1);
        self.channels.get(index).cloned().unwrap_or_default()
    }

    fn handle(&mut self, client: u8) -> SimClient<'_> {
        let number = self.client_number(client);
        self.world.client(number)
    }

    /// Performs a step of an application. Returns false if the step is a fault.
    fn act(&mut self, step: Step) -> bool {
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
            let who = OTHER_CLIENT_IDS
                .get(usize::from(who) % OTHER_CLIENT_IDS.len())
                .copied()
                .unwrap_or("x");
            change = change.of_client(who);
        }
        self.handle(c).presence(&channel, change);
    }

    fn fault(&mut self, step: Step) {
        let number = |c| self.client_number(c);
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
            Step::SetLatency(c, up, down) => {
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
                self.subscribe(number);
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
            step => self.node_fault(step),
        }
    }
}

impl Runner {
    fn node_fault(&mut self, step: Step) {
        let count = self.world.node_count();
        let number = |node: u8| usize::from(node) % count.max(1);
        match step {
            Step::Move(c, node) => {
                let client = self.client_number(c);
                self.world.set_node(client, number(node));
                self.world.cut(client);
            }
            Step::KillNode(node) => self.world.kill_node(number(node)),
            Step::KillNodeUnseen(node) => self.world.kill_node_unseen(number(node)),
            Step::StartNode(node) => self.world.start_node(number(node)),
            Step::StopNode(node, over) => {
                self.world.stop_node(number(node), Duration::from_millis(over.into()));
            }
            Step::PauseNode(node) => self.world.pause_node(number(node)),
            Step::ResumeNode(node) => self.world.resume_node(number(node)),
            Step::CutLog(node) => self.world.cut_log(number(node)),
            Step::CutLogAfterAppends(node) => self.world.cut_log_after_appends(number(node)),
            Step::HealLog(node) => self.world.heal_log(number(node)),
            Step::DelayLog(node, millis) => self.world.delay_log(number(node), millis.into()),
            Step::LogDown => self.world.log_down(),
            Step::LogUp => self.world.log_up(),
            Step::LoseAppend(node) => self.world.lose_append(number(node)),
            Step::LoseAnswer(node) => self.world.lose_answer(number(node)),
            Step::DuplicateAppend(node) => self.world.duplicate_append(number(node)),
            Step::RefuseAppend(node) => self.world.refuse_append(number(node)),
            Step::LoseLogEnd(entries) => self.world.lose_log_end(entries.into()),
            Step::NodeClock(node, by) => self.world.step_node_clock(number(node), by.into()),
            Step::NodeClockRate(node, rate) => {
                self.world.slow_node_clock(number(node), rate.into());
            }
            _ => {}
        }
    }
}

const NAMES: &[&str] = &["alice", "bob", "carol", "dave"];

/// Client ids for which wildcard clients act.
const OTHER_CLIENT_IDS: &[&str] = &["x", "y", "alice", "z"];

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

/// Data of several types.
fn data_of(number: u8) -> Option<Data> {
    match number % 8 {
        0 => None,
        1 => Some(Data::Binary([number, 0, 255].as_slice().into())),
        n => Some(Data::String(format!("{n}").into())),
    }
}

/// Nodes that share a log. What they hold must not depend on their options.
fn cluster(seed: u64, setup: &Setup) -> World {
    let named = |number: u8| {
        let mut options = server_options(setup);
        options.node = format!("node{number}").into();
        if number.is_multiple_of(2) {
            options.budget = 7;
            options.items_per_broadcast = number.into();
            options.sync_pages_per_call = 3;
            options.history.events = 10;
        }
        options
    };
    let mut world = World::new(seed, named(1));
    for number in 2..=setup.nodes {
        world.add_node(named(number));
    }
    world
}

fn server_options(setup: &Setup) -> ServerOptions {
    let mut options = ServerOptions::default();
    options.key_secret = Some(KeySecret([7; 32]));
    options.sync_page_members = setup.page_members.into();
    options.sync_page_bytes = usize::try_from(setup.page_bytes).unwrap_or(usize::MAX);
    options.budget = setup.budget.into();
    options.sync_pages_per_call = setup.budget.into();
    options.connection_state_ttl = Duration::from_millis(setup.state_ttl.into());
    if setup.nodes > 0 {
        let mut log = LogOptions::default();
        log.snapshot_entries = setup.snapshot.into();
        log.snapshot_page_bytes = options.sync_page_bytes;
        options.log = Some(log);
    }
    if setup.tiny_limits {
        options.limits.members_per_channel = 3;
        options.limits.message_size = 64;
        options.limits.items_per_frame = 2;
        options.limits.inbound = Rate { per_second: 20, burst: 20 };
        options.limits.channel = Rate { per_second: 20, burst: 20 };
        options.limits.replies_while_congested = 5;
        options.history.events = 2;
    }
    options
}
