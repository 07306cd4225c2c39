//! Power loss: an archive is 512-byte sectors, of which those since the last sync may be there or not, each
//! for itself. Whatever a disk makes of it, what was durable comes back, and nothing that was never written.

mod journal_support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use journal_support::*;
use proptest::test_runner::{RngAlgorithm, TestRng};
use quantum_trader::event::record::Record;
use quantum_trader::journal::archive::{ArchiveOptions, ArchiveWriter, segment_name};
use quantum_trader::journal::ring::{RingConfig, RingWriter};
use quantum_trader::journal::{Folder, RingFound, verify};

const SECTOR: usize = 512;
const SLOTS: u64 = 256;

/// What a sector holds that was not written in time.
#[derive(Clone, Copy, Debug)]
enum Stale {
    Old,
    Zeros,
}

/// The file after the power loss: of the sectors from the durable end on, those in `kept` are new.
fn after_loss(
    durable: &[u8],
    written: &[u8],
    kept: impl Fn(usize) -> bool,
    stale: Stale,
    length: usize,
) -> Vec<u8> {
    let first = durable.len() / SECTOR;
    let mut file = durable.to_vec();
    file.resize(written.len(), 0); // what was never written reads as zeros
    for sector in first..written.len().div_ceil(SECTOR) {
        let range = sector * SECTOR..((sector + 1) * SECTOR).min(written.len());
        let old = range.start..range.end.min(durable.len()).max(range.start);
        if kept(sector - first) {
            file[range.clone()].copy_from_slice(&written[range]);
        } else if let Stale::Zeros = stale {
            // Also of the durable part of a sector that was being written? No: it was written before, and a
            // sector is written whole or not at all. Behind it there are zeros.
            file[old.end..range.end].fill(0);
        }
    }
    file.truncate(length);
    file
}

struct Case {
    dir: tempfile::TempDir,
    written: Vec<Record>,
    durable: usize,
    /// The segment's bytes at the last sync, and after all was written.
    synced: Vec<u8>,
    whole: Vec<u8>,
}

fn case(durable: usize, records_written: usize) -> Case {
    let dir = tempfile::tempdir().unwrap();
    let written: Vec<Record> =
        spell(&format!("s{}", "eoc".repeat(records_written.div_ceil(3))))[0][..records_written].to_vec();
    write_archive(dir.path(), &written, 10_000);
    let whole = fs::read(dir.path().join(segment_name(1))).unwrap();
    let synced = whole[..128 + durable * 128].to_vec();
    Case { dir, written, durable, synced, whole }
}

impl Case {
    fn dirty_sectors(&self) -> usize {
        self.whole.len().div_ceil(SECTOR) - self.synced.len() / SECTOR
    }

    /// The longest prefix that is whole in the file.
    fn prefix(&self, file: &[u8]) -> usize {
        let same = |i: &usize| {
            file.get(128 + i * 128..256 + i * 128) == Some(&self.whole[128 + i * 128..256 + i * 128])
        };
        (0..self.written.len()).take_while(same).count()
    }

    /// The memory of the ring went with the power.
    fn check_lost(&self, file: &[u8]) {
        let path = self.dir.path().join(segment_name(1));
        fs::write(&path, file).unwrap();
        let _ = fs::remove_file(self.dir.path().join("ring"));
        symlink("/no/such/ring", self.dir.path().join("ring")).unwrap();
        let prefix = self.prefix(file);
        assert!(prefix >= self.durable, "the model keeps what was durable");
        let (recovered, _) = recover(self.dir.path());
        assert_eq!(recovered.len(), prefix, "reading stops at the first hole");
        assert!(recovered == self.written[..prefix]);
        let resumed = resume(self.dir.path());
        assert_eq!((resumed.last_sequence, resumed.recovered.ring), (prefix as u64, RingFound::Lost));
        drop(resumed);
        assert_eq!(recover(self.dir.path()), (self.written[..prefix].to_vec(), None));
        assert!(fs::read(&path).unwrap() == self.whole[..128 + prefix * 128], "what is behind it is gone");
    }

    /// A ring that outlived it, with `newest` records, heals what it has and no more.
    fn check_kept(&self, file: &[u8], ring: &[u8]) {
        let path = self.dir.path().join(segment_name(1));
        fs::write(&path, file).unwrap();
        let _ = fs::remove_file(self.dir.path().join("ring"));
        fs::write(self.dir.path().join("ring"), ring).unwrap();
        assert_eq!(recover(self.dir.path()), (self.written.clone(), None), "the ring's word counts");
        let resumed = resume(self.dir.path());
        assert_eq!(resumed.last_sequence, self.written.len() as u64);
        drop(resumed);
        assert!(fs::read(&path).unwrap() == self.whole);
        assert!(verify(self.dir.path()).unwrap().is_ok());
    }

