//! One instrument's periodic streams: bars, 24-hour statistics, mark price, liquidations.

use std::collections::VecDeque;

use super::feed::{Feed, Step, Stream};
use super::pending::Pending;
use crate::num::{Millis, NS_PER_HOUR, NS_PER_MS, Ticks};
use crate::sim::market::dialect::{
    Decimal, KlineText, MarkText, interval_name, kline, mark_price, next_funding_ms, put,
};

const HOUR_MS: Millis = NS_PER_HOUR / NS_PER_MS;
const HOURS: usize = 24;
/// A closed bar is sent this long after its end.
const CLOSED_DELAY_MS_MIN: Millis = 300;
const CLOSED_DELAY_MS_SPREAD: u32 = 700;
/// Liquidations a second: in a burst, and otherwise.
const LIQUIDATIONS_BURST: f64 = 0.1;
const LIQUIDATIONS_CALM: f64 = 0.002;

/// The bar being built, from the very trades that are sent.
pub(super) struct Kline {
    open_ms: Millis,
    open: Ticks,
    high: Ticks,
    low: Ticks,
    close: Ticks,
    lots: i64,
    buy_lots: i64,
    /// Sums of ticks × lots.
    value: i128,
    buy_value: i128,
    /// −1 before the first trade.
    first_id: i64,
    last_id: i64,
    changed: bool,
    /// No update before: the closed bar goes first.
    quiet_until_ms: Millis,
}

impl Kline {
    pub fn new(open_ms: Millis, price: Ticks) -> Kline {
        Kline {
            open_ms,
            open: price,
            high: price,
            low: price,
            close: price,
            lots: 0,
            buy_lots: 0,
            value: 0,
            buy_value: 0,
            first_id: -1,
            last_id: -1,
            changed: false,
            quiet_until_ms: 0,
        }
    }

    pub fn add(&mut self, price: Ticks, lots: i64, buyer_maker: bool, first_id: i64, last_id: i64) {
        if self.first_id < 0 {
            (self.open, self.high, self.low, self.first_id) = (price, price, price, first_id);
        }
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        self.close = price;
        self.last_id = last_id;
        self.changed = true;
        let value = price.wide() * i128::from(lots);
        self.lots += lots;
        self.value += value;
        if !buyer_maker {
            self.buy_lots += lots;
            self.buy_value += value;
        }
    }
}

/// An hour of the last 24.
struct Hour {
    hour: i64,
    open: Ticks,
    high: Ticks,
    low: Ticks,
}

/// Prices of the last 24 hours, by the hour; the volumes wander around the listing's.
pub(super) struct Day {
    hours: VecDeque<Hour>,
    last: Ticks,
    /// Volume over the listing's.
    activity: f64,
}

impl Day {
    pub fn new(start_ms: Millis, price: Ticks) -> Day {
        let hour = Hour { hour: start_ms.div_euclid(HOUR_MS), open: price, high: price, low: price };
        Day { hours: VecDeque::from([hour]), last: price, activity: 1.0 }
    }

    pub fn add(&mut self, at_ms: Millis, price: Ticks) {
        let hour = at_ms.div_euclid(HOUR_MS);
        self.last = price;
        match self.hours.back_mut() {
            Some(last) if last.hour == hour => {
                last.high = last.high.max(price);
                last.low = last.low.min(price);
            }
            _ => {
                self.hours.push_back(Hour { hour, open: price, high: price, low: price });
                if self.hours.len() > HOURS {
                    self.hours.pop_front();
                }
            }
        }
    }
}

impl Feed {
    /// Streams with a period, at the end of a step.
    pub fn periodic(&mut self, step: &Step, out: &mut Pending) {
        let now_ms = step.to_ms();
        if now_ms % self.rates.kline_interval_ms == 0 {
            self.close_bar(now_ms, out);
        } else if self.due(now_ms, self.rates.kline_update_ms)
            && self.kline.changed
            && now_ms >= self.kline.quiet_until_ms
        {
            self.write_bar(now_ms, false, out);
        }
        if self.due(now_ms, self.rates.ticker_interval_ms) {
            self.statistics(now_ms, out);
        }
        if now_ms % self.rates.mark_interval_ms == 0 {
            self.mark(now_ms, step.price_to, out);
        }
        let liquidations = if step.burst { LIQUIDATIONS_BURST } else { LIQUIDATIONS_CALM };
        if self.rng.chance(liquidations * (now_ms - step.from_ms) as f64 / 1_000.0) {
            self.liquidation(now_ms, step.price_to < step.price_from, out);
        }
    }

    /// Whether a period ends at `now_ms`, each instrument at its own moment.
    fn due(&self, now_ms: Millis, period_ms: Millis) -> bool {
        let step_ms = super::STEP_MS;
        (now_ms / step_ms + self.index).rem_euclid((period_ms / step_ms).max(1)) == 0
    }

    fn close_bar(&mut self, end_ms: Millis, out: &mut Pending) {
        let delay_ms = CLOSED_DELAY_MS_MIN + Millis::from(self.rng.below(CLOSED_DELAY_MS_SPREAD));
        self.write_bar(end_ms + delay_ms, true, out);
        self.kline = Kline::new(end_ms, self.kline.close);
        self.kline.quiet_until_ms = end_ms + delay_ms;
    }

