//! A journal goes on: one folder, start after start, however each of them ended.

mod journal_support;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal_support::*;
use quantum_trader::event::record::Record;
use quantum_trader::host::clock::MonotonicClock;
use quantum_trader::journal::archive::{ArchiveOptions, ArchiveWriter, segment_name, segments};
use quantum_trader::journal::drain::{Drain, DrainOptions};
use quantum_trader::journal::ring::{RingConfig, RingRead, RingReader, RingWriter};
use quantum_trader::journal::{Folder, Identity, JournalError, JournalReader, Resumed, RingFound};
use quantum_trader::journal::{RingInfo, info, verify};

const SLOTS: u64 = 64;

/// Without the syncs, which take their time and change nothing that can be seen here.
fn resume(dir: &Path) -> Resumed {
    let options = ArchiveOptions { disk: Arc::new(Unsynced), compress: false, ..ArchiveOptions::default() };
    Folder::resume_with(dir, options).unwrap()
}

fn refusal(dir: &Path) -> String {
    let options = ArchiveOptions { compress: false, ..ArchiveOptions::default() };
    Folder::resume_with(dir, options).unwrap_err().to_string()
}

/// The bytes of every segment.
fn archive_bytes(dir: &Path) -> Vec<Vec<u8>> {
    segments(dir).unwrap().iter().map(|(_, path)| fs::read(path).unwrap()).collect()
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A ring that holds these records, drained up to `drained`.
fn write_ring(dir: &Path, records: &[Record], identity: &Identity, drained: u64) -> PathBuf {
    let path = dir.join("ring");
    let config = RingConfig { path: path.clone(), slots: SLOTS };
    let before = records.first().map_or(drained, |record| record.sequence - 1);
    let mut ring = RingWriter::create_after(&config, identity, before).unwrap();
    let watermarks = ring.watermarks();
    for record in records {
        watermarks.set_drained(record.sequence.saturating_sub(SLOTS));
        ring.append(record).unwrap();
    }
    watermarks.set_drained(drained);
    watermarks.set_durable(drained.min(before.max(2)));
    path
}

/// A journal of one start whose archive has the first `archived` of its records, and whose ring has all.
fn cut_journal(dir: &Path, word: &str, archived: usize) -> Vec<Record> {
    let records = spell(word).remove(0);
    write_archive(dir, &records[..archived], 1_000);
    write_ring(dir, &records, &IDENTITY, archived as u64);
    records
}

fn assert_whole(dir: &Path, records: &[Record], starts: u64) {
    assert_eq!(recover(dir), (records.to_vec(), None));
    let report = verify(dir).unwrap();
    assert!(report.is_ok() && report.starts == starts, "{report}");
}

#[test]
fn a_journal_goes_on_start_after_start() {
    let (dir, memory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = dir.path().join("journal");
    let starts = spell("seeocex|seocec|seeex");
    for (before, records) in starts.iter().enumerate() {
        let start = identity(before as u32);
        let (folder, mut archive, last) = if before == 0 {
            let folder = Folder::create(&journal).unwrap();
            let archive = folder.create_archive(&start).unwrap();
            (folder, archive, 0)
        } else {
            let resumed = resume(&journal);
            assert_eq!(resumed.identity, identity(before as u32 - 1));
            assert_eq!(resumed.recovered.torn, None);
            // The first start was closed in order, the second one killed.
            let ring = if before == 1 { RingFound::None } else { RingFound::Kept };
            assert_eq!(resumed.recovered.ring, ring);
            (resumed.folder, resumed.archive, resumed.last_sequence)
        };
        if before > 0 {
            archive.begin(&start).unwrap();
        }
        let ring_dir = Some(memory.path());
        let mut ring = folder.create_ring_after(ring_dir, SLOTS, &start, last).unwrap();
        assert_eq!(ring.next_sequence(), records[0].sequence);
        let clock = MonotonicClock::new();
        let drain =
            Drain::spawn(&ring, archive, DrainOptions::default(), move || clock.now_ns(), |_| {}, |_| {})
                .unwrap();
        for record in records {
            ring.append(record).unwrap();
        }
        assert_eq!(JournalReader::open(&journal).unwrap().identity(), Some(start));
        if before == 1 {
            drop((drain, ring, folder));
            continue;
        }
        let last = records.last().unwrap().sequence;
        let report = drain.stop(last);
        assert_eq!((report.records, report.durable_sequence, &report.error), (last, last, &None));
        folder.close(&report, last).unwrap();
        assert_eq!(fs::read_dir(memory.path()).unwrap().count(), 0, "memory is given back");
    }
    assert_whole(&journal, &starts.concat(), 3);
    let seen = info(&journal).unwrap();
    assert_eq!(seen.identity, Some(identity(2)));
    let epochs: Vec<_> = seen.starts.iter().map(|s| (s.identity.epoch, s.first_sequence)).collect();
    assert_eq!(epochs, [(7, 1), (8, 8), (9, 14)]);
    assert!(matches!(Folder::create(&journal).unwrap_err(), JournalError::Occupied { .. }));
}

/// A reader meets a journal whose newest start is only in its ring, whole or cut.
#[test]
fn the_ring_of_a_later_start_is_read_behind_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let starts = spell("sex|seoc");
    write_starts(dir.path(), "sex|");
    write_ring(dir.path(), &starts[1], &identity(1), 3);
    assert_whole(dir.path(), &starts.concat(), 2);
    let seen = info(dir.path()).unwrap();
    assert!(matches!(seen.ring, RingInfo::Present { newest: 7, drained: 3, .. }), "{seen}");
    // The segment's header was not written.
    fs::write(dir.path().join(segment_name(2)), b"").unwrap();
    assert_eq!(recover(dir.path()).0, starts.concat());
    let resumed = resume(dir.path());
    assert_eq!((resumed.last_sequence, resumed.recovered.from_ring), (7, 4));
    assert!(resumed.recovered.torn.is_some());
    drop(resumed);
    assert_whole(dir.path(), &starts.concat(), 2);
}

/// Whatever was done when the process was killed, the next start finds the same journal.
#[test]
fn every_point_of_a_start_can_be_resumed_from() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, copied) = (dir.path().join("journal"), dir.path().join("copy"));
    fs::create_dir(&journal).unwrap();
    let starts = spell("seecoce|secseoc");
    let first = cut_journal(&journal, "seecoce", 3);
    let check = |last: u64, epoch: u32| {
        copy(&journal, &copied);
        let resumed = resume(&copied);
        assert_eq!((resumed.last_sequence, resumed.identity.epoch), (last, epoch));
        let before = archive_bytes(&copied);
        drop(resumed);
        let again = resume(&copied);
        assert_eq!(again.recovered.from_ring, 0);
        assert_eq!(again.recovered.torn, None);
        again.retire_ring().unwrap();
        drop(again);
        assert_eq!(archive_bytes(&copied), before);
        assert_eq!(recover(&copied), (starts.concat()[..last as usize].to_vec(), None));
    };
    check(7, 7);
    let resumed = resume(&journal);
    assert_eq!(resumed.recovered.from_ring, 4);
    check(7, 7);
    let Resumed { folder, mut archive, last_sequence, .. } = resumed;
    archive.begin(&identity(1)).unwrap();
    check(7, 8);
    // The ring before is gone, and the next is not there yet.
    let ring = fs::read(journal.join("ring")).unwrap();
    fs::remove_file(journal.join("ring")).unwrap();
    check(7, 8);
    fs::write(journal.join("ring"), &ring[..0]).unwrap();
    fs::write(journal.join("ring"), vec![0; ring.len()]).unwrap();
    copy(&journal, &copied);
    assert_eq!(resume(&copied).recovered.ring, RingFound::Damaged);
    let mut ring = folder.create_ring_after(None, SLOTS, &identity(1), last_sequence).unwrap();
    check(7, 8);
    for record in &starts[1][..1] {
        ring.append(record).unwrap();
        check(record.sequence, 8);
    }
    archive.append(&starts[1][..1]).unwrap();
    check(8, 8);
    assert_eq!(first, starts[0]);
    drop((folder, archive));
    drop(Folder::resume(&journal).unwrap());
}

