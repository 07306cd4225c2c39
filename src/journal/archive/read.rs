//! Reading the archive.

use std::path::{Path, PathBuf};

use super::chain::{check_place, missing};
use super::preamble::{Preamble, is_opening};
use super::segment::{SegmentHead, SegmentReader, holds_record};
use super::{find, segment_name, segments};
use crate::event::record::Record;
use crate::journal::{Identity, JournalError, Problem};
use crate::num::TimeNs;

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The first entry from this sequence number on.
    Sequence(u64),
    /// The first event from this time on, in a journal whose time rises. Where it runs backwards it may be a
    /// later one.
    Time(TimeNs),
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
    segment: Option<SegmentReader>,
    next_sequence: u64,
    /// Of the segments so far.
    starts: Vec<Identity>,
    /// In force at the next record.
    preamble: Preamble,
    /// The last segment ends inside a record or header: a write was cut, or is under way.
    cut: Option<Problem>,
}

impl ArchiveReader {
    /// From the first segment there is.
    pub fn open(dir: &Path) -> ArchiveReader {
        ArchiveReader {
            dir: dir.to_path_buf(),
            segment: None,
            next_sequence: 1,
            starts: Vec::new(),
            preamble: Preamble::default(),
            cut: None,
        }
    }

    /// Goes to the segment that `from` is in, and to a place in it at or in front of it.
    pub(in crate::journal) fn open_at(dir: &Path, from: From) -> Result<ArchiveReader, JournalError> {
        let mut archive = ArchiveReader::open(dir);
        for (_, path) in segments(dir)?.iter().rev() {
            // What is wrong with a head is told once reading gets there.
            let Ok(head) = SegmentHead::read(path)? else { continue };
            let mut segment = SegmentReader::open(&head)?;
            let reached = match from {
                From::Sequence(sequence) => head.first_sequence <= sequence,
                From::Time(time) => {
                    recv_ns_at(&mut segment, head.first_sequence)?.is_some_and(|t| t < time.0)
                }
            };
            if reached {
                archive.enter(&head, segment, from)?;
                break;
            }
        }
        Ok(archive)
    }

