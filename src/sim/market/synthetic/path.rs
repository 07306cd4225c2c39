//! Price paths: a regime-switching walk for each instrument with a common factor.
//!
//! Each step's return is `drift + pull + volatility × (β × common + √(1 − β²) × own)`. Two
//! instruments' returns correlate at about β₁ × β₂, a little less where their regimes differ. Where the
//! market has gaps, a price jumps now and then between two steps.

use super::{Gaps, Listing};
use crate::num::Ticks;
use crate::sim::market::rng::Rng;

/// What an instrument's price is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    TrendUp,
    TrendDown,
    /// Pulled back to where the regime began.
    Range,
    /// No direction, more than double volatility, wide spreads, many trades.
    Burst,
}

/// Which way the walk goes in time. The walk is reversible but for the drift, which turns round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Backward,
}

/// Prices stay within a factor of this around the start.
const BOUND: f64 = 3.0;
/// A random walk's average true range over its standard deviation, at a hundred steps a bar and
/// with the regimes' mix of volatility and drift (measured; a test holds it).
const ATR_PER_SIGMA: f64 = 1.52;
/// Bars in which a range's distance from its middle falls to 1/e.
const PULL_BARS: f64 = 6.0;

/// Sizes of a step, all as fractions of the price.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    bar_steps: f64,
    sigma: f64,
    drift: f64,
    pull: f64,
}

impl Pace {
    /// `atr_fraction`: average true range of a bar over the price.
    pub fn new(atr_fraction: f64, bar_steps: f64) -> Pace {
        let bar_sigma = atr_fraction / ATR_PER_SIGMA;
        Pace {
            bar_steps,
            sigma: bar_sigma / bar_steps.sqrt(),
            drift: bar_sigma / bar_steps,
            pull: 1.0 / (PULL_BARS * bar_steps),
        }
    }
}

/// One instrument's walk.
#[derive(Clone, Debug)]
pub(super) struct Walker {
    rng: Rng,
    /// In ticks, between them.
    pub price: f64,
    pub regime: Regime,
    start: f64,
    /// Middle of a range.
    anchor: f64,
    /// Drift of a trend, in standard deviations a bar.
    strength: f64,
    steps_left: f64,
    common: f64,
    own: f64,
    direction: Direction,
}

impl Walker {
    fn new(start: Ticks, common: f64, seed: u64, lane: u64, direction: Direction, pace: &Pace) -> Walker {
        // Both directions leave the start in the same regime: a trend runs through it.
        let mut first = Rng::new(seed, lane);
        let start = start.0 as f64;
        let mut walker = Walker {
            rng: Rng::new(seed, lane + if direction == Direction::Forward { 1 } else { 2 }),
            price: start,
            regime: Regime::Range,
            start,
            anchor: start,
            strength: 0.0,
            steps_left: 0.0,
            common,
            own: (1.0 - common * common).sqrt(),
            direction,
        };
        walker.turn(&mut first, pace);
        walker
    }

    /// Enters the next regime.
    fn turn(&mut self, rng: &mut Rng, pace: &Pace) {
        let (pick, length) = (rng.unit(), rng.unit());
        // Far from the start, trends back become likelier.
        let bias = 0.5 * (1.0 - self.price / self.start);
        let up = (0.5 + bias).clamp(0.15, 0.85);
        let trend = if rng.chance(up) { Regime::TrendUp } else { Regime::TrendDown };
        self.regime = match self.regime {
            Regime::TrendUp | Regime::TrendDown if pick < 0.45 => Regime::Range,
            Regime::TrendUp | Regime::TrendDown if pick < 0.65 => Regime::Burst,
            Regime::Range if pick < 0.2 => Regime::Burst,
            Regime::Burst if pick < 0.3 => Regime::Range,
            _ => trend,
        };
        let (bars_min, bars_max) = match self.regime {
            Regime::TrendUp | Regime::TrendDown => (40.0, 140.0),
            Regime::Range => (20.0, 60.0),
            Regime::Burst => (4.0, 12.0),
        };
        self.steps_left = (bars_min + (bars_max - bars_min) * length) * pace.bar_steps;
        self.strength = 0.12 + 0.2 * rng.unit();
        self.anchor = self.price;
    }

