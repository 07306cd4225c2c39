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
mod story;
mod watch;
mod weather;
mod world;

pub use audit::Figures;
pub use campaign::{Campaign, Peak};
pub use coverage::{Coverage, IMPOSSIBLE, Pair, RARE, Row};
pub use dice::Dice;
pub use market::{BAR_S, Market, START, instruments, instruments_with};
pub use story::{Failed, Story};
pub use watch::{Knock, Site};
pub use weather::{Blow, Kind, Weather};
pub use world::World;

use crate::num::{NS_PER_MS, NS_PER_SEC, TimeNs};
use settle::Unsettled;

/// By then after the weather has cleared engine and venue agree.
pub const SETTLE_NS: i64 = 30 * NS_PER_SEC;
/// And so long they do from then on. What comes apart, as a position does while its fill is on its way, is
/// together again after so long: an audit finds within 15 seconds what no message told, and a wallet is
/// believed when nothing has moved for three.
const LAST_NS: i64 = 30 * NS_PER_SEC;
const PASSING_NS: i64 = 20 * NS_PER_SEC;
/// And by then nothing is in question any more: an order may still be lost on a connection that is dead and
/// not known to be, and is given up a minute later.
const ANSWERED_NS: i64 = 110 * NS_PER_SEC;
/// Bans and starts that fail, at most: longer is a circle.
const STORM_NS_MAX: i64 = 600 * NS_PER_SEC;
/// How often it is looked whether they agree.
const LOOK_NS: i64 = NS_PER_SEC / 2;

/// What must not be, when it was seen, and from when on it had been so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} ms after the start, since {} ms: {what}", ms(*at), ms(*since))]
pub struct Failure {
    pub at: TimeNs,
    pub since: TimeNs,
    pub what: String,
}

fn ms(at: TimeNs) -> i64 {
    at.since(START) / NS_PER_MS
}

impl Failure {
    pub fn new(at: TimeNs, what: String) -> Failure {
        Failure { at, since: at, what }
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
/// The first thing that must not be; a panic is one.
pub fn run(seed: u64) -> Result<Outcome, Failure> {
    Story::of(seed).result
}

/// Lets a world come to rest, and looks whether it has, and whether it stays so.
///
/// # Errors
/// The first thing that must not be.
pub fn finish(world: &mut World) -> Result<Outcome, Failure> {
    world.calm();
    // A ban is part of the storm, and so is a process that is not there.
    while world.clears_at() > world.now || world.process.is_none() {
        world.run_until(world.now + LOOK_NS)?;
        if world.now.since(world.weather.clears) > STORM_NS_MAX {
            let what = "the storm does not end: no process, or banned anew".to_owned();
            return Err(Failure { since: world.weather.clears, ..Failure::new(world.now, what) });
        }
    }
    let fair = world.now;
    let mut unsettled = Unsettled::default();
    let in_question = loop {
        let (oldest, questions) = unsettled.look(world)?;
        if oldest.is_none() {
            break questions;
        }
        if world.now.since(fair) >= SETTLE_NS {
            return Err(unsettled.failure(world.now, "not settled"));
        }
    };
    let settled_ns = world.now.since(fair);
    // And so it stays. What still moves, as a stop that a trade trails, is apart for a moment.
    let (lasts, answered) = (world.now + LAST_NS, fair + ANSWERED_NS);
    let mut heard = fair;
    loop {
        let (oldest, questions) = unsettled.look(world)?;
        // Until it listens again nothing can come together; but that takes no longer than the storm's end.
        if world.is_deaf() {
            heard = world.now;
        }
        let too_long = |since: TimeNs| {
            world.now.since(since) >= SETTLE_NS || world.now.since(since.max(heard)) >= PASSING_NS
        };
        if oldest.is_some_and(too_long) {
            return Err(unsettled.failure(world.now, "settled, and not for long"));
        }
        if oldest.is_none() && questions == 0 && world.now >= lasts {
            return Ok(world.outcome(settled_ns, in_question));
        }
        if world.now >= answered {
            let what = format!("in question for too long: {questions} orders");
            return Err(Failure { since: fair, ..unsettled.failure(world.now, &what) });
        }
    }
}
