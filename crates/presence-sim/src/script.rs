//! Random histories from a seed, and the search for one that breaks a program.

use crate::{Trace, World};
use core::fmt;
use core::time::Duration;
use presence_proto::server::ServerOptions;

/// Longest pause between two events, in milliseconds: longer than the default grace period.
const LONGEST_PAUSE: u32 = 20_000;
/// Time in which a mended world comes to rest: half-open transports are noticed, connections and
/// channels that are SUSPENDED retry.
const SETTLE: Duration = Duration::from_secs(450);
/// Lines of the trace that a [`Counterexample`] shows.
const SHOWN: usize = 10;

/// Something that happens to a program under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Time passes, in milliseconds.
    Pass(u32),
    /// The program acts for a client. What it does is up to the program; the number is random.
    Act(usize, u32),
    /// [`World::cut`].
    Cut(usize),
    /// [`World::cut_unseen_by_server`].
    CutUnseenByServer(usize),
    /// [`World::cut_unseen_by_client`].
    CutUnseenByClient(usize),
    /// [`World::unplug`].
    Unplug(usize),
    /// [`World::stall_up`].
    StallUp(usize),
    /// [`World::stall_down`].
    StallDown(usize),
    /// [`World::flow`].
    Flow(usize),
    /// New transports of a client cannot be opened.
    OutOfReach(usize),
    /// They can be opened again.
    InReach(usize),
    /// [`World::drop_all_transports`].
    DropAll,
    /// [`World::restart_server`].
    RestartServer,
}

impl Event {
    fn random(random: &mut fastrand::Rng, clients: usize) -> Self {
        let client = random.usize(..clients.max(1));
        match random.u8(..20) {
            0..=5 => Self::Pass(random.u32(1..=LONGEST_PAUSE)),
            6..=10 => Self::Act(client, random.u32(..)),
            11 => Self::Cut(client),
            12 => Self::CutUnseenByServer(client),
            13 => Self::CutUnseenByClient(client),
            14 => Self::Unplug(client),
            15 => Self::StallUp(client),
            16 => Self::StallDown(client),
            17 => Self::Flow(client),
            18 if random.bool() => Self::OutOfReach(client),
            18 => Self::InReach(client),
            _ if random.bool() => Self::DropAll,
            _ => Self::RestartServer,
        }
    }

    /// Makes the event happen. [`Act`](Self::Act) does nothing here.
    pub fn happen(self, world: &mut World) {
        match self {
            Self::Pass(millis) => world.run_for(Duration::from_millis(millis.into())),
            Self::Act(..) => {}
            Self::Cut(client) => world.cut(client),
            Self::CutUnseenByServer(client) => world.cut_unseen_by_server(client),
            Self::CutUnseenByClient(client) => world.cut_unseen_by_client(client),
            Self::Unplug(client) => world.unplug(client),
            Self::StallUp(client) => world.stall_up(client),
            Self::StallDown(client) => world.stall_down(client),
            Self::Flow(client) => world.flow(client),
            Self::OutOfReach(client) => world.set_reachable(client, false),
            Self::InReach(client) => world.set_reachable(client, true),
            Self::DropAll => world.drop_all_transports(),
            Self::RestartServer => world.restart_server(),
        }
    }
}

impl World {
    /// Mends every fault of the network and lets the world come to rest: connections that want to be
    /// connected are, half-open transports are noticed, grace periods are over.
    pub fn mend(&mut self) {
        self.note(format_args!("-- everything is mended"));
        for client in 0..self.clients() {
            self.set_reachable(client, true);
            self.flow(client);
            self.defuse(client);
        }
        self.run_for(SETTLE);
    }
}

/// Searches for a history that breaks a program.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Search {
    /// Clients that the events are about. The program adds as many to the world, or more.
    pub clients: usize,
    /// Events of one history.
    pub events: usize,
    /// Options of the server.
    pub server: ServerOptions,
}

impl Search {
    /// A search with histories of 40 events.
    #[must_use]
    pub fn new(clients: usize) -> Self {
        Self { clients, events: 40, server: ServerOptions::default() }
    }

    /// Plays one history for each seed. `program` adds its clients to the world, lets the events
    /// happen, and says what does not hold.
    ///
    /// # Errors
    ///
    /// The first history that fails, with as few events as still fail.
    pub fn run(
        &self,
        seeds: impl IntoIterator<Item = u64>,
        program: impl Fn(&mut World, &[Event]) -> Result<(), String>,
    ) -> Result<(), Counterexample> {
        for seed in seeds {
            let events = self.history(seed);
            if let Err(found) = self.play(seed, events, &program) {
                return Err(self.shrink(found, &program));
            }
        }
        Ok(())
    }

    fn history(&self, seed: u64) -> Vec<Event> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..self.events).map(|_| Event::random(&mut random, self.clients)).collect()
    }

    fn play(
        &self,
        seed: u64,
        events: Vec<Event>,
        program: &impl Fn(&mut World, &[Event]) -> Result<(), String>,
    ) -> Result<(), Counterexample> {
        let mut world = World::new(seed, self.server.clone());
        let result = program(&mut world, &events);
        let result = result.and_then(|()| world.wrong().map_or(Ok(()), |wrong| Err(wrong.into())));
        result.map_err(|what| Counterexample { seed, events, what, trace: world.into_trace() })
    }

    /// Leaves out events for as long as the program still fails: halves first, then single ones.
    fn shrink(
        &self,
        found: Counterexample,
        program: &impl Fn(&mut World, &[Event]) -> Result<(), String>,
    ) -> Counterexample {
        let mut best = found;
        let mut chunk = best.events.len().div_ceil(2).max(1);
        loop {
            let mut from = 0;
            let mut shrunk = false;
            while from < best.events.len() {
                let mut fewer = best.events.clone();
                fewer.drain(from..(from + chunk).min(fewer.len()));
                match self.play(best.seed, fewer, program) {
                    Err(smaller) => {
                        best = smaller;
                        shrunk = true;
                    }
                    Ok(()) => from += chunk,
                }
            }
            if chunk == 1 && !shrunk {
                return best;
            }
            chunk = chunk.div_ceil(2);
        }
    }
}

/// A history that breaks a program.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Counterexample {
    /// The seed of the world and of the history that was found first.
    pub seed: u64,
    /// The events that are needed.
    pub events: Vec<Event>,
    /// What does not hold.
    pub what: String,
    /// Everything that happened.
    pub trace: Trace,
}

/// What does not hold, the events, and the last lines of the trace but for frames.
impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        writeln!(f, "events: {:?}", self.events)?;
        // Without frames: what applications did and heard, and the faults.
        let lines: Vec<&String> =
            self.trace.lines().iter().filter(|line| !line.contains(" > ")).collect();
        let last = lines.len().saturating_sub(SHOWN);
        lines.iter().skip(last).try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl core::error::Error for Counterexample {}
