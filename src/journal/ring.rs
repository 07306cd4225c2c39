//! The hot journal: a power-of-two ring of 128-byte slots in a memory-mapped file.
//!
//! One thread writes. Any number of threads and processes read, without telling the writer: each
//! slot is a seqlock whose lock is the record's own sequence number. Only the drain's watermark
//! frees slots, so a record is overwritten no earlier than the archive has it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::Errno;

use super::header::{FileKind, HEADER_BYTES, Header};
use super::mmap::{ReadMap, WORD_BYTES, WriteMap};
use super::{Identity, JournalError, Problem};
use crate::event::record::{PARTS_MAX, PAYLOAD_BYTES, RECORD_BYTES, Record, encode_event, encode_output};
use crate::event::{Event, Output};
use crate::num::TimeNs;

/// Bytes in front of the first slot.
pub const RING_HEADER_BYTES: u64 = FileKind::Ring.header_bytes() as u64;
/// Fewest slots: the longest entry must fit.
pub const RING_SLOTS_MIN: u64 = 4;
const _: () = assert!(RING_SLOTS_MIN as usize >= PARTS_MAX);

const RECORD_WORDS: usize = RECORD_BYTES / WORD_BYTES;
const HEADER_WORDS: usize = HEADER_BYTES / WORD_BYTES;
const FIRST_SLOT_WORD: usize = RING_HEADER_BYTES as usize / WORD_BYTES;
/// The watermarks change while the header does not: they have cache lines of their own behind it.
const DRAINED_WORD: usize = 128 / WORD_BYTES;
const DURABLE_WORD: usize = 192 / WORD_BYTES;
const PAGE_WORDS: usize = 4096 / WORD_BYTES;

/// Where a ring goes and how many records it holds.
#[derive(Clone, Debug)]
pub struct RingConfig {
    pub path: PathBuf,
    /// A power of two, at least [`RING_SLOTS_MIN`].
    pub slots: u64,
}

/// There is no room: the archive is behind. The caller has a policy for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("journal full: {wanted} records wanted, {free} free")]
pub struct Full {
    pub wanted: u64,
    pub free: u64,
}

/// The one writer of a ring.
#[derive(Debug)]
pub struct RingWriter {
    map: WriteMap,
    slots: u64,
    first: u64,
    next: u64,
    /// Drained watermark as last looked at: most appends need not touch the drain's cache line.
    drained: u64,
    path: PathBuf,
}

impl RingWriter {
    /// Creates the file, owner-only, with every page present: a ring that was created neither runs
    /// out of space nor faults later. An existing file is an error.
    pub fn create(config: &RingConfig, identity: &Identity) -> Result<RingWriter, JournalError> {
        Self::create_after(config, identity, 0)
    }

