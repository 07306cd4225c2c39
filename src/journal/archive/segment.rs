//! One segment, raw or packed: its head, and its records in order or from anywhere.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::packed::PackedFile;
use super::preamble::Preamble;
use super::{Place, is_packed, read_up_to};
use crate::event::record::{RECORD_BYTES, Record};
use crate::journal::header::{FileKind, HEADER_BYTES, Header};
use crate::journal::{Identity, JournalError, Problem};

/// Bytes read at once. A segment is walked in order, so a larger window buys nothing.
const WINDOW_BYTES: usize = 64 * 1024;
const _: () = assert!(WINDOW_BYTES.is_multiple_of(RECORD_BYTES));

/// What a segment says about itself.
#[derive(Clone, Debug)]
pub(in crate::journal) struct SegmentHead {
    pub number: u64,
    pub path: PathBuf,
    pub identity: Identity,
    pub first_sequence: u64,
    /// Of header and preamble.
    pub header_bytes: u64,
    pub preamble: Preamble,
    /// Of all of it, unpacked.
    pub bytes: u64,
}

impl SegmentHead {
    /// Reads a segment's header and preamble, or what is wrong with them.
    pub fn read(path: &Path) -> Result<Result<SegmentHead, Problem>, JournalError> {
        let source = match Source::open(path) {
            Ok(source) => source,
            Err(JournalError::Damaged(problem)) => return Ok(Err(*problem)),
            Err(error) => return Err(error),
        };
        Self::of(&source, path)
    }

    fn of(source: &Source, path: &Path) -> Result<Result<SegmentHead, Problem>, JournalError> {
        let mut start = [0; HEADER_BYTES];
        let got = match source.fill(&mut start, path) {
            Ok(got) => got,
            Err(JournalError::Damaged(problem)) => return Ok(Err(*problem)),
            Err(error) => return Err(error),
        };
        if got < HEADER_BYTES {
            return Ok(Err(short(path, HEADER_BYTES as u64, got)));
        }
        let header = match Header::check(&start, FileKind::Segment) {
            Ok(header) => header,
            Err(fault) => return Ok(Err(problem(path, fault.offset, fault.expected, fault.found))),
        };
        let mut whole = vec![0; header.header_bytes as usize];
        let got = source.fill(&mut whole, path)?;
        if got < whole.len() {
            return Ok(Err(short(path, whole.len() as u64, got)));
        }
        let preamble = match Preamble::read(&whole[HEADER_BYTES..], &header) {
            Ok(preamble) => preamble,
            Err((at, expected, found)) => {
                return Ok(Err(problem(path, (HEADER_BYTES + at) as u64, expected, found)));
            }
        };
        Ok(Ok(SegmentHead {
            number: header.number,
            path: path.to_path_buf(),
            identity: header.identity(),
            first_sequence: header.first_sequence,
            header_bytes: header.header_bytes.into(),
            preamble,
            bytes: source.bytes(path)?,
        }))
    }

    /// Whole records.
    pub fn records(&self) -> u64 {
        self.bytes.saturating_sub(self.header_bytes) / RECORD_BYTES as u64
    }

    /// Bytes behind the last whole record.
    pub fn rest(&self) -> u64 {
        self.bytes.saturating_sub(self.header_bytes) % RECORD_BYTES as u64
    }

    /// Sequence number behind the last record.
    pub fn end(&self) -> u64 {
        self.first_sequence.saturating_add(self.records())
    }

    pub fn is_packed(&self) -> bool {
        is_packed(&self.path)
    }
}

/// Whether a file that has no whole header holds a record all the same: then it is damaged, and not one
/// whose creation was cut.
pub(in crate::journal) fn holds_record(path: &Path) -> Result<bool, JournalError> {
    if is_packed(path) {
        return Ok(true);
    }
    let file = File::open(path).map_err(JournalError::io(path, "open the segment"))?;
    let mut window = vec![0; WINDOW_BYTES];
    for at in 0.. {
        // Behind the header, which is sealed as a record is.
        let offset = HEADER_BYTES as u64 + at * WINDOW_BYTES as u64;
        let got =
            read_up_to(&file, &mut window, offset).map_err(JournalError::io(path, "read the segment"))?;
        let mut records = window[..got].chunks_exact(RECORD_BYTES);
        if records.any(|bytes| bytemuck::pod_read_unaligned::<Record>(bytes).is_intact()) {
            return Ok(true);
        }
        if got < WINDOW_BYTES {
            break;
        }
    }
    Ok(false)
}

/// Walks one segment.
#[derive(Debug)]
pub(in crate::journal) struct SegmentReader {
    number: u64,
    path: PathBuf,
    source: Source,
    first_sequence: u64,
    header_bytes: u64,
    /// Of the next record.
    offset: u64,
    window: Vec<u8>,
    /// Of the next record in `window`.
    window_at: usize,
}

