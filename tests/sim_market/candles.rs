//! Made candles: a seed is a market, each candle is whole, and prices jump only where gaps are asked for.

use std::collections::HashMap;

use quantum_trader::num::{NS_PER_HOUR, TimeNs};
use quantum_trader::sim::market::{Gaps, MadeCandles, MarketSource, SyntheticConfig};
use serde_json::Value;

use crate::{Timed, data, int, text};

fn config(gaps: Option<Gaps>) -> SyntheticConfig {
    SyntheticConfig { gaps, ..SyntheticConfig::candles(3) }
}

/// The frames of the first hours; their times must not go back.
fn hours(config: SyntheticConfig, seed: u64, hours: i64) -> Vec<Timed> {
    let made = MadeCandles::new(config, seed).unwrap();
    let start = made.start();
    let mut source = made.into_frames();
    let end = start + hours * NS_PER_HOUR;
    let (mut frames, mut frame, mut last) = (Vec::new(), Vec::new(), TimeNs(0));
    while let Some(time) = source.next_frame(&mut frame).unwrap().filter(|time| *time < end) {
        assert!(time >= last, "{time} after {last}");
        last = time;
        frames.push((time, frame.clone()));
    }
    frames
}

fn number(value: &Value) -> f64 {
    text(value).parse().unwrap()
}

/// Closed candles by symbol: open, high, low, close.
fn klines(frames: &[Timed]) -> HashMap<String, Vec<[f64; 4]>> {
    let mut all: HashMap<String, Vec<[f64; 4]>> = HashMap::new();
    for (_, frame) in frames {
        let data = data(frame);
        if data["e"] == "kline" {
            let prices = ["o", "h", "l", "c"].map(|name| number(&data["k"][name]));
            all.entry(text(&data["s"]).to_string()).or_default().push(prices);
        }
    }
    all
}

/// Distances from a close to the next open, where there is one, in shares of the price.
fn jumps(klines: &HashMap<String, Vec<[f64; 4]>>) -> Vec<f64> {
    let pairs = klines.values().flat_map(|bars| bars.windows(2));
    pairs.map(|pair| pair[1][0] / pair[0][3] - 1.0).filter(|share| share.abs() > 1e-3).collect()
}

#[test]
fn a_seed_is_a_market_of_candles_byte_for_byte() {
    let gaps = Some(Gaps { per_day: 20.0, size: 0.03 });
    let first = hours(config(gaps), 7, 6);
    assert_eq!(first, hours(config(gaps), 7, 6));
    assert_ne!(first, hours(config(gaps), 8, 6));
    let digest = first.iter().fold(0, |crc, (_, frame)| crc32c::crc32c_append(crc, frame));
    // The same in every profile and on every machine; changes only with the generator.
    assert_eq!(digest, 3_438_364_494);
}

