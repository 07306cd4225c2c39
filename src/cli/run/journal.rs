//! The journal of a run: opened before it, summed up after it.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use super::{Ended, RunArgs};
use crate::cli::{DEFAULT_JOURNAL, Failure};
use crate::event::InstrumentTable;
use crate::host::clock::MonotonicClock;
use crate::host::ring_dir;
use crate::journal::archive::ArchiveOptions;
use crate::journal::drain::{Drain, DrainOptions, DrainStatus};
use crate::journal::ring::RingWriter;
use crate::journal::{Folder, Identity};
use crate::num::NS_PER_DAY;
use crate::observe::{Console, JournalSummary, Lines, Reporter, Shared, Summary};
use crate::risk::config::Settings;

const LOG_NAME: &str = "trade_decisions.log";

/// A journal's folder, with the thread that drains its ring.
pub(super) struct Journal {
    pub folder: Folder,
    pub drain: Drain,
    pub stats: Shared,
}

impl Journal {
    /// Folder, ring and archive, and the thread between them. The ring is the loop's.
    pub fn open(
        args: &RunArgs,
        settings: &Settings,
        instruments: &InstrumentTable,
        identity: &Identity,
    ) -> Result<(Journal, RingWriter), Failure> {
        let ring_dir = args.ring_dir.clone().unwrap_or_else(ring_dir);
        if !ring_dir.is_dir() {
            return Err(Failure::refused(format!("--ring-dir {ring_dir:?}: no such folder")));
        }
        let folder = match &args.journal {
            Some(dir) => Folder::create(dir)?,
            None => Folder::replace(Path::new(DEFAULT_JOURNAL))?,
        };
        // First what can still fail without leaving half a journal behind.
        let log = settings.log_to_file.then(|| log_file(folder.path())).transpose()?;
        let ring = folder.create_ring(Some(&ring_dir), settings.ring_slots.into(), identity)?;
        let archive = folder.create_archive_with(identity, archive_options(settings))?;
        let console = match (args.json, args.verbose) {
            (true, _) => Console::Quiet,
            (false, false) => Console::Lines,
            (false, true) => Console::All,
        };
        let (mut reporter, stats) = Reporter::new(Lines::new(instruments.clone(), *settings), console, log);
        let clock = MonotonicClock::new();
        let drain = Drain::spawn(
            &ring,
            archive,
            drain_options(settings),
            move || clock.now_ns(),
            move |record| reporter.take(record),
            say,
        )?;
        Ok((Journal { folder, drain, stats }, ring))
    }

    /// Waits for the archive and sums the run up.
    pub fn close(self, ended: Ended, instruments: &InstrumentTable) -> Result<Summary, Failure> {
        let Journal { folder, drain, stats } = self;
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
        let stats = stats.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Summary { sockets, ..Summary::new(&stats, &core.counts, &core.stages, instruments, written) })
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

pub(in crate::cli) fn log_file(dir: &Path) -> Result<File, Failure> {
    let path = dir.join(LOG_NAME);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(&path)
        .map_err(|error| Failure::refused(format!("{}: can't create: {error}", path.display())))
}
