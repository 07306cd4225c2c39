//! Disks that fail: whichever call it is and for however long, nothing is lost, and in the end the archive
//! is the one of a disk that never did.

mod journal_support;

use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use journal_support::*;
use quantum_trader::event::record::Record;
use quantum_trader::journal::archive::{ArchiveOptions, ArchiveWriter, segments};
use quantum_trader::journal::drain::{Drain, DrainOptions, DrainStatus};
use quantum_trader::journal::{Folder, verify};

fn options(disk: &Arc<Flaky>) -> ArchiveOptions {
    ArchiveOptions {
        segment_records: 10,
        disk: Arc::clone(disk) as _,
        compress: false,
        ..ArchiveOptions::default()
    }
}

fn drain_options(patience: Duration) -> DrainOptions {
    DrainOptions { retry_after: Duration::from_micros(1), patience, ..DrainOptions::default() }
}

fn archive_bytes(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
    segments(dir).unwrap().iter().map(|(_, path)| (name(path), fs::read(path).unwrap())).collect()
}

/// A run through a small ring, with the calls `first..first + calls` after the opening failing. The number
/// of calls there were, and whether any of them failed.
fn run(dir: &Path, written: &[Record], fails: (u64, u64)) -> (u64, bool) {
    let disk = Arc::new(Flaky::default());
    let folder = Folder::create(dir).unwrap();
    let mut ring = folder.create_ring(None, 16, &IDENTITY).unwrap();
    let archive = ArchiveWriter::with_options(dir, &IDENTITY, options(&disk)).unwrap();
    let opening = disk.calls();
    disk.fail(fails.0, fails.1);
    let (seen, observed) = mpsc::channel::<Record>();
    let (told, statuses) = mpsc::channel();
    let observer = move |record: &Record| seen.send(*record).unwrap();
    let tell = move |status| told.send(status).unwrap();
    let drain = drain_options(Duration::from_secs(60));
    let drain = Drain::spawn(&ring, archive, drain, || 0, observer, tell).unwrap();
    for record in written {
        while ring.append(record).is_err() {
            thread::yield_now();
        }
    }
    let last = written.len() as u64;
    let report = drain.stop(last);
    assert_eq!((report.error.as_ref(), report.durable_sequence), (None, last), "{fails:?}");
    assert_eq!(observed.iter().collect::<Vec<_>>(), written, "{fails:?}: each once, in order");
    let statuses: Vec<DrainStatus> = statuses.iter().collect();
    let failing = |status: &DrainStatus| matches!(status, DrainStatus::Failing { .. });
    let order = statuses.iter().enumerate().all(|(at, status)| failing(status) == (at % 2 == 0));
    assert!(
        order && statuses.len().is_multiple_of(2),
        "{fails:?}: each failure is told, and its end: {statuses:?}"
    );
    folder.close(&report, last).unwrap();
    (disk.calls() - opening, !statuses.is_empty())
}

#[test]
fn every_call_that_fails_once_or_for_a_while_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let written = records(&sample(20));
    let (calls, failed) = run(&dir.path().join("undisturbed"), &written, (0, 0));
    assert!(!failed);
    let wanted = archive_bytes(&dir.path().join("undisturbed"));
    assert!(wanted.len() > 3 && calls > 15, "{calls} calls");
    let mut failures = 0;
    for first in 0..calls {
        for fail in [1, 2, 3, 7, 40] {
            let journal = dir.path().join(format!("{first}-{fail}"));
            let (_, failed) = run(&journal, &written, (first, fail));
            failures += u64::from(failed);
            assert!(archive_bytes(&journal) == wanted, "call {first}, {fail} times");
            fs::remove_dir_all(&journal).unwrap();
        }
    }
    assert!(failures >= calls * 4, "{failures} of {} runs met a failure", calls * 5);
}

/// The disk does not come back: the ring keeps the rest, and the next start finds it.
#[test]
fn a_stop_gives_up_after_a_while_and_a_resume_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let written = records(&sample(20));
    let (calls, _) = run(&dir.path().join("undisturbed"), &written, (0, 0));
    let wanted = archive_bytes(&dir.path().join("undisturbed"));
    for first in 0..calls {
        let journal = dir.path().join(format!("{first}"));
        let disk = Arc::new(Flaky::default());
        let folder = Folder::create(&journal).unwrap();
        let mut ring = folder.create_ring(None, 128, &IDENTITY).unwrap();
        let archive = ArchiveWriter::with_options(&journal, &IDENTITY, options(&disk)).unwrap();
        disk.fail(first, u64::MAX);
        for record in &written {
            ring.append(record).unwrap();
        }
        let drain = drain_options(Duration::from_micros(50));
        let drain = Drain::spawn(&ring, archive, drain, || 0, |_| {}, |_| {}).unwrap();
        let last = written.len() as u64;
        let report = drain.stop(last);
        folder.close(&report, last).unwrap();
        if report.error.is_none() {
            continue;
        }
        assert_eq!(recover(&journal), (written.clone(), None), "call {first}");
        // A resume that is stopped at every of its calls, until one is not.
        for stopped in 0.. {
            let disk = Arc::new(Flaky::default());
            disk.fail(stopped, u64::MAX);
            match Folder::resume_with(&journal, options(&disk)) {
                Ok(resumed) => {
                    assert_eq!(resumed.last_sequence, last);
                    resumed.retire_ring().unwrap();
                    break;
                }
                Err(error) => {
                    let left: Vec<_> =
                        fs::read_dir(&journal).unwrap().map(|e| e.unwrap().file_name()).collect();
                    assert!(error.to_string().contains("No space left"), "{stopped} {error} {left:?}");
                }
            }
        }
        assert!(archive_bytes(&journal) == wanted, "call {first}");
        assert!(verify(&journal).unwrap().is_ok());
    }
}
