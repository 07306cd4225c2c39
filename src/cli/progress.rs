//! How far a long command is, on one line of the terminal: by the time of its events, by sequence numbers, or
//! by what was read of its files where their end is not known.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::num::TimeNs;
use crate::sim::market::BytesRead;

/// The line is drawn at most this often.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// Entries between two looks at the clock.
const LOOK_EVERY: u32 = 4_096;
const BAR: usize = 30;

/// What a share is a share of.
pub(super) enum Whole {
    /// Simulated time.
    Time { from: TimeNs, to: TimeNs },
    /// Sequence numbers of a journal.
    Sequence { to: u64 },
    /// Bytes of the files.
    Bytes { read: BytesRead, bytes: u64 },
}

impl Whole {
    fn share(&self, now: TimeNs, sequence: u64) -> f64 {
        let share = match self {
            Whole::Sequence { to } => sequence as f64 / (*to).max(1) as f64,
            Whole::Time { from, to } => now.since(*from) as f64 / to.since(*from).max(1) as f64,
            Whole::Bytes { read, bytes } => read.bytes() as f64 / (*bytes).max(1) as f64,
        };
        share.clamp(0.0, 1.0)
    }
}

/// A line on standard error.
pub(super) struct Progress {
    label: String,
    whole: Whole,
    began: Instant,
    drawn: Instant,
    entries: u32,
}

impl Progress {
    pub fn new(label: String, whole: Whole) -> Progress {
        let now = Instant::now();
        Progress { label, whole, began: now, drawn: now, entries: 0 }
    }

    /// The entry at `sequence`, received at `now`, was taken.
    pub fn see(&mut self, now: TimeNs, sequence: u64) {
        self.entries = self.entries.wrapping_add(1);
        if !self.entries.is_multiple_of(LOOK_EVERY) || self.drawn.elapsed() < DRAW_EVERY {
            return;
        }
        self.drawn = Instant::now();
        let line = self.line(now, sequence);
        // A terminal that is gone takes nothing from the run.
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
        let _ = io::stderr().flush();
    }

    fn line(&self, now: TimeNs, sequence: u64) -> String {
        let share = self.whole.share(now, sequence);
        let full = (share * BAR as f64) as usize;
        let left = self.began.elapsed().as_secs_f64() * (1.0 - share) / share.max(1e-6);
        format!(
            "{} [{}{}] {:3.0}%  {now}  {left:.0} s left",
            self.label,
            "#".repeat(full),
            "-".repeat(BAR - full),
            share * 100.0
        )
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let _ = write!(io::stderr(), "\r\x1b[K");
        let _ = io::stderr().flush();
    }
}