    fn write_bar(&mut self, event_ms: Millis, closed: bool, out: &mut Pending) {
        self.kline.changed = false;
        let (event_ms, recv) = self.stamp(Stream::Kline, event_ms);
        let (bar, printer) = (&self.kline, &self.printer);
        let count = if bar.first_id < 0 { 0 } else { bar.last_id - bar.first_id + 1 };
        let text = KlineText {
            event_ms,
            open_ms: bar.open_ms,
            interval_ms: self.rates.kline_interval_ms,
            // The settings were checked: the interval has a name.
            interval: interval_name(self.rates.kline_interval_ms).unwrap_or("1m"),
            first_id: bar.first_id,
            last_id: bar.last_id,
            open: &printer.price(bar.open),
            close: &printer.price(bar.close),
            high: &printer.price(bar.high),
            low: &printer.price(bar.low),
            volume: &printer.size(bar.lots),
            trades: &count,
            closed,
            quote_volume: &printer.money(bar.value),
            taker_buy_volume: &printer.size(bar.buy_lots),
            taker_buy_quote_volume: &printer.money(bar.buy_value),
        };
        out.push(recv, |frame| kline(frame, printer, &text));
    }

    /// The 24hrTicker stream.
    pub fn statistics(&mut self, now_ms: Millis, out: &mut Pending) {
        let (event_ms, recv) = self.stamp(Stream::Ticker, now_ms);
        let wander = 1.0 + 0.002 * (self.rng.unit() - 0.5);
        self.day.activity = (self.day.activity * wander).clamp(0.75, 1.25);
        let day = &self.day;
        let open = day.hours.front().map_or(day.last, |hour| hour.open);
        let high = day.hours.iter().map(|hour| hour.high).max().unwrap_or(open);
        let low = day.hours.iter().map(|hour| hour.low).min().unwrap_or(open);
        let average = Ticks((high.0 + low.0) / 2);
        let volume = self.listing.volume_24h_usd * day.activity;
        let lots = self.printer.lots_worth(volume, average);
        let value = self.printer.money(i128::from(lots) * average.wide());
        let change = day.last - open;
        // Thousandths of a percent, truncated.
        let percent = Decimal { mantissa: change.wide() * 100_000 / open.wide().max(1), places: 3 };
        let trades = (self.listing.trades_per_second * 2.5 * 86_400.0 * day.activity) as i64;
        let (from_ms, first_id, last_id) =
            (now_ms - HOURS as Millis * HOUR_MS, self.trade_id - trades, self.trade_id);
        let printer = &self.printer;
        let [change, average, last, open, high, low] =
            [change, average, day.last, open, high, low].map(|price| printer.price(price));
        let (last_size, lots_text) = (printer.size(self.last_lots), printer.size(lots));
        out.push(recv, |frame| {
            put!(
                frame,
                r#"{{"stream":"{0}@ticker","data":{{"e":"24hrTicker","E":{event_ms},"s":"{1}","ps":"{1}","p":"{change}","P":"{percent}","w":"{average}","c":"{last}","Q":"{last_size}","o":"{open}","h":"{high}","l":"{low}","v":"{lots_text}","q":"{value}","O":{from_ms},"C":{now_ms},"F":{first_id},"L":{last_id},"n":{trades},"st":1}}}}"#,
                printer.lower,
                printer.symbol,
            );
        });
    }

    /// The markPriceUpdate stream: index and mark within a few hundredths of a percent of the price.
    pub fn mark(&mut self, now_ms: Millis, price: f64, out: &mut Pending) {
        let (event_ms, recv) = self.stamp(Stream::Mark, now_ms);
        let [off_index, off_mark, off_settle] =
            [0.000_4, 0.000_2, 0.000_4].map(|width: f64| 1.0 + width * (self.rng.unit() - 0.5));
        let funding = Decimal { mantissa: 10_000 + i128::from(self.rng.below(2_000)) - 1_000, places: 8 };
        let suffix = if self.rates.mark_interval_ms == 1_000 { "@1s" } else { "" };
        let printer = &self.printer;
        let [index, mark, settle] =
            [off_index, off_mark, off_settle].map(|off| printer.fine_price(price * off));
        let text = MarkText {
            event_ms,
            suffix,
            mark: &mark,
            index: &index,
            settle: &settle,
            funding_rate: &funding,
            next_funding_ms: next_funding_ms(now_ms),
        };
        out.push(recv, |frame| mark_price(frame, printer, &text));
    }

    /// The forceOrder stream: longs are liquidated while the price falls.
    fn liquidation(&mut self, now_ms: Millis, falling: bool, out: &mut Pending) {
        let (event_ms, recv) = self.stamp(Stream::Force, now_ms + 1);
        let value = 500.0 + self.rng.touch_value(5_000.0);
        let (side, price, away) =
            if falling { ("SELL", self.touch.bid, -1) } else { ("BUY", self.touch.ask, 1) };
        let lots = self.printer.lots_worth(value, price);
        let last = 1 + ((lots - 1) as f64 * self.rng.unit()) as i64;
        // The limit is the bankruptcy price, about half a percent beyond.
        let limit = Ticks(price.0 + away * (price.0 / 200).max(1));
        let printer = &self.printer;
        let (limit, price) = (printer.price(limit), printer.price(price));
        let (lots, last) = (printer.size(lots), printer.size(last));
        out.push(recv, |frame| {
            put!(
                frame,
                r#"{{"stream":"{0}@forceOrder","data":{{"e":"forceOrder","E":{event_ms},"o":{{"s":"{1}","S":"{side}","o":"LIMIT","f":"IOC","q":"{lots}","p":"{limit}","ap":"{price}","X":"FILLED","l":"{last}","z":"{lots}","T":{now_ms},"ps":"{1}","st":1}}}}}}"#,
                printer.lower,
                printer.symbol,
            );
        });
    }
}
