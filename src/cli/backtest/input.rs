//! What a backtest runs through: files, or a market made from a seed for so many days.

use super::BacktestArgs;
use super::files::{FileFigures, Files, InstrumentFigures, Look};
use crate::cli::Failure;
use crate::cli::market::Market;
use crate::event::InstrumentTable;
use crate::num::{Dec, NS_PER_DAY, Rounding, TimeNs};
use crate::risk::config::Settings;
use crate::sim::market::{BytesRead, MarketKind, Source};

/// Days of a made market, unless told otherwise: it has no end of its own.
const MADE_DAYS: f64 = 30.0;
/// A century.
const DAYS_MAX: f64 = 36_500.0;
/// Beyond any cap of the venue's, and the places it announces.
const FUNDING_RATE_MAX: Dec = Dec::new(5, 2);
const FUNDING_PLACES: u32 = 8;

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
    /// Of candles and trades.
    pub funding_rate: Dec,
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
        let funding_rate = funding_rate(&args.funding_rate)?;
        let Some(name) = &args.market else {
            let files = Files::survey(args, settings, funding_rate, look)?;
            let end = |from: TimeNs| horizon_ns.map_or(TimeNs(i64::MAX), |ns| from + ns);
            return Ok(Input {
                table: files.table.clone(),
                span: files.span.map(|(from, to)| (from, to.min(end(from)))),
                bytes: files.bytes,
                look: files.look,
                horizon_ns,
                funding_rate,
                figures: files.figures.clone(),
                market: Given::Files(files),
            });
        };
        let beside = [
            ("--candles", !args.candles.is_empty()),
            ("--trades", !args.trades.is_empty()),
            ("--frames", !args.frames.is_empty()),
            ("--symbol", args.symbol.is_some()),
            ("--instruments", args.instruments.is_some()),
        ];
        if let Some((flag, _)) = beside.iter().find(|(_, given)| *given) {
            return Err(Failure::refused(format!("--market {name:?} stands alone, without {flag}")));
        }
        let (_, market) = Market::open_made(name, settings, funding_rate)?;
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
            funding_rate,
            figures: vec![figures],
            market: Given::Made(name.clone()),
        })
    }

    /// Opens it from its beginning; `read` counts what is read of files.
    pub fn open(&self, settings: &Settings, read: &BytesRead) -> Result<(Source, Market), Failure> {
        match &self.market {
            Given::Files(files) => files.open(read),
            Given::Made(name) => Market::open_made(name, settings, self.funding_rate),
        }
    }

    /// What of it decides the run beside the market's own identity; nothing without funding.
    pub fn tag(&self) -> Vec<u8> {
        match self.funding_rate {
            Dec::ZERO => Vec::new(),
            _ if self.figures.iter().all(|file| file.kind == MarketKind::Frames.as_str()) => Vec::new(),
            rate => format!("funding:{rate}").into_bytes(),
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

/// A fraction the venue could announce.
fn funding_rate(text: &str) -> Result<Dec, Failure> {
    let rate = Dec::parse(text).ok().filter(|rate| rate.abs() <= FUNDING_RATE_MAX);
    rate.filter(|rate| rate.round(FUNDING_PLACES, Rounding::Floor) == *rate).ok_or_else(|| {
        let allowed = format!("-{FUNDING_RATE_MAX} to {FUNDING_RATE_MAX}, at most {FUNDING_PLACES} places");
        Failure::refused(format!("--funding-rate {text:?} is not allowed: {allowed}"))
    })
}

fn days(text: &str) -> Result<i64, Failure> {
    match text.parse::<f64>() {
        Ok(days) if days > 0.0 && days <= DAYS_MAX => Ok((days * NS_PER_DAY as f64) as i64),
        _ => Err(Failure::refused(format!("--days {text:?} is not allowed: above 0 to {DAYS_MAX}"))),
    }
}
