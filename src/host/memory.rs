//! Memory that is there before it is needed: the first touch of a page costs microseconds, and needs no
//! permission to be done beforehand, unlike keeping the page from being paged out (`thread::lock_memory`).
#![allow(unsafe_code)]

use std::fs;
use std::io;

use rustix::mm::{Advice, madvise};

/// The mappings of this process (proc(5)).
const MAPS: &str = "/proc/self/maps";

/// Gives every page of the process's own memory, stacks of its threads included, its frame now. What is
/// allocated later by growing the process is not in it. Returns how many bytes were looked at.
///
/// # Errors
/// The mappings can't be read. A mapping that can't be populated (older kernels than 5.14) is passed over.
pub fn populate() -> io::Result<u64> {
    let maps = fs::read_to_string(MAPS)?;
    Ok(maps.lines().filter_map(private_memory).map(|(start, bytes)| fault_in(start, bytes)).sum())
}

/// Start and length of a mapping that is ours to write and no file's: `start-end rw-p offset dev 0 …`.
fn private_memory(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let (permissions, inode) = (words.next()?, words.nth(2)?);
    if permissions != "rw-p" || inode != "0" {
        return None;
    }
    let start = usize::from_str_radix(start, 16).ok()?;
    let bytes = usize::from_str_radix(end, 16).ok()?.checked_sub(start)?;
    Some((start, bytes))
}

fn fault_in(start: usize, bytes: usize) -> u64 {
    let pages = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: populating changes neither the content of a page nor what is mapped; of a range that is not
    // mapped any more the call says so, and nothing else happens.
    match unsafe { madvise(pages, bytes, Advice::LinuxPopulateWrite) } {
        Ok(()) => bytes as u64,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::thread::page_faults;

    #[test]
    fn memory_that_was_populated_does_not_fault() {
        const PAGES: usize = 256;
        // Large enough for a mapping of its own, and never written.
        let mut bytes = vec![0u8; PAGES * 4096];
        assert!(populate().unwrap() >= bytes.len() as u64);
        let before = page_faults();
        bytes.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        std::hint::black_box(&bytes);
        let faults = page_faults() - before;
        assert!(faults < PAGES as u64 / 8, "{faults} faults of {PAGES} pages");
    }

    #[test]
    fn only_memory_of_our_own_is_meant() {
        let heap = "55d0c8a00000-55d0c8a21000 rw-p 00000000 00:00 0                          [heap]";
        assert_eq!(private_memory(heap), Some((0x55d0_c8a0_0000, 0x21000)));
        for other in [
            "7f0000000000-7f0000001000 r--p 00000000 00:00 0",
            "7f0000000000-7f0000001000 rw-s 00000000 00:01 1027 /dev/shm/qtx.ring",
            "7f0000000000-7f0000001000 rw-p 00000000 08:01 1027 /usr/lib/x.so",
            "7f0000001000-7f0000000000 rw-p 00000000 00:00 0",
            "nonsense",
            "",
        ] {
            assert_eq!(private_memory(other), None, "{other}");
        }
    }
}
