//! 24-hour quote volume from trades, for feeds without a ticker.

use borsh::{BorshDeserialize, BorshSerialize};

use super::bars::is_time;
use crate::num::{Millis, OutOfRange, all_hold};

const MINUTES: usize = 1_440;

/// Volume of the last 1,440 minutes in minute buckets: a partial sum until full, scaled up by
/// nothing. Units are the caller's (ticks × sizes, or contracts).
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct DayVolume {
    buckets: Box<[i128]>,
    /// Minute of the newest bucket since the epoch.
    newest: Option<i64>,
    total: i128,
}

impl Default for DayVolume {
    fn default() -> Self {
        DayVolume { buckets: vec![0; MINUTES].into_boxed_slice(), newest: None, total: 0 }
    }
}

impl DayVolume {
    /// Adds `value` ≥ 0 traded at `trade_ms`. What is older than the window is ignored.
    pub fn add(&mut self, value: i128, trade_ms: Millis) {
        let minute = trade_ms.div_euclid(60_000);
        let newest = *self.newest.get_or_insert(minute);
        if minute > newest {
            let passed = (minute - newest).min(MINUTES as i64);
            for i in 0..passed {
                let expired = std::mem::take(&mut self.buckets[slot(minute - i)]);
                self.total -= expired;
            }
            self.newest = Some(minute);
        } else if newest - minute >= MINUTES as i64 {
            return;
        }
        let bucket = &mut self.buckets[slot(minute)];
        let sum = bucket.saturating_add(value);
        self.total = self.total.saturating_add(sum - *bucket);
        *bucket = sum;
    }

    pub(super) fn check(&self) -> Result<(), OutOfRange> {
        let DayVolume { buckets, newest, total } = self;
        let sum = buckets.iter().try_fold(0i128, |sum, bucket| sum.checked_add(*bucket));
        all_hold(&[
            ("volume.buckets", buckets.len() == MINUTES && buckets.iter().all(|bucket| *bucket >= 0)),
            ("volume.newest", newest.is_none_or(is_time)),
            ("volume.total", sum == Some(*total)),
        ])
    }

    pub fn total(&self) -> i128 {
        self.total
    }
}

fn slot(minute: i64) -> usize {
    minute.rem_euclid(MINUTES as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_a_plain_sum_over_the_window(
            trades in proptest::collection::vec((0i64..4_000_000, 0i128..1_000), 1..200),
        ) {
            let mut volume = DayVolume::default();
            let mut seen: Vec<(i64, i128)> = Vec::new();
            let mut newest = i64::MIN;
            for (jump_s, value) in trades {
                let minute = newest.max(0) + jump_s / 4_000 - 100;
                volume.add(value, minute * 60_000);
                if newest == i64::MIN || minute > newest - MINUTES as i64 {
                    seen.push((minute, value));
                }
                newest = newest.max(minute);
                let expected: i128 =
                    seen.iter().filter(|(m, _)| *m > newest - MINUTES as i64).map(|(_, v)| v).sum();
                prop_assert_eq!(volume.total(), expected);
            }
        }
    }
}
