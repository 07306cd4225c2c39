//! Closed segments: readable by themselves, compressed, entered anywhere, and removed when nobody needs them.

mod journal_support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use journal_support::*;
use quantum_trader::event::record::{Entry, Record, encode_event};
use quantum_trader::event::{ConfigChange, ConfigText, Event, EventBody};
use quantum_trader::journal::archive::{
    ArchiveOptions, ArchiveWriter, FRAME_RECORDS, packed_name, segment_name, segments,
};
use quantum_trader::journal::disk::Disk;
use quantum_trader::journal::{DumpOptions, Folder, From, JournalReader, dump, info, verify};
use quantum_trader::num::TimeNs;

fn options(segment_records: u64, compress: bool) -> ArchiveOptions {
    ArchiveOptions { segment_records, compress, disk: Arc::new(Unsynced), ..ArchiveOptions::default() }
}

fn write(dir: &Path, records: &[Record], options: ArchiveOptions) {
    let mut archive = ArchiveWriter::with_options(dir, &IDENTITY, options).unwrap();
    // In pieces of odd lengths: where they end changes nothing.
    records.chunks(37).for_each(|piece| archive.append(piece).unwrap());
    archive.sync().unwrap();
}

const CONFIG: &str =
    "QT_A = 1\n# a text that takes more than one piece, since each of them has room for 88 bytes\nQT_B = 2\n";

/// RunStart, an instrument and the settings, then quotes with outputs.
fn run(quotes: i64) -> Vec<Record> {
    let mut steps = sample(quotes);
    let config = ConfigText::split(CONFIG).map(|text| Step {
        event: Event::global(steps[1].event.recv_ns, EventBody::ConfigText(text)),
        outputs: vec![],
    });
    let config: Vec<Step> = config.collect();
    steps.splice(2..2, config);
    records(&steps)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn all_bytes(dir: &Path) -> Vec<Vec<u8>> {
    segments(dir).unwrap().iter().map(|(_, path)| fs::read(path).unwrap()).collect()
}

#[test]
fn every_segment_opens_with_what_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let written = run(100);
    write(dir.path(), &written, options(50, false));
    assert_eq!(recover(dir.path()), (written.clone(), None));
    assert!(verify(dir.path()).unwrap().is_ok());
    let numbers: Vec<u64> = segments(dir.path()).unwrap().iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    for number in 2..=5 {
        let alone = tempfile::tempdir().unwrap();
        let bytes = fs::read(dir.path().join(segment_name(number))).unwrap();
        let first = u64::from_le_bytes(bytes[48..56].try_into().unwrap());
        let header_bytes = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        // One start, two records of an instrument, three of a text.
        assert_eq!(header_bytes, 128 * (1 + 1 + 2 + CONFIG.len().div_ceil(88)));
        fs::write(alone.path().join(segment_name(number)), &bytes).unwrap();
        let mut reader = JournalReader::open(alone.path()).unwrap();
        assert_eq!(reader.next_sequence(), first);
        let (record, _) = reader.next_record().unwrap().unwrap();
        assert_eq!((record.sequence, record.is_output(), record.part), (first, false, 0));
        let preamble = reader.preamble();
        assert_eq!(preamble.config_text(), CONFIG);
        assert_eq!(preamble.instruments(), [(BTC, btcusdt())]);
        assert_eq!(preamble.run_start().unwrap().epoch, IDENTITY.epoch);
        let report = verify(alone.path()).unwrap();
        assert!(report.is_ok() && report.first_sequence == first && report.starts == 1, "{report}");
        assert!(report.to_string().contains(&format!("segments up to record {}", first - 1)));
        assert!(info(alone.path()).unwrap().to_string().contains("removed"));
    }
}

