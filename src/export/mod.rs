//! A journal as tables for analysis: Parquet files, or comma-separated values. Prices, quantities and
//! money are exact decimals in quote and base currency. `docs/EXPORT.md` has the columns.

mod convert;
mod files;
mod ledger;
mod schema;
mod tables;
mod to_csv;
#[cfg(feature = "export")]
mod to_parquet;
mod units;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::convert::Place;
use self::files::{Files, Writer};
use self::ledger::Ledger;
use self::units::Units;
use crate::event::record::Entry;
use crate::event::{EventBody, Output, OutputBody};
use crate::journal::read::Numbered;
use crate::journal::text::Lines;
use crate::journal::{Identity, JournalError, JournalReader, info};
use crate::num::{InstrumentId, TimeNs};

pub use files::Written;
pub use schema::{Cell, Cells, Column, Row, Schema, Type, VenueTime};
pub use tables::*;

/// How tables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Parquet,
    Csv,
    Both,
}

impl Format {
    /// The formats of files.
    fn each(self) -> &'static [Format] {
        match self {
            Format::Parquet => &[Format::Parquet],
            Format::Csv => &[Format::Csv],
            Format::Both => &[Format::Parquet, Format::Csv],
        }
    }

    fn extension(self) -> &'static str {
        if self == Format::Csv { "csv" } else { "parquet" }
    }

    fn writer(self, file: File, table: Table) -> io::Result<Box<dyn Writer>> {
        if self == Format::Csv {
            return Ok(Box::new(to_csv::CsvTable::new(file, table.schema())?));
        }
        #[cfg(feature = "export")]
        return Ok(Box::new(to_parquet::ParquetTable::new(file, table.as_str(), table.schema())?));
        #[cfg(not(feature = "export"))]
        Err(io::Error::new(io::ErrorKind::Unsupported, ExportError::NoParquet))
    }
}

/// What to export, and where to.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the files; made if it is not there.
    pub to: PathBuf,
    pub format: Format,
    pub tables: Vec<Table>,
    pub range: Range,
    /// Files that are there may be replaced.
    pub force: bool,
}

/// Which entries become rows. What comes before is read all the same: rows depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Range {
    /// First sequence number; 0 for the start.
    pub from_sequence: u64,
    /// Last sequence number; `None` for the end.
    pub to_sequence: Option<u64>,
    /// First receive time.
    pub from: Option<TimeNs>,
    /// Receive time at which to stop.
    pub to: Option<TimeNs>,
}

impl Range {
    fn begun(&self, place: Place) -> bool {
        place.sequence >= self.from_sequence && self.from.is_none_or(|from| place.at >= from)
    }

    fn over(&self, place: Place) -> bool {
        self.to_sequence.is_some_and(|to| place.sequence > to) || self.to.is_some_and(|to| place.at >= to)
    }
}

/// Why there is no export. Each prints as one line.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{}: is there already; --force replaces it", path.display())]
    Exists { path: PathBuf },
    #[error("{}: can't {doing}: {source}", path.display())]
    File { path: PathBuf, doing: &'static str, source: io::Error },
    #[error("this qtx was built without Parquet: build it with --features export, or take --format csv")]
    NoParquet,
}

