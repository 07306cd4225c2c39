//! A closed segment compressed: `segment-000001.qtj.zst`.
//!
//! Zstandard frames, so that any tool gives the segment's bytes back: one of header and preamble, then one
//! for every [`FRAME_RECORDS`] records, and a skippable frame that says where each is. A frame can be read
//! without those before it.
//!
//! ```text
//!  byte 0       4        8          16        20       24                        n-8           n-4    n
//!       +-------+--------+----------+---------+--------+-------------------------+-------------+------+
//!       | zstd  | bytes  | QTXINDEX | version | frames | 40 bytes a frame        | bytes of    | crc  |
//!       | magic | after  |          | u32     | u32    |                         | all of this | u32  |
//!       +-------+--------+----------+---------+--------+-------------------------+-------------+------+
//!  a frame: offset u64, first sequence u64, first recv_ns i64, bytes u32, unpacked bytes u32, crc u32, zero u32
//! ```
//! Each crc is CRC32C: of the index up to there, and of a frame's bytes as they are in the file. So every
//! flipped bit is noticed, also where Zstandard would not mind.

use std::fs::File;
use std::io;
use std::path::Path;

use bytemuck::{Pod, Zeroable};

use super::read_up_to;
use crate::event::record::RECORD_BYTES;
use crate::journal::header::{HEADER_BYTES, HEADER_BYTES_MAX};
use crate::journal::{FORMAT_VERSION, JournalError, Problem};

/// Records of a frame: 512 KiB, a millisecond to unpack.
pub const FRAME_RECORDS: u64 = 4096;
const FRAME_BYTES: u64 = FRAME_RECORDS * RECORD_BYTES as u64;
/// Fixed, like the library's version in the lock file: the same records give the same file.
const LEVEL: i32 = 3;
const SKIPPABLE: u32 = 0x184D_2A51;
const MAGIC: [u8; 8] = *b"QTXINDEX";
/// In front of the frames, and behind them.
const HEAD_BYTES: usize = 24;
const TAIL_BYTES: usize = 8;

/// Where a frame is, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Frame {
    offset: u64,
    /// Of its first record; of the segment's first for the frame of the header.
    pub first_sequence: u64,
    pub first_recv_ns: i64,
    bytes: u32,
    unpacked_bytes: u32,
    crc: u32,
    zero: u32,
}

/// Makes frames, and the index of them.
pub(super) struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    frames: Vec<Frame>,
    offset: u64,
}

impl Packer {
    pub fn new() -> io::Result<Packer> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        compressor.include_contentsize(true)?;
        Ok(Packer { compressor, frames: Vec::new(), offset: 0 })
    }

    /// The frame of these bytes, which come back from it.
    pub fn pack(&mut self, bytes: &[u8], first_sequence: u64, first_recv_ns: i64) -> io::Result<Vec<u8>> {
        let packed = self.compressor.compress(bytes)?;
        if zstd::bulk::decompress(&packed, bytes.len())? != bytes {
            return Err(io::Error::other("what was packed does not unpack"));
        }
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
        self.frames.push(Frame {
            offset: self.offset,
            first_sequence,
            first_recv_ns,
            bytes: length(&packed)?,
            unpacked_bytes: length(bytes)?,
            crc: crc32c::crc32c(&packed),
            zero: 0,
        });
        self.offset += packed.len() as u64;
        Ok(packed)
    }

    /// The skippable frame of the index.
    pub fn index(&self) -> io::Result<Vec<u8>> {
        let bytes = HEAD_BYTES + self.frames.len() * size_of::<Frame>() + TAIL_BYTES;
        let mut index = head(self.frames.len(), bytes)?;
        index.extend_from_slice(bytemuck::cast_slice(&self.frames));
        index.extend(number(bytes)?);
        index.extend(crc32c::crc32c(&index).to_le_bytes());
        Ok(index)
    }
}

/// A compressed segment, by its index.
#[derive(Debug)]
pub(super) struct PackedFile {
    file: File,
    frames: Vec<Frame>,
}

