//! Which market a run trades: made from a seed, or read from files.

use std::path::{Path, PathBuf};

use super::{Failure, read_file};
use crate::event::{Bar, Event, EventBody, InstrumentTable};
use crate::num::{Dec, InstrumentId, TimeNs};
use crate::risk::config::{Key, Preset, Settings};
use crate::sim::market::{
    Gaps, MadeCandles, MarketSource, Merge, Source, SourceError, Survey, Synthetic, SyntheticConfig, open,
};
use crate::venue::{binance, builtin_instruments};

/// Simulated seconds a second of the made market, unless told otherwise: a hiccup of the machine counts
/// as so much market time, and twenty leaves 75 ms of it before the default protection deadline.
const SYNTHETIC_SPEED: f64 = 20.0;
/// Seed of the made market, unless told otherwise.
const SYNTHETIC_SEED: u64 = 1;
/// Size of a gap as a fraction of the price, unless told otherwise.
const GAP_SIZE: f64 = 0.05;
const OPTIONS: &str =
    "gaps=N a day of the market, gap=PERCENT of the price (5), atr=PERCENT a bar ranges over";
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
    /// Decides the simulated line's latencies.
    pub latency_seed: u64,
    pub description: String,
    /// What was chosen for a made market, so that nobody takes it for a real one.
    pub preset: Option<String>,
}

/// Of the market alone: two runs that differ in a setting meet the same latencies.
pub fn latency_seed(market: &[u8]) -> u64 {
    u64::from(crc32c::crc32c(market))
}

/// What `--market` may be, beside files.
const MADE: &str = "synthetic[:SEED], realistic[:SEED], wide:COUNT[:SEED], candles:COUNT[:SEED]";

/// Kinds of made markets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Synthetic,
    Realistic,
    /// So many instruments.
    Wide(usize),
    /// Candles of a minute of so many instruments.
    Candles(usize),
}

/// A made market, as it was named.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Made {
    kind: Kind,
    seed: u64,
    /// The walk's average true range of a bar, where it is not the kind's.
    atr_fraction: Option<f64>,
    gaps: Gaps,
}

/// A made market that can be looked at: both kinds of source know their past.
enum MadeSource {
    Streams(Box<Synthetic>),
    Candles(Box<MadeCandles>),
}

impl Kind {
    fn name(self) -> String {
        match self {
            Kind::Synthetic => "synthetic".to_string(),
            Kind::Realistic => "realistic".to_string(),
            Kind::Wide(instruments) => format!("wide:{instruments}"),
            Kind::Candles(instruments) => format!("candles:{instruments}"),
        }
    }
}

impl Made {
    /// All that makes it: equal names are equal markets.
    fn name(&self) -> String {
        let mut name = format!("{}:{}", self.kind.name(), self.seed);
        if let Some(atr) = self.atr_fraction {
            name += &format!(":atr={}", atr * 100.0);
        }
        if self.gaps.per_day != 0.0 {
            name += &format!(":gaps={}:gap={}", self.gaps.per_day, self.gaps.size * 100.0);
        }
        name
    }

    fn config(
        &self,
        settings: &Settings,
        start: Option<TimeNs>,
        funding_rate: Option<Dec>,
    ) -> SyntheticConfig {
        let base = match self.kind {
            Kind::Synthetic => SyntheticConfig::newcomer(),
            Kind::Realistic => SyntheticConfig::realistic(),
            Kind::Wide(instruments) => SyntheticConfig::wide(instruments),
            Kind::Candles(instruments) => SyntheticConfig::candles(instruments),
        };
        SyntheticConfig {
            start: start.unwrap_or(base.start),
            bar_interval_s: settings.bar_interval_s,
            atr_fraction: self.atr_fraction.unwrap_or(base.atr_fraction),
            funding_rate: funding_rate.unwrap_or(base.funding_rate),
            gaps: Some(self.gaps).filter(|gaps| gaps.per_day != 0.0),
            ..base
        }
    }

    fn open(&self, config: SyntheticConfig) -> Result<MadeSource, SourceError> {
        Ok(match self.kind {
            Kind::Candles(_) => MadeSource::Candles(Box::new(MadeCandles::new(config, self.seed)?)),
            _ => MadeSource::Streams(Box::new(Synthetic::new(config, self.seed)?)),
        })
    }
}

