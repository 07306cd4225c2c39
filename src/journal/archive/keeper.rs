//! What becomes of closed segments: they are compressed, and the oldest are removed where a limit is set.
//!
//! In a thread of its own that gives way to every other, so that the drain never waits for it. It works from
//! what the folder holds, so whatever was cut is done again by the next start.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::packed::{FRAME_RECORDS, Packer};
use super::segment::{SegmentHead, SegmentReader};
use super::{ArchiveOptions, PACKED, RAW, UNFINISHED, files, named, packed_name, segments};
use crate::event::record::Record;
use crate::journal::JournalError;
use crate::journal::disk::Disk;

/// The lowest priority a thread can have.
const NICE: i32 = 19;
/// Segments that are kept whatever the limits: the one that is written and the one before it.
const KEPT_MIN: usize = 2;

/// Up to where segments may be removed; clones share it. Nothing may at first.
#[derive(Clone, Debug, Default)]
pub struct MayForget(Arc<AtomicU64>);

impl MayForget {
    /// Whatever is up to `sequence` is not needed any more, because a snapshot of a later state is durable. It
    /// only rises.
    pub fn may_forget(&self, sequence: u64) {
        self.0.fetch_max(sequence, Ordering::AcqRel);
    }

    fn sequence(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Segments below this number are closed, and the newest record was received then.
struct Closed {
    below: u64,
    newest_ns: i64,
}

/// Sends word of closed segments to the thread, and waits for it at the end.
#[derive(Debug)]
pub(super) struct Keeper {
    closed: Option<Sender<Closed>>,
    thread: Option<JoinHandle<()>>,
    /// Why a segment could not be packed or removed, if so.
    failed: Arc<Mutex<Option<String>>>,
}

impl Keeper {
    pub fn spawn(
        dir: &Path,
        options: &ArchiveOptions,
        may_forget: MayForget,
    ) -> Result<Keeper, JournalError> {
        let (closed, words) = channel();
        let failed = Arc::new(Mutex::new(None));
        let keeping =
            Keeping { dir: dir.to_path_buf(), options: options.clone(), may_forget, failed: failed.clone() };
        let thread = thread::Builder::new()
            .name("qtx-keeper".to_string())
            .spawn(move || keeping.run(&words))
            .map_err(JournalError::io(dir, "start the thread that keeps segments"))?;
        Ok(Keeper { closed: Some(closed), thread: Some(thread), failed })
    }

    pub fn closed(&self, below: u64, newest_ns: i64) {
        if let Some(closed) = &self.closed {
            let _ = closed.send(Closed { below, newest_ns }); // a thread that died has left segments as they were
        }
    }

    pub fn failed(&self) -> Option<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Waits until every closed segment is as it should be: the same records leave the same files.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.closed = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // its panic leaves segments as they were
        }
    }
}

struct Keeping {
    dir: PathBuf,
    options: ArchiveOptions,
    may_forget: MayForget,
    failed: Arc<Mutex<Option<String>>>,
}

impl Keeping {
    fn run(&self, words: &Receiver<Closed>) {
        // Refused only where priorities can't be changed at all; then it is an ordinary thread.
        let _ = rustix::process::setpriority_process(None, NICE);
        for closed in words {
            let kept = self.pack_all(closed.below).and_then(|()| self.forget(closed.newest_ns));
            // What failed is tried again with the next segment.
            let failed = kept.err().map(|error| error.to_string());
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        }
    }

    /// Packs what is raw below a number, oldest first.
    fn pack_all(&self, below: u64) -> Result<(), JournalError> {
        if !self.options.compress {
            return Ok(());
        }
        let disk = &*self.options.disk;
        let files = files(&self.dir)?;
        let raw: Vec<u64> = files.iter().filter(|(_, suffix)| *suffix == RAW).map(|(n, _)| *n).collect();
        // What was not finished is made again; a raw one says that it was not.
        for (number, suffix) in &files {
            if *suffix == UNFINISHED || (*suffix == PACKED && raw.contains(number)) {
                remove(disk, &self.dir.join(named(*number, suffix)))?;
            }
        }
        let mut closed: Vec<u64> = raw.into_iter().filter(|number| *number < below).collect();
        closed.sort_unstable();
        closed.into_iter().try_for_each(|number| pack(disk, &self.dir, number))
    }

