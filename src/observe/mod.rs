//! What an operator reads. Everything here works from the journal's records, off the hot path; the
//! histograms alone are written by it.

mod condition;
mod latency;
mod indicators;
mod lines;
mod measures;
mod report;
mod sockets;
mod stats;
mod summary;

pub use condition::{Condition, LastAlarm, Share, Taken};
pub use indicators::Indicators;
pub use latency::{LatencyNs, Stage, Stages};
pub use lines::Lines;
pub use measures::{
    AccountFigures, Bin, DayBeyond, FallFigures, Figures, Measured, Measures, Quantiles, Shares, side_by_side,
};
pub use report::{Console, Reporter, Shared};
pub use sockets::{GatewaySummary, QueueShares, SocketSummary};
pub use stats::Stats;
pub use summary::{Exact, JournalSummary, LoopCounts, ShadowSummary, Summary};
