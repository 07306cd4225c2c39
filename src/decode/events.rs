//! The fields of each event type, and the event made of them.
//!
//! Each type has its keys (`fields!`) and below them the reading of each key. A key that is declared
//! and read without `_if_any` is needed: a frame without it is refused.

use simd_json::tape::Object;

use super::fault::Fault;
use super::fields::{Slot, fields};
use super::instruments::{Instruments, Row};
use crate::event::{Bar, BarSource, Depth, EventBody, ForceOrder, MarkPrice, Quote, Ticker, Trade};
use crate::num::{InstrumentId, Side, Size, Ticks};
use crate::venue::binance::{Channel, interval_seconds};

type Known = Result<(InstrumentId, EventBody), Fault>;

/// Reads the object of an event.
pub(super) fn read(channel: Channel, object: &Object, instruments: &Instruments) -> Known {
    match channel {
        Channel::AggTrade => agg_trade(object, instruments),
        Channel::Trade => trade(object, instruments),
        Channel::BookTicker => book_ticker(object, instruments),
        Channel::Depth => depth_update(object, instruments),
        Channel::Kline => kline(object, instruments),
        Channel::MarkPrice => mark_price(object, instruments),
        Channel::Ticker => ticker(object, instruments),
        Channel::ForceOrder => force_order(object, instruments),
    }
}

fields! { AggTradeFields {
    event: "E",
    symbol: "s",
    id: "a",
    price: "p",
    size: "q",
    first: "f",
    last: "l",
    time: "T",
    buyer_maker: "m",
} }

fn agg_trade(object: &Object, instruments: &Instruments) -> Known {
    let f = AggTradeFields::read(object)?;
    let row = instruments.find(f.symbol)?;
    let trade = Trade {
        price: f.price.price(row)?,
        size: f.size.size(row)?,
        id: f.id.integer()?,
        first_id: f.first.integer()?,
        last_id: f.last.integer()?,
        trade_ms: f.time.millis()?,
        event_ms: f.event.millis()?,
        buyer_maker: f.buyer_maker.flag()?,
        market: true,
        pad: [0; 6],
    };
    if trade.first_id > trade.last_id {
        return Err(f.last.bad("at least the first id"));
    }
    Ok((row.id, EventBody::AggTrade(trade)))
}

fields! { TradeFields {
    event: "E",
    time: "T",
    symbol: "s",
    id: "t",
    price: "p",
    size: "q",
    kind: "X",
    buyer_maker: "m",
} }

fn trade(object: &Object, instruments: &Instruments) -> Known {
    let f = TradeFields::read(object)?;
    let row = instruments.find(f.symbol)?;
    let trade_id = f.id.integer()?;
    let market = !f.kind.is_present() || f.kind.text()? == "MARKET";
    let trade = Trade {
        // Placeholders among the trades (X is NA) have price and size zero.
        price: if market { f.price.price(row)? } else { f.price.price_or_zero(row)? },
        size: f.size.size(row)?,
        id: trade_id,
        first_id: trade_id,
        last_id: trade_id,
        trade_ms: f.time.millis()?,
        event_ms: f.event.millis()?,
        buyer_maker: f.buyer_maker.flag()?,
        market,
        pad: [0; 6],
    };
    Ok((row.id, EventBody::Trade(trade)))
}

fields! { BookTickerFields {
    update_id: "u",
    symbol: "s",
    bid: "b",
    bid_size: "B",
    ask: "a",
    ask_size: "A",
    time: "T",
    event: "E",
} }

fn book_ticker(object: &Object, instruments: &Instruments) -> Known {
    let f = BookTickerFields::read(object)?;
    let row = instruments.find(f.symbol)?;
    let quote = Quote {
        bid: f.bid.price(row)?,
        bid_size: f.bid_size.size(row)?,
        ask: f.ask.price(row)?,
        ask_size: f.ask_size.size(row)?,
        update_id: f.update_id.integer()?,
        transaction_ms: f.time.millis_if_any()?,
        event_ms: f.event.millis_if_any()?,
    };
    Ok((row.id, EventBody::Quote(quote)))
}

fields! { DepthFields {
    event: "E",
    time: "T",
    symbol: "s",
    first: "U",
    last: "u",
    previous: "pu",
    bids: "b",
    asks: "a",
} }

fn depth_update(object: &Object, instruments: &Instruments) -> Known {
    let f = DepthFields::read(object)?;
    let row = instruments.find(f.symbol)?;
    let bids = Levels::read(f.bids, row, |price, best| price > best)?;
    let asks = Levels::read(f.asks, row, |price, best| price < best)?;
    let depth = Depth {
        bid: bids.best,
        bid_size: bids.best_size,
        ask: asks.best,
        ask_size: asks.best_size,
        first_id: f.first.integer()?,
        last_id: f.last.integer()?,
        previous_id: f.previous.integer()?,
        transaction_ms: f.time.millis_if_any()?,
        event_ms: f.event.millis()?,
        bid_levels: bids.count,
        ask_levels: asks.count,
    };
    if depth.first_id > depth.last_id {
        return Err(f.last.bad("at least the first id"));
    }
    Ok((row.id, EventBody::Depth(depth)))
}

/// One side of a depth frame.
#[derive(Default)]
struct Levels {
    /// Zero, with its size, while no level has size.
    best: Ticks,
    best_size: Size,
    count: u32,
}

