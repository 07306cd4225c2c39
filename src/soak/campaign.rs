//! Many seeds: on several threads, added up, with what was reached.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use serde::Serialize;

use super::{Coverage, Figures, Outcome, Row, STATUSES, run};
use crate::num::NS_PER_MS;
use crate::trade::OrderState;

/// FNV-1a's prime, 64 bits.
const FNV_PRIME: u64 = 0x0100_0000_01b3;
/// Failures that are named; the rest is counted.
const NAMED_MAX: usize = 20;

/// A seed that failed, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    pub seed: u64,
    pub what: String,
}

/// What many seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Campaign {
    pub seeds: u64,
    pub failed: u64,
    pub failures: Vec<Failed>,
    pub figures: Figures,
    pub coverage: Coverage,
    pub simulated_ns: i64,
    /// Longest from fair weather to agreement.
    pub settled_ns_max: i64,
    /// Orders that could rightly be in question when everything else was agreed on.
    pub in_question: u64,
    /// Of all journals, whatever the order in which they were written.
    pub hash: u64,
}

impl Campaign {
    /// Runs `seeds` on so many threads; `progress` hears of each seed that is done. Ends early when it
    /// says false.
    pub fn run(
        seeds: std::ops::Range<u64>,
        threads: usize,
        mut progress: impl FnMut(u64) -> bool,
    ) -> Campaign {
        let mut campaign = Campaign::default();
        let next = AtomicU64::new(seeds.start);
        thread::scope(|scope| {
            let (sender, outcomes) = mpsc::channel();
            for _ in 0..threads.max(1) {
                let (sender, next, end) = (sender.clone(), &next, seeds.end);
                scope.spawn(move || {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end || sender.send((seed, run(seed))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for (seed, outcome) in &outcomes {
                match outcome {
                    Ok(outcome) => campaign.add(seed, &outcome),
                    Err(failure) => campaign.fail(Failed { seed, what: failure.to_string() }),
                }
                if !progress(campaign.seeds) {
                    next.store(seeds.end, Ordering::Relaxed);
                }
            }
        });
        campaign.failures.sort_by_key(|failed| failed.seed);
        campaign
    }

    fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.seeds += 1;
        self.figures.add(&outcome.figures);
        self.coverage.add(&outcome.coverage);
        self.simulated_ns += outcome.simulated_ns;
        self.settled_ns_max = self.settled_ns_max.max(outcome.settled_ns);
        self.in_question += outcome.in_question as u64;
        // A sum, since threads come in any order.
        self.hash = self.hash.wrapping_add((outcome.hash ^ seed).wrapping_mul(FNV_PRIME));
    }

    fn fail(&mut self, failed: Failed) {
        self.seeds += 1;
        self.failed += 1;
        if self.failures.len() < NAMED_MAX {
            self.failures.push(failed);
        }
    }

    /// How many pairs of an order's state and a word on it were reached, of how many.
    pub fn pairs_reached(&self) -> (usize, usize) {
        let pairs = (0..OrderState::ALL.len()).flat_map(|state| (0..STATUSES.len()).map(move |s| (state, s)));
        let reached = pairs.filter(|(state, status)| self.coverage.pair(*state, *status) > 0).count();
        (reached, OrderState::ALL.len() * STATUSES.len())
    }

    /// Rows of the recovery table that were not reached.
    pub fn rows_missed(&self) -> Vec<&'static str> {
        Row::ALL.into_iter().filter(|row| self.coverage.row(*row) == 0).map(Row::name).collect()
    }

    /// The table of pairs, and the rows.
    pub fn coverage_text(&self) -> String {
        let mut text = String::from("an order's state, and the venue's words on it:\n");
        text += &format!("{:12}", "");
        for status in STATUSES {
            text += &format!("{:>15}", format!("{status:?}"));
        }
        for (state, name) in OrderState::ALL.iter().enumerate() {
            text += &format!("\n{:12}", format!("{name:?}"));
            for status in 0..STATUSES.len() {
                text += &format!("{:>15}", self.coverage.pair(state, status));
            }
        }
        text += "\n\nrows of the recovery table:\n";
        for row in Row::ALL {
            text += &format!("{:>12}  {}\n", self.coverage.row(row), row.name());
        }
        text
    }

    pub fn settled_ms_max(&self) -> i64 {
        self.settled_ns_max / NS_PER_MS
    }
}