#[test]
fn an_archive_cut_at_any_byte_is_made_whole_from_the_ring() {
    let dir = tempfile::tempdir().unwrap();
    let records = cut_journal(dir.path(), "seeocetec", 9);
    let path = dir.path().join(segment_name(1));
    let whole = fs::read(&path).unwrap();
    write_archive(&dir.path().join(mkdir(dir.path(), "all")), &records, 1_000);
    let wanted = archive_bytes(&dir.path().join("all"));
    for length in 128..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let resumed = resume(dir.path());
        assert_eq!(resumed.last_sequence, records.len() as u64);
        assert_eq!(resumed.recovered.torn.is_some(), !length.is_multiple_of(128), "cut at {length}");
        drop(resumed);
        assert_eq!(archive_bytes(dir.path()), wanted, "cut at {length}");
    }
    // Its memory is lost: what is whole stays, up to the last whole entry.
    let ring = dir.path().join("ring");
    fs::remove_file(&ring).unwrap();
    symlink("/no/such/ring", &ring).unwrap();
    for length in 128..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let resumed = resume(dir.path());
        let held = length as u64 / 128 - 1;
        // Records 7, 8 and 9 are one output.
        let last = if (7..9).contains(&held) { 6 } else { held };
        assert_eq!((resumed.last_sequence, resumed.recovered.ring), (last, RingFound::Lost));
        assert_eq!(resumed.recovered.torn.is_some(), !length.is_multiple_of(128) || last != held);
        drop(resumed);
        assert_eq!(archive_bytes(dir.path()), [&whole[..128 + last as usize * 128]], "cut at {length}");
    }
}

