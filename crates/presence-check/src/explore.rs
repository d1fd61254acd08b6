//! Exhaustive search of small worlds: every order of packets, actions, faults and deadlines, with
//! the real halves.
//!
//! Latencies count as unknown: at any point the next event may be any packet in flight, the next
//! action of an application, a fault, or the next deadline. Equal states are expanded once.

use crate::run::{Failure, Runner};
use crate::scenario::{Scenario, Setup, Step};
use core::fmt::{self, Write};
use core::hash::Hasher;
use foldhash::quality::FixedState;
use presence_sim::{Pending, Trace};
use std::collections::BTreeSet;

/// The search space: a small world and its possible events.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Space {
    /// The clients and the options of the halves.
    pub setup: Setup,
    /// Steps before the search, in this order.
    pub before: Vec<Step>,
    /// The steps of each application, in this order, at any time.
    pub scripts: Vec<Vec<Step>>,
    /// Possible faults, in any order, each at most once.
    pub faults: Vec<Step>,
    /// The maximum number of faults.
    pub max_faults: usize,
    /// The maximum number of times that the clock advances to the next deadline.
    pub time_steps: usize,
}

impl Space {
    /// Two nodes that share a log, and two clients of which one enters and leaves while it moves to
    /// the other node, the node is paused, killed or gone, or an append has no answer. `faults`: at
    /// most so many of these.
    #[must_use]
    pub fn cluster(faults: usize) -> Self {
        let mut setup = Setup { nodes: 2, ..Setup::plain(2) };
        for client in &mut setup.clients {
            (client.up, client.down) = (0, 0);
        }
        let mut space = Self::new(setup);
        space.before = vec![
            Step::Run(10),
            Step::Connect(0),
            Step::Attach(0, 0),
            Step::Connect(1),
            Step::Attach(1, 0),
            Step::Run(100),
        ];
        space.scripts = vec![vec![Step::Enter(0, 0, 0, 2), Step::Leave(0, 0, 0)]];
        space.faults = vec![
            Step::Move(0, 1),
            Step::Cut(0),
            Step::PauseNode(0),
            Step::ResumeNode(0),
            Step::KillNode(0),
            Step::LoseAnswer(0),
            Step::LoseAppend(0),
            Step::CutLog(0),
        ];
        space.max_faults = faults;
        space.time_steps = faults;
        space
    }

    /// A space without events.
    #[must_use]
    pub const fn new(setup: Setup) -> Self {
        Self {
            setup,
            before: Vec::new(),
            scripts: Vec::new(),
            faults: Vec::new(),
            max_faults: 0,
            time_steps: 0,
        }
    }
}

/// The size of a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// Distinct states.
    pub states: u64,
    /// Transitions between states.
    pub moves: u64,
    /// The length of the longest path.
    pub depth: u64,
    /// Final states, in which all scripts and packets are done. Each was checked for convergence.
    pub ends: u64,
    /// Whether the search stopped at the limit of states.
    pub cut_short: bool,
}

/// A transition.
#[derive(Clone, Copy, Debug)]
enum Move {
    Deliver(Pending),
    Time,
    Script(usize),
    Fault(usize),
}

/// A state: a world and the remaining events.
#[derive(Clone, Debug)]
struct State {
    runner: Runner,
    /// The number of performed steps of each script.
    done: Vec<usize>,
    faults_left: Vec<usize>,
    faults_done: usize,
    time_steps: usize,
}

impl Space {
    /// Searches all states depth first, up to `max_states` distinct ones.
    ///
    /// # Errors
    ///
    /// The first violated invariant, and the trace that leads to it.
    pub fn explore(&self, max_states: u64) -> Result<Explored, (Failure, Trace)> {
        let start = self.start(false).map_err(|failure| (failure, Trace::default()))?;
        let mut seen = BTreeSet::new();
        seen.insert(start.fingerprint());
        let mut explored = Explored { states: 1, ..Explored::default() };
        let moves = start.moves(self);
        // The states of the current path, each with the moves that are still to try.
        let mut stack = Vec::new();
        stack.push((start, moves));
        let mut path: Vec<Move> = Vec::new();
        loop {
            let Some((state, moves)) = stack.last_mut() else { return Ok(explored) };
            let Some(next) = moves.pop() else {
                stack.pop();
                path.pop();
                continue;
            };
            let mut state = state.clone();
            explored.moves += 1;
            path.push(next);
            if let Err(reason) = state.apply(self, next) {
                return Err(self.explain(&path, reason));
            }
            if !seen.insert(state.fingerprint()) {
                path.pop();
                continue;
            }
            explored.states += 1;
            explored.depth = explored.depth.max(path.len() as u64);
            let moves = state.moves(self);
            if state.is_final(self) {
                explored.ends += 1;
                if let Err(reason) = state.clone().runner.heal_and_check() {
                    return Err(self.explain(&path, reason));
                }
            }
            if explored.states >= max_states {
                explored.cut_short = true;
                return Ok(explored);
            }
            stack.push((state, moves));
        }
    }

