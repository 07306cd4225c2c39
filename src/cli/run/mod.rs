//! `qtx run`: the engine, against the simulated venue or a venue elsewhere.

mod bans;
pub(super) mod direct;
#[cfg(feature = "server")]
mod embedded;
mod host;
mod journal;
mod remote;
mod resume;
mod sockets;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[cfg(feature = "server")]
pub(super) use embedded::stops;

use clap::{Args, ValueEnum};
use crossbeam_channel::Sender;

use self::journal::Journal;
pub(super) use self::journal::{archive_options, drain_options, log_file, say};
use super::market::{Market, preset_of};
use super::settings::SettingsArgs;
use super::{Failure, print};
use crate::event::{EndReason, Event, InstrumentTable};
use crate::host::stop::StopFlag;
use crate::journal::Identity;
use crate::journal::ring::RingWriter;
use crate::live::control::{Control, ControlConfig};
use crate::live::{Core, Inbox, Pace, RunError, opening};
use crate::num::TimeNs;
use crate::observe::{Shared, SocketSummary, Summary};
use crate::risk::config::{Key, Loaded, Settings, SimStops};
use crate::sim::exchange::Exchange;
use crate::sim::link::{Link, LinkConfig};
use crate::sim::venue::{Venue, VenueConfig};

/// Who trades with us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum VenueName {
    /// The simulated venue of this process
    Sim,
    /// Binance USD-M futures, or a simulated venue at the addresses of QT_BINANCE_…
    Binance,
    /// Binance's test network
    BinanceTestnet,
}

/// How the simulated venue is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TransportName {
    /// By websocket and HTTP on loopback, as a real venue is
    #[cfg(feature = "server")]
    Sockets,
    /// In the engine's own thread
    Direct,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  qtx run --duration 30
      the made market at twenty seconds a second, for half a minute
  qtx run --market synthetic:7 --speed max --duration 3600 --json
      an hour of another made market, as fast as it goes
  qtx run --market day.tsv.zst --bar 1s --set RM_MIN_STOP_COST=0 --json
      recorded frames; bars this short need the cost rule off
  qtx run --market btcusdt_trades.csv.zst --symbol BTCUSDT --journal runs/btc
  qtx run --market synthetic:7 --transport direct --speed max --duration 3600
      without sockets: the fastest way to the same decisions
  qtx run --venue binance --symbols BTCUSDT,ETHUSDT --journal runs/live --live
      real orders: QT_API_KEY and QT_API_SECRET from the environment")]
pub struct RunArgs {
    /// synthetic[:SEED], realistic[:SEED], wide:COUNT[:SEED] (so many instruments), candles:COUNT[:SEED] (of a
    /// minute), each with :gaps=N a day, :gap=PERCENT and :atr=PERCENT behind it (docs/SIM.md); or a file of
    /// frames, trades or candles, plain or .zst; files may be several, each with its own --market, and are
    /// merged by time
    #[arg(long, value_name = "MARKET", default_value = "synthetic")]
    market: Vec<String>,
    /// Instrument of trades and candles, where the file's name does not say
    #[arg(long)]
    symbol: Option<String>,
    /// Instruments from a file of exchangeInfo JSON instead of the built-in table
    #[arg(long, value_name = "FILE")]
    instruments: Option<PathBuf>,
    /// Simulated seconds a second, or max; default 20 for made markets, max for files
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
    /// Where orders go
    #[arg(long, value_enum, default_value = "sim")]
    venue: VenueName,
    /// Symbols to trade at a venue elsewhere, with commas between
    #[arg(long, value_name = "SYMBOLS", value_delimiter = ',')]
    symbols: Vec<String>,
    /// Send orders to a real venue: real money
    #[arg(long)]
    live: bool,
    /// How the simulated venue is reached; default: sockets
    #[arg(long, value_enum)]
    transport: Option<TransportName>,
    #[cfg(feature = "server")]
    #[command(flatten)]
    embedded: embedded::EmbeddedArgs,
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

impl RunArgs {
    /// What only the served venue does must not be asked for in vain.
    fn refuse_what_needs_sockets(&self, settings: &Settings) -> Result<(), Failure> {
        let what = if settings.sim_stops != SimStops::Accept {
            Some("QT_SIM_STOPS")
        } else if self.wants_tls() {
            Some("--sim-tls-cert")
        } else {
            None
        };
        what.map_or(Ok(()), |what| {
            Err(Failure::refused(format!("{what} is for runs over sockets (--transport sockets)")))
        })
    }

