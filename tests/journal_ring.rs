//! The ring alone: against a model, under a racing reader, full, and refused at creation.

mod journal_support;

use std::collections::VecDeque;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::thread;

use journal_support::*;
use proptest::prelude::*;
use quantum_trader::event::Output;
use quantum_trader::event::record::Record;
use quantum_trader::host::alloc::{Counting, thread_allocations};
use quantum_trader::journal::JournalError;
use quantum_trader::journal::ring::{Full, RingConfig, RingRead, RingReader, RingWriter};
use quantum_trader::num::TimeNs;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn ring(dir: &Path, slots: u64) -> RingWriter {
    RingWriter::create(&RingConfig { path: dir.join("ring"), slots }, &IDENTITY).unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    Event,
    /// Outputs of one and of three records each.
    Outputs(usize, usize),
    /// Frees this many of the oldest.
    Drain(u64),
    Read(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        Just(Op::Event),
        (0usize..4, 0usize..3).prop_map(|(one, three)| Op::Outputs(one, three)),
        (0u64..6).prop_map(Op::Drain),
        (1u64..80).prop_map(Op::Read),
    ]
}

/// What the ring should hold: the last `slots` records, and which of them are drained.
struct Model {
    slots: u64,
    held: VecDeque<Record>,
    newest: u64,
    drained: u64,
}

impl Model {
    fn free(&self) -> u64 {
        self.slots - (self.newest - self.drained)
    }

    fn push(&mut self, records: &[Record]) {
        self.held.extend(records);
        self.newest += records.len() as u64;
        while self.held.len() as u64 > self.slots {
            self.held.pop_front();
        }
    }

    fn read(&self, sequence: u64) -> RingRead {
        match self.held.iter().find(|record| record.sequence == sequence) {
            Some(record) => RingRead::Record(*record),
            None if sequence > self.newest => RingRead::NotYet,
            None => RingRead::Lapped,
        }
    }
}

fn encode(outputs: &[Output], first: u64) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for (i, output) in outputs.iter().enumerate() {
        let next = first + records.len() as u64;
        let commit = i + 1 == outputs.len();
        quantum_trader::event::record::encode_output(output, TimeNs(5), commit, next, |r| records.push(*r));
    }
    records
}

proptest! {
    #[test]
    fn the_ring_is_a_bounded_queue_with_a_memory(ops in prop::collection::vec(op(), 1..120), log2 in 2u32..6) {
        let dir = tempfile::tempdir().unwrap();
        let slots = 1u64 << log2;
        let mut writer = ring(dir.path(), slots);
        let reader = RingReader::open(&dir.path().join("ring")).unwrap();
        let watermarks = writer.watermarks();
        let mut model = Model { slots, held: VecDeque::new(), newest: 0, drained: 0 };
        for op in ops {
            let next = writer.next_sequence();
            prop_assert_eq!(next, model.newest + 1);
            match op {
                Op::Event => {
                    let result = writer.append_event(&timer(next));
                    if model.free() >= 1 {
                        model.push(&[timer_record(next)]);
                        prop_assert_eq!(result, Ok(next + 1));
                    } else {
                        prop_assert_eq!(result, Err(Full { wanted: 1, free: 0 }));
                    }
                }
                Op::Outputs(one, three) => {
                    let bodies = std::iter::repeat_n(order(1), one).chain(std::iter::repeat_n(trade_closed(), three));
                    let outputs: Vec<Output> = bodies.map(|body| Output { instrument: BTC, body }).collect();
                    let records = encode(&outputs, next);
                    let (wanted, free) = (records.len() as u64, model.free());
                    let result = writer.append_outputs(TimeNs(5), &outputs);
                    if free >= wanted {
                        model.push(&records);
                        prop_assert_eq!(result, Ok(next + wanted));
                    } else {
                        prop_assert_eq!(result, Err(Full { wanted, free }));
                        prop_assert_eq!(writer.next_sequence(), next, "all or nothing");
                    }
                }
                Op::Drain(count) => {
                    model.drained = (model.drained + count).min(model.newest);
                    watermarks.set_drained(model.drained);
                    prop_assert_eq!(writer.free_slots(), model.free());
                }
                Op::Read(sequence) => prop_assert_eq!(reader.read(sequence), model.read(sequence)),
            }
            prop_assert_eq!(reader.newest(), model.newest);
        }
        for sequence in 1..=model.newest + 2 {
            prop_assert_eq!(reader.read(sequence), model.read(sequence));
        }
    }
}

/// The smallest ring, written as fast as it goes. One reader follows and is lapped all the time, one
/// keeps reading the slot that is overwritten next. What they get is the record of that sequence
/// number to the byte, or the word that it is gone.
#[test]
fn a_racing_reader_sees_whole_records_only() {
    const LAST: u64 = 300_000;
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ring(dir.path(), 4);
    let (following, pestering) = (writer.reader(), writer.reader());
    let follower = thread::spawn(move || follow_racing(&following, LAST));
    let pest = thread::spawn(move || pester_oldest(&pestering, LAST));
    let watermarks = writer.watermarks();
    for sequence in 1..=LAST {
        writer.append(&timer_record(sequence)).unwrap();
        watermarks.set_drained(sequence);
    }
    let (read, lapped) = follower.join().unwrap();
    assert_eq!(read + lapped, LAST);
    pest.join().unwrap();
}