    /// Takes up what is in force where a segment begins, and goes on to `from`.
    fn enter(
        &mut self,
        head: &SegmentHead,
        mut segment: SegmentReader,
        from: From,
    ) -> Result<(), JournalError> {
        self.preamble = head.preamble.clone();
        self.starts.push(head.identity);
        segment.seek(head.first_sequence);
        let end = match from {
            From::Sequence(sequence) => sequence.min(head.end()),
            From::Time(_) => head.end(),
        };
        let mut next = head.first_sequence;
        while next < end {
            let Some((record, _)) = segment.next(next)? else { break };
            if !is_opening(&record) {
                break;
            }
            self.preamble.take(&record);
            next += 1;
        }
        self.next_sequence = match from {
            From::Sequence(_) => end,
            From::Time(time) => first_at(&mut segment, (next, end), time)?.unwrap_or(next),
        };
        segment.seek(self.next_sequence);
        self.segment = Some(segment);
        Ok(())
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

    /// What is in force at the next record.
    pub fn preamble(&self) -> &Preamble {
        &self.preamble
    }

    /// Takes note of a record that was read elsewhere.
    pub(in crate::journal) fn note(&mut self, record: &Record) {
        self.preamble.take(record);
    }

    /// The next record, checked; `None` at the end, where more may appear later.
    pub fn next_record(&mut self) -> Result<Option<(Record, Place)>, JournalError> {
        self.cut = None;
        loop {
            if let Some(found) = self.next_in_segment()? {
                return Ok(Some(found));
            }
            let number = match &self.segment {
                Some(segment) => segment.number() + 1,
                None => segments(&self.dir)?.first().map_or(1, |(number, _)| *number),
            };
            let Some(path) = find(&self.dir, number) else {
                self.refuse_missing(number)?;
                self.cut = self.segment.as_ref().and_then(|s| s.cut(self.next_sequence));
                return Ok(None);
            };
            // The writer may have filled the old segment between the two looks.
            if let Some(found) = self.next_in_segment()? {
                return Ok(Some(found));
            }
            if !self.open_segment(number, &path)? {
                return Ok(None);
            }
        }
    }

    fn next_in_segment(&mut self) -> Result<Option<(Record, Place)>, JournalError> {
        let Some(segment) = &mut self.segment else { return Ok(None) };
        let found = segment.next(self.next_sequence)?;
        if let Some((record, _)) = &found {
            self.next_sequence += 1;
            self.preamble.take(record);
        }
        Ok(found)
    }

    /// Goes on to a segment that exists; false if it is the last and its head is not whole.
    fn open_segment(&mut self, number: u64, path: &Path) -> Result<bool, JournalError> {
        if let Some(cut) = self.segment.as_ref().and_then(|s| s.cut(self.next_sequence)) {
            return Err(cut.into());
        }
        let head = match SegmentHead::read(path) {
            Ok(Ok(head)) => head,
            // It holds nothing so far: its creation was cut, or is under way.
            Ok(Err(problem)) if find(&self.dir, number + 1).is_none() && !holds_record(path)? => {
                self.cut = Some(problem);
                return Ok(false);
            }
            Ok(Err(problem)) => return Err(problem.into()),
            // It was packed, and removed, since it was found.
            Err(error) => match find(&self.dir, number).filter(|now| now != path) {
                Some(now) => return self.open_segment(number, &now),
                None => return Err(error),
            },
        };
        let before = self.segment.as_ref().and(self.starts.last());
        check_place(&head, number, before.map(|identity| (self.next_sequence, identity)))?;
        self.check_preamble(&head)?;
        if self.starts.last() != Some(&head.identity) {
            self.starts.push(head.identity);
        }
        self.next_sequence = head.first_sequence;
        self.segment = Some(SegmentReader::open(&head)?);
        Ok(true)
    }

    /// What a segment says is in force is what was read to be.
    fn check_preamble(&mut self, head: &SegmentHead) -> Result<(), Problem> {
        let goes_on = self.segment.is_some() && self.starts.last() == Some(&head.identity);
        if !goes_on {
            self.preamble = head.preamble.clone();
        } else if !head.preamble.says_as(&self.preamble) {
            return Err(Problem {
                file: head.path.clone(),
                offset: 128,
                sequence: 0,
                expected: "the start, the instruments and the settings of the records before".to_string(),
                found: "others".to_string(),
            });
        }
        Ok(())
    }

    /// The end of the archive, or a hole in it?
    fn refuse_missing(&self, number: u64) -> Result<(), JournalError> {
        match segments(&self.dir)?.last() {
            Some((last, _)) if *last >= number => {
                Err(missing(self.dir.join(segment_name(number)), self.next_sequence, *last).into())
            }
            _ => Ok(()),
        }
    }
}

/// When the record at a place was received; `None` if there is none, or none that is whole.
fn recv_ns_at(segment: &mut SegmentReader, sequence: u64) -> Result<Option<i64>, JournalError> {
    segment.seek(sequence);
    match segment.next(sequence) {
        Ok(found) => Ok(found.map(|(record, _)| record.recv_ns)),
        Err(JournalError::Damaged(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first of these records from a time on; `None` if damage keeps it from being found.
fn first_at(
    segment: &mut SegmentReader,
    (mut from, mut to): (u64, u64),
    time: TimeNs,
) -> Result<Option<u64>, JournalError> {
    while from < to {
        let middle = from + (to - from) / 2;
        let Some(recv_ns) = recv_ns_at(segment, middle)? else { return Ok(None) };
        if recv_ns < time.0 { from = middle + 1 } else { to = middle }
    }
    Ok(Some(from))
}
