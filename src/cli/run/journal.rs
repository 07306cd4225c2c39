//! The journal of a run: opened before it, summed up after it.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use super::{Ended, RunArgs};
use crate::cli::{DEFAULT_JOURNAL, Failure};
use crate::engine::Engine;
use crate::event::InstrumentTable;
use crate::event::record::{Assembler, Record};
use crate::host::clock::MonotonicClock;
use crate::host::ring_dir;
use crate::journal::archive::{ArchiveOptions, ArchiveWriter};
use crate::journal::drain::{Drain, DrainOptions, DrainStatus};
use crate::journal::ring::RingWriter;
use crate::journal::{Folder, Identity, Resumed};
use crate::live::Notices;
use crate::num::NS_PER_DAY;
use crate::observe::{Console, JournalSummary, Lines, Reporter, ShadowSummary, Shared, Summary};
use crate::replay::{Recovery, Shadow, ShadowConfig, SharedReport, forget_snapshots};
use crate::risk::config::Settings;

const LOG_NAME: &str = "trade_decisions.log";

/// A journal's folder, with the thread that drains its ring.
pub(super) struct Journal {
    pub folder: Folder,
    pub drain: Drain,
    pub stats: Shared,
    /// For what drain and shadow have to say to the engine.
    pub notices: Notices,
    shadow: SharedReport,
}

type Parts = (Folder, RingWriter, ArchiveWriter);

/// What a start goes on behind: nothing, or an engine with the last record it has seen, and the newest
/// snapshot there is.
#[derive(Default)]
struct Behind {
    resumed: Option<(Engine, u64)>,
    snapshot: u64,
}

/// The next start of a journal: its segment, then its ring.
fn next_start(
    resumed: Resumed,
    settings: &Settings,
    ring_dir: &Path,
    identity: &Identity,
) -> Result<Parts, Failure> {
    let Resumed { folder, mut archive, last_sequence, .. } = resumed;
    archive.begin(identity)?;
    let slots = settings.ring_slots.into();
    let ring = folder.create_ring_after(Some(ring_dir), slots, identity, last_sequence)?;
    Ok((folder, ring, archive))
}

impl Journal {
    /// Folder, ring and archive, and the thread between them. The ring is the loop's. `begun`: a journal
    /// that holds no state, which the new one goes on behind.
    pub fn open(
        args: &RunArgs,
        settings: &Settings,
        instruments: &InstrumentTable,
        identity: &Identity,
        begun: Option<Resumed>,
    ) -> Result<(Journal, RingWriter), Failure> {
        // First what can still fail without leaving half a journal behind.
        let ring_dir = ring_folder(args)?;
        let log =
            |folder: &Folder, go_on| settings.log_to_file.then(|| log_file(folder.path(), go_on)).transpose();
        let (parts, log) = match begun {
            Some(begun) => {
                let log = log(&begun.folder, true)?;
                (next_start(begun, settings, &ring_dir, identity)?, log)
            }
            None => {
                let folder = match &args.journal {
                    Some(dir) => Folder::create(dir)?,
                    None => Folder::replace(Path::new(DEFAULT_JOURNAL))?,
                };
                let log = log(&folder, false)?;
                forget_snapshots(folder.path())?;
                let ring = folder.create_ring(Some(&ring_dir), settings.ring_slots.into(), identity)?;
                let archive = folder.create_archive_with(identity, archive_options(settings))?;
                ((folder, ring, archive), log)
            }
        };
        let (reporter, stats) = Reporter::new(Lines::new(instruments.clone(), *settings), console(args), log);
        Journal::spawn(parts, settings, (reporter, stats), Behind::default())
    }

    /// Goes on with the journal of earlier starts: the next segment, a ring of its own, an engine that has
    /// seen everything before.
    pub fn go_on(
        args: &RunArgs,
        settings: &Settings,
        instruments: &InstrumentTable,
        identity: &Identity,
        recovery: Recovery,
    ) -> Result<(Journal, RingWriter, Engine), Failure> {
        let ring_dir = ring_folder(args)?;
        let Recovery { resumed, engine, recovered, .. } = recovery;
        let log = settings.log_to_file.then(|| log_file(resumed.folder.path(), true)).transpose()?;
        let last_sequence = resumed.last_sequence;
        let parts = next_start(resumed, settings, &ring_dir, identity)?;
        let (reporter, stats) = Reporter::new(Lines::new(instruments.clone(), *settings), console(args), log);
        let mut primed = stats.lock().unwrap_or_else(PoisonError::into_inner);
        primed.resume(engine.trades(), engine.fills_applied(), engine.controller(), instruments);
        drop(primed);
        let resumed = Some((engine.clone(), last_sequence));
        let behind = Behind { resumed, snapshot: recovered.snapshot };
        let (journal, ring) = Journal::spawn(parts, settings, (reporter, stats), behind)?;
        Ok((journal, ring, engine))
    }

    fn spawn(
        (folder, ring, archive): Parts,
        settings: &Settings,
        (reporter, stats): (Reporter, Shared),
        behind: Behind,
    ) -> Result<(Journal, RingWriter), Failure> {
        let notices = Notices::default();
        let (watermarks, diverged, forgetting) = (ring.watermarks(), notices.clone(), archive.forgetting());
        let config = ShadowConfig {
            dir: folder.path().to_path_buf(),
            rules: settings.log_to_file,
            on_divergence: Box::new(move |sequence| diverged.divergence(sequence)),
            durable: Box::new(move || watermarks.durable()),
            snapshot: behind.snapshot,
            may_forget: Box::new(move |sequence| forgetting.may_forget(sequence)),
        };
        let (shadow, report) = Shadow::new(config, behind.resumed)?;
        let mut watch = Watch { assembler: Assembler::default(), reporter, shadow, notices: notices.clone() };
        let (clock, told) = (MonotonicClock::new(), notices.clone());
        let drain = Drain::spawn(
            &ring,
            archive,
            drain_options(settings),
            move || clock.now_ns(),
            move |record| watch.take(record),
            move |status| on_status(&told, status),
        )?;
        Ok((Journal { folder, drain, stats, notices, shadow: report }, ring))
    }

