//! Clocks to hand around as [`Now`]: who owns the time decides which.
//!
//! | clock | time is | owned by |
//! |---|---|---|
//! | [`SimTime`] | simulated, so many seconds a second | this process, from [`SimTime::go`] on |
//! | [`SteppedTime`] | simulated, in steps | whoever holds a handle and sets it |
//! | [`RemoteTime`] | simulated, so many seconds a second | a simulated venue in another process |
//! | [`WallTime`] | the world's | the system's clock, followed and never copied |
//!
//! All are read without a lock, an allocation or a system call where the processor has a steady time
//! stamp counter. A handle never gives an earlier answer than before, also when it is shared between
//! threads; two handles may differ by what passes between their threads' reads.

mod mapping;
mod sim;
mod steered;

use std::sync::atomic::{AtomicI64, Ordering};

pub use mapping::Scale;
pub use sim::{SimTime, SteppedTime};
pub use steered::{Discipline, RemoteTime, SLEW_PPB_MAX, VenueClock, WallTime, correction};

use crate::num::TimeNs;

/// The latest answer of one handle.
#[derive(Debug)]
struct Floor(AtomicI64);

impl Floor {
    fn at(time: TimeNs) -> Floor {
        Floor(AtomicI64::new(time.0))
    }

    /// `time`, or the latest answer if that is later.
    fn raise(&self, time: TimeNs) -> TimeNs {
        TimeNs(self.0.fetch_max(time.0, Ordering::Relaxed)).max(time)
    }
}

impl Clone for Floor {
    fn clone(&self) -> Floor {
        Floor(AtomicI64::new(self.0.load(Ordering::Relaxed)))
    }
}
