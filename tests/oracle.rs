//! Indicators and bars against what others computed from the same data: ATR and EMA against TA-Lib
//! in float64, bars built from trades against candles summed up elsewhere.
//!
//! Recordings are read from `QT_TEST_DATA` (default `../shared/data`); without them the tests say so
//! and pass.

use std::collections::HashMap;
use std::path::PathBuf;

use fixed::types::I32F32;
use quantum_trader::decode::{Decoded, Decoder};
use quantum_trader::engine::{Engine, Outbox};
use quantum_trader::event::{
    Bar, BarSource, Instrument, InstrumentSpec, InstrumentTable, OutputBody, SizeUnit,
};
use quantum_trader::market::{BarUpdate, Closed, Ema, MarketParams, MarketState, OHLC, Smoothing};
use quantum_trader::num::{Dec, Size, Ticks, TimeNs};
use quantum_trader::risk::config::Settings;
use quantum_trader::sim::market::{MarketSource, Trades};
use quantum_trader::venue::builtin_instruments;

const MINUTE_MS: i64 = 60_000;
const MINUTE: MarketParams = MarketParams {
    bar_interval_s: 60,
    ema_period: 200,
    atr_period: 14,
    atr_smoothing: Smoothing::Wilder,
    correlation_bars: 96,
};
const TRADES: &str = "trades/bitmex_xbtusd_20180101_20180105_aggtrades.csv.zst";
const TRADES_CANDLES: &str = "bitmex_xbtusd_1m_20180101_20180105_from_trades";

