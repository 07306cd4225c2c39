//! `qtx backtest` through the program itself: its columns, its table of indicators, what happens inside
//! a bar, and its refusals.
//!
//! Recordings are read from `QT_TEST_DATA` (default `../shared/data`); tests that need them say so and
//! pass without.

mod bars;
mod days;
mod funding;
mod made;
mod oracle;
mod events;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

const BTC: &str = "binance_um_btcusdt_1m_20250504_20250624";
const ETH: &str = "binance_um_ethusdt_1m_20250504_20250624";
const SOL: &str = "binance_um_solusdt_1m_20250504_20250624";

fn backtest<S: AsRef<OsStr>>(args: &[S]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qtx"));
    // Settings of whoever runs the tests are not the tests'.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("RM_") || name.starts_with("QT_") {
            command.env_remove(&*name);
        }
    }
    command.arg("backtest").args(args).output().unwrap()
}

/// The JSON report of a backtest that must succeed.
fn report(args: &[&str]) -> Value {
    let output = backtest(&[args, &["--json"]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{args:?}: {} {error}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

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

fn text_of(path: &Path) -> String {
    String::from_utf8(zstd::decode_all(fs::File::open(path).unwrap()).unwrap()).unwrap()
}

/// The first days of recorded candles, in a folder of their own.
fn days(name: &str, days: usize, dir: &TempDir) -> Option<PathBuf> {
    let text = text_of(&recorded(&format!("candles/{name}.csv.zst"))?);
    let path = dir.path().join(format!("{name}.csv"));
    let lines: Vec<&str> = text.lines().take(1 + days * 1_440).collect();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    Some(path)
}

fn zip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("table.csv", SimpleFileOptions::default()).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap().into_inner()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

/// Without what is another at every run: how long it took.
fn decided(mut report: Value) -> Value {
    for column in ["on", "off"] {
        if let Some(column) = report[column].as_object_mut() {
            column.remove("seconds");
            let run = column["run"].as_object_mut().unwrap();
            for name in ["latency_ns", "hot_page_faults", "journal"] {
                run.remove(name);
            }
        }
    }
    report["market"] = Value::Null;
    report
}

#[test]
fn three_instruments_run_together_with_and_without_the_risk_layer() {
    let dir = TempDir::new().unwrap();
    let paths: Option<Vec<PathBuf>> = [BTC, ETH, SOL].iter().map(|name| days(name, 8, &dir)).collect();
    let Some(paths) = paths else { return };
    let files: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    let report = report(&[&["--risk", "both", "--candles"], &files[..]].concat());
    for column in ["on", "off"] {
        let column = &report[column];
        let total = &column["total"];
        assert_eq!(count(&column["run"]["decode_errors"]), 0);
        assert_eq!(count(&column["run"]["hot_allocations"]), 0);
        let parts = column["instruments"].as_object().unwrap();
        assert_eq!(parts.keys().collect::<Vec<_>>(), ["BTCUSDT", "ETHUSDT", "SOLUSDT"]);
        for figure in ["signals", "approved", "trades_closed", "wins"] {
            let sum: u64 = parts.values().map(|part| count(&part[figure])).sum();
            assert_eq!(sum, count(&total[figure]), "{figure}");
            assert_eq!(count(&total["signals"]), count(&column["run"]["signals"]));
        }
        assert!(count(&total["trades_closed"]) >= 5, "{total:#}");
        assert!(column["account"]["max_daily_drawdown_pct"].as_f64().unwrap() > 0.0);
        assert_eq!(column["account"]["returns"], 9, "the days that were begun");
    }
    let (on, off) = (&report["on"]["total"], &report["off"]["total"]);
    assert_eq!(on["signals"], off["signals"], "both columns saw the same market");
    assert!(count(&off["approved"]) > count(&on["approved"]));
}

#[test]
fn with_the_risk_layer_off_every_signal_is_taken_that_can_be() {
    let dir = TempDir::new().unwrap();
    let Some(path) = days(ETH, 6, &dir) else { return };
    let journal = dir.path().join("journal");
    // Whatever the layer is set to.
    let report = report(&[
        "--candles",
        path.to_str().unwrap(),
        "--risk",
        "off",
        "--journal",
        journal.to_str().unwrap(),
        "--set",
        "RM_MIN_CONFIDENCE=1",
        "--set",
        "RM_MAX_CONCURRENT_TRADES=1",
    ]);
    assert_eq!(report["on"], Value::Null);
    let total = &report["off"]["total"];
    let rejected = total["rejected"].as_object().unwrap();
    assert_eq!(rejected.keys().collect::<Vec<_>>(), ["position"], "an instrument has one position");
    assert_eq!(total["approval_rate_flat"], 1.0);
    assert!(count(&total["approved"]) > 20);
    let run = &report["off"]["run"];
    assert_eq!(run["stop_moves"], serde_json::json!({}), "plain stops stay where they are");
    let exits: Vec<&String> = run["exits"].as_object().unwrap().keys().collect();
    assert!(exits.iter().all(|exit| ["STOP_LOSS", "TAKE_PROFIT"].contains(&exit.as_str())), "{exits:?}");
    // Whoever reads the journal sees which mode it was, and every decision with its size.
    let text = fs::read_to_string(journal.join("trade_decisions.log")).unwrap();
    let sizes = text.lines().filter(|line| line.contains("SIZING"));
    for line in sizes.clone() {
        let notional: f64 =
            line.split("notional=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!((490.0..=500.0).contains(&notional), "{line}");
    }
    assert_eq!(sizes.count() as u64, count(&total["approved"]));
    let mut dump = Command::new(env!("CARGO_BIN_EXE_qtx"));
    let dump = dump.args(["journal", "dump", journal.to_str().unwrap()]).output().unwrap().stdout;
    assert!(String::from_utf8_lossy(&dump).contains("RM_ENABLE_RISK_LAYER = false"));
}

#[test]
fn a_file_is_the_same_market_however_it_is_packed() {
    let dir = TempDir::new().unwrap();
    let Some(plain) = days(BTC, 4, &dir) else { return };
    let bytes = fs::read(&plain).unwrap();
    let packed = [("zst", zstd::encode_all(&bytes[..], 3).unwrap()), ("zip", zip(&bytes))];
    let run =
        |path: &Path| decided(report(&["--candles", path.to_str().unwrap(), "--bar", "1m", "--risk", "off"]));
    let expected = run(&plain);
    assert!(count(&expected["off"]["total"]["trades_closed"]) > 0);
    for (ending, bytes) in packed {
        // As the venue names them.
        let path = dir.path().join(format!("BTCUSDT-1m-2025-05.{ending}"));
        fs::write(&path, bytes).unwrap();
        assert_eq!(run(&path), expected, "{ending}");
    }
    // Two files that follow each other are one.
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let parts = [("a", &lines[1..2_000]), ("b", &lines[2_000..])].map(|(name, lines)| {
        let path = dir.path().join(format!("btcusdt_{name}.csv"));
        fs::write(&path, lines.join("\n")).unwrap();
        path.to_str().unwrap().to_string()
    });
    let both = report(&["--candles", &parts[1], &parts[0], "--bar", "1m", "--risk", "off"]);
    let bars = |report: &Value| count(&report["off"]["run"]["instruments"]["BTCUSDT"]["bars"]);
    assert_eq!(bars(&both), bars(&expected));
}

#[test]
fn trades_and_frames_are_run_too() {
    let files = [
        ("--trades", "trades/binance_um_btcusdt_20240718_20240719_aggtrades.csv.zst", 1),
        ("--frames", "frames/binance_um_btcusdt_ethusdt_20240718_20240719.tsv.zst", 2),
    ];
    for (flag, name, instruments) in files {
        let Some(path) = recorded(name) else { return };
        let report = report(&[flag, path.to_str().unwrap(), "--bar", "1s", "--risk", "both"]);
        for column in ["on", "off"] {
            let column = &report[column];
            assert_eq!(count(&column["run"]["decode_errors"]), 0, "{name}");
            assert!(count(&column["total"]["signals"]) > 0, "{name}");
            assert_eq!(column["instruments"].as_object().unwrap().len(), instruments, "{name}");
        }
    }
}

#[test]
fn refusals_say_what_is_wrong_and_what_is_allowed() {
    let dir = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    };
    let row = |minute: i64| format!("{},1,2,1,1,5\n", 1_746_372_780_000 + minute * 60_000);
    let candles = file("btcusdt.csv", &(row(0) + &row(1)));
    let again = file("BTCUSDT-again.csv", &(row(1) + &row(2)));
    let nameless = file("nameless.csv", &(row(0) + &row(1)));
    let broken = file("ethusdt.csv", &(row(0) + &row(1) + "x,1,2,1,1,5\n"));
    let (bad_zip, empty) = (file("solusdt.zip", "PK\u{3}\u{4}rest"), file("empty.csv", ""));
    let missing = dir.path().join("nosuch").to_str().unwrap().to_string();
    let nowhere = dir.path().join("nosuch/ind.csv").to_str().unwrap().to_string();
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["nothing to run", "--candles"]),
        (&["--candles", &missing], &["--candles", "nosuch", "no such file"]),
        (&["--trades", &candles], &["--trades", "holds candles", "trades are allowed"]),
        (&["--candles", &nameless], &["symbol in the file's name", "BTCUSDT"]),
        (&["--candles", &nameless, "--symbol", "NOSUCH"], &["--symbol \"NOSUCH\"", "BTCUSDT"]),
        (&["--candles", &empty], &["is empty"]),
        (&["--candles", &bad_zip], &["zip archive", "of one file"]),
        (&["--candles", &candles, &again], &["overlap in time", "BTCUSDT"]),
        (&["--candles", &candles, "--bar", "5s"], &["QT_BAR_INTERVAL 5s", "multiple", "60 s"]),
        (&["--candles", &candles, "--dump-indicators", &nowhere], &["--dump-indicators"]),
        (&["--candles", &candles, "--ring-dir", &missing], &["--ring-dir", "no such folder"]),
        (&["--candles", &candles, "--set", "RM_ENABLE_RISK_LAYER=maybe"], &["RM_ENABLE_RISK_LAYER", "maybe"]),
        // The figures up to there are printed all the same.
        (&["--candles", &broken, "--json"], &["ethusdt.csv:3", "open_time \"x\"", "ended there"]),
    ];
    for (args, words) in cases {
        let output = backtest(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        words.iter().for_each(|word| assert!(error.contains(word), "{args:?}: {word:?} in {error}"));
    }
    let broken = backtest(&["--candles", &broken, "--json"]);
    let report: Value = serde_json::from_slice(&broken.stdout).unwrap();
    assert!(count(&report["on"]["run"]["events"]) > 0);
    assert!(report["on"]["fault"].as_str().unwrap().contains("ethusdt.csv:3"));
}
