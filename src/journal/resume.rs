//! Going on with a journal that ended, in order or not: what the ring has and the archive has not is
//! archived, what was cut is cut off, and the next start begins behind it.
//!
//! Nothing is decided by a step that an earlier one could have undone: first everything is looked at,
//! then the archive is cut, written and synced, and the ring stays until that is done. So a resume that
//! was killed anywhere leaves the next one the same to find.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::archive::{
    ArchiveOptions, ArchiveWriter, Chain, Preamble, SegmentHead, SegmentReader, segment_name,
};
use super::folder::{Folder, RingState, lock, open_ring};
use super::header::{FileKind, Header};
use super::read::foreign_ring;
use super::ring::{RingRead, RingReader};
use super::{Identity, JournalError, Problem};
use crate::event::record::{COMMIT, RECORD_BYTES, Record};

/// Records taken from the ring at once.
const BATCH_RECORDS: usize = 256;

/// A journal that can go on. Its folder is held.
///
/// In this order, so that it can end anywhere: [`Resumed::retire_ring`], after which
/// [`JournalReader`](super::JournalReader) finds no more than is here; [`ArchiveWriter::begin`];
/// [`Folder::create_ring_after`].
#[derive(Debug)]
pub struct Resumed {
    pub folder: Folder,
    /// Ends with the last record of the last start: [`ArchiveWriter::begin`] begins the next one.
    pub archive: ArchiveWriter,
    /// Sequence number of the last record; 0 for none.
    pub last_sequence: u64,
    /// Of the last start.
    pub identity: Identity,
    pub recovered: Recovered,
}

/// What a resume found and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// Records that only the ring had.
    pub from_ring: u64,
    /// What was not whole at the end and is not in the journal any more, or was damaged and is whole again.
    pub torn: Option<Problem>,
    pub ring: RingFound,
    /// The event whose outputs end the journal without a commit: none of them took effect.
    pub uncommitted: Option<u64>,
}

/// What there was of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RingFound {
    /// It was read.
    Kept,
    /// The memory it was kept in is gone.
    Lost,
    /// None: the journal was closed in order.
    None,
    /// Its header is damaged, and nothing was taken from it.
    Damaged,
}

impl Resumed {
    /// Removes the ring, of which the archive has everything.
    pub fn retire_ring(&self) -> Result<(), JournalError> {
        self.folder.remove_ring()
    }

    /// Takes the group without a commit off the end of the journal, its event too.
    pub fn drop_uncommitted(&mut self) -> Result<(), JournalError> {
        let Some(event) = self.recovered.uncommitted else { return Ok(()) };
        self.retire_ring()?; // it would bring them back
        self.archive.cut_behind(event - 1)?;
        self.archive.sync()?;
        (self.last_sequence, self.recovered.uncommitted) = (event - 1, None);
        Ok(())
    }
}

impl Folder {
    /// Goes on with the journal in `dir`: takes its lock, archives what only the ring has, and makes that
    /// durable. The ring stays until [`Resumed::retire_ring`] or the creation of the next one.
    ///
    /// The journal then ends with its last whole entry. Not an error, but reported: a ring that is lost or
    /// whose header is damaged, a record or entry that was being written, and bytes behind the durable
    /// watermark that a power loss left behind.
    ///
    /// # Errors
    /// `NotAFolder`, `NoJournal`, `Locked`; `Damaged` for a journal that would lose something it can be
    /// expected to have: see `docs/JOURNAL.md`.
    pub fn resume(dir: &Path) -> Result<Resumed, JournalError> {
        Folder::resume_with(dir, ArchiveOptions::default())
    }

    /// As [`Folder::resume`], with an archive that is written on as `options` say.
    pub fn resume_with(dir: &Path, options: ArchiveOptions) -> Result<Resumed, JournalError> {
        if !dir.is_dir() {
            return Err(JournalError::NotAFolder { dir: dir.to_path_buf() });
        }
        let folder = Folder::locked(dir, lock(dir)?)?;
        let plan = Plan::make(folder.path())?;
        let mut archive = plan.open_archive(folder.path(), options)?;
        plan.copy_from_ring(&mut archive)?;
        archive.sync()?;
        archive.sync_dir()?;
        let identity = *archive.identity();
        let Plan { last, recovered, .. } = plan;
        Ok(Resumed { folder, archive, last_sequence: last, identity, recovered })
    }
}

