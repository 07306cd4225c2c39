//! Reading a journal in order: the archive, then what only the ring still has.

use std::path::{Path, PathBuf};

use super::archive::{ArchiveReader, From, Place, Preamble, SegmentHead, find, segment_name, segments};
use super::folder::{RingState, open_ring};
use super::ring::{RingRead, RingReader};
use super::{Identity, JournalError, Problem};
use crate::event::record::{Assembler, Entry, Record};

/// An entry and the sequence numbers of its parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbered {
    pub first_sequence: u64,
    pub last_sequence: u64,
    pub entry: Entry,
}

/// Reads a journal from sequence number 1, also one that is being written.
///
/// After an error or the end of a journal that nobody writes, everything recoverable was returned.
#[derive(Debug)]
pub struct JournalReader {
    dir: PathBuf,
    archive: ArchiveReader,
    ring: RingState,
    /// Of the newest start there was when the journal was opened.
    newest: Option<Identity>,
    next: u64,
    /// Where the first record to be given is, until it was.
    skip_to: Option<From>,
    /// It was opened at the journal's first record.
    from_first: bool,
    /// The archive had nothing at the last look, so the ring is asked first.
    in_ring: bool,
    assembler: Assembler,
    entry_first: u64,
}

impl JournalReader {
    /// From the first record there is. Refuses a folder with neither segment nor ring.
    pub fn open(dir: &Path) -> Result<JournalReader, JournalError> {
        Self::with(dir, |dir| Ok(ArchiveReader::open(dir)))
    }

    /// From a sequence number or a time on, without reading what comes before; what is in force there is in
    /// [`JournalReader::preamble`]. What was removed, or does not exist so far, is passed over.
    pub fn open_at(dir: &Path, from: From) -> Result<JournalReader, JournalError> {
        let mut reader = Self::with(dir, |dir| ArchiveReader::open_at(dir, from))?;
        if reader.archive.identity().is_some() {
            reader.next = reader.archive.next_sequence();
        }
        if let From::Sequence(sequence) = from {
            reader.next = reader.next.max(sequence);
        }
        (reader.skip_to, reader.from_first) = (Some(from), false);
        Ok(reader)
    }

    fn with(
        dir: &Path,
        archive: impl FnOnce(&Path) -> Result<ArchiveReader, JournalError>,
    ) -> Result<JournalReader, JournalError> {
        if !dir.is_dir() {
            return Err(JournalError::NotAFolder { dir: dir.to_path_buf() });
        }
        let ring = open_ring(dir);
        let segments = segments(dir)?;
        if matches!(ring, RingState::None) && segments.is_empty() {
            return Err(JournalError::NoJournal { dir: dir.to_path_buf() });
        }
        let first = match segments.first() {
            Some((number, path)) if *number > 1 => {
                SegmentHead::read(path)?.ok().map(|head| head.first_sequence)
            }
            _ => None,
        };
        let heads = segments.iter().rev().filter_map(|(_, path)| SegmentHead::read(path).ok()?.ok());
        let newest = heads.map(|head| head.identity).next();
        Ok(JournalReader {
            dir: dir.to_path_buf(),
            archive: archive(dir)?,
            ring,
            newest,
            next: first.unwrap_or(1),
            skip_to: None,
            from_first: true,
            in_ring: false,
            assembler: Assembler::default(),
            entry_first: 1,
        })
    }

    /// The start, the instruments and the settings in force at the next record.
    pub fn preamble(&self) -> &Preamble {
        self.archive.preamble()
    }

    /// Sequence number of the next record.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// The newest start of the journal: of the last segment, else of the ring.
    pub fn identity(&self) -> Option<Identity> {
        let of_ring = match &self.ring {
            RingState::Open(_, identity) => Some(*identity),
            _ => None,
        };
        [self.newest, self.archive.identity(), of_ring].into_iter().flatten().max_by_key(|start| start.epoch)
    }

    /// The start whose record was read last.
    pub fn start(&self) -> Option<Identity> {
        match &self.ring {
            RingState::Open(ring, identity) if self.in_ring && self.next > ring.first_sequence() => {
                Some(*identity)
            }
            _ => self.archive.identity(),
        }
    }

    pub(super) fn ring(&self) -> &RingState {
        &self.ring
    }

    /// File and offset of a place, for a message.
    pub(super) fn locate(&self, place: Place) -> (PathBuf, u64) {
        match (place, &self.ring) {
            (Place::Segment(number, offset), _) => {
                let path = find(&self.dir, number).unwrap_or_else(|| self.dir.join(segment_name(number)));
                (path, offset)
            }
            (Place::Ring(offset), RingState::Open(ring, _)) => (ring.path().to_path_buf(), offset),
            (Place::Ring(offset), _) => (self.dir.clone(), offset),
        }
    }

    /// The next record, checked against its checksum and its place in the sequence.
    pub fn next_record(&mut self) -> Result<Option<(Record, Place)>, JournalError> {
        while let Some((record, place)) = self.any_record()? {
            let skipped = match self.skip_to {
                None => false,
                Some(From::Sequence(_)) => record.part != 0,
                Some(From::Time(time)) => record.part != 0 || record.is_output() || record.recv_ns < time.0,
            };
            if !skipped {
                self.skip_to = None;
                return Ok(Some((record, place)));
            }
        }
        Ok(None)
    }

