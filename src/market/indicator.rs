//! EMA and ATR in 64.64 fixed point, in ticks.
//!
//! Closes are integers in ticks, so nothing is lost on the way in; 64 fractional bits keep an
//! EMA-200 of a 1e-7 coin moving where 64-bit state would stall. One multiplication by a constant an
//! update, no division after the first value.

use borsh::{BorshDeserialize, BorshSerialize};
use fixed::FixedI128;
use fixed::types::extra::U64;

use crate::num::{Dec, OutOfRange, Rounding, Ticks, all_hold, mul_div};

/// 64.64 fixed point, in ticks.
pub type Fx = FixedI128<U64>;

const ONE_BITS: i128 = 1 << 64;

/// A value in ticks as a decimal in quote currency, half to even at 18 places.
pub fn fx_to_dec(value: Fx, tick: Dec) -> Option<Dec> {
    mul_div(value.to_bits(), tick.0, ONE_BITS, Rounding::HalfEven).map(Dec)
}

/// `numerator / denominator` as a constant multiplier.
fn constant(numerator: u32, denominator: u32) -> Fx {
    Fx::from_bits((i128::from(numerator) * ONE_BITS + i128::from(denominator) / 2) / i128::from(denominator))
}

/// Mean of `count` integers that sum to `sum`. Sums of up to 1,024 prices of at most 2^50 ticks
/// leave 67 bits of headroom after the shift.
fn mean(sum: i128, count: u32) -> Fx {
    Fx::from_bits(sum * ONE_BITS / i128::from(count))
}

/// Whether averages of `count` prices or ranges can be these.
fn is_average(sum: i128, value: Fx, count: u32) -> bool {
    let (most, highest) = (Ticks::PRICE_MAX.wide() * i128::from(count), Fx::from_num(Ticks::PRICE_MAX.0));
    (0..=most).contains(&sum) && (Fx::ZERO..=highest).contains(&value)
}

/// Exponential moving average of closes: the simple mean of the first N, then alpha = 2/(N+1).
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Ema {
    period: u32,
    seen: u32,
    sum: i128,
    value: Fx,
    alpha: Fx,
}

impl Ema {
    /// `period` from 1.
    pub fn new(period: u32) -> Ema {
        let period = period.max(1);
        Ema { period, seen: 0, sum: 0, value: Fx::ZERO, alpha: constant(2, period + 1) }
    }

    pub(crate) fn check(&self, period: u32) -> Result<(), OutOfRange> {
        let fresh = Ema::new(period);
        let Ema { period, seen, sum, value, alpha } = self;
        all_hold(&[
            ("ema.period", (*period, *alpha) == (fresh.period, fresh.alpha)),
            ("ema.seen", seen <= period),
            ("ema.value", is_average(*sum, *value, fresh.period)),
        ])
    }

    pub fn update(&mut self, close: Ticks) {
        if self.seen < self.period {
            self.seen += 1;
            self.sum += close.wide();
            if self.seen == self.period {
                self.value = mean(self.sum, self.period);
            }
        } else {
            self.value += (Fx::from_num(close.0) - self.value) * self.alpha;
        }
    }

    /// Starts the warm-up again.
    pub fn reset(&mut self) {
        (self.seen, self.sum, self.value) = (0, 0, Fx::ZERO);
    }

    /// `None` until `period` closes were seen.
    pub fn value(&self) -> Option<Fx> {
        (self.seen == self.period).then_some(self.value)
    }
}

/// How the ATR continues after its first value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Smoothing {
    /// (previous × (N − 1) + TR) / N.
    Wilder,
    /// Mean of the last N true ranges.
    Sma,
}

/// Average true range. True ranges start with the second bar; the first value is the mean of the
/// first N of them.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Atr {
    smoothing: Smoothing,
    period: u32,
    seen: u32,
    previous_close: Option<Ticks>,
    sum: i128,
    /// The last `period` true ranges, for [`Smoothing::Sma`].
    ranges: Box<[i64]>,
    value: Fx,
    alpha: Fx,
}

impl Atr {
    /// `period` from 1.
    pub fn new(period: u32, smoothing: Smoothing) -> Atr {
        let period = period.max(1);
        Atr {
            smoothing,
            period,
            seen: 0,
            previous_close: None,
            sum: 0,
            ranges: vec![0; period as usize].into_boxed_slice(),
            value: Fx::ZERO,
            alpha: constant(1, period),
        }
    }

