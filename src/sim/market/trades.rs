//! Recorded trades in the columns of the venue's public aggTrades files: `agg_trade_id, price,
//! quantity, first_trade_id, last_trade_id, transact_time (ms), is_buyer_maker`.

use std::path::Path;

use super::ahead::Ahead;
use super::dialect::{AggTrade, agg_trade};
use super::lines::{Row, Rows};
use super::quotes::{Made, MadeQuotes, Unrecorded};
use super::rng::Rng;
use super::{EventSource, MarketSource, Reading, SourceError, Watch};
use crate::event::{Event, EventBody, Instrument, Trade};
use crate::num::{InstrumentId, Millis, Scale, Size, Ticks, TimeNs};

/// First column's name in a file with a header.
pub(super) const HEADER: &str = "agg_trade_id";
pub(super) const COLUMNS: usize = 7;
/// The venue sends an aggregate this long after its trade.
const DELAY_MS_MIN: u32 = 2;
const DELAY_MS_MAX: u32 = 150;

/// The rows of a file, each checked against the one before it.
struct Checked {
    rows: Rows,
    instrument: Instrument,
    scales: Scales,
    last: Option<(i64, Millis)>,
}

/// Of prices and sizes; what they do not read, the instrument does.
#[derive(Clone, Copy)]
struct Scales {
    price: Option<Scale>,
    size: Option<Scale>,
}

impl Checked {
    /// A trade without its event time.
    fn next(&mut self) -> Result<Option<Trade>, SourceError> {
        let Some(row) = self.rows.next_row()? else { return Ok(None) };
        let trade = parse(&row, &self.instrument, self.scales)?;
        let (last_id, last_trade_ms) = self.last.unwrap_or((-1, 0));
        if trade.id <= last_id {
            return Err(row.error("agg_trade_id", 0, format!("more than the row before, {last_id}")));
        }
        if trade.trade_ms < last_trade_ms {
            return Err(row.error("transact_time", 5, format!("at least the row before, {last_trade_ms}")));
        }
        self.last = Some((trade.id, trade.trade_ms));
        Ok(Some(trade))
    }
}

/// What comes next in a market of trades.
enum Item {
    Made(Made),
    Trade(Trade),
}

/// The market that is made of the rows: each trade's own quote just before it, one a second while nothing
/// trades, and funding. Event times are made: 2 to 150 ms after the trade, drawn from the seed; everything
/// arrives at its event time.
struct Making {
    quotes: MadeQuotes,
    delays: Rng,
    /// The trade that is next, and whether its quote is out.
    next: Option<(Trade, bool)>,
    last_event_ms: Millis,
    ended: bool,
}

impl Making {
    fn new(instrument: &Instrument, made: Unrecorded, seed: u64) -> Making {
        Making {
            quotes: MadeQuotes::new(instrument, made, seed),
            delays: Rng::new(seed, 2),
            next: None,
            last_event_ms: 0,
            ended: false,
        }
    }

    /// `repeat`: whether quotes are repeated while nothing trades.
    #[inline]
    fn next(
        &mut self,
        repeat: bool,
        read: impl FnOnce() -> Result<Option<Trade>, SourceError>,
    ) -> Result<Option<(Millis, Item)>, SourceError> {
        if self.ended {
            return Ok(None);
        }
        let (trade, quoted) = match self.next.take() {
            Some(next) => next,
            None => {
                // An error ends the market, too.
                self.ended = true;
                let Some(mut trade) = read()? else { return Ok(None) };
                self.ended = false;
                let delay_ms = DELAY_MS_MIN + self.delays.below(DELAY_MS_MAX - DELAY_MS_MIN + 1);
                // Aggregates stay in order; since trade times do, the delay stays within its bounds.
                trade.event_ms = (trade.trade_ms + Millis::from(delay_ms)).max(self.last_event_ms);
                self.last_event_ms = trade.event_ms;
                (trade, false)
            }
        };
        if quoted {
            return Ok(Some((trade.event_ms, Item::Trade(trade))));
        }
        let due_ms = self.quotes.due_ms().filter(|due_ms| repeat && *due_ms < trade.event_ms);
        let made = match due_ms {
            Some(due_ms) => self.quotes.again(due_ms),
            None => {
                let Trade { price, buyer_maker, trade_ms, event_ms, .. } = trade;
                self.quotes.around(price, buyer_maker, trade_ms, event_ms)
            }
        };
        self.next = Some((trade, due_ms.is_none()));
        Ok(Some((made.event_ms(), Item::Made(made))))
    }
}

