//! `qtx sim` in one process, `qtx run --venue binance` in another, `qtx record` in a third.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use quantum_trader::event::record::Entry;
use quantum_trader::event::{ExitSignal, OutputBody, TradeState};
use quantum_trader::journal::JournalReader;
use serde_json::Value;
use tempfile::TempDir;

/// A command without the settings and the state of whoever runs the tests.
fn qtx(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qtx"));
    command.args(args).env_clear().current_dir(home).env("HOME", home);
    command
}

/// A child that does not outlive the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A simulated venue, and what it said of itself.
struct Sim {
    _process: Process,
    addresses: Value,
    home: TempDir,
}

impl Sim {
    fn start() -> Sim {
        let home = tempfile::tempdir().unwrap();
        let args = ["sim", "--speed", "60", "--bind", "127.0.0.1:0", "--json"];
        let mut child = qtx(home.path(), &args).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Sim { _process: Process(child), addresses, home }
    }

    fn home(&self) -> &Path {
        self.home.path()
    }

    fn at(&self, name: &str) -> &str {
        self.addresses[name].as_str().unwrap()
    }

    /// A run against it, patient with a busy machine.
    fn run(&self, journal: &str, more: &[&str]) -> Command {
        let addresses = ["REST", "PUBLIC", "MARKET", "PRIVATE", "API"]
            .map(|name| format!("QT_BINANCE_{name}_URL={}", self.at(&name.to_lowercase())));
        let patient = [
            "QT_BAR_INTERVAL=5s",
            "QT_STOP_GRACE_MS=5000",
            "QT_PROTECTION_DEADLINE_MS=60000",
            "RM_MAX_FEED_LAG_MS=86400000",
            "RM_MAX_DATA_AGE_MS=86400000",
        ];
        let settings = addresses.iter().map(String::as_str).chain(patient);
        let symbols = "BTCUSDT,ETHUSDT,SOLUSDT,XRPUSDT,DOGEUSDT";
        let mut args =
            vec!["run", "--venue", "binance", "--symbols", symbols, "--journal", journal, "--json"];
        settings.for_each(|setting| args.extend(["--set", setting]));
        let mut command = qtx(self.home(), &[&args, more].concat());
        command.env("QT_API_KEY", self.at("key")).env("QT_API_SECRET", self.at("secret"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn status(&self, journal: &str) -> Option<Value> {
        let output = qtx(self.home(), &["ctl", "--journal", journal, "status", "--json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Why exits fired, and how trades ended, by what a run that goes on has journaled so far.
    fn ends(&self, journal: &str) -> (Vec<ExitSignal>, Vec<TradeState>) {
        let (mut fired, mut closed) = (Vec::new(), Vec::new());
        let mut reader = JournalReader::open(&self.home().join(journal)).unwrap();
        while let Some(numbered) = reader.next_entry().unwrap() {
            match numbered.entry {
                Entry::Output { output, .. } => match output.body {
                    OutputBody::ExitFired(exit) => fired.push(exit.signal),
                    OutputBody::TradeClosed(account) => closed.push(account.state),
                    _ => {}
                },
                Entry::Event(_) => {}
            }
        }
        (fired, closed)
    }
}

fn refused(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{error}");
    error
}

/// Asks again and again, at most so often that a run that never gets there fails the test.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    (0..5_000).find_map(|_| look()).unwrap_or_else(|| panic!("never: {what}"))
}

#[test]
fn a_run_against_another_process_trades_and_is_the_only_one() {
    let sim = Sim::start();
    let run = Process(sim.run("first", &[]).spawn().unwrap());
    let closed = || {
        let status = sim.status("first")?;
        (status["counts"]["trades_closed"].as_u64()? >= 3).then_some(status)
    };
    until("three closed trades", closed);

    let second = sim.run("second", &["--duration", "1"]).output().unwrap();
    assert!(refused(&second).contains("another engine"), "{second:?}");
    // Without --live, only a simulated venue's own key goes out.
    let foreign =
        sim.run("third", &["--set", "QT_ORDER_PREFIX=other"]).env("QT_API_KEY", "real").output().unwrap();
    assert!(refused(&foreign).contains("--live"), "{foreign:?}");

    // The process dies with positions open; they are not the next start's to take over, nor to strip. The
    // market may close them in between, of which nobody can be refused: then another has to die.
    let (mut run, mut journal) = (Some(run), "first".to_string());
    for attempt in 0..100 {
        let open = || {
            let status = sim.status(&journal)?;
            let positions = status["positions"].as_array()?;
            positions.iter().any(|position| position["covered"] == true).then_some(())
        };
        until("a covered position", open);
        run.take();
        let holds = |name: &str| {
            let start = sim.run(&format!("{name}-{attempt}"), &["--duration", "1"]).output().unwrap();
            let held = !start.status.success();
            assert!(!held || refused(&start).contains("the account holds"), "{start:?}");
            held
        };
        if holds("once") && holds("twice") {
            return;
        }
        journal = format!("again-{attempt}");
        run = Some(Process(sim.run(&journal, &[]).spawn().unwrap()));
    }
    panic!("the market closed every position before a second start saw it");
}

/// Starts again and again until one finds a position, for the market may close it in between; until what a
/// start that found one has made of it is `done`.
fn take_over(policy: &str, done: impl Fn(&Sim, &str, &Value) -> bool) {
    let sim = Sim::start();
    let setting = format!("QT_ON_UNKNOWN_POSITION={policy}");
    for attempt in 0..100 {
        let journal = format!("journal-{attempt}");
        let _run = Process(sim.run(&journal, &["--set", &setting]).spawn().unwrap());
        let reached = || {
            let status = sim.status(&journal)?;
            let positions = status["positions"].as_array()?;
            let covered = positions.iter().any(|position| position["covered"] == true);
            // Nothing lowers the state of a start that found nothing.
            match status["state"] == "REDUCING" {
                true if done(&sim, &journal, &status) => Some(true),
                true => (status["counts"]["trades_closed"] != 0 && positions.is_empty()).then_some(false),
                false => covered.then_some(false),
            }
        };
        if until("a position", reached) {
            return;
        }
    }
    panic!("no start found a position");
}

#[test]
fn a_start_adopts_what_no_journal_explains_if_it_is_told_to() {
    take_over("adopt", |_, _, status| {
        let positions = status["positions"].as_array().unwrap();
        !positions.is_empty() && positions.iter().all(|position| position["covered"] == true)
    });
}

#[test]
fn or_closes_it() {
    take_over("close", |sim, journal, status| {
        let flat = status["positions"].as_array().unwrap().is_empty();
        flat && status["counts"]["trades_closed"] != 0 && {
            // Nobody's stop: the position was flat because it was told to be.
            let (fired, closed) = sim.ends(journal);
            assert!(fired.contains(&ExitSignal::Manual), "{fired:?}");
            closed.contains(&TradeState::ClosedManual)
        }
    });
}

#[test]
fn what_was_recorded_of_it_runs_again() {
    let sim = Sim::start();
    let args = [
        "record",
        "--out",
        "market.tsv.zst",
        "--symbols",
        "BTCUSDT,ETHUSDT",
        "--channels",
        "aggTrade,bookTicker,markPrice,ticker,kline",
        "--public",
        sim.at("public"),
        "--market",
        sim.at("market"),
        "--duration",
        "3",
        "--json",
    ];
    let recorded = qtx(sim.home(), &args).output().unwrap();
    let summary: Value = serde_json::from_slice(&recorded.stdout).unwrap();
    assert!(summary["frames"].as_u64() > Some(100) && summary["gaps"] == 0, "{summary:#}");
    let run = ["run", "--market", "market.tsv.zst", "--bar", "5s", "--json", "--ring-dir", "."];
    let ran = qtx(sim.home(), &run).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let replayed: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((&replayed["frames"], &replayed["decode_errors"]), (&summary["frames"], &Value::from(0)));
}
