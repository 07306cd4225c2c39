//! The first 128 bytes of a ring and of a segment: one form for both.
//!
//! ```text
//!  byte 0        8         12        16        20      24       32         40       48        56
//!       +--------+---------+---------+---------+-------+--------+----------+--------+---------+
//!       | magic  | version | header  | record  | epoch | run_id | build_id | number | first   |
//!       | 8 B    | u32     | bytes   | bytes   | u32   | u64    | u64      | u64    | seq u64 |
//!       +--------+---------+---------+---------+-------+--------+----------+--------+---------+
//!       56            64           72             80            124    128
//!       +-------------+------------+--------------+-------------+------+
//!       | clock_ticks | clock_ns   | clock_scale  | zero        | crc  |
//!       | u64         | i64        | u64          | 44 B        | u32  |
//!       +-------------+------------+--------------+-------------+------+
//! ```
//! Little-endian; `crc` is CRC32C of bytes 0..124. `number` is the slot count of a ring and the
//! number of a segment, from 1; `first_seq` is the sequence number of the first record.

use bytemuck::{Pod, Zeroable};

use super::Identity;
use crate::event::record::RECORD_BYTES;

/// Version of both formats. It stays 0, without a promise of compatibility, until every record kind
/// exists.
pub const FORMAT_VERSION: u32 = 0;

/// Which of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Ring,
    Segment,
}

impl FileKind {
    const fn magic(self) -> [u8; 8] {
        match self {
            FileKind::Ring => *b"QTXRING\0",
            FileKind::Segment => *b"QTXSEGM\0",
        }
    }

    /// Bytes in front of the first record: a page, so that slots start on one; a record's length, so
    /// that records stay aligned, without the preamble a segment may have.
    pub(super) const fn header_bytes(self) -> u32 {
        match self {
            FileKind::Ring => 4096,
            FileKind::Segment => 128,
        }
    }
}

impl FileKind {
    /// A ring's header is a page; whole records of a preamble may follow a segment's.
    fn allows(self, header_bytes: u32) -> bool {
        match self {
            FileKind::Ring => header_bytes == self.header_bytes(),
            FileKind::Segment => {
                header_bytes >= self.header_bytes()
                    && header_bytes.is_multiple_of(RECORD_BYTES as u32)
                    && u64::from(header_bytes) <= HEADER_BYTES_MAX
            }
        }
    }
}

/// The header as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Header {
    magic: [u8; 8],
    version: u32,
    pub(super) header_bytes: u32,
    record_bytes: u32,
    epoch: u32,
    run_id: u64,
    build_id: u64,
    pub(super) number: u64,
    pub(super) first_sequence: u64,
    clock_ticks: u64,
    clock_ns: i64,
    clock_scale: u64,
    zero: [u8; 44],
    crc: u32,
}

/// Bytes of a [`Header`].
pub(super) const HEADER_BYTES: usize = 128;
/// Most of them with a preamble: far more than any table of instruments takes.
pub(super) const HEADER_BYTES_MAX: u64 = 64 << 20;
const CRC_OFFSET: usize = 124;

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);
const _: () = assert!(std::mem::offset_of!(Header, run_id) == 24);
const _: () = assert!(std::mem::offset_of!(Header, number) == 40);
const _: () = assert!(std::mem::offset_of!(Header, clock_ticks) == 56);
const _: () = assert!(std::mem::offset_of!(Header, crc) == CRC_OFFSET);

/// What is wrong with a header, without the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderFault {
    pub(super) offset: u64,
    pub(super) expected: String,
    pub(super) found: String,
}

impl Header {
    pub(super) fn new(kind: FileKind, identity: &Identity, number: u64, first_sequence: u64) -> Header {
        Self::with_preamble(kind, identity, number, first_sequence, 0)
    }

    /// The header of a file that has `preamble_bytes` between it and the first record.
    pub(super) fn with_preamble(
        kind: FileKind,
        identity: &Identity,
        number: u64,
        first_sequence: u64,
        preamble_bytes: u32,
    ) -> Header {
        let mut header = Header {
            magic: kind.magic(),
            version: FORMAT_VERSION,
            header_bytes: kind.header_bytes() + preamble_bytes,
            record_bytes: RECORD_BYTES as u32,
            epoch: identity.epoch,
            run_id: identity.run_id,
            build_id: identity.build_id,
            number,
            first_sequence,
            clock_ticks: identity.clock.ticks,
            clock_ns: identity.clock.recv_ns,
            clock_scale: identity.clock.ns_per_tick_q32,
            zero: [0; 44],
            crc: 0,
        };
        header.crc = header.checksum();
        header
    }

    /// Checks bytes read from a file, in the order that gives the clearest word: a foreign file and
    /// another version first, since what follows may mean something else there.
    pub(super) fn check(bytes: &[u8; HEADER_BYTES], kind: FileKind) -> Result<Header, HeaderFault> {
        let header: Header = bytemuck::pod_read_unaligned(bytes);
        let fault = |offset: usize, expected: String, found: String| {
            Err(HeaderFault { offset: offset as u64, expected, found })
        };
        if header.magic != kind.magic() {
            let expected = format!("the magic \"{}\"", kind.magic().escape_ascii());
            return fault(0, expected, format!("\"{}\"", header.magic.escape_ascii()));
        }
        if header.version != FORMAT_VERSION {
            return fault(8, format!("format version {FORMAT_VERSION}"), format!("{}", header.version));
        }
        if header.crc != header.checksum() {
            let (expected, found) = (header.checksum(), header.crc);
            return fault(CRC_OFFSET, format!("header checksum {expected:08x}"), format!("{found:08x}"));
        }
        if !kind.allows(header.header_bytes) {
            let expected = format!("{} header bytes", kind.header_bytes());
            return fault(12, expected, header.header_bytes.to_string());
        }
        if header.record_bytes as usize != RECORD_BYTES {
            return fault(16, format!("records of {RECORD_BYTES} bytes"), header.record_bytes.to_string());
        }
        Ok(header)
    }

    /// Whether a file that begins like this is another kind's or another version's, rather than a damaged
    /// one of ours. What was never written reads as zeros, and is neither.
    pub(super) fn is_foreign(start: &[u8; 12], kind: FileKind) -> bool {
        let (magic, version) = start.split_at(8);
        if magic == kind.magic() { version != FORMAT_VERSION.to_le_bytes() } else { magic != [0; 8] }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            run_id: self.run_id,
            build_id: self.build_id,
            epoch: self.epoch,
            clock: super::ClockCalibration {
                ticks: self.clock_ticks,
                recv_ns: self.clock_ns,
                ns_per_tick_q32: self.clock_scale,
            },
        }
    }

    fn checksum(&self) -> u32 {
        crc32c::crc32c(&bytemuck::bytes_of(self)[..CRC_OFFSET])
    }
}
