//! Market sources. Each yields websocket text frames in the venue's combined form
//! (`{"stream":…,"data":…}`) in time order, so that whatever reads a recorded market reads a
//! generated one too.
//!
//! | source | from | exact | made |
//! |---|---|---|---|
//! | [`Synthetic`] | a seed | – | everything |
//! | [`Frames`] | `recv_ns<TAB>raw` lines | every byte | – |
//! | [`Trades`] | aggTrades rows | trades | quotes, event times |
//! | [`Candles`] | klines rows | bars, volume | path inside the bar, quotes |
//!
//! Files may be zstd-compressed (told by their first bytes). They are streamed in constant memory
//! and may be damaged or hostile: every refusal names file, line, field, value and what is allowed.

mod candles;
mod dialect;
mod error;
mod frames;
mod lines;
mod merge;
mod open;
mod quotes;
mod rng;
mod synthetic;
mod trades;

pub use candles::Candles;
pub use error::SourceError;
pub use frames::{FRAME_BYTES_MAX, Frames};
pub use merge::Merge;
pub use open::{MarketKind, Opened, open, symbol_in_name};
pub use synthetic::{LISTINGS, Listing, Regime, Synthetic, SyntheticConfig};
pub use trades::Trades;

use crate::num::TimeNs;

/// Frames in time order.
pub trait MarketSource: Send {
    /// Writes the next frame into `frame` (cleared first) and returns its receive time, never
    /// before the previous one; `None` at the end. After an error the source is at its end.
    fn next_frame(&mut self, frame: &mut Vec<u8>) -> Result<Option<TimeNs>, SourceError>;

    /// What was met so far.
    fn counts(&self) -> SourceCounts {
        SourceCounts::default()
    }
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
