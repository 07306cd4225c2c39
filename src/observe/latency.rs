//! Always-on histograms of the hot path's stages.

use hdrhistogram::Histogram;
use serde::Serialize;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Frame bytes to event.
    Decode,
    /// Event into the ring.
    JournalEvent,
    /// `Engine::step`.
    Step,
    /// Outputs into the ring; events without outputs do not count.
    JournalOutputs,
    /// Frame bytes to the journaled order, frames that led to one.
    FrameToOrder,
    /// Frame bytes to the end of its work, all frames.
    Frame,
}

impl Stage {
    pub const ALL: [Stage; 6] = [
        Stage::Decode,
        Stage::JournalEvent,
        Stage::Step,
        Stage::JournalOutputs,
        Stage::FrameToOrder,
        Stage::Frame,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Decode => "decode",
            Stage::JournalEvent => "journal_event",
            Stage::Step => "step",
            Stage::JournalOutputs => "journal_outputs",
            Stage::FrameToOrder => "frame_to_order",
            Stage::Frame => "frame",
        }
    }
}

/// Longest latency told apart; beyond it everything is "ten seconds".
const LATENCY_NS_MAX: u64 = 10_000_000_000;
/// Significant digits: 0.1% of the value.
const PRECISION: u8 = 3;

/// One histogram a stage, in nanoseconds. Recording allocates nothing.
#[derive(Debug)]
pub struct Stages {
    histograms: [Histogram<u64>; Stage::ALL.len()],
}

/// Percentiles of one stage, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LatencyNs {
    pub p50: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    pub count: u64,
}

impl LatencyNs {
    /// `None` of an empty histogram.
    pub fn of(histogram: &Histogram<u64>) -> Option<LatencyNs> {
        (!histogram.is_empty()).then(|| LatencyNs {
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
            count: histogram.len(),
        })
    }
}

impl Default for Stages {
    fn default() -> Self {
        #[allow(clippy::expect_used)]
        let histogram = || {
            // The bounds are constants the crate accepts: 1 ≤ low, 2 × low ≤ high, 0 ≤ precision ≤ 5.
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, PRECISION).expect("constant bounds")
        };
        Stages { histograms: std::array::from_fn(|_| histogram()) }
    }
}

impl Stages {
    #[inline]
    pub fn record(&mut self, stage: Stage, ns: u64) {
        self.histograms[stage as usize].saturating_record(ns);
    }

    /// Forgets everything, and touches every page: recording will not be the first to.
    pub fn clear(&mut self) {
        self.histograms.iter_mut().for_each(Histogram::reset);
    }

    /// `None` for a stage that never happened.
    pub fn latency(&self, stage: Stage) -> Option<LatencyNs> {
        LatencyNs::of(&self.histograms[stage as usize])
    }
}
