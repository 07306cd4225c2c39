//! Engine, gateway and venue in one thread, under seeded storms. `QT_SEEDS` sets how many seeds the storms
//! take; `qtx soak --seed N` shows one of them.
#![cfg(feature = "server")]

mod command;
mod hurts;
mod pairs;

use quantum_trader::event::OrderStatus;
use quantum_trader::num::NS_PER_SEC;
use quantum_trader::soak::{self, Blow, Campaign, Failure, Kind, Outcome, START, Weather, World};
use quantum_trader::trade::OrderState;

const SEEDS: u64 = 2_000;
/// With as many every state, word and row that can be reached is.
const SEEDS_TO_REACH_ALL: u64 = 2_000;

fn seeds() -> u64 {
    std::env::var("QT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

fn through(seed: u64, weather: Weather) -> Result<Outcome, Failure> {
    let mut world = World::new(seed, |_| weather)?;
    world.run_until(START + 30 * NS_PER_SEC)?;
    soak::finish(&mut world)
}

fn at(seconds: i64) -> quantum_trader::num::TimeNs {
    START + seconds * NS_PER_SEC
}

#[test]
fn in_fair_weather_nothing_is_ever_in_question() {
    let mut entries = 0;
    for seed in 0..30 {
        let outcome =
            through(seed, Weather::fair(START)).unwrap_or_else(|failure| panic!("{seed}: {failure}"));
        assert_eq!(outcome.in_question, 0, "seed {seed}");
        entries += outcome.figures.entries;
        let figures = outcome.figures;
        assert!(figures.bare_ms_max <= 1_500, "seed {seed}: {figures:?}");
    }
    assert!(entries > 30, "the market is too tame");
}

#[test]
fn each_disturbance_alone_comes_to_rest() {
    for seed in 0..6 {
        for kind in Kind::ALL {
            let outcome = through(seed, Weather::fair(START).with(kind, at(5), at(30)));
            assert!(outcome.is_ok(), "{kind:?}, seed {seed}: {}", outcome.unwrap_err());
        }
        for blow in Blow::ALL {
            let outcome = through(seed, Weather::fair(START).struck(blow, at(12)).struck(blow, at(21)));
            assert!(outcome.is_ok(), "{blow:?}, seed {seed}: {}", outcome.unwrap_err());
        }
    }
}

#[test]
fn storms_end_and_everything_agrees() {
    let campaign = Campaign::run(0..seeds(), 2, |_| true);
    eprintln!("{:?}, settled within {:?}", campaign.figures, campaign.settled);
    eprintln!("{}", campaign.coverage.text());
    let failures: String = campaign.failures.iter().map(|failed| failed.text()).collect();
    assert_eq!(campaign.failed, 0, "\n{failures}");
    assert_eq!(campaign.seeds, seeds());
    let figures = campaign.figures;
    assert_eq!((figures.duplicate_orders, figures.sent_during_ban, figures.stale_entries), (0, 0, 0));
    if campaign.seeds >= SEEDS_TO_REACH_ALL {
        assert!(figures.entries > campaign.seeds && figures.deaths > campaign.seeds / 10, "{figures:?}");
        assert!(figures.bans > 50 && figures.groups_cut > 20 && figures.journals_lost > 100, "{figures:?}");
        assert!(figures.starts_in_ban > 50 && figures.journals_unopened > 0, "{figures:?}");
        let coverage = &campaign.coverage;
        assert_eq!(coverage.pairs_missed(), Vec::<String>::new());
        assert_eq!(coverage.rows_missed(), Vec::<&str>::new());
        // Every pair is reached, or impossible, or has a test of its own.
        let settled = coverage.pairs().filter(|pair| pair.count > 0 || !pair.is_expected()).count();
        assert_eq!(settled, OrderState::ALL.len() * OrderStatus::ALL.len());
    }
}

#[test]
fn the_same_seed_writes_the_same_journal() {
    let hashes = |threads| Campaign::run(0..40, threads, |_| true).hash;
    assert_eq!(hashes(1), hashes(2));
    let once = soak::run(7).map(|outcome| outcome.hash);
    assert_ne!(once, soak::run(8).map(|outcome| outcome.hash));
}