impl SegmentReader {
    /// Opens a segment whose head was read.
    pub fn open(head: &SegmentHead) -> Result<SegmentReader, JournalError> {
        Ok(SegmentReader {
            number: head.number,
            path: head.path.clone(),
            source: Source::open(&head.path)?,
            first_sequence: head.first_sequence,
            header_bytes: head.header_bytes,
            offset: head.header_bytes,
            window: Vec::new(),
            window_at: 0,
        })
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    /// Goes to where a record is, or will be.
    pub fn seek(&mut self, sequence: u64) {
        let records = sequence.saturating_sub(self.first_sequence);
        self.offset = self.header_bytes.saturating_add(records.saturating_mul(RECORD_BYTES as u64));
        self.forget_window();
    }

    /// The record at the current offset; `None` if the file has no whole record there (yet).
    pub fn next(&mut self, sequence: u64) -> Result<Option<(Record, Place)>, JournalError> {
        let Some(record) = self.look()? else { return Ok(None) };
        let (expected, found) = if !record.is_intact() {
            ("a record whose checksum agrees".to_string(), "one whose checksum differs".to_string())
        } else if record.sequence != sequence {
            (format!("sequence {sequence}"), record.sequence.to_string())
        } else {
            let place = Place::Segment(self.number, self.offset);
            self.step();
            return Ok(Some((record, place)));
        };
        // It may be written again, and is then to be read again.
        self.forget_window();
        Err(Problem { file: self.path.clone(), offset: self.offset, sequence, expected, found }.into())
    }

    /// The last record behind the current offset that is whole and in its place, where `sequence` belongs
    /// at that offset.
    pub fn last_intact(&mut self, sequence: u64) -> Result<Option<u64>, JournalError> {
        let mut last = None;
        for sequence in sequence.. {
            let Some(record) = self.look()? else { break };
            if record.is_intact() && record.sequence == sequence {
                last = Some(sequence);
            }
            self.step();
        }
        Ok(last)
    }

    /// What is behind the last whole record, if anything.
    pub fn cut(&self, sequence: u64) -> Option<Problem> {
        let rest = self.window.len() - self.window_at;
        (rest > 0).then(|| {
            let expected = format!("a record of {RECORD_BYTES} bytes");
            let found = format!("{rest} bytes before the end of the file");
            Problem { sequence, ..problem(&self.path, self.offset, expected, found) }
        })
    }

    /// The bytes at the current offset as a record, unchecked; `None` if there are too few.
    fn look(&mut self) -> Result<Option<Record>, JournalError> {
        if self.window.len() - self.window_at < RECORD_BYTES && !self.refill()? {
            return Ok(None);
        }
        let bytes = &self.window[self.window_at..self.window_at + RECORD_BYTES]; // just made sure of
        Ok(Some(bytemuck::pod_read_unaligned(bytes)))
    }

    fn step(&mut self) {
        self.window_at += RECORD_BYTES;
        self.offset += RECORD_BYTES as u64;
    }

    fn forget_window(&mut self) {
        self.window.clear();
        self.window_at = 0;
    }

    /// Reads on from the current offset; false if not even one record is there.
    fn refill(&mut self) -> Result<bool, JournalError> {
        self.window_at = 0;
        match &self.source {
            Source::Raw(file) => {
                self.window.resize(WINDOW_BYTES, 0);
                let got = read_up_to(file, &mut self.window, self.offset)
                    .map_err(JournalError::io(&self.path, "read the segment"))?;
                self.window.truncate(got);
            }
            Source::Packed(packed) => match packed.frame_at(self.offset, &self.path)? {
                Some((frame, at)) => (self.window, self.window_at) = (frame, at),
                None => self.window.clear(),
            },
        }
        Ok(self.window.len() - self.window_at >= RECORD_BYTES)
    }
}

/// Where a segment's bytes come from.
#[derive(Debug)]
enum Source {
    Raw(File),
    Packed(PackedFile),
}

impl Source {
    fn open(path: &Path) -> Result<Source, JournalError> {
        if is_packed(path) {
            return PackedFile::open(path).map(Source::Packed);
        }
        File::open(path).map(Source::Raw).map_err(JournalError::io(path, "open the segment"))
    }

    /// Of the segment, unpacked.
    fn bytes(&self, path: &Path) -> Result<u64, JournalError> {
        match self {
            Source::Raw(file) => {
                let metadata = file.metadata();
                Ok(metadata.map_err(JournalError::io(path, "read the segment's length"))?.len())
            }
            Source::Packed(packed) => Ok(packed.unpacked_bytes()),
        }
    }

    /// Fills `bytes` from the start of the segment, or as far as header and preamble go.
    fn fill(&self, bytes: &mut [u8], path: &Path) -> Result<usize, JournalError> {
        match self {
            Source::Raw(file) => {
                read_up_to(file, bytes, 0).map_err(JournalError::io(path, "read the segment"))
            }
            Source::Packed(packed) => {
                let frame = packed.frame_at(0, path)?.map_or(Vec::new(), |(frame, _)| frame);
                let got = frame.len().min(bytes.len());
                bytes[..got].copy_from_slice(&frame[..got]);
                Ok(got)
            }
        }
    }
}

fn short(path: &Path, wanted: u64, got: usize) -> Problem {
    problem(path, 0, format!("a header of {wanted} bytes"), format!("{got} bytes"))
}

pub(super) fn problem(path: &Path, offset: u64, expected: String, found: String) -> Problem {
    Problem { file: path.to_path_buf(), offset, sequence: 0, expected, found }
}
