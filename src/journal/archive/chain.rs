//! The segments of a folder by their headers: which starts they belong to, and that nothing is
//! missing between them.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{read_up_to, segment_name, segments};
use crate::event::record::RECORD_BYTES;
use crate::journal::header::{FileKind, HEADER_BYTES, Header};
use crate::journal::{Identity, JournalError, Problem};

/// A segment's header and length.
#[derive(Clone, Debug)]
pub(in crate::journal) struct SegmentHead {
    pub number: u64,
    pub path: PathBuf,
    pub identity: Identity,
    pub first_sequence: u64,
    pub bytes: u64,
}

impl SegmentHead {
    /// Whole records by the file's length.
    pub fn records(&self) -> u64 {
        (self.bytes / RECORD_BYTES as u64).saturating_sub(1) // the header is as long as a record
    }
}

/// All segments, each of which goes on where the one before it ends.
#[derive(Clone, Debug, Default)]
pub(in crate::journal) struct Chain {
    pub segments: Vec<SegmentHead>,
    /// A last file that holds no record and no whole header: its creation was cut.
    pub cut: Option<Problem>,
}

impl Chain {
    pub fn read(dir: &Path) -> Result<Chain, JournalError> {
        let mut chain = Chain::default();
        let found = segments(dir)?;
        for (at, (number, path)) in found.iter().enumerate() {
            let before = chain.segments.last();
            let expected = before.map_or(1, |before| before.number + 1);
            if *number != expected {
                let expected = dir.join(segment_name(expected));
                let sequence = before.map_or(1, |before| before.first_sequence + before.records());
                return Err(missing(expected, sequence, *number).into());
            }
            let (bytes, head) = read_head(path)?;
            let head = head.and_then(|header| check(&header, path, *number, before).map(|()| header));
            match head {
                Ok(header) => chain.segments.push(SegmentHead {
                    number: *number,
                    path: path.clone(),
                    identity: header.identity(),
                    first_sequence: header.first_sequence,
                    bytes,
                }),
                Err(problem) if at + 1 == found.len() && bytes <= HEADER_BYTES as u64 => {
                    chain.cut = Some(problem);
                }
                Err(problem) => return Err(problem.into()),
            }
        }
        Ok(chain)
    }

    /// The first segment of each start, in order.
    pub fn starts(&self) -> impl Iterator<Item = &SegmentHead> {
        let before = std::iter::once(None).chain(self.segments.iter().map(|s| Some(s.identity)));
        let pairs = before.zip(&self.segments);
        pairs.filter(|(before, segment)| *before != Some(segment.identity)).map(|(_, segment)| segment)
    }
}

/// A file's length and its header.
pub(in crate::journal) fn read_head(path: &Path) -> Result<(u64, Result<Header, Problem>), JournalError> {
    let file = File::open(path).map_err(JournalError::io(path, "open the segment"))?;
    let bytes = file.metadata().map_err(JournalError::io(path, "read the segment's length"))?.len();
    Ok((bytes, header_of(&file, path)?))
}

pub(super) fn header_of(file: &File, path: &Path) -> Result<Result<Header, Problem>, JournalError> {
    let mut bytes = [0; HEADER_BYTES];
    let got = read_up_to(file, &mut bytes, 0).map_err(JournalError::io(path, "read the segment"))?;
    if got < HEADER_BYTES {
        let expected = format!("a header of {HEADER_BYTES} bytes");
        return Ok(Err(problem(path, 0, expected, format!("{got} bytes"))));
    }
    Ok(Header::check(&bytes, FileKind::Segment)
        .map_err(|fault| problem(path, fault.offset, fault.expected, fault.found)))
}

fn check(header: &Header, path: &Path, number: u64, before: Option<&SegmentHead>) -> Result<(), Problem> {
    let next = before.map_or(1, |before| before.first_sequence + before.records());
    let cut = before.filter(|before| !before.bytes.is_multiple_of(RECORD_BYTES as u64));
    if let Some(before) = cut {
        let rest = before.bytes % RECORD_BYTES as u64;
        let expected = format!("a record of {RECORD_BYTES} bytes");
        let found = format!("{rest} bytes before the end of the file");
        let offset = before.bytes - rest;
        return Err(Problem { sequence: next, ..problem(&before.path, offset, expected, found) });
    }
    check_place(header, path, number, next, before.map(|before| &before.identity))
}

/// Whether a segment's header fits its name and what comes before it.
pub(super) fn check_place(
    header: &Header,
    path: &Path,
    number: u64,
    next_sequence: u64,
    before: Option<&Identity>,
) -> Result<(), Problem> {
    if header.number != number {
        let expected = format!("segment number {number}");
        return Err(problem(path, 40, expected, header.number.to_string()));
    }
    if header.first_sequence != next_sequence {
        let expected = format!("first sequence {next_sequence}");
        return Err(problem(path, 48, expected, header.first_sequence.to_string()));
    }
    let identity = header.identity();
    match before {
        Some(before) if *before != identity && before.epoch >= identity.epoch => {
            let expected = format!("the run of the segment before, or a later epoch: {before:?}");
            Err(problem(path, 20, expected, format!("{identity:?}")))
        }
        _ => Ok(()),
    }
}

/// A segment that is not there while a later one is.
pub(super) fn missing(path: PathBuf, sequence: u64, last: u64) -> Problem {
    let expected = format!("this segment, since {} exists", segment_name(last));
    Problem { sequence, ..problem(&path, 0, expected, "no such file".to_string()) }
}

fn problem(path: &Path, offset: u64, expected: String, found: String) -> Problem {
    Problem { file: path.to_path_buf(), offset, sequence: 0, expected, found }
}
