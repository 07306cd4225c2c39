//! The journal on disk: `segment-000001.qtj` and so on, each a header and records verbatim.
//!
//! Nothing in a segment depends on the machine, the path, the wall clock or the build profile: the
//! same simulated input gives the same bytes.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::header::{FileKind, HEADER_BYTES, Header};
use super::{Identity, JournalError, Problem};
use crate::event::record::{RECORD_BYTES, Record};

/// Records of a full segment, 128 MiB: about an hour of two busy instruments, and small enough to be
/// checked, copied, compressed or dropped as a whole.
pub const SEGMENT_RECORDS: u64 = 1 << 20;
/// Bytes read at once. A segment is walked in order, so a larger window buys nothing.
const WINDOW_BYTES: usize = 64 * 1024;
const _: () = assert!(WINDOW_BYTES.is_multiple_of(RECORD_BYTES));

/// Name of a segment, from 1.
pub fn segment_name(number: u64) -> String {
    format!("segment-{number:06}.qtj")
}

/// Segments in a folder: numbers and paths, in order.
pub fn segments(dir: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(JournalError::io(dir, "list the folder"))? {
        let entry = entry.map_err(JournalError::io(dir, "list the folder"))?;
        let number = entry.file_name().to_str().and_then(segment_number);
        found.extend(number.map(|number| (number, entry.path())));
    }
    found.sort_unstable();
    Ok(found)
}

fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("segment-")?.strip_suffix(".qtj")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

/// Appends records to segments.
#[derive(Debug)]
pub struct ArchiveWriter {
    dir: PathBuf,
    identity: Identity,
    segment_records: u64,
    number: u64,
    path: PathBuf,
    file: File,
    /// Records in the current segment.
    held: u64,
    next_sequence: u64,
    bytes: u64,
}

impl ArchiveWriter {
    /// Starts the archive of a folder that has none.
    pub fn create(dir: &Path, identity: &Identity) -> Result<ArchiveWriter, JournalError> {
        Self::with_segment_records(dir, identity, SEGMENT_RECORDS)
    }

    /// As [`ArchiveWriter::create`], with segments of another length; at least one record.
    pub fn with_segment_records(
        dir: &Path,
        identity: &Identity,
        segment_records: u64,
    ) -> Result<ArchiveWriter, JournalError> {
        let (path, file) = create_segment(dir, identity, 1, 1)?;
        Ok(ArchiveWriter {
            dir: dir.to_path_buf(),
            identity: *identity,
            segment_records: segment_records.max(1),
            number: 1,
            path,
            file,
            held: 0,
            next_sequence: 1,
            bytes: HEADER_BYTES as u64,
        })
    }

    /// Writes records, which must continue the sequence. Not durable before [`ArchiveWriter::sync`].
    /// After an error the archive ends somewhere in these records and takes no more.
    pub fn append(&mut self, mut records: &[Record]) -> Result<(), JournalError> {
        while let Some(first) = records.first() {
            assert_eq!(first.sequence, self.next_sequence, "the archive has no holes");
            if self.held == self.segment_records {
                self.rotate()?;
            }
            let room = usize::try_from(self.segment_records - self.held).unwrap_or(usize::MAX);
            let (now, later) = records.split_at(records.len().min(room));
            let offset = HEADER_BYTES as u64 + self.held * RECORD_BYTES as u64;
            let bytes: &[u8] = bytemuck::cast_slice(now);
            self.file
                .write_all_at(bytes, offset)
                .map_err(JournalError::io(&self.path, "append to the archive"))?;
            self.held += now.len() as u64;
            self.next_sequence += now.len() as u64;
            self.bytes += bytes.len() as u64;
            records = later;
        }
        Ok(())
    }

    /// Returns when everything appended survives a power loss.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(JournalError::io(&self.path, "sync the archive"))
    }

    /// Last sequence number written; 0 for none.
    pub fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    /// Bytes written, headers included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn rotate(&mut self) -> Result<(), JournalError> {
        self.sync()?;
        let number = self.number + 1;
        let (path, file) = create_segment(&self.dir, &self.identity, number, self.next_sequence)?;
        (self.number, self.path, self.file, self.held) = (number, path, file, 0);
        self.bytes += HEADER_BYTES as u64;
        Ok(())
    }
}