/// What is to be done.
struct Plan {
    chain: Chain,
    /// Whole records at the end of the archive, up to this one, stay.
    keep: u64,
    /// The ring that goes on from there.
    ring: Option<(RingReader, Identity)>,
    /// A start that has a ring and no segment.
    unrecorded: bool,
    /// Where the journal ends then.
    last: u64,
    /// In force at the end of what stays.
    preamble: Preamble,
    recovered: Recovered,
}

impl Plan {
    fn make(dir: &Path) -> Result<Plan, JournalError> {
        let chain = Chain::read(dir)?;
        let state = open_ring(dir);
        let found = match &state {
            RingState::None => RingFound::None,
            RingState::Lost(_) => RingFound::Lost,
            RingState::Open(..) => RingFound::Kept,
            RingState::Damaged(_) => RingFound::Damaged,
        };
        if chain.segments.last().is_some_and(SegmentHead::is_packed) {
            return Err(no_last_segment(dir, &chain).into());
        }
        let mut damage = None;
        let ring = match state {
            RingState::Open(ring, identity) => Some((ring, identity)),
            RingState::Damaged(problem) if is_foreign(&problem.file)? => return Err(problem.into()),
            RingState::Damaged(problem) => {
                damage = Some(problem);
                None
            }
            RingState::None | RingState::Lost(_) => None,
        };
        let mut tail = Tail::read(&chain, ring.as_ref())?;
        let (ring, unrecorded) = match ring {
            Some((ring, identity)) => match role(&chain, &tail, &ring, &identity)? {
                Role::Last => (Some((ring, identity)), false),
                Role::Unrecorded => (Some((ring, identity)), true),
                Role::Earlier => (None, false),
            },
            None => (None, false),
        };
        if chain.segments.is_empty() && ring.is_none() {
            let problem = chain.cut.or(damage);
            return Err(problem.map_or(JournalError::NoJournal { dir: dir.to_path_buf() }, Into::into));
        }
        let keep = tail.end;
        let preamble = tail.preamble.clone();
        let ring_problem = match &ring {
            // What is wrong in the archive comes first, also in what is told.
            Some((ring, _)) => {
                tail.go_on_in(ring).map_err(|hole| tail.bad.clone().map_or(hole, Into::into))?
            }
            None => None,
        };
        if let Some(bad) = &tail.bad {
            tail.may_cut(bad, keep, ring.as_ref().map(|(ring, _)| ring), found)?;
        }
        let torn = [tail.bad.clone(), ring_problem, tail.cut_entry(), chain.cut.clone(), damage];
        let recovered = Recovered {
            from_ring: tail.last().saturating_sub(keep),
            torn: torn.into_iter().flatten().next(),
            ring: found,
            uncommitted: tail.uncommitted,
        };
        let last = tail.last();
        Ok(Plan { chain, keep: keep.min(last), ring, unrecorded, last, preamble, recovered })
    }

    /// The archive up to `keep`, open for what follows.
    fn open_archive(&self, dir: &Path, options: ArchiveOptions) -> Result<ArchiveWriter, JournalError> {
        if let Some(cut) = &self.chain.cut {
            let removed = options.disk.remove(&cut.file).and_then(|()| options.disk.sync_dir(dir));
            removed.map_err(JournalError::io(&cut.file, "remove the segment that was cut"))?;
        }
        let before: u64 = self.chain.segments.iter().rev().skip(1).map(|segment| segment.bytes).sum();
        let Some(tail) = self.chain.segments.last() else {
            // Only a ring; that there is one was asked for.
            let Some((_, identity)) = &self.ring else {
                return Err(JournalError::NoJournal { dir: dir.to_path_buf() });
            };
            return ArchiveWriter::with_options(dir, identity, options);
        };
        let mut archive = ArchiveWriter::go_on(dir, options, tail, self.keep, before, self.preamble.clone())?;
        if let Some((_, identity)) = self.ring.as_ref().filter(|_| self.unrecorded) {
            archive.begin(identity)?;
        }
        Ok(archive)
    }

