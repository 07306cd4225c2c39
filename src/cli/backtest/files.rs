//! The files of a backtest, and what is known of them before they are run: candles are looked through
//! for prices finer than the instrument's tick; of trades and frames, which are long, only the head is
//! read unless there is a reason.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::BacktestArgs;
use crate::cli::Failure;
use crate::cli::market::{Market, instruments, known, latency_seed};
use crate::event::{Instrument, InstrumentTable, Symbol};
use crate::num::{Dec, Ticks, TimeNs};
use crate::risk::config::{Key, Settings};
use crate::sim::market::{
    BytesRead, EventSource, MarketKind, MarketSource, Merge, MergeEvents, Source, Survey, Unrecorded, common,
    market_kind, open, open_events, open_with, symbol_in_name,
};

/// Beyond this a finer tick is not the venue's with a few odd prices in it but another market's: what
/// the venue's tick is worth then says nothing about the spread.
const SPREAD_TICKS_MAX: i128 = 1_000;

/// How far files are read before they are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Candles to their end, of others the head.
    Glance,
    /// All to their end.
    Whole,
}

/// The files, surveyed.
pub(super) struct Files {
    paths: Vec<(PathBuf, Option<Symbol>)>,
    pub table: InstrumentTable,
    /// Bid to ask of made quotes, in ticks, where it is not one.
    spreads: BTreeMap<Symbol, Ticks>,
    funding_rate: Dec,
    /// Instruments whose tick was refined, as they were.
    refined: Vec<Instrument>,
    pub figures: Vec<FileFigures>,
    pub identity: Vec<u8>,
    latency_seed: u64,
    /// As they lie on the disk.
    pub bytes: u64,
    pub look: Look,
    pub span: Option<(TimeNs, TimeNs)>,
}

/// A file, for the report.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FileFigures {
    pub path: String,
    pub kind: &'static str,
    /// Of trades and candles.
    pub symbol: Option<String>,
    /// Times of the first and last line, UTC; the last only where the file was read to its end before.
    pub from: String,
    pub to: Option<String>,
}

/// An instrument, for the report.
#[derive(Clone, Debug, Serialize)]
pub(super) struct InstrumentFigures {
    pub symbol: String,
    pub tick: String,
    /// The table's, where the file has finer prices.
    pub listed_tick: Option<String>,
    pub step: String,
    pub taker_fee: String,
}

/// What the first pass found of one file.
struct Found {
    path: PathBuf,
    kind: MarketKind,
    symbol: Option<Symbol>,
    survey: Survey,
}

impl Files {
    /// # Errors
    /// No file, a file of another kind than its flag says, one whose instrument is not known, or candles
    /// that no bars can be made of.
    pub fn survey(
        args: &BacktestArgs,
        settings: &Settings,
        funding_rate: Dec,
        look: Look,
    ) -> Result<Files, Failure> {
        // A journal's identity is of all that went in.
        let look = if args.journal.is_some() { Look::Whole } else { look };
        let fee = settings.taker_fee.to_string();
        let table = instruments(args.instruments.as_deref(), &fee)?;
        known(args.symbol.as_deref(), &table)?;
        let flags = [
            ("--candles", MarketKind::Candles, &args.candles),
            ("--trades", MarketKind::Trades, &args.trades),
            ("--frames", MarketKind::Frames, &args.frames),
        ];
        let mut found = Vec::new();
        for (flag, kind, paths) in flags {
            for path in paths {
                found.push(look_at(path, flag, kind, args.symbol.as_deref(), &table, look)?);
            }
        }
        if found.is_empty() {
            let line = "nothing to run: --candles, --trades or --frames with at least one file, or --market, is \
                        needed";
            return Err(Failure::refused(line));
        }
        if look == Look::Glance && twice(&found) {
            return Files::survey(args, settings, funding_rate, Look::Whole);
        }
        once(&found)?;
        let (table, spreads, refined) = refine(&found, &table)?;
        let known = found.iter().all(|file| file.survey.last.is_some());
        let times = || found.iter().flat_map(|file| [file.survey.first, file.survey.last]).flatten();
        let heads: Vec<u8> = found.iter().flat_map(|file| file.survey.head_crc32c.to_le_bytes()).collect();
        let lengths = found.iter().filter_map(|file| std::fs::metadata(&file.path).ok());
        let files = Files {
            span: times().min().zip(times().max()).filter(|_| known),
            latency_seed: latency_seed(&heads),
            bytes: lengths.map(|metadata| metadata.len()).sum(),
            look,
            identity: found.iter().flat_map(Found::identity).collect(),
            figures: found.iter().map(Found::figures).collect(),
            paths: found.iter().map(|file| (file.path.clone(), file.symbol)).collect(),
            table,
            spreads,
            funding_rate,
            refined,
        };
        files.check_intervals(settings)?;
        Ok(files)
    }

