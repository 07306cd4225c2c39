//! The only place that asks the system for the time.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::num::TimeNs;

/// A monotonic clock for measuring: the time stamp counter where the processor has a steady one,
/// the system's monotonic clock elsewhere.
#[derive(Clone, Debug)]
pub struct MonotonicClock {
    clock: quanta::Clock,
    origin: u64,
}

/// A reading of the counter behind [`MonotonicClock`]: no unit of its own, only differences mean
/// something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawTicks(u64);

impl MonotonicClock {
    /// Calibrates the counter, once a process: up to 200 ms. Call it at start.
    pub fn new() -> MonotonicClock {
        let clock = quanta::Clock::new();
        let origin = clock.raw();
        MonotonicClock { clock, origin }
    }

    /// Reads the counter.
    pub fn raw(&self) -> RawTicks {
        RawTicks(self.clock.raw())
    }

    /// Nanoseconds from `start` to `end`; 0 if `end` is the earlier.
    pub fn elapsed_ns(&self, start: RawTicks, end: RawTicks) -> u64 {
        self.clock.delta_as_nanos(start.0, end.0)
    }

    /// Nanoseconds since this clock was made.
    pub fn now_ns(&self) -> u64 {
        self.clock.delta_as_nanos(self.origin, self.clock.raw())
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        MonotonicClock::new()
    }
}

/// The system's wall time; the epoch itself if the clock is set before 1970 or after 2262.
pub fn wall_time() -> TimeNs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_nanos());
    TimeNs(since_epoch.ok().and_then(|ns| i64::try_from(ns).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_time_never_runs_backwards() {
        let clock = MonotonicClock::new();
        let (mut last_ns, mut last_raw) = (0, clock.raw());
        for _ in 0..1_000 {
            let (now_ns, raw) = (clock.now_ns(), clock.raw());
            assert!(now_ns >= last_ns && raw >= last_raw);
            assert_eq!(clock.elapsed_ns(raw, last_raw), 0);
            (last_ns, last_raw) = (now_ns, raw);
        }
        assert!(wall_time() > TimeNs::from_ms(1_700_000_000_000), "the wall clock is after 2023");
    }
}
