//! Everything known of one instrument's market.

use borsh::{BorshDeserialize, BorshSerialize};

use super::bars::Advance;
use super::{Atr, BarSeries, Closed, DayVolume, Ema, LagTracker, OHLC, ReturnWindow, Smoothing, fx_to_dec};
use crate::event::{Bar, Instrument, MarkPrice, Prices, Quote, SizeUnit, Ticker, Trade};
use crate::num::{Dec, OutOfRange, Rounding, Size, Ticks, TimeNs, all_hold, mul_div};

/// Periods and windows, the same for every instrument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarketParams {
    pub bar_interval_s: u32,
    pub ema_period: u32,
    pub atr_period: u32,
    pub atr_smoothing: Smoothing,
    pub correlation_bars: u32,
}

/// A venue time further than this from our receive time is not believed: one wrong stamp would
/// close bars early and make every right trade after it late.
const TIME_SKEW_MS_MAX: i64 = 3_600_000;

/// Which trades of an instrument count: `docs/RULES.md` §2. A venue may stream both `trade` and
/// `aggTrade`; the first kind seen is the tape, the other is only recorded, or every trade would count
/// twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tape {
    aggregate: Option<bool>,
}

/// What became of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    Yes,
    /// Of the other tape, outside the book, or not a price.
    No,
    /// Its time is not believed.
    Disbelieved,
}

impl Tape {
    /// Looks at the next trade; the first one chooses the tape.
    pub fn counts(&mut self, recv_ns: TimeNs, trade: &Trade, aggregate: bool) -> Counts {
        if *self.aggregate.get_or_insert(aggregate) != aggregate || !trade.market || !trade.price.is_price() {
            return Counts::No;
        }
        let skew_ms = trade.trade_ms.abs_diff(recv_ns.ms());
        if skew_ms > TIME_SKEW_MS_MAX as u64 { Counts::Disbelieved } else { Counts::Yes }
    }
}

/// Money in one tick × one size unit.
fn value_of_a_size(instrument: &Instrument) -> Dec {
    let Instrument { tick, size_step, .. } = *instrument;
    match instrument.size_unit {
        SizeUnit::QuoteContracts => size_step,
        SizeUnit::Base => Dec(mul_div(tick.0, size_step.0, Dec::ONE.0, Rounding::HalfEven).unwrap_or(0)),
    }
}

/// What a market event closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarUpdate {
    None,
    /// The newest bar; indicators are up to date with it. `previous_close` precedes the flat bars.
    Closed {
        closed: Closed,
        previous_close: Ticks,
    },
    /// An outage: the warm-up starts again.
    Reset,
}

/// One instrument's market.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct MarketState {
    pub instrument: Instrument,
    tape: Tape,
    /// Trades and bars whose time was not believed.
    pub disbelieved: u64,
    /// Last trade; zero before the first.
    pub price: Ticks,
    pub bid: Ticks,
    pub ask: Ticks,
    /// When the last quote was received, less what it was late.
    pub quote_ns: Option<TimeNs>,
    pub mark: Option<Dec>,
    pub lag: LagTracker,
    pub bars: BarSeries,
    last_close: Ticks,
    ema: Ema,
    atr: Atr,
    /// In quote currency, as decisions use them; updated at bar close.
    pub ema_value: Option<Dec>,
    pub atr_value: Option<Dec>,
    pub returns: ReturnWindow,
    traded: DayVolume,
    ticker_volume: Option<Dec>,
    /// Money in one tick × one size unit.
    size_value: Dec,
    /// Money in one tick × one lot.
    pub tick_lot_value: Dec,
}

impl MarketState {
    pub fn new(instrument: Instrument, params: MarketParams) -> MarketState {
        MarketState {
            size_value: value_of_a_size(&instrument),
            tick_lot_value: instrument.tick_lot_value(),
            instrument,
            tape: Tape::default(),
            disbelieved: 0,
            price: Ticks::ZERO,
            bid: Ticks::ZERO,
            ask: Ticks::ZERO,
            quote_ns: None,
            mark: None,
            lag: LagTracker::default(),
            bars: BarSeries::new(params.bar_interval_s),
            last_close: Ticks::ZERO,
            ema: Ema::new(params.ema_period),
            atr: Atr::new(params.atr_period, params.atr_smoothing),
            ema_value: None,
            atr_value: None,
            returns: ReturnWindow::new(params.correlation_bars, params.bar_interval_s),
            traded: DayVolume::default(),
            ticker_volume: None,
        }
    }

