//! The frames that come by the thousand, read by the letter.
//!
//! The venue prints each kind of frame in one layout, which changes once in years, when a key is added. Here
//! those layouts are literals that are compared, with numbers between them: no tape, no keys to look up, no
//! copy. A frame that deviates in one byte, a blank or an order of keys, is not answered but left to the decoder
//! of record, and so are values that would be refused. What is answered is what the decoder of record says:
//! `tests/frames_oracle.rs` compares the two on recorded frames, `tests/fuzz/fast.rs` on mutated ones.
//!
//! That a frame is JSON follows from the layouts: they are, every byte of a frame is compared or is a digit
//! of a number in JSON's grammar, and no key that the decoder of record reads is in one of them twice.

mod cursor;
mod grid;
mod names;
#[cfg(test)]
mod tests;

use crate::event::{Bar, BarSource, Event, EventBody, InstrumentTable, MarkPrice, Quote, Ticker, Trade};
use crate::num::{Dec, TimeNs};
use crate::venue::binance::interval_seconds;
use cursor::Cursor;
use names::{Names, Row};

/// Reads frames in the layouts of the venue.
pub(super) struct Fast {
    names: Names,
}

impl Fast {
    pub(super) fn new(instruments: &InstrumentTable) -> Fast {
        Fast { names: Names::new(instruments) }
    }

    /// The event of a frame that is exactly as the venue prints them; `None` for every other.
    #[inline]
    pub(super) fn decode(&self, recv_ns: TimeNs, frame: &[u8]) -> Option<Event> {
        let mut cursor = Cursor::new(frame);
        if cursor.has(br#"{"stream":""#) {
            let row = self.names.stream(&mut cursor)?;
            combined(Reader { recv_ns, cursor, names: &self.names, row: Some(row) })
        } else {
            raw(Reader { recv_ns, cursor, names: &self.names, row: None })
        }
    }
}

