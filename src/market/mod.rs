//! Market conditions, kept incrementally per instrument: price, quote, bars, ATR, EMA, 24-hour
//! volume, feed lag and the return window correlations are made of. `docs/RULES.md` §2.

mod bars;
mod correlation;
mod indicator;
mod lag;
mod state;
mod volume;

pub use bars::{BarSeries, Closed, OHLC};
pub use correlation::{CORRELATION_SLACK_BARS, Correlation, ReturnWindow};
pub use indicator::{Atr, Ema, Fx, Smoothing, fx_to_dec};
pub use lag::{LagTracker, SKEW_NS_MAX};
pub use state::{BarUpdate, Counts, MarketParams, MarketState, Tape};
pub use volume::DayVolume;
