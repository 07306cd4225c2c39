//! A journal run again: is every output what the engine says now?

use std::path::Path;
use std::time::Instant;

use super::{Divergence, Follower};
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
    pub records: u64,
    pub events: u64,
    pub outputs: u64,
    /// Starts in it.
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
    let mut reader = JournalReader::open(dir)?;
    let mut follower = Follower::new();
    let mut report = Report::default();
    let mut told = 0;
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
    report.records = report.last_sequence;
    (report.events, report.outputs) = follower.counts();
    report.cut = follower.cut().filter(|_| report.divergence.is_none()).map_or(0, |cut| cut.missing.len());
    report.state_hash =
        follower.engine().filter(|_| follower.is_settled()).map(crate::engine::Engine::state_hash);
    report.elapsed_s = began.elapsed().as_secs_f64();
    Ok(report)
}
