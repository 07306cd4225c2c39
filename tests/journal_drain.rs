//! Ring, drain, archive and folder together.

mod journal_support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use journal_support::*;
use quantum_trader::event::Event;
use quantum_trader::event::record::{Entry, Record};
use quantum_trader::host::clock::MonotonicClock;
use quantum_trader::journal::archive::{ArchiveOptions, ArchiveWriter, segment_name, segments};
use quantum_trader::journal::drain::{Drain, DrainOptions, DrainReport, DrainStatus};
use quantum_trader::journal::ring::RingWriter;
use quantum_trader::journal::{Folder, JournalError, JournalReader, RingInfo, info, verify};

fn clock() -> impl FnMut() -> u64 + Send + 'static {
    let clock = MonotonicClock::new();
    move || clock.now_ns()
}

fn open(
    dir: &Path,
    ring_dir: Option<&Path>,
    slots: u64,
    segment_records: u64,
) -> (Folder, RingWriter, ArchiveWriter) {
    let folder = Folder::create(dir).unwrap();
    let ring = folder.create_ring(ring_dir, slots, &IDENTITY).unwrap();
    let archive = ArchiveWriter::with_segment_records(folder.path(), &IDENTITY, segment_records).unwrap();
    (folder, ring, archive)
}

/// Appends what the engine would, waiting where the ring is full.
fn append(ring: &mut RingWriter, steps: &[Step]) {
    for step in steps {
        while ring.append_event(&step.event).is_err() {
            thread::yield_now();
        }
        while ring.append_outputs(step.event.recv_ns, &step.outputs).is_err() {
            thread::yield_now();
        }
    }
}

/// A run through a journal, closed in order.
fn run(dir: &Path, ring_dir: Option<&Path>, slots: u64, steps: &[Step]) -> DrainReport {
    let (folder, mut ring, archive) = open(dir, ring_dir, slots, 100);
    let drain = Drain::spawn(&ring, archive, DrainOptions::default(), clock(), |_| {}, |_| {}).unwrap();
    append(&mut ring, steps);
    let last = ring.next_sequence() - 1;
    let report = drain.stop(last);
    folder.close(&report, last).unwrap();
    report
}

#[test]
fn a_run_comes_back_as_it_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let ring_dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("a/b");
    let steps = sample(500);
    let expected = records(&steps);

    let (folder, mut ring, archive) = open(&journal, Some(ring_dir.path()), 16, 100);
    let (seen, observed) = mpsc::channel::<Record>();
    let drain = Drain::spawn(
        &ring,
        archive,
        DrainOptions::default(),
        clock(),
        move |r| seen.send(*r).unwrap(),
        |_| {},
    )
    .unwrap();
    assert_eq!(fs::read_dir(ring_dir.path()).unwrap().count(), 1, "the ring is where it was asked for");
    append(&mut ring, &steps);
    let last = ring.next_sequence() - 1;
    let watermarks = ring.watermarks();
    let report = drain.stop(last);

    let sizes = segments(&journal).unwrap();
    let bytes = sizes.iter().map(|(_, path)| fs::metadata(path).unwrap().len()).sum();
    let whole = DrainReport { records: last, bytes, durable_sequence: last, ..DrainReport::default() };
    assert_eq!(report, whole);
    assert_eq!((watermarks.drained(), watermarks.durable()), (last, last));
    assert_eq!(observed.iter().collect::<Vec<_>>(), expected, "the observer sees each record once, in order");
    assert!(verify(&journal).unwrap().live);
    folder.close(&report, last).unwrap();
    assert_eq!(fs::read_dir(ring_dir.path()).unwrap().count(), 0, "memory is given back");

    assert_eq!(recover(&journal), (expected, None));
    let report = verify(&journal).unwrap();
    assert!(report.is_ok(), "{report}");
    assert_eq!((report.records, report.committed_sequence), (last, last));
    assert_eq!(report.ended.as_deref(), Some("market_end"));
    assert_eq!(report.kinds["TradeClosed"], 166);
    assert_eq!(info(&journal).unwrap().ring, RingInfo::Closed);
    assert_eq!(entries(&journal), flatten(&steps));
}

fn entries(dir: &Path) -> Vec<Entry> {
    let mut reader = JournalReader::open(dir).unwrap();
    std::iter::from_fn(|| reader.next_entry().unwrap()).map(|numbered| numbered.entry).collect()
}

