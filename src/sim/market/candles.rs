//! Recorded candles in the columns of the venue's public klines files: `open_time, open, high, low,
//! close, volume, close_time, quote_volume, count, taker_buy_volume, taker_buy_quote_volume`. All
//! after `volume` may be blank or absent.
//!
//! A candle does not tell the order of its extremes: see `walk.rs` for the path it is given. Made candles
//! are walked the same way.

use std::path::Path;

use super::dialect::{AggTrade, KlineText, agg_trade, interval_name, interval_names, kline as write_kline};
use super::lines::{Row, Rows};
use super::quotes::{Made, MadeQuotes};
use super::walk::{Ohlc, Point, Walk};
use super::{EventSource, Held, MarketSource, Reading, SourceError, Watch};
use crate::event::{Bar, BarSource, Event, EventBody, Instrument, SizeUnit, Trade};
use crate::num::{Dec, InstrumentId, Millis, Rounding, Side, Size, Ticks, TimeNs};

/// First column's name in a file with a header.
pub(super) const HEADER: &str = "open_time";
pub(super) const COLUMNS_MIN: usize = 6;
/// Frames of the walk come this long after their trades.
const DELAY_MS: Millis = 20;
/// The closed bar comes this long after its end; a quarter of shorter intervals.
const KLINE_DELAY_MS: Millis = 300;

#[derive(Clone, Debug, Default)]
pub(super) struct Candle {
    pub open_ms: Millis,
    pub prices: Ohlc,
    pub volume: Size,
    /// As they are printed: open, high, low, close, volume.
    pub text: [String; 5],
    pub close_ms: Option<Millis>,
    /// Blank ones stay empty.
    pub quote_volume: String,
    pub trades: String,
    pub taker_buy_volume: String,
    pub taker_buy_quote_volume: String,
}

/// Where candles come from, oldest first.
pub(super) trait CandleRows: Send {
    fn next_candle(&mut self) -> Result<Option<Candle>, SourceError>;

    /// A refusal of the candle given last.
    fn error(&self, field: &'static str, value: &[u8], allowed: String) -> SourceError;
}

/// Rows of a file.
struct FileRows {
    rows: Rows,
    instrument: Instrument,
}

impl CandleRows for FileRows {
    fn next_candle(&mut self) -> Result<Option<Candle>, SourceError> {
        self.rows.next_row()?.map(|row| parse(&row, &self.instrument)).transpose()
    }

    fn error(&self, field: &'static str, value: &[u8], allowed: String) -> SourceError {
        self.rows.error(field, value, allowed)
    }
}

/// A closed bar.
struct Kline {
    due_ms: Millis,
    candle: Candle,
    /// Of its made trades: how many, the last one's id, and what buyers took.
    count: i64,
    last_id: i64,
    bought: Size,
}

/// What comes next in a market of candles.
enum Item {
    Made(Made),
    Trade(Trade),
    Kline(Box<Kline>),
}

/// Made aggTrade frames that walk each candle, quotes one tick apart (one with each trade and at
/// least one a second), and the closed kline with the candle's own numbers. The trades' sizes add
/// up to the candle's volume; a candle without volume has no trades.
pub struct Candles {
    rows: Box<dyn CandleRows>,
    instrument: Instrument,
    quotes: MadeQuotes,
    interval_ms: Millis,
    interval: &'static str,
    candle: Option<Candle>,
    /// Read at the start to learn the interval.
    ahead: Option<Candle>,
    walk: Walk,
    /// Side the walk is bad for.
    against: Option<Side>,
    quoted: bool,
    /// Closed bar waiting for its time.
    kline: Option<Kline>,
    trade_id: i64,
    last_close: Option<Ticks>,
    ended: bool,
}

impl Candles {
    /// Opens `path`; `seed` decides quote sizes. The interval is what the first candle's close time
    /// says, else the distance of the first two rows.
    pub fn open(path: &Path, instrument: &Instrument, seed: u64) -> Result<Candles, SourceError> {
        Candles::open_with(path, instrument, &Reading::of(seed))
    }