impl Levels {
    /// Checks every level `[price, size, …]` and keeps the best that has size.
    fn read(side: Slot, row: &Row, better: fn(Ticks, Ticks) -> bool) -> Result<Levels, Fault> {
        let mut levels = Levels::default();
        for level in side.array()?.iter() {
            let level = side.holding(level);
            let mut numbers = level.array()?.iter();
            let (Some(price), Some(size)) = (numbers.next(), numbers.next()) else {
                return Err(level.bad("a level of price and size"));
            };
            let price = side.holding(price).price(row)?;
            let size = side.holding(size).size(row)?;
            // A frame has fewer levels than bytes, and those are far fewer than 2^32.
            levels.count = levels.count.saturating_add(1);
            if size > Size::ZERO && (levels.best == Ticks::ZERO || better(price, levels.best)) {
                (levels.best, levels.best_size) = (price, size);
            }
        }
        Ok(levels)
    }
}

fields! { KlineFields {
    event: "E",
    symbol: "s",
    bar: "k",
} }

fields! { BarFields {
    start: "t",
    interval: "i",
    open: "o",
    high: "h",
    low: "l",
    close: "c",
    volume: "v",
    quote_volume: "q",
    taker_buy: "V",
    trades: "n",
    closed: "x",
} }

fn kline(object: &Object, instruments: &Instruments) -> Known {
    let outer = KlineFields::read(object)?;
    let row = instruments.find(outer.symbol)?;
    let f = BarFields::read(&outer.bar.object()?)?;
    let interval = interval_seconds(f.interval.text()?);
    let bar = Bar {
        open_ms: f.start.millis()?,
        open: f.open.price(row)?,
        high: f.high.price(row)?,
        low: f.low.price(row)?,
        close: f.close.price(row)?,
        volume: f.volume.size(row)?,
        quote_volume: f.quote_volume.amount()?,
        taker_buy_volume: f.taker_buy.size(row)?,
        event_ms: outer.event.millis()?,
        trades: u32::try_from(f.trades.integer()?).map_err(|_| f.trades.bad("a count below 2^32"))?,
        interval_s: interval.ok_or_else(|| f.interval.bad("an interval of fixed length, 1m to 1w"))?,
        closed: f.closed.flag()?,
        source: BarSource::Kline,
        pad: [0; 6],
    };
    if bar.high < bar.open.max(bar.close) {
        return Err(f.high.bad("at least open and close"));
    }
    if bar.low > bar.open.min(bar.close) {
        return Err(f.low.bad("at most open and close"));
    }
    Ok((row.id, EventBody::Bar(bar)))
}

fields! { MarkPriceFields {
    event: "E",
    symbol: "s",
    mark: "p",
    settle: "P",
    index: "i",
    funding_rate: "r",
    next_funding: "T",
} }

fn mark_price(object: &Object, instruments: &Instruments) -> Known {
    let f = MarkPriceFields::read(object)?;
    let row = instruments.find(f.symbol)?;
    let mark = MarkPrice {
        mark: f.mark.amount()?,
        index: f.index.amount_if_any()?,
        settle: f.settle.amount_if_any()?,
        funding_rate: f.funding_rate.decimal()?,
        next_funding_ms: f.next_funding.millis()?,
        event_ms: f.event.millis()?,
    };
    if mark.mark.0 == 0 {
        return Err(f.mark.bad("a price above 0"));
    }
    Ok((row.id, EventBody::MarkPrice(mark)))
}

fields! { TickerFields {
    event: "E",
    symbol: "s",
    last: "c",
    open: "o",
    high: "h",
    low: "l",
    volume: "v",
    quote_volume: "q",
    trades: "n",
} }

fn ticker(object: &Object, instruments: &Instruments) -> Known {
    let f = TickerFields::read(object)?;
    let row = instruments.find(f.symbol)?;
    let ticker = Ticker {
        last: f.last.price(row)?,
        open: f.open.price(row)?,
        high: f.high.price(row)?,
        low: f.low.price(row)?,
        volume: f.volume.amount()?,
        quote_volume: f.quote_volume.amount()?,
        trades: f.trades.integer()?,
        event_ms: f.event.millis()?,
    };
    Ok((row.id, EventBody::Ticker(ticker)))
}

fields! { ForceOrderFields {
    event: "E",
    order: "o",
} }

fields! { LiquidationFields {
    symbol: "s",
    side: "S",
    size: "q",
    price: "p",
    average: "ap",
    last: "l",
    filled: "z",
    time: "T",
} }

fn force_order(object: &Object, instruments: &Instruments) -> Known {
    let outer = ForceOrderFields::read(object)?;
    let f = LiquidationFields::read(&outer.order.object()?)?;
    let row = instruments.find(f.symbol)?;
    let order = ForceOrder {
        average_price: f.average.amount()?,
        price: f.price.price(row)?,
        size: f.size.size(row)?,
        last_size: f.last.size(row)?,
        filled_size: f.filled.size(row)?,
        trade_ms: f.time.millis()?,
        event_ms: outer.event.millis()?,
        side: side(f.side)?,
        pad: [0; 15],
    };
    Ok((row.id, EventBody::ForceOrder(order)))
}

fn side(slot: Slot) -> Result<Side, Fault> {
    match slot.text()? {
        "BUY" => Ok(Side::Buy),
        "SELL" => Ok(Side::Sell),
        _ => Err(slot.bad("BUY or SELL")),
    }
}
