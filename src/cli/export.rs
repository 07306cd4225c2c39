//! `qtx journal export`.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::progress::{Progress, Whole};
use super::{Failure, print};
use crate::export::{self, Format, Options, Range, Table};
use crate::journal::{RingInfo, info};
use crate::num::TimeNs;

/// How tables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Files {
    /// For pandas, Polars, DuckDB, Spark: typed, compressed
    Parquet,
    /// Comma-separated values
    Csv,
    /// A file of each
    Both,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  qtx journal export qtx-journal --to tables
      every table, as tables/decisions.parquet, tables/trades.parquet, …
  qtx journal export qtx-journal --to tables --tables trades,fills --format csv --force
      two of them, for a spreadsheet, over what was there
  qtx journal export qtx-journal --to july --from-time 2024-07-01 --to-time 2024-08-01
      what was received in July
  duckdb -c \"select symbol, sum(pnl) from 'tables/trades.parquet' group by symbol\"
      and then ask

docs/EXPORT.md has every column with its type and unit; the Parquet files have them, too. A journal that is damaged is
exported up to there, with exit code 1; one that is being written, up to now.")]
pub struct ExportArgs {
    dir: PathBuf,
    /// Folder for the files; made if it is not there
    #[arg(long, value_name = "OUT")]
    to: PathBuf,
    /// What files to write
    #[arg(long, value_enum, default_value_t = Files::Parquet)]
    format: Files,
    /// Tables, with commas between: events, decisions, orders, fills, trades, equity, bars; default: all
    #[arg(long, value_name = "TABLES", value_delimiter = ',')]
    tables: Vec<String>,
    /// First sequence number
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from_seq: u64,
    /// Last sequence number
    #[arg(long, value_name = "SEQ")]
    to_seq: Option<u64>,
    /// First time: 2024-07-15, 2024-07-15T08:30:00Z, or recv_ns; UTC
    #[arg(long, value_name = "TIME")]
    from_time: Option<String>,
    /// Up to this time, itself not included
    #[arg(long, value_name = "TIME")]
    to_time: Option<String>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

pub fn export(args: &ExportArgs) -> Result<ExitCode, Failure> {
    let options = options(args)?;
    let draws = io::stderr().is_terminal() && !args.json;
    let mut progress = draws.then(|| newest(&args.dir)).flatten().map(|to| {
        let to = options.range.to_sequence.map_or(to, |last| last.min(to));
        Progress::new("export".to_string(), Whole::Sequence { to })
    });
    let report = export::export(&args.dir, &options, |sequence, at| {
        if let Some(progress) = &mut progress {
            progress.see(at, sequence);
        }
    });
    drop(progress);
    let report = report?;
    if args.json {
        print(&(serde_json::to_string_pretty(&report)? + "\n"))?;
    } else {
        print(&format!("{report}\n"))?;
    }
    Ok(if report.problem.is_none() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn options(args: &ExportArgs) -> Result<Options, Failure> {
    let range = Range {
        from_sequence: args.from_seq,
        to_sequence: args.to_seq,
        from: time("--from-time", args.from_time.as_deref())?,
        to: time("--to-time", args.to_time.as_deref())?,
    };
    let sequences = range.to_sequence.is_none_or(|to| range.from_sequence <= to);
    let times = range.from.zip(range.to).is_none_or(|(from, to)| from < to);
    if !sequences || !times {
        return Err(Failure::refused("the range is empty: it ends before it begins"));
    }
    Ok(Options {
        to: args.to.clone(),
        format: match args.format {
            Files::Parquet => Format::Parquet,
            Files::Csv => Format::Csv,
            Files::Both => Format::Both,
        },
        tables: tables(&args.tables)?,
        range,
        force: args.force,
    })
}

fn tables(names: &[String]) -> Result<Vec<Table>, Failure> {
    if names.is_empty() {
        return Ok(Table::ALL.to_vec());
    }
    let known = || Table::ALL.map(Table::as_str).join(", ");
    let table = |name: &String| {
        Table::parse(name).ok_or_else(|| {
            Failure::refused(format!("--tables: no table is called {name:?}; tables are {}", known()))
        })
    };
    names.iter().map(table).collect()
}

fn time(flag: &str, text: Option<&str>) -> Result<Option<TimeNs>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let forms = "a date (2024-07-15), a time (2024-07-15T08:30:00.123Z) or nanoseconds since 1970; UTC";
    let refuse = || Failure::refused(format!("{flag} {text:?}: not a time: {forms}"));
    text.parse().map(TimeNs).ok().or_else(|| text.parse().ok()).map(Some).ok_or_else(refuse)
}

/// Newest record of a journal, as far as its headers tell.
fn newest(dir: &Path) -> Option<u64> {
    let info = info(dir).ok()?;
    let in_ring = if let RingInfo::Present { newest, .. } = info.ring { newest } else { 0 };
    Some(info.archived_records.max(in_ring))
}
