//! The segments of a folder by their heads: which starts they belong to, and that nothing is missing
//! between them.

use std::path::{Path, PathBuf};

use super::segment::{SegmentHead, holds_record, problem};
use super::{segment_name, segments};
use crate::event::record::RECORD_BYTES;
use crate::journal::{Identity, JournalError, Problem};

/// All segments, each of which goes on where the one before it ends.
#[derive(Clone, Debug, Default)]
pub(in crate::journal) struct Chain {
    pub segments: Vec<SegmentHead>,
    /// A last file that holds no record and no whole header: its creation was cut.
    pub cut: Option<Problem>,
}

impl Chain {
    pub fn read(dir: &Path) -> Result<Chain, JournalError> {
        let mut chain = Chain::default();
        let found = segments(dir)?;
        for (at, (number, path)) in found.iter().enumerate() {
            let before = chain.segments.last();
            let expected = before.map_or(*number, |before| before.number + 1);
            if *number != expected {
                let sequence = before.map_or(1, SegmentHead::end);
                return Err(missing(dir.join(segment_name(expected)), sequence, *number).into());
            }
            if let Some(cut) = before.and_then(rest) {
                return Err(cut.into());
            }
            match SegmentHead::read(path)? {
                Ok(head) => {
                    check_place(&head, *number, before.map(|before| (before.end(), &before.identity)))?;
                    chain.segments.push(head);
                }
                Err(problem) if at + 1 == found.len() && !holds_record(path)? => chain.cut = Some(problem),
                Err(problem) => return Err(problem.into()),
            }
        }
        Ok(chain)
    }

    /// The first segment of each start, in order.
    pub fn starts(&self) -> impl Iterator<Item = &SegmentHead> {
        let before = std::iter::once(None).chain(self.segments.iter().map(|s| Some(s.identity)));
        let pairs = before.zip(&self.segments);
        pairs.filter(|(before, segment)| *before != Some(segment.identity)).map(|(_, segment)| segment)
    }
}

/// A segment that is not the last one ends with a whole record.
fn rest(segment: &SegmentHead) -> Option<Problem> {
    let rest = segment.rest();
    (rest > 0).then(|| {
        let expected = format!("a record of {RECORD_BYTES} bytes");
        let found = format!("{rest} bytes before the end of the file");
        Problem { sequence: segment.end(), ..problem(&segment.path, segment.bytes - rest, expected, found) }
    })
}

/// Whether a segment's header fits its name and what comes before it: the next sequence number and the start
/// so far. The first one of a journal whose oldest segments were removed has nothing before it.
pub(super) fn check_place(
    head: &SegmentHead,
    number: u64,
    before: Option<(u64, &Identity)>,
) -> Result<(), Problem> {
    let path = &head.path;
    if head.number != number {
        let expected = format!("segment number {number}");
        return Err(problem(path, 40, expected, head.number.to_string()));
    }
    let next = before.map_or(if number == 1 { 1 } else { head.first_sequence.max(1) }, |(next, _)| next);
    if head.first_sequence != next {
        let expected = format!("first sequence {next}");
        return Err(problem(path, 48, expected, head.first_sequence.to_string()));
    }
    match before {
        Some((_, before)) if *before != head.identity && before.epoch >= head.identity.epoch => {
            let expected = format!("the run of the segment before, or a later epoch: {before:?}");
            Err(problem(path, 20, expected, format!("{:?}", head.identity)))
        }
        _ => Ok(()),
    }
}

/// A segment that is not there while a later one is.
pub(super) fn missing(path: PathBuf, sequence: u64, last: u64) -> Problem {
    let expected = format!("this segment, since {} exists", segment_name(last));
    Problem { sequence, ..problem(&path, 0, expected, "no such file".to_string()) }
}