    /// Removes the oldest segments while they are too many or too old, and nobody needs them.
    fn forget(&self, newest_ns: i64) -> Result<(), JournalError> {
        let ArchiveOptions { max_bytes, max_age_ns, disk, .. } = &self.options;
        if *max_bytes == 0 && *max_age_ns == 0 {
            return Ok(());
        }
        let mut held = segments(&self.dir)?;
        while held.len() > KEPT_MIN {
            // What follows a segment tells where it ends, and when.
            let Ok(next) = SegmentHead::read(&held[1].1)? else { return Ok(()) };
            let last = next.first_sequence.saturating_sub(1);
            let ended_ns = SegmentReader::open(&next)?.next(next.first_sequence)?;
            let age = ended_ns.map_or(0, |(record, _)| newest_ns.saturating_sub(record.recv_ns));
            let mut bytes = 0;
            for (_, path) in &held {
                bytes +=
                    fs::metadata(path).map_err(JournalError::io(path, "read the segment's length"))?.len();
            }
            let too_many = *max_bytes > 0 && bytes > *max_bytes;
            let too_old = *max_age_ns > 0 && age > *max_age_ns;
            if last > self.may_forget.sequence() || !(too_many || too_old) {
                return Ok(());
            }
            remove(&**disk, &held[0].1)?;
            // Each for good before the next: a hole would look like damage.
            disk.sync_dir(&self.dir).map_err(JournalError::io(&self.dir, "sync the folder"))?;
            held.remove(0);
        }
        Ok(())
    }
}

fn remove(disk: &dyn Disk, path: &Path) -> Result<(), JournalError> {
    disk.remove(path).map_err(JournalError::io(path, "remove the file"))
}

/// Makes the compressed form of a closed segment, which then takes the raw one's place.
fn pack(disk: &dyn Disk, dir: &Path, number: u64) -> Result<(), JournalError> {
    let raw = dir.join(named(number, RAW));
    let head = SegmentHead::read(&raw)??;
    let temporary = dir.join(named(number, UNFINISHED));
    let packed = dir.join(packed_name(number));
    let io = |error: io::Error| JournalError::io(&temporary, "pack the segment")(error);
    let file = disk.create(&temporary).map_err(io)?;
    let mut offset = 0;
    let mut write = |bytes: &[u8]| {
        let written = disk.write_at(&file, bytes, offset);
        offset += bytes.len() as u64;
        written
    };
    let mut packer = Packer::new().map_err(io)?;
    let mut frames = Frames::new(&head)?;
    while let Some((first, recv_ns, bytes)) = frames.next()? {
        let frame = packer.pack(&bytes, first, recv_ns).map_err(io)?;
        write(&frame).map_err(io)?;
    }
    let index = packer.index().map_err(io)?;
    write(&index).map_err(io)?;
    disk.sync(&file).and_then(|()| disk.rename(&temporary, &packed)).map_err(io)?;
    disk.sync_dir(dir).map_err(io)?;
    remove(disk, &raw)
}

/// A segment in pieces of a frame each, all checked.
struct Frames {
    reader: SegmentReader,
    header: Option<Vec<u8>>,
    next: u64,
    end: u64,
}

impl Frames {
    fn new(head: &SegmentHead) -> Result<Frames, JournalError> {
        let mut header = vec![0; head.header_bytes as usize];
        let file = File::open(&head.path).map_err(JournalError::io(&head.path, "open the segment"))?;
        file.read_exact_at(&mut header, 0).map_err(JournalError::io(&head.path, "read the segment"))?;
        let reader = SegmentReader::open(head)?;
        Ok(Frames { reader, header: Some(header), next: head.first_sequence, end: head.end() })
    }

    /// First sequence number, its time, and the bytes.
    fn next(&mut self) -> Result<Option<(u64, i64, Vec<u8>)>, JournalError> {
        if let Some(header) = self.header.take() {
            return Ok(Some((self.next, 0, header)));
        }
        let first = self.next;
        let mut records: Vec<Record> = Vec::with_capacity(FRAME_RECORDS as usize);
        while self.next < self.end && records.len() < FRAME_RECORDS as usize {
            let Some((record, _)) = self.reader.next(self.next)? else { break };
            records.push(record);
            self.next += 1;
        }
        let Some(head) = records.first() else { return Ok(None) };
        Ok(Some((first, head.recv_ns, bytemuck::cast_slice(&records).to_vec())))
    }
}