fn mkdir(dir: &Path, name: &str) -> PathBuf {
    fs::create_dir(dir.join(name)).unwrap();
    PathBuf::from(name)
}

#[test]
fn a_group_without_its_commit_is_named_and_can_be_dropped() {
    for (word, archived, event, left) in [
        ("seoceoo", 3, Some(5), 4),
        ("seoceoo", 7, Some(5), 4),
        ("seocet", 5, Some(5), 4),
        ("seoce", 2, None, 5),
        ("seoc", 2, None, 4),
        ("soo", 1, Some(1), 0),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let records = cut_journal(dir.path(), word, archived);
        let mut resumed = resume(dir.path());
        assert_eq!(resumed.recovered.uncommitted, event, "{word}");
        assert_eq!(resumed.last_sequence, records.len() as u64, "{word}: nothing goes by itself");
        resumed.drop_uncommitted().unwrap();
        assert_eq!((resumed.last_sequence, resumed.recovered.uncommitted), (left, None), "{word}");
        resumed.retire_ring().unwrap();
        resumed.archive.begin(&identity(1)).unwrap();
        let start = spell(&format!("{}|s", "e".repeat(left as usize))).remove(1);
        resumed.archive.append(&start).unwrap();
        resumed.archive.sync().unwrap();
        drop(resumed);
        if left > 0 {
            let whole = [&records[..left as usize], &start].concat();
            assert_whole(dir.path(), &whole, 2);
        }
    }
}

#[test]
fn an_entry_that_was_being_written_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let records = spell("seet").remove(0);
    write_archive(dir.path(), &records[..4], 1_000);
    write_ring(dir.path(), &records[..5], &IDENTITY, 4);
    let resumed = resume(dir.path());
    assert_eq!((resumed.last_sequence, resumed.recovered.uncommitted), (3, Some(3)));
    let torn = resumed.recovered.torn.clone().unwrap().to_string();
    assert_one_line(&torn, "sequence 4: expected a whole entry, found 2 of its records, and the end");
    assert_eq!(archive_bytes(dir.path())[0].len(), 4 * 128);
}