    fn any_record(&mut self) -> Result<Option<(Record, Place)>, JournalError> {
        if !self.in_ring {
            match self.next_archived() {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(JournalError::Damaged(problem)) if self.is_undurable(&problem) => {}
                Err(error) => return Err(error),
            }
        }
        self.in_ring = true;
        match self.read_ring()? {
            RingAnswer::Record(record, place) => {
                self.next += 1;
                self.archive.note(&record);
                Ok(Some((record, place)))
            }
            RingAnswer::End => Ok(None),
            RingAnswer::Stale => {
                // Its successor may be there by now.
                self.ring = open_ring(&self.dir);
                self.in_ring = false;
                self.end_of_journal().map(|_| None)
            }
            // The drain went by between the two looks: the archive has it now.
            RingAnswer::Lapped(problem) => {
                self.in_ring = false;
                match self.next_archived()? {
                    Some(found) => Ok(Some(found)),
                    None => Err(self.archive.cut().cloned().unwrap_or(*problem).into()),
                }
            }
        }
    }

    /// Behind the durable watermark the file holds what a disk made of it, and the ring what was written.
    fn is_undurable(&self, problem: &Problem) -> bool {
        let RingState::Open(ring, identity) = &self.ring else { return false };
        problem.sequence == self.next
            && self.next > ring.durable()
            && self.archive.identity() == Some(*identity)
            && matches!(ring.read(self.next), RingRead::Record(_))
    }

    /// The record at `next` from the archive, passing over those already read from the ring.
    fn next_archived(&mut self) -> Result<Option<(Record, Place)>, JournalError> {
        while let Some((record, place)) = self.archive.next_record()? {
            if record.sequence == self.next {
                self.next += 1;
                return Ok(Some((record, place)));
            }
        }
        Ok(None)
    }

    fn read_ring(&mut self) -> Result<RingAnswer, JournalError> {
        let ring = match &self.ring {
            RingState::Open(ring, identity) if self.goes_on_in(ring, identity)? => ring,
            RingState::Open(..) => return Ok(RingAnswer::Stale),
            RingState::None | RingState::Lost(_) => return self.end_of_journal(),
            RingState::Damaged(problem) => {
                return Err(self.archive.cut().unwrap_or(problem).clone().into());
            }
        };
        let problem = |found: &str| {
            Box::new(Problem {
                file: ring.path().to_path_buf(),
                offset: ring.offset_of(self.next),
                sequence: self.next,
                expected: "this record, which the archive does not have".to_string(),
                found: found.to_string(),
            })
        };
        match ring.read(self.next) {
            RingRead::Record(record) => {
                Ok(RingAnswer::Record(record, Place::Ring(ring.offset_of(record.sequence))))
            }
            RingRead::NotYet => self.end_of_journal(),
            RingRead::Lapped => Ok(RingAnswer::Lapped(problem("a later record"))),
            RingRead::Torn => Err(JournalError::Damaged(problem("damaged bytes"))),
        }
    }

    /// The end, if nothing is missing: a record that the archive has cut must have been in the ring.
    fn end_of_journal(&self) -> Result<RingAnswer, JournalError> {
        let continued = self.next > self.archive.next_sequence();
        match self.archive.cut() {
            Some(cut) if !continued && !super::folder::is_live(&self.dir) => Err(cut.clone().into()),
            _ => Ok(RingAnswer::End),
        }
    }

    /// Whether the ring holds what follows the archive: false for the ring of an earlier start, which a
    /// later one found drained and has not replaced so far.
    fn goes_on_in(&self, ring: &RingReader, identity: &Identity) -> Result<bool, JournalError> {
        let Some(archived) = self.archive.identity() else { return Ok(true) };
        let follows =
            ring.first_sequence() == self.archive.next_sequence() && identity.epoch > archived.epoch;
        if archived == *identity || follows || self.next > self.archive.next_sequence() {
            return Ok(true);
        }
        // Where reading did not begin at the first start, an earlier one is known by its epoch.
        let passed_over = self.archive.starts().first().is_some_and(|first| identity.epoch < first.epoch);
        if self.archive.starts().contains(identity) || (passed_over && !self.from_first) {
            return Ok(false);
        }
        Err(foreign_ring(ring, &archived, identity).into())
    }

    /// The next event or output, put together from its parts.
    pub fn next_entry(&mut self) -> Result<Option<Numbered>, JournalError> {
        while let Some((record, place)) = self.next_record()? {
            if let Some(numbered) = self.assemble(&record, place)? {
                return Ok(Some(numbered));
            }
        }
        Ok(None)
    }

    /// Feeds a record just read; an entry once its last part is there.
    pub(super) fn assemble(
        &mut self,
        record: &Record,
        place: Place,
    ) -> Result<Option<Numbered>, JournalError> {
        if record.part == 0 {
            self.entry_first = record.sequence;
        }
        match self.assembler.push(record) {
            Ok(entry) => Ok(entry.map(|entry| Numbered {
                first_sequence: self.entry_first,
                last_sequence: record.sequence,
                entry,
            })),
            Err(error) => {
                let (file, offset) = self.locate(place);
                let expected = "a record this version understands".to_string();
                let found = error.to_string();
                Err(Problem { file, offset, sequence: record.sequence, expected, found }.into())
            }
        }
    }
}

/// A ring whose run the archive does not know.
pub(super) fn foreign_ring(ring: &RingReader, archived: &Identity, found: &Identity) -> Problem {
    Problem {
        file: ring.path().to_path_buf(),
        offset: 20,
        sequence: 0,
        expected: format!("the ring of the archive's run, {archived:?}"),
        found: format!("{found:?}"),
    }
}

enum RingAnswer {
    Record(Record, Place),
    End,
    /// The ring is an earlier start's.
    Stale,
    Lapped(Box<Problem>),
}
