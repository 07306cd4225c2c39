//! `qtx record`: public market streams to a frames file.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Failure, print};
use crate::host::stop::StopFlag;
use crate::live::record::{Figures, FramesFile, RecordConfig, Told, record as run};
use crate::live::{Bases, plan};
use crate::venue::binance::{Channel, interval_seconds};
use crate::wire::Roots;

const PUBLIC: &str = "wss://fstream.binance.com/public";
const MARKET: &str = "wss://fstream.binance.com/market";
/// What the engine decides by.
const CHANNELS: &str = "aggTrade,bookTicker,markPrice,ticker";

#[derive(Args)]
#[command(after_help = "\
Examples:
  qtx record --out btc.tsv.zst
      trades, quotes, mark prices and statistics of BTCUSDT until Ctrl-C
  qtx record --out day.tsv.zst --symbols BTCUSDT,ETHUSDT --channels aggTrade,bookTicker --duration 86400
  qtx record --out sim.tsv --public ws://127.0.0.1:9001/public --market ws://127.0.0.1:9001/market
      of a simulated venue
  qtx run --market btc.tsv.zst --bar 1m
      and then run it

A line is recv_ns, a tab, and the frame as it came. Ctrl-C ends the file in order. While a connection
is down its frames are missing: each such gap is told, and is in the summary.")]
pub struct RecordArgs {
    /// File to write; compressed if its name ends in .zst
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    /// Symbols, with commas between
    #[arg(long, value_name = "SYMBOLS", default_value = "BTCUSDT", value_delimiter = ',')]
    symbols: Vec<String>,
    /// Channels, with commas between: aggTrade, trade, bookTicker, depth, kline, markPrice, ticker,
    /// forceOrder
    #[arg(long, value_name = "CHANNELS", default_value = CHANNELS, value_delimiter = ',')]
    channels: Vec<String>,
    /// Bars of the kline channel: 1m, 3m, 5m, 15m, 30m, 1h, …
    #[arg(long, value_name = "INTERVAL", default_value = "1m")]
    bar: String,
    /// Seconds to record; default: until Ctrl-C
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    duration: Option<String>,
    /// Base address of order book streams
    #[arg(long, value_name = "URL", default_value = PUBLIC)]
    public: String,
    /// Base address of all other market streams
    #[arg(long, value_name = "URL", default_value = MARKET)]
    market: String,
    /// Believe the certificate authorities of this PEM file alone; default: the public ones
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print the summary as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

pub fn record(args: &RecordArgs) -> Result<ExitCode, Failure> {
    let config = config(args)?;
    // First what can be refused without having touched anything.
    let stop =
        StopFlag::on_signals().map_err(|error| Failure::refused(format!("signal handlers: {error}")))?;
    let file = FramesFile::create(&args.out, args.force)?;
    let mut screen = Screen { draws: io::stderr().is_terminal() && !args.json, drawn: false };
    let summary = run(&config, file, &stop, |told| match told {
        Told::Note(note) => screen.note(note),
        Told::Figures(figures) => screen.progress(figures),
    });
    screen.clear();
    let summary = summary?;
    print(&if args.json { serde_json::to_string_pretty(&summary)? + "\n" } else { format!("{summary}\n") })?;
    Ok(ExitCode::SUCCESS)
}

fn config(args: &RecordArgs) -> Result<RecordConfig, Failure> {
    let names: Vec<&str> = Channel::ALL.iter().map(|channel| channel.name()).collect();
    let channel = |name: &String| {
        Channel::from_name(name).ok_or_else(|| {
            Failure::refused(format!("--channels {name:?} is not a channel: {}", names.join(", ")))
        })
    };
    let channels = args.channels.iter().map(channel).collect::<Result<Vec<_>, _>>()?;
    let symbols: Vec<&str> = args.symbols.iter().map(String::as_str).collect();
    let bar = interval_seconds(&args.bar).ok_or_else(|| {
        Failure::refused(format!("--bar {:?} is not allowed: 1m, 3m, 5m, 15m, 30m, 1h, …, 1w", args.bar))
    })?;
    let bases = Bases { public: &args.public, market: &args.market };
    Ok(RecordConfig {
        lines: plan(&symbols, &channels, bar, bases)?,
        roots: args.ca.clone().map_or(Roots::Public, Roots::File),
        duration: args.duration.as_deref().map(duration).transpose()?,
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

/// Standard error: notes, and on a terminal one line that is drawn again and again. Nobody may be
/// looking; the summary has the same.
struct Screen {
    draws: bool,
    drawn: bool,
}

impl Screen {
    fn note(&mut self, note: &str) {
        self.clear();
        let _ = writeln!(io::stderr(), "{note}");
    }

    fn progress(&mut self, figures: &Figures) {
        if self.draws {
            let _ = write!(io::stderr(), "\r\x1b[K{}", figures.progress());
            let _ = io::stderr().flush();
            self.drawn = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
