//! Random histories, and the search for one in which a program fails.

use crate::shrink::shrink;
use crate::{Trace, World};
use core::fmt;
use core::time::Duration;
use presence_proto::server::ServerOptions;

/// The longest [`Event::Wait`], in milliseconds: longer than the default grace period.
const LONGEST_WAIT: u32 = 20_000;
/// Long enough to detect half-open transports and to retry SUSPENDED connections and channels.
const SETTLE: Duration = Duration::from_secs(450);
/// The number of trace lines that a [`Counterexample`] prints.
const PRINTED_LINES: usize = 10;

/// An event of a random history: an action of the program, a pause or a fault.
///
/// The first field is the number of the client, except for [`Wait`](Self::Wait).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Advances the clock by this many milliseconds, 20 000 at most.
    Wait(u32),
    /// The program does something for a client. The second field is a random number from which the
    /// program chooses.
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
    /// [`World::unstall`].
    Unstall(usize),
    /// [`World::set_reachable`] with `false`.
    Unreachable(usize),
    /// [`World::set_reachable`] with `true`.
    Reachable(usize),
    /// [`World::cut_all`].
    CutAll,
    /// [`World::restart_server`].
    RestartServer,
}

impl Event {
    fn random(random: &mut fastrand::Rng, clients: usize) -> Self {
        let client = random.usize(..clients.max(1));
        match random.u8(..20) {
            0..=5 => Self::Wait(random.u32(1..=LONGEST_WAIT)),
            6..=10 => Self::Act(client, random.u32(..)),
            11 => Self::Cut(client),
            12 => Self::CutUnseenByServer(client),
            13 => Self::CutUnseenByClient(client),
            14 => Self::Unplug(client),
            15 => Self::StallUp(client),
            16 => Self::StallDown(client),
            17 => Self::Unstall(client),
            18 if random.bool() => Self::Unreachable(client),
            18 => Self::Reachable(client),
            _ if random.bool() => Self::CutAll,
            _ => Self::RestartServer,
        }
    }

    /// Applies the event to a world. Does nothing for [`Act`](Self::Act), which the program has to
    /// interpret.
    pub fn apply(self, world: &mut World) {
        match self {
            Self::Wait(millis) => world.run_for(Duration::from_millis(millis.into())),
            Self::Act(..) => {}
            Self::Cut(client) => world.cut(client),
            Self::CutUnseenByServer(client) => world.cut_unseen_by_server(client),
            Self::CutUnseenByClient(client) => world.cut_unseen_by_client(client),
            Self::Unplug(client) => world.unplug(client),
            Self::StallUp(client) => world.stall_up(client),
            Self::StallDown(client) => world.stall_down(client),
            Self::Unstall(client) => world.unstall(client),
            Self::Unreachable(client) => world.set_reachable(client, false),
            Self::Reachable(client) => world.set_reachable(client, true),
            Self::CutAll => world.cut_all(),
            Self::RestartServer => world.restart_server(),
        }
    }
}

impl World {
    /// Ends all faults of the network, of the nodes' processes and of the log, and advances the clock
    /// by 450 s. By then half-open transports
    /// are detected, clients with a retry due are connected and attached, and grace periods have
    /// ended, so that all clients see the same members. Rules for single frames stay.
    pub fn heal(&mut self) {
        self.note(format_args!("-- all faults are healed"));
        self.heal_nodes();
        for client in 0..self.client_count() {
            self.set_reachable(client, true);
            self.unstall(client);
            self.cancel_cut(client);
        }
        self.run_for(SETTLE);
    }

    fn heal_nodes(&mut self) {
        if self.log.is_down() {
            self.log_up();
        }
        for node in 0..self.node_count() {
            if self.log.is_cut(node) {
                self.heal_log(node);
            }
            self.resume_node(node);
            self.start_node(node);
        }
    }
}

/// A search for a history in which a program fails.
///
/// A history is a list of random [`Event`]s that derive from a seed. [`run`](Self::run) plays one
/// for each seed, each in a new [`World`], and shrinks the first that fails.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Search {
    /// The number of clients in the events, which are numbered from 0. The program must add at
    /// least as many to the world.
    pub clients: usize,
    /// The number of events in a history.
    pub events: usize,
    /// The options of the server.
    pub server: ServerOptions,
}

impl Search {
    /// Creates a search with histories of 40 events and default options of the server.
    #[must_use]
    pub fn new(clients: usize) -> Self {
        Self { clients, events: 40, server: ServerOptions::default() }
    }

    /// Plays one history for each seed.
    ///
    /// `program` receives a new world and the events. It adds its clients, applies the events, and
    /// returns an error with a message if an invariant is violated. It must be deterministic.
    ///
    /// # Errors
    ///
    /// The first history that fails, shrunk: removing any further event makes it pass. A history
    /// also fails if [`World::failure`] is set at its end.
    pub fn run(
        &self,
        seeds: impl IntoIterator<Item = u64>,
        program: impl Fn(&mut World, &[Event]) -> Result<(), String>,
    ) -> Result<(), Counterexample> {
        for seed in seeds {
            let events = self.history(seed);
            if self.play(seed, &events, &program).is_err() {
                let fails = |events: &[Event]| self.play(seed, events, &program).is_err();
                return self.play(seed, &shrink(events, fails), &program);
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
        events: &[Event],
        program: &impl Fn(&mut World, &[Event]) -> Result<(), String>,
    ) -> Result<(), Counterexample> {
        let mut world = World::new(seed, self.server.clone());
        let result = program(&mut world, events);
        let result =
            result.and_then(|()| world.failure().map_or(Ok(()), |found| Err(found.into())));
        result.map_err(|reason| Counterexample {
            seed,
            events: events.to_vec(),
            reason,
            trace: world.into_trace(),
        })
    }
}

/// A history in which a program fails. [`Search::run`] on its seed finds it again.
///
/// [`Display`](fmt::Display) prints the reason, the events, and the last ten lines of the trace
/// that are not frames.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Counterexample {
    /// The seed of the world, and of the history before it was shrunk.
    pub seed: u64,
    /// The events that remain after shrinking.
    pub events: Vec<Event>,
    /// The error of the program, or the [`World::failure`].
    pub reason: String,
    /// The trace of the shrunk history.
    pub trace: Trace,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.reason)?;
        writeln!(f, "events: {:?}", self.events)?;
        // Frames hide the inputs, outputs and faults.
        let lines: Vec<&String> =
            self.trace.lines().iter().filter(|line| !line.contains(" > ")).collect();
        let last = lines.len().saturating_sub(PRINTED_LINES);
        lines.iter().skip(last).try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl core::error::Error for Counterexample {}
