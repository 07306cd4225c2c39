//! `qtx sim`: the simulated venue alone, as servers for other programs.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::market::{Market, made_history, preset_of};
use super::run::{link, stops};
use super::settings::SettingsArgs;
use super::{Failure, print};
use crate::host::clock::wall_time;
use crate::host::stop::StopFlag;
use crate::host::time::{Scale, SimTime};
use crate::num::TimeNs;
use crate::risk::config::{Preset, Settings};
use crate::sim::exchange::Exchange;
use crate::sim::market::MarketSource;
use crate::sim::server::{Ended, Faults, Pacing, Server, ServerConfig, spawn, tls_config};

/// Minutes of history a made market comes with: what a client can ask for at once.
const HISTORY_MINUTES: usize = 1_500;
const MINUTE_S: u32 = 60;
/// Between two looks at the stop flag.
const LOOK: Duration = Duration::from_millis(50);
/// After the last frame of a file, what is still on its way gets this long.
const SETTLE: Duration = Duration::from_secs(2);
/// Symbols that the command of a run names; more would fill the screen.
const SYMBOLS_SHOWN_MAX: usize = 20;
/// Where a run is told its venue.
const ADDRESS_SETTINGS: [&str; 5] = [
    "QT_BINANCE_REST_URL",
    "QT_BINANCE_PUBLIC_URL",
    "QT_BINANCE_MARKET_URL",
    "QT_BINANCE_PRIVATE_URL",
    "QT_BINANCE_API_URL",
];

#[derive(Args)]
#[command(after_help = "\
Examples:
  qtx sim
      a made market in real time on 127.0.0.1:9001
  qtx sim --market day.tsv.zst --speed 10 --bind 127.0.0.1:0
      recorded frames, ten times as fast, on a free port
  qtx sim --tls-cert venue.pem --tls-key venue.key
  qtx sim --set QT_SIM_STOPS=swallow
      a venue that loses every stop

It speaks Binance USD-M: /public, /market and /private streams, /ws-fapi/v1, /fapi; GET /sim/clock
tells simulated time, GET /sim/audit what the account holds, and under which stops. There is one account, and whoever has the key printed at the start trades on it.")]
pub struct SimArgs {
    /// synthetic[:SEED], realistic[:SEED], wide:COUNT[:SEED] (so many instruments), candles:COUNT[:SEED] (of a
    /// minute), each with :gaps=N a day, :gap=PERCENT and :atr=PERCENT behind it (docs/SIM.md); or a file of frames,
    /// trades or candles, plain or .zst; files may be several, each with its own --market, and are merged by time
    #[arg(long, value_name = "MARKET", default_value = "synthetic")]
    market: Vec<String>,
    /// Instrument of trades and candles, where the file's name does not say
    #[arg(long)]
    symbol: Option<String>,
    /// Instruments from a file of exchangeInfo JSON instead of the built-in table
    #[arg(long, value_name = "FILE")]
    instruments: Option<PathBuf>,
    /// Simulated seconds a second
    #[arg(long, value_name = "N", default_value = "1", allow_negative_numbers = true)]
    speed: String,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9001")]
    bind: String,
    /// Certificate chain of the server (PEM); needs --tls-key
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM); needs --tls-cert
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Seconds to serve; default: to the end of the market or Ctrl-C
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    duration: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print addresses and figures as JSON, a line each, and nothing else
    #[arg(long)]
    json: bool,
}

pub fn sim(args: &SimArgs) -> Result<ExitCode, Failure> {
    let only = match args.market.as_slice() {
        [only] => Some(only.as_str()),
        _ => None,
    };
    let preset = only.and_then(preset_of);
    let loaded = args.settings.load(preset.as_ref())?;
    let settings = &loaded.settings;
    let scale = scale(&args.speed)?;
    let duration = args.duration.as_deref().map(duration).transpose()?;
    // A made market is of now; a recorded one keeps its time.
    let start = preset.is_some().then(wall_time);
    let (source, market) =
        Market::open_at(&args.market, args.symbol.as_deref(), args.instruments.as_ref(), settings, start)?;
    let mut config = config(args, settings)?;
    config.history = market.history.clone();
    if let Some(made) = only.filter(|_| settings.bar_interval_s != MINUTE_S) {
        config.history.extend(made_history(made, settings, start, MINUTE_S, HISTORY_MINUTES)?);
    }
    let stop =
        StopFlag::on_signals().map_err(|error| Failure::refused(format!("signal handlers: {error}")))?;
    let (server, clock) = serve(config, source, &market, settings, start, scale)?;
    print(&if args.json {
        started_json(&server, &market)
    } else {
        banner(&server, &market, preset.as_ref(), scale, args)
    })?;
    server.go();
    clock.go();
    let fault = wait(&server, &stop, duration);
    let report = server.stop();
    print(&if args.json { serde_json::to_string(&report)? + "\n" } else { format!("\n{report}\n") })?;
    match fault {
        None => Ok(ExitCode::SUCCESS),
        Some(fault) => Err(Failure::refused(format!("{fault}; the market ended there"))),
    }
}