fn flatten(steps: &[Step]) -> Vec<Entry> {
    let outputs = |step: &Step| {
        let (recv_ns, last) = (step.event.recv_ns, step.outputs.len());
        let output =
            |(i, output): (usize, &_)| Entry::Output { recv_ns, output: *output, commit: i + 1 == last };
        step.outputs.iter().enumerate().map(output).collect::<Vec<_>>()
    };
    steps.iter().flat_map(|step| std::iter::once(Entry::Event(step.event)).chain(outputs(step))).collect()
}

#[test]
fn the_same_run_is_the_same_bytes_whatever_ring_and_folder() {
    let dir = tempfile::tempdir().unwrap();
    let steps = sample(200);
    run(&dir.path().join("one"), None, 8, &steps);
    run(&dir.path().join("another, further away"), Some(dir.path()), 1024, &steps);
    let bytes = |name: &str| -> Vec<Vec<u8>> {
        let found = segments(&dir.path().join(name)).unwrap();
        found.iter().map(|(_, path)| fs::read(path).unwrap()).collect()
    };
    assert_eq!(bytes("one").len(), records(&steps).len().div_ceil(100));
    assert_eq!(bytes("one"), bytes("another, further away"));
}

#[test]
fn what_the_drain_did_not_reach_is_read_from_the_ring() {
    let dir = tempfile::tempdir().unwrap();
    let steps = sample(40);
    let expected = records(&steps);

    // Nothing drained, no segment.
    let journal = dir.path().join("ring only");
    let folder = Folder::create(&journal).unwrap();
    let mut ring = folder.create_ring(None, 128, &IDENTITY).unwrap();
    append(&mut ring, &steps);
    drop((ring, folder));
    assert_eq!(recover(&journal), (expected.clone(), None));
    let report = verify(&journal).unwrap();
    assert!(report.is_ok() && report.records_ring_only == expected.len() as u64, "{report}");

    // A drain that was dropped after some.
    let journal = dir.path().join("both");
    let (folder, mut ring, archive) = open(&journal, None, 128, 10);
    let drain = Drain::spawn(&ring, archive, DrainOptions::default(), clock(), |_| {}, |_| {}).unwrap();
    append(&mut ring, &steps[..20]);
    while drain.drained() < 20 {
        thread::yield_now();
    }
    drop(drain);
    append(&mut ring, &steps[20..]);
    drop((ring, folder));
    assert_eq!(recover(&journal), (expected.clone(), None));
    let report = verify(&journal).unwrap();
    assert!(report.is_ok() && report.records_ring_only > 0 && report.records_compared >= 20, "{report}");

    // The ring's memory is gone.
    fs::remove_file(journal.join("ring")).unwrap();
    std::os::unix::fs::symlink("/no/such/ring", journal.join("ring")).unwrap();
    let report = verify(&journal).unwrap();
    assert!(report.is_ok() && report.ring_lost && report.ended.is_none(), "{report}");
    assert_eq!(recover(&journal).0, expected[..report.records as usize]);
}

#[test]
fn a_drain_that_cannot_write_says_so_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, mut ring, archive) = open(dir.path(), None, 64, 10);
    // The second segment can't be created.
    let obstacle = dir.path().join(segment_name(2));
    fs::create_dir(&obstacle).unwrap();
    let options = DrainOptions { patience: Duration::from_millis(20), ..quick() };
    let (told, statuses) = mpsc::channel();
    let drain =
        Drain::spawn(&ring, archive, options, clock(), |_| {}, move |s| told.send(s).unwrap()).unwrap();
    let steps = sample(100);
    let expected = records(&steps);
    let mut appended = 0;
    // The tenth record is the last in front of an event.
    while drain.durable() < 10 || drain.status() == DrainStatus::Ok || ring.has_room(1) {
        if ring.has_room(1) {
            ring.append(&expected[appended]).unwrap();
            appended += 1;
        } else {
            thread::yield_now();
        }
    }
    assert_eq!(appended, 10 + 64, "full only when full");
    assert_eq!(drain.error(), None, "it tries on");
    let last = ring.next_sequence() - 1;
    let report = drain.stop(last);
    assert_eq!((report.records, report.durable_sequence), (10, 10));
    assert_one_line(&report.error.clone().unwrap(), "segment-000002.qtj: can't create the segment");
    folder.close(&report, last).unwrap();
    let statuses: Vec<DrainStatus> = statuses.iter().collect();
    assert!(
        matches!(&statuses[..], [DrainStatus::Failing { attempts: 1, .. }, DrainStatus::Ended { .. }]),
        "{statuses:?}"
    );

    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(recover(dir.path()), (expected[..appended].to_vec(), None));
    drop(folder_of(dir.path()));
}

