//! A disk that takes no more while an engine trades, and takes it again later: nothing is lost, and the
//! operator is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;

const QTX: &str = env!("CARGO_BIN_EXE_qtx");
/// Whatever takes so long will not come.
const HANG: Duration = Duration::from_secs(120);

struct Running {
    child: Child,
    dir: PathBuf,
}

impl Running {
    /// The signal that goes with a file that may not grow is ignored, so that a write is refused instead.
    fn start(dir: &Path) -> Running {
        let script = format!(
            "trap '' XFSZ; exec {QTX} run --speed 60 --json --journal {} --set RM_LOG_TO_FILE=false \
             --set QT_RING_SLOTS=16384",
            dir.display()
        );
        let child = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        Running { child, dir: dir.to_owned() }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// No file of the process grows beyond this many bytes.
    fn limit_files(&self, bytes: Option<u64>) {
        prlimit(Some(self.pid()), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    }

    fn archived(&self) -> u64 {
        fs::metadata(self.dir.join("segment-000001.qtj")).map_or(0, |metadata| metadata.len())
    }

    fn status(&mut self) -> Option<Value> {
        assert!(self.child.try_wait().unwrap().is_none(), "the engine is gone");
        let mut command = Command::new(QTX);
        let output =
            command.args(["ctl", "--json", "--journal"]).arg(&self.dir).arg("status").output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    fn wait_for(&mut self, what: &str, mut reached: impl FnMut(&mut Running) -> bool) {
        let began = Instant::now();
        while !reached(self) {
            assert!(began.elapsed() < HANG, "never: {what}");
            thread::yield_now();
        }
    }

    fn end(mut self) -> Value {
        kill_process(self.pid(), Signal::INT).unwrap();
        let mut summary = String::new();
        std::io::Read::read_to_string(self.child.stdout.as_mut().unwrap(), &mut summary).unwrap();
        assert!(self.child.wait().unwrap().success(), "{summary}");
        serde_json::from_str(&summary).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn dump(dir: &Path, kind: &str) -> Vec<Value> {
    let mut command = Command::new(QTX);
    let output =
        command.args(["journal", "dump"]).arg(dir).args(["--json", "--kind", kind]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone()).collect()
}

#[test]
fn a_full_disk_reduces_tells_loses_nothing_and_is_over_when_there_is_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("journal");
    let mut engine = Running::start(&dir);
    engine.wait_for("a position", |engine| {
        engine.status().is_some_and(|status| !status["positions"].as_array().unwrap().is_empty())
    });
    let full_at = engine.archived();
    engine.limit_files(Some(full_at));
    // What it makes of that is only in the ring, and shown all the same.
    engine.wait_for("the operator is told", |engine| {
        engine.status().is_some_and(|status| status["state"] == "REDUCING")
    });
    engine.wait_for("the archive stands still", |engine| {
        let before = engine.archived();
        thread::sleep(Duration::from_millis(300));
        engine.archived() == before
    });
    assert!(engine.archived() <= full_at + 4_096);
    engine.limit_files(None);
    engine.wait_for("the archive grows again", |engine| engine.archived() > full_at + 100_000);
    let summary = engine.end();
    assert_eq!(summary["journal"]["durable_seq"], summary["journal"]["records"]);
    assert_eq!(summary["shadow"]["divergences"], 0);
    let told: Vec<Value> =
        dump(&dir, "ArchiveStatus").into_iter().map(|said| said["failing"].clone()).collect();
    assert_eq!(told, [true, false].map(Value::from), "once, though a little more may have fitted meanwhile");
    assert_eq!(summary["alarms"]["archive_failing"], 1);
    let checked = Command::new(QTX).args(["journal", "verify", "--json"]).arg(&dir).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let replayed = Command::new(QTX).args(["replay", "--json"]).arg(&dir).output().unwrap();
    let replayed: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert_eq!((&replayed["identical"], &replayed["state_hash"]), (&true.into(), &summary["state_hash"]));
}