#[test]
fn a_change_of_the_settings_begins_a_segment_and_is_in_force_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut written = run(10);
    written.pop(); // RunEnd
    let before = written.len() as u64;
    let mut push = |body| {
        let next = written.len() as u64 + 1;
        encode_event(&Event::global(TimeNs(i64::MAX), body), next, |r| written.push(*r));
    };
    push(EventBody::ConfigChange(ConfigChange { digest: 1 }));
    ConfigText::split("QT_C = 3\n").for_each(|text| push(EventBody::ConfigText(text)));
    (0..60).for_each(|i| push(quote(i)));
    write(dir.path(), &written, options(50, false));
    assert_eq!(segments(dir.path()).unwrap().len(), 3);
    assert_eq!(recover(dir.path()), (written, None));
    for (sequence, config) in [(before, CONFIG), (before + 1, CONFIG), (before + 3, "QT_C = 3\n")] {
        let reader = JournalReader::open_at(dir.path(), From::Sequence(sequence)).unwrap();
        assert_eq!(reader.preamble().config_text(), config, "at {sequence}");
    }
    let last = JournalReader::open_at(dir.path(), From::Sequence(before + 60)).unwrap();
    assert_eq!(last.preamble().config_text(), "QT_C = 3\n");
    assert_eq!(last.preamble().instruments().len(), 1);
}

#[test]
fn a_preamble_that_is_not_the_runs_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &run(60), options(50, false));
    let path = dir.path().join(segment_name(2));
    let whole = fs::read(&path).unwrap();
    let record = |at: usize| -> Record { bytemuck::pod_read_unaligned(&whole[at * 128..(at + 1) * 128]) };
    let check = |at: usize, record: Record, line: &str| {
        let mut bytes = whole.clone();
        bytes[at * 128..(at + 1) * 128].copy_from_slice(bytemuck::bytes_of(&record));
        fs::write(&path, bytes).unwrap();
        let problem = verify(dir.path()).unwrap().problem.unwrap().to_string();
        assert_one_line(&problem, line);
        assert_one_line(&problem, &segment_name(2));
        assert_one_line(&recover(dir.path()).1.unwrap(), line);
    };
    // Another instrument, settings with another value, the start of another run, a record that has no place here.
    let mut other = record(3);
    other.payload[0] ^= 1;
    check(
        3,
        other.renumbered(0),
        "expected the start, the instruments and the settings of the records before",
    );
    let mut other = record(4);
    other.payload[10] ^= 1;
    check(
        4,
        other.renumbered(0),
        "expected the start, the instruments and the settings of the records before",
    );
    let mut other = record(1);
    other.payload[0] ^= 1;
    check(1, other.renumbered(0), "byte 128: expected RunStart of the header's run");
    check(4, timer_record(9).renumbered(0), "byte 512: expected RunStart, Instrument rows and ConfigText");
    let mut damaged = record(2);
    damaged.payload[0] ^= 1;
    check(2, damaged, "byte 256: expected a record whose checksum agrees");
}

#[test]
fn closed_segments_are_compressed_into_the_same_files_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let (raw, one, other) = (dir.path().join("raw"), dir.path().join("one"), dir.path().join("other"));
    let written = run(4_000);
    let length = 2 * FRAME_RECORDS + 700;
    for (dir, compress) in [(&raw, false), (&one, true), (&other, true)] {
        fs::create_dir(dir).unwrap();
        write(dir, &written, options(length, compress));
    }
    assert_eq!(names(&one), [packed_name(1), segment_name(2)].map(String::from));
    assert_eq!(all_bytes(&one), all_bytes(&other));
    // Any tool gives the bytes back.
    let packed = fs::read(one.join(packed_name(1))).unwrap();
    let unpacked = zstd::decode_all(&packed[..]).unwrap();
    assert!(unpacked == fs::read(raw.join(segment_name(1))).unwrap());
    assert!(packed.len() * 3 < unpacked.len(), "{} of {} bytes", packed.len(), unpacked.len());
    assert!(recover(&one) == (written.clone(), None));
    let (packed, unpacked) = (verify(&one).unwrap(), verify(&raw).unwrap());
    assert!(packed.is_ok() && packed == unpacked, "{packed}");
    let seen = info(&one).unwrap();
    assert_eq!(seen.archived_records, written.len() as u64);
    // The journal goes on.
    let resumed = Folder::resume_with(&one, options(length, true)).unwrap();
    assert_eq!(resumed.last_sequence, written.len() as u64);
}

