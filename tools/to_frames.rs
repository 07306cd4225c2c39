//! Converts market data to a frames file: `recv_ns<TAB>raw`, one websocket text frame a line.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use quantum_trader::event::{Instrument, InstrumentSpec, InstrumentTable, SizeUnit};
use quantum_trader::num::{NS_PER_MS, NS_PER_SEC, TimeNs};
use quantum_trader::sim::market::{self, LISTINGS, MarketSource, Synthetic, SyntheticConfig};

const EXAMPLES: &str = "Examples:
  to-frames BTCUSDT-aggTrades-2024-07-18.csv --out btc.tsv.zst
  to-frames BTCUSDT-1m-2025-05.csv --out btc_1m.tsv
  to-frames xbt_trades.csv.zst --symbol XBTUSD --tick 0.5 --step 0.001 --contracts --out xbt.tsv.zst
  to-frames wire_samples.jsonl --out samples.tsv
  to-frames synthetic:42 --seconds 600 --out synthetic.tsv.zst";

/// Converts market data to a frames file (recv_ns, tab, raw frame).
///
/// Takes the public aggTrades and klines files (.csv, .csv.zst), JSON lines with the frame in "raw",
/// frames files, or synthetic:SEED. What trades and candles lack (quotes, event times) is made.
#[derive(Parser)]
#[command(name = "to-frames", after_help = EXAMPLES)]
struct Arguments {
    /// Input file, or synthetic:SEED.
    input: String,
    /// Output file; compressed when it ends in .zst. Default: standard output.
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Instrument of the rows; default: the longest known symbol in the file's name.
    #[arg(long)]
    symbol: Option<String>,
    /// Price increment of --symbol, when it is not a known one.
    #[arg(long, requires = "symbol")]
    tick: Option<String>,
    /// Order quantity increment of --symbol.
    #[arg(long, default_value = "0.001")]
    step: String,
    /// Quantities are contracts of one unit of quote currency.
    #[arg(long)]
    contracts: bool,
    /// Stop after this many seconds of market time; needed for synthetic input, which has no end.
    #[arg(long)]
    seconds: Option<u32>,
    /// Synthetic input with natural rates and one-minute bars instead of the lively default.
    #[arg(long)]
    realistic: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(summary) => {
            eprintln!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("to-frames: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<String, Box<dyn Error>> {
    let mut source = source(arguments)?;
    match &arguments.out {
        None => copy(source.as_mut(), &mut BufWriter::new(std::io::stdout().lock()), arguments.seconds),
        Some(path) if path.extension().is_some_and(|e| e == "zst") => {
            let mut encoder = zstd::Encoder::new(create(path)?, 9)?;
            let summary = copy(source.as_mut(), &mut encoder, arguments.seconds)?;
            encoder.finish()?.flush()?;
            Ok(summary)
        }
        Some(path) => copy(source.as_mut(), &mut create(path)?, arguments.seconds),
    }
}

fn create(path: &Path) -> Result<BufWriter<File>, String> {
    File::create(path).map(BufWriter::new).map_err(|e| format!("{}: {e}", path.display()))
}

fn source(arguments: &Arguments) -> Result<Box<dyn MarketSource>, Box<dyn Error>> {
    if let Some(seed) = arguments.input.strip_prefix("synthetic:") {
        if arguments.seconds.is_none() {
            return Err("synthetic input has no end: give --seconds".into());
        }
        let seed = seed.parse().map_err(|_| format!("seed {seed:?}: a whole number below 2^64"))?;
        let config =
            if arguments.realistic { SyntheticConfig::realistic() } else { SyntheticConfig::newcomer() };
        return Ok(Box::new(Synthetic::new(config, seed)?));
    }
    let path = Path::new(&arguments.input);
    if path.extension().is_some_and(|e| e == "jsonl") {
        return Ok(Box::new(Samples::open(path)?));
    }
    Ok(market::open(path, &table(arguments)?, arguments.symbol.as_deref())?.source)
}

/// The known instruments, and the one described on the command line.
fn table(arguments: &Arguments) -> Result<InstrumentTable, Box<dyn Error>> {
    let mut rows: Vec<Instrument> = Vec::new();
    if let (Some(symbol), Some(tick)) = (&arguments.symbol, &arguments.tick) {
        rows.push(Instrument::from_spec(&InstrumentSpec {
            symbol,
            tick,
            step: &arguments.step,
            min_quantity: &arguments.step,
            max_quantity: "",
            min_notional: "0",
            taker_fee: "0",
            maintenance_margin: "0",
            size_unit: if arguments.contracts { SizeUnit::QuoteContracts } else { SizeUnit::Base },
        })?);
    }
    for listing in &LISTINGS {
        rows.push(listing.instrument("0")?);
    }
    InstrumentTable::new(rows).ok_or_else(|| "too many instruments".into())
}

/// Frames in the `raw` member of JSON lines, received when they were sent (`E`).
struct Samples {
    lines: std::io::Lines<BufReader<File>>,
    file: String,
    number: u64,
    last: TimeNs,
}

impl Samples {
    fn open(path: &Path) -> Result<Samples, String> {
        let file = path.display().to_string();
        let opened = File::open(path).map_err(|e| format!("{file}: {e}"))?;
        Ok(Samples { lines: BufReader::new(opened).lines(), file, number: 0, last: TimeNs(0) })
    }

    fn refuse(&self, field: &'static str, value: &str, allowed: &str) -> market::SourceError {
        market::SourceError {
            file: self.file.clone(),
            line: self.number,
            field,
            value: value.chars().take(80).collect(),
            allowed: allowed.to_string(),
            between_ticks: false,
        }
    }
}

impl MarketSource for Samples {
    fn next_frame(&mut self, frame: &mut Vec<u8>) -> Result<Option<TimeNs>, market::SourceError> {
        frame.clear();
        let Some(line) = self.lines.next() else { return Ok(None) };
        self.number += 1;
        let line = line.map_err(|e| self.refuse("read", "", &e.to_string()))?;
        let raw = serde_json::from_str::<serde_json::Value>(&line)
            .ok()
            .and_then(|value| Some(value.get("raw")?.as_str()?.to_string()))
            .filter(|raw| !raw.contains(['\n', '\r']))
            .ok_or_else(|| {
                self.refuse("line", &line, "JSON with the frame, on one line, as text in \"raw\"")
            })?;
        let sent_ms = serde_json::from_str::<serde_json::Value>(&raw)
            .ok()
            .and_then(|value| value.get("data").unwrap_or(&value).get("E")?.as_i64())
            .ok_or_else(|| self.refuse("raw", &raw, "a frame with its event time E in milliseconds"))?;
        frame.extend_from_slice(raw.as_bytes());
        self.last = self.last.max(TimeNs::from_ms(sent_ms));
        Ok(Some(self.last))
    }
}

/// Copies frames until the end or for `seconds` of market time; says how far it is as it goes.
fn copy(
    source: &mut dyn MarketSource,
    out: &mut impl Write,
    seconds: Option<u32>,
) -> Result<String, Box<dyn Error>> {
    const PROGRESS_FRAMES: u64 = 1_000_000;
    let (mut frame, mut frames, mut first, mut last) = (Vec::new(), 0u64, None, TimeNs(0));
    while let Some(time) = source.next_frame(&mut frame)? {
        let begin = *first.get_or_insert(time);
        if seconds.is_some_and(|s| time.since(begin) >= i64::from(s) * NS_PER_SEC) {
            break;
        }
        write!(out, "{}\t", time.0)?;
        out.write_all(&frame)?;
        out.write_all(b"\n")?;
        (frames, last) = (frames + 1, time);
        if frames.is_multiple_of(PROGRESS_FRAMES) {
            eprintln!("{frames} frames, {time}");
        }
    }
    out.flush()?;
    let span_ms = first.map_or(0, |begin| last.since(begin) / NS_PER_MS);
    let counts = source.counts();
    Ok(format!(
        "{frames} frames over {}.{:03} s; {} oversize, {} times raised",
        span_ms / 1_000,
        span_ms % 1_000,
        counts.oversize,
        counts.clamped
    ))
}