    /// As [`RingWriter::create`], for a journal that goes on: the first record follows `last_sequence`.
    pub fn create_after(
        config: &RingConfig,
        identity: &Identity,
        last_sequence: u64,
    ) -> Result<RingWriter, JournalError> {
        let RingConfig { path, slots } = config;
        if !slots.is_power_of_two() || *slots < RING_SLOTS_MIN {
            return Err(JournalError::RingSlots { path: path.clone(), slots: *slots, min: RING_SLOTS_MIN });
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(JournalError::io(path, "create the ring"))?;
        let writer = Self::fill(&file, path, *slots, identity, last_sequence);
        if writer.is_err() {
            // The file is ours and useless; the reason for that is what the caller must hear.
            let _ = std::fs::remove_file(path);
        }
        writer
    }

    fn fill(
        file: &File,
        path: &Path,
        slots: u64,
        identity: &Identity,
        last_sequence: u64,
    ) -> Result<RingWriter, JournalError> {
        let bytes = slots.saturating_mul(RECORD_BYTES as u64).saturating_add(RING_HEADER_BYTES);
        preallocate(file, path, bytes)?;
        let map = WriteMap::new(file).map_err(JournalError::io(path, "map the ring"))?;
        for page in map.words().chunks(PAGE_WORDS) {
            page[0].store(0, Ordering::Relaxed); // chunks are never empty
        }
        for watermark in [DRAINED_WORD, DURABLE_WORD] {
            map.words()[watermark].store(last_sequence, Ordering::Release); // in the header page
        }
        let next = last_sequence + 1;
        let header = Header::new(FileKind::Ring, identity, slots, next);
        let words: &[u64; HEADER_WORDS] = bytemuck::cast_ref(&header);
        // The magic goes last: a reader that comes too early sees a file that is not a ring.
        for (word, value) in map.words().iter().zip(words).rev() {
            word.store(*value, Ordering::Release);
        }
        Ok(RingWriter { map, slots, first: next, next, drained: last_sequence, path: path.to_path_buf() })
    }

    /// Sequence number the next record gets.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    pub fn slots(&self) -> u64 {
        self.slots
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Slots that can be written now.
    pub fn free_slots(&mut self) -> u64 {
        self.drained = self.map.words()[DRAINED_WORD].load(Ordering::Acquire);
        self.free_seen()
    }

    /// Room for `records`? An event is taken up only if there is for its largest outbox.
    #[inline]
    pub fn has_room(&mut self, records: u64) -> bool {
        self.free_seen() >= records || self.free_slots() >= records
    }

    fn free_seen(&self) -> u64 {
        let in_use = (self.next - 1).saturating_sub(self.drained);
        self.slots.saturating_sub(in_use)
    }

    /// Appends a sealed record, which must carry [`RingWriter::next_sequence`].
    #[inline]
    pub fn append(&mut self, record: &Record) -> Result<(), Full> {
        self.reserve(1)?;
        self.publish(record);
        Ok(())
    }

    /// Appends an event, all parts or none. Returns the next sequence number.
    #[inline]
    pub fn append_event(&mut self, event: &Event) -> Result<u64, Full> {
        self.reserve(parts(event.body.bytes().len()))?;
        encode_event(event, self.next, |record| self.publish(record));
        Ok(self.next)
    }

    /// Appends what an event caused, everything or nothing; the last record commits the group.
    /// Returns the next sequence number.
    #[inline]
    pub fn append_outputs(&mut self, recv_ns: TimeNs, outputs: &[Output]) -> Result<u64, Full> {
        self.reserve(outputs.iter().map(|output| parts(output.body.bytes().len())).sum())?;
        for (index, output) in outputs.iter().enumerate() {
            let commit = index + 1 == outputs.len();
            encode_output(output, recv_ns, commit, self.next, |record| self.publish(record));
        }
        Ok(self.next)
    }

    fn reserve(&mut self, records: u64) -> Result<(), Full> {
        if self.has_room(records) { Ok(()) } else { Err(Full { wanted: records, free: self.free_seen() }) }
    }

    /// The seqlock's write side. Room was checked by the caller.
    #[inline]
    fn publish(&mut self, record: &Record) {
        assert_eq!(record.sequence, self.next, "journal records are appended in sequence");
        let start = slot_word(record.sequence, self.slots);
        let slot = &self.map.words()[start..start + RECORD_WORDS]; // the mask keeps it inside the map
        let words: &[u64; RECORD_WORDS] = bytemuck::cast_ref(record);
        slot[0].store(0, Ordering::Relaxed);
        // A reader that sees any of the new payload also sees that the old sequence is gone.
        fence(Ordering::Release);
        for (word, value) in slot.iter().zip(words).skip(1) {
            word.store(*value, Ordering::Relaxed);
        }
        slot[0].store(record.sequence, Ordering::Release);
        self.next += 1;
    }

    /// A reader of this ring, for another thread.
    pub fn reader(&self) -> RingReader {
        RingReader { map: self.map.reader(), slots: self.slots, first: self.first, path: self.path.clone() }
    }

    /// The watermarks, for whoever archives.
    pub fn watermarks(&self) -> Watermarks {
        Watermarks { map: self.map.clone() }
    }
}

/// How far the archive is; written by the drain alone.
#[derive(Clone, Debug)]
pub struct Watermarks {
    map: WriteMap,
}

impl Watermarks {
    /// Last sequence number in an archive file; its slot may be reused.
    pub fn drained(&self) -> u64 {
        self.word(DRAINED_WORD).load(Ordering::Acquire)
    }

