//! How a measure in R is spread: quantiles and bins, in memory that does not grow.

use hdrhistogram::Histogram;

use super::figures::{Bin, Quantiles};
use crate::num::Dec;

/// Thousandths of R are told apart, up to a million R.
const PER_R: i128 = 1_000;
const R_MAX: u64 = 1_000_000;
/// Quantiles are exact to three digits.
const DIGITS: u8 = 3;
/// Bins are half an R wide, from here to there; what lies beyond goes into an open one at either end.
const BINS_FROM: i64 = -2;
const BINS_TO: i64 = 4;
const BINS: usize = ((BINS_TO - BINS_FROM) * 2) as usize + 2;

#[derive(Clone, Debug)]
pub(super) struct Spread {
    /// `None` only if the bounds above were no bounds.
    values: Option<Histogram<u64>>,
    bins: [u64; BINS],
}

impl Default for Spread {
    fn default() -> Spread {
        let values = Histogram::new_with_bounds(1, R_MAX * PER_R as u64, DIGITS).ok();
        Spread { values, bins: [0; BINS] }
    }
}

impl Spread {
    pub fn note(&mut self, r: Dec) {
        let thousandths = r.0.max(0) / (Dec::ONE.0 / PER_R);
        if let Some(values) = self.values.as_mut() {
            values.saturating_record(u64::try_from(thousandths).unwrap_or(u64::MAX));
        }
        let bin = r.0.div_euclid(Dec::ONE.0 / 2) - i128::from(BINS_FROM * 2) + 1;
        let bin = bin.clamp(0, BINS as i128 - 1) as usize;
        if let Some(count) = self.bins.get_mut(bin) {
            *count += 1;
        }
    }

    /// Of what is not negative: an excursion.
    pub fn quantiles(&self) -> Option<Quantiles> {
        let values = self.values.as_ref().filter(|values| !values.is_empty())?;
        let at = |quantile: f64| values.value_at_quantile(quantile) as f64 / PER_R as f64;
        Some(Quantiles {
            p10: at(0.1),
            p25: at(0.25),
            p50: at(0.5),
            p75: at(0.75),
            p90: at(0.9),
            max: at(1.0),
        })
    }

    pub fn bins(&self) -> Vec<Bin> {
        let edge = |i: usize| (1..BINS).contains(&i).then(|| BINS_FROM as f64 + (i as f64 - 1.0) / 2.0);
        let counts = self.bins.iter().enumerate();
        counts.map(|(i, count)| Bin { from: edge(i), to: edge(i + 1), count: *count }).collect()
    }
}
