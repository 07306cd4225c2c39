//! The shadow: a second engine behind the running one.
//!
//! It is fed what the journal has, in the thread that archives it, and must come to the same outputs. It
//! may lag, stall or die: the hot thread neither knows nor waits.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::snapshots::{SNAPSHOT_RECORDS, SnapshotWriter};
use super::{Follower, rules};
use crate::engine::Engine;
use crate::event::record::Entry;

/// Name of the file with every rule of every decision.
pub const RULES_NAME: &str = "rules.jsonl";
/// Divergences put in words; after the first, the rest is mostly its consequence.
const WORDS_MAX: usize = 4;

/// What a shadow found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShadowReport {
    /// Everything up to this sequence number was computed again and is as recorded, or is counted below.
    pub verified_seq: u64,
    /// Events whose outputs differ.
    pub divergences: u64,
    /// The first of them, in words.
    pub found: Vec<String>,
    /// Snapshots handed to the disk.
    pub snapshots: u64,
    /// Why a snapshot or a line of rules is missing.
    pub failures: Vec<String>,
}

/// Seen by whoever sums the run up.
#[derive(Clone, Debug, Default)]
pub struct SharedReport(Arc<Mutex<ShadowReport>>);

impl SharedReport {
    pub fn get(&self) -> ShadowReport {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, ShadowReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, why: String) {
        let mut report = self.lock();
        if report.failures.len() < WORDS_MAX {
            report.failures.push(why);
        }
    }
}

/// What a shadow needs of its surroundings.
pub struct ShadowConfig {
    /// Folder of the journal.
    pub dir: PathBuf,
    /// Whether every rule of every decision is written down.
    pub rules: bool,
    /// Told the sequence number of an event that diverged.
    pub on_divergence: Box<dyn FnMut(u64) + Send>,
    /// Last sequence number that is on disk.
    pub durable: Box<dyn Fn() -> u64 + Send>,
    /// Sequence number of the newest snapshot there is; 0 for none. The next one is due so long behind it,
    /// however many starts there were in between.
    pub snapshot: u64,
    /// Told up to where the journal is no longer needed for a start.
    pub may_forget: Box<dyn Fn(u64) + Send>,
}

/// The shadow of a run.
pub struct Shadow {
    follower: Follower,
    report: SharedReport,
    on_divergence: Box<dyn FnMut(u64) + Send>,
    durable: Box<dyn Fn() -> u64 + Send>,
    snapshots: SnapshotWriter,
    /// Taken, and not yet handed over: its records are not on disk.
    pending: Option<(u64, Vec<u8>)>,
    snapshot_at: u64,
    rules: Option<BufWriter<File>>,
    /// The event that diverged last: its other outputs are the same divergence.
    diverged: Option<u64>,
}

impl Shadow {
    /// A shadow from the journal's beginning, or behind record `last` with the engine of that moment.
    ///
    /// # Errors
    /// If the file of rules can't be opened, or no thread be started.
    pub fn new(config: ShadowConfig, resumed: Option<(Engine, u64)>) -> io::Result<(Shadow, SharedReport)> {
        let report = SharedReport::default();
        let ShadowConfig { dir, rules, on_divergence, durable, snapshot, may_forget } = config;
        let rules = rules.then(|| open_rules(&dir, resumed.is_some())).transpose()?;
        let told = report.clone();
        let snapshots = SnapshotWriter::spawn(dir, may_forget, move |why| told.fail(why))?;
        let last = resumed.as_ref().map_or(0, |(_, last)| *last);
        let follower = resumed.map_or_else(Follower::new, |(engine, _)| Follower::resume(engine));
        report.lock().verified_seq = last;
        let shadow = Shadow {
            follower,
            report: report.clone(),
            on_divergence,
            durable,
            snapshots,
            pending: None,
            snapshot_at: snapshot + SNAPSHOT_RECORDS,
            rules,
            diverged: None,
        };
        Ok((shadow, report))
    }

