//! What a market file is before it is run: which data it holds, from when to when, and how fine its
//! prices are. One pass in constant memory.

use std::path::Path;

use super::lines::Lines;
use super::{BytesRead, FRAME_BYTES_MAX, MarketKind, SourceError};
use crate::num::{Dec, TimeNs};

/// So much of a file's content tells it from others well enough to draw latencies by, and is read in no
/// time.
const HEAD_BYTES: u64 = 64 * 1024;
/// A frame with its time; rows are far shorter.
const LINE_BYTES_MAX: usize = FRAME_BYTES_MAX + 32;

/// What one pass over a market file finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Bytes of the content and their checksum: the same however the file is packed.
    pub bytes: u64,
    pub crc32c: u32,
    /// Of the first 64 KiB alone, whole lines.
    pub head_crc32c: u32,
    /// Times of the first and the last line that has one.
    pub first: Option<TimeNs>,
    pub last: Option<TimeNs>,
    /// The coarsest grid all prices of trades or candles lie on; `None` without a price.
    pub price_grid: Option<Dec>,
}

impl Survey {
    /// Reads `path` through. Lines that are no rows of its kind are passed over: whoever reads the
    /// market says where and why.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn of(path: &Path, kind: MarketKind) -> Result<Survey, SourceError> {
        Survey::read(path, kind, u64::MAX)
    }

    /// Reads no further than the head: what it finds is of the head alone, and there is no last time.
    ///
    /// # Errors
    /// As [`Survey::of`].
    pub fn glance(path: &Path, kind: MarketKind) -> Result<Survey, SourceError> {
        let survey = Survey::read(path, kind, HEAD_BYTES)?;
        Ok(Survey { last: None, ..survey })
    }

    fn read(path: &Path, kind: MarketKind, bytes_max: u64) -> Result<Survey, SourceError> {
        let mut lines = Lines::open(path, &BytesRead::default())?;
        let (mut survey, mut line) = (Survey::default(), Vec::new());
        while let Some(length) = lines.read(&mut line, LINE_BYTES_MAX)? {
            survey.bytes += length + 1;
            survey.crc32c = crc32c::crc32c_append(survey.crc32c, &line);
            survey.crc32c = crc32c::crc32c_append(survey.crc32c, b"\n");
            if survey.bytes <= HEAD_BYTES {
                survey.head_crc32c = survey.crc32c;
            }
            survey.note(&line, kind);
            if survey.bytes > bytes_max {
                break;
            }
        }
        Ok(survey)
    }

    /// Length and checksum in one number.
    pub fn digest(&self) -> u64 {
        self.bytes << 32 | u64::from(self.crc32c)
    }

    fn note(&mut self, line: &[u8], kind: MarketKind) {
        if kind == MarketKind::Frames {
            let time = line.split(|b| *b == b'\t').next().and_then(number);
            return self.time(time.map(TimeNs));
        }
        let (time_column, prices) = match kind {
            MarketKind::Candles => (0, 1..=4),
            _ => (5, 1..=1),
        };
        let Ok(text) = std::str::from_utf8(line) else { return };
        let mut time = None;
        for (i, column) in text.split(',').enumerate() {
            if i == time_column {
                time = number(column.trim_ascii().as_bytes());
            }
            if prices.contains(&i)
                && let Ok(price) = Dec::parse(column.trim_ascii())
            {
                self.price_grid = Some(common(self.price_grid.unwrap_or(Dec::ZERO), price));
            }
        }
        self.time(time.filter(|ms| *ms < i64::MAX / 1_000_000).map(TimeNs::from_ms));
    }

    fn time(&mut self, time: Option<TimeNs>) {
        if let Some(time) = time {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = Some(self.last.map_or(time, |last| last.max(time)));
        }
    }
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The coarsest grid both numbers lie on; 0 lies on every grid. Euclid's algorithm, exact in integers.
pub fn common(a: Dec, b: Dec) -> Dec {
    let (mut a, mut b) = (a.0.unsigned_abs(), b.0.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Dec(i128::try_from(a).unwrap_or(i128::MAX))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_survey_finds_times_and_the_grid_of_prices() {
        let rows = "open_time,open,high,low,close,volume\n60000,174.39,174.733,174.38,174.55,1\n\
                    120000,174.55,174.6,174.5,174.55,1\n";
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(rows.as_bytes()).unwrap();
        let plain = Survey::of(file.path(), MarketKind::Candles).unwrap();
        assert_eq!(
            (plain.first, plain.last),
            (Some(TimeNs::from_ms(60_000)), Some(TimeNs::from_ms(120_000)))
        );
        assert_eq!(plain.price_grid, Some(Dec::new(1, 3)));
        let glance = Survey::glance(file.path(), MarketKind::Candles).unwrap();
        assert_eq!(glance, Survey { last: None, ..plain }, "all of it is head");
        let mut packed = tempfile::NamedTempFile::new().unwrap();
        packed.write_all(&zstd::encode_all(rows.as_bytes(), 3).unwrap()).unwrap();
        assert_eq!(Survey::of(packed.path(), MarketKind::Candles).unwrap(), plain, "however it is packed");
    }

    #[test]
    fn a_glance_ends_with_the_head() {
        let rows: String = (0..9_000).map(|i| format!("{i},1{}.5,1,0,0,{},true\n", i % 2, i * 7)).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(rows.as_bytes()).unwrap();
        let kind = MarketKind::Trades;
        let (all, glance) =
            (Survey::of(file.path(), kind).unwrap(), Survey::glance(file.path(), kind).unwrap());
        assert_eq!((glance.head_crc32c, glance.first), (all.head_crc32c, all.first));
        assert!(glance.bytes < all.bytes && glance.last.is_none());
        assert_ne!(all.head_crc32c, all.crc32c);
    }

    #[test]
    fn the_common_grid_is_exact() {
        assert_eq!(common(Dec::new(1, 1), Dec::new(6_000_005, 2)), Dec::new(5, 2));
        assert_eq!(common(Dec::new(1, 2), Dec::int(150)), Dec::new(1, 2));
        assert_eq!(common(Dec::ZERO, Dec::new(25, 2)), Dec::new(25, 2));
    }
}
