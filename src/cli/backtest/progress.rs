//! How far a backtest is, on one line of the terminal: by the time of its events.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::num::TimeNs;

/// The line is drawn at most this often.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// Entries between two looks at the clock.
const LOOK_EVERY: u32 = 4_096;
const BAR: usize = 30;

/// A line on standard error.
pub(super) struct Progress {
    name: &'static str,
    from: TimeNs,
    to: TimeNs,
    began: Instant,
    drawn: Instant,
    entries: u32,
}

impl Progress {
    pub fn new(name: &'static str, (from, to): (TimeNs, TimeNs)) -> Progress {
        let now = Instant::now();
        Progress { name, from, to, began: now, drawn: now, entries: 0 }
    }

    pub fn see(&mut self, now: TimeNs) {
        self.entries = self.entries.wrapping_add(1);
        if !self.entries.is_multiple_of(LOOK_EVERY) || self.drawn.elapsed() < DRAW_EVERY {
            return;
        }
        self.drawn = Instant::now();
        let line = self.line(now);
        // A terminal that is gone takes nothing from the run.
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
        let _ = io::stderr().flush();
    }

    fn line(&self, now: TimeNs) -> String {
        let whole = self.to.since(self.from).max(1) as f64;
        let share = (now.since(self.from) as f64 / whole).clamp(0.0, 1.0);
        let full = (share * BAR as f64) as usize;
        let left = self.began.elapsed().as_secs_f64() * (1.0 - share) / share.max(1e-6);
        format!(
            "risk {:<3} [{}{}] {:3.0}%  {now}  {left:.0} s left",
            self.name,
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