#[test]
fn a_torn_record_ends_the_ring_unless_there_are_records_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let records = cut_journal(dir.path(), "seeeeee", 3);
    let ring = dir.path().join("ring");
    let image = fs::read(&ring).unwrap();
    let slot = |sequence: u64| 4096 + sequence * 128;
    let patch = |sequence: u64, offset: u64, bytes: &[u8]| {
        fs::write(&ring, &image).unwrap();
        let file = File::options().write(true).open(&ring).unwrap();
        file.write_all_at(bytes, slot(sequence) + offset).unwrap();
    };
    for offset in [8, 60, 124] {
        patch(7, offset, b"\xff");
        let resumed = resume(dir.path());
        assert_eq!((resumed.last_sequence, resumed.recovered.from_ring), (6, 3));
        let torn = resumed.recovered.torn.clone().unwrap().to_string();
        assert_one_line(&torn, "sequence 7: expected an intact record, found damaged bytes");
        drop(resumed);
        write_again(dir.path(), &records[..3]);
    }
    patch(6, 60, b"\xff");
    let expected = "sequence 6: expected this record, since the ring holds 7, found damaged bytes";
    assert_one_line(&refusal(dir.path()), expected);
    // A hole: never published, or of an earlier lap.
    for sequence in [0, 5 + SLOTS] {
        patch(5, 0, &u64::to_le_bytes(sequence));
        assert_one_line(&refusal(dir.path()), "sequence 5: expected this record, since the ring holds 7");
    }
    patch(7, 0, &[0; 8]);
    let resumed = resume(dir.path());
    assert_eq!((resumed.last_sequence, resumed.recovered.torn.clone()), (6, None), "it was not published");
}

fn write_again(dir: &Path, records: &[Record]) {
    for (_, path) in segments(dir).unwrap() {
        fs::remove_file(path).unwrap();
    }
    write_archive(dir, records, 1_000);
}

/// What is wrong with a journal, and the line it is refused with.
type Case = (&'static str, fn(&Path), &'static str);

#[test]
fn rings_that_do_not_fit_are_refused() {
    let cases: [Case; 8] = [
        (
            "another run",
            |dir| drop(write_ring(dir, &spell("sexe")[0], &Identity { run_id: 1, ..IDENTITY }, 3)),
            "ring: byte 20: expected the ring of the archive's run",
        ),
        (
            "a later start that is not the next",
            |dir| drop(write_ring(dir, &spell("sexee|s")[1], &identity(1), 5)),
            "ring: byte 20: expected the ring of the archive's run",
        ),
        (
            "an earlier epoch",
            |dir| drop(write_ring(dir, &spell("sex|s")[1], &Identity { epoch: 6, ..IDENTITY }, 3)),
            "ring: byte 20: expected the ring of the archive's run",
        ),
        (
            "another beginning",
            |dir| drop(write_ring(dir, &spell("sexe")[0][1..], &IDENTITY, 3)),
            "ring: byte 48: expected first sequence 1, as the start's segment says, found 2",
        ),
        (
            "a record that differs",
            |dir| drop(write_ring(dir, &spell("see")[0], &IDENTITY, 3)),
            "sequence 3: expected the record the archive has, found other bytes",
        ),
        ("a foreign file", |dir| fs::write(dir.join("ring"), [7; 8192]).unwrap(), "expected the magic"),
        (
            "another version",
            |dir| {
                let path = write_ring(dir, &spell("sex")[0], &IDENTITY, 3);
                File::options().write(true).open(path).unwrap().write_all_at(&[9], 8).unwrap();
            },
            "ring: byte 8: expected format version 0, found 9",
        ),
        (
            "records of an earlier start beyond its end",
            |dir| {
                let mut archive = resume(dir).archive;
                archive.begin(&identity(1)).unwrap();
                write_ring(dir, &spell("sexe")[0], &IDENTITY, 3);
            },
            "sequence 4: expected nothing from there on, which the start of epoch 8 has, found a record",
        ),
    ];
    for (what, damage, line) in cases {
        let dir = tempfile::tempdir().unwrap();
        write_starts(dir.path(), "sex");
        damage(dir.path());
        let before = archive_bytes(dir.path());
        let refused = refusal(dir.path());
        assert!(!refused.contains('\n') && refused.contains(line), "{what}: {refused}");
        assert_eq!(archive_bytes(dir.path()), before, "{what}: nothing was touched");
    }
}

