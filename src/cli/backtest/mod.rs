//! `qtx backtest`: recorded data, or a made market, through the engine and the simulated venue, as fast as
//! it goes, and what that would have been worth; with the risk layer, without it, or both beside each other.

mod column;
mod files;
mod input;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use self::column::Column;
use self::files::Look;
use self::input::Input;
use super::market::preset_of;
use super::settings::SettingsArgs;
use super::{Failure, print};
use crate::host::stop::StopFlag;
use crate::observe::{Measured, side_by_side};
use crate::risk::config::{Key, Settings};

/// Which columns there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RiskLayer {
    /// Filter, portfolio limits, sizes and exits of the rules
    On,
    /// Every signal, at a fixed size, with a plain stop and target
    Off,
    /// One after the other
    Both,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  qtx backtest --candles BTCUSDT-1m-2025-05.zip ETHUSDT-1m-2025-05.zip
      the venue's public data as it is published; the symbol is in the file's name
  qtx backtest --candles btcusdt.csv.zst --risk both --json
      with and without the risk layer, as JSON
  qtx backtest --trades xbtusd.csv.zst --bar 1m --dump-indicators bars.csv
      bars built from trades, and the engine's ATR and EMA at each of them
  qtx backtest --frames day.tsv.zst --bar 1m --journal runs/day
      recorded frames; every decision is then in `qtx journal dump runs/day`
  qtx backtest --market candles:8:7:gaps=0.5:gap=6 --days 60
      sixty days of made candles of eight instruments; every other day prices jump by about 6%")]
pub struct BacktestArgs {
    /// Candles in the columns of the venue's klines files; plain, .zst or .zip
    #[arg(long, value_name = "FILE", num_args = 1..)]
    candles: Vec<PathBuf>,
    /// Trades in the columns of the venue's aggTrades files; plain, .zst or .zip
    #[arg(long, value_name = "FILE", num_args = 1..)]
    trades: Vec<PathBuf>,
    /// Recorded frames, recv_ns<TAB>frame a line; plain, .zst or .zip
    #[arg(long, value_name = "FILE", num_args = 1..)]
    frames: Vec<PathBuf>,
    /// A made market instead of files: candles:COUNT[:SEED], synthetic[:SEED], realistic[:SEED] or
    /// wide:COUNT[:SEED]; behind it :gaps=N (jumps a day, 0), :gap=PERCENT (how far, 5) and :atr=PERCENT
    /// (what a bar ranges over)
    #[arg(long, value_name = "MARKET")]
    market: Option<String>,
    /// Days to run; default: 30 of a made market, files to their end
    #[arg(long, value_name = "DAYS", allow_negative_numbers = true)]
    days: Option<String>,
    /// Funding of candles and trades at 00:00, 08:00 and 16:00 UTC, a fraction of the position; above 0
    /// longs pay and shorts receive. 0.0001 is the venue's base rate of 0.01% per 8 h, 0 turns it off;
    /// frames and the other made markets have rates of their own
    #[arg(long, value_name = "FRACTION", default_value = "0.0001", allow_negative_numbers = true)]
    funding_rate: String,
    /// Instrument of trades and candles, where the file's name does not say
    #[arg(long)]
    symbol: Option<String>,
    /// Instruments from a file of exchangeInfo JSON instead of the built-in table
    #[arg(long, value_name = "FILE")]
    instruments: Option<PathBuf>,
    /// The risk layer; default: on, or as RM_ENABLE_RISK_LAYER says
    #[arg(long, value_enum)]
    risk: Option<RiskLayer>,
    /// Write symbol, open time, close, ATR and EMA of every bar to a file
    #[arg(long, value_name = "FILE")]
    dump_indicators: Option<PathBuf>,
    /// Keep the journal in a folder that holds none yet; with --risk both in its folders on and off
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Folder of the journal's ring; default /dev/shm
    #[arg(long, value_name = "DIR")]
    ring_dir: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print the figures as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

/// What `--json` prints. A column that was not run is null.
#[derive(Serialize)]
struct Report<'a> {
    market: &'a [files::FileFigures],
    instruments: Vec<files::InstrumentFigures>,
    bar: String,
    /// Of candles and trades, every eight hours.
    funding_rate: String,
    on: Option<&'a Column>,
    off: Option<&'a Column>,
}

