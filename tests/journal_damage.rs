//! Damage: whatever happens to the bytes, a journal gives back a prefix of what was written, and
//! says where it ends.

mod journal_support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use journal_support::*;
use quantum_trader::event::record::{Record, encode_event, encode_output};
use quantum_trader::event::{Event, EventBody, Output};
use quantum_trader::journal::archive::segment_name;
use quantum_trader::journal::ring::{RingConfig, RingWriter};
use quantum_trader::journal::verify;
use quantum_trader::num::{InstrumentId, TimeNs};

/// What verify and the readers make of a damaged journal that held `written`. True if they noticed.
fn check_damaged(dir: &Path, written: &[Record], what: &str) -> bool {
    let (recovered, complaint) = recover(dir);
    assert_eq!(recovered, written[..recovered.len().min(written.len())], "{what}: not a prefix");
    let noticed = match verify(dir) {
        Ok(report) => {
            if let Some(problem) = &report.problem {
                assert_one_line(&problem.to_string(), ": expected ");
            }
            report.problem.is_some()
        }
        Err(error) => {
            assert_one_line(&error.to_string(), "");
            true
        }
    };
    assert!(noticed || complaint.is_none(), "{what}: the reader stops at damage that verify does not see");
    assert!(
        noticed || recovered == written,
        "{what}: {} of {} records, unnoticed",
        recovered.len(),
        written.len()
    );
    noticed
}

fn flip(file: &File, offset: u64, mask: u8) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ mask], offset).unwrap();
}

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

#[test]
fn every_flipped_bit_of_an_archive_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let written = records(&sample(7));
    write_archive(dir.path(), &written, 8);
    assert!(!check_damaged(dir.path(), &written, "as written"));
    for number in 1..=3 {
        let path = dir.path().join(segment_name(number));
        let file = open(&path);
        for bit in 0..file.metadata().unwrap().len() * 8 {
            flip(&file, bit / 8, 1 << (bit % 8));
            assert!(check_damaged(dir.path(), &written, "bit"), "segment {number}, bit {bit}");
            flip(&file, bit / 8, 1 << (bit % 8));
        }
    }
}

/// The archive has the first 30 of 39 records, a ring of 16 slots the last 16.
fn half_drained(dir: &Path) -> (Vec<Record>, PathBuf) {
    let written = records(&sample(15));
    assert_eq!(written.len(), 39, "the sample's length is what the numbers below rely on");
    let path = dir.join("ring");
    let mut ring = RingWriter::create(&RingConfig { path: path.clone(), slots: 16 }, &IDENTITY).unwrap();
    let watermarks = ring.watermarks();
    for record in &written {
        let drained = record.sequence.saturating_sub(9);
        watermarks.set_drained(drained);
        ring.append(record).unwrap();
    }
    watermarks.set_durable(20);
    write_archive(dir, &written[..30], 100);
    (written, path)
}

#[test]
fn every_flipped_bit_of_a_ring_is_noticed_or_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (written, path) = half_drained(dir.path());
    assert!(!check_damaged(dir.path(), &written, "as written"));
    let file = open(&path);
    // The constant header, the watermarks, a byte of the unused rest of the page, and every slot.
    let header = (0..128 * 8).chain(128 * 8..136 * 8).chain(192 * 8..200 * 8).chain(1_000 * 8..1_001 * 8);
    let slots = 4096 * 8..(4096 + 16 * 128) * 8;
    let mut unnoticed = 0;
    for bit in header.chain(slots) {
        flip(&file, bit / 8, 1 << (bit % 8));
        unnoticed += u64::from(!check_damaged(dir.path(), &written, &format!("ring bit {bit}")));
        flip(&file, bit / 8, 1 << (bit % 8));
    }
    // Watermarks that are too low and bytes nobody uses change nothing.
    assert!(unnoticed <= 8 + 2 * 6, "{unnoticed} bits unnoticed");
}

#[test]
fn an_archive_cut_at_any_byte_gives_the_records_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let written = records(&sample(7));
    write_archive(dir.path(), &written, 100);
    let path = dir.path().join(segment_name(1));
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (recovered, complaint) = recover(dir.path());
        assert_eq!(recovered, written[..(length / 128).saturating_sub(1)], "cut at {length}");
        let report = verify(dir.path()).unwrap();
        assert_eq!(report.ended, None, "cut at {length}");
        // At the end of a record it may be a process that died; anywhere else it is a torn write.
        let torn = length % 128 != 0 || length == 0;
        assert_eq!(complaint.is_some(), torn, "cut at {length}");
        assert_eq!(report.problem.is_some(), torn || length == 128, "cut at {length}: {report}");
        if torn && length > 128 {
            assert_one_line(&complaint.unwrap(), "bytes before the end of the file");
        }
    }
}

