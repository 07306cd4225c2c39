//! What happens inside a bar: a made file of candles in which one of them holds a stop and a target, or
//! opens beyond a stop.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{count, report};

pub const START_MS: i64 = 1_746_316_800_000;
const MINUTE_MS: i64 = 60_000;

/// Open, high, low, close in tenths.
pub type Candle = [i64; 4];

/// A few hours that swing, so that the voters agree now and then, without chance.
pub fn swings() -> Vec<Candle> {
    let mut price = 600_000;
    let mut state = 12_345u64;
    (0..600)
        .map(|i| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = (state >> 33) as i64 % 400 - 200;
            let trend = if (i / 40) % 2 == 0 { 90 } else { -90 };
            let (open, close) = (price, price + trend + noise);
            price = close;
            [open, open.max(close) + 60, open.min(close) - 60, close]
        })
        .collect()
}

/// A closed trade as the journal has it; prices in tenths.
#[derive(Clone, Debug)]
struct Trade {
    long: bool,
    /// Candle in which it was entered, and the one in which it ended.
    opened: usize,
    closed: usize,
    stop: f64,
    target: f64,
    exit: f64,
    signal: String,
}

/// Candles of a minute as a file.
pub fn candle_file(candles: &[Candle], dir: &TempDir) -> String {
    let path = dir.path().join("btcusdt.csv");
    let tenth = |price: i64| format!("{}.{}", price / 10, price % 10);
    let mut text = String::new();
    for (i, candle) in candles.iter().enumerate() {
        let [open, high, low, close] = candle.map(tenth);
        text += &format!("{},{open},{high},{low},{close},900\n", START_MS + i as i64 * MINUTE_MS);
    }
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_string()
}

/// Runs the candles with the risk layer off; its trades in order of their ends.
fn trades(candles: &[Candle]) -> Vec<Trade> {
    let dir = TempDir::new().unwrap();
    let (path, journal) = (candle_file(candles, &dir), dir.path().join("journal"));
    let journal = journal.to_str().unwrap();
    // So little that the touch has it: what it lacks would fill a step later.
    let little = ["--set", "RM_OFF_POSITION_USD=100"];
    let args = ["--candles", &path, "--bar", "1m", "--risk", "off", "--journal", journal];
    let report = report(&[&args[..], &little].concat());
    let mut dump = Command::new(env!("CARGO_BIN_EXE_qtx"));
    let dump = dump.args(["journal", "dump", journal, "--json"]).output().unwrap().stdout;
    let entries = String::from_utf8(dump).unwrap();
    let entries = entries.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (mut filled, mut trades) = (Value::Null, Vec::new());
    for entry in entries {
        match entry["kind"].as_str() {
            // An entry may fill in parts; the last has the levels.
            Some("EntryFilled") => filled = entry["fields"].clone(),
            Some("TradeClosed") => trades.push(trade(&filled, &entry["fields"])),
            _ => {}
        }
    }
    assert_eq!(trades.len() as u64, count(&report["off"]["total"]["trades_closed"]));
    trades
}

fn trade(filled: &Value, closed: &Value) -> Trade {
    assert_eq!(filled["trade"], closed["trade"], "one instrument, one trade at a time");
    let price = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap() * 10.0;
    let minute = |ns: &Value| (ns.as_i64().unwrap() / 1_000_000 - START_MS) / MINUTE_MS;
    Trade {
        long: closed["side"] == "LONG",
        opened: minute(&closed["opened_ns"]) as usize,
        closed: minute(&closed["closed_ns"]) as usize,
        stop: price(&filled["stop"]),
        target: price(&filled["target"]),
        exit: price(&closed["exit"]),
        signal: closed["signal"].as_str().unwrap().to_string(),
    }
}

/// The first long and the first short of the swings; nothing before their entries is touched below.
fn first_of_each(candles: &[Candle]) -> [Trade; 2] {
    let trades = trades(candles);
    [true, false].map(|long| trades.iter().find(|trade| trade.long == long).expect("both sides").clone())
}

/// The trade of the changed candles that was entered as `before` was.
fn again(candles: &[Candle], before: &Trade) -> Trade {
    let trades = trades(candles);
    let same = trades.iter().find(|trade| trade.opened == before.opened && trade.long == before.long);
    let same = same.expect("the entry came before the change").clone();
    assert_eq!((same.stop, same.target), (before.stop, before.target));
    same
}

#[test]
fn a_bar_that_holds_stop_and_target_ends_at_the_stop() {
    let candles = swings();
    for before in first_of_each(&candles) {
        let [worst, best] = [before.stop.min(before.target), before.stop.max(before.target)];
        for rises in [true, false] {
            // Both lie well inside the bar in which the trade was entered.
            let mut changed = candles.clone();
            let [open, ..] = candles[before.opened];
            let close = if rises { open + 30 } else { open - 30 };
            changed[before.opened] = [open, best as i64 + 900, worst as i64 - 900, close];
            let trade = again(&changed, &before);
            assert_eq!((trade.closed, trade.signal.as_str()), (trade.opened, "STOP_LOSS"), "{trade:?}");
            // Filled where the stop lay, and not at the end of the bar: a basis point of 60,000.0 is 60
            // tenths, and the spread one.
            let beyond = if trade.long { trade.stop - trade.exit } else { trade.exit - trade.stop };
            assert!((0.0..=66.0).contains(&beyond), "{beyond} beyond the stop: {trade:?}");
        }
    }
}

#[test]
fn a_target_alone_is_taken_where_it_lies() {
    let candles = swings();
    for before in first_of_each(&candles) {
        let mut changed = candles.clone();
        let [open, ..] = candles[before.opened];
        let target = before.target as i64;
        changed[before.opened] = match before.long {
            true => [open, target + 900, open - 10, open],
            false => [open, open + 10, target - 900, open],
        };
        let trade = again(&changed, &before);
        assert_eq!((trade.closed, trade.signal.as_str()), (trade.opened, "TAKE_PROFIT"), "{trade:?}");
        let beyond = if trade.long { trade.exit - trade.target } else { trade.target - trade.exit };
        assert!((0.0..=66.0).contains(&beyond), "{beyond} beyond the target: {trade:?}");
    }
}

#[test]
fn a_gap_beyond_the_stop_fills_at_the_open() {
    let candles = swings();
    for before in first_of_each(&candles) {
        let mut changed = candles.clone();
        let [open, ..] = candles[before.opened];
        changed[before.opened] = [open, open + 10, open - 10, open];
        // The next bar opens 500 beyond the stop and comes back at once.
        let (stop, side) = (before.stop as i64, if before.long { 1 } else { -1 });
        let gap = stop - 5_000 * side;
        changed[before.opened + 1] = [gap, gap.max(open), gap.min(open), open];
        let trade = again(&changed, &before);
        assert_eq!((trade.closed, trade.signal.as_str()), (before.opened + 1, "STOP_LOSS"), "{trade:?}");
        assert_eq!(trade.exit, gap as f64, "at the open, not at the stop of {stop}: {trade:?}");
    }
}
