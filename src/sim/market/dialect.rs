//! The venue's market frames: combined form, field order and field set of 2026.

use std::fmt::{self, Display};

use crate::event::{Instrument, SizeUnit};
use crate::num::{Dec, MAX_PLACES, Millis, Size, Ticks};

/// Formats into a frame.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{
        // Writing to a Vec cannot fail.
        let _ = std::io::Write::write_fmt($out, format_args!($($arg)*));
    }};
}
pub(super) use put;

/// `mantissa × 10^-places`, printed with all its places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decimal {
    pub mantissa: i128,
    pub places: u32,
}

impl Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let magnitude = self.mantissa.unsigned_abs();
        let (width, unit) = (self.places as usize, 10u128.pow(self.places.min(38)));
        match (self.places, u64::try_from(magnitude), u64::try_from(unit)) {
            (0, ..) => write!(f, "{sign}{magnitude}"),
            // 128-bit divisions are slow, and nearly every number fits 64 bits.
            (_, Ok(small), Ok(unit)) => write!(f, "{sign}{}.{:0width$}", small / unit, small % unit),
            _ => write!(f, "{sign}{}.{:0width$}", magnitude / unit, magnitude % unit),
        }
    }
}

/// How an instrument's name, prices and sizes are printed.
#[derive(Clone, Debug)]
pub(super) struct Printer {
    pub symbol: String,
    /// As stream names have it.
    pub lower: String,
    tick: i128,
    price_places: u32,
    /// Order step, or one contract.
    step: i128,
    size_places: u32,
    /// Market-data units in one of them.
    size_units: i64,
    /// Quote currency in one printed size unit at a price of one tick; 0 for contracts.
    lot_value: f64,
}

impl Printer {
    pub fn new(instrument: &Instrument) -> Printer {
        let symbol = instrument.symbol.to_string();
        let price_places = u32::from(instrument.price_places).min(MAX_PLACES);
        let (step, size_places, size_units, lot_value) = match instrument.size_unit {
            SizeUnit::Base => {
                let places = u32::from(instrument.quantity_places).min(MAX_PLACES);
                let value = instrument.tick.to_f64_lossy() * instrument.step.to_f64_lossy();
                // At most a thousand: a market-data unit has at most three places more than a step.
                let units = i64::try_from(instrument.step.0 / instrument.size_step.0.max(1)).unwrap_or(1);
                (mantissa(instrument.step, places), places, units, value)
            }
            SizeUnit::QuoteContracts => (1, 0, 1, 0.0),
        };
        let tick = mantissa(instrument.tick, price_places);
        let lower = symbol.to_ascii_lowercase();
        Printer { symbol, lower, tick, price_places, step, size_places, size_units, lot_value }
    }

    pub fn price(&self, price: Ticks) -> Decimal {
        Decimal { mantissa: price.wide() * self.tick, places: self.price_places }
    }

    /// A size in printed units: order steps, or contracts.
    pub fn size(&self, lots: i64) -> Decimal {
        Decimal { mantissa: i128::from(lots) * self.step, places: self.size_places }
    }

    /// A size of printed units as events have it.
    pub fn market_size(&self, lots: i64) -> Size {
        Size(lots.saturating_mul(self.size_units))
    }

    /// A sum of ticks × printed size units, in quote currency.
    pub fn money(&self, tick_lots: i128) -> Decimal {
        let places = self.price_places + self.size_places;
        Decimal { mantissa: tick_lots * self.tick * self.step, places }
    }

    /// A price between ticks, with two places more than the venue's prices and at least eight.
    pub fn fine_price(&self, ticks: f64) -> Decimal {
        let places = (self.price_places + 2).max(8);
        let unit = 10i64.pow((places - self.price_places).min(MAX_PLACES)) as f64;
        Decimal { mantissa: (ticks * self.tick as f64 * unit) as i128, places }
    }

    /// Printed size units worth `value` of quote currency at a price; at least one.
    pub fn lots_worth(&self, value: f64, price: Ticks) -> i64 {
        let lots = if self.lot_value > 0.0 { value / (self.lot_value * price.0 as f64) } else { value };
        // Saturating conversion; the bound keeps sums of sizes far from overflow.
        (lots as i64).clamp(1, 1 << 50)
    }
}

/// `value` in units of `10^-places`.
fn mantissa(value: Dec, places: u32) -> i128 {
    value.0 / 10i128.pow(MAX_PLACES - places)
}

pub(super) struct AggTrade<'a> {
    pub event_ms: Millis,
    pub id: i64,
    pub price: &'a dyn Display,
    pub quantity: &'a dyn Display,
    pub first_id: i64,
    pub last_id: i64,
    pub trade_ms: Millis,
    pub buyer_maker: bool,
}

pub(super) fn agg_trade(out: &mut Vec<u8>, printer: &Printer, trade: &AggTrade<'_>) {
    let AggTrade { event_ms, id, price, quantity, first_id, last_id, trade_ms, buyer_maker } = trade;
    let Printer { symbol, lower, .. } = printer;
    put!(
        out,
        r#"{{"stream":"{lower}@aggTrade","data":{{"e":"aggTrade","E":{event_ms},"a":{id},"s":"{symbol}","p":"{price}","q":"{quantity}","nq":"{quantity}","f":{first_id},"l":{last_id},"T":{trade_ms},"m":{buyer_maker},"st":1}}}}"#
    );
}