    /// As [`Candles::open`], as `reading` says.
    pub fn open_with(
        path: &Path,
        instrument: &Instrument,
        reading: &Reading,
    ) -> Result<Candles, SourceError> {
        let rows = Rows::open(path, HEADER, COLUMNS_MIN, &reading.read)?;
        let mut rows = FileRows { rows, instrument: *instrument };
        let name = path.display().to_string();
        let no_rows = || SourceError::new(&name, 1, "row", b"", "at least one candle");
        let first = rows.next_candle()?.ok_or_else(no_rows)?;
        let second = rows.next_candle()?;
        let interval_ms = match (first.close_ms, &second) {
            (Some(close_ms), _) => close_ms - first.open_ms + 1,
            (None, Some(second)) => second.open_ms - first.open_ms,
            (None, None) => {
                return Err(SourceError::new(&name, 1, "close_time", b"", "needed in a lone row"));
            }
        };
        let Some(interval) = interval_name(interval_ms) else {
            let value = format!("{interval_ms} ms");
            return Err(SourceError::new(&name, 1, "interval", value.as_bytes(), interval_names()));
        };
        let quotes = MadeQuotes::new(instrument, reading.made, reading.seed);
        let mut candles = Candles::of(Box::new(rows), instrument, quotes, interval_ms, interval);
        if let Some(second) = &second {
            candles.follows(&first, second)?;
        }
        candles.ahead = second;
        candles.begin(first);
        Ok(candles)
    }

    /// Candles of any origin; the first one is still to be given.
    pub(super) fn of(
        rows: Box<dyn CandleRows>,
        instrument: &Instrument,
        quotes: MadeQuotes,
        interval_ms: Millis,
        interval: &'static str,
    ) -> Candles {
        Candles {
            rows,
            instrument: *instrument,
            quotes,
            interval_ms,
            interval,
            candle: None,
            ahead: None,
            walk: Walk::default(),
            against: None,
            quoted: false,
            kline: None,
            trade_id: 0,
            last_close: None,
            ended: false,
        }
    }

    /// Length of a bar.
    pub fn interval_ms(&self) -> Millis {
        self.interval_ms
    }

    /// Candles must stay on the first one's grid and not overlap; missing ones are silence.
    fn follows(&self, before: &Candle, after: &Candle) -> Result<(), SourceError> {
        let distance_ms = after.open_ms - before.open_ms;
        if distance_ms > 0 && distance_ms % self.interval_ms == 0 {
            return Ok(());
        }
        let allowed = format!("{} plus a multiple of {} ms", before.open_ms, self.interval_ms);
        Err(self.rows.error("open_time", after.open_ms.to_string().as_bytes(), allowed))
    }

    pub(super) fn begin(&mut self, candle: Candle) {
        self.walk.begin(&candle.prices, candle.volume, self.interval_ms, self.last_close);
        self.against = None;
        self.quoted = false;
        self.last_close = Some(candle.prices.close);
        self.candle = Some(candle);
    }

    /// Moves on once the walk is done and no bar waits: this candle's bar waits, the next begins.
    fn turn(&mut self) -> Result<(), SourceError> {
        if self.walk.next().is_some() || self.kline.is_some() {
            return Ok(());
        }
        let Some(done) = self.candle.take() else { return Ok(()) };
        let wait_ms = KLINE_DELAY_MS.min(self.interval_ms / 4);
        let due_ms = done.open_ms + self.interval_ms + wait_ms;
        let next = match self.ahead.take() {
            Some(next) => Some(next),
            None => self.rows.next_candle()?,
        };
        if let Some(next) = &next {
            self.follows(&done, next)?;
        }
        let (count, bought) = (self.walk.count(), self.walk.bought());
        self.kline = Some(Kline { due_ms, candle: done, count, last_id: self.trade_id, bought });
        next.into_iter().for_each(|next| self.begin(next));
        Ok(())
    }

    /// What comes next, and when. Without `repeat`, quotes that only repeat the last one are left out but
    /// for the one before a bar, which is when signals come.
    fn next(&mut self, repeat: bool) -> Result<Option<(Millis, Item)>, SourceError> {
        if self.ended {
            return Ok(None);
        }
        // An error ends the market, too.
        self.ended = true;
        self.turn()?;
        let trade_ms =
            self.walk.next().zip(self.candle.as_ref()).map(|(p, candle)| candle.open_ms + p.offset_ms);
        let kline_ms = self.kline.as_ref().map(|kline| kline.due_ms);
        let point_ms = trade_ms.map(|trade_ms| trade_ms + DELAY_MS);
        let Some(next_ms) = kline_ms.into_iter().chain(point_ms).min() else { return Ok(None) };
        self.ended = false;
        let trade_ms = trade_ms.filter(|_| point_ms == Some(next_ms));
        if !repeat && trade_ms.is_none() {
            self.quotes.skip_to(next_ms);
        }
        let wanted = repeat || trade_ms.is_none();
        if let Some(due_ms) = self.quotes.due_ms().filter(|due_ms| wanted && *due_ms < next_ms) {
            return Ok(Some((due_ms, Item::Made(self.quotes.again(due_ms)))));
        }
        Ok(match trade_ms {
            Some(trade_ms) => self.step(trade_ms, next_ms).map(|item| (next_ms, item)),
            None => self.kline.take().map(|kline| (next_ms, Item::Kline(Box::new(kline)))),
        })
    }

