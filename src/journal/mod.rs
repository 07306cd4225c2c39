//! The journal: every event and every output, in one order, on disk.
//!
//! The hot thread appends to the [`ring`], a memory-mapped file. A plain thread ([`drain`]) follows
//! it into [`archive`] segments and tells the writer how far it is; only that frees slots. What is
//! in the ring but not in the archive yet is read from the ring ([`read`]), after a crash too.
//! Layout and promises: `docs/JOURNAL.md`.

pub mod archive;
pub mod disk;
pub mod drain;
mod error;
pub mod folder;
mod header;
mod info;
mod mmap;
pub mod read;
mod resume;
pub mod ring;
pub mod text;
mod verify;

use serde::Serialize;

pub use archive::{From, MayForget, Preamble};
pub use error::{JournalError, Problem};
pub use folder::Folder;
pub use header::FORMAT_VERSION;
pub use info::{Info, RingInfo, SegmentInfo, StartInfo, info};
pub use read::JournalReader;
pub use resume::{Recovered, Resumed, RingFound};
pub use text::{DumpError, DumpOptions, dump};
pub use verify::{Report, verify};

/// Whose journal it is: in the header of the ring and of every segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Identity {
    pub run_id: u64,
    /// Engine version without the build profile: debug and release write the same journal.
    pub build_id: u64,
    /// High half of the order ids of this start.
    pub epoch: u32,
    pub clock: ClockCalibration,
}

/// How counter ticks became `recv_ns`; all 0 in simulation, where the venue owns time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClockCalibration {
    /// Counter value that stood for `recv_ns`.
    pub ticks: u64,
    pub recv_ns: i64,
    /// Nanoseconds a tick, times 2^32.
    pub ns_per_tick_q32: u64,
}