/// The journal goes on with what the ring kept.
fn folder_of(dir: &Path) -> Folder {
    let resumed = Folder::resume(dir).unwrap();
    assert_eq!(resumed.recovered.from_ring, 64);
    resumed.folder
}

fn quick() -> DrainOptions {
    DrainOptions { retry_after: Duration::from_micros(20), ..DrainOptions::default() }
}

#[test]
fn a_drain_goes_on_once_its_disk_does() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, mut ring, archive) = open(dir.path(), None, 64, 10);
    let obstacle = dir.path().join(segment_name(2));
    fs::create_dir(&obstacle).unwrap();
    let (told, statuses) = mpsc::channel();
    let (seen, observed) = mpsc::channel::<Record>();
    let observer = move |record: &Record| seen.send(*record).unwrap();
    let tell = move |status| told.send(status).unwrap();
    let drain = Drain::spawn(&ring, archive, quick(), clock(), observer, tell).unwrap();
    let steps = sample(100);
    let appending = thread::spawn(move || {
        append(&mut ring, &steps);
        ring.next_sequence() - 1
    });
    let failing = statuses.recv().unwrap();
    assert!(matches!(&failing, DrainStatus::Failing { error, .. } if error.contains("create the segment")));
    while !matches!(drain.status(), DrainStatus::Failing { attempts: 3.., .. }) {
        thread::yield_now();
    }
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(statuses.recv().unwrap(), DrainStatus::Ok);
    let last = appending.join().unwrap();
    let report = drain.stop(last);
    assert_eq!((report.error.as_ref(), report.durable_sequence), (None, last));
    assert_eq!(observed.iter().collect::<Vec<_>>(), records(&sample(100)), "each once, in order");
    assert_eq!(statuses.iter().count(), 0, "nothing else to tell");
    folder.close(&report, last).unwrap();
    assert_eq!(recover(dir.path()), (records(&sample(100)), None));
}

#[test]
fn a_drain_outlives_its_observer() {
    let dir = tempfile::tempdir().unwrap();
    let (_folder, mut ring, archive) = open(dir.path(), None, 64, 100);
    let (told, statuses) = mpsc::channel();
    let observer = |record: &Record| assert!(record.sequence < 2, "as the test wants");
    let tell = move |status| told.send(status).unwrap();
    let drain = Drain::spawn(&ring, archive, quick(), clock(), observer, tell).unwrap();
    for sequence in 1..=200 {
        while ring.append(&timer_record(sequence)).is_err() {
            thread::yield_now();
        }
    }
    let report = drain.stop(200);
    assert_eq!((report.records, report.durable_sequence, report.error), (200, 200, None));
    assert_one_line(&report.observer_failed.unwrap(), "the observer panicked: as the test wants");
    let told: Vec<DrainStatus> = statuses.iter().collect();
    assert!(matches!(&told[..], [DrainStatus::ObserverFailed { .. }]), "{told:?}");
}

#[test]
fn damage_in_the_ring_ends_a_drain_behind_what_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (_folder, mut ring, archive) = open(dir.path(), None, 64, 100);
    for sequence in 1..=9 {
        ring.append(&timer_record(sequence)).unwrap();
    }
    let file = fs::File::options().write(true).open(ring.path()).unwrap();
    file.write_all_at(&[0xff], ring.reader().offset_of(6) + 60).unwrap();
    let drain = Drain::spawn(&ring, archive, quick(), clock(), |_| {}, |_| {}).unwrap();
    while drain.error().is_none() {
        thread::yield_now();
    }
    let status = drain.status();
    let report = drain.stop(9);
    assert_eq!((report.records, report.durable_sequence), (5, 5));
    let error = report.error.unwrap();
    assert_one_line(&error, "sequence 6: expected an intact record, found damaged bytes");
    assert_eq!(status, DrainStatus::Ended { error });
}