    fn step(&mut self, common: f64, pace: &Pace) {
        let shock = self.common * common + self.own * self.rng.normal();
        let sign = if self.direction == Direction::Forward { 1.0 } else { -1.0 };
        let (volatility, drift) = match self.regime {
            Regime::TrendUp => (1.0, sign * self.strength * pace.drift),
            Regime::TrendDown => (1.0, -sign * self.strength * pace.drift),
            Regime::Range => (0.85, -pace.pull * (self.price / self.anchor - 1.0)),
            Regime::Burst => (2.2, 0.0),
        };
        self.price = self.reflected(self.price * (1.0 + drift + volatility * pace.sigma * shock));
        self.steps_left -= 1.0;
        if self.steps_left <= 0.0 {
            let mut rng = self.rng.clone();
            self.turn(&mut rng, pace);
            self.rng = rng;
        }
    }
}

impl Walker {
    /// What leaves the bounds comes back as far inside them.
    fn reflected(&self, price: f64) -> f64 {
        let (low, high) = (self.start / BOUND, self.start * BOUND);
        if price > high {
            high * high / price
        } else if price < low {
            low * low / price
        } else {
            price
        }
    }

    /// The price is elsewhere, with nothing traded between; a range goes on from there.
    fn jump(&mut self, share: f64) {
        self.price = self.reflected(self.price * (1.0 + share));
        self.anchor = self.price;
    }
}

/// All instruments' walks, step by step.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    common: Rng,
    pace: Pace,
    jumps: Rng,
    pub walkers: Vec<Walker>,
}

impl Paths {
    /// Starts at each listing's start price.
    pub fn new(starts: &[(Ticks, Listing)], seed: u64, direction: Direction, pace: Pace) -> Paths {
        let walker = |(i, (start, listing)): (usize, &(Ticks, Listing))| {
            Walker::new(*start, listing.common, seed, 100 + 10 * i as u64, direction, &pace)
        };
        Paths {
            common: Rng::new(seed, if direction == Direction::Forward { 11 } else { 12 }),
            pace,
            jumps: Rng::new(seed, 13),
            walkers: starts.iter().enumerate().map(walker).collect(),
        }
    }

    /// Between two steps that are `days` apart prices may jump: every other time all of them, one way.
    pub fn gap(&mut self, gaps: &Gaps, days: f64) {
        if !self.jumps.chance(gaps.per_day * days) {
            return;
        }
        let (all, up) = (self.jumps.chance(0.5), self.jumps.chance(0.5));
        let only = self.jumps.below(self.walkers.len() as u32) as usize;
        for (i, walker) in self.walkers.iter_mut().enumerate() {
            let share = gaps.size * (0.5 + self.jumps.unit());
            if all || i == only {
                walker.jump(if up { share } else { -share });
            }
        }
    }

