//! A market made from a seed. The same seed and settings give the same bytes on any machine.
//!
//! Time goes in steps of 100 ms. In each, every instrument's price moves ([`path`]) and its streams
//! say what happened ([`feed`], [`slow`]); frames wait in a heap until their receive time, since
//! aggregates are up to 150 ms late and the streams overlap. Generation is in floats of plain
//! IEEE arithmetic without libm; what leaves is integers of ticks and lots, printed exactly.

mod candles;
mod feed;
mod history;
mod listing;
mod path;
mod pending;
mod slow;

pub use candles::MadeCandles;
pub use listing::{LISTINGS, Listing};
pub use path::Regime;

use self::feed::{Feed, Rates, Step};
use self::path::{Direction, Pace, Paths};
use self::pending::Pending;
use super::{FUNDING_RATE_BASE, MarketSource, SourceError};
use crate::event::{Bar, InstrumentError, InstrumentTable};
use crate::num::{Dec, InstrumentId, Millis, NS_PER_SEC, Ticks, TimeNs};

/// Length of a step, and period of the depth stream.
const STEP_MS: Millis = 100;
/// Quotes for each trade: three of their own, and one whenever a trade finds the touch moved.
const QUOTES_PER_TRADE: f64 = 3.0;
const QUOTES_PER_TRADE_MEASURED: f64 = 3.5;
/// However few frames are asked for, an instrument keeps this share of its trades.
const THINNING_MIN: f64 = 0.02;

/// What market to make.
#[derive(Clone, Debug)]
pub struct SyntheticConfig {
    /// First instant; floored to the bar interval.
    pub start: TimeNs,
    /// The bars whose volatility `atr_fraction` states, and the unit of a regime's length.
    pub bar_interval_s: u32,
    /// Average true range of such a bar, as a fraction of the price.
    pub atr_fraction: f64,
    /// Frames of all instruments together; trades, quotes and depth are thinned to it. `None`:
    /// natural rates, about 380.
    pub frames_per_second: Option<u32>,
    /// Period of the mark price stream; the venue offers 1 and 3.
    pub mark_interval_s: u32,
    /// Period of the 24-hour statistics; a multiple of 100.
    pub ticker_interval_ms: u32,
    /// Bars of the kline stream; one of the venue's intervals.
    pub kline_interval_s: u32,
    /// Period of the updates of a bar that is not closed; a multiple of 100.
    pub kline_update_ms: u32,
    /// Instruments, in the order of their ids.
    pub listings: Vec<Listing>,
    /// Jumps of the price with nothing traded between; `None`: there are none.
    pub gaps: Option<Gaps>,
    /// Of [`MadeCandles`], every eight hours; the streams of [`Synthetic`] have rates around the base rate.
    pub funding_rate: Dec,
}

/// How often prices jump, and how far. Every other time it is all instruments at once, in one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaps {
    /// In a day of the whole market, on average.
    pub per_day: f64,
    /// Mean distance as a fraction of the price; each is half to one and a half times as far.
    pub size: f64,
}

const DAY_MS: f64 = 86_400_000.0;

/// 2024-01-01T00:00:00Z, a Monday: days and weeks begin here.
const START: TimeNs = TimeNs(1_704_067_200 * NS_PER_SEC);

impl SyntheticConfig {
    /// A lively market on 5-second bars, so that the whole life of a trade is seen in minutes: one
    /// R (1.5 × ATR) is about 0.5% of the price, above twice the costs of a trade, and trends last
    /// dozens of bars.
    pub fn newcomer() -> SyntheticConfig {
        SyntheticConfig {
            start: START,
            bar_interval_s: 5,
            atr_fraction: 0.0035,
            frames_per_second: Some(150),
            mark_interval_s: 3,
            ticker_interval_ms: 2_000,
            kline_interval_s: 60,
            kline_update_ms: 2_000,
            listings: LISTINGS.to_vec(),
            gaps: None,
            funding_rate: FUNDING_RATE_BASE,
        }
    }

    /// One-minute bars with the volatility and the frame rates of a calm day.
    pub fn realistic() -> SyntheticConfig {
        SyntheticConfig {
            bar_interval_s: 60,
            atr_fraction: 0.0009,
            frames_per_second: None,
            mark_interval_s: 1,
            ticker_interval_ms: 1_000,
            kline_update_ms: 300,
            ..SyntheticConfig::newcomer()
        }
    }

