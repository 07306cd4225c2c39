//! The engine against a slow model in exact rationals, over random paths of prices, signals, fills,
//! money, bars, commands and faults, in several instruments and over days: every decision and its
//! reason, every exit, every result and the equity are the model's.
//!
//! A limit binds in a path if it refuses a signal, or changes a size, at least once. Each has to bind
//! in at least a hundredth of the paths. `QT_SEEDS` sets how many paths are walked, `QT_SEED` walks a
//! single one and shows its steps; `--nocapture` shows the shares.

mod audit;
mod desk;
#[path = "../evaluate/exact.rs"]
mod exact;
mod families;
#[path = "../evaluate/lines.rs"]
#[allow(dead_code)] // Paths need its values; scenarios are text.
mod lines;
#[path = "../evaluate/model/mod.rs"]
mod model;
mod paths;
mod said;
mod signals;

use std::collections::BTreeMap;
use std::thread;

use desk::{Desk, Step};
use exact::q;
use families::{Family, rows};
use model::Model;
use paths::Path;

/// Paths of the usual run; one more changes none of the others.
const PATHS: u64 = 1_800;

/// What was met, over many paths.
#[derive(Default)]
struct Tally {
    paths: u64,
    steps: u64,
    approvals: u64,
    closed: u64,
    binds: BTreeMap<&'static str, u64>,
    edges: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.paths += other.paths;
        self.steps += other.steps;
        self.approvals += other.approvals;
        self.closed += other.closed;
        for (all, some) in [(&mut self.binds, other.binds), (&mut self.edges, other.edges)] {
            for (what, count) in some {
                *all.entry(what).or_default() += count;
            }
        }
    }
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match (number("QT_SEED"), number("QT_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(PATHS),
    }
}

/// Says which path it was that failed.
struct Walk(u64, Family);

impl Drop for Walk {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("QT_SEED={} ({:?})", self.0, self.1);
        }
    }
}

/// Walks a path on both sides.
fn walk(seed: u64, tally: &mut Tally) {
    let family = Family::ALL[(seed % Family::ALL.len() as u64) as usize];
    let _walk = Walk(seed, family);
    let mut path = Path::new(family, seed);
    let alone = std::env::var_os("QT_SEED").is_some();
    let (mut desk, mut model) = (Desk::new(&path.settings, &rows()), Model::new(&path.settings));
    for left in (0..path.steps).rev() {
        let step = path.next(&model);
        if alone {
            eprintln!("{step:?}");
        }
        let said = desk.step(&step);
        let expected = match &step {
            Step::Line(line) => model.line(line),
            Step::Beyond { time_ms, what } => model.beyond(*time_ms, what),
        };
        let engine = desk.engine.controller();
        let ours = (engine.equity().map(q), q(engine.day_peak()), engine.losses(), engine.state());
        let theirs = (model.equity(), model.day_peak.clone(), model.losses, model.state);
        assert!(
            said == expected && ours == theirs,
            "with {left} steps left: {step:?}\nengine {said:#?}\nmodel {expected:#?}\n\
             equity, day's peak, losses and state {ours:?} and {theirs:?}"
        );
        tally.steps += 1;
    }
    assert_eq!(desk.end(), model.end(), "the end");
    tally.paths += 1;
    tally.approvals += desk.audit.approvals;
    tally.closed += desk.audit.closed;
    for (all, met) in [(&mut tally.binds, &model.seen.binds), (&mut tally.edges, &model.seen.edges)] {
        for what in met {
            *all.entry(*what).or_default() += 1;
        }
    }
}

fn walk_all() -> Tally {
    let mut all = Tally::default();
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    thread::scope(|scope| {
        let walkers: Vec<_> = (0..threads)
            .map(|first| {
                scope.spawn(move || {
                    let mut tally = Tally::default();
                    for seed in seeds().skip(first as usize).step_by(threads as usize) {
                        walk(seed, &mut tally);
                    }
                    tally
                })
            })
            .collect();
        for walker in walkers {
            all.add(walker.join().expect("a path on which engine and model differ: see above"));
        }
    });
    all
}

/// Everything that may refuse a signal, change a size or end a trade, and whether a path can hold its
/// value exactly at the threshold.
const LIMITS: [(&str, bool); 42] = [
    ("not_ready", false),
    ("stale", true),
    ("feed_lag", true),
    ("consensus", false),
    ("confidence", true),
    ("volatility_gate", true),
    ("trend", true),
    ("regime", true),
    ("volume", true),
    ("spread", true),
    ("cost", true),
    ("circuit_breaker", true),
    ("daily_drawdown", true),
    ("weekly_drawdown", true),
    ("concurrent", false),
    ("position", false),
    ("correlation", true),
    ("trading_state", false),
    ("levels", true),
    ("liquidation", true),
    ("min_quantity", true),
    ("min_notional", true),
    ("min_position", true),
    ("exposure", true),
    ("open_risk", true),
    ("high_confidence", true),
    ("low_confidence", true),
    ("min_risk", false),
    ("max_risk", false),
    ("recovery", true),
    ("streak", true),
    ("position_cap", true),
    ("leverage_cap", true),
    ("max_quantity", true),
    ("raised", true),
    ("flatten", false),
    ("stop_loss", true),
    ("take_profit", true),
    ("partial", true),
    ("breakeven", true),
    ("trailing", true),
    ("time_exit", true),
];

#[test]
fn engine_and_model_agree_and_every_limit_binds() {
    let tally = walk_all();
    eprintln!(
        "{} paths, {} steps, {} approvals, {} trades closed",
        tally.paths, tally.steps, tally.approvals, tally.closed
    );
    let share =
        |of: &BTreeMap<_, _>, what| of.get(what).copied().unwrap_or(0) as f64 * 100.0 / tally.paths as f64;
    eprintln!("{:16}{:>9}{:>11}", "", "binds", "exactly at");
    let mut rare = Vec::new();
    for (what, has_edge) in LIMITS {
        let (binds, edges) = (share(&tally.binds, what), share(&tally.edges, what));
        let at = if has_edge { format!("{edges:.2}%") } else { "-".to_string() };
        eprintln!("{what:16}{binds:8.2}%{at:>11}");
        if binds < 1.0 || (has_edge && edges == 0.0) {
            rare.push(what);
        }
    }
    // A path alone shows nothing of shares.
    assert!(tally.paths < PATHS || rare.is_empty(), "too rare: {rare:?}");
}