    /// Last sequence number that survives a power loss.
    pub fn durable(&self) -> u64 {
        self.word(DURABLE_WORD).load(Ordering::Acquire)
    }

    /// Frees the slots up to `sequence`.
    pub fn set_drained(&self, sequence: u64) {
        self.word(DRAINED_WORD).store(sequence, Ordering::Release);
    }

    pub fn set_durable(&self, sequence: u64) {
        self.word(DURABLE_WORD).store(sequence, Ordering::Release);
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        &self.map.words()[index] // inside the header page, which every ring has
    }
}

/// What a ring holds at a sequence number.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // Copy, on the stack.
pub enum RingRead {
    Record(Record),
    /// Not published so far.
    NotYet,
    /// Overwritten by a later record; the archive has it.
    Lapped,
    /// Its bytes are not what was written.
    Torn,
}

/// Reads a ring that may be written meanwhile.
#[derive(Clone, Debug)]
pub struct RingReader {
    map: ReadMap,
    slots: u64,
    first: u64,
    path: PathBuf,
}

impl RingReader {
    /// Opens a ring of this or another process, or one that a process left behind.
    pub fn open(path: &Path) -> Result<RingReader, JournalError> {
        Self::open_with_identity(path).map(|(reader, _)| reader)
    }

    pub(super) fn open_with_identity(path: &Path) -> Result<(RingReader, Identity), JournalError> {
        let file = File::open(path).map_err(JournalError::io(path, "open the ring"))?;
        let bytes = file.metadata().map_err(JournalError::io(path, "read the ring's length"))?.len();
        let problem = |offset: u64, expected: String, found: String| {
            JournalError::from(Problem { file: path.to_path_buf(), offset, sequence: 0, expected, found })
        };
        if bytes < RING_HEADER_BYTES || !bytes.is_multiple_of(RECORD_BYTES as u64) {
            let expected = format!("a header of {RING_HEADER_BYTES} bytes and whole slots");
            return Err(problem(0, expected, format!("{bytes} bytes")));
        }
        let map = ReadMap::new(&file).map_err(JournalError::io(path, "map the ring"))?;
        let mut words = [0u64; HEADER_WORDS];
        for (index, word) in words.iter_mut().enumerate() {
            *word = map.load(index); // the length was checked
        }
        let header = Header::check(&bytemuck::cast(words), FileKind::Ring)
            .map_err(|fault| problem(fault.offset, fault.expected, fault.found))?;
        let slots = header.number;
        let held = (bytes - RING_HEADER_BYTES) / RECORD_BYTES as u64;
        if !slots.is_power_of_two() || slots != held {
            return Err(problem(40, format!("{slots} slots, as the header says"), format!("{held}")));
        }
        let first = header.first_sequence;
        if first == 0 {
            return Err(problem(48, "a first sequence from 1".to_string(), "0".to_string()));
        }
        Ok((RingReader { map, slots, first, path: path.to_path_buf() }, header.identity()))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn slots(&self) -> u64 {
        self.slots
    }

    /// Sequence number of the first record its writer appended.
    pub fn first_sequence(&self) -> u64 {
        self.first
    }

    /// Last sequence number in the archive, as published in the header.
    pub fn drained(&self) -> u64 {
        self.load_acquire(DRAINED_WORD)
    }

    /// Last sequence number on disk, as published in the header.
    pub fn durable(&self) -> u64 {
        self.load_acquire(DURABLE_WORD)
    }

    /// Byte offset of the slot `sequence` goes to.
    pub fn offset_of(&self, sequence: u64) -> u64 {
        (slot_word(sequence, self.slots) * WORD_BYTES) as u64
    }

    /// The sequence word of a slot: 0 while it is written, and before it ever was.
    pub(super) fn slot_sequence(&self, slot: u64) -> u64 {
        self.load_acquire(slot_word(slot, self.slots))
    }

    /// Highest sequence number published; the one before the first for none. Looks at every slot.
    pub fn newest(&self) -> u64 {
        (0..self.slots).map(|slot| self.slot_sequence(slot)).fold(self.first - 1, u64::max)
    }

    /// Highest sequence number of a record whose bytes are right. Looks at every slot.
    pub(super) fn newest_intact(&self) -> Option<u64> {
        let sequences = (0..self.slots).map(|slot| self.slot_sequence(slot));
        sequences.filter(|sequence| matches!(self.read(*sequence), RingRead::Record(_))).max()
    }

    /// The record at `sequence`.
    #[inline]
    pub fn read(&self, sequence: u64) -> RingRead {
        let start = slot_word(sequence, self.slots);
        let before = self.load_acquire(start);
        if before != sequence || sequence == 0 {
            return self.other(before, sequence);
        }
        let mut words = [0u64; RECORD_WORDS];
        for (index, word) in words.iter_mut().enumerate() {
            *word = self.map.load(start + index);
        }
        // Pairs with the writer's fence: if a word above is from a later record, the next load shows it.
        fence(Ordering::Acquire);
        if self.map.load(start) != sequence {
            return RingRead::Lapped;
        }
        let record: Record = bytemuck::cast(words);
        if record.is_intact() { RingRead::Record(record) } else { RingRead::Torn }
    }

    /// Names what it means to find `found` where `sequence` belongs.
    fn other(&self, found: u64, sequence: u64) -> RingRead {
        let same_slot = (found ^ sequence) & (self.slots - 1) == 0;
        if found == 0 {
            // A drained slot with nothing in it is being overwritten.
            if self.drained() >= sequence { RingRead::Lapped } else { RingRead::NotYet }
        } else if !same_slot {
            RingRead::Torn
        } else if found > sequence {
            RingRead::Lapped
        } else {
            RingRead::NotYet
        }
    }

    fn load_acquire(&self, word: usize) -> u64 {
        let value = self.map.load(word);
        fence(Ordering::Acquire);
        value
    }
}

/// First word of the slot of a sequence number; `slots` is a power of two and fits the map.
fn slot_word(sequence: u64, slots: u64) -> usize {
    FIRST_SLOT_WORD + (sequence & (slots - 1)) as usize * RECORD_WORDS
}

fn parts(payload_bytes: usize) -> u64 {
    payload_bytes.div_ceil(PAYLOAD_BYTES).max(1) as u64
}

/// Gives the file its blocks now: a full disk must be an error at start, not a SIGBUS later.
fn preallocate(file: &File, path: &Path, wanted_bytes: u64) -> Result<(), JournalError> {
    let stat =
        fstatvfs(file).map_err(|errno| JournalError::io(path, "ask for the free space")(errno.into()))?;
    let available_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    let no_space = || JournalError::Space { path: path.to_path_buf(), wanted_bytes, available_bytes };
    // A tmpfs without a limit reports 0 blocks.
    if stat.f_blocks > 0 && wanted_bytes > available_bytes {
        return Err(no_space());
    }
    match fallocate(file, FallocateFlags::empty(), 0, wanted_bytes) {
        Ok(()) => Ok(()),
        Err(Errno::NOSPC | Errno::FBIG) => Err(no_space()),
        Err(Errno::OPNOTSUPP) => zero_fill(file, path, wanted_bytes),
        Err(errno) => Err(JournalError::io(path, "allocate the ring")(errno.into())),
    }
}

/// For file systems without `fallocate`.
fn zero_fill(mut file: &File, path: &Path, bytes: u64) -> Result<(), JournalError> {
    let mut zeros = std::io::Read::take(std::io::repeat(0), bytes);
    std::io::copy(&mut zeros, &mut file).map(drop).map_err(JournalError::io(path, "fill the ring"))
}
