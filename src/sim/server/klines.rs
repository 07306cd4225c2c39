//! Closed bars for `klines`: what was given at the start and what the stream closed since.

use std::collections::{BTreeMap, VecDeque};

use crate::event::{Bar, Event, EventBody, InstrumentTable};
use crate::num::{Dec, InstrumentId, Millis, Size};

/// Bars kept of each series: 250 bars of a quarter of an hour are 3,750 minutes.
const BARS_MAX: usize = 5_000;
/// What bars of other lengths are made of.
const MINUTE_S: u32 = 60;

/// Bars of each instrument and length, oldest first.
pub(super) struct Klines {
    series: Vec<BTreeMap<u32, VecDeque<Bar>>>,
}

impl Klines {
    pub fn new(instruments: &InstrumentTable) -> Klines {
        Klines { series: vec![BTreeMap::new(); instruments.len()] }
    }

    /// Keeps the bar a frame closed.
    pub fn take(&mut self, event: &Event) {
        match &event.body {
            EventBody::Bar(bar) if bar.closed => self.push(event.instrument, bar),
            _ => {}
        }
    }

    /// Appends a bar; one that does not follow the last of its series is left out.
    pub fn push(&mut self, instrument: InstrumentId, bar: &Bar) {
        let Some(series) = self.series.get_mut(instrument.index()) else { return };
        let bars = series.entry(bar.interval_s).or_default();
        if bars.back().is_some_and(|last| last.open_ms >= bar.open_ms) {
            return;
        }
        if bars.len() == BARS_MAX {
            bars.pop_front();
        }
        bars.push_back(*bar);
    }

    /// The last `limit` bars of a length that open in `from_ms..=to_ms`, oldest first; `None` for a
    /// length that is neither known nor a multiple of minutes.
    pub fn bars(
        &self,
        instrument: InstrumentId,
        interval_s: u32,
        (from_ms, to_ms): (Millis, Millis),
        limit: usize,
    ) -> Option<Vec<Bar>> {
        let series = self.series.get(instrument.index())?;
        let mut bars = match series.get(&interval_s) {
            Some(bars) => bars.iter().copied().collect(),
            None if interval_s.is_multiple_of(MINUTE_S) => {
                aggregate(series.get(&MINUTE_S).into_iter().flatten(), interval_s)
            }
            None => return None,
        };
        bars.retain(|bar| (from_ms..=to_ms).contains(&bar.open_ms));
        bars.drain(..bars.len().saturating_sub(limit));
        Some(bars)
    }
}

/// Minutes to longer bars. A bar counts once its last minute is there; one that lacks its first is
/// left out.
fn aggregate<'a>(minutes: impl Iterator<Item = &'a Bar>, interval_s: u32) -> Vec<Bar> {
    let interval_ms = Millis::from(interval_s) * 1_000;
    let mut bars: Vec<Bar> = Vec::new();
    let mut open: Option<Bar> = None;
    for minute in minutes {
        let start_ms = minute.open_ms - minute.open_ms.rem_euclid(interval_ms);
        if open.is_some_and(|bar| bar.open_ms != start_ms) {
            open = None;
        }
        match open.as_mut() {
            Some(bar) => extend(bar, minute),
            None if minute.open_ms == start_ms => open = Some(Bar { interval_s, ..*minute }),
            None => {}
        }
        if minute.open_ms + Millis::from(MINUTE_S) * 1_000 == start_ms + interval_ms {
            bars.extend(open.take());
        }
    }
    bars
}

/// Sums that leave their range stay at its end: the volumes of a hostile market, printed for a client.
fn extend(bar: &mut Bar, minute: &Bar) {
    bar.high = bar.high.max(minute.high);
    bar.low = bar.low.min(minute.low);
    bar.close = minute.close;
    bar.volume = Size(bar.volume.0.saturating_add(minute.volume.0));
    bar.taker_buy_volume = Size(bar.taker_buy_volume.0.saturating_add(minute.taker_buy_volume.0));
    bar.quote_volume = Dec(bar.quote_volume.0.saturating_add(minute.quote_volume.0));
    bar.trades = bar.trades.saturating_add(minute.trades);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{BarSource, btcusdt};
    use crate::num::Ticks;

    const ALWAYS: (Millis, Millis) = (0, Millis::MAX);

    fn minute(number: i64) -> Bar {
        Bar {
            open_ms: number * 60_000,
            open: Ticks(100 + number),
            high: Ticks(110 + number),
            low: Ticks(90 - number),
            close: Ticks(101 + number),
            volume: Size(10),
            quote_volume: Dec::int(5),
            taker_buy_volume: Size(4),
            event_ms: 0,
            trades: 3,
            interval_s: 60,
            closed: true,
            source: BarSource::Kline,
            pad: [0; 6],
        }
    }

    fn klines(minutes: impl Iterator<Item = i64>) -> Klines {
        let table = InstrumentTable::new(vec![btcusdt()]).unwrap();
        let mut klines = Klines::new(&table);
        minutes.for_each(|number| klines.push(InstrumentId(0), &minute(number)));
        klines
    }

    #[test]
    fn longer_bars_are_made_of_whole_minutes() {
        let klines = klines(1..=11);
        let bars = klines.bars(InstrumentId(0), 300, ALWAYS, 500).unwrap();
        assert_eq!(bars.len(), 1, "the first lacks a minute, the last is not over");
        let bar = bars[0];
        assert_eq!((bar.open_ms, bar.open, bar.close), (300_000, Ticks(105), Ticks(110)));
        assert_eq!((bar.high, bar.low, bar.volume, bar.trades), (Ticks(119), Ticks(81), Size(50), 15));
        assert_eq!((bar.quote_volume, bar.interval_s), (Dec::int(25), 300));
    }

    #[test]
    fn the_latest_within_the_range_are_given() {
        let klines = klines((1..=9).chain([9, 3]));
        let opens = |range, limit| -> Vec<i64> {
            let bars = klines.bars(InstrumentId(0), 60, range, limit).unwrap();
            bars.iter().map(|bar| bar.open_ms / 60_000).collect()
        };
        assert_eq!(opens(ALWAYS, 2), [8, 9]);
        assert_eq!(opens((120_000, 240_000), 500), [2, 3, 4]);
        assert_eq!(opens(ALWAYS, 0), [0; 0]);
        assert_eq!(klines.bars(InstrumentId(0), 5, ALWAYS, 1), None);
        assert_eq!(klines.bars(InstrumentId(9), 60, ALWAYS, 1), None);
    }
}
