//! Whole runs through the program itself: what a user types, what comes out, and what the journal
//! says of it.
//!
//! Recordings are read from `QT_TEST_DATA` (default `../shared/data`); tests that need them say so
//! and pass without.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use quantum_trader::event::EventBody;
use serde_json::Value;
use tempfile::TempDir;

/// Half an hour of the made market.
const HALF_HOUR: [&str; 4] = ["--duration", "1800", "--speed", "max"];

fn qtx<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qtx"));
    // Settings of whoever runs the tests are not the tests'.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("RM_") || name.starts_with("QT_") {
            command.env_remove(&*name);
        }
    }
    command.args(args).output().unwrap()
}

/// Standard output of a command that must succeed.
fn ok<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(args: &[S]) -> String {
    let output = qtx(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {} {error}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// A finished run: summary and journal.
struct Run {
    summary: Value,
    dir: TempDir,
}

impl Run {
    fn new(args: &[&str]) -> Run {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        let ring = dir.path().to_str().unwrap();
        // Without sockets: what they change, and that it is nothing, is in tests/sockets.rs.
        let direct = ["--transport", "direct", "--ring-dir", ring];
        let all = [&["run", "--json", "--journal", journal.to_str().unwrap()], &direct[..]].concat();
        let text = ok(&[&all, args].concat());
        Run { summary: serde_json::from_str(&text).unwrap(), dir }
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    fn count(&self, name: &str) -> u64 {
        self.summary[name].as_u64().unwrap_or_else(|| panic!("{name} in {:#}", self.summary))
    }

    fn number(&self, name: &str) -> f64 {
        self.summary[name].as_f64().unwrap_or_else(|| panic!("{name} in {:#}", self.summary))
    }

    /// What `qtx journal verify` says; exit code 0.
    fn verified(&self) -> Value {
        let report = ok(&["journal", "verify", self.journal().to_str().unwrap(), "--json"]);
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["problem"], Value::Null);
        assert_eq!(report["records"], self.summary["journal"]["records"]);
        report
    }

    fn dump(&self) -> String {
        ok(&["journal", "dump", self.journal().to_str().unwrap(), "--json"])
    }

    /// Content of the archive's segments in order.
    fn segments(&self) -> Vec<Vec<u8>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(self.journal())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("segment-"))
            .collect();
        paths.sort();
        assert!(!paths.is_empty(), "no segment in {}", self.journal().display());
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }

    /// Every frame became one event or was skipped by name, and none was refused.
    fn accounts_for(&self, frames: u64, rest_snapshots: u64) {
        assert_eq!(self.count("frames"), frames);
        assert_eq!((self.count("decode_errors"), self.count("unknown_frames")), (0, 0));
        assert_eq!(self.summary["frames_skipped"]["rest_snapshot"], rest_snapshots);
        let skipped: u64 =
            self.summary["frames_skipped"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
        let report = self.verified();
        let kinds = report["kinds"].as_object().unwrap();
        let from_frames: u64 =
            FRAME_KINDS.iter().map(|kind| kinds.get(*kind).map_or(0, |n| n.as_u64().unwrap())).sum();
        assert_eq!(from_frames + skipped, frames, "{kinds:?}");
    }

    /// What holds of every run that trades: nothing allocated, nothing long without a stop.
    fn traded(&self, closed_min: u64) {
        assert!(self.count("trades_closed") >= closed_min, "{} trades closed", self.count("trades_closed"));
        assert!(self.count("approved") >= closed_min, "{} approved", self.count("approved"));
        assert_eq!(self.count("hot_allocations"), 0);
        let unprotected_ms = self.number("unprotected_ms_max");
        let round_trip_ms = self.number("sim_round_trip_ms_max");
        assert!(
            0.0 < unprotected_ms && unprotected_ms <= round_trip_ms,
            "{unprotected_ms} of {round_trip_ms} ms"
        );
    }
}

/// Events the decoder makes, of the recorded markets' frames. Bars come from klines there: a run on
/// files has no history.
const FRAME_KINDS: [&str; 9] =
    ["Trade", "AggTrade", "Quote", "Depth", "Bar", "MarkPrice", "Ticker", "ForceOrder", "DecodeFault"];

/// The recorded file, if there is one.
fn recorded(name: &str) -> Option<String> {
    let data = std::env::var_os("QT_TEST_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = data.join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path.to_str().unwrap().to_string())
}

fn assert_same_bytes(a: &Run, b: &Run) {
    let (a, b) = (a.segments(), b.segments());
    assert_eq!(a.len(), b.len(), "segments");
    for (n, (a, b)) in a.iter().zip(&b).enumerate() {
        let differs = a.iter().zip(b).position(|(x, y)| x != y);
        assert!(a == b, "segment {n}: {} and {} bytes, first difference at {differs:?}", a.len(), b.len());
    }
}

#[test]
fn frame_kinds_are_kinds() {
    for kind in FRAME_KINDS {
        assert!(EventBody::KINDS.iter().any(|(_, name)| *name == kind), "{kind}");
    }
}

#[test]
fn the_made_market_shows_everything_and_again_byte_for_byte() {
    let run = Run::new(&HALF_HOUR);
    run.traded(20);
    assert_eq!((run.count("decode_errors"), run.count("unknown_frames")), (0, 0));
    assert!(run.count("trades_long") > 0 && run.count("trades_short") > 0, "one side only");
    let rejected = run.summary["rejected"].as_object().unwrap();
    assert!(rejected.len() >= 4, "{rejected:?}");
    for moved in ["BREAKEVEN", "TRAILING"] {
        assert!(run.summary["stop_moves"][moved].as_u64() > Some(0), "{}", run.summary["stop_moves"]);
    }
    assert!(run.number("max_daily_drawdown_pct") > 0.0);
    let report = run.verified();
    assert_eq!(report["ended"], "duration");
    assert_eq!(report["kinds"]["Decision"], run.count("signals"));
    assert_eq!(report["kinds"]["TradeClosed"], run.count("trades_closed"));
    assert_eq!(report["kinds"]["Fill"], run.count("fills"));
    // Kinds with a layout are printed in it. One instrument in eight has a finer tick than those are read for,
    // and two have finer mark prices.
    let parsed = ["Depth", "ForceOrder"].map(|kind| report["kinds"][kind].as_u64().unwrap());
    let usual = run.count("frames_taken") - parsed.iter().sum::<u64>();
    assert!(usual * 9 / 10 <= run.count("frames_fast") && run.count("frames_fast") < usual);

    assert_same_bytes(&run, &Run::new(&HALF_HOUR));
    let other = Run::new(&["--market", "synthetic:2", "--duration", "300", "--speed", "max"]);
    let again = Run::new(&["--market", "synthetic:1", "--duration", "300", "--speed", "max"]);
    assert_ne!(other.segments(), again.segments());
}

#[test]
fn a_paced_run_writes_what_a_fast_one_writes() {
    let paced = Run::new(&["--speed", "600", "--duration", "1"]);
    let fast = Run::new(&["--speed", "max", "--duration", "600"]);
    assert!(fast.count("trades_closed") > 0);
    assert_same_bytes(&paced, &fast);
}
/// The ring's size decides nothing: only the journaled settings name it. What a ring that is full
/// does is in `lockstep.rs`.
#[test]
fn a_small_ring_changes_no_decision() {
    let roomy = Run::new(&["--duration", "600", "--speed", "max"]);
    let small = Run::new(&["--duration", "600", "--speed", "max", "--set", "QT_RING_SLOTS=4096"]);
    assert!(roomy.count("trades_closed") > 0);
    let without_settings = |run: &Run| -> Vec<String> {
        let dump = run.dump();
        dump.lines().filter(|line| !line.contains(r#""kind":"ConfigText""#)).map(str::to_string).collect()
    };
    let (roomy, small) = (without_settings(&roomy), without_settings(&small));
    assert_eq!(roomy.len(), small.len());
    for (a, b) in roomy.iter().zip(&small) {
        assert_eq!(a, b);
    }
}

#[test]
fn a_dump_is_json_in_order() {
    let run = Run::new(&["--duration", "120", "--speed", "max"]);
    let dump = run.dump();
    let (mut last, mut kinds) = (0, BTreeSet::new());
    for line in dump.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let sequence = entry["seq"].as_u64().unwrap();
        assert!(sequence > last, "{sequence} after {last}");
        last = sequence;
        kinds.insert(entry["kind"].as_str().unwrap().to_string());
    }
    let report = run.verified();
    let verified: BTreeSet<String> = report["kinds"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(kinds, verified);
    assert!(kinds.len() > 15, "{kinds:?}");
}

#[test]
fn the_recording_of_2024_trades_both_instruments() {
    let Some(file) = recorded("frames/binance_um_btcusdt_ethusdt_20240718_20240719.tsv.zst") else { return };
    let run = Run::new(&["--market", &file, "--bar", "1s", "--set", "RM_MIN_STOP_COST=0"]);
    run.accounts_for(141_897, 2);
    run.traded(20);
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let figures = &run.summary["instruments"][symbol];
        assert!(figures["approved"].as_u64() > Some(0), "{symbol}: {figures}");
        assert!(figures["trades_closed"].as_u64() > Some(0), "{symbol}: {figures}");
    }
}

#[test]
fn the_recording_of_2023_trades() {
    let Some(file) = recorded("frames/binance_um_btcusdt_20230404_20230405.tsv.zst") else { return };
    let run = Run::new(&["--market", &file, "--bar", "1s", "--set", "RM_MIN_STOP_COST=0"]);
    run.accounts_for(73_765, 1);
    run.traded(5);
}

#[test]
fn four_days_of_trades_run_at_default_settings() {
    let Some(file) = recorded("trades/bitmex_xbtusd_20180101_20180105_aggtrades.csv.zst") else { return };
    let run = Run::new(&["--market", &file]);
    assert!(run.count("frames") > 1_000_000);
    run.accounts_for(run.count("frames"), 0);
    run.traded(1);
    assert_eq!(run.verified()["kinds"]["AggTrade"], 578_172, "a row, an event");
    // 99.2 hours of quarters, the last one open.
    assert_eq!(run.summary["instruments"]["XBTUSD"]["bars"], 396);
}

#[test]
fn recorded_candles_run() {
    let Some(file) = recorded("candles/binance_um_ethusdt_1m_20250504_20250624.csv.zst") else { return };
    let text = String::from_utf8(zstd::decode_all(fs::File::open(file).unwrap()).unwrap()).unwrap();
    let head: String = text.split_inclusive('\n').take(3_001).collect();
    let dir = tempfile::tempdir().unwrap();
    let path: &Path = &dir.path().join("ethusdt_1m.csv");
    fs::write(path, head).unwrap();
    let run = Run::new(&["--market", path.to_str().unwrap(), "--bar", "1m"]);
    run.accounts_for(run.count("frames"), 0);
    run.traded(1);
    assert_eq!(run.verified()["kinds"]["Bar"], 3_000, "a row, a closed bar");
}

#[test]
fn settings_are_printed_for_machines_and_as_a_file() {
    let settings: Value = serde_json::from_str(&ok(&["config", "--json"])).unwrap();
    let settings = settings.as_array().unwrap();
    assert!(settings.len() > 50, "{}", settings.len());
    let example = ok(&["config", "--example"]);
    assert!(example.parse::<toml::Table>().unwrap().is_empty(), "every line is a comment");
    // Taken at its word, the example says the defaults again.
    let uncommented: String = example
        .lines()
        .filter_map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")))
        .flat_map(|line| [line, "\n"])
        .collect();
    let table = uncommented.parse::<toml::Table>().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(table.len(), settings.len());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("qtx.toml");
    fs::write(&path, &uncommented).unwrap();
    let loaded: Value =
        serde_json::from_str(&ok(&["config", "--json", "--config", path.to_str().unwrap()])).unwrap();
    for (before, after) in settings.iter().zip(loaded.as_array().unwrap()) {
        assert_eq!(before["value"], after["value"], "{}", before["name"]);
    }
}

#[test]
fn what_cannot_be_done_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.tsv");
    let journal = dir.path().join("journal");
    let run =
        |args: &[&str]| qtx(&[&["run", "--json", "--journal", journal.to_str().unwrap()], args].concat());
    for args in [
        ["--market", missing.to_str().unwrap()],
        ["--speed", "0"],
        ["--duration", "0"],
        ["--set", "RM_NO_SUCH_SETTING=1"],
        ["--set", "RM_MIN_CONFIDENCE=2"],
        ["--market", "synthetic:none"],
    ] {
        let output = run(&args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.starts_with("qtx: ") && error.lines().count() == 1, "{args:?}: {error}");
        assert!(output.stdout.is_empty(), "{args:?}");
        assert!(!journal.exists(), "{args:?} made a journal");
    }
    assert!(qtx(&["journal", "verify", dir.path().to_str().unwrap()]).status.code() != Some(0));
}
