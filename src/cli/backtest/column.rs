//! One run of a backtest: its market through engine and venue in this thread, and what came of it: in
//! this thread too, or on the drain's where a journal is kept.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

use super::input::Input;
use crate::cli::Failure;
use crate::cli::progress::{Progress, Whole};
use crate::cli::run::{Ended, Plan, archive_options, direct, drain_options, identity, link, log_file, say};
use crate::event::record::{Assembler, Entry};
use crate::event::{Event, InstrumentTable};
use crate::host::clock::MonotonicClock;
use crate::host::ring_dir;
use crate::host::stop::StopFlag;
use crate::journal::drain::Drain;
use crate::journal::ring::RingWriter;
use crate::journal::{Folder, Identity};
use crate::live::{Core, Followed, Follower, Inbox, Pace, Recorder, RunError, opening};
use crate::num::Dec;
use crate::observe::{
    Console, Indicators, JournalSummary, Lines, LoopCounts, Measured, Measures, Reporter, Stages, Stats,
    Summary,
};
use crate::risk::config::Settings;
use crate::sim::exchange::Exchange;
use crate::sim::market::BytesRead;

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
    /// That was a price between two ticks.
    #[serde(skip)]
    pub between_ticks: bool,
}

/// Runs the market once.
///
/// # Errors
/// What keeps a run from starting, and a journal or table that could not be written to its end. A market
/// that breaks off is none: its column says so.
pub(super) fn run(input: &Input, wanted: &Wanted, stop: StopFlag) -> Result<Column, Failure> {
    let began = Instant::now();
    let settings = wanted.settings;
    if let Some(dir) = wanted.ring_dir.filter(|dir| !dir.is_dir()) {
        return Err(Failure::refused(format!("--ring-dir {dir:?}: no such folder")));
    }
    let read = BytesRead::default();
    let (source, market) = input.open(settings, &read)?;
    let line = link(&market, settings);
    // How old its quotes are is a rule's matter.
    let regime = settings.regime_symbol.and_then(|symbol| market.instruments.find(symbol.as_str()));
    let mut exchange = Exchange::open(source, regime, line)?;
    let Some(first) = exchange.next_frame() else {
        return Err(Failure::refused(format!("{}: no frames", market.description)));
    };
    let (start, table) = (market.start.unwrap_or(first), &market.instruments);
    let identity =
        identity(settings, &[&market.identity[..], &input.tag()].concat(), market.latency_seed, table);
    let mut opening = opening(start, &identity, settings, table, true);
    opening.extend(market.history_events(start));
    let account = exchange.link().venue().snapshot().into_iter();
    opening.extend(account.map(|(instrument, body)| Event { recv_ns: start, instrument, body }));
    let round_trip_ns_max = Some(exchange.link().round_trip_ns_max());
    let pace = Pace { speed: None, horizon_ns: input.horizon_ns };
    let plan = Plan { start, opening, pace, stop, round_trip_ns_max };
    let inbox = Inbox::silent();
    let seen = Seen::new(input, wanted, read)?;
    let (left, seen, journal) = match &wanted.journal {
        Some(dir) => {
            let (journal, ring) = Journal::open(dir, wanted, table, &identity, seen)?;
            let core = Core::new(settings, table, ring);
            let ended = direct::run(plan, core, exchange, inbox, Some(&journal.drain));
            let last = ended.core.recorder().next_sequence() - 1;
            let (seen, journal) = journal.close(last, ended.core.counts.overruns)?;
            (Left::of(ended).0, seen, journal)
        }
        None => {
            let core = Core::new(settings, table, Followed::new(seen));
            let (left, recorder) = Left::of(direct::run(plan, core, exchange, inbox, None));
            let journal = JournalSummary { records: recorder.entries, ..JournalSummary::default() };
            (left, recorder.follower, journal)
        }
    };
    sum_up(left, seen, table, journal, began)
}

/// What is left of a loop.
struct Left {
    outcome: Result<(), RunError>,
    fault: Option<String>,
    between_ticks: bool,
    counts: LoopCounts,
    stages: Stages,
    equity: Option<Dec>,
    worst_daily: Option<Dec>,
}

impl Left {
    fn of<R: Recorder>(ended: Ended<R>) -> (Left, R) {
        let Ended { mut core, fault, between_ticks, outcome, .. } = ended;
        let controller = core.engine().controller();
        let equity = controller.equity();
        let worst_daily = equity.map(|_| controller.worst_daily_drawdown());
        (core.counts.final_equity, core.counts.max_daily_drawdown) = (equity, worst_daily);
        core.counts.state_hash = Some(core.engine().state_hash());
        let (counts, stages) = (core.counts.clone(), std::mem::take(&mut core.stages));
        (Left { outcome, fault, between_ticks, counts, stages, equity, worst_daily }, core.into_recorder())
    }
}