    /// Waits for the archive and sums the run up.
    pub fn close(self, ended: Ended, instruments: &InstrumentTable) -> Result<Summary, Failure> {
        let Journal { folder, drain, stats, shadow, .. } = self;
        let Ended { mut core, outcome, sockets, .. } = ended;
        let last = core.recorder().next_sequence() - 1;
        core.counts.state_hash = Some(core.engine().state_hash());
        let controller = core.engine().controller();
        (core.counts.final_equity, core.counts.max_daily_drawdown) =
            (controller.equity(), controller.equity().map(|_| controller.worst_daily_drawdown()));
        let report = drain.stop(last);
        let path = folder.path().display().to_string();
        folder.close(&report, last)?;
        outcome.map_err(|error| Failure::refused(format!("{error} (the journal is in {path})")))?;
        if let Some(error) = report.error {
            return Err(Failure::refused(format!("the journal in {path} is incomplete: {error}")));
        }
        if let Some(error) = report.keeping_failed {
            let _ = writeln!(io::stderr(), "journal: {error}; the next start tries again");
        }
        if let Some(error) = report.observer_failed {
            return Err(Failure::refused(format!("{error} (the journal in {path} is complete)")));
        }
        let written = JournalSummary {
            records: report.records,
            bytes: report.bytes,
            durable_seq: report.durable_sequence,
            overruns: core.counts.overruns,
            path,
        };
        let mut shadow = shadow.get();
        shadow.failures.extend(report.observer_failed);
        let shadow = ShadowSummary {
            verified_seq: Some(shadow.verified_seq),
            divergences: Some(shadow.divergences),
            found: shadow.found,
            snapshots: shadow.snapshots,
            failures: shadow.failures,
        };
        let stats = stats.lock().unwrap_or_else(PoisonError::into_inner);
        let summary = Summary::new(&stats, &core.counts, &core.stages, instruments, written);
        Ok(Summary { sockets, shadow, ..summary })
    }
}

/// How the settings want the archive written.
pub(in crate::cli) fn archive_options(settings: &Settings) -> ArchiveOptions {
    ArchiveOptions {
        compress: settings.compress,
        max_bytes: u64::from(settings.archive_max_mb) * 1_000_000,
        max_age_ns: i64::from(settings.archive_max_days) * NS_PER_DAY,
        ..ArchiveOptions::default()
    }
}

pub(in crate::cli) fn drain_options(settings: &Settings) -> DrainOptions {
    DrainOptions { sync_every: Duration::from_millis(settings.sync_ms.into()), ..DrainOptions::default() }
}

/// Tells the operator how the drain stands. An end is told with the run's.
pub(in crate::cli) fn say(status: DrainStatus) {
    if matches!(status, DrainStatus::Ended { .. }) {
        return;
    }
    let mut out = io::stderr();
    // A status line may stand there.
    let clear = if out.is_terminal() { "\r\x1b[K" } else { "" };
    let _ = writeln!(out, "{clear}journal: {status}");
}

/// Tells the operator, and the engine.
fn on_status(notices: &Notices, status: DrainStatus) {
    match &status {
        DrainStatus::Failing { error_number, .. } => notices.archive(true, *error_number),
        DrainStatus::Ok => notices.archive(false, 0),
        DrainStatus::Ended { .. } | DrainStatus::ObserverFailed { .. } => {}
    }
    say(status);
}

fn console(args: &RunArgs) -> Console {
    match (args.json, args.verbose) {
        (true, _) => Console::Quiet,
        (false, false) => Console::Lines,
        (false, true) => Console::All,
    }
}

/// Whoever looks at what was archived, in the thread that archives.
struct Watch {
    assembler: Assembler,
    reporter: Reporter,
    shadow: Shadow,
    notices: Notices,
}

impl Watch {
    fn take(&mut self, record: &Record) {
        // Records were checked on the way out; what does not decode here is in `verify`'s report.
        let Ok(Some(entry)) = self.assembler.push(record) else { return };
        let first = record.sequence.saturating_sub(record.part.into());
        // The shadow first: what it finds may be of the entry that the log is about to show.
        self.shadow.take(first, record.sequence, &entry);
        self.reporter.entry(first, record.sequence, &entry);
        self.notices.flush();
    }
}

fn ring_folder(args: &RunArgs) -> Result<PathBuf, Failure> {
    let dir = args.ring_dir.clone().unwrap_or_else(ring_dir);
    if dir.is_dir() { Ok(dir) } else { Err(Failure::refused(format!("--ring-dir {dir:?}: no such folder"))) }
}

/// `go_on`: behind what earlier starts wrote.
pub(in crate::cli) fn log_file(dir: &Path, go_on: bool) -> Result<File, Failure> {
    let path = dir.join(LOG_NAME);
    let mut options = OpenOptions::new();
    options.write(true).create(true).append(go_on).truncate(!go_on).mode(0o600);
    options
        .open(&path)
        .map_err(|error| Failure::refused(format!("{}: can't create: {error}", path.display())))
}
