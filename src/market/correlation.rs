//! Correlation of bar-close returns, in integers.

use std::cmp::Ordering;

use borsh::{BorshDeserialize, BorshSerialize};

use super::bars::is_time;
use crate::num::{Dec, Millis, OutOfRange, Rounding, Ticks, Wide, all_hold, div_wide, wide_product};

/// A return of 1.0 in the window's unit.
const RETURN_ONE: i128 = 1_000_000_000;
/// Returns beyond a thousandfold are clamped: products of 1,024 of them still fit.
const RETURN_MAX: i128 = 1_000 * RETURN_ONE;
/// Bars kept beyond the window, so that two instruments whose newest bars differ by one still align:
/// bars close with the first later trade, which two instruments do not get at the same instant.
pub const CORRELATION_SLACK_BARS: usize = 1;

/// The last returns of one instrument, with the open times of their bars.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct ReturnWindow {
    interval_ms: i64,
    bars: usize,
    /// Ring of (open time of the bar, return from the previous close).
    ring: Box<[(Millis, i64)]>,
    count: usize,
    next: usize,
    previous: Option<(Millis, Ticks)>,
}

/// Correlation of two windows, as exact co-moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correlation {
    /// Too short, unaligned, or one of the two never moved.
    Undefined,
    /// n² × covariance and variances of returns in units of 1e-9.
    Known { covariance: i128, variance_a: i128, variance_b: i128 },
}

impl ReturnWindow {
    pub fn new(bars: u32, interval_s: u32) -> ReturnWindow {
        let bars = bars.max(2) as usize;
        ReturnWindow {
            interval_ms: i64::from(interval_s.max(1)) * 1_000,
            bars,
            ring: vec![(0, 0); bars + CORRELATION_SLACK_BARS].into_boxed_slice(),
            count: 0,
            next: 0,
            previous: None,
        }
    }

    pub(super) fn check(&self, bars: u32, interval_s: u32) -> Result<(), OutOfRange> {
        let fresh = ReturnWindow::new(bars, interval_s);
        let ReturnWindow { interval_ms, bars, ring, count, next, previous } = self;
        let length = fresh.ring.len();
        all_hold(&[
            ("returns.interval_ms", *interval_ms == fresh.interval_ms),
            ("returns.bars", *bars == fresh.bars && ring.len() == length),
            ("returns.ring", ring.iter().all(|(_, change)| i128::from(*change).abs() <= RETURN_MAX)),
            ("returns.count", *count <= length),
            ("returns.next", *next < length),
            ("returns.previous", previous.is_none_or(|(ms, close)| is_time(ms) && close.is_price())),
        ])
    }

    /// One integer division a bar.
    pub fn on_bar(&mut self, open_ms: Millis, close: Ticks) {
        if let Some((previous_ms, previous)) = self.previous {
            if open_ms != previous_ms + self.interval_ms || previous.0 <= 0 {
                self.count = 0;
            } else {
                let change = (close - previous).wide() * RETURN_ONE / previous.wide();
                let change = change.clamp(-RETURN_MAX, RETURN_MAX) as i64;
                self.ring[self.next] = (open_ms, change);
                self.next = (self.next + 1) % self.ring.len();
                self.count = (self.count + 1).min(self.ring.len());
            }
        }
        self.previous = Some((open_ms, close));
    }

    pub fn reset(&mut self) {
        self.count = 0;
        self.previous = None;
    }

    /// The `bars` returns that end with the bar opened at `end_ms`, oldest first.
    fn ending_at(&self, end_ms: Millis) -> Option<impl Iterator<Item = i64> + '_> {
        let (newest_ms, _) = self.previous?;
        let skipped = usize::try_from((newest_ms - end_ms) / self.interval_ms).ok()?;
        if skipped + self.bars > self.count {
            return None;
        }
        let length = self.ring.len();
        let first = self.next + 2 * length - skipped - self.bars;
        Some((0..self.bars).map(move |i| self.ring[(first + i) % length].1))
    }

    /// Correlation with `other` over the newest window both have.
    pub fn correlate(&self, other: &ReturnWindow) -> Correlation {
        let (Some((a_ms, _)), Some((b_ms, _))) = (self.previous, other.previous) else {
            return Correlation::Undefined;
        };
        let end_ms = a_ms.min(b_ms);
        let (Some(a), Some(b)) = (self.ending_at(end_ms), other.ending_at(end_ms)) else {
            return Correlation::Undefined;
        };
        let (mut sum_a, mut sum_b, mut sum_aa, mut sum_bb, mut sum_ab) = (0i128, 0i128, 0i128, 0i128, 0i128);
        for (x, y) in a.zip(b) {
            let (x, y) = (i128::from(x), i128::from(y));
            sum_a += x;
            sum_b += y;
            sum_aa += x * x;
            sum_bb += y * y;
            sum_ab += x * y;
        }
        let n = self.bars as i128;
        let variance_a = n * sum_aa - sum_a * sum_a;
        let variance_b = n * sum_bb - sum_b * sum_b;
        if variance_a == 0 || variance_b == 0 {
            return Correlation::Undefined;
        }
        Correlation::Known { covariance: n * sum_ab - sum_a * sum_b, variance_a, variance_b }
    }
}

