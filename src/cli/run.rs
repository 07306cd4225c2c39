//! `qtx run`: the engine against the simulated venue, in process.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::PoisonError;

use clap::Args;

use super::market::{Market, preset_of};
use super::settings::SettingsArgs;
use super::{DEFAULT_JOURNAL, Failure, print};
use crate::event::{ConfigText, EndReason, Event, EventBody, RunStart};
use crate::host::clock::MonotonicClock;
use crate::host::ring_dir;
use crate::host::stop::StopFlag;
use crate::journal::drain::Drain;
use crate::journal::{Folder, Identity};
use crate::live::control::{Control, ControlConfig};
use crate::live::{Core, Direct, Lockstep, Pace, RunError};
use crate::num::TimeNs;
use crate::observe::{Console, JournalSummary, Lines, Reporter, Shared, Summary};
use crate::risk::config::{Key, Loaded, Settings};
use crate::sim::exchange::Exchange;
use crate::sim::link::{Link, LinkConfig};
use crate::sim::market::SourceError;
use crate::sim::venue::{Venue, VenueConfig};

/// The operator's commands that may wait at once; more are refused as busy.
const COMMANDS_MAX: usize = 16;
const LOG_NAME: &str = "trade_decisions.log";

#[derive(Args)]
#[command(after_help = "\
Examples:
  qtx run --duration 30
      the made market at a minute a second, for half a minute
  qtx run --market synthetic:7 --speed max --duration 3600 --json
      an hour of another made market, as fast as it goes
  qtx run --market day.tsv.zst --bar 1s --set RM_MIN_STOP_COST=0 --json
      recorded frames; bars this short need the cost rule off
  qtx run --market btcusdt_trades.csv.zst --symbol BTCUSDT --journal runs/btc")]
pub struct RunArgs {
    /// synthetic[:SEED], realistic[:SEED], or a file of frames, trades or candles, plain or .zst; files
    /// may be several, each with its own --market, and are merged by time
    #[arg(long, value_name = "MARKET", default_value = "synthetic")]
    market: Vec<String>,
    /// Instrument of trades and candles, where the file's name does not say
    #[arg(long)]
    symbol: Option<String>,
    /// Instruments from a file of exchangeInfo JSON instead of the built-in table
    #[arg(long, value_name = "FILE")]
    instruments: Option<PathBuf>,
    /// Simulated seconds a second, or max; default 60 for made markets, max for files
    #[arg(long, value_name = "N|max", allow_negative_numbers = true)]
    speed: Option<String>,
    /// Seconds to run, simulated ones at --speed max; default: to the end of the market or Ctrl-C
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    duration: Option<String>,
    /// Folder of the journal; must not hold one yet. Default: qtx-journal, replaced by each run
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Folder of the journal's ring; default /dev/shm
    #[arg(long, value_name = "DIR")]
    ring_dir: Option<PathBuf>,
    /// Where orders go: sim, the simulated venue in this process
    #[arg(long, value_parser = ["sim"], default_value = "sim")]
    venue: String,
    /// Where signals come from: rules, the built-in rule voters
    #[arg(long, value_parser = ["rules"], default_value = "rules")]
    signals: String,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print the summary as JSON, and nothing else
    #[arg(long)]
    json: bool,
    /// Print every line of the log: votes, and rejections that repeat
    #[arg(long, short, conflicts_with = "json")]
    verbose: bool,
}

pub fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let preset = match args.market.as_slice() {
        [only] => preset_of(only),
        _ => None,
    };
    let loaded = args.settings.load(preset.as_ref())?;
    let (source, market) =
        Market::open(&args.market, args.symbol.as_deref(), args.instruments.as_ref(), &loaded.settings)?;
    let pace = pace(args, market.speed)?;
    let stop =
        StopFlag::on_signals().map_err(|error| Failure::refused(format!("signal handlers: {error}")))?;
    let mut exchange = Exchange::new(source, link(&market, &loaded.settings))?;
    let Some(first) = exchange.next_frame() else {
        return Err(Failure::refused(format!("{}: no frames", market.description)));
    };
    let start = market.start.unwrap_or(first);
    let identity = identity(&loaded, &market);
    let journal = Journal::open(args, &loaded, &market, &identity)?;
    if !args.json {
        print(&banner(&loaded, &market, &pace, journal.folder.path()))?;
    }
    let mut events = opening(start, &identity, &loaded, &market);
    let account = exchange.link().venue().snapshot();
    events.extend(account.into_iter().map(|(instrument, body)| Event { recv_ns: start, instrument, body }));
    let (summary, fault) = trade(&loaded, &market, exchange, (start, events), pace, stop, journal)?;
    print(&if args.json {
        serde_json::to_string_pretty(&summary)? + "\n"
    } else {
        format!("\n{summary}\n")
    })?;
    match fault {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(Failure::refused(format!("{error}; the run ended there"))),
    }
}