impl MadeSource {
    fn start(&self) -> TimeNs {
        match self {
            MadeSource::Streams(source) => source.start(),
            MadeSource::Candles(source) => source.start(),
        }
    }

    fn history(&self, interval_s: u32, bars: usize) -> Vec<(InstrumentId, Bar)> {
        match self {
            MadeSource::Streams(source) => source.history(interval_s, bars),
            MadeSource::Candles(source) => source.history(interval_s, bars),
        }
    }

    fn into_frames(self) -> Box<dyn MarketSource> {
        match self {
            MadeSource::Streams(source) => source,
            MadeSource::Candles(source) => Box::new(source.into_frames()),
        }
    }

    /// Candles need no frames.
    fn into_source(self) -> Source {
        match self {
            MadeSource::Streams(source) => Source::Frames(source),
            MadeSource::Candles(source) => Source::Events(Box::new(source.into_events())),
        }
    }
}

/// What `--market` names.
enum Named<'a> {
    Made(Made),
    File(&'a str),
}

fn named(text: &str) -> Result<Named<'_>, Failure> {
    let refuse = |what: &str, value: &str, allowed: &str| {
        Failure::refused(format!("--market {text:?}: {what} {value:?} is not allowed: {allowed}"))
    };
    let mut words = text.split(':').peekable();
    let counted = |words: &mut dyn Iterator<Item = &str>, allowed: &str| {
        let count = words.next().unwrap_or_default();
        let instruments = count.parse().ok().filter(|instruments| (1..=1_000).contains(instruments));
        instruments.ok_or_else(|| refuse("number of instruments", count, allowed))
    };
    let kind = match words.next() {
        Some("synthetic") => Kind::Synthetic,
        Some("realistic") => Kind::Realistic,
        Some("wide") => Kind::Wide(counted(&mut words, "wide:COUNT[:SEED], from 1 to 1000")?),
        Some("candles") => Kind::Candles(counted(&mut words, "candles:COUNT[:SEED], from 1 to 1000")?),
        _ => return Ok(Named::File(text)),
    };
    let seed = match words.next_if(|word| !word.contains('=')) {
        None => SYNTHETIC_SEED,
        Some(seed) => {
            let allowed = "a seed from 0 to 18446744073709551615";
            seed.parse().map_err(|_| refuse("seed", seed, allowed))?
        }
    };
    let gaps = Gaps { per_day: 0.0, size: GAP_SIZE };
    let mut made = Made { kind, seed, atr_fraction: None, gaps };
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        // The market's own check knows the ranges; it is no number that is refused here.
        let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
        match (name, number) {
            ("gaps", Some(per_day)) => made.gaps.per_day = per_day,
            ("gap", Some(percent)) => made.gaps.size = percent / 100.0,
            ("atr", Some(percent)) => made.atr_fraction = Some(percent / 100.0),
            _ => return Err(refuse("what follows the seed", word, OPTIONS)),
        }
    }
    Ok(Named::Made(made))
}

