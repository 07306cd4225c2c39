//! Engine, gateway and venue state machines in one thread under a seeded scheduler: clock, network, disk
//! and everything that goes wrong are simulated. A storm with faults, then fair weather in which
//! everything must come to rest.
//!
//! [`run`] is one seed. What it proves is in [`audit`] (at every moment) and [`settle`] (once the
//! weather is fair). The same seed gives the same journal, whatever the machine and the build.
#![cfg(feature = "server")] // the venue's dialect is its server's

mod audit;
mod campaign;
mod clocks;
mod coverage;
mod dice;
mod lives;
mod market;
mod memory;
mod network;
mod process;
mod proxy;
mod schedule;
mod settle;
mod weather;
mod world;

pub use audit::Figures;
pub use campaign::{Campaign, Failed};
pub use coverage::{Coverage, Row, STATUSES};
pub use dice::Dice;
pub use market::{BAR_S, Market, START, instruments};
pub use weather::{Blow, Kind, Weather};
pub use world::World;

use crate::num::{NS_PER_SEC, TimeNs};

/// By then after the weather has cleared engine and venue agree.
pub const SETTLE_NS: i64 = 30 * NS_PER_SEC;
/// And by then nothing is in question any more: an order may still be lost on a connection that is dead and
/// not known to be, and is given up a minute later.
const ANSWERED_NS: i64 = 110 * NS_PER_SEC;
/// Bans and starts that fail, at most: longer is a circle.
const STORM_NS_MAX: i64 = 600 * NS_PER_SEC;
/// How often it is looked whether they agree.
const LOOK_NS: i64 = NS_PER_SEC / 2;

/// What must not be, and when it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} ms after the start: {what}", (at.0 - START.0) / 1_000_000)]
pub struct Failure {
    pub at: TimeNs,
    pub what: String,
}

impl Failure {
    pub fn new(at: TimeNs, what: String) -> Failure {
        Failure { at, what }
    }
}

/// What one seed came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub figures: Figures,
    pub coverage: Coverage,
    /// Of the journal: every record ever written.
    pub hash: u64,
    /// From fair weather to agreement.
    pub settled_ns: i64,
    /// Orders whose fate could not be known yet when everything else was agreed on.
    pub in_question: usize,
    pub simulated_ns: i64,
}

/// Runs a seed to its end.
///
/// # Errors
/// The first thing that must not be.
pub fn run(seed: u64) -> Result<Outcome, Failure> {
    let mut world = World::of_seed(seed)?;
    let clears = world.weather.clears;
    world.run_until(clears)?;
    finish(&mut world)
}

/// Lets a world come to rest, and looks whether it has.
///
/// # Errors
/// The first thing that must not be.
pub fn finish(world: &mut World) -> Result<Outcome, Failure> {
    world.calm();
    // A ban is part of the storm, and so is a process that is not there.
    while world.clears_at() > world.now || world.process.is_none() {
        world.run_until(world.now + LOOK_NS)?;
        if world.now.since(world.weather.clears) > STORM_NS_MAX {
            return Err(Failure::new(
                world.now,
                "the storm does not end: no process, or banned anew".to_owned(),
            ));
        }
    }
    let fair = world.now;
    let in_question = loop {
        world.run_until(world.now + LOOK_NS)?;
        let (differences, in_question) = world.differences();
        if differences.is_empty() {
            break in_question;
        }
        if world.now.since(fair) >= SETTLE_NS {
            return Err(Failure::new(world.now, format!("not settled: {}", differences.join("; "))));
        }
    };
    let settled_ns = world.now.since(fair);
    if in_question > 0 {
        world.run_until(fair + ANSWERED_NS)?;
        let (differences, in_question) = world.differences();
        if in_question > 0 || !differences.is_empty() {
            let what = format!("in question for too long: {in_question} orders; {}", differences.join("; "));
            return Err(Failure::new(world.now, what));
        }
    }
    Ok(world.outcome(settled_ns, in_question))
}