/// The market of a trades file, as frames: one aggTrade a row with the row's own numbers, and quotes.
pub struct Trades {
    checked: Checked,
    making: Making,
}

impl Trades {
    /// Opens `path`; `seed` decides delays and quote sizes.
    pub fn open(path: &Path, instrument: &Instrument, seed: u64) -> Result<Trades, SourceError> {
        Trades::open_with(path, instrument, &Reading::of(seed))
    }

    /// As [`Trades::open`], as `reading` says.
    pub fn open_with(path: &Path, instrument: &Instrument, reading: &Reading) -> Result<Trades, SourceError> {
        let rows = Rows::open(path, HEADER, COLUMNS, &reading.read)?;
        let scales = Scales { price: Scale::of(instrument.tick), size: Scale::of(instrument.size_step) };
        let checked = Checked { rows, instrument: *instrument, scales, last: None };
        Ok(Trades { checked, making: Making::new(instrument, reading.made, reading.seed) })
    }

    /// The same market as events that need no decoding; another thread reads the file.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn into_events(self, id: InstrumentId) -> std::io::Result<TradeEvents> {
        let Trades { mut checked, making } = self;
        Ok(TradeEvents { ahead: Ahead::new(move || checked.next())?, making, id })
    }
}

impl MarketSource for Trades {
    fn next_frame(&mut self, frame: &mut Vec<u8>) -> Result<Option<TimeNs>, SourceError> {
        frame.clear();
        let Some((event_ms, item)) = self.making.next(true, || self.checked.next())? else { return Ok(None) };
        let printer = &self.making.quotes.printer;
        match item {
            Item::Made(made) => made.write(printer, frame),
            Item::Trade(trade) => {
                // The row is still the one that was read last.
                let text = |column| self.checked.rows.column(column);
                let text = AggTrade {
                    event_ms,
                    id: trade.id,
                    price: &text(1),
                    quantity: &text(2),
                    first_id: trade.first_id,
                    last_id: trade.last_id,
                    trade_ms: trade.trade_ms,
                    buyer_maker: trade.buyer_maker,
                };
                agg_trade(frame, printer, &text);
            }
        }
        Ok(Some(TimeNs::from_ms(event_ms)))
    }
}

/// The market of a trades file, as events.
pub struct TradeEvents {
    ahead: Ahead<Trade>,
    making: Making,
    id: InstrumentId,
}

impl EventSource for TradeEvents {
    fn next_event(&mut self, event: &mut Event, watch: &Watch<'_>) -> Result<bool, SourceError> {
        let repeat = !(watch.quiet)(self.id);
        let Some((event_ms, item)) = self.making.next(repeat, || self.ahead.next())? else {
            return Ok(false);
        };
        (event.recv_ns, event.instrument) = (TimeNs::from_ms(event_ms), self.id);
        let quotes = &self.making.quotes;
        event.body = match item {
            Item::Made(made) => made.event(&quotes.printer, quotes.tick),
            Item::Trade(trade) => EventBody::AggTrade(trade),
        };
        Ok(true)
    }
}

fn parse(row: &Row<'_>, instrument: &Instrument, scales: Scales) -> Result<Trade, SourceError> {
    let scaled = |scale: Option<Scale>, column| scale?.parse(row.bytes(column));
    let price = match scaled(scales.price, 1).map(Ticks) {
        Some(price) if price.is_price() => price,
        _ => row.price("price", 1, instrument)?,
    };
    let size = match scaled(scales.size, 2).map(Size) {
        Some(size) => size,
        None => row.size("quantity", 2, instrument)?,
    };
    if size == Size::ZERO {
        return Err(row.error("quantity", 2, "more than 0"));
    }
    let (first_id, last_id) = (row.integer("first_trade_id", 3)?, row.integer("last_trade_id", 4)?);
    if last_id < first_id {
        return Err(row.error("last_trade_id", 4, format!("at least first_trade_id, {first_id}")));
    }
    let buyer_maker = match row.bytes(6) {
        b"true" | b"True" => true,
        b"false" | b"False" => false,
        _ => return Err(row.error("is_buyer_maker", 6, "true or false")),
    };
    Ok(Trade {
        price,
        size,
        id: row.integer("agg_trade_id", 0)?,
        first_id,
        last_id,
        trade_ms: row.time_ms("transact_time", 5)?,
        event_ms: 0,
        buyer_maker,
        market: true,
        pad: [0; 6],
    })
}