    /// A step of the walk: the quote first, then its trade.
    fn step(&mut self, trade_ms: Millis, event_ms: Millis) -> Option<Item> {
        let Point { price, size, buyer_maker, .. } = self.walk.next()?;
        if !self.quoted {
            self.quoted = true;
            return Some(Item::Made(self.quotes.around(price, buyer_maker, trade_ms, event_ms)));
        }
        self.quoted = false;
        self.walk.advance();
        self.trade_id += 1;
        let id = self.trade_id;
        let (first_id, last_id, market, pad) = (id, id, true, [0; 6]);
        Some(Item::Trade(Trade {
            price,
            size,
            id,
            first_id,
            last_id,
            trade_ms,
            event_ms,
            buyer_maker,
            market,
            pad,
        }))
    }

    fn write_trade(&self, trade: &Trade, frame: &mut Vec<u8>) {
        let price = self.quotes.printer.price(trade.price);
        let quantity = self.instrument.size(trade.size).display(u32::from(self.instrument.quantity_places));
        let text = AggTrade {
            event_ms: trade.event_ms,
            id: trade.id,
            price: &price,
            quantity: &quantity,
            first_id: trade.first_id,
            last_id: trade.last_id,
            trade_ms: trade.trade_ms,
            buyer_maker: trade.buyer_maker,
        };
        agg_trade(frame, &self.quotes.printer, &text);
    }

    fn write_kline(&self, kline: &Kline, frame: &mut Vec<u8>) {
        let Kline { due_ms, candle, count, last_id, bought } = kline;
        let [open, high, low, close, volume] = &candle.text;
        let or = |text: &str, made: String| if text.is_empty() { made } else { text.to_string() };
        let value = |size: Size| value_at(&self.instrument, size, candle.prices.close).to_string();
        let text = KlineText {
            event_ms: *due_ms,
            open_ms: candle.open_ms,
            interval_ms: self.interval_ms,
            interval: self.interval,
            first_id: if *count == 0 { -1 } else { last_id - count + 1 },
            last_id: if *count == 0 { -1 } else { *last_id },
            open,
            close,
            high,
            low,
            volume,
            trades: &or(&candle.trades, count.to_string()),
            closed: true,
            quote_volume: &or(&candle.quote_volume, value(candle.volume)),
            taker_buy_volume: &or(&candle.taker_buy_volume, self.instrument.size(*bought).to_string()),
            taker_buy_quote_volume: &or(&candle.taker_buy_quote_volume, value(*bought)),
        };
        write_kline(frame, &self.quotes.printer, &text);
    }

