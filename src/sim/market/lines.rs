//! Bounded lines of a file that may be compressed, damaged or hostile.

use std::io::BufRead;
use std::ops::RangeInclusive;
use std::path::Path;

use arrayvec::ArrayVec;

use super::SourceError;
use super::packed::{BytesRead, open_reader};
use crate::event::Instrument;
use crate::num::{Dec, DecError, Millis, Size, Ticks};

/// Rows of the public data have about 150 bytes.
const ROW_BYTES_MAX: usize = 1_024;
/// Columns of the widest file (klines).
const COLUMNS_MAX: usize = 12;
/// Venue times we accept: 2000-01-01 to 2100-01-01. Microseconds fall outside and are refused.
const TIMES_MS: RangeInclusive<Millis> = 946_684_800_000..=4_102_444_800_000;

pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    file: String,
    number: u64,
}

impl Lines {
    /// Opens a file: plain, compressed with zstd, or the only file of a zip archive. `read` counts what is
    /// read of it.
    pub fn open(path: &Path, read: &BytesRead) -> Result<Lines, SourceError> {
        let file = path.display().to_string();
        // Told before opening: a pipe nobody writes to would wait for ever.
        let kind = std::fs::metadata(path).map_err(|e| SourceError::io(&file, 0, &e))?;
        if !kind.is_file() {
            let what = if kind.is_dir() { "is a folder" } else { "is not a regular file" };
            return Err(SourceError::new(&file, 0, what, b"", "a market is a regular file, read twice"));
        }
        let reader = open_reader(path, read)?;
        Ok(Lines { reader, file, number: 0 })
    }

    pub fn file(&self) -> &str {
        &self.file
    }

    /// Number of the line read last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Reads a line without its newline into `line` (cleared first), keeping at most `keep_bytes`
    /// of it: a line without end costs time, not memory. Returns its whole length.
    pub fn read(&mut self, line: &mut Vec<u8>, keep_bytes: usize) -> Result<Option<u64>, SourceError> {
        line.clear();
        let mut length = 0u64;
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(SourceError::io(&self.file, self.number + 1, &error)),
            };
            let (part, end) = match memchr::memchr(b'\n', buffer) {
                Some(at) => (buffer.get(..at).unwrap_or(buffer), true),
                None => (buffer, false),
            };
            let room = keep_bytes.saturating_sub(line.len());
            line.extend_from_slice(part.get(..room).unwrap_or(part));
            length += part.len() as u64;
            let (consumed, at_eof) = (part.len() + usize::from(end), buffer.is_empty());
            self.reader.consume(consumed);
            if end || (at_eof && length > 0) {
                self.number += 1;
                return Ok(Some(length));
            }
            if at_eof {
                return Ok(None);
            }
        }
    }

    pub fn error(&self, field: &'static str, value: &[u8], allowed: impl Into<String>) -> SourceError {
        SourceError::new(&self.file, self.number, field, value, allowed)
    }
}

/// Rows of a comma-separated file whose columns are known by position; a header is optional.
pub(super) struct Rows {
    lines: Lines,
    line: Vec<u8>,
    /// First column's name, as a header has it.
    header: &'static str,
    columns_min: usize,
}

impl Rows {
    pub fn open(
        path: &Path,
        header: &'static str,
        columns_min: usize,
        read: &BytesRead,
    ) -> Result<Rows, SourceError> {
        Ok(Rows { lines: Lines::open(path, read)?, line: Vec::new(), header, columns_min })
    }

    /// The next row; `None` at the end.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, SourceError> {
        if !self.read()? {
            return Ok(None);
        }
        if self.lines.number() == 1 && self.line.starts_with(self.header.as_bytes()) && !self.read()? {
            return Ok(None);
        }
        if !self.line.is_ascii() && std::str::from_utf8(&self.line).is_err() {
            return Err(self.lines.error("row", &self.line, "UTF-8 text"));
        }
        let (mut columns, mut from) = (ArrayVec::new(), 0);
        for comma in memchr::memchr_iter(b',', &self.line).chain([self.line.len()]) {
            columns
                .try_push(self.line.get(from..comma).unwrap_or_default().trim_ascii())
                .map_err(|_| self.lines.error("row", &self.line, format!("at most {COLUMNS_MAX} columns")))?;
            from = comma + 1;
        }
        if columns.len() < self.columns_min {
            let allowed = format!("{} columns or more", self.columns_min);
            return Err(self.lines.error("row", &self.line, allowed));
        }
        Ok(Some(Row { lines: &self.lines, columns }))
    }

    /// A column of the row read last; empty if it has none.
    pub fn column(&self, column: usize) -> &str {
        let text = std::str::from_utf8(&self.line).unwrap_or("");
        text.split(',').nth(column).unwrap_or("").trim_ascii()
    }

    /// A refusal of the row read last.
    pub fn error(&self, field: &'static str, value: &[u8], allowed: impl Into<String>) -> SourceError {
        self.lines.error(field, value, allowed)
    }

    fn read(&mut self) -> Result<bool, SourceError> {
        match self.lines.read(&mut self.line, ROW_BYTES_MAX)? {
            None => Ok(false),
            Some(length) if length > ROW_BYTES_MAX as u64 => {
                let allowed = format!("rows of at most {ROW_BYTES_MAX} bytes");
                Err(self.lines.error("row", &self.line, allowed))
            }
            Some(_) => {
                if self.line.ends_with(b"\r") {
                    self.line.pop();
                }
                Ok(true)
            }
        }
    }
}