    fn ring(&self) -> Vec<u8> {
        let path = self.dir.path().join("ring image");
        let mut ring =
            RingWriter::create(&RingConfig { path: path.clone(), slots: SLOTS }, &IDENTITY).unwrap();
        self.written.iter().for_each(|record| ring.append(record).unwrap());
        ring.watermarks().set_drained(self.durable as u64);
        ring.watermarks().set_durable(self.durable as u64);
        fs::read(path).unwrap()
    }
}

fn resume(dir: &Path) -> quantum_trader::journal::Resumed {
    let options = ArchiveOptions { disk: Arc::new(Unsynced), compress: false, ..ArchiveOptions::default() };
    Folder::resume_with(dir, options).unwrap()
}

#[test]
fn every_subset_of_few_sectors() {
    // Up to 8 sectors exhaustively with both kinds of stale content; where the file ends is another question.
    for (durable, records) in [(1, 4), (2, 9), (5, 22), (7, 31), (9, 37)] {
        let case = case(durable, records);
        let sectors = case.dirty_sectors();
        assert!(sectors <= 9, "{sectors}");
        let ring = case.ring();
        for subset in 0..1_u32 << sectors {
            for stale in [Stale::Old, Stale::Zeros] {
                let file =
                    after_loss(&case.synced, &case.whole, |s| subset >> s & 1 == 1, stale, case.whole.len());
                case.check_lost(&file);
                case.check_kept(&file, &ring);
            }
        }
    }
}

#[test]
fn every_length_of_the_file() {
    let case = case(5, 22);
    let ring = case.ring();
    for length in case.synced.len()..=case.whole.len() {
        for subset in [0_u32, 0b1, 0b101, 0b11, u32::MAX] {
            let file = after_loss(&case.synced, &case.whole, |s| subset >> s & 1 == 1, Stale::Old, length);
            case.check_lost(&file);
            case.check_kept(&file, &ring);
        }
    }
}

/// Twelve sectors exhaustively would be 4,096 resumes; a reader alone does them all.
#[test]
fn every_subset_of_twelve_sectors_is_read_up_to_its_first_hole() {
    let case = case(3, 48);
    assert_eq!(case.dirty_sectors(), 12);
    let path = case.dir.path().join(segment_name(1));
    for subset in 0..1_u32 << 12 {
        let file =
            after_loss(&case.synced, &case.whole, |s| subset >> s & 1 == 1, Stale::Old, case.whole.len());
        fs::write(&path, &file).unwrap();
        let (recovered, _) = recover(case.dir.path());
        assert!(recovered.len() >= case.durable && recovered == case.written[..case.prefix(&file)]);
    }
}

#[test]
fn random_subsets_of_many_sectors() {
    use proptest::prelude::Rng;
    let case = case(30, 220);
    let ring = case.ring();
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for round in 0..300 {
        let mut bits = [0; 64];
        random.fill_bytes(&mut bits);
        // Mostly there: holes are rare, and anywhere.
        let kept = |sector: usize| bits[sector % 64] >= if round % 2 == 0 { 128 } else { 10 };
        let cut = random.next_u32() as usize % (case.whole.len() - case.synced.len());
        let length = if round % 3 == 0 { case.whole.len() - cut } else { case.whole.len() };
        let file = after_loss(&case.synced, &case.whole, kept, Stale::Zeros, length);
        case.check_lost(&file);
        case.check_kept(&file, &ring);
    }
}

/// What was durable and is damaged all the same is no power loss: with a ring that says so it is refused.
#[test]
fn damage_in_front_of_the_durable_watermark_is_not_cut_off() {
    let case = case(12, 20);
    let path = case.dir.path().join(segment_name(1));
    let mut ring =
        RingWriter::create(&RingConfig { path: case.dir.path().join("ring"), slots: 4 }, &IDENTITY).unwrap();
    let watermarks = ring.watermarks();
    for record in &case.written {
        watermarks.set_drained(record.sequence.saturating_sub(4));
        ring.append(record).unwrap();
    }
    watermarks.set_drained(20);
    watermarks.set_durable(12);
    drop(ring);
    for sequence in 1..=12_usize {
        let mut file = case.whole.clone();
        file[sequence * 128 + 50] ^= 1;
        fs::write(&path, &file).unwrap();
        let refused = Folder::resume(case.dir.path()).unwrap_err().to_string();
        assert_one_line(&refused, &format!("sequence {sequence}: expected a record whose checksum agrees"));
        assert!(fs::read(&path).unwrap() == file, "nothing was touched");
    }
    // Behind it: 13 to 16 are nowhere else, and 17 to 20 are in the ring, which is a hole between them.
    for sequence in 13..=20_usize {
        let mut file = case.whole.clone();
        file[sequence * 128 + 50] ^= 1;
        fs::write(&path, &file).unwrap();
        match Folder::resume(case.dir.path()) {
            Ok(resumed) => assert!(sequence > 16 && resumed.last_sequence == 20),
            Err(error) => {
                assert!(sequence <= 16);
                let line = format!("sequence {sequence}: expected a record whose checksum agrees");
                assert_one_line(&error.to_string(), &line);
            }
        }
    }
}