    /// Opens all of them as one market, in the order of time.
    /// `read` counts what is read of them.
    pub fn open(&self, read: &BytesRead) -> Result<(Source, Market), Failure> {
        let source = match self.open_events(read)? {
            Some(source) => Source::Events(source),
            None => Source::Frames(self.open_frames(read)?),
        };
        let market = Market {
            instruments: self.table.clone(),
            history: Vec::new(),
            start: None,
            speed: None,
            identity: self.identity.clone(),
            latency_seed: self.latency_seed,
            description: self.figures.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", "),
            preset: None,
        };
        Ok((source, market))
    }

    fn open_frames(&self, read: &BytesRead) -> Result<Box<dyn MarketSource>, Failure> {
        let opened = self.paths.iter().map(|(path, symbol)| Ok(self.open_one(path, *symbol, read)?.source));
        let mut sources = opened.collect::<Result<Vec<_>, Failure>>()?;
        Ok(if sources.len() == 1 { sources.swap_remove(0) } else { Box::new(Merge::new(sources)) })
    }

    /// Trades and candles need no frames.
    fn open_events(&self, read: &BytesRead) -> Result<Option<Box<dyn EventSource>>, Failure> {
        let mut sources = Vec::new();
        for (path, symbol) in &self.paths {
            let opened = open_events(path, &self.table, symbol.as_ref(), &|symbol| self.made(symbol), read)?;
            let Some(source) = opened else { return Ok(None) };
            sources.push(source);
        }
        Ok(Some(if sources.len() == 1 {
            sources.swap_remove(0)
        } else {
            Box::new(MergeEvents::new(sources))
        }))
    }

    fn made(&self, symbol: Symbol) -> Unrecorded {
        Unrecorded {
            spread: self.spreads.get(&symbol).copied().unwrap_or(Ticks(1)),
            funding_rate: self.funding_rate,
        }
    }

    fn open_one(
        &self,
        path: &Path,
        symbol: Option<Symbol>,
        read: &BytesRead,
    ) -> Result<crate::sim::market::Opened, Failure> {
        let symbol = symbol.as_ref().map(Symbol::as_str);
        Ok(open_with(path, &self.table, symbol, &|symbol| self.made(symbol), read)?)
    }

    /// Bars can be made of candles that are as long, or of which several make one.
    fn check_intervals(&self, settings: &Settings) -> Result<(), Failure> {
        for (path, symbol) in &self.paths {
            let opened = self.open_one(path, *symbol, &BytesRead::default())?;
            let Some(interval_ms) = opened.interval_ms else { continue };
            let bar_ms = i64::from(settings.bar_interval_s) * 1_000;
            if bar_ms < interval_ms || bar_ms % interval_ms != 0 {
                let bar = Key::QT_BAR_INTERVAL.setting().value(settings);
                let candle_s = interval_ms / 1_000;
                return Err(Failure::refused(format!(
                    "QT_BAR_INTERVAL {bar} is not allowed with {}: a multiple of its candles' {candle_s} s",
                    path.display()
                )));
            }
        }
        Ok(())
    }

    /// What the operator should know of the data.
    pub fn notes(&self) -> Vec<String> {
        let finer = self.refined.iter().filter_map(|listed| {
            let now = self.instrument(listed.symbol)?;
            Some(format!(
                "{} has prices off its tick of {}: run with a tick of {}, quotes as far apart as before",
                listed.symbol, listed.tick, now.tick
            ))
        });
        finer.collect()
    }

    pub fn instrument_figures(&self) -> Vec<InstrumentFigures> {
        let listed = |symbol: Symbol| self.refined.iter().find(|row| row.symbol == symbol);
        self.table.iter().map(|(_, row)| InstrumentFigures::of(row, listed(row.symbol))).collect()
    }

    fn instrument(&self, symbol: Symbol) -> Option<&Instrument> {
        self.table.iter().map(|(_, row)| row).find(|row| row.symbol == symbol)
    }
}

impl InstrumentFigures {
    /// `listed`: the table's row, where its tick was refined.
    pub fn of(row: &Instrument, listed: Option<&Instrument>) -> InstrumentFigures {
        InstrumentFigures {
            symbol: row.symbol.to_string(),
            tick: row.tick.to_string(),
            listed_tick: listed.map(|row| row.tick.to_string()),
            step: row.step.to_string(),
            taker_fee: row.taker_fee.to_string(),
        }
    }
}

impl Found {
    fn grid(&self) -> Option<Dec> {
        self.survey.price_grid.filter(|grid| grid.0 > 0)
    }

    fn identity(&self) -> Vec<u8> {
        let symbol = self.symbol.map(|symbol| symbol.to_string()).unwrap_or_default();
        [&self.survey.digest().to_le_bytes()[..], symbol.as_bytes()].concat()
    }