#[test]
fn reading_begins_at_any_sequence_number_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let (raw, packed) = (dir.path().join("raw"), dir.path().join("packed"));
    let written = run(4_000);
    for (dir, compress) in [(&raw, false), (&packed, true)] {
        fs::create_dir(dir).unwrap();
        write(dir, &written, options(FRAME_RECORDS + 500, compress));
        assert!(segments(dir).unwrap().len() > 2);
    }
    let last = written.len() as u64;
    for dir in [&raw, &packed] {
        let begins = |from: From| {
            let mut reader = JournalReader::open_at(dir, from).unwrap();
            reader.next_record().unwrap().map(|(record, _)| record)
        };
        for sequence in (0..last + 10).step_by(211).chain([0, 1, 2, 3, last - 1, last, last + 1]) {
            let expected = written.iter().find(|r| r.sequence >= sequence && r.part == 0).copied();
            assert_eq!(begins(From::Sequence(sequence)), expected, "sequence {sequence}");
        }
        let times = written.iter().step_by(97).flat_map(|r| [r.recv_ns - 1, r.recv_ns, r.recv_ns + 1]);
        for time in times.chain([i64::MIN, 0, i64::MAX]) {
            let event = |r: &&Record| !r.is_output() && r.part == 0 && r.recv_ns >= time;
            assert_eq!(begins(From::Time(TimeNs(time))), written.iter().find(event).copied(), "time {time}");
        }
        let mut reader = JournalReader::open_at(dir, From::Sequence(last - 100)).unwrap();
        assert_eq!(reader.preamble().instruments(), [(BTC, btcusdt())]);
        assert_eq!(reader.preamble().config_text(), CONFIG);
        while reader.next_entry().unwrap().is_some() {}
        assert_eq!(reader.next_sequence(), last + 1);
    }
    let text = |dir: &Path, options: &DumpOptions| {
        let mut out = Vec::new();
        dump(dir, options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let all = text(&raw, &DumpOptions::default());
    let (from, to) = (written[8_000].recv_ns, written[8_400].recv_ns);
    let range = DumpOptions { since: Some(TimeNs(from)), until: Some(TimeNs(to)), ..DumpOptions::default() };
    let at = |line: &str| -> i64 {
        line.split("recv_ns=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    let expected: String =
        all.lines().filter(|line| (from..=to).contains(&at(line))).map(|line| format!("{line}\n")).collect();
    assert!(expected.lines().count() > 100);
    assert_eq!(text(&packed, &range), expected, "the lines of the whole dump, scales and all");
}

/// A reader that does not begin at the beginning goes on into the ring as any other.
#[test]
fn a_later_beginning_goes_on_into_the_ring() {
    let dir = tempfile::tempdir().unwrap();
    let written = run(60);
    write(dir.path(), &written[..100], options(30, false));
    let config = quantum_trader::journal::ring::RingConfig { path: dir.path().join("ring"), slots: 64 };
    let mut ring = quantum_trader::journal::ring::RingWriter::create(&config, &IDENTITY).unwrap();
    let watermarks = ring.watermarks();
    for record in &written {
        watermarks.set_drained(record.sequence.saturating_sub(30).min(100));
        ring.append(record).unwrap();
    }
    for from in [1, 60, 99, 100, 101, 120, written.len() as u64] {
        let mut reader = JournalReader::open_at(dir.path(), From::Sequence(from)).unwrap();
        let mut found = Vec::new();
        while let Some((record, _)) = reader.next_record().unwrap() {
            found.push(record);
        }
        let expected: Vec<Record> =
            written.iter().filter(|r| r.sequence >= from).skip_while(|r| r.part != 0).copied().collect();
        assert!(found == expected, "from {from}");
    }
}

#[test]
fn every_flipped_bit_of_a_compressed_segment_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let written = records(&sample(21));
    write(dir.path(), &written, options(20, true));
    let path = dir.path().join(packed_name(1));
    let whole = fs::read(&path).unwrap();
    let file = fs::File::options().read(true).write(true).open(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let flipped = whole[bit / 8] ^ (1 << (bit % 8));
        file.write_all_at(&[flipped], bit as u64 / 8).unwrap();
        let (recovered, complaint) = recover(dir.path());
        assert_eq!(recovered, written[..recovered.len()], "bit {bit}");
        assert!(recovered.len() < written.len(), "bit {bit}");
        assert_one_line(&complaint.unwrap(), &packed_name(1));
        let problem = verify(dir.path()).unwrap().problem.expect("noticed").to_string();
        assert_one_line(&problem, &packed_name(1));
        file.write_all_at(&[whole[bit / 8]], bit as u64 / 8).unwrap();
    }
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(recover(dir.path()).1.is_some_and(|line| line.contains(&packed_name(1))), "cut at {length}");
    }
}

/// A disk that counts down to its last call: everything after it fails, as if the process had been killed.
fn killed_after(calls: u64) -> Arc<Flaky> {
    let disk = Arc::new(Flaky::default());
    disk.fail(calls, u64::MAX);
    disk
}

#[test]
fn compressing_can_be_cut_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let written = records(&sample(100));
    let wanted = dir.path().join("wanted");
    fs::create_dir(&wanted).unwrap();
    write(&wanted, &written, options(100, true));
    for calls in 0.. {
        let journal = dir.path().join(format!("{calls}"));
        fs::create_dir(&journal).unwrap();
        write(&journal, &written, options(100, false));
        // The keeper's calls fail from there on; what it left behind is found by a reader and the next start.
        let disk = killed_after(calls);
        let resumed = Folder::resume_with(
            &journal,
            ArchiveOptions { disk: Arc::clone(&disk) as Arc<dyn Disk>, ..options(100, true) },
        );
        let ok = resumed.is_ok();
        drop(resumed); // waits for the keeper
        let done = ok && !disk.failed();
        assert!(recover(&journal) == (written.clone(), None), "after {calls} calls: {:?}", names(&journal));
        drop(Folder::resume_with(&journal, options(100, true)).unwrap());
        assert!(all_bytes(&journal) == all_bytes(&wanted), "after {calls} calls: {:?}", names(&journal));
        assert!(!names(&journal).iter().any(|name| name.ends_with(".tmp")));
        if done {
            assert!(calls > 15, "{calls} calls");
            break;
        }
    }
}

