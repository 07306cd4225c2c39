//! A journal's folder.
//!
//! | entry | is |
//! |---|---|
//! | `segment-000001.qtj` … | the archive |
//! | `ring` | the ring, or a symbolic link to it where it is kept in memory |
//! | `lock` | locked while a process writes this journal |
//!
//! Other files may lie beside them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::archive::{ArchiveOptions, ArchiveWriter, all_files, segments};
use super::drain::DrainReport;
use super::ring::{RingConfig, RingReader, RingWriter};
use super::{Identity, JournalError, Problem};

const RING: &str = "ring";
const LOCK: &str = "lock";

/// A journal's folder, held by this process until it is dropped.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    _lock: File,
}

impl Folder {
    /// A folder whose lock is held.
    pub(super) fn locked(dir: &Path, lock: File) -> Result<Folder, JournalError> {
        // Absolute, so that the ring's name and link do not depend on where the process stands.
        let dir = dir.canonicalize().map_err(JournalError::io(dir, "resolve the folder"))?;
        Ok(Folder { dir, _lock: lock })
    }

    /// Makes the folder, and those above it, or takes one that holds no journal yet.
    pub fn create(dir: &Path) -> Result<Folder, JournalError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                JournalError::NotAFolder { dir: dir.to_path_buf() }
            }
            _ => JournalError::io(dir, "create the folder")(source),
        })?;
        let lock = lock(dir)?;
        if let Some((_, path)) = segments(dir)?.first() {
            return Err(occupied(dir, path));
        }
        let ring = dir.join(RING);
        if ring.symlink_metadata().is_ok() {
            return Err(occupied(dir, &ring));
        }
        Folder::locked(dir, lock)
    }

    /// Like [`Folder::create`], but removes the journal the folder holds; never one that a process
    /// is writing. Other files stay.
    pub fn replace(dir: &Path) -> Result<Folder, JournalError> {
        if dir.is_dir() {
            let _lock = lock(dir)?;
            let ring = dir.join(RING);
            let target = fs::read_link(&ring).ok();
            for path in all_files(dir)?.into_iter().chain(target).chain([ring]) {
                remove_if_there(&path, "remove the old journal")?;
            }
        }
        Folder::create(dir)
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Creates the ring of `slots` records: in `ring_dir` with a link to it, or in the folder.
    pub fn create_ring(
        &self,
        ring_dir: Option<&Path>,
        slots: u64,
        identity: &Identity,
    ) -> Result<RingWriter, JournalError> {
        self.create_ring_after(ring_dir, slots, identity, 0)
    }

    /// As [`Folder::create_ring`], for a journal that goes on behind `last_sequence`. It takes the place
    /// of the ring before it, whose records the archive must have: [`Folder::resume`] saw to that.
    ///
    /// The start's segment must be there already ([`ArchiveWriter::begin`]): a ring whose start the
    /// archive does not know is believed only if it begins where the archive ends.
    pub fn create_ring_after(
        &self,
        ring_dir: Option<&Path>,
        slots: u64,
        identity: &Identity,
        last_sequence: u64,
    ) -> Result<RingWriter, JournalError> {
        self.remove_ring()?;
        let link = self.dir.join(RING);
        let create =
            |path: PathBuf| RingWriter::create_after(&RingConfig { path, slots }, identity, last_sequence);
        let Some(ring_dir) = ring_dir else { return create(link) };
        let ring_dir =
            ring_dir.canonicalize().map_err(JournalError::io(ring_dir, "resolve the ring's folder"))?;
        let path = ring_dir.join(self.ring_name());
        // We hold the lock of the only folder this name belongs to and that folder has no ring, so a
        // file here was left by a journal that was deleted.
        remove_if_there(&path, "remove the ring of a deleted journal")?;
        let writer = create(path.clone())?;
        if let Err(error) = std::os::unix::fs::symlink(&path, &link) {
            let _ = fs::remove_file(&path); // unreachable without its link
            return Err(JournalError::io(&link, "link the ring")(error));
        }
        Ok(writer)
    }

    /// Removes the ring, whose records the archive must have. The link goes last: without it nobody
    /// would find the memory again.
    pub(super) fn remove_ring(&self) -> Result<(), JournalError> {
        let link = self.dir.join(RING);
        if let Ok(target) = fs::read_link(&link) {
            remove_if_there(&target, "remove the drained ring")?;
        }
        remove_if_there(&link, "remove the drained ring")
    }

    /// Starts the archive.
    pub fn create_archive(&self, identity: &Identity) -> Result<ArchiveWriter, JournalError> {
        ArchiveWriter::create(&self.dir, identity)
    }

    /// As [`Folder::create_archive`], written as `options` say.
    pub fn create_archive_with(
        &self,
        identity: &Identity,
        options: ArchiveOptions,
    ) -> Result<ArchiveWriter, JournalError> {
        ArchiveWriter::with_options(&self.dir, identity, options)
    }

    /// Ends a journal: once the archive has everything on disk the ring is removed, since memory is
    /// scarcer than disk. After a drain that failed the ring is kept and is part of the journal.
    pub fn close(self, report: &DrainReport, last_sequence: u64) -> Result<(), JournalError> {
        if report.error.is_some() || report.durable_sequence < last_sequence {
            return Ok(());
        }
        self.remove_ring()
    }

    /// One name for each folder path: 64 bits of FNV-1a, which is the same in every build.
    fn ring_name(&self) -> String {
        let hash = self.dir.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("qtx-{hash:016x}.ring")
    }
}

/// Where the ring of a folder is.
#[derive(Debug)]
pub(super) enum RingState {
    /// Closed in order: everything is in the archive.
    None,
    /// The link leads nowhere: the memory it was kept in is gone.
    Lost(PathBuf),
    Open(RingReader, Identity),
    Damaged(Problem),
}

pub(super) fn open_ring(dir: &Path) -> RingState {
    let link = dir.join(RING);
    if link.symlink_metadata().is_err() {
        return RingState::None;
    }
    let path = fs::read_link(&link).unwrap_or(link);
    if !path.exists() {
        return RingState::Lost(path);
    }
    match RingReader::open_with_identity(&path) {
        Ok((reader, identity)) => RingState::Open(reader, identity),
        Err(JournalError::Damaged(problem)) => RingState::Damaged(*problem),
        Err(error) => RingState::Damaged(Problem {
            file: path,
            offset: 0,
            sequence: 0,
            expected: "a ring that can be read".to_string(),
            found: error.to_string(),
        }),
    }
}

/// Whether a process is writing this journal.
pub(super) fn is_live(dir: &Path) -> bool {
    let Ok(file) = File::open(dir.join(LOCK)) else { return false };
    matches!(flock(&file, FlockOperation::NonBlockingLockShared), Err(Errno::WOULDBLOCK))
}

pub(super) fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(JournalError::io(&path, "write to the folder"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(JournalError::Locked { dir: dir.to_path_buf() }),
        Err(errno) => Err(JournalError::io(&path, "lock the folder")(errno.into())),
    }
}

fn remove_if_there(path: &Path, doing: &'static str) -> Result<(), JournalError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(JournalError::io(path, doing)(error)),
        _ => Ok(()),
    }
}

fn occupied(dir: &Path, path: &Path) -> JournalError {
    let found = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    JournalError::Occupied { dir: dir.to_path_buf(), found }
}
