//! Requests for market data.

use serde_json::{Value, json};

use super::calls::Answer;
use super::core::Core;
use super::params::Params;
use super::refusal::{BAD_INTERVAL, Refusal};
use super::render::market;
use crate::event::Instrument;
use crate::num::{InstrumentId, Millis};
use crate::venue::binance::interval_seconds;

/// Bars of one answer, unless told otherwise and at most.
const KLINES: usize = 500;
const KLINES_MAX: usize = 1_500;

impl Core {
    pub(super) fn exchange_info(&self) -> String {
        market::exchange_info(&self.instruments, self.rates.stated(), self.now.ms()).to_string()
    }

    pub(super) fn klines(&self, params: &Params) -> Answer {
        let (instrument, row) = self.symbol(params)?;
        let bad = || Refusal::of(BAD_INTERVAL);
        let interval_s = read_interval(params.need("interval")?).ok_or_else(bad)?;
        let range =
            (params.integer("startTime")?.unwrap_or(0), params.integer("endTime")?.unwrap_or(Millis::MAX));
        let limit = params.integer("limit")?.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(KLINES).min(KLINES_MAX);
        let bars = self.bars.bars(instrument, interval_s, range, limit).ok_or_else(bad)?;
        let rows: Vec<Value> = bars.iter().map(|bar| market::kline(bar, &row)).collect();
        Ok(Value::from(rows).to_string())
    }

    pub(super) fn depth(&self, params: &Params) -> Answer {
        let (instrument, row) = self.symbol(params)?;
        let now_ms = self.now.ms();
        Ok(market::depth(&row, self.prices.of(instrument).quote.as_ref(), now_ms).to_string())
    }

    pub(super) fn premium_index(&self, params: &Params) -> Answer {
        self.each(params, |id, row| {
            market::premium_index(row, self.prices.of(id).mark.as_ref(), self.now.ms())
        })
    }

    pub(super) fn book_ticker(&self, params: &Params) -> Answer {
        self.each(params, |id, row| {
            market::book_ticker(row, self.prices.of(id).quote.as_ref(), self.now.ms())
        })
    }

    pub(super) fn price_ticker(&self, params: &Params) -> Answer {
        self.each(params, |id, row| market::price_ticker(row, self.prices.of(id).last, self.now.ms()))
    }

    /// One object for `symbol`, a list of them without.
    fn each(&self, params: &Params, of: impl Fn(InstrumentId, &Instrument) -> Value) -> Answer {
        if params.get("symbol").is_some() {
            let (instrument, row) = self.symbol(params)?;
            return Ok(of(instrument, &row).to_string());
        }
        let rows: Vec<Value> = self.instruments.iter().map(|(id, row)| of(id, row)).collect();
        Ok(json!(rows).to_string())
    }
}

/// The venue's intervals, and seconds (`5s`): made markets have bars that short.
fn read_interval(text: &str) -> Option<u32> {
    let seconds = || text.strip_suffix('s')?.parse::<u32>().ok().filter(|seconds| *seconds > 0);
    interval_seconds(text).or_else(seconds)
}
