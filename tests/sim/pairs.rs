//! Words on orders that storms hardly ever bring together with a state: weather made for each, over as many
//! seeds as it takes. `soak::RARE` names these tests.

use quantum_trader::event::OrderStatus as Word;
use quantum_trader::num::{InstrumentId, NS_PER_MS, NS_PER_SEC, OrderId};
use quantum_trader::soak::{self, Blow, Coverage, Kind, RARE, START, Weather, World};
use quantum_trader::trade::OrderState as State;

const SEEDS_MAX: u64 = 400;
const STORM_S: i64 = 40;

/// The pairs that belong to a test are reached in the weather it makes.
fn reached_in(test: &str, weather: impl Fn(u64) -> Weather) {
    let mut missing: Vec<_> = RARE.iter().filter(|(.., of)| *of == test).collect();
    assert!(!missing.is_empty(), "{test} reaches nothing");
    let mut coverage = Coverage::default();
    for seed in 0..SEEDS_MAX {
        let mut world = World::new(seed, |_| weather(seed)).unwrap();
        let clears = world.weather.clears;
        let outcome = world.run_until(clears).and_then(|()| soak::finish(&mut world));
        coverage.add(&outcome.unwrap_or_else(|failure| panic!("seed {seed}: {failure}")).coverage);
        missing.retain(|(state, word, _)| coverage.pair(*state, *word) == 0);
        if missing.is_empty() {
            eprintln!("{test}: after {} seeds", seed + 1);
            return;
        }
    }
    panic!("not reached in {SEEDS_MAX} seeds: {missing:?}");
}

fn at(seconds: i64) -> quantum_trader::num::TimeNs {
    START + seconds * NS_PER_SEC
}

fn storm(kinds: &[Kind]) -> Weather {
    kinds.iter().fold(Weather::fair(START), |weather, kind| weather.with(*kind, at(3), at(STORM_S)))
}

#[test]
fn a_report_before_every_answer() {
    reached_in("a_report_before_every_answer", |seed| {
        let lost = storm(&[Kind::LoseAnswers, Kind::LoseReports, Kind::ShuffleReports]);
        if seed % 4 == 0 { lost.with(Kind::Slow, at(3), at(STORM_S)) } else { lost }
    });
}

#[test]
fn unknown_is_said_again_when_it_is_known() {
    reached_in("unknown_is_said_again_when_it_is_known", |_| {
        storm(&[Kind::Echo, Kind::StatusUnknown, Kind::LoseAnswers])
    });
}

#[test]
fn given_up_and_there_all_the_same() {
    reached_in("given_up_and_there_all_the_same", |_| {
        let mut weather = storm(&[Kind::Forget, Kind::LoseAnswers, Kind::LoseReports, Kind::Slow]);
        for second in [8, 15, 22, 29] {
            weather = weather.struck(Blow::Kill, at(second));
        }
        weather
    });
}

/// Words that the gateway of these storms hardly ever lets through, said by hand as soon as there is an order
/// in that state.
#[test]
fn a_word_that_comes_late_changes_nothing() {
    let test = "a_word_that_comes_late_changes_nothing";
    for (state, word, _) in RARE.iter().filter(|(.., of)| *of == test) {
        let said = (0..SEEDS_MAX).find(|seed| {
            let weather = storm(&[Kind::Refuse, Kind::ShuffleReports]);
            let mut world = World::new(*seed, |_| weather).unwrap();
            let Some((id, order)) = first_order_in(*state, &mut world) else { return false };
            world.say(id, order, *word).unwrap();
            world.run_until(at(STORM_S)).unwrap();
            let outcome = soak::finish(&mut world);
            let outcome =
                outcome.unwrap_or_else(|failure| panic!("{state:?} {word:?}: seed {seed}: {failure}"));
            outcome.coverage.pair(*state, *word) > 0
        });
        assert!(said.is_some(), "no order was {state:?} to hear {word:?}");
    }
}

/// Lets time pass until the engine has such an order.
fn first_order_in(state: State, world: &mut World) -> Option<(InstrumentId, OrderId)> {
    while world.now < at(STORM_S - 5) {
        world.run_until(world.now + 10 * NS_PER_MS).unwrap();
        let Some(process) = &world.process else { continue };
        let trades = process.intake.core.engine().trades().iter();
        let mut orders = trades.flat_map(|trade| trade.orders.iter().map(|order| (trade.instrument, order)));
        if let Some((id, order)) = orders.find(|(_, order)| order.state == state) {
            return Some((id, order.id));
        }
    }
    None
}

#[test]
fn each_rare_pair_has_its_test_and_is_not_impossible() {
    let tests = [
        "a_report_before_every_answer",
        "unknown_is_said_again_when_it_is_known",
        "given_up_and_there_all_the_same",
        "a_word_that_comes_late_changes_nothing",
    ];
    for (state, word, test) in RARE {
        assert!(tests.contains(test), "{state:?} {word:?}: no test {test}");
    }
    let coverage = Coverage::default();
    let pairs: Vec<_> = coverage.pairs().collect();
    assert_eq!(pairs.len(), State::ALL.len() * Word::ALL.len());
    assert!(pairs.iter().all(|pair| pair.impossible.is_none() || pair.rare.is_none()));
    assert!(pairs.iter().all(|pair| pair.impossible.is_none_or(|why| why.len() > 20)));
}