/// Settings that fit a made market, below everything a user says.
pub fn preset_of(market: &str) -> Option<Preset> {
    let Named::Made(made) = named(market).ok()? else { return None };
    match made.kind {
        // Frames are thinned: seconds pass between trades, and only a trade triggers a stop.
        Kind::Synthetic => {
            Some(Preset::new("synthetic", &[("QT_BAR_INTERVAL", "5s"), ("QT_STOP_GRACE_MS", "5000")]))
        }
        Kind::Realistic => Some(Preset::new("realistic", &[("QT_BAR_INTERVAL", "1m")])),
        Kind::Wide(_) => Some(Preset::new("wide", &[("QT_BAR_INTERVAL", "1m")])),
        Kind::Candles(_) => None,
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
    /// The warm-up as a run begins with it.
    pub fn history_events(&self, start: TimeNs) -> impl Iterator<Item = Event> {
        self.history.iter().map(move |(instrument, bar)| Event {
            recv_ns: start,
            instrument: *instrument,
            body: EventBody::Bar(*bar),
        })
    }

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
            && let Named::Made(made) = named(only)?
        {
            if let Some(path) = instrument_file {
                let line = format!("--instruments {path:?}: a made market brings its own instruments");
                return Err(Failure::refused(line));
            }
            let config = made.config(settings, start, None);
            let (source, market) = Market::made(&made, config, settings)?;
            return known(symbol, &market.instruments).map(|()| (source.into_frames(), market));
        }
        let table = instruments(instrument_file.map(PathBuf::as_path), &taker_fee)?;
        known(symbol, &table)?;
        let mut sources: Vec<Box<dyn MarketSource>> = Vec::new();
        let (mut identity, mut heads, mut description) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let Named::File(path) = named(name)? else {
                return Err(Failure::refused(format!("--market {name:?}: a made market stands alone")));
            };
            let path = Path::new(path);
            if !path.exists() {
                return Err(Failure::refused(format!(
                    "--market {name:?}: no such file; {MADE}, or a file of frames, trades or candles is allowed"
                )));
            }
            let opened = open(path, &table, symbol)?;
            description.push(match opened.symbol {
                Some(symbol) => format!("{} ({} of {symbol})", path.display(), opened.kind.as_str()),
                None => format!("{} ({})", path.display(), opened.kind.as_str()),
            });
            sources.push(opened.source);
            let survey = Survey::of(path, opened.kind)?;
            identity.extend(survey.digest().to_le_bytes());
            heads.extend(survey.head_crc32c.to_le_bytes());
            identity.extend(opened.symbol.iter().flat_map(|symbol| symbol.as_str().bytes()));
        }
        let source = if sources.len() == 1 { sources.swap_remove(0) } else { Box::new(Merge::new(sources)) };
        let market = Market {
            instruments: table,
            history: Vec::new(),
            start: None,
            speed: None,
            identity,
            latency_seed: latency_seed(&heads),
            description: description.join(", "),
            preset: None,
        };
        Ok((source, market))
    }

    /// A made market, with another funding rate of its candles than its own.
    pub fn open_made(
        name: &str,
        settings: &Settings,
        funding_rate: Dec,
    ) -> Result<(Source, Market), Failure> {
        match named(name)? {
            Named::Made(made) => {
                let config = made.config(settings, None, Some(funding_rate));
                let (source, market) = Market::made(&made, config, settings)?;
                Ok((source.into_source(), market))
            }
            Named::File(_) => {
                let files = "files are --candles, --trades or --frames";
                Err(Failure::refused(format!("--market {name:?} is not allowed: {MADE}; {files}")))
            }
        }
    }

    fn made(
        made: &Made,
        config: SyntheticConfig,
        settings: &Settings,
    ) -> Result<(MadeSource, Market), Failure> {
        let instruments = config.instruments(&settings.taker_fee.to_string())?;
        let preset = describe(made.kind, &config, settings);
        let source = made.open(config)?;
        let bars =
            settings.ema_period.max(settings.atr_period).max(settings.correlation_bars) + HISTORY_SPARE_BARS;
        let market = Market {
            start: Some(source.start()),
            instruments,
            history: source.history(settings.bar_interval_s, bars as usize),
            speed: Some(SYNTHETIC_SPEED),
            identity: made.name().into_bytes(),
            latency_seed: latency_seed(made.name().as_bytes()),
            description: format!("{}, seed {}", made.kind.name(), made.seed),
            preset: Some(preset),
        };
        Ok((source, market))
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
    let Named::Made(made) = named(market)? else { return Ok(Vec::new()) };
    Ok(made.open(made.config(settings, start, None))?.history(interval_s, bars))
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
fn describe(kind: Kind, config: &SyntheticConfig, settings: &Settings) -> String {
    let setting = |key: Key| format!("{}={}", key.setting().name, key.setting().value(settings));
    let frames = match (kind, config.frames_per_second) {
        (Kind::Candles(_), _) => "candles of a minute, walked against the position".to_string(),
        (_, Some(frames)) => format!("frames thinned to about {frames} a second"),
        (_, None) => "frames at natural rates".to_string(),
    };
    let gaps = config.gaps.map_or_else(String::new, |gaps| {
        format!("; {} gaps a day of about {:.2}%", gaps.per_day, gaps.size * 100.0)
    });
    format!(
        "{} {}; {frames}; a bar ranges over about {:.2}% of the price{gaps}",
        setting(Key::QT_BAR_INTERVAL),
        setting(Key::QT_STOP_GRACE_MS),
        config.atr_fraction * 100.0
    )
}