/// A new segment whose header and directory entry are on disk.
fn create_segment(
    dir: &Path,
    identity: &Identity,
    number: u64,
    first_sequence: u64,
) -> Result<(PathBuf, File), JournalError> {
    let path = dir.join(segment_name(number));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(JournalError::io(&path, "create the segment"))?;
    let header = Header::new(FileKind::Segment, identity, number, first_sequence);
    file.write_all_at(bytemuck::bytes_of(&header), 0)
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(JournalError::io(&path, "write the segment's header"))?;
    Ok((path, file))
}

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
    segment: Option<Segment>,
    next_sequence: u64,
    identity: Option<Identity>,
    /// The last segment ends inside a record or header: a write was cut, or is under way.
    cut: Option<Problem>,
}

#[derive(Debug)]
struct Segment {
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
        ArchiveReader { dir: dir.to_path_buf(), segment: None, next_sequence: 1, identity: None, cut: None }
    }

    /// What the segments' headers say; `None` before the first was read.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
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
        let mut bytes = [0; HEADER_BYTES];
        let got = read_up_to(&file, &mut bytes, 0).map_err(JournalError::io(&path, "read the segment"))?;
        if got < HEADER_BYTES {
            self.cut = Some(Problem {
                file: path,
                offset: 0,
                sequence: 0,
                expected: format!("a header of {HEADER_BYTES} bytes"),
                found: format!("{got} bytes"),
            });
            return Ok(false);
        }
        self.check_header(&bytes, number, &path)?;
        self.segment = Some(Segment {
            number,
            path,
            file,
            offset: HEADER_BYTES as u64,
            window: Vec::new(),
            window_at: 0,
        });
        Ok(true)
    }

    /// The end of the archive, or a hole in it?
    fn refuse_missing(&self, number: u64, path: &Path) -> Result<(), JournalError> {
        match segments(&self.dir)?.last() {
            Some((last, _)) if *last > number => Err(JournalError::from(Problem {
                file: path.to_path_buf(),
                offset: 0,
                sequence: self.next_sequence,
                expected: format!("this segment, since {} exists", segment_name(*last)),
                found: "no such file".to_string(),
            })),
            _ => Ok(()),
        }
    }

    fn check_header(
        &mut self,
        bytes: &[u8; HEADER_BYTES],
        number: u64,
        path: &Path,
    ) -> Result<(), JournalError> {
        let problem = |offset: u64, expected: String, found: String| {
            Err(JournalError::from(Problem {
                file: path.to_path_buf(),
                offset,
                sequence: 0,
                expected,
                found,
            }))
        };
        let header = match Header::check(bytes, FileKind::Segment) {
            Ok(header) => header,
            Err(fault) => return problem(fault.offset, fault.expected, fault.found),
        };
        if header.number != number {
            return problem(40, format!("segment number {number}"), header.number.to_string());
        }
        if header.first_sequence != self.next_sequence {
            let expected = format!("first sequence {}", self.next_sequence);
            return problem(48, expected, header.first_sequence.to_string());
        }
        let identity = header.identity();
        match self.identity {
            Some(first) if first != identity => {
                problem(20, format!("the run of the first segment, {first:?}"), format!("{identity:?}"))
            }
            _ => {
                self.identity = Some(identity);
                Ok(())
            }
        }
    }
}

impl Segment {
    /// The record at the current offset; `None` if the file has no whole record there (yet).
    fn next(&mut self, sequence: u64) -> Result<Option<(Record, Place)>, JournalError> {
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

    /// What is behind the last whole record, if anything.
    fn cut(&self, sequence: u64) -> Option<Problem> {
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

/// Fills `bytes` from `offset`, or as far as the file goes.
fn read_up_to(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut got = 0;
    while got < bytes.len() {
        match file.read_at(&mut bytes[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