fn kept(dir: &Path) -> Vec<u64> {
    segments(dir).unwrap().iter().map(|(number, _)| *number).collect()
}

#[test]
fn old_segments_go_only_as_far_as_somebody_allows() {
    let written = records(&sample(300));
    let size = |segments: u64| segments * 51 * 128;
    // Nothing, a sequence number inside the fourth segment, all.
    for (allowed, max_bytes, max_age_ns, first) in [
        (0, size(2), 0, 1),
        (200, size(2), 0, 4),
        (u64::MAX, size(5), 0, 0),
        (u64::MAX, 1, 1, 0),
        (u64::MAX, 0, 40_000, 0),
        (u64::MAX, 0, 0, 1),
        (u64::MAX, 0, i64::MAX, 1),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let limits = ArchiveOptions { max_bytes, max_age_ns, ..options(50, false) };
        let mut archive = ArchiveWriter::with_options(dir.path(), &IDENTITY, limits).unwrap();
        archive.forgetting().may_forget(allowed);
        archive.append(&written).unwrap();
        drop(archive);
        let kept = kept(dir.path());
        let last = *kept.last().unwrap();
        assert!(kept.windows(2).all(|pair| pair[0] + 1 == pair[1]) && kept.len() >= 2, "{kept:?}");
        match (max_bytes, max_age_ns) {
            _ if first > 0 => assert_eq!(kept[0], first, "{allowed} {max_bytes} {max_age_ns}"),
            (1, _) => assert_eq!(kept, [last - 1, last], "the last two stay"),
            (0, _) => assert!(kept.len() > 2 && kept[0] > 1, "{kept:?}"),
            _ => assert!((4..=7).contains(&kept.len()), "{kept:?}"),
        }
        let (found, complaint) = recover(dir.path());
        assert_eq!(complaint, None);
        assert!(found == written[written.len() - found.len()..]);
        assert!(verify(dir.path()).unwrap().is_ok());
        let resumed = Folder::resume_with(dir.path(), options(50, false)).unwrap();
        assert_eq!(resumed.last_sequence, written.len() as u64);
    }
}

#[test]
fn entries_come_out_of_a_compressed_journal_as_they_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let steps = sample(50);
    write(dir.path(), &records(&steps), options(20, true));
    let mut reader = JournalReader::open(dir.path()).unwrap();
    let mut events = Vec::new();
    while let Some(numbered) = reader.next_entry().unwrap() {
        if let Entry::Event(event) = numbered.entry {
            events.push(event);
        }
    }
    assert_eq!(events, steps.iter().map(|step| step.event).collect::<Vec<_>>());
}
