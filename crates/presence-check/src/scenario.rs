//! Generated histories: clients, actions of their applications, and faults.
//!
//! Simulation runs, property tests and fuzzers share this generator. It draws from
//! [`arbitrary::Unstructured`].

use arbitrary::{Arbitrary, Result, Unstructured};

/// A history: a setup and steps. Equal scenarios give equal runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scenario {
    /// The seed of ids, keys and jitter.
    pub seed: u64,
    /// The clients and the options of the halves.
    pub setup: Setup,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// The clients and the options of the halves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setup {
    /// The clients.
    pub clients: Vec<ClientSetup>,
    /// The number of channels.
    pub channels: u8,
    /// The maximum number of members in a sync page.
    pub page_members: u16,
    /// The maximum size of a sync page, in bytes.
    pub page_bytes: u32,
    /// The maximum number of expiries or sync pages in a call of the server.
    pub budget: u16,
    /// The server has low limits and refuses many requests.
    pub tiny_limits: bool,
    /// The number of queued packets at which the server's host reports congestion.
    pub queue: u16,
    /// The time to live of the state of a lost connection, in milliseconds.
    pub state_ttl: u32,
    /// The number of nodes that share a log. 0: one server without a log.
    pub nodes: u8,
    /// The number of entries after which a node writes a snapshot.
    pub snapshot: u16,
    /// The faults are such that every client comes back in time: nobody's grace period may end
    /// before its time.
    pub gentle: bool,
}

/// The options of a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientSetup {
    /// It may act for any client id.
    pub wildcard: bool,
    /// The requested grace period of its members (`remainPresentFor`), in milliseconds.
    pub grace: Option<u32>,
    /// The requested heartbeat interval, in milliseconds.
    pub heartbeat: Option<u32>,
    /// It queues operations while it is not connected.
    pub queues: bool,
    /// The server echoes its messages.
    pub echo: bool,
    /// Its host observes transport pings, so that it needs no heartbeats.
    pub pings: bool,
    /// Its retries have jitter.
    pub jitter: bool,
    /// The format of its frames: 0 values without encoding, 1 JSON, 2 MessagePack.
    pub format: u8,
    /// Latency to the server, in milliseconds.
    pub up: u16,
    /// Latency from the server, in milliseconds.
    pub down: u16,
    /// The requested modes: 0 default, 1 without PRESENCE_SUBSCRIBE, 2 without PRESENCE.
    pub modes: u8,
}