/// Every bit of a written ring of one page of slots: what is recovered is what was written, up to some place.
#[test]
fn every_flipped_bit_of_a_ring_image_leaves_a_prefix_or_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let written: Vec<Record> = spell(&format!("s{}", "eoc".repeat(13)))[0][..40].to_vec();
    let path = dir.path().join("ring");
    // 4 KiB of slots and of header: 32 slots, the last 32 of 40 records.
    let mut ring = RingWriter::create(&RingConfig { path: path.clone(), slots: 32 }, &IDENTITY).unwrap();
    let watermarks = ring.watermarks();
    for record in &written {
        watermarks.set_drained(record.sequence.saturating_sub(20));
        ring.append(record).unwrap();
    }
    watermarks.set_durable(20);
    drop(ring);
    let image = fs::read(&path).unwrap();
    let (mut whole, mut shorter, mut refused) = (0, 0, 0);
    let mut archive = ArchiveWriter::with_segment_records(dir.path(), &IDENTITY, 1_000).unwrap();
    archive.append(&written[..24]).unwrap();
    drop(archive);
    let segment = dir.path().join(segment_name(1));
    let archived = fs::read(&segment).unwrap();
    // The header and the watermarks; the rest of their page is not used. Then every slot.
    let bits = (0..256 * 8).chain(4096 * 8..image.len() * 8);
    for bit in bits {
        let mut flipped = image.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).unwrap();
        fs::write(&segment, &archived).unwrap();
        let options =
            ArchiveOptions { disk: Arc::new(Unsynced), compress: false, ..ArchiveOptions::default() };
        match Folder::resume_with(dir.path(), options) {
            Ok(resumed) => {
                let last = resumed.last_sequence as usize;
                assert!(last >= 24, "bit {bit}: the archive's own are kept");
                assert!(
                    fs::read(&segment).unwrap()[128..] == *bytemuck::cast_slice::<_, u8>(&written[..last])
                );
                let told = resumed.recovered.torn.is_some();
                // One bit of the newest record's number makes it look as if it had not been published.
                assert!(last == 40 || told || last == 39, "bit {bit}: {last} records, and nothing said");
                whole += u32::from(last == 40);
                shorter += u32::from(last < 40);
            }
            Err(error) => {
                assert_one_line(&error.to_string(), "ring: byte ");
                refused += 1;
            }
        }
    }
    assert_eq!(whole + shorter + refused, 2_048 + 32_768);
    assert!(whole > 10_000 && shorter > 500 && refused > 10_000, "{whole} {shorter} {refused}");
}

/// Every prefix of the words of the record that was being published.
#[test]
fn a_ring_record_of_which_some_words_are_written_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let written = spell("seocee").remove(0);
    write_archive(dir.path(), &written[..2], 1_000);
    let path = dir.path().join("ring");
    let mut ring = RingWriter::create(&RingConfig { path: path.clone(), slots: 4 }, &IDENTITY).unwrap();
    let watermarks = ring.watermarks();
    for record in &written[..5] {
        watermarks.set_drained(record.sequence.saturating_sub(3).min(2));
        ring.append(record).unwrap();
    }
    drop(ring);
    let image = fs::read(&path).unwrap();
    let segment = dir.path().join(segment_name(1));
    let archived = fs::read(&segment).unwrap();
    let slot = 4096 + (6 % 4) * 128;
    let record: &[u8] = bytemuck::bytes_of(&written[5]);
    for words in 0..16 {
        // Sequence 0, then word after word behind it.
        let mut torn = image.clone();
        torn[slot..slot + 8].fill(0);
        torn[slot + 8..slot + 8 + words * 8].copy_from_slice(&record[8..8 + words * 8]);
        fs::write(&path, &torn).unwrap();
        fs::write(&segment, &archived).unwrap();
        let resumed = resume(dir.path());
        assert_eq!((resumed.last_sequence, resumed.recovered.from_ring), (5, 3), "{words} words");
        assert_eq!(resumed.recovered.torn, None);
    }
}
