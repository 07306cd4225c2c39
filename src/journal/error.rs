//! What can be wrong with a journal, in words an operator can act on.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Why a journal can't be created, written or read. Each prints as one line.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{}: can't {doing}: {source}", path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
    #[error("{}: no space: {wanted_bytes} bytes wanted, {available_bytes} available", path.display())]
    Space { path: PathBuf, wanted_bytes: u64, available_bytes: u64 },
    #[error("{}: {slots} slots: a ring has a power of two of them, from {min}", path.display())]
    RingSlots { path: PathBuf, slots: u64, min: u64 },
    #[error("{}: not a folder", dir.display())]
    NotAFolder { dir: PathBuf },
    #[error("{}: already holds a journal ({found}); give an empty folder", dir.display())]
    Occupied { dir: PathBuf, found: String },
    #[error("{}: another process is writing this journal", dir.display())]
    Locked { dir: PathBuf },
    #[error("{}: no journal here: neither a segment nor a ring", dir.display())]
    NoJournal { dir: PathBuf },
    #[error("{}: epoch {given} is not above {last}, the journal's last", dir.display())]
    Epoch { dir: PathBuf, last: u32, given: u32 },
    #[error("{0}")]
    Damaged(Box<Problem>),
}

impl JournalError {
    /// The system's error number; 0 where it has none.
    pub fn system_error(&self) -> i32 {
        match self {
            JournalError::Io { source, .. } => source.raw_os_error().unwrap_or(0),
            _ => 0,
        }
    }

    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> JournalError {
        move |source| JournalError::Io { path: path.to_path_buf(), doing, source }
    }
}

impl From<Problem> for JournalError {
    fn from(problem: Problem) -> Self {
        JournalError::Damaged(Box::new(problem))
    }
}

/// Something in a journal that is not as it was written: where, what should be there, what is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub file: PathBuf,
    /// Byte offset in the file.
    pub offset: u64,
    /// Sequence number it concerns; 0 for a header.
    pub sequence: u64,
    pub expected: String,
    pub found: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: byte {}", self.file.display(), self.offset)?;
        if self.sequence != 0 {
            write!(f, ", sequence {}", self.sequence)?;
        }
        write!(f, ": expected {}, found {}", self.expected, self.found)
    }
}