    pub fn step(&mut self) {
        let common = self.common.normal();
        for walker in &mut self.walkers {
            walker.step(common, &self.pace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::market::LISTINGS;

    const BAR_STEPS: usize = 100;
    const ATR_FRACTION: f64 = 0.0035;

    fn paths(seed: u64) -> Paths {
        let starts: Vec<(Ticks, Listing)> = LISTINGS.iter().map(|l| (Ticks(100_000), *l)).collect();
        Paths::new(&starts, seed, Direction::Forward, Pace::new(ATR_FRACTION, BAR_STEPS as f64))
    }

    /// Closes and mean true range over price, of each instrument.
    fn bars(seed: u64, count: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
        let mut paths = paths(seed);
        let n = paths.walkers.len();
        let (mut closes, mut ranges) = (vec![Vec::new(); n], vec![0.0; n]);
        for _ in 0..count {
            let opens: Vec<f64> = paths.walkers.iter().map(|w| w.price).collect();
            let (mut high, mut low) = (opens.clone(), opens.clone());
            for _ in 0..BAR_STEPS {
                paths.step();
                for (i, walker) in paths.walkers.iter().enumerate() {
                    high[i] = high[i].max(walker.price);
                    low[i] = low[i].min(walker.price);
                }
            }
            for (i, walker) in paths.walkers.iter().enumerate() {
                closes[i].push(walker.price);
                ranges[i] += (high[i] - low[i]) / walker.price / count as f64;
            }
        }
        (closes, ranges)
    }

    fn correlation(a: &[f64], b: &[f64]) -> f64 {
        let returns = |x: &[f64]| x.windows(2).map(|w| w[1] / w[0] - 1.0).collect::<Vec<_>>();
        let (a, b) = (returns(a), returns(b));
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let (ma, mb) = (mean(&a), mean(&b));
        let cov: f64 = a.iter().zip(&b).map(|(x, y)| (x - ma) * (y - mb)).sum();
        let var = |x: &[f64], m: f64| x.iter().map(|v| (v - m) * (v - m)).sum::<f64>();
        cov / (var(&a, ma) * var(&b, mb)).sqrt()
    }

    #[test]
    fn ranges_and_correlations_are_as_asked() {
        let (closes, ranges) = bars(5, 1_500);
        let mean = ranges.iter().sum::<f64>() / ranges.len() as f64;
        assert!((mean / ATR_FRACTION - 1.0).abs() < 0.1, "{mean}");
        assert!(ranges.iter().all(|r| (r / ATR_FRACTION - 1.0).abs() < 0.25), "{ranges:?}");
        let (mut below, mut above) = (0, 0);
        for i in 0..closes.len() {
            for j in 0..i {
                let c = correlation(&closes[i], &closes[j]);
                assert!((0.2..0.85).contains(&c), "{i} {j} {c}");
                if c > 0.7 { above += 1 } else { below += 1 }
            }
        }
        assert!(below > 10 && above > 0, "{below} {above}");
    }

    #[test]
    fn every_regime_is_met_and_trends_go_far_in_both_directions() {
        let mut paths = paths(9);
        let one_r = 1.5 * ATR_FRACTION;
        let (mut met, mut up, mut down) = (std::collections::HashMap::new(), 0, 0);
        let mut entered: Vec<(Regime, f64)> = paths.walkers.iter().map(|w| (w.regime, w.price)).collect();
        for _ in 0..1_500 * BAR_STEPS {
            paths.step();
            for (walker, (regime, price)) in paths.walkers.iter().zip(&mut entered) {
                if *regime == walker.regime {
                    continue;
                }
                *met.entry(format!("{regime:?}")).or_insert(0u32) += 1;
                let moved = walker.price / *price - 1.0;
                up += u32::from(*regime == Regime::TrendUp && moved > 2.5 * one_r);
                down += u32::from(*regime == Regime::TrendDown && moved < -2.5 * one_r);
                (*regime, *price) = (walker.regime, walker.price);
            }
        }
        assert_eq!(met.len(), 4, "{met:?}");
        assert!(met.values().all(|n| *n >= 10), "{met:?}");
        assert!(up >= 10 && down >= 10, "{up} {down} of {met:?}");
    }

    #[test]
    fn gaps_come_as_often_and_go_as_far_as_asked() {
        let (gaps, minutes) = (Gaps { per_day: 2.0, size: 0.04 }, 1_440 * 400);
        let mut paths = paths(3);
        let (mut all, mut one, mut up) = (0, 0, 0);
        for _ in 0..minutes {
            let before: Vec<f64> = paths.walkers.iter().map(|w| w.price).collect();
            paths.gap(&gaps, 1.0 / 1_440.0);
            let moves = paths.walkers.iter().zip(before).map(|(w, before)| w.price / before - 1.0);
            let moves: Vec<f64> = moves.filter(|share| *share != 0.0).collect();
            let [first, ..] = moves[..] else { continue };
            assert!(moves.iter().all(|share| share * first > 0.0), "one way: {moves:?}");
            assert!(moves.iter().all(|share| (0.02..0.06).contains(&share.abs())), "{moves:?}");
            // The bounds are not met on the way.
            paths.walkers.iter_mut().for_each(|walker| walker.price = walker.start);
            match moves.len() {
                1 => one += 1,
                8 => all += 1,
                n => panic!("{n} of eight"),
            }
            up += u32::from(first > 0.0);
        }
        assert!((300..500).contains(&all) && (300..500).contains(&one), "{all} {one} of about 800");
        assert!((300..500).contains(&up), "{up} of about 800 upwards");
    }

    #[test]
    fn prices_are_reflected_at_the_bounds() {
        let starts = [(Ticks(1_000), LISTINGS[0])];
        // A volatility no market has, to meet the bounds.
        let mut paths = Paths::new(&starts, 1, Direction::Forward, Pace::new(0.4, 10.0));
        let (mut low, mut high) = (f64::MAX, 0.0f64);
        for _ in 0..20_000 {
            paths.step();
            let price = paths.walkers[0].price;
            (low, high) = (low.min(price), high.max(price));
        }
        assert!((333.3..400.0).contains(&low) && (2_500.0..=3_000.0).contains(&high), "{low} {high}");
    }
}