    fn figures(&self) -> FileFigures {
        FileFigures {
            path: self.path.display().to_string(),
            kind: self.kind.as_str(),
            symbol: self.symbol.map(|symbol| symbol.to_string()),
            from: self.survey.first.map_or_else(|| "-".to_string(), |at| at.to_string()),
            to: self.survey.last.map(|at| at.to_string()),
        }
    }
}

fn look_at(
    path: &Path,
    flag: &str,
    kind: MarketKind,
    symbol: Option<&str>,
    table: &InstrumentTable,
    look: Look,
) -> Result<Found, Failure> {
    if !path.exists() {
        return Err(Failure::refused(format!("{flag} {:?}: no such file", path.display().to_string())));
    }
    let holds = market_kind(path)?;
    if holds != kind {
        let (held, asked) = (holds.as_str(), kind.as_str());
        return Err(Failure::refused(format!(
            "{flag} {}: holds {held}, {asked} are allowed",
            path.display()
        )));
    }
    let named = || match symbol {
        Some(symbol) => Symbol::new(symbol),
        None => symbol_in_name(path, table).map(|row| row.symbol),
    };
    let symbol = match kind {
        MarketKind::Frames => None,
        // What names no instrument is refused by whoever opens it, with the symbols there are.
        _ => Some(match named() {
            Some(symbol) => symbol,
            None => {
                return Err(open(path, table, None).map_or_else(Failure::from, |_| {
                    Failure::refused(format!("{}: no instrument", path.display()))
                }));
            }
        }),
    };
    let glance = look == Look::Glance && kind != MarketKind::Candles;
    let survey = if glance { Survey::glance(path, kind)? } else { Survey::of(path, kind)? };
    let found = Found { path: path.to_path_buf(), kind, symbol, survey };
    let tick = table.iter().map(|(_, row)| row).find(|row| Some(row.symbol) == symbol).map(|row| row.tick);
    match (glance, found.grid(), tick) {
        (true, Some(grid), Some(tick)) if common(tick, grid) != tick => {
            Ok(Found { survey: Survey::of(path, kind)?, ..found })
        }
        _ => Ok(found),
    }
}

/// Two files of one instrument: whether they overlap only their ends tell.
fn twice(found: &[Found]) -> bool {
    let named: Vec<Symbol> = found.iter().filter_map(|file| file.symbol).collect();
    named.iter().enumerate().any(|(i, symbol)| named.iter().skip(i + 1).any(|other| other == symbol))
}

/// Trades and candles of one instrument, or two files of it that overlap, would count everything twice.
fn once(found: &[Found]) -> Result<(), Failure> {
    for (i, a) in found.iter().enumerate() {
        for b in found.iter().skip(i + 1).filter(|b| b.symbol.is_some() && b.symbol == a.symbol) {
            let overlap = match (a.survey.first, a.survey.last, b.survey.first, b.survey.last) {
                (Some(from), Some(to), Some(first), Some(last)) => first <= to && from <= last,
                _ => false,
            };
            if overlap {
                let symbol = a.symbol.map(|symbol| symbol.to_string()).unwrap_or_default();
                let (a, b) = (a.path.display(), b.path.display());
                return Err(Failure::refused(format!("{a} and {b} overlap in time: both are {symbol}")));
            }
        }
    }
    Ok(())
}

type Refined = (InstrumentTable, BTreeMap<Symbol, Ticks>, Vec<Instrument>);

/// The instruments of the run, each with the coarsest tick that its own and all its prices are
/// multiples of. Public candles have a price off the venue's grid now and then (liquidations), and a
/// bar rounded to the grid would not be the bar there was.
fn refine(found: &[Found], table: &InstrumentTable) -> Result<Refined, Failure> {
    let (mut rows, mut spreads, mut refined) = (Vec::new(), BTreeMap::new(), Vec::new());
    let all = found.iter().any(|file| file.symbol.is_none());
    for (_, row) in table.iter() {
        let mut files = found.iter().filter(|file| file.symbol == Some(row.symbol)).peekable();
        if files.peek().is_none() && !all {
            continue;
        }
        let grids = files.filter_map(Found::grid);
        let tick = grids.fold(row.tick, common);
        if tick == row.tick {
            rows.push(*row);
            continue;
        }
        rows.push(row.with_tick(tick)?);
        refined.push(*row);
        let spread = row.tick.0 / tick.0;
        if spread <= SPREAD_TICKS_MAX {
            spreads.insert(row.symbol, Ticks(i64::try_from(spread).unwrap_or(1)));
        }
    }
    let table = InstrumentTable::new(rows).unwrap_or_default();
    Ok((table, spreads, refined))
}
