//! Recorded trades in the columns of the venue's public aggTrades files: `agg_trade_id, price,
//! quantity, first_trade_id, last_trade_id, transact_time (ms), is_buyer_maker`.

use std::path::Path;

use super::dialect::{AggTrade, agg_trade};
use super::lines::{Row, Rows};
use super::quotes::{MadeQuotes, Unrecorded};
use super::rng::Rng;
use super::{MarketSource, SourceError};
use crate::event::Instrument;
use crate::num::{Millis, Size, Ticks, TimeNs};

/// First column's name in a file with a header.
pub(super) const HEADER: &str = "agg_trade_id";
pub(super) const COLUMNS: usize = 7;
/// The venue sends an aggregate this long after its trade.
const DELAY_MS_MIN: u32 = 2;
const DELAY_MS_MAX: u32 = 150;

/// A row, checked; its numbers still as they were written.
struct Trade {
    id: i64,
    price: Ticks,
    price_text: String,
    quantity_text: String,
    first_id: i64,
    last_id: i64,
    trade_ms: Millis,
    buyer_maker: bool,
    event_ms: Millis,
    quoted: bool,
}

/// aggTrade frames, one a row and in the rows' order, with made quotes: each trade's own just
/// before it, and one a second while nothing trades. Event times are made: 2 to 150 ms after the
/// trade, drawn from the seed; frames arrive at their event time.
pub struct Trades {
    rows: Rows,
    instrument: Instrument,
    quotes: MadeQuotes,
    delays: Rng,
    next: Option<Trade>,
    last: Option<(i64, Millis, Millis)>,
    ended: bool,
}

impl Trades {
    /// Opens `path`; `seed` decides delays and quote sizes.
    pub fn open(path: &Path, instrument: &Instrument, seed: u64) -> Result<Trades, SourceError> {
        Trades::open_with(path, instrument, Unrecorded::default(), seed)
    }

    /// As [`Trades::open`]; `made` says how far apart quotes are, and the funding rate.
    pub fn open_with(
        path: &Path,
        instrument: &Instrument,
        made: Unrecorded,
        seed: u64,
    ) -> Result<Trades, SourceError> {
        Ok(Trades {
            rows: Rows::open(path, HEADER, COLUMNS)?,
            instrument: *instrument,
            quotes: MadeQuotes::new(instrument, made, seed),
            delays: Rng::new(seed, 2),
            next: None,
            last: None,
            ended: false,
        })
    }

    fn read(&mut self) -> Result<Option<Trade>, SourceError> {
        let delay_ms = DELAY_MS_MIN + self.delays.below(DELAY_MS_MAX - DELAY_MS_MIN + 1);
        let Some(row) = self.rows.next_row()? else { return Ok(None) };
        let mut trade = parse(&row, &self.instrument)?;
        let (last_id, last_trade_ms, last_event_ms) = self.last.unwrap_or((-1, 0, 0));
        if trade.id <= last_id {
            return Err(row.error("agg_trade_id", 0, format!("more than the row before, {last_id}")));
        }
        if trade.trade_ms < last_trade_ms {
            return Err(row.error("transact_time", 5, format!("at least the row before, {last_trade_ms}")));
        }
        // Aggregates stay in order; since trade times do, the delay stays within its bounds.
        trade.event_ms = (trade.trade_ms + Millis::from(delay_ms)).max(last_event_ms);
        self.last = Some((trade.id, trade.trade_ms, trade.event_ms));
        Ok(Some(trade))
    }

    fn write(&mut self, frame: &mut Vec<u8>) -> Result<Option<TimeNs>, SourceError> {
        if self.next.is_none() {
            self.next = self.read()?;
        }
        let Some(mut trade) = self.next.take() else { return Ok(None) };
        let event_ms = trade.event_ms;
        if let Some(due_ms) = self.quotes.due_ms().filter(|due_ms| *due_ms < event_ms) {
            self.next = Some(trade);
            self.quotes.again(due_ms, frame);
            return Ok(Some(TimeNs::from_ms(due_ms)));
        }
        if !trade.quoted {
            trade.quoted = true;
            self.quotes.around(trade.price, trade.buyer_maker, trade.trade_ms, event_ms, frame);
            self.next = Some(trade);
        } else {
            let text = AggTrade {
                event_ms,
                id: trade.id,
                price: &trade.price_text,
                quantity: &trade.quantity_text,
                first_id: trade.first_id,
                last_id: trade.last_id,
                trade_ms: trade.trade_ms,
                buyer_maker: trade.buyer_maker,
            };
            agg_trade(frame, &self.quotes.printer, &text);
        }
        Ok(Some(TimeNs::from_ms(event_ms)))
    }
}

fn parse(row: &Row<'_>, instrument: &Instrument) -> Result<Trade, SourceError> {
    if row.size("quantity", 2, instrument)? == Size::ZERO {
        return Err(row.error("quantity", 2, "more than 0"));
    }
    let (first_id, last_id) = (row.integer("first_trade_id", 3)?, row.integer("last_trade_id", 4)?);
    if last_id < first_id {
        return Err(row.error("last_trade_id", 4, format!("at least first_trade_id, {first_id}")));
    }
    let buyer_maker = match row.text(6) {
        "true" | "True" => true,
        "false" | "False" => false,
        _ => return Err(row.error("is_buyer_maker", 6, "true or false")),
    };
    Ok(Trade {
        id: row.integer("agg_trade_id", 0)?,
        price: row.price("price", 1, instrument)?,
        price_text: row.text(1).to_string(),
        quantity_text: row.text(2).to_string(),
        first_id,
        last_id,
        trade_ms: row.time_ms("transact_time", 5)?,
        buyer_maker,
        event_ms: 0,
        quoted: false,
    })
}

impl MarketSource for Trades {
    fn next_frame(&mut self, frame: &mut Vec<u8>) -> Result<Option<TimeNs>, SourceError> {
        frame.clear();
        if self.ended {
            return Ok(None);
        }
        let next = self.write(frame);
        self.ended = !matches!(next, Ok(Some(_)));
        next
    }
}
