//! `qtx ctl` against `qtx run`, each in its own process: what the operator asks for is done, and the
//! journal says so.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const QTX: &str = env!("CARGO_BIN_EXE_qtx");

/// An engine in another process, ended with the test.
struct Running {
    child: Child,
    dir: PathBuf,
}

impl Running {
    fn start(dir: &Path) -> Running {
        let mut command = Command::new(QTX);
        command.args(["run", "--speed", "60", "--json", "--journal"]).arg(dir).stdout(Stdio::piped());
        Running { child: command.spawn().unwrap(), dir: dir.to_owned() }
    }

    fn ctl(&mut self, args: &[&str]) -> Option<Value> {
        assert!(self.child.try_wait().unwrap().is_none(), "the engine is gone");
        let mut command = Command::new(QTX);
        let output = command.args(["ctl", "--json", "--journal"]).arg(&self.dir).args(args).output().unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Asks until the answer is as wanted. The engine's market decides how long that takes.
    fn status_when(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(status) = self.ctl(&["status"]).filter(&wanted) {
                return status;
            }
            thread::yield_now();
        }
    }

    fn tell(&mut self, command: &str) -> u64 {
        let done = self.ctl(&[command]).unwrap_or_else(|| panic!("{command} was refused"));
        done["sequence"].as_u64().unwrap()
    }

    fn interrupt(mut self) -> Value {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let mut summary = String::new();
        std::io::Read::read_to_string(self.child.stdout.as_mut().unwrap(), &mut summary).unwrap();
        assert!(self.child.wait().unwrap().success());
        serde_json::from_str(&summary).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sequence number and fields of every record of a kind.
fn dump(dir: &Path, kind: &str) -> Vec<(u64, Value)> {
    let output = Command::new(QTX)
        .args(["journal", "dump"])
        .arg(dir)
        .args(["--json", "--kind", kind])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.map(|record| (record["seq"].as_u64().unwrap(), record["fields"].clone())).collect()
}

fn count(status: &Value, what: &str) -> usize {
    status[what].as_array().unwrap().len()
}

#[test]
fn halt_keeps_stops_flatten_closes_and_only_resume_trades_again() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("journal");
    let mut engine = Running::start(&dir);
    engine.status_when(|status| count(status, "positions") > 0);

    let halted = engine.tell("halt");
    let status = engine.status_when(|_| true);
    assert_eq!((&status["state"], &status["cause"]), (&"HALTED".into(), &"operator".into()));
    let flattened = engine.tell("flatten");
    let flat = engine.status_when(|status| count(status, "positions") == 0);
    assert_eq!(flat["state"], "HALTED", "closing does not trade again");
    let resumed = engine.tell("resume");
    assert_eq!(engine.status_when(|_| true)["state"], "ACTIVE");
    engine.status_when(|status| status["counts"]["approved"].as_u64() > flat["counts"]["approved"].as_u64());
    assert!(dir.join("ctl.sock").exists());
    let summary = engine.interrupt();
    assert!(!dir.join("ctl.sock").exists(), "it went with the engine");

    let commands: Vec<(u64, String)> = dump(&dir, "Command")
        .into_iter()
        .map(|(sequence, fields)| (sequence, fields["command"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [(halted, "Halt"), (flattened, "Flatten"), (resumed, "Resume")];
    for ((sequence, name), found) in expected.into_iter().zip(&commands) {
        assert_eq!((sequence, name), (found.0, found.1.as_str()));
    }
    assert_eq!(commands.last().unwrap().1, "Stop", "Ctrl-C's own");
    assert_eq!(commands.len(), 4);
    let orders = dump(&dir, "Order");
    let entry = |fields: &Value| fields["purpose"] == "Entry";
    let while_halted = orders.iter().filter(|(at, fields)| entry(fields) && (halted..resumed).contains(at));
    assert_eq!(while_halted.count(), 0, "no entry while halted");
    assert!(orders.iter().any(|(at, fields)| entry(fields) && *at > resumed));
    assert_eq!(summary["orders"], orders.len());
}
