//! The engine against the simulated venue in random markets, from seeds. `QT_SEEDS` sets how many
//! seeds each test runs, `QT_SEED` runs a single one.
#![cfg(feature = "server")] // its market is the soak's

mod audit;
mod figures;
mod hostile;
mod market;
mod snapshot;
mod world;

use audit::Seen;
use quantum_trader::host::alloc::Counting;
use quantum_trader::num::{InstrumentId, Lots};
use world::{Line, World};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SEEDS: u64 = 250;
const TICKS: usize = 1_500;

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match (number("QT_SEED"), number("QT_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(SEEDS),
    }
}

/// A run to its end, all positions closed; what was seen, and the digest of everything said.
fn run(seed: u64, line: Line) -> World {
    eprintln!("{line:?} seed {seed}");
    let mut world = World::new(seed, line);
    for _ in 0..TICKS {
        world.tick();
    }
    world.wind_down(if line == Line::Honest { 30 } else { 240 });
    world
}

fn assert_settled(world: &World) {
    let venue = world.link.venue();
    for (id, _) in world.market.table.iter() {
        assert_eq!(venue.position(InstrumentId(id.0)).quantity, Lots::ZERO, "left open");
    }
    assert!(venue.open_orders().is_empty(), "left on the book: {:?}", venue.open_orders());
    assert!(world.engine.trades().is_empty(), "left over: {:?}", world.engine.trades());
    assert_eq!(world.engine.controller().wallet(), Some(venue.wallet()), "the wallets agree");
}

#[test]
fn positions_are_protected_and_the_books_agree() {
    let (mut all, mut shown, mut idle) = (Seen::default(), 0, 0);
    for seed in seeds() {
        let world = run(seed, Line::Honest);
        assert_settled(&world);
        all.add(world.audit.seen);
        shown += world.audit.figures.compared;
        idle += world.idle;
    }
    eprintln!("{all:?}, {shown} positions shown");
    if seeds().count() >= SEEDS as usize {
        let counts = [all.entries, all.closed, all.parts, all.flattened, all.moved, all.expired_stops];
        assert!(counts.iter().all(|count| *count > 15), "the market is too tame: {all:?}");
        assert!(all.quiet_compared > 10_000 && shown > 10_000);
        assert!(idle > 10_000, "the engine was idle {idle} times");
    }
}

#[test]
fn the_same_seed_says_the_same() {
    for seed in seeds().take(10) {
        let (a, b) = (run(seed, Line::Lossy), run(seed, Line::Lossy));
        assert_eq!(a.digest, b.digest, "seed {seed}");
    }
}

#[test]
fn shuffled_reports_end_flat_and_on_the_cent() {
    for seed in seeds() {
        assert_settled(&run(seed, Line::Shuffled));
    }
}

/// Whatever comes, the engine neither panics nor issues an id twice.
#[test]
fn hostile_events_do_no_harm() {
    let mut all = Seen::default();
    for seed in seeds() {
        eprintln!("hostile seed {seed}");
        let mut world = World::new(seed, Line::Hostile);
        for _ in 0..TICKS {
            world.tick();
            // Some runs are left alone for long enough to have something to lose.
            if world.dice.one_in(1 + (seed % 5) as i64 * 20) {
                world.hostile();
            }
        }
        all.add(world.audit.seen);
    }
    eprintln!("{all:?}");
}

#[test]
fn lost_answers_never_enter_twice_and_end_flat() {
    for seed in seeds() {
        assert_settled(&run(seed, Line::Lossy));
    }
}