pub fn backtest(args: &BacktestArgs) -> Result<ExitCode, Failure> {
    let loaded = args.settings.load(args.market.as_deref().and_then(preset_of).as_ref())?;
    let settings = &loaded.settings;
    let stop =
        StopFlag::on_signals().map_err(|error| Failure::refused(format!("signal handlers: {error}")))?;
    let mut input = Input::new(args, settings, Look::Glance)?;
    let mut columns = run(args, &input, settings, &stop)?;
    if input.look == Look::Glance && columns.iter().any(|(_, column)| column.between_ticks) {
        // The tick these files need is found by reading them through.
        input = Input::new(args, settings, Look::Whole)?;
        columns = run(args, &input, settings, &stop)?;
    }
    print(&if args.json { json(&input, settings, &columns)? } else { text(&columns) })?;
    match columns.iter().find_map(|(_, column)| column.fault.as_ref()) {
        None => Ok(ExitCode::SUCCESS),
        Some(why) => Err(Failure::refused(format!("{why}; the run ended there"))),
    }
}

/// The columns asked for, up to one that meets a price between two ticks.
fn run(
    args: &BacktestArgs,
    input: &Input,
    settings: &Settings,
    stop: &StopFlag,
) -> Result<Vec<(&'static str, Column)>, Failure> {
    if !args.json {
        print(&banner(input, settings)?)?;
    }
    let on_terminal = !args.json && std::io::stderr().is_terminal();
    let layers: &[bool] = match args.risk {
        Some(RiskLayer::On) => &[true],
        Some(RiskLayer::Off) => &[false],
        Some(RiskLayer::Both) => &[true, false],
        None => &[settings.enable_risk_layer],
    };
    let mut columns: Vec<(&str, Column)> = Vec::new();
    for (i, layer) in layers.iter().enumerate() {
        if stop.is_set() || columns.iter().any(|(_, column)| column.between_ticks) {
            break;
        }
        let settings = Settings { enable_risk_layer: *layer, ..*settings };
        let name = if *layer { "on" } else { "off" };
        let wanted = column::Wanted {
            name,
            settings: &settings,
            journal: args
                .journal
                .as_ref()
                .map(|dir| if layers.len() > 1 { dir.join(name) } else { dir.clone() }),
            ring_dir: args.ring_dir.as_deref(),
            // Bars and indicators do not depend on what is done with them.
            indicators: args.dump_indicators.as_deref().filter(|_| i == 0),
            progress: on_terminal,
        };
        columns.push((name, column::run(input, &wanted, stop.clone())?));
    }
    Ok(columns)
}

fn json(input: &Input, settings: &Settings, columns: &[(&str, Column)]) -> Result<String, Failure> {
    let of = |name: &str| columns.iter().find(|(column, _)| *column == name).map(|(_, column)| column);
    let report = Report {
        market: &input.figures,
        instruments: input.instrument_figures(),
        bar: Key::QT_BAR_INTERVAL.setting().value(settings),
        funding_rate: input.funding_rate.to_string(),
        on: of("on"),
        off: of("off"),
    };
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

fn text(columns: &[(&str, Column)]) -> String {
    let measured: Vec<(String, &Measured)> =
        columns.iter().map(|(name, column)| (format!("risk layer {name}"), &column.measured)).collect();
    let named: Vec<(&str, &Measured)> = measured.iter().map(|(name, of)| (name.as_str(), *of)).collect();
    let mut text = side_by_side(&named);
    for (name, column) in columns {
        let run = &column.run;
        let alarms: Vec<String> = run.alarms.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let alarms = if alarms.is_empty() { "none".to_string() } else { alarms.join(", ") };
        text += &format!(
            "\n{name:<4} {} frames, {} refused, {} events, {:.1} s; state {}; alarms: {alarms}{}",
            run.frames,
            run.decode_errors,
            run.events,
            column.seconds,
            run.state_hash.as_deref().unwrap_or("-"),
            if run.journal.path.is_empty() {
                String::new()
            } else {
                format!("; journal in {}", run.journal.path)
            }
        );
    }
    text + "\n"
}

/// What is about to be run, and what was found of it.
fn banner(input: &Input, settings: &Settings) -> Result<String, Failure> {
    let bar = Key::QT_BAR_INTERVAL.setting().value(settings);
    let mut text = String::new();
    for file in &input.figures {
        let to = file.to.as_ref().map_or_else(String::new, |to| format!(" to {to}"));
        text += &format!("{:<11}{}, {}{to}\n", file.kind, file.path, file.from);
    }
    for note in input.notes(settings)? {
        text += &format!("{:<11}{note}\n", "note");
    }
    let rate = input.funding_rate;
    Ok(text + &format!("bars       {bar}\nfunding    {rate} per 8 h, where the market says none\n\n"))
}