/// Best bid and ask with their sizes, in printed units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Touch {
    pub bid: Ticks,
    pub bid_lots: i64,
    pub ask: Ticks,
    pub ask_lots: i64,
}

pub(super) fn book_ticker(
    out: &mut Vec<u8>,
    printer: &Printer,
    touch: &Touch,
    update_id: i64,
    transaction_ms: Millis,
    event_ms: Millis,
) {
    let Printer { symbol, lower, .. } = printer;
    let (bid, ask) = (printer.price(touch.bid), printer.price(touch.ask));
    let (bid_size, ask_size) = (printer.size(touch.bid_lots), printer.size(touch.ask_lots));
    put!(
        out,
        r#"{{"stream":"{lower}@bookTicker","data":{{"e":"bookTicker","u":{update_id},"s":"{symbol}","ps":"{symbol}","b":"{bid}","B":"{bid_size}","a":"{ask}","A":"{ask_size}","T":{transaction_ms},"E":{event_ms},"st":1}}}}"#
    );
}

/// The mark price stream; the numbers as they are to be printed.
pub(super) struct MarkText<'a> {
    pub event_ms: Millis,
    /// `@1s` where the stream has one a second.
    pub suffix: &'a str,
    pub mark: &'a dyn Display,
    pub index: &'a dyn Display,
    pub settle: &'a dyn Display,
    pub funding_rate: &'a dyn Display,
    pub next_funding_ms: Millis,
}

pub(super) fn mark_price(out: &mut Vec<u8>, printer: &Printer, text: &MarkText<'_>) {
    let Printer { symbol, lower, .. } = printer;
    let MarkText { event_ms, suffix, mark, index, settle, funding_rate, next_funding_ms } = text;
    put!(
        out,
        r#"{{"stream":"{lower}@markPrice{suffix}","data":{{"e":"markPriceUpdate","E":{event_ms},"s":"{symbol}","p":"{mark}","ap":"{mark}","P":"{settle}","i":"{index}","r":"{funding_rate}","T":{next_funding_ms},"st":1}}}}"#
    );
}

/// The venue's funding times: every eight hours from midnight UTC.
pub(super) const FUNDING_MS: Millis = 8 * 3_600_000;

/// The next of them after `now_ms`.
pub(super) fn next_funding_ms(now_ms: Millis) -> Millis {
    (now_ms.div_euclid(FUNDING_MS) + 1) * FUNDING_MS
}

/// A bar of the kline stream; the numbers as they are to be printed.
pub(super) struct KlineText<'a> {
    pub event_ms: Millis,
    pub open_ms: Millis,
    pub interval_ms: Millis,
    pub interval: &'a str,
    /// −1 where the bar has no trades, as the venue has it.
    pub first_id: i64,
    pub last_id: i64,
    pub open: &'a dyn Display,
    pub close: &'a dyn Display,
    pub high: &'a dyn Display,
    pub low: &'a dyn Display,
    pub volume: &'a dyn Display,
    pub trades: &'a dyn Display,
    pub closed: bool,
    pub quote_volume: &'a dyn Display,
    pub taker_buy_volume: &'a dyn Display,
    pub taker_buy_quote_volume: &'a dyn Display,
}

/// The blanks after the commas inside `k` are the venue's.
pub(super) fn kline(out: &mut Vec<u8>, printer: &Printer, bar: &KlineText<'_>) {
    let Printer { symbol, lower, .. } = printer;
    let KlineText { event_ms, open_ms, interval, first_id, last_id, open, close, high, low, .. } = bar;
    let KlineText { volume, trades, closed, quote_volume, taker_buy_volume: buys, .. } = bar;
    let (close_ms, buys_quote) = (open_ms + bar.interval_ms - 1, bar.taker_buy_quote_volume);
    put!(
        out,
        r#"{{"stream":"{lower}@kline_{interval}","data":{{"e":"kline","E":{event_ms},"s":"{symbol}","k":{{"t":{open_ms}, "T":{close_ms}, "s":"{symbol}", "i":"{interval}", "f":{first_id}, "L":{last_id}, "o":"{open}", "c":"{close}", "h":"{high}", "l":"{low}", "v":"{volume}", "n":{trades}, "x":{closed}, "q":"{quote_volume}", "V":"{buys}", "Q":"{buys_quote}", "B":"0"}}}}}}"#
    );
}

/// The venue's bar lengths in seconds; `1s` is its spot market's, kept for made data.
const INTERVALS: [(u32, &str); 14] = [
    (1, "1s"),
    (60, "1m"),
    (180, "3m"),
    (300, "5m"),
    (900, "15m"),
    (1_800, "30m"),
    (3_600, "1h"),
    (7_200, "2h"),
    (14_400, "4h"),
    (21_600, "6h"),
    (28_800, "8h"),
    (43_200, "12h"),
    (86_400, "1d"),
    (259_200, "3d"),
];

/// The venue's name of a bar length.
pub(super) fn interval_name(interval_ms: Millis) -> Option<&'static str> {
    INTERVALS.iter().find(|(s, _)| Millis::from(*s) * 1_000 == interval_ms).map(|(_, name)| *name)
}

pub(super) fn interval_names() -> String {
    INTERVALS.map(|(_, name)| name).join(", ")
}
