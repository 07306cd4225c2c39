//! Reading the archive.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::chain::{check_place, header_of, missing};
use super::{SegmentHead, read_up_to, segment_name, segments};
use crate::event::record::{RECORD_BYTES, Record};
use crate::journal::header::HEADER_BYTES;
use crate::journal::{Identity, JournalError, Problem};

/// Bytes read at once. A segment is walked in order, so a larger window buys nothing.
const WINDOW_BYTES: usize = 64 * 1024;
const _: () = assert!(WINDOW_BYTES.is_multiple_of(RECORD_BYTES));

/// Where a record was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Segment number and byte offset.
    Segment(u64, u64),
    /// Byte offset in the ring.
    Ring(u64),
}

/// Walks the segments of a folder in order, while they may still grow.
#[derive(Debug)]
pub struct ArchiveReader {
    dir: PathBuf,
    segment: Option<SegmentReader>,
    next_sequence: u64,
    /// Of the segments so far.
    starts: Vec<Identity>,
    /// The last segment ends inside a record or header: a write was cut, or is under way.
    cut: Option<Problem>,
}

/// Walks one segment.
#[derive(Debug)]
pub(in crate::journal) struct SegmentReader {
    number: u64,
    path: PathBuf,
    file: File,
    /// Of the next record.
    offset: u64,
    window: Vec<u8>,
    /// Of the next record in `window`.
    window_at: usize,
}

impl ArchiveReader {
    pub fn open(dir: &Path) -> ArchiveReader {
        ArchiveReader {
            dir: dir.to_path_buf(),
            segment: None,
            next_sequence: 1,
            starts: Vec::new(),
            cut: None,
        }
    }

    /// Whose records are read now; `None` before the first header was.
    pub fn identity(&self) -> Option<Identity> {
        self.starts.last().copied()
    }

    /// The starts whose segments were read, in order.
    pub fn starts(&self) -> &[Identity] {
        &self.starts
    }

    /// The cut record or header at which the archive ended, if it did.
    pub fn cut(&self) -> Option<&Problem> {
        self.cut.as_ref()
    }

    /// Sequence number of the next record.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The next record, checked; `None` at the end, where more may appear later.
    pub fn next_record(&mut self) -> Result<Option<(Record, Place)>, JournalError> {
        self.cut = None;
        loop {
            if let Some(found) = self.next_in_segment()? {
                return Ok(Some(found));
            }
            let number = self.segment.as_ref().map_or(1, |segment| segment.number + 1);
            let path = self.dir.join(segment_name(number));
            if !path.exists() {
                self.refuse_missing(number, &path)?;
                self.cut = self.segment.as_ref().and_then(|s| s.cut(self.next_sequence));
                return Ok(None);
            }
            // The writer may have filled the old segment between the two looks.
            if let Some(found) = self.next_in_segment()? {
                return Ok(Some(found));
            }
            if !self.open_segment(number, path)? {
                return Ok(None);
            }
        }
    }

    fn next_in_segment(&mut self) -> Result<Option<(Record, Place)>, JournalError> {
        let Some(segment) = &mut self.segment else { return Ok(None) };
        let found = segment.next(self.next_sequence)?;
        self.next_sequence += u64::from(found.is_some());
        Ok(found)
    }

    /// Goes on to a segment that exists; false if its header is not whole.
    fn open_segment(&mut self, number: u64, path: PathBuf) -> Result<bool, JournalError> {
        if let Some(cut) = self.segment.as_ref().and_then(|s| s.cut(self.next_sequence)) {
            return Err(cut.into());
        }
        let file = File::open(&path).map_err(JournalError::io(&path, "open the segment"))?;
        let length = file.metadata().map_err(JournalError::io(&path, "read the segment's length"))?.len();
        let header = match header_of(&file, &path)? {
            Ok(header) => header,
            // It holds nothing so far: its creation was cut, or is under way.
            Err(problem) if length <= HEADER_BYTES as u64 => {
                self.cut = Some(problem);
                return Ok(false);
            }
            Err(problem) => return Err(problem.into()),
        };
        check_place(&header, &path, number, self.next_sequence, self.starts.last())?;
        let identity = header.identity();
        if self.starts.last() != Some(&identity) {
            self.starts.push(identity);
        }
        self.segment = Some(SegmentReader::new(number, path, file));
        Ok(true)
    }

