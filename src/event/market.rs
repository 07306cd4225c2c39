//! Market data as events. What each keeps of the venue's frame, and what is dropped, stands in
//! `docs/FRAMES.md`.

use bytemuck::{CheckedBitPattern, NoUninit};

use crate::num::{Dec, Millis, Side, Size, Ticks};

/// Executed trades: one (`trade`) or all of one taker order at one price (`aggTrade`).
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Trade {
    pub price: Ticks,
    pub size: Size,
    /// Aggregate id, or the trade's own.
    pub id: i64,
    /// First and last trade of the aggregate; both `id` for a single trade.
    pub first_id: i64,
    pub last_id: i64,
    pub trade_ms: Millis,
    pub event_ms: Millis,
    /// The buyer rested in the book: the taker sold.
    pub buyer_maker: bool,
    /// False for trades outside the book (insurance fund, ADL): they move neither price nor bars.
    pub market: bool,
    pub pad: [u8; 6],
}

/// Best bid and ask.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Quote {
    pub bid: Ticks,
    pub bid_size: Size,
    pub ask: Ticks,
    pub ask_size: Size,
    pub update_id: i64,
    /// Time of the matching engine; 0 where the frame has none.
    pub transaction_ms: Millis,
    /// Time the venue sent it; 0 where the frame has none.
    pub event_ms: Millis,
}

/// An order book change: the best levels in it that still have size, and its place in the sequence.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Depth {
    /// Highest bid of this frame with size; 0 when it has none.
    pub bid: Ticks,
    pub bid_size: Size,
    /// Lowest ask of this frame with size; 0 when it has none.
    pub ask: Ticks,
    pub ask_size: Size,
    pub first_id: i64,
    pub last_id: i64,
    /// `last_id` of the previous frame of this stream.
    pub previous_id: i64,
    pub transaction_ms: Millis,
    pub event_ms: Millis,
    /// Levels in the frame, removed ones included.
    pub bid_levels: u32,
    pub ask_levels: u32,
}

/// Where a bar came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, NoUninit, CheckedBitPattern)]
#[repr(u8)]
pub enum BarSource {
    /// The venue's kline stream.
    Kline = 1,
    /// Built by us from trades.
    Trades = 2,
    /// Warm-up history.
    History = 3,
}

/// A bar.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Bar {
    pub open_ms: Millis,
    pub open: Ticks,
    pub high: Ticks,
    pub low: Ticks,
    pub close: Ticks,
    pub volume: Size,
    /// Sum of price × quantity.
    pub quote_volume: Dec,
    /// Volume taken by buyers.
    pub taker_buy_volume: Size,
    /// Time the venue sent it; 0 for bars not from a stream.
    pub event_ms: Millis,
    pub trades: u32,
    pub interval_s: u32,
    pub closed: bool,
    pub source: BarSource,
    pub pad: [u8; 6],
}

/// Mark price, index price and funding.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct MarkPrice {
    pub mark: Dec,
    pub index: Dec,
    /// Estimated settle price.
    pub settle: Dec,
    /// Fraction of the notional, per funding interval.
    pub funding_rate: Dec,
    pub next_funding_ms: Millis,
    pub event_ms: Millis,
}

/// Rolling 24-hour statistics.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Ticker {
    pub last: Ticks,
    pub open: Ticks,
    pub high: Ticks,
    pub low: Ticks,
    /// Base volume.
    pub volume: Dec,
    /// Quote volume: `volume_24h` of the rules.
    pub quote_volume: Dec,
    pub trades: i64,
    pub event_ms: Millis,
}

/// A liquidation order at the venue: information only.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct ForceOrder {
    pub average_price: Dec,
    pub price: Ticks,
    pub size: Size,
    /// Size of the last fill.
    pub last_size: Size,
    /// Size filled so far.
    pub filled_size: Size,
    pub trade_ms: Millis,
    pub event_ms: Millis,
    pub side: Side,
    pub pad: [u8; 15],
}

/// Everything exits and equity look at, of one instant: a scenario states it in one line, and what it
/// causes is one event's.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Prices {
    pub price: Ticks,
    pub bid: Ticks,
    pub ask: Ticks,
    pub mark: Ticks,
}
