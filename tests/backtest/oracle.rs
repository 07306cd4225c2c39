//! The table of indicators against TA-Lib's, as a user would compare them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{BTC, ETH, SOL, recorded, report, text_of};

const XBT: &str = "bitmex_xbtusd_1m_20180101_20180105_from_trades";

/// ATR and EMA of a row, by its open time.
type Table = HashMap<i64, [String; 2]>;

fn table(text: &str, time: usize, values: [usize; 2]) -> Table {
    let rows = text.lines().skip(1).map(|line| line.split(',').map(str::to_string).collect::<Vec<_>>());
    rows.map(|row| (row[time].parse().unwrap(), values.map(|i| row[i].clone()))).collect()
}

/// What `--dump-indicators` writes for a candle file.
fn dumped(candles: &Path, dir: &TempDir) -> Table {
    let path = dir.path().join("indicators.csv");
    let (candles, out) = (candles.to_str().unwrap(), path.to_str().unwrap());
    report(&["--candles", candles, "--bar", "1m", "--dump-indicators", out]);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().next(), Some("symbol,open_time,close,atr14,ema200"));
    table(&text, 1, [3, 4])
}

/// The largest relative error of ours against the oracle's values times `scale`, and how many were
/// compared; every row of the oracle is there.
fn compare(ours: &Table, oracle: &Table, scale: f64, missing: usize) -> (f64, usize) {
    let (mut worst, mut compared, mut absent) = (0.0f64, 0, 0);
    for (time, expected) in oracle {
        let Some(row) = ours.get(time) else {
            absent += 1;
            continue;
        };
        for (ours, expected) in row.iter().zip(expected) {
            assert_eq!(ours.is_empty(), expected.is_empty(), "at {time}: {ours:?} is not {expected:?}");
            if !expected.is_empty() {
                let expected = expected.parse::<f64>().unwrap() * scale;
                worst = worst.max((ours.parse::<f64>().unwrap() / expected - 1.0).abs());
                compared += 1;
            }
        }
    }
    assert_eq!(absent, missing, "rows of the oracle without a bar");
    (worst, compared)
}

fn oracle(name: &str) -> Option<Table> {
    let text = text_of(&recorded(&format!("oracle/{name}_atr14_ema200.csv.zst"))?);
    Some(table(&text, 1, [3, 4]))
}

#[test]
fn indicators_equal_ta_lib() {
    for name in [BTC, ETH, SOL, XBT] {
        let Some(oracle) = oracle(name) else { return };
        let Some(candles) = recorded(&format!("candles/{name}.csv.zst")) else { return };
        let dir = TempDir::new().unwrap();
        let (worst, compared) = compare(&dumped(&candles, &dir), &oracle, 1.0, 0);
        println!("{name}: largest relative error {worst:.1e} of {compared} values");
        assert!(worst <= 1e-9 && compared >= 2 * oracle.len() - 213, "{name}: {worst:e} of {compared}");
    }
}

/// A price 10^-12 of what it was: the point goes twelve places to the left.
fn shrink(price: &str) -> String {
    let (whole, fraction) = price.split_once('.').unwrap_or((price, ""));
    format!("0.{:0>12}{fraction}", whole)
}

#[test]
fn indicators_of_tiny_prices_equal_ta_lib_and_do_not_stall() {
    let (Some(oracle), Some(path)) = (oracle(BTC), recorded(&format!("candles/{BTC}.csv.zst"))) else {
        return;
    };
    let dir = TempDir::new().unwrap();
    let mut text = String::from("open_time,open,high,low,close,volume\n");
    for line in text_of(&path).lines().skip(1) {
        let row: Vec<&str> = line.split(',').collect();
        let [open, high, low, close] = [1, 2, 3, 4].map(|i| shrink(row[i]));
        text += &format!("{},{open},{high},{low},{close},{}\n", row[0], row[5]);
    }
    let tiny = dir.path().join("btcusdt_tiny.csv");
    fs::write(&tiny, text).unwrap();
    let (worst, compared) = compare(&dumped(&tiny, &dir), &oracle, 1e-12, 0);
    println!("prices near 1e-7: largest relative error {worst:.1e} of {compared} values");
    assert!(worst <= 1e-6 && compared > 140_000, "{worst:e} of {compared}");
}
