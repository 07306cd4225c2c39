//! Made candles of a minute: the walk of [`super::path`], seen once a minute. Each instrument's are walked
//! against its position as recorded ones are, and have the same quotes, one a second: a tenth of the
//! frames of the streams, so that weeks of several instruments take minutes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::path::{Direction, Pace, Paths};
use super::{DAY_MS, Gaps, Listing, SyntheticConfig, history};
use crate::event::{Bar, Instrument};
use crate::num::{InstrumentId, Millis, Size, Ticks, TimeNs};
use crate::sim::market::candles::{Candle, CandleRows, Candles};
use crate::sim::market::dialect::{Printer, interval_name};
use crate::sim::market::quotes::{MadeQuotes, Unrecorded};
use crate::sim::market::rng::Rng;
use crate::sim::market::walk::Ohlc;
use crate::sim::market::{EventSource, MarketSource, Merge, MergeEvents, SourceError};

const MINUTE_MS: Millis = 60_000;
/// Steps of the walk in a minute: the extremes lie inside it, and a bar has dozens of steps.
const MINUTE_STEPS: u32 = 12;

/// A market of made candles. It has no end.
pub struct MadeCandles {
    config: SyntheticConfig,
    seed: u64,
    starts: Vec<(Ticks, Listing)>,
    candles: Vec<(InstrumentId, Candles)>,
}

impl MadeCandles {
    /// # Errors
    /// Settings out of range, bars that are no whole minutes among them.
    pub fn new(config: SyntheticConfig, seed: u64) -> Result<MadeCandles, SourceError> {
        let (table, starts) = config.starts()?;
        let (bar_s, allowed) = (config.bar_interval_s, "a multiple of 60: candles are of a minute");
        let Some(interval) = interval_name(MINUTE_MS).filter(|_| bar_s.is_multiple_of(60)) else {
            let value = bar_s.to_string();
            return Err(SourceError::new("candles", 0, "bar_interval_s", value.as_bytes(), allowed));
        };
        let pace = Pace::new(config.atr_fraction, f64::from(bar_s / 60 * MINUTE_STEPS));
        let lanes = table.iter().zip(&starts).enumerate().map(|(i, ((_, row), (_, listing)))| Lane {
            instrument: *row,
            printer: Printer::new(row),
            minute_usd: listing.volume_24h_usd / 1_440.0,
            rng: Rng::new(seed, 20_000 + i as u64),
            waiting: VecDeque::new(),
        });
        let maker = Maker {
            paths: Paths::new(&starts, seed, Direction::Forward, pace),
            gaps: config.gaps,
            lanes: lanes.collect(),
            open_ms: config.begin().ms(),
        };
        let maker = Arc::new(Mutex::new(maker));
        let candles = table.iter().map(|(id, row)| {
            let mut rows = Made { maker: Arc::clone(&maker), lane: id.index() };
            let first = rows.next_candle()?.unwrap_or_default();
            let made = Unrecorded { funding_rate: config.funding_rate, ..Unrecorded::default() };
            let quotes = MadeQuotes::new(row, made, seed ^ u64::from(id.0));
            let mut candles = Candles::of(Box::new(rows), row, quotes, MINUTE_MS, interval);
            candles.begin(first);
            Ok((id, candles))
        });
        let candles = candles.collect::<Result<_, SourceError>>()?;
        Ok(MadeCandles { config, seed, starts, candles })
    }

    /// The open of the first candle.
    pub fn start(&self) -> TimeNs {
        self.config.begin()
    }

    /// As [`super::Synthetic::history`].
    pub fn history(&self, interval_s: u32, bars: usize) -> Vec<(InstrumentId, Bar)> {
        history::bars(&self.config, &self.starts, self.seed, self.start(), interval_s, bars)
    }

    pub fn into_frames(self) -> Merge {
        let boxed = |(_, candles)| Box::new(candles) as Box<dyn MarketSource>;
        Merge::new(self.candles.into_iter().map(boxed).collect())
    }

    /// The same market as events that need no decoding.
    pub fn into_events(self) -> MergeEvents {
        let boxed = |(id, candles): (_, Candles)| Box::new(candles.into_events(id)) as Box<dyn EventSource>;
        MergeEvents::new(self.candles.into_iter().map(boxed).collect())
    }
}

/// All instruments' walks: they share a factor, so their candles are made together, and wait until each
/// instrument's are asked for.
struct Maker {
    paths: Paths,
    gaps: Option<Gaps>,
    lanes: Vec<Lane>,
    /// Of the next minute.
    open_ms: Millis,
}

struct Lane {
    instrument: Instrument,
    printer: Printer,
    minute_usd: f64,
    rng: Rng,
    /// One or two: nobody is more than a minute ahead.
    waiting: VecDeque<Candle>,
}

impl Maker {
    /// The next minute of every instrument.
    fn make(&mut self) {
        if let Some(gaps) = &self.gaps {
            self.paths.gap(gaps, MINUTE_MS as f64 / DAY_MS);
        }
        let prices = |paths: &Paths| paths.walkers.iter().map(|walker| walker.price).collect::<Vec<_>>();
        let opens = prices(&self.paths);
        let (mut lows, mut highs) = (opens.clone(), opens.clone());
        for _ in 0..MINUTE_STEPS {
            self.paths.step();
            for ((walker, low), high) in self.paths.walkers.iter().zip(&mut lows).zip(&mut highs) {
                *low = if walker.price < *low { walker.price } else { *low };
                *high = if walker.price > *high { walker.price } else { *high };
            }
        }
        let closes = prices(&self.paths);
        let corners = opens.into_iter().zip(highs).zip(lows).zip(closes);
        for (lane, (((open, high), low), close)) in self.lanes.iter_mut().zip(corners) {
            let [open, high, low, close] = [open, high, low, close].map(|price| Ticks((price + 0.5) as i64));
            lane.push(self.open_ms, Ohlc { open, high, low, close });
        }
        self.open_ms += MINUTE_MS;
    }
}

impl Lane {
    fn push(&mut self, open_ms: Millis, prices: Ohlc) {
        let Ohlc { open, high, low, close } = prices;
        let printer = &self.printer;
        let lots = printer.lots_worth(self.minute_usd * (0.5 + self.rng.unit()), close);
        // Whole order steps, as the venue's volumes are.
        let step_units = (self.instrument.step.0 / self.instrument.size_step.0) as i64;
        let [open, high, low, close] = [open, high, low, close].map(|price| printer.price(price).to_string());
        self.waiting.push_back(Candle {
            open_ms,
            prices,
            volume: Size(lots * step_units),
            text: [open, high, low, close, printer.size(lots).to_string()],
            ..Candle::default()
        });
    }
}

/// One instrument's candles.
struct Made {
    maker: Arc<Mutex<Maker>>,
    lane: usize,
}

impl CandleRows for Made {
    fn next_candle(&mut self) -> Result<Option<Candle>, SourceError> {
        let mut maker = self.maker.lock().unwrap_or_else(PoisonError::into_inner);
        if maker.lanes.get(self.lane).is_some_and(|lane| lane.waiting.is_empty()) {
            maker.make();
        }
        Ok(maker.lanes.get_mut(self.lane).and_then(|lane| lane.waiting.pop_front()))
    }

    fn error(&self, field: &'static str, value: &[u8], allowed: String) -> SourceError {
        SourceError::new("candles", 0, field, value, allowed)
    }
}
