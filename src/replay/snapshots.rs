//! Snapshots on disk: `snapshot-00000000000001048576.qts`, named by the last record they contain.
//!
//! A snapshot is a shortcut and may be missing, cut or damaged: a start then takes an older one, or reads
//! the journal from its beginning. It becomes visible only when the records it stands for are durable.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use crate::engine::Engine;

/// Records between two snapshots: a start reads no more than these again, a fraction of a second.
pub const SNAPSHOT_RECORDS: u64 = 1 << 18;
/// Snapshots kept: the newest, and one more should that be damaged.
const KEPT: usize = 2;

fn name(sequence: u64) -> String {
    format!("snapshot-{sequence:020}.qts")
}

fn sequence_of(file: &str) -> Option<u64> {
    let sequence = file.strip_prefix("snapshot-")?.strip_suffix(".qts")?.parse().ok()?;
    (name(sequence) == file).then_some(sequence)
}

/// Snapshots in a folder, newest first.
pub(super) fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let sequence = entry.file_name().to_str().and_then(sequence_of);
        found.extend(sequence.map(|sequence| (sequence, entry.path())));
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// The newest engine that can be read back and stands for records up to `last` at most, with the
/// sequence number it goes on behind. `notes` says why others were passed over.
pub(super) fn newest(dir: &Path, last: u64, notes: &mut Vec<String>) -> io::Result<Option<(Engine, u64)>> {
    for (sequence, path) in list(dir)? {
        if sequence > last {
            notes.push(format!("{}: ahead of the journal, which ends at {last}", path.display()));
            continue;
        }
        match Engine::restore(&fs::read(&path)?) {
            Ok((engine, inside)) if inside == sequence => return Ok(Some((engine, sequence))),
            Ok((_, inside)) => {
                notes.push(format!("{}: it is of sequence {inside}", path.display()));
            }
            Err(error) => notes.push(format!("{}: {error}", path.display())),
        }
    }
    Ok(None)
}

/// The engine to begin a replay with that is to compare from `from` on, where there is one, with the
/// sequence number it goes on behind. A journal whose beginning is gone, of which `first` is the first record
/// left, can only be begun at a snapshot, if need be at a later one.
pub(super) fn to_begin_with(dir: &Path, from: u64, first: u64) -> io::Result<Option<(Engine, u64)>> {
    let found = newest(dir, from.saturating_sub(1), &mut Vec::new())?;
    let usable = |(_, sequence): &(Engine, u64)| *sequence + 1 >= first;
    match found.filter(usable) {
        Some(found) => Ok(Some(found)),
        None if first > 1 => {
            let all = list(dir)?;
            let oldest = all.iter().rev().find(|(sequence, _)| *sequence + 1 >= first);
            let Some((sequence, path)) = oldest else { return Ok(None) };
            Ok(Engine::restore(&fs::read(path)?).ok().filter(|(_, inside)| inside == sequence))
        }
        None => Ok(None),
    }
}

/// Removes every snapshot of a folder: a new journal begins there, and they are of another.
///
/// # Errors
/// If the folder can't be read or a file not be removed.
pub fn forget_snapshots(dir: &Path) -> io::Result<()> {
    list(dir)?.into_iter().try_for_each(|(_, path)| fs::remove_file(path))
}

/// Removes every snapshot beyond `last`: the journal they stood for is gone.
pub(super) fn remove_beyond(dir: &Path, last: u64) -> io::Result<()> {
    for (sequence, path) in list(dir)? {
        if sequence > last {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Writes snapshots in a thread of its own: a slow disk must not hold up whoever took them.
#[derive(Debug)]
pub(super) struct SnapshotWriter {
    jobs: Option<SyncSender<(u64, Vec<u8>)>>,
    thread: Option<JoinHandle<()>>,
}

impl SnapshotWriter {
    /// `kept` is told, after each, up to where the journal is no longer needed for a start; `failed` what
    /// went wrong.
    pub fn spawn(
        dir: PathBuf,
        kept: impl Fn(u64) + Send + 'static,
        failed: impl Fn(String) + Send + 'static,
    ) -> io::Result<SnapshotWriter> {
        let (jobs, queue) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("qtx-snapshot".to_owned())
            .spawn(move || write_all(&dir, &queue, &kept, &failed))?;
        Ok(SnapshotWriter { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Hands a snapshot over; given back if the one before is still being written.
    pub fn write(&self, sequence: u64, bytes: Vec<u8>) -> Result<(), Vec<u8>> {
        match self.jobs.as_ref().map(|jobs| jobs.try_send((sequence, bytes))) {
            Some(Err(TrySendError::Full((_, bytes)))) => Err(bytes),
            _ => Ok(()),
        }
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_all(dir: &Path, queue: &Receiver<(u64, Vec<u8>)>, kept: &impl Fn(u64), failed: &impl Fn(String)) {
    while let Ok((sequence, bytes)) = queue.recv() {
        match write(dir, sequence, &bytes).and_then(|()| forget_old(dir)) {
            Ok(oldest) => kept(oldest),
            Err(error) => failed(format!("{}: {error}", dir.join(name(sequence)).display())),
        }
    }
}

/// Under another name until it is whole and on disk.
fn write(dir: &Path, sequence: u64, bytes: &[u8]) -> io::Result<()> {
    let path = dir.join(name(sequence));
    let begun = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&begun)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&begun, &path)?;
    File::open(dir)?.sync_all()
}

/// Keeps the newest; the sequence number of the oldest kept.
fn forget_old(dir: &Path) -> io::Result<u64> {
    let found = list(dir)?;
    for (_, path) in found.iter().skip(KEPT) {
        fs::remove_file(path)?;
    }
    let kept = &found[..found.len().min(KEPT)];
    Ok(kept.last().map_or(0, |(sequence, _)| *sequence))
}