    /// Takes an entry, of the records `first` to `last`.
    pub fn take(&mut self, first: u64, last: u64, entry: &Entry) {
        if matches!(entry, Entry::Event(_)) {
            self.between_events(first - 1);
        }
        if let Err(divergence) = self.follower.take(first, entry) {
            let sequence = divergence.event_sequence();
            if self.diverged.replace(sequence) != Some(sequence) {
                self.note_divergence(sequence, || divergence.to_string());
            }
        }
        self.write_rules(first, entry);
        if self.follower.is_settled() {
            self.report.lock().verified_seq = last;
        }
    }

    #[cold]
    fn note_divergence(&mut self, sequence: u64, words: impl FnOnce() -> String) {
        let mut report = self.report.lock();
        report.divergences += 1;
        if report.found.len() < WORDS_MAX {
            report.found.push(words());
        }
        drop(report);
        (self.on_divergence)(sequence);
    }

    /// Everything up to `last` has been applied: the moment for a snapshot. None is taken of a state
    /// that is not the running engine's.
    fn between_events(&mut self, last: u64) {
        if self.pending.is_none() && last >= self.snapshot_at && self.diverged.is_none() {
            self.snapshot_at = last + SNAPSHOT_RECORDS;
            self.pending = self.follower.engine().map(|engine| (last, engine.snapshot(last)));
        }
        if let Some((sequence, bytes)) = self.pending.take_if(|(sequence, _)| (self.durable)() >= *sequence) {
            match self.snapshots.write(sequence, bytes) {
                Ok(()) => self.report.lock().snapshots += 1,
                Err(bytes) => self.pending = Some((sequence, bytes)),
            }
        }
    }

    fn write_rules(&mut self, sequence: u64, entry: &Entry) {
        let (Some(out), Entry::Output { recv_ns, output, .. }) = (self.rules.as_mut(), entry) else { return };
        let Some(engine) = self.follower.engine() else { return };
        if let Err(error) = rules::write(out, engine, sequence, *recv_ns, output) {
            self.rules = None;
            self.report.fail(format!("{RULES_NAME}: {error}; further lines are missing"));
        }
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.rules.as_mut().map(Write::flush) {
            self.report.fail(format!("{RULES_NAME}: {error}; the last lines are missing"));
        }
    }
}

/// Goes on with the file of a journal that goes on; what another left there is not this one's.
fn open_rules(dir: &Path, go_on: bool) -> io::Result<BufWriter<File>> {
    let mut options = OpenOptions::new();
    options.write(true).append(go_on).truncate(!go_on).create(true).mode(0o600);
    let file = options.open(dir.join(RULES_NAME))?;
    Ok(BufWriter::new(file))
}

#[cfg(test)]
mod tests {
    use super::super::snapshots::list;
    use super::*;
    use crate::event::{Event, InstrumentTable, btcusdt};
    use crate::risk::config::Settings;

    /// Snapshots in the folder of a shadow that goes on behind `last` and sees one event.
    fn taken_behind(last: u64, snapshot: u64) -> Vec<u64> {
        let dir = tempfile::tempdir().unwrap();
        let config = ShadowConfig {
            dir: dir.path().to_path_buf(),
            rules: false,
            on_divergence: Box::new(|_| ()),
            durable: Box::new(|| u64::MAX),
            snapshot,
            may_forget: Box::new(|_| ()),
        };
        let engine = Engine::new(&Settings::default(), &InstrumentTable::new(vec![btcusdt()]).unwrap());
        let (mut shadow, _) = Shadow::new(config, Some((engine, last))).unwrap();
        shadow.take(last + 1, last + 1, &Entry::Event(Event::NOTHING));
        drop(shadow);
        list(dir.path()).unwrap().into_iter().map(|(sequence, _)| sequence).collect()
    }

    #[test]
    fn short_starts_come_to_a_snapshot_together() {
        assert_eq!(taken_behind(SNAPSHOT_RECORDS, 0), [SNAPSHOT_RECORDS]);
        assert_eq!(taken_behind(SNAPSHOT_RECORDS + 9, 9), [SNAPSHOT_RECORDS + 9]);
        assert_eq!(taken_behind(SNAPSHOT_RECORDS + 9, 10), [0; 0]);
    }
}