#[test]
fn a_cut_archive_is_continued_by_the_ring() {
    let dir = tempfile::tempdir().unwrap();
    let (written, ring) = half_drained(dir.path());
    let path = dir.path().join(segment_name(1));
    let whole = fs::read(&path).unwrap();
    // The ring holds 24..=39; the archive's records are at 128 × sequence.
    for length in 128..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let held = length / 128 - 1;
        let (recovered, complaint) = recover(dir.path());
        if held >= 23 {
            assert_eq!((recovered, complaint), (written.clone(), None), "cut at {length}");
        } else {
            assert_eq!(recovered, written[..held], "cut at {length}");
            assert!(complaint.is_some(), "cut at {length}");
        }
    }
    fs::write(&path, &whole).unwrap();
    for length in [0, 100, 4095, 4096, 4096 + 128 * 15, 4096 + 128 * 16 - 1] {
        fs::write(&ring, vec![0; length]).unwrap();
        assert!(check_damaged(dir.path(), &written, "short ring"));
        assert_eq!(recover(dir.path()).0, written[..30]);
    }
}

/// Puts a number where it is stored and, for a header, seals it again.
fn patch(path: &Path, offset: u64, bytes: &[u8], reseal: bool) {
    let file = open(path);
    file.write_all_at(bytes, offset).unwrap();
    if reseal {
        let mut header = [0; 124];
        file.read_exact_at(&mut header, 0).unwrap();
        file.write_all_at(&crc32c::crc32c(&header).to_le_bytes(), 124).unwrap();
    }
}

#[test]
fn foreign_files_and_other_versions_are_named() {
    let written = records(&sample(15));
    let segment = segment_name(1);
    let cases: [(&str, u64, &[u8], bool, &str); 9] = [
        (
            &segment,
            0,
            b"PK\x03\x04....",
            false,
            "expected the magic \"QTXSEGM\\x00\", found \"PK\\x03\\x04....\"",
        ),
        (&segment, 8, &[7], false, "byte 8: expected format version 0, found 7"),
        (&segment, 16, &[64], true, "byte 16: expected records of 128 bytes, found 64"),
        (&segment, 24, &[1], false, "expected header checksum"),
        (&segment, 40, &[2], true, "byte 40: expected segment number 1, found 2"),
        (&segment, 48, &[9], true, "byte 48: expected first sequence 1, found 9"),
        ("ring", 8, &[7], false, "byte 8: expected format version 0, found 7"),
        ("ring", 16, &[64], true, "byte 16: expected records of 128 bytes, found 64"),
        ("ring", 24, &[1], true, "expected the ring of the archive's run"),
    ];
    for (name, offset, bytes, reseal, complaint) in cases {
        let dir = tempfile::tempdir().unwrap();
        half_drained(dir.path());
        patch(&dir.path().join(name), offset, bytes, reseal);
        assert!(check_damaged(dir.path(), &written, name));
        let problem = verify(dir.path()).unwrap().problem.unwrap().to_string();
        assert_one_line(&problem, complaint);
        assert_one_line(&problem, name);
    }
}

#[test]
fn a_missing_segment_is_a_hole() {
    let dir = tempfile::tempdir().unwrap();
    let written = records(&sample(7));
    write_archive(dir.path(), &written, 8);
    fs::remove_file(dir.path().join(segment_name(2))).unwrap();
    let (recovered, complaint) = recover(dir.path());
    // The eighth record is the first of three of an output, and a segment ends before an event.
    assert_eq!(recovered, written[..10]);
    let expected =
        "segment-000002.qtj: byte 0, sequence 11: expected this segment, since segment-000003.qtj exists";
    assert_one_line(&complaint.unwrap(), expected);
}