    #[cfg(feature = "server")]
    fn wants_tls(&self) -> bool {
        self.embedded.is_secure()
    }

    #[cfg(not(feature = "server"))]
    fn wants_tls(&self) -> bool {
        false
    }
}

/// What a loop is started with.
pub(super) struct Plan {
    pub start: TimeNs,
    pub opening: Vec<Event>,
    pub pace: Pace,
    pub stop: StopFlag,
    /// Longest an order and its first report can take by the simulated line's latencies.
    pub round_trip_ns_max: Option<u64>,
}

/// A loop that has ended.
pub(super) struct Ended<R = RingWriter> {
    pub core: Core<R>,
    pub outcome: Result<(), RunError>,
    /// Why the market could not be read on.
    pub fault: Option<String>,
    /// That was a price between two ticks.
    pub between_ticks: bool,
    pub sockets: Option<SocketSummary>,
}

pub fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    match args.venue {
        VenueName::Sim => simulated(args),
        VenueName::Binance | VenueName::BinanceTestnet => remote::run(args),
    }
}

fn simulated(args: &RunArgs) -> Result<ExitCode, Failure> {
    for (given, flag) in [(!args.symbols.is_empty(), "--symbols"), (args.live, "--live")] {
        if given {
            let line = format!("{flag} is for a venue elsewhere: --venue binance or binance-testnet");
            return Err(Failure::refused(line));
        }
    }
    let preset = match args.market.as_slice() {
        [only] => preset_of(only),
        _ => None,
    };
    let loaded = args.settings.load(preset.as_ref())?;
    let settings = &loaded.settings;
    let (source, market) =
        Market::open(&args.market, args.symbol.as_deref(), args.instruments.as_ref(), settings)?;
    let pace = pace(args, market.speed)?;
    let stop =
        StopFlag::on_signals().map_err(|error| Failure::refused(format!("signal handlers: {error}")))?;
    let mut exchange = Exchange::new(source, link(&market, settings))?;
    let Some(first) = exchange.next_frame() else {
        return Err(Failure::refused(format!("{}: no frames", market.description)));
    };
    let start = market.start.unwrap_or(first);
    let account = exchange.link().venue().snapshot();
    let round_trip_ns_max = Some(exchange.link().round_trip_ns_max());
    let venue = Venues::open(args, settings, &market, exchange, start, pace.speed)?;
    let identity = identity(settings, &market.identity, market.latency_seed, &market.instruments);
    let (journal, ring) = Journal::open(args, settings, &market.instruments, &identity, None)?;
    if !args.json {
        print(&banner(&loaded, &market, &pace, &venue, journal.folder.path()))?;
    }
    let mut opening = opening(start, &identity, settings, &market.instruments, true);
    opening.extend(market.history_events(start));
    let account = account.into_iter();
    opening.extend(account.map(|(instrument, body)| Event { recv_ns: start, instrument, body }));
    #[cfg_attr(not(feature = "planted-defect"), allow(unused_mut))]
    let mut core = Core::new(settings, &market.instruments, ring);
    #[cfg(feature = "planted-defect")]
    if std::env::var_os("PLANT_DEFECT").is_some_and(|value| value == "1") {
        core.plant_defect();
    }
    let plan = Plan { start, opening, pace, stop, round_trip_ns_max };
    let (ended, control) = venue.run(plan, core, &journal, settings, &market.instruments)?;
    finish(args, journal, control, ended, &market.instruments)
}

/// The simulated venue, by either road.
enum Venues {
    Direct(Box<Exchange>),
    #[cfg(feature = "server")]
    Embedded(Box<embedded::Embedded>),
}

impl Venues {
    #[cfg_attr(not(feature = "server"), allow(unused_variables))]
    fn open(
        args: &RunArgs,
        settings: &Settings,
        market: &Market,
        exchange: Exchange,
        start: TimeNs,
        speed: Option<f64>,
    ) -> Result<Venues, Failure> {
        match args.transport {
            Some(TransportName::Direct) => {
                args.refuse_what_needs_sockets(settings)?;
                Ok(Venues::Direct(Box::new(exchange)))
            }
            #[cfg(not(feature = "server"))]
            None => Ok(Venues::Direct(Box::new(exchange))),
            #[cfg(feature = "server")]
            None | Some(TransportName::Sockets) => {
                let venue =
                    embedded::Embedded::open(&args.embedded, settings, market, exchange, start, speed)?;
                Ok(Venues::Embedded(Box::new(venue)))
            }
        }
    }

