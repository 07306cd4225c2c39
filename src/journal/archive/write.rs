//! Writing the archive.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::keeper::{Keeper, MayForget};
use super::preamble::{Preamble, changes_config};
use super::{SEGMENT_RECORDS, SegmentHead, segment_name};
use crate::event::record::{RECORD_BYTES, Record};
use crate::journal::disk::{Disk, RealDisk};
use crate::journal::header::{FileKind, HEADER_BYTES, Header};
use crate::journal::{Identity, JournalError};

/// How an archive is written.
#[derive(Clone, Debug)]
pub struct ArchiveOptions {
    /// Records from which a segment ends before the next event; at least one.
    pub segment_records: u64,
    pub disk: Arc<dyn Disk>,
    /// Compress closed segments.
    pub compress: bool,
    /// Bytes on disk above which the oldest segments are removed; 0 for no limit.
    pub max_bytes: u64,
    /// Nanoseconds before the newest record after which a segment is removed; 0 for no limit.
    pub max_age_ns: i64,
}

impl Default for ArchiveOptions {
    fn default() -> ArchiveOptions {
        ArchiveOptions {
            segment_records: SEGMENT_RECORDS,
            disk: Arc::new(RealDisk),
            compress: true,
            max_bytes: 0,
            max_age_ns: 0,
        }
    }
}

/// Appends records to segments.
#[derive(Debug)]
pub struct ArchiveWriter {
    dir: PathBuf,
    options: ArchiveOptions,
    identity: Identity,
    number: u64,
    path: PathBuf,
    file: File,
    /// Of header and preamble of the current segment.
    header_bytes: u64,
    /// Records in the current segment.
    held: u64,
    next_sequence: u64,
    /// Last sequence number that survives a power loss; of the current segment, or the one before its first.
    durable: u64,
    bytes: u64,
    /// The next segment's file was created, and not finished.
    unfinished: bool,
    /// In force behind the last record.
    preamble: Preamble,
    /// Of the last record.
    newest_ns: i64,
    may_forget: MayForget,
    /// Once there is a closed segment to look after.
    keeper: Option<Keeper>,
}

impl ArchiveWriter {
    /// Starts the archive of a folder that has none.
    pub fn create(dir: &Path, identity: &Identity) -> Result<ArchiveWriter, JournalError> {
        Self::with_options(dir, identity, ArchiveOptions::default())
    }

    /// As [`ArchiveWriter::create`], with segments of another length that stay as they are.
    pub fn with_segment_records(
        dir: &Path,
        identity: &Identity,
        segment_records: u64,
    ) -> Result<ArchiveWriter, JournalError> {
        let options = ArchiveOptions { segment_records, compress: false, ..ArchiveOptions::default() };
        Self::with_options(dir, identity, options)
    }

    pub fn with_options(
        dir: &Path,
        identity: &Identity,
        options: ArchiveOptions,
    ) -> Result<ArchiveWriter, JournalError> {
        let bytes = HEADER_BYTES as u64;
        let path = dir.join(segment_name(1));
        let file = options.disk.create(&path).map_err(JournalError::io(&path, "create the segment"))?;
        let header = Header::new(FileKind::Segment, identity, 1, 1);
        write_header(&*options.disk, &path, &file, bytemuck::bytes_of(&header))?;
        let (dir, identity) = (dir.to_path_buf(), *identity);
        Ok(ArchiveWriter {
            dir,
            options,
            identity,
            number: 1,
            path,
            file,
            header_bytes: HEADER_BYTES as u64,
            held: 0,
            next_sequence: 1,
            durable: 0,
            bytes,
            unfinished: false,
            preamble: Preamble::default(),
            newest_ns: 0,
            may_forget: MayForget::default(),
            keeper: None,
        })
    }