/// Speed and horizon from the flags.
fn pace(args: &RunArgs, default_speed: Option<f64>) -> Result<Pace, Failure> {
    let speed = match args.speed.as_deref() {
        None => default_speed,
        Some("max") => None,
        Some(text) => match text.parse::<f64>() {
            Ok(speed) if (0.001..=1e6).contains(&speed) => Some(speed),
            _ => {
                let line = format!("--speed {text:?} is not allowed: max, or a number from 0.001 to 1000000");
                return Err(Failure::refused(line));
            }
        },
    };
    let horizon_ns = match args.duration.as_deref() {
        None => None,
        Some(text) => match text.parse::<f64>() {
            Ok(seconds) if seconds > 0.0 && seconds <= 1e9 => {
                Some((seconds * speed.unwrap_or(1.0) * 1e9).min(i64::MAX as f64) as i64)
            }
            _ => {
                let line = format!("--duration {text:?} is not allowed: seconds, above 0 to 1000000000");
                return Err(Failure::refused(line));
            }
        },
    };
    Ok(Pace { speed, horizon_ns })
}

/// Run id and epoch of a simulated run come from its inputs, so that equal inputs give equal bytes.
fn identity(loaded: &Loaded, market: &Market) -> Identity {
    let mut inputs = loaded.settings.digest().to_le_bytes().to_vec();
    inputs.extend(&market.identity);
    for (_, row) in market.instruments.iter() {
        inputs.extend(bytemuck::bytes_of(row));
    }
    let low = u64::from(crc32c::crc32c(&inputs));
    let high = u64::from(crc32c::crc32c_append(0x5158_0001, &inputs));
    let version = concat!(env!("CARGO_PKG_NAME"), "-", env!("CARGO_PKG_VERSION"));
    Identity {
        run_id: high << 32 | low,
        build_id: u64::from(crc32c::crc32c(version.as_bytes())),
        epoch: (low as u32).max(1),
        clock: Default::default(),
    }
}

/// The journal of a run, with the thread behind it.
struct Journal {
    folder: Folder,
    ring: crate::journal::ring::RingWriter,
    drain: Drain,
    stats: Shared,
}

impl Journal {
    fn open(
        args: &RunArgs,
        loaded: &Loaded,
        market: &Market,
        identity: &Identity,
    ) -> Result<Journal, Failure> {
        let ring_dir = args.ring_dir.clone().unwrap_or_else(ring_dir);
        if !ring_dir.is_dir() {
            return Err(Failure::refused(format!("--ring-dir {ring_dir:?}: no such folder")));
        }
        let folder = match &args.journal {
            Some(dir) => Folder::create(dir)?,
            None => Folder::replace(Path::new(DEFAULT_JOURNAL))?,
        };
        let settings = &loaded.settings;
        // First what can still fail without leaving half a journal behind.
        let log = settings.log_to_file.then(|| log_file(folder.path())).transpose()?;
        let ring = folder.create_ring(Some(&ring_dir), settings.ring_slots.into(), identity)?;
        let archive = folder.create_archive(identity)?;
        let console = match (args.json, args.verbose) {
            (true, _) => Console::Quiet,
            (false, false) => Console::Lines,
            (false, true) => Console::All,
        };
        let lines = Lines::new(market.instruments.clone(), *settings);
        let (mut reporter, stats) = Reporter::new(lines, console, log);
        let clock = MonotonicClock::new();
        let drain =
            Drain::spawn(&ring, archive, move || clock.now_ns(), move |record| reporter.take(record))?;
        Ok(Journal { folder, ring, drain, stats })
    }
}

fn log_file(dir: &Path) -> Result<File, Failure> {
    let path = dir.join(LOG_NAME);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(&path)
        .map_err(|error| Failure::refused(format!("{}: can't create: {error}", path.display())))
}

/// What every run's journal begins with: who it is, its instruments, its settings, its history.
fn opening(start: TimeNs, identity: &Identity, loaded: &Loaded, market: &Market) -> Vec<Event> {
    let run_start = RunStart {
        run_id: identity.run_id,
        build_id: identity.build_id,
        epoch: identity.epoch,
        instruments: market.instruments.len() as u32,
        resting_stops: true,
        simulated: true,
        rule_voters: true,
        pad: [0; 5],
    };
    let mut events = vec![Event::global(start, EventBody::RunStart(run_start))];
    for (instrument, row) in market.instruments.iter() {
        events.push(Event { recv_ns: start, instrument, body: EventBody::Instrument(*row) });
    }
    let toml = loaded.settings.to_toml();
    events.extend(ConfigText::split(&toml).map(|piece| Event::global(start, EventBody::ConfigText(piece))));
    for (instrument, bar) in &market.history {
        events.push(Event { recv_ns: start, instrument: *instrument, body: EventBody::Bar(*bar) });
    }
    events
}

