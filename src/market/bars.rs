//! Bars of one instrument: built from trades, or taken from the venue's closed klines.

use crate::event::{Bar, BarSource};
use crate::num::{Dec, Millis, Size, Ticks};

/// The prices of a closed bar.
#[allow(clippy::upper_case_acronyms)] // The field's own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OHLC {
    pub open_ms: Millis,
    pub open: Ticks,
    pub high: Ticks,
    pub low: Ticks,
    pub close: Ticks,
    pub volume: Size,
    pub taker_buy_volume: Size,
    pub trades: u32,
}

impl OHLC {
    /// The bar of an interval in which nothing traded.
    fn flat(open_ms: Millis, close: Ticks) -> OHLC {
        OHLC {
            open_ms,
            open: close,
            high: close,
            low: close,
            close,
            volume: Size::ZERO,
            taker_buy_volume: Size::ZERO,
            trades: 0,
        }
    }
}

/// What an event closed: `flat_before` bars without trades at the previous close, then `bar`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    pub flat_before: u32,
    pub bar: OHLC,
}

/// A hole longer than this many bars is an outage, not a quiet market: indicators start afresh.
const HOLE_BARS_MAX: i64 = 1_000;

/// The sequence of bars: closes one when a trade of a later interval comes.
#[derive(Clone, Debug)]
pub struct BarSeries {
    interval_ms: i64,
    forming: Option<OHLC>,
    /// Open time and close of the newest closed bar.
    last: Option<(Millis, Ticks)>,
    /// Klines decide the bars from the first one of our interval on.
    from_klines: bool,
    /// Trades and klines that came after their bar had closed.
    late: u64,
}

/// What an event did to the series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    Nothing,
    Closed(Closed),
    /// The hole before this event was too long; the series began anew.
    Reset,
}

impl BarSeries {
    pub fn new(interval_s: u32) -> BarSeries {
        let interval_ms = i64::from(interval_s.max(1)) * 1_000;
        BarSeries { interval_ms, forming: None, last: None, from_klines: false, late: 0 }
    }

    pub fn late(&self) -> u64 {
        self.late
    }

    /// Of the newest closed bar; none after an outage between trades.
    pub fn last_close(&self) -> Option<Ticks> {
        self.last.map(|(_, close)| close)
    }

    fn bar_of(&self, ms: Millis) -> Millis {
        ms.div_euclid(self.interval_ms).saturating_mul(self.interval_ms)
    }

    /// A trade; `trades` is how many the aggregate holds.
    pub fn on_trade(
        &mut self,
        price: Ticks,
        size: Size,
        buyer_maker: bool,
        trades: u32,
        trade_ms: Millis,
    ) -> Advance {
        if self.from_klines {
            return Advance::Nothing;
        }
        let open_ms = self.bar_of(trade_ms);
        let newest = self.forming.map(|bar| bar.open_ms).or(self.last.map(|(ms, _)| ms + self.interval_ms));
        if newest.is_some_and(|newest| open_ms < newest) {
            self.late += 1;
            return Advance::Nothing;
        }
        let advance = match self.forming {
            Some(bar) if bar.open_ms == open_ms => Advance::Nothing,
            Some(bar) => self.close(bar, open_ms),
            None => self.hole_before(open_ms),
        };
        let bar = self.forming.get_or_insert(OHLC { trades: 0, ..OHLC::flat(open_ms, price) });
        bar.high = bar.high.max(price);
        bar.low = bar.low.min(price);
        bar.close = price;
        bar.volume = Size(bar.volume.0.saturating_add(size.0));
        if !buyer_maker {
            bar.taker_buy_volume = Size(bar.taker_buy_volume.0.saturating_add(size.0));
        }
        bar.trades = bar.trades.saturating_add(trades);
        advance
    }

    /// A kline or a bar of history. Only closed bars of our interval count.
    pub fn on_bar(&mut self, bar: &Bar) -> Advance {
        if i64::from(bar.interval_s) * 1_000 != self.interval_ms || self.bar_of(bar.open_ms) != bar.open_ms {
            return Advance::Nothing;
        }
        if bar.source == BarSource::Kline && !self.from_klines {
            self.from_klines = true;
            self.forming = None;
        }
        if !bar.closed {
            return Advance::Nothing;
        }
        if self.last.is_some_and(|(last_ms, _)| bar.open_ms <= last_ms) {
            self.late += 1;
            return Advance::Nothing;
        }
        let closed = OHLC {
            open_ms: bar.open_ms,
            open: bar.open,
            high: bar.high,
            low: bar.low,
            close: bar.close,
            volume: bar.volume,
            taker_buy_volume: bar.taker_buy_volume,
            trades: bar.trades,
        };
        self.forming = None;
        self.finish(closed)
    }