impl ExportError {
    fn at(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> ExportError {
        move |source| ExportError::File { path: path.to_path_buf(), doing, source }
    }
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub identity: Option<Identity>,
    /// Entries read, those before the range included.
    pub entries: u64,
    /// Of the last entry read.
    pub last_sequence: u64,
    /// Last sequence number, of those read, of a group that was written whole.
    pub committed_sequence: u64,
    /// Everything was read, to the run's end. False of a journal that was cut or is being written, and where the
    /// range ends before.
    pub ended: bool,
    /// A process was writing it.
    pub live: bool,
    pub tables: BTreeMap<&'static str, TableReport>,
    /// What is wrong with the journal: entries from there on are not in the files.
    pub problem: Option<String>,
}

/// A table's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableReport {
    pub rows: u64,
    pub files: Vec<Written>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "entries    {} read, to sequence {}", self.entries, self.last_sequence)?;
        for (name, table) in &self.tables {
            for Written { path, bytes, decimals_left_out } in &table.files {
                write!(f, "{name:<10} {:>10} rows {bytes:>12} bytes  {}", table.rows, path.display())?;
                if *decimals_left_out > 0 {
                    write!(f, "  ({decimals_left_out} decimals of more than 38 digits left out)")?;
                }
                writeln!(f)?;
            }
        }
        match (self.ended, self.live) {
            (true, _) => writeln!(f, "ended      yes")?,
            (false, true) => writeln!(f, "ended      no: it is being written")?,
            (false, false) => writeln!(f, "ended      no: it was cut, or the range ends before it")?,
        }
        match &self.problem {
            None => write!(f, "no problem found"),
            Some(problem) => write!(f, "PROBLEM {problem}"),
        }
    }
}

/// Exports a journal, also one that is being written, up to now. `seen` hears of each entry read: its sequence
/// number and time.
///
/// A journal that is damaged is exported as far as it can be read, and the report names the problem.
///
/// # Errors
/// There is no journal; a file is there already, or can't be written. No file of the export is left then.
pub fn export(
    dir: &Path,
    options: &Options,
    mut seen: impl FnMut(u64, TimeNs),
) -> Result<Report, ExportError> {
    if options.format != Format::Csv && cfg!(not(feature = "export")) {
        return Err(ExportError::NoParquet);
    }
    let mut reader = JournalReader::open(dir)?;
    let live = info(dir).is_ok_and(|info| info.live);
    let mut export = Export::new(options.range, Files::create(options)?);
    let problem = loop {
        let numbered = match reader.next_entry() {
            Ok(Some(numbered)) => numbered,
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        };
        let place = place_of(&numbered);
        if options.range.over(place) {
            break None;
        }
        export.take(place, &numbered)?;
        seen(numbered.last_sequence, place.at);
    };
    export.finish(reader.identity(), live, problem)
}

fn place_of(numbered: &Numbered) -> Place {
    let at = match &numbered.entry {
        Entry::Event(event) => event.recv_ns,
        Entry::Output { recv_ns, .. } => *recv_ns,
    };
    Place { sequence: numbered.first_sequence, at }
}

/// Entries in, rows out.
struct Export {
    range: Range,
    files: Files,
    lines: Lines,
    ledger: Ledger,
    /// The row of a fill, until what it caused is known.
    fill: Option<FillRow>,
    entries: u64,
    last_sequence: u64,
    committed_sequence: u64,
    ended: bool,
}

impl Export {
    fn new(range: Range, files: Files) -> Export {
        Export {
            range,
            files,
            lines: Lines::new(true),
            ledger: Ledger::default(),
            fill: None,
            entries: 0,
            last_sequence: 0,
            committed_sequence: 0,
            ended: false,
        }
    }

    fn take(&mut self, place: Place, numbered: &Numbered) -> Result<(), ExportError> {
        self.lines.learn(&numbered.entry);
        self.entries += 1;
        self.last_sequence = numbered.last_sequence;
        let wanted = self.range.begun(place);
        if wanted && self.files.has(Table::Events) {
            self.files.put(&convert::event(place, numbered, &mut self.lines))?;
        }
        match &numbered.entry {
            Entry::Event(event) => {
                // An event begins: the group before it is whole. Behind the last one nothing more will come.
                self.committed_sequence = numbered.first_sequence - 1;
                if let EventBody::RunEnd(_) = event.body {
                    (self.ended, self.committed_sequence) = (true, numbered.last_sequence);
                }
                self.event(place, event, wanted)
            }
            Entry::Output { output, commit, .. } => {
                if *commit {
                    self.committed_sequence = numbered.last_sequence;
                }
                self.output(place, output, wanted)
            }
        }
    }

