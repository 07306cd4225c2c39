//! Market sources. Each yields websocket text frames in the venue's combined form
//! (`{"stream":…,"data":…}`) in time order, so that whatever reads a recorded market reads a
//! generated one too.
//!
//! | source | from | exact | made |
//! |---|---|---|---|
//! | [`Synthetic`] | a seed | – | everything |
//! | [`MadeCandles`] | a seed | – | candles, then as [`Candles`] |
//! | [`Frames`] | `recv_ns<TAB>raw` lines | every byte | – |
//! | [`Trades`] | aggTrades rows | trades | quotes, event times, funding |
//! | [`Candles`] | klines rows | bars, volume | path inside the bar, quotes, funding |
//!
//! Files may be compressed with zstd or packed in a zip archive (told by their first bytes). They are
//! streamed in constant memory and may be damaged or hostile: every refusal names file, line, field,
//! value and what is allowed.

mod ahead;
mod candles;
mod dialect;
mod error;
mod frames;
mod lines;
mod merge;
mod open;
mod packed;
mod quotes;
mod rng;
mod survey;
mod synthetic;
mod trades;
mod walk;

pub use candles::{CandleEvents, Candles};
pub use error::SourceError;
pub use frames::{FRAME_BYTES_MAX, Frames};
pub use merge::{Merge, MergeEvents};
pub use open::{MarketKind, Opened, market_kind, open, open_events, open_with, symbol_in_name};
pub use packed::BytesRead;
pub use quotes::{FUNDING_RATE_BASE, Unrecorded};
pub use survey::{Survey, common};
pub use synthetic::{Gaps, LISTINGS, Listing, MadeCandles, Regime, Synthetic, SyntheticConfig};
pub use trades::{TradeEvents, Trades};

use crate::event::{Event, Symbol};
use crate::num::{InstrumentId, Side, TimeNs};

/// How a file of trades or candles is read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Decides event times and quote sizes.
    pub seed: u64,
    pub made: Unrecorded,
    /// Counts what is read of the file.
    pub read: BytesRead,
}

impl Reading {
    /// Quotes one tick apart, no funding.
    pub fn of(seed: u64) -> Reading {
        Reading { seed, made: Unrecorded::default(), read: BytesRead::default() }
    }
}

/// The side of an instrument's position; `None` when flat.
pub type Held<'a> = &'a dyn Fn(Symbol) -> Option<Side>;

/// Frames in time order.
pub trait MarketSource: Send {
    /// Writes the next frame into `frame` (cleared first) and returns its receive time, never
    /// before the previous one; `None` at the end. After an error the source is at its end.
    fn next_frame(&mut self, frame: &mut Vec<u8>) -> Result<Option<TimeNs>, SourceError>;

    /// Told before each frame which positions there are. Recorded candles need it: they do not say
    /// in which order their extremes came, and the worse one of the two depends on the position.
    fn look(&mut self, _held: Held<'_>) {}

    /// What was met so far.
    fn counts(&self) -> SourceCounts {
        SourceCounts::default()
    }
}

/// A market that is known without frames, in time order: what a decoder would make of them.
pub trait EventSource: Send {
    /// Puts the next event into `event`, never received before the previous one; false at the end.
    /// After an error the source is at its end. Where `watch` says that an instrument is quiet, quotes
    /// that only repeat the last one may be left out, as far as no rule and no order needs them.
    fn next_event(&mut self, event: &mut Event, watch: &Watch<'_>) -> Result<bool, SourceError>;
}

/// A market, as frames or as events.
pub enum Source {
    Frames(Box<dyn MarketSource>),
    Events(Box<dyn EventSource>),
}

/// What a market is told of those who trade in it.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    pub held: Held<'a>,
    /// Whether nothing is held of an instrument, and no order of it works or rests or is on its way.
    pub quiet: &'a dyn Fn(InstrumentId) -> bool,
}

/// What a source had to mend while reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Frames longer than [`FRAME_BYTES_MAX`], cut one byte above it so that a decoder refuses them.
    pub oversize: u64,
    /// Receive times before the previous one, raised to it.
    pub clamped: u64,
}

impl std::ops::AddAssign for SourceCounts {
    fn add_assign(&mut self, other: SourceCounts) {
        self.oversize += other.oversize;
        self.clamped += other.clamped;
    }
}
