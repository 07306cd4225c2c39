//! A journal at a glance, without reading its records.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::archive::{ArchiveReader, SegmentHead, segments};
use super::folder::{RingState, is_live, open_ring};
use super::{FORMAT_VERSION, Identity, JournalError};
use crate::num::TimeNs;

/// What [`info`] found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Info {
    pub format_version: u32,
    /// Of the newest start.
    pub identity: Option<Identity>,
    /// Every start that has a segment, in order.
    pub starts: Vec<StartInfo>,
    /// A process is writing it.
    pub live: bool,
    pub segments: Vec<SegmentInfo>,
    /// Whole records in the segments.
    pub archived_records: u64,
    pub ring: RingInfo,
    /// `recv_ns` of the first record.
    pub started_ns: Option<i64>,
}

/// A start of an engine, by the header of its first segment there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StartInfo {
    pub identity: Identity,
    pub first_sequence: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentInfo {
    pub number: u64,
    pub path: PathBuf,
    /// Of the file, which may be compressed.
    pub bytes: u64,
    /// Sequence number of its first record; 0 if its head can't be read.
    pub first_sequence: u64,
    pub records: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum RingInfo {
    /// The journal was closed in order and its ring removed.
    Closed,
    /// The memory it was kept in is gone.
    Lost {
        path: PathBuf,
    },
    Damaged {
        problem: String,
    },
    Present {
        path: PathBuf,
        slots: u64,
        newest: u64,
        drained: u64,
        durable: u64,
    },
}

/// Looks at a journal's folder, also while it is being written.
pub fn info(dir: &Path) -> Result<Info, JournalError> {
    if !dir.is_dir() {
        return Err(JournalError::NotAFolder { dir: dir.to_path_buf() });
    }
    let (ring, ring_identity) = match open_ring(dir) {
        RingState::None => (RingInfo::Closed, None),
        RingState::Lost(path) => (RingInfo::Lost { path }, None),
        RingState::Damaged(problem) => (RingInfo::Damaged { problem: problem.to_string() }, None),
        RingState::Open(ring, identity) => {
            let path = ring.path().to_path_buf();
            let (newest, drained, durable) = (ring.newest(), ring.drained(), ring.durable());
            (RingInfo::Present { path, slots: ring.slots(), newest, drained, durable }, Some(identity))
        }
    };
    let (segments, starts) = survey(dir)?;
    if segments.is_empty() && ring == RingInfo::Closed {
        return Err(JournalError::NoJournal { dir: dir.to_path_buf() });
    }
    let mut archive = ArchiveReader::open(dir);
    let first = archive.next_record()?;
    Ok(Info {
        format_version: FORMAT_VERSION,
        identity: starts.last().map(|start| start.identity).or(ring_identity),
        starts,
        live: is_live(dir),
        archived_records: segments.iter().map(|segment| segment.records).sum(),
        segments,
        ring,
        started_ns: first.map(|(record, _)| record.recv_ns),
    })
}

/// Segments and starts, by the heads that can be read; what is wrong with others is for `verify` to say.
fn survey(dir: &Path) -> Result<(Vec<SegmentInfo>, Vec<StartInfo>), JournalError> {
    let (mut infos, mut starts): (Vec<SegmentInfo>, Vec<StartInfo>) = Default::default();
    for (number, path) in segments(dir)? {
        let bytes = path.metadata().map_err(JournalError::io(&path, "read the segment's length"))?.len();
        let head = SegmentHead::read(&path)?.ok();
        let records = head.as_ref().map_or(0, SegmentHead::records);
        let first_sequence = head.as_ref().map_or(0, |head| head.first_sequence);
        infos.push(SegmentInfo { number, path, bytes, first_sequence, records });
        if let Some(SegmentHead { identity, first_sequence, .. }) = head
            && starts.last().is_none_or(|last| last.identity != identity)
        {
            starts.push(StartInfo { identity, first_sequence });
        }
    }
    Ok((infos, starts))
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "format    {}", self.format_version)?;
        if let Some(identity) = &self.identity {
            let Identity { run_id, build_id, epoch, .. } = identity;
            writeln!(f, "run       {run_id:016x}  build {build_id:016x}  epoch {epoch}")?;
        }
        if self.starts.len() > 1 {
            writeln!(f, "starts    {}", self.starts.len())?;
            for StartInfo { identity, first_sequence } in &self.starts {
                writeln!(
                    f,
                    "  epoch {}  run {:016x}  from {first_sequence}",
                    identity.epoch, identity.run_id
                )?;
            }
        }
        if let Some(started_ns) = self.started_ns {
            writeln!(f, "started   {}", TimeNs(started_ns))?;
        }
        writeln!(f, "live      {}", if self.live { "yes" } else { "no" })?;
        writeln!(f, "archive   {} records in {} segments", self.archived_records, self.segments.len())?;
        if let Some(first) = self.segments.first().filter(|first| first.number > 1) {
            writeln!(
                f,
                "removed   {} segments, up to record {}",
                first.number - 1,
                first.first_sequence.saturating_sub(1)
            )?;
        }
        for segment in &self.segments {
            writeln!(f, "  {}  {} bytes", segment.path.display(), segment.bytes)?;
        }
        match &self.ring {
            RingInfo::Closed => write!(f, "ring      removed after a clean close"),
            RingInfo::Lost { path } => write!(f, "ring      lost: {} is gone", path.display()),
            RingInfo::Damaged { problem } => write!(f, "ring      damaged: {problem}"),
            RingInfo::Present { path, slots, newest, drained, durable } => write!(
                f,
                "ring      {}  {slots} slots, newest {newest}, drained {drained}, durable {durable}",
                path.display()
            ),
        }
    }
}
