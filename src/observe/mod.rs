//! What an operator reads. Everything here works from the journal's records, off the hot path; the
//! histograms alone are written by it.

mod latency;
mod lines;
mod report;
mod stats;
mod summary;

pub use latency::{LatencyNs, Stage, Stages};
pub use lines::Lines;
pub use report::{Console, Reporter, Shared};
pub use stats::Stats;
pub use summary::{JournalSummary, LoopCounts, Summary};