#[test]
fn stopping_before_the_last_record_was_appended_is_an_error_not_a_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (_folder, mut ring, archive) = open(dir.path(), None, 64, 100);
    let drain = Drain::spawn(&ring, archive, DrainOptions::default(), clock(), |_| {}, |_| {}).unwrap();
    ring.append(&timer_record(1)).unwrap();
    let report = drain.stop(2);
    assert_eq!((report.records, report.durable_sequence), (1, 1));
    assert_one_line(
        &report.error.unwrap(),
        "sequence 2: expected the last record, before the stop, found none",
    );
}

/// The reader starts with the writer: it changes between archive and ring as it is lapped, and over
/// segments as they are closed.
#[test]
fn a_live_journal_can_be_read_while_it_is_written() {
    const LAST: u64 = 30_000;
    let dir = tempfile::tempdir().unwrap();
    let (folder, mut ring, _) = open(&dir.path().join("journal"), None, 64, 700);
    fs::remove_file(folder.path().join(segment_name(1))).unwrap();
    // Segments are compressed under the reader's eyes too.
    let options = ArchiveOptions { segment_records: 700, ..ArchiveOptions::default() };
    let archive = folder.create_archive_with(&IDENTITY, options).unwrap();
    let drain = Drain::spawn(&ring, archive, DrainOptions::default(), clock(), |_| {}, |_| {}).unwrap();
    let journal = folder.path().to_path_buf();
    let follower = thread::spawn(move || {
        let mut reader = JournalReader::open(&journal).unwrap();
        while reader.next_sequence() <= LAST {
            let Some((record, _)) = reader.next_record().unwrap() else {
                thread::yield_now();
                continue;
            };
            assert_eq!(record, timer_record(reader.next_sequence() - 1));
        }
    });
    for sequence in 1..=LAST {
        while ring.append(&timer_record(sequence)).is_err() {
            thread::yield_now();
        }
    }
    let report = drain.stop(LAST);
    follower.join().unwrap();
    assert_eq!(report.error, None);
    folder.close(&report, LAST).unwrap();
}

#[test]
fn a_folder_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let refuse = |path: &Path| Folder::create(path).unwrap_err();

    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(matches!(refuse(&file), JournalError::NotAFolder { .. }));
    assert!(matches!(refuse(&file.join("below")), JournalError::NotAFolder { .. }));
    assert_one_line(
        &refuse(Path::new("/proc/journal")).to_string(),
        "/proc/journal: can't create the folder",
    );
    assert_one_line(&refuse(Path::new("/proc")).to_string(), "/proc/lock: can't write to the folder");

    let journal = dir.path().join("journal");
    let folder = Folder::create(&journal).unwrap();
    assert!(matches!(refuse(&journal), JournalError::Locked { .. }));
    drop(folder);
    let folder = Folder::create(&journal).expect("an empty folder with a stale lock file is empty");
    folder.create_archive(&IDENTITY).unwrap();
    drop(folder);
    assert_one_line(&refuse(&journal).to_string(), "already holds a journal (segment-000001.qtj)");
    fs::remove_file(journal.join("segment-000001.qtj")).unwrap();
    Folder::create(&journal).unwrap().create_ring(None, 4, &IDENTITY).unwrap();
    assert_one_line(&refuse(&journal).to_string(), "already holds a journal (ring)");

    for path in [dir.path().join("nothing"), file] {
        assert!(matches!(verify(&path).unwrap_err(), JournalError::NotAFolder { .. }));
        assert!(matches!(info(&path).unwrap_err(), JournalError::NotAFolder { .. }));
    }
    assert!(matches!(verify(dir.path()).unwrap_err(), JournalError::NoJournal { .. }));
    assert!(matches!(info(dir.path()).unwrap_err(), JournalError::NoJournal { .. }));
}

#[test]
fn the_ring_of_a_deleted_journal_makes_room_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let ring_dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    for _ in 0..2 {
        let folder = Folder::create(&journal).unwrap();
        let mut ring = folder.create_ring(Some(ring_dir.path()), 4, &IDENTITY).unwrap();
        let event: Event = timer(1);
        ring.append_event(&event).unwrap();
        let seen = info(&journal).unwrap();
        assert!(seen.live && matches!(seen.ring, RingInfo::Present { newest: 1, slots: 4, .. }), "{seen}");
        fs::remove_dir_all(&journal).unwrap();
    }
    assert_eq!(fs::read_dir(ring_dir.path()).unwrap().count(), 1);
}
