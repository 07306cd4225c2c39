//! Which market a run trades: made from a seed, or read from files.

use std::path::{Path, PathBuf};

use super::{Failure, read_file};
use crate::event::{Bar, InstrumentTable};
use crate::num::{InstrumentId, TimeNs};
use crate::risk::config::{Key, Preset, Settings};
use crate::sim::market::{MarketSource, Merge, Survey, Synthetic, SyntheticConfig, open};
use crate::venue::{binance, builtin_instruments};

/// Simulated seconds a second of the made market, unless told otherwise: a hiccup of the machine counts
/// as so much market time, and twenty leaves 75 ms of it before the default protection deadline.
const SYNTHETIC_SPEED: f64 = 20.0;
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

/// Kinds of made markets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Synthetic,
    Realistic,
    /// So many instruments.
    Wide(usize),
}

impl Made {
    fn name(self) -> String {
        match self {
            Made::Synthetic => "synthetic".to_string(),
            Made::Realistic => "realistic".to_string(),
            Made::Wide(instruments) => format!("wide:{instruments}"),
        }
    }

    fn config(self, settings: &Settings, start: Option<TimeNs>) -> SyntheticConfig {
        let base = match self {
            Made::Synthetic => SyntheticConfig::newcomer(),
            Made::Realistic => SyntheticConfig::realistic(),
            Made::Wide(instruments) => SyntheticConfig::wide(instruments),
        };
        let start = start.unwrap_or(base.start);
        SyntheticConfig { start, bar_interval_s: settings.bar_interval_s, ..base }
    }
}

/// What `--market` names.
enum Named<'a> {
    Made(Made, u64),
    File(&'a str),
}

fn named(text: &str) -> Result<Named<'_>, Failure> {
    let refuse = |what: &str, value: &str, allowed: &str| {
        Err(Failure::refused(format!("--market {text:?}: {what} {value:?} is not allowed: {allowed}")))
    };
    let mut words = text.split(':');
    let made = match words.next() {
        Some("synthetic") => Made::Synthetic,
        Some("realistic") => Made::Realistic,
        Some("wide") => {
            let count = words.next().unwrap_or_default();
            match count.parse() {
                Ok(instruments @ 1..=1_000) => Made::Wide(instruments),
                _ => return refuse("number of instruments", count, "wide:COUNT[:SEED], from 1 to 1000"),
            }
        }
        _ => return Ok(Named::File(text)),
    };
    let seed = match words.next() {
        None => SYNTHETIC_SEED,
        Some(seed) => match seed.parse() {
            Ok(seed) => seed,
            Err(_) => return refuse("seed", seed, "a seed from 0 to 18446744073709551615"),
        },
    };
    match words.next() {
        None => Ok(Named::Made(made, seed)),
        Some(rest) => refuse("what follows the seed", rest, "nothing"),
    }
}

/// Settings that fit a made market, below everything a user says.
pub fn preset_of(market: &str) -> Option<Preset> {
    let Named::Made(made, _) = named(market).ok()? else { return None };
    Some(match made {
        // Frames are thinned: seconds pass between trades, and only a trade triggers a stop.
        Made::Synthetic => {
            Preset::new("synthetic", &[("QT_BAR_INTERVAL", "5s"), ("QT_STOP_GRACE_MS", "5000")])
        }
        Made::Realistic => Preset::new("realistic", &[("QT_BAR_INTERVAL", "1m")]),
        Made::Wide(_) => Preset::new("wide", &[("QT_BAR_INTERVAL", "1m")]),
    })
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
            && let Named::Made(made, seed) = named(only)?
        {
            if let Some(path) = instrument_file {
                let line = format!("--instruments {path:?}: a made market brings its own instruments");
                return Err(Failure::refused(line));
            }
            let market = Market::made(made, seed, settings, &taker_fee, start)?;
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
                let allowed = "synthetic[:SEED], realistic[:SEED], wide:COUNT[:SEED], or a file of frames, trades or \
                               candles";
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
            identity.extend(Survey::of(path, opened.kind)?.digest().to_le_bytes());
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

    fn made(
        made: Made,
        seed: u64,
        settings: &Settings,
        taker_fee: &str,
        start: Option<TimeNs>,
    ) -> Result<(Box<dyn MarketSource>, Market), Failure> {
        let config = made.config(settings, start);
        let instruments = config.instruments(taker_fee)?;
        let preset = describe(&config, settings);
        let source = Synthetic::new(config, seed)?;
        let bars =
            settings.ema_period.max(settings.atr_period).max(settings.correlation_bars) + HISTORY_SPARE_BARS;
        let history = source.history(settings.bar_interval_s, bars as usize);
        let kind = made.name();
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

/// Bars of any length that end where a made market begins; a market of files has none.
#[cfg(feature = "server")]
pub fn made_history(
    market: &str,
    settings: &Settings,
    start: Option<TimeNs>,
    interval_s: u32,
    bars: usize,
) -> Result<Vec<(InstrumentId, Bar)>, Failure> {
    let Named::Made(made, seed) = named(market)? else { return Ok(Vec::new()) };
    Ok(Synthetic::new(made.config(settings, start), seed)?.history(interval_s, bars))
}

/// Whether `--symbol` names an instrument there is.
pub fn known(symbol: Option<&str>, table: &InstrumentTable) -> Result<(), Failure> {
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
