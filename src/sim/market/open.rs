//! Telling what a market file holds.

use std::path::Path;

use super::lines::Lines;
use super::{
    BytesRead, Candles, EventSource, Frames, MarketSource, Reading, SourceError, Trades, Unrecorded, candles,
    trades,
};
use crate::event::{Instrument, InstrumentTable, Symbol};
use crate::num::Millis;

/// Seed of made event times and quote sizes: the same file gives the same frames.
const SEED: u64 = 1;
/// Enough of the first line to know it by.
const HEAD_BYTES: usize = 512;

const FIRST_LINE: &str = "expected lines of recv_ns<TAB>frame, or of aggTrades or klines columns";
/// How a gzip file begins.
const GZIP_MAGIC: &[u8] = b"\x1f\x8b";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketKind {
    Frames,
    Trades,
    Candles,
}

impl MarketKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            MarketKind::Frames => "frames",
            MarketKind::Trades => "trades",
            MarketKind::Candles => "candles",
        }
    }
}

/// A market file, recognised and opened.
pub struct Opened {
    pub kind: MarketKind,
    /// The instrument whose rows they are; frames name theirs themselves.
    pub symbol: Option<Symbol>,
    /// Length of its candles.
    pub interval_ms: Option<Millis>,
    pub source: Box<dyn MarketSource>,
}

/// Opens a market file of any kind. The kind is told by the first line. The instrument of trades
/// and candles is `symbol`, else the longest symbol of the table that the file's name contains.
pub fn open(path: &Path, table: &InstrumentTable, symbol: Option<&str>) -> Result<Opened, SourceError> {
    open_with(path, table, symbol, &|_| Unrecorded::default(), &BytesRead::default())
}

/// As [`open`]; quotes and funding made for an instrument are as `made` says.
pub fn open_with(
    path: &Path,
    table: &InstrumentTable,
    symbol: Option<&str>,
    made: &dyn Fn(Symbol) -> Unrecorded,
    read: &BytesRead,
) -> Result<Opened, SourceError> {
    let kind = market_kind(path)?;
    if kind == MarketKind::Frames {
        let source = Box::new(Frames::open_counted(path, read)?);
        return Ok(Opened { kind, symbol: None, interval_ms: None, source });
    }
    let instrument = instrument(path, table, symbol)?;
    let reading = Reading { seed: SEED, made: made(instrument.symbol), read: read.clone() };
    let symbol = Some(instrument.symbol);
    if kind == MarketKind::Trades {
        let source = Box::new(Trades::open_with(path, instrument, &reading)?);
        return Ok(Opened { kind, symbol, interval_ms: None, source });
    }
    let candles = Candles::open_with(path, instrument, &reading)?;
    Ok(Opened { kind, symbol, interval_ms: Some(candles.interval_ms()), source: Box::new(candles) })
}

/// As [`open_with`], a file of trades or candles as events, which need no decoding; `None` for frames.
///
/// # Errors
/// As [`open`], and no thread to read it.
pub fn open_events(
    path: &Path,
    table: &InstrumentTable,
    symbol: Option<&Symbol>,
    made: &dyn Fn(Symbol) -> Unrecorded,
    read: &BytesRead,
) -> Result<Option<Box<dyn EventSource>>, SourceError> {
    let kind = market_kind(path)?;
    if kind == MarketKind::Frames {
        return Ok(None);
    }
    let instrument = instrument(path, table, symbol.map(Symbol::as_str))?;
    // Every instrument of the table has an id there.
    let Some(id) = table.find(instrument.symbol.as_str()) else { return Ok(None) };
    let reading = Reading { seed: SEED, made: made(instrument.symbol), read: read.clone() };
    if kind == MarketKind::Candles {
        return Ok(Some(Box::new(Candles::open_with(path, instrument, &reading)?.into_events(id))));
    }
    let trades = Trades::open_with(path, instrument, &reading)?;
    let events = trades.into_events(id).map_err(|e| SourceError::io(&path.display().to_string(), 0, &e))?;
    Ok(Some(Box::new(events)))
}

/// What the first line of a file says it holds.
///
/// # Errors
/// It is none of these, or can't be read.
pub fn market_kind(path: &Path) -> Result<MarketKind, SourceError> {
    let mut lines = Lines::open(path, &BytesRead::default())?;
    let mut head = Vec::new();
    if lines.read(&mut head, HEAD_BYTES)?.is_none() {
        return Err(SourceError::new(lines.file(), 0, "is empty", b"", FIRST_LINE));
    }
    if head.starts_with(GZIP_MAGIC) {
        let allowed = "text: plain, compressed with zstd, or in a zip archive; unpack it first";
        return Err(SourceError::new(lines.file(), 0, "is a gzip file", b"", allowed));
    }
    let columns = head.split(|b| *b == b',').count();
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if head.split(|b| *b == b'\t').next().is_some_and(|first| first.len() < head.len() && is_number(first)) {
        return Ok(MarketKind::Frames);
    }
    let is_row = head.split(|b| *b == b',').next().is_some_and(is_number);
    if head.starts_with(trades::HEADER.as_bytes()) || (is_row && columns == trades::COLUMNS) {
        return Ok(MarketKind::Trades);
    }
    if head.starts_with(candles::HEADER.as_bytes()) || (is_row && columns >= candles::COLUMNS_MIN) {
        return Ok(MarketKind::Candles);
    }
    Err(SourceError::new(lines.file(), 1, "line", &head, FIRST_LINE))
}

fn instrument<'a>(
    path: &Path,
    table: &'a InstrumentTable,
    symbol: Option<&str>,
) -> Result<&'a Instrument, SourceError> {
    let file = path.display().to_string();
    let found = match symbol {
        Some(symbol) => table.iter().map(|(_, row)| row).find(|row| row.symbol.as_str() == symbol),
        None => symbol_in_name(path, table),
    };
    found.ok_or_else(|| {
        let known: Vec<&str> = table.iter().map(|(_, row)| row.symbol.as_str()).collect();
        let (field, value) = symbol.map_or(("symbol in the file's name", ""), |s| ("symbol", s));
        SourceError::new(&file, 0, field, value.as_bytes(), format!("one of {}", known.join(", ")))
    })
}

/// The instrument a file's name speaks of: the longest symbol of the table in it, in any case.
pub fn symbol_in_name<'a>(path: &Path, table: &'a InstrumentTable) -> Option<&'a Instrument> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    table
        .iter()
        .map(|(_, row)| row)
        .filter(|row| name.contains(&row.symbol.as_str().to_ascii_lowercase()))
        .max_by_key(|row| row.symbol.as_str().len())
}