    fn copy_from_ring(&self, archive: &mut ArchiveWriter) -> Result<(), JournalError> {
        let Some((ring, _)) = &self.ring else { return Ok(()) };
        let mut batch: Vec<Record> = Vec::with_capacity(BATCH_RECORDS);
        for sequence in archive.last_sequence() + 1..=self.last {
            // Nobody writes it: we have the lock, and it was read a moment ago.
            let RingRead::Record(record) = ring.read(sequence) else {
                return Err(ring_problem(ring, sequence, "the record read before", "another").into());
            };
            batch.push(record);
            if batch.len() == BATCH_RECORDS || sequence == self.last {
                archive.append(&batch)?;
                batch.clear();
            }
        }
        Ok(())
    }
}

/// Whose ring it is.
enum Role {
    /// The last start's.
    Last,
    /// A later one's, whose segment was not made, or not in time.
    Unrecorded,
    /// An earlier one's, which was archived before the last one began.
    Earlier,
}

fn role(chain: &Chain, tail: &Tail, ring: &RingReader, identity: &Identity) -> Result<Role, JournalError> {
    let Some(last) = chain.segments.last() else {
        return if ring.first_sequence() == 1 {
            Ok(Role::Unrecorded)
        } else {
            let expected = "a ring from sequence 1, since there is no segment";
            Err(first_sequence_problem(ring, expected.to_string()).into())
        };
    };
    let starts: Vec<&SegmentHead> = chain.starts().collect();
    let Some(at) = starts.iter().position(|start| start.identity == *identity) else {
        let follows = ring.first_sequence() == tail.end + 1 && tail.bad.is_none();
        return if follows && identity.epoch > last.identity.epoch {
            Ok(Role::Unrecorded)
        } else {
            Err(foreign_ring(ring, &last.identity, identity).into())
        };
    };
    if ring.first_sequence() != starts[at].first_sequence {
        let expected = format!("first sequence {}, as the start's segment says", starts[at].first_sequence);
        return Err(first_sequence_problem(ring, expected).into());
    }
    let Some(next) = starts.get(at + 1) else { return Ok(Role::Last) };
    match ring.newest_intact() {
        Some(newest) if newest >= next.first_sequence => {
            let expected =
                format!("nothing from there on, which the start of epoch {} has", next.identity.epoch);
            Err(ring_problem(ring, newest, &expected, "a record").into())
        }
        _ => Ok(Role::Earlier),
    }
}

/// The end of the journal as it is read: of the last segment, then of the ring.
#[derive(Default)]
struct Tail {
    /// Last whole record.
    end: u64,
    /// What comes instead of the next one in the segment.
    bad: Option<Problem>,
    /// Last record behind that which is whole and in its place.
    behind: Option<u64>,
    /// In force there.
    preamble: Preamble,
    /// First part of an entry that is not whole.
    entry: Option<u64>,
    /// The last event.
    event: Option<u64>,
    /// The last event, if it has outputs and none of them commits.
    uncommitted: Option<u64>,
    path: PathBuf,
}

