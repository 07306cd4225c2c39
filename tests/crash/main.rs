//! Engines that are killed with SIGKILL at any moment, again and again, over one journal, at a venue that
//! goes on in another process. Nothing published is lost, no order is asked for twice, and what the next
//! start believes is what the venue has.
//!
//! `QT_KILLS` says how often (`scripts/crash-test N`), `QT_SEED` at which moments.
#![cfg(feature = "server")]

mod audit;
mod journal;
mod process;
mod table;

use std::env;
use std::thread;
use std::time::{Duration, Instant};

use quantum_trader::event::Purpose;
use quantum_trader::event::record::Entry;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use self::journal::{Published, Tail, Tally, begins, ends_recovery, sends};
use self::process::{Process, Sim};
use self::table::Table;

/// Kills between two comparisons of positions.
const COMPARE_EVERY: u64 = 25;
const LOOK: Duration = Duration::from_micros(200);
const ASK: Duration = Duration::from_millis(20);
/// A moment that does not come is given up: the market decides when there is something to trade.
const PATIENCE: Duration = Duration::from_secs(15);
/// A start that has not recovered by then never will.
const GIVE_UP: Duration = Duration::from_secs(300);

/// When a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// Wherever it has come to, a moment after it was begun.
    StartUp,
    /// The journal has been taken over, and the venue is being asked.
    Recovery,
    /// An entry was decided.
    Entry,
    /// A stop was: the position has none, or an older one.
    Stop,
    /// Seconds later.
    Trading,
}

const MOMENTS: [Moment; 5] =
    [Moment::Stop, Moment::Recovery, Moment::Entry, Moment::StartUp, Moment::Trading];

impl Moment {
    fn is_reached(self, entry: &Entry) -> bool {
        match self {
            Moment::StartUp => false,
            Moment::Recovery | Moment::Trading => begins(entry),
            Moment::Entry => sends(entry, Purpose::Entry),
            Moment::Stop => sends(entry, Purpose::Stop),
        }
    }

    /// From then on, at random.
    fn delay(self, random: &mut Pcg64) -> Duration {
        let (least_us, most_us) = match self {
            Moment::StartUp => (0, 300_000),
            Moment::Recovery => (0, 60_000),
            Moment::Entry | Moment::Stop => (0, 3_000),
            Moment::Trading => (500_000, 4_000_000),
        };
        Duration::from_micros(least_us + random.next_u64() % (most_us - least_us))
    }
}

/// Each moment as often as the others, in an order of chance.
struct Moments {
    random: Pcg64,
    deck: Vec<Moment>,
}

impl Moments {
    fn next(&mut self) -> (Moment, Duration) {
        if self.deck.is_empty() {
            self.deck = MOMENTS.to_vec();
            for i in (1..self.deck.len()).rev() {
                self.deck.swap(i, self.random.next_u64() as usize % (i + 1));
            }
        }
        let moment = self.deck.pop().unwrap();
        (moment, moment.delay(&mut self.random))
    }
}

/// One journal, its venue, and what is known of both.
struct Crash {
    sim: Sim,
    published: Published,
    table: Table,
}

/// A start that runs, and what was seen of it.
struct Start {
    process: Process,
    tail: Tail,
    began: Instant,
    recovered: Option<Duration>,
}

impl Crash {
    fn start(&self) -> Start {
        let tail = Tail::new(&self.sim.journal(), self.published.last);
        Start { process: self.sim.run(), tail, began: Instant::now(), recovered: None }
    }

    /// Follows a start until `done`, or until patience ends. It must not end by itself.
    fn follow(&self, start: &mut Start, patience: Duration, mut done: impl FnMut(&[Entry]) -> bool) -> bool {
        let until = Instant::now() + patience;
        loop {
            let entries = start.tail.look();
            if start.recovered.is_none() && entries.iter().any(ends_recovery) {
                start.recovered = Some(start.began.elapsed());
                self.keep_trading();
            }
            if done(&entries) {
                return true;
            }
            assert!(!start.process.has_ended(), "it ended by itself: {}", self.sim.said());
            if Instant::now() > until {
                return false;
            }
            thread::sleep(LOOK);
        }
    }

    /// A fault lowers the state until somebody raises it; here trading goes on.
    fn keep_trading(&self) {
        if self.sim.status().is_some_and(|status| status.state != "ACTIVE") {
            self.sim.resume_trading();
        }
    }