    /// Bars and indicators of other periods; prices and volumes stay.
    pub fn begin_anew(&mut self, params: MarketParams) {
        let MarketState { bars, ema, atr, returns, .. } = MarketState::new(self.instrument, params);
        (self.bars, self.ema, self.atr, self.returns) = (bars, ema, atr, returns);
        (self.ema_value, self.atr_value, self.last_close) = (None, None, Ticks::ZERO);
    }

    /// Whether every value is one that later arithmetic and indices can bear.
    pub(crate) fn check(&self, params: MarketParams) -> Result<(), OutOfRange> {
        let MarketState {
            instrument,
            tape: _,
            disbelieved,
            price,
            bid,
            ask,
            quote_ns: _,
            mark: _,
            lag: _,
            bars,
            last_close,
            ema,
            atr,
            ema_value: _,
            atr_value: _,
            returns,
            traded,
            ticker_volume: _,
            size_value,
            tick_lot_value,
        } = self;
        instrument.check()?;
        all_hold(&[
            ("market.disbelieved", *disbelieved < u64::MAX / 2),
            ("market.price, bid and ask", [price, bid, ask].iter().all(|ticks| ticks.is_level())),
            ("market.last_close", *last_close == Ticks::ZERO || last_close.is_price()),
            ("market.size_value", *size_value == value_of_a_size(instrument)),
            ("market.tick_lot_value", *tick_lot_value == instrument.tick_lot_value()),
        ])?;
        bars.check(params.bar_interval_s)?;
        ema.check(params.ema_period)?;
        atr.check(params.atr_period, params.atr_smoothing)?;
        returns.check(params.correlation_bars, params.bar_interval_s)?;
        traded.check()
    }

    /// A trade. `None` when it moves nothing: outside the book, of the other tape, or not a price.
    pub fn on_trade(&mut self, recv_ns: TimeNs, trade: &Trade, aggregate: bool) -> Option<BarUpdate> {
        self.lag.on_frame(recv_ns, trade.event_ms);
        match self.tape.counts(recv_ns, trade, aggregate) {
            Counts::Yes => {}
            Counts::No => return None,
            Counts::Disbelieved => {
                self.disbelieved += 1;
                return None;
            }
        }
        let size = Size(trade.size.0.clamp(0, Size::QUANTITY_MAX.0));
        self.price = trade.price;
        let value = match self.instrument.size_unit {
            SizeUnit::Base => trade.price.wide() * size.wide(),
            SizeUnit::QuoteContracts => size.wide(),
        };
        self.traded.add(value, trade.trade_ms);
        let trades =
            trade.last_id.saturating_sub(trade.first_id).saturating_add(1).clamp(1, i64::from(u32::MAX));
        let advance = self.bars.on_trade(trade.price, size, trade.buyer_maker, trades as u32, trade.trade_ms);
        Some(self.apply(advance))
    }

    /// A quote. False when it is not one: no price, or crossed.
    pub fn on_quote(&mut self, recv_ns: TimeNs, quote: &Quote) -> bool {
        self.lag.on_frame(recv_ns, quote.event_ms);
        if !quote.bid.is_price() || !quote.ask.is_price() {
            return false;
        }
        self.bid = quote.bid;
        self.ask = quote.ask;
        // One that came late was old when it came; later frames that are on time make it no younger.
        self.quote_ns = Some(recv_ns - self.lag.excess_ns());
        quote.bid <= quote.ask
    }

    /// Price, quotes and mark stated together: no tape, no bars, no lag.
    pub fn on_prices(&mut self, recv_ns: TimeNs, prices: &Prices) {
        (self.price, self.bid, self.ask) = (prices.price, prices.bid, prices.ask);
        self.mark = Some(self.instrument.price(prices.mark));
        self.quote_ns = Some(recv_ns);
    }