/// The recorded file, if there is one.
fn recorded(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("QT_TEST_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = data.join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// The rows of a compressed table without its header.
fn rows(name: &str) -> Option<Vec<Vec<String>>> {
    let file = std::fs::File::open(recorded(name)?).unwrap();
    let text = String::from_utf8(zstd::decode_all(file).unwrap()).unwrap();
    Some(text.lines().skip(1).map(|line| line.split(',').map(str::to_string).collect()).collect())
}

fn table() -> InstrumentTable {
    builtin_instruments("0.0005").unwrap()
}

fn instrument(symbol: &str) -> Instrument {
    let table = table();
    *table.get(table.find(symbol).unwrap()).unwrap()
}

/// A row of a candle file: open_time, open, high, low, close, volume, close_time, quote_volume,
/// count, taker_buy_volume. Blank counts and volumes are 0.
fn candle(row: &[String], instrument: &Instrument) -> OHLC {
    let price = |i: usize| instrument.parse_price(row[i].as_bytes()).unwrap();
    let size = |i: usize| match row[i].as_str() {
        "" => Size(0),
        text => instrument.parse_size(text.as_bytes()).unwrap(),
    };
    OHLC {
        open_ms: row[0].parse().unwrap(),
        open: price(1),
        high: price(2),
        low: price(3),
        close: price(4),
        volume: size(5),
        taker_buy_volume: size(9),
        trades: if row[8].is_empty() { 0 } else { row[8].parse().unwrap() },
    }
}

/// A closed bar of the venue, taken up by the market.
fn take(market: &mut MarketState, bar: &OHLC) {
    let bar = Bar { source: BarSource::Kline, ..Bar::from((bar, 60)) };
    let update = market.on_bar(TimeNs::from_ms(bar.open_ms + MINUTE_MS), &bar);
    assert!(matches!(update, BarUpdate::Closed { closed: Closed { flat_before: 0, .. }, .. }), "{update:?}");
}

/// Panics unless `ours` is the oracle's value to 1e-9 of it and in its first eight digits.
fn same(ours: Option<Dec>, oracle: &str, what: &str) -> bool {
    assert_eq!(ours.is_none(), oracle.is_empty(), "{what}: {ours:?} is not {oracle:?}");
    let Some(ours) = ours else { return false };
    let (ours, oracle) = (ours.to_f64_lossy(), oracle.parse::<f64>().unwrap());
    assert!(((ours - oracle) / oracle).abs() < 1e-9, "{what}: {ours} is not {oracle}");
    assert_eq!(format!("{ours:.7e}"), format!("{oracle:.7e}"), "{what}: {ours} is not {oracle}");
    true
}

/// An instrument of another tick than its row in the table has.
fn with_tick(symbol: &str, tick: &str) -> Instrument {
    let spec = InstrumentSpec {
        symbol,
        tick,
        step: "1",
        min_quantity: "1",
        max_quantity: "",
        min_notional: "5",
        taker_fee: "0.0005",
        maintenance_margin: "0.02",
        size_unit: SizeUnit::Base,
    };
    Instrument::from_spec(&spec).unwrap()
}

/// Feeds a candle file; how many ATRs and EMAs were compared.
fn indicators(name: &str, instrument: Instrument) -> Option<(usize, usize)> {
    let candles = rows(&format!("candles/{name}.csv.zst"))?;
    let oracle = rows(&format!("oracle/{name}_atr14_ema200.csv.zst"))?;
    let oracle: HashMap<i64, Vec<String>> =
        oracle.into_iter().map(|row| (row[1].parse().unwrap(), row)).collect();
    let symbol = instrument.symbol;
    let mut market = MarketState::new(instrument, MINUTE);
    let (mut joined, mut atrs, mut emas) = (0, 0, 0);
    for row in &candles {
        let bar = candle(row, &instrument);
        take(&mut market, &bar);
        let Some(expected) = oracle.get(&bar.open_ms) else { continue };
        joined += 1;
        atrs +=
            usize::from(same(market.atr_value, &expected[3], &format!("{symbol} ATR at {}", bar.open_ms)));
        emas +=
            usize::from(same(market.ema_value, &expected[4], &format!("{symbol} EMA at {}", bar.open_ms)));
    }
    assert_eq!(joined, oracle.len(), "{symbol}: every row of the oracle has its candle");
    println!("{symbol}: {} bars, {atrs} ATRs and {emas} EMAs equal", candles.len());
    Some((atrs, emas))
}

#[test]
fn indicators_equal_ta_lib_on_recorded_candles() {
    for (name, instrument, rows) in [
        ("binance_um_btcusdt_1m_20250504_20250624", instrument("BTCUSDT"), 73_138),
        ("binance_um_ethusdt_1m_20250504_20250624", instrument("ETHUSDT"), 73_138),
        // Two prices of this recording are off the venue's grid of 0.01. Its oracle has rows 0 to
        // 1,499, every 60th after, and the last hundred.
        ("binance_um_solusdt_1m_20250504_20250624", with_tick("SOLUSDT", "0.001"), 2_700),
        (TRADES_CANDLES, instrument("XBTUSD"), 5_954),
    ] {
        let symbol = instrument.symbol;
        let Some((atrs, emas)) = indicators(name, instrument) else { return };
        assert!(atrs >= rows - 14 && emas >= rows - 199, "{symbol}: {atrs} ATRs and {emas} EMAs");
    }
}

/// Bars the engine closes over a trades file, flat ones included.
fn built_from_trades(path: &std::path::Path, symbol: &str) -> Vec<OHLC> {
    let table = table();
    let settings = Settings { bar_interval_s: 60, ..Settings::DEFAULT };
    let mut engine = Engine::new(&settings, &table);
    let mut decoder = Decoder::new(&table, settings.max_frame_bytes as usize);
    let mut source = Trades::open(path, &instrument(symbol), 1).unwrap();
    let (mut frame, mut out) = (Vec::new(), Outbox::new());
    let mut bars: Vec<OHLC> = Vec::new();
    while let Some(time) = source.next_frame(&mut frame).unwrap() {
        let Decoded::Event(event) = decoder.decode(time, &frame).unwrap() else { panic!("no event") };
        engine.step(&event, &mut out);
        for output in out.outputs() {
            let OutputBody::BarClosed(closed) = output.body else { continue };
            for i in (1..=i64::from(closed.flat_before)).rev() {
                let close = bars.last().expect("a flat bar has one before it").close;
                bars.push(OHLC {
                    open_ms: closed.open_ms - i * MINUTE_MS,
                    open: close,
                    high: close,
                    low: close,
                    close,
                    volume: Size(0),
                    taker_buy_volume: Size(0),
                    trades: 0,
                });
            }
            bars.push(OHLC {
                open_ms: closed.open_ms,
                open: closed.open,
                high: closed.high,
                low: closed.low,
                close: closed.close,
                volume: closed.volume,
                taker_buy_volume: closed.taker_buy_volume,
                trades: closed.trades,
            });
        }
    }
    bars
}

#[test]
fn bars_built_from_trades_equal_the_candles_row_by_row() {
    let Some(path) = recorded(TRADES) else { return };
    let Some(rows) = rows(&format!("candles/{TRADES_CANDLES}.csv.zst")) else { return };
    let instrument = instrument("XBTUSD");
    let candles: Vec<OHLC> = rows.iter().map(|row| candle(row, &instrument)).collect();
    let bars = built_from_trades(&path, "XBTUSD");
    // The last bar is still forming when the trades end.
    assert_eq!(bars.len(), candles.len() - 1);
    for (i, (bar, candle)) in bars.iter().zip(&candles).enumerate() {
        assert_eq!(bar, candle, "row {i}");
    }
    println!("{} bars of {} rows compared, all but the unclosed last", bars.len(), candles.len());
}

/// Ten thousand minutes of a constant price after two hundred at another.
fn settle(market: &mut MarketState, from: Ticks, to: Ticks) {
    for i in 0..10_200 {
        let close = if i < 200 { from } else { to };
        take(
            market,
            &OHLC {
                open_ms: i * MINUTE_MS,
                open: close,
                high: close,
                low: close,
                close,
                volume: Size(1),
                taker_buy_volume: Size(0),
                trades: 1,
            },
        );
    }
}

/// The same average in price units with 32 fractional bits, as 64-bit indicator state would hold it.
fn narrow_ema(from: f64, to: f64) -> f64 {
    let (to, alpha) = (I32F32::from_num(to), I32F32::from_num(2) / 201);
    let mut value = I32F32::from_num(from);
    for _ in 0..10_000 {
        value += (to - value) * alpha;
    }
    value.to_num()
}

#[test]
fn the_ema_of_a_tiny_price_does_not_stall() {
    let tiny = with_tick("TINYUSDT", "0.0000000001");
    // 1e-7 is a thousand ticks; it is reached from half as much again and from below.
    let price = Dec::new(1, 7);
    for from in [1_500, 700] {
        let mut market = MarketState::new(tiny, MINUTE);
        settle(&mut market, Ticks(from), Ticks(1_000));
        assert_eq!(market.ema_value, Some(price), "from {from} ticks");
        assert_eq!(market.atr_value, Some(Dec::ZERO), "from {from} ticks");
    }
    // What this guards against: the narrow state stops a long way off, in at least one direction.
    let off = |from: f64| (narrow_ema(from, 1e-7) / 1e-7 - 1.0).abs();
    assert!(off(0.7e-7) > 0.1, "the narrow state stalled at {}", off(0.7e-7));
}

#[test]
fn a_wrong_indicator_would_be_found() {
    let refused = |ours: Option<Dec>, oracle: &str| {
        let oracle = oracle.to_string();
        std::panic::catch_unwind(move || same(ours, &oracle, "sample")).is_err()
    };
    let value = Some(Dec::new(135_418_020_512_799, 10));
    assert!(same(value, "13541.8020512799", "sample"));
    assert!(refused(value, "13541.8020712799"), "1.5e-9 away");
    assert!(refused(value, ""), "too early");
    assert!(refused(None, "13541.8"), "too late");
    assert!(!same(None, "", "sample"));
    // A period of 201 is not one of 200.
    let (mut right, mut wrong) = (Ema::new(200), Ema::new(201));
    (0..500)
        .for_each(|i| [&mut right, &mut wrong].into_iter().for_each(|ema| ema.update(Ticks(10_000 + i % 7))));
    assert!(right.value() != wrong.value());
}