    /// Goes on in the last segment behind `last_sequence`; what is there already is cut off.
    /// `bytes_before` are those of the segments before it, and `preamble` is in force there.
    pub(in crate::journal) fn go_on(
        dir: &Path,
        options: ArchiveOptions,
        segment: &SegmentHead,
        last_sequence: u64,
        bytes_before: u64,
        preamble: Preamble,
    ) -> Result<ArchiveWriter, JournalError> {
        let path = segment.path.clone();
        let file = options.disk.open(&path).map_err(JournalError::io(&path, "open the segment"))?;
        let mut archive = ArchiveWriter {
            dir: dir.to_path_buf(),
            options,
            identity: segment.identity,
            number: segment.number,
            path,
            file,
            header_bytes: segment.header_bytes,
            held: last_sequence + 1 - segment.first_sequence,
            next_sequence: last_sequence + 1,
            durable: segment.first_sequence - 1,
            bytes: bytes_before,
            unfinished: false,
            preamble,
            newest_ns: 0,
            may_forget: MayForget::default(),
            keeper: None,
        };
        archive.bytes += archive.segment_bytes();
        if segment.bytes != archive.segment_bytes() {
            archive.truncate()?;
        }
        if segment.number > 1 {
            archive.keep()?; // what a start before left undone
        }
        Ok(archive)
    }

    /// Takes the records behind `last_sequence`, all of the current segment, off its end.
    pub(in crate::journal) fn cut_behind(&mut self, last_sequence: u64) -> Result<(), JournalError> {
        self.go_back_to(last_sequence);
        self.truncate()
    }

    /// After a failure: back to what is durable, so that what was written behind it is written again.
    pub(in crate::journal) fn rewind(&mut self) {
        self.go_back_to(self.durable);
    }

    fn go_back_to(&mut self, last_sequence: u64) {
        let gone = self.last_sequence() - last_sequence;
        self.held -= gone;
        self.next_sequence -= gone;
        self.bytes -= gone * RECORD_BYTES as u64;
        self.durable = self.durable.min(last_sequence);
    }

    fn truncate(&self) -> Result<(), JournalError> {
        let cut = self.options.disk.truncate(&self.file, self.segment_bytes());
        cut.map_err(JournalError::io(&self.path, "cut the segment"))
    }

    /// Bytes of the current segment, which is where the next record goes.
    fn segment_bytes(&self) -> u64 {
        self.header_bytes + self.held * RECORD_BYTES as u64
    }

    /// Ends the current segment and begins the next with the identity of a new start, whose epoch must
    /// be above the one before. Its first record is to be RunStart.
    ///
    /// The segment is on disk when this returns; only then may the start's ring be created.
    pub fn begin(&mut self, identity: &Identity) -> Result<(), JournalError> {
        if identity.epoch <= self.identity.epoch {
            let (last, given) = (self.identity.epoch, identity.epoch);
            return Err(JournalError::Epoch { dir: self.dir.clone(), last, given });
        }
        self.next_segment(identity, false)
    }

    /// Writes records, which must continue the sequence. Not durable before [`ArchiveWriter::sync`].
    /// After an error the archive ends somewhere in these records.
    pub fn append(&mut self, mut records: &[Record]) -> Result<(), JournalError> {
        while let Some(first) = records.first() {
            assert_eq!(first.sequence, self.next_sequence, "the archive has no holes");
            if self.is_full_for(first, self.held) {
                let identity = self.identity;
                self.next_segment(&identity, true)?;
            }
            let (now, later) = records.split_at(self.before_rotation(records));
            let bytes: &[u8] = bytemuck::cast_slice(now);
            self.options
                .disk
                .write_at(&self.file, bytes, self.segment_bytes())
                .map_err(JournalError::io(&self.path, "append to the archive"))?;
            self.held += now.len() as u64;
            self.next_sequence += now.len() as u64;
            self.bytes += bytes.len() as u64;
            for record in now {
                self.preamble.take(record);
            }
            self.newest_ns = now.last().map_or(self.newest_ns, |record| record.recv_ns);
            records = later;
        }
        Ok(())
    }

    /// How many of these records, at least one, go into the current segment.
    fn before_rotation(&self, records: &[Record]) -> usize {
        let later = records.iter().enumerate().skip(1);
        let full = |(at, record): &(usize, &Record)| self.is_full_for(record, self.held + *at as u64);
        later.into_iter().find(full).map_or(records.len(), |(at, _)| at)
    }

