//! A journal run again: is every output what the engine says now?

use std::path::Path;
use std::time::Instant;

use super::snapshots::to_begin_with;
use super::{Divergence, Follower};
use crate::journal::archive::From;
use crate::journal::{JournalError, JournalReader, Problem};

/// Entries between two words about progress.
const PROGRESS_ENTRIES: u64 = 1 << 16;

/// Which part of a journal is compared; what is before it is applied all the same.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// Sequence number of the first event.
    pub from: u64,
    /// Sequence number of the last event.
    pub to: u64,
}

impl Default for Range {
    fn default() -> Range {
        Range { from: 1, to: u64::MAX }
    }
}

/// What a replay found.
#[derive(Debug, Default)]
pub struct Report {
    /// It was begun with the snapshot behind this sequence number; 0 for none.
    pub snapshot: u64,
    /// Applied.
    pub records: u64,
    pub events: u64,
    pub outputs: u64,
    pub last_sequence: u64,
    /// Of the engine at the end, if every event's outputs were there.
    pub state_hash: Option<u128>,
    /// The first difference; nothing was read beyond it.
    pub divergence: Option<Box<Divergence>>,
    /// Where the journal can't be read on.
    pub problem: Option<Problem>,
    /// Outputs the last event caused and the journal does not have: it was cut there, or is being written.
    pub cut: usize,
    pub elapsed_s: f64,
}

impl Report {
    /// Whether everything compared was the same.
    pub fn is_same(&self) -> bool {
        self.divergence.is_none() && self.problem.is_none()
    }
}

/// Replays a journal and compares. `progress` is told the sequence number now and then.
///
/// # Errors
/// What is no journal at all; damage is [`Report::problem`].
pub fn verify(dir: &Path, range: Range, mut progress: impl FnMut(u64)) -> Result<Report, JournalError> {
    let began = Instant::now();
    let first =
        crate::journal::info(dir).ok().and_then(|info| info.segments.first().map(|it| it.first_sequence));
    // A snapshot saves the way to the part that is asked for; one that can't be had costs that way alone.
    let begun = to_begin_with(dir, range.from, first.unwrap_or(1)).ok().flatten();
    let mut report =
        Report { snapshot: begun.as_ref().map_or(0, |(_, sequence)| *sequence), ..Report::default() };
    let mut reader = match report.snapshot {
        0 => JournalReader::open(dir)?,
        sequence => JournalReader::open_at(dir, From::Sequence(sequence + 1))?,
    };
    let mut follower = begun.map_or_else(Follower::new, |(engine, _)| Follower::resume(engine));
    let mut told = report.snapshot;
    report.last_sequence = report.snapshot;
    loop {
        let numbered = match reader.next_entry() {
            Ok(Some(numbered)) => numbered,
            Ok(None) => break,
            Err(JournalError::Damaged(problem)) => {
                report.problem = Some(*problem);
                break;
            }
            Err(error) => return Err(error),
        };
        if numbered.first_sequence > range.to && follower.is_settled() {
            break;
        }
        report.last_sequence = numbered.last_sequence;
        if let Err(divergence) = follower.take(numbered.first_sequence, &numbered.entry)
            && divergence.event_sequence() >= range.from
        {
            report.divergence = Some(divergence);
            break;
        }
        if numbered.last_sequence >= told + PROGRESS_ENTRIES {
            told = numbered.last_sequence;
            progress(told);
        }
    }
    report.records = report.last_sequence - report.snapshot;
    (report.events, report.outputs) = follower.counts();
    report.cut = follower.cut().filter(|_| report.divergence.is_none()).map_or(0, |cut| cut.missing.len());
    report.state_hash =
        follower.engine().filter(|_| follower.is_settled()).map(crate::engine::Engine::state_hash);
    report.elapsed_s = began.elapsed().as_secs_f64();
    Ok(report)
}
