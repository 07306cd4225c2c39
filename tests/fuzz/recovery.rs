//! A journal whose files were damaged: it is refused in one line, or what it gives is the beginning of what
//! was written, and a recovery goes on from there, twice the same.
//!
//! An input is a list of things done to the files of [`made_journal`](crate::made_journal). Where records were made up,
//! with checksums that agree, nothing is promised of what they say, but that nobody panics.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use quantum_trader::event::record::{RECORD_BYTES, Record};
use quantum_trader::host::ring_dir;
use quantum_trader::journal::archive::ArchiveOptions;
use quantum_trader::journal::{info, verify};
use quantum_trader::replay::verify::{Range, verify as replay};
use quantum_trader::replay::{Recovery, RecoveryError};
use tempfile::TempDir;

use crate::journal_support::{Unsynced, recover};
use crate::made_journal::journal;
use crate::target::{Target, assert_one_line, bounded};

const STEPS_MAX: usize = 16;
/// Where the checksum of a record and of a header stands, behind all that it covers.
const CRC_AT: usize = RECORD_BYTES - 4;

/// Reads an input from its front; what is not there is 0.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, self.0), |(first, rest)| (*first, rest));
        self.0 = rest;
        first
    }

    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        (usize::from(self.byte()) << 8 | usize::from(self.byte())) % bound
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }
}

type Files = Vec<(String, Option<Vec<u8>>)>;

/// The files after everything an input says was done to them.
fn damaged(input: &[u8]) -> Files {
    let mut files: Files =
        journal().files.iter().map(|(name, bytes)| (name.clone(), Some(bytes.clone()))).collect();
    let mut input = Input(input);
    for _ in 0..STEPS_MAX {
        if input.0.is_empty() {
            break;
        }
        let (what, file, other) = (input.byte(), input.below(files.len()), input.below(files.len()));
        let source = files[other].1.clone();
        let slot = &mut files[file].1;
        let Some(bytes) = slot else { continue };
        let (at, unit) = (input.below(bytes.len() + 1), RECORD_BYTES);
        let record = at / unit * unit;
        match what % 8 {
            0 => {
                let count = usize::from(input.byte() % 16) + 1;
                let new = input.bytes(count);
                bytes.iter_mut().skip(at).zip(new).for_each(|(byte, new)| *byte = new);
            }
            1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (what >> 5)),
            2 => bytes.truncate(at),
            3 => *slot = None,
            4 => *slot = source,
            5 => {
                // A record, or a header, from elsewhere.
                let from = input.below(source.as_ref().map_or(1, |source| source.len() + 1)) / unit * unit;
                let part = source.as_ref().and_then(|source| source.get(from..from + unit));
                if let (Some(part), Some(place)) = (part, bytes.get_mut(record..record + unit)) {
                    place.copy_from_slice(part);
                }
            }
            6 => seal(bytes, record),
            _ => bytes.splice(at..at, vec![0; usize::from(what >> 3) * 4]).for_each(drop),
        }
    }
    files
}

