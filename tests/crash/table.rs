//! What was found, for whoever reads it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::Moment;
use super::audit::Audit;
use super::journal::{Published, Tally};
use super::process::SPEED;

/// Figures of all starts.
#[derive(Default)]
pub struct Table {
    seed: u64,
    /// How often each moment was waited for, and how often it came.
    moments: BTreeMap<Moment, (u64, u64)>,
    kills: u64,
    ran: Duration,
    restarts: Vec<Duration>,
    /// By what a start said it had found.
    recoveries: BTreeMap<&'static str, u64>,
    completed: u64,
    not_whole: u64,
    pub lost: u64,
    pub orders_requested: u64,
    comparisons: u64,
    positions: usize,
    bare_ms_max: i64,
}

impl Table {
    pub fn new(seed: u64) -> Table {
        Table { seed, ..Table::default() }
    }

    pub fn kills(&self) -> u64 {
        self.kills
    }

    pub fn note_moment(&mut self, moment: Moment, reached: bool) {
        let (waited, came) = self.moments.entry(moment).or_default();
        (*waited, *came) = (*waited + 1, *came + u64::from(reached));
    }

    /// A start that was killed.
    pub fn note_run(&mut self, ran: Duration, recovered: Option<Duration>, said: &str) {
        self.kills += 1;
        self.note_end(ran, recovered, said);
    }

    pub fn note_end(&mut self, ran: Duration, recovered: Option<Duration>, said: &str) {
        self.ran += ran;
        self.restarts.extend(recovered);
        let note =
            |start: &str| said.lines().find_map(|line| line.strip_prefix("note")?.trim().strip_prefix(start));
        let found = match note("the journal goes on behind ") {
            Some(note) if !note.contains(": 0 records only the ring had") => "ring ahead of the archive",
            Some(_) => "archive whole",
            None if said.contains("journal        ") => "nothing to go on with",
            None => "killed before it said",
        };
        *self.recoveries.entry(found).or_default() += 1;
        self.completed += u64::from(note("its last event lacked ").is_some());
        self.not_whole += u64::from(note("not whole: ").is_some());
    }

    pub fn note_comparison(&mut self, positions: usize, audit: &Audit) {
        self.comparisons += 1;
        self.positions += positions;
        self.orders_requested = audit.orders_requested;
        self.bare_ms_max = audit.unprotected_ms.longest;
    }

    pub fn show(&self, published: &Published, tally: &Tally) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<22}{value}");
        };
        row("seed", self.seed.to_string());
        row("kills", format!("{}; {} starts came as far as the journal", self.kills, tally.starts));
        for (moment, (waited, came)) in &self.moments {
            row("", format!("{moment:?}: {waited}, reached {came}"));
        }
        let seconds = self.ran.as_secs_f64();
        row(
            "event rate",
            format!("{:.0} events/s journaled over {seconds:.1} s of running", tally.events as f64 / seconds),
        );
        row("records published", format!("{}, lost {}", published.last, self.lost));
        row("torn records", format!("{} read, {} reported by starts", published.torn, self.not_whole));
        row("groups completed", self.completed.to_string());
        for (found, count) in &self.recoveries {
            row("recovery", format!("{found}: {count}"));
        }
        row(
            "orders",
            format!("{} journaled, {} requested, 0 twice", tally.orders.len(), self.orders_requested),
        );
        row("fills, trades closed", format!("{}, {}", tally.fills, tally.trades_closed));
        row(
            "positions compared",
            format!("{} in {} comparisons, all equal and covered", self.positions, self.comparisons),
        );
        let bare = |ms: i64| format!("{ms} ms simulated ({} ms)", ms / SPEED);
        row(
            "unprotected, longest",
            format!("{} while a start ran, by the engine", bare(tally.bare_ms_running)),
        );
        row("", format!("{} with the times between, by the engine", bare(tally.bare_ms)));
        row("", format!("{} at the venue", bare(self.bare_ms_max)));
        row("restart time", self.restart_times());
        row("alarms", format!("{:?}", tally.alarms));
        row("states", format!("{:?}", tally.lowered));
        text
    }

    /// From the start of the process to the venue's word complete.
    fn restart_times(&self) -> String {
        let mut times = self.restarts.clone();
        times.sort_unstable();
        match (times.get(times.len() / 2), times.last()) {
            (Some(median), Some(most)) => {
                format!("p50 {} ms, max {} ms of {}", median.as_millis(), most.as_millis(), times.len())
            }
            _ => "none was seen".to_string(),
        }
    }
}
