//! A simulated venue in one process, and the engine that is killed in another.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use quantum_trader::host::ring_dir;
use quantum_trader::live::control::Status;
use serde_json::Value;
use tempfile::TempDir;

use super::audit::Audit;

/// Simulated seconds a second.
pub const SPEED: i64 = 10;
const JOURNAL: &str = "journal";
/// Deadlines of protection are those of real time. The rest lets trading go on: prices are as old as a
/// busy machine makes them, and what weeks of made market cost stops nobody.
const SETTINGS: [&str; 11] = [
    "QT_BAR_INTERVAL=5s",
    "QT_PROTECTION_DEADLINE_MS=15000",
    "QT_STOP_GRACE_MS=2500",
    "RM_MAX_FEED_LAG_MS=86400000",
    "RM_MAX_DATA_AGE_MS=86400000",
    "RM_ENABLE_CIRCUIT_BREAKER=false",
    "RM_MAX_DAILY_DD_PCT=1",
    "RM_MAX_WEEKLY_DD_PCT=1",
    "RM_ENABLE_RECOVERY_MODE=false",
    "RM_ENABLE_STREAK_PROTECTION=false",
    "RM_MAX_CORRELATION=1",
];

/// A child that does not outlive the test.
pub struct Process(Child);

impl Process {
    /// As if the power of this process alone had gone: SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Asks it to end in order, and waits until it has; its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The venue, and where the runs against it live.
pub struct Sim {
    _process: Process,
    addresses: Value,
    home: TempDir,
    /// Memory, as for a run of somebody's own; gone with the test.
    rings: TempDir,
}

impl Sim {
    pub fn start(seed: u64) -> Sim {
        let home = tempfile::tempdir().unwrap();
        let rings = tempfile::tempdir_in(ring_dir()).unwrap();
        let (speed, market) = (SPEED.to_string(), format!("synthetic:{seed}"));
        let args = ["sim", "--market", &market, "--speed", &speed, "--bind", "127.0.0.1:0", "--json"];
        let mut child = qtx(home.path(), &args).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Sim { _process: Process(child), addresses, home, rings }
    }

    fn at(&self, name: &str) -> &str {
        self.addresses[name].as_str().unwrap()
    }

    /// The one journal all runs go on with.
    pub fn journal(&self) -> PathBuf {
        self.home.path().join(JOURNAL)
    }

    /// Starts a run; what it says goes to a file, so that no reader is needed to keep it going.
    pub fn run(&self) -> Process {
        let symbols: Vec<&str> =
            self.addresses["symbols"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let symbols = symbols.join(",");
        let rings = self.rings.path().to_str().unwrap();
        let mut args = vec![
            "run",
            "--venue",
            "binance",
            "--symbols",
            &symbols,
            "--journal",
            JOURNAL,
            "--ring-dir",
            rings,
        ];
        let addresses = ["REST", "PUBLIC", "MARKET", "PRIVATE", "API"]
            .map(|name| format!("QT_BINANCE_{name}_URL={}", self.at(&name.to_lowercase())));
        let settings = addresses.iter().map(String::as_str).chain(SETTINGS);
        settings.for_each(|setting| args.extend(["--set", setting]));
        let mut command = qtx(self.home.path(), &args);
        command.env("QT_API_KEY", self.at("key")).env("QT_API_SECRET", self.at("secret"));
        let said = || File::create(self.said_path()).unwrap();
        let out = said();
        let errors = out.try_clone().unwrap();
        Process(command.stdout(out).stderr(errors).spawn().unwrap())
    }

    fn said_path(&self) -> PathBuf {
        self.home.path().join("said")
    }

    /// What the newest run said.
    pub fn said(&self) -> String {
        fs::read(self.said_path()).map_or(String::new(), |said| String::from_utf8_lossy(&said).into_owned())
    }

    pub fn command(&self, args: &[&str]) -> Output {
        qtx(self.home.path(), args).output().unwrap()
    }

    pub fn status(&self) -> Option<Status> {
        let output = self.command(&["ctl", "--journal", JOURNAL, "status", "--json"]);
        serde_json::from_slice(&output.stdout).ok()
    }

    pub fn resume_trading(&self) {
        self.command(&["ctl", "--journal", JOURNAL, "resume"]);
    }

    pub fn audit(&self) -> Audit {
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(60))).build();
        let url = format!("{}/sim/audit", self.at("rest"));
        let text = config.new_agent().get(&url).call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// A command without the settings and the state of whoever runs the tests.
fn qtx(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qtx"));
    command.args(args).env_clear().current_dir(home).env("HOME", home);
    command
}
