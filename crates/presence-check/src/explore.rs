//! Every order in which a small world can unfold, through the real code.
//!
//! Latencies and speeds are taken to be unknown: whatever is under way may be the next to arrive,
//! whatever an application has yet to do may come at any moment, faults may strike between any
//! two things, and time may pass, up to the next deadline, before any of them. Worlds that are
//! equal, whatever way they came about, are followed once.

use crate::run::{Failure, Runner};
use crate::scenario::{Scenario, Setup, Step};
use core::fmt::{self, Write};
use core::hash::Hasher;
use foldhash::quality::FixedState;
use presence_sim::Pending;
use presence_sim::Trace;
use std::collections::BTreeSet;

/// A small world, and everything that may happen in it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Space {
    /// Who takes part.
    pub setup: Setup,
    /// What has happened before, in this order and undisturbed.
    pub before: Vec<Step>,
    /// What each application does, in this order, at any moments.
    pub scripts: Vec<Vec<Step>>,
    /// The faults that may strike, in any order, each at most once.
    pub faults: Vec<Step>,
    /// How many of the faults strike at most.
    pub max_faults: usize,
    /// How often time passes, each time up to the next deadline.
    pub time_steps: usize,
}

impl Space {
    /// A world of this setup in which nothing happens.
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

/// How much there was to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// Different worlds.
    pub states: u64,
    /// Ways from one to another.
    pub moves: u64,
    /// Most moves from the first world to any other, on the ways that were followed.
    pub depth: u64,
    /// Worlds in which everything has happened. Each of them was mended and had to converge.
    pub ends: u64,
    /// Whether the limit on states cut the search short.
    pub cut_short: bool,
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Move {
    Deliver(Pending),
    Time,
    Script(usize),
    Fault(usize),
}

/// One world on the way, and what has not happened yet.
#[derive(Clone, Debug)]
struct Place {
    runner: Runner,
    /// How far each script has got.
    done: Vec<usize>,
    faults_left: Vec<usize>,
    struck: usize,
    time_steps: usize,
}

impl Space {
    /// Follows every way, but stops after so many different worlds.
    ///
    /// # Errors
    ///
    /// The first thing that does not hold, and the trace that led to it.
    pub fn explore(&self, max_states: u64) -> Result<Explored, (Failure, Trace)> {
        let start = self.start(false).map_err(|failure| (failure, Trace::default()))?;
        let mut seen = BTreeSet::new();
        seen.insert(start.fingerprint());
        let mut explored = Explored { states: 1, ..Explored::default() };
        let moves = start.moves(self);
        // The way to the present world: each world on it, and the moves not yet tried from there.
        let mut way = Vec::new();
        way.push((start, moves));
        let mut path: Vec<Move> = Vec::new();
        loop {
            let Some((place, moves)) = way.last_mut() else { return Ok(explored) };
            let Some(next) = moves.pop() else {
                way.pop();
                path.pop();
                continue;
            };
            let mut place = place.clone();
            explored.moves += 1;
            path.push(next);
            if let Err(what) = place.make(self, next) {
                return Err(self.explain(&path, what));
            }
            if !seen.insert(place.fingerprint()) {
                path.pop();
                continue;
            }
            explored.states += 1;
            explored.depth = explored.depth.max(path.len() as u64);
            let moves = place.moves(self);
            if place.is_over(self) {
                explored.ends += 1;
                if let Err(what) = place.clone().runner.heal_and_check() {
                    return Err(self.explain(&path, what));
                }
            }
            if explored.states >= max_states {
                explored.cut_short = true;
                return Ok(explored);
            }
            way.push((place, moves));
        }
    }

    fn start(&self, traced: bool) -> Result<Place, Failure> {
        let scenario = Scenario { seed: 1, setup: self.setup.clone(), steps: Vec::new() };
        let mut runner = Runner::new(&scenario);
        if !traced {
            runner.world.disable_trace();
        }
        let mut place = Place {
            runner,
            done: self.scripts.iter().map(|_| 0).collect(),
            faults_left: (0..self.faults.len()).collect(),
            struck: 0,
            time_steps: 0,
        };
        for step in &self.before {
            place.runner.step(*step).map_err(|what| Failure { seed: 1, at: 0, what })?;
        }
        Ok(place)
    }

    /// Goes a way again, for its trace.
    fn explain(&self, path: &[Move], what: String) -> (Failure, Trace) {
        let Ok(mut place) = self.start(true) else {
            return (Failure { seed: 1, at: 0, what }, Trace::default());
        };
        let bad = path.iter().any(|next| place.make(self, *next).is_err());
        if !bad {
            let _ = place.runner.heal_and_check();
        }
        let at = place.runner.world.now();
        (Failure { seed: 1, at, what }, place.runner.world.trace().clone())
    }
}

impl Place {
    fn moves(&self, space: &Space) -> Vec<Move> {
        let mut moves = Vec::new();
        if self.time_steps < space.time_steps && self.runner.world.next_deadline().is_some() {
            moves.push(Move::Time);
        }
        if self.struck < space.max_faults {
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

    /// Whether everything that was to happen has happened, and arrived.
    fn is_over(&self, space: &Space) -> bool {
        self.runner.world.pending_packets().is_empty()
            && self.done.iter().zip(&space.scripts).all(|(done, script)| *done == script.len())
    }

    fn make(&mut self, space: &Space, next: Move) -> Result<(), String> {
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
                self.struck += 1;
                self.faults_left.retain(|left| *left != fault);
                if let Some(step) = space.faults.get(fault) {
                    self.runner.step(*step)?;
                }
            }
        }
        self.runner.watch()
    }

    /// Equal for equal worlds, and (but for the odds of 2^-128) only for those.
    fn fingerprint(&self) -> u128 {
        let mut one = Fingerprint(hasher(1));
        let mut two = Fingerprint(hasher(2));
        for print in [&mut one, &mut two] {
            // Hashing cannot fail.
            let _ = write!(print, "{:?}{:?}", self.done, self.faults_left);
            let _ = write!(print, "{:?}{:?}", self.struck, self.time_steps);
            let _ = self.runner.world.write_state(print);
        }
        u128::from(one.0.finish()) << 64 | u128::from(two.0.finish())
    }
}

fn hasher(seed: u64) -> foldhash::quality::FoldHasher<'static> {
    core::hash::BuildHasher::build_hasher(&FixedState::with_seed(seed))
}

/// Hashes what is written to it.
struct Fingerprint<H>(H);

impl<H: Hasher> Write for Fingerprint<H> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