#[test]
fn a_ring_alone_becomes_a_journal() {
    let dir = tempfile::tempdir().unwrap();
    let records = spell("seoc").remove(0);
    write_ring(dir.path(), &records, &IDENTITY, 0);
    let resumed = resume(dir.path());
    assert_eq!((resumed.last_sequence, resumed.recovered.from_ring, resumed.identity), (4, 4, IDENTITY));
    resumed.retire_ring().unwrap();
    drop(resumed);
    assert_whole(dir.path(), &records, 1);
    // Not one that begins in the middle.
    fs::remove_file(dir.path().join(segment_name(1))).unwrap();
    write_ring(dir.path(), &records[1..], &IDENTITY, 1);
    assert_one_line(
        &refusal(dir.path()),
        "expected a ring from sequence 1, since there is no segment, found 2",
    );
}

#[test]
fn damage_that_no_cut_explains_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let records = write_starts(dir.path(), "seeex|seee");
    let flip = |number: u64, offset: u64| {
        let path = dir.path().join(segment_name(number));
        let mut bytes = fs::read(&path).unwrap();
        bytes[offset as usize] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    // Closed in order: everything was durable.
    flip(2, 128 * 4 + 50);
    assert_one_line(&refusal(dir.path()), "sequence 9: expected a record whose checksum agrees");
    // The ring heals it.
    write_ring(dir.path(), &records[5..], &identity(1), 9);
    let resumed = resume(dir.path());
    assert_eq!((resumed.last_sequence, resumed.recovered.from_ring), (9, 1));
    drop(resumed);
    assert_whole(dir.path(), &records, 2);
    // Durable, and the ring has no more of it.
    flip(2, 128 * 4 + 50);
    let ring = dir.path().join("ring");
    fs::remove_file(&ring).unwrap();
    let path = write_ring(dir.path(), &records[5..8], &identity(1), 9);
    let durable = RingReader::open(&path).unwrap().durable();
    assert!(durable < 9);
    drop(resume(dir.path()));
    write_again_starts(dir.path(), "seeex|seee");
    flip(2, 128 * 4 + 50);
    File::options().write(true).open(&path).unwrap().write_all_at(&9u64.to_le_bytes(), 192).unwrap();
    assert_one_line(&refusal(dir.path()), "sequence 9: expected a record whose checksum agrees");
    // A segment that is not the last, and its header.
    write_again_starts(dir.path(), "seeex|seee");
    fs::remove_file(&ring).unwrap();
    flip(2, 30);
    assert_one_line(&refusal(dir.path()), "segment-000002.qtj: byte 124: expected header checksum");
    write_again_starts(dir.path(), "seeex|seee");
    let first = dir.path().join(segment_name(1));
    let whole = fs::read(&first).unwrap();
    fs::write(&first, &whole[..700]).unwrap();
    assert_one_line(
        &refusal(dir.path()),
        "segment-000001.qtj: byte 640, sequence 5: expected a record of 128",
    );
    fs::write(&first, &whole[..640]).unwrap();
    assert_one_line(&refusal(dir.path()), "segment-000002.qtj: byte 48: expected first sequence 5, found 6");
    fs::remove_file(&first).unwrap();
    assert_eq!(resume(dir.path()).last_sequence, 9, "the oldest segments may have been removed");
}