    /// So many instruments, as on a calm day: about 42 frames a second of each.
    pub fn wide(instruments: usize) -> SyntheticConfig {
        SyntheticConfig { listings: listing::many(instruments).collect(), ..SyntheticConfig::realistic() }
    }

    /// For [`MadeCandles`], which has no streams of its own to be told of: a volatile market, a bar of it
    /// ranging over 0.7% of the price.
    pub fn candles(instruments: usize) -> SyntheticConfig {
        let listings = match LISTINGS.get(..instruments) {
            Some(first) => first.to_vec(),
            None => listing::many(instruments).collect(),
        };
        SyntheticConfig { bar_interval_s: 900, atr_fraction: 0.007, listings, ..SyntheticConfig::realistic() }
    }

    /// The instruments made, with the taker fee given (a fraction, as text).
    pub fn instruments(&self, taker_fee: &str) -> Result<InstrumentTable, InstrumentError> {
        let rows: Result<Vec<_>, _> = self.listings.iter().map(|l| l.instrument(taker_fee)).collect();
        // Far fewer listings than ids.
        Ok(InstrumentTable::new(rows?).unwrap_or_default())
    }

    fn check(&self) -> Result<(), SourceError> {
        let refuse = |field, value: String, allowed: &str| {
            Err(SourceError::new("synthetic", 0, field, value.as_bytes(), allowed))
        };
        if !(1..=86_400).contains(&self.bar_interval_s) {
            return refuse("bar_interval_s", self.bar_interval_s.to_string(), "1 to 86400 seconds");
        }
        if !(self.atr_fraction >= 0.000_01 && self.atr_fraction <= 0.05) {
            return refuse("atr_fraction", self.atr_fraction.to_string(), "0.00001 to 0.05 of the price");
        }
        if !matches!(self.mark_interval_s, 1 | 3) {
            return refuse("mark_interval_s", self.mark_interval_s.to_string(), "1 or 3 seconds");
        }
        for (field, ms) in
            [("ticker_interval_ms", self.ticker_interval_ms), ("kline_update_ms", self.kline_update_ms)]
        {
            if !(100..=60_000).contains(&ms) {
                return refuse(field, ms.to_string(), "100 to 60000 ms");
            }
        }
        let interval_ms = Millis::from(self.kline_interval_s) * 1_000;
        if super::dialect::interval_name(interval_ms).is_none() {
            let allowed = format!("the seconds of {}", super::dialect::interval_names());
            return refuse("kline_interval_s", self.kline_interval_s.to_string(), &allowed);
        }
        if !(0..=4_102_444_800).contains(&(self.start.0 / NS_PER_SEC)) {
            return refuse("start", self.start.0.to_string(), "1970 to 2100");
        }
        if let Some(Gaps { per_day, size }) = self.gaps {
            if !(0.0..=1_440.0).contains(&per_day) {
                return refuse("gaps", per_day.to_string(), "0 to 1440 a day");
            }
            if !(0.000_1..=0.3).contains(&size) {
                return refuse("gap", size.to_string(), "0.0001 to 0.3 of the price");
            }
        }
        if self.listings.is_empty() || self.listings.len() > 1_000 {
            return refuse("listings", self.listings.len().to_string(), "1 to 1000 instruments");
        }
        Ok(())
    }

    /// The instruments, and where each begins.
    fn starts(&self) -> Result<(InstrumentTable, Vec<(Ticks, Listing)>), SourceError> {
        self.check()?;
        let refuse = |e: InstrumentError| {
            SourceError::new("synthetic", 0, "listings", b"", format!("usable instruments: {e}"))
        };
        let table = self.instruments("0").map_err(refuse)?;
        let rows = table.iter().zip(&self.listings);
        let starts: Result<Vec<_>, SourceError> = rows
            .map(|((_, row), listing)| match row.parse_price(listing.start.as_bytes()) {
                Ok(price) if price.0 >= 1_000 && price.0 < 1 << 40 => Ok((price, *listing)),
                _ => Err(SourceError::new(
                    "synthetic",
                    0,
                    "start price",
                    listing.start.as_bytes(),
                    "1,000 ticks or more, on the tick grid",
                )),
            })
            .collect();
        Ok((table, starts?))
    }

