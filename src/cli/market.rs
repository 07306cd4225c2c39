//! Which market a run trades: made from a seed, or read from files.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::{Failure, read_file};
use crate::event::{Bar, InstrumentTable};
use crate::num::{InstrumentId, TimeNs};
use crate::risk::config::{Key, Preset, Settings};
use crate::sim::market::{MarketSource, Merge, Synthetic, SyntheticConfig, open};
use crate::venue::{binance, builtin_instruments};

/// Simulated seconds a second of the made market, unless told otherwise.
const SYNTHETIC_SPEED: f64 = 60.0;
/// Seed of the made market, unless told otherwise.
const SYNTHETIC_SEED: u64 = 1;
/// Bars of history beyond the longest period, so that the first decision is not the first bar.
const HISTORY_SPARE_BARS: u32 = 50;

/// Symbols a refusal lists before it says how many more there are.
const SYMBOLS_SHOWN_MAX: usize = 20;
/// The largest answer of a venue has about a thousandth of it for each of its symbols.
const INSTRUMENTS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What is known of a market before its first frame.
pub struct Market {
    pub instruments: InstrumentTable,
    /// Warm-up bars, oldest first.
    pub history: Vec<(InstrumentId, Bar)>,
    /// Begin of the run; `None` is the first frame.
    pub start: Option<TimeNs>,
    /// Simulated seconds a second; `None` is as fast as it goes.
    pub speed: Option<f64>,
    /// The inputs the run id is derived from.
    pub identity: Vec<u8>,
    pub description: String,
    /// What was chosen for a made market, so that nobody takes it for a real one.
    pub preset: Option<String>,
}

/// What `--market` names.
enum Named<'a> {
    Synthetic { seed: u64, realistic: bool },
    File(&'a str),
}

fn named(text: &str) -> Result<Named<'_>, Failure> {
    for (word, realistic) in [("synthetic", false), ("realistic", true)] {
        if text == word {
            return Ok(Named::Synthetic { seed: SYNTHETIC_SEED, realistic });
        }
        if let Some(seed) = text.strip_prefix(word).and_then(|rest| rest.strip_prefix(':')) {
            let seed = seed.parse().map_err(|_| {
                let allowed = "a seed from 0 to 18446744073709551615";
                Failure::refused(format!("--market {text:?}: seed {seed:?} is not allowed: {allowed}"))
            })?;
            return Ok(Named::Synthetic { seed, realistic });
        }
    }
    Ok(Named::File(text))
}

/// Settings that fit a made market, below everything a user says.
pub fn preset_of(market: &str) -> Option<Preset> {
    match named(market).ok()? {
        Named::Synthetic { realistic: false, .. } => {
            // Frames are thinned: seconds pass between trades, and only a trade triggers a stop.
            let values = [("QT_BAR_INTERVAL", "5s"), ("QT_STOP_GRACE_MS", "5000")];
            Some(Preset::new("synthetic", &values))
        }
        Named::Synthetic { realistic: true, .. } => {
            Some(Preset::new("realistic", &[("QT_BAR_INTERVAL", "1m")]))
        }
        Named::File(_) => None,
    }
}

/// The instruments of a file of exchangeInfo, else the built-in ones.
pub fn instruments(file: Option<&Path>, taker_fee: &str) -> Result<InstrumentTable, Failure> {
    let Some(path) = file else { return Ok(builtin_instruments(taker_fee)?) };
    let name = |error: &dyn std::fmt::Display| Failure::refused(format!("{}: {error}", path.display()));
    let text = read_file(path, INSTRUMENTS_BYTES_MAX)?;
    binance::parse_exchange_info(&text, taker_fee).map_err(|error| name(&error))
}

impl Market {
    /// Opens what `--market` names; several files are merged by time. Its frames, and what is known of
    /// it beside them.
    pub fn open(
        names: &[String],
        symbol: Option<&str>,
        instrument_file: Option<&PathBuf>,
        settings: &Settings,
    ) -> Result<(Box<dyn MarketSource>, Market), Failure> {
        Market::open_at(names, symbol, instrument_file, settings, None)
    }