    pub(super) fn check(&self, period: u32, smoothing: Smoothing) -> Result<(), OutOfRange> {
        let fresh = Atr::new(period, smoothing);
        let Atr { smoothing, period, seen, previous_close, sum, ranges, value, alpha } = self;
        all_hold(&[
            ("atr.period", (*period, *alpha, *smoothing) == (fresh.period, fresh.alpha, fresh.smoothing)),
            ("atr.seen", u64::from(*seen) < 2 * u64::from(fresh.period)),
            ("atr.previous_close", previous_close.is_none_or(Ticks::is_price)),
            ("atr.ranges", ranges.len() == fresh.ranges.len()),
            ("atr.ranges", ranges.iter().all(|range| (0..=Ticks::PRICE_MAX.0).contains(range))),
            ("atr.value", is_average(*sum, *value, fresh.period)),
        ])
    }

    pub fn update(&mut self, high: Ticks, low: Ticks, close: Ticks) {
        let Some(previous) = self.previous_close.replace(close) else { return };
        let range = (high - low).0.max((high - previous).0.abs()).max((low - previous).0.abs());
        let slot = (self.seen % self.period) as usize;
        let replaced = std::mem::replace(&mut self.ranges[slot], range);
        if self.seen < self.period {
            self.seen += 1;
            self.sum += i128::from(range);
            if self.seen == self.period {
                self.value = mean(self.sum, self.period);
            }
            return;
        }
        // `seen` walks on as the ring's position; only its remainder matters from here on.
        self.seen = self.period + (self.seen + 1) % self.period;
        match self.smoothing {
            Smoothing::Wilder => self.value += (Fx::from_num(range) - self.value) * self.alpha,
            Smoothing::Sma => {
                self.sum += i128::from(range) - i128::from(replaced);
                self.value = mean(self.sum, self.period);
            }
        }
    }

    /// Starts the warm-up again.
    pub fn reset(&mut self) {
        (self.seen, self.sum, self.value, self.previous_close) = (0, 0, Fx::ZERO, None);
    }

    /// `None` until `period` true ranges were seen.
    pub fn value(&self) -> Option<Fx> {
        (self.seen >= self.period).then_some(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_come_back_from_binary_without_losing_a_tick() {
        // 0.1 has no finite binary form; at 18 places it is 0.1 again.
        let tenth = Fx::from_num(1) / 10;
        assert_eq!(fx_to_dec(tenth, Dec::ONE), Some(Dec::new(1, 1)));
        assert_eq!(fx_to_dec(Fx::from_num(15_000), Dec::new(1, 1)), Some(Dec::int(1500)));
    }

    /// The textbook definitions in f64, as slow as they are obvious.
    fn model(bars: &[(i64, i64, i64)], period: usize, wilder: bool) -> Option<f64> {
        let ranges: Vec<f64> = bars
            .windows(2)
            .map(|w| {
                let (previous, (h, l, _)) = (w[0].2, w[1]);
                (h - l).max((h - previous).abs()).max((l - previous).abs()) as f64
            })
            .collect();
        if ranges.len() < period {
            return None;
        }
        if !wilder {
            return Some(ranges[ranges.len() - period..].iter().sum::<f64>() / period as f64);
        }
        let first = ranges[..period].iter().sum::<f64>() / period as f64;
        let n = period as f64;
        Some(ranges[period..].iter().fold(first, |value, range| (value * (n - 1.0) + range) / n))
    }

    proptest! {
        #[test]
        fn atr_and_ema_match_the_definitions(
            bars in proptest::collection::vec((1_000i64..2_000, 0i64..50, 0i64..50), 1..120),
            period in 1u32..30,
        ) {
            let bars: Vec<(i64, i64, i64)> =
                bars.iter().map(|(l, up, c)| (l + up, *l, l + (up * c) / 50)).collect();
            for (smoothing, wilder) in [(Smoothing::Wilder, true), (Smoothing::Sma, false)] {
                let mut atr = Atr::new(period, smoothing);
                for (h, l, c) in &bars {
                    atr.update(Ticks(*h), Ticks(*l), Ticks(*c));
                }
                let expected = model(&bars, period as usize, wilder);
                prop_assert_eq!(atr.value().is_some(), expected.is_some());
                if let (Some(value), Some(expected)) = (atr.value(), expected) {
                    prop_assert!((value.to_num::<f64>() - expected).abs() < 1e-9, "{} {}", value, expected);
                }
            }
            let mut ema = Ema::new(period);
            bars.iter().for_each(|b| ema.update(Ticks(b.2)));
            let n = period as usize;
            prop_assert_eq!(ema.value().is_some(), bars.len() >= n);
            if bars.len() >= n {
                let first = bars[..n].iter().map(|b| b.2 as f64).sum::<f64>() / n as f64;
                let expected = bars[n..].iter().fold(first, |e, b| e + (b.2 as f64 - e) * 2.0 / (n as f64 + 1.0));
                prop_assert!((ema.value().unwrap().to_num::<f64>() - expected).abs() < 1e-9);
            }
        }
    }
}