/// The simulated venue of a market, at the end of a line.
pub(super) fn link(market: &Market, settings: &Settings) -> Link {
    let venue = Venue::new(
        market.instruments.clone(),
        VenueConfig { wallet: settings.sim_equity, leverage: settings.venue_leverage, funding: true },
    );
    let micros = |us: i64| us.unsigned_abs() * 1_000;
    let config = LinkConfig {
        order_latency_ns: micros(settings.sim_order_latency_us),
        report_latency_ns: micros(settings.sim_report_latency_us),
        jitter_ns: micros(settings.sim_latency_jitter_us),
        // Of the market alone: two runs that differ in a setting meet the same latencies.
        seed: u64::from(crc32c::crc32c(&market.identity)),
    };
    Link::new(venue, config)
}

/// The run itself. A market that can't be read on ends it in order: the summary then comes with why.
fn trade(
    loaded: &Loaded,
    market: &Market,
    exchange: Exchange,
    opening: (TimeNs, Vec<Event>),
    pace: Pace,
    stop: StopFlag,
    journal: Journal,
) -> Result<(Summary, Option<SourceError>), Failure> {
    let Journal { folder, ring, drain, stats } = journal;
    let (start, events) = opening;
    let core = Core::new(&loaded.settings, &market.instruments, ring);
    let (commands, inbox) = crossbeam_channel::bounded(COMMANDS_MAX);
    let control = Control::spawn(ControlConfig {
        dir: folder.path(),
        instruments: &market.instruments,
        settings: &loaded.settings,
        stats: Shared::clone(&stats),
        inbox: commands,
    })?;
    let mut lockstep = Lockstep::new(core, Direct(exchange), inbox, &drain, stop);
    let mut fault = None;
    let outcome = lockstep
        .begin(start, events.into_iter())
        .and_then(|()| match lockstep.run(pace) {
            Err(RunError::Market(error)) => {
                fault = Some(error);
                Ok(EndReason::MarketFault)
            }
            outcome => outcome,
        })
        .and_then(|reason| lockstep.end(reason));
    let Lockstep { intake, transport: Direct(mut exchange), .. } = lockstep;
    let mut core = intake.core;
    let last = core.ring().next_sequence() - 1;
    core.counts.sim_round_trip_ns_max = Some(exchange.link().round_trip_ns_max());
    core.counts.out_of_order = exchange.source_counts().clamped;
    let controller = core.engine().controller();
    (core.counts.final_equity, core.counts.max_daily_drawdown) =
        (controller.equity(), controller.equity().map(|_| controller.worst_daily_drawdown()));
    let report = drain.stop(last);
    drop(control);
    let path = folder.path().display().to_string();
    folder.close(&report, last)?;
    outcome.map_err(|error: RunError| Failure::refused(format!("{error} (the journal is in {path})")))?;
    if let Some(error) = report.error {
        return Err(Failure::refused(format!("the journal in {path} is incomplete: {error}")));
    }
    let written = JournalSummary {
        records: report.records,
        bytes: report.bytes,
        durable_seq: report.durable_sequence,
        overruns: core.counts.overruns,
        path,
    };
    let stats = stats.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((Summary::new(&stats, &core.counts, &core.stages, &market.instruments, written), fault))
}

/// What the run is about to do.
fn banner(loaded: &Loaded, market: &Market, pace: &Pace, journal: &Path) -> String {
    let settings = &loaded.settings;
    let symbols: Vec<String> = market.instruments.iter().map(|(_, row)| row.symbol.to_string()).collect();
    let speed = pace
        .speed
        .map_or_else(|| "as fast as it goes".to_string(), |s| format!("{s} simulated seconds a second"));
    let bar = Key::QT_BAR_INTERVAL.setting().value(settings);
    let mut text = format!(
        "market         {}, {speed}\n\
         instruments    {}\n\
         bars           {bar}, {} bars of history loaded\n",
        market.description,
        symbols.join(" "),
        market.history.len()
    );
    if let Some(preset) = &market.preset {
        text += &format!(
            "preset         {preset};\n\
             \x20              lively so that trades come within seconds: it says nothing about a real market\n"
        );
    }
    text += &format!(
        "venue          simulated, in process: wallet {} USDT, leverage {}\n\
         journal        {}\n\n",
        settings.sim_equity,
        settings.venue_leverage,
        journal.display()
    );
    text
}
