//! Many seeds: on several threads, added up, with what was reached.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use serde::Serialize;

use super::{Coverage, Failed, Figures, Outcome, Story};
use crate::num::{NS_PER_HOUR, NS_PER_MS};

/// FNV-1a's prime, 64 bits.
const FNV_PRIME: u64 = 0x0100_0000_01b3;
/// Failures that are told; the rest is counted.
const TOLD_MAX: usize = 20;

/// The largest of a figure, and the first seed that has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Peak {
    pub ms: i64,
    pub seed: u64,
}

impl Peak {
    fn see(&mut self, ms: i64, seed: u64) {
        if ms > self.ms || (ms == self.ms && seed < self.seed) {
            *self = Peak { ms, seed };
        }
    }
}

/// What many seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Campaign {
    pub seeds: u64,
    pub failed: u64,
    /// The first of them.
    pub failures: Vec<Failed>,
    pub figures: Figures,
    pub coverage: Coverage,
    pub simulated_ns: i128,
    /// Longest from fair weather to agreement.
    pub settled: Peak,
    /// Of [`Figures::unprotected_ms_max`] and [`Figures::bare_ms_max`].
    pub unprotected: Peak,
    pub bare: Peak,
    pub strange: Peak,
    /// Of [`Figures::apart_ms_max`].
    pub apart: Peak,
    /// Orders that could rightly be in question when everything else was agreed on.
    pub in_question: u64,
    /// Of all journals, whatever the order in which they were written.
    pub hash: u64,
}

impl Campaign {
    /// Runs `seeds` on so many threads; `progress` hears how many are done. Ends early when it says false.
    pub fn run(seeds: std::ops::Range<u64>, threads: usize, progress: impl FnMut(u64) -> bool) -> Campaign {
        Campaign::of(seeds, threads, Story::of, progress)
    }

    fn of(
        seeds: std::ops::Range<u64>,
        threads: usize,
        tell: impl Fn(u64) -> Story + Sync,
        mut progress: impl FnMut(u64) -> bool,
    ) -> Campaign {
        let mut campaign = Campaign::default();
        let next = AtomicU64::new(seeds.start);
        let (tell, next, end) = (&tell, &next, seeds.end);
        let threads = u64::try_from(threads).unwrap_or(u64::MAX).min(end.saturating_sub(seeds.start)).max(1);
        thread::scope(|scope| {
            // Nobody runs far ahead of what was taken in.
            let (sender, told) = mpsc::sync_channel(1);
            for _ in 0..threads {
                let sender = sender.clone();
                scope.spawn(move || {
                    // Never beyond the end, where a number may have no next one.
                    let take = |seed: u64| (seed < end).then(|| seed + 1);
                    while let Ok(seed) = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
                        let story = tell(seed);
                        if sender.send((story.outcome(), story.failed(), seed)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for (outcome, failed, seed) in &told {
                campaign.add(seed, outcome, failed);
                if !progress(campaign.seeds) {
                    next.store(end, Ordering::Relaxed);
                }
            }
        });
        campaign
    }

    /// One seed alone.
    pub fn of_one(story: &Story) -> Campaign {
        let mut campaign = Campaign::default();
        campaign.add(story.seed, story.outcome(), story.failed());
        campaign
    }

    pub fn simulated_hours(&self) -> i128 {
        self.simulated_ns / i128::from(NS_PER_HOUR)
    }

    /// A seed that failed has figures too.
    fn add(&mut self, seed: u64, outcome: Option<Outcome>, failed: Option<Failed>) {
        self.seeds += 1;
        if let Some(outcome) = outcome {
            self.figures.add(&outcome.figures);
            self.coverage.add(&outcome.coverage);
            self.simulated_ns += i128::from(outcome.simulated_ns);
            self.settled.see(outcome.settled_ns / NS_PER_MS, seed);
            self.unprotected.see(outcome.figures.unprotected_ms_max, seed);
            self.bare.see(outcome.figures.bare_ms_max, seed);
            self.strange.see(outcome.figures.strange_ms_max, seed);
            self.apart.see(outcome.figures.apart_ms_max, seed);
            self.in_question += outcome.in_question as u64;
            // A sum, since threads come in any order.
            self.hash = self.hash.wrapping_add((outcome.hash ^ seed).wrapping_mul(FNV_PRIME));
        }
        let Some(failed) = failed else { return };
        self.failed += 1;
        let place = self.failures.partition_point(|other| other.seed < failed.seed);
        self.failures.insert(place, failed);
        self.failures.truncate(TOLD_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::NS_PER_SEC;
    use crate::soak::{Failure, START};

    #[test]
    fn a_panic_is_the_failure_of_its_seed_and_the_campaign_goes_on() {
        let tell = |seed| {
            Story::told(seed, |world| {
                world.run_until(START + 5 * NS_PER_SEC)?;
                assert!(seed != 3, "seed {seed} is broken");
                Ok(world.outcome(0, 0))
            })
        };
        let campaign = Campaign::of(0..6, 2, tell, |_| true);
        assert_eq!((campaign.seeds, campaign.failed), (6, 1));
        let failed = &campaign.failures[0];
        assert_eq!((failed.seed, failed.what.as_str()), (3, "a panic: seed 3 is broken"));
        assert_eq!((failed.at_ms, failed.since_ms), (5_000, 5_000));
        assert!(failed.figures.events > 0 && campaign.figures.events > failed.figures.events);
    }

    #[test]
    fn a_seed_that_failed_says_what_since_when_and_in_which_circumstances() {
        let tell = |seed| {
            Story::told(seed, |world| {
                let since = START + 4 * NS_PER_SEC;
                world.run_until(START + 5 * NS_PER_SEC)?;
                Err(Failure { since, ..Failure::new(world.now, "no order in it".to_owned()) })
            })
        };
        let campaign = Campaign::of(0..40, 2, tell, |_| true);
        assert_eq!((campaign.failed, campaign.failures.len()), (40, TOLD_MAX));
        assert!(campaign.failures.iter().map(|failed| failed.seed).eq(0..20), "the first of them");
        let text = campaign.failures[7].text();
        for word in [
            "seed 7: 5000 ms after the start, since 4000 ms: no order in it\n",
            "  figures   events:",
            "RM_EMA_PERIOD=5",
            "  weather   clears at",
            "  standing  ",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
        let json = serde_json::to_value(&campaign.failures[7]).unwrap();
        assert_eq!((&json["since_ms"], &json["what"]), (&4_000.into(), &"no order in it".into()));
        assert!(json["figures"]["events"].as_u64() > Some(0) && json["settings"][0].is_string());
    }

    #[test]
    fn seeds_end_where_numbers_do_and_more_threads_than_seeds_are_none() {
        let world = |seed| Story::told(seed, |world| Ok(world.outcome(0, 0)));
        let told = std::sync::Mutex::new(Vec::new());
        let tell = |seed| {
            told.lock().unwrap().push(seed);
            world(seed)
        };
        let campaign = Campaign::of(u64::MAX - 2..u64::MAX, usize::MAX, tell, |_| true);
        assert_eq!(campaign.seeds, 2);
        let mut told = told.into_inner().unwrap();
        told.sort_unstable();
        assert_eq!(told, [u64::MAX - 2, u64::MAX - 1]);
        // Those under way while the word to end comes are done.
        let ended = Campaign::of(0..900, 1, world, |done| done < 4).seeds;
        assert!((4..=8).contains(&ended), "{ended}");
    }
}