fn pester_oldest(reader: &RingReader, last: u64) {
    loop {
        let drained = reader.drained();
        let oldest = drained.saturating_sub(reader.slots() - 1).max(1);
        match reader.read(oldest) {
            RingRead::Record(record) => assert_eq!(record, timer_record(oldest), "a mix of two records"),
            RingRead::Lapped => assert_ne!(drained, last, "nothing laps the last records"),
            RingRead::NotYet => assert_eq!(drained, 0, "record {oldest} was published"),
            RingRead::Torn => panic!("record {oldest} torn although the writer lives"),
        }
        if drained == last {
            return;
        }
    }
}

fn follow_racing(reader: &RingReader, last: u64) -> (u64, u64) {
    let (mut next, mut read, mut lapped) = (1, 0, 0);
    while next <= last {
        match reader.read(next) {
            RingRead::Record(record) => {
                assert_eq!(record, timer_record(next), "a mix of two records");
                read += 1;
                next += 1;
            }
            RingRead::NotYet => std::hint::spin_loop(),
            RingRead::Lapped => {
                let drained = reader.drained();
                assert!(drained >= next, "record {next} was overwritten before it was drained ({drained})");
                lapped += drained.max(next + 1) - next;
                next = drained.max(next + 1);
            }
            RingRead::Torn => panic!("record {next} torn although the writer lives"),
        }
    }
    (read, lapped)
}

#[test]
fn a_full_ring_says_so_and_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ring(dir.path(), 4);
    for sequence in 1..=4 {
        assert!(writer.has_room(1));
        writer.append(&timer_record(sequence)).unwrap();
    }
    assert!(!writer.has_room(1));
    assert_eq!(writer.append(&timer_record(5)), Err(Full { wanted: 1, free: 0 }));
    let reader = writer.reader();
    assert_eq!(reader.read(1), RingRead::Record(timer_record(1)));

    writer.watermarks().set_drained(2);
    assert!(writer.has_room(2) && !writer.has_room(3));
    writer.append(&timer_record(5)).unwrap();
    writer.append(&timer_record(6)).unwrap();
    assert_eq!(writer.append(&timer_record(7)), Err(Full { wanted: 1, free: 0 }));
    let held: Vec<RingRead> = (1..=7).map(|s| reader.read(s)).collect();
    assert_eq!(held[..2], [RingRead::Lapped, RingRead::Lapped]);
    assert_eq!(held[2..6], [3, 4, 5, 6].map(|s| RingRead::Record(timer_record(s))));
    assert_eq!(held[6], RingRead::NotYet);
}

#[test]
fn damaged_bytes_in_a_slot_are_torn() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ring(dir.path(), 4);
    writer.append(&timer_record(1)).unwrap();
    let reader = writer.reader();
    let file = std::fs::File::options().write(true).open(writer.path()).unwrap();
    file.write_all_at(&[0xff], reader.offset_of(1) + 40).unwrap();
    assert_eq!(reader.read(1), RingRead::Torn);
}

#[test]
#[should_panic(expected = "in sequence")]
fn a_record_out_of_sequence_is_our_bug() {
    let dir = tempfile::tempdir().unwrap();
    let _ = ring(dir.path(), 4).append(&timer_record(2));
}

#[test]
fn appending_allocates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ring(dir.path(), 64);
    let watermarks = writer.watermarks();
    let outputs = [order(1), trade_closed()].map(|body| Output { instrument: BTC, body });
    let before = thread_allocations();
    for _ in 0..1_000 {
        let next = writer.next_sequence();
        writer.append_event(&timer(next)).unwrap();
        let next = writer.append_outputs(TimeNs(1), &outputs).unwrap();
        watermarks.set_drained(next - 1);
    }
    assert_eq!(thread_allocations(), before);
}

#[test]
fn creation_answers_in_one_line_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let create = |path: &Path, slots: u64| {
        RingWriter::create(&RingConfig { path: path.to_path_buf(), slots }, &IDENTITY).unwrap_err()
    };
    let path = dir.path().join("r");

    // 2^50 bytes and a header.
    let error = create(&path, 1 << 43);
    assert!(
        matches!(error, JournalError::Space { wanted_bytes, available_bytes, .. }
            if wanted_bytes == (1 << 50) + 4096 && available_bytes < wanted_bytes),
        "{error}"
    );
    assert_one_line(&error.to_string(), "1125899906846720 bytes wanted");
    assert!(!path.exists(), "no useless file is left behind");

    for slots in [0, 2, 12] {
        assert!(matches!(create(&path, slots), JournalError::RingSlots { .. }));
    }
    assert_one_line(
        &create(&dir.path().join("missing/r"), 4).to_string(),
        "missing/r: can't create the ring",
    );
    assert_one_line(&create(Path::new("/proc/ring"), 4).to_string(), "/proc/ring: can't create the ring");
    std::fs::write(&path, b"mine").unwrap();
    assert_one_line(&create(&path, 4).to_string(), "can't create the ring");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}

#[test]
fn the_file_is_for_its_owner_alone_and_fully_allocated() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let writer = ring(dir.path(), 1024);
    let metadata = writer.path().metadata().unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(metadata.len(), 4096 + 1024 * 128);
    assert!(metadata.blocks() * 512 >= metadata.len());
}
