//! How far a feed is behind itself.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::num::{Millis, NS_PER_SEC, TimeNs};

/// Receive time − venue time against its rolling minimum. Clocks that disagree by a constant cancel
/// out; only growth counts. A feed that is late from the first frame does not grow: where the venue's clock was
/// read, what a frame without delay would have belongs to the minimum.
#[derive(Clone, Copy, Debug, Default, BorshSerialize, BorshDeserialize)]
pub struct LagTracker {
    /// Of the newest frame.
    current_ns: Option<i64>,
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
pub const SKEW_NS_MAX: i64 = 3_600 * NS_PER_SEC;

impl LagTracker {
    /// A frame sent at `event_ms`; 0 means the frame carries no time.
    pub fn on_frame(&mut self, recv_ns: TimeNs, event_ms: Millis) {
        if event_ms <= 0 {
            return;
        }
        let lag = recv_ns.since(TimeNs::from_ms(event_ms));
        if self.take(recv_ns, lag) {
            self.current_ns = Some(lag);
        }
    }

    /// The venue's clock was read: so much ahead of ours, give or take an error.
    pub fn on_clock(&mut self, now: TimeNs, ahead_ns: i64, error_ns: i64) {
        self.take(now, error_ns.saturating_sub(ahead_ns));
    }

    /// Takes into the minimum what could be a lag.
    fn take(&mut self, recv_ns: TimeNs, lag: i64) -> bool {
        if lag.unsigned_abs() > SKEW_NS_MAX.unsigned_abs() {
            return false;
        }
        let half = recv_ns.0.div_euclid(HALF_WINDOW_NS);
        if half != self.half_window {
            let adjacent = half == self.half_window.saturating_add(1);
            self.previous_minimum_ns = if adjacent { self.minimum_ns } else { None };
            self.minimum_ns = None;
            self.half_window = half;
        }
        self.minimum_ns = Some(self.minimum_ns.map_or(lag, |m| m.min(lag)));
        true
    }

    /// Nanoseconds the newest frame was later than the best recent one; ≥ 0.
    pub fn excess_ns(&self) -> i64 {
        let best = match (self.minimum_ns, self.previous_minimum_ns) {
            (Some(a), Some(b)) => a.min(b),
            (Some(a), None) | (None, Some(a)) => a,
            (None, None) => return 0,
        };
        // Of what was read the error is left, by which a frame may seem early.
        self.current_ns.map_or(0, |current| current.saturating_sub(best).max(0))
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

    #[test]
    fn a_feed_that_is_late_from_the_first_frame_is_late_by_the_venues_clock() {
        let (mut told, mut untold) = (LagTracker::default(), LagTracker::default());
        let ms = |ms: i64| ms * NS_PER_MS;
        // Ours is 1.5 s behind the venue's.
        told.on_clock(TimeNs(ms(1_000_000)), ms(1_500), ms(20));
        assert_eq!(told.excess_ns(), 0, "no frame yet");
        for lag in [&mut told, &mut untold] {
            lag.on_frame(TimeNs(ms(1_001_000)), 1_002_500 - 4_000);
        }
        assert_eq!((told.excess_ns(), untold.excess_ns()), (ms(3_980), 0));
        // What comes in time is not late, nor what is early by the error of the reading.
        for early_ms in [0, 20] {
            told.on_frame(TimeNs(ms(1_002_000)), 1_003_500 + early_ms);
            assert_eq!(told.excess_ns(), 0);
        }
        // In ten minutes it is forgotten; it is read again before.
        told.on_frame(TimeNs(ms(1_701_000)), 1_700_000);
        assert_eq!(told.excess_ns(), 0);
        told.on_clock(TimeNs(ms(1_701_000)), i64::MIN, i64::MAX);
        assert_eq!(told.excess_ns(), 0, "no clock");
    }
}
