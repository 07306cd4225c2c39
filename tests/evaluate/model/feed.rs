//! What frames and bars say of one instrument: how late its feed is, and how its closes move.

use num_traits::{Signed, Zero};

use crate::exact::{Q, int};

const WINDOW_MS: i64 = 300_000;
/// A longer gap is an outage.
const GAP_BARS_MAX: i64 = 1_000;

#[derive(Default)]
pub struct Feed {
    /// When each frame came, and how much later than it was sent.
    frames: Vec<(i64, i64)>,
    /// Number of the newest bar, and its close.
    newest: Option<(i64, Q)>,
    /// Closes of the bars up to it, without a gap.
    closes: Vec<Q>,
}

/// Of returns over the same bars: n² × covariance and variances.
pub struct Moments {
    pub covariance: Q,
    pub variance_a: Q,
    pub variance_b: Q,
}

impl Feed {
    pub fn frame(&mut self, now_ms: i64, lag_ms: i64) {
        self.frames.push((now_ms, lag_ms));
    }

    /// How much later the newest frame was than the best of its window and the one before it.
    pub fn lag_ms(&self) -> i64 {
        let Some((newest_ms, lag)) = self.frames.last() else { return 0 };
        let window = |ms: &i64| ms.div_euclid(WINDOW_MS);
        let recent = self.frames.iter().filter(|(ms, _)| window(newest_ms) - window(ms) <= 1);
        lag - recent.map(|(_, lag)| lag).min().unwrap()
    }

    pub fn bar(&mut self, number: i64, close: &Q) {
        if let Some((newest, last)) = self.newest.take() {
            if number <= newest {
                self.newest = Some((newest, last));
                return;
            }
            self.newest = Some((number, close.clone()));
            if number - newest - 1 > GAP_BARS_MAX {
                // What ends an outage says where the next bar begins, and nothing else.
                self.closes.clear();
                return;
            }
            self.closes.extend((newest + 1..number).map(|_| last.clone()));
        }
        self.newest = Some((number, close.clone()));
        self.closes.push(close.clone());
    }

    /// The `bars` returns that end with bar `end`, in billionths; one more than that is remembered.
    fn returns(&self, end: i64, bars: usize) -> Option<Vec<Q>> {
        let (newest, _) = self.newest.as_ref()?;
        let changes = self.closes.windows(2).map(|pair| {
            let change = (&pair[1] - &pair[0]) / &pair[0] * int(1_000_000_000);
            let most = int(1_000_000_000_000);
            change.trunc().clamp(-most.clone(), most)
        });
        let changes: Vec<Q> = changes.collect();
        let skipped = usize::try_from(newest - end).ok()?;
        let remembered = changes.len().min(bars + 1);
        let first = (skipped + bars <= remembered).then(|| changes.len() - skipped - bars)?;
        Some(changes[first..first + bars].to_vec())
    }

    /// `None` where one of the two is too short, does not move, or is not aligned with the other.
    pub fn moments(&self, other: &Feed, bars: usize) -> Option<Moments> {
        let end = self.newest.as_ref()?.0.min(other.newest.as_ref()?.0);
        let (a, b) = (self.returns(end, bars)?, other.returns(end, bars)?);
        let n = int(bars as i64);
        let product = |a: &[Q], b: &[Q]| -> Q {
            let both: Q = a.iter().zip(b).map(|(x, y)| x * y).sum();
            &n * both - a.iter().sum::<Q>() * b.iter().sum::<Q>()
        };
        let (variance_a, variance_b) = (product(&a, &a), product(&b, &b));
        let moves = variance_a.is_positive() && variance_b.is_positive();
        debug_assert!(moves || variance_a.is_zero() || variance_b.is_zero());
        moves.then(|| Moments { covariance: product(&a, &b), variance_a, variance_b })
    }
}