    /// Whether a segment of so many records ends before this one: never inside what an event caused, and
    /// always before what is in force changes.
    fn is_full_for(&self, record: &Record, held: u64) -> bool {
        let begins_event = !record.is_output() && record.part == 0;
        begins_event && held > 0 && (held >= self.options.segment_records || changes_config(record))
    }

    /// Returns when everything appended survives a power loss.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.options.disk.sync(&self.file).map_err(JournalError::io(&self.path, "sync the archive"))?;
        self.durable = self.last_sequence();
        Ok(())
    }

    /// Last sequence number that survives a power loss, as far as this writer knows.
    pub fn durable_sequence(&self) -> u64 {
        self.durable
    }

    pub(in crate::journal) fn sync_dir(&self) -> Result<(), JournalError> {
        self.options.disk.sync_dir(&self.dir).map_err(JournalError::io(&self.dir, "sync the folder"))
    }

    /// Last sequence number written; 0 for none.
    pub fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    /// Whose records are appended now.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Bytes of the archive, headers included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Records up to `sequence` are not needed any more, because a snapshot of a later state is durable:
    /// the oldest segments may go if there are limits.
    pub fn may_forget(&self, sequence: u64) {
        self.may_forget.may_forget(sequence);
    }

    /// [`ArchiveWriter::may_forget`] for another thread.
    pub fn forgetting(&self) -> MayForget {
        self.may_forget.clone()
    }

    /// Why the last closed segment could not be compressed, or an old one not removed: neither keeps the
    /// archive from being written.
    pub fn keeping_failed(&self) -> Option<String> {
        self.keeper.as_ref().and_then(Keeper::failed)
    }

    fn next_segment(&mut self, identity: &Identity, goes_on: bool) -> Result<(), JournalError> {
        self.sync()?;
        let number = self.number + 1;
        let path = self.dir.join(segment_name(number));
        let disk = &*self.options.disk;
        if self.unfinished {
            let removed = disk.remove(&path);
            removed.map_err(JournalError::io(&path, "remove the segment that was not finished"))?;
            self.unfinished = false;
        }
        let preamble = if goes_on { self.preamble.bytes() } else { Vec::new() };
        let length = u32::try_from(preamble.len()).unwrap_or(u32::MAX); // bounded by the instruments' ids
        let header = Header::with_preamble(FileKind::Segment, identity, number, self.next_sequence, length);
        let head = [bytemuck::bytes_of(&header), &preamble].concat();
        let file = disk.create(&path).map_err(JournalError::io(&path, "create the segment"))?;
        self.unfinished = true;
        write_header(disk, &path, &file, &head)?;
        self.unfinished = false;
        (self.number, self.path, self.file, self.held) = (number, path, file, 0);
        self.header_bytes = head.len() as u64;
        self.identity = *identity;
        self.bytes += self.header_bytes;
        self.keep()
    }

    /// Has closed segments looked after, where there is something to do.
    fn keep(&mut self) -> Result<(), JournalError> {
        let ArchiveOptions { compress, max_bytes, max_age_ns, .. } = self.options;
        if !compress && max_bytes == 0 && max_age_ns == 0 {
            return Ok(());
        }
        let keeper = match self.keeper.take() {
            Some(keeper) => keeper,
            None => Keeper::spawn(&self.dir, &self.options, self.may_forget.clone())?,
        };
        keeper.closed(self.number, self.newest_ns);
        self.keeper = Some(keeper);
        Ok(())
    }
}

/// Returns when the head and the folder's entry are on disk.
fn write_header(disk: &dyn Disk, path: &Path, file: &File, head: &[u8]) -> Result<(), JournalError> {
    disk.write_at(file, head, 0)
        .and_then(|()| disk.sync(file))
        .and_then(|()| disk.sync_dir(path.parent().unwrap_or(Path::new("."))))
        .map_err(JournalError::io(path, "write the segment's header"))
}