/// By the stream's name, from behind the symbol in it.
#[inline]
fn combined(mut frame: Reader) -> Option<Event> {
    match frame.cursor.rest() {
        [_, b'b', ..] => {
            frame.after(br#"@bookTicker","data":{"e":"bookTicker","u":"#)?;
            book_ticker(frame)
        }
        [_, b'a', ..] => {
            frame.after(br#"@aggTrade","data":{"e":"aggTrade","E":"#)?;
            agg_trade(frame)
        }
        [_, b't', b'r', ..] => {
            frame.after(br#"@trade","data":{"e":"trade","E":"#)?;
            trade(frame)
        }
        [_, b'm', ..] => {
            frame.after(b"@markPrice")?.cursor.has(b"@1s");
            frame.after(br#"","data":{"e":"markPriceUpdate","E":"#)?;
            mark_price(frame)
        }
        [_, b'k', ..] => {
            frame.after(b"@kline_")?.interval()?;
            frame.after(br#","data":{"e":"kline","E":"#)?;
            kline(frame)
        }
        [_, b't', b'i', ..] => {
            frame.after(br#"@ticker","data":{"e":"24hrTicker","E":"#)?;
            ticker(frame)
        }
        _ => None,
    }
}

/// By the event type, from the beginning.
#[inline(never)]
fn raw(mut frame: Reader) -> Option<Event> {
    match frame.cursor.rest().get(6)? {
        b'b' => {
            frame.after(br#"{"e":"bookTicker","u":"#)?;
            book_ticker(frame)
        }
        b'a' => {
            frame.after(br#"{"e":"aggTrade","E":"#)?;
            agg_trade(frame)
        }
        b't' => {
            frame.after(br#"{"e":"trade","E":"#)?;
            trade(frame)
        }
        b'm' => {
            frame.after(br#"{"e":"markPriceUpdate","E":"#)?;
            mark_price(frame)
        }
        b'k' => {
            frame.after(br#"{"e":"kline","E":"#)?;
            kline(frame)
        }
        b'2' => {
            frame.after(br#"{"e":"24hrTicker","E":"#)?;
            ticker(frame)
        }
        _ => None,
    }
}

/// A frame and what is known of it so far.
struct Reader<'a> {
    recv_ns: TimeNs,
    cursor: Cursor<'a>,
    names: &'a Names,
    /// The instrument that the stream's name tells, in the combined form.
    row: Option<&'a Row>,
}

impl<'a> Reader<'a> {
    #[inline(always)]
    fn after<const N: usize>(&mut self, literal: &[u8; N]) -> Option<&mut Reader<'a>> {
        self.cursor.literal(literal)?;
        Some(self)
    }

    /// Behind a comma, and the blank that some frames have there.
    #[inline(always)]
    fn after_comma<const N: usize>(&mut self, blank: bool, literal: &[u8; N]) -> Option<&mut Reader<'a>> {
        self.cursor.literal(b",")?;
        if blank {
            self.cursor.literal(b" ")?;
        }
        self.after(literal)
    }

    /// The instrument a symbol names; in the combined form it has to be the stream's.
    #[inline(always)]
    fn symbol(&mut self) -> Option<&'a Row> {
        match self.row {
            Some(row) => row.skip_symbol(&mut self.cursor).map(|()| row),
            None => self.names.symbol(&mut self.cursor),
        }
    }

    /// The pair, which is the symbol of a contract without an expiry.
    #[inline(always)]
    fn pair_if_any(&mut self, row: &Row) -> Option<()> {
        if self.cursor.has(br#","ps":""#) { row.skip_symbol(&mut self.cursor) } else { Some(()) }
    }

    /// A decimal of either sign that no event keeps.
    #[inline(always)]
    fn skip_decimal(&mut self) -> Option<()> {
        self.cursor.has(b"-");
        self.cursor.number().map(|_| ())
    }

    /// A trade's id that no event keeps; −1 where there was no trade.
    #[inline(always)]
    fn skip_id(&mut self) -> Option<()> {
        if self.cursor.has(b"-1") { Some(()) } else { self.cursor.integer().map(|_| ()) }
    }

    /// Seconds of a bar's interval, and the quotation mark behind it.
    fn interval(&mut self) -> Option<u32> {
        let text = self.cursor.rest();
        let length = text.iter().take(4).position(|byte| *byte == b'"')?;
        self.cursor.advance(length + 1)?;
        interval_seconds(std::str::from_utf8(text.get(..length)?).ok()?)
    }

    /// The end of the event and of its envelope, behind which nothing comes.
    #[inline(always)]
    fn end(&mut self) -> Option<()> {
        self.cursor.has(br#","st":1"#);
        let ended = match self.row {
            Some(_) => self.cursor.rest() == b"}}",
            None => self.cursor.rest() == b"}",
        };
        ended.then_some(())
    }

    #[inline(always)]
    fn event(&self, row: &Row, body: EventBody) -> Option<Event> {
        Some(Event { recv_ns: self.recv_ns, instrument: row.id, body })
    }
}

#[inline]
fn agg_trade(mut frame: Reader) -> Option<Event> {
    let event_ms = frame.cursor.millis()?;
    let id = frame.after(br#","a":"#)?.cursor.integer()?;
    let row = frame.after(br#","s":""#)?.symbol()?;
    let price = row.price(frame.after(br#","p":""#)?.cursor.number()?)?;
    let size = row.size(frame.after(br#","q":""#)?.cursor.number()?)?;
    if frame.cursor.has(br#","nq":""#) {
        frame.skip_decimal()?;
    }
    let first_id = frame.after(br#","f":"#)?.cursor.integer()?;
    let last_id = frame.after(br#","l":"#)?.cursor.integer()?;
    let trade_ms = frame.after(br#","T":"#)?.cursor.millis()?;
    let buyer_maker = frame.after(br#","m":"#)?.cursor.flag()?;
    frame.end()?;
    if first_id > last_id {
        return None;
    }
    let trade = Trade {
        price,
        size,
        id,
        first_id,
        last_id,
        trade_ms,
        event_ms,
        buyer_maker,
        market: true,
        pad: [0; 6],
    };
    frame.event(row, EventBody::AggTrade(trade))
}

/// Trades in the book; those outside are rare.
#[inline]
fn trade(mut frame: Reader) -> Option<Event> {
    let event_ms = frame.cursor.millis()?;
    let trade_ms = frame.after(br#","T":"#)?.cursor.millis()?;
    let row = frame.after(br#","s":""#)?.symbol()?;
    let id = frame.after(br#","t":"#)?.cursor.integer()?;
    let price = row.price(frame.after(br#","p":""#)?.cursor.number()?)?;
    let size = row.size(frame.after(br#","q":""#)?.cursor.number()?)?;
    let buyer_maker = frame.after(br#","X":"MARKET","m":"#)?.cursor.flag()?;
    frame.end()?;
    let trade = Trade {
        price,
        size,
        id,
        first_id: id,
        last_id: id,
        trade_ms,
        event_ms,
        buyer_maker,
        market: true,
        pad: [0; 6],
    };
    frame.event(row, EventBody::Trade(trade))
}

#[inline]
fn book_ticker(mut frame: Reader) -> Option<Event> {
    let update_id = frame.cursor.integer()?;
    let row = frame.after(br#","s":""#)?.symbol()?;
    frame.pair_if_any(row)?;
    let bid = row.price(frame.after(br#","b":""#)?.cursor.number()?)?;
    let bid_size = row.size(frame.after(br#","B":""#)?.cursor.number()?)?;
    let ask = row.price(frame.after(br#","a":""#)?.cursor.number()?)?;
    let ask_size = row.size(frame.after(br#","A":""#)?.cursor.number()?)?;
    let transaction_ms = frame.after(br#","T":"#)?.cursor.millis()?;
    let event_ms = frame.after(br#","E":"#)?.cursor.millis()?;
    frame.end()?;
    let quote = Quote { bid, bid_size, ask, ask_size, update_id, transaction_ms, event_ms };
    frame.event(row, EventBody::Quote(quote))
}

#[inline]
fn mark_price(mut frame: Reader) -> Option<Event> {
    let event_ms = frame.cursor.millis()?;
    let row = frame.after(br#","s":""#)?.symbol()?;
    let mark = frame.after(br#","p":""#)?.cursor.number()?.decimal();
    if frame.cursor.has(br#","ap":""#) {
        frame.skip_decimal()?;
    }
    let mut amount_if_any = |key: &[u8; 6]| {
        if frame.cursor.has(key) { frame.cursor.number().map(|n| n.decimal()) } else { Some(Dec::ZERO) }
    };
    let settle = amount_if_any(br#","P":""#)?;
    let index = amount_if_any(br#","i":""#)?;
    let negative = frame.after(br#","r":""#)?.cursor.has(b"-");
    let rate = frame.cursor.number()?.decimal();
    let next_funding_ms = frame.after(br#","T":"#)?.cursor.millis()?;
    frame.end()?;
    if mark == Dec::ZERO {
        return None;
    }
    let funding_rate = if negative { -rate } else { rate };
    let mark = MarkPrice { mark, index, settle, funding_rate, next_funding_ms, event_ms };
    frame.event(row, EventBody::MarkPrice(mark))
}

/// Frames of today have a blank behind each comma of the bar, older ones none.
#[inline(never)]
fn kline(mut frame: Reader) -> Option<Event> {
    let event_ms = frame.cursor.millis()?;
    let row = frame.after(br#","s":""#)?.symbol()?;
    let open_ms = frame.after(br#","k":{"t":"#)?.cursor.millis()?;
    let blank = frame.cursor.rest().starts_with(b", ");
    frame.after_comma(blank, br#""T":"#)?.cursor.millis()?;
    row.skip_symbol(&mut frame.after_comma(blank, br#""s":""#)?.cursor)?;
    let interval_s = frame.after_comma(blank, br#""i":""#)?.interval()?;
    frame.after_comma(blank, br#""f":"#)?.skip_id()?;
    frame.after_comma(blank, br#""L":"#)?.skip_id()?;
    let open = row.price(frame.after_comma(blank, br#""o":""#)?.cursor.number()?)?;
    let close = row.price(frame.after_comma(blank, br#""c":""#)?.cursor.number()?)?;
    let high = row.price(frame.after_comma(blank, br#""h":""#)?.cursor.number()?)?;
    let low = row.price(frame.after_comma(blank, br#""l":""#)?.cursor.number()?)?;
    let volume = row.size(frame.after_comma(blank, br#""v":""#)?.cursor.number()?)?;
    let trades = frame.after_comma(blank, br#""n":"#)?.cursor.integer()?;
    let closed = frame.after_comma(blank, br#""x":"#)?.cursor.flag()?;
    let quote_volume = frame.after_comma(blank, br#""q":""#)?.cursor.number()?.decimal();
    let taker_buy_volume = row.size(frame.after_comma(blank, br#""V":""#)?.cursor.number()?)?;
    frame.after_comma(blank, br#""Q":""#)?.skip_decimal()?;
    frame.after_comma(blank, br#""B":""#)?.skip_decimal()?;
    frame.after(b"}")?.end()?;
    if high < open.max(close) || low > open.min(close) {
        return None;
    }
    let bar = Bar {
        open_ms,
        open,
        high,
        low,
        close,
        volume,
        quote_volume,
        taker_buy_volume,
        event_ms,
        trades: u32::try_from(trades).ok()?,
        interval_s,
        closed,
        source: BarSource::Kline,
        pad: [0; 6],
    };
    frame.event(row, EventBody::Bar(bar))
}

#[inline(never)]
fn ticker(mut frame: Reader) -> Option<Event> {
    let event_ms = frame.cursor.millis()?;
    let row = frame.after(br#","s":""#)?.symbol()?;
    frame.pair_if_any(row)?;
    frame.after(br#","p":""#)?.skip_decimal()?;
    frame.after(br#","P":""#)?.skip_decimal()?;
    frame.after(br#","w":""#)?.skip_decimal()?;
    let last = row.price(frame.after(br#","c":""#)?.cursor.number()?)?;
    frame.after(br#","Q":""#)?.skip_decimal()?;
    let open = row.price(frame.after(br#","o":""#)?.cursor.number()?)?;
    let high = row.price(frame.after(br#","h":""#)?.cursor.number()?)?;
    let low = row.price(frame.after(br#","l":""#)?.cursor.number()?)?;
    let volume = frame.after(br#","v":""#)?.cursor.number()?.decimal();
    let quote_volume = frame.after(br#","q":""#)?.cursor.number()?.decimal();
    frame.after(br#","O":"#)?.cursor.millis()?;
    frame.after(br#","C":"#)?.cursor.millis()?;
    frame.after(br#","F":"#)?.skip_id()?;
    frame.after(br#","L":"#)?.skip_id()?;
    let trades = frame.after(br#","n":"#)?.cursor.integer()?;
    frame.end()?;
    let ticker = Ticker { last, open, high, low, volume, quote_volume, trades, event_ms };
    frame.event(row, EventBody::Ticker(ticker))
}