fn scale(text: &str) -> Result<Scale, Failure> {
    let scale = text.parse().ok().and_then(Scale::new);
    scale.ok_or_else(|| {
        let allowed = "a number from 0.001 to 1000000; a venue alone has nobody to wait for at max";
        Failure::refused(format!("--speed {text:?} is not allowed: {allowed}"))
    })
}

fn duration(text: &str) -> Result<Duration, Failure> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 1e9 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(Failure::refused(format!(
            "--duration {text:?} is not allowed: seconds, above 0 to 1000000000"
        ))),
    }
}

fn config(args: &SimArgs, settings: &Settings) -> Result<ServerConfig, Failure> {
    let bind: SocketAddr = args.bind.parse().map_err(|_| {
        Failure::refused(format!("--bind {:?} is not allowed: ADDRESS:PORT, as 127.0.0.1:9001", args.bind))
    })?;
    // Both or none, as the arguments say.
    let files = args.tls_cert.as_deref().zip(args.tls_key.as_deref());
    let tls = files.map(|(certificates, key)| tls_config(certificates, key)).transpose()?;
    let faults = Arc::<Faults>::default();
    faults.set_stops(stops(settings.sim_stops));
    let frame_bytes_max = settings.max_frame_bytes as usize;
    Ok(ServerConfig { bind, tls, faults, frame_bytes_max, ..ServerConfig::default() })
}

/// Starts the server with its clock standing at the market's beginning.
fn serve(
    config: ServerConfig,
    source: Box<dyn MarketSource>,
    market: &Market,
    settings: &Settings,
    start: Option<TimeNs>,
    scale: Scale,
) -> Result<(Server, SimTime), Failure> {
    let bind = config.bind;
    let exchange = Exchange::new(source, link(market, settings))?;
    let Some(first) = exchange.next_frame() else {
        return Err(Failure::refused(format!("{}: no frames", market.description)));
    };
    let clock = SimTime::paused(start.unwrap_or(first), scale);
    let pacing = Pacing::Paced { clock: Box::new(clock.clone()), scale: scale.factor(), wall: wall_time };
    let server = spawn(config, exchange, market.instruments.clone(), pacing)
        .map_err(|error| Failure::refused(format!("--bind {bind}: {error}")))?;
    Ok((server, clock))
}

/// Waits for a reason to end; the fault, if it is one.
fn wait(server: &Server, stop: &StopFlag, duration: Option<Duration>) -> Option<String> {
    let began = Instant::now();
    let mut over: Option<Instant> = None;
    while !stop.is_set() && duration.is_none_or(|duration| began.elapsed() < duration) {
        match server.ended() {
            Some(Ended::Fault(fault)) => return Some(fault.clone()),
            Some(Ended::MarketEnd) if over.get_or_insert_with(Instant::now).elapsed() >= SETTLE => break,
            _ => thread::sleep(LOOK),
        }
    }
    None
}

/// Addresses in the order of [`ADDRESS_SETTINGS`].
fn addresses(server: &Server) -> [String; 5] {
    let at = server.endpoints();
    [at.rest, at.public, at.market, at.private, at.api]
}

fn banner(server: &Server, market: &Market, preset: Option<&Preset>, scale: Scale, args: &SimArgs) -> String {
    let [rest, public, streams, private, api] = addresses(server);
    let mut text = format!(
        "data     {}\n{}speed    {} simulated seconds a second\n\
         REST     {rest}\npublic   {public}\nmarket   {streams}\nprivate  {private}\norders   {api}\n\
         key      sim\nsecret   sim\n\nA run against it:\n",
        market.description,
        market.preset.as_ref().map_or(String::new(), |preset| format!("made     {preset}\n")),
        scale.factor(),
    );
    // Writing to a String cannot fail.
    let symbols: Vec<&str> = market.instruments.iter().map(|(_, row)| row.symbol.as_str()).collect();
    let symbols = symbols.get(..SYMBOLS_SHOWN_MAX).unwrap_or(&symbols).join(",");
    let _ = write!(
        text,
        "  QT_API_KEY=sim QT_API_SECRET=sim qtx run --venue binance --journal sim-run \\\n    --symbols {symbols}"
    );
    // What fits this market fits a run against it.
    for (name, value) in preset.iter().flat_map(|preset| &preset.values) {
        let _ = write!(text, " \\\n    --set {name}={value}");
    }
    for (name, address) in ADDRESS_SETTINGS.iter().zip(addresses(server)) {
        let _ = write!(text, " \\\n    --set {name}={address}");
    }
    if let Some(certificate) = &args.tls_cert {
        let _ = write!(text, "\nIts clients must believe {}.", certificate.display());
    }
    text + "\n\nCtrl-C ends it.\n"
}

fn started_json(server: &Server, market: &Market) -> String {
    let [rest, public, streams, private, api] = addresses(server);
    let symbols: Vec<&str> = market.instruments.iter().map(|(_, row)| row.symbol.as_str()).collect();
    let text = json!({
        "rest": rest, "public": public, "market": streams, "private": private, "api": api,
        "key": "sim", "secret": "sim", "symbols": symbols,
    });
    format!("{text}\n")
}