#[test]
fn every_minute_has_a_candle_its_trades_make_up_and_a_quote_a_second() {
    let frames = hours(config(None), 3, 5);
    let mut traded: HashMap<String, Vec<(i64, f64, f64)>> = HashMap::new();
    let mut quoted: HashMap<String, i64> = HashMap::new();
    let mut candles = 0;
    for (time, frame) in &frames {
        let data = data(frame);
        let symbol = text(&data["s"]).to_string();
        match text(&data["e"]) {
            "aggTrade" => {
                let trade = (int(&data["T"]), number(&data["p"]), number(&data["q"]));
                traded.entry(symbol).or_default().push(trade);
            }
            "bookTicker" => {
                let before = quoted.insert(symbol, time.0).unwrap_or(time.0);
                assert!(time.0 - before <= 1_000_000_000, "{data}");
                assert!(number(&data["b"]) < number(&data["a"]), "{data}");
            }
            "kline" => {
                candles += 1;
                let k = &data["k"];
                let inside = int(&k["t"])..=int(&k["T"]);
                let trades: Vec<_> =
                    traded[&symbol].iter().filter(|(at, ..)| inside.contains(at)).copied().collect();
                let prices = || trades.iter().map(|(_, price, _)| *price);
                assert_eq!(prices().next(), Some(number(&k["o"])), "{k}");
                assert_eq!(prices().next_back(), Some(number(&k["c"])), "{k}");
                assert_eq!(prices().fold(f64::MIN, f64::max), number(&k["h"]), "{k}");
                assert_eq!(prices().fold(f64::MAX, f64::min), number(&k["l"]), "{k}");
                let volume: f64 = trades.iter().map(|(.., size)| size).sum();
                assert!((volume - number(&k["v"])).abs() < 1e-6 * volume, "{k}");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(candles, 3 * 5 * 60 - 3, "the last of each is closed after its end");
}

#[test]
fn a_bar_ranges_over_what_is_asked_for() {
    let klines = klines(&hours(SyntheticConfig { atr_fraction: 0.02, ..config(None) }, 5, 100));
    for (symbol, minutes) in klines {
        let bars = minutes.chunks_exact(15).map(|bar| {
            let high = bar.iter().fold(f64::MIN, |high, candle| high.max(candle[1]));
            let low = bar.iter().fold(f64::MAX, |low, candle| low.min(candle[2]));
            (high - low) / bar[0][0]
        });
        let ranges: Vec<f64> = bars.collect();
        let mean = ranges.iter().sum::<f64>() / ranges.len() as f64;
        assert!((0.014..0.026).contains(&mean), "{symbol}: {mean}");
    }
}

#[test]
fn prices_jump_between_candles_where_gaps_are_asked_for() {
    let whole = jumps(&klines(&hours(config(None), 9, 48)));
    assert_eq!(whole, [0.0; 0], "a candle opens where the one before closed");
    let gaps = Gaps { per_day: 24.0, size: 0.04 };
    let jumped = jumps(&klines(&hours(config(Some(gaps)), 9, 48)));
    // Half of 48 are of all three.
    assert!((50..150).contains(&jumped.len()), "{}", jumped.len());
    assert!(jumped.iter().all(|share| (0.019..0.061).contains(&share.abs())), "{jumped:?}");
    assert!(jumped.iter().any(|share| *share > 0.0) && jumped.iter().any(|share| *share < 0.0));
}

#[test]
fn a_made_past_ends_where_the_candles_begin() {
    let source = MadeCandles::new(config(None), 4).unwrap();
    let (start, bars) = (source.start(), source.history(900, 50));
    assert_eq!(bars.len(), 150);
    let frames = hours(config(None), 4, 1);
    for (id, bar) in &bars[147..] {
        assert_eq!(bar.open_ms + 900_000, start.ms());
        let table = config(None).instruments("0").unwrap();
        let row = table.get(*id).unwrap();
        let first = frames
            .iter()
            .map(|(_, frame)| data(frame))
            .find(|data| data["e"] == "aggTrade" && data["s"].as_str() == Some(row.symbol.as_str()));
        assert_eq!(row.price(bar.close).to_f64_lossy(), number(&first.unwrap()["p"]));
    }
}

#[test]
fn gaps_out_of_range_and_bars_of_seconds_are_refused() {
    let gap = |per_day, size| SyntheticConfig { gaps: Some(Gaps { per_day, size }), ..config(None) };
    let cases = [
        (gap(-1.0, 0.05), "gaps"),
        (gap(f64::NAN, 0.05), "gaps"),
        (gap(1_441.0, 0.05), "gaps"),
        (gap(1.0, 0.0), "gap"),
        (gap(1.0, 0.31), "gap"),
        (SyntheticConfig { bar_interval_s: 90, ..config(None) }, "bar_interval_s"),
    ];
    for (config, field) in cases {
        assert_eq!(MadeCandles::new(config, 1).err().expect(field).field, field);
    }
}