    fn describe(&self) -> String {
        match self {
            Venues::Direct(_) => "simulated, in the engine's thread".to_string(),
            #[cfg(feature = "server")]
            Venues::Embedded(venue) => format!("simulated, at {}", venue.address()),
        }
    }

    fn run(
        self,
        plan: Plan,
        core: Core,
        journal: &Journal,
        settings: &Settings,
        instruments: &InstrumentTable,
    ) -> Result<(Ended, Control), Failure> {
        match self {
            Venues::Direct(exchange) => {
                let (senders, inbox) = Inbox::new();
                let control = control(journal, settings, instruments, senders.commands)?;
                Ok((direct::run(plan, core, *exchange, inbox, Some(&journal.drain)), control))
            }
            #[cfg(feature = "server")]
            Venues::Embedded(venue) => {
                let mut held = None;
                let open = |sender| {
                    held = Some(control(journal, settings, instruments, sender)?);
                    Ok(())
                };
                let ended = venue.run(plan, core, open, &journal.drain)?;
                held.map(|control| (ended, control))
                    .ok_or_else(|| Failure::refused("the run ended before it began"))
            }
        }
    }
}

/// The operator's road into this run.
fn control(
    journal: &Journal,
    settings: &Settings,
    instruments: &InstrumentTable,
    commands: Sender<Event>,
) -> Result<Control, Failure> {
    let stats = Shared::clone(&journal.stats);
    journal.notices.open(commands.clone());
    let dir = journal.folder.path();
    Ok(Control::spawn(ControlConfig { dir, instruments, settings, stats, inbox: commands })?)
}

/// Closes the journal, then the operator's road: who asks until then is answered.
fn finish(
    args: &RunArgs,
    journal: Journal,
    control: Control,
    ended: Ended,
    instruments: &InstrumentTable,
) -> Result<ExitCode, Failure> {
    let fault = ended.fault.clone();
    let summary = journal.close(ended, instruments);
    drop(control);
    let summary: Summary = summary?;
    print(&if args.json {
        serde_json::to_string_pretty(&summary)? + "\n"
    } else {
        format!("\n{summary}\n")
    })?;
    match fault {
        None => Ok(ExitCode::SUCCESS),
        Some(why) => Err(Failure::refused(format!("{why}; the run ended there"))),
    }
}

/// The reason a loop ended; a market that can't be read on ends a run in order, and `fault` says why.
fn ended_at(outcome: Result<EndReason, RunError>, fault: &mut Option<String>) -> Result<EndReason, RunError> {
    let why = match outcome {
        Err(RunError::Market(error)) => error.to_string(),
        Err(RunError::MarketFault(why)) => why,
        outcome => return outcome,
    };
    *fault = Some(why);
    Ok(EndReason::MarketFault)
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

/// Run id and epoch of a simulated run come from its inputs, so that equal inputs give equal bytes. The
/// epoch, which is in every order id, is of what is known of a market before it is read.
pub(super) fn identity(settings: &Settings, market: &[u8], head: u64, table: &InstrumentTable) -> Identity {
    let inputs = |market: &[u8]| {
        let mut inputs = settings.digest().to_le_bytes().to_vec();
        inputs.extend(market);
        table.iter().for_each(|(_, row)| inputs.extend(bytemuck::bytes_of(row)));
        inputs
    };
    let whole = inputs(market);
    let low = u64::from(crc32c::crc32c(&whole));
    let high = u64::from(crc32c::crc32c_append(0x5158_0001, &whole));
    Identity {
        run_id: high << 32 | low,
        build_id: build_id(),
        epoch: crc32c::crc32c(&inputs(&head.to_le_bytes())).max(1),
        clock: Default::default(),
    }
}

/// Of the version; the profile is left out, so that debug and release agree.
fn build_id() -> u64 {
    let version = concat!(env!("CARGO_PKG_NAME"), "-", env!("CARGO_PKG_VERSION"));
    u64::from(crc32c::crc32c(version.as_bytes()))
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
        seed: market.latency_seed,
    };
    Link::new(venue, config)
}

/// What the run is about to do.
fn banner(loaded: &Loaded, market: &Market, pace: &Pace, venue: &Venues, journal: &Path) -> String {
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
        "venue          {}: wallet {} USDT, leverage {}\n\
         journal        {}\n\n",
        venue.describe(),
        settings.sim_equity,
        settings.venue_leverage,
        journal.display()
    );
    text
}