#[test]
fn the_epoch_of_a_later_start_must_rise() {
    for (epoch, fits) in [(6_u32, false), (7, false), (8, true), (9, true)] {
        let dir = tempfile::tempdir().unwrap();
        write_starts(dir.path(), "sex|");
        let path = dir.path().join(segment_name(2));
        let mut header = fs::read(&path).unwrap();
        header[20..24].copy_from_slice(&epoch.to_le_bytes());
        let crc = crc32c::crc32c(&header[..124]);
        header[124..].copy_from_slice(&crc.to_le_bytes());
        fs::write(&path, header).unwrap();
        let line = "segment-000002.qtj: byte 20: expected the run of the segment before, or a later epoch";
        let (resumed, problem) = (Folder::resume(dir.path()), verify(dir.path()).unwrap().problem);
        if fits {
            assert_eq!((resumed.unwrap().identity.epoch, problem), (epoch, None));
        } else {
            assert_one_line(&resumed.unwrap_err().to_string(), line);
            assert_one_line(&problem.unwrap().to_string(), line);
        }
    }
}

fn write_again_starts(dir: &Path, word: &str) {
    for (_, path) in segments(dir).unwrap() {
        fs::remove_file(path).unwrap();
    }
    write_starts(dir, word);
}

#[test]
fn what_cannot_be_resumed_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Folder::resume(&dir.path().join("no")).unwrap_err(), JournalError::NotAFolder { .. }));
    assert!(matches!(Folder::resume(dir.path()).unwrap_err(), JournalError::NoJournal { .. }));
    write_starts(dir.path(), "se|se");
    let resumed = resume(dir.path());
    assert!(matches!(Folder::resume(dir.path()).unwrap_err(), JournalError::Locked { .. }));
    let mut archive: ArchiveWriter = resumed.archive;
    let refused = archive.begin(&Identity { run_id: 9, ..identity(1) }).unwrap_err();
    assert_one_line(&refused.to_string(), "epoch 8 is not above 8, the journal's last");
    // A drain whose ring begins elsewhere.
    archive.begin(&identity(2)).unwrap();
    let config = RingConfig { path: dir.path().join("elsewhere"), slots: 4 };
    let ring = RingWriter::create(&config, &identity(2)).unwrap();
    let refused = Drain::spawn(&ring, archive, DrainOptions::default(), || 0, |_| {}, |_| {}).unwrap_err();
    assert_one_line(&refused.to_string(), "elsewhere: byte 48: expected first sequence 5, found 1");
}

#[test]
fn small_segments_and_rings_of_several_laps() {
    let dir = tempfile::tempdir().unwrap();
    let all = records(&sample(200));
    let options = ArchiveOptions { segment_records: 50, compress: false, ..ArchiveOptions::default() };
    write_archive(dir.path(), &all, 50);
    let wanted = archive_bytes(dir.path());
    for archived in (all.len() - SLOTS as usize..all.len()).step_by(5) {
        for (_, path) in segments(dir.path()).unwrap() {
            fs::remove_file(path).unwrap();
        }
        let _ = fs::remove_file(dir.path().join("ring"));
        write_archive(dir.path(), &all[..archived], 50);
        write_ring(dir.path(), &all, &IDENTITY, archived as u64);
        let resumed = Folder::resume_with(dir.path(), options.clone()).unwrap();
        assert_eq!(resumed.recovered.from_ring, (all.len() - archived) as u64);
        let bytes: u64 = wanted.iter().map(|bytes| bytes.len() as u64).sum();
        assert_eq!(resumed.archive.bytes(), bytes);
        drop(resumed);
        assert_eq!(archive_bytes(dir.path()), wanted);
    }
    // Lapped: what was drained is not in the archive.
    write_again(dir.path(), &all[..all.len() - SLOTS as usize - 3]);
    assert_one_line(&refusal(dir.path()), "expected this record, since the ring holds");
    let reader = RingReader::open(&dir.path().join("ring")).unwrap();
    assert!(matches!(reader.read(3), RingRead::Lapped));
}
