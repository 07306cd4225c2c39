//! The journal on disk: `segment-000001.qtj` and so on, each a header, what is in force and records
//! verbatim; closed ones compressed, as `segment-000001.qtj.zst`.
//!
//! Nothing in a segment depends on the machine, the path, the wall clock or the build profile: the
//! same simulated input gives the same bytes.

mod chain;
mod keeper;
mod packed;
mod preamble;
mod read;
mod segment;
mod write;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub(super) use chain::Chain;
pub use keeper::MayForget;
pub use packed::FRAME_RECORDS;
pub use preamble::Preamble;
pub use read::{ArchiveReader, From, Place};
pub(super) use segment::{SegmentHead, SegmentReader};
pub use write::{ArchiveOptions, ArchiveWriter};

use super::JournalError;

/// Records from which a segment ends before the next event, 128 MiB: about an hour of two busy
/// instruments, and small enough to be checked, copied, compressed or dropped as a whole.
pub const SEGMENT_RECORDS: u64 = 1 << 20;

const RAW: &str = ".qtj";
const PACKED: &str = ".qtj.zst";
/// A file that is being packed.
const UNFINISHED: &str = ".qtj.zst.tmp";

/// Name of a segment, from 1.
pub fn segment_name(number: u64) -> String {
    named(number, RAW)
}

/// Name of a segment once it is compressed.
pub fn packed_name(number: u64) -> String {
    named(number, PACKED)
}

fn named(number: u64, suffix: &str) -> String {
    format!("segment-{number:06}{suffix}")
}

/// Segments in a folder: numbers and paths, in order. Where a segment is there in both forms, packing it
/// was cut, and the raw one counts.
pub fn segments(dir: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let mut found = BTreeMap::new();
    for (number, suffix) in files(dir)? {
        let path = dir.join(named(number, suffix));
        match suffix {
            RAW => drop(found.insert(number, path)),
            PACKED => drop(found.entry(number).or_insert(path)),
            _ => {}
        }
    }
    Ok(found.into_iter().collect())
}

/// Every file of an archive, finished or not.
pub(super) fn all_files(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    Ok(files(dir)?.into_iter().map(|(number, suffix)| dir.join(named(number, suffix))).collect())
}

/// Every file of ours in the folder: its number and what its name ends with.
fn files(dir: &Path) -> Result<Vec<(u64, &'static str)>, JournalError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(JournalError::io(dir, "list the folder"))? {
        let name = entry.map_err(JournalError::io(dir, "list the folder"))?.file_name();
        found.extend(name.to_str().and_then(parse_name));
    }
    Ok(found)
}

fn parse_name(name: &str) -> Option<(u64, &'static str)> {
    let rest = name.strip_prefix("segment-")?;
    let suffix = [UNFINISHED, PACKED, RAW].into_iter().find(|suffix| rest.ends_with(suffix))?;
    let number = rest.strip_suffix(suffix)?.parse().ok()?;
    (named(number, suffix) == name).then_some((number, suffix))
}

/// The file of a segment, in whichever form.
pub(super) fn find(dir: &Path, number: u64) -> Option<PathBuf> {
    let (raw, packed) = (dir.join(segment_name(number)), dir.join(packed_name(number)));
    // In this order, and the first one again: it is removed after the other was made.
    [&raw, &packed, &raw].into_iter().find(|path| path.exists()).cloned()
}

fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "zst")
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