/// A step of a scenario. The first number is the client, the second the channel, if there is one,
/// both modulo their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Advances the clock by this many milliseconds.
    Run(u32),
    /// Connects.
    Connect(u8),
    /// Closes the connection.
    Close(u8),
    /// Attaches a channel.
    Attach(u8, u8),
    /// Detaches a channel.
    Detach(u8, u8),
    /// Enters a member: client id (0 is the client's own) and data.
    Enter(u8, u8, u8, u8),
    /// Updates a member: client id and data.
    Update(u8, u8, u8, u8),
    /// Lets a member leave: client id.
    Leave(u8, u8, u8),
    /// Gets the members, and waits for the sync if true.
    Get(u8, u8, bool),
    /// Measures the round trip time.
    Ping(u8),
    /// Requests other modes on a channel: see [`ClientSetup::modes`].
    SetModes(u8, u8, u8),
    /// The client's host reports that the network is lost.
    NetworkLost(u8),
    /// The client's host reports that the network is available.
    NetworkAvailable(u8),
    /// [`World::cut`](presence_sim::World::cut).
    Cut(u8),
    /// [`World::cut_after`](presence_sim::World::cut_after) this many frames.
    CutAfter(u8, u8),
    /// [`World::cut_unseen_by_server`](presence_sim::World::cut_unseen_by_server).
    CutUnseenByServer(u8),
    /// [`World::cut_unseen_by_client`](presence_sim::World::cut_unseen_by_client).
    CutUnseenByClient(u8),
    /// [`World::unplug`](presence_sim::World::unplug).
    Unplug(u8),
    /// [`World::stall_up`](presence_sim::World::stall_up).
    StallUp(u8),
    /// [`World::stall_down`](presence_sim::World::stall_down).
    StallDown(u8),
    /// [`World::delay_sync_pages`](presence_sim::World::delay_sync_pages).
    DelaySyncPages(u8),
    /// [`World::unstall`](presence_sim::World::unstall).
    Unstall(u8),
    /// [`World::congest_briefly`](presence_sim::World::congest_briefly).
    CongestBriefly(u8),
    /// [`World::set_reachable`](presence_sim::World::set_reachable) with `false`.
    Unreachable(u8),
    /// [`World::set_reachable`](presence_sim::World::set_reachable) with `true`.
    Reachable(u8),
    /// [`World::set_latency`](presence_sim::World::set_latency): up and down, in milliseconds.
    SetLatency(u8, u16, u16),
    /// [`World::step_server_clock`](presence_sim::World::step_server_clock) by this many
    /// milliseconds.
    ServerClock(i32),
    /// [`World::step_client_clock`](presence_sim::World::step_client_clock) by this many
    /// milliseconds.
    ClientClock(u8, i32),
    /// [`World::cut_all`](presence_sim::World::cut_all).
    CutAll,
    /// [`World::restart_server`](presence_sim::World::restart_server).
    RestartServer,
    /// [`World::restart_client`](presence_sim::World::restart_client), with the recovery key if
    /// true.
    RestartClient(u8, bool),
    /// [`World::kick`](presence_sim::World::kick): channel, and client id or 0 for all members.
    Kick(u8, u8),
    /// [`World::send_garbage`](presence_sim::World::send_garbage).
    Garbage(u8),
    /// A client's transport breaks, and its next one leads to this node.
    Move(u8, u8),
    /// [`World::kill_node`](presence_sim::World::kill_node).
    KillNode(u8),
    /// [`World::kill_node_unseen`](presence_sim::World::kill_node_unseen).
    KillNodeUnseen(u8),
    /// [`World::start_node`](presence_sim::World::start_node).
    StartNode(u8),
    /// [`World::stop_node`](presence_sim::World::stop_node) within this many milliseconds.
    StopNode(u8, u16),
    /// [`World::pause_node`](presence_sim::World::pause_node).
    PauseNode(u8),
    /// [`World::resume_node`](presence_sim::World::resume_node).
    ResumeNode(u8),
    /// [`World::cut_log`](presence_sim::World::cut_log).
    CutLog(u8),
    /// [`World::cut_log_after_appends`](presence_sim::World::cut_log_after_appends).
    CutLogAfterAppends(u8),
    /// [`World::heal_log`](presence_sim::World::heal_log).
    HealLog(u8),
    /// [`World::delay_log`](presence_sim::World::delay_log) by this many milliseconds.
    DelayLog(u8, u16),
    /// [`World::log_down`](presence_sim::World::log_down).
    LogDown,
    /// [`World::log_up`](presence_sim::World::log_up).
    LogUp,
    /// [`World::lose_append`](presence_sim::World::lose_append).
    LoseAppend(u8),
    /// [`World::lose_answer`](presence_sim::World::lose_answer).
    LoseAnswer(u8),
    /// [`World::duplicate_append`](presence_sim::World::duplicate_append).
    DuplicateAppend(u8),
    /// [`World::refuse_append`](presence_sim::World::refuse_append).
    RefuseAppend(u8),
    /// [`World::lose_log_end`](presence_sim::World::lose_log_end) by this many entries.
    LoseLogEnd(u8),
    /// [`World::step_node_clock`](presence_sim::World::step_node_clock) by this many milliseconds.
    NodeClock(u8, i32),
    /// [`World::slow_node_clock`](presence_sim::World::slow_node_clock).
    NodeClockRate(u8, u16),
}

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let bytes = random_bytes(seed, 2_048);
        let mut scenario = Self::from_bytes(&bytes);
        scenario.seed = seed;
        scenario
    }

    /// The scenario that is drawn from bytes. Any bytes are valid; fewer bytes give fewer steps.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut u = Unstructured::new(bytes);
        // Drawing fails only if there are too few bytes.
        Self::draw(&mut u).unwrap_or_else(|_| Self {
            seed: 0,
            setup: Setup::plain(2),
            steps: Vec::new(),
        })
    }

    fn draw(u: &mut Unstructured<'_>) -> Result<Self> {
        let seed = u.arbitrary::<u32>()?.into();
        let setup = Setup::arbitrary(u)?;
        // Swarm testing: each run uses only some kinds of steps, so that rare kinds combine.
        let kinds = u.arbitrary::<u64>()?;
        let calm = u.ratio(1, 8)?;
        let mut steps = Vec::new();
        // Most runs start with all clients attached; the others test the time before.
        if u.ratio(7, 8)? {
            for client in 0..count(setup.clients.len()) {
                steps.push(Step::Connect(client));
                for channel in 0..setup.channels {
                    steps.push(Step::Attach(client, channel));
                }
            }
            if u.arbitrary()? {
                steps.push(Step::Run(1_000));
            }
        }
        while !u.is_empty() && steps.len() < 120 {
            steps.push(Step::draw(u, kinds, calm)?);
        }
        Ok(Self { seed, setup, steps })
    }
}

impl Setup {
    /// A setup with this many default clients, one channel and default options.
    #[must_use]
    pub fn plain(clients: usize) -> Self {
        Self {
            clients: vec![ClientSetup::plain(); clients],
            channels: 1,
            page_members: 100,
            page_bytes: 32_768,
            budget: 100,
            tiny_limits: false,
            queue: 16,
            state_ttl: 120_000,
            nodes: 0,
            snapshot: 100,
            gentle: false,
        }
    }
}

impl ClientSetup {
    /// A client with default options.
    #[must_use]
    pub const fn plain() -> Self {
        Self {
            wildcard: false,
            grace: None,
            heartbeat: None,
            queues: true,
            echo: true,
            pings: false,
            jitter: false,
            format: 0,
            up: 20,
            down: 20,
            modes: 0,
        }
    }
}