    /// The end of the archive, or a hole in it?
    fn refuse_missing(&self, number: u64, path: &Path) -> Result<(), JournalError> {
        match segments(&self.dir)?.last() {
            Some((last, _)) if *last > number => {
                Err(missing(path.to_path_buf(), self.next_sequence, *last).into())
            }
            _ => Ok(()),
        }
    }
}

impl SegmentReader {
    fn new(number: u64, path: PathBuf, file: File) -> SegmentReader {
        SegmentReader { number, path, file, offset: HEADER_BYTES as u64, window: Vec::new(), window_at: 0 }
    }

    /// Opens a segment whose header was read.
    pub fn open(head: &SegmentHead) -> Result<SegmentReader, JournalError> {
        let file = File::open(&head.path).map_err(JournalError::io(&head.path, "open the segment"))?;
        Ok(SegmentReader::new(head.number, head.path.clone(), file))
    }

    /// The record at the current offset; `None` if the file has no whole record there (yet).
    pub fn next(&mut self, sequence: u64) -> Result<Option<(Record, Place)>, JournalError> {
        if self.window.len() - self.window_at < RECORD_BYTES && !self.refill()? {
            return Ok(None);
        }
        let bytes = &self.window[self.window_at..self.window_at + RECORD_BYTES]; // just made sure of
        let record: Record = bytemuck::pod_read_unaligned(bytes);
        let (expected, found) = if !record.is_intact() {
            ("a record whose checksum agrees".to_string(), "one whose checksum differs".to_string())
        } else if record.sequence != sequence {
            (format!("sequence {sequence}"), record.sequence.to_string())
        } else {
            let place = Place::Segment(self.number, self.offset);
            self.window_at += RECORD_BYTES;
            self.offset += RECORD_BYTES as u64;
            return Ok(Some((record, place)));
        };
        // It may be written again, and is then to be read again.
        self.window.clear();
        self.window_at = 0;
        Err(Problem { file: self.path.clone(), offset: self.offset, sequence, expected, found }.into())
    }

    /// Reads on from the current offset; false if not even one record is there.
    fn refill(&mut self) -> Result<bool, JournalError> {
        self.window.resize(WINDOW_BYTES, 0);
        let got = read_up_to(&self.file, &mut self.window, self.offset)
            .map_err(JournalError::io(&self.path, "read the segment"))?;
        self.window.truncate(got);
        self.window_at = 0;
        Ok(got >= RECORD_BYTES)
    }

    /// The last record behind the current offset that is whole and in its place, where `sequence` belongs
    /// at that offset.
    pub fn last_intact(&mut self, sequence: u64) -> Result<Option<u64>, JournalError> {
        let mut last = None;
        for sequence in sequence.. {
            if self.window.len() - self.window_at < RECORD_BYTES && !self.refill()? {
                break;
            }
            let bytes = &self.window[self.window_at..self.window_at + RECORD_BYTES]; // just made sure of
            let record: Record = bytemuck::pod_read_unaligned(bytes);
            if record.is_intact() && record.sequence == sequence {
                last = Some(sequence);
            }
            self.window_at += RECORD_BYTES;
            self.offset += RECORD_BYTES as u64;
        }
        Ok(last)
    }

    /// What is behind the last whole record, if anything.
    pub fn cut(&self, sequence: u64) -> Option<Problem> {
        let rest = self.window.len() - self.window_at;
        (rest > 0).then(|| Problem {
            file: self.path.clone(),
            offset: self.offset,
            sequence,
            expected: format!("a record of {RECORD_BYTES} bytes"),
            found: format!("{rest} bytes before the end of the file"),
        })
    }
}
