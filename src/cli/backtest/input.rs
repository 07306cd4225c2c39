//! What a backtest runs through: files, or a market made from a seed for so many days.

use std::slice;

use super::BacktestArgs;
use super::files::{FileFigures, Files, InstrumentFigures, Look, Source};
use crate::cli::Failure;
use crate::cli::market::Market;
use crate::event::InstrumentTable;
use crate::num::{NS_PER_DAY, TimeNs};
use crate::risk::config::Settings;
use crate::sim::market::{BytesRead, MarketSource};

/// Days of a made market, unless told otherwise: it has no end of its own.
const MADE_DAYS: f64 = 30.0;
/// A century.
const DAYS_MAX: f64 = 36_500.0;

pub(super) struct Input {
    market: Given,
    pub table: InstrumentTable,
    /// First and last time, as far as they are run.
    pub span: Option<(TimeNs, TimeNs)>,
    /// Of the files, as they lie on the disk.
    pub bytes: u64,
    pub look: Look,
    /// Simulated time after which a run ends; `None` is the market's end.
    pub horizon_ns: Option<i64>,
    pub figures: Vec<FileFigures>,
}

enum Given {
    Files(Files),
    Made(String),
}

impl Input {
    /// # Errors
    /// Neither or both, days out of range, and what [`Files::survey`] or the market refuses.
    pub fn new(args: &BacktestArgs, settings: &Settings, look: Look) -> Result<Input, Failure> {
        let horizon_ns = args.days.as_deref().map(days).transpose()?;
        let Some(name) = &args.market else {
            let files = Files::survey(args, settings, look)?;
            let end = |from: TimeNs| horizon_ns.map_or(TimeNs(i64::MAX), |ns| from + ns);
            return Ok(Input {
                table: files.table.clone(),
                span: files.span.map(|(from, to)| (from, to.min(end(from)))),
                bytes: files.bytes,
                look: files.look,
                horizon_ns,
                figures: files.figures.clone(),
                market: Given::Files(files),
            });
        };
        let files = [("--candles", &args.candles), ("--trades", &args.trades), ("--frames", &args.frames)];
        if let Some((flag, _)) = files.iter().find(|(_, paths)| !paths.is_empty()) {
            return Err(Failure::refused(format!("--market {name:?} stands alone, without {flag}")));
        }
        let (_, market) = made(name, args, settings)?;
        let horizon_ns = horizon_ns.unwrap_or((MADE_DAYS * NS_PER_DAY as f64) as i64);
        let from = market.start.unwrap_or(TimeNs(0));
        let to = from + horizon_ns;
        let figures = FileFigures {
            path: String::from_utf8_lossy(&market.identity).into_owned(),
            kind: "made",
            symbol: None,
            from: from.to_string(),
            to: Some(to.to_string()),
        };
        Ok(Input {
            table: market.instruments,
            bytes: 0,
            look: Look::Whole,
            span: Some((from, to)),
            horizon_ns: Some(horizon_ns),
            figures: vec![figures],
            market: Given::Made(name.clone()),
        })
    }

    /// Opens it from its beginning; `read` counts what is read of files.
    pub fn open(&self, settings: &Settings, read: &BytesRead) -> Result<(Source, Market), Failure> {
        match &self.market {
            Given::Files(files) => files.open(read),
            Given::Made(name) => {
                let (source, market) = Market::open(slice::from_ref(name), None, None, settings)?;
                Ok((Source::Frames(source), market))
            }
        }
    }

    /// What the operator should know of the data.
    pub fn notes(&self, settings: &Settings) -> Result<Vec<String>, Failure> {
        Ok(match &self.market {
            Given::Files(files) => files.notes(),
            Given::Made(_) => self.open(settings, &BytesRead::default())?.1.preset.into_iter().collect(),
        })
    }

    pub fn instrument_figures(&self) -> Vec<InstrumentFigures> {
        match &self.market {
            Given::Files(files) => files.instrument_figures(),
            Given::Made(_) => self.table.iter().map(|(_, row)| InstrumentFigures::of(row, None)).collect(),
        }
    }
}

/// A made market; what names a file is refused.
fn made(
    name: &String,
    args: &BacktestArgs,
    settings: &Settings,
) -> Result<(Box<dyn MarketSource>, Market), Failure> {
    if !crate::cli::market::is_made(name) {
        return Err(Failure::refused(format!(
            "--market {name:?} is not allowed: {}; files are --candles, --trades or --frames",
            crate::cli::market::MADE
        )));
    }
    Market::open(slice::from_ref(name), args.symbol.as_deref(), args.instruments.as_ref(), settings)
}

fn days(text: &str) -> Result<i64, Failure> {
    match text.parse::<f64>() {
        Ok(days) if days > 0.0 && days <= DAYS_MAX => Ok((days * NS_PER_DAY as f64) as i64),
        _ => Err(Failure::refused(format!("--days {text:?} is not allowed: above 0 to {DAYS_MAX}"))),
    }
}