    /// As [`Market::open`]; a made market begins at `start` instead of its own time.
    pub fn open_at(
        names: &[String],
        symbol: Option<&str>,
        instrument_file: Option<&PathBuf>,
        settings: &Settings,
        start: Option<TimeNs>,
    ) -> Result<(Box<dyn MarketSource>, Market), Failure> {
        let taker_fee = settings.taker_fee.to_string();
        if let [only] = names
            && let Named::Synthetic { seed, realistic } = named(only)?
        {
            if let Some(path) = instrument_file {
                let line = format!("--instruments {path:?}: a made market brings its own instruments");
                return Err(Failure::refused(line));
            }
            let market = Market::synthetic(seed, realistic, settings, &taker_fee, start)?;
            return known(symbol, &market.1.instruments).map(|()| market);
        }
        let table = instruments(instrument_file.map(PathBuf::as_path), &taker_fee)?;
        known(symbol, &table)?;
        let mut sources: Vec<Box<dyn MarketSource>> = Vec::new();
        let (mut identity, mut description) = (Vec::new(), Vec::new());
        for name in names {
            let Named::File(path) = named(name)? else {
                return Err(Failure::refused(format!("--market {name:?}: a made market stands alone")));
            };
            let path = Path::new(path);
            if !path.exists() {
                let allowed = "synthetic[:SEED], realistic[:SEED], or a file of frames, trades or candles";
                return Err(Failure::refused(format!(
                    "--market {name:?}: no such file; {allowed} is allowed"
                )));
            }
            let opened = open(path, &table, symbol)?;
            description.push(match opened.symbol {
                Some(symbol) => format!("{} ({} of {symbol})", path.display(), opened.kind.as_str()),
                None => format!("{} ({})", path.display(), opened.kind.as_str()),
            });
            sources.push(opened.source);
            identity.extend(content_digest(path)?.to_le_bytes());
            identity.extend(opened.symbol.iter().flat_map(|symbol| symbol.as_str().bytes()));
        }
        let source = if sources.len() == 1 { sources.swap_remove(0) } else { Box::new(Merge::new(sources)) };
        let market = Market {
            instruments: table,
            history: Vec::new(),
            start: None,
            speed: None,
            identity,
            description: description.join(", "),
            preset: None,
        };
        Ok((source, market))
    }

    fn synthetic(
        seed: u64,
        realistic: bool,
        settings: &Settings,
        taker_fee: &str,
        start: Option<TimeNs>,
    ) -> Result<(Box<dyn MarketSource>, Market), Failure> {
        let config = made(realistic, settings, start);
        let instruments = config.instruments(taker_fee)?;
        let preset = describe(&config, settings);
        let source = Synthetic::new(config, seed)?;
        let bars =
            settings.ema_period.max(settings.atr_period).max(settings.correlation_bars) + HISTORY_SPARE_BARS;
        let history = source.history(settings.bar_interval_s, bars as usize);
        let kind = if realistic { "realistic" } else { "synthetic" };
        let market = Market {
            start: Some(source.start()),
            instruments,
            history,
            speed: Some(SYNTHETIC_SPEED),
            identity: format!("{kind}:{seed}").into_bytes(),
            description: format!("{kind}, seed {seed}"),
            preset: Some(preset),
        };
        Ok((Box::new(source), market))
    }
}

fn made(realistic: bool, settings: &Settings, start: Option<TimeNs>) -> SyntheticConfig {
    let base = if realistic { SyntheticConfig::realistic() } else { SyntheticConfig::newcomer() };
    let start = start.unwrap_or(base.start);
    SyntheticConfig { start, bar_interval_s: settings.bar_interval_s, ..base }
}

/// Bars of any length that end where a made market begins; a market of files has none.
#[cfg(feature = "server")]
pub fn made_history(
    market: &str,
    settings: &Settings,
    start: Option<TimeNs>,
    interval_s: u32,
    bars: usize,
) -> Result<Vec<(InstrumentId, Bar)>, Failure> {
    let Named::Synthetic { seed, realistic } = named(market)? else { return Ok(Vec::new()) };
    Ok(Synthetic::new(made(realistic, settings, start), seed)?.history(interval_s, bars))
}

/// Whether `--symbol` names an instrument there is.
fn known(symbol: Option<&str>, table: &InstrumentTable) -> Result<(), Failure> {
    let Some(symbol) = symbol else { return Ok(()) };
    let mut symbols = table.iter().map(|(_, row)| row.symbol.as_str());
    if symbols.any(|known| known == symbol) {
        return Ok(());
    }
    let symbols: Vec<&str> = table.iter().map(|(_, row)| row.symbol.as_str()).collect();
    let some = symbols.get(..SYMBOLS_SHOWN_MAX).unwrap_or(&symbols).join(", ");
    let more = symbols.len().saturating_sub(SYMBOLS_SHOWN_MAX);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    Err(Failure::refused(format!("--symbol {symbol:?} is not an instrument: {some}{rest}")))
}

/// The choices of a made market in words.
fn describe(config: &SyntheticConfig, settings: &Settings) -> String {
    let setting = |key: Key| format!("{}={}", key.setting().name, key.setting().value(settings));
    let frames = match config.frames_per_second {
        Some(frames) => format!("frames thinned to about {frames} a second"),
        None => "frames at natural rates".to_string(),
    };
    format!(
        "{} {}; {frames}; a bar ranges over about {:.2}% of the price",
        setting(Key::QT_BAR_INTERVAL),
        setting(Key::QT_STOP_GRACE_MS),
        config.atr_fraction * 100.0
    )
}

/// Length and checksum of a file's content: the same data under another name is the same input.
fn content_digest(path: &Path) -> Result<u64, Failure> {
    let digest = || {
        let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
        let (mut length, mut checksum) = (0u64, 0);
        loop {
            let part = reader.fill_buf()?;
            if part.is_empty() {
                return Ok(length << 32 | u64::from(checksum));
            }
            checksum = crc32c::crc32c_append(checksum, part);
            let read = part.len();
            length += read as u64;
            reader.consume(read);
        }
    };
    digest()
        .map_err(|error: std::io::Error| Failure::refused(format!("{}: can't read: {error}", path.display())))
}