    fn start(&self, traced: bool) -> Result<State, Failure> {
        let scenario = Scenario { seed: 1, setup: self.setup.clone(), steps: Vec::new() };
        let mut runner = Runner::new(&scenario);
        if !traced {
            runner.world.disable_trace();
        }
        let mut state = State {
            runner,
            done: self.scripts.iter().map(|_| 0).collect(),
            faults_left: (0..self.faults.len()).collect(),
            faults_done: 0,
            time_steps: 0,
        };
        for step in &self.before {
            state.runner.step(*step).map_err(|reason| Failure { seed: 1, at: 0, reason })?;
        }
        Ok(state)
    }

    /// Repeats a path with a trace.
    fn explain(&self, path: &[Move], reason: String) -> (Failure, Trace) {
        let Ok(mut state) = self.start(true) else {
            return (Failure { seed: 1, at: 0, reason }, Trace::default());
        };
        let failed = path.iter().any(|next| state.apply(self, *next).is_err());
        if !failed {
            let _ = state.runner.heal_and_check();
        }
        let at = state.runner.world.now();
        (Failure { seed: 1, at, reason }, state.runner.world.trace().clone())
    }
}

impl State {
    fn moves(&self, space: &Space) -> Vec<Move> {
        let mut moves = Vec::new();
        if self.time_steps < space.time_steps && self.runner.world.next_deadline().is_some() {
            moves.push(Move::Time);
        }
        if self.faults_done < space.max_faults {
            moves.extend(self.faults_left.iter().map(|fault| Move::Fault(*fault)));
        }
        for (number, script) in space.scripts.iter().enumerate() {
            if self.done.get(number).is_some_and(|done| *done < script.len()) {
                moves.push(Move::Script(number));
            }
        }
        moves.extend(self.runner.world.pending_packets().into_iter().map(Move::Deliver));
        moves
    }

    /// Whether all scripts are done and no packet is in flight.
    fn is_final(&self, space: &Space) -> bool {
        self.runner.world.pending_packets().is_empty()
            && self.done.iter().zip(&space.scripts).all(|(done, script)| *done == script.len())
    }

    fn apply(&mut self, space: &Space, next: Move) -> Result<(), String> {
        match next {
            Move::Deliver(due) => self.runner.world.perform(due),
            Move::Time => {
                self.time_steps += 1;
                self.runner.world.advance_to_deadline();
            }
            Move::Script(number) => {
                let done = self.done.get_mut(number);
                let step = done.and_then(|done| {
                    *done += 1;
                    space.scripts.get(number)?.get(*done - 1)
                });
                if let Some(step) = step {
                    self.runner.step(*step)?;
                }
            }
            Move::Fault(fault) => {
                self.faults_done += 1;
                self.faults_left.retain(|left| *left != fault);
                if let Some(step) = space.faults.get(fault) {
                    self.runner.step(*step)?;
                }
            }
        }
        self.runner.check()
    }

    /// A 128-bit hash of the state.
    fn fingerprint(&self) -> u128 {
        let mut one = Fingerprint(hasher(1));
        let mut two = Fingerprint(hasher(2));
        for print in [&mut one, &mut two] {
            // Hashing cannot fail.
            let _ = write!(print, "{:?}{:?}", self.done, self.faults_left);
            let _ = write!(print, "{:?}{:?}", self.faults_done, self.time_steps);
            let _ = self.runner.world.write_state(print);
        }
        u128::from(one.0.finish()) << 64 | u128::from(two.0.finish())
    }
}

fn hasher(seed: u64) -> foldhash::quality::FoldHasher<'static> {
    core::hash::BuildHasher::build_hasher(&FixedState::with_seed(seed))
}

/// A writer that hashes the text.
struct Fingerprint<H>(H);

impl<H: Hasher> Write for Fingerprint<H> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
