//! The in-process transport: market and venue in the engine's own thread.

use super::{Ended, Plan, ended_at};
use crate::journal::drain::Drain;
use crate::live::{Core, Direct, Inbox, Lockstep, Recorder, RunError};
use crate::sim::exchange::Exchange;

pub(in crate::cli) fn run<R: Recorder>(
    plan: Plan,
    core: Core<R>,
    exchange: Exchange,
    inbox: Inbox,
    drain: Option<&Drain>,
) -> Ended<R> {
    let mut lockstep = Lockstep::new(core, Direct(exchange), inbox, drain, plan.stop);
    let (mut fault, mut between_ticks) = (None, false);
    let outcome = lockstep
        .begin(plan.start, plan.opening.into_iter())
        .and_then(|()| {
            let outcome = lockstep.run(plan.pace);
            between_ticks = matches!(&outcome, Err(RunError::Market(error)) if error.between_ticks);
            ended_at(outcome, &mut fault)
        })
        .and_then(|reason| lockstep.end(reason));
    let Lockstep { intake, transport: Direct(exchange), .. } = lockstep;
    let mut core = intake.core;
    core.counts.sim_round_trip_ns_max = plan.round_trip_ns_max;
    core.counts.out_of_order = exchange.source_counts().clamped;
    Ended { core, outcome, fault, between_ticks, sockets: None }
}
