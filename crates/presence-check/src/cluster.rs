//! Generated histories of several nodes.

use crate::scenario::{Scenario, Setup, Step, clock_step, count, duration, random_bytes};
use arbitrary::{Arbitrary, Result, Unstructured};

impl Scenario {
    /// The scenario of a seed, with one to five nodes that share a log.
    #[must_use]
    pub fn cluster_from_seed(seed: u64) -> Self {
        let bytes = random_bytes(seed, 2_048);
        let mut u = Unstructured::new(&bytes);
        let drawn = Self::draw_cluster(&mut u);
        let mut scenario = drawn.unwrap_or_else(|_| Self {
            seed,
            setup: Setup { nodes: 2, ..Setup::plain(2) },
            steps: Vec::new(),
        });
        scenario.seed = seed;
        scenario
    }

    fn draw_cluster(u: &mut Unstructured<'_>) -> Result<Self> {
        let mut setup = Setup::arbitrary(u)?;
        setup.nodes = u.int_in_range(1..=5)?;
        setup.gentle = u.ratio(1, 3)?;
        setup.snapshot = *u.choose(&[3, 10, 40, 200, 10_000])?;
        setup.state_ttl = *u.choose(&[120_000, 120_000, 20_000])?;
        if setup.gentle {
            (setup.nodes, setup.state_ttl) = (setup.nodes.max(2), 120_000);
            setup.tiny_limits = false;
            for client in &mut setup.clients {
                (client.up, client.down, client.heartbeat) = (20, 20, None);
                client.grace = *u.choose(&[None, Some(20_000), Some(60_000)])?;
            }
        }
        let kinds = u.arbitrary::<u64>()?;
        let calm = u.ratio(1, 4)?;
        let mut steps = Vec::new();
        for client in 0..count(setup.clients.len()) {
            steps.push(Step::Connect(client));
            for channel in 0..setup.channels {
                steps.push(Step::Attach(client, channel));
            }
        }
        if u.ratio(7, 8)? {
            steps.push(Step::Run(1_000));
        }
        let mut last = None;
        while !u.is_empty() && steps.len() < 100 {
            let step = if setup.gentle {
                // A client has time to come back before the next fault.
                let step = gentle(u, setup.nodes, &mut last)?;
                if is_fault(step) {
                    steps.push(step);
                    Step::Run(4_000)
                } else {
                    step
                }
            } else {
                harsh(u, kinds, calm)?
            };
            steps.push(step);
        }
        Ok(Self { seed: 0, setup, steps })
    }
}

const fn is_fault(step: Step) -> bool {
    !matches!(step, Step::Run(_) | Step::Enter(..) | Step::Update(..) | Step::Leave(..))
}

/// A step after which every client comes back soon. `down`: the node that is down.
fn gentle(u: &mut Unstructured<'_>, nodes: u8, down: &mut Option<u8>) -> Result<Step> {
    let client = u.int_in_range(0..=3)?;
    let channel = u.int_in_range(0..=1)?;
    let node = u.int_in_range(0..=nodes.max(1) - 1)?;
    Ok(match u.int_in_range(0..=31)? {
        0..=7 => Step::Run(*u.choose(&[0, 1, 2, 5, 20, 41, 100, 1_000, 3_000, 10_000])?),
        8..=13 => Step::Enter(client, channel, u.int_in_range(0..=2)?, u.arbitrary()?),
        14..=16 => Step::Update(client, channel, u.int_in_range(0..=2)?, u.arbitrary()?),
        17..=18 => Step::Leave(client, channel, u.int_in_range(0..=2)?),
        19..=21 => Step::Cut(client),
        22..=24 => Step::Move(client, node),
        25..=27 => match down.take() {
            Some(node) => Step::StartNode(node),
            None => {
                *down = Some(node);
                if u.arbitrary()? { Step::KillNode(node) } else { Step::StopNode(node, 1_000) }
            }
        },
        28 => Step::LoseAppend(node),
        29 => Step::LoseAnswer(node),
        30 => Step::DuplicateAppend(node),
        _ => Step::DelayLog(node, *u.choose(&[1, 30, 300])?),
    })
}

/// Any step.
fn harsh(u: &mut Unstructured<'_>, kinds: u64, calm: bool) -> Result<Step> {
    let client = u.int_in_range(0..=3)?;
    let channel = u.int_in_range(0..=1)?;
    let node = u.int_in_range(0..=4)?;
    let kind = u.int_in_range(0..=63u32)?;
    let kind = if kinds >> kind & 1 == 1 { kind } else { kind / 3 };
    Ok(match kind {
        0..=9 => Step::Run(duration(u, calm)?),
        10..=14 => Step::Enter(client, channel, u.int_in_range(0..=3)?, u.arbitrary()?),
        15..=16 => Step::Update(client, channel, u.int_in_range(0..=3)?, u.arbitrary()?),
        17..=18 => Step::Leave(client, channel, u.int_in_range(0..=3)?),
        19..=21 => Step::Move(client, node),
        22 => Step::KillNode(node),
        23 => Step::StartNode(node),
        24..=25 => Step::Run(duration(u, calm)?),
        26 => Step::KillNodeUnseen(node),
        27..=28 => Step::StartNode(node),
        29 => Step::StopNode(node, *u.choose(&[0, 100, 1_000, 10_000])?),
        30..=31 => Step::PauseNode(node),
        32..=33 => Step::ResumeNode(node),
        34 => Step::CutLog(node),
        35 => Step::CutLogAfterAppends(node),
        36..=37 => Step::HealLog(node),
        38..=39 => Step::DelayLog(node, *u.choose(&[1, 20, 300, 3_000, 20_000])?),
        40 => Step::LogDown,
        41..=42 => Step::LogUp,
        43 => Step::LoseAppend(node),
        44 => Step::LoseAnswer(node),
        45 => Step::DuplicateAppend(node),
        46 if u.arbitrary()? => Step::RefuseAppend(node),
        46 => Step::LoseLogEnd(*u.choose(&[1, 3, 10, 255])?),
        47 => Step::NodeClock(node, clock_step(u)?),
        48 => Step::NodeClockRate(node, *u.choose(&[500, 900, 1_000, 1_100, 2_000])?),
        49 => Step::Close(client),
        50 => Step::Connect(client),
        51 => Step::Attach(client, channel),
        52 => Step::Detach(client, channel),
        53..=54 => Step::Cut(client),
        55 => Step::CutUnseenByServer(client),
        56 => Step::CutUnseenByClient(client),
        57 => Step::Unplug(client),
        58 => Step::StallUp(client),
        59 => Step::StallDown(client),
        60 => Step::Unstall(client),
        61 => Step::RestartClient(client, u.arbitrary()?),
        62 => Step::Kick(channel, u.int_in_range(0..=4)?),
        _ => Step::SetModes(client, channel, u.int_in_range(0..=2)?),
    })
}