fn sum_up(
    left: Left,
    mut seen: Seen,
    table: &InstrumentTable,
    journal: JournalSummary,
    began: Instant,
) -> Result<Column, Failure> {
    left.outcome?;
    seen.finish()?;
    let run = Summary::new(&seen.stats, &left.counts, &left.stages, table, journal);
    let measured = seen.measures.finish(left.equity, left.worst_daily);
    Ok(Column {
        measured,
        run,
        seconds: began.elapsed().as_secs_f64(),
        fault: left.fault,
        between_ticks: left.between_ticks,
    })
}

/// The journal of a run, and who follows it on the drain's thread.
struct Journal {
    folder: Folder,
    drain: Drain,
    seen: Arc<Mutex<Seen>>,
}

impl Journal {
    fn open(
        dir: &Path,
        wanted: &Wanted,
        table: &InstrumentTable,
        identity: &Identity,
        seen: Seen,
    ) -> Result<(Journal, RingWriter), Failure> {
        let ring_dir = wanted.ring_dir.map_or_else(ring_dir, Path::to_path_buf);
        let settings = wanted.settings;
        let folder = Folder::create(dir)?;
        let log = settings.log_to_file.then(|| log_file(folder.path(), false)).transpose()?;
        let ring = folder.create_ring(Some(&ring_dir), settings.ring_slots.into(), identity)?;
        let archive = folder.create_archive_with(identity, archive_options(settings))?;
        let (mut reporter, _) = Reporter::new(Lines::new(table.clone(), *settings), Console::Quiet, log);
        let clock = MonotonicClock::new();
        let seen = Arc::new(Mutex::new(seen));
        let (shared, mut assembler) = (Arc::clone(&seen), Assembler::default());
        let drain = Drain::spawn(
            &ring,
            archive,
            drain_options(settings),
            move || clock.now_ns(),
            move |record| {
                reporter.take(record);
                // What does not decode here the ring would have refused.
                if let Ok(Some(entry)) = assembler.push(record) {
                    lock(&shared).follow(record.sequence.saturating_sub(record.part.into()), &entry);
                }
            },
            say,
        )?;
        Ok((Journal { folder, drain, seen }, ring))
    }

    /// Waits for the archive.
    fn close(self, last: u64, overruns: u64) -> Result<(Seen, JournalSummary), Failure> {
        let Journal { folder, drain, seen } = self;
        let report = drain.stop(last);
        let path = folder.path().display().to_string();
        folder.close(&report, last)?;
        if let Some(error) = report.error.or(report.observer_failed) {
            return Err(Failure::refused(format!("the run's records could not be followed: {error}")));
        }
        let (records, bytes, durable_seq) = (report.records, report.bytes, report.durable_sequence);
        let summary = JournalSummary { records, bytes, durable_seq, overruns, path };
        // The drain's thread has ended, and its share with it.
        let seen = Arc::into_inner(seen).ok_or_else(|| Failure::refused("the drain did not end"))?;
        Ok((seen.into_inner().unwrap_or_else(PoisonError::into_inner), summary))
    }
}

/// What follows the run: in its own thread, or on the drain's where a journal is kept.
struct Seen {
    stats: Stats,
    measures: Measures,
    indicators: Option<(PathBuf, Indicators<BufWriter<File>>)>,
    failed: Option<io::Error>,
    progress: Option<Progress>,
}

impl Seen {
    fn new(input: &Input, wanted: &Wanted, read: BytesRead) -> Result<Seen, Failure> {
        let table = || input.table.clone();
        let indicators = wanted.indicators.map(|path| {
            let refuse = |error| Failure::refused(format!("--dump-indicators {}: {error}", path.display()));
            let out = BufWriter::new(File::create(path).map_err(refuse)?);
            let (atr, ema) = (wanted.settings.atr_period, wanted.settings.ema_period);
            let indicators = Indicators::new(out, table(), atr, ema).map_err(refuse)?;
            Ok::<_, Failure>((path.to_path_buf(), indicators))
        });
        let whole = match input.span {
            Some((from, to)) => Whole::Time { from, to },
            None => Whole::Bytes { read, bytes: input.bytes },
        };
        Ok(Seen {
            stats: Stats::default(),
            measures: Measures::new(table(), wanted.settings),
            indicators: indicators.transpose()?,
            failed: None,
            progress: wanted.progress.then(|| Progress::new(format!("risk {:<3}", wanted.name), whole)),
        })
    }

    /// The progress line goes; the table is on disk.
    fn finish(&mut self) -> Result<(), Failure> {
        self.progress = None;
        let Some((path, indicators)) = self.indicators.take() else { return Ok(()) };
        let finished = self.failed.take().map_or_else(|| indicators.finish(), Err);
        finished.map_err(|error| Failure::refused(format!("--dump-indicators {}: {error}", path.display())))
    }
}

impl Follower for Seen {
    fn follow(&mut self, sequence: u64, entry: &Entry) {
        self.stats.records += 1;
        self.stats.take(sequence, entry);
        self.measures.take(entry, &self.stats.book);
        match entry {
            Entry::Event(event) => {
                if let Some(progress) = self.progress.as_mut() {
                    progress.see(event.recv_ns, sequence);
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
}

/// The figures; a panic elsewhere does not make them unreadable.
fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
