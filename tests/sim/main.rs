//! Engine, gateway and venue under a seeded storm. `QT_SEEDS` sets how many seeds are run, `QT_SEED`
//! runs a single one.
#![cfg(feature = "server")]

mod hurts;

use std::time::Instant;

use quantum_trader::num::NS_PER_SEC;
use quantum_trader::soak::{self, Failure, Figures, Outcome, START, Weather, World};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    match (number("QT_SEED"), number("QT_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(default),
    }
}

fn judge(default: u64, run: impl Fn(u64) -> Result<Outcome, Failure>) {
    let began = Instant::now();
    let seeds = seeds(default);
    let (mut failed, mut settled, mut total) = (Vec::new(), 0, Figures::default());
    for seed in seeds.clone() {
        match run(seed) {
            Ok(outcome) => {
                settled = settled.max(outcome.settled_ns);
                total.events += outcome.figures.events;
                total.entries += outcome.figures.entries;
                total.trades_closed += outcome.figures.trades_closed;
                total.starts += outcome.figures.starts;
                total.unprotected_ms_max = total.unprotected_ms_max.max(outcome.figures.unprotected_ms_max);
                total.bare_ms_max = total.bare_ms_max.max(outcome.figures.bare_ms_max);
            }
            Err(failure) => failed.push((seed, failure.to_string())),
        }
    }
    eprintln!("{total:?}, settled {} ms, {:?}", settled / 1_000_000, began.elapsed());
    for (seed, failure) in failed.iter().take(30) {
        eprintln!("seed {seed}: {failure}");
    }
    assert!(failed.is_empty(), "{} of {} seeds failed", failed.len(), seeds.count());
}

#[test]
fn in_fair_weather_nothing_is_ever_in_question() {
    judge(100, |seed| {
        let mut world = World::new(seed, |_| Weather::fair(START))?;
        world.run_until(START + 60 * NS_PER_SEC)?;
        soak::finish(&mut world)
    });
}