impl Correlation {
    /// Whether the correlation, times `sign` (+1 or −1), is at most `threshold` in [0, 1]:
    /// cov × |cov| against threshold² × var × var, no root and no division. `None` when undefined.
    pub fn at_most(&self, sign: i64, threshold: Dec) -> Option<bool> {
        let Correlation::Known { covariance, variance_a, variance_b } = *self else { return None };
        let covariance = covariance * i128::from(sign);
        // Settings have six decimal places, which keeps the product inside 256 bits.
        let micro = threshold.round(6, Rounding::HalfEven).0 / 10i128.pow(12);
        let scale = 10i128.pow(6);
        let left = wide_product(&[covariance, covariance.abs(), scale, scale])?;
        let right = wide_product(&[variance_a, variance_b])?.checked_mul(wide_product(&[micro, micro])?)?;
        Some(left.cmp(&right) != Ordering::Greater)
    }

    /// Signed square of the correlation, rounded to 18 places: what reports show beside the squared
    /// threshold.
    pub fn signed_square(&self, sign: i64) -> Option<Dec> {
        let Correlation::Known { covariance, variance_a, variance_b } = *self else { return None };
        let n = wide_product(&[covariance * i128::from(sign), covariance.abs(), Dec::ONE.0])?;
        let d: Wide = wide_product(&[variance_a, variance_b])?;
        div_wide(n, d, Rounding::HalfEven).map(Dec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(closes: &[i64], bars: u32) -> ReturnWindow {
        let mut window = ReturnWindow::new(bars, 60);
        for (i, close) in closes.iter().enumerate() {
            window.on_bar(i as i64 * 60_000, Ticks(*close));
        }
        window
    }

    #[test]
    fn short_flat_and_unaligned_windows_are_undefined() {
        let rising: Vec<i64> = (0..20).map(|i| 1_000 + i * i).collect();
        let a = window(&rising, 10);
        assert_eq!(a.correlate(&window(&rising[..10], 10)), Correlation::Undefined, "unaligned by ten bars");
        assert_eq!(a.correlate(&window(&[1_000; 20], 10)), Correlation::Undefined, "flat");
        assert_eq!(window(&rising[..5], 10).correlate(&window(&rising[..5], 10)), Correlation::Undefined);
        assert_ne!(a.correlate(&window(&rising[..19], 10)), Correlation::Undefined, "one bar apart aligns");
        assert_eq!(a.correlate(&a).at_most(1, Dec::ONE), Some(true), "1 is not above 1");
        assert_eq!(a.correlate(&a).at_most(1, Dec::new(999_999, 6)), Some(false));
        assert_eq!(a.correlate(&a).at_most(-1, Dec::ZERO), Some(true), "a hedge");
    }

    proptest! {
        #[test]
        fn agrees_with_pearson(
            pairs in proptest::collection::vec((900i64..1_100, 900i64..1_100), 32..60),
            threshold in 0u32..=100,
        ) {
            let (a, b): (Vec<i64>, Vec<i64>) = pairs.into_iter().unzip();
            let known = window(&a, 30).correlate(&window(&b, 30));
            let returns = |c: &[i64]| -> Vec<f64> {
                c.windows(2).map(|w| (w[1] - w[0]) as f64 / w[0] as f64).collect()
            };
            let (ra, rb) = (returns(&a), returns(&b));
            let (ra, rb) = (&ra[ra.len() - 30..], &rb[rb.len() - 30..]);
            let mean = |r: &[f64]| r.iter().sum::<f64>() / 30.0;
            let (ma, mb) = (mean(ra), mean(rb));
            let cov: f64 = ra.iter().zip(rb).map(|(x, y)| (x - ma) * (y - mb)).sum();
            let var = |r: &[f64], m: f64| r.iter().map(|x| (x - m) * (x - m)).sum::<f64>();
            let pearson = cov / (var(ra, ma) * var(rb, mb)).sqrt();
            let limit = f64::from(threshold) / 100.0;
            prop_assume!((pearson - limit).abs() > 1e-6);
            let limit_dec = Dec::new(i64::from(threshold), 2);
            prop_assert_eq!(known.at_most(1, limit_dec), Some(pearson <= limit));
            prop_assert_eq!(known.at_most(-1, limit_dec), Some(-pearson <= limit));
            let square = known.signed_square(1).unwrap().to_f64_lossy();
            prop_assert!((square - pearson * pearson.abs()).abs() < 1e-6);
        }
    }
}
