//! One run of a backtest: the files through engine and venue in this thread, what came of it on the
//! drain's.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

use super::files::Files;
use super::progress::Progress;
use crate::cli::Failure;
use crate::cli::run::{Ended, Plan, direct, identity, link, log_file, opening};
use crate::event::record::{Assembler, Entry, Record};
use crate::event::{Event, InstrumentTable};
use crate::host::clock::MonotonicClock;
use crate::host::ring_dir;
use crate::host::stop::StopFlag;
use crate::journal::drain::{Drain, DrainReport};
use crate::journal::ring::{RingConfig, RingWriter};
use crate::journal::{Folder, Identity};
use crate::live::{Core, Inbox, Pace};
use crate::observe::{
    Console, Indicators, JournalSummary, Lines, Measured, Measures, Reporter, Stats, Summary,
};
use crate::risk::config::Settings;
use crate::sim::exchange::Exchange;

/// What a column is asked for.
pub(super) struct Wanted<'a> {
    pub name: &'static str,
    pub settings: &'a Settings,
    pub journal: Option<PathBuf>,
    pub ring_dir: Option<&'a Path>,
    /// Where the indicators go.
    pub indicators: Option<&'a Path>,
    pub progress: bool,
}

/// What a run came to.
#[derive(Serialize)]
pub(super) struct Column {
    #[serde(flatten)]
    pub measured: Measured,
    /// The summary every run has.
    pub run: Summary,
    /// Of wall time.
    pub seconds: f64,
    /// Why the market could not be read to its end.
    pub fault: Option<String>,
}

/// Runs the files once.
///
/// # Errors
/// What keeps a run from starting, and a journal or table that could not be written to its end. A market
/// that breaks off is none: its column says so.
pub(super) fn run(files: &Files, wanted: &Wanted, stop: StopFlag) -> Result<Column, Failure> {
    let began = Instant::now();
    let settings = wanted.settings;
    let (source, market) = files.open()?;
    let mut exchange = Exchange::new(source, link(&market, settings))?;
    let Some(start) = exchange.next_frame() else {
        return Err(Failure::refused(format!("{}: no frames", market.description)));
    };
    let table = &market.instruments;
    let identity = identity(settings, &market.identity, table);
    let seen = Arc::new(Mutex::new(Seen::new(files, wanted)?));
    let journal = Journal::open(wanted, table, &identity, &seen)?;
    let mut opening = opening(start, &identity, settings, table, true);
    let account = exchange.link().venue().snapshot().into_iter();
    opening.extend(account.map(|(instrument, body)| Event { recv_ns: start, instrument, body }));
    let round_trip_ns_max = Some(exchange.link().round_trip_ns_max());
    let pace = Pace { speed: None, horizon_ns: None };
    let Journal { ring, drain, folder } = journal;
    let core = Core::new(settings, table, ring);
    let plan = Plan { start, opening, pace, stop, round_trip_ns_max };
    // Nobody sends: the queues close with their senders and stay empty.
    let (_, inbox) = Inbox::new();
    let mut ended = direct::run(plan, core, exchange, inbox, &drain);
    let last = ended.core.ring().next_sequence() - 1;
    let report = drain.stop(last);
    let path = folder.as_ref().map(|folder| folder.path().display().to_string()).unwrap_or_default();
    folder.map_or(Ok(()), |folder| folder.close(&report, last))?;
    std::mem::replace(&mut ended.outcome, Ok(()))?;
    if let Some(error) = report.error {
        return Err(Failure::refused(format!("the run's records could not be followed: {error}")));
    }
    sum_up(ended, &seen, table, report, path, began)
}

fn sum_up(
    ended: Ended,
    seen: &Mutex<Seen>,
    table: &InstrumentTable,
    report: DrainReport,
    path: String,
    began: Instant,
) -> Result<Column, Failure> {
    let Ended { mut core, fault, .. } = ended;
    core.counts.state_hash = Some(core.engine().state_hash());
    let controller = core.engine().controller();
    let equity = controller.equity();
    let worst_daily = equity.map(|_| controller.worst_daily_drawdown());
    (core.counts.final_equity, core.counts.max_daily_drawdown) = (equity, worst_daily);
    let journal = JournalSummary {
        records: report.records,
        bytes: report.bytes,
        durable_seq: report.durable_sequence,
        overruns: core.counts.overruns,
        path,
    };
    let mut seen = lock(seen);
    seen.finish()?;
    let run = Summary::new(&seen.stats, &core.counts, &core.stages, table, journal);
    let measured = seen.measures.finish(equity, worst_daily);
    Ok(Column { measured, run, seconds: began.elapsed().as_secs_f64(), fault })
}