/// One row, its columns still text.
pub(super) struct Row<'a> {
    lines: &'a Lines,
    columns: ArrayVec<&'a [u8], COLUMNS_MAX>,
}

impl<'a> Row<'a> {
    /// A column; empty if the row has no such column.
    pub fn bytes(&self, column: usize) -> &'a [u8] {
        self.columns.get(column).copied().unwrap_or_default()
    }

    /// As [`Row::bytes`]; the row is UTF-8, and commas are never part of a longer character.
    pub fn text(&self, column: usize) -> &'a str {
        std::str::from_utf8(self.bytes(column)).unwrap_or("")
    }

    pub fn error(&self, field: &'static str, column: usize, allowed: impl Into<String>) -> SourceError {
        self.lines.error(field, self.bytes(column), allowed)
    }

    /// A whole number printed as JSON prints it, so that it comes out as it went in.
    pub fn integer(&self, field: &'static str, column: usize) -> Result<i64, SourceError> {
        let digits = self.bytes(column);
        let canonical = digits.len() == 1 || !digits.starts_with(b"0");
        let value = digits.iter().try_fold(0i64, |value, digit| match digit {
            b'0'..=b'9' => value.checked_mul(10)?.checked_add(i64::from(digit - b'0')),
            _ => None,
        });
        value.filter(|_| canonical && !digits.is_empty()).ok_or_else(|| {
            self.error(field, column, "a whole number without sign or leading zeros, at most 2^63 - 1")
        })
    }

    pub fn time_ms(&self, field: &'static str, column: usize) -> Result<Millis, SourceError> {
        let time = self.integer(field, column)?;
        if TIMES_MS.contains(&time) {
            return Ok(time);
        }
        let (from, to) = (TIMES_MS.start(), TIMES_MS.end());
        Err(self.error(field, column, format!("milliseconds since 1970 from {from} to {to}")))
    }

    /// A positive price on the tick grid.
    pub fn price(
        &self,
        field: &'static str,
        column: usize,
        instrument: &Instrument,
    ) -> Result<Ticks, SourceError> {
        let parsed = instrument.parse_price(self.bytes(column));
        let allowed = match &parsed {
            // Room above for the tick between bid and ask.
            Ok(price) if *price > Ticks::ZERO && *price < Ticks(i64::MAX) => return Ok(*price),
            Ok(_) => "out of range".to_string(),
            Err(error) => error.to_string(),
        };
        let tick = instrument.tick;
        let error = self.error(field, column, format!("{allowed}; a positive multiple of the tick {tick}"));
        Err(SourceError { between_ticks: parsed == Err(DecError::NotAMultiple), ..error })
    }

    /// A quantity that is not negative, in market-data units.
    pub fn size(
        &self,
        field: &'static str,
        column: usize,
        instrument: &Instrument,
    ) -> Result<Size, SourceError> {
        let allowed = match instrument.parse_size(self.bytes(column)) {
            Ok(size) if size >= Size::ZERO => return Ok(size),
            Ok(_) => "negative".to_string(),
            Err(error) => error.to_string(),
        };
        let unit = instrument.size_step;
        Err(self.error(field, column, format!("{allowed}; a multiple of {unit}")))
    }

    /// An amount of quote currency that is not negative.
    pub fn money(&self, field: &'static str, column: usize) -> Result<Dec, SourceError> {
        let allowed = match Dec::parse(self.text(column)) {
            Ok(money) if !money.is_negative() => return Ok(money),
            Ok(_) => "negative".to_string(),
            Err(error) => error.to_string(),
        };
        Err(self.error(field, column, format!("{allowed}; an amount of quote currency")))
    }
}
