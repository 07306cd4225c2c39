//! Simulated time that this process owns.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::Floor;
use super::mapping::Scale;
use crate::host::clock::MonotonicClock;
use crate::num::{Now, TimeNs};

/// Origin of a clock that has not been let go.
const PAUSED: u64 = u64::MAX;

/// Simulated time at a pace. It stands at its start until [`SimTime::go`]; clones share the moment
/// that begins to count.
#[derive(Clone, Debug)]
pub struct SimTime {
    clock: MonotonicClock,
    start: TimeNs,
    scale: Scale,
    /// Count at which `start` held, or [`PAUSED`].
    origin: Arc<AtomicU64>,
    floor: Floor,
}

impl SimTime {
    /// A clock that stands at `start`. Calibrates the counter: up to 200 ms, once a process.
    pub fn paused(start: TimeNs, scale: Scale) -> SimTime {
        let origin = Arc::new(AtomicU64::new(PAUSED));
        SimTime { clock: MonotonicClock::new(), start, scale, origin, floor: Floor::at(start) }
    }

    /// Lets every clone go on from the start, now. The first call counts; true if this was it.
    pub fn go(&self) -> bool {
        let origin = self.clock.now_ns();
        self.origin.compare_exchange(PAUSED, origin, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub fn start(&self) -> TimeNs {
        self.start
    }

    pub fn scale(&self) -> Scale {
        self.scale
    }

    fn at(&self, counted_ns: u64) -> TimeNs {
        match self.origin.load(Ordering::Acquire) {
            PAUSED => self.start,
            origin => self.start + self.scale.of(counted_ns.saturating_sub(origin)),
        }
    }
}

impl Now for SimTime {
    fn now(&self) -> TimeNs {
        self.floor.raise(self.at(self.clock.now_ns()))
    }
}

/// Time that somebody sets; clones share it.
#[derive(Clone, Debug)]
pub struct SteppedTime(Arc<AtomicI64>);

impl SteppedTime {
    pub fn at(start: TimeNs) -> SteppedTime {
        SteppedTime(Arc::new(AtomicI64::new(start.0)))
    }

    /// It is now `time`, unless it is later already. Whoever sees the new time also sees what the
    /// setting thread did before.
    pub fn set(&self, time: TimeNs) {
        self.0.fetch_max(time.0, Ordering::Release);
    }
}

impl Now for SteppedTime {
    fn now(&self) -> TimeNs {
        TimeNs(self.0.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const START: TimeNs = TimeNs(1_700_000_000_000_000_000);

    #[test]
    fn a_paused_clock_stands_and_goes_once_for_all_clones() {
        let time = SimTime::paused(START, Scale::new(60.0).unwrap());
        let clone = time.clone();
        assert_eq!((time.now(), clone.now()), (START, START));
        assert!(clone.go());
        assert!(!time.go(), "the origin is fixed once");
        let origin = time.origin.load(Ordering::Acquire);
        assert_eq!(time.at(origin), START);
        assert_eq!(time.at(origin + 1_000_000_000), START + 60_000_000_000);
        assert_eq!(clone.at(origin + 1_000_000_000), time.at(origin + 1_000_000_000));
        assert_eq!(time.at(0), START, "a count from before the origin");
    }

    #[test]
    fn a_running_clock_never_runs_backwards_on_any_thread() {
        let time = SimTime::paused(START, Scale::new(1e6).unwrap());
        time.go();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut last = START;
                    for _ in 0..10_000 {
                        let now = time.now();
                        assert!(now >= last);
                        last = now;
                    }
                });
            }
        });
        assert!(time.now() > START);
    }

    #[test]
    fn a_stepped_clock_is_set_for_all_and_never_back() {
        let time = SteppedTime::at(START);
        let clone = time.clone();
        time.set(START + 5);
        clone.set(START + 3);
        assert_eq!((time.now(), clone.now()), (START + 5, START + 5));
    }
}
