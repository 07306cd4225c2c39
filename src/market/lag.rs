//! How far a feed is behind itself.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::num::{Millis, NS_PER_SEC, TimeNs};

/// Receive time − venue time against its rolling minimum. Clocks that disagree by a constant cancel
/// out; only growth counts.
#[derive(Clone, Copy, Debug, Default, BorshSerialize, BorshDeserialize)]
pub struct LagTracker {
    current_ns: i64,
    /// Minimum of this half window and of the one before it.
    minimum_ns: Option<i64>,
    previous_minimum_ns: Option<i64>,
    half_window: i64,
}

/// The minimum is taken over five to ten minutes: long enough to have seen an idle moment, short
/// enough to follow a drifting clock.
const HALF_WINDOW_NS: i64 = 300 * NS_PER_SEC;
/// Clocks an hour apart are not clocks: one stamp from the future would be the best lag for minutes
/// and make every right frame after it look late.
const SKEW_NS_MAX: u64 = 3_600 * NS_PER_SEC as u64;

impl LagTracker {
    /// A frame sent at `event_ms`; 0 means the frame carries no time.
    pub fn on_frame(&mut self, recv_ns: TimeNs, event_ms: Millis) {
        if event_ms <= 0 {
            return;
        }
        let lag = recv_ns.since(TimeNs::from_ms(event_ms));
        if lag.unsigned_abs() > SKEW_NS_MAX {
            return;
        }
        let half = recv_ns.0.div_euclid(HALF_WINDOW_NS);
        if half != self.half_window {
            let adjacent = half == self.half_window.saturating_add(1);
            self.previous_minimum_ns = if adjacent { self.minimum_ns } else { None };
            self.minimum_ns = None;
            self.half_window = half;
        }
        self.current_ns = lag;
        self.minimum_ns = Some(self.minimum_ns.map_or(lag, |m| m.min(lag)));
    }

    /// Nanoseconds the newest frame was later than the best recent one; ≥ 0.
    pub fn excess_ns(&self) -> i64 {
        let best = match (self.minimum_ns, self.previous_minimum_ns) {
            (Some(a), Some(b)) => a.min(b),
            (Some(a), None) | (None, Some(a)) => a,
            (None, None) => return 0,
        };
        self.current_ns.saturating_sub(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::NS_PER_MS;

    #[test]
    fn only_growth_counts() {
        let mut lag = LagTracker::default();
        // The recorder's clock is 1.5 s behind the venue's.
        for i in 0..10i64 {
            lag.on_frame(TimeNs((1_000_000 + i * 10) * NS_PER_MS), 1_001_500 + i * 10 - i % 3);
        }
        assert!(lag.excess_ns() <= 2 * NS_PER_MS);
        lag.on_frame(TimeNs(1_001_000 * NS_PER_MS), 1_001_800);
        assert_eq!(lag.excess_ns(), 700 * NS_PER_MS);
        // Ten minutes later the old minimum is forgotten.
        lag.on_frame(TimeNs(1_601_000 * NS_PER_MS), 1_601_800);
        assert_eq!(lag.excess_ns(), 0);
        // A stamp from the year 2200 is no clock.
        lag.on_frame(TimeNs(1_602_000 * NS_PER_MS), 7_258_118_400_000);
        lag.on_frame(TimeNs(1_602_000 * NS_PER_MS), 1_602_800);
        assert_eq!(lag.excess_ns(), 0);
        lag.on_frame(TimeNs(i64::MAX), 1);
        assert!(lag.excess_ns() >= 0);
    }
}