/// Makes checksums agree: a snapshot's, or a record's.
fn seal(bytes: &mut [u8], record: usize) {
    if bytes.starts_with(b"QTXSNAP") && bytes.len() > 16 {
        let crc = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    } else if let Some(record) = bytes.get_mut(record..record + RECORD_BYTES) {
        let crc = crc32c::crc32c(&record[..CRC_AT]);
        record[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Whether something is in the files that nobody wrote, under a checksum that agrees.
fn is_forged(files: &Files) -> bool {
    static WRITTEN: OnceLock<HashSet<Vec<u8>>> = OnceLock::new();
    let written = WRITTEN.get_or_init(|| {
        let files = journal().files.iter();
        let parts = files.flat_map(|(_, bytes)| bytes.chunks(RECORD_BYTES).map(<[u8]>::to_vec));
        parts.chain(journal().records.iter().map(|record| bytemuck::bytes_of(record).to_vec())).collect()
    });
    let sealed = |part: &[u8]| {
        part.len() == RECORD_BYTES && crc32c::crc32c(&part[..CRC_AT]).to_le_bytes() == part[CRC_AT..]
    };
    files.iter().any(|(name, bytes)| {
        let Some(bytes) = bytes else { return false };
        let original = journal().files.iter().any(|(_, original)| original == bytes);
        let snapshot = name.ends_with(".qts") && !original && {
            let mut sealed = bytes.clone();
            seal(&mut sealed, 0);
            sealed == *bytes
        };
        snapshot || bytes.chunks(RECORD_BYTES).any(|part| sealed(part) && !written.contains(part))
    })
}

fn options() -> ArchiveOptions {
    ArchiveOptions { disk: Arc::new(Unsynced), compress: false, ..ArchiveOptions::default() }
}

/// Whether these are records that were written, in order. The oldest segments may be gone: a limit on the
/// journal's size removes them.
fn as_written(records: &[Record]) -> bool {
    let first = records.first().map_or(1, |record| record.sequence) as usize;
    journal().records.get(first - 1..).is_some_and(|written| written.starts_with(records))
}

fn check_journal(input: &[u8]) -> bool {
    thread_local! {
        static HOME: TempDir = tempfile::tempdir_in(ring_dir()).unwrap();
    }
    let dir = HOME.with(|home| home.path().join("journal"));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).unwrap();
    let files = damaged(input);
    let forged = is_forged(&files);
    for (name, bytes) in &files {
        bytes.iter().for_each(|bytes| fs::write(dir.join(name), bytes).unwrap());
    }
    let length: usize = files.iter().flat_map(|(_, bytes)| bytes).map(Vec::len).sum();
    bounded(length, 4 << 20, 64, || check_folder(&dir, forged))
}

/// `true` if a recovery goes on.
fn check_folder(dir: &Path, forged: bool) -> bool {
    let _ = info(dir);
    let (before, complaint) = recover(dir);
    complaint.iter().for_each(|line| assert_one_line(line));
    let noticed = match verify(dir) {
        Ok(report) => {
            report.problem.iter().for_each(|problem| assert_one_line(&problem.to_string()));
            report.problem.is_some()
        }
        Err(error) => {
            assert_one_line(&error.to_string());
            true
        }
    };
    assert!(noticed || complaint.is_none(), "the reader stops at damage that verify does not see");
    let _ = replay(dir, Range::default(), |_| ());
    assert!(forged || as_written(&before), "{} records that were not written", before.len());
    match Recovery::open_with(dir, options()) {
        Ok(recovery) => {
            let (last, hash) = (recovery.resumed.last_sequence, recovery.engine.state_hash());
            drop(recovery);
            if !forged {
                let read = before.last().map_or(0, |record| record.sequence);
                assert!(last >= read, "gone on behind {last}, and {read} could be read");
                check_recovered(dir, complaint.as_deref(), last, hash);
            }
            true
        }
        Err(error) => {
            match &error {
                RecoveryError::Diverges(_) => assert!(forged && !error.to_string().is_empty(), "{error}"),
                _ => assert_one_line(&error.to_string()),
            }
            let anew = matches!(error, RecoveryError::NoState(_));
            drop(error);
            let (after, _) = recover(dir);
            assert!(
                forged || as_written(&after) && after.len() >= before.len(),
                "a refused journal has lost something"
            );
            // The next start begins anew behind it, as if there were nothing to go on with.
            assert!(
                forged || !anew || before.len() < journal().opening,
                "{} records are passed over",
                before.len()
            );
            false
        }
    }
}

/// A journal that was gone on with ends whole, and there is nothing left to do. Damage before a snapshot it goes
/// on from is not looked at: that is for `verify`, and was there `before`.
fn check_recovered(dir: &Path, before: Option<&str>, last: u64, hash: u128) {
    let (records, complaint) = recover(dir);
    assert!(as_written(&records), "{} records that were not written", records.len());
    match complaint {
        None => assert_eq!(records.last().map_or(0, |record| record.sequence), last),
        Some(complaint) => assert!(before.is_some(), "{complaint}"),
    }
    let again = Recovery::open_with(dir, options()).unwrap();
    assert_eq!((again.resumed.last_sequence, again.recovered.completed), (last, 0));
    assert_eq!(again.engine.state_hash(), hash, "the same once more");
}

#[test]
fn recovery() {
    let names: Vec<&str> = journal().files.iter().map(|(name, _)| name.as_str()).collect();
    let file = |part: &str| names.iter().rposition(|name| name.contains(part)).unwrap() as u8;
    let (ring, snapshot, last) = (file("ring"), file("snapshot"), file(".qtj"));
    let step = |what: u8, file: u8, at: u16| {
        let [high, low] = at.to_be_bytes();
        vec![what, 0, file, 0, 0, high, low]
    };
    let seeds = vec![
        Vec::new(),
        step(3, ring, 0),
        step(3, snapshot, 0),
        step(2, snapshot, 500),
        step(1, snapshot, 700),
        [step(2, snapshot, 500), step(3, snapshot - 1, 0)].concat(),
        step(1 | 3 << 5, ring, 192),
        step(1, file(".zst"), 900),
        step(1, ring, 6_000),
        step(2, last, journal().files[usize::from(last)].1.len() as u16 - 200),
    ];
    let target = Target {
        name: "recovery",
        inputs: 1_000,
        seeds,
        recorded: Vec::new(),
        words: Vec::new(),
        check: check_journal,
    };
    target.run();
}

/// Found by this target: nothing can be read, and the last segment begins behind what the older snapshot
/// stands for. It was gone on with as if the records between had never been.
#[test]
fn a_journal_of_which_only_an_older_snapshot_is_left_is_refused() {
    assert!(!check_journal(b"a\x00\x00\x00\x00\x00170141183460469231731687303715884105728\xc0"));
}