/// A ring, who follows it, and the folder of a journal that is kept.
struct Journal {
    ring: RingWriter,
    drain: Drain,
    folder: Option<Folder>,
}

impl Journal {
    fn open(
        wanted: &Wanted,
        table: &InstrumentTable,
        identity: &Identity,
        seen: &Arc<Mutex<Seen>>,
    ) -> Result<Journal, Failure> {
        let ring_dir = wanted.ring_dir.map_or_else(ring_dir, Path::to_path_buf);
        if !ring_dir.is_dir() {
            return Err(Failure::refused(format!("--ring-dir {ring_dir:?}: no such folder")));
        }
        let (settings, slots) = (wanted.settings, u64::from(wanted.settings.ring_slots));
        let clock = MonotonicClock::new();
        let now_ns = move || clock.now_ns();
        let (seen, mut assembler) = (Arc::clone(seen), Assembler::default());
        let mut see = move |record: &Record| {
            // What does not decode here the ring would have refused.
            if let Ok(Some(entry)) = assembler.push(record) {
                lock(&seen).take(record.sequence.saturating_sub(record.part.into()), &entry);
            }
        };
        let Some(dir) = &wanted.journal else {
            let path = ring_dir.join(format!("qtx-backtest-{}.ring", std::process::id()));
            let ring = RingWriter::create(&RingConfig { path: path.clone(), slots }, identity)?;
            let drain = Drain::watch(&ring, now_ns, see);
            // The memory stays as long as it is mapped; its name would outlive a run that is killed.
            std::fs::remove_file(&path)
                .map_err(|error| Failure::refused(format!("{}: {error}", path.display())))?;
            return Ok(Journal { ring, drain: drain?, folder: None });
        };
        let folder = Folder::create(dir)?;
        let log = settings.log_to_file.then(|| log_file(folder.path())).transpose()?;
        let ring = folder.create_ring(Some(&ring_dir), slots, identity)?;
        let archive = folder.create_archive(identity)?;
        let (mut reporter, _) = Reporter::new(Lines::new(table.clone(), *settings), Console::Quiet, log);
        let drain = Drain::spawn(&ring, archive, now_ns, move |record| {
            reporter.take(record);
            see(record);
        })?;
        Ok(Journal { ring, drain, folder: Some(folder) })
    }
}

/// What follows the run, on the drain's thread.
struct Seen {
    stats: Stats,
    measures: Measures,
    indicators: Option<(PathBuf, Indicators<BufWriter<File>>)>,
    failed: Option<io::Error>,
    progress: Option<Progress>,
}

impl Seen {
    fn new(files: &Files, wanted: &Wanted) -> Result<Seen, Failure> {
        let table = || files.table.clone();
        let indicators = wanted.indicators.map(|path| {
            let refuse = |error| Failure::refused(format!("--dump-indicators {}: {error}", path.display()));
            let out = BufWriter::new(File::create(path).map_err(refuse)?);
            let (atr, ema) = (wanted.settings.atr_period, wanted.settings.ema_period);
            let indicators = Indicators::new(out, table(), atr, ema).map_err(refuse)?;
            Ok::<_, Failure>((path.to_path_buf(), indicators))
        });
        Ok(Seen {
            stats: Stats::default(),
            measures: Measures::new(table()),
            indicators: indicators.transpose()?,
            failed: None,
            progress: files.span.filter(|_| wanted.progress).map(|span| Progress::new(wanted.name, span)),
        })
    }

    fn take(&mut self, sequence: u64, entry: &Entry) {
        self.stats.records += 1;
        self.stats.take(sequence, entry);
        self.measures.take(entry, &self.stats.book);
        match entry {
            Entry::Event(event) => {
                if let Some(progress) = self.progress.as_mut() {
                    progress.see(event.recv_ns);
                }
            }
            Entry::Output { output, .. } => {
                if let Some((_, indicators)) = self.indicators.as_mut()
                    && let Err(error) = indicators.take(output)
                {
                    self.failed.get_or_insert(error);
                }
            }
        }
    }

    /// The progress line goes; the table is on disk.
    fn finish(&mut self) -> Result<(), Failure> {
        self.progress = None;
        let Some((path, indicators)) = self.indicators.take() else { return Ok(()) };
        let finished = self.failed.take().map_or_else(|| indicators.finish(), Err);
        finished.map_err(|error| Failure::refused(format!("--dump-indicators {}: {error}", path.display())))
    }
}

/// The figures; a panic elsewhere does not make them unreadable.
fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
