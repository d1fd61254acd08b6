//! Made-up histories: which clients there are, what their applications do, and what goes wrong.
//!
//! One generator serves the simulation runs, the property tests and the fuzzers: it draws from
//! [`arbitrary::Unstructured`].

use arbitrary::{Arbitrary, Result, Unstructured};

/// A history: a setup, and what happens step by step. Equal scenarios make equal runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scenario {
    /// Where ids, keys and jitter come from.
    pub seed: u64,
    /// Who takes part, and how the server is configured.
    pub setup: Setup,
    /// What happens.
    pub steps: Vec<Step>,
}

/// Who takes part, and how the halves are configured.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setup {
    /// The clients.
    pub clients: Vec<ClientSetup>,
    /// How many channels are used.
    pub channels: u8,
    /// Most members on one page of a sync.
    pub page_members: u16,
    /// Most bytes on one page of a sync.
    pub page_bytes: u32,
    /// Most expiries or pages that one call of the server does.
    pub budget: u16,
    /// The server's limits are tiny, so that many things are refused.
    pub tiny_limits: bool,
    /// How many packets the server's host keeps for a client before it calls it congested.
    pub queue: u16,
    /// How long the server keeps the state of a lost connection, in milliseconds.
    pub state_ttl: u32,
}

/// One client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientSetup {
    /// Whether it may act for any client id.
    pub wildcard: bool,
    /// How long its members outlive its transport, in milliseconds, if it asks for that.
    pub grace: Option<u32>,
    /// How often it wants a sign of life, in milliseconds, if it asks for that.
    pub heartbeat: Option<u32>,
    /// Its operations wait while it is not connected.
    pub queues: bool,
    /// Its messages come back to it.
    pub echo: bool,
    /// Its host sees the pings of the transport, so that it needs no heartbeats.
    pub pings: bool,
    /// Its retries are scattered.
    pub jitter: bool,
    /// How it writes frames: not at all (they are handed over as they are), as JSON or as
    /// MessagePack.
    pub format: u8,
    /// Latency towards the server, in milliseconds.
    pub up: u16,
    /// Latency from the server, in milliseconds.
    pub down: u16,
    /// The modes that it attaches with: all, all but PRESENCE_SUBSCRIBE, all but PRESENCE.
    pub modes: u8,
}

/// One thing that happens. The first number is the client, the second the channel, if there is one;
/// they are taken modulo how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Time passes: so many milliseconds.
    Run(u32),
    /// Connects.
    Connect(u8),
    /// Closes its connection.
    Close(u8),
    /// Attaches a channel.
    Attach(u8, u8),
    /// Detaches a channel, connected or not.
    Detach(u8, u8),
    /// Enters a channel: as whom (0 is itself), and with which data.
    Enter(u8, u8, u8, u8),
    /// Updates its data: as whom, and with which data.
    Update(u8, u8, u8, u8),
    /// Leaves a channel: as whom.
    Leave(u8, u8, u8),
    /// Asks who is present, and whether it waits for the sync.
    Get(u8, u8, bool),
    /// Measures the round trip time.
    Ping(u8),
    /// Asks for other modes on a channel: see [`ClientSetup::modes`].
    SetModes(u8, u8, u8),
    /// Its operating system says that the network is lost.
    NetworkLost(u8),
    /// Its operating system says that there is a network.
    NetworkAvailable(u8),
    /// [`World::cut`](presence_sim::World::cut).
    Cut(u8),
    /// [`World::cut_after`](presence_sim::World::cut_after) so many frames.
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
    /// Its new transports cannot be opened.
    Unreachable(u8),
    /// They can be opened again.
    Reachable(u8),
    /// Its packets take so long from now on: up and down, in milliseconds.
    SlowDown(u8, u16, u16),
    /// The wall clock of the server's host steps by so many milliseconds.
    ServerClock(i32),
    /// The wall clock of its host steps by so many milliseconds.
    ClientClock(u8, i32),
    /// [`World::cut_all`](presence_sim::World::cut_all).
    CutAll,
    /// [`World::restart_server`](presence_sim::World::restart_server).
    RestartServer,
    /// [`World::restart_client`](presence_sim::World::restart_client), with its recovery key or without.
    RestartClient(u8, bool),
    /// The host takes members out of a channel, which is the first number: all of them (0), or
    /// those of one client id ([`World::kick`](presence_sim::World::kick)).
    Kick(u8, u8),
    /// Sends something that is no frame.
    Garbage(u8),
}

impl Scenario {
    /// The scenario of a number.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let bytes = random_bytes(seed, 2_048);
        let mut scenario = Self::from_bytes(&bytes);
        scenario.seed = seed;
        scenario
    }

    /// The scenario that bytes spell. Any bytes spell one; few bytes spell a short one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut u = Unstructured::new(bytes);
        // It fails only for lack of bytes, and then zeros are as good.
        Self::draw(&mut u).unwrap_or_else(|_| Self {
            seed: 0,
            setup: Setup::plain(2),
            steps: Vec::new(),
        })
    }

    fn draw(u: &mut Unstructured<'_>) -> Result<Self> {
        let seed = u.arbitrary::<u32>()?.into();
        let setup = Setup::arbitrary(u)?;
        // Swarm testing: each run knows only some of the kinds of steps, so that now and then
        // rare ones meet undisturbed.
        let kinds = u.arbitrary::<u64>()?;
        let calm = u.ratio(1, 8)?;
        let mut steps = Vec::new();
        // Most runs begin with everybody there; what can go wrong before is tried by the others.
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
    /// So many clients with everything at its default, and one channel.
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
        }
    }
}

impl ClientSetup {
    /// A client with everything at its default.
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
            57 => Self::SlowDown(client, u.int_in_range(0..=900)?, u.int_in_range(0..=900)?),
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

/// How long nothing but time happens: mostly less than a round trip, now and then beyond a
/// deadline of the protocol.
fn duration(u: &mut Unstructured<'_>, calm: bool) -> Result<u32> {
    let short = &[0, 1, 10, 20, 40, 41, 100, 300, 1_000];
    let long = &[
        2_000, 5_000, 9_999, 10_000, 14_999, 15_000, 15_001, 16_000, 25_000, 30_000, 60_000,
        119_000, 121_000, 300_000,
    ];
    if calm || u.ratio(1, 5)? { Ok(*u.choose(long)?) } else { Ok(*u.choose(short)?) }
}

fn clock_step(u: &mut Unstructured<'_>) -> Result<i32> {
    Ok(*u.choose(&[-86_400_000, -60_000, -1_000, -1, 1, 1_000, 60_000, 86_400_000])?)
}

fn count(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
}

/// Bytes that look random and follow from a seed.
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

/// The next of a sequence of well mixed numbers.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
