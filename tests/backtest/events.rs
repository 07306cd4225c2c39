//! Backtests of trades and candles as events: as runs over frames are, and without reading files first.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::{ETH, count, days, decided, recorded, report};

/// Rows of the aggTrades columns: a trade every half second or so, wandering by ticks of 0.1, and where
/// `between` says so one price between two ticks.
fn rows(count: usize, between: Option<usize>) -> String {
    let (mut text, mut state, mut price, mut ms) = (String::new(), 7u64, 650_000i64, 1_704_067_200_000i64);
    for i in 0..count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = (state >> 33) as i64;
        price += draw % 41 - 20 + if (i / 4_000).is_multiple_of(2) { 3 } else { -3 };
        ms += draw % 900;
        let odd = if between == Some(i) { "5" } else { "" };
        let (whole, tenth) = (price / 10, price % 10);
        text += &format!("{i},{whole}.{tenth}{odd},0.{:03},{i},{i},{ms},{}\n", 1 + draw % 900, draw % 2 == 0);
    }
    text
}

fn written(dir: &TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("btcusdt.csv");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_price_between_two_ticks_far_into_a_file_is_met_and_run_with_a_finer_tick() {
    let dir = TempDir::new().unwrap();
    let path = written(&dir, &rows(30_000, Some(25_000)));
    let args = ["--trades", path.to_str().unwrap(), "--bar", "1m"];
    let report = report(&args);
    assert_eq!(
        (&report["instruments"][0]["tick"], &report["instruments"][0]["listed_tick"]),
        (&Value::from("0.05"), &Value::from("0.1"))
    );
    assert_eq!(report["on"]["fault"], Value::Null);
    assert!(report["market"][0]["to"].is_string(), "it was read through");
    let bars = count(&report["on"]["run"]["events"]);
    assert!(bars > 60_000, "the whole file was run: {bars} events");
}

/// The same market over frames, and with a journal: the same decisions and the same money.
fn agree(dir: &TempDir, market: &[&str], run_market: &[&str], set: &[&str]) -> Value {
    let of = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let plain = report(&[market, set].concat());
    let kept = report(&[market, &["--journal", &of("kept")], set].concat());
    assert_eq!(decided(plain.clone()), decided(kept), "a journal changes nothing");
    let run = [&["run", "--transport", "direct", "--speed", "max", "--json"], run_market, set].concat();
    let output = Command::new(env!("CARGO_BIN_EXE_qtx")).args(run).args(["--journal", &of("run")]).output();
    let run: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    for figure in [
        "signals",
        "approved",
        "rejected",
        "fills",
        "trades_closed",
        "stop_moves",
        "exits",
        "realized_pnl",
        "fees",
        "alarms",
    ] {
        assert!(!run[figure].is_null(), "{figure}");
        assert_eq!(plain["on"]["run"][figure], run[figure], "{figure}");
    }
    fs::remove_dir_all(of("kept")).unwrap();
    fs::remove_dir_all(of("run")).unwrap();
    run
}

#[test]
fn a_backtest_of_trades_decides_as_a_run_does() {
    let dir = TempDir::new().unwrap();
    let made = written(&dir, &rows(60_000, None));
    let recorded = recorded("trades/binance_um_btcusdt_20240718_20240719_aggtrades.csv.zst");
    for path in [Some(made), recorded].into_iter().flatten() {
        let path = path.to_str().unwrap();
        let set = ["--bar", "1s", "--set", "RM_MIN_STOP_COST=0", "--set", "RM_MIN_VOLUME_24H=1"];
        let run = agree(&dir, &["--trades", path], &["--market", path], &set);
        assert!(count(&run["approved"]) > 0, "{run:#}");
    }
}

/// Signals come with the bars here, and quotes that nothing needs are left out before them.
#[test]
fn a_backtest_of_candles_decides_as_a_run_does() {
    let dir = TempDir::new().unwrap();
    let made = ["--market", "candles:3:5:gaps=2"];
    let run = agree(
        &dir,
        &[&made[..], &["--days", "3"]].concat(),
        &[&made[..], &["--duration", "259200"]].concat(),
        &["--bar", "15m"],
    );
    assert!(count(&run["trades_closed"]) > 3, "{run:#}");
    let Some(path) = days(ETH, 3, &dir) else { return };
    let path = path.to_str().unwrap();
    let market = ["--candles", path, "--funding-rate", "0"];
    let run = agree(&dir, &market, &["--market", path], &["--bar", "1m", "--set", "RM_MIN_STOP_COST=0"]);
    assert!(count(&run["trades_closed"]) > 10, "{run:#}");
}
