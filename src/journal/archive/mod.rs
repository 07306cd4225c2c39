//! The journal on disk: `segment-000001.qtj` and so on, each a header and records verbatim.
//!
//! Nothing in a segment depends on the machine, the path, the wall clock or the build profile: the
//! same simulated input gives the same bytes.

mod chain;
mod read;
mod write;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub(super) use chain::{Chain, SegmentHead, read_head};
pub(super) use read::SegmentReader;
pub use read::{ArchiveReader, Place};
pub use write::{ArchiveOptions, ArchiveWriter};

use super::JournalError;

/// Records from which a segment ends before the next event, 128 MiB: about an hour of two busy
/// instruments, and small enough to be checked, copied, compressed or dropped as a whole.
pub const SEGMENT_RECORDS: u64 = 1 << 20;

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

/// Fills `bytes` from `offset`, or as far as the file goes.
fn read_up_to(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < bytes.len() {
        match file.read_at(&mut bytes[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