    fn event(&mut self, place: Place, event: &crate::event::Event, wanted: bool) -> Result<(), ExportError> {
        self.put_fill()?;
        self.ledger.event(event);
        match &event.body {
            EventBody::OrderUpdate(update) => {
                let over = self.ledger.update(place, update, &self.lines);
                self.order(over)
            }
            EventBody::Fill(fill) => {
                let row = self.ledger.fill(place, event.instrument, fill, &self.lines);
                self.fill = wanted.then_some(row);
                self.book(place, event.instrument)
            }
            _ => Ok(()),
        }
    }

    /// What the engine booked with this entry.
    fn book(&mut self, place: Place, id: InstrumentId) -> Result<(), ExportError> {
        let over = self.ledger.book(place, id, self.fill.as_mut(), &self.lines);
        over.into_iter().try_for_each(|row| self.order(Some(row)))
    }

    fn output(&mut self, place: Place, output: &Output, wanted: bool) -> Result<(), ExportError> {
        self.ledger.output(place, output);
        let units = Units::of(&self.lines, output.instrument);
        match &output.body {
            OutputBody::Decision(d) if wanted => self.files.put(&convert::decision(place, d, units)),
            OutputBody::Equity(e) if wanted => self.files.put(&convert::equity(place, e)),
            OutputBody::BarClosed(b) if wanted => self.files.put(&convert::bar(place, b, units)),
            OutputBody::TradeClosed(closed) => {
                self.ledger.closed(closed.trade);
                if wanted { self.files.put(&convert::trade(place, closed, units)) } else { Ok(()) }
            }
            OutputBody::Order(order) => {
                let over = self.ledger.sent(place, output.instrument, order, &self.lines);
                self.order(over)
            }
            OutputBody::EntryFilled(_) => self.book(place, output.instrument),
            OutputBody::Cancel(cancel) => {
                self.ledger.cancelled(place, cancel);
                Ok(())
            }
            OutputBody::TradeChanged(changed) => {
                self.ledger.changed(changed.trade, changed.to);
                Ok(())
            }
            OutputBody::Alarm(alarm) => {
                self.ledger.alarm(alarm);
                self.book(place, output.instrument)
            }
            _ => Ok(()),
        }
    }

    /// The row of a fill, once everything it caused is told.
    fn put_fill(&mut self) -> Result<(), ExportError> {
        self.fill.take().map_or(Ok(()), |row| self.files.put(&row))
    }

    /// The row of an order stands where the order was sent.
    fn order(&mut self, row: Option<OrderRow>) -> Result<(), ExportError> {
        let begun = |row: &OrderRow| self.range.begun(Place { sequence: row.sequence, at: row.sent_ns });
        row.filter(begun).map_or(Ok(()), |row| self.files.put(&row))
    }

    fn finish(
        mut self,
        identity: Option<Identity>,
        live: bool,
        problem: Option<String>,
    ) -> Result<Report, ExportError> {
        self.put_fill()?;
        let open: Vec<OrderRow> = self.ledger.open(&self.lines).collect();
        for row in open {
            self.order(Some(row))?;
        }
        let ended = self.ended && problem.is_none();
        let mut notes = vec![
            ("last_sequence".to_string(), self.last_sequence.to_string()),
            ("ended".to_string(), ended.to_string()),
        ];
        notes.extend(identity.map(|run| ("run_id".to_string(), format!("{:016x}", run.run_id))));
        notes.extend(problem.clone().map(|problem| ("problem".to_string(), problem)));
        let mut tables = BTreeMap::<_, TableReport>::new();
        for (table, rows, written) in self.files.finish(&notes)? {
            let report = tables.entry(table.as_str()).or_default();
            report.rows = rows;
            report.files.push(written);
        }
        Ok(Report {
            identity,
            entries: self.entries,
            last_sequence: self.last_sequence,
            committed_sequence: self.committed_sequence,
            ended,
            live,
            tables,
            problem,
        })
    }
}