impl Tail {
    /// Reads the last segment; where its start's ring has a record too, it is the same one.
    fn read(chain: &Chain, ring: Option<&(RingReader, Identity)>) -> Result<Tail, JournalError> {
        let mut tail = Tail::default();
        let Some(head) = chain.segments.last() else { return Ok(tail) };
        let ring = ring.filter(|(_, identity)| *identity == head.identity).map(|(ring, _)| ring);
        tail.end = head.first_sequence - 1;
        tail.preamble = head.preamble.clone();
        tail.path.clone_from(&head.path);
        let mut segment = SegmentReader::open(head)?;
        loop {
            match segment.next(tail.end + 1) {
                Ok(Some((record, _))) => {
                    if let Some(ring) = ring
                        && matches!(ring.read(record.sequence), RingRead::Record(held) if held != record)
                    {
                        let expected = "the record the archive has";
                        return Err(ring_problem(ring, record.sequence, expected, "other bytes").into());
                    }
                    tail.push(&record)?;
                }
                Ok(None) => {
                    tail.bad = segment.cut(tail.end + 1);
                    break;
                }
                Err(JournalError::Damaged(problem)) => {
                    tail.bad = Some(*problem);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if tail.bad.is_some() {
            tail.behind = segment.last_intact(tail.end + 1)?;
        }
        Ok(tail)
    }

    /// Takes note of the next record.
    fn push(&mut self, record: &Record) -> Result<(), JournalError> {
        if record.part != 0 && self.entry.is_none() {
            let (expected, found) = ("the first part of an entry", format!("part {}", record.part));
            let problem = Problem {
                file: self.path.clone(),
                offset: 0,
                sequence: record.sequence,
                expected: expected.to_string(),
                found,
            };
            return Err(problem.into());
        }
        self.end = record.sequence;
        self.preamble.take(record);
        let first = *self.entry.get_or_insert(record.sequence);
        if record.is_output() {
            self.uncommitted = self.event.filter(|_| record.flags & COMMIT == 0);
        }
        if record.is_last_part() {
            self.entry = None;
            if !record.is_output() {
                self.event = Some(first);
            }
        }
        Ok(())
    }

    /// Last record of a whole entry.
    fn last(&self) -> u64 {
        self.entry.map_or(self.end, |first| first - 1)
    }

    fn cut_entry(&self) -> Option<Problem> {
        self.entry.map(|first| Problem {
            file: self.path.clone(),
            offset: 0,
            sequence: first,
            expected: "a whole entry".to_string(),
            found: format!("{} of its records, and the end", self.end + 1 - first),
        })
    }

    /// Reads on in the ring; what it ends with, if that is not the end.
    fn go_on_in(&mut self, ring: &RingReader) -> Result<Option<Problem>, JournalError> {
        let end = loop {
            let next = self.end + 1;
            match ring.read(next) {
                RingRead::Record(record) => self.push(&record)?,
                other => break other,
            }
        };
        let next = self.end + 1;
        let found = match end {
            RingRead::Torn | RingRead::Lapped => "damaged bytes",
            RingRead::NotYet | RingRead::Record(_) => "nothing",
        };
        let problem = ring_problem(ring, next, "an intact record", found);
        if let Some(newest) = ring.newest_intact().filter(|newest| *newest > next) {
            let expected = format!("this record, since the ring holds {newest}");
            return Err(Problem { expected, ..problem }.into());
        }
        Ok(matches!(end, RingRead::Torn | RingRead::Lapped).then_some(problem))
    }

    /// Whether what is wrong in the archive is something a power loss does, and costs nothing that was
    /// durable.
    fn may_cut(
        &self,
        bad: &Problem,
        keep: u64,
        ring: Option<&RingReader>,
        found: RingFound,
    ) -> Result<(), JournalError> {
        let whole_again = self.end > keep && self.behind.is_none_or(|behind| behind <= self.end);
        let partial = bad.offset + RECORD_BYTES as u64 > self.length()?;
        let allowed = match (ring, found) {
            _ if whole_again => true,
            (Some(ring), _) => self.end == keep && keep >= ring.durable(),
            (None, RingFound::Lost | RingFound::Damaged) => true,
            // Everything was durable when the ring was given up.
            (None, RingFound::None | RingFound::Kept) => partial,
        };
        if allowed { Ok(()) } else { Err(bad.clone().into()) }
    }

    fn length(&self) -> Result<u64, JournalError> {
        let metadata = self.path.metadata();
        Ok(metadata.map_err(JournalError::io(&self.path, "read the segment's length"))?.len())
    }
}

/// A segment is packed once the next one is on disk with its head, so the last one is never packed.
fn no_last_segment(dir: &Path, chain: &Chain) -> Problem {
    let (number, sequence) = chain.segments.last().map_or((1, 1), |last| (last.number + 1, last.end()));
    chain.cut.clone().unwrap_or_else(|| Problem {
        file: dir.join(segment_name(number)),
        offset: 0,
        sequence,
        expected: "this segment, since the one before it is closed".to_string(),
        found: "no such file".to_string(),
    })
}

/// Whether a file that is no ring of this version is another file, or another version's.
fn is_foreign(path: &Path) -> Result<bool, JournalError> {
    let file = File::open(path).map_err(JournalError::io(path, "open the ring"))?;
    let mut start = [0; 12];
    match file.read_exact_at(&mut start, 0) {
        Ok(()) => Ok(Header::is_foreign(&start, FileKind::Ring)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(JournalError::io(path, "read the ring")(error)),
    }
}

fn ring_problem(ring: &RingReader, sequence: u64, expected: &str, found: &str) -> Problem {
    Problem {
        file: ring.path().to_path_buf(),
        offset: ring.offset_of(sequence),
        sequence,
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

fn first_sequence_problem(ring: &RingReader, expected: String) -> Problem {
    let (file, found) = (ring.path().to_path_buf(), ring.first_sequence().to_string());
    Problem { file, offset: 48, sequence: 0, expected, found }
}