    /// Runs until the moment has come, then kills.
    fn live_and_die(&mut self, moment: Moment, delay: Duration) {
        let mut start = self.start();
        let come = |entries: &[Entry]| entries.iter().any(|entry| moment.is_reached(entry));
        let reached = moment == Moment::StartUp || self.follow(&mut start, PATIENCE, come);
        self.table.note_moment(moment, reached);
        let dies = Instant::now() + delay;
        self.follow(&mut start, delay, |_| Instant::now() >= dies);
        self.end(start);
    }

    /// Kills a start and looks at what it left.
    fn end(&mut self, mut start: Start) {
        start.process.kill();
        self.table.note_run(start.began.elapsed(), start.recovered, &self.sim.said());
        self.look();
    }

    fn look(&mut self) {
        let before = self.published.last;
        self.table.lost += self.published.read_again(&self.sim.journal());
        assert_eq!(self.table.lost, 0, "of {before} records that had been published");
        assert!(self.published.torn <= self.table.kills(), "more than one torn record a kill");
    }

    /// Starts, lets the start hear from the venue, and compares what both say.
    fn compare(&mut self) -> Start {
        let mut start = self.start();
        // Nothing to recover, nothing to hear.
        let first = !self.published.has_state;
        let heard = self.follow(&mut start, GIVE_UP, |entries| first || entries.iter().any(ends_recovery));
        assert!(heard, "it never recovered: {}", self.sim.said());
        let until = Instant::now() + GIVE_UP;
        let mut differs = String::new();
        while Instant::now() < until {
            let before = self.sim.audit();
            let status = self.sim.status();
            let after = self.sim.audit();
            let agreed = match &status {
                Some(status) if !status.recovering => audit::agree(&before, status, &after),
                status => Err(format!("the engine says {status:?}")),
            };
            match agreed {
                Ok(positions) => {
                    self.table.note_comparison(positions, &after);
                    let again = &after.requested_again;
                    assert_eq!(again.count, 0, "requested again: {:?}", again.client_ids);
                    return start;
                }
                Err(why) => differs = why,
            }
            assert!(!start.process.has_ended(), "it ended by itself: {}", self.sim.said());
            thread::sleep(ASK);
        }
        panic!("engine and venue never agreed: {differs}")
    }

    /// Ends a start in order, then checks the whole chain of starts.
    fn finish(&mut self, mut start: Start) {
        start.tail.look();
        let (ran, recovered) = (start.began.elapsed(), start.recovered);
        assert_eq!(start.process.terminate(), Some(0), "{}", self.sim.said());
        self.table.note_end(ran, recovered, &self.sim.said());
        self.look();
        let journal = self.sim.journal();
        let dir = journal.to_str().unwrap();
        let verified = self.sim.command(&["journal", "verify", dir]);
        assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stdout));
        let replayed = self.sim.command(&["replay", dir, "--json"]);
        let answer = String::from_utf8_lossy(&replayed.stdout);
        assert_eq!(replayed.status.code(), Some(0), "{answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(
            (&answer["identical"], &answer["divergence"], &answer["cut"]),
            (&true.into(), &serde_json::Value::Null, &0.into())
        );
        let tally = Tally::of(&journal);
        assert_eq!(tally.orders_twice(), 0, "an order id was issued twice");
        let requested = self.table.orders_requested;
        assert!(requested <= tally.orders.len() as u64, "{requested} orders reached the venue: {tally:?}");
        println!("{}", self.table.show(&self.published, &tally));
    }
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text:?}")))
}

#[test]
fn killed_again_and_again_nothing_is_lost_and_nothing_is_done_twice() {
    let (kills, seed) = (number("QT_KILLS", 4), number("QT_SEED", 1));
    let mut moments = Moments { random: Pcg64::seed_from_u64(seed), deck: Vec::new() };
    let mut crash = Crash { sim: Sim::start(seed), published: Published::default(), table: Table::new(seed) };
    for kill in 1..=kills {
        if kill % COMPARE_EVERY == 0 {
            let start = crash.compare();
            crash.end(start);
        } else {
            let (moment, delay) = moments.next();
            crash.live_and_die(moment, delay);
        }
    }
    let last = crash.compare();
    crash.finish(last);
}
