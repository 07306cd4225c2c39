//! A memory-mapped file as 64-bit atomic words. The only unsafe code of the journal.
//!
//! Another process may map the same file. That is why the words are atomics and nothing here ever
//! makes a `&[u8]` of them: a plain reference promises that nobody else writes.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use memmap2::{MmapOptions, MmapRaw};

/// Bytes of a word.
pub const WORD_BYTES: usize = size_of::<u64>();

#[derive(Debug)]
struct Mapping {
    raw: MmapRaw,
    words: usize,
}

impl Mapping {
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the pointer is page-aligned and valid for `len() >= words * 8` bytes while
        // `self.raw` lives, which the returned lifetime is bound to; AtomicU64 has the size and bit
        // validity of u64, and every access of ours to this memory is atomic. `MmapRaw` is never
        // resized. Whoever truncates the file gets us a SIGBUS, not undefined memory.
        unsafe { std::slice::from_raw_parts(self.raw.as_ptr().cast::<AtomicU64>(), self.words) }
    }
}

/// A file mapped for reading and writing. Clones share the mapping.
#[derive(Clone, Debug)]
pub struct WriteMap(Arc<Mapping>);

/// A file mapped for reading: the words can be loaded, storing is not offered because the pages may
/// be write-protected.
#[derive(Clone, Debug)]
pub struct ReadMap(Arc<Mapping>);

impl WriteMap {
    /// Maps the whole file, whose length must be a positive multiple of 8.
    pub fn new(file: &File) -> io::Result<WriteMap> {
        let bytes = length(file)?;
        let raw = MmapOptions::new().len(bytes).map_raw(file)?;
        Ok(WriteMap(Arc::new(Mapping { raw, words: bytes / WORD_BYTES })))
    }

    pub fn words(&self) -> &[AtomicU64] {
        self.0.words()
    }

    /// A read-only view of the same mapping.
    pub fn reader(&self) -> ReadMap {
        ReadMap(Arc::clone(&self.0))
    }
}

impl ReadMap {
    /// Maps the whole file, whose length must be a positive multiple of 8.
    pub fn new(file: &File) -> io::Result<ReadMap> {
        let bytes = length(file)?;
        let raw = MmapOptions::new().len(bytes).map_raw_read_only(file)?;
        Ok(ReadMap(Arc::new(Mapping { raw, words: bytes / WORD_BYTES })))
    }

    /// Relaxed load of a word. Panics beyond the end, as a slice does. Relaxed because that is the
    /// ordering whose load is promised not to write, even to a read-only page; callers add fences.
    pub fn load(&self, word: usize) -> u64 {
        self.0.words()[word].load(std::sync::atomic::Ordering::Relaxed)
    }
}

fn length(file: &File) -> io::Result<usize> {
    let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if bytes == 0 || !bytes.is_multiple_of(WORD_BYTES) {
        let text = format!("{bytes} bytes can't be mapped as whole 64-bit words");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(bytes)
}