    /// Closes the forming bar because a trade of the bar at `next_ms` came.
    fn close(&mut self, bar: OHLC, next_ms: Millis) -> Advance {
        self.forming = None;
        if (next_ms - bar.open_ms) / self.interval_ms > HOLE_BARS_MAX {
            self.last = None;
            return Advance::Reset;
        }
        self.finish(bar)
    }

    /// Nothing is forming: after history, the first trade may come some bars later.
    fn hole_before(&mut self, open_ms: Millis) -> Advance {
        match self.last {
            Some((last_ms, _)) if (open_ms - last_ms) / self.interval_ms > HOLE_BARS_MAX => {
                self.last = None;
                Advance::Reset
            }
            _ => Advance::Nothing,
        }
    }

    fn finish(&mut self, bar: OHLC) -> Advance {
        let missing = self.last.map_or(0, |(last_ms, _)| (bar.open_ms - last_ms) / self.interval_ms - 1);
        self.last = Some((bar.open_ms, bar.close));
        if missing > HOLE_BARS_MAX {
            return Advance::Reset;
        }
        Advance::Closed(Closed { flat_before: missing.max(0) as u32, bar })
    }

    /// The bars `closed` stands for, in order.
    pub fn expand(&self, closed: &Closed, previous_close: Ticks) -> impl Iterator<Item = OHLC> + use<> {
        let (interval_ms, closed) = (self.interval_ms, *closed);
        let flats = i64::from(closed.flat_before);
        (0..flats)
            .map(move |i| OHLC::flat(closed.bar.open_ms - (flats - i) * interval_ms, previous_close))
            .chain(std::iter::once(closed.bar))
    }
}

/// A bar of warm-up history as an event payload.
impl From<(&OHLC, u32)> for Bar {
    fn from((bar, interval_s): (&OHLC, u32)) -> Bar {
        Bar {
            open_ms: bar.open_ms,
            open: bar.open,
            high: bar.high,
            low: bar.low,
            close: bar.close,
            volume: bar.volume,
            quote_volume: Dec::ZERO,
            taker_buy_volume: bar.taker_buy_volume,
            event_ms: 0,
            trades: bar.trades,
            interval_s,
            closed: true,
            source: BarSource::History,
            pad: [0; 6],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade(series: &mut BarSeries, price: i64, ms: Millis) -> Advance {
        series.on_trade(Ticks(price), Size(1), false, 1, ms)
    }

    #[test]
    fn a_bar_closes_with_the_first_trade_of_a_later_interval() {
        let mut series = BarSeries::new(60);
        assert_eq!(trade(&mut series, 10, 0), Advance::Nothing);
        assert_eq!(trade(&mut series, 12, 59_999), Advance::Nothing);
        let Advance::Closed(closed) = trade(&mut series, 11, 60_000) else { panic!("no bar") };
        assert_eq!((closed.flat_before, closed.bar.high, closed.bar.close), (0, Ticks(12), Ticks(12)));
        assert_eq!(trade(&mut series, 9, 30_000), Advance::Nothing, "late");
        assert_eq!(series.late(), 1);
        // Two silent minutes: the next bar to close brings two flat ones.
        let Advance::Closed(closed) = trade(&mut series, 15, 240_000) else { panic!("no bar") };
        assert_eq!((closed.flat_before, closed.bar.open_ms), (0, 60_000));
        let Advance::Closed(closed) = trade(&mut series, 15, 300_000) else { panic!("no bar") };
        assert_eq!((closed.flat_before, closed.bar.open_ms), (2, 240_000));
        let bars: Vec<OHLC> = series.expand(&closed, Ticks(11)).collect();
        assert_eq!(
            bars.iter().map(|b| (b.open_ms, b.close.0)).collect::<Vec<_>>(),
            [(120_000, 11), (180_000, 11), (240_000, 15)]
        );
    }

    #[test]
    fn an_outage_starts_the_series_anew() {
        let mut series = BarSeries::new(1);
        trade(&mut series, 10, 0);
        assert_eq!(trade(&mut series, 10, (HOLE_BARS_MAX + 1) * 1_000), Advance::Reset);
        assert_eq!(trade(&mut series, 10, i64::MAX), Advance::Reset, "hostile times do not overflow");
    }

    #[test]
    fn klines_take_over_from_trades() {
        let mut series = BarSeries::new(60);
        trade(&mut series, 10, 0);
        let flat = OHLC::flat(0, Ticks(10));
        let kline = Bar { source: BarSource::Kline, ..Bar::from((&flat, 60)) };
        assert_eq!(series.on_bar(&Bar { interval_s: 300, ..kline }), Advance::Nothing, "another interval");
        assert_eq!(series.on_bar(&Bar { closed: false, ..kline }), Advance::Nothing);
        assert_eq!(trade(&mut series, 10, 60_000), Advance::Nothing, "trades no longer decide");
        assert!(matches!(series.on_bar(&kline), Advance::Closed(_)));
        assert_eq!(series.on_bar(&kline), Advance::Nothing, "twice the same");
    }
}