impl PackedFile {
    /// Reads and checks the index.
    pub fn open(path: &Path) -> Result<PackedFile, JournalError> {
        let file = File::open(path).map_err(JournalError::io(path, "open the segment"))?;
        let length = file.metadata().map_err(JournalError::io(path, "read the segment's length"))?.len();
        let read = |offset: u64, bytes: usize| {
            let mut buffer = vec![0; bytes];
            let got =
                read_up_to(&file, &mut buffer, offset).map_err(JournalError::io(path, "read the segment"))?;
            buffer.truncate(got);
            Ok::<_, JournalError>(buffer)
        };
        let wrong = |expected: &str| {
            let (file, offset) = (path.to_path_buf(), length.saturating_sub(TAIL_BYTES as u64));
            let (expected, found) = (expected.to_string(), "other bytes".to_string());
            JournalError::from(Problem { file, offset, sequence: 0, expected, found })
        };
        let Some(tail) = length.checked_sub(TAIL_BYTES as u64) else { return Err(wrong("an index")) };
        let index_bytes = read(tail, 4)?.try_into().map(u32::from_le_bytes).map_err(|_| wrong("an index"))?;
        let (min, size) = (HEAD_BYTES + TAIL_BYTES, index_bytes as usize);
        if u64::from(index_bytes) > length || size < min || !(size - min).is_multiple_of(size_of::<Frame>()) {
            return Err(wrong("the length of an index"));
        }
        let start = length - u64::from(index_bytes);
        let index = read(start, size)?;
        let (sealed, crc) = index.split_at(size - 4);
        if crc != crc32c::crc32c(sealed).to_le_bytes() {
            return Err(wrong("an index whose checksum agrees"));
        }
        let frames: Vec<Frame> = index[HEAD_BYTES..size - TAIL_BYTES]
            .chunks_exact(size_of::<Frame>())
            .map(bytemuck::pod_read_unaligned)
            .collect();
        let wanted = head(frames.len(), size).map_err(JournalError::io(path, "read the index"))?;
        if index[..HEAD_BYTES] != wanted[..] {
            return Err(wrong("an index of this version"));
        }
        if !fit(&frames, start) {
            return Err(wrong("frames that follow each other"));
        }
        Ok(PackedFile { file, frames })
    }

    /// Bytes of header and preamble.
    pub fn header_bytes(&self) -> u64 {
        self.frames[0].unpacked_bytes.into() // `open` saw that there is one
    }

    /// Bytes of the segment.
    pub fn unpacked_bytes(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.unpacked_bytes)).sum()
    }

    /// The frame that byte `offset` of the segment is in, unpacked, and where in it that byte is; `None` behind
    /// the end.
    pub fn frame_at(&self, offset: u64, path: &Path) -> Result<Option<(Vec<u8>, usize)>, JournalError> {
        let header = self.header_bytes();
        let (at, inside) = match offset.checked_sub(header) {
            None => (0, offset),
            Some(behind) => (1 + behind / FRAME_BYTES, behind % FRAME_BYTES),
        };
        let Some(frame) = usize::try_from(at).ok().and_then(|at| self.frames.get(at)) else {
            return Ok(None);
        };
        if inside >= u64::from(frame.unpacked_bytes) {
            return Ok(None);
        }
        Ok(Some((self.unpack(frame, path)?, inside as usize)))
    }

    fn unpack(&self, frame: &Frame, path: &Path) -> Result<Vec<u8>, JournalError> {
        let mut packed = vec![0; frame.bytes as usize];
        let got = read_up_to(&self.file, &mut packed, frame.offset)
            .map_err(JournalError::io(path, "read the segment"))?;
        let problem = |expected: &str, found: String| {
            let (file, expected) = (path.to_path_buf(), expected.to_string());
            JournalError::from(Problem {
                file,
                offset: frame.offset,
                sequence: frame.first_sequence,
                expected,
                found,
            })
        };
        if got < packed.len() || crc32c::crc32c(&packed) != frame.crc {
            let found = "one whose checksum differs".to_string();
            return Err(problem("a frame whose checksum agrees", found));
        }
        let bytes = zstd::bulk::decompress(&packed, frame.unpacked_bytes as usize)
            .map_err(|error| problem("a frame that unpacks", error.to_string()))?;
        if bytes.len() != frame.unpacked_bytes as usize {
            let expected = format!("a frame of {} bytes", frame.unpacked_bytes);
            return Err(problem(&expected, bytes.len().to_string()));
        }
        Ok(bytes)
    }
}

/// What an index of so many frames begins with.
fn head(frames: usize, index_bytes: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(index_bytes);
    head.extend(SKIPPABLE.to_le_bytes());
    head.extend(number(index_bytes - 8)?);
    head.extend(MAGIC);
    head.extend(FORMAT_VERSION.to_le_bytes());
    head.extend(number(frames)?);
    Ok(head)
}

fn number(value: usize) -> io::Result<[u8; 4]> {
    u32::try_from(value).map(u32::to_le_bytes).map_err(io::Error::other)
}

/// The frames follow each other up to the index, and are as long as they should be.
fn fit(frames: &[Frame], index_at: u64) -> bool {
    let Some((header, records)) = frames.split_first() else { return false };
    let mut offset = 0;
    for frame in frames {
        if frame.offset != offset || frame.zero != 0 {
            return false;
        }
        offset += u64::from(frame.bytes);
    }
    let whole = |frame: &Frame| u64::from(frame.unpacked_bytes) == FRAME_BYTES;
    let last = records.last().is_none_or(|last| {
        let bytes = u64::from(last.unpacked_bytes);
        bytes > 0 && bytes <= FRAME_BYTES && bytes.is_multiple_of(RECORD_BYTES as u64)
    });
    let header = u64::from(header.unpacked_bytes);
    offset == index_at
        && header >= HEADER_BYTES as u64
        && header <= HEADER_BYTES_MAX
        && header.is_multiple_of(RECORD_BYTES as u64)
        && last
        && records.iter().rev().skip(1).all(whole)
}
