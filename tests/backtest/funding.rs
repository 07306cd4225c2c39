//! Funding of candles and trades: what is held over a funding time pays its notional times the rate.

use std::process::Command;

use quantum_trader::num::{Dec, Rounding};
use serde_json::Value;
use tempfile::TempDir;

use super::bars::{Candle, START_MS, candle_file, swings};
use super::{backtest, count, report};

const EIGHT_MS: i64 = START_MS + 8 * 3_600_000;

/// Of a kind, from the journal of a run.
fn entries(journal: &str, kind: &str) -> Vec<Value> {
    let mut dump = Command::new(env!("CARGO_BIN_EXE_qtx"));
    let dump = dump.args(["journal", "dump", journal, "--json", "--kind", kind]).output().unwrap().stdout;
    let lines = String::from_utf8(dump).unwrap();
    lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone()).collect()
}

fn dec(value: &Value) -> Dec {
    Dec::parse(value.as_str().unwrap()).unwrap()
}

/// What funding changed in a run of the candles, what it should have, and the run's own sum.
fn funded(candles: &[Candle], rate: &str) -> (Vec<Dec>, Dec, Dec) {
    let dir = TempDir::new().unwrap();
    let (path, journal) = (candle_file(candles, &dir), dir.path().join("journal"));
    let journal = journal.to_str().unwrap();
    let args =
        ["--candles", &path, "--bar", "1m", "--risk", "off", "--funding-rate", rate, "--journal", journal];
    let report = report(&args);
    let held = entries(journal, "Fill").iter().fold(Dec::ZERO, |held, fill| {
        let counts = fill["event_ms"].as_i64().unwrap() < EIGHT_MS;
        let quantity = if counts { dec(&fill["quantity"]) } else { Dec::ZERO };
        if fill["side"] == "BUY" { held + quantity } else { held - quantity }
    });
    let trades = entries(journal, "AggTrade");
    let before = trades.iter().rev().find(|trade| trade["event_ms"].as_i64().unwrap() < EIGHT_MS).unwrap();
    let notional = held.mul(dec(&before["price"]), Rounding::HalfEven).unwrap();
    let due = notional.mul(Dec::parse(rate).unwrap(), Rounding::HalfEven).unwrap();
    let updates = entries(journal, "AccountUpdate");
    let paid = updates.iter().filter(|update| update["reason"] == "Funding");
    let paid = paid.map(|update| {
        assert_eq!(update["event_ms"], EIGHT_MS);
        dec(&update["change"])
    });
    let sum = &report["off"]["total"]["funding"];
    (paid.collect(), -due.round(8, Rounding::HalfEven), Dec::parse(&sum.to_string()).unwrap())
}

#[test]
fn a_long_over_eight_oclock_pays_and_a_short_receives() {
    let candles = swings();
    // The same prices upside down: what was long is short.
    let mirrored: Vec<Candle> = candles
        .iter()
        .map(|[open, high, low, close]| [open, low, high, close].map(|p| 1_200_000 - p))
        .collect();
    let mut signs = Vec::new();
    for candles in [candles, mirrored] {
        for rate in ["0.0001", "-0.00375"] {
            let (paid, due, sum) = funded(&candles, rate);
            assert_ne!(due, Dec::ZERO, "something is held over the hour");
            assert_eq!((&paid[..], sum), (&[due][..], due), "and its trade is closed");
            signs.push(due.is_negative());
        }
    }
    let [long, short] = [signs[0], signs[2]];
    assert_ne!(long, short, "one side pays, the other receives");
    assert_eq!(signs, [long, !long, short, !short], "by the sign of the rate");
}

#[test]
fn without_a_rate_nothing_is_paid_and_decisions_are_the_same() {
    let dir = TempDir::new().unwrap();
    let path = candle_file(&swings(), &dir);
    let run =
        |rate: &[&str]| report(&[&["--candles", &path, "--bar", "1m", "--risk", "both"], rate].concat());
    let (none, base) = (run(&["--funding-rate", "0"]), run(&[]));
    assert_eq!((none["funding_rate"].as_str(), base["funding_rate"].as_str()), (Some("0"), Some("0.0001")));
    for column in ["on", "off"] {
        let (none, base) = (&none[column], &base[column]);
        assert_eq!(none["total"]["funding"].to_string().trim_end_matches(['0', '.']), "");
        // Where nothing is held at eight, nobody needs the mark price.
        let held = u64::from(base["total"]["funding"].as_f64() != Some(0.0));
        assert_eq!(count(&base["run"]["frames"]), count(&none["run"]["frames"]) + held, "{column}");
        for figure in ["signals", "approved", "rejected", "trades_closed", "fees"] {
            assert_eq!(none["total"][figure], base["total"][figure], "{column} {figure}");
        }
    }
}

#[test]
fn rates_no_venue_announces_are_refused() {
    let dir = TempDir::new().unwrap();
    let path = candle_file(&swings()[..2], &dir);
    for rate in ["x", "0.051", "-1", "0.000000001"] {
        let output = backtest(&["--candles", &path, "--funding-rate", rate]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{rate}: {error}");
        assert!(error.contains("--funding-rate") && error.contains("-0.05 to 0.05"), "{error}");
    }
}