impl<'a> Arbitrary<'a> for Setup {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let clients = u.int_in_range(1..=4)?;
        let clients = (0..clients).map(|_| u.arbitrary()).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            clients,
            channels: u.int_in_range(1..=2)?,
            page_members: *u.choose(&[1, 2, 3, 100])?,
            page_bytes: *u.choose(&[1, 200, 32_768, 32_768])?,
            budget: *u.choose(&[1, 2, 100, 100])?,
            tiny_limits: u.ratio(1, 10)?,
            queue: *u.choose(&[1, 3, 16])?,
            state_ttl: *u.choose(&[120_000, 120_000, 20_000, 2_000])?,
            nodes: 0,
            snapshot: 100,
            gentle: false,
        })
    }
}

impl<'a> Arbitrary<'a> for ClientSetup {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let latencies = &[0, 1, 20, 20, 100, 700];
        Ok(Self {
            wildcard: u.ratio(1, 3)?,
            grace: *u.choose(&[None, None, Some(0), Some(1_000), Some(5_000), Some(60_000)])?,
            heartbeat: *u.choose(&[None, None, None, Some(5_000), Some(60_000)])?,
            queues: u.ratio(7, 8)?,
            echo: u.ratio(3, 4)?,
            pings: u.arbitrary()?,
            jitter: u.arbitrary()?,
            format: u.int_in_range(0..=2)?,
            up: *u.choose(latencies)?,
            down: *u.choose(latencies)?,
            modes: *u.choose(&[0, 0, 0, 0, 1, 2])?,
        })
    }
}

impl Step {
    fn draw(u: &mut Unstructured<'_>, kinds: u64, calm: bool) -> Result<Self> {
        let client = u.int_in_range(0..=3)?;
        let channel = u.int_in_range(0..=1)?;
        let kind = u.int_in_range(0..=63u32)?;
        let kind = if kinds >> kind & 1 == 1 { kind } else { kind / 3 };
        Ok(match kind {
            0..=9 => Self::Run(duration(u, calm)?),
            10..=15 => Self::Enter(client, channel, u.int_in_range(0..=3)?, u.arbitrary()?),
            16..=18 => Self::Update(client, channel, u.int_in_range(0..=3)?, u.arbitrary()?),
            19..=21 => Self::Leave(client, channel, u.int_in_range(0..=3)?),
            22..=25 => Self::Run(duration(u, calm)?),
            26..=27 => Self::Get(client, channel, u.arbitrary()?),
            28 => Self::Ping(client),
            29 => Self::Close(client),
            30..=31 => Self::Connect(client),
            32..=33 => Self::Attach(client, channel),
            34 => Self::Detach(client, channel),
            35 => Self::SetModes(client, channel, u.int_in_range(0..=2)?),
            36 => Self::NetworkLost(client),
            37 => Self::NetworkAvailable(client),
            38..=41 => Self::Cut(client),
            42..=43 => Self::CutAfter(client, u.int_in_range(1..=12)?),
            44..=45 => Self::CutUnseenByServer(client),
            46 => Self::CutUnseenByClient(client),
            47 => Self::Unplug(client),
            48 => Self::StallUp(client),
            49 => Self::StallDown(client),
            50 => Self::DelaySyncPages(client),
            51..=52 => Self::Unstall(client),
            53 => Self::CongestBriefly(client),
            54 => Self::Unreachable(client),
            55..=56 => Self::Reachable(client),
            57 => Self::SetLatency(client, u.int_in_range(0..=900)?, u.int_in_range(0..=900)?),
            58 => Self::ServerClock(clock_step(u)?),
            59 => Self::ClientClock(client, clock_step(u)?),
            60 => Self::CutAll,
            61 => Self::RestartServer,
            62 if u.arbitrary()? => Self::RestartClient(client, u.arbitrary()?),
            62 => Self::Kick(channel, u.int_in_range(0..=4)?),
            _ => Self::Garbage(client),
        })
    }
}

/// A duration in milliseconds: mostly up to a few round trips, sometimes beyond a timeout of the
/// protocol.
pub(crate) fn duration(u: &mut Unstructured<'_>, calm: bool) -> Result<u32> {
    let short = &[0, 1, 10, 20, 40, 41, 100, 300, 1_000];
    let long = &[
        2_000, 5_000, 9_999, 10_000, 14_999, 15_000, 15_001, 16_000, 25_000, 30_000, 60_000,
        119_000, 121_000, 300_000,
    ];
    if calm || u.ratio(1, 5)? { Ok(*u.choose(long)?) } else { Ok(*u.choose(short)?) }
}

pub(crate) fn clock_step(u: &mut Unstructured<'_>) -> Result<i32> {
    Ok(*u.choose(&[-86_400_000, -60_000, -1_000, -1, 1, 1_000, 60_000, 86_400_000])?)
}

pub(crate) fn count(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
}

/// Pseudorandom bytes from a seed.
#[must_use]
pub fn random_bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut state = seed;
    for chunk in bytes.chunks_mut(8) {
        let random = splitmix(&mut state).to_le_bytes();
        for (byte, random) in chunk.iter_mut().zip(random) {
            *byte = random;
        }
    }
    bytes
}

/// The next number of the SplitMix64 generator.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