    /// The open of the first bar.
    fn begin(&self) -> TimeNs {
        let interval_ms = Millis::from(self.bar_interval_s) * 1_000;
        TimeNs::from_ms(self.start.ms() - self.start.ms().rem_euclid(interval_ms))
    }

    /// Share of the natural trades, quotes and depth updates that are made.
    fn thinning(&self) -> f64 {
        let trades: f64 = self.listings.iter().map(|l| l.trades_per_second).sum();
        let depth = self.listings.len() as f64 * 1_000.0 / STEP_MS as f64;
        let fast = trades * (1.0 + QUOTES_PER_TRADE_MEASURED) + depth;
        let each = 1.0 / f64::from(self.mark_interval_s)
            + 1_000.0 / f64::from(self.ticker_interval_ms)
            + 1_000.0 / f64::from(self.kline_update_ms);
        let slow = self.listings.len() as f64 * each;
        match self.frames_per_second {
            Some(asked) => ((f64::from(asked) - slow) / fast).clamp(THINNING_MIN, 1.0),
            None => 1.0,
        }
    }
}

/// The generated market. It has no end.
pub struct Synthetic {
    config: SyntheticConfig,
    seed: u64,
    starts: Vec<(Ticks, Listing)>,
    paths: Paths,
    feeds: Vec<Feed>,
    pending: Pending,
    /// Everything before it has been made.
    now_ms: Millis,
}

impl Synthetic {
    /// Refuses settings out of range.
    pub fn new(config: SyntheticConfig, seed: u64) -> Result<Synthetic, SourceError> {
        let (table, starts) = config.starts()?;
        let start_ms = config.begin().ms();
        let steps = f64::from(config.bar_interval_s) * 1_000.0 / STEP_MS as f64;
        let pace = Pace::new(config.atr_fraction, steps);
        let paths = Paths::new(&starts, seed, Direction::Forward, pace);
        let rates = Rates::new(&config);
        let mut pending = Pending::default();
        let rows = table.iter().zip(&starts).enumerate();
        let feeds = rows
            .map(|(i, ((_, row), (start, listing)))| {
                let mut feed = Feed::new(row, *listing, *start, seed, i, rates, start_ms);
                feed.open(start_ms, &mut pending);
                feed
            })
            .collect();
        Ok(Synthetic { config, seed, starts, paths, feeds, pending, now_ms: start_ms })
    }

    /// First instant of the stream: the open of its first bar.
    pub fn start(&self) -> TimeNs {
        self.config.begin()
    }

    /// Closed bars that end where the stream starts, by time and then by instrument: the same walk
    /// gone backwards from the start prices, so that the last closes are where the stream begins
    /// and any number of bars agrees with any other. A start that is not on the interval's grid
    /// leaves the rest of that bar out.
    pub fn history(&self, interval_s: u32, bars: usize) -> Vec<(InstrumentId, Bar)> {
        history::bars(&self.config, &self.starts, self.seed, self.start(), interval_s, bars)
    }

    fn advance(&mut self) {
        let from_ms = self.now_ms;
        self.now_ms += STEP_MS;
        if let Some(gaps) = &self.config.gaps {
            self.paths.gap(gaps, STEP_MS as f64 / DAY_MS);
        }
        let before: Vec<f64> = self.paths.walkers.iter().map(|w| w.price).collect();
        self.paths.step();
        for ((feed, walker), price_from) in self.feeds.iter_mut().zip(&self.paths.walkers).zip(before) {
            let burst = walker.regime == Regime::Burst;
            feed.advance(&Step { from_ms, price_from, price_to: walker.price, burst }, &mut self.pending);
        }
    }
}

impl MarketSource for Synthetic {
    fn next_frame(&mut self, frame: &mut Vec<u8>) -> Result<Option<TimeNs>, SourceError> {
        // Later steps only make frames received after now.
        loop {
            if let Some(time) = self.pending.pop_until(TimeNs::from_ms(self.now_ms), frame) {
                return Ok(Some(time));
            }
            self.advance();
        }
    }
}