    /// A kline or a bar of history.
    pub fn on_bar(&mut self, recv_ns: TimeNs, bar: &Bar) -> BarUpdate {
        let prices = [bar.open, bar.high, bar.low, bar.close];
        let begun = (0..=recv_ns.ms().saturating_add(TIME_SKEW_MS_MAX)).contains(&bar.open_ms);
        if !begun || !prices.iter().all(|p| p.is_price()) || bar.low > bar.high {
            self.disbelieved += 1;
            return BarUpdate::None;
        }
        let advance = self.bars.on_bar(bar);
        self.apply(advance)
    }

    pub fn on_ticker(&mut self, ticker: &Ticker) {
        self.ticker_volume = Some(ticker.quote_volume);
    }

    pub fn on_mark(&mut self, mark: &MarkPrice) {
        self.mark = Some(mark.mark);
    }

    /// Quote volume of the last 24 hours: the venue's ticker, else the sum of our own buckets.
    pub fn volume_24h(&self) -> Dec {
        self.ticker_volume
            .unwrap_or_else(|| self.size_value.checked_mul_int(self.traded.total()).unwrap_or(Dec::MAX))
    }

    /// The mark price in ticks, rounded towards zero.
    pub fn mark_ticks(&self) -> Option<Ticks> {
        let ticks = Ticks(i64::try_from(self.mark?.0 / self.instrument.tick.0).ok()?);
        ticks.is_price().then_some(ticks)
    }

    fn apply(&mut self, advance: Advance) -> BarUpdate {
        match advance {
            Advance::Nothing => BarUpdate::None,
            Advance::Closed(closed) => {
                let previous_close = self.last_close;
                for bar in self.bars.expand(&closed, previous_close) {
                    self.bar_closed(&bar);
                }
                BarUpdate::Closed { closed, previous_close }
            }
            Advance::Reset => {
                self.ema.reset();
                self.atr.reset();
                self.returns.reset();
                (self.ema_value, self.atr_value) = (None, None);
                // The bar behind the hole, where it has closed: flat bars after it are at its close.
                self.last_close = self.bars.last_close().unwrap_or(Ticks::ZERO);
                BarUpdate::Reset
            }
        }
    }

    fn bar_closed(&mut self, bar: &OHLC) {
        self.ema.update(bar.close);
        self.atr.update(bar.high, bar.low, bar.close);
        self.returns.on_bar(bar.open_ms, bar.close);
        self.last_close = bar.close;
        let tick = self.instrument.tick;
        self.ema_value = self.ema.value().and_then(|v| fx_to_dec(v, tick));
        self.atr_value = self.atr.value().and_then(|v| fx_to_dec(v, tick));
    }

    /// ATR in ticks.
    pub fn atr_ticks(&self) -> Option<super::Fx> {
        self.atr.value()
    }

    /// EMA in ticks.
    pub fn ema_ticks(&self) -> Option<super::Fx> {
        self.ema.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{BarSource, btcusdt};

    /// They closed at the price from before the outage.
    #[test]
    fn flat_bars_after_an_outage_close_as_the_bar_behind_it() {
        let params = MarketParams {
            bar_interval_s: 60,
            ema_period: 3,
            atr_period: 3,
            atr_smoothing: Smoothing::Wilder,
            correlation_bars: 3,
        };
        let mut market = MarketState::new(btcusdt(), params);
        let mut kline = |minute: i64, price: i64| {
            let close = Ticks(price);
            let bar = OHLC {
                open_ms: minute * 60_000,
                open: close,
                high: close,
                low: close,
                close,
                volume: Size::ZERO,
                taker_buy_volume: Size::ZERO,
                trades: 1,
            };
            let bar = Bar { source: BarSource::Kline, ..Bar::from((&bar, 60)) };
            market.on_bar(TimeNs::from_ms(bar.open_ms), &bar)
        };
        kline(0, 10);
        assert_eq!(kline(5_000, 20), BarUpdate::Reset);
        let BarUpdate::Closed { closed, previous_close } = kline(5_003, 30) else { panic!("no bar") };
        assert_eq!((closed.flat_before, previous_close), (2, Ticks(20)));
    }
}