#[test]
fn the_order_of_entries_is_checked() {
    let cases = [
        ("s", Ok(0)),
        ("sx", Ok(2)),
        ("seocx", Ok(5)),
        ("seoc", Ok(4)),
        ("seo", Ok(1)),
        ("secxc", Ok(5)),
        ("e", Err("sequence 1: expected RunStart first, found the event Quote")),
        ("c", Err("sequence 1: expected RunStart first, found the output Order")),
        ("ss", Err("sequence 2: expected one RunStart, found another")),
        ("seoe", Err("sequence 4: expected an output that commits the group before, found the event Quote")),
        ("secc", Err("sequence 4: expected an event, since the group was committed, found the output Order")),
        ("sxe", Err("sequence 3: expected nothing after RunEnd and its outputs, found the event Quote")),
        ("sxs", Err("sequence 3: expected nothing after RunEnd and its outputs, found the event RunStart")),
        ("se|seocx||s", Ok(7)),
        ("sx|sxc|sec", Ok(8)),
        ("|se", Ok(1)),
        (
            "seo|s",
            Err("sequence 4: expected an output that commits the group before, found the event RunStart"),
        ),
        ("se|e", Err("sequence 3: expected RunStart first, found the event Quote")),
        ("se|c", Err("sequence 3: expected RunStart first, found the output Order")),
        ("sx|x", Err("sequence 3: expected RunStart first, found the event RunEnd")),
    ];
    for (word, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        write_starts(dir.path(), word);
        let report = verify(dir.path()).unwrap();
        match (expected, report.problem) {
            (Ok(committed), None) => assert_eq!(report.committed_sequence, committed, "{word}"),
            (Err(words), Some(problem)) => assert_one_line(&problem.to_string(), words),
            (expected, problem) => panic!("{word}: expected {expected:?}, found {problem:?}"),
        }
    }
}

/// Records with right checksums whose content contradicts their neighbours.
#[test]
fn sealed_records_that_do_not_fit_are_found() {
    let start = Event::global(TimeNs(10), run_start());
    let encode = |event: &Event, next: u64| {
        let mut found: Vec<Record> = Vec::new();
        encode_event(event, next, |r| found.push(*r));
        found
    };
    let btc =
        |at: i64| Event { recv_ns: TimeNs(at), instrument: BTC, body: EventBody::Instrument(btcusdt()) };
    let mut output = Vec::new();
    let body = Output { instrument: BTC, body: order(1) };
    encode_output(&body, TimeNs(11), true, 2, |r| output.push(*r));
    let elsewhere = Event { instrument: InstrumentId(1), ..btc(10) };
    let cases: [(Vec<Record>, &str); 4] = [
        (output, "sequence 2: expected its event's recv_ns 10, found 11"),
        (vec![encode(&btc(10), 2)[0], encode(&btc(11), 2)[1]], "sequence 3: expected recv_ns 10"),
        (vec![encode(&btc(10), 2)[0], encode(&elsewhere, 2)[1]], "found recv_ns 10 and instrument 1"),
        (encode(&btc(10), 1)[1..].to_vec(), "found part 1 of 2 out of place"),
    ];
    for (tail, words) in cases {
        let dir = tempfile::tempdir().unwrap();
        let records: Vec<Record> = encode(&start, 1).into_iter().chain(tail).collect();
        write_archive(dir.path(), &records, 100);
        let problem = verify(dir.path()).unwrap().problem.expect(words);
        assert_one_line(&problem.to_string(), words);
    }
}

#[test]
fn a_run_start_of_another_run_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut steps = sample(1);
    let EventBody::RunStart(start) = &mut steps[0].event.body else { panic!("RunStart is first") };
    start.run_id = 1;
    write_archive(dir.path(), &records(&steps), 100);
    let problem = verify(dir.path()).unwrap().problem.unwrap();
    assert_one_line(&problem.to_string(), "build 42, epoch 7, found run 1, build 42, epoch 7");
}

#[test]
fn ring_and_archive_that_disagree_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let (written, ring) = half_drained(dir.path());
    // Another record, intact, in the slot of sequence 26.
    let mut other = Vec::new();
    encode_event(&timer(3), 26, |r| other.push(*r));
    patch(&ring, 4096 + (26 % 16) * 128, bytemuck::bytes_of(&other[0]), false);
    assert!(check_damaged(dir.path(), &written, "other record"));
    let problem = verify(dir.path()).unwrap().problem.unwrap();
    assert_one_line(
        &problem.to_string(),
        "sequence 26: expected the record the archive has, found other bytes",
    );
}

#[test]
fn time_that_runs_backwards_is_counted_not_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut steps = sample(5);
    steps[4].event.recv_ns = TimeNs(5);
    write_archive(dir.path(), &records(&steps), 100);
    let report = verify(dir.path()).unwrap();
    assert!(report.is_ok() && report.time_reversals == 1, "{report}");
}
