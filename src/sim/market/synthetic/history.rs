//! Bars from before the stream: the walk gone backwards, each bar turned round.

use super::path::{Direction, Pace, Paths};
use super::{Listing, STEP_MS, SyntheticConfig};
use crate::event::{Bar, BarSource, Instrument};
use crate::num::{Dec, InstrumentId, Millis, Size, Ticks, TimeNs};
use crate::sim::market::rng::Rng;

/// Steps of a bar, at most: long bars take longer steps of the same walk.
const BAR_STEPS_MAX: i64 = 600;
const DAY_S: f64 = 86_400.0;

pub(super) fn bars(
    config: &SyntheticConfig,
    starts: &[(Ticks, Listing)],
    seed: u64,
    start: TimeNs,
    interval_s: u32,
    count: usize,
) -> Vec<(InstrumentId, Bar)> {
    let interval_ms = Millis::from(interval_s.max(1)) * 1_000;
    let steps = (interval_ms / STEP_MS).min(BAR_STEPS_MAX);
    // Steps in one of the configured bars: not whole when the two lengths differ.
    let bar_steps = f64::from(config.bar_interval_s) * steps as f64 / f64::from(interval_s.max(1));
    let pace = Pace::new(config.atr_fraction, bar_steps);
    let mut paths = Paths::new(starts, seed, Direction::Backward, pace);
    let Ok(table) = config.instruments("0") else { return Vec::new() };
    let mut volumes: Vec<Rng> = (0..starts.len()).map(|i| Rng::new(seed, 1_000_000 + i as u64)).collect();
    let last_open_ms = start.ms() - start.ms().rem_euclid(interval_ms) - interval_ms;
    let mut bars = Vec::new();
    for back in 0..count as i64 {
        let open_ms = last_open_ms - back * interval_ms;
        let shapes = walk_bar(&mut paths, steps);
        let rows = table.iter().zip(shapes).zip(&config.listings).zip(&mut volumes);
        bars.extend(rows.map(|((((id, instrument), shape), listing), rng)| {
            let share = listing.volume_24h_usd * f64::from(interval_s) / DAY_S * (0.5 + rng.unit());
            let trades = (listing.trades_per_second * f64::from(interval_s) * (0.5 + rng.unit())) as u32;
            (id, bar(instrument, shape, share, trades.max(1), open_ms, interval_s))
        }));
    }
    bars.sort_by_key(|(id, bar)| (bar.open_ms, *id));
    bars
}

/// Open, high, low, close in ticks; walked backwards, the close comes first.
type Shape = [Ticks; 4];

fn walk_bar(paths: &mut Paths, steps: i64) -> Vec<Shape> {
    let closes: Vec<f64> = paths.walkers.iter().map(|w| w.price).collect();
    let mut spans: Vec<(f64, f64)> = closes.iter().map(|p| (*p, *p)).collect();
    for _ in 0..steps {
        paths.step();
        for (walker, (low, high)) in paths.walkers.iter().zip(&mut spans) {
            *low = if walker.price < *low { walker.price } else { *low };
            *high = if walker.price > *high { walker.price } else { *high };
        }
    }
    let rounded = |price: f64| Ticks((price + 0.5) as i64);
    let walked = paths.walkers.iter().zip(spans).zip(closes);
    walked.map(|((w, (low, high)), close)| [w.price, high, low, close].map(rounded)).collect()
}

fn bar(
    instrument: &Instrument,
    shape: Shape,
    value: f64,
    trades: u32,
    open_ms: Millis,
    interval_s: u32,
) -> Bar {
    let [open, high, low, close] = shape;
    let middle = Ticks((open.0 + close.0) / 2);
    // Whole order steps, as the venue's volumes are.
    let step_units = (instrument.step.0 / instrument.size_step.0) as i64;
    let step_value = instrument.price(middle).to_f64_lossy() * instrument.step.to_f64_lossy();
    let volume = Size(((value / step_value) as i64).max(1) * step_units);
    Bar {
        open_ms,
        open,
        high,
        low,
        close,
        volume,
        quote_volume: instrument.quote_value(volume, middle).unwrap_or(Dec::ZERO),
        taker_buy_volume: Size(volume.0 / step_units / 2 * step_units),
        event_ms: 0,
        trades,
        interval_s,
        closed: true,
        source: BarSource::History,
        pad: [0; 6],
    }
}
