//! Whole runs over sockets, through the program: the same decisions as without them, TLS included,
//! and positions that are closed in time when the venue does not take their stops.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// Ten minutes of the made market.
const MADE: [&str; 4] = ["--speed", "max", "--duration", "600"];

struct Run {
    summary: Value,
    dir: TempDir,
}

fn qtx(args: &[&str]) -> Output {
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

impl Run {
    fn try_new(args: &[&str]) -> (Output, TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let (journal, ring) = (dir.path().join("journal"), dir.path().to_str().unwrap());
        let all = ["run", "--json", "--ring-dir", ring, "--journal", journal.to_str().unwrap()];
        (qtx(&[&all, args].concat()), dir)
    }

    fn new(args: &[&str]) -> Run {
        let (output, dir) = Run::try_new(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}");
        Run { summary: serde_json::from_slice(&output.stdout).unwrap(), dir }
    }

    fn number(&self, name: &str) -> f64 {
        self.summary[name].as_f64().unwrap_or_else(|| panic!("{name} in {:#}", self.summary))
    }

    /// The journal as text, without its sequence numbers.
    fn entries(&self) -> Vec<String> {
        let journal = self.dir.path().join("journal");
        let output = qtx(&["journal", "dump", "--json", journal.to_str().unwrap()]);
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let unnumbered = |line: &str| line.split_once(',').map(|(_, rest)| rest.to_string()).unwrap();
        text.lines().map(unnumbered).collect()
    }

    /// The bytes of the archive.
    fn archive(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join("journal/segment-000001.qtj")).unwrap()
    }

    fn decisions(&self) -> Vec<String> {
        self.entries().into_iter().filter(|entry| entry.contains(r#""kind":"Decision""#)).collect()
    }
}

/// The first place where two lists part, for a message that can be read.
fn assert_same(a: &[String], b: &[String]) {
    for (index, (left, right)) in a.iter().zip(b).enumerate() {
        assert_eq!(left, right, "entry {index}");
    }
    assert_eq!(a.len(), b.len());
}

fn without_feed_status(entries: Vec<String>) -> Vec<String> {
    entries.into_iter().filter(|entry| !entry.contains(r#""kind":"FeedStatus""#)).collect()
}

/// Every event and every output, but for the connections' own.
#[test]
fn a_run_over_sockets_is_the_run_in_process() {
    let sockets = Run::new(&MADE);
    let direct = Run::new(&[&MADE[..], &["--transport", "direct"]].concat());
    assert!(sockets.number("trades_closed") >= 20.0, "{}", sockets.summary["trades_closed"]);
    assert_eq!(sockets.number("hot_allocations"), 0.0);
    assert_eq!(sockets.summary["sockets"]["reconnects"], 0);
    assert_eq!(sockets.summary["sockets"]["messages"], sockets.summary["frames"]);
    assert_same(&without_feed_status(sockets.entries()), &direct.entries());
    assert_eq!(sockets.summary["state_hash"].as_str().map(str::len), Some(32));
    assert_eq!(sockets.summary["state_hash"], direct.summary["state_hash"]);
    assert!(sockets.archive() == Run::new(&MADE).archive(), "the same run wrote other bytes");
}

/// Recorded frames of 2024, at full speed.
#[test]
fn recorded_frames_decide_alike_over_sockets_and_in_process() {
    let Some(file) = recorded("frames/binance_um_btcusdt_ethusdt_20240718_20240719.tsv.zst") else { return };
    let args = ["--market", file.to_str().unwrap(), "--bar", "1s", "--set", "RM_MIN_STOP_COST=0"];
    let args = [&args[..], &["--speed", "max"]].concat();
    let sockets = Run::new(&args);
    let direct = Run::new(&[&args[..], &["--transport", "direct"]].concat());
    let decisions = sockets.decisions();
    assert!(decisions.len() > 500, "{} decisions", decisions.len());
    assert_same(&decisions, &direct.decisions());
    assert_eq!(sockets.summary["trades_closed"], direct.summary["trades_closed"]);
    // The two snapshots among the frames belong to no stream.
    assert_eq!(sockets.number("frames") + 2.0, direct.number("frames"));
}

fn recorded(name: &str) -> Option<PathBuf> {
    let data =
        std::env::var_os("QT_TEST_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let file = data.join(name);
    if !file.exists() {
        eprintln!("skipped: {} is not there (QT_TEST_DATA)", file.display());
        return None;
    }
    Some(file)
}

/// An authority, and a certificate it signed for loopback: paths of the PEM files.
struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

fn certificates(dir: &Path, name: &str) -> Certificates {
    let mut authority = rcgen::CertificateParams::new(vec![]).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".to_string()]).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &issuer).unwrap().pem();
    let write = |what: &str, text: &str| {
        let path = dir.join(format!("{name}-{what}.pem"));
        std::fs::write(&path, text).unwrap();
        path
    };
    Certificates {
        authority: write("authority", &authority_pem),
        certificate: write("certificate", &certificate),
        key: write("key", &key.serialize_pem()),
    }
}

impl Certificates {
    fn served(&self) -> [&str; 4] {
        ["--sim-tls-cert", self.certificate.to_str().unwrap(), "--sim-tls-key", self.key.to_str().unwrap()]
    }
}

#[test]
fn a_run_over_tls_is_the_same_run() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (certificates(dir.path(), "ours"), certificates(dir.path(), "other"));
    let trust = |authority: &Path| format!("QT_CA_FILE={}", authority.display());
    let ca = trust(&ours.authority);
    let args = [&MADE[..], &ours.served(), &["--set", &ca]].concat();
    let (secure, plain) = (Run::new(&args), Run::new(&MADE));
    assert!(secure.number("trades_closed") >= 20.0);
    assert_eq!(secure.number("hot_allocations"), 0.0);
    assert_same(&secure.decisions(), &plain.decisions());

    // An authority that did not sign it, and the public ones.
    for untrusted in [trust(&other.authority), "QT_CA_FILE=".to_string()] {
        let (output, _dir) = Run::try_new(&[&MADE[..], &ours.served(), &["--set", &untrusted]].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.lines().count() == 1 && error.contains("certificate"), "{error}");
    }
}

/// A venue that refuses every stop, and one that never says anything of them: whatever was opened is
/// closed before the deadline is over, and the engine opens nothing more by itself.
#[test]
fn positions_whose_stops_do_not_rest_are_closed_within_the_deadline() {
    for (stops, alarm) in [("refuse", "stop_refused"), ("swallow", "unprotected_deadline")] {
        let setting = format!("QT_SIM_STOPS={stops}");
        let run = Run::new(&[&MADE[..], &["--set", &setting]].concat());
        let trades = run.number("trades_closed");
        assert!(trades >= 1.0 && run.number("approved") == trades, "{stops}: {:#}", run.summary);
        assert_eq!(run.number("open_positions"), 0.0, "{stops}");
        assert_eq!(run.summary["exits"]["UNPROTECTED"].as_f64(), Some(trades), "{stops}");
        assert!(run.summary["alarms"][alarm].as_f64() >= Some(1.0), "{stops}: {}", run.summary["alarms"]);
        let unprotected_ms = run.number("unprotected_ms_max");
        assert!(unprotected_ms < 1_500.0, "{stops}: {unprotected_ms} ms");
        let reduced = run.entries().iter().any(|entry| entry.contains(r#""to":"REDUCING""#));
        assert!(reduced, "{stops}: the state did not fall");
    }
}

/// Days pass between two frames: each connection is the one it was, so that none of them is awaited on
/// another than it was sent to.
#[test]
fn no_connection_is_replaced_for_its_age_in_lockstep() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("days.tsv");
    let quote = |day: u64| {
        let at_ms = 1_700_000_000_000 + day * 86_400_000;
        let frame = format!(
            r#"{{"stream":"btcusdt@bookTicker","data":{{"e":"bookTicker","u":{day},"s":"BTCUSDT","b":"50000.00","B":"9.000","a":"50000.10","A":"9.000","T":{at_ms},"E":{at_ms}}}}}"#
        );
        format!("{at_ms}000000\t{frame}\n")
    };
    std::fs::write(&file, (0..4).map(quote).collect::<String>()).unwrap();
    let run = Run::new(&["--market", file.to_str().unwrap(), "--symbol", "BTCUSDT", "--speed", "max"]);
    let sockets = &run.summary["sockets"];
    assert_eq!((run.number("frames"), &sockets["messages"]), (4.0, &Value::from(4)));
    assert_eq!((&sockets["reconnects"], &sockets["venue"]["clients"]), (&Value::from(0), &Value::from(4)));
}

/// By the clock instead of in lockstep: other latencies, the same engine. A busy machine makes quotes
/// late, which is not what is asked here.
#[test]
fn a_paced_run_trades() {
    let patient = ["RM_MAX_FEED_LAG_MS=86400000", "RM_MAX_DATA_AGE_MS=86400000"];
    let patient = patient.iter().flat_map(|setting| ["--set", setting]);
    let args: Vec<&str> = ["--speed", "100", "--duration", "4"].into_iter().chain(patient).collect();
    let run = Run::new(&args);
    assert!(run.number("approved") >= 1.0 && run.number("fills") >= 1.0, "{:#}", run.summary);
    assert_eq!((run.number("hot_allocations"), run.number("frames_dropped")), (0.0, 0.0));
    assert_eq!(run.summary["sockets"]["gateway"]["unreadable"], 0);
    assert_eq!(run.summary["sockets"]["errors"], serde_json::json!({}));
}