    /// As what a decoder makes of that frame.
    fn bar(&self, kline: &Kline) -> Bar {
        let Kline { due_ms, candle, count, bought, .. } = kline;
        let Ohlc { open, high, low, close } = candle.prices;
        let quote_volume = Dec::parse(&candle.quote_volume);
        let taker_buy_volume = self.instrument.parse_size(candle.taker_buy_volume.as_bytes());
        Bar {
            open_ms: candle.open_ms,
            open,
            high,
            low,
            close,
            volume: candle.volume,
            // Blank ones are made; the others were read before.
            quote_volume: quote_volume.unwrap_or_else(|_| value_at(&self.instrument, candle.volume, close)),
            taker_buy_volume: taker_buy_volume.unwrap_or(*bought),
            event_ms: *due_ms,
            trades: candle.trades.parse().unwrap_or(u32::try_from(*count).unwrap_or(u32::MAX)),
            interval_s: u32::try_from(self.interval_ms / 1_000).unwrap_or(u32::MAX),
            closed: true,
            source: BarSource::Kline,
            pad: [0; 6],
        }
    }
}

/// Value of `size` at `price`: exact, since tick × size unit has at most 18 places.
fn value_at(instrument: &Instrument, size: Size, price: Ticks) -> Dec {
    match instrument.size_unit {
        SizeUnit::QuoteContracts => instrument.size(size),
        // parse() refused what would leave the range.
        SizeUnit::Base => {
            instrument.price(price).mul(instrument.size(size), Rounding::HalfEven).unwrap_or(Dec::MAX)
        }
    }
}

fn parse(row: &Row<'_>, instrument: &Instrument) -> Result<Candle, SourceError> {
    let candle = Candle {
        open_ms: row.time_ms("open_time", 0)?,
        prices: Ohlc {
            open: row.price("open", 1, instrument)?,
            high: row.price("high", 2, instrument)?,
            low: row.price("low", 3, instrument)?,
            close: row.price("close", 4, instrument)?,
        },
        volume: row.size("volume", 5, instrument)?,
        text: [1, 2, 3, 4, 5].map(|column| row.text(column).to_string()),
        close_ms: optional(row, 6, |row| row.time_ms("close_time", 6))?,
        quote_volume: row.text(7).to_string(),
        trades: row.text(8).to_string(),
        taker_buy_volume: row.text(9).to_string(),
        taker_buy_quote_volume: row.text(10).to_string(),
    };
    optional(row, 7, |row| row.money("quote_volume", 7))?;
    optional(row, 8, |row| row.integer("count", 8))?;
    optional(row, 9, |row| row.size("taker_buy_volume", 9, instrument))?;
    optional(row, 10, |row| row.money("taker_buy_quote_volume", 10))?;
    let Ohlc { open, high, low, close } = candle.prices;
    if high < open.max(close).max(low) {
        return Err(row.error("high", 2, "at least open, low and close"));
    }
    if low > open.min(close) {
        return Err(row.error("low", 3, "at most open and close"));
    }
    if instrument.quote_value(candle.volume, high).is_none() {
        return Err(row.error("volume", 5, "worth less than 1.7e20 at the candle's high"));
    }
    Ok(candle)
}

/// Checks a column that may be blank.
fn optional<T>(
    row: &Row<'_>,
    column: usize,
    check: impl Fn(&Row<'_>) -> Result<T, SourceError>,
) -> Result<Option<T>, SourceError> {
    if row.text(column).is_empty() { Ok(None) } else { check(row).map(Some) }
}

impl Candles {
    fn see(&mut self, held: Held<'_>) {
        let Some(candle) = self.candle.as_ref().filter(|_| !self.quoted) else { return };
        let side = held(self.instrument.symbol);
        // A walk that was made for a position stays when the position goes.
        if side.is_some() && side != self.against {
            self.against = side;
            let elapsed_ms = self.quotes.last_ms() - DELAY_MS - candle.open_ms;
            side.into_iter().for_each(|side| self.walk.turn_against(side, elapsed_ms));
        }
    }

    /// The same market as events that need no decoding.
    pub fn into_events(self, id: InstrumentId) -> CandleEvents {
        CandleEvents { candles: self, id }
    }
}

impl MarketSource for Candles {
    fn look(&mut self, held: Held<'_>) {
        self.see(held);
    }

    fn next_frame(&mut self, frame: &mut Vec<u8>) -> Result<Option<TimeNs>, SourceError> {
        frame.clear();
        let Some((event_ms, item)) = self.next(true)? else { return Ok(None) };
        match item {
            Item::Made(made) => made.write(&self.quotes.printer, frame),
            Item::Trade(trade) => self.write_trade(&trade, frame),
            Item::Kline(kline) => self.write_kline(&kline, frame),
        }
        Ok(Some(TimeNs::from_ms(event_ms)))
    }
}

/// A market of candles, as events.
pub struct CandleEvents {
    candles: Candles,
    id: InstrumentId,
}

impl EventSource for CandleEvents {
    fn next_event(&mut self, event: &mut Event, watch: &Watch<'_>) -> Result<bool, SourceError> {
        self.candles.see(watch.held);
        let repeat = !(watch.quiet)(self.id);
        let Some((event_ms, item)) = self.candles.next(repeat)? else { return Ok(false) };
        (event.recv_ns, event.instrument) = (TimeNs::from_ms(event_ms), self.id);
        let quotes = &self.candles.quotes;
        event.body = match item {
            Item::Made(made) => made.event(&quotes.printer, quotes.tick),
            Item::Trade(trade) => EventBody::AggTrade(trade),
            Item::Kline(kline) => EventBody::Bar(self.candles.bar(&kline)),
        };
        Ok(true)
    }
}
